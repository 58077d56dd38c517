/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The sockets at none of the endpoints, counted by port: by the local port of
 * another program's server, or the remote port of a service that this machine
 * uses.
 */

#include <string.h>

#include "base/clamp.h"
#include "kernel/sockdiag_impl.h"

/* The most closing sockets at no endpoint that netlink counts, in 22 to 34 ms
 * of CPU time (measured). */
#define CROWD 50000

#define PORTS 65536

struct fw2_elsewhere_table {
    apr_int64_t rows; /* closing sockets, half-closed or not */
    apr_int64_t n[FW2_ROLES];
    fw2_peer_table *ports;            /* half-closed sockets by role and port */
    fw2_elsewhere queue;              /* only the `full` fields and drops */
    unsigned char listens[PORTS / 8]; /* a bit a port */
};

const char *const fw2_role_names[FW2_ROLES] = { "server", "client" };

fw2_elsewhere_table *fw2_elsewhere_make(apr_pool_t *pool)
{
    fw2_elsewhere_table *table = apr_palloc(pool, sizeof(*table));

    table->ports = fw2_peers_make(pool);
    return table;
}

void fw2_elsewhere_reset(fw2_elsewhere_table *table)
{
    fw2_peer_table *ports = table->ports;

    memset(table, 0, sizeof(*table));
    table->ports = ports;
    table->queue.drops = -1;
    fw2_peers_reset(ports);
}

/* True if the accept queue is full. Rows from /proc have the limit -1, so any
 * queue with connections counts as full. */
static int is_full(const fw2_row *row)
{
    return row->rqueue > 0 && row->rqueue >= row->wqueue;
}

void fw2_elsewhere_listener(fw2_elsewhere_table *table, const fw2_row *row,
                            int own)
{
    fw2_elsewhere *queue = &table->queue;

    table->listens[row->port / 8] |= (unsigned char)(1U << row->port % 8);
    if (own) {
        return;
    }
    fw2_clamp_add(&queue->drops, row->drops);
    if (is_full(row) && row->rqueue > queue->full) {
        queue->full_port = row->port;
        queue->full = row->rqueue;
        queue->full_limit = row->wqueue;
    }
}

/* Count a socket under its role and port. `ports` counts by address, so the
 * role and the port are written as an address. */
static void add_port(fw2_elsewhere_table *table, fw2_role role,
                     apr_uint16_t port)
{
    unsigned char key[16],
        v4[4] = { 0, (unsigned char)role, (unsigned char)(port >> 8),
                  (unsigned char)port };

    fw2_endpoint_map(key, v4);
    fw2_peers_add(table->ports, key);
}

void fw2_elsewhere_closing(fw2_elsewhere_table *table, const fw2_row *row,
                           int half_closed)
{
    fw2_role role = table->listens[row->port / 8] & 1U << row->port % 8
                        ? FW2_SERVER
                        : FW2_CLIENT;

    table->rows++;
    if (half_closed) {
        table->n[role]++;
        add_port(table, role, role == FW2_SERVER ? row->port : row->peer_port);
    }
}

int fw2_elsewhere_is_crowd(const fw2_elsewhere_table *table)
{
    return table->rows > CROWD;
}

void fw2_elsewhere_sum(const fw2_elsewhere_table *table,
                       fw2_elsewhere *elsewhere)
{
    fw2_peers ports;
    int i;

    if (!table) {
        memset(elsewhere, 0, sizeof(*elsewhere));
        elsewhere->half_closed = elsewhere->outgoing = elsewhere->drops = -1;
        return;
    }
    *elsewhere = table->queue;
    elsewhere->half_closed = table->n[FW2_SERVER] + table->n[FW2_CLIENT];
    elsewhere->outgoing = table->n[FW2_CLIENT];
    fw2_peers_top(table->ports, FW2_PORTS_MAX, &ports);
    elsewhere->n = ports.n;
    for (i = 0; i < ports.n; i++) {
        const unsigned char *key = ports.top[i].addr + 12;

        elsewhere->top[i].role = (fw2_role)key[1];
        elsewhere->top[i].port = key[2] << 8 | key[3];
        elsewhere->top[i].n = ports.top[i].n;
    }
}
