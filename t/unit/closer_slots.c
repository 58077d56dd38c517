/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The closer: its slots and their order, eviction, and generations.
 */

#include "closer_fixture.h"

#define MANY 3000

/* --------------------------------------------------------------- eviction -- */

static void test_eviction(void)
{
    int ids[7], i;

    begin(4);
    for (i = 0; i < 4; i++) {
        ids[i] = handed_off(lingering(NEVER, NEVER));
    }
    is_int(in_epoll(), 4, "four sockets are held");
    client_closes(ids[1]);
    ends(ids[1], FW2_PEER_CLOSED, "the second oldest socket ends");
    ids[4] = handed_off(lingering(NEVER, NEVER));
    is_int(seen.of[ids[4]].slot, seen.of[ids[1]].slot,
           "the slot of a socket that ended is used again");
    is_int(seen.ended, 1, "nothing is evicted while a slot is free");
    ids[5] = handed_off(lingering(NEVER, NEVER));
    is_int(seen.order[1], ids[0], "the oldest socket is evicted");
    ids[6] = handed_off(lingering(NEVER, NEVER));
    is_int(seen.order[2], ids[2], "the next oldest socket is evicted");
    is_int(seen.ended, 3, "each new socket evicts one");
    ends(ids[0], FW2_EVICTED, "the ending of the oldest");
    ends(ids[2], FW2_EVICTED, "the ending of the next");
    is_int(in_epoll(), 4, "evicted sockets are out of the epoll set");
    client_closes(ids[3]);
    client_closes(ids[6]);
    ends(ids[3], FW2_PEER_CLOSED, "an older socket that was not evicted");
    ends(ids[6], FW2_PEER_CLOSED, "the newest socket");
    finish("eviction");
}

static void test_no_eviction_at_once(void)
{
    int held, id;

    begin(1);
    held = handed_off(lingering(NEVER, NEVER));
    id = connected();
    client_closes(id);
    await_input(connections[id].server);
    hand_off(id, lingering(NEVER, NEVER));
    ended_at_once(id, FW2_PEER_CLOSED,
                  "a closed client while all slots are taken");
    ok(!is_ended(held), "a socket that needs no slot evicts nothing");
    finish("no eviction");
}

/* Hand off a socket with 70,000 bytes that the closer has not read. */
static int unseen_bytes(void)
{
    int id = connected();

    hand_off_copy(id, lingering(NEVER, NEVER));
    client_sends(id, 70000);
    AWAIT_ASLEEP(unread(connections[id].server) == 70000);
    original_closes(id);
    return id;
}

static void is_not_reset(int id, fw2_ending ending, const char *name)
{
    ends_after(id, ending, 70000, name);
    is_int(client_reads(id), 0, "the client gets the FIN, and no reset");
    is_int(tcp_state(connections[id].client), TCP_CLOSE_WAIT,
           "the client's connection is half-closed");
}

/* Unread bytes would cause a reset at close(). */
static void test_unread(void)
{
    int evicted, limited, ended;

    begin(2);
    evicted = unseen_bytes();
    handed_off(lingering(NEVER, NEVER));
    handed_off(lingering(NEVER, NEVER));
    is_not_reset(evicted, FW2_EVICTED, "unread bytes, evicted");
    limited = unseen_bytes();
    handed_off(lingering(NEVER, NEVER));
    set_limit(1, 1);
    is_not_reset(limited, FW2_EVICTED, "unread bytes, limited");
    ended = unseen_bytes();
    end_oldest(FW2_STOPPED);
    is_not_reset(ended, FW2_STOPPED, "unread bytes, stopped");
    finish("unread bytes");
}

/* ------------------------------------------------------- limit, count, age -- */

