/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "shared/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "apr_strings.h"

#include "base/clock.h"

/* The first word of each message: a version of its layout below. */
#define MAGIC_SOCKET        0x46573202U
#define MAGIC_COUNT_REQUEST 0x46573203U

/* The most bytes in the queue. The kernel counts about 1 kB for a message. */
#define QUEUE_BYTES (8 * 1024 * 1024)

/* A message. The sender leaves out the unused end of `agent`. */
typedef struct {
    apr_uint32_t magic;
    apr_uint32_t unused;
    fw2_handoff handoff;
    char agent[FW2_AGENT_SIZE];
} message;

/* Room for one descriptor beside a message; the kernel drops further ones. */
typedef union {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
} control;

static void close_end(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void fw2_queue_close(fw2_queue *queue)
{
    close_end(&queue->send);
    close_end(&queue->receive);
}

void fw2_queue_keep_sender(fw2_queue *queue)
{
    close_end(&queue->receive);
}

void fw2_queue_keep_receiver(fw2_queue *queue)
{
    close_end(&queue->send);
}

#ifdef __linux__

/* Enlarge the queue; without root to net.core.wmem_max at most. */
static void enlarge(int fd)
{
    int bytes = QUEUE_BYTES;

    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes))) {
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    }
}

apr_status_t fw2_queue_create(fw2_queue *queue)
{
    int ends[2];

    queue->send = queue->receive = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                   ends)) {
        return errno;
    }
    queue->send = ends[0];
    queue->receive = ends[1];
    enlarge(queue->send);
    return APR_SUCCESS;
}

/* -------------------------------------------------------------- sending -- */

/* Send one message with one descriptor. Return 0 or an errno. */
static int send_message(int to, int fd, void *bytes, apr_size_t n)
{
    struct iovec part = { bytes, n };
    struct msghdr head;
    struct cmsghdr *beside;
    control room;

    memset(&head, 0, sizeof(head));
    memset(&room, 0, sizeof(room));
    head.msg_iov = &part;
    head.msg_iovlen = 1;
    head.msg_control = room.bytes;
    head.msg_controllen = sizeof(room.bytes);
    beside = CMSG_FIRSTHDR(&head);
    beside->cmsg_level = SOL_SOCKET;
    beside->cmsg_type = SCM_RIGHTS;
    beside->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(beside), &fd, sizeof(fd));
    return sendmsg(to, &head, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
}

static fw2_refusal refusal_of(int error)
{
    switch (error) {
    case EAGAIN:
    case ENOBUFS:
    case ETOOMANYREFS: /* RLIMIT_NOFILE also limits queued descriptors */
        return FW2_QUEUE_FULL;
    case EPIPE:
    case ECONNRESET:
    case ENOTCONN:
        return FW2_NO_PROCESS;
    default:
        return FW2_SEND_REFUSED;
    }
}

apr_status_t fw2_queue_send(const fw2_queue *queue, int fd,
                            const fw2_handoff *handoff, const char *agent,
                            fw2_refusal *why)
{
    apr_size_t size = offsetof(message, agent);
    message m;
    int error;

    if (queue->send < 0) {
        *why = FW2_CANNOT_LINGER;
        return APR_ENOSOCKET;
    }
    m.magic = MAGIC_SOCKET;
    m.unused = 0;
    m.handoff = *handoff;
    if (agent) {
        size += (apr_size_t)(apr_cpystrn(m.agent, agent, sizeof(m.agent))
                             - m.agent);
    }
    error = send_message(queue->send, fd, &m, size);
    if (error) {
        *why = refusal_of(error);
    }
    return error;
}

int fw2_queue_request_count(const fw2_queue *queue,
                            apr_interval_time_t patience)
{
    apr_time_t until = fw2_clock_now() + patience, now;
    apr_uint32_t magic = MAGIC_COUNT_REQUEST;
    struct pollfd answer;
    int ends[2], sent, answered = 0;

    if (queue->send < 0 || pipe2(ends, O_CLOEXEC | O_NONBLOCK)) {
        return 0;
    }
    answer.fd = ends[0];
    answer.events = 0; /* poll() always reports POLLHUP */
    sent = !send_message(queue->send, ends[1], &magic, sizeof(magic));
    close(ends[1]);
    while (sent && !answered && (now = fw2_clock_now()) < until) {
        answered = poll(&answer, 1, (int)((until - now + 999) / 1000)) > 0;
    }
    close(ends[0]);
    return answered;
}

/* ------------------------------------------------------------ receiving -- */

static int is_within(apr_int64_t least, apr_int64_t value, apr_int64_t most)
{
    return value >= least && value <= most;
}

static int is_valid(const fw2_handoff *h, apr_uint32_t vhosts)
{
    return h->tag.vhost < vhosts && h->tag.cause < FW2_CAUSES
           && h->until < FW2_UNTILS && h->reset <= 1
           && is_within(FW2_LINGER_MIN, h->linger_idle, FW2_LINGER_MAX)
           && is_within(FW2_LINGER_MIN, h->linger_total, FW2_LINGER_MAX)
           && is_within(0, h->once_acked, FW2_LINGER_MAX)
           && (h->linger_bytes == FW2_BYTES_UNLIMITED || h->linger_bytes > 0)
           && (h->user_timeout == FW2_USER_TIMEOUT_SYSTEM
               || is_within(FW2_USER_TIMEOUT_MIN, h->user_timeout,
                            FW2_USER_TIMEOUT_MAX));
}

