package FinWait2Client;

# Clients of a private httpd, over real sockets. Core Perl only, but for TLS.
#
#   connect_to($port, %options)   a connected socket; host => '127.0.0.1';
#                                 buffer => bytes of the receive buffer, of which
#                                 a small one soon causes a zero window;
#                                 otherwise IO::Socket::IP's options
#   tls_to($port, @protocols)     a connected TLS socket; protocols by ALPN
#   read_all($socket, $what)      the text up to the end of file
#   read_until($socket, $pattern, $what)  the text up to a pattern
#   answer($socket)               the text of one response with Content-Length
#   has_ended($socket)            true if httpd has closed the connection
#   reset_it($socket)             close by a reset, if it is open
#   tcp_state($socket)            Linux's number: ESTABLISHED, FIN_WAIT2,
#                                 CLOSE_WAIT, CLOSED
#   server_ends()                 {"server's port, client's port" => {state,
#                                 timer, seconds until it fires, inode}}
#   idle_client($host, $port, $request)
#                                 a socket of a client that has read the response
#                                 up to the end of file and never closes; in list
#                                 context the socket and the text
#   idle_clients($httpd, 'PORT2', $times)
#                                 that many such sockets, of requests for /page
#   answer_proxy($listener)       accept a request of a proxy and respond with
#                                 `ok`, as a backend; the socket, not closed
#   load($port), unload($load)    start and stop four clients that request /page
#                                 (1000 times `y`); unload returns the failures
#   http2_begin()                 the connection preface of an h2c client
#   http2_get($stream, $host, $path, %headers)
#                                 a request; -scheme => 'https'
#   http2_frame($type, $flags, $stream, $payload)   any other frame
#
# Every wait has a limit, and its error names the condition.

use v5.36;
use Exporter       qw(import);
use File::Temp     ();
use FinWait2Test   qw(spew);
use IO::Select     ();
use IO::Socket::IP ();
use POSIX          ();
use Socket         qw(IPPROTO_TCP SOL_SOCKET SO_LINGER SO_RCVBUF TCP_INFO);
use Time::HiRes    qw(time);

use constant { ESTABLISHED => 1, FIN_WAIT2 => 5, CLOSED => 7, CLOSE_WAIT => 8 };

our @EXPORT = qw(CLOSED CLOSE_WAIT ESTABLISHED FIN_WAIT2 answer answer_proxy
                 connect_to has_ended http2_begin http2_frame http2_get load
                 read_all read_until reset_it server_ends idle_client
                 idle_clients tcp_state tls_to unload);

#---- plain sockets -----------------------------------------------------------

