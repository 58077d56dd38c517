# The endings of lingers. On each MPM a real client causes each ending on its own
# virtual host (and port), which then has counted that ending once and no other. A
# virtual host without a linger, or with a linger by httpd, has counted nothing.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use List::Util qw(sum0);
use IO::Select      ();
use IO::Socket::IP  ();
use Socket qw(IPPROTO_TCP SHUT_WR);

my $PATIENT = 40;    # seconds for a condition, far more than any needs

# Workers for all clients at once, even if httpd itself lingers.
my %ROOM = (prefork => "ServerLimit 64\nStartServers 32\n"
                     . "MaxSpareServers 64\nMaxRequestWorkers 64\n");
my $THREADS = "ServerLimit 8\nStartServers 4\nMaxSpareThreads 64\n"
            . "MaxRequestWorkers 64\n";

#---- requests -----------------------------------------------------------------

my $CLOSE = "GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
my $KEEP  = "GET /page HTTP/1.1\r\nHost: a\r\n\r\n";
my $OLD   = "GET /page HTTP/1.0\r\n\r\n";
my $POST  = "POST /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
          . "Content-Length: 3\r\n\r\nabc";
my $CHUNK = "POST /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
          . "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
# Content-Length is more than is sent, so the body never ends.
my $UPLOAD  = "Host: a\r\nContent-Length: 90000\r\n\r\n" . 'x' x 5000;
my $NO_HOST = "GET /page HTTP/1.1\r\n\r\n" . 'x' x 5000;
my $HALF    = "GET /page HTTP/1.1\r\nHos";

# Longer than any test: a linger that ends earlier has another reason.
my $NEVER = "FinWait2LingerIdle 1h\nFinWait2LingerTotal 1h\n";
my $IDLE  = "FinWait2LingerIdle 200ms\nFinWait2LingerTotal 1h\n";
my $LONG = "FinWait2LingerTotal 1h\n";
my $ALWAYS = "FinWait2Linger always\n";
my $SHORT  = "RequestReadTimeout header=1 body=1\n";

use constant TCP_CORK => 3;    # linux/tcp.h

#---- the cases -----------------------------------------------------------------

