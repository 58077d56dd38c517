/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The room queue, with real queues, TCP sockets and processes: messages and their
 * descriptors, refused handoffs, and messages that no child of httpd sends.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "apr_general.h"
#include "apr_strings.h"

#include "base/clock.h"
#include "shared/queue.h"
#include "child.h"
#include "tap.h"

#define VHOSTS 5

static fw2_queue queue;
static int any_fd; /* any descriptor */
static fw2_received received[FW2_RECEIVE_MAX];

/* -------------------------------------------------------------- sockets -- */

static void begin(void)
{
    fw2_queue_close(&queue);
    if (fw2_queue_create(&queue) != APR_SUCCESS) {
        bail_out("no queue");
    }
}

static int receive(void)
{
    return fw2_queue_receive(&queue, VHOSTS, received);
}

/* Connect two TCP sockets on the loopback interface: the server's and the
 * client's. */
static void connect_both(int ends[2])
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t size = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&at, size) || listen(listener, 5)
        || getsockname(listener, (struct sockaddr *)&at, &size)
        || connect(ends[1], (struct sockaddr *)&at, size)
        || (ends[0] = accept(listener, NULL, NULL)) < 0) {
        bail_out("no TCP connection");
    }
    close(listener);
}

static void close_both(const int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

/* True if both descriptors refer to one file. */
static int is_same(int a, int b)
{
    struct stat first, second;

    return !fstat(a, &first) && !fstat(b, &second)
           && first.st_ino == second.st_ino;
}

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* Count the descriptors below 1000 that are open. */
static int open_descriptors(void)
{
    int fd, n = 0;

    for (fd = 0; fd < 1000; fd++) {
        n += is_open(fd);
    }
    return n;
}

/* Receive and close everything queued; return the number of messages. */
static int drain(void)
{
    int i, n, all = 0;

    while ((n = receive()) > 0) {
        for (i = 0; i < n; i++) {
            if (received[i].fd >= 0) {
                close(received[i].fd);
            }
        }
        all += n;
    }
    return all;
}

/* ------------------------------------------------------------- messages -- */

static fw2_handoff handoff(void)
{
    fw2_handoff h;

    memset(&h, 0, sizeof(h));
    h.tag.vhost = VHOSTS - 1;
    h.tag.cause = FW2_CAUSE_ERROR;
    h.tag.net = 0x20010db812345678u;
    h.until = FW2_UNTIL_ACKED;
    h.linger_idle = FW2_LINGER_MIN;
    h.linger_total = FW2_LINGER_MAX;
    h.linger_bytes = FW2_BYTES_UNLIMITED;
    h.user_timeout = FW2_USER_TIMEOUT_SYSTEM;
    h.once_acked = 0;
    h.begun = fw2_clock_now();
    return h;
}

/* Send any bytes with any descriptors. */
static int send_raw(const void *bytes, size_t n, const int *fds, int nfds)
{
    struct iovec part = { (void *)(uintptr_t)bytes, n };
    struct msghdr head = { .msg_iov = &part, .msg_iovlen = 1 };
    char room[CMSG_SPACE(8 * sizeof(int))];
    struct cmsghdr *beside;

    memset(room, 0, sizeof(room));
    if (nfds) {
        head.msg_control = room;
        head.msg_controllen = CMSG_SPACE((size_t)nfds * sizeof(int));
        beside = CMSG_FIRSTHDR(&head);
        beside->cmsg_level = SOL_SOCKET;
        beside->cmsg_type = SCM_RIGHTS;
        beside->cmsg_len = CMSG_LEN((size_t)nfds * sizeof(int));
        memcpy(CMSG_DATA(beside), fds, (size_t)nfds * sizeof(int));
    }
    return sendmsg(queue.send, &head, MSG_DONTWAIT | MSG_NOSIGNAL)
           == (ssize_t)n;
}

/* Return the bytes of a message that a child sends. */
static size_t message_of(const fw2_handoff *h, const char *agent,
                         unsigned char bytes[1000])
{
    fw2_refusal why;
    ssize_t n;

    begin();
    if (fw2_queue_send(&queue, any_fd, h, agent, &why)
        || (n = recv(queue.receive, bytes, 1000, 0)) <= 0) {
        bail_out("no message");
    }
    return (size_t)n;
}

/* Parse n bytes in a block of exactly this size. */
static fw2_message_kind kind_of(const void *bytes, size_t n, fw2_received *to)
{
    void *exact = malloc(n ? n : 1);

    memcpy(exact, bytes, n);
    memset(to->agent, 'x', sizeof(to->agent));
    fw2_queue_parse(exact, n, VHOSTS, to);
    free(exact);
    return to->kind;
}

/* -------------------------------------------------------------- sending -- */

static void test_arrives(void)
{
    fw2_handoff h = handoff();
    fw2_refusal why = FW2_REFUSALS;
    int ends[2], got;
    char byte;

    begin();
    connect_both(ends);
    is_int(receive(), 0, "an empty queue has no message");
    is_int(fw2_queue_send(&queue, ends[0], &h, "agent/1", &why), 0,
           "a socket is handed off");
    ok(is_open(ends[0]), "the sender keeps its descriptor");
    shutdown(ends[0], SHUT_WR);
    close(ends[0]);
    is_int(receive(), 1, "one message arrives");
    got = received[0].fd;
    ok(received[0].kind == FW2_MESSAGE_SOCKET && !received[0].truncated
           && got >= 0,
       "the message that arrives has a socket");
    ok(!memcmp(&received[0].handoff, &h, sizeof(h)),
       "the handoff arrives as it was sent");
    is_str(received[0].agent, "agent/1", "the User-Agent arrives");
    ok(fcntl(got, F_GETFD) & FD_CLOEXEC,
       "programs that the receiver starts do not inherit the descriptor");
    ok(recv(ends[1], &byte, 1, 0) == 0, "the client has received the FIN");
    ok(send(ends[1], "x", 1, 0) == 1 && recv(got, &byte, 1, 0) == 1
           && byte == 'x',
       "the receiver reads what the client sends");
    close(got);
    is_int(receive(), 0, "a message arrives once");
    close(ends[1]);
}

static void test_agents(void)
{
    static const size_t lengths[] = { 0, 1, 126, 127, 128, 300 };
    fw2_handoff h = handoff();
    fw2_refusal why;
    char agent[301];
    unsigned int i;

    begin();
    for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        size_t kept = lengths[i] < 127 ? lengths[i] : 127;

        memset(agent, 'a', sizeof(agent));
        agent[lengths[i]] = '\0';
        fw2_queue_send(&queue, any_fd, &h, agent, &why);
        is_int(receive(), 1, "one message arrives");
        close(received[0].fd);
        ok(received[0].kind == FW2_MESSAGE_SOCKET
               && strlen(received[0].agent) == kept
               && !strncmp(received[0].agent, agent, kept),
           "a User-Agent of %d bytes arrives with %d", (int)lengths[i],
           (int)kept);
    }
    fw2_queue_send(&queue, any_fd, &h, NULL, &why);
    is_int(receive(), 1, "a message without a User-Agent arrives");
    is_str(received[0].agent, "",
           "a message without a User-Agent has an empty one");
    close(received[0].fd);
}

