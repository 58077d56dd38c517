# FinWait2KeepAliveTimeout: some idle connections end while others stay. Requests
# with a long time are sent first and one with a short time last: when the last
# short time is over, every other short time is over, too.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;

my $PATIENT = 30;    # seconds: far more than a short time, far less than a long
my $LONG    = 90;    # seconds, as the header Keep-Alive shows
my %ROOM    = (prefork => "ServerLimit 64\nStartServers 30\n"
                        . "MaxSpareServers 64\nMaxRequestWorkers 64\n");
my @PORTS   = qw(PORT PORT2 PORT3 PORT4 PORT5 PORT6);
my $THREADS = "ServerLimit 8\nStartServers 5\nMaxSpareThreads 64\n"
            . "MaxRequestWorkers 64\n";

# Return the response, which must have the host's name as its body.
sub ask ($socket, $host) {
    $socket->syswrite("GET / HTTP/1.1\r\nHost: $host\r\n"
                    . "Connection: keep-alive\r\n\r\n");
    my $text = '';
    while ($text !~ /\r\n\r\n\Q$host\E$/) {
        $socket->sysread($text, 65536, length $text) or return "nothing: $text";
    }
    return $text;
}

my $SHORT_TIME   = 'FinWait2KeepAliveTimeout 300ms';
my $LONG_TIME    = "FinWait2KeepAliveTimeout ${LONG}s";
my $SHORT_HTTPDS = 'KeepAliveTimeout 300ms';
my $INHERIT      = 'FinWait2KeepAliveTimeout inherit';

# The main server has only KeepAliveTimeout, or overrules it.
my $PLAIN = "KeepAliveTimeout 60\nErrorDocument 404 main\n"
    . named_vhosts('PORT2', ['a.test', $SHORT_TIME])
    . named_vhosts('PORT3', ['a.test', $SHORT_HTTPDS, $LONG_TIME])
    . named_vhosts('PORT4', ['first.test', $SHORT_TIME],
                            ['plain.test'],
                            ['inherit.test', $INHERIT],
                            ['httpds.test',  $SHORT_HTTPDS, $INHERIT],
                            ['own.test',     'KeepAliveTimeout 70'],
                            ['long.test',    $LONG_TIME],
                            ['off.test',     $SHORT_TIME, 'FinWait2Engine Off'],
                            ['twice.test',   $LONG_TIME, $SHORT_TIME],
                            ['units.test',   'FinWait2KeepAliveTimeout 2min'],
                            ['zero.test',    'FinWait2KeepAliveTimeout 0'])
    . named_vhosts('PORT5', ['first.test', $SHORT_HTTPDS, $LONG_TIME],
                            ['plain.test'])
    . named_vhosts('PORT6', ['first.test', 'FinWait2KeepAliveTimeout 0'],
                            ['plain.test']);
my $OVERRULED = "$SHORT_HTTPDS\n$LONG_TIME\nErrorDocument 404 main\n"
    . named_vhosts('PORT2', ['a.test'])
    . named_vhosts('PORT3', ['a.test', $INHERIT])
    . named_vhosts('PORT4', ['a.test', $SHORT_HTTPDS])
    . named_vhosts('PORT5', ['first.test', $INHERIT], ['plain.test']);

# [name, port, the hosts of the requests on one connection, the result]. Results:
# 'ends', 'closes' with the response, or the number of seconds that the connection
# stays. The last row has a short time, which ends after the other short times.
my %TABLE = (
    plain => [
        ['no directive',                       'PORT',  'main',         60],
        ['by address, longer than httpd\'s',   'PORT3', 'a.test',       $LONG],
        ['by name, the first does not leak',   'PORT4', 'plain.test',   60],
        ['the first does not leak to inherit', 'PORT4', 'inherit.test', 60],
        ['the first does not leak to another', 'PORT4', 'own.test',     70],
        ['by name, longer',                    'PORT4', 'long.test',    $LONG],
        ['by name, another unit',              'PORT4', 'units.test',   120],
        ['by name, Engine Off',                'PORT4', 'off.test',     60],
        ['0 does not leak',                    'PORT6', 'plain.test',   60],
        ['short, then long', 'PORT4', 'first.test long.test',           $LONG],
        ['short, then httpd\'s', 'PORT4', 'first.test plain.test',      60],
        ['0, by address',                      'PORT6', 'first.test', 'closes'],
        ['0, by name',                         'PORT4', 'zero.test',  'closes'],
        ['by address',                         'PORT2', 'a.test',     'ends'],
        ['by name, the first',                 'PORT4', 'first.test', 'ends'],
        ['by name, httpd\'s own',              'PORT4', 'httpds.test', 'ends'],
        ['inherited from the first virtual host', 'PORT5', 'plain.test', 'ends'],
        ['long, then short', 'PORT4', 'long.test first.test',         'ends'],
        ['by name, the last line wins',        'PORT4', 'twice.test', 'ends'],
    ],
    overruled => [
        ['the main server\'s own',             'PORT',  'main',       $LONG],
        ['inherited',                          'PORT2', 'a.test',     $LONG],
        ['inherited, over httpd\'s own',       'PORT4', 'a.test',     $LONG],
        ['by name, inherited',                 'PORT5', 'plain.test', $LONG],
        ['by name, not inherited',             'PORT5', 'first.test', 'ends'],
        ['not inherited',                      'PORT3', 'a.test',     'ends'],
    ],
);

sub visit ($httpd, $row) {
    my ($what, $port, $hosts, $worth) = @$row;
    my $visit = { what => "$what: $hosts", worth => $worth,
                  socket => connect_to($httpd->port($port)) };
    for my $host (split ' ', $hosts) {
        $visit->{host}   = $host;
        $visit->{answer} = ask($visit->{socket}, $host);
    }
    return $visit;
}

sub judge ($visit) {
    my ($worth, $what, $answer) = @$visit{qw(worth what answer)};
    if ($worth eq 'closes') {
        like $answer, qr/^Connection: close\r$/m,
            "$what: the response has Connection: close";
    }
    elsif ($worth eq 'ends') {
        like $answer, qr/^Connection: Keep-Alive\r$/m,
            "$what: the connection is kept alive";
    }
    else {
        like $answer, qr/^Keep-Alive: timeout=$worth,/m,
            "$what: the response promises $worth s";
        like ask($visit->{socket}, $visit->{host}), qr/^HTTP\/1.1 404/,
            "$what: a second request is answered";
    }
}

# Stop httpd without open connections: the event MPM may crash if it stops while a
# connection ends, also without this module.
sub stop ($httpd) {
    $httpd->await_closed(@PORTS);
    $httpd->stop;
}

sub check ($mpm, $conf, $table) {
    my $httpd = FinWait2Test->start(
        mpm => $mpm, page => 0, conf => $conf . ($ROOM{$mpm} // $THREADS),
        listen => [map { "127.0.0.1:\@$_\@" } @PORTS]);
    my @visits  = map { visit($httpd, $_) } @$table;
    my @waiting = grep { $_->{worth} =~ /^(?:ends|closes)$/ } @visits;
    eval {
        wait_for {
            @waiting = grep { !has_ended($_->{socket}) } @waiting;
            return !@waiting;
        } $PATIENT, 'the short ones to end';
    };
    is join(', ', map { $_->{what} } @waiting), '',
        'all connections with a short time have ended';
    judge($_) for @visits;
    $_->{socket}->close for @visits;
    stop($httpd);
}

for_each_mpm {
    my $mpm = shift;
    check($mpm, $PLAIN,     $TABLE{plain});
    check($mpm, $OVERRULED, $TABLE{overruled});
};

done_testing;
