/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_COMPAT_H
#define FW2_COMPAT_H

/*
 * compat: the differences between the versions of httpd that the module builds
 * with, 2.4.49 to trunk. No other file depends on a version. Every APR that
 * such an httpd was built with is supported.
 */

#include "ap_mmn.h"
#include "httpd.h"
#include "util_filter.h"

#if !AP_MODULE_MAGIC_AT_LEAST(20120211, 116)
#error "mod_finwait2 needs httpd 2.4.49 or later; these headers are older."
#endif

/** True if the connection's filters have output that is not yet sent. httpd 2.5
 *  has a function instead of the field. The connection's own thread. */
static inline int fw2_compat_has_output(conn_rec *c)
{
#if AP_MODULE_MAGIC_AT_LEAST(20150222, 5)
    return ap_filter_should_yield(c->output_filters);
#else
    return c->data_in_output_filters;
#endif
}

/** True if the connection's filters have read more than the caller wanted. The
 *  connection's own thread. */
static inline int fw2_compat_has_input(conn_rec *c)
{
#if AP_MODULE_MAGIC_AT_LEAST(20150222, 5)
    return ap_filter_input_pending(c) == OK;
#else
    return c->data_in_input_filters;
#endif
}

#endif /* FW2_COMPAT_H */
