/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The room's entry: the tally of the rows that a source reads, and the choice
 * of a source.
 */

#include <errno.h>
#include <string.h>

#include "apr_strings.h"

#include "base/clamp.h"
#include "base/clock.h"
#include "kernel/sockdiag_impl.h"

const char *const fw2_state_names[FW2_STATES] = {
    "fin_wait1", "fin_wait2", "closing", "close_wait", "last_ack",
};

const char *const fw2_holder_names[FW2_HOLDERS] = {
    "process",
    "kernel",
    "timewait",
};

const char *const fw2_backend_names[FW2_BACKENDS] = {
    "netlink",
    "procfs",
    "sockstat",
    "nothing",
};

const apr_int64_t fw2_left_bounds[FW2_LEFT_BOUNDS] = {
    1 * APR_USEC_PER_SEC,   5 * APR_USEC_PER_SEC,  10 * APR_USEC_PER_SEC,
    20 * APR_USEC_PER_SEC,  30 * APR_USEC_PER_SEC, 60 * APR_USEC_PER_SEC,
    120 * APR_USEC_PER_SEC,
};

/* ---------------------------------------------------------- the tally -- */

fw2_holder fw2_holder_of(unsigned int timer, apr_uint64_t inode)
{
    /* Only mini-sockets have this timer: inet_diag's inet_twsk_diag_fill(),
     * /proc's get_timewait4_sock(). The user id cannot identify mini-sockets,
     * because the kernel shows 0 for them and for root's sockets. */
    if (timer == FW2_TIMER_TIMEWAIT) {
        return FW2_TIMEWAIT;
    }
    return inode ? FW2_PROCESS : FW2_KERNEL;
}

void fw2_counting_reset(fw2_counting *counting)
{
    int i;

    counting->complete = 1;
    memset(&counting->left, 0, sizeof(counting->left));
    memset(&counting->undelivered, 0, sizeof(counting->undelivered));
    if (counting->peers) {
        fw2_peers_reset(counting->peers);
    }
    if (counting->elsewhere) {
        fw2_elsewhere_reset(counting->elsewhere);
    }
    memset(counting->tallies, 0,
           (apr_size_t)counting->n * sizeof(*counting->tallies));
    for (i = 0; i < counting->n; i++) {
        counting->tallies[i].backlog_limit = -1;
        counting->tallies[i].drops = -1;
    }
}

/* Count a listening socket. It belongs to an endpoint only if the addresses are
 * equal: another program's 10.0.0.1:80 beside our 0.0.0.0:80 is not part of
 * our backlog. Several sockets of one address share the address by
 * SO_REUSEPORT, and each has a queue of its own, so their queues add up. */
static void count_listener(fw2_counting *counting, int i, const fw2_row *row)
{
    int own =
        i >= 0
        && !memcmp(counting->endpoints[i].addr, row->addr, sizeof(row->addr));

    if (counting->elsewhere) {
        fw2_elsewhere_listener(counting->elsewhere, row, own);
    }
    if (own) {
        counting->tallies[i].backlog += row->rqueue;
        fw2_clamp_add(&counting->tallies[i].backlog_limit, row->wqueue);
        fw2_clamp_add(&counting->tallies[i].drops, row->drops);
    }
}

static fw2_state state_of(unsigned int linux_state)
{
    switch (linux_state) {
    case FW2_TCP_FIN_WAIT1:
        return FW2_FIN_WAIT1;
    case FW2_TCP_FIN_WAIT2:
        return FW2_FIN_WAIT2;
    case FW2_TCP_CLOSING:
        return FW2_CLOSING;
    case FW2_TCP_CLOSE_WAIT:
        return FW2_CLOSE_WAIT;
    case FW2_TCP_LAST_ACK:
        return FW2_LAST_ACK;
    default:
        return FW2_STATES;
    }
}

static int is_half_closed(fw2_state state)
{
    return state == FW2_FIN_WAIT1 || state == FW2_FIN_WAIT2
           || state == FW2_CLOSING;
}

static void count_left(fw2_left *left, apr_interval_time_t time)
{
    int i;

    for (i = 0; i < FW2_LEFT_BOUNDS && time > fw2_left_bounds[i]; i++) {
    }
    left->n[i]++;
    left->sum += time;
    if (time > left->longest) {
        left->longest = time;
    }
}

/* Count an orphan by the time that it has left. The keep-alive timer ends an
 * orphan in FIN_WAIT_2 only. A socket with a descriptor uses the same timer for
 * SO_KEEPALIVE, so the caller passes orphans only. */
