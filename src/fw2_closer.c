/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The thread, its slots, and giving sockets to it.
 *
 * The first socket that is taken begins a batch, and sets a timer: with all
 * that come meanwhile it waits for some milliseconds. So the thread wakes up
 * once for a batch, and by then most peers have closed, so that one recv() and
 * one close() are all there is to do. What is left goes into the epoll set,
 * and into the heap with the time when it is over at the latest.
 */

#include "fw2_closer_impl.h"

#ifdef __linux__

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

#include "apr_atomic.h"
#include "apr_thread_mutex.h"
#include "apr_thread_proc.h"

/* Microseconds from the first socket of a batch to the first look at it. A
 * wake-up costs more than all else that is done for a polite peer; a silent
 * one shall not stay for more than 100 ms. */
#define BATCH 20000

/* How often to look at a socket that the epoll set had no room for. */
#define WITHOUT_EPOLL 50000

/* Descriptors that httpd itself may have, beside those in slots. A table that
 * is large takes memory in each child, about 15 bytes a descriptor. */
#define OTHERS 1024

/* Events fetched at once. */
#define EVENTS 64

/* The event of `timer`; no slot and turn make this number. */
#define TIMER (~(apr_uint64_t)0)

/* A time that is over already; 0 would stop the timer. */
#define AT_ONCE 1

struct fw2_closer {
    int epoll;             /* constant */
    int timer;             /* constant; a timerfd of fw2_closer_now()'s clock */
    int slots;             /* constant */
    pid_t process;         /* constant; in another there is no thread */
    fw2_observer observer; /* constant */
    apr_thread_t *thread;  /* constant */
    apr_thread_mutex_t *lock;
    apr_uint32_t hurried; /* atomic */
    apr_time_t told;      /* the thread's: `begun` of the oldest told */

    /* Guarded by `lock`. */
    fw2_held *held;     /* `slots` of them */
    fw2_heap heap;      /* all that are taken and not busy, by `due` */
    int unused;         /* slots from here on were never taken */
    int first_free;     /* of those that were */
    int oldest, newest; /* of those taken now */
    int busy;           /* the thread's own meanwhile */
    int entering;       /* slots that are reserved, but not entered yet */
    apr_time_t batch;   /* when the latest batch is due */
    apr_time_t wakes;   /* when the thread looks at the heap at the latest: 0
                             while it is awake or about to be */
    int stopping;
    apr_time_t stop_by;
};

/* ------------------------------------------------------- slots, locked -- */

static int slot_reserve(fw2_closer *closer)
{
    int slot = closer->first_free;

    if (slot != FW2_NO_SLOT) {
        closer->first_free = closer->held[slot].newer;
    }
    else if (closer->unused < closer->slots) {
        slot = closer->unused++;
        closer->held[slot].turn = 0;
    }
    closer->entering += slot != FW2_NO_SLOT;
    return slot;
}

static void slot_enter(fw2_closer *closer, int slot)
{
    fw2_held *held = &closer->held[slot];

    held->newer = FW2_NO_SLOT;
    held->older = closer->newest;
    if (closer->newest != FW2_NO_SLOT) {
        closer->held[closer->newest].newer = slot;
    }
    else {
        closer->oldest = slot;
    }
    closer->newest = slot;
    closer->entering--;
    fw2_heap_add(&closer->heap, slot);
}

/* Free a slot; its socket, now out of anybody's reach, goes into `taken_out`
 * to be closed without the lock. */
static void slot_leave(fw2_closer *closer, int slot, fw2_held *taken_out)
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
    *taken_out = *held;
    held->fd = -1;
    held->turn++;
    held->newer = closer->first_free;
    closer->first_free = slot;
}

/* ---------------------------------------------------------- the ending -- */

static void unlist(const fw2_closer *closer, fw2_held *held)
{
    if (held->listed) {
        (void)epoll_ctl(closer->epoll, EPOLL_CTL_DEL, held->fd, NULL);
        held->listed = 0;
    }
}

static void finish(fw2_closer *closer, fw2_held *held, fw2_ending ending)
{
    fw2_ended ended;

    /* To close is not enough to take it out of the set: httpd may not have
     * closed the original yet, which is the same open file. */
    unlist(closer, held);
    fw2_held_close(held);
    ended.tag = held->tag;
    ended.ending = ending;
    ended.lingered = fw2_closer_now() - held->begun;
    ended.drained = held->drained;
    closer->observer.ended(closer->observer.context, &ended);
}

