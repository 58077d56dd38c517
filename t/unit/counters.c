/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The room counters: names and their ids, growth at a new configuration, log
 * lines about fallbacks, and threads and processes that add in parallel.
 */

#include <pthread.h>
#include <sched.h>

#include "apr_general.h"
#include "apr_strings.h"

#include "base/clock.h"
#include "shared/counters.h"
#include "child.h"
#include "tap.h"

static apr_pool_t *pool;
static fw2_counters *counters;
static fw2_vhost_id ids[100];

static void prepare(const char *const *names, int n)
{
    if (fw2_counters_prepare(&counters, names, ids, n, pool) != APR_SUCCESS) {
        bail_out("no shared memory");
    }
}

/* Begin without the counters of an old configuration. */
static void begin(const char *const *names, int n)
{
    counters = NULL;
    prepare(names, n);
}

static fw2_vhost_totals totals_of(fw2_vhost_id id)
{
    fw2_vhost_totals totals;

    fw2_counters_vhost(counters, id, &totals);
    return totals;
}

static fw2_server_totals server(void)
{
    fw2_server_totals totals;

    fw2_counters_server(counters, &totals);
    return totals;
}

static void close_some(fw2_vhost_id id, int n, fw2_cause cause,
                       fw2_ending ending)
{
    fw2_closed closed = { cause, FW2_HTTP1, 0, 0, FW2_IDLES };

    while (n-- > 0) {
        fw2_counters_closed(counters, id, &closed);
        fw2_counters_ended(counters, id, ending, 1000, 10);
    }
}

/* Make the names `host-first` to `host-(first + n - 1)`. */
static const char **make_names(int first, int n)
{
    const char **names = apr_palloc(pool, (apr_size_t)n * sizeof(*names));
    int i;

    for (i = 0; i < n; i++) {
        names[i] = apr_psprintf(pool, "host-%d", first + i);
    }
    return names;
}

/* --------------------------------------------------------------- adding -- */

static void test_closed(void)
{
    static const char *const names[] = { "a", "b" };
    fw2_closed closed = { FW2_CAUSE_KEEPALIVE, FW2_HTTP2, 1, 0,
                          FW2_IDLE_EXPIRED };
    fw2_closed probe = { FW2_CAUSE_TIMEOUT, FW2_NEITHER, 0, 1, FW2_IDLES };
    fw2_vhost_totals totals;

    begin(names, 2);
    fw2_counters_closed(counters, ids[0], &closed);
    fw2_counters_closed(counters, ids[0], &probe);
    probe.cause = FW2_CAUSE_PEER;
    fw2_counters_closed(counters, ids[0], &probe);
    totals = totals_of(ids[0]);
    is_str(totals.vhost, "a", "totals have the name of their virtual host");
    ok(totals.causes[FW2_CAUSE_KEEPALIVE] == 1
           && totals.causes[FW2_CAUSE_TIMEOUT] == 1
           && totals.causes[FW2_CAUSE_PEER] == 1,
       "connections are counted by cause");
    ok(totals.closes[FW2_BY_SERVER] == 2 && totals.closes[FW2_BY_PEER] == 1,
       "causes are added up by the side that closed first");
    ok(totals.connections[FW2_HTTP2] == 1
           && totals.connections[FW2_NEITHER] == 2,
       "connections are counted by protocol");
    ok(totals.idle[FW2_IDLE_EXPIRED] == 1 && !totals.idle[FW2_IDLE_IN_TIME]
           && !totals.idle[FW2_IDLE_LATE],
       "connections that ended idle are counted by side and time");
    is_int(totals.tls, 1, "encrypted connections are counted");
    ok(totals.probes == 2 && totals.given_up == 1,
       "probes are counted, with those that httpd closed first");
    totals = totals_of(ids[1]);
    ok(!totals.causes[FW2_CAUSE_KEEPALIVE] && !totals.probes && !totals.tls,
       "another virtual host has no connections");
}

