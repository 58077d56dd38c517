# FinWait2LingerIdle auto, which replaces an inherited time: a client that stalls in
# its upload for longer than httpd's own idle time of 2 s, and then continues, gets
# the whole error response, and no write error.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use IO::Socket::IP ();
use POSIX          ();

my $TRIES = 5;            # of each kind, on each MPM
my $STALL = 3;            # seconds, more than 2
my $REST  = 3_000_000;    # bytes, more than any buffer
my $PAGE  = 'y' x 20_000;

#---- what clients send -----------------------------------------------------------

sub request ($line, @fields) {
    return join "\r\n", "$line HTTP/1.1", 'Host: a', @fields, '', '';
}

my $GET   = request('GET /page');
my $LAST  = request('GET /page', 'Connection: close');
my @LARGE = ('Content-Length: 4000000');

# Each: sends   the text before the stall
#       status  of the last response, after which httpd closes
my %KINDS = (
    'the length'     => { sends => request('POST /page', @LARGE) . 'x' x 5000,
                          status => 413 },
    'chunks'         => { sends => request('POST /page',
                                          'Transfer-Encoding: chunked')
                                . "7d0\r\n" . 'x' x 2000 . "\r\n3d0900\r\nxx",
                          status => 413 },
    'expecting 100'  => { sends => request('POST /page', @LARGE,
                                          'Expect: 100-continue'),
                          status => 413 },
    'after a GET'    => { sends => $GET . request('POST /page', @LARGE),
                          status => 413 },
    'a bad chunk'    => { sends => request('POST /page',
                                          'Transfer-Encoding: chunked')
                                . "rubbish\r\n",
                          status => 400 },
    'a long path'    => { sends => request('POST /' . 'x' x 9000, @LARGE),
                          status => 414 },
    'no Host'        => { sends => request('POST /page', @LARGE) =~ s/Host/No/r,
                          status => 400 },
    'the backend'    => { sends => request('POST /back/', @LARGE,
                                          'Expect: 100-continue'),
                          status => 413 },
    'a tunnel'       => { sends => request('GET /back/tunnel',
                                          'Connection: Upgrade',
                                          'Upgrade: websocket'),
                          status => 101 },
    'pipelined'      => { sends => $GET . $GET . $LAST, status => 200 },
    'beyond'         => { sends => $LAST . 'x' x 5000, status => 200 },
);

# A backend that sends its response and its FIN immediately. httpd ends a tunnel
# only when the backend is idle, too.
sub backend () {
    my $listener = IO::Socket::IP->new(Listen => 99, LocalHost => '127.0.0.1')
        // die "listen: $@\n";
    my $pid = fork // die "fork: $!";
    return ($pid, $listener->sockport) if $pid;
    while (my $socket = $listener->accept) {
        my $text = '';
        while ($text !~ /\r\n\r\n/) {
            $socket->sysread($text, 65536, length $text) or last;
        }
        $socket->syswrite($text =~ /^Upgrade:/mi
            ? "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
              . "Upgrade: websocket\r\n\r\nbye"
            : "HTTP/1.1 413 Too Large\r\nConnection: close\r\n"
              . "Content-Length: 3\r\n\r\nbye");
        $socket->shutdown(1);
        push @{ state $kept }, $socket;
    }
    POSIX::_exit(0);
}

#---- the stall --------------------------------------------------------------------

my %ROOM = (prefork => "ServerLimit 128\nStartServers 64\n"
                     . "MaxSpareServers 128\nMaxRequestWorkers 128\n");
my $THREADS = "ServerLimit 4\nStartServers 4\nThreadsPerChild 32\n"
            . "MaxSpareThreads 128\nMaxRequestWorkers 128\n";

sub start ($mpm, $backend) {
    my $httpd = FinWait2Test->start(
        mpm     => $mpm,
        listen  => ['127.0.0.1:@PORT@', '127.0.0.1:@PORT2@'],
        modules => [qw(proxy proxy_http)],
        conf    => ($ROOM{$mpm} // $THREADS) . "FinWait2LingerIdle 100ms\n"
                 . vhost('PORT2', 'stall', <<"END"));
FinWait2LingerIdle auto
FinWait2LingerTotal 10min
LimitRequestBody 1000
ErrorDocument 413 /page
ProxyPass /back/ http://127.0.0.1:$backend/ upgrade=websocket
Timeout 5
END
    $httpd->document('page', $PAGE);
    return $httpd;
}

sub connect_all ($port) {
    my @clients;
    for my $kind (sort keys %KINDS) {
        for (1 .. $TRIES) {
            my $socket = connect_to($port);
            $socket->syswrite($KINDS{$kind}{sends});
            push @clients, { kind => $kind, socket => $socket };
        }
    }
    return @clients;
}

# Send the rest, then read: 'whole', or the fault of the response.
sub finish ($client) {
    my ($socket, $text, $sent) = ($client->{socket}, '', 0);
    local $SIG{PIPE} = 'IGNORE';
    while ($sent < $REST) {
        $sent += $socket->syswrite('x' x ($REST - $sent)) // return "write: $!";
    }
    $socket->shutdown(1);
    while (my $n = $socket->sysread($text, 65536, length $text) // return "$!") {
    }
    my ($last) = $text =~ m{.*(HTTP/1.1 .*)}s;
    my ($head, $body) = split /\r\n\r\n/, $last // '', 2;
    my ($length) = ($head // '') =~ /^Content-Length: (\d+)/mi;
    my ($status) = ($head // '') =~ /^HTTP\S+ (\d+)/ or return "'$text'";
    return $status if $status != $KINDS{ $client->{kind} }{status};
    return length($body) . ' bytes' if length $body != ($length // length $body);
    return 'whole';
}

#---- the directive ----------------------------------------------------------------

subtest 'FinWait2LingerIdle accepts auto and times' => sub {
    for my $good (qw(auto AUTO 10ms 2 2s 1h)) {
        my ($status, $output) = config_check("FinWait2LingerIdle $good\n");
        is $status, 0, "$good is accepted" or diag $output;
    }
    for my $bad (qw(0 9ms 61min autos unlimited)) {
        my ($status, $output) = config_check("FinWait2LingerIdle $bad\n");
        like $output, qr/cannot be '$bad': .*Allowed: auto .*10ms to 1h/,
            "$bad is refused";
        isnt $status, 0, "$bad: httpd does not start";
    }
};

#---- all kinds, on all MPMs ---------------------------------------------------------

my ($pid, $port) = backend();
for_each_mpm {
    my $httpd   = start(shift, $port);
    my @clients = connect_all($httpd->port('PORT2'));
    my $held    = sub { $httpd->vhost_json('stall')->{held} };
    my $oldest  = sub { $httpd->json->{closer}{oldest_seconds} };
    eventually { $held->() == @clients }
        'httpd answers and closes every connection';
    my $then = $oldest->();
    eventually { $oldest->() >= $then + $STALL }
        'the clients stall for three seconds';
    is $held->(), scalar @clients, 'every stalling client is still held';
    my %whole = map { $_ => 0 } keys %KINDS;
    for my $client (@clients) {
        my $got = finish($client);
        $got eq 'whole' ? $whole{ $client->{kind} }++
                        : diag "$client->{kind}: $got";
    }
    is_deeply \%whole, { map { $_ => $TRIES } keys %KINDS },
        'clients that stall and continue get their whole responses';
    $httpd->stop;
};
kill KILL => $pid;
waitpid $pid, 0;

done_testing;
