/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The slots, the epoll set, and the heap with the time of each socket's next
 * check. */

#include "closing/closer_impl.h"

#include "base/clamp.h"
#include "base/clock.h"
#include "kernel/sockopts.h"

#ifdef __linux__

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include <sys/epoll.h>

/* The microseconds between two checks of a socket that did not fit into the
 * epoll set. */
#define WITHOUT_EPOLL 50000

/* The most events fetched at once. */
#define EVENTS 64

/* The event data of the watched descriptor. No slot number is as large as the
 * lower half of this data. */
#define WATCH_EVENT (~(apr_uint64_t)0)

struct fw2_closer {
    int epoll;
    int slots;
    int limit; /* the most sockets held: `slots`, or fewer */
    fw2_observer observer;
    fw2_held *held;     /* all slots */
    fw2_heap heap;      /* the slots with a socket, by `due` */
    int unused;         /* the first slot that was never used */
    int first_free;     /* head of the list of freed slots, or FW2_NO_SLOT */
    int oldest, newest; /* slots, or FW2_NO_SLOT */
    int watched;        /* the watched descriptor, or -1 */
};

/* ---------------------------------------------------------------- slots -- */

/* Return a free slot. The caller has made sure that a slot is free. */
static int slot_reserve(fw2_closer *closer)
{
    int slot = closer->first_free;

    if (slot != FW2_NO_SLOT) {
        closer->first_free = closer->held[slot].newer;
    }
    else {
        slot = closer->unused++;
        closer->held[slot].generation = 0;
    }
    return slot;
}

static void slot_fill(fw2_closer *closer, int slot, const fw2_held *from)
{
    fw2_held *held = &closer->held[slot];
    apr_uint32_t generation = held->generation;

    *held = *from;
    held->generation = generation;
    held->newer = FW2_NO_SLOT;
    held->older = closer->newest;
    if (closer->newest != FW2_NO_SLOT) {
        closer->held[closer->newest].newer = slot;
    }
    else {
        closer->oldest = slot;
    }
    closer->newest = slot;
    fw2_heap_add(&closer->heap, slot);
}

static void slot_free(fw2_closer *closer, int slot)
{
    fw2_held *held = &closer->held[slot];

    fw2_heap_remove(&closer->heap, slot);
    if (held->older != FW2_NO_SLOT) {
        closer->held[held->older].newer = held->newer;
    }
    else {
        closer->oldest = held->newer;
    }
    if (held->newer != FW2_NO_SLOT) {
        closer->held[held->newer].older = held->older;
    }
    else {
        closer->newest = held->older;
    }
    held->fd = -1;
    held->generation++;
    held->newer = closer->first_free;
    closer->first_free = slot;
}

/* ---------------------------------------------------- one linger's end -- */

static void epoll_del(const fw2_closer *closer, fw2_held *held)
{
    if (held->in_epoll) {
        (void)epoll_ctl(closer->epoll, EPOLL_CTL_DEL, held->fd, NULL);
        held->in_epoll = 0;
    }
}

/* Close a socket that is not in the epoll set, and report its end. */
static void close_and_report(fw2_closer *closer, const fw2_held *held, int slot,
                             fw2_ending ending)
{
    fw2_ended ended;

    fw2_sockopts_close(held->fd, held->abort || held->handoff.reset);
    ended.tag = held->handoff.tag;
    ended.ending = ending;
    ended.slot = slot;
    ended.lingered = fw2_clock_now() - held->handoff.begun;
    ended.drained = held->drained;
    closer->observer.ended(closer->observer.context, &ended);
}

static void slot_end(fw2_closer *closer, int slot, fw2_ending ending)
{
    fw2_held *held = &closer->held[slot];

    /* EPOLL_CTL_DEL comes before close(): the kernel removes a socket from the
     * epoll set only with the last descriptor of the open file, and httpd may
     * still have one. */
    epoll_del(closer, held);
    close_and_report(closer, held, slot, ending);
    slot_free(closer, slot);
}

int fw2_closer_end_oldest(fw2_closer *closer, fw2_ending ending)
{
    if (closer->oldest == FW2_NO_SLOT) {
        return 0;
    }
    fw2_held_discard(&closer->held[closer->oldest]);
    slot_end(closer, closer->oldest, ending);
    return 1;
}

static void evict_down_to(fw2_closer *closer, int most)
{
    while (closer->heap.n > most) {
        fw2_closer_end_oldest(closer, FW2_EVICTED);
    }
}

/* ---------------------------------------------------- checking sockets -- */

/* Add a socket to the epoll set, or remove a throttled socket, which is read by
 * the clock only. */
static void epoll_update(fw2_closer *closer, int slot, apr_time_t now)
{
    fw2_held *held = &closer->held[slot];
    struct epoll_event event;

    if (held->throttled) {
        epoll_del(closer, held);
    }
    if (held->throttled || held->in_epoll) {
        return;
    }
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.u64 = (apr_uint64_t)held->generation << 32 | (apr_uint32_t)slot;
    held->in_epoll = !epoll_ctl(closer->epoll, EPOLL_CTL_ADD, held->fd, &event);
    if (!held->in_epoll && held->due > now + WITHOUT_EPOLL) {
        held->due = now + WITHOUT_EPOLL;
    }
}

static void check_slot(fw2_closer *closer, int slot, apr_time_t now)
{
    fw2_ending ending = fw2_held_check(&closer->held[slot], now);

    if (ending != FW2_NO_ENDING) {
        slot_end(closer, slot, ending);
        return;
    }
    epoll_update(closer, slot, now);
    fw2_heap_move(&closer->heap, slot);
}

