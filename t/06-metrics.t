# The manual's table of metrics has exactly the families that a running page
# exposes: a row each, the name first, in backticks, as the text format 0.0.4
# has it, where it is the samples' name as well.

use v5.36;
use Test::More;
use FinWait2Test;

my $MANUAL = 'docs/mod_finwait2.md';

open my $in, '<', $MANUAL or die "$MANUAL: $!\n";
my $manual = do { local $/; <$in> };

my $httpd    = FinWait2Test->start;
my @families = $httpd->get('/finwait-status?prometheus')->{content}
    =~ /^# TYPE (\S+)/mg;
ok @families > 0, 'the page has families';
$httpd->stop;

my @rows = $manual =~ /^\| *`(finwait2_\w+)`/mg;
ok @rows > 0, 'the manual has a table of them';
is_deeply [sort @rows], [sort @families], 'a row for each, and no more';

my %known = map { $_ => 1 } @families, 'finwait2_module';
is_deeply [grep { !$known{$_} } $manual =~ /\b(finwait2_[a-z0-9_]+)\b/g], [],
    'the manual speaks of no other';

done_testing;
