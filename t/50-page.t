# The page: every format by a parser that is not ours, the same numbers in
# all; which format who gets; what is refused; and nothing that a stranger
# sends comes back unescaped.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use File::Temp  ();
use JSON::PP    qw(decode_json);
use POSIX       ();
use Time::HiRes qw(time);

my $PAGE    = '/finwait-status';
my $SCRATCH = File::Temp->newdir;

#---- talking -----------------------------------------------------------------

# A request byte for byte: nothing is encoded, and nothing forgiven.
# {status, headers => {lower-case name => value}, content}
sub raw ($httpd, $method, $target, @lines) {
    @lines = ("Host: localhost", @lines) if !grep { /^Host:/i } @lines;
    my (undef, $answer) = silent_client($httpd->host, $httpd->port,
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

# Return what a command says of a text: (exit status, output). A command that is
# not found is fatal.
sub judged ($text, @command) {
    spew("$SCRATCH/text", $text);
    system('sh', '-c', 'exec "$@" <"$0/text" >"$0/said" 2>&1', $SCRATCH,
           @command);
    my $status = $? >> 8;
    die "$command[0] is not there: run t/setup test\n" if $status == 127;
    return ($status, slurp("$SCRATCH/said"));
}

# {"name{label=value,...}" => number} and {family => type}, by the reference
# parser. Debian's python3, for which its package is.
sub samples ($module, $text) {
    my ($status, $said) = judged($text, '/usr/bin/python3', '-c', <<"END");
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
    die "the reference parser refuses it:\n$said\n$text" if $status;
    return @{ decode_json($said) };
}

# Until httpd has closed all its connections at the first port. (Stopped while
# it lingers itself, event may say AH03092, with or without us.)
sub settle ($httpd) {
    wait_for {
        !ss_count(port   => $httpd->port, state => 'connected',
                  holder => 'process')
    } 60, 'all connections to be closed';
}

#---- names and numbers -------------------------------------------------------

# Sections of the JSON with the names of the design: those that are, and those
# that will be. A name that is not here is a name that clients do not know.
my %NAMES = (
    server      => [[qw(version httpd mpm start_time_seconds uptime_seconds
                        generation)]],
    snapshot    => [[qw(age_seconds cost_seconds backend complete counts
                        verdict rule)]],
    half_closed => [[qw(total held orphan expected)]],
    advice      => [[qw(rule level text directive value before
                     expected_after)]],
    remaining   => [[qw(seconds longest_seconds unknown unbounded)]],
    undelivered => [[qw(connections bytes shut_windows)]],
    elsewhere   => [[qw(half_closed outgoing top)]],
    peers       => [[]],
    clients     => [[qw(over_seconds left_open expired)]],
    agents      => [[]],
    nets        => [[]],
    idle_nets   => [[]],
    listeners   => [[qw(listener states backlog backlog_limit)]],
    vhosts      => [[qw(vhost held closes causes connections tls probes idle
                        endings linger_seconds drained_bytes expected)]],
    closer      => [[qw(processes held capacity oldest_seconds evicted fallback
                        refusals invalid lost)]],
    limits      => [[qw(tcp_fin_timeout tcp_fin_timeout_effective
                        tcp_max_orphans orphans
                        tcp_max_tw_buckets timewait timewait_overflow
                        listen_overflows listen_drops memory_aborts
                        tcp_memory_bytes tcp_memory_max_bytes descriptors
                        descriptor_limit)]],
);
my @LATER   = qw(history unknown);
my @STATES  = qw(fin_wait1 fin_wait2 closing close_wait last_ack);
my @HOLDERS = qw(process kernel timewait);
my @SIDES   = qw(by_peer by_server);
my @CAUSES  = qw(peer keepalive connection_close error request_limit timeout
                 stop other);
my @SPOKEN  = qw(http1 http2 other);
my @IDLE    = qw(client_in_time client_late server);
my @ENDINGS = qw(acked peer_closed peer_reset silence total bytes evicted
                 stopped);

# Figures that change from one answer to the next, and are only to be there. A
# reader of the page is counted at a virtual host of its own.
my $MOVES = qr/age_|cost_|counts_|remaining_|descriptors|tcp_(?!fin)
               |vhost=readers/x;

# The place of a sample without labels in the JSON; names as documented.
my %FAMILY = (
    'server.start_time_seconds' => 'start_time_seconds',
    'server.generation'         => 'generation',
    'snapshot.age_seconds'      => 'snapshot_age_seconds',
    'snapshot.cost_seconds'     => 'snapshot_cost_seconds',
    'snapshot.complete'         => 'snapshot_complete',
    'snapshot.counts'           => 'snapshot_counts_total',
    'snapshot.verdict'          => 'verdict',
    'half_closed.total'         => 'half_closed_connections',
    'half_closed.held'          => 'held_connections',
    'half_closed.orphan'        => 'orphan_connections',
    'elsewhere.half_closed'     => 'elsewhere_half_closed_connections',
    'elsewhere.outgoing'        => 'elsewhere_outgoing_connections',
    'closer.processes'          => 'closer_processes',
    'closer.invalid'            => 'closer_invalid_messages_total',
    'closer.lost'               => 'closer_lost_connections_total',
    'closer.held'               => 'closer_held_connections',
    'closer.capacity'           => 'closer_capacity_connections',
    'closer.oldest_seconds'     => 'closer_oldest_seconds',
    'limits.tcp_fin_timeout'    => 'tcp_fin_timeout_seconds',
    'limits.tcp_fin_timeout_effective' => 'tcp_fin_timeout_effective_seconds',
    'half_closed.expected'      => 'expected_orphan_connections',
    'limits.tcp_max_orphans'    => 'tcp_max_orphans',
    'limits.orphans'            => 'tcp_orphans',
    'limits.tcp_max_tw_buckets' => 'tcp_max_tw_buckets',
    'limits.timewait'           => 'tcp_timewait_sockets',
    'limits.timewait_overflow'  => 'tcp_timewait_overflows_total',
    'limits.listen_overflows'   => 'tcp_listen_overflows_total',
    'limits.listen_drops'       => 'tcp_listen_drops_total',
    'limits.memory_aborts'      => 'tcp_memory_aborts_total',
    'limits.tcp_memory_bytes'   => 'tcp_memory_bytes',
    'limits.tcp_memory_max_bytes' => 'tcp_memory_max_bytes',
    'limits.descriptors'        => 'descriptors',
    'limits.descriptor_limit'   => 'descriptor_limit',
    'remaining.longest_seconds' => 'remaining_longest_seconds',
    'remaining.unknown'         => 'remaining_unknown_connections',
    'remaining.unbounded'       => 'remaining_unbounded_connections',
);

# The words of ?auto: of totals, and of virtual hosts added up.
my %WORD = (
    'server.version'            => 'Version',
    'server.mpm'                => 'ServerMPM',
    'snapshot.backend'          => 'CountSource',
    'snapshot.complete'         => 'CountComplete',
    'snapshot.verdict'          => 'Verdict',
    'snapshot.rule'             => 'VerdictRule',
    'half_closed.total'         => 'HalfClosed',
    'half_closed.held'          => 'HalfClosedHeld',
    'half_closed.orphan'        => 'HalfClosedOrphans',
    'half_closed.expected'      => 'HalfClosedExpected',
    'closer.processes'          => 'CloserProcesses',
    'closer.held'               => 'CloserHeld',
    'closer.capacity'           => 'CloserCapacity',
    'closer.oldest_seconds'     => 'CloserOldestSeconds',
    'closer.evicted'            => 'CloserEvicted',
    'closer.fallback'           => 'CloserRefusals',
    'limits.tcp_max_tw_buckets' => 'MiniSocketsLimit',
);

# Words whose value changes from one answer to the next.
my @MOVING_WORDS = qw(ServerUptimeSeconds CountAgeSeconds Counts MiniSockets
                      MiniSocketOverflows LongestRemainingSeconds);

# {word => value} of this JSON; true and false are 1 and 0.
sub words ($json) {
    my %words = map {
        my ($section, $key) = split /\./;
        my $value = $json->{$section}{$key};
        defined $value ? ($WORD{$_} => ref $value ? $value + 0 : $value) : ();
    } keys %WORD;
    for my $of (qw(connections bytes)) {
        $words{ 'Undelivered' . ($of eq 'bytes' ? 'Bytes' : '') . ucfirst }
            = $json->{undelivered}{$of}{$_} for qw(process kernel);
    }
    for my $vhost (@{ $json->{vhosts} }) {
        $words{ 'Closed' . camel($_) } += $vhost->{closes}{$_} for @SIDES;
        $words{DrainedBytes} += $vhost->{drained_bytes};
    }
    return \%words;
}

# Return every sample that this JSON makes: [name, value]. A null makes none.
sub leaves ($json) {
    my @leaves = map {
        my ($section, $key) = split /\./;
        ["finwait2_$FAMILY{$_}", $json->{$section}{$key}]
    } sort keys %FAMILY;
    my ($server, $snapshot) = @$json{qw(server snapshot)};
    push @leaves, ['finwait2_build_info{' . join(',', map { "$_=$server->{$_}" }
                   qw(httpd mpm version)) . '}', 1],
        ["finwait2_snapshot_info{backend=$snapshot->{backend}}", 1],
        ["finwait2_verdict_reason_info{rule=$snapshot->{rule}}", 1],
        map({ of_listener($_) } @{ $json->{listeners} }),
        map({ of_vhost($_) } @{ $json->{vhosts} });
    push @leaves, map {
        ["finwait2_closer_refusals_total{reason=$_}",
         $json->{closer}{refusals}{$_}]
    } sort keys %{ $json->{closer}{refusals} };
    push @leaves, of_undelivered($json->{undelivered}),
        of_times('remaining_seconds', $json->{remaining}{seconds});
    return grep { defined $_->[1] } @leaves;
}

sub of_listener ($at) {
    my $label = "listener=$at->{listener}";
    my @leaves = (["finwait2_listener_backlog_connections{$label}",
                   $at->{backlog}],
                  ["finwait2_listener_backlog_limit{$label}",
                   $at->{backlog_limit}]);
    for my $state (@STATES) {
        push @leaves, map {
            ["finwait2_listener_connections{holder=$_,$label,state=$state}",
             $at->{states}{$state}{$_}]
        } @HOLDERS;
    }
    return @leaves;
}

# One without a linger has no histogram.
sub of_vhost ($of) {
    my $label  = "vhost=$of->{vhost}";
    my $closed = 'finwait2_connections_closed';
    my %side   = (by_peer => 'client', by_server => 'server');
    return ["finwait2_vhost_held_connections{$label}", $of->{held}],
        ["${closed}_tls_total{$label}", $of->{tls}],
        ["${closed}_without_request_total{$label}", $of->{probes}],
        ["finwait2_drained_bytes_total{$label}", $of->{drained_bytes}],
        ["finwait2_vhost_expected_orphan_connections{$label}",
         $of->{expected}],
        map({ ["${closed}_total{by=$side{$_},$label}", $of->{closes}{$_}] }
            @SIDES),
        map({ ["${closed}_by_cause_total{cause=$_,$label}",
               $of->{causes}{$_}] } @CAUSES),
        map({ ["${closed}_by_protocol_total{protocol=$_,$label}",
               $of->{connections}{$_}] } @SPOKEN),
        map({ ["${closed}_idle_total{by=$_,$label}", $of->{idle}{$_}] } @IDLE),
        map({ ["finwait2_lingers_ended_total{ending=$_,$label}",
               $of->{endings}{$_}] } @ENDINGS),
        $of->{linger_seconds}{count}
            ? of_times('linger_seconds', $of->{linger_seconds}, $label) : ();
}

sub of_undelivered ($of) {
    return map {
        my $key = $_;
        map { ["finwait2_undelivered_${key}{holder=$_}", $of->{$key}{$_}] }
            qw(process kernel);
    } qw(connections bytes shut_windows);
}

sub of_times ($family, $times, @labels) {
    my $name  = "finwait2_$family";
    my $label = @labels ? "{@labels}" : '';
    my $le    = sub ($bound) {
        return '{' . join(',', "le=$bound", @labels) . '}';
    };
    return map({ ["${name}_bucket" . $le->($_->[0]), $_->[1]] }
            map { [sprintf('%.15g', $_->[0]) =~ s/^\d+\K$/.0/r, $_->[1]] }
            @{ $times->{buckets} }),
        ["${name}_bucket" . $le->('+Inf'), $times->{count}],
        ["${name}_count$label", $times->{count}],
        ["${name}_sum$label", $times->{sum}];
}

sub camel ($name) { join '', map { ucfirst } split /_/, $name }

# A server with something to tell: six orphans, which stay for a minute. A
# reader of the page leaves no trace in the numbers.
sub with_orphans () {
    my $httpd = FinWait2Test->start(
        listen => ['127.0.0.1:@PORT@', '127.0.0.1:@PORT2@'], conf => <<'END');
FinWait2KeepAliveTimeout 100ms
FinWait2Timeout 60s
<VirtualHost *:@PORT@>
    ServerName readers.test
    FinWait2Engine Off
</VirtualHost>
<VirtualHost *:@PORT2@>
    ServerName silent.test
</VirtualHost>
END
    my $port    = $httpd->port('PORT2');
    my @clients = map {
        scalar silent_client('127.0.0.1', $port,
                             "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    } 1 .. 6;
    wait_for { ss_count(port => $port, holder => 'timewait') == 6 }
        30, 'six orphans';
    return ($httpd, @clients);
}

# A client in a process of its own, so that all ask at the same time.
sub asks ($httpd, $times) {
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    my $failed = 0;
    $failed ||= !$httpd->get('/finwait-status?json')->{success} for 1 .. $times;
    POSIX::_exit($failed);
}

for_each_mpm {
    my $httpd  = FinWait2Test->start(mpm => shift);
    my $before = $httpd->fresh_json->{snapshot}{counts};
    my $since  = time;
    my @pids   = map { asks($httpd, 125) } 1 .. 8;
    my $failed = grep { waitpid($_, 0) && $? } @pids;
    is $failed, 0, 'a thousand scrapes, eight at a time';
    # Each count serves for a second at least; json() asks for one of its own.
    my $most = time - $since + 2;
    my $counts = $httpd->fresh_json->{snapshot}{counts} - $before;
    ok $counts <= $most + 2, 'one count serves many' or diag $counts;
    $httpd->stop;
};

# Addresses are personal data: for people's eyes, and only if asked for.
subtest 'peers' => sub {
    my $conf = "FinWait2Linger always\nFinWait2LingerIdle 60s\n";
    my @listen = ('127.0.0.1:@PORT@', '[::1]:@PORT2@');
    my $httpd = FinWait2Test->start(listen => \@listen, conf => $conf);
    my $get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    my @clients = ((map { scalar silent_client('127.0.0.1', $httpd->port, $get) }
                    1 .. 3),
                   scalar silent_client('::1', $httpd->port('PORT2'), $get));
    my $all = wait_for {
        my $json = $httpd->fresh_json;
        $json->{half_closed}{held} == 4 && $json;
    } 30, 'four to be held';
    is_deeply $all->{peers}, [], 'none are listed';
    unlike page($httpd)->{content}, qr/id=clients/, 'nor shown';

    $httpd->graceful("FinWait2StatusPeers On\n$conf");
    push @clients, scalar silent_client('127.0.0.1', $httpd->port, $get);
    my $listed = wait_for {
        my $peers = $httpd->fresh_json->{peers};
        @$peers == 2 && $peers;
    } 30, 'two peers';
    is_deeply [map { $_->{peer} } @$listed], ['127.0.0.1', '::/64'],
        'On: the one with the most first, IPv6 by its net';
    cmp_ok $listed->[0]{connections}, '>', $listed->[1]{connections},
        'with the number of connections';
    like page($httpd)->{content},
        qr{id=clients.*<th scope=row>127\.0\.0\.1</th>.*?now">\d}s, 'in HTML';
    for my $format (qw(auto openmetrics prometheus)) {
        unlike page($httpd, "?$format")->{content},
            qr/^(?:Peers|finwait2_peer)|127\.0\.0\.1(?!:)/m, "never in $format";
    }
    undef @clients;
    $httpd->stop;
};

subtest 'every format parses, and all say the same' => sub {
    my ($httpd, @clients) = with_orphans();
    my $json = $httpd->fresh_json;
    is $json->{version}, 1, 'version 1';
    is_deeply [sort grep { !$NAMES{$_} && $_ ne 'version' } keys %$json],
        [sort @LATER], 'sections: no unknown name';
    for my $why (sort keys %{ $json->{unknown} }) {
        my ($section, $key) = split /\./, $why;
        is $json->{$section}{$key}, undef, "$why: null, and why";
    }
    is_deeply [grep { !defined $json->{limits}{$_}
                      && !$json->{unknown}{"limits.$_"} }
               keys %{ $json->{limits} }], [], 'no limit is null without';
    for my $section (sort keys %NAMES) {
        my ($now, $later) = @{ $NAMES{$section} };
        my ($element) = map { ref eq 'ARRAY' ? @$_ : $_ } $json->{$section};
        my %known = map { $_ => 1 } @$now, @{ $later // [] };
        is_deeply [grep { !exists $element->{$_} } @$now], [],
            "$section: all its names";
        is_deeply [grep { !$known{$_} } keys %$element], [],
            "$section: no other";
    }
    for my $at (@{ $json->{listeners} }) {
        is_deeply [sort keys %{ $at->{states} }], [sort @STATES], 'states';
        is_deeply [sort keys %$_], [sort @HOLDERS], 'holders'
            for values %{ $at->{states} };
    }
    for my $vhost (@{ $json->{vhosts} }) {
        my %groups = (closes => \@SIDES, causes => \@CAUSES,
                      connections => \@SPOKEN, endings => \@ENDINGS);
        is_deeply [sort keys %{ $vhost->{$_} }], [sort @{ $groups{$_} }], $_
            for sort keys %groups;
        is_deeply [sort keys %{ $vhost->{linger_seconds} }],
            [qw(buckets count sum)], 'a histogram';
    }
    is $json->{half_closed}{orphan}, 6, 'six orphans';

    # Each asked for when the one before has left no trace.
    my ($again, $auto, $open, $old) = map {
        settle($httpd);
        page($httpd, "?$_")->{content};
    } qw(json auto openmetrics prometheus);
    my @all    = leaves(decode_json($again));
    my @leaves = grep { $_->[0] !~ $MOVES } @all;

    my %auto;
    for (split /\n/, $auto) {
        my ($key, $value) = /^([A-Z]\w*): (\S.*)$/
            or fail("auto: $_"), next;
        ok !exists $auto{$key}, "auto: $key twice" if exists $auto{$key};
        $auto{$key} = $value;
    }
    my ($of_open, $types) = samples('openmetrics.parser', $open);
    my ($of_old)          = samples('parser', $old);
    # OpenMetrics has these suffixes for figures of now, which do not grow.
    $of_open->{ s/_g(count|sum)$/_$1/r } = delete $of_open->{$_}
        for grep { /_g(?:count|sum)$/ } keys %$of_open;
    is_deeply [sort keys %$of_open], [sort map { $_->[0] } @all],
        'OpenMetrics has a sample for each number';
    is_deeply [sort keys %$of_old], [sort map { $_->[0] } @all],
        'so has 0.0.4';
    for (@leaves) {
        my ($sample, $value) = @$_;
        my @said = ($of_open->{$sample}, $of_old->{$sample});
        ok !(grep { $_ != $value } @said), $sample or diag "$value: @said";
    }
    my $words = words(decode_json($again));
    my @moving = delete @auto{@MOVING_WORDS};
    is scalar(grep { defined } @moving), @MOVING_WORDS, 'auto: what moves';
    is_deeply [sort keys %auto], [sort keys %$words], 'auto: flat words';
    # The reader of the page is counted, too.
    delete $_->{ClosedByServer}, delete $_->{ClosedByPeer} for \%auto, $words;
    ok $auto{$_} eq $words->{$_} || $auto{$_} == $words->{$_}, "auto: $_"
        or diag "$auto{$_}: $words->{$_}" for sort keys %auto;
    cmp_ok scalar(split /\n/, $auto), '<=', 30, 'auto: 30 lines at most';
    is $types->{finwait2_tcp_timewait_overflows}, 'counter', 'a counter';

    my ($status, $said) = judged($old, qw(promtool check metrics));
    is "$status $said", '0 ', 'promtool has no complaint';
    settle($httpd);
    like page($httpd)->{content}, qr{<h1>.*6 half-closed connections cost},
        'HTML says six, too';
    undef @clients;
    settle($httpd);
    $httpd->stop;
};

#---- which format, and with which headers ------------------------------------

my %TYPE = (
    html        => 'text/html; charset=utf-8',
    csv         => 'text/csv; charset=utf-8',
    auto        => 'text/plain; charset=utf-8',
    json        => 'application/json',
    openmetrics => 'application/openmetrics-text; version=1.0.0; charset=utf-8',
    prometheus  => 'text/plain; version=0.0.4; charset=utf-8',
);
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
    # The address goes before what the client accepts.
    ['?json',        $PROMETHEUS, 'json'],
    ['?auto',        $BROWSER,    'auto'],
    ['?html',        $PROMETHEUS, 'html'],
    ['?prometheus',  $PROMETHEUS, 'prometheus'],
    ['?openmetrics', $BROWSER,    'openmetrics'],
    ['?csv',         $BROWSER,    'csv'],
    # Exact words, the first of several.
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

# Methods other than GET and HEAD; the last is nobody's.
my @REFUSED = qw(POST PUT DELETE PATCH OPTIONS PROPFIND BREW);

my $httpd = FinWait2Test->start(
    conf => <<'END');
HttpProtocolOptions Unsafe
UseCanonicalName Off
ServerSignature On
<Location "/denied">
    SetHandler finwait-status
    Require all denied
</Location>
<Location "/elsewhere">
    SetHandler finwait-status
</Location>
<VirtualHost *:*>
    ServerName first.test
</VirtualHost>
<VirtualHost *:*>
    ServerName second.test
    <Location "/of-second">
        SetHandler finwait-status
    </Location>
</VirtualHost>
END

subtest 'who gets which format' => sub {
    for (@CHOICES) {
        my ($query, $accept, $format) = @$_;
        my $name = "$PAGE$query" . (defined $accept ? ", Accept: $accept" : '');
        my $answer = page($httpd, $query,
                          defined $accept ? "Accept: $accept" : ());
        is $answer->{headers}{'content-type'}, $TYPE{$format}, $name;
        like $answer->{content}, qr/\A$BEGINS{$format}/, "$format it is";
    }
};

subtest 'headers' => sub {
    for my $format (sort keys %TYPE) {
        my $headers = page($httpd, "?$format")->{headers};
        is $headers->{'cache-control'}, 'no-store', "$format: no-store";
        is $headers->{'x-content-type-options'}, 'nosniff', "$format: nosniff";
        like $headers->{vary}, qr/\bAccept\b/, "$format: Vary";
    }
    my $policy = page($httpd)->{headers}{'content-security-policy'};
    like $policy, qr/(?:^|;)\s*default-src 'none'/, 'CSP: nothing by default';
    like $policy, qr/script-src 'sha256-[^']+';/, 'CSP: one script, by its hash';
    unlike $policy, qr/script-src[^;]*unsafe|unsafe-eval|\*/,
        'CSP: no other, no stars';
    is page($httpd, $_->[0])->{headers}{refresh}, $_->[1], "Refresh: $_->[0]"
        for @REFRESHES;
};

subtest 'GET and HEAD only' => sub {
    for my $method (@REFUSED) {
        my $answer = raw($httpd, $method, $PAGE, 'Content-Length: 0');
        is $answer->{status}, 405, $method;
        my $allow = $answer->{headers}{allow} // '';
        is join(',', grep { $_ ne 'TRACE' } sort split /\s*,\s*/, $allow),
            'GET,HEAD', "$method: Allow";    # TRACE is httpd's own
        unlike $answer->{content}, qr/half-closed/, "$method: no page";
    }
    for my $format (sort keys %TYPE) {
        my ($get, $head) = map { raw($httpd, $_, "$PAGE?$format") }
            qw(GET HEAD);
        is $head->{content}, '', "HEAD of $format: no body";
        is $head->{status}, 200, "HEAD of $format: 200";
        delete @{ $_->{headers} }{qw(date content-length transfer-encoding)}
            for $get, $head;
        is_deeply $head->{headers}, $get->{headers},
            "HEAD of $format: the headers of GET";
    }
};

#---- what strangers send -----------------------------------------------------

my $MARKUP = '<script>alert(1)</script>"\'&lt;';

subtest 'hostile queries' => sub {
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
        unlike $answer->{content}, qr/<script>alert|alert\(1\)/i, 'no echo';
        my $refresh = $answer->{headers}{refresh};
        ok !defined $refresh || $refresh =~ /^[1-9]\d*$/, 'Refresh: a number';
        ok eval { decode_json($answer->{content}) }, 'valid JSON'
            if ($answer->{headers}{'content-type'} // '') eq $TYPE{json};
    }
    for my $key (qw(vhost sort top refresh)) {
        my $page = page($httpd, "?$key=$MARKUP&$key=%3Cscript%3Ealert(1)");
        unlike $page->{content}, qr/<script>alert|"><script/i, "$key: escaped";
    }
    is page($httpd, '?' . join('&', ('x') x 3900) . '&json')
        ->{headers}{'content-type'}, $TYPE{json}, 'the last of 3,901 words';
};

# httpd's own rules for names are switched off (HttpProtocolOptions Unsafe), so
# that what is left is ours.
subtest 'hostile names of the server' => sub {
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
            "$name: no markup of theirs";
        my ($title) = $html->{content} =~ m{<title>(.*?)</title>}s;
        unlike $title, qr/[<>]|&(?![a-z]+;|#\d+;)/, "$name: escaped";
        ok eval { decode_json($json->{content}) }, "$name: valid JSON";
    }
    ok $reached > 0, 'at least one with markup came as far as the page';
};

# Latin-1, a character that is cut where names are, quotes, a million of nothing.
subtest 'hostile names of virtual hosts' => sub {
    my @names = ("caf\xe9", "sm\xc3\xb6rg\xc3\xa5s", '<script>alert(1)</script>',
                 "quo'te\\back", ('n' x 117) . "\xc3\xa4\xe2\x82\xac",
                 "\xed\xa0\x80\xf8\x88", 'x' x 7000);
    my $httpd = FinWait2Test->start(conf => join '',
        map { "<VirtualHost *:\@PORT\@>\nServerName \"$_.test\"\n"
            . "</VirtualHost>\n" } @names);
    my $json = $httpd->get('/finwait-status?json')->{content};
    my $data = eval { decode_json($json) };
    ok $data, 'valid JSON, in UTF-8' or diag $@;
    my @vhosts = map { $_->{vhost} } @{ $data->{vhosts} };
    like "@vhosts", qr/caf\x{fffd}\.test/, 'Latin-1: replaced';
    like "@vhosts", qr/sm\x{f6}rg\x{e5}s\.test/, 'UTF-8: kept';
    for (['openmetrics', 'openmetrics.parser'], ['prometheus', 'parser']) {
        my ($format, $parser) = @$_;
        my $text = $httpd->get("/finwait-status?$format")->{content};
        ok eval { samples($parser, $text) }, "$format: it parses" or diag $@;
    }
    my ($status, $said) =
        judged($httpd->get('/finwait-status?prometheus')->{content},
               qw(promtool check metrics));
    is "$status $said", '0 ', 'promtool has no complaint';
    my $html = $httpd->get('/finwait-status')->{content};
    unlike $html, qr/<script>alert/, 'escaped in HTML';
    cmp_ok length $html, '<', 100_000, 'and bounded';
    $httpd->stop;
};

#---- who gets it at all ------------------------------------------------------

subtest 'where it answers' => sub {
    my $denied = raw($httpd, GET => '/denied');
    is $denied->{status}, 403, 'Require all denied';
    unlike $denied->{content}, qr/half-closed/i, 'and no page';
    $httpd->announce(qr/AH01630: client denied/);
    is raw($httpd, GET => '/elsewhere')->{headers}{'content-type'},
        $TYPE{html}, 'at another path';
    is raw($httpd, GET => '/elsewhere/below?json')->{headers}{'content-type'},
        $TYPE{json}, 'and below it';
    is raw($httpd, GET => '/of-second', 'Host: second.test')->{status}, 200,
        'in the virtual host that has it';
    is raw($httpd, GET => '/of-second', 'Host: first.test')->{status}, 404,
        'in no other';
    my ($status, $said) = config_check(
        "<VirtualHost *:\@PORT\@>\nFinWait2Status On\n</VirtualHost>\n");
    isnt $status, 0, 'FinWait2Status in a virtual host is refused';
    like $said, qr/FinWait2Status/, 'by name';
};

subtest 'FinWait2Status Off' => sub {
    my $off = FinWait2Test->start(page => 0, conf => <<'END');
<Location "/finwait-status">
    SetHandler finwait-status
</Location>
<Directory "@ROOT@/htdocs">
    AllowOverride All
</Directory>
END
    spew($off->root . '/htdocs/.htaccess', "SetHandler finwait-status\n");
    for my $path ("$PAGE?json", '/index.html') {
        my $answer = raw($off, GET => $path);
        is $answer->{status}, 404, $path;
        unlike $answer->{content}, qr/half.closed/i, 'and no page';
    }
    $off->announce(qr/finwait-status is the handler here, but FinWait2Status/);
    $off->stop;
};

$httpd->stop;

done_testing;
