/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_BOARD_H
#define FW2_BOARD_H

/*
 * board: what one closer process publishes for the pages that children write.
 *
 * Each configuration has a board of its own in shared memory: what its closer
 * process holds now, its last count of the kernel's tables, and the rates of
 * the last minute. The process that runs is the board's one writer. A process
 * of a former configuration goes on with its own board until it is done, and a
 * page adds up what all boards hold.
 *
 * Any process can write anything into shared memory: whatever is read here is
 * copied first, and clamped to what the code below can live with. The parent
 * makes boards and reads nothing from them.
 *
 * Knows APR, sockdiag and policy, and nothing of httpd. Any thread of any
 * process may read; nothing blocks.
 */

#include "apr_errno.h"
#include "apr_pools.h"
#include "apr_time.h"

#include "base/outcome.h"
#include "kernel/sockdiag.h"

/** One count of the kernel's tables, copied out of the shared memory. */
typedef struct fw2_board_count {
    fw2_count count;          /**< its tallies are one an endpoint */
    fw2_limits limits;        /**< read at the same time */
    fw2_limits before;        /**< the limits one to ten minutes before; all -1
                                  where they are not known */
    apr_interval_time_t over; /**< microseconds since; 0 likewise */
    apr_int64_t descriptors;  /**< open ones of the closer process; -1: not
                                  known */
    apr_int64_t descriptor_limit; /**< that it may have; the same */
    apr_interval_time_t cost;     /**< CPU time of everything that the count
                                       took, publishing included */
    apr_time_t at;                /**< when; fw2_clock_now()'s */
    apr_interval_time_t age;      /**< microseconds since; set by the reader */
    apr_int64_t counts;           /**< how many there were, this one included;
                                  0: none yet, and nothing here is known */
} fw2_board_count;

/** Events a minute, over the last one to ten minutes; all -1 where that is not
 *  known. */
typedef struct fw2_rates {
    apr_int64_t causes[FW2_CAUSES];
    apr_int64_t probes;    /**< never carried a request, and httpd closed */
    apr_int64_t left_open; /**< lingers ended before the client had closed */
    apr_int64_t evicted;   /**< of these, because their slot was needed */
    apr_int64_t idle[FW2_IDLES]; /**< ended idle in HTTP/1 */
} fw2_rates;

/** The sockets that one process holds now. */
typedef struct fw2_board_state {
    apr_int64_t running;  /**< 1 while the process runs */
    apr_int64_t held;     /**< sockets lingered on */
    apr_int64_t capacity; /**< that may be at most; 0: it does not linger */
    apr_int64_t oldest;   /**< microseconds that the oldest is held; -1: none
                               is */
} fw2_board_state;

typedef struct fw2_board fw2_board;

/**
 * Make a board. The parent, in one thread.
 * @param endpoints How many listening sockets are counted at.
 * @param vhosts How many virtual hosts there is room for.
 * @param layout Boards with the same one give a virtual host the same number.
 * @param pool The board goes with it; children keep their own mapping.
 * @return APR_SUCCESS, or the system's error.
 */
apr_status_t fw2_board_create(fw2_board **board, int endpoints, int vhosts,
                              int layout, apr_pool_t *pool);
int fw2_board_layout(const fw2_board *board);

/** A process of this board was started, or has ended, however it died. The
 *  parent; the process itself, too, when it ends. */
void fw2_board_started(fw2_board *board, apr_uint64_t pid);
void fw2_board_abandon(fw2_board *board);

/**
 * Begin to publish, as process `pid`. The closer process, once.
 * @param capacity How many sockets it may hold; 0: it does not linger, and no
 *                 child shall hand a socket off.
 * @return How many sockets the process before it held, or had just received,
 *         when it was killed.
 */
apr_int64_t fw2_board_begin(fw2_board *board, apr_uint64_t pid, int capacity);

/** One more socket of this virtual host is held, or one less. The closer
 *  process. */
void fw2_board_hold(fw2_board *board, apr_uint32_t vhost, int change);

/** So many sockets were received, and nothing is known of them yet. The closer
 *  process. */
void fw2_board_arriving(fw2_board *board, int n);

/** From now on no child shall hand a socket off. The closer process. */
void fw2_board_refuse(fw2_board *board);

/** The oldest socket that is held was accepted then; 0: none is held. The
 *  closer process. */
void fw2_board_oldest(fw2_board *board, apr_time_t since);

/** Publish a count. The closer process. */
void fw2_board_publish(fw2_board *board, const fw2_board_count *last);

/**
 * Publish rates. The closer process.
 * @param rates One of each virtual host.
 * @param fallback Connections a minute that httpd lingered on itself, or -1.
 */
void fw2_board_publish_rates(fw2_board *board, const fw2_rates *rates,
                             apr_int64_t fallback);

/**
 * True if a process runs, or is about to, and accepts sockets.
 * @param why If not: FW2_NO_PROCESS, or FW2_CANNOT_LINGER.
 */
int fw2_board_accepts(const fw2_board *board, fw2_refusal *why);

/** The last count. Never NULL; from the pool. */
const fw2_board_count *fw2_board_last(const fw2_board *board, apr_pool_t *pool);

/** The last rates: one of each virtual host, from the pool. */
const fw2_rates *fw2_board_rates(const fw2_board *board, apr_int64_t *fallback,
                                 apr_pool_t *pool);

void fw2_board_state_read(const fw2_board *board, fw2_board_state *state);

/** Sockets of one virtual host that are held now. */
apr_int64_t fw2_board_held(const fw2_board *board, apr_uint32_t vhost);

/** A number that changes with the layout of what outlives a restart. */
apr_size_t fw2_board_footprint(void);

#endif /* FW2_BOARD_H */