static void test_limit(void)
{
    begin(8);
    hand_off_many(lingering(NEVER, NEVER), 6);
    set_limit(7, 7);
    is_int(seen.ended, 0, "a limit above the count evicts nothing");
    set_limit(3, 3);
    is_int(fw2_closer_count(closer), 3, "a lower limit evicts");
    is_int(count_ended_by(FW2_EVICTED), 3, "the sockets above it are evicted");
    ok(seen.order[0] == 0 && seen.order[1] == 1 && seen.order[2] == 2,
       "the oldest sockets are evicted, in their order");
    handed_off(lingering(NEVER, NEVER));
    is_int(fw2_closer_count(closer), 3, "no more than the limit are held");
    is_int(seen.order[3], 3, "the oldest socket is evicted for another");
    set_limit(0, 1);
    is_int(fw2_closer_count(closer), 1, "the least limit is 1");
    set_limit(-5, 1);
    is_int(fw2_closer_count(closer), 1, "a negative limit becomes 1");
    handed_off(lingering(NEVER, NEVER));
    is_int(fw2_closer_count(closer), 1, "one socket is held");
    set_limit(100, 8);
    hand_off_many(lingering(NEVER, NEVER), 10);
    is_int(fw2_closer_count(closer), 8,
           "the highest limit is the number of slots");
    finish("limits");
}

static int is_between(apr_time_t time, apr_time_t before, apr_time_t after)
{
    return time >= before && time <= after;
}

static void test_oldest(void)
{
    apr_time_t times[4];
    int i;

    begin(4);
    is_int(fw2_closer_count(closer), 0, "no socket is held at first");
    ok(!fw2_closer_oldest(closer), "no socket is the oldest at first");
    for (i = 0; i < 3; i++) {
        times[i] = fw2_clock_now();
        handed_off(lingering(NEVER, NEVER));
        is_int(fw2_closer_count(closer), i + 1, "sockets are counted");
        usleep(2000);
    }
    times[3] = fw2_clock_now();
    for (i = 0; i < 3; i++) {
        ok(is_between(fw2_closer_oldest(closer), times[i], times[i + 1]),
           "the time of the oldest of %d sockets", 3 - i);
        client_closes(i);
        ends(i, FW2_PEER_CLOSED, "the oldest socket ends");
    }
    is_int(fw2_closer_count(closer), 0, "no socket is held at last");
    ok(!fw2_closer_oldest(closer), "no socket is the oldest at last");
    finish("the oldest");
}

static void test_end_oldest(void)
{
    int i, in_order = 1;

    begin(20);
    is_int(end_oldest(FW2_STOPPED), 0, "there is no linger to end at first");
    hand_off_many(lingering(NEVER, NEVER), 20);
    client_closes(7);
    ends(7, FW2_PEER_CLOSED, "the client of one socket of twenty closes");
    for (i = 1; i < 20; i++) {
        in_order &= end_oldest(i < 10 ? FW2_STOPPED : FW2_EVICTED);
    }
    is_int(in_order, 1, "each of the other sockets is ended");
    is_int(end_oldest(FW2_STOPPED), 0, "no linger is left to end");
    for (i = 1; i < 20; i++) {
        in_order &= seen.order[i] == i - (i <= 7);
    }
    is_int(in_order, 1, "the oldest socket is always the next to end");
    is_int(count_ended_by(FW2_STOPPED), 9,
           "the caller chooses the ending stopped");
    is_int(count_ended_by(FW2_EVICTED), 10,
           "the caller chooses the ending evicted");
    finish("ended by the caller");
}

/* ------------------------------------------------------------- generation -- */

/* Replay an event with these data; return how often the closer reads then. */
static int reads_for(apr_uint64_t data)
{
    int before = calls.recvs;

    calls.data = data;
    calls.replay = 1;
    run_for(0);
    return calls.recvs - before;
}

static void test_generation(void)
{
    apr_uint64_t data[4];
    int ids[4], i;

    begin(2);
    for (i = 0; i < 3; i++) {
        ids[i] = handed_off(lingering(NEVER, NEVER));
        data[i] = calls.data;
        client_closes(ids[i]);
        ends(ids[i], FW2_PEER_CLOSED, "a socket in the slot");
        is_int(reads_for(data[i]), 0, "an event for a free slot is ignored");
    }
    ids[3] = handed_off(lingering(NEVER, NEVER));
    data[3] = calls.data;
    for (i = 0; i < 3; i++) {
        is_int(seen.of[ids[i]].slot, seen.of[ids[3]].slot,
               "all sockets were in the same slot");
        is_int(reads_for(data[i]), 0,
               "an event for an earlier socket is ignored");
    }
    ok(reads_for(data[3]) > 0, "an event for the present socket causes a read");
    finish("generations");
}

