# Directives in sections: the last request of a connection decides the options of
# its end, by httpd's rules for merging. Each section has a different
# FinWait2Timeout; the life of the orphan shows the section that counted.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use File::Path     qw(make_path);
use POSIX ();

my $PATIENT = 60;

my %GOOD = (
    FinWait2Linger       => 'always',  FinWait2LingerIdle  => '3s',
    FinWait2LingerTotal  => '20s',     FinWait2LingerBytes => '64K',
    FinWait2Timeout      => 'none',    FinWait2UserTimeout => '5s',
    FinWait2SocketLinger => 'off',
);
my %SERVER_ONLY = (
    FinWait2Engine           => 'Off', FinWait2LingerSlots => '100',
    FinWait2KeepAliveTimeout => '2s',  FinWait2Status      => 'On',
    FinWait2StatusPeers      => 'On',  FinWait2Sample      => '9s',
);
my @SECTIONS = map { [(/^<(\w+)/)[0], $_] }
    '<Location "/x">', '<LocationMatch "^/x">', '<Directory "/x">',
    '<DirectoryMatch "^/x">', '<Files "x">', '<FilesMatch "x">',
    '<If "true">', '<Proxy "http://x/">';

#---- allowed places ---------------------------------------------------------

sub check (@lines) {
    return config_check(join("\n", @lines, ''), modules => ['proxy']);
}

subtest 'seven directives may stand in any section' => sub {
    for my $section (@SECTIONS) {
        my ($name, $open) = @$section;
        my ($status, $output) = check($open, map({ "$_ $GOOD{$_}" }
                                               sort keys %GOOD), "</$name>");
        is $status, 0, $open or diag $output;
    }
    my @else = map { "FinWait2Timeout $_" } 1 .. 3;
    my ($status, $output) = check('<If "false">', $else[0], '</If>',
        '<ElseIf "false">', $else[1], '</ElseIf>', '<Else>', $else[2],
        '</Else>');
    is $status, 0, '<ElseIf> and <Else>' or diag $output;
};

subtest 'the other directives are refused in sections' => sub {
    for my $section (@SECTIONS) {
        my ($name, $open) = @$section;
        for my $directive (sort keys %SERVER_ONLY) {
            my ($status, $output) = check($open,
                "$directive $SERVER_ONLY{$directive}", "</$name>");
            isnt $status, 0, "$directive in $open";
            like $output, qr/$directive not allowed in <$name> context/,
                "$directive in $open: httpd names the context";
        }
    }
};

subtest 'a wrong value and a <Limit> are refused' => sub {
    my ($status, $output) = check('<Location "/x">', 'FinWait2Timeout 90s',
                                '</Location>');
    isnt $status, 0, '90s is refused';
    like $output, qr/FinWait2Timeout cannot be '90s'.*Allowed: system/,
        'the error names the value and the allowed values';
    ($status, $output) = check('<Location "/x">', '<Limit GET>',
        'FinWait2Timeout 9s', '</Limit>', '</Location>');
    isnt $status, 0, 'a <Limit> is refused';
    like $output, qr/FinWait2Timeout cannot occur within <Limit>/,
        'the error names <Limit>';
};

#---- the section that counts-----------------------------------------------------

# Timeouts are whole tens of seconds, so they stay distinct long after the close.
my $CONF = <<'END';
KeepAliveTimeout 300ms
FinWait2Timeout 50s
FinWait2Linger off
TypesConfig "/dev/null"
<If "%{HTTP_USER_AGENT} =~ m#^kube-probe/#">
    FinWait2Timeout none
</If>
<Location "/probe">
    FinWait2Timeout none
</Location>
<LocationMatch "^/m.tch">
    FinWait2Timeout 10s
</LocationMatch>
<Directory "@ROOT@/htdocs/dir">
    FinWait2Timeout 20s
    RewriteEngine On
    RewriteRule ^rewritten$ /file [L]
    <Files "inner">
        FinWait2Timeout 40s
    </Files>
</Directory>
<Files "file">
    FinWait2Timeout 30s
</Files>
<Location "/dir/over">
    FinWait2Timeout 10s
