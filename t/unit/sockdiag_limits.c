/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The limits and counters of the kernel, read from real and fake files, refused
 * and in a container; and the predicted cost of a walk through the socket table.
 */

#include "sockdiag_fixture.h"

static apr_int64_t field_of(const fw2_limits *l, size_t field)
{
    apr_int64_t value;

    memcpy(&value, (const char *)l + field, sizeof(value));
    return value;
}

static int is_between(long long a, long long x, long long b)
{
    return a < b ? a <= x && x <= b : b <= x && x <= a;
}

/* Test that a limit is between two outputs of a shell command, before and after;
 * try again while sockets of other programs change it. */
static void limit_is(size_t field, const char *command, const char *what)
{
    apr_time_t until = deadline();
    long long before, after;
    apr_int64_t got;
    fw2_limits l;

    do {
        memset(&l, 7, sizeof(l));
        before = shell(command);
        fw2_sockdiag_limits(&l);
        after = shell(command);
        got = field_of(&l, field);
    } while (!is_between(before, got, after) && nap(until));
    ok(is_between(before, got, after),
       "%s: %" APR_INT64_T_FMT " is %lld, then %lld", what, got, before, after);
}

/* Test a number of /proc/net/sockstat or sockstat6. */
static void stat_is(size_t field, const char *file, const char *line,
                    const char *word)
{
    limit_is(field,
             apr_psprintf(pool,
                          "awk '$1 == \"%s:\" { for (i = 2; i < NF; i++) if "
                          "($i == \"%s\") print $(i + 1) }' /proc/net/%s",
                          line, word, file),
             word);
}

/* Test a counter of /proc/net/netstat. */
static void counter_is(size_t field, const char *word)
{
    limit_is(field,
             apr_psprintf(pool,
                          "awk '$1 == \"TcpExt:\" { for (i = 1; i <= NF; i++)"
                          " if (v) { if (i == v) print $i }"
                          " else if ($i == \"%s\") w = i; v = w }'"
                          " /proc/net/netstat",
                          word),
             word);
}

#define LIMIT(field) offsetof(fw2_limits, field)
#define IPV4         "/proc/sys/net/ipv4/"
#define PROC_NET     "/proc/self/net/"

static void test_limits(void)
{
    fw2_endpoint e;

    /* Make `tw` and the `inuse` of TCP6 larger than 0. */
    orphan(pair_of(listen_at("127.0.0.1", 0, 0, &e), "127.0.0.1").server, 60);
    pair_of(listen_at("::", 0, 0, &e), "127.0.0.1");
    limit_is(LIMIT(tcp_fin_timeout), "cat " IPV4 "tcp_fin_timeout",
             "tcp_fin_timeout");
    limit_is(LIMIT(tcp_max_orphans), "cat " IPV4 "tcp_max_orphans 2>&1",
             "tcp_max_orphans");
    limit_is(LIMIT(tcp_max_tw_buckets), "cat " IPV4 "tcp_max_tw_buckets",
             "tcp_max_tw_buckets");
    limit_is(LIMIT(tcp_mem_max), "cut -f 3 " IPV4 "tcp_mem 2>&1", "tcp_mem");
    stat_is(LIMIT(timewait), "sockstat", "TCP", "tw");
    stat_is(LIMIT(orphans), "sockstat", "TCP", "orphan");
    stat_is(LIMIT(inuse), "sockstat", "TCP", "inuse");
    stat_is(LIMIT(mem_pages), "sockstat", "TCP", "mem");
    stat_is(LIMIT(inuse6), "sockstat6", "TCP6", "inuse");
    counter_is(LIMIT(timewait_overflow), "TCPTimeWaitOverflow");
    counter_is(LIMIT(listen_overflows), "ListenOverflows");
    counter_is(LIMIT(listen_drops), "ListenDrops");
    counter_is(LIMIT(deferred), "TCPDeferAcceptDrop");
    counter_is(LIMIT(aborts_on_memory), "TCPAbortOnMemory");
    reset_all();
}

/* Return the limits of the fake files, and of real files otherwise. */
static const char *limits_text(void)
{
    fw2_limits l;

    memset(&l, 7, sizeof(l));
    opens = 0;
    fw2_sockdiag_limits(&l);
    fakes_n = 0;
    return apr_psprintf(pool, "%d %d %d %d, %d %d %d %d %d, %d %d %d %d",
                        (int)l.tcp_fin_timeout, (int)l.tcp_max_tw_buckets,
                        (int)l.tcp_max_orphans, (int)l.tcp_mem_max,
                        (int)l.inuse, (int)l.inuse6, (int)l.orphans,
                        (int)l.timewait, (int)l.mem_pages,
                        (int)l.listen_overflows, (int)l.listen_drops,
                        (int)l.aborts_on_memory, (int)l.timewait_overflow);
}

