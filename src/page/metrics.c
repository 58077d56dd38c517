/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "page/advice.h"
#include "page/metrics.h"

#include <string.h>
#include <unistd.h>

/* The members `rows` and `size` of a dimension, for an array of names or of
 * rows that begin with a name. */
#define NAMES(rows) rows, sizeof(*(rows))

static const fw2_dim states = { "state", NAMES(fw2_state_names), FW2_STATES,
                                NULL };
static const fw2_dim holders = { "holder", NAMES(fw2_holder_names), FW2_HOLDERS,
                                 NULL };

/* The holders of sockets that may have bytes to deliver. */
static const fw2_dim full_holders = { "holder", NAMES(fw2_holder_names),
                                      FW2_TIMEWAIT, NULL };

static const fw2_scale linger_scale = { fw2_bounds, FW2_BOUNDS };
static const fw2_scale left_scale = { fw2_left_bounds, FW2_LEFT_BOUNDS };

static const char *const side_values[FW2_SIDES] = {
    [FW2_BY_PEER] = "client", [FW2_BY_SERVER] = "server"
};
static const fw2_dim sides = { "by", NAMES(fw2_side_names), FW2_SIDES,
                               side_values };
static const fw2_dim causes = { "cause", NAMES(fw2_causes), FW2_CAUSES, NULL };
static const fw2_dim protocols = { "protocol", NAMES(fw2_protocol_names),
                                   FW2_PROTOCOLS, NULL };
static const fw2_dim idles = { "by", NAMES(fw2_idle_names), FW2_IDLES, NULL };
static const fw2_dim endings = { "ending", NAMES(fw2_endings), FW2_ENDINGS,
                                 NULL };
static const fw2_dim refusals = { "reason", NAMES(fw2_refusal_names),
                                  FW2_REFUSALS, NULL };

#define NOT_COUNTED "no source of the kernel's tables could be read"
#define NOT_YET     "it needs the numbers of a whole minute"
#define NOT_SHOWN   "the kernel does not show it here"
#define NOT_IN_CONTAINER                                                       \
    "the kernel does not show it in a container: it is the whole machine's"

#define ALWAYS NULL /* the value is always known */

/*
 * A row: key, family and word (NULL: none), offset, why the value may not be
 * known, help text, and further fields.
 */
#define ROW(key_, family_, word_, offset_, unknown_, ...)                      \
    {                                                                          \
        .key = (key_), .family = (family_), .word = (word_),                   \
        .offset = (offset_), .unknown = (unknown_), .help = __VA_ARGS__        \
    }
#define NUMBER(...)  ROW(__VA_ARGS__, .kind = FW2_NUMBER)
#define COUNTER(...) ROW(__VA_ARGS__, .kind = FW2_NUMBER, .counter = 1)
#define PAGES(...)   ROW(__VA_ARGS__, .kind = FW2_PAGES)
#define SECONDS(...) ROW(__VA_ARGS__, .kind = FW2_SECONDS)
#define FLAG(...)    ROW(__VA_ARGS__, .kind = FW2_FLAG)
#define TEXT(...)    ROW(__VA_ARGS__, .kind = FW2_TEXT)
#define TIMES(...)   ROW(__VA_ARGS__, .kind = FW2_TIMES)

#define REPORT(field)   APR_OFFSETOF(fw2_report, field)
#define ADVICE(field)   APR_OFFSETOF(fw2_advice, field)
#define LISTENER(field) APR_OFFSETOF(fw2_listener_report, field)
#define VHOST(field)    APR_OFFSETOF(fw2_vhost_report, field)
#define PORT(field)     APR_OFFSETOF(fw2_port_report, field)
#define PEER(field)     APR_OFFSETOF(fw2_peer_report, field)
#define CLIENT(field)   APR_OFFSETOF(fw2_client_report, field)

static const fw2_metric server_metrics[] = {
    TEXT("version", "build", "Version", REPORT(server.version), ALWAYS,
         "Versions of mod_finwait2 and httpd, and httpd's "
         "multi-processing module"),
    TEXT("httpd", "build", NULL, REPORT(server.httpd), ALWAYS,
         "Version of httpd"),
    TEXT("mpm", "build", "ServerMPM", REPORT(server.mpm), ALWAYS,
         "httpd's multi-processing module"),
    SECONDS("start_time_seconds", "start_time_seconds", NULL,
            REPORT(server.start), ALWAYS,
            "Time of httpd's last start or restart, since 1970"),
    SECONDS("uptime_seconds", NULL, "ServerUptimeSeconds",
            REPORT(server.uptime), ALWAYS,
            "Time since httpd's last start or restart"),
    NUMBER("generation", "generation", NULL, REPORT(server.generation), ALWAYS,
           "Restarts since httpd was started"),
    { NULL }
};

