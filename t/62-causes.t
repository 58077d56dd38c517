# The causes of ends. On each MPM a real client provokes every cause, which must be
# counted once and alone, on the right one of several virtual hosts, and be in the
# access log if the cause is known when httpd writes the log.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use IO::Select      ();
use IO::Socket::IP  ();
use List::Util      qw(sum0);
use Socket qw(SHUT_WR);

my $PATIENT = 60;    # seconds for a condition, far more than any needs

# Processes for all clients at once.
my %ROOM = (prefork => "ServerLimit 40\nStartServers 32\n"
                     . "MaxSpareServers 40\nMaxRequestWorkers 40\n");

#---- httpd -----------------------------------------------------------------------

# The page is at the first address, so its readers are not in the numbers. PORT2 has
# plain HTTP with several names; PORT3 TLS; PORT4 no mod_reqtimeout and short times.
my $VHOSTS = <<'END';
# The system would keep clients that send nothing for half a minute.
AcceptFilter http none
AcceptFilter https none
RequestReadTimeout handshake=1 header=1 body=1
FinWait2LingerIdle 100ms
GlobalLog "@ROOT@/causes" "%{local}p %{finwait2-cause}n"
<VirtualHost *:@PORT2@>
    ServerName a.test
    KeepAliveTimeout 100ms
    LimitRequestBody 1000
    Redirect 503 /down
    Redirect 503 /document
    Redirect 404 /lost
    <Location "/lost">
        ErrorDocument 404 /page
    </Location>
    <Location "/document">
        ErrorDocument 503 /page
    </Location>
    ProxyPass /broken http://127.0.0.1:@PORT9@/broken
    ProxyPass /socket http://127.0.0.1:@PORT9@/socket upgrade=websocket
    <Directory "@ROOT@/htdocs">
        RewriteEngine On
        RewriteRule ^redirected$ /socket [L]
    </Directory>
</VirtualHost>
<VirtualHost *:@PORT2@>
    ServerName ws.test
    ProxyWebsocketFallbackToProxyHttp Off
    ProxyPass /socket ws://127.0.0.1:@PORT9@/socket
</VirtualHost>
<VirtualHost *:@PORT2@>
    ServerName b.test
    KeepAliveTimeout 60
    MaxKeepAliveRequests 2
    <Location "/once">
        SetEnv nokeepalive 1
    </Location>
</VirtualHost>
<VirtualHost *:@PORT2@>
    ServerName off.test
    KeepAlive Off
</VirtualHost>
<VirtualHost *:@PORT2@>
    ServerName zero.test
    FinWait2KeepAliveTimeout 0
</VirtualHost>
<VirtualHost *:@PORT2@>
    ServerName engine.test
    KeepAliveTimeout 60
    FinWait2Engine Off
</VirtualHost>
<VirtualHost *:@PORT4@>
    ServerName slow.test
    RequestReadTimeout header=0 body=0
    KeepAliveTimeout 500ms
    Timeout 1
</VirtualHost>
<VirtualHost *:@PORT5@>
    ServerName tunnel.test
    ProxyRequests On
    AllowCONNECT @PORT9@
    SetEnvIf User-Agent whole proxy-nohalfclose
</VirtualHost>
END

# mod_http2 uses the times of a port's first virtual host for h2c.
my $ENCRYPTED = <<'END';
<VirtualHost *:@PORT3@>
    ServerName tls.test
    SSLEngine On
    SSLCertificateFile @CERT@
    SSLCertificateKeyFile @KEY@
    Protocols h2 http/1.1
</VirtualHost>
<VirtualHost *:@PORT6@>
    ServerName clear.test
    Protocols h2c http/1.1
</VirtualHost>
END

