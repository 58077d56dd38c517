# FinWait2KeepAliveAdvertise: responses promise a shorter time than httpd waits, so
# that clients close first.

use v5.36;
use Test::More;
use IPC::Open2 qw(open2);
use Time::HiRes qw(sleep time);
use FinWait2Test;
use FinWait2Client;

my %ROOM = (prefork => "ServerLimit 128\nStartServers 40\n"
                     . "MaxSpareServers 128\nMaxRequestWorkers 128\n");
my $THREADS = "ServerLimit 8\nStartServers 4\nThreadsPerChild 16\n"
            . "MaxSpareThreads 128\nMaxRequestWorkers 128\n";
my @MODULES = qw(headers proxy proxy_http setenvif);
my $KEEP    = "Connection: keep-alive\r\n";

# The main server has no promise of the module. PORT2 has named virtual hosts, and
# PORT3 a backend without a promise.
my $CONF = "KeepAliveTimeout 60\nMaxKeepAliveRequests 0\n" . join '',
    vhost('PORT2', 'first', "FinWait2KeepAliveTimeout 90s\n"
        . "FinWait2KeepAliveAdvertise 5s\nProxyPass /proxied "
        . "http://127.0.0.1:\@PORT3\@/page\n"
        . "Header set X-Wrong expr=%{unescape:a%01} "
        . "\"expr=%{REQUEST_URI} == '/wrong'\"\n"
        . "ErrorDocument 500 /page\nErrorDocument 404 /page\n"
        . "BrowserMatch ^old downgrade-1.0\n"),
    vhost('PORT2', 'plain', ''),
    vhost('PORT2', 'longer',  "FinWait2KeepAliveAdvertise 30s\n"),
    vhost('PORT2', 'off',     "FinWait2KeepAliveAdvertise off\n"),
    vhost('PORT2', 'engine',  "FinWait2KeepAliveAdvertise 5s\n"
                            . "FinWait2Engine Off\n"),
    vhost('PORT2', 'none',    "FinWait2KeepAliveAdvertise 5s\nKeepAlive Off\n"),
    vhost('PORT2', 'zero',    "FinWait2KeepAliveAdvertise 5s\n"
                            . "FinWait2KeepAliveTimeout 0\n"),
    vhost('PORT2', 'limit',   "FinWait2KeepAliveAdvertise 5s\n"
                            . "MaxKeepAliveRequests 2\n"),
    vhost('PORT3', 'backend', '');

sub request ($host, $headers = '', $line = 'GET /page HTTP/1.1') {
    return "$line\r\nHost: $host.test\r\n$headers\r\n";
}

# [name, request, the header Keep-Alive of the response]: a pattern, or '' for a
# connection that is kept without the header, or undef for one that is closed.
my $PROMISE = qr/^timeout=5$/;
my @TABLE = (
    ['a request without Connection', request('first'), $PROMISE],
    ['a request with Connection: keep-alive', request('first', $KEEP), $PROMISE],
    ['a request with Connection: close', request('first',
        "Connection: close\r\n"), undef],
    ['HTTP/1.0', request('first', $KEEP, 'GET /page HTTP/1.0'), $PROMISE],
    ['HTTP/1.0 without Connection', request('first', '', 'GET /page HTTP/1.0'),
        undef],
    ['HTTP/1.1 downgraded to 1.0', request('first',
        "User-Agent: old\r\n"), undef],
    ['HEAD', request('first', '', 'HEAD /page HTTP/1.1'), $PROMISE],
    ['304', request('first',
        "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n"), $PROMISE],
    ['404', request('plain', $KEEP, 'GET /missing HTTP/1.1'),
        qr/^timeout=60$/],
    ['404 with a page of its own', request('first', '',
        'GET /missing HTTP/1.1'), $PROMISE],
    ['a response that becomes an error', request('first', $KEEP,
        'GET /wrong HTTP/1.1'), undef],
    ['400', "GET /page HTTP/1.1\r\nHost: first.test\r\nX\r\n\r\n", undef],
    ['100', "POST /proxied HTTP/1.1\r\nHost: first.test\r\n"
          . "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx", $PROMISE],
    ['a proxied response', request('first', '', 'GET /proxied HTTP/1.1'),
        $PROMISE],
    ['inherit', request('plain', $KEEP), qr/^timeout=60$/],
    ['inherit, without Connection', request('plain'), ''],
    ['a longer promise by name', request('longer'), qr/^timeout=30$/],
    ['off', request('off', $KEEP), ''],
    ['off, without Connection', request('off'), ''],
    ['Engine Off', request('engine', $KEEP), qr/^timeout=60$/],
    ['KeepAlive Off', request('none', $KEEP), undef],
    ['a time of 0', request('zero', $KEEP), undef],
    ['MaxKeepAliveRequests', request('limit'), qr/^timeout=5, max=2$/],
);

