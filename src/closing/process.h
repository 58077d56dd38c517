/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_PROCESS_H
#define FW2_PROCESS_H

/*
 * process: the closer process, `finwait2` in ps: one for a configuration.
 *
 * It lingers on every socket that children hand off, counts the kernel's
 * tables for the pages and the history, keeps the lists of clients, and is the
 * one writer of what the pages read. All of that is one thread and one loop,
 * without a lock.
 *
 * The first message of a batch wakes it; 20 ms later it takes everything that
 * is queued, and by then most clients have closed. While nothing happens it
 * sleeps.
 *
 * It ends when it is told to (SIGTERM), or, once no child can send any more,
 * as soon as it holds nothing. It reads what other processes write, so it
 * trusts none of it.
 *
 * Knows the rooms below and nothing of httpd. Every function here is called
 * once, in the process that the parent has forked for it.
 */

#include <signal.h>
#include <sys/types.h>

#include "apr_pools.h"

#include "shared/board.h"
#include "shared/clients.h"
#include "shared/counters.h"
#include "shared/queue.h"
#include "shared/history.h"

/** The signals that the process obeys. */
#define FW2_SIGNAL_STOP     SIGTERM /**< end at once */
#define FW2_SIGNAL_RETIRE   SIGUSR1 /**< a newer process counts and samples */
#define FW2_SIGNAL_LAST     SIGWINCH /**< no child is left; a fork of one may be */
#define FW2_SIGNAL_ORPHANED SIGUSR2 /**< the parent has died */

/** Everything that the process works with; made by the parent. */
typedef struct fw2_setup {
    fw2_queue queue; /**< -1: there is none; then the process only counts */
    fw2_counters *counters;
    fw2_board *board;
    fw2_clients *clients;          /**< NULL: no lists are wanted */
    fw2_history *history;          /**< NULL: no history is kept */
    const fw2_endpoint *endpoints; /**< where to count */
    int n;                         /**< of them */
    int peers;                     /**< addresses to list with a count */
    int lingers;                   /**< a virtual host has sockets for it */
    int slots;                     /**< sockets to hold; 0: as many as it has
                                        descriptors for */
    int pages;                     /**< the page answers */
    int inherit;                   /**< take over the former counters' totals */
    apr_interval_time_t sample_interval; /**< microseconds; 0: no samples */
    apr_interval_time_t longest;         /**< the longest FinWait2LingerTotal */
    apr_uint64_t marks;                  /**< for the first sample */
    apr_int64_t (*severity)(apr_pool_t *pool); /**< of what is published, as a
                                                    sample has it; NULL: it is
                                                    not sampled */
    apr_interval_time_t delay;           /**< to wait before doing anything */
    int null; /**< /dev/null, opened before a change of root; or -1 */
    pid_t parent;
} fw2_setup;

/**
 * Have a name in ps, top and pgrep; and what takes root, or the root folder:
 * raise the limit of descriptors for the slots, and open /dev/null.
 * @param setup Its `slots` become what the limit has room for.
 */
void fw2_process_prepare(fw2_setup *setup);

/** Close all descriptors but the queue's, do the work, and return when it is
 *  done. Privileges are dropped by now. */
void fw2_process_run(const fw2_setup *setup, apr_pool_t *pool);

#endif /* FW2_PROCESS_H */
