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
typedef struct {
    const char *query;
    const char *type;
    fw2_vhosts_shown vhosts;
    void (*write)(request_rec *r, const fw2_report *report);
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

/* The values of the query string. */
typedef struct {
    const fw2_format *format; /* NULL: none is given */
    int refresh;              /* seconds, or 0 */
    apr_int64_t vhosts;       /* number, as in fw2_metrics_choose() */
} fw2_query;

static int parse_refresh(const char *value)
{
    apr_int64_t seconds = apr_isdigit(*value) ? apr_atoi64(value) : REFRESH;

    if (seconds < REFRESH_MIN) {
        return REFRESH_MIN;
    }
    return seconds > REFRESH_MAX ? REFRESH_MAX : (int)seconds;
}

/* Read the value of `vhosts`. An invalid value is ignored; one that is too
 * large means all. */
static void parse_vhosts(fw2_query *query, const char *value)
{
    if (!strcmp(value, "all")) {
        query->vhosts = FW2_VHOSTS_ALL;
    }
    else if (!strcmp(value, "off")) {
        query->vhosts = FW2_VHOSTS_OFF;
    }
    else if (*value && !value[strspn(value, "0123456789")]) {
        query->vhosts = apr_atoi64(value);
    }
}

/* Read the query string. Words between `&` are compared as a whole; other words
 * are ignored. The first format is used, and the last value of all others. */
static fw2_query parse_query(request_rec *r)
{
    fw2_query query = { NULL, 0, FW2_VHOSTS_SHOWN };
    char *rest = r->args ? apr_pstrdup(r->pool, r->args) : NULL;
    char *token, *state;
    int i;

    for (token = rest ? apr_strtok(rest, "&", &state) : NULL; token;
         token = apr_strtok(NULL, "&", &state)) {
        if (!strcmp(token, "refresh")) {
            query.refresh = REFRESH;
        }
        else if (!strncmp(token, "refresh=", 8)) {
            query.refresh = parse_refresh(token + 8);
        }
        else if (!strncmp(token, "vhosts=", 7)) {
            parse_vhosts(&query, token + 7);
        }
        for (i = 0; formats[i] && !query.format; i++) {
            if (!strcmp(token, formats[i]->query)) {
                query.format = formats[i];
            }
        }
    }
    return query;
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
    apr_time_t start = ap_get_scoreboard_global()->restart_time;
    apr_interval_time_t uptime = apr_time_now() - start;
    int generation = 0;

    ap_mpm_query(AP_MPMQ_GENERATION, &generation);
    report->server.version = FW2_VERSION;
    report->server.httpd = httpd_version(pool);
    report->server.mpm = ap_show_mpm();
    report->server.start = start;
    report->server.uptime = uptime > 0 ? uptime : 0; /* a clock set back */
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
static apr_int64_t vhosts_of(const fw2_query *query)
{
    static const apr_int64_t fixed[] = {
        [ALL] = FW2_VHOSTS_ALL, [NONE] = FW2_VHOSTS_OFF, [SUMMED] = 0
    };

    return query->format->vhosts == CHOSEN ? query->vhosts
                                           : fixed[query->format->vhosts];
}

int fw2_status_handler(request_rec *r, const fw2_sources *sources)
{
    fw2_query query;
    fw2_report report;
    int status = refuse(r, sources);

    if (status != OK) {
        return status;
    }
    query = parse_query(r);
    if (!query.format) {
        query.format = negotiate(r);
    }
    set_headers(r, query.format, query.refresh);
    fw2_status_describe(&report, r->pool);
    fw2_report_make(&report, sources, r->pool);
    fw2_status_advise(&report, r->pool);
    fw2_metrics_choose(&report, sources, vhosts_of(&query), r->pool);
    query.format->write(r, &report);
    return OK;
}
