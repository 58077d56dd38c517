# The page has the same numbers from /proc if a real seccomp filter refuses netlink.
# If a mount hides /proc, too, the page shows the unknown numbers as such, with the
# reasons, and recovers afterwards.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use FinWait2Page qw(judged);
use Errno      qw(EACCES EAFNOSUPPORT EPERM);
use File::Temp ();
use JSON::PP   ();

my $CANON   = JSON::PP->new->canonical;
my $SCRATCH = File::Temp->newdir;
my $CONF    = <<'END';
FinWait2KeepAliveTimeout 100ms
FinWait2Timeout 60s
<VirtualHost *:*>
    ServerName first.test
</VirtualHost>
<VirtualHost *:*>
    ServerName held.test
    FinWait2Linger always
    FinWait2LingerIdle 60s
    FinWait2LingerTotal 60s
</VirtualHost>
END

my $DENY = program('deny');

sub without_netlink ($errno, %options) {
    return FinWait2Test->start(conf => $CONF,
        launcher => [$DENY, $errno], %options);
}

sub client ($host, $port) {
    my $socket = connect_to($port, host => $host);
    $socket->syswrite("GET /.generation HTTP/1.1\r\nHost: a\r\n\r\n");
    return $socket;
}

# Return {"local-address holder" => number} of the sockets in FIN_WAIT_2, by ss.
sub ss_table (@ports) {
    my $where = join ' or ', map { "sport = :$_" } @ports;
    my %n;
    for (`ss -tanHoe state fin-wait-2 '( $where )'`) {
        my $local = (split)[2];
        $n{ "$local " . ss_holder($_) }++;
    }
    die "ss failed: $?\n" if $?;
    return \%n;
}

# Return {"listener holder" => number} of the sockets in FIN_WAIT_2, by the page.
sub page_table ($json) {
    my %n;
    for my $at (@{ $json->{listeners} }) {
        my $of = $at->{states}{fin_wait2};
        $n{"$at->{listener} $_"} = $of->{$_} for grep { $of->{$_} } keys %$of;
    }
    return \%n;
}

sub html ($httpd) {
    my $answer = $httpd->get('/finwait-status');
    die "$answer->{status} $answer->{content}" if $answer->{status} != 200;
    return $answer->{content};
}

sub same_numbers () {
    my $httpd = without_netlink(EAFNOSUPPORT, listen =>
        ['127.0.0.1:@PORT@', '[::1]:@PORT2@', '@PORT3@']);
    my ($v4, $v6, $both) = map { $httpd->port($_) } qw(PORT PORT2 PORT3);

    # Lines of 150 bytes, which do not fit into one buffer of 64 KiB.
    my @clients = ((map { client('127.0.0.1', $v4) } 1 .. 600),
                   (map { client('::1', $v6) } 1 .. 20),
                   (map { client('127.0.0.1', $both) } 1 .. 30),
                   (map { client('::1', $both) } 1 .. 40));
    my $expected = { "127.0.0.1:$v4 timewait"            => 600,
                     "[::1]:$v6 timewait"                => 20,
                     "[::ffff:127.0.0.1]:$both timewait" => 30,
                     "[::1]:$both timewait"              => 40 };
    wait_for {
        $CANON->encode(ss_table($v4, $v6, $both)) eq $CANON->encode($expected);
    } 60, 'all to be orphans';

    my $json = $httpd->fresh_json;
    is_deeply ss_table($v4, $v6, $both), $expected,
        'ss shows the same after the page';
    is_deeply page_table($json), { "127.0.0.1:$v4 timewait" => 600,
                                   "[::1]:$v6 timewait"     => 20,
                                   "[::]:$both timewait"    => 70 },
        'the page agrees with ss';
    is_deeply { %{ $json->{half_closed} }{qw(total held orphan)} },
        { total => 690, held => 0, orphan => 690 },
        'the sums agree with ss';
    is $json->{snapshot}{backend}, 'procfs', 'the count is from /proc';
    ok $json->{snapshot}{complete}, 'the count is complete';
    is_deeply [map { $_->{backlog_limit} } @{ $json->{listeners} }],
        [(undef) x 3], 'the limit of the backlog is unknown from /proc';

    my $held = idle_client('127.0.0.1', $both,
                           "GET / HTTP/1.0\r\nHost: held.test\r\n\r\n");
    wait_for { ss_table($both)->{"[::ffff:127.0.0.1]:$both process"} }
        30, 'one held';
    is page_table($httpd->fresh_json)->{"[::]:$both process"}, 1,
        'the page shows a connection that httpd holds';
    undef $_ for $held, @clients;
    $httpd->stop;
}

subtest 'without netlink the numbers come from /proc' => \&same_numbers;

