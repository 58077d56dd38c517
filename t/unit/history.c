/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The room history: what is written and what is read, over several laps, with
 * clocks that jump, with marks; and many threads and processes at once, some
 * of them killed.
 */

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/wait.h>

#include "apr_atomic.h"
#include "apr_general.h"

#include "fw2_history.h"
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

/* Every field of a sample follows from its time, so that one of two is seen. */
static fw2_sample made_of(apr_time_t time)
{
    fw2_sample sample = { time,     5 * SEC,  time + 1, time + 2,
                          time + 3, time + 4, time + 5, 0 };

    return sample;
}

static int is_whole(const fw2_sample *s)
{
    return s->held == s->time + 1 && s->orphan == s->time + 2
           && s->timewait == s->time + 3 && s->closes == s->time + 4
           && s->by_server == s->time + 5;
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

/* The times of what was read, as seconds since START. */
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

/* -------------------------------------------------------- order and laps -- */

static void test_order(void)
{
    apr_time_t now;

    begin();
    is_int(recent(START), 0, "empty: no sample");
    is_int(day(START), 0, "empty: no minute");
    put(START, 1, 2, 3);
    is_int(recent(START), 1, "one sample");
    ok(out[0].time == START && out[0].held == 1 && out[0].orphan == 2
           && out[0].closes == 3 && out[0].timewait == FW2_NOT_SAMPLED,
       "is as it was put");
    is_int(day(START), 1, "and is a minute's, though that is not over");
    for (now = START + 5 * SEC; now < START + 20 * SEC; now += 5 * SEC) {
        put(now, 0, 0, 0);
    }
    recent(now);
    is_str(times(), "0 5 10 15", "oldest first");
    recent(START + 12 * SEC);
    is_str(times(), "0 5 10", "none that is later than now");
    recent(START + HOUR + 5 * SEC);
    is_str(times(), "10 15", "none that is an hour old");
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
    is_int(wrong, 0, "three laps: always the newest ones");
    begin();
    for (i = 0, now = START; i < 2 * 1440 + 9; i++, now += MIN) {
        put(now, i, 0, 0);
    }
    is_int(day(now - MIN), 1440, "two days: a day of minutes");
    for (i = 0, wrong = 0; i < n; i++) {
        wrong += out[i].time != now - (n - i) * MIN;
    }
    is_int(wrong, 0, "one after the other");
    is_int(recent(now - MIN), 60, "of an hour, one a minute");
}

/* ---------------------------------------------------------------- minutes -- */

static void test_minutes(void)
{
    int s;

    begin();
    for (s = 0; s < 180; s += 5) {
        put(START + s * SEC, s == 65 ? 900 : s, s == 115 ? 800 : 1, s);
    }
    day(START + 180 * SEC);
    is_str(times(), "55 115 175", "a minute has its last sample's time");
    is_int(out[1].held, 900, "the highest held");
    is_int(out[1].orphan, 800, "the highest orphan");
    is_int(out[1].closes, 115, "the last number of closes");
    is_int(out[1].interval, 60 * SEC, "and stands for a minute");
    is_int(out[1].timewait, FW2_NOT_SAMPLED, "not known if it never was");
    is_int(out[2].held, 175, "the minute that is not over, too");

    begin();
    put(START, FW2_NOT_SAMPLED, 7, 1);
    put(START + SEC, 5, FW2_NOT_SAMPLED, 2);
    put(START + 2 * SEC, FW2_NOT_SAMPLED, FW2_NOT_SAMPLED, 3);
    day(START + MIN);
    ok(n == 1 && out[0].held == 5 && out[0].orphan == 7,
       "what is known once is known of the minute");

    begin();
    for (s = 0; s < 1000; s++) {
        put(START + s * 1000, s, 0, 0); /* more than there are slots */
    }
    put(START + MIN, 0, 0, 0);
    day(START + MIN);
    is_int(out[0].held, 999, "a minute of too many samples");
}

static void test_restart(void)
{
    begin();
    fw2_history_mark(history, FW2_MARK_RESTART);
    put(START, 1, 0, 10);
    put(START + 5 * SEC, 50, 0, 20);
    fw2_history_mark(history, FW2_MARK_RESTART);
    fw2_history_mark(history, FW2_MARK_CONFIG);
    put(START + 10 * SEC, 2, 0, 1);
    put(START + 15 * SEC, 3, 0, 2);
    recent(START + 15 * SEC);
    ok(out[0].marks == FW2_MARK_RESTART && !out[1].marks && !out[3].marks,
       "a mark is on one sample");
    is_int(out[2].marks, FW2_MARK_RESTART | FW2_MARK_CONFIG, "or two are");
    put(START + 65 * SEC, 4, 0, 3);
    day(START + 65 * SEC);
    is_str(times(), "5 15 65", "a minute for each side of a restart");
    ok(out[0].held == 50 && out[1].held == 3, "they are not mixed");
    ok(out[0].marks == FW2_MARK_RESTART && out[1].marks == 3 && !out[2].marks,
       "and have their marks");
    fw2_history_mark(history, FW2_MARK_CONFIG);
    put(START + 70 * SEC, 4, 0, 3);
    day(START + 70 * SEC);
    is_str(times(), "5 15 70", "other marks begin no minute");
    is_int(out[2].marks, FW2_MARK_CONFIG, "which has them nevertheless");
}

/* ---------------------------------------------------------------- leave -- */

static int claim(apr_time_t now, apr_interval_time_t interval)
{
    return fw2_history_claim(history, now, interval);
}

static apr_interval_time_t wait_from(apr_time_t now)
{
    return fw2_history_wait(history, now, 5 * SEC);
}

static void test_wait(void)
{
    begin();
    is_int(wait_from(START), 0, "no wait for the first");
    claim(START, 5 * SEC);
    is_int(wait_from(START), 5 * SEC, "an interval for the next");
    is_int(wait_from(START + 5 * SEC - 7), 7, "or what is left of it");
    is_int(wait_from(START + 5 * SEC), 0, "no more when it is due");
    is_int(wait_from(START + HOUR), 0, "nor later");
    is_int(wait_from(START - HOUR), 0, "nor where the clock is set back");
}

static void test_claim(void)
{
    begin();
    ok(claim(START, 5 * SEC), "the first at once");
    ok(!claim(START, 5 * SEC), "once");
    ok(!claim(START + 5 * SEC - 1, 5 * SEC), "not before it is due");
    ok(claim(START + 5 * SEC + 90, 5 * SEC), "late");
    ok(!claim(START + 10 * SEC - 1, 5 * SEC), "the next is not early");
    ok(claim(START + 10 * SEC, 5 * SEC), "nor late for that");
    ok(claim(START + 18 * SEC, 5 * SEC), "very late");
    ok(!claim(START + 22 * SEC, 5 * SEC), "the next keeps its distance");
    ok(claim(START + 23 * SEC, 5 * SEC), "of an interval");
    ok(claim(START + 100 * SEC, 5 * SEC), "after a long time");
    ok(!claim(START + 104 * SEC, 5 * SEC), "is another beat");

    ok(claim(START - HOUR, 5 * SEC), "the clock is set back");
    ok(!claim(START - HOUR + 4 * SEC, 5 * SEC), "and goes on");
    ok(claim(START - HOUR + 5 * SEC, 5 * SEC), "from there");
    ok(claim(START + 9 * HOUR, 5 * SEC), "it is set forward");
    ok(!claim(START + 9 * HOUR + SEC, 5 * SEC), "and goes on from there");
    ok(claim(START + 9 * HOUR - SEC / 2, 5 * SEC), "set back by a little");

    begin();
    claim(START, HOUR);
    ok(claim(START + SEC, SEC), "the interval is shorter now");
    ok(!claim(START + SEC, SEC), "once");
}

#define CLAIMERS 8
#define ROUNDS   2000

static apr_uint32_t won[ROUNDS];
static pthread_barrier_t barrier;

static void *claim_all(void *data)
{
    apr_time_t now = START;
    int i;

    (void)data;
    for (i = 0; i < ROUNDS; i++, now += 5 * SEC) {
        pthread_barrier_wait(&barrier);
        if (claim(now + (i % 2) * SEC, 5 * SEC)) {
            apr_atomic_inc32(&won[i]);
        }
    }
    return NULL;
}

static void start_thread(pthread_t *thread, void *(*body)(void *), void *data)
{
    if (pthread_create(thread, NULL, body, data)) {
        printf("Bail out! no thread\n");
        exit(1);
    }
}

static void test_claimers(void)
{
    pthread_t threads[CLAIMERS];
    int i, wrong = 0;

    begin();
    pthread_barrier_init(&barrier, NULL, CLAIMERS);
    for (i = 0; i < CLAIMERS; i++) {
        start_thread(&threads[i], claim_all, NULL);
    }
    for (i = 0; i < CLAIMERS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (i = 0; i < ROUNDS; i++) {
        wrong += won[i] != 1;
    }
    is_int(wrong, 0, "of eight threads, exactly one has leave each time");
}

/* --------------------------------------------------------- gaps and clocks -- */

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
    is_str(times(), "0 5 10 12 17", "set back: no sample from the future");
    put(START + 17 * SEC, 0, 0, 0);
    recent(START + 60 * SEC);
    is_int(n, 5, "nor two of one time");
    recent(START + 14 * SEC);
    is_str(times(), "0 5 10 12", "set back again: what was before that");
    put(START - HOUR, 0, 0, 0);
    is_int(recent(START - HOUR), 1, "set back by much: what is new");
    put(START + 25 * HOUR, 0, 0, 0);
    is_int(recent(START + 25 * HOUR), 1, "set forward by a day");
    is_int(day(START + 25 * HOUR), 1, "of which nothing is left");

    begin();
    put(START + MIN, 5, 0, 0);
    put(START, 6, 0, 0);
    put(START + 5 * SEC, 7, 0, 0);
    put(START + MIN, 8, 0, 0);
    day(START + HOUR);
    is_str(times(), "5 60", "minutes that come twice");
    is_int(out[1].held, 8, "are not mixed");
}

static void test_neighbours(void)
{
    fw2_sample a = { START, 5 * SEC, 0, 0, 0, 100, 0, 0 };
    fw2_sample b = a;

    b.time += 5 * SEC;
    b.closes = 150;
    ok(fw2_sample_follows(&b, &a), "five seconds later: follows");
    ok(fw2_sample_rate(&b, &a) == 10, "ten closes a second");
    ok(!fw2_sample_follows(&a, &b), "not the other way round");
    ok(!fw2_sample_follows(&a, &a), "nor after itself");
    b.time = START + 11 * SEC;
    ok(fw2_sample_follows(&b, &a), "one is missing: nearly follows");
    b.time++;
    ok(!fw2_sample_follows(&b, &a), "two are: does not");
    ok(fw2_sample_rate(&b, &a) < 0, "and there is no rate");
    b.time = START + 5 * SEC;
    b.closes = 99;
    ok(fw2_sample_rate(&b, &a) < 0, "none, where counting began anew");
    a.closes = FW2_NOT_SAMPLED;
    ok(fw2_sample_rate(&b, &a) < 0, "nor where it is not known before");
    a.closes = 1;
    b.closes = FW2_NOT_SAMPLED;
    ok(fw2_sample_rate(&b, &a) < 0, "nor after");
}

/* --------------------------------------------------- slots that are broken -- */

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
    is_int(wrong, 0, "one bit of one word: this sample is passed over");
    history->recent[3] = history->recent[0];
    recent(START + MIN);
    is_str(times(), "0 5 10 20", "a whole sample, but of another number");
    history->recent[4].sum = 0;
    is_int(day(START + MIN), 1, "the minute is made of what is left");
    is_int(out[0].time - START, 10 * SEC, "up to its last");
}

