# A child that attacks the process finwait2 through its queue: neither the parent nor
# a worker blocks, the process keeps running, and httpd answers requests.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;

my $CLOSE   = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
my $REFUSED = qr/finwait2 does not accept this connection: it does not run/;
my $CONF    = module_of('hostile') . <<'END' . vhost('PORT2', 'a', <<'END');
FinWait2Linger httpd
FinWait2Sample 1s
<Location "/hostile">
    SetHandler hostile
</Location>
END
FinWait2Linger always
FinWait2LingerIdle 1h
FinWait2LingerTotal 1h
END

sub start ($mpm) {
    return FinWait2Test->start(mpm => $mpm, conf => $CONF,
        listen => ['127.0.0.1:@PORT@', '127.0.0.1:@PORT2@']);
}

# Wait until the process of this configuration runs; return its pid.
sub running ($httpd) {
    eventually { $httpd->closer->{processes} == 1 } 'the process runs';
    return $httpd->closer_pid;
}

sub attack ($httpd, $how) { $httpd->get("/hostile?$how")->{content} }

sub lingers ($httpd, $name) {
    my $before  = $httpd->closer->{held};
    my @clients = idle_clients($httpd, 'PORT2', 3);
    eventually { $httpd->closer->{held} == $before + 3 } $name;
}

subtest 'the process refuses messages that no child of httpd sends' => sub {
    for_each_mpm {
        my $httpd = start(shift);
        my $pid   = running($httpd);
        my $sent  = attack($httpd, 'foreign');
        cmp_ok $sent, '>=', 21, 'all messages are sent';
        eventually { $httpd->closer->{invalid} == $sent }
            'each message is refused'
            or diag explain $httpd->closer;
        lingers($httpd, 'the process lingers on valid connections');
        is $httpd->closer_pid, $pid, 'the process has not been replaced';
        $httpd->stop;
    };
};

# 1 is SHUT_WR, 2 is SHUT_RDWR.
subtest 'httpd lingers itself after a child shuts the queue down' => sub {
    for_each_mpm {
        my $mpm = shift;
        for my $how (1, 2) {
            my $httpd = start($mpm);
            my $pid   = running($httpd);
            is attack($httpd, "shutdown=$how"), 1,
                "the child shuts the queue down ($how)";
            $httpd->announce($REFUSED);
            my @clients = map {
                scalar idle_client('127.0.0.1', $httpd->port('PORT2'), $CLOSE)
            } 1 .. 3;
            eventually { $httpd->closer->{refusals}{no_process} == 3 }
                'httpd lingers itself, and counts the refusals';
            my $samples = sub { scalar @{ $httpd->json->{history}{samples} } };
            my $n       = $samples->();
            eventually { $samples->() > $n + 1 }
                'the process keeps taking samples';
            is $httpd->closer_pid, $pid, 'the process has not been replaced';
            $httpd->graceful;
            eventually { $httpd->closers == 1 }
                'the process ends with its children';
            isnt $httpd->closer_pid, $pid, 'a new process replaces it';
            lingers($httpd, 'the new process lingers');
            $httpd->stop;
        }
    };
};

# The parent is stopped meanwhile, so that it restarts before it sees the death of
# the process, and before a new process has the queue.
subtest 'a kill with a blocking socket in the queue blocks no restart' => sub {
    for_each_mpm {
        my $mpm = shift;
        for my $signal (qw(USR1 HUP)) {
            my $httpd = start($mpm);
            my $pid   = running($httpd);
            kill STOP => $httpd->pid;
            my $keeper = attack($httpd, "kill=$pid");
            like $keeper, qr/^[1-9]\d*$/, 'the socket is queued' or next;
            kill $signal => $httpd->pid;
            kill CONT    => $httpd->pid;
            eventually { my @all = $httpd->closers; @all == 1 && $all[0] != $pid }
                "the parent restarts with a new process ($signal)";
            running($httpd);
            lingers($httpd, 'the next process lingers');
            kill KILL => $keeper;
            $httpd->stop;
        }
    };
};

subtest 'restarts leave no descriptor open in the parent' => sub {
    for_each_mpm {
        my $httpd = start(shift);
        running($httpd);
        my $open = $httpd->fds($httpd->pid);
        for my $signal (qw(USR1 HUP USR1 HUP)) {
            my $pid = $httpd->closer_pid;
            kill $signal => $httpd->pid;
            eventually { my @all = $httpd->closers; @all == 1 && $all[0] != $pid }
                "httpd restarts with a new process ($signal)";
            running($httpd);
        }
        is $httpd->fds($httpd->pid), $open,
            'the parent has as many descriptors as at the start';
        $httpd->stop;
    };
};

done_testing;
