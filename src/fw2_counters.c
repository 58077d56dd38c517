/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "fw2_counters.h"

#include <string.h>
#include <unistd.h>

#include "apr_atomic.h"
#include "apr_shm.h"
#include "apr_strings.h"

#define MSEC ((apr_int64_t)1000)
#define SEC  (1000 * MSEC)

const apr_int64_t fw2_bounds[FW2_BOUNDS] = { 1 * MSEC,  5 * MSEC,   10 * MSEC,
                                             50 * MSEC, 100 * MSEC, 500 * MSEC,
                                             1 * SEC,   2 * SEC,    5 * SEC,
                                             10 * SEC,  30 * SEC };

/* Longer names are cut; two that are cut alike share their counters. */
#define NAME_SIZE 128

/* Room for virtual hosts that later configurations add. */
#define SPARE_VHOSTS 32

/* One virtual host's totals; all numbers atomic. */
typedef struct {
    char name[NAME_SIZE]; /* written once, before `used` counts it */
    apr_uint64_t causes[FW2_CAUSES];
    apr_uint64_t connections[FW2_PROTOCOLS];
    apr_uint64_t tls;
    apr_uint64_t probes;
    apr_uint64_t given_up; /* of `probes`: httpd closed first */
    apr_uint64_t endings[FW2_ENDINGS];
    apr_uint64_t linger[FW2_BOUNDS + 1];
    apr_uint64_t linger_sum;
    apr_uint64_t drained;
} vhost_row;

/* How many marks there are: enough for one that is a minute old and little
 * more, where somebody looks often enough. */
#define MARKS 8

/* What happens often enough to say how often of late. */
enum { PROBES = FW2_CAUSES, LEFT_OPEN, EVICTED, EVENTS };

/* How many of each a virtual host had at some time; all atomic. */
typedef struct {
    apr_uint64_t events[EVENTS];
} mark_row;

/* One child; all atomic, and its own but for `pid`. */
typedef struct {
    apr_uint32_t pid; /* 0: free */
    apr_uint32_t capacity;
    apr_uint64_t oldest;
} child_row;

/* The shared memory; behind it the rows, and what each child holds of each
 * virtual host. */
typedef struct {
    apr_uint32_t vhosts; /* constant: rows there are */
    apr_uint32_t children;
    apr_uint32_t used; /* atomic, written by the parent: rows with names */
    apr_uint64_t fallback;
    apr_uint64_t latest; /* atomic: when the latest mark was made, or 0 */
    apr_uint64_t marks;  /* atomic: made so far; the latest is in place
                                   marks % MARKS */
    apr_uint64_t marked[MARKS];          /* atomic: when; 0: none is there */
    apr_uint64_t marked_fallback[MARKS]; /* atomic: what `fallback` was then */
} segment;

struct fw2_counters {
    apr_shm_t *shm;
    segment *segment;
    vhost_row *vhosts;
    mark_row *marks; /* [vhosts][MARKS]; as `marked` */
    child_row *children;
    apr_uint32_t *held; /* [children][vhosts] */
};

static apr_size_t size_of(apr_size_t vhosts, apr_size_t children)
{
    return sizeof(segment) + vhosts * sizeof(vhost_row)
           + MARKS * vhosts * sizeof(mark_row) + children * sizeof(child_row)
           + children * vhosts * sizeof(apr_uint32_t);
}

static apr_status_t create(fw2_counters **counters, int vhosts, int children,
                           apr_pool_t *pool)
{
    fw2_counters *made = apr_palloc(pool, sizeof(*made));
    apr_size_t size = size_of((apr_size_t)vhosts, (apr_size_t)children);
    apr_status_t rv = apr_shm_create(&made->shm, size, NULL, pool);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    made->segment = apr_shm_baseaddr_get(made->shm);
    memset(made->segment, 0, size);
    made->segment->vhosts = (apr_uint32_t)vhosts;
    made->segment->children = (apr_uint32_t)children;
    made->vhosts = (vhost_row *)(made->segment + 1);
    made->marks = (mark_row *)(made->vhosts + vhosts);
    made->children =
        (child_row *)(made->marks + (apr_size_t)MARKS * (apr_size_t)vhosts);
    made->held = (apr_uint32_t *)(made->children + children);
    *counters = made;
    return APR_SUCCESS;
}

/* The place of a name, which is new or not; no place if all are taken. */
static fw2_vhost_id place_of(fw2_counters *counters, const char *name)
{
    segment *s = counters->segment;
    apr_uint32_t used = apr_atomic_read32(&s->used), i;

    for (i = 0; i < used; i++) {
        if (!strncmp(counters->vhosts[i].name, name, NAME_SIZE - 1)) {
            return i;
        }
    }
    if (used < s->vhosts) {
        apr_cpystrn(counters->vhosts[used].name, name, NAME_SIZE);
        apr_atomic_set32(&s->used, used + 1);
    }
    return used;
}

