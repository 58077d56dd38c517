# The recipes of docs/quickstart.md, and the examples of the manual: httpd accepts
# each under each MPM, and each recipe has its effect, risk, undo and check.

use v5.36;
use Test::More;
use FinWait2Test;

my $RECIPES = 'docs/quickstart.md';
my $MANUAL  = 'docs/mod_finwait2.md';
my @MODULES = qw(alias http2 proxy proxy_fcgi proxy_http proxy_wstunnel
                 setenvif);
my @PARTS   = ('Effect', 'Risk', 'Undo', 'It works');
my $RISK    = qr/^\*\*Risk\.\*\* (?:None|May reset late senders|Truncates)\b/m;

# Return the fenced texts of a language; a configuration has `apache`.
sub fenced ($text, $language) { $text =~ /^```$language\n(.*?)^```$/msg }

# Return the indented texts that are configurations, without those in lists.
sub indented ($text) {
    return map { s/^ {4}//mgr }
        grep { /^ {4}(?:FinWait2\w+ |BrowserMatch |<[A-Z])/m }
        $text =~ /(?<=\n\n)((?:(?: {4}.*|[ ]*)\n)+)/g;
}

sub accepted ($mpm, $conf, $name) {
    # The harness loads the modules, from the folder of this httpd.
    my ($status, $output) = config_check($conf =~ s/^LoadModule .*\n//mgr,
                                       mpm => $mpm, modules => \@MODULES);
    is $status, 0, $name or diag $conf . $output;
}

my $recipes = slurp($RECIPES);
# [heading, text] of each.
my @recipes = map { [/^([^\n]+)(.*)/s] } grep { fenced($_, 'apache') }
    split /^## /m, $recipes;

subtest 'each recipe has all its parts' => sub {
    ok @recipes > 10, 'the file has more than ten recipes';
    for (@recipes) {
        my ($name, $text) = @$_;
        is_deeply [$text =~ /^\*\*([A-Z][a-z ]+?)\b\.?\*\*/mg], \@PARTS, $name;
        like $text, $RISK, "$name: the risk has one of the three grades";
    }
    my %listed = map { $_ => 1 } $recipes =~ /^\| .*\| \[(.*?)\]\(#/mg;
    is_deeply [sort keys %listed], [sort map { $_->[0] } @recipes],
        'the table at the top lists each recipe';
    is_deeply [grep { !/^(?:apache|sh|)$/ } $recipes =~ /^```(.*)$/mg], [],
        'each fenced text is a configuration or a command';
    is_deeply [$recipes =~ s/^```.*?^```$//msgr =~ /^( {4}.*)/mg], [],
        'no text is indented instead of fenced';
};

for_each_mpm {
    my $mpm = shift;
    for (@recipes) {
        my ($name, $text) = @$_;
        accepted($mpm, $_, $name) for fenced($text, 'apache');
    }
    my @examples = indented(slurp($MANUAL));
    ok @examples > 10, 'the manual has more than ten examples';
    accepted($mpm, $_, (split /\n/)[0]) for @examples;
};

done_testing;
