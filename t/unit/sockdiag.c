/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The room sockdiag, against the real kernel: real sockets on loopback in
 * every state that is counted, and real seccomp filters that refuse what a
 * confinement refuses. Only what the kernel never does on demand (a signal,
 * a cut datagram, a foreign sender) is put between libc and the room, below.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "apr_general.h"
#include "apr_strings.h"

#include "kernel/sockdiag_impl.h"
#include "tap.h"

#define BACKLOG 16
#define SOURCES 2

static fw2_source *const sources[SOURCES] = {
    fw2_netlink_count,
    fw2_procfs_count,
};

static apr_pool_t *pool;
static fw2_count census;

/* ---------------------------------------- between libc and the room ----- */

static int recvmsg_interrupts, send_interrupts, recvmsg_calls;
static int recvmsg_flags, recvmsg_cloexec;
static unsigned int foreign_sender;
static unsigned char seen[32768]; /* the last dump's first datagram */
static size_t seen_len, sent_len; /* of that, and of its request */

/* Datagrams that come before the kernel's own, each full of sockets in
 * FIN_WAIT_2 that are at no endpoint. */
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

/* Files that are not what they are on this machine. */
static struct fake {
    const char *path;
    const char *text; /* NULL: there is no such file */
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

static void fake(const char *path, const char *text)
{
    fakes[fakes_n].path = path;
    fakes[fakes_n++].text = text;
}

/* ------------------------------------------------------------- sockets -- */

static int kept[8192], kept_n;

static int keep(int fd)
{
    if (fd < 0 || kept_n == (int)(sizeof(kept) / sizeof(kept[0]))) {
        perror("Bail out! a socket");
        exit(1);
    }
    kept[kept_n++] = fd;
    return fd;
}

/* Closes `fd`, which is kept, as the test's deed. */
static void unkeep_close(int fd)
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

/* Resets all connections, so that nothing lives on in the kernel. */
static void reset_all(void)
{
    static const struct linger reset = { 1, 0 };

    while (kept_n > 0) {
        setsockopt(kept[--kept_n], SOL_SOCKET, SO_LINGER, &reset,
                   sizeof(reset));
        close(kept[kept_n]);
    }
}

typedef union name {
    struct sockaddr any;
    struct sockaddr_in sin;
    struct sockaddr_in6 sin6;
} name;

static socklen_t name_of(name *n, const char *addr, int port)
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

/* A listener, or -1 where the port is taken. Only one that shall share its
 * port with another of ours may say so, lest it share with a stranger. */
static int listen_try(const char *addr, int port, int v6only, int share)
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

static int listen_at(const char *addr, int port, int v6only,
                     fw2_endpoint *endpoint)
{
    int fd = listen_try(addr, port, v6only, 1);

    if (fd < 0 || fw2_endpoint_of(fd, endpoint) != APR_SUCCESS) {
        printf("Bail out! no listener at %s:%d\n", addr, port);
        exit(1);
    }
    return fd;
}

/* A client, with an address of its own unless it is NULL. */
static int client_from(const char *own, const char *addr, int port)
{
    name n, o;
    socklen_t len = name_of(&n, addr, port);
    int small = 4096;
    int fd = keep(socket(n.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    if (own && bind(fd, &o.any, name_of(&o, own, 0))) {
        perror("Bail out! bind");
        exit(1);
    }
    if (connect(fd, &n.any, len)) {
        perror("Bail out! connect");
        exit(1);
    }
    return fd;
}

static int client_to(const char *addr, int port)
{
    return client_from(NULL, addr, port);
}

typedef struct pair {
    int client;
    int server;
} pair;

static pair pair_from(const char *own, int listener, const char *addr)
{
    fw2_endpoint endpoint;
    pair p = { -1, -1 };

    if (fw2_endpoint_of(listener, &endpoint) == APR_SUCCESS) {
        p.client = client_from(own, addr, endpoint.port);
        p.server = keep(accept(listener, NULL, NULL));
    }
    return p;
}

static pair pair_of(int listener, const char *addr)
{
    return pair_from(NULL, listener, addr);
}

/* Writes more than the client's window, so that no FIN gets through; returns
 * how much. */
static long fill(int fd)
{
    static const char bytes[65536];
    int buffer = 262144;
    long sum = 0;
    ssize_t n;

    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while ((n = write(fd, bytes, sizeof(bytes))) > 0) {
        sum += n;
    }
    if (sum < 100000) {
        printf("Bail out! only %ld bytes written\n", sum);
        exit(1);
    }
    return sum;
}

/* How long anything here is waited for. */
static apr_time_t deadline(void)
{
    return apr_time_now() + apr_time_from_sec(10);
}

static int nap(apr_time_t until)
{
    usleep(1000);
    return apr_time_now() < until;
}

/* Closes a server's end that is in FIN_WAIT_2 already: were its FIN's
 * acknowledgement to meet a locked socket, once in some thousand times, no
 * mini-socket would come of it. */
static void orphan(int fd, int seconds)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    apr_time_t until = deadline();

    shutdown(fd, SHUT_WR);
    setsockopt(fd, IPPROTO_TCP, TCP_LINGER2, &seconds, sizeof(seconds));
    do {
        getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
    } while (info.tcpi_state != TCP_FIN_WAIT2 && nap(until));
    unkeep_close(fd);
}

/* --------------------------------------------------- counting as text --- */

static const char *tally_text(const fw2_tally *t)
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

/* Return the expected text: half-closed numbers of process/kernel/timewait. */
static const char *expected(const char *fw1, const char *fw2,
                            const char *closing, const char *close_wait,
                            const char *last_ack, int backlog, int limit)
{
    return apr_psprintf(pool,
                        "fin_wait1 %s fin_wait2 %s closing %s close_wait %s "
                        "last_ack %s backlog %d/%d",
                        fw1, fw2, closing, close_wait, last_ack, backlog,
                        limit);
}

/* Nothing but so many FIN_WAIT_2. */
static const char *only_fw2(const char *fw2, int source)
{
    return expected("0/0/0", fw2, "0/0/0", "0/0/0", "0/0/0", 0,
                    source == FW2_NETLINK ? BACKLOG : -1);
}

static fw2_counting counting(const fw2_endpoint *endpoints, int n)
{
    fw2_counting count;

    memset(&count, 0, sizeof(count));
    count.endpoints = endpoints;
    count.n = n;
    count.tallies = apr_palloc(pool, (size_t)n * sizeof(fw2_tally));
    fw2_counting_reset(&count);
    return count;
}

static void count_from(int source, fw2_counting *count)
{
    const char *attempt;

    fw2_counting_reset(count);
    if (sources[source](count, &attempt, pool) != APR_SUCCESS) {
        count->complete = -1;
    }
}

static fw2_tally *count_by(int source, const fw2_endpoint *endpoints, int n,
                           int *complete)
{
    fw2_counting count = counting(endpoints, n);

    count_from(source, &count);
    *complete = count.complete;
    return count.tallies;
}

/* Counts until the tally is as expected, or time is up. */
static void counts(int source, const fw2_endpoint *endpoints, int n, int i,
                   const char *wanted, const char *what)
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

/* ------------------------------------------------------------ endpoints -- */

static fw2_endpoint endpoint(const char *addr, int port, int v6only)
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
    is_int(found(e, 6, "2001:db8::2", 80), 0, "0.0.0.0 takes no IPv6");
    is_int(found(e, 6, "2001:db8::2", 81), 4, "v6only takes IPv6");
    is_int(found(e, 6, "10.0.0.1", 81), -1, "v6only takes no IPv4");
    is_int(found(e, 6, "10.0.0.1", 82), 5, "dual-stack takes IPv4");
    is_int(found(e, 6, "10.0.0.1", 83), -1, "another port");
    is_int(found(e + 2, 1, "10.0.0.2", 80), -1, "another IPv4 address");
    is_int(found(e + 3, 1, "2001:db8::2", 80), -1, "another IPv6 address");
    is_int(found(e, 0, "10.0.0.1", 80), -1, "no endpoints");
}

static void test_endpoint_of(void)
{
    fw2_endpoint e, before;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    memset(&e, 7, sizeof(e));
    before = e;
    is_int(fw2_endpoint_of(fd, &e), APR_EINVAL, "no endpoint of AF_UNIX");
    close(fd);
    is_int(fw2_endpoint_of(-1, &e), EBADF, "no endpoint of no descriptor");
    ok(!memcmp(&e, &before, sizeof(e)), "untouched on failure");
    listen_at("127.0.0.1", 0, 0, &e);
    is_str(fw2_endpoint_text(pool, &e),
           apr_psprintf(pool, "127.0.0.1:%d", e.port), "IPv4's endpoint");
    ok(e.port && e.v4 && !e.v6only, "its port and kind");
    listen_at("::", 0, 0, &e);
    is_str(fw2_endpoint_text(pool, &e), apr_psprintf(pool, "[::]:%d", e.port),
           "IPv6's endpoint");
    ok(e.port && !e.v4 && !e.v6only, "dual-stack");
    listen_at("::", 0, 1, &e);
    ok(!e.v4 && e.v6only, "v6only");
    reset_all();
}

/* --------------------------------------------------------------- states -- */

static void make_fin_wait2(int listener, const char *addr)
{
    pair p = pair_of(listener, addr);

    shutdown(p.server, SHUT_WR);
    orphan(pair_of(listener, addr).server, 60);
    orphan(pair_of(listener, addr).server, 120);
}

/* Make one whose descriptor stays open, or is closed, before the client's FIN.
 */
static void make_fin_wait1(int listener, const char *addr, int held,
                           int peer_fin)
{
    pair p = pair_of(listener, addr);

    fill(p.server);
    if (held) {
        shutdown(p.server, SHUT_WR);
    }
    else {
        unkeep_close(p.server);
    }
    if (peer_fin) {
        shutdown(p.client, SHUT_WR);
    }
}

static void make_last_ack(int listener, const char *addr, int held)
{
    pair p = pair_of(listener, addr);
    char byte;

    fill(p.server);
    shutdown(p.client, SHUT_WR);
    fcntl(p.server, F_SETFL, 0);
    if (read(p.server, &byte, 1) != 0) { /* waits for the client's FIN */
        printf("Bail out! no end of file\n");
        exit(1);
    }
    if (held) {
        shutdown(p.server, SHUT_WR);
    }
    else {
        unkeep_close(p.server);
    }
}

/* One of each that the table in the census has room for. */
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

/* ---------------------------------------- time left, and undelivered -- */

static const char *left_text(const fw2_left *left)
{
    char *text = (char *)"";
    int i;

    for (i = 0; i <= FW2_LEFT_BOUNDS; i++) {
        text = apr_psprintf(pool, "%s%d ", text, (int)left->n[i]);
    }
    return apr_psprintf(pool, "%sunknown %d unbounded %d", text,
                        (int)left->unknown, (int)left->unbounded);
}

static const char *undelivered_text(const fw2_undelivered *u)
{
    char *text = (char *)"";
    int i;

    for (i = 0; i < FW2_HOLDERS; i++) {
        text = apr_psprintf(pool, "%s%d:%ld,%d shut ", text, (int)u->sockets[i],
                            (long)u->bytes[i], (int)u->shut[i]);
    }
    return text;
}

/* Counts until the times left are as expected, or time is up. */
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

/* Held in FIN_WAIT_2, with keep-alive's timer of two hours. */
static void make_kept_alive(int listener, const char *addr)
{
    int fd = pair_of(listener, addr).server, on = 1;

    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    shutdown(fd, SHUT_WR);
}

/* 60 s are a mini-socket's, 120 s a full one's that has half of it ahead. */
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
           "the longest: %ld us", (long)left.longest);
        ok(left.sum > 150 * APR_USEC_PER_SEC
               && left.sum <= 195 * APR_USEC_PER_SEC,
           "the sum: %ld us", (long)left.sum);
    }
    fw2_sockdiag_count(&e, 1, 0, 0, &census, pool);
    is_str(left_text(&census.left), wanted, "the census has it");
    reset_all();
    make_kept_alive(listen_at("127.0.0.1", 0, 0, &e), "127.0.0.1");
    for (s = 0; s < SOURCES; s++) {
        counts(s, &e, 1, 0, only_fw2("1/0/0", s), "one is kept alive");
        is_int(has_left(s, &e, "0 0 0 0 0 0 0 0 unknown 0 unbounded 0",
                        "nothing of one that is held")
                   .longest,
               0, "nor the longest");
    }
    reset_all();
}

