/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_SYNC_H
#define FW2_SYNC_H

/*
 * sync: telling the thread sanitizer what httpd orders.
 *
 * httpd takes a connection from thread to thread, and gives its memory to the
 * next one, by means of its own; in a binary that is not built with the
 * sanitizer, that is not seen. So what comes from httpd says so, and what goes
 * back. Between our own threads nothing is told, and all is checked. In other
 * builds these are nothing.
 */

#ifdef __SANITIZE_THREAD__

#include <sanitizer/tsan_interface.h>

/** What stands for all that httpd orders. */
extern char fw2_sync_httpd;

#define fw2_from_httpd() __tsan_acquire(&fw2_sync_httpd)
#define fw2_to_httpd()   __tsan_release(&fw2_sync_httpd)

#else

#define fw2_from_httpd() ((void)0)
#define fw2_to_httpd()   ((void)0)

#endif

#endif /* FW2_SYNC_H */
