# No close truncates a response. The clients have a small receive buffer, because
# loopback would hide a loss otherwise; all tries of one MPM run in parallel. The
# same clients lose bytes if httpd closes without a linger, so the test detects a
# truncation.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use Digest::MD5     qw(md5_hex);
use Errno           qw(EAGAIN);
use IO::Select      ();
use IO::Socket::SSL ();
use Time::HiRes     qw(time);

my $PATIENT = 60;    # seconds for a condition, far more than any needs
my $TRIES   = 20;    # of each scenario, mode and MPM
my $BLIND   = 5;     # of scenarios that must lose bytes, or with httpd's linger

my %PAGE = (big => noise(300_000), medium => noise(60_000));
my %DIGEST = map { $_ => md5_hex($PAGE{$_}) } keys %PAGE;

# Room for all clients at once.
my %ROOM = (prefork => "ServerLimit 128\nStartServers 64\n"
                     . "MaxSpareServers 128\nMaxRequestWorkers 128\n");
my $THREADS = "ServerLimit 8\nStartServers 4\nThreadsPerChild 32\n"
            . "MaxSpareThreads 256\nMaxRequestWorkers 256\n";

sub noise ($size) { join '', map { chr 33 + rand 90 } 1 .. $size }

#---- scenarios -------------------------------------------------------------------

my $GET = "GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

# More data than httpd reads before it closes.
my $UPLOAD = "POST /medium HTTP/1.1\r\nHost: a\r\n"
           . "Content-Length: 10000000\r\n\r\n" . 'x' x 100_000;

# Each: page    the expected document
#       status  the expected status, if it is not 200
#       port    the kind of its virtual host
#       sends   the text that the client sends first
#       waits   seconds from httpd's close to the first read; absent: the client
#               reads as soon as everything is sent
#       adds    the text that the client sends after the wait
#       bite    bytes of each read, `pause` seconds apart
#       buffer  SO_RCVBUF
my %SCENARIO = (
    'starts 3 s late' => { page => 'big', sends => $GET, waits => 3,
                           buffer => 8192 },
    'uploads on'      => { page => 'medium', buffer => 4096,
                           sends => $UPLOAD . 'x' x 9_900_000, status => 413 },
    'pipelines'       => { page => 'big', sends => "$GET$UPLOAD", waits => 0.2,
                           buffer => 8192 },
    'stray CRLF'      => { page => 'big', sends => $GET, waits => 0.2,
                           adds => "\r\n", buffer => 8192 },
    'slow over TLS'   => { page => 'medium', port => 'tls', buffer => 4096,
                           sends => $GET =~ s/big/medium/r,
                           bite => 1000, pause => 0.02 },
    # An idle client, whose connection event closes after the keep-alive time with
    # a linger of 2 s.
    'HTTP/2 updates'  => { page => 'big', h2 => 1, waits => 3,
                           sends => h2_request(), buffer => 2048 },
);
# Scenarios with a client that sends more than its requests.
my @MORE = ('uploads on', 'pipelines', 'stray CRLF', 'HTTP/2 updates');

#---- HTTP/2, by hand --------------------------------------------------------------

# A window for the whole response: httpd writes all of it, and GOAWAY, before the
# client reads. RFC 9113, 7541.
sub h2_request () {
    my $settings = pack 'nN', 4, 1 << 20;
    my $headers  = "\x82\x86\x04\x04/big\x41\x01a";
    return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . http2_frame(4, 0, 0, $settings)
         . http2_frame(8, 0, 0, pack 'N', 1 << 20)
         . http2_frame(1, 5, 1, $headers);
}

sub h2_update ($bytes) { http2_frame(8, 0, 0, pack 'N', $bytes) }

# Return the body, and the types of all frames as one digit each.
sub h2_body ($text) {
    my ($body, $types) = ('', '');
    while (length $text >= 9) {
        my (undef, undef, $type, undef, undef) = unpack 'CnCCN', $text;
        my $length = unpack 'N', "\0" . substr $text, 0, 3;
        my $payload = substr substr($text, 0, 9 + $length, ''), 9;
        $body .= $payload if $type == 0;
        $types .= $type;
    }
    return ($body, $types);
}

