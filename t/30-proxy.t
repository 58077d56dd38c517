# The module sets no options on connections that mod_proxy opens. On HTTP/2 and TLS
# connections the virtual host of the last stream decides, like that of the last
# request. The options of a connection show in its fate after httpd has closed it
# and the other side has not.

use v5.36;
use Test::More;
use IO::Select;
use IO::Socket::IP;
use FinWait2Test;
use FinWait2Client;

my $PATIENT = 30;    # seconds for a condition, far more than any needs

# The seconds that the orphan of each watched connection had left at the first
# look, or 0 without an orphan. Call look() often: only a young orphan shows its
# whole life.
my (%watched, %left);

sub look () {
    my $ends = server_ends();
    for my $ports (grep { !defined $left{$_} } keys %watched) {
        my $end = $ends->{$ports};
        if (!$end) {    # twice, for /proc is not read at one moment
            $left{$ports} = 0 if ++$watched{$ports} > 1;
            next;
        }
        $left{$ports} = $end->{seconds}
            if !$end->{inode} && $end->{state} == FIN_WAIT2
            && $end->{timer} == 3;
    }
}

sub watch ($ports) {
    $watched{$ports} = 0;
    delete $left{$ports};
}

sub orphan ($ports) {
    watch($ports) if !defined $watched{$ports};
    wait_for { look(); defined $left{$ports} } $PATIENT,
        "httpd to close $ports";
    delete $watched{$ports};
    return delete $left{$ports};
}

sub lives ($ports, $least, $most, $what) {
    my $left = orphan($ports);
    ok $least < $left && $left <= $most,
        "$what: an orphan with $least to $most s" or diag "$left s";
}

# A process of openssl that forwards a pair of pipes over TLS.
my %openssl;
END { kill KILL => keys %openssl }

sub openssl (@arguments) {
    pipe my $from, my $its_out or die "pipe: $!";
    pipe my $its_in, my $to or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDIN,  '<&', $its_in;
        open STDOUT, '>&', $its_out;
        open STDERR, '>',  '/dev/null';
        close $_ for $from, $to;
        { exec 'openssl', @arguments }
        POSIX::_exit(127);
    }
    $openssl{$pid} = 1;
    return { pid => $pid, from => $from, to => $to };
}

sub end_openssl ($openssl) {
    kill KILL => $openssl->{pid};
    waitpid $openssl->{pid}, 0;
    delete $openssl{ $openssl->{pid} };
}

#---- connections to backends -------------------------------------------------

my $OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

sub get ($port, $path) {
    my $client = connect_to($port);
    $client->syswrite("GET $path HTTP/1.1\r\nHost: localhost\r\n\r\n");
    return $client;
}

# Read once: the text, or 'end', or the error.
sub read_once ($socket) {
    IO::Select->new($socket)->can_read($PATIENT) or return 'nothing';
    my $n = sysread $socket, my $text, 100;
    return !defined $n ? "$!" : $n ? "'$text'" : 'end';
}

sub backends ($mpm) {
    my ($once, $pool) = map {
        IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 5)
            // die "listen: $@"
    } 1 .. 2;
    my ($once_port, $pool_port) = map { $_->sockport } $once, $pool;
    my $httpd = FinWait2Test->start(
        mpm => $mpm, page => 0, modules => [qw(proxy proxy_http ssl)],
        conf => <<"END");
FinWait2Timeout 5s
FinWait2SocketLinger reset
FinWait2KeepAliveTimeout 100ms
ProxyPass /closed http://127.0.0.1:$once_port/ disablereuse=On
ProxyPass /pooled http://127.0.0.1:$pool_port/
ProxyPass /tls    https://127.0.0.1:\@PORT2\@/
SSLProxyEngine On
SSLProxyCheckPeerName Off
SSLProxyCheckPeerCN Off
# \@CERT\@ is for openssl s_server.
<VirtualHost *:\@PORT\@>
</VirtualHost>
# A different value, so that the listening socket has no options: those would hide
# options on a backend's connection.
<VirtualHost *:\@PORT\@>
    ServerName other.test
    FinWait2Timeout 12s
    FinWait2SocketLinger off
