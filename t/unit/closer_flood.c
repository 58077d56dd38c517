/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The closer: clients that keep sending. From 1 MB on their bytes wake the closer
 * less often, and from 64 MB on the closer reads them at fixed times.
 */

#include <pthread.h>

#include "apr_atomic.h"

#include "closer_fixture.h"

#define FLOOD ((size_t)64 * MB) /* from here on a client is throttled */

/* --------------------------------------------------- coalesced wake-ups -- */

/* Hand off a client that sends until its bytes no longer wake the closer. */
static int coalesced(fw2_handoff handoff)
{
    int id = connected();

    hand_off_copy(id, handoff);
    client_sends(id, 2 * MB);
    AWAIT(socket_option(connections[id].server, SO_RCVLOWAT) > 1);
    AWAIT(!unacknowledged(connections[id].client));
    settle();
    original_closes(id);
    return id;
}

static void test_senders(void)
{
    apr_time_t until = fw2_clock_now() + AWAIT_LIMIT;
    int sender, uploader, idle;

    begin(8);
    idle = coalesced(lingering(600 * MSEC, 1100 * MSEC));
    client_sends(idle, 1000); /* too few to wake the closer */
    uploader = coalesced(lingering(1000 * MSEC, 1500 * MSEC));
    sender = handed_off(lingering(1000 * MSEC, 1500 * MSEC));
    do {
        client_sends(sender, 1);
        client_sends(uploader, 1);
        usleep(1000);
    } while (await_more(until, run_closer)
             && (!is_ended(sender) || !is_ended(uploader)));
    ends(sender, FW2_TOTAL, "a client that keeps sending");
    ends(uploader, FW2_TOTAL, "a client that keeps sending, coalesced");
    ends_after(idle, FW2_SILENCE, 2 * MB + 1000, "an idle client, coalesced");
    finish("senders");
}

static void test_coalesced_wakes(void)
{
    int id, before;

    begin(8);
    id = coalesced(lingering(NEVER, NEVER));
    before = calls.recvs;
    client_sends(id, 1000);
    AWAIT(!unacknowledged(connections[id].client));
    run_for(0);
    is_int(calls.recvs, before, "few bytes do not wake the closer");
    client_closes(id);
    ends_after(id, FW2_PEER_CLOSED, 2 * MB + 1000, "a FIN wakes the closer");
    id = coalesced(lingering(NEVER, NEVER));
    client_resets(id);
    ends(id, FW2_PEER_RESET, "a reset wakes the closer");
    finish("coalesced");
}

/* ----------------------------------------------------------------- floods -- */

/* A client that sends as fast as possible, in a thread of its own. */
typedef struct flood {
    int id;
    int fd;
    pthread_t thread;
    apr_uint64_t sent;
    apr_uint32_t stop; /* atomic */
} flood;

static void *send_flood(void *data)
{
    static const char bytes[64 * KB];
    flood *f = data;

    while (!apr_atomic_read32(&f->stop)) {
        ssize_t n =
            send(f->fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n > 0) {
            f->sent += (apr_uint64_t)n;
        }
        else if (errno == EAGAIN) {
            usleep(200);
        }
        else {
            break;
        }
    }
    return NULL;
}

