/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The best source: a dump of the kernel's socket table through netlink
 * (sock_diag(7)). The kernel filters by state and port before it even takes a
 * reference to a socket. No capability is needed. The legacy request, which is
 * older than sock_diag, dumps both families in one walk; the newer request
 * would need two walks.
 */

#include "kernel/sockdiag_impl.h"

#ifdef __linux__

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* The most bytes that the kernel puts into one datagram of a dump
 * (netlink_dump()). */
#define DATAGRAM_MAX ((apr_size_t)32 * 1024)

/* The kernel makes a dump inside recvmsg(), so any wait means that the answer
 * is lost. This limit keeps the worker from hanging. */
#define ANSWER_SECONDS 2

/* The most ranges with which a filter still costs less than an unfiltered walk
 * of the table (measured). */
#define RANGES_MAX 32

/* The states in a dump. Sockets in TIME_WAIT are harmless and may be 100,000
 * rows, so they are left out. */
#define STATES                                                                 \
    (1u << FW2_TCP_FIN_WAIT1 | 1u << FW2_TCP_FIN_WAIT2                         \
     | 1u << FW2_TCP_CLOSE_WAIT | 1u << FW2_TCP_LAST_ACK                       \
     | 1u << FW2_TCP_LISTEN | 1u << FW2_TCP_CLOSING)

/* A condition of the kernel's filter, and its port. Each condition jumps `yes`
 * or `no` bytes ahead. A jump to the end of the filter accepts the socket, a
 * jump to 4 bytes behind the end rejects it. */
typedef struct condition {
    struct inet_diag_bc_op op;
    struct inet_diag_bc_op port;
} condition;

/* One range of ports: the two conditions are `from` and `upto`. If one is
 * false, the filter goes on with the next range; if both are true, `found`
 * jumps to the end. The separate jump is needed because inet_diag_bc_audit()
 * lets `no` jump only to a place that a chain of `yes` reaches, too. */
typedef struct range {
    condition from;
    condition upto;
    struct inet_diag_bc_op found;
} range;

/* The header, the larger body, which is the legacy one, and the filter. */
#define REQUEST_MAX                                                            \
    (NLMSG_HDRLEN + sizeof(struct inet_diag_req) + sizeof(struct rtattr)       \
     + RANGES_MAX * sizeof(range))

/* --------------------------------------------------------- the request -- */

static int port_order(const void *a, const void *b)
{
    return *(const apr_uint16_t *)a - *(const apr_uint16_t *)b;
}

static apr_uint16_t *ports_sorted(const fw2_counting *counting,
                                  apr_pool_t *scratch)
{
    apr_uint16_t *ports;
    int i;

    ports = apr_palloc(scratch, (apr_size_t)counting->n * sizeof(*ports));
    for (i = 0; i < counting->n; i++) {
        ports[i] = counting->endpoints[i].port;
    }
    qsort(ports, (size_t)counting->n, sizeof(*ports), port_order);
    return ports;
}

static void range_set(range *r, apr_uint16_t from, apr_uint16_t upto)
{
    static const range blank = {
        { { INET_DIAG_BC_S_GE, sizeof(condition), sizeof(range) },
          { 0, 0, 0 } },
        { { INET_DIAG_BC_S_LE, sizeof(condition),
            sizeof(range) - sizeof(condition) },
          { 0, 0, 0 } },
        { INET_DIAG_BC_JMP, sizeof(struct inet_diag_bc_op), 0 }
    };

    *r = blank;
    r->from.port.no = from;
    r->upto.port.no = upto;
}

/* Make the fewest ranges that contain these ports, or one range for all ports
 * if they are too many: the tally compares ports exactly anyway. Return the
 * number of ranges. */
static int ranges_of(range ranges[RANGES_MAX], const apr_uint16_t *ports, int n)
{
    int used = 0, i;

    for (i = 0; i < n; i++) {
        if (used && ports[i] - ranges[used - 1].upto.port.no <= 1) {
            ranges[used - 1].upto.port.no = ports[i];
        }
        else if (used == RANGES_MAX) {
            range_set(&ranges[0], ports[0], ports[n - 1]);
            return 1;
        }
        else {
            range_set(&ranges[used++], ports[i], ports[i]);
        }
    }
    return used;
}