/* Make a client vanish: nothing reaches it, not even an acknowledgement. */
static void vanish(int client)
{
    struct sock_filter nothing[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
    struct sock_fprog program = { 1, nothing };

    if (setsockopt(client, SOL_SOCKET, SO_ATTACH_FILTER, &program,
                   sizeof(program))) {
        perror("Bail out! SO_ATTACH_FILTER");
        exit(1);
    }
}

/* Send so much to a client that has vanished, and close. */
static void make_vanished(int listener, const char *addr, int bytes, int held)
{
    static const char zeros[1000];
    pair p = pair_of(listener, addr);

    vanish(p.client);
    if (write(p.server, zeros, (size_t)bytes) != bytes) {
        perror("Bail out! write");
        exit(1);
    }
    if (held) {
        shutdown(p.server, SHUT_WR);
    }
    else {
        unkeep_close(p.server);
    }
}

/* Close before a zero window; return what the client's kernel has not got. */
static long make_shut(int listener, const char *addr, int held)
{
    pair p = pair_of(listener, addr);
    long sum = fill(p.server);
    apr_time_t until = deadline();
    int unread = 0, out = 0;

    do {
        ioctl(p.client, FIONREAD, &unread);
        ioctl(p.server, TIOCOUTQ, &out);
    } while (unread + out != sum && nap(until));
    if (held) {
        shutdown(p.server, SHUT_WR);
    }
    else {
        unkeep_close(p.server);
    }
    return sum - unread;
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
               "two peers have vanished");
        is_undelivered(s, &e, "0:0,0 shut 0:0,0 shut 0:0,0 shut ",
                       "a FIN is no byte of a response");
    }
    make_vanished(fd, "127.0.0.1", 1000, 1);
    make_vanished(fd, "127.0.0.1", 1, 0);
    make_vanished(fd, "::1", 99, 0);
    held = make_shut(fd, "127.0.0.1", 1);
    orphaned = make_shut(fd, "::1", 0) + make_shut(fd, "127.0.0.1", 0);
    fill(pair_of(fd, "127.0.0.1").server); /* not closed */
    make_last_ack(fd, "127.0.0.1", 0);     /* closed by the client first */
    wanted = apr_psprintf(pool, "2:%ld,1 shut 4:%ld,2 shut 0:0,0 shut ",
                          held + 1000, orphaned + 100);
    for (s = 0; s < SOURCES; s++) {
        is_undelivered(s, &e, wanted, "bytes not acknowledged");
    }
    fw2_sockdiag_count(&e, 1, 0, 0, &census, pool);
    is_str(undelivered_text(&census.undelivered), wanted, "the census has it");
    reset_all();
}

