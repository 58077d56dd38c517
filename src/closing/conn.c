/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "closing/conn_impl.h"

#include <poll.h>

#include "apr_atomic.h"
#include "apr_portable.h"
#include "apr_strings.h"
#include "http_connection.h"
#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"
#include "http_ssl.h"
#include "util_filter.h"

#include "base/clock.h"
#include "closing/compat.h"
#include "closing/keepalive.h"

APLOG_USE_MODULE(finwait2);

/* The longest linger after all data is acknowledged, for a connection with the
 * note of a short linger. httpd's own linger counts this time from our FIN on,
 * which truncates the response of a slow client. */
#define SHORT_LINGER apr_time_from_sec(2)

/* Without POLLRDHUP a FIN alone may not be seen. */
#ifndef POLLRDHUP
#define POLLRDHUP POLLHUP
#endif

static ap_filter_rec_t *end_filter_handle;

static fw2_conn *conn_of(const conn_rec *c)
{
    return ap_get_module_config(c->conn_config, &finwait2_module);
}

int fw2_conn_has_request(fw2_conn *conn)
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

/* Return the descriptor, or -1 if it is closed. It must be read each time:
 * during a fast stop event closes the socket in another thread, and the number
 * may then belong to another file. */
static apr_os_sock_t fd_of(const fw2_conn *conn)
{
    apr_os_sock_t fd = -1;

    (void)apr_os_sock_get(&fd, conn->csd);
    return fd;
}

/* True if httpd's connection still uses the accepted socket. A module may have
 * replaced it: mod_proxy_fdpass passes the accepted socket to another process
 * and leaves httpd a dummy. This module then leaves both sockets alone. */
static int is_accepted_socket(conn_rec *c, const fw2_conn *conn)
{
    return ap_get_conn_socket(c) == conn->csd;
}

/* Set the socket options of a policy, as far as they differ. */
static void apply_policy(conn_rec *c, fw2_conn *conn, const fw2_policy *policy)
{
    fw2_sockopts want = fw2_sockopts_of(policy);
    apr_status_t rv = fw2_sockopts_apply(fd_of(conn), &conn->options, want);

    if (rv != APR_SUCCESS) {
        ap_log_cerror(APLOG_MARK, APLOG_DEBUG, rv, c,
                      "this socket does not take TCP_LINGER2 %d and "
                      "SO_LINGER %d; it closes as the system has it",
                      want.linger2, want.so_linger);
    }
}

/* ------------------------------------------------------ while it is open */

void fw2_conn_accepted(conn_rec *c, apr_socket_t *csd, const fw2_child *child)
{
    fw2_owner owner;
    fw2_conn *conn;
    int at;

    /* In some versions of httpd `outgoing` is only set for connections to TLS
     * backends. The local address below finds all others that httpd opened. */
    if (c->master || c->outgoing) {
        return;
    }
    at = fw2_vhosts_accepted_at(child->listeners, c);
    if (at < 0 || !fw2_config_server(c->base_server, &owner)) {
        return;
    }
    conn = apr_pcalloc(c->pool, sizeof(*conn));
    conn->csd = csd;
    conn->child = child;
    conn->options = fw2_vhosts_inherited_options(child->listeners, at);
    fw2_conn_owner_begin(conn, c, &owner);
    conn->response_cause = FW2_NO_CAUSE;
    if (child->agents) {
        conn->agent = apr_palloc(c->pool, FW2_AGENT_SIZE);
    }
    ap_set_module_config(c->conn_config, &finwait2_module, conn);
    apply_policy(c, conn, &owner.policy);
}

/* Note the User-Agent of the first request; of several first requests at once,
 * as in HTTP/2, of any. */
static void note_agent(fw2_conn *conn, request_rec *r)
{
    const char *agent;

    if (conn->agent && !apr_atomic_cas32(&conn->agent_set, 1, 0)) {
        agent = apr_table_get(r->headers_in, "User-Agent");
        apr_cpystrn(conn->agent, agent ? agent : "(none)", FW2_AGENT_SIZE);
        (void)apr_atomic_cas32(&conn->agent_set, 2, 1);
    }
}

static const char *agent_of(fw2_conn *conn)
{
    if (!conn->agent) {
        return NULL;
    }
    return apr_atomic_cas32(&conn->agent_set, 2, 2) == 2 ? conn->agent
                                                         : "(no request)";
}

