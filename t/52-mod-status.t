# The module's block on the page of mod_status: HTML and ?auto, from the last count.
# No samples are taken, so only requests of this test count sockets.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;

my $CONF = <<'END';
FinWait2Sample Off
FinWait2Linger always
FinWait2LingerIdle 60s
<Location "/server-status">
    SetHandler server-status
</Location>
END

my $GET = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

sub block ($httpd, $query = '') {
    my $answer = $httpd->get("/server-status$query");
    die "$answer->{status} $answer->{content}" if !$answer->{success};
    return $answer->{content};
}

# Return {key => value}; a repeated key is a failure.
sub facts ($text) {
    my %facts;
    for (split /\n/, $text) {
        my ($key, $value) = /^(FinWait2\w+): (.*)/ or next;
        fail("$key is repeated") if exists $facts{$key};
        $facts{$key} = $value;
    }
    return \%facts;
}

for_each_mpm {
    my $httpd = FinWait2Test->start(mpm => shift, modules => ['status'],
                                    conf => $CONF);
    like block($httpd), qr{<h2>Half-closed.*have not been counted yet}s,
        'the block reports that nothing has been counted yet';
    my $facts = facts(block($httpd, '?auto'));
    is $facts->{FinWait2Counts}, 0, 'the block does not count itself';
    is $facts->{FinWait2HalfClosed}, undef,
        'the block has no numbers without a count';

    my @held = map {
        scalar idle_client('127.0.0.1', $httpd->port, $GET)
    } 1 .. 3;
    my $json = wait_for {
        my $now = $httpd->fresh_json;
        $now->{half_closed}{held} == 3 && $now;
    } 30, 'three to be held';
    $facts = facts(block($httpd, '?auto'));
    is $facts->{FinWait2HalfClosedHeld}, 3, '?auto has the last count';
    # The connection of this request may be held, too.
    cmp_ok $facts->{FinWait2CloserHeld}, '>=', 3,
        '?auto has the number that the closer holds';
    ok $facts->{FinWait2CountAgeSeconds} > 0, '?auto has the age of the count';
    like block($httpd), qr{<p>Total: \d+; held by httpd: 3, orphans of the kernel: \d},
        'HTML has the last count';
    block($httpd) for 1 .. 5;
    is facts(block($httpd, '?auto'))->{FinWait2Counts},
        $json->{snapshot}{counts}, 'reading the block does not count sockets';
    # The expected number comes after a minute.
    my @own = grep { $_ ne 'HalfClosedExpected' }
        $httpd->get('/finwait-status?auto')->{content} =~ /^(\w+):/mg;
    my @words = map { s/^FinWait2//r } keys %{ facts(block($httpd, '?auto')) };
    is_deeply [sort grep { $_ ne 'HalfClosedExpected' } @words], [sort @own],
        'the block has the keys of the page\'s own ?auto';
    undef @held;
    $httpd->stop;
};

subtest 'FinWait2Status Off hides the block' => sub {
    my $httpd = FinWait2Test->start(modules => ['status'], page => 0,
                                    conf => $CONF);
    unlike block($httpd, $_), qr/half.?closed/i, "the answer to '$_' has no block"
        for '', '?auto';
    $httpd->stop;
};

done_testing;
