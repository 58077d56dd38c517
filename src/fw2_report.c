/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "fw2_report.h"

#include <string.h>

#include "apr_strings.h"

static const fw2_dim states = { "state", fw2_state_names, FW2_STATES };
static const fw2_dim holders = { "holder", fw2_holder_names, FW2_HOLDERS };

/* Those that may have something to deliver. */
static const fw2_dim full_holders = { "holder", fw2_holder_names,
                                      FW2_TIMEWAIT };

static const fw2_scale linger_scale = { fw2_bounds, FW2_BOUNDS };
static const fw2_scale left_scale = { fw2_left_bounds, FW2_LEFT_BOUNDS };

static const fw2_dim sides = { "closed", fw2_side_names, FW2_SIDES };
static const fw2_dim causes = { "cause", fw2_cause_names, FW2_CAUSES };
static const fw2_dim protocols = { "protocol", fw2_protocol_names,
                                   FW2_PROTOCOLS };
static const fw2_dim endings = { "ending", fw2_ending_names, FW2_ENDINGS };

#define NOT_COUNTED "no source of the kernel's tables could be read"
#define NOT_YET     "there is no minute yet to tell of"
#define NOT_SHOWN   "the kernel does not show it here"
#define NOT_IN_CONTAINER                                                       \
    "a container does not show it: it is the whole machine's"

static const fw2_metric server_metrics[] = {
    { .key = "mpm",
      .family = "server",
      .kind = FW2_TEXT,
      .offset = APR_OFFSETOF(fw2_report, server.mpm),
      .help = "The multi-processing module that httpd runs with" },
    { .key = "uptime_seconds",
      .family = "uptime_seconds",
      .kind = FW2_SECONDS,
      .offset = APR_OFFSETOF(fw2_report, server.uptime),
      .help = "Time since httpd was started or restarted" },
    { .key = "generation",
      .family = "generation",
      .offset = APR_OFFSETOF(fw2_report, server.generation),
      .help = "Restarts since httpd was started" },
    { NULL }
};

static const fw2_metric snapshot_metrics[] = {
    { .key = "age_seconds",
      .family = "snapshot_age_seconds",
      .kind = FW2_SECONDS,
      .offset = APR_OFFSETOF(fw2_report, snapshot.age),
      .help = "Time since the sockets were counted" },
    { .key = "cost_seconds",
      .family = "snapshot_cost_seconds",
      .kind = FW2_SECONDS,
      .offset = APR_OFFSETOF(fw2_report, snapshot.cost),
      .help = "CPU time that counting them took" },
    { .key = "backend",
      .family = "snapshot",
      .kind = FW2_TEXT,
      .offset = APR_OFFSETOF(fw2_report, snapshot.backend),
      .help = "Where the counts come from: netlink, procfs, or sockstat, "
              "which has no states" },
    { .key = "complete",
      .family = "snapshot_complete",
      .kind = FW2_FLAG,
      .offset = APR_OFFSETOF(fw2_report, snapshot.complete),
      .help = "Whether every socket was counted; if not, counts are lower "
              "bounds" },
    { .key = "counts",
      .family = "snapshot_counts",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_report, snapshot.counts),
      .help = "Times that they were counted; who asks soon after somebody "
              "else is shown the same count" },
    { .key = "verdict",
      .family = "verdict",
      .offset = APR_OFFSETOF(fw2_report, snapshot.verdict),
      .help = "What it comes to: 0 ok, 1 watch, 2 danger; the page has the "
              "words" },
    { NULL }
};

static const fw2_metric half_closed_metrics[] = {
    { .key = "total",
      .family = "half_closed_connections",
      .offset = APR_OFFSETOF(fw2_report, half_closed.total),
      .help = "Connections in FIN_WAIT_1, FIN_WAIT_2 or CLOSING at httpd's "
              "own addresses",
      .unknown = NOT_COUNTED },
    { .key = "held",
      .family = "held_connections",
      .offset = APR_OFFSETOF(fw2_report, half_closed.held),
      .help = "Of these, those whose descriptor httpd still holds",
      .unknown = NOT_COUNTED },
    { .key = "orphan",
      .family = "orphan_connections",
      .offset = APR_OFFSETOF(fw2_report, half_closed.orphan),
      .help = "Of these, those that httpd has closed and the kernel keeps",
      .unknown = NOT_COUNTED },
    { .key = "expected",
      .family = "expected_orphan_connections",
      .offset = APR_OFFSETOF(fw2_report, half_closed.expected),
      .help = "Orphans that there would be in the long run: how many clients "
              "leave open of late, times how long each is kept",
      .unknown = NOT_YET },
    { NULL }
};

