# Each t/unit/*.c is a program that speaks TAP, linked with the rooms that
# know nothing of httpd; this runs them all. make has built them.

use v5.36;
use Test::More;
use FinWait2Test ();    # for a network of our own

my @sources = glob 't/unit/*.c';
die "no unit tests here: run me from the top folder\n" if !@sources;

$ENV{TSAN_OPTIONS}  = 'ignore_noninstrumented_modules=1';
$ENV{ASAN_OPTIONS}  = 'detect_leaks=1:detect_stack_use_after_return=1';
$ENV{UBSAN_OPTIONS} = 'print_stacktrace=1';

for my $source (@sources) {
    my ($name) = $source =~ m{([^/]+)\.c$};
    open my $tap, '-|', "build/unit/$name" or die "build/unit/$name: $!";
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
        ok close $tap, 'ended well' or diag "status $?";
        is $plan, $seen, 'ran all that it planned';
    };
}

done_testing;
