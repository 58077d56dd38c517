/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The page for people: no script, nothing from elsewhere, readable on a phone
 * and in the dark. */

#include "fw2_status_impl.h"

#include <stdlib.h>

#include "apr_strings.h"
#include "http_core.h"
#include "http_protocol.h"

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6777;"
    "--line:#d9dee5;--page:#f6f7f9;--card:#fff;--mark:#0b62c4;"
    "--warn:#8a4b00;--warnbg:#fff4e0;--ok:#2e7d32;--watch:#b26a00;"
    "--danger:#c62828}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#98a4b5;"
    "--line:#2d3642;--page:#12161c;--card:#1a2029;--mark:#7db7ff;"
    "--warn:#ffcf8a;--warnbg:#3a2a10;--ok:#81c784;--watch:#ffb74d;"
    "--danger:#ff8a80}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--page);color:var(--ink);"
    "font:16px/1.5 system-ui,sans-serif}\n"
    "main{max-width:64rem;margin:0 auto;padding:1.5rem 1rem 3rem}\n"
    "h1{font-size:1.5rem;line-height:1.25;margin:.25rem 0;font-weight:600}\n"
    "h1 b{font-size:3rem;margin-right:.25rem}\n"
    "h2{font-size:1.1rem;margin:2rem 0 .75rem}\n"
    "p{margin:.25rem 0}\n"
    ".soft,small{color:var(--soft)}\n"
    ".advices{list-style:none;margin:0;padding:0}\n"
    ".advice{border-left:.35rem solid var(--line);border-radius:.25rem;"
    "background:var(--card);padding:.5rem .9rem;margin:.5rem 0;"
    "overflow-wrap:anywhere}\n"
    ".advice.ok{border-color:var(--ok)}.advice.watch{border-color:var(--watch)}"
    ".advice.danger{border-color:var(--danger)}\n"
    ".advices b{text-transform:uppercase;font-size:.8rem}\n"
    ".warn{color:var(--warn);background:var(--warnbg);border-radius:.5rem;"
    "padding:.6rem .9rem;margin:1rem 0;overflow-wrap:anywhere}\n"
    ".cards{display:grid;gap:1rem;"
    "grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr))}\n"
    ".stack{display:grid;gap:1rem;margin-top:.75rem}\n"
    ".card{background:var(--card);border:1px solid var(--line);"
    "border-radius:.5rem;padding:.75rem 1rem}\n"
    "table{border-collapse:collapse;width:100%}\n"
    "caption{text-align:left;font-weight:600;overflow-wrap:anywhere}\n"
    "th,td{padding:.3rem .25rem;border-top:1px solid var(--line);"
    "text-align:right;vertical-align:top;font-weight:400}\n"
    "thead th{border-top:0;color:var(--soft);font-size:.85rem}\n"
    "th:first-child{text-align:left}\n"
    "td{font-variant-numeric:tabular-nums;white-space:nowrap}\n"
    "td.zero{color:var(--soft);opacity:.6}\n"
    ".facts th small{display:block}\n"
    ".bars i{display:block;height:.5rem;background:var(--mark)}\n"
    "meter{width:10rem;max-width:30vw}\n"
    ".wide{overflow-x:auto}.wide thead th{"
    "vertical-align:bottom}\n"
    "dt{font-weight:600;margin-top:.6rem}dd{margin:0}\n"
    "details{margin-top:1rem}summary{cursor:pointer;color:var(--mark)}\n"
    "a{color:var(--mark)}\n"
    "footer{margin-top:2rem}\n";

/* The states, as people spell them. */
static const char *const states[FW2_STATES] = { [FW2_FIN_WAIT1] = "FIN_WAIT_1",
                                                [FW2_FIN_WAIT2] = "FIN_WAIT_2",
                                                [FW2_CLOSING] = "CLOSING",
                                                [FW2_CLOSE_WAIT] = "CLOSE_WAIT",
                                                [FW2_LAST_ACK] = "LAST_ACK" };

