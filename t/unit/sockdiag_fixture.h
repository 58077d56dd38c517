/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_SOCKDIAG_FIXTURE_H
#define FW2_SOCKDIAG_FIXTURE_H

/*
 * The common part of sockdiag's tests, against the real kernel: real sockets
 * on loopback in every state that is counted, and real seccomp filters that
 * refuse the same calls as a confinement. Wrappers of system calls make only events
 * that the kernel does not make on demand: a signal, a truncated datagram, another
 * sender.
 */

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdint.h>

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sys/mman.h>

#include "apr_general.h"
#include "apr_strings.h"

#include "kernel/sockdiag_impl.h"
#include "kernel.h"

#define BACKLOG 16
#define SOURCES 2

static fw2_source *const sources[SOURCES] = {
    fw2_netlink_count,
    fw2_procfs_count,
};

static apr_pool_t *pool;
TAP_UNUSED static fw2_count counted;

/* --------------------------------------------- between libc and the room -- */

static int recvmsg_interrupts, send_interrupts, recvmsg_calls;
static int recvmsg_flags, recvmsg_cloexec;
static unsigned int foreign_sender;
/** The first datagram of the last dump, and the length of its request. */
static unsigned char seen[32768];
static size_t seen_len, sent_len;

/** The number of forged datagrams before those of the kernel, each full of sockets
 *  in FIN_WAIT_2 at no endpoint. */
static int crowds;

static ssize_t crowd_fill(struct msghdr *msg)
{
    struct {
        struct nlmsghdr header;
        struct inet_diag_msg body;
    } m;
    size_t sum, size = msg->msg_iov->iov_len;

    memset(&m, 0, sizeof(m));
    memset(msg->msg_name, 0, msg->msg_namelen);
    m.header.nlmsg_len = sizeof(m);
    m.header.nlmsg_type = TCPDIAG_GETSOCK;
    m.header.nlmsg_seq = FW2_NETLINK_SEQ;
    m.body.idiag_family = AF_INET;
    m.body.idiag_state = FW2_TCP_FIN_WAIT2;
    for (sum = 0; sum + sizeof(m) <= size; sum += sizeof(m)) {
        memcpy((char *)msg->msg_iov->iov_base + sum, &m, sizeof(m));
    }
    return (ssize_t)sum;
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
    ssize_t got;

    recvmsg_calls++;
    if (crowds > 0) {
        crowds--;
        return crowd_fill(msg);
    }
    recvmsg_cloexec = fcntl(fd, F_GETFD) & FD_CLOEXEC;
    if (recvmsg_interrupts > 0) {
        recvmsg_interrupts--;
        errno = EINTR;
        return -1;
    }
    got = syscall(SYS_recvmsg, fd, msg, flags);
    if (got >= 0) {
        if (recvmsg_calls == 1) {
            seen_len = (size_t)got;
            memcpy(seen, msg->msg_iov->iov_base, seen_len);
        }
        msg->msg_flags |= recvmsg_flags;
        recvmsg_flags = 0;
        if (foreign_sender) {
            ((struct sockaddr_nl *)msg->msg_name)->nl_pid = foreign_sender;
            foreign_sender = 0;
        }
    }
    return got;
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    if (send_interrupts > 0) {
        send_interrupts--;
        errno = EINTR;
        return -1;
    }
    sent_len = len;
    return syscall(SYS_sendto, fd, bytes, len, flags, NULL, 0);
}

/** Files with a content other than that of this machine. */
static struct fake {
    const char *path;
    const char *text; /* NULL: the file does not exist */
} fakes[8];
static int fakes_n, opens;

int open(const char *path, int flags, ...)
{
    int i, fd;

    opens++;
    for (i = 0; i < fakes_n && strcmp(fakes[i].path, path) != 0; i++) {
    }
    if (i == fakes_n) {
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
    }
    if (!fakes[i].text) {
        errno = ENOENT;
        return -1;
    }
    fd = memfd_create("fake", MFD_CLOEXEC);
    if (write(fd, fakes[i].text, strlen(fakes[i].text)) < 0) {
        return -1;
    }
    lseek(fd, 0, SEEK_SET);
    return fd;
}

TAP_UNUSED static void fake(const char *path, const char *text)
{
    fakes[fakes_n].path = path;
    fakes[fakes_n++].text = text;
}

/* --------------------------------------------------------------- sockets -- */

static int kept[8192], kept_n;

TAP_UNUSED static int keep(int fd)
{
    if (fd < 0 || kept_n == (int)(sizeof(kept) / sizeof(kept[0]))) {
        bail("a socket");
    }
    kept[kept_n++] = fd;
    return fd;
}

