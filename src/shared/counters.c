/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "shared/counters.h"

#include <string.h>

#include "apr_hash.h"
#include "apr_shm.h"
#include "apr_strings.h"

#include "base/clamp.h"
#include "base/sync.h"

#define MSEC ((apr_int64_t)1000)
#define SEC  (1000 * MSEC)

const apr_int64_t fw2_bounds[FW2_BOUNDS] = { 1 * MSEC,  5 * MSEC,   10 * MSEC,
                                             50 * MSEC, 100 * MSEC, 500 * MSEC,
                                             1 * SEC,   2 * SEC,    5 * SEC,
                                             10 * SEC,  30 * SEC };

/* The longest name. A longer name is cut; names that are equal after the cut
 * share their counters. */
#define NAME_MAX_LENGTH 127

/* The number of virtual hosts that later configurations can add without new
 * shared memory. */
#define SPARE_VHOSTS 32

/* The time from one log line about a fallback to the next. */
#define LOG_INTERVAL apr_time_from_sec(600)

/* One virtual host's totals. */
typedef struct {
    fw2_shared causes[FW2_CAUSES];
    fw2_shared connections[FW2_PROTOCOLS];
    fw2_shared tls;
    fw2_shared probes;
    fw2_shared given_up; /* probes that httpd closed first */
    fw2_shared idle[FW2_IDLES];
    fw2_shared endings[FW2_ENDINGS];
    fw2_shared linger[FW2_BOUNDS + 1];
    fw2_shared linger_sum;
    fw2_shared drained;
} vhost_row;

#define ROW_WORDS (sizeof(vhost_row) / sizeof(fw2_shared))

/* The number of notes of a virtual host. Note i % NOTES has the total at the
 * begin of interval i, up to the interval that has begun last. */
#define NOTES (FW2_TREND + 1)

typedef struct {
    fw2_shared total[NOTES];
} vhost_notes;

#define NOTES_WORDS (sizeof(vhost_notes) / sizeof(fw2_shared))

/* The shared memory: this head, the rows, and the notes. Without a history the
 * notes' memory is never touched. */
typedef struct {
    fw2_shared fallback[FW2_REFUSALS];
    fw2_shared invalid;
    fw2_shared lost;
    fw2_shared first;                /* the first interval with a note */
    fw2_shared noted;                /* the last interval with a note, or 0 */
    fw2_shared logged[FW2_REFUSALS]; /* apr_time_now() of the last log line */
} segment;

/* The number of totals at the begin of a segment. */
#define HEAD_WORDS (APR_OFFSETOF(segment, logged) / sizeof(fw2_shared))

/* The parent's own memory, constant in its children. */
struct fw2_counters {
    apr_pool_t *pool;
    apr_shm_t *shm;
    segment *segment;
    vhost_row *vhosts;
    vhost_notes *notes;
    fw2_vhost_id places; /* number of rows */
    fw2_vhost_id named;  /* number of rows with a name */
    int layout;
    apr_hash_t *ids;             /* name -> fw2_vhost_id * */
    const char **names;          /* by id; room for `places` */
    struct fw2_counters *former; /* counters to inherit totals from, or NULL */
};

/* ----------------------------------------------------------- the parent -- */

static apr_status_t create(fw2_counters **counters, int places,
                           apr_pool_t *parent)
{
    apr_size_t each = sizeof(vhost_row) + sizeof(vhost_notes);
    apr_size_t size = sizeof(segment) + (apr_size_t)places * each;
    fw2_counters *made;
    apr_pool_t *pool;
    apr_status_t rv;

    apr_pool_create(&pool, parent);
    made = apr_pcalloc(pool, sizeof(*made));
    rv = apr_shm_create(&made->shm, size, NULL, pool);
    if (rv != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return rv;
    }
    made->pool = pool;
    made->segment = apr_shm_baseaddr_get(made->shm);
    made->vhosts = (vhost_row *)(made->segment + 1);
    made->notes = (vhost_notes *)(made->vhosts + places);
    made->places = (fw2_vhost_id)places;
    made->ids = apr_hash_make(pool);
    made->names = apr_pcalloc(pool, made->places * sizeof(*made->names));
    *counters = made;
    return APR_SUCCESS;
}

/* Return the id of a name, with a new row if the name is new. Return `places`,
 * which is no row's id, if all rows have names. */
static fw2_vhost_id id_of(fw2_counters *counters, const char *name)
{
    apr_size_t length = strnlen(name, NAME_MAX_LENGTH);
    fw2_vhost_id *id = apr_hash_get(counters->ids, name, (apr_ssize_t)length);
    char *copy;

    if (id) {
        return *id;
    }
    if (counters->named == counters->places) {
        return counters->places;
    }
    copy = apr_pstrmemdup(counters->pool, name, length);
    id = apr_pmemdup(counters->pool, &counters->named, sizeof(*id));
    apr_hash_set(counters->ids, copy, (apr_ssize_t)length, id);
    counters->names[counters->named++] = copy;
    return *id;
}