/* -------------------------------------------------------------- clients -- */

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

/* As many half-closed connections of a client's at that address. */
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
           apr_psprintf(pool, "%s: peers", fw2_backend_names[source]));
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
    make_fin_wait2(fd, "::1");             /* of every holder */
    make_fin_wait1(fd, "127.0.0.1", 1, 0); /* and in every state */
    make_fin_wait1(fd, "127.0.0.1", 0, 0);
    make_fin_wait1(fd, "127.0.0.1", 0, 1);
    make_last_ack(fd, "127.0.0.1", 0); /* but not in these */
    shutdown(pair_of(fd, "127.0.0.1").client, SHUT_WR);
    pair_from("127.0.0.4", fd, "127.0.0.1");
    has_peers(FW2_NETLINK, &e, wanted);
    has_peers(FW2_PROCFS, &e, wanted);
    fw2_sockdiag_count(&e, 1, 50, 0, &census, pool);
    is_str(peers_text(&census.peers), wanted, "the census has them");
    fw2_sockdiag_count(&e, 1, 2, 0, &census, pool);
    is_str(peers_text(&census.peers), "2 of 4, other 0: 127.0.0.3 4 ::/64 3",
           "or as many as asked");

    fw2_sockdiag_count(&e, 1, 0, 0, &census, pool);
    is_str(peers_text(&census.peers), "0 of 0, other 0:", "or none");
    for (i = 1; i <= 60; i++) {
        half_close_from(apr_psprintf(pool, "127.0.1.%d", i), fd, "127.0.0.1",
                        1);
    }
    do {
        fw2_sockdiag_count(&e, 1, INT_MAX, 0, &census, pool);
    } while (census.peers.seen < 64 && nap(until));
    ok(census.peers.n == FW2_PEERS_MAX && census.peers.seen == 64,
       "no more than %d", census.peers.n);
    reset_all();
}

/* ---------------------------------------------------------- attribution -- */

static void half_close(int listener, const char *addr, int times)
{
    while (times-- > 0) {
        shutdown(pair_of(listener, addr).server, SHUT_WR);
    }
}

static void test_specific(void)
{
    fw2_endpoint e[4];
    int any = listen_at("0.0.0.0", 0, 0, &e[0]), exact, six, s;

    exact = listen_at("127.0.0.1", e[0].port, 0, &e[1]);
    six = listen_at("::", e[0].port, 1, &e[2]);
    half_close(exact, "127.0.0.1", 1);
    half_close(any, "127.0.0.2", 2);
    half_close(six, "::1", 3);
    client_to("127.0.0.1", e[0].port); /* waits at the exact one */
    for (s = 0; s < SOURCES; s++) {
        int limit = s == FW2_NETLINK ? BACKLOG : -1;

        counts(s, e, 3, 0, only_fw2("2/0/0", s), "0.0.0.0 has the rest");
        counts(s, e, 3, 1,
               expected("0/0/0", "1/0/0", "0/0/0", "0/0/0", "0/0/0", 1, limit),
               "the exact address has its own");
        counts(s, e, 3, 2, only_fw2("3/0/0", s), "v6only has IPv6");
        counts(s, e, 1, 0, only_fw2("3/0/0", s),
               "a foreign listener's backlog is not ours");
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

/* `n` listeners `step` ports apart, with i % 3 + 1 half-closed at the i-th;
 * and 5 at a stranger's, right above each fourth. */
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

/* A request: header, body, attribute, two conditions; another two and a jump
 * for each further range of ports. */
#define LEGACY_LEN    ((unsigned int)(16 + sizeof(struct inet_diag_req) + 4 + 16))
#define RANGES_LEN(n) (LEGACY_LEN + 20 * ((n)-1))

/* A request for all ports: header and body. */
#define BARE_LEN (LEGACY_LEN - 4 - 16)

/* At how many of them that is what is counted, and no more. */
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
    is_int((long long)sent_len, RANGES_LEN(ranges), "asked for as few ranges");
    reset_all();
}

static void test_ports(void)
{
    fw2_endpoint e[2];
    int complete;

    ports_count(2, 3, 2, "two ports, neighbours not counted");
    ports_count(5, 1, 1, "adjacent ports");
    ports_count(32, 3, 32, "as many ranges as are sent");
    ports_count(33, 3, 1, "one more: the bounding range");
    ports_count(64, 3, 1, "64 ranges: the bounding range");
    half_close(listen_at("127.0.0.1", 0, 0, &e[0]), "127.0.0.1", 1);
    e[1] = e[0];
    counts(FW2_NETLINK, e, 2, 0, only_fw2("1/0/0", FW2_NETLINK),
           "an endpoint twice: counted at the first");
    is_int(count_by(FW2_NETLINK, e, 2, &complete)[1].backlog_limit, -1,
           "and not at the second");
    reset_all();
}

/* ----------------------------------------------------------- the census -- */

static void test_census(void)
{
    fw2_endpoint e;
    int i;

    half_close(listen_at("127.0.0.1", 0, 0, &e), "127.0.0.1", 1);
    counts(FW2_NETLINK, &e, 1, 0, only_fw2("1/0/0", FW2_NETLINK), "one");
    fw2_sockdiag_count(&e, 1, 0, 0, &census, pool);
    is_int(census.backend, FW2_NETLINK, "the census is netlink's");
    is_int(census.complete, 1, "it is complete");
    is_str(tally_text(census.tallies), only_fw2("1/0/0", FW2_NETLINK),
           "it has the tally");
    for (i = 0; i < FW2_BACKENDS; i++) {
        is_str(
            census.refused[i], "",
            apr_psprintf(pool, "nothing refused by %s", fw2_backend_names[i]));
    }
    for (i = 0; i < 100; i++) { /* far more than the clock's step */
        fw2_sockdiag_count(&e, 1, 0, 0, &census, pool);
    }
    ok(census.cost > 0 && census.cost < apr_time_from_sec(10), "it has a cost");
    recvmsg_calls = 0;
    fw2_sockdiag_count(NULL, 0, 0, 0, &census, pool);
    ok(census.complete && census.backend == FW2_NETLINK && !recvmsg_calls,
       "without endpoints: complete, and nothing asked");
    reset_all();
}

/* Try a budget that is used up after the first read, and one that never is. The
 * choice of sockets in the first read of /proc is its own affair. */
static void spends(int source, const fw2_endpoint *e)
{
    fw2_counting count = counting(e, 1);
    const apr_int64_t *n = &count.tallies->n[FW2_FIN_WAIT2][FW2_TIMEWAIT];

    count.budget = 1;
    opens = 0;
    count_from(source, &count);
    ok(!count.complete && *n >= (source == FW2_NETLINK) && *n < 500,
       "%s: %d of them for 1 us, and not complete", fw2_backend_names[source],
       (int)*n);
    ok(opens <= 1, "nor is the next table begun");
    count.budget = APR_INT64_MAX;
    count_from(source, &count);
    ok(count.complete && *n == 3000, "all for enough");
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
    fw2_sockdiag_count(&e, 1, 0, apr_time_from_sec(10), &census, pool);
    ok(recvmsg_calls > 8 && census.complete, "in %d datagrams", recvmsg_calls);
    recvmsg_calls = 0;
    fw2_sockdiag_count(&e, 1, 0, 1, &census, pool);
    ok(recvmsg_calls == 1 && !census.complete && census.backend == FW2_NETLINK
           && census.tallies->n[FW2_FIN_WAIT2][FW2_TIMEWAIT] > 0,
       "in one, for 1 us");
    reset_all();
}

/* ------------------------------------------------- what libc may return -- */

static void test_interruptions(void)
{
    fw2_endpoint e;

    half_close(listen_at("127.0.0.1", 0, 0, &e), "127.0.0.1", 1);
    counts(FW2_NETLINK, &e, 1, 0, only_fw2("1/0/0", FW2_NETLINK), "one");
    send_interrupts = 2;
    recvmsg_interrupts = 2;
    fw2_sockdiag_count(&e, 1, 0, 0, &census, pool);
    ok(census.backend == FW2_NETLINK && census.complete && !send_interrupts
           && !recvmsg_interrupts,
       "signals do not disturb it");
    ok(recvmsg_cloexec, "no CGI inherits its socket");
    recvmsg_flags = MSG_TRUNC;
    fw2_sockdiag_count(&e, 1, 0, 0, &census, pool);
    ok(census.backend == FW2_NETLINK && !census.complete,
       "a cut datagram makes it incomplete");
    foreign_sender = 4711;
    fw2_sockdiag_count(&e, 1, 0, 0, &census, pool);
    ok(census.tallies[0].n[FW2_FIN_WAIT2][FW2_PROCESS] == 0,
       "a datagram of another sender's is not counted");
    reset_all();
}

/* ------------------------------------------------------------- refusals -- */

/* A rule of a seccomp filter, which refuses a system call where the low word of
 * one of its arguments is `value`. */
typedef struct rule {
    unsigned int call;
    unsigned int argument;
    unsigned int value;
    unsigned int error;
} rule;

static void confine(const rule *rules, int n)
{
    struct sock_filter code[64];
    struct sock_fprog program;
    unsigned short len = 0;
    int i;

    for (i = 0; i < n; i++) {
        struct sock_filter one[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                     offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rules[i].call, 0, 3),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                     offsetof(struct seccomp_data, args) + 8 * rules[i].argument
                         + 4 * (htons(1) == 1)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rules[i].value, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | rules[i].error)
        };

        memcpy(code + len, one, sizeof(one));
        len = (unsigned short)(len + sizeof(one) / sizeof(one[0]));
    }
    code[len++] =
        (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    program.len = len;
    program.filter = code;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        _exit(1);
    }
}

