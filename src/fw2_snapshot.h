/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_SNAPSHOT_H
#define FW2_SNAPSHOT_H

/*
 * snapshot: one count of the kernel's tables for all who ask, in memory that
 * all children of a configuration share.
 *
 * A count costs up to a microsecond a socket, and a page may be asked for by
 * anybody at any rate. So there is one count at a time, by whoever asks first
 * after the last one has become old; all others are served the last one at
 * once, with its age. It becomes old after a second, or after 25 times the CPU
 * time that it took: at most 4 % of one core, however many ask. Nor may a count
 * take long: what is predicted to take more than a quarter of a second is not
 * begun, and what takes more ends there, incomplete.
 *
 * Knows APR and sockdiag, and nothing of httpd. There is no lock: a count is
 * written into the one of two places that nobody is shown, and a reader whose
 * place was written to meanwhile reads again. A process may die anywhere: the
 * next one takes over after ten seconds.
 */

#include "apr_errno.h"
#include "apr_pools.h"
#include "apr_time.h"

#include "fw2_sockdiag.h"

/** One count, copied out of the shared memory. */
typedef struct fw2_shot {
    fw2_census census;        /**< its tallies are one an endpoint */
    fw2_limits limits;        /**< read at the same time */
    fw2_limits before;        /**< the limits one to ten minutes before; all -1
                                  where nobody counted then */
    apr_interval_time_t over; /**< microseconds since; 0 likewise */
    apr_int64_t descriptors;  /**< open ones of the process that counted; -1:
                                  not known */
    apr_int64_t descriptor_limit; /**< that it may have; the same */
    apr_interval_time_t age;      /**< microseconds since */
    apr_int64_t counts;           /**< how many there were, this one included;
                                  0: none yet, and nothing here is known */
} fw2_shot;

typedef struct fw2_snapshot fw2_snapshot;

/**
 * Make the shared memory. In the parent, in one thread, before it has children
 * of this configuration.
 * @param endpoints Where to count; must outlive it.
 * @param peers How many peers to list, as fw2_sockdiag_count() takes it.
 * @param pool Whose end is the snapshot's; children keep their own mapping.
 * @return APR_SUCCESS, or the system's error; the snapshot is there all the
 *         same then, but each process has it for itself.
 */
apr_status_t fw2_snapshot_create(fw2_snapshot **snapshot,
                                 const fw2_endpoint *endpoints, int n,
                                 int peers, apr_pool_t *pool);

/**
 * The last count, or, if that is old and nobody else is at it, a new one. Any
 * thread of any process. Blocks only whoever makes the new one, as
 * fw2_sockdiag_count() does, and for at most a quarter of a second those who
 * come while the very first is made.
 * @return Never NULL; from the pool, and the caller's.
 */
const fw2_shot *fw2_snapshot_get(fw2_snapshot *snapshot, apr_pool_t *pool);

/** The last count, however old. Any thread of any process; never blocks. */
const fw2_shot *fw2_snapshot_last(const fw2_snapshot *snapshot,
                                  apr_pool_t *pool);

#endif /* FW2_SNAPSHOT_H */
