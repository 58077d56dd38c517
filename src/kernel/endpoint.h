/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_ENDPOINT_H
#define FW2_ENDPOINT_H

/*
 * endpoint: addresses of listening sockets, IPv4 and IPv6 in one form, and the
 * choice of the listening socket that accepts a connection.
 *
 * The room depends on APR and the kernel, and not on httpd. Any thread may call
 * its functions: they keep no state.
 */

#include "apr.h"
#include "apr_errno.h"
#include "apr_pools.h"

/** The local address and port of a listening socket. */
typedef struct fw2_endpoint {
    unsigned char addr[16]; /**< IPv6, or IPv4 mapped (::ffff:a.b.c.d); any
                                 address: all zero, or all zero after the
                                 mapping prefix */
    apr_uint16_t port;      /**< host byte order */
    unsigned char v4;       /**< 1: an AF_INET socket, for IPv4 clients only */
    unsigned char v6only;   /**< 1: an AF_INET6 socket without IPv4 clients */
} fw2_endpoint;

/** Convert an IPv4 address of 4 bytes into its mapped form. */
void fw2_endpoint_map(unsigned char addr[16], const void *v4);

/** True if an address is a mapped IPv4 address. */
int fw2_endpoint_is_mapped(const unsigned char addr[16]);

/**
 * Read the endpoint of a socket of this process.
 * @param fd A bound TCP socket; stays the caller's.
 * @param endpoint Set on success only.
 * @return APR_SUCCESS; APR_EINVAL for a socket that is neither AF_INET nor
 *         AF_INET6; otherwise the system's error.
 */
apr_status_t fw2_endpoint_of(int fd, fw2_endpoint *endpoint);

/** Spell an endpoint as httpd's Listen does: `10.0.0.1:80`, `[::]:80`. */
const char *fw2_endpoint_text(apr_pool_t *pool, const fw2_endpoint *endpoint);

/**
 * Find the endpoint that accepted a connection: the most specific endpoint
 * that matches the connection's local address and port.
 * @param addr The local address in 16 bytes, IPv4 mapped.
 * @return The endpoint's index, or -1 if no endpoint matches.
 */
int fw2_endpoint_find(const fw2_endpoint *endpoints, int n,
                      const unsigned char addr[16], apr_uint16_t port);

#endif /* FW2_ENDPOINT_H */
