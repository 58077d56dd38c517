# The closer process when it is killed, stopped, out of descriptors, or cannot
# be had at all: no request fails, each connection is counted once, the page
# says what is so, and nothing is left behind.

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

# Every hand-off of a virtual host is an ending, held, or left to httpd.
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

# Another one than this, that runs.
sub successor ($httpd, $pid) {
    return wait_for {
        my @all = $httpd->closers;
        @all == 1 && $all[0] != $pid && $httpd->closer->{processes} == 1
            && $all[0];
    } $PATIENT, 'another process finwait2';
}

#---- what it is --------------------------------------------------------------

my @SCARCE = ("ServerLimit 20\nStartServers 20\nMinSpareServers 20\n"
            . "MaxSpareServers 20\nMaxRequestWorkers 20\n");

subtest 'one process, one task, and nothing of httpd\'s' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, vhost('PORT2', 'a', "FinWait2Linger auto\n")
                              . ($mpm eq 'prefork' ? $SCARCE[0] : ''));
        my $pid   = $httpd->closer_pid;
        my $of    = sub ($field) {
            slurp("/proc/$pid/status") =~ /^$field:\s+(\S+)/m ? $1 : undef;
        };
        is $of->('Threads'), 1, 'one thread';
        like slurp("/proc/$pid/cmdline"), qr/^finwait2\0/, 'its name in ps';
        is $of->('Uid'), $> ? $> : (getpwnam 'www-data')[2], "httpd's user";
        like $of->('CapEff'), qr/^0+$/, 'no capability';
        my @kinds;
        eventually {
            @kinds = sort map { (readlink($_) // '') =~ s/socket:\K.*//r }
                glob "/proc/$pid/fd/*";
            "@kinds" eq '/dev/null /dev/null /dev/null '
                      . 'anon_inode:[eventpoll] socket:'
        } 'five descriptors: no listening socket, no log, no file'
            or diag explain \@kinds;
        if ($mpm eq 'prefork') {
            eventually {
                my @forks = $httpd->forks;
                my @tasks = map { glob "/proc/$_/task/*" } @forks;
                @forks == 21 && @tasks == 21;
            } 'twenty children and it, a task each';
        }
        $httpd->stop;
    };
};

#---- killed ------------------------------------------------------------------

subtest 'killed under load' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, vhost('PORT2', 'load', "FinWait2Linger auto\n")
                              . vhost('PORT3', 'held', $FOREVER));
        my $load    = load($httpd->port('PORT2'));
        my @clients = idle_clients($httpd, 'PORT3', 10);
        eventually { $httpd->vhost_json('held')->{held} == 10 } 'ten are held';
        $httpd->announce($DIED);
        my $pid = $httpd->closer_pid;
        for (1, 2) {
            kill KILL => $pid;
            $pid = successor($httpd, $pid);
        }
        my @wrong = unload($load);
        is "@wrong", '', 'no request failed';
        cmp_ok $httpd->closer->{lost}, '>=', 10,
            'the connections that it held are lost';
        is $httpd->vhost_json('held')->{held}, 0,
            'no lost connection counts as held';
        push @clients, idle_clients($httpd, 'PORT3', 3);
        eventually { $httpd->vhost_json('held')->{held} == 3 }
            'the next process lingers on';
        undef @clients;
        $httpd->announce($REFUSED) if $httpd->log =~ $REFUSED;
        $httpd->stop;
    };
};

subtest 'killed while 500 connections are queued' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, vhost('PORT2', 'many', "FinWait2Linger auto\n"));
        my $pid   = $httpd->closer_pid;
        eventually { $httpd->closer->{processes} == 1 } 'the process runs';
        kill STOP => $pid;
        my @clients = idle_clients($httpd, 'PORT2', 500);
        is_deeply $httpd->endings('many'), {}, 'none has ended';
        $httpd->announce($DIED);
        kill KILL => $pid;
        successor($httpd, $pid);
        eventually { ($httpd->endings('many')->{acked} // 0) == 500 }
            'the next process takes them all'
            or diag explain $httpd->json->{closer};
        is_deeply [@{ $httpd->closer }{qw(fallback lost invalid)}], [0, 0, 0],
            'no connection is lost';
        undef @clients;
        $httpd->stop;
    };
};

#---- stopped -----------------------------------------------------------------

# RLIMIT_NOFILE bounds the descriptors of a user that are on their way.
my @FEW = (launcher => ['sh', '-c', 'ulimit -S -n 64; exec "$@"', 'sh']);

