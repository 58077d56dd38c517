# The metrics: the manual's table matches the running page, each HELP text is
# complete by itself, `vhosts=` selects virtual hosts in every machine-readable
# format, and the history is CSV.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use JSON::PP qw(decode_json);
use List::Util qw(sum0);

my $PAGE   = '/finwait-status';
my $MANUAL = slurp('docs/mod_finwait2.md');
my $VHOSTS = 130;

# One virtual host has the name of the sum, `other`: a virtual host at `*:*` has no
# port in its name.
my $CONF = join '', "FinWait2Sample 1s\n",
    map { vhost('PORT', "v$_", '') } 1 .. $VHOSTS - 1;
$CONF .= "<VirtualHost *:*>\nServerName other\n</VirtualHost>\n";

my $httpd = FinWait2Test->start(conf => $CONF,
                                listen => ['127.0.0.1:@PORT@',
                                           '127.0.0.1:@PORT2@']);

sub text ($query) { $httpd->get("$PAGE?$query")->{content} }

#---- the manual --------------------------------------------------------------

subtest 'the manual describes the metrics' => sub {
    my $text = text('prometheus');
    my %type = $text =~ /^# TYPE (\S+) (\S+)/mg;
    my %help = $text =~ /^# HELP (\S+) (.*)/mg;
    my %labels;
    for ($text =~ /^([a-z]\w+\{[^}]*\})/mg) {
        my ($name, $labels) = /^(\w+)\{(.*)\}/;
        $labels{$name} = join ', ', map { "`$_`" } $labels =~ /(\w+)="/g;
    }
    my %rows = map { $_->[0] => $_ }
        map { [/^\| `(\w+)` \| (\w*) \| (.*?) \| (.*?) \| (.*?) \|$/] }
        $MANUAL =~ /^(\| `finwait2_.*\|)$/mg;
    is_deeply [sort keys %rows], [sort keys %type],
        'the manual has a row for each family, and no other';
    my $json = decode_json(text('json'));
    for my $name (sort keys %rows) {
        my (undef, $type, $labels, $paths, $meaning) = @{ $rows{$name} };
        is $type =~ s/info/gauge/r, $type{$name}, "$name: the type matches";
        is $labels, $labels{$name} // $labels, "$name: the labels match";
        is substr($meaning, 0, length $help{$name}), $help{$name},
            "$name: the meaning begins with HELP";
        for ($paths =~ /`([^`]+)`/g) {
            my ($section, $key) = /^(\w+)(?:\[\])?\.(\w+)$/ or fail($_), next;
            my $element = $json->{$section};
            $element = $element->[0] if ref $element eq 'ARRAY';
            ok exists $element->{$key}, "$name: the JSON has $_";
        }
    }
    my %known = map { s/_(?:bucket|count|sum)$//r => 1 } keys %type,
        'finwait2_module';
    is_deeply [grep { !$known{ s/_(?:bucket|count|sum)$//r } }
               $MANUAL =~ /\b(finwait2_[a-z0-9_]+)\b/g], [],
        'the manual names no other metric';
    my %words = map { $_ => 1 } $MANUAL =~ /^\| `([A-Z]\w+)`/mg;
    is_deeply [grep { !$words{$_} } text('auto') =~ /^(\w+):/mg], [],
        'the manual has each word of ?auto';
};

subtest 'HELP texts are complete and unique' => sub {
    my %help = text('prometheus') =~ /^# HELP (\S+) (.*)/mg;
    my %seen;
    for my $name (sort keys %help) {
        unlike $help{$name},
            qr/^(?:of|those|they|it|its|how|what|whether|where)\b
               |\b(?:these|the\ same)\b/xi,
            "$name: HELP needs no other text";
        like $help{$name}, qr/^[A-Z0-9].*[^.]$/,
            "$name: HELP begins with a capital and has no full stop";
        ok !$seen{ $help{$name} }++, "$name: no other metric has the same HELP";
    }
};

subtest 'labels and units are right' => sub {
    my ($build) = text('prometheus') =~ /^finwait2_build_info\{(.*)\} 1$/m;
    like $build, qr/^version="1\.\d+\.\d+",httpd="2\.\d[^"]*",mpm="event"$/,
        'build_info has the versions and the MPM';
    my ($start) = text('prometheus')
        =~ /^finwait2_start_time_seconds (\d+)\.\d+$/m;
    ok abs(time - $start) < 600,
        'the start time is a time of the last ten minutes' or diag $start;
    like text('prometheus'), qr/^finwait2_closer_oldest_seconds 0\.0$/m,
        'the age of the oldest is 0 while no connection is held';
    is decode_json(text('json'))->{closer}{oldest_seconds}, 0,
        'the age of the oldest is 0 in JSON, too';
    # The number of pages may change between the two looks.
    my ($bytes, $pages);
    ok +(wait_for {
        ($bytes) = text('prometheus') =~ /^finwait2_tcp_memory_bytes (\d+)$/m;
        ($pages) = slurp('/proc/net/sockstat') =~ /^TCP:.* mem (\d+)$/m;
        $bytes == 4096 * $pages;
    } 60, 'the memory of both'), 'memory is a number of bytes, not of pages'
        or diag "$bytes bytes, $pages pages";
};

#---- vhosts= -----------------------------------------------------------------

# Return {name => number of closed connections} in a format, and test that no
# sample is repeated.
sub closes ($query) {
    my $text = text($query);
    my %closes;
    if ($query =~ /json/) {
        %closes = map { $_->{vhost} => sum0 values %{ $_->{closes} } }
            @{ decode_json($text)->{vhosts} };
    }
    else {
        $closes{$1} += $2 while $text =~
            /^finwait2_connections_closed_total\{vhost="(.*?)",.*\} (\d+)$/mg;
        my @samples = $text =~ /^(\w+\{.*\}) /mg;
        my %seen;
        is_deeply [grep { $seen{$_}++ } @samples], [],
            "$query: no sample is repeated";
    }
    return %closes;
}

subtest 'vhosts= selects virtual hosts' => sub {
    my $port = $httpd->port;
    my %visits = (v7 => 40, v100 => 10, v129 => 18, other => 3);
    for my $name (sort keys %visits) {
        my $at = $name eq 'other' ? $httpd->port('PORT2') : $port;
        idle_client('127.0.0.1', $at, "GET / HTTP/1.1\r\nHost: $name.test\r\n"
                    . "Connection: close\r\n\r\n")->close
            for 1 .. $visits{$name};
    }
    my ($v7, $v100, $v129) = map { "v$_.test:$port" } 7, 100, 129;
    my %all;
    eventually { %all = closes('json&vhosts=all'); $all{$v129} == 18 }
        'all requests are counted';
    # [query, number of names, names that must exist]. Readers of the page are
    # counted at v1, and the main server has a name, too.
    my $all = $VHOSTS + 1;
    for (['',               101,  $v7, $v100, $v129, 'other'],
         ['vhosts=all',     $all, $v7, "v55.test:$port", 'other'],
         ['vhosts=off',     0],
         ['vhosts=0',       1,    'other'],
         ['vhosts=1',       2,    'other'],
         ['vhosts=3',       4,    $v7, $v129, 'other'],
         ['vhosts=1000',    $all, $v7],
         ['vhosts=999999999999999999999999', $all, $v7],
         ['vhosts=-1',      101,  $v7], ['vhosts=', 101, $v7],
         ['vhosts=3x',      101,  $v7], ['vhosts=ALL', 101, $v7],
         ['vhosts',         101,  $v7], ['vhosts=0x3', 101, $v7],
         ['xvhosts=3',      101,  $v7], ['vhosts=%33', 101, $v7],
         ['vhosts=off&vhosts=3', 4, $v7], ['vhosts=3&vhosts=-7', 4, $v7],
         ['vhosts=3&' . join('&', ('vhosts=x') x 500), 4, $v7]) {
        my ($query, $n, @names) = @$_;
        for my $format (qw(json prometheus openmetrics)) {
            my %closes = closes($format . ($query ? "&$query" : ''));
            my $name = substr "$format $query", 0, 50;
            is scalar(keys %closes), $n, "$name: the number of virtual hosts";
            is_deeply [grep { !exists $closes{$_} } @names], [],
                "$name: the busiest virtual hosts are present";
            next if !exists $closes{$v7};
            is $closes{$v7}, 40, "$name: the busiest has its number";
            ok sum0(values %closes) >= sum0(values %visits),
                "$name: the sum has all requests";
        }
    }
    my %three = closes('prometheus&vhosts=3');
    is $three{$v129}, 18,
        'the second busiest virtual host has a row of its own';
    ok $three{other} >= 13,
        'the row other has the remaining virtual hosts' or diag explain \%three;
    my $text = text('prometheus&vhosts=all');
    my %lingered = map { $_ => 1 }
        $text =~ /^finwait2_linger_seconds_count\{vhost="(.*?)"\} [1-9]/mg;
    ok $lingered{$v7} && !$lingered{"v55.test:$port"},
        'a virtual host that lingered has a histogram';
    unlike $text, qr/^finwait2_linger_seconds\w*\{vhost="v55\.test/m,
        'a virtual host that never lingered has no histogram';
};

#---- the history -------------------------------------------------------------

subtest 'the history is valid CSV' => sub {
    my @lines;
    eventually { @lines = split /\r\n/, text('csv'); @lines > 4 }
        'the history has four samples';
    is shift @lines, 'time,held,orphan,timewait,closes_per_second,marks,verdict',
        'the first line has the names';
    my @times = map { (split /,/)[0] } @lines;
    like $_, qr/^\d+\.\d{3},\d*,\d*,\d*,(?:\d+\.\d\d)?,[a-z_ ]*,(?:ok|watch)?$/, $_
        for @lines[0 .. 3];
    is_deeply \@times, [sort { $a <=> $b } @times],
        'the oldest sample is first';
    my ($last) = grep { $_->{time} == $times[-1] }
        @{ decode_json(text('json'))->{history}{samples} };
    is $last->{orphan}, (split /,/, $lines[-1])[2],
        'the last line matches the last sample in JSON';
};
$httpd->stop;

subtest 'CSV without a history has only its names' => sub {
    my $none = FinWait2Test->start(conf => "FinWait2Sample Off\n");
    is $none->get("$PAGE?csv")->{content},
        "time,held,orphan,timewait,closes_per_second,marks,verdict\r\n",
            'CSV without a history has only the line of names';
    $none->stop;
};

#---- many --------------------------------------------------------------------

# Long names make the largest document.
subtest '5,500 virtual hosts fit' => sub {
    my $name = 'x' x 50;
    my $many = FinWait2Test->start(conf => join '',
        map { vhost('PORT', "$name-$_", '') } 1 .. 5500);
    for my $format (qw(prometheus openmetrics json auto)) {
        my $text = $many->get("$PAGE?$format")->{content};
        cmp_ok length $text, '<', 1_000_000, "$format: below 1 MB";
        unlike $text, qr/$name-4000\b/,
            "$format: most virtual hosts are in the sum";
    }
    my $text = $many->get("$PAGE?prometheus&vhosts=all")->{content};
    like $text, qr/$name-5500\.test/, 'vhosts=all returns all virtual hosts';
    $many->stop;
};

done_testing;
