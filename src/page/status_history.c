/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The history in JSON and CSV. */

#include "page/status_impl.h"

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

static void json_severity(request_rec *r, apr_int64_t severity)
{
    const char *name = fw2_advice_level(severity);
    const char *quote = name ? "\"" : "";

    ap_rvputs(r, ",\"verdict\":", quote, name ? name : "null", quote, NULL);
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
        double rate = i ? fw2_history_rate(at, at - 1) : -1;

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
        json_severity(r, at->severity);
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

/* ?csv */

static void csv_count(request_rec *r, apr_int64_t n)
{
    ap_rputc(',', r);
    if (n != FW2_NOT_SAMPLED) {
        ap_rprintf(r, "%" APR_INT64_T_FMT, n);
    }
}

static void csv_sample(request_rec *r, const fw2_sample *at, double rate)
{
    const char *level = fw2_advice_level(at->severity);
    int restart = (at->marks & FW2_MARK_RESTART) != 0;
    int config = (at->marks & FW2_MARK_CONFIG) != 0;

    ap_rprintf(r, "%" APR_INT64_T_FMT ".%03d", apr_time_sec(at->time),
               (int)apr_time_msec(at->time));
    csv_count(r, at->held);
    csv_count(r, at->orphan);
    csv_count(r, at->timewait);
    ap_rputc(',', r);
    if (rate >= 0) {
        ap_rprintf(r, "%.2f", rate);
    }
    ap_rvputs(r, ",", restart ? "restart" : "", restart && config ? " " : "",
              config ? "configuration_changed" : "", ",", level ? level : "",
              "\r\n", NULL);
}

/* Write the samples before `until`, or all if that is 0. */
static void csv_samples(request_rec *r, const fw2_sample *samples, int n,
                        apr_time_t until)
{
    int i;

    for (i = 0; i < n && (!until || samples[i].time < until); i++) {
        csv_sample(r, &samples[i],
                   i ? fw2_history_rate(&samples[i], &samples[i - 1]) : -1);
    }
}

/* Write the samples of the day, one a minute, up to the last hour, and then all
 * samples of that hour. */
void fw2_write_csv(fw2_page *page)
{
    request_rec *r = page->r;
    const fw2_report *report = page->report;
    apr_time_t now = apr_time_now();
    fw2_sample *hour, *day;
    int n;

    ap_rputs("time,held,orphan,timewait,closes_per_second,marks,verdict\r\n",
             r);
    if (!report->history) {
        return;
    }
    hour = apr_palloc(r->pool, FW2_HISTORY_RECENT * sizeof(*hour));
    day = apr_palloc(r->pool, (FW2_HISTORY_MINUTES + 1) * sizeof(*day));
    n = fw2_history_recent(report->history, now, hour);
    csv_samples(r, day, fw2_history_day(report->history, now, day),
                n ? hour[0].time : 0);
    csv_samples(r, hour, n, 0);
}
