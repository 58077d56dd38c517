package FinWait2Test;

# Start a real, private httpd for a test. Core Perl only.
#
#   use Test::More;
#   use FinWait2Test;
#
#   for_each_mpm {                      # one subtest for each MPM
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
#       $httpd->announce(qr/a line that the error log must have/);
#       $httpd->tolerate(qr/a line that it may have/);
#       $httpd->stop;            # fails on any other line at warn or above
#   };
#   done_testing;
#
# In `listen` and `conf`: @PORT@, @PORT2@, ... are free ports, @ROOT@ is the
# server's temporary directory (www-data may read it; @ROOT@/htdocs is served),
# @CERT@ and @KEY@ a new TLS certificate, @MODULES@ httpd's module directory. The
# first address must serve plain HTTP, and the harness uses the path /.generation.
# `page => 0` omits /finwait-status. `env => {...}` is the environment of httpd
# alone; `launcher => [...]` is a command that executes the command of httpd, which
# is appended to it. `as => 'www-data'` starts httpd as that user instead of root.
# `flags => ['-X']` replaces -DFOREGROUND.
#
#   $httpd->get($path, %headers)   HTTP::Tiny's response; Host chooses a vhost,
#                                  -timeout => seconds
#   $httpd->json($path)            the JSON of a path (/finwait-status?json)
#   $httpd->fresh_json             the JSON of a count that began after the call
#   $httpd->vhost_json('a')        the JSON of the virtual host a.test
#   $httpd->endings('a')           {ending => number} of a.test, without zeros
#   $httpd->document($name, $text)   the file of this name in @ROOT@/htdocs
#   $httpd->graceful($conf)        send USR1, with another conf if one is given;
#                                  return when no old child accepts connections
#   $httpd->await_closed('PORT2')  return when httpd has closed its connections
#                                  at that port (default: the first)
#   $httpd->stop                   send TERM; one ok(): no process is left, and
#                                  the log has no unexpected line
#   $httpd->host, ->port('PORT2')  the first address's host; a port by its name
#   $httpd->end                    send TERM without ok(); return the faults
#   $httpd->pid, ->fds($pid), ->root, ->log
#   $httpd->children, ->closers    pids of the MPM's children, and of the
#                                  processes finwait2
#   $httpd->closer_pid             the pid of the only process finwait2
#   $httpd->closer                 the section closer of the JSON
#
#   slurp($path), spew($path, $text)   as in FinWait2Files
#   config_check($conf, %options)  `httpd -t`: (exit status, output); with
#                                  check => '-L' another flag of httpd
#   wait_for { condition } $limit, $what      the condition's value, or dies
#   eventually { condition } $name   a test that the condition comes true within
#                                  a minute
#   vhost('PORT2', 'a', $conf)     a <VirtualHost> at @PORT2@ named a.test
#   named_vhosts('PORT2', [$name, @lines], ...)
#                                  virtual hosts that answer with their names
#   mpms()                         the MPMs to test
#   ss_count(port => N, state => 'fin-wait-2', holder => 'kernel')
#                                  the number of sockets in ss; holder: process (a
#                                  descriptor refers to it), kernel, timewait, any
#   ss_holder($line)               the holder of a line of `ss -tanoe`
#   module_of('forks')             build the module t/bin/forks.c; return the line
#                                  that loads it
#   shared_object('noshm')         build t/bin/noshm.c, to be preloaded
#   program('deny')                build t/bin/deny.c; return its path
#   netns_pair()                   two network namespaces joined by a veth pair:
#                                  ({name, addr, addr6}, {...}), or () without
#                                  the permission
#   in_netns($name, sub { ... })   run the code in a namespace: its processes and
#                                  sockets stay there
#
# Clients are in FinWait2Client.
#
# A test file that uses this module runs in a network namespace of its own if it
# has the permission: the tables hold no other sockets (/proc/net/tcp, read in
# parts, was seen to repeat rows while other sockets come and go), no port is
# taken, and tcp_fin_timeout is 60.
#
# Every wait has a limit, and its error names the condition. The tests load the
# module that make built last; for a module built with a sanitizer, the harness
# preloads the runtime, and any report fails the test.

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