static void test_full(void)
{
    fw2_handoff h = handoff();
    fw2_refusal why = FW2_REFUSALS;
    int sent = 0, buffer = 0;
    socklen_t size = sizeof(buffer);
    apr_status_t rv = APR_SUCCESS;

    begin();
    while (sent < 1000000 && rv == APR_SUCCESS) {
        rv = fw2_queue_send(&queue, any_fd, &h, "agent", &why);
        sent += rv == APR_SUCCESS;
    }
    ok(rv != APR_SUCCESS && why == FW2_QUEUE_FULL,
       "a full queue refuses a socket");
    getsockopt(queue.send, SOL_SOCKET, SO_SNDBUF, &buffer, &size);
    ok(sent >= buffer / 4096, "a queue holds %d messages in %d bytes", sent,
       buffer);
    fw2_queue_send(&queue, any_fd, &h, "agent", &why);
    is_int(drain(), sent, "each message that was accepted arrives");
    is_int(fw2_queue_send(&queue, any_fd, &h, "agent", &why), 0,
           "a drained queue accepts a socket");
    drain();
}

static void test_refusals(void)
{
    fw2_handoff h = handoff();
    fw2_refusal why = FW2_REFUSALS;
    int n = open_descriptors();

    begin();
    fw2_queue_keep_sender(&queue);
    is_int(queue.receive, -1, "a child closes the closer process's end");
    ok(fw2_queue_send(&queue, any_fd, &h, "agent", &why) != APR_SUCCESS
           && why == FW2_NO_PROCESS,
       "a queue without a receiver refuses a socket");
    begin();
    ok(fw2_queue_send(&queue, -1, &h, "agent", &why) != APR_SUCCESS
           && why == FW2_SEND_REFUSED,
       "the system refuses a descriptor that is not open");
    is_int(receive(), 0, "a refused descriptor does not arrive");
    fw2_queue_close(&queue);
    ok(queue.send == -1 && queue.receive == -1,
       "a closed queue has no descriptors");
    ok(fw2_queue_send(&queue, 0, &h, "agent", &why) != APR_SUCCESS
           && why == FW2_CANNOT_LINGER,
       "a closed queue refuses a socket");
    is_int(open_descriptors(), n - 2,
           "a closed queue leaves no descriptor open");
}

