/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CONN_H
#define FW2_CONN_H

/*
 * conn: one accepted connection, from its socket's options to its end, which
 * is handed off to the closer process.
 *
 * All knowledge of a connection is in its pool. Only the thread that works on
 * the connection calls these, except as said; they never wait for anybody.
 */

#include "httpd.h"

#include "shared/board.h"
#include "shared/counters.h"
#include "shared/queue.h"
#include "closing/vhosts.h"

/** The means of a child to hand its connections off. Constant in a child. */
typedef struct fw2_child {
    const fw2_listeners *listeners; /**< where connections are accepted */
    const fw2_queue *queue;         /**< to the closer process */
    const fw2_board *board;         /**< the closer process's */
    fw2_counters *counters;         /**< where each connection's end is counted,
                                         once; the virtual host is the last
                                         request's */
    int lingers;                    /**< a virtual host hands sockets off */
    int agents; /**< the closer process wants to know User-Agents */
} fw2_child;

/** Register the filter that sees a connection's end. Once, at load. */
void fw2_conn_register(void);

/**
 * A connection exists. If a listening socket of ours accepted it, it is given
 * what its address's virtual host wants; all others are left alone for good:
 * HTTP/2's secondary ones, and those that mod_proxy opened.
 * @param child Must outlive the connection.
 */
void fw2_conn_accepted(conn_rec *c, apr_socket_t *csd, const fw2_child *child);

/** A request has named its virtual host: from now on the connection is that
 *  one's. The threads of HTTP/2's requests may call it, too. */
void fw2_conn_request(request_rec *r);

/**
 * A request is answered, or was none. If the answer is the last and it is known
 * why, the note `finwait2-cause` says so, for whoever logs after us.
 */
void fw2_conn_logged(request_rec *r);

/**
 * The connection is about to be closed: count why. And once httpd has written
 * everything, send the FIN and hand the socket off.
 */
void fw2_conn_closing(conn_rec *c);

#endif /* FW2_CONN_H */
