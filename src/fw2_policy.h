/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_POLICY_H
#define FW2_POLICY_H

/*
 * policy: what one virtual host wants of its connections' end, as a plain
 * value, and giving the kernel's part of it to a socket.
 *
 * Knows APR and the kernel's socket options, and nothing of httpd.
 * Every function here may be called from any thread: none keeps state.
 */

#include "apr.h"
#include "apr_errno.h"
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

/** Where a linger may drain any number of bytes. */
#define FW2_BYTES_UNLIMITED (-1)

/** The longest silence depends on what the client was doing: see
 *  fw2_policy_idle(). */
#define FW2_IDLE_AUTO 0

/** Where the kernel decides how long it waits for an acknowledgement. */
#define FW2_USER_TIMEOUT_SYSTEM 0

/** The bounds of the directives, in the units of fw2_policy: what a closer
 *  process accepts from a child is within these. */
#define FW2_LINGER_MIN       (10 * (apr_int64_t)1000)
#define FW2_LINGER_MAX       apr_time_from_sec(3600)
#define FW2_USER_TIMEOUT_MIN (100 * (apr_int64_t)1000)
#define FW2_USER_TIMEOUT_MAX apr_time_from_sec(3600)

/** Who lingers after our FIN, and until when. */
typedef enum {
    FW2_LINGER_AUTO,   /**< we: until the peer has everything, if it has
                            nothing more to say; else as `always` */
    FW2_LINGER_ALWAYS, /**< we: until the peer closes, or time is up */
    FW2_LINGER_OFF,    /**< nobody: the kernel does the rest */
    FW2_LINGER_HTTPD   /**< httpd, as ever */
} fw2_linger;

/** How a linger ended. */
typedef enum {
    FW2_ACKED,       /**< the peer has everything, and has nothing to say */
    FW2_PEER_CLOSED, /**< the peer's FIN came */
    FW2_PEER_RESET,  /**< the peer's reset came, or another socket error */
    FW2_SILENCE,     /**< the peer said nothing for too long, or (with a user
                          timeout) acknowledged nothing */
    FW2_TOTAL,       /**< it took too long altogether */
    FW2_BYTES,       /**< the peer sent too much */
    FW2_EVICTED,     /**< its place was needed */
    FW2_STOPPED,     /**< the process stops */
    FW2_ENDINGS
} fw2_ending;

/** Their names, as the page and the metrics spell them. */
extern const char *const fw2_ending_names[FW2_ENDINGS];

/** Whether the peer had not closed by then, as far as it was waited for. */
int fw2_ending_leaves_open(fw2_ending ending);

/** Why a connection came to its end. */
typedef enum {
    FW2_CAUSE_PEER,             /**< the peer closed first, or reset */
    FW2_CAUSE_KEEPALIVE,        /**< it was idle for its keep-alive time */
    FW2_CAUSE_CONNECTION_CLOSE, /**< the client or the configuration asked for
                                     no more than this response */
    FW2_CAUSE_ERROR,            /**< a status after which httpd wants no more */
    FW2_CAUSE_REQUEST_LIMIT,    /**< MaxKeepAliveRequests */
    FW2_CAUSE_TIMEOUT, /**< the peer was too slow, in either direction */
    FW2_CAUSE_STOP,    /**< the process stops */
    FW2_CAUSE_OTHER,
    FW2_CAUSES
} fw2_cause;
extern const char *const fw2_cause_names[FW2_CAUSES];

/** Why httpd lingered on a connection itself, as ever. */
typedef enum {
    FW2_QUEUE_FULL,    /**< the closer process did not accept fast enough, or is
                           stopped by a signal */
    FW2_NO_PROCESS,    /**< the closer process does not run */
    FW2_CANNOT_LINGER, /**< it runs, but has no queue, no epoll, or may not have
                            descriptors of children */
    FW2_SEND_REFUSED,  /**< the system refused to pass the descriptor */
    FW2_REFUSALS
} fw2_refusal;
extern const char *const fw2_refusal_names[FW2_REFUSALS];

/** Who closed a connection first. */
typedef enum {
    FW2_BY_PEER,   /**< its FIN, or its reset, came before httpd closed */
    FW2_BY_SERVER, /**< httpd did */
    FW2_SIDES
} fw2_side;
extern const char *const fw2_side_names[FW2_SIDES];

/** Which side ended an idle connection of HTTP/1, and when. */
typedef enum {
    FW2_IDLE_IN_TIME, /**< the client, before the promised end */
    FW2_IDLE_LATE,    /**< the client, after the promised end */
    FW2_IDLE_EXPIRED, /**< httpd, when the real time was over */
    FW2_IDLES         /**< neither: it was not idle */
} fw2_idle;
extern const char *const fw2_idle_names[FW2_IDLES];

/** What was spoken on a connection at last. */
typedef enum {
    FW2_HTTP1,
    FW2_HTTP2,
    FW2_NEITHER, /**< no request came, or it became a tunnel */
    FW2_PROTOCOLS
} fw2_protocol;
extern const char *const fw2_protocol_names[FW2_PROTOCOLS];

/**
 * What one virtual host wants. A plain value: copy it freely, it points at
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
    apr_int64_t user_timeout;      /**< microseconds that the peer may
                                        acknowledge nothing; see above */
    apr_int64_t timeout;           /**< TCP_LINGER2, in seconds; see above */
    apr_int64_t socket_linger;     /**< SO_LINGER, in seconds; see above */
    apr_int64_t keepalive_timeout; /**< microseconds; see above */
    apr_int64_t advertise; /**< the promised keep-alive time in seconds; see
                                above */
} fw2_policy;

/** The part of a policy that the kernel keeps on the socket itself. */
typedef struct fw2_sockopts {
    int linger2;   /**< TCP_LINGER2, in seconds */
    int so_linger; /**< SO_LINGER, in seconds, or FW2_SOCKET_LINGER_OFF */
} fw2_sockopts;

/** What a new socket has before anybody sets anything. */
extern const fw2_sockopts fw2_sockopts_system;

/**
 * The kernel's part of a policy; fw2_sockopts_system where the policy's engine
 * is off, since such connections are to be as httpd makes them.
 */
fw2_sockopts fw2_policy_sockopts(const fw2_policy *policy);

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

/**
 * Return the longest silence while lingering, in microseconds, which is never
 * FW2_IDLE_AUTO.
 * @param sending True if httpd closed while the client was sending: it may go
 *                on after a pause, without a look at the response.
 */
apr_int64_t fw2_policy_idle(const fw2_policy *policy, int sending);

/** Whether this platform can bound an orphan's life for one socket alone. */
int fw2_policy_has_linger2(void);

/** Whether it can bound the wait for acknowledgements. */
int fw2_policy_has_user_timeout(void);

/**
 * Bound the kernel's wait for acknowledgements (TCP_USER_TIMEOUT). Only for a
 * socket that is closing: it kills a live one whose reader pauses (measured).
 * @param timeout Microseconds; FW2_USER_TIMEOUT_SYSTEM asks for nothing.
 * @return APR_SUCCESS, APR_ENOTIMPL, or the system's error.
 */
apr_status_t fw2_policy_user_timeout(int fd, apr_interval_time_t timeout);

#endif /* FW2_POLICY_H */