/* ------------------------------------------------------------ receiving -- */

static void test_end(void)
{
    fw2_handoff h = handoff();
    fw2_refusal why;
    int i;

    begin();
    for (i = 0; i < FW2_RECEIVE_MAX + 8; i++) {
        fw2_queue_send(&queue, any_fd, &h, "agent", &why);
    }
    fw2_queue_keep_receiver(&queue);
    is_int(queue.send, -1, "the closer process closes the children's end");
    is_int(receive(), FW2_RECEIVE_MAX,
           "the first messages arrive after the senders have closed");
    for (i = 0; i < FW2_RECEIVE_MAX; i++) {
        close(received[i].fd);
    }
    is_int(receive(), 8,
           "the other messages arrive after the senders have closed");
    for (i = 0; i < 8; i++) {
        close(received[i].fd);
    }
    is_int(receive(), -1, "a drained queue without a sender is at its end");
    is_int(receive(), -1, "a queue stays at its end");
}

/* Send some empty messages, one socket, and again some empty messages; return true
 * if the socket arrives before the end, and no descriptor stays open. */
static int survives_empty(int before, int after, int gone)
{
    fw2_handoff h = handoff();
    int n, i, all = 0, sockets = 0, opened;
    fw2_refusal why;

    begin();
    opened = open_descriptors();
    for (i = 0; i < before; i++) {
        send_raw("", 0, NULL, 0);
    }
    fw2_queue_send(&queue, any_fd, &h, "agent", &why);
    for (i = 0; i < after; i++) {
        send_raw("", 0, NULL, 0);
    }
    if (gone) {
        fw2_queue_keep_receiver(&queue);
        opened--;
    }
    while ((n = receive()) > 0) {
        for (i = 0; i < n; i++) {
            if (received[i].kind == FW2_MESSAGE_SOCKET) {
                sockets++;
                close(received[i].fd);
            }
        }
        all += n;
    }
    return sockets == 1 && n == (gone ? -1 : 0)
           && (gone || all == before + after + 1)
           && open_descriptors() == opened;
}

static void test_empty(void)
{
    static const int numbers[] = { 0, 1, 2, 30, 31, 32, 33, 63, 64, 65, 100 };
    enum { NUMBERS = sizeof(numbers) / sizeof(numbers[0]) };
    int i, j, alive = 0, gone = 0;

    begin();
    send_raw("", 0, NULL, 0);
    is_int(receive(), 1, "an empty message is a message");
    ok(received[0].kind == FW2_MESSAGE_INVALID && received[0].fd == -1,
       "an empty message is invalid");
    is_int(receive(), 0, "an empty message is not the end");
    for (i = 0; i < NUMBERS; i++) {
        for (j = 0; j < NUMBERS; j++) {
            alive += survives_empty(numbers[i], numbers[j], 0);
            gone += survives_empty(numbers[i], numbers[j], 1);
        }
    }
    is_int(alive, NUMBERS * NUMBERS,
           "a socket arrives among any number of empty messages");
    is_int(gone, NUMBERS * NUMBERS,
           "a socket arrives among empty messages of a sender that has closed");
}