subtest 'stopped, and its queue full' => sub {
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
            'httpd lingers itself, which is counted';
        my $html = $httpd->get('/finwait-status')->{content};
        like $html, qr/finwait2.*did not answer/s,
            'the page says that finwait2 does not answer';
        my @wrong = unload($load);
        is "@wrong", '', 'no request failed';
        my @lines = $httpd->log =~ /$REFUSED/g;
        is @lines, 1, 'one line in the error log';
        kill CONT => $pid;
        eventually { accounted($httpd, 'load')
                == closed_by_server($httpd, 'load') }
                    'each connection is counted once';
        is $httpd->closer->{lost}, 0, 'no connection is lost';
        is $httpd->closer_pid, $pid, 'the process is the same';
        $httpd->stop;
    };
};

subtest 'stopped when httpd stops' => sub {
    for_each_mpm {
        my $httpd = start(shift, vhost('PORT2', 'a', $FOREVER));
        my @clients = idle_clients($httpd, 'PORT2', 3);
        eventually { $httpd->vhost_json('a')->{held} == 3 } 'three are held';
        kill STOP => $httpd->closer_pid;
        $httpd->stop;
    };
};

#---- short of something ------------------------------------------------------

subtest 'out of descriptors' => sub {
    plan skip_all => 'only root can become another' if $>;
    my @lower = qw(setpriv --reuid=www-data --regid=www-data --clear-groups
                   prlimit --nofile=40:40);
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, vhost('PORT2', 'load', "FinWait2Linger auto\n")
                              . vhost('PORT3', 'held', $FOREVER));
        my @clients = idle_clients($httpd, 'PORT3', 50);
        eventually { $httpd->vhost_json('held')->{held} == 50 } 'fifty are held';
        my $pid = $httpd->closer_pid;
        system(@lower, "--pid=$pid") == 0 or die "prlimit\n";
        my $load = load($httpd->port('PORT2'));
        push @clients, idle_clients($httpd, 'PORT3', 20);
        eventually { $httpd->closer->{evicted} >= 20 } 'the oldest make room';
        my @wrong = unload($load);
        is "@wrong", '', 'no request failed';
        cmp_ok $httpd->closer->{held}, '<', 40, 'the process holds what it can';
        is $httpd->closer_pid, $pid, 'the process is still there';
        undef @clients;
        $httpd->stop;
    };
};

# Have system calls fail by strace, which then leaves httpd's session.
sub refuse ($call, $how) {
    return [qw(strace -DDD -f -qq -o /dev/null --seccomp-bpf -e),
            "trace=$call", '-e', "inject=$call:$how"];
}

my %REFUSALS = (
    # The first fork of the parent is the process's.
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
        "$what: httpd lingers itself, for the reason $refusal";
    is_deeply $httpd->endings('none'), {}, 'no ending is counted';
    eventually { ss_count(port => $httpd->port('PORT2'), holder => 'process') == 3 }
        'httpd has the three connections';
    my @lines = $httpd->log =~ /$REFUSED/g;
    is @lines, 1, 'one line in the error log';
    if ($what eq 'fork') {
        eventually { $httpd->closer->{processes} == 1 } 'another attempt succeeds';
        push @clients, idle_clients($httpd, 'PORT2', 2);
        eventually { $httpd->closer->{held} == 2 } 'the next process lingers';
    }
    undef @clients;
    $httpd->stop;
}

subtest 'what cannot be had' => sub {
    my @try = @{ refuse('socketpair', 'error=EMFILE') };
    plan skip_all => 'no strace that may trace'
        if system("@try true 2>/dev/null") != 0;
    for_each_mpm {
        my $mpm = shift;
        without($mpm, 'fork');
        without($mpm, 'queue');
    };
};

# A system without epoll; httpd itself has it here.
subtest 'no epoll' => sub {
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
            'the process counts';
        my ($advice) = grep { $_->{rule} eq 'closer-idle' }
            @{ $httpd->json->{advice} };
        is $advice->{level}, 'ok', 'the advice on it is a note'
            or diag explain $httpd->json->{advice};
        undef @clients;
        $httpd->stop;
    };
};

#---- other ways to start -----------------------------------------------------

subtest 'httpd -X' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, vhost('PORT2', 'a', $FOREVER), flags => ['-X']);
        my @clients = idle_clients($httpd, 'PORT2', 2);
        eventually { $httpd->vhost_json('a')->{held} == 2 } 'two are held';
        kill TERM => $httpd->pid;
        eventually { $httpd->ended } 'httpd ends at once';
        eventually { !$httpd->left } 'the process ends with httpd';
        undef @clients;
    };
};

subtest 'not as root' => sub {
    plan skip_all => 'only root can become another' if $>;
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm, vhost('PORT2', 'a', $FOREVER),
                          as => 'www-data');
        my @clients = idle_clients($httpd, 'PORT2', 2);
        eventually { $httpd->vhost_json('a')->{held} == 2 } 'two are held';
        $httpd->graceful;
        push @clients, idle_clients($httpd, 'PORT2', 1);
        eventually { $httpd->closer->{held} == 3 } 'three, by two processes';
        undef @clients;
        $httpd->stop;
    };
};

done_testing;
