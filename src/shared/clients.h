/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CLIENTS_H
#define FW2_CLIENTS_H

/*
 * clients: the clients that do not close, by User-Agent and by net, in memory
 * of a fixed size.
 *
 * Among ten thousand clients a few do not close most of the connections; the
 * lists name these few. Each list has a fixed number of places, n. A client
 * that is not in a full list replaces the client with the lowest number, and
 * this number is the most that the new client can have had before. So the list
 * contains every client with more than 1/n of all events (Metwally, Agrawal,
 * El Abbadi: Efficient Computation of Frequent and Top-k Elements in Data
 * Streams, 2005, "Space-Saving"). A client's own numbers count only the events
 * since it is in the list. Events older than twenty minutes are removed.
 *
 * The closer process keeps the lists in its own memory and publishes them for
 * the pages. Addresses and User-Agents are personal data: without
 * FinWait2StatusPeers On a server has no such memory.
 *
 * The room depends on APR and outcome, and not on httpd.
 */

#include "apr_errno.h"
#include "apr_network_io.h"
#include "apr_pools.h"
#include "apr_time.h"

#include "base/outcome.h"

/** The lists, by kind of client and by the event that a list is sorted by. */
typedef enum {
    FW2_AGENTS,    /**< User-Agents, by connections that the client did not
                        close */
    FW2_NETS,      /**< nets, by connections that the client did not close */
    FW2_IDLE_NETS, /**< nets, by connections that were idle for their keep-alive
                        time */
    FW2_CLIENT_LISTS
} fw2_client_list;

/** The most clients of a list. */
#define FW2_CLIENTS_MAX 64

/** The size of a User-Agent, with its NUL. A longer one is cut; equal ones
 *  after the cut are one client. */
#define FW2_AGENT_SIZE 128

/** The value for a client without a net. */
#define FW2_NO_NET (~(apr_uint64_t)0)

/** One client of a list. Its numbers are connections that httpd closed first
 *  and the closer lingered on, since the client is in the list. */
typedef struct fw2_client {
    apr_uint64_t key;          /**< fw2_clients_net()'s net, or a hash of the
                                    name */
    char name[FW2_AGENT_SIZE]; /**< User-Agent, printable ASCII; "" for a net */
    apr_int64_t closed;        /**< all connections */
    apr_int64_t left_open;     /**< connections with an ending that is `open` in
                                    fw2_endings */
    apr_int64_t silent;        /**< connections with an ending that is `idle` in
                                    fw2_endings */
    apr_int64_t expired;       /**< connections that were idle for their
                                    keep-alive time */
    apr_int64_t before;        /**< the most events, as sorted by, that the
                                    client can have had before it was listed */
} fw2_client;

/** The clients of a list, sorted in descending order. */
typedef struct fw2_client_top {
    apr_int64_t all; /**< events, as sorted by, of all clients, listed or not */
    int n;
    const fw2_client *clients;
} fw2_client_top;

/** The lists of the last ten to twenty minutes. */
typedef struct fw2_clients_seen {
    apr_interval_time_t over; /**< the lists' time span in microseconds */
    fw2_client_top top[FW2_CLIENT_LISTS];
} fw2_clients_seen;

/** How a client's connection ended. */
typedef struct fw2_client_end {
    const char *agent; /**< User-Agent, NUL-terminated, with any bytes */
    apr_uint64_t net;  /**< fw2_clients_net()'s */
    fw2_ending ending;
    int expired; /**< 1: the connection was idle for its keep-alive time */
} fw2_client_end;

typedef struct fw2_clients fw2_clients;

/**
 * Make the shared memory. The parent, in one thread.
 * @param clients Set on success only.
 * @param pool The process's own pool, since it must outlive the children.
 * @return APR_SUCCESS, or the system's error.
 */
apr_status_t fw2_clients_create(fw2_clients **clients, apr_pool_t *pool);

/** Erase the published lists. The parent, while no process publishes. */
void fw2_clients_erase(fw2_clients *clients);

/** Begin with the lists that a former process published. The closer process,
 *  once. */
void fw2_clients_begin(fw2_clients *clients, apr_pool_t *pool);

/** Count an ended connection that httpd had closed first. The closer
 *  process. */
void fw2_clients_ended(fw2_clients *clients, const fw2_client_end *end,
                       apr_time_t now);

/** Publish the lists. The closer process. */
void fw2_clients_publish(fw2_clients *clients);

/**
 * Return the net of a client: the /24 of an IPv4 address, the /64 of an IPv6
 * address. Any thread.
 * @return FW2_NO_NET for any other address.
 */
apr_uint64_t fw2_clients_net(const apr_sockaddr_t *address);

/** Write a net as an address of 16 bytes, IPv4 mapped, the host's part 0. */
void fw2_clients_address(apr_uint64_t net, unsigned char address[16]);

/**
 * Read the lists that were published last. Any thread of any process; does not
 * block.
 * @param seen Set on success only; points into the pool.
 * @return False if no list is published.
 */
int fw2_clients_read(const fw2_clients *clients, fw2_clients_seen *seen,
                     apr_pool_t *pool);

/** Return a number that changes with the layout of the memory that outlives a
 *  restart. */
apr_size_t fw2_clients_footprint(void);

#endif /* FW2_CLIENTS_H */
