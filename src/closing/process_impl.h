/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_PROCESS_IMPL_H
#define FW2_PROCESS_IMPL_H

/*
 * Within the room `process`: counting, sampling and publishing. All belongs to
 * the process's one thread.
 */

#include "closing/closer.h"
#include "closing/process.h"
#include "base/recent.h"

/** The counts that are made and published. */
typedef struct fw2_publisher {
    const fw2_setup *setup;
    apr_pool_t *scratch;       /**< cleared after each count */
    fw2_board_count last;      /**< the last count, without its tallies */
    apr_interval_time_t cost;  /**< CPU time of it, publishing included */
    apr_int64_t own;           /**< descriptors open when nothing is held */
    apr_int64_t limit;         /**< of descriptors; -1: not known */
    apr_int64_t held, orphan;  /**< half-closed; FW2_NOT_SAMPLED */
    fw2_recent *recent_limits; /**< what the limits were */
    fw2_recent
        *recent_events; /**< what the counters were; NULL: no page asks */
    fw2_rates *rates;
    apr_time_t sample_due; /**< fw2_clock_now()'s; 0: no sample ever */
    apr_uint64_t marks;    /**< for the next sample */
} fw2_publisher;

void fw2_publisher_init(fw2_publisher *publisher, const fw2_setup *setup,
                        apr_pool_t *pool);

/**
 * Count and publish, unless the last count is fresh: a second old at most, or
 * 25 times what it cost, so that counting takes 4 % of a processor at most.
 * Blocks for a quarter of a second of CPU time at most.
 * @param held Sockets that are held now.
 */
void fw2_publisher_count(fw2_publisher *publisher, int held);

/** Take a sample for the history if it is due. Blocks likewise. */
void fw2_publisher_sample(fw2_publisher *publisher, int held);

#endif /* FW2_PROCESS_IMPL_H */
