/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_COUNTERS_H
#define FW2_COUNTERS_H

/*
 * counters: what has happened since httpd was started, in memory that all its
 * processes share.
 *
 * Totals belong to a virtual host's name and outlive a child, a closer process
 * and a graceful restart. Children add the connections that ended; closer
 * processes add how their lingers ended. All numbers are atomic, and there is
 * no lock: a reader sees each as it is, though not all at one moment.
 *
 * Any process can write anything into shared memory. So the parent reads
 * nothing there: it gives each name its id from memory of its own. Readers
 * take names from their own memory, too, and clamp every number to 0 and
 * above.
 *
 * Knows APR and nothing of httpd. Any thread of any process may add and read;
 * the parent does the rest, in one thread.
 */

#include "apr_errno.h"
#include "apr_pools.h"
#include "apr_time.h"

#include "base/outcome.h"

/** The classes of a histogram of times: bounds in microseconds, and one more
 *  class for what is above the last. */
#define FW2_BOUNDS 11
extern const apr_int64_t fw2_bounds[FW2_BOUNDS];

/** A histogram of times. */
typedef struct fw2_histogram {
    apr_int64_t n[FW2_BOUNDS + 1]; /**< each its own class only */
    apr_int64_t sum;               /**< microseconds */
} fw2_histogram;

/** How one connection came to its end. */
typedef struct fw2_closed {
    fw2_cause cause;
    fw2_protocol protocol;
    int tls;   /**< it was encrypted */
    int probe; /**< it never carried a request */
    fw2_idle idle;
} fw2_closed;

/** The trend of a virtual host has so many intervals of this length. */
#define FW2_TREND      30
#define FW2_TREND_STEP apr_time_from_sec(120)

/** The figures of one virtual host. */
typedef struct fw2_vhost_totals {
    const char *vhost;              /**< its name */
    apr_int64_t closes[FW2_SIDES];  /**< the causes, summed up */
    apr_int64_t causes[FW2_CAUSES]; /**< connections that ended, by why */
    apr_int64_t connections[FW2_PROTOCOLS]; /**< the same, by protocol */
    apr_int64_t tls;                        /**< of these, encrypted */
    apr_int64_t probes;                     /**< of these, without a request */
    apr_int64_t given_up; /**< of the probes, those that httpd closed first */
    apr_int64_t idle[FW2_IDLES]; /**< of these, idle in HTTP/1 at the end */
    apr_int64_t endings[FW2_ENDINGS];
    fw2_histogram linger;
    apr_int64_t drained; /**< bytes */
} fw2_vhost_totals;

/** The totals of the whole server. */
typedef struct fw2_server_totals {
    apr_int64_t fallback[FW2_REFUSALS]; /**< connections left to httpd's own
                                             linger, by why */
    apr_int64_t invalid; /**< messages that no child of httpd sends */
    apr_int64_t lost;    /**< lingers that ended with a closer process that
                              was killed */
} fw2_server_totals;

typedef struct fw2_counters fw2_counters;

/** A virtual host's place among the counters. */
typedef apr_uint32_t fw2_vhost_id;

/**
 * Make or take over the shared memory for a configuration. In the parent, in
 * one thread, before it has children of this configuration. Linear in the
 * names.
 * @param counters The counters of a former configuration, or NULL, on entry.
 *                 On success those of this one: the same if there was room.
 * @param names The virtual hosts' names; several of one name share an id.
 * @param ids On success, the id of each name.
 * @param pool Must outlive the children: the process's own.
 * @return APR_SUCCESS, or the system's error; *counters is unchanged then.
 */
apr_status_t fw2_counters_prepare(fw2_counters **counters,
                                  const char *const *names, fw2_vhost_id *ids,
                                  int n, apr_pool_t *pool);

/** Add to counters that fw2_counters_prepare() made anew the totals of those
 *  that they replace. The first closer process of a configuration, once. */
void fw2_counters_inherit(fw2_counters *counters);

/** Unmap the counters that these replace; children that still have them keep
 *  their own mapping. The parent, once a process has inherited. */
void fw2_counters_forget(fw2_counters *counters);

/** Count a connection that came to its end; once for each. */
void fw2_counters_closed(fw2_counters *counters, fw2_vhost_id vhost,
                         const fw2_closed *closed);

/** Count a linger that ended after so many microseconds and drained bytes. */
void fw2_counters_ended(fw2_counters *counters, fw2_vhost_id vhost,
                        fw2_ending ending, apr_interval_time_t lingered,
                        apr_uint64_t drained);

/**
 * Count a connection that is left to httpd's own linger.
 * @param now apr_time_now()'s.
 * @return True if the caller is to log it: no process has, for ten minutes.
 */
int fw2_counters_fallback(fw2_counters *counters, fw2_refusal why,
                          apr_time_t now);

/** Count a message that was not accepted, or so many lost lingers. */
void fw2_counters_invalid(fw2_counters *counters);
void fw2_counters_lost(fw2_counters *counters, apr_int64_t n);

/** How many virtual hosts there is room for: each id is below that. */
apr_size_t fw2_counters_places(const fw2_counters *counters);

/** Changes whenever names get other ids. */
int fw2_counters_layout(const fw2_counters *counters);

/** How many ids have a name. */
int fw2_counters_named(const fw2_counters *counters);

/** The names by id, for as long as the counters. */
const char *const *fw2_counters_names(const fw2_counters *counters);

/** How many connections of a virtual host ended, and how many of its lingers
 *  that were evicted. */
apr_int64_t fw2_counters_ends(const fw2_counters *counters, fw2_vhost_id vhost);
apr_int64_t fw2_counters_evicted(const fw2_counters *counters,
                                 fw2_vhost_id vhost);

/**
 * Note all totals for the trends if an interval is over since the last time.
 * The closer process of the newest configuration.
 * @param now fw2_clock_now()'s; 0 or above.
 */
void fw2_counters_note(fw2_counters *counters, apr_time_t now);

/**
 * Read how many connections of a virtual host ended in each of the last
 * intervals that are over, the oldest first; -1 before the first note.
 * @param trend Room for FW2_TREND.
 */
void fw2_counters_trend(const fw2_counters *counters, fw2_vhost_id vhost,
                        apr_int64_t *trend);

/** Read one virtual host's totals, or the server's. */
void fw2_counters_vhost(const fw2_counters *counters, fw2_vhost_id vhost,
                        fw2_vhost_totals *totals);
void fw2_counters_server(const fw2_counters *counters,
                         fw2_server_totals *totals);

/** A number that changes with the layout of what outlives a restart. */
apr_size_t fw2_counters_footprint(void);

#endif /* FW2_COUNTERS_H */
