/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CONN_H
#define FW2_CONN_H

/*
 * conn: one accepted connection, from its socket's options to its end, which
 * is handed over to the closer.
 *
 * What is known of a connection is in its pool. Only the thread that works on
 * the connection calls these, except as said; they never wait for anybody.
 */

#include "httpd.h"

#include "fw2_clients.h"
#include "fw2_closer.h"
#include "fw2_counters.h"
#include "fw2_vhosts.h"

/** What a child closes its connections with. Read-only once the child runs. */
typedef struct fw2_hands {
    fw2_closer *closer;     /**< NULL: there is none, httpd lingers */
    fw2_clients *clients;   /**< NULL: nobody asks who they are */
    void (*fallback)(void); /**< told that httpd lingers, for want of a
                                 place */
    void (*closed)(fw2_vhost_id vhost, const fw2_closed *closed); /**< told of
                                 each connection's end, once; the virtual host
                                 is the last request's */
} fw2_hands;

/** Register the filter that sees a connection's end. Once, at load. */
void fw2_conn_register(void);

/**
 * A connection exists. If a listening socket of ours accepted it, it is given
 * what its address's virtual host wants; all others are left alone for good:
 * HTTP/2's secondary ones, and those that mod_proxy opened.
 */
void fw2_conn_accepted(conn_rec *c, apr_socket_t *csd,
                       const fw2_listeners *listeners);

/** A request has named its virtual host: from now on the connection is that
 *  one's. The threads of HTTP/2's requests may call it, too. */
void fw2_conn_request(request_rec *r, const fw2_hands *hands);

/**
 * A request is answered, or was none. If the answer is the last and it is known
 * why, the note `finwait2-cause` says so, for whoever logs after us.
 */
void fw2_conn_logged(request_rec *r);

/**
 * The connection is about to be closed: tell why. And once httpd has written
 * its last, send the FIN and hand the socket over.
 * @param hands Must outlive the connection.
 */
void fw2_conn_closing(conn_rec *c, const fw2_hands *hands);

#endif /* FW2_CONN_H */