static void count_orphan(fw2_counting *counting, fw2_state state,
                         const fw2_row *row)
{
    if (row->holder == FW2_TIMEWAIT) {
        count_left(&counting->left, row->expires);
    }
    else if (state != FW2_FIN_WAIT2) {
        counting->left.unbounded++;
    }
    else if (row->timer == FW2_TIMER_KEEPALIVE) {
        count_left(&counting->left, row->expires + counting->orphan_rest);
    }
    else {
        counting->left.unknown++;
    }
}

/* Count the bytes that the client has not acknowledged. The kernel counts the
 * FIN as one byte (tcp_diag_get_info()). */
static void count_undelivered(fw2_undelivered *sum, const fw2_row *row)
{
    if (row->wqueue > 1) {
        sum->sockets[row->holder]++;
        sum->bytes[row->holder] += row->wqueue - 1;
        sum->shut[row->holder] += row->timer == FW2_TIMER_PROBE;
    }
}

static void count_closing(fw2_counting *counting, fw2_state state,
                          const fw2_row *row)
{
    if (state == FW2_FIN_WAIT1) {
        count_undelivered(&counting->undelivered, row);
    }
    if (!is_half_closed(state)) {
        return;
    }
    if (row->holder != FW2_PROCESS) {
        count_orphan(counting, state, row);
    }
    if (counting->peers) {
        fw2_peers_add(counting->peers, row->peer);
    }
}

void fw2_counting_row(fw2_counting *counting, const fw2_row *row)
{
    fw2_state state = state_of(row->state);
    int i;

    if (state == FW2_STATES && row->state != FW2_TCP_LISTEN) {
        return;
    }
    i = fw2_endpoint_find(counting->endpoints, counting->n, row->addr,
                          row->port);
    if (state == FW2_STATES) {
        count_listener(counting, i, row);
    }
    else if (i >= 0) {
        counting->tallies[i].n[state][row->holder]++;
        count_closing(counting, state, row);
    }
    else if (counting->elsewhere) {
        fw2_elsewhere_closing(counting->elsewhere, row, is_half_closed(state));
    }
}

int fw2_counting_is_spent(fw2_counting *counting)
{
    if (counting->budget <= 0
        || fw2_clock_cpu() - counting->begun < counting->budget) {
        return 0;
    }
    counting->complete = 0;
    return 1;
}

/* -------------------------------------------------------- counting all -- */

/* The most frequent reason for each error, and its remedy. The texts of the
 * policies of SELinux and seccomp, and the kernel's source, are the source of
 * these rows. */
static const struct {
    fw2_backend backend;
    apr_status_t error;
    const char *hint;
} hints[] = {
    { FW2_NETLINK, EACCES,
      "SELinux refuses it without `allow httpd_t self:"
      "netlink_tcpdiag_socket { create read write getattr bind "
      "nlmsg_read };`" },
    { FW2_NETLINK, EPERM,
      "a seccomp filter refuses it; it must let socket(AF_NETLINK) pass" },
    { FW2_NETLINK, EAFNOSUPPORT,
      "systemd's RestrictAddressFamilies= must list AF_NETLINK" },
    { FW2_NETLINK, EPROTONOSUPPORT, "this kernel is without INET_DIAG" },
    { FW2_NETLINK, ENOENT,
      "this kernel is without INET_DIAG, or may not load its module" },
    { FW2_NETLINK, APR_TIMEUP, "the kernel did not answer" },
    { FW2_PROCFS, EACCES,
      "an AppArmor profile must allow `@{PROC}/@{pid}/net/tcp{,6} r,`" },
    { FW2_PROCFS, ENOENT, "/proc is not mounted here" },
    { FW2_SOCKSTAT, EACCES,
      "an AppArmor profile must allow `@{PROC}/@{pid}/net/sockstat r,`" },
    { FW2_SOCKSTAT, ENOENT, "/proc is not mounted here" }
};

static void write_refusal(char sentence[FW2_REFUSED_MAX], fw2_backend backend,
                          const char *attempt, apr_status_t rv)
{
    char reason[128];
    apr_size_t i;

    apr_strerror(rv, reason, sizeof(reason));
    for (i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
        if (hints[i].backend == backend && hints[i].error == rv) {
            apr_snprintf(sentence, FW2_REFUSED_MAX, "%s: %s (%s)", attempt,
                         reason, hints[i].hint);
            return;
        }
    }
    apr_snprintf(sentence, FW2_REFUSED_MAX, "%s: %s", attempt, reason);
}

static fw2_source *const sources[FW2_NOTHING] = {
    fw2_netlink_count,
    fw2_procfs_count,
    fw2_sockstat_count,
};

