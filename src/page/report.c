/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "base/clamp.h"
#include "kernel/sockopts.h"
#include "page/report.h"

#include <string.h>
#include <unistd.h>

#include "apr_strings.h"

/* The longest time that a page waits for a count, which takes 250 ms of CPU
 * time at most. */
#define COUNT_TIMEOUT (300 * (apr_interval_time_t)1000)

/* Write the numbers of sockets; all FW2_UNKNOWN, which is -1 in every member,
 * if they are not counted. */
static void report_count(fw2_report *report, const fw2_count *count,
                         int counted)
{
    fw2_half half;

    if (!counted) {
        memset(&report->half_closed, 0xff, sizeof(report->half_closed));
        memset(&report->remaining, 0xff, sizeof(report->remaining));
        memset(&report->undelivered, 0xff, sizeof(report->undelivered));
        return;
    }
    half = fw2_sockdiag_half_closed(count->tallies, report->nlisteners);
    report->half_closed.held = half.held;
    report->half_closed.orphan = half.orphan;
    report->half_closed.mini = half.mini;
    report->half_closed.full = half.orphan - half.mini;
    report->half_closed.total = half.held + half.orphan;
    report->remaining = count->left;
    report->undelivered = count->undelivered;
}

static void report_listeners(fw2_report *report, const fw2_count *count,
                             int counted, const char *const *names)
{
    int i;

    for (i = 0; i < report->nlisteners; i++) {
        report->listeners[i].listener = names[i];
        if (counted) {
            report->listeners[i].tally = count->tallies[i];
            report->listeners[i].half =
                fw2_sockdiag_half_closed(&count->tallies[i], 1);
        }
        else {
            memset(&report->listeners[i].tally, 0xff, sizeof(fw2_tally));
            memset(&report->listeners[i].half, 0xff, sizeof(fw2_half));
        }
    }
}

static void report_elsewhere(fw2_report *report, const fw2_elsewhere *elsewhere,
                             apr_pool_t *pool)
{
    int i;

    report->elsewhere = *elsewhere;
    report->ports = apr_pcalloc(pool, elsewhere->n * sizeof(*report->ports));
    for (i = 0; i < elsewhere->n; i++) {
        report->ports[i].side = fw2_role_names[elsewhere->top[i].role];
        report->ports[i].port = elsewhere->top[i].port;
        report->ports[i].connections = elsewhere->top[i].n;
    }
}

static void report_last_count(fw2_report *report, const fw2_board_count *last,
                              const char *const *names)
{
    const fw2_count *count = &last->count;
    int i, counted = FW2_BACKEND_HAS_STATES(count->backend);

    report_listeners(report, count, counted, names);
    report_count(report, count, counted);
    report->snapshot.age = last->age;
    report->snapshot.cost = last->cost;
    report->snapshot.backend = fw2_backend_names[count->backend];
    report->snapshot.complete = count->complete;
    report->snapshot.counts = last->counts;
    for (i = 0; i < FW2_BACKENDS; i++) {
        report->missing[i] = *count->refused[i] ? count->refused[i] : NULL;
    }
    report->limits = last->limits;
    report->fin_timeout_effective =
        fw2_report_orphan_life(last->limits.tcp_fin_timeout);
    report->before = last->before;
    report->over = last->over;
    report->descriptors.open = last->descriptors;
    report->descriptors.limit = last->descriptor_limit;
}

static void report_peers(fw2_report *report, const fw2_peers *peers,
                         apr_pool_t *pool)
{
    int i;

    report->npeers = peers->n;
    report->peers = apr_pcalloc(pool, peers->n * sizeof(*report->peers));
    report->unlisted = report->half_closed.total;
    for (i = 0; i < peers->n; i++) {
        report->peers[i].peer = fw2_sockdiag_peer_text(pool, &peers->top[i]);
        report->peers[i].connections = peers->top[i].n;
        report->unlisted -= peers->top[i].n;
    }
    if (report->unlisted < 0) {
        report->unlisted = report->half_closed.total < 0 ? FW2_UNKNOWN : 0;
    }
}

/* True if the closer process lingers, and so knows whether clients close. */
static int has_linger(const fw2_policy *policy)
{
    return policy->engine && policy->linger != FW2_LINGER_OFF
           && policy->linger != FW2_LINGER_HTTPD;
}

/* Return the member left_open of fw2_flow. */
static apr_int64_t left_open(const fw2_rates *recent, const fw2_policy *policy)
{
    apr_int64_t sum = 0;
    int i;

    if (has_linger(policy) || recent->left_open < 0) {
        return recent->left_open;
    }
    for (i = 0; i < FW2_CAUSES; i++) {
        sum += i == FW2_CAUSE_PEER ? 0 : recent->causes[i];
    }
    return sum;
}

static apr_interval_time_t orphan_life(const fw2_policy *policy,
                                       apr_int64_t tcp_fin_timeout)
{
    apr_int64_t seconds = fw2_sockopts_of(policy).linger2;

    if (seconds == FW2_TIMEOUT_NONE) {
        return 0;
    }
    seconds = fw2_report_orphan_life(
        seconds == FW2_TIMEOUT_SYSTEM ? tcp_fin_timeout : seconds);
    return seconds < 0 ? FW2_UNKNOWN : apr_time_from_sec(seconds);
}

static void report_flow(const fw2_report *report, int i, fw2_flow *flow)
{
    const fw2_policy *policy = report->all.settings[i].policy;

    flow->left_open = flow->life = flow->expected = FW2_UNKNOWN;
    if (!policy) {
        return;
    }
    flow->left_open = left_open(&report->all.rates[i], policy);
    flow->life = orphan_life(policy, report->limits.tcp_fin_timeout);
    flow->expected = fw2_report_steady_state(flow->left_open, flow->life);
}

