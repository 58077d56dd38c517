/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CLOSER_H
#define FW2_CLOSER_H

/*
 * closer: the thread that lingers and tells how each ended.
 *
 * To close a TCP socket with unread bytes, or to receive bytes after that,
 * draws a reset, which throws away what the peer has not read yet of the
 * response (RFC 9112, section 9.6). So somebody has to stay with the socket
 * after our FIN, and read and discard, until that cannot happen any more. A
 * worker is too dear for that. The closer holds the sockets of a whole process
 * in one epoll set and less than 256 bytes each, without an allocation a
 * socket, and sleeps without a tick while it holds none.
 *
 * It needs no clock to see that the peer has everything: after our FIN,
 * edge-triggered EPOLLOUT fires when the FIN is acknowledged (FIN_WAIT_1 ->
 * FIN_WAIT_2, tcp_rcv_state_process(); measured on Linux 6.18).
 *
 * Knows APR, the kernel and a policy, and nothing of httpd or shared memory:
 * what there is to tell, it tells its observer.
 */

#include "apr_errno.h"
#include "apr_pools.h"
#include "apr_time.h"

#include "fw2_policy.h"

/** What goes along with a socket, for the observer to understand. */
typedef struct fw2_tag {
    apr_uint32_t vhost;
    fw2_cause cause;         /**< why the connection ends */
    apr_uint64_t agent, net; /**< whose it is */
} fw2_tag;

/** What the closer is given with a socket. */
typedef struct fw2_handover {
    const fw2_policy *policy; /**< copied; need not outlive the call */
    fw2_tag tag;
    int until_acked; /**< the peer has nothing more to say: done as
                                     soon as it has everything */
    apr_interval_time_t once_acked; /**< no longer than this after the peer has
                                     everything; 0: the policy says it all */
} fw2_handover;

/** What the observer is told of a linger that ended. */
typedef struct fw2_ended {
    fw2_tag tag;
    fw2_ending ending;
    apr_interval_time_t lingered; /**< microseconds since it was taken */
    apr_uint64_t drained;         /**< bytes read and discarded */
} fw2_ended;

/**
 * Who is told what happens, by several threads at once, without a lock of the
 * closer's held; must not call the closer. A thread that calls
 * fw2_closer_take() is a worker's, and must not block: it tells of what was
 * taken and of FW2_EVICTED. The closer's own tells of all else, and while it
 * waits, others linger longer.
 */
typedef struct fw2_observer {
    void *context;
    /** A socket was taken; comes before its `ended`. */
    void (*taken)(void *context, const fw2_tag *tag);
    /** A linger ended and its descriptor is closed; once for each taken. */
    void (*ended)(void *context, const fw2_ended *ended);
    /** The socket held longest was taken at `since`, apr_time_now()'s clock;
     *  0: none is held. Told when it changes, by the closer's thread only. */
    void (*oldest)(void *context, apr_time_t since);
} fw2_observer;

typedef struct fw2_closer fw2_closer;

/** How many sockets a process with this limit of descriptors may hold and
 *  leave room for accepting: half of them. */
int fw2_closer_auto_slots(void);

/**
 * Start a closer. To be called in a process of its own that has no other
 * threads yet: its descriptor table is grown here for all slots, since to grow
 * it later stops all threads for 8 to 20 ms (expand_fdtable(); measured).
 * @param closer Untouched on failure.
 * @param slots The most sockets to hold, at least 1.
 * @param observer Copied.
 * @param pool The closer lives in it; fw2_closer_stop() before it goes.
 * @return APR_SUCCESS; APR_ENOTIMPL where there is no epoll; otherwise the
 *         system's error. On failure nothing is left behind.
 */
apr_status_t fw2_closer_start(fw2_closer **closer, int slots,
                              const fw2_observer *observer, apr_pool_t *pool);

/**
 * Let the closer linger on a socket whose FIN is sent. Never waits for the
 * peer, nor for the closer. Any thread, several at once; signals are held back
 * meanwhile, since prefork stops its child from within a handler.
 * @param fd A TCP socket after shutdown(SHUT_WR); stays the caller's, who is
 *           to close it: the closer works on a duplicate. It must be in no
 *           other epoll set, or that set would go on reporting it.
 * @return APR_SUCCESS: taken. If there is no slot, or no descriptor, the
 *         socket that was held longest is evicted for it. Otherwise (the
 *         closer is stopping, there was none to evict, or this is a fork of
 *         the process that started it, which has no such thread) the error,
 *         and the caller has to linger itself.
 */
apr_status_t fw2_closer_take(fw2_closer *closer, int fd,
                             const fw2_handover *handover);

/** How many sockets it may hold. Any thread. */
int fw2_closer_slots(const fw2_closer *closer);

/**
 * Stop: take no more, give what is held what is left of its time, but at most
 * `patience`, close all and join the thread. What came of those until then is
 * discarded first, so that none is reset for that. Once, by one thread; does
 * nothing in a fork of the process that started it.
 */
void fw2_closer_stop(fw2_closer *closer, apr_interval_time_t patience);

/** From now on be patient with nothing, while another thread is in
 *  fw2_closer_stop() or before one is. Any thread, and signal handlers. */
void fw2_closer_hurry(fw2_closer *closer);

#endif /* FW2_CLOSER_H */