sub start ($mpm, $conf, %options) {
    my $httpd = FinWait2Test->start(mpm => $mpm,
        conf    => "KeepAliveTimeout 500ms\n" . ($ROOM{$mpm} // '') . $conf,
        modules => [qw(reqtimeout alias env setenvif rewrite proxy proxy_http
                       proxy_connect proxy_wstunnel), @{ $options{modules} // [] }],
        listen  => [map { "127.0.0.1:\@PORT$_\@" } '', 2 .. 6]);
    $httpd->document('page', 'y' x 1000);
    $httpd->document('big', 'y' x 8_000_000);
    return $httpd;
}

#---- counters ---------------------------------------------------------------------

# Return {virtual host => {counter => number}} of ends, without zeros and without
# the page's virtual host.
sub counted ($httpd) {
    my %all;
    for my $vhost (@{ $httpd->json->{vhosts} }) {
        my ($name) = $vhost->{vhost} =~ /^(\w+)\.test:/ or next;
        my %n = map { $_ => $vhost->{$_} } qw(tls probes);
        for my $group (qw(closes causes connections)) {
            my $of = $vhost->{$group};
            $n{"$group $_"} = $of->{$_} for keys %$of;
        }
        $all{$name} = { map { $_ => $n{$_} } grep { $n{$_} } keys %n };
    }
    return \%all;
}

sub total ($of, $group) { sum0(map { $of->{$_} } grep { /^$group / } keys %$of) }

# Return the increases of counters, without zeros.
sub more ($now, $before) {
    my %more;
    for my $name (keys %$now) {
        my %old = %{ $before->{$name} // {} };
        my %n   = map { $_ => $now->{$name}{$_} - ($old{$_} // 0) }
            keys %{ $now->{$name} };
        $n{$_} or delete $n{$_} for keys %n;
        $more{$name} = \%n if %n;
    }
    return \%more;
}

# Return the increases by one connection with this cause. `how`: the protocol, if
# not http1, and other counters that increase.
sub one ($cause, %how) {
    my $side = $cause eq 'peer' ? 'by_peer' : 'by_server';
    my $protocol = delete $how{protocol} // 'http1';
    return { "causes $cause" => 1, "closes $side" => 1,
             "connections $protocol" => 1, %how };
}

my %PROBE = (protocol => 'other', probes => 1);

# Test that the code, which ends one connection, increases only the expected counters
# of one virtual host. $again, called with the code's results, is repeated meanwhile.
sub adds ($httpd, $name, $expected, $what, $code, $again = sub { }) {
    my $before = counted($httpd);
    my @keep   = $code->();
    my $more;
    eval { wait_for {
        $again->(@keep);
        $more = more(counted($httpd), $before);
        %$more;
    } $PATIENT, 'an increase' } or diag $@;
    is_deeply $more, { $name => $expected }, "$name: $what"
        or diag explain $more;
    return @keep;
}

# Return the number of lingers that ended idle; die if another one was acknowledged.
sub lingers ($httpd, $name) {
    my ($vhost) = grep { $_->{vhost} =~ /^$name\.test:/ }
        @{ $httpd->json->{vhosts} };
    die "$name: a linger ended at the acknowledgement\n" if $vhost->{endings}{acked};
    return $vhost->{endings}{silence};
}

#---- clients -----------------------------------------------------------------------

sub request ($host, $path = '/page', @lines) {
    return join "\r\n", "GET $path HTTP/1.1", "Host: $host.test", @lines, '',
        '';
}

my @CLOSE = ('Connection: close');

# Send each text after the response to the previous one; read until httpd closes.
# The caller keeps the socket, so the client closes only after it was counted.
sub patient ($port, @sends) {
    my $socket = connect_to($port);
    while (defined(my $sends = shift @sends)) {
        $socket->syswrite($sends);
        answer($socket) if @sends;
    }
    read_all($socket);
    return $socket;
}

# Return a kept-alive connection after one response.
sub kept ($port, $sends) {
    my $socket = connect_to($port);
    $socket->syswrite($sends);
    answer($socket);
    return $socket;
}

# Return the causes in the access log of all requests at a port since the last call.
sub noted ($httpd, $port) {
    open my $in, '<', $httpd->root . '/causes' or die "$!\n";
    seek $in, $httpd->{causes_read} // 0, 0;
    my @noted = map { /^\Q$port\E (\S+)$/ ? $1 : () } <$in>;
    $httpd->{causes_read} = tell $in;
    return @noted;
}

my %IN_LOG = map { $_ => 1 } qw(connection_close error request_limit timeout);

#---- each cause ----------------------------------------------------------------------

# [virtual host, name, increases, the texts that the client sends]
my $BODY = "Content-Length: 90000\r\n\r\n" . 'x' x 5000;
my $UNLOGGED = 'half a line of a second request';
my @PATIENT = (
    [a => 'an idle client', one('keepalive'), request('a')],
    [a => 'an idle client after two requests', one('keepalive'),
     (request('a')) x 2],
    [a => 'an idle client after a request to b', one('keepalive'),
     request('b'), request('a')],
    [a => 'Connection: close of the client', one('connection_close'),
     request('a', '/page', @CLOSE)],
    [b => 'Connection: close of the client after a request to a',
     one('connection_close'), request('a'), request('b', '/page', @CLOSE)],
    [a => 'HTTP/1.0', one('connection_close'),
     "GET /page HTTP/1.0\r\nHost: a.test\r\n\r\n"],
    [a => 'HTTP/1.0 kept alive', one('keepalive'),
     "GET /page HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n"],
    [a => 'HTTP/0.9', one('connection_close'), "GET /page\r\n"],
    [b => 'nokeepalive', one('connection_close'), request('b', '/once')],
    [off => 'KeepAlive Off', one('connection_close'), request('off')],
    [zero => 'FinWait2KeepAliveTimeout 0', one('connection_close'),
     request('zero')],
    [a => '503', one('error'), request('a', '/down')],
    [a => '503 with an error document', one('error'),
     request('a', '/document')],
    [a => '503 with Connection: close', one('error'),
     request('a', '/down', @CLOSE)],
    [a => '413', one('error'), "POST /page HTTP/1.1\r\nHost: a.test\r\n$BODY"],
    [a => '404 with an error document and Connection: close',
     one('connection_close'), request('a', '/lost', @CLOSE)],
    [a => '404 keeps the connection', one('keepalive'), request('a', '/none')],
    [a => 'an invalid request', one('error', %PROBE), "nonsense\r\n\r\n"],
    [a => 'an invalid second request', one('error'),
     request('a'), "nonsense\r\n\r\n"],
    [a => 'a request without Host', one('error', %PROBE),
     "GET /page HTTP/1.1\r\n\r\n"],
    [b => 'MaxKeepAliveRequests', one('request_limit'), (request('b')) x 3],
    [b => 'MaxKeepAliveRequests after requests to a', one('request_limit'),
     (request('a')) x 4, request('b')],
    [b => 'MaxKeepAliveRequests and Connection: close', one('connection_close'),
     (request('b')) x 2, request('b', '/page', @CLOSE)],
    [a => 'half a header', one('timeout', %PROBE),
     "GET /page HTTP/1.1\r\nHost: a.te"],
    [a => 'half a line', one('timeout', %PROBE), 'GET /pa'],
    [a => 'a client that sends nothing', one('timeout', %PROBE), ''],
    [b => 'half a header of a second request', one('timeout'),
     request('b'), "GET /page HTTP/1.1\r\nHost: b.te"],
    [b => $UNLOGGED, one('timeout'), request('b'), 'GET /pa'],
    [b => 'half a body', one('timeout'),
     "POST /page HTTP/1.1\r\nHost: b.test\r\n$BODY"],
    [a => 'pipelined requests, the last with Connection: close',
     one('connection_close'), request('a') . request('a', '/page', @CLOSE)],
);

subtest 'requests decide the cause' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, $VHOSTS);
        my $port  = $httpd->port('PORT2');
        for (@PATIENT) {
            my ($name, $what, $expected, @sends) = @$_;
            adds($httpd, $name, $expected, $what, sub { patient($port, @sends) });
            my ($cause) = map { /^causes (\w+)/ } keys %$expected;
            my @noted   = noted($httpd, $port);
            # httpd does not log a second request without a complete line; it
            # logs a first one, even if that is empty.
            $cause = '-' if !$IN_LOG{$cause} || $what eq $UNLOGGED;
            is pop @noted, $cause, "$what: the log has the cause";
            is_deeply [grep { $_ ne '-' } @noted], [],
                "$what: earlier requests have no cause in the log";
        }
        # Twenty connections at once.
        my %before = %{ counted($httpd) };
        my @sockets = map {
            my $socket = connect_to($port);
            $socket->syswrite(request($_ % 2 ? 'a' : 'b', '/page', @CLOSE));
            $socket;
        } 1 .. 20;
        read_all($_) for @sockets;
        my %now;
        wait_for { %now = %{ counted($httpd) };
                   my $more = more(\%now, \%before);
                   20 == sum0(map { total($_, 'causes') } values %$more) }
            $PATIENT, 'twenty connections to be counted';
        is_deeply more(\%now, \%before)->{$_},
            { map { $_ => 10 } 'causes connection_close', 'closes by_server',
                               'connections http1' },
            "$_: ten of twenty connections are counted"
            for qw(a b);
        for my $group (qw(closes causes connections)) {
            is sum0(map { total($_, $group) } values %now), @PATIENT + 20,
                "$group: the sum is the number of all connections";
        }
        $httpd->stop;
    };
};

subtest 'clients that close or do not read decide the cause' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, $VHOSTS);
        my $port  = $httpd->port('PORT2');
        my $peer  = sub ($name, $what, $code, @how) {
            adds($httpd, $name, one('peer', @how), $what, $code);
        };
        $peer->(b => 'an idle client closes', sub {
            kept($port, request('b'))->close;
            ();
        });
        $peer->(b => 'an idle client resets', sub {
            reset_it(kept($port, request('b')));
            ();
        });
        $peer->(b => 'a client shuts down after its request', sub {
            my $socket = kept($port, request('b'));
            $socket->syswrite(request('b'));
            $socket->shutdown(SHUT_WR);
            read_all($socket);
            $socket;
        });
        $peer->(engine => 'an idle client closes with Engine Off', sub {
            kept($port, request('engine'))->close;
            ();
        });
        $peer->(a => 'a client closes without a request', sub {
            connect_to($port)->close;
            ();
        }, %PROBE);
        $peer->(a => 'a client closes after half a line', sub {
            my $socket = connect_to($port);
            $socket->syswrite('GET /pa');
            $socket->close;
            ();
        }, %PROBE);
        $peer->(b => 'a client resets during the response', sub {
            my $socket = connect_to($port, buffer => 4096);
            $socket->syswrite(request('b', '/big'));
            IO::Select->new($socket)->can_read($PATIENT);
            reset_it($socket);
            ();
        });

        $port = $httpd->port('PORT4');
        adds($httpd, 'slow', one('timeout'),
             'a client does not read the response', sub {
            my $socket = connect_to($port, buffer => 4096);
            $socket->syswrite(request('slow', '/big'));
            $socket;
        });
        adds($httpd, 'slow', one('timeout'),
            'a client does not read the last response', sub {
            my $socket = connect_to($port, buffer => 4096);
            $socket->syswrite(request('slow', '/big', @CLOSE));
            $socket;
        });
        adds($httpd, 'slow', one('timeout', %PROBE),
             'half a line until Timeout',
             sub { patient($port, 'GET /pa') });
        adds($httpd, 'slow', one($mpm eq 'event' ? 'timeout' : 'keepalive'),
             $UNLOGGED, sub { patient($port, request('slow'), 'GET /pa') });
        $httpd->stop;
    };
};