static void check_due(fw2_closer *closer)
{
    apr_time_t now = fw2_clock_now();

    while (closer->heap.n && closer->held[closer->heap.slots[0]].due <= now) {
        check_slot(closer, closer->heap.slots[0], now);
    }
}

void fw2_closer_accept(fw2_closer *closer, int fd, const fw2_handoff *handoff)
{
    apr_time_t now = fw2_clock_now();
    fw2_held held;
    fw2_ending ending;
    int slot;

    fw2_held_begin(&held, fd, handoff, now);
    ending = fw2_held_check(&held, now);
    if (ending != FW2_NO_ENDING) {
        close_and_report(closer, &held, FW2_NO_SLOT, ending);
        return;
    }
    evict_down_to(closer, closer->limit - 1);
    slot = slot_reserve(closer);
    slot_fill(closer, slot, &held);
    closer->observer.held(closer->observer.context, &handoff->tag, slot);
    epoll_update(closer, slot, now);
    fw2_heap_move(&closer->heap, slot);
}

/* -------------------------------------------------------------- waiting -- */

/* Return the longest sleep in milliseconds; -1: no limit. */
static int sleep_time(const fw2_closer *closer, apr_time_t wake_at)
{
    apr_time_t now = fw2_clock_now();

    if (closer->heap.n) {
        apr_time_t due = closer->held[closer->heap.slots[0]].due;

        wake_at = fw2_clock_earlier(wake_at, due);
    }
    if (!wake_at) {
        return -1;
    }
    return (int)fw2_clamp_number(0, (wake_at - now + 999) / 1000, 60000);
}

/* True if the event is one of the watched descriptor. */
static int handle_event(fw2_closer *closer, const struct epoll_event *event)
{
    int slot = (int)(apr_uint32_t)event->data.u64;
    apr_uint32_t generation = (apr_uint32_t)(event->data.u64 >> 32);

    if (event->data.u64 == WATCH_EVENT) {
        return 1;
    }
    if (closer->held[slot].fd >= 0
        && closer->held[slot].generation == generation) {
        check_slot(closer, slot, fw2_clock_now());
    }
    return 0;
}

int fw2_closer_wait(fw2_closer *closer, apr_time_t wake_at,
                    const void *unblocked)
{
    struct epoll_event events[EVENTS];
    int i, ready = 0;
    int n = epoll_pwait(closer->epoll, events, EVENTS,
                        sleep_time(closer, wake_at), unblocked);

    for (i = 0; i < n; i++) {
        ready |= handle_event(closer, &events[i]);
    }
    check_due(closer);
    return ready;
}

apr_status_t fw2_closer_watch(fw2_closer *closer, int fd)
{
    struct epoll_event event;
    int again = closer->watched == fd;

    event.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT;
    event.data.u64 = WATCH_EVENT;
    if (epoll_ctl(closer->epoll, again ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd,
                  &event)) {
        return errno;
    }
    closer->watched = fd;
    return APR_SUCCESS;
}

/* ----------------------------------------------------------------- state -- */

int fw2_closer_count(const fw2_closer *closer)
{
    return closer->heap.n;
}

apr_time_t fw2_closer_oldest(const fw2_closer *closer)
{
    return closer->oldest == FW2_NO_SLOT
               ? 0
               : closer->held[closer->oldest].handoff.begun;
}

void fw2_closer_limit(fw2_closer *closer, int most)
{
    closer->limit = (int)fw2_clamp_number(1, most, closer->slots);
    evict_down_to(closer, closer->limit);
}

static apr_status_t close_epoll(void *data)
{
    fw2_closer *closer = data;

    close(closer->epoll);
    return APR_SUCCESS;
}

apr_status_t fw2_closer_create(fw2_closer **closer, int slots,
                               const fw2_observer *observer, apr_pool_t *pool)
{
    fw2_closer *made = apr_pcalloc(pool, sizeof(*made));
    apr_size_t n = (apr_size_t)slots;

    made->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (made->epoll < 0) {
        return errno;
    }
    made->slots = made->limit = slots;
    made->observer = *observer;
    /* apr_palloc() does not clear the slots, so the kernel gives no memory to
     * slots that are never used. */
    made->held = apr_palloc(pool, n * sizeof(*made->held));
    made->heap.held = made->held;
    made->heap.slots = apr_palloc(pool, n * sizeof(*made->heap.slots));
    made->first_free = made->oldest = made->newest = FW2_NO_SLOT;
    made->watched = -1;
    apr_pool_cleanup_register(pool, made, close_epoll, apr_pool_cleanup_null);
    *closer = made;
    return APR_SUCCESS;
}

#else /* !__linux__ */

/* On a system without epoll httpd lingers itself: fw2_closer_create() fails,
 * and no function below is called. */
apr_status_t fw2_closer_create(fw2_closer **closer, int slots,
                               const fw2_observer *observer, apr_pool_t *pool)
{
    return APR_ENOTIMPL;
}

apr_status_t fw2_closer_watch(fw2_closer *closer, int fd)
{
    return APR_ENOTIMPL;
}

void fw2_closer_accept(fw2_closer *closer, int fd, const fw2_handoff *handoff)
{
}

int fw2_closer_wait(fw2_closer *closer, apr_time_t wake_at,
                    const void *unblocked)
{
    return 0;
}

int fw2_closer_end_oldest(fw2_closer *closer, fw2_ending ending)
{
    return 0;
}

int fw2_closer_count(const fw2_closer *closer)
{
    return 0;
}

apr_time_t fw2_closer_oldest(const fw2_closer *closer)
{
    return 0;
}

void fw2_closer_limit(fw2_closer *closer, int most)
{
}

#endif /* __linux__ */
