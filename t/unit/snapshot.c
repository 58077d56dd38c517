/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The room snapshot, with real counts of the real tables, by threads and by
 * processes. Three things are put between libc and the room: the clock can be
 * set forward, a count can be stopped in its middle, and the kernel can be said
 * to have more sockets than there are.
 */

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "apr_atomic.h"
#include "apr_general.h"
#include "apr_strings.h"

#include "fw2_snapshot.h"
#include "tap.h"

#define READERS 16

static apr_pool_t *pool;
static fw2_endpoint endpoint;

/* ---------------------------------------- between libc and the room ----- */

static apr_uint32_t ahead;  /* atomic: seconds that the clock is */
static apr_uint32_t held;   /* atomic: counts that are under way */
static apr_uint32_t hold;   /* atomic: whether to stop the first of them */
static apr_uint32_t cost;   /* atomic: milliseconds of CPU that each takes */
static __thread long spent; /* milliseconds of CPU beside the real ones */

int clock_gettime(clockid_t clock, struct timespec *t)
{
    int status = (int)syscall(SYS_clock_gettime, clock, t);

    if (clock == CLOCK_THREAD_CPUTIME_ID) {
        t->tv_sec += spent / 1000;
        t->tv_nsec += spent % 1000 * 1000000;
        if (t->tv_nsec >= 1000000000) {
            t->tv_nsec -= 1000000000;
            t->tv_sec++;
        }
    }
    else {
        t->tv_sec += (time_t)apr_atomic_read32(&ahead);
    }
    return status;
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
    apr_uint32_t others = apr_atomic_inc32(&held);

    while (!others && apr_atomic_read32(&hold)) {
        usleep(1000);
    }
    spent += (long)apr_atomic_read32(&cost);
    apr_atomic_dec32(&held);
    return syscall(SYS_recvmsg, fd, msg, flags);
}

static const char *sockstat; /* what there shall be, or NULL */

int open(const char *path, int flags, ...)
{
    int ends[2];

    if (!sockstat || strcmp(path, "/proc/self/net/sockstat") != 0
        || pipe(ends)) {
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0);
    }
    (void)!write(ends[1], sockstat, strlen(sockstat));
    close(ends[1]);
    return ends[0];
}

static int wait_until(const apr_uint32_t *value, apr_uint32_t wanted)
{
    int i;

    for (i = 0; i < 20000; i++) {
        if (apr_atomic_read32((apr_uint32_t *)value) == wanted) {
            return 1;
        }
        usleep(1000);
    }
    return 0;
}

/* --------------------------------------------------------- what is tested */

static fw2_snapshot *snapshot_make(void)
{
    fw2_snapshot *snapshot = NULL;

    if (fw2_snapshot_create(&snapshot, &endpoint, 1, 0, pool) != APR_SUCCESS) {
        printf("Bail out! no shared memory\n");
        exit(1);
    }
    return snapshot;
}

static fw2_shot get(fw2_snapshot *snapshot)
{
    return *fw2_snapshot_get(snapshot, pool);
}

static fw2_shot last(const fw2_snapshot *snapshot)
{
    return *fw2_snapshot_last(snapshot, pool);
}

static void test_ages(void)
{
    fw2_snapshot *snapshot = snapshot_make();
    fw2_shot shot = last(snapshot);

    ok(!shot.counts && shot.census.backend == FW2_NOTHING
           && !shot.census.complete,
       "before the first count nothing is known");
    shot = get(snapshot);
    ok(shot.counts == 1 && shot.census.backend == FW2_NETLINK
           && shot.census.complete && shot.limits.tcp_fin_timeout > 0,
       "the first who asks counts");
    is_int(shot.census.tallies[0].backlog, 0, "the tallies come with it");
    is_int(get(snapshot).counts, 1, "the next is shown the same");
    apr_atomic_set32(&ahead, 5);
    shot = last(snapshot);
    ok(shot.counts == 1 && shot.age >= apr_time_from_sec(5),
       "to look at the last one never counts, and tells its age");
    shot = get(snapshot);
    ok(shot.counts == 2 && shot.age < apr_time_from_sec(5),
       "what is old is counted again");
    is_int(last(snapshot).counts, 2, "and shown to all");
    apr_atomic_set32(&ahead, 0);
}

