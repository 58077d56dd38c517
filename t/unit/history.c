/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The room history: samples over several laps of the ring, clocks that jump,
 * marks, damaged slots, and readers in other threads and processes beside a
 * writer, which may be killed.
 */

#include <pthread.h>

#include "apr_general.h"

#include "shared/history.h"
#include "child.h"
#include "tap.h"

#define SEC   ((apr_time_t)1000000)
#define MIN   (60 * SEC)
#define HOUR  (60 * MIN)
#define START (29000000 * MIN) /* a whole minute in 2025 */

static fw2_history *history; /* shared with our children */
static fw2_sample out[FW2_HISTORY_MINUTES + 1];
static int n;

static void begin(void)
{
    memset(history, 0, sizeof(*history));
}

/* Make a sample whose fields all follow from its time, so that a mixture of two
 * samples is detected. */
static fw2_sample made_of(apr_time_t time)
{
    apr_int64_t first = (time - START) / 10;
    fw2_sample sample = { time,      5 * SEC,   first + 1, first + 2,
                          first + 3, first + 4, first + 5, 0 };

    return sample;
}

static int is_whole(const fw2_sample *s)
{
    apr_int64_t first = (s->time - START) / 10;

    return s->held == first + 1 && s->orphan == first + 2
           && s->timewait == first + 3 && s->closes == first + 4
           && s->severity == first + 5;
}

static void put_marked(apr_time_t time, apr_int64_t held, apr_uint64_t marks)
{
    fw2_sample sample = { time, 5 * SEC, held, 0, -1, 0, -1, marks };

    fw2_history_put(history, &sample);
}

static void put(apr_time_t time, apr_int64_t held, apr_int64_t orphan,
                apr_int64_t closes)
{
    fw2_sample sample = { time, 5 * SEC, held, orphan, -1, closes, -1, 0 };

    fw2_history_put(history, &sample);
}

static int recent(apr_time_t now)
{
    return n = fw2_history_recent(history, now, out);
}

static int day(apr_time_t now)
{
    return n = fw2_history_day(history, now, out);
}

/* Return the times of the samples that were read, as seconds since START. */
static const char *times(void)
{
    static char text[512];
    char *to = text;
    int i;

    *to = '\0';
    for (i = 0; i < n && to - text < 480; i++) {
        to += sprintf(to, "%s%d", i ? " " : "",
                      (int)((out[i].time - START) / SEC));
    }
    return text;
}

/* ------------------------------------------------------- order and laps -- */

static void test_order(void)
{
    apr_time_t now;

    begin();
    is_int(recent(START), 0, "an empty history has no sample");
    is_int(day(START), 0, "an empty history has no minute");
    put(START, 1, 2, 3);
    is_int(recent(START), 1, "one sample is read");
    ok(out[0].time == START && out[0].held == 1 && out[0].orphan == 2
           && out[0].closes == 3 && out[0].timewait == FW2_NOT_SAMPLED,
       "a sample is read as it was put");
    is_int(day(START), 1, "the present minute has the sample");
    for (now = START + 5 * SEC; now < START + 20 * SEC; now += 5 * SEC) {
        put(now, 0, 0, 0);
    }
    recent(now);
    is_str(times(), "0 5 10 15", "samples are read oldest first");
    recent(START + 12 * SEC);
    is_str(times(), "0 5 10", "no sample is later than now");
    recent(START + HOUR + 5 * SEC);
    is_str(times(), "10 15", "no sample is an hour old");
}

