/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_POLICY_H
#define FW2_POLICY_H

/*
 * policy: what one virtual host wants of its connections' end, as a plain
 * value.
 *
 * Knows APR and nothing of httpd. Any thread may call the functions: none
 * keeps state.
 */

#include "apr.h"
#include "apr_time.h"

/** TCP_LINGER2 as the kernel counts it: 0 asks for the system's own value
 *  (net.ipv4.tcp_fin_timeout, read live), below 0 for no FIN_WAIT_2 at all. */
#define FW2_TIMEOUT_SYSTEM 0
#define FW2_TIMEOUT_NONE   (-1)
/** The longest TCP_LINGER2 that lives as long as it says; longer ones are cut
 *  in two by the kernel: first (n - 60) s as a full socket, then (n - 60) s as
 *  a mini-socket, so that only 120 means what it says again.
 *  (tcp_close() and tcp_keepalive_timer(); measured on Linux 6.18.) */
#define FW2_TIMEOUT_EXACT_MAX 60
/** The kernel's own ceiling, TCP_FIN_TIMEOUT_MAX. */
#define FW2_TIMEOUT_MAX 120

/** SO_LINGER as this module counts it: off, or seconds; 0 resets. */
#define FW2_SOCKET_LINGER_OFF   (-1)
#define FW2_SOCKET_LINGER_RESET 0

/** The virtual host keeps httpd's own KeepAliveTimeout. */
#define FW2_KEEPALIVE_INHERIT (-1)

/** Responses promise what httpd's own would, or nothing. */
#define FW2_ADVERTISE_INHERIT (-1)
#define FW2_ADVERTISE_OFF     0

/** The value for a linger that may drain any number of bytes. */
#define FW2_BYTES_UNLIMITED (-1)

/** The longest silence depends on what the client was doing: see
 *  fw2_policy_idle(). */
#define FW2_IDLE_AUTO 0

/** The value that leaves the wait for an acknowledgement to the kernel. */
#define FW2_USER_TIMEOUT_SYSTEM 0

/** The bounds of the directives, in the units of fw2_policy: what a closer
 *  process accepts from a child is within these. */
#define FW2_LINGER_MIN       (10 * (apr_int64_t)1000)
#define FW2_LINGER_MAX       apr_time_from_sec(3600)
#define FW2_USER_TIMEOUT_MIN (100 * (apr_int64_t)1000)
#define FW2_USER_TIMEOUT_MAX apr_time_from_sec(3600)

/** The one who lingers after our FIN, and until when. */
typedef enum {
    FW2_LINGER_AUTO,   /**< we: until all data is acknowledged, if the client
                            will send no more; else as `always` */
    FW2_LINGER_ALWAYS, /**< we: until the client closes, or time is up */
    FW2_LINGER_OFF,    /**< nobody: the kernel does the rest */
    FW2_LINGER_HTTPD   /**< httpd, as ever */
} fw2_linger;

/**
 * The settings of one virtual host. A plain value: copy it freely, it points at
 * nothing. Fields are all of one type so that the directives' table can set
 * and merge each by its offset.
 */
typedef struct fw2_policy {
    apr_int64_t engine;            /**< 0: leave its connections alone */
    apr_int64_t linger;            /**< an fw2_linger */
    apr_int64_t linger_idle;       /**< microseconds of silence at most; see
                                        above */
    apr_int64_t linger_total;      /**< microseconds altogether at most */
    apr_int64_t linger_bytes;      /**< drained at most; see above */
    apr_int64_t user_timeout;      /**< microseconds that the client may
                                        acknowledge nothing; see above */
    apr_int64_t timeout;           /**< TCP_LINGER2, in seconds; see above */
    apr_int64_t socket_linger;     /**< SO_LINGER, in seconds; see above */
    apr_int64_t keepalive_timeout; /**< microseconds; see above */
    apr_int64_t advertise; /**< the promised keep-alive time in seconds; see
                                above */
} fw2_policy;

/**
 * Return the longest silence while lingering, in microseconds, which is never
 * FW2_IDLE_AUTO.
 * @param sending True if httpd closed while the client was sending: it may go
 *                on after a pause, without a look at the response.
 */
apr_int64_t fw2_policy_idle(const fw2_policy *policy, int sending);

/** Return the promised keep-alive time in seconds, as `advertise` has it;
 *  FW2_ADVERTISE_INHERIT of a virtual host that is left alone. */
apr_int64_t fw2_policy_promise(const fw2_policy *policy);

#endif /* FW2_POLICY_H */
