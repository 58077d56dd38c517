# Each directive: accepted and refused values, error messages, warnings. Refused
# values are in a file of their own, where the directive is in line 3.

use v5.36;
use Test::More;
use File::Temp ();
use FinWait2Test;

my $DIR = File::Temp->newdir;

# The allowed values in an error message, after `Allowed: ` or `takes one argument, `.
my %ALLOWED = (
    FinWait2Engine           => qr/On .*Off/,
    FinWait2Timeout          => qr/system .*none, 1s to 60s, or 120s/,
    FinWait2SocketLinger     => qr/off .*reset, or 1s to 1h/,
    FinWait2KeepAliveTimeout => qr/inherit .*0 to 24h in ms, s, min or h/,
    FinWait2KeepAliveAdvertise =>
        qr/inherit .*off, or 1s to 24h in whole seconds/,
    FinWait2Status           => qr/On, or Off/,
    FinWait2StatusPeers      => qr/On, or Off/,
    FinWait2Sample           => qr/Off, or .*1s to 1h/,
);
my @ALL   = sort keys %ALLOWED;
my @TIMES = grep { /Timeout|Linger|Sample|Advertise/ } @ALL;

my %GOOD = (
    FinWait2Engine       => [qw(On off ON oFF)],
    FinWait2Timeout      => [qw(system SYSTEM none None 1 1s 1000ms 3 007 59s
                                60 60s 1min 60000ms 120 120s 2min 120000ms)],
    FinWait2SocketLinger => [qw(off OFF reset Reset 1 1s 1000ms 5min 3600 3600s
                                60min 1h)],
    FinWait2KeepAliveTimeout =>
        [qw(inherit Inherit 0 0ms 0s 1ms 1500ms 5 5s 2min 1h 24h 1440min 86400
            86400000ms)],
    FinWait2KeepAliveAdvertise =>
        [qw(inherit Inherit off OFF 1 1s 1000ms 5 5s 2min 1h 24h 86400
            86400000ms)],
    FinWait2Status       => [qw(On off ON oFF)],
    FinWait2StatusPeers  => [qw(On off ON oFF)],
    FinWait2Sample       => [qw(Off OFF off 1 1s 1000ms 1500ms 5s 90 1min 60min
                                3600 3600s 1h)],
);

my $UNIT    = qr/no such unit of time/;
my $NO_TIME = qr/neither one of its words nor a time/;
my $RANGE   = qr/out of range/;
my $WHOLE   = qr/whole seconds/;
my $TWICE   = qr/twice what is above 60 s/;
my $TOO_FAR = qr/the number is too large|out of range/;

# Values that every directive with a time refuses. The long numbers overflow to a
# good value in a multiplication of 64 bits or a cast to 32 bits.
my %BAD_TIME = (
    qr/cannot be negative/ => [qw(-1 -1s -0 -99999999999999999999)],
    qr/no fraction/        => ['1.5s', '1,5', '1.5', '1.0s', '0.5min'],
    $UNIT    => ['2shoes', '5m', '5mi', '5mins', '5sec', '5ss', '5d', '5us',
                 '5 s', '5-', '0x5', '1e1', "5s\t", "5s\e[31m", "5\x01", '5s5'],
    $NO_TIME => ['soon', 'infinite', 's', 'ms', '+5', ' 5', '.5s', '-', '-s',
                 "\x{7f}5", "\e]0;x\a", 'systemd', 'nones', 'offs', 'in',
                 "\xd9\xa3", '%s%n'],
    $TOO_FAR => [qw(99999999999999999999 18446744073709551619 4294967299h
                    9223372036854775807 9223372036854775807h
                    288230376151711747 2305843009213696952ms
                    72057594037927937min 18014398509481985h)],
);

