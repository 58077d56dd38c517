/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CLOSER_IMPL_H
#define FW2_CLOSER_IMPL_H

/*
 * Within the room `closer`: one held socket, what to do with it, and the heap
 * that says which is next.
 */

#include "fw2_closer.h"

/** No slot. */
#define FW2_NO_SLOT (-1)

/**
 * One socket in hand. While the closer's thread works on it, it is `busy` and
 * that thread's alone; else it is guarded by the closer's lock. Times are
 * fw2_closer_now()'s.
 */
typedef struct fw2_held {
    int fd;            /**< below 0: the slot is free */
    apr_uint32_t turn; /**< counts the slot's users, so that an event for
                                one is not taken for another's */
    fw2_tag tag;
    fw2_policy policy;
    apr_interval_time_t once_acked; /**< as in fw2_handover */
    apr_time_t begun;
    apr_time_t heard; /**< when the peer last said something, or got
                                everything */
    apr_time_t moved; /**< when it last acknowledged something */
    apr_time_t due;   /**< when to look at it, whatever happens */
    apr_uint64_t drained;
    int unacked; /**< bytes that the peer has to acknowledge, our
                                FIN as one of them */
    unsigned int until_acked : 1;
    unsigned int listed : 1; /**< in the epoll set */
    unsigned int calmed : 1; /**< fewer wake-ups asked for */
    unsigned int paced : 1;  /**< read by the clock, and never listed again */
    unsigned int abort : 1;  /**< to be closed by a reset */
    int place;               /**< in the heap */
    int older, newer;        /**< the slots taken before and after; of a free
                                one, `newer` is the next that is free */
} fw2_held;

/** Microseconds of a clock that nobody sets. */
apr_time_t fw2_closer_now(void);

/**
 * Look at a socket: drain it, within bounds, and see whether its linger is
 * over. Sets `due`.
 * @return How it ended, or FW2_ENDINGS if it goes on.
 */
fw2_ending fw2_held_look(fw2_held *held, apr_time_t now);

/** Discard all that has come, for a socket that is closed before its linger is
 *  over: what is unread then would draw a reset at once. */
void fw2_held_discard(fw2_held *held);

/** Close a socket that is out of the epoll set. Does not block. */
void fw2_held_close(const fw2_held *held);

/** A heap of slots, the one that is due first on top. Guarded as its owner
 *  says. */
typedef struct fw2_heap {
    fw2_held *held; /**< all slots; the heap keeps their `place` */
    int *slots;
    int n;
} fw2_heap;

void fw2_heap_add(fw2_heap *heap, int slot);
void fw2_heap_remove(fw2_heap *heap, int slot);
/** After a slot's `due` has changed. */
void fw2_heap_move(fw2_heap *heap, int slot);

#endif /* FW2_CLOSER_IMPL_H */