/* What each means, and for whom one waits. */
static const char *const meanings[FW2_STATES] = {
    [FW2_FIN_WAIT1] = "httpd has closed, and the client has not "
                      "acknowledged the last bytes yet. Usual for one "
                      "round trip. If they stay, clients have "
                      "vanished or do not read.",
    [FW2_FIN_WAIT2] = "httpd has closed, the client has everything "
                      "and has not closed. It is the client's turn.",
    [FW2_CLOSING] = "Both closed at the same moment; the client's "
                    "last acknowledgement is on its way.",
    [FW2_CLOSE_WAIT] = "The client has closed, and httpd has not yet: "
                       "it is httpd's turn. In the kernel's column: "
                       "still waiting to be accepted.",
    [FW2_LAST_ACK] = "The client closed first, httpd then; the "
                     "client's last acknowledgement is on its way.",
};

static const char *number_html(request_rec *r, const fw2_metric *metric,
                               apr_int64_t number)
{
    if (number == FW2_UNKNOWN) {
        return "&ndash;";
    }
    if (metric->kind == FW2_FLAG) {
        return number ? "yes" : "no";
    }
    return fw2_number_text(r->pool, metric, number);
}

void fw2_write_count(request_rec *r, apr_int64_t n)
{
    if (n == FW2_UNKNOWN) {
        ap_rputs("<td>&ndash;</td>", r);
        return;
    }
    ap_rprintf(r, "<td%s>%" APR_INT64_T_FMT "</td>", n ? "" : " class=zero", n);
}

static const char *plural(apr_int64_t n, const char *one, const char *many)
{
    return n == 1 ? one : many;
}

static void write_headline(request_rec *r, const fw2_report *report)
{
    apr_int64_t total = report->half_closed.total;

    if (total == FW2_UNKNOWN) {
        ap_rputs(report->snapshot.counts
                     ? "<h1>Half-closed connections could not be counted</h1>\n"
                     : "<h1>The first count is under way</h1>\n<p>Reload to "
                       "see it.</p>\n",
                 r);
        return;
    }
    ap_rprintf(r, "<h1><b>%" APR_INT64_T_FMT "</b> half-closed %s</h1>\n",
               total, plural(total, "connection", "connections"));
    ap_rprintf(r,
               "<p><strong>%" APR_INT64_T_FMT "</strong> held by httpd, "
               "<strong>%" APR_INT64_T_FMT "</strong> %s that httpd has "
               "closed and the kernel keeps.</p>\n",
               report->half_closed.held, report->half_closed.orphan,
               plural(report->half_closed.orphan, "orphan", "orphans"));
}

/* Levels are told in words as well as by colour. */
static void write_advice(request_rec *r, const fw2_report *report)
{
    int i;

    ap_rprintf(r, "<p class=\"advice %s\" role=status>%s</p>\n",
               report->advice[0].level,
               ap_escape_html(r->pool, report->advice[0].text));
    if (report->nadvice < 2) {
        return;
    }
    ap_rputs("<ul class=advices aria-label=Advice>\n", r);
    for (i = 1; i < report->nadvice; i++) {
        ap_rprintf(r, "<li class=\"advice %s\"><b>%s</b> %s</li>\n",
                   report->advice[i].level, report->advice[i].level,
                   ap_escape_html(r->pool, report->advice[i].text));
    }
    ap_rputs("</ul>\n", r);
}

/* The sources that did not do, and what the page has instead. */
static void write_missing(request_rec *r, const fw2_report *report)
{
    int i;

    for (i = 0; i < FW2_BACKENDS; i++) {
        if (report->missing[i]) {
            ap_rprintf(r,
                       "<p class=warn role=note>%s. Shown is what "
                       "<em>%s</em> has.</p>\n",
                       ap_escape_html(r->pool, report->missing[i]),
                       ap_escape_html(r->pool, report->snapshot.backend));
        }
    }
    if (!report->snapshot.complete
        && report->half_closed.total != FW2_UNKNOWN) {
        ap_rputs("<p class=warn role=note>Not every socket was counted: the "
                 "numbers are lower bounds.</p>\n",
                 r);
    }
}

