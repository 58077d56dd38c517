/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_STATUS_H
#define FW2_STATUS_H

/*
 * status: the page: a content handler that answers with a snapshot in the
 * requested format.
 */

#include "httpd.h"

#include "page/report.h"

/**
 * Answer a request for the handler `finwait-status`. Any thread may call it. It
 * holds no lock while it writes, so a slow client delays no other.
 * @param sources The sources of the figures.
 * @return DECLINED for another handler's request; 404 if FinWait2Status is Off
 *         (logged); 503 without shared memory (logged); 405 for all methods but
 *         GET and HEAD; otherwise OK.
 */
int fw2_status_handler(request_rec *r, const fw2_sources *sources);

/**
 * Write the block in mod_status's page, from the last count; never counts. A
 * hook of mod_status. Any thread may call it.
 * @param flags The flags of mod_status.
 * @return DECLINED if FinWait2Status is Off or without shared memory; otherwise
 *         OK.
 */
int fw2_status_block(request_rec *r, int flags, const fw2_sources *sources);

/**
 * Return the level of the verdict on the last count, as in fw2_sample. The
 * closer process calls it for its samples. Never blocks.
 * @param pool A pool for temporary data, which the caller clears afterwards.
 */
apr_int64_t fw2_status_severity(const fw2_sources *sources, apr_pool_t *pool);

#endif /* FW2_STATUS_H */
