/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_BOARD_H
#define FW2_BOARD_H

/*
 * board: the numbers that a closer process publishes for the pages that
 * children write.
 *
 * Each configuration has a board in shared memory: the sockets that its closer
 * process holds now, the process's last count of the kernel's tables, and the
 * rates of the last minute. The running closer process is the board's only
 * writer. A closer process of a former configuration uses its own board until
 * it ends, and a page adds up the sockets of all boards.
 *
 * Any process can write anything into shared memory. A reader therefore copies
 * each number first, and clamps the copy to a safe range. The parent makes
 * boards and reads nothing from them.
 *
 * The room depends on APR, outcome and sockdiag, and not on httpd. Any thread
 * of any process may read; no function blocks.
 */

#include "apr_errno.h"
#include "apr_pools.h"
#include "apr_time.h"

#include "base/outcome.h"
#include "kernel/sockdiag.h"

/** One count of the kernel's tables, copied out of the shared memory. */
typedef struct fw2_board_count {
    fw2_count count;              /**< with one tally an endpoint */
    fw2_limits limits;            /**< the limits at the same time */
    fw2_limits before;            /**< the limits one to ten minutes before; all
                                       -1: not known */
    apr_interval_time_t over;     /**< microseconds since `before`; 0: not
                                       known */
    apr_int64_t descriptors;      /**< open descriptors of the closer process;
                                       -1: not known */
    apr_int64_t descriptor_limit; /**< the most descriptors of the closer
                                       process; -1: not known */
    apr_interval_time_t cost;     /**< CPU time of the whole count, publishing
                                       included */
    apr_time_t at;                /**< time of the count; fw2_clock_now()'s */
    apr_interval_time_t age;      /**< microseconds since; set by the reader */
    apr_int64_t counts;           /**< number of counts so far, this one
                                       included; 0: none, and no field here is
                                       known */
} fw2_board_count;

/** Events a minute, over the last one to ten minutes; all -1: not known. */
typedef struct fw2_rates {
    apr_int64_t causes[FW2_CAUSES];
    apr_int64_t probes;    /**< connections without a request that httpd
                                closed */
    apr_int64_t left_open; /**< lingers ended before the client had closed */
    apr_int64_t evicted;   /**< lingers ended because the slot was needed;
                                included in left_open */
    apr_int64_t idle[FW2_IDLES]; /**< connections of HTTP/1 that ended idle */
} fw2_rates;

/** The sockets that one process holds now. */
typedef struct fw2_board_state {
    apr_int64_t running;  /**< 1 while the process runs */
    apr_int64_t held;     /**< sockets held */
    apr_int64_t capacity; /**< the most sockets held; 0: the process does not
                               linger */
    apr_int64_t oldest;   /**< age of the oldest socket in microseconds; -1: no
                               socket is held */
} fw2_board_state;

typedef struct fw2_board fw2_board;

/**
 * Make a board. The parent, in one thread.
 * @param endpoints The number of endpoints in a count.
 * @param vhosts The number of virtual hosts that the board has room for.
 * @param layout fw2_counters_layout()'s: boards of the same layout
 *               have the same number for a virtual host.
 * @param pool The pool that the board ends with; children keep their own
 *             mapping.
 * @return APR_SUCCESS, or the system's error.
 */
apr_status_t fw2_board_create(fw2_board **board, int endpoints, int vhosts,
                              int layout, apr_pool_t *pool);

/** Return the layout that the board was made with. */
int fw2_board_layout(const fw2_board *board);

/** Note that a closer process was started. The parent. */
void fw2_board_started(fw2_board *board, apr_uint64_t pid);

/** Note that the closer process has ended, in any way. The parent; also the
 *  closer process when it ends. */
void fw2_board_abandon(fw2_board *board);

/**
 * Begin to publish, as process `pid`. The closer process, once.
 * @param capacity The most sockets held; 0: the process does not linger, and no
 *                 child shall hand a socket off.
 * @return The number of sockets that the former process held, or had just
 *         received, when it was killed.
 */
apr_int64_t fw2_board_begin(fw2_board *board, apr_uint64_t pid, int capacity);

/** Add 1 or -1 to the sockets held of a virtual host. The closer process. */
void fw2_board_hold(fw2_board *board, apr_uint32_t vhost, int change);

/** Publish how many sockets were received that are neither held nor ended yet.
 *  The closer process. */
void fw2_board_arriving(fw2_board *board, int n);

/** Publish that children shall hand no more sockets off. The closer process. */
void fw2_board_refuse(fw2_board *board);

/** Publish when our FIN was sent on the oldest held socket; 0: no socket is
 *  held. The closer process. */
void fw2_board_oldest(fw2_board *board, apr_time_t since);

/** Publish a count. The closer process. */
void fw2_board_publish(fw2_board *board, const fw2_board_count *last);

/**
 * Publish rates. The closer process.
 * @param rates One element for each virtual host.
 * @param fallback Connections a minute that httpd lingered on itself, or -1.
 */
void fw2_board_publish_rates(fw2_board *board, const fw2_rates *rates,
                             apr_int64_t fallback);

/**
 * True if a process runs, or was just started, and accepts sockets.
 * @param why FW2_NO_PROCESS or FW2_CANNOT_LINGER, if the result is false.
 */
int fw2_board_accepts(const fw2_board *board, fw2_refusal *why);

/** Return the last count, from the pool; never NULL. */
const fw2_board_count *fw2_board_last(const fw2_board *board, apr_pool_t *pool);

/** Return the last rates, one element for each virtual host, from the pool. */
const fw2_rates *fw2_board_rates(const fw2_board *board, apr_int64_t *fallback,
                                 apr_pool_t *pool);

/** Read the state of the closer process. */
void fw2_board_state_read(const fw2_board *board, fw2_board_state *state);

/** Return the sockets held now of one virtual host. */
apr_int64_t fw2_board_held(const fw2_board *board, apr_uint32_t vhost);

/** Return a number that changes with the layout of the memory that outlives a
 *  restart. */
apr_size_t fw2_board_footprint(void);

#endif /* FW2_BOARD_H */
