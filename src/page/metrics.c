/* Licensed under the Apache License, Version 2.0; see LICENSE. */

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

static const fw2_metric server_metrics[] = {
    { .key = "version",
      .family = "build",
      .word = "Version",
      .kind = FW2_TEXT,
      .offset = APR_OFFSETOF(fw2_report, server.version),
      .help = "Versions of mod_finwait2 and httpd, and httpd's "
              "multi-processing module" },
    { .key = "httpd",
      .family = "build",
      .kind = FW2_TEXT,
      .offset = APR_OFFSETOF(fw2_report, server.httpd),
      .help = "Version of httpd" },
    { .key = "mpm",
      .family = "build",
      .word = "ServerMPM",
      .kind = FW2_TEXT,
      .offset = APR_OFFSETOF(fw2_report, server.mpm),
      .help = "httpd's multi-processing module" },
    { .key = "start_time_seconds",
      .family = "start_time_seconds",
      .kind = FW2_SECONDS,
      .offset = APR_OFFSETOF(fw2_report, server.start),
      .help = "Time of httpd's last start or restart, since 1970" },
    { .key = "uptime_seconds",
      .word = "ServerUptimeSeconds",
      .kind = FW2_SECONDS,
      .offset = APR_OFFSETOF(fw2_report, server.uptime),
      .help = "Time since httpd's last start or restart" },
    { .key = "generation",
      .family = "generation",
      .offset = APR_OFFSETOF(fw2_report, server.generation),
      .help = "Restarts since httpd was started" },
    { NULL }
};

static const fw2_metric snapshot_metrics[] = {
    { .key = "age_seconds",
      .family = "snapshot_age_seconds",
      .word = "CountAgeSeconds",
      .kind = FW2_SECONDS,
      .offset = APR_OFFSETOF(fw2_report, snapshot.age),
      .help = "Time since the kernel's sockets were counted" },
    { .key = "cost_seconds",
      .family = "snapshot_cost_seconds",
      .kind = FW2_SECONDS,
      .offset = APR_OFFSETOF(fw2_report, snapshot.cost),
      .help = "CPU time of the last count of the kernel's sockets" },
    { .key = "backend",
      .family = "snapshot",
      .word = "CountSource",
      .kind = FW2_TEXT,
      .offset = APR_OFFSETOF(fw2_report, snapshot.backend),
      .help = "Source of the last count of sockets: netlink, procfs, sockstat "
              "(which has no states) or nothing" },
    { .key = "complete",
      .family = "snapshot_complete",
      .word = "CountComplete",
      .kind = FW2_FLAG,
      .offset = APR_OFFSETOF(fw2_report, snapshot.complete),
      .help = "1 if the last count has every socket; if 0, the numbers of "
              "sockets are lower bounds" },
    { .key = "counts",
      .family = "snapshot_counts",
      .word = "Counts",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_report, snapshot.counts),
      .help = "Counts of the kernel's sockets since the closer process was "
              "started; pages within a second share one" },
    { .key = "verdict",
      .family = "verdict",
      .word = "Verdict",
      .offset = APR_OFFSETOF(fw2_report, snapshot.verdict),
      .help = "Verdict on the half-closed connections: 0 ok, 1 watch, 2 "
              "danger" },
    { .key = "rule",
      .family = "verdict_reason",
      .word = "VerdictRule",
      .kind = FW2_TEXT,
      .offset = APR_OFFSETOF(fw2_report, snapshot.rule),
      .help = "Rule of the advice that decided the verdict; none if the "
              "verdict is ok" },
    { NULL }
};

