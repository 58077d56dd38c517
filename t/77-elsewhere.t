# Half-closed connections elsewhere in this network namespace: at servers of other
# programs, and connections that this machine opened, for example of a proxy to a
# backend. Together with those of httpd their number is that of ss. A full accept
# queue of another program does not change the verdict on httpd.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use Errno      qw(EAFNOSUPPORT);
use IO::Socket::IP;
use Time::HiRes qw(time);

my $DENY = program('deny');

my $ASK = "GET /.generation HTTP/1.1\r\nHost: a\r\n\r\n";
my @KEPT;    # sockets that stay open

sub listener ($host, $queue = 100) {
    return IO::Socket::IP->new(LocalHost => $host, LocalPort => 0,
                               V6Only => 0, Listen => $queue)
        // die "listen at $host: $@\n";
}

sub client ($host, $port, %options) {
    my $socket = connect_to($port, host => $host, %options);
    push @KEPT, $socket;
    return $socket;
}

# Make connections to another server than httpd, half-closed by that server or by the
# client.
sub half_close ($listener, $host, $times, $by) {
    for (1 .. $times) {
        my $client = client($host, $listener->sockport);
        my $server = $listener->accept // die "accept: $!\n";
        push @KEPT, $server;
        ($by eq 'server' ? $server : $client)->shutdown(1);
    }
}

# Return every half-closed socket of this namespace, by ss.
sub ss_half () {
    my @lines = sort `ss -tanH state fin-wait-1 state fin-wait-2 state closing`;
    die "ss failed: $?\n" if $?;
    return @lines;
}

# Return the JSON and the number of ss at one moment: ss shows the same before and
# after the page, and httpd has `total` half-closed connections.
sub moment ($httpd, $total) {
    my ($json, @after);
    wait_for {
        my @before = ss_half();
        $json  = $httpd->fresh_json;
        @after = ss_half();
        "@before" eq "@after" && $json->{half_closed}{total} == $total;
    } 60, 'ss to show the same before and after the page';
    return ($json, scalar @after);
}

sub top ($json) {
    return { map { ("$_->{side} $_->{port}" => $_->{connections}) }
             @{ $json->{elsewhere}{top} } };
}

sub conf (@backends) {
    my $n = 0;
    return join '', "FinWait2KeepAliveTimeout 100ms\nFinWait2Timeout 60s\n",
        map { "ProxyPass /" . ++$n . ' http://127.0.0.1:' . $_->sockport
            . "/ disablereuse=On\n" } @backends;
}

# Test clients of httpd over IPv4, IPv6 and both, servers of another program, and a
# proxied backend.
sub all_kinds ($backend_name, %options) {
    my $backend = listener('127.0.0.1');
    my $httpd = FinWait2Test->start(
        listen  => ['127.0.0.1:@PORT@', '[::1]:@PORT2@', '@PORT3@'],
        modules => [qw(proxy proxy_http)],
        conf    => conf($backend), %options);
    my ($v4, $v6, $both) = map { $httpd->port($_) } qw(PORT PORT2 PORT3);
    for (['127.0.0.1', $v4], ['::1', $v6], ['127.0.0.1', $both],
         ['::1', $both]) {
        client(@$_)->syswrite($ASK);
    }
    my ($four, $six, $dual) = map { listener($_) } '127.0.0.1', '::1', '::';
    half_close($four, '127.0.0.1', 5, 'server');
    half_close($six,  '::1',       4, 'server');
    half_close($dual, '127.0.0.1', 1, 'server');
    half_close($dual, '::1',       2, 'server');
    half_close($dual, '127.0.0.1', 6, 'client');
    half_close($dual, '::1',       1, 'client');

    my $asking = client('127.0.0.1', $v4);
    $asking->syswrite("GET /1/ HTTP/1.1\r\nHost: a\r\n"
                    . "Connection: close\r\n\r\n");
    push @KEPT, answer_proxy($backend);
    my ($json, $ss) = moment($httpd, 5);
    is $json->{snapshot}{backend}, $backend_name,
        "the count is from $backend_name";
    is $json->{elsewhere}{half_closed} + 5, $ss,
        "connections of httpd and elsewhere have the sum of ss";
    is_deeply top($json), {
        'server ' . $four->sockport    => 5,
        'server ' . $six->sockport     => 4,
        'server ' . $dual->sockport    => 3,
        'client ' . $dual->sockport    => 7,
        'client ' . $backend->sockport => 1,
    },
        'five ports are listed with their roles' or diag explain $json->{elsewhere};
    is_deeply [map { $_->{connections} } @{ $json->{elsewhere}{top} }],
        [7, 5, 4, 3, 1], 'the port with the most connections is first';
    is $json->{elsewhere}{outgoing}, 8, 'this machine opened eight connections';
    like $httpd->get('/finwait-status?prometheus')->{content},
        qr/^finwait2_elsewhere_half_closed_connections 20$/m,
        'Prometheus has the number elsewhere';
    my $html = $httpd->get('/finwait-status')->{content};
    like $html, qr{>Elsewhere</a></dt><dd><b>20</b></dd>.*?<h2}s,
        'HTML has the number elsewhere before the first heading';
    my ($words) = $html
        =~ m{<section id=elsewhere[^>]*><h2>Elsewhere</h2>\s*<p>(.*?)</p>}s;
    $words =~ s/<[^>]+>//g;
    my ($f, $s, $d, $b) = map { $_->sockport } $four, $six, $dual, $backend;
    is $words, "netstat shows 25: 5 are httpd's, 7 are connections of this "
        . "machine to port $d, 5 are at port $f (another program), 4 are at "
        . "port $s (another program), 3 are at port $d (another program), 1 "
        . "is a connection of this machine to port $b.",
            'HTML lists the ports in a sentence';
    @KEPT = ();
    $httpd->stop;
}

