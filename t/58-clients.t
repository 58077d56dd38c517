# Clients that do not close, listed by User-Agent and by net on every MPM, with
# FinWait2StatusPeers On.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;

# The page is at a port without the closer: on a busy machine a reader may close so
# late that it would be counted.
my $CONF = <<'END';
KeepAliveTimeout 100ms
FinWait2StatusPeers On
FinWait2LingerIdle 2
<VirtualHost *:@PORT@>
    ServerName httpd
    FinWait2Linger httpd
</VirtualHost>
<VirtualHost *:@PORT2@>
    ServerName always
    FinWait2Linger always
</VirtualHost>
<VirtualHost *:@PORT3@>
    ServerName auto
</VirtualHost>
END
my @LISTEN = ('127.0.0.1:@PORT@', '127.0.0.1:@PORT2@', '127.0.0.1:@PORT3@');

my @open;    # clients that never close

# Add a client that reads its response and never closes.
sub leaves_open ($httpd, $port, $agent, $close = 1) {
    my $header = defined $agent ? "User-Agent: $agent\r\n" : '';
    $header .= "Connection: close\r\n" if $close;
    push @open, scalar idle_client($httpd->host, $httpd->port($port),
                                   "GET / HTTP/1.1\r\nHost: a\r\n$header\r\n");
}

# Make a client that closes immediately after httpd.
sub closes_second ($httpd, $agent) {
    my $socket = idle_client($httpd->host, $httpd->port('PORT2'),
        "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: $agent\r\n\r\n");
    $socket->close;
}

# Wait until the row of a client in a list has the expected numbers; return it.
sub row ($httpd, $list, $label, $name, %expected) {
    my $found = eval { wait_for {
        my ($row) = grep { $_->{$label} eq $name }
                    @{ $httpd->json->{$list} };
        $row && !(grep { $row->{$_} != $expected{$_} } keys %expected) && $row;
    } 30, "$name in $list" };
    ok $found,
        "$list: $name has the expected numbers" or diag explain $httpd->json->{$list};
    return $found;
}

sub visit ($httpd) {
    leaves_open($httpd, 'PORT3', 'pool/1.0') for 1 .. 3;
    leaves_open($httpd, 'PORT3', 'pool/1.0', 0) for 1 .. 2;
    leaves_open($httpd, 'PORT2', 'pool/1.0');
    closes_second($httpd, 'polite/2.0') for 1 .. 3;
    leaves_open($httpd, 'PORT2', undef);
    leaves_open($httpd, 'PORT2', '<b>"x"&y</b>', 0);
    leaves_open($httpd, 'PORT', 'httpd-lingers');
    # A probe, which sends no valid request.
    push @open, my $probe = connect_to($httpd->port('PORT2'));
    $probe->syswrite("nonsense\r\n\r\n");
}

for_each_mpm {
    my $httpd = FinWait2Test->start(mpm => shift, listen => \@LISTEN,
                                    conf => $CONF);
    is_deeply $httpd->json->{agents}, [], 'no client is listed at first';
    visit($httpd);

    row($httpd, 'agents', 'agent', 'pool/1.0', closed => 6, left_open => 6,
        silent => 1, expired => 2);
    row($httpd, 'agents', 'agent', '(none)', closed => 1, left_open => 1);
    row($httpd, 'agents', 'agent', '(no request)', closed => 1);
    row($httpd, 'agents', 'agent', '<b>"x"&y</b>', left_open => 1,
        expired => 1);
    row($httpd, 'nets', 'net', '127.0.0.0/24', left_open => 9);
    row($httpd, 'idle_nets', 'net', '127.0.0.0/24', expired => 6);
    my $json = $httpd->json;
    is $json->{agents}[0]{agent}, 'pool/1.0',
        'the client with the most unclosed connections is first';
    is_deeply [grep { $_->{agent} =~ /polite|httpd-lingers/ }
               @{ $json->{agents} }], [],
        'clients that close, or that the closer does not see, are not listed';
    is $json->{clients}{left_open}, 9,
        'nine connections were not closed by their clients';

    my $html = $httpd->get('/finwait-status')->{content};
    my $row = join '.*?', '<th scope=row>pool/1\.0</th>',
        map { ">$_</td>" } 6, '&ndash;', 1, 2, 6, 'User-Agent';
    like $html, qr{<h2>Clients that do not close.*$row}s,
        'HTML has the row of pool/1.0';
    like $html, qr{&lt;b&gt;&quot;x&quot;&amp;y&lt;/b&gt;},
        'HTML escapes a User-Agent';
    unlike $httpd->get("/finwait-status?$_")->{content}, qr{pool/1|127\.0\.0\.0},
        "$_ has no client" for qw(auto openmetrics prometheus);

    $httpd->graceful($CONF);
    row($httpd, 'agents', 'agent', 'pool/1.0', left_open => 6);
    leaves_open($httpd, 'PORT2', 'pool/1.0');
    row($httpd, 'agents', 'agent', 'pool/1.0', left_open => 7);

    $httpd->graceful($CONF =~ s/StatusPeers On/StatusPeers Off/r);
    $json = $httpd->json;
    is_deeply [map { @{ $json->{$_} } } qw(agents nets idle_nets)], [],
        'Off: no client is listed';
    is $json->{clients}{left_open}, undef,
        'Off: the number of unclosed connections is unknown';
    like $httpd->get('/finwait-status')->{content},
        qr{Clients are not listed\. <code>FinWait2StatusPeers On</code>},
        'Off: the page names the directive';
    leaves_open($httpd, 'PORT2', 'unseen/1.0');
    $httpd->graceful($CONF);
    leaves_open($httpd, 'PORT2', 'after/1.0');
    row($httpd, 'agents', 'agent', 'after/1.0', left_open => 1);
    is_deeply [map { $_->{agent} } @{ $httpd->json->{agents} }], ['after/1.0'],
        'Off deletes the list';

    undef @open;
    $httpd->stop;
};

# Send a preface, empty SETTINGS, and HEADERS: GET / and a User-Agent.
sub h2_pool ($httpd) {
    my $socket = connect_to($httpd->port);
    my $block  = "\x82\x84\x86" . "\x41\x01a" . "\x7a\x08h2pool/4";
    $socket->syswrite("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        . "\0\0\0\x04\0\0\0\0\0"
        . pack('C3CCN', 0, 0, length $block, 1, 5, 1) . $block);
    return $socket;
}

# A connection has the User-Agent of its first request, however many run in parallel.
subtest 'HTTP/2 clients are listed' => sub {
    my $httpd = FinWait2Test->start(
        modules => ['http2'],
        conf    => "Protocols h2c http/1.1\nKeepAliveTimeout 100ms\n"
                 . "FinWait2StatusPeers On\n"
                 . "FinWait2Linger always\nFinWait2LingerIdle 2\n");
    system(qw(curl -sf --http2-prior-knowledge -o /dev/null),
           'http://127.0.0.1:' . $httpd->port . '/finwait-status');
    is $?, 0, 'curl uses HTTP/2';
    my $socket = h2_pool($httpd);
    row($httpd, 'agents', 'agent', 'h2pool/4', left_open => 1);
    is @{ $httpd->json->{agents} }, 1,
        'curl, which closes by itself, is not listed';
    $socket->close;
    $httpd->stop;
};

done_testing;
