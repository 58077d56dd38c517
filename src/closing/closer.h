/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CLOSER_H
#define FW2_CLOSER_H

/*
 * closer: lingers on thousands of sockets, and reports how each linger ended.
 *
 * A TCP socket that is closed with unread bytes, or that receives bytes after
 * its close, sends a reset. The reset discards the part of the response that
 * the client has not read yet (RFC 9112, section 9.6). To prevent this, the
 * server must read and discard bytes after our FIN, until no more can come: it
 * lingers. A worker is too expensive for this. The closer holds all sockets of
 * a server in one epoll set and in less than 256 bytes a socket, without an
 * allocation for a socket, and sleeps without a timer while it holds none.
 *
 * The closer needs no timer to see that the client has acknowledged all data:
 * after our FIN, edge-triggered EPOLLOUT fires when the FIN is acknowledged
 * (FIN_WAIT_1 -> FIN_WAIT_2, tcp_rcv_state_process(); measured on Linux 6.18).
 *
 * One thread of the closer process calls all functions, and the closer calls
 * the observer in this thread. Only fw2_closer_wait() blocks.
 *
 * The room depends on APR, the kernel, outcome and handoff, and not on httpd
 * or shared memory.
 */

#include "apr_errno.h"
#include "apr_pools.h"
#include "apr_time.h"

#include "base/outcome.h"
#include "shared/handoff.h"

/** The facts about an ended linger that the observer receives. */
typedef struct fw2_ended {
    fw2_tag tag;
    fw2_ending ending;
    int slot;                     /**< the socket's slot, or FW2_NO_SLOT */
    apr_interval_time_t lingered; /**< microseconds since our FIN */
    apr_uint64_t drained;         /**< bytes read and discarded */
} fw2_ended;

/** No slot: the linger ended before the socket needed a slot. */
#define FW2_NO_SLOT (-1)

/** The functions that the closer calls, which must not call the closer. */
typedef struct fw2_observer {
    void *context;
    /** Called when a socket was put into a slot. */
    void (*held)(void *context, const fw2_tag *tag, int slot);
    /** Called once for each socket, when its linger has ended and its
     *  descriptor is closed. */
    void (*ended)(void *context, const fw2_ended *ended);
} fw2_observer;

typedef struct fw2_closer fw2_closer;

/**
 * Make a closer.
 * @param closer Set on success only.
 * @param slots The most sockets to hold, at least 1. Memory of slots that are
 *              never used is never touched.
 * @param observer Copied.
 * @param pool The pool that the closer is allocated from and ends with.
 * @return APR_SUCCESS; APR_ENOTIMPL on a system without epoll; otherwise the
 *         system's error.
 */
apr_status_t fw2_closer_create(fw2_closer **closer, int slots,
                               const fw2_observer *observer, apr_pool_t *pool);

/**
 * Watch one descriptor for input beside the sockets, once: a descriptor that
 * was ready is watched again only after another call.
 * @param fd Stays the caller's, and must stay open as long as the closer.
 * @return APR_SUCCESS, or the system's error.
 */
apr_status_t fw2_closer_watch(fw2_closer *closer, int fd);

/**
 * Begin to linger on a socket after our FIN. The socket is drained and checked
 * at once, as most clients have closed by now. If no slot is free, the socket
 * that has been held longest is evicted.
 * @param fd Owned by the closer from now on.
 */
void fw2_closer_accept(fw2_closer *closer, int fd, const fw2_handoff *handoff);

/**
 * Sleep until a socket or the watched descriptor has an event, a socket is due,
 * the time `wake_at` is reached, or a signal is handled. Then check all sockets
 * with an event and all due ones.
 * @param wake_at fw2_clock_now()'s; 0: no such time.
 * @param unblocked The signal mask (a sigset_t) during the sleep.
 * @return True if the watched descriptor is ready.
 */
int fw2_closer_wait(fw2_closer *closer, apr_time_t wake_at,
                    const void *unblocked);

/** End the linger of the socket that has been held longest.
 *  @return False if none is held. */
int fw2_closer_end_oldest(fw2_closer *closer, fw2_ending ending);

/** Return the number of sockets held now. */
int fw2_closer_count(const fw2_closer *closer);

/** Return when our FIN was sent on the socket that has been held longest;
 *  fw2_clock_now()'s; 0: none is held. */
apr_time_t fw2_closer_oldest(const fw2_closer *closer);

/** Limit the sockets held to `most`, within 1 and the number of slots. The
 *  oldest sockets beyond the limit are evicted. */
void fw2_closer_limit(fw2_closer *closer, int most);

#endif /* FW2_CLOSER_H */
