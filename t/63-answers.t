# TLS clients that send close_notify shortly after their kernel has acknowledged the
# server's FIN get no more resets than from httpd without the module. The kernel
# counts the resets, in the test's own network namespace.

use v5.36;
use Test::More;
use FinWait2Test;
use IO::Socket::SSL ();

$> == 0 or plan skip_all => 'only root has a network namespace';

my $TRIES  = 5;
my $ROUNDS = 20;    # clients on a busy machine are late in some rounds
my $TLS    = "SSLEngine On\nSSLCertificateFile \@CERT\@\n"
           . "SSLCertificateKeyFile \@KEY\@\n";

my $CLOSE = "GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

sub resets () {
    my ($names, $values) = slurp('/proc/net/snmp') =~ /^Tcp: (.*)\nTcp: (.*)/m;
    my %n;
    @n{ split ' ', $names } = split ' ', $values;
    return $n{OutRsts};
}

sub connected ($port) {
    return IO::Socket::SSL->new(PeerHost => '127.0.0.1', PeerPort => $port,
                                SSL_verify_mode => 0, Timeout => 20)
        // die "TLS: $IO::Socket::SSL::SSL_ERROR\n";
}

sub read_to_close_notify ($socket) {
    1 while sysread $socket, my $text, 65536;
    Net::SSLeay::get_shutdown($socket->_get_ssl_object) & 2
        or die "no close_notify\n";
}

# Return the number of resets to clients that send close_notify, and then a FIN,
# after their kernels have acknowledged all data.
sub resets_at ($port) {
    my $before  = resets();
    my @sockets = map { connected($port) } 1 .. $TRIES;
    print $_ $CLOSE for @sockets;
    read_to_close_notify($_) for @sockets;
    wait_for { !ss_count(port => $port, state => 'fin-wait-1') } 60,
        'all to be acknowledged';
    Net::SSLeay::shutdown($_->_get_ssl_object) for @sockets;
    $_->close(SSL_no_shutdown => 1) for @sockets;
    wait_for { !ss_count(port => $port, state => 'fin-wait-2') } 60,
        'all to be closed';
    return resets() - $before;
}

for_each_mpm {
    my $mpm   = shift;
    my $httpd = FinWait2Test->start(mpm => $mpm,
        modules => [qw(ssl socache_shmcb)],
        listen  => ['127.0.0.1:@PORT@', map { "127.0.0.1:\@PORT$_\@" } 2, 3],
        conf    => vhost('PORT2', 'httpd', "${TLS}FinWait2Engine Off\n")
                 . vhost('PORT3', 'auto', $TLS));
    $httpd->document('page', 'y' x 1000);
    my $stock = resets_at($httpd->port('PORT2'));
    my ($least, $rounds) = ($TRIES * 2, 0);
    while ($least > $stock && $rounds++ < $ROUNDS) {
        my $drawn = resets_at($httpd->port('PORT3'));
        $least = $drawn if $drawn < $least;
    }
    cmp_ok $least, '<=', $stock,
        'clients get no more resets than from httpd without the module';
    note "round $rounds: $least, httpd $stock";
    $httpd->stop;
};

done_testing;
