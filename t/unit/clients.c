/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The room clients: the listed clients among thousands, periods of ten minutes
 * by a clock that can be set forward, User-Agents of any bytes, and killed
 * processes.
 */

#include <arpa/inet.h>

#include "apr_general.h"
#include "apr_strings.h"

#include "shared/clients.h"
#include "base/clock.h"
#include "child.h"
#include "clock.h"
#include "tap.h"

static apr_pool_t *pool;
static fw2_clients *clients;
static fw2_clients_seen seen;

static apr_uint64_t net(const char *address)
{
    apr_sockaddr_t *at;

    if (apr_sockaddr_info_get(&at, address, APR_UNSPEC, 80, 0, pool)
        != APR_SUCCESS) {
        bail_out("an address is invalid");
    }
    return fw2_clients_net(at);
}

static void end_at(const char *agent, apr_uint64_t at, int n, fw2_ending ending,
                   int expired)
{
    fw2_client_end end = { agent, at, ending, expired };

    while (n-- > 0) {
        fw2_clients_ended(clients, &end, fw2_clock_now());
    }
}

/* End n connections of a client. */
static void end_some(const char *agent, const char *address, int n,
                     fw2_ending ending, int expired)
{
    end_at(agent, net(address), n, ending, expired);
}

/* Begin without clients, like a new closer process. */
static void erase(void)
{
    fw2_clients_erase(clients);
    fw2_clients_begin(clients, pool);
}

/* Read the published lists, and free those that were read before. */
static int read_published(void)
{
    static apr_pool_t *of_seen;

    if (!of_seen) {
        apr_pool_create(&of_seen, pool);
    }
    apr_pool_clear(of_seen);
    memset(&seen, 0, sizeof(seen));
    return fw2_clients_read(clients, &seen, of_seen);
}

static void look(void)
{
    fw2_clients_publish(clients);
    if (!read_published()) {
        printf("# nothing is published\n");
    }
}

static const fw2_client *listed(fw2_client_list list, apr_uint64_t key)
{
    int i;

    for (i = 0; i < seen.top[list].n; i++) {
        if (seen.top[list].clients[i].key == key) {
            return &seen.top[list].clients[i];
        }
    }
    return NULL;
}

static const fw2_client *agent_at(int i)
{
    static const fw2_client none;

    return i < seen.top[FW2_AGENTS].n ? &seen.top[FW2_AGENTS].clients[i]
                                      : &none;
}

/* ------------------------------------------------------------- counting -- */

static const char *net_text(const char *address)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char bytes[16];

    fw2_clients_address(net(address), bytes);
    return apr_pstrdup(pool, inet_ntop(AF_INET6, bytes, text, sizeof(text)));
}

static void test_nets(void)
{
    apr_sockaddr_t other = { .family = 0 };

    is_str(net_text("192.0.2.77"), "::ffff:192.0.2.0",
           "the net of an IPv4 address is its /24");
    is_str(net_text("::ffff:192.0.2.99"), "::ffff:192.0.2.0",
           "a mapped address has the net of its IPv4 address");
    is_str(net_text("2001:db8:1:2:3:4:5:6"),
           "2001:db8:1:2::", "the net of an IPv6 address is its /64");
    is_str(net_text("::1"), "::", "the net of IPv6's loopback address is ::");
    ok(net("192.0.2.1") != net("192.0.3.1"), "another /24 is another net");
    ok(fw2_clients_net(&other) == FW2_NO_NET, "another family has no net");
}

static void test_counts(void)
{
    const fw2_client *client;

    fw2_clients_begin(clients, pool);
    ok(!read_published(), "nothing is published at first");
    look();
    ok(!seen.over && !seen.top[FW2_AGENTS].n, "no client is listed at first");
    end_some("pool/1", "192.0.2.1", 3, FW2_ACKED, 1);
    end_some("pool/1", "192.0.2.2", 2, FW2_SILENCE, 0);
    end_some("pool/1", "192.0.2.3", 1, FW2_TOTAL, 0);
    end_some("pool/1", "192.0.2.3", 4, FW2_PEER_CLOSED, 0);
    end_some("polite", "198.51.100.1", 9, FW2_PEER_CLOSED, 1);
    end_some("polite", "198.51.100.1", 1, FW2_PEER_RESET, 0);
    end_at("no net", FW2_NO_NET, 1, FW2_PEER_CLOSED, 1);
    ok(!read_published() || !seen.top[FW2_AGENTS].n,
       "a client is not read before it is published");
    look();
    is_int(seen.top[FW2_AGENTS].n, 1, "an agent that closes is not listed");
    client = agent_at(0);
    is_str(client->name, "pool/1", "an agent that does not close is listed");
    is_int(client->closed, 10, "the connections of a client are counted");
    is_int(client->left_open, 6,
           "the unclosed connections of a client are counted");
    is_int(client->silent, 3, "the connections that ended idle are counted");
    is_int(client->expired, 3,
           "the expired connections of a client are counted");
    is_int(seen.top[FW2_AGENTS].all, 6,
           "the unclosed connections of all agents are added up");
    client = listed(FW2_NETS, net("192.0.2.255"));
    ok(client && client->closed == 10, "addresses of one net are one client");
    client = seen.top[FW2_IDLE_NETS].clients;
    ok(client->key == net("198.51.100.9") && client->expired == 9,
       "the net with the most expired connections is the first");
    is_int(seen.top[FW2_IDLE_NETS].all, 12,
           "the expired connections of all nets are added up");
}