/* Make the filter, and return its bytes. The last range has no `found`, since
 * `upto` is followed by the end already. With these 4 bytes missing, the `no`
 * of the last range jumps to 4 bytes behind the end. */
static apr_size_t filter_build(range ranges[RANGES_MAX],
                               const fw2_counting *counting,
                               apr_pool_t *scratch)
{
    int n = ranges_of(ranges, ports_sorted(counting, scratch), counting->n);
    apr_size_t len = (apr_size_t)n * sizeof(range) - sizeof(ranges[0].found);
    int i;

    for (i = 0; i < n - 1; i++) {
        ranges[i].found.no =
            (unsigned short)(len - (apr_size_t)(i + 1) * sizeof(range)
                             + sizeof(ranges[i].found));
    }
    return len;
}

/* Write the body of a request, and return its bytes. Only the legacy request
 * has AF_UNSPEC, which means both families. */
static apr_size_t body_build(unsigned char *at, unsigned char family)
{
    struct inet_diag_req_v2 v2;
    struct inet_diag_req legacy;

    if (family == AF_UNSPEC) {
        memset(&legacy, 0, sizeof(legacy));
        legacy.idiag_states = STATES;
        legacy.idiag_ext = 1U << (INET_DIAG_SKMEMINFO - 1);
        memcpy(at, &legacy, sizeof(legacy));
        return sizeof(legacy);
    }
    memset(&v2, 0, sizeof(v2));
    v2.sdiag_family = family;
    v2.sdiag_protocol = IPPROTO_TCP;
    v2.idiag_states = STATES;
    v2.idiag_ext = 1U << (INET_DIAG_SKMEMINFO - 1);
    memcpy(at, &v2, sizeof(v2));
    return sizeof(v2);
}

/* Append the filter that leaves out other ports than the endpoints', and return
 * its bytes. */
static apr_size_t filter_attach(unsigned char *at, const fw2_counting *counting,
                                apr_pool_t *scratch)
{
    range ranges[RANGES_MAX];
    apr_size_t len = filter_build(ranges, counting, scratch);
    struct rtattr attribute;

    attribute.rta_type = INET_DIAG_REQ_BYTECODE;
    attribute.rta_len = (unsigned short)(sizeof(attribute) + len);
    memcpy(at, &attribute, sizeof(attribute));
    memcpy(at + sizeof(attribute), ranges, len);
    return sizeof(attribute) + len;
}

static apr_size_t request_build(unsigned char request[REQUEST_MAX],
                                unsigned char family,
                                const fw2_counting *counting,
                                apr_pool_t *scratch)
{
    apr_size_t len = NLMSG_HDRLEN;
    struct nlmsghdr header;

    len += body_build(request + len, family);
    if (!counting->elsewhere) {
        len += filter_attach(request + len, counting, scratch);
    }
    memset(&header, 0, sizeof(header));
    header.nlmsg_len = (apr_uint32_t)len;
    header.nlmsg_type =
        family == AF_UNSPEC ? TCPDIAG_GETSOCK : SOCK_DIAG_BY_FAMILY;
    header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    header.nlmsg_seq = FW2_NETLINK_SEQ;
    memcpy(request, &header, sizeof(header));
    return len;
}

/* ---------------------------------------------------------- the answer -- */

/* Return the time left of a timer. On older kernels it can run below 0
 * (jiffies_to_msecs() of a difference). */
static apr_interval_time_t time_of(apr_uint32_t milliseconds)
{
    return milliseconds <= APR_INT32_MAX
               ? apr_time_from_msec((apr_interval_time_t)milliseconds)
               : 0;
}

static void address_of(unsigned char addr[16], unsigned char family,
                       const void *words)
{
    if (family == AF_INET) {
        fw2_endpoint_map(addr, words);
    }
    else {
        memcpy(addr, words, 16);
    }
}

/* Return the drops from the attributes behind a listening socket's message, or
 * -1. */
