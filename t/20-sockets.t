# The options of a real accepted socket, observed from outside: by the fate of the
# connection after httpd has closed it and its client has not.

use v5.36;
use Test::More;
use Time::HiRes qw(time);
use FinWait2Test;
use FinWait2Client;

my $PATIENT = 60;    # seconds for a condition, far more than any needs
# Room for all clients at once.
my %ROOM    = (prefork => "ServerLimit 64\nStartServers 40\n"
                        . "MaxSpareServers 64\nMaxRequestWorkers 64\n");
my $THREADS = "ServerLimit 8\nStartServers 6\nMaxSpareThreads 64\n"
            . "MaxRequestWorkers 64\n";

#---- a client that never closes, and the fate of its connection --------------

sub client ($address, $port, %options) {
    my $socket = connect_to($port, host => $address,
                            $options{slow} ? (buffer => 4096) : ());
    return { socket => $socket, read => '', %options,
             ends => join ' ', $port, $socket->sockport };
}

sub ask ($client, $host, $path = '/') {
    $client->{socket}->syswrite("GET $path HTTP/1.1\r\nHost: $host\r\n\r\n");
}

# Ask each host in turn on one connection; the last answer waits unread if the
# client is slow.
sub visit ($client, @hosts) {
    while (defined(my $host = shift @hosts)) {
        if ($client->{slow} && !@hosts) {
            ask($client, $host, '/big');
            last;
        }
        ask($client, $host);
        my $name = answer($client->{socket}) =~ s/.*?\r\n\r\n//sr;
        die "$host was answered by $name\n" if $host && $name ne $host;
    }
    return $client;
}

my @undecided;    # clients whose fate is not known yet

# Send the requests, and watch the fate of the connection.
sub watch ($client, @hosts) {
    push @undecided, visit($client, @hosts);
    look();
    return $client;
}

# Return the fate of a connection, or undef while httpd still holds it or the
# client has not seen the end:
#   a number  seconds that an orphan in FIN_WAIT_2 has left
#   'none'    closed, with all data delivered, and no socket is left
#   'reset'   the client got an error before the end of the response
sub fate ($client, $end) {
    my $socket = $client->{socket};
    return if $end && $end->{inode};
    return if !$end && tcp_state($socket) != CLOSED;
    # A slow client reads only now, after httpd has closed.
    $client->{read} = '' if !$client->{drained}++;
    $socket->blocking(0);
    while (1) {
        my $n = $socket->sysread($client->{read}, 65536,
                                 length $client->{read});
        return                if !defined $n && $!{EAGAIN};
        return 'reset'        if !defined $n && $!{ECONNRESET};
        die "read: $!\n"      if !defined $n;
        last                  if !$n;
    }
    if (!$end) {
        return tcp_state($socket) == CLOSED ? 'none' : undef;
    }
    return if $end->{state} != FIN_WAIT2;
    # Timer 3 is that of a mini-socket. A life above 60 s begins as a full socket
    # with timer 2, which becomes a mini-socket after the excess time.
    return $end->{timer} == 3 ? $end->{seconds}
         : $end->{timer} == 2 ? $end->{seconds} + 60 : undef;
}

# Fill in the fates that are known. Call it often: only a young orphan shows its
# whole life. True when all fates are known.
sub look () {
    state $last = 0;
    return if time - $last < 0.1;    # a look costs milliseconds
    $last = time;
    my $ends = server_ends();
    for my $client (@undecided) {
        $client->{fate} = fate($client, $ends->{ $client->{ends} });
    }
    @undecided = grep { !defined $_->{fate} } @undecided;
    return !@undecided;
}

sub await_fates () {
    eval { wait_for { look() } $PATIENT, 'httpd to close'; 1 } or die $@,
        map { "still open: $_->{what}\n" } @undecided;
}

# The first look sees an orphan soon after its begin; the lives in this file are
# far enough apart to be distinct. 60 is also the life by the system.
my @LIVES = (5, 12, 20, 30, 60, 120);

sub fate_is ($client, $expected, $name) {
    my $fate = $client->{fate};
    ($fate) = grep { $_ >= $client->{fate} } @LIVES if $fate =~ /^[\d.]+$/;
    is $fate // "more than $LIVES[-1]", $expected, $name
        or diag "first seen: $client->{fate}";
}

