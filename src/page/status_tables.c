/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The tables of listeners, virtual hosts and clients on the page. Each shows
 * the first rows and folds the others, so that an idle server has a short page.
 */

#include "page/status_impl.h"

#include <stdlib.h>

#include "apr_strings.h"
#include "http_protocol.h"

#include "page/text.h"

/* The maximum number of names of idle rows. A link leads to the others. */
#define NAMES 200

/* The maximum number of names of idle rows that are not folded. */
#define FEW_NAMES 4

/* A column of numbers. */
typedef struct {
    const char *key; /* key in `?sort=`; NULL ends the columns */
    const char *heading;
    apr_size_t offset; /* offset in a row */
    apr_size_t size;   /* size of the numbers there, which are added up */
} column;

/* A column for a member of a row, which is a number or an array of them. */
#define COLUMN(key, heading, row, member)                                      \
    {                                                                          \
        key, heading, APR_OFFSETOF(row, member), sizeof(((row *)NULL)->member) \
    }

/* A column of other contents. */
typedef struct {
    const char *heading; /* NULL ends the cells */
    void (*write)(request_rec *r, const void *row);
} cell;

/* A table. Each row begins with a pointer to its name. */
typedef struct {
    const char *id;
    const char *heading; /* heading of the names */
    const char *noun;    /* noun for one row */
    const column *columns;
    const cell *cells; /* columns to the right of `columns` */
    apr_size_t size;   /* size of a row */
    const char *link;  /* key of the query string that a name links to; or
                          NULL */
} table;

/* A row with its sort keys. */
typedef struct {
    const void *row;
    const char *name;
    apr_int64_t weight; /* the number in the column to sort by */
    int idle;           /* 1: no number is above 0; sorted last */
} entry;

/* --------------------------------------------------------------- links -- */

static const char *add_parameter(const fw2_page *page, const char *link,
                                 const char *key, const char *value)
{
    return value ? apr_pstrcat(page->r->pool, link, *link ? "&" : "?", key, "=",
                               ap_escape_urlencoded(page->r->pool, value), NULL)
                 : link;
}

const char *fw2_page_link(const fw2_page *page, const char *key,
                          const char *value)
{
    apr_pool_t *pool = page->r->pool;
    const char *top = page->top ? apr_itoa(pool, page->top) : "all";
    const struct {
        const char *key, *value;
    } present[] = { { "sort", page->sort },
                    { "vhost", page->vhost },
                    { "top", page->top == FW2_ROWS_OPEN ? NULL : top } };
    const char *link = "";
    unsigned int i;

    for (i = 0; i < sizeof(present) / sizeof(present[0]); i++) {
        int changed = key && !strcmp(key, present[i].key);

        link = add_parameter(page, link, present[i].key,
                             changed ? value : present[i].value);
    }
    return *link ? ap_escape_html(pool, link) : "?";
}

/* ---------------------------------------------------------------- rows -- */

static const char *name_of(const void *row)
{
    return *(const char *const *)row;
}

static int compare(const void *a, const void *b)
{
    const entry *left = a, *right = b;

    if (left->idle != right->idle) {
        return left->idle - right->idle;
    }
    if (left->weight != right->weight) {
        return left->weight < right->weight ? 1 : -1;
    }
    return strcmp(left->name, right->name);
}

/* Return the value in a column; FW2_UNKNOWN if a number is not known. */
static apr_int64_t value_of(const column *at, const void *row)
{
    const apr_int64_t *numbers =
        (const apr_int64_t *)((const char *)row + at->offset);
    apr_int64_t sum = 0;
    apr_size_t i;

    for (i = 0; i < at->size / sizeof(*numbers); i++) {
        if (numbers[i] < 0) {
            return FW2_UNKNOWN;
        }
        sum += numbers[i];
    }
    return sum;
}

/* Return the column to sort by: that of `sort`, otherwise the first. */
static const column *sort_column(const fw2_page *page, const table *t)
{
    const column *at = t->columns;

    while (at->key && (!page->sort || strcmp(at->key, page->sort))) {
        at++;
    }
    return at->key ? at : t->columns;
}

