/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "fw2_clients.h"

#include <stdlib.h>
#include <string.h>

#include "apr_atomic.h"
#include "apr_general.h"
#include "apr_proc_mutex.h"
#include "apr_shm.h"
#include "apr_strings.h"
#include "apr_thread_proc.h"

/* What is seen is that of this period and of the one before. */
#define PERIOD apr_time_from_sec(600)

/* How long who may wait does. Only one that was stopped in the middle takes
 * longer than some microseconds. */
#define PATIENCE (100 * (apr_interval_time_t)1000)

/* How often who may not wait tries, and lets others run in between. */
#define TRIES 64

/* Names that are known at a time. Each has so many places that it may be in:
 * where more meet, the one that came first has to go, and what ends of it is
 * missed. */
#define NAMES  512
#define PLACES 8

#define WORDS (FW2_AGENT_SIZE / sizeof(apr_uint64_t))

typedef struct {
    apr_int64_t all;
    int n;
    fw2_client clients[FW2_CLIENTS_MAX];
} list;

typedef struct {
    apr_time_t since; /* 0: nothing was seen */
    apr_int64_t missed;
    list lists[FW2_CLIENT_LISTS];
} period;

/* All atomic. Of two that meet here, or of one that dies, something may be left
 * that does not have this key, and so is no name. */
typedef struct {
    apr_uint64_t key;
    apr_uint64_t turn; /* the later it was learned, the more; never less */
    apr_uint64_t name[WORDS];
} name_row;

/* The shared memory; guarded by the lock except as said. */
typedef struct {
    apr_uint64_t seed;     /* constant */
    apr_uint32_t missed;   /* atomic: since `periods` last took it over */
    apr_uint32_t unwanted; /* atomic: nothing is to be noted; written by the
                              parent, with the lock where it can be had */
    period periods[2];     /* this one, and the one before */
    name_row names[NAMES];
} segment;

struct fw2_clients {
    segment *segment;
    apr_proc_mutex_t *lock;
    apr_uint32_t in_vain; /* atomic, each process's own: who counts waited for
                             the lock in vain, and does not again before it is
                             to be had */
};

