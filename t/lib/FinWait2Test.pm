package FinWait2Test;

# A real, private httpd for each test. Core Perl only.
#
#   use Test::More;
#   use FinWait2Test;
#
#   for_each_mpm {                      # a subtest each: event, worker, prefork
#       my $mpm   = shift;
#       my $httpd = FinWait2Test->start(
#           mpm     => $mpm,                       # default: event
#           listen  => ['127.0.0.1:@PORT@', '[::1]:@PORT2@', '@PORT3@'],
#           modules => ['proxy', 'proxy_http'],    # beside mpm, authz_*
#           conf    => <<'END',                    # after the harness's own
#   FinWait2Timeout 3s
#   <VirtualHost *:@PORT2@> ... </VirtualHost>
#   END
#       );
#       is $httpd->json->{version}, 1;
#       $httpd->announce(qr/what the error log will say/);
#       $httpd->tolerate(qr/what it may say/);
#       $httpd->stop;            # fails on anything else in the error log
#   };
#   done_testing;
#
# In `listen` and `conf`: @PORT@, @PORT2@, ... are free ports, @ROOT@ is the
# server's temporary directory (www-data may read it; @ROOT@/htdocs is served),
# @CERT@ and @KEY@ a TLS certificate made on the spot, @MODULES@ httpd's
# module directory. The first address has to speak plain HTTP and must leave
# the path /.generation alone. `page => 0` leaves /finwait-status out.
# `env => {...}` is set for httpd alone; `launcher => [...]` is a command that
# ends by becoming the one that is appended to it, httpd's. `as => 'www-data'`
# starts httpd as that user and not as root. `flags => ['-X']` replaces
# -DFOREGROUND.
#
#   $httpd->get($path, %headers)   HTTP::Tiny's response; Host chooses a vhost,
#                                  -timeout => seconds
#   $httpd->json($path)            the same, decoded (/finwait-status?json)
#   $httpd->fresh_json             the page with sockets counted after the call
#   $httpd->vhost_json('a')        what the page has of a virtual host a.test
#   $httpd->endings('a')           {ending => number} of it, without zeros
#   $httpd->document($name, $text)   the file of this name in @ROOT@/htdocs
#   $httpd->graceful($conf)        USR1, with another conf if one is given;
#                                  returns when no old child accepts any more
#   $httpd->await_closed('PORT2')  returns when httpd has closed its connections
#                                  there (the first port)
#   $httpd->stop                   TERM; one ok(): nothing left, nothing said
#   $httpd->host, ->port('PORT2')  the first address's host; a port by its name
#   $httpd->end                    the same without ok(): what was wrong
#   $httpd->pid, ->fds($pid), ->root, ->log
#   $httpd->children, ->closers    pids of the MPM's children, and of the
#                                  processes finwait2
#   $httpd->closer_pid             the pid of the only one
#   $httpd->closer                 what the page has of them
#
#   slurp($path), spew($path, $text)   as in FinWait2Files
#   config_check($conf, %options)  `httpd -t`: (exit status, output); with
#                                  check => '-L' another of httpd's questions
#   wait_for { condition } $limit, $what      the condition's value, or dies
#   comes { condition } $name      the same as a test, with a minute's patience
#   vhost('PORT2', 'a', $conf)     a <VirtualHost> at @PORT2@ named a.test
#   named_vhosts('PORT2', [$name, @lines], ...)
#                                  such ones, each answers with its name
#   mpms()                         the MPMs to test
#   ss_count(port => N, state => 'fin-wait-2', holder => 'kernel')
#                                  what ss sees; holder: process (a descriptor
#                                  leads to it), kernel, timewait, or any
#   ss_holder($line)               the holder of a line of `ss -tanoe`
#   module_of('forks')             builds t/bin/forks.c, a module for tests; the
#                                  line that loads it
#   shared_object('noshm')         builds t/bin/noshm.c, to be preloaded
#   program('deny')                builds t/bin/deny.c; its path
#   netns_pair()                   two network namespaces joined by a cable:
#                                  ({name, addr, addr6}, {...}), or () where
#                                  we may not
#   in_netns($name, sub { ... })   what is started or connected in there stays
#
# FinWait2Client has the clients.
#
# A test file that uses this runs in a network namespace of its own, where we
# may: nothing else is in its tables (read in parts, /proc/net/tcp shows rows
# twice while others come and go: measured), no port is taken, and its
# tcp_fin_timeout is 60.
#
# Every wait has a limit and says what it waited for. The module that is
# tested is the one that make built last; one built with a sanitizer gets its
# runtime preloaded, and any report fails the test.