/* End the linger of the socket that is held longest. */
static int end_oldest(fw2_closer *closer, fw2_ending ending)
{
    fw2_held held;
    int slot;

    apr_thread_mutex_lock(closer->lock);
    slot = closer->oldest;
    if (slot != FW2_NO_SLOT && slot == closer->busy) {
        slot = closer->held[slot].newer;
    }
    /* Whoever comes while it stops is not taken, and so needs no room. */
    if (ending == FW2_EVICTED && closer->stopping) {
        slot = FW2_NO_SLOT;
    }
    if (slot != FW2_NO_SLOT) {
        slot_leave(closer, slot, &held);
    }
    apr_thread_mutex_unlock(closer->lock);
    if (slot == FW2_NO_SLOT) {
        return 0;
    }
    fw2_held_discard(&held);
    finish(closer, &held, ending);
    return 1;
}

/* ---------------------------------------------------------- the thread -- */

/* Have the set tell what happens to a socket; but not of a flood, which is
 * looked at when it is due, whatever happens. */
static void list(fw2_closer *closer, int slot, fw2_held *held, apr_time_t now)
{
    struct epoll_event event;

    if (held->paced) {
        unlist(closer, held);
    }
    if (held->paced || held->listed) {
        return;
    }
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.u64 = (apr_uint64_t)held->turn << 32 | (apr_uint32_t)slot;
    held->listed = !epoll_ctl(closer->epoll, EPOLL_CTL_ADD, held->fd, &event);
    if (!held->listed && held->due > now + WITHOUT_EPOLL) {
        held->due = now + WITHOUT_EPOLL;
    }
}

static void look_at(fw2_closer *closer, int slot, apr_uint32_t turn)
{
    fw2_held *held = &closer->held[slot], taken_out;
    apr_time_t now = fw2_closer_now();
    fw2_ending ending;

    apr_thread_mutex_lock(closer->lock);
    if (held->fd < 0 || held->turn != turn) {
        apr_thread_mutex_unlock(closer->lock);
        return;
    }
    closer->busy = slot;
    fw2_heap_remove(&closer->heap, slot); /* which others read `due` of */
    apr_thread_mutex_unlock(closer->lock);

    ending = fw2_held_look(held, now);
    if (ending == FW2_ENDINGS) {
        list(closer, slot, held, now);
    }

    apr_thread_mutex_lock(closer->lock);
    closer->busy = FW2_NO_SLOT;
    fw2_heap_add(&closer->heap, slot);
    if (ending != FW2_ENDINGS) {
        slot_leave(closer, slot, &taken_out);
    }
    apr_thread_mutex_unlock(closer->lock);
    if (ending != FW2_ENDINGS) {
        finish(closer, &taken_out, ending);
    }
}

/* The next slot to look at by now, and its turn; or FW2_NO_SLOT. */
static int next_due(fw2_closer *closer, apr_time_t now, apr_uint32_t *turn)
{
    int slot = FW2_NO_SLOT;

    apr_thread_mutex_lock(closer->lock);
    if (closer->heap.n) {
        int top = closer->heap.slots[0];

        if (closer->held[top].due <= now) {
            slot = top;
            *turn = closer->held[top].turn;
        }
    }
    apr_thread_mutex_unlock(closer->lock);
    return slot;
}

static void tell_oldest(fw2_closer *closer)
{
    apr_time_t begun;

    apr_thread_mutex_lock(closer->lock);
    begun =
        closer->oldest == FW2_NO_SLOT ? 0 : closer->held[closer->oldest].begun;
    apr_thread_mutex_unlock(closer->lock);
    if (begun != closer->told) {
        closer->told = begun;
        closer->observer.oldest(
            closer->observer.context,
            begun ? apr_time_now() - (fw2_closer_now() - begun) : 0);
    }
}

/* Milliseconds to sleep at most, -1 for until woken. From now on those who
 * need the thread earlier have to wake it. */
static int fall_asleep(fw2_closer *closer)
{
    apr_time_t now = fw2_closer_now(), until = APR_INT64_MAX;

    apr_thread_mutex_lock(closer->lock);
    if (closer->heap.n) {
        until = closer->held[closer->heap.slots[0]].due;
    }
    if (closer->stopping && closer->stop_by < until) {
        until = closer->stop_by;
    }
    closer->wakes = until;
    apr_thread_mutex_unlock(closer->lock);
    if (until == APR_INT64_MAX) {
        return -1;
    }
    if (until <= now) {
        return 0;
    }
    return until - now > 60000 * (apr_time_t)1000
               ? 60000
               : (int)((until - now + 999) / 1000);
}

/* Whether to end: the process stops, nobody is on the way in, and nothing is
 * held any more or the patience is over. */
static int is_over(fw2_closer *closer)
{
    int over;

    apr_thread_mutex_lock(closer->lock);
    closer->wakes = 0;
    over = closer->stopping && !closer->entering
           && (!closer->heap.n || apr_atomic_read32(&closer->hurried)
               || fw2_closer_now() >= closer->stop_by);
    apr_thread_mutex_unlock(closer->lock);
    return over;
}