# Without a linger the socket becomes an orphan immediately after the FIN.
my $LINGER = 'FinWait2Linger off';

#---- which policy a connection has at its end --------------------------------

my @LISTEN = ('127.0.0.1:@PORT@', '127.0.0.1:@PORT2@', '127.0.0.1:@PORT3@',
              '127.0.0.1:@PORT4@', '127.0.0.1:@PORT5@', '127.0.0.1:@PORT6@',
              '127.0.0.1:@PORT7@', '[::1]:@PORT8@', '@PORT9@', '@PORT10@',
              '@PORT11@');
my $MAIN = <<"END";
KeepAliveTimeout 100ms
ErrorDocument 404 main
FinWait2Timeout 20s
$LINGER
END
my $BY_NAME = named_vhosts('PORT5',
    ['a.test',       'FinWait2Timeout 5s'],
    ['b.test',       'FinWait2Timeout 12s'],
    ['inherits.test'],
    ['system.test',  'FinWait2Timeout system'],
    ['none.test',    'FinWait2Timeout none'],
    ['long.test',    'FinWait2Timeout 120s'],
    ['off.test',     'FinWait2Timeout 5s', 'FinWait2SocketLinger reset',
                     'FinWait2Engine Off'],
    ['reset.test',   'FinWait2SocketLinger reset', 'FinWait2Timeout 12s'],
    ['twice.test',   'FinWait2Engine Off', 'FinWait2Timeout 5s',
                     'FinWait2SocketLinger reset', 'FinWait2Engine On',
                     'FinWait2Timeout 12s', 'FinWait2SocketLinger off'],
);
my $CONF = $MAIN . $BY_NAME
    . named_vhosts('PORT2', ['a.test', 'FinWait2Timeout 5s'])
    . named_vhosts('PORT3', ['a.test', 'FinWait2Timeout none'],
                            ['b.test', 'FinWait2Timeout none'])
    . named_vhosts('PORT4', ['a.test', 'FinWait2SocketLinger reset'])
    . named_vhosts('PORT6', ['a.test', 'FinWait2Timeout 12s'],
                            ['b.test', 'FinWait2Timeout 12s',
                                       'FinWait2Engine On'])
    . named_vhosts('PORT7', ['a.test', 'FinWait2Engine Off'],
                            ['b.test', 'FinWait2Engine Off',
                                       'FinWait2Timeout 5s'])
    . named_vhosts('PORT8', ['a.test', 'FinWait2Timeout 5s'],
                            ['b.test', 'FinWait2Timeout 12s'])
    . named_vhosts('PORT9', ['a.test', 'FinWait2Timeout 5s'])
    . <<'END';
<VirtualHost 127.0.0.1:@PORT10@>
    ServerName four.test
    ErrorDocument 404 four.test
    FinWait2Timeout 5s
</VirtualHost>
<VirtualHost [::1]:@PORT10@>
    ServerName six.test
    ErrorDocument 404 six.test
    FinWait2Timeout 12s
</VirtualHost>
<VirtualHost 127.0.0.1:@PORT11@>
    ServerName four.test
    ErrorDocument 404 four.test
    FinWait2Timeout 5s
</VirtualHost>
END

