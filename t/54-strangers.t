# Hostile requests to the page, and odd names in the configuration: the page escapes
# all names and values, and every format stays valid.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Page;
use JSON::PP qw(decode_json);

my $MARKUP = '<script>alert(1)</script>"\'&lt;';

# httpd's own checks of names are off, so that only the page escapes them.
my $httpd = FinWait2Test->start(conf => <<'END');
HttpProtocolOptions Unsafe
UseCanonicalName Off
ServerSignature On
<VirtualHost *:*>
    ServerName first.test
</VirtualHost>
<VirtualHost *:*>
    ServerName second.test
</VirtualHost>
END

subtest 'hostile queries do no harm' => sub {
    my @queries = (
        "?json&$MARKUP", "?$MARKUP", "?refresh=5$MARKUP", "?json=$MARKUP&json",
        '?' . join('&', ('json') x 1000), '?' . 'x' x 7000,
        '?' . '&' x 7000, '?' . join('&', map { "refresh=$_" } 1 .. 600),
        '?%00&json', '?json%00', '?%', '?%zz%', '?=&=&=', "?\xff\xfe\x80",
        '?json;auto', '?json?auto', '?json#auto', "$MARKUP", '?+json+',
    );
    for my $query (@queries) {
        my $name = substr $query =~ s/[^ -~]/./gr, 0, 40;
        my $answer = page($httpd, $query);
        like $answer->{status}, qr/^(?:200|400|404)$/, $name;
        unlike $answer->{content}, qr/<script>alert|alert\(1\)/i,
            "$name: the markup does not come back";
        my $refresh = $answer->{headers}{refresh};
        ok !defined $refresh || $refresh =~ /^[1-9]\d*$/,
            "$name: Refresh is a number or absent";
        ok eval { decode_json($answer->{content}) }, "$name: the JSON is valid"
            if ($answer->{headers}{'content-type'} // '') eq $TYPE{json};
    }
    for my $key (qw(vhost sort top refresh)) {
        my $page = page($httpd, "?$key=$MARKUP&$key=%3Cscript%3Ealert(1)");
        unlike $page->{content}, qr/<script>alert|"><script/i,
            "$key: its value is escaped";
    }
    is page($httpd, '?' . join('&', ('x') x 3900) . '&json')
        ->{headers}{'content-type'}, $TYPE{json},
        'the last of 3,901 words counts';
};

subtest 'hostile names of the server do no harm' => sub {
    my @hosts = ('<b>bold</b>', '"><img src=x onerror=alert(1)>', "a'b",
                 '<svg onload=alert(1)>', 'a&b;c', "\xc3\xa9\xff", '[::1]', '',
                 '${jndi}', '%s%n%s%n', 'x' x 4000, 'a"b=c');
    my $reached = 0;
    for my $host (@hosts) {
        my $name = substr $host =~ s/[^ -~]/./gr, 0, 40;
        my $html = page($httpd, '', "Host: $host");
        my $json = page($httpd, '?json', "Host: $host");
        like $html->{status}, qr/^[24]00$/, "$name: $html->{status}";
        next if $html->{status} != 200;
        $reached++ if $html->{content} =~ m{<address>.*&[lg]t;};
        unlike $html->{content}, qr/<b>bold|<img|<svg onload|onerror=[^<]*>/i,
            "$name: the markup does not come back";
        my ($title) = $html->{content} =~ m{<title>(.*?)</title>}s;
        unlike $title, qr/[<>]|&(?![a-z]+;|#\d+;)/,
            "$name: the title is escaped";
        ok eval { decode_json($json->{content}) }, "$name: the JSON is valid";
    }
    ok $reached > 0, 'at least one name with markup reaches the page';
};

# Latin-1, a character across the length limit, quotes, a very long name.
subtest 'hostile names of virtual hosts do no harm' => sub {
    my @names = ("caf\xe9", "sm\xc3\xb6rg\xc3\xa5s",
                 '<script>alert(1)</script>',
                 "quo'te\\back", ('n' x 117) . "\xc3\xa4\xe2\x82\xac",
                 "\xed\xa0\x80\xf8\x88", 'x' x 7000);
    my $httpd = FinWait2Test->start(conf => join '',
        map { "<VirtualHost *:\@PORT\@>\nServerName \"$_.test\"\n"
            . "</VirtualHost>\n" } @names);
    my $json = $httpd->get('/finwait-status?json')->{content};
    my $data = eval { decode_json($json) };
    ok $data, 'the JSON is valid UTF-8' or diag $@;
    my @vhosts = map { $_->{vhost} } @{ $data->{vhosts} };
    like "@vhosts", qr/caf\x{fffd}\.test/, 'Latin-1 is replaced';
    like "@vhosts", qr/sm\x{f6}rg\x{e5}s\.test/, 'UTF-8 is kept';
    for (['openmetrics', 'openmetrics.parser'], ['prometheus', 'parser']) {
        my ($format, $parser) = @$_;
        my $text = $httpd->get("/finwait-status?$format")->{content};
        ok eval { samples($parser, $text) }, "$format parses" or diag $@;
    }
    my ($status, $output) =
        judged($httpd->get('/finwait-status?prometheus')->{content},
               qw(promtool check metrics));
    is "$status $output", '0 ', 'promtool has no complaint';
    my $html = $httpd->get('/finwait-status')->{content};
    unlike $html, qr/<script>alert/, 'the names are escaped in HTML';
    cmp_ok length $html, '<', 100_000, 'the HTML is bounded';
    $httpd->stop;
};

$httpd->stop;

done_testing;