static void write_state(request_rec *r, const fw2_tally *tally, int state)
{
    int holder;

    ap_rprintf(r, "<tr><th scope=row>%s</th>", states[state]);
    for (holder = 0; holder < FW2_HOLDERS; holder++) {
        fw2_write_count(r, tally->n[state][holder]);
    }
    ap_rputs("</tr>\n", r);
}

static void write_backlog(request_rec *r, const fw2_tally *tally)
{
    if (tally->backlog == FW2_UNKNOWN) {
        return;
    }
    ap_rprintf(r, "<p><small>%" APR_INT64_T_FMT " waiting to be accepted",
               tally->backlog);
    if (tally->backlog_limit != FW2_UNKNOWN) {
        ap_rprintf(r, ", of %" APR_INT64_T_FMT " that may",
                   tally->backlog_limit);
    }
    ap_rputs("</small></p>", r);
}

static void write_listener(request_rec *r, const fw2_listener_report *at)
{
    int state;

    ap_rprintf(r,
               "<div class=card><table><caption>%s</caption><thead><tr>"
               "<th scope=col>State</th><th scope=col>httpd</th>"
               "<th scope=col>kernel, full</th>"
               "<th scope=col>kernel, mini</th></tr></thead>\n<tbody>",
               ap_escape_html(r->pool, at->listener));
    for (state = 0; state < FW2_STATES; state++) {
        write_state(r, &at->tally, state);
    }
    ap_rputs("</tbody></table>", r);
    write_backlog(r, &at->tally);
    ap_rputs("</div>\n", r);
}

static void write_listeners(request_rec *r, const fw2_report *report)
{
    int i;

    ap_rputs("<h2>Where, and who holds them</h2>\n<div class=cards>\n", r);
    for (i = 0; i < report->nlisteners; i++) {
        write_listener(r, &report->listeners[i]);
    }
    ap_rputs("</div>\n", r);
}

/* A table of virtual hosts: its columns, each a number of theirs. */
typedef struct {
    const char *heading; /* NULL ends the columns */
    apr_size_t offset;   /* in fw2_vhost_report */
} column;

#define OF(field) APR_OFFSETOF(fw2_vhost_report, totals.field)

/* Virtual hosts in one table at most. */
#define VHOSTS_SHOWN 50

static const column causes[] = {
    { "left open, a minute of late",
      APR_OFFSETOF(fw2_vhost_report, left_open) },
    { "orphans expected", APR_OFFSETOF(fw2_vhost_report, expected) },
    { "client closed first", OF(closes[FW2_BY_PEER]) },
    { "httpd closed first", OF(closes[FW2_BY_SERVER]) },
    { "idle for too long", OF(causes[FW2_CAUSE_KEEPALIVE]) },
    { "one answer asked for", OF(causes[FW2_CAUSE_CONNECTION_CLOSE]) },
    { "error", OF(causes[FW2_CAUSE_ERROR]) },
    { "request limit", OF(causes[FW2_CAUSE_REQUEST_LIMIT]) },
    { "client too slow", OF(causes[FW2_CAUSE_TIMEOUT]) },
    { "httpd stopped", OF(causes[FW2_CAUSE_STOP]) },
    { "other", OF(causes[FW2_CAUSE_OTHER]) },
    { NULL }
};

static const column protocols[] = { { "HTTP/1", OF(connections[FW2_HTTP1]) },
                                    { "HTTP/2", OF(connections[FW2_HTTP2]) },
                                    { "neither", OF(connections[FW2_NEITHER]) },
                                    { "encrypted", OF(tls) },
                                    { "without a request", OF(probes) },
                                    { NULL } };

