/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The history in JSON. */

#include "fw2_status_impl.h"

#include "apr_strings.h"
#include "http_protocol.h"

static void json_count(request_rec *r, const char *key, apr_int64_t n)
{
    if (n == FW2_NOT_SAMPLED) {
        ap_rprintf(r, ",\"%s\":null", key);
    }
    else {
        ap_rprintf(r, ",\"%s\":%" APR_INT64_T_FMT, key, n);
    }
}

static void json_marks(request_rec *r, apr_uint64_t marks)
{
    int restart = (marks & FW2_MARK_RESTART) != 0;
    int config = (marks & FW2_MARK_CONFIG) != 0;

    ap_rvputs(r, ",\"marks\":[", restart ? "\"restart\"" : "",
              restart && config ? "," : "",
              config ? "\"configuration_changed\"" : "", "]}", NULL);
}

static void json_samples(request_rec *r, const fw2_sample *samples, int n,
                         apr_interval_time_t interval)
{
    int i;

    ap_rprintf(r, "{\"interval_seconds\":%s,\"samples\":[",
               fw2_seconds_text(r->pool, interval));
    for (i = 0; i < n; i++) {
        const fw2_sample *at = &samples[i];
        double rate = i ? fw2_sample_rate(at, at - 1) : -1;

        ap_rprintf(r, "%s\n  {\"time\":%" APR_INT64_T_FMT ".%03d", i ? "," : "",
                   apr_time_sec(at->time), (int)apr_time_msec(at->time));
        json_count(r, "held", at->held);
        json_count(r, "orphan", at->orphan);
        json_count(r, "timewait", at->timewait);
        ap_rputs(",\"closes_per_second\":", r);
        if (rate < 0) {
            ap_rputs("null", r);
        }
        else {
            ap_rprintf(r, "%.2f", rate);
        }
        json_marks(r, at->marks);
    }
    ap_rputs("]", r);
}

void fw2_json_history(request_rec *r, const fw2_report *report)
{
    fw2_sample *samples;
    apr_time_t now = apr_time_now();
    int n;

    if (!report->history) {
        ap_rputs("null", r);
        return;
    }
    samples = apr_palloc(r->pool, (FW2_HISTORY_MINUTES + 1) * sizeof(*samples));
    n = fw2_history_recent(report->history, now, samples);
    json_samples(r, samples, n, report->sample_interval);
    ap_rputs(",\n \"day\":", r);
    n = fw2_history_day(report->history, now, samples);
    json_samples(r, samples, n,
                 report->sample_interval > FW2_MINUTE ? report->sample_interval
                                                      : FW2_MINUTE);
    ap_rputs("}}", r);
}
