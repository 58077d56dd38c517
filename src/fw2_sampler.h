/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_SAMPLER_H
#define FW2_SAMPLER_H

/*
 * sampler: who takes the history's samples, and when.
 *
 * mod_watchdog, which is httpd's own, starts a thread in each child. It sleeps
 * until a sample is due, and asks the history for leave. So it is a child that
 * counts, no process of its own, and if one is gone or stuck, another takes the
 * next sample.
 *
 * The history outlives restarts, in memory of its own, which is made once and
 * only if it is wanted.
 */

#include "httpd.h"

#include "fw2_history.h"
#include "fw2_report.h"

/**
 * Have samples taken, as FinWait2Sample says. Once a start or restart, in
 * post_config, before mod_watchdog's (LAST), which looks who needs it; in one
 * thread. The next sample is marked for the restart.
 * @param sources Where the figures come from; must live as long as the
 *                configuration and its children.
 * @param pconf The configuration's pool.
 * @return The history, for the children to read, as long as httpd runs. NULL:
 *         this configuration has none, because it wants none, or for want of
 *         mod_watchdog or of memory, which is logged.
 */
const fw2_history *fw2_sampler_prepare(server_rec *main_server,
                                       const fw2_sources *sources,
                                       apr_pool_t *pconf);

#endif /* FW2_SAMPLER_H */
