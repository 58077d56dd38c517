/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The room clients: who is named among thousands, by threads and by processes,
 * some of which are killed. What it forgets takes minutes, so the clock can be
 * set forward.
 */

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/wait.h>

#include "apr_general.h"
#include "apr_strings.h"

#include "fw2_clients.h"
#include "clock.h"
#include "tap.h"

#define THREADS 4
#define EACH    5000

static apr_pool_t *pool;
static fw2_clients *clients;
static fw2_clients_seen seen;

static apr_uint64_t net(const char *address)
{
    apr_sockaddr_t *at;

    if (apr_sockaddr_info_get(&at, address, APR_UNSPEC, 80, 0, pool)
        != APR_SUCCESS) {
        printf("Bail out! %s is no address\n", address);
        exit(1);
    }
    return fw2_client_net(at);
}

/* So many connections of a client's end. */
static void end_some(const char *agent, const char *address, int n,
                     fw2_ending ending, int expired)
{
    fw2_client_end end = { fw2_client_agent(clients, agent), net(address),
                           ending, expired };

    while (n-- > 0) {
        fw2_clients_ended(clients, &end, 0);
    }
}

static void forget(void)
{
    fw2_clients_want(clients, 0);
    fw2_clients_want(clients, 1);
}

/* What was seen before is gone then. */
static int try_to_look(void)
{
    static apr_pool_t *of_seen;

    if (!of_seen) {
        apr_pool_create(&of_seen, pool);
    }
    apr_pool_clear(of_seen);
    return fw2_clients_read(clients, &seen, of_seen) == APR_SUCCESS;
}

