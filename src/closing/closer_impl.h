/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CLOSER_IMPL_H
#define FW2_CLOSER_IMPL_H

/*
 * Within the room `closer`: one held socket, what to do with it, and the heap
 * that says which one is due next. All belongs to the closer's one thread.
 */

#include "closing/closer.h"

/** One held socket. Times are fw2_clock_now()'s. */
typedef struct fw2_held {
    int fd;                  /**< below 0: the slot is free */
    apr_uint32_t generation; /**< counts the slot's sockets, so that an event
                                  of one is not taken for another's */
    fw2_handover handover;
    apr_time_t heard; /**< when the client last sent something, or all data was
                           acknowledged */
    apr_time_t moved; /**< when it last acknowledged something */
    apr_time_t due;   /**< when to look at it, whatever happens */
    apr_uint64_t drained;
    int unacked; /**< bytes that the client has to acknowledge, our FIN as one
                      of them */
    unsigned int until : 2; /**< an fw2_until: FW2_UNTIL_CLOSED once the client
                                 has sent something */
    unsigned int in_epoll : 1;
    unsigned int coalesced : 1; /**< fewer wake-ups asked for */
    unsigned int throttled : 1; /**< read by the clock, never in epoll again */
    unsigned int abort : 1;     /**< to be closed by a reset */
    int place;                  /**< in the heap */
    int older, newer; /**< the slots accepted before and after; of a free one,
                           `newer` is the next free slot */
} fw2_held;

/** Begin to linger on a descriptor, as was asked. */
void fw2_held_begin(fw2_held *held, int fd, const fw2_handover *handover,
                    apr_time_t now);

/**
 * Look at a socket: drain it, within bounds, and see whether its linger is
 * over. Sets `due`.
 * @return How it ended, or FW2_ENDINGS if it goes on.
 */
fw2_ending fw2_held_look(fw2_held *held, apr_time_t now);

/** Discard everything unread, for a socket that is closed before its linger is
 *  over: unread bytes would draw a reset at once. */
void fw2_held_discard(fw2_held *held);

/** Close a socket that is out of the epoll set. Does not block. */
void fw2_held_close(const fw2_held *held);

/** A heap of slots, the one that is due first on top. */
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