void fw2_queue_parse(const void *bytes, apr_size_t n, apr_uint32_t vhosts,
                     fw2_received *received)
{
    apr_size_t agent = offsetof(message, agent);
    apr_uint32_t magic = 0;

    received->kind = FW2_MESSAGE_INVALID;
    received->agent[0] = '\0';
    if (n < sizeof(magic) || n > sizeof(message)) {
        return;
    }
    memcpy(&magic, bytes, sizeof(magic));
    if (magic == MAGIC_COUNT_REQUEST && n == sizeof(magic)) {
        received->kind = FW2_MESSAGE_COUNT_REQUEST;
    }
    if (magic != MAGIC_SOCKET || n < agent) {
        return;
    }
    memcpy(&received->handoff, (const char *)bytes + offsetof(message, handoff),
           sizeof(received->handoff));
    if (is_valid(&received->handoff, vhosts)) {
        n = n - agent < FW2_AGENT_SIZE ? n - agent : FW2_AGENT_SIZE - 1;
        memcpy(received->agent, (const char *)bytes + agent, n);
        received->agent[n] = '\0';
        received->kind = FW2_MESSAGE_SOCKET;
    }
}

/* Return the descriptor beside a message, or -1. */
static int descriptor_of(struct msghdr *head)
{
    struct cmsghdr *beside = CMSG_FIRSTHDR(head);
    int fd = -1;

    if (beside && beside->cmsg_level == SOL_SOCKET
        && beside->cmsg_type == SCM_RIGHTS
        && beside->cmsg_len == CMSG_LEN(sizeof(fd))) {
        memcpy(&fd, CMSG_DATA(beside), sizeof(fd));
    }
    return fd;
}

/* True if the queue is empty, and no process has the children's end open or a
 * process has shut it down. */
static int has_ended(const fw2_queue *queue)
{
    struct pollfd end = { queue->receive, POLLRDHUP, 0 };
    int queued = 0;

    return poll(&end, 1, 0) > 0 && end.revents & POLLRDHUP
           && !ioctl(queue->receive, FIONREAD, &queued) && !queued;
}

/* Return the number of messages that recvmmsg() received, or -1 if the queue
 * has ended. After the queue's end recvmmsg() returns as many empty messages as
 * there is room for. A process with the children's end can send empty messages,
 * too; these count while the queue has not ended. */
static int count_messages(const fw2_queue *queue, const struct mmsghdr *heads,
                          int n)
{
    int messages = n;

    while (messages > 0 && !heads[messages - 1].msg_len
           && !heads[messages - 1].msg_hdr.msg_controllen) {
        messages--;
    }
    if (messages == n || !has_ended(queue)) {
        return n;
    }
    return messages ? messages : -1;
}

int fw2_queue_receive(const fw2_queue *queue, apr_uint32_t vhosts,
                      fw2_received *received)
{
    struct mmsghdr heads[FW2_RECEIVE_MAX];
    struct iovec parts[FW2_RECEIVE_MAX];
    control rooms[FW2_RECEIVE_MAX];
    message messages[FW2_RECEIVE_MAX];
    int i, n;

    memset(heads, 0, sizeof(heads));
    memset(rooms, 0, sizeof(rooms));
    for (i = 0; i < FW2_RECEIVE_MAX; i++) {
        parts[i].iov_base = &messages[i];
        parts[i].iov_len = sizeof(messages[i]);
        heads[i].msg_hdr.msg_iov = &parts[i];
        heads[i].msg_hdr.msg_iovlen = 1;
        heads[i].msg_hdr.msg_control = rooms[i].bytes;
        /* CMSG_SPACE() would leave room for two descriptors. */
        heads[i].msg_hdr.msg_controllen = CMSG_LEN(sizeof(int));
    }
    n = recvmmsg(queue->receive, heads, FW2_RECEIVE_MAX,
                 MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
    if (n < 0) {
        return 0;
    }
    n = count_messages(queue, heads, n);
    for (i = 0; i < n; i++) {
        struct msghdr *head = &heads[i].msg_hdr;

        received[i].fd = descriptor_of(head);
        received[i].truncated =
            received[i].fd < 0 && head->msg_flags & MSG_CTRUNC;
        fw2_queue_parse(&messages[i],
                        head->msg_flags & MSG_TRUNC ? 0 : heads[i].msg_len,
                        vhosts, &received[i]);
    }
    return n;
}

int fw2_queue_is_closing(int fd)
{
    static const unsigned int closing =
        1U << TCP_FIN_WAIT1 | 1U << TCP_FIN_WAIT2 | 1U << TCP_CLOSING
        | 1U << TCP_LAST_ACK | 1U << TCP_TIME_WAIT | 1U << TCP_CLOSE;
    struct tcp_info info;
    socklen_t size = offsetof(struct tcp_info, tcpi_ca_state);

    return !getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size)
           && closing >> info.tcpi_state & 1;
}

#else /* !__linux__ */

apr_status_t fw2_queue_create(fw2_queue *queue)
{
    queue->send = queue->receive = -1;
    return APR_ENOTIMPL;
}

apr_status_t fw2_queue_send(const fw2_queue *queue, int fd,
                            const fw2_handoff *handoff, const char *agent,
                            fw2_refusal *why)
{
    *why = FW2_CANNOT_LINGER;
    return APR_ENOTIMPL;
}

int fw2_queue_request_count(const fw2_queue *queue,
                            apr_interval_time_t patience)
{
    return 0;
}

int fw2_queue_receive(const fw2_queue *queue, apr_uint32_t vhosts,
                      fw2_received *received)
{
    return -1;
}

void fw2_queue_parse(const void *bytes, apr_size_t n, apr_uint32_t vhosts,
                     fw2_received *received)
{
    received->kind = FW2_MESSAGE_INVALID;
}

int fw2_queue_is_closing(int fd)
{
    return 0;
}

#endif /* __linux__ */
