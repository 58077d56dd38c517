/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The source /proc: its parser, with lines and parts of lines, and its reader.
 */

#include "sockdiag_fixture.h"

#define HEADING "  sl  local_address rem_address   st tx_queue rx_queue ...\n"
#define LINE                                                                   \
    "   0: 0100007F:0050 0100007F:D431 05 00000000:00000000 00:00000000 "      \
    "00000000    33        0 1079 1 000000007a1a67c2 100 0 0 10 0\n"
#define LINE6                                                                  \
    "  10: 00000000000000000000000001000000:0051 "                             \
    "00000000000000000000000001000000:D431 05 00000000:00000000 "              \
    "03:00001768 00000000     0        0 0 3 000000007a1a67c2\n"

static size_t parse_procfs(fw2_counting *count, const char *text, size_t len)
{
    char *exact = malloc(len ? len : 1);
    size_t used;

    memcpy(exact, text, len);
    fw2_counting_reset(count);
    used = fw2_procfs_parse(count, exact, len);
    free(exact);
    return used;
}

/* A line of an orphan at 127.0.0.1:80. */
static const char *orphan_line(const char *rest)
{
    return apr_pstrcat(pool, "   0: 0100007F:0050 0100007F:D431 ", rest, "\n",
                       NULL);
}

static void test_procfs_numbers(void)
{
    fw2_endpoint e = endpoint("127.0.0.1", 80, 0);
    fw2_counting c = counting(&e, 1);
    const char *line;

    line = orphan_line("05 00000000:00000000 03:00001768 00000000 0 0 0 3");
    parse_procfs(&c, line, strlen(line));
    is_int(c.left.sum, 59920000, "times of /proc are ticks");
    line = orphan_line("05 00000000:00000000 03:FFFFFFFF 00000000 0 0 0 3");
    parse_procfs(&c, line, strlen(line));
    is_int(c.left.longest, 0xffffffff * 10000LL,
           "the longest time of /proc is read");
    line = orphan_line("04 FFFFFFFF:00000000 04:00000001 00000000 0 0 0 3");
    parse_procfs(&c, line, strlen(line));
    is_str(undelivered_text(&c.undelivered),
           "0:0,0 zero 1:4294967294,1 zero 0:0,0 zero ",
           "the longest queue of /proc is read");
}

/* Test that a malformed line makes the count incomplete. */
static void malformed(fw2_counting *count, const char *line)
{
    size_t len = strlen(line);

    ok(parse_procfs(count, line, len) == len && !count->complete
           && !count->tallies->n[FW2_FIN_WAIT2][FW2_PROCESS],
       "malformed: %.40s", *line == '\n' ? "(empty)" : line);
}

static void test_procfs_malformed(fw2_counting *c)
{
    malformed(c, "\n");
    malformed(c, "   0:\n");
    malformed(c, "   0: 0100007:0050 0100007F:D431 05 0:0 0:0 0 0 0 7\n");
    malformed(c, "   0: 0100007F0100007F:0050 1:D431 05 0:0 0:0 0 0 0 7\n");
    malformed(c, "   0: 0100007F:050 0100007F:D431 05 0:0 0:0 0 0 0 7\n");
    malformed(c, "   0: 0100007F:00500 0100007F:D431 05 0:0 0 0 0 7\n");
    malformed(c, "   0: 0100007F.0050 0100007F:D431 05 0:0 0:0 0 0 0 7\n");
    malformed(c, "   0: 0100007F:0050 0100007F:D431 GG 0:0 0:0 0 0 0 7\n");
    malformed(c, "   0: 0100007F:0050 0100007F:D431 05 0 0:0 0 0 0 7\n");
    malformed(c, orphan_line("05 000000000:0 0:0 0 0 0 7"));
    malformed(c, orphan_line("05 0:000000000 0:0 0 0 0 7"));
    malformed(c, orphan_line("05 0:0 0 0 0 0 7"));
    malformed(c, orphan_line("05 0:0 0: 0 0 0 7"));
    malformed(c, orphan_line("05 0:0 0:000000000 0 0 0 7"));
    malformed(c, orphan_line("05 0:0 0:0x 0 0 0 7"));
    malformed(c, "   0: 0100007F:0050 0100007F:D431 05 0:0 0:0 0 0 0\n");
    malformed(c, "   0: 0100007F:0050 0100007F:D431 05 0:0 0:0 0 0 0 x\n");
}