static void look(void)
{
    if (!try_to_look()) {
        printf("Bail out! the lock cannot be had\n");
        exit(1);
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

static const char *net_text(const char *address)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char bytes[16];

    fw2_client_address(net(address), bytes);
    return apr_pstrdup(pool, inet_ntop(AF_INET6, bytes, text, sizeof(text)));
}

static void test_nets(void)
{
    is_str(net_text("192.0.2.77"), "::ffff:192.0.2.0", "IPv4 by its /24");
    is_str(net_text("::ffff:192.0.2.99"), "::ffff:192.0.2.0", "mapped, folded");
    is_str(net_text("2001:db8:1:2:3:4:5:6"),
           "2001:db8:1:2::", "IPv6 by its /64");
    is_str(net_text("::1"), "::", "IPv6's loopback");
    ok(net("192.0.2.1") != net("192.0.3.1"), "another net is another");
}

static void test_counts(void)
{
    const fw2_client *client;

    look();
    is_int(seen.over, 0, "at first nothing was seen");
    is_int(seen.top[FW2_AGENTS].n, 0, "and nobody is listed");
    end_some("pool/1", "192.0.2.1", 3, FW2_ACKED, 1);
    end_some("pool/1", "192.0.2.2", 2, FW2_SILENCE, 0);
    end_some("pool/1", "192.0.2.3", 1, FW2_TOTAL, 0);
    end_some("pool/1", "192.0.2.3", 4, FW2_PEER_CLOSED, 0);
    end_some("polite", "198.51.100.1", 9, FW2_PEER_CLOSED, 1);
    end_some("polite", "198.51.100.1", 1, FW2_PEER_RESET, 0);
    look();
    is_int(seen.top[FW2_AGENTS].n, 1, "who closes is not listed");
    client = &seen.top[FW2_AGENTS].clients[0];
    is_str(client->name, "pool/1", "who does not is, by its name");
    is_int(client->closed, 10, "with all its connections");
    is_int(client->left_open, 6, "those it left open");
    is_int(client->silent, 3, "those that were waited for in vain");
    is_int(client->expired, 3, "those that were idle");
    is_int(seen.top[FW2_AGENTS].all, 6, "what all left open");
    client = listed(FW2_NETS, net("192.0.2.255"));
    ok(client && client->closed == 10, "its addresses are one net");
    client = seen.top[FW2_IDLE_NETS].clients;
    ok(client->key == net("198.51.100.9") && client->expired == 9,
       "whose connections were idle most often, though it closes");
    is_int(seen.top[FW2_IDLE_NETS].all, 12, "what all had idle");
    is_int(seen.missed, 0, "nothing was missed");
}

static void test_names(void)
{
    char endless[1001], first[FW2_AGENT_SIZE];

    forget();
    memset(endless, 'x', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    end_some(NULL, "192.0.2.1", 4, FW2_ACKED, 0);
    end_some("a\n\x80[b]\x7f", "192.0.2.1", 3, FW2_ACKED, 0);
    end_some(endless, "192.0.2.1", 1, FW2_ACKED, 0);
    endless[FW2_AGENT_SIZE] = 'y';
    end_some(endless, "192.0.2.1", 1, FW2_ACKED, 0);
    look();
    is_int(seen.top[FW2_AGENTS].n, 3, "three names");
    is_str(seen.top[FW2_AGENTS].clients[0].name, "(none)", "no name");
    is_str(seen.top[FW2_AGENTS].clients[1].name,
           "a?"
           "?[b]?",
           "made plain");
    apr_cpystrn(first, endless, sizeof(first));
    is_str(seen.top[FW2_AGENTS].clients[2].name, first, "cut");
    is_int(seen.top[FW2_AGENTS].clients[2].left_open, 2,
           "two that are cut alike are one");
}

/* Ten thousand that leave one open each, and in between some that matter. */
static void test_many(void)
{
    const fw2_client *client;
    int i;

    forget();
    for (i = 0; i < 10000; i++) {
        end_some(apr_psprintf(pool, "crowd/%d", i),
                 apr_psprintf(pool, "10.%d.%d.1", i / 256, i % 256), 1,
                 FW2_ACKED, 0);
        if (i % 20 == 0) {
            end_some("pool/1", "192.0.2.1", 1, FW2_ACKED, 0);
        }
        if (i >= 5000 && i % 20 == 0) {
            end_some("late/1", "203.0.113.1", 1, FW2_ACKED, 0);
        }
    }
    look();
    is_int(seen.top[FW2_AGENTS].n, FW2_CLIENTS_MAX, "a list has its size");
    is_int(seen.top[FW2_AGENTS].all, 10750, "all are in the sum");
    client = seen.top[FW2_AGENTS].clients;
    is_str(client->name, "pool/1", "one in twenty is first among thousands");
    ok(client->left_open <= 500 && client->left_open > 400,
       "with what was seen of it: %d", (int)client->left_open);
    ok(client->before + client->left_open >= 500,
       "and the rest is allowed for");
    client = seen.top[FW2_NETS].clients;
    ok(client->key == net("192.0.2.1"), "its net is first, too");
    client = listed(FW2_NETS, net("203.0.113.1"));
    ok(client && client->before && client->left_open <= 250
           && client->before + client->left_open >= 250,
       "who came when all places were taken is there");
}

/* Of whom the key was made before. */
static void test_forgets_names(void)
{
    fw2_client_end end = { fw2_client_agent(clients, "gone"), net("192.0.2.1"),
                           FW2_ACKED, 0 };

    forget();
    fw2_clients_ended(clients, &end, 0);
    look();
    is_int(seen.top[FW2_AGENTS].n, 0, "the name of one of before");
    is_int(seen.missed, 1, "who is missed");
    forget();
}

static void test_forgets(void)
{
    forget();
    end_some("old", "192.0.2.1", 5, FW2_ACKED, 0);
    ahead += 601;
    end_some("new", "192.0.2.2", 2, FW2_ACKED, 0);
    end_some("old", "192.0.2.1", 1, FW2_ACKED, 0);
    look();
    is_int(seen.top[FW2_AGENTS].clients[0].left_open, 6,
           "ten minutes later what was before counts still");
    is_int(seen.top[FW2_AGENTS].n, 2, "once");
    ok(seen.over >= apr_time_from_sec(601), "it says how far back");
    ahead += 601;
    look();
    is_int(seen.top[FW2_AGENTS].all, 3, "twenty minutes later not any more");
    is_str(seen.top[FW2_AGENTS].clients[0].name, "new", "but what came since");
    ahead += 1201;
    look();
    is_int(seen.top[FW2_AGENTS].n, 0, "later still all is forgotten");
    end_some("back", "192.0.2.1", 1, FW2_ACKED, 0);
    ahead -= 3600;
    end_some("back", "192.0.2.1", 1, FW2_ACKED, 0);
    look();
    is_int(seen.top[FW2_AGENTS].all, 1, "a clock set back begins anew");
    ahead = 0;
    fw2_clients_want(clients, 0);
    end_some("unwanted", "192.0.2.1", 9, FW2_ACKED, 1);
    fw2_clients_want(clients, 1);
    look();
    is_int(seen.top[FW2_AGENTS].n, 0,
           "forgotten when told to, and what came when nobody wanted it");
    test_forgets_names();
    end_some("kept", "192.0.2.1", 1, FW2_ACKED, 0);
    fw2_clients_want(clients, 1);
    ahead = -1;
    look();
    is_int(seen.top[FW2_AGENTS].n, 1,
           "not when it is wanted still, nor for a second's difference");
    ahead = 0;
}

/* Of count(): constant while anybody counts. */
static int may_block;
static apr_uint64_t all_net;

static void *count(void *data)
{
    const char *agent = data;
    fw2_client_end end = { FW2_NO_CLIENT, all_net, FW2_ACKED, 1 };
    int i;

    for (i = 0; i < EACH; i++) {
        end.agent = fw2_client_agent(clients, agent);
        fw2_clients_ended(clients, &end, may_block);
    }
    return NULL;
}

static int mixtures; /* names of which nobody has called itself */

/* Each thread's are of its own letter, and a number. */
static void look_for_mixtures(void)
{
    int i;

    if (!try_to_look()) {
        return;
    }
    for (i = 0; i < seen.top[FW2_AGENTS].n; i++) {
        const char *name = seen.top[FW2_AGENTS].clients[i].name;
        apr_size_t letters = strspn(name, (char[]){ name[0], '\0' });

        mixtures += name[letters + strspn(name + letters, "0123456789")] != 0;
    }
}

/* Each has a letter of its own to work with. */
static void run_threads(void *(*work)(void *))
{
    static char agents[THREADS][2] = { "a", "b", "c", "d" };
    pthread_t threads[THREADS];
    int i;

    for (i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, work, agents[i]);
    }
    for (i = 0; i < THREADS; i++) {
        while (pthread_tryjoin_np(threads[i], NULL)) {
            look_for_mixtures();
            usleep(100);
        }
    }
}

/* What several threads have counted, and what they have missed. */
static apr_int64_t count_in_threads(void)
{
    apr_int64_t left = 0;
    int i;

    forget();
    run_threads(count);
    end_some("e", "192.0.2.9", 1, FW2_PEER_CLOSED, 0); /* takes it over */
    look();
    for (i = 0; i < seen.top[FW2_AGENTS].n; i++) {
        left += seen.top[FW2_AGENTS].clients[i].left_open;
    }
    return left;
}

/* Some may be missed, and are counted as that; none is lost. Who waits misses
 * none, but where he waits in vain. */
static void test_threads(void)
{
    apr_int64_t left = count_in_threads();

    is_int(left + seen.missed, THREADS * EACH, "each is noted, or missed");
    ok(left > 0, "not all are missed: %d are not", (int)left);
    may_block = 1;
    left = count_in_threads();
    is_int(left + seen.missed, THREADS * EACH, "so it is if they wait");
    ok(left > THREADS * EACH * 9 / 10, "hardly any is missed then: %d",
       (int)seen.missed);
    may_block = 0;
}

/* Names long enough to be written over while they are read. */
static void *name_many(void *data)
{
    char name[FW2_AGENT_SIZE];
    fw2_client_end end = { 0, FW2_NO_CLIENT, FW2_ACKED, 0 };
    int i;

    memset(name, *(const char *)data, 100);
    for (i = 0; i < EACH * 10; i++) {
        apr_snprintf(name + 100, sizeof(name) - 100, "%d", i % 300);
        end.agent = fw2_client_agent(clients, name);
        fw2_clients_ended(clients, &end, 1);
    }
    return NULL;
}

/* Names that drive each other out while they are written and read. */
static void test_names_meet(void)
{
    forget();
    run_threads(name_many);
    look();
    is_int(seen.top[FW2_AGENTS].n, FW2_CLIENTS_MAX, "many names were learned");
    is_int(mixtures, 0, "none is a mixture");
}

/* Killed anywhere, also with the lock in its hands. */
static void test_killed(void)
{
    static char child[] = "child";
    int i;

    forget();
    for (i = 0; i < 50; i++) {
        int began[2];
        pid_t pid;
        char c;

        if (pipe(began) || (pid = fork()) < 0) {
            printf("Bail out! no child\n");
            exit(1);
        }
        if (pid == 0) {
            count(child);
            while (write(began[1], "", 1) == 1) {
                count(child);
            }
            _exit(1);
        }
        if (read(began[0], &c, 1) != 1) {
            printf("Bail out! the child is gone\n");
            exit(1);
        }
        usleep(37 * (useconds_t)i);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        close(began[0]);
        close(began[1]);
        look();
    }
    end_some("child", "192.0.2.1", 1, FW2_ACKED, 0);
    look();
    ok(seen.top[FW2_AGENTS].all > 50, "children counted: %d",
       (int)seen.top[FW2_AGENTS].all);
    is_str(seen.top[FW2_AGENTS].clients[0].name, "child",
           "fifty were killed, and who comes then counts on");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    if (fw2_clients_create(&clients, pool) != APR_SUCCESS) {
        printf("Bail out! no shared memory, or no lock\n");
        return 1;
    }
    all_net = net("192.0.2.1");
    test_nets();
    test_counts();
    test_names();
    test_many();
    test_forgets();
    test_threads();
    test_names_meet();
    test_killed();
    return done_testing();
}
