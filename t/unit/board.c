/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The room board: one process publishes and others read, a killed process
 * leaves no held socket, and impossible numbers are corrected.
 */

#include <limits.h>

#include "apr_general.h"

#include "shared/board.h"
#include "base/clock.h"
#include "child.h"
#include "tap.h"

#define ENDPOINTS 2
#define VHOSTS    3
#define LAYOUT    17
#define PID       4711

static apr_pool_t *pool;
static fw2_board *board;

static void begin(void)
{
    if (fw2_board_create(&board, ENDPOINTS, VHOSTS, LAYOUT, pool)
        != APR_SUCCESS) {
        bail_out("no shared memory");
    }
}

static fw2_board_state state(void)
{
    fw2_board_state now;

    fw2_board_state_read(board, &now);
    return now;
}

/* Return why the board does not accept; FW2_REFUSALS if it does. */
static fw2_refusal refusal(void)
{
    fw2_refusal why = FW2_REFUSALS;

    return fw2_board_accepts(board, &why) ? FW2_REFUSALS : why;
}

static int is_all(const void *numbers, size_t bytes, apr_int64_t value)
{
    const apr_int64_t *number = numbers, *end = number + bytes / sizeof(value);

    while (number < end && *number == value) {
        number++;
    }
    return number == end;
}

/* Make a count whose numbers all follow from one number. */
static void make_count(fw2_board_count *count, fw2_tally *tallies,
                       apr_int64_t number)
{
    apr_int64_t *numbers = (apr_int64_t *)tallies;
    unsigned int i;

    memset(count, 0, sizeof(*count));
    count->count.backend = FW2_NETLINK;
    count->count.complete = 1;
    count->count.cost = number + 1;
    count->count.tallies = tallies;
    for (i = 0; i < ENDPOINTS * sizeof(fw2_tally) / sizeof(*numbers); i++) {
        numbers[i] = number + i;
    }
    count->limits.tcp_fin_timeout = number + 2;
    count->limits.tcp_mem_max = number + 3;
    count->before.timewait = number + 4;
    count->count.left.sum = number + 5;
    count->count.undelivered.bytes[FW2_KERNEL] = number + 6;
    count->count.peers.n = 1;
    count->count.peers.top[0].n = number + 7;
    count->over = number + 8;
    count->descriptors = number + 9;
    count->descriptor_limit = number + 10;
    count->cost = number + 11;
    count->counts = number;
    count->at = fw2_clock_now();
}

static int is_whole(const fw2_board_count *count)
{
    const apr_int64_t *numbers = (const apr_int64_t *)count->count.tallies;
    apr_int64_t n = count->counts;
    unsigned int i;

    for (i = 0; i < ENDPOINTS * sizeof(fw2_tally) / sizeof(*numbers); i++) {
        if (numbers[i] != n + i) {
            return 0;
        }
    }
    return count->count.backend == FW2_NETLINK && count->count.complete == 1
           && count->count.cost == n + 1
           && count->limits.tcp_fin_timeout == n + 2
           && count->limits.tcp_mem_max == n + 3
           && count->before.timewait == n + 4 && count->count.left.sum == n + 5
           && count->count.undelivered.bytes[FW2_KERNEL] == n + 6
           && count->count.peers.n == 1 && count->count.peers.top[0].n == n + 7
           && count->over == n + 8 && count->descriptors == n + 9
           && count->descriptor_limit == n + 10 && count->cost == n + 11
           && count->age >= 0;
}

/* ----------------------------------------------------- counts and rates -- */

static void test_new(void)
{
    apr_int64_t fallback = 0;
    const fw2_rates *rates;
    const fw2_board_count *count;
    fw2_board_state now;

    begin();
    count = fw2_board_last(board, pool);
    ok(!count->counts && count->count.backend == FW2_NOTHING
           && !count->count.complete && !count->count.peers.n,
       "a new board has no count");
    ok(is_all(&count->limits, sizeof(count->limits), -1)
           && is_all(&count->before, sizeof(count->before), -1),
       "a new board has no limits");
    ok(is_all(count->count.tallies, ENDPOINTS * sizeof(fw2_tally), 0),
       "a new board has a tally of zeros for each endpoint");
    ok(count->descriptors == -1 && count->descriptor_limit == -1,
       "a new board has no number of descriptors");
    rates = fw2_board_rates(board, &fallback, pool);
    ok(is_all(rates, VHOSTS * sizeof(*rates), -1) && fallback == -1,
       "a new board has no rates");
    now = state();
    ok(!now.running && !now.held && !now.capacity && now.oldest == -1,
       "a new board has no process");
    is_int(refusal(), FW2_NO_PROCESS,
           "a board without a process accepts nothing");
    is_int(fw2_board_layout(board), LAYOUT, "a board has its layout");
}

