/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "closing/vhosts.h"

#include "apr_hash.h"
#include "apr_portable.h"
#include "apr_strings.h"
#include "ap_listen.h"
#include "http_log.h"

#include "closing/config.h"

APLOG_USE_MODULE(finwait2);

/* Write an address as in fw2_endpoint, IPv4 mapped. Return NULL if the address
 * is neither IPv4 nor IPv6. */
static const unsigned char *address_bytes(const apr_sockaddr_t *sa,
                                          unsigned char addr[16])
{
    if (sa->family == APR_INET6) {
        memcpy(addr, sa->ipaddr_ptr, 16);
        return addr;
    }
    if (sa->family != APR_INET) {
        return NULL;
    }
    fw2_endpoint_map(addr, sa->ipaddr_ptr);
    return addr;
}

static int is_any(const unsigned char addr[16])
{
    static const unsigned char any6[16];
    static const unsigned char any4[16] = { [10] = 0xff, [11] = 0xff };

    return !memcmp(addr, any6, 16) || !memcmp(addr, any4, 16);
}

/* The part of a listening socket's connections that match an address of a
 * virtual host. */
typedef enum {
    NONE, /* no connection */
    SOME, /* some connections */
    ALL   /* all connections, but more specific addresses take precedence */
} share;

static share address_share(const server_addr_rec *sar, const fw2_endpoint *at)
{
    unsigned char addr[16];

    if (sar->host_port && sar->host_port != at->port) {
        return NONE;
    }
    if (!address_bytes(sar->host_addr, addr)) {
        return NONE;
    }
    if (is_any(addr)) {
        return ALL;
    }
    if (is_any(at->addr)) {
        return SOME;
    }
    return memcmp(addr, at->addr, 16) ? NONE : ALL;
}

static share server_share(const server_rec *s, const fw2_endpoint *at)
{
    const server_addr_rec *sar;
    share best = NONE;

    for (sar = s->addrs; sar; sar = sar->next) {
        share here = address_share(sar, at);

        if (here > best) {
            best = here;
        }
    }
    return best;
}

/* The socket options that the servers of one listening socket want. */
typedef struct {
    int servers; /* number of servers */
    int agree;   /* 1: all servers want the same */
    fw2_sockopts wanted;
} agreement;

static void add_server(agreement *so_far, const server_rec *s)
{
    fw2_sockopts wants = fw2_sockopts_of(fw2_config_policy(s));

    so_far->agree =
        !so_far->servers++
        || (so_far->agree && fw2_sockopts_equal(so_far->wanted, wants));
    so_far->wanted = wants;
}

/*
 * Return the options that all servers of a listening socket agree on, or the
 * system's if they differ. The main server is one of them, unless a virtual
 * host matches all connections.
 */
static fw2_sockopts agreed_at(const fw2_endpoint *at,
                              const server_rec *main_server)
{
    agreement found = { 0 };
    int main_answers = 1;
    const server_rec *s;

    for (s = main_server->next; s; s = s->next) {
        share here = server_share(s, at);

        if (here != NONE) {
            add_server(&found, s);
        }
        if (here == ALL) {
            main_answers = 0;
        }
    }
    if (main_answers) {
        add_server(&found, main_server);
    }
    return found.agree ? found.wanted : fw2_sockopts_system;
}

/* Set the options of a listening socket, or the system's if that fails. Return
 * the options that are set. */
static fw2_sockopts set_on_listener(int fd, const char *name, fw2_sockopts want,
                                    const server_rec *s)
{
    apr_status_t rv = fw2_sockopts_apply(fd, NULL, want);

    if (rv == APR_SUCCESS) {
        return want;
    }
    ap_log_error(APLOG_MARK, APLOG_INFO, rv, s,
                 "the listening socket %s does not take TCP_LINGER2 %d and "
                 "SO_LINGER %d for all its connections; each gets them when "
                 "it is accepted",
                 name, want.linger2, want.so_linger);
    fw2_sockopts_apply(fd, NULL, fw2_sockopts_system);
    return fw2_sockopts_system;
}

static void add_listener(fw2_listeners *all, apr_socket_t *socket,
                         const server_rec *s, apr_pool_t *pool)
{
    fw2_endpoint *at = &all->endpoints[all->n];
    apr_os_sock_t fd;
    apr_status_t rv = apr_os_sock_get(&fd, socket);

    if (rv == APR_SUCCESS) {
        rv = fw2_endpoint_of(fd, at);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                     "cannot read the address of a listening socket; its "
                     "connections are left alone and not counted");
        return;
    }
    all->names[all->n] = fw2_endpoint_text(pool, at);
    all->options[all->n] =
        set_on_listener(fd, all->names[all->n], agreed_at(at, s), s);
    all->n++;
}