static const fw2_metric advice_metrics[] = {
    { .key = "level",
      .kind = FW2_TEXT,
      .offset = APR_OFFSETOF(fw2_advice_report, level),
      .help = "ok, watch or danger" },
    { .key = "text",
      .kind = FW2_TEXT,
      .offset = APR_OFFSETOF(fw2_advice_report, text),
      .help = "What is so, and what to do about it" },
    { NULL }
};

static const fw2_metric remaining_metrics[] = {
    { .key = "seconds",
      .family = "remaining_seconds",
      .kind = FW2_TIMES,
      .scale = &left_scale,
      .offset = APR_OFFSETOF(fw2_report, remaining.n),
      .help = "How long orphans will live on if their clients stay silent",
      .unknown = NOT_COUNTED },
    { .key = "longest_seconds",
      .family = "remaining_longest_seconds",
      .kind = FW2_SECONDS,
      .offset = APR_OFFSETOF(fw2_report, remaining.longest),
      .help = "The longest of these times",
      .unknown = NOT_COUNTED },
    { .key = "unknown",
      .family = "remaining_unknown_connections",
      .offset = APR_OFFSETOF(fw2_report, remaining.unknown),
      .help = "Orphans in FIN_WAIT_2 whose time is not shown",
      .unknown = NOT_COUNTED },
    { .key = "unbounded",
      .family = "remaining_unbounded_connections",
      .offset = APR_OFFSETOF(fw2_report, remaining.unbounded),
      .help = "Orphans in FIN_WAIT_1 or CLOSING: it depends on the client",
      .unknown = NOT_COUNTED },
    { NULL }
};

static const fw2_metric undelivered_metrics[] = {
    { .key = "connections",
      .family = "undelivered_connections",
      .offset = APR_OFFSETOF(fw2_report, undelivered.sockets),
      .dims = { &full_holders },
      .help = "Connections that httpd has ended, with bytes of a response that "
              "the client has not acknowledged",
      .unknown = NOT_COUNTED },
    { .key = "bytes",
      .family = "undelivered_bytes",
      .offset = APR_OFFSETOF(fw2_report, undelivered.bytes),
      .dims = { &full_holders },
      .help = "These bytes",
      .unknown = NOT_COUNTED },
    { .key = "shut_windows",
      .family = "undelivered_shut_windows",
      .offset = APR_OFFSETOF(fw2_report, undelivered.shut),
      .dims = { &full_holders },
      .help = "Of these connections, those whose client has no room for more",
      .unknown = NOT_COUNTED },
    { NULL }
};

static const fw2_metric listener_metrics[] = {
    { .key = "states",
      .family = "listener_connections",
      .offset = APR_OFFSETOF(fw2_listener_report, tally.n),
      .dims = { &states, &holders },
      .help = "Closing connections by state and by who holds them",
      .unknown = NOT_COUNTED },
    { .key = "backlog",
      .family = "listener_backlog_connections",
      .offset = APR_OFFSETOF(fw2_listener_report, tally.backlog),
      .help = "Connections that wait to be accepted",
      .unknown = NOT_COUNTED },
    { .key = "backlog_limit",
      .family = "listener_backlog_limit",
      .offset = APR_OFFSETOF(fw2_listener_report, tally.backlog_limit),
      .help = "Connections that may wait to be accepted",
      .unknown = "only netlink tells it" },
    { NULL }
};

