# The first use of the sources: `make run`, `make demo` and `make check`, in a fresh
# copy, in a folder with a blank and an apostrophe in its name. Each error is
# reported in one line.

use v5.36;
use Test::More;
use File::Temp ();
use FinWait2Test;
use HTTP::Tiny ();
use IO::Socket::IP ();
use POSIX qw(setsid);

my $SCRATCH = File::Temp->newdir;
my $COPY    = "$SCRATCH/it's a copy";
my $PORT    = free_port();
my @groups;    # of processes, each led by a make

sub free_port () {
    return IO::Socket::IP->new(Listen => 1, LocalHost => '127.0.0.1')->sockport;
}

# Copy the files of a release, without built files.
mkdir $COPY;
system('cp', '-R', qw(Makefile README.md LICENSE CHANGES conf debian docs
                        mod_finwait2.c src t), $COPY) == 0
    or die 'cp failed';
system("find \Q$COPY\E -name '*.[ls]*o' -delete") == 0 or die 'find failed';

# Start make in its own process group, with its output in a file; return its number.
sub begin (@arguments) { return begin_program('make', @arguments) }

sub begin_program (@command) {
    my $n   = @groups;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        setsid();
        chdir $COPY or POSIX::_exit(126);
        delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL FINWAIT2_SO CFLAGS SANITIZE)};
        open STDIN,  '<', '/dev/null';
        open STDOUT, '>', "$SCRATCH/output$n";
        open STDERR, '>&', \*STDOUT;
        { exec @command }
        POSIX::_exit(127);
    }
    push @groups, { pid => $pid };
    return $n;
}

sub ended ($n) {
    my $group = $groups[$n];
    $group->{ended} ||= waitpid($group->{pid}, POSIX::WNOHANG) > 0;
    $group->{status} //= $? if $group->{ended};
    return $group->{ended};
}

# Return its output without make's own lines about a failed recipe.
sub words ($n) {
    return grep { !/^make(?:\[\d+\])?: \*\*\* / }
        split /\n/, slurp("$SCRATCH/output$n");
}

sub ends ($n, $what) {
    wait_for { ended($n) } 400, "$what to end";
    return words($n);
}

sub answer ($path) {
    return HTTP::Tiny->new(timeout => 20)->get("http://127.0.0.1:$PORT$path");
}

for my $port ('0', '99999', 'abc', '-1', '8080x', '123456789012345678901') {
    my $n = begin('run', "PORT=$port");
    is_deeply [ends($n, 'make')],
        ["make run: PORT=$port is not a port; a number from 1 to 65535 is."],
        "PORT=$port is refused in one line";
    isnt $groups[$n]{status}, 0, "make fails with PORT=$port";
}
is_deeply [ends(begin('run', 'MPM=none'), 'make')],
    ['make run: MPM=none is not an MPM; event, worker and prefork are.'],
    'MPM=none is refused in one line';
ok !-e "$COPY/.libs", 'refused arguments build nothing';

subtest 'two parallel make run in a fresh copy do not conflict' => sub {
    my @two = map { begin('run', "PORT=$PORT") } 1, 2;
    wait_for { grep { ended($_) } @two } 400, 'one of the two to end';
    my ($loser, $winner) = sort { ended($b) <=> ended($a) } @two;
    my @output = grep { !/^apxs: / } words($loser);
    is @output, 1, 'the second make run prints one line'
        or diag join "\n", @output;
    like $output[0], qr/^make\ run:\ cannot\ listen\ on\ 127\.0\.0\.1
                      \ port\ $PORT\ \(.+\);\ try\ PORT=8081\.$/x,
        'the line names the port that is in use';
    wait_for { grep { /finwait-status/ } words($winner) } 60,
        'the first make run to serve';
    like join("\n", words($winner)),
        qr{^(?:apxs: \S+ \n)?http://127\.0\.0\.1:$PORT/finwait-status  \(event;},
        'the first make run serves, and prints only its address';

    my $home = answer('/');
    is $home->{status}, 200, 'GET / is answered';
    like $home->{content}, qr{href="/finwait-status},
        'the home page has a link to the page';
    is answer('/finwait-status')->{status}, 200, 'the page is answered';
    my ($clients) = $home->{content} =~ m{<pre>(.*?)</pre>}s;
    my $n = begin_program('sh', '-c', 'exec ' . $clients =~ s/&gt;/>/gr);
    wait_for {
        my $auto = answer('/finwait-status?auto')->{content};
        ($auto =~ /^HalfClosed: (\d+)$/m)[0] >= 10;
    } 60, 'ten half-closed connections by the command that the page shows';
    ok !ended($n), 'the command of the home page works when it is copied';
    my $none = begin('run', "PORT=$PORT");
    like +(ends($none, 'make'))[-1], qr/cannot listen .* \(Address already in use/,
        'a port in use is refused';

    kill INT => -$groups[$winner]{pid};
    wait_for { ended($winner) } 60, 'make run to end';
    is answer('/')->{status}, 599, 'Ctrl-C ends make run';
    is slurp("$SCRATCH/output$winner") =~ /libtool/, '',
        'the output has no line of libtool';
};

like join("\n", ends(begin('demo'), 'make demo')), qr/^None is left/m,
    'make demo ends without a half-closed connection';

# t/74 also compiles a test module.
my $check = begin('check', 'UNITS=', 'REPLAYS=', 'MPMS=event',
                  'TESTS=t/05-docs.t t/74-scribble.t');
like join("\n", ends($check, 'make check')), qr/^Result: PASS$/m,
    'make check passes';

END {
    my $status = $?;
    kill KILL => -$_->{pid} for grep { !$_->{ended} } @groups;
    $? = $status;
}

done_testing;