static const column endings[] = {
    { "lingering now", OF(held) },
    { "client has all", OF(endings[FW2_ACKED]) },
    { "client closed", OF(endings[FW2_PEER_CLOSED]) },
    { "client reset", OF(endings[FW2_PEER_RESET]) },
    { "silence", OF(endings[FW2_SILENCE]) },
    { "too long", OF(endings[FW2_TOTAL]) },
    { "too much", OF(endings[FW2_BYTES]) },
    { "evicted", OF(endings[FW2_EVICTED]) },
    { "httpd stopped", OF(endings[FW2_STOPPED]) },
    { "bytes discarded", OF(drained) },
    { NULL }
};

static apr_int64_t value_of(const fw2_vhost_report *at, const column *of)
{
    return *(const apr_int64_t *)((const char *)at + of->offset);
}

static int is_blank(const fw2_vhost_report *at, const column *columns)
{
    while (columns->heading && value_of(at, columns) <= 0) {
        columns++;
    }
    return !columns->heading;
}

static int is_busier(const void *a, const void *b)
{
    const fw2_vhost_report *left = a, *right = b;
    const apr_int64_t *l = left->totals.closes, *r = right->totals.closes;
    apr_int64_t more = right->expected - left->expected;

    if (!more) {
        more = r[FW2_BY_PEER] + r[FW2_BY_SERVER] - l[FW2_BY_PEER]
               - l[FW2_BY_SERVER];
    }
    return more > 0   ? 1
           : more < 0 ? -1
                      : strcmp(left->totals.vhost, right->totals.vhost);
}

static const fw2_vhost_report *busiest_first(request_rec *r,
                                             const fw2_report *report)
{
    apr_size_t n = (apr_size_t)report->nvhosts;
    fw2_vhost_report *all =
        apr_pmemdup(r->pool, report->vhosts, n * sizeof(*all));

    qsort(all, n, sizeof(*all), is_busier);
    return all;
}

static void write_vhost(request_rec *r, const fw2_vhost_report *at,
                        const column *columns)
{
    ap_rprintf(r, "<tr><th scope=row>%s</th>",
               ap_escape_html(r->pool, at->totals.vhost));
    for (; columns->heading; columns++) {
        fw2_write_count(r, value_of(at, columns));
    }
    ap_rputs("</tr>\n", r);
}

/* A server of hundreds has few that matter: the others are in JSON. */
static void write_rest(request_rec *r, int blank, int more)
{
    if (more) {
        ap_rprintf(r,
                   "<p><small>%d less busy ones are in <a href=\"?json\">JSON"
                   "</a>.</small></p>\n",
                   more);
    }
    if (blank) {
        ap_rprintf(r, "<p><small>%d %s had none of these.</small></p>\n", blank,
                   plural(blank, "virtual host", "virtual hosts"));
    }
}

static void write_vhosts(request_rec *r, const fw2_report *report,
                         const char *title, const column *columns)
{
    const fw2_vhost_report *all = busiest_first(r, report);
    const column *at;
    int blank = 0, shown = 0, i;

    ap_rprintf(r,
               "<h2>%s, by virtual host</h2>\n<div class=\"card wide\" "
               "tabindex=0 role=region aria-label=\"%s, by virtual host\">"
               "<table><thead><tr><th scope=col>Virtual host</th>",
               title, title);
    for (at = columns; at->heading; at++) {
        ap_rprintf(r, "<th scope=col>%s</th>", at->heading);
    }
    ap_rputs("</tr></thead>\n<tbody>", r);
    for (i = 0; i < report->nvhosts; i++) {
        if (is_blank(&all[i], columns)) {
            blank++;
        }
        else if (shown++ < VHOSTS_SHOWN) {
            write_vhost(r, &all[i], columns);
        }
    }
    ap_rputs("</tbody></table>", r);
    write_rest(r, blank, shown > VHOSTS_SHOWN ? shown - VHOSTS_SHOWN : 0);
    ap_rputs("</div>\n", r);
}