/* httpd's MPM may close its own descriptor later: until then the epoll set would
 * keep reporting the open file. */
static void test_late_original(void)
{
    int i, id, usable = 0;
    char byte;

    begin(8);
    for (i = 0; i < 100; i++) {
        id = connected();
        hand_off_copy(id, lingering(20 * MSEC, NEVER));
        if (i % 4 == 3) {
            AWAIT(is_ended(id));
        }
        if (i % 8 == 7) { /* all its slots and descriptors are free again */
            client_sends(id, 1);
            await_input(connections[id].server);
            usable += recv(connections[id].server, &byte, 1, 0) == 1;
        }
    }
    is_int(usable, 12, "originals are usable after the linger");
    for (i = 0; i < 100; i++) {
        AWAIT(is_ended(i));
    }
    is_int(in_epoll(), 0, "no original is in the epoll set");
    for (i = 0; i < 100; i++) {
        client_sends(i, 10);
        if (i % 2) {
            original_closes(i);
        }
    }
    run_for(0);
    is_int(calls.events, 0, "the closer gets no event of an original");
    id = handed_off(lingering(NEVER, NEVER));
    client_sends(id, 1);
    client_closes(id);
    ends_after(id, FW2_PEER_CLOSED, 1, "the next socket works");
    finish("late originals");
}

/* ------------------------------------------------------------------- many -- */

#define KINDS 7

static fw2_handoff handoff_of(int kind)
{
    fw2_handoff handoff = lingering(NEVER, NEVER);

    handoff.until = kind == 0 ? FW2_UNTIL_ACKED : FW2_UNTIL_CLOSED;
    handoff.linger_idle = kind == 3 ? 100 * MSEC : NEVER;
    handoff.linger_bytes = kind == 5 ? 1000 : FW2_BYTES_UNLIMITED;
    handoff.once_acked = kind == 6 ? 100 * MSEC : 0;
    return handoff;
}

static void client_acts(int id, int kind)
{
    if (kind == 4 || kind == 5) {
        client_sends(id, 1000 + (size_t)id);
    }
    if (kind == 1 || kind == 4) {
        client_closes(id);
    }
    if (kind == 2) {
        client_resets(id);
    }
}

/* Half of the clients act before the handoff; the closer runs after some. */
static void hand_off_crowd(int n)
{
    int i, id;

    for (i = 0; i < n; i++) {
        id = connected();
        if (id % 2) {
            client_acts(id, id % KINDS);
        }
        hand_off(id, handoff_of(id % KINDS));
        if (!(id % 2)) {
            client_acts(id, id % KINDS);
        }
        if (i % 500 == 499) {
            run_for(0);
        }
    }
}

static int is_as_expected(int id)
{
    static const fw2_ending endings[KINDS] = {
        FW2_ACKED,       FW2_PEER_CLOSED, FW2_PEER_RESET, FW2_SILENCE,
        FW2_PEER_CLOSED, FW2_BYTES,       FW2_TOTAL,
    };
    const fw2_ended *how = &seen.of[id].how;
    int kind = id % KINDS;

    AWAIT(is_ended(id));
    if (!is_ended(id) || how->ending != endings[kind]) {
        return 0;
    }
    return how->drained == (kind == 4 ? 1000 + (apr_uint64_t)id : 0)
           || (kind == 5 && how->drained > 1000);
}