static void test_two_descriptors(void)
{
    unsigned char bytes[1000];
    fw2_handoff h = handoff();
    size_t n = message_of(&h, "agent", bytes);
    int first[2], second[2], both[2], opened;
    struct pollfd end;

    begin();
    opened = open_descriptors();
    if (pipe(first) || pipe(second)) {
        bail_out("no pipe");
    }
    both[0] = first[1];
    both[1] = second[1];
    ok(send_raw(bytes, n, both, 2), "two descriptors are sent in one message");
    is_int(receive(), 1, "one message arrives");
    close(first[1]);
    close(second[1]);
    end.fd = second[0];
    end.events = 0;
    ok(poll(&end, 1, 0) == 1 && end.revents & POLLHUP,
       "the receiver closes the second descriptor");
    if (received[0].fd >= 0) {
        close(received[0].fd);
    }
    end.fd = first[0];
    ok(poll(&end, 1, 0) == 1 && end.revents & POLLHUP,
       "the receiver has one duplicate of the first descriptor");
    close(first[0]);
    close(second[0]);
    is_int(open_descriptors(), opened,
           "two descriptors in one message leave none open");
}

static void test_no_descriptor(void)
{
    unsigned char bytes[1000];
    fw2_handoff h = handoff();
    size_t n = message_of(&h, "agent", bytes);

    begin();
    send_raw(bytes, n, NULL, 0);
    is_int(receive(), 1, "a message without a descriptor arrives");
    ok(received[0].kind == FW2_MESSAGE_SOCKET && received[0].fd == -1
           && !received[0].truncated,
       "a message without a descriptor is not truncated");
}

/* Refuse new descriptors while `work` runs. */
static int without_descriptors(int (*work)(void))
{
    struct rlimit before, none;
    int free_fd = dup(0), result;

    close(free_fd);
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = (rlim_t)free_fd;
    if (setrlimit(RLIMIT_NOFILE, &none)) {
        bail_out("no limit of descriptors");
    }
    result = work();
    setrlimit(RLIMIT_NOFILE, &before);
    return result;
}

static void test_truncated(void)
{
    fw2_handoff h = handoff();
    fw2_refusal why;
    int ends[2];
    char byte;

    begin();
    connect_both(ends);
    fw2_queue_send(&queue, ends[0], &h, "agent", &why);
    close(ends[0]);
    is_int(without_descriptors(receive), 1,
           "a message arrives while no descriptor is free");
    ok(received[0].kind == FW2_MESSAGE_SOCKET && received[0].fd == -1
           && received[0].truncated,
       "a message whose descriptor is refused is truncated");
    is_int(recv(ends[1], &byte, 1, 0), 0,
           "the kernel closes the socket of a truncated message");
    close(ends[1]);
    connect_both(ends);
    fw2_queue_send(&queue, ends[0], &h, "agent", &why);
    is_int(receive(), 1, "the next message arrives");
    ok(!received[0].truncated && is_same(received[0].fd, ends[0]),
       "the next message has its descriptor");
    close(received[0].fd);
    close_both(ends);
}

/* ----------------------------------------------------- invalid messages -- */

static void test_magic(void)
{
    unsigned char bytes[1000];
    fw2_handoff h = handoff();
    size_t n = message_of(&h, "agent", bytes);
    fw2_received to;
    int i, valid = 0;

    is_int(kind_of(bytes, n, &to), FW2_MESSAGE_SOCKET,
           "a child's message is valid");
    for (i = 0; i < 32; i++) {
        bytes[i / 8] ^= (unsigned char)(1U << i % 8);
        valid += kind_of(bytes, n, &to) != FW2_MESSAGE_INVALID;
        bytes[i / 8] ^= (unsigned char)(1U << i % 8);
    }
    is_int(valid, 0, "a message is invalid if one bit of its magic differs");
    is_str(to.agent, "", "an invalid message has no User-Agent");
}