static void start_flood(flood *f, fw2_handoff handoff)
{
    int buffer = 64 * KB;

    f->id = connected();
    f->fd = connections[f->id].client;
    f->sent = f->stop = 0;
    calls.asked = 0;
    setsockopt(f->fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    hand_off_copy(f->id, handoff);
    if (pthread_create(&f->thread, NULL, send_flood, f)) {
        bail("a thread");
    }
}

static void stop_flood(flood *f)
{
    apr_atomic_set32(&f->stop, 1);
    pthread_join(f->thread, NULL);
    client_closes(f->id);
    original_closes(f->id);
}

#define POLITE 40

static void hand_off_polite(const char *name)
{
    int ids[POLITE], i, n = 0;

    for (i = 0; i < POLITE; i++) {
        ids[i] =
            handed_off(i % 2 ? until_acked() : lingering(50 * MSEC, NEVER));
    }
    for (i = 0; i < POLITE; i++) {
        n += !strcmp(ending_of(ids[i]), i % 2 ? "acked" : "silence");
    }
    is_int(n, POLITE, name);
}

#define FLOODS 2

static void test_floods(void)
{
    flood floods[FLOODS];
    int i;

    begin(100);
    for (i = 0; i < FLOODS; i++) {
        start_flood(&floods[i], lingering(NEVER, NEVER));
    }
    hand_off_polite("a flood does not delay other clients");
    AWAIT(!in_epoll());
    is_int(in_epoll(), 0, "the epoll set has no flooding socket");
    for (i = 0; i < FLOODS; i++) {
        ok(socket_option(connections[floods[i].id].server, SO_RCVBUF) <= MB,
           "a flood's receive buffer is small");
    }
    hand_off_polite("a throttled flood does not delay other clients");
    for (i = 0; i < FLOODS; i++) {
        stop_flood(&floods[i]);
        ends_after(floods[i].id, FW2_PEER_CLOSED, (long long)floods[i].sent,
                   "a flood that closes");
    }
    finish("floods");
}

/* Wait until the only socket is throttled. */
static void await_throttled(void)
{
    AWAIT(calls.asked && calls.asked < MB);
    is_int(in_epoll(), 0, "the epoll set has no throttled socket");
}

/* Test that at most twice the throttled rate was drained, far less than the rate of
 * loopback. */
static void is_throttled(const flood *f, const char *name)
{
    const fw2_ended *how = &seen.of[f->id].how;
    double seconds = (double)how->lingered / 1e6;
    double most = (double)FLOOD + 2.0 * MB + 25.0 * MB * seconds;

    ok((double)how->drained <= most, "%s: %d MB in %d ms are a bounded number",
       name, (int)(how->drained / MB), (int)(how->lingered / MSEC));
}

static void test_flood_is_bounded(void)
{
    fw2_handoff handoff = lingering(NEVER, NEVER);
    flood f;

    begin(1);
    start_flood(&f, lingering(NEVER, 2000 * MSEC));
    ends(f.id, FW2_TOTAL, "a flood for its total time");
    is_throttled(&f, "a flood for its total time");
    stop_flood(&f);
    handoff.linger_bytes = (apr_int64_t)FLOOD + 4 * MB;
    start_flood(&f, handoff);
    ends_after(f.id, FW2_BYTES, (long long)FLOOD + 4 * MB + 1,
               "a flood of its bytes");
    is_throttled(&f, "a flood of its bytes");
    stop_flood(&f);
    finish("bounded floods");
}

static void test_flood_is_ended(void)
{
    flood f;
    int id;

    begin(1);
    start_flood(&f, lingering(NEVER, NEVER));
    await_throttled();
    id = handed_off(lingering(NEVER, NEVER));
    ends(f.id, FW2_EVICTED, "a flood whose slot is needed");
    stop_flood(&f);
    client_closes(id);
    ends(id, FW2_PEER_CLOSED, "the socket in its slot is not throttled");
    start_flood(&f, lingering(NEVER, NEVER));
    await_throttled();
    is_int(end_oldest(FW2_STOPPED), 1, "a flood is ended");
    ends(f.id, FW2_STOPPED, "a flood that is ended");
    stop_flood(&f);
    finish("ended floods");
}

/* ---------------------------------------------------------- after a flood -- */

/* Hand off a client that has sent a flood, and now sends nothing; its original
 * stays open. */
static int flooded(fw2_handoff handoff)
{
    int id = connected();

    calls.asked = 0;
    hand_off_copy(id, handoff);
    client_sends(id, FLOOD + 3 * MB);
    await_throttled();
    AWAIT(!unacknowledged(connections[id].client)
          && !unread(connections[id].server));
    return id;
}

static void test_after_a_flood(void)
{
    fw2_handoff handoff = lingering(NEVER, NEVER);
    long sent;
    int id;

    begin(4);
    id = flooded(lingering(1500 * MSEC, NEVER));
    client_sends(id, 400000); /* more than is read at once */
    usleep(2000 * 1000);      /* for that long the client is idle */
    ends_after(id, FW2_SILENCE, (long long)FLOOD + 3 * MB + 400000,
               "a flood, then idle: all is read before the linger ends");
    id = flooded(handoff);
    client_resets(id);
    ends(id, FW2_PEER_RESET, "a flood, then a reset");
    handoff.user_timeout = 1000 * MSEC;
    id = zero_window(&sent);
    hand_off(id, handoff);
    client_sends(id, FLOOD + 3 * MB);
    ends(id, FW2_SILENCE, "a flood that acknowledges nothing");
    is_int(client_reads(id), -ECONNRESET, "the client is reset");
    is_int(in_epoll(), 0, "the epoll set is empty");
    finish("after floods");
}

int main(void)
{
    begin_program();
    test_senders();
    test_coalesced_wakes();
    test_floods();
    test_flood_is_bounded();
    test_flood_is_ended();
    test_after_a_flood();
    return end_program();
}
