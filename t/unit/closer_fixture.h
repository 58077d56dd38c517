/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CLOSER_FIXTURE_H
#define FW2_CLOSER_FIXTURE_H

/*
 * The common part of the closer's tests: one closer, connections to hand off
 * to it, an observer that rejects wrong reports, and wrappers of the closer's
 * system calls. The thread of the test is also the closer's thread: AWAIT() runs
 * the closer until a condition is true.
 */

#include <fcntl.h>
#include <limits.h>

#include <sys/epoll.h>

#include "apr_general.h"

#include "closing/closer_impl.h"
#include "kernel.h"

/** A time longer than any test. */
#define NEVER (60000 * MSEC)

/** The most sockets, and slots, of one closer. */
#define IDS 4096

static apr_pool_t *pool;
static fw2_closer *closer;

/** True while the closer runs: it must not be called again. */
static int closer_runs;

/* ------------------------------------------------------------- observer -- */

/** The history of one socket, whose number is its tag's `vhost`. */
typedef struct observed {
    int fd; /**< the closer's */
    int accepted;
    int held;
    int ended;
    int slot; /**< where it was held last */
    fw2_ended how;
} observed;

static struct {
    observed of[IDS];
    int order[IDS]; /**< the sockets' numbers, as they ended */
    int ended;      /**< how many of them there are */
    int held;       /**< now */
    int in_slot
        [IDS]; /**< the socket held in each slot: its number plus 1, or 0 */
    int slots;
    int wrong; /**< wrong reports and calls */
} seen;

static int next_id;

/** Note a fault of the closer, unless a condition is met. */
#define INSIST(condition)                                                      \
    do {                                                                       \
        if (!(condition)) {                                                    \
            printf("# wrong: not met: %s\n", #condition);                      \
            fflush(stdout);                                                    \
            seen.wrong++;                                                      \
        }                                                                      \
    } while (0)

/** Return a socket's tag: each report must have the same fields. */
static fw2_tag tag_of(int id)
{
    fw2_tag tag;

    tag.vhost = (apr_uint32_t)id;
    tag.cause = ~(apr_uint32_t)id;
    tag.net = 1000003 * (apr_uint64_t)id;
    return tag;
}

/** Return the history of the socket that a report is about, or NULL. */
static observed *observed_of(const fw2_tag *tag)
{
    int id = (int)tag->vhost;
    fw2_tag expected = tag_of(id);
    int known = id >= 0 && id < next_id && tag->cause == expected.cause
                && tag->net == expected.net;

    INSIST(known);
    return known ? &seen.of[id] : NULL;
}

static void on_held(void *context, const fw2_tag *tag, int slot)
{
    observed *o = observed_of(tag);

    INSIST(context == &seen);
    INSIST(closer_runs);
    INSIST(slot >= 0 && slot < seen.slots && !seen.in_slot[slot]);
    if (!o || slot < 0 || slot >= seen.slots) {
        return;
    }
    INSIST(o->accepted == 1 && !o->held && !o->ended);
    o->held = 1;
    o->slot = slot;
    seen.in_slot[slot] = (int)tag->vhost + 1;
    seen.held++;
}

/** Insist that the report of an ending has the slot of the held socket. */
static void check_slot(const observed *o, const fw2_ended *ended)
{
    if (!o->held) {
        INSIST(ended->slot == FW2_NO_SLOT);
        return;
    }
    INSIST(ended->slot == o->slot);
    INSIST(seen.in_slot[o->slot] == (int)ended->tag.vhost + 1);
    seen.in_slot[o->slot] = 0;
    seen.held--;
}

static void on_ended(void *context, const fw2_ended *ended)
{
    observed *o = observed_of(&ended->tag);

    INSIST(context == &seen);
    INSIST(closer_runs);
    INSIST((unsigned int)ended->ending < FW2_ENDINGS);
    INSIST(ended->lingered >= 0);
    if (!o) {
        return;
    }
    INSIST(o->accepted == 1 && !o->ended);
    INSIST(fcntl(o->fd, F_GETFD) < 0 && errno == EBADF);
    check_slot(o, ended);
    o->ended++;
    o->how = *ended;
    seen.order[seen.ended++] = (int)ended->tag.vhost;
}

/* ------------------------------------------ between closer and kernel ----- */

static struct {
    int recvs;  /**< reads of sockets that were checked */
    int asked;  /**< how many bytes the last one asked for */
    int copies; /**< reads that copied bytes instead of discarding them */
    int epoll;  /**< the closer's epoll descriptor; 0: not seen yet */
    apr_uint64_t data; /**< of the last descriptor that was added to it */
    int timeout;       /**< of the last epoll_pwait(), in milliseconds */
    int events;        /**< how many that one returned */
    int replay;        /**< true: return one event, with `data`, at once */
} calls;

/** Work to do once, after a read that found nothing and before the closer does
 *  anything else. */
static void (*after_recv)(void);

/* A sanitizer's recv() would treat NULL as a buffer. */
ssize_t recv(int fd, void *bytes, size_t len, int flags)
{
    /* A read of INT_MAX bytes is the last one before an early close. */
    int checks = flags & MSG_TRUNC && len != INT_MAX;
    void (*work)(void) = after_recv;
    ssize_t got = syscall(SYS_recvfrom, fd, bytes, len, flags, NULL, NULL);
    int error = errno;

    if (flags & MSG_TRUNC && bytes) {
        calls.copies++;
    }
    if (checks) {
        calls.recvs++;
        calls.asked = (int)len;
    }
    if (checks && got < 0 && work) {
        after_recv = NULL;
        work();
    }
    errno = error;
    return got;
}

/* Insist that only descriptors in the set are deleted from it. */
int epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
    int rv = (int)syscall(SYS_epoll_ctl, epoll, what, fd, event);

    INSIST(!rv || what != EPOLL_CTL_DEL);
    calls.epoll = epoll;
    if (!rv && what == EPOLL_CTL_ADD) {
        calls.data = event->data.u64;
    }
    return rv;
}