static const fw2_metric half_closed_metrics[] = {
    { .key = "total",
      .family = "half_closed_connections",
      .word = "HalfClosed",
      .offset = APR_OFFSETOF(fw2_report, half_closed.total),
      .help = "Connections in FIN_WAIT_1, FIN_WAIT_2 or CLOSING at httpd's "
              "own addresses",
      .unknown = NOT_COUNTED },
    { .key = "held",
      .family = "held_connections",
      .word = "HalfClosedHeld",
      .offset = APR_OFFSETOF(fw2_report, half_closed.held),
      .help = "Half-closed connections whose descriptor a process still holds",
      .unknown = NOT_COUNTED },
    { .key = "orphan",
      .family = "orphan_connections",
      .word = "HalfClosedOrphans",
      .offset = APR_OFFSETOF(fw2_report, half_closed.orphan),
      .help = "Half-closed connections that httpd has closed and the kernel "
              "keeps",
      .unknown = NOT_COUNTED },
    { .key = "expected",
      .family = "expected_orphan_connections",
      .word = "HalfClosedExpected",
      .offset = APR_OFFSETOF(fw2_report, half_closed.expected),
      .help = "Orphans expected in the long run: connections that clients did "
              "not close in the last minute, times the life of each orphan",
      .unknown = NOT_YET },
    { NULL }
};

static const fw2_metric advice_metrics[] = {
    { .key = "level",
      .kind = FW2_TEXT,
      .offset = APR_OFFSETOF(fw2_advice, level_name),
      .help = "ok, watch or danger" },
    { .key = "text",
      .kind = FW2_TEXT,
      .offset = APR_OFFSETOF(fw2_advice, text),
      .help = "The finding, and the remedy" },
    { .key = "directive",
      .kind = FW2_TEXT,
      .offset = APR_OFFSETOF(fw2_advice, words.directive),
      .help = "The directive of httpd, or the sysctl, to set" },
    { .key = "value",
      .kind = FW2_TEXT,
      .offset = APR_OFFSETOF(fw2_advice, words.value),
      .help = "The value to set it to" },
    { .key = "before",
      .kind = FW2_TEXT,
      .offset = APR_OFFSETOF(fw2_advice, words.before),
      .help = "A line to write before that one" },
    { .key = "expected_after",
      .offset = APR_OFFSETOF(fw2_advice, words.after),
      .help = "The number of connections that is expected afterwards" },
    { NULL }
};

static const fw2_metric remaining_metrics[] = {
    { .key = "seconds",
      .family = "remaining_seconds",
      .kind = FW2_TIMES,
      .scale = &left_scale,
      .offset = APR_OFFSETOF(fw2_report, remaining.n),
      .help = "Remaining life of each orphan if its client sends nothing",
      .unknown = NOT_COUNTED },
    { .key = "longest_seconds",
      .family = "remaining_longest_seconds",
      .word = "LongestRemainingSeconds",
      .kind = FW2_SECONDS,
      .offset = APR_OFFSETOF(fw2_report, remaining.longest),
      .help = "Longest remaining life of an orphan if its client sends nothing",
      .unknown = NOT_COUNTED },
    { .key = "unknown",
      .family = "remaining_unknown_connections",
      .offset = APR_OFFSETOF(fw2_report, remaining.unknown),
      .help = "Orphans in FIN_WAIT_2 whose remaining life is not known",
      .unknown = NOT_COUNTED },
    { .key = "unbounded",
      .family = "remaining_unbounded_connections",
      .offset = APR_OFFSETOF(fw2_report, remaining.unbounded),
      .help = "Orphans in FIN_WAIT_1 or CLOSING, whose remaining life depends "
              "on the client",
      .unknown = NOT_COUNTED },
    { NULL }
};

#define NOT_ELSEWHERE                                                          \
    "other programs have too many to count, or no source could be read"

static const fw2_metric elsewhere_metrics[] = {
    { .key = "half_closed",
      .family = "elsewhere_half_closed_connections",
      .offset = APR_OFFSETOF(fw2_report, elsewhere.half_closed),
      .help = "Half-closed connections of this network namespace that are not "
              "at httpd's addresses: connections of other programs, and "
              "connections that this machine opened, such as mod_proxy's to "
              "backends",
      .unknown = NOT_ELSEWHERE },
    { .key = "outgoing",
      .family = "elsewhere_outgoing_connections",
      .offset = APR_OFFSETOF(fw2_report, elsewhere.outgoing),
      .help = "Half-closed connections that this machine opened",
      .unknown = NOT_ELSEWHERE },
    { NULL }
};

