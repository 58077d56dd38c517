/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "closing/keepalive.h"

#include "apr_strings.h"
#include "http_protocol.h"
#include "util_filter.h"

#include "closing/config.h"

static ap_filter_rec_t *promise_filter_handle;

/* Return FinWait2KeepAliveAdvertise of the request's virtual host, or
 * FW2_ADVERTISE_INHERIT for a server that a module made at run time without a
 * configuration of httpd. */
static apr_int64_t advertised(const request_rec *r)
{
    fw2_owner owner;

    return fw2_config_server(r->server, &owner)
               ? fw2_policy_promise(&owner.policy)
               : FW2_ADVERTISE_INHERIT;
}

/* True if ap_set_keepalive() has yet to decide on this request, and the server
 * keeps connections at all. */
static int is_undecided(const request_rec *r)
{
    return r->connection->keepalive == AP_CONN_UNKNOWN
           && r->server->keep_alive_timeout > 0;
}

/* True if httpd keeps the connection without `Connection: keep-alive`. With
 * these variables httpd answers as to HTTP/1.0. */
static int is_kept_by_default(const request_rec *r)
{
    return r->proto_num >= HTTP_VERSION(1, 1)
           && !apr_table_get(r->subprocess_env, "downgrade-1.0")
           && !apr_table_get(r->subprocess_env, "force-no-vary");
}

/* Show httpd the client's Connection with or without the token `keep-alive`,
 * where the token has no effect but the header Keep-Alive. */
static void show_token(request_rec *r, int wanted)
{
    const char *connection = apr_table_get(r->headers_in, "Connection");

    if (!is_kept_by_default(r) || ap_find_token(r->pool, connection, "close")
        || ap_find_token(r->pool, connection, "keep-alive") == wanted) {
        return;
    }
    r->headers_in = apr_table_copy(r->pool, r->headers_in);
    if (wanted) {
        apr_table_mergen(r->headers_in, "Connection", "keep-alive");
    }
    else {
        apr_table_unset(r->headers_in, "Connection");
    }
}

static void show_time(request_rec *r, apr_int64_t seconds)
{
    r->server = apr_pmemdup(r->pool, r->server, sizeof(*r->server));
    r->server->keep_alive_timeout = apr_time_from_sec(seconds);
}

static apr_status_t promise_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    request_rec *r = f->r;
    apr_int64_t promise = advertised(r);
    server_rec *server = r->server;
    apr_table_t *headers_in = r->headers_in;
    apr_status_t rv;

    if (promise == FW2_ADVERTISE_INHERIT || !is_undecided(r)) {
        ap_remove_output_filter(f);
        return ap_pass_brigade(f->next, bb);
    }
    show_token(r, promise != FW2_ADVERTISE_OFF);
    if (promise != FW2_ADVERTISE_OFF) {
        show_time(r, promise);
    }
    rv = ap_pass_brigade(f->next, bb);
    r->server = server;
    r->headers_in = headers_in;
    return rv;
}

apr_interval_time_t fw2_keepalive_promise(const request_rec *r)
{
    apr_int64_t promise = advertised(r);

    return promise > FW2_ADVERTISE_OFF ? apr_time_from_sec(promise)
                                       : r->server->keep_alive_timeout;
}

void fw2_keepalive_register(void)
{
    promise_filter_handle = ap_register_output_filter(
        "FINWAIT2_PROMISE", promise_filter, NULL, AP_FTYPE_PROTOCOL);
}

void fw2_keepalive_request(request_rec *r)
{
    if (!r->main && !r->prev && !r->connection->master) {
        ap_add_output_filter_handle(promise_filter_handle, NULL, r,
                                    r->connection);
    }
}
