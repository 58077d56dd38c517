# The page's advice on real traffic: two of five virtual hosts have clients that
# never close. Numbers of the last minute are known after a minute.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use Time::HiRes qw(sleep time);

my $CONF = join '', "FinWait2StatusPeers On\nKeepAliveTimeout 65\n",
    map { "<VirtualHost *:\@PORT\@>\n    ServerName $_.test\n</VirtualHost>\n" }
    qw(www shop api static blog);

my @clients;
my @ROUND = (('shop') x 6, ('api') x 2);

sub ask ($httpd, $name, @fields) {
    my $socket = connect_to($httpd->port);
    $socket->syswrite(join "\r\n", 'GET / HTTP/1.1', "Host: $name.test",
                      @fields, '', '');
    return $socket;
}

sub visit ($httpd, $name) {
    push @clients, ask($httpd, $name, 'Connection: close');
}

# One client stays idle, and one closes before the promised time.
sub visit_idle ($patient, $promising) {
    push @clients, ask($patient, 'a');
    my $honest = ask($promising, 'a');
    $honest->sysread(my $response, 65536);
    undef $honest;
}

sub advice ($httpd) {
    return map { $_->{rule} => $_ } @{ $httpd->fresh_json->{advice} };
}

my $httpd = FinWait2Test->start(conf => $CONF);
my ($patient, $promising) = map { FinWait2Test->start(conf => $_) }
    "FinWait2KeepAliveTimeout 1500ms\n",
    "FinWait2KeepAliveTimeout 10s\nFinWait2KeepAliveAdvertise 8s\n";
my %first = advice($httpd);
is_deeply [keys %first], ['verdict'], 'at first there is only a verdict';
is $first{verdict}{level}, 'ok', 'the first verdict is ok';

# Three clients at shop for each client at api, for a minute: enough for a thousand
# orphans on a busy machine.
my $advice = wait_for {
    for (1 .. 5) {
        visit($httpd, $_) for @ROUND;
        visit_idle($patient, $promising);
        sleep 0.2;
    }
    my %now = advice($httpd);
    $now{steady} && $now{'connection-close'} && \%now;
} 150, 'advice on the last minute';

my ($shop, $api) = map { "$_.test:" . $httpd->port } qw(shop api);
is $advice->{verdict}{level}, 'ok', 'a few hundred orphans are no danger';
like $advice->{verdict}{text}, qr/^ok: [\d,]+ half-closed connections cost/,
    'the verdict has the cost of the orphans';
like $advice->{steady}{text},
    qr/^Normal for this traffic: clients do not close \d+ a second/,
    'the rate is that of the clients';
like $advice->{'connection-close'}{text}, qr/ended with Connection: close/,
    'the cause is Connection: close';
like $advice->{'one-peer'}{text}, qr/^127\.0\.0\.1 has 100 %/,
    'one client has all connections';
unlike $_->{text}, qr/-1\b/, "$_->{rule}: the text has no unknown number"
    for values %$advice;

my $whose = qr/of them are of \Q$shop\E and 2\d % of \Q$api\E, mostly after /;
like $advice->{'long-life'}{text}, $whose,
    'the advice names the two virtual hosts and the cause';