static const fw2_metric port_metrics[] = {
    { .key = "port",
      .offset = APR_OFFSETOF(fw2_port_report, port),
      .help = "The local port of a server, the remote port of a client" },
    { .key = "connections",
      .offset = APR_OFFSETOF(fw2_port_report, connections),
      .help = "Half-closed connections there" },
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
    { .key = "connections",
      .family = "undelivered_connections",
      .word = "Undelivered",
      .offset = APR_OFFSETOF(fw2_report, undelivered.sockets),
      .dims = { &full_holders },
      .help = "Connections that httpd has ended, with bytes of a response that "
              "the client has not acknowledged",
      .unknown = NOT_COUNTED },
    { .key = "bytes",
      .family = "undelivered_bytes",
      .word = "UndeliveredBytes",
      .offset = APR_OFFSETOF(fw2_report, undelivered.bytes),
      .dims = { &full_holders },
      .help = "Bytes of responses that clients have not acknowledged, on "
              "connections that httpd has ended",
      .unknown = NOT_COUNTED },
    { .key = "shut_windows",
      .family = "undelivered_shut_windows",
      .offset = APR_OFFSETOF(fw2_report, undelivered.shut),
      .dims = { &full_holders },
      .help = "Connections that httpd has ended, with bytes to deliver and a "
              "client with a window that is zero or too small",
      .unknown = NOT_COUNTED },
    { NULL }
};

static const fw2_metric listener_metrics[] = {
    { .key = "states",
      .family = "listener_connections",
      .offset = APR_OFFSETOF(fw2_listener_report, tally.n),
      .dims = { &states, &holders },
      .help = "Closing connections by state and by holder of the socket",
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
      .unknown = "only netlink has it" },
    { NULL }
};

static const fw2_metric vhost_metrics[] = {
    { .key = "held",
      .family = "vhost_held_connections",
      .offset = APR_OFFSETOF(fw2_vhost_report, held),
      .help = "Connections of a virtual host that closer processes hold now" },
    { .key = "closes",
      .family = "connections_closed",
      .word = "Closed",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_vhost_report, totals.closes),
      .dims = { &sides },
      .help = "Connections that ended, by the side that closed first" },
    { .key = "causes",
      .family = "connections_closed_by_cause",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_vhost_report, totals.causes),
      .dims = { &causes },
      .help = "Connections that ended, by the cause" },
    { .key = "connections",
      .family = "connections_closed_by_protocol",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_vhost_report, totals.connections),
      .dims = { &protocols },
      .help = "Connections that ended, by the last protocol" },
    { .key = "tls",
      .family = "connections_closed_tls",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_vhost_report, totals.tls),
      .help = "Connections that ended and were encrypted" },
    { .key = "probes",
      .family = "connections_closed_without_request",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_vhost_report, totals.probes),
      .help = "Connections that ended and never carried a request" },
    { .key = "idle",
      .family = "connections_closed_idle",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_vhost_report, totals.idle),
      .dims = { &idles },
      .help = "HTTP/1 connections that ended idle: closed first by the client "
              "before the promised keep-alive time was over, by the client "
              "after that, or by httpd" },
    { .key = "endings",
      .family = "lingers_ended",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_vhost_report, totals.endings),
      .dims = { &endings },
      .help = "Lingers of the closer process that ended, by the ending" },
    { .key = "linger_seconds",
      .family = "linger_seconds",
      .kind = FW2_TIMES,
      .counter = 1,
      .scale = &linger_scale,
      .offset = APR_OFFSETOF(fw2_vhost_report, totals.linger),
      .help = "Time from httpd's FIN to the end of the linger" },
    { .key = "drained_bytes",
      .family = "drained_bytes",
      .word = "DrainedBytes",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_vhost_report, totals.drained),
      .help = "Bytes that arrived after httpd had closed, and were discarded" },
    { .key = "expected",
      .family = "vhost_expected_orphan_connections",
      .offset = APR_OFFSETOF(fw2_vhost_report, expected),
      .help = "Orphans of a virtual host expected in the long run: connections "
              "that clients did not close in the last minute, times the life "
              "of each orphan",
      .unknown = NOT_YET },
    { NULL }
};

static const fw2_metric peer_metrics[] = {
    { .key = "connections",
      .offset = APR_OFFSETOF(fw2_peer_report, connections),
      .help = "Half-closed connections with this client" },
    { NULL }
};

