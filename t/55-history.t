# The history: it gets one sample an interval, whichever process takes it; samples
# show real connections, survive graceful restarts and killed processes, and have
# marks; the charts are well-formed and have a description.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use FinWait2Page   qw(judged);
use Time::HiRes    qw(time);

my $PATIENT = 60;    # seconds for a condition, far more than any needs

# Readers of the page are in the numbers only while they are connected.
my $CONF = <<'END';
<VirtualHost *:@PORT@>
    ServerName readers.test
    FinWait2Engine Off
</VirtualHost>
<VirtualHost *:@PORT2@>
    ServerName acked.test
</VirtualHost>
<VirtualHost *:@PORT3@>
    ServerName held.test
    FinWait2Linger always
    FinWait2LingerIdle 1h
    FinWait2LingerTotal 1h
</VirtualHost>
END

sub start ($mpm, $conf, %options) {
    return FinWait2Test->start(mpm => $mpm, conf => "$conf\n$CONF",
        listen => [map { "127.0.0.1:\@PORT$_\@" } '', 2, 3], %options);
}

sub samples ($httpd) { @{ $httpd->json->{history}{samples} } }

# Wait for this many new samples and return them. A request may reach a child that
# is being killed.
sub more ($httpd, $least, $since = (samples($httpd))[-1]{time}) {
    my @new;
    wait_for {
        @new = grep { $_->{time} > $since } eval { samples($httpd) };
        @new >= $least;
    } $PATIENT, "$least samples more";
    return @new;
}

# Test that only one process at a time has written samples.
sub one_a_second (@samples) {
    my $time = $samples[-1]{time} - $samples[0]{time};
    cmp_ok @samples, '<=', $time / 0.75 + 1.9,
        'there is at most one sample a second';
    is_deeply [map { $_->{time} } @samples],
        [sort { $a <=> $b } map { $_->{time} } @samples],
            'the samples are in order';
}

sub longest_gap (@samples) {
    my ($gap) = sort { $b <=> $a }
        map { $samples[$_]{time} - $samples[$_ - 1]{time} } 1 .. $#samples;
    return $gap;
}

sub marks (@samples) { grep { $_ } map { join ' ', @{ $_->{marks} } } @samples }

sub html ($httpd) { $httpd->get('/finwait-status')->{content} }

#---- clients, restarts, kills ------------------------------------------------