static void test_ended(void)
{
    static const char *const names[] = { "a" };
    fw2_vhost_totals totals;
    apr_int64_t sum = 0;
    int i, wrong = 0;

    begin(names, 1);
    for (i = 0; i < FW2_BOUNDS; i++) {
        fw2_counters_ended(counters, ids[0], FW2_SILENCE, fw2_bounds[i], 0);
        sum += fw2_bounds[i];
    }
    fw2_counters_ended(counters, ids[0], FW2_TOTAL, fw2_bounds[i - 1] + 1, 700);
    sum += fw2_bounds[i - 1] + 1;
    totals = totals_of(ids[0]);
    for (i = 0; i <= FW2_BOUNDS; i++) {
        wrong += totals.linger.n[i] != 1;
    }
    is_int(wrong, 0, "a bound belongs to the class below it");
    is_int(totals.linger.sum, sum, "the times of lingers are added up");
    ok(totals.endings[FW2_SILENCE] == FW2_BOUNDS
           && totals.endings[FW2_TOTAL] == 1,
       "lingers are counted by ending");
    is_int(totals.drained, 700, "drained bytes are added up");
    fw2_counters_invalid(counters);
    fw2_counters_lost(counters, 30);
    fw2_counters_lost(counters, 4);
    ok(server().invalid == 1 && server().lost == 34,
       "invalid messages and lost lingers are counted");
}

static void test_fallback(void)
{
    static const char *const names[] = { "a" };
    apr_time_t now = apr_time_from_sec(1700000000);

    begin(names, 1);
    ok(fw2_counters_fallback(counters, FW2_QUEUE_FULL, now),
       "the first fallback is to be logged");
    ok(!fw2_counters_fallback(counters, FW2_QUEUE_FULL, now),
       "the next fallback is not to be logged");
    ok(fw2_counters_fallback(counters, FW2_NO_PROCESS, now),
       "a fallback for another reason is to be logged");
    ok(!fw2_counters_fallback(counters, FW2_QUEUE_FULL,
                              now + apr_time_from_sec(600) - 1),
       "a fallback within ten minutes is not to be logged");
    ok(fw2_counters_fallback(counters, FW2_QUEUE_FULL,
                             now + apr_time_from_sec(600)),
       "a fallback after ten minutes is to be logged");
    ok(!fw2_counters_fallback(counters, FW2_QUEUE_FULL,
                              now + apr_time_from_sec(900)),
       "ten minutes begin with the last log line");
    ok(fw2_counters_fallback(counters, FW2_QUEUE_FULL, now),
       "a fallback is to be logged after the clock was set back");
    ok(server().fallback[FW2_QUEUE_FULL] == 6
           && server().fallback[FW2_NO_PROCESS] == 1
           && !server().fallback[FW2_CANNOT_LINGER],
       "fallbacks are counted by reason, logged or not");
}

/* --------------------------------------------------------------- trends -- */

/* Return the trend of the first name as text: the number of known intervals, and
 * for each interval with connections its age in intervals, and their number. */
static const char *trend(void)
{
    apr_int64_t n[FW2_TREND];
    const char *text = "";
    int i, known = 0;

    fw2_counters_trend(counters, ids[0], n);
    for (i = 0; i < FW2_TREND; i++) {
        known += n[i] >= 0;
        if (n[i] > 0) {
            text =
                apr_psprintf(pool, "%s, %d:%d", text, FW2_TREND - i, (int)n[i]);
        }
    }
    return apr_psprintf(pool, "%d%s", known, text);
}

