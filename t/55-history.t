# The history: samples come, one an interval whoever takes it, and follow what
# real clients do; they outlive graceful restarts and killed children, and are
# marked; and the pictures are well-formed and say in words what they show.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use FinWait2Page   qw(judged);
use Time::HiRes    qw(time);

my $PATIENT = 60;    # seconds for a condition, far more than any needs

# A reader of the page leaves no trace in the numbers, but for a moment.
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

# Until there are so many samples more; the new ones. A child that is just being
# killed may be asked for them.
sub more ($httpd, $least, $since = (samples($httpd))[-1]{time}) {
    my @new;
    wait_for {
        @new = grep { $_->{time} > $since } eval { samples($httpd) };
        @new >= $least;
    } $PATIENT, "$least samples more";
    return @new;
}

# Nobody has written beside another: they are at a distance, and in order.
sub one_a_second (@samples) {
    my $time = $samples[-1]{time} - $samples[0]{time};
    cmp_ok @samples, '<=', $time / 0.75 + 1.9, 'one a second';
    is_deeply [map { $_->{time} } @samples],
        [sort { $a <=> $b } map { $_->{time} } @samples], 'in order';
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
        $PATIENT, 'five orphans and three held, by ss';
    my $last;
    ok eval { wait_for {
        $last = (samples($httpd))[-1];
        $last->{orphan} == 5 && $last->{held} == 3;
    } $PATIENT, 'that' },
        'a sample has the connections, too' or diag explain $last;
    cmp_ok $last->{timewait}, '>=', 5, 'the orphans are mini-sockets';
    my @rates = map { $_->{closes_per_second} // 0 } samples($httpd);
    ok +(grep { $_ > 0 } @rates), 'closes a second' or diag "@rates";

    my $day = $httpd->json->{history}{day};
    is $day->{interval_seconds}, 60, 'the day has one a minute';
    my ($top) = sort { $b <=> $a } map { $_->{orphan} } @{ $day->{samples} };
    cmp_ok $top, '>=', 5, 'with the highest';
    return @clients;
}

# A child of before that stays, in a request that never ends.
sub stays ($httpd) {
    my $socket = connect_to($httpd->port);
    $socket->syswrite("GET / HTTP/1.1\r\n");
    select undef, undef, undef, 0.5;
    return $socket;
}

sub outlives_restarts ($httpd) {
    my @before = samples($httpd);
    my %old    = map { $_ => 1 } $httpd->children;
    my $client = stays($httpd);
    $httpd->graceful;
    my @new = more($httpd, 4);
    my @all = samples($httpd);
    is_deeply [@all[0 .. $#before]], \@before, 'a restart forgets nothing';
    is_deeply [marks(@all[@before .. $#all])], ['restart'],
        'one sample is marked for it';
    ok +(grep { $old{$_} } $httpd->children), 'a child of before is still there';
    one_a_second(@new);
    undef $client;

    $httpd->graceful("FinWait2Sample 1s\nFinWait2Timeout 30s\n$CONF");
    more($httpd, 3);
    @all = samples($httpd);
    is_deeply [marks(@all)],
        ['restart', 'restart', 'restart configuration_changed'],
        'settings that change are marked, too';
}

# Another process takes the samples after the first was killed.
sub outlives_its_process ($httpd) {
    my ($last) = more($httpd, 1);
    $httpd->announce(qr/finwait2 .* has ended unasked; another one is started/);
    kill KILL => $httpd->closers;
    my @new = more($httpd, 4, $last->{time});
    one_a_second(@new);
    cmp_ok longest_gap($last, @new), '<', 5, 'another process goes on at once';
}

for_each_mpm {
    my $mpm   = shift;
    my $httpd = start($mpm, 'FinWait2Sample 1s');
    wait_for { samples($httpd) >= 3 } $PATIENT, 'three samples';
    my $history = $httpd->json->{history};
    is $history->{interval_seconds}, 1, 'as often as was asked for';
    is_deeply [sort keys %{ $history->{samples}[0] }],
        [qw(closes_per_second held marks orphan time timewait verdict)], 'names';
    my @samples = @{ $history->{samples} };
    cmp_ok abs($samples[-1]{time} - time), '<', 30, 'a time';
    is $samples[0]{closes_per_second}, undef, 'the first has no rate';
    is_deeply [marks(@samples)], ['restart'], 'the start is marked';
    one_a_second(@samples);

    my @clients = follows_clients($httpd);
    outlives_restarts($httpd);
    outlives_its_process($httpd);
    one_a_second(samples($httpd));
    undef @clients;
    $httpd->stop;
};

#---- none --------------------------------------------------------------------

subtest 'Off' => sub {
    my $httpd = start('prefork', 'FinWait2Sample 1s');
    wait_for { samples($httpd) >= 2 } $PATIENT, 'two samples';
    $httpd->graceful("FinWait2Sample Off\n$CONF");
    my $json = $httpd->json;
    ok exists $json->{history} && !defined $json->{history}, 'history: null';
    like html($httpd), qr/FinWait2Sample is Off/, 'the page says why';
    unlike html($httpd), qr/<svg/, 'no picture';
    my $again = time;
    $httpd->graceful("FinWait2Sample 1s\n$CONF");
    wait_for { grep { $_->{time} > $again } samples($httpd) }
        $PATIENT, 'samples again';
    is_deeply [marks(samples($httpd))],
        ['restart', 'restart configuration_changed'],
        'on again: what was before is still there';
    $httpd->stop;
};

#---- pictures ----------------------------------------------------------------

# By an XML parser, of Debian's python3: what an SVG says of itself and draws.
sub drawn ($svg) {
    my ($status, $said) = judged($svg, '/usr/bin/python3', '-c', <<'END');
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
    return $status ? "not well-formed: $said" : $said;
}

subtest 'pictures' => sub {
    my $httpd = start('event', 'FinWait2Sample 1s');
    my @clients = idle_clients($httpd, 'PORT2', 7);
    wait_for { html($httpd) =~ /orphans: 7 now/ } $PATIENT,
        'a picture with the seven';
    my @svgs = html($httpd) =~ m{<svg viewBox="0.*?</svg>}gs;
    is @svgs, 1, 'one, as long as a day has no more than an hour';
    for my $svg (@svgs) {
        my $said = drawn($svg);
        like $said, qr/^role img$/m, 'an image';
        like $said, qr/^words Half-closed connections: Since the start \| /m,
            'with a name';
        like $said, qr/Orphans of the kernel: 7 now, at most 7 at \d\d:\d\d/,
            'now, and the peak';
        # A reader of the page may have been held for a moment.
        like $said, qr/Held by httpd: (?:none|\d now, at most \d at)/,
            'the other line';
        like $said, qr/Started at \d\d:\d\d/, 'since when';
        unlike $said, qr/Restarts:/, 'a start is no restart';
        like $svg, qr{<title>start at \d\d:\d\d:\d\d</title>}, 'marked as such';
        like $svg, qr{<title>\d\d:\d\d:\d\d: 7 orphans, \d held, closes a},
            'values on hovering';
        like $said, qr/^tags desc g path text title$/m, 'nothing but lines';
        is_deeply [grep { $_ > 200 } $said =~ /^path .* (\d+)$/mg], [],
            'of 200 points at most';
        cmp_ok length $svg, '<', 20_000, 'small';
    }
    for my $format (qw(auto openmetrics prometheus)) {
        unlike $httpd->get("/finwait-status?$format")->{content},
            qr/history|sample_/i, "nothing of it in $format";
    }
    more($httpd, 4);    # a start within the same two pixels would hide it
    $httpd->graceful;
    eventually { html($httpd) =~ m{<title>restart at \d\d:\d\d:\d\d</title>} }
        'a restart is marked as one';
    like html($httpd), qr/Restarts: 1\b/, 'the words have the restart';
    undef @clients;
    $httpd->stop;

    $httpd = start('event', 'FinWait2Sample 1h');
    wait_for { samples($httpd) } $PATIENT, 'the first sample';
    like html($httpd), qr/There are too few samples yet/,
        'one sample is no picture';
    unlike html($httpd), qr/<svg/, 'none at all';
    $httpd->stop;
};

subtest 'a verdict that changes' => sub {
    my $httpd = start('event', "FinWait2Sample 1s\nFinWait2LingerSlots 4");
    wait_for { grep { ($_->{verdict} // '') eq 'ok' } samples($httpd) }
        $PATIENT, 'a sample of a good time';
    unlike html($httpd), qr/verdict (?:ok|danger) at/, 'nothing has changed yet';
    my @clients = idle_clients($httpd, 'PORT3', 4);
    eventually { (samples($httpd))[-1]{verdict} eq 'danger' }
        'no place is left: the sample has the verdict';
    eventually { html($httpd) =~ m{<title>verdict danger at \d\d:\d\d:\d\d</title>} }
        'the picture marks when it changed';
    like html($httpd), qr/The verdict is danger since \d\d:\d\d\./,
        'the words have the verdict';
    is $httpd->json->{history}{day}{samples}[-1]{verdict}, 'danger',
        'the day has the worst of a minute';
    undef @clients;
    eventually { html($httpd) =~ m{<title>verdict ok at } }
        'the picture marks when the verdict is ok again';
    $httpd->stop;
};

done_testing;
