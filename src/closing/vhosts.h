/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_VHOSTS_H
#define FW2_VHOSTS_H

/*
 * vhosts: the virtual hosts of each listening socket, and the settings that
 * httpd's own structures get from policies: the socket options of a listening
 * socket, if all its virtual hosts agree, and the keep-alive time of a server.
 *
 * Data made in post_config is read-only afterwards, and lives as long as the
 * configuration. Any thread may call the functions that read it.
 */

#include "httpd.h"

#include "base/policy.h"
#include "kernel/endpoint.h"
#include "kernel/sockopts.h"

/** httpd's listening sockets, without SO_REUSEPORT duplicates. */
typedef struct fw2_listeners {
    int n;
    fw2_endpoint *endpoints; /**< their addresses, for fw2_sockdiag_count() */
    const char **names;      /**< their addresses as Listen spells them */
    fw2_sockopts *options;   /**< the options set on the sockets */
} fw2_listeners;

/**
 * Find httpd's listening sockets, and set on each the socket options that all
 * its virtual hosts agree on, or the system's. Connections in the accept queue
 * keep the options that they were created with (sk_clone_lock()). To be called
 * in post_config, after the sockets are opened; in one thread.
 * @param pool The result's pool.
 * @return Never NULL. A socket without a readable address is left out; a socket
 *         that accepts no options has the system's. Both are logged.
 */
const fw2_listeners *fw2_vhosts_listen(const server_rec *main_server,
                                       apr_pool_t *pool);

/**
 * Find the listener that accepted a connection.
 * @return An index into the listeners, or -1: httpd opened the connection
 *         itself, for example from mod_proxy to a backend.
 */
int fw2_vhosts_accepted_at(const fw2_listeners *listeners, const conn_rec *c);

/**
 * Return the socket options that a connection inherits from its listener. To be
 * called in a child. With ListenCoresBucketsRatio the MPM makes SO_REUSEPORT
 * duplicates of each listening socket, before post_config or, from httpd 2.5
 * on, after it. This module cannot set options on the duplicates, so the result
 * is then the system's options.
 * @param at The listener, from fw2_vhosts_accepted_at().
 */
fw2_sockopts fw2_vhosts_inherited_options(const fw2_listeners *listeners,
                                          int at);

/**
 * Return the servers' names, for example `www.example.com:80`, in the order of
 * httpd's list. A virtual host without ServerName has its address as a name.
 * @param n On return, the number of names.
 */
const char **fw2_vhosts_names(const server_rec *main_server, int *n,
                              apr_pool_t *pool);

/** True if any server hands sockets off. */
int fw2_vhosts_linger(const server_rec *main_server);

/** Return the longest FinWait2LingerTotal of all servers, in microseconds. */
apr_interval_time_t fw2_vhosts_longest(const server_rec *main_server);

/**
 * Set the KeepAliveTimeout of each server with a FinWait2KeepAliveTimeout. The
 * time is linear in the number of servers. To be called in post_config, before
 * that of the event MPM, which makes its queues for these times; in one thread.
 */
void fw2_vhosts_keepalive(server_rec *main_server, apr_pool_t *ptemp);

/**
 * Log a warning for each server that promises its clients a keep-alive time
 * that is not shorter than the real one. The time is linear in the number of
 * servers. To be called once a start, after fw2_vhosts_keepalive(); in one
 * thread.
 * @return True if any server has a FinWait2KeepAliveAdvertise.
 */
int fw2_vhosts_promise(const server_rec *main_server, apr_pool_t *ptemp);

#endif /* FW2_VHOSTS_H */