/* Set the id of each name. False if there are too few rows. */
static int set_ids(fw2_counters *counters, const char *const *names,
                   fw2_vhost_id *ids, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        ids[i] = id_of(counters, names[i]);
        if (ids[i] == counters->places) {
            return 0;
        }
    }
    return 1;
}

apr_status_t fw2_counters_prepare(fw2_counters **counters,
                                  const char *const *names, fw2_vhost_id *ids,
                                  int n, apr_pool_t *pool)
{
    fw2_counters *former = *counters;
    apr_status_t rv;

    if (former && set_ids(former, names, ids, n)) {
        return APR_SUCCESS;
    }
    rv = create(counters, n + SPARE_VHOSTS, pool);
    if (rv == APR_SUCCESS) {
        set_ids(*counters, names, ids, n);
        if (former) {
            fw2_counters_unmap_former(former);
        }
        (*counters)->former = former;
        (*counters)->layout = former ? former->layout + 1 : 0;
    }
    return rv;
}

void fw2_counters_unmap_former(fw2_counters *counters)
{
    if (counters->former) {
        apr_pool_destroy(counters->former->pool);
        counters->former = NULL;
    }
}

/* --------------------------------------------------- the closer process -- */

static void add_words(fw2_shared *to, const fw2_shared *from, apr_size_t n)
{
    apr_size_t i;

    for (i = 0; i < n; i++) {
        apr_uint64_t word = fw2_sync_read(&from[i]);

        if (word) { /* a write of 0 would touch unused memory */
            fw2_sync_add(&to[i], word);
        }
    }
}

void fw2_counters_inherit(fw2_counters *counters)
{
    const fw2_counters *former = counters->former;
    fw2_vhost_id i, *id;

    if (!former) {
        return;
    }
    for (i = 0; i < former->named; i++) {
        id = apr_hash_get(counters->ids, former->names[i], APR_HASH_KEY_STRING);
        if (id) {
            add_words((fw2_shared *)&counters->vhosts[*id],
                      (const fw2_shared *)&former->vhosts[i], ROW_WORDS);
            add_words(counters->notes[*id].total, former->notes[i].total,
                      NOTES_WORDS);
        }
    }
    add_words((fw2_shared *)counters->segment,
              (const fw2_shared *)former->segment, HEAD_WORDS);
    for (i = 0; i < FW2_REFUSALS; i++) {
        (void)fw2_sync_replace(&counters->segment->logged[i], 0,
                               fw2_sync_read(&former->segment->logged[i]));
    }
}

/* All intervals since the last note get the present total, so connections that
 * ended meanwhile count for the first of these intervals. */
void fw2_counters_note(fw2_counters *counters, apr_time_t now)
{
    apr_uint64_t interval = (apr_uint64_t)(now / FW2_TREND_STEP) + 1;
    apr_uint64_t noted = fw2_sync_read(&counters->segment->noted);
    apr_uint64_t missing = interval - noted, i;
    fw2_vhost_id vhost;

    if (!missing) {
        return;
    }
    if (!noted || missing > NOTES) {
        missing = NOTES;
        fw2_sync_write(&counters->segment->first, interval);
    }
    for (vhost = 0; vhost < counters->named; vhost++) {
        apr_int64_t total = fw2_counters_ends(counters, vhost);

        for (i = 0; i < missing; i++) {
            fw2_sync_write(
                &counters->notes[vhost].total[(interval + NOTES - i) % NOTES],
                (apr_uint64_t)total);
        }
    }
    fw2_sync_write(&counters->segment->noted, interval);
}

/* --------------------------------------------------------------- adding -- */

void fw2_counters_closed(fw2_counters *counters, fw2_vhost_id vhost,
                         const fw2_closed *closed)
{
    vhost_row *row = &counters->vhosts[vhost];

    fw2_sync_add(&row->causes[closed->cause], 1);
    fw2_sync_add(&row->connections[closed->protocol], 1);
    if (closed->idle < FW2_IDLES) {
        fw2_sync_add(&row->idle[closed->idle], 1);
    }
    if (closed->tls) {
        fw2_sync_add(&row->tls, 1);
    }
    if (closed->probe) {
        fw2_sync_add(&row->probes, 1);
        if (closed->cause != FW2_CAUSE_PEER) {
            fw2_sync_add(&row->given_up, 1);
        }
    }
}

static int class_of(apr_interval_time_t time)
{
    int i;

    for (i = 0; i < FW2_BOUNDS && time > fw2_bounds[i]; i++) {
    }
    return i;
}

void fw2_counters_ended(fw2_counters *counters, fw2_vhost_id vhost,
                        fw2_ending ending, apr_interval_time_t lingered,
                        apr_uint64_t drained)
{
    vhost_row *row = &counters->vhosts[vhost];

    fw2_sync_add(&row->endings[ending], 1);
    fw2_sync_add(&row->linger[class_of(lingered)], 1);
    fw2_sync_add(&row->linger_sum, (apr_uint64_t)lingered);
    if (drained) {
        fw2_sync_add(&row->drained, drained);
    }
}