</Location>
<Location "/if">
    <If "%{HTTP:X-Case} == 'a'">
        FinWait2Timeout 10s
    </If>
    <ElseIf "%{HTTP:X-Case} == 'b'">
        FinWait2Timeout 20s
    </ElseIf>
    <Else>
        FinWait2Timeout 30s
    </Else>
</Location>
<Location "/twice">
    FinWait2Timeout 10s
    FinWait2Timeout 20s
    <If "true">
        FinWait2Timeout 30s
    </If>
    <If "true">
        FinWait2Timeout 40s
    </If>
</Location>
<Location "/text">
    FinWait2Timeout 10s
    ErrorDocument 404 "no"
</Location>
<Location "/document">
    FinWait2Timeout 10s
    ErrorDocument 404 /file
</Location>
<Location "/denied">
    FinWait2Timeout 20s
    Require all denied
</Location>
<Location "/page.html">
    SetOutputFilter INCLUDES
    Options +Includes
</Location>
<Proxy "http://127.0.0.1:@PORT@/">
    FinWait2Timeout 20s
</Proxy>
ProxyPass "/backend" "http://127.0.0.1:@PORT@/page"
<VirtualHost *:@PORT2@>
    ServerName a.test
    Protocols h2c http/1.1
</VirtualHost>
<VirtualHost *:@PORT2@>
    ServerName b.test
    Protocols h2c http/1.1
    FinWait2Timeout 40s
    <Location "/match">
        FinWait2Timeout 30s
    </Location>
</VirtualHost>
END

sub start ($mpm) {
    my $httpd = FinWait2Test->start(mpm => $mpm, conf => $CONF,
        listen  => ['127.0.0.1:@PORT@', '127.0.0.1:@PORT2@'],
        modules => [qw(mime dir include rewrite http2 proxy proxy_http)]);
    $httpd->announce(qr/mpm_prefork|prefork\.c/) if $mpm eq 'prefork';
    $httpd->announce(qr/authz_core:error.*denied/);
    mkdir $httpd->root . '/htdocs/dir';
    $httpd->document($_, 'y' x 100)
        for qw(page file dir/page dir/inner dir/index.html dir/over);
    $httpd->document('page.html', '<!--#include virtual="/file" -->');
    return $httpd;
}

sub request ($path, @lines) {
    my $host = @lines && $lines[0] =~ /^Host:/ ? shift @lines : 'Host: a.test';
    return join "\r\n", "GET $path HTTP/1.1", $host, @lines, '', '';
}

# Return the filter of ss for a connection.
sub ends_of ($socket) {
    return 'sport = :' . $socket->peerport . ' and dport = :'
         . $socket->sockport;
}

# Read until httpd closes; return the life of the server's end.
sub life_after ($socket) {
    my $ends = ends_of($socket);
    read_all($socket);
    return wait_for { life($ends) } $PATIENT, 'httpd to close';
}

