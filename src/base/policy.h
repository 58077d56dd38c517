/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_POLICY_H
#define FW2_POLICY_H

/*
 * policy: the settings of one virtual host for the end of its connections, as
 * a plain value.
 *
 * The room depends on APR and not on httpd. Any thread may call its functions:
 * they keep no state.
 */

#include "apr.h"
#include "apr_time.h"

/** TCP_LINGER2 as the kernel counts it: 0 asks for the system's own value
 *  (net.ipv4.tcp_fin_timeout, read live), below 0 for no FIN_WAIT_2 at all. */
#define FW2_TIMEOUT_SYSTEM 0
#define FW2_TIMEOUT_NONE   (-1)
/** The longest TCP_LINGER2, in seconds, that the kernel keeps exactly. With a
 *  longer one of n seconds the socket lives for (n - 60) s as a full socket
 *  and then for (n - 60) s as a mini-socket, so the sum is n again only for
 *  120. (tcp_close() and tcp_keepalive_timer(); measured on Linux 6.18.) */
#define FW2_TIMEOUT_EXACT_MAX 60
/** The kernel's own ceiling, TCP_FIN_TIMEOUT_MAX. */
#define FW2_TIMEOUT_MAX 120

/** SO_LINGER as this module counts it: off, or seconds; 0 resets. */
#define FW2_SOCKET_LINGER_OFF   (-1)
#define FW2_SOCKET_LINGER_RESET 0

/** The value that keeps httpd's own KeepAliveTimeout. */
#define FW2_KEEPALIVE_INHERIT (-1)

/** The values with which responses promise httpd's own keep-alive time, or
 *  nothing. */
#define FW2_ADVERTISE_INHERIT (-1)
#define FW2_ADVERTISE_OFF     0

/** The value for a linger that may drain any number of bytes. */
#define FW2_BYTES_UNLIMITED (-1)

/** The value with which the longest idle time depends on whether the client
 *  was sending: see fw2_policy_idle(). */
#define FW2_IDLE_AUTO 0

/** The value that leaves the wait for an acknowledgement to the kernel. */
#define FW2_USER_TIMEOUT_SYSTEM 0

/** The bounds of the directives, in the units of fw2_policy. A closer process
 *  accepts no value outside of them from a child. */
#define FW2_LINGER_MIN       (10 * (apr_int64_t)1000)
#define FW2_LINGER_MAX       apr_time_from_sec(3600)
#define FW2_USER_TIMEOUT_MIN (100 * (apr_int64_t)1000)
#define FW2_USER_TIMEOUT_MAX apr_time_from_sec(3600)

/** The side that lingers after our FIN, and until when. */
typedef enum {
    FW2_LINGER_AUTO,   /**< this module: until all data is acknowledged, if the
                            client will send no more; else as `always` */
    FW2_LINGER_ALWAYS, /**< this module: until the client closes, or a limit is
                            reached */
    FW2_LINGER_OFF,    /**< neither: the kernel does the rest */
    FW2_LINGER_HTTPD   /**< httpd, as it does without this module */
} fw2_linger;

/**
 * The settings of one virtual host: a plain value without pointers, so any
 * code may copy it. All fields have one type so that the directives' table can
 * set and merge each field by its offset.
 */
typedef struct fw2_policy {
    apr_int64_t engine;            /**< 0: leave the connections alone */
    apr_int64_t linger;            /**< an fw2_linger */
    apr_int64_t linger_idle;       /**< the longest idle time in microseconds,
                                        or FW2_IDLE_AUTO */
    apr_int64_t linger_total;      /**< the longest linger in microseconds */
    apr_int64_t linger_bytes;      /**< the most bytes drained; see above */
    apr_int64_t user_timeout;      /**< the longest time in microseconds without
                                        an acknowledgement; see above */
    apr_int64_t timeout;           /**< TCP_LINGER2, in seconds; see above */
    apr_int64_t socket_linger;     /**< SO_LINGER, in seconds; see above */
    apr_int64_t keepalive_timeout; /**< microseconds; see above */
    apr_int64_t advertise; /**< the promised keep-alive time in seconds; see
                                above */
} fw2_policy;

/**
 * Return the longest idle time of a linger in microseconds, never
 * FW2_IDLE_AUTO.
 * @param sending True if httpd closed while the client was sending: such a
 *                client may go on sending after a pause before it reads the
 *                response.
 */
apr_int64_t fw2_policy_idle(const fw2_policy *policy, int sending);

/** Return `advertise`, or FW2_ADVERTISE_INHERIT if the engine is off. */
apr_int64_t fw2_policy_promise(const fw2_policy *policy);

#endif /* FW2_POLICY_H */
