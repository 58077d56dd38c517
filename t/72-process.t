# The closer process is killed, stopped, out of descriptors, or cannot start: no
# request fails, each connection is counted once, the page shows the state, and no
# process is left behind.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use POSIX       ();
use Time::HiRes qw(sleep time);

my $PATIENT = 60;
my $FOREVER = "FinWait2Linger always\nFinWait2LingerIdle 1h\n"
            . "FinWait2LingerTotal 1h\n";
my $DIED    = qr/finwait2 .* has ended unasked; another one is started/;
my $REFUSED = qr/finwait2 does not accept this connection/;

# The page's own connections stay out of the numbers.
my $COMMON = "FinWait2Linger httpd\n";

sub start ($mpm, $conf, %options) {
    my $httpd = FinWait2Test->start(mpm => $mpm, conf => $COMMON . $conf,
        listen => [map { "127.0.0.1:\@PORT$_\@" } '', 2, 3], %options);
    $httpd->document('page', 'y' x 1000);
    return $httpd;
}

# Return the number of hand-offs: endings, held, refused or lost connections.
sub accounted ($httpd, $name) {
    my $json  = $httpd->json;
    my ($of)  = grep { $_->{vhost} =~ /^\Q$name\E\.test:/ } @{ $json->{vhosts} };
    my $n     = $of->{held} + $json->{closer}{fallback} + $json->{closer}{lost};
    $n += $_ for values %{ $of->{endings} };
    return $n;
}

sub closed_by_server ($httpd, $name) {
    return $httpd->vhost_json($name)->{closes}{by_server};
}

# Wait for another process finwait2 than this one; return its pid.
sub successor ($httpd, $pid) {
    return wait_for {
        my @all = $httpd->closers;
        @all == 1 && $all[0] != $pid && $httpd->closer->{processes} == 1
            && $all[0];
    } $PATIENT, 'another process finwait2';
}

#---- the process --------------------------------------------------------------

my @SCARCE = ("ServerLimit 20\nStartServers 20\nMinSpareServers 20\n"
            . "MaxSpareServers 20\nMaxRequestWorkers 20\n");

subtest 'the process has one task and no resource of httpd' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, vhost('PORT2', 'a', "FinWait2Linger auto\n")
                              . ($mpm eq 'prefork' ? $SCARCE[0] : ''));
        my $pid   = $httpd->closer_pid;
        my $of    = sub ($field) {
            slurp("/proc/$pid/status") =~ /^$field:\s+(\S+)/m ? $1 : undef;
        };
        is $of->('Threads'), 1, 'the process has one thread';
        like slurp("/proc/$pid/cmdline"), qr/^finwait2\0/,
            'ps shows the name finwait2';
        is $of->('Uid'), $> ? $> : (getpwnam 'www-data')[2],
            "the process has httpd's user";
        like $of->('CapEff'), qr/^0+$/, 'the process has no capability';
        my @kinds;
        eventually {
            @kinds = sort map { (readlink($_) // '') =~ s/socket:\K.*//r }
                glob "/proc/$pid/fd/*";
            "@kinds" eq '/dev/null /dev/null /dev/null '
                      . 'anon_inode:[eventpoll] socket:'
        } 'the process has five descriptors: no listening socket, no log, no file'
            or diag explain \@kinds;
        if ($mpm eq 'prefork') {
            eventually {
                my @forks = $httpd->forks;
                my @tasks = map { glob "/proc/$_/task/*" } @forks;
                @forks == 21 && @tasks == 21;
            } 'twenty children and the process have one task each';
        }
        $httpd->stop;
    };
};

#---- kills -------------------------------------------------------------------

subtest 'a killed process fails no request under load' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, vhost('PORT2', 'load', "FinWait2Linger auto\n")
                              . vhost('PORT3', 'held', $FOREVER));
        my $load    = load($httpd->port('PORT2'));
        my @clients = idle_clients($httpd, 'PORT3', 10);
        eventually { $httpd->vhost_json('held')->{held} == 10 }
            'ten connections are held';
        $httpd->announce($DIED);
        my $pid = $httpd->closer_pid;
        for (1, 2) {
            kill KILL => $pid;
            $pid = successor($httpd, $pid);
        }
        my @wrong = unload($load);
        is "@wrong", '', 'no request failed';
        cmp_ok $httpd->closer->{lost}, '>=', 10,
            'the connections of the killed process are lost';
        is $httpd->vhost_json('held')->{held}, 0,
            'no lost connection counts as held';
        push @clients, idle_clients($httpd, 'PORT3', 3);
        eventually { $httpd->vhost_json('held')->{held} == 3 }
            'the next process holds new connections';
        undef @clients;
        $httpd->announce($REFUSED) if $httpd->log =~ $REFUSED;
        $httpd->stop;
    };
};

