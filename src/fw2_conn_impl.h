/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CONN_IMPL_H
#define FW2_CONN_IMPL_H

/*
 * Within the room `conn`: what is known of one accepted connection, and why it
 * ends. All is the thread's that works on the connection, except as said.
 */

#include "httpd.h"

#include "fw2_conn.h"

typedef struct fw2_conn {
    apr_socket_t *csd;      /**< httpd's, and stays so */
    fw2_sockopts has;       /**< on the socket now */
    void *server;           /**< const server_rec * of the last request; atomic,
                           since HTTP/2's requests have threads of their own */
    apr_uint32_t requests;  /**< read on this connection; atomic as well */
    apr_uint64_t agent;     /**< what its first request said of the client, or
                                 0; atomic as well */
    fw2_cause answer;       /**< why the last answer was to be the last, or
                                FW2_CAUSES if it was not */
    int tunnel;             /**< the last request made it one */
    int talkative;          /**< the peer may have more to say than we have
                                read */
    int unwritten;          /**< event gave up on an answer */
    int said_bye;           /**< the peer's end of input was read, which in
                                 TLS comes before the FIN */
    int peer_closed;        /**< the peer's FIN, or its reset, has come */
    const fw2_hands *hands; /**< once it is closing */
    fw2_protocol protocol;  /**< the same; httpd forgets it meanwhile */
    fw2_cause cause;        /**< the same */
} fw2_conn;

/** Whether any request was read. */
int fw2_conn_was_asked(fw2_conn *conn);

/** What is spoken: one of the two, or after an upgrade perhaps neither. */
int fw2_conn_is_http2(conn_rec *c);
int fw2_conn_is_http1(conn_rec *c);

/** The status of this request, or of one it was redirected to within httpd,
 *  with which httpd drops the connection; 0 if there is none. */
int fw2_conn_drops(const request_rec *r);

/** Why the answer to this request, which is to be logged now, is the last;
 *  FW2_CAUSES if it is not, or if the peer did not take it. */
fw2_cause fw2_conn_answer_cause(const request_rec *r);

/** Why the connection ends. All its requests are logged. */
fw2_cause fw2_conn_cause(conn_rec *c, fw2_conn *conn);

#endif /* FW2_CONN_IMPL_H */