int fw2_counters_fallback(fw2_counters *counters, fw2_refusal why,
                          apr_time_t now)
{
    fw2_shared *logged = &counters->segment->logged[why];
    apr_uint64_t last = fw2_sync_read(logged);

    fw2_sync_add(&counters->segment->fallback[why], 1);
    if (last && (apr_uint64_t)now - last < (apr_uint64_t)LOG_INTERVAL) {
        return 0;
    }
    return fw2_sync_replace(logged, last, (apr_uint64_t)now);
}

void fw2_counters_invalid(fw2_counters *counters)
{
    fw2_sync_add(&counters->segment->invalid, 1);
}

void fw2_counters_lost(fw2_counters *counters, apr_int64_t n)
{
    fw2_sync_add(&counters->segment->lost, (apr_uint64_t)n);
}

/* -------------------------------------------------------------- reading -- */

apr_size_t fw2_counters_places(const fw2_counters *counters)
{
    return counters->places;
}

int fw2_counters_layout(const fw2_counters *counters)
{
    return counters->layout;
}

int fw2_counters_named(const fw2_counters *counters)
{
    return (int)counters->named;
}

static apr_int64_t read_clamped(const fw2_shared *counter, apr_int64_t most)
{
    apr_uint64_t value = fw2_sync_read(counter);

    return value > (apr_uint64_t)most ? most : (apr_int64_t)value;
}

static apr_int64_t read_number(const fw2_shared *counter)
{
    return read_clamped(counter, FW2_CLAMP_MOST);
}

static void read_numbers(const fw2_shared *counters, apr_int64_t *numbers,
                         int n)
{
    int i;

    for (i = 0; i < n; i++) {
        numbers[i] = read_number(&counters[i]);
    }
}

const char *const *fw2_counters_names(const fw2_counters *counters)
{
    return counters->names;
}

apr_int64_t fw2_counters_ends(const fw2_counters *counters, fw2_vhost_id vhost)
{
    apr_int64_t sum = 0;
    int i;

    for (i = 0; i < FW2_CAUSES; i++) {
        sum += read_number(&counters->vhosts[vhost].causes[i]);
    }
    return sum;
}

void fw2_counters_trend(const fw2_counters *counters, fw2_vhost_id vhost,
                        apr_int64_t *trend)
{
    const fw2_shared *total = counters->notes[vhost].total;
    apr_uint64_t first = fw2_sync_read(&counters->segment->first);
    apr_uint64_t noted = fw2_sync_read(&counters->segment->noted), at;
    int i;

    for (i = 0; i < FW2_TREND; i++) {
        at = noted - FW2_TREND + (apr_uint64_t)i;
        trend[i] = at < first || at >= noted
                       ? -1
                       : read_number(&total[(at + 1) % NOTES])
                             - read_number(&total[at % NOTES]);
    }
}

apr_int64_t fw2_counters_evicted(const fw2_counters *counters,
                                 fw2_vhost_id vhost)
{
    return read_number(&counters->vhosts[vhost].endings[FW2_EVICTED]);
}

void fw2_counters_vhost(const fw2_counters *counters, fw2_vhost_id vhost,
                        fw2_vhost_totals *totals)
{
    const vhost_row *row = &counters->vhosts[vhost];
    int i;

    totals->vhost = counters->names[vhost];
    read_numbers(row->causes, totals->causes, FW2_CAUSES);
    totals->closes[FW2_BY_PEER] = totals->causes[FW2_CAUSE_PEER];
    totals->closes[FW2_BY_SERVER] = 0;
    for (i = 0; i < FW2_CAUSES; i++) {
        totals->closes[FW2_BY_SERVER] +=
            i == FW2_CAUSE_PEER ? 0 : totals->causes[i];
    }
    read_numbers(row->connections, totals->connections, FW2_PROTOCOLS);
    totals->tls = read_number(&row->tls);
    totals->probes = read_number(&row->probes);
    totals->given_up = read_number(&row->given_up);
    read_numbers(row->idle, totals->idle, FW2_IDLES);
    read_numbers(row->endings, totals->endings, FW2_ENDINGS);
    read_numbers(row->linger, totals->linger.n, FW2_BOUNDS + 1);
    /* The sums of microseconds and bytes are never added to other ones, so
     * they may be larger than FW2_CLAMP_MOST. */
    totals->linger.sum = read_clamped(&row->linger_sum, APR_INT64_MAX);
    totals->drained = read_clamped(&row->drained, APR_INT64_MAX);
}

void fw2_counters_server(const fw2_counters *counters,
                         fw2_server_totals *totals)
{
    const segment *s = counters->segment;
    int i;

    read_numbers(s->fallback, totals->fallback, FW2_REFUSALS);
    totals->fallbacks = 0;
    for (i = 0; i < FW2_REFUSALS; i++) {
        totals->fallbacks += totals->fallback[i];
    }
    totals->invalid = read_number(&s->invalid);
    totals->lost = read_number(&s->lost);
}

apr_size_t fw2_counters_footprint(void)
{
    return sizeof(fw2_counters) + sizeof(segment) + 64 * sizeof(vhost_row)
           + 4096 * sizeof(vhost_notes);
}
