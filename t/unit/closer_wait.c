/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The closer: its sleep and its wake-ups, and its work without descriptors or
 * without space in the epoll set.
 */

#include <signal.h>

#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "closer_fixture.h"

/* -------------------------------------------------- watched descriptor -- */

static int new_eventfd(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0) {
        bail("an eventfd");
    }
    return fd;
}

static void ring(int fd)
{
    static const apr_uint64_t one = 1;

    if (write(fd, &one, sizeof(one)) != (ssize_t)sizeof(one)) {
        bail("an eventfd");
    }
}

static void watch(int fd)
{
    apr_status_t rv = fw2_closer_watch(closer, fd);

    ok(rv == APR_SUCCESS, "a descriptor is watched: %d", rv);
}

static void test_watch(void)
{
    int fd;

    begin(4);
    fd = new_eventfd();
    watch(fd);
    is_int(run_for(0), 0, "the descriptor is not ready");
    ring(fd);
    is_int(run_for(AWAIT_LIMIT), 1, "the descriptor is ready");
    is_int(run_for(0), 0, "a descriptor is reported once");
    ring(fd);
    is_int(run_for(0), 0, "more input does not report a descriptor again");
    watch(fd);
    is_int(run_for(AWAIT_LIMIT), 1,
           "a descriptor that is watched again is still ready");
    close(fd);
    finish("a watched descriptor");
}

/* A queue is also ready for reading when its last sender has closed. */
static void test_watch_hangup(void)
{
    int ends_[2], pair[2], file;

    begin(4);
    if (pipe(ends_) || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair)) {
        bail("a pipe and a socket pair");
    }
    watch(ends_[0]);
    is_int(run_for(0), 0, "a pipe with a writer is not ready");
    close(ends_[1]);
    is_int(run_for(AWAIT_LIMIT), 1, "a pipe without a writer is ready");
    watch(pair[0]);
    is_int(run_for(0), 0, "a socket with a sender is not ready");
    close(pair[1]);
    is_int(run_for(AWAIT_LIMIT), 1, "a socket without a sender is ready");
    file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    is_int(fw2_closer_watch(closer, file), EPERM, "a file has no events");
    close(file);
    is_int(fw2_closer_watch(closer, file), EBADF,
           "a closed descriptor is refused");
    close(ends_[0]);
    close(pair[0]);
    finish("hang-ups");
}

/* There are more events than the closer fetches at once. */
static void test_watch_beside_sockets(void)
{
    int ready = 0;
    int fd, i;

    begin(200);
    fd = new_eventfd();
    hand_off_many(lingering(NEVER, NEVER), 200);
    settle();
    watch(fd);
    for (i = 0; i < 200; i++) {
        client_closes(i);
    }
    ring(fd);
    AWAIT_ASLEEP((ready |= run_for(0), count_ended_by(FW2_PEER_CLOSED) == 200));
    AWAIT_ASLEEP((ready |= run_for(0), ready));
    is_int(ready, 1, "a descriptor is ready beside many sockets");
    is_int(count_ended_by(FW2_PEER_CLOSED), 200, "all sockets are checked");
    close(fd);
    finish("a descriptor beside many sockets");
}

/* ---------------------------------------------------------------- sleeping -- */

/* Hand off a socket, and wait until the client has acknowledged our FIN and the
 * closer has handled that. */
static int held_acked(fw2_handoff handoff)
{
    int id = connected();

    hand_off_copy(id, handoff);
    AWAIT_ASLEEP(!unacknowledged(connections[id].server));
    original_closes(id);
    settle();
    return id;
}

static void test_until(void)
{
    apr_time_t until;
    int bell;

    begin(4);
    bell = new_eventfd();
    fw2_closer_wait(closer, fw2_clock_now() - 1, NULL);
    is_int(calls.timeout, 0, "the closer does not sleep until a past time");
    until = fw2_clock_now() + 30 * MSEC;
    is_int(fw2_closer_wait(closer, until, NULL), 0, "nothing is ready");
    ok(fw2_clock_now() >= until, "the closer sleeps until a time");
    watch(bell);
    ring(bell); /* the sleep ends at once */
    fw2_closer_wait(closer, fw2_clock_now() + NEVER * 1000000, NULL);
    ok(calls.timeout > 0 && calls.timeout <= 60000,
       "the sleep until a far future is limited: %d ms", calls.timeout);
    held_acked(lingering(NEVER, NEVER));
    until = fw2_clock_now() + 30 * MSEC;
    is_int(fw2_closer_wait(closer, until, NULL), 0, "no descriptor is ready");
    ok(fw2_clock_now() >= until, "a socket does not shorten the sleep");
    close(bell);
    finish("sleeping until a time");
}

/* Sleep without an end, until a timer that is watched expires; true if that
 * ended the sleep, and not a tick. */
static int timer_is_first(int timer)
{
    struct itimerspec at = { { 0, 0 }, { 0, 300 * 1000 * 1000 } };
    int ready;

    if (timerfd_settime(timer, 0, &at, NULL)
        || fw2_closer_watch(closer, timer)) {
        bail("a timer");
    }
    settle();
    closer_runs = 1;
    ready = fw2_closer_wait(closer, 0, NULL);
    closer_runs = 0;
    return ready;
}

static void test_no_ticks(void)
{
    int id, timer;
    long sent;

    begin(8);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    ok(timer_is_first(timer), "no tick before the first socket");
    is_int(calls.timeout, -1, "the sleep has no end");
    id = handed_off(lingering(NEVER, NEVER));
    client_closes(id);
    ends(id, FW2_PEER_CLOSED, "a socket came and went");
    ok(timer_is_first(timer), "no tick after the last socket");
    is_int(calls.timeout, -1, "the sleep has no end again");
    held_acked(lingering(NEVER, NEVER));
    id = zero_window(&sent);
    hand_off(id, until_acked());
    ok(timer_is_first(timer), "no tick while nothing happens to sockets");
    close(timer);
    finish("no ticks");
}

