package Bench;

# The common part of the benchmark: servers with and without the module, loads of a
# bounded length, processor times and medians.

use v5.36;
use Cwd            qw(abs_path);
use Exporter       qw(import);
use File::Basename qw(dirname);
use File::Temp     ();
use FinWait2Test;
use IPC::Open2     qw(open2);
use List::Util     qw(max min sum0);
use Time::HiRes    qw(sleep time);

our @EXPORT = qw(ab cpu_of flood_of longest_wait median paired pairs progress
                 quartiles quick ratio row rss_of server shared_of
                 start_idle start_life stop_idle wrk);

my $HERE  = dirname(abs_path(__FILE__));
my $BUILT = File::Temp->newdir('fw2-bench-XXXXXX', TMPDIR => 1);
my $QUICK = 0;

sub quick (@set) {
    $QUICK = $set[0] if @set;
    return $QUICK;
}

sub progress ($text) { print STDERR "  $text\n" }

#---- a server, with the module or without ------------------------------------

package Bench::Server {
    our @ISA = 'FinWait2Test';

    # Write the same configuration for both, without the module's lines for stock.
    sub write_config ($self) {
        $self->{options}{page} = 0 if $self->{options}{stock};
        $self->SUPER::write_config;
        my $file = "$self->{root}/httpd.conf";
        my $text = FinWait2Test::slurp($file);
        $text =~ s/^LogLevel info.*\n/LogLevel error\n/mg;
        $text =~ s/^\s*(?:FinWait2|LoadModule finwait2_module).*\n//mg
            if $self->{options}{stock};
        FinWait2Test::spew($file, $text);
        FinWait2Test::spew("$self->{root}/htdocs/index.html", 'x' x 1023 . "\n");
    }

    # Stop the server, and print unexpected log lines, without those about too few
    # workers.
    sub finish ($self) {
        my $kind = $self->{options}{stock} ? "stock" : "module";
        warn "  $kind $self->{options}{mpm}: $_\n"
            for grep { !/reached MaxRequestWorkers/ } $self->end;
    }
}

# The same number of workers on each MPM, all of them started at the beginning.
my %SIZE = (
    prefork => sub ($n) { <<"END" },
ServerLimit $n
StartServers $n
MinSpareServers 1
MaxSpareServers $n
MaxRequestWorkers $n
END
    threads => sub ($n, $children) {
        my $each = int($n / $children);
        <<"END" },
ServerLimit $children
StartServers $children
ThreadsPerChild $each
MinSpareThreads 1
MaxSpareThreads $n
MaxRequestWorkers $n
END
);

