/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The HTML page: its frame, and the parts at the top. */

#include "page/status_impl.h"

#include "apr_lib.h"
#include "apr_strings.h"
#include "http_core.h"
#include "http_protocol.h"

#include "page/text.h"

/* The greatest age of a count for a verdict, if the closer process does not
 * answer. */
#define STALE apr_time_from_sec(60)

/* The terms on the page, and their meanings. */
static const struct {
    const char *term, *meaning;
} terms[] = {
    { "FIN_WAIT_1", "httpd has closed, and the client has not acknowledged the "
                    "last bytes yet. This usually takes one round trip. If it "
                    "takes longer, the client has vanished or does not read." },
    { "FIN_WAIT_2", "httpd has closed, and the client has acknowledged all "
                    "data. The client has to close." },
    { "CLOSING", "httpd and the client have closed at the same time; the "
                 "client's last acknowledgement is on its way." },
    { "CLOSE_WAIT", "The client has closed. httpd has to close." },
    { "LAST_ACK", "The client has closed, then httpd; the client's last "
                  "acknowledgement is on its way." },
    { "Held", "A process of httpd holds the descriptor. No timer of the kernel "
              "runs: the connection stays for as long as it is held." },
    { "Orphan, full", "httpd has closed the socket; the kernel keeps all of "
                      "it, about 2.4 KB, and undelivered bytes." },
    { "Orphan, mini", "httpd has closed the socket; the kernel keeps 256 bytes "
                      "and a timer that ends the connection." },
    { NULL, NULL }
};

const char *fw2_clock_text(apr_pool_t *pool, apr_time_t time,
                           const char *format)
{
    char text[32] = "";
    apr_time_exp_t local;
    apr_size_t length;

    apr_time_exp_lt(&local, time);
    apr_strftime(text, &length, sizeof(text), format, &local);
    return apr_pstrdup(pool, text);
}

/* -------------------------------------------------------------- identity -- */

/* Return the name of the machine. The field Host may name a tunnel. */
static const char *host_name(apr_pool_t *pool)
{
    char name[APRMAXHOSTLEN + 1];

    return apr_gethostname(name, sizeof(name), pool) == APR_SUCCESS
               ? apr_pstrdup(pool, name)
               : "unknown host";
}

/* Return `httpd 2.4.71 event, mod_finwait2 1.0.0`. */
static const char *versions(const fw2_page *page)
{
    return apr_psprintf(page->r->pool, "httpd %s %s, mod_finwait2 %s",
                        page->report->server.httpd, page->report->server.mpm,
                        page->report->server.version);
}

static const char *counted_text(const fw2_page *page)
{
    apr_pool_t *pool = page->r->pool;
    apr_interval_time_t age = page->report->snapshot.age;

    if (!page->report->snapshot.counts) {
        return apr_pstrcat(pool, "not counted yet at ",
                           fw2_clock_text(pool, apr_time_now(), "%H:%M:%S %Z"),
                           NULL);
    }
    return apr_psprintf(
        pool, "counted %s, %s ago",
        fw2_clock_text(pool, apr_time_now() - age, "%H:%M:%S %Z"),
        age < apr_time_from_sec(60)
            ? apr_psprintf(pool, "%.1f s", (double)age / APR_USEC_PER_SEC)
            : fw2_text_long_time(pool, age));
}

static void write_identity(const fw2_page *page)
{
    request_rec *r = page->r;
    const char *refresh = apr_table_get(r->headers_out, "Refresh");

    ap_rprintf(r,
               "<header><p><b>%s</b> %s, up %s</p>\n<p>%s "
               "<span class=scripted><span class=running><span id=state "
               "data-own>live</span> <button type=button id=pause data-own>"
               "pause</button></span></span>",
               ap_escape_html(r->pool, host_name(r->pool)), versions(page),
               fw2_text_long_time(r->pool, page->report->server.uptime),
               counted_text(page));
    if (refresh) {
        ap_rprintf(r, " reloads every %s s, <a href=\"%s\">stop</a>", refresh,
                   fw2_page_link(page, NULL, NULL));
    }
    ap_rputs("</p></header>\n", r);
}

/* --------------------------------------------------------------- verdict -- */

static const char *capital(apr_pool_t *pool, const char *text)
{
    char *copy = apr_pstrdup(pool, text);

    *copy = apr_toupper(*copy);
    return copy;
}

/* True if the last count is too old for a verdict. */
static int is_stale(const fw2_report *report)
{
    return !report->closer.answered && report->snapshot.age > STALE;
}