apr_status_t fw2_clients_create(fw2_clients **clients, apr_pool_t *pool)
{
    fw2_clients *made = apr_pcalloc(pool, sizeof(*made));
    apr_shm_t *shm;
    apr_status_t rv;

    /* This kind is for threads, too, and survives who dies with it. Children
     * have it as it is: apr_proc_mutex_child_init() would do no more than count
     * them, and forks of theirs, which end as they do, would not be counted;
     * after some the lock would be destroyed under all others. */
    rv = apr_proc_mutex_create(&made->lock, NULL, APR_LOCK_PROC_PTHREAD, pool);
    if (rv == APR_SUCCESS) {
        rv = apr_shm_create(&shm, sizeof(segment), NULL, pool);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    made->segment = apr_shm_baseaddr_get(shm);
    memset(made->segment, 0, sizeof(segment));
    (void)apr_generate_random_bytes((unsigned char *)&made->segment->seed,
                                    sizeof(made->segment->seed));
    *clients = made;
    return APR_SUCCESS;
}

/* Others hold the lock for some microseconds, unless they are made to wait for
 * a processor: who yields gives them theirs. */
static apr_status_t try_to_lock(const fw2_clients *clients)
{
    apr_status_t rv = apr_proc_mutex_trylock(clients->lock);
    int i;

    for (i = 1; i < TRIES && APR_STATUS_IS_EBUSY(rv); i++) {
        apr_thread_yield();
        rv = apr_proc_mutex_trylock(clients->lock);
    }
    return rv;
}

static apr_status_t wait_to_lock(const fw2_clients *clients)
{
    return apr_proc_mutex_timedlock(clients->lock, PATIENCE);
}

/* ------------------------------------------------------------------ keys -- */

/* What others may choose must not meet by their choice: hence the seed. */
static apr_uint64_t key_of(const segment *s, const char *name)
{
    static const apr_uint64_t odd = APR_UINT64_C(0x9e3779b97f4a7c15);
    apr_uint64_t key = s->seed;

    for (; *name; name++) {
        key = (key ^ (unsigned char)*name) * odd;
        key ^= key >> 32;
    }
    return key == FW2_NO_CLIENT || !key ? 1 : key;
}

static void make_plain(char plain[FW2_AGENT_SIZE], const char *name)
{
    char *c;

    apr_cpystrn(plain, name, FW2_AGENT_SIZE);
    for (c = plain; *c; c++) {
        *c = (char)(*c >= ' ' && *c <= '~' ? *c : '?');
    }
}

static name_row *places_of(segment *s, apr_uint64_t key)
{
    return &s->names[key % (NAMES / PLACES) * PLACES];
}

static void write_name(name_row *row, apr_uint64_t key,
                       const char name[FW2_AGENT_SIZE])
{
    apr_size_t i;

    for (i = 0; i < WORDS; i++) {
        apr_uint64_t word;

        memcpy(&word, name + i * sizeof(word), sizeof(word));
        apr_atomic_set64(&row->name[i], word);
    }
    apr_atomic_set64(&row->key, key);
}

static void read_name(name_row *row, char name[FW2_AGENT_SIZE])
{
    apr_size_t i;

    for (i = 0; i < WORDS; i++) {
        apr_uint64_t word = apr_atomic_read64(&row->name[i]);

        memcpy(name + i * sizeof(word), &word, sizeof(word));
    }
    name[FW2_AGENT_SIZE - 1] = '\0';
}

/* Whether a name is known. */
static int find_name(segment *s, apr_uint64_t key, char name[FW2_AGENT_SIZE])
{
    name_row *rows = places_of(s, key);
    int i;

    for (i = 0; i < PLACES; i++) {
        if (apr_atomic_read64(&rows[i].key) == key) {
            read_name(&rows[i], name);
            if (key_of(s, name) == key) {
                return 1;
            }
        }
    }
    return 0;
}

/* A name's place: that of the one that was learned first, of which no other
 * takes it before all its neighbours have been taken. */
static name_row *take_place(segment *s, apr_uint64_t key)
{
    name_row *rows = places_of(s, key), *first;
    apr_uint64_t least, most;
    int i;

    do {
        first = rows;
        least = most = apr_atomic_read64(&rows->turn);
        for (i = 1; i < PLACES; i++) {
            apr_uint64_t turn = apr_atomic_read64(&rows[i].turn);

            first = turn < least ? &rows[i] : first;
            least = turn < least ? turn : least;
            most = turn > most ? turn : most;
        }
    } while (apr_atomic_cas64(&first->turn, most + 1, least) != least);
    return first;
}

static const char no_name[FW2_AGENT_SIZE];

/* What is not wanted any more while it is learned is forgotten, whichever is
 * first. */
static void learn(segment *s, apr_uint64_t key, const char name[FW2_AGENT_SIZE])
{
    name_row *row;

    if (apr_atomic_read32(&s->unwanted)) {
        return;
    }
    row = take_place(s, key);
    write_name(row, key, name);
    if (apr_atomic_read32(&s->unwanted)) {
        write_name(row, 0, no_name);
    }
}

apr_uint64_t fw2_client_agent(fw2_clients *clients, const char *name)
{
    char plain[FW2_AGENT_SIZE] = "", known[FW2_AGENT_SIZE];
    apr_uint64_t key;

    make_plain(plain, name ? name : "(none)");
    key = key_of(clients->segment, plain);
    if (!find_name(clients->segment, key, known)) {
        learn(clients->segment, key, plain);
    }
    return key;
}

/* The first half of an IPv6 address; of an IPv4 address what stands behind the
 * prefix of mapped ones. No net of IPv6 begins so. */
#define MAPPED ((apr_uint64_t)0xffff << 32)

static apr_uint64_t number_of(const unsigned char *bytes, int n)
{
    apr_uint64_t number = 0;
    int i;

    for (i = 0; i < n; i++) {
        number = number << 8 | bytes[i];
    }
    return number;
}

apr_uint64_t fw2_client_net(const apr_sockaddr_t *address)
{
    static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
    const unsigned char *bytes = address->ipaddr_ptr;

    if (address->family == APR_INET) {
        return MAPPED | number_of(bytes, 3) << 8;
    }
#if APR_HAVE_IPV6
    if (address->family == APR_INET6) {
        return memcmp(bytes, mapped, sizeof(mapped))
                   ? number_of(bytes, 8)
                   : MAPPED | number_of(bytes + 12, 3) << 8;
    }
#endif
    return FW2_NO_CLIENT;
}

void fw2_client_address(apr_uint64_t net, unsigned char address[16])
{
    int first = net >> 32 == MAPPED >> 32 ? 8 : 0, i;

    memset(address, 0, 16);
    for (i = 0; i < 8; i++) {
        address[first + i] = (unsigned char)(net >> (56 - 8 * i));
    }
}

/* -------------------------------------------------------------- counting -- */

/* With the lock. */
static void begin_period(segment *s, apr_time_t now)
{
    apr_time_t since = s->periods[0].since;

    /* Clocks of several threads may differ, and may be set back a little. */
    if (now > since - PERIOD && now < since + PERIOD) {
        return;
    }
    if (now >= since && now < since + 2 * PERIOD) {
        s->periods[1] = s->periods[0];
    }
    else {
        memset(&s->periods[1], 0, sizeof(s->periods[1]));
    }
    memset(&s->periods[0], 0, sizeof(s->periods[0]));
    s->periods[0].since = now;
}

static apr_int64_t own_weight(fw2_client_list kind, const fw2_client *client)
{
    return kind == FW2_IDLE_NETS ? client->expired : client->left_open;
}

static fw2_client *find(list *among, apr_uint64_t key)
{
    int i;

    for (i = 0; i < among->n; i++) {
        if (among->clients[i].key == key) {
            return &among->clients[i];
        }
    }
    return NULL;
}

/* A place for who is not in the list: a new one, or that of the one with the
 * least. */
static fw2_client *make_place(list *among, fw2_client_list kind)
{
    fw2_client *least = &among->clients[0];
    apr_int64_t least_weight = 0, weight;
    int i;

    if (among->n < FW2_CLIENTS_MAX) {
        least = &among->clients[among->n++];
    }
    else {
        for (i = 0; i < among->n; i++) {
            fw2_client *client = &among->clients[i];

            weight = client->before + own_weight(kind, client);
            if (i == 0 || weight < least_weight) {
                least = client;
                least_weight = weight;
            }
        }
    }
    memset(least, 0, sizeof(*least));
    least->before = least_weight;
    return least;
}

/* Put a client into a list; NULL if its name has been forgotten. */
static fw2_client *enter(segment *s, fw2_client_list kind, apr_uint64_t key)
{
    char name[FW2_AGENT_SIZE] = "";
    fw2_client *client;

    if (kind == FW2_AGENTS && !find_name(s, key, name)) {
        return NULL;
    }
    client = make_place(&s->periods[0].lists[kind], kind);
    client->key = key;
    memcpy(client->name, name, sizeof(name));
    return client;
}

static int is_silent(fw2_ending ending)
{
    return ending == FW2_SILENCE || ending == FW2_TOTAL;
}

/* Whether it could be noted. */
static int note(segment *s, fw2_client_list kind, apr_uint64_t key,
                const fw2_client_end *end)
{
    list *among = &s->periods[0].lists[kind];
    int left_open = fw2_ending_leaves_open(end->ending);
    int counts = kind == FW2_IDLE_NETS ? end->expired : left_open;
    fw2_client *client = key == FW2_NO_CLIENT ? NULL : find(among, key);

    among->all += counts;
    if (!client && counts && key != FW2_NO_CLIENT) {
        client = enter(s, kind, key);
    }
    if (client) {
        client->closed++;
        client->left_open += left_open;
        client->silent += is_silent(end->ending);
        client->expired += end->expired;
    }
    return client || !counts;
}

static void note_all(segment *s, const fw2_client_end *end)
{
    int missed;

    begin_period(s, apr_time_now());
    missed = !note(s, FW2_AGENTS, end->agent, end);
    missed |= !note(s, FW2_NETS, end->net, end);
    missed |= !note(s, FW2_IDLE_NETS, end->net, end);
    s->periods[0].missed += missed + apr_atomic_xchg32(&s->missed, 0);
}

/* Whoever is stopped with the lock must not make others wait every time. */
static apr_status_t lock_to_count(fw2_clients *clients, int may_block)
{
    int waits = may_block && !apr_atomic_read32(&clients->in_vain);
    apr_status_t rv = waits ? wait_to_lock(clients) : try_to_lock(clients);

    if (may_block) {
        apr_atomic_set32(&clients->in_vain, rv != APR_SUCCESS);
    }
    return rv;
}

void fw2_clients_ended(fw2_clients *clients, const fw2_client_end *end,
                       int may_block)
{
    segment *s = clients->segment;

    if (lock_to_count(clients, may_block) != APR_SUCCESS) {
        apr_atomic_inc32(&s->missed);
        return;
    }
    if (!apr_atomic_read32(&s->unwanted)) {
        note_all(s, end);
    }
    apr_proc_mutex_unlock(clients->lock);
}

/* --------------------------------------------------------------- wanting -- */

static void forget_names(segment *s)
{
    int i;

    for (i = 0; i < NAMES; i++) {
        write_name(&s->names[i], 0, no_name);
    }
}

/* The lists are emptied when nobody wants them any more, and once more when
 * they are wanted again: the lock may not have been had the first time. */
void fw2_clients_want(fw2_clients *clients, int wanted)
{
    segment *s = clients->segment;
    int was_wanted = !apr_atomic_read32(&s->unwanted);

    if (wanted && was_wanted) {
        return;
    }
    apr_atomic_set32(&s->unwanted, 1);
    forget_names(s);
    if (wait_to_lock(clients) == APR_SUCCESS) {
        memset(s->periods, 0, sizeof(s->periods));
        apr_atomic_set32(&s->unwanted, !wanted);
        apr_proc_mutex_unlock(clients->lock);
    }
}

/* --------------------------------------------------------------- reading -- */

static void add(fw2_client *to, const fw2_client *client)
{
    to->closed += client->closed;
    to->left_open += client->left_open;
    to->silent += client->silent;
    to->expired += client->expired;
    to->before += client->before;
}

static int compare(fw2_client_list kind, const fw2_client *a,
                   const fw2_client *b)
{
    apr_int64_t more = own_weight(kind, b) - own_weight(kind, a);

    return more > 0 ? 1 : more < 0 ? -1 : memcmp(a, b, sizeof(*a));
}

static int by_left_open(const void *a, const void *b)
{
    return compare(FW2_AGENTS, a, b);
}

static int by_expired(const void *a, const void *b)
{
    return compare(FW2_IDLE_NETS, a, b);
}

/* Both periods in one, in the place of the first, which has room for both. */
static void merge(fw2_client_top *top, fw2_client_list kind, const list *this,
                  const list *former, apr_pool_t *pool)
{
    fw2_client *all = apr_pcalloc(pool, 2 * sizeof(this->clients));
    int i, j;

    memcpy(all, this->clients, (apr_size_t)this->n * sizeof(*all));
    top->n = this->n;
    for (i = 0; i < former->n; i++) {
        for (j = 0; j < this->n && all[j].key != former->clients[i].key; j++) {
        }
        if (j == this->n) {
            j = top->n++;
            memcpy(&all[j], &former->clients[i], sizeof(*all));
        }
        else {
            add(&all[j], &former->clients[i]);
        }
    }
    qsort(all, (apr_size_t)top->n, sizeof(*all),
          kind == FW2_IDLE_NETS ? by_expired : by_left_open);
    top->n = top->n < FW2_CLIENTS_MAX ? top->n : FW2_CLIENTS_MAX;
    top->all = this->all + former->all;
    top->clients = all;
}

apr_status_t fw2_clients_read(fw2_clients *clients, fw2_clients_seen *seen,
                              apr_pool_t *pool)
{
    segment *s = clients->segment;
    period *both = apr_palloc(pool, sizeof(s->periods));
    apr_time_t since, now;
    apr_status_t rv;
    int i;

    rv = wait_to_lock(clients);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    now = apr_time_now(); /* later than what any other began with */
    if (s->periods[0].since) {
        begin_period(s, now);
    }
    memcpy(both, s->periods, sizeof(s->periods));
    apr_proc_mutex_unlock(clients->lock);
    for (i = 0; i < FW2_CLIENT_LISTS; i++) {
        merge(&seen->top[i], (fw2_client_list)i, &both[0].lists[i],
              &both[1].lists[i], pool);
    }
    since = both[1].since ? both[1].since : both[0].since;
    seen->over = since && now > since ? now - since : 0;
    seen->missed = both[0].missed + both[1].missed;
    return APR_SUCCESS;
}