static const fw2_metric snapshot_metrics[] = {
    SECONDS("age_seconds", "snapshot_age_seconds", "CountAgeSeconds",
            REPORT(snapshot.age), ALWAYS,
            "Time since the kernel's sockets were counted"),
    SECONDS("cost_seconds", "snapshot_cost_seconds", NULL,
            REPORT(snapshot.cost), ALWAYS,
            "CPU time of the last count of the kernel's sockets"),
    TEXT("backend", "snapshot", "CountSource", REPORT(snapshot.backend), ALWAYS,
         "Source of the last count of sockets: netlink, procfs, sockstat "
         "(which has no states) or nothing"),
    FLAG("complete", "snapshot_complete", "CountComplete",
         REPORT(snapshot.complete), ALWAYS,
         "1 if the last count has every socket; if 0, the numbers of "
         "sockets are lower bounds"),
    COUNTER("counts", "snapshot_counts", "Counts", REPORT(snapshot.counts),
            ALWAYS,
            "Counts of the kernel's sockets since the closer process was "
            "started; pages within a second share one"),
    NUMBER("verdict", "verdict", "Verdict", REPORT(snapshot.verdict), ALWAYS,
           "Verdict on the half-closed connections: 0 ok, 1 watch, 2 danger"),
    TEXT("rule", "verdict_reason", "VerdictRule", REPORT(snapshot.rule), ALWAYS,
         "Rule of the advice that decided the verdict; none if the "
         "verdict is ok"),
    { NULL }
};

static const fw2_metric half_closed_metrics[] = {
    NUMBER("total", "half_closed_connections", "HalfClosed",
           REPORT(half_closed.total), NOT_COUNTED,
           "Connections in FIN_WAIT_1, FIN_WAIT_2 or CLOSING at httpd's own "
           "addresses"),
    NUMBER("held", "held_connections", "HalfClosedHeld",
           REPORT(half_closed.held), NOT_COUNTED,
           "Half-closed connections whose descriptor a process still holds"),
    NUMBER("orphan", "orphan_connections", "HalfClosedOrphans",
           REPORT(half_closed.orphan), NOT_COUNTED,
           "Half-closed connections that httpd has closed and the kernel "
           "keeps"),
    NUMBER("expected", "expected_orphan_connections", "HalfClosedExpected",
           REPORT(half_closed.expected), NOT_YET,
           "Orphans expected in the long run: connections that clients did "
           "not close in the last minute, times the life of each orphan"),
    { NULL }
};

static const fw2_metric advice_metrics[] = {
    TEXT("level", NULL, NULL, ADVICE(level_name), ALWAYS,
         "ok, watch or danger"),
    TEXT("text", NULL, NULL, ADVICE(text), ALWAYS,
         "The finding, and the remedy"),
    TEXT("directive", NULL, NULL, ADVICE(words.directive), ALWAYS,
         "The directive of httpd, or the sysctl, to set"),
    TEXT("value", NULL, NULL, ADVICE(words.value), ALWAYS,
         "The value to set it to"),
    TEXT("before", NULL, NULL, ADVICE(words.before), ALWAYS,
         "A line to write before that one"),
    NUMBER("expected_after", NULL, NULL, ADVICE(words.after), ALWAYS,
           "The number of connections that is expected afterwards"),
    { NULL }
};

static const fw2_metric remaining_metrics[] = {
    TIMES("seconds", "remaining_seconds", NULL, REPORT(remaining.n),
          NOT_COUNTED,
          "Remaining life of each orphan if its client sends nothing",
          .scale = &left_scale),
    SECONDS("longest_seconds", "remaining_longest_seconds",
            "LongestRemainingSeconds", REPORT(remaining.longest), NOT_COUNTED,
            "Longest remaining life of an orphan if its client sends nothing"),
    NUMBER("unknown", "remaining_unknown_connections", NULL,
           REPORT(remaining.unknown), NOT_COUNTED,
           "Orphans in FIN_WAIT_2 whose remaining life is not known"),
    NUMBER("unbounded", "remaining_unbounded_connections", NULL,
           REPORT(remaining.unbounded), NOT_COUNTED,
           "Orphans in FIN_WAIT_1 or CLOSING, whose remaining life depends "
           "on the client"),
    { NULL }
};

