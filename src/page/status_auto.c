/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The format `?auto`: lines "Key: value" of totals, as in mod_status. An unknown
 * value has no line. */

#include "page/status_impl.h"

#include "apr_lib.h"
#include "apr_strings.h"
#include "http_protocol.h"

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
                   fw2_plain_text(r->pool, fw2_metrics_text(metric, element)));
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