static void test_trend(void)
{
    static const char *const names[] = { "a" };
    const apr_time_t start = 1000 * FW2_TREND_STEP + 7;
    apr_time_t now = start;

    begin(names, 1);
    close_some(ids[0], 9, FW2_CAUSE_OTHER, FW2_ACKED);
    is_str(trend(), "0", "a trend needs a note");
    fw2_counters_note(counters, now);
    is_str(trend(), "0", "a trend needs a second note");
    close_some(ids[0], 4, FW2_CAUSE_OTHER, FW2_ACKED);
    fw2_counters_note(counters, now + FW2_TREND_STEP - 8);
    is_str(trend(), "0", "an interval counts once it is over");
    fw2_counters_note(counters, now += FW2_TREND_STEP);
    is_str(trend(), "1, 1:4", "a past interval has its connections");
    close_some(ids[0], 5, FW2_CAUSE_PEER, FW2_ACKED);
    fw2_counters_note(counters, now += 3 * FW2_TREND_STEP);
    is_str(trend(), "4, 4:4, 3:5",
           "the first interval without a note has all that "
           "ended since the last note");
    fw2_counters_note(counters, now += 27 * FW2_TREND_STEP);
    is_str(trend(), "30, 30:5", "an interval is removed after an hour");
    close_some(ids[0], 6, FW2_CAUSE_OTHER, FW2_ACKED);
    fw2_counters_note(counters, now += 500 * FW2_TREND_STEP);
    is_str(trend(), "0", "a trend is removed after a long time without notes");
    close_some(ids[0], 2, FW2_CAUSE_OTHER, FW2_ACKED);
    fw2_counters_note(counters, start);
    is_str(trend(), "0", "a clock that was set back removes the trend");
    close_some(ids[0], 3, FW2_CAUSE_OTHER, FW2_ACKED);
    fw2_counters_note(counters, start + FW2_TREND_STEP);
    is_str(trend(), "1, 1:3",
           "the trend continues after the clock was set back");
}

static int inherit_trend(void *data)
{
    fw2_counters_inherit(counters);
    fw2_counters_note(counters, *(const apr_time_t *)data);
    return 0;
}

static void test_trend_grows(void)
{
    static const char *const names[] = { "gone", "a" };
    apr_time_t now = 1000 * FW2_TREND_STEP;

    begin(names, 2);
    fw2_counters_note(counters, now);
    close_some(ids[1], 4, FW2_CAUSE_OTHER, FW2_ACKED);
    fw2_counters_note(counters, now += FW2_TREND_STEP);
    prepare(make_names(0, 90), 90);
    prepare(&names[1], 1);
    now += FW2_TREND_STEP;
    is_int(child_wait(child_start(inherit_trend, &now)), 0,
           "a closer process inherits trends");
    is_str(trend(), "2, 2:4", "the trend of a name survives the growth");
    fw2_counters_unmap_former(counters);
}

/* ---------------------------------------------------------------- names -- */

static void test_names(void)
{
    static const char *const names[] = { "a", "b", "a", "", "b" };
    char endless[3][201];
    const char *cut[] = { endless[0], endless[1], endless[2] };
    int i;

    begin(names, 5);
    ok(ids[0] == ids[2] && ids[1] == ids[4] && ids[0] != ids[1],
       "virtual hosts of one name share an id");
    is_int(fw2_counters_named(counters), 3, "three different names have ids");
    is_str(totals_of(ids[3]).vhost, "", "an empty name has an id");
    ok(ids[0] < fw2_counters_places(counters)
           && ids[3] < fw2_counters_places(counters),
       "ids are below the number of places");
    for (i = 0; i < 3; i++) {
        memset(endless[i], 'x', 200);
        endless[i][200] = '\0';
    }
    endless[1][127] = 'y';
    endless[2][126] = 'y';
    begin(cut, 3);
    is_int((long long)strlen(totals_of(ids[0]).vhost), 127,
           "a name of 200 bytes is cut to 127");
    ok(ids[0] == ids[1], "names with the same first 127 bytes share an id");
    ok(ids[0] != ids[2], "names that differ in byte 127 do not share an id");
}

