# The page in a real Chromium: it fits on a phone, in light and dark mode; a screen
# reader finds names for everything; the page updates without a reload, keeps open
# details open, and copies a report; and it is complete without its script.

use v5.36;
use Test::More;
use FinWait2Test;
use FinWait2Client;
use FinWait2Browser;
use Digest::SHA    qw(sha256_base64);

my $PAGE    = '/finwait-status';
my $browser = FinWait2Browser->start
    // plan skip_all => 'no chromium here: run t/setup test';

sub url ($httpd, $query = '') {
    return 'http://127.0.0.1:' . $httpd->port . "$PAGE$query";
}

# Return a client that has sent a request and never closes.
sub visit ($httpd, $name, $agent = 'visitor/1') {
    my $socket = connect_to($httpd->port('PORT2'));
    $socket->syswrite("GET / HTTP/1.1\r\nHost: $name\r\n"
                    . "User-Agent: $agent\r\nConnection: close\r\n\r\n");
    return $socket;
}

sub vhosts (@names) {
    return join '', map { "<VirtualHost *:\@PORT2\@>\n"
                        . "    ServerName \"$_\"\n</VirtualHost>\n" } @names;
}

# The page's own connections stay out of the numbers of the second port.
sub start (%o) {
    return FinWait2Test->start(
        listen => [map { "127.0.0.1:\@PORT$_\@" } '', 2], %o,
        conf   => "FinWait2Sample 1s\n<VirtualHost *:\@PORT\@>\n"
                . "    FinWait2Engine Off\n</VirtualHost>\n" . ($o{conf} // ''));
}

#---- audit -------------------------------------------------------------------

# Return the faults of the open page, a line each: the contrast of all visible text
# by WCAG 2.2 (1.4.3), and the rules of axe-core for the elements of this page.
my $AUDIT = <<'END';
(function () {
  const wrong = [], all = s => Array.from(document.querySelectorAll(s));
  const where = e => e.nodeName + ' ' + (e.id || e.className.baseVal ||
    e.className || '') + ' "' + e.textContent.slice(0, 40) + '"';
  const say = (what, e) => wrong.push(what + (e ? ': ' + where(e) : ''));
  const color = c => c.match(/[\d.]+/g).map(Number);
  const light = c => [0.2126, 0.7152, 0.0722].reduce((sum, part, i) => {
    const v = c[i] / 255;
    return sum + part * (v <= 0.04045 ? v / 12.92
                                      : ((v + 0.055) / 1.055) ** 2.4);
  }, 0);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = color(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  all('body *').forEach(e => {
    const style = getComputedStyle(e);
    const own = Array.from(e.childNodes).some(n => n.nodeType === 3
                                                   && n.data.trim());
    if (!own || !e.getClientRects().length || e.closest('script,title,desc'))
      return;
    if (style.opacity !== '1') say('opacity', e);
    const a = light(color(e.closest('svg') ? style.fill : style.color));
    const b = light(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) say('contrast ' + ratio.toFixed(2), e);
  });
  if (document.documentElement.scrollWidth > innerWidth)
    say('wider than the window: ' + document.documentElement.scrollWidth);
  all('main *').forEach(e => {
    const box = e.getBoundingClientRect();
    if (box.width && box.right > innerWidth + 1 && !e.closest('svg'))
      say('beyond the edge', e);
  });
  if (document.documentElement.lang !== 'en') say('lang');
  if (!document.title.trim()) say('title');
  if (all('main').length !== 1) say('main');
  if (all('h1').length !== 1) say('h1');
  all('body *').filter(e => e.getClientRects().length && !e.closest('main,script'))
    .forEach(e => say('outside of main', e));
  let level = 0;
  all('h1,h2,h3,h4').forEach(e => {
    const now = Number(e.nodeName[1]);
    if (now > level + 1) say('a level of headings is left out', e);
    level = now;
  });
  const seen = {};
  all('[id]').forEach(e => {
    if (seen[e.id]) say('id twice', e);
    seen[e.id] = 1;
  });
  all('[aria-labelledby],[aria-describedby],[data-copy],a[href^="#"]')
    .forEach(e => ['aria-labelledby', 'aria-describedby', 'data-copy', 'href']
      .forEach(name => (e.getAttribute(name) || '').split(/\s+/)
        .filter(id => id && (name !== 'href' || id[0] === '#'))
        .forEach(id => seen[id.replace('#', '')] || say('no #' + id, e))));
  all('th').forEach(e => e.scope || say('no scope', e));
  all('section:not([aria-label])').forEach(e =>
    e.querySelector('h2') || say('no heading', e));
  all('table').forEach(e => {
    const cells = r => Array.from(r.cells).reduce((n, c) => n + c.colSpan, 0);
    const n = new Set(Array.from(e.rows).map(cells));
    if (n.size > 1) say('ragged table', e);
  });
  all('li').forEach(e => e.closest('ul,ol') || say('no list', e));
  all('dt,dd').forEach(e => e.closest('dl') || say('no dl', e));
  return wrong;
})()
END

# The roles in the accessibility tree that need a name: controls and pictures.
my $NAMED = qr/^(?:link|button|img|image|meter|region|figure|heading
                |DisclosureTriangle|columnheader|rowheader)$/x;

sub audit ($httpd, $query, $what) {
    my %size = (phone => 360, tablet => 768, desk => 1280);
    for my $size (sort keys %size) {
        for my $dark (0, 1) {
            my $name = "$what, $size, " . ($dark ? 'dark' : 'light');
            $browser->open(url($httpd, $query), width => $size{$size},
                           dark => $dark);
            $browser->value('document.querySelectorAll("details")
                             .forEach(e => e.open = true)');
            is_deeply $browser->value($AUDIT), [],
                "$name: the page has no fault";
            is_deeply [$browser->console], [], "$name: the console is empty";
        }
    }
    my @nameless = grep { $_->{role} =~ $NAMED && $_->{name} !~ /\S/ }
        $browser->accessibility;
    is_deeply [map { $_->{role} } grep { $_->{role} ne 'figure' } @nameless],
        [], "$what: every control and picture has a name";
}

#---- structure and looks -----------------------------------------------------

subtest 'a page without connections is short' => sub {
    my $httpd = FinWait2Test->start(
        listen => [map { '127.0.0.1:@PORT' . ($_ > 1 ? $_ : '') . '@' } 1 .. 30],
        conf   => "FinWait2Engine Off\nFinWait2Sample 1s\n");
    $httpd->fresh_json;
    audit($httpd, '', '30 listeners');
    $browser->open(url($httpd));
    like $browser->value('document.querySelector("h1").innerText'),
        qr/^OK There are no half-closed connections\.$/i,
            'the headline reports no connections';
    cmp_ok $browser->value('document.documentElement.scrollHeight'), '<', 2000,
        'a page without connections is short';
    is $browser->value('document.querySelectorAll("#listeners tbody tr").length'),
        0, 'idle listeners are folded';
    is $browser->value('document.querySelector("#idle-listeners summary")
                        .textContent'), '30 idle listeners',
                            'the fold has all listeners';
    $httpd->stop;
};

# Names without a line break opportunity, with markup, or with invalid characters.
subtest 'hostile names do not break the page' => sub {
    my @names = ('W' x 200, "caf\xe9", '<script>alert(1)</script>',
                 'x' x 7000, "quo'te\\back");
    my $httpd = start(conf => "FinWait2StatusPeers On\n" . vhosts(@names));
    my $agent = 'W' x 127;
    my @clients = map { visit($httpd, $_, $agent) } 'W' x 200, "caf\xe9";
    push @clients, visit($httpd, 'W' x 200, '<b>"x"&y</b>');
    eventually { $httpd->get($PAGE)->{content} =~ /\Q$agent\E/ }
        'the page shows a User-Agent of 127 characters';
    my ($link) = $httpd->get($PAGE)->{content} =~ /href="(\?vhost=W[^"#]*)/;
    audit($httpd, '', 'hostile names');
    audit($httpd, $link, 'one hostile name in full');
    like $browser->value('document.querySelector("#vhost caption").innerText'),
        qr/^W{50,}/, '?vhost= shows one in full';
    is $browser->value('document.querySelectorAll("script").length'), 1,
        'the page has no script but its own';
    is $browser->value('document.querySelectorAll("b b").length'), 0,
        'names are escaped';
    undef @clients;
    $httpd->tolerate(qr/not configured|AH00558|Bad Request/);
    $httpd->stop;
};

subtest '5,500 virtual hosts fit on the page' => sub {
    my $httpd = start(conf => vhosts(map { "shop$_.example.test" } 1 .. 5500));
    my @clients = map { visit($httpd, "shop$_.example.test") } 1 .. 20;
    eventually { $httpd->get($PAGE)->{content} =~ /1\d more virtual hosts/ }
        'ten virtual hosts are shown, and the other busy ones are folded';
    my $answer = $httpd->get($PAGE);
    cmp_ok length $answer->{content}, '<', 100_000,
        'the page is smaller than 100 KB';
    like $answer->{content}, qr/Show 5,\d\d\d more virtual hosts/,
        'a link leads to the other virtual hosts';
    is +(() = $httpd->get("$PAGE?top=15")->{content}
         =~ m{<th scope=row><a href="\?vhost=shop}g), 20,
        '?top= shows more rows of the table';
    audit($httpd, '', '5,500 virtual hosts');
    undef @clients;
    $httpd->stop;
};

#---- live --------------------------------------------------------------------

my $httpd = start();

sub shown ($selector) {
    return $browser->value("document.querySelector('$selector').textContent");
}

# Test a mark that a reload would delete.
sub is_same ($name) { is $browser->value('window.mark'), 1, $name }

subtest 'the page has one script, allowed by its hash' => sub {
    my $answer = $httpd->get($PAGE);
    my @scripts = $answer->{content} =~ m{<script>(.*?)</script>}gs;
    is @scripts, 1, 'the page has one script';
    my $hash = sha256_base64($scripts[0]);
    $hash .= '=' while length($hash) % 4;
    like $answer->{headers}{'content-security-policy'},
        qr/script-src 'sha256-\Q$hash\E';/,
        'the policy has the hash of the script (src/page/status_script.c)';
    unlike $answer->{content}, qr/<[^>]*\son\w+=/,
        'no element has a handler of its own';
    unlike $answer->{content}, qr{(?:src|href)="?(?:https?:)?//}i,
        'the page loads nothing from other servers';
    # A browser repairs missing tags silently, so count them in the source.
    my %tags;
    $tags{$_}++ for $answer->{content} =~ m{<(/?[a-z]\w*)}g;
    is $tags{$_} // 0, $tags{"/$_"} // 0, "each <$_> is closed"
        for qw(html head body main header title style script section h1 h2 table
               thead tbody tr th td div details summary dl dt dd p small a span
               pre button figure svg footer);
};

subtest 'the page stays up to date' => sub {
    $browser->open(url($httpd));
    $browser->value('window.mark = 1;
                     window.level = document.querySelector(".level");
                     document.querySelector("#words").open = true;
                     document.querySelector("#words summary").focus()');
    like shown('h1'), qr/no half-closed/,
        'the headline has no connections at first';
    my @clients = map { visit($httpd, 'a') } 1 .. 7;
    eventually { shown('h1') =~ /^ok 7 half-closed connections cost/ }
        'the headline has seven connections without a reload';
    eventually { shown('#figures') =~ /kernel7 of/ }
        'the row of figures has seven orphans';
    eventually { shown('#history') =~ /orphans: 7 now/ }
        'the chart has seven orphans';
    like $browser->value('document.title'), qr/^ok: 7 half-closed, /,
        'the title has seven connections';
    is_same('an update keeps the document');
    ok $browser->value('document.contains(window.level)'),
        'an update keeps unchanged nodes';
    ok $browser->value('document.querySelector("#words").open'),
        'an update keeps open details open';
    is $browser->value('document.activeElement.textContent'),
        'Terms on this page', 'an update keeps the focus';

    $browser->click('#pause');
    is shown('#state'), 'paused', 'the pause button pauses the page';
    $browser->value('window.asked = 0; window.real = window.fetch;
                     window.fetch = (...a) => { window.asked++;
                                                return window.real(...a); }');
    my $wait = 'new Promise(done => setTimeout(done, 5000))';
    $browser->value($wait);
    is $browser->value('window.asked'), 0, 'a paused page sends no request';
    $browser->click('#pause');
    eventually { $browser->value('window.asked') > 0 }
        'a resumed page sends requests';
    eventually { shown('#state') eq 'live' } 'a resumed page is live';
    $browser->value('Object.defineProperty(document, "hidden",
                         { get: () => true, configurable: true })');
    $browser->value($wait);
    $browser->value('window.asked = 0');
    $browser->value($wait);
    is $browser->value('window.asked'), 0, 'a hidden page sends no request';
    is_deeply [$browser->console], [], 'the console is empty after the updates';
    undef @clients;
};

subtest 'links of tables work without a reload' => sub {
    $browser->open(url($httpd));
    $browser->value('window.mark = 1');
    $browser->value('document.querySelector("#listeners,#vhosts")');
    my @clients = visit($httpd, 'a');
    eventually { $browser->value(
        'document.querySelectorAll("#vhosts th[aria-sort]").length') }
        'the table has a sorted column';
    $browser->click('#vhosts a[href*="sort=ever"]');
    eventually { $browser->value('document.querySelector("#vhosts th[aria-sort]")
                             .innerText') eq 'closes in total' }
        'a click sorts by another column';
    like $browser->value('location.search'), qr/sort=ever/,
        'the address has the sorted column';
    is_same('a click on a link does not reload the page');
    $browser->value('history.back()');
    eventually { $browser->value('document.querySelector("#vhosts th[aria-sort]")
                             .innerText') ne 'closes in total' }
        'the back button restores the order';
    is_same('the back button does not reload the page');
    undef @clients;
};

subtest 'the copy button copies a report' => sub {
    $browser->open(url($httpd));
    $browser->value('document.querySelector("#report").open = true');
    my $copied = 'document.querySelector("#report button").textContent';
    $browser->call('Page.bringToFront');
    $browser->click('#report button');
    eventually { $browser->value($copied) eq 'copied' }
        'the button shows that it has copied';
    my $text = $browser->value('navigator.clipboard.readText()');
    like $text, qr/^\*\*ok\*\*: .*\n\n\* \S+, httpd 2\.4\.\d+ event, /,
        'the report has the verdict and the versions in Markdown';
    like $text, qr/^\* held by httpd: \d+, orphans: \d+$/m,
        'the report has figures';

    # A page over plain HTTP from another machine has only document.execCommand.
    $browser->open(url($httpd));
    $browser->value('document.querySelector("#report").open = true;
                     Object.defineProperty(navigator, "clipboard",
                                           { value: undefined })');
    $browser->click('#report button');
    is $browser->value($copied), 'copied',
        'the button works without navigator.clipboard';
};

#---- no script ---------------------------------------------------------------

subtest 'the page is complete without its script' => sub {
    my @clients = map { visit($httpd, 'a') } 1 .. 3;
    eventually { $httpd->fresh_json->{half_closed}{orphan} >= 3 }
        'three orphans are counted';
    $browser->open(url($httpd), script => 0);
    my $html = $browser->call('DOM.getOuterHTML', backendNodeId =>
        $browser->call('DOM.getDocument', depth => 0)->{root}{backendNodeId})
        ->{outerHTML};
    like $html, qr/half-closed connections? cost/,
        'the headline has the numbers';
    like $html, qr/<path class="hit"[^>]*><title>\d\d:\d\d:\d\d: \d+ orphans/,
        'the chart has titles with values';
    my %shown = map { $_->{name} => 1 } grep { $_->{role} eq 'button' }
        $browser->accessibility;
    is_deeply [grep { /copy|pause/i } keys %shown], [],
        'buttons that need the script are hidden';
    my $sorted = $httpd->get("$PAGE?sort=ever")->{content};
    like $sorted, qr{aria-sort=descending><a [^>]*>closes in total<},
        '?sort= sorts the table';
    undef @clients;
};

subtest '?refresh reloads the page' => sub {
    my $answer = $httpd->get("$PAGE?refresh=5&sort=ever");
    is $answer->{headers}{refresh}, 5, 'the answer has the header Refresh';
    like $answer->{content}, qr{reloads every 5 s, <a href="\?sort=ever">stop<},
        'a link stops the reloads and keeps the rest of the query';
    $browser->open(url($httpd, '?refresh=3600'));
    is $browser->value('getComputedStyle(document.querySelector(".running"))
                        .display'), 'none',
                            'the script does not update a page that reloads itself';
};

subtest 'the printed page is readable' => sub {
    $browser->open(url($httpd), media => 'print', dark => 1);
    is $browser->value('getComputedStyle(document.body).backgroundColor'),
        'rgb(255, 255, 255)', 'the background is white';
    is $browser->value('getComputedStyle(document.querySelector("#pause"))
                        .display'), 'none', 'buttons are not printed';
    is_deeply $browser->value($AUDIT), [], 'the printed page has no fault';
};

$httpd->stop;
done_testing;