static int has_room(fw2_counters *counters, const char *const *names,
                    fw2_vhost_id *ids, int n, int children)
{
    int i;

    if (counters->segment->children < (apr_uint32_t)children) {
        return 0;
    }
    for (i = 0; i < n; i++) {
        ids[i] = place_of(counters, names[i]);
        if (ids[i] == counters->segment->vhosts) {
            return 0;
        }
    }
    return 1;
}

/* Only of names that are wanted still. */
static void copy_totals(fw2_counters *to, const fw2_counters *from)
{
    apr_uint32_t i, j;

    for (i = 0; i < to->segment->used; i++) {
        for (j = 0; j < from->segment->used; j++) {
            if (!strcmp(to->vhosts[i].name, from->vhosts[j].name)) {
                to->vhosts[i] = from->vhosts[j];
            }
        }
    }
    to->segment->fallback = from->segment->fallback;
}

/* Without memory for more, those who find no place share the last one. */
static void squeeze(fw2_counters *counters, const char *const *names,
                    fw2_vhost_id *ids, int n)
{
    apr_uint32_t last = counters->segment->vhosts - 1;
    int i;

    for (i = 0; i < n; i++) {
        fw2_vhost_id id = place_of(counters, names[i]);

        ids[i] = id < last ? id : last;
    }
}

apr_status_t fw2_counters_prepare(fw2_counters **counters,
                                  const char *const *names, fw2_vhost_id *ids,
                                  int n, int children, apr_pool_t *pool)
{
    fw2_counters *former = *counters;
    apr_status_t rv;

    if (former && has_room(former, names, ids, n, children)) {
        return APR_SUCCESS;
    }
    rv = create(counters, n + SPARE_VHOSTS, children, pool);
    if (rv != APR_SUCCESS) {
        if (former) {
            squeeze(former, names, ids, n);
        }
        return rv;
    }
    has_room(*counters, names, ids, n, children);
    if (former) {
        copy_totals(*counters, former);
        /* Children of former configurations have it mapped still. */
        apr_shm_destroy(former->shm);
    }
    return APR_SUCCESS;
}

/* ---------------------------------------------------------- in a child -- */

int fw2_counters_begin(fw2_counters *counters, int capacity)
{
    apr_uint32_t i, vhost, me = (apr_uint32_t)getpid();

    for (i = 0; i < counters->segment->children; i++) {
        child_row *row = &counters->children[i];

        if (apr_atomic_cas32(&row->pid, me, 0)) {
            continue;
        }
        for (vhost = 0; vhost < counters->segment->vhosts; vhost++) {
            apr_atomic_set32(
                &counters->held[i * counters->segment->vhosts + vhost], 0);
        }
        apr_atomic_set64(&row->oldest, 0);
        apr_atomic_set32(&row->capacity, (apr_uint32_t)capacity);
        return (int)i;
    }
    return -1;
}

void fw2_counters_gone(fw2_counters *counters, apr_os_proc_t pid)
{
    apr_uint32_t i;

    for (i = 0; i < counters->segment->children; i++) {
        (void)apr_atomic_cas32(&counters->children[i].pid, 0,
                               (apr_uint32_t)pid);
    }
}

void fw2_counters_closed(fw2_counters *counters, fw2_vhost_id vhost,
                         const fw2_closed *closed)
{
    vhost_row *totals = &counters->vhosts[vhost];

    apr_atomic_inc64(&totals->causes[closed->cause]);
    apr_atomic_inc64(&totals->connections[closed->protocol]);
    if (closed->tls) {
        apr_atomic_inc64(&totals->tls);
    }
    if (closed->probe) {
        apr_atomic_inc64(&totals->probes);
        if (closed->cause != FW2_CAUSE_PEER) {
            apr_atomic_inc64(&totals->given_up);
        }
    }
}

static apr_uint32_t *held_by(const fw2_counters *counters, int row,
                             fw2_vhost_id vhost)
{
    return &counters
                ->held[(apr_uint32_t)row * counters->segment->vhosts + vhost];
}

void fw2_counters_taken(fw2_counters *counters, int row, fw2_vhost_id vhost)
{
    if (row >= 0) {
        apr_atomic_inc32(held_by(counters, row, vhost));
    }
}

static int class_of(apr_interval_time_t time)
{
    int i;

    for (i = 0; i < FW2_BOUNDS && time > fw2_bounds[i]; i++) {
    }
    return i;
}

