/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The clients with the most half-closed sockets, found in one pass over all
 * sockets and in memory of a fixed size: a hash table with open addressing that
 * never grows. Clients that find no free slot are counted together in one sum,
 * so that the numbers of all other clients are exact.
 */

#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "apr_strings.h"

#include "kernel/sockdiag_impl.h"

#define SLOT_BITS 13
#define SLOTS     (1 << SLOT_BITS)

/* The most slots that are searched for a client. This is enough until three of
 * four slots are in use (measured), and bounds the cost of a socket to 0.1 us
 * even if clients choose addresses that collide. */
#define PROBES 128

struct fw2_peer_table {
    apr_uint64_t seed;
    apr_int64_t other;
    fw2_peer slots[SLOTS];
};

fw2_peer_table *fw2_peers_make(apr_pool_t *pool)
{
    return apr_palloc(pool, sizeof(fw2_peer_table));
}

/* The seed changes with each count. Without a seed a client could use other
 * addresses that collide with its own one, which would then be counted in the
 * common sum only. */
void fw2_peers_reset(fw2_peer_table *table)
{
    memset(table, 0, sizeof(*table));
    table->seed = (apr_uint64_t)apr_time_now();
}

static unsigned int place_of(const fw2_peer_table *table,
                             const unsigned char addr[16])
{
    static const apr_uint64_t odd = APR_UINT64_C(0x9e3779b97f4a7c15);
    apr_uint64_t half[2], hash = table->seed;
    int i;

    memcpy(half, addr, sizeof(half));
    for (i = 0; i < 2; i++) {
        hash = (hash ^ half[i]) * odd;
        hash ^= hash >> 32;
    }
    return (unsigned int)((hash * odd) >> (64 - SLOT_BITS));
}

void fw2_peers_add(fw2_peer_table *table, const unsigned char addr[16])
{
    unsigned char key[16];
    unsigned int place, i;
    fw2_peer *slot;

    memcpy(key, addr, sizeof(key));
    if (!fw2_endpoint_is_mapped(key)) {
        memset(key + 8, 0, 8); /* its /64 */
    }
    place = place_of(table, key);
    for (i = 0; i < PROBES; i++) {
        slot = &table->slots[(place + i) % SLOTS];
        if (slot->n == 0) {
            memcpy(slot->addr, key, sizeof(key));
        }
        if (!memcmp(slot->addr, key, sizeof(key))) {
            slot->n++;
            return;
        }
    }
    table->other++;
}

/* True if `a` is listed before `b`. With equal numbers the lower address is
 * first, because the order of slots changes with the seed. */
static int is_before(const fw2_peer *a, const fw2_peer *b)
{
    return a->n > b->n
           || (a->n == b->n && memcmp(a->addr, b->addr, sizeof(a->addr)) < 0);
}

/* Insert a client into the list of the first `most`, if it has enough
 * sockets. */
static void insert_ranked(fw2_peers *peers, int most, const fw2_peer *peer)
{
    int at;

    if (peers->n < most) {
        peers->n++;
    }
    else if (!is_before(peer, &peers->top[most - 1])) {
        return;
    }
    for (at = peers->n - 1; at > 0 && is_before(peer, &peers->top[at - 1]);
         at--) {
        peers->top[at] = peers->top[at - 1];
    }
    peers->top[at] = *peer;
}

void fw2_peers_top(const fw2_peer_table *table, int most, fw2_peers *peers)
{
    int i;

    memset(peers, 0, sizeof(*peers));
    peers->other = table->other;
    for (i = 0; i < SLOTS; i++) {
        if (table->slots[i].n > 0) {
            peers->seen++;
            insert_ranked(peers, most, &table->slots[i]);
        }
    }
}

const char *fw2_sockdiag_peer_text(apr_pool_t *pool, const fw2_peer *peer)
{
    char text[INET6_ADDRSTRLEN] = "";

    if (fw2_endpoint_is_mapped(peer->addr)) {
        inet_ntop(AF_INET, peer->addr + 12, text, sizeof(text));
        return apr_pstrdup(pool, text);
    }
    inet_ntop(AF_INET6, peer->addr, text, sizeof(text));
    return apr_pstrcat(pool, text, "/64", NULL);
}
