/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Half-closed sockets by client: from real connections, and from unusual rows.
 */

#include "sockdiag_fixture.h"

/* ------------------------------------------------------ real connections -- */

static const char *peers_text(const fw2_peers *peers)
{
    char *text = apr_psprintf(pool, "%d of %d, other %d:", peers->n,
                              peers->seen, (int)peers->other);
    int i;

    for (i = 0; i < peers->n; i++) {
        text = apr_psprintf(pool, "%s %s %d", text,
                            fw2_sockdiag_peer_text(pool, &peers->top[i]),
                            (int)peers->top[i].n);
    }
    return text;
}

static fw2_counting counting_peers(const fw2_endpoint *e)
{
    fw2_counting count = counting(e, 1);

    count.peers = fw2_peers_make(pool);
    fw2_peers_reset(count.peers);
    return count;
}

/* Make half-closed connections of a client with its own address. */
static void half_close_from(const char *own, int listener, const char *addr,
                            int times)
{
    while (times-- > 0) {
        shutdown(pair_from(own, listener, addr).server, SHUT_WR);
    }
}

static void has_peers(int source, const fw2_endpoint *e, const char *wanted)
{
    fw2_counting count = counting_peers(e);
    apr_time_t until = deadline();
    fw2_peers peers;

    do {
        count_from(source, &count);
        fw2_peers_top(count.peers, 50, &peers);
    } while (strcmp(peers_text(&peers), wanted) != 0 && nap(until));
    is_str(peers_text(&peers), wanted,
           apr_psprintf(pool, "%s: clients are counted",
                        fw2_backend_names[source]));
}

static void test_peers(void)
{
    static const char wanted[] =
        "4 of 4, other 0: 127.0.0.3 4 ::/64 3 127.0.0.1 3 127.0.0.2 1";
    fw2_endpoint e;
    apr_time_t until = deadline();
    int fd = listen_at("::", 0, 0, &e), i;

    half_close_from("127.0.0.2", fd, "127.0.0.1", 1);
    half_close_from("127.0.0.3", fd, "127.0.0.1", 4);
    make_fin_wait2(fd, "::1");             /* every holder */
    make_fin_wait1(fd, "127.0.0.1", 1, 0); /* every counted state */
    make_fin_wait1(fd, "127.0.0.1", 0, 0);
    make_fin_wait1(fd, "127.0.0.1", 0, 1);
    make_last_ack(fd, "127.0.0.1", 0); /* states that are not counted */
    shutdown(pair_of(fd, "127.0.0.1").client, SHUT_WR);
    pair_from("127.0.0.4", fd, "127.0.0.1");
    has_peers(FW2_NETLINK, &e, wanted);
    has_peers(FW2_PROCFS, &e, wanted);
    fw2_sockdiag_count(&e, 1, 50, 0, &counted, pool);
    is_str(peers_text(&counted.peers), wanted, "the count has the clients");
    fw2_sockdiag_count(&e, 1, 2, 0, &counted, pool);
    is_str(peers_text(&counted.peers), "2 of 4, other 0: 127.0.0.3 4 ::/64 3",
           "the count has the requested number of clients");

    fw2_sockdiag_count(&e, 1, 0, 0, &counted, pool);
    is_str(peers_text(&counted.peers), "0 of 0, other 0:",
           "the count has no clients if none are requested");
    for (i = 1; i <= 60; i++) {
        half_close_from(apr_psprintf(pool, "127.0.1.%d", i), fd, "127.0.0.1",
                        1);
    }
    do {
        fw2_sockdiag_count(&e, 1, INT_MAX, 0, &counted, pool);
    } while (counted.peers.seen < 64 && nap(until));
    ok(counted.peers.n == FW2_PEERS_MAX && counted.peers.seen == 64,
       "the count has no more than %d clients", counted.peers.n);
    reset_all();
}

/* ------------------------------------------------------------------ rows -- */

/* Count half-closed sockets of a client. */
static void add_peer(fw2_counting *count, const char *addr, int times)
{
    fw2_endpoint peer = endpoint(addr, 0, 0);
    fw2_row row;

    memset(&row, 0, sizeof(row));
    memcpy(row.addr, count->endpoints[0].addr, sizeof(row.addr));
    memcpy(row.peer, peer.addr, sizeof(row.peer));
    row.port = count->endpoints[0].port;
    row.state = 5;
    while (times-- > 0) {
        fw2_counting_row(count, &row);
    }
}