</VirtualHost>
END
    $httpd->announce(qr/FinWait2SocketLinger .*truncated/);
    my $tls_port = $httpd->port('PORT2');
    my $tls = openssl('s_server', '-quiet', '-accept', "127.0.0.1:$tls_port",
                      '-cert', $httpd->root . '/tls.crt',
                      '-key', $httpd->root . '/tls.key');
    wait_for { ss_count(port => $tls_port, state => 'listening') } $PATIENT,
        'openssl s_server to listen';

    my $client = get($httpd->port, '/closed');
    my $closed = answer_proxy($once);
    read_until($client, qr/ok$/, 'the answer');
    is read_once($closed), 'end',
        'a backend connection without reuse is not reset';
    lives(join(' ', $closed->peerport, $once_port), 30, 60, 'without reuse');
    wait_for { tcp_state($client) == CLOSED } $PATIENT,
        'the connection from the client to be reset';
    pass 'the connection from the client is reset';

    my $pooling = get($httpd->port, '/pooled');
    my $pooled  = answer_proxy($pool);
    read_until($pooling, qr/ok$/, 'the answer');
    my $tls_client = get($httpd->port, '/tls');
    read_until($tls->{from}, qr/\r\n\r\n/, 'a request by TLS');
    syswrite $tls->{to}, $OK;
    read_until($tls_client, qr/ok$/, 'the answer by TLS');
    my ($tls_end) = grep { / $tls_port$/ } keys server_ends()->%*;
    my $pooled_end = join ' ', $pooled->peerport, $pool_port;
    watch($_) for $tls_end, $pooled_end;
    kill STOP => $tls->{pid};    # not to close when the proxy does

    # The event MPM may crash if it stops while a connection ends, also without
    # this module.
    close $_ for $client, $pooling, $tls_client;
    wait_for { !ss_count(port => $httpd->port, state => 'connected',
                         holder => 'process') }
        $PATIENT, 'httpd to close what its clients have closed';
    $httpd->stop;
    is read_once($pooled), 'end', 'a pooled backend connection is not reset';
    lives($pooled_end, 30, 60, 'pooled');
    lives($tls_end, 30, 60, 'TLS, pooled');
    end_openssl($tls);
}

#---- HTTP/2 and TLS ----------------------------------------------------------

my %LIFE = ('a.test' => [0, 5], 'b.test' => [5, 12], 'system.test' => [12, 60]);
my %SET  = ('a.test' => '5s', 'b.test' => '12s', 'system.test' => 'system');

sub frame ($type, $flags, $stream, $payload = '') {
    return pack 'CnCCNa*', 0, length $payload, $type, $flags, $stream, $payload;
}

# GET / of a host, in HEADERS with END_STREAM and END_HEADERS; RFC 7541 without its
# dynamic table or Huffman coding.
sub headers ($stream, $scheme, $host) {
    my $indexed = $scheme eq 'https' ? "\x87" : "\x86";
    return frame(1, 0x05, $stream, "\x82\x84$indexed\x01" . chr(length $host)
                                 . $host);
}

# Send a request to each host on one connection, each on its own stream and after
# the previous response; return the bodies.
sub http2 ($in, $out, $scheme, @hosts) {
    syswrite $out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(4, 0, 0);
    my ($stream, $read, @bodies) = (-1, '');
    for my $host (@hosts) {
        my $body = '';
        syswrite $out, headers($stream += 2, $scheme, $host);
        for (my $ended = 0; !$ended;) {
            $read .= read_until($in, qr/./s, "$host by HTTP/2")
                while length $read < 9
                   || length $read < 9 + unpack 'N', "\0$read";
            my $payload_length = unpack 'N', "\0$read";
            my (undef, undef, $type, $flags, $of) = unpack 'CnCCN', $read;
            my $payload = substr substr($read, 0, 9 + $payload_length, ''), 9;
            syswrite $out, frame(4, 1, 0) if $type == 4 && !($flags & 1);
            die "$host: HTTP/2 frame of type $type\n" if $type == 3 || $type == 7;
            $body .= $payload if $type == 0 && $of == $stream;
            $ended = $type <= 1 && $flags & 1 && $of == $stream;
        }
        push @bodies, $body;
    }
    return "@bodies";
}

