/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The source netlink: interrupted and wrong answers of the kernel, and the parser
 * of its messages with any bytes.
 */

#include "sockdiag_fixture.h"

static void test_interruptions(void)
{
    fw2_endpoint e;

    half_close(listen_at("127.0.0.1", 0, 0, &e), "127.0.0.1", 1);
    counts(FW2_NETLINK, &e, 1, 0, only_fw2("1/0/0", FW2_NETLINK),
           "one socket is half-closed");
    send_interrupts = 2;
    recvmsg_interrupts = 2;
    fw2_sockdiag_count(&e, 1, 0, 0, &counted, pool);
    ok(counted.backend == FW2_NETLINK && counted.complete && !send_interrupts
           && !recvmsg_interrupts,
       "signals do not change the count");
    ok(recvmsg_cloexec, "CGI programs do not inherit the netlink socket");
    recvmsg_flags = MSG_TRUNC;
    fw2_sockdiag_count(&e, 1, 0, 0, &counted, pool);
    ok(counted.backend == FW2_NETLINK && !counted.complete,
       "a truncated datagram makes the count incomplete");
    foreign_sender = 4711;
    fw2_sockdiag_count(&e, 1, 0, 0, &counted, pool);
    ok(counted.tallies[0].n[FW2_FIN_WAIT2][FW2_PROCESS] == 0,
       "a datagram of another sender is not counted");
    reset_all();
}

/* ------------------------------------------------------------ the parser -- */

/* Parse bytes in a block of exactly their size, so that ASan sees each byte beyond. */
static apr_status_t parse_netlink(fw2_counting *count, const void *bytes,
                                  size_t len)
{
    unsigned char *exact = malloc(len ? len : 1);
    apr_status_t rv;

    if (len) {
        memcpy(exact, bytes, len);
    }
    fw2_counting_reset(count);
    rv = fw2_netlink_parse(count, exact, len);
    free(exact);
    return rv;
}

static fw2_endpoint dumped;

/* At each length only complete messages may be counted. */
static void test_netlink_truncated(const unsigned char *dump, size_t size)
{
    fw2_counting count = counting(&dumped, 1);
    apr_int64_t whole, before = 0;
    size_t len;
    int wrong = 0, cut = 0;

    parse_netlink(&count, dump, size);
    whole = count.tallies->n[FW2_FIN_WAIT2][FW2_PROCESS];
    ok(whole == 4 && count.complete,
       "a real dump has %d sockets, and is complete", (int)whole);
    for (len = 0; len < size; len++) {
        apr_status_t rv = parse_netlink(&count, dump, len);
        apr_int64_t n = count.tallies->n[FW2_FIN_WAIT2][FW2_PROCESS];

        wrong += rv != APR_INCOMPLETE || n < before || n > before + 1;
        before = n;
        cut += !count.complete;
    }
    is_int(wrong, 0, "a dump truncated at any length counts each socket once");
    ok(cut > (int)size * 9 / 10,
       "a truncated dump is incomplete: at %d of %d lengths", cut, (int)size);
}

static void test_netlink_hostile(const unsigned char *dump, size_t size)
{
    unsigned char *bytes = malloc(size);
    fw2_counting count = counting(&dumped, 1);
    int round, i;

    for (round = 0; round < 20000; round++) {
        memcpy(bytes, dump, size);
        for (i = 0; i < 8; i++) {
            bytes[lcg() % size] = (unsigned char)lcg();
        }
        parse_netlink(&count, bytes, round % 4 ? size : lcg() % size);
    }
    for (round = 0; round < 2000; round++) {
        for (i = 0; i < 256; i++) {
            bytes[i] = (unsigned char)lcg();
        }
        memset(bytes + 1, 0, 3); /* a plausible length */
        parse_netlink(&count, bytes, 256);
    }
    ok(1, "the parser survives 22,000 hostile dumps");
    free(bytes);
}

/* A message with 4 bytes of payload. */
static apr_status_t message(fw2_counting *count, unsigned short type,
                            unsigned int seq, unsigned short flags, int code,
                            unsigned int len)
{
    struct {
        struct nlmsghdr header;
        int code;
    } m;

    memset(&m, 0, sizeof(m));
    m.header.nlmsg_len = len;
    m.header.nlmsg_type = type;
    m.header.nlmsg_flags = flags;
    m.header.nlmsg_seq = seq;
    m.code = code;
    return parse_netlink(count, &m, sizeof(m));
}

