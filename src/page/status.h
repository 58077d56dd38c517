/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_STATUS_H
#define FW2_STATUS_H

/*
 * status: the page, as a handler that answers with one snapshot in the format
 * asked for.
 */

#include "httpd.h"

#include "page/report.h"

/**
 * The content handler `finwait-status`. May be called from any thread; holds
 * no lock while it writes, so a slow reader delays nobody.
 * @param sources Where the figures come from.
 * @return DECLINED for another handler's request; 404 where FinWait2Status is
 *         Off (logged); 405 for all but GET and HEAD; else OK.
 */
int fw2_status_handler(request_rec *r, const fw2_sources *sources);

/**
 * mod_status's hook: what its page shows of ours, from the last snapshot;
 * never counts. Any thread.
 * @param flags mod_status's own.
 */
int fw2_status_block(request_rec *r, int flags, const fw2_sources *sources);

/**
 * Return the level of the verdict on the last count, as fw2_sample has it. For
 * the closer process, which samples it; never blocks.
 * @param pool For what the verdict is made of; to be cleared afterwards.
 */
apr_int64_t fw2_status_severity(const fw2_sources *sources, apr_pool_t *pool);

#endif /* FW2_STATUS_H */
