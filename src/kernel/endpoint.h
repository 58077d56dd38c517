/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_ENDPOINT_H
#define FW2_ENDPOINT_H

/*
 * endpoint: addresses of listening sockets, IPv4 and IPv6 in one form, and
 * which of them accepts a connection.
 *
 * Knows APR and the kernel, and nothing of httpd. Any thread may call the
 * functions: none keeps state.
 */

#include "apr.h"
#include "apr_errno.h"
#include "apr_pools.h"

/** An address to count at: the local end of a listening socket. */
typedef struct fw2_endpoint {
    unsigned char addr[16]; /**< IPv6, or IPv4 mapped (::ffff:a.b.c.d); all
                                 zero after the mapping prefix, or all zero:
                                 any address */
    apr_uint16_t port;      /**< host byte order */
    unsigned char v4;       /**< an AF_INET socket: IPv4 peers only */
    unsigned char v6only;   /**< an AF_INET6 socket without IPv4 peers */
} fw2_endpoint;

/** Make an IPv4 address of 4 bytes a mapped one. */
void fw2_endpoint_map(unsigned char addr[16], const void *v4);

/** Whether it is one, or IPv6. */
int fw2_endpoint_is_mapped(const unsigned char addr[16]);

/**
 * Read the endpoint of a socket of ours.
 * @param fd A bound TCP socket; stays the caller's.
 * @return APR_SUCCESS; APR_EINVAL for a socket that is neither AF_INET nor
 *         AF_INET6; otherwise the system's error. `endpoint` is touched on
 *         success only.
 */
apr_status_t fw2_endpoint_of(int fd, fw2_endpoint *endpoint);

/** Spell an endpoint as httpd's Listen does: `10.0.0.1:80`, `[::]:80`. */
const char *fw2_endpoint_text(apr_pool_t *pool, const fw2_endpoint *endpoint);

/**
 * The endpoint that a connection with this local end was accepted at: the
 * most specific of those with its port that take its address.
 * @param addr 16 bytes, IPv4 mapped.
 * @return Its index, or -1 where none does.
 */
int fw2_endpoint_find(const fw2_endpoint *endpoints, int n,
                      const unsigned char addr[16], apr_uint16_t port);

#endif /* FW2_ENDPOINT_H */