static const char *census_text(void)
{
    return apr_psprintf(pool, "%s %d [%s] %s; %s; %s",
                        fw2_backend_names[census.backend], census.complete,
                        tally_text(census.tallies),
                        *census.refused[0] ? census.refused[0] : "-",
                        *census.refused[1] ? census.refused[1] : "-",
                        *census.refused[2] ? census.refused[2] : "-");
}

/* A census that was copied, and whose pool is gone: ASan would see it. */
static void count_and_copy(const fw2_endpoint *e)
{
    fw2_count counted;
    apr_pool_t *own;

    apr_pool_create_unmanaged(&own);
    fw2_sockdiag_count(e, 1, 0, 0, &counted, own);
    census = counted;
    census.tallies = apr_pmemdup(pool, counted.tallies, sizeof(fw2_tally));
    memset(&counted, 7, sizeof(counted));
    apr_pool_destroy(own);
}

typedef const char *speech(const void *about);

/* Return what a child says that is not like its parent any more. */
static const char *child_says(speech *say, const void *about)
{
    char *said = apr_pcalloc(pool, 4096);
    int ends[2], status = 0;
    ssize_t got, sum = 0;
    pid_t child;

    if (pipe(ends) || (child = fork()) < 0) {
        return "no child";
    }
    if (child == 0) {
        const char *text;

        alarm(30); /* does not come with fork() */
        text = say(about);
        _exit(write(ends[1], text, strlen(text)) < 0);
    }
    close(ends[1]);
    while ((got = read(ends[0], said + sum, (size_t)(4095 - sum))) > 0) {
        sum += got;
    }
    close(ends[0]);
    waitpid(child, &status, 0);
    return status ? "the child failed" : said;
}

typedef struct confinement {
    const rule *rules;
    int n;
    const fw2_endpoint *e;
} confinement;

/* How many datagrams a kernel without the legacy request sends until 1 us is
 * spent. */
static const char *confined_spent(const void *about)
{
    const confinement *by = about;

    confine(by->rules, by->n);
    recvmsg_calls = 0;
    fw2_sockdiag_count(by->e, 1, 0, 1, &census, pool);
    return apr_psprintf(pool, "%d, complete %d", recvmsg_calls,
                        census.complete);
}

static const char *confined_census(const void *about)
{
    const confinement *by = about;

    confine(by->rules, by->n);
    count_and_copy(by->e);
    return census_text();
}

/* Check that a confined child says this, if need be at a later try: under other
 * programs' load /proc shows sockets twice (see fw2_sockdiag_count()). */
static void says(const rule *rules, int n, const fw2_endpoint *e,
                 const char *part, const char *what)
{
    confinement by = { rules, n, e };
    apr_time_t until = deadline();
    const char *said;

    do {
        said = child_says(confined_census, &by);
    } while (!strstr(said, part) && nap(until));
    has_str(said, part, what);
}

#define LOW(pointer) ((unsigned int)((uintptr_t)(pointer)&0xffffffffu))
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

static void refused_netlink(const fw2_endpoint *e, unsigned int error,
                            const char *sentence)
{
    rule rules[] = { NETLINK_IS(error) };

    says(rules, 1, e,
         apr_psprintf(pool, "procfs 1 [%s] ", only_fw2("2/0/0", FW2_PROCFS)),
         "netlink refused: procfs has the same");
    says(rules, 1, e,
         apr_psprintf(pool,
                      "] socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG):"
                      " %s; -; -",
                      sentence),
         "and the census says why");
}

static void refused_socket(const fw2_endpoint *e)
{
    refused_netlink(e, EACCES,
                    "Permission denied (SELinux refuses it without `allow "
                    "httpd_t self:netlink_tcpdiag_socket { create read write "
                    "getattr bind nlmsg_read };`)");
    refused_netlink(e, EPERM,
                    "Operation not permitted (a seccomp filter refuses it; "
                    "it must let socket(AF_NETLINK) pass)");
    refused_netlink(e, EAFNOSUPPORT,
                    "Address family not supported by protocol (systemd's "
                    "RestrictAddressFamilies= must list AF_NETLINK)");
    refused_netlink(e, EPROTONOSUPPORT,
                    "Protocol not supported (this kernel is without "
                    "INET_DIAG)");
    refused_netlink(e, EMFILE, "Too many open files");
}