static void test_peers_folded(void)
{
    fw2_endpoint e = endpoint("::", 80, 0);
    fw2_counting c = counting_peers(&e);
    fw2_peers peers;

    add_peer(&c, "2001:db8::1", 1);
    add_peer(&c, "192.0.2.7", 2);
    add_peer(&c, "2001:db8::ffff:ffff:ffff:ffff", 2);
    add_peer(&c, "2001:db8:0:1::1", 1);
    add_peer(&c, "::ffff:192.0.2.7", 2);
    add_peer(&c, "0.0.0.0", 1);
    add_peer(&c, "::", 1);
    add_peer(&c, "::192.0.2.7", 1);
    fw2_peers_top(c.peers, 50, &peers);
    is_str(peers_text(&peers),
           "5 of 5, other 0: 192.0.2.7 4 2001:db8::/64 3 ::/64 2 0.0.0.0 1 "
           "2001:db8:0:1::/64 1",
           "IPv4 clients by address, IPv6 clients by /64");
    fw2_counting_reset(&c);
    fw2_peers_top(c.peers, 50, &peers);
    is_str(peers_text(&peers),
           "0 of 0, other 0:", "a new count begins without clients");
}

/* 120 clients, each with another number of sockets, in a shuffled order. */
static void test_peers_order(void)
{
    fw2_endpoint e = endpoint("0.0.0.0", 80, 0);
    fw2_counting c = counting_peers(&e);
    fw2_peers peers;
    int i, n, wrong = 0;

    for (i = 0; i < 120; i++) {
        n = i * 47 % 120 + 1;
        add_peer(&c, apr_psprintf(pool, "10.0.0.%d", n), n);
    }
    fw2_peers_top(c.peers, FW2_PEERS_MAX, &peers);
    for (i = 0; i < FW2_PEERS_MAX; i++) {
        wrong += peers.top[i].n != 120 - i || peers.top[i].addr[15] != 120 - i;
    }
    ok(!wrong && peers.n == FW2_PEERS_MAX && peers.seen == 120,
       "the first %d of %d clients, largest number first", peers.n, peers.seen);
    for (n = 1; n < FW2_PEERS_MAX; n++) {
        fw2_peers_top(c.peers, n, &peers);
        wrong += peers.n != n || peers.top[n - 1].n != 121 - n;
    }
    is_int(wrong, 0, "fewer clients have the same order");
    fw2_counting_reset(&c);
    for (i = 0; i < 60; i++) {
        add_peer(&c, apr_psprintf(pool, "10.0.0.%d", i * 23 % 60), 1);
    }
    fw2_peers_top(c.peers, FW2_PEERS_MAX, &peers);
    for (i = 0; i < FW2_PEERS_MAX; i++) {
        wrong += peers.top[i].addr[15] != i;
    }
    is_int(wrong, 0, "the lower address comes first among equals");
}

static void add_clients(fw2_counting *count, int from, int upto)
{
    for (; from < upto; from++) {
        add_peer(count,
                 apr_psprintf(pool, "2001:db8:%x:%x::1", from >> 8, from & 255),
                 1);
    }
}

/* More clients than the table can hold. */
static void test_peers_full(void)
{
    fw2_endpoint e = endpoint("::", 80, 0);
    fw2_counting c = counting_peers(&e);
    fw2_peers peers;

    add_peer(&c, "192.0.2.7", 3);
    add_clients(&c, 0, 4000);
    fw2_peers_top(c.peers, 1, &peers);
    is_str(peers_text(&peers), "1 of 4001, other 0: 192.0.2.7 3",
           "the table holds 4,001 clients");
    add_clients(&c, 0, 100000);
    add_peer(&c, "192.0.2.7", 4);
    fw2_peers_top(c.peers, 1, &peers);
    ok(peers.seen > 6000 && peers.seen <= 8192,
       "the table keeps %d of 100,001 clients", peers.seen);
    is_int(peers.seen + peers.other, 100001,
           "the other clients are in one sum");
    is_int(peers.top[0].n, 7, "a client in a full table is still counted");
}

int main(void)
{
    begin_program();
    test_peers();
    test_peers_folded();
    test_peers_order();
    test_peers_full();
    return end_program();
}
