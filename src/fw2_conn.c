/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "fw2_conn_impl.h"

#include <poll.h>

#include "apr_atomic.h"
#include "apr_portable.h"
#include "http_connection.h"
#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"
#include "http_ssl.h"
#include "util_filter.h"

#include "fw2_config.h"
#include "fw2_sync.h"

APLOG_USE_MODULE(finwait2);

/* What the note `short-lingering-close` asks for, mod_reqtimeout's and event's.
 * httpd's own linger counts it from our FIN on, and truncates what a slow
 * client does not have by then. */
#define SHORT_LINGER apr_time_from_sec(2)

/* Where there is none, a FIN alone may go unseen. */
#ifndef POLLRDHUP
#define POLLRDHUP POLLHUP
#endif

static ap_filter_rec_t *end_filter_handle;

static fw2_conn *conn_of(const conn_rec *c)
{
    return ap_get_module_config(c->conn_config, &finwait2_module);
}

/* libapr's prototypes of these differ from version to version. */
static const server_rec *server_of(fw2_conn *conn)
{
    return apr_atomic_casptr((void *)&conn->server, NULL, NULL);
}

static void set_server(fw2_conn *conn, const server_rec *s)
{
    apr_atomic_xchgptr((void *)&conn->server, (void *)s);
}

int fw2_conn_was_asked(fw2_conn *conn)
{
    return apr_atomic_read32(&conn->requests) > 0;
}

int fw2_conn_is_http2(conn_rec *c)
{
    return !strncmp(ap_get_protocol(c), "h2", 2);
}

int fw2_conn_is_http1(conn_rec *c)
{
    return !strcmp(ap_get_protocol(c), AP_PROTOCOL_HTTP1);
}

/* Asked each time: on a fast stop event closes it in another thread, and then
 * the number may be another's. -1 if it is closed. */
static apr_os_sock_t fd_of(const fw2_conn *conn)
{
    apr_os_sock_t fd = -1;

    (void)apr_os_sock_get(&fd, conn->csd);
    return fd;
}

/* Give the socket what a policy wants; nothing to do if it has it. */
static void apply(conn_rec *c, fw2_conn *conn, const fw2_policy *policy)
{
    fw2_sockopts want = fw2_policy_sockopts(policy);
    apr_status_t rv = fw2_sockopts_apply(fd_of(conn), &conn->has, want);

    if (rv != APR_SUCCESS) {
        ap_log_cerror(APLOG_MARK, APLOG_DEBUG, rv, c,
                      "this socket does not take TCP_LINGER2 %d and "
                      "SO_LINGER %d; it closes as the system has it",
                      want.linger2, want.so_linger);
    }
}

/* ------------------------------------------------------ while it is open */

void fw2_conn_accepted(conn_rec *c, apr_socket_t *csd,
                       const fw2_listeners *listeners)
{
    fw2_conn *conn;
    int at;

    /* The local address decides: not every httpd calls all that it opens
     * itself outgoing, only TLS backends for sure. */
    if (c->master || c->outgoing) {
        return;
    }
    at = fw2_vhosts_accepted_at(listeners, c);
    if (at < 0) {
        return;
    }
    conn = apr_pcalloc(c->pool, sizeof(*conn));
    conn->csd = csd;
    conn->has = listeners->carries[at];
    conn->server = c->base_server;
    conn->answer = FW2_CAUSES;
    ap_set_module_config(c->conn_config, &finwait2_module, conn);
    apply(c, conn, fw2_config_policy(c->base_server));
}

static int has_body(const request_rec *r)
{
    const char *length = apr_table_get(r->headers_in, "Content-Length");

    return apr_table_get(r->headers_in, "Transfer-Encoding")
           || (length && strcmp(length, "0"));
}

/* One client has one name: that of its first request. Of several at once, as
 * HTTP/2 has, any. */
static void note_agent(fw2_conn *conn, request_rec *r, fw2_clients *clients)
{
    if (clients && !apr_atomic_read64(&conn->agent)) {
        apr_atomic_set64(
            &conn->agent,
            fw2_client_agent(clients,
                             apr_table_get(r->headers_in, "User-Agent")));
    }
}

void fw2_conn_request(request_rec *r, const fw2_hands *hands)
{
    conn_rec *c = r->connection;
    fw2_conn *conn = conn_of(c->master ? c->master : c);

    if (!conn) {
        return;
    }
    set_server(conn, r->server);
    apr_atomic_inc32(&conn->requests);
    note_agent(conn, r, hands->clients);
    if (!c->master) {
        conn->talkative = has_body(r);
        apply(c, conn, fw2_config_policy(r->server));
    }
}