my %BAD = (
    FinWait2Timeout => {
        $RANGE => [qw(0 0s 0ms 0h 121 121s 121000ms 3min 1h 4294967297)],
        $TWICE => [qw(61 61s 90 119 119s 61000ms 119000ms)],
        $WHOLE => [qw(1ms 999ms 1500ms 60500ms 119999ms 120001ms)],
        $NO_TIME => [qw(off reset inherit On)],
    },
    FinWait2SocketLinger => {
        $RANGE   => [qw(0 0s 0ms 3601 3601s 61min 2h 3601000ms 4294967297)],
        $WHOLE   => [qw(1ms 999ms 1500ms 3600001ms)],
        $NO_TIME => [qw(system none inherit On)],
    },
    FinWait2KeepAliveTimeout => {
        $RANGE   => [qw(86401 86401s 1441min 25h 86400001ms 4294967297)],
        $NO_TIME => [qw(system none off On)],
    },
    FinWait2KeepAliveAdvertise => {
        $RANGE   => [qw(0 0s 0ms 86401 86401s 1441min 25h 4294967297)],
        $WHOLE   => [qw(1ms 999ms 1500ms 86400001ms)],
        $NO_TIME => [qw(system none On)],
    },
    FinWait2Sample => {
        $RANGE   => [qw(0 0s 0ms 1ms 999ms 3601 3601s 61min 2h 3600001ms
                        4294967297)],
        $NO_TIME => [qw(system none inherit On auto)],
    },
    map({ $_ => { qr/none of its words/ =>
                  ['1', '0', 'yes', 'true', 'system', 'Onn', "On\x01", '-'] } }
        qw(FinWait2Engine FinWait2Status FinWait2StatusPeers)),
);

# The other directives are allowed in sections: see t/21-sections.t.
my @SERVER_ONLY = grep { !/^FinWait2(?:Timeout|SocketLinger)$/ } @ALL;
my @NOT_HERE = (
    ['<Directory "/">', '</Directory>', @SERVER_ONLY],
    ['<Location "/">',  '</Location>',  @SERVER_ONLY],
    ['<Files "x">',     '</Files>',     @SERVER_ONLY],
    ['<If "true">',     '</If>',        @SERVER_ONLY],
    ['<VirtualHost *>', '</VirtualHost>',
     qw(FinWait2Status FinWait2StatusPeers FinWait2Sample)],
);

sub quoted ($arg) { qq("$arg") }

# Run `httpd -t` on a file with this text: (exit status, output without its path).
sub check_file ($text) {
    spew("$DIR/t.conf", $text);
    my ($status, $output) = config_check("Include $DIR/t.conf");
    return ($status, $output =~ s/\Q$DIR\E/DIR/gr);
}

# Return undef if line 3 is refused with the right error, else the fault.
sub wrong_refusal ($text, @patterns) {
    my ($status, $output) = check_file($text);
    return "accepted: $output" if !$status;
    my @missing = grep { $output !~ $_ } qr{line 3 of DIR/t\.conf:}, @patterns;
    push @missing,
        'a text without control characters' if $output =~ /[^\n\x20-\x7e]/;
    return @missing ? "@missing is missing in: $output" : undef;
}

sub refused ($directive, $arg, $why) {
    # httpd escapes control characters as \x01 or \t.
    my $found = join '', map { /[ -~]/ ? quotemeta : '\\\\+\w+' } split //, $arg;
    my $wrong = wrong_refusal("\n\n$directive " . quoted($arg) . "\n",
        qr/^\Q$directive\E cannot be '$found': /m, $why,
        qr/Allowed: $ALLOWED{$directive}/);
    my $shown = $arg =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;
    ok !$wrong, "$directive '$shown'" or diag $wrong;
}

# Stop httpd without open connections: the event MPM may crash if it stops while a
# connection ends, also without this module.
sub stop ($httpd) {
    $httpd->await_closed;
    $httpd->stop;
}

