# conf/prometheus-rules.yml and conf/grafana-dashboard.json: each named metric exists,
# each rule fires on one side of its condition and not on the other, and a real
# Prometheus that scrapes a real httpd has the numbers of the page, fires the alerts,
# and answers each query of the dashboard.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use File::Temp ();
use HTTP::Tiny ();
use JSON::PP   qw(decode_json encode_json);

my $RULES     = 'conf/prometheus-rules.yml';
my $DASHBOARD = 'conf/grafana-dashboard.json';
my $SCRATCH   = File::Temp->newdir;
my $LIMIT     = 60;    # seconds for each wait

my $rules  = slurp($RULES);
my @alerts = $rules =~ /^ +- alert: (\w+)/mg;

# Other programs also use the kernel's limits and counters, so these must not cause a
# critical alert about httpd.
subtest 'critical alerts use metrics of httpd only' => sub {
    my @critical = grep { /severity: critical/ } split /^ +- (?=alert:)/m, $rules;
    ok @critical > 1, 'the rules have critical alerts';
    for (@critical) {
        my ($name, $expr) = /^alert: (\w+)\s+expr: (.*?)^ +(?:for|labels):/ms;
        unlike $expr, qr/finwait2_(?:tcp|elsewhere)_/,
            "$name uses no metric of the kernel";
    }
};

#---- metrics ------------------------------------------------------------------

# Return the dashboard's queries, for any server.
sub expressions () {
    return map { $_->{expr} =~ s/\$instance/.*/gr }
        map { @{ $_->{targets} } } @{ decode_json(slurp($DASHBOARD))->{panels} };
}