static const fw2_metric vhost_metrics[] = {
    { .key = "held",
      .family = "vhost_held_connections",
      .offset = APR_OFFSETOF(fw2_vhost_report, totals.held),
      .help = "Connections that the closer lingers on" },
    { .key = "closes",
      .family = "closed_connections",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_vhost_report, totals.closes),
      .dims = { &sides },
      .help = "Connections that ended, by who closed first" },
    { .key = "causes",
      .family = "closes",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_vhost_report, totals.causes),
      .dims = { &causes },
      .help = "Connections that ended, by why" },
    { .key = "connections",
      .family = "connections",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_vhost_report, totals.connections),
      .dims = { &protocols },
      .help = "Connections that ended, by what was spoken at last" },
    { .key = "tls",
      .family = "tls_connections",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_vhost_report, totals.tls),
      .help = "Connections that ended and were encrypted" },
    { .key = "probes",
      .family = "probes",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_vhost_report, totals.probes),
      .help = "Connections that ended and never carried a request" },
    { .key = "endings",
      .family = "lingers_ended",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_vhost_report, totals.endings),
      .dims = { &endings },
      .help = "Lingers that ended, by how" },
    { .key = "linger_seconds",
      .family = "linger_seconds",
      .kind = FW2_TIMES,
      .counter = 1,
      .scale = &linger_scale,
      .offset = APR_OFFSETOF(fw2_vhost_report, totals.linger),
      .help = "How long lingers took" },
    { .key = "drained_bytes",
      .family = "drained_bytes",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_vhost_report, totals.drained),
      .help = "Bytes that came after httpd had closed, and were discarded" },
    { .key = "expected",
      .family = "vhost_expected_orphan_connections",
      .offset = APR_OFFSETOF(fw2_vhost_report, expected),
      .help = "Orphans that it would have in the long run: how many clients "
              "leave open of late, times how long each is kept",
      .unknown = NOT_YET },
    { NULL }
};

static const fw2_metric peer_metrics[] = {
    { .key = "connections",
      .offset = APR_OFFSETOF(fw2_peer_report, connections),
      .help = "Half-closed connections with this peer" },
    { NULL }
};

#define NOT_ASKED_FOR "FinWait2StatusPeers is Off, or there is no memory for it"

static const fw2_metric clients_metrics[] = {
    { .key = "over_seconds",
      .kind = FW2_SECONDS,
      .offset = APR_OFFSETOF(fw2_report, clients.over),
      .help = "How far back the lists of clients go",
      .unknown = NOT_ASKED_FOR },
    { .key = "left_open",
      .offset = APR_OFFSETOF(fw2_report, clients.left_open),
      .help = "Connections that clients left open meanwhile",
      .unknown = NOT_ASKED_FOR },
    { .key = "expired",
      .offset = APR_OFFSETOF(fw2_report, clients.expired),
      .help = "Connections whose keep-alive time was over",
      .unknown = NOT_ASKED_FOR },
    { .key = "missed",
      .offset = APR_OFFSETOF(fw2_report, clients.missed),
      .help = "Connections that are in no list, since nobody could note them",
      .unknown = NOT_ASKED_FOR },
    { NULL }
};

static const fw2_metric client_metrics[] = {
    { .key = "closed",
      .offset = APR_OFFSETOF(fw2_client_report, closed),
      .help = "Connections of this client that httpd closed first" },
    { .key = "left_open",
      .offset = APR_OFFSETOF(fw2_client_report, left_open),
      .help = "Of these, those that it had not closed when httpd let go" },
    { .key = "silent",
      .offset = APR_OFFSETOF(fw2_client_report, silent),
      .help = "Of those, the ones that httpd lingered on until time was up" },
    { .key = "expired",
      .offset = APR_OFFSETOF(fw2_client_report, expired),
      .help = "Of all, those whose keep-alive time was over" },
    { NULL }
};

static const fw2_metric closer_metrics[] = {
    { .key = "held",
      .family = "closer_held_connections",
      .offset = APR_OFFSETOF(fw2_report, closer.held),
      .help = "Connections that the closers of all children linger on" },
    { .key = "capacity",
      .family = "closer_capacity_connections",
      .offset = APR_OFFSETOF(fw2_report, closer.capacity),
      .help = "Connections that they may linger on (FinWait2LingerSlots, for "
              "each child)" },
    { .key = "oldest_seconds",
      .family = "closer_oldest_seconds",
      .kind = FW2_SECONDS,
      .offset = APR_OFFSETOF(fw2_report, closer.oldest),
      .help = "How long the oldest of them is held",
      .unknown = "none is held" },
    { .key = "evicted",
      .family = "closer_evicted",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_report, closer.evicted),
      .help = "Lingers that were cut short because their place was needed" },
    { .key = "fallback",
      .family = "closer_fallback",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_report, closer.fallback),
      .help = "Connections that httpd lingered on itself, for want of a "
              "place or of a closer" },
    { NULL }
};