static apr_uint32_t most; /* atomic: `counts` of what any reader was shown */

static void *reader(void *snapshot)
{
    apr_pool_t *mine;
    apr_uint32_t counts;

    apr_pool_create(&mine, NULL);
    counts = (apr_uint32_t)fw2_snapshot_get(snapshot, mine)->counts;
    if (counts > apr_atomic_read32(&most)) {
        apr_atomic_set32(&most, counts);
    }
    apr_pool_destroy(mine);
    return NULL;
}

static void test_threads(void)
{
    fw2_snapshot *snapshot = snapshot_make();
    pthread_t threads[READERS];
    fw2_shot shot;
    int i;

    apr_atomic_set32(&hold, 1);
    pthread_create(&threads[0], NULL, reader, snapshot);
    ok(wait_until(&held, 1), "a first count under way");
    shot = get(snapshot);
    ok(!shot.counts && shot.census.backend == FW2_NOTHING,
       "others do not wait for it for long, nor count themselves");
    for (i = 1; i < READERS; i++) {
        pthread_create(&threads[i], NULL, reader, snapshot);
    }
    apr_atomic_set32(&hold, 0);
    for (i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    is_int(apr_atomic_read32(&most), 1, "many ask, one counts");

    apr_atomic_set32(&ahead, 5);
    apr_atomic_set32(&hold, 1);
    pthread_create(&threads[0], NULL, reader, snapshot);
    ok(wait_until(&held, 1), "a second count under way");
    shot = get(snapshot);
    ok(shot.counts == 1 && shot.age >= apr_time_from_sec(5),
       "others are shown the old one at once");
    apr_atomic_set32(&hold, 0);
    pthread_join(threads[0], NULL);
    is_int(last(snapshot).counts, 2, "until it is done");
    apr_atomic_set32(&ahead, 0);
}

/* Writers and readers at full speed; ThreadSanitizer looks on. */
static void *renewer(void *snapshot)
{
    int i;

    for (i = 0; i < 50; i++) {
        apr_atomic_add32(&ahead, 2);
        reader(snapshot);
    }
    return NULL;
}

static void test_turmoil(void)
{
    fw2_snapshot *snapshot = snapshot_make();
    pthread_t threads[READERS];
    fw2_shot shot;
    int i;

    for (i = 0; i < READERS; i++) {
        pthread_create(&threads[i], NULL, renewer, snapshot);
    }
    for (i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    shot = get(snapshot);
    ok(shot.counts > 1 && shot.counts <= 50 * READERS + 1
           && shot.census.backend == FW2_NETLINK,
       "readers and counts at full speed: %d counts, from %s", (int)shot.counts,
       fw2_backend_names[shot.census.backend]);
    apr_atomic_set32(&ahead, 0);
}

static void test_processes(void)
{
    fw2_snapshot *snapshot = snapshot_make();
    pid_t children[READERS];
    int i, status, wrong = 0;

    for (i = 0; i < READERS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            _exit(get(snapshot).counts != 1);
        }
    }
    for (i = 0; i < READERS; i++) {
        waitpid(children[i], &status, 0);
        wrong += status != 0;
    }
    is_int(wrong, 0, "many processes ask, one counts");
    is_int(last(snapshot).counts, 1, "and once");
}

/* A process is killed in the middle of its count. */
static void test_death(void)
{
    fw2_snapshot *snapshot = snapshot_make();
    int ends[2], status;
    char byte;
    pid_t child;

    get(snapshot);
    apr_atomic_set32(&ahead, 5);
    if (pipe(ends) || (child = fork()) < 0) {
        ok(0, "a child");
        return;
    }
    if (child == 0) {
        pthread_t thread;

        apr_atomic_set32(&hold, 1);
        pthread_create(&thread, NULL, reader, snapshot);
        wait_until(&held, 1);
        (void)!write(ends[1], "!", 1);
        pause();
    }
    (void)!read(ends[0], &byte, 1);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    close(ends[0]);
    close(ends[1]);
    is_int(get(snapshot).counts, 1, "a dead one's count is waited for");
    apr_atomic_set32(&ahead, 20);
    is_int(get(snapshot).counts, 2, "but not for ever");
    apr_atomic_set32(&ahead, 0);
}

/* It was only slow: what it has is older than what was counted meanwhile. */
static void test_late(void)
{
    fw2_snapshot *snapshot = snapshot_make();
    pthread_t slow;

    get(snapshot);
    apr_atomic_set32(&ahead, 5);
    apr_atomic_set32(&hold, 1);
    pthread_create(&slow, NULL, reader, snapshot);
    wait_until(&held, 1);
    apr_atomic_set32(&ahead, 20);
    is_int(get(snapshot).counts, 2, "one that takes too long is passed");
    apr_atomic_set32(&hold, 0);
    pthread_join(slow, NULL);
    ok(last(snapshot).counts == 2 && last(snapshot).age < apr_time_from_sec(5),
       "and does not show what it has in the end");
    apr_atomic_set32(&ahead, 0);
}

/* Far more than a second would allow for, and within the budget. */
static void test_cost(void)
{
    fw2_snapshot *snapshot = snapshot_make();
    apr_interval_time_t took;

    apr_atomic_set32(&cost, 100);
    took = get(snapshot).census.cost;
    apr_atomic_set32(&cost, 0);
    ok(took >= 100000 && took < 250000, "a count that costs: %d ms",
       (int)(took / 1000));
    /* Old after 25 times that: 2.5 s at least, and 6 s at most. */
    apr_atomic_set32(&ahead, (apr_uint32_t)(25 * took / 1000000) - 1);
    is_int(get(snapshot).counts, 1, "is shown for 25 times as long");
    apr_atomic_set32(&ahead, (apr_uint32_t)(25 * took / 1000000) + 1);
    is_int(get(snapshot).counts, 2, "and no longer");
    apr_atomic_set32(&ahead, 0);
}

/* What is compared with is neither too young nor too old. */
static void test_before(void)
{
    static const struct {
        apr_uint32_t ahead;
        int over; /* seconds, or 0: nothing to compare with */
    } turns[] = { { 0, 0 },   { 30, 0 },    { 50, 0 },   { 61, 61 },
                  { 90, 90 }, { 118, 118 }, { 125, 64 }, { 130, 69 },
                  { 900, 0 }, { 960, 60 },  { 990, 90 } };
    fw2_snapshot *snapshot = snapshot_make();
    fw2_shot shot;
    unsigned int i;

    for (i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
        apr_atomic_set32(&ahead, turns[i].ahead);
        shot = get(snapshot);
        ok((turns[i].over == 0) == (shot.before.tcp_fin_timeout < 0)
               && apr_time_sec(shot.over) >= turns[i].over
               && apr_time_sec(shot.over) < turns[i].over + 5,
           "after %d s compared with %d s ago", (int)turns[i].ahead,
           turns[i].over);
    }
    apr_atomic_set32(&ahead, 0);
}

/* 0.4 us a mini-socket, 0.3 us another, 250 ms at most. */
static void test_budget(void)
{
    fw2_shot shot;

    sockstat = "TCP: inuse 400000 orphan 0 tw 300000 alloc 9 mem 9\n";
    shot = get(snapshot_make());
    ok(shot.census.backend == FW2_NETLINK && shot.census.complete,
       "what is predicted to take a little less than it may is done");
    sockstat = "TCP: inuse 400000 orphan 0 tw 350000 alloc 9 mem 9\n";
    shot = get(snapshot_make());
    ok(shot.census.backend == FW2_SOCKSTAT && !shot.census.complete,
       "what would take longer is not begun");
    has_str(shot.census.refused[FW2_NETLINK],
            "not tried: of 350000 mini-sockets and", "and that is said");
    is_int(shot.limits.timewait, 350000, "limits are shown all the same");
    sockstat = NULL;
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    alarm(120); /* nothing above may hang, but this kills it if it does */
    endpoint.port = 9;
    endpoint.v4 = 1;
    endpoint.addr[10] = endpoint.addr[11] = 0xff;
    endpoint.addr[12] = 127;
    endpoint.addr[15] = 1;
    test_ages();
    test_threads();
    test_turmoil();
    test_processes();
    test_death();
    test_late();
    test_cost();
    test_before();
    test_budget();
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
