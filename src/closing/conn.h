/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CONN_H
#define FW2_CONN_H

/*
 * conn: one accepted connection, from the options of its socket to its end,
 * when the socket is handed off to the closer process.
 *
 * All data about a connection is in the connection's pool. Only the thread that
 * works on the connection calls these functions, unless noted otherwise. The
 * functions wait for no lock and no other process.
 */

#include "httpd.h"

#include "shared/board.h"
#include "shared/counters.h"
#include "shared/queue.h"
#include "closing/vhosts.h"

/** The data that a child needs to hand its connections off. Constant in a
 *  child. */
typedef struct fw2_child {
    const fw2_listeners *listeners; /**< httpd's listening sockets */
    const fw2_queue *queue;         /**< the queue to the closer process */
    const fw2_board *board;         /**< the closer process's board */
    fw2_counters *counters; /**< totals; each connection's end is counted
                                         once, for the virtual host of the last
                                         request */
    int agents;             /**< 1: the closer process counts by User-Agent */
} fw2_child;

/** Register the filters that see the end of a connection and of a body. Once,
 *  at load. */
void fw2_conn_register(void);

/**
 * Begin to observe a connection that a listening socket of httpd accepted, and
 * set the socket options of the virtual host of its address. All other
 * connections are ignored: secondary ones of HTTP/2, and those that mod_proxy
 * opened.
 * @param child Must outlive the connection.
 */
void fw2_conn_accepted(conn_rec *c, apr_socket_t *csd, const fw2_child *child);

/** Assign the connection to the virtual host that this request has named. Also
 *  called by the threads of HTTP/2's requests. */
void fw2_conn_request(request_rec *r);

/**
 * Note the end of a request, also of one that could not be read. If the
 * response is the connection's last one and the cause is known, the note
 * `finwait2-cause` is set for modules that log later.
 */
void fw2_conn_logged(request_rec *r);

/**
 * Count the end of a connection that httpd is about to close. After httpd has
 * written everything, the FIN is sent and the socket handed off.
 */
void fw2_conn_closing(conn_rec *c);

#endif /* FW2_CONN_H */
