/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_SOCKDIAG_H
#define FW2_SOCKDIAG_H

/*
 * sockdiag: counts TCP sockets by state and holder in the kernel's own tables.
 *
 * There are three sources, best first: one netlink sock_diag dump for both
 * families (filtered by the kernel, unprivileged), /proc/self/net/tcp{,6} (ten
 * times the cost), and /proc/self/net/sockstat (totals of the network namespace
 * only). SELinux and systemd may refuse the first source, some AppArmor hats
 * the second. A count names its source and the error of each better source.
 *
 * The room depends on APR and the kernel, and not on httpd. Any thread may call
 * its functions, several threads at once: they keep no state.
 */

#include "apr.h"
#include "apr_errno.h"
#include "apr_pools.h"
#include "apr_time.h"

#include "kernel/endpoint.h"

/** The TCP states that a server's socket passes through while it closes. */
typedef enum {
    FW2_FIN_WAIT1,  /**< our FIN, or data before it, is not acknowledged */
    FW2_FIN_WAIT2,  /**< our FIN is acknowledged, the client's FIN has not
                         arrived */
    FW2_CLOSING,    /**< both FINs are sent, ours is not acknowledged */
    FW2_CLOSE_WAIT, /**< the client has closed, we have not */
    FW2_LAST_ACK,   /**< the client closed first, our FIN is not acknowledged */
    FW2_STATES
} fw2_state;

/** The holder that keeps the socket in memory. */
typedef enum {
    FW2_PROCESS,  /**< a process, by a descriptor (the inode is not 0) */
    FW2_KERNEL,   /**< the kernel: a full socket without a descriptor, which is
                       an orphan, or in CLOSE_WAIT a socket still in the accept
                       queue */
    FW2_TIMEWAIT, /**< the kernel: a mini-socket of 256 bytes with a timer */
    FW2_HOLDERS
} fw2_holder;

/** The source of a count, best first. */
typedef enum {
    FW2_NETLINK,
    FW2_PROCFS,
    FW2_SOCKSTAT,
    FW2_NOTHING,
    FW2_BACKENDS
} fw2_backend;

/** True if a source has states and holders, and so every tally. */
#define FW2_BACKEND_HAS_STATES(backend) ((backend) < FW2_SOCKSTAT)

/** The names of states, holders and sources on the page and in the metrics. The
 *  states' names are those of node_exporter, so that one metric can be
 *  subtracted from the other. */
extern const char *const fw2_state_names[FW2_STATES];
extern const char *const fw2_holder_names[FW2_HOLDERS];
extern const char *const fw2_backend_names[FW2_BACKENDS];

/** The count at one endpoint. */
typedef struct fw2_tally {
    apr_int64_t n[FW2_STATES][FW2_HOLDERS];
    apr_int64_t backlog;       /**< connections in the accept queue */
    apr_int64_t backlog_limit; /**< the length of the accept queue; -1: not
                                    known */
    apr_int64_t drops;         /**< packets dropped since the socket was opened,
                                    as a rule because the queue was full or the
                                    accept deferred (sk_drops; from netlink
                                    only); -1: not known */
} fw2_tally;

/** Half-closed connections: sockets in FIN_WAIT_1, FIN_WAIT_2 or CLOSING. */
typedef struct fw2_half {
    apr_int64_t held;   /**< sockets with a descriptor in a process */
    apr_int64_t orphan; /**< all other sockets */
    apr_int64_t mini;   /**< orphans that are mini-sockets */
} fw2_half;

/** Add up the half-closed connections of several endpoints. */
fw2_half fw2_sockdiag_half_closed(const fw2_tally *tallies, int n);

/** Return the sum of the drops of several endpoints; -1 if all are unknown. */
apr_int64_t fw2_sockdiag_drops(const fw2_tally *tallies, int n);

/** The upper bounds, in microseconds, of the classes of time left. One more
 *  class follows for longer times. */
#define FW2_LEFT_BOUNDS 7
extern const apr_int64_t fw2_left_bounds[FW2_LEFT_BOUNDS];

/**
 * The half-closed sockets that no process holds, by how long they will live if
 * their clients stay idle. The timer of a mini-socket shows its time left. The
 * timer of a full socket in FIN_WAIT_2 shows only when the socket will become a
 * mini-socket, which lives for tcp_fin_timeout less 60 s; the count adds this
 * time. The kernel does not show TCP_LINGER2: a socket with 120 s mostly lives
 * for 60 s longer than counted. The time left in FIN_WAIT_1 and CLOSING depends
 * on the client.
 */
