/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The cause of a connection's end. httpd does not report it, so it is derived
 * from the last response and from the state of the connection. */

#include "closing/conn_impl.h"

#include "ap_mpm.h"
#include "http_core.h"
#include "http_protocol.h"

#include "base/clock.h"

/* True if the process stops: the same check as in httpd before it keeps a
 * connection. */
static int is_stopping(void)
{
    int state = AP_MPMQ_RUNNING;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS
           && state == AP_MPMQ_STOPPING;
}

/* --------------------------------------------------- the last response */

int fw2_conn_drop_status(const request_rec *r)
{
    for (; r; r = r->next) {
        if (ap_status_drops_connection(r->status)) {
            return r->status;
        }
    }
    return 0;
}

static int has_close_token(const request_rec *r)
{
    return r->assbackwards /* HTTP/0.9, which not every httpd marks */
           || ap_find_token(
               r->pool, apr_table_get(r->headers_out, "Connection"), "close");
}

/* True if the client or its virtual host wants one response a connection. */
static int is_close_wanted(const request_rec *r)
{
    const char *connection = apr_table_get(r->headers_in, "Connection");

    return !r->server->keep_alive || r->server->keep_alive_timeout <= 0
           || ap_find_token(r->pool, connection, "close")
           || (r->proto_num < HTTP_VERSION(1, 1)
               && !ap_find_token(r->pool, connection, "keep-alive"));
}

/* True if the limit of requests is reached: httpd counts the last response as
 * one more than the limit. */
static int is_over_limit(const request_rec *r)
{
    return r->server->keep_alive_max
           && r->connection->keepalives > r->server->keep_alive_max;
}

fw2_cause fw2_conn_response_cause(const request_rec *r, int drop_status)
{
    const conn_rec *c = r->connection;

    if (c->aborted) {
        return FW2_NO_CAUSE;
    }
    if (drop_status) {
        return drop_status == HTTP_REQUEST_TIME_OUT ? FW2_CAUSE_TIMEOUT
                                                    : FW2_CAUSE_ERROR;
    }
    if (!has_close_token(r)) {
        return c->keepalive == AP_CONN_CLOSE ? FW2_CAUSE_OTHER : FW2_NO_CAUSE;
    }
    if (is_close_wanted(r)) {
        return FW2_CAUSE_CONNECTION_CLOSE;
    }
    if (is_over_limit(r)) {
        return FW2_CAUSE_REQUEST_LIMIT;
    }
    /* Otherwise a handler or an environment variable asked for the close. */
    return is_stopping() ? FW2_CAUSE_STOP : FW2_CAUSE_CONNECTION_CLOSE;
}

/* ------------------------------------------- what a connection was like */

int fw2_conn_has_short_linger(const conn_rec *c)
{
    return apr_table_get(c->notes, "short-lingering-close") != NULL;
}

/*
 * True if the connection is between two requests. With event such a connection
 * is marked as kept alive. With another MPM a worker has begun to read the next
 * request, which removes the mark. Idle connections of HTTP/2 are seen with
 * event only.
 */
static int is_idle(conn_rec *c)
{
    if (fw2_conn_is_http2(c)) {
        return fw2_conn_has_short_linger(c);
    }
    return c->keepalives && (!c->cs || c->keepalive == AP_CONN_KEEPALIVE);
}

/*
 * True if the client was too slow in the middle of a request or of a response.
 * A response that httpd could not write, to a client that has not closed, has
 * timed out.
 */
static int is_late(conn_rec *c, fw2_conn *conn)
{
    if (conn->response_pending
        || (c->aborted && !conn->tunnel && fw2_conn_has_request(conn))) {
        return 1;
    }
    return !fw2_conn_is_http2(c) && c->keepalive != AP_CONN_KEEPALIVE
           && (fw2_conn_has_short_linger(c) || (c->keepalives && !is_idle(c)));
}

/* True if httpd has closed a connection without a request and without a log
 * entry. httpd logs input that it cannot read and clients that are late, so the
 * client has caused any other close, even if its FIN has not arrived yet. */
static int is_closed_by_client(conn_rec *c, fw2_conn *conn)
{
    return !fw2_conn_has_request(conn) && fw2_conn_is_http1(c) && !c->aborted;
}

fw2_cause fw2_conn_cause(conn_rec *c, fw2_conn *conn)
{
    if (conn->peer_closed) {
        return FW2_CAUSE_PEER;
    }
    if (conn->response_cause != FW2_NO_CAUSE) {
        return conn->response_cause;
    }
    if (conn->eof_seen) {
        return FW2_CAUSE_PEER;
    }
    if (is_late(c, conn)) {
        return FW2_CAUSE_TIMEOUT;
    }
    if (is_closed_by_client(c, conn)) {
        return FW2_CAUSE_PEER;
    }
    if (is_stopping()) {
        return FW2_CAUSE_STOP;
    }
    return is_idle(c) ? FW2_CAUSE_KEEPALIVE : FW2_CAUSE_OTHER;
}

fw2_idle fw2_conn_idle(const fw2_conn *conn)
{
    if (conn->protocol != FW2_HTTP1) {
        return FW2_IDLES;
    }
    if (conn->cause == FW2_CAUSE_KEEPALIVE) {
        return FW2_IDLE_EXPIRED;
    }
    if (conn->cause != FW2_CAUSE_PEER || !conn->promised) {
        return FW2_IDLES;
    }
    return fw2_clock_now() < conn->promised ? FW2_IDLE_IN_TIME : FW2_IDLE_LATE;
}