static int check_count(void *number)
{
    const fw2_board_count *count = fw2_board_last(board, pool);

    return !is_whole(count) || count->counts != *(const int *)number;
}

static int publish_count(void *number)
{
    fw2_tally tallies[ENDPOINTS];
    fw2_board_count count;

    make_count(&count, tallies, *(const int *)number);
    fw2_board_publish(board, &count);
    return 0;
}

static void test_counts(void)
{
    int first = 100, second = 200;
    const fw2_board_count *count;

    begin();
    publish_count(&first);
    is_int(child_wait(child_start(check_count, &first)), 0,
           "another process reads the whole count");
    is_int(child_wait(child_start(publish_count, &second)), 0,
           "another process publishes a count");
    count = fw2_board_last(board, pool);
    ok(is_whole(count) && count->counts == second,
       "the parent reads the last count");
    ok(count->age >= 0 && count->age <= fw2_clock_now() - count->at,
       "the reader sets the age of a count");
}

static void test_rates(void)
{
    fw2_rates rates[VHOSTS];
    apr_int64_t fallback = 0;
    int i, j;

    begin();
    memset(rates, 0, sizeof(rates));
    for (i = 0; i < VHOSTS; i++) {
        for (j = 0; j < FW2_CAUSES; j++) {
            rates[i].causes[j] = 100 * i + j;
        }
        rates[i].evicted = 1000 + i;
    }
    fw2_board_publish_rates(board, rates, 77);
    ok(!memcmp(fw2_board_rates(board, &fallback, pool), rates, sizeof(rates)),
       "the rates of each virtual host are read");
    is_int(fallback, 77, "the rate of fallbacks is read");
    fw2_board_publish_rates(board, rates, -1);
    (void)fw2_board_rates(board, &fallback, pool);
    is_int(fallback, -1, "an unknown rate of fallbacks stays unknown");
}

/* --------------------------------------------------------- held sockets -- */

static void test_state(void)
{
    int counts = 3;
    fw2_board_state now;

    begin();
    publish_count(&counts); /* so the memory after the held sockets is not 0 */
    fw2_board_started(board, PID);
    is_int(refusal(), FW2_REFUSALS,
           "a board accepts before its process begins");
    is_int(fw2_board_begin(board, PID, 100), 0,
           "no socket was lost before the first process");
    now = state();
    ok(now.running == 1 && now.capacity == 100 && !now.held && now.oldest == -1,
       "a process runs and holds nothing");
    fw2_board_hold(board, 0, 1);
    fw2_board_hold(board, 2, 1);
    fw2_board_hold(board, 2, 1);
    fw2_board_oldest(board, fw2_clock_now() - 5000);
    now = state();
    is_int(now.held, 3, "held sockets are added up");
    ok(now.oldest >= 5000, "the oldest has its age");
    ok(fw2_board_held(board, 0) == 1 && fw2_board_held(board, 1) == 0
           && fw2_board_held(board, 2) == 2,
       "held sockets are counted for each virtual host");
    is_int(fw2_board_held(board, VHOSTS), 0,
           "a virtual host that the board does not have holds nothing");
    fw2_board_oldest(board, fw2_clock_now() + 3600 * APR_USEC_PER_SEC);
    is_int(state().oldest, 0, "the oldest is never of the future");
    fw2_board_hold(board, 2, -1);
    is_int(fw2_board_held(board, 2), 1, "a socket is not held any more");
    fw2_board_hold(board, 2, -1);
    fw2_board_hold(board, 0, -1);
    is_int(state().oldest, -1,
           "the age of the oldest is unknown without a held socket");
    fw2_board_oldest(board, 0);
    fw2_board_abandon(board);
    ok(!state().running && !state().capacity && refusal() == FW2_NO_PROCESS,
       "an abandoned board has no process");
}