#define NOT_ASKED_FOR "FinWait2StatusPeers is Off, or there is no memory for it"

static const fw2_metric clients_metrics[] = {
    { .key = "over_seconds",
      .kind = FW2_SECONDS,
      .offset = APR_OFFSETOF(fw2_report, clients.over),
      .help = "Time that the lists of clients cover",
      .unknown = NOT_ASKED_FOR },
    { .key = "left_open",
      .offset = APR_OFFSETOF(fw2_report, clients.left_open),
      .help = "Connections that clients did not close in that time",
      .unknown = NOT_ASKED_FOR },
    { .key = "expired",
      .offset = APR_OFFSETOF(fw2_report, clients.expired),
      .help = "Connections whose keep-alive time was over in that time",
      .unknown = NOT_ASKED_FOR },
    { NULL }
};

static const fw2_metric client_metrics[] = {
    { .key = "closed",
      .offset = APR_OFFSETOF(fw2_client_report, closed),
      .help = "Connections of this client that httpd closed first" },
    { .key = "left_open",
      .offset = APR_OFFSETOF(fw2_client_report, left_open),
      .help = "Connections that this client had not closed when the closer "
              "closed" },
    { .key = "silent",
      .offset = APR_OFFSETOF(fw2_client_report, silent),
      .help = "Connections of this client that stayed idle until the linger "
              "was over" },
    { .key = "expired",
      .offset = APR_OFFSETOF(fw2_client_report, expired),
      .help = "Connections of this client whose keep-alive time was over" },
    { NULL }
};

static const fw2_metric closer_metrics[] = {
    { .key = "processes",
      .family = "closer_processes",
      .word = "CloserProcesses",
      .offset = APR_OFFSETOF(fw2_report, closer.processes),
      .help = "Closer processes that run: one, and after a graceful restart "
              "the former ones that still hold connections" },
    { .key = "held",
      .family = "closer_held_connections",
      .word = "CloserHeld",
      .offset = APR_OFFSETOF(fw2_report, closer.held),
      .help = "Connections that closer processes hold now" },
    { .key = "capacity",
      .family = "closer_capacity_connections",
      .word = "CloserCapacity",
      .offset = APR_OFFSETOF(fw2_report, closer.capacity),
      .help = "Connections that closer processes may hold "
              "(FinWait2LingerSlots)" },
    { .key = "oldest_seconds",
      .family = "closer_oldest_seconds",
      .word = "CloserOldestSeconds",
      .kind = FW2_SECONDS,
      .offset = APR_OFFSETOF(fw2_report, closer.oldest),
      .help = "Time that the oldest connection of the closer processes has "
              "been held; 0 while none is held" },
    { .key = "evicted",
      .word = "CloserEvicted",
      .offset = APR_OFFSETOF(fw2_report, closer.evicted),
      .help = "Lingers that were cut short because their slot was needed" },
    { .key = "fallback",
      .word = "CloserRefusals",
      .offset = APR_OFFSETOF(fw2_report, closer.fallback),
      .help = "Connections that httpd lingered on itself, because the closer "
              "process did not accept them" },
    { .key = "refusals",
      .family = "closer_refusals",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_report, closer.reasons),
      .dims = { &refusals },
      .help = "Connections that httpd lingered on itself because the closer "
              "process did not accept them, by reason" },
    { .key = "invalid",
      .family = "closer_invalid_messages",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_report, closer.invalid),
      .help = "Messages to the closer process that no child of httpd sends; "
              "the connections in such messages were closed" },
    { .key = "lost",
      .family = "closer_lost_connections",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_report, closer.lost),
      .help = "Connections that a closer process held when it was killed" },
    { NULL }
};

