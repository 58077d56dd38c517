# Held sockets during graceful restarts, killed children, stops, children that exit
# by count, exhausted descriptors, and clients that vanish or never read; and real
# clients of many kinds.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use File::Temp     ();
use List::Util     qw(sum0);
use Socket         qw(IPPROTO_TCP TCP_MAXSEG);
use Time::HiRes    qw(time);

my $PATIENT = 60;    # seconds for a condition, far more than any needs
my $CLOSE   = "GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
my $NEVER   = "FinWait2LingerIdle 1h\nFinWait2LingerTotal 1h\n";
my $ALWAYS  = "FinWait2Linger always\n$NEVER";
my $SCRATCH = File::Temp->newdir;

#---- httpd -----------------------------------------------------------------------

# The page's own connections stay out of the numbers.
my $COMMON = "FinWait2Linger httpd\nSendBufferSize 1048576\n"
           . "KeepAliveTimeout 2\n";

# Start the maximum of children, so that their number does not change.
sub fixed ($mpm) {
    return $mpm eq 'prefork'
        ? "ServerLimit 12\nStartServers 12\nMinSpareServers 1\n"
          . "MaxSpareServers 12\nMaxRequestWorkers 12\n"
        : "ServerLimit 2\nStartServers 2\nThreadsPerChild 8\n"
          . "MinSpareThreads 1\nMaxSpareThreads 16\nMaxRequestWorkers 16\n";
}

sub start ($mpm, $conf, %options) {
    my $httpd = FinWait2Test->start(mpm => $mpm, conf => $COMMON . $conf,
        listen => [map { "127.0.0.1:\@PORT$_\@" } '', 2, 3], %options);
    for my $file (['page', 1000], ['medium', 40_000], ['big', 300_000]) {
        my ($name, $size) = @$file;
        $httpd->document($name, 'y' x $size);
    }
    return $httpd;
}

sub sum ($endings) { my $n = 0; $n += $_ for values %$endings; return $n }

#---- under load -------------------------------------------------------------------

subtest 'restarts and killed children lose nothing under load' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, vhost('PORT2', 'load', "FinWait2Linger auto\n")
                              . vhost('PORT3', 'held', $ALWAYS));
        my $load  = load($httpd->port('PORT2'));
        my $more  = sub ($least) {
            my $now = sum($httpd->endings('load'));
            wait_for { sum($httpd->endings('load')) > $now + $least } $PATIENT,
                'more requests';
        };
        for (1, 2) {
            $more->(100);
            my $before = sum($httpd->endings('load'));
            $httpd->graceful;
            cmp_ok sum($httpd->endings('load')), '>=', $before,
                'a restart keeps the counters';
        }
        $more->(100);
        is join('; ', unload($load)), '', 'no request fails during restarts';

        $load = load($httpd->port('PORT2'));
        my @clients = idle_clients($httpd, 'PORT3', 20);
        $more->(50);
        cmp_ok $httpd->vhost_json('held')->{held}, '==', 20,
            'twenty connections are held';
        my $before = sum($httpd->endings('load'));
        my @old    = $httpd->children;
        kill KILL => @old;
        my %old = map { $_ => 1 } @old;
        wait_for { !grep { $old{$_} } $httpd->children } $PATIENT,
            'the killed children to be gone';
        unload($load);
        is $httpd->vhost_json('held')->{held}, 20,
            'killed children close no held connection';
        undef @clients;
        eventually { ($httpd->endings('held')->{peer_closed} // 0) == 20 }
            'each connection ends when its client closes';
        cmp_ok sum($httpd->endings('load')), '>=', $before,
            'killed children lose no counters';
        my $now = sum($httpd->endings('load'));
        undef $_ for idle_clients($httpd, 'PORT2', 5);
        eventually { sum($httpd->endings('load')) == $now + 5 }
            'new children increase the counters';
        $httpd->stop;
    };
};

#---- memory -------------------------------------------------------------------------

# Return the anonymous memory of all processes in kB.
sub memory ($httpd) {
    return sum0(map { slurp("/proc/$_/status") =~ /^RssAnon:\s+(\d+) kB/m }
        $httpd->forks);
}