# Each: conf     the configuration of its virtual host
#       sends    the text that the client sends before it reads the response
#       status   the status of the response; 0: no response
#       then     the client's next step, repeated until an ending is counted
#       ends     the ending of the linger; absent: no linger
#       holder   the holder of the server's end after that: process or kernel
#       slow     true if the client does not read the response before `then`
#       leaves   true if the client's FIN follows its request
my %CASES = (
    # auto: until all data is acknowledged, if the client cannot send more.
    'old'      => { conf => $NEVER, sends => $OLD,   ends => 'acked' },
    'close'    => { conf => $NEVER, sends => $CLOSE, ends => 'acked',
                    holder => 'kernel' },
    'expiry'   => { conf => $NEVER, sends => $KEEP,  ends => 'acked' },
    'missing'  => { conf => $NEVER, sends => $CLOSE =~ s/page/none/r,
                    status => 404,  ends => 'acked' },

    # auto: until the client is idle, if it may send more.
    'post'     => { conf => $IDLE, sends => $POST,  ends => 'silence' },
    'chunked'  => { conf => $IDLE, sends => $CHUNK, ends => 'silence' },
    'nohost'   => { conf => $IDLE, sends => $NO_HOST, status => 400,
                    ends => 'silence' },
    'nonsense' => { conf => $IDLE, sends => "\x{16}\x{3}\r\n\r\n",
                    status => 400, ends => 'silence' },
    'half'     => { conf => "$IDLE$SHORT", sends => $HALF, status => 408,
                    ends => 'silence' },
    'halfbody' => { conf => "$IDLE$SHORT",
                    sends => "POST /page HTTP/1.1\r\n$UPLOAD",
                    status => 408, ends => 'silence' },
    'mute'     => { conf => "$IDLE$SHORT", sends => '', status => 0,
                    ends => 'silence' },
    'large'    => { conf => "${IDLE}LimitRequestBody 1000\n",
                    sends => "POST /page HTTP/1.1\r\n$UPLOAD",
                    status => 413, ends => 'silence' },
    'long'     => { conf => $IDLE, sends => 'POST /' . 'x' x 9000
                                         . " HTTP/1.1\r\n$UPLOAD",
                    status => 414, ends => 'silence' },
    'unknown'  => { conf => "${IDLE}Redirect 501 /page\n",
                    sends => "BREW /page HTTP/1.1\r\n$UPLOAD",
                    status => 501, ends => 'silence' },
    map({ ("drops$_" => { conf => "${IDLE}Redirect $_ /page\n",
                          sends => "POST /page HTTP/1.1\r\n$UPLOAD",
                          status => $_, ends => 'silence' }) } 411, 500, 503),
    'pipeline' => { conf => "${IDLE}KeepAlive Off\n", sends => $KEEP x 2,
                    ends => 'silence' },
    # A client that has pipelined may do so again.
    'expiry2'  => { conf => $IDLE, sends => $KEEP x 2, ends => 'silence' },
    'newline'  => { conf => $IDLE, sends => "$CLOSE\r\n", ends => 'silence' },

    # The default idle time of 2 s, for clients that were not sending.
    'auto'        => { conf => $LONG, sends => $POST,  ends => 'silence' },
    'autochunked' => { conf => $LONG, sends => $CHUNK, ends => 'silence' },
    'autodrops'   => { conf => "${LONG}Redirect 503 /page\n", sends => $KEEP,
                       status => 503, ends => 'silence' },
    'autopage'    => { conf => "${LONG}ErrorDocument 404 /page\n",
                       sends => $POST =~ s/page/none/r, status => 404,
                       ends => 'silence' },

    # always.
    'silence'  => { conf => "$IDLE$ALWAYS", sends => $CLOSE,
                    ends => 'silence' },
    'closed'   => { conf => "$NEVER$ALWAYS", sends => $CLOSE,
                    then => sub ($socket) { $socket->close },
                    ends => 'peer_closed' },
    'halfshut' => { conf => "$NEVER$ALWAYS", sends => $CLOSE,
                    then => sub ($socket) { $socket->shutdown(SHUT_WR) },
                    ends => 'peer_closed' },
    'reset'    => { conf => "$NEVER$ALWAYS", sends => $CLOSE,
                    then => \&reset_it, ends => 'peer_reset' },
    'total'    => { conf => "${ALWAYS}FinWait2LingerIdle 1h\n"
                          . "FinWait2LingerTotal 300ms\n",
                    sends => $CLOSE, then => sub ($socket) { send_now($socket, 1) },
                    ends => 'total' },
    'bytes'    => { conf => "$NEVER${ALWAYS}FinWait2LingerBytes 64K\n",
                    sends => $CLOSE,
                    then => sub ($socket) { send_now($socket, 65536) },
                    ends => 'bytes' },
    # A note of mod_reqtimeout shortens the total time; the time of the policy would
    # never end.
    'short'    => { conf => "$NEVER$ALWAYS$SHORT", sends => $HALF,
                    status => 408, ends => 'total' },

    # An administrator kills the socket.
    !can_kill() ? () : (
    'killed'   => { conf => "$NEVER$ALWAYS", sends => $CLOSE, then => \&kill_it,
                    ends => 'peer_reset' }),

    # No linger.
    'off'      => { conf => "${NEVER}FinWait2Linger off\n", sends => $CLOSE,
                    holder => 'kernel' },
    # The FIN arrives before httpd has written all of the long response.
    'leaver'   => { conf => "$NEVER$ALWAYS", sends => $CLOSE =~ s/page/big/r,
                    leaves => 1 },
    'abort'    => { conf => "$NEVER$ALWAYS", sends => $CLOSE =~ s/page/big/r,
                    slow => 1, then => \&reset_it },

    # httpd lingers.
    'httpd'    => { conf => "${NEVER}FinWait2Linger httpd\n", sends => $CLOSE,
                    holder => 'process' },
    'engine'   => { conf => "${NEVER}FinWait2Engine Off\n", sends => $CLOSE,
                    holder => 'process' },

    # A virtual host without directives of the module has its own counters, too.
    'plain'    => { conf => '', sends => $CLOSE, ends => 'acked' },
);

#---- clients -------------------------------------------------------------------

sub kill_it ($socket) {
    my ($client, $server) = ($socket->sockport, $socket->peerport);
    system "ss -K -tanH 'sport = :$server and dport = :$client' > /dev/null";
}

