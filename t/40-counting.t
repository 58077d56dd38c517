# The page counts real sockets: clients that never close, zero windows, connections
# that nobody accepts. At each moment the page and ss have the same numbers for each
# listener, state and holder.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use HTTP::Tiny;
use IO::Socket::IP;
use JSON::PP qw(decode_json);
use Time::HiRes qw(time);

my $ASK   = "GET /.generation HTTP/1.1\r\nHost: a\r\n\r\n";
my $CLOSE = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
my $CANON = JSON::PP->new->canonical;

#---- the page and ss at the same moment --------------------------------------

# Return a line "local-address state holder client" for each closing socket whose
# local port is one of these, by ss.
sub sockets (@ports) {
    my $where = join ' or ', map { "sport = :$_" } @ports;
    my @lines = `ss -tanHoe state fin-wait-1 state fin-wait-2 state closing \\
        state close-wait state last-ack '( $where )'`;
    die "ss failed: $?\n" if $?;
    return sort map {
        my $line = $_;
        my ($state, undef, undef, $local, $peer) = split ' ', $line;
        (my $name = lc $state) =~ s/-(?=\d)//;
        $name =~ tr/-/_/;
        join ' ', $local, $name, ss_holder($line), $peer;
    } @lines;
}

# Return the sums of the page, without the expected number.
sub sums ($json) {
    my %sums = %{ $json->{half_closed} };
    delete $sums{expected};
    return \%sums;
}

# Return {"listener state holder" => number} without zeros, by the page and by ss,
# and the whole JSON. %at maps a local address to its listener. Both numbers are of
# one moment: the sockets and their states are the same before and after the page.
sub moment ($httpd, %at) {
    my %ports = map { /(\d+)$/ ? ($1 => 1) : () } keys %at;
    my ($json, %page, %ss);
    wait_for {
        my @before = sockets(keys %ports);
        $json = $httpd->fresh_json;
        my @after = sockets(keys %ports);
        (%page, %ss) = ();
        for (@after) {
            my ($local, $what) = /^(\S+) (\S+ \S+)/;
            $ss{"$at{$local} $what"}++ if $at{$local};
        }
        "@before" eq "@after";
    } 60, 'ss to show the same before and after the page';
    for my $at (@{ $json->{listeners} }) {
        for my $state (keys %{ $at->{states} }) {
            my $n = $at->{states}{$state};
            $page{"$at->{listener} $state $_"} = $n->{$_}
                for grep { $n->{$_} } keys %$n;
        }
    }
    return (\%page, \%ss, $json);
}

# Return the sums of half_closed, computed from the listeners.
sub summed ($json) {
    my %sum = (total => 0, held => 0, orphan => 0);
    for my $at (@{ $json->{listeners} }) {
        for my $n (@{ $at->{states} }{qw(fin_wait1 fin_wait2 closing)}) {
            $sum{held}   += $n->{process};
            $sum{orphan} += $n->{kernel} + $n->{timewait};
        }
    }
    $sum{total} = $sum{held} + $sum{orphan};
    return \%sum;
}

# Test that ss shows the expected numbers and that the page agrees.
sub counted ($httpd, $at, $expected, $name) {
    my ($page, $ss, $json);
    eval {
        wait_for {
            ($page, $ss, $json) = moment($httpd, %$at);
            $CANON->encode($ss) eq $CANON->encode($expected);
        } 30, 'ss to show the expected numbers';
    } or diag $@, explain $ss;
    is_deeply $ss,   $expected, "$name: ss shows the expected numbers";
    is_deeply $page, $ss,       "$name: the page agrees with ss";
    is_deeply sums($json), summed($json),
        "$name: the sums are those of the listeners";
    is_deeply [@{ $json->{snapshot} }{qw(backend complete)}],
        ['netlink', JSON::PP::true], "$name: all numbers are from netlink";
}

#---- clients -----------------------------------------------------------------

# Return a client that has sent a request, reads nothing and never closes. A small
# buffer has a zero window after a part of the response.
sub client ($host, $port, $request = $ASK, %options) {
    my $socket = connect_to($port, host => $host,
                            $options{small} ? (buffer => 2048) : ());
    $socket->syswrite($request) or die "write: $!\n";
    return $socket;
}

# Make another server than httpd, with one half-closed connection.
sub other_server ($host, $port) {
    my $listener = IO::Socket::IP->new(LocalHost => $host, LocalPort => $port,
                                       Listen => 5) // die "listen: $@\n";
    my $client = client($host, $listener->sockport);
    my $server = $listener->accept // die "accept: $!\n";
    $server->shutdown(1);
    return ($listener->sockport, $listener, $client, $server);
}

