/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CLIENTS_H
#define FW2_CLIENTS_H

/*
 * clients: which clients leave connections open, by what they call themselves
 * and by net, in memory of one size that all processes share.
 *
 * Of ten thousand clients few leave most open, and those are to be named. Each
 * list has a fixed number of places. Who is not in it takes the place of the
 * one with the least, and is told to have had as many before, at most: so
 * nobody who has more than one part in as many as there are places is missing
 * (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k
 * Elements in Data Streams, 2005, "Space-Saving"). Only what was seen of a
 * client is counted as its own. What is longer ago than twenty minutes is
 * forgotten.
 *
 * Addresses and User-Agents are personal data: whoever has not asked for them
 * has no such memory.
 *
 * Knows APR and how a linger ends, and nothing of httpd. The lists have one
 * lock. Who counts need not sleep for it: what one comes with while others hold
 * it, though they were let run some times, is missed, and that is counted.
 * Names have none. A process may die anywhere.
 */

#include "apr_errno.h"
#include "apr_network_io.h"
#include "apr_pools.h"
#include "apr_time.h"

#include "fw2_policy.h"

/** A list: who is in it, and what it is sorted by. */
typedef enum {
    FW2_AGENTS,    /**< User-Agents, by what they left open */
    FW2_NETS,      /**< nets, by the same */
    FW2_IDLE_NETS, /**< nets, by how often their keep-alive time was over */
    FW2_CLIENT_LISTS
} fw2_client_list;

/** The most clients of a list. */
#define FW2_CLIENTS_MAX 64

/** Longer names are cut; two that are cut alike are one client. */
#define FW2_AGENT_SIZE 128

/** A key that is no client's. */
#define FW2_NO_CLIENT (~(apr_uint64_t)0)

/** One client. Connections are those that httpd closed first and the closer
 *  lingered on, since the client is in the list. */
typedef struct fw2_client {
    apr_uint64_t key;          /**< a net: see fw2_client_net() */
    char name[FW2_AGENT_SIZE]; /**< a User-Agent, printable ASCII; "" of nets */
    apr_int64_t closed;        /**< connections */
    apr_int64_t left_open;     /**< of these: see fw2_ending_leaves_open() */
    apr_int64_t silent;        /**< of those: lingered on until time was up */
    apr_int64_t expired;       /**< of `closed`: the keep-alive time was over */
    apr_int64_t before;        /**< what the list is sorted by, before it was
                                    in the list: at most so many */
} fw2_client;

/** The clients of a list, those with the most first. */
typedef struct fw2_client_top {
    apr_int64_t all; /**< what it is sorted by: that of all clients, listed
                          or not */
    int n;
    const fw2_client *clients;
} fw2_client_top;

/** What was seen of late. */
typedef struct fw2_clients_seen {
    apr_interval_time_t over; /**< how far back that goes; 0: nothing was */
    apr_int64_t missed;       /**< connections that nobody could note */
    fw2_client_top top[FW2_CLIENT_LISTS];
} fw2_clients_seen;

/** How a connection of a client's ended. */
typedef struct fw2_client_end {
    apr_uint64_t agent, net; /**< keys, or FW2_NO_CLIENT */
    fw2_ending ending;
    int expired; /**< its keep-alive time was over */
} fw2_client_end;

typedef struct fw2_clients fw2_clients;

/**
 * Make the shared memory and its lock. In the parent, in one thread.
 * @param pool Must outlive the children: the process's own.
 * @return APR_SUCCESS; APR_ENOTIMPL where processes cannot share such a lock;
 *         or the system's error. `clients` is touched on success only.
 */
apr_status_t fw2_clients_create(fw2_clients **clients, apr_pool_t *pool);

/** Whether anything is to be noted from now on, as at first it is. Where not,
 *  all that was is forgotten. In the parent; children of any configuration
 *  heed it. Blocks for as long as somebody counts: microseconds; but no longer
 *  than a tenth of a second. */
void fw2_clients_want(fw2_clients *clients, int wanted);

/**
 * The key of a User-Agent. Any thread of any process; does not sleep.
 * @param name As it came, NULL if it did not.
 */
apr_uint64_t fw2_client_agent(fw2_clients *clients, const char *name);

/**
 * The key of a client's net: of an IPv4 address its /24, of an IPv6 address its
 * /64. Any thread.
 * @return FW2_NO_CLIENT if it is neither.
 */
apr_uint64_t fw2_client_net(const apr_sockaddr_t *address);

/** A net in 16 bytes, IPv4 mapped, the host's part 0. */
void fw2_client_address(apr_uint64_t net, unsigned char address[16]);

/**
 * A connection ended that httpd had closed first. Any thread of any process.
 * @param may_block Whether to wait for the lock, as fw2_clients_want() does;
 *        if that was in vain, not again before it was to be had. Else it does
 *        not sleep.
 */
void fw2_clients_ended(fw2_clients *clients, const fw2_client_end *end,
                       int may_block);

/**
 * What was seen of late. Any thread of any process; blocks as
 * fw2_clients_want() does.
 * @param seen Filled in on success; points into the pool.
 * @return APR_SUCCESS, or why the lock could not be had.
 */
apr_status_t fw2_clients_read(fw2_clients *clients, fw2_clients_seen *seen,
                              apr_pool_t *pool);

#endif /* FW2_CLIENTS_H */
