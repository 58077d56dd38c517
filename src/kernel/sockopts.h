/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_SOCKOPTS_H
#define FW2_SOCKOPTS_H

/*
 * sockopts: the part of a policy that the kernel keeps on a socket.
 *
 * The room depends on APR and the kernel, and not on httpd. Any thread may call
 * its functions: they keep no state.
 */

#include "apr_errno.h"
#include "apr_time.h"

#include "base/policy.h"

/** The socket options of a policy. */
typedef struct fw2_sockopts {
    int linger2;   /**< TCP_LINGER2, in seconds */
    int so_linger; /**< SO_LINGER, in seconds, or FW2_SOCKET_LINGER_OFF */
} fw2_sockopts;

/** The options of a new socket. */
extern const fw2_sockopts fw2_sockopts_system;

/**
 * Return the socket options of a policy. A policy with the engine off has
 * fw2_sockopts_system, which leaves connections as httpd makes them.
 */
fw2_sockopts fw2_sockopts_of(const fw2_policy *policy);

/** True if both sets of options are the same. */
int fw2_sockopts_equal(fw2_sockopts a, fw2_sockopts b);

/**
 * Set the options of a TCP socket, with one system call for each option that
 * differs.
 * @param fd A TCP socket in any state, which stays the caller's. Sockets that a
 *           listening socket accepts inherit both options (sk_clone_lock();
 *           measured).
 * @param present The socket's present options, updated with each option that
 *                was set, even if the call fails then. NULL: not known; both
 *                options are set.
 * @param want The options to set.
 * @return APR_SUCCESS; APR_ENOTIMPL where this platform lacks the option;
 *         otherwise the system's error: EOPNOTSUPP and ENOPROTOOPT mean that
 *         the socket is not plain TCP (a Unix socket, MPTCP).
 */
apr_status_t fw2_sockopts_apply(int fd, fw2_sockopts *present,
                                fw2_sockopts want);

/**
 * Close a descriptor of any kind that another process has sent. Does not block:
 * the other process may have set SO_LINGER with seconds, which would block
 * close() even of a non-blocking descriptor until all data is acknowledged
 * (inet_release()).
 * @param reset 1: discard the unsent data of a socket, and send a reset.
 */
void fw2_sockopts_close(int fd, int reset);

/** True if this platform can limit an orphan's life by socket
 *  (TCP_LINGER2). */
int fw2_sockopts_has_linger2(void);

/** True if this platform can limit the wait for acknowledgements
 *  (TCP_USER_TIMEOUT). */
int fw2_sockopts_has_user_timeout(void);

/**
 * Limit the kernel's wait for acknowledgements (TCP_USER_TIMEOUT). Only for a
 * closing socket: the option also ends an open connection while the client
 * pauses reading (measured).
 * @param timeout Microseconds; FW2_USER_TIMEOUT_SYSTEM: no system call.
 * @return APR_SUCCESS, APR_ENOTIMPL, or the system's error.
 */
apr_status_t fw2_sockopts_user_timeout(int fd, apr_interval_time_t timeout);

#endif /* FW2_SOCKOPTS_H */