static void test_same_memory(void)
{
    static const char *const first[] = { "a", "b" };
    static const char *const second[] = { "c", "b" };
    static const char *const third[] = { "a" };
    fw2_counters *before;
    fw2_vhost_id a, b;
    int layout;

    begin(first, 2);
    before = counters;
    layout = fw2_counters_layout(counters);
    a = ids[0];
    b = ids[1];
    close_some(a, 7, FW2_CAUSE_OTHER, FW2_ACKED);
    prepare(second, 2);
    ok(counters == before && ids[1] == b && ids[0] != a && ids[0] != b,
       "a new name gets a new id if a place is free");
    is_int(totals_of(ids[0]).endings[FW2_ACKED], 0, "a new name begins at 0");
    is_int(fw2_counters_layout(counters), layout,
           "the layout stays while names keep their ids");
    fw2_counters_inherit(counters);
    fw2_counters_unmap_former(counters);
    prepare(third, 1);
    ok(ids[0] == a && totals_of(a).endings[FW2_ACKED] == 7,
       "a name that returns keeps its totals");
}

/* --------------------------------------------------------------- growth -- */

/* Grow to counters in new memory, with other ids for the names. */
static void grow(void)
{
    const char **names = make_names(0, 90);
    fw2_counters *before = counters;
    int layout = fw2_counters_layout(counters);

    names[89] = "a";
    prepare(names, 90);
    ok(counters != before, "counters grow if there are too few places");
    ok(fw2_counters_layout(counters) != layout,
       "the layout changes when counters grow");
}

static int inherit(void *data)
{
    fw2_counters_inherit(counters);
    return totals_of(ids[89]).endings[FW2_ACKED] != *(const int *)data;
}

static void test_growth(void)
{
    static const char *const names[] = { "gone", "a" };
    apr_time_t now = apr_time_from_sec(1700000000);
    int expected = 8;

    begin(names, 2);
    close_some(ids[0], 3, FW2_CAUSE_OTHER, FW2_STOPPED);
    close_some(ids[1], 5, FW2_CAUSE_ERROR, FW2_ACKED);
    fw2_counters_fallback(counters, FW2_QUEUE_FULL, now);
    fw2_counters_fallback(counters, FW2_CANNOT_LINGER, now);
    fw2_counters_lost(counters, 9);
    grow();
    is_int(totals_of(ids[89]).endings[FW2_ACKED], 0,
           "grown counters begin at 0");
    close_some(ids[89], 3, FW2_CAUSE_ERROR, FW2_ACKED);
    fw2_counters_fallback(counters, FW2_QUEUE_FULL, now + 1);
    is_int(child_wait(child_start(inherit, &expected)), 0,
           "a closer process inherits the totals of a name");
    is_int(totals_of(ids[89]).endings[FW2_ACKED], 8,
           "all processes see inherited totals");
    ok(server().fallback[FW2_QUEUE_FULL] == 2 && server().lost == 9,
       "the totals of the server are inherited");
    ok(!fw2_counters_fallback(counters, FW2_CANNOT_LINGER, now + 2)
           && !fw2_counters_fallback(counters, FW2_QUEUE_FULL, now + 2),
       "a log line before the growth delays the next one");
    fw2_counters_unmap_former(counters);
    fw2_counters_inherit(counters);
    fw2_counters_unmap_former(counters);
    is_int(totals_of(ids[89]).endings[FW2_ACKED], 8,
           "totals are inherited once");
    is_int(totals_of(ids[0]).endings[FW2_STOPPED], 0,
           "the totals of a removed name are not inherited");
}

/* Add to the old counters, like a child of the old configuration. */
static int use_former(void *data)
{
    fw2_shared *step = data;

    if (!wait_until(step, 1)) {
        return 2;
    }
    close_some(ids[0], 5, FW2_CAUSE_OTHER, FW2_ACKED);
    return totals_of(ids[0]).endings[FW2_ACKED] != 6;
}

