# What the page advises on real traffic: two of five virtual hosts have clients
# that never close. What is said of late takes a minute to be known.

use v5.36;
use Test::More;
use FinWait2Test;
use IO::Socket::IP;
use Time::HiRes qw(sleep time);

my $CONF = join '', "FinWait2StatusPeers On\nKeepAliveTimeout 65\n",
    map { "<VirtualHost *:\@PORT\@>\n    ServerName $_.test\n</VirtualHost>\n" }
    qw(www shop api static blog);

my @clients;

sub visit ($httpd, $name) {
    my $socket = IO::Socket::IP->new(PeerHost => '127.0.0.1',
                                     PeerPort => $httpd->port)
        // die "connect: $@\n";
    $socket->syswrite("GET / HTTP/1.1\r\nHost: $name.test\r\n"
                    . "Connection: close\r\n\r\n");
    push @clients, $socket;
}

sub advice ($httpd) {
    return map { $_->{rule} => $_ } @{ $httpd->fresh_json->{advice} };
}

my $httpd = FinWait2Test->start(conf => $CONF);
my %first = advice($httpd);
is_deeply [keys %first], ['verdict'], 'at first there is only a verdict';
is $first{verdict}{level}, 'ok', 'which is ok';

# Three at shop, one at api, five times a second, until it is known.
my $advice = wait_for {
    for (1 .. 5) {
        visit($httpd, $_) for qw(shop shop shop api);
        sleep 0.2;
    }
    my %now = advice($httpd);
    $now{steady} && $now{'connection-close'} && \%now;
} 150, 'advice on what is of late';

my ($shop, $api) = map { "$_.test:" . $httpd->port } qw(shop api);
is $advice->{verdict}{level}, 'ok', 'a few hundred orphans are no danger';
like $advice->{verdict}{text}, qr/^ok: [\d,]+ half-closed connections cost/,
    'which it says';
like $advice->{steady}{text},
    qr/^Normal for this traffic: clients leave \d+ a second open/,
    'the rate is that of the clients';
like $advice->{'connection-close'}{text}, qr/ended with Connection: close/,
    'the cause is';
like $advice->{'one-peer'}{text}, qr/^127\.0\.0\.1 has 100 %/, 'who';
unlike $_->{text}, qr/-1\b/, "$_->{rule}: what is not known is not said"
    for values %$advice;

my $whose = qr/of them are of \Q$shop\E and 2\d % of \Q$api\E, mostly after /;
like $advice->{'long-life'}{text}, $whose, 'the two virtual hosts, and why';
my ($before, $predicted) = map { tr/,//dr } $advice->{'long-life'}{text}
    =~ /^([\d,]+) orphans.* FinWait2Timeout 5s takes them to about ([\d,]+)/
    or fail('the directive, and what it would do');
cmp_ok $predicted, '<', $before / 5, "from $before to $predicted";

my $page = $httpd->get('/finwait-status')->{content};
my ($screen) = $page =~ m{<h1>(.*?)<h2>}s;
like $screen, qr{class="advice ok" role=status>ok: }, 'HTML begins with it';
like $screen,
    qr{last of them would be gone at (?:the latest at )?<strong>\d\d:\d\d:},
    'with the time left';
like $screen, qr{<li class="advice ok"><b>ok</b> Normal for this traffic},
    'and goes on with the advice';
like $screen, $whose, 'all of it before the first heading';
like $httpd->get('/finwait-status?prometheus')->{content},
    qr/^finwait2_verdict 0$/m, 'a metric has the level';

# What was foretold comes true, once those of before have gone.
$httpd->graceful("FinWait2Timeout 5s\n$CONF");
undef @clients;    # their orphans become TIME_WAIT at once
my $until = time + 12;
while (time < $until) {
    visit($httpd, $_) for qw(shop shop shop api);
    sleep 0.2;
}
my $after = ss_count(port => $httpd->port, state => 'fin-wait-2');
cmp_ok $after, '<=', 1.5 * $predicted, "foretold: $predicted, there are: $after";
cmp_ok $after, '>=', $predicted / 2, 'and not hardly any';
my $json = $httpd->fresh_json;
my ($metric) = $httpd->get('/finwait-status?prometheus')->{content}
    =~ /^finwait2_orphan_connections (\d+)$/m;
cmp_ok abs($metric - $json->{half_closed}{orphan}), '<=', 10,
    'Prometheus holds the same';
ok scalar(grep { "@{ $_->{marks} }" =~ /configuration_changed/ }
          @{ $json->{history}{samples} }), 'the history has a mark there'
    or diag explain $json->{history}{samples};
undef @clients;
$httpd->stop;

done_testing;
