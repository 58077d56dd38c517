/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_COUNTERS_H
#define FW2_COUNTERS_H

/*
 * counters: totals since httpd was started, in memory that all its processes
 * share.
 *
 * Totals belong to a virtual host's name and outlive a child, a closer process
 * and a graceful restart. Children count the connections that ended; closer
 * processes count the lingers that ended. All numbers are atomic, and there is
 * no lock: each number that a reader sees is exact, but the numbers are not all
 * of one moment.
 *
 * Any process can write anything into shared memory. The parent therefore reads
 * nothing there, and keeps names and ids in its own memory. Readers use the
 * names in their own memory, too, and clamp every number to 0 and above.
 *
 * The room depends on APR and outcome, and not on httpd. Any thread of any
 * process may add and read; the parent does the rest, in one thread.
 */

#include "apr_errno.h"
#include "apr_pools.h"
#include "apr_time.h"

#include "base/outcome.h"

/** The upper bounds, in microseconds, of a histogram's classes. One more class
 *  follows for longer times. */
#define FW2_BOUNDS 11
extern const apr_int64_t fw2_bounds[FW2_BOUNDS];

/** A histogram of times. */
typedef struct fw2_histogram {
    apr_int64_t n[FW2_BOUNDS + 1]; /**< events by class, not cumulative */
    apr_int64_t sum;               /**< microseconds */
} fw2_histogram;

/** How one connection ended. */
typedef struct fw2_closed {
    fw2_cause cause;
    fw2_protocol protocol;
    int tls;   /**< 1: the connection was encrypted */
    int probe; /**< 1: the connection carried no request */
    fw2_idle idle;
} fw2_closed;

/** The number and the length of the intervals in a virtual host's trend. */
#define FW2_TREND      30
#define FW2_TREND_STEP apr_time_from_sec(120)

/** The totals of one virtual host. */
typedef struct fw2_vhost_totals {
    const char *vhost;              /**< the virtual host's name */
    apr_int64_t closes[FW2_SIDES];  /**< connections that ended, by side: sums
                                         of the causes */
    apr_int64_t causes[FW2_CAUSES]; /**< connections that ended, by cause */
    apr_int64_t connections[FW2_PROTOCOLS]; /**< connections that ended, by
                                                 protocol */
    apr_int64_t tls;      /**< encrypted connections that ended */
    apr_int64_t probes;   /**< connections that ended without a request */
    apr_int64_t given_up; /**< such connections that httpd closed first */
    apr_int64_t idle[FW2_IDLES];      /**< connections of HTTP/1 that ended
                                           idle */
    apr_int64_t endings[FW2_ENDINGS]; /**< lingers that ended, by ending */
    fw2_histogram linger;             /**< lingers that ended, by length */
    apr_int64_t drained;              /**< bytes */
} fw2_vhost_totals;

/** The totals of the whole server. */
typedef struct fw2_server_totals {
    apr_int64_t fallback[FW2_REFUSALS]; /**< connections left to httpd's own
                                             linger, by reason */
    apr_int64_t fallbacks;              /**< the sum of these connections */
    apr_int64_t invalid; /**< messages that no child of httpd sends */
    apr_int64_t lost;    /**< lingers lost because the closer process was
                              killed */
} fw2_server_totals;

typedef struct fw2_counters fw2_counters;

/** A virtual host's index among the counters. */
typedef apr_uint32_t fw2_vhost_id;

/**
 * Make or reuse the shared memory for a configuration. The parent, in one
 * thread, before it has children of this configuration. The time is linear in
 * the number of names.
 * @param counters On entry the counters of a former configuration, or NULL. On
 *                 success the counters of this configuration, which are the
 *                 same if they had enough room.
 * @param names The virtual hosts' names; equal names share an id.
 * @param ids On success, the id of each name.
 * @param pool The process's own pool, since it must outlive the children.
 * @return APR_SUCCESS, or the system's error; *counters is unchanged then.
 */
apr_status_t fw2_counters_prepare(fw2_counters **counters,
                                  const char *const *names, fw2_vhost_id *ids,
                                  int n, apr_pool_t *pool);

/** Add the totals of the replaced counters to new ones that
 *  fw2_counters_prepare() made. The first closer process of a configuration,
 *  once. */
void fw2_counters_inherit(fw2_counters *counters);

/** Unmap the replaced counters; children that still use the replaced counters
 *  keep their own mapping. The parent, after a closer process has inherited. */
void fw2_counters_unmap_former(fw2_counters *counters);

/** Count a connection that ended, once. */
void fw2_counters_closed(fw2_counters *counters, fw2_vhost_id vhost,
                         const fw2_closed *closed);

/** Count a linger that ended.
 *  @param lingered Microseconds.
 *  @param drained Bytes. */
void fw2_counters_ended(fw2_counters *counters, fw2_vhost_id vhost,
                        fw2_ending ending, apr_interval_time_t lingered,
                        apr_uint64_t drained);

/**
 * Count a connection that is left to httpd's own linger.
 * @param now apr_time_now()'s.
 * @return True if the caller shall log this reason, which no process has logged
 *         in the last ten minutes.
 */
int fw2_counters_fallback(fw2_counters *counters, fw2_refusal why,
                          apr_time_t now);

/** Count a message that was not accepted. */
void fw2_counters_invalid(fw2_counters *counters);

/** Count `n` lost lingers. */
void fw2_counters_lost(fw2_counters *counters, apr_int64_t n);

/** Return the number of rows, which is above every id. */
apr_size_t fw2_counters_places(const fw2_counters *counters);

/** Return a number that changes whenever the ids of names change. */
int fw2_counters_layout(const fw2_counters *counters);

/** Return the number of ids with a name. */
int fw2_counters_named(const fw2_counters *counters);

/** Return the names by id, valid as long as the counters. */
const char *const *fw2_counters_names(const fw2_counters *counters);

/** Return the connections of a virtual host that ended. */
apr_int64_t fw2_counters_ends(const fw2_counters *counters, fw2_vhost_id vhost);

/** Return the lingers of a virtual host that ended by an eviction. */
apr_int64_t fw2_counters_evicted(const fw2_counters *counters,
                                 fw2_vhost_id vhost);

/**
 * Note all totals for the trends if an interval has begun since the last note.
 * The closer process of the newest configuration.
 * @param now fw2_clock_now()'s; 0 or above.
 */
void fw2_counters_note(fw2_counters *counters, apr_time_t now);

/**
 * Read the number of connections of a virtual host that ended in each of the
 * last complete intervals, the oldest first; -1 before the first note.
 * @param trend Room for FW2_TREND numbers.
 */
void fw2_counters_trend(const fw2_counters *counters, fw2_vhost_id vhost,
                        apr_int64_t *trend);

/** Read the totals of one virtual host. */
void fw2_counters_vhost(const fw2_counters *counters, fw2_vhost_id vhost,
                        fw2_vhost_totals *totals);

/** Read the totals of the whole server. */
void fw2_counters_server(const fw2_counters *counters,
                         fw2_server_totals *totals);

/** Return a number that changes with the layout of the memory that outlives a
 *  restart. */
apr_size_t fw2_counters_footprint(void);

#endif /* FW2_COUNTERS_H */