static const fw2_metric limit_metrics[] = {
    { .key = "tcp_fin_timeout",
      .family = "tcp_fin_timeout_seconds",
      .offset = APR_OFFSETOF(fw2_report, limits.tcp_fin_timeout),
      .help = "Seconds that the kernel keeps an orphan in FIN_WAIT_2 "
              "(net.ipv4.tcp_fin_timeout; FinWait2Timeout goes before it)",
      .unknown = NOT_SHOWN },
    { .key = "tcp_fin_timeout_effective",
      .family = "tcp_fin_timeout_effective_seconds",
      .offset = APR_OFFSETOF(fw2_report, fin_timeout_effective),
      .help = "Seconds that this makes: of a value above 60, twice what is "
              "above 60",
      .unknown = NOT_SHOWN },
    { .key = "tcp_max_orphans",
      .family = "tcp_max_orphans",
      .offset = APR_OFFSETOF(fw2_report, limits.tcp_max_orphans),
      .help = "Orphans that are full sockets (FIN_WAIT_1) at most, on the "
              "whole machine",
      .unknown = NOT_IN_CONTAINER },
    { .key = "orphans",
      .family = "tcp_orphans",
      .offset = APR_OFFSETOF(fw2_report, limits.orphans),
      .help = "Orphans that are full sockets now, on the whole machine even "
              "in a container; FIN_WAIT_2 is mostly not among them",
      .unknown = NOT_SHOWN },
    { .key = "tcp_max_tw_buckets",
      .family = "tcp_max_tw_buckets",
      .offset = APR_OFFSETOF(fw2_report, limits.tcp_max_tw_buckets),
      .help = "Mini-sockets at most, TIME_WAIT and orphans in FIN_WAIT_2 "
              "together; those above it vanish",
      .unknown = NOT_SHOWN },
    { .key = "timewait",
      .family = "tcp_timewait_sockets",
      .offset = APR_OFFSETOF(fw2_report, limits.timewait),
      .help = "Mini-sockets now",
      .unknown = NOT_SHOWN },
    { .key = "timewait_overflow",
      .family = "tcp_timewait_overflows",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_report, limits.timewait_overflow),
      .help = "Mini-sockets that vanished for want of room since the system "
              "started",
      .unknown = NOT_SHOWN },
    { .key = "listen_overflows",
      .family = "tcp_listen_overflows",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_report, limits.listen_overflows),
      .help = "Connections that found no room among those that wait to be "
              "accepted, of all programs here",
      .unknown = NOT_SHOWN },
    { .key = "listen_drops",
      .family = "tcp_listen_drops",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_report, limits.listen_drops),
      .help = "Connections lost before they were accepted, for that or any "
              "reason",
      .unknown = NOT_SHOWN },
    { .key = "memory_aborts",
      .family = "tcp_memory_aborts",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_report, limits.aborts_on_memory),
      .help = "Connections reset for want of memory, or for too many orphans",
      .unknown = NOT_SHOWN },
    { .key = "tcp_mem",
      .family = "tcp_memory_pages",
      .offset = APR_OFFSETOF(fw2_report, limits.mem_pages),
      .help = "Pages of memory in TCP's buffers, on the whole machine even in "
              "a container",
      .unknown = NOT_SHOWN },
    { .key = "tcp_mem_max",
      .family = "tcp_memory_max_pages",
      .offset = APR_OFFSETOF(fw2_report, limits.tcp_mem_max),
      .help = "The most such pages (net.ipv4.tcp_mem, the third number)",
      .unknown = NOT_IN_CONTAINER },
    { .key = "descriptors",
      .family = "descriptors",
      .offset = APR_OFFSETOF(fw2_report, descriptors.open),
      .help = "Open descriptors of the child that counted",
      .unknown = NOT_SHOWN },
    { .key = "descriptor_limit",
      .family = "descriptor_limit",
      .offset = APR_OFFSETOF(fw2_report, descriptors.limit),
      .help = "Those that it may have (ulimit -n)",
      .unknown = NOT_SHOWN },
    { NULL }
};