static const fw2_metric limit_metrics[] = {
    { .key = "tcp_fin_timeout",
      .family = "tcp_fin_timeout_seconds",
      .offset = APR_OFFSETOF(fw2_report, limits.tcp_fin_timeout),
      .help = "Life of an orphan in FIN_WAIT_2 by the system's setting "
              "(net.ipv4.tcp_fin_timeout); FinWait2Timeout overrides it",
      .unknown = NOT_SHOWN },
    { .key = "tcp_fin_timeout_effective",
      .family = "tcp_fin_timeout_effective_seconds",
      .offset = APR_OFFSETOF(fw2_report, fin_timeout_effective),
      .help = "Life of an orphan that results from net.ipv4.tcp_fin_timeout: "
              "above 60, twice the part above 60",
      .unknown = NOT_SHOWN },
    { .key = "tcp_max_orphans",
      .family = "tcp_max_orphans",
      .offset = APR_OFFSETOF(fw2_report, limits.tcp_max_orphans),
      .help = "Maximum number of orphans that are full sockets, of the whole "
              "machine (net.ipv4.tcp_max_orphans)",
      .unknown = NOT_IN_CONTAINER },
    { .key = "orphans",
      .family = "tcp_orphans",
      .offset = APR_OFFSETOF(fw2_report, limits.orphans),
      .help = "Orphans that are full sockets, of the whole machine even in a "
              "container; most in FIN_WAIT_2 are mini-sockets",
      .unknown = NOT_SHOWN },
    { .key = "tcp_max_tw_buckets",
      .family = "tcp_max_tw_buckets",
      .word = "MiniSocketsLimit",
      .offset = APR_OFFSETOF(fw2_report, limits.tcp_max_tw_buckets),
      .help = "Maximum number of mini-sockets, TIME_WAIT and orphans in "
              "FIN_WAIT_2 together (net.ipv4.tcp_max_tw_buckets); above it "
              "connections vanish",
      .unknown = NOT_SHOWN },
    { .key = "timewait",
      .family = "tcp_timewait_sockets",
      .word = "MiniSockets",
      .offset = APR_OFFSETOF(fw2_report, limits.timewait),
      .help = "Mini-sockets: TIME_WAIT and orphans in FIN_WAIT_2 together",
      .unknown = NOT_SHOWN },
    { .key = "timewait_overflow",
      .family = "tcp_timewait_overflows",
      .word = "MiniSocketOverflows",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_report, limits.timewait_overflow),
      .help = "Connections that vanished since the system started because no "
              "mini-socket was free",
      .unknown = NOT_SHOWN },
    { .key = "listen_overflows",
      .family = "tcp_listen_overflows",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_report, limits.listen_overflows),
      .help = "Connections that found an accept queue full, of all programs in "
              "this network namespace",
      .unknown = NOT_SHOWN },
    { .key = "listen_drops",
      .family = "tcp_listen_drops",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_report, limits.listen_drops),
      .help = "Connections lost before a program accepted them, because of a "
              "full accept queue or for any other reason",
      .unknown = NOT_SHOWN },
    { .key = "memory_aborts",
      .family = "tcp_memory_aborts",
      .counter = 1,
      .offset = APR_OFFSETOF(fw2_report, limits.aborts_on_memory),
      .help = "Connections reset because the kernel had no memory, or too many "
              "orphans",
      .unknown = NOT_SHOWN },
    { .key = "tcp_memory_bytes",
      .family = "tcp_memory_bytes",
      .kind = FW2_PAGES,
      .offset = APR_OFFSETOF(fw2_report, limits.mem_pages),
      .help = "Memory in TCP's buffers, of the whole machine even in a "
              "container",
      .unknown = NOT_SHOWN },
    { .key = "tcp_memory_max_bytes",
      .family = "tcp_memory_max_bytes",
      .kind = FW2_PAGES,
      .offset = APR_OFFSETOF(fw2_report, limits.tcp_mem_max),
      .help = "Maximum memory in TCP's buffers (net.ipv4.tcp_mem, the third "
              "number)",
      .unknown = NOT_IN_CONTAINER },
    { .key = "descriptors",
      .family = "descriptors",
      .offset = APR_OFFSETOF(fw2_report, descriptors.open),
      .help = "Open descriptors of the closer process",
      .unknown = NOT_SHOWN },
    { .key = "descriptor_limit",
      .family = "descriptor_limit",
      .offset = APR_OFFSETOF(fw2_report, descriptors.limit),
      .help = "Descriptors that the closer process may have",
      .unknown = NOT_SHOWN },
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
