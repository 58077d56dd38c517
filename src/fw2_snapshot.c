/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "fw2_snapshot.h"

#include <string.h>
#include <time.h>

#include <sys/resource.h>

#include "apr_atomic.h"
#include "apr_file_info.h"
#include "apr_shm.h"
#include "apr_strings.h"

/* A count is old after this, and after so many times its own CPU time. */
#define OLD       apr_time_from_sec(1)
#define OLD_COSTS 25

/* The most CPU time that a count may take. */
#define BUDGET (250 * (apr_interval_time_t)1000)

/* Who has been counting for longer than this has died. */
#define DEAD apr_time_from_sec(10)

/* How long ago the limits are that are compared with. */
#define FORMER_MIN apr_time_from_sec(60)
#define FORMER_MAX apr_time_from_sec(600)

/* How long to wait for the very first count, and how often to look for it. */
#define FIRST      (250 * (apr_interval_time_t)1000)
#define FIRST_LOOK (5 * (apr_interval_time_t)1000)

/* A count in the shared memory, with its tallies behind it. Its pointers mean
 * nothing there. */
typedef struct {
    fw2_shot shot;
    apr_time_t at;        /* now() */
    fw2_limits former[2]; /* what the limits were, the later first */
    apr_time_t taken[2];  /* then; 0: they were not */
} record;

/* The shared memory; behind it two records of `words` each. All atomic. */
typedef struct {
    apr_uint64_t counts; /* published; the last is in record counts % 2 */
    apr_uint64_t claim;  /* now() when the count under way began, or 0 */
} segment;

struct fw2_snapshot {
    const fw2_endpoint *endpoints;
    int n;
    int peers;
    apr_size_t words; /* of a record with its tallies */
    segment *segment;
};

/* Microseconds of a clock that nobody sets, the same in all processes. */
static apr_time_t now(void)
{
    struct timespec t = { 0, 0 };

    clock_gettime(CLOCK_MONOTONIC, &t);
    return apr_time_from_sec(t.tv_sec) + t.tv_nsec / 1000;
}

apr_status_t fw2_snapshot_create(fw2_snapshot **snapshot,
                                 const fw2_endpoint *endpoints, int n,
                                 int peers, apr_pool_t *pool)
{
    fw2_snapshot *made = apr_palloc(pool, sizeof(*made));
    apr_size_t size;
    apr_shm_t *shm;
    apr_status_t rv;

    made->endpoints = endpoints;
    made->n = n;
    made->peers = peers;
    made->words = (sizeof(record) + (apr_size_t)n * sizeof(fw2_tally))
                  / sizeof(apr_uint64_t);
    size = sizeof(segment) + 2 * made->words * sizeof(apr_uint64_t);
    rv = apr_shm_create(&shm, size, NULL, pool);
    made->segment =
        rv == APR_SUCCESS ? apr_shm_baseaddr_get(shm) : apr_palloc(pool, size);
    memset(made->segment, 0, size);
    *snapshot = made;
    return rv;
}

/* ------------------------------------------------------ in shared memory -- */

static apr_uint64_t *place_of(const fw2_snapshot *snapshot, apr_uint64_t counts)
{
    apr_uint64_t *places = (apr_uint64_t *)(snapshot->segment + 1);

    return places + counts % 2 * snapshot->words;
}

static void publish(const fw2_snapshot *snapshot, const record *made,
                    apr_uint64_t counts)
{
    const apr_uint64_t *from = (const apr_uint64_t *)made;
    apr_uint64_t *to = place_of(snapshot, counts);
    apr_size_t i;

    for (i = 0; i < snapshot->words; i++) {
        apr_atomic_set64(&to[i], from[i]);
    }
    apr_atomic_set64(&snapshot->segment->counts, counts);
}

/* Copy the last record out; all zeros if there is none. */
static record *copy(const fw2_snapshot *snapshot, apr_pool_t *pool)
{
    record *copied = apr_pcalloc(pool, snapshot->words * sizeof(apr_uint64_t));
    apr_uint64_t *to = (apr_uint64_t *)copied, *from, counts;
    apr_size_t i;

    do {
        counts = apr_atomic_read64(&snapshot->segment->counts);
        from = place_of(snapshot, counts);
        for (i = 0; counts && i < snapshot->words; i++) {
            to[i] = apr_atomic_read64(&from[i]);
        }
    } while (apr_atomic_read64(&snapshot->segment->counts) != counts);
    copied->shot.census.tallies = (fw2_tally *)(copied + 1);
    return copied;
}

/* ---------------------------------------------------------------- a count -- */

static int is_fresh(const record *last)
{
    apr_interval_time_t old = OLD_COSTS * last->shot.census.cost;

    return last->shot.counts && now() - last->at < (old > OLD ? old : OLD);
}

/* Become the one who counts; returns what to release it with, or 0. */
static apr_uint64_t claim(const fw2_snapshot *snapshot)
{
    apr_uint64_t *claimed = &snapshot->segment->claim;
    apr_uint64_t since = apr_atomic_read64(claimed), mine = (apr_uint64_t)now();

    if (since && mine - since < (apr_uint64_t)DEAD) {
        return 0;
    }
    return apr_atomic_cas64(claimed, mine, since) == since ? mine : 0;
}

