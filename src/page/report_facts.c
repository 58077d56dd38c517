/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The facts of a report for advice. */

#include "kernel/sockopts.h"
#include "page/report.h"

#include <string.h>

#include "base/recent.h"

static apr_int64_t percent(apr_int64_t part, apr_int64_t of)
{
    return part < 0 || of <= 0 ? FW2_FACT_UNKNOWN : 100 * part / of;
}

static void add(apr_int64_t *sum, apr_int64_t n)
{
    *sum = (*sum < 0 ? 0 : *sum) + n;
}

/* ------------------------------------------------------------- sockets -- */

static void add_listener(fw2_facts *facts, const fw2_tally *tally)
{
    const apr_int64_t *first = tally->n[FW2_FIN_WAIT1];

    add(&facts->fin_wait1, first[FW2_PROCESS] + first[FW2_KERNEL]);
    add(&facts->close_wait, tally->n[FW2_CLOSE_WAIT][FW2_PROCESS]);
    if (percent(tally->backlog, tally->backlog_limit)
            > percent(facts->backlog, facts->backlog_limit)
        || (tally->backlog_limit < 0 && tally->backlog > facts->backlog)) {
        facts->backlog = tally->backlog;
        facts->backlog_limit = tally->backlog_limit;
    }
}

static void add_sockets(fw2_facts *facts, const fw2_report *report)
{
    const fw2_undelivered *undelivered = &report->undelivered;
    int i;

    if (report->half_closed.total == FW2_UNKNOWN) {
        return;
    }
    facts->held = report->half_closed.held;
    facts->orphan_mini = report->half_closed.mini;
    facts->orphan_full = report->half_closed.orphan - report->half_closed.mini;
    for (i = 0; i < report->nlisteners; i++) {
        add_listener(facts, &report->listeners[i].tally);
    }
    for (i = 0; i < FW2_HOLDERS; i++) {
        add(&facts->undelivered, undelivered->sockets[i]);
        add(&facts->undelivered_bytes, undelivered->bytes[i]);
        add(&facts->shut_windows, undelivered->shut[i]);
    }
    if (report->npeers) {
        facts->peer = report->peers[0].peer;
        facts->peer_share =
            percent(report->peers[0].connections, report->half_closed.total);
    }
}

/* ------------------------------------------------------- the last minute -- */

static void add_recent(fw2_facts *facts, const fw2_rates *recent,
                       const fw2_flow *flow)
{
    int cause;

    for (cause = 0; cause < FW2_CAUSES; cause++) {
        add(cause == FW2_CAUSE_PEER ? &facts->by_peer : &facts->by_server,
            recent->causes[cause]);
    }
    if (flow->left_open >= 0) {
        add(&facts->left_open, flow->left_open);
    }
    add(&facts->expired, recent->causes[FW2_CAUSE_KEEPALIVE]);
    add(&facts->connection_close, recent->causes[FW2_CAUSE_CONNECTION_CLOSE]);
    add(&facts->errors, recent->causes[FW2_CAUSE_ERROR]);
    add(&facts->probes, recent->probes);
    add(&facts->evicted, recent->evicted);
}

/* Return the cause of most closes by httpd of a virtual host. */
static apr_int64_t main_cause(const fw2_rates *recent)
{
    int most = FW2_CAUSE_KEEPALIVE, i;

    for (i = most; i < FW2_CAUSES; i++) {
        most = recent->causes[i] > recent->causes[most] ? i : most;
    }
    if (recent->probes > 0 && recent->probes >= recent->causes[most]) {
        return FW2_FACT_NO_REQUEST;
    }
    return recent->causes[most] > 0 ? most : FW2_FACT_UNKNOWN;
}

