# The manual against the module: its directives (as `httpd -L` prints them), rules,
# causes and endings, both ways; and the links of all documents.

use v5.36;
use Test::More;
use FinWait2Test;

my $MANUAL = 'docs/mod_finwait2.md';

my $manual = slurp($MANUAL);

my ($version) = slurp('src/base/version.h') =~ /^#define FW2_VERSION "(.+)"/m;
my ($newest) = slurp('CHANGES') =~ /^Changes with mod_finwait2 (\S+)/m;
is $newest, $version, 'CHANGES begins with the version of the module';

my ($status, $table) = config_check('', check => '-L');
is $status, 0, 'httpd -L succeeds' or diag $table;
my @directives = sort $table =~ /^(\w+) \(mod_finwait2\.c\)/mg;
ok @directives > 0, 'the module has directives' or diag $table;

my @headings = sort $manual =~ /^#+ (FinWait2\w+) directive\s*$/mgi;
is_deeply \@headings, \@directives,
    'the manual has a heading for each directive, and no other';

# The index is a list of links to those headings.
my @index = $manual =~ /^\s*[-*] \[`?(FinWait2\w+)`?\]\(#/mg;
is_deeply [sort @index], \@directives, 'the index lists each directive once';

subtest 'each directive has its version and its risk' => sub {
    my %risk = map { $_ => 1 } ('none', 'may reset late senders', 'truncates');
    for (@directives) {
        my ($rows) = $manual =~ /^## $_ directive\n(.*?)^## /ms;
        my ($since) = $rows =~ /^\| \*\*Since:\*\* \| (.+) \|$/m;
        like slurp('CHANGES'), qr/^Changes with mod_finwait2 \Q$since\E$/m,
            "$_: CHANGES has its first version";
        my ($risk) = $rows =~ /^\| \*\*Risk:\*\* \| ([a-z ]+?) ?[(;|]/m;
        ok $risk{ $risk // '' },
            "$_: the risk is one of the three grades" or diag $risk;
    }
};

# A rule's worst level is its last limit that is not 0.
subtest 'the manual has the rules of the advice' => sub {
    my %level;
    for (map { slurp($_) } glob 'src/page/advice_*.c') {
        while (/\bFW2_RULE\("([a-z-]+)", (\w+), (\w+), (\w+),/g) {
            $level{$1} = $4 ? 'danger' : $3 ? 'watch' : 'ok';
        }
    }
    ok keys %level > 20, 'the sources have more than 20 rules';
    is_deeply { $manual =~ /^\| `([a-z-]+)` \| (ok|watch|danger) \|/mg }, \%level,
        'the manual has each rule with its worst level';
};

# The rows of the room outcome, against the manual's two tables.
subtest 'the manual has the causes and endings' => sub {
    my $rows = slurp('src/base/outcome.c');
    my ($causes, $endings) = map { [$manual =~ /^# $_\n(.*?)^# /ms] }
        'Closing first: causes', 'How lingers end';
    my %words = $rows =~ /^ +\[FW2_CAUSE_\w+\] = \{\s+"(\w+)",\s+"([^"]+)"/mg;
    is keys %words, 8, 'the module has eight causes';
    my %of = "@$causes" =~ /^\| `(\w+)` \| ([^|]+?) \|/mg;
    is_deeply { map { $_ => $of{$_} } keys %words }, \%words,
        'the manual has each cause with the words of the page';
    my %open = $rows =~ /^ +\[FW2_\w+\] = \{ "(\w+)"(, \.open = 1)?/mg;
    delete @open{ keys %words };
    is keys %open, 8, 'the module has eight endings';
    my %ending = map { $_ => 1 } "@$endings" =~ /^\| `(\w+)` \|/mg;
    is_deeply [grep { !$ending{$_} } sort keys %open], [],
        'the manual has each ending';
};

subtest 'internals.md names existing files and functions' => sub {
    my ($table) = slurp('docs/internals.md') =~ /^## Places in the code\n(.*?)^## /ms;
    my @places = $table =~ /\| `(src\S+)`(?:: `(\w+)`)? \|$/mg;
    ok @places > 30, 'internals.md names more than 30 places';
    while (my ($path, $name) = splice @places, 0, 2) {
        my $text = -e $path ? slurp($path) : '';
        ok $text =~ /\b@{[ $name \/\/ '' ]}\b/, $path . ($name ? ": $name" : '');
    }
};

# Return the anchors that GitHub makes of headings.
sub anchors ($text) {
    my (%seen, %anchors);
    for (map { lc } $text =~ /^#+ (.+?)\s*$/mg) {
        my $anchor = s/[^\w\s-]//gr =~ s/\s/-/gr;
        $anchors{ $anchor . ($seen{$anchor}++ ? '-' . ($seen{$anchor} - 1) : '') }++;
    }
    return \%anchors;
}

sub prose ($path) { slurp($path) =~ s/^```.*?^```$//msgr =~ s/^ {4}.*$//mgr }

subtest 'each link has an existing target' => sub {
    for my $path ('README.md', glob 'docs/*.md') {
        my ($folder) = $path =~ m{^(.*/)?};
        my @links = prose($path) =~ /\]\(([^()\s]+)\)/g;
        my @broken = grep {
            my ($file, $anchor) = /^([^#]*)#?(.*)/;
            my $to = $file eq '' ? $path : ($folder // '') . $file;
            !/^https?:/
                && (!-e $to || $anchor ne '' && !anchors(prose($to))->{$anchor});
        } @links;
        is_deeply \@broken, [], $path;
    }
};

done_testing;