/* The directory's own descriptor is one of them while it is read. */
static apr_int64_t count_descriptors(apr_pool_t *pool)
{
    apr_int64_t n = -1;
    apr_finfo_t entry;
    apr_dir_t *dir;

    if (apr_dir_open(&dir, "/proc/self/fd", pool) != APR_SUCCESS) {
        return -1;
    }
    while (apr_dir_read(&entry, APR_FINFO_NAME, dir) == APR_SUCCESS) {
        n += *entry.name != '.';
    }
    apr_dir_close(dir);
    return n;
}

static apr_int64_t descriptors_at_most(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY) {
        return -1;
    }
    return (apr_int64_t)limit.rlim_cur;
}

/* What would take too long is not begun: limits alone are still shown. */
static void count_sockets(const fw2_snapshot *snapshot, fw2_shot *shot,
                          apr_pool_t *pool)
{
    apr_interval_time_t cost = fw2_sockdiag_predict(&shot->limits);
    fw2_census *census = &shot->census;

    if (cost <= BUDGET) {
        fw2_sockdiag_count(snapshot->endpoints, snapshot->n, snapshot->peers,
                           BUDGET, census, pool);
        return;
    }
    census->backend = FW2_SOCKSTAT;
    census->tallies =
        apr_pcalloc(pool, (apr_size_t)snapshot->n * sizeof(fw2_tally));
    apr_snprintf(
        census->refused[FW2_NETLINK], FW2_REFUSED_MAX,
        "not tried: of %" APR_INT64_T_FMT " mini-sockets and %" APR_INT64_T_FMT
        " others a count would take about %d ms of "
        "CPU, and %d ms is the most",
        shot->limits.timewait, shot->limits.inuse + shot->limits.inuse6,
        (int)(cost / 1000), (int)(BUDGET / 1000));
}

/* What the limits were, not so shortly ago that a few more would be many, nor
 * so long that it is not of late. */
static void recall(record *made, const record *last)
{
    int later = last->taken[0] && made->at - last->taken[0] < FORMER_MIN;
    int i;

    memcpy(made->former, last->former, sizeof(made->former));
    memcpy(made->taken, last->taken, sizeof(made->taken));
    memset(&made->shot.before, 0xff, sizeof(made->shot.before)); /* unknown */
    for (i = 1; i >= 0; i--) {
        apr_interval_time_t over = made->at - made->taken[i];

        if (made->taken[i] && over >= FORMER_MIN && over <= FORMER_MAX) {
            made->shot.before = made->former[i];
            made->shot.over = over;
        }
    }
    if (!later) {
        made->former[1] = made->former[0];
        made->taken[1] = made->taken[0];
        made->former[0] = made->shot.limits;
        made->taken[0] = made->at;
    }
}

static record *count(const fw2_snapshot *snapshot, const record *last,
                     apr_pool_t *pool)
{
    record *made = apr_pcalloc(pool, snapshot->words * sizeof(apr_uint64_t));
    apr_size_t size = (apr_size_t)snapshot->n * sizeof(fw2_tally);

    made->at = now();
    fw2_sockdiag_limits(&made->shot.limits);
    made->shot.descriptors = count_descriptors(pool);
    made->shot.descriptor_limit = descriptors_at_most();
    count_sockets(snapshot, &made->shot, pool);
    memcpy(made + 1, made->shot.census.tallies, size);
    made->shot.census.tallies = (fw2_tally *)(made + 1);
    recall(made, last);
    made->shot.counts = last->shot.counts + 1;
    return made;
}

/* Count and publish, unless somebody has since `last`, or is at it. */
static record *renew(const fw2_snapshot *snapshot, record *last,
                     apr_pool_t *pool)
{
    apr_uint64_t mine = claim(snapshot), counts;

    if (!mine) {
        return last;
    }
    counts = apr_atomic_read64(&snapshot->segment->counts);
    if (counts != (apr_uint64_t)last->shot.counts) {
        last = copy(snapshot, pool);
    }
    else {
        last = count(snapshot, last, pool);
        /* Whoever thought this process dead writes there now. */
        if (apr_atomic_read64(&snapshot->segment->claim) == mine) {
            publish(snapshot, last, counts + 1);
        }
    }
    (void)apr_atomic_cas64(&snapshot->segment->claim, 0, mine);
    return last;
}

static record *await_first(const fw2_snapshot *snapshot, apr_pool_t *pool)
{
    apr_time_t until = now() + FIRST;

    while (!apr_atomic_read64(&snapshot->segment->counts) && now() < until) {
        apr_sleep(FIRST_LOOK);
    }
    return copy(snapshot, pool);
}

static const fw2_shot *show(record *last)
{
    fw2_shot *shot = &last->shot;

    if (shot->counts) {
        shot->age = now() - last->at;
    }
    else {
        shot->census.backend = FW2_NOTHING;
        memset(&shot->limits, 0xff, sizeof(shot->limits)); /* all unknown */
        memset(&shot->before, 0xff, sizeof(shot->before));
        shot->descriptors = shot->descriptor_limit = -1;
    }
    return shot;
}

const fw2_shot *fw2_snapshot_get(fw2_snapshot *snapshot, apr_pool_t *pool)
{
    record *last = copy(snapshot, pool);

    if (!is_fresh(last)) {
        last = renew(snapshot, last, pool);
    }
    if (!last->shot.counts) {
        last = await_first(snapshot, pool);
    }
    return show(last);
}

const fw2_shot *fw2_snapshot_last(const fw2_snapshot *snapshot,
                                  apr_pool_t *pool)
{
    return show(copy(snapshot, pool));
}
