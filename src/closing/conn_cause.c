/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Why a connection ends. httpd does not tell: it is read from what the last
 * answer said, and from what httpd leaves behind on the connection. */

#include "closing/conn_impl.h"

#include "ap_mpm.h"
#include "http_core.h"
#include "http_protocol.h"

#include "base/clock.h"

/* As httpd asks before it lets a connection live on. */
static int is_stopping(void)
{
    int state = AP_MPMQ_RUNNING;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS
           && state == AP_MPMQ_STOPPING;
}

/* ------------------------------------------------- what an answer said */

int fw2_conn_drops(const request_rec *r)
{
    for (; r; r = r->next) {
        if (ap_status_drops_connection(r->status)) {
            return r->status;
        }
    }
    return 0;
}

static int says_close(const request_rec *r)
{
    return r->assbackwards /* HTTP/0.9, which not every httpd marks */
           || ap_find_token(
               r->pool, apr_table_get(r->headers_out, "Connection"), "close");
}

/* Whether the client, or its virtual host, wants one answer a connection. */
static int is_asked_for(const request_rec *r)
{
    const char *connection = apr_table_get(r->headers_in, "Connection");

    return !r->server->keep_alive || r->server->keep_alive_timeout <= 0
           || ap_find_token(r->pool, connection, "close")
           || (r->proto_num < HTTP_VERSION(1, 1)
               && !ap_find_token(r->pool, connection, "keep-alive"));
}

/* httpd counts the answer that says so as one more than may be. */
static int is_over_limit(const request_rec *r)
{
    return r->server->keep_alive_max
           && r->connection->keepalives > r->server->keep_alive_max;
}

fw2_cause fw2_conn_answer_cause(const request_rec *r)
{
    const conn_rec *c = r->connection;
    int status = fw2_conn_drops(r);

    while (r->next) {
        r = r->next;
    }
    if (c->aborted) {
        return FW2_CAUSES;
    }
    if (status) {
        return status == HTTP_REQUEST_TIME_OUT ? FW2_CAUSE_TIMEOUT
                                               : FW2_CAUSE_ERROR;
    }
    if (!says_close(r)) {
        return c->keepalive == AP_CONN_CLOSE ? FW2_CAUSE_OTHER : FW2_CAUSES;
    }
    if (is_asked_for(r)) {
        return FW2_CAUSE_CONNECTION_CLOSE;
    }
    if (is_over_limit(r)) {
        return FW2_CAUSE_REQUEST_LIMIT;
    }
    /* The rest are handlers and variables that asked for it. */
    return is_stopping() ? FW2_CAUSE_STOP : FW2_CAUSE_CONNECTION_CLOSE;
}

/* ------------------------------------------- what a connection was like */

/* mod_reqtimeout's for a client that was too slow, and event's for one whose
 * keep-alive time is over. */
static int is_noted(const conn_rec *c)
{
    return apr_table_get(c->notes, "short-lingering-close") != NULL;
}

/*
 * Between two requests. A connection that waits in event is marked as kept
 * alive; who waits in a worker has begun to read the next request, and is not.
 * mod_http2 is idle in event's hands, or leaves no trace of it.
 */
static int is_idle(conn_rec *c)
{
    if (fw2_conn_is_http2(c)) {
        return is_noted(c);
    }
    return c->keepalives && (!c->cs || c->keepalive == AP_CONN_KEEPALIVE);
}

/*
 * In the middle of a request, or of an answer: what httpd could not write to a
 * client that has not gone, it gave up.
 */
static int is_late(conn_rec *c, fw2_conn *conn)
{
    if (conn->response_pending
        || (c->aborted && !conn->tunnel && fw2_conn_was_asked(conn))) {
        return 1;
    }
    return !fw2_conn_is_http2(c) && c->keepalive != AP_CONN_KEEPALIVE
           && (is_noted(c) || (c->keepalives && !is_idle(c)));
}

/* Without a request, httpd logs input that it cannot read and clients that
 * are late. A close without that is caused by the client, even if its FIN is
 * still to come. */
static int is_given_up(conn_rec *c, fw2_conn *conn)
{
    return !fw2_conn_was_asked(conn) && fw2_conn_is_http1(c) && !c->aborted;
}

fw2_cause fw2_conn_cause(conn_rec *c, fw2_conn *conn)
{
    if (conn->peer_closed) {
        return FW2_CAUSE_PEER;
    }
    if (conn->answer != FW2_CAUSES) {
        return conn->answer;
    }
    if (conn->eof_seen) {
        return FW2_CAUSE_PEER;
    }
    if (is_late(c, conn)) {
        return FW2_CAUSE_TIMEOUT;
    }
    if (is_given_up(c, conn)) {
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