subtest '10,000 connections use no more memory' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, "FinWait2Linger auto\nFinWait2StatusPeers On\n"
            . fixed($mpm));
        my $url   = 'http://127.0.0.1:' . $httpd->port . '/page';
        my $serve = sub ($n) {
            like `ab -q -n $n -c 4 $url 2>&1`, qr/^Failed requests: +0$/m,
                "$n connections are served";
            return memory($httpd);
        };
        my $before = $serve->(5000);
        # A leak of 40 bytes for each connection would exceed 400 kB.
        cmp_ok $serve->(10_000), '<', $before + 400,
            "memory stays below $before kB + 400 kB";
        $httpd->stop;
    };
};

#---- descriptors --------------------------------------------------------------------

# Return "process=descriptors" of each process.
sub all_fds ($httpd) {
    return join ' ', map { "$_=" . $httpd->fds($_) } $httpd->forks;
}

subtest '300 idle clients leave no descriptor open' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, fixed($mpm)
            . vhost('PORT2', 'acked', "FinWait2Linger auto\n")
            . vhost('PORT3', 'silence',
                    "FinWait2Linger always\nFinWait2LingerIdle 300ms\n"));
        undef $_ for idle_clients($httpd,
            'PORT2', 100);    # so that every child has closed connections
        my ($before, $same);
        # Event closes connections late: wait until the numbers are stable.
        wait_for {
            my $now = all_fds($httpd);
            $same   = $now eq ($before // '') ? $same + 1 : 0;
            $before = $now;
            $same == 25;
        } $PATIENT, 'httpd to be at rest';
        my @clients = (idle_clients($httpd, 'PORT2', 150),
                       idle_clients($httpd, 'PORT3', 150));
        eventually { sum($httpd->endings('silence')) == 150
                && sum($httpd->endings('acked')) == 250 } 'every linger has ended'
            or diag explain map { $httpd->endings($_) } qw(silence acked);
        my $after;
        eventually { $before eq ($after = all_fds($httpd)) }
            'every child has as many descriptors as before'
            or diag "before: $before\nafter:  $after";
        $httpd->stop;
    };
};

# The closer process raises its own limit; children do not hold lingering sockets.
subtest 'ulimit -n 64 does not limit held connections' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $few   = $mpm eq 'prefork'
            ? "ServerLimit 2\nStartServers 2\nMinSpareServers 3\n"
              . "MaxRequestWorkers 2\n"    # httpd logs that they are too few
            : fixed($mpm);
        my $httpd = start($mpm, $few . "FinWait2LingerSlots 100\n"
                          . vhost('PORT2', 'few', $ALWAYS),
            launcher => ['sh', '-c', 'ulimit -S -n 64; exec "$@"', 'sh']);
        $httpd->announce(qr/reached MaxRequestWorkers/) if $mpm eq 'prefork';
        my @old     = $httpd->children;
        my @clients = idle_clients($httpd, 'PORT2', 300);
        pass 'every client is served';
        is_deeply [$httpd->children], \@old, 'no child is replaced';
        # The kernel limits the descriptors in queues for each user, including
        # those of other httpds, and refuses the 65th. Workers then linger
        # themselves.
        $httpd->tolerate(qr/finwait2 does not accept this .*: its queue is full/,
                         qr/reached MaxRequestWorkers/);
        my $closer;
        eventually {
            $closer = $httpd->json->{closer};
            ($closer->{evicted} // 0) + ($closer->{fallback} // 0) == 200;
        } 'the other 200 connections are evicted or left to httpd';
        is_deeply [@$closer{qw(capacity held)}], [100, 100],
            'the closer holds a hundred connections';
        if ($mpm eq 'prefork') {
            wait_for { $httpd->log =~ /reached MaxRequestWorkers/ } $PATIENT,
                'httpd to complain';
        }
        $httpd->stop;
    };
};

#---- stops and exits --------------------------------------------------------------------

