/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "fw2_status.h"

#include "apr_lib.h"
#include "apr_strings.h"
#include "ap_mpm.h"
#include "http_core.h"
#include "http_log.h"
#include "http_main.h"
#include "http_protocol.h"
#include "http_request.h"
#include "scoreboard.h"

#include "fw2_config.h"
#include "fw2_status_impl.h"

APLOG_USE_MODULE(finwait2);

#define HANDLER "finwait-status"

/* Seconds between reloads: what a bare `refresh` means, and the bounds. */
#define REFRESH     10
#define REFRESH_MIN 1
#define REFRESH_MAX 3600

/* A format: how one asks for it, and what answers. */
typedef struct {
    const char *query;
    const char *type;
    void (*write)(request_rec *r, const fw2_report *report);
} fw2_format;

static const fw2_format html = { "html", "text/html; charset=utf-8",
                                 fw2_write_html };
static const fw2_format openmetrics = {
    "openmetrics", "application/openmetrics-text; version=1.0.0; charset=utf-8",
    fw2_write_openmetrics
};
static const fw2_format prometheus = {
    "prometheus", "text/plain; version=0.0.4; charset=utf-8",
    fw2_write_prometheus
};
static const fw2_format json = { "json", "application/json", fw2_write_json };
static const fw2_format automatic = { "auto", "text/plain; charset=utf-8",
                                      fw2_write_auto };

static const fw2_format *const formats[] = { &html,        &automatic,  &json,
                                             &openmetrics, &prometheus, NULL };

/* What the query string asks for. */
typedef struct {
    const fw2_format *format; /* NULL: it does not say */
    int refresh;              /* seconds, or 0 */
} fw2_query;

static int parse_refresh(const char *value)
{
    apr_int64_t seconds = apr_isdigit(*value) ? apr_atoi64(value) : REFRESH;

    if (seconds < REFRESH_MIN) {
        return REFRESH_MIN;
    }
    return seconds > REFRESH_MAX ? REFRESH_MAX : (int)seconds;
}

/* Tokens between `&` count as a whole; those that mean nothing here do not
 * matter. The first format wins. */
static fw2_query parse_query(request_rec *r)
{
    fw2_query query = { NULL, 0 };
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
        for (i = 0; formats[i] && !query.format; i++) {
            if (!strcmp(token, formats[i]->query)) {
                query.format = formats[i];
            }
        }
    }
    return query;
}

/* Whether a media range, without its spaces, is this type with this parameter
 * and is wanted: `q=0` says that it is not. Cuts the range up. */
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

/* Browsers ask for HTML, and Prometheus never does. */
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
        apr_table_setn(r->headers_out, "Content-Security-Policy",
                       "default-src 'none'; style-src 'unsafe-inline'; "
                       "frame-ancestors 'self'; base-uri 'none'");
    }
}

void fw2_status_describe(fw2_report *report)
{
    apr_interval_time_t uptime =
        apr_time_now() - ap_get_scoreboard_global()->restart_time;
    int generation = 0;

    ap_mpm_query(AP_MPMQ_GENERATION, &generation);
    report->server.mpm = ap_show_mpm();
    report->server.uptime = uptime > 0 ? uptime : 0; /* a clock set back */
    report->server.generation = generation;
}

/* Why this request is not answered, or OK. */
static int refuse(request_rec *r)
{
    if (strcmp(r->handler, HANDLER)) {
        return DECLINED;
    }
    if (!fw2_config_status(ap_server_conf)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "%s is the handler here, but FinWait2Status is Off: "
                      "answering 404. To have the page, set FinWait2Status "
                      "On in the server configuration",
                      HANDLER);
        return HTTP_NOT_FOUND;
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
    fw2_facts facts;

    fw2_report_facts(report, &facts);
    ap_mpm_query(AP_MPMQ_IS_ASYNC, &async);
    facts.linger_blocks = !async;
    fw2_report_advise(report, &facts, pool);
}

int fw2_status_handler(request_rec *r, const fw2_sources *sources)
{
    fw2_query query;
    fw2_report report;
    int status = refuse(r);

    if (status != OK) {
        return status;
    }
    query = parse_query(r);
    if (!query.format) {
        query.format = negotiate(r);
    }
    set_headers(r, query.format, query.refresh);
    fw2_status_describe(&report);
    fw2_report_make(&report, sources, r->pool);
    fw2_status_advise(&report, r->pool);
    query.format->write(r, &report);
    return OK;
}
