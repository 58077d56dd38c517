/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The closer: the ending of each linger, by the behaviour of the client. Tests
 * wait for states instead of times: a time that must pass is short, and one
 * that must not pass is a minute.
 */

#include "clock.h"
#include "closer_fixture.h"

/* ------------------------------------------------------- clients that end -- */

static void test_client_ended_before(void)
{
    int id;

    begin(8);
    id = connected();
    client_closes(id);
    await_input(connections[id].server);
    hand_off(id, lingering(NEVER, NEVER));
    ended_at_once(id, FW2_PEER_CLOSED, "a client that has closed before");
    is_int(calls.recvs, 1, "one read finds that a client has closed before");
    id = connected();
    client_resets(id);
    await_input(connections[id].server);
    hand_off(id, lingering(NEVER, NEVER));
    ended_at_once(id, FW2_PEER_RESET, "a client that has reset before");
    id = connected();
    client_sends(id, 50000);
    client_closes(id);
    AWAIT(unread(connections[id].server) == 50000);
    hand_off(id, lingering(NEVER, NEVER));
    ends_after(id, FW2_PEER_CLOSED, 50000,
               "a client that has sent and closed before");
    finish("ended before the handoff");
}

static void test_client_ends(void)
{
    int id;

    begin(8);
    id = handed_off(lingering(NEVER, NEVER));
    is_int(in_epoll(), 1, "a socket is held in the epoll set");
    ok(seen.of[id].held, "the observer knows that a socket is held");
    client_closes(id);
    ends(id, FW2_PEER_CLOSED, "a client that closes");
    id = handed_off(lingering(NEVER, NEVER));
    client_resets(id);
    ends(id, FW2_PEER_RESET, "a client that resets");
    id = handed_off(lingering(NEVER, NEVER));
    client_sends(id, 100000);
    client_closes(id);
    /* The client closes by a FIN, because it has read everything but our FIN. */
    ends_after(id, FW2_PEER_CLOSED, 100000, "a client that sends and closes");
    is_int(in_epoll(), 0, "the epoll set is empty again");
    finish("closed and reset");
}

/* ------------------------------------------------------- acknowledgements -- */

static void test_acked(void)
{
    long sent;
    int id;

    begin(8);
    id = handed_off(until_acked());
    ends_after(id, FW2_ACKED, 0, "a client that has acknowledged all data");
    is_int(client_reads(id), 0, "the client has received the FIN");
    id = connected();
    shutdown(connections[id].server, SHUT_WR);
    AWAIT(!unacknowledged(connections[id].server));
    hand_off(id, until_acked());
    ended_at_once(id, FW2_ACKED, "all data acknowledged before the handoff");
    id = zero_window(&sent);
    hand_off(id, until_acked());
    run_for(0);
    ok(!is_ended(id), "the linger goes on until all data is acknowledged");
    is_int(client_reads(id), sent, "the client reads all data");
    ends_after(id, FW2_ACKED, 0, "the last acknowledgement ends the linger");
    finish("acknowledged");
}

static void test_acked_but_sending(void)
{
    long sent;
    int id;

    begin(8);
    id = connected();
    client_sends(id, 5);
    await_input(connections[id].server);
    hand_off(id, until_acked());
    AWAIT(seen.of[id].held);
    ok(!is_ended(id), "a client that has sent something may send more");
    client_sends(id, 7);
    client_closes(id);
    ends_after(id, FW2_PEER_CLOSED, 12, "a client that sends more, and closes");
    id = zero_window(&sent);
    hand_off(id, until_acked());
    client_sends(id, 5);
    is_int(client_reads(id), sent, "a client that sends reads all data");
    client_closes(id);
    ends_after(id, FW2_PEER_CLOSED, 5,
               "a client that sends, reads all and closes");
    finish("acknowledged by clients that send");
}

/* Set the stopped clock forward, by less than a second. */
static void forward(long milliseconds)
{
    stopped.tv_nsec += milliseconds * 1000000;
    if (stopped.tv_nsec >= 1000000000) {
        stopped.tv_nsec -= 1000000000;
        stopped.tv_sec++;
    }
    run_for(0);
}

/* Hand off a connection whose client may answer our FIN, and wait for the
 * acknowledgement of the FIN while the clock is stopped. */
static int acknowledged_in_no_time(void)
{
    fw2_handoff handoff = until_acked();
    int id = connected();

    clock_gettime(CLOCK_MONOTONIC, &stopped);
    handoff.until = FW2_UNTIL_ANSWERED;
    hand_off_copy(id, handoff);
    AWAIT(!unacknowledged(connections[id].server));
    run_for(0);
    return id;
}

