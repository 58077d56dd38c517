/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_PROCESS_H
#define FW2_PROCESS_H

/*
 * process: the closer process, `finwait2` in ps, one for each configuration.
 *
 * The process lingers on all sockets that children hand off, counts the sockets
 * in the kernel's tables for the pages and the history, keeps the lists of
 * clients, and is the only writer of counts, rates and history. The process has
 * one thread and one loop, and no lock.
 *
 * The process ends after SIGTERM, or when no child can send any more and no
 * socket is held. It trusts no data that other processes write.
 *
 * The room depends on the rooms below, and not on httpd. Every function is
 * called once, in the process that the parent has forked.
 */

#include <signal.h>
#include <sys/types.h>

#include "apr_pools.h"

#include "shared/board.h"
#include "shared/clients.h"
#include "shared/counters.h"
#include "shared/queue.h"
#include "shared/history.h"

/** The signals that the process handles: end at once; stop counting and
 *  sampling, as a newer process does it; no child can send any more, though a
 *  fork of one may have the queue open; the parent has died. */
#define FW2_SIGNAL_STOP        SIGTERM
#define FW2_SIGNAL_RETIRE      SIGUSR1
#define FW2_SIGNAL_LAST        SIGWINCH
#define FW2_SIGNAL_PARENT_DIED SIGUSR2

/** The data that the process works with; made by the parent. */
typedef struct fw2_setup {
    apr_pool_t *pool; /**< lives until the process has ended */
    fw2_queue queue;  /**< both ends -1: no queue; the process only counts */
    fw2_counters *counters;
    fw2_board *board;
    fw2_clients *clients;          /**< NULL: clients are not listed */
    fw2_history *history;          /**< NULL: no history is kept */
    const fw2_endpoint *endpoints; /**< the endpoints of a count */
    int n;                         /**< number of endpoints */
    int peers;                     /**< most clients listed with a count */
    int lingers;                   /**< 1: a virtual host hands sockets off */
    int slots;                     /**< most sockets held; 0: as many as the
                                        limit of descriptors allows */
    int pages;                     /**< 1: the page answers */
    apr_interval_time_t sample_interval; /**< microseconds; 0: no samples */
    apr_interval_time_t longest;         /**< the longest FinWait2LingerTotal */
    apr_uint64_t marks;                  /**< marks of the first sample */
    /** Return the severity of the published data, as in fw2_sample; NULL: the
     *  severity is not sampled. */
    apr_int64_t (*severity)(apr_pool_t *pool);
    apr_interval_time_t delay; /**< time to wait before the start */
    int null; /**< descriptor of /dev/null, opened before a change of the root
                   directory; or -1 */
    pid_t parent;
} fw2_setup;

/**
 * Prepare the process as long as it may be root and has the old root directory:
 * set the name for ps, top and pgrep, raise the limit of descriptors for the
 * slots, and open /dev/null.
 * @param setup `slots` is set to the number that the limit allows.
 */
void fw2_process_prepare(fw2_setup *setup);

/** Close all descriptors but the queue's, run the loop, and return when the
 *  process is to exit. To be called after privileges are dropped.
 *  @param setup `queue` is set to the descriptors that stay open. */
void fw2_process_run(fw2_setup *setup, apr_pool_t *pool);

#endif /* FW2_PROCESS_H */