static void test_lengths(void)
{
    unsigned char bytes[1000] = { 0 };
    fw2_handoff h = handoff();
    size_t least = message_of(&h, NULL, bytes), n;
    fw2_received to;
    int valid = 0, invalid = 0;

    memset(bytes + least, 'a', sizeof(bytes) - least);
    for (n = 0; n < least; n++) {
        valid += kind_of(bytes, n, &to) != FW2_MESSAGE_INVALID;
    }
    is_int(valid, 0, "a message that is too short is invalid");
    for (; n < least + FW2_AGENT_SIZE; n++) {
        invalid += kind_of(bytes, n, &to) != FW2_MESSAGE_SOCKET
                   || strlen(to.agent) != n - least;
    }
    is_int(invalid, 0, "a message with up to 127 bytes of an agent is valid");
    ok(kind_of(bytes, n, &to) == FW2_MESSAGE_SOCKET
           && strlen(to.agent) == FW2_AGENT_SIZE - 1,
       "the agent of the longest valid message is cut to 127 bytes");
    for (n++; n <= sizeof(bytes); n++) {
        valid += kind_of(bytes, n, &to) != FW2_MESSAGE_INVALID;
    }
    is_int(valid, 0, "a message that is too long is invalid");
    begin();
    send_raw(bytes, sizeof(bytes), &any_fd, 1);
    is_int(receive(), 1, "a message of 1000 bytes arrives");
    is_int(received[0].kind, FW2_MESSAGE_INVALID,
           "a message of 1000 bytes with a valid beginning is invalid");
    ok(received[0].fd >= 0 && is_same(received[0].fd, any_fd),
       "the receiver has the descriptor of an invalid message");
    close(received[0].fd);
}

typedef struct {
    const char *name;
    size_t offset; /* of an apr_int64_t in a handoff */
    apr_int64_t value;
    int valid;
} limit_case;

#define LIMIT(field, value, valid)                                             \
    {                                                                          \
#field " of " #value, APR_OFFSETOF(fw2_handoff, field), (value),       \
            (valid)                                                            \
    }
#define LINGER(field)                                                          \
    LIMIT(field, FW2_LINGER_MAX, 1), LIMIT(field, FW2_LINGER_MAX + 1, 0),      \
        LIMIT(field, APR_INT64_MIN, 0), LIMIT(field, APR_INT64_MAX, 0),        \
        LIMIT(field, -1, 0)

static const limit_case limits[] = {
    LINGER(linger_idle),
    LIMIT(linger_idle, FW2_LINGER_MIN, 1),
    LIMIT(linger_idle, FW2_LINGER_MIN - 1, 0),
    LIMIT(linger_idle, 0, 0),
    LINGER(linger_total),
    LIMIT(linger_total, FW2_LINGER_MIN, 1),
    LIMIT(linger_total, FW2_LINGER_MIN - 1, 0),
    LIMIT(linger_total, 0, 0),
    LINGER(once_acked),
    LIMIT(once_acked, 0, 1),
    LIMIT(once_acked, 1, 1),
    LIMIT(linger_bytes, FW2_BYTES_UNLIMITED, 1),
    LIMIT(linger_bytes, 1, 1),
    LIMIT(linger_bytes, APR_INT64_MAX, 1),
    LIMIT(linger_bytes, 0, 0),
    LIMIT(linger_bytes, -2, 0),
    LIMIT(linger_bytes, APR_INT64_MIN, 0),
    LIMIT(user_timeout, FW2_USER_TIMEOUT_SYSTEM, 1),
    LIMIT(user_timeout, FW2_USER_TIMEOUT_MIN, 1),
    LIMIT(user_timeout, FW2_USER_TIMEOUT_MIN - 1, 0),
    LIMIT(user_timeout, FW2_USER_TIMEOUT_MAX, 1),
    LIMIT(user_timeout, FW2_USER_TIMEOUT_MAX + 1, 0),
    LIMIT(user_timeout, -1, 0),
    LIMIT(user_timeout, APR_INT64_MIN, 0),
    LIMIT(user_timeout, APR_INT64_MAX, 0),
};

/* True if the receiver accepts a handoff. */
static int is_accepted(const fw2_handoff *h)
{
    fw2_refusal why;
    int accepted;

    begin();
    if (fw2_queue_send(&queue, any_fd, h, "agent", &why) || receive() != 1) {
        bail_out("no message");
    }
    accepted = received[0].kind == FW2_MESSAGE_SOCKET;
    close(received[0].fd);
    return accepted;
}