subtest 'the page explains why netlink is refused' => sub {
    my %words = (EAFNOSUPPORT, qr/not supported.*RestrictAddressFamilies/,
                 EACCES,       qr/Permission denied.*SELinux/,
                 EPERM,        qr/not permitted.*seccomp/);
    for my $errno (sort keys %words) {
        my $httpd = without_netlink($errno);
        my $html  = html($httpd);
        my ($note) = $html =~ m{<p class=warn role=note>(.*?)</p>}s;
        like $note, qr/AF_NETLINK.*$words{$errno}.*procfs/s,
            "the note explains errno $errno";
        like $html, qr{<h1>.*(?:\d|no) half-closed connection},
            'the headline has a number';
        $httpd->stop;
    }
};

# Mount a folder over /proc in the mount namespace of httpd.
sub over_proc ($httpd, $name, %files) {
    my $dir = "$SCRATCH/$name";
    system('mkdir', '-p', "$dir/self/net") == 0 or die "mkdir $dir\n";
    chmod 0755, $SCRATCH;
    for my $file (keys %files) {
        my ($mode, $content) = @{ $files{$file} };
        spew("$dir/$file", $content);
        chmod $mode, "$dir/$file";
    }
    inside($httpd, 'mount', '--bind', $dir, '/proc');
}

sub inside ($httpd, @command) {
    system('nsenter', '-t', $httpd->pid, '-m', @command) == 0
        or die "@command: $?\n";
}

# Test that unknown numbers are null or absent, and never 0.
sub unknown ($httpd, $backend, $name) {
    my $json = $httpd->fresh_json;
    is_deeply $json->{snapshot}{backend}, $backend,
        "$name: the backend is named";
    ok !$json->{snapshot}{complete}, "$name: the count is not complete";
    is_deeply { %{ $json->{half_closed} }{qw(total held orphan)} },
        { total => undef, held => undef, orphan => undef },
            "$name: the sums are null";
    my $at = $json->{listeners}[0];
    is_deeply [grep { defined } @$at{qw(backlog backlog_limit)},
               map { values %$_ } values %{ $at->{states} }], [],
        "$name: the numbers of the listener are null";
    for my $format (qw(openmetrics prometheus auto)) {
        my $text = $httpd->get("/finwait-status?$format")->{content};
        unlike $text,
            qr/^(?:finwait2_(?:half_closed|held|orphan|listener)_
                 |HalfClosed)/mx,
                     "$name: $format has no samples of connections";
        like $text, qr/^(?:finwait2_closer_processes|CloserProcesses:) \d+$/m,
            "$name: $format has other samples";
    }
    my $text = $httpd->get('/finwait-status?prometheus')->{content};
    my ($status, $output) = judged($text, qw(promtool check metrics));
    is $status, 0, "$name: promtool has no complaint" or diag $output;
    return html($httpd);
}

subtest 'without netlink and /proc the numbers are unknown' => sub {
    plan skip_all => 'no mount namespaces here'
        if system('unshare -m true 2>/dev/null') != 0;
    my $httpd = without_netlink(EAFNOSUPPORT,
        launcher => ['unshare', '-m', $DENY, EAFNOSUPPORT]);
    is $httpd->fresh_json->{snapshot}{backend}, 'procfs',
        'the count is from /proc at first';

    my $sockstat = slurp('/proc/net/sockstat');
    over_proc($httpd, 'sums', 'self/net/sockstat' => [0644, $sockstat]);
    my $html = unknown($httpd, 'sockstat', 'sums');
    like $html, qr{<h1>.*could not be counted},
        'the headline reports the failed count';
    like $html, qr{AF_NETLINK.*/proc/self/net/tcp: No such file}s,
        'the page has the reasons';
    my ($tw) = $sockstat =~ /^TCP: .*\btw (\d+)/m;
    is $httpd->fresh_json->{limits}{timewait}, $tw,
        'a number of sockstat is shown';
    is $httpd->fresh_json->{limits}{tcp_fin_timeout}, undef,
        'a missing number is null';
    inside($httpd, qw(umount /proc));

    over_proc($httpd, 'shut', 'self/net/sockstat' => [0, ''],
              map { ("self/net/$_" => [0, '']) } qw(tcp tcp6));
    $html = unknown($httpd, 'nothing', 'shut');
    like $html, qr{tcp: Permission denied.*AppArmor}s,
        'shut: the page has the reason';
    like $html, qr{sockstat: Permission denied},
        'shut: the page has the reason for sockstat';
    my $limits = $httpd->fresh_json->{limits};
    is_deeply [sort grep { defined $limits->{$_} } keys %$limits],
        [qw(descriptor_limit descriptors)],
        'shut: every limit from /proc is unknown';
    inside($httpd, qw(umount /proc));

    # A count of IPv4 without IPv6 would be wrong.
    over_proc($httpd, 'half', 'self/net/tcp6' => [0, ''],
              'self/net/tcp' => [0644, slurp('/proc/net/tcp')]);
    isnt $httpd->fresh_json->{snapshot}{backend}, 'procfs',
        'the page does not count from one of two tables';
    inside($httpd, qw(umount /proc));

    is $httpd->fresh_json->{snapshot}{backend}, 'procfs',
        'the count recovers after the mount is gone';
    like $httpd->fresh_json->{half_closed}{total}, qr/^\d+$/,
        'the sum is a number again';
    $httpd->stop;
};

done_testing;