static void test_no_linger(void)
{
    begin();
    fw2_board_begin(board, PID, 0);
    ok(state().running && !state().capacity,
       "a process that only counts runs without capacity");
    is_int(refusal(), FW2_CANNOT_LINGER,
           "a process that only counts accepts nothing");
    fw2_board_begin(board, PID, 1);
    is_int(refusal(), FW2_REFUSALS, "the next process, which lingers, accepts");
    fw2_board_refuse(board);
    is_int(refusal(), FW2_CANNOT_LINGER,
           "a process that refuses accepts nothing");
    is_int(state().capacity, 1, "a process that refuses keeps its capacity");
    fw2_board_abandon(board);
    is_int(refusal(), FW2_NO_PROCESS,
           "a process that refused does not run after its end");
    fw2_board_started(board, PID);
    fw2_board_begin(board, PID, 1);
    is_int(refusal(), FW2_REFUSALS,
           "the process after one that refused accepts");
}

/* Hold 7 sockets, report that, and wait to be killed. */
static int hold_some(void *data)
{
    fw2_shared *done = data;
    int i;

    fw2_board_begin(board, (apr_uint64_t)getpid(), 50);
    for (i = 0; i < 7; i++) {
        fw2_board_hold(board, i < 2 ? 0 : 1, 1);
    }
    fw2_board_oldest(board, fw2_clock_now());
    fw2_sync_write(done, 1);
    for (;;) {
        pause();
    }
    return 0;
}

static void test_killed(void)
{
    fw2_shared *done = shared_memory(sizeof(*done));
    pid_t pid;

    begin();
    pid = child_start(hold_some, done);
    fw2_board_started(board, (apr_uint64_t)pid);
    ok(wait_until(done, 1) && state().held == 7 && state().oldest >= 0,
       "a process holds seven sockets");
    child_kill(pid);
    fw2_board_abandon(board);
    ok(!state().held && !fw2_board_held(board, 1) && state().oldest == -1,
       "a killed process holds nothing");
    is_int(fw2_board_begin(board, PID, 50), 7,
           "the next process gets the number of lost sockets");
    ok(!state().held && state().running && state().oldest == -1,
       "the next process begins without held sockets");
    is_int(fw2_board_begin(board, PID, 50), 0,
           "the process after the next one gets no lost sockets");
}

/* --------------------------------------------------------- wild numbers -- */

static void test_wild_counts(void)
{
    fw2_tally tallies[ENDPOINTS];
    const fw2_board_count *read;
    fw2_board_count count;

    begin();
    make_count(&count, tallies, 1);
    count.count.backend = (fw2_backend)99;
    count.count.complete = 77;
    count.count.peers.n = FW2_PEERS_MAX + 1;
    memset(count.count.refused, 'x', sizeof(count.count.refused));
    tallies[1].n[FW2_FIN_WAIT2][FW2_KERNEL] = APR_INT64_MAX;
    tallies[1].n[FW2_FIN_WAIT2][FW2_PROCESS] = APR_INT64_MIN;
    fw2_board_publish(board, &count);
    read = fw2_board_last(board, pool);
    is_int(read->count.backend, FW2_NOTHING,
           "an unknown source becomes no source");
    is_int(read->count.complete, 1, "a flag becomes 0 or 1");
    is_int(read->count.peers.n, 0, "too many clients become none");
    is_int((long long)strlen(read->count.refused[FW2_NETLINK]),
           FW2_REFUSED_MAX - 1, "a text without an end is cut");
    tallies[0] = read->count.tallies[1];
    ok(tallies[0].n[FW2_FIN_WAIT2][FW2_KERNEL] < APR_INT64_MAX / 1000000
           && !tallies[0].n[FW2_FIN_WAIT2][FW2_PROCESS],
       "a million of the largest numbers can be added up");
    count.count.backend = (fw2_backend)-1;
    count.count.peers.n = -1;
    fw2_board_publish(board, &count);
    read = fw2_board_last(board, pool);
    ok(read->count.backend == FW2_NOTHING && !read->count.peers.n,
       "a source and a number of clients below 0 become none");
}