static void handle(fw2_closer *closer, const struct epoll_event *event)
{
    /* The timer has woken the thread, which is all it is for. It need not be
     * read: edge-triggered, it reports each expiry once. */
    if (event->data.u64 != TIMER) {
        look_at(closer, (int)(apr_uint32_t)event->data.u64,
                (apr_uint32_t)(event->data.u64 >> 32));
    }
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *data)
{
    struct epoll_event events[EVENTS];
    fw2_closer *closer = data;
    int n, i, slot;
    apr_uint32_t turn;
    apr_time_t now;

    do {
        n = epoll_wait(closer->epoll, events, EVENTS, fall_asleep(closer));
        for (i = 0; i < n; i++) {
            handle(closer, &events[i]);
        }
        now = fw2_closer_now();
        while ((slot = next_due(closer, now, &turn)) != FW2_NO_SLOT) {
            look_at(closer, slot, turn);
        }
        tell_oldest(closer);
    } while (!is_over(closer));
    while (end_oldest(closer, FW2_STOPPED)) {
    }
    tell_oldest(closer);
    return NULL;
}

/* ------------------------------------------------------- start and stop -- */

int fw2_closer_auto_slots(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur < 4) {
        return 1;
    }
    return limit.rlim_cur / 2 > 65536 ? 65536 : (int)(limit.rlim_cur / 2);
}

int fw2_closer_slots(const fw2_closer *closer)
{
    return closer->slots;
}

static apr_status_t open_descriptors(fw2_closer *closer)
{
    struct epoll_event event;

    closer->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (closer->epoll < 0) {
        return errno;
    }
    closer->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (closer->timer < 0) {
        return errno;
    }
    event.events = EPOLLIN | EPOLLET;
    event.data.u64 = TIMER;
    return epoll_ctl(closer->epoll, EPOLL_CTL_ADD, closer->timer, &event)
               ? errno
               : APR_SUCCESS;
}

/* Make the descriptor table as large as it will become. */
static void grow_descriptors(const fw2_closer *closer)
{
    struct rlimit limit;
    int last = closer->slots + OTHERS, fd;

    if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur <= (rlim_t)last) {
        last = (int)limit.rlim_cur - 1;
    }
    fd = fcntl(closer->epoll, F_DUPFD_CLOEXEC, last);
    if (fd >= 0) {
        close(fd);
    }
}

static void close_descriptors(const fw2_closer *closer)
{
    if (closer->epoll >= 0) {
        close(closer->epoll);
    }
    if (closer->timer >= 0) {
        close(closer->timer);
    }
}

/* With all signals held back, as the thread is to have them always: httpd's
 * handlers are for httpd's own threads. */