subtest 'a fast stop closes held connections, a graceful one waits' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $held  = sub ($conf = '') {
            my $httpd = start($mpm, $conf . vhost('PORT2', 'held', $ALWAYS));
            my @clients = idle_clients($httpd, 'PORT2', 8);
            eventually { $httpd->vhost_json('held')->{held} == 8 }
                'eight connections are held';
            return ($httpd, \@clients);
        };
        my $keeps = sub ($httpd) {
            return ss_count(port   => $httpd->port('PORT2'),
                            holder => 'process') == 8;
        };
        my ($fast, $of_fast) = $held->();
        kill TERM => $fast->pid;
        eventually { $fast->ended } 'a fast stop waits for no client';
        is_deeply [$fast->kill_all], [], 'a fast stop leaves no process';

        my ($graceful, $of_graceful) = $held->();
        kill WINCH => $graceful->pid;
        eventually { !$graceful->children }
            'all children exit at a graceful stop';
        # The acknowledgements of the clients may be late.
        eventually { $keeps->($graceful) }
            'all eight connections are still held';
        ok !$graceful->ended, 'httpd waits for its held connections';
        undef $of_graceful;
        eventually { $graceful->ended }
            'httpd ends when their clients have closed';

        my ($impatient, $of_impatient) = $held->();
        kill WINCH => $impatient->pid;
        eventually { !$impatient->children }
            'all children exit at a second graceful stop';
        kill TERM => $impatient->pid;
        eventually { $impatient->ended } 'a fast stop ends a graceful stop';

        my ($limited, $of_limited) = $held->("GracefulShutdownTimeout 1\n");
        kill WINCH => $limited->pid;
        eventually { $limited->ended }
            'GracefulShutdownTimeout ends a graceful stop';
        $_->stop for $fast, $graceful, $impatient, $limited;
    };
};

subtest 'lingers survive MaxConnectionsPerChild 5' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, "MaxConnectionsPerChild 5\n"
            . vhost('PORT2', 'short', "FinWait2Linger auto\n$NEVER"));
        my @old     = $httpd->children;
        my @clients = idle_clients($httpd, 'PORT2', 60);
        eventually { sum($httpd->endings('short')) == 60 }
            'all connections have ended';
        is_deeply $httpd->endings('short'), { acked => 60 },
            'every connection ends acknowledged';
        my %old = map { $_ => 1 } @old;
        eventually { !grep { $old{$_} } $httpd->children }
            'the first children have exited';
        is $httpd->vhost_json('short')->{held}, 0, 'no connection is held';
        $httpd->stop;
    };
};

#---- no shared memory ---------------------------------------------------------

