/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_KEEPALIVE_H
#define FW2_KEEPALIVE_H

/*
 * keepalive: the time that responses promise in `Keep-Alive: timeout=N`, which
 * may be shorter than the time that httpd waits, so that clients close first.
 *
 * httpd's own ap_set_keepalive() still decides and writes the header. During
 * this call a filter above shows httpd the promised time in a copy of the
 * request's server, and the client's `Connection` as if the client had asked
 * for the header. All changes are undone after the call, so the queues of the
 * event MPM, the sockets' timeouts of worker and prefork, and mod_http2 use the
 * real time.
 *
 * Only the thread that works on the request calls these functions.
 */

#include "httpd.h"

/** Register the filter. Once, at load. */
void fw2_keepalive_register(void);

/**
 * Add the filter to a new request. To be called in create_request, before httpd
 * adds its own filter of headers. The filter stays when httpd responds with an
 * error. Requests of HTTP/2, subrequests and internal redirects do not get the
 * filter.
 */
void fw2_keepalive_request(request_rec *r);

/**
 * Return the time, in microseconds, that the response to this request promises
 * if the connection is kept. For a response without a promise, return the time
 * that httpd would promise.
 */
apr_interval_time_t fw2_keepalive_promise(const request_rec *r);

#endif /* FW2_KEEPALIVE_H */
