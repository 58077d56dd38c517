# The formats of the page: their choice by query and Accept, their headers and the
# allowed methods.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Page;

my %BEGINS = (html => qr/<!DOCTYPE html>/, auto => qr/Version: /,
              csv => qr/time,held,orphan,/,
              json => qr/\{/, openmetrics => qr/# TYPE .*# EOF\n\z/s,
              prometheus => qr/# TYPE /);

my $PROMETHEUS = 'application/openmetrics-text;version=1.0.0,'
    . 'application/openmetrics-text;version=0.0.1;q=0.75,'
    . 'text/plain;version=0.0.4;q=0.5,*/*;q=0.1';
my $PROMETHEUS_3 = 'application/openmetrics-text;version=1.0.0;'
    . 'escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;'
    . 'q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,'
    . 'text/plain;version=0.0.4;q=0.3,*/*;q=0.2';
my $BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,'
    . 'image/avif,image/webp,*/*;q=0.8';

# [query, Accept, format]
my @CHOICES = (
    ['', undef,   'html'],
    ['', '*/*',   'html'],    # curl
    ['', '',      'html'],
    ['', $BROWSER, 'html'],
    ['', $PROMETHEUS,   'openmetrics'],
    ['', $PROMETHEUS_3, 'openmetrics'],
    ['', 'text/plain;version=0.0.4;q=1,*/*;q=0.1',  'prometheus'],
    ['', 'text/plain; version=0.0.4',               'prometheus'],
    ['', 'TEXT/Plain ; version=0.0.4 ; q=0.001',    'prometheus'],
    ['', 'text/plain',                              'html'],
    ['', 'application/openmetrics-text;Q=0.0,text/plain;version=0.0.4',
        'prometheus'],
    ['', 'application/openmetrics-text;q=0,text/plain;version=0.0.4',
                                                    'prometheus'],
    ['', 'application/openmetrics-text;version=1.0.0;q=0.0', 'html'],
    ['', 'application/openmetrics-textual',         'html'],
    ['', 'text/html;q=0, application/openmetrics-text', 'openmetrics'],
    ['', 'application/json',                        'json'],
    ['', 'Application/JSON;q=0.5, */*',             'json'],
    ['', 'application/json;q=0',                    'html'],
    ['', 'text/html, application/json',             'html'],
    ['', 'application/json, text/plain;version=0.0.4', 'prometheus'],
    ['', ';;,,;q=,=',                               'html'],
    # The query goes before Accept.
    ['?json',        $PROMETHEUS, 'json'],
    ['?auto',        $BROWSER,    'auto'],
    ['?html',        $PROMETHEUS, 'html'],
    ['?prometheus',  $PROMETHEUS, 'prometheus'],
    ['?openmetrics', $BROWSER,    'openmetrics'],
    ['?csv',         $BROWSER,    'csv'],
    # Only exact words count, and the first of several.
    ['?auto&json',          undef, 'auto'],
    ['?x&&&json',           undef, 'json'],
    ['?jsonp&json=1&xjson', undef, 'html'],
    ['?JSON',               undef, 'html'],
    ['?jso%6e',             undef, 'html'],
    ['?refresh=5&json',     undef, 'json'],
    ['?',                   undef, 'html'],
);

# [query, Refresh]
my @REFRESHES = (
    ['',             undef], ['?refresh',    10],    ['?refresh=5',   5],
    ['?refresh=0',   1],     ['?refresh=1',  1],     ['?refresh=3600', 3600],
    ['?refresh=3601', 3600], ['?refresh=-1', 10],    ['?refresh=abc', 10],
    ['?refresh=',    10],    ['?refreshed',  undef], ['?norefresh=5', undef],
    ['?refresh=999999999999999999999', 3600],
    ['?refresh=5%0d%0aX-Evil:1',       5],
    ['?json&refresh=7',                7],
);

# Methods other than GET and HEAD; no client knows the last.
my @REFUSED = qw(POST PUT DELETE PATCH OPTIONS PROPFIND BREW);

my $httpd = FinWait2Test->start;

subtest 'the query and Accept choose the format' => sub {
    for (@CHOICES) {
        my ($query, $accept, $format) = @$_;
        my $name = "$PAGE$query" . (defined $accept ? ", Accept: $accept" : '');
        my $answer = page($httpd, $query,
                          defined $accept ? "Accept: $accept" : ());
        is $answer->{headers}{'content-type'}, $TYPE{$format}, $name;
        like $answer->{content}, qr/\A$BEGINS{$format}/,
            "$name: the content is $format";
    }
};

subtest 'the headers forbid storing, sniffing and scripts' => sub {
    for my $format (sort keys %TYPE) {
        my $headers = page($httpd, "?$format")->{headers};
        is $headers->{'cache-control'}, 'no-store', "$format is not stored";
        is $headers->{'x-content-type-options'}, 'nosniff',
            "$format is not sniffed";
        like $headers->{vary}, qr/\bAccept\b/, "$format varies with Accept";
    }
    my $policy = page($httpd)->{headers}{'content-security-policy'};
    like $policy, qr/(?:^|;)\s*default-src 'none'/,
        'the policy allows nothing by default';
    like $policy, qr/script-src 'sha256-[^']+';/,
        'the policy allows one script, by its hash';
    unlike $policy, qr/script-src[^;]*unsafe|unsafe-eval|\*/,
        'the policy allows no other script and no wildcard';
    is page($httpd, $_->[0])->{headers}{refresh}, $_->[1],
        "Refresh of '$_->[0]'" for @REFRESHES;
};

subtest 'GET and HEAD are the only methods' => sub {
    for my $method (@REFUSED) {
        my $answer = raw($httpd, $method, $PAGE, 'Content-Length: 0');
        is $answer->{status}, 405, "$method is refused";
        my $allow = $answer->{headers}{allow} // '';
        is join(',', grep { $_ ne 'TRACE' } sort split /\s*,\s*/, $allow),
            'GET,HEAD',    # TRACE is httpd's own
            "$method: Allow has GET and HEAD";
        unlike $answer->{content}, qr/half-closed/, "$method gets no page";
    }
    for my $format (sort keys %TYPE) {
        my ($get, $head) = map { raw($httpd, $_, "$PAGE?$format") }
            qw(GET HEAD);
        is $head->{content}, '', "HEAD of $format has no body";
        is $head->{status}, 200, "HEAD of $format is answered by 200";
        delete @{ $_->{headers} }{qw(date content-length transfer-encoding)}
            for $get, $head;
        is_deeply $head->{headers}, $get->{headers},
            "HEAD of $format has the headers of GET";
    }
};

$httpd->stop;

done_testing;