static void test_laps(void)
{
    apr_time_t now = START;
    int i, wrong = 0;

    begin();
    for (i = 0; i < 3 * FW2_HISTORY_RECENT + 7; i++, now += SEC) {
        fw2_sample sample = made_of(now);

        fw2_history_put(history, &sample);
        recent(now);
        wrong += n != (i < FW2_HISTORY_RECENT ? i + 1 : FW2_HISTORY_RECENT);
        wrong += out[n - 1].time != now || !is_whole(&out[0])
                 || out[0].time != now - (n - 1) * SEC;
    }
    is_int(wrong, 0, "the newest samples are read in three laps");
    begin();
    for (i = 0, now = START; i < 2 * 1440 + 9; i++, now += MIN) {
        put(now, i, 0, 0);
    }
    is_int(day(now - MIN), 1440, "a day of minutes is read of two days");
    for (i = 0, wrong = 0; i < n; i++) {
        wrong += out[i].time != now - (n - i) * MIN;
    }
    is_int(wrong, 0, "each minute of the day is read");
    is_int(recent(now - MIN), 60, "one sample a minute is read of an hour");
}

/* -------------------------------------------------------------- minutes -- */

static void test_minutes(void)
{
    int s;

    begin();
    for (s = 0; s < 180; s += 5) {
        put(START + s * SEC, s == 65 ? 900 : s, s == 115 ? 800 : 1, s);
    }
    day(START + 180 * SEC);
    is_str(times(), "55 115 175", "a minute has the time of its last sample");
    is_int(out[1].held, 900, "a minute has the highest number of held sockets");
    is_int(out[1].orphan, 800, "a minute has the highest number of orphans");
    is_int(out[1].closes, 115, "a minute has its last number of closes");
    is_int(out[1].interval, 60 * SEC, "the interval of a minute is a minute");
    is_int(out[1].timewait, FW2_NOT_SAMPLED,
           "a number that no sample has is unknown in the minute");
    is_int(out[2].held, 175, "the present minute has its highest numbers");

    begin();
    put(START, FW2_NOT_SAMPLED, 7, 1);
    put(START + SEC, 5, FW2_NOT_SAMPLED, 2);
    put(START + 2 * SEC, FW2_NOT_SAMPLED, FW2_NOT_SAMPLED, 3);
    day(START + MIN);
    ok(n == 1 && out[0].held == 5 && out[0].orphan == 7,
       "a minute has a number that one sample has");

    begin();
    for (s = 0; s < 1000; s++) {
        put(START + s * 1000, s, 0, 0); /* more than there are slots */
    }
    put(START + MIN, 0, 0, 0);
    day(START + MIN);
    is_int(out[0].held, 999,
           "a minute with more samples than slots has the highest number");
}

static void test_restart(void)
{
    begin();
    put_marked(START, 1, FW2_MARK_RESTART);
    put_marked(START + 5 * SEC, 50, 0);
    put_marked(START + 10 * SEC, 2, FW2_MARK_RESTART | FW2_MARK_CONFIG);
    put_marked(START + 15 * SEC, 3, 0);
    recent(START + 15 * SEC);
    ok(out[0].marks == FW2_MARK_RESTART && !out[1].marks && !out[3].marks,
       "a mark is on one sample");
    is_int(out[2].marks, FW2_MARK_RESTART | FW2_MARK_CONFIG,
           "two marks are on one sample");
    put_marked(START + 65 * SEC, 4, 0);
    day(START + 65 * SEC);
    is_str(times(), "5 15 65", "a restart begins a new minute");
    ok(out[0].held == 50 && out[1].held == 3,
       "the two sides of a restart are not mixed");
    ok(out[0].marks == FW2_MARK_RESTART && out[1].marks == 3 && !out[2].marks,
       "a minute has the marks of its samples");
    put_marked(START + 70 * SEC, 4, FW2_MARK_CONFIG);
    day(START + 70 * SEC);
    is_str(times(), "5 15 70",
           "a mark without a restart does not begin a minute");
    is_int(out[2].marks, FW2_MARK_CONFIG,
           "the present minute has the mark of its sample");
}

/* ------------------------------------------------------ gaps and clocks -- */