# [name, port, the hosts of the requests in their order, fate of the connection].
# A slow client reads only after httpd has closed.
my @TABLE = (
    ['the main server only',          'PORT',   'main',           20],
    ['a virtual host by its address', 'PORT2',  'a.test',         5],
    ['none, for all of a listener',   'PORT3',  'a.test',         'none'],
    ['none delivers, slow client',    'PORT3',  'b.test slow',    'none'],
    ['reset, for all of a listener',  'PORT4',  'a.test slow',    'reset'],
    ['two that agree, the first',     'PORT6',  'a.test',         12],
    ['two that agree, the second',    'PORT6',  'b.test',         12],
    ['Engine Off, inherited values',  'PORT7',  'a.test',         60],
    ['Engine Off, own values',        'PORT7',  'b.test',         60],
    ['IPv6',                          'PORT8',  'a.test',         5, '::1'],
    ['IPv6, by name',                 'PORT8',  'b.test',         12, '::1'],
    ['dual-stack, IPv4',              'PORT9',  'a.test',         5],
    ['dual-stack, IPv6',              'PORT9',  'a.test',         5, '::1'],
    ['dual-stack by address, IPv4',   'PORT10', 'four.test',      5],
    ['dual-stack by address, IPv6',   'PORT10', 'six.test',       12, '::1'],
    ['one address of a listener',     'PORT11', 'four.test',      5],
    ['the rest is the main server\'s', 'PORT11', 'main',        20, '::1'],
    ['by name, the first',            'PORT5',  'a.test',         5],
    ['by name, the second',           'PORT5',  'b.test',         12],
    ['by name, inherited',            'PORT5',  'inherits.test',  20],
    ['by name, explicit default',     'PORT5',  'system.test',    60],
    ['by name, none',                 'PORT5',  'none.test',      'none'],
    ['by name, none delivers',        'PORT5',  'none.test slow', 'none'],
    ['by name, 120 s',                'PORT5',  'long.test',      120],
    ['by name, Engine Off',           'PORT5',  'off.test',       60],
    ['by name, Engine Off delivers',  'PORT5',  'off.test slow',  60],
    ['by name, reset',                'PORT5',  'reset.test slow', 'reset'],
    ['by name, the last line wins',   'PORT5',  'twice.test slow', 12],
    ['from A to B',                   'PORT5',  'a.test b.test',  12],
    ['from A to B and back',          'PORT5',  'a.test b.test a.test', 5],
    ['from B to A and back', 'PORT5', 'b.test a.test b.test b.test',  12],
    ['A, default',        'PORT5', 'a.test system.test',           60],
    ['A, none',           'PORT5', 'a.test none.test',             'none'],
    ['none, A',           'PORT5', 'none.test a.test',             5],
    ['A, Engine Off',     'PORT5', 'a.test off.test',              60],
    ['Engine Off, B',     'PORT5', 'off.test b.test',              12],
    ['reset, Engine Off', 'PORT5', 'reset.test off.test slow',     60],
    ['reset, A',          'PORT5', 'reset.test a.test slow',       5],
    ['A, reset',          'PORT5', 'a.test reset.test slow',       'reset'],
);

sub enter ($httpd, $row) {
    my ($what, $port, $hosts, $fate, $address) = (@$row, '127.0.0.1');
    my @hosts = split ' ', $hosts;
    my $slow  = $hosts[-1] eq 'slow' && pop @hosts;
    return watch(client($address, $httpd->port($port), slow => $slow,
                        expected => $fate, what => "$what: $hosts"), @hosts);
}

#---- fates after a restart, and on duplicated listening sockets --------------

# PORT: the common value of its virtual hosts changes. PORT2: a common value is
# replaced by different values. PORT3: different values change. PORT4: different
# values are replaced by a common one.
my %LIFE = (BEFORE => { PORT => [12, 12], PORT2 => [5, 5],
                        PORT3 => [5, 12], PORT4 => [5, 'none'] },
            AFTER  => { PORT => [5, 5],   PORT2 => [12, 60],
                        PORT3 => [20, 5], PORT4 => [12, 12] });
my %WORD = (none => 'none', 60 => 'system', map { $_ => "${_}s" } 5, 12, 20);

sub generation ($when) {
    my $lives = $LIFE{$when};
    return join '', "KeepAliveTimeout 100ms\nFinWait2Timeout 30s\n$LINGER\n",
        "FinWait2SocketLinger off\n",
        map {
            my ($a, $b) = map { "FinWait2Timeout $WORD{$_}" } $lives->{$_}->@*;
            named_vhosts($_, ['a.test', $a], ['b.test', $b]);
        } sort keys %$lives;
}

# Connect to both servers of each port alternately.
sub visit_all ($httpd, $when, $times) {
    return map {
        my $port  = $_;
        my @lives = $LIFE{$when}{$port}->@*;
        map {
            my $i = $_ % 2;
            watch(client('127.0.0.1', $httpd->port($port),
                         expected => $lives[$i], what => "$when, $port"),
                  ('a.test', 'b.test')[$i]);
        } 1 .. $times;
    } sort keys $LIFE{$when}->%*;
}

