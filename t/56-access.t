# Access to the page: its paths and virtual hosts, FinWait2Status, and addresses of
# clients only with FinWait2StatusPeers.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use FinWait2Page;

subtest 'the page answers only at its paths' => sub {
    my $httpd = FinWait2Test->start(conf => <<'END');
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
    my $denied = raw($httpd, GET => '/denied');
    is $denied->{status}, 403, 'Require all denied is obeyed';
    unlike $denied->{content}, qr/half-closed/i,
        'a denied client gets no page';
    $httpd->announce(qr/AH01630: client denied/);
    is raw($httpd, GET => '/elsewhere')->{headers}{'content-type'},
        $TYPE{html}, 'the page answers at another path';
    is raw($httpd, GET => '/elsewhere/below?json')->{headers}{'content-type'},
        $TYPE{json}, 'the page answers below that path';
    is raw($httpd, GET => '/of-second', 'Host: second.test')->{status}, 200,
        'the page answers in its virtual host';
    is raw($httpd, GET => '/of-second', 'Host: first.test')->{status}, 404,
        'the page answers in no other virtual host';
    my ($status, $output) = config_check(
        "<VirtualHost *:\@PORT\@>\nFinWait2Status On\n</VirtualHost>\n");
    isnt $status, 0, 'FinWait2Status in a virtual host is refused';
    like $output, qr/FinWait2Status/, 'the refusal names FinWait2Status';
    $httpd->stop;
};

subtest 'FinWait2Status Off hides the page' => sub {
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
        is $answer->{status}, 404, "$path is not found";
        unlike $answer->{content}, qr/half.closed/i, "$path shows no page";
    }
    $off->announce(qr/finwait-status is the handler here, but FinWait2Status/);
    $off->stop;
};

# Addresses are personal data: HTML and JSON have them, metrics never.
subtest 'FinWait2StatusPeers On shows addresses of clients' => sub {
    my $conf = "FinWait2Linger always\nFinWait2LingerIdle 60s\n";
    my @listen = ('127.0.0.1:@PORT@', '[::1]:@PORT2@');
    my $httpd = FinWait2Test->start(listen => \@listen, conf => $conf);
    my $get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    my @clients = (map({ scalar idle_client('127.0.0.1', $httpd->port, $get) }
                       1 .. 3),
                   scalar idle_client('::1', $httpd->port('PORT2'), $get));
    my $all = wait_for {
        my $json = $httpd->fresh_json;
        $json->{half_closed}{held} == 4 && $json;
    } 30, 'four to be held';
    is_deeply $all->{peers}, [], 'no client is listed by default';
    unlike page($httpd)->{content}, qr/id=clients/,
        'no client is shown by default';

    $httpd->graceful("FinWait2StatusPeers On\n$conf");
    push @clients, scalar idle_client('127.0.0.1', $httpd->port, $get);
    my $listed = wait_for {
        my $peers = $httpd->fresh_json->{peers};
        @$peers == 2 && $peers;
    } 30, 'two clients to be listed';
    is_deeply [map { $_->{peer} } @$listed], ['127.0.0.1', '::/64'],
        'the client with the most connections is first, IPv6 is a net';
    cmp_ok $listed->[0]{connections}, '>', $listed->[1]{connections},
        'each client has its number of connections';
    like page($httpd)->{content},
        qr{id=clients.*<th scope=row>127\.0\.0\.1</th>.*?now">\d}s,
        'HTML shows the clients';
    for my $format (qw(auto openmetrics prometheus)) {
        unlike page($httpd, "?$format")->{content},
            qr/^(?:Peers|finwait2_peer)|127\.0\.0\.1(?!:)/m,
            "$format has no client";
    }
    undef @clients;
    $httpd->stop;
};

done_testing;