static void test_answered(void)
{
    int id;

    begin(8);
    id = acknowledged_in_no_time();
    forward(199);
    ok(!is_ended(id), "a client that has acknowledged all data may answer");
    forward(999);
    ends(id, FW2_ACKED, "a client that does not answer");
    original_closes(id);
    stopped.tv_sec = 0;
    id = acknowledged_in_no_time();
    forward(199);
    client_sends(id, 31);
    client_closes(id);
    await_input(connections[id].server);
    stopped.tv_sec = 0;
    ends_after(id, FW2_PEER_CLOSED, 31, "a client that answers late");
    original_closes(id);
    finish("answered");
}

static int interrupted;

/* Between a read that finds nothing and the check of the send queue, the client
 * acknowledges all data and sends one byte. */
static void acknowledge_and_send(void)
{
    AWAIT(client_reads(interrupted) >= 0);
    client_sends(interrupted, 1);
    AWAIT(unread(connections[interrupted].server) == 1
          && !unacknowledged(connections[interrupted].server));
}

static void test_byte_with_last_ack(void)
{
    long sent;

    begin(8);
    interrupted = zero_window(&sent);
    after_recv = acknowledge_and_send;
    hand_off_copy(interrupted, until_acked());
    ok(!after_recv, "the client sends during the check");
    ok(!is_ended(interrupted), "a byte with the last ACK continues the linger");
    client_closes(interrupted);
    ends_after(interrupted, FW2_PEER_CLOSED, 1,
               "a client that sends with its last ACK, and closes");
    finish("a byte with the last ACK");
}

/* ------------------------------------------------------------------ times -- */

static void test_idle(void)
{
    fw2_handoff handoff = lingering(50 * MSEC, NEVER);
    int id;

    begin(8);
    id = handed_off(handoff);
    ends_after(id, FW2_SILENCE, 0, "an idle client");
    handoff.until = FW2_UNTIL_ACKED;
    id = connected();
    client_sends(id, 3);
    await_input(connections[id].server);
    hand_off(id, handoff);
    ends_after(id, FW2_SILENCE, 3, "a client that sends once");
    handoff = lingering(NEVER, 50 * MSEC);
    ends(handed_off(handoff), FW2_TOTAL, "the total time ends a linger");
    handoff = lingering(NEVER, NEVER);
    handoff.once_acked = 50 * MSEC;
    ends(handed_off(handoff), FW2_TOTAL,
         "the time after all data is acknowledged ends a linger sooner");
    handoff = lingering(NEVER, 50 * MSEC);
    handoff.once_acked = NEVER;
    ends(handed_off(handoff), FW2_TOTAL,
         "the time after all data is acknowledged never prolongs a linger");
    finish("idle");
}

/* Sockets are due in the order of their times, not of their handoffs. */
static void test_mixed_times(void)
{
    static const int idle[] = { 900, 300, 600 }, order[] = { 1, 2, 0 };
    int ids[3], i;

    begin(4);
    for (i = 0; i < 3; i++) {
        ids[i] = handed_off(lingering(idle[i] * MSEC, NEVER));
    }
    for (i = 0; i < 3; i++) {
        ends(ids[i], FW2_SILENCE, "a socket ends after its own idle time");
        ok(seen.of[ids[i]].how.lingered >= idle[i] * MSEC,
           "a socket lingers for no less than its time: %d ms",
           (int)(seen.of[ids[i]].how.lingered / MSEC));
    }
    for (i = 0; i < 3; i++) {
        is_int(seen.order[i], ids[order[i]], "lingers end in order of times");
    }
    finish("mixed times");
}

/* A socket may wait in the queue after our FIN. */
static void test_begun_before(void)
{
    int id;

    begin(4);
    id = connected();
    hand_off_begun(id, lingering(NEVER, 10000 * MSEC),
                   fw2_clock_now() - 10000 * MSEC);
    ended_at_once(id, FW2_TOTAL, "the time in the queue counts");
    ok(seen.of[id].how.lingered >= 10000 * MSEC,
       "the time in the queue is reported");
    finish("begun before");
}

static void begun_is_now(apr_time_t begun, const char *name)
{
    apr_time_t before = fw2_clock_now();
    int id = connected();

    hand_off_begun(id, lingering(50 * MSEC, NEVER), begun);
    ends(id, FW2_SILENCE, name);
    ok(seen.of[id].how.lingered >= 50 * MSEC
           && seen.of[id].how.lingered <= fw2_clock_now() - before,
       "%s: the linger is reported from now on", name);
    id = connected();
    hand_off_begun(id, lingering(NEVER, 50 * MSEC), begun);
    ends(id, FW2_TOTAL, name);
}

