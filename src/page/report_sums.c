/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The members of a report that follow from others: sums, and the virtual hosts
 * that the advice names. */

#include "page/report.h"

#include <string.h>

#include "base/clamp.h"
#include "base/recent.h"

/* The greatest plausible number of connections or seconds. As seconds it fits
 * in microseconds. */
#define PLAUSIBLE_MAX APR_INT64_C(1000000000000)

apr_int64_t fw2_report_number(const fw2_report *report, apr_size_t offset)
{
    return *(const apr_int64_t *)((const char *)report + offset);
}

apr_int64_t fw2_report_share(apr_int64_t part, apr_int64_t whole)
{
    double percent;

    if (part < 0 || whole <= 0) {
        return FW2_UNKNOWN;
    }
    percent = (double)part * 100 / (double)whole;
    return percent < 1000 ? (apr_int64_t)percent : 1000;
}

apr_int64_t fw2_report_steady_state(apr_int64_t per_minute,
                                    apr_interval_time_t life)
{
    double n;

    if (per_minute < 0 || life < 0) {
        return FW2_UNKNOWN;
    }
    n = (double)per_minute * (double)life / (double)apr_time_from_sec(60);
    return n < (double)PLAUSIBLE_MAX ? (apr_int64_t)(n + 0.5) : PLAUSIBLE_MAX;
}

apr_int64_t fw2_report_orphan_life(apr_int64_t seconds)
{
    if (seconds < 0) {
        return FW2_UNKNOWN;
    }
    if (seconds > 60) {
        seconds = fw2_clamp_number(0, seconds - 60, PLAUSIBLE_MAX / 2);
        return 2 * seconds;
    }
    return seconds ? seconds : 1;
}

apr_int64_t fw2_report_main_cause(const apr_int64_t *causes, apr_int64_t probes,
                                  apr_int64_t *n)
{
    int most = FW2_CAUSE_PEER + 1, i;

    for (i = most; i < FW2_CAUSES; i++) {
        most = causes[i] > causes[most] ? i : most;
    }
    if (probes > 0 && probes >= causes[most]) {
        *n = probes;
        return FW2_NO_REQUEST;
    }
    *n = causes[most];
    return causes[most] > 0 ? most : FW2_UNKNOWN;
}

/* ------------------------------------------------------------- sockets -- */

static void add_listener(fw2_report *report, const fw2_tally *tally)
{
    const apr_int64_t *first = tally->n[FW2_FIN_WAIT1];
    apr_int64_t share, most;

    fw2_clamp_add(&report->sockets.fin_wait1, first[FW2_PROCESS]);
    fw2_clamp_add(&report->sockets.fin_wait1, first[FW2_KERNEL]);
    fw2_clamp_add(&report->sockets.close_wait,
                  tally->n[FW2_CLOSE_WAIT][FW2_PROCESS]);
    share = fw2_report_share(tally->backlog, tally->backlog_limit);
    most = fw2_report_share(report->sockets.backlog,
                            report->sockets.backlog_limit);
    if (share > most
        || (tally->backlog_limit < 0
            && tally->backlog > report->sockets.backlog)) {
        report->sockets.backlog = tally->backlog;
        report->sockets.backlog_limit = tally->backlog_limit;
    }
}

static void sum_sockets(fw2_report *report)
{
    int i;

    memset(&report->sockets, 0xff, sizeof(report->sockets));
    report->peer_share = FW2_UNKNOWN;
    if (report->half_closed.total == FW2_UNKNOWN) {
        return;
    }
    for (i = 0; i < report->nlisteners; i++) {
        add_listener(report, &report->listeners[i].tally);
    }
    for (i = 0; i < FW2_HOLDERS; i++) {
        fw2_clamp_add(&report->sockets.undelivered,
                      report->undelivered.sockets[i]);
        fw2_clamp_add(&report->sockets.undelivered_bytes,
                      report->undelivered.bytes[i]);
        fw2_clamp_add(&report->sockets.zero_windows,
                      report->undelivered.shut[i]);
    }
    if (report->npeers) {
        report->peer_share = fw2_report_share(report->peers[0].connections,
                                              report->half_closed.total);
    }
}

/* ------------------------------------------------------- the last minute -- */

static void add_rates(fw2_report *report, const fw2_rates *rates,
                      const fw2_flow *flow)
{
    int i;

    for (i = 0; i < FW2_CAUSES; i++) {
        fw2_clamp_add(&report->minute.causes[i], rates->causes[i]);
        fw2_clamp_add(&report->minute.closes, rates->causes[i]);
        if (i != FW2_CAUSE_PEER) {
            fw2_clamp_add(&report->minute.by_server, rates->causes[i]);
        }
    }
    fw2_clamp_add(&report->minute.left_open, flow->left_open);
    fw2_clamp_add(&report->minute.probes, rates->probes);
    fw2_clamp_add(&report->minute.evicted, rates->evicted);
}

/* Return the mean life of the orphans of the last minute, with each life at
 * `most` at most. */
