/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_KEEPER_H
#define FW2_KEEPER_H

/*
 * keeper: the parent's part of the closer process.
 *
 * It forks one process for each configuration, starts another if that dies,
 * and at a restart or stop of httpd does what no process must suffer from:
 *
 *   graceful restart   the process goes on without the parent until its
 *                      children and its sockets are gone; a new configuration
 *                      has a process of its own
 *   graceful stop      the parent waits until all processes are done, for
 *                      GracefulShutdownTimeout at most
 *   any other          they end within a second
 *
 * The parent may be root: it reads nothing that a process can write, but exit
 * statuses. Only the parent's one thread calls these, except as said.
 */

#include "httpd.h"

#include "closing/process.h"

/** One configuration's process. Lives in a pool of its own until the process
 *  is gone, across restarts and the unloading of this module. */
typedef struct fw2_kept fw2_kept;

/** All of them, the newest first; retained by httpd. NULL: none. */
typedef fw2_kept *fw2_keeper;

/**
 * Begin to keep a process for a new configuration, and adopt those of former
 * ones.
 * @param pool The process's own.
 * @param pconf The configuration's pool.
 * @return Never NULL.
 */
fw2_kept *fw2_keeper_add(fw2_keeper *keeper, server_rec *main_server,
                         apr_pool_t *pool, apr_pool_t *pconf);

/** A pool that lasts as long as the configuration's process; and its setup,
 *  for the caller to fill in before fw2_keeper_start(). */
apr_pool_t *fw2_keeper_pool(const fw2_kept *kept);
fw2_setup *fw2_keeper_setup(fw2_kept *kept);

/** Start the process, if it is wanted. If that fails, httpd goes on without it,
 *  and another attempt follows. */
void fw2_keeper_start(fw2_kept *kept);

/** For the child_status hook: the MPM has its signal handlers. */
void fw2_keeper_signals(void);

/** For the monitor hook: start the process if there is none. */
void fw2_keeper_monitor(fw2_keeper keeper);

/**
 * The boards of all processes that run, the newest first.
 * @param n How many.
 * @return From the pool; constant in the children.
 */
const fw2_board **fw2_keeper_boards(fw2_keeper keeper, int *n,
                                    apr_pool_t *pool);

/** The size of what is retained of each process. */
apr_size_t fw2_keeper_footprint(void);

/** In each child, once: close what is the parent's and the process's. */
void fw2_keeper_in_child(fw2_kept *kept);

#endif /* FW2_KEEPER_H */