static void refused_request(const fw2_endpoint *e)
{
    rule old[] = { { SYS_sendto, 2, BARE_LEN, EINVAL } };
    rule both[] = { { SYS_sendto, 2, BARE_LEN, EOPNOTSUPP },
                    { SYS_sendto, 2, BARE_LEN - 4, ENOENT } };
    rule denied[] = { { SYS_sendto, 2, BARE_LEN, EACCES } };
    rule lost[] = { { SYS_sendto, 2, BARE_LEN, 0 } };
    confinement by = { old, 1, e };

    says(old, 1, e,
         apr_psprintf(pool, "netlink 1 [%s] -; -; -",
                      only_fw2("2/0/0", FW2_NETLINK)),
         "a kernel without the legacy request");
    is_str(child_says(confined_spent, &by), "1, complete 0",
           "no second dump without a budget");
    says(both, 2, e,
         "a netlink sock_diag dump: No such file or directory (this kernel"
         " is without INET_DIAG, or may not load its module); -; -",
         "nor with the newer one");
    says(denied, 1, e, "a netlink sock_diag dump: Permission denied (SELinux",
         "a refusal is not asked again");
    says(lost, 1, e,
         "a netlink sock_diag dump: The timeout specified has expired (the"
         " kernel did not answer)",
         "without an answer it does not hang");
}

static void refused_proc(const fw2_endpoint *e)
{
    rule no_six[] = { NETLINK_IS(EACCES),
                      { SYS_openat, 1, LOW(fw2_procfs_tables[1]), ENOENT } };
    rule no_four[] = { NETLINK_IS(EACCES),
                       { SYS_openat, 1, LOW(fw2_procfs_tables[0]), EACCES } };
    rule no_read[] = { NETLINK_IS(EACCES), TABLE_READ_IS(EIO) };
    rule nothing[] = { NETLINK_IS(EACCES), TABLE_READ_IS(EIO),
                       FILE_READ_IS(EACCES) };
    const char *empty =
        expected("0/0/0", "0/0/0", "0/0/0", "0/0/0", "0/0/0", 0, -1);

    says(no_six, 2, e,
         apr_psprintf(pool, "procfs 1 [%s] ", only_fw2("2/0/0", FW2_PROCFS)),
         "procfs without tcp6");
    says(no_four, 2, e,
         "/proc/self/net/tcp: Permission denied (an AppArmor profile must "
         "allow `@{PROC}/@{pid}/net/tcp{,6} r,`); -",
         "procfs without tcp");
    says(no_read, 2, e, apr_psprintf(pool, "sockstat 0 [%s] ", empty),
         "only sockstat is left");
    says(no_read, 2, e, "; /proc/self/net/tcp: Input/output error; -",
         "because of the second");
    says(nothing, 3, e, apr_psprintf(pool, "nothing 0 [%s] ", empty),
         "nothing is left");
    says(nothing, 3, e,
         "; /proc/self/net/sockstat: Permission denied (an AppArmor "
         "profile must allow `@{PROC}/@{pid}/net/sockstat r,`)",
         "because of the third");
}

static void test_refusals(void)
{
    fw2_endpoint e;

    half_close(listen_at("127.0.0.1", 0, 0, &e), "127.0.0.1", 2);
    counts(FW2_NETLINK, &e, 1, 0, only_fw2("2/0/0", FW2_NETLINK), "two");
    refused_socket(&e);
    refused_request(&e);
    refused_proc(&e);
    reset_all();
}

/* -------------------------------------------------------------- parsers -- */

/* The last parsed, in a block of exactly its size, for ASan's eyes. */
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

/* At each length no more may be counted than there are whole messages. */
static void test_netlink_truncated(const unsigned char *dump, size_t size)
{
    fw2_counting count = counting(&dumped, 1);
    apr_int64_t whole, before = 0;
    size_t len;
    int wrong = 0, cut = 0;

    parse_netlink(&count, dump, size);
    whole = count.tallies->n[FW2_FIN_WAIT2][FW2_PROCESS];
    ok(whole == 4 && count.complete, "a real dump: %d, complete", (int)whole);
    for (len = 0; len < size; len++) {
        apr_status_t rv = parse_netlink(&count, dump, len);
        apr_int64_t n = count.tallies->n[FW2_FIN_WAIT2][FW2_PROCESS];

        wrong += rv != APR_INCOMPLETE || n < before || n > before + 1;
        before = n;
        cut += !count.complete;
    }
    is_int(wrong, 0, "cut at every length: nothing counted twice");
    ok(cut > (int)size * 9 / 10, "and incomplete: at %d of %d", cut, (int)size);
}

static unsigned int lcg(void)
{
    static unsigned int x = 12345; /* the same bytes in every run */

    x = x * 1103515245u + 12345u;
    return x >> 8;
}

static void test_netlink_hostile(const unsigned char *dump, size_t size)
{
    unsigned char *bytes = malloc(size);
    fw2_counting count = counting(&dumped, 1);
    int turn, i;

    for (turn = 0; turn < 20000; turn++) {
        memcpy(bytes, dump, size);
        for (i = 0; i < 8; i++) {
            bytes[lcg() % size] = (unsigned char)lcg();
        }
        parse_netlink(&count, bytes, turn % 4 ? size : lcg() % size);
    }
    for (turn = 0; turn < 2000; turn++) {
        for (i = 0; i < 256; i++) {
            bytes[i] = (unsigned char)lcg();
        }
        memset(bytes + 1, 0, 3); /* a believable length */
        parse_netlink(&count, bytes, 256);
    }
    ok(1, "22,000 hostile dumps");
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

    is_int(message(&c, NLMSG_DONE, 1, 0, 0, 20), APR_SUCCESS, "the end");
    ok(c.complete, "complete");
    is_int(message(&c, NLMSG_DONE, 1, NLM_F_DUMP_INTR, 0, 20), APR_SUCCESS,
           "the end of a disturbed dump");
    ok(!c.complete, "incomplete");
    is_int(message(&c, NLMSG_DONE, 1, 0, -ENOENT, 20), ENOENT, "failed");
    is_int(message(&c, NLMSG_DONE, 2, 0, 0, 20), APR_INCOMPLETE,
           "the end of something else");
    is_int(message(&c, NLMSG_ERROR, 1, 0, -EINVAL, 20), EINVAL, "an error");
    is_int(message(&c, NLMSG_ERROR, 1, 0, 0, 20), APR_INCOMPLETE,
           "an acknowledgement");
    is_int(message(&c, NLMSG_ERROR, 1, 0, (int)0x80000000, 20), EBADMSG,
           "no errno");
    is_int(message(&c, NLMSG_ERROR, 1, 0, 5, 20), EBADMSG, "nor this");
    is_int(message(&c, NLMSG_ERROR, 1, 0, -EINVAL, 16), EBADMSG,
           "an error without its code");
    is_int(message(&c, NLMSG_NOOP, 1, 0, 0, 20), APR_INCOMPLETE, "a no-op");
    ok(c.complete, "complete");
    is_int(parse_netlink(&c, &odd, 18), APR_INCOMPLETE, "of no even length");
    ok(c.complete, "complete");
    message(&c, NLMSG_DONE, 1, 0, 0, 0);
    ok(!c.complete, "a length of 0");
    message(&c, NLMSG_DONE, 1, 0, 0, 15);
    ok(!c.complete, "a length below the header's");
    message(&c, NLMSG_DONE, 1, 0, 0, 0xffffffff);
    ok(!c.complete, "a length beyond the buffer");
    message(&c, TCPDIAG_GETSOCK, 1, 0, 0, 20);
    ok(!c.complete, "a socket too short");
}