sub connect_to ($port, %options) {
    my $host   = (delete $options{host} // '127.0.0.1') =~ tr/[]//dr;
    my $buffer = delete $options{buffer};
    my @more   = @{ delete $options{Sockopts} // [] };
    push @more, [SOL_SOCKET, SO_RCVBUF, $buffer] if $buffer;
    return IO::Socket::IP->new(PeerHost => $host, PeerPort => $port,
                               Timeout => 20, Sockopts => \@more, %options)
        // die "connect to $host port $port: $@\n";
}

sub tls_to ($port, @protocols) {
    require IO::Socket::SSL;
    my $socket = connect_to($port);
    IO::Socket::SSL->start_SSL($socket, SSL_verify_mode => 0,
        @protocols ? (SSL_alpn_protocols => \@protocols) : ())
        or die "TLS: @{[IO::Socket::SSL::errstr()]}\n";
    return $socket;
}

# Append the next bytes, and return their number: 0 at the end of file. OpenSSL
# reports an end of file without close_notify as an error.
sub read_more ($socket, $text, $what) {
    my $tls = $socket->can('pending');
    $tls && $socket->pending
        || IO::Select->new($socket)->can_read(FinWait2Test::patience(60))
        or die "$what: no more bytes arrive after '$$text'\n";
    my $n = sysread $socket, $$text, 65536, length $$text;
    die "$what: $! after '$$text'\n" if !defined $n && !$tls;
    return $n // 0;
}

sub read_all ($socket, $what = 'a client') {
    my $text = '';
    1 while read_more($socket, \$text, $what);
    return $text;
}

sub read_until ($socket, $pattern, $what = 'a client') {
    my $text = '';
    while ($text !~ $pattern) {
        read_more($socket, \$text, $what)
            or die "$what: the end comes after '$text'\n";
    }
    return $text;
}

sub answer ($socket) {
    my $text = '';
    while (1) {
        my ($head, $body) = split /\r\n\r\n/, $text, 2;
        return $text if ($head // '') =~ /^Content-Length: (\d+)\r?$/mi
            && length $body == $1;
        read_more($socket, \$text, 'an answer')
            or die "no answer after '$text'\n";
    }
}

sub answer_proxy ($listener) {
    IO::Select->new($listener)->can_read(FinWait2Test::patience(30))
        or die "no request came\n";
    my $proxy = $listener->accept // die "accept: $!\n";
    read_until($proxy, qr/\r\n\r\n/, 'a request');
    $proxy->syswrite("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    return $proxy;
}

sub has_ended ($socket) {
    return IO::Select->new($socket)->can_read(0)
        && !$socket->sysread(my $more, 1);
}

sub reset_it ($socket) {
    $socket->opened or return;
    setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    $socket->close;
}

#---- the states of both ends in the kernel ------------------------------------

sub tcp_state ($socket) { ord getsockopt $socket, IPPROTO_TCP, TCP_INFO }

sub server_ends () {
    my %ends;
    for my $table (qw(tcp tcp6)) {
        open my $in, '<', "/proc/net/$table" or next;
        while (my $line = <$in>) {
            next if $line =~ /^ *\d+: \S+ \S+ 06/;    # TIME_WAIT
            my (undef, $local, $remote, $state, undef, $timer, undef, undef,
                undef, $inode) = split ' ', $line;
            my ($kind, $when) = $timer =~ /^(\w+):(\w+)$/ or next;
            my @ports = map { hex s/.*://r } $local, $remote;
            $ends{"@ports"} = { state => hex $state, timer => hex $kind,
                                seconds => hex($when) / 100, inode => $inode };
        }
    }
    return \%ends;
}

#---- clients that never close ------------------------------------------------

sub idle_client ($host, $port, $request) {
    my $socket = connect_to($port, host => $host);
    $socket->syswrite($request);
    my $text = read_all($socket, "the answer from $host port $port");
    return wantarray ? ($socket, $text) : $socket;
}

sub idle_clients ($httpd, $port, $times) {
    return map {
        scalar idle_client($httpd->host, $httpd->port($port),
            "GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    } 1 .. $times;
}

#---- load --------------------------------------------------------------------

my $SCRATCH = File::Temp->newdir;
my $ASK = "GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

# Send one request; return (true if the response is complete, the failure).
sub ask_once ($socket, $keep) {
    $socket->syswrite($keep ? $ASK =~ s/close/keep-alive/r : $ASK)
        or return (0, 'unanswered');
    my $text = '';
    while ($text !~ /\r\n\r\ny{1000}/) {
        my $n = $socket->sysread($text, 65536, length $text);
        return (0, length $text ? "part: $!" : 'unanswered') if !$n;
    }
    return (1, '');
}

# Send requests until the file $stop exists. httpd may close an idle connection
# while a request is on its way; the request is then sent again. Any other failure
# ends the loop.
sub ask_on ($port, $keep, $stop) {
    my ($asked, $wrong, $socket) = (0, '');
    while (!-e $stop && !$wrong) {
        my $used = $socket;
        $socket //= eval { connect_to($port) };
        my ($ok, $why) = $socket ? ask_once($socket, $keep) : (0, $@);
        $asked++ if $ok;
        $wrong = $why if !$ok && !($used && $why eq 'unanswered');
        undef $socket if !$keep || !$ok;
    }
    return "$asked $wrong";
}

sub load ($port) {
    my $load = { stop => "$SCRATCH/stop-$port" };
    for my $keep (0, 0, 1, 1) {
        my $pid = open(my $from, '-|') // die "fork: $!";
        if (!$pid) {
            $SIG{PIPE} = 'IGNORE';
            syswrite STDOUT, ask_on($port, $keep, $load->{stop});
            POSIX::_exit(0);
        }
        push @{ $load->{from} }, $from;
    }
    return $load;
}

# Return the failures: none if each client got at least one response.
sub unload ($load) {
    spew($load->{stop}, '');
    my @output = map { scalar <$_> } @{ $load->{from} };
    close $_ for @{ $load->{from} };
    unlink $load->{stop};
    return (grep { !/^[1-9]\d* $/ } @output);
}

#---- HTTP/2 ------------------------------------------------------------------

# RFC 9113, 4.1.
sub http2_frame ($type, $flags, $stream, $payload) {
    return substr(pack('N', length $payload), 1)
         . pack('CCN', $type, $flags, $stream) . $payload;
}

sub http2_begin () {
    return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . http2_frame(4, 0, 0, '');
}

# The method and the scheme are entries of HPACK's table, the path and the host
# have names of that table, and other headers have literal names (RFC 7541, 6.2.2).
sub http2_get ($stream, $host, $path, %headers) {
    my $text   = sub ($text) { chr(length $text) . $text };
    my $scheme = delete $headers{-scheme} // 'http';
    return http2_frame(1, 5, $stream, join '', "\x82",
        $scheme eq 'https' ? "\x87" : "\x86",
        "\x04", $text->($path), "\x01", $text->($host),
        map { ("\x00", $text->($_), $text->($headers{$_})) } sort keys %headers);
}

1;