static void test_many(void)
{
    struct rlimit descriptors;
    int id, expected = 0, n = MANY;

    getrlimit(RLIMIT_NOFILE, &descriptors);
    while (3 * n + 100 > (int)descriptors.rlim_cur) {
        n /= 2;
    }
    begin(n);
    hand_off_crowd(n);
    for (id = 0; id < n; id++) {
        expected += is_as_expected(id);
    }
    ok(expected == n, "%d of %d sockets ended as expected", expected, n);
    is_int(in_epoll(), 0, "the epoll set is empty again");
    finish("many");
    begin(5);
    hand_off_crowd(n / 2);
    ok(count_ended_by(FW2_EVICTED) > 0, "few slots: some sockets are evicted");
    for (id = 0; id < n / 2 - 5; id++) {
        AWAIT(is_ended(id));
    }
    finish("many, with few slots");
}

/* ------------------------------------------------------------------- heap -- */

static unsigned int lcg(void)
{
    static unsigned int x = 12345; /* the same numbers in every run */

    x = x * 1103515245u + 12345u;
    return x >> 8;
}

#define SLOTS 100

/* Count the slots that are due before the one on top, or have a wrong place. */
static int heap_wrong(const fw2_heap *heap, const int *in)
{
    int i, n = 0, wrong = 0;

    for (i = 0; i < heap->n; i++) {
        wrong += heap->held[heap->slots[i]].place != i;
    }
    for (i = 0; i < SLOTS; i++) {
        n += in[i];
        wrong += in[i] && heap->held[heap->slots[0]].due > heap->held[i].due;
    }
    return wrong + (n != heap->n);
}

static void test_heap(void)
{
    static fw2_held held[SLOTS];
    int slots[SLOTS], in[SLOTS] = { 0 }, i, wrong = 0;
    fw2_heap heap = { held, slots, 0 };

    for (i = 0; i < 20000; i++) {
        int slot = (int)(lcg() % SLOTS);
        int move = (int)(lcg() % 3);

        if (!in[slot]) {
            held[slot].due = lcg() % 50;
            fw2_heap_add(&heap, slot);
            in[slot] = 1;
        }
        else if (move) {
            held[slot].due = lcg() % 50;
            fw2_heap_move(&heap, slot);
        }
        else {
            fw2_heap_remove(&heap, slot);
            in[slot] = 0;
        }
        wrong += heap_wrong(&heap, in);
    }
    is_int(wrong, 0, "the heap is in order after each of 20,000 changes");
}

/* ------------------------------------------------------------------ sizes -- */

static void test_sizes(void)
{
    int i, named = 0;

    ok(sizeof(fw2_held) + sizeof(int) <= 256, "a held socket needs %d bytes",
       (int)(sizeof(fw2_held) + sizeof(int)));
    for (i = 0; i < FW2_ENDINGS; i++) {
        named += fw2_endings[i].name && *fw2_endings[i].name;
    }
    is_int(named, FW2_ENDINGS, "all endings have names");
    is_str(fw2_endings[FW2_STOPPED].name, "stopped",
           "the last ending has its name");
}

/* Return the memory of this process that is in use, in bytes. */
static long resident(void)
{
    long total, pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");

    if (statm) {
        if (fscanf(statm, "%ld %ld", &total, &pages) != 2) {
            pages = 0;
        }
        fclose(statm);
    }
    return pages * sysconf(_SC_PAGESIZE);
}

static void test_untouched_memory(void)
{
    const char *name = "unused slots need no memory";
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(name, "a sanitizer has memory of its own for each byte");
    (void)resident;
#else
    long before = resident();

    begin(1000 * 1000);
    seen.slots = IDS; /* the capacity of the observer */
    hand_off_many(lingering(NEVER, NEVER), 10);
    ok(resident() - before < 4 * MB, "%s: %ld KB", name,
       (resident() - before) / KB);
    finish("a million slots");
#endif
}

int main(void)
{
    begin_program();
    test_sizes();
    test_heap();
    test_untouched_memory();
    test_eviction();
    test_no_eviction_at_once();
    test_unread();
    test_limit();
    test_oldest();
    test_end_oldest();
    test_generation();
    test_late_original();
    test_many();
    return end_program();
}