static void test_begun_impossible(void)
{
    begin(4);
    begun_is_now(fw2_clock_now() + apr_time_from_sec(3600),
                 "begun in the future");
    begun_is_now(0, "begun at no time");
    begun_is_now(-1, "begun before all time");
    finish("begun at an impossible time");
}

/* ------------------------------------------------------------------ bytes -- */

static void test_bytes(void)
{
    fw2_handoff handoff = lingering(NEVER, NEVER);
    int id;

    handoff.linger_bytes = 100000;
    begin(8);
    id = handed_off(handoff);
    client_sends(id, 100000);
    client_closes(id);
    ends_after(id, FW2_PEER_CLOSED, 100000, "as many bytes as allowed");
    id = connected();
    client_sends(id, 100001);
    AWAIT(unread(connections[id].server) == 100001);
    hand_off(id, handoff);
    ended_at_once(id, FW2_BYTES, "one byte more than allowed");
    is_int((long long)seen.of[id].how.drained, 100001,
           "the linger ends at the first byte too many");
    id = handed_off(handoff);
    client_sends(id, 64 * MB);
    ends(id, FW2_BYTES, "a flood");
    handoff.linger_bytes = 0;
    id = handed_off(handoff);
    client_sends(id, 1);
    ends_after(id, FW2_BYTES, 1, "one byte where none is allowed");
    finish("bytes");
}

/* ----------------------------------------------------------- zero windows -- */

static void test_zero_window(void)
{
    fw2_handoff handoff = lingering(20 * MSEC, 100 * MSEC);
    long sent, sent_to_other;
    int id, other;

    begin(8);
    id = zero_window(&sent);
    hand_off(id, handoff);
    handoff.user_timeout = 100 * MSEC;
    other = zero_window(&sent_to_other);
    hand_off(other, handoff);
    ends(id, FW2_TOTAL, "a client that does not read");
    is_int(client_reads(id), sent, "the client gets all data from the kernel");
    ends(other, FW2_SILENCE, "a client that acknowledges nothing for too long");
    is_int(client_reads(other), -ECONNRESET, "the client is reset");
    finish("zero windows");
}

/* Bytes that arrive after close() would cause a reset. */
static void test_shorter_total(void)
{
    fw2_handoff handoff = lingering(NEVER, NEVER);
    long sent;
    int id;

    handoff.once_acked = 20 * MSEC;
    begin(4);
    id = zero_window(&sent);
    hand_off(id, handoff);
    ends(handed_off(handoff), FW2_TOTAL,
         "a client with all data acknowledged has the shorter total");
    ok(!is_ended(id), "a client without all data keeps the longer total");
    client_sends(id, 10);
    is_int(client_reads(id), sent, "the client sends, and gets all data");
    ends_after(id, FW2_TOTAL, 10,
               "the shorter total begins when all data is acknowledged");
    finish("a shorter total");
}

/* Hand off the socket of a client that has closed, but has read nothing. */
static int closed_behind_zero_window(apr_interval_time_t user_timeout,
                                     long *sent)
{
    fw2_handoff handoff = lingering(NEVER, NEVER);
    int id = zero_window(sent);

    shutdown(connections[id].client, SHUT_WR);
    await_input(connections[id].server);
    handoff.user_timeout = user_timeout;
    hand_off(id, handoff);
    return id;
}

static void test_closed_behind_zero_window(void)
{
    long sent;
    int id;

    begin(8);
    id = closed_behind_zero_window(FW2_USER_TIMEOUT_SYSTEM, &sent);
    ended_at_once(id, FW2_PEER_CLOSED,
                  "a client that has closed, without user timeout");
    is_int(client_reads(id), sent, "the client gets all data from the kernel");
    id = closed_behind_zero_window(100 * MSEC, &sent);
    ends(id, FW2_SILENCE, "a client that has closed, and acknowledges nothing");
    is_int(client_reads(id), -ECONNRESET, "the client is reset");
    id = closed_behind_zero_window(NEVER, &sent);
    ok(!is_ended(id), "a client that has closed has time to read");
    is_int(client_reads(id), sent, "the client gets all data");
    ends(id, FW2_PEER_CLOSED, "a client that has closed, and reads");
    id = closed_behind_zero_window(NEVER, &sent);
    is_int(in_epoll(), 1, "a client that has closed is still held");
    client_resets(id);
    ok(!strcmp(ending_of(id), "peer_closed")
           || !strcmp(ending_of(id), "peer_reset"),
       "a client that has closed, and resets");
    finish("closed behind a zero window");
}