static void test_wild_times(void)
{
    fw2_tally tallies[ENDPOINTS];
    const fw2_board_count *read;
    fw2_board_count count;

    begin();
    make_count(&count, tallies, 1);
    count.at = fw2_clock_now() + apr_time_from_sec(3600);
    fw2_board_publish(board, &count);
    is_int(fw2_board_last(board, pool)->age, 0,
           "a count is never of the future");
    count.at = APR_INT64_MIN;
    count.over = count.cost = count.counts = -9;
    count.limits.tcp_fin_timeout = count.before.tcp_fin_timeout = APR_INT64_MAX;
    count.limits.timewait = APR_INT64_MIN;
    fw2_board_publish(board, &count);
    read = fw2_board_last(board, pool);
    ok(read->at == 0 && read->age > 0,
       "a count is never older than the machine");
    ok(!read->over && !read->cost && !read->counts,
       "a time and a number of counts are never below 0");
    ok(read->limits.tcp_fin_timeout < APR_INT64_MAX / 1000000
           && read->before.tcp_fin_timeout < APR_INT64_MAX / 1000000,
       "a million of the largest limits can be added up");
    is_int(read->limits.timewait, -1, "a limit below -1 is unknown");
}

static void test_wild_rates(void)
{
    fw2_rates rates[VHOSTS];
    const fw2_rates *read;
    apr_int64_t fallback = 0;
    int i;

    begin();
    memset(rates, 0, sizeof(rates));
    rates[0].left_open = APR_INT64_MIN;
    rates[VHOSTS - 1].evicted = APR_INT64_MAX;
    fw2_board_publish_rates(board, rates, APR_INT64_MIN);
    read = fw2_board_rates(board, &fallback, pool);
    ok(read[0].left_open == -1 && fallback == -1, "a rate below -1 is unknown");
    ok(read[VHOSTS - 1].evicted > 0
           && read[VHOSTS - 1].evicted < APR_INT64_MAX / 1000000,
       "a million of the largest rates can be added up");
    fw2_board_begin(board, PID, 10);
    fw2_board_hold(board, 0, -1);
    is_int(fw2_board_held(board, 0), 0,
           "a negative number of held sockets becomes 0");
    for (i = 0; i < 10; i++) {
        fw2_board_hold(board, 1, INT_MAX);
    }
    ok(!state().held, "an impossible number of held sockets becomes 0");
    is_int(fw2_board_begin(board, PID, 10), 0,
           "an impossible number of sockets is not lost");
    fw2_board_oldest(board, APR_INT64_MIN);
    fw2_board_hold(board, 1, 1);
    is_int(state().oldest, -1,
           "the age of an oldest with a time below 0 is unknown");
    fw2_board_oldest(board, APR_INT64_MAX);
    is_int(state().oldest, 0,
           "the age of an oldest with the largest time is 0");
}

/* ---------------------------------------------------- several processes -- */

#define READERS 3

static int publish_forever(void *data)
{
    fw2_tally tallies[ENDPOINTS];
    apr_int64_t number;
    fw2_board_count count;

    for (number = 1;; number = number % 1000000 + 1) {
        make_count(&count, tallies, number);
        fw2_board_publish(board, &count);
        fw2_sync_add(data, 1);
    }
    return 0;
}

/* Read many counts. Return 1 if one is torn, 2 if none could be read. */
static int read_many(void *data)
{
    apr_pool_t *own;
    int i, found = 0, torn = 0;

    (void)data;
    apr_pool_create(&own, NULL);
    for (i = 0; i < 2000000 && found < 2000 && !torn; i++) {
        const fw2_board_count *count = fw2_board_last(board, own);

        found += count->counts != 0;
        torn = count->counts && !is_whole(count);
        apr_pool_clear(own);
    }
    apr_pool_destroy(own);
    return torn ? 1 : found ? 0 : 2;
}

static void test_readers(void)
{
    fw2_shared *published = shared_memory(sizeof(*published));
    pid_t readers[READERS], writer;
    int i, wrong = 0;

    begin();
    writer = child_start(publish_forever, published);
    ok(wait_until(published, 1), "a process publishes counts without a pause");
    for (i = 0; i < READERS; i++) {
        readers[i] = child_start(read_many, NULL);
    }
    for (i = 0; i < READERS; i++) {
        wrong |= child_wait(readers[i]);
    }
    child_kill(writer);
    is_int(wrong, 0,
           "three other processes read whole counts beside the writer");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    alarm(120);
    test_new();
    test_counts();
    test_rates();
    test_state();
    test_no_linger();
    test_killed();
    test_wild_counts();
    test_wild_times();
    test_wild_rates();
    test_readers();
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