static void test_netlink(void)
{
    int complete, fd = listen_at("127.0.0.1", 0, 0, &dumped);

    half_close(fd, "127.0.0.1", 4);
    counts(FW2_NETLINK, &dumped, 1, 0, only_fw2("4/0/0", FW2_NETLINK), "four");
    recvmsg_calls = 0;
    count_by(FW2_NETLINK, &dumped, 1, &complete);
    test_netlink_truncated(seen, seen_len);
    test_netlink_hostile(seen, seen_len);
    test_netlink_messages();
    reset_all();
}

/* ------------------------------------------------------ single sockets -- */

/* Counts a socket of ours, of which both sources say this. */
static void add_row(fw2_counting *count, unsigned int state, apr_uint64_t inode,
                    unsigned int timer, apr_interval_time_t expires,
                    apr_int64_t wqueue)
{
    fw2_row row;

    memset(&row, 0, sizeof(row));
    memcpy(row.addr, count->endpoints[0].addr, sizeof(row.addr));
    row.port = count->endpoints[0].port;
    row.state = state;
    row.holder = fw2_holder_of(timer, inode);
    row.timer = timer;
    row.expires = expires;
    row.wqueue = wqueue;
    fw2_counting_row(count, &row);
}

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
           "IPv4 as it is, IPv6 by /64; as many by address");
    fw2_counting_reset(&c);
    fw2_peers_top(c.peers, 50, &peers);
    is_str(peers_text(&peers), "0 of 0, other 0:", "begun again: none");
}

/* 120 clients, the i-th with as many as its place in a shuffled row. */
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
       "the first %d of %d, the most first", peers.n, peers.seen);
    for (n = 1; n < FW2_PEERS_MAX; n++) {
        fw2_peers_top(c.peers, n, &peers);
        wrong += peers.n != n || peers.top[n - 1].n != 121 - n;
    }
    is_int(wrong, 0, "or fewer");
    fw2_counting_reset(&c);
    for (i = 0; i < 60; i++) {
        add_peer(&c, apr_psprintf(pool, "10.0.0.%d", i * 23 % 60), 1);
    }
    fw2_peers_top(c.peers, FW2_PEERS_MAX, &peers);
    for (i = 0; i < FW2_PEERS_MAX; i++) {
        wrong += peers.top[i].addr[15] != i;
    }
    is_int(wrong, 0, "of as many each, the lower address first");
}

static void add_strangers(fw2_counting *count, int from, int upto)
{
    for (; from < upto; from++) {
        add_peer(count,
                 apr_psprintf(pool, "2001:db8:%x:%x::1", from >> 8, from & 255),
                 1);
    }
}

/* More clients than there is room for. */
static void test_peers_full(void)
{
    fw2_endpoint e = endpoint("::", 80, 0);
    fw2_counting c = counting_peers(&e);
    fw2_peers peers;

    add_peer(&c, "192.0.2.7", 3);
    add_strangers(&c, 0, 4000);
    fw2_peers_top(c.peers, 1, &peers);
    is_str(peers_text(&peers), "1 of 4001, other 0: 192.0.2.7 3",
           "4,001 peers find their places");
    add_strangers(&c, 0, 100000);
    add_peer(&c, "192.0.2.7", 4);
    fw2_peers_top(c.peers, 1, &peers);
    ok(peers.seen > 6000 && peers.seen <= 8192, "of 100,001 %d", peers.seen);
    is_int(peers.seen + peers.other, 100001, "the others are in the lump");
    is_int(peers.top[0].n, 7, "the first is counted on");
}

static void test_classes(void)
{
    fw2_endpoint e = endpoint("127.0.0.1", 80, 0);
    fw2_counting c = counting(&e, 1);
    int i;

    for (i = 0; i < FW2_LEFT_BOUNDS; i++) {
        ok(i == 0 || fw2_left_bounds[i] > fw2_left_bounds[i - 1],
           "bound %d is above those before it", i);
        add_row(&c, 5, 0, 3, fw2_left_bounds[i], 0);
    }
    is_str(left_text(&c.left), "1 1 1 1 1 1 1 0 unknown 0 unbounded 0",
           "a bound is in its class");
    fw2_counting_reset(&c);
    for (i = 0; i < FW2_LEFT_BOUNDS; i++) {
        add_row(&c, 5, 0, 3, fw2_left_bounds[i] + 1, 0);
    }
    is_str(left_text(&c.left), "0 1 1 1 1 1 1 1 unknown 0 unbounded 0",
           "what is above it is not");
    is_int(c.left.longest, 120000001, "the longest");
    is_int(c.left.sum, 246000007, "the sum");
    fw2_counting_reset(&c);
    is_str(left_text(&c.left), "0 0 0 0 0 0 0 0 unknown 0 unbounded 0",
           "begun again: no time left");
    is_int(c.left.longest + c.left.sum, 0, "nor the longest, nor the sum");
}

/* States and timers by their numbers in Linux. */
static void test_timers(void)
{
    fw2_endpoint e = endpoint("127.0.0.1", 80, 0);
    fw2_counting c = counting(&e, 1);

    c.orphan_rest = 40 * APR_USEC_PER_SEC;
    add_row(&c, 5, 0, 2, 30 * APR_USEC_PER_SEC, 0);
    is_int(c.left.longest, 70 * APR_USEC_PER_SEC,
           "a full orphan has the rest of its time, too");
    add_row(&c, 5, 0, 3, 50 * APR_USEC_PER_SEC, 0);
    is_int(c.left.longest, 70 * APR_USEC_PER_SEC, "a mini-socket has not");
    add_row(&c, 5, 7, 2, 7200 * APR_USEC_PER_SEC, 0);
    add_row(&c, 8, 0, 2, 7200 * APR_USEC_PER_SEC, 0);
    add_row(&c, 9, 0, 1, APR_USEC_PER_SEC, 0);
    add_row(&c, 6, 0, 3, APR_USEC_PER_SEC, 0);
    is_str(left_text(&c.left), "0 0 0 0 0 1 1 0 unknown 0 unbounded 0",
           "only of half-closed ones that are not held");
    add_row(&c, 5, 0, 0, 0, 0);
    add_row(&c, 5, 0, 1, APR_USEC_PER_SEC, 0);
    add_row(&c, 4, 0, 1, APR_USEC_PER_SEC, 1);
    add_row(&c, 4, 0, 2, 7200 * APR_USEC_PER_SEC, 1);
    add_row(&c, 4, 7, 1, APR_USEC_PER_SEC, 1);
    add_row(&c, 11, 0, 1, APR_USEC_PER_SEC, 1);
    is_str(left_text(&c.left), "0 0 0 0 0 1 1 0 unknown 2 unbounded 3",
           "no end is known of the others");
}

