/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CLIENTS_H
#define FW2_CLIENTS_H

/*
 * clients: which clients do not close, by what they call themselves and by
 * net, in memory of one size.
 *
 * A few of ten thousand clients leave most connections open, and those are to
 * be named. Each list has a fixed number of places. A client that is not in
 * the list takes the place of the one with the least, and is taken to have had
 * as many before, at most: so no client is missing that has more than one part
 * in as many as there are places (Metwally, Agrawal, El Abbadi: Efficient
 * Computation of Frequent and Top-k Elements in Data Streams, 2005,
 * "Space-Saving"). Only what was seen of a client counts as its own. Everything
 * older than twenty minutes is forgotten.
 *
 * The closer process keeps the lists in memory of its own and publishes them
 * for the pages. Addresses and User-Agents are personal data: a server whose
 * administrator has not asked for them has no such memory.
 *
 * Knows APR and how a linger ends, and nothing of httpd.
 */

#include "apr_errno.h"
#include "apr_network_io.h"
#include "apr_pools.h"
#include "apr_time.h"

#include "base/outcome.h"

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

/** The net of a client that has none. */
#define FW2_NO_NET (~(apr_uint64_t)0)

/** One client. Connections are those that httpd closed first and the closer
 *  lingered on, since the client is in the list. */
typedef struct fw2_client {
    apr_uint64_t key;          /**< a net: see fw2_clients_net(); or a hash of
                                    the name */
    char name[FW2_AGENT_SIZE]; /**< a User-Agent, printable ASCII; "" of nets */
    apr_int64_t closed;        /**< connections */
    apr_int64_t left_open;     /**< of these: see fw2_outcome_is_open() */
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

/** The lists of the last ten to twenty minutes. */
typedef struct fw2_clients_seen {
    apr_interval_time_t over; /**< how far back that goes; 0: nothing was */
    fw2_client_top top[FW2_CLIENT_LISTS];
} fw2_clients_seen;

/** How a connection of a client's ended. */
typedef struct fw2_client_end {
    const char *agent; /**< its User-Agent, NUL-terminated, of any bytes */
    apr_uint64_t net;  /**< as fw2_clients_net() gives it */
    fw2_ending ending;
    int expired; /**< its keep-alive time was over */
} fw2_client_end;

typedef struct fw2_clients fw2_clients;

/**
 * Make the shared memory. The parent, in one thread.
 * @param pool Must outlive the children: the process's own.
 * @return APR_SUCCESS, or the system's error; `clients` is touched on success
 *         only.
 */
apr_status_t fw2_clients_create(fw2_clients **clients, apr_pool_t *pool);

/** Erase what is published. The parent, while no process publishes. */
void fw2_clients_forget(fw2_clients *clients);

/** Begin to keep the lists, with those that a former process published. The
 *  closer process, once. */
void fw2_clients_begin(fw2_clients *clients, apr_pool_t *pool);

/** A connection ended that httpd had closed first. The closer process. */
void fw2_clients_ended(fw2_clients *clients, const fw2_client_end *end,
                       apr_time_t now);

/** Publish the lists. The closer process. */
void fw2_clients_publish(fw2_clients *clients);

/**
 * The net of a client: of an IPv4 address its /24, of an IPv6 address its /64.
 * Any thread.
 * @return FW2_NO_NET if it is neither.
 */
apr_uint64_t fw2_clients_net(const apr_sockaddr_t *address);

/** A net in 16 bytes, IPv4 mapped, the host's part 0. */
void fw2_clients_address(apr_uint64_t net, unsigned char address[16]);

/**
 * The lists as they were published last. Any thread of any process; does not
 * block.
 * @param seen Filled in on success; points into the pool.
 * @return False if nothing was published.
 */
int fw2_clients_read(const fw2_clients *clients, fw2_clients_seen *seen,
                     apr_pool_t *pool);

/** A number that changes with the layout of what outlives a restart. */
apr_size_t fw2_clients_footprint(void);

#endif /* FW2_CLIENTS_H */
