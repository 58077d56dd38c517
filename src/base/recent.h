/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_RECENT_H
#define FW2_RECENT_H

/*
 * recent: the values of a set of counters a minute ago, from which rates are
 * calculated.
 *
 * One process keeps marks in its own memory: every 15 seconds a copy of all
 * counters. A rate compares the present values with the newest mark that is at
 * least a minute old. A shorter span has too few events for a rate, so no rate
 * is known in the first minute. A mark older than ten minutes is not used.
 *
 * The room depends on APR and not on httpd. One thread; does not block.
 */

#include "apr_pools.h"
#include "apr_time.h"

typedef struct fw2_recent fw2_recent;

/** Create the marks, all empty.
 *  @param n The number of counters. */
fw2_recent *fw2_recent_create(apr_size_t n, apr_pool_t *pool);

/** True if the newest mark is 15 seconds old, or if there is none. All times
 *  in this room are from a monotonic clock, in microseconds. */
int fw2_recent_is_due(const fw2_recent *recent, apr_time_t now);

/** Begin a new mark and return its counters, which the caller fills in at
 *  once. */
apr_int64_t *fw2_recent_mark(fw2_recent *recent, apr_time_t now);

/**
 * Return the counters of a minute ago.
 * @param over Microseconds since then; 0 where the result is NULL.
 * @return NULL if no mark is old enough, or all are too old.
 */
const apr_int64_t *fw2_recent_then(const fw2_recent *recent, apr_time_t now,
                                   apr_interval_time_t *over);

/** Return the rounded events a minute of a counter that has changed from `then`
 *  to `now` in `over` microseconds; -1 if `then` is below 0 or `over` is 0. */
apr_int64_t fw2_recent_per_minute(apr_int64_t now, apr_int64_t then,
                                  apr_interval_time_t over);

#endif /* FW2_RECENT_H */