#define NOT_ELSEWHERE                                                          \
    "other programs have too many to count, or no source could be read"

static const fw2_metric elsewhere_metrics[] = {
    NUMBER("half_closed", "elsewhere_half_closed_connections", NULL,
           REPORT(elsewhere.half_closed), NOT_ELSEWHERE,
           "Half-closed connections of this network namespace that are not "
           "at httpd's addresses: connections of other programs, and "
           "connections that this machine opened, such as mod_proxy's to "
           "backends"),
    NUMBER("outgoing", "elsewhere_outgoing_connections", NULL,
           REPORT(elsewhere.outgoing), NOT_ELSEWHERE,
           "Half-closed connections that this machine opened"),
    { NULL }
};

static const fw2_metric port_metrics[] = {
    NUMBER("port", NULL, NULL, PORT(port), ALWAYS,
           "The local port of a server, the remote port of a client"),
    NUMBER("connections", NULL, NULL, PORT(connections), ALWAYS,
           "Half-closed connections there"),
    { NULL }
};

static const fw2_section elsewhere_top = {
    .key = "top",
    .title = "Elsewhere, by port",
    .label = "side",
    .offset = APR_OFFSETOF(fw2_report, ports),
    .count = APR_OFFSETOF(fw2_report, elsewhere.n),
    .size = sizeof(fw2_port_report),
    .metrics = port_metrics
};

static const fw2_metric undelivered_metrics[] = {
    NUMBER("connections", "undelivered_connections", "Undelivered",
           REPORT(undelivered.sockets), NOT_COUNTED,
           "Connections that httpd has ended, with bytes of a response that "
           "the client has not acknowledged",
           .dims = { &full_holders }),
    NUMBER("bytes", "undelivered_bytes", "UndeliveredBytes",
           REPORT(undelivered.bytes), NOT_COUNTED,
           "Bytes of responses that clients have not acknowledged, on "
           "connections that httpd has ended",
           .dims = { &full_holders }),
    NUMBER("shut_windows", "undelivered_shut_windows", NULL,
           REPORT(undelivered.shut), NOT_COUNTED,
           "Connections that httpd has ended, with bytes to deliver and a "
           "client with a window that is zero or too small",
           .dims = { &full_holders }),
    { NULL }
};

static const fw2_metric listener_metrics[] = {
    NUMBER("states", "listener_connections", NULL, LISTENER(tally.n),
           NOT_COUNTED,
           "Closing connections by state and by holder of the socket",
           .dims = { &states, &holders }),
    NUMBER("backlog", "listener_backlog_connections", NULL,
           LISTENER(tally.backlog), NOT_COUNTED,
           "Connections that wait to be accepted"),
    NUMBER("backlog_limit", "listener_backlog_limit", NULL,
           LISTENER(tally.backlog_limit), "only netlink has it",
           "Connections that may wait to be accepted"),
    { NULL }
};

