# Modules for mass virtual hosting give a request a server of its own, which is
# gone with the request. The connection ends later: it uses nothing of that
# server's, and is counted for the virtual host that the server was copied from,
# or else for the address's.

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

# The values of a request's header X-Server, which the test module obeys, and
# where its connection is counted. A server that is made late has been named
# before.
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

# Several requests at once, and until httpd closes: their threads note their
# servers beside each other.
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
        "$how, $what: $TIMES are counted for $name";
    is counted($httpd, $other), $before{$other}, "$how, $what: none elsewhere";
}

for_each_mpm {
    my $mpm   = shift;
    my $httpd = start($mpm);
    $httpd->announce(qr/mpm_prefork|prefork\.c/) if $mpm eq 'prefork';
    my $port  = $httpd->port('PORT2');
    for my $how (sort keys %COUNTED) {
        counts($httpd, $how, 'closed at once',
               sub { http1($port, $how, 'Connection: close') });
        counts($httpd, $how, 'idle', sub { http1($port, $how) })
            if $mpm ne 'prefork';
        next if $mpm eq 'prefork';
        counts($httpd, $how, 'HTTP/2', sub { http2($port, $how) });
    }
    unlike $httpd->log, qr/exit signal/, 'no child has crashed';
    $httpd->stop;
};

done_testing;
