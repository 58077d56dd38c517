# make demo: clients that read their answer and never close, and what becomes
# of them, in the page's own figures and in those of ss. Then clients that close
# when a promised time is over, without the promise and with it.

use v5.36;
use FinWait2Test;
use IO::Socket::IP;
use IPC::Open2  qw(open2);
use Time::HiRes qw(time);

my $CLIENTS = 5;
my $ORPHANS = 6;     # seconds that the kernel shall keep them
my $LIMIT   = 90;    # seconds for each act
my $NODES   = 50;    # idle connections of Node

$| = 1;
my $mpm   = $ENV{MPM} // 'event';
# With `auto` nobody would see them held: it takes one round trip.
my $LINGER = 'always';
my $httpd = FinWait2Test->start(mpm => $mpm, conf => <<"END");
KeepAliveTimeout 2
FinWait2Linger $LINGER
FinWait2Timeout ${ORPHANS}s
END

say "A real httpd ($mpm), http://", $httpd->host, ':', $httpd->port,
    "/finwait-status\nKeepAliveTimeout 2, FinWait2Linger $LINGER, ",
    "FinWait2Timeout ${ORPHANS}s;\n$CLIENTS clients ask once and never ",
    "close.\n";

my @clients = map { connect_and_ask() } 1 .. $CLIENTS;
say '              FIN_WAIT_2, held by httpd   FIN_WAIT_2, orphans';
say ' seconds            page     ss                page     ss';

my ($seen, $last, $start) = (0, '', time);
wait_for {
    my $row   = sprintf '%20d %6d %19d %6d', figures();
    my $total = () = $row =~ /\b[1-9]\d*\b/g;
    printf "%8.1f%s\n", time - $start, $row if $row ne $last;
    $last = $row;
    $seen ||= $total;
    $seen && !$total;
} $LIMIT, 'the last of them to go';

say "\nNone is left, though no client has closed. Stopping httpd.";
end_of($httpd);

say "\n$NODES idle connections of Node's http.Agent, which closes when a ",
    "promised time is over.\nThe server keeps, when all have ended:\n",
    '                                   FIN_WAIT_2      TIME_WAIT   closed ',
    "first\n                                  page     ss             ss   ",
    'by client';
# event closes idle connections early if it runs out of workers.
my $room = $mpm eq 'prefork'
    ? "ServerLimit 128\nStartServers 60\nMaxSpareServers 128\n"
    . "MaxRequestWorkers 128\n"
    : "ServerLimit 1\nStartServers 1\nThreadsPerChild 64\n"
    . "MaxSpareThreads 64\nMaxRequestWorkers 64\n";
promise('no promise, httpd waits 2 s', "FinWait2KeepAliveTimeout 2s\n"
                                     . "FinWait2KeepAliveAdvertise off\n");
promise('3 s promised, httpd waits 5 s', "FinWait2KeepAliveTimeout 5s\n"
                                       . "FinWait2KeepAliveAdvertise 3s\n");

sub end_of ($server) {
    my @wrong = $server->end;
    die join "\n", @wrong, '' if @wrong;
}

# Print how many of Node's connections are kept once all of them have ended.
sub promise ($what, $conf) {
    $httpd = FinWait2Test->start(
        mpm => $mpm, listen => ['127.0.0.1:@PORT@', '127.0.0.1:@PORT2@'],
        conf => "FinWait2Timeout 60s\n$room" . vhost('PORT2', 'node', $conf));
    my $port = $httpd->port('PORT2');
    my $pid  = open2(my $said, my $in, 'node', 't/clients/node.js', 'agent',
                     $NODES, "http://127.0.0.1:$port/");
    <$said> // die "Node ended\n";
    wait_for { closes()->{by_peer} + closes()->{by_server} == $NODES }
        $LIMIT, 'the connections to end';
    my $page = 0;
    for my $listener (@{ $httpd->fresh_json->{listeners} }) {
        my $count = $listener->{states}{fin_wait2};
        $page += $count->{$_} for qw(process kernel timewait);
    }
    printf "%-31s %6d %6d %14d %11d\n", $what, $page,
        ss_count(port => $port), ss_count(port => $port, state => 'time-wait'),
        closes()->{by_peer};
    close $in;
    waitpid $pid, 0;
    end_of($httpd);
}

sub closes () { $httpd->vhost_json('node')->{closes} }

sub connect_and_ask () {
    my $socket = IO::Socket::IP->new(PeerHost => $httpd->host,
                                     PeerPort => $httpd->port)
        // die "connect: $@\n";
    print {$socket} "GET / HTTP/1.1\r\nHost: demo\r\n\r\n";
    $socket->flush;
    $socket->sysread(my $answer, 4096) or die "no answer\n";
    return $socket;
}

# (page held, ss held, page orphans, ss orphans), all of one moment: ss said
# the same before the page and after it.
sub figures () {
    my (@page, @before);
    my @after = ss_figures();
    do {
        @before = @after;
        @page   = page_figures();
        @after  = ss_figures();
    } until "@before" eq "@after";
    return ($page[0], $after[0], $page[1], $after[1]);
}

sub ss_figures () {
    my ($held, $full, $mini) = map {
        ss_count(port => $httpd->port, holder => $_)
    } qw(process kernel timewait);
    return ($held, $full + $mini);
}

sub page_figures () {
    my ($held, $orphans) = (0, 0);
    for my $listener (@{ $httpd->fresh_json->{listeners} }) {
        my $count = $listener->{states}{fin_wait2};
        $held    += $count->{process};
        $orphans += $count->{kernel} + $count->{timewait};
    }
    return ($held, $orphans);
}
