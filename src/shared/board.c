/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "shared/board.h"

#include <string.h>

#include "apr_shm.h"

#include "base/clamp.h"
#include "base/clock.h"
#include "base/record.h"

/* The limit for a number of sockets: more than any process has descriptors
 * for. */
#define MOST_HELD ((apr_uint64_t)1 << 24)

/* The shared memory: this head with the sockets held of each virtual host, then
 * the two records. */
typedef struct {
    fw2_shared pid;      /* 0: no process writes here */
    fw2_shared arriving; /* sockets received, neither held nor ended yet */
    fw2_shared refuses;  /* 1: the process does not linger */
    fw2_shared capacity; /* the most sockets held */
    fw2_shared oldest;   /* when the oldest socket was accepted, or 0 */
    fw2_shared held[];   /* sockets held by virtual host */
} segment;

struct fw2_board {
    segment *segment;
    fw2_record *last;
    fw2_record *rates;
    apr_size_t endpoints;
    apr_size_t vhosts;
    int layout;
    apr_size_t last_size;  /* bytes of a count with its tallies */
    apr_size_t rates_size; /* bytes of the rates, and of the fallback's rate
                              behind them */
    char *content;         /* buffer of a record's content */
};

/* ----------------------------------------------------------- the parent -- */

apr_status_t fw2_board_create(fw2_board **board, int endpoints, int vhosts,
                              int layout, apr_pool_t *pool)
{
    fw2_board *made = apr_pcalloc(pool, sizeof(*made));
    apr_size_t head;
    apr_shm_t *shm;
    apr_status_t rv;

    made->endpoints = (apr_size_t)endpoints;
    made->vhosts = (apr_size_t)vhosts;
    made->layout = layout;
    made->last_size =
        sizeof(fw2_board_count) + made->endpoints * sizeof(fw2_tally);
    made->rates_size = made->vhosts * sizeof(fw2_rates) + sizeof(apr_int64_t);
    head = sizeof(segment) + made->vhosts * sizeof(fw2_shared);
    rv = apr_shm_create(&shm,
                        head + fw2_record_size(made->last_size)
                            + fw2_record_size(made->rates_size),
                        NULL, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    made->segment = apr_shm_baseaddr_get(shm);
    made->last = (fw2_record *)((char *)made->segment + head);
    made->rates =
        (fw2_record *)((char *)made->last + fw2_record_size(made->last_size));
    made->content =
        apr_palloc(pool, made->last_size > made->rates_size ? made->last_size
                                                            : made->rates_size);
    *board = made;
    return APR_SUCCESS;
}

int fw2_board_layout(const fw2_board *board)
{
    return board->layout;
}

void fw2_board_started(fw2_board *board, apr_uint64_t pid)
{
    fw2_sync_write(&board->segment->pid, pid);
}

void fw2_board_abandon(fw2_board *board)
{
    fw2_sync_write(&board->segment->pid, 0);
}

/* ---------------------------------------------------------- the process -- */

static apr_int64_t held_in(const fw2_board *board, apr_size_t vhost)
{
    apr_uint64_t held = fw2_sync_read(&board->segment->held[vhost]);

    return held > MOST_HELD ? 0 : (apr_int64_t)held;
}

apr_int64_t fw2_board_begin(fw2_board *board, apr_uint64_t pid, int capacity)
{
    apr_uint64_t arriving = fw2_sync_read(&board->segment->arriving);
    apr_int64_t lost = arriving > MOST_HELD ? 0 : (apr_int64_t)arriving;
    apr_size_t i;

    for (i = 0; i < board->vhosts; i++) {
        lost += held_in(board, i);
        fw2_sync_write(&board->segment->held[i], 0);
    }
    fw2_sync_write(&board->segment->arriving, 0);
    fw2_sync_write(&board->segment->oldest, 0);
    fw2_sync_write(&board->segment->capacity, (apr_uint64_t)capacity);
    fw2_sync_write(&board->segment->refuses, !capacity);
    fw2_sync_write(&board->segment->pid, pid);
    return lost;
}

void fw2_board_hold(fw2_board *board, apr_uint32_t vhost, int change)
{
    fw2_sync_add(&board->segment->held[vhost], (apr_uint64_t)change);
}

void fw2_board_arriving(fw2_board *board, int n)
{
    fw2_sync_write(&board->segment->arriving, (apr_uint64_t)n);
}

void fw2_board_refuse(fw2_board *board)
{
    fw2_sync_write(&board->segment->refuses, 1);
}

void fw2_board_oldest(fw2_board *board, apr_time_t since)
{
    fw2_sync_write(&board->segment->oldest, (apr_uint64_t)since);
}

void fw2_board_publish(fw2_board *board, const fw2_board_count *last)
{
    memcpy(board->content, last, sizeof(*last));
    memcpy(board->content + sizeof(*last), last->count.tallies,
           board->last_size - sizeof(*last));
    fw2_record_write(board->last, board->content, board->last_size);
}

void fw2_board_publish_rates(fw2_board *board, const fw2_rates *rates,
                             apr_int64_t fallback)
{
    apr_size_t size = board->vhosts * sizeof(*rates);

    memcpy(board->content, rates, size);
    memcpy(board->content + size, &fallback, sizeof(fallback));
    fw2_record_write(board->rates, board->content, board->rates_size);
}

/* -------------------------------------------------------------- reading -- */

/* Set a count to not known. */
static void clear_count(fw2_board_count *last, apr_size_t endpoints)
{
    memset(last + 1, 0, endpoints * sizeof(fw2_tally));
    memset(&last->count, 0, sizeof(last->count));
    memset(&last->limits, 0xff, sizeof(last->limits));
    memset(&last->before, 0xff, sizeof(last->before));
    last->count.backend = FW2_NOTHING;
    last->count.elsewhere.half_closed = last->count.elsewhere.outgoing = -1;
    last->over = last->cost = last->age = 0;
    last->at = 0;
    last->descriptors = last->descriptor_limit = -1;
    last->counts = 0;
}

/* Clamp all numbers of a structure, or of an array of structures, that consists
 * of numbers only. */
static void clamp_numbers(void *numbers, apr_size_t bytes, apr_int64_t least)
{
    apr_int64_t *number = numbers, *end = number + bytes / sizeof(*number);

    for (; number < end; number++) {
        *number = fw2_clamp_number(least, *number, FW2_CLAMP_MOST);
    }
}

static void clamp_elsewhere(fw2_elsewhere *elsewhere)
{
    int i;

    elsewhere->half_closed =
        fw2_clamp_number(-1, elsewhere->half_closed, FW2_CLAMP_MOST);
    elsewhere->outgoing =
        fw2_clamp_number(-1, elsewhere->outgoing, FW2_CLAMP_MOST);
    elsewhere->full = fw2_clamp_number(0, elsewhere->full, FW2_CLAMP_MOST);
    elsewhere->drops = fw2_clamp_number(-1, elsewhere->drops, FW2_CLAMP_MOST);
    elsewhere->full_limit =
        fw2_clamp_number(-1, elsewhere->full_limit, FW2_CLAMP_MOST);
    elsewhere->full_port = (apr_uint16_t)elsewhere->full_port;
    elsewhere->n = (int)fw2_clamp_number(0, elsewhere->n, FW2_PORTS_MAX);
    for (i = 0; i < elsewhere->n; i++) {
        fw2_port *port = &elsewhere->top[i];

        port->role =
            (unsigned int)port->role < FW2_ROLES ? port->role : FW2_CLIENT;
        port->port = (apr_uint16_t)port->port;
        port->n = fw2_clamp_number(0, port->n, FW2_CLAMP_MOST);
    }
}

static void clamp_count(fw2_count *count)
{
    /* The sum of all sockets' microseconds is never added to another one, so
     * it may be larger than FW2_CLAMP_MOST. */
    apr_int64_t left = fw2_clamp_number(0, count->left.sum, APR_INT64_MAX);
    int i;

    if ((unsigned int)count->backend > FW2_NOTHING) {
        count->backend = FW2_NOTHING;
    }
    count->complete = count->complete != 0;
    count->cost = fw2_clamp_number(0, count->cost, FW2_CLAMP_MOST);
    for (i = 0; i < FW2_BACKENDS; i++) {
        count->refused[i][FW2_REFUSED_MAX - 1] = '\0';
    }
    clamp_numbers(&count->left, sizeof(count->left), 0);
    count->left.sum = left;
    clamp_numbers(&count->undelivered, sizeof(count->undelivered), 0);
    if (count->peers.n < 0 || count->peers.n > FW2_PEERS_MAX) {
        count->peers.n = 0;
    }
    for (i = 0; i < count->peers.n; i++) {
        count->peers.top[i].n =
            fw2_clamp_number(0, count->peers.top[i].n, FW2_CLAMP_MOST);
    }
    clamp_elsewhere(&count->elsewhere);
}

/* Clamp a count, which any process can have damaged, so that no reader leaves
 * its memory or the range of 64 bits. */
static void clamp_last(fw2_board_count *last, apr_size_t endpoints)
{
    fw2_tally *tallies = (fw2_tally *)(last + 1);
    apr_size_t i;

    clamp_count(&last->count);
    clamp_numbers(&last->limits, sizeof(last->limits), -1);
    clamp_numbers(&last->before, sizeof(last->before), -1);
    for (i = 0; i < endpoints; i++) {
        clamp_numbers(tallies[i].n, sizeof(tallies[i].n), 0);
        tallies[i].backlog =
            fw2_clamp_number(0, tallies[i].backlog, FW2_CLAMP_MOST);
        tallies[i].backlog_limit =
            fw2_clamp_number(-1, tallies[i].backlog_limit, FW2_CLAMP_MOST);
        tallies[i].drops =
            fw2_clamp_number(-1, tallies[i].drops, FW2_CLAMP_MOST);
    }
    last->over = fw2_clamp_number(0, last->over, FW2_CLAMP_MOST);
    last->descriptors = fw2_clamp_number(-1, last->descriptors, FW2_CLAMP_MOST);
    last->descriptor_limit =
        fw2_clamp_number(-1, last->descriptor_limit, FW2_CLAMP_MOST);
    last->cost = fw2_clamp_number(0, last->cost, FW2_CLAMP_MOST);
    last->counts = fw2_clamp_number(0, last->counts, FW2_CLAMP_MOST);
}

const fw2_board_count *fw2_board_last(const fw2_board *board, apr_pool_t *pool)
{
    fw2_board_count *last = apr_palloc(pool, board->last_size);

    if (fw2_record_read(board->last, last, board->last_size)) {
        apr_time_t now = fw2_clock_now();

        clamp_last(last, board->endpoints);
        last->at = fw2_clamp_number(0, last->at, now);
        last->age = now - last->at;
    }
    else {
        clear_count(last, board->endpoints);
    }
    last->count.tallies = (fw2_tally *)(last + 1);
    return last;
}

const fw2_rates *fw2_board_rates(const fw2_board *board, apr_int64_t *fallback,
                                 apr_pool_t *pool)
{
    fw2_rates *rates = apr_palloc(pool, board->rates_size);

    if (!fw2_record_read(board->rates, rates, board->rates_size)) {
        memset(rates, 0xff, board->rates_size); /* all -1 */
    }
    clamp_numbers(rates, board->rates_size, -1);
    memcpy(fallback, &rates[board->vhosts], sizeof(*fallback));
    return rates;
}

int fw2_board_accepts(const fw2_board *board, fw2_refusal *why)
{
    int runs = fw2_sync_read(&board->segment->pid) != 0;

    *why = runs ? FW2_CANNOT_LINGER : FW2_NO_PROCESS;
    return runs && !fw2_sync_read(&board->segment->refuses);
}

apr_int64_t fw2_board_held(const fw2_board *board, apr_uint32_t vhost)
{
    /* A former configuration's board may have fewer virtual hosts. */
    return vhost < board->vhosts && fw2_sync_read(&board->segment->pid)
               ? held_in(board, vhost)
               : 0;
}

void fw2_board_state_read(const fw2_board *board, fw2_board_state *state)
{
    const segment *s = board->segment;
    apr_uint64_t capacity = fw2_sync_read(&s->capacity);
    apr_time_t since = (apr_time_t)fw2_sync_read(&s->oldest);
    apr_time_t now = fw2_clock_now();
    apr_size_t i;

    state->running = fw2_sync_read(&s->pid) != 0;
    state->held = 0;
    state->capacity =
        state->running && capacity <= MOST_HELD ? (apr_int64_t)capacity : 0;
    state->oldest = -1;
    if (!state->running) {
        return;
    }
    for (i = 0; i < board->vhosts; i++) {
        state->held += held_in(board, i);
    }
    if (state->held && since > 0) {
        state->oldest = now > since ? now - since : 0;
    }
}

apr_size_t fw2_board_footprint(void)
{
    return sizeof(fw2_board) + sizeof(segment) + sizeof(fw2_board_count)
           + sizeof(fw2_rates);
}