#---- clients, many at a time ------------------------------------------------------

sub client ($host, $port, %scenario) {
    my $socket = connect_to($port, host => $host,
                            buffer => $scenario{buffer});
    if (($scenario{port} // '') eq 'tls') {
        IO::Socket::SSL->start_SSL($socket, SSL_verify_mode => 0)
            or die "TLS: $IO::Socket::SSL::SSL_ERROR\n";
    }
    $socket->blocking(0);
    return { %scenario, socket => $socket, out => $scenario{sends}, in => '',
             ends => join ' ', $port, $socket->sockport };
}

sub write_some ($client, $now) {
    my $n = $client->{socket}->syswrite($client->{out}, 262_144);
    if (!defined $n && $! != EAGAIN) {
        $client->{wrong} = "writing: $!";
        $client->{out}   = '';
    }
    substr($client->{out}, 0, $n // 0) = '';
    $client->{sent_at} //= $now if !length $client->{out};
}

sub read_some ($client, $now) {
    my $n = sysread $client->{socket}, $client->{in}, $client->{bite} // 65536,
        length $client->{in};
    if ($n) {
        $client->{out} .= h2_update($n) if $client->{h2};
        $client->{read_at} = $now + ($client->{pause} // 0);
    }
    elsif (defined $n) {
        $client->{done} = 'end';
    }
    elsif ($! != EAGAIN) {
        $client->{done} = "reading: $!";
    }
}

# Set the time of the first read of each client. The wait for httpd's close has a
# limit: with small buffers in the kernel httpd waits for the client.
sub let_read ($now, @clients) {
    state $looked = 0;
    my @waiting = grep { !defined $_->{read_at} && $_->{sent_at} } @clients;
    for my $client (grep { !defined $_->{waits} } @waiting) {
        $client->{read_at} = $now;
    }
    @waiting = grep { defined $_->{waits} } @waiting;
    return if !@waiting || $now < $looked + 0.1;
    $looked = $now;
    my %open;
    for (`ss -tanH state established`) {
        my ($local, $peer) = /:(\d+) +\S+:(\d+)/ or next;
        $open{"$local $peer"} = 1;
    }
    for my $client (@waiting) {
        next if $open{ $client->{ends} } && $now < $client->{sent_at} + 10;
        $client->{read_at} = $now + $client->{waits};
        $client->{out} .= $client->{adds} // '';
    }
}

# Run all clients until they have ended or the time is over.
sub run (@clients) {
    local $SIG{PIPE} = 'IGNORE';
    my $until = time + $PATIENT;
    while (@clients = grep { !$_->{done} } @clients) {
        my $now = time;
        if ($now > $until) {
            $_->{done} = 'no end' for @clients;
        }
        let_read($now, @clients);
        my ($in, $out) = ('', '');
        for my $client (@clients) {
            my $fd = fileno $client->{socket};
            vec($out, $fd, 1) = 1 if length $client->{out};
            vec($in, $fd, 1) = 1 if wants_to_read($client, $now);
        }
        select $in, $out, undef, 0.01;
        for my $client (@clients) {
            my $fd = fileno $client->{socket};
            write_some($client, $now) if vec $out, $fd, 1;
            read_some($client, $now)
                if vec($in, $fd, 1)
                || $client->{port} && wants_to_read($client, $now)
                   && $client->{socket}->pending;
        }
    }
}

sub wants_to_read ($client, $now) {
    return defined $client->{read_at} && $client->{read_at} <= $now;
}

# Return 'whole', or the fault of the response.
sub verdict ($client) {
    return $client->{done}  if $client->{done} ne 'end';
    my ($head, $body) = ('', $client->{in});
    if ($client->{h2}) {
        ($body, my $types) = h2_body($body);
        return length($body) . " bytes, frames $types" if $types !~ /07$/;
    }
    else {
        ($head, $body) = split /\r\n\r\n/, $body, 2;
        my $status = $client->{status} // 200;
        return "not $status" if $head !~ /^HTTP\S+ $status /;
    }
    $body //= '';
    return length($body) . ' bytes' if length $body != length
        $PAGE{ $client->{page} };
    return 'other bytes' if md5_hex($body) ne $DIGEST{ $client->{page} };
    return $client->{wrong} // 'whole';
}

sub tally (@clients) {
    my %n;
    $n{ verdict($_) }++ for @clients;
    return \%n;
}

#---- httpd ------------------------------------------------------------------------

# The kernel's buffer holds a whole response, so httpd closes long before the client
# reads.
my $COMMON = "SendBufferSize 1048576\n"
           . "KeepAliveTimeout 1\nErrorDocument 413 /medium\n"
           # A client on a loaded machine may be idle for longer than 2 s.
           . "FinWait2LingerIdle 20s\nFinWait2LingerTotal 1min\n";
my $HTTP2  = "Protocols h2c http/1.1\nLogLevel http2:error\n";

my %MODE = (
    auto   => '',
    always => "FinWait2Linger always\n",
    httpd  => "FinWait2Linger httpd\n",
    off    => "FinWait2Linger off\n",
    reset  => "FinWait2Linger off\nFinWait2SocketLinger reset\n",
);
my @MODES = sort keys %MODE;

# Scenarios that must lose nothing. With httpd's own linger of 2 s, only those
# whose clients do not send more: on a busy machine a client may be idle for longer.
my @ALL  = sort keys %SCENARIO;
my %SAFE = (auto => \@ALL, always => \@ALL,
            httpd => ['slow over TLS', 'starts 3 s late']);

sub vhosts () {
    my ($conf, %name, @listen, $n) = ('');
    my %kind = (plain => '', tls => "SSLEngine On\n"
        . "SSLCertificateFile \@CERT\@\nSSLCertificateKeyFile \@KEY\@\n");
    for my $mode (@MODES) {
        for my $kind (sort keys %kind) {
            my $port = $name{"$mode $kind"} = 'PORT' . (2 + $n++);
            push @listen, "127.0.0.1:\@$port\@";
            $conf .= "<VirtualHost *:\@$port\@>\nServerName $mode-$kind.test\n"
                   . "LimitRequestBody 1000\n$kind{$kind}$MODE{$mode}"
                   . "</VirtualHost>\n";
        }
    }
    return ($conf, \@listen, \%name);
}

sub write_pages ($httpd) {
    $httpd->document($_, $PAGE{$_}) for keys %PAGE;
}

for_each_mpm {
    my $mpm = shift;
    my ($conf, $listen, $name) = vhosts();
    my $httpd = FinWait2Test->start(mpm => $mpm,
        listen  => ['127.0.0.1:@PORT@', @$listen],
        modules => [qw(ssl http2 socache_shmcb)],
        conf    => $COMMON . $HTTP2 . ($ROOM{$mpm} // $THREADS) . $conf);
    $httpd->announce(qr/reset-\w+\.test: close\(\) throws away/);
    write_pages($httpd);

    my %clients;
    for my $mode (@MODES) {
        for my $what (@{ $SAFE{$mode} // \@ALL }) {
            my $port = $name->{"$mode " . ($SCENARIO{$what}{port} // 'plain')};
            my $tries = $mode eq 'auto' || $mode eq 'always' ? $TRIES : $BLIND;
            push @{ $clients{$mode}{$what} }, client('127.0.0.1',
                $httpd->port($port), %{ $SCENARIO{$what} }) for 1 .. $tries;
        }
    }
    run(map { map { @$_ } values %$_ } values %clients);

    for my $mode (sort keys %SAFE) {
        for my $what (@{ $SAFE{$mode} }) {
            my $all = $clients{$mode}{$what};
            is_deeply tally(@$all), { whole => scalar @$all },
                "$mode, $what: every response is complete" or diag explain tally(@$all);
        }
    }
    for my $what (@MORE) {
        my $all = tally(@{ $clients{off}{$what} });
        cmp_ok $all->{whole} // 0, '<', $BLIND, "off, $what: responses are truncated"
            or diag explain $all;
    }
    for my $what (@MORE, 'starts 3 s late') {
        my $all = tally(@{ $clients{reset}{$what} });
        cmp_ok $all->{whole} // 0, '<', $BLIND, "reset, $what: responses are truncated"
            or diag explain $all;
    }
    $httpd->stop;
};

#---- evictions and forks ------------------------------------------------------------

# The client sends more than httpd reads before it closes.
my %TOO_MUCH = (page => 'big', sends => $GET . 'x' x 9000, waits => 0.5,
                buffer => 8192);

sub too_much ($httpd, $tries) {
    write_pages($httpd);
    my @clients = map { client('127.0.0.1', $httpd->port, %TOO_MUCH) }
        1 .. $tries;
    run(@clients);
    is_deeply tally(@clients), { whole => $tries }, 'every response is complete'
        or diag explain tally(@clients);
    return $httpd->json->{closer};
}

# Connections are evicted before the closer has read their data.
subtest 'evictions truncate no response' => sub {
    for_each_mpm {
        my $mpm = shift;
        my $httpd = FinWait2Test->start(mpm => $mpm,
            conf => $COMMON . "FinWait2LingerSlots 1\nFinWait2Linger always\n"
                  . ($ROOM{$mpm} // "ServerLimit 1\nStartServers 1\n"
                  . "ThreadsPerChild 32\nMaxRequestWorkers 32\n"));
        my $closer = too_much($httpd, $TRIES);
        cmp_ok $closer->{evicted}, '>', $mpm eq 'prefork' ? -1 : $TRIES / 2,
            'more than half of the connections are evicted';
        $httpd->stop;
    };
};

# mpm-itk serves each connection in a fork of a child.
subtest 'connections of forked processes linger, too' => sub {
    my $httpd = FinWait2Test->start(mpm => 'prefork',
        conf => module_of('forks') . $COMMON . $ROOM{prefork});
    my $closer = too_much($httpd, 5);
    is_deeply [@$closer{qw(fallback invalid)}], [0, 0],
        'the closer process lingers on every connection';
    $httpd->stop;
};

#---- lost packets -------------------------------------------------------------------

# Add or delete a queue that is too short for any packet.
sub drop ($namespace, $action) {
    my $silent = $action eq 'add' ? '' : '2>/dev/null';
    return system("ip netns exec $namespace tc qdisc $action dev veth0 root "
                . ($action eq 'add' ? 'bfifo limit 1' : '') . " $silent") == 0;
}

# Count the server's ends that wait for an acknowledgement and match.
sub unacknowledged ($port, $pattern) {
    return scalar grep { /$pattern/ }
        `ss -tanHoi state fin-wait-1 'sport = :$port' | paste - -`;
}

subtest 'lost packets between FIN and ACK truncate no response' => sub {
    my ($here, $there) = netns_pair()
        or plan skip_all => 'no network namespaces: not root';
    drop($there->{name}, 'add') && drop($there->{name}, 'del')
        or plan skip_all => 'tc cannot drop packets here';
    for_each_mpm {
        my $mpm = shift;
        for my $mode (qw(auto always)) {
            in_netns($here->{name}, sub {
                my $httpd = FinWait2Test->start(mpm => $mpm,
                    listen => ['0.0.0.0:@PORT@'],
                    conf   => $COMMON . ($ROOM{$mpm} // $THREADS)
                            . $MODE{$mode});
                write_pages($httpd);
                lose($httpd, $mode, $here, $there);
                $httpd->stop;
            });
        }
    };
};

sub lose ($httpd, $mode, $here, $there) {
    my $port    = $httpd->port;
    my @clients = in_netns($there->{name}, sub {
        map { client($here->{addr}, $port, page => 'big', sends => $GET,
                     buffer => 8192) } 1 .. $TRIES;
    });
    write_some($_, time) for @clients;
    wait_for { unacknowledged($port, qr/./) == $TRIES } $PATIENT,
        'httpd to close all connections';
    drop($there->{name}, 'add');
    # The clients read and send, but their packets are dropped.
    for my $client (@clients) {
        $client->{socket}->syswrite("\r\n");
        read_some($client, 0);
    }
    wait_for { unacknowledged($port, qr/backoff:[2-9]/) == $TRIES } $PATIENT,
        'the kernel to retransmit';
    drop($there->{name}, 'del');
    run(@clients);
    is_deeply tally(@clients), { whole => $TRIES },
        "$mode: every response is complete";
}

done_testing;