subtest 'a killed process loses none of 500 queued connections' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, vhost('PORT2', 'many', "FinWait2Linger auto\n"));
        my $pid   = $httpd->closer_pid;
        eventually { $httpd->closer->{processes} == 1 } 'the process runs';
        kill STOP => $pid;
        my @clients = idle_clients($httpd, 'PORT2', 500);
        is_deeply $httpd->endings('many'), {},
            'a stopped process ends no linger';
        $httpd->announce($DIED);
        kill KILL => $pid;
        successor($httpd, $pid);
        eventually { ($httpd->endings('many')->{acked} // 0) == 500 }
            'the next process handles every queued connection'
            or diag explain $httpd->json->{closer};
        is_deeply [@{ $httpd->closer }{qw(fallback lost invalid)}], [0, 0, 0],
            'no connection is lost';
        undef @clients;
        $httpd->stop;
    };
};

#---- stops -------------------------------------------------------------------

# RLIMIT_NOFILE also limits the descriptors of a user in queues.
my @FEW = (launcher => ['sh', '-c', 'ulimit -S -n 64; exec "$@"', 'sh']);

subtest 'a stopped process with a full queue fails no request' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, vhost('PORT2', 'load', "FinWait2Linger auto\n"),
                          @FEW);
        my $pid   = $httpd->closer_pid;
        eventually { $httpd->closer->{processes} == 1 } 'the process runs';
        kill STOP => $pid;
        $httpd->announce(qr/finwait2 does not accept .*: its queue is full/);
        my $load = load($httpd->port('PORT2'));
        eventually { $httpd->closer->{refusals}{queue_full} >= 20 }
            'httpd lingers itself, and counts the refusals';
        my $html = $httpd->get('/finwait-status')->{content};
        like $html, qr/finwait2.*did not answer/s,
            'the page reports that finwait2 does not answer';
        my @wrong = unload($load);
        is "@wrong", '', 'no request failed';
        my @lines = $httpd->log =~ /$REFUSED/g;
        is @lines, 1, 'the error log has one line about the refusals';
        kill CONT => $pid;
        eventually { accounted($httpd, 'load')
                == closed_by_server($httpd, 'load') }
                    'each connection is counted once';
        is $httpd->closer->{lost}, 0, 'a stop loses no connection';
        is $httpd->closer_pid, $pid, 'the process has not been replaced';
        $httpd->stop;
    };
};

subtest 'httpd stops with a stopped process' => sub {
    for_each_mpm {
        my $httpd = start(shift, vhost('PORT2', 'a', $FOREVER));
        my @clients = idle_clients($httpd, 'PORT2', 3);
        eventually { $httpd->vhost_json('a')->{held} == 3 }
            'three connections are held';
        kill STOP => $httpd->closer_pid;
        $httpd->stop;
    };
};

#---- missing resources -------------------------------------------------------

subtest 'a process without free descriptors evicts connections' => sub {
    plan skip_all => 'only root can change its user' if $>;
    my @lower = qw(setpriv --reuid=www-data --regid=www-data --clear-groups
                   prlimit --nofile=40:40);
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, vhost('PORT2', 'load', "FinWait2Linger auto\n")
                              . vhost('PORT3', 'held', $FOREVER));
        my @clients = idle_clients($httpd, 'PORT3', 50);
        eventually { $httpd->vhost_json('held')->{held} == 50 }
            'fifty connections are held';
        my $pid = $httpd->closer_pid;
        system(@lower, "--pid=$pid") == 0 or die "prlimit\n";
        my $load = load($httpd->port('PORT2'));
        push @clients, idle_clients($httpd, 'PORT3', 20);
        eventually { $httpd->closer->{evicted} >= 20 }
            'the oldest connections are evicted';
        my @wrong = unload($load);
        is "@wrong", '', 'no request failed';
        cmp_ok $httpd->closer->{held}, '<', 40,
            'the process holds fewer connections than its limit';
        is $httpd->closer_pid, $pid, 'the process survives';
        undef @clients;
        $httpd->stop;
    };
};