void fw2_counters_ended(fw2_counters *counters, int row, fw2_vhost_id vhost,
                        fw2_ending ending, apr_interval_time_t lingered,
                        apr_uint64_t drained)
{
    vhost_row *totals = &counters->vhosts[vhost];

    if (row >= 0) {
        apr_atomic_dec32(held_by(counters, row, vhost));
    }
    apr_atomic_inc64(&totals->endings[ending]);
    apr_atomic_inc64(&totals->linger[class_of(lingered)]);
    apr_atomic_add64(&totals->linger_sum, (apr_uint64_t)lingered);
    apr_atomic_add64(&totals->drained, drained);
}

void fw2_counters_oldest(fw2_counters *counters, int row, apr_time_t since)
{
    if (row >= 0) {
        apr_atomic_set64(&counters->children[row].oldest, (apr_uint64_t)since);
    }
}

void fw2_counters_fallback(fw2_counters *counters)
{
    apr_atomic_inc64(&counters->segment->fallback);
}

/* --------------------------------------------------------------- of late -- */

/* A minute at least, so that few make no rate; and not too long ago. */
#define LATE_MIN apr_time_from_sec(60)
#define LATE_MAX apr_time_from_sec(600)

/* From one mark to the next, at least. */
#define LATE_STEP apr_time_from_sec(10)

static void read_all(apr_uint64_t *counted, apr_int64_t *numbers, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        numbers[i] = (apr_int64_t)apr_atomic_read64(&counted[i]);
    }
}

static void read_events(const fw2_counters *counters, apr_uint32_t vhost,
                        apr_int64_t events[EVENTS])
{
    vhost_row *row = &counters->vhosts[vhost];
    apr_int64_t endings[FW2_ENDINGS];
    int i;

    read_all(row->causes, events, FW2_CAUSES);
    read_all(row->endings, endings, FW2_ENDINGS);
    events[PROBES] = (apr_int64_t)apr_atomic_read64(&row->given_up);
    events[EVICTED] = endings[FW2_EVICTED];
    events[LEFT_OPEN] = 0;
    for (i = 0; i < FW2_ENDINGS; i++) {
        events[LEFT_OPEN] +=
            fw2_ending_leaves_open((fw2_ending)i) ? endings[i] : 0;
    }
}

static mark_row *mark_at(const fw2_counters *counters, apr_uint32_t vhost,
                         apr_uint64_t place)
{
    return &counters->marks[(apr_size_t)vhost * MARKS + place];
}

static void mark_vhost(fw2_counters *counters, apr_uint32_t vhost,
                       apr_uint64_t place)
{
    mark_row *row = mark_at(counters, vhost, place);
    apr_int64_t now[EVENTS];
    int i;

    read_events(counters, vhost, now);
    for (i = 0; i < EVENTS; i++) {
        apr_atomic_set64(&row->events[i], (apr_uint64_t)now[i]);
    }
}

void fw2_counters_mark(fw2_counters *counters, apr_time_t now)
{
    segment *s = counters->segment;
    apr_uint64_t latest = apr_atomic_read64(&s->latest), place;
    apr_uint32_t used = apr_atomic_read32(&s->used), i;

    if ((latest && now >= (apr_time_t)latest
         && now - (apr_time_t)latest < LATE_STEP)
        || apr_atomic_cas64(&s->latest, (apr_uint64_t)now, latest) != latest) {
        return;
    }
    place = (apr_atomic_read64(&s->marks) + 1) % MARKS;
    apr_atomic_set64(&s->marked[place], 0); /* it is not whole */
    for (i = 0; i < used; i++) {
        mark_vhost(counters, i, place);
    }
    apr_atomic_set64(&s->marked_fallback[place],
                     apr_atomic_read64(&s->fallback));
    apr_atomic_set64(&s->marked[place], (apr_uint64_t)now);
    apr_atomic_inc64(&s->marks);
}

/* Which mark to compare with, the latest that is old enough, and how long ago
 * it was; or -1. */
static int mark_of(const fw2_counters *counters, apr_interval_time_t *over)
{
    int i, found = -1;

    for (i = 0; i < MARKS; i++) {
        apr_time_t at =
            (apr_time_t)apr_atomic_read64(&counters->segment->marked[i]);
        apr_interval_time_t ago = apr_time_now() - at;

        if (at && ago >= LATE_MIN && ago <= LATE_MAX
            && (found < 0 || ago < *over)) {
            found = i;
            *over = ago;
        }
    }
    return found;
}

apr_int64_t fw2_per_minute(apr_int64_t now, apr_int64_t then,
                           apr_interval_time_t over)
{
    apr_int64_t more = now > then ? now - then : 0;

    return then < 0 || over <= 0 ? -1 : (more * LATE_MIN + over / 2) / over;
}