static const fw2_metric vhost_metrics[] = {
    NUMBER("held", "vhost_held_connections", NULL, VHOST(held), ALWAYS,
           "Connections of a virtual host that closer processes hold now"),
    COUNTER("closes", "connections_closed", "Closed", VHOST(totals.closes),
            ALWAYS, "Connections that ended, by the side that closed first",
            .dims = { &sides }),
    COUNTER("causes", "connections_closed_by_cause", NULL, VHOST(totals.causes),
            ALWAYS, "Connections that ended, by the cause",
            .dims = { &causes }),
    COUNTER("connections", "connections_closed_by_protocol", NULL,
            VHOST(totals.connections), ALWAYS,
            "Connections that ended, by the last protocol",
            .dims = { &protocols }),
    COUNTER("tls", "connections_closed_tls", NULL, VHOST(totals.tls), ALWAYS,
            "Connections that ended and were encrypted"),
    COUNTER("probes", "connections_closed_without_request", NULL,
            VHOST(totals.probes), ALWAYS,
            "Connections that ended and never carried a request"),
    COUNTER("idle", "connections_closed_idle", NULL, VHOST(totals.idle), ALWAYS,
            "HTTP/1 connections that ended idle: closed first by the client "
            "before the promised keep-alive time was over, by the client "
            "after that, or by httpd",
            .dims = { &idles }),
    COUNTER("endings", "lingers_ended", NULL, VHOST(totals.endings), ALWAYS,
            "Lingers of the closer process that ended, by the ending",
            .dims = { &endings }),
    TIMES("linger_seconds", "linger_seconds", NULL, VHOST(totals.linger),
          ALWAYS, "Time from httpd's FIN to the end of the linger",
          .counter = 1, .scale = &linger_scale),
    COUNTER("drained_bytes", "drained_bytes", "DrainedBytes",
            VHOST(totals.drained), ALWAYS,
            "Bytes that arrived after httpd had closed, and were discarded"),
    NUMBER("expected", "vhost_expected_orphan_connections", NULL,
           VHOST(flow.expected), NOT_YET,
           "Orphans of a virtual host expected in the long run: connections "
           "that clients did not close in the last minute, times the life "
           "of each orphan"),
    { NULL }
};

static const fw2_metric peer_metrics[] = {
    NUMBER("connections", NULL, NULL, PEER(connections), ALWAYS,
           "Half-closed connections with this client"),
    { NULL }
};

#define NOT_ASKED_FOR "FinWait2StatusPeers is Off, or there is no memory for it"

static const fw2_metric clients_metrics[] = {
    SECONDS("over_seconds", NULL, NULL, REPORT(clients.over), NOT_ASKED_FOR,
            "Time that the lists of clients cover"),
    NUMBER("left_open", NULL, NULL, REPORT(clients.left_open), NOT_ASKED_FOR,
           "Connections that clients did not close in that time"),
    NUMBER("expired", NULL, NULL, REPORT(clients.expired), NOT_ASKED_FOR,
           "Connections whose keep-alive time was over in that time"),
    { NULL }
};

static const fw2_metric client_metrics[] = {
    NUMBER("closed", NULL, NULL, CLIENT(closed), ALWAYS,
           "Connections of this client that httpd closed first"),
    NUMBER("left_open", NULL, NULL, CLIENT(left_open), ALWAYS,
           "Connections that this client had not closed when the closer "
           "closed"),
    NUMBER("silent", NULL, NULL, CLIENT(silent), ALWAYS,
           "Connections of this client that stayed idle until the linger "
           "was over"),
    NUMBER("expired", NULL, NULL, CLIENT(expired), ALWAYS,
           "Connections of this client whose keep-alive time was over"),
    { NULL }
};

static const fw2_metric closer_metrics[] = {
    NUMBER("processes", "closer_processes", "CloserProcesses",
           REPORT(closer.processes), ALWAYS,
           "Closer processes that run: one, and after a graceful restart "
           "the former ones that still hold connections"),
    NUMBER("held", "closer_held_connections", "CloserHeld", REPORT(closer.held),
           ALWAYS, "Connections that closer processes hold now"),
    NUMBER("capacity", "closer_capacity_connections", "CloserCapacity",
           REPORT(closer.capacity), ALWAYS,
           "Connections that closer processes may hold (FinWait2LingerSlots)"),
    SECONDS("oldest_seconds", "closer_oldest_seconds", "CloserOldestSeconds",
            REPORT(closer.oldest), ALWAYS,
            "Time that the oldest connection of the closer processes has "
            "been held; 0 while none is held"),
    NUMBER("evicted", NULL, "CloserEvicted", REPORT(closer.evicted), ALWAYS,
           "Lingers that were cut short because their slot was needed"),
    NUMBER("fallback", NULL, "CloserRefusals", REPORT(closer.fallback), ALWAYS,
           "Connections that httpd lingered on itself, because the closer "
           "process did not accept them"),
    COUNTER("refusals", "closer_refusals", NULL, REPORT(closer.reasons), ALWAYS,
            "Connections that httpd lingered on itself because the closer "
            "process did not accept them, by reason",
            .dims = { &refusals }),
    COUNTER("invalid", "closer_invalid_messages", NULL, REPORT(closer.invalid),
            ALWAYS,
            "Messages to the closer process that no child of httpd sends; "
            "the connections in such messages were closed"),
    COUNTER("lost", "closer_lost_connections", NULL, REPORT(closer.lost),
            ALWAYS,
            "Connections that a closer process held when it was killed"),
    { NULL }
};