static apr_int64_t mean_life(const fw2_report *report, apr_interval_time_t most)
{
    double sum = 0, n = 0;
    int i;

    for (i = 0; i < report->all.n; i++) {
        const fw2_flow *flow = &report->all.flows[i];

        if (flow->left_open > 0 && flow->life >= 0) {
            n += (double)flow->left_open;
            sum += (double)flow->left_open
                   * (double)(flow->life < most ? flow->life : most);
        }
    }
    return n > 0 ? (apr_int64_t)(sum / n) : FW2_UNKNOWN;
}

/* Return the growth of a counter in a minute. The growth is unknown if the
 * counter is not known now, or if its value is smaller than before: drops are
 * those of sockets that still listen. */
static apr_int64_t loss(apr_int64_t now, apr_int64_t before,
                        apr_interval_time_t over)
{
    return now < before ? FW2_UNKNOWN
                        : fw2_recent_per_minute(now, before, over);
}

/* Write the losses. Drops for a deferred accept are subtracted from httpd's: it
 * defers accept by default (AcceptFilter), so most of its drops are of this
 * kind. */
static void sum_losses(fw2_report *report)
{
    const fw2_limits *now = &report->limits, *before = &report->before;
    apr_interval_time_t over = report->over;
    apr_int64_t own = loss(now->own_drops, before->own_drops, over);
    apr_int64_t deferred = loss(now->deferred, before->deferred, over);

    report->minute.timewait_overflows =
        loss(now->timewait_overflow, before->timewait_overflow, over);
    report->minute.listen_overflows =
        loss(now->listen_overflows, before->listen_overflows, over);
    report->minute.listen_drops =
        loss(now->listen_drops, before->listen_drops, over);
    report->minute.memory_aborts =
        loss(now->aborts_on_memory, before->aborts_on_memory, over);
    report->minute.other_drops =
        loss(now->other_drops, before->other_drops, over);
    if (own >= 0 && deferred >= 0) {
        report->minute.own_drops = own > deferred ? own - deferred : 0;
    }
}

static void sum_minute(fw2_report *report)
{
    int i;

    memset(&report->minute, 0xff, sizeof(report->minute));
    for (i = 0; i < report->all.n; i++) {
        add_rates(report, &report->all.rates[i], &report->all.flows[i]);
    }
    report->minute.life = mean_life(report, APR_INT64_MAX);
    report->minute.short_life = mean_life(report, FW2_SHORT_LIFE);
    sum_losses(report);
}

/* ------------------------------------------------- named virtual hosts -- */

static fw2_named_vhost named(const fw2_report *report, int i, apr_int64_t share)
{
    const fw2_named_vhost vhost = { report->all.names[i], share,
                                    &report->all.rates[i],
                                    &report->all.settings[i] };

    return vhost;
}

/* Return the figure to rank a virtual host by: its expected orphans, or its
 * connections not closed by clients if the life of some is not known. */
static apr_int64_t weight_of(const fw2_report *report, int i)
{
    const fw2_flow *flow = &report->all.flows[i];

    return report->half_closed.expected == FW2_UNKNOWN ? flow->left_open
                                                       : flow->expected;
}

/* Return the virtual host that follows `before` in the order of descending
 * weight; the first one for -1; -1 if there is none. */
static int next_worst(const fw2_report *report, int before)
{
    int worst = -1, i;

    for (i = 0; i < report->all.n; i++) {
        apr_int64_t weight = weight_of(report, i);
        apr_int64_t most =
            before < 0 ? APR_INT64_MAX : weight_of(report, before);
        int later = weight < most || (weight == most && i > before);

        if (weight > 0 && later
            && (worst < 0 || weight > weight_of(report, worst))) {
            worst = i;
        }
    }
    return worst;
}

static void name_worst(fw2_report *report)
{
    apr_int64_t all = FW2_UNKNOWN;
    int worst = -1, i;

    memset(report->worst, 0, sizeof(report->worst));
    for (i = 0; i < report->all.n; i++) {
        fw2_clamp_add(&all, weight_of(report, i));
    }
    for (i = 0; i < FW2_WORST; i++) {
        worst = next_worst(report, worst);
        if (worst < 0) {
            return;
        }
        report->worst[i] = named(
            report, worst, fw2_report_share(weight_of(report, worst), all));
    }
}

static apr_int64_t ended_idle(const fw2_rates *rates)
{
    apr_int64_t sum = 0;
    int i;

    for (i = 0; i < FW2_IDLES; i++) {
        fw2_clamp_add(&sum, rates->idle[i]);
    }
    return sum;
}

static void name_idle(fw2_report *report)
{
    apr_int64_t most = 0;
    int i;

    memset(&report->idle, 0, sizeof(report->idle));
    for (i = 0; i < report->all.n; i++) {
        apr_int64_t n = ended_idle(&report->all.rates[i]);

        if (n > most) {
            most = n;
            report->idle = named(report, i, FW2_UNKNOWN);
        }
    }
}

void fw2_report_sum(fw2_report *report)
{
    sum_sockets(report);
    sum_minute(report);
    name_worst(report);
    name_idle(report);
}
