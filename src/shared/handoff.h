/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_HANDOFF_H
#define FW2_HANDOFF_H

/*
 * handoff: the terms on which a child hands a socket off. The room is a header
 * only.
 *
 * The room depends on APR and policy, and not on httpd.
 */

#include "apr.h"
#include "apr_time.h"

#include "base/policy.h"

/** The event that ends a linger, besides its limits and the client's FIN. */
typedef enum {
    FW2_UNTIL_CLOSED,   /**< none: the client may send more */
    FW2_UNTIL_ACKED,    /**< the last acknowledgement */
    FW2_UNTIL_ANSWERED, /**< the last acknowledgement, and then the time that a
                             client needs to answer, for example close_notify */
    FW2_UNTILS
} fw2_until;

/** The facts about a socket that the observer of its linger needs. */
typedef struct fw2_tag {
    apr_uint32_t vhost;
    apr_uint32_t cause; /**< an fw2_cause: why the connection ends */
    apr_uint64_t net;   /**< the client's net; fw2_clients_net()'s */
} fw2_tag;

/** The terms on which a socket is handed off: a plain value without pointers,
 *  which passes from one process to another. Times are in microseconds. */
typedef struct fw2_handoff {
    fw2_tag tag;
    apr_uint32_t until;       /**< an fw2_until */
    apr_uint32_t reset;       /**< 1: SO_LINGER with 0 s is configured */
    apr_int64_t linger_idle;  /**< as in fw2_policy, but never FW2_IDLE_AUTO */
    apr_int64_t linger_total; /**< as in fw2_policy */
    apr_int64_t linger_bytes; /**< as in fw2_policy */
    apr_int64_t user_timeout; /**< as in fw2_policy */
    apr_int64_t once_acked;   /**< the longest linger after all data is
                                   acknowledged; 0: no such limit */
    apr_time_t begun;         /**< when our FIN was sent; fw2_clock_now()'s */
} fw2_handoff;

#endif /* FW2_HANDOFF_H */