/* In the request that mod_log_config asks, unless it is told otherwise. */
static void note_cause(request_rec *r, fw2_cause cause)
{
    while (r->next) {
        r = r->next;
    }
    apr_table_setn(r->notes, "finwait2-cause", fw2_cause_names[cause]);
}

/* mod_proxy_wstunnel says neither what it was answered nor that it was. */
static int is_wstunnel(const request_rec *r)
{
    return r->proxyreq && r->filename && !strncmp(r->filename, "proxy:ws", 8)
           && r->status == HTTP_OK && !r->sent_bodyct;
}

/* This request, or one that it was redirected to within httpd. */
static int is_tunnel(const request_rec *r)
{
    while (r->next) {
        r = r->next;
    }
    return r->status == HTTP_SWITCHING_PROTOCOLS || is_wstunnel(r)
           || (r->method_number == M_CONNECT && ap_is_HTTP_SUCCESS(r->status));
}

/* Some requests are none, and say so only here: those that could not be read,
 * and those that became a tunnel. Who has named no virtual host by then is
 * still where the last request was. */
void fw2_conn_logged(request_rec *r)
{
    fw2_conn *conn = r->connection->master ? NULL : conn_of(r->connection);

    if (!conn) {
        return;
    }
    if (r->server != r->connection->base_server) {
        set_server(conn, r->server);
    }
    conn->tunnel = is_tunnel(r);
    if (conn->tunnel || fw2_conn_drops(r)) {
        conn->talkative = 1;
    }
    conn->answer = fw2_conn_answer_cause(r);
    if (conn->answer < FW2_CAUSE_OTHER) {
        note_cause(r, conn->answer);
    }
}

/* ------------------------------------------------------- when it closes */

/* Whether the peer's FIN, or a reset, has come, read or not. Only the socket
 * knows: TLS ends with close_notify, which leaves TCP open, and without TLS
 * the filters return the same for nothing yet and for the end. */
static int has_closed(const fw2_conn *conn)
{
    struct pollfd end = { .fd = fd_of(conn), .events = POLLRDHUP };

    return poll(&end, 1, 0) > 0;
}

/* Whether the peer has said more than was asked for, or its last word. */
static void peek(conn_rec *c, fw2_conn *conn)
{
    apr_bucket_brigade *bb = apr_brigade_create(c->pool, c->bucket_alloc);
    apr_off_t length = 0;
    apr_status_t rv = ap_get_brigade(c->input_filters, bb, AP_MODE_SPECULATIVE,
                                     APR_NONBLOCK_READ, 1);

    if (rv == APR_SUCCESS) {
        (void)apr_brigade_length(bb, 0, &length);
    }
    if (length > 0) {
        conn->talkative = 1;
    }
    conn->said_bye = APR_STATUS_IS_EOF(rv);
    apr_brigade_destroy(bb);
}

/*
 * An answer may still have to be written: to what is no request, which event
 * closes at once, or to a client that does not take it, which event gives up.
 * Once written it is logged, and then it is known what it said.
 */
static void write_rest(conn_rec *c, fw2_conn *conn)
{
    if (c->data_in_output_filters && !c->aborted && !fw2_conn_is_http2(c)) {
        apr_bucket_brigade *bb = apr_brigade_create(c->pool, c->bucket_alloc);

        conn->unwritten = c->cs && c->keepalive == AP_CONN_KEEPALIVE;
        (void)ap_fflush(c->output_filters, bb);
        apr_brigade_destroy(bb);
    }
}

static fw2_protocol protocol_of(conn_rec *c, fw2_conn *conn)
{
    if (!fw2_conn_was_asked(conn)) {
        return FW2_NEITHER;
    }
    if (fw2_conn_is_http2(c)) {
        return FW2_HTTP2;
    }
    return fw2_conn_is_http1(c) && !conn->tunnel ? FW2_HTTP1 : FW2_NEITHER;
}

static void tell_end(conn_rec *c, fw2_conn *conn)
{
    fw2_closed closed = { .cause = conn->cause,
                          .protocol = conn->protocol,
                          .tls = ap_ssl_conn_is_ssl(c),
                          .probe = !fw2_conn_was_asked(conn) };

    conn->hands->closed(fw2_config_vhost(server_of(conn)), &closed);
}