typedef struct fw2_left {
    apr_int64_t n[FW2_LEFT_BOUNDS + 1]; /**< sockets by class, not cumulative */
    apr_int64_t sum;                    /**< microseconds, of all classes */
    apr_int64_t longest;   /**< microseconds; 0: no socket is in a class */
    apr_int64_t unknown;   /**< sockets in FIN_WAIT_2 without such a timer */
    apr_int64_t unbounded; /**< sockets in FIN_WAIT_1 and CLOSING */
} fw2_left;

/** The data that clients of sockets in FIN_WAIT_1 have not acknowledged, by
 *  holder. Mini-sockets are never in this state. */
typedef struct fw2_undelivered {
    apr_int64_t sockets[FW2_HOLDERS]; /**< sockets with bytes of a response, and
                                           not only a FIN */
    apr_int64_t bytes[FW2_HOLDERS];   /**< these sockets' bytes without FINs */
    apr_int64_t shut[FW2_HOLDERS];    /**< such sockets with a zero window, or
                                           one too small for the data left */
} fw2_undelivered;

/** The most clients that are listed. */
#define FW2_PEERS_MAX 50

/** A client's address, or for IPv6 the /64 that one client usually has. */
typedef struct fw2_peer {
    unsigned char addr[16]; /**< IPv4 mapped, or the first half of IPv6 */
    apr_int64_t n;          /**< half-closed sockets of every holder */
} fw2_peer;

/** The clients with the most half-closed sockets. */
typedef struct fw2_peers {
    int n;             /**< clients listed */
    int seen;          /**< clients counted one by one */
    apr_int64_t other; /**< sockets of clients for which the table had no room;
                            the listed numbers are exact, but above 0 a client
                            with no more sockets than these may be missing in
                            the list */
    fw2_peer top[FW2_PEERS_MAX]; /**< the most sockets first */
} fw2_peers;

/** This machine's role in a connection. */
typedef enum {
    FW2_SERVER, /**< a socket listens at the local port */
    FW2_CLIENT, /**< no socket does: this machine opened the connection */
    FW2_ROLES
} fw2_role;

extern const char *const fw2_role_names[FW2_ROLES];

/** The most ports that are listed. */
#define FW2_PORTS_MAX 5

/** The half-closed sockets of one role and one port. */
typedef struct fw2_port {
    fw2_role role;
    int port; /**< the local port of a server, the remote port of a client */
    apr_int64_t n;
} fw2_port;

/**
 * Sockets of this network namespace that are at none of the endpoints: those of
 * other programs, and connections that this machine opened, for example from
 * mod_proxy to backends. A server's sockets count as a client's after the
 * server has stopped listening.
 */
typedef struct fw2_elsewhere {
    apr_int64_t half_closed; /**< half-closed sockets; -1: not counted, and no
                                  field here is known */
    apr_int64_t outgoing;    /**< the half-closed sockets in the role of a
                                  client */
    int n;                   /**< ports listed */
    fw2_port top[FW2_PORTS_MAX]; /**< the most sockets first */
    int full_port;               /**< the port with the most connections in a
                                      full accept queue; from /proc, which shows
                                      no limits, in any accept queue; 0: none */
    apr_int64_t full;            /**< connections in that queue */
    apr_int64_t full_limit;      /**< length of that queue; -1: not known */
    apr_int64_t drops;           /**< drops of all such listening sockets, as in
                                      fw2_tally; -1: not known */
} fw2_elsewhere;

/** The longest sentence of a refusal, with its NUL. */
#define FW2_REFUSED_MAX 256

/** One count of everything. The tallies are the only pointer, so a copy with
 *  the tallies beside it may lie in shared memory. */
typedef struct fw2_count {
    fw2_backend backend;
    int complete; /**< 0: all numbers are lower bounds, or (sockstat, nothing)
                       not known */
    apr_interval_time_t cost; /**< CPU time of the calling thread */
    /** The error of each source that failed, as a sentence; "" for a source
     *  that succeeded or was not tried. */
    char refused[FW2_BACKENDS][FW2_REFUSED_MAX];
    /** One tally an endpoint, in the caller's order, from the caller's pool;
     *  valid for netlink and procfs. */
    fw2_tally *tallies;
    fw2_left left;               /**< of all endpoints together */
    fw2_undelivered undelivered; /**< of all endpoints together */
    fw2_peers peers;         /**< of all endpoints together; all 0 unless the
                                  caller asked for clients */
    fw2_elsewhere elsewhere; /**< all sockets at no endpoint */
} fw2_count;