subtest 'netlink counts connections elsewhere' => sub { all_kinds('netlink') };
subtest '/proc counts connections elsewhere' => sub {
    all_kinds('procfs', launcher => [$DENY, EAFNOSUPPORT]);
};

# Numbers of the last minute are known after a minute. Meanwhile clients connect to a
# program that never accepts, so its queue keeps overflowing.
sub neighbour ($limit, %options) {
    my $httpd = FinWait2Test->start(%options);
    my $lazy  = listener('127.0.0.1', 5);
    my $port  = $lazy->sockport;
    my %advice;
    wait_for {
        client('127.0.0.1', $port, Blocking => 0) for 1 .. 2;
        my $json = $httpd->fresh_json;
        %advice = map { $_->{rule} => $_ } @{ $json->{advice} };
        $advice{'listen-overflow'};
    } 150, 'the overflows of the last minute to be known';
    is $advice{verdict}{level}, 'ok', 'the verdict on httpd is ok'
        or diag $advice{verdict}{text};
    is $advice{'listen-overflow'}{level}, 'ok', 'the advice is a note';
    my $where = "At another program's port $port, 6 connections$limit wait";
    like $advice{'listen-overflow'}{text},
        qr/another program's accept queue.* httpd's was not\. \Q$where\E /,
        'the advice names the port';
    @KEPT = ();
    $httpd->stop;
}

subtest 'a full queue of another program is no danger to httpd' =>
    sub { neighbour(' of at most 5') };
subtest 'a full queue of another program is a note from /proc, too' => sub {
    neighbour('', launcher => [$DENY, EAFNOSUPPORT]);
};

# The children are stopped, so httpd's own queue overflows; the page answers after
# they continue.
subtest 'an overflow of httpd\'s own queue raises the level' => sub {
    my $httpd = FinWait2Test->start(mpm => 'prefork',
                                    conf => "ListenBacklog 5\n");
    my $port  = $httpd->port;
    my %advice;
    wait_for {
        my @children = $httpd->children;
        kill STOP => @children;
        @KEPT = map { client('127.0.0.1', $port, Blocking => 0) } 1 .. 20;
        wait_for { `ss -tlnH 'sport = :$port'` =~ /^LISTEN +[67] / } 30,
            'the queue to be full';
        kill CONT => @children;
        @KEPT = ();
        my $json = $httpd->fresh_json;
        %advice = map { $_->{rule} => $_ } @{ $json->{advice} };
        $advice{'listen-overflow'};
    } 150, 'the overflows of the last minute to be known';
    like $advice{'listen-overflow'}{level}, qr/^(?:watch|danger)$/,
        'overflows of httpd\'s own queue raise the level';
    like $advice{'listen-overflow'}{text}, qr/httpd's accept queue was found/,
        'the advice names httpd\'s own queue';
    $httpd->stop;
};

done_testing;