static int is_idle(const table *t, const void *row)
{
    const column *at = t->columns;

    while (at->key && value_of(at, row) <= 0) {
        at++;
    }
    return !at->key;
}

/* Sort the rows, idle ones last. Return the number of rows that are not
 * idle. */
static int sort_rows(const fw2_page *page, const table *t, const void *rows,
                     int n, entry **sorted)
{
    const column *by = sort_column(page, t);
    entry *all = apr_palloc(page->r->pool, (apr_size_t)(n + 1) * sizeof(*all));
    int i, busy = 0;

    for (i = 0; i < n; i++) {
        const void *row = (const char *)rows + (apr_size_t)i * t->size;

        all[i] =
            (entry){ row, name_of(row), value_of(by, row), is_idle(t, row) };
        busy += !all[i].idle;
    }
    qsort(all, (apr_size_t)n, sizeof(*all), compare);
    *sorted = all;
    return busy;
}

void fw2_write_count(request_rec *r, const char *key, apr_int64_t n)
{
    ap_rprintf(r, "<td%s%s%s%s>%s</td>", n == 0 ? " class=zero" : "",
               *key ? " data-k=\"" : "", key, *key ? "\"" : "",
               n == FW2_UNKNOWN ? "&ndash;" : fw2_text_number(r->pool, n));
}

static void write_row(const fw2_page *page, const table *t, const entry *at)
{
    const char *name = ap_escape_html(page->r->pool, at->name);
    const column *col;
    const cell *cell_at;

    ap_rputs("<tr><th scope=row>", page->r);
    if (t->link) {
        ap_rprintf(page->r, "<a href=\"%s#vhost\" data-live>%s</a>",
                   fw2_page_link(page, t->link, at->name), name);
    }
    else {
        ap_rputs(name, page->r);
    }
    ap_rputs("</th>", page->r);
    for (col = t->columns; col->key; col++) {
        fw2_write_count(page->r, col->heading, value_of(col, at->row));
    }
    for (cell_at = t->cells; cell_at->heading; cell_at++) {
        cell_at->write(page->r, at->row);
    }
    ap_rputs("</tr>\n", page->r);
}

static void write_table(const fw2_page *page, const table *t, const entry *rows,
                        int n)
{
    const column *by = sort_column(page, t), *col;
    const cell *cell_at;

    ap_rprintf(page->r,
               "<div class=rows><table><thead><tr><th scope=col>%s</th>",
               t->heading);
    for (col = t->columns; col->key; col++) {
        ap_rprintf(page->r,
                   "<th scope=col%s><a href=\"%s#%s\" data-live>%s</a></th>",
                   col == by ? " aria-sort=descending" : "",
                   fw2_page_link(page, "sort", col->key), t->id, col->heading);
    }
    for (cell_at = t->cells; cell_at->heading; cell_at++) {
        ap_rprintf(page->r, "<th scope=col>%s</th>", cell_at->heading);
    }
    ap_rputs("</tr></thead>\n<tbody>", page->r);
    while (n-- > 0) {
        write_row(page, t, rows++);
    }
    ap_rputs("</tbody></table></div>\n", page->r);
}

/* Return `12 more listeners`, `1 idle listener`. */
static const char *count_of(const fw2_page *page, const table *t, int n,
                            const char *kind)
{
    apr_pool_t *pool = page->r->pool;

    return fw2_text_count(pool, n, apr_pstrcat(pool, kind, t->noun, NULL));
}

/* Write a link to the page with all rows, for the rows that are left out. */
static void write_link_to_all(const fw2_page *page, const table *t, int n)
{
    ap_rprintf(page->r,
               "<p><small><a href=\"%s#%s\" data-live>Show %s</a>"
               "</small></p>\n",
               fw2_page_link(page, "top", "all"), t->id,
               count_of(page, t, n, "more "));
}

static void write_more(const fw2_page *page, const table *t, const entry *rows,
                       int n)
{
    int shown = n < FW2_ROWS_FOLDED ? n : FW2_ROWS_FOLDED;

    if (n <= 0) {
        return;
    }
    ap_rprintf(page->r, "<details id=more-%s><summary>%s</summary>\n", t->id,
               count_of(page, t, n, "more "));
    write_table(page, t, rows, shown);
    if (n > shown) {
        write_link_to_all(page, t, n - shown);
    }
    ap_rputs("</details>\n", page->r);
}

