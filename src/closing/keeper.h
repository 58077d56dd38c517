/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_KEEPER_H
#define FW2_KEEPER_H

/*
 * keeper: the parent's part of the closer process.
 *
 * The keeper forks one closer process for each configuration, replaces a
 * process that dies, and ends the processes when httpd restarts or stops:
 *
 *   graceful restart   the process goes on without the parent until its
 *                      children and its sockets are gone; the new configuration
 *                      has a process of its own
 *   graceful stop      the parent waits until all processes have ended, for
 *                      GracefulShutdownTimeout at most
 *   any other          the processes end within a second
 *
 * The parent may be root, so it reads nothing that a process can write, except
 * exit statuses. Only the parent's one thread calls these functions, unless
 * noted otherwise.
 */

#include "httpd.h"

#include "closing/process.h"

/** The closer processes of all configurations, the newest first; retained by
 *  httpd, also while this module is unloaded in a restart. NULL: none. */
typedef struct fw2_closer_process *fw2_closer_processes;

/**
 * Add a closer process for a new configuration, not yet started, and adopt the
 * processes of former configurations.
 * @param pool httpd's process pool.
 * @param pconf The configuration's pool.
 * @return The setup of the closer process, which the caller fills in before
 *         fw2_keeper_start(); never NULL. `pool`, `queue` and `parent` are set.
 */
fw2_setup *fw2_keeper_add(fw2_closer_processes *processes, apr_pool_t *pool,
                          apr_pool_t *pconf);

/** Start the newest closer process if it does not run and the configuration
 *  needs it: sockets are handed off, or the page is on. To be called in
 *  post_config, and in the monitor hook for another attempt after a failure,
 *  without which httpd goes on. */
void fw2_keeper_start(fw2_closer_processes processes);

/** Wrap the MPM's signal handlers. To be called in the child_status hook, when
 *  the MPM has set them. */
void fw2_keeper_signals(void);

/**
 * Return the boards of all processes in the list, the newest first.
 * @param n On return, the number of boards.
 * @return From the pool; constant in the children.
 */
const fw2_board **fw2_keeper_boards(fw2_closer_processes processes, int *n,
                                    apr_pool_t *pool);

/** Return the size of the data that is retained of each process. */
apr_size_t fw2_keeper_footprint(void);

/** Close the closer process's end of the queue. To be called in each child,
 *  once. */
void fw2_keeper_in_child(fw2_setup *setup);

#endif /* FW2_KEEPER_H */