static void test_wakes_when_due(void)
{
    int id;

    begin(4);
    held_acked(lingering(NEVER, NEVER));
    id = held_acked(lingering(200 * MSEC, NEVER));
    closer_runs = 1;
    if (!is_ended(id)) {
        fw2_closer_wait(closer, 0, NULL);
    }
    closer_runs = 0;
    ok(is_ended(id), "a due socket ends the sleep");
    ends(id, FW2_SILENCE, "a due socket");
    finish("one wake-up for a time");
}

/* ----------------------------------------------------------------- signals -- */

static volatile sig_atomic_t handled;

static void on_signal(int number)
{
    handled += number == SIGUSR1;
}

static void test_signals(void)
{
    sigset_t blocked, unblocked;
    int id;

    begin(4);
    id = held_acked(lingering(NEVER, NEVER));
    signal(SIGUSR1, on_signal);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, &unblocked);
    raise(SIGUSR1);
    run_for(5 * MSEC);
    is_int(handled, 0, "a blocked signal stays blocked");
    closer_runs = 1;
    is_int(fw2_closer_wait(closer, 0, &unblocked), 0,
           "an unblocked signal ends the sleep");
    closer_runs = 0;
    AWAIT_ASLEEP(handled); /* a sanitizer delays it to the next libc call */
    is_int(handled, 1, "the signal is handled while the closer sleeps");
    client_closes(id);
    ends(id, FW2_PEER_CLOSED, "the closer works after a signal");
    sigprocmask(SIG_UNBLOCK, &blocked, NULL);
    signal(SIGUSR1, SIG_DFL);
    finish("signals");
}

/* ---------------------------------------------------------------- refusals -- */

static const char *create_without_descriptors(void)
{
    fw2_closer *untouched = closer = (fw2_closer *)&seen;
    int before = refuse_descriptors();

    NEED(try_begin(8) == EMFILE);
    NEED(closer == untouched);
    limit_descriptors(before);
    apr_pool_destroy(closer_pool);
    begin(8);
    NEED(!strcmp(ending_of(handed_off(until_acked())), "acked"));
    return finish_in_child();
}

static const char *create_refused(void)
{
    static const syscall_rule rule = { SYS_epoll_create1, 0, EPOLL_CLOEXEC,
                                       ENOSYS };
    fw2_closer *untouched = closer = (fw2_closer *)&seen;

    confine(&rule, 1);
    NEED(try_begin(8) == ENOSYS);
    NEED(closer == untouched);
    apr_pool_destroy(closer_pool);
    NEED(count_descriptors() == descriptors_before);
    return FINE;
}

/* The closer needs no descriptor but the sockets. */
static const char *accept_without_descriptors(void)
{
    int first, second, third, before, fd;

    begin(2);
    first = handed_off(lingering(NEVER, NEVER));
    second = handed_off(lingering(NEVER, NEVER));
    third = connected();
    fd = dup(connections[third].server);
    close(fd);
    before = limit_descriptors(fd + 1); /* one more duplicate */
    hand_off_copy(third, lingering(NEVER, NEVER));
    NEED(!strcmp(ending_of(first), "evicted"));
    client_closes(second);
    client_closes(third);
    NEED(!strcmp(ending_of(second), "peer_closed"));
    NEED(!strcmp(ending_of(third), "peer_closed"));
    limit_descriptors(before);
    return finish_in_child();
}

static const char *without_epoll(void)
{
    static const syscall_rule rule = { SYS_epoll_ctl, 1, EPOLL_CTL_ADD,
                                       ENOSPC };
    fw2_handoff handoff = lingering(20 * MSEC, NEVER);
    int id, behind_window;
    long sent;

    begin(8);
    handed_off(lingering(NEVER, NEVER)); /* in the epoll set, and never due */
    confine(&rule, 1);
    NEED(fw2_closer_watch(closer, listener) == ENOSPC);
    id = handed_off(lingering(NEVER, NEVER));
    behind_window = zero_window(&sent);
    handoff.until = FW2_UNTIL_ACKED;
    hand_off(behind_window, handoff); /* it is not idle yet */
    NEED(!strcmp(ending_of(handed_off(until_acked())), "acked"));
    NEED(in_epoll() == 1);
    NEED(!strcmp(ending_of(handed_off(lingering(100 * MSEC, NEVER))),
                 "silence"));
    NEED(!is_ended(id) && !is_ended(behind_window));
    NEED(client_reads(behind_window) == sent);
    NEED(!strcmp(ending_of(behind_window), "acked"));
    client_sends(id, 10);
    client_closes(id);
    NEED(!strcmp(ending_of(id), "peer_closed"));
    NEED(seen.of[id].how.drained == 10);
    handed_off(lingering(NEVER, NEVER));
    return finish_in_child();
}

static void test_refusals(void)
{
    in_child(create_without_descriptors, "a closer without a descriptor");
    in_child(create_refused, "a closer without epoll");
    in_child(accept_without_descriptors, "sockets without free descriptors");
    in_child(without_epoll, "sockets without space in the epoll set");
}

int main(void)
{
    begin_program();
    test_refusals();
    test_watch();
    test_watch_hangup();
    test_watch_beside_sockets();
    test_until();
    test_no_ticks();
    test_wakes_when_due();
    test_signals();
    return end_program();
}