subtest 'backends decide the cause' => sub {
    for_each_mpm {
        my $mpm     = shift;
        my $backend = IO::Socket::IP->new(Listen => 5, LocalHost => '127.0.0.1')
            // die "listen: $@\n";
        my $to    = $backend->sockport;
        my $httpd = start($mpm, $VHOSTS =~ s/\@PORT9\@/$to/gr);
        my $tunnel = sub ($agent, $then) {
            my $socket = connect_to($httpd->port('PORT5'));
            $socket->syswrite("CONNECT 127.0.0.1:$to HTTP/1.1\r\n"
                . "Host: 127.0.0.1:$to\r\nUser-Agent: $agent\r\n\r\n");
            my $other = $backend->accept;
            $socket->sysread(my $output, 1000);
            like $output, qr/^HTTP\S+ 200/, 'the tunnel is open';
            $other->close;
            read_all($socket);
            return $then->($socket);
        };
        adds($httpd, 'tunnel', one('other', protocol => 'other'),
             'the other end closes a tunnel',
             sub { $tunnel->(whole => sub ($socket) { $socket }) });
        adds($httpd, 'tunnel', one('peer', protocol => 'other'),
             'the client closes a tunnel after the other end',
             sub { $tunnel->(half => sub ($socket) { $socket->close; () }) });
        my $websocket = sub ($name, $path, $then) {
            my $socket = connect_to($httpd->port('PORT2'));
            $socket->syswrite(request($name, $path, 'Upgrade: websocket',
                                      'Connection: Upgrade'));
            my $other = $backend->accept;
            $other->sysread(my $asked, 10000);
            $other->syswrite("HTTP/1.1 101 Switching Protocols\r\n"
                           . "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
            $socket->sysread(my $output, 1000);
            like $output, qr/^HTTP\S+ 101/, 'the WebSocket is open';
            $then->($socket);
            $other->close;
            read_all($socket);
            return $socket;
        };
        adds($httpd, 'a', one('peer', protocol => 'other'),
             'the client ends a WebSocket',
             sub { $websocket->('a', '/socket',
                                sub ($socket) { $socket->shutdown(SHUT_WR) }) });
        # The client's next bytes end the other half after the backend has refused
        # them. The client may send more, so no linger ends at an acknowledgement.
        local $SIG{PIPE} = 'IGNORE';
        for (['a', '/socket'], ['ws', '/socket'], ['a', '/redirected']) {
            my ($name, $path) = @$_;
            my $before = lingers($httpd, $name);
            my @stays = adds($httpd, $name, one('other', protocol => 'other'),
                "the backend ends a WebSocket at $path",
                sub { $websocket->($name, $path, sub ($socket) { }) },
                sub ($socket) { $socket->syswrite("\x88\x80abcd") });
            next if $path eq '/redirected';    # httpd marks the connection as aborted
            ok eval { wait_for { lingers($httpd, $name) > $before } $PATIENT,
                      'its linger to end' },
                  "$name$path: the linger ends idle" or diag $@;
        }
        adds($httpd, 'a', one('other'), 'the backend breaks a response off', sub {
            my $socket = connect_to($httpd->port('PORT2'));
            $socket->syswrite(request('a', '/broken'));
            my $other = $backend->accept;
            $other->sysread(my $asked, 10000);
            $other->syswrite("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n"
                           . 'y' x 10);
            $other->close;
            read_all($socket);
            $socket;
        });
        $httpd->announce(qr/AH01110: error reading response/);
        $httpd->stop;
    };
};

#---- TLS and HTTP/2 --------------------------------------------------------------------

# Send a text, read the response, and shut the connection down.
sub leaves ($socket, $sends = '') {
    $socket->syswrite($sends) if length $sends;
    my $text = '';
    while (length $sends && $text !~ /y{1000}/) {
        sysread $socket, $text, 65536, length $text or die "no answer\n";
    }
    CORE::shutdown $socket, SHUT_WR;
    return $socket;
}

subtest 'TLS and HTTP/2 connections have their causes' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, "$VHOSTS$ENCRYPTED",
                          modules => [qw(ssl http2 socache_shmcb)]);
        $httpd->announce(qr/mpm_prefork|prefork\.c/) if $mpm eq 'prefork';
        my ($tls, $clear) = map { $httpd->port("PORT$_") } 3, 6;
        my %h1 = (tls => 1);
        adds($httpd, 'tls', one('keepalive', %h1), 'an idle client', sub {
            my $socket = tls_to($tls);
            $socket->syswrite(request('tls'));
            read_all($socket);
            $socket;
        });
        adds($httpd, 'tls', one('connection_close', %h1), 'Connection: close', sub {
            my $socket = tls_to($tls);
            $socket->syswrite(request('tls', '/page', @CLOSE));
            read_all($socket);
            $socket;
        });
        adds($httpd, 'tls', one('peer', %h1), 'the client closes', sub {
            my $socket = tls_to($tls);
            $socket->syswrite(request('tls'));
            $socket->sysread(my $some, 1000);
            $socket->close;
            ();
        });
        adds($httpd, 'tls', one('peer', %PROBE),
             'a client closes without a handshake',
             sub { connect_to($tls)->close; () });
        adds($httpd, 'tls', one('peer', %PROBE, tls => 1),
             'a client closes after the handshake', sub { tls_to($tls)->close; () });
        adds($httpd, 'tls', one('timeout', %PROBE),
             'a client that sends nothing',
             sub { patient($tls, '') });
        adds($httpd, 'tls', one('error'), 'plain HTTP instead of TLS',
             sub { patient($tls, request('tls')) });

        # Only event shows the end by mod_http2's own idle time.
        my $idle = $mpm eq 'event' ? 'keepalive' : 'other';
        my %h2   = (protocol => 'http2');
        my $h2c  = http2_begin() . http2_get(1, 'clear.test', '/page');
        adds($httpd, 'clear', one($idle, %h2), 'h2c, idle',
             sub { patient($clear, $h2c) });
        adds($httpd, 'clear', one('peer', %h2), 'h2c, the client closes',
             sub { leaves(connect_to($clear), $h2c) });
        return $httpd->stop if $mpm eq 'prefork';    # supports only h2c

        my $upgrade = request('clear', '/page', 'Upgrade: h2c',
            'Connection: Upgrade, HTTP2-Settings', 'HTTP2-Settings: AAMAAABk');
        my $preface = http2_begin();
        adds($httpd, 'clear', one('peer', %h2), 'h2c, upgraded',
             sub { leaves(connect_to($clear), "$upgrade$preface") });
        my $h2 = http2_begin()
               . http2_get(1, 'tls.test', '/page', -scheme => 'https');
        adds($httpd, 'tls', one($idle, %h2, tls => 1), 'h2, idle', sub {
            my $socket = tls_to($tls, 'h2');
            $socket->syswrite($h2);
            read_all($socket);
            $socket;
        });
        adds($httpd, 'tls', one('peer', %h2, tls => 1), 'h2, the client closes',
             sub { leaves(tls_to($tls, 'h2'), $h2) });
        adds($httpd, 'tls', one('peer', %PROBE, tls => 1), 'h2, no request',
             sub { leaves(tls_to($tls, 'h2')) });
        $httpd->stop;
    };
};

