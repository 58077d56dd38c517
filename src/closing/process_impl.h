/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_PROCESS_IMPL_H
#define FW2_PROCESS_IMPL_H

/*
 * process's internal header: counting, sampling and publishing. The process's
 * one thread calls all functions.
 */

#include "closing/closer.h"
#include "closing/process.h"
#include "base/recent.h"

/** The counts and rates that are made and published. */
typedef struct fw2_publisher {
    const fw2_setup *setup;
    apr_pool_t *scratch;  /**< cleared after each count */
    fw2_board_count last; /**< the last count, without its tallies */
    fw2_half half_closed; /**< its half-closed sockets; `held` and `orphan` may
                               be FW2_NOT_SAMPLED */
    apr_int64_t own_descriptors; /**< open ones while no socket is held; -1: not
                                      known */
    fw2_recent *recent_limits;   /**< recent values of the limits */
    fw2_recent *recent_events;   /**< recent values of the counters; NULL: the
                                      page is off */
    fw2_rates *rates;
    apr_time_t sample_due; /**< fw2_clock_now()'s; 0: no sample ever */
    apr_uint64_t marks;    /**< marks of the next sample */
} fw2_publisher;

/** Prepare a publisher. */
void fw2_publisher_init(fw2_publisher *publisher, const fw2_setup *setup,
                        apr_pool_t *pool);

/**
 * Count and publish, unless the last count is fresh. A count is fresh for a
 * second, or for 25 times its cost if that is longer, so that counting uses 4 %
 * of a processor at most. Blocks for a quarter of a second of CPU time at most.
 * @param held The number of sockets held now.
 */
void fw2_publisher_count(fw2_publisher *publisher, int held);

/** Take a sample for the history if one is due. Blocks as
 *  fw2_publisher_count(). */
void fw2_publisher_sample(fw2_publisher *publisher, int held);

#endif /* FW2_PROCESS_IMPL_H */
