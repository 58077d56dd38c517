/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The room report: sums and expectations from the numbers that the closer
 * processes publish. Formats and sections are tested with real servers.
 */

#include <poll.h>
#include <pthread.h>

#include "apr_atomic.h"
#include "apr_general.h"

#include "base/clock.h"
#include "page/metrics.h"
#include "child.h"
#include "clock.h"
#include "tap.h"

#define VHOSTS 6
#define SEC(n) apr_time_from_sec(n)
#define HUGE_N APR_INT64_C(9223372036854775807)

static apr_pool_t *pool;
static fw2_queue queue = { -1, -1 };
static fw2_board *board, *former, *other;
static const fw2_board *boards[3];
static fw2_counters *counters;
static fw2_clients *clients;
static fw2_vhost_id ids[VHOSTS];
static fw2_policy policies[VHOSTS];
static fw2_settings settings[64];
static fw2_rates rates[64];
static fw2_sources sources;
static fw2_report report;

/* Virtual hosts: shop keeps its orphans shortly, api for as long as the system;
 * the closer does not watch those of off; none has no FIN_WAIT_2; httpd lingers
 * for theirs; gone is of a former configuration. */
static void prepare_vhosts(void)
{
    int i;

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

static fw2_board *make_board(int endpoints, int vhosts, int layout)
{
    fw2_board *made;

    if (fw2_board_create(&made, endpoints, vhosts, layout, pool)
        != APR_SUCCESS) {
        bail_out("no shared memory");
    }
    return made;
}

static void prepare(void)
{
    static const char *const names[VHOSTS] = { "shop", "api",    "off",
                                               "none", "theirs", "gone" };
    static const char *const listeners[] = { "*:80" };

    if (fw2_counters_prepare(&counters, names, ids, VHOSTS, pool) != APR_SUCCESS
        || fw2_clients_create(&clients, pool) != APR_SUCCESS) {
        bail_out("no shared memory");
    }
    board = make_board(1, (int)fw2_counters_places(counters),
                       fw2_counters_layout(counters));
    former = make_board(3, 2, fw2_counters_layout(counters));
    other = make_board(2, 4, fw2_counters_layout(counters) + 1);
    boards[0] = board;
    boards[1] = former;
    boards[2] = other;
    sources.queue = &queue;
    sources.boards = boards;
    sources.nboards = 1;
    sources.lingers = 1;
    sources.names = listeners;
    sources.n = 1;
    sources.counters = counters;
    sources.settings = settings;
    prepare_vhosts();
}

/* Have so many connections end in a minute. */
static void happens(int vhost, int n, fw2_cause cause, fw2_ending ending)
{
    fw2_rates *of = &rates[ids[vhost]];

    of->causes[cause] += n;
    if (ending != FW2_ENDINGS && fw2_endings[ending].open) {
        of->left_open += n;
    }
}

static void look(void)
{
    fw2_report_make(&report, &sources, pool);
    fw2_metrics_choose(&report, &sources, FW2_VHOSTS_ALL, pool);
}

static void test_before(void)
{
    look();
    is_int(report.vhosts[ids[0]].flow.expected, FW2_UNKNOWN,
           "no orphans of a virtual host are expected without rates");
    is_int(report.half_closed.expected, FW2_UNKNOWN,
           "no orphans are expected without rates");
    ok(!report.worst[0].name && report.minute.left_open < 0,
       "no virtual host makes most orphans without rates");
    ok(report.half_closed.total == FW2_UNKNOWN && !report.snapshot.counts
           && report.listeners[0].tally.backlog == FW2_UNKNOWN,
       "nothing is counted before the first count");
    ok(report.closer.wanted && !report.closer.processes,
       "a closer process is wanted, and none runs");
    is_int(report.closer.answered, 0, "no process answers");
    is_int(report.clients.over, FW2_UNKNOWN,
           "clients are unknown if they are not asked for");
}

/* Publish a count of nothing, with the system's time for orphans. */
static void publish_fin_timeout(void)
{
    fw2_tally tally = { .backlog = 0 };
    fw2_board_count shot;

    memset(&shot, 0, sizeof(shot));
    shot.count.backend = FW2_NOTHING;
    shot.count.tallies = &tally;
    shot.limits.tcp_fin_timeout = 60;
    shot.counts = 1;
    fw2_board_publish(board, &shot);
}

static void test_littles_law(void)
{
    publish_fin_timeout();
    happens(0, 600, FW2_CAUSE_KEEPALIVE, FW2_ACKED);
    happens(0, 40, FW2_CAUSE_KEEPALIVE, FW2_PEER_CLOSED);
    happens(1, 300, FW2_CAUSE_CONNECTION_CLOSE, FW2_SILENCE);
    happens(2, 60, FW2_CAUSE_ERROR, FW2_ENDINGS);
    happens(2, 7, FW2_CAUSE_PEER, FW2_ENDINGS);
    happens(3, 900, FW2_CAUSE_KEEPALIVE, FW2_ACKED);
    happens(4, 10, FW2_CAUSE_STOP, FW2_ENDINGS);
    happens(5, 5000, FW2_CAUSE_KEEPALIVE, FW2_ACKED);
    fw2_board_publish_rates(board, rates, 12);
    look();
    is_int(report.vhosts[ids[0]].flow.left_open, 600,
           "connections that clients close are not left open");
    is_int(report.vhosts[ids[0]].flow.expected, 50,
           "600 orphans a minute that live for 5 s are 50");
    is_int(report.vhosts[ids[1]].flow.expected, 300,
           "300 orphans a minute that live for a minute are 300");
    is_int(
        report.vhosts[ids[2]].flow.left_open, 60,
        "all that httpd closes is left open where the closer does not watch");
    is_int(report.vhosts[ids[3]].flow.expected, 0,
           "a virtual host without FIN_WAIT_2 makes no orphans");
    is_int(report.vhosts[ids[4]].flow.expected, 20,
           "10 orphans a minute that live for 120 s are 20");
    is_int(report.vhosts[ids[5]].flow.expected, FW2_UNKNOWN,
           "a virtual host that is gone has no settings");
    is_int(report.half_closed.expected, 430, "expected orphans are added up");
    is_int(report.closer.recent_fallback, 12, "the rate of fallbacks is read");
}

static void test_worst(void)
{
    static const struct {
        const char *name;
        int share;
    } worst[FW2_WORST] = { { "api", 69 }, { "off", 13 }, { "shop", 11 } };
    int i;

    for (i = 0; i < FW2_WORST; i++) {
        is_str(report.worst[i].name, worst[i].name,
               "virtual hosts are named by their orphans, not by their rates");
        is_int(report.worst[i].share, worst[i].share,
               "a named virtual host has its share of the orphans");
    }
    ok(report.worst[0].settings == &settings[ids[1]]
           && report.worst[0].rates->left_open == 300,
       "a named virtual host has its settings and its rates");
    is_int(report.minute.by_server, 6910, "closes by httpd are added up");
    is_int(report.minute.causes[FW2_CAUSE_PEER], 7,
           "closes by clients are added up");
    is_int(report.minute.closes, 6917, "all closes are added up");
    is_int(report.minute.causes[FW2_CAUSE_KEEPALIVE], 6540,
           "connections are added up by cause");
    is_int(report.minute.left_open, 1870, "connections left open are added up");
    policies[4].timeout = FW2_TIMEOUT_SYSTEM;
    look();
    is_int(report.minute.life / 1000, 13475,
           "the mean life of orphans counts 0 for none");
    is_int(report.minute.short_life / 1000, 2593,
           "the mean life is shorter if each lives for 5 s at most");
}

static void test_main_cause(void)
{
    apr_int64_t causes[FW2_CAUSES] = { 0 }, n = 9;

    is_int(fw2_report_main_cause(causes, 0, &n), FW2_UNKNOWN,
           "no close has no main cause");
    is_int(n, 0, "no close is counted for it");
    causes[FW2_CAUSE_PEER] = 100;
    causes[FW2_CAUSE_ERROR] = 20;
    causes[FW2_CAUSE_TIMEOUT] = 19;
    is_int(fw2_report_main_cause(causes, 19, &n), FW2_CAUSE_ERROR,
           "the main cause is one of closes by httpd");
    is_int(n, 20, "the main cause has its number");
    is_int(fw2_report_main_cause(causes, 20, &n), FW2_NO_REQUEST,
           "the main cause may be that there was no request");
}

static void test_idle(void)
{
    ok(!report.idle.name, "no virtual host is named if no connection was idle");
    rates[ids[0]].idle[FW2_IDLE_LATE] = 3;
    rates[ids[3]].idle[FW2_IDLE_IN_TIME] = 2;
    rates[ids[3]].idle[FW2_IDLE_EXPIRED] = 2;
    fw2_board_publish_rates(board, rates, 12);
    look();
    is_str(report.idle.name, "none",
           "the virtual host with most idle connections is named");
    ok(report.idle.settings == &settings[ids[3]]
           && report.idle.rates->idle[FW2_IDLE_EXPIRED] == 2,
       "the named virtual host has its settings and its rates");
}

static void test_steady_state(void)
{
    static const struct {
        apr_int64_t per_minute, life, n;
    } states[] = { { 2400, SEC(60), 2400 },
                   { 2400, SEC(5), 200 },
                   { 1, SEC(30), 1 },
                   { 1, SEC(30) - 1, 0 },
                   { 60, 500000, 1 },
                   { 0, SEC(60), 0 },
                   { 60, 0, 0 },
                   { -1, SEC(60), -1 },
                   { 60, -1, -1 } };
    unsigned int i;

    for (i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        ok(fw2_report_steady_state(states[i].per_minute, states[i].life)
               == states[i].n,
           "%d a minute for %d us are %d", (int)states[i].per_minute,
           (int)states[i].life, (int)states[i].n);
    }
    ok(fw2_report_steady_state(HUGE_N, HUGE_N) > 0,
       "a product that is too large has a maximum");
}

static void test_orphan_life(void)
{
    /* Measured: the value, and the life of an orphan. */
    static const int measured[][2] = {
        { 1, 1 },   { 5, 5 },     { 59, 59 },   { 60, 60 },
        { 61, 2 },  { 62, 4 },    { 65, 10 },   { 75, 30 },
        { 90, 60 }, { 119, 118 }, { 120, 120 }, { 180, 240 }
    };
    unsigned int i;

    for (i = 0; i < sizeof(measured) / sizeof(measured[0]); i++) {
        ok(fw2_report_orphan_life(measured[i][0]) == measured[i][1],
           "an orphan lives for %d s with tcp_fin_timeout %d", measured[i][1],
           measured[i][0]);
    }
    is_int(fw2_report_orphan_life(0), 1, "an orphan lives for 1 s at least");
    is_int(fw2_report_orphan_life(-1), FW2_UNKNOWN,
           "the life is unknown if the value is");
    ok(fw2_report_orphan_life(HUGE_N) > 0,
       "a life that is too long has a maximum");
}

static void test_share(void)
{
    is_int(fw2_report_share(2, 3), 66, "a share is rounded down");
    is_int(fw2_report_share(3, 2), 150, "a part may be more than the whole");
    is_int(fw2_report_share(HUGE_N, 1), 1000, "a share has a maximum");
    is_int(fw2_report_share(1, 0), FW2_UNKNOWN, "a share of 0 is unknown");
    is_int(fw2_report_share(-1, 5), FW2_UNKNOWN,
           "a share is unknown if the part is");
}

static void test_losses(void)
{
    report.limits = (fw2_limits){ .timewait_overflow = 1009,
                                  .listen_overflows = 1013,
                                  .deferred = 1012,
                                  .aborts_on_memory = 1019,
                                  .own_drops = 1019,
                                  .other_drops = 1023 };
    report.before = (fw2_limits){ .timewait_overflow = 1000,
                                  .listen_overflows = 1000,
                                  .deferred = 1000,
                                  .aborts_on_memory = 1000,
                                  .own_drops = 1000,
                                  .other_drops = 1000 };
    report.over = SEC(60);
    fw2_report_sum(&report);
    is_int(report.minute.timewait_overflows, 9,
           "the rate of overflows is calculated");
    is_int(report.minute.listen_overflows, 13,
           "the rate of full accept queues is calculated");
    is_int(report.minute.own_drops, 7,
           "own drops are without those of deferred ones");
    is_int(report.minute.other_drops, 23,
           "the rate of other programs' drops is calculated");
    is_int(report.minute.memory_aborts, 19,
           "the rate of resets for want of memory is calculated");
    report.limits.own_drops = 999;
    fw2_report_sum(&report);
    is_int(report.minute.own_drops, FW2_UNKNOWN,
           "own drops are unknown after a listening socket was closed");
}

static void test_sockets(void)
{
    static fw2_listener_report at[2] = {
        { .listener = "a", .tally = { .backlog = 1, .backlog_limit = 100 } },
        { .listener = "b", .tally = { .backlog = 3, .backlog_limit = 10 } }
    };
    static fw2_peer_report peer = { "192.0.2.1", 30 };
    int i;

    for (i = 0; i < 2; i++) {
        at[i].tally.n[FW2_FIN_WAIT1][FW2_PROCESS] = 1;
        at[i].tally.n[FW2_FIN_WAIT1][FW2_KERNEL] = 2;
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
    fw2_report_sum(&report);
    is_int(report.sockets.fin_wait1, 6, "sockets in FIN_WAIT_1 are added up");
    is_int(report.sockets.close_wait, 22,
           "accepted sockets in CLOSE_WAIT are added up");
    ok(report.sockets.backlog == 3 && report.sockets.backlog_limit == 10,
       "the fullest accept queue is found");
    is_int(report.sockets.undelivered, 36,
           "undelivered responses are added up");
    is_int(report.sockets.undelivered_bytes, 23,
           "undelivered bytes are added up");
    is_int(report.sockets.zero_windows, 29, "zero windows are added up");
    is_int(report.peer_share, 75,
           "the client with the most connections has its share");
    report.half_closed.total = FW2_UNKNOWN;
    fw2_report_sum(&report);
    ok(report.sockets.backlog == FW2_UNKNOWN
           && report.sockets.undelivered == FW2_UNKNOWN
           && report.peer_share == FW2_UNKNOWN,
       "sums are unknown if sockets could not be counted");
}

/* ------------------------------------------------------------ a process -- */

/* Answer one request with a count of so many. */
static int answer(void *data)
{
    fw2_received received[FW2_RECEIVE_MAX];
    struct pollfd end = { queue.receive, POLLIN, 0 };
    fw2_tally tally = { .backlog = 5, .backlog_limit = 50 };
    fw2_board_count shot;

    memset(&shot, 0, sizeof(shot));
    shot.count.tallies = &tally;
    shot.counts = *(const int *)data;
    shot.at = fw2_clock_now();
    shot.count.backend = FW2_NETLINK;
    tally.n[FW2_FIN_WAIT2][FW2_KERNEL] = 9;
    if (poll(&end, 1, 60000) != 1
        || fw2_queue_receive(&queue, 1, received) != 1) {
        return 1;
    }
    fw2_board_publish(board, &shot);
    close(received[0].fd);
    return 0;
}

static void test_answer(void)
{
    fw2_received received[FW2_RECEIVE_MAX];
    int counts = 33;
    pid_t pid;

    if (fw2_queue_create(&queue) != APR_SUCCESS) {
        bail_out("no queue");
    }
    fw2_report_last(&report, &sources, pool);
    is_int(report.snapshot.counts, 1, "a report has the last count");
    look();
    is_int(fw2_queue_receive(&queue, 1, received), 0,
           "no process is asked while none runs");
    fw2_board_begin(board, 1, 100);
    look();
    is_int(report.closer.answered, 0, "a process that does not answer is seen");
    fw2_queue_close(&queue);
    if (fw2_queue_create(&queue) != APR_SUCCESS) {
        bail_out("no queue");
    }
    pid = child_start(answer, &counts);
    do { /* each call waits for a third of a second */
        look();
    } while (report.snapshot.counts != counts);
    is_int(child_wait(pid), 0, "a process answers");
    is_int(report.snapshot.counts, 33, "a report has the count of the answer");
    ok(report.listeners[0].tally.backlog == 5 && report.half_closed.orphan == 9
           && report.half_closed.full == 9 && report.half_closed.total == 9,
       "a report has the tallies of the answer");
    is_str(report.listeners[0].listener, "*:80", "a listener has its name");
    fw2_queue_close(&queue);
}

static void hold_some(void)
{
    fw2_board_begin(board, 1, 100);
    fw2_board_begin(former, 2, 7000);
    fw2_board_begin(other, 3, 7000);
    fw2_board_hold(board, ids[1], 3);
    fw2_board_hold(former, ids[1], 4);
    fw2_board_hold(other, ids[1], 50);
    fw2_board_oldest(board, fw2_clock_now() - SEC(5));
    fw2_board_oldest(former, fw2_clock_now() - SEC(500));
}

static void test_processes(void)
{
    hold_some();
    fw2_report_last(&report, &sources, pool);
    ok(report.closer.processes == 1 && report.closer.held == 3
           && report.closer.capacity == 100,
       "one process is reported");
    sources.nboards = 3;
    fw2_report_last(&report, &sources, pool);
    ok(report.closer.processes == 3 && report.closer.held == 57,
       "the sockets of three processes are added up");
    is_int(report.closer.capacity, 154,
           "a former process has no capacity but for what it holds");
    ok(report.closer.oldest >= SEC(500), "the oldest of all is reported");
    fw2_metrics_choose(&report, &sources, FW2_VHOSTS_ALL, pool);
    is_int(report.vhosts[ids[1]].held, 7,
           "a virtual host has the sockets of all processes of its layout");
    is_int(report.vhosts[ids[4]].held, 0,
           "a virtual host that a former board lacks holds nothing");
    fw2_board_abandon(board);
    fw2_board_abandon(other);
    fw2_report_last(&report, &sources, pool);
    ok(report.closer.processes == 1 && report.closer.held == 4,
       "a former process is reported while none of ours runs");
    fw2_board_begin(board, 1, 0);
    sources.nboards = 1;
    fw2_report_last(&report, &sources, pool);
    ok(report.closer.processes == 1 && report.closer.capacity == 0,
       "a process that cannot linger is reported");
}

static void test_counters(void)
{
    fw2_counters_ended(counters, ids[0], FW2_EVICTED, 1, 0);
    fw2_counters_ended(counters, ids[1], FW2_EVICTED, 1, 0);
    fw2_counters_fallback(counters, FW2_QUEUE_FULL, 1);
    fw2_counters_fallback(counters, FW2_NO_PROCESS, 1);
    fw2_counters_invalid(counters);
    fw2_counters_lost(counters, 6);
    fw2_report_last(&report, &sources, pool);
    ok(report.closer.evicted == 2 && report.closer.fallback == 2
           && report.closer.reasons[FW2_QUEUE_FULL] == 1,
       "evictions and fallbacks are added up");
    ok(report.closer.invalid == 1 && report.closer.lost == 6,
       "invalid messages and lost lingers are reported");
    is_int(report.nvhosts, 0, "no virtual host is written until it is chosen");
    fw2_metrics_choose(&report, &sources, FW2_VHOSTS_ALL, pool);
    is_str(report.vhosts[ids[4]].totals.vhost, "theirs",
           "a virtual host has its name");
}

static void close_some(int vhost, int n)
{
    const fw2_closed closed = { .cause = FW2_CAUSE_PEER };

    while (n-- > 0) {
        fw2_counters_closed(counters, ids[vhost], &closed);
    }
}

static void choose(apr_int64_t most)
{
    fw2_report_last(&report, &sources, pool);
    fw2_metrics_choose(&report, &sources, most, pool);
}

static apr_int64_t ends_of(int i)
{
    return report.vhosts[i].totals.closes[FW2_BY_PEER];
}

static void test_choose(void)
{
    static const int ends[VHOSTS] = { 1, 40, 20, 3, 17, 2 };
    int i;

    for (i = 0; i < VHOSTS; i++) {
        close_some(i, ends[i]);
    }
    fw2_counters_ended(counters, ids[3], FW2_ACKED, 7, 100);
    choose(FW2_VHOSTS_OFF);
    is_int(report.nvhosts, 0, "no virtual host is written if none is wanted");
    choose(VHOSTS);
    ok(report.nvhosts == VHOSTS && ends_of(VHOSTS - 1) == 2,
       "all are written if there are not more");
    choose(2);
    ok(report.nvhosts == 3 && ends_of(0) == 40 && ends_of(1) == 20,
       "the busiest are written, in their order");
    is_str(report.vhosts[2].totals.vhost, "other", "the others have a name");
    is_int(ends_of(2), 23, "the others' connections are added up");
    ok(report.vhosts[2].totals.drained == 100
           && report.vhosts[2].totals.endings[FW2_EVICTED] == 1
           && report.vhosts[2].totals.linger.n[0] == 2
           && report.vhosts[2].totals.linger.sum == 8,
       "the others' lingers are added up");
    is_int(report.vhosts[0].flow.expected + report.vhosts[1].flow.expected
               + report.vhosts[2].flow.expected,
           report.half_closed.expected, "the others' orphans are added up");
    close_some(4, 10);
    choose(2);
    is_int(ends_of(1), 20, "a few more connections do not change the choice");
    close_some(4, 10);
    choose(2);
    is_int(ends_of(1), 37, "an order of magnitude more does");
    choose(0);
    ok(report.nvhosts == 1 && ends_of(0) == 103, "a sum alone can be wanted");
}

/* Counts as children do, until all virtual hosts have many. */
static void *go_on_counting(void *counting)
{
    int i;

    for (i = 0; i < VHOSTS << 16; i++) {
        close_some(i % VHOSTS, 1);
    }
    apr_atomic_set32(counting, 0);
    return NULL;
}

static void test_choose_meanwhile(void)
{
    apr_uint32_t counting = 1;
    apr_pool_t *scratch;
    pthread_t child;
    int most = 0;

    apr_pool_create(&scratch, pool);
    if (pthread_create(&child, NULL, go_on_counting, &counting)) {
        bail_out("no thread");
    }
    while (apr_atomic_read32(&counting)) {
        fw2_report_last(&report, &sources, scratch);
        fw2_metrics_choose(&report, &sources, 2, scratch);
        most = report.nvhosts > most ? report.nvhosts : most;
        apr_pool_clear(scratch);
    }
    pthread_join(child, NULL);
    is_int(most, 3, "no more are written while children count");
    fw2_report_last(&report, &sources, pool);
}

static void test_clients(void)
{
    fw2_client_end end = { "pool/1", 0, FW2_ACKED, 1 };
    apr_sockaddr_t *at;

    if (apr_sockaddr_info_get(&at, "192.0.2.7", APR_UNSPEC, 80, 0, pool)
        != APR_SUCCESS) {
        bail_out("an address is none");
    }
    sources.clients = clients;
    fw2_report_last(&report, &sources, pool);
    ok(!report.clients.over && !report.lists[FW2_AGENTS].n
           && report.lists[FW2_AGENTS].share == FW2_UNKNOWN,
       "no client is reported before the first");
    end.net = fw2_clients_net(at);
    fw2_clients_begin(clients, pool);
    fw2_clients_ended(clients, &end, fw2_clock_now());
    fw2_clients_publish(clients);
    ahead += 60;
    fw2_report_last(&report, &sources, pool);
    ok(report.clients.over >= SEC(60) && report.clients.left_open == 1
           && report.clients.expired == 1,
       "clients are reported with the time that they go back");
    is_str(report.lists[FW2_AGENTS].clients[0].client, "pool/1",
           "an agent is reported");
    is_str(report.lists[FW2_IDLE_NETS].clients[0].client, "192.0.2.0/24",
           "a net is reported");
    ok(report.lists[FW2_AGENTS].share == 100
           && report.lists[FW2_IDLE_NETS].share == 100,
       "the first client of each list has its share");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    alarm(120);
    prepare();
    test_before();
    test_littles_law();
    test_worst();
    test_main_cause();
    test_idle();
    test_steady_state();
    test_orphan_life();
    test_share();
    test_answer();
    test_processes();
    test_counters();
    test_choose();
    test_choose_meanwhile();
    test_clients();
    test_losses();
    test_sockets();
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