static void test_queues(void)
{
    fw2_endpoint e = endpoint("127.0.0.1", 80, 0);
    fw2_counting c = counting(&e, 1);

    add_row(&c, 4, 7, 1, 0, 0);
    add_row(&c, 4, 7, 1, 0, 1);
    add_row(&c, 4, 7, 1, 0, 2);
    add_row(&c, 4, 7, 4, 0, 101);
    add_row(&c, 4, 0, 4, 0, 1);  /* nothing but a FIN */
    add_row(&c, 5, 7, 4, 0, 50); /* other states */
    add_row(&c, 11, 7, 4, 0, 50);
    add_row(&c, 9, 0, 4, 0, 50);
    add_row(&c, 10, 7, 4, 0, 50);
    is_str(undelivered_text(&c.undelivered),
           "2:101,1 shut 0:0,0 shut 0:0,0 shut ", "bytes behind a FIN");
    fw2_counting_reset(&c);
    is_str(undelivered_text(&c.undelivered),
           "0:0,0 shut 0:0,0 shut 0:0,0 shut ", "begun again: none");
}

/* A mini-socket, and one in FIN_WAIT_1, through netlink's parser. */
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
    is_int(c.left.sum, 59921000, "netlink's milliseconds");
    m.body.idiag_expires = (apr_uint32_t)-4;
    parse_netlink(&c, &m, sizeof(m));
    is_str(left_text(&c.left), "1 0 0 0 0 0 0 0 unknown 0 unbounded 0",
           "less than none: about to end");
    is_int(c.left.sum, 0, "at once");
    m.body.idiag_expires = 0x7fffffff;
    parse_netlink(&c, &m, sizeof(m));
    is_int(c.left.longest, 0x7fffffff * 1000LL, "the most it can say");
    m.body.idiag_state = 4;
    m.body.idiag_timer = 4;
    m.body.idiag_wqueue = 0xffffffff;
    parse_netlink(&c, &m, sizeof(m));
    is_str(undelivered_text(&c.undelivered),
           "0:0,0 shut 1:4294967294,1 shut 0:0,0 shut ", "its longest queue");
}

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
    is_int(c.left.sum, 59920000, "/proc's ticks");
    line = orphan_line("05 00000000:00000000 03:FFFFFFFF 00000000 0 0 0 3");
    parse_procfs(&c, line, strlen(line));
    is_int(c.left.longest, 0xffffffff * 10000LL, "the most that is taken");
    line = orphan_line("04 FFFFFFFF:00000000 04:00000001 00000000 0 0 0 3");
    parse_procfs(&c, line, strlen(line));
    is_str(undelivered_text(&c.undelivered),
           "0:0,0 shut 1:4294967294,1 shut 0:0,0 shut ", "its longest queue");
}

/* Check that a line is not understood. */
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
       "lines of IPv4");
    parse_procfs(&c6, both, sizeof(both) - 1);
    ok(c6.complete && c6.tallies->n[FW2_FIN_WAIT2][FW2_TIMEWAIT] == 1,
       "a line of IPv6");
    for (len = 0; len < sizeof(both); len++) {
        used = parse_procfs(&c, both, len);
        wrong += !c.complete || used > len || (used && both[used - 1] != '\n')
                 || memchr(both + used, '\n', len - used) != NULL;
    }
    is_int(wrong, 0, "cut at every length: whole lines only");
    test_procfs_malformed(&c);
    for (len = 1; len < sizeof(LINE) - 1; len++) { /* every line cut short */
        char *cut = apr_pstrcat(pool, apr_pstrmemdup(pool, LINE, len), "\n",
                                LINE, NULL);

        parse_procfs(&c, cut, strlen(cut));
        wrong += c.tallies->n[FW2_FIN_WAIT2][FW2_PROCESS] < 1;
    }
    is_int(wrong, 0, "a line cut short does not hurt the next");
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
           "a budget is no error");
    close(fd);
    fakes_n = 0;
    is_int(c.tallies->n[FW2_FIN_WAIT2][FW2_PROCESS],
           (long long)((sizeof(buffer) - strlen(HEADING)) / strlen(LINE)),
           "what was counted stays");
    ok(!c.complete, "but is not complete");
}

static void test_procfs(void)
{
    char *lines = apr_pstrdup(pool, HEADING), *junk;
    fw2_endpoint e = endpoint("127.0.0.1", 80, 0);
    fw2_counting c = counting(&e, 1);
    int i, turn;

    test_procfs_lines();
    test_procfs_numbers();
    for (i = 0; i < 50; i++) {
        lines = apr_pstrcat(pool, lines, LINE, NULL);
    }
    test_procfs_spent(lines);
    is_str(through_pipe(lines, 1, 65536), "50, complete 1", "byte by byte");
    is_str(through_pipe(lines, 4096, 200), "50, complete 1",
           "through a buffer not much longer than a line");
    is_str(through_pipe(lines, 4096, 64), "0, complete 0",
           "through one that is too short");
    is_str(through_pipe(HEADING LINE "   1: 0100007F", 7, 4096),
           "1, complete 0", "an end within a line");
    i = (int)strlen(lines);
    for (turn = 0; turn < 5000; turn++) {
        junk = apr_pstrmemdup(pool, lines, 1000);
        while (lcg() % 8) {
            junk[lcg() % 1000] = (char)lcg();
        }
        parse_procfs(&c, junk, 1000);
    }
    ok(1, "5,000 hostile tables");
    is_int(fw2_procfs_read(&c, -1, lines, 10), EBADF, "a failing read");
}

/* --------------------------------------- a network of our own, changed -- */

static int loopback_up(void)
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

static int fin_timeout_set(const char *seconds)
{
    int fd = open("/proc/sys/net/ipv4/tcp_fin_timeout", O_WRONLY);
    ssize_t put = write(fd, seconds, strlen(seconds));

    close(fd);
    return put > 0;
}

static const char *long_timeout_left(const void *unused)
{
    rule rules[] = { NETLINK_IS(EACCES) };
    fw2_endpoint e;
    const char *text;

    (void)unused;
    if (unshare(CLONE_NEWNET) || !loopback_up() || !fin_timeout_set("100")) {
        return "";
    }
    orphan(pair_of(listen_at("127.0.0.1", 0, 0, &e), "127.0.0.1").server, 0);
    fw2_sockdiag_count(&e, 1, 0, 0, &census, pool);
    text = apr_pstrcat(pool, fw2_backend_names[census.backend], " ",
                       left_text(&census.left), "; ", NULL);
    confine(rules, 1);
    fw2_sockdiag_count(&e, 1, 0, 0, &census, pool);
    return apr_pstrcat(pool, text, fw2_backend_names[census.backend], " ",
                       left_text(&census.left), NULL);
}

/* With 100 s an orphan lives for 80: twice what is above 60 s. */
static void test_long_timeout(void)
{
    static const char what[] = "time left where tcp_fin_timeout is above 60 s";
    const char *said = child_says(long_timeout_left, NULL);

    if (*said) {
        is_str(said,
               "netlink 0 0 0 0 0 0 1 0 unknown 0 unbounded 0; "
               "procfs 0 0 0 0 0 0 1 0 unknown 0 unbounded 0",
               what);
    }
    else {
        skip(what, "may not make a network namespace");
    }
}