int epoll_pwait(int epoll, struct epoll_event *events, int most, int timeout,
                const sigset_t *mask)
{
    calls.timeout = timeout;
    if (calls.replay) {
        calls.replay = 0;
        events->events = EPOLLIN;
        events->data.u64 = calls.data;
        return calls.events = 1;
    }
    calls.events =
        (int)syscall(SYS_epoll_pwait, epoll, events, most, timeout, mask, 8);
    return calls.events;
}

/** Count the sockets in the epoll set. */
static int in_epoll(void)
{
    char line[256];
    unsigned long long data;
    int n = 0;
    FILE *info;

    snprintf(line, sizeof(line), "/proc/self/fdinfo/%d", calls.epoll);
    info = fopen(line, "r");
    while (info && fgets(line, sizeof(line), info)) {
        /* The number of the watched descriptor is above those of sockets. */
        n += sscanf(line, "tfd: %*d events: %*x data: %llx", &data) == 1
             && data < ~0ULL << 32;
    }
    if (info) {
        fclose(info);
    }
    return n;
}

/* --------------------------------------------------------------- closer -- */

static apr_pool_t *closer_pool;
static int descriptors_before;
static int limit; /* sockets held at most */

static apr_status_t try_begin(int slots)
{
    static const fw2_observer observer = { &seen, on_held, on_ended };

    memset(&seen, 0, sizeof(seen));
    memset(&calls, 0, sizeof(calls));
    seen.slots = limit = slots;
    next_id = 0;
    descriptors_before = count_descriptors();
    apr_pool_create(&closer_pool, pool);
    return fw2_closer_create(&closer, slots, &observer, closer_pool);
}

/** Begin a test, with a new closer. */
static void begin(int slots)
{
    if (try_begin(slots) != APR_SUCCESS) {
        bail("a closer");
    }
}