/** Close a kept descriptor. */
TAP_UNUSED static void unkeep_close(int fd)
{
    int i;

    for (i = kept_n; i-- > 0;) {
        if (kept[i] == fd) {
            kept[i] = kept[--kept_n];
            break;
        }
    }
    close(fd);
}

/** Reset all connections, so that no socket remains in the kernel. */
TAP_UNUSED static void reset_all(void)
{
    while (kept_n > 0) {
        reset_end(&kept[--kept_n]);
    }
}

typedef union name {
    struct sockaddr any;
    struct sockaddr_in sin;
    struct sockaddr_in6 sin6;
} name;

TAP_UNUSED static socklen_t name_of(name *n, const char *addr, int port)
{
    memset(n, 0, sizeof(*n));
    if (strchr(addr, ':')) {
        n->sin6.sin6_family = AF_INET6;
        n->sin6.sin6_port = htons((uint16_t)port);
        inet_pton(AF_INET6, addr, &n->sin6.sin6_addr);
        return sizeof(n->sin6);
    }
    n->sin.sin_family = AF_INET;
    n->sin.sin_port = htons((uint16_t)port);
    inet_pton(AF_INET, addr, &n->sin.sin_addr);
    return sizeof(n->sin);
}

/** Return a listener, or -1 if the port is in use. `share` allows another listener
 *  of the test at the same port; without it no other program can share the port. */
TAP_UNUSED static int listen_try(const char *addr, int port, int v6only,
                                 int share)
{
    name n;
    socklen_t len = name_of(&n, addr, port);
    int fd = socket(n.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &share, sizeof(share));
    if (n.any.sa_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
    }
    if (bind(fd, &n.any, len) || listen(fd, BACKLOG)) {
        close(fd);
        return -1;
    }
    return keep(fd);
}

TAP_UNUSED static int listen_at(const char *addr, int port, int v6only,
                                fw2_endpoint *endpoint)
{
    int fd = listen_try(addr, port, v6only, 1);

    if (fd < 0 || fw2_endpoint_of(fd, endpoint) != APR_SUCCESS) {
        bail(apr_psprintf(pool, "a listener at %s:%d", addr, port));
    }
    return fd;
}

