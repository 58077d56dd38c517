/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_COUNTERS_H
#define FW2_COUNTERS_H

/*
 * counters: what has happened, in memory that all processes share, and that
 * outlives a child and a graceful restart.
 *
 * Totals belong to a virtual host's name; what is held now belongs to a child,
 * too, so that it is gone when the child is, however it died. All numbers are
 * atomic, there is no lock: a reader sees each as it is, though not all at one
 * moment. 64-bit atomics want APR 1.7.
 *
 * Knows APR and nothing of httpd. Any thread may count and read; who may do
 * the rest stands with it.
 */

#include "apr_errno.h"
#include "apr_pools.h"
#include "apr_portable.h"
#include "apr_time.h"

#include "fw2_policy.h"

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
} fw2_closed;

/** What happened of late, in connections a minute, over the last one to ten
 *  minutes; all -1 where that is not known. */
typedef struct fw2_recent {
    apr_int64_t causes[FW2_CAUSES];
    apr_int64_t probes;    /**< never carried a request, and httpd closed */
    apr_int64_t left_open; /**< lingers ended before the peer had closed */
    apr_int64_t evicted;   /**< of these, because their place was needed */
} fw2_recent;

/** What is known of one virtual host. */
typedef struct fw2_vhost_totals {
    const char *vhost;              /**< its name, in the shared memory */
    apr_int64_t held;               /**< sockets lingered on now */
    apr_int64_t closes[FW2_SIDES];  /**< the causes, summed up */
    apr_int64_t causes[FW2_CAUSES]; /**< connections that ended, by why */
    apr_int64_t connections[FW2_PROTOCOLS]; /**< the same, by what they spoke */
    apr_int64_t tls;                        /**< of these, encrypted */
    apr_int64_t probes;                     /**< of these, without a request */
    apr_int64_t endings[FW2_ENDINGS];
    fw2_histogram linger;
    apr_int64_t drained; /**< bytes */
    fw2_recent recent;
} fw2_vhost_totals;

/** What is known of the closers of all children together. */
typedef struct fw2_closer_totals {
    apr_int64_t held;     /**< sockets lingered on now */
    apr_int64_t capacity; /**< that may be at most */
    apr_int64_t oldest;   /**< microseconds that the oldest is held; -1: none
                               is */
    apr_int64_t evicted;  /**< sockets whose place was needed, ever */
    apr_int64_t fallback; /**< connections left to httpd's own linger for want
                               of a place, ever */
    apr_int64_t recent_fallback; /**< of these, in a minute; as fw2_recent */
} fw2_closer_totals;

typedef struct fw2_counters fw2_counters;

/** A virtual host's place among the counters. */
typedef apr_uint32_t fw2_vhost_id;

/**
 * Make or take over the shared memory for a configuration. In the parent, in
 * one thread, before it has children of this configuration.
 * @param counters What a former configuration had, or NULL, on entry. On
 *                 success what this one has: the same if there was room in it,
 *                 and its totals in any case.
 * @param names The virtual hosts'; several of one name share their counters.
 * @param ids On success, each one's id.
 * @param children The most processes at a time, those of former
 *                 configurations that still run among them.
 * @param pool Must outlive the children: the process's own.
 * @return APR_SUCCESS, or the system's error; *counters is as it was then, and
 *         if it was not NULL can go on: who has no place in it shares the last.
 */
apr_status_t fw2_counters_prepare(fw2_counters **counters,
                                  const char *const *names, fw2_vhost_id *ids,
                                  int n, int children, apr_pool_t *pool);

/**
 * A child begins to count, in a row of its own.
 * Once in each child, in one thread, before it counts.
 * @param capacity How many sockets it may hold.
 * @return The row; negative if there is none: its sockets are in the totals,
 *         but not in what is held.
 */
int fw2_counters_begin(fw2_counters *counters, int capacity);

/** A child is gone, however it died: what it held is held no more, and its row
 *  is free. In the parent. */
void fw2_counters_gone(fw2_counters *counters, apr_os_proc_t pid);

/** A connection came to its end; once for each. */
void fw2_counters_closed(fw2_counters *counters, fw2_vhost_id vhost,
                         const fw2_closed *closed);

/** A socket is taken. */
void fw2_counters_taken(fw2_counters *counters, int row, fw2_vhost_id vhost);

/** A linger of so many microseconds ended, with so many bytes drained. */
void fw2_counters_ended(fw2_counters *counters, int row, fw2_vhost_id vhost,
                        fw2_ending ending, apr_interval_time_t lingered,
                        apr_uint64_t drained);

/** The oldest socket that this child holds was taken then; 0: holds none. */
void fw2_counters_oldest(fw2_counters *counters, int row, apr_time_t since);

/** A connection was left to httpd's own linger. */
void fw2_counters_fallback(fw2_counters *counters);

/** How many a minute, rounded, of a counter that was `then` so many
 *  microseconds before; -1 where `then` is not known. */
apr_int64_t fw2_per_minute(apr_int64_t now, apr_int64_t then,
                           apr_interval_time_t over);

/**
 * Note how things are, for what is to be said of late in a while; does nothing
 * if that was done less than ten seconds ago. Any thread of any process.
 */
void fw2_counters_mark(fw2_counters *counters, apr_time_t now);

/** How many virtual hosts there is room for: each id is below that. */
apr_size_t fw2_counters_places(const fw2_counters *counters);

/**
 * Read everything.
 * @param n How many virtual hosts there are.
 * @return One for each, from the pool.
 */
fw2_vhost_totals *fw2_counters_vhosts(const fw2_counters *counters, int *n,
                                      apr_pool_t *pool);
void fw2_counters_closer(const fw2_counters *counters,
                         fw2_closer_totals *closer);

#endif /* FW2_COUNTERS_H */
