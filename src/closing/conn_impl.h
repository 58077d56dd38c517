/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CONN_IMPL_H
#define FW2_CONN_IMPL_H

/*
 * conn's internal header: the data about one accepted connection, and the cause
 * of its end. Only the thread that works on the connection calls these
 * functions and uses the data, unless noted otherwise.
 */

#include "httpd.h"

#include "closing/config.h"
#include "closing/conn.h"
#include "base/record.h"
#include "base/sync.h"

/** The part of the last request's body that was read. */
typedef enum {
    FW2_BODY_READ,   /**< to its end; also for a request without a body */
    FW2_BODY_UNREAD, /**< not yet to its end */
    FW2_BODY_BROKEN  /**< never to its end: the body, or the request itself,
                          could not be read */
} fw2_body;

typedef struct fw2_conn {
    apr_socket_t *csd;      /**< the accepted socket; httpd's */
    fw2_sockopts options;   /**< the socket's present options */
    fw2_record *owner;      /**< the fw2_owner of the last request; any thread
                                 may read it */
    apr_uint32_t owning;    /**< 1: a thread writes `owner`; atomic, since
                                 HTTP/2's requests have threads of their own */
    fw2_shared last;        /**< the address of the request read last, which is
                                 compared but never followed; any thread */
    apr_uint32_t requests;  /**< number of requests read; atomic */
    fw2_shared tls;         /**< 1: the connection is encrypted; written with
                                 the first request, or at the end */
    char *agent;            /**< the User-Agent of the first request, in
                                 FW2_AGENT_SIZE bytes; NULL: not wanted */
    apr_uint32_t agent_set; /**< 1: a thread writes `agent`, 2: `agent` is
                                 written; atomic */
    /** The cause for which the last response announced the end of the
     *  connection, or FW2_NO_CAUSE if it did not. */
    fw2_cause response_cause;
    apr_time_t promised;  /**< the monotonic time until which the last
                               response promises to keep the connection; 0: no
                               promise, or a request came later */
    fw2_body body;        /**< how far the last request's body was read */
    int pipelined;        /**< 1: the client has sent more than httpd read for
                               a request */
    int tunnel;           /**< 1: the last request made the connection a
                               tunnel */
    int may_send_more;    /**< 1: the client may send more, because the last
                               request had a body, became a tunnel, or made
                               httpd drop the connection */
    int response_pending; /**< 1: event gave up writing a response */
    int eof_seen;         /**< 1: the client's end of input was read, which in
                               TLS comes before the FIN */
    int peer_closed;      /**< 1: the client's FIN or reset has arrived */
    const fw2_child *child;
    int closing;           /**< 1: the end is counted, and these are set: */
    fw2_owner end;         /**< the owner at the end */
    fw2_protocol protocol; /**< the last protocol, which httpd does not keep */
    fw2_cause cause;
} fw2_conn;

/** Make the record of a connection's owner, in the connection's pool. */
void fw2_conn_owner_begin(fw2_conn *conn, conn_rec *c, const fw2_owner *owner);

/** Copy the owner. Any thread; does not block. */
void fw2_conn_owner_read(const fw2_conn *conn, const conn_rec *c,
                         fw2_owner *owner);

/**
 * Make the virtual host of this request the owner. Any thread; does not block.
 * If several requests are read at the same instant, any of their virtual hosts
 * becomes the owner.
 */
void fw2_conn_owner_request(fw2_conn *conn, const request_rec *r);

/**
 * Add the settings of an answered request's sections to the owner, unless
 * another request was read later. Any thread; does not block.
 * @return True if the owner has changed.
 */
int fw2_conn_owner_answered(fw2_conn *conn, const request_rec *r);

/** True if a request was read on this connection. */
int fw2_conn_has_request(fw2_conn *conn);

/** True if the protocol is HTTP/2. */
int fw2_conn_is_http2(conn_rec *c);

/** True if the protocol is HTTP/1. After an upgrade a connection may have
 *  neither protocol. */
int fw2_conn_is_http1(conn_rec *c);

/** Register the filter that sees how far a body is read. Once, at load. */
void fw2_conn_body_register(void);

/** Note whether this request has a body, and observe how far it is read. To be
 *  called when the header of an HTTP/1 request is read, and none of its body.
 */
void fw2_conn_body_expect(fw2_conn *conn, request_rec *r);

/** Return the status with which httpd drops the connection, of this request or
 *  of an internal redirect of it; 0 if there is none. */
int fw2_conn_drop_status(const request_rec *r);

/**
 * Return the cause for which a response is the connection's last one;
 * FW2_NO_CAUSE if the response is not the last, or if the client did not read
 * it. To be called when the request is logged.
 * @param r The last internal redirect, which made the response.
 * @param drop_status fw2_conn_drop_status()'s.
 */
fw2_cause fw2_conn_response_cause(const request_rec *r, int drop_status);

/** True if the connection has the note of mod_reqtimeout, for a client that was
 *  too slow, or of event, for a connection at the end of its keep-alive
 *  time. */
int fw2_conn_has_short_linger(const conn_rec *c);

/** Return the cause of the connection's end. To be called when all its requests
 *  are logged. */
fw2_cause fw2_conn_cause(conn_rec *c, fw2_conn *conn);

/** Return how an idle connection ended. To be called when its cause and
 *  protocol are set. */
fw2_idle fw2_conn_idle(const fw2_conn *conn);

#endif /* FW2_CONN_IMPL_H */