# True if this kernel and user can destroy sockets of others.
sub can_kill () {
    my $listener = IO::Socket::IP->new(Listen => 1, LocalHost => '127.0.0.1');
    my $socket   = connect_to($listener->sockport);
    kill_it($socket);
    return IO::Select->new($socket)->can_read(1);
}

# Send as much as fits into the buffer, without waiting.
sub send_now ($socket, $bytes) {
    local $SIG{PIPE} = 'IGNORE';
    $socket->blocking(0);
    $socket->syswrite('x' x $bytes);
}

# Return the status of the last response, or the text of an incomplete one.
sub status_of ($text) {
    my $status = 0;
    while (length $text) {
        my ($head) = $text =~ /^(HTTP.*?\r\n\r\n)/s or return "part: $text";
        my ($length) = $head =~ /^Content-Length: (\d+)\r$/mi;
        my $body = substr $text, length $head;
        return "part: $text" if defined $length && length $body < $length;
        ($status) = $head =~ /^HTTP\S+ (\d+)/;
        $text = defined $length ? substr $body, $length : '';
    }
    return $status;
}

#---- httpd ---------------------------------------------------------------------

sub start ($mpm, $conf, %options) {
    my $httpd = FinWait2Test->start(
        # Without AcceptFilter httpd also accepts clients that send nothing.
        mpm => $mpm, conf => ($ROOM{$mpm} // $THREADS)
            . "AcceptFilter http none\nAcceptFilter https none\n$conf",
        %options,
        modules => [qw(alias reqtimeout), @{ $options{modules} // [] }]);
    $httpd->document('page', 'y' x 1000);
    $httpd->document('big', 'y' x 8_000_000);
    return $httpd;
}

# Return the server's ends at this port, by ss.
sub ends_at ($port) {
    my @ends = grep { !/^LISTEN/ } `ss -tanHoe 'sport = :$port'`;
    return grep { !/^TIME-WAIT/ } @ends;
}

#---- every case, on every MPM --------------------------------------------------

sub begin ($case) {
    my $socket = $case->{socket} =
        connect_to($case->{port}, $case->{slow} ? (buffer => 4096) : ());
    # A client that leaves does so with the request, in one segment.
    setsockopt $socket, IPPROTO_TCP, TCP_CORK, 1 if $case->{leaves};
    $socket->syswrite($case->{sends});
    $socket->shutdown(SHUT_WR) if $case->{leaves};
}

sub judge_case ($httpd, $name, $case) {
    if (!$case->{slow}) {
        is status_of(read_all($case->{socket}, $name)), $case->{status} // 200,
            "$name: the response is complete";
    }
    if ($case->{ends}) {
        my $seen = eval {
            wait_for {
                $case->{then}->($case->{socket}) if $case->{then};
                %{ $httpd->endings($name) };
            } $PATIENT, 'an ending';
        };
        ok $seen, "$name: the linger ends" or diag $@;
        return;
    }
    if ($case->{slow}) {
        IO::Select->new($case->{socket})->can_read($PATIENT);
        $case->{then}->($case->{socket});
    }
    if (!$case->{holder}) {
        eventually { !ends_at($case->{port}) } "$name: no socket is left";
    }
}

# Test the holder of the server's end.
sub judge_holder ($name, $case) {
    my %n;
    my $right = eval {
        wait_for {
            %n = map { $_ => ss_count(port => $case->{port}, holder => $_) }
                qw(process kernel timewait);
            $n{kernel} += delete $n{timewait};
            $n{ $case->{holder} } == 1 && $n{process} + $n{kernel} == 1;
        } $PATIENT, 'the holder';
    };
    ok $right,
        "$name: the $case->{holder} holds the socket" or diag explain \%n;
}

for_each_mpm {
    my $mpm   = shift;
    my $next  = 2;
    my %cases = map { $_ => { %{ $CASES{$_} }, name => 'PORT' . $next++ } }
        sort keys %CASES;
    my @names = sort keys %cases;
    my $httpd = start($mpm,
        "KeepAliveTimeout 100ms\nRequestReadTimeout header=0 body=0\n"
        . join('', map { vhost($cases{$_}{name}, $_, $cases{$_}{conf}) }
               @names),
        listen => [map { "127.0.0.1:\@$_\@" } 'PORT',
                   map { $_->{name} } @cases{@names}]);
    for my $name (@names) {
        $cases{$name}{port} = $httpd->port($cases{$name}{name});
        begin($cases{$name});
        # Test the holder immediately: httpd lingers for two seconds only.
        judge_holder($name, $cases{$name}) if $cases{$name}{holder};
    }
    judge_case($httpd, $_, $cases{$_}) for @names;
    # Compare after all lingers have ended, to see endings of a wrong virtual host.
    for my $name (@names) {
        my $ends = $cases{$name}{ends};
        is_deeply $httpd->endings($name), $ends ? { $ends => 1 } : {},
            "$name: " . ($ends ? "$ends is counted once" : 'no ending is counted');
    }
    is_deeply [map { $httpd->json->{closer}{$_} } qw(evicted fallback)],
        [0, 0], 'no connection was evicted';
    $httpd->stop;
};

#---- slots run out, and httpd restarts ------------------------------------------

subtest 'evictions and restarts end lingers once' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = FinWait2Test->start(mpm => $mpm, conf =>
            "ServerLimit 1\nStartServers 1\n"
            . ($mpm eq 'prefork' ? "MinSpareServers 2\n" : '')
            . 'MaxRequestWorkers ' . ($mpm eq 'prefork' ? 1 : 8) . "\n"
            . "FinWait2LingerSlots 2\nFinWait2Linger httpd\n"
            . vhost('PORT2', 'two', "$ALWAYS$NEVER"),
            listen => ['127.0.0.1:@PORT@', '127.0.0.1:@PORT2@']);
        my @clients = map {
            scalar idle_client('127.0.0.1', $httpd->port('PORT2'), $OLD)
        } 1 .. 7;
        # A client sees the end before its connection is handed off.
        eventually { ($httpd->endings('two')->{evicted} // 0) >= 5 }
            'five connections are evicted';
        is_deeply $httpd->endings('two'), { evicted => 5 },
            'each ending is counted once';
        my $closer = $httpd->json->{closer};
        is_deeply [@$closer{qw(evicted held fallback capacity)}], [5, 2, 0, 2],
            'the two slots hold the last two of seven connections';
        if ($mpm eq 'prefork') {    # its only child is busy with the page
            my $limit = qr/reached MaxRequestWorkers/;
            $httpd->announce($limit);
            wait_for { $httpd->log =~ $limit } $PATIENT, 'httpd to complain';
        }
        $httpd->stop;

        $httpd = start($mpm, vhost('PORT2', 'two', "$ALWAYS$NEVER"),
            listen => ['127.0.0.1:@PORT@', '127.0.0.1:@PORT2@']);
        @clients = map {
            scalar idle_client('127.0.0.1', $httpd->port('PORT2'), $CLOSE)
        } 1 .. 5;
        eventually {
            5 == sum0(map { $_->{held} } grep { $_->{vhost} =~ /^two/ }
                          @{ $httpd->json->{vhosts} });
        } 'five connections are held';
        $httpd->graceful;
        $closer = $httpd->json->{closer};
        is_deeply [@$closer{qw(held processes)}], [5, 2],
            'after a graceful restart the old process holds them';
        undef @clients;
        eventually { ($httpd->json->{closer}{processes} // 0) == 1 }
            'the old process ends with its last connection';
        is_deeply $httpd->endings('two'), { peer_closed => 5 },
            'each ending is counted once';
        $httpd->stop;
    };
};

#---- TLS and HTTP/2 -------------------------------------------------------------

sub got_close_notify ($socket) {
    return Net::SSLeay::get_shutdown($socket->_get_ssl_object) & 2;
}

# Return [type, flags, stream, payload] of each frame; die if one is incomplete.
sub h2_frames ($text) {
    my @frames;
    while (length $text) {
        my $length = unpack 'N', "\0" . substr $text, 0, 3;
        die "part of a frame\n" if length $text < 9 + $length;
        my (undef, undef, $type, $flags, $stream) =
            unpack 'CnCCN', substr $text, 0, 9, '';
        push @frames, [$type, $flags, $stream, substr $text, 0, $length, ''];
    }
    return @frames;
}

sub judge_h2 ($text, $name) {
    my @frames = h2_frames($text);
    is length(join '', map { $_->[3] } grep { $_->[0] == 0 } @frames), 1000,
        "$name: the response is complete";
    is $frames[-1][0], 7, "$name: GOAWAY is the last frame";
}

subtest 'lingers of TLS and HTTP/2 end as expected' => sub {
    for_each_mpm {
        my $mpm  = shift;
        my $tls  = "SSLEngine On\nSSLCertificateFile \@CERT\@\n"
                 . "SSLCertificateKeyFile \@KEY\@\n";
        my $httpd = start($mpm,
            "KeepAliveTimeout 100ms\nRequestReadTimeout handshake=1\n"
            . vhost('PORT2', 'tls',    "$tls$NEVER")
            . vhost('PORT3', 'expiry', "$tls$NEVER")
            . vhost('PORT4', 'hello',  "$tls$IDLE")
            . vhost('PORT5', 'h2c',    "${IDLE}Protocols h2c http/1.1\n")
            . vhost('PORT6', 'h2',     "$tls${IDLE}Protocols h2 http/1.1\n")
            . vhost('PORT7', 'curl',   "${NEVER}Protocols h2c http/1.1\n"),
            modules => [qw(ssl http2 socache_shmcb)],
            listen  => [map { "127.0.0.1:\@PORT$_\@" } '', 2 .. 7]);
        $httpd->announce(qr/mpm_prefork|prefork\.c/) if $mpm eq 'prefork';
        my $port = sub ($n) { $httpd->port("PORT$n") };

        my $hello = connect_to($port->(4));    # sends nothing
        my %tls;
        for (['tls', 2, $CLOSE], ['expiry', 3, $KEEP]) {
            my ($name, $n, $sends) = @$_;
            my $socket = $tls{$name} = tls_to($port->($n));
            $socket->syswrite($sends);
            is status_of(read_all($socket)), 200,
                "$name: the response is complete";
            ok got_close_notify($socket), "$name: the client gets close_notify";
            eventually { tcp_state($socket) == CLOSE_WAIT }
                "$name: the FIN follows close_notify";
        }
        my $h2c = connect_to($port->(5));
        $h2c->syswrite(http2_begin() . http2_get(1, 'a', '/page'));
        judge_h2(read_all($h2c, 'h2c'), 'h2c');
        my $h2;
        if ($mpm ne 'prefork') {    # mod_http2 does not offer h2 there
            $h2 = tls_to($port->(6), 'h2');
            is $h2->alpn_selected, 'h2', 'ALPN selects h2';
            $h2->syswrite(http2_begin() . http2_get(1, 'a', '/page',
                                                    -scheme => 'https'));
            judge_h2(read_all($h2), 'h2');
            ok got_close_notify($h2), 'h2: the client gets close_notify';
        }
        my $url = 'http://127.0.0.1:' . $port->(7) . '/page';
        like `curl -sS -m 20 --http2-prior-knowledge $url`, qr/^y{1000}$/,
            'curl gets the whole response';
        read_all($hello, 'hello');

        my %ends = (tls => 'acked', expiry => 'acked', h2c => 'silence', $h2 ? (h2 => 'silence') : ());
        for my $name (sort keys %ends) {
            eval { wait_for { %{ $httpd->endings($name) } } $PATIENT,
                'an ending' };
            is_deeply $httpd->endings($name), { $ends{$name} => 1 },
                "$name: $ends{$name} is counted once";
        }
        is_deeply $httpd->endings('curl'), {},
            'curl closes first, so no ending is counted';
        is_deeply $httpd->endings('hello'), {},
            'a connection without a handshake has no ending';
        $httpd->stop;
    };
};

#---- the access log --------------------------------------------------------------

my $FORMAT = '%{local}p %>s %B %I %O %X %k %l \"%r\" %{Connection}o';

sub log_lines ($httpd, $name) {
    open my $in, '<', $httpd->root . "/log-$name" or return [];
    return [sort map { s/^\d+ //r } <$in>];
}

subtest 'the access log has the same lines as without the module' => sub {
    for_each_mpm {
        my $mpm  = shift;
        my %conf = (PORT2 => ['none', "FinWait2Engine Off\n"],
                    PORT3 => ['auto', "FinWait2Linger auto\n"],
                    PORT4 => ['always', $ALWAYS],
                    PORT5 => ['off', "FinWait2Linger off\n"]);
        my $httpd = start($mpm, "KeepAliveTimeout 100ms\n${SHORT}"
            . "LogFormat \"$FORMAT\" all\n" . join('', map {
                my ($name, $conf) = @{ $conf{$_} };
                vhost($_, $name, "LimitRequestBody 1000\n${conf}"
                               . "CustomLog \"\@ROOT\@/log-$name\" all\n");
            } sort keys %conf),
            listen  => [map { "127.0.0.1:\@PORT$_\@" } '', 2 .. 5]);
        # One line each, and two for the two pipelined requests.
        my @sends = ($OLD, $CLOSE, $KEEP, $KEEP x 2, $POST, $CHUNK, $NO_HOST,
                    $HALF, "POST /page HTTP/1.1\r\n$UPLOAD", "$CLOSE\r\n",
                    'GET /' . 'x' x 9000 . " HTTP/1.1\r\n$UPLOAD");
        my @clients;
        for my $name (sort keys %conf) {
            for my $sends (@sends) {
                my $socket = connect_to($httpd->port($name));
                $socket->syswrite($sends);
                push @clients, $socket;
            }
        }
        read_all($_, 'a client') for @clients;
        my %lines;
        for (values %conf) {
            my ($name) = @$_;
            wait_for { @{ log_lines($httpd, $name) } == @sends + 1 } $PATIENT,
                "the log of $name";
            $lines{$name} = log_lines($httpd, $name);
        }
        is_deeply $lines{$_}, $lines{none},
            "$_: the lines are those of FinWait2Engine Off"
            for qw(auto always off);
        $httpd->stop;
    };
};

#---- connections to backends ------------------------------------------------------

# A backend that keeps its connections, and counts connections and requests.
sub backend () {
    my $listener = IO::Socket::IP->new(Listen => 10, LocalHost => '127.0.0.1')
        // die "listen: $@\n";
    return { listener => $listener, port => $listener->sockport,
             select => IO::Select->new($listener), accepted => 0, asked => 0,
             ended => 0 };
}

sub serve ($backend) {
    for my $ready ($backend->{select}->can_read(0.01)) {
        if ($ready == $backend->{listener}) {
            $backend->{select}->add(scalar $ready->accept);
            $backend->{accepted}++;
            next;
        }
        if ($ready->sysread(my $request, 65536)) {
            $ready->syswrite("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            $backend->{asked}++;
            next;
        }
        $backend->{ended}++;
        $backend->{select}->remove($ready);
    }
}

subtest 'connections to backends do not linger' => sub {
    for_each_mpm {
        my $mpm     = shift;
        my $backend = backend();
        my $httpd   = start($mpm, $NEVER . vhost('PORT2', 'front', $NEVER
            # In the reverse order both would share one proxy worker.
            . "ProxyPass /once http://127.0.0.1:$backend->{port}/once "
            . "disablereuse=On\n"
            . "ProxyPass /kept http://127.0.0.1:$backend->{port}/\n"),
            modules => [qw(proxy proxy_http)],
            listen  => ['127.0.0.1:@PORT@', '127.0.0.1:@PORT2@']);
        my @clients;
        for my $path (('/kept') x 6, ('/once') x 3) {
            my $client = connect_to($httpd->port('PORT2'));
            $client->syswrite($CLOSE =~ s{/page}{$path}r);
            my $select = IO::Select->new($client);
            wait_for { serve($backend); $select->can_read(0) } $PATIENT,
                'the answer';
            like read_all($client, $path), qr/\bok$/,
                "$path: the request is answered";
            push @clients, $client;
        }
        wait_for { serve($backend);
                   ($httpd->endings('front')->{acked} // 0) == 9
                   && $backend->{ended} >= 3 }
            $PATIENT, 'all connections to end';
        is_deeply $httpd->endings('front'), { acked => 9 },
            'only connections of clients are counted';
        is $backend->{asked}, 9, 'the backend gets every request';
        is $backend->{ended}, 3,
            'only the connections without reuse end';
        $httpd->stop;
    };
};

done_testing;
