/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_RECENT_H
#define FW2_RECENT_H

/*
 * recent: what a set of counters was a minute ago, so that a rate can be told.
 *
 * One process keeps marks of its own memory: every quarter of a minute a copy
 * of all counters. A rate compares now with the newest mark that is a minute
 * old at least. Few events make no rate, so nothing is known in the first
 * minute, and a mark that is older than ten minutes says nothing recent.
 *
 * Knows APR and nothing of httpd. One thread; does not block.
 */

#include "apr_pools.h"
#include "apr_time.h"

typedef struct fw2_recent fw2_recent;

/** @param n How many counters there are. */
fw2_recent *fw2_recent_create(apr_size_t n, apr_pool_t *pool);

/** True if a quarter of a minute is over since the newest mark. Times are
 *  those of a monotonic clock, in microseconds. */
int fw2_recent_is_due(const fw2_recent *recent, apr_time_t now);

/** The place for a new mark, to be filled in with all counters at once. */
apr_int64_t *fw2_recent_mark(fw2_recent *recent, apr_time_t now);

/**
 * The counters of a minute ago.
 * @param over Microseconds since; 0 where the result is NULL.
 * @return NULL if that is not known.
 */
const apr_int64_t *fw2_recent_then(const fw2_recent *recent, apr_time_t now,
                                   apr_interval_time_t *over);

/** Events a minute, rounded, of a counter that was `then` so many microseconds
 *  before; -1 where `then` is below 0 or `over` is 0. */
apr_int64_t fw2_recent_per_minute(apr_int64_t now, apr_int64_t then,
                                  apr_interval_time_t over);

#endif /* FW2_RECENT_H */