# server(stock => 0|1, mpm =>, workers =>, children =>, tls => 0|1, conf =>,
#        listen => [...], modules => [...])
sub server (%o) {
    my $workers = $o{workers} // 16;
    my $size = $o{mpm} eq 'prefork' ? $SIZE{prefork}->($workers)
             : $SIZE{threads}->($workers, $o{children} // 2);
    my $tls = $o{tls} ? <<'END' : '';
SSLSessionCache none
<VirtualHost *:@PORT2@>
    SSLEngine on
    SSLCertificateFile @CERT@
    SSLCertificateKeyFile @KEY@
</VirtualHost>
END
    return Bench::Server->start(
        mpm      => $o{mpm},
        stock    => $o{stock} // 0,
        listen   => $o{listen} // ['127.0.0.1:@PORT@',
                                   $o{tls} ? '127.0.0.1:@PORT2@' : ()],
        modules  => ['dir', $o{tls} ? 'ssl' : (), @{ $o{modules} // [] }],
        launcher => ['prlimit', '--nofile=20000:20000'],
        conf     => "$size$tls" . ($o{conf} // ''),
    );
}

sub session_of ($server) {
    my %all = FinWait2Test::processes();
    return grep { $all{$_}[1] == $server->pid } keys %all;
}

# Return the processor time of all threads in seconds.
sub cpu_of ($server) {
    my $ns = 0;
    for my $pid (session_of($server)) {
        for (glob "/proc/$pid/task/*/schedstat") {
            $ns += $1 if FinWait2Test::slurp($_) =~ /^(\d+)/;
        }
    }
    return $ns / 1e9;
}

# Return the resident memory of the children and the closer process in bytes.
sub rss_of ($server) {
    return 1024 * sum0 map {
        FinWait2Test::slurp("/proc/$_/smaps_rollup") =~ /^Rss:\s+(\d+)/m
    } $server->forks;
}

# Return the size of the memory that the parent shares with the children, in bytes.
sub shared_of ($server) {
    no warnings 'portable';    # addresses of 64 bits
    return sum0 map { /^([0-9a-f]+)-([0-9a-f]+) ..-s/ ? hex($2) - hex($1) : () }
        split /\n/, FinWait2Test::slurp('/proc/' . $server->pid . '/maps');
}

# Restart gracefully; return the longest wait of a client for its answer, and the
# processor time of the parent, in seconds. Requests are sent one after the other,
# each on its own connection.
sub longest_wait ($server) {
    my $stat = '/proc/' . $server->pid . '/schedstat';
    my ($cpu) = split ' ', FinWait2Test::slurp($stat);
    my ($longest, $new) = (0, 0);
    $server->{generation}++;
    $server->write_config;
    kill USR1 => $server->pid;
    my $limit = time + 120;
    while (!$new) {
        my $asked = time;
        $new     = $server->serves_generation;
        $longest = max($longest, time - $asked);
        die "no new generation in 120 s\n" if time > $limit;
        sleep 0.002;
    }
    my ($now) = split ' ', FinWait2Test::slurp($stat);
    return ($longest, ($now - $cpu) / 1e9);
}

#---- loads -------------------------------------------------------------------

# Return the path of a C program of this directory, compiled at its first use.
sub client ($name) {
    my $program = "$BUILT/$name";
    if (!-e $program) {
        my $cc = $ENV{CC} // 'cc';
        system("$cc -O2 -Wall -o $program $HERE/$name.c") == 0
            or die "$cc cannot build $name.c\n";
    }
    return $program;
}

sub run_of ($seconds, @command) {
    my $text = '';
    my $pid  = open my $out, '-|', 'sh', '-c', 'exec 2>&1; exec "$@"', 'sh',
        'timeout', '-k', 1, $seconds + 15, @command;
    die "$command[0]: $!" if !$pid;
    while (my $line = <$out>) { $text .= $line }
    close $out;
    return $text;
}

# Run ab, which closes after the server: (requests a second, requests).
sub ab ($url, $seconds, %o) {
    my $start = time;
    my $text  = run_of($seconds, 'ab', '-q', '-r', '-c', $o{c} // 8,
                       '-s', $o{patience} // 10, '-t', $seconds,
                       '-n', 10_000_000, $o{k} ? '-k' : (), $url);
    my $took = time - $start;
    my ($n) = $text =~ /^Complete requests:\s+(\d+)/m;
    ($n) = $text =~ /^Total of (\d+) requests completed/m if !defined $n;
    my ($failed) = $text =~ /^Failed requests:\s+([1-9]\d*)/m;
    warn "  ab: $failed of $n failed\n" if $failed;
    ($took) = ($1) if $text =~ /^Time taken for tests:\s+([\d.]+)/m;
    return (($n // 0) / $took, $n // 0);
}

# Run wrk, which keeps connections open: (requests a second, requests).
sub wrk ($url, $seconds, %o) {
    my $text = run_of($seconds, 'wrk', '-t1', '-c' . ($o{c} // 8),
                      "-d${seconds}s", $url);
    my ($n)    = $text =~ /^\s*(\d+) requests in/m;
    my ($rate) = $text =~ m{^Requests/sec:\s+([\d.]+)}m;
    warn "  wrk $url: $1\n" if $text =~ /(Socket errors:.*|Non-2xx.*)/;
    die "wrk has no result:\n$text" if !defined $rate;
    return ($rate, $n);
}

# Start idle clients in the background; stop_idle() closes them.
sub start_idle ($server, $rate, $count, %o) {
    my $pid = open2(my $out, my $in, client('idle'), $server->port, $rate,
                    $count, $o{vanish} ? 'vanish' : ());
    my $self = { pid => $pid, in => $in, out => $out };
    if ($o{ready}) {
        local $SIG{ALRM} = sub { die "idle clients got no answer in time\n" };
        alarm $o{ready};
        my $line = <$out>;
        alarm 0;
    }
    return $self;
}

sub stop_idle ($self) {
    close $self->{in};
    local $/;
    my $text = readline($self->{out}) // '';
    waitpid $self->{pid}, 0;
    my %output = $text =~ /(opened|answered|failed) (\d+)/g;
    return \%output;
}

# Run a flood: (bytes acknowledged, seconds, reason of its end).
sub flood_of ($server, $seconds, $megabytes) {
    return split ' ', run_of($seconds, client('flood'), $server->port,
                             $seconds, $megabytes);
}

# Return a handle with the fate of each of these idle clients, a line each.
sub start_life ($server, $count, $seconds) {
    open my $out, '-|', client('life'), $server->port, $count, $seconds
        or die "life: $!";
    return $out;
}

#---- numbers -----------------------------------------------------------------

sub quantile ($q, @values) {
    my @sorted = sort { $a <=> $b } grep { defined } @values;
    return undef if !@sorted;
    my $at = $q * $#sorted;
    my $i  = int $at;
    return $sorted[$i] if $i == $#sorted;
    return $sorted[$i] + ($at - $i) * ($sorted[$i + 1] - $sorted[$i]);
}
sub median    (@values) { quantile(0.5, @values) }
sub quartiles (@values) { map { quantile($_, @values) } 0.25, 0.75 }
sub ratio     ($a, $b)  { $b ? $a / $b : undef }
sub pairs     ($full, $short = 2) { $QUICK ? $short : $full }

# Alternate A B, B A, A B ... and return the results of each.
sub paired ($times, $stock, $module) {
    my (@stock, @module);
    for my $i (1 .. $times) {
        for my $which ($i % 2 ? (0, 1) : (1, 0)) {
            if ($which) { push @module, $module->() }
            else        { push @stock,  $stock->() }
        }
    }
    return (\@stock, \@module);
}

# Return one line of a table; `met` is undef without a goal.
sub row ($what, $stock, $module, $ratio, $goal = '', $met = undef) {
    return { what => $what, stock => $stock, module => $module,
             ratio => $ratio, goal => $goal,
             met => defined $met ? $met ? 'yes' : '**no**' : '' };
}

1;