#---- restarts, killed children, other configurations ------------------------------------

my $IDLES = "KeepAliveTimeout 60\n";

subtest 'counters survive restarts and killed children' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, $VHOSTS);
        my $port  = $httpd->port('PORT2');
        my $once  = sub ($name) {
            adds($httpd, $name, one('connection_close'), 'one more connection',
                 sub { patient($port, request($name, '/page', @CLOSE)) });
        };
        my $same = sub ($before, $what) {
            my $now = counted($httpd);
            is_deeply more($now, $before), {}, "$what: no counter increases";
            is_deeply [map { $now->{$_} } qw(a off)],
                [map { $before->{$_} } qw(a off)], "$what: no counter is lost";
        };
        $once->($_) for qw(a b off);

        # Event closes an idle client immediately, another MPM with its next
        # response, or before if the client is not idle yet.
        noted($httpd, $port);
        my $answered;
        adds($httpd, 'b', one('stop'), 'a graceful restart', sub {
            local $SIG{PIPE} = 'IGNORE';
            my $socket = kept($port, request('b'));
            $httpd->graceful;
            $socket->syswrite(request('b')) if $mpm ne 'event';
            $answered = read_all($socket);
            $socket;
        });
        is_deeply [noted($httpd, $port)], ['-', $answered ? 'stop' : ()],
            'the log has the cause stop if a response followed';
        $once->($_) for qw(a b off);

        my $before = counted($httpd);
        my @open   = map { kept($port, request('b')) } 1 .. 4;
        my %old    = map { $_ => 1 } $httpd->children;
        kill KILL => keys %old;
        read_all($_) for @open;
        wait_for { !grep { $old{$_} } $httpd->children } $PATIENT,
            'the killed children to be gone';
        $same->($before, 'killed children');
        $once->($_) for qw(a b off);

        # b is renamed, and d is new.
        my $renamed = $VHOSTS =~ s/b\.test/c.test/r;
        $before = counted($httpd);
        $httpd->graceful(($ROOM{$mpm} // '') . $renamed
                         . vhost('PORT2', 'd', $IDLES));
        $same->($before, 'a renamed virtual host');
        is_deeply [grep { $_ && %$_ } @{ counted($httpd) }{qw(c d)}], [],
            'new virtual hosts begin at 0';
        $once->($_) for qw(a c d off);

        # With more virtual hosts than rows, the row of the removed b is reused.
        $before = counted($httpd);
        $httpd->graceful(($ROOM{$mpm} // '') . $renamed
                         . join '', map { vhost('PORT2', "n$_", $IDLES) }
                             1 .. 40);
        $same->($before, 'forty more virtual hosts');
        ok !counted($httpd)->{b}, 'a removed virtual host has no numbers';
        $once->($_) for qw(a c n40 off);
        $httpd->stop;
    };
};

done_testing;
