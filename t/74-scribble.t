# A child that overwrites all shared memory of the module, and the time of httpd's
# start: the parent, which is root,
# survives restarts, the page answers, and connections are closed. Numbers may be
# wrong until httpd is started again.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use JSON::PP qw(decode_json);

my $PATIENT = 60;

# The parent shares at least counters, history, lists of clients and a board.
my $LEAST = 4;

my $CONF = <<'END';
FinWait2StatusPeers On
FinWait2Sample 1s
FinWait2KeepAliveTimeout 200ms
<Location "/scribble">
    SetHandler scribble
</Location>
<VirtualHost *:@PORT2@>
    ServerName a.test
</VirtualHost>
END

sub start ($mpm) {
    my $file = shared_object('scribble');
    return FinWait2Test->start(mpm => $mpm,
        listen => ['127.0.0.1:@PORT@', '127.0.0.1:@PORT2@'],
        env  => { LD_PRELOAD => $file },
        conf => "LoadModule scribble_module $file\n$CONF");
}

sub formats_answer ($httpd, $when) {
    for my $query ('', map { "?$_" } qw(auto json openmetrics prometheus)) {
        my $answer = $httpd->get("/finwait-status$query");
        is $answer->{status}, 200, "$when: the page answers $query";
        unlike $answer->{content}, qr/\d\.-/,
            "$when: $query has no malformed number";
        ok eval { decode_json($answer->{content}) },
            "$when: JSON can be parsed" if $query eq '?json';
    }
}

sub serves ($httpd, $when) {
    my @clients = idle_clients($httpd, 'PORT2', 5);
    eventually {
        ss_count(port => $httpd->port('PORT2'), holder => 'process') == 0
    } "$when: connections are closed";
}

for_each_mpm {
    my $httpd = start(shift);
    my $conf  = $httpd->{options}{conf};
    serves($httpd, 'at first');
    for my $how (qw(ones zeros random random)) {
        my $answer = $httpd->get("/scribble?$how");
        cmp_ok $answer->{content}, '>=', $LEAST,
            "all areas are filled with $how";
        formats_answer($httpd, $how);
        serves($httpd, $how);
        $httpd->get("/scribble?$how");
        $httpd->graceful($conf);
        formats_answer($httpd, "$how and a restart");
        $httpd->get("/scribble?$how");
        # More virtual hosts than rows, so a new area takes over the totals.
        $httpd->graceful($conf . join '', map { vhost('PORT', "$how$_", '') }
                                 1 .. 40);
        formats_answer($httpd, "$how and more virtual hosts");
        serves($httpd, "$how and restarts");
    }
    # The error log has the refusals of the process.
    $httpd->announce(qr/finwait2 does not accept/);
    $httpd->stop;
};

done_testing;