/* Set the socket options of the owner's policy. */
static void apply_owner(conn_rec *c, fw2_conn *conn)
{
    fw2_owner owner;

    fw2_conn_owner_read(conn, c, &owner);
    apply_policy(c, conn, &owner.policy);
}

/* Note whether the connection is encrypted: not every version of httpd shows it
 * at the end. */
static void note_tls(fw2_conn *conn, conn_rec *c)
{
    if (ap_ssl_conn_is_ssl(c)) {
        fw2_sync_write(&conn->tls, 1);
    }
}

void fw2_conn_request(request_rec *r)
{
    conn_rec *c = r->connection;
    conn_rec *accepted = c->master ? c->master : c;
    fw2_conn *conn = conn_of(accepted);

    if (!conn) {
        return;
    }
    ap_set_module_config(r->request_config, &finwait2_module, conn);
    fw2_conn_owner_request(conn, r);
    if (!apr_atomic_inc32(&conn->requests)) {
        note_tls(conn, accepted);
    }
    note_agent(conn, r);
    if (!c->master) {
        conn->promised = 0;
        fw2_conn_body_expect(conn, r);
        /* httpd has checked for the next request after each response. */
        conn->pipelined |= fw2_compat_has_input(c);
        apply_owner(c, conn);
    }
}

/* True if mod_proxy_wstunnel has made the connection a tunnel. The request does
 * not show the status or the bytes of the backend's response. */
static int is_wstunnel(const request_rec *r)
{
    return r->proxyreq && r->filename && !strncmp(r->filename, "proxy:ws", 8)
           && r->status == HTTP_OK && !r->sent_bodyct;
}

static int is_tunnel(const request_rec *r)
{
    return r->status == HTTP_SWITCHING_PROTOCOLS || is_wstunnel(r)
           || (r->method_number == M_CONNECT && ap_is_HTTP_SUCCESS(r->status));
}

/* Update the owner after a response. Only now are all sections of a request
 * known, and httpd may close the socket without another hook if the client does
 * not read the response. No hook of this module has seen a request that could
 * not be read. If such a request named no virtual host, the owner stays. */
static void update_owner(fw2_conn *conn, request_rec *r)
{
    conn_rec *c = r->connection;

    if (!ap_get_module_config(r->request_config, &finwait2_module)) {
        if (!c->master && r->server != c->base_server) {
            fw2_conn_owner_request(conn, r);
        }
    }
    else if (fw2_conn_owner_answered(conn, r) && !c->master && !conn->closing
             && is_accepted_socket(c, conn)) {
        apply_owner(c, conn);
    }
}

/* Only now it shows whether the request could be read, and whether it has
 * become a tunnel. The response was made by the last internal redirect, for
 * which httpd has run the hooks of a read request, too, and from which
 * mod_log_config reads notes by default. */
void fw2_conn_logged(request_rec *r)
{
    conn_rec *c = r->connection;
    fw2_conn *conn = conn_of(c->master ? c->master : c);
    request_rec *last = r;
    int drop_status;

    if (!conn) {
        return;
    }
    while (last->next) {
        last = last->next;
    }
    update_owner(conn, last);
    if (c->master) {
        return;
    }
    if (!ap_get_module_config(r->request_config, &finwait2_module)) {
        conn->body = FW2_BODY_BROKEN;
    }
    conn->tunnel = is_tunnel(last);
    drop_status = fw2_conn_drop_status(r);
    if (conn->tunnel || drop_status) {
        conn->may_send_more = 1;
    }
    conn->promised = c->keepalive == AP_CONN_KEEPALIVE
                         ? fw2_clock_now() + fw2_keepalive_promise(r)
                         : 0;
    conn->response_cause = fw2_conn_response_cause(last, drop_status);
    if (conn->response_cause < FW2_CAUSE_OTHER) {
        apr_table_setn(last->notes, "finwait2-cause",
                       fw2_causes[conn->response_cause].name);
    }
}

/* ------------------------------------------------------- when it closes */

/* True if the client's FIN or reset has arrived, read or not. Only the socket
 * shows it: the end of TLS, close_notify, leaves TCP open, and without TLS the
 * filters return the same for no bytes and for the end. */
static int has_closed(const fw2_conn *conn)
{
    struct pollfd end = { .fd = fd_of(conn), .events = POLLRDHUP };

    return poll(&end, 1, 0) > 0;
}

/* Note whether the client has sent more than httpd has read, or the end of its
 * input. */