/* Bytes after our FIN are to be expected of all but HTTP/1's requests without
 * a body, read to their end. */
static int is_until_acked(const fw2_conn *conn, const fw2_policy *policy)
{
    return policy->linger == FW2_LINGER_AUTO && conn->protocol == FW2_HTTP1
           && !conn->talkative;
}

static fw2_tag tag_of(const conn_rec *c, fw2_conn *conn, const server_rec *s)
{
    fw2_clients *clients = conn->hands->clients;
    fw2_tag tag = { fw2_config_vhost(s), conn->cause, FW2_NO_CLIENT,
                    FW2_NO_CLIENT };

    if (clients) {
        tag.agent = apr_atomic_read64(&conn->agent);
        if (!tag.agent) {
            tag.agent = fw2_client_agent(clients, "(no request)");
        }
        tag.net = fw2_client_net(c->client_addr);
    }
    return tag;
}

static int give(conn_rec *c, fw2_conn *conn, const server_rec *s)
{
    const fw2_policy *policy = fw2_config_policy(s);
    fw2_handover handover = { .policy = policy };
    apr_status_t rv = APR_ENOTIMPL;

    handover.tag = tag_of(c, conn, s);
    handover.until_acked = is_until_acked(conn, policy);
    if (apr_table_get(c->notes, "short-lingering-close")) {
        handover.once_acked = SHORT_LINGER;
    }
    if (conn->hands->closer) {
        rv = fw2_closer_take(conn->hands->closer, fd_of(conn), &handover);
    }
    if (rv != APR_SUCCESS) {
        ap_log_cerror(APLOG_MARK, APLOG_DEBUG, rv, c,
                      "the closer does not take this connection; httpd "
                      "lingers on it itself");
        conn->hands->fallback();
        return 0;
    }
    return 1;
}

/* Everything is written. What follows here, httpd would do next; to call the
 * connection aborted makes it close its descriptor at once instead. */
static void hand_over(conn_rec *c, fw2_conn *conn)
{
    const server_rec *s = server_of(conn);
    const fw2_policy *policy = fw2_config_policy(s);

    apply(c, conn, policy);
    if (!policy->engine || policy->linger == FW2_LINGER_HTTPD) {
        return;
    }
    /* A peer that has closed needs no linger, only watching, if asked for:
     * its window may be shut for ever. */
    if (conn->peer_closed && policy->user_timeout == FW2_USER_TIMEOUT_SYSTEM) {
        return;
    }
    (void)fw2_policy_user_timeout(fd_of(conn), policy->user_timeout);
    if (apr_socket_shutdown(ap_get_conn_socket(c), APR_SHUTDOWN_WRITE)) {
        return;
    }
    if (policy->linger == FW2_LINGER_OFF || give(c, conn, s)) {
        c->aborted = 1;
    }
}

static int has_end(const apr_bucket_brigade *bb)
{
    const apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (AP_BUCKET_IS_EOC(b)) {
            return 1;
        }
    }
    return 0;
}

/* Right above core's own, below mod_ssl's: once the end of the connection has
 * passed, close_notify and all else has been written. */
static apr_status_t end_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    conn_rec *c = f->c;
    int ends = has_end(bb);
    apr_status_t rv = ap_pass_brigade(f->next, bb);

    fw2_from_httpd();
    if (ends) {
        ap_remove_output_filter(f);
        if (rv == APR_SUCCESS && !c->aborted) {
            hand_over(c, f->ctx);
        }
    }
    fw2_to_httpd();
    return rv;
}

void fw2_conn_register(void)
{
    end_filter_handle = ap_register_output_filter("FINWAIT2_END", end_filter,
                                                  NULL, AP_FTYPE_NETWORK - 1);
}

void fw2_conn_closing(conn_rec *c, const fw2_hands *hands)
{
    fw2_conn *conn = c->master ? NULL : conn_of(c);

    if (!conn || conn->hands) {
        return;
    }
    conn->hands = hands;
    write_rest(c, conn);
    conn->protocol = protocol_of(c, conn);
    /* Only a connection that has had a request surely has filters that can be
     * asked; mod_ssl's would begin a handshake. */
    if (conn->protocol == FW2_HTTP1 && !c->aborted) {
        peek(c, conn);
    }
    conn->peer_closed = has_closed(conn);
    conn->cause = fw2_conn_cause(c, conn);
    tell_end(c, conn);
    if (!c->aborted) {
        ap_add_output_filter_handle(end_filter_handle, conn, NULL, c);
    }
}
