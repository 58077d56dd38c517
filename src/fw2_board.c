/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "fw2_board.h"

#include <string.h>

#include "apr_shm.h"

#include "fw2_clock.h"
#include "fw2_record.h"

/* More sockets than any process has descriptors for. */
#define MOST_HELD ((apr_uint64_t)1 << 24)

/* The shared memory; behind it the sockets held of each virtual host, then the
 * two records. */
typedef struct {
    fw2_shared pid;      /* 0: no process writes here */
    fw2_shared arriving; /* received, neither held nor ended yet */
    fw2_shared refuses;  /* 1: the process does not linger */
    fw2_shared capacity; /* sockets it may hold */
    fw2_shared oldest;   /* when the oldest was accepted, or 0 */
    fw2_shared held[];   /* by virtual host */
} segment;

struct fw2_board {
    segment *segment;
    fw2_record *shot;
    fw2_record *rates;
    apr_size_t endpoints;
    apr_size_t vhosts;
    int layout;
    apr_size_t shot_size;  /* bytes of the shot with its tallies */
    apr_size_t rates_size; /* bytes of the rates, the fallback's last */
    char *content;         /* of a record, before it is published */
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
    made->shot_size = sizeof(fw2_shot) + made->endpoints * sizeof(fw2_tally);
    made->rates_size = made->vhosts * sizeof(fw2_rates) + sizeof(apr_int64_t);
    head = sizeof(segment) + made->vhosts * sizeof(fw2_shared);
    rv = apr_shm_create(&shm,
                        head + fw2_record_size(made->shot_size)
                            + fw2_record_size(made->rates_size),
                        NULL, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    made->segment = apr_shm_baseaddr_get(shm);
    made->shot = (fw2_record *)((char *)made->segment + head);
    made->rates =
        (fw2_record *)((char *)made->shot + fw2_record_size(made->shot_size));
    made->content =
        apr_palloc(pool, made->shot_size > made->rates_size ? made->shot_size
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
    fw2_shared_write(&board->segment->pid, pid);
}

void fw2_board_abandon(fw2_board *board)
{
    fw2_shared_write(&board->segment->pid, 0);
}

/* ---------------------------------------------------------- the process -- */

static apr_int64_t held_in(const fw2_board *board, apr_size_t vhost)
{
    apr_uint64_t held = fw2_shared_read(&board->segment->held[vhost]);

    return held > MOST_HELD ? 0 : (apr_int64_t)held;
}

apr_int64_t fw2_board_begin(fw2_board *board, apr_uint64_t pid, int capacity)
{
    apr_uint64_t arriving = fw2_shared_read(&board->segment->arriving);
    apr_int64_t lost = arriving > MOST_HELD ? 0 : (apr_int64_t)arriving;
    apr_size_t i;

    for (i = 0; i < board->vhosts; i++) {
        lost += held_in(board, i);
        fw2_shared_write(&board->segment->held[i], 0);
    }
    fw2_shared_write(&board->segment->arriving, 0);
    fw2_shared_write(&board->segment->oldest, 0);
    fw2_shared_write(&board->segment->capacity, (apr_uint64_t)capacity);
    fw2_shared_write(&board->segment->refuses, !capacity);
    fw2_shared_write(&board->segment->pid, pid);
    return lost;
}

void fw2_board_hold(fw2_board *board, apr_uint32_t vhost, int change)
{
    fw2_shared_add(&board->segment->held[vhost], (apr_uint64_t)change);
}

void fw2_board_arriving(fw2_board *board, int n)
{
    fw2_shared_write(&board->segment->arriving, (apr_uint64_t)n);
}

void fw2_board_refuse(fw2_board *board)
{
    fw2_shared_write(&board->segment->refuses, 1);
}

void fw2_board_oldest(fw2_board *board, apr_time_t since)
{
    fw2_shared_write(&board->segment->oldest, (apr_uint64_t)since);
}

void fw2_board_publish(fw2_board *board, const fw2_shot *shot)
{
    memcpy(board->content, shot, sizeof(*shot));
    memcpy(board->content + sizeof(*shot), shot->census.tallies,
           board->shot_size - sizeof(*shot));
    fw2_record_write(board->shot, board->content, board->shot_size);
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

/* A shot of nothing: every number is -1, which means unknown. */
static void clear_shot(fw2_shot *shot, apr_size_t endpoints)
{
    memset(shot + 1, 0, endpoints * sizeof(fw2_tally));
    memset(&shot->census, 0, sizeof(shot->census));
    memset(&shot->limits, 0xff, sizeof(shot->limits));
    memset(&shot->before, 0xff, sizeof(shot->before));
    shot->census.backend = FW2_NOTHING;
    shot->census.elsewhere.half_closed = shot->census.elsewhere.outgoing = -1;
    shot->over = shot->cost = shot->age = 0;
    shot->at = 0;
    shot->descriptors = shot->descriptor_limit = -1;
    shot->counts = 0;
}

/* The most of any number; a sum of a million of them fits into 64 bits. */
#define MOST (APR_INT64_MAX >> 20)

static apr_int64_t within(apr_int64_t least, apr_int64_t value,
                          apr_int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* Clamp the numbers that a structure, or an array of structures, consists
 * of. */
static void clamp_numbers(void *numbers, apr_size_t bytes, apr_int64_t least)
{
    apr_int64_t *number = numbers, *end = number + bytes / sizeof(*number);

    for (; number < end; number++) {
        *number = within(least, *number, MOST);
    }
}

static void clamp_elsewhere(fw2_elsewhere *elsewhere)
{
    int i;

    elsewhere->half_closed = within(-1, elsewhere->half_closed, MOST);
    elsewhere->outgoing = within(-1, elsewhere->outgoing, MOST);
    elsewhere->full = within(0, elsewhere->full, MOST);
    elsewhere->drops = within(-1, elsewhere->drops, MOST);
    elsewhere->full_limit = within(-1, elsewhere->full_limit, MOST);
    elsewhere->full_port = (apr_uint16_t)elsewhere->full_port;
    elsewhere->n = (int)within(0, elsewhere->n, FW2_PORTS_MAX);
    for (i = 0; i < elsewhere->n; i++) {
        fw2_port *port = &elsewhere->top[i];

        port->role =
            (unsigned int)port->role < FW2_ROLES ? port->role : FW2_CLIENT;
        port->port = (apr_uint16_t)port->port;
        port->n = within(0, port->n, MOST);
    }
}

static void clamp_census(fw2_census *census)
{
    /* Microseconds of all sockets together, which nobody adds up. */
    apr_int64_t left = within(0, census->left.sum, APR_INT64_MAX);
    int i;

    if ((unsigned int)census->backend > FW2_NOTHING) {
        census->backend = FW2_NOTHING;
    }
    census->complete = census->complete != 0;
    census->cost = within(0, census->cost, MOST);
    for (i = 0; i < FW2_BACKENDS; i++) {
        census->refused[i][FW2_REFUSED_MAX - 1] = '\0';
    }
    clamp_numbers(&census->left, sizeof(census->left), 0);
    census->left.sum = left;
    clamp_numbers(&census->undelivered, sizeof(census->undelivered), 0);
    if (census->peers.n < 0 || census->peers.n > FW2_PEERS_MAX) {
        census->peers.n = 0;
    }
    for (i = 0; i < census->peers.n; i++) {
        census->peers.top[i].n = within(0, census->peers.top[i].n, MOST);
    }
    clamp_elsewhere(&census->elsewhere);
}

/* Nothing in a shot may lead a reader out of its memory or out of 64 bits,
 * whoever wrote it. */
static void clamp_shot(fw2_shot *shot, apr_size_t endpoints)
{
    fw2_tally *tallies = (fw2_tally *)(shot + 1);
    apr_size_t i;

    clamp_census(&shot->census);
    clamp_numbers(&shot->limits, sizeof(shot->limits), -1);
    clamp_numbers(&shot->before, sizeof(shot->before), -1);
    for (i = 0; i < endpoints; i++) {
        clamp_numbers(tallies[i].n, sizeof(tallies[i].n), 0);
        tallies[i].backlog = within(0, tallies[i].backlog, MOST);
        tallies[i].backlog_limit = within(-1, tallies[i].backlog_limit, MOST);
        tallies[i].drops = within(-1, tallies[i].drops, MOST);
    }
    shot->over = within(0, shot->over, MOST);
    shot->descriptors = within(-1, shot->descriptors, MOST);
    shot->descriptor_limit = within(-1, shot->descriptor_limit, MOST);
    shot->cost = within(0, shot->cost, MOST);
    shot->counts = within(0, shot->counts, MOST);
}

const fw2_shot *fw2_board_shot(const fw2_board *board, apr_pool_t *pool)
{
    fw2_shot *shot = apr_palloc(pool, board->shot_size);

    if (fw2_record_read(board->shot, shot, board->shot_size)) {
        apr_time_t now = fw2_monotonic_now();

        clamp_shot(shot, board->endpoints);
        shot->at = within(0, shot->at, now);
        shot->age = now - shot->at;
    }
    else {
        clear_shot(shot, board->endpoints);
    }
    shot->census.tallies = (fw2_tally *)(shot + 1);
    return shot;
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
    int runs = fw2_shared_read(&board->segment->pid) != 0;

    *why = runs ? FW2_CANNOT_LINGER : FW2_NO_PROCESS;
    return runs && !fw2_shared_read(&board->segment->refuses);
}

apr_int64_t fw2_board_held(const fw2_board *board, apr_uint32_t vhost)
{
    /* A board of a former configuration may have fewer virtual hosts. */
    return vhost < board->vhosts && fw2_shared_read(&board->segment->pid)
               ? held_in(board, vhost)
               : 0;
}

void fw2_board_state_read(const fw2_board *board, fw2_board_state *state)
{
    const segment *s = board->segment;
    apr_uint64_t capacity = fw2_shared_read(&s->capacity);
    apr_time_t since = (apr_time_t)fw2_shared_read(&s->oldest);
    apr_time_t now = fw2_monotonic_now();
    apr_size_t i;

    state->running = fw2_shared_read(&s->pid) != 0;
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
    return sizeof(fw2_board) + sizeof(segment) + sizeof(fw2_shot)
           + sizeof(fw2_rates);
}
