/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_SOCKDIAG_IMPL_H
#define FW2_SOCKDIAG_IMPL_H

/*
 * sockdiag's own: what its sources (netlink, procfs) and its one tally share,
 * and the parsers, which take a buffer so that tests can feed them anything.
 * Nobody outside of the room includes this.
 */

#include "kernel/sockdiag.h"

/** Linux's numbers of TCP states, in netlink as in /proc: tcp_states.h. */
enum {
    FW2_TCP_FIN_WAIT1 = 4,
    FW2_TCP_FIN_WAIT2 = 5,
    FW2_TCP_CLOSE_WAIT = 8,
    FW2_TCP_LAST_ACK = 9,
    FW2_TCP_LISTEN = 10,
    FW2_TCP_CLOSING = 11
};

/** Its numbers of timers, the same in both: inet_sk_diag_fill(). */
enum {
    FW2_TIMER_KEEPALIVE = 2, /**< and, of an orphan, the one that ends it */
    FW2_TIMER_TIMEWAIT = 3,
    FW2_TIMER_PROBE = 4 /**< of a window that is shut */
};

/** One row of the kernel's socket table. */
typedef struct fw2_row {
    unsigned int state; /**< Linux's number */
    fw2_holder holder;
    unsigned char addr[16];      /**< local; IPv4 mapped */
    apr_uint16_t port;           /**< local; host byte order */
    unsigned char peer[16];      /**< the other end; IPv4 mapped */
    apr_uint16_t peer_port;      /**< its port; host byte order */
    apr_int64_t rqueue;          /**< of a listener: connections that wait */
    apr_int64_t wqueue;          /**< of a listener: the most that may; -1: the
                                 source does not tell */
    apr_int64_t drops;           /**< of a listener: as fw2_tally has them; -1:
                                 likewise */
    unsigned int timer;          /**< Linux's number */
    apr_interval_time_t expires; /**< until it goes off; 0 and up */
} fw2_row;

/** Counts by peer. */
typedef struct fw2_peer_table fw2_peer_table;

/** Counts of what is at no endpoint. */
typedef struct fw2_foreign fw2_foreign;

/** A count under way. */
typedef struct fw2_counting {
    const fw2_endpoint *endpoints;
    int n;
    fw2_tally *tallies;
    fw2_left left;
    fw2_undelivered undelivered;
    fw2_peer_table *peers; /**< NULL: not wanted */
    fw2_foreign *foreign;  /**< the same */
    /** The rest of the life of an orphan in FIN_WAIT_2 when its timer goes
     * off. */
    apr_interval_time_t orphan_rest;
    apr_interval_time_t begun;  /**< by the thread's CPU clock */
    apr_interval_time_t budget; /**< of that; 0: no limit */
    int complete; /**< a source that missed something sets this to 0 */
} fw2_counting;

/** Return the holder of a socket, from the two facts that both sources have. */
fw2_holder fw2_holder_of(unsigned int timer, apr_uint64_t inode);

/** Begin (again): nothing counted, nothing missed. */
void fw2_counting_reset(fw2_counting *counting);

/** Count a row, if it is in a state and at an endpoint that are counted. */
void fw2_counting_row(fw2_counting *counting, const fw2_row *row);

/** Whether the budget is used up: the source shall read no more, and is not
 *  complete. To be asked between two reads. */
int fw2_counting_is_spent(fw2_counting *counting);

/** A table of 192 KB. To be reset before it is used. */
fw2_peer_table *fw2_peers_make(apr_pool_t *pool);

/** Forget all peers. */
void fw2_peers_reset(fw2_peer_table *table);

/** A peer, IPv4 mapped, has one socket more. */
void fw2_peers_add(fw2_peer_table *table, const unsigned char addr[16]);

/** List the first `most` of them, which is from 1 to FW2_PEERS_MAX. */
void fw2_peers_top(const fw2_peer_table *table, int most, fw2_peers *peers);

/** A table of 200 KB. To be reset before it is used. */
fw2_foreign *fw2_foreign_make(apr_pool_t *pool);

void fw2_foreign_reset(fw2_foreign *foreign);

/**
 * Note a listening socket: `own` if it is an endpoint's. Both sources have all
 * listening sockets of a family before its connections (inet_diag_dump_icsk(),
 * tcp_get_idx()), and what was accepted is of the listening socket's family.
 */
void fw2_foreign_listener(fw2_foreign *foreign, const fw2_row *row, int own);

/** Note a closing socket that is at no endpoint. */
void fw2_foreign_closing(fw2_foreign *foreign, const fw2_row *row,
                         int half_closed);

/** True if there are so many that a source that can leave them out shall. */
int fw2_foreign_is_crowd(const fw2_foreign *foreign);

/** Sum up. @param foreign NULL: nothing is known. */
void fw2_foreign_sum(const fw2_foreign *foreign, fw2_elsewhere *elsewhere);

/**
 * A source counts everything it can see.
 * @param attempt On failure, what was attempted; never from a pool.
 * @param scratch Destroyed soon after.
 * @return APR_SUCCESS, or the system's error: the source is of no use, and
 *         what it has counted is void.
 */
typedef apr_status_t fw2_source(fw2_counting *counting, const char **attempt,
                                apr_pool_t *scratch);

fw2_source fw2_netlink_count;
fw2_source fw2_procfs_count;

/** Counts nothing and is never complete: the limits can be read, though. */
fw2_source fw2_sockstat_count;

#ifdef __linux__

/** Every dump has a socket of its own, so one number is enough. */
#define FW2_NETLINK_SEQ 1u

/**
 * Count the messages of one datagram of a dump.
 * @return APR_INCOMPLETE: the dump goes on; APR_SUCCESS: this was its end;
 *         otherwise the kernel's error.
 */
apr_status_t fw2_netlink_parse(fw2_counting *counting, const unsigned char *at,
                               apr_size_t left);

#endif

/** tcp_fin_timeout in seconds, or -1. */
apr_int64_t fw2_procfs_fin_timeout(void);

/** The files that fw2_procfs_count reads: IPv4's table, then IPv6's. */
extern const char *const fw2_procfs_tables[2];

/** Count the whole lines in a part of such a table.
 *  @return How many bytes they were; what follows is part of a line. */
apr_size_t fw2_procfs_parse(fw2_counting *counting, const char *text,
                            apr_size_t len);

/** Count the lines that can be read from a descriptor, however cut. */
apr_status_t fw2_procfs_read(fw2_counting *counting, int fd, char *buffer,
                             apr_size_t size);

#endif /* FW2_SOCKDIAG_IMPL_H */