my @FOUR = map { "127.0.0.1:\@$_\@" } qw(PORT PORT2 PORT3 PORT4);

sub judge (@clients) {
    fate_is($_, $_->{expected}, $_->{what}) for @clients;
}

sub sockets () {
    my (%table, %restarted, %doubled);
    for my $mpm (mpms()) {
        my $more = $ROOM{$mpm} // $THREADS;
        $table{$mpm}{httpd} = FinWait2Test->start(
            mpm => $mpm, listen => \@LISTEN, page => 0, conf => $CONF . $more);
        $table{$mpm}{httpd}->document('big', 'x' x 100_000);
        $table{$mpm}{httpd}->announce(
            map { qr/FinWait2SocketLinger of virtual host $_\b.*truncated/ }
                qw(a.test reset.test));
        $restarted{$mpm}{httpd} = FinWait2Test->start(
            mpm => $mpm, listen => \@FOUR, page => 0,
            conf => generation('BEFORE') . $more);
        $doubled{$mpm}{httpd} = FinWait2Test->start(
            mpm => $mpm, listen => \@FOUR, page => 0,
            conf => "ListenCoresBucketsRatio 1\n" . generation('BEFORE') . $more);
    }
    for my $mpm (mpms()) {
        $table{$mpm}{clients} = [map { enter($table{$mpm}{httpd}, $_) } @TABLE];
        $restarted{$mpm}{BEFORE} =
            [visit_all($restarted{$mpm}{httpd}, 'BEFORE', 2)];
        $doubled{$mpm}{BEFORE} =
            [visit_all($doubled{$mpm}{httpd}, 'BEFORE', 8)];
    }
    await_fates();

    for my $mpm (mpms()) {
        my $more = $ROOM{$mpm} // $THREADS;
        $restarted{$mpm}{httpd}->graceful(generation('AFTER') . $more);
        $doubled{$mpm}{httpd}->graceful(
            "ListenCoresBucketsRatio 1\n" . generation('AFTER') . $more);
    }
    for my $mpm (mpms()) {
        $restarted{$mpm}{AFTER} = [visit_all($restarted{$mpm}{httpd}, 'AFTER', 2)];
        $doubled{$mpm}{AFTER}   = [visit_all($doubled{$mpm}{httpd}, 'AFTER', 8)];
    }
    await_fates();

    for my $mpm (mpms()) {
        subtest "$mpm: options by address and by name" => sub {
            judge($table{$mpm}{clients}->@*);
            $table{$mpm}{httpd}->stop;
        };
        subtest "$mpm: options before and after a graceful restart" => sub {
            judge(map { $restarted{$mpm}{$_}->@* } qw(BEFORE AFTER));
            $restarted{$mpm}{httpd}->stop;
        };
        subtest "$mpm: options on SO_REUSEPORT duplicates" => sub {
            my $httpd = $doubled{$mpm}{httpd};
            my $there = ss_count(port => $httpd->port, state => 'listening');
            SKIP: {
                skip 'httpd does not duplicate its sockets with one core', 1
                    if $there == 1;
                ok $there > 1, "$there listening sockets at one address";
                judge(map { $doubled{$mpm}{$_}->@* } qw(BEFORE AFTER));
            }
            $httpd->stop;
        };
    }
}

#---- system calls ------------------------------------------------------------

# httpd as it is without the module.
package Stock {
    our @ISA = 'FinWait2Test';

    sub write_config ($self) {
        $self->SUPER::write_config;
        local ($^I, @ARGV) = ('', $self->root . '/httpd.conf');
        while (<>) {
            print if !/finwait2_module|^FinWait2/;
        }
    }
}