static void fake_limits(const char *mem, const char *sockstat, const char *six,
                        const char *netstat)
{
    fake(IPV4 "tcp_fin_timeout", "1\n");
    fake(IPV4 "tcp_max_tw_buckets", "2\n");
    fake(IPV4 "tcp_max_orphans", "3\n");
    fake(IPV4 "tcp_mem", mem);
    fake(PROC_NET "sockstat", sockstat);
    fake(PROC_NET "sockstat6", six);
    fake(PROC_NET "netstat", netstat);
}

static void test_limits_parsed(void)
{
    fake_limits("97\t98\t4\n",
                "sockets: used 77\nTCP: inuse 5 orphan 7 tw 8 alloc 99 mem 9\n"
                "UDP: inuse 66 mem 67\n",
                "TCP6: inuse 6\nUDP6: inuse 66\n",
                "TcpExt: A ListenOverflows ListenDrops TCPAbortOnMemory B "
                "TCPTimeWaitOverflow\nTcpExt: 90 10 11 12 91 13\n"
                "IpExt: ListenDrops\nIpExt: 92\n");
    is_str(limits_text(), "1 2 3 4, 5 6 7 8 9, 10 11 12 13", "all limits");
    is_int(opens, 7, "each file is read once");
    fake_limits("", "", "", "");
    is_str(limits_text(), "1 2 3 -1, -1 -1 -1 -1 -1, -1 -1 -1 -1",
           "empty files");
    fake_limits(NULL, NULL, NULL, NULL);
    is_str(limits_text(), "1 2 3 -1, -1 -1 -1 -1 -1, -1 -1 -1 -1",
           "missing files have no number of the files before them");
    fake_limits("1 2", "TCP: inuse\norphan 1 tw x mem -5",
                "TCP6: inuse \nTCP6: inuse 6\n",
                "TcpExt: ListenOverflows ListenDrops\nTcpExt: 1\n");
    is_str(limits_text(), "1 2 3 -1, -1 -1 -1 -1 -1, 1 -1 -1 -1",
           "truncated files");
    fake_limits("1\n2\n3\n", "TCP:\n", "\n\n\n", "TcpExt: ListenDrops");
    is_str(limits_text(), "1 2 3 -1, -1 -1 -1 -1 -1, -1 -1 -1 -1",
           "numbers in the wrong lines");
}

static const char *limits_refused(const void *rules)
{
    confine(rules, 1);
    return limits_text();
}

static void test_limits_refused(void)
{
    syscall_rule rules[] = { FILE_READ_IS(EACCES) };

    is_str(child_text(limits_refused, rules),
           "-1 -1 -1 -1, -1 -1 -1 -1 -1, -1 -1 -1 -1",
           "limits that cannot be read are -1");
}

static const char *limits_contained(const void *unused)
{
    fw2_limits l;

    (void)unused;
    if (unshare(CLONE_NEWNET)) {
        return "";
    }
    fw2_sockdiag_limits(&l);
    return apr_psprintf(pool, "hidden %d %d, shown %d %d, own %d %d %d %d",
                        (int)l.tcp_max_orphans, (int)l.tcp_mem_max,
                        l.orphans >= 0, l.mem_pages >= 0, (int)l.inuse,
                        (int)l.inuse6, (int)l.timewait, (int)l.listen_drops);
}

/* Read the limits in a container, whose network namespace is not the first. */
static void test_limits_contained(void)
{
    fw2_endpoint e;
    const char *output;

    pair_of(listen_at("::", 0, 0, &e), "127.0.0.1");
    output = child_text(limits_contained, NULL);
    if (*output) {
        is_str(output, "hidden -1 -1, shown 1 1, own 0 0 0 0",
               "limits in a container");
    }
    else {
        skip("limits in a container", "no permission for a network namespace");
    }
    reset_all();
}

static void test_predict(void)
{
    fw2_limits none, some;
    apr_interval_time_t least;

    memset(&none, 0xff, sizeof(none)); /* -1: not known */
    least = fw2_sockdiag_predict(&none);
    ok(least > 0 && least < 1000, "the predicted cost without sockets is %d us",
       (int)least);
    some = none;
    some.timewait = 1000;
    is_int(fw2_sockdiag_predict(&some), least + 400,
           "the predicted cost has 1,000 mini-sockets");
    some.inuse = 30;
    some.inuse6 = 200;
    is_int(fw2_sockdiag_predict(&some), least + 469,
           "the predicted cost has 230 full sockets, too");
}

int main(void)
{
    begin_program();
    test_limits();
    test_limits_parsed();
    test_limits_refused();
    test_limits_contained();
    test_predict();
    return end_program();
}