sub file ($httpd, $name, $size) {
    my $path = $httpd->root . "/htdocs/$name";
    open my $out, '>', $path or die "$path: $!\n";
    truncate $out, $size or die "$path: $!\n";
}

#---- from held to orphan to none ---------------------------------------------

for_each_mpm {
    my $httpd = FinWait2Test->start(
        mpm    => shift,
        listen => ['127.0.0.1:@PORT@', '[::1]:@PORT2@', '@PORT3@'],
        conf   => <<'END');
FinWait2KeepAliveTimeout 100ms
FinWait2Linger always
FinWait2LingerIdle 4s
FinWait2Timeout 5s
<IfModule mpm_prefork_module>
    StartServers 12
    MinSpareServers 8
    MaxSpareServers 16
</IfModule>
END
    my ($v4, $v6, $both) = map { $httpd->port($_) } qw(PORT PORT2 PORT3);
    my %at = ("127.0.0.1:$v4"            => "127.0.0.1:$v4",
              "[::1]:$v6"                => "[::1]:$v6",
              "[::ffff:127.0.0.1]:$both" => "[::]:$both",
              "[::1]:$both"              => "[::]:$both");
    # Event lingers for 2 s at most after a keep-alive time is over.
    my @clients = map { client(@$_, $CLOSE) }
        ['127.0.0.1', $v4], ['::1', $v6], ['127.0.0.1', $both],
        ['::1', $both];

    my (%life, @different, $moments, $seen);
    wait_for {
        my ($page, $ss, $json) = moment($httpd, %at);
        $moments++;
        push @different, $page, $ss, sums($json)
            if $CANON->encode($page) ne $CANON->encode($ss)
            || $CANON->encode(sums($json))
               ne $CANON->encode(summed($json));
        for my $listener (@{ $json->{listeners} }) {
            my $n = $listener->{states}{fin_wait2};
            $life{ $listener->{listener} } .=
                $n->{process} ? 'held ' : $n->{timewait} ? 'orphan ' : 'none ';
        }
        $seen ||= keys %$ss;
        $seen && !keys %$ss;
    } 60, 'the last connection to disappear';

    is_deeply \@different, [], "page and ss agree at all of $moments moments"
        or diag explain \@different;
    s/\b(\w+ )\1+/$1/g for values %life;
    s/^none // for values %life;
    is_deeply \%life,
        { map { $_ => 'held orphan none ' } values %at },
        'each listener has held connections, then orphans, then none';
    $httpd->stop;
};

#---- listeners----------------------------------------------------------------

subtest 'a connection counts for the most specific listener' => sub {
    my $httpd = FinWait2Test->start(
        listen => ['127.0.0.1:@PORT@', '@PORT@', '0.0.0.0:@PORT2@'],
        # Sets SO_REUSEPORT, which both listeners of one port need.
        conf   => <<'END');
ListenCoresBucketsRatio 1
FinWait2KeepAliveTimeout 100ms
FinWait2Timeout 60s
END
    my ($one, $two) = map { $httpd->port($_) } qw(PORT PORT2);
    my %at = ("127.0.0.1:$one"          => "127.0.0.1:$one",
              "127.0.0.2:$one"          => "[::]:$one",
              "[::ffff:127.0.0.2]:$one" => "[::]:$one",
              "[::1]:$one"              => "[::]:$one",
              "127.0.0.1:$two"          => "0.0.0.0:$two",
              "127.0.0.2:$two"          => "0.0.0.0:$two");
    my @clients = map { client(@$_) }
        (['127.0.0.1', $one]) x 3, (['127.0.0.2', $one]) x 2, ['::1', $one],
        ['127.0.0.1', $two], ['127.0.0.2', $two];
    counted($httpd, \%at, {
        "127.0.0.1:$one fin_wait2 timewait" => 3,
        "[::]:$one fin_wait2 timewait"      => 3,
        "0.0.0.0:$two fin_wait2 timewait"   => 2,
    }, 'eight clients');
    undef @clients;
    $httpd->stop;
};

subtest 'connections of other servers do not count for a listener' => sub {
    my $httpd = FinWait2Test->start(
        conf => "FinWait2KeepAliveTimeout 100ms\nFinWait2Timeout 60s\n");
    my $port = $httpd->port;
    my $ours = "127.0.0.1:$port";
    my ($other, @on_a_port)     = other_server('127.0.0.1', 0);
    my (undef,  @on_an_address) = other_server('127.0.0.2', $port);
    my $client = idle_client('127.0.0.1', $port, $ASK);

    counted($httpd, { $ours => $ours }, { "$ours fin_wait2 timewait" => 1 },
            'one client of httpd');
    my @theirs = grep { /fin_wait2 process/ } sockets($other, $port);
    is @theirs, 2,
        'ss shows the connections of two other servers' or diag explain \@theirs;
    undef $client;
    $httpd->stop;
};