/* Read all data within about so long, and some in every millisecond. */
static long read_slowly(int id, long all, apr_interval_time_t within)
{
    apr_time_t begun = fw2_clock_now();
    char bytes[64 * KB];
    long sum = 0;
    ssize_t n = 1;

    while (n > 0 && await_more(begun + AWAIT_LIMIT, run_closer)) {
        apr_interval_time_t passed = fw2_clock_now() - begun;
        long due = (long)((double)all * (double)passed / (double)within);

        while (n > 0 && sum <= due) {
            n = recv(connections[id].client, bytes, 2 * KB, 0);
            sum += n > 0 ? n : 0;
        }
        usleep(1000);
    }
    return n < 0 ? -errno : sum;
}

static void test_slow_reader(void)
{
    fw2_handoff handoff = lingering(20 * MSEC, 50 * MSEC);
    long sent;
    int id;

    handoff.user_timeout = 500 * MSEC;
    begin(8);
    handoff.until = FW2_UNTIL_ACKED;
    id = zero_window(&sent);
    hand_off(id, handoff);
    is_int(read_slowly(id, sent, 1500 * MSEC), sent,
           "a slow reader gets all data, though all times are over");
    ends(id, FW2_ACKED, "the last acknowledgement ends the linger");
    handoff.until = FW2_UNTIL_CLOSED;
    id = zero_window(&sent);
    hand_off(id, handoff);
    is_int(client_reads(id), sent, "a quick reader gets all data");
    ok(!strcmp(ending_of(id), "silence") || !strcmp(ending_of(id), "total"),
       "a quick reader is idle afterwards: %s", ending_of(id));
    is_int(client_reads(id), 0, "a quick reader sees no reset");
    finish("slow readers");
}

/* -------------------------------------------------------- SO_LINGER, reset -- */

/* httpd may have set any option on the socket. With SO_LINGER close() would block
 * for a minute here. */
static void test_linger_seconds(void)
{
    fw2_handoff handoff = lingering(20 * MSEC, 100 * MSEC);
    apr_time_t begun = fw2_clock_now();
    long sent[3];
    int ids[3], i;

    begin(1);
    for (i = 0; i < 3; i++) {
        ids[i] = zero_window(&sent[i]);
        set_linger(connections[ids[i]].server, 60);
        if (i == 2) { /* the linger is over at the first check */
            shutdown(connections[ids[i]].client, SHUT_WR);
            await_input(connections[ids[i]].server);
        }
        hand_off(ids[i], i ? handoff : lingering(NEVER, NEVER));
    }
    ends(ids[0], FW2_EVICTED, "SO_LINGER with seconds, evicted");
    ended_at_once(ids[2], FW2_PEER_CLOSED, "SO_LINGER with seconds, at once");
    ends(ids[1], FW2_TOTAL, "SO_LINGER with seconds, due");
    ok(fw2_clock_now() < begun + 30000 * MSEC, "no close() has blocked");
    for (i = 0; i < 3; i++) {
        is_int(client_reads(ids[i]), sent[i], "the client gets all data");
    }
    finish("SO_LINGER with seconds");
}

static void test_reset(void)
{
    fw2_handoff handoff = lingering(20 * MSEC, 100 * MSEC);
    long sent;
    int id;

    begin(4);
    id = handed_off(handoff);
    ends(id, FW2_SILENCE, "an idle client, without a reset");
    is_int(tcp_state(connections[id].client), TCP_CLOSE_WAIT,
           "the client's connection is half-closed");
    handoff.reset = 1;
    id = handed_off(handoff);
    ends(id, FW2_SILENCE, "an idle client, with a reset");
    AWAIT(tcp_state(connections[id].client) == TCP_CLOSE);
    is_int(socket_option(connections[id].client, SO_ERROR), EPIPE,
           "the client's connection is reset");
    id = zero_window(&sent);
    hand_off(id, handoff);
    ends(id, FW2_TOTAL, "a client that does not read, with a reset");
    is_int(client_reads(id), -ECONNRESET, "the client's connection is reset");
    id = zero_window(&sent);
    shutdown(connections[id].client, SHUT_WR);
    await_input(connections[id].server);
    hand_off(id, handoff);
    ended_at_once(id, FW2_PEER_CLOSED, "a client that has closed, with reset");
    is_int(client_reads(id), -ECONNRESET, "the client's connection is reset");
    finish("resets");
}

int main(void)
{
    begin_program();
    test_client_ended_before();
    test_client_ends();
    test_acked();
    test_acked_but_sending();
    test_answered();
    test_byte_with_last_ack();
    test_idle();
    test_mixed_times();
    test_begun_before();
    test_begun_impossible();
    test_bytes();
    test_zero_window();
    test_shorter_total();
    test_closed_behind_zero_window();
    test_slow_reader();
    test_linger_seconds();
    test_reset();
    return end_program();
}