/* ------------------------------------------------------- all at one time -- */

static apr_uint32_t over;

static void write_one(apr_time_t time)
{
    fw2_sample sample = made_of(time);

    fw2_history_put(history, &sample);
}

/* What a writer's clock goes on by from sample to sample. */
static apr_interval_time_t step;

static void *write_all(void *data)
{
    apr_time_t now = START;

    (void)data;
    for (; !apr_atomic_read32(&over); now += step) {
        write_one(now);
    }
    return NULL;
}

/* Of one writer, a minute's highest is its last: so it is whole, too. */
static int read_some(fw2_sample *samples)
{
    apr_time_t now =
        START + (apr_time_t)apr_atomic_read64(&history->samples) * step;

    return step == SEC ? fw2_history_day(history, now, samples)
                       : fw2_history_recent(history, now, samples);
}

static void *read_all(void *data)
{
    fw2_sample *samples = calloc(FW2_HISTORY_MINUTES + 1, sizeof(*samples));
    apr_size_t wrong = 0;
    int i, round, found = 0;

    (void)data;
    for (round = 0; round < 1000; round++) {
        int some = read_some(samples);

        for (i = 0; i < some; i++) {
            wrong += !is_whole(&samples[i])
                     || (i && samples[i].time <= samples[i - 1].time);
        }
        found += some;
    }
    free(samples);
    printf("# %d read\n", found);
    return (void *)(wrong + (found > 1000 ? 0 : 1));
}

