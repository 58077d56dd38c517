# The RPM that `make rpm` builds for the httpd of APXS: its version and its files.

use v5.36;
use Test::More;
use FinWait2Test;

delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL CFLAGS LDFLAGS SANITIZE)};
my $APXS = $ENV{APXS} // 'apxs';
my ($modules, $etc) = map { `$APXS -q $_` =~ s/\n//r } qw(LIBEXECDIR SYSCONFDIR);
my ($version) = slurp('src/base/version.h') =~ /FW2_VERSION "(.+)"/;

my $output = `make rpm 2>&1`;
is $?, 0, 'make rpm succeeds' or diag $output;
my ($rpm) = $output =~ m{^(build/mod_finwait2-\Q$version\E-.*\.rpm)$}m;
ok $rpm, 'the package has the version of the module' or diag $output;
$rpm //= 'none';

my %has = map { $_ => 1 } `rpm -qlp $rpm` =~ /(.+)/g;
ok $has{"$modules/mod_finwait2.so"}, 'the package has the module';
is_deeply [`rpm -qcp $rpm` =~ /(.+)/g],
    ["$etc.d/finwait2.conf", "$etc.modules.d/10-finwait2.conf"],
    'the package marks its two files of configuration as such';

done_testing;