static void write_peers(request_rec *r, const fw2_report *report)
{
    int i;

    if (!report->npeers) {
        return;
    }
    ap_rputs("<h2>Whose they are</h2>\n<div class=card><table><thead><tr>"
             "<th scope=col>Client</th><th scope=col>half-closed connections"
             "</th></tr></thead>\n<tbody>",
             r);
    for (i = 0; i < report->npeers; i++) {
        ap_rprintf(r, "<tr><th scope=row>%s</th>",
                   ap_escape_html(r->pool, report->peers[i].peer));
        fw2_write_count(r, report->peers[i].connections);
        ap_rputs("</tr>\n", r);
    }
    ap_rputs("</tbody></table>", r);
    if (report->unlisted > 0) {
        ap_rprintf(r,
                   "<p><small>%" APR_INT64_T_FMT " more are other "
                   "clients'.</small></p>",
                   report->unlisted);
    }
    ap_rputs("</div>\n", r);
}

/* A list of clients that do not close. */
typedef struct {
    fw2_client_list list;
    const char *title, *heading;
} client_table;

static const client_table client_tables[] = {
    { FW2_AGENTS, "By User-Agent", "User-Agent" },
    { FW2_NETS, "By net", "Net" },
    { FW2_IDLE_NETS, "Idle for too long, by net", "Net" },
};

/* Clients in one table at most. */
#define CLIENTS_SHOWN 20

static void write_client(request_rec *r, const fw2_client_report *client)
{
    ap_rprintf(r, "<tr><th scope=row>%s</th>",
               ap_escape_html(r->pool, client->client));
    fw2_write_count(r, client->left_open);
    fw2_write_count(r, client->silent);
    fw2_write_count(r, client->expired);
    fw2_write_count(r, client->closed);
    ap_rputs("</tr>\n", r);
}

static void write_client_table(request_rec *r, const fw2_report *report,
                               const client_table *table)
{
    const fw2_client_reports *list = &report->lists[table->list];
    int i;

    if (!list->n) {
        return;
    }
    ap_rprintf(r,
               "<div class=\"card wide\" tabindex=0 role=region "
               "aria-label=\"%s\"><table><caption>%s</caption><thead><tr>"
               "<th scope=col>%s</th><th scope=col>left open</th>"
               "<th scope=col>silent to the end</th>"
               "<th scope=col>idle for too long</th>"
               "<th scope=col>closed by httpd</th></tr></thead>\n<tbody>",
               table->title, table->title, table->heading);
    for (i = 0; i < list->n && i < CLIENTS_SHOWN; i++) {
        write_client(r, &list->clients[i]);
    }
    ap_rputs("</tbody></table></div>\n", r);
}

static void write_clients(request_rec *r, const fw2_report *report)
{
    apr_size_t i;

    if (report->clients.over <= 0) {
        return;
    }
    ap_rprintf(r,
               "<h2>Which clients do not close</h2>\n<p class=soft>Of the last "
               "%d minutes: %" APR_INT64_T_FMT " connections were left open, "
               "and of %" APR_INT64_T_FMT " the keep-alive time was over. "
               "Numbers are of what was seen of a client since it is in its "
               "list.</p>\n<div class=stack>\n",
               (int)(apr_time_sec(report->clients.over) / 60 + 1),
               report->clients.left_open, report->clients.expired);
    for (i = 0; i < sizeof(client_tables) / sizeof(client_tables[0]); i++) {
        write_client_table(r, report, &client_tables[i]);
    }
    ap_rputs("</div>\n", r);
}