static void test_clocks(void)
{
    int s;

    begin();
    for (s = 0; s < 30; s += 5) {
        put(START + s * SEC, s, 0, 0);
    }
    for (s = 12; s < 22; s += 5) {
        put(START + s * SEC, s, 0, 0);
    }
    recent(START + 60 * SEC);
    is_str(times(), "0 5 10 12 17",
           "a clock set back removes samples of the future");
    put(START + 17 * SEC, 0, 0, 0);
    recent(START + 60 * SEC);
    is_int(n, 5, "no two samples have one time");
    recent(START + 14 * SEC);
    is_str(times(), "0 5 10 12",
           "a clock set back again keeps earlier samples");
    put(START - HOUR, 0, 0, 0);
    is_int(recent(START - HOUR), 1,
           "a clock set back by an hour keeps new samples only");
    put(START + 25 * HOUR, 0, 0, 0);
    is_int(recent(START + 25 * HOUR), 1,
           "a clock set forward by a day keeps new samples only");
    is_int(day(START + 25 * HOUR), 1,
           "a clock set forward by a day removes old minutes");

    begin();
    put(START + MIN, 5, 0, 0);
    put(START, 6, 0, 0);
    put(START + 5 * SEC, 7, 0, 0);
    put(START + MIN, 8, 0, 0);
    day(START + HOUR);
    is_str(times(), "5 60", "a repeated minute is read once");
    is_int(out[1].held, 8, "repeated minutes are not mixed");
}

static void test_neighbours(void)
{
    fw2_sample a = { START, 5 * SEC, 0, 0, 0, 100, 0, 0 };
    fw2_sample b = a;

    b.time += 5 * SEC;
    b.closes = 150;
    ok(fw2_history_follows(&b, &a), "a sample five seconds later follows");
    ok(fw2_history_rate(&b, &a) == 10,
       "50 closes in five seconds are ten a second");
    ok(!fw2_history_follows(&a, &b), "a sample does not follow a later one");
    ok(!fw2_history_follows(&a, &a), "a sample does not follow itself");
    b.time = START + 11 * SEC;
    ok(fw2_history_follows(&b, &a),
       "a sample follows though one may be missing");
    b.time++;
    ok(!fw2_history_follows(&b, &a),
       "a sample does not follow if more are missing");
    ok(fw2_history_rate(&b, &a) < 0, "missing samples have no rate");
    b.time = START + 5 * SEC;
    b.closes = 99;
    ok(fw2_history_rate(&b, &a) < 0, "a counter that was reset has no rate");
    a.closes = FW2_NOT_SAMPLED;
    ok(fw2_history_rate(&b, &a) < 0, "an unknown former number has no rate");
    a.closes = 1;
    b.closes = FW2_NOT_SAMPLED;
    ok(fw2_history_rate(&b, &a) < 0, "an unknown later number has no rate");
}

/* ------------------------------------------------ slots that are broken -- */

static void test_broken(void)
{
    unsigned int i;
    int s, wrong = 0;

    begin();
    for (s = 0; s < 25; s += 5) {
        fw2_sample sample = made_of(START + s * SEC);

        fw2_history_put(history, &sample);
    }
    for (i = 0; i < FW2_SAMPLE_WORDS; i++) {
        history->recent[2].words[i] ^= 1;
        recent(START + MIN);
        wrong += strcmp(times(), "0 5 15 20") != 0;
        history->recent[2].words[i] ^= 1;
    }
    is_int(wrong, 0, "a sample with a damaged bit is skipped");
    history->recent[3] = history->recent[0];
    recent(START + MIN);
    is_str(times(), "0 5 10 20", "a sample of another slot is skipped");
    history->recent[4].sum = 0;
    is_int(day(START + MIN), 1, "a minute consists of undamaged samples");
    is_int(out[0].time - START, 10 * SEC,
           "a minute has the time of the last undamaged sample");
}