/** Return a client, with an address of its own unless `own` is NULL. */
TAP_UNUSED static int client_from(const char *own, const char *addr, int port)
{
    name n, o;
    socklen_t len = name_of(&n, addr, port);
    int small = 4096;
    int fd = keep(socket(n.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    if (own && bind(fd, &o.any, name_of(&o, own, 0))) {
        bail("bind");
    }
    if (connect(fd, &n.any, len)) {
        bail("connect");
    }
    return fd;
}

TAP_UNUSED static int client_to(const char *addr, int port)
{
    return client_from(NULL, addr, port);
}

TAP_UNUSED static connection pair_from(const char *own, int listener,
                                       const char *addr)
{
    fw2_endpoint endpoint;
    connection p = { -1, -1 };

    if (fw2_endpoint_of(listener, &endpoint) == APR_SUCCESS) {
        p.client = client_from(own, addr, endpoint.port);
        p.server = keep(accept(listener, NULL, NULL));
    }
    return p;
}

TAP_UNUSED static connection pair_of(int listener, const char *addr)
{
    return pair_from(NULL, listener, addr);
}

/** Write more than the client's window, so that no FIN arrives; return the number
 *  of bytes. */
TAP_UNUSED static long fill(int fd)
{
    int buffer = 262144;
    long sum;

    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    sum = fill_buffers(fd);
    if (sum < 100000) {
        bail(apr_psprintf(pool, "only %ld bytes written", sum));
    }
    return sum;
}

/** Return the time until which a test waits. */
TAP_UNUSED static apr_time_t deadline(void)
{
    return fw2_clock_now() + AWAIT_LIMIT;
}

/** Sleep for a millisecond; return false if the time is over. */
TAP_UNUSED static int nap(apr_time_t until)
{
    return await_more(until, NULL);
}

/** Close a server's end only in FIN_WAIT_2: about once in a thousand times the
 *  acknowledgement of a FIN meets a locked socket, which leaves no mini-socket. */
TAP_UNUSED static void orphan(int fd, int seconds)
{
    shutdown(fd, SHUT_WR);
    setsockopt(fd, IPPROTO_TCP, TCP_LINGER2, &seconds, sizeof(seconds));
    AWAIT(tcp_state(fd) == TCP_FIN_WAIT2);
    unkeep_close(fd);
}

/* ---------------------------------------------------- sockets in a state -- */

TAP_UNUSED static void half_close(int listener, const char *addr, int times)
{
    while (times-- > 0) {
        shutdown(pair_of(listener, addr).server, SHUT_WR);
    }
}

TAP_UNUSED static void make_fin_wait2(int listener, const char *addr)
{
    connection p = pair_of(listener, addr);

    shutdown(p.server, SHUT_WR);
    orphan(pair_of(listener, addr).server, 60);
    orphan(pair_of(listener, addr).server, 120);
}

/** Send a FIN, and keep the descriptor or close it. */
TAP_UNUSED static void end_server(int fd, int held)
{
    if (held) {
        shutdown(fd, SHUT_WR);
    }
    else {
        unkeep_close(fd);
    }
}

/** Make a socket whose descriptor stays open, or is closed, before the client's
 *  FIN. */
TAP_UNUSED static void make_fin_wait1(int listener, const char *addr, int held,
                                      int peer_fin)
{
    connection p = pair_of(listener, addr);

    fill(p.server);
    end_server(p.server, held);
    if (peer_fin) {
        shutdown(p.client, SHUT_WR);
    }
}

TAP_UNUSED static void make_last_ack(int listener, const char *addr, int held)
{
    connection p = pair_of(listener, addr);
    char byte;

    fill(p.server);
    shutdown(p.client, SHUT_WR);
    if (read(p.server, &byte, 1) != 0) { /* waits for the client's FIN */
        bail("no end of file");
    }
    end_server(p.server, held);
}

/* ---------------------------------------------------------------- counts -- */

TAP_UNUSED static const char *tally_text(const fw2_tally *t)
{
    char *text = (char *)"";
    int i;

    for (i = 0; i < FW2_STATES; i++) {
        text = apr_psprintf(pool,
                            "%s%s %" APR_INT64_T_FMT "/%" APR_INT64_T_FMT
                            "/%" APR_INT64_T_FMT " ",
                            text, fw2_state_names[i], t->n[i][FW2_PROCESS],
                            t->n[i][FW2_KERNEL], t->n[i][FW2_TIMEWAIT]);
    }
    return apr_psprintf(pool,
                        "%sbacklog %" APR_INT64_T_FMT "/%" APR_INT64_T_FMT,
                        text, t->backlog, t->backlog_limit);
}

/** Return an expected text; each state has its numbers of process/kernel/timewait.
 */
TAP_UNUSED static const char *expected(const char *fw1, const char *fw2,
                                       const char *closing,
                                       const char *close_wait,
                                       const char *last_ack, int backlog,
                                       int limit)
{
    return apr_psprintf(pool,
                        "fin_wait1 %s fin_wait2 %s closing %s close_wait %s "
                        "last_ack %s backlog %d/%d",
                        fw1, fw2, closing, close_wait, last_ack, backlog,
                        limit);
}

/** Return the expected text of a tally with sockets in FIN_WAIT_2 only. */
TAP_UNUSED static const char *only_fw2(const char *fw2, int source)
{
    return expected("0/0/0", fw2, "0/0/0", "0/0/0", "0/0/0", 0,
                    source == FW2_NETLINK ? BACKLOG : -1);
}

TAP_UNUSED static fw2_counting counting(const fw2_endpoint *endpoints, int n)
{
    fw2_counting count;

    memset(&count, 0, sizeof(count));
    count.endpoints = endpoints;
    count.n = n;
    count.tallies = apr_palloc(pool, (size_t)n * sizeof(fw2_tally));
    fw2_counting_reset(&count);
    return count;
}

TAP_UNUSED static void count_from(int source, fw2_counting *count)
{
    const char *attempt;

    fw2_counting_reset(count);
    if (sources[source](count, &attempt, pool) != APR_SUCCESS) {
        count->complete = -1;
    }
}

TAP_UNUSED static fw2_tally *count_by(int source, const fw2_endpoint *endpoints,
                                      int n, int *complete)
{
    fw2_counting count = counting(endpoints, n);

    count_from(source, &count);
    *complete = count.complete;
    return count.tallies;
}

/** Test that the tally becomes as expected, at this or a later count. */
TAP_UNUSED static void counts(int source, const fw2_endpoint *endpoints, int n,
                              int i, const char *wanted, const char *what)
{
    const char *text;
    apr_time_t until = deadline();
    int complete;

    do {
        text = tally_text(&count_by(source, endpoints, n, &complete)[i]);
    } while (strcmp(text, wanted) != 0 && nap(until));
    is_str(apr_psprintf(pool, "%s, complete %d", text, complete),
           apr_psprintf(pool, "%s, complete 1", wanted),
           apr_psprintf(pool, "%s: %s", fw2_backend_names[source], what));
}

TAP_UNUSED static const char *left_text(const fw2_left *left)
{
    char *text = (char *)"";
    int i;

    for (i = 0; i <= FW2_LEFT_BOUNDS; i++) {
        text = apr_psprintf(pool, "%s%d ", text, (int)left->n[i]);
    }
    return apr_psprintf(pool, "%sunknown %d unbounded %d", text,
                        (int)left->unknown, (int)left->unbounded);
}

TAP_UNUSED static const char *undelivered_text(const fw2_undelivered *u)
{
    char *text = (char *)"";
    int i;

    for (i = 0; i < FW2_HOLDERS; i++) {
        text = apr_psprintf(pool, "%s%d:%ld,%d zero ", text, (int)u->sockets[i],
                            (long)u->bytes[i], (int)u->shut[i]);
    }
    return text;
}

TAP_UNUSED static fw2_endpoint endpoint(const char *addr, int port, int v6only)
{
    fw2_endpoint e;
    struct in_addr v4;

    memset(&e, 0, sizeof(e));
    e.port = (apr_uint16_t)port;
    e.v6only = v6only != 0;
    if (strchr(addr, ':')) {
        inet_pton(AF_INET6, addr, e.addr);
    }
    else {
        e.v4 = 1;
        inet_pton(AF_INET, addr, &v4);
        fw2_endpoint_map(e.addr, &v4);
    }
    return e;
}

/* -------------------------------------------------------------- requests -- */

/* A request: header, body, attribute, two conditions; another two and a jump
 * for each further range of ports. */
#define LEGACY_LEN    ((unsigned int)(16 + sizeof(struct inet_diag_req) + 4 + 16))
#define RANGES_LEN(n) (LEGACY_LEN + 20 * ((n)-1))

/* A request for all ports: header and body. */
#define BARE_LEN (LEGACY_LEN - 4 - 16)

/* --------------------------------------------------------- hostile bytes -- */

/** Return the next pseudo-random number; the numbers are the same in every run. */
TAP_UNUSED static unsigned int lcg(void)
{
    static unsigned int x = 12345;

    x = x * 1103515245u + 12345u;
    return x >> 8;
}

/* ---------------------------------------------- confined child processes -- */

typedef const char *child_body(const void *about);

/** Return the text of a child process that confines itself or its network. */
TAP_UNUSED static const char *child_text(child_body *body, const void *about)
{
    char *output = apr_pcalloc(pool, 4096);
    int ends[2], status = 0;
    ssize_t got, sum = 0;
    pid_t child;

    if (pipe(ends) || (child = fork()) < 0) {
        return "no child";
    }
    if (child == 0) {
        const char *text;

        alarm(30); /* fork() does not pass on the alarm */
        text = body(about);
        _exit(write(ends[1], text, strlen(text)) < 0);
    }
    close(ends[1]);
    while ((got = read(ends[0], output + sum, (size_t)(4095 - sum))) > 0) {
        sum += got;
    }
    close(ends[0]);
    waitpid(child, &status, 0);
    return status ? "the child failed" : output;
}

/** The low word of a pointer. */
#define LOW(pointer) ((unsigned int)((uintptr_t)(pointer)&0xffffffffu))

/** Rules that refuse netlink, reads of a socket table, and reads of a file. */
#define NETLINK_IS(error)                                                      \
    {                                                                          \
        SYS_socket, 0, AF_NETLINK, error                                       \
    }
#define TABLE_READ_IS(error)                                                   \
    {                                                                          \
        SYS_read, 2, 65536, error                                              \
    }
#define FILE_READ_IS(error)                                                    \
    {                                                                          \
        SYS_read, 2, 16383, error                                              \
    }

TAP_UNUSED static int loopback_up(void)
{
    struct ifreq request;
    int fd = socket(AF_INET, SOCK_DGRAM, 0), rv;

    memset(&request, 0, sizeof(request));
    apr_cpystrn(request.ifr_name, "lo", sizeof(request.ifr_name));
    request.ifr_flags = IFF_UP;
    rv = ioctl(fd, SIOCSIFFLAGS, &request);
    close(fd);
    return rv == 0;
}

/** Return the number that a shell pipeline prints. */
TAP_UNUSED static long long shell(const char *command)
{
    FILE *pipeline = popen(command, "r");
    long long value = -2;

    if (!pipeline || fscanf(pipeline, "%lld", &value) != 1) {
        value = -1;
    }
    if (pipeline) {
        pclose(pipeline);
    }
    return value;
}

/* -------------------------------------------------------------- programs -- */

TAP_UNUSED static void begin_program(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    alarm(120); /* ends a test that hangs */
}

TAP_UNUSED static int end_program(void)
{
    is_int(awaited_in_vain, 0, "every awaited condition came true");
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}

#endif /* FW2_SOCKDIAG_FIXTURE_H */
