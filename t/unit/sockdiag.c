/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The numbers of sockdiag: sockets in every state, the time left of each, the
 * unacknowledged bytes, and the whole count.
 */

#include "sockdiag_fixture.h"

/* ---------------------------------------------------------------- states -- */

/* Make one socket for each cell of a tally. */
static void make_each(int listener, const char *addr)
{
    make_fin_wait2(listener, addr);
    make_fin_wait1(listener, addr, 1, 0);
    make_fin_wait1(listener, addr, 0, 0);
    make_fin_wait1(listener, addr, 1, 1); /* CLOSING */
    make_fin_wait1(listener, addr, 0, 1);
    make_last_ack(listener, addr, 1);
    make_last_ack(listener, addr, 0);
    shutdown(pair_of(listener, addr).client, SHUT_WR); /* CLOSE_WAIT */
    pair_of(listener, addr); /* ESTABLISHED: not counted */
}

static void make_queued(int listener, const char *addr)
{
    fw2_endpoint e;

    if (fw2_endpoint_of(listener, &e) == APR_SUCCESS) {
        shutdown(client_to(addr, e.port), SHUT_WR);
    }
}

static void counts_each(const fw2_endpoint *e, const char *what)
{
    counts(FW2_NETLINK, e, 1, 0,
           expected("1/1/0", "1/1/1", "1/1/0", "1/1/0", "1/1/0", 1, BACKLOG),
           what);
    counts(FW2_PROCFS, e, 1, 0,
           expected("1/1/0", "1/1/1", "1/1/0", "1/1/0", "1/1/0", 1, -1), what);
}

static void test_states(void)
{
    fw2_endpoint e;
    int fd = listen_at("127.0.0.1", 0, 0, &e);

    make_each(fd, "127.0.0.1");
    make_queued(fd, "127.0.0.1");
    counts_each(&e, "every state, IPv4");
    fd = listen_at("::1", 0, 0, &e);
    make_each(fd, "::1");
    make_queued(fd, "::1");
    counts_each(&e, "every state, IPv6");
    fd = listen_at("::", 0, 0, &e);
    make_each(fd, "127.0.0.1");
    make_queued(fd, "127.0.0.1");
    counts_each(&e, "every state, IPv4 at a dual-stack [::]");
    make_fin_wait2(listen_at("::", 0, 0, &e), "::1");
    counts(FW2_NETLINK, &e, 1, 0, only_fw2("1/1/1", FW2_NETLINK),
           "IPv6 at a dual-stack [::]");
    counts(FW2_PROCFS, &e, 1, 0, only_fw2("1/1/1", FW2_PROCFS),
           "IPv6 at a dual-stack [::]");
    reset_all();
}

/* ------------------------------------------------------------- time left -- */

/* Count until the times left are as expected, or the time is over. */
static fw2_left has_left(int source, const fw2_endpoint *e, const char *wanted,
                         const char *what)
{
    fw2_counting count = counting(e, 1);
    apr_time_t until = deadline();

    do {
        count_from(source, &count);
    } while (strcmp(left_text(&count.left), wanted) != 0 && nap(until));
    is_str(left_text(&count.left), wanted,
           apr_psprintf(pool, "%s: %s", fw2_backend_names[source], what));
    return count.left;
}

/* Make a held socket in FIN_WAIT_2 with a keep-alive timer of two hours. */
static void make_kept_alive(int listener, const char *addr)
{
    int fd = pair_of(listener, addr).server, on = 1;

    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    shutdown(fd, SHUT_WR);
}

/* 60 s is the life of a mini-socket; 120 s begin as a full socket. */
static void test_left(void)
{
    static const int seconds[] = { 5, 5, 5, 60, 60, 120 };
    static const char wanted[] = "0 3 0 0 0 3 0 0 unknown 0 unbounded 2";
    fw2_endpoint e;
    int fd = listen_at("::", 0, 0, &e), i, s;

    make_kept_alive(fd, "127.0.0.1");
    make_fin_wait1(fd, "127.0.0.1", 1, 0);
    make_fin_wait1(fd, "::1", 0, 0);
    make_fin_wait1(fd, "127.0.0.1", 0, 1);
    shutdown(pair_of(fd, "::1").client, SHUT_WR);
    make_last_ack(fd, "127.0.0.1", 0);
    for (i = 0; i < (int)(sizeof(seconds) / sizeof(seconds[0])); i++) {
        orphan(pair_of(fd, i % 2 ? "::1" : "127.0.0.1").server, seconds[i]);
    }
    for (s = 0; s < SOURCES; s++) {
        fw2_left left = has_left(s, &e, wanted, "time left");

        ok(left.longest > 55 * APR_USEC_PER_SEC
               && left.longest <= 60 * APR_USEC_PER_SEC,
           "the longest time left is %ld us", (long)left.longest);
        ok(left.sum > 150 * APR_USEC_PER_SEC
               && left.sum <= 195 * APR_USEC_PER_SEC,
           "the sum of the times left is %ld us", (long)left.sum);
    }
    fw2_sockdiag_count(&e, 1, 0, 0, &counted, pool);
    is_str(left_text(&counted.left), wanted,
           "the count has the numbers of both sources");
    reset_all();
    make_kept_alive(listen_at("127.0.0.1", 0, 0, &e), "127.0.0.1");
    for (s = 0; s < SOURCES; s++) {
        counts(s, &e, 1, 0, only_fw2("1/0/0", s),
               "a held socket is kept alive");
        is_int(has_left(s, &e, "0 0 0 0 0 0 0 0 unknown 0 unbounded 0",
                        "a held socket has no time left")
                   .longest,
               0, "a held socket is not the longest");
    }
    reset_all();
}

