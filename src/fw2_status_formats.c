/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The machine-readable formats. */

#include "fw2_status_impl.h"

#include "apr_lib.h"
#include "apr_strings.h"
#include "http_protocol.h"

const char *fw2_seconds_text(apr_pool_t *pool, apr_int64_t usec)
{
    char *text =
        apr_psprintf(pool, "%" APR_INT64_T_FMT ".%06d", usec / APR_USEC_PER_SEC,
                     (int)(usec % APR_USEC_PER_SEC));
    char *last = text + strlen(text) - 1;

    /* 1.0 and 0.05, as OpenMetrics wants bounds to be. */
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

/* How many bytes of UTF-8 the character has that begins here; 0 if what stands
 * here is none (RFC 3629, section 4). */
static int character(const unsigned char *c)
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

/* Foreign text as every reader of UTF-8 takes it: what is no character, such as
 * Latin-1 or a name that was cut, becomes U+FFFD, control characters spaces. */
static const char *plain_text(apr_pool_t *pool, const char *text)
{
    char *plain = apr_palloc(pool, 3 * strlen(text) + 1), *to = plain;

    while (*text) {
        int n = character((const unsigned char *)text);

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

/* ?auto: "Key: value" as mod_status, and a line less for what is unknown. */

/* fin_wait2 -> FinWait2 */
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

static const char *auto_key(apr_pool_t *pool, const char *prefix,
                            const fw2_metric *metric, int cell)
{
    const char *key =
        apr_pstrcat(pool, prefix, camel_case(pool, metric->key), NULL);
    int dim;

    for (dim = 0; dim < FW2_DIMS && metric->dims[dim]; dim++) {
        const char *name =
            metric->dims[dim]->names[fw2_metric_index(metric, cell, dim)];

        key = apr_pstrcat(pool, key, camel_case(pool, name), NULL);
    }
    return key;
}

static void auto_times(request_rec *r, const char *key, fw2_times times)
{
    apr_int64_t below = 0;
    int i;

    for (i = 0; i < times.scale->n; i++) {
        below += times.n[i];
        ap_rprintf(r, "%sLe%s: %" APR_INT64_T_FMT "\n", key,
                   fw2_seconds_text(r->pool, times.scale->bounds[i]), below);
    }
    ap_rprintf(r, "%sCount: %" APR_INT64_T_FMT "\n%sSum: %s\n", key,
               below + times.n[i], key, fw2_seconds_text(r->pool, times.sum));
}

static void auto_metric(request_rec *r, const char *prefix,
                        const fw2_metric *metric, const void *element)
{
    int cell;

    for (cell = 0; cell < fw2_metric_cells(metric); cell++) {
        const char *key = auto_key(r->pool, prefix, metric, cell);
        apr_int64_t number;

        if (metric->kind == FW2_TEXT) {
            ap_rprintf(r, "%s: %s\n", key,
                       plain_text(r->pool, fw2_metric_text(metric, element)));
            continue;
        }
        number = fw2_metric_number(metric, element, cell);
        if (number == FW2_UNKNOWN) {
            continue;
        }
        if (metric->kind == FW2_TIMES) {
            auto_times(r, key, fw2_metric_times(metric, element));
        }
        else {
            ap_rprintf(r, "%s: %s\n", key,
                       fw2_number_text(r->pool, metric, number));
        }
    }
}

static void auto_element(request_rec *r, const char *word,
                         const fw2_section *section, const void *element, int i)
{
    const char *prefix =
        apr_pstrcat(r->pool, word, camel_case(r->pool, section->key), NULL);
    const fw2_metric *metric;

    if (section->label) {
        prefix = apr_psprintf(r->pool, "%s[%d]", prefix, i);
        ap_rprintf(r, "%s%s: %s\n", prefix, camel_case(r->pool, section->label),
                   plain_text(r->pool, *(const char *const *)element));
    }
    for (metric = section->metrics; metric->key; metric++) {
        auto_metric(r, prefix, metric, element);
    }
}

void fw2_write_auto(request_rec *r, const fw2_report *report)
{
    const fw2_section *section;
    int i;

    for (section = fw2_sections; section->key; section++) {
        for (i = 0;
             !section->no_metrics && i < fw2_section_count(section, report);
             i++) {
            auto_element(r, "", section,
                         fw2_section_element(section, report, i), i);
        }
    }
}

void fw2_write_auto_facts(request_rec *r, const fw2_report *report,
                          const char *section, const char *word)
{
    const fw2_section *found = fw2_section_find(section);

    auto_element(r, word, found, fw2_section_element(found, report, 0), 0);
}

/* ?json */

/* A JSON string of plain text. */
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
        ap_rputs(json_string(r->pool, fw2_metric_text(metric, element)), r);
        return;
    }
    number = fw2_metric_number(metric, element, cell);
    if (number == FW2_UNKNOWN) {
        ap_rputs("null", r);
    }
    else if (metric->kind == FW2_TIMES) {
        json_times(r, fw2_metric_times(metric, element));
    }
    else if (metric->kind == FW2_FLAG) {
        ap_rputs(number ? "true" : "false", r);
    }
    else {
        ap_rputs(fw2_number_text(r->pool, metric, number), r);
    }
}

/* A metric's cells, an object a dimension. */
static void json_cells(request_rec *r, const fw2_metric *metric,
                       const void *element)
{
    int cell, dim;

    for (cell = 0; cell < fw2_metric_cells(metric); cell++) {
        for (dim = 0; dim < FW2_DIMS && metric->dims[dim]; dim++) {
            int i = fw2_metric_index(metric, cell, dim);

            if (cell % fw2_metric_stride(metric, dim) == 0) {
                ap_rprintf(r, "%s\"%s\":", i ? "," : "{",
                           metric->dims[dim]->names[i]);
            }
        }
        json_value(r, metric, element, cell);
        while (dim-- > 0) {
            int all = fw2_metric_stride(metric, dim) * metric->dims[dim]->n;

            if ((cell + 1) % all == 0) {
                ap_rputs("}", r);
            }
        }
    }
}

static void json_element(request_rec *r, const fw2_section *section,
                         const void *element)
{
    const fw2_metric *metric;
    const char *comma = "";

    ap_rputs("{", r);
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
    ap_rputs("}", r);
}

/* Why what is null is not known. */
static void json_unknown(request_rec *r, const fw2_report *report)
{
    const fw2_section *section;
    const fw2_metric *metric;
    const char *comma = "";

    ap_rputs(",\n \"unknown\":{", r);
    for (section = fw2_sections; section->key; section++) {
        const void *element =
            section->label ? NULL : fw2_section_element(section, report, 0);

        for (metric = section->metrics; element && metric->key; metric++) {
            if (metric->unknown
                && fw2_metric_number(metric, element, 0) == FW2_UNKNOWN) {
                ap_rprintf(r, "%s\"%s.%s\":%s", comma, section->key,
                           metric->key, json_string(r->pool, metric->unknown));
                comma = ",\n  ";
            }
        }
    }
    ap_rputs("}", r);
}

void fw2_write_json(request_rec *r, const fw2_report *report)
{
    const fw2_section *section;
    int i;

    ap_rputs("{\"version\":1", r);
    for (section = fw2_sections; section->key; section++) {
        ap_rprintf(r, ",\n \"%s\":%s", section->key, section->label ? "[" : "");
        for (i = 0; i < fw2_section_count(section, report); i++) {
            ap_rputs(i ? ",\n  " : "", r);
            json_element(r, section, fw2_section_element(section, report, i));
        }
        ap_rputs(section->label ? "]" : "", r);
    }
    json_unknown(r, report);
    ap_rputs(",\n \"history\":", r);
    fw2_json_history(r, report);
    ap_rputs("}\n", r);
}

/* ?openmetrics (1.0) and ?prometheus (text 0.0.4), which differ in how a
 * family of counters or texts is announced, and in the end mark. */

typedef struct {
    request_rec *r;
    const fw2_report *report;
    int open; /* OpenMetrics */
} fw2_exposition;

static const char *add_label(apr_pool_t *pool, const char *labels,
                             const char *name, const char *value)
{
    /* What has to be escaped of plain text is the same as in JSON. */
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

/* Of what is now, and does not grow, OpenMetrics has another type. */
static int is_now(const fw2_exposition *to, const fw2_metric *metric)
{
    return to->open && !metric->counter;
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
    expose_sample(to, metric, is_now(to, metric) ? "_gsum" : "_sum", labels,
                  fw2_seconds_text(pool, times.sum));
    expose_sample(to, metric, is_now(to, metric) ? "_gcount" : "_count", labels,
                  count);
}

static void expose_number(const fw2_exposition *to, const fw2_metric *metric,
                          const char *labels, const void *element, int cell)
{
    apr_pool_t *pool = to->r->pool;
    apr_int64_t number = fw2_metric_number(metric, element, cell);
    int dim;

    if (number == FW2_UNKNOWN) {
        return;
    }
    for (dim = 0; dim < FW2_DIMS && metric->dims[dim]; dim++) {
        const fw2_dim *along = metric->dims[dim];

        labels = add_label(pool, labels, along->label,
                           along->names[fw2_metric_index(metric, cell, dim)]);
    }
    expose_sample(to, metric, metric->counter ? "_total" : "", labels,
                  fw2_number_text(pool, metric, number));
}

static void expose_element(const fw2_exposition *to, const fw2_metric *metric,
                           const char *labels, const void *element)
{
    int cell;

    if (metric->kind == FW2_TEXT) {
        labels = add_label(to->r->pool, labels, metric->key,
                           fw2_metric_text(metric, element));
        expose_sample(to, metric, "_info", labels, "1");
        return;
    }
    if (metric->kind == FW2_TIMES) {
        if (fw2_metric_number(metric, element, 0) != FW2_UNKNOWN) {
            expose_times(to, metric, labels, fw2_metric_times(metric, element));
        }
        return;
    }
    for (cell = 0; cell < fw2_metric_cells(metric); cell++) {
        expose_number(to, metric, labels, element, cell);
    }
}

static void announce(const fw2_exposition *to, const fw2_metric *metric)
{
    apr_size_t length = strlen(metric->family);
    const char *type = metric->counter ? "counter" : "gauge";
    const char *suffix = "";

    if (metric->kind == FW2_TEXT) {
        type = to->open ? "info" : "gauge";
        suffix = to->open ? "" : "_info";
    }
    else if (metric->kind == FW2_TIMES) {
        type = is_now(to, metric) ? "gaugehistogram" : "histogram";
    }
    else if (metric->counter && !to->open) {
        suffix = "_total";
    }
    ap_rprintf(to->r, "# TYPE " FW2_PREFIX "%s%s %s\n", metric->family, suffix,
               type);
    if (to->open && length > 8
        && !strcmp(metric->family + length - 8, "_seconds")) {
        ap_rprintf(to->r, "# UNIT " FW2_PREFIX "%s seconds\n", metric->family);
    }
    ap_rprintf(to->r, "# HELP " FW2_PREFIX "%s%s %s\n", metric->family, suffix,
               metric->help);
}

static void expose_metric(const fw2_exposition *to, const fw2_section *section,
                          const fw2_metric *metric)
{
    int i;

    announce(to, metric);
    for (i = 0; i < fw2_section_count(section, to->report); i++) {
        const void *element = fw2_section_element(section, to->report, i);
        const char *labels = "";

        if (section->label) {
            labels = add_label(to->r->pool, labels, section->label,
                               *(const char *const *)element);
        }
        expose_element(to, metric, labels, element);
    }
}

static void expose(request_rec *r, const fw2_report *report, int open)
{
    fw2_exposition to = { r, report, open };
    const fw2_section *section;
    const fw2_metric *metric;

    for (section = fw2_sections; section->key; section++) {
        for (metric = section->metrics; !section->no_metrics && metric->key;
             metric++) {
            expose_metric(&to, section, metric);
        }
    }
    if (open) {
        ap_rputs("# EOF\n", r);
    }
}

void fw2_write_openmetrics(request_rec *r, const fw2_report *report)
{
    expose(r, report, 1);
}

void fw2_write_prometheus(request_rec *r, const fw2_report *report)
{
    expose(r, report, 0);
}
