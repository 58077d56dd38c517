# `make install` and `make uninstall` in each of the three layouts of httpd's
# configuration, with an apxs that names temporary folders.

use v5.36;
use Test::More;
use File::Path qw(make_path);
use File::Temp ();
use FinWait2Files;
use FinWait2Test;

my $APXS = $ENV{APXS} // 'apxs';
my ($HTTPD, $MODULES) = map { chomp(my $value = `$APXS -q $_`); $value }
    qw(PROGNAME LIBEXECDIR);
$HTTPD = `$APXS -q SBINDIR` =~ s/\n//r . "/$HTTPD";

# Make a folder with an apxs, an apachectl and an httpd.conf with the modules needed.
sub root ($includes) {
    my $dir = File::Temp->newdir;
    make_path("$dir/etc", "$dir/bin");
    my %at = (LIBEXECDIR => "$dir/modules", SYSCONFDIR => "$dir/etc",
              SBINDIR => "$dir/bin", PROGNAME => 'httpd');
    script("$dir/bin/apxs", 'case $2 in',
            map({ "$_) echo '$at{$_}';;" } sort keys %at), 'esac');
    script("$dir/bin/apachectl", "exec '$HTTPD' \"\$@\"");
    my $load = join '', map {
        "<IfModule !${_}_module>\nLoadModule ${_}_module $MODULES/mod_$_.so\n"
        . "</IfModule>\n"
    } qw(mpm_event unixd authz_core authz_host);
    spew("$dir/etc/httpd.conf",
         qq(ServerRoot "$dir"\nServerName localhost\nErrorLog error.log\n)
         . "Listen 127.0.0.1:1\n$load$includes");
    return $dir;
}

# Run conf/install as make does: (exit status, output).
sub run ($dir, $what, %environment) {
    local %ENV = (%ENV, APXS => "$dir/bin/apxs", DESTDIR => '',
                  MODULE => '.libs/mod_finwait2.so', %environment);
    my $output = `conf/install $what 2>&1`;
    return ($?, $output);
}

sub files ($dir) { sort map { s{^\Q$dir\E/}{}r } `find $dir/etc $dir/modules \\
    ! -type d ! -name httpd.conf 2>/dev/null` =~ /(.+)/g }

sub starts ($dir) {
    my $output = `$HTTPD -t -f $dir/etc/httpd.conf 2>&1`;
    return $output =~ /^Syntax OK$/m;
}

subtest 'Debian: links enable the module' => sub {
    my $dir = root("IncludeOptional etc/mods-enabled/*.load\n"
                 . "IncludeOptional etc/mods-enabled/*.conf\n");
    make_path("$dir/etc/mods-available", "$dir/etc/mods-enabled");
    my ($status, $output) = run($dir, 'install', LIBEXECDIR => "$dir/elsewhere");
    is $status, 0, 'make install succeeds' or diag $output;
    like $output, qr/^Installed\. Next: a2enmod finwait2,/,
        'the message names the next step';
    is_deeply [files($dir)], [map { "etc/mods-available/finwait2.$_" }
                              qw(conf load)],
                                  'only mods-available has new files';
    is slurp("$dir/etc/mods-available/finwait2.load"),
        "LoadModule finwait2_module $dir/elsewhere/mod_finwait2.so\n",
        'finwait2.load has the requested LIBEXECDIR';
    symlink "../mods-available/finwait2.$_", "$dir/etc/mods-enabled/finwait2.$_"
        for qw(load conf);
    ok starts($dir), 'httpd starts with it';
    ($status, $output) = run($dir, 'uninstall', LIBEXECDIR => "$dir/elsewhere");
    is $status, 0, 'make uninstall of an enabled module' or diag $output;
    is_deeply [files($dir), glob "$dir/elsewhere/*"], [],
        'make uninstall leaves no file';
    ok starts($dir), 'httpd starts without it';
    ($status, $output) = run($dir, 'uninstall', LIBEXECDIR => "$dir/elsewhere");
    is $status, 0, 'a second make uninstall succeeds';
    like $output, qr/^Nothing to remove: there is no \S+mod_finwait2\.so\.$/,
        'the message reports nothing to remove';
};

