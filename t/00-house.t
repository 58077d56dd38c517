# The structure of the code: the order of wings, the rooms that include httpd's
# headers, the symbols that the shared object exports, the length of functions. A
# missing file is a failure, never a skip.

use v5.36;
use Test::More;
use File::Temp ();

# Each wing, and the wings that it may include. No wing includes the front door.
my %MAY = (
    base    => '',
    kernel  => 'base',
    shared  => 'base kernel',
    closing => 'base kernel shared',
    page    => 'base kernel shared',
);
my %KNOWS_HTTPD = map { $_ => 1 }
    qw(compat config conn keepalive keeper vhosts status);
my $DOOR  = 'mod_finwait2.c';
my $LIMIT = 40;    # lines in a function's body

my $APXS   = $ENV{APXS} // 'apxs';
my @FILES  = glob 'src/*/*';
my @TESTS  = glob 't/*.t t/*.pl t/lib/* t/unit/* t/bin/* t/fuzz/*.[ch]
                   t/bench/*';
my $CONFIG = one_line("$APXS -q APR_CONFIG");
my $APR    = one_line("$CONFIG --includes --cppflags");
my $HTTPD  = '-I' . one_line("$APXS -q INCLUDEDIR");
my $SCRATCH = File::Temp->newdir;

die "no sources here: run me from the top folder\n" if !@FILES || !-e $DOOR;

sub one_line ($command) {
    chomp(my $line = `$command`);
    return $line || die "$command prints nothing\n";
}

sub slurp ($path) {
    open my $in, '<', $path or die "$path: $!\n";
    local $/;
    return <$in>;
}

sub wing ($path) { $path =~ m{^(?:src/)?([a-z]+)/} ? $1 : undef }
sub room ($path) { $path =~ m{^(?:src/)?[a-z]+/([a-z0-9]+)} ? $1 : undef }

sub includes ($path) { slurp($path) =~ /^\s*#\s*include\s+["<]([^">]+)/mg }

sub succeeds ($command, $name) {
    my $output = `$command 2>&1`;
    ok $? == 0, $name or diag "$command\n$output";
}

subtest 'every file belongs to a wing' => sub {
    for my $path (@FILES) {
        ok $path =~ m{^src/[a-z]+/[a-z0-9]+(_[a-z0-9]+)?\.[ch]$}
            && exists $MAY{ wing($path) }, $path;
    }
};

# Return the headers of other rooms that a file includes.
sub others ($path) {
    return grep { exists $MAY{ wing($_) // '' } && room($_) ne room($path) }
        includes($path);
}

subtest 'a wing includes only what it may' => sub {
    for my $path (@FILES) {
        my %may   = map { $_ => 1 } wing($path), split / /, $MAY{ wing($path) };
        my @wrong = grep { !$may{ wing($_) } || /_impl\.h$/ } others($path);
        is "@wrong", '', $path;
    }
};

# Remove rooms that include no remaining room, until none is left.
subtest 'no room includes itself through other rooms' => sub {
    my %below;
    for my $path (@FILES) {
        $below{ room($path) }{$_} = 1 for '', map { room($_) } others($path);
    }
    delete $_->{''} for values %below;
    while (my @lowest = grep { !%{ $below{$_} } } keys %below) {
        delete @below{@lowest};
        delete @$_{@lowest} for values %below;
    }
    is join(' ', sort keys %below), '', 'rooms in a cycle';
};

# A public function is named after its room, or after the room it is part of.
subtest 'public functions carry the name of their room' => sub {
    for my $path (grep { /\.h$/ && !/_impl\.h$/ } @FILES) {
        my $room  = room($path);
        my @names = slurp($path) =~ /^[a-z][^;{}()*]*?\*{0,2}(fw2_\w+)\(/mg;
        is join(' ', grep { !/^fw2_${room}_/ } @names), '', $path;
    }
};

subtest 'no file includes the front door or a source file' => sub {
    for my $path (@FILES, $DOOR) {
        is join(' ', grep { /mod_finwait2|\.c$/ } includes($path)), '', $path;
    }
};

subtest 'most rooms include no header of httpd' => sub {
    my @sources;
    for my $path (grep { !$KNOWS_HTTPD{ room($_) } } @FILES) {
        my @wrong = grep { m{^(?:httpd|http_.*|ap_.*|util_.*|mod_.*|mpm_common
                               |scoreboard)\.h$}x } includes($path);
        is "@wrong", '', "$path includes no header of httpd";
        push @sources, $path if $path =~ /\.c$/;
    }
    succeeds "cc -shared -fPIC -Wl,--no-undefined -Isrc $APR "
           . "-o $SCRATCH/rooms.so @sources "
           . one_line("$CONFIG --link-ld --libs"),
           'the rooms compile and link without httpd';
};

subtest 'each header compiles on its own' => sub {
    for my $header (grep { /\.h$/ } @FILES) {
        my $also = $KNOWS_HTTPD{ room($header) } ? $HTTPD : '';
        succeeds "cc -fsyntax-only -Wall -Werror -Isrc $APR $also "
               . "-x c $header", $header;
    }
};

subtest 'the shared object exports the module record only' => sub {
    my @shown = map { (split)[2] }
        `nm -D --defined-only .libs/mod_finwait2.so`;
    is "@shown", 'finwait2_module';
};

# In this style a body lies between `{` and `}` in the first column.
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

# Return the prose of a file: its comments, or the paragraphs of a document.
sub prose ($path) {
    my $text = slurp($path);
    return split /\n\s*\n|\|/, $text =~ s/^```.*?^```//gmsr
        if $path =~ /\.md$/;
    return $text =~ m{/\*(.*?)\*/}gs if $path =~ /\.[ch]$/;
    return $text =~ /((?:^[ \t]*#(?!!).*\n)+)/mg;
}

# A sentence with its subject first is read once.
subtest 'no sentence begins with Who, What, That, Of or Where' => sub {
    for my $path (@FILES, $DOOR, glob('docs/*.md'), 'README.md', 'Makefile',
                  @TESTS) {
        my @wrong = grep { /^\W*(?:Who|Whoever|What|Whatever|That|Of|Where)\b
                            (?!.*\?$)/x }
            map { split /(?<=[.;!?])\s+/ }
            map { s/^\s*[*#>]+\s?//mgr =~ s/\s+/ /gr } prose($path);
        is join("\n", @wrong), '', $path;
    }
};

# A report shows the name of a failed test without its neighbours.
subtest 'no name of a test depends on the name before it' => sub {
    for my $path (grep { /\.t$/ } @TESTS) {
        my @wrong = slurp($path) =~
            /(?<=[\s,]['"])((?:who|whom|nor|and|which|neither)\ [^'"\n]*)
             (?=['"](?:;|,?\s))/gx;
        is join("\n", @wrong), '', $path;
    }
};

subtest 'log calls follow the rules for third-party modules' => sub {
    for my $path (@FILES, $DOOR) {
        my $text = slurp($path);
        unlike $text, qr/\bAPLOGNO\b/,
            "$path: no log call has a number of httpd's";
        ok !($text =~ /\bAPLOG_USE_MODULE\b/
             && $text =~ /\bAP_DECLARE_MODULE\b/),
            "$path: the file uses a module or declares one, not both";
    }
};

done_testing;