for my $directive (@ALL) {
    subtest "$directive accepts good values" => sub {
        for my $arg (@{ $GOOD{$directive} }) {
            for my $line ("$directive $arg", "\U$directive\E " . quoted($arg)) {
                my ($status, $output) = check_file("$line\n");
                is $status, 0, $line or diag $output;
            }
        }
        my @lines = map { "$directive $_\n" } @{ $GOOD{$directive} };
        my ($status, $output) = check_file($directive =~ /Status|Sample/
            ? "@lines" : "<VirtualHost *:1>\n@lines</VirtualHost>\n");
        is $status, 0,
            'one server may repeat the directive with all values' or diag $output;
    };
    subtest "$directive refuses bad values" => sub {
        my @tables = $BAD{$directive};
        push @tables, \%BAD_TIME if grep { $_ eq $directive } @TIMES;
        for my $table (@tables) {
            for my $why (sort keys %$table) {
                refused($directive, $_, $why) for @{ $table->{$why} };
            }
        }
        for my $args ('', '""', 'On On', '1s 2s') {
            my $wrong = wrong_refusal("\n\n$directive $args\n",
                qr/^$directive takes one argument, $ALLOWED{$directive}/m);
            ok !$wrong,
                "$directive $args: one argument is required" or diag $wrong;
        }
        my ($good) = @{ $GOOD{$directive} };
        ok !wrong_refusal("\n$directive $good\n$directive 2shoes\n"
                        . "$directive $good\n"),
                            'one bad line among good lines is refused';
    };
}

subtest 'directives are refused outside of their context' => sub {
    for my $case (@NOT_HERE) {
        my ($open, $close, @directives) = @$case;
        my ($section) = $open =~ /(<\w+)/;
        for my $directive (@directives) {
            my $wrong = wrong_refusal(
                "\n$open\n$directive $GOOD{$directive}[0]\n$close\n",
                qr/^$directive (?:not allowed|cannot occur)\b.* $section>/m);
            ok !$wrong, "$directive in $open is refused" or diag $wrong;
        }
    }
};

for_each_mpm {
    my $mpm   = shift;
    my $httpd = FinWait2Test->start(mpm => $mpm, conf => <<'END');
<Directory "@ROOT@/htdocs">
    AllowOverride All
</Directory>
FinWait2Status Off
FinWait2Status On
END
    is $httpd->get('/finwait-status')->{status}, 200,
        'the last FinWait2Status counts';
    for my $directive (@ALL) {
        my $dir = $httpd->root . "/htdocs/$directive";
        mkdir $dir or die "$dir: $!";
        spew("$dir/.htaccess", "$directive $GOOD{$directive}[0]\n");
        is $httpd->get("/$directive/")->{status}, 500,
            "$directive in an .htaccess is refused";
        $httpd->announce(qr{/$directive/\.htaccess: $directive not allowed});
    }
    $httpd->graceful("FinWait2Status On\nFinWait2Status Off\n");
    is $httpd->get('/finwait-status')->{status}, 404,
        'the last FinWait2Status counts after a restart, too';
    $httpd->announce(qr/\[finwait2:\w+\].*FinWait2Status/);
    stop($httpd);
};

#---- warnings at start -------------------------------------------------------

my $TRUNCATES = qr/FinWait2SocketLinger.*truncated responses/;
my $BLOCKS    = qr/FinWait2SocketLinger.*close\(\) blocks/;
my $PROMISES  = qr/FinWait2KeepAliveAdvertise of .* promises/;