/* Write impossible samples with a matching sum, as any process can. */
static void test_wild(void)
{
    fw2_sample wild = { START, APR_INT64_MAX, APR_INT64_MAX, APR_INT64_MIN,
                        -2,    APR_INT64_MAX, APR_INT64_MIN, ~(apr_uint64_t)0 };

    begin();
    fw2_history_put(history, &wild);
    wild.time = START + SEC;
    wild.closes = APR_INT64_MIN;
    wild.interval = APR_INT64_MIN;
    wild.marks = 0;
    fw2_history_put(history, &wild);
    recent(START + MIN);
    is_int(n, 2, "impossible samples are read");
    ok(out[0].interval <= FW2_HISTORY_DAY && out[1].interval == 0,
       "an interval is a day at most, and not below 0");
    ok(out[0].held > 0 && out[0].orphan == FW2_NOT_SAMPLED
           && out[0].timewait == FW2_NOT_SAMPLED
           && out[0].severity == FW2_NOT_SAMPLED,
       "a number below -1 is unknown");
    ok(fw2_history_follows(&out[1], &out[0])
           && fw2_history_rate(&out[1], &out[0]) < 0,
       "impossible samples have no rate");
    put(START + MIN, 0, 0, 0);
    day(START + MIN);
    ok(n == 2 && out[0].held > 0 && out[0].interval >= FW2_MINUTE,
       "a minute consists of impossible samples");
}

/* Damage the three numbers of written samples and minutes. */
static void test_damaged_numbers(void)
{
    static const apr_uint64_t wild[] = { 0, 1, FW2_HISTORY_RECENT,
                                         APR_INT64_MAX, ~(apr_uint64_t)0 };
    enum { WILD = sizeof(wild) / sizeof(wild[0]) };
    int i, wrong = 0;

    for (i = 0; i < WILD * WILD * WILD; i++) {
        begin();
        put(START, 1, 1, 1);
        history->samples = wild[i % WILD];
        history->minutes = wild[i / WILD % WILD];
        history->folded = wild[i / WILD / WILD];
        recent(START + MIN);
        wrong += n > 1;
        day(START + MIN);
        wrong += n > 1;
        put(START + 2 * MIN, 2, 2, 2);
        put(START + 2 * MIN + SEC, 3, 3, 3);
        put(START + 2 * MIN + 2 * SEC, 4, 4, 4);
        recent(START + 3 * MIN);
        wrong += !n || out[n - 1].held != 4;
        day(START + 3 * MIN);
        wrong += !n || out[n - 1].held != 4;
    }
    is_int(wrong, 0, "samples are read again three samples after damage");
}

/* ------------------------------------------------------ all at one time -- */

static fw2_shared over; /* 1: writers end */

static void write_one(apr_time_t time)
{
    fw2_sample sample = made_of(time);

    fw2_history_put(history, &sample);
}

/* The time from one sample of a writer to the next. */
static apr_interval_time_t step;

static apr_uint64_t written(void)
{
    return fw2_sync_read(&history->samples);
}

static void *write_all(void *unused)
{
    apr_time_t now = START;

    for (; !fw2_sync_read(&over); now += step) {
        write_one(now);
    }
    return unused;
}

/* Read samples, or minutes. With one writer the highest numbers of a minute are
 * those of its last sample, so is_whole() is true for a minute, too. */
static int read_some(fw2_sample *samples)
{
    apr_time_t now = START + (apr_time_t)written() * step;

    return step == SEC ? fw2_history_day(history, now, samples)
                       : fw2_history_recent(history, now, samples);
}

/* Return the number of wrong samples, or 1 if there are too few. */
static int read_all(void *unused)
{
    fw2_sample *samples = calloc(FW2_HISTORY_MINUTES + 1, sizeof(*samples));
    int i, round, found = 0, wrong = 0;

    (void)unused;
    for (round = 0; samples && round < 20000 && (round < 500 || found < 2000);
         round++) {
        int some = read_some(samples);

        for (i = 0; i < some; i++) {
            wrong += !is_whole(&samples[i])
                     || (i && samples[i].time <= samples[i - 1].time);
        }
        found += some;
    }
    free(samples);
    return wrong ? wrong : found < 2000;
}

static void *read_in_thread(void *wrong)
{
    *(int *)wrong = read_all(NULL);
    return NULL;
}