my ($before, $predicted) = map { tr/,//dr } $advice->{'long-life'}{text}
    =~ /^([\d,]+) orphans.* FinWait2Timeout 5s reduces them to about ([\d,]+)/
    or fail('the advice has the directive and its effect');
cmp_ok $predicted, '<', $before / 5,
    "the advice predicts $predicted orphans instead of $before";

# ------------------------------------------------------------- idle clients

my %idle = advice($patient);
like $idle{'idle-closes'}{text}, qr/had\ been\ idle\ for\ the\ keep-alive\ time
    .*\ 1\.5\ s\..*closes\ up\ to\ \d+\ connections\ fewer/x,
    'the advice has the number of closes that a longer time avoids';
is join(' ', @{ $idle{'idle-closes'} }{qw(before directive value)}),
    'FinWait2KeepAliveTimeout 3s FinWait2KeepAliveAdvertise 1s',
    'the advice has two directives';
like $patient->get('/finwait-status')->{content},
    qr{>FinWait2KeepAliveTimeout 3s\nFinWait2KeepAliveAdvertise 1s</pre>},
    'HTML shows the two directives';
my %kept = advice($promising);
like $kept{'kept-promise'}{text},
    qr/clients closed (\d+) before the promised 8 s were over \(100 %\)/,
    'the advice has the share of clients that kept the promise';
ok !exists $kept{'idle-closes'}, 'a kept promise needs no other directive';
$_->stop for $patient, $promising;

# --------------------------------------------------------------------- HTML

my $page = $httpd->get('/finwait-status')->{content};
my ($screen) = $page =~ m{(<h1>.*?)<h2>}s;
like $screen, qr{<h1><span class="level ok" role=status>ok</span> [\d,]+ half-},
    'HTML begins with the verdict';
like $screen, qr{gone at (?:the latest at )?<strong>\d\d:\d\d:},
    'HTML has the time of the last orphan';
like $screen, qr{<div[ ]id=want>.*<pre[^>]*>FinWait2Timeout[ ]5s</pre>
                 .*[\d,]+[ ]&rarr;[ ]about[ ]<strong>[\d,]+<.*Risk:}sx,
    'HTML has a directive to paste, its effect in numbers and its risk';
like $screen, qr{id=why>.*\d\ %\ Connection:\ close<.*7\d\ %\ \Q$shop\E}sx,
    'HTML has the cause and the virtual host';
my ($notes) = $screen =~ m{(<details id=notes>.*</details>)}s;
like $notes, qr{note</span> Normal for this traffic}, 'HTML folds other notes';
unlike $screen =~ s/\Q$notes\E//r, qr/Do not|Normal for this/,
    'other notes are only in the fold';
is +(() = $page =~ /FinWait2Timeout 5s<\/pre>/g), 1,
    'HTML has the directive once';
like $httpd->get('/finwait-status?prometheus')->{content},
    qr/^finwait2_verdict 0$/m, 'a metric has the severity of the verdict';

# The trend has its first value after two minutes.
my %row;
wait_for {
    my ($table) = $httpd->get('/finwait-status?top=all')->{content}
        =~ m{<section id=vhosts.*?</section>}sg or return;
    %row = map { m{>(\w+)\.test:} ? ($1 => $_) : () } split /<tr>/, $table;
    $row{shop} =~ /<svg/;
} 150, 'the virtual host to have a trend';
like $row{shop}, qr{ role=img aria-label="at most [\d,]+ a minute"><path class=c},
    'a sparkline shows the closes of the last hour';
like $row{shop}, qr{ d="M\d+ \d+h0(?:L\d+ \d+){0,3}"/></svg></td>},
    'the sparkline begins with the start of httpd';
like $row{blog}, qr{<td class=zero>&ndash;</td><td class=cause>},
    'a virtual host without connections has no sparkline';

# Compare the prediction with the real number, without the old orphans.
$httpd->graceful("FinWait2Timeout 5s\n$CONF");
undef @clients;    # their orphans become TIME_WAIT immediately
my $until = time + 12;
while (time < $until) {
    visit($httpd, $_) for @ROUND;
    sleep 0.2;
}
my $after = ss_count(port => $httpd->port, state => 'fin-wait-2');
cmp_ok $after, '<=', 1.5 * $predicted,
    "the prediction is not too low: $predicted for $after";
cmp_ok $after, '>=', $predicted / 2, 'the prediction is not far too high';
my $json = $httpd->fresh_json;
my ($metric) = $httpd->get('/finwait-status?prometheus')->{content}
    =~ /^finwait2_orphan_connections (\d+)$/m;
cmp_ok abs($metric - $json->{half_closed}{orphan}), '<=', 10,
    'Prometheus has the number of the JSON';
ok scalar(grep { "@{ $_->{marks} }" =~ /configuration_changed/ }
          @{ $json->{history}{samples} }),
    'the history has a mark of the new configuration'
    or diag explain $json->{history}{samples};
undef @clients;
$httpd->stop;

done_testing;