static int fin_timeout_set(const char *seconds)
{
    int fd = open("/proc/sys/net/ipv4/tcp_fin_timeout", O_WRONLY);
    ssize_t put = write(fd, seconds, strlen(seconds));

    close(fd);
    return put > 0;
}

static const char *long_timeout_left(const void *unused)
{
    syscall_rule rules[] = { NETLINK_IS(EACCES) };
    fw2_endpoint e;
    const char *text;

    (void)unused;
    if (unshare(CLONE_NEWNET) || !loopback_up() || !fin_timeout_set("100")) {
        return "";
    }
    orphan(pair_of(listen_at("127.0.0.1", 0, 0, &e), "127.0.0.1").server, 0);
    fw2_sockdiag_count(&e, 1, 0, 0, &counted, pool);
    text = apr_pstrcat(pool, fw2_backend_names[counted.backend], " ",
                       left_text(&counted.left), "; ", NULL);
    confine(rules, 1);
    fw2_sockdiag_count(&e, 1, 0, 0, &counted, pool);
    return apr_pstrcat(pool, text, fw2_backend_names[counted.backend], " ",
                       left_text(&counted.left), NULL);
}

/* With 100 s an orphan lives for 80 s: twice the excess over 60 s. */
static void test_long_timeout(void)
{
    static const char what[] = "time left with a tcp_fin_timeout above 60 s";
    const char *output = child_text(long_timeout_left, NULL);

    if (*output) {
        is_str(output,
               "netlink 0 0 0 0 0 0 1 0 unknown 0 unbounded 0; "
               "procfs 0 0 0 0 0 0 1 0 unknown 0 unbounded 0",
               what);
    }
    else {
        skip(what, "no permission for a network namespace");
    }
}

/* ------------------------------------------------ bytes not acknowledged -- */

