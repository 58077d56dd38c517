/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_SOCKOPTS_H
#define FW2_SOCKOPTS_H

/*
 * sockopts: the part of a policy that the kernel keeps on a socket.
 *
 * Knows APR and the kernel, and nothing of httpd. Any thread may call the
 * functions: none keeps state.
 */

#include "apr_errno.h"
#include "apr_time.h"

#include "base/policy.h"

/** The part of a policy that the kernel keeps on the socket itself. */
typedef struct fw2_sockopts {
    int linger2;   /**< TCP_LINGER2, in seconds */
    int so_linger; /**< SO_LINGER, in seconds, or FW2_SOCKET_LINGER_OFF */
} fw2_sockopts;

/** The options of a new socket. */
extern const fw2_sockopts fw2_sockopts_system;

/**
 * The kernel's part of a policy; fw2_sockopts_system where the policy's engine
 * is off, since such connections are to be as httpd makes them.
 */
fw2_sockopts fw2_sockopts_of(const fw2_policy *policy);

/** Whether two are the same on the socket. */
int fw2_sockopts_equal(fw2_sockopts a, fw2_sockopts b);

/**
 * Bring a TCP socket from one set of options to another, with a system call
 * for each that differs and none where nothing does.
 * @param fd A TCP socket in any state, listening ones included: accepted
 *           sockets inherit both options (sk_clone_lock(); measured). Stays
 *           the caller's.
 * @param has What the socket has now, and on success has then; on failure it
 *            says what was reached. NULL where it is not known: sets both.
 * @param want What it shall have.
 * @return APR_SUCCESS; APR_ENOTIMPL where this platform lacks the option;
 *         otherwise the system's error, of which EOPNOTSUPP and ENOPROTOOPT
 *         mean that the socket is not plain TCP (a Unix socket, MPTCP).
 */
apr_status_t fw2_sockopts_apply(int fd, fw2_sockopts *has, fw2_sockopts want);

/** Whether this platform can bound an orphan's life for one socket alone. */
int fw2_sockopts_has_linger2(void);

/** Whether it can bound the wait for acknowledgements. */
int fw2_sockopts_has_user_timeout(void);

/**
 * Bound the kernel's wait for acknowledgements (TCP_USER_TIMEOUT). Only for a
 * socket that is closing: it kills a live one whose reader pauses (measured).
 * @param timeout Microseconds; FW2_USER_TIMEOUT_SYSTEM asks for nothing.
 * @return APR_SUCCESS, APR_ENOTIMPL, or the system's error.
 */
apr_status_t fw2_sockopts_user_timeout(int fd, apr_interval_time_t timeout);

#endif /* FW2_SOCKOPTS_H */
