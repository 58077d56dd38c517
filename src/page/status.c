/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "page/status.h"

#include "apr_lib.h"
#include "apr_strings.h"
#include "ap_mpm.h"
#include "http_core.h"
#include "http_log.h"
#include "http_main.h"
#include "http_protocol.h"
#include "http_request.h"
#include "scoreboard.h"

#include "base/clamp.h"
#include "page/status_impl.h"
#include "base/version.h"

APLOG_USE_MODULE(finwait2);

#define HANDLER "finwait-status"

/* Seconds between reloads: the value of `refresh` alone, and the bounds. */
#define REFRESH     10
#define REFRESH_MIN 1
#define REFRESH_MAX 3600

/* The virtual hosts that a format writes. */
typedef enum {
    ALL,    /* all, or those that the format chooses itself */
    NONE,   /* none */
    SUMMED, /* their sum */
    CHOSEN  /* those that the query string asks for */
} fw2_vhosts_shown;

/* A format: its word in the query string, its media type and its writer. */
typedef struct fw2_format {
    const char *query;
    const char *type;
    fw2_vhosts_shown vhosts;
    void (*write)(fw2_page *page);
} fw2_format;

static const fw2_format html = { "html", "text/html; charset=utf-8", ALL,
                                 fw2_write_html };
static const fw2_format openmetrics = {
    "openmetrics", "application/openmetrics-text; version=1.0.0; charset=utf-8",
    CHOSEN, fw2_write_openmetrics
};
static const fw2_format prometheus = {
    "prometheus", "text/plain; version=0.0.4; charset=utf-8", CHOSEN,
    fw2_write_prometheus
};
static const fw2_format json = { "json", "application/json", CHOSEN,
                                 fw2_write_json };
static const fw2_format automatic = { "auto", "text/plain; charset=utf-8",
                                      SUMMED, fw2_write_auto };
static const fw2_format csv = { "csv", "text/csv; charset=utf-8", NONE,
                                fw2_write_csv };

static const fw2_format *const formats[] = { &html,        &automatic,  &json,
                                             &openmetrics, &prometheus, &csv,
                                             NULL };

static int parse_refresh(const char *value)
{
    apr_int64_t seconds =
        value && apr_isdigit(*value) ? apr_atoi64(value) : REFRESH;

    return (int)fw2_clamp_number(REFRESH_MIN, seconds, REFRESH_MAX);
}

/* Return the value of `vhosts`, or `before` if it is invalid. A number that is
 * too large means all. */
static apr_int64_t parse_vhosts(const char *value, apr_int64_t before)
{
    if (!strcmp(value, "all")) {
        return FW2_VHOSTS_ALL;
    }
    if (!strcmp(value, "off")) {
        return FW2_VHOSTS_OFF;
    }
    return *value && !value[strspn(value, "0123456789")] ? apr_atoi64(value)
                                                         : before;
}

static int parse_top(const char *value)
{
    apr_int64_t top = apr_atoi64(value);

    if (!strcmp(value, "all")) {
        return 0;
    }
    return top > 0 && top < FW2_ROWS_FOLDED ? (int)top : FW2_ROWS_OPEN;
}

/* Read a word without a value: a format, of which the first one is used. */
static void read_format(fw2_page *page, const char *word)
{
    int i;

    for (i = 0; formats[i] && !page->format; i++) {
        if (!strcmp(word, formats[i]->query)) {
            page->format = formats[i];
        }
    }
}

/* Read a word of the query string: a key and its value, or NULL. */
static void read_word(fw2_page *page, const char *key, char *value)
{
    if (!strcmp(key, "refresh")) {
        page->refresh = parse_refresh(value);
    }
    else if (!value) {
        read_format(page, key);
    }
    else if (!strcmp(key, "vhosts")) {
        page->vhosts = parse_vhosts(value, page->vhosts);
    }
    else if (!strcmp(key, "sort")) {
        page->sort = value;
    }
    else if (!strcmp(key, "vhost") && ap_unescape_urlencoded(value) == OK) {
        page->vhost = value;
    }
    else if (!strcmp(key, "top")) {
        page->top = parse_top(value);
    }
}

/* Read the query string. Unknown words are ignored. The first format is used,
 * and the last value of each key. */
static void read_query(fw2_page *page)
{
    char *rest =
        page->r->args ? apr_pstrdup(page->r->pool, page->r->args) : NULL;
    char *token, *state;

    page->vhosts = FW2_VHOSTS_SHOWN;
    page->top = FW2_ROWS_OPEN;
    for (token = rest ? apr_strtok(rest, "&", &state) : NULL; token;
         token = apr_strtok(NULL, "&", &state)) {
        char *value = strchr(token, '=');

        if (value) {
            *value++ = '\0';
        }
        read_word(page, token, value);
    }
}

/* True if a media range without spaces has a type and a parameter, and not
 * `q=0`, which means that the client does not accept it. Modifies the range. */
static int range_is(char *range, const char *type, const char *parameter)
{
    char *state;
    char *token = apr_strtok(range, ";", &state);
    int found = !*parameter;

    if (!token || ap_cstr_casecmp(token, type)) {
        return 0;
    }
    while ((token = apr_strtok(NULL, ";", &state))) {
        if (!ap_cstr_casecmpn(token, "q=0", 3)
            && !token[3 + strspn(token + 3, ".0")]) {
            return 0;
        }
        found = found || !strcmp(token, parameter);
    }
    return found;
}

