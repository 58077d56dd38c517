/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CLOSER_H
#define FW2_CLOSER_H

/*
 * closer: lingers on thousands of sockets, and reports how each linger ended.
 *
 * Closing a TCP socket with unread bytes, or receiving bytes after that, draws
 * a reset, which throws away what the client has not read yet of the response
 * (RFC 9112, section 9.6). So somebody has to stay with the socket after our
 * FIN, and read and discard, until that cannot happen any more. A worker is
 * too dear for that. The closer holds all sockets of a server in one epoll set
 * and in less than 256 bytes each, without an allocation for a socket, and
 * sleeps without a tick while it holds none.
 *
 * It needs no clock to see that the client has acknowledged all data: after our
 * FIN, edge-triggered EPOLLOUT fires when the FIN is acknowledged (FIN_WAIT_1
 * -> FIN_WAIT_2, tcp_rcv_state_process(); measured on Linux 6.18).
 *
 * Everything here belongs to one thread of the closer process, which calls it
 * and is called back by it. Only fw2_closer_wait() blocks.
 *
 * Knows APR, the kernel and a policy, and nothing of httpd or shared memory.
 */

#include "apr_errno.h"
#include "apr_pools.h"
#include "apr_time.h"

#include "base/outcome.h"
#include "shared/handover.h"

/** The observer's view of a linger that ended. */
typedef struct fw2_ended {
    fw2_tag tag;
    fw2_ending ending;
    int slot;                     /**< where it was held, or FW2_NO_SLOT */
    apr_interval_time_t lingered; /**< microseconds since our FIN */
    apr_uint64_t drained;         /**< bytes read and discarded */
} fw2_ended;

/** No slot: the linger ended before the socket needed one. */
#define FW2_NO_SLOT (-1)

/** Is called when something happens; must not call the closer. */
typedef struct fw2_observer {
    void *context;
    /** A socket is held, in this slot. */
    void (*held)(void *context, const fw2_tag *tag, int slot);
    /** A linger ended and its descriptor is closed; once for each socket. */
    void (*ended)(void *context, const fw2_ended *ended);
} fw2_observer;

/** Events of the descriptors that a caller watches beside the sockets. */
#define FW2_WATCH_MAX 4

typedef struct fw2_closer fw2_closer;

/**
 * Make a closer.
 * @param closer Untouched on failure.
 * @param slots The most sockets to hold, at least 1. Memory of slots that are
 *              never used is never touched.
 * @param observer Copied.
 * @param pool The closer lives in it, and goes with it.
 * @return APR_SUCCESS; APR_ENOTIMPL where there is no epoll; otherwise the
 *         system's error.
 */
apr_status_t fw2_closer_create(fw2_closer **closer, int slots,
                               const fw2_observer *observer, apr_pool_t *pool);

/**
 * Watch another descriptor for input, once: after it was ready, it is not
 * watched before this is called again.
 * @param fd Stays the caller's, and stays open as long as the closer: a number
 *           belongs to one descriptor.
 * @param watch Its number, below FW2_WATCH_MAX.
 */
apr_status_t fw2_closer_watch(fw2_closer *closer, int fd, int watch);

/**
 * Linger on a socket whose FIN is sent. Looks at it at once: most clients have
 * closed by now. If there is no free slot, the socket that has been held
 * longest is evicted for it.
 * @param fd The closer's from now on.
 */
void fw2_closer_accept(fw2_closer *closer, int fd,
                       const fw2_handover *handover);

/**
 * Sleep until something happens to a socket or to a watched descriptor, a
 * socket is due, `until` has come, or a signal of `unblocked` is handled; then
 * look at all sockets that need it.
 * @param until fw2_clock_now()'s; 0: no such time.
 * @return Bit i: watched descriptor i is ready.
 */
unsigned int fw2_closer_wait(fw2_closer *closer, apr_time_t until,
                             const void *unblocked);

/** End the linger of the socket that has been held longest.
 *  @return False if none is held. */
int fw2_closer_end_oldest(fw2_closer *closer, fw2_ending ending);

/** Sockets that are held now, and when our FIN was sent on the one that was
 *  accepted first (fw2_clock_now()'s; 0: none is held). */
int fw2_closer_count(const fw2_closer *closer);
apr_time_t fw2_closer_oldest(const fw2_closer *closer);

/** Hold no more than so many from now on, at least 1 and at most the slots; the
 *  oldest are evicted. */
void fw2_closer_limit(fw2_closer *closer, int most);

#endif /* FW2_CLOSER_H */