/* Make a client vanish: its kernel drops every packet. */
static void vanish(int client)
{
    struct sock_filter nothing[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
    struct sock_fprog program = { 1, nothing };

    if (setsockopt(client, SOL_SOCKET, SO_ATTACH_FILTER, &program,
                   sizeof(program))) {
        bail("SO_ATTACH_FILTER");
    }
}

/* Send this many bytes to a client that has vanished, and close. */
static void make_vanished(int listener, const char *addr, int bytes, int held)
{
    static const char zeros[1000];
    connection p = pair_of(listener, addr);

    vanish(p.client);
    if (write(p.server, zeros, (size_t)bytes) != bytes) {
        bail("write");
    }
    end_server(p.server, held);
}

/* Close with a zero window; return the number of bytes that have not arrived. */
static long make_zero_window(int listener, const char *addr, int held)
{
    connection p = pair_of(listener, addr);
    long sum = fill(p.server);

    AWAIT(unread(p.client) + unacknowledged(p.server) == sum);
    sum -= unread(p.client);
    end_server(p.server, held);
    return sum;
}

static void is_undelivered(int source, const fw2_endpoint *e,
                           const char *wanted, const char *what)
{
    fw2_counting count = counting(e, 1);
    apr_time_t until = deadline();

    do {
        count_from(source, &count);
    } while (strcmp(undelivered_text(&count.undelivered), wanted) != 0
             && nap(until));
    is_str(undelivered_text(&count.undelivered), wanted,
           apr_psprintf(pool, "%s: %s", fw2_backend_names[source], what));
}

static void test_undelivered(void)
{
    fw2_endpoint e;
    int fd = listen_at("::", 0, 0, &e), s;
    long held, orphaned;
    const char *wanted;

    make_vanished(fd, "127.0.0.1", 0, 1);
    make_vanished(fd, "::1", 0, 0);
    for (s = 0; s < SOURCES; s++) {
        counts(s, &e, 1, 0,
               expected("1/1/0", "0/0/0", "0/0/0", "0/0/0", "0/0/0", 0,
                        s == FW2_NETLINK ? BACKLOG : -1),
               "two clients have vanished");
        is_undelivered(s, &e, "0:0,0 zero 0:0,0 zero 0:0,0 zero ",
                       "a FIN does not count as an undelivered byte");
    }
    make_vanished(fd, "127.0.0.1", 1000, 1);
    make_vanished(fd, "127.0.0.1", 1, 0);
    make_vanished(fd, "::1", 99, 0);
    held = make_zero_window(fd, "127.0.0.1", 1);
    orphaned =
        make_zero_window(fd, "::1", 0) + make_zero_window(fd, "127.0.0.1", 0);
    fill(pair_of(fd, "127.0.0.1").server); /* not closed */
    make_last_ack(fd, "127.0.0.1", 0);     /* closed by the client first */
    wanted = apr_psprintf(pool, "2:%ld,1 zero 4:%ld,2 zero 0:0,0 zero ",
                          held + 1000, orphaned + 100);
    for (s = 0; s < SOURCES; s++) {
        is_undelivered(s, &e, wanted, "undelivered bytes are counted");
    }
    fw2_sockdiag_count(&e, 1, 0, 0, &counted, pool);
    is_str(undelivered_text(&counted.undelivered), wanted,
           "the count has the numbers of both sources");
    reset_all();
}

/* -------------------------------------------------- the count as a whole -- */

static void test_count(void)
{
    fw2_endpoint e;
    int i;

    half_close(listen_at("127.0.0.1", 0, 0, &e), "127.0.0.1", 1);
    counts(FW2_NETLINK, &e, 1, 0, only_fw2("1/0/0", FW2_NETLINK),
           "one socket is half-closed");
    fw2_sockdiag_count(&e, 1, 0, 0, &counted, pool);
    is_int(counted.backend, FW2_NETLINK, "netlink is the source of the count");
    is_int(counted.complete, 1, "the count is complete");
    is_str(tally_text(counted.tallies), only_fw2("1/0/0", FW2_NETLINK),
           "the count has the tally");
    for (i = 0; i < FW2_BACKENDS; i++) {
        is_str(counted.refused[i], "",
               apr_psprintf(pool, "%s has no refusal", fw2_backend_names[i]));
    }
    for (i = 0; i < 100; i++) { /* far more than the clock's step */
        fw2_sockdiag_count(&e, 1, 0, 0, &counted, pool);
    }
    ok(counted.cost > 0 && counted.cost < apr_time_from_sec(10),
       "the count has a cost");
    recvmsg_calls = 0;
    fw2_sockdiag_count(NULL, 0, 0, 0, &counted, pool);
    ok(counted.complete && counted.backend == FW2_NETLINK && !recvmsg_calls,
       "a count without endpoints is complete and reads no datagram");
    reset_all();
}

/* Try a budget that is used up after the first read, and one that never is. /proc
 * may show any sockets in its first read. */
static void spends(int source, const fw2_endpoint *e)
{
    fw2_counting count = counting(e, 1);
    const apr_int64_t *n = &count.tallies->n[FW2_FIN_WAIT2][FW2_TIMEWAIT];

    count.budget = 1;
    opens = 0;
    count_from(source, &count);
    ok(!count.complete && *n >= (source == FW2_NETLINK) && *n < 500,
       "%s: a budget of 1 us counts %d sockets, and is not complete",
       fw2_backend_names[source], (int)*n);
    ok(opens <= 1, "the next table is not begun after the budget is used up");
    count.budget = APR_INT64_MAX;
    count_from(source, &count);
    ok(count.complete && *n == 3000, "a large budget counts all sockets");
}

static void test_many(void)
{
    struct rlimit limit;
    fw2_endpoint e;
    int servers[100], fd, i, j, s;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 3200) {
        skip("3000 sockets", "too few descriptors");
        return;
    }
    fd = listen_at("127.0.0.1", 0, 0, &e);
    for (i = 0; i < 30; i++) {
        for (j = 0; j < 100; j++) {
            servers[j] = pair_of(fd, "127.0.0.1").server;
            shutdown(servers[j], SHUT_WR);
        }
        for (j = 0; j < 100; j++) {
            orphan(servers[j], 60);
        }
    }
    for (s = 0; s < SOURCES; s++) {
        counts(s, &e, 1, 0, only_fw2("0/0/3000", s), "3000 mini-sockets");
        spends(s, &e);
    }
    recvmsg_calls = 0;
    fw2_sockdiag_count(&e, 1, 0, apr_time_from_sec(10), &counted, pool);
    ok(recvmsg_calls > 8 && counted.complete,
       "3000 sockets come in %d datagrams", recvmsg_calls);
    recvmsg_calls = 0;
    fw2_sockdiag_count(&e, 1, 0, 1, &counted, pool);
    ok(recvmsg_calls == 1 && !counted.complete && counted.backend == FW2_NETLINK
           && counted.tallies->n[FW2_FIN_WAIT2][FW2_TIMEWAIT] > 0,
       "a budget of 1 us reads one datagram");
    reset_all();
}

int main(void)
{
    begin_program();
    test_states();
    test_left();
    test_long_timeout();
    test_undelivered();
    test_count();
    test_many();
    return end_program();
}