static void peek_input(conn_rec *c, fw2_conn *conn)
{
    apr_bucket_brigade *bb = apr_brigade_create(c->pool, c->bucket_alloc);
    apr_off_t length = 0;
    apr_status_t rv = ap_get_brigade(c->input_filters, bb, AP_MODE_SPECULATIVE,
                                     APR_NONBLOCK_READ, 1);

    if (rv == APR_SUCCESS) {
        (void)apr_brigade_length(bb, 0, &length);
    }
    if (length > 0) {
        conn->pipelined = 1;
    }
    conn->eof_seen = APR_STATUS_IS_EOF(rv);
    apr_brigade_destroy(bb);
}

/*
 * Write the rest of a response, which event leaves unwritten after a request
 * that could not be read, and after giving up on a client that does not read.
 * The request is logged when the response is written, and so its cause is
 * known.
 */
static void write_rest(conn_rec *c, fw2_conn *conn)
{
    if (fw2_compat_has_output(c) && !c->aborted && !fw2_conn_is_http2(c)) {
        apr_bucket_brigade *bb = apr_brigade_create(c->pool, c->bucket_alloc);

        conn->response_pending = c->cs && c->keepalive == AP_CONN_KEEPALIVE;
        (void)ap_fflush(c->output_filters, bb);
        apr_brigade_destroy(bb);
    }
}

static fw2_protocol protocol_of(conn_rec *c, fw2_conn *conn)
{
    if (!fw2_conn_has_request(conn)) {
        return FW2_NEITHER;
    }
    if (fw2_conn_is_http2(c)) {
        return FW2_HTTP2;
    }
    return fw2_conn_is_http1(c) && !conn->tunnel ? FW2_HTTP1 : FW2_NEITHER;
}

static void count_end(conn_rec *c, fw2_conn *conn)
{
    fw2_closed closed = { .cause = conn->cause,
                          .protocol = conn->protocol,
                          .tls = fw2_sync_read(&conn->tls) != 0,
                          .probe = !fw2_conn_has_request(conn),
                          .idle = fw2_conn_idle(conn) };

    fw2_counters_closed(conn->child->counters, (fw2_vhost_id)conn->end.vhost,
                        &closed);
}

/* Return the event that ends the linger. With `auto`, the closer waits for the
 * client's FIN only if the client may send more: not after an HTTP/1 request
 * without a body, on a connection without pipelined requests. A TLS client then
 * still answers our close_notify. */
static fw2_until until_of(const fw2_conn *conn, const fw2_policy *policy)
{
    if (policy->linger != FW2_LINGER_AUTO || conn->protocol != FW2_HTTP1
        || conn->may_send_more || conn->pipelined) {
        return FW2_UNTIL_CLOSED;
    }
    return fw2_sync_read(&conn->tls) && !conn->eof_seen ? FW2_UNTIL_ANSWERED
                                                        : FW2_UNTIL_ACKED;
}

/* True if httpd closes while the client may be sending. With event an HTTP/2
 * connection counts as sending, since its requests are not known here. An idle
 * one has the note for a short linger. */
static int is_sending(const conn_rec *c, const fw2_conn *conn)
{
    return conn->body != FW2_BODY_READ || conn->pipelined || conn->tunnel
           || (conn->protocol == FW2_HTTP2 && c->cs);
}

/* Leave the connection to httpd's own linger. The counters have the number of
 * such connections, the error log one line in ten minutes. */
static void fall_back(conn_rec *c, const fw2_conn *conn, apr_status_t rv,
                      fw2_refusal why)
{
    static const char *const reasons[FW2_REFUSALS] = {
        "its queue is full", "it does not run, or its queue is shut down",
        "it cannot linger here", "the system refuses to pass a descriptor"
    };

    if (fw2_counters_fallback(conn->child->counters, why, apr_time_now())) {
        ap_log_cerror(APLOG_MARK, APLOG_WARNING, rv, c,
                      "the process finwait2 does not accept this connection: "
                      "%s. httpd lingers on it itself, and so on others; "
                      "finwait-status counts them, and the next line like "
                      "this follows in ten minutes at the earliest",
                      reasons[why]);
    }
}

