/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The formats `?openmetrics` (1.0) and `?prometheus` (text 0.0.4). They differ in
 * the header lines of counters and texts, in histograms that do not only grow,
 * and in the end mark. */

#include "page/status_impl.h"

#include "apr_strings.h"
#include "http_protocol.h"

typedef struct {
    request_rec *r;
    const fw2_report *report;
    int openmetrics; /* 1: OpenMetrics; 0: Prometheus */
} fw2_exposition;

static const char *add_label(apr_pool_t *pool, const char *labels,
                             const char *name, const char *value)
{
    /* Plain text needs the same escapes as JSON. */
    return apr_pstrcat(pool, labels, *labels ? "," : "", name, "=",
                       fw2_json_string(pool, value), NULL);
}

static void expose_sample(const fw2_exposition *to, const fw2_metric *metric,
                          const char *suffix, const char *labels,
                          const char *value)
{
    ap_rprintf(to->r, FW2_PREFIX "%s%s%s%s%s %s\n", metric->family, suffix,
               *labels ? "{" : "", labels, *labels ? "}" : "", value);
}

/* True for a histogram that does not only grow, if the format has a type for
 * it. */
static int is_gauge_histogram(const fw2_exposition *to,
                              const fw2_metric *metric)
{
    return to->openmetrics && !metric->counter;
}

static void expose_times(const fw2_exposition *to, const fw2_metric *metric,
                         const char *labels, fw2_times times)
{
    apr_pool_t *pool = to->r->pool;
    apr_int64_t below = 0;
    const char *le, *count = "";
    int i;

    for (i = 0; i <= times.scale->n; i++) {
        below += times.n[i];
        le = i < times.scale->n ? fw2_seconds_text(pool, times.scale->bounds[i])
                                : "+Inf";
        count = apr_psprintf(pool, "%" APR_INT64_T_FMT, below);
        expose_sample(to, metric, "_bucket", add_label(pool, labels, "le", le),
                      count);
    }
    expose_sample(to, metric, is_gauge_histogram(to, metric) ? "_gsum" : "_sum",
                  labels, fw2_seconds_text(pool, times.sum));
    expose_sample(to, metric,
                  is_gauge_histogram(to, metric) ? "_gcount" : "_count", labels,
                  count);
}

static void expose_number(const fw2_exposition *to, const fw2_metric *metric,
                          const char *labels, const void *element, int cell)
{
    apr_pool_t *pool = to->r->pool;
    apr_int64_t number = fw2_metrics_number(metric, element, cell);
    int dim;

    if (number == FW2_UNKNOWN) {
        return;
    }
    for (dim = 0; dim < FW2_DIMS && metric->dims[dim]; dim++) {
        const fw2_dim *along = metric->dims[dim];

        labels = add_label(
            pool, labels, along->label,
            fw2_metrics_value(along, fw2_metrics_index(metric, cell, dim)));
    }
    expose_sample(to, metric, metric->counter ? "_total" : "", labels,
                  fw2_number_text(pool, metric, number));
}

static int same_family(const fw2_metric *one, const fw2_metric *other)
{
    return one->family && other->family && !strcmp(one->family, other->family);
}

/* Write the texts of a family, each as a label. */
static void expose_texts(const fw2_exposition *to, const fw2_metric *metric,
                         const char *labels, const void *element)
{
    const fw2_metric *text;

    for (text = metric; same_family(metric, text); text++) {
        labels = add_label(to->r->pool, labels, text->key,
                           fw2_metrics_text(text, element));
    }
    expose_sample(to, metric, "_info", labels, "1");
}

/* True if a histogram is known, and not that of a counter with all 0. */
static int has_times(const fw2_metric *metric, fw2_times times)
{
    int i;

    for (i = 0; i <= times.scale->n; i++) {
        if (times.n[i] > 0) {
            return 1;
        }
    }
    return !metric->counter && times.n[0] != FW2_UNKNOWN;
}

static void expose_element(const fw2_exposition *to, const fw2_metric *metric,
                           const char *labels, const void *element)
{
    int cell;

    if (metric->kind == FW2_TEXT) {
        expose_texts(to, metric, labels, element);
        return;
    }
    if (metric->kind == FW2_TIMES) {
        fw2_times times = fw2_metrics_times(metric, element);

        if (has_times(metric, times)) {
            expose_times(to, metric, labels, times);
        }
        return;
    }
    for (cell = 0; cell < fw2_metrics_cells(metric); cell++) {
        expose_number(to, metric, labels, element, cell);
    }
}

/* Write the unit, which OpenMetrics requires if the name ends in one. */
static void announce_unit(const fw2_exposition *to, const fw2_metric *metric)
{
    static const char *const units[] = { "seconds", "bytes" };
    apr_size_t i, length = strlen(metric->family);

    for (i = 0; to->openmetrics && i < sizeof(units) / sizeof(units[0]); i++) {
        apr_size_t n = strlen(units[i]);

        if (length > n && metric->family[length - n - 1] == '_'
            && !strcmp(metric->family + length - n, units[i])) {
            ap_rprintf(to->r, "# UNIT " FW2_PREFIX "%s %s\n", metric->family,
                       units[i]);
        }
    }
}

static void announce(const fw2_exposition *to, const fw2_metric *metric)
{
    const char *type = metric->counter ? "counter" : "gauge";
    const char *suffix = "";

    if (metric->kind == FW2_TEXT) {
        type = to->openmetrics ? "info" : "gauge";
        suffix = to->openmetrics ? "" : "_info";
    }
    else if (metric->kind == FW2_TIMES) {
        type = is_gauge_histogram(to, metric) ? "gaugehistogram" : "histogram";
    }
    else if (metric->counter && !to->openmetrics) {
        suffix = "_total";
    }
    ap_rprintf(to->r, "# TYPE " FW2_PREFIX "%s%s %s\n", metric->family, suffix,
               type);
    announce_unit(to, metric);
    ap_rprintf(to->r, "# HELP " FW2_PREFIX "%s%s %s\n", metric->family, suffix,
               metric->help);
}

static void expose_metric(const fw2_exposition *to, const fw2_section *section,
                          const fw2_metric *metric)
{
    int i;

    announce(to, metric);
    for (i = 0; i < fw2_metrics_count(section, to->report); i++) {
        const void *element = fw2_metrics_element(section, to->report, i);
        const char *labels = "";

        if (section->label) {
            labels = add_label(to->r->pool, labels, section->label,
                               *(const char *const *)element);
        }
        expose_element(to, metric, labels, element);
    }
}

static void expose(request_rec *r, const fw2_report *report, int openmetrics)
{
    fw2_exposition to = { r, report, openmetrics };
    const fw2_section *section;
    const fw2_metric *metric;

    for (section = fw2_sections; section->key; section++) {
        for (metric = section->metrics; metric->key; metric++) {
            if (metric->family
                && (metric == section->metrics
                    || !same_family(metric, metric - 1))) {
                expose_metric(&to, section, metric);
            }
        }
    }
    if (openmetrics) {
        ap_rputs("# EOF\n", r);
    }
}

void fw2_write_openmetrics(fw2_page *page)
{
    expose(page->r, page->report, 1);
}

void fw2_write_prometheus(fw2_page *page)
{
    expose(page->r, page->report, 0);
}
