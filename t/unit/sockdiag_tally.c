/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The tally of single rows, which netlink and /proc make alike.
 */

#include "sockdiag_fixture.h"

/* Count a socket at the endpoint, with the numbers that both sources have. */
static void add_row(fw2_counting *count, unsigned int state, apr_uint64_t inode,
                    unsigned int timer, apr_interval_time_t expires,
                    apr_int64_t wqueue)
{
    fw2_row row;

    memset(&row, 0, sizeof(row));
    memcpy(row.addr, count->endpoints[0].addr, sizeof(row.addr));
    row.port = count->endpoints[0].port;
    row.state = state;
    row.holder = fw2_holder_of(timer, inode);
    row.timer = timer;
    row.expires = expires;
    row.wqueue = wqueue;
    fw2_counting_row(count, &row);
}

static void test_classes(void)
{
    fw2_endpoint e = endpoint("127.0.0.1", 80, 0);
    fw2_counting c = counting(&e, 1);
    int i;

    for (i = 0; i < FW2_LEFT_BOUNDS; i++) {
        ok(i == 0 || fw2_left_bounds[i] > fw2_left_bounds[i - 1],
           "bound %d is above the previous one", i);
        add_row(&c, 5, 0, 3, fw2_left_bounds[i], 0);
    }
    is_str(left_text(&c.left), "1 1 1 1 1 1 1 0 unknown 0 unbounded 0",
           "a time at a bound is in its class");
    fw2_counting_reset(&c);
    for (i = 0; i < FW2_LEFT_BOUNDS; i++) {
        add_row(&c, 5, 0, 3, fw2_left_bounds[i] + 1, 0);
    }
    is_str(left_text(&c.left), "0 1 1 1 1 1 1 1 unknown 0 unbounded 0",
           "a time above a bound is in the next class");
    is_int(c.left.longest, 120000001, "the longest time left is kept");
    is_int(c.left.sum, 246000007, "the times left are added up");
    fw2_counting_reset(&c);
    is_str(left_text(&c.left), "0 0 0 0 0 0 0 0 unknown 0 unbounded 0",
           "a new count begins without times left");
    is_int(c.left.longest + c.left.sum, 0,
           "a new count begins without longest and sum");
}

/* States and timers by their numbers in Linux. */
static void test_timers(void)
{
    fw2_endpoint e = endpoint("127.0.0.1", 80, 0);
    fw2_counting c = counting(&e, 1);

    c.orphan_rest = 40 * APR_USEC_PER_SEC;
    add_row(&c, 5, 0, 2, 30 * APR_USEC_PER_SEC, 0);
    is_int(c.left.longest, 70 * APR_USEC_PER_SEC,
           "the time left of a full orphan includes its later mini-socket");
    add_row(&c, 5, 0, 3, 50 * APR_USEC_PER_SEC, 0);
    is_int(c.left.longest, 70 * APR_USEC_PER_SEC,
           "the time left of a mini-socket is its timer");
    add_row(&c, 5, 7, 2, 7200 * APR_USEC_PER_SEC, 0);
    add_row(&c, 8, 0, 2, 7200 * APR_USEC_PER_SEC, 0);
    add_row(&c, 9, 0, 1, APR_USEC_PER_SEC, 0);
    add_row(&c, 6, 0, 3, APR_USEC_PER_SEC, 0);
    is_str(left_text(&c.left), "0 0 0 0 0 1 1 0 unknown 0 unbounded 0",
           "only half-closed sockets that are not held have a time left");
    add_row(&c, 5, 0, 0, 0, 0);
    add_row(&c, 5, 0, 1, APR_USEC_PER_SEC, 0);
    add_row(&c, 4, 0, 1, APR_USEC_PER_SEC, 1);
    add_row(&c, 4, 0, 2, 7200 * APR_USEC_PER_SEC, 1);
    add_row(&c, 4, 7, 1, APR_USEC_PER_SEC, 1);
    add_row(&c, 11, 0, 1, APR_USEC_PER_SEC, 1);
    is_str(left_text(&c.left), "0 0 0 0 0 1 1 0 unknown 2 unbounded 3",
           "the other sockets have no known end");
}

static void test_queues(void)
{
    fw2_endpoint e = endpoint("127.0.0.1", 80, 0);
    fw2_counting c = counting(&e, 1);

    add_row(&c, 4, 7, 1, 0, 0);
    add_row(&c, 4, 7, 1, 0, 1);
    add_row(&c, 4, 7, 1, 0, 2);
    add_row(&c, 4, 7, 4, 0, 101);
    add_row(&c, 4, 0, 4, 0, 1);  /* nothing but a FIN */
    add_row(&c, 5, 7, 4, 0, 50); /* other states */
    add_row(&c, 11, 7, 4, 0, 50);
    add_row(&c, 9, 0, 4, 0, 50);
    add_row(&c, 10, 7, 4, 0, 50);
    is_str(undelivered_text(&c.undelivered),
           "2:101,1 zero 0:0,0 zero 0:0,0 zero ",
           "unacknowledged bytes before a FIN are counted");
    fw2_counting_reset(&c);
    is_str(undelivered_text(&c.undelivered),
           "0:0,0 zero 0:0,0 zero 0:0,0 zero ",
           "a new count begins without unacknowledged bytes");
}

/* States by their numbers in Linux: 4 FIN_WAIT_1, 5 FIN_WAIT_2, 11 CLOSING, 8
 * CLOSE_WAIT, 9 LAST_ACK, 6 TIME_WAIT. */
static void test_half_closed(void)
{
    static const unsigned int all[] = { 4, 5, 11, 8, 9, 6 };
    fw2_endpoint e = endpoint("127.0.0.1", 80, 0);
    fw2_counting c = counting(&e, 1);
    fw2_half half;
    unsigned int i;

    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        add_row(&c, all[i], 7, 0, 0, 0);
        add_row(&c, all[i], 0, 0, 0, 0);
    }
    add_row(&c, 5, 0, 3, 0, 0);
    half = fw2_sockdiag_half_closed(c.tallies, 1);
    is_int(half.held, 3, "three states with a descriptor are held");
    is_int(half.orphan, 4,
           "three states without, and a mini-socket, are "
           "orphans");
    is_int(half.mini, 1, "one orphan is a mini-socket");
}

int main(void)
{
    begin_program();
    test_classes();
    test_timers();
    test_queues();
    test_half_closed();
    return end_program();
}
