/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_VHOSTS_H
#define FW2_VHOSTS_H

/*
 * vhosts: which virtual hosts answer at which listening socket, and giving
 * httpd's own structures what their policies say: a listening socket what all
 * its virtual hosts agree on, a server its keep-alive time.
 *
 * What post_config makes here is read-only afterwards, and lives as long as
 * the configuration; the functions that read it may be called from any thread.
 */

#include "httpd.h"

#include "fw2_policy.h"
#include "fw2_sockdiag.h"

/** httpd's listening sockets, SO_REUSEPORT duplicates counted once. */
typedef struct fw2_listeners {
    int n;
    fw2_endpoint *endpoints; /**< an array, as fw2_sockdiag_count() takes it */
    const char **names;      /**< each as Listen spells it */
    fw2_sockopts *carries;   /**< what a connection accepted there is born
                                  with */
} fw2_listeners;

/**
 * Find httpd's listening sockets and give each, with all its SO_REUSEPORT
 * duplicates, the socket options that all its virtual hosts agree on, or the
 * system's where they do not. Connections that wait in the accept queue keep
 * what they were born with (sk_clone_lock()).
 * For post_config, when the sockets are open; in one thread.
 * @param pool For the result.
 * @return Never NULL. A socket that cannot be asked is left out, one that
 *         takes no options carries the system's; both are logged.
 */
const fw2_listeners *fw2_vhosts_listen(const server_rec *main_server,
                                       apr_pool_t *pool);

/**
 * Where a connection was accepted.
 * @return An index into the listeners, or -1: not accepted by httpd, but
 *         opened by it, such as mod_proxy's connections to backends.
 */
int fw2_vhosts_accepted_at(const fw2_listeners *listeners, const conn_rec *c);

/**
 * The servers' names, `www.example.com:80`, in the order of the list; a
 * virtual host without ServerName has its address's.
 * @param n On return, how many there are.
 */
const char **fw2_vhosts_names(const server_rec *main_server, int *n,
                              apr_pool_t *pool);

/** Whether any server's policy needs a closer. */
int fw2_vhosts_linger(const server_rec *main_server);

/**
 * Give each server its FinWait2KeepAliveTimeout, as if its KeepAliveTimeout
 * had said so. For post_config, before the event MPM's, which builds its
 * queues from these times; in one thread.
 */
void fw2_vhosts_keepalive(server_rec *main_server);

#endif /* FW2_VHOSTS_H */
