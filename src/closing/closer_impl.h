/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CLOSER_IMPL_H
#define FW2_CLOSER_IMPL_H

/*
 * closer's internal header: one held socket, the steps of its linger, and the
 * heap that finds the socket that is due next. The closer's thread calls all
 * functions.
 */

#include "closing/closer.h"

/** One held socket. Times are fw2_clock_now()'s. */
typedef struct fw2_held {
    int fd;                  /**< the socket; below 0: the slot is free */
    apr_uint32_t generation; /**< number of sockets that the slot has had; an
                                  event of an older one is ignored */
    fw2_handoff handoff;
    apr_time_t idle_since; /**< when the client last sent something, or all data
                                was acknowledged */
    apr_time_t last_acked; /**< when the client last acknowledged something */
    apr_time_t due;       /**< when to check the socket even without an event */
    apr_uint64_t drained; /**< bytes read and discarded */
    int unacked; /**< bytes that the client has not acknowledged; our FIN is one
                      of them */
    unsigned int until : 2;     /**< an fw2_until: FW2_UNTIL_CLOSED once the
                                     client has sent something */
    unsigned int in_epoll : 1;  /**< the epoll set has the socket */
    unsigned int coalesced : 1; /**< few wake-ups by SO_RCVLOWAT */
    unsigned int throttled : 1; /**< read by the clock, never in epoll again */
    unsigned int abort : 1;     /**< to be closed by a reset */
    int place;                  /**< index in the heap */
    int older, newer; /**< the slots accepted before and after; in a free slot
                           `newer` is the next free slot */
} fw2_held;

/** Begin a linger on these terms. */
void fw2_held_begin(fw2_held *held, int fd, const fw2_handoff *handoff,
                    apr_time_t now);

/**
 * Drain a socket, within bounds, and check whether its linger is over. Sets
 * `due`.
 * @return How the linger ended, or FW2_NO_ENDING if it goes on.
 */
fw2_ending fw2_held_check(fw2_held *held, apr_time_t now);

/** Discard all unread bytes of a socket that is closed before its linger is
 *  over; unread bytes would cause a reset at once. */
void fw2_held_discard(fw2_held *held);

/** A heap of slots, the slot that is due first on top. */
typedef struct fw2_heap {
    fw2_held *held; /**< all slots; the heap sets their `place` */
    int *slots;     /**< the heap */
    int n;          /**< slots in the heap */
} fw2_heap;

void fw2_heap_add(fw2_heap *heap, int slot);
void fw2_heap_remove(fw2_heap *heap, int slot);

/** Move a slot to its place after its `due` has changed. */
void fw2_heap_move(fw2_heap *heap, int slot);

#endif /* FW2_CLOSER_IMPL_H */
