# A child that writes anything into all shared memory of the module: the parent,
# which is root, lives on through restarts, pages are answered, and connections
# are lingered on. Figures may be wrong, until httpd is started again.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;

my $PATIENT = 60;

# The parent has at least counters, history, lists of clients and a board.
my $LEAST = 4;

my $CONF = <<'END';
FinWait2StatusPeers On
FinWait2Sample 1s
FinWait2KeepAliveTimeout 200ms
<Location "/scribble">
    SetHandler scribble
</Location>
<VirtualHost *:@PORT2@>
    ServerName a.test
</VirtualHost>
END

sub start ($mpm) {
    my $file = shared_object('scribble');
    return FinWait2Test->start(mpm => $mpm,
        listen => ['127.0.0.1:@PORT@', '127.0.0.1:@PORT2@'],
        env  => { LD_PRELOAD => $file },
        conf => "LoadModule scribble_module $file\n$CONF");
}

sub formats_answer ($httpd, $when) {
    for my $query ('', map { "?$_" } qw(auto json openmetrics prometheus)) {
        my $answer = $httpd->get("/finwait-status$query");
        is $answer->{status}, 200, "$when: the page answers $query";
    }
}

sub serves ($httpd, $when) {
    my @clients = idle_clients($httpd, 'PORT2', 5);
    eventually {
        ss_count(port => $httpd->port('PORT2'), holder => 'process') == 0
    } "$when: connections are closed";
}

for_each_mpm {
    my $httpd = start(shift);
    my $conf  = $httpd->{options}{conf};
    serves($httpd, 'at first');
    for my $how (qw(ones zeros random random)) {
        my $answer = $httpd->get("/scribble?$how");
        cmp_ok $answer->{content}, '>=', $LEAST, "filled with $how";
        formats_answer($httpd, $how);
        serves($httpd, $how);
        $httpd->get("/scribble?$how");
        $httpd->graceful($conf);
        formats_answer($httpd, "$how and a restart");
        $httpd->get("/scribble?$how");
        # More virtual hosts than there is room for: totals are taken over.
        $httpd->graceful($conf . join '', map { vhost('PORT', "$how$_", '') }
                                 1 .. 40);
        formats_answer($httpd, "$how and more virtual hosts");
        serves($httpd, "$how and restarts");
    }
    # The log was told that the process does not run, or refuses.
    $httpd->announce(qr/finwait2 does not accept/);
    $httpd->stop;
};

done_testing;
