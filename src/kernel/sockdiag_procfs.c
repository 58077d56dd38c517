/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The second source, /proc/self/net/tcp and tcp6: every socket of the network
 * namespace as a line of text, at ten times netlink's cost. The file also reads
 * the namespace's limits and totals from /proc. On systems without such a /proc
 * the files are missing, and no other porting is needed.
 */

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/sockdiag_impl.h"

/* A larger buffer makes nothing faster (measured): each read returns 4 KiB. */
#define TABLE_BUFFER ((apr_size_t)64 * 1024)

/* The longest of the short files is net/netstat, with 6 KB. */
#define FILE_BUFFER (16 * 1024)

#define IPV4        "/proc/sys/net/ipv4/"
#define FIN_TIMEOUT IPV4 "tcp_fin_timeout"
#define SOCKSTAT    "/proc/self/net/sockstat"
#define NETSTAT     "/proc/self/net/netstat"

const char *const fw2_procfs_tables[2] = {
    "/proc/self/net/tcp",
    "/proc/self/net/tcp6",
};

/* ------------------------------------------------- a line of the table -- */

/* The part of a line that is not yet parsed. */
typedef struct cursor {
    const char *at;
    const char *end;
} cursor;

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return 16;
}

/* Read up to `most` digits. Return their number. */
static int take_digits(cursor *c, int base, int most, apr_uint64_t *value)
{
    int n;

    *value = 0;
    for (n = 0; n < most && c->at < c->end; n++, c->at++) {
        if (digit_of(*c->at) >= base) {
            break;
        }
        *value = *value * (apr_uint64_t)base + (apr_uint64_t)digit_of(*c->at);
    }
    return n;
}

static int take_char(cursor *c, char wanted)
{
    if (c->at == c->end || *c->at != wanted) {
        return 0;
    }
    c->at++;
    return 1;
}

static void skip_blanks(cursor *c)
{
    while (take_char(c, ' ')) {
    }
}

static int skip_word(cursor *c)
{
    const char *begin;

    skip_blanks(c);
    for (begin = c->at; c->at < c->end && *c->at != ' '; c->at++) {
    }
    return c->at > begin;
}

/* Read a state, which the kernel prints with two digits. */
static int take_state(cursor *c, apr_uint64_t *state)
{
    skip_blanks(c);
    return take_digits(c, 16, 2, state) == 2 && take_char(c, ' ');
}

/* Read a decimal number that is a word of its own. 64 bits hold 19 digits. */
static int take_number(cursor *c, apr_uint64_t *value)
{
    skip_blanks(c);
    return take_digits(c, 10, 19, value) > 0
           && (c->at == c->end || *c->at == ' ');
}

/* Read an address, which the kernel prints as 32-bit words in this machine's
 * byte order: one word for IPv4, four for IPv6. */
static int take_address(cursor *c, unsigned char addr[16])
{
    apr_uint32_t words[4];
    apr_uint64_t word;
    int n;

    skip_blanks(c);
    for (n = 0; n < 4 && take_digits(c, 16, 8, &word) == 8; n++) {
        words[n] = (apr_uint32_t)word;
    }
    if (n == 1) {
        fw2_endpoint_map(addr, words);
        return 1;
    }
    if (n == 4) {
        memcpy(addr, words, sizeof(words));
        return 1;
    }
    return 0;
}

/* Read one end of a connection: an address, a colon and a port of four
 * digits. */
static int take_end(cursor *c, unsigned char addr[16], apr_uint64_t *port)
{
    return take_address(c, addr) && take_char(c, ':')
           && take_digits(c, 16, 4, port) == 4 && take_char(c, ' ');
}

/* Read a word of two 32-bit numbers with a colon between them. */
static int take_pair(cursor *c, apr_uint64_t *first, apr_uint64_t *second)
{
    skip_blanks(c);
    return take_digits(c, 16, 8, first) > 0 && take_char(c, ':')
           && take_digits(c, 16, 8, second) > 0 && take_char(c, ' ');
}

/* Return the microseconds of a number of ticks. The kernel prints the ticks of
 * its clock for processes, and not of its own: jiffies_delta_to_clock_t(). */
static apr_interval_time_t time_of(apr_uint64_t ticks)
{
    return (apr_interval_time_t)ticks
           * (APR_USEC_PER_SEC / sysconf(_SC_CLK_TCK));
}

/* Parse a line. get_tcp4_sock(), get_tcp6_sock() and the similar functions for
 * mini-sockets and listeners all print the same columns:
 *   sl: local:port remote:port st tx:rx tr:when retrnsmt uid timeout inode */
