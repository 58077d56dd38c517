/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The room report: what it makes of what has been counted, and what it tells
 * whoever gives advice. What is of late takes a minute, so the clock can be set
 * forward; formats and sections are tested with real servers.
 */

#include <stdlib.h>

#include "apr_general.h"

#include "fw2_report.h"
#include "clock.h"
#include "tap.h"

#define VHOSTS 6
#define SEC(n) apr_time_from_sec(n)

static apr_pool_t *pool;
static fw2_counters *counters;
static fw2_vhost_id ids[VHOSTS];
static fw2_policy policies[VHOSTS];
static fw2_settings settings[64];
static fw2_sources sources;
static fw2_report report;
static fw2_facts facts;

/* shop keeps its orphans shortly, api for as long as the system; off's closes
 * nobody watches; none has no FIN_WAIT_2, httpd lingers at theirs; gone is of
 * an earlier configuration. */
static void prepare(void)
{
    static const char *const names[VHOSTS] = { "shop", "api",    "off",
                                               "none", "theirs", "gone" };
    int i;

    if (fw2_counters_prepare(&counters, names, ids, VHOSTS, 4, pool)
            != APR_SUCCESS
        || fw2_snapshot_create(&sources.snapshot, NULL, 0, 0, pool)
               != APR_SUCCESS) {
        printf("Bail out! no shared memory\n");
        exit(1);
    }
    sources.counters = counters;
    sources.settings = settings;
    for (i = 0; i < VHOSTS - 1; i++) {
        policies[i].engine = 1;
        policies[i].linger_total = SEC(30);
        policies[i].linger_idle = SEC(i + 1);
        settings[ids[i]].policy = &policies[i];
        settings[ids[i]].keepalive = SEC(10 + i);
    }
    policies[0].timeout = 5;
    policies[1].timeout = 60;
    policies[2].timeout = 60;
    policies[2].linger = FW2_LINGER_OFF;
    policies[3].timeout = FW2_TIMEOUT_NONE;
    policies[4].timeout = 120;
    policies[4].linger = FW2_LINGER_HTTPD;
}

static void happens(int vhost, int n, fw2_cause cause, fw2_ending ending)
{
    fw2_closed closed = { cause, FW2_HTTP1, 0, 0 };

    while (n-- > 0) {
        fw2_counters_closed(counters, ids[vhost], &closed);
        if (ending != FW2_ENDINGS) {
            fw2_counters_ended(counters, -1, ids[vhost], ending, 1, 0);
        }
    }
}

static void look(void)
{
    fw2_report_make(&report, &sources, pool);
    fw2_report_facts(&report, &facts);
}

static void test_before(void)
{
    look();
    is_int(report.vhosts[ids[0]].expected, FW2_UNKNOWN,
           "before there is a minute nothing is expected");
    is_int(report.half_closed.expected, FW2_UNKNOWN, "of nobody");
    ok(!facts.vhost && facts.left_open < 0, "and nobody is spoken of");
}

static void test_littles_law(void)
{
    happens(0, 600, FW2_CAUSE_KEEPALIVE, FW2_ACKED);
    happens(0, 40, FW2_CAUSE_KEEPALIVE, FW2_PEER_CLOSED);
    happens(1, 300, FW2_CAUSE_CONNECTION_CLOSE, FW2_SILENCE);
    happens(2, 60, FW2_CAUSE_ERROR, FW2_ENDINGS);
    happens(2, 7, FW2_CAUSE_PEER, FW2_ENDINGS);
    happens(3, 900, FW2_CAUSE_KEEPALIVE, FW2_ACKED);
    happens(4, 10, FW2_CAUSE_STOP, FW2_ENDINGS);
    happens(5, 5000, FW2_CAUSE_KEEPALIVE, FW2_ACKED);
    ahead += 60;
    look();
    is_int(report.vhosts[ids[0]].left_open, 600,
           "who has closed does not count");
    is_int(report.vhosts[ids[0]].expected, 50, "600 a minute, 5 s each: 50");
    is_int(report.vhosts[ids[1]].expected, 300, "300 a minute, a minute each");
    is_int(report.vhosts[ids[2]].left_open, 60,
           "where nobody watches, all that httpd closed");
    is_int(report.vhosts[ids[3]].expected, 0, "none: none");
    is_int(report.vhosts[ids[4]].expected, 20, "120 s means what it says");
    is_int(report.vhosts[ids[5]].expected, FW2_UNKNOWN,
           "what is gone has no settings");
    is_int(report.half_closed.expected, 430, "the sum");
}