# [name, configuration, pattern of a warning => number of its lines]
my @WARNINGS = (
    ['the default value', "FinWait2SocketLinger off\n"],
    ['reset, inherited by two virtual hosts', <<'END', $TRUNCATES => 1],
FinWait2SocketLinger reset
<VirtualHost *:1>
    ServerName a.test
</VirtualHost>
<VirtualHost *:1>
    ServerName b.test
</VirtualHost>
END
    ['seconds, inherited, and switched off again', <<'END', $BLOCKS => 1],
FinWait2SocketLinger 7s
<VirtualHost *:1>
    ServerName a.test
    FinWait2SocketLinger off
</VirtualHost>
<VirtualHost *:1>
    ServerName b.test
</VirtualHost>
END
    ['a value in each of two virtual hosts', <<'END',
FinWait2SocketLinger off
<VirtualHost *:1>
    ServerName a.test
    FinWait2SocketLinger reset
</VirtualHost>
<VirtualHost *:1>
    ServerName b.test
    FinWait2SocketLinger 1h
</VirtualHost>
<VirtualHost *:1>
    ServerName c.test
</VirtualHost>
END
     qr/$TRUNCATES/ => 1, qr/$BLOCKS/ => 1,
     qr/virtual host a\.test: .*truncated/ => 1,
     qr/virtual host b\.test: .*blocks/    => 1],
    ['a promise that is not shorter, inherited by two virtual hosts',
     <<'END', qr/$PROMISES 5000 ms.* after 5000 ms/ => 1],
FinWait2KeepAliveAdvertise 5s
<VirtualHost *:1>
    ServerName a.test
</VirtualHost>
<VirtualHost *:1>
    ServerName b.test
</VirtualHost>
END
    ['named virtual hosts with six kinds of promises', <<'END',
<VirtualHost *:1>
    ServerName first.test
    FinWait2KeepAliveTimeout 1500ms
    FinWait2KeepAliveAdvertise 2s
</VirtualHost>
<VirtualHost *:1>
    ServerName same.test
    FinWait2KeepAliveAdvertise 6s
</VirtualHost>
<VirtualHost *:1>
    ServerName own.test
    FinWait2KeepAliveTimeout 7s
    FinWait2KeepAliveAdvertise 5s
</VirtualHost>
<VirtualHost *:1>
    ServerName off.test
    FinWait2KeepAliveAdvertise off
</VirtualHost>
<VirtualHost *:1>
    ServerName engine.test
    FinWait2Engine Off
    FinWait2KeepAliveAdvertise 60s
</VirtualHost>
<VirtualHost *:1>
    ServerName none.test
    KeepAlive Off
    FinWait2KeepAliveAdvertise 60s
</VirtualHost>
END
     $PROMISES => 2,
     qr/virtual host first\.test promises 2000 ms.* after 1500 ms/ => 1,
     qr/virtual host same\.test promises 6000 ms.* after 5000 ms/  => 1],
);

# Return the number of lines at warn or above that match.
sub warnings_in ($httpd, $pattern) {
    return scalar grep { /:(?:warn|error|crit|alert|emerg)\]/ && /$pattern/ }
        split /\n/, $httpd->log;
}

sub warns ($mpm, $what, $conf, %expected) {
    my $httpd = FinWait2Test->start(mpm => $mpm, conf => $conf);
    for my $pattern (sort keys %expected) {
        $httpd->announce(qr/$pattern/) if $expected{$pattern};
        is warnings_in($httpd, $pattern), $expected{$pattern},
            "$what: $expected{$pattern} warnings match $pattern";
    }
    stop($httpd);    # fails on any other warning
}

for_each_mpm {
    my $mpm = shift;
    warns($mpm, @$_) for @WARNINGS;
};

subtest 'a tcp_fin_timeout above 60 s is a warning' => sub {
    my ($side) = netns_pair() or plan skip_all =>
        'only root has network namespaces, and their tcp_fin_timeout';
    for my $case ([60, 0], [61, 1], [90, 1], [119, 1], [120, 0],
                  [90, 0, 'FinWait2Timeout 3s'],
                  [90, 1, "FinWait2Timeout 3s\n<VirtualHost *:1>\n"
                        . "FinWait2Timeout system\n</VirtualHost>"],
                  [90, 1, "FinWait2Timeout 3s\nFinWait2Engine Off"]) {
        my ($seconds, $times, $conf) = (@$case, '');
        system("ip netns exec $side->{name} "
             . "sysctl -qw net.ipv4.tcp_fin_timeout=$seconds") == 0
            or die 'sysctl failed';
        my $twice = 2 * ($seconds - 60);
        in_netns($side->{name}, sub {
            warns('event', "tcp_fin_timeout $seconds, $conf", $conf,
                  qr/tcp_fin_timeout is $seconds s.* $twice s/ => $times);
        });
    }
};

done_testing;