subtest 'rules and dashboard use existing metrics' => sub {
    my %known = map { $_ => 1 }
        slurp('docs/mod_finwait2.md') =~ /^\| `(finwait2_\w+)` \|/mg;
    for my $path ($RULES, $DASHBOARD) {
        my @named = slurp($path) =~ /\b(finwait2_\w+)/g;
        ok @named > 5, "$path names metrics";
        is_deeply [grep { !$known{ s/_(?:bucket|count|sum)$//r } } @named], [],
            "$path: the manual has each metric";
    }
    my %used = map { s/_(?:bucket|count|sum)$//r => 1 }
        map { slurp($_) =~ /\b(finwait2_\w+)/g } $RULES, $DASHBOARD;
    is_deeply [grep { !$used{$_} } sort keys %known], [],
        'each metric is in a rule or on the dashboard';
    my $board = decode_json(slurp($DASHBOARD));
    is_deeply [map { $_->{title} } grep { !$_->{description} }
               @{ $board->{panels} }], [], 'each panel has a description';
    my @rows = grep { $_->{type} eq 'row' } @{ $board->{panels} };
    is_deeply [map { $_->{title} } @rows[0, 1]], [qw(Verdict Why)],
        'the first rows are the verdict and the causes';
    is_deeply [map { $_->{title} } grep { !@{ $_->{targets} } }
               grep { $_->{type} ne 'row' } @{ $board->{panels} }], [],
        'each panel has a query';
    is_deeply [grep { /sum.*(?:limit|max|capacity)/ } expressions()], [],
        'no query adds limits up';
    # Debian has no Grafana; Prometheus checks the queries as rules.
    my $groups = "groups: [{ name: panels, rules: [\n";
    $groups .= '{ record: a, expr: ' . encode_json([$_->{expr}]) =~ s/^\[|\]$//gr
        . " },\n" for map { @{ $_->{targets} } } @{ $board->{panels} };
    spew("$SCRATCH/panels.yml", "$groups] }]\n");
    my $output = `promtool check rules --lint=none $SCRATCH/panels.yml 2>&1`;
    is $?, 0, 'Prometheus accepts the queries of the panels' or diag $output;
};

#---- the conditions -----------------------------------------------------------

# [alert, series for promtool, 1 if the alert fires at the end]. Samples are a minute
# apart, for an hour or a day and a half.
my $HOUR  = 60;
my $DAY   = 2160;
my @SIDES = (
    FinWait2MiniSocketsNearLimit => { tcp_timewait_sockets => "81x$HOUR",
                                      tcp_max_tw_buckets   => "100x$HOUR" }, 1,
    FinWait2MiniSocketsNearLimit => { tcp_timewait_sockets => "80x$HOUR",
                                      tcp_max_tw_buckets   => "100x$HOUR" }, 0,
    FinWait2MiniSocketsNearLimit => { tcp_timewait_sockets => "81x$HOUR" }, 0,
    FinWait2MiniSocketsOverflow  => { tcp_timewait_overflows_total =>
                                      "7x@{[$HOUR - 5]} 8x4" }, 1,
    FinWait2MiniSocketsOverflow  => { tcp_timewait_overflows_total =>
                                      "7x$HOUR" }, 0,
    FinWait2Danger               => { verdict => "2x$HOUR" }, 1,
    FinWait2Danger               => { verdict => "1x$HOUR" }, 0,
    FinWait2Losing               => { verdict             => "2x$HOUR",
                                      verdict_reason_info => "1x$HOUR" }, 1,
    FinWait2Losing               => { verdict             => "1x$HOUR",
                                      verdict_reason_info => "1x$HOUR" }, 0,
    FinWait2Losing               => { verdict             => "2x$HOUR" }, 0,
    FinWait2Undelivered          => { undelivered_connections =>
                                      "101x$HOUR" }, 1,
    FinWait2Undelivered          => { undelivered_connections =>
                                      "100x$HOUR" }, 0,
    FinWait2MemoryAborts         => { tcp_memory_aborts_total =>
                                      "0x@{[$HOUR - 5]} 3x4" }, 1,
    FinWait2MemoryAborts         => { tcp_memory_aborts_total => "3x$HOUR" }, 0,
    FinWait2DescriptorsNearLimit => { descriptors      => "91x$HOUR",
                                      descriptor_limit => "100x$HOUR" }, 1,
    FinWait2DescriptorsNearLimit => { descriptors      => "90x$HOUR",
                                      descriptor_limit => "100x$HOUR" }, 0,
    FinWait2OrphansNearLimit     => { tcp_orphans     => "26x$HOUR",
                                      tcp_max_orphans => "100x$HOUR" }, 1,
    FinWait2OrphansNearLimit     => { tcp_orphans     => "25x$HOUR",
                                      tcp_max_orphans => "100x$HOUR" }, 0,
    FinWait2HeldNearCapacity     => { closer_held_connections     => "51x$HOUR",
                                      closer_capacity_connections =>
                                      "100x$HOUR" }, 1,
    FinWait2HeldNearCapacity     => { closer_held_connections     => "50x$HOUR",
                                      closer_capacity_connections =>
                                      "100x$HOUR" }, 0,
    FinWait2CloserAway           => { closer_processes => "0x$HOUR" }, 1,
    FinWait2CloserAway           => { closer_processes => "1x$HOUR" }, 0,
    FinWait2Evictions            => { lingers_ended_total =>
                                      "0x@{[$HOUR - 5]} 3x4" }, 1,
    FinWait2Evictions            => { lingers_ended_total => "3x$HOUR" }, 0,
    FinWait2WorkersLinger        => { closer_refusals_total =>
                                      "0x@{[$HOUR - 5]} 3x4" }, 1,
    FinWait2WorkersLinger        => { closer_refusals_total => "3x$HOUR" }, 0,
    FinWait2CloserKilled         => { closer_lost_connections_total =>
                                      "0x@{[$HOUR - 5]} 3x4" }, 1,
    FinWait2CloserKilled         => { closer_lost_connections_total =>
                                      "3x$HOUR" }, 0,
    FinWait2InvalidMessages      => { closer_invalid_messages_total =>
                                      "0x@{[$HOUR - 5]} 3x4" }, 1,
    FinWait2InvalidMessages      => { closer_invalid_messages_total =>
                                      "3x$HOUR" }, 0,
    FinWait2MemoryNearLimit      => { tcp_memory_bytes     => "81x$HOUR",
                                      tcp_memory_max_bytes => "100x$HOUR" }, 1,
    FinWait2MemoryNearLimit      => { tcp_memory_bytes     => "80x$HOUR",
                                      tcp_memory_max_bytes => "100x$HOUR" }, 0,
    FinWait2AboveExpected        => { orphan_connections => "1001x$HOUR",
                                      expected_orphan_connections =>
                                      "500x$HOUR" }, 1,
    FinWait2AboveExpected        => { orphan_connections => "1001x$HOUR",
                                      expected_orphan_connections =>
                                      "501x$HOUR" }, 0,
    FinWait2AboveExpected        => { orphan_connections => "1000x$HOUR",
                                      expected_orphan_connections =>
                                      "5x$HOUR" }, 0,
    FinWait2BacklogFull          => { listener_backlog_connections => "9x$HOUR",
                                      listener_backlog_limit => "9x$HOUR" }, 1,
    FinWait2BacklogFull          => { listener_backlog_connections => "8x$HOUR",
                                      listener_backlog_limit => "9x$HOUR" }, 0,
    FinWait2Growing              => { orphan_connections =>
                                      "500x@{[$DAY - 30]} 2000x29" }, 1,
    FinWait2Growing              => { orphan_connections => "2000x$DAY" }, 0,
    FinWait2Growing              => { orphan_connections =>
                                      "5x@{[$DAY - 30]} 900x29" }, 0,
    FinWait2NotCounted           => { snapshot_complete => "0x$HOUR" }, 1,
    FinWait2NotCounted           => { snapshot_complete => "1x$HOUR" }, 0,
);

# `5x3` becomes promtool's `5+0x3`: 5, and then 5 three more times.
sub rule_test ($alert, $series) {
    my $minutes = $alert eq 'FinWait2Growing' ? $DAY : $HOUR;
    my $text = "  - interval: 1m\n    input_series:\n";
    for my $name (sort keys %$series) {
        my $values = join ' ', map { s/x/+0x/r } split ' ', $series->{$name};
        my $label = $name =~ /^listener/    ? '{listener="a"}'
                  : $name =~ /^undelivered/ ? '{holder="kernel"}'
                  : $name =~ /^lingers/     ? '{ending="evicted",vhost="a"}'
                  : $name =~ /_reason/      ? '{rule="timewait-overflow"}'
                  : $name =~ /refusals/     ? '{reason="queue_full"}' : '';
        $text .= "      - series: 'finwait2_$name$label'\n"
               . "        values: '$values'\n";
    }
    return "$text    promql_expr_test: []\n    alert_rule_test:\n"
         . "      - eval_time: ${minutes}m\n        alertname: $alert\n"
         . "        exp_alerts: []\n";
}

# promtool also compares annotations, so the test expects no alert, and looks for
# promtool's error about an alert that fires.
subtest 'each rule fires on one side of its condition only' => sub {
    my (%fired, %silent);
    my $n = 0;
    my @sides = @SIDES;
    while (my ($alert, $series, $fires) = splice @sides, 0, 3) {
        $n++;
        my $file = "$SCRATCH/side-$n.yml";
        spew("$SCRATCH/rules.yml", $rules);
        spew($file, "rule_files: [rules.yml]\nevaluation_interval: 1m\n"
                  . "tests:\n" . rule_test($alert, $series));
        my $output = `promtool test rules $file 2>&1`;
        my $did = $output =~ /alertname="$alert"/ || 0;
        like $output, $fires ? qr/FAILED/ : qr/SUCCESS/,
            "$alert $n: promtool has a result";
        is $did, $fires, "$alert $n: "
            . ($fires ? 'the alert fires' : 'the alert does not fire')
            or diag $output;
        ($fires ? $fired{$alert} : $silent{$alert})++;
    }
    is_deeply [grep { !$fired{$_} || !$silent{$_} } @alerts], [],
        'each rule is tested on both sides';
};

#---- a real Prometheus --------------------------------------------------------

my $prometheus;    # its process

sub prometheus ($target, $port) {
    # Without `for`, which would delay the alerts by minutes.
    spew("$SCRATCH/now.yml", $rules =~ s/^( +for:) \w+/$1 0s/mgr);
    spew("$SCRATCH/prometheus.yml", <<"END");
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [now.yml]
scrape_configs:
  - job_name: httpd
    metrics_path: /finwait-status
    static_configs: [{ targets: ["$target"] }]
END
    $prometheus = fork // die "fork: $!\n";
    if (!$prometheus) {
        open STDOUT, '>', "$SCRATCH/log";
        open STDERR, '>&', \*STDOUT;
        exec 'prometheus', "--config.file=$SCRATCH/prometheus.yml",
            "--storage.tsdb.path=$SCRATCH/data",
            "--web.listen-address=127.0.0.1:$port", '--log.level=warn';
    }
}

END {
    if ($prometheus) {
        my $status = $?;
        kill TERM => $prometheus;
        waitpid $prometheus, 0;
        $? = $status;
    }
}

sub api ($port, $path) {
    my $answer = HTTP::Tiny->new->get("http://127.0.0.1:$port/api/v1/$path");
    return $answer->{success} ? decode_json($answer->{content})->{data} : undef;
}

sub value ($port, $query) {
    $query =~ s/([^A-Za-z0-9_])/sprintf '%%%02X', ord $1/ge;
    my $data = api($port, "query?query=$query") or return;
    return map { $_->{value}[1] } @{ $data->{result} };
}

sub firing ($port) {
    my $data = api($port, 'alerts') or return;
    return map { $_->{labels}{alertname} => $_->{annotations}{summary} }
        grep { $_->{state} eq 'firing' } @{ $data->{alerts} };
}

# Test all queries but those of limits that a container hides.
sub answers_dashboard ($port, $httpd) {
    my %unknown;
    my @left = expressions();
    wait_for {
        my $unknown = $httpd->json->{unknown};
        return 0 if $unknown->{'half_closed.expected'};
        %unknown = ('tcp_max_orphans'      => $unknown->{'limits.tcp_max_orphans'},
                    'tcp_memory_max_bytes' =>
                        $unknown->{'limits.tcp_memory_max_bytes'});
        my @hidden = grep { $unknown{$_} } keys %unknown;
        @left = grep {
            my $query = $_;
            !(grep { $query =~ /finwait2_$_\b/ } @hidden)
                && !value($port, $query);
        } @left;
        !@left;
    } 3 * $LIMIT, 'data for the dashboard: ' . join "\n", @left;
    is_deeply \@left, [], 'each query of the dashboard has data';
}

subtest 'a real Prometheus has the numbers and fires alerts' => sub {
    my $httpd = FinWait2Test->start(mpm => 'worker', conf => <<'END');
StartServers 1
ServerLimit 1
ThreadsPerChild 32
MaxRequestWorkers 32
FinWait2Linger always
FinWait2LingerIdle 60s
FinWait2LingerTotal 60s
FinWait2LingerSlots 5
END
    my $port = FinWait2Test::free_port();
    prometheus('127.0.0.1:' . $httpd->port, $port);
    # An increase needs a first sample of the counter.
    wait_for {
        value($port, 'finwait2_lingers_ended_total{ending="evicted"}')
    } $LIMIT, 'the first scrape';
    is_deeply { firing($port) }, {}, 'no alert fires at first';

    my @clients = map {
        scalar idle_client('127.0.0.1', $httpd->port,
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    } 1 .. 8;
    my %firing;
    wait_for {
        %firing = firing($port);
        $firing{FinWait2HeldNearCapacity} && $firing{FinWait2Evictions}
            && $firing{FinWait2Danger};
    } $LIMIT, 'the alerts';
    is_deeply [sort keys %firing],
        [qw(FinWait2Danger FinWait2Evictions FinWait2HeldNearCapacity)],
        'clients that do not close cause three alerts and no other';
    like $firing{FinWait2Danger}, qr/by the rule closer-full\b/,
        'the summary of the alert has the rule';
    wait_for {
        my $json = $httpd->json;
        my ($held) = value($port, 'finwait2_closer_held_connections');
        my ($ends) = value($port,
            'sum(finwait2_lingers_ended_total{ending="evicted"})');
        $held == $json->{closer}{held} && $ends == $json->{closer}{evicted};
    } $LIMIT, 'Prometheus to have the figures of the page';
    pass 'Prometheus has the figures of the page';
    answers_dashboard($port, $httpd);
    undef @clients;
    $httpd->stop;
};

done_testing;
