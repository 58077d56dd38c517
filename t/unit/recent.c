/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The room recent: the mark that a rate begins at, and rates of any numbers. */

#include "apr_general.h"

#include "base/recent.h"
#include "child.h"
#include "tap.h"

#define SEC   apr_time_from_sec(1)
#define MIN   (60 * SEC)
#define START (1000 * SEC)

#define COUNTERS 3

static apr_pool_t *pool;
static fw2_recent *recent;

/* Make a mark whose counters follow from its time. */
static void mark(apr_time_t now)
{
    apr_int64_t *counters = fw2_recent_mark(recent, now);
    int i;

    for (i = 0; i < COUNTERS; i++) {
        counters[i] = now + i;
    }
}

/* Return the age of the mark that is found, or -1 without one; check its
 * counters. */
static apr_interval_time_t over_at(apr_time_t now)
{
    apr_interval_time_t over = 77;
    const apr_int64_t *then = fw2_recent_then(recent, now, &over);
    int i;

    if (!then) {
        return over ? -2 : -1;
    }
    for (i = 0; i < COUNTERS; i++) {
        if (then[i] != now - over + i) {
            return -3;
        }
    }
    return over;
}

static void test_first_minute(void)
{
    recent = fw2_recent_create(COUNTERS, pool);
    is_int(over_at(START), -1, "there is no mark before the first one");
    ok(fw2_recent_is_due(recent, START), "the first mark is due immediately");
    mark(START);
    ok(!fw2_recent_is_due(recent, START + 15 * SEC - 1),
       "no mark is due within a quarter of a minute");
    ok(fw2_recent_is_due(recent, START + 15 * SEC),
       "the next mark is due after a quarter of a minute");
    is_int(over_at(START + MIN - 1), -1, "no mark is used in the first minute");
    is_int(over_at(START + MIN), MIN, "the first mark is used after a minute");
    is_int(over_at(START + 10 * MIN), 10 * MIN,
           "a mark is used for ten minutes");
    is_int(over_at(START + 10 * MIN + 1), -1,
           "a mark that is older than ten minutes is not used");
    ok(fw2_recent_is_due(recent, START + 20 * MIN),
       "a mark is due after a long time");
}

/* Marks are made only when the room is asked. */
static void test_look_every(apr_interval_time_t step)
{
    apr_time_t now;
    apr_interval_time_t most = 0, least = 20 * MIN, over;
    int wrong = 0;

    recent = fw2_recent_create(COUNTERS, pool);
    for (now = START; now < START + 60 * MIN; now += step) {
        over = over_at(now);
        if (now >= START + MIN + 15 * SEC + step) {
            most = over > most ? over : most;
            least = over < least ? over : least;
        }
        wrong += over < -1;
        if (fw2_recent_is_due(recent, now)) {
            mark(now);
        }
    }
    is_int(wrong, 0, "each mark has the counters of its time");
    ok(least >= MIN && most <= MIN + 15 * SEC + 2 * step,
       "a look every %d s uses marks that are %d s to %d s old",
       (int)(step / SEC), (int)(least / SEC), (int)(most / SEC));
}

static void test_pause(void)
{
    apr_time_t now;

    recent = fw2_recent_create(COUNTERS, pool);
    for (now = START; now < START + 5 * MIN; now += 15 * SEC) {
        mark(now);
    }
    now += 9 * MIN;
    is_int(over_at(now), 9 * MIN + 15 * SEC,
           "the newest mark is used after a pause of nine minutes");
    now += 2 * MIN;
    is_int(over_at(now), -1, "no mark is used after a longer pause");
    mark(now);
    is_int(over_at(now + 59 * SEC), -1,
           "no mark is used in the first minute after a long pause");
    is_int(over_at(now + MIN), MIN,
           "a new mark is used a minute after a long pause");
}

static void test_rates(void)
{
    is_int(fw2_recent_per_minute(160, 100, MIN), 60,
           "60 in a minute are 60 a minute");
    is_int(fw2_recent_per_minute(160, 100, 2 * MIN), 30,
           "60 in two minutes are 30 a minute");
    is_int(fw2_recent_per_minute(1, 0, 2 * MIN), 1, "a half is rounded up");
    is_int(fw2_recent_per_minute(1, 0, 2 * MIN + 1), 0,
           "less than a half is rounded down");
    is_int(fw2_recent_per_minute(100, 100, MIN), 0,
           "no event makes a rate of 0");
    is_int(fw2_recent_per_minute(99, 100, MIN), 0,
           "a counter that was reset has a rate of 0");
    is_int(fw2_recent_per_minute(99, -1, MIN), -1,
           "the rate is unknown if the former number is unknown");
    is_int(fw2_recent_per_minute(99, 1, 0), -1,
           "the rate is unknown without a time");
    is_int(fw2_recent_per_minute(99, 1, -MIN), -1,
           "the rate is unknown with a time below 0");
    is_int(fw2_recent_per_minute(-1, 5, MIN), 0,
           "the rate is 0 if the number became unknown");
}

/* The undefined-behavior sanitizer checks the arithmetic. */
static void test_damaged_numbers(void)
{
    static const apr_int64_t numbers[] = {
        APR_INT64_MIN, APR_INT64_MIN + 1, -1,           0, 1,
        60000000,      APR_INT64_MAX - 1, APR_INT64_MAX
    };
    enum { NUMBERS = sizeof(numbers) / sizeof(numbers[0]) };
    int i, j, k, wrong = 0;

    for (i = 0; i < NUMBERS; i++) {
        for (j = 0; j < NUMBERS; j++) {
            for (k = 0; k < NUMBERS; k++) {
                wrong +=
                    fw2_recent_per_minute(numbers[i], numbers[j], numbers[k])
                    < -1;
            }
        }
    }
    for (i = 0; i < 100000; i++) {
        wrong += fw2_recent_per_minute((apr_int64_t)random_number(),
                                       (apr_int64_t)random_number(),
                                       (apr_int64_t)random_number())
                 < -1;
    }
    is_int(wrong, 0, "damaged numbers make no rate below -1");
    ok(fw2_recent_per_minute(APR_INT64_MAX, 0, MIN) > 0,
       "the rate of the largest number is above 0");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_first_minute();
    test_look_every(SEC);
    test_look_every(7 * SEC);
    test_look_every(20 * SEC);
    test_look_every(61 * SEC);
    test_look_every(5 * MIN);
    test_pause();
    test_rates();
    test_damaged_numbers();
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