/** Insist that the closer's count is the observer's. */
static void check_count(void)
{
    INSIST(fw2_closer_count(closer) == seen.held);
    INSIST(fw2_closer_count(closer) <= limit);
    INSIST(!fw2_closer_oldest(closer) == !seen.held);
}

/** Run the closer until an event, or for this time. True if the watched
 *  descriptor is ready. */
static int run_for(apr_interval_time_t time)
{
    int ready;

    closer_runs = 1;
    ready = fw2_closer_wait(closer, fw2_clock_now() + time, NULL);
    closer_runs = 0;
    check_count();
    return ready;
}

/** Run the closer until it is idle. */
TAP_UNUSED static void settle(void)
{
    int before;

    do {
        before = calls.recvs;
        run_for(0);
    } while (calls.events || calls.recvs != before);
}

/** Run the closer for a moment; or sleep, if the closer is the caller. */
static void run_closer(void)
{
    if (closer && !closer_runs) {
        run_for(1 * MSEC);
    }
    else {
        usleep(1000);
    }
}

TAP_UNUSED static int end_oldest(fw2_ending ending)
{
    int any;

    closer_runs = 1;
    any = fw2_closer_end_oldest(closer, ending);
    closer_runs = 0;
    check_count();
    return any;
}

TAP_UNUSED static void set_limit(int most, int expected)
{
    limit = expected;
    closer_runs = 1;
    fw2_closer_limit(closer, most);
    closer_runs = 0;
    check_count();
}

/* -------------------------------------------------------------- sockets -- */

static connection connections[IDS];
static int listener;

static int connected(void)
{
    connections[next_id] = connect_to(listener, 0);
    return next_id++;
}

/** Connect a client that does not read, and fill its window, so that no FIN
 *  reaches it. */