static const fw2_metric limit_metrics[] = {
    NUMBER("tcp_fin_timeout", "tcp_fin_timeout_seconds", NULL,
           REPORT(limits.tcp_fin_timeout), NOT_SHOWN,
           "Life of an orphan in FIN_WAIT_2 by the system's setting "
           "(net.ipv4.tcp_fin_timeout); FinWait2Timeout overrides it"),
    NUMBER("tcp_fin_timeout_effective", "tcp_fin_timeout_effective_seconds",
           NULL, REPORT(fin_timeout_effective), NOT_SHOWN,
           "Life of an orphan that results from net.ipv4.tcp_fin_timeout: "
           "above 60, twice the part above 60"),
    NUMBER("tcp_max_orphans", "tcp_max_orphans", NULL,
           REPORT(limits.tcp_max_orphans), NOT_IN_CONTAINER,
           "Maximum number of orphans that are full sockets, of the whole "
           "machine (net.ipv4.tcp_max_orphans)"),
    NUMBER("orphans", "tcp_orphans", NULL, REPORT(limits.orphans), NOT_SHOWN,
           "Orphans that are full sockets, of the whole machine even in a "
           "container; most in FIN_WAIT_2 are mini-sockets"),
    NUMBER("tcp_max_tw_buckets", "tcp_max_tw_buckets", "MiniSocketsLimit",
           REPORT(limits.tcp_max_tw_buckets), NOT_SHOWN,
           "Maximum number of mini-sockets, TIME_WAIT and orphans in "
           "FIN_WAIT_2 together (net.ipv4.tcp_max_tw_buckets); above it "
           "connections vanish"),
    NUMBER("timewait", "tcp_timewait_sockets", "MiniSockets",
           REPORT(limits.timewait), NOT_SHOWN,
           "Mini-sockets: TIME_WAIT and orphans in FIN_WAIT_2 together"),
    COUNTER("timewait_overflow", "tcp_timewait_overflows",
            "MiniSocketOverflows", REPORT(limits.timewait_overflow), NOT_SHOWN,
            "Connections that vanished since the system started because no "
            "mini-socket was free"),
    COUNTER("listen_overflows", "tcp_listen_overflows", NULL,
            REPORT(limits.listen_overflows), NOT_SHOWN,
            "Connections that found an accept queue full, of all programs in "
            "this network namespace"),
    COUNTER("listen_drops", "tcp_listen_drops", NULL,
            REPORT(limits.listen_drops), NOT_SHOWN,
            "Connections lost before a program accepted them, because of a "
            "full accept queue or for any other reason"),
    COUNTER("memory_aborts", "tcp_memory_aborts", NULL,
            REPORT(limits.aborts_on_memory), NOT_SHOWN,
            "Connections reset because the kernel had no memory, or too many "
            "orphans"),
    PAGES("tcp_memory_bytes", "tcp_memory_bytes", NULL,
          REPORT(limits.mem_pages), NOT_SHOWN,
          "Memory in TCP's buffers, of the whole machine even in a container"),
    PAGES("tcp_memory_max_bytes", "tcp_memory_max_bytes", NULL,
          REPORT(limits.tcp_mem_max), NOT_IN_CONTAINER,
          "Maximum memory in TCP's buffers (net.ipv4.tcp_mem, the third "
          "number)"),
    NUMBER("descriptors", "descriptors", NULL, REPORT(descriptors.open),
           NOT_SHOWN, "Open descriptors of the closer process"),
    NUMBER("descriptor_limit", "descriptor_limit", NULL,
           REPORT(descriptors.limit), NOT_SHOWN,
           "Descriptors that the closer process may have"),
    { NULL }
};

#define CLIENTS(key_, title_, label_, list_)                                   \
    {                                                                          \
        .key = (key_), .title = (title_), .label = (label_),                   \
        .offset = APR_OFFSETOF(fw2_report, lists[list_].clients),              \
        .count = APR_OFFSETOF(fw2_report, lists[list_].n),                     \
        .size = sizeof(fw2_client_report), .metrics = client_metrics           \
    }

