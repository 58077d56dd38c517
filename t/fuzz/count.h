/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_FUZZ_COUNT_H
#define FW2_FUZZ_COUNT_H

/*
 * Counts at some endpoints, and the properties of every count. The fuzz targets of
 * sockdiag's two parsers share this file.
 */

#include <string.h>

#include "kernel/sockdiag_impl.h"

#include "fuzz.h"

#define MAPPED(a, b, c, d)                                                     \
    {                                                                          \
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d                   \
    }
#define LOOPBACK6                                                              \
    {                                                                          \
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1                         \
    }

/* The corpus has sockets at each of these. */
static const fw2_endpoint fuzz_endpoints[] = {
    { MAPPED(127, 0, 0, 1), 80, 1, 0 },
    { MAPPED(0, 0, 0, 0), 8080, 1, 0 },
    { { 0 }, 443, 0, 0 },
    { LOOPBACK6, 81, 0, 0 },
    { { 0 }, 82, 0, 1 },
};

#define FUZZ_ENDPOINTS                                                         \
    ((int)(sizeof(fuzz_endpoints) / sizeof(fuzz_endpoints[0])))

/** A count with the memory that it needs. */
typedef struct fuzz_count {
    fw2_counting count;
    fw2_tally tallies[FUZZ_ENDPOINTS];
} fuzz_count;

/** Begin a count without a table of clients, which would slow a run down by ten. */
static void count_begin(fuzz_count *c)
{
    memset(c, 0, sizeof(*c));
    c->count.endpoints = fuzz_endpoints;
    c->count.n = FUZZ_ENDPOINTS;
    c->count.tallies = c->tallies;
    c->count.orphan_rest = apr_time_from_sec(40);
    fw2_counting_reset(&c->count);
}

/** Count the sockets in one state, with one kind of holder. */
static apr_int64_t count_of(const fuzz_count *c, int state, int holder)
{
    apr_int64_t sum = 0;
    int i;

    for (i = 0; i < FUZZ_ENDPOINTS; i++) {
        EXPECT(c->tallies[i].n[state][holder] >= 0);
        sum += c->tallies[i].n[state][holder];
    }
    return sum;
}

/* Expect the time left of each orphan in a class, or as unknown or unbounded. */
static void expect_left(const fw2_left *left, apr_int64_t orphans)
{
    apr_int64_t timed = 0;
    int i;

    EXPECT(left->unknown >= 0 && left->unbounded >= 0);
    for (i = 0; i <= FW2_LEFT_BOUNDS; i++) {
        EXPECT(left->n[i] >= 0);
        timed += left->n[i];
    }
    EXPECT(timed + left->unknown + left->unbounded == orphans);
    EXPECT(left->longest >= 0 && left->longest <= left->sum);
    EXPECT(left->sum <= left->longest * timed);
}

static void expect_undelivered(const fuzz_count *c)
{
    const fw2_undelivered *u = &c->count.undelivered;
    int holder;

    for (holder = 0; holder < FW2_HOLDERS; holder++) {
        EXPECT(u->shut[holder] >= 0);
        EXPECT(u->shut[holder] <= u->sockets[holder]);
        EXPECT(u->sockets[holder] <= u->bytes[holder]);
        EXPECT(u->sockets[holder] <= count_of(c, FW2_FIN_WAIT1, holder));
    }
}

/** Expect possible and consistent numbers in a count. */
static void expect_consistent(const fuzz_count *c)
{
    fw2_half half = fw2_sockdiag_half_closed(c->tallies, FUZZ_ENDPOINTS);
    int i;

    for (i = 0; i < FUZZ_ENDPOINTS; i++) {
        EXPECT(c->tallies[i].backlog >= 0);
        EXPECT(c->tallies[i].backlog_limit >= -1);
    }
    EXPECT(c->count.complete == 0 || c->count.complete == 1);
    expect_left(&c->count.left, half.orphan);
    expect_undelivered(c);
}

/** Expect equal numbers in two counts. */
static void expect_same(const fuzz_count *a, const fuzz_count *b)
{
    EXPECT(a->count.complete == b->count.complete);
    EXPECT(!memcmp(a->tallies, b->tallies, sizeof(a->tallies)));
    EXPECT(!memcmp(&a->count.left, &b->count.left, sizeof(a->count.left)));
    EXPECT(!memcmp(&a->count.undelivered, &b->count.undelivered,
                   sizeof(a->count.undelivered)));
}

/** A number of rows for each state and holder. */
typedef struct fuzz_rows {
    apr_int64_t of_state[FW2_STATES];
    apr_int64_t of_holder[FW2_HOLDERS];
    apr_int64_t listeners;
} fuzz_rows;

/** Add a row that a target has parsed independently. */
static void rows_add(fuzz_rows *rows, unsigned long state, fw2_holder holder)
{
    static const unsigned int states[FW2_STATES] = {
        FW2_TCP_FIN_WAIT1,  FW2_TCP_FIN_WAIT2, FW2_TCP_CLOSING,
        FW2_TCP_CLOSE_WAIT, FW2_TCP_LAST_ACK,
    };
    int i;

    rows->listeners += state == FW2_TCP_LISTEN;
    for (i = 0; i < FW2_STATES; i++) {
        if (states[i] == state) {
            rows->of_state[i]++;
            rows->of_holder[holder]++;
        }
    }
}

/* A queue's length and limit have 32 bits each. */
static void expect_backlogs(const fuzz_count *c, apr_int64_t listeners)
{
    const apr_int64_t most = listeners * APR_UINT32_MAX;
    int i;

    for (i = 0; i < FUZZ_ENDPOINTS; i++) {
        EXPECT(c->tallies[i].backlog <= most);
        EXPECT(c->tallies[i].backlog_limit <= (listeners ? most : -1));
    }
}

/** Expect at most as many counted sockets as rows; some rows are at no endpoint. */
static void expect_within(const fuzz_count *c, const fuzz_rows *rows)
{
    int state, holder;

    expect_backlogs(c, rows->listeners);
    for (state = 0; state < FW2_STATES; state++) {
        apr_int64_t sum = 0;

        for (holder = 0; holder < FW2_HOLDERS; holder++) {
            sum += count_of(c, state, holder);
        }
        EXPECT(sum <= rows->of_state[state]);
    }
    for (holder = 0; holder < FW2_HOLDERS; holder++) {
        apr_int64_t sum = 0;

        for (state = 0; state < FW2_STATES; state++) {
            sum += count_of(c, state, holder);
        }
        EXPECT(sum <= rows->of_holder[holder]);
    }
}

#endif /* FW2_FUZZ_COUNT_H */