sub http1 ($in, $out, $scheme, @hosts) {
    return join ' ', map {
        syswrite $out, "GET / HTTP/1.1\r\nHost: $_\r\n\r\n";
        read_until($in, qr/\r\n\r\n\Q$_\E$/, "$_ by $scheme") =~ s/.*\r\n//sr;
    } @hosts;
}

sub http2_and_tls ($mpm) {
    my $names = sub ($port, @lines) {
        join '', map {
            join "\n", "<VirtualHost *:\@$port\@>", "ServerName $_",
                "ErrorDocument 404 $_", "FinWait2Timeout $SET{$_}", @lines,
                "</VirtualHost>\n"
        } sort keys %SET;
    };
    my $httpd = FinWait2Test->start(
        mpm => $mpm, page => 0, modules => [qw(http2 ssl)],
        listen => ['127.0.0.1:@PORT@', '127.0.0.1:@PORT2@'],
        # Time to stop a client after its answer, before httpd closes.
        conf => "Protocols h2 h2c http/1.1\nKeepAliveTimeout 2\n"
            . $names->('PORT')
            . $names->('PORT2', 'SSLEngine On',
                       'SSLCertificateFile "@CERT@"',
                       'SSLCertificateKeyFile "@KEY@"'));
    my ($plain, $secure) = map { $httpd->port($_) } qw(PORT PORT2);
    my @waiting;
    for my $hosts (['a.test'], ['b.test'], ['a.test', 'b.test'],
                   ['b.test', 'system.test', 'a.test'],
                   ['a.test', 'system.test']) {
        my $client = connect_to($plain);
        is http2($client, $client, 'http', @$hosts), "@$hosts",
            "HTTP/2: @$hosts";
        my $end = join ' ', $plain, $client->sockport;
        push @waiting, ["HTTP/2: @$hosts", $hosts->[-1], $end, $client];
        watch($end);
        look();
    }
    for my $how ([\&http2, 'HTTP/2 by TLS', 'a.test', '-alpn', 'h2'],
                 [\&http2, 'HTTP/2 by TLS', 'b.test', '-alpn', 'h2'],
                 [\&http1, 'TLS', 'b.test'],
                 [\&http1, 'TLS', 'system.test']) {
        my ($http, $what, $host, @alpn) = @$how;
        my %before = server_ends()->%*;
        my $tls = openssl('s_client', '-quiet', '-connect',
                          "127.0.0.1:$secure", '-servername', $host, @alpn);
        is $http->($tls->{from}, $tls->{to}, 'https', $host), $host,
            "$what: $host";
        kill STOP => $tls->{pid};    # not to close when httpd does
        my ($end) = grep { /^$secure / && !$before{$_} } keys server_ends()->%*;
        push @waiting, ["$what: $host", $host, $end, undef, $tls];
        watch($end);
        look();
    }
    for my $case (@waiting) {
        my ($what, $host, $ports, undef, $tls) = @$case;
        lives($ports, $LIFE{$host}->@*, $what);
        end_openssl($tls) if $tls;
    }
    $httpd->stop;
}

# The machine's own network namespace may have another value.
chomp(my $system = slurp('/proc/sys/net/ipv4/tcp_fin_timeout'));
plan skip_all => "tcp_fin_timeout is $system: lives would not be distinct"
    if $system != 60;
for_each_mpm { backends(@_) };
for my $mpm (grep { $_ ne 'prefork' } mpms()) {    # mod_http2 does not support prefork
    subtest "$mpm: HTTP/2 and TLS" => sub { http2_and_tls($mpm) };
}

done_testing;