static apr_int64_t drops_of(const unsigned char *at, apr_size_t left)
{
    struct rtattr attribute;
    apr_uint32_t memory[SK_MEMINFO_DROPS + 1];
    apr_size_t step;

    while (left >= sizeof(attribute)) {
        memcpy(&attribute, at, sizeof(attribute));
        if (attribute.rta_len < sizeof(attribute) || attribute.rta_len > left) {
            break;
        }
        if (attribute.rta_type == INET_DIAG_SKMEMINFO
            && attribute.rta_len >= sizeof(attribute) + sizeof(memory)) {
            memcpy(memory, at + sizeof(attribute), sizeof(memory));
            return memory[SK_MEMINFO_DROPS];
        }
        step = RTA_ALIGN((apr_size_t)attribute.rta_len);
        step = step < left ? step : left;
        at += step;
        left -= step;
    }
    return -1;
}

static void message_count(fw2_counting *counting, const unsigned char *payload,
                          apr_size_t len)
{
    struct inet_diag_msg msg;
    fw2_row row;

    if (len < sizeof(msg)) {
        counting->complete = 0;
        return;
    }
    memcpy(&msg, payload, sizeof(msg));
    address_of(row.addr, msg.idiag_family, msg.id.idiag_src);
    address_of(row.peer, msg.idiag_family, msg.id.idiag_dst);
    row.state = msg.idiag_state;
    row.holder = fw2_holder_of(msg.idiag_timer, msg.idiag_inode);
    row.port = ntohs(msg.id.idiag_sport);
    row.peer_port = ntohs(msg.id.idiag_dport);
    row.rqueue = msg.idiag_rqueue;
    row.wqueue = msg.idiag_wqueue;
    row.drops = row.state == FW2_TCP_LISTEN
                    ? drops_of(payload + sizeof(msg), len - sizeof(msg))
                    : -1;
    row.timer = msg.idiag_timer;
    row.expires = time_of(msg.idiag_expires);
    fw2_counting_row(counting, &row);
}

/* Return the status from the first number of NLMSG_ERROR or NLMSG_DONE, which
 * is 0 or a negative errno. (A dump that fails after its begin reports the
 * error in NLMSG_DONE: netlink_dump_done().) */
static apr_status_t message_status(const unsigned char *payload, apr_size_t len)
{
    apr_int32_t code;

    if (len < sizeof(code)) {
        return EBADMSG;
    }
    memcpy(&code, payload, sizeof(code));
    return code <= 0 && code > -4096 ? -code : EBADMSG;
}

static apr_status_t message_parse(fw2_counting *counting,
                                  const struct nlmsghdr *header,
                                  const unsigned char *payload)
{
    apr_size_t len = header->nlmsg_len - NLMSG_HDRLEN;
    apr_status_t rv;

    if (header->nlmsg_seq != FW2_NETLINK_SEQ) {
        return APR_INCOMPLETE;
    }
    if (header->nlmsg_flags & NLM_F_DUMP_INTR) {
        counting->complete = 0;
    }
    switch (header->nlmsg_type) {
    case TCPDIAG_GETSOCK:
    case SOCK_DIAG_BY_FAMILY:
        message_count(counting, payload, len);
        return APR_INCOMPLETE;
    case NLMSG_DONE:
        return message_status(payload, len);
    case NLMSG_ERROR:
        rv = message_status(payload, len);
        return rv == APR_SUCCESS ? APR_INCOMPLETE : rv;
    default:
        return APR_INCOMPLETE;
    }
}

apr_status_t fw2_netlink_parse(fw2_counting *counting, const unsigned char *at,
                               apr_size_t left)
{
    struct nlmsghdr header;
    apr_size_t step;
    apr_status_t rv;

    while (left >= sizeof(header)) {
        memcpy(&header, at, sizeof(header));
        if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > left) {
            break;
        }
        rv = message_parse(counting, &header, at + sizeof(header));
        if (rv != APR_INCOMPLETE) {
            return rv;
        }
        step = NLMSG_ALIGN((apr_size_t)header.nlmsg_len);
        if (step > left) {
            step = left;
        }
        at += step;
        left -= step;
    }
    if (left) {
        counting->complete = 0;
    }
    return APR_INCOMPLETE;
}

/* ------------------------------------------------------------ the dump -- */

/* Read one datagram. Its length is set to 0 if the sender is another process
 * and not the kernel, which has the number 0. */
