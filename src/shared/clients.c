/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "shared/clients.h"

#include <stdlib.h>
#include <string.h>

#include "apr_shm.h"
#include "apr_strings.h"

#include "base/clock.h"
#include "base/clamp.h"
#include "base/record.h"

/* The length of a period. The lists show the current period and the former
 * one. */
#define PERIOD apr_time_from_sec(600)

/* One of the lists of fw2_client_list. */
typedef struct {
    apr_int64_t all;
    apr_int64_t n;
    fw2_client clients[FW2_CLIENTS_MAX];
} list;

typedef struct {
    apr_time_t since; /* begin of the period; 0: no client was seen */
    list lists[FW2_CLIENT_LISTS];
} period;

/* The published lists. */
typedef struct {
    period periods[2]; /* the current one, and the former one */
} content;

struct fw2_clients {
    fw2_record *record; /* shared memory */
    apr_size_t size;    /* bytes of the shared memory */
    content *content;   /* private to the closer process; NULL elsewhere */
};

apr_status_t fw2_clients_create(fw2_clients **clients, apr_pool_t *pool)
{
    fw2_clients *made = apr_pcalloc(pool, sizeof(*made));
    apr_shm_t *shm;
    apr_status_t rv;

    made->size = fw2_record_size(sizeof(content));
    rv = apr_shm_create(&shm, made->size, NULL, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    made->record = apr_shm_baseaddr_get(shm);
    *clients = made;
    return APR_SUCCESS;
}

void fw2_clients_erase(fw2_clients *clients)
{
    memset(clients->record, 0, clients->size);
}

static void clamp_number(apr_int64_t *number)
{
    *number = fw2_clamp_number(0, *number, FW2_CLAMP_MOST);
}

/* Replace all bytes that are not printable ASCII. */
static void make_printable(char *name)
{
    for (; *name; name++) {
        *name = (char)(*name >= ' ' && *name <= '~' ? *name : '?');
    }
}

static void clamp_client(fw2_client *client)
{
    client->name[FW2_AGENT_SIZE - 1] = '\0';
    make_printable(client->name);
    clamp_number(&client->closed);
    clamp_number(&client->left_open);
    clamp_number(&client->silent);
    clamp_number(&client->expired);
    clamp_number(&client->before);
}

/* Clamp the lists, which any process can have damaged, so that no reader leaves
 * its memory or the range of 64 bits. */
static void clamp(content *c)
{
    int i, j, k;

    for (i = 0; i < 2; i++) {
        c->periods[i].since = c->periods[i].since < 0 ? 0 : c->periods[i].since;
        for (j = 0; j < FW2_CLIENT_LISTS; j++) {
            list *l = &c->periods[i].lists[j];

            clamp_number(&l->all);
            l->n = l->n < 0 || l->n > FW2_CLIENTS_MAX ? 0 : l->n;
            for (k = 0; k < l->n; k++) {
                clamp_client(&l->clients[k]);
            }
        }
    }
}

/* Return a copy of the published lists; all zero if none are published. */
static content *copy_published(const fw2_clients *clients, apr_pool_t *pool)
{
    content *copy = apr_pcalloc(pool, sizeof(*copy));

    if (!fw2_record_read(clients->record, copy, sizeof(*copy))) {
        memset(copy, 0, sizeof(*copy));
    }
    clamp(copy);
    return copy;
}

void fw2_clients_begin(fw2_clients *clients, apr_pool_t *pool)
{
    clients->content = copy_published(clients, pool);
}

void fw2_clients_publish(fw2_clients *clients)
{
    fw2_record_write(clients->record, clients->content, sizeof(content));
}

/* ------------------------------------------------------------------ keys -- */

/* Return a hash of a name (FNV-1a). A collision is harmless, because the lists
 * compare the names, too. */
static apr_uint64_t key_of(const char *name)
{
    apr_uint64_t key = APR_UINT64_C(0xcbf29ce484222325);

    for (; *name; name++) {
        key = (key ^ (unsigned char)*name) * APR_UINT64_C(0x100000001b3);
    }
    return key;
}

static void make_plain(char plain[FW2_AGENT_SIZE], const char *name)
{
    memset(plain, 0, FW2_AGENT_SIZE);
    apr_cpystrn(plain, name, FW2_AGENT_SIZE);
    make_printable(plain);
}

/* The upper 32 bits of an IPv4 net: the second half of the mapping prefix
 * (0000 ffff). The lower 32 bits are the IPv4 address. The net of an IPv6
 * address is the address's first half; no IPv6 net begins with this prefix. */
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

apr_uint64_t fw2_clients_net(const apr_sockaddr_t *address)
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
    return FW2_NO_NET;
}