# 600 rows do not fit into one datagram of netlink.
subtest '600 clients are counted' => sub {
    my $httpd = FinWait2Test->start(
        conf => "FinWait2KeepAliveTimeout 100ms\nFinWait2Timeout 60s\n");
    my $ours    = '127.0.0.1:' . $httpd->port;
    my @clients = map { client('127.0.0.1', $httpd->port) } 1 .. 600;
    counted($httpd, { $ours => $ours }, { "$ours fin_wait2 timewait" => 600 },
            '600 clients');
    undef @clients;
    $httpd->stop;
};

#---- states ------------------------------------------------------------------

subtest 'every state is counted' => sub {
    my $httpd = FinWait2Test->start(conf => <<'END');
EnableSendfile Off
SendBufferSize 200000
FinWait2KeepAliveTimeout 100ms
FinWait2Timeout 60s
END
    my $port = $httpd->port;
    my $here = "127.0.0.1:$port";
    my %at   = ($here => $here);
    file($httpd, fits => 100_000);
    file($httpd, huge => 500_000_000);
    my $for = sub ($name) {
        client('127.0.0.1', $port, "GET /$name HTTP/1.1\r\nHost: a\r\n\r\n",
               small => 1);
    };
    my ($unread, $both, $busy) = map { $for->($_) } qw(fits fits huge);
    counted($httpd, \%at, { "$here fin_wait1 kernel" => 2 },
            'two clients with zero windows, and one unfinished response');

    # The FIN must arrive before the server has sent everything.
    my $hurried = $for->('fits');
    $_->shutdown(1) for $both, $busy, $hurried;
    my %others = ("$here closing kernel"     => 1,
                  "$here close_wait process" => 1,
                  "$here last_ack kernel"    => 1);
    counted($httpd, \%at, { "$here fin_wait1 kernel" => 1, %others },
            'three of the clients close');

    my $got = 1;
    while ($got) {
        $got = $unread->sysread(my $part, 65536) // die "read: $!\n";
    }
    counted($httpd, \%at, { "$here fin_wait2 timewait" => 1, %others },
            'the fourth has read all');
    undef $_ for $unread, $both, $busy, $hurried;
    counted($httpd, \%at, {}, 'all gone');
    $httpd->stop;
};

# There are two processes: one serves the page, the other waits for the end of a
# request.
subtest 'connections that nobody accepts' => sub {
    my $httpd = FinWait2Test->start(mpm => 'prefork', conf => <<'END');
ServerLimit 2
MaxRequestWorkers 2
StartServers 2
MinSpareServers 1
KeepAliveTimeout 100
END
    my $port  = $httpd->port;
    my $at    = "127.0.0.1:$port";
    my $http  = HTTP::Tiny->new(timeout => 30, keep_alive => 1);
    my $page  = sub {
        my $since = time;
        return wait_for {
            my $asked  = time;
            my $answer = $http->get("http://$at/finwait-status?json");
            die $answer->{content} if !$answer->{success};
            my $json = decode_json($answer->{content});
            $json->{snapshot}{age_seconds} <= $asked - $since
                && $json->{listeners}[0];
        } 30, 'a new count';
    };
    my $empty = $page->();
    is $empty->{backlog}, 0, 'the accept queue is empty at first';

    # Half a request, because httpd accepts only after the first byte.
    my @clients = map { client('127.0.0.1', $port, 'GET /') } 1 .. 4;
    my $listener = sub {
        `ss -tlnH 'sport = :$port'` =~ /^LISTEN +(\d+) +(\d+)/ ? [$1, $2] : [];
    };
    wait_for { $listener->()[0] == 3 } 30, 'three to wait';
    $clients[-1]->close;
    my $row = wait_for {
        grep { /^\S+ close_wait kernel/ } sockets($port)
    } 30, 'a connection to close';
    is $row, 1, 'the closing connection belongs to no process';

    my $full = $page->();
    is_deeply [@$full{qw(backlog backlog_limit)}], $listener->(),
        'the queue and its limit are those of ss';
    is $full->{backlog}, 3, 'three connections wait';
    is_deeply $full->{states}{close_wait},
        { process => 0, kernel => 1, timewait => 0 },
        'one waiting connection is closed by its client';
    my $warned = qr/AH00161: server reached MaxRequestWorkers/;
    wait_for { $httpd->log =~ $warned } 30, 'httpd to notice';
    $httpd->announce($warned);
    undef @clients;
    undef $http;
    $httpd->stop;
};

done_testing;
