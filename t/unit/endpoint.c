/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The room endpoint: the text of an endpoint, the endpoint of an address among
 * several, and the endpoint of a listener.
 */

#include "sockdiag_fixture.h"

static void is_text(const char *addr, const char *wanted)
{
    fw2_endpoint e = endpoint(addr, 80, 0);

    is_str(fw2_endpoint_text(pool, &e), wanted, wanted);
}

static void test_text(void)
{
    is_text("10.0.0.1", "10.0.0.1:80");
    is_text("0.0.0.0", "0.0.0.0:80");
    is_text("::", "[::]:80");
    is_text("2001:db8::1", "[2001:db8::1]:80");
    is_text("::ffff:10.0.0.1", "[::ffff:10.0.0.1]:80");
}

static int found(const fw2_endpoint *endpoints, int n, const char *addr,
                 int port)
{
    fw2_endpoint e = endpoint(addr, port, 0);

    return fw2_endpoint_find(endpoints, n, e.addr, e.port);
}

static void test_find(void)
{
    fw2_endpoint e[6];

    e[0] = endpoint("::", 80, 0);
    e[1] = endpoint("0.0.0.0", 80, 0);
    e[2] = endpoint("10.0.0.1", 80, 0);
    e[3] = endpoint("2001:db8::1", 80, 0);
    e[4] = endpoint("::", 81, 1);
    e[5] = endpoint("::", 82, 0);
    is_int(found(e, 6, "10.0.0.1", 80), 2, "exact IPv4 beats wildcards");
    is_int(found(e, 6, "10.0.0.2", 80), 1, "0.0.0.0 beats [::] for IPv4");
    is_int(found(e, 6, "2001:db8::1", 80), 3, "exact IPv6 beats [::]");
    is_int(found(e, 6, "2001:db8::2", 80), 0,
           "0.0.0.0 matches no IPv6 address");
    is_int(found(e, 6, "2001:db8::2", 81), 4, "v6only matches IPv6");
    is_int(found(e, 6, "10.0.0.1", 81), -1, "v6only matches no IPv4");
    is_int(found(e, 6, "10.0.0.1", 82), 5, "dual-stack matches IPv4");
    is_int(found(e, 6, "10.0.0.1", 83), -1, "another port matches no endpoint");
    is_int(found(e + 2, 1, "10.0.0.2", 80), -1,
           "another IPv4 address matches no endpoint");
    is_int(found(e + 3, 1, "2001:db8::2", 80), -1,
           "another IPv6 address matches no endpoint");
    is_int(found(e, 0, "10.0.0.1", 80), -1, "an empty list matches no address");
}

static void test_endpoint_of(void)
{
    fw2_endpoint e, before;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    memset(&e, 7, sizeof(e));
    before = e;
    is_int(fw2_endpoint_of(fd, &e), APR_EINVAL,
           "a socket of AF_UNIX has no endpoint");
    close(fd);
    is_int(fw2_endpoint_of(-1, &e), EBADF,
           "an invalid descriptor has no endpoint");
    ok(!memcmp(&e, &before, sizeof(e)),
       "a failure does not change the endpoint");
    listen_at("127.0.0.1", 0, 0, &e);
    is_str(fw2_endpoint_text(pool, &e),
           apr_psprintf(pool, "127.0.0.1:%d", e.port),
           "an IPv4 listener has the text of its endpoint");
    ok(e.port && e.v4 && !e.v6only, "an IPv4 endpoint has its port and kind");
    listen_at("::", 0, 0, &e);
    is_str(fw2_endpoint_text(pool, &e), apr_psprintf(pool, "[::]:%d", e.port),
           "an IPv6 listener has the text of its endpoint");
    ok(e.port && !e.v4 && !e.v6only, "an endpoint at [::] is dual-stack");
    listen_at("::", 0, 1, &e);
    ok(!e.v4 && e.v6only, "an endpoint with IPV6_V6ONLY is v6only");
    reset_all();
}

int main(void)
{
    begin_program();
    test_text();
    test_find();
    test_endpoint_of();
    return end_program();
}
