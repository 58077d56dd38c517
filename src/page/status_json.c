/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The format `?json`. */

#include "page/status_impl.h"

#include "http_protocol.h"

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

        ap_rputs(text ? fw2_json_string(r->pool, text) : "null", r);
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
                   fw2_json_string(r->pool, *(const char *const *)element));
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
                           metric->key,
                           fw2_json_string(r->pool, metric->unknown));
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
