# The structure of the code, held by a test: the ladder of rooms, who may know
# httpd, what the shared object shows, how long a function may be. A file that
# cannot be found is a failure, never a skip.

use v5.36;
use Test::More;
use File::Temp ();

my %STEP = (
    policy  => 0, sockdiag => 0, advice   => 0, recent  => 0, clock => 0,
    sync    => 0, compat => 0, version => 0,
    config  => 1, closer   => 1, counters => 1, record  => 1,
    vhosts  => 2, keepalive => 2, board    => 2, clients  => 2, history => 2,
    handoff => 3,
    process => 4, report   => 4, conn     => 4,
    keeper  => 5, status   => 5,
);
my @PLAIN = qw(policy sockdiag history counters clients board record recent
               clock closer handoff process report sync advice version);
my $DOOR  = 'mod_finwait2.c';
my $LIMIT = 40;    # lines in a function's body

my $APXS   = $ENV{APXS} // 'apxs';
my @FILES  = glob 'src/*';
my %PLAIN  = map { $_ => 1 } @PLAIN;
my $CONFIG = one_line("$APXS -q APR_CONFIG");
my $APR    = one_line("$CONFIG --includes --cppflags");
my $HTTPD  = '-I' . one_line("$APXS -q INCLUDEDIR");
my $SCRATCH = File::Temp->newdir;

die "no sources here: run me from the top folder\n" if !@FILES || !-e $DOOR;

sub one_line ($command) {
    chomp(my $line = `$command`);
    return $line || die "$command says nothing\n";
}

sub slurp ($path) {
    open my $in, '<', $path or die "$path: $!\n";
    local $/;
    return <$in>;
}

sub room ($path) { $path =~ m{(?:^|/)fw2_([a-z0-9]+)} ? $1 : undef }

sub includes ($path) { slurp($path) =~ /^\s*#\s*include\s+["<]([^">]+)/mg }

sub succeeds ($command, $name) {
    my $said = `$command 2>&1`;
    ok $? == 0, $name or diag "$command\n$said";
}

subtest 'every file belongs to a room' => sub {
    for my $path (@FILES) {
        ok $path =~ m{^src/fw2_[a-z0-9]+(_[a-z0-9]+)?\.[ch]$}
            && exists $STEP{ room($path) }, $path;
    }
};

subtest 'a room includes only lower steps' => sub {
    for my $path (@FILES) {
        my $own   = room($path);
        my @wrong = grep {
            my $other = room($_);
            $other && $other ne $own
                && (!exists $STEP{$other} || $STEP{$other} >= $STEP{$own}
                    || /_impl\.h$/)
        } includes($path);
        is "@wrong", '', $path;
    }
};

subtest 'nothing includes the door, nor a source' => sub {
    for my $path (@FILES, $DOOR) {
        is join(' ', grep { /mod_finwait2|\.c$/ } includes($path)), '', $path;
    }
};

subtest 'the lower rooms know no httpd' => sub {
    my @sources;
    for my $path (grep { $PLAIN{ room($_) } } @FILES) {
        my @wrong = grep { m{^(?:httpd|http_.*|ap_.*|util_.*|mod_.*|mpm_common
                               |scoreboard)\.h$}x } includes($path);
        is "@wrong", '', "$path includes nothing of it";
        push @sources, $path if $path =~ /\.c$/;
    }
    succeeds "cc -shared -fPIC -Wl,--no-undefined -Isrc $APR "
           . "-o $SCRATCH/rooms.so @sources "
           . one_line("$CONFIG --link-ld --libs"),
           'they compile and link without it';
};

subtest 'each header compiles alone' => sub {
    for my $header (grep { /\.h$/ } @FILES) {
        my $also = $PLAIN{ room($header) } ? '' : $HTTPD;
        succeeds "cc -fsyntax-only -Wall -Werror -Isrc $APR $also "
               . "-x c $header", $header;
    }
};

subtest 'the shared object shows the module record alone' => sub {
    my @shown = map { (split)[2] }
        `nm -D --defined-only .libs/mod_finwait2.so`;
    is "@shown", 'finwait2_module';
};

# In this style a body is what stands between `{` and `}` in the first column.
subtest "no function is longer than $LIMIT lines" => sub {
    for my $path (grep({ /\.c$/ } @FILES), $DOOR) {
        my (@long, $name, $start);
        my $number = 0;
        for my $line (split /\n/, slurp($path)) {
            $number++;
            if ($line =~ /^\w.*?(\w+)\(/) {
                $name = $1;
            }
            elsif ($line =~ /^\{/) {
                $start = $number;
            }
            elsif ($line =~ /^\}/ && $start) {
                my $length = $number - $start - 1;
                push @long, "$name has $length" if $length > $LIMIT;
                undef $start;
            }
        }
        is "@long", '', $path;
    }
};

subtest 'log calls are a third party\'s' => sub {
    for my $path (@FILES, $DOOR) {
        my $text = slurp($path);
        unlike $text, qr/\bAPLOGNO\b/, "$path: numbers are httpd's own";
        ok !($text =~ /\bAPLOG_USE_MODULE\b/
             && $text =~ /\bAP_DECLARE_MODULE\b/),
            "$path: uses a module or declares it";
    }
};

done_testing;
