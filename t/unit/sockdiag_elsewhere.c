/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Sockets at no endpoint of httpd: half-closed ones by port, and listeners with a
 * full accept queue.
 */

#include "sockdiag_fixture.h"

static const char *elsewhere_text(void)
{
    const fw2_elsewhere *e = &counted.elsewhere;
    char *text = apr_psprintf(
        pool, "%s %d: %d, outgoing %d", fw2_backend_names[counted.backend],
        counted.complete, (int)e->half_closed, (int)e->outgoing);
    int i;

    for (i = 0; i < e->n; i++) {
        text = apr_psprintf(pool, "%s, %s %d %d", text,
                            fw2_role_names[e->top[i].role], e->top[i].port,
                            (int)e->top[i].n);
    }
    return apr_psprintf(pool, "%s; full %d %d/%d; drops %d, there %d; ", text,
                        e->full_port, (int)e->full, (int)e->full_limit,
                        (int)fw2_sockdiag_drops(counted.tallies, 1),
                        (int)e->drops);
}

/* Make connections that the client closes, and the server does not. */
static void half_open(int listener, const char *addr, int times)
{
    while (times-- > 0) {
        shutdown(pair_of(listener, addr).client, SHUT_WR);
    }
}

/* Fill an accept queue, and connect further clients, which stay unanswered. */
static void overfill(const char *addr, int port, int times)
{
    int i, fd;
    name n;

    for (i = 0; i <= BACKLOG; i++) {
        client_to(addr, port);
    }
    while (times-- > 0) {
        socklen_t len = name_of(&n, addr, port);

        fd = keep(socket(n.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0));
        (void)connect(fd, &n.any, len);
    }
}

/* The ports of the test, which has its own network namespace. */
enum { OURS = 1001, THEIRS, FULL, MANY };

static int listen_there(const char *addr, int port)
{
    fw2_endpoint e;

    return listen_at(addr, port, 0, &e);
}

/* Count from both sources: first from netlink, and then refuse netlink. */
static const char *elsewhere_of_both(const fw2_endpoint *e)
{
    syscall_rule rules[] = { NETLINK_IS(EACCES) };
    const char *text;

    fw2_sockdiag_count(e, 1, 0, 0, &counted, pool);
    text = elsewhere_text();
    confine(rules, 1);
    fw2_sockdiag_count(e, 1, 0, 0, &counted, pool);
    return apr_pstrcat(
        pool, text, elsewhere_text(),
        apr_psprintf(pool, "sum %d is %d",
                     (int)(counted.elsewhere.half_closed
                           + counted.tallies->n[FW2_FIN_WAIT1][FW2_KERNEL]
                           + counted.tallies->n[FW2_FIN_WAIT2][FW2_PROCESS]),
                     (int)shell("grep -cE ' 0[45B] [0-9A-F]{8}:' "
                                "/proc/self/net/tcp /proc/self/net/tcp6 "
                                "| awk -F: '{ n += $2 } END { print n }'")),
        NULL);
}

static const char *elsewhere_counted(const void *unused)
{
    fw2_endpoint e;
    int ours, theirs, i;

    (void)unused;
    if (unshare(CLONE_NEWNET) || !loopback_up()) {
        return "";
    }
    ours = listen_at("127.0.0.1", OURS, 0, &e);
    half_close(ours, "127.0.0.1", 2);
    make_fin_wait1(ours, "127.0.0.1", 0, 0);
    make_fin_wait1(listen_there("127.0.0.2", OURS), "127.0.0.2", 1, 0);
    theirs = listen_there("::", THEIRS);
    half_close(theirs, "127.0.0.1", 3);
    orphan(pair_of(theirs, "::1").server, 60);
    make_fin_wait1(theirs, "::1", 0, 1); /* CLOSING */
    half_open(theirs, "127.0.0.1", 3);
    half_open(theirs, "::1", 1);
    half_open(ours, "127.0.0.1", 2); /* the clients' ends are not ours */
    for (i = 0; i < 4; i++) {
        half_close(listen_there("127.0.0.1", MANY + i), "127.0.0.1", 1);
    }
    make_last_ack(theirs, "127.0.0.1", 0);
    return elsewhere_of_both(&e);
}

static const char *elsewhere_full(const void *unused)
{
    apr_time_t until = deadline();
    fw2_endpoint e;

    (void)unused;
    if (unshare(CLONE_NEWNET) || !loopback_up()) {
        return "";
    }
    listen_at("0.0.0.0", OURS, 0, &e);
    listen_there("::", FULL);
    listen_there("127.0.0.1", MANY);
    client_to("127.0.0.1", MANY);
    overfill("::1", FULL, 3);
    fw2_sockdiag_count(&e, 1, 0, 0, &counted, pool);
    if (fw2_sockdiag_drops(counted.tallies, 1)) {
        return "drops of another program are counted";
    }
    overfill("127.0.0.1", OURS, 2);
    do {
        fw2_sockdiag_count(&e, 1, 0, 0, &counted, pool);
    } while (fw2_sockdiag_drops(counted.tallies, 1) < 2 && nap(until));
    return elsewhere_of_both(&e);
}

static void elsewhere_is(child_body *body, const char *wanted, const char *what)
{
    const char *output = child_text(body, NULL);

    if (*output) {
        is_str(output, wanted, what);
    }
    else {
        skip(what, "no permission for a network namespace");
    }
}

static void test_elsewhere(void)
{
    fw2_endpoint e;

    elsewhere_is(
        elsewhere_counted,
        "netlink 1: 18, outgoing 8, client 1002 6, server 1002 5, "
        "client 1001 2, server 1001 1, server 1004 1; full 0 0/0; "
        "drops 0, there 0; procfs 1: 18, outgoing 8, client 1002 6, server "
        "1002 5, client 1001 2, server 1001 1, server 1004 1; full "
        "0 0/0; drops -1, there -1; sum 21 is 21",
        "half-closed sockets elsewhere, by port");
    elsewhere_is(
        elsewhere_full,
        "netlink 1: 0, outgoing 0; full 1003 17/16; drops 2, there 3; "
        "procfs 1: 0, outgoing 0; full 1003 17/-1; drops -1, there -1; "
        "sum 0 is 0",
        "full accept queues of another program and of httpd");

    half_close(listen_at("127.0.0.1", 0, 0, &e), "127.0.0.1", 1);
    counts(FW2_NETLINK, &e, 1, 0, only_fw2("1/0/0", FW2_NETLINK),
           "one socket is half-closed");
    crowds = 200;
    fw2_sockdiag_count(&e, 1, 0, 0, &counted, pool);
    is_int((long long)sent_len, LEGACY_LEN,
           "after too many sockets a second request has only httpd's ports");
    crowds = 0;
    is_str(
        apr_psprintf(pool, "%s%s", elsewhere_text(),
                     tally_text(counted.tallies)),
        apr_psprintf(pool,
                     "netlink 1: -1, outgoing -1; full 0 0/0; drops 0, there "
                     "-1; %s",
                     only_fw2("1/0/0", FW2_NETLINK)),
        "too many sockets make only those elsewhere unknown");
    reset_all();
}

int main(void)
{
    begin_program();
    test_elsewhere();
    return end_program();
}