static void test_limits(void)
{
    fw2_handoff h;
    unsigned int i;

    for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        h = handoff();
        memcpy((char *)&h + limits[i].offset, &limits[i].value,
               sizeof(limits[i].value));
        is_int(is_accepted(&h), limits[i].valid, limits[i].name);
    }
}

static void test_tags(void)
{
    fw2_handoff h = handoff();

    h.tag.vhost = 0;
    ok(is_accepted(&h), "the first virtual host is valid");
    h.tag.vhost = VHOSTS;
    ok(!is_accepted(&h), "a virtual host after the last is invalid");
    h.tag.vhost = ~(apr_uint32_t)0;
    ok(!is_accepted(&h), "the largest number is an invalid virtual host");
    h = handoff();
    h.tag.cause = FW2_CAUSES - 1;
    ok(is_accepted(&h), "the last cause is valid");
    h.tag.cause = FW2_CAUSES;
    ok(!is_accepted(&h), "a cause after the last is invalid");
    h.tag.cause = ~(apr_uint32_t)0;
    ok(!is_accepted(&h), "the largest number is an invalid cause");
    h = handoff();
    h.until = FW2_UNTILS - 1;
    ok(is_accepted(&h), "the last way to end a linger is valid");
    h.until = FW2_UNTILS;
    ok(!is_accepted(&h), "a way to end a linger after the last is invalid");
    h = handoff();
    h.reset = 1;
    ok(is_accepted(&h), "a reset is valid");
    h.reset = 0x100;
    ok(!is_accepted(&h), "a reset other than 0 and 1 is invalid");
}

/* True if a handoff is within the limits, written here as numbers. */
static int is_valid(const fw2_handoff *h)
{
    const apr_int64_t ms = 1000, hour = 3600 * 1000 * ms;

    if (h->tag.vhost >= VHOSTS || h->tag.cause >= FW2_CAUSES || h->until > 2
        || h->reset > 1) {
        return 0;
    }
    if (h->linger_idle < 10 * ms || h->linger_total < 10 * ms
        || h->once_acked < 0) {
        return 0;
    }
    if (h->linger_idle > hour || h->linger_total > hour
        || h->once_acked > hour) {
        return 0;
    }
    if (h->linger_bytes < -1 || h->linger_bytes == 0) {
        return 0;
    }
    return !h->user_timeout
           || (h->user_timeout >= 100 * ms && h->user_timeout <= hour);
}

/* Make a message of random bytes: all of them, those after a valid beginning,
 * or some bits. */
static size_t make_random(unsigned char bytes[1000], const unsigned char *valid,
                          size_t n, int i)
{
    size_t most = n + 20;
    int flips;

    random_fill(bytes, most);
    switch (i % 4) {
    case 0:
        return random_number() % (most + 1);
    case 1:
        memcpy(bytes, valid, 4);
        return n - random_number() % 10;
    case 2:
        memcpy(bytes, valid, n);
        for (flips = 1 + (int)(random_number() % 8); flips; flips--) {
            bytes[random_number() % n] ^=
                (unsigned char)(1U << random_number() % 8);
        }
        return n;
    default:
        memcpy(bytes, valid, n);
        memset(bytes + 8 + random_number() % (n - 16),
               random_number() & 1 ? 0xff : 0, 8);
        return random_number() % (most + 1);
    }
}

static void test_random(void)
{
    unsigned char valid[1000], bytes[1000];
    fw2_handoff h = handoff();
    size_t n = message_of(&h, "an agent", valid);
    int i, sockets = 0, wrong = 0;
    fw2_received to;

    if (n > sizeof(valid) / 2) {
        bail_out("a message is larger than the buffers of this test");
    }
    for (i = 0; i < 100000; i++) {
        size_t size = make_random(bytes, valid, n, i);

        switch (kind_of(bytes, size, &to)) {
        case FW2_MESSAGE_SOCKET:
            sockets++;
            wrong += !is_valid(&to.handoff);
            break;
        case FW2_MESSAGE_COUNT_REQUEST:
            wrong += size != 4;
            break;
        default:
            wrong += to.kind != FW2_MESSAGE_INVALID || to.agent[0];
        }
        wrong += !memchr(to.agent, '\0', sizeof(to.agent));
    }
    is_int(wrong, 0, "every accepted random message of 100,000 is valid");
    ok(sockets && sockets < 100000,
       "%d random messages of 100,000 are accepted as sockets", sockets);
}