# Trace the server's children while the code makes one connection. Return the calls
# on that connection in order: `read`, for one or several, and each setsockopt; or
# undef if strace cannot attach.
sub traced ($httpd, $code) {
    my $file   = $httpd->root . '/strace';
    my @pids   = ($httpd->pid, $httpd->children);
    my $strace = fork // die "fork: $!";
    if (!$strace) {
        open STDERR, '>', '/dev/null';
        { exec qw(strace -f -qq -e), 'trace=%net,read', '-o', $file,
               map { "-p$_" } @pids }
        POSIX::_exit(127);
    }
    my $ended;
    wait_for {
        my @tasks = map { glob "/proc/$_/task/*/status" } @pids;
        $ended = waitpid($strace, POSIX::WNOHANG()) == $strace;
        $ended || !grep { slurp($_) =~ /^TracerPid:\s*0$/m } @tasks;
    } $PATIENT, 'strace to attach';
    return if $ended;
    # strace does not follow a child that was forked before it attached to the parent.
    my %known = map { $_ => 1 } @pids;
    if (grep { !$known{$_} && slurp("/proc/$_/status") =~ /^TracerPid:\s*0$/m }
        $httpd->children) {
        kill INT => $strace;
        waitpid $strace, 0;
        return traced($httpd, $code);
    }

    $code->();
    kill INT => $strace;
    waitpid $strace, 0;
    my ($fd, $calls) =
        slurp($file) =~ /^\d+ [^\n]*accept4[^\n]* = (\d+)\n(.*)/ms
        or die 'nothing was accepted: ' . slurp($file);
    my @calls = map { s/^setsockopt\(\d+, \w+, (.*), \d+$/$1/r }
        $calls =~ /^\d+\s+(read(?=\($fd,)
                         |setsockopt\($fd,.*?,\ \d+(?=\)|\ <))/mgx;
    return join('; ', @calls) =~ s/read\K(?:; read)+//gr;
}

# Make one connection with a request to each host in turn, then close it.
sub calls ($class, $mpm, $conf, @hosts) {
    my $httpd = $class->start(mpm => $mpm, page => 0, conf => $conf);
    my $calls = traced($httpd, sub {
        my $client = visit(client('127.0.0.1', $httpd->port), @hosts);
        $client->{socket}->shutdown(1);
        wait_for { !server_ends()->{ $client->{ends} } } $PATIENT,
            'httpd to close';
    });
    $httpd->announce(qr/FinWait2SocketLinger.*c\.test.*blocks/)
        if $conf =~ /SocketLinger/;
    $httpd->stop;
    return $calls;
}

my $ALONE = "FinWait2Timeout 5s\nErrorDocument 404 main\n";
my $AGREE = named_vhosts('PORT', ['a.test', 'FinWait2Timeout 5s'],
    ['b.test', 'FinWait2Timeout 5s', 'FinWait2KeepAliveTimeout 8s']);
my $DISAGREE = named_vhosts('PORT', ['a.test', 'FinWait2Timeout 5s'],
    ['b.test', 'FinWait2Timeout system'],
    ['c.test', 'FinWait2Timeout 5s', 'FinWait2SocketLinger 7s']);
my $NEEDED = join '; ',
    'TCP_LINGER2, [5]', 'read',                               # a.test twice
    'TCP_LINGER2, [0]', 'read',                               # b.test
    'TCP_LINGER2, [5]', 'SO_LINGER, {l_onoff=1, l_linger=7}', 'read',
    'SO_LINGER, {l_onoff=0, l_linger=0}', 'read';             # a.test

sub system_calls () {
    for my $mpm (mpms()) {
        subtest "$mpm: system calls" => sub {
            my $stock = calls('Stock', $mpm, $ALONE, 'main')
                // plan skip_all => 'strace is not there, or cannot attach';
            like $stock, qr/\bread$/, 'httpd without the module is traced';
            is calls('FinWait2Test', $mpm, $ALONE, 'main'), $stock,
                'a main server without virtual hosts adds no system call';
            is calls('FinWait2Test', $mpm, $AGREE, qw(a.test b.test a.test)),
                $stock, 'virtual hosts with equal options add no system call';
            my $own = calls('FinWait2Test', $mpm, $DISAGREE,
                            qw(a.test a.test b.test c.test c.test a.test));
            my $others = $stock =~ s/(?:; )?read$//r;
            is $own =~ s/^\Q$others\E(?:; )?//r, $NEEDED,
                'different options add one system call for each change';
        };
    }
}

# The machine's own network namespace may have another value.
chomp(my $system = slurp('/proc/sys/net/ipv4/tcp_fin_timeout'));
plan skip_all => "tcp_fin_timeout is $system: lives would not be distinct"
    if $system != 60;
sockets();
system_calls();

done_testing;