const fw2_listeners *fw2_vhosts_listen(const server_rec *main_server,
                                       apr_pool_t *pool)
{
    fw2_listeners *all = apr_pcalloc(pool, sizeof(*all));
    apr_array_header_t *reversed =
        apr_array_make(pool, 4, sizeof(apr_socket_t *));
    const ap_listen_rec *lr;
    apr_size_t n;
    int i;

    /* httpd's list begins with the socket that was configured last. */
    for (lr = ap_listeners; lr; lr = lr->next) {
        APR_ARRAY_PUSH(reversed, apr_socket_t *) = lr->sd;
    }
    n = (apr_size_t)reversed->nelts;
    all->endpoints = apr_pcalloc(pool, n * sizeof(*all->endpoints));
    all->names = apr_pcalloc(pool, n * sizeof(*all->names));
    all->options = apr_pcalloc(pool, n * sizeof(*all->options));
    for (i = reversed->nelts; i-- > 0;) {
        add_listener(all, APR_ARRAY_IDX(reversed, i, apr_socket_t *),
                     main_server, pool);
    }
    return all;
}

int fw2_vhosts_accepted_at(const fw2_listeners *listeners, const conn_rec *c)
{
    unsigned char addr[16];

    if (!address_bytes(c->local_addr, addr)) {
        return -1;
    }
    return fw2_endpoint_find(listeners->endpoints, listeners->n, addr,
                             c->local_addr->port);
}

fw2_sockopts fw2_vhosts_inherited_options(const fw2_listeners *listeners,
                                          int at)
{
    return ap_num_listen_buckets > 1 ? fw2_sockopts_system
                                     : listeners->options[at];
}

static const char *name_of(const server_rec *s, apr_pool_t *pool)
{
    const char *name = s->server_hostname;
    apr_port_t port = s->port;

    if (s->addrs && s->addrs->host_port) {
        port = s->addrs->host_port;
    }
    if (!name) {
        name = s->addrs && s->addrs->virthost ? s->addrs->virthost : "*";
    }
    return port ? apr_psprintf(pool, "%s:%u", name, port) : name;
}

const char **fw2_vhosts_names(const server_rec *main_server, int *n,
                              apr_pool_t *pool)
{
    apr_array_header_t *names = apr_array_make(pool, 8, sizeof(const char *));
    const server_rec *s;

    for (s = main_server; s; s = s->next) {
        APR_ARRAY_PUSH(names, const char *) = name_of(s, pool);
    }
    *n = names->nelts;
    return (const char **)names->elts;
}

int fw2_vhosts_linger(const server_rec *main_server)
{
    const server_rec *s;

    for (s = main_server; s; s = s->next) {
        if (fw2_config_lingers(s)) {
            return 1;
        }
    }
    return 0;
}

apr_interval_time_t fw2_vhosts_longest(const server_rec *main_server)
{
    apr_interval_time_t longest = 0;
    const server_rec *s;

    for (s = main_server; s; s = s->next) {
        apr_interval_time_t here = fw2_config_longest(s);

        longest = here > longest ? here : longest;
    }
    return longest;
}

/* Return an address as a key: the port, then the bytes of the host. */
static const void *address_key(const server_addr_rec *sar, apr_ssize_t *length,
                               apr_pool_t *pool)
{
    apr_size_t bytes = (apr_size_t)sar->host_addr->ipaddr_len;
    char *key = apr_palloc(pool, sizeof(sar->host_port) + bytes);

    memcpy(key, &sar->host_port, sizeof(sar->host_port));
    memcpy(key + sizeof(sar->host_port), sar->host_addr->ipaddr_ptr, bytes);
    *length = (apr_ssize_t)(sizeof(sar->host_port) + bytes);
    return key;
}

/* Return the default virtual host of each address: the one that was configured
 * first, which is the last in httpd's list. httpd uses its KeepAliveTimeout for
 * virtual hosts of the address without one. */
static apr_hash_t *first_servers(const server_rec *main_server,
                                 apr_pool_t *pool)
{
    apr_hash_t *first = apr_hash_make(pool);
    const server_addr_rec *sar;
    const server_rec *s;
    apr_ssize_t length;

    for (s = main_server->next; s; s = s->next) {
        for (sar = s->addrs; sar; sar = sar->next) {
            const void *key = address_key(sar, &length, pool);

            apr_hash_set(first, key, length, s);
        }
    }
    return first;
}

static int has_keepalive(const server_rec *s)
{
    const fw2_policy *policy = fw2_config_policy(s);

    return policy->engine && policy->keepalive_timeout != FW2_KEEPALIVE_INHERIT;
}

static int has_promise(const server_rec *s)
{
    return fw2_policy_promise(fw2_config_policy(s)) != FW2_ADVERTISE_INHERIT;
}