sub follows_clients ($httpd) {
    my @clients = (idle_clients($httpd, 'PORT2', 5),
                   idle_clients($httpd, 'PORT3', 3));
    my ($orphan, $held) = map { $httpd->port("PORT$_") } 2, 3;
    wait_for { ss_count(port => $orphan, holder => 'timewait') == 5
               && ss_count(port => $held, holder => 'process') == 3 }
        $PATIENT, 'ss to show five orphans and three held sockets';
    my $last;
    ok eval { wait_for {
        $last = (samples($httpd))[-1];
        $last->{orphan} == 5 && $last->{held} == 3;
    } $PATIENT, 'a sample of them' },
        'a sample has the five orphans and the three held connections'
        or diag explain $last;
    cmp_ok $last->{timewait}, '>=', 5,
        'the mini-sockets of the sample include the orphans';
    my @rates = map { $_->{closes_per_second} // 0 } samples($httpd);
    ok +(grep { $_ > 0 } @rates),
        'a sample has a rate of closes' or diag "@rates";

    my $day = $httpd->json->{history}{day};
    is $day->{interval_seconds}, 60, 'the day has one sample a minute';
    my ($top) = sort { $b <=> $a } map { $_->{orphan} } @{ $day->{samples} };
    cmp_ok $top, '>=', 5, 'a sample of the day has the maximum of its minute';
    return @clients;
}

# Keep an old child alive by a request that never ends.
sub stays ($httpd) {
    my $socket = connect_to($httpd->port);
    $socket->syswrite("GET / HTTP/1.1\r\n");
    my $ends = join ' ', $httpd->port, $socket->sockport;
    wait_for { (server_ends()->{$ends} // {})->{inode} } $PATIENT,
        'a child to accept the connection';
    return $socket;
}

sub outlives_restarts ($httpd) {
    my @before = samples($httpd);
    my %old    = map { $_ => 1 } $httpd->children;
    my $client = stays($httpd);
    $httpd->graceful;
    my @new = more($httpd, 4);
    my @all = samples($httpd);
    is_deeply [@all[0 .. $#before]], \@before, 'a restart keeps all samples';
    is_deeply [marks(@all[@before .. $#all])], ['restart'],
        'one sample has the mark of the restart';
    ok +(grep { $old{$_} } $httpd->children), 'an old child is still running';
    one_a_second(@new);
    undef $client;

    $httpd->graceful("FinWait2Sample 1s\nFinWait2Timeout 30s\n$CONF");
    more($httpd, 3);
    @all = samples($httpd);
    is_deeply [marks(@all)],
        ['restart', 'restart', 'restart configuration_changed'],
        'a change of the configuration has a mark';
}

# Kill the process that takes the samples; another one continues.
sub outlives_its_process ($httpd) {
    my ($last) = more($httpd, 1);
    $httpd->announce(qr/finwait2 .* has ended unasked; another one is started/);
    kill KILL => $httpd->closers;
    my @new = more($httpd, 4, $last->{time});
    one_a_second(@new);
    cmp_ok longest_gap($last, @new), '<', 5,
        'another process continues within five seconds';
}

for_each_mpm {
    my $mpm   = shift;
    my $httpd = start($mpm, 'FinWait2Sample 1s');
    wait_for { samples($httpd) >= 3 } $PATIENT, 'three samples';
    my $history = $httpd->json->{history};
    is $history->{interval_seconds}, 1,
        'the interval is that of the configuration';
    is_deeply [sort keys %{ $history->{samples}[0] }],
        [qw(closes_per_second held marks orphan time timewait verdict)],
            'a sample has its names';
    my @samples = @{ $history->{samples} };
    cmp_ok abs($samples[-1]{time} - time), '<', 30,
        'a sample has the time of day';
    is $samples[0]{closes_per_second}, undef, 'the first sample has no rate';
    is_deeply [marks(@samples)], ['restart'], 'the start has a mark';
    one_a_second(@samples);

    my @clients = follows_clients($httpd);
    outlives_restarts($httpd);
    outlives_its_process($httpd);
    one_a_second(samples($httpd));
    undef @clients;
    $httpd->stop;
};

#---- Off ---------------------------------------------------------------------

subtest 'FinWait2Sample Off keeps old samples' => sub {
    my $httpd = start('prefork', 'FinWait2Sample 1s');
    wait_for { samples($httpd) >= 2 } $PATIENT, 'two samples';
    $httpd->graceful("FinWait2Sample Off\n$CONF");
    my $json = $httpd->json;
    ok exists $json->{history} && !defined $json->{history},
        'the history is null';
    like html($httpd), qr/FinWait2Sample is Off/, 'the page has the reason';
    unlike html($httpd), qr/<svg/, 'the page has no chart';
    my $again = time;
    $httpd->graceful("FinWait2Sample 1s\n$CONF");
    wait_for { grep { $_->{time} > $again } samples($httpd) }
        $PATIENT, 'a new sample';
    is_deeply [marks(samples($httpd))],
        ['restart', 'restart configuration_changed'],
        'the old samples are still present after FinWait2Sample is on again';
    $httpd->stop;
};

#---- charts ------------------------------------------------------------------

# Return the description and the paths of an SVG, by the XML parser of python3.
sub drawn ($svg) {
    my ($status, $output) = judged($svg, '/usr/bin/python3', '-c', <<'END');
import re, sys, xml.dom.minidom
svg = xml.dom.minidom.parse(sys.stdin).documentElement
names = svg.getAttribute("aria-labelledby").split()
ids = {e.getAttribute("id"): e.firstChild.data
       for t in ("title", "desc") for e in svg.getElementsByTagName(t)
       if e.getAttribute("id")}
print("role", svg.getAttribute("role"))
print("words", " | ".join(ids[n] for n in names))
for p in svg.getElementsByTagName("path"):
    print("path", p.getAttribute("class"), len(re.findall("[ML]",
          p.getAttribute("d"))))
print("tags", *sorted({e.tagName for e in svg.getElementsByTagName("*")}))
END
    return $status ? "not well-formed: $output" : $output;
}

subtest 'charts are well-formed and described' => sub {
    my $httpd = start('event', 'FinWait2Sample 1s');
    my @clients = idle_clients($httpd, 'PORT2', 7);
    wait_for { html($httpd) =~ /orphans: 7 now/ } $PATIENT,
        'a chart with seven orphans';
    my @svgs = html($httpd) =~ m{<svg viewBox="0.*?</svg>}gs;
    is @svgs, 1, 'the page has one chart during the first hour';
    for my $svg (@svgs) {
        my $output = drawn($svg);
        like $output, qr/^role img$/m, 'the chart is an image';
        like $output, qr/^words Half-closed connections: Since the start \| /m,
            'the chart has a name';
        like $output, qr/Orphans of the kernel: 7 now, at most 7 at \d\d:\d\d/,
            'the description has the present number and the maximum';
        # A reader of the page may have been held for a moment.
        like $output, qr/Held by httpd: (?:none|\d now, at most \d at)/,
            'the description has the line of held connections';
        like $output, qr/Started at \d\d:\d\d/,
            'the description has the time of the start';
        unlike $output, qr/Restarts:/, 'a start does not count as a restart';
        like $svg, qr{<title>start at \d\d:\d\d:\d\d</title>},
            'the chart marks the start';
        like $svg, qr{<title>\d\d:\d\d:\d\d: 7 orphans, \d held, closes a},
            'the chart has titles with values';
        like $output, qr/^tags desc g path text title$/m,
            'the chart consists of lines and texts';
        is_deeply [grep { $_ > 200 } $output =~ /^path .* (\d+)$/mg], [],
            'a path has 200 points at most';
        cmp_ok length $svg, '<', 20_000, 'the chart is smaller than 20 kB';
    }
    for my $format (qw(auto openmetrics prometheus)) {
        unlike $httpd->get("/finwait-status?$format")->{content},
            qr/history|sample_/i, "$format has no history";
    }
    more($httpd, 4);    # the mark of the start would hide a restart within two pixels
    $httpd->graceful;
    eventually { html($httpd) =~ m{<title>restart at \d\d:\d\d:\d\d</title>} }
        'the chart marks a restart';
    like html($httpd), qr/Restarts: 1\b/, 'the description counts the restart';
    undef @clients;
    $httpd->stop;

    $httpd = start('event', 'FinWait2Sample 1h');
    wait_for { samples($httpd) } $PATIENT, 'the first sample';
    like html($httpd), qr/There are too few samples yet/,
        'one sample is too few for a chart';
    unlike html($httpd), qr/<svg/, 'the page has no chart of one sample';
    $httpd->stop;
};

subtest 'the history has changes of the verdict' => sub {
    my $httpd = start('event', "FinWait2Sample 1s\nFinWait2LingerSlots 4");
    wait_for { grep { ($_->{verdict} // '') eq 'ok' } samples($httpd) }
        $PATIENT, 'a sample with the verdict ok';
    unlike html($httpd), qr/verdict (?:ok|danger) at/,
        'the chart has no mark before the verdict changes';
    my @clients = idle_clients($httpd, 'PORT3', 4);
    eventually { (samples($httpd))[-1]{verdict} eq 'danger' }
        'a sample has the verdict danger while no slot is free';
    eventually { html($httpd) =~ m{<title>verdict danger at \d\d:\d\d:\d\d</title>} }
        'the chart marks the change of the verdict';
    like html($httpd), qr/The verdict is danger since \d\d:\d\d\./,
        'the description has the verdict';
    is $httpd->json->{history}{day}{samples}[-1]{verdict}, 'danger',
        'a sample of the day has the worst verdict of its minute';
    undef @clients;
    eventually { html($httpd) =~ m{<title>verdict ok at } }
        'the chart marks the change back to ok';
    $httpd->stop;
};

done_testing;
