# The manual names exactly the directives that the module has: the running
# table, as `httpd -L` prints it, against docs/mod_finwait2.md, both ways.

use v5.36;
use Test::More;
use FinWait2Test;

my $MANUAL = 'docs/mod_finwait2.md';

open my $in, '<', $MANUAL or die "$MANUAL: $!\n";
my $manual = do { local $/; <$in> };

my ($status, $table) = config_check('', flags => '-L');
is $status, 0, 'httpd -L' or diag $table;
my @directives = sort $table =~ /^(\w+) \(mod_finwait2\.c\)/mg;
ok @directives > 0, 'the module has directives' or diag $table;

my @headings = sort $manual =~ /^#+ (FinWait2\w+) directive\s*$/mgi;
is_deeply \@headings, \@directives, 'a heading for each directive, and no more';

# The index: a list of links to those headings.
my @index = $manual =~ /^\s*[-*] \[`?(FinWait2\w+)`?\]\(#/mg;
is_deeply [sort @index], \@directives, 'the index lists each once';

done_testing;
