# mod_proxy_fdpass passes the accepted socket to another process, which sends the
# response, and leaves httpd a dummy socket to close. The module sets no option on
# the passed socket, and the response is complete.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use File::Path     qw(make_path);
use IPC::Open2     qw(open2);

my $SYSTEM   = slurp('/proc/sys/net/ipv4/tcp_fin_timeout') + 0;
my $RECEIVER = program('receiver');

plan skip_all => 'this httpd has no mod_proxy_fdpass'
    if (config_check('', modules => [qw(proxy proxy_fdpass)]))[0];

# The path of the socket is ServerRoot, then `sockets`, then the requested file.
my $CONF = <<'END';
FinWait2UserTimeout 300ms
<Location "/answer">
    SetHandler "proxy:fd://sockets"
</Location>
END

# Return the descriptors of a socket in all processes of httpd.
sub descriptors_of ($httpd, $inode) {
    return grep { (readlink($_) // '') eq "socket:[$inode]" }
        map { glob "/proc/$_/fd/*" } $httpd->left;
}

sub body_of ($client) {
    my $text = '';
    1 while $client->sysread($text, 65536, length $text);
    return (split /\r\n\r\n/, $text, 2)[1] // '';
}

for_each_mpm {
    my $mpm   = shift;
    my $httpd = FinWait2Test->start(mpm => $mpm, conf => $CONF,
                                    modules => [qw(proxy proxy_fdpass)]);
    my $folder = $httpd->root . '/sockets' . $httpd->root . '/htdocs';
    make_path($folder);
    my $pid = open2(my $from, my $to, $RECEIVER, "$folder/answer");
    is scalar <$from>, "listens\n", 'the other process listens';
    my $client = connect_to($httpd->port);
    $client->syswrite("GET /answer HTTP/1.1\r\nHost: a\r\n\r\n");
    my ($inode) = (<$from> // '') =~ /^got (\d+)/;
    ok $inode, 'the other process gets the connection' or diag $httpd->log;
    eventually { !descriptors_of($httpd, $inode) }
        'httpd has closed its own descriptor';
    $to->syswrite("\n");
    my ($user_timeout, $linger2) = split ' ', <$from> // '';
    is $user_timeout, 0, 'no TCP_USER_TIMEOUT is set';
    is $linger2, $SYSTEM, 'no TCP_LINGER2 is set';
    is length body_of($client), 1_000_000, 'the response is complete';
    waitpid $pid, 0;
    is $?, 0, 'the other process exits without an error';
    $httpd->stop;
};

done_testing;
