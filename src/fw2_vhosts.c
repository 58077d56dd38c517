/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "fw2_vhosts.h"

#include "apr_portable.h"
#include "apr_strings.h"
#include "ap_listen.h"
#include "http_log.h"

#include "fw2_config.h"

APLOG_USE_MODULE(finwait2);

/* An address as fw2_endpoint has it: IPv4 mapped, or NULL if it is neither. */
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
    memset(addr, 0, 10);
    memset(addr + 10, 0xff, 2);
    memcpy(addr + 12, sa->ipaddr_ptr, 4);
    return addr;
}

static int is_any(const unsigned char addr[16])
{
    static const unsigned char any6[16];
    static const unsigned char any4[16] = { [10] = 0xff, [11] = 0xff };

    return !memcmp(addr, any6, 16) || !memcmp(addr, any4, 16);
}

/* How an address of a virtual host meets a listening socket. */
typedef enum {
    APART,   /**< no connection there is for it */
    PARTLY,  /**< some connections there may be for it */
    ENTIRELY /**< any connection there is for it, or for one more specific */
} meeting;

static meeting meets(const server_addr_rec *sar, const fw2_endpoint *at)
{
    unsigned char addr[16];

    if (sar->host_port && sar->host_port != at->port) {
        return APART;
    }
    if (!address_bytes(sar->host_addr, addr)) {
        return APART;
    }
    if (is_any(addr)) {
        return ENTIRELY;
    }
    if (is_any(at->addr)) {
        return PARTLY;
    }
    return memcmp(addr, at->addr, 16) ? APART : ENTIRELY;
}

static meeting server_meets(const server_rec *s, const fw2_endpoint *at)
{
    const server_addr_rec *sar;
    meeting best = APART;

    for (sar = s->addrs; sar; sar = sar->next) {
        meeting here = meets(sar, at);

        if (here > best) {
            best = here;
        }
    }
    return best;
}

/* Servers that may answer at one listening socket, and what they want. */
typedef struct {
    int asked;
    int agree;
    fw2_sockopts wanted;
} agreement;

static void ask(agreement *so_far, const server_rec *s)
{
    fw2_sockopts wants = fw2_policy_sockopts(fw2_config_policy(s));

    so_far->agree =
        !so_far->asked++
        || (so_far->agree && fw2_sockopts_equal(so_far->wanted, wants));
    so_far->wanted = wants;
}

/*
 * What all servers that may answer at a listening socket want of it, or the
 * system's if they differ. The main server answers what no virtual host takes.
 */
static fw2_sockopts agreed_at(const fw2_endpoint *at,
                              const server_rec *main_server)
{
    agreement servers = { 0 };
    int main_answers = 1;
    const server_rec *s;

    for (s = main_server->next; s; s = s->next) {
        meeting here = server_meets(s, at);

        if (here != APART) {
            ask(&servers, s);
        }
        if (here == ENTIRELY) {
            main_answers = 0;
        }
    }
    if (main_answers) {
        ask(&servers, main_server);
    }
    return servers.agree ? servers.wanted : fw2_sockopts_system;
}

static int same_endpoint(const fw2_endpoint *a, const fw2_endpoint *b)
{
    return !memcmp(a->addr, b->addr, sizeof(a->addr)) && a->port == b->port
           && a->v4 == b->v4 && a->v6only == b->v6only;
}

/*
 * With ListenCoresBucketsRatio each listening socket has SO_REUSEPORT
 * duplicates that only the MPM knows: find them among our descriptors.
 * Opened at start, they have low numbers; 65,536 are looked at in about 10 ms.
 */
static apr_status_t set_on_duplicates(const fw2_endpoint *at, fw2_sockopts want)
{
    long most = sysconf(_SC_OPEN_MAX);
    apr_status_t rv = APR_SUCCESS;
    int fd, found = 0;

    if (most < 0 || most > 65536) {
        most = 65536;
    }
    for (fd = 0; fd < most && rv == APR_SUCCESS; fd++) {
        fw2_endpoint here;
        int listens = 0;
        socklen_t len = sizeof(listens);

        if (!getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len)
            && listens && fw2_endpoint_of(fd, &here) == APR_SUCCESS
            && same_endpoint(&here, at)) {
            rv = fw2_sockopts_apply(fd, NULL, want);
            found++;
        }
    }
    return rv == APR_SUCCESS && found < ap_num_listen_buckets ? APR_ENOENT : rv;
}