#define CLIENTS(key_, title_, label_, list_)                                   \
    {                                                                          \
        .key = (key_), .title = (title_), .label = (label_),                   \
        .offset = APR_OFFSETOF(fw2_report, lists[list_].clients),              \
        .count = APR_OFFSETOF(fw2_report, lists[list_].n), .no_metrics = 1,    \
        .size = sizeof(fw2_client_report), .metrics = client_metrics           \
    }

const fw2_section fw2_sections[] = {
    { .key = "server", .title = "Server", .metrics = server_metrics },
    { .key = "snapshot", .title = "Source", .metrics = snapshot_metrics },
    { .key = "half_closed",
      .title = "Half-closed connections",
      .metrics = half_closed_metrics },
    { .key = "remaining",
      .title = "How long orphans will live",
      .metrics = remaining_metrics },
    { .key = "undelivered",
      .title = "Not delivered",
      .metrics = undelivered_metrics },
    { .key = "listeners",
      .title = "Listeners",
      .label = "listener",
      .offset = APR_OFFSETOF(fw2_report, listeners),
      .count = APR_OFFSETOF(fw2_report, nlisteners),
      .size = sizeof(fw2_listener_report),
      .metrics = listener_metrics },
    { .key = "vhosts",
      .title = "Virtual hosts",
      .label = "vhost",
      .offset = APR_OFFSETOF(fw2_report, vhosts),
      .count = APR_OFFSETOF(fw2_report, nvhosts),
      .size = sizeof(fw2_vhost_report),
      .metrics = vhost_metrics },
    { .key = "peers",
      .title = "Peers",
      .label = "peer",
      .offset = APR_OFFSETOF(fw2_report, peers),
      .count = APR_OFFSETOF(fw2_report, npeers),
      .size = sizeof(fw2_peer_report),
      .no_metrics = 1,
      .metrics = peer_metrics },
    { .key = "clients",
      .title = "Clients that do not close",
      .no_metrics = 1,
      .metrics = clients_metrics },
    CLIENTS("agents", "By User-Agent", "agent", FW2_AGENTS),
    CLIENTS("nets", "By net", "net", FW2_NETS),
    CLIENTS("idle_nets", "Idle for too long, by net", "net", FW2_IDLE_NETS),
    { .key = "advice",
      .title = "Advice",
      .label = "rule",
      .offset = APR_OFFSETOF(fw2_report, advice),
      .count = APR_OFFSETOF(fw2_report, nadvice),
      .size = sizeof(fw2_advice_report),
      .no_metrics = 1,
      .metrics = advice_metrics },
    { .key = "closer", .title = "Closer", .metrics = closer_metrics },
    { .key = "limits", .title = "Limits", .metrics = limit_metrics },
    { NULL }
};

const fw2_section *fw2_section_find(const char *key)
{
    const fw2_section *section = fw2_sections;

    while (strcmp(section->key, key)) {
        section++;
    }
    return section;
}

int fw2_section_count(const fw2_section *section, const fw2_report *report)
{
    return section->label
               ? *(const int *)((const char *)report + section->count)
               : 1;
}

const void *fw2_section_element(const fw2_section *section,
                                const fw2_report *report, int i)
{
    const char *at = (const char *)report + section->offset;

    return section->label ? *(const char *const *)at + i * section->size : at;
}

int fw2_metric_cells(const fw2_metric *metric)
{
    int dim, cells = 1;

    for (dim = 0; dim < FW2_DIMS && metric->dims[dim]; dim++) {
        cells *= metric->dims[dim]->n;
    }
    return cells;
}

int fw2_metric_stride(const fw2_metric *metric, int dim)
{
    int inner, stride = 1;

    for (inner = dim + 1; inner < FW2_DIMS && metric->dims[inner]; inner++) {
        stride *= metric->dims[inner]->n;
    }
    return stride;
}

int fw2_metric_index(const fw2_metric *metric, int cell, int dim)
{
    return cell / fw2_metric_stride(metric, dim) % metric->dims[dim]->n;
}

apr_int64_t fw2_metric_number(const fw2_metric *metric, const void *element,
                              int cell)
{
    const char *at = (const char *)element + metric->offset;

    return ((const apr_int64_t *)at)[cell];
}