static void test_former_children(void)
{
    static const char *const names[] = { "a" };
    fw2_shared *step = shared_memory(sizeof(*step));
    pid_t pid;

    begin(names, 1);
    close_some(ids[0], 1, FW2_CAUSE_OTHER, FW2_ACKED);
    pid = child_start(use_former, step);
    grow();
    fw2_counters_inherit(counters);
    fw2_counters_unmap_former(counters);
    fw2_sync_write(step, 1);
    is_int(child_wait(pid), 0,
           "old children add to counters that the parent has unmapped");
    is_int(totals_of(ids[89]).endings[FW2_ACKED], 1,
           "new counters do not get the additions of old children");
}

/* Grow again before the totals are inherited. */
static void test_two_growths(void)
{
    static const char *const names[] = { "a" };
    fw2_vhost_id more[200];

    begin(names, 1);
    close_some(ids[0], 1, FW2_CAUSE_OTHER, FW2_ACKED);
    grow();
    close_some(ids[89], 2, FW2_CAUSE_OTHER, FW2_ACKED);
    is_int(fw2_counters_prepare(&counters, make_names(0, 200), more, 200, pool),
           APR_SUCCESS, "counters grow twice");
    fw2_counters_inherit(counters);
    fw2_counters_unmap_former(counters);
    is_int(totals_of(more[0]).endings[FW2_ACKED], 0,
           "other names have no totals after two growths");
    prepare(names, 1);
    is_int(fw2_counters_named(counters), 201,
           "a name is added after two growths");
}

/* ------------------------------------------------ twenty thousand names -- */

#define MANY 20000
#define FEW  1000

/* Return the processor time of preparing, growing and inheriting so many
 * names. */
static apr_interval_time_t time_for(int n)
{
    apr_pool_t *own = pool, *scratch;
    fw2_vhost_id *many;
    apr_interval_time_t begun;
    const char **names;

    apr_pool_create(&scratch, own);
    pool = scratch;
    names = make_names(0, n + FEW);
    many = apr_palloc(scratch, (apr_size_t)(n + FEW) * sizeof(*many));
    begun = fw2_clock_cpu();
    counters = NULL;
    if (fw2_counters_prepare(&counters, names, many, n, scratch) != APR_SUCCESS
        || fw2_counters_prepare(&counters, names, many, n + FEW, scratch)
               != APR_SUCCESS) {
        bail_out("no shared memory");
    }
    fw2_counters_inherit(counters);
    fw2_counters_unmap_former(counters);
    begun = fw2_clock_cpu() - begun;
    pool = own;
    apr_pool_destroy(scratch);
    return begun;
}

/* True if a name of many takes about as long as a name of few; with quadratic
 * time, a name of many takes ten times as long. */
static int is_linear(void)
{
    apr_interval_time_t few = 0, many = time_for(MANY);
    int i;

    for (i = 0; i < (MANY + FEW) / (FEW + FEW); i++) {
        few += time_for(FEW);
    }
    printf("# %d ms for %d names, %d ms for as many in small sets\n",
           (int)(many / 1000), MANY, (int)(few / 1000));
    return many < 5 * few;
}

static void test_many_names(void)
{
    const char **names = make_names(0, MANY);
    fw2_vhost_id *many = apr_palloc(pool, MANY * sizeof(*many));
    int i, wrong = 0;

    begin(names, 1);
    if (fw2_counters_prepare(&counters, names, many, MANY, pool)
        != APR_SUCCESS) {
        bail_out("no shared memory");
    }
    for (i = 0; i < MANY; i++) {
        wrong += strcmp(totals_of(many[i]).vhost, names[i]) != 0;
    }
    is_int(wrong, 0, "each of 20,000 names has an id of its own");
    ok(is_linear() || is_linear() || is_linear(),
       "the time for names is linear in their number");
}

/* ------------------------------------------------- all at the same time -- */