# Return a command that makes a system call fail, by strace in its own session.
sub refuse ($call, $how) {
    return [qw(strace -DDD -f -qq -o /dev/null --seccomp-bpf -e),
            "trace=$call", '-e', "inject=$call:$how"];
}

my %REFUSALS = (
    # The first fork of the parent starts the process.
    fork  => ['clone', 'error=EAGAIN:when=1', 'no_process',
              qr/cannot start the process finwait2/],
    queue => ['socketpair', 'error=EMFILE', 'cannot_linger',
              qr/cannot make the queue to the process finwait2/],
);

sub without ($mpm, $what) {
    my ($call, $how, $refusal, $logged) = @{ $REFUSALS{$what} };
    my $httpd = start($mpm, vhost('PORT2', 'none', $FOREVER),
                      launcher => refuse($call, $how));
    $httpd->announce($REFUSED, $logged);
    my @clients = idle_clients($httpd, 'PORT2', 3);
    eventually { $httpd->closer->{refusals}{$refusal} == 3 }
        "$what: httpd lingers itself, and counts the reason $refusal";
    is_deeply $httpd->endings('none'), {}, 'no ending is counted';
    eventually { ss_count(port => $httpd->port('PORT2'), holder => 'process') == 3 }
        'httpd holds the three connections';
    my @lines = $httpd->log =~ /$REFUSED/g;
    is @lines, 1, "$what: the error log has one line about the refusals";
    if ($what eq 'fork') {
        eventually { $httpd->closer->{processes} == 1 }
            'a second fork succeeds';
        push @clients, idle_clients($httpd, 'PORT2', 2);
        eventually { $httpd->closer->{held} == 2 } 'the next process lingers';
    }
    undef @clients;
    $httpd->stop;
}

subtest 'httpd lingers itself if fork or the queue fails' => sub {
    my @try = @{ refuse('socketpair', 'error=EMFILE') };
    plan skip_all => 'strace is missing or may not trace'
        if system("@try true 2>/dev/null") != 0;
    for_each_mpm {
        my $mpm = shift;
        without($mpm, 'fork');
        without($mpm, 'queue');
    };
};

# Only the module is without epoll; httpd has it.
subtest 'httpd lingers itself without epoll' => sub {
    my %env = (LD_PRELOAD => shared_object('noepoll'));
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, vhost('PORT2', 'none', $FOREVER), env => \%env);
        eventually { $httpd->closer->{processes} == 1 } 'the process runs';
        $httpd->announce(qr/does not accept .*: it cannot linger here/);
        my @clients = idle_clients($httpd, 'PORT2', 3);
        eventually { $httpd->closer->{refusals}{cannot_linger} == 3 }
            'httpd lingers itself';
        eventually { $httpd->fresh_json->{half_closed}{held} == 3 }
            'the process still counts sockets';
        my ($advice) = grep { $_->{rule} eq 'closer-idle' }
            @{ $httpd->json->{advice} };
        is $advice->{level}, 'ok', 'the advice closer-idle is a note'
            or diag explain $httpd->json->{advice};
        undef @clients;
        $httpd->stop;
    };
};

#---- other ways to start -----------------------------------------------------

subtest 'the process works with httpd -X' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, vhost('PORT2', 'a', $FOREVER), flags => ['-X']);
        my @clients = idle_clients($httpd, 'PORT2', 2);
        eventually { $httpd->vhost_json('a')->{held} == 2 }
            'two connections are held';
        kill TERM => $httpd->pid;
        eventually { $httpd->ended } 'a stop of httpd waits for no client';
        eventually { !$httpd->left } 'the process ends with httpd';
        undef @clients;
    };
};

subtest 'the process works without root' => sub {
    plan skip_all => 'only root can change its user' if $>;
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, vhost('PORT2', 'a', $FOREVER),
                          as => 'www-data');
        my @clients = idle_clients($httpd, 'PORT2', 2);
        eventually { $httpd->vhost_json('a')->{held} == 2 }
            'two connections are held';
        $httpd->graceful;
        push @clients, idle_clients($httpd, 'PORT2', 1);
        eventually { $httpd->closer->{held} == 3 }
            'two processes hold three connections';
        undef @clients;
        $httpd->stop;
    };
};

done_testing;