/* Return the verdict as a sentence. */
static const char *headline(const fw2_page *page)
{
    const fw2_report *report = page->report;

    if (is_stale(report)) {
        return apr_pstrcat(
            page->r->pool, "The last count was made ",
            fw2_text_long_time(page->r->pool, report->snapshot.age), " ago.",
            NULL);
    }
    if (report->half_closed.total == FW2_UNKNOWN) {
        return report->snapshot.counts
                   ? "Half-closed connections could not be counted."
                   : "There is no count yet.";
    }
    return capital(page->r->pool, report->advice[0].words.finding);
}

/* Write the verdict. The level has a word as well as a colour. */
static void write_verdict(const fw2_page *page)
{
    request_rec *r = page->r;
    const fw2_report *report = page->report;
    int known = !is_stale(report)
                && (report->half_closed.total != FW2_UNKNOWN
                    || report->snapshot.verdict != FW2_OK);
    const char *level = known ? report->advice[0].level_name : "unknown";

    ap_rprintf(r,
               "<section id=verdict class=%s aria-label=Verdict><h1>"
               "<span class=\"level %s\" role=status>%s</span> %s</h1>\n",
               level, level, level, ap_escape_html(r->pool, headline(page)));
    if (!report->snapshot.counts) {
        ap_rputs("<p>The process finwait2 counts for this page. Reload to see "
                 "the count; if there is still none, the error log has the "
                 "reason why the process could not be started.</p>\n",
                 r);
    }
    ap_rputs("<div class=trend>", r);
    fw2_write_trend(page);
    fw2_write_last(r, report);
    ap_rputs("</div></section>\n", r);
}

/* Write warnings on the count: sources that were refused, no answer, an
 * incomplete count. */
static void write_missing(request_rec *r, const fw2_report *report)
{
    int i;

    for (i = 0; i < FW2_BACKENDS; i++) {
        if (report->missing[i]) {
            ap_rprintf(r,
                       "<p class=warn role=note>%s. Source of the figures: "
                       "%s.</p>\n",
                       ap_escape_html(r->pool, report->missing[i]),
                       strcmp(report->snapshot.backend, "nothing")
                           ? ap_escape_html(r->pool, report->snapshot.backend)
                           : "none");
        }
    }
    if (!report->closer.answered && report->snapshot.counts) {
        ap_rprintf(r,
                   "<p class=warn role=note>The process finwait2, which counts "
                   "for this page, did not answer. The figures are from its "
                   "last count, %s ago.</p>\n",
                   fw2_text_time(r->pool, report->snapshot.age));
    }
    if (!report->snapshot.complete
        && report->half_closed.total != FW2_UNKNOWN) {
        ap_rputs("<p class=warn role=note>The count is not complete: the "
                 "numbers are lower bounds.</p>\n",
                 r);
    }
}

/* --------------------------------------------------------------- figures -- */

const char *fw2_share_html(apr_pool_t *pool, apr_int64_t part,
                           apr_int64_t whole)
{
    return apr_psprintf(pool, " <span class=nb>(%s)</span>",
                        fw2_text_percent(pool, part, whole));
}

/* Return `5,747 of 131,072 (4 %)`, or a dash if the number is not known. */
static const char *limit_text(apr_pool_t *pool, apr_int64_t n,
                              apr_int64_t limit)
{
    const char *number;

    if (n < 0) {
        return "<b>&ndash;</b>";
    }
    number = apr_psprintf(pool, "<b>%s</b>", fw2_text_number(pool, n));
    if (limit <= 0) {
        return number;
    }
    return apr_pstrcat(pool, number, " of ", fw2_text_number(pool, limit),
                       n ? fw2_share_html(pool, n, limit) : "", NULL);
}

static const char *closes_text(const fw2_page *page)
{
    apr_int64_t by_server = page->report->minute.by_server;
    apr_int64_t closes = page->report->minute.closes;
    apr_pool_t *pool = page->r->pool;

    if (by_server < 0) {
        return "<b>&ndash;</b> in the first minute";
    }
    if (!closes) {
        return apr_pstrcat(pool, "<b>", fw2_text_rate(pool, 0), "</b>", NULL);
    }
    return apr_pstrcat(
        pool, "<b>", fw2_text_rate(pool, closes), "</b>, <span class=nb>",
        fw2_text_percent(pool, by_server, closes), " by httpd</span>", NULL);
}

static void write_figure(request_rec *r, const char *name, const char *value)
{
    ap_rprintf(r, "<div><dt>%s</dt><dd>%s</dd></div>\n", name, value);
}

static void write_figures(const fw2_page *page)
{
    const fw2_report *report = page->report;
    request_rec *r = page->r;

    ap_rputs("<dl id=figures>\n", r);
    write_figure(
        r, "Held by httpd",
        limit_text(r->pool, report->half_closed.held, report->closer.capacity));
    write_figure(r, "Orphans of the kernel",
                 limit_text(r->pool, report->half_closed.orphan,
                            report->limits.tcp_max_tw_buckets));
    write_figure(r, "Closes", closes_text(page));
    write_figure(r, "Accept queue",
                 limit_text(r->pool, report->sockets.backlog,
                            report->sockets.backlog_limit));
    write_figure(r, "<a href=\"#elsewhere\">Elsewhere</a>",
                 limit_text(r->pool, report->elsewhere.half_closed, 0));
    ap_rputs("</dl>\n", r);
}