static apr_status_t create_thread(fw2_closer *closer, apr_pool_t *pool)
{
    sigset_t all, before;
    apr_status_t rv;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rv = apr_thread_create(&closer->thread, NULL, run, closer, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rv;
}

static fw2_closer *allocate(int slots, const fw2_observer *observer,
                            apr_pool_t *pool)
{
    fw2_closer *closer = apr_pcalloc(pool, sizeof(*closer));
    apr_size_t n = (apr_size_t)slots;

    closer->epoll = closer->timer = -1;
    closer->slots = slots;
    closer->process = getpid();
    closer->observer = *observer;
    /* Not cleared: memory of slots that are never used is never touched. */
    closer->held = apr_palloc(pool, n * sizeof(*closer->held));
    closer->heap.held = closer->held;
    closer->heap.slots = apr_palloc(pool, n * sizeof(*closer->heap.slots));
    closer->first_free = closer->busy = FW2_NO_SLOT;
    closer->oldest = closer->newest = FW2_NO_SLOT;
    return closer;
}

apr_status_t fw2_closer_start(fw2_closer **closer, int slots,
                              const fw2_observer *observer, apr_pool_t *pool)
{
    fw2_closer *made = allocate(slots, observer, pool);
    apr_status_t rv;

    rv = apr_thread_mutex_create(&made->lock, APR_THREAD_MUTEX_DEFAULT, pool);
    if (rv == APR_SUCCESS) {
        rv = open_descriptors(made);
    }
    if (rv == APR_SUCCESS) {
        grow_descriptors(made);
        rv = create_thread(made, pool);
    }
    if (rv != APR_SUCCESS) {
        close_descriptors(made);
        return rv;
    }
    *closer = made;
    return APR_SUCCESS;
}

/* Have the thread woken at this time, and not at the one that was set before.
 * A plain system call, which cannot fail. */
static void set_timer(const fw2_closer *closer, apr_time_t when)
{
    struct itimerspec at;

    memset(&at, 0, sizeof(at));
    at.it_value.tv_sec = apr_time_sec(when);
    at.it_value.tv_nsec = apr_time_usec(when) * 1000;
    (void)timerfd_settime(closer->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

void fw2_closer_hurry(fw2_closer *closer)
{
    if (closer->process == getpid()) {
        apr_atomic_set32(&closer->hurried, 1);
        set_timer(closer, AT_ONCE);
    }
}

void fw2_closer_stop(fw2_closer *closer, apr_interval_time_t patience)
{
    apr_status_t rv;

    if (closer->process != getpid()) {
        return;
    }
    apr_thread_mutex_lock(closer->lock);
    closer->stopping = 1;
    closer->stop_by = fw2_closer_now() + patience;
    set_timer(closer, AT_ONCE);
    closer->wakes = 0; /* so that nobody puts that off */
    apr_thread_mutex_unlock(closer->lock);
    apr_thread_join(&rv, closer->thread);
    close_descriptors(closer);
}

/* ----------------------------------------------------------- handing over */

static void fill(fw2_held *held, int fd, const fw2_handover *handover)
{
    held->fd = fd;
    held->tag = handover->tag;
    held->policy = *handover->policy;
    held->once_acked = handover->once_acked;
    held->begun = held->heard = held->moved = fw2_closer_now();
    held->drained = 0;
    held->unacked = INT_MAX;
    held->until_acked = handover->until_acked != 0;
    held->listed = held->calmed = held->paced = held->abort = 0;
}

/* Put a slot that is filled into a batch, and see to it that the thread is
 * awake when that is due; with `lock`, under which it cannot stop: its
 * descriptors are there. */
static void await_look(fw2_closer *closer, int slot)
{
    fw2_held *held = &closer->held[slot];

    if (closer->batch <= held->begun) {
        closer->batch = held->begun + BATCH;
    }
    held->due = closer->batch;
    slot_enter(closer, slot);
    if (held->due < closer->wakes) {
        closer->wakes = held->due;
        set_timer(closer, held->due);
        /* Who is in a hurry does not wait for the lock, and may just have set
         * it to an earlier time. */
        if (apr_atomic_read32(&closer->hurried)) {
            set_timer(closer, AT_ONCE);
        }
    }
}

/* Put a descriptor into a slot; on failure it is the caller's still. */
static apr_status_t enter(fw2_closer *closer, int fd,
                          const fw2_handover *handover)
{
    int slot = FW2_NO_SLOT, stopping;

    apr_thread_mutex_lock(closer->lock);
    stopping = closer->stopping;
    if (!stopping) {
        slot = slot_reserve(closer);
    }
    apr_thread_mutex_unlock(closer->lock);
    if (slot == FW2_NO_SLOT) {
        return stopping ? APR_EOF : APR_ENOSPC;
    }
    closer->observer.taken(closer->observer.context, &handover->tag);
    apr_thread_mutex_lock(closer->lock);
    fill(&closer->held[slot], fd, handover);
    await_look(closer, slot);
    apr_thread_mutex_unlock(closer->lock);
    return APR_SUCCESS;
}

/* Duplicate, evicting while no descriptor is left: another thread may be
 * faster to use the one that was freed. */
static int duplicate(fw2_closer *closer, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    while (copy < 0 && (errno == EMFILE || errno == ENFILE)
           && end_oldest(closer, FW2_EVICTED)) {
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    }
    return copy;
}

static apr_status_t take(fw2_closer *closer, int fd,
                         const fw2_handover *handover)
{
    int copy = duplicate(closer, fd);
    apr_status_t rv;

    if (copy < 0) {
        return errno;
    }
    rv = enter(closer, copy, handover);
    while (rv == APR_ENOSPC && end_oldest(closer, FW2_EVICTED)) {
        rv = enter(closer, copy, handover);
    }
    if (rv != APR_SUCCESS) {
        close(copy);
    }
    return rv;
}

apr_status_t fw2_closer_take(fw2_closer *closer, int fd,
                             const fw2_handover *handover)
{
    sigset_t all, before;
    apr_status_t rv;

    if (closer->process != getpid()) {
        return APR_ENOTHREAD;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rv = take(closer, fd, handover);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rv;
}

#else /* !__linux__ */

int fw2_closer_auto_slots(void)
{
    return 1;
}

int fw2_closer_slots(const fw2_closer *closer)
{
    return 0;
}

apr_status_t fw2_closer_start(fw2_closer **closer, int slots,
                              const fw2_observer *observer, apr_pool_t *pool)
{
    return APR_ENOTIMPL;
}

apr_status_t fw2_closer_take(fw2_closer *closer, int fd,
                             const fw2_handover *handover)
{
    return APR_ENOTIMPL;
}

void fw2_closer_stop(fw2_closer *closer, apr_interval_time_t patience)
{
}

void fw2_closer_hurry(fw2_closer *closer)
{
}

#endif /* __linux__ */