# Without shared memory httpd does not start, but a running httpd survives a restart.
subtest 'a restart without shared memory leaves httpd running' => sub {
    my $switch = "$SCRATCH/noshm";
    my %env = (LD_PRELOAD => shared_object('noshm'), NOSHM => $switch);
    spew($switch, '');
    ok !eval { FinWait2Test->start(env => \%env); 1 },
        'httpd does not start without shared memory';
    like $@, qr/cannot have the shared memory that its counters/,
        'the error names the shared memory';
    unlink $switch;
    for_each_mpm {
        my $mpm   = shift;
        my $conf  = $COMMON . fixed($mpm)
                  . vhost('PORT2', 'one', "FinWait2Linger auto\n");
        my $httpd = start($mpm, $conf, env => \%env);
        my @open  = idle_clients($httpd, 'PORT2', 3);
        eventually { ($httpd->endings('one')->{acked} // 0) == 3 }
            'three connections have ended';
        # httpd then lingers itself, in children that would have exited.
        $httpd->tolerate(qr/AH03490: scoreboard is full/);
        spew($switch, '');
        $httpd->announce(qr/needs after this restart. httpd goes on/,
                         qr/has no data to show/);
        $httpd->graceful($conf);
        push @open, idle_clients($httpd, 'PORT2', 2);
        pass 'httpd still serves after the restart';
        is $httpd->get('/finwait-status')->{status}, 503,
            'the page is unavailable';
        unlink $switch;
        $httpd->graceful($conf);
        push @open, idle_clients($httpd, 'PORT2', 1);
        eventually { ($httpd->endings('one')->{acked} // 0) == 4 }
            'httpd counts again after the next restart';
        undef @open;
        $httpd->stop;
    };
};

#---- clients that never acknowledge -------------------------------------------------------

# A TCP client in Perl, behind a TUN device: it has a small window, and then
# announces a zero window every 100 ms.
package Peer {
    use Socket      qw(inet_aton);
    use Time::HiRes qw(time);
    use constant { FIN => 1, SYN => 2, RST => 4, ACK => 16 };
    my ($TUNSETIFF, $TUN_WITHOUT_HEADER) = (0x400454ca, 0x1001);
    my ($HERE, $THERE) = ('10.78.0.1', '10.78.0.2');

    sub device ($class, $namespace) {
        open my $tun, '+<', '/dev/net/tun' or return;
        my $request = pack 'a16 S x22', 'tun0', $TUN_WITHOUT_HEADER;
        ioctl $tun, $TUNSETIFF, $request or return;
        for my $what ("addr add $HERE/24 dev tun0", 'link set tun0 up') {
            system("ip -n $namespace $what") == 0 or return;
        }
        return $tun;
    }

    sub connect ($class, $tun, $port, $request) {
        my $self = bless { tun => $tun, port => $port, own => 40000 + $port % 99,
                           seq => 1000, ack => 0, window => 1000,
                           request => $request, spoke => 0, reset => 0 }, $class;
        $self->send(SYN);
        $self->{seq}++;
        return $self;
    }

    sub sum16 ($data) {
        my $sum = unpack '%32n*', length($data) % 2 ? "$data\0" : $data;
        $sum = ($sum & 0xffff) + ($sum >> 16) for 1, 2;
        return ~$sum & 0xffff;
    }

    sub send ($self, $flags, $data = '') {
        my @ends = map { inet_aton($_) } $THERE, $HERE;
        my $tcp  = pack 'n2 N2 C2 n3', $self->{own}, $self->{port},
            $self->{seq}, $self->{ack}, 5 << 4, $flags, $self->{window}, 0, 0;
        my $pseudo = pack 'a4 a4 x C n', @ends, 6, length($tcp . $data);
        substr($tcp, 16, 2) = pack 'n', sum16($pseudo . $tcp . $data);
        my $ip = pack 'C2 n3 C2 n a4 a4', 0x45, 0, 20 + length($tcp . $data),
            0, 0, 64, 6, 0, @ends;
        substr($ip, 10, 2) = pack 'n', sum16($ip);
        syswrite $self->{tun}, $ip . $tcp . $data;
    }

    # Handle one packet to this client.
    sub receive ($self, $ip) {
        my $tcp = substr $ip, 4 * (unpack('C', $ip) & 15);
        my ($seq, $length, $flags) = (unpack 'n2 N2 C2', $tcp)[2, 4, 5];
        if ($flags & RST) {
            $self->{reset} = 1;
        }
        elsif ($flags & SYN) {
            $self->{ack} = $seq + 1;
            $self->send(ACK, $self->{request});
            $self->{seq} += length $self->{request};
        }
        elsif ($seq == $self->{ack} && $self->{window}) {
            my $got = length($tcp) - 4 * ($length >> 4);
            $self->{ack}    += $got;
            $self->{window} -= $got;
            $self->{window} = 0 if $self->{window} < 600;
        }
    }

    # Handle all packets that have arrived at a device, and send acknowledgements.
    sub pump ($class, @peers) {
        my ($tun, $in) = ($peers[0]{tun}, '');
        while (vec($in, fileno $tun, 1) = 1, select $in, undef, undef, 0) {
            sysread $tun, my $ip, 2048 or last;
            next if unpack('C', $ip) >> 4 != 4 || unpack('x9 C', $ip) != 6;
            my $own = unpack 'n', substr $ip, 4 * (unpack('C', $ip) & 15) + 2;
            $_->receive($ip) for grep { $_->{own} == $own } @peers;
        }
        for my $peer (grep { $_->{ack} && !$_->{reset} } @peers) {
            next if time - $peer->{spoke} < 0.1;
            $peer->{spoke} = time;
            $peer->send(ACK);
        }
    }
}

my $BIG = $CLOSE =~ s/page/big/r;

# Limit the segments, too: if the window is smaller than a segment, as loopback's
# are, the kernel sends only window probes, more and more rarely.
sub small_client ($host, $port, $request) {
    my $socket = connect_to($port, host => $host, buffer => 4096,
                            Sockopts => [[IPPROTO_TCP, TCP_MAXSEG, 536]]);
    $socket->syswrite($request);
    return $socket;
}

# Count the server's ends that wait for an acknowledgement.
sub unacknowledged ($port) {
    return ss_count(state => 'fin-wait-1', port => $port);
}

# Start a slow reader in a process of its own: it reads 1000 bytes every 20 ms, so 6 s
# in total. Its kernel acknowledges 23 kB at once, and then nothing until they are
# read, half a second later. The reader prints its last result and the length of the
# body.
sub slow_reader ($port) {
    my $pid = open(my $from, '-|') // die "fork: $!";
    return $from if $pid;
    my $socket = small_client('127.0.0.1', $port, $CLOSE =~ s/page/big/r);
    my ($text, $n) = ('');
    while ($n = $socket->sysread($text, 1000, length $text)) {
        select undef, undef, undef, 0.02;
    }
    my $end = defined $n ? 'end' : "$!";
    syswrite STDOUT, "$end " . length $text =~ s/.*?\r\n\r\n//sr;
    POSIX::_exit(0);
}

subtest 'FinWait2UserTimeout ends connections without acknowledgements' => sub {
    my ($here, $there) = netns_pair()
        or plan skip_all => 'no network namespaces: not root';
    my $drop = "ip netns exec $there->{name} tc qdisc add dev veth0 root "
             . 'bfifo limit 1';
    my $undrop = $drop =~ s/add (.*root).*/del $1/r;
    system($drop) == 0 && system($undrop) == 0
        or plan skip_all => 'tc cannot drop packets here';
    my $tun = in_netns($here->{name}, sub { Peer->device($here->{name}) });
    for_each_mpm {
        my $mpm = shift;
        in_netns($here->{name}, sub {
            my $httpd = start($mpm,
                vhost('PORT2', 'gone', "$ALWAYS\nFinWait2UserTimeout 1s\n")
                . vhost('PORT3', 'shut', "$ALWAYS\nFinWait2UserTimeout 1s\n")
                . vhost('PORT4', 'zero', "$ALWAYS\nFinWait2UserTimeout 1s\n")
                . vhost('PORT5', 'ever', "FinWait2Linger always\n"
                    . "FinWait2LingerTotal 500ms\n")
                . vhost('PORT6', 'slow', "$ALWAYS\nFinWait2UserTimeout 2s\n"),
                listen => [map { "0.0.0.0:\@PORT$_\@" } '', 2 .. 6]);
            never_acknowledge($httpd, $here, $there, $tun, $drop, $undrop);
            $httpd->stop;
        });
    };
};

sub never_acknowledge ($httpd, $here, $there, $tun, $drop, $undrop) {
    my %port  = map { $_ => $httpd->port("PORT$_") } 2 .. 6;
    my $gone  = in_netns($there->{name}, sub {
        small_client($here->{addr}, $port{2}, $BIG);
    });
    my $shut  = small_client('127.0.0.1', $port{3}, $BIG);
    my $slow  = slow_reader($port{6});
    my @peers = map { Peer->connect($tun, $port{$_}, $BIG) } $tun ? (4, 5) : ();
    my @ports = (2, 3, $tun ? (4, 5) : ());
    wait_for { Peer->pump(@peers) if @peers;
               @ports == grep { unacknowledged($port{$_}) } @ports } $PATIENT,
        'httpd to close all connections';
    system($drop) == 0 or die "drop\n";

    my @names = ('gone', 'shut', $tun ? 'zero' : ());
    wait_for { Peer->pump(@peers) if @peers;
               !grep { !%{ $httpd->endings($_) } } @names } $PATIENT,
        'all user timeouts';
    is_deeply $httpd->endings($_), { silence => 1 },
        "$_: the ending silence is counted once"
        for @names;
    is unacknowledged($port{$_}), 0,
        'no unacknowledged data is left' for @ports[0, 1];
    if ($tun) {
        eventually { Peer->pump(@peers); $peers[0]{reset} }
            'a client with an endless zero window is reset';
        is unacknowledged($port{4}), 0,
            'no data is left for a client with an endless zero window';
        is_deeply $httpd->endings('ever'), { total => 1 },
            'without a user timeout the total time ends the linger';
        Peer->pump(@peers);
        is unacknowledged($port{5}), 1,
            'without a user timeout the kernel keeps the socket';
        $peers[1]->send(Peer::RST);
    }
    is readline $slow, 'end 300000', 'a slow reader gets the whole response';
    close $slow;
    system($undrop) == 0 or die "undrop\n";
}

#---- real clients ------------------------------------------------------------------------

my $PYTHON = <<'END';
import http.client, sys, time
port, mode, kept = int(sys.argv[1]), sys.argv[2], []
if mode == 'urllib3':
    import urllib3
    pool = urllib3.PoolManager(maxsize=8, block=False)
for i in range(40):
    if i % 16 == 15:
        time.sleep(0.5)  # meanwhile httpd closes what is kept
    if mode == 'urllib3':
        answer = pool.request('GET', 'http://127.0.0.1:%d/page' % port,
                              retries=1)
        assert answer.status == 200 and len(answer.data) == 1000
    else:
        client = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
        client.request('GET', '/page', headers={} if i % 2 else
                       {'Connection': 'close'})
        answer = client.getresponse()
        assert answer.status == 200 and len(answer.read()) == 1000
        kept.append(client)
print('fine')
END

my $LWP = <<'END';
use LWP::UserAgent; use LWP::ConnCache;
my $ua = LWP::UserAgent->new(conn_cache => LWP::ConnCache->new(
    total_capacity => 10), timeout => 20);
for (1 .. 40) {
    select undef, undef, undef, 0.5 if $_ % 16 == 15;
    my $answer = $ua->get("http://127.0.0.1:$ARGV[0]/page");
    die $answer->status_line if length $answer->content != 1000;
}
print "fine\n";
END

# [name, required program, command, expected output, check of a library]
sub real_clients ($port, $brief) {
    my $url = "http://127.0.0.1:$port";
    spew("$SCRATCH/client.py", $PYTHON);
    spew("$SCRATCH/lwp.pl", $LWP);
    my $many = join ' ', ("$url/page") x 40;
    my $ab   = qr/^Complete requests: +400\nFailed requests: +0\n(?!Write)/m;
    return (
        ['curl', 'curl', "curl -sS -m 30 $many | wc -c", qr/^40000$/],
        ['curl, h2c', 'curl',
            # Several URLs at once fail without the module, too (curl 7.88).
            "for i in 1 2 3 4; do curl -sS -m 30 --http2-prior-knowledge "
            . "$url/page || exit; done | wc -c", qr/^4000$/],
        ['http.client', 'python3', "python3 $SCRATCH/client.py $brief http",
            qr/^fine$/],
        ['urllib3', 'python3', "python3 $SCRATCH/client.py $brief urllib3",
            qr/^fine$/, 'python3 -c "import urllib3"'],
        ['LWP', 'perl', "perl $SCRATCH/lwp.pl $brief", qr/^fine$/,
            'perl -MLWP::UserAgent -e 1'],
        ['ab', 'ab', "ab -q -n 400 -c 8 $url/page", $ab],
        ['ab -k', 'ab', "ab -q -k -n 400 -c 8 $url/page", $ab],
        ['wrk', 'wrk', # With 8, event closes some, also without the module.
            "wrk -d 1 -t 1 -c 4 $url/page",
            qr/^(?!.*(?:Socket errors|Non-2xx)).*Requests\/sec: +[1-9]/s],
        ['h2load', 'h2load', "h2load -n 400 -c 4 -m 4 $url/page",
            qr/400 succeeded, 0 failed, 0 errored, 0 timeout/],
        ['chromium', 'chromium', 'chromium --headless --no-sandbox '
            . '--disable-gpu --no-first-run --disable-background-networking '
            . "--disable-sync --disable-component-update --disable-quic "
            . "--user-data-dir=$SCRATCH/profile --dump-dom $url/parts.html",
            qr/<i>30 parts/],
    );
}

sub installed ($program) { grep { -x "$_/$program" } split /:/, $ENV{PATH} }

subtest 'real clients of many kinds get their responses' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm,
            vhost('PORT2', 'world', "FinWait2Linger auto\n"
                . "Protocols h2c http/1.1\nKeepAliveTimeout 20\n")
            . vhost('PORT3', 'brief', "FinWait2Linger auto\n"
                . "KeepAliveTimeout 300ms\n")
            # Without a surplus child no kept-alive connection is closed early.
            . ($mpm eq 'prefork' ? "MaxSpareServers 32\n" : ''),
            modules => ['http2']);
        $httpd->announce(qr/is not supported by mod_http2/)
            if $mpm eq 'prefork';
        my $parts = join '', map { "<script src=part$_.js></script>\n" } 1 .. 30;
        $httpd->document('parts.html',
            "<!DOCTYPE html><title>p</title><link rel=icon href=data:,>"
            . "<script>var n = 0</script>\n$parts"
            . '<script>document.write("<i>" + n + " parts</i>")</script>');
        $httpd->document("part$_.js", "n++;\n") for 1 .. 30;
        for my $row (real_clients(map { $httpd->port($_) } qw(PORT2 PORT3))) {
            my ($name, $program, $command, $expected, $needs) = @$row;
            SKIP: {
                skip "$name: not installed", 1 if !installed($program)
                    || $needs && system("$needs 2>/dev/null") != 0;
                my $output = `$command 2>$SCRATCH/error`;
                like $output, $expected, "$name gets all its responses"
                    or diag `tail -5 $SCRATCH/error`;
            }
        }
        eventually { !grep { $httpd->vhost_json($_)->{held} } qw(world brief) }
            'no connection is held in the end';
        $httpd->stop;
    };
};

done_testing;