static void write_words(request_rec *r)
{
    int state;

    ap_rputs("<details><summary>What the words mean</summary><dl>\n", r);
    for (state = 0; state < FW2_STATES; state++) {
        ap_rprintf(r, "<dt>%s</dt><dd>%s</dd>\n", states[state],
                   meanings[state]);
    }
    ap_rputs("<dt>httpd</dt><dd>A process of httpd's holds the descriptor, "
             "and no timer of the kernel's runs: it stays for as long as "
             "httpd holds it.</dd>\n<dt>kernel, full</dt><dd>httpd has closed "
             "it; the kernel keeps a whole socket of about 2.4 KB, and bytes "
             "not delivered.</dd>\n<dt>kernel, mini</dt><dd>httpd has closed "
             "it; the kernel keeps 256 bytes and a timer that ends it.</dd>\n"
             "</dl></details>\n",
             r);
}

/* One metric as a line: what it is, its value, and why there is none. */
static void write_fact(request_rec *r, const fw2_metric *metric,
                       const void *element)
{
    const char *value, *unknown = "";

    if (metric->kind == FW2_TEXT) {
        value = ap_escape_html(r->pool, fw2_metric_text(metric, element));
    }
    else {
        apr_int64_t number = fw2_metric_number(metric, element, 0);

        value = number_html(r, metric, number);
        if (number == FW2_UNKNOWN && metric->unknown) {
            unknown = apr_pstrcat(r->pool, " Not known: ", metric->unknown, ".",
                                  NULL);
        }
    }
    ap_rprintf(r,
               "<tr><th scope=row>%s<small>%s.%s</small></th><td>%s</td>"
               "</tr>\n",
               metric->key, metric->help, unknown, value);
}

static void write_facts(request_rec *r, const fw2_report *report,
                        const char *key)
{
    const fw2_section *section = fw2_section_find(key);
    const fw2_metric *metric;

    ap_rprintf(r,
               "<div class=card><table class=facts><caption>%s</caption>"
               "<tbody>\n",
               section->title);
    for (metric = section->metrics; metric->key; metric++) {
        write_fact(r, metric, fw2_section_element(section, report, 0));
    }
    ap_rputs("</tbody></table></div>\n", r);
}

static void write_footer(request_rec *r)
{
    ap_rputs("<footer><p>The same snapshot as <a href=\"?auto\">text</a>, "
             "<a href=\"?json\">JSON</a>, <a href=\"?openmetrics\">"
             "OpenMetrics</a>, <a href=\"?prometheus\">Prometheus</a>; "
             "<a href=\"?refresh=10\">reload every 10 s</a>.</p>\n",
             r);
    ap_rputs(ap_psignature("", r), r);
    ap_rputs("</footer>\n</main></body></html>\n", r);
}

void fw2_write_html(request_rec *r, const fw2_report *report)
{
    const char *host = ap_escape_html(r->pool, ap_get_server_name(r));

    ap_rprintf(r,
               "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>"
               "<meta name=viewport content=\"width=device-width\">"
               "<title>Half-closed connections: %s</title>\n<style>\n%s%s"
               "</style></head>\n<body><main>\n<p class=soft>%s, counted by "
               "mod_finwait2</p>\n",
               host, style, fw2_picture_style, host);
    write_headline(r, report);
    fw2_write_last(r, report);
    write_advice(r, report);
    write_missing(r, report);
    fw2_write_pictures(r, report);
    write_listeners(r, report);
    write_words(r);
    write_peers(r, report);
    write_clients(r, report);
    write_vhosts(r, report, "Who closed first, and why", causes);
    write_vhosts(r, report, "What was spoken", protocols);
    write_vhosts(r, report, "How lingers ended", endings);
    fw2_write_remaining(r, report);
    fw2_write_reaches(r, report);
    fw2_write_losses(r, report);
    ap_rputs("<details><summary>All figures</summary>\n<div class=cards>\n", r);
    write_facts(r, report, "closer");
    write_facts(r, report, "limits");
    write_facts(r, report, "snapshot");
    write_facts(r, report, "server");
    ap_rputs("</div></details>\n", r);
    write_footer(r);
}