#define THREADS   4
#define PROCESSES 4
#define EACH      20000

static void *add_in_thread(void *unused)
{
    int i;

    for (i = 0; i < EACH; i++) {
        close_some(ids[i % 3], 1, FW2_CAUSE_OTHER, FW2_SILENCE);
        (void)totals_of(ids[i % 3]);
    }
    return unused;
}

/* Return the number of fallbacks to log, as the exit status. */
static int add_in_process(void *data)
{
    apr_time_t now = apr_time_from_sec(1700000000);
    int i, logged = 0;

    (void)data;
    for (i = 0; i < EACH; i++) {
        close_some(ids[i % 3], 1, FW2_CAUSE_OTHER, FW2_TOTAL);
        logged += fw2_counters_fallback(counters, FW2_NO_PROCESS, now);
    }
    return logged;
}

static apr_int64_t sum_of(fw2_ending ending)
{
    apr_int64_t sum = 0;
    int i;

    for (i = 0; i < 3; i++) {
        sum += totals_of(ids[i]).endings[ending];
    }
    return sum;
}

static void test_same_time(void)
{
    static const char *const names[] = { "a", "b", "c" };
    pthread_t threads[THREADS];
    pid_t pids[PROCESSES];
    int i, logged = 0;

    begin(names, 3);
    for (i = 0; i < PROCESSES; i++) {
        pids[i] = child_start(add_in_process, NULL);
    }
    for (i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, add_in_thread, NULL)) {
            bail_out("no thread");
        }
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (i = 0; i < PROCESSES; i++) {
        logged += child_wait(pids[i]);
    }
    is_int(sum_of(FW2_SILENCE), THREADS * EACH,
           "each linger that a thread counts is counted");
    is_int(sum_of(FW2_TOTAL), PROCESSES * EACH,
           "each linger that a process counts is counted");
    is_int(server().fallback[FW2_NO_PROCESS], PROCESSES * EACH,
           "each fallback that a process counts is counted");
    is_int(logged, 1, "one process of four logs a fallback");
}

#define RACERS 2
#define ROUNDS 20000

static fw2_shared arrived;           /* at the beginning of any round */
static fw2_shared logged_in[ROUNDS]; /* log lines of each round */

/* Let all threads begin a round within nanoseconds, which a barrier cannot do. */
static void begin_round(int round)
{
    int spins = 0;

    fw2_sync_add(&arrived, 1);
    while (fw2_sync_read(&arrived) < ((apr_uint64_t)round + 1) * RACERS) {
        if (++spins % 1000 == 0) {
            sched_yield();
        }
    }
}

static void *fall_back(void *unused)
{
    apr_time_t now = apr_time_from_sec(1700000000);
    int i;

    for (i = 0; i < ROUNDS; i++, now += apr_time_from_sec(600)) {
        begin_round(i);
        if (fw2_counters_fallback(counters, FW2_QUEUE_FULL, now)) {
            fw2_sync_add(&logged_in[i], 1);
        }
    }
    return unused;
}

static void test_log_once(void)
{
    static const char *const names[] = { "a" };
    pthread_t threads[RACERS];
    int i, other = 0;

    begin(names, 1);
    for (i = 0; i < RACERS; i++) {
        if (pthread_create(&threads[i], NULL, fall_back, NULL)) {
            bail_out("no thread");
        }
    }
    for (i = 0; i < RACERS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (i = 0; i < ROUNDS; i++) {
        other += fw2_sync_read(&logged_in[i]) != 1;
    }
    is_int(other, 0, "one thread of two logs a fallback in each ten minutes");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    alarm(120);
    test_closed();
    test_ended();
    test_fallback();
    test_trend();
    test_trend_grows();
    test_names();
    test_same_memory();
    test_growth();
    test_former_children();
    test_two_growths();
    test_many_names();
    test_same_time();
    test_log_once();
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