const char *fw2_metric_text(const fw2_metric *metric, const void *element)
{
    const char *at = (const char *)element + metric->offset;

    return *(const char *const *)at;
}

fw2_times fw2_metric_times(const fw2_metric *metric, const void *element)
{
    const char *at = (const char *)element + metric->offset;
    fw2_times times = { metric->scale, (const apr_int64_t *)at, 0 };

    times.sum = times.n[metric->scale->n + 1];
    return times;
}

static void add_half_closed(fw2_report *report, const fw2_tally *tally)
{
    static const fw2_state half[] = { FW2_FIN_WAIT1, FW2_FIN_WAIT2,
                                      FW2_CLOSING };
    unsigned int i;

    for (i = 0; i < sizeof(half) / sizeof(half[0]); i++) {
        const apr_int64_t *n = tally->n[half[i]];

        report->half_closed.held += n[FW2_PROCESS];
        report->half_closed.orphan += n[FW2_KERNEL] + n[FW2_TIMEWAIT];
    }
    report->half_closed.total =
        report->half_closed.held + report->half_closed.orphan;
}

static void sum_up(fw2_report *report)
{
    int i;

    memset(&report->half_closed, 0, sizeof(report->half_closed));
    for (i = 0; i < report->nlisteners; i++) {
        add_half_closed(report, &report->listeners[i].tally);
    }
}

/* What the tables of the kernel's said. */
static void report_shot(fw2_report *report, const fw2_shot *shot,
                        const char *const *names)
{
    const fw2_census *census = &shot->census;
    int i, counted =
               census->backend == FW2_NETLINK || census->backend == FW2_PROCFS;

    for (i = 0; i < report->nlisteners; i++) {
        report->listeners[i].listener = names[i];
        if (counted) {
            report->listeners[i].tally = census->tallies[i];
        }
        else {
            memset(&report->listeners[i].tally, 0xff, sizeof(fw2_tally));
        }
    }
    if (counted) {
        sum_up(report);
        report->remaining = census->left;
        report->undelivered = census->undelivered;
    }
    else {
        /* Whoever has only -1 in it is all FW2_UNKNOWN. */
        memset(&report->half_closed, 0xff, sizeof(report->half_closed));
        memset(&report->remaining, 0xff, sizeof(report->remaining));
        memset(&report->undelivered, 0xff, sizeof(report->undelivered));
    }
    report->snapshot.age = shot->age;
    report->snapshot.cost = census->cost;
    report->snapshot.backend = fw2_backend_names[census->backend];
    report->snapshot.complete = census->complete;
    report->snapshot.counts = shot->counts;
    for (i = 0; i < FW2_BACKENDS; i++) {
        report->missing[i] = *census->refused[i] ? census->refused[i] : NULL;
    }
    report->limits = shot->limits;
    report->fin_timeout_effective =
        fw2_orphan_life(shot->limits.tcp_fin_timeout);
    report->before = shot->before;
    report->over = shot->over;
    report->descriptors.open = shot->descriptors;
    report->descriptors.limit = shot->descriptor_limit;
}

static void report_peers(fw2_report *report, const fw2_peers *peers,
                         apr_pool_t *pool)
{
    int i;

    report->npeers = peers->n;
    report->peers = apr_pcalloc(pool, peers->n * sizeof(*report->peers));
    report->unlisted = report->half_closed.total;
    for (i = 0; i < peers->n; i++) {
        report->peers[i].peer = fw2_peer_text(pool, &peers->top[i]);
        report->peers[i].connections = peers->top[i].n;
        report->unlisted -= peers->top[i].n;
    }
}

/* Whether the closer is the one who lingers, and so who sees what clients do. */
static int is_watched(const fw2_policy *policy)
{
    return policy->engine && policy->linger != FW2_LINGER_OFF
           && policy->linger != FW2_LINGER_HTTPD;
}