static apr_status_t datagram_read(fw2_counting *counting, int fd,
                                  unsigned char *buffer, apr_size_t *len)
{
    struct sockaddr_nl sender;
    struct iovec part;
    struct msghdr msg;
    ssize_t got;

    memset(&msg, 0, sizeof(msg));
    memset(&sender, 0, sizeof(sender));
    part.iov_base = buffer;
    part.iov_len = DATAGRAM_MAX;
    msg.msg_iov = &part;
    msg.msg_iovlen = 1;
    msg.msg_name = &sender;
    msg.msg_namelen = sizeof(sender);
    do {
        got = recvmsg(fd, &msg, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return errno == EAGAIN ? APR_TIMEUP : errno;
    }
    if (msg.msg_flags & MSG_TRUNC) {
        counting->complete = 0;
    }
    *len = sender.nl_pid == 0 ? (apr_size_t)got : 0;
    return APR_SUCCESS;
}

static int is_crowded(const fw2_counting *counting)
{
    return counting->elsewhere && fw2_elsewhere_is_crowd(counting->elsewhere);
}

static apr_status_t dump_read(fw2_counting *counting, int fd,
                              apr_pool_t *scratch)
{
    unsigned char *buffer = apr_palloc(scratch, DATAGRAM_MAX);
    apr_size_t len = 0;
    apr_status_t rv;

    do {
        rv = datagram_read(counting, fd, buffer, &len);
        if (rv == APR_SUCCESS) {
            rv = fw2_netlink_parse(counting, buffer, len);
        }
    } while (rv == APR_INCOMPLETE && !is_crowded(counting)
             && !fw2_counting_is_spent(counting));
    return rv == APR_INCOMPLETE ? APR_SUCCESS : rv;
}

static apr_status_t dump_ask(const fw2_counting *counting, int fd,
                             unsigned char family, apr_pool_t *scratch)
{
    static const struct timeval patience = { ANSWER_SECONDS, 0 };
    unsigned char request[REQUEST_MAX];
    apr_size_t len = request_build(request, family, counting, scratch);
    ssize_t sent;

    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience))) {
        return errno;
    }
    do {
        sent = send(fd, request, len, 0);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? errno : APR_SUCCESS;
}

/* Count the sockets of a family. Each dump has a socket of its own: during a
 * dump the kernel answers EBUSY to a second one on the same socket. The type is
 * SOCK_RAW, because AppArmor's abstractions allow this type and not
 * SOCK_DGRAM. */
static apr_status_t dump(fw2_counting *counting, unsigned char family,
                         const char **attempt, apr_pool_t *scratch)
{
    apr_status_t rv;
    int fd;

    *attempt = "socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG)";
    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0) {
        return errno;
    }
    *attempt = "a netlink sock_diag dump";
    rv = dump_ask(counting, fd, family, scratch);
    if (rv == APR_SUCCESS) {
        rv = dump_read(counting, fd, scratch);
    }
    close(fd);
    return rv;
}

static apr_status_t dump_families(fw2_counting *counting, const char **attempt,
                                  apr_pool_t *scratch)
{
    apr_status_t rv = dump(counting, AF_UNSPEC, attempt, scratch);

    /* A kernel, or an emulation of one, that has only the newer request. */
    if (rv == EINVAL || rv == ENOENT || rv == EOPNOTSUPP) {
        fw2_counting_reset(counting);
        rv = dump(counting, AF_INET, attempt, scratch);
        if (rv == APR_SUCCESS && !fw2_counting_is_spent(counting)) {
            rv = dump(counting, AF_INET6, attempt, scratch);
        }
    }
    return rv;
}

apr_status_t fw2_netlink_count(fw2_counting *counting, const char **attempt,
                               apr_pool_t *scratch)
{
    apr_status_t rv = dump_families(counting, attempt, scratch);

    if (rv == APR_SUCCESS && is_crowded(counting)) {
        counting->elsewhere = NULL;
        fw2_counting_reset(counting);
        rv = dump_families(counting, attempt, scratch);
    }
    return rv;
}

#else /* !__linux__ */

apr_status_t fw2_netlink_count(fw2_counting *counting, const char **attempt,
                               apr_pool_t *scratch)
{
    (void)counting;
    (void)scratch;
    *attempt = "netlink";
    return APR_ENOTIMPL;
}

#endif /* __linux__ */