/* ----------------------------------------------------------------- below -- */

static void write_terms(request_rec *r)
{
    int i;

    ap_rputs("<details id=words><summary>Terms on this page</summary>"
             "<dl>\n",
             r);
    for (i = 0; terms[i].term; i++) {
        ap_rprintf(r, "<dt>%s</dt><dd>%s</dd>\n", terms[i].term,
                   terms[i].meaning);
    }
    ap_rputs("</dl></details>\n", r);
}

static void write_all_figures(const fw2_page *page)
{
    static const char *const keys[] = { "half_closed", "closer", "limits",
                                        "snapshot",    "server", NULL };
    int i;

    ap_rputs("<details id=all><summary>All figures</summary>\n"
             "<div class=cards>\n",
             page->r);
    for (i = 0; keys[i]; i++) {
        const fw2_section *section = fw2_metrics_section(keys[i]);

        fw2_write_element(page->r, section->title, section,
                          fw2_metrics_element(section, page->report, 0));
    }
    ap_rputs("</div></details>\n", page->r);
}

/* Return a report for a ticket, in Markdown. */
static const char *ticket(const fw2_page *page)
{
    const fw2_report *report = page->report;
    apr_pool_t *pool = page->r->pool;
    const char *text = apr_psprintf(
        pool,
        "**%s**: %s\n\n* %s, %s, up %s\n* %s\n* held by httpd: %s, orphans: "
        "%s\n",
        report->advice[0].level_name, headline(page), host_name(pool),
        versions(page), fw2_text_long_time(pool, report->server.uptime),
        counted_text(page),
        report->half_closed.held < 0
            ? "not known"
            : fw2_text_number(pool, report->half_closed.held),
        report->half_closed.orphan < 0
            ? "not known"
            : fw2_text_number(pool, report->half_closed.orphan));
    int i;

    for (i = 1; i < report->nadvice; i++) {
        text = apr_pstrcat(pool, text, "* ", report->advice[i].level_name, ": ",
                           report->advice[i].text, "\n", NULL);
    }
    return text;
}

static void write_ticket(const fw2_page *page)
{
    ap_rprintf(page->r,
               "<details id=report><summary>Report for a ticket</summary>"
               "<button type=button class=scripted data-copy=ticket>copy as "
               "report</button>\n<pre id=ticket>%s</pre></details>\n",
               ap_escape_html(page->r->pool, ticket(page)));
}

static void write_footer(request_rec *r)
{
    ap_rputs("<footer><p>The same snapshot as <a href=\"?auto\">text</a>, "
             "<a href=\"?json\">JSON</a>, <a href=\"?openmetrics\">"
             "OpenMetrics</a>, <a href=\"?prometheus\">Prometheus</a>; "
             "<a href=\"?refresh=10\">reload every 10 s</a>.</p>\n",
             r);
    ap_rputs(ap_psignature("", r), r);
    ap_rputs("</footer>\n</main>\n", r);
}

static void write_head(const fw2_page *page)
{
    request_rec *r = page->r;
    apr_int64_t total = page->report->half_closed.total;

    ap_rprintf(r,
               "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>"
               "<meta name=viewport content=\"width=device-width\">"
               "<title>%s: %s half-closed, %s</title>\n<style>\n%s</style>"
               "</head>\n<body><main>\n",
               page->report->advice[0].level_name,
               total < 0 ? "unknown" : fw2_text_number(r->pool, total),
               ap_escape_html(r->pool, host_name(r->pool)), fw2_page_style);
}

void fw2_write_html(fw2_page *page)
{
    request_rec *r = page->r;
    const fw2_report *report = page->report;

    page->pictures = fw2_pictures_read(r->pool, report);
    write_head(page);
    write_identity(page);
    write_verdict(page);
    write_missing(r, report);
    write_figures(page);
    fw2_write_advice(page);
    fw2_write_pictures(page);
    fw2_write_listeners(page);
    fw2_write_vhosts(page);
    fw2_write_elsewhere(r, report);
    fw2_write_clients(page);
    ap_rputs("<div class=cards>\n", r);
    fw2_write_limits(r, report);
    fw2_write_losses(r, report);
    ap_rputs("</div>\n", r);
    write_all_figures(page);
    write_terms(r);
    write_ticket(page);
    write_footer(r);
    ap_rprintf(r, "<script>%s</script>\n</body></html>\n", fw2_page_script);
}
