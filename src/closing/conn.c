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

/* The time that the note `short-lingering-close` of mod_reqtimeout and event
 * asks for.
 * httpd's own linger counts it from our FIN on, and truncates what a slow
 * client does not have by then. */
#define SHORT_LINGER apr_time_from_sec(2)

/* Without one, a FIN alone may go unseen. */
#ifndef POLLRDHUP
#define POLLRDHUP POLLHUP
#endif

static ap_filter_rec_t *end_filter_handle;

static fw2_conn *conn_of(const conn_rec *c)
{
    return ap_get_module_config(c->conn_config, &finwait2_module);
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

/* True while httpd's connection is on the socket that was accepted. A module
 * may exchange it: mod_proxy_fdpass gives the accepted one to another process
 * and leaves httpd a dummy. Neither is ours then. */
static int is_accepted_socket(conn_rec *c, const fw2_conn *conn)
{
    return ap_get_conn_socket(c) == conn->csd;
}

/* Give the socket what a policy wants; nothing to do if it has it. */
static void apply(conn_rec *c, fw2_conn *conn, const fw2_policy *policy)
{
    fw2_sockopts want = fw2_sockopts_of(policy);
    apr_status_t rv = fw2_sockopts_apply(fd_of(conn), &conn->has, want);

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

    /* The local address decides: not every httpd calls all that it opens
     * itself outgoing, only TLS backends for sure. */
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
    conn->has = fw2_vhosts_carried(child->listeners, at);
    fw2_conn_owner_begin(conn, c, &owner);
    conn->answer = FW2_CAUSES;
    if (child->agents) {
        conn->agent = apr_palloc(c->pool, FW2_AGENT_SIZE);
    }
    ap_set_module_config(c->conn_config, &finwait2_module, conn);
    apply(c, conn, &owner.policy);
}

/* One client has one name: that of its first request. Any one of several at
 * once, as in HTTP/2. */
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

/* Bring the socket to what the owner wants. */
static void apply_owner(conn_rec *c, fw2_conn *conn)
{
    fw2_owner owner;

    fw2_conn_owner_read(conn, c, &owner);
    apply(c, conn, &owner.policy);
}

/* Not every httpd knows at the end any more that it was encrypted. */
static void note_tls(fw2_conn *conn, conn_rec *c)
{
    if (ap_ssl_conn_is_ssl(c)) {
        fw2_sync_write(&conn->tls, 1);
    }
}

static void note_first(fw2_conn *conn, conn_rec *c)
{
    if (!apr_atomic_inc32(&conn->requests)) {
        note_tls(conn, c);
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
    note_first(conn, accepted);
    note_agent(conn, r);
    if (!c->master) {
        conn->promised = 0;
        fw2_conn_body_expect(conn, r);
        /* httpd has looked for the next request when it had answered one. */
        conn->pipelined |= fw2_compat_has_input(c);
        apply_owner(c, conn);
    }
}

/* This request, or the last one that it was redirected to within httpd, which
 * httpd says of that it was read, too. */
static request_rec *answering(request_rec *r)
{
    while (r->next) {
        r = r->next;
    }
    return r;
}

/* In the request that mod_log_config asks, unless it is told otherwise. */
static void note_cause(request_rec *r, fw2_cause cause)
{
    apr_table_setn(answering(r)->notes, "finwait2-cause",
                   fw2_causes[cause].name);
}

/* mod_proxy_wstunnel says neither what it was answered nor that it was. */
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

/* Only now all is known of what a request wants, and the socket may be closed
 * without a further word if the client does not take the answer. A request
 * that could not be read has come to no hook of ours yet; where it has named no
 * virtual host, the connection is still where the last request was. */
static void own_answered(fw2_conn *conn, request_rec *r)
{
    conn_rec *c = r->connection;

    r = answering(r);
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

/* Some requests are none, and say so only here: those that could not be read,
 * and those that became a tunnel. */
void fw2_conn_logged(request_rec *r)
{
    conn_rec *c = r->connection;
    fw2_conn *conn = conn_of(c->master ? c->master : c);

    if (!conn) {
        return;
    }
    own_answered(conn, r);
    if (c->master) {
        return;
    }
    if (!ap_get_module_config(r->request_config, &finwait2_module)) {
        conn->body = FW2_BODY_BROKEN;
    }
    conn->tunnel = is_tunnel(answering(r));
    if (conn->tunnel || fw2_conn_drops(r)) {
        conn->may_send_more = 1;
    }
    conn->promised = r->connection->keepalive == AP_CONN_KEEPALIVE
                         ? fw2_clock_now() + fw2_keepalive_promise(r)
                         : 0;
    conn->answer = fw2_conn_answer_cause(r);
    if (conn->answer < FW2_CAUSE_OTHER) {
        note_cause(r, conn->answer);
    }
}

/* ------------------------------------------------------- when it closes */

/* Whether the client's FIN, or a reset, has come, read or not. Only the socket
 * knows: TLS ends with close_notify, which leaves TCP open, and without TLS
 * the filters return the same for nothing yet and for the end. */
static int has_closed(const fw2_conn *conn)
{
    struct pollfd end = { .fd = fd_of(conn), .events = POLLRDHUP };

    return poll(&end, 1, 0) > 0;
}

/* Whether the client has said more than was asked for, or its last word. */
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
        conn->pipelined = 1;
    }
    conn->eof_seen = APR_STATUS_IS_EOF(rv);
    apr_brigade_destroy(bb);
}

/*
 * An answer may still have to be written: to what is no request, which event
 * closes at once, or to a client that does not take it, which event gives up.
 * Once written it is logged, and then it is known what it said.
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
    if (!fw2_conn_was_asked(conn)) {
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
                          .probe = !fw2_conn_was_asked(conn),
                          .idle = fw2_conn_idle(conn) };

    fw2_counters_closed(conn->child->counters, (fw2_vhost_id)conn->end.vhost,
                        &closed);
}

/* Bytes after our FIN are to be expected of all but HTTP/1's requests without
 * a body, read to their end. TLS clients answer our close_notify. */
static fw2_until until_of(const fw2_conn *conn, const fw2_policy *policy)
{
    if (policy->linger != FW2_LINGER_AUTO || conn->protocol != FW2_HTTP1
        || conn->may_send_more || conn->pipelined) {
        return FW2_UNTIL_CLOSED;
    }
    return fw2_sync_read(&conn->tls) && !conn->eof_seen ? FW2_UNTIL_ANSWERED
                                                        : FW2_UNTIL_ACKED;
}

/* True if httpd closes while the client is sending. event gives up idle
 * connections with a note; of others with HTTP/2 it cannot know. */
static int is_sending(const conn_rec *c, const fw2_conn *conn)
{
    return conn->body != FW2_BODY_READ || conn->pipelined || conn->tunnel
           || (conn->protocol == FW2_HTTP2 && c->cs);
}

/* httpd lingers as ever. The error log has it once in a while, the page how
 * often. */
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

static void describe(conn_rec *c, const fw2_conn *conn, fw2_handover *handover)
{
    const fw2_policy *policy = &conn->end.policy;

    memset(handover, 0, sizeof(*handover)); /* its gaps go out, too */
    handover->tag.vhost = (fw2_vhost_id)conn->end.vhost;
    handover->tag.cause = conn->cause;
    handover->tag.net =
        conn->agent ? fw2_clients_net(c->client_addr) : FW2_NO_NET;
    handover->until = until_of(conn, policy);
    handover->reset = policy->socket_linger == FW2_SOCKET_LINGER_RESET;
    handover->linger_idle = fw2_policy_idle(policy, is_sending(c, conn));
    handover->linger_total = policy->linger_total;
    handover->linger_bytes = policy->linger_bytes;
    handover->user_timeout = policy->user_timeout;
    if (apr_table_get(c->notes, "short-lingering-close")) {
        handover->once_acked = SHORT_LINGER;
    }
    handover->begun = fw2_clock_now();
}

/* With seconds in SO_LINGER, any process that closes the last descriptor
 * would block: the closer process must not get such a socket. */
static void set_lingering(fw2_conn *conn, int seconds)
{
    fw2_sockopts want = conn->has;

    want.so_linger = seconds;
    (void)fw2_sockopts_apply(fd_of(conn), &conn->has, want);
}

static int hand_off(conn_rec *c, fw2_conn *conn)
{
    int seconds = conn->has.so_linger;
    fw2_handover handover;
    fw2_refusal why;
    apr_status_t rv = APR_SUCCESS;

    if (fw2_board_accepts(conn->child->board, &why)) {
        describe(c, conn, &handover);
        if (seconds > 0) {
            set_lingering(conn, FW2_SOCKET_LINGER_OFF);
        }
        rv = fw2_queue_send(conn->child->queue, fd_of(conn), &handover,
                            agent_of(conn), &why);
        if (rv == APR_SUCCESS) {
            return 1;
        }
        set_lingering(conn, seconds);
    }
    fall_back(c, conn, rv, why);
    return 0;
}

/* Everything is written. httpd would do the following next; to call the
 * connection aborted makes it close its descriptor at once instead. */
static void end_here(conn_rec *c, fw2_conn *conn)
{
    const fw2_policy *policy = &conn->end.policy;

    apply(c, conn, policy);
    if (!policy->engine || policy->linger == FW2_LINGER_HTTPD) {
        return;
    }
    /* A client that has closed needs no linger, only watching, if asked for:
     * its window may be shut for ever. */
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

/* Right above core's own, below mod_ssl's: once the end of the connection has
 * passed, close_notify and all else has been written. */
static apr_status_t end_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    conn_rec *c = f->c;
    int ends = has_end(bb);
    apr_status_t rv = ap_pass_brigade(f->next, bb);

    fw2_sync_from_httpd();
    if (ends) {
        ap_remove_output_filter(f);
        if (rv == APR_SUCCESS && !c->aborted) {
            end_here(c, f->ctx);
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
    /* Only a connection that has had a request surely has filters that can be
     * asked; mod_ssl's would begin a handshake. */
    if (conn->protocol == FW2_HTTP1 && !c->aborted) {
        peek(c, conn);
    }
    conn->peer_closed = has_closed(conn);
    conn->cause = fw2_conn_cause(c, conn);
    fw2_conn_owner_read(conn, c, &conn->end);
    count_end(c, conn);
    if (!c->aborted) {
        ap_add_output_filter_handle(end_filter_handle, conn, NULL, c);
    }
}