# The header of the final answer.
sub ask ($socket, $request) {
    $socket->syswrite($request);
    my $text = '';
    while ($text !~ /^HTTP\/1\.\d (?!1\d\d).*?\r\n\r\n/ms) {
        $socket->sysread($text, 65536, length $text) or return $text;
    }
    my ($header) = $text =~ /^(HTTP\/1\.\d (?!1\d\d).*?)\r\n\r\n/ms;
    my ($length) = $header =~ /^Content-Length: (\d+)/m;
    my $body = $request =~ /^HEAD/ || !$length ? 0 : $length;
    while (length($text) - index($text, $header) - length($header) - 4 < $body) {
        $socket->sysread($text, 65536, length $text) or last;
    }
    return $header;
}

sub judge ($name, $header, $wanted) {
    my $promise = join '|', $header =~ /^Keep-Alive: (.*?)\r?$/mg;
    if (!defined $wanted) {
        like $header, qr/^Connection: .*close\r?$/m,
            "$name: the connection is closed";
        is $promise, '', "$name: the response has no promise";
    }
    elsif ($wanted eq '') {
        is $promise, '', "$name: the response has no promise";
        unlike $header, qr/^Connection:.*close/m,
            "$name: the connection is kept";
    }
    else {
        like $promise, $wanted, "$name: the response has the promise";
        like $header, qr/^Connection: .*Keep-Alive\r?$/m,
            "$name: the connection is kept";
    }
}

