/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_VHOSTS_H
#define FW2_VHOSTS_H

/*
 * vhosts: which virtual hosts answer at which listening socket, and giving
 * httpd's own structures what their policies say: a listening socket what all
 * its virtual hosts agree on, a server its keep-alive time.
 *
 * All that post_config makes here is read-only afterwards, and lives as long as
 * the configuration; the functions that read it may be called from any thread.
 */

#include "httpd.h"

#include "base/policy.h"
#include "kernel/endpoint.h"
#include "kernel/sockopts.h"

/** httpd's listening sockets, SO_REUSEPORT duplicates counted once. */
typedef struct fw2_listeners {
    int n;
    fw2_endpoint *endpoints; /**< an array, as fw2_sockdiag_count() takes it */
    const char **names;      /**< each as Listen spells it */
    fw2_sockopts *carries;   /**< the options set on each */
} fw2_listeners;

/**
 * Find httpd's listening sockets and give each the socket options that all its
 * virtual hosts agree on, or the system's where they do not. Connections that
 * wait in the accept queue keep what they were born with (sk_clone_lock()).
 * For post_config, when the sockets are open; in one thread.
 * @param pool For the result.
 * @return Never NULL. A socket that cannot be asked is left out, one that
 *         takes no options carries the system's; both are logged.
 */
const fw2_listeners *fw2_vhosts_listen(const server_rec *main_server,
                                       apr_pool_t *pool);

/**
 * Find the listener that accepted a connection.
 * @return An index into the listeners, or -1: not accepted by httpd, but
 *         opened by it, such as mod_proxy's connections to backends.
 */
int fw2_vhosts_accepted_at(const fw2_listeners *listeners, const conn_rec *c);

/**
 * The options that a connection accepted at a listener is born with. For a
 * child: with ListenCoresBucketsRatio the MPM makes SO_REUSEPORT duplicates of
 * each listening socket, before post_config or, from httpd 2.5 on, after it,
 * and keeps them to itself. No connection then counts as born with anything.
 * @param at From fw2_vhosts_accepted_at().
 */
fw2_sockopts fw2_vhosts_carried(const fw2_listeners *listeners, int at);

/**
 * The servers' names, `www.example.com:80`, in the order of the list; a
 * virtual host without ServerName has its address's.
 * @param n On return, how many there are.
 */
const char **fw2_vhosts_names(const server_rec *main_server, int *n,
                              apr_pool_t *pool);

/** True if any server hands its sockets off. */
int fw2_vhosts_linger(const server_rec *main_server);

/** The longest FinWait2LingerTotal of any server. */
apr_interval_time_t fw2_vhosts_longest(const server_rec *main_server);

/**
 * Give each server its FinWait2KeepAliveTimeout, as if its KeepAliveTimeout
 * had said so. Linear in the servers. For post_config, before the event MPM's,
 * which builds its queues from these times; in one thread.
 */
void fw2_vhosts_keepalive(server_rec *main_server, apr_pool_t *ptemp);

/**
 * Log a warning for each server that promises its clients a keep-alive time
 * that is not shorter than the real one. Linear in the servers. To be called
 * once a start, after fw2_vhosts_keepalive(); in one thread.
 * @return True if any server has a FinWait2KeepAliveAdvertise.
 */
int fw2_vhosts_promise(const server_rec *main_server, apr_pool_t *ptemp);

#endif /* FW2_VHOSTS_H */