static void test_procfs_lines(void)
{
    static const char both[] = HEADING LINE LINE6 LINE;
    fw2_endpoint e = endpoint("127.0.0.1", 80, 0);
    fw2_endpoint e6 = endpoint("::1", 81, 0);
    fw2_counting c = counting(&e, 1), c6 = counting(&e6, 1);
    size_t len, used;
    int wrong = 0;

    parse_procfs(&c, both, sizeof(both) - 1);
    ok(c.complete && c.tallies->n[FW2_FIN_WAIT2][FW2_PROCESS] == 2,
       "lines of IPv4 are counted");
    parse_procfs(&c6, both, sizeof(both) - 1);
    ok(c6.complete && c6.tallies->n[FW2_FIN_WAIT2][FW2_TIMEWAIT] == 1,
       "a line of IPv6 is counted");
    for (len = 0; len < sizeof(both); len++) {
        used = parse_procfs(&c, both, len);
        wrong += !c.complete || used > len || (used && both[used - 1] != '\n')
                 || memchr(both + used, '\n', len - used) != NULL;
    }
    is_int(wrong, 0, "a table truncated at any length counts whole lines only");
    test_procfs_malformed(&c);
    for (len = 1; len < sizeof(LINE) - 1; len++) { /* a line of each length */
        char *cut = apr_pstrcat(pool, apr_pstrmemdup(pool, LINE, len), "\n",
                                LINE, NULL);

        parse_procfs(&c, cut, strlen(cut));
        wrong += c.tallies->n[FW2_FIN_WAIT2][FW2_PROCESS] < 1;
    }
    is_int(wrong, 0, "the line after a truncated line is counted");
}

/* Return the count of a text that arrives `step` bytes at a time. */
static const char *through_pipe(const char *text, size_t step, size_t size)
{
    fw2_endpoint e = endpoint("127.0.0.1", 80, 0);
    fw2_counting c = counting(&e, 1);
    size_t len = strlen(text), at;
    int ends[2], status;
    pid_t child;

    if (pipe(ends) || (child = fork()) < 0) {
        return "no child";
    }
    if (child == 0) {
        close(ends[0]);
        for (at = 0; at < len; at += step) {
            if (write(ends[1], text + at, step < len - at ? step : len - at)
                < 0) {
                _exit(1);
            }
        }
        _exit(0);
    }
    close(ends[1]);
    fw2_procfs_read(&c, ends[0], apr_palloc(pool, size), size);
    close(ends[0]);
    waitpid(child, &status, 0);
    return apr_psprintf(pool, "%d, complete %d",
                        (int)c.tallies->n[FW2_FIN_WAIT2][FW2_PROCESS],
                        c.complete);
}

/* Count 50 lines, and a heading, by a read of a thousand bytes. */
static void test_procfs_spent(const char *lines)
{
    fw2_endpoint e = endpoint("127.0.0.1", 80, 0);
    fw2_counting c = counting(&e, 1);
    char buffer[1000];
    int fd;

    c.budget = 1;
    fake("/lines", lines);
    fd = open("/lines", O_RDONLY);
    is_int(fw2_procfs_read(&c, fd, buffer, sizeof(buffer)), APR_SUCCESS,
           "a budget that is used up is no error");
    close(fd);
    fakes_n = 0;
    is_int(c.tallies->n[FW2_FIN_WAIT2][FW2_PROCESS],
           (long long)((sizeof(buffer) - strlen(HEADING)) / strlen(LINE)),
           "a budget that is used up keeps the counted sockets");
    ok(!c.complete, "a budget that is used up makes the count incomplete");
}

static void test_procfs(void)
{
    char *lines = apr_pstrdup(pool, HEADING), *junk;
    fw2_endpoint e = endpoint("127.0.0.1", 80, 0);
    fw2_counting c = counting(&e, 1);
    int i, round;

    for (i = 0; i < 50; i++) {
        lines = apr_pstrcat(pool, lines, LINE, NULL);
    }
    test_procfs_spent(lines);
    is_str(through_pipe(lines, 1, 65536), "50, complete 1",
           "a table that arrives byte by byte");
    is_str(through_pipe(lines, 4096, 200), "50, complete 1",
           "a buffer that is little longer than a line");
    is_str(through_pipe(lines, 4096, 64), "0, complete 0",
           "a buffer that is too short for a line");
    is_str(through_pipe(HEADING LINE "   1: 0100007F", 7, 4096),
           "1, complete 0", "a table that ends within a line");
    i = (int)strlen(lines);
    for (round = 0; round < 5000; round++) {
        junk = apr_pstrmemdup(pool, lines, 1000);
        while (lcg() % 8) {
            junk[lcg() % 1000] = (char)lcg();
        }
        parse_procfs(&c, junk, 1000);
    }
    ok(1, "the parser survives 5,000 hostile tables");
    is_int(fw2_procfs_read(&c, -1, lines, 10), EBADF, "a read that fails");
}

int main(void)
{
    begin_program();
    test_procfs_lines();
    test_procfs_numbers();
    test_procfs();
    return end_program();
}