static int accepts(request_rec *r, const char *type, const char *parameter)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");
    char *ranges, *range, *state;

    if (!accept) {
        return 0;
    }
    ranges = apr_palloc(r->pool, strlen(accept) + 1);
    apr_collapse_spaces(ranges, accept);
    for (range = apr_strtok(ranges, ",", &state); range;
         range = apr_strtok(NULL, ",", &state)) {
        if (range_is(range, type, parameter)) {
            return 1;
        }
    }
    return 0;
}

/* Return the format for the field Accept. A browser accepts HTML, which
 * Prometheus never does. */
static const fw2_format *negotiate(request_rec *r)
{
    if (accepts(r, "text/html", "")) {
        return &html;
    }
    if (accepts(r, "application/openmetrics-text", "")) {
        return &openmetrics;
    }
    if (accepts(r, "text/plain", "version=0.0.4")) {
        return &prometheus;
    }
    if (accepts(r, "application/json", "")) {
        return &json;
    }
    return &html;
}

static void set_headers(request_rec *r, const fw2_format *format, int refresh)
{
    ap_set_content_type(r, format->type);
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    apr_table_mergen(r->headers_out, "Vary", "Accept");
    if (refresh) {
        apr_table_setn(r->headers_out, "Refresh", apr_itoa(r->pool, refresh));
    }
    if (format == &html) {
        apr_table_setn(
            r->headers_out, "Content-Security-Policy",
            apr_pstrcat(r->pool, "default-src 'none'; script-src '",
                        fw2_page_script_hash,
                        "'; connect-src 'self'; style-src 'unsafe-inline'; "
                        "frame-ancestors 'self'; base-uri 'none'",
                        NULL));
    }
}

/* Return the version of the running httpd: `2.4.62`. */
static const char *httpd_version(apr_pool_t *pool)
{
    ap_version_t version;

    ap_get_server_revision(&version);
    return apr_psprintf(pool, "%d.%d.%d%s", version.major, version.minor,
                        version.patch, version.add_string);
}

void fw2_status_describe(fw2_report *report, apr_pool_t *pool)
{
    /* Any child can write into the scoreboard. */
    apr_time_t now = apr_time_now();
    apr_time_t start =
        fw2_clamp_number(0, ap_get_scoreboard_global()->restart_time, now);
    int generation = 0;

    ap_mpm_query(AP_MPMQ_GENERATION, &generation);
    report->server.version = FW2_VERSION;
    report->server.httpd = httpd_version(pool);
    report->server.mpm = ap_show_mpm();
    report->server.start = start;
    report->server.uptime = now - start;
    report->server.generation = generation;
}

/* Return the status for a request that is not answered; otherwise OK. */
static int refuse(request_rec *r, const fw2_sources *sources)
{
    if (strcmp(r->handler, HANDLER)) {
        return DECLINED;
    }
    if (!sources->wanted) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "%s is the handler here, but FinWait2Status is Off: "
                      "answering 404. For the page, set FinWait2Status On in "
                      "the server configuration",
                      HANDLER);
        return HTTP_NOT_FOUND;
    }
    if (!sources->boards) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "%s has no data to show: there has been no shared memory "
                      "since the last restart. Answering 503; restart httpd",
                      HANDLER);
        return HTTP_SERVICE_UNAVAILABLE;
    }
    if (r->method_number != M_GET) {
        ap_allow_methods(r, REPLACE_ALLOW, "GET", NULL);
        return HTTP_METHOD_NOT_ALLOWED;
    }
    return OK;
}

void fw2_status_advise(fw2_report *report, apr_pool_t *pool)
{
    int async = 0;

    ap_mpm_query(AP_MPMQ_IS_ASYNC, &async);
    report->server.linger_blocks = !async;
    fw2_advice_give(report, pool);
}

apr_int64_t fw2_status_severity(const fw2_sources *sources, apr_pool_t *pool)
{
    fw2_report report;

    fw2_report_last(&report, sources, pool);
    fw2_status_advise(&report, pool);
    return report.snapshot.verdict;
}

/* Return the number of virtual hosts to write, as in fw2_metrics_choose(). */
static apr_int64_t vhosts_of(const fw2_page *page)
{
    static const apr_int64_t fixed[] = {
        [ALL] = FW2_VHOSTS_ALL, [NONE] = FW2_VHOSTS_OFF, [SUMMED] = 0
    };

    return page->format->vhosts == CHOSEN ? page->vhosts
                                          : fixed[page->format->vhosts];
}

int fw2_status_handler(request_rec *r, const fw2_sources *sources)
{
    fw2_report report;
    fw2_page page = { .r = r, .report = &report };
    int status = refuse(r, sources);

    if (status != OK) {
        return status;
    }
    read_query(&page);
    if (!page.format) {
        page.format = negotiate(r);
    }
    set_headers(r, page.format, page.refresh);
    fw2_status_describe(&report, r->pool);
    fw2_report_make(&report, sources, r->pool);
    fw2_status_advise(&report, r->pool);
    fw2_metrics_choose(&report, sources, vhosts_of(&page), r->pool);
    page.format->write(&page);
    return OK;
}
