# The numbers of the page: other people's parsers read every format, all formats
# have the same numbers, and one count serves many readers.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use FinWait2Page;
use JSON::PP    qw(decode_json);
use POSIX       ();
use Time::HiRes qw(time);

#---- names and numbers -------------------------------------------------------

# The sections of the JSON and their documented names. Clients do not know other
# names.
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

# Numbers that change between answers, so only their presence is tested. Readers of
# the page are counted at a virtual host of their own.
my $MOVES = qr/age_|cost_|counts_|remaining_|descriptors|tcp_(?!fin)
               |vhost=readers/x;

# The documented name of each sample without labels, by its place in the JSON.
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

# The keys of ?auto by their places in the JSON.
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

# The keys of ?auto whose values change between answers.
my @MOVING_WORDS = qw(ServerUptimeSeconds CountAgeSeconds Counts MiniSockets
                      MiniSocketOverflows LongestRemainingSeconds);

# Return {key of ?auto => value} of this JSON; true and false are 1 and 0.
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

# Return the sample [name, value] of each number in this JSON, without nulls.
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

# A virtual host without a linger has no histogram.
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

# Start a server with six orphans, which stay for a minute. Readers of the page are
# not in the numbers.
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
        scalar idle_client('127.0.0.1', $port,
                           "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    } 1 .. 6;
    wait_for { ss_count(port => $port, holder => 'timewait') == 6 }
        30, 'six orphans';
    return ($httpd, @clients);
}

# Send requests from another process, in parallel with the others.
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
    is $failed, 0, 'a thousand scrapes succeed, eight at a time';
    # A count serves for one second at least; fresh_json() may add one.
    my $most = time - $since + 2;
    my $counts = $httpd->fresh_json->{snapshot}{counts} - $before;
    ok $counts <= $most + 2, 'one count serves many scrapes' or diag $counts;
    $httpd->stop;
};

subtest 'every format is valid and has the same numbers' => sub {
    my ($httpd, @clients) = with_orphans();
    my $json = $httpd->fresh_json;
    is $json->{version}, 1, 'the version of the JSON is 1';
    is_deeply [sort grep { !$NAMES{$_} && $_ ne 'version' } keys %$json],
        [sort @LATER], 'the JSON has no unknown section';
    for my $why (sort keys %{ $json->{unknown} }) {
        my ($section, $key) = split /\./, $why;
        is $json->{$section}{$key}, undef, "$why is null where it has a reason";
    }
    is_deeply [grep { !defined $json->{limits}{$_}
                      && !$json->{unknown}{"limits.$_"} }
               keys %{ $json->{limits} }], [],
        'no limit is null without a reason';
    for my $section (sort keys %NAMES) {
        my ($now, $later) = @{ $NAMES{$section} };
        my ($element) = map { ref eq 'ARRAY' ? @$_ : $_ } $json->{$section};
        my %known = map { $_ => 1 } @$now, @{ $later // [] };
        is_deeply [grep { !exists $element->{$_} } @$now], [],
            "$section has all its names";
        is_deeply [grep { !$known{$_} } keys %$element], [],
            "$section has no other names";
    }
    for my $at (@{ $json->{listeners} }) {
        is_deeply [sort keys %{ $at->{states} }], [sort @STATES],
            'a listener has all states';
        is_deeply [sort keys %$_], [sort @HOLDERS], 'a state has all holders'
            for values %{ $at->{states} };
    }
    for my $vhost (@{ $json->{vhosts} }) {
        my %groups = (closes => \@SIDES, causes => \@CAUSES,
                      connections => \@SPOKEN, endings => \@ENDINGS);
        is_deeply [sort keys %{ $vhost->{$_} }], [sort @{ $groups{$_} }],
            "$_ has its names"
            for sort keys %groups;
        is_deeply [sort keys %{ $vhost->{linger_seconds} }],
            [qw(buckets count sum)], 'a linger has a histogram';
    }
    is $json->{half_closed}{orphan}, 6, 'the JSON has six orphans';

    # Each request waits until the connection of the previous one is closed.
    my ($again, $auto, $open, $old) = map {
        $httpd->await_closed;
        page($httpd, "?$_")->{content};
    } qw(json auto openmetrics prometheus);
    my @all    = leaves(decode_json($again));
    my @leaves = grep { $_->[0] !~ $MOVES } @all;

    my %auto;
    for (split /\n/, $auto) {
        my ($key, $value) = /^([A-Z]\w*): (\S.*)$/
            or fail("auto has a wrong line: $_"), next;
        ok !exists $auto{$key}, "auto has $key once" if exists $auto{$key};
        $auto{$key} = $value;
    }
    my ($of_open, $types) = samples('openmetrics.parser', $open);
    my ($of_old)          = samples('parser', $old);
    # OpenMetrics has these suffixes for gauge histograms.
    $of_open->{ s/_g(count|sum)$/_$1/r } = delete $of_open->{$_}
        for grep { /_g(?:count|sum)$/ } keys %$of_open;
    is_deeply [sort keys %$of_open], [sort map { $_->[0] } @all],
        'OpenMetrics has a sample for each number';
    is_deeply [sort keys %$of_old], [sort map { $_->[0] } @all],
        '0.0.4 has a sample for each number';
    for (@leaves) {
        my ($sample, $value) = @$_;
        my @output = ($of_open->{$sample}, $of_old->{$sample});
        ok !(grep { $_ != $value } @output), $sample or diag "$value: @output";
    }
    my $words = words(decode_json($again));
    my @moving = delete @auto{@MOVING_WORDS};
    is scalar(grep { defined } @moving), @MOVING_WORDS,
        'auto has the keys of changing values';
    is_deeply [sort keys %auto], [sort keys %$words],
        'auto has all other keys';
    # The reader of the page is counted, too.
    delete $_->{ClosedByServer}, delete $_->{ClosedByPeer} for \%auto, $words;
    ok $auto{$_} eq $words->{$_} || $auto{$_} == $words->{$_}, "auto: $_"
        or diag "$auto{$_}: $words->{$_}" for sort keys %auto;
    cmp_ok scalar(split /\n/, $auto), '<=', 30, 'auto has 30 lines at most';
    is $types->{finwait2_tcp_timewait_overflows}, 'counter',
        'overflows of mini-sockets are a counter';

    my ($status, $output) = judged($old, qw(promtool check metrics));
    is "$status $output", '0 ', 'promtool has no complaint';
    $httpd->await_closed;
    like page($httpd)->{content}, qr{<h1>.*6 half-closed connections cost},
        'HTML has six orphans, too';
    undef @clients;
    $httpd->await_closed;
    $httpd->stop;
};

done_testing;