#define READERS 3

static void read_beside(int writers, apr_interval_time_t its_step,
                        const char *name)
{
    pthread_t writer[2], reader[READERS];
    apr_size_t all_wrong = 0;
    void *wrong;
    int i;

    begin();
    apr_atomic_set32(&over, 0);
    step = its_step;
    for (i = 0; i < writers; i++) {
        start_thread(&writer[i], write_all, NULL);
    }
    while (apr_atomic_read64(&history->samples) < 3 * FW2_HISTORY_RECENT) {
        usleep(100);
    }
    for (i = 0; i < READERS; i++) {
        start_thread(&reader[i], read_all, NULL);
    }
    for (i = 0; i < READERS; i++) {
        pthread_join(reader[i], &wrong);
        all_wrong += (apr_size_t)wrong;
    }
    is_int((long long)all_wrong, 0, name);
    apr_atomic_set32(&over, 1);
    for (i = 0; i < writers; i++) {
        pthread_join(writer[i], NULL);
    }
}

static void test_readers(void)
{
    read_beside(1, 10, "beside a writer, each sample read is whole");
    read_beside(1, SEC, "so is each minute");
    read_beside(2, 10, "beside two, too, though there should be but one");
}

/* Children that write as fast as they can, each killed over it. */
static void test_killed(void)
{
    int i, k, wrong = 0;

    begin();
    for (k = 0; k < 200; k++) {
        apr_uint64_t before = apr_atomic_read64(&history->samples);
        apr_time_t now = START + (apr_time_t)before * SEC;
        pid_t pid = fork();

        if (!pid) {
            for (;; now += SEC) {
                write_one(now);
            }
        }
        while (apr_atomic_read64(&history->samples) < before + 50) {
            usleep(100);
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        now = START + (apr_time_t)apr_atomic_read64(&history->samples) * SEC;
        recent(now);
        wrong += n < FW2_HISTORY_RECENT - k - 1 && n < 49;
        for (i = 0; i < n; i++) {
            wrong += !is_whole(&out[i]);
        }
    }
    is_int(wrong, 0, "200 writers are killed: what is read is whole");
    day(START + (apr_time_t)history->samples * SEC);
    for (i = 0; i < n; i++) {
        wrong += !is_whole(&out[i]);
    }
    ok(n && !wrong, "so are the minutes");
}

int main(void)
{
    apr_initialize();
    alarm(120);
    history = mmap(NULL, sizeof(*history), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ok(sizeof(fw2_sample) == FW2_SAMPLE_WORDS * 8, "a sample is whole words");
    test_order();
    test_laps();
    test_minutes();
    test_restart();
    test_wait();
    test_claim();
    test_claimers();
    test_clocks();
    test_neighbours();
    test_broken();
    test_readers();
    test_killed();
    apr_terminate();
    return done_testing();
}