use v5.36;
use Cwd            qw(abs_path);
use Exporter       qw(import);
use File::Basename qw(dirname);
use File::Temp     ();
use FinWait2Files;
use HTTP::Tiny     ();
use IO::Socket::IP ();
use JSON::PP       qw(decode_json);
use POSIX          qw(SIGTERM WNOHANG setsid);
use Test::More     ();
use Time::HiRes    qw(time sleep);

our @EXPORT = qw(comes config_check for_each_mpm in_netns module_of mpms
                 named_vhosts netns_pair program shared_object slurp spew
                 ss_count ss_holder vhost wait_for);

my $TOP     = dirname(dirname(dirname(abs_path(__FILE__))));
my $MODULE  = $ENV{FINWAIT2_SO} // "$TOP/.libs/mod_finwait2.so";
my $APXS    = $ENV{APXS} // 'apxs';
my $MODULES = query('LIBEXECDIR');
my $HTTPD   = query('SBINDIR') . '/' . query('PROGNAME');
my %BUILT_IN = map { $_ => 1 } `$HTTPD -l` =~ /(?:mod_)?(\w+)\.c$/mg;
my ($PATCH) = `$HTTPD -v` =~ m{Apache/2\.4\.(\d+)};
my @RUNTIME = `ldd \Q$MODULE\E` =~ m{lib[at]san\S* => (\S+)|libubsan\S* => (\S+)}g;
@RUNTIME = grep { defined } @RUNTIME;
my $SLOW = @RUNTIME ? 5 : 1;    # how much more patience it takes
my @MPMS = split ' ', $ENV{MPMS} // 'event worker prefork';

my %running;                    # pid => server, for END
my @namespaces;

sub query ($name) {
    chomp(my $value = `$APXS -q $name`);
    return $value || die "$APXS -q $name says nothing: is it installed?\n";
}

#---- the server --------------------------------------------------------------

sub start ($class, %options) {
    my $lost_races = 0;
    while (1) {
        my $self = $class->prepare(%options);
        return $self if eval { $self->launch; 1 };
        my $why = $@;
        $self->kill_all;
        die $why . $self->log
            if $self->log !~ /could not bind/ || ++$lost_races > 5;
    }
}

