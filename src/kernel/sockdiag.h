/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_SOCKDIAG_H
#define FW2_SOCKDIAG_H

/*
 * sockdiag: counting TCP sockets by state and holder, in the kernel's own
 * tables.
 *
 * Three sources, best first: one netlink sock_diag dump for both families
 * (filtered by the kernel, unprivileged), /proc/self/net/tcp{,6} (ten times
 * the cost), /proc/self/net/sockstat (totals of the network namespace only).
 * SELinux and systemd refuse the first, some AppArmor hats the second; a
 * count says which source it came from and why the better ones did not do.
 *
 * Knows APR and the kernel, and nothing of httpd. Keeps no state: every
 * function may be called from any thread, and by several at once.
 */

#include "apr.h"
#include "apr_errno.h"
#include "apr_pools.h"
#include "apr_time.h"

#include "kernel/endpoint.h"

/** TCP states at a server's own end, those that a close passes through. */
typedef enum {
    FW2_FIN_WAIT1,  /**< our FIN, or data before it, is not acknowledged */
    FW2_FIN_WAIT2,  /**< our FIN is acknowledged, the peer's has not come */
    FW2_CLOSING,    /**< both FINs sent, ours not acknowledged */
    FW2_CLOSE_WAIT, /**< the peer has closed, we have not */
    FW2_LAST_ACK,   /**< the peer closed first, our FIN not acknowledged */
    FW2_STATES
} fw2_state;

