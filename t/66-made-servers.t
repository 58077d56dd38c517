# Modules for mass virtual hosting make a server record for one request, and free it
# with the request. The connection ends later: the module uses nothing of that
# record, and counts the connection for the virtual host that the record was copied
# from, or else for the first one of the address.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;

my $TIMES = 10;

my $CONF = <<'END';
KeepAliveTimeout 200ms
FinWait2Timeout 7s
<VirtualHost *:@PORT2@>
    ServerName first.test
    Protocols h2c http/1.1
</VirtualHost>
<VirtualHost *:@PORT2@>
    ServerName a.test
    Protocols h2c http/1.1
</VirtualHost>
END

# The values of the header X-Server, which the test module obeys, and the virtual
# host that counts the connection. A server record is made `late` after httpd has
# found the virtual host.
my %COUNTED = (copy => 'a', late => 'a', made => 'first', 'made-late' => 'a');

sub start ($mpm) {
    my $httpd = FinWait2Test->start(mpm => $mpm, modules => ['http2'],
        listen => ['127.0.0.1:@PORT@', '127.0.0.1:@PORT2@'],
        conf   => module_of('vhosting') . $CONF);
    $httpd->document('page', 'y' x 1000);
    return $httpd;
}

sub http1 ($port, $how, @lines) {
    return scalar idle_client('127.0.0.1', $port, join "\r\n",
        'GET /page HTTP/1.1', 'Host: a.test', "X-Server: $how", @lines, '', '');
}

# Send several requests at once, and read until httpd closes: their threads set their
# server records in parallel.
sub http2 ($port, $how) {
    return scalar idle_client('127.0.0.1', $port, join '', http2_begin(),
        map { http2_get(1 + 2 * $_, 'a.test', '/page', 'x-server' => $how) }
            0 .. 9);
}

sub counted ($httpd, $name) {
    my $closes = $httpd->vhost_json($name)->{closes};
    return $closes->{by_server} + $closes->{by_peer};
}

sub counts ($httpd, $how, $what, $code) {
    my $name  = $COUNTED{$how};
    my $other = $name eq 'a' ? 'first' : 'a';
    my %before = map { $_ => counted($httpd, $_) } $name, $other;
    my @clients = map { $code->() } 1 .. $TIMES;
    eventually { counted($httpd, $name) - $before{$name} == $TIMES }
        "$how, $what: $TIMES connections are counted for $name";
    is counted($httpd, $other), $before{$other},
        "$how, $what: no connection is counted for $other";
}

for_each_mpm {
    my $mpm   = shift;
    my $httpd = start($mpm);
    $httpd->announce(qr/mpm_prefork|prefork\.c/) if $mpm eq 'prefork';
    my $port  = $httpd->port('PORT2');
    for my $how (sort keys %COUNTED) {
        counts($httpd, $how, 'Connection: close',
               sub { http1($port, $how, 'Connection: close') });
        counts($httpd, $how, 'idle', sub { http1($port, $how) })
            if $mpm ne 'prefork';
        next if $mpm eq 'prefork';
        counts($httpd, $how, 'HTTP/2', sub { http2($port, $how) });
    }
    unlike $httpd->log, qr/exit signal/, 'no child crashes';
    $httpd->stop;
};

done_testing;