# Return the life of the server's end as an orphan, rounded up to tens of seconds;
# 'none' if no socket is left; undef while httpd holds it.
sub life ($ends) {
    my $line = `ss -tanHo '$ends'`;
    return 'none' if $line eq '';
    my ($unit, $n) = ('', 0);
    $line =~ /timer:\(timewait,(?:(\d+)min)?(?:([\d.]+)(ms|sec))?/ or return;
    my $seconds = 60 * ($1 // 0) + ($2 // 0) / (($3 // '') eq 'ms' ? 1000 : 1);
    return 10 * POSIX::ceil($seconds / 10);
}

# Send the requests, each after the response to the previous one; return the life
# of the server's end.
sub ends ($port, @requests) {
    my $socket = connect_to($port);
    while (defined(my $request = shift @requests)) {
        $socket->syswrite($request);
        read_until($socket, qr/\r\n\r\n./s) if @requests;
    }
    return life_after($socket);
}

my @CASES = (
    ['no section'                         => 50, request('/page')],
    ['<Location>'                         => 'none', request('/probe')],
    ['<LocationMatch>'                    => 10, request('/match')],
    ['<Directory>'                        => 20, request('/dir/page')],
    ['<Files>'                            => 30, request('/file')],
    ['<Files> in <Directory>'             => 40, request('/dir/inner')],
    ['<Location> goes before <Directory>' => 10, request('/dir/over')],
    ['<If> by User-Agent'                 => 'none',
     request('/page', 'User-Agent: kube-probe/1.29')],
    ['<If> goes before <Location>'        => 'none',
     request('/match', 'User-Agent: kube-probe/1.29')],
    ['<If> in <Location>'                 => 10, request('/if', 'X-Case: a')],
    ['<ElseIf>'                           => 20, request('/if', 'X-Case: b')],
    ['<Else>'                             => 30, request('/if')],
    ['the last of contradicting lines'    => 40, request('/twice')],
    ['<Proxy>'                            => 20, request('/backend')],
    ['a virtual host overrides the server' => 40, request('/page', 'Host: b.test')],
    ['its <Location> overrides the server\'s' => 30,
     request('/match', 'Host: b.test')],
    ['a <Location> of the server overrides the virtual host' => 'none',
     request('/probe', 'Host: b.test')],
    ['the last of two requests'           => 50, request('/probe'),
     request('/page')],
    ['the last of two requests in reverse order' => 'none', request('/page'),
     request('/probe')],
    ['the last of requests to two virtual hosts' => 10, request('/match',
        'Host: b.test'),
     request('/match')],
    ['an error with httpd\'s own text'     => 10, request('/text')],
    ['an error document has its section'  => 30, request('/document')],
    ['a request that is denied'           => 20, request('/denied')],
    ['an internal redirect has its section' => 30, request('/dir/rewritten')],
    ['the index of a directory'           => 20, request('/dir/')],
    ['a subrequest does not count'        => 50, request('/page.html')],
    ['an invalid request'                 => 10, request('/match'),
     request('/page', 'no header')],
    ['an invalid request to another virtual host' => 40, request('/match'),
     request('/page', 'Host: b.test', 'Expect: odd')],
    ['no valid request'                   => 50,
     request('/match', 'no header')],
);

# Send the requests on one HTTP/2 connection, each after the previous response.
sub http2_ends ($port, @paths) {
    my $socket = connect_to($port);
    my $stream = 1;
    my $begin  = http2_begin();
    while (defined(my $path = shift @paths)) {
        $socket->syswrite($begin . http2_get($stream, 'a.test', $path));
        $begin = '';
        $stream += 2;
        read_until($socket, qr/y{100}|Not Found/) if @paths;
    }
    return life_after($socket);
}

subtest 'FinWait2Timeout follows the section of the last request' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = start($mpm);
        my $port  = $httpd->port('PORT2');
        for (@CASES) {
            my ($what, $expected, @requests) = @$_;
            is ends($port, @requests), $expected, $what;
        }
        # A busy machine may log a request only after the keep-alive time.
        eventually { http2_ends($port, '/match') == 10 }
            'HTTP/2: the section of one request';
        eventually { http2_ends($port, '/page', '/match') == 10 }
            'HTTP/2: the last of two requests';
        eventually { http2_ends($port, '/match', '/page') == 50 }
            'HTTP/2: the last of two requests in reverse order';
        $httpd->stop;
    };
};

#---- lingers of sections --------------------------------------------------------

# Only sections hand sockets off to the closer process.
my $LINGERS = <<'END';
FinWait2Linger httpd
FinWait2LingerIdle 100ms
<LocationMatch "^/(page|upload|bytes|total|watched)">
    FinWait2Linger always
</LocationMatch>
<LocationMatch "^/(upload|bytes|total|watched)">
    FinWait2LingerIdle 1h
    FinWait2LingerTotal 1h
</LocationMatch>
<Location "/acked">
    FinWait2Linger auto
</Location>
<Location "/bytes">
    FinWait2LingerBytes 1K
</Location>
<Location "/total">
    FinWait2LingerTotal 200ms
</Location>
<Location "/watched">
    FinWait2UserTimeout 300ms
</Location>
<Location "/reset">
    FinWait2Linger off
    FinWait2SocketLinger reset
</Location>
<VirtualHost *:@PORT2@>
    ServerName a.test
</VirtualHost>
END

my @CLOSE = ('Connection: close');

sub closed ($port, $path) {
    return scalar idle_client('127.0.0.1', $port, request($path, @CLOSE));
}

# Return a client that does not read its response, and the filter of its connection.
sub slow ($port, $path) {
    my $socket = connect_to($port, buffer => 4096);
    my $ends   = ends_of($socket);
    $socket->syswrite(request($path, @CLOSE));
    return ($socket, $ends);
}

