# The recipes of docs/quickstart.md, and the examples of the manual: httpd takes
# each, under each MPM, and each recipe has all that a reader needs to decide.

use v5.36;
use Test::More;
use FinWait2Test;

my $RECIPES = 'docs/quickstart.md';
my $MANUAL  = 'docs/mod_finwait2.md';
my @MODULES = qw(alias http2 proxy proxy_fcgi proxy_http proxy_wstunnel
                 setenvif);
my @PARTS   = ('Effect', 'Risk', 'Undo', 'It works');
my $RISK    = qr/^\*\*Risk\.\*\* (?:None|May reset late senders|Truncates)\b/m;

# Return the text between fences; configuration is `apache`.
sub fenced ($text, $language) { $text =~ /^```$language\n(.*?)^```$/msg }

# Indented by four, but in a list; without what is no configuration.
sub indented ($text) {
    return map { s/^ {4}//mgr }
        grep { /^ {4}(?:FinWait2\w+ |BrowserMatch |<[A-Z])/m }
        $text =~ /(?<=\n\n)((?:(?: {4}.*|[ ]*)\n)+)/g;
}

sub accepted ($mpm, $conf, $name) {
    # No module is loaded twice, nor from where this httpd may have none.
    my ($status, $said) = config_check($conf =~ s/^LoadModule .*\n//mgr,
                                       mpm => $mpm, modules => \@MODULES);
    is $status, 0, $name or diag $conf . $said;
}

my $recipes = slurp($RECIPES);
# [heading, text] of each.
my @recipes = map { [/^([^\n]+)(.*)/s] } grep { fenced($_, 'apache') }
    split /^## /m, $recipes;

subtest 'each recipe has all its parts' => sub {
    ok @recipes > 10, 'there are recipes';
    for (@recipes) {
        my ($name, $text) = @$_;
        is_deeply [$text =~ /^\*\*([A-Z][a-z ]+?)\b\.?\*\*/mg], \@PARTS, $name;
        like $text, $RISK, "$name: the grade of the risk";
    }
    my %listed = map { $_ => 1 } $recipes =~ /^\| .*\| \[(.*?)\]\(#/mg;
    is_deeply [sort keys %listed], [sort map { $_->[0] } @recipes],
        'the table at the top lists each';
    is_deeply [grep { !/^(?:apache|sh|)$/ } $recipes =~ /^```(.*)$/mg], [],
        'what is fenced is configuration or a command';
    is_deeply [$recipes =~ s/^```.*?^```$//msgr =~ /^( {4}.*)/mg], [],
        'no command is only indented';
};

for_each_mpm {
    my $mpm = shift;
    for (@recipes) {
        my ($name, $text) = @$_;
        accepted($mpm, $_, $name) for fenced($text, 'apache');
    }
    my @examples = indented(slurp($MANUAL));
    ok @examples > 10, 'the manual has examples';
    accepted($mpm, $_, (split /\n/)[0]) for @examples;
};

done_testing;