/* Return the expected number of all virtual hosts; unknown if it is unknown for
 * one with connections that clients did not close. */
static apr_int64_t sum_of_expected(const fw2_report *report)
{
    apr_int64_t sum = FW2_UNKNOWN;
    int i;

    for (i = 0; i < report->all.n; i++) {
        const fw2_flow *flow = &report->all.flows[i];

        if (flow->expected != FW2_UNKNOWN) {
            fw2_clamp_add(&sum, flow->expected);
        }
        else if (flow->left_open > 0) {
            return FW2_UNKNOWN;
        }
    }
    return sum;
}

static void report_flows(fw2_report *report, const fw2_sources *sources,
                         apr_pool_t *pool)
{
    int i, n = fw2_counters_named(sources->counters);
    fw2_flow *flows = apr_palloc(pool, n * sizeof(*flows));

    report->all.n = n;
    report->all.names = fw2_counters_names(sources->counters);
    report->all.settings = sources->settings;
    report->all.rates = fw2_board_rates(sources->boards[0],
                                        &report->closer.recent_fallback, pool);
    for (i = 0; i < n; i++) {
        report_flow(report, i, &flows[i]);
        report->closer.evicted +=
            fw2_counters_evicted(sources->counters, (fw2_vhost_id)i);
    }
    report->all.flows = flows;
    report->half_closed.expected = sum_of_expected(report);
    report->nvhosts = 0;
}

static void report_closer(fw2_report *report, const fw2_sources *sources)
{
    fw2_server_totals totals;
    fw2_board_state state;
    int i;

    report->closer.wanted = sources->lingers;
    for (i = 0; i < sources->nboards; i++) {
        fw2_board_state_read(sources->boards[i], &state);
        report->closer.processes += state.running;
        report->closer.held += state.held;
        report->closer.capacity += i ? state.held : state.capacity;
        report->closer.oldest = state.oldest > report->closer.oldest
                                    ? state.oldest
                                    : report->closer.oldest;
    }
    fw2_counters_server(sources->counters, &totals);
    memcpy(report->closer.reasons, totals.fallback, sizeof(totals.fallback));
    report->closer.fallback = totals.fallbacks;
    report->closer.invalid = totals.invalid;
    report->closer.lost = totals.lost;
}

static const char *client_text(fw2_client_list list, const fw2_client *client,
                               apr_pool_t *pool)
{
    fw2_peer net = { .n = 0 };
    const char *text;

    if (list == FW2_AGENTS) {
        return client->name;
    }
    fw2_clients_address(client->key, net.addr);
    text = fw2_sockdiag_peer_text(pool, &net);
    return strchr(text, '/') ? text : apr_pstrcat(pool, text, "/24", NULL);
}

static void report_list(fw2_report *report, fw2_client_list list,
                        const fw2_client_top *top, apr_pool_t *pool)
{
    fw2_client_reports *to = &report->lists[list];
    int i;

    to->n = top->n;
    to->all = top->all;
    to->clients = apr_pcalloc(pool, top->n * sizeof(*to->clients));
    for (i = 0; i < top->n; i++) {
        const fw2_client *client = &top->clients[i];

        to->clients[i].client = client_text(list, client, pool);
        to->clients[i].closed = client->closed;
        to->clients[i].left_open = client->left_open;
        to->clients[i].silent = client->silent;
        to->clients[i].expired = client->expired;
    }
    if (to->n) {
        to->share =
            fw2_report_share(list == FW2_IDLE_NETS ? to->clients[0].expired
                                                   : to->clients[0].left_open,
                             to->all);
    }
}

static void report_clients(fw2_report *report, const fw2_clients *clients,
                           apr_pool_t *pool)
{
    fw2_clients_seen seen;
    int i;

    memset(&report->clients, 0xff, sizeof(report->clients));
    memset(report->lists, 0, sizeof(report->lists));
    for (i = 0; i < FW2_CLIENT_LISTS; i++) {
        report->lists[i].share = FW2_UNKNOWN;
    }
    if (!clients) {
        return;
    }
    memset(&report->clients, 0, sizeof(report->clients));
    if (!fw2_clients_read(clients, &seen, pool)) {
        return;
    }
    report->clients.over = seen.over;
    report->clients.left_open = seen.top[FW2_NETS].all;
    report->clients.expired = seen.top[FW2_IDLE_NETS].all;
    for (i = 0; i < FW2_CLIENT_LISTS; i++) {
        report_list(report, (fw2_client_list)i, &seen.top[i], pool);
    }
}

void fw2_report_last(fw2_report *report, const fw2_sources *sources,
                     apr_pool_t *pool)
{
    const fw2_board_count *last = fw2_board_last(sources->boards[0], pool);

    memset(&report->closer, 0, sizeof(report->closer));
    report->nlisteners = sources->n;
    report->listeners =
        apr_pcalloc(pool, sources->n * sizeof(*report->listeners));
    report_last_count(report, last, sources->names);
    report_elsewhere(report, &last->count.elsewhere, pool);
    report_peers(report, &last->count.peers, pool);
    report_flows(report, sources, pool);
    report_closer(report, sources);
    report_clients(report, sources->clients, pool);
    report->history = sources->history;
    report->sample_interval = sources->sample_interval;
    fw2_report_sum(report);
}

void fw2_report_make(fw2_report *report, const fw2_sources *sources,
                     apr_pool_t *pool)
{
    fw2_board_state state;
    int answered;

    fw2_board_state_read(sources->boards[0], &state);
    answered =
        state.running && fw2_queue_request_count(sources->queue, COUNT_TIMEOUT);
    fw2_report_last(report, sources, pool);
    report->closer.answered = answered;
}
