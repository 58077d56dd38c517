/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Counting sockets in the kernel's tables, and publishing counts, rates and
 * samples for the pages. */

#include "closing/process_impl.h"

#include <string.h>

#include <sys/resource.h>

#include "apr_file_info.h"
#include "apr_strings.h"

#include "base/clamp.h"
#include "base/clock.h"

/* A count is fresh for this time, or for so many times the processor time that
 * it took, whichever is longer. */
#define OLD       apr_time_from_sec(1)
#define OLD_COSTS 25

/* The most CPU time that a count may take. */
#define BUDGET (250 * (apr_interval_time_t)1000)

/* The numbers in each structure. */
#define EVENTS (sizeof(fw2_rates) / sizeof(apr_int64_t))
#define LIMITS (sizeof(fw2_limits) / sizeof(apr_int64_t))

/* ---------------------------------------------------------- descriptors -- */

/* Return the number of this process's descriptors, without that of the folder
 * that is read. */
static apr_int64_t count_descriptors(apr_pool_t *pool)
{
    apr_int64_t n = -1;
    apr_finfo_t entry;
    apr_dir_t *dir;

    if (apr_dir_open(&dir, "/proc/self/fd", pool) != APR_SUCCESS) {
        return -1;
    }
    while (apr_dir_read(&entry, APR_FINFO_NAME, dir) == APR_SUCCESS) {
        n += *entry.name != '.';
    }
    apr_dir_close(dir);
    return n;
}

static apr_int64_t descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY) {
        return -1;
    }
    return (apr_int64_t)limit.rlim_cur;
}

/* ----------------------------------------------------------------- rates -- */

/* Read the totals of the events that have a rate. */
static void read_events(const fw2_counters *counters, fw2_vhost_id vhost,
                        fw2_rates *events)
{
    fw2_vhost_totals totals;
    int i;

    fw2_counters_vhost(counters, vhost, &totals);
    memcpy(events->causes, totals.causes, sizeof(totals.causes));
    events->probes = totals.given_up;
    events->evicted = totals.endings[FW2_EVICTED];
    memcpy(events->idle, totals.idle, sizeof(totals.idle));
    events->left_open = 0;
    for (i = 0; i < FW2_ENDINGS; i++) {
        events->left_open += fw2_endings[i].open ? totals.endings[i] : 0;
    }
}

/* Read the events of all virtual hosts, and behind them the sum of the
 * fallbacks. */
static void read_all_events(const fw2_counters *counters, apr_int64_t *events)
{
    int i, n = fw2_counters_named(counters);
    fw2_server_totals totals;

    for (i = 0; i < n; i++) {
        read_events(counters, (fw2_vhost_id)i, &((fw2_rates *)events)[i]);
    }
    fw2_counters_server(counters, &totals);
    events[fw2_counters_places(counters) * EVENTS] = totals.fallbacks;
}

static void publish_rates(fw2_publisher *p, apr_time_t now)
{
    const fw2_counters *counters = p->setup->counters;
    apr_size_t n = fw2_counters_places(counters) * EVENTS, i;
    apr_int64_t *rates = (apr_int64_t *)p->rates;
    apr_interval_time_t over;
    const apr_int64_t *then = fw2_recent_then(p->recent_events, now, &over);

    if (then) {
        read_all_events(counters, rates);
        for (i = 0; i <= n; i++) {
            rates[i] = fw2_recent_per_minute(rates[i], then[i], over);
        }
        fw2_board_publish_rates(p->setup->board, p->rates, rates[n]);
    }
    if (fw2_recent_is_due(p->recent_events, now)) {
        read_all_events(counters, fw2_recent_mark(p->recent_events, now));
    }
}

/* --------------------------------------------------------------- a count -- */

/* Count, unless the predicted cost exceeds BUDGET. The limits are known by
 * now. */
static void count_sockets(fw2_publisher *p)
{
    apr_interval_time_t cost = fw2_sockdiag_predict(&p->last.limits);
    fw2_count *count = &p->last.count;

    if (cost <= BUDGET) {
        fw2_sockdiag_count(p->setup->endpoints, p->setup->n, p->setup->peers,
                           BUDGET, count, p->scratch);
        return;
    }
    memset(count, 0, sizeof(*count));
    count->backend = FW2_SOCKSTAT;
    count->tallies =
        apr_pcalloc(p->scratch, (apr_size_t)p->setup->n * sizeof(fw2_tally));
    apr_snprintf(
        count->refused[FW2_NETLINK], FW2_REFUSED_MAX,
        "not tried: of %" APR_INT64_T_FMT " mini-sockets and %" APR_INT64_T_FMT
        " others a count would take about %d ms of "
        "CPU, and %d ms is the most",
        p->last.limits.timewait, p->last.limits.inuse + p->last.limits.inuse6,
        (int)(cost / 1000), (int)(BUDGET / 1000));
    count->elsewhere.half_closed = count->elsewhere.outgoing = -1;
}