static int take_line(cursor c, fw2_row *row)
{
    apr_uint64_t port, peer_port, state, tx, rx, timer, when, inode;

    if (!skip_word(&c) || !take_end(&c, row->addr, &port)
        || !take_end(&c, row->peer, &peer_port) || !take_state(&c, &state)
        || !take_pair(&c, &tx, &rx) || !take_pair(&c, &timer, &when)
        || !skip_word(&c) || !skip_word(&c) || !skip_word(&c)
        || !take_number(&c, &inode)) {
        return 0;
    }
    row->port = (apr_uint16_t)port;
    row->peer_port = (apr_uint16_t)peer_port;
    row->state = (unsigned int)state;
    row->holder = fw2_holder_of((unsigned int)timer, inode);
    row->rqueue = (apr_int64_t)rx;
    row->wqueue = state == FW2_TCP_LISTEN ? -1 : (apr_int64_t)tx;
    row->drops = -1;
    row->timer = (unsigned int)timer;
    row->expires = time_of(when);
    return 1;
}

static void count_line(fw2_counting *counting, const char *begin,
                       const char *end)
{
    cursor c = { begin, end };
    fw2_row row;

    skip_blanks(&c);
    if (take_char(&c, 's')) {
        return; /* the heading */
    }
    if (take_line(c, &row)) {
        fw2_counting_row(counting, &row);
    }
    else {
        counting->complete = 0;
    }
}

/* ---------------------------------------------------------- the tables -- */

apr_size_t fw2_procfs_parse(fw2_counting *counting, const char *text,
                            apr_size_t len)
{
    const char *at = text, *end = text + len, *newline;

    while ((newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        count_line(counting, at, newline);
        at = newline + 1;
    }
    return (apr_size_t)(at - text);
}

static apr_ssize_t read_retrying(int fd, char *buffer, apr_size_t size)
{
    apr_ssize_t got;

    do {
        got = read(fd, buffer, size);
    } while (got < 0 && errno == EINTR);
    return got;
}

apr_status_t fw2_procfs_read(fw2_counting *counting, int fd, char *buffer,
                             apr_size_t size)
{
    apr_size_t have = 0, used;
    apr_ssize_t got;

    while ((got = read_retrying(fd, buffer + have, size - have)) > 0) {
        have += (apr_size_t)got;
        used = fw2_procfs_parse(counting, buffer, have);
        have -= used;
        memmove(buffer, buffer + used, have);
        if (fw2_counting_is_spent(counting)) {
            break;
        }
    }
    /* The rest is a last line without an end, or a line longer than the buffer,
     * which ends the loop since no room is left to read into. The kernel writes
     * neither. */
    if (have) {
        counting->complete = 0;
    }
    return got < 0 ? errno : APR_SUCCESS;
}

static apr_status_t table_count(fw2_counting *counting, const char *path,
                                char *buffer)
{
    apr_status_t rv;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return errno;
    }
    rv = fw2_procfs_read(counting, fd, buffer, TABLE_BUFFER);
    close(fd);
    return rv;
}

apr_status_t fw2_procfs_count(fw2_counting *counting, const char **attempt,
                              apr_pool_t *scratch)
{
    char *buffer = apr_palloc(scratch, TABLE_BUFFER);
    apr_status_t rv;

    *attempt = fw2_procfs_tables[0];
    rv = table_count(counting, *attempt, buffer);
    if (rv != APR_SUCCESS || fw2_counting_is_spent(counting)) {
        return rv;
    }
    *attempt = fw2_procfs_tables[1];
    rv = table_count(counting, *attempt, buffer);
    /* A machine that boots with ipv6.disable=1 has no such table. */
    return rv == ENOENT ? APR_SUCCESS : rv;
}

/* ---------------------------------------------------------- the limits -- */

/* Read a short file, NUL-terminated. A file that is too long is cut. */
static apr_status_t file_read(const char *path, char text[FILE_BUFFER])
{
    apr_size_t have = 0;
    apr_ssize_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return errno;
    }
    while ((got = read_retrying(fd, text + have, FILE_BUFFER - 1 - have)) > 0) {
        have += (apr_size_t)got;
    }
    text[have] = '\0';
    close(fd);
    return got < 0 ? errno : APR_SUCCESS;
}

apr_status_t fw2_sockstat_count(fw2_counting *counting, const char **attempt,
                                apr_pool_t *scratch)
{
    char text[FILE_BUFFER];

    (void)scratch;
    counting->complete = 0;
    *attempt = SOCKSTAT;
    return file_read(SOCKSTAT, text);
}

/* The place of a limit in its file. */
typedef enum {
    FIRST,  /* the file's first number */
    THIRD,  /* the file's third number */
    BESIDE, /* behind its name, in a line of names and numbers */
    BELOW   /* below its name: a line of names, then a line of numbers */
} place;