static apr_int64_t left_open(const fw2_recent *recent, const fw2_policy *policy)
{
    apr_int64_t sum = 0;
    int i;

    if (is_watched(policy) || recent->left_open < 0) {
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
    apr_int64_t seconds = fw2_policy_sockopts(policy).linger2;

    if (seconds == FW2_TIMEOUT_NONE) {
        return 0;
    }
    seconds = fw2_orphan_life(seconds == FW2_TIMEOUT_SYSTEM ? tcp_fin_timeout
                                                            : seconds);
    return seconds < 0 ? FW2_UNKNOWN : apr_time_from_sec(seconds);
}

static void report_vhost(const fw2_report *report, fw2_vhost_report *vhost)
{
    const fw2_policy *policy = vhost->settings->policy;

    vhost->left_open = vhost->life = vhost->expected = FW2_UNKNOWN;
    if (!policy) {
        return;
    }
    vhost->left_open = left_open(&vhost->totals.recent, policy);
    vhost->life = orphan_life(policy, report->limits.tcp_fin_timeout);
    vhost->expected = fw2_steady_state(vhost->left_open, vhost->life);
}

/* Not known as long as one's is not that has some. */
static apr_int64_t sum_of_expected(const fw2_report *report)
{
    apr_int64_t sum = FW2_UNKNOWN;
    int i;

    for (i = 0; i < report->nvhosts; i++) {
        const fw2_vhost_report *vhost = &report->vhosts[i];

        if (vhost->expected != FW2_UNKNOWN) {
            sum = (sum == FW2_UNKNOWN ? 0 : sum) + vhost->expected;
        }
        else if (vhost->left_open > 0) {
            return FW2_UNKNOWN;
        }
    }
    return sum;
}

static void report_vhosts(fw2_report *report, const fw2_sources *sources,
                          apr_pool_t *pool)
{
    const fw2_vhost_totals *totals =
        fw2_counters_vhosts(sources->counters, &report->nvhosts, pool);
    int i;

    report->vhosts =
        apr_pcalloc(pool, report->nvhosts * sizeof(*report->vhosts));
    for (i = 0; i < report->nvhosts; i++) {
        report->vhosts[i].totals = totals[i];
        report->vhosts[i].settings = &sources->settings[i];
        report_vhost(report, &report->vhosts[i]);
    }
    report->half_closed.expected = sum_of_expected(report);
}

static const char *client_text(fw2_client_list list, const fw2_client *client,
                               apr_pool_t *pool)
{
    fw2_peer net = { .n = 0 };
    const char *text;

    if (list == FW2_AGENTS) {
        return client->name;
    }
    fw2_client_address(client->key, net.addr);
    text = fw2_peer_text(pool, &net);
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
}

static void report_clients(fw2_report *report, fw2_clients *clients,
                           apr_pool_t *pool)
{
    fw2_clients_seen seen;
    int i;

    memset(&report->clients, 0xff, sizeof(report->clients));
    memset(report->lists, 0, sizeof(report->lists));
    if (!clients || fw2_clients_read(clients, &seen, pool) != APR_SUCCESS) {
        return;
    }
    report->clients.over = seen.over;
    report->clients.left_open = seen.top[FW2_NETS].all;
    report->clients.expired = seen.top[FW2_IDLE_NETS].all;
    report->clients.missed = seen.missed;
    for (i = 0; i < FW2_CLIENT_LISTS; i++) {
        report_list(report, (fw2_client_list)i, &seen.top[i], pool);
    }
}

static void report_fill(fw2_report *report, const fw2_sources *sources,
                        const fw2_shot *shot, apr_pool_t *pool)
{
    report->nlisteners = sources->n;
    report->listeners =
        apr_pcalloc(pool, sources->n * sizeof(*report->listeners));
    report_shot(report, shot, sources->names);
    report_peers(report, &shot->census.peers, pool);
    report_vhosts(report, sources, pool);
    fw2_counters_closer(sources->counters, &report->closer);
    report_clients(report, sources->clients, pool);
    report->history = sources->history;
    report->sample_interval = sources->sample_interval;
}

void fw2_report_make(fw2_report *report, const fw2_sources *sources,
                     apr_pool_t *pool)
{
    fw2_counters_mark(sources->counters, apr_time_now());
    report_fill(report, sources, fw2_snapshot_get(sources->snapshot, pool),
                pool);
}

void fw2_report_last(fw2_report *report, const fw2_sources *sources,
                     apr_pool_t *pool)
{
    report_fill(report, sources, fw2_snapshot_last(sources->snapshot, pool),
                pool);
}