subtest 'Red Hat: httpd includes every file' => sub {
    my $dir = root("IncludeOptional etc.modules.d/*.conf\n"
                 . "IncludeOptional etc.d/*.conf\n");
    make_path("$dir/etc.modules.d");
    my ($status, $output) = run($dir, 'install');
    is $status, 0, 'make install succeeds' or diag $output;
    ok -e "$dir/etc.$_", "make install writes conf.$_"
        for qw(modules.d/10-finwait2.conf d/finwait2.conf);
    ok starts($dir), 'httpd starts with it';
    spew("$dir/etc.d/finwait2.conf", "# mine\n");
    ($status, $output) = run($dir, 'uninstall');
    is $status, 0, 'make uninstall succeeds' or diag $output;
    like $output, qr/finwait2\.conf has been changed and stays\./,
        'the message reports that the changed file stays';
    ok -e "$dir/etc.d/finwait2.conf", 'the changed file stays';
    ok !-e "$dir/etc.modules.d/10-finwait2.conf",
        'the file that loads the module is removed';
    ok starts($dir), 'httpd starts without it';
};

subtest 'httpd\'s own layout: httpd.conf includes each file' => sub {
    my $dir = root('');
    my ($status, $output) = run($dir, 'install');
    is $status, 0, 'make install succeeds' or diag $output;
    my $lines = join '', $output =~ /^(Include .*\n)/mg;
    my $conf  = slurp("$dir/etc/httpd.conf");
    spew("$dir/etc/httpd.conf", $conf . $lines);
    ok $lines && starts($dir),
        'httpd starts with the lines that make install prints';
    ($status, $output) = run($dir, 'uninstall');
    isnt $status, 0, 'make uninstall fails while httpd.conf has those lines';
    like $output, qr/nothing was removed, for httpd would not start any more/,
        'the message has the reason';
    ok starts($dir), 'httpd still starts after a refused uninstall';
    spew("$dir/etc/httpd.conf", $conf);
    ($status, $output) = run($dir, 'uninstall');
    is $status, 0, 'make uninstall without those lines' or diag $output;
    is_deeply [files($dir)], [], 'make uninstall leaves no file';
};

# A fake dpkg claims the file.
subtest 'make uninstall keeps a file of a package' => sub {
    my $dir = root('');
    is((run($dir, 'install'))[0], 0, 'make install succeeds');
    my @before = files($dir);
    script("$dir/bin/dpkg", 'echo "libapache2-mod-finwait2: $2"');
    my ($status, $output) = run($dir, 'uninstall',
                              PATH => "$dir/bin:$ENV{PATH}");
    isnt $status, 0, 'make uninstall fails';
    like $output, qr/belongs to the package libapache2-mod-finwait2: remove that/,
        'the message names the package';
    is_deeply [files($dir)], \@before, 'a refused uninstall removes no file';
};

subtest 'DESTDIR prefixes all files' => sub {
    my $dir = root('');
    make_path("$dir/to$dir/etc/mods-available");
    my ($status, $output) = run($dir, 'install', DESTDIR => "$dir/to");
    is $status, 0, 'make install succeeds' or diag $output;
    is_deeply [files($dir)], [], 'no file is written outside of DESTDIR';
    is slurp("$dir/to$dir/etc/mods-available/finwait2.load"),
        "LoadModule finwait2_module $dir/modules/mod_finwait2.so\n",
        'finwait2.load has the final path of the module';
    is((run($dir, 'uninstall', DESTDIR => "$dir/to"))[0], 0, 'make uninstall');
    is `find $dir/to ! -type d`, '', 'make uninstall leaves no file in DESTDIR';
};

done_testing;
