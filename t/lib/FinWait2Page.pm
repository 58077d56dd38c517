package FinWait2Page;

# Read the page byte for byte, and check its formats by other people's parsers.
#
#   page($httpd, '?json', @lines)  the answer to a request for the page
#   raw($httpd, $method, $target, @lines)
#                                  the answer to any request, which is sent
#                                  unencoded: {status, headers => {lower-case
#                                  name => value}, content}
#   $PAGE, %TYPE                   the path; format => media type
#   judged($text, @command)        run a command with a text as its input: (exit
#                                  status, output); dies if the command is missing
#   samples('parser', $text)       {"name{label=value,...}" => number} and
#                                  {family => type}, by the reference parser
#                                  of Prometheus; 'openmetrics.parser'

use v5.36;
use Exporter       qw(import);
use File::Temp     ();
use FinWait2Client qw(idle_client);
use FinWait2Test   qw(slurp spew);
use JSON::PP       qw(decode_json);

our @EXPORT = qw($PAGE %TYPE judged page raw samples);

our $PAGE = '/finwait-status';

our %TYPE = (
    html        => 'text/html; charset=utf-8',
    csv         => 'text/csv; charset=utf-8',
    auto        => 'text/plain; charset=utf-8',
    json        => 'application/json',
    openmetrics => 'application/openmetrics-text; version=1.0.0; charset=utf-8',
    prometheus  => 'text/plain; version=0.0.4; charset=utf-8',
);

my $SCRATCH = File::Temp->newdir;

sub raw ($httpd, $method, $target, @lines) {
    @lines = ("Host: localhost", @lines) if !grep { /^Host:/i } @lines;
    my (undef, $answer) = idle_client($httpd->host, $httpd->port,
        join "\r\n", "$method $target HTTP/1.1", @lines,
        'Connection: close', '', '');
    my ($head, $content) = split /\r\n\r\n/, $answer, 2;
    my ($status, @headers) = split /\r\n/, $head;
    my %headers = map { /^([^:]+): *(.*)/ ? (lc $1 => $2) : () } @headers;
    $content = dechunked($content)
        if ($headers{'transfer-encoding'} // '') eq 'chunked';
    return { status  => $status =~ /^HTTP\S+ (\d+)/, headers => \%headers,
             content => $content };
}

sub dechunked ($body) {
    my $whole = '';
    while ($body =~ s/^([0-9a-f]+)\r\n//i && hex $1) {
        $whole .= substr $body, 0, hex $1, '';
        $body =~ s/^\r\n//;
    }
    return $whole;
}

sub page ($httpd, $query = '', @lines) {
    return raw($httpd, GET => "$PAGE$query", @lines);
}

sub judged ($text, @command) {
    spew("$SCRATCH/text", $text);
    system('sh', '-c', 'exec "$@" <"$0/text" >"$0/output" 2>&1', $SCRATCH,
           @command);
    my $status = $? >> 8;
    die "$command[0] is not installed: run t/setup test\n" if $status == 127;
    return ($status, slurp("$SCRATCH/output"));
}

# Debian's packages are for Debian's own python3.
sub samples ($module, $text) {
    my ($status, $output) = judged($text, '/usr/bin/python3', '-c', <<"END");
import json, sys
from prometheus_client.$module import text_string_to_metric_families
samples, families = {}, {}
for f in text_string_to_metric_families(sys.stdin.read()):
    assert f.documentation, f.name + ": no HELP"
    families[f.name] = f.type
    for s in f.samples:
        labels = ",".join(k + "=" + v for k, v in sorted(s.labels.items()))
        name = s.name + ("{" + labels + "}" if labels else "")
        assert name not in samples, name + ": twice"
        samples[name] = s.value
print(json.dumps([samples, families]))
END
    die "the reference parser refuses it:\n$output\n$text" if $status;
    return @{ decode_json($output) };
}

1;
