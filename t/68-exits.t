# No exit of a child truncates a response: clients with slow uploads, which get a
# 413, and slow readers that keep sending, while their child exits for any reason
# that httpd has. Every byte of every response must arrive.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use IO::Select     ();
use Time::HiRes    qw(time);

my $PATIENT = 60;
my $TRIES   = 20;
my $SIZE    = 300_000;

# Longer than 2 s, the time that an older version allowed at the exit of a child.
my $SECONDS = 4;
my $STEP    = 0.1;

#---- clients -----------------------------------------------------------------

# Send a body that httpd does not read, then read the response.
sub uploader ($port) {
    my $length = 1_000_000;
    my $client = client($port, "POST /page HTTP/1.1\r\nHost: a\r\n"
                             . "Content-Length: $length\r\n\r\n");
    $client->{piece} = 'x' x ($length * $STEP / $SECONDS);
    return $client;
}

# Read slowly, and keep sending requests that httpd does not answer.
sub reader ($port) {
    my $client = client($port, "GET /big HTTP/1.1\r\nHost: a\r\n"
                             . "Connection: close\r\n\r\n", 4096);
    $client->{piece} = "GET /page HTTP/1.1\r\nHost: a\r\n\r\n";
    $client->{bite}  = $SIZE * $STEP / $SECONDS;
    return $client;
}

sub client ($port, $request, $buffer = undef) {
    my $socket = connect_to($port, buffer => $buffer);
    $socket->syswrite($request);
    $socket->blocking(0);
    return { socket => $socket, got => '', bite => 0 };
}

# Every tenth of a second, let all clients send and read their share.
sub step (@clients) {
    state $next = 0;
    local $SIG{PIPE} = 'IGNORE';
    return if time < $next;
    $next = time + $STEP;
    for my $client (grep { !$_->{over} } @clients) {
        if (!defined $client->{socket}->syswrite($client->{piece})
            && !$!{EAGAIN}) {
            $client->{over} = "sending: $!";
        }
        read_some($client, $client->{bite}) if $client->{bite};
    }
}

# Read this many bytes, or everything up to the end.
sub read_some ($client, $bytes = undef) {
    while (!$client->{over} && (!defined $bytes || $bytes > 0)) {
        my $n = $client->{socket}->sysread($client->{got}, $bytes // 65536,
                                           length $client->{got});
        if (defined $n) {
            $client->{over} = 'the end' if !$n;
            $bytes -= $n if defined $bytes;
        }
        elsif ($!{EAGAIN}) {
            last if defined $bytes;
            IO::Select->new($client->{socket})->can_read(20)
                or $client->{over} = 'no more data arrives';
        }
        else {
            $client->{over} = "reading: $!";
        }
    }
}

# Return the fault of a client's response, or ''.
sub fault ($client) {
    my ($head, $body) = split /\r\n\r\n/, $client->{got}, 2;
    return $client->{over} if $client->{over} ne 'the end';
    return 'no response' if !defined $body;
    if ($client->{bite}) {
        return length $body == $SIZE ? '' : 'cut after ' . length $body;
    }
    return $head =~ m{^HTTP/1.1 413 } && $body =~ m{</html>\s*\z}
        ? '' : 'not all of a 413';
}

#---- reasons to exit ---------------------------------------------------------

# Workers for all clients, of which an idle httpd keeps only a few with %SPARE.
my %MANY = (
    threads => "ServerLimit 64\nStartServers 8\nThreadsPerChild 8\n"
             . "MaxRequestWorkers 64\n",
    prefork => "ServerLimit 48\nStartServers 48\nMaxRequestWorkers 48\n",
);
my %KEEP = (
    threads => "MinSpareThreads 64\nMaxSpareThreads 64\n",
    prefork => "MinSpareServers 40\nMaxSpareServers 48\n",
);
my %SPARE = (
    threads => "MinSpareThreads 1\nMaxSpareThreads 8\n",
    prefork => "MinSpareServers 1\nMaxSpareServers 2\n",
);
my @REASONS = (
    ['MaxConnectionsPerChild', \%KEEP, "MaxConnectionsPerChild 1\n"],
    ['MaxSpareServers, MaxSpareThreads', \%SPARE, ''],
    ['graceful restart', \%KEEP, '', 'USR1'],
    ['graceful stop', \%KEEP, '', 'WINCH'],
);

sub server ($mpm, $spare, $conf) {
    my $kind  = $mpm eq 'prefork' ? 'prefork' : 'threads';
    my $httpd = FinWait2Test->start(mpm => $mpm,
        conf => $MANY{$kind} . $spare->{$kind} . $conf
              . "SendBufferSize 1048576\nLimitRequestBody 1000\n");
    $httpd->document('page', 'x');
    $httpd->document('big', 'y' x $SIZE);
    return $httpd;
}

sub try_it ($mpm, $name, $spare, $conf, $signal = undef) {
    my $httpd   = server($mpm, $spare, $conf);
    my @old     = $httpd->children;
    my @clients = map { (uploader($httpd->port), reader($httpd->port)) }
        1 .. $TRIES;
    wait_for {
        step(@clients);
        ss_count(port => $httpd->port, state => 'established') == 0
    } $PATIENT, 'httpd to close all connections';
    kill $signal => $httpd->pid if $signal;
    my $until = time + $SECONDS;
    eventually {
        step(@clients);
        time > $until && grep { !-d "/proc/$_" } @old;
    } "$name: a child has exited";
    read_some($_) for @clients;
    my @faults = grep { $_ } map { fault($_) } @clients;
    is "@faults[0 .. ($#faults < 4 ? $#faults : 4)]", '',
        "$name: all " . @clients . ' responses are complete';
    undef @clients;
    # Faults of httpd itself: a threaded child that exits by count may ignore a stop
    # (event does so without the module, too), and children that exit by count are
    # replaced slowly.
    $httpd->tolerate(qr/AH0004[56]: |exit signal Killed/,
                     qr/reached MaxRequestWorkers/);
    $httpd->stop;
}

for_each_mpm {
    my $mpm = shift;
    try_it($mpm, @$_) for @REASONS;
};

done_testing;
