/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_STATUS_H
#define FW2_STATUS_H

/*
 * status: the page, as a handler that answers with one snapshot in the format
 * asked for.
 */

#include "httpd.h"

#include "fw2_counters.h"
#include "fw2_vhosts.h"

/**
 * The content handler `finwait-status`. May be called from any thread; holds
 * no lock while it writes, so a slow reader delays nobody.
 * @param listeners Where to count.
 * @param counters What has happened.
 * @return DECLINED for another handler's request; 404 where FinWait2Status is
 *         Off (logged); 405 for all but GET and HEAD; else OK.
 */
int fw2_status_handler(request_rec *r, const fw2_listeners *listeners,
                       const fw2_counters *counters);

#endif /* FW2_STATUS_H */