sub start ($mpm, $conf, %options) {
    return FinWait2Test->start(
        mpm => $mpm, modules => \@MODULES, %options,
        conf => $conf . ($ROOM{$mpm} // $THREADS),
        listen => [map { "127.0.0.1:\@$_\@" } qw(PORT PORT2 PORT3)]);
}

sub promises ($mpm) {
    my $httpd = start($mpm, $CONF);
    $httpd->document('page', 'y' x 1000);
    $httpd->document('wrong', 'n');
    for my $case (@TABLE) {
        my ($name, $request, $wanted) = @$case;
        my $socket = connect_to($httpd->port('PORT2'));
        judge($name, ask($socket, $request), $wanted);
    }
    my $socket = connect_to($httpd->port('PORT2'));
    my @max = map { ask($socket, request('limit')) =~ /^Keep-Alive: (.*?)\r?$/m }
        1 .. 3;
    is "@max", 'timeout=5, max=2 timeout=5, max=1',
        'max= counts as httpd counts';
    $httpd->announce(qr/AH02430: .*X-Wrong/);
    $httpd->stop;
}

# prefork has no HTTP/2.
sub http2 ($mpm) {
    my $httpd = start($mpm, "Protocols h2c http/1.1\n"
                          . "FinWait2KeepAliveAdvertise 2s\n",
                      modules => ['http2']);
    my $url    = 'http://127.0.0.1:' . $httpd->port . '/.generation';
    my $header = `curl -s -o /dev/null -D - --http2-prior-knowledge $url`;
    like $header, qr/^HTTP\/2 /, 'HTTP/2 answers';
    unlike $header, qr/^(?:keep-alive|connection):/mi, 'HTTP/2 has no promise';
    $httpd->stop;
}

# The real time decides, not the promised one: a real time of 3 s ends, while a
# connection with 90 s and a promise of 1 s stays.
my $TIMES = "KeepAliveTimeout 60\n" . join '',
    vhost('PORT2', 'long',  "FinWait2KeepAliveTimeout 90s\n"
                          . "FinWait2KeepAliveAdvertise 1s\n"),
    vhost('PORT2', 'httpds', "FinWait2KeepAliveAdvertise 1s\n"
                           . "KeepAliveTimeout 90\n"),
    vhost('PORT2', 'short', "FinWait2KeepAliveTimeout 3s\n"
                          . "FinWait2KeepAliveAdvertise 60s\n");

sub real_times ($mpm) {
    my $httpd = start($mpm, $TIMES);
    $httpd->document('page', 'y' x 1000);
    $httpd->announce(qr/short\.test promises 60000 ms.* after 3000 ms/);
    my %socket = map { $_ => connect_to($httpd->port('PORT2')) }
        qw(long httpds short);
    ask($socket{$_}, request($_)) for qw(long httpds short);
    eventually { has_ended($socket{short}) } 'the short real time ends';
    judge($_, ask($socket{$_}, request($_)), qr/^timeout=1, max=99$/)
        for qw(long httpds);
    delete @socket{ keys %socket };
    $httpd->stop;
}

sub ended_at ($httpd, $name) {
    my $closes = $httpd->vhost_json($name)->{closes};
    return $closes->{by_peer} + $closes->{by_server};
}

# A client may also close after the promised end, or when it is not idle. The
# promised time begins when httpd has written the response, possibly after the
# client has read it: each further client waits longer.
sub late ($mpm) {
    my $httpd = start($mpm, vhost('PORT2', 'late',
        "FinWait2KeepAliveTimeout 90s\nFinWait2KeepAliveAdvertise 1s\n"));
    $httpd->document('page', 'y' x 1000);
    ask(connect_to($httpd->port('PORT2')),
        request('late', "Connection: close\r\n"));
    connect_to($httpd->port('PORT2'))->syswrite("GET / HTTP/1.1\r\n");
    eventually { ended_at($httpd, 'late') == 2 }
        'two connections end that are not idle';
    is idle($httpd, 'late'), '0 0 0',
        'the two connections do not count as idle';
    my ($wait, $clients) = (1, 0);
    eventually {
        my $socket = connect_to($httpd->port('PORT2'));
        ask($socket, request('late'));
        sleep $wait;
        $wait += 0.3;
        $socket->close;
        my $ended = 2 + ++$clients;
        wait_for { ended_at($httpd, 'late') == $ended } 60, 'its end';
        idle($httpd, 'late') =~ /^\d+ 1 0$/;
    } 'a client that closes after the promised end is counted as late';
    $httpd->stop;
}

# A request before the promised end never meets a closing connection. Requests that
# a busy machine sends later are left out.
sub race ($mpm) {
    my $httpd = start($mpm, "FinWait2KeepAliveTimeout 3s\n"
                          . "FinWait2KeepAliveAdvertise 1s\n");
    $httpd->document('page', 'y' x 1000);
    my ($in_time, $failed) = (0, 0);
    for my $n (1 .. 60) {
        my $socket = connect_to($httpd->port);
        ask($socket, request('main'));
        push @{ $httpd->{race} }, [$socket, time + 1];
    }
    for my $one (@{ delete $httpd->{race} }) {
        my ($socket, $end) = @$one;
        sleep 0.001 while time < $end - 0.01;
        next if time >= $end;
        $in_time++;
        $failed++ if ask($socket, request('main')) !~ /^HTTP\/1.1 200/;
    }
    note "$in_time requests just before the promised end";
    is $failed, 0,
        'no request before the promised end meets a closing connection';
    $httpd->stop;
}

# Idle clients of Node that trust the promise close first, and the server keeps
# neither FIN_WAIT_2 nor TIME_WAIT. Without a promise httpd closes first. Node
# closes up to 2 s before the promised end.
my $NODES = "FinWait2Linger off\nFinWait2Timeout 60s\n" . join '',
    vhost('PORT2', 'with', "FinWait2KeepAliveTimeout 90s\n"
                         . "FinWait2KeepAliveAdvertise 4s\n"),
    vhost('PORT3', 'without', "KeepAliveTimeout 1\n"
                            . "FinWait2KeepAliveAdvertise off\n");

sub idle ($httpd, $name) {
    my $idle = $httpd->vhost_json($name)->{idle};
    return join ' ', map { $idle->{$_} } qw(client_in_time client_late server);
}

sub open_at ($httpd, $port) {
    return ss_count(port => $httpd->port($port), state => 'connected',
                    holder => 'process');
}

sub kept_at ($httpd, $port) {
    return ss_count(port => $httpd->port($port))
         + ss_count(port => $httpd->port($port), state => 'time-wait');
}

sub nodes ($mpm) {
    my $httpd = start($mpm, $NODES);
    my @nodes;
    for my $kind (qw(agent fetch)) {
        for my $port (qw(PORT2 PORT3)) {
            my $url = 'http://127.0.0.1:' . $httpd->port($port) . '/';
            my $pid = open2(my $output, my $in,
                            'node', 't/clients/node.js', $kind, 5, $url);
            like scalar(<$output>), qr/^answered/, "$kind is answered at $port";
            push @nodes, [$pid, $in, $output];
        }
    }
    # Node may use a connection twice, so only the side that closes is tested.
    eventually { !open_at($httpd, 'PORT2') && !open_at($httpd, 'PORT3') }
        'all connections end';
    like idle($httpd, 'with'), qr/^[1-9]\d* 0 0$/,
        'with the promise all clients close first, before its end';
    is kept_at($httpd, 'PORT2'), 0,
        'with the promise the server keeps no socket';
    my ($ended) = idle($httpd, 'without') =~ /^0 0 (\d+)$/;
    ok $ended, 'without a promise httpd closes all connections first';
    is kept_at($httpd, 'PORT3'), $ended,
        'without a promise the server keeps a socket for each';
    for my $node (@nodes) {
        close $node->[1];
        waitpid $node->[0], 0;
    }
    $httpd->stop;
}

for_each_mpm {
    my $mpm = shift;
    nodes($mpm);
    promises($mpm);
    real_times($mpm);
    late($mpm);
    race($mpm);
    http2($mpm) if $mpm ne 'prefork';
};

done_testing;
