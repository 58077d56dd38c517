/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_KEEPALIVE_H
#define FW2_KEEPALIVE_H

/*
 * keepalive: the time that responses promise in `Keep-Alive: timeout=N`, which
 * may be shorter than the time that httpd waits, so that clients close first.
 *
 * httpd's own ap_set_keepalive() decides and writes, as ever. While it does, a
 * filter above it shows it the promised time in a copy of the request's server,
 * and the client's `Connection` as if the client had asked for the header.
 * Nothing that outlives this call changes: the queues of the event MPM, the
 * sockets' timeouts of worker and prefork, and mod_http2 have the real time.
 *
 * Only the thread that works on the request calls these.
 */

#include "httpd.h"

/** Register the filter. Once, at load. */
void fw2_keepalive_register(void);

/**
 * Add the filter to a new request, in create_request and before httpd's own
 * filter of headers is there. The filter stays when httpd answers with an
 * error. Requests of HTTP/2, and those within a request, do not get it.
 */
void fw2_keepalive_request(request_rec *r);

/**
 * Return the time that the response to this request promises if the connection
 * is kept, in microseconds; where it promises nothing, the time that httpd
 * would promise.
 */
apr_interval_time_t fw2_keepalive_promise(const request_rec *r);

#endif /* FW2_KEEPALIVE_H */