our @EXPORT = qw(config_check eventually for_each_mpm in_netns module_of mpms
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
my $SLOW = @RUNTIME ? 5 : 1;    # the factor for every time limit
my @MPMS = split ' ', $ENV{MPMS} // 'event worker prefork';

my %running;                    # pid => server, for END
my @namespaces;

sub query ($name) {
    chomp(my $value = `$APXS -q $name`);
    return $value || die "$APXS -q $name prints nothing: is apxs installed?\n";
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

# Log lines of httpd's own faults: before 2.4.62 a worker's child may stop late.
sub own_faults ($mpm) {
    return $mpm eq 'worker' && ($PATCH // 99) < 62 ? qr/AH00045/ : ();
}

sub launch ($self) {
    my $pid = $self->{pid} = fork // die "fork: $!";
    if (!$pid) {
        setsid();    # prefork signals its whole group at the end
        syscall(number('prctl'), 1, SIGTERM);    # ends with a killed test
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

# Return the environment of httpd, with the options of the sanitizers.
# ThreadSanitizer ignores accesses by callers that are not instrumented (httpd,
# APR, OpenSSL). A suppression file would hide more: `race:libapr` matches every
# thread that APR started, also those of the module.
# httpd's own memory is reachable at its end by design (pools), and a child that
# has dropped root may not inspect itself, so only the unit tests of the same rooms
# search for leaks. A child exits without joining all its threads, so leaked
# threads are not reported. A sleep at exit would exceed the 3 s that httpd's
# parent allows its children.
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

# Write a file that is an hour old: httpd makes the ETag of a newer one weak, which
# is longer.
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

# The page may show a count of a second ago: ask until the count is newer than the
# call.
sub fresh_json ($self) {
    my $since = time;
    return wait_for(sub {
        my $asked = time;
        my $page  = $self->json;
        return $page->{snapshot}{counts}
            && $asked - $since >= $page->{snapshot}{age_seconds} && $page;
    }, 20 * $SLOW, 'a new count');
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
    Test::More::ok(!@wrong, "httpd ($self->{options}{mpm}) ends, leaves no "
                          . 'process and logs nothing unexpected')
        or Test::More::diag(join "\n", @wrong);
}

# Wait for httpd to close the connections that its clients have closed: an event
# MPM that stops while it closes connections may fail (a crash, AH03092, AH00468),
# also without this module.
sub settle ($self) {
    return if $self->{options}{mpm} ne 'event' || $self->ended;
    eval {
        wait_for(sub {
            !grep { ss_count(port => $_, state => 'connected',
                             holder => 'process') } values %{ $self->{ports} }
        }, 2 * $SLOW, 'httpd to close its connections');
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

# Return the unexpected lines (at warn and above, not in httpd's format, or of a
# crashed child, which is only a notice to httpd) and the announced patterns that
# no line matches.
sub complaints ($self) {
    my @bad = grep { !/^\[[^]]+\] \[\w*:(?:notice|info|debug|trace\d)\] /
                     || /exit signal/ } split /\n/, $self->log;
    my @missing;
    for my $pattern (@{ $self->{announced} }) {
        push @missing, "announced, but never logged: $pattern"
            if $self->log !~ $pattern;
        @bad = grep { $_ !~ $pattern } @bad;
    }
    # Children end slowly under a sanitizer.
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

# Return {pid => [parent, session]}, without processes that end meanwhile.
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

# Kill all processes of the session; return their pids.
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

# Some httpds have some of these modules built in.
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
        # Debian's mod_ssl warns about the version of its OpenSSL.
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
    my $output = `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 \\
        -nodes -days 2 -subj /CN=localhost -keyout $file.key -out $file.crt \\
        -addext basicConstraints=critical,CA:FALSE \\
        -addext subjectAltName=DNS:localhost,DNS:*.test,IP:127.0.0.1 2>&1`;
    die "openssl req: $output" if $?;
}

sub compiled ($name, $suffix, @flags) {
    state $scratch = File::Temp->newdir;
    my @command = ("cc -Wall -Werror -O @flags -o $scratch/$name$suffix",
                   "\Q$TOP\E/t/bin/$name.c 2>&1");
    my $output = `@command`;
    die "t/bin/$name.c does not compile:\n$output" if $?;
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
    my $output = `$HTTPD $flags -f $self->{root}/httpd.conf 2>&1`;
    return ($? >> 8 || $? & 127, $output);
}

# Return a port that is free on every address of both families, and a new one each
# time: httpd listens on it only later. Another process may still take it.
sub free_port () {
    state %given;
    my %any = (Listen => 1, LocalPort => 0);
    my $socket = IO::Socket::IP->new(%any, LocalHost => '::', V6Only => 0)
        // IO::Socket::IP->new(%any, LocalHost => '0.0.0.0')
        // die "no free port: $@";
    my $port = $socket->sockport;
    return $given{$port}++ ? free_port() : $port;
}

#---- other helpers ------------------------------------------------------------

# Return the MPMs to test: all, or those in the environment variable MPMS.
sub mpms () { @MPMS }

# Return a time limit in seconds, longer under a sanitizer.
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
    die "waited $limit s, without success, for $what\n";
}

sub eventually :prototype(&$) ($condition, $name) {
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

# Return the number of a system call on this machine.
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

# A test that dies or is interrupted leaves no process or namespace behind.
my $OWNER = $$;
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);
END {
    if ($$ == $OWNER) {
        my $status = $?;
        for my $server (values %running) {
            Test::More::diag("the test never stopped httpd; its log:\n"
                             . $server->log);
            $server->kill_all;
            $status ||= 1;
        }
        system("ip netns del $_") for @namespaces;
        $? = $status;
    }
}

1;