/* ------------------------------------------------- the kinds of sockets -- */

static void test_live(void)
{
    int ends[2], fd;

    connect_both(ends);
    ok(!fw2_queue_is_closing(ends[0]), "a live connection is not closing");
    shutdown(ends[1], SHUT_WR);
    while (recv(ends[0], &fd, 1, 0) > 0) {
    }
    ok(!fw2_queue_is_closing(ends[0]),
       "a connection that only the client has closed is not closing");
    shutdown(ends[0], SHUT_WR);
    ok(fw2_queue_is_closing(ends[0]),
       "a connection that both have closed is closing");
    close_both(ends);
    connect_both(ends);
    shutdown(ends[0], SHUT_WR);
    ok(fw2_queue_is_closing(ends[0]), "a connection after our FIN is closing");
    close(ends[1]);
    ok(fw2_queue_is_closing(ends[0]),
       "a connection is closing when the client closes, too");
    close(ends[0]);
}

static void test_no_connection(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    int fds[2], fd = socket(AF_INET, SOCK_STREAM, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 1)) {
        bail_out("no listening socket");
    }
    ok(!fw2_queue_is_closing(fd), "a listening socket is not closing");
    close(fd);
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    ok(!fw2_queue_is_closing(fd), "a UDP socket is not closing");
    close(fd);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds)) {
        bail_out("no pair of sockets");
    }
    shutdown(fds[0], SHUT_WR);
    ok(!fw2_queue_is_closing(fds[0]), "a Unix socket is not closing");
    close_both(fds);
    fd = open("/dev/null", O_RDWR);
    ok(!fw2_queue_is_closing(fd), "a file is not closing");
    close(fd);
    if (pipe(fds)) {
        bail_out("no pipe");
    }
    ok(!fw2_queue_is_closing(fds[0]), "a pipe is not closing");
    close_both(fds);
    ok(!fw2_queue_is_closing(fds[0]), "a closed descriptor is not closing");
    ok(!fw2_queue_is_closing(-1), "an invalid descriptor is not closing");
}

/* ------------------------------------------------- requests for a count -- */

static fw2_shared *published; /* by the process that answers */

/* Wait for a request, publish, and close its pipe. */
static int answer(void *data)
{
    struct pollfd end = { queue.receive, POLLIN, 0 };

    (void)data;
    fw2_queue_keep_receiver(&queue);
    if (poll(&end, 1, 60000) != 1 || receive() != 1
        || received[0].kind != FW2_MESSAGE_COUNT_REQUEST
        || received[0].fd < 0) {
        return 1;
    }
    usleep(20000);
    fw2_sync_write(published, 1);
    close(received[0].fd);
    return 0;
}

static void test_count_request(void)
{
    int opened;
    pid_t pid;

    begin();
    opened = open_descriptors();
    published = shared_memory(sizeof(*published));
    pid = child_start(answer, NULL);
    ok(fw2_queue_request_count(&queue, apr_time_from_sec(60)),
       "a request for a count is answered");
    is_int((long long)fw2_sync_read(published), 1,
           "a request for a count is answered after the count is published");
    is_int(child_wait(pid), 0, "another process answers");
    is_int(open_descriptors(), opened,
           "a request for a count leaves no descriptor open");
}

static void test_no_answer(void)
{
    apr_time_t begun = fw2_clock_now();

    begin();
    ok(!fw2_queue_request_count(&queue, 20000),
       "a request for a count without an answer fails");
    ok(fw2_clock_now() - begun >= 20000,
       "a request for a count waits until its limit");
    is_int(receive(), 1, "a request for a count stays queued after its limit");
    ok(received[0].kind == FW2_MESSAGE_COUNT_REQUEST && received[0].fd >= 0,
       "a request for a count has its pipe after its limit");
    close(received[0].fd);
    ok(!fw2_queue_request_count(&queue, 0),
       "a request for a count with a limit of 0 fails");
    drain();
    fw2_queue_keep_sender(&queue);
    ok(!fw2_queue_request_count(&queue, apr_time_from_sec(600)),
       "a request for a count without a receiver fails immediately");
    fw2_queue_close(&queue);
    ok(!fw2_queue_request_count(&queue, apr_time_from_sec(600)),
       "a request for a count without a queue fails immediately");
}

