/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The endpoint that a socket counts for, and the ports in the request to the
 * kernel.
 */

#include "sockdiag_fixture.h"

static void test_specific(void)
{
    fw2_endpoint e[4];
    int any = listen_at("0.0.0.0", 0, 0, &e[0]), exact, six, s;

    exact = listen_at("127.0.0.1", e[0].port, 0, &e[1]);
    six = listen_at("::", e[0].port, 1, &e[2]);
    half_close(exact, "127.0.0.1", 1);
    half_close(any, "127.0.0.2", 2);
    half_close(six, "::1", 3);
    client_to("127.0.0.1", e[0].port); /* waits at the exact endpoint */
    for (s = 0; s < SOURCES; s++) {
        int limit = s == FW2_NETLINK ? BACKLOG : -1;

        counts(s, e, 3, 0, only_fw2("2/0/0", s),
               "0.0.0.0 has the other addresses");
        counts(s, e, 3, 1,
               expected("0/0/0", "1/0/0", "0/0/0", "0/0/0", "0/0/0", 1, limit),
               "the exact address has its own sockets");
        counts(s, e, 3, 2, only_fw2("3/0/0", s), "v6only has IPv6");
        counts(s, e, 1, 0, only_fw2("3/0/0", s),
               "the backlog of another listener is not counted");
    }
    reset_all();
}

static void test_shared(void)
{
    fw2_endpoint e;
    int fd = listen_at("127.0.0.1", 0, 0, &e), i;

    (void)fd;
    listen_at("127.0.0.1", e.port, 0, &e);
    for (i = 0; i < 6; i++) {
        client_to("127.0.0.1", e.port);
    }
    counts(
        FW2_NETLINK, &e, 1, 0,
        expected("0/0/0", "0/0/0", "0/0/0", "0/0/0", "0/0/0", 6, 2 * BACKLOG),
        "listeners that share an address add up");
    counts(FW2_PROCFS, &e, 1, 0,
           expected("0/0/0", "0/0/0", "0/0/0", "0/0/0", "0/0/0", 6, -1),
           "listeners that share an address add up");
    reset_all();
}

/* Make n listeners, `step` ports apart, with i % 3 + 1 half-closed sockets at the
 * i-th; and 5 sockets at another port after each fourth. */
static void ports_make(fw2_endpoint *e, int n, int step)
{
    int port = 20000 + getpid() % 10000, i, fd;

    for (i = 0; i < n; port += step) {
        fd = listen_try("127.0.0.1", port, 0, 0);
        if (fd < 0) {
            i = step == 1 ? 0 : i; /* adjacent ones start again */
            continue;
        }
        if (fw2_endpoint_of(fd, &e[i]) == APR_SUCCESS) {
            half_close(fd, "127.0.0.1", i % 3 + 1);
        }
        if (step > 1 && i % 4 == 0) {
            fd = listen_try("127.0.0.1", port + 1, 0, 0);
            if (fd >= 0) {
                half_close(fd, "127.0.0.1", 5);
            }
        }
        i++;
    }
}

/* Return the number of endpoints with the right count. */
static int ports_right(int source, const fw2_endpoint *e, int n)
{
    int right = 0, i, was, complete;
    fw2_tally *tallies = count_by(source, e, n, &complete);

    for (i = 0; i < n; i++) {
        was = i == 0 ? n / 2 : i == n / 2 ? 0 : i;
        right += complete == 1
                 && !strcmp(tally_text(&tallies[i]),
                            only_fw2(apr_psprintf(pool, "%d/0/0", was % 3 + 1),
                                     source));
    }
    return right;
}

static void ports_count(int n, int step, int ranges, const char *what)
{
    fw2_endpoint e[64], swap;
    apr_time_t until;
    int s, right;

    ports_make(e, n, step);
    swap = e[0]; /* not in order */
    e[0] = e[n / 2];
    e[n / 2] = swap;
    for (s = 0; s < SOURCES; s++) {
        until = deadline();
        do {
            right = ports_right(s, e, n);
        } while (right < n && nap(until));
        is_int(right, n,
               apr_psprintf(pool, "%s: %s", fw2_backend_names[s], what));
    }
    is_int((long long)sent_len, RANGES_LEN(ranges),
           "the request has no more ranges than needed");
    reset_all();
}

static void test_ports(void)
{
    fw2_endpoint e[2];
    int complete;

    ports_count(2, 3, 2, "two ports, neighbours not counted");
    ports_count(5, 1, 1, "adjacent ports");
    ports_count(32, 3, 32, "32 ranges are sent as they are");
    ports_count(33, 3, 1, "33 ranges are sent as one");
    ports_count(64, 3, 1, "64 ranges are sent as one");
    half_close(listen_at("127.0.0.1", 0, 0, &e[0]), "127.0.0.1", 1);
    e[1] = e[0];
    counts(FW2_NETLINK, e, 2, 0, only_fw2("1/0/0", FW2_NETLINK),
           "a repeated endpoint has its sockets at the first");
    is_int(count_by(FW2_NETLINK, e, 2, &complete)[1].backlog_limit, -1,
           "the second of equal endpoints has no accept queue");
    reset_all();
}

int main(void)
{
    begin_program();
    test_specific();
    test_shared();
    test_ports();
    return end_program();
}
