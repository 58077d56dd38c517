# Debian's package: build, check, install beside a running httpd, use, upgrade,
# remove and purge it, in a temporary root: an overlay on the machine's root, with
# processes and a network of its own.

use v5.36;
use FinWait2Files;
use HTTP::Tiny ();
use JSON::PP qw(decode_json);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);

my $NAME = 'libapache2-mod-finwait2';
my $ROOM = 'build/private';    # a file system of its own, gone with the test

plan skip_all => 'only root may make an overlay' if $> != 0;
plan skip_all => 'no dpkg here: Debian\'s package is built on Debian alone'
    if !-x '/usr/bin/dpkg';

# Processes and mounts of this test's own. The first of the processes inherits
# the daemons, and waits for each; the second tests.
if (!$ENV{FINWAIT2_IN_PRIVATE}) {
    my @in_private = qw(unshare --mount --pid --fork --kill-child --mount-proc);
    plan skip_all => 'this machine gives root no mounts and processes of its own'
        if system(@in_private, 'true') != 0;
    local $ENV{FINWAIT2_IN_PRIVATE} = 1;
    exec @in_private, $^X, '-It/lib', $0;
}
my $tester = fork // die "fork: $!";
if ($tester) {
    while (wait != $tester) { }
    POSIX::_exit($? >> 8 || $? & 127);
}
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL CFLAGS LDFLAGS SANITIZE
               FINWAIT2_IN_PRIVATE)};
$ENV{DEBIAN_FRONTEND} = 'noninteractive';

# Return the output of a command that must succeed.
sub run ($command) {
    my $output = `($command) </dev/null 2>&1`;
    die "$command: status $?\n$output" if $?;
    return $output;
}

sub succeeds ($command, $name) {
    my $output = eval { run($command) };
    ok defined $output, $name or diag $@;
    return $output // '';
}

#---- the package -------------------------------------------------------------