/** The holder that keeps the socket in memory. */
typedef enum {
    FW2_PROCESS,  /**< a process holds its descriptor (its inode is not 0) */
    FW2_KERNEL,   /**< a full socket that no descriptor leads to: an orphan,
                       or for CLOSE_WAIT one still in the accept queue */
    FW2_TIMEWAIT, /**< a mini-socket of 256 bytes with a timer of its own */
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

/** Names of the above as the page and the metrics spell them; the states'
 *  are node_exporter's, so that one can be subtracted from the other. */
extern const char *const fw2_state_names[FW2_STATES];
extern const char *const fw2_holder_names[FW2_HOLDERS];
extern const char *const fw2_backend_names[FW2_BACKENDS];

/** The count at one endpoint. */
typedef struct fw2_tally {
    apr_int64_t n[FW2_STATES][FW2_HOLDERS];
    apr_int64_t backlog;       /**< connections that wait to be accepted */
    apr_int64_t backlog_limit; /**< the most that may; -1: not known */
    apr_int64_t drops;         /**< packets dropped since the socket was opened:
                                    the queue was full, or the accept deferred,
                                    as a rule (sk_drops; only netlink has it);
                                    -1: not known */
} fw2_tally;

/** Add up the half-closed connections of several endpoints: FIN_WAIT_1,
 *  FIN_WAIT_2 and CLOSING, by whether a process still has their descriptor. */
void fw2_sockdiag_half_closed(const fw2_tally *tallies, int n,
                              apr_int64_t *held, apr_int64_t *orphan);

/** Add a number to a sum; -1, of either, is not known, and adds nothing. */
void fw2_sockdiag_add(apr_int64_t *sum, apr_int64_t n);

/** Add up the drops of several endpoints; -1 where none is known. */
apr_int64_t fw2_sockdiag_drops(const fw2_tally *tallies, int n);

/** The classes of time left: bounds in microseconds, and one more class for
 *  what is above the last. */
#define FW2_LEFT_BOUNDS 7
extern const apr_int64_t fw2_left_bounds[FW2_LEFT_BOUNDS];

/**
 * How long the half-closed sockets that no process holds will live on, if
 * their peers stay silent. A mini-socket's timer says it. A full socket in
 * FIN_WAIT_2 tells only when it will become a mini-socket, which lives for
 * tcp_fin_timeout less 60 s; that is added. The kernel does not show what
 * TCP_LINGER2 has given it instead: with 120 s it mostly lives for 60 s more
 * than is said. In FIN_WAIT_1 and CLOSING all depends on the peer.
 */
typedef struct fw2_left {
    apr_int64_t n[FW2_LEFT_BOUNDS + 1]; /**< each its own class only */
    apr_int64_t sum;                    /**< microseconds, of all classes */
    apr_int64_t longest;   /**< microseconds; 0: none is in a class */
    apr_int64_t unknown;   /**< FIN_WAIT_2 without a timer that says it */
    apr_int64_t unbounded; /**< FIN_WAIT_1 and CLOSING */
} fw2_left;

/** The data that clients of sockets in FIN_WAIT_1 have not acknowledged, by
 *  holder; mini-sockets never are in that state. */
typedef struct fw2_undelivered {
    apr_int64_t sockets[FW2_HOLDERS]; /**< with bytes of a response, which is
                                           more than a FIN */
    apr_int64_t bytes[FW2_HOLDERS];   /**< the sum of those, without FINs */
    apr_int64_t shut[FW2_HOLDERS];    /**< of the sockets: the peer's window is
                                           too small for what is left to send */
} fw2_undelivered;

/** The most peers that are listed. */
#define FW2_PEERS_MAX 50

/** A peer, or for IPv6 all peers of a /64, which is what one has of those. */
typedef struct fw2_peer {
    unsigned char addr[16]; /**< IPv4 mapped, or IPv6 without its last half */
    apr_int64_t n;          /**< half-closed sockets, whoever holds them */
} fw2_peer;

/** The peers with the most half-closed sockets. */
typedef struct fw2_peers {
    int n;             /**< how many are listed */
    int seen;          /**< how many there are that were counted apart */
    apr_int64_t other; /**< sockets of yet others; above 0, the list is not
                            exact: one that has no more than these may be
                            missing. The listed ones are right all the same */
    fw2_peer top[FW2_PEERS_MAX]; /**< the most first */
} fw2_peers;

/** This machine's part in a connection. */
typedef enum {
    FW2_SERVER, /**< something listens at its local port */
    FW2_CLIENT, /**< nothing does: this machine opened it */
    FW2_ROLES
} fw2_role;

extern const char *const fw2_role_names[FW2_ROLES];

/** The most ports that are listed. */
#define FW2_PORTS_MAX 5

/** Half-closed sockets with one port in common. */
typedef struct fw2_port {
    fw2_role role;
    int port; /**< the local one of a server, the remote one of a client */
    apr_int64_t n;
} fw2_port;

/**
 * Sockets of this network namespace that are at none of the endpoints: other
 * programs', and connections that this machine opened, mod_proxy's to backends
 * among them. A server's sockets count as a client's once it listens no more.
 */
typedef struct fw2_elsewhere {
    apr_int64_t half_closed; /**< -1: not counted, and nothing here is known */
    apr_int64_t outgoing;    /**< of these, a client's */
    int n;                   /**< ports listed */
    fw2_port top[FW2_PORTS_MAX]; /**< the most sockets first */
    int full_port; /**< where most connections wait in an accept queue that is
                        full; from /proc, which has no limits, where most wait;
                        0: nowhere */
    apr_int64_t full;       /**< connections that wait there */
    apr_int64_t full_limit; /**< the most that may; -1: not known */
    apr_int64_t drops;      /**< of all listening sockets, as fw2_tally has
                                 them; -1: not known */
} fw2_elsewhere;

/** The longest sentence of a refusal, with its NUL. */
#define FW2_REFUSED_MAX 256

/** One count of everything. Without pointers but one, so that a copy, with the
 *  tallies beside it, may lie in shared memory. */
typedef struct fw2_count {
    fw2_backend backend;
    /** 0: all numbers are lower bounds, or (sockstat, nothing) not known. */
    int complete;
    apr_interval_time_t cost; /**< CPU time it took the calling thread */
    /** Why the better sources were passed over: a sentence each, or "" where
     *  the source was not tried or did. */
    char refused[FW2_BACKENDS][FW2_REFUSED_MAX];
    /** One an endpoint, in the order given, allocated from the pool given;
     *  valid for netlink and procfs. */
    fw2_tally *tallies;
    fw2_left left; /**< this and the next: of all endpoints together */
    fw2_undelivered undelivered;
    fw2_peers peers; /**< the same; all 0 unless asked for */
    fw2_elsewhere elsewhere;
} fw2_count;

/**
 * The limits and totals of the network namespace; each -1 where it does not.
 * Those of the first group are the namespace's own (measured). Those of the
 * second are the whole machine's even inside a container, which does not see
 * the two limits among them. The third is of listening sockets.
 */
typedef struct fw2_limits {
    apr_int64_t tcp_fin_timeout;    /**< seconds */
    apr_int64_t tcp_max_tw_buckets; /**< mini-sockets */
    apr_int64_t timewait;           /**< mini-sockets, FIN_WAIT_2 included */
    apr_int64_t timewait_overflow;  /**< mini-sockets refused, ever */
    apr_int64_t inuse;  /**< full AF_INET sockets, orphans and listeners
                             included */
    apr_int64_t inuse6; /**< the same of AF_INET6, such with IPv4 peers
                             included */
    apr_int64_t listen_overflows; /**< connections that found the queue of an
                                       accepting socket full, ever */
    apr_int64_t listen_drops;     /**< connections given up before they were
                                       accepted, of that or any reason, ever */
    apr_int64_t deferred; /**< acknowledgements dropped since the accept waits
                               for data (TCP_DEFER_ACCEPT), ever */
    apr_int64_t aborts_on_memory; /**< connections reset for want of memory or
                                       for too many orphans, ever */

    apr_int64_t tcp_max_orphans; /**< sockets; hidden in a container */
    apr_int64_t orphans;         /**< full sockets without a descriptor */
    apr_int64_t mem_pages;       /**< pages of memory in TCP's buffers */
    apr_int64_t tcp_mem_max;     /**< the most such pages: tcp_mem's third
                                      number; hidden in a container */

    apr_int64_t own_drops;   /**< of the tallies summed up, and of the other */
    apr_int64_t other_drops; /**< listening sockets: no file has them, so both
                                  are -1 until the sockets are counted */
} fw2_limits;

/** Spell a peer: `192.0.2.7`, `2001:db8::/64`. */
const char *fw2_sockdiag_peer_text(apr_pool_t *pool, const fw2_peer *peer);

/**
 * Count the sockets at these endpoints, from the best source there is. Each
 * socket is counted once, at the most specific endpoint that takes it. Never
 * fails: a count without a source says so. Blocks for about 1 us a socket
 * (netlink) and holds nothing afterwards. A dump is not atomic: of sockets
 * that come and go meanwhile netlink misses or repeats a few (2.5 in a million,
 * measured at 10,000 connections a second); /proc, when it loses its place,
 * begins to count from the start and may repeat whole stretches of others, too
 * (tcp_seq_start(); in 2 of 730 walks of a table in turmoil). Without endpoints
 * nothing is asked: complete, and nominally netlink's.
 *
 * Sockets elsewhere are counted by the way. If netlink has more than 50,000
 * closing ones, it stops, and begins again with a filter that leaves them out:
 * they are not known then.
 * @param peers How many peers to list; 0: none, which costs nothing. Personal
 *              data.
 * @param budget The most CPU time of this thread to spend, in microseconds; 0:
 *               as much as it takes. Looked at between two reads, each of which
 *               takes 0.1 to 0.3 ms, or where few sockets are ours up to the
 *               whole walk. When it is used up, what was counted stays, and is
 *               not complete.
 * @param pool For the tallies, and nothing else.
 */
void fw2_sockdiag_count(const fw2_endpoint *endpoints, int n, int peers,
                        apr_interval_time_t budget, fw2_count *count,
                        apr_pool_t *pool);

/** Read the limits, each file of /proc once; fields that cannot be read are
 *  -1. Never fails. */
void fw2_sockdiag_limits(fw2_limits *limits);

/**
 * The CPU time that a count through netlink will take, from how many sockets
 * there are; /proc takes three to ten times that. By measurements of a
 * machine with common settings, for a server most of whose full sockets are
 * connections at work: of these the kernel leaves out each for 0.1 to 0.3 us,
 * where one that is closing takes 1 us. Too little where most are closing, and
 * where other namespaces have many: theirs cost as much, and are not seen. So
 * who must not take longer gives fw2_sockdiag_count() a budget, too.
 * @param limits What is -1 in there is taken for none.
 * @return Microseconds.
 */
apr_interval_time_t fw2_sockdiag_predict(const fw2_limits *limits);

#endif /* FW2_SOCKDIAG_H */