static void start_thread(pthread_t *thread, void *(*body)(void *), void *data)
{
    if (pthread_create(thread, NULL, body, data)) {
        bail_out("no thread");
    }
}

#define READERS 3

static void read_in_threads(const char *name)
{
    pthread_t reader[READERS];
    int wrong[READERS], all_wrong = 0, i;

    for (i = 0; i < READERS; i++) {
        start_thread(&reader[i], read_in_thread, &wrong[i]);
    }
    for (i = 0; i < READERS; i++) {
        pthread_join(reader[i], NULL);
        all_wrong += wrong[i];
    }
    is_int(all_wrong, 0, name);
}

static void read_beside(int writers, apr_interval_time_t its_step,
                        const char *name)
{
    pthread_t writer[2];
    int i;

    begin();
    fw2_sync_write(&over, 0);
    step = its_step;
    for (i = 0; i < writers; i++) {
        start_thread(&writer[i], write_all, NULL);
    }
    if (!wait_until(&history->samples, 3 * FW2_HISTORY_RECENT)) {
        bail_out("no writer writes");
    }
    read_in_threads(name);
    fw2_sync_write(&over, 1);
    for (i = 0; i < writers; i++) {
        pthread_join(writer[i], NULL);
    }
}

static void test_threads(void)
{
    read_beside(1, 10, "samples are whole beside a writer in a thread");
    read_beside(1, SEC, "minutes are whole beside a writer in a thread");
    read_beside(2, 10,
                "samples are whole beside two writers, though only one is "
                "allowed");
}

/* Write as fast as possible, after the last sample. */
static int write_forever(void *data)
{
    apr_time_t now = START + (apr_time_t)written() * step;

    (void)data;
    for (;; now += step) {
        write_one(now);
    }
    return 0;
}

static void test_processes(apr_interval_time_t its_step, const char *name)
{
    pid_t readers[READERS], writer;
    int i, wrong = 0;

    begin();
    step = its_step;
    writer = child_start(write_forever, NULL);
    if (!wait_until(&history->samples, 3 * FW2_HISTORY_RECENT)) {
        bail_out("no writer writes");
    }
    for (i = 0; i < READERS; i++) {
        readers[i] = child_start(read_all, NULL);
    }
    for (i = 0; i < READERS; i++) {
        wrong |= child_wait(readers[i]);
    }
    child_kill(writer);
    is_int(wrong, 0, name);
}

static int count_torn(void)
{
    int i, torn = 0;

    for (i = 0; i < n; i++) {
        torn += !is_whole(&out[i]);
    }
    return torn;
}

static void test_killed(void)
{
    int k, torn = 0, fewer = 0;

    begin();
    step = SEC;
    for (k = 0; k < 200; k++) {
        apr_uint64_t before = written();
        pid_t pid = child_start(write_forever, NULL);

        if (!wait_until(&history->samples, before + 50)) {
            bail_out("no writer writes");
        }
        child_kill(pid);
        recent(START + (apr_time_t)written() * SEC);
        fewer += n < FW2_HISTORY_RECENT - k - 1 && n < 49;
        torn += count_torn();
    }
    is_int(torn, 0, "samples are whole after each of 200 killed writers");
    is_int(fewer, 0, "a killed writer leaves one sample half-written at most");
    day(START + (apr_time_t)written() * SEC);
    ok(n && !count_torn(), "minutes are whole after 200 killed writers");
}

int main(void)
{
    apr_pool_t *pool;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    alarm(120);
    if (fw2_history_create(&history, pool) != APR_SUCCESS) {
        bail_out("no shared memory");
    }
    ok(sizeof(fw2_sample) == FW2_SAMPLE_WORDS * 8, "a sample is whole words");
    test_order();
    test_laps();
    test_minutes();
    test_restart();
    test_clocks();
    test_neighbours();
    test_broken();
    test_wild();
    test_damaged_numbers();
    test_threads();
    test_processes(10, "samples are whole beside a writer in a process");
    test_processes(SEC, "minutes are whole beside a writer in a process");
    test_killed();
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