TAP_UNUSED static int zero_window(long *sent)
{
    int buffer = 256 * KB, id = next_id++;
    connection *c = &connections[id];

    *c = connect_to(listener, 4 * KB);
    setsockopt(c->server, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    *sent = fill_buffers(c->server);
    if (*sent < 100000) {
        bail("too few bytes sent");
    }
    return id;
}

static void client_closes(int id)
{
    close_end(&connections[id].client);
}

TAP_UNUSED static void client_resets(int id)
{
    reset_end(&connections[id].client);
}

TAP_UNUSED static void client_sends(int id, size_t n)
{
    send_bytes(connections[id].client, n);
}

TAP_UNUSED static long client_reads(int id)
{
    return read_to_end(connections[id].client);
}

/** Close httpd's own descriptor, as its MPM does after the handoff. */
static void original_closes(int id)
{
    close_end(&connections[id].server);
}

/* -------------------------------------------------------------- handoff -- */

/** Return a handoff with these times and without bounds. */
static fw2_handoff lingering(apr_interval_time_t idle,
                             apr_interval_time_t total)
{
    fw2_handoff handoff;

    memset(&handoff, 0, sizeof(handoff));
    handoff.linger_idle = idle;
    handoff.linger_total = total;
    handoff.linger_bytes = FW2_BYTES_UNLIMITED;
    handoff.user_timeout = FW2_USER_TIMEOUT_SYSTEM;
    return handoff;
}

/** Return a handoff that ends when all data is acknowledged. */
TAP_UNUSED static fw2_handoff until_acked(void)
{
    fw2_handoff handoff = lingering(NEVER, NEVER);

    handoff.until = FW2_UNTIL_ACKED;
    return handoff;
}

/** Send our FIN and have a duplicate accepted, as SCM_RIGHTS makes one. */
TAP_UNUSED static void hand_off_begun(int id, fw2_handoff handoff,
                                      apr_time_t begun)
{
    observed *o = &seen.of[id];
    int fd = -1;

    shutdown(connections[id].server, SHUT_WR);
    fd = dup(connections[id].server);
    if (fd < 0) {
        bail("a duplicate");
    }
    handoff.tag = tag_of(id);
    handoff.begun = begun;
    o->fd = fd;
    o->accepted++;
    closer_runs = 1;
    fw2_closer_accept(closer, fd, &handoff);
    closer_runs = 0;
    check_count();
}

static void hand_off_copy(int id, fw2_handoff handoff)
{
    hand_off_begun(id, handoff, fw2_clock_now());
}

static void hand_off(int id, fw2_handoff handoff)
{
    hand_off_copy(id, handoff);
    original_closes(id);
}

/** Connect a client, and hand the connection off immediately. */
static int handed_off(fw2_handoff handoff)
{
    int id = connected();

    hand_off(id, handoff);
    return id;
}

TAP_UNUSED static void hand_off_many(fw2_handoff handoff, int n)
{
    while (n-- > 0) {
        handed_off(handoff);
    }
}

/* --------------------------------------------------------------- endings -- */

static int is_ended(int id)
{
    return seen.of[id].ended;
}

static const char *ending_of(int id)
{
    AWAIT(is_ended(id));
    return is_ended(id) ? fw2_endings[seen.of[id].how.ending].name : "none";
}

/** Test the ending of a linger. */
static void ends(int id, fw2_ending ending, const char *name)
{
    is_str(ending_of(id), fw2_endings[ending].name, name);
}

/** Test the ending of a linger, and its number of drained bytes. */
TAP_UNUSED static void ends_after(int id, fw2_ending ending, long long drained,
                                  const char *name)
{
    ends(id, ending, name);
    is_int((long long)seen.of[id].how.drained, drained,
           "the drained bytes are counted");
}

/** Test that a linger ended while the socket was accepted. */
TAP_UNUSED static void ended_at_once(int id, fw2_ending ending,
                                     const char *name)
{
    int at_once = is_ended(id) && seen.of[id].how.slot == FW2_NO_SLOT
                  && !seen.of[id].held;

    ok(at_once, "%s: the socket needs no slot", name);
    ends(id, ending, name);
}

TAP_UNUSED static int count_ended_by(fw2_ending ending)
{
    int i, n = 0;

    for (i = 0; i < next_id; i++) {
        n += seen.of[i].ended && seen.of[i].how.ending == ending;
    }
    return n;
}

/* ------------------------------------------------------------ test's end -- */

/** End a test's lingers, its connections and its closer. */
static void end_all(void)
{
    int i;

    while (end_oldest(FW2_STOPPED)) {
    }
    for (i = 0; i < next_id; i++) {
        INSIST(seen.of[i].ended == seen.of[i].accepted);
        reset_end(&connections[i].client);
        reset_end(&connections[i].server);
    }
    INSIST(!seen.held && !in_epoll());
    apr_pool_destroy(closer_pool);
    closer = NULL;
}

/** End a test; test that there was no fault and that no descriptor is left. */
static void finish(const char *name)
{
    end_all();
    ok(!seen.wrong, "%s: each socket is reported correctly and once", name);
    ok(!awaited_in_vain, "%s: every awaited condition came true", name);
    ok(!calls.copies, "%s: drained bytes are not copied", name);
    is_int(count_descriptors(), descriptors_before, "no descriptor is left");
    awaited_in_vain = 0;
}

/** End a test in a child process. */
TAP_UNUSED static const char *finish_in_child(void)
{
    end_all();
    NEED(!seen.wrong);
    NEED(!awaited_in_vain);
    NEED(!calls.copies);
    NEED(count_descriptors() == descriptors_before);
    return FINE;
}

/** Prepare a test program; call end_program() at its end. */
static void begin_program(void)
{
    struct rlimit descriptors;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    alarm(240); /* ends a test that hangs */
    getrlimit(RLIMIT_NOFILE, &descriptors);
    limit_descriptors(descriptors.rlim_max < 20000 ? (int)descriptors.rlim_max
                                                   : 20000);
    listener = listen_on_loopback();
    await_step = run_closer;
}

static int end_program(void)
{
    close(listener);
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}

#endif /* FW2_CLOSER_FIXTURE_H */
