/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CONN_IMPL_H
#define FW2_CONN_IMPL_H

/*
 * Within the room `conn`: what is known of one accepted connection, and why it
 * ends. All is the thread's that works on the connection, except as said.
 */

#include "httpd.h"

#include "closing/config.h"
#include "closing/conn.h"
#include "base/record.h"
#include "base/sync.h"

/** How far the body of the last request was read. */
typedef enum {
    FW2_BODY_READ,   /**< to its end, or there was none */
    FW2_BODY_UNREAD, /**< not to its end yet */
    FW2_BODY_BROKEN  /**< it never will be: the body, or the request before it,
                          could not be read */
} fw2_body;

typedef struct fw2_conn {
    apr_socket_t *csd;      /**< httpd's, and stays so */
    fw2_sockopts has;       /**< on the socket now */
    fw2_record *owner;      /**< an fw2_owner, as the last request wants it; any
                                 thread may read it */
    apr_uint32_t owning;    /**< 1: a thread writes the owner; atomic, since
                                 HTTP/2's requests have threads of their own */
    fw2_shared last;        /**< the address of the request read last, which is
                                 never followed; any thread */
    apr_uint32_t requests;  /**< read on this connection; atomic as well */
    fw2_shared tls;         /**< 1: encrypted; the first request writes it, or
                                 the end */
    char *agent;            /**< of FW2_AGENT_SIZE: the User-Agent of the first
                                 request; NULL: not wanted */
    apr_uint32_t agent_set; /**< 1: a request writes it, 2: it is there; atomic
                                 as well */
    fw2_cause answer;       /**< why the last answer was to be the last, or
                                FW2_CAUSES if it was not */
    apr_time_t promised;    /**< the monotonic time until which the last answer
                                 promises to keep the connection; 0: none does,
                                 or a request came after it */
    fw2_body body;          /**< how far the last request's was read */
    int pipelined;          /**< the client has once sent more than was asked
                                 for */
    int tunnel;             /**< the last request made it one */
    int may_send_more;      /**< the client may have more to say than we have
                                 read, though not pipelined */
    int response_pending;   /**< event gave up on an answer */
    int eof_seen;           /**< the client's end of input was read, which in
                                 TLS comes before the FIN */
    int peer_closed;        /**< the client's FIN, or its reset, has come */
    const fw2_child *child;
    int closing;           /**< its end is counted; so are these: */
    fw2_owner end;         /**< the owner by then */
    fw2_protocol protocol; /**< which httpd forgets meanwhile */
    fw2_cause cause;
} fw2_conn;

/** Make the record of a connection's owner, in the connection's pool. */
void fw2_conn_owner_begin(fw2_conn *conn, conn_rec *c, const fw2_owner *owner);

/** Copy out the owner. Any thread; does not block. */
void fw2_conn_owner_read(const fw2_conn *conn, const conn_rec *c,
                         fw2_owner *owner);

/**
 * From now on the connection is the virtual host's that this request named.
 * Any thread; does not block. Any one of requests that are read at the same
 * instant may be the last.
 */
void fw2_conn_owner_request(fw2_conn *conn, const request_rec *r);

/**
 * A request has answered. If none was read after it, the connection ends as it
 * wants. Any thread; does not block.
 * @return True if that changes the owner.
 */
int fw2_conn_owner_answered(fw2_conn *conn, const request_rec *r);

/** Whether any request was read. */
int fw2_conn_was_asked(fw2_conn *conn);

/** The protocol: one of the two, or after an upgrade perhaps neither. */
int fw2_conn_is_http2(conn_rec *c);
int fw2_conn_is_http1(conn_rec *c);

/** Register the filter that sees how far a body is read. Once, at load. */
void fw2_conn_body_register(void);

/** Note what body this request announces, and watch how far it is read. The
 *  header of an HTTP/1 request is read, and nothing of its body. */
void fw2_conn_body_expect(fw2_conn *conn, request_rec *r);

/** The status of this request, or of one it was redirected to within httpd,
 *  with which httpd drops the connection; 0 if there is none. */
int fw2_conn_drops(const request_rec *r);

/** Why the answer to this request, which is to be logged now, is the last;
 *  FW2_CAUSES if it is not, or if the client did not take it. */
fw2_cause fw2_conn_answer_cause(const request_rec *r);

/** Why the connection ends. All its requests are logged. */
fw2_cause fw2_conn_cause(conn_rec *c, fw2_conn *conn);

/** How it ended if it was idle; its cause and protocol are known. */
fw2_idle fw2_conn_idle(const fw2_conn *conn);

#endif /* FW2_CONN_IMPL_H */
