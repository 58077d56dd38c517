/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_SOCKDIAG_IMPL_H
#define FW2_SOCKDIAG_IMPL_H

/*
 * sockdiag's internal header: the types that its sources (netlink, procfs) and
 * its tally share, and the parsers, which read from a buffer so that tests can
 * pass any bytes. Only this room and its tests include this header.
 */

#include "kernel/sockdiag.h"

/** Linux's numbers of TCP states, the same in netlink and /proc:
 *  tcp_states.h. */
enum {
    FW2_TCP_FIN_WAIT1 = 4,
    FW2_TCP_FIN_WAIT2 = 5,
    FW2_TCP_CLOSE_WAIT = 8,
    FW2_TCP_LAST_ACK = 9,
    FW2_TCP_LISTEN = 10,
    FW2_TCP_CLOSING = 11
};

/** Linux's numbers of timers, the same in netlink and /proc:
 *  inet_sk_diag_fill(). */
enum {
    FW2_TIMER_KEEPALIVE = 2, /**< keep-alive; it also ends an orphan */
    FW2_TIMER_TIMEWAIT = 3,  /**< the timer of a mini-socket */
    FW2_TIMER_PROBE = 4      /**< zero-window probe */
};

/** One row of the kernel's socket table. */
typedef struct fw2_row {
    unsigned int state; /**< Linux's number */
    fw2_holder holder;
    unsigned char addr[16]; /**< local address; IPv4 mapped */
    apr_uint16_t port;      /**< local port; host byte order */
    unsigned char peer[16]; /**< remote address; IPv4 mapped */
    apr_uint16_t peer_port; /**< remote port; host byte order */
    apr_int64_t rqueue;     /**< bytes not read; of a listener: connections in
                                  the accept queue */
    apr_int64_t wqueue;     /**< bytes not acknowledged; of a listener: length
                                  of the accept queue, or -1: not known */
    apr_int64_t drops;      /**< of a listener: drops as in fw2_tally; -1: not
                                  known */
    unsigned int timer;     /**< Linux's number */
    apr_interval_time_t expires; /**< microseconds until the timer goes off; 0
                                      and up */
} fw2_row;

/** Half-closed sockets by client. */
typedef struct fw2_peer_table fw2_peer_table;

/** Sockets that are at no endpoint; summed up in an fw2_elsewhere. */
typedef struct fw2_elsewhere_table fw2_elsewhere_table;

/** A count under way. */
typedef struct fw2_counting {
    const fw2_endpoint *endpoints;
    int n;
    fw2_tally *tallies;
    fw2_left left;
    fw2_undelivered undelivered;
    fw2_peer_table *peers;          /**< NULL: clients are not counted */
    fw2_elsewhere_table *elsewhere; /**< NULL: sockets at no endpoint are not
                                         counted */
    /** The time that an orphan in FIN_WAIT_2 lives after its timer went off. */
    apr_interval_time_t orphan_rest;
    apr_interval_time_t begun;  /**< by the thread's CPU clock */
    apr_interval_time_t budget; /**< by the same clock; 0: no limit */
    int complete;               /**< 0 once a source has missed a socket */
} fw2_counting;

/** Return the holder of a socket from two numbers that both sources show. */
fw2_holder fw2_holder_of(unsigned int timer, apr_uint64_t inode);

/** Reset all numbers to 0 or unknown, and `complete` to 1. */
void fw2_counting_reset(fw2_counting *counting);

/** Count a row at its endpoint, or in `elsewhere` if it is at none. Rows in
 *  other states than LISTEN and fw2_state's are left out. */
void fw2_counting_row(fw2_counting *counting, const fw2_row *row);

/** True if the budget is used up. The count is then marked as not complete, and
 *  the source must stop reading. A source calls this between two reads. */
int fw2_counting_is_spent(fw2_counting *counting);

/** Make a table of 192 KB. The caller resets it before use. */
fw2_peer_table *fw2_peers_make(apr_pool_t *pool);

/** Remove all clients. */
void fw2_peers_reset(fw2_peer_table *table);

/** Add one socket to a client's number. `addr` is IPv4 mapped or IPv6. */
void fw2_peers_add(fw2_peer_table *table, const unsigned char addr[16]);

/** List the `most` clients with the most sockets; `most` is from 1 to
 *  FW2_PEERS_MAX. */
void fw2_peers_top(const fw2_peer_table *table, int most, fw2_peers *peers);

/** Make a table of 200 KB. The caller resets it before use. */
fw2_elsewhere_table *fw2_elsewhere_make(apr_pool_t *pool);

/** Remove all sockets. */
void fw2_elsewhere_reset(fw2_elsewhere_table *table);

/**
 * Count a listening socket. Both sources list all listening sockets of a family
 * before the family's connections (inet_diag_dump_icsk(), tcp_get_idx()), and
 * an accepted socket has the family of its listening socket. So the role of
 * every connection is known when its row arrives.
 * @param own True if the socket belongs to an endpoint.
 */
void fw2_elsewhere_listener(fw2_elsewhere_table *table, const fw2_row *row,
                            int own);

/** Count a closing socket that is at no endpoint. */
void fw2_elsewhere_closing(fw2_elsewhere_table *table, const fw2_row *row,
                           int half_closed);

/** True if there are so many closing sockets that a source with a filter shall
 *  leave them out. */
int fw2_elsewhere_is_crowd(const fw2_elsewhere_table *table);

/** Sum up the sockets. @param table NULL: the sums are not known. */
void fw2_elsewhere_sum(const fw2_elsewhere_table *table,
                       fw2_elsewhere *elsewhere);

/**
 * Count all sockets that a source shows.
 * @param attempt On failure, the step that failed; never from a pool.
 * @param scratch Destroyed soon after.
 * @return APR_SUCCESS, or the system's error: the counted numbers are void, and
 *         the next source is tried.
 */
typedef apr_status_t fw2_source(fw2_counting *counting, const char **attempt,
                                apr_pool_t *scratch);

fw2_source fw2_netlink_count;
fw2_source fw2_procfs_count;

/** Count nothing. A success means that the limits can be read, but the count is
 *  never complete. */
fw2_source fw2_sockstat_count;

#ifdef __linux__

/** The sequence number of all requests: every dump has a socket of its own. */
#define FW2_NETLINK_SEQ 1u

/**
 * Count the messages in one datagram of a dump.
 * @return APR_INCOMPLETE: the dump goes on; APR_SUCCESS: the dump has ended;
 *         otherwise the kernel's error.
 */
apr_status_t fw2_netlink_parse(fw2_counting *counting, const unsigned char *at,
                               apr_size_t left);

#endif

/** Return tcp_fin_timeout in seconds, or -1 if it cannot be read. */
apr_int64_t fw2_procfs_fin_timeout(void);

/** The tables that fw2_procfs_count() reads: IPv4's, then IPv6's. */
extern const char *const fw2_procfs_tables[2];

/** Count the whole lines in a part of a table.
 *  @return The bytes of the whole lines; the rest is the begin of a line. */
apr_size_t fw2_procfs_parse(fw2_counting *counting, const char *text,
                            apr_size_t len);

/** Count the lines of a table that is read from a descriptor, in pieces of any
 *  size.
 *  @return APR_SUCCESS, or the system's error. */
apr_status_t fw2_procfs_read(fw2_counting *counting, int fd, char *buffer,
                             apr_size_t size);

#endif /* FW2_SOCKDIAG_IMPL_H */