const fw2_section fw2_sections[] = {
    { .key = "server", .title = "Server", .metrics = server_metrics },
    { .key = "snapshot", .title = "Source", .metrics = snapshot_metrics },
    { .key = "half_closed",
      .title = "Half-closed connections",
      .metrics = half_closed_metrics },
    { .key = "remaining",
      .title = "Remaining life of orphans",
      .metrics = remaining_metrics },
    { .key = "undelivered",
      .title = "Undelivered responses",
      .metrics = undelivered_metrics },
    { .key = "elsewhere",
      .title = "Elsewhere",
      .metrics = elsewhere_metrics,
      .inner = &elsewhere_top },
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
      .title = "Addresses of clients",
      .label = "peer",
      .offset = APR_OFFSETOF(fw2_report, peers),
      .count = APR_OFFSETOF(fw2_report, npeers),
      .size = sizeof(fw2_peer_report),
      .metrics = peer_metrics },
    { .key = "clients",
      .title = "Clients that do not close",
      .metrics = clients_metrics },
    CLIENTS("agents", "By User-Agent", "agent", FW2_AGENTS),
    CLIENTS("nets", "By net", "net", FW2_NETS),
    CLIENTS("idle_nets", "Keep-alive time over, by net", "net", FW2_IDLE_NETS),
    { .key = "advice",
      .title = "Advice",
      .label = "rule",
      .offset = APR_OFFSETOF(fw2_report, advice),
      .count = APR_OFFSETOF(fw2_report, nadvice),
      .size = sizeof(fw2_advice),
      .metrics = advice_metrics },
    { .key = "closer", .title = "Closer", .metrics = closer_metrics },
    { .key = "limits", .title = "Limits", .metrics = limit_metrics },
    { NULL }
};

const fw2_section *fw2_metrics_section(const char *key)
{
    const fw2_section *section = fw2_sections;

    while (strcmp(section->key, key)) {
        section++;
    }
    return section;
}

int fw2_metrics_count(const fw2_section *section, const fw2_report *report)
{
    return section->label
               ? *(const int *)((const char *)report + section->count)
               : 1;
}

const void *fw2_metrics_element(const fw2_section *section,
                                const fw2_report *report, int i)
{
    const char *at = (const char *)report + section->offset;

    return section->label ? *(const char *const *)at + i * section->size : at;
}

int fw2_metrics_cells(const fw2_metric *metric)
{
    int dim, cells = 1;

    for (dim = 0; dim < FW2_DIMS && metric->dims[dim]; dim++) {
        cells *= metric->dims[dim]->n;
    }
    return cells;
}

int fw2_metrics_stride(const fw2_metric *metric, int dim)
{
    int inner, stride = 1;

    for (inner = dim + 1; inner < FW2_DIMS && metric->dims[inner]; inner++) {
        stride *= metric->dims[inner]->n;
    }
    return stride;
}

int fw2_metrics_index(const fw2_metric *metric, int cell, int dim)
{
    return cell / fw2_metrics_stride(metric, dim) % metric->dims[dim]->n;
}

const char *fw2_metrics_name(const fw2_dim *dim, int i)
{
    const char *row = (const char *)dim->rows + (apr_size_t)i * dim->size;

    return *(const char *const *)row;
}

const char *fw2_metrics_value(const fw2_dim *dim, int i)
{
    return dim->values ? dim->values[i] : fw2_metrics_name(dim, i);
}

apr_int64_t fw2_metrics_number(const fw2_metric *metric, const void *element,
                               int cell)
{
    const char *at = (const char *)element + metric->offset;
    apr_int64_t number = ((const apr_int64_t *)at)[cell];

    return metric->kind == FW2_PAGES && number != FW2_UNKNOWN
               ? number * sysconf(_SC_PAGESIZE)
               : number;
}

const char *fw2_metrics_text(const fw2_metric *metric, const void *element)
{
    const char *at = (const char *)element + metric->offset;

    return *(const char *const *)at;
}

fw2_times fw2_metrics_times(const fw2_metric *metric, const void *element)
{
    const char *at = (const char *)element + metric->offset;
    fw2_times times = { metric->scale, (const apr_int64_t *)at, 0 };

    times.sum = times.n[metric->scale->n + 1];
    return times;
}