static void read_recent(const fw2_counters *counters, apr_uint32_t vhost,
                        fw2_recent *recent)
{
    apr_interval_time_t over = 0;
    int mark = mark_of(counters, &over), i;
    apr_int64_t events[EVENTS];

    memset(recent, 0xff, sizeof(*recent)); /* all -1 */
    if (mark < 0) {
        return;
    }
    read_events(counters, vhost, events);
    for (i = 0; i < EVENTS; i++) {
        apr_uint64_t *then =
            &mark_at(counters, vhost, (apr_uint64_t)mark)->events[i];

        events[i] = fw2_per_minute(events[i],
                                   (apr_int64_t)apr_atomic_read64(then), over);
    }
    memcpy(recent->causes, events, sizeof(recent->causes));
    recent->probes = events[PROBES];
    recent->left_open = events[LEFT_OPEN];
    recent->evicted = events[EVICTED];
}

static apr_int64_t recent_fallback(const fw2_counters *counters)
{
    segment *s = counters->segment;
    apr_interval_time_t over = 0;
    int mark = mark_of(counters, &over);

    if (mark < 0) {
        return -1;
    }
    return fw2_per_minute(
        (apr_int64_t)apr_atomic_read64(&s->fallback),
        (apr_int64_t)apr_atomic_read64(&s->marked_fallback[mark]), over);
}

/* -------------------------------------------------------------- reading -- */

apr_size_t fw2_counters_places(const fw2_counters *counters)
{
    return counters->segment->vhosts;
}

static apr_int64_t held_now(const fw2_counters *counters, apr_uint32_t vhost)
{
    apr_int64_t held = 0;
    apr_uint32_t i;

    for (i = 0; i < counters->segment->children; i++) {
        if (apr_atomic_read32(&counters->children[i].pid)) {
            held += apr_atomic_read32(held_by(counters, (int)i, vhost));
        }
    }
    return held;
}

static void sum_up_closes(fw2_vhost_totals *totals)
{
    int i;

    for (i = 0; i < FW2_CAUSES; i++) {
        totals->closes[i == FW2_CAUSE_PEER ? FW2_BY_PEER : FW2_BY_SERVER] +=
            totals->causes[i];
    }
}

/* The totals come as zeros. */
static void read_vhost(const fw2_counters *counters, apr_uint32_t vhost,
                       fw2_vhost_totals *totals)
{
    vhost_row *row = &counters->vhosts[vhost];

    totals->vhost = row->name;
    totals->held = held_now(counters, vhost);
    read_all(row->causes, totals->causes, FW2_CAUSES);
    sum_up_closes(totals);
    read_all(row->connections, totals->connections, FW2_PROTOCOLS);
    totals->tls = (apr_int64_t)apr_atomic_read64(&row->tls);
    totals->probes = (apr_int64_t)apr_atomic_read64(&row->probes);
    read_all(row->endings, totals->endings, FW2_ENDINGS);
    read_all(row->linger, totals->linger.n, FW2_BOUNDS + 1);
    totals->linger.sum = (apr_int64_t)apr_atomic_read64(&row->linger_sum);
    totals->drained = (apr_int64_t)apr_atomic_read64(&row->drained);
    read_recent(counters, vhost, &totals->recent);
}

fw2_vhost_totals *fw2_counters_vhosts(const fw2_counters *counters, int *n,
                                      apr_pool_t *pool)
{
    apr_uint32_t used = apr_atomic_read32(&counters->segment->used), i;
    fw2_vhost_totals *all = apr_pcalloc(pool, used * sizeof(*all));

    for (i = 0; i < used; i++) {
        read_vhost(counters, i, &all[i]);
    }
    *n = (int)used;
    return all;
}

/* The clock may have been set back since. */
static apr_interval_time_t elapsed_since(apr_time_t since)
{
    apr_time_t now = apr_time_now();

    return now > since ? now - since : 0;
}

void fw2_counters_closer(const fw2_counters *counters,
                         fw2_closer_totals *closer)
{
    apr_uint32_t used = apr_atomic_read32(&counters->segment->used), i;
    apr_time_t oldest = 0;

    memset(closer, 0, sizeof(*closer));
    for (i = 0; i < counters->segment->children; i++) {
        child_row *row = &counters->children[i];
        apr_time_t since = (apr_time_t)apr_atomic_read64(&row->oldest);

        if (apr_atomic_read32(&row->pid)) {
            closer->capacity += apr_atomic_read32(&row->capacity);
            oldest = since && (!oldest || since < oldest) ? since : oldest;
        }
    }
    for (i = 0; i < used; i++) {
        closer->held += held_now(counters, i);
        closer->evicted += (apr_int64_t)apr_atomic_read64(
            &counters->vhosts[i].endings[FW2_EVICTED]);
    }
    closer->oldest = oldest ? elapsed_since(oldest) : -1;
    closer->fallback =
        (apr_int64_t)apr_atomic_read64(&counters->segment->fallback);
    closer->recent_fallback = recent_fallback(counters);
}
