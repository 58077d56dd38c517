/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "kernel/endpoint.h"

#include <errno.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "apr_strings.h"

static const unsigned char mapped_prefix[12] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff,
};

void fw2_endpoint_map(unsigned char addr[16], const void *v4)
{
    memcpy(addr, mapped_prefix, sizeof(mapped_prefix));
    memcpy(addr + sizeof(mapped_prefix), v4, 4);
}

int fw2_endpoint_is_mapped(const unsigned char addr[16])
{
    return !memcmp(addr, mapped_prefix, sizeof(mapped_prefix));
}

static apr_status_t endpoint_of_v6(int fd, const struct sockaddr_in6 *sin6,
                                   fw2_endpoint *endpoint)
{
    int v6only = 0;
    socklen_t len = sizeof(v6only);

    if (getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &len)) {
        return errno;
    }
    memcpy(endpoint->addr, &sin6->sin6_addr, sizeof(endpoint->addr));
    endpoint->port = ntohs(sin6->sin6_port);
    endpoint->v4 = 0;
    endpoint->v6only = v6only != 0;
    return APR_SUCCESS;
}

apr_status_t fw2_endpoint_of(int fd, fw2_endpoint *endpoint)
{
    union {
        struct sockaddr any;
        struct sockaddr_in sin;
        struct sockaddr_in6 sin6;
        struct sockaddr_storage room;
    } name;
    socklen_t len = sizeof(name);

    memset(&name, 0, sizeof(name));
    if (getsockname(fd, &name.any, &len)) {
        return errno;
    }
    if (name.any.sa_family == AF_INET6) {
        return endpoint_of_v6(fd, &name.sin6, endpoint);
    }
    if (name.any.sa_family != AF_INET) {
        return APR_EINVAL;
    }
    fw2_endpoint_map(endpoint->addr, &name.sin.sin_addr);
    endpoint->port = ntohs(name.sin.sin_port);
    endpoint->v4 = 1;
    endpoint->v6only = 0;
    return APR_SUCCESS;
}

const char *fw2_endpoint_text(apr_pool_t *pool, const fw2_endpoint *endpoint)
{
    char text[INET6_ADDRSTRLEN] = "";

    if (endpoint->v4) {
        inet_ntop(AF_INET, endpoint->addr + sizeof(mapped_prefix), text,
                  sizeof(text));
        return apr_psprintf(pool, "%s:%d", text, endpoint->port);
    }
    inet_ntop(AF_INET6, endpoint->addr, text, sizeof(text));
    return apr_psprintf(pool, "[%s]:%d", text, endpoint->port);
}

static int is_any(const unsigned char *addr, apr_size_t len)
{
    static const unsigned char zeros[16];

    return !memcmp(addr, zeros, len);
}

/* Return how closely an endpoint matches a local address: from 0, no match, to
 * 3, the same address. The kernel ranks listening sockets for an incoming
 * connection in the same order (compute_score()). */
static int endpoint_rank(const fw2_endpoint *endpoint,
                         const unsigned char addr[16])
{
    if (!memcmp(endpoint->addr, addr, sizeof(endpoint->addr))) {
        return 3;
    }
    if (fw2_endpoint_is_mapped(endpoint->addr)) {
        return fw2_endpoint_is_mapped(addr) && is_any(endpoint->addr + 12, 4)
                   ? 2
                   : 0;
    }
    if (endpoint->v6only && fw2_endpoint_is_mapped(addr)) {
        return 0;
    }
    return is_any(endpoint->addr, 16) ? 1 : 0;
}

int fw2_endpoint_find(const fw2_endpoint *endpoints, int n,
                      const unsigned char addr[16], apr_uint16_t port)
{
    int found = -1, best = 0, i, rank;

    for (i = 0; i < n; i++) {
        if (endpoints[i].port != port) {
            continue;
        }
        rank = endpoint_rank(&endpoints[i], addr);
        if (rank > best) {
            best = rank;
            found = i;
        }
    }
    return found;
}