/* Set what the socket shall carry; the system's if that cannot be. */
static fw2_sockopts set_on_listener(int fd, const fw2_endpoint *at,
                                    const char *name, fw2_sockopts want,
                                    const server_rec *s)
{
    apr_status_t rv = fw2_sockopts_apply(fd, NULL, want);

    if (rv == APR_SUCCESS && ap_num_listen_buckets > 1) {
        rv = set_on_duplicates(at, want);
    }
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
    all->carries[all->n] =
        set_on_listener(fd, at, all->names[all->n], agreed_at(at, s), s);
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

    /* httpd's list begins with what was configured last. */
    for (lr = ap_listeners; lr; lr = lr->next) {
        APR_ARRAY_PUSH(reversed, apr_socket_t *) = lr->sd;
    }
    n = (apr_size_t)reversed->nelts;
    all->endpoints = apr_pcalloc(pool, n * sizeof(*all->endpoints));
    all->names = apr_pcalloc(pool, n * sizeof(*all->names));
    all->carries = apr_pcalloc(pool, n * sizeof(*all->carries));
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
    return port ? apr_psprintf(pool, "%s:%u", name, port)
                : apr_pstrdup(pool, name);
}

const char **fw2_vhosts_names(const server_rec *main_server, int *n,
                              apr_pool_t *pool)
{
    const server_rec *s;
    const char **names;

    *n = 0;
    for (s = main_server; s; s = s->next) {
        (*n)++;
    }
    names = apr_palloc(pool, (apr_size_t)*n * sizeof(*names));
    *n = 0;
    for (s = main_server; s; s = s->next) {
        names[(*n)++] = name_of(s, pool);
    }
    return names;
}

int fw2_vhosts_linger(const server_rec *main_server)
{
    const server_rec *s;

    for (s = main_server; s; s = s->next) {
        const fw2_policy *policy = fw2_config_policy(s);

        if (policy->engine
            && (policy->linger == FW2_LINGER_AUTO
                || policy->linger == FW2_LINGER_ALWAYS)) {
            return 1;
        }
    }
    return 0;
}

static int share_an_address(const server_rec *a, const server_rec *b)
{
    const server_addr_rec *of_a, *of_b;

    for (of_a = a->addrs; of_a; of_a = of_a->next) {
        for (of_b = b->addrs; of_b; of_b = of_b->next) {
            if (of_a->host_port == of_b->host_port
                && apr_sockaddr_equal(of_a->host_addr, of_b->host_addr)) {
                return 1;
            }
        }
    }
    return 0;
}

/* The address's own virtual host, whose KeepAliveTimeout httpd takes for a
 * named one that has none: the first with that address, and so the last in
 * httpd's list, which begins with what was configured last. */
static const server_rec *address_server(const server_rec *s)
{
    const server_rec *first = s;
    const server_rec *other;

    for (other = s->next; other; other = other->next) {
        if (share_an_address(other, s)) {
            first = other;
        }
    }
    return first;
}

static int has_keepalive(const server_rec *s)
{
    const fw2_policy *policy = fw2_config_policy(s);

    return policy->engine && policy->keepalive_timeout != FW2_KEEPALIVE_INHERIT;
}

/*
 * Two passes: before the address's server gets its new time, those that only
 * share its address must be given its old one to keep.
 */
void fw2_vhosts_keepalive(server_rec *main_server)
{
    server_rec *s;

    for (s = main_server->next; s; s = s->next) {
        if (!has_keepalive(s) && !s->keep_alive_timeout_set) {
            const server_rec *first = address_server(s);

            if (has_keepalive(first)) {
                s->keep_alive_timeout = first->keep_alive_timeout;
                s->keep_alive_timeout_set = 1;
            }
        }
    }
    for (s = main_server; s; s = s->next) {
        if (has_keepalive(s)) {
            s->keep_alive_timeout = fw2_config_policy(s)->keepalive_timeout;
            s->keep_alive_timeout_set = s->is_virtual != 0;
        }
    }
}
