/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The room counters, by threads and across configurations. What it tells of
 * late takes minutes, so the clock can be set forward; all else is tested with
 * real servers.
 */

#include <pthread.h>
#include <stdlib.h>

#include "apr_general.h"

#include "fw2_counters.h"
#include "clock.h"
#include "tap.h"

#define THREADS 4
#define EACH    10000

static apr_pool_t *pool;
static fw2_counters *counters;
static fw2_vhost_id ids[3];

static void prepare(const char *const *names, int n)
{
    if (fw2_counters_prepare(&counters, names, ids, n, 4, pool)
        != APR_SUCCESS) {
        printf("Bail out! no shared memory\n");
        exit(1);
    }
}

static fw2_vhost_totals of(fw2_vhost_id id)
{
    int n;

    return fw2_counters_vhosts(counters, &n, pool)[id];
}

static void close_some(fw2_vhost_id id, int n, fw2_cause cause,
                       fw2_ending ending)
{
    fw2_closed closed = { cause, FW2_HTTP1, 0, 0 };

    while (n-- > 0) {
        fw2_counters_closed(counters, id, &closed);
        fw2_counters_taken(counters, -1, id);
        fw2_counters_ended(counters, -1, id, ending, 1000, 10);
    }
}

static void mark_after(time_t seconds)
{
    ahead += seconds;
    fw2_counters_mark(counters, apr_time_now());
}

static void test_late(void)
{
    static const char *const names[] = { "a", "b" };
    fw2_closed probe = { FW2_CAUSE_PEER, FW2_NEITHER, 0, 1 };
    fw2_vhost_totals totals;
    fw2_closer_totals closer;
    fw2_recent recent;
    int i;

    prepare(names, 2);
    close_some(ids[0], 1000, FW2_CAUSE_KEEPALIVE, FW2_ACKED);
    recent = of(ids[0]).recent;
    ok(recent.left_open == -1 && recent.causes[FW2_CAUSE_KEEPALIVE] == -1,
       "at first nothing is known of late");
    mark_after(0);
    mark_after(30);
    is_int(of(ids[0]).recent.left_open, -1, "nor after half a minute");
    close_some(ids[0], 20, FW2_CAUSE_KEEPALIVE, FW2_ACKED);
    ahead += 120;
    recent = of(ids[0]).recent;
    ok(recent.left_open == 10 && recent.causes[FW2_CAUSE_KEEPALIVE] == 10,
       "20 in two minutes are 10 a minute; those of before do not count");
    is_int(of(ids[1]).recent.left_open, 0, "another virtual host had none");
    mark_after(0);
    close_some(ids[0], 6, FW2_CAUSE_PEER, FW2_PEER_CLOSED);
    close_some(ids[0], 4, FW2_CAUSE_ERROR, FW2_EVICTED);
    fw2_counters_fallback(counters);
    ahead += 60;
    recent = of(ids[0]).recent;
    ok(recent.causes[FW2_CAUSE_PEER] == 6 && recent.causes[FW2_CAUSE_ERROR] == 4
           && !recent.causes[FW2_CAUSE_KEEPALIVE],
       "of the last minute, by cause");
    ok(recent.left_open == 4 && recent.evicted == 4,
       "who has closed has left nothing open");
    fw2_counters_closer(counters, &closer);
    ok(closer.recent_fallback == 1 && closer.fallback == 1, "fallbacks, too");
    mark_after(1);
    ahead += 30;
    is_int(of(ids[0]).recent.causes[FW2_CAUSE_PEER], 4,
           "the mark before the last one, while that one is too young");
    ahead += 1000;
    is_int(of(ids[0]).recent.left_open, -1, "what is long ago is not of late");
    for (i = 0; i < 20; i++) {
        mark_after(10);
    }
    close_some(ids[0], 100, FW2_CAUSE_KEEPALIVE, FW2_ACKED);
    for (i = 0; i < 6; i++) {
        mark_after(10);
    }
    ok(of(ids[0]).recent.left_open >= 85,
       "who looks often knows of the last minute, and little more");
    mark_after(10);
    is_int(of(ids[0]).recent.left_open, 0, "and soon of another one");
    probe.cause = FW2_CAUSE_PEER;
    fw2_counters_closed(counters, ids[0], &probe);
    probe.cause = FW2_CAUSE_TIMEOUT;
    fw2_counters_closed(counters, ids[0], &probe);
    ahead += 60;
    totals = of(ids[0]);
    ok(totals.probes == 2 && totals.recent.probes == 1,
       "of probes those that httpd closed");
}

static void test_configurations(void)
{
    static const char *const more[] = { "b", "c", "a" };
    fw2_vhost_id a = ids[0], b = ids[1];

    prepare(more, 3);
    ok(ids[2] == a && ids[0] == b, "a name keeps its place");
    is_int(of(a).endings[FW2_ACKED], 1120, "and its totals");
    is_int(of(ids[1]).endings[FW2_ACKED], 0, "a new one begins at 0");
}

static void *hammer(void *unused)
{
    int i;

    for (i = 0; i < EACH; i++) {
        close_some(ids[i % 3], 1, FW2_CAUSE_OTHER, FW2_SILENCE);
        if (i % 1000 == 0) {
            fw2_counters_mark(counters, apr_time_now());
        }
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[THREADS];
    apr_int64_t ended = 0;
    int i;

    for (i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, hammer, NULL);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (i = 0; i < 3; i++) {
        ended += of(ids[i]).endings[FW2_SILENCE];
    }
    is_int(ended, THREADS * EACH, "threads at full speed: none is lost");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_late();
    test_configurations();
    test_threads();
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