/* Test that a request for a count consists only of its magic. */
static void test_long_count_request(void)
{
    unsigned char bytes[1000];
    fw2_received to;
    ssize_t n;

    begin();
    (void)fw2_queue_request_count(&queue, 0);
    n = recv(queue.receive, bytes, sizeof(bytes) - 1, 0);
    is_int(n, 4, "a request for a count is four bytes");
    is_int(kind_of(bytes, 4, &to), FW2_MESSAGE_COUNT_REQUEST,
           "the four bytes of a request for a count are valid");
    bytes[4] = 0;
    is_int(kind_of(bytes, 5, &to), FW2_MESSAGE_INVALID,
           "a request for a count of five bytes is invalid");
    is_int(kind_of(bytes, 3, &to), FW2_MESSAGE_INVALID,
           "a request for a count of three bytes is invalid");
}

/* --------------------------------------------------------- many senders -- */

#define SENDERS 4
#define EACH    2000

static int send_many(void *data)
{
    fw2_handoff h = handoff();
    fw2_refusal why;
    char agent[32];
    int i;

    fw2_queue_keep_sender(&queue);
    h.tag.vhost = (apr_uint32_t)(*(const int *)data);
    for (i = 0; i < EACH; i++) {
        apr_snprintf(agent, sizeof(agent), "agent %d", i);
        h.tag.net = (apr_uint64_t)i;
        while (fw2_queue_send(&queue, any_fd, &h, agent, &why)) {
            if (why != FW2_QUEUE_FULL) {
                return 1;
            }
            usleep(1000);
        }
    }
    return 0;
}

/* Check one message of many; `next` is the number of the next one of each
 * sender. */
static int is_next(const fw2_received *one, int *next)
{
    char agent[32];
    int sender = (int)one->handoff.tag.vhost;

    if (one->kind != FW2_MESSAGE_SOCKET || sender >= SENDERS) {
        return 0;
    }
    apr_snprintf(agent, sizeof(agent), "agent %d", next[sender]);
    return one->handoff.tag.net == (apr_uint64_t)next[sender]++
           && !strcmp(one->agent, agent) && is_same(one->fd, any_fd);
}

static void test_many(void)
{
    int numbers[SENDERS], next[SENDERS] = { 0 }, all = 0, wrong = 0, n, i;
    pid_t pids[SENDERS];

    begin();
    for (i = 0; i < SENDERS; i++) {
        numbers[i] = i;
        pids[i] = child_start(send_many, &numbers[i]);
    }
    fw2_queue_keep_receiver(&queue);
    while ((n = receive()) >= 0) {
        struct pollfd end = { queue.receive, POLLIN, 0 };

        for (i = 0; i < n; i++) {
            wrong += !is_next(&received[i], next);
            close(received[i].fd);
        }
        all += n;
        (void)poll(&end, 1, 1000);
    }
    for (i = 0, n = 0; i < SENDERS; i++) {
        n |= child_wait(pids[i]);
    }
    is_int(n, 0, "four processes send at the same time");
    is_int(all, SENDERS * EACH, "each message of four processes arrives");
    is_int(wrong, 0, "the messages of one sender arrive whole and in order");
}

int main(void)
{
    apr_initialize();
    alarm(120);
    queue.send = queue.receive = -1;
    any_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    test_arrives();
    test_agents();
    test_full();
    test_refusals();
    test_end();
    test_empty();
    test_two_descriptors();
    test_no_descriptor();
    test_truncated();
    test_magic();
    test_lengths();
    test_limits();
    test_tags();
    test_random();
    test_live();
    test_no_connection();
    test_count_request();
    test_no_answer();
    test_long_count_request();
    test_many();
    fw2_queue_close(&queue);
    apr_terminate();
    return done_testing();
}
