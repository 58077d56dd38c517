/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The part of a request's body that is read, by any handler, or by httpd before
 * the next request.
 *
 * A filter sees the end of the body (EOS) that httpd's own filter HTTP_IN
 * inserts. The filter must be a protocol filter, for two reasons: protocol
 * filters survive internal redirects, and mod_proxy stores an upload on disk,
 * instead of streaming it, if a request has input filters of another type.
 * httpd inserts a filter of HTTP_IN's type below HTTP_IN, so HTTP_IN is removed
 * and inserted again.
 */

#include "closing/conn_impl.h"

#include "mod_core.h"
#include "util_filter.h"

#include "base/sync.h"

static ap_filter_rec_t *body_filter_handle;

static int has_eos(const apr_bucket_brigade *bb)
{
    return !APR_BRIGADE_EMPTY(bb) && APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(bb));
}

/* Note whether the body was read to its end. After an error, and if the client
 * still waits for 100 Continue, HTTP_IN reports an EOS before the end. */
static void note_read(fw2_conn *conn, const request_rec *r, apr_status_t rv,
                      const apr_bucket_brigade *bb)
{
    if (conn->body != FW2_BODY_UNREAD || APR_STATUS_IS_EAGAIN(rv)) {
        return;
    }
    if (rv != APR_SUCCESS) {
        conn->body = FW2_BODY_BROKEN;
    }
    else if (has_eos(bb) && !r->expecting_100) {
        conn->body = FW2_BODY_READ;
    }
}

static apr_status_t body_filter(ap_filter_t *f, apr_bucket_brigade *bb,
                                ap_input_mode_t mode, apr_read_type_e block,
                                apr_off_t readbytes)
{
    apr_status_t rv = ap_get_brigade(f->next, bb, mode, block, readbytes);

    fw2_sync_from_httpd();
    note_read(f->ctx, f->r, rv, bb);
    fw2_sync_to_httpd();
    return rv;
}

void fw2_conn_body_register(void)
{
    body_filter_handle = ap_register_input_filter("FINWAIT2_BODY", body_filter,
                                                  NULL, AP_FTYPE_PROTOCOL);
}

static int has_body(const request_rec *r)
{
    const char *length = apr_table_get(r->headers_in, "Content-Length");

    return apr_table_get(r->headers_in, "Transfer-Encoding")
           || (length && strcmp(length, "0"));
}

/* A request with `prev` is an internal redirect, which has the body and the
 * filters of the original request. */
void fw2_conn_body_expect(fw2_conn *conn, request_rec *r)
{
    ap_filter_t *http_in = r->proto_input_filters;

    if (r->prev) {
        return;
    }
    conn->may_send_more = has_body(r);
    conn->body = conn->may_send_more ? FW2_BODY_UNREAD : FW2_BODY_READ;
    if (conn->may_send_more && http_in->frec == ap_http_input_filter_handle) {
        ap_remove_input_filter(http_in);
        ap_add_input_filter_handle(body_filter_handle, conn, r, r->connection);
        ap_add_input_filter_handle(ap_http_input_filter_handle, NULL, r,
                                   r->connection);
    }
}