static void test_netlink_messages(void)
{
    struct {
        struct nlmsghdr header;
        char payload[4];
    } odd = { { 18, NLMSG_NOOP, 0, 1, 0 }, "" };
    fw2_counting c = counting(&dumped, 1);

    is_int(message(&c, NLMSG_DONE, 1, 0, 0, 20), APR_SUCCESS,
           "the end of a dump");
    ok(c.complete, "a dump with its end is complete");
    is_int(message(&c, NLMSG_DONE, 1, NLM_F_DUMP_INTR, 0, 20), APR_SUCCESS,
           "the end of a disturbed dump");
    ok(!c.complete, "a disturbed dump is incomplete");
    is_int(message(&c, NLMSG_DONE, 1, 0, -ENOENT, 20), ENOENT,
           "the end of a dump that failed");
    is_int(message(&c, NLMSG_DONE, 2, 0, 0, 20), APR_INCOMPLETE,
           "the end of another dump");
    is_int(message(&c, NLMSG_ERROR, 1, 0, -EINVAL, 20), EINVAL, "an error");
    is_int(message(&c, NLMSG_ERROR, 1, 0, 0, 20), APR_INCOMPLETE,
           "an acknowledgement");
    is_int(message(&c, NLMSG_ERROR, 1, 0, (int)0x80000000, 20), EBADMSG,
           "an error with an invalid code");
    is_int(message(&c, NLMSG_ERROR, 1, 0, 5, 20), EBADMSG,
           "an error with a positive code");
    is_int(message(&c, NLMSG_ERROR, 1, 0, -EINVAL, 16), EBADMSG,
           "an error without its code");
    is_int(message(&c, NLMSG_NOOP, 1, 0, 0, 20), APR_INCOMPLETE, "a no-op");
    ok(c.complete, "a no-op keeps the count complete");
    is_int(parse_netlink(&c, &odd, 18), APR_INCOMPLETE,
           "a message with a length that is not aligned");
    ok(c.complete, "a length that is not aligned leaves the count complete");
    message(&c, NLMSG_DONE, 1, 0, 0, 0);
    ok(!c.complete, "a length of 0 makes the count incomplete");
    message(&c, NLMSG_DONE, 1, 0, 0, 15);
    ok(!c.complete, "a length below the header's makes the count incomplete");
    message(&c, NLMSG_DONE, 1, 0, 0, 0xffffffff);
    ok(!c.complete, "a length beyond the buffer makes the count incomplete");
    message(&c, TCPDIAG_GETSOCK, 1, 0, 0, 20);
    ok(!c.complete, "a short socket message makes the count incomplete");
}

static void test_netlink(void)
{
    int complete, fd = listen_at("127.0.0.1", 0, 0, &dumped);

    half_close(fd, "127.0.0.1", 4);
    counts(FW2_NETLINK, &dumped, 1, 0, only_fw2("4/0/0", FW2_NETLINK),
           "four sockets are half-closed");
    recvmsg_calls = 0;
    count_by(FW2_NETLINK, &dumped, 1, &complete);
    test_netlink_truncated(seen, seen_len);
    test_netlink_hostile(seen, seen_len);
    test_netlink_messages();
    reset_all();
}

/* Parse a mini-socket, and a socket in FIN_WAIT_1. */
static void test_netlink_numbers(void)
{
    struct {
        struct nlmsghdr header;
        struct inet_diag_msg body;
    } m;
    fw2_endpoint e = endpoint("127.0.0.1", 80, 0);
    fw2_counting c = counting(&e, 1);

    memset(&m, 0, sizeof(m));
    m.header.nlmsg_len = sizeof(m);
    m.header.nlmsg_type = TCPDIAG_GETSOCK;
    m.header.nlmsg_seq = FW2_NETLINK_SEQ;
    m.body.idiag_family = AF_INET;
    m.body.id.idiag_sport = htons(80);
    m.body.id.idiag_src[0] = htonl(INADDR_LOOPBACK);
    m.body.idiag_state = 5;
    m.body.idiag_timer = 3;
    m.body.idiag_expires = 59921;
    parse_netlink(&c, &m, sizeof(m));
    is_int(c.left.sum, 59921000, "times of netlink are milliseconds");
    m.body.idiag_expires = (apr_uint32_t)-4;
    parse_netlink(&c, &m, sizeof(m));
    is_str(left_text(&c.left), "1 0 0 0 0 0 0 0 unknown 0 unbounded 0",
           "a negative time left is in the first class");
    is_int(c.left.sum, 0, "a negative time left counts as 0");
    m.body.idiag_expires = 0x7fffffff;
    parse_netlink(&c, &m, sizeof(m));
    is_int(c.left.longest, 0x7fffffff * 1000LL,
           "the longest time of netlink is read");
    m.body.idiag_state = 4;
    m.body.idiag_timer = 4;
    m.body.idiag_wqueue = 0xffffffff;
    parse_netlink(&c, &m, sizeof(m));
    is_str(undelivered_text(&c.undelivered),
           "0:0,0 zero 1:4294967294,1 zero 0:0,0 zero ",
           "the longest queue of netlink is read");
}

int main(void)
{
    begin_program();
    test_interruptions();
    test_netlink();
    test_netlink_numbers();
    return end_program();
}