static void fill_handoff(conn_rec *c, const fw2_conn *conn,
                         fw2_handoff *handoff)
{
    const fw2_policy *policy = &conn->end.policy;

    memset(handoff, 0, sizeof(*handoff)); /* the gaps are sent, too */
    handoff->tag.vhost = (fw2_vhost_id)conn->end.vhost;
    handoff->tag.cause = conn->cause;
    handoff->tag.net =
        conn->agent ? fw2_clients_net(c->client_addr) : FW2_NO_NET;
    handoff->until = until_of(conn, policy);
    handoff->reset = policy->socket_linger == FW2_SOCKET_LINGER_RESET;
    handoff->linger_idle = fw2_policy_idle(policy, is_sending(c, conn));
    handoff->linger_total = policy->linger_total;
    handoff->linger_bytes = policy->linger_bytes;
    handoff->user_timeout = policy->user_timeout;
    if (fw2_conn_has_short_linger(c)) {
        handoff->once_acked = SHORT_LINGER;
    }
    handoff->begun = fw2_clock_now();
}

/* Set SO_LINGER. With seconds in it, the process that closes the last
 * descriptor blocks, so the closer process must not receive such a socket. */
static void set_lingering(fw2_conn *conn, int seconds)
{
    fw2_sockopts want = conn->options;

    want.so_linger = seconds;
    (void)fw2_sockopts_apply(fd_of(conn), &conn->options, want);
}

static int hand_off(conn_rec *c, fw2_conn *conn)
{
    int seconds = conn->options.so_linger;
    fw2_handoff handoff;
    fw2_refusal why;
    apr_status_t rv = APR_SUCCESS;

    if (fw2_board_accepts(conn->child->board, &why)) {
        fill_handoff(c, conn, &handoff);
        if (seconds > 0) {
            set_lingering(conn, FW2_SOCKET_LINGER_OFF);
        }
        rv = fw2_queue_send(conn->child->queue, fd_of(conn), &handoff,
                            agent_of(conn), &why);
        if (rv == APR_SUCCESS) {
            return 1;
        }
        set_lingering(conn, seconds);
    }
    fall_back(c, conn, rv, why);
    return 0;
}

/* Send the FIN and hand the socket off, after everything is written, in place
 * of httpd's own linger: httpd closes the descriptor of an aborted connection
 * at once. */
static void end_connection(conn_rec *c, fw2_conn *conn)
{
    const fw2_policy *policy = &conn->end.policy;

    apply_policy(c, conn, policy);
    if (!policy->engine || policy->linger == FW2_LINGER_HTTPD) {
        return;
    }
    /* A client that has closed needs no linger. With a user timeout its
     * acknowledgements are watched, because its window may stay zero for
     * ever. */
    if (conn->peer_closed && policy->user_timeout == FW2_USER_TIMEOUT_SYSTEM) {
        return;
    }
    (void)fw2_sockopts_user_timeout(fd_of(conn), policy->user_timeout);
    if (apr_socket_shutdown(ap_get_conn_socket(c), APR_SHUTDOWN_WRITE)) {
        return;
    }
    if (policy->linger == FW2_LINGER_OFF || hand_off(c, conn)) {
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

/* Call end_connection() after the end of the connection (EOC) has passed. The
 * filter is next to core's own, below mod_ssl's, so close_notify and everything
 * else is written by then. */
static apr_status_t end_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    conn_rec *c = f->c;
    int ends = has_end(bb);
    apr_status_t rv = ap_pass_brigade(f->next, bb);

    fw2_sync_from_httpd();
    if (ends) {
        ap_remove_output_filter(f);
        if (rv == APR_SUCCESS && !c->aborted) {
            end_connection(c, f->ctx);
        }
    }
    fw2_sync_to_httpd();
    return rv;
}

void fw2_conn_register(void)
{
    end_filter_handle = ap_register_output_filter("FINWAIT2_END", end_filter,
                                                  NULL, AP_FTYPE_NETWORK - 1);
    fw2_conn_body_register();
}

void fw2_conn_closing(conn_rec *c)
{
    fw2_conn *conn = c->master ? NULL : conn_of(c);

    if (!conn || conn->closing || !is_accepted_socket(c, conn)) {
        return;
    }
    conn->closing = 1;
    write_rest(c, conn);
    conn->protocol = protocol_of(c, conn);
    note_tls(conn, c);
    /* Without a request a read from the filters could begin a TLS handshake in
     * mod_ssl. */
    if (conn->protocol == FW2_HTTP1 && !c->aborted) {
        peek_input(c, conn);
    }
    conn->peer_closed = has_closed(conn);
    conn->cause = fw2_conn_cause(c, conn);
    fw2_conn_owner_read(conn, c, &conn->end);
    count_end(c, conn);
    if (!c->aborted) {
        ap_add_output_filter_handle(end_filter_handle, conn, NULL, c);
    }
}