/* --------------------------------------------------------------- agents -- */

static void test_names(void)
{
    char endless[1001], first[FW2_AGENT_SIZE];

    erase();
    memset(endless, 'x', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    end_some("", "192.0.2.1", 7, FW2_ACKED, 0);
    end_some("a\n\x80[b]\x7f", "192.0.2.1", 3, FW2_ACKED, 0);
    end_some("a\r\xff[b]\x01", "192.0.2.1", 3, FW2_ACKED, 0);
    end_some(endless, "192.0.2.1", 1, FW2_ACKED, 0);
    endless[FW2_AGENT_SIZE] = 'y';
    end_some(endless, "192.0.2.1", 1, FW2_ACKED, 0);
    look();
    is_int(seen.top[FW2_AGENTS].n, 3, "three agents are listed");
    is_str(agent_at(0)->name, "", "an empty agent is listed");
    is_str(agent_at(1)->name, "a?\?[b]?",
           "bytes other than printable ASCII become question marks");
    is_int(agent_at(1)->left_open, 6,
           "agents that differ only in other bytes are one");
    apr_cpystrn(first, endless, sizeof(first));
    is_str(agent_at(2)->name, first, "a long agent is cut");
    is_int(agent_at(2)->left_open, 2,
           "agents with the same first bytes are one");
}

static int is_printable(const char *name)
{
    for (; *name; name++) {
        if (*name < ' ' || *name > '~') {
            return 0;
        }
    }
    return 1;
}

static void test_hostile_agents(void)
{
    static const char *const hostile[] = {
        "%s%s%s%n%n%n",
        "\r\nSet-Cookie: a=b",
        "<script>alert(1)</script>",
        "\x1b[2J",
        "\xff\xfe\xfd",
        "a\tb",
        "\xe2\x80\xae"
        "abc",
        "'; DROP TABLE --",
    };
    enum { HOSTILE = sizeof(hostile) / sizeof(hostile[0]) };
    char agent[300];
    int i, j, wrong = 0;

    erase();
    for (i = 0; i < HOSTILE; i++) {
        end_some(hostile[i], "192.0.2.1", HOSTILE - i, FW2_ACKED, 0);
    }
    look();
    is_int(seen.top[FW2_AGENTS].n, HOSTILE, "hostile agents are listed");
    is_str(agent_at(0)->name, hostile[0],
           "a format string is listed unchanged");
    is_str(agent_at(1)->name, "?\?Set-Cookie: a=b",
           "a name never has a line break");
    for (i = 0; i < 20000; i++) {
        random_fill(agent, sizeof(agent) - 1);
        agent[sizeof(agent) - 1] = '\0';
        agent[random_number() % sizeof(agent)] = '\0';
        end_at(agent, random_number(), 1, (fw2_ending)(i % FW2_ENDINGS), i & 1);
        if (i % 100 == 0) {
            look();
            for (j = 0; j < seen.top[FW2_AGENTS].n; j++) {
                wrong += !is_printable(agent_at(j)->name)
                         || strlen(agent_at(j)->name) >= FW2_AGENT_SIZE;
            }
        }
    }
    is_int(wrong, 0, "agents of random bytes are printable ASCII");
}

/* ------------------------------------------------------------ thousands -- */

/* End one connection each of ten thousand clients, mixed with connections of two
 * frequent clients. */
static void end_crowd(void)
{
    int i;

    for (i = 0; i < 10000; i++) {
        end_at(apr_psprintf(pool, "crowd/%d", i),
               net("10.0.0.0") + ((apr_uint64_t)i << 8), 1, FW2_ACKED, 0);
        if (i % 20 == 0) {
            end_some("pool/1", "192.0.2.1", 1, FW2_ACKED, 0);
        }
        if (i >= 5000 && i % 20 == 0) {
            end_some("late/1", "203.0.113.1", 1, FW2_ACKED, 0);
        }
    }
}

static void test_many(void)
{
    const fw2_client *client;

    erase();
    end_crowd();
    look();
    is_int(seen.top[FW2_AGENTS].n, FW2_CLIENTS_MAX,
           "a list of thousands has its size");
    is_int(seen.top[FW2_AGENTS].all, 10750,
           "clients that are not listed are in the sum");
    client = agent_at(0);
    is_str(client->name, "pool/1", "one agent in twenty is the first");
    ok(client->left_open <= 500 && client->left_open > 400,
       "%d of 500 unclosed connections are counted", (int)client->left_open);
    ok(client->before + client->left_open >= 500,
       "the bound of the error covers the rest of the 500");
    client = seen.top[FW2_NETS].clients;
    ok(client->key == net("192.0.2.1"), "one net in twenty is the first");
    client = listed(FW2_NETS, net("203.0.113.1"));
    ok(client && client->before && client->left_open <= 250
           && client->before + client->left_open >= 250,
       "a frequent net that begins after the list is full is listed");
}

/* Test that every client with more than one part in 64 is listed. */
static void test_guarantee(void)
{
    enum { NETS = 300 };
    static apr_int64_t real[NETS];
    apr_int64_t all = 0;
    int i, missing = 0, wrong = 0;

    erase();
    for (i = 0; i < 50000; i++) {
        apr_uint64_t at =
            random_number() % NETS * (random_number() % NETS) / NETS;

        end_at("", at, 1, FW2_ACKED, 0);
        real[at]++;
        all++;
    }
    look();
    for (i = 0; i < NETS; i++) {
        const fw2_client *client = listed(FW2_NETS, (apr_uint64_t)i);

        missing += !client && real[i] > all / FW2_CLIENTS_MAX;
        wrong += client
                 && (client->left_open > real[i]
                     || client->left_open + client->before < real[i]);
    }
    is_int(missing, 0, "each net with more than one part in 64 is listed");
    is_int(wrong, 0, "the real number is within the bound of the error");
}

/* -------------------------------------------------------------- periods -- */

static void test_periods(void)
{
    erase();
    end_some("old", "192.0.2.1", 5, FW2_ACKED, 0);
    ahead += 601;
    end_some("new", "192.0.2.2", 2, FW2_ACKED, 0);
    end_some("old", "192.0.2.1", 1, FW2_ACKED, 0);
    look();
    is_str(agent_at(0)->name, "old", "the lists of both periods are one list");
    is_int(agent_at(0)->left_open, 6,
           "a client of both periods has the sum of both");
    is_int(seen.top[FW2_AGENTS].n, 2,
           "a client of both periods is listed once");
    is_int(seen.top[FW2_AGENTS].all, 8,
           "the sums of both periods are added up");
    ok(seen.over >= apr_time_from_sec(601)
           && seen.over < apr_time_from_sec(1200),
       "the lists go back to the beginning of the former period");
    ahead += 601;
    look();
    is_int(seen.top[FW2_AGENTS].all, 3,
           "clients are removed after twenty minutes");
    is_str(agent_at(0)->name, "new", "clients of the last twenty minutes stay");
    ok(seen.over >= apr_time_from_sec(601), "the former period stays");
    ahead += 1201;
    look();
    is_int(seen.top[FW2_AGENTS].n, 0, "all clients are removed later");
    end_some("back", "192.0.2.1", 1, FW2_ACKED, 0);
    look();
    is_int(seen.top[FW2_AGENTS].n, 1,
           "new clients are listed after all were removed");
}

static void test_full_periods(void)
{
    int i;

    erase();
    for (i = 0; i < 2 * FW2_CLIENTS_MAX; i++) {
        if (i == FW2_CLIENTS_MAX) {
            ahead += 700;
        }
        end_at(apr_psprintf(pool, "%d", i), (apr_uint64_t)i, 1 + i % 7,
               FW2_ACKED, 0);
    }
    look();
    is_int(seen.top[FW2_AGENTS].n, FW2_CLIENTS_MAX,
           "two full lists are merged to the size of one");
    ok(agent_at(0)->left_open == 7
           && agent_at(FW2_CLIENTS_MAX - 1)->left_open >= 3,
       "the clients with the most connections of two full lists stay");
}

static void test_damaged_period(void)
{
    erase();
    end_some("old", "192.0.2.1", 5, FW2_ACKED, 0);
    ahead += 100000;
    end_some("future", "192.0.2.1", 5, FW2_ACKED, 0);
    ahead -= 100000;
    end_some("now", "192.0.2.1", 1, FW2_ACKED, 0);
    look();
    ok(seen.top[FW2_AGENTS].n == 1 && !strcmp(agent_at(0)->name, "now"),
       "a period of the future is removed");
}

static void test_erase(void)
{
    erase();
    end_some("gone", "192.0.2.1", 5, FW2_ACKED, 0);
    look();
    is_int(seen.top[FW2_AGENTS].n, 1, "a client is published");
    fw2_clients_erase(clients);
    ok(!read_published(), "nothing is published after lists are erased");
    fw2_clients_begin(clients, pool);
    end_some("new", "192.0.2.1", 1, FW2_ACKED, 0);
    look();
    ok(seen.top[FW2_AGENTS].n == 1 && !strcmp(agent_at(0)->name, "new"),
       "a process that begins after that lists no old client");
}

/* ------------------------------------------------------------ processes -- */

static int end_and_publish(void *data)
{
    fw2_clients_begin(clients, pool);
    end_some("child", "192.0.2.1", *(const int *)data, FW2_ACKED, 0);
    fw2_clients_publish(clients);
    end_some("lost", "192.0.2.1", 1, FW2_ACKED, 0);
    return 0;
}

static void test_next_process(void)
{
    int first = 10, second = 5;

    erase();
    is_int(child_wait(child_start(end_and_publish, &first)), 0,
           "a process publishes lists and exits");
    ok(read_published() && agent_at(0)->left_open == 10,
       "another process reads the lists of a process that has exited");
    is_int(child_wait(child_start(end_and_publish, &second)), 0,
           "a second process publishes lists");
    ok(read_published() && agent_at(0)->left_open == 15
           && seen.top[FW2_AGENTS].n == 1,
       "the second process continues the lists of the first");
}

/* Publish without a pause, with names of one repeated letter and a number. */
static int publish_forever(void *data)
{
    char name[FW2_AGENT_SIZE];
    int i;

    fw2_clients_begin(clients, pool);
    memset(name, 'a' + (int)(getpid() % 26), 100);
    for (i = 0;; i++) {
        apr_snprintf(name + 100, sizeof(name) - 100, "%d", i % 300);
        end_at(name, (apr_uint64_t)i % 100, 1, FW2_ACKED, 1);
        fw2_clients_publish(clients);
        fw2_sync_add(data, 1);
    }
    return 0;
}

/* True if a name was sent by no process, or the sum of a list is wrong. */
static int is_mixture(void)
{
    apr_int64_t sum = 0;
    int i;

    for (i = 0; i < seen.top[FW2_AGENTS].n; i++) {
        const char *name = agent_at(i)->name;
        size_t letters = strspn(name, (char[]){ name[0], '\0' });

        if (letters != 100 || name[100 + strspn(name + 100, "0123456789")]) {
            return 1;
        }
        sum += agent_at(i)->left_open;
    }
    return sum > seen.top[FW2_AGENTS].all
           || seen.top[FW2_AGENTS].all != seen.top[FW2_IDLE_NETS].all;
}

static void test_beside_writer(void)
{
    fw2_shared *published = shared_memory(sizeof(*published));
    int i, found = 0, mixtures = 0;
    pid_t pid;

    erase();
    pid = child_start(publish_forever, published);
    ok(wait_until(published, 100), "a process publishes without a pause");
    for (i = 0; i < 1000000 && found < 300; i++) {
        if (read_published()) {
            found++;
            mixtures += is_mixture();
        }
    }
    child_kill(pid);
    ok(found, "a reader gets lists %d times beside a writer", found);
    is_int(mixtures, 0, "lists are never mixed beside a writer");
}

static void test_killed(void)
{
    fw2_shared *published = shared_memory(sizeof(*published));
    apr_int64_t all = 0;
    int i, unread = 0, mixtures = 0, fewer = 0;

    erase();
    for (i = 0; i < 50; i++) {
        apr_uint64_t before = fw2_sync_read(published);
        pid_t pid = child_start(publish_forever, published);

        if (!wait_until(published, before + 3)) {
            bail_out("a child does not publish");
        }
        child_kill(pid);
        unread += !read_published();
        mixtures += is_mixture();
        fewer += seen.top[FW2_AGENTS].all < all + 3;
        all = seen.top[FW2_AGENTS].all;
    }
    is_int(unread, 0, "lists can be read after each of 50 killed processes");
    is_int(mixtures, 0,
           "lists are never mixed after each of 50 killed processes");
    is_int(fewer, 0, "each process continues the lists of the previous one");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    alarm(120);
    if (fw2_clients_create(&clients, pool) != APR_SUCCESS) {
        bail_out("no shared memory");
    }
    test_nets();
    test_counts();
    test_names();
    test_hostile_agents();
    test_many();
    test_guarantee();
    test_periods();
    test_full_periods();
    test_damaged_period();
    test_erase();
    test_next_process();
    test_beside_writer();
    test_killed();
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
