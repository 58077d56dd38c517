/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The machine-readable formats. */

#include "page/status_impl.h"

#include "apr_lib.h"
#include "apr_strings.h"
#include "http_protocol.h"

const char *fw2_seconds_text(apr_pool_t *pool, apr_int64_t usec)
{
    char *text =
        apr_psprintf(pool, "%" APR_INT64_T_FMT ".%06d", usec / APR_USEC_PER_SEC,
                     (int)(usec % APR_USEC_PER_SEC));
    char *last = text + strlen(text) - 1;

    /* Without trailing zeros: 1.0 and 0.05, as OpenMetrics requires. */
    while (*last == '0' && last[-1] != '.') {
        *last-- = '\0';
    }
    return text;
}

const char *fw2_number_text(apr_pool_t *pool, const fw2_metric *metric,
                            apr_int64_t number)
{
    if (metric->kind == FW2_SECONDS) {
        return fw2_seconds_text(pool, number);
    }
    return apr_psprintf(pool, "%" APR_INT64_T_FMT, number);
}

/* Return the number of bytes of the UTF-8 character at `c`; 0 if there is no
 * valid character (RFC 3629, section 4). */
static int character_bytes(const unsigned char *c)
{
    int n = *c < 0x80 ? 1 : *c < 0xc2 ? 0 : *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : 4;
    int i;

    if (*c > 0xf4 || (*c == 0xe0 && c[1] < 0xa0) || (*c == 0xed && c[1] > 0x9f)
        || (*c == 0xf0 && c[1] < 0x90) || (*c == 0xf4 && c[1] > 0x8f)) {
        return 0;
    }
    for (i = 1; i < n; i++) {
        if ((c[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

/* Return untrusted text as valid UTF-8. Invalid bytes, such as Latin-1 or a
 * name that was cut, become U+FFFD; control characters become spaces. */
static const char *plain_text(apr_pool_t *pool, const char *text)
{
    char *plain = apr_palloc(pool, 3 * strlen(text) + 1), *to = plain;

    while (*text) {
        int n = character_bytes((const unsigned char *)text);

        if (n == 0) {
            to = apr_cpystrn(to, "\xef\xbf\xbd", 4);
        }
        else if (n == 1 && apr_iscntrl(*text)) {
            *to++ = ' ';
        }
        else {
            memcpy(to, text, (apr_size_t)n);
            to += n;
        }
        text += n ? n : 1;
    }
    *to = '\0';
    return plain;
}

/* ?auto: lines "Key: value" of totals, as in mod_status. An unknown value has
 * no line. */

/* Return FinWait2 for fin_wait2. */
static const char *camel_case(apr_pool_t *pool, const char *name)
{
    char *camel = apr_palloc(pool, strlen(name) + 1), *to = camel;
    int upper = 1;

    for (; *name; name++) {
        if (*name == '_') {
            upper = 1;
            continue;
        }
        *to++ = upper ? apr_toupper(*name) : *name;
        upper = 0;
    }
    *to = '\0';
    return camel;
}

/* Return the key of a cell: the metric's word, then the cell's name along each
 * dimension. */
static const char *auto_key(apr_pool_t *pool, const char *prefix,
                            const fw2_metric *metric, int cell)
{
    const char *key = apr_pstrcat(pool, prefix, metric->word, NULL);
    int dim;

    for (dim = 0; dim < FW2_DIMS && metric->dims[dim]; dim++) {
        const char *name = fw2_metrics_name(
            metric->dims[dim], fw2_metrics_index(metric, cell, dim));

        key = apr_pstrcat(pool, key, camel_case(pool, name), NULL);
    }
    return key;
}

static void auto_metric(request_rec *r, const char *prefix,
                        const fw2_metric *metric, const void *element)
{
    int cell;

    if (metric->kind == FW2_TEXT) {
        ap_rprintf(r, "%s%s: %s\n", prefix, metric->word,
                   plain_text(r->pool, fw2_metrics_text(metric, element)));
        return;
    }
    for (cell = 0; cell < fw2_metrics_cells(metric); cell++) {
        apr_int64_t number = fw2_metrics_number(metric, element, cell);

        if (number != FW2_UNKNOWN) {
            ap_rprintf(r, "%s: %s\n", auto_key(r->pool, prefix, metric, cell),
                       fw2_number_text(r->pool, metric, number));
        }
    }
}

void fw2_write_words(request_rec *r, const fw2_report *report,
                     const char *prefix)
{
    const fw2_section *section;
    const fw2_metric *metric;

    for (section = fw2_sections; section->key; section++) {
        for (metric = section->metrics; metric->key; metric++) {
            if (metric->word && fw2_metrics_count(section, report)) {
                auto_metric(r, prefix, metric,
                            fw2_metrics_element(section, report, 0));
            }
        }
    }
}

void fw2_write_auto(fw2_page *page)
{
    fw2_write_words(page->r, page->report, "");
}

/* ?json */

/* Return a text as a JSON string. */
static const char *json_string(apr_pool_t *pool, const char *text)
{
    const char *plain = plain_text(pool, text);
    char *quoted = apr_palloc(pool, 2 * strlen(plain) + 3), *to = quoted;

    *to++ = '"';
    for (; *plain; plain++) {
        if (*plain == '"' || *plain == '\\') {
            *to++ = '\\';
        }
        *to++ = *plain;
    }
    *to++ = '"';
    *to = '\0';
    return quoted;
}

static void json_times(request_rec *r, fw2_times times)
{
    apr_int64_t below = 0;
    int i;

    ap_rputs("{\"buckets\":[", r);
    for (i = 0; i < times.scale->n; i++) {
        below += times.n[i];
        ap_rprintf(r, "%s[%s,%" APR_INT64_T_FMT "]", i ? "," : "",
                   fw2_seconds_text(r->pool, times.scale->bounds[i]), below);
    }
    ap_rprintf(r, "],\"sum\":%s,\"count\":%" APR_INT64_T_FMT "}",
               fw2_seconds_text(r->pool, times.sum), below + times.n[i]);
}

static void json_value(request_rec *r, const fw2_metric *metric,
                       const void *element, int cell)
{
    apr_int64_t number;

    if (metric->kind == FW2_TEXT) {
        const char *text = fw2_metrics_text(metric, element);

        ap_rputs(text ? json_string(r->pool, text) : "null", r);
        return;
    }
    number = fw2_metrics_number(metric, element, cell);
    if (number == FW2_UNKNOWN) {
        ap_rputs("null", r);
    }
    else if (metric->kind == FW2_TIMES) {
        json_times(r, fw2_metrics_times(metric, element));
    }
    else if (metric->kind == FW2_FLAG) {
        ap_rputs(number ? "true" : "false", r);
    }
    else {
        ap_rputs(fw2_number_text(r->pool, metric, number), r);
    }
}

/* Write the cells of a metric, with an object for each dimension. */
static void json_cells(request_rec *r, const fw2_metric *metric,
                       const void *element)
{
    int cell, dim;

    for (cell = 0; cell < fw2_metrics_cells(metric); cell++) {
        for (dim = 0; dim < FW2_DIMS && metric->dims[dim]; dim++) {
            int i = fw2_metrics_index(metric, cell, dim);

            if (cell % fw2_metrics_stride(metric, dim) == 0) {
                ap_rprintf(r, "%s\"%s\":", i ? "," : "{",
                           fw2_metrics_name(metric->dims[dim], i));
            }
        }
        json_value(r, metric, element, cell);
        while (dim-- > 0) {
            int all = fw2_metrics_stride(metric, dim) * metric->dims[dim]->n;

            if ((cell + 1) % all == 0) {
                ap_rputs("}", r);
            }
        }
    }
}

/* Write the members of an element. */
static void json_members(request_rec *r, const fw2_section *section,
                         const void *element)
{
    const fw2_metric *metric;
    const char *comma = "";

    if (section->label) {
        ap_rprintf(r, "\"%s\":%s", section->label,
                   json_string(r->pool, *(const char *const *)element));
        comma = ",";
    }
    for (metric = section->metrics; metric->key; metric++) {
        ap_rprintf(r, "%s\"%s\":", comma, metric->key);
        json_cells(r, metric, element);
        comma = ",";
    }
}

/* Write the inner array of a section, as the last member of the object. */
static void json_inner(request_rec *r, const fw2_report *report,
                       const fw2_section *section)
{
    int i;

    ap_rprintf(r, ",\"%s\":[", section->key);
    for (i = 0; i < fw2_metrics_count(section, report); i++) {
        ap_rputs(i ? ",{" : "{", r);
        json_members(r, section, fw2_metrics_element(section, report, i));
        ap_rputs("}", r);
    }
    ap_rputs("]", r);
}

static void json_element(request_rec *r, const fw2_report *report,
                         const fw2_section *section, const void *element)
{
    ap_rputs("{", r);
    json_members(r, section, element);
    if (section->inner) {
        json_inner(r, report, section->inner);
    }
    ap_rputs("}", r);
}

/* Write the reasons why figures are null. */
static void json_unknown(request_rec *r, const fw2_report *report)
{
    const fw2_section *section;
    const fw2_metric *metric;
    const char *comma = "";

    ap_rputs(",\n \"unknown\":{", r);
    for (section = fw2_sections; section->key; section++) {
        const void *element =
            section->label ? NULL : fw2_metrics_element(section, report, 0);

        for (metric = section->metrics; element && metric->key; metric++) {
            if (metric->unknown
                && fw2_metrics_number(metric, element, 0) == FW2_UNKNOWN) {
                ap_rprintf(r, "%s\"%s.%s\":%s", comma, section->key,
                           metric->key, json_string(r->pool, metric->unknown));
                comma = ",\n  ";
            }
        }
    }
    ap_rputs("}", r);
}

void fw2_write_json(fw2_page *page)
{
    request_rec *r = page->r;
    const fw2_report *report = page->report;
    const fw2_section *section;
    int i;

    ap_rputs("{\"version\":1", r);
    for (section = fw2_sections; section->key; section++) {
        ap_rprintf(r, ",\n \"%s\":%s", section->key, section->label ? "[" : "");
        for (i = 0; i < fw2_metrics_count(section, report); i++) {
            ap_rputs(i ? ",\n  " : "", r);
            json_element(r, report, section,
                         fw2_metrics_element(section, report, i));
        }
        ap_rputs(section->label ? "]" : "", r);
    }
    json_unknown(r, report);
    ap_rputs(",\n \"history\":", r);
    fw2_json_history(r, report);
    ap_rputs("}\n", r);
}

/* ?openmetrics (1.0) and ?prometheus (text 0.0.4). They differ in the header
 * lines of counters and texts, in histograms that do not only grow, and in the
 * end mark. */

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
                       json_string(pool, value), NULL);
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