sub ended ($httpd, %expected) {
    my ($what) = keys %expected;
    eventually { ($httpd->endings('a')->{$what} // 0) == $expected{$what} }
        "lingers ended by $what: $expected{$what}";
}

subtest 'lingers follow the section of the last request' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my $httpd = FinWait2Test->start(mpm => $mpm, conf => $LINGERS,
            listen => ['127.0.0.1:@PORT@', '127.0.0.1:@PORT2@']);
        $httpd->document($_, 'y' x 100_000) for qw(page watched reset);
        $httpd->announce(qr/SocketLinger in line \d+ of .*truncated responses/);
        my $port   = $httpd->port('PORT2');
        my $upload = closed($port, '/upload');
        my $idle   = closed($port, '/page');
        ended($httpd, silence => 1);
        is $httpd->vhost_json('a')->{held}, 1, '/upload is still held';
        my $long = closed($port, '/total');
        ended($httpd, total => 1);
        my $sends = closed($port, '/bytes');
        $sends->syswrite('x' x 5000);
        ended($httpd, bytes => 1);
        my $reads = closed($port, '/acked');
        ended($httpd, acked => 1);
        my ($watched) = slow($port, '/watched');
        ended($httpd, silence => 2);
        my ($reset, $ends) = slow($port, '/reset');
        eventually { (life($ends) // '') eq 'none' }
            '/reset is closed without a linger';
        1 while $reset->sysread(my $some, 65536);
        ok $!{ECONNRESET}, '/reset is truncated' or diag $!;
        is $httpd->vhost_json('a')->{held}, 1,
            '/upload is held until its client closes';
        $upload->close;
        ended($httpd, peer_closed => 1);
        $httpd->stop;
    };
};

# The times of a section may be longer than those of its server.
subtest 'the page predicts the end of the last held connection' => sub {
    my $shown = sub ($section) {
        my $httpd = FinWait2Test->start(mpm => 'event',
            listen => ['127.0.0.1:@PORT@', '127.0.0.1:@PORT2@'],
            conf   => "FinWait2Linger httpd\n"
                    . vhost('PORT2', 'a', "FinWait2Linger always\n"
                        . "FinWait2LingerIdle 1min\nFinWait2LingerTotal 2min\n"
                        . "FinWait2Timeout none\n"
                        . "<Location /held>\n$section</Location>\n"));
        $httpd->document('held', 'y');
        my $client = closed($httpd->port('PORT2'), '/held');
        eventually { $httpd->vhost_json('a')->{held} == 1 } 'one connection is held';
        my $page = $httpd->get('/finwait-status')->{content};
        $client->close;
        $httpd->stop;
        return $page;
    };
    like $shown->(''), qr/is gone in 120 s at the latest/,
        'the time of the server';
    like $shown->("FinWait2LingerTotal 5min\n"),
        qr/is gone in 300 s at the latest/, 'the longer time of a section';
    unlike $shown->("FinWait2Timeout 40s\n"), qr/at the latest/,
        'no time if a section keeps orphans';
};

#---- .htaccess ---------------------------------------------------------------

# httpd allows directives there by AllowOverride or by AllowOverrideList.
subtest 'directives in an .htaccess are refused' => sub {
    for_each_mpm {
        my $mpm   = shift;
        my @all   = sort keys %GOOD;
        my $httpd = FinWait2Test->start(mpm => $mpm, conf => <<"END");
<Directory "\@ROOT\@/htdocs">
    AllowOverride All
</Directory>
<Directory "\@ROOT\@/htdocs/list">
    AllowOverrideList @all
</Directory>
END
        for my $directive (@all) {
            for my $path ("all-$directive", "list/$directive") {
                my $dir = $httpd->root . "/htdocs/$path";
                make_path($dir);
                spew("$dir/.htaccess", "$directive $GOOD{$directive}\n");
                is $httpd->get("/$path/")->{status}, 500, $path;
            }
            $httpd->announce(
                qr{/all-$directive/\.htaccess: $directive not allowed},
                qr{/list/$directive/\.htaccess: $directive cannot occur});
        }
        $httpd->stop;
    };
};

done_testing;