/* Write the names of the idle rows. */
static void write_idle(const fw2_page *page, const table *t, const entry *rows,
                       int n)
{
    int shown = n < NAMES ? n : NAMES, i;

    if (n <= 0) {
        return;
    }
    ap_rprintf(page->r,
               "<details id=idle-%s%s><summary>%s</summary><p>"
               "<small>",
               t->id, n > FEW_NAMES ? "" : " open",
               count_of(page, t, n, "idle "));
    for (i = 0; i < shown; i++) {
        ap_rprintf(page->r, "%s%s", i ? ", " : "",
                   ap_escape_html(page->r->pool, rows[i].name));
    }
    ap_rputs("</small></p>\n", page->r);
    if (n > shown) {
        write_link_to_all(page, t, n - shown);
    }
    ap_rputs("</details>\n", page->r);
}

static void write_rows(const fw2_page *page, const table *t, const void *rows,
                       int n)
{
    entry *sorted;
    int busy = sort_rows(page, t, rows, n, &sorted);
    int shown = page->top && page->top < busy ? page->top : busy;

    if (!page->top) {
        shown = busy = n;
    }
    if (shown) {
        write_table(page, t, sorted, shown);
    }
    write_more(page, t, sorted + shown, busy - shown);
    write_idle(page, t, sorted + busy, n - busy);
}

/* ----------------------------------------------------------- listeners -- */

#define LISTENER(key, heading, member)                                         \
    COLUMN(key, heading, fw2_listener_report, member)

static const column listener_columns[] = {
    LISTENER("orphans", "orphans", half.orphan),
    LISTENER("held", "held", half.held),
    LISTENER("fin_wait_1", "FIN_WAIT_1", tally.n[FW2_FIN_WAIT1]),
    LISTENER("fin_wait_2", "FIN_WAIT_2", tally.n[FW2_FIN_WAIT2]),
    LISTENER("closing", "CLOSING", tally.n[FW2_CLOSING]),
    LISTENER("close_wait", "CLOSE_WAIT", tally.n[FW2_CLOSE_WAIT]),
    LISTENER("last_ack", "LAST_ACK", tally.n[FW2_LAST_ACK]),
    LISTENER("queued", "accept queue", tally.backlog),
    { NULL }
};

static const cell no_cells[] = { { NULL, NULL } };

static const table listeners = { .id = "listeners",
                                 .heading = "Listener",
                                 .noun = "listener",
                                 .columns = listener_columns,
                                 .cells = no_cells,
                                 .size = sizeof(fw2_listener_report) };

void fw2_write_listeners(const fw2_page *page)
{
    const fw2_report *report = page->report;

    ap_rputs("<section id=listeners class=card><h2>Listeners</h2>\n", page->r);
    write_rows(page, &listeners, report->listeners, report->nlisteners);
    ap_rputs("</section>\n", page->r);
}

/* -------------------------------------------------------------- vhosts -- */

#define VHOST(key, heading, member)                                            \
    COLUMN(key, heading, fw2_vhost_report, member)

static const column vhost_columns[] = {
    VHOST("expected", "orphans expected", flow.expected),
    VHOST("closes", "closes a minute", rates.causes),
    VHOST("left_open", "not closed by client, a minute", flow.left_open),
    VHOST("vhost_held", "held", held),
    VHOST("ever", "closes in total", totals.closes),
    { NULL }
};

/* Write the causes of a virtual host: the main one in words, all as a bar. */
static void write_causes(request_rec *r, const void *row)
{
    const fw2_vhost_totals *totals = &((const fw2_vhost_report *)row)->totals;
    const apr_int64_t *n = totals->causes;
    apr_int64_t all =
        totals->closes[FW2_BY_PEER] + totals->closes[FW2_BY_SERVER];
    int most = 0, i;

    if (all <= 0) {
        ap_rputs("<td class=cause>&ndash;</td>", r);
        return;
    }
    for (i = 1; i < FW2_CAUSES; i++) {
        most = n[i] > n[most] ? i : most;
    }
    ap_rprintf(r, "<td class=cause>%s %s<span class=bar>",
               fw2_text_percent(r->pool, n[most], all), fw2_causes[most].words);
    for (i = 0; i < FW2_CAUSES; i++) {
        if (n[i] > 0) {
            ap_rprintf(r,
                       "<i class=k%d style=\"width:%.1f%%\" title=\"%s: %s\">"
                       "</i>",
                       i, 100.0 * (double)n[i] / (double)all,
                       fw2_causes[i].words, fw2_text_number(r->pool, n[i]));
        }
    }
    ap_rputs("</span></td>", r);
}