/* Set the limits of a minute ago, and keep those of now for later. */
static void recall_limits(fw2_publisher *p, apr_time_t now)
{
    const apr_int64_t *then =
        fw2_recent_then(p->recent_limits, now, &p->last.over);

    if (then) {
        memcpy(&p->last.before, then, sizeof(p->last.before));
    }
    else {
        memset(&p->last.before, 0xff, sizeof(p->last.before));
    }
    if (fw2_recent_is_due(p->recent_limits, now)) {
        memcpy(fw2_recent_mark(p->recent_limits, now), &p->last.limits,
               sizeof(p->last.limits));
    }
}

/* Set the half-closed sockets, and the drops of httpd's listening sockets and
 * of all others, if the source of the count shows them. If the drops of httpd
 * are known and no others were found, no other program listens, and the others'
 * drops are 0. */
static void note_sums(fw2_publisher *p)
{
    const fw2_count *count = &p->last.count;
    fw2_limits *limits = &p->last.limits;

    if (!FW2_BACKEND_HAS_STATES(count->backend)) {
        p->half_closed.held = p->half_closed.orphan = FW2_NOT_SAMPLED;
        return;
    }
    p->half_closed = fw2_sockdiag_half_closed(count->tallies, p->setup->n);
    limits->own_drops = fw2_sockdiag_drops(count->tallies, p->setup->n);
    limits->other_drops = count->elsewhere.drops;
    if (limits->own_drops >= 0 && count->elsewhere.half_closed >= 0) {
        fw2_clamp_add(&limits->other_drops, 0);
    }
}

static void count(fw2_publisher *p, apr_time_t now, int held)
{
    apr_interval_time_t begun = fw2_clock_cpu();

    p->last.at = now;
    fw2_sockdiag_limits(&p->last.limits);
    p->last.descriptors =
        p->own_descriptors < 0 ? -1 : p->own_descriptors + held;
    count_sockets(p);
    note_sums(p);
    recall_limits(p, now);
    p->last.counts++;
    if (p->recent_events) {
        publish_rates(p, now);
    }
    if (p->setup->clients) {
        fw2_clients_publish(p->setup->clients);
    }
    p->last.cost = fw2_clock_cpu() - begun;
    fw2_board_publish(p->setup->board, &p->last);
    p->last.cost = fw2_clock_cpu() - begun; /* with that of publishing */
    apr_pool_clear(p->scratch);
    p->last.count.tallies = NULL;
}

void fw2_publisher_count(fw2_publisher *p, int held)
{
    apr_time_t now = fw2_clock_now();
    apr_interval_time_t old = OLD_COSTS * p->last.cost;

    if (!p->last.counts || now - p->last.at >= (old > OLD ? old : OLD)) {
        count(p, now, held);
    }
}

/* --------------------------------------------------------------- samples -- */

static apr_int64_t count_closes(const fw2_counters *counters)
{
    int i, n = fw2_counters_named(counters);
    apr_int64_t sum = 0;

    for (i = 0; i < n; i++) {
        sum += fw2_counters_ends(counters, (fw2_vhost_id)i);
    }
    return sum;
}

void fw2_publisher_sample(fw2_publisher *p, int held)
{
    fw2_sample sample = { 0 };
    apr_time_t now = fw2_clock_now();

    if (!p->sample_due || now < p->sample_due) {
        return;
    }
    fw2_publisher_count(p, held);
    sample.time = apr_time_now();
    sample.interval = p->setup->sample_interval;
    sample.held = p->half_closed.held;
    sample.orphan = p->half_closed.orphan;
    sample.timewait = p->last.limits.timewait;
    sample.marks = p->marks;
    sample.closes = count_closes(p->setup->counters);
    sample.severity = FW2_NOT_SAMPLED;
    if (p->setup->severity) {
        sample.severity = p->setup->severity(p->scratch);
        apr_pool_clear(p->scratch);
    }
    fw2_counters_note(p->setup->counters, now);
    fw2_history_put(p->setup->history, &sample);
    p->marks = 0;
    /* Samples keep a fixed beat. A sample that is late by an interval or more
     * begins a new beat. */
    p->sample_due += p->setup->sample_interval;
    if (p->sample_due <= now) {
        p->sample_due = now + p->setup->sample_interval;
    }
}

void fw2_publisher_init(fw2_publisher *p, const fw2_setup *setup,
                        apr_pool_t *pool)
{
    apr_size_t places = fw2_counters_places(setup->counters);

    memset(p, 0, sizeof(*p));
    p->setup = setup;
    apr_pool_create(&p->scratch, pool);
    p->own_descriptors = count_descriptors(p->scratch);
    p->last.descriptor_limit = descriptor_limit();
    p->recent_limits = fw2_recent_create(LIMITS, pool);
    if (setup->pages) {
        p->recent_events = fw2_recent_create(places * EVENTS + 1, pool);
        p->rates =
            apr_pcalloc(pool, places * sizeof(*p->rates) + sizeof(apr_int64_t));
    }
    if (setup->history && setup->sample_interval) {
        p->sample_due = fw2_clock_now();
    }
    p->marks = setup->marks;
}
