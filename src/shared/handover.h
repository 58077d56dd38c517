/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_HANDOVER_H
#define FW2_HANDOVER_H

/*
 * handover: the terms that a child hands a socket off with. A header alone.
 *
 * Knows APR and nothing of httpd.
 */

#include "apr.h"
#include "apr_time.h"

#include "base/policy.h"

/** The event that ends a linger, besides its times and the client's own FIN. */
typedef enum {
    FW2_UNTIL_CLOSED,   /**< nothing: the client may send more */
    FW2_UNTIL_ACKED,    /**< the last acknowledgement */
    FW2_UNTIL_ANSWERED, /**< the last acknowledgement, and then the time that a
                             client needs to answer, as close_notify is */
    FW2_UNTILS
} fw2_until;

/** The observer's knowledge of a socket, which goes along with it. */
typedef struct fw2_tag {
    apr_uint32_t vhost;
    apr_uint32_t cause; /**< an fw2_cause: why the connection ends */
    apr_uint64_t net;   /**< the client's */
} fw2_tag;

/** The terms that a socket is handed off with. A plain value without pointers,
 * which goes from one process to another; times are in microseconds. */
typedef struct fw2_handover {
    fw2_tag tag;
    apr_uint32_t until;      /**< an fw2_until */
    apr_uint32_t reset;      /**< 1: SO_LINGER with 0 s was asked for */
    apr_int64_t linger_idle; /**< these as in fw2_policy */
    apr_int64_t linger_total;
    apr_int64_t linger_bytes;
    apr_int64_t user_timeout;
    apr_int64_t once_acked; /**< no longer than this after all data is
                                 acknowledged; 0: no such limit */
    apr_time_t begun;       /**< when our FIN was sent; fw2_clock_now()'s */
} fw2_handover;

#endif /* FW2_HANDOVER_H */