/* True if any server has a property. Without one, the addresses of servers are
 * not read: another module may have added a server without an address. */
static int any_has(const server_rec *s, int (*has)(const server_rec *))
{
    while (s && !has(s)) {
        s = s->next;
    }
    return s != NULL;
}

/* Return the default virtual host of one of a server's addresses, if that has a
 * FinWait2KeepAliveTimeout; or NULL. */
static const server_rec *address_server(const server_rec *s, apr_hash_t *first,
                                        apr_pool_t *pool)
{
    const server_addr_rec *sar;
    apr_ssize_t length;

    for (sar = s->addrs; sar; sar = sar->next) {
        const void *key = address_key(sar, &length, pool);
        const server_rec *own = apr_hash_get(first, key, length);

        if (own && own != s && has_keepalive(own)) {
            return own;
        }
    }
    return NULL;
}

/* Set the present time of an address's default virtual host on the virtual
 * hosts that use it. Otherwise these would also get the new time that is then
 * set on the default virtual host. */
static void keep_old_times(server_rec *main_server, apr_pool_t *ptemp)
{
    apr_hash_t *first = first_servers(main_server, ptemp);
    server_rec *s;

    for (s = main_server->next; s; s = s->next) {
        if (!has_keepalive(s) && !s->keep_alive_timeout_set) {
            const server_rec *own = address_server(s, first, ptemp);

            if (own) {
                s->keep_alive_timeout = own->keep_alive_timeout;
                s->keep_alive_timeout_set = 1;
            }
        }
    }
}

void fw2_vhosts_keepalive(server_rec *main_server, apr_pool_t *ptemp)
{
    server_rec *s;

    if (!any_has(main_server, has_keepalive)) {
        return;
    }
    keep_old_times(main_server, ptemp);
    for (s = main_server; s; s = s->next) {
        if (has_keepalive(s)) {
            s->keep_alive_timeout = fw2_config_policy(s)->keepalive_timeout;
            s->keep_alive_timeout_set = s->is_virtual != 0;
        }
    }
}

/* Return the promised time in microseconds; 0 or less without a promise. */
static apr_interval_time_t promise_of(const server_rec *s)
{
    return apr_time_from_sec(fw2_policy_promise(fw2_config_policy(s)));
}

/* Return the time that httpd waits for the next request to a server. For a
 * virtual host without a time of its own, return the shortest time of its
 * addresses' default virtual hosts. */
static apr_interval_time_t real_time(const server_rec *s, apr_hash_t *first,
                                     apr_pool_t *pool)
{
    apr_interval_time_t shortest = APR_INT64_MAX;
    const server_addr_rec *sar;
    apr_ssize_t length;

    if (!s->is_virtual || s->keep_alive_timeout_set) {
        return s->keep_alive_timeout;
    }
    for (sar = s->addrs; sar; sar = sar->next) {
        const void *key = address_key(sar, &length, pool);
        const server_rec *own = apr_hash_get(first, key, length);

        if (own->keep_alive_timeout < shortest) {
            shortest = own->keep_alive_timeout;
        }
    }
    return shortest;
}

static void warn_promise(const server_rec *s, apr_interval_time_t real)
{
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                 "FinWait2KeepAliveAdvertise of %s %s promises "
                 "%" APR_INT64_T_FMT " ms, but httpd closes an idle connection "
                 "after %" APR_INT64_T_FMT " ms: clients that trust the "
                 "promise send requests into connections that httpd is "
                 "closing. Promise less, or set FinWait2KeepAliveTimeout at "
                 "least 2 s longer. It is applied as configured",
                 s->is_virtual ? "virtual host" : "server",
                 s->server_hostname ? s->server_hostname : "(no ServerName)",
                 apr_time_as_msec(promise_of(s)), apr_time_as_msec(real));
}

/* True if the main server's warning covers this virtual host. */
static int is_covered_by(const server_rec *main_server, const server_rec *s,
                         apr_interval_time_t real)
{
    return s != main_server && main_server->keep_alive
           && promise_of(s) == promise_of(main_server)
           && real == main_server->keep_alive_timeout;
}

int fw2_vhosts_promise(const server_rec *main_server, apr_pool_t *ptemp)
{
    apr_hash_t *first;
    const server_rec *s;

    if (!any_has(main_server, has_promise)) {
        return 0;
    }
    first = first_servers(main_server, ptemp);
    for (s = main_server; s; s = s->next) {
        apr_interval_time_t real = real_time(s, first, ptemp);

        if (s->keep_alive && real > 0 && real <= promise_of(s)
            && !is_covered_by(main_server, s, real)) {
            warn_promise(s, real);
        }
    }
    return 1;
}