/* Return the number that a shell pipeline prints. */
static long long shell(const char *command)
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

/* ------------------------------------------------------------ elsewhere -- */

static const char *elsewhere_text(void)
{
    const fw2_elsewhere *e = &census.elsewhere;
    char *text = apr_psprintf(
        pool, "%s %d: %d, outgoing %d", fw2_backend_names[census.backend],
        census.complete, (int)e->half_closed, (int)e->outgoing);
    int i;

    for (i = 0; i < e->n; i++) {
        text = apr_psprintf(pool, "%s, %s %d %d", text,
                            fw2_role_names[e->top[i].role], e->top[i].port,
                            (int)e->top[i].n);
    }
    return apr_psprintf(pool, "%s; full %d %d/%d; drops %d, there %d; ", text,
                        e->full_port, (int)e->full, (int)e->full_limit,
                        (int)fw2_sockdiag_drops(census.tallies, 1),
                        (int)e->drops);
}

/* Connections that this end closes, and the server does not. */
static void half_open(int listener, const char *addr, int times)
{
    while (times-- > 0) {
        shutdown(pair_of(listener, addr).client, SHUT_WR);
    }
}

/* Clients that find the queue full, and so wait for an answer for ever. */
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

/* The ports of the test, which has a network to itself. */
enum { OURS = 1001, THEIRS, FULL, MANY };

static int listen_there(const char *addr, int port)
{
    fw2_endpoint e;

    return listen_at(addr, port, 0, &e);
}

/* Count from both sources, the second once netlink is refused. */
static const char *elsewhere_of_both(const fw2_endpoint *e)
{
    rule rules[] = { NETLINK_IS(EACCES) };
    const char *text;

    fw2_sockdiag_count(e, 1, 0, 0, &census, pool);
    text = elsewhere_text();
    confine(rules, 1);
    fw2_sockdiag_count(e, 1, 0, 0, &census, pool);
    return apr_pstrcat(
        pool, text, elsewhere_text(),
        apr_psprintf(pool, "sum %d is %d",
                     (int)(census.elsewhere.half_closed
                           + census.tallies->n[FW2_FIN_WAIT1][FW2_KERNEL]
                           + census.tallies->n[FW2_FIN_WAIT2][FW2_PROCESS]),
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
    fw2_sockdiag_count(&e, 1, 0, 0, &census, pool);
    if (fw2_sockdiag_drops(census.tallies, 1)) {
        return "another program's drops are ours";
    }
    overfill("127.0.0.1", OURS, 2);
    do {
        fw2_sockdiag_count(&e, 1, 0, 0, &census, pool);
    } while (fw2_sockdiag_drops(census.tallies, 1) < 2 && nap(until));
    return elsewhere_of_both(&e);
}

static void elsewhere_is(speech *say, const char *wanted, const char *what)
{
    const char *said = child_says(say, NULL);

    if (*said) {
        is_str(said, wanted, what);
    }
    else {
        skip(what, "may not make a network namespace");
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
        "another program's queue is full, and so is ours");

    half_close(listen_at("127.0.0.1", 0, 0, &e), "127.0.0.1", 1);
    counts(FW2_NETLINK, &e, 1, 0, only_fw2("1/0/0", FW2_NETLINK), "one");
    crowds = 200;
    fw2_sockdiag_count(&e, 1, 0, 0, &census, pool);
    is_int((long long)sent_len, LEGACY_LEN,
           "after a crowd elsewhere it is asked for our ports alone");
    crowds = 0;
    is_str(
        apr_psprintf(pool, "%s%s", elsewhere_text(),
                     tally_text(census.tallies)),
        apr_psprintf(pool,
                     "netlink 1: -1, outgoing -1; full 0 0/0; drops 0, there "
                     "-1; %s",
                     only_fw2("1/0/0", FW2_NETLINK)),
        "and is not known, but all that is ours");
    reset_all();
}

/* --------------------------------------------------------------- limits -- */

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

/* Check that a limit is what the shell says before and after, or between;
 * others' sockets come and go, so try until it is. */
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

/* A number of a line in /proc/net/sockstat or its like. */
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

/* A counter in /proc/net/netstat. */
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

    /* so that `tw` is not 0 */
    orphan(pair_of(listen_at("127.0.0.1", 0, 0, &e), "127.0.0.1").server, 60);
    pair_of(listen_at("::", 0, 0, &e), "127.0.0.1"); /* nor TCP6's `inuse` */
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

/* The limits that are read of these fakes and of what else there is. */
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
           "missing ones: nothing of the files before them");
    fake_limits("1 2", "TCP: inuse\norphan 1 tw x mem -5",
                "TCP6: inuse \nTCP6: inuse 6\n",
                "TcpExt: ListenOverflows ListenDrops\nTcpExt: 1\n");
    is_str(limits_text(), "1 2 3 -1, -1 -1 -1 -1 -1, 1 -1 -1 -1", "cut ones");
    fake_limits("1\n2\n3\n", "TCP:\n", "\n\n\n", "TcpExt: ListenDrops");
    is_str(limits_text(), "1 2 3 -1, -1 -1 -1 -1 -1, -1 -1 -1 -1",
           "in the wrong lines");
}

static void test_predict(void)
{
    fw2_limits none, some;
    apr_interval_time_t least;

    memset(&none, 0xff, sizeof(none)); /* -1: not known */
    least = fw2_sockdiag_predict(&none);
    ok(least > 0 && least < 1000, "an empty walk: %d us", (int)least);
    some = none;
    some.timewait = 1000;
    is_int(fw2_sockdiag_predict(&some), least + 400, "1,000 mini-sockets");
    some.inuse = 30;
    some.inuse6 = 200;
    is_int(fw2_sockdiag_predict(&some), least + 469, "230 full ones beside");
}

static const char *limits_refused(const void *rules)
{
    confine(rules, 1);
    return limits_text();
}

static void test_limits_refused(void)
{
    rule rules[] = { FILE_READ_IS(EACCES) };

    is_str(child_says(limits_refused, rules),
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
    const char *said;

    pair_of(listen_at("::", 0, 0, &e), "127.0.0.1");
    said = child_says(limits_contained, NULL);
    if (*said) {
        is_str(said, "hidden -1 -1, shown 1 1, own 0 0 0 0",
               "limits in a container");
    }
    else {
        skip("limits in a container", "may not make a network namespace");
    }
    reset_all();
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    alarm(120); /* nothing above may hang, but this kills it if it does */
    test_text();
    test_find();
    test_endpoint_of();
    test_states();
    test_left();
    test_undelivered();
    test_peers();
    test_specific();
    test_shared();
    test_ports();
    test_census();
    test_many();
    test_interruptions();
    test_refusals();
    test_netlink();
    test_peers_folded();
    test_peers_order();
    test_peers_full();
    test_classes();
    test_timers();
    test_queues();
    test_netlink_numbers();
    test_procfs();
    test_long_timeout();
    test_elsewhere();
    test_limits();
    test_limits_parsed();
    test_limits_refused();
    test_limits_contained();
    test_predict();
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