static fw2_backend count_from_best(fw2_counting *counting, fw2_count *count,
                                   apr_pool_t *scratch)
{
    const char *attempt = "";
    apr_status_t rv;
    int i;

    for (i = FW2_NETLINK; i < FW2_NOTHING; i++) {
        fw2_counting_reset(counting);
        rv = sources[i](counting, &attempt, scratch);
        if (rv == APR_SUCCESS) {
            return (fw2_backend)i;
        }
        write_refusal(count->refused[i], (fw2_backend)i, attempt, rv);
    }
    fw2_counting_reset(counting);
    counting->complete = 0;
    return FW2_NOTHING;
}

/* Return how long an orphan in FIN_WAIT_2 lives after its keep-alive timer went
 * off. A timeout of n > 60 s makes the orphan a full socket for n - 60 s
 * (__tcp_close()), and then a mini-socket for another n - 60 s
 * (tcp_keepalive_timer(); measured). */
static apr_interval_time_t orphan_rest(void)
{
    apr_int64_t timeout = fw2_procfs_fin_timeout();

    return timeout > 60 ? apr_time_from_sec(timeout - 60) : 0;
}

/* The least cost of a walk in microseconds (measured): the kernel looks into
 * 524,288 buckets, its default maximum. */
#define EMPTY_WALK 340

static apr_int64_t known(apr_int64_t sockets)
{
    return sockets < 0 ? 0 : sockets;
}

/* A mini-socket costs 0.4 us. A full socket costs 1 us if the filter accepts
 * it, and else 0.3 us (measured). Most full sockets are open connections, which
 * the filter rejects. */
apr_interval_time_t fw2_sockdiag_predict(const fw2_limits *limits)
{
    return EMPTY_WALK + known(limits->timewait) * 2 / 5
           + (known(limits->inuse) + known(limits->inuse6)) * 3 / 10;
}

static void count_all(fw2_count *count, fw2_counting *counting, int peers,
                      apr_pool_t *scratch)
{
    counting->orphan_rest = orphan_rest();
    counting->peers = peers > 0 ? fw2_peers_make(scratch) : NULL;
    counting->elsewhere = fw2_elsewhere_make(scratch);
    count->backend = count_from_best(counting, count, scratch);
    fw2_elsewhere_sum(
        FW2_BACKEND_HAS_STATES(count->backend) ? counting->elsewhere : NULL,
        &count->elsewhere);
    count->complete = counting->complete;
    count->left = counting->left;
    count->undelivered = counting->undelivered;
    if (counting->peers) {
        fw2_peers_top(counting->peers,
                      peers < FW2_PEERS_MAX ? peers : FW2_PEERS_MAX,
                      &count->peers);
    }
}

void fw2_sockdiag_count(const fw2_endpoint *endpoints, int n, int peers,
                        apr_interval_time_t budget, fw2_count *count,
                        apr_pool_t *pool)
{
    apr_pool_t *scratch = NULL;
    fw2_counting counting;

    counting.begun = fw2_clock_cpu();
    memset(count, 0, sizeof(*count));
    count->backend = FW2_NETLINK;
    count->complete = 1;
    fw2_elsewhere_sum(NULL, &count->elsewhere);
    count->tallies = apr_palloc(pool, (apr_size_t)n * sizeof(fw2_tally));
    if (n > 0) {
        counting.endpoints = endpoints;
        counting.n = n;
        counting.tallies = count->tallies;
        counting.budget = budget;
        apr_pool_create(&scratch, pool);
        count_all(count, &counting, peers, scratch);
        apr_pool_destroy(scratch);
    }
    count->cost = fw2_clock_cpu() - counting.begun;
}

apr_int64_t fw2_sockdiag_drops(const fw2_tally *tallies, int n)
{
    apr_int64_t drops = -1;
    int i;

    for (i = 0; i < n; i++) {
        fw2_clamp_add(&drops, tallies[i].drops);
    }
    return drops;
}

fw2_half fw2_sockdiag_half_closed(const fw2_tally *tallies, int n)
{
    fw2_half sum = { 0, 0, 0 };
    int i, state;

    for (i = 0; i < n; i++) {
        for (state = 0; state < FW2_STATES; state++) {
            const apr_int64_t *by_holder = tallies[i].n[state];

            if (is_half_closed((fw2_state)state)) {
                sum.held += by_holder[FW2_PROCESS];
                sum.orphan += by_holder[FW2_KERNEL] + by_holder[FW2_TIMEWAIT];
                sum.mini += by_holder[FW2_TIMEWAIT];
            }
        }
    }
    return sum;
}