void fw2_clients_address(apr_uint64_t net, unsigned char address[16])
{
    int first = net >> 32 == MAPPED >> 32 ? 8 : 0, i;

    memset(address, 0, 16);
    for (i = 0; i < 8; i++) {
        address[first + i] = (unsigned char)(net >> (56 - 8 * i));
    }
}

/* -------------------------------------------------------------- counting -- */

static void begin_period(content *c, apr_time_t now)
{
    apr_time_t since = c->periods[0].since;

    if (since && now >= since && now - since < PERIOD) {
        return;
    }
    if (since && now >= since && now - since < 2 * PERIOD) {
        c->periods[1] = c->periods[0];
    }
    else {
        memset(&c->periods[1], 0, sizeof(c->periods[1]));
    }
    memset(&c->periods[0], 0, sizeof(c->periods[0]));
    c->periods[0].since = now;
}

static apr_int64_t own_weight(fw2_client_list kind, const fw2_client *client)
{
    return kind == FW2_IDLE_NETS ? client->expired : client->left_open;
}

static fw2_client *find(list *among, apr_uint64_t key, const char *name)
{
    apr_int64_t i;

    for (i = 0; i < among->n; i++) {
        fw2_client *client = &among->clients[i];

        if (client->key == key && !strcmp(client->name, name)) {
            return client;
        }
    }
    return NULL;
}

/* Return an empty place for a client that is not in the list: a free place, or
 * the place of the client with the lowest weight, which is removed. */
static fw2_client *make_place(list *among, fw2_client_list kind)
{
    fw2_client *least = &among->clients[0];
    apr_int64_t least_weight = 0, weight, i;

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

static void count_end(list *among, fw2_client_list kind, apr_uint64_t key,
                      const char *name, const fw2_client_end *end)
{
    int left_open = fw2_endings[end->ending].open;
    int counts = kind == FW2_IDLE_NETS ? end->expired : left_open;
    fw2_client *client = find(among, key, name);

    among->all += counts;
    if (!client && !counts) {
        return;
    }
    if (!client) {
        client = make_place(among, kind);
        client->key = key;
        apr_cpystrn(client->name, name, FW2_AGENT_SIZE);
    }
    client->closed++;
    client->left_open += left_open;
    client->silent += fw2_endings[end->ending].idle;
    client->expired += end->expired;
}

void fw2_clients_ended(fw2_clients *clients, const fw2_client_end *end,
                       apr_time_t now)
{
    list *lists = clients->content->periods[0].lists;
    char plain[FW2_AGENT_SIZE];

    begin_period(clients->content, now);
    make_plain(plain, end->agent);
    count_end(&lists[FW2_AGENTS], FW2_AGENTS, key_of(plain), plain, end);
    if (end->net != FW2_NO_NET) {
        count_end(&lists[FW2_NETS], FW2_NETS, end->net, "", end);
        count_end(&lists[FW2_IDLE_NETS], FW2_IDLE_NETS, end->net, "", end);
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

static int is_same(const fw2_client *a, const fw2_client *b)
{
    return a->key == b->key && !strcmp(a->name, b->name);
}

/* Merge the lists of both periods into one. */
static void merge(fw2_client_top *top, fw2_client_list kind, const list *this,
                  const list *former, apr_pool_t *pool)
{
    fw2_client *all = apr_pcalloc(pool, 2 * sizeof(this->clients));
    apr_int64_t i, j;

    memcpy(all, this->clients, (apr_size_t)this->n * sizeof(*all));
    top->n = (int)this->n;
    for (i = 0; i < former->n; i++) {
        for (j = 0; j < this->n && !is_same(&all[j], &former->clients[i]);
             j++) {
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

int fw2_clients_read(const fw2_clients *clients, fw2_clients_seen *seen,
                     apr_pool_t *pool)
{
    content *both = copy_published(clients, pool);
    apr_time_t now = fw2_clock_now(), since;
    int i;

    if (!both->periods[0].since) {
        return 0;
    }
    begin_period(both, now);
    for (i = 0; i < FW2_CLIENT_LISTS; i++) {
        merge(&seen->top[i], (fw2_client_list)i, &both->periods[0].lists[i],
              &both->periods[1].lists[i], pool);
    }
    since = both->periods[1].since ? both->periods[1].since
                                   : both->periods[0].since;
    seen->over = now > since ? now - since : 0;
    return 1;
}

apr_size_t fw2_clients_footprint(void)
{
    return sizeof(fw2_clients) + sizeof(content);
}