my ($version) = slurp('src/base/version.h') =~ /FW2_VERSION "(.+)"/;
like slurp('debian/changelog'), qr/\A\S+ \(\Q$version\E-/,
    'debian/changelog has the version of the module';
my ($deb) = succeeds('make deb', 'make deb succeeds') =~ /^(build\/\S+\.deb)$/m;
die "no package was built\n" if !$deb;
succeeds("lintian --fail-on error,warning $deb",
         'lintian has neither an error nor a warning');

# The same package with an older version and another comment in its configuration.
run("mkdir -p $ROOM && mount -t tmpfs tmpfs $ROOM");
run("dpkg-deb -R $deb $ROOM/old");
run("sed -i 's/^Version: .*/Version: 0.9.9-1/' $ROOM/old/DEBIAN/control");
run("sed -i '1s/.*/# An older comment./' "
   . "$ROOM/old/etc/apache2/mods-available/finwait2.conf");
run("dpkg-deb -b $ROOM/old $ROOM/old.deb");

#---- the root ----------------------------------------------------------------

# Move all processes of the namespace into the overlay: invoke-rc.d does nothing in
# a chroot, or without a runlevel.
sub enter_root () {
    my $root = "$ROOM/root";
    run("mkdir $root $ROOM/upper $ROOM/work && mount -t overlay overlay $root "
       . "-o lowerdir=/,upperdir=$ROOM/upper,workdir=$ROOM/work");
    run("mount -t tmpfs tmpfs $root/$_") for 'run', 'tmp';
    run("mount -t proc proc $root/proc && mount --rbind /dev $root/dev");
    run("mkdir -m 1777 $root/run/lock");
    my $names = slurp('/etc/resolv.conf');
    unlink "$root/etc/resolv.conf";
    spew("$root/etc/resolv.conf", $names);
    run("cp $deb $root/tmp/new.deb && cp $ROOM/old.deb $root/tmp/");
    run("pivot_root $root $root/mnt");
    chdir '/' or die "chdir: $!";
    run('umount -l /mnt');
    script('/sbin/runlevel', 'echo N 2');
}

# Install Debian's httpd with its original configuration. apt needs the machine's
# network; services start only in the test's own network.
sub install_httpd () {
    my $policy = '/usr/sbin/policy-rc.d';
    script($policy, 'exit 101');
    unlink '/var/lib/man-db/auto-update';
    spew('/etc/dpkg/dpkg.cfg.d/fast', "force-unsafe-io\n");
    run("dpkg --purge --force-depends $NAME apache2");
    run('rm -rf /etc/apache2 /var/lib/apache2 /var/log/apache2');
    my $get = 'timeout 100 apt-get install -qq -y --no-install-recommends apache2';
    run("$get || { apt-get update -qq && $get; }");
    unlink $policy;
}

sub leave_network () {
    require 'syscall.ph';
    syscall(main::SYS_unshare(), 0x40000000) == 0 or die "unshare: $!";
    run('ip link set lo up');
}

my $why = eval { enter_root(); 1 } ? '' : "no overlay can be mounted here: $@";
$why ||= eval { install_httpd(); 1 } ? '' : "apt has no apache2 for it: $@";

#---- the tests---------------------------------------------------------------

sub get ($path) {
    return HTTP::Tiny->new(timeout => 60)->get("http://127.0.0.1$path");
}

sub serves ($when) {
    is get('/')->{status}, 200, "httpd serves $when";
}

sub page_works ($when) {
    my $answer = get('/finwait-status?json');
    my $page = eval { decode_json($answer->{content}) };
    is $page && $page->{server}{version}, $version, "the page answers $when"
        or diag explain $answer;
}

sub installed () {
    return `dpkg-query -W -f '\${Version} \${db:Status-Status}' $NAME 2>/dev/null`;
}

sub module_files () { return `find /etc /usr /var -xdev -iname '*finwait2*' 2>/dev/null` }

# Wait for the closer process, which ends after its httpd.
sub closer_ends () {
    for (1 .. 600) {
        return 1 if !grep { slurp($_) eq "finwait2\n" } glob '/proc/[0-9]*/comm';
        sleep 0.1;
    }
    return 0;
}

my $CONF = '/etc/apache2/mods-available/finwait2.conf';
SKIP: {
    skip $why =~ s/\n.*//sr, 1 if $why;
    leave_network();
    my $before = module_files();
    succeeds('invoke-rc.d apache2 start', 'httpd starts');
    serves('without the module');

    succeeds('dpkg -i /tmp/old.deb', 'an older package is installed');
    ok -l "/etc/apache2/mods-enabled/finwait2.$_", "finwait2.$_ is enabled"
        for 'load', 'conf';
    serves('with the module');
    page_works('after the installation');

    succeeds('dpkg -i /tmp/new.deb', 'the new package replaces the older one');
    is installed(), "$version-1 installed", 'dpkg has the new version';
    unlike slurp($CONF), qr/An older comment/,
        'an unchanged configuration is upgraded';
    page_works('after the upgrade');
    spew($CONF, slurp($CONF) . "# mine\n");
    succeeds('dpkg -i /tmp/new.deb', 'the same package is installed again');
    like slurp($CONF), qr/^# mine$/m, 'the changes of an administrator stay';

    succeeds("dpkg -r $NAME", 'the package is removed');
    serves('after the removal');
    is get('/finwait-status')->{status}, 404, 'the page is not found';
    ok !-e '/usr/lib/apache2/modules/mod_finwait2.so',
        'the file of the module is removed';
    ok closer_ends(), 'the closer process ends';

    succeeds("dpkg --purge $NAME", 'the package is purged');
    is module_files(), $before, 'a purge leaves no file';
    serves('after the purge');
    unlike slurp('/var/log/apache2/error.log'), qr/:(?:emerg|alert|crit|error)\]/,
        'the error log has no line at error or above';
    run('invoke-rc.d apache2 stop');
}

done_testing;