#define CLOSES_HEADING "closes in the last hour"

/* Return the number of an interval of a trend as a number in a minute, rounded
 * up. */
static apr_int64_t per_minute(apr_int64_t n)
{
    return (n - 1) / (FW2_TREND_STEP / FW2_MINUTE) + 1;
}

/* Write the trend as a small line, scaled to its peak. */
static void write_trend(request_rec *r, const void *row)
{
    const fw2_vhost_report *vhost = row;
    apr_int64_t trend[FW2_TREND], peak = 0;
    int i, drawn = 0;

    fw2_counters_trend(vhost->counters, vhost->id, trend);
    for (i = 0; i < FW2_TREND; i++) {
        peak = trend[i] > peak ? trend[i] : peak;
    }
    if (!peak) {
        ap_rputs("<td class=zero>&ndash;</td>", r);
        return;
    }
    ap_rprintf(r,
               "<td class=spark data-k=\"" CLOSES_HEADING
               "\"><svg viewBox=\"-1 -1 %d 18\" role=img "
               "aria-label=\"at most %s a minute\"><path class=closes d=\"",
               2 * FW2_TREND, fw2_text_number(r->pool, per_minute(peak)));
    for (i = 0; i < FW2_TREND; i++) {
        if (trend[i] >= 0) {
            /* A single interval is a dot. */
            ap_rprintf(r, drawn++ ? "L%d %d" : "M%d %dh0", 2 * i,
                       (int)(16 - 16.0 * (double)trend[i] / (double)peak));
        }
    }
    ap_rputs("\"/></svg></td>", r);
}

static const cell vhost_cells[] = { { CLOSES_HEADING, write_trend },
                                    { "causes", write_causes },
                                    { NULL, NULL } };

static const table vhosts = { .id = "vhosts",
                              .heading = "Virtual host",
                              .noun = "virtual host",
                              .columns = vhost_columns,
                              .cells = vhost_cells,
                              .size = sizeof(fw2_vhost_report),
                              .link = "vhost" };

/* Write all figures of the virtual host that the query string names. */
static void write_chosen(const fw2_page *page)
{
    const fw2_report *report = page->report;
    const fw2_section *section = fw2_metrics_section("vhosts");
    int i = 0;

    ap_rputs("<div id=vhost class=card>\n", page->r);
    while (i < report->nvhosts
           && strcmp(report->vhosts[i].totals.vhost, page->vhost)) {
        i++;
    }
    if (i < report->nvhosts) {
        fw2_write_element(page->r, page->vhost, section,
                          fw2_metrics_element(section, report, i));
    }
    else {
        ap_rprintf(page->r, "<p>There is no virtual host %s.</p>\n",
                   ap_escape_html(page->r->pool, page->vhost));
    }
    ap_rprintf(page->r,
               "<p><a href=\"%s#vhosts\" data-live>close</a></p></div>\n",
               fw2_page_link(page, "vhost", NULL));
}

void fw2_write_vhosts(const fw2_page *page)
{
    ap_rputs("<section id=vhosts class=card><h2>Virtual hosts</h2>\n", page->r);
    write_rows(page, &vhosts, page->report->vhosts, page->report->nvhosts);
    if (page->vhost) {
        write_chosen(page);
    }
    ap_rputs("</section>\n", page->r);
}

/* ------------------------------------------------------------- clients -- */

/* A client of any list. */
typedef struct {
    const char *name;
    const char *kind;
    apr_int64_t now; /* half-closed connections */
    fw2_client_report past;
} client;

static void write_kind(request_rec *r, const void *row)
{
    ap_rprintf(r, "<td>%s</td>", ((const client *)row)->kind);
}