sub prepare ($class, %options) {
    my $dir  = File::Temp->newdir('finwait2-XXXXXX', TMPDIR => 1);
    my $self = bless {
        dir        => $dir,
        root       => "$dir",
        options    => { mpm => 'event', listen => ['127.0.0.1:@PORT@'],
                        modules => [], conf => '', page => 1,
                        flags => ['-DFOREGROUND'], %options },
        ports      => {},
        announced  => [],
        tolerated  => [own_faults($options{mpm} // 'event')],
        generation => 1,
    }, $class;
    chmod 0755, $dir;
    chown((getpwnam($self->{options}{as}))[2, 3], $dir)
        if $self->{options}{as};
    mkdir "$dir/htdocs";
    mkdir "$dir/reports";
    chmod 01777, "$dir/reports";
    $self->write_config;
    return $self;
}

# httpd's own: before 2.4.62 a worker's child may take 5 s to stop.
sub own_faults ($mpm) {
    return $mpm eq 'worker' && ($PATCH // 99) < 62 ? qr/AH00045/ : ();
}

sub launch ($self) {
    my $pid = $self->{pid} = fork // die "fork: $!";
    if (!$pid) {
        setsid();    # prefork signals its whole group at the end
        syscall(number('prctl'), 1, SIGTERM);    # not to outlive a killed test
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>>', "$self->{root}/output";
        open STDERR, '>&', \*STDOUT;
        %ENV = (%ENV, $self->environment);
        my @command = ($self->becomes, @{ $self->{options}{launcher} // [] },
                       $HTTPD, @{ $self->{options}{flags} },
                       '-f', "$self->{root}/httpd.conf");
        { exec { $command[0] } @command };
        POSIX::_exit(127);
    }
    $running{$pid} = $self;
    wait_for(sub { $self->serves_generation }, 20 * $SLOW, 'httpd to answer');
}

sub becomes ($self) {
    my $user = $self->{options}{as} // return;
    return (qw(setpriv --clear-groups), "--reuid=$user", "--regid=$user");
}

# Sanitizers: what is not instrumented (httpd, APR, OpenSSL) is left out of
# ThreadSanitizer's view as a caller. A suppression file could do no better:
# `race:libapr` would match every thread that APR started, ours with it.
# No search for leaks in httpd: all it has at its end is reachable by design
# (pools), and a child that gave up root may not be read even by itself; the
# unit tests do search, in the same rooms. Nor for threads: a child exits
# without joining all of its own. And it shall
# not sleep at a process's exit: httpd's parent gives its children 3 s.
sub environment ($self) {
    my %extra = %{ $self->{options}{env} // {} };
    return %extra if !@RUNTIME;
    my $log     = "log_path=$self->{root}/reports/report";
    my $preload = delete $extra{LD_PRELOAD};
    return (
        LD_PRELOAD    => join(' ', @RUNTIME, $preload // ()),
        ASAN_OPTIONS  => "$log:detect_leaks=0:detect_stack_use_after_return=1",
        UBSAN_OPTIONS => "$log:print_stacktrace=1",
        TSAN_OPTIONS  => "$log:exitcode=0:die_after_fork=0"
                       . ':ignore_noninstrumented_modules=1:atexit_sleep_ms=0'
                       . ':report_thread_leaks=0',
        %extra,
    );
}

sub host ($self) {
    my ($host) = $self->{options}{listen}[0] =~ /^(.*):/;
    my %any = ('' => '127.0.0.1', '0.0.0.0' => '127.0.0.1', '[::]' => '[::1]');
    return $any{ $host // '' } // $host;
}
sub pid  ($self) { $self->{pid} }
sub root ($self) { $self->{root} }
sub port ($self, $name = 'PORT') { $self->{ports}{$name} //= free_port() }

# Not of just now: for a second httpd calls the ETag weak, which is longer.
sub document ($self, $name, $text) {
    my $path = $self->root . "/htdocs/$name";
    spew($path, $text);
    my $then = time - 3600;
    utime $then, $then, $path or die "$path: $!";
}

sub get ($self, $path, %headers) {
    my $host = delete $headers{Host} // $self->host;
    (my $peer = $self->host) =~ tr/[]//d;
    my $timeout = delete $headers{-timeout} // 20 * $SLOW;
    my $http = HTTP::Tiny->new(timeout => $timeout,
                               keep_alive => 0, max_redirect => 0);
    return $http->request(GET => "http://$host:" . $self->port . $path,
                          { headers => \%headers, peer => $peer });
}

sub json ($self, $path = '/finwait-status?json') {
    my $answer = $self->get($path);
    die "$path: $answer->{status} $answer->{content}" if !$answer->{success};
    return decode_json($answer->{content});
}

sub vhost_json ($self, $name) {
    my ($vhost) = grep { $_->{vhost} =~ /^\Q$name\E\.test:/ }
        @{ $self->json->{vhosts} };
    return $vhost // die "no virtual host $name\n";
}

sub closer ($self) { $self->json->{closer} }

sub endings ($self, $name) {
    my %n = %{ $self->vhost_json($name)->{endings} };
    return { map { $_ => $n{$_} } grep { $n{$_} } keys %n };
}

# The page may show a count of a second ago: ask until it is one of after now.
sub fresh_json ($self) {
    my $since = time;
    return wait_for(sub {
        my $asked = time;
        my $page  = $self->json;
        return $page->{snapshot}{counts}
            && $asked - $since >= $page->{snapshot}{age_seconds} && $page;
    }, 20 * $SLOW, 'a count of after now');
}

sub graceful ($self, $conf = undef) {
    my @old       = $self->children;
    my %listening = $self->listening_inodes;
    $self->{options}{conf} = $conf if defined $conf;
    $self->{generation}++;
    $self->write_config;
    kill USR1 => $self->{pid};
    wait_for(sub { $self->serves_generation }, 20 * $SLOW,
             'the new generation to answer');
    wait_for(sub { !grep { $listening{$_} } map { sockets_of($_) } @old },
             20 * $SLOW, 'the old generation to stop listening');
}

sub await_closed ($self, @names) {
    for my $port (map { $self->port($_) } @names ? @names : 'PORT') {
        wait_for(sub { !ss_count(port => $port, state => 'connected',
                                 holder => 'process') },
                 60 * $SLOW, "httpd to close its connections at port $port");
    }
}

sub stop ($self) {
    my @wrong = $self->end;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::ok(!@wrong, "$self->{options}{mpm} ended, left nothing, and "
                          . 'said nothing unexpected')
        or Test::More::diag(join "\n", @wrong);
}

# The event MPM, told to stop while it ends connections, trips over itself (a
# crash, AH03092, AH00468; seen without this module, too): give it the chance to
# be done with those whose clients have closed.
sub settle ($self) {
    return if $self->{options}{mpm} ne 'event' || $self->ended;
    eval {
        wait_for(sub {
            !grep { ss_count(port => $_, state => 'connected',
                             holder => 'process') } values %{ $self->{ports} }
        }, 2 * $SLOW, 'httpd to be done with its connections');
    };
}

sub end ($self) {
    my @wrong;
    $self->settle;
    kill TERM => $self->{pid};
    eval {
        wait_for(sub { $self->ended }, 30 * $SLOW, 'httpd to end');
        push @wrong, "httpd ended with status $self->{status}"
            if $self->{status};
        1;
    } or push @wrong, $@;
    push @wrong, map { "process $_ was left behind" } $self->kill_all;
    return (@wrong, $self->complaints, $self->reports);
}

sub announce ($self, @patterns) { push @{ $self->{announced} }, @patterns }
sub tolerate ($self, @patterns) { push @{ $self->{tolerated} }, @patterns }
sub log      ($self) { slurp("$self->{root}/output")
                     . slurp("$self->{root}/error.log") }

# Lines at warn and above, lines that are not httpd's own at all, children
# that crashed (a mere notice to httpd): all but what was announced; and what
# was announced and did not come.
sub complaints ($self) {
    my @bad = grep { !/^\[[^]]+\] \[\w*:(?:notice|info|debug|trace\d)\] /
                     || /exit signal/ } split /\n/, $self->log;
    my @missing;
    for my $pattern (@{ $self->{announced} }) {
        push @missing, "announced, but never logged: $pattern"
            if $self->log !~ $pattern;
        @bad = grep { $_ !~ $pattern } @bad;
    }
    # Many children take their time to end under a sanitizer.
    my @slow = $SLOW > 1 ? qr/AH00045: child process \d+ still did not exit/ : ();
    for my $pattern (@{ $self->{tolerated} }, @slow) {
        @bad = grep { $_ !~ $pattern } @bad;
    }
    return (map({ "not announced: $_" } @bad), @missing);
}

sub reports ($self) { map { slurp($_) } glob "$self->{root}/reports/*" }

#---- its processes -----------------------------------------------------------

sub ended ($self) {
    if (!exists $self->{status} && waitpid($self->{pid}, WNOHANG) > 0) {
        $self->{status} = $?;
        delete $running{ $self->{pid} };
    }
    return exists $self->{status};
}

# [parent, session] of every process; one that ends meanwhile is left out.
sub processes () {
    my %found;
    for my $path (glob '/proc/[0-9]*/stat') {
        my ($pid, $rest) = slurp($path) =~ /^(\d+) .*\) (.*)/s or next;
        my ($state, $parent, $group, $session) = split ' ', $rest;
        $found{$pid} = [$parent, $session] if $state ne 'Z';
    }
    return %found;
}

sub forks ($self) {
    my %all = processes();
    return sort { $a <=> $b } grep { $all{$_}[0] == $self->{pid} } keys %all;
}

sub is_closer ($pid) { slurp("/proc/$pid/comm") eq "finwait2\n" }

sub children ($self) { grep { !is_closer($_) } $self->forks }
sub closers  ($self) { grep { is_closer($_) } $self->forks }

sub closer_pid ($self) {
    return wait_for(sub { my @all = $self->closers; @all == 1 && $all[0] },
                    60 * $SLOW, 'one process finwait2');
}

# Return all processes of the server's session.
sub left ($self) {
    my %all = processes();
    return grep { $all{$_}[1] == $self->{pid} } keys %all;
}

# End it; returns what there was.
sub kill_all ($self) {
    my @pids = $self->left;
    kill KILL => @pids;
    wait_for(sub { $self->ended && !$self->left }, 10 * $SLOW, 'SIGKILL');
    return @pids;
}

sub fds        ($self, $pid) { scalar(my @all = glob "/proc/$pid/fd/*") }
sub sockets_of ($pid) {
    return map { (readlink($_) // '') =~ /^socket:\[(\d+)\]/ }
        glob "/proc/$pid/fd/*";
}

sub listening_inodes ($self) {
    my $tables = join '', map { slurp("/proc/$self->{pid}/net/$_") }
        qw(tcp tcp6);
    my %listening = map { $_ => 1 }
        $tables =~ /^ *\d+: \S+ \S+ 0A (?:\S+ +){5}(\d+)/mg;
    return map { $_ => 1 } grep { $listening{$_} } sockets_of($self->{pid});
}

sub serves_generation ($self) {
    die "httpd ended by itself:\n" . $self->log . join '', $self->reports
        if $self->ended;
    my $answer = $self->get('/.generation', -timeout => 2 * $SLOW);
    return $answer->{content} eq "generation $self->{generation}";
}

#---- its configuration -------------------------------------------------------

# Some of these are built into some httpds.
my @ALWAYS = qw(unixd log_config authz_core authz_host);

my %SIZE = (
    threads => "ServerLimit 4\nStartServers 2\nThreadsPerChild 8\n"
             . "MinSpareThreads 4\nMaxSpareThreads 32\nMaxRequestWorkers 32\n",
    prefork => "ServerLimit 32\nStartServers 4\nMinSpareServers 2\n"
             . "MaxSpareServers 8\nMaxRequestWorkers 32\n",
);

sub write_config ($self) {
    my %o     = %{ $self->{options} };
    my @load  = grep { !$BUILT_IN{ s/^mpm_//r } }
        "mpm_$o{mpm}", @ALWAYS, @{ $o{modules} };
    my $group = getgrnam('www-data') ? 'www-data' : 'nogroup';
    my $user  = getpwnam('www-data') ? 'www-data' : 'nobody';
    my $text  = join "\n",
        'ServerRoot "@ROOT@"', 'ServerName localhost',
        'PidFile "@ROOT@/httpd.pid"', 'DefaultRuntimeDir "@ROOT@"',
        'ErrorLog "@ROOT@/error.log"',
        'DocumentRoot "@ROOT@/htdocs"',
        map({ "LoadModule ${_}_module \@MODULES\@/mod_$_.so" } @load),
        qq(LoadModule finwait2_module "$MODULE"), 'LogLevel info',
        # Debian's mod_ssl warns of its own OpenSSL's number.
        (map { $_ eq 'ssl' ? 'LogLevel info ssl:error' : () } @load),
        $> == 0 ? ("User $user", "Group $group") : (),
        $SIZE{ $o{mpm} } // $SIZE{threads},
        map({ "Listen $_" } @{ $o{listen} }),
        '<Location "/.generation">', '    Require all granted',
        "    ErrorDocument 404 \"generation $self->{generation}\"",
        '</Location>',
        $o{page} ? ('FinWait2Status On', '<Location "/finwait-status">',
                    '    SetHandler finwait-status', '</Location>') : (),
        $o{conf}, '';
    $self->make_certificate if $text =~ /\@CERT\@/;
    my %known = (ROOT => $self->{root}, MODULES => $MODULES,
                 CERT => "$self->{root}/tls.crt",
                 KEY  => "$self->{root}/tls.key");
    $text =~ s/\@(PORT\d*)\@/$self->port($1)/ge;
    $text =~ s/\@(\w+)\@/$known{$1} \/\/ die "unknown placeholder \@$1\@"/ge;
    spew("$self->{root}/httpd.conf", $text);
}

sub make_certificate ($self) {
    my $file = "$self->{root}/tls";
    return if -e "$file.crt";
    my $said = `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 \\
        -nodes -days 2 -subj /CN=localhost -keyout $file.key -out $file.crt \\
        -addext basicConstraints=critical,CA:FALSE \\
        -addext subjectAltName=DNS:localhost,DNS:*.test,IP:127.0.0.1 2>&1`;
    die "openssl req: $said" if $?;
}

sub compiled ($name, $suffix, @flags) {
    state $scratch = File::Temp->newdir;
    my @command = ("cc -Wall -Werror -O @flags -o $scratch/$name$suffix",
                   "\Q$TOP\E/t/bin/$name.c 2>&1");
    my $said = `@command`;
    die "t/bin/$name.c does not compile:\n$said" if $?;
    return "$scratch/$name$suffix";
}

sub program ($name) { compiled($name, '') }

sub shared_object ($name) {
    return compiled($name, '.so', '-shared -fPIC', '-I' . query('INCLUDEDIR'),
        map { s/\n//r } qx(@{[query('APR_CONFIG')]} --includes --cppflags));
}

sub module_of ($name) {
    return "LoadModule ${name}_module " . shared_object($name) . "\n";
}

sub config_check ($conf, %options) {
    my $self = FinWait2Test->prepare(%options, conf => $conf);
    local %ENV = (%ENV, $self->environment);
    my $flags = $options{check} // '-t';
    my $said = `$HTTPD $flags -f $self->{root}/httpd.conf 2>&1`;
    return ($? >> 8 || $? & 127, $said);
}

# Free on every address of both families, as far as one can know.
# Never the same twice: what is free is not yet listened on.
sub free_port () {
    state %given;
    my %any = (Listen => 1, LocalPort => 0);
    my $socket = IO::Socket::IP->new(%any, LocalHost => '::', V6Only => 0)
        // IO::Socket::IP->new(%any, LocalHost => '0.0.0.0')
        // die "no free port: $@";
    my $port = $socket->sockport;
    return $given{$port}++ ? free_port() : $port;
}

#---- what tests need besides -------------------------------------------------

# The MPMs to test, all or those of MPMS.
sub mpms () { @MPMS }

# Seconds to wait: more under a sanitizer.
sub patience ($seconds) { $seconds * $SLOW }

sub for_each_mpm :prototype(&) ($code) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    for my $mpm (@MPMS) {
        Test::More::subtest($mpm => sub { $code->($mpm) });
    }
}

sub wait_for :prototype(&$$) ($condition, $limit, $what) {
    my $until = time + $limit;
    while (time < $until) {
        my $value = $condition->();
        return $value if $value;
        sleep 0.02;
    }
    die "waited $limit s in vain for $what\n";
}

sub comes :prototype(&$) ($condition, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::ok(eval { wait_for(sub { $condition->() }, 60 * $SLOW, $name) },
                   $name) or Test::More::diag($@);
}

sub vhost ($port, $name, $conf) {
    return "<VirtualHost *:\@$port\@>\nServerName $name.test\n$conf"
         . "</VirtualHost>\n";
}

sub named_vhosts ($port, @vhosts) {
    return join '', map {
        my ($name, @lines) = @$_;
        join "\n", "<VirtualHost *:\@$port\@>", "ServerName $name",
            "ErrorDocument 404 $name", @lines, "</VirtualHost>\n";
    } @vhosts;
}

sub ss_holder ($line) {
    return $line =~ /timer:\(timewait/ ? 'timewait'
         : $line =~ /\bino:[1-9]/      ? 'process' : 'kernel';
}

sub ss_count (%which) {
    my $state = $which{state} // 'fin-wait-2';
    my @lines = `ss -tanHoe state $state 'sport = :$which{port}' 2>/dev/null`;
    die "ss failed: $?" if $?;
    my %held  = (process => 0, kernel => 0, timewait => 0);
    for (@lines) {
        $held{ ss_holder($_) }++;
    }
    return defined $which{holder} ? $held{ $which{holder} } : @lines + 0;
}

sub netns_pair () {
    return if $> != 0 || system("ip netns add fw2-$$-a 2>/dev/null") != 0;
    my @side = map { { name => "fw2-$$-$_->[0]", addr => "10.77.0.$_->[1]",
                       addr6 => "fd77::$_->[1]" } } ['a', 1], ['b', 2];
    push @namespaces, map { $_->{name} } @side;
    my $run = sub ($what) { system("ip $what") == 0 or die "ip $what failed" };
    $run->("netns add $side[1]{name}");
    $run->("link add veth0 netns $side[0]{name} type veth "
         . "peer name veth0 netns $side[1]{name}");
    for my $side (@side) {
        my $in = "-n $side->{name}";
        $run->("$in addr add $side->{addr}/24 dev veth0");
        $run->("$in addr add $side->{addr6}/64 dev veth0 nodad");
        $run->("$in link set $_ up") for qw(lo veth0);
    }
    return @side;
}

sub in_netns ($name, $code) {
    open my $home,  '<', '/proc/self/ns/net' or die "ns: $!";
    open my $there, '<', "/run/netns/$name"  or die "$name: $!";
    my $enter = sub ($ns) {
        syscall(number('setns'), fileno $ns, 0) == 0 or die "setns: $!";
    };
    $enter->($there);
    my @result = eval { $code->() };
    my $why = $@;
    $enter->($home);
    die $why if $why;
    return wantarray ? @result : $result[0];
}

# A system call's number on this machine.
sub number ($call) {
    package main;
    require 'syscall.ph';
    no strict 'refs';
    return &{"main::SYS_$call"}();
}

sub own_network () {
    return if $> != 0 || syscall(number('unshare'), 0x40000000) != 0;
    system('ip link set lo up') == 0 or die 'ip link failed';
}

own_network() if $0 =~ /\.t$/;

# A test that dies or is interrupted leaves nothing behind either.
my $OWNER = $$;
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);
END {
    if ($$ == $OWNER) {
        my $status = $?;
        for my $server (values %running) {
            Test::More::diag("httpd was never stopped; it had said:\n"
                             . $server->log);
            $server->kill_all;
            $status ||= 1;
        }
        system("ip netns del $_") for @namespaces;
        $? = $status;
    }
}

1;
