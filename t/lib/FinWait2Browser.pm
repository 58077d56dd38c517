package FinWait2Browser;

# A real Chromium, driven through its debugging pipe (fd 3 in, fd 4 out; JSON
# messages that end with NUL). Core Perl only.
#
#   my $browser = FinWait2Browser->start // plan skip_all => 'no chromium';
#   $browser->open($url, width => 360, dark => 1, script => 0, media => 'print');
#   my $value = $browser->value('document.title');    # of a JavaScript expression
#   $browser->click('#pause');
#   $browser->shot($path, full => 1);                 # a PNG file
#   my @output = $browser->console;                     # since the page was opened
#   my @nodes = $browser->accessibility;              # {role, name, properties}
#
# value() waits for an expression that yields a promise. Every wait has a limit.

use v5.36;
use Fcntl        qw(F_DUPFD);
use File::Path   qw(remove_tree);
use File::Temp   ();
use IO::Select   ();
use JSON::PP     ();
use MIME::Base64 qw(decode_base64);
use POSIX        ();
use Time::HiRes  qw(sleep time);

my $PATIENCE = 120;    # seconds
my $JSON     = JSON::PP->new->utf8->allow_nonref;

sub start ($class) {
    return if !grep { -x "$_/chromium" } split /:/, $ENV{PATH};
    my $self = $class->launch;
    return $self if eval { $self->attach; 1 };
    die $@, $self->errors;
}

# Containers have a small /dev/shm: Chromium shares its memory in files instead.
sub launch ($class) {
    my $profile = File::Temp->newdir;
    pipe(my $in, my $to)    or die "pipe: $!";
    pipe(my $from, my $out) or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        # Move both away first: either descriptor may be 3 or 4.
        my ($read, $write) = map { fcntl $_, F_DUPFD, 5 } $in, $out;
        POSIX::dup2($read, 3);
        POSIX::dup2($write, 4);
        CORE::open(STDERR, ">", "$profile/errors");
        exec qw(chromium --headless --no-sandbox --disable-gpu --disable-quic
                --no-first-run --disable-background-networking --disable-sync
                --disable-component-update --disable-dev-shm-usage
                --remote-debugging-pipe --force-color-profile=srgb
                --hide-scrollbars),
            "--user-data-dir=$profile", 'about:blank';
    }
    close $_ for $in, $out;
    $to->autoflush;
    return bless { pid => $pid, to => $to, from => $from, rest => '', id => 0,
                   profile => $profile, folder => "$profile" }, $class;
}

sub attach ($self) {
    local $SIG{PIPE} = 'IGNORE';
    my $target = $self->call('Target.createTarget', url => 'about:blank');
    $self->{session} = $self->call('Target.attachToTarget',
        targetId => $target->{targetId}, flatten => JSON::PP::true)->{sessionId};
    $self->call("$_.enable") for qw(Page Runtime Log Accessibility);
    return $self->call('Browser.grantPermissions',
        permissions => ['clipboardReadWrite', 'clipboardSanitizedWrite']);
}

# Return the last lines of Chromium's standard error.
sub errors ($self) {
    CORE::open(my $in, '<', "$self->{profile}/errors") or return '';
    my @lines = <$in>;
    return @lines > 10 ? @lines[-10 .. -1] : @lines;
}

sub DESTROY ($self) {
    local ($?, $!, $@);
    kill TERM => $self->{pid};
    waitpid $self->{pid}, 0;
    my $until = time + $PATIENCE;    # Chromium's processes end later, and write files
    remove_tree($self->{folder}, { error => \my $left })
        while -d $self->{folder} && time < $until;
}

# Return the next message from Chromium; keep it if it is an event.
sub receive ($self, $until) {
    my $end;
    while (($end = index $self->{rest}, "\0") < 0) {
        IO::Select->new($self->{from})->can_read($until - time)
            or die "Chromium does not answer\n";
        sysread $self->{from}, $self->{rest}, 1 << 20, length $self->{rest}
            or die "Chromium has ended\n";
    }
    my $text = substr $self->{rest}, 0, $end + 1, '';
    my $message = $JSON->decode($text =~ tr/\0//dr);
    push @{ $self->{events} }, $message if $message->{method};
    return $message;
}

sub call ($self, $method, %params) {
    my $id = ++$self->{id};
    syswrite $self->{to}, $JSON->encode({ id => $id, method => $method,
        params => \%params,
        $self->{session} ? (sessionId => $self->{session}) : () }) . "\0"
        or die "Chromium: $!\n";
    my $until = time + $PATIENCE;
    while (1) {
        my $answer = $self->receive($until);
        next if ($answer->{id} // 0) != $id;
        die "$method: $answer->{error}{message}\n" if $answer->{error};
        return $answer->{result};
    }
}

sub open ($self, $url, %o) {
    $self->call('Emulation.setDeviceMetricsOverride', width => $o{width} // 1280,
                height => $o{height} // 900, deviceScaleFactor => 1,
                mobile => JSON::PP::false);
    $self->call('Emulation.setEmulatedMedia', media => $o{media} // '',
        features => [{ name  => 'prefers-color-scheme',
                       value => $o{dark} ? 'dark' : 'light' }]);
    $self->call('Emulation.setScriptExecutionDisabled',
        value => ($o{script} // 1) ? JSON::PP::false : JSON::PP::true);
    $self->{events} = [];
    $self->call('Page.navigate', url => $url);
    my $until = time + $PATIENCE;
    $self->receive($until)
        while !grep { $_->{method} eq 'Page.loadEventFired' }
            @{ $self->{events} };
    return $self;
}

sub value ($self, $expression) {
    my $answer = $self->call('Runtime.evaluate', expression => $expression,
        returnByValue => JSON::PP::true, awaitPromise => JSON::PP::true,
        userGesture => JSON::PP::true);
    die "$expression: $answer->{exceptionDetails}{exception}{description}\n"
        if $answer->{exceptionDetails};
    return $answer->{result}{value};
}

sub click ($self, $selector) {
    my $quoted = $JSON->encode($selector);
    return $self->value("document.querySelector($quoted).click()");
}

sub console ($self) {
    return map { $_->{params}{entry}{text}
                 // join ' ', map { $_->{value} // $_->{description} // '' }
                    @{ $_->{params}{args} } }
        grep { $_->{method} =~ /^(?:Log\.entryAdded|Runtime\.consoleAPICalled)$/ }
        @{ $self->{events} };
}

sub shot ($self, $path, %o) {
    my $png = $self->call('Page.captureScreenshot', format => 'png',
        captureBeyondViewport => $o{full} ? JSON::PP::true : JSON::PP::false);
    CORE::open(my $out, '>:raw', $path) or die "$path: $!\n";
    print $out decode_base64($png->{data});
    return close $out;
}

# Return the nodes of the accessibility tree: {role, name, level, ...}.
sub accessibility ($self) {
    return map {
        my $node = $_;
        { role => $node->{role}{value}, name => $node->{name}{value} // '',
          map { $_->{name} => $_->{value}{value} } @{ $node->{properties} } };
    } grep { !$_->{ignored} }
        @{ $self->call('Accessibility.getFullAXTree')->{nodes} };
}

1;
