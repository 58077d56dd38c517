# Run all C tests, which make has built: each t/unit/*.c is a program that writes TAP,
# linked with the rooms that include no header of httpd; each t/fuzz/*.c but replay.c
# is a program that replays a corpus.

use v5.36;
use Test::More;
use FinWait2Test ();    # for a network namespace of its own

my @units = map { m{([^/]+)\.c$} } glob 't/unit/*.c';
my @fuzz  = grep { $_ ne 'replay' } map { m{([^/]+)\.c$} } glob 't/fuzz/*.c';
die "no unit tests here: run me from the top folder\n" if !@units || !@fuzz;

$ENV{TSAN_OPTIONS}  = 'ignore_noninstrumented_modules=1';
$ENV{ASAN_OPTIONS}  = 'detect_leaks=1:detect_stack_use_after_return=1';
$ENV{UBSAN_OPTIONS} = 'print_stacktrace=1';

sub runs_well ($name, @command) {
    open my $tap, '-|', @command or die "@command: $!";
    subtest $name => sub {
        my ($plan, $seen) = (undef, 0);
        while (my $line = <$tap>) {
            chomp $line;
            if ($line =~ /^1\.\.(\d+)/) {
                $plan = $1;
            }
            elsif ($line =~ /^(not )?ok\b[ \d]*(?:- )?(.*?)(?:# SKIP (.*))?$/) {
                $seen++;
                if (defined $3) { SKIP: { skip "$2: $3", 1 } }
                else            { ok !$1, $2 }
            }
            elsif ($line =~ /^Bail out!/) {
                fail $line;
            }
            else {
                note $line;
            }
        }
        ok close $tap, "$name exits with status 0" or diag "status $?";
        is $plan, $seen, "$name runs every planned test";
    };
}

runs_well($_, "build/unit/$_") for @units;
runs_well("fuzz: $_", "build/fuzz/replay-$_", "t/fuzz/corpus/$_") for @fuzz;

done_testing;