static void test_worst(void)
{
    is_str(facts.vhost, "api", "who makes most orphans, not who leaves most");
    is_int(facts.vhost_share, 69, "its part");
    is_str(facts.also[0], "off", "the next");
    is_int(facts.also_share[0], 13, "its part");
    is_str(facts.also[1], "shop", "and the next");
    is_int(facts.also_share[1], 11, "its part");
    is_int(facts.vhost_left_open, 300, "its rate");
    is_int(facts.vhost_cause, FW2_FACT_CAUSE_CLOSE, "its cause");
    is_int(facts.vhost_keepalive, SEC(11), "its keep-alive time");
    is_int(facts.vhost_linger_idle, SEC(2), "its settings");
    is_int(facts.vhost_timeout, 60, "its own time");
    is_int(facts.follows_system, 0, "nobody follows the system");
    policies[4].timeout = FW2_TIMEOUT_SYSTEM;
    look();
    is_int(facts.follows_system, 1, "somebody does");
    is_int(facts.left_open, 1870, "what all leave open");
    is_int(facts.left_open_life / 1000, 13475,
           "the mean life, in ms, with 0 for none");
    is_int(facts.left_open_short_life / 1000, 2593, "at 5 s at most");
}

/* A figure of its own for each, none the sum of others. */
static void test_limits(void)
{
    fw2_limits now = { 101, 103,  107, 1009, 113, 127, 1013,
                       1,   1019, 131, 137,  139, 149 };
    fw2_limits before = { 0, 0, 0, 1000, 0, 0, 1000, 0, 1000, 0, 0, 0, 0 };

    report.limits = now;
    report.before = before;
    report.over = SEC(60);
    report.descriptors.open = 151;
    report.descriptors.limit = 157;
    report.closer.held = 163;
    report.closer.capacity = 167;
    report.closer.oldest = 173;
    report.closer.recent_fallback = 179;
    fw2_report_facts(&report, &facts);
    is_int(facts.tcp_fin_timeout, 101, "tcp_fin_timeout");
    is_int(facts.tcp_max_tw_buckets, 103, "tcp_max_tw_buckets");
    is_int(facts.timewait, 107, "timewait");
    is_int(facts.timewait_overflows, 9, "overflows in a minute");
    is_int(facts.listen_overflows, 13, "full accept queues in a minute");
    is_int(facts.memory_aborts, 19, "resets for want of memory in a minute");
    is_int(facts.tcp_max_orphans, 131, "tcp_max_orphans");
    is_int(facts.orphans, 137, "orphans");
    is_int(facts.tcp_mem, 139, "tcp_mem");
    is_int(facts.tcp_mem_max, 149, "its most");
    is_int(facts.descriptors, 151, "descriptors");
    is_int(facts.descriptor_limit, 157, "their limit");
    is_int(facts.closer_held, 163, "held");
    is_int(facts.closer_capacity, 167, "that may be");
    is_int(facts.closer_oldest, 173, "the oldest");
    is_int(facts.fallback, 179, "fallbacks");
}

static void test_sockets(void)
{
    fw2_listener_report at[2] = {
        { "a", { .backlog = 1, .backlog_limit = 100 } },
        { "b", { .backlog = 3, .backlog_limit = 10 } }
    };
    fw2_peer_report peer = { "192.0.2.1", 30 };
    int i;

    for (i = 0; i < 2; i++) {
        at[i].tally.n[FW2_FIN_WAIT1][FW2_PROCESS] = 1;
        at[i].tally.n[FW2_FIN_WAIT1][FW2_KERNEL] = 2;
        at[i].tally.n[FW2_FIN_WAIT2][FW2_PROCESS] = 3;
        at[i].tally.n[FW2_FIN_WAIT2][FW2_KERNEL] = 5;
        at[i].tally.n[FW2_FIN_WAIT2][FW2_TIMEWAIT] = 7;
        at[i].tally.n[FW2_CLOSE_WAIT][FW2_PROCESS] = 11;
        at[i].tally.n[FW2_CLOSE_WAIT][FW2_KERNEL] = 13;
    }
    report.listeners = at;
    report.nlisteners = 2;
    report.peers = &peer;
    report.npeers = 1;
    report.half_closed.total = 40;
    report.undelivered.sockets[FW2_PROCESS] = 17;
    report.undelivered.sockets[FW2_KERNEL] = 19;
    report.undelivered.bytes[FW2_KERNEL] = 23;
    report.undelivered.shut[FW2_KERNEL] = 29;
    fw2_report_facts(&report, &facts);
    is_int(facts.held, 8, "held");
    is_int(facts.orphan_full, 14, "orphans that are full");
    is_int(facts.orphan_mini, 14, "orphans that are mini-sockets");
    is_int(facts.fin_wait1, 6, "FIN_WAIT_1");
    is_int(facts.close_wait, 22, "CLOSE_WAIT, but for those not accepted");
    ok(facts.backlog == 3 && facts.backlog_limit == 10, "the fullest queue");
    is_int(facts.undelivered, 36, "not delivered");
    is_int(facts.undelivered_bytes, 23, "bytes of these");
    is_int(facts.shut_windows, 29, "shut windows");
    ok(!strcmp(facts.peer, "192.0.2.1") && facts.peer_share == 75, "the peer");
    is_int(facts.not_counted, 0, "it was counted");
    report.half_closed.total = FW2_UNKNOWN;
    fw2_report_facts(&report, &facts);
    ok(facts.not_counted == 1 && facts.held < 0, "or it was not");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    prepare();
    test_before();
    test_littles_law();
    test_worst();
    test_limits();
    test_sockets();
    return done_testing();
}