/* The limits. The rows of one file stand together, so each file is read once.
 */
static const struct {
    size_t field; /* offset in fw2_limits */
    const char *path;
    place where;
    const char *line; /* first word of the line */
    const char *name;
} limit_rows[] = {
    { offsetof(fw2_limits, tcp_fin_timeout), FIN_TIMEOUT, FIRST, "", "" },
    { offsetof(fw2_limits, tcp_max_orphans), IPV4 "tcp_max_orphans", FIRST, "",
      "" },
    { offsetof(fw2_limits, tcp_max_tw_buckets), IPV4 "tcp_max_tw_buckets",
      FIRST, "", "" },
    { offsetof(fw2_limits, tcp_mem_max), IPV4 "tcp_mem", THIRD, "", "" },
    { offsetof(fw2_limits, inuse), SOCKSTAT, BESIDE, "TCP:", "inuse" },
    { offsetof(fw2_limits, orphans), SOCKSTAT, BESIDE, "TCP:", "orphan" },
    { offsetof(fw2_limits, timewait), SOCKSTAT, BESIDE, "TCP:", "tw" },
    { offsetof(fw2_limits, mem_pages), SOCKSTAT, BESIDE, "TCP:", "mem" },
    { offsetof(fw2_limits, inuse6), SOCKSTAT "6", BESIDE, "TCP6:", "inuse" },
    { offsetof(fw2_limits, listen_overflows), NETSTAT, BELOW,
      "TcpExt:", "ListenOverflows" },
    { offsetof(fw2_limits, listen_drops), NETSTAT, BELOW,
      "TcpExt:", "ListenDrops" },
    { offsetof(fw2_limits, deferred), NETSTAT, BELOW,
      "TcpExt:", "TCPDeferAcceptDrop" },
    { offsetof(fw2_limits, aborts_on_memory), NETSTAT, BELOW,
      "TcpExt:", "TCPAbortOnMemory" },
    { offsetof(fw2_limits, timewait_overflow), NETSTAT, BELOW,
      "TcpExt:", "TCPTimeWaitOverflow" }
};

/* Return the first line at or after `text` that begins with `word`, or NULL. */
static const char *line_find(const char *text, const char *word)
{
    while (text && strncmp(text, word, strlen(word)) != 0) {
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return text;
}

/* Return the `i`th word of a line, counted from 0, or NULL. */
static const char *word_at(const char *line, int i)
{
    while (i-- > 0) {
        line += strcspn(line, " \t\n");
        if (*line != ' ' && *line != '\t') {
            return NULL;
        }
        line++;
    }
    return line;
}

/* Return the index of the word `name` in a line, or -1. */
static int word_find(const char *line, const char *name)
{
    size_t len = strlen(name);
    int i = 0;

    for (; line; line = word_at(line, 1), i++) {
        if (strcspn(line, " \t\n") == len && !memcmp(line, name, len)) {
            return i;
        }
    }
    return -1;
}

static const char *limit_find(const char *text, place where, const char *line,
                              const char *name)
{
    const char *at = line_find(text, line);
    int i;

    if (!at) {
        return NULL;
    }
    if (where == FIRST || where == THIRD) {
        return word_at(at, where == FIRST ? 0 : 2);
    }
    i = word_find(at, name);
    if (i < 0) {
        return NULL;
    }
    if (where == BESIDE) {
        return word_at(at, i + 1);
    }
    at = strchr(at, '\n');
    at = at ? line_find(at + 1, line) : NULL;
    return at ? word_at(at, i) : NULL;
}

/* Return the number that a word begins with, or -1. */
static apr_int64_t number_of(const char *word)
{
    return word && *word >= '0' && *word <= '9' ? strtoll(word, NULL, 10) : -1;
}

apr_int64_t fw2_procfs_fin_timeout(void)
{
    char text[FILE_BUFFER];

    return file_read(FIN_TIMEOUT, text) == APR_SUCCESS ? number_of(text) : -1;
}

void fw2_sockdiag_limits(fw2_limits *limits)
{
    char text[FILE_BUFFER] = "";
    const char *path = "";
    apr_int64_t value;
    apr_size_t i;

    limits->own_drops = limits->other_drops = -1;
    for (i = 0; i < sizeof(limit_rows) / sizeof(limit_rows[0]); i++) {
        if (strcmp(path, limit_rows[i].path) != 0) {
            path = limit_rows[i].path;
            if (file_read(path, text) != APR_SUCCESS) {
                text[0] = '\0';
            }
        }
        value = number_of(limit_find(text, limit_rows[i].where,
                                     limit_rows[i].line, limit_rows[i].name));
        memcpy((char *)limits + limit_rows[i].field, &value, sizeof(value));
    }
}