/* Write the settings of the virtual host that the advice is about. */
static void add_settings(fw2_facts *facts, const fw2_settings *settings)
{
    const fw2_policy *policy = settings->policy;

    if (!policy) {
        return;
    }
    facts->vhost_linger = policy->engine ? policy->linger : FW2_FACT_ENGINE_OFF;
    facts->vhost_linger_idle = policy->linger_idle;
    facts->vhost_timeout =
        policy->timeout == FW2_TIMEOUT_NONE ? FW2_FACT_NONE : policy->timeout;
    facts->vhost_user_timeout = policy->user_timeout;
    facts->vhost_keepalive = settings->keepalive;
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

static void add_worst(fw2_facts *facts, const fw2_report *report,
                      apr_int64_t all)
{
    int worst = next_worst(report, -1), i;

    if (worst < 0) {
        return;
    }
    facts->vhost = report->all.names[worst];
    facts->vhost_share = percent(weight_of(report, worst), all);
    facts->vhost_left_open = report->all.flows[worst].left_open;
    facts->vhost_cause = main_cause(&report->all.rates[worst]);
    add_settings(facts, &report->all.settings[worst]);
    for (i = 0; i < FW2_FACT_ALSO; i++) {
        worst = next_worst(report, worst);
        if (worst < 0) {
            return;
        }
        facts->also[i] = report->all.names[worst];
        facts->also_share[i] = percent(weight_of(report, worst), all);
    }
}

static apr_int64_t ended_idle(const fw2_rates *recent)
{
    apr_int64_t sum = 0;
    int i;

    for (i = 0; i < FW2_IDLES; i++) {
        sum += recent->idle[i] > 0 ? recent->idle[i] : 0;
    }
    return sum;
}

static void add_promise(fw2_facts *facts, const fw2_settings *settings)
{
    const fw2_policy *policy = settings->policy;
    apr_int64_t promise;

    if (!policy || !policy->engine) {
        return;
    }
    promise = fw2_policy_promise(policy);
    facts->idle_keepalive = settings->keepalive;
    if (promise != FW2_ADVERTISE_INHERIT) {
        facts->idle_promise = apr_time_from_sec(promise);
    }
}

/* Write the facts of the virtual host with the most connections that ended
 * idle. */
static void add_idle(fw2_facts *facts, const fw2_report *report)
{
    apr_int64_t most = 0;
    int at = -1, i;

    for (i = 0; i < report->all.n; i++) {
        if (ended_idle(&report->all.rates[i]) > most) {
            most = ended_idle(&report->all.rates[i]);
            at = i;
        }
    }
    if (at < 0) {
        return;
    }
    facts->idle_vhost = report->all.names[at];
    facts->idle_in_time = report->all.rates[at].idle[FW2_IDLE_IN_TIME];
    facts->idle_late = report->all.rates[at].idle[FW2_IDLE_LATE];
    facts->idle_expired = report->all.rates[at].idle[FW2_IDLE_EXPIRED];
    add_promise(facts, &report->all.settings[at]);
}

/* Return the mean life of the orphans of the last minute, with each life at
 * `most` at most. */
static apr_int64_t mean_life(const fw2_report *report, apr_interval_time_t most)
{
    apr_int64_t n = 0;
    double sum = 0;
    int i;

    for (i = 0; i < report->all.n; i++) {
        const fw2_flow *flow = &report->all.flows[i];

        if (flow->left_open > 0 && flow->life >= 0) {
            n += flow->left_open;
            sum += (double)flow->left_open
                   * (double)(flow->life < most ? flow->life : most);
        }
    }
    return n ? (apr_int64_t)(sum / (double)n) : FW2_FACT_UNKNOWN;
}

static void add_vhosts(fw2_facts *facts, const fw2_report *report)
{
    apr_int64_t all = 0;
    int i;

    facts->follows_system = 0;
    for (i = 0; i < report->all.n; i++) {
        const fw2_policy *policy = report->all.settings[i].policy;

        if (report->all.rates[i].left_open >= 0) {
            add_recent(facts, &report->all.rates[i], &report->all.flows[i]);
        }
        all += weight_of(report, i) > 0 ? weight_of(report, i) : 0;
        facts->follows_system |=
            policy && fw2_sockopts_of(policy).linger2 == FW2_TIMEOUT_SYSTEM;
    }
    add_worst(facts, report, all);
    facts->left_open_life = mean_life(report, APR_INT64_MAX);
    facts->left_open_short_life = mean_life(report, FW2_SHORT_LIFE);
}

/* -------------------------------------------------------------- clients -- */

static void add_clients(fw2_facts *facts, const fw2_report *report)
{
    const fw2_client_reports *agents = &report->lists[FW2_AGENTS];
    const fw2_client_reports *nets = &report->lists[FW2_IDLE_NETS];

    if (agents->n) {
        facts->agent = agents->clients[0].client;
        facts->agent_share = percent(agents->clients[0].left_open, agents->all);
        facts->agent_closed = agents->clients[0].closed;
        facts->agent_left_open = agents->clients[0].left_open;
        facts->agent_expired = agents->clients[0].expired;
    }
    if (nets->n) {
        facts->idle_net = nets->clients[0].client;
        facts->idle_net_share = percent(nets->clients[0].expired, nets->all);
    }
}

/* --------------------------------------------------------------- limits -- */

/* Return the drops in a minute. They are unknown if the count has none, or
 * fewer than before, because a listening socket was closed. */
static apr_int64_t drops_per_minute(apr_int64_t now, apr_int64_t before,
                                    apr_interval_time_t over)
{
    return now < before ? FW2_FACT_UNKNOWN
                        : fw2_recent_per_minute(now, before, over);
}

/* Write the drops. Those for a deferred accept are subtracted from httpd's: it
 * defers accept by default (AcceptFilter), so most of its drops are of this
 * kind. */
static void add_drops(fw2_facts *facts, const fw2_limits *now,
                      const fw2_limits *before, apr_interval_time_t over)
{
    apr_int64_t own = drops_per_minute(now->own_drops, before->own_drops, over);
    apr_int64_t deferred =
        fw2_recent_per_minute(now->deferred, before->deferred, over);

    facts->other_drops =
        drops_per_minute(now->other_drops, before->other_drops, over);
    if (own >= 0 && deferred >= 0) {
        facts->own_drops = own > deferred ? own - deferred : 0;
    }
}

static void add_limits(fw2_facts *facts, const fw2_report *report)
{
    const fw2_limits *now = &report->limits, *before = &report->before;

    facts->tcp_fin_timeout = now->tcp_fin_timeout;
    facts->tcp_max_tw_buckets = now->tcp_max_tw_buckets;
    facts->timewait = now->timewait;
    facts->timewait_overflows = fw2_recent_per_minute(
        now->timewait_overflow, before->timewait_overflow, report->over);
    facts->listen_overflows = fw2_recent_per_minute(
        now->listen_overflows, before->listen_overflows, report->over);
    add_drops(facts, now, before, report->over);
    facts->memory_aborts = fw2_recent_per_minute(
        now->aborts_on_memory, before->aborts_on_memory, report->over);
    facts->tcp_max_orphans = now->tcp_max_orphans;
    facts->orphans = now->orphans;
    facts->tcp_mem_max = now->tcp_mem_max;
    facts->tcp_mem = now->mem_pages;
    facts->descriptors = report->descriptors.open;
    facts->descriptor_limit = report->descriptors.limit;
}

static void add_elsewhere(fw2_facts *facts, const fw2_report *report)
{
    const fw2_elsewhere *there = &report->elsewhere;

    if (there->half_closed < 0) {
        return;
    }
    if (there->full_port) {
        facts->queue_port = there->full_port;
        facts->queue = there->full;
        facts->queue_limit = there->full_limit;
    }
    if (there->n) {
        facts->elsewhere = there->top[0].n;
        facts->elsewhere_port = there->top[0].port;
        facts->elsewhere_opened = there->top[0].role == FW2_CLIENT;
    }
}

void fw2_report_facts(const fw2_report *report, fw2_facts *facts)
{
    fw2_advice_clear(facts);
    add_elsewhere(facts, report);
    add_sockets(facts, report);
    add_vhosts(facts, report);
    add_idle(facts, report);
    add_clients(facts, report);
    add_limits(facts, report);
    facts->not_counted =
        report->snapshot.counts > 0 && report->half_closed.total == FW2_UNKNOWN;
    facts->closer_away = report->closer.wanted && !report->closer.processes;
    facts->closer_idle = report->closer.wanted && report->closer.processes
                         && !report->closer.capacity;
    facts->closer_held = report->closer.held;
    facts->closer_capacity = report->closer.capacity;
    facts->closer_oldest =
        report->closer.oldest ? report->closer.oldest : FW2_FACT_UNKNOWN;
    facts->fallback = report->closer.recent_fallback;
}

void fw2_report_advise(fw2_report *report, const fw2_facts *facts,
                       apr_pool_t *pool)
{
    const fw2_verdict *verdict = fw2_advice_give(facts, pool);
    const fw2_advice first = { .level = verdict->level,
                               .level_name = fw2_level_names[verdict->level],
                               .rule = "verdict",
                               .text = verdict->text,
                               .words = { .finding = verdict->finding,
                                          .now = FW2_FACT_UNKNOWN,
                                          .after = FW2_FACT_UNKNOWN } };

    report->snapshot.verdict = verdict->level;
    report->snapshot.rule = verdict->rule ? verdict->rule : "none";
    report->nadvice = verdict->n + 1;
    report->advice =
        apr_palloc(pool, report->nadvice * sizeof(*report->advice));
    report->advice[0] = first;
    memcpy(&report->advice[1], verdict->advice,
           verdict->n * sizeof(*verdict->advice));
}