#define CLIENT(key, heading, member) COLUMN(key, heading, client, member)

static const column client_columns[] = {
    CLIENT("left", "not closed by client", past.left_open),
    CLIENT("now", "half-closed now", now),
    CLIENT("silent", "idle to the end", past.silent),
    CLIENT("expired", "keep-alive time over", past.expired),
    CLIENT("closed", "closed by httpd", past.closed),
    { NULL }
};

static const cell client_cells[] = { { "kind", write_kind }, { NULL, NULL } };

static const table clients = { .id = "clients",
                               .heading = "Client",
                               .noun = "client",
                               .columns = client_columns,
                               .cells = client_cells,
                               .size = sizeof(client) };

/* True if a list contains a client. */
static int is_listed(const fw2_client_reports *list, const char *name)
{
    int i = 0;

    while (i < list->n && strcmp(list->clients[i].client, name)) {
        i++;
    }
    return i < list->n;
}

/* Append the clients of a list that another list does not contain. Return their
 * number. */
static int add_list(client *rows, const fw2_client_reports *list,
                    const fw2_client_reports *except, const char *kind)
{
    int i, n = 0;

    for (i = 0; i < list->n; i++) {
        const fw2_client_report *past = &list->clients[i];

        if (!except || !is_listed(except, past->client)) {
            rows[n++] = (client){ past->client, kind, FW2_UNKNOWN, *past };
        }
    }
    return n;
}

/* Return all clients of the report, each net and each address once. */
static client *all_clients(const fw2_page *page, int *n)
{
    static const fw2_client_report unknown = { NULL, FW2_UNKNOWN, FW2_UNKNOWN,
                                               FW2_UNKNOWN, FW2_UNKNOWN };
    const fw2_client_reports *lists = page->report->lists;
    int most = lists[FW2_AGENTS].n + lists[FW2_NETS].n + lists[FW2_IDLE_NETS].n
               + page->report->npeers;
    client *rows =
        apr_palloc(page->r->pool, (apr_size_t)(most + 1) * sizeof(*rows));
    int i;

    *n = add_list(rows, &lists[FW2_AGENTS], NULL, "User-Agent");
    *n += add_list(rows + *n, &lists[FW2_NETS], NULL, "net");
    *n += add_list(rows + *n, &lists[FW2_IDLE_NETS], &lists[FW2_NETS], "net");
    for (i = 0; i < page->report->npeers; i++) {
        const fw2_peer_report *peer = &page->report->peers[i];

        rows[(*n)++] =
            (client){ peer->peer, "address", peer->connections, unknown };
    }
    return rows;
}

void fw2_write_clients(const fw2_page *page)
{
    const fw2_report *report = page->report;
    int n;
    const client *rows = all_clients(page, &n);

    if (!n && !report->clients.over) {
        return;
    }
    if (!n && report->clients.over < 0) {
        ap_rputs("<section id=unlisted class=card><h2>Clients that do not close"
                 "</h2>\n<p>Clients are not listed. <code>"
                 "FinWait2StatusPeers On</code> lists their User-Agents and "
                 "addresses, which are personal data.</p></section>\n",
                 page->r);
        return;
    }
    ap_rputs("<section id=clients class=card><h2>Clients that do not close"
             "</h2>\n",
             page->r);
    if (report->clients.over > 0) {
        ap_rprintf(page->r,
                   "<p class=soft>In the last %s, clients did not close %s. "
                   "httpd closed %s because the keep-alive time was over. A "
                   "client is counted from its first entry in the list "
                   "on.</p>\n",
                   fw2_text_long_time(page->r->pool, report->clients.over),
                   fw2_text_count(page->r->pool, report->clients.left_open,
                                  "connection"),
                   fw2_text_count(page->r->pool, report->clients.expired,
                                  "connection"));
    }
    write_rows(page, &clients, rows, n);
    if (report->unlisted > 0 && report->npeers) {
        ap_rprintf(page->r,
                   "<p><small>Half-closed connections of other addresses now: "
                   "%s.</small></p>\n",
                   fw2_text_number(page->r->pool, report->unlisted));
    }
    ap_rputs("</section>\n", page->r);
}