/**
 * The limits and totals of the network namespace; -1 where the kernel does not
 * show one. The first group belongs to the namespace (measured). The second
 * group belongs to the whole machine even inside a container, which does not
 * see the two limits in the group. The third group is about listening sockets.
 */
typedef struct fw2_limits {
    apr_int64_t tcp_fin_timeout;    /**< seconds */
    apr_int64_t tcp_max_tw_buckets; /**< mini-sockets */
    apr_int64_t timewait;           /**< mini-sockets, FIN_WAIT_2 included */
    apr_int64_t timewait_overflow;  /**< mini-sockets refused, ever */
    apr_int64_t inuse;  /**< full AF_INET sockets, orphans and listeners
                             included */
    apr_int64_t inuse6; /**< full AF_INET6 sockets, those with IPv4 clients
                             included */
    apr_int64_t listen_overflows; /**< connections that found an accept queue
                                       full, ever */
    apr_int64_t listen_drops;     /**< connections dropped before they were
                                       accepted, for this or any other reason,
                                       ever */
    apr_int64_t deferred; /**< acknowledgements dropped because the accept waits
                               for data (TCP_DEFER_ACCEPT), ever */
    apr_int64_t aborts_on_memory; /**< connections reset because of too little
                                       memory or too many orphans, ever */

    apr_int64_t tcp_max_orphans; /**< sockets; hidden in a container */
    apr_int64_t orphans;         /**< full sockets without a descriptor */
    apr_int64_t mem_pages;       /**< pages of memory in TCP's buffers */
    apr_int64_t tcp_mem_max;     /**< the most such pages: tcp_mem's third
                                      number; hidden in a container */

    apr_int64_t own_drops;   /**< the sum of the tallies' drops; -1 until the
                                  sockets are counted, as no file shows it */
    apr_int64_t other_drops; /**< the drops of other listening sockets;
                                  likewise */
} fw2_limits;

/** Spell a client's address: `192.0.2.7`, `2001:db8::/64`. */
const char *fw2_sockdiag_peer_text(apr_pool_t *pool, const fw2_peer *peer);

/**
 * Count the sockets at these endpoints, from the best available source. Each
 * socket is counted once, at the most specific endpoint that matches. Never
 * fails: a count without a source has the backend FW2_NOTHING. Blocks for about
 * 1 us a socket (netlink) and keeps nothing open. Without endpoints no source
 * is read: the count is complete, and its backend is FW2_NETLINK.
 *
 * A dump is not atomic. Netlink misses or repeats a few of the sockets that
 * open or close meanwhile (2.5 in a million, measured at 10,000 connections a
 * second). /proc starts again when it loses its place, and may then repeat
 * whole stretches of other sockets (tcp_seq_start(); in 2 of 730 walks of a
 * fast-changing table).
 *
 * Closing sockets at no endpoint are counted in the same walk. If there are
 * more than 50,000 of them, netlink stops and begins again with a filter that
 * leaves them out; `elsewhere` is not known then.
 * @param peers How many clients to list; 0: none, at no cost. Personal data.
 * @param budget The most CPU time of this thread, in microseconds; 0: no limit.
 *               Checked between two reads. A read takes 0.1 to 0.3 ms, or up to
 *               the whole walk where few sockets are ours. A count that used up
 *               its budget keeps its numbers and is not complete.
 * @param pool The pool of the tallies, and of nothing else.
 */
void fw2_sockdiag_count(const fw2_endpoint *endpoints, int n, int peers,
                        apr_interval_time_t budget, fw2_count *count,
                        apr_pool_t *pool);

/** Read the limits, each file of /proc once; fields that cannot be read are
 *  -1. Never fails. */
void fw2_sockdiag_limits(fw2_limits *limits);

/**
 * Predict the CPU time of a count through netlink from the number of sockets;
 * /proc takes three to ten times as long. The prediction is from measurements
 * on a machine with common settings, and assumes that most full sockets are
 * open connections: the kernel leaves out such a socket in 0.1 to 0.3 us, and
 * dumps a closing socket in 1 us. The prediction is too low where most sockets
 * are closing, and where other namespaces have many sockets, which cost as much
 * and are not visible. A caller with a limit of time therefore passes a budget
 * to fw2_sockdiag_count(), too.
 * @param limits Fields of -1 count as 0.
 * @return Microseconds.
 */
apr_interval_time_t fw2_sockdiag_predict(const fw2_limits *limits);

#endif /* FW2_SOCKDIAG_H */
