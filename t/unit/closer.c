/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The room closer, against the real kernel: real connections on loopback that
 * are closed, reset, flooded or left alone by their peer, and an observer that
 * takes down what it is told and objects to what it must not be told. Nothing
 * is timed: all that is waited for is a state, and a time limit that shall
 * pass is short, one that shall not is a minute.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "apr_atomic.h"
#include "apr_general.h"
#include "apr_strings.h"

#include "fw2_closer_impl.h"
#include "tap.h"

#define MSEC  ((apr_interval_time_t)1000)
#define NEVER (60000 * MSEC) /* longer than anything here is waited for */
#define BATCH (20 * MSEC)    /* no two batches begin closer together */
#define MB    (1024 * 1024)
#define FLOOD (64 * MB) /* from here on a peer is flooding */
#define MANY  3000
#define IDS   4096

static apr_pool_t *pool;
static fw2_closer *closer;

/* How long anything here is waited for. */
static apr_time_t deadline(void)
{
    return apr_time_now() + apr_time_from_sec(20);
}

static int nap(apr_time_t until)
{
    usleep(1000);
    return apr_time_now() < until;
}

static int late; /* what was waited for in vain; none may be at the end */

static void too_late(const char *condition, int line)
{
    printf("# line %d: in vain: %s\n", line, condition);
    late++;
}

#define AWAIT(condition)                                                       \
    do {                                                                       \
        apr_time_t until_ = deadline();                                        \
        int so_;                                                               \
                                                                               \
        while (!(so_ = (condition) != 0) && nap(until_)) {                     \
        }                                                                      \
        if (!so_) {                                                            \
            too_late(#condition, __LINE__);                                    \
        }                                                                      \
    } while (0)

static void start_thread(pthread_t *thread, void *(*body)(void *), void *data)
{
    if (pthread_create(thread, NULL, body, data)) {
        printf("Bail out! no thread\n");
        exit(1);
    }
}

static void *tell_id(void *data)
{
    *(int *)data = (int)syscall(SYS_gettid);
    return NULL;
}

/* A sanitizer has a thread of its own, from the first of ours on. */
static void have_threads(void)
{
    pthread_t thread;
    char path[64];
    int id = 0;

    start_thread(&thread, tell_id, &id);
    pthread_join(thread, NULL);
    snprintf(path, sizeof(path), "/proc/self/task/%d", id);
    AWAIT(access(path, F_OK));
}

/* --------------------------------------------------------- the observer -- */

/* What is known of one socket; its number is its tag's `vhost`. */
typedef struct told {
    int taken;
    int ended;
    fw2_ended how;
} told;

static struct watch {
    told of[IDS];
    int order[IDS]; /* as they ended */
    int taken, ended;
    int wrong; /* what must not be told */
    apr_time_t oldest, started;
    pid_t thread;  /* the closer's */
    int gate;      /* `taken` does not return meanwhile */
    int at_gate;   /* how many are in there */
    int recv_gate; /* nor does the closer's recv() */
    int at_recv;   /* it is in there */
    int set_gate;  /* nor is a timer set to a time to come */
    int at_set;    /* one is about to be */
    int recvs;     /* how often it read */
    int asked;     /* how much, the last time */
    int sets;      /* how often its timer was set */
    int set_past;  /* the last time to one that is over */
} watch;
static pthread_mutex_t watch_lock = PTHREAD_MUTEX_INITIALIZER;

static int seen(const int *field)
{
    int value;

    pthread_mutex_lock(&watch_lock);
    value = *field;
    pthread_mutex_unlock(&watch_lock);
    return value;
}

static void set(int *field, int value)
{
    pthread_mutex_lock(&watch_lock);
    *field = value;
    pthread_mutex_unlock(&watch_lock);
}

/* Stay while the gate is shut; by another number it is another one. */
static void pass(int *gate, int *at)
{
    int entered;

    pthread_mutex_lock(&watch_lock);
    entered = *at = *gate;
    pthread_mutex_unlock(&watch_lock);
    if (entered) {
        AWAIT(seen(gate) != entered);
        set(at, 0);
    }
}

/* Whatever else is in it comes back as it was. */
static fw2_tag tag_of(int id)
{
    fw2_tag tag = { (apr_uint32_t)id, (fw2_cause)(id % FW2_CAUSES),
                    1000003 * (apr_uint64_t)id, ~(apr_uint64_t)id };

    return tag;
}

static int is_tag_of(const fw2_tag *tag, apr_uint32_t id)
{
    fw2_tag expected = tag_of((int)id);

    return tag->vhost == expected.vhost && tag->cause == expected.cause
           && tag->agent == expected.agent && tag->net == expected.net;
}

static void on_taken(void *context, const fw2_tag *tag)
{
    struct watch *w = context;
    apr_uint32_t id = tag->vhost;

    pthread_mutex_lock(&watch_lock);
    w->wrong +=
        id >= IDS || w->of[id].taken || w->of[id].ended || !is_tag_of(tag, id);
    w->of[id].taken++;
    w->taken++;
    pthread_mutex_unlock(&watch_lock);
    pass(&w->gate, &w->at_gate);
}

static void on_ended(void *context, const fw2_ended *ended)
{
    struct watch *w = context;
    apr_uint32_t id = ended->tag.vhost;

    pthread_mutex_lock(&watch_lock);
    w->wrong += id >= IDS || !w->of[id].taken || w->of[id].ended
                || !is_tag_of(&ended->tag, id)
                || (unsigned int)ended->ending >= FW2_ENDINGS
                || ended->lingered < 0;
    w->of[id].ended++;
    w->of[id].how = *ended;
    w->order[w->ended++] = (int)id;
    pthread_mutex_unlock(&watch_lock);
}

static void on_oldest(void *context, apr_time_t since)
{
    struct watch *w = context;
    pid_t self = (pid_t)syscall(SYS_gettid);

    pthread_mutex_lock(&watch_lock);
    w->wrong += since == w->oldest || (w->thread && w->thread != self)
                || (since
                    && (since < w->started - 100 * MSEC
                        || since > apr_time_now() + 100 * MSEC));
    w->thread = self;
    w->oldest = since;
    pthread_mutex_unlock(&watch_lock);
}

static apr_time_t oldest(void)
{
    apr_time_t since;

    pthread_mutex_lock(&watch_lock);
    since = watch.oldest;
    pthread_mutex_unlock(&watch_lock);
    return since;
}

/* -------------------------------------------- between libc and the room -- */

static int wrongly_drained; /* with a copy */

static void (*after_recv)(void); /* once, when nothing was there to read */

static void call_after_recv(void (*call)(void))
{
    pthread_mutex_lock(&watch_lock);
    after_recv = call;
    pthread_mutex_unlock(&watch_lock);
}

/* The sanitizers' own would take the NULL for a buffer. */
ssize_t recv(int fd, void *bytes, size_t len, int flags)
{
    ssize_t got;
    /* Not the last one of a socket that has to go: that is anybody's. */
    int looks = flags & MSG_TRUNC && len != INT_MAX;
    int saved;

    if (flags & MSG_TRUNC && bytes) {
        set(&wrongly_drained, 1);
    }
    if (looks) {
        pass(&watch.recv_gate, &watch.at_recv);
        set(&watch.recvs, seen(&watch.recvs) + 1);
        set(&watch.asked, (int)len);
    }
    got = syscall(SYS_recvfrom, fd, bytes, len, flags, NULL, NULL);
    saved = errno;
    if (got < 0 && looks) {
        void (*call)(void);

        pthread_mutex_lock(&watch_lock);
        call = after_recv;
        after_recv = NULL;
        pthread_mutex_unlock(&watch_lock);
        if (call) {
            call();
        }
    }
    errno = saved;
    return got;
}

/* What is not in the set cannot be taken out of it. */
int epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
    int rv = (int)syscall(SYS_epoll_ctl, epoll, what, fd, event);

    if (rv && what == EPOLL_CTL_DEL) {
        pthread_mutex_lock(&watch_lock);
        watch.wrong++;
        pthread_mutex_unlock(&watch_lock);
    }
    return rv;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *at,
                    struct itimerspec *before)
{
    int past = !at->it_value.tv_sec; /* the machine's first second */
    int rv;

    if (!past) {
        pass(&watch.set_gate, &watch.at_set);
    }
    rv = (int)syscall(SYS_timerfd_settime, fd, flags, at, before);
    pthread_mutex_lock(&watch_lock);
    watch.sets++;
    watch.set_past = past;
    pthread_mutex_unlock(&watch_lock);
    return rv;
}

/* ----------------------------------------------------------- the closer -- */

/* Entries of a folder of /proc. */
static int entries(const char *path)
{
    DIR *dir = opendir(path);
    int n = 0;

    while (dir && readdir(dir)) {
        n++;
    }
    if (dir) {
        closedir(dir);
    }
    return n;
}

#define DESCRIPTORS entries("/proc/self/fd")
#define THREADS     entries("/proc/self/task")

static int descriptors_before, threads_before, next_id;

static apr_status_t begin_as(int slots)
{
    static const fw2_observer observer = { &watch, on_taken, on_ended,
                                           on_oldest };

    memset(&watch, 0, sizeof(watch));
    watch.started = apr_time_now();
    next_id = 0;
    descriptors_before = DESCRIPTORS;
    threads_before = THREADS;
    return fw2_closer_start(&closer, slots, &observer, pool);
}

static void begin(int slots)
{
    if (begin_as(slots) != APR_SUCCESS) {
        printf("Bail out! no closer\n");
        exit(1);
    }
}

/* How many sockets are in its epoll set. */
static int listed(void)
{
    char link[64], path[64], line[256];
    int fd, n = -1; /* its timer does not count */
    ssize_t len;
    FILE *info;

    for (fd = 3; fd < 4096; fd++) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        len = readlink(path, link, sizeof(link) - 1);
        if (len > 0) {
            link[len] = '\0';
            if (!strcmp(link, "anon_inode:[eventpoll]")) {
                break;
            }
        }
    }
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    info = fopen(path, "r");
    while (info && fgets(line, sizeof(line), info)) {
        n += !strncmp(line, "tfd:", 4);
    }
    if (info) {
        fclose(info);
    }
    return n;
}

/* -------------------------------------------------------------- sockets -- */

/* Both ends of a connection; -1: closed. */
typedef struct peer {
    int client;
    int server;
} peer;

static peer peers[IDS];
static int listener;

static void bail(const char *what)
{
    printf("Bail out! %s: %s\n", what, strerror(errno));
    exit(1);
}

static int listen_here(void)
{
    struct sockaddr_in here;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memset(&here, 0, sizeof(here));
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof(here))
        || listen(fd, 64)) {
        bail("a listener");
    }
    return fd;
}

static void join_up(int id, int at, int rcvbuf)
{
    struct sockaddr_in here;
    socklen_t len = sizeof(here);
    peer *p = &peers[id];

    p->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (rcvbuf) {
        setsockopt(p->client, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
    }
    if (p->client < 0 || getsockname(at, (struct sockaddr *)&here, &len)
        || connect(p->client, (struct sockaddr *)&here, len)) {
        bail("connect");
    }
    p->server = accept(at, NULL, NULL);
    if (p->server < 0) {
        bail("accept");
    }
}

static int connected(void)
{
    join_up(next_id, listener, 0);
    return next_id++;
}

/* Writes more than the client's window, so that no FIN gets through. */
static int shut_window(long *sent)
{
    static const char bytes[65536];
    int buffer = 262144, id = next_id++;
    ssize_t n;

    join_up(id, listener, 4096);
    setsockopt(peers[id].server, SOL_SOCKET, SO_SNDBUF, &buffer,
               sizeof(buffer));
    *sent = 0;
    while ((n = send(peers[id].server, bytes, sizeof(bytes), MSG_DONTWAIT))
           > 0) {
        *sent += n;
    }
    if (*sent < 100000) {
        bail("too few bytes written");
    }
    return id;
}

static void shut(int *fd, int reset)
{
    struct linger linger = { 1, 0 };

    if (*fd >= 0) {
        if (reset) {
            setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        }
        close(*fd);
        *fd = -1;
    }
}

static void client_closes(int id)
{
    shut(&peers[id].client, 0);
}

static void client_resets(int id)
{
    shut(&peers[id].client, 1);
}

/* The MPM closes its own. */
static void original_closes(int id)
{
    shut(&peers[id].server, 0);
}

static void client_says(int id, size_t n)
{
    static const char bytes[65536];

    while (n > 0) {
        size_t now = n < sizeof(bytes) ? n : sizeof(bytes);
        ssize_t sent = send(peers[id].client, bytes, now, MSG_NOSIGNAL);

        if (sent <= 0) {
            break;
        }
        n -= (size_t)sent;
    }
}

/* Reads all there is until the end: how many bytes, or -errno. */
static long client_reads(int id)
{
    char bytes[65536];
    ssize_t n;
    long sum = 0;

    while ((n = recv(peers[id].client, bytes, sizeof(bytes), 0)) > 0) {
        sum += n;
    }
    return n < 0 ? -errno : sum;
}

static int option(int fd, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    getsockopt(fd, SOL_SOCKET, name, &value, &len);
    return value;
}

static int asks(int fd, unsigned long what)
{
    int value = -1;

    ioctl(fd, what, &value);
    return value;
}

/* Whether all arrived at the server, which may be closed on our side. */
static void arrives(int id)
{
    struct pollfd p = { peers[id].server, POLLIN | POLLRDHUP, 0 };

    poll(&p, 1, 10000);
}

/* ------------------------------------------------------------ hand-over -- */

typedef struct plan {
    fw2_policy policy;
    int until_acked;
    apr_interval_time_t once_acked;
} plan;

/* Stays with a socket for these times. */
static plan staying(apr_interval_time_t idle, apr_interval_time_t total)
{
    plan p;

    memset(&p, 0, sizeof(p));
    p.policy.engine = 1;
    p.policy.linger = FW2_LINGER_ALWAYS;
    p.policy.linger_idle = idle;
    p.policy.linger_total = total;
    p.policy.linger_bytes = FW2_BYTES_UNLIMITED;
    p.policy.user_timeout = FW2_USER_TIMEOUT_SYSTEM;
    p.policy.socket_linger = FW2_SOCKET_LINGER_OFF;
    return p;
}

static plan until_acked(void)
{
    plan p = staying(NEVER, NEVER);

    p.until_acked = 1;
    return p;
}

static apr_status_t try_give(int id, const plan *p)
{
    fw2_policy policy = p->policy;
    fw2_handover handover = { &policy, tag_of(id), p->until_acked,
                              p->once_acked };
    apr_status_t rv;

    shutdown(peers[id].server, SHUT_WR);
    rv = fw2_closer_take(closer, peers[id].server, &handover);
    memset(&policy, 0x55, sizeof(policy)); /* it is not needed any more */
    return rv;
}

/* As the MPM does. */
static void give(int id, plan p)
{
    apr_status_t rv = try_give(id, &p);

    if (rv != APR_SUCCESS) {
        ok(0, "socket %d is taken: %d", id, rv);
    }
    original_closes(id);
}

/* One that is given at once. */
static int given(plan p)
{
    int id = connected();

    give(id, p);
    return id;
}

static int is_ended(int id)
{
    return seen(&watch.of[id].ended);
}

static const char *ending_of(int id)
{
    AWAIT(is_ended(id));
    return is_ended(id) ? fw2_ending_names[watch.of[id].how.ending] : "none";
}

static void ends(int id, fw2_ending ending, const char *what)
{
    is_str(ending_of(id), fw2_ending_names[ending], what);
}

static void ends_after(int id, fw2_ending ending, long long drained,
                       const char *what)
{
    ends(id, ending, what);
    is_int((long long)watch.of[id].how.drained, drained, "bytes drained");
}

static void check_all_over(const char *what)
{
    int i, wrong = watch.wrong;

    for (i = 0; i < IDS; i++) {
        wrong += watch.of[i].taken != watch.of[i].ended;
        wrong += watch.of[i].taken > 1;
    }
    ok(!wrong && watch.taken == watch.ended,
       "%s: each told once: %d taken, %d ended, %d wrong", what, watch.taken,
       watch.ended, wrong);
    ok(!watch.oldest, "%s: at the end none is the oldest", what);
}

static void close_all_peers(void)
{
    int i;

    for (i = 0; i < IDS; i++) {
        shut(&peers[i].client, 1);
        shut(&peers[i].server, 1);
    }
}

static void nothing_left(const char *what)
{
    close_all_peers();
    check_all_over(what);
    is_int(late, 0, "nothing was waited for in vain");
    is_int(wrongly_drained, 0, "nothing was copied to be discarded");
    late = 0;
    is_int(DESCRIPTORS, descriptors_before, "no descriptor is left");
    AWAIT(THREADS == threads_before);
    is_int(THREADS, threads_before, "no thread is left");
}

static void finish(const char *what)
{
    fw2_closer_stop(closer, 0);
    nothing_left(what);
}

/* ------------------------------------------------------------ what peers do */

static void test_peer_ends(void)
{
    int id;

    begin(8);
    id = connected();
    client_closes(id);
    arrives(id);
    give(id, staying(NEVER, NEVER));
    ends(id, FW2_PEER_CLOSED, "a peer that has closed");
    is_int(seen(&watch.recvs), 1, "it is read once");
    id = connected();
    client_resets(id);
    arrives(id);
    give(id, staying(NEVER, NEVER));
    ends(id, FW2_PEER_RESET, "a peer that has reset");
    id = given(staying(NEVER, NEVER));
    AWAIT(listed() == 1);
    client_closes(id);
    ends(id, FW2_PEER_CLOSED, "a peer that closes");
    id = given(staying(NEVER, NEVER));
    AWAIT(listed() == 1);
    client_resets(id);
    ends(id, FW2_PEER_RESET, "a peer that resets");
    id = given(staying(NEVER, NEVER));
    AWAIT(listed() == 1);
    client_says(id, 100000);
    client_closes(id);
    /* its end: our FIN is nothing unread, so this is no reset */
    ends_after(id, FW2_PEER_CLOSED, 100000, "a peer that sends and closes");
    is_int(listed(), 0, "none is in the epoll set");
    AWAIT(!oldest());
    finish("closed and reset");
}

static void test_acked(void)
{
    long sent;
    int id;

    begin(8);
    id = given(until_acked());
    ends_after(id, FW2_ACKED, 0, "a silent peer that has everything");
    is_int(client_reads(id), 0, "which saw our FIN");
    id = shut_window(&sent);
    give(id, until_acked());
    AWAIT(listed() == 1);
    AWAIT(oldest());
    ok(oldest() != 0, "one is the oldest");
    ok(!is_ended(id), "a peer that has not everything is waited for");
    is_int(client_reads(id), sent, "until it reads");
    ends_after(id, FW2_ACKED, 0, "which ends it");
    id = connected();
    client_says(id, 5);
    arrives(id);
    give(id, until_acked());
    AWAIT(listed() == 1);
    ok(!is_ended(id), "a peer that has spoken may say more");
    client_says(id, 7);
    client_closes(id);
    ends_after(id, FW2_PEER_CLOSED, 12, "until it closes");
    id = shut_window(&sent);
    give(id, until_acked());
    AWAIT(listed() == 1);
    client_says(id, 5);
    is_int(client_reads(id), sent, "so may one that speaks, then reads");
    client_closes(id);
    ends_after(id, FW2_PEER_CLOSED, 5, "it closes");
    finish("acknowledged");
}

static int interrupted;
static int saying;

/* Between the closer's recv() and whatever it does then: all is acknowledged,
 * and the peer says something. */
static void meanwhile(void)
{
    AWAIT(client_reads(interrupted) >= 0);
    client_says(interrupted, 1);
    AWAIT(asks(peers[interrupted].server, SIOCINQ) == 1
          && !asks(peers[interrupted].server, SIOCOUTQ));
    set(&saying, 1);
}

static void test_word_with_ack(void)
{
    plan p = until_acked();
    long sent;
    int id;

    begin(8);
    id = interrupted = shut_window(&sent);
    call_after_recv(meanwhile);
    is_int(try_give(id, &p), APR_SUCCESS, "taken");
    AWAIT(seen(&saying));
    client_closes(id);
    ends_after(id, FW2_PEER_CLOSED, 1, "a word that comes with the last ACK");
    finish("a word with the last ACK");
}

static void test_silence(void)
{
    plan p = staying(50 * MSEC, NEVER);
    int id, talked;

    begin(8);
    id = given(p);
    ends_after(id, FW2_SILENCE, 0, "a silent peer");
    p.until_acked = 1;
    talked = connected();
    client_says(talked, 3);
    arrives(talked);
    give(talked, p);
    ends_after(talked, FW2_SILENCE, 3, "one that says one word");
    p = staying(NEVER, 50 * MSEC);
    ends(given(p), FW2_TOTAL, "no silence is too long, but the total is");
    p = staying(NEVER, NEVER);
    p.once_acked = 50 * MSEC;
    ends(given(p), FW2_TOTAL, "nor is the total, but what is shorter");
    p = staying(NEVER, 50 * MSEC);
    p.once_acked = NEVER;
    ends(given(p), FW2_TOTAL, "which makes no total longer");
    finish("silence");
}

/* Peers that have sent so much that their bytes do not wake us any more. */
static int calmed(plan p)
{
    int id = connected();

    if (try_give(id, &p) != APR_SUCCESS) {
        ok(0, "taken");
    }
    client_says(id, 2 * 1024 * 1024);
    AWAIT(option(peers[id].server, SO_RCVLOWAT) > 1);
    ok(option(peers[id].server, SO_RCVLOWAT) > 1, "calmed");
    original_closes(id);
    return id;
}

static void test_talkers(void)
{
    int talker, uploader, silent;

    begin(8);
    silent = calmed(staying(600 * MSEC, 1100 * MSEC));
    client_says(silent, 1000); /* which wakes nobody */
    uploader = calmed(staying(1000 * MSEC, 1500 * MSEC));
    talker = given(staying(1000 * MSEC, 1500 * MSEC));
    do {
        client_says(talker, 1);
        client_says(uploader, 1);
    } while (usleep(1000) || !is_ended(talker) || !is_ended(uploader));
    ends(talker, FW2_TOTAL, "a peer that goes on talking");
    ends(uploader, FW2_TOTAL, "a calmed one that does");
    ends_after(silent, FW2_SILENCE, 2 * 1024 * 1024 + 1000,
               "a calmed silent one");
    finish("talkers");
}

static void test_bytes(void)
{
    plan p = staying(NEVER, NEVER);
    int id;

    p.policy.linger_bytes = 100000;
    begin(8);
    id = given(p);
    AWAIT(listed() == 1);
    client_says(id, 100000);
    client_closes(id);
    ends_after(id, FW2_PEER_CLOSED, 100000, "as many bytes as allowed");
    id = connected();
    client_says(id, 100001);
    AWAIT(asks(peers[id].server, SIOCINQ) == 100001);
    give(id, p);
    ends_after(id, FW2_BYTES, 100001, "one more");
    id = given(p);
    client_says(id, 64 * 1024 * 1024);
    ends(id, FW2_BYTES, "a flood");
    finish("bytes");
}

/* --------------------------------------------------------------- floods -- */

typedef struct flood {
    int id;
    apr_uint64_t sent;
    apr_uint32_t stop; /* atomic */
} flood;

static void *flooding(void *data)
{
    static const char bytes[65536];
    flood *f = data;

    while (!apr_atomic_read32(&f->stop)) {
        ssize_t n = send(peers[f->id].client, bytes, sizeof(bytes),
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n > 0) {
            f->sent += (apr_uint64_t)n;
        }
        else if (errno == EAGAIN) {
            usleep(200);
        }
        else {
            break;
        }
    }
    client_closes(f->id);
    return NULL;
}

/* A peer that floods from now on, as long as it is let. */
static void start_flood(flood *f, pthread_t *thread, plan p)
{
    int buffer = 65536;

    f->id = connected();
    f->sent = f->stop = 0;
    set(&watch.asked, 0);
    setsockopt(peers[f->id].client, SOL_SOCKET, SO_SNDBUF, &buffer,
               sizeof(buffer));
    if (try_give(f->id, &p) != APR_SUCCESS) {
        ok(0, "taken");
    }
    start_thread(thread, flooding, f);
}

static void stop_flood(flood *f, pthread_t thread)
{
    apr_atomic_set32(&f->stop, 1);
    pthread_join(thread, NULL);
    original_closes(f->id);
}

#define FLOODS 2

static void polite_ones_during_a_flood(void)
{
    int polite[40], i, n = 0;

    for (i = 0; i < 40; i++) {
        polite[i] = given(i % 2 ? until_acked() : staying(50 * MSEC, NEVER));
    }
    for (i = 0; i < 40; i++) {
        n += !strcmp(ending_of(polite[i]), i % 2 ? "acked" : "silence");
    }
    is_int(n, 40, "a flood starves nobody");
}

static void test_floods(void)
{
    flood floods[FLOODS];
    pthread_t threads[FLOODS];
    int i;

    begin(100);
    for (i = 0; i < FLOODS; i++) {
        start_flood(&floods[i], &threads[i], staying(NEVER, NEVER));
    }
    polite_ones_during_a_flood();
    AWAIT(!listed()); /* they have all been */
    is_int(listed(), 0, "an endless flood does not wake us any more");
    for (i = 0; i < FLOODS; i++) {
        ok(option(peers[floods[i].id].server, SO_RCVBUF) <= MB,
           "and has little in the kernel");
    }
    polite_ones_during_a_flood();
    for (i = 0; i < FLOODS; i++) {
        stop_flood(&floods[i], threads[i]);
        ends_after(floods[i].id, FW2_PEER_CLOSED, (long long)floods[i].sent,
                   "every byte of it is counted");
    }
    finish("floods");
}

/* Until the only flood is one that is not read in large turns any more. */
static void is_slow(void)
{
    AWAIT(seen(&watch.asked) && seen(&watch.asked) < MB);
    is_int(listed(), 0, "it does not wake us any more");
}

/* Twice what the clock allows, and far less than loopback can. */
static void is_paced(int id, const char *what)
{
    fw2_ended how = watch.of[id].how;
    double most = FLOOD + 2.0 * MB + 25.0 * MB * (double)how.lingered / 1e6;

    ok((double)how.drained <= most, "%s is bounded: %d MB in %d ms", what,
       (int)(how.drained / MB), (int)(how.lingered / MSEC));
}

static void test_flood_ends(void)
{
    plan p = staying(NEVER, NEVER);
    pthread_t thread;
    flood f;
    int id;

    p.policy.linger_bytes = FLOOD + 4 * MB;
    begin(1);
    start_flood(&f, &thread, staying(NEVER, 2000 * MSEC));
    ends(f.id, FW2_TOTAL, "a flood in its total time");
    is_paced(f.id, "it");
    stop_flood(&f, thread);
    start_flood(&f, &thread, p);
    ends_after(f.id, FW2_BYTES, FLOOD + 4 * MB + 1, "one in its bytes");
    is_paced(f.id, "it");
    stop_flood(&f, thread);
    start_flood(&f, &thread, staying(NEVER, NEVER));
    is_slow();
    id = given(staying(NEVER, NEVER));
    ends(f.id, FW2_EVICTED, "one whose place is needed");
    stop_flood(&f, thread);
    client_closes(id);
    ends(id, FW2_PEER_CLOSED, "by another");
    start_flood(&f, &thread, staying(NEVER, NEVER));
    is_slow();
    fw2_closer_stop(closer, 0);
    ends(f.id, FW2_STOPPED, "one when we stop");
    stop_flood(&f, thread);
    nothing_left("how floods end");
}

/* One that has flooded, but does not go on; all is read. */
static int flooded(plan p)
{
    int id = connected();

    set(&watch.asked, 0);
    if (try_give(id, &p) != APR_SUCCESS) {
        ok(0, "taken");
    }
    client_says(id, FLOOD + 3 * MB);
    is_slow();
    AWAIT(!asks(peers[id].client, SIOCOUTQ)
          && !asks(peers[id].server, SIOCINQ));
    original_closes(id);
    return id;
}

static void test_after_a_flood(void)
{
    plan p = staying(NEVER, NEVER);
    long sent;
    int id;

    begin(4);
    id = flooded(staying(1500 * MSEC, NEVER));
    set(&watch.recv_gate, 1);
    AWAIT(seen(&watch.at_recv));
    client_says(id, 400000); /* more than is read at once */
    usleep(2000000);         /* long enough to have been silent */
    set(&watch.recv_gate, 0);
    ends_after(id, FW2_SILENCE, FLOOD + 3 * MB + 400000,
               "it is silent, once all is read");
    id = flooded(p);
    client_resets(id);
    ends(id, FW2_PEER_RESET, "it resets");
    p.policy.user_timeout = 1000 * MSEC;
    id = shut_window(&sent);
    give(id, p);
    client_says(id, FLOOD + 3 * MB);
    ends(id, FW2_SILENCE, "it does not read");
    is_int(client_reads(id), -ECONNRESET, "and is reset");
    is_int(listed(), 0, "none is in the epoll set");
    finish("after floods");
}

/* ---------------------------------------------------------- shut windows -- */

static void test_shut_window(void)
{
    plan p = staying(20 * MSEC, 100 * MSEC), q = p;
    long sent, sent_to_other;
    int id, other;

    begin(8);
    id = shut_window(&sent);
    give(id, p);
    p.policy.user_timeout = 100 * MSEC;
    other = shut_window(&sent_to_other);
    give(other, p);
    ends(id, FW2_TOTAL, "a peer that does not read");
    is_int(client_reads(id), sent, "the kernel goes on: it gets all");
    ends(other, FW2_SILENCE, "one that acknowledges nothing for too long");
    is_int(client_reads(other), -ECONNRESET, "it is reset");
    q.policy.socket_linger = 5;
    id = shut_window(&sent);
    setsockopt(peers[id].server, SOL_SOCKET, SO_LINGER,
               &(struct linger){ 1, 5 }, sizeof(struct linger));
    give(id, q);
    ends(id, FW2_TOTAL, "SO_LINGER with seconds");
    ok(watch.of[id].how.lingered < 4000 * MSEC, "does not hold us up");
    is_int(client_reads(id), sent, "and truncates nothing");
    finish("shut windows");
}

/* What it says once we have closed would draw a reset. */
static void test_shorter_total(void)
{
    plan p = staying(NEVER, NEVER);
    long sent;
    int id;

    p.once_acked = 20 * MSEC;
    begin(4);
    id = shut_window(&sent);
    give(id, p);
    ends(given(p), FW2_TOTAL, "of one that has everything, the time is over");
    ok(!is_ended(id), "of one that was here before and has not, it is not");
    client_says(id, 10);
    is_int(client_reads(id), sent, "that one says something and gets all");
    ends_after(id, FW2_TOTAL, 10, "and then its time begins");
    finish("a shorter total");
}

static void test_closed_and_shut(void)
{
    plan p = staying(NEVER, NEVER);
    long sent;
    int id;

    begin(8);
    id = shut_window(&sent);
    shutdown(peers[id].client, SHUT_WR);
    arrives(id);
    give(id, p);
    ends(id, FW2_PEER_CLOSED, "a peer that has closed, but does not read");
    is_int(client_reads(id), sent, "gets all");
    p.policy.user_timeout = 100 * MSEC;
    id = shut_window(&sent);
    shutdown(peers[id].client, SHUT_WR);
    arrives(id);
    give(id, p);
    ends(id, FW2_SILENCE, "and has its time to acknowledge, no more");
    is_int(client_reads(id), -ECONNRESET, "then it is reset");
    p.policy.user_timeout = NEVER;
    id = shut_window(&sent);
    shutdown(peers[id].client, SHUT_WR);
    arrives(id);
    give(id, p);
    is_int(client_reads(id), sent, "one that reads after it has closed");
    ends(id, FW2_PEER_CLOSED, "has everything");
    id = shut_window(&sent);
    shutdown(peers[id].client, SHUT_WR);
    arrives(id);
    give(id, p);
    AWAIT(listed() == 1);
    client_resets(id);
    ok(!strcmp(ending_of(id), "peer_closed")
           || !strcmp(ending_of(id), "peer_reset"),
       "one that resets after it has closed");
    finish("closed behind a shut window");
}

/* It reads all within about so long, and some in every millisecond. */
static long reads_slowly(int id, long all, apr_interval_time_t within)
{
    apr_time_t begun = apr_time_now(), until = deadline();
    char bytes[65536];
    long sum = 0;
    ssize_t n = 1;

    while (n > 0 && nap(until)) {
        long due = (long)((double)all * (double)(apr_time_now() - begun)
                          / (double)within);

        while (n > 0 && sum <= due) {
            n = recv(peers[id].client, bytes, 2048, 0);
            sum += n > 0 ? n : 0;
        }
    }
    return n < 0 ? -errno : sum;
}

static void test_slow_reader(void)
{
    plan p = staying(20 * MSEC, 50 * MSEC);
    long sent;
    int id;

    p.policy.user_timeout = 500 * MSEC;
    begin(8);
    p.until_acked = 1;
    id = shut_window(&sent);
    give(id, p);
    is_int(reads_slowly(id, sent, 1500 * MSEC), sent,
           "a slow reader gets all, after all times");
    ends(id, FW2_ACKED, "and then it is over");
    p.until_acked = 0;
    id = shut_window(&sent);
    give(id, p);
    is_int(client_reads(id), sent, "one that reads in time gets all, too");
    ok(!strcmp(ending_of(id), "silence") || !strcmp(ending_of(id), "total"),
       "and then its silence counts: %s", ending_of(id));
    is_int(client_reads(id), 0, "no reset");
    finish("slow readers");
}

/* ------------------------------------------------------------- eviction -- */

static void test_eviction(void)
{
    plan p = staying(NEVER, NEVER);
    int ids[7], i;

    begin(4);
    is_int(fw2_closer_slots(closer), 4, "4 slots");
    for (i = 0; i < 4; i++) {
        ids[i] = given(p);
    }
    AWAIT(listed() == 4);
    client_closes(ids[1]);
    ends(ids[1], FW2_PEER_CLOSED, "the second oldest goes");
    for (i = 4; i < 7; i++) {
        ids[i] = given(p);
    }
    is_int(watch.order[1], ids[0], "the oldest is evicted");
    is_int(watch.order[2], ids[2], "then the next");
    ends(ids[0], FW2_EVICTED, "evicted");
    ends(ids[2], FW2_EVICTED, "evicted");
    client_closes(ids[3]);
    client_closes(ids[6]);
    ends(ids[3], FW2_PEER_CLOSED, "those left are well");
    ends(ids[6], FW2_PEER_CLOSED, "all of them");
    finish("eviction");
}

static void is_refused(int id, const plan *p, apr_status_t why,
                       const char *what)
{
    is_int(try_give(id, p), why, what);
    client_says(id, 3);
    arrives(id);
    ok(asks(peers[id].server, SIOCINQ) == 3 && !watch.of[id].taken,
       "the descriptor is the caller's, and usable");
}

static void *take_one(void *data)
{
    plan p = staying(NEVER, NEVER);
    int id = *(int *)data;

    return (void *)(intptr_t)try_give(id, &p);
}

/* What it had said by then, and nobody had read, does not reset it. */
static void test_unread(void)
{
    plan p = staying(NEVER, NEVER);
    int evicted, stopped;

    begin(1);
    evicted = connected();
    client_says(evicted, 70000);
    give(evicted, p);
    stopped = connected();
    client_says(stopped, 70000);
    give(stopped, p);
    ends_after(evicted, FW2_EVICTED, 70000, "evicted before it is looked at");
    is_int(client_reads(evicted), 0, "it sees the end, and no reset");
    fw2_closer_stop(closer, 0);
    ends_after(stopped, FW2_STOPPED, 70000, "stopped before that");
    is_int(client_reads(stopped), 0, "the end here, too");
    close_all_peers();
    nothing_left("unread");
}

/* A fork has all that the closer has but its thread. */
static void test_fork(void)
{
    plan p = staying(NEVER, NEVER);
    int id, status = -1;
    pid_t pid;

    begin(4);
    id = connected();
    pid = fork();
    if (pid == 0) {
        int refused = try_give(id, &p) == APR_ENOTHREAD;

        fw2_closer_stop(closer, NEVER);
        _exit(refused ? 0 : 1);
    }
    AWAIT(waitpid(pid, &status, WNOHANG) == pid);
    is_int(status, 0, "in a fork none is taken, and none waits to stop");
    give(id, p);
    client_closes(id);
    ends(id, FW2_PEER_CLOSED, "whoever started it goes on");
    finish("a fork");
}

/* Not the order in which they came, but each one's own time. */
static void test_mixed_times(void)
{
    static const int idle[] = { 900, 300, 600 }, order[] = { 1, 2, 0 };
    int ids[3], i;

    begin(4);
    for (i = 0; i < 3; i++) {
        ids[i] = given(staying(idle[i] * MSEC, NEVER));
    }
    for (i = 0; i < 3; i++) {
        ends(ids[i], FW2_SILENCE, "its own time is over");
        ok(watch.of[ids[i]].how.lingered >= idle[i] * MSEC,
           "and not before: %d ms",
           (int)(watch.of[ids[i]].how.lingered / MSEC));
        is_int(watch.order[i], ids[order[i]], "in the order of times");
    }
    finish("mixed times");
}

static void test_nothing_to_evict(void)
{
    plan p = staying(NEVER, NEVER);
    pthread_t thread;
    void *rv;
    int first, other;

    begin(1);
    first = connected();
    other = connected();
    set(&watch.gate, 1);
    start_thread(&thread, take_one, &first);
    AWAIT(seen(&watch.at_gate));
    is_refused(other, &p, APR_ENOSPC, "the only slot is being filled");
    set(&watch.recv_gate, 1);
    set(&watch.gate, 0);
    pthread_join(thread, &rv);
    is_int((intptr_t)rv, APR_SUCCESS, "it is filled");
    AWAIT(seen(&watch.at_recv));
    other = connected();
    is_refused(other, &p, APR_ENOSPC, "the only slot is being looked at");
    set(&watch.recv_gate, 0);
    AWAIT(listed() == 1);
    give(connected(), p);
    ends(first, FW2_EVICTED, "then it can be evicted");
    finish("nothing to evict");
}

/* An event is fetched already when its socket is evicted, and while its slot
 * is nobody's. */
static void test_stale_event(void)
{
    int stale, first, at, next;
    pthread_t thread;

    begin(3);
    stale = given(staying(NEVER, NEVER));
    first = given(staying(NEVER, NEVER));
    at = given(staying(NEVER, NEVER));
    AWAIT(listed() == 3);
    usleep(20000); /* let it sleep: else it is at another's recv() */
    set(&watch.recv_gate, 1);
    client_closes(at);
    AWAIT(seen(&watch.at_recv) == 1);
    client_says(first, 1);
    client_says(stale, 1);
    set(&watch.recv_gate, 2);
    ends(at, FW2_PEER_CLOSED, "it looks at one");
    AWAIT(seen(&watch.at_recv) == 2);
    at = given(staying(NEVER, NEVER));
    next = connected();
    set(&watch.gate, 1);
    start_thread(&thread, take_one, &next);
    AWAIT(seen(&watch.at_gate));
    ends_after(stale, FW2_EVICTED, 1, "evicted between event and look");
    set(&watch.recv_gate, 0);
    client_closes(first);
    ends_after(first, FW2_PEER_CLOSED, 1, "the first event was for another");
    set(&watch.gate, 0);
    pthread_join(thread, NULL);
    client_closes(at);
    client_closes(next);
    ends(at, FW2_PEER_CLOSED, "it goes on");
    ends(next, FW2_PEER_CLOSED, "with the slot's next user, too");
    finish("a stale event");
}

static int dozing;

/* Nothing that happens meanwhile happens before what comes after it, for
 * TSan's eyes. */
static void doze(void)
{
    set(&dozing, 1);
    usleep(100000);
}

static void test_taken_meanwhile(void)
{
    int id;

    begin(2);
    id = given(staying(NEVER, NEVER));
    AWAIT(listed() == 1);
    AWAIT(oldest());
    usleep(20000); /* let it sleep: the next is to be the one it dozes over */
    call_after_recv(doze);
    given(staying(NEVER, NEVER));
    AWAIT(seen(&dozing));
    given(staying(NEVER, NEVER));
    ends(id, FW2_EVICTED, "evicted while another is looked at");
    finish("evicted and taken while another is looked at");
}

/* ----------------------------------------------------------------- many -- */

typedef struct crowd {
    int first, n;
    int polite; /* these many kinds of peers only */
    int failed, unexpected;
} crowd;

static plan plan_of(int kind)
{
    plan p = staying(NEVER, NEVER);

    p.until_acked = kind == 0;
    p.policy.linger_idle = kind == 3 ? 100 * MSEC : NEVER;
    p.policy.linger_bytes = kind == 5 ? 1000 : FW2_BYTES_UNLIMITED;
    p.once_acked = kind == 6 ? 100 * MSEC : 0;
    return p;
}

#define KINDS 7

static void act(int id, int kind)
{
    if (kind == 4 || kind == 5) {
        client_says(id, 1000 + (size_t)id);
    }
    if (kind == 1 || kind == 4) {
        client_closes(id);
    }
    if (kind == 2) {
        client_resets(id);
    }
}

static void *crowding(void *data)
{
    crowd *c = data;
    int at = listen_here(), i;

    for (i = c->first; i < c->first + c->n; i++) {
        plan p = plan_of(i % KINDS);

        join_up(i, at, 0);
        if (i % 2) {
            act(i, i % KINDS);
        }
        c->failed += try_give(i, &p) != APR_SUCCESS;
        original_closes(i);
        if (!(i % 2)) {
            act(i, i % KINDS);
        }
    }
    close(at);
    return NULL;
}

static int as_expected(int id)
{
    static const fw2_ending endings[KINDS] = {
        FW2_ACKED,       FW2_PEER_CLOSED, FW2_PEER_RESET, FW2_SILENCE,
        FW2_PEER_CLOSED, FW2_BYTES,       FW2_TOTAL,
    };
    const fw2_ended *how = &watch.of[id].how;
    int kind = id % KINDS;

    if (strcmp(ending_of(id), fw2_ending_names[endings[kind]]) != 0) {
        return 0;
    }
    return how->drained == (kind == 4 ? 1000 + (apr_uint64_t)id : 0)
           || (kind == 5 && how->drained > 1000);
}

#define TAKERS 4

/* So many takers at once; returns how many were refused. */
static int crowds(int n)
{
    pthread_t threads[TAKERS];
    crowd all[TAKERS];
    int i, failed = 0;

    for (i = 0; i < TAKERS; i++) {
        memset(&all[i], 0, sizeof(all[i]));
        all[i].first = 1 + i * (n / TAKERS);
        all[i].n = n / TAKERS;
        start_thread(&threads[i], crowding, &all[i]);
    }
    for (i = 0; i < TAKERS; i++) {
        pthread_join(threads[i], NULL);
        failed += all[i].failed;
    }
    return failed;
}

static void test_many(void)
{
    int i, as = 0, n = MANY;

    while (2 * n + 100 > 2 * fw2_closer_auto_slots()) {
        n /= 2;
    }
    begin(n);
    is_int(crowds(n), 0, "all are taken");
    for (i = 1; i <= n; i++) {
        as += as_expected(i);
    }
    ok(as == n, "%d of %d sockets at once ended as expected", as, n);
    is_int(listed(), 0, "none is in the epoll set");
    finish("many");
    begin(TAKERS + 4); /* that many cannot all be busy or filled */
    is_int(crowds(n / 2), 0, "all are taken, with few slots");
    finish("many, with few slots");
}

/* ------------------------------------------------------------- stopping -- */

static void *stop_patiently(void *data)
{
    fw2_closer_stop(closer, *(apr_interval_time_t *)data);
    return NULL;
}

static void given_many(plan p, int n)
{
    while (n-- > 0) {
        given(p);
    }
}

static int ended_by(fw2_ending ending)
{
    int i, n = 0;

    pthread_mutex_lock(&watch_lock);
    for (i = 0; i < next_id; i++) {
        n += watch.of[i].ended && watch.of[i].how.ending == ending;
    }
    pthread_mutex_unlock(&watch_lock);
    return n;
}

static void test_stop(void)
{
    plan p = staying(NEVER, NEVER);
    int one_more;

    begin(20);
    fw2_closer_stop(closer, NEVER);
    nothing_left("stopped with nothing in hand");
    begin(20);
    given_many(p, 20);
    one_more = connected();
    fw2_closer_stop(closer, 0);
    is_int(ended_by(FW2_STOPPED), 20, "a fast stop");
    is_refused(one_more, &p, APR_EOF, "then none is taken");
    nothing_left("a fast stop");
    begin(20);
    given_many(staying(100 * MSEC, NEVER), 20);
    fw2_closer_stop(closer, NEVER);
    is_int(ended_by(FW2_SILENCE), 20, "a patient stop");
    nothing_left("a patient stop");
    begin(20);
    given_many(p, 10);
    given_many(until_acked(), 10);
    fw2_closer_stop(closer, 100 * MSEC);
    ok(ended_by(FW2_STOPPED) == 10 && ended_by(FW2_ACKED) == 10,
       "a patience that ends");
    nothing_left("a patience that ends");
    begin(20);
    given_many(p, 20);
    fw2_closer_hurry(closer);
    fw2_closer_stop(closer, NEVER);
    is_int(ended_by(FW2_STOPPED), 20, "hurried before it stops");
    nothing_left("hurried before it stops");
}

/* Until a stop that another thread is in is seen. */
static void await_stopping(int id)
{
    plan p = staying(NEVER, NEVER);
    apr_status_t rv;

    AWAIT((rv = try_give(id, &p)) == APR_EOF || rv == APR_SUCCESS);
    is_int(rv, APR_EOF, "none is taken while it stops");
}

static void hurry_by_signal(int number)
{
    if (number == SIGUSR1) {
        fw2_closer_hurry(closer);
    }
}

static int is_stopping(void)
{
    return seen(&watch.ended) > 0;
}

static void test_hurry(void)
{
    apr_interval_time_t patience = NEVER;
    pthread_t thread;
    int id;

    begin(30);
    given_many(staying(NEVER, NEVER), 20);
    id = given(staying(NEVER, NEVER));
    signal(SIGUSR1, hurry_by_signal);
    start_thread(&thread, stop_patiently, &patience);
    usleep(20000); /* let it: else it would be hurried before it stops */
    client_closes(id);
    AWAIT(is_stopping());
    await_stopping(connected());
    is_int(ended_by(FW2_STOPPED), 0, "it is patient");
    raise(SIGUSR1);
    pthread_join(thread, NULL);
    signal(SIGUSR1, SIG_DFL);
    is_int(ended_by(FW2_STOPPED), 20, "hurried while it stops");
    nothing_left("hurried while it stops");
}

/* It stops while another is on its way in. */
static void test_stop_meanwhile(void)
{
    apr_interval_time_t patience = 0;
    pthread_t thread, stopper;
    void *rv;
    int id, turn;

    for (turn = 0; turn < 2; turn++) {
        begin(4);
        id = connected();
        set(&watch.gate, 1);
        start_thread(&thread, take_one, &id);
        AWAIT(seen(&watch.at_gate));
        patience = turn ? NEVER : 0;
        if (turn) {
            fw2_closer_hurry(closer);
        }
        start_thread(&stopper, stop_patiently, &patience);
        usleep(50000); /* let it stop, if it is so careless */
        set(&watch.gate, 0);
        pthread_join(thread, &rv);
        pthread_join(stopper, NULL);
        is_int((intptr_t)rv, APR_SUCCESS, "taken while it stops");
        ok(is_ended(id), "and ended");
        nothing_left("a stop while one is taken");
    }
}

/* Another is hurried between its setting the timer and its decision to: then
 * it is the last to set it, but not to a later time. */
static void test_hurry_meanwhile(void)
{
    apr_interval_time_t patience = NEVER;
    pthread_t thread, stopper;
    int id;

    begin(4);
    given(staying(NEVER, NEVER));
    AWAIT(listed() == 1);
    id = connected();
    set(&watch.gate, 1);
    start_thread(&thread, take_one, &id);
    AWAIT(seen(&watch.at_gate));
    start_thread(&stopper, stop_patiently, &patience);
    usleep(50000); /* let it stop, and its thread sleep again */
    set(&watch.set_gate, 1);
    set(&watch.gate, 0);
    AWAIT(seen(&watch.at_set));
    fw2_closer_hurry(closer);
    set(&watch.set_gate, 0);
    pthread_join(thread, NULL);
    pthread_join(stopper, NULL);
    ok(seen(&watch.set_past), "a hurry is not put off");
    is_int(ended_by(FW2_STOPPED), 2, "all are stopped");
    nothing_left("a hurry while one is taken");
}

/* ------------------------------------------------------- the MPM is late -- */

static void test_late_original(void)
{
    plan p = staying(20 * MSEC, NEVER);
    int i, id, n = 0;
    char byte;

    begin(8);
    for (i = 0; i < 100; i++) {
        id = connected();
        n += try_give(id, &p) == APR_SUCCESS;
        if (i % 4 == 3) {
            AWAIT(is_ended(id));
        }
        if (i % 8 == 7) { /* when all their numbers are free to be used again */
            client_says(id, 1);
            arrives(id);
            n -= recv(peers[id].server, &byte, 1, 0) != 1;
        }
    }
    is_int(n, 100, "originals are usable after their duplicates are closed");
    for (i = 0; i < 100; i++) {
        ending_of(i);
    }
    is_int(listed(), 0, "none of them is in the epoll set");
    for (i = 0; i < 100; i++) {
        client_says(i, 10);
        if (i % 2) {
            original_closes(i);
        }
    }
    id = given(staying(NEVER, NEVER));
    client_says(id, 1);
    client_closes(id);
    ends_after(id, FW2_PEER_CLOSED, 1, "and none disturbs the next");
    finish("late originals");
}

/* ------------------------------------------------------------------ rest -- */

/* How often the closer's thread slept. */
static long switches(void)
{
    char line[256];
    long n = -1;
    FILE *status;

    snprintf(line, sizeof(line), "/proc/self/task/%d/status",
             (int)seen(&watch.thread));
    status = fopen(line, "r");
    while (status && fgets(line, sizeof(line), status)) {
        if (!strncmp(line, "voluntary_ctxt_switches:", 24)) {
            n = strtol(line + 24, NULL, 10);
        }
    }
    if (status) {
        fclose(status);
    }
    return n;
}

static void is_asleep(const char *what)
{
    apr_time_t until = apr_time_now() + 300 * MSEC;
    long before = -1;

    AWAIT(before == switches() || ((before = switches()), usleep(20000), 0));
    while (nap(until)) {
    }
    is_int(switches(), before, what);
}

static void test_no_ticks(void)
{
    int id;

    begin(8);
    id = given(staying(NEVER, NEVER));
    AWAIT(oldest());
    client_closes(id);
    ends(id, FW2_PEER_CLOSED, "one came and went");
    AWAIT(!oldest());
    is_asleep("no tick while it holds none");
    given(staying(NEVER, NEVER));
    AWAIT(listed() == 1);
    is_asleep("nor while nothing happens to what it holds");
    finish("no ticks");
}

static void test_batches(void)
{
    apr_time_t begun;
    int i, sets;

    begin(100);
    begun = fw2_closer_now();
    for (i = 0; i < 100; i++) {
        given(staying(NEVER, NEVER));
    }
    sets = seen(&watch.sets);
    ok(sets <= 1 + (fw2_closer_now() - begun) / BATCH,
       "100 sockets: woken %d times", sets);
    AWAIT(listed() == 100);
    is_int(listed(), 100, "all are looked at");
    finish("batches");
}

static unsigned int lcg(void)
{
    static unsigned int x = 12345; /* the same numbers in every run */

    x = x * 1103515245u + 12345u;
    return x >> 8;
}

#define SLOTS 100

/* That the one on top is due first, and all know their place. */
static int heap_wrong(const fw2_heap *heap, const int *in)
{
    int i, n = 0, wrong = 0;

    for (i = 0; i < heap->n; i++) {
        wrong += heap->held[heap->slots[i]].place != i;
    }
    for (i = 0; i < SLOTS; i++) {
        n += in[i];
        wrong += in[i] && heap->held[heap->slots[0]].due > heap->held[i].due;
    }
    return wrong + (n != heap->n);
}

static void test_heap(void)
{
    static fw2_held held[SLOTS];
    int slots[SLOTS], in[SLOTS] = { 0 }, i, wrong = 0;
    fw2_heap heap = { held, slots, 0 };

    for (i = 0; i < 20000; i++) {
        int slot = (int)(lcg() % SLOTS);
        int what = (int)(lcg() % 3);

        if (!in[slot]) {
            held[slot].due = lcg() % 50;
            fw2_heap_add(&heap, slot);
            in[slot] = 1;
        }
        else if (what) {
            held[slot].due = lcg() % 50;
            fw2_heap_move(&heap, slot);
        }
        else {
            fw2_heap_remove(&heap, slot);
            in[slot] = 0;
        }
        wrong += heap_wrong(&heap, in);
    }
    is_int(wrong, 0, "a heap");
}

static void test_sizes(void)
{
    int i, named = 0;

    ok(sizeof(fw2_held) + sizeof(int) <= 256, "%d bytes each",
       (int)(sizeof(fw2_held) + sizeof(int)));
    for (i = 0; i < FW2_ENDINGS; i++) {
        named += fw2_ending_names[i] && *fw2_ending_names[i];
    }
    is_int(named, FW2_ENDINGS, "all endings have names");
    is_str(fw2_ending_names[FW2_STOPPED], "stopped", "theirs");
}

/* ---------------------------------------------------- in another process -- */

#define FINE "fine"
#define NEED(is_so)                                                            \
    do {                                                                       \
        if (!(is_so)) {                                                        \
            return "not so: " #is_so;                                          \
        }                                                                      \
    } while (0)

/* What a child says, that may set limits and filters for itself. */
static void in_child(const char *(*body)(void), const char *what)
{
    char said[256] = "";
    int ends_[2], status = 0;
    ssize_t n;
    pid_t child;

    if (pipe(ends_) || (child = fork()) < 0) {
        bail("a child");
    }
    if (child == 0) {
        const char *text;

        alarm(60);
        have_threads();
        text = body();
        _exit(write(ends_[1], text, strlen(text)) < 0);
    }
    close(ends_[1]);
    n = read(ends_[0], said, sizeof(said) - 1);
    close(ends_[0]);
    waitpid(child, &status, 0);
    is_str(n > 0 && !status ? said : "it died", FINE, what);
}

static const char *over(void)
{
    int i;

    close_all_peers();
    NEED(!late);
    NEED(!watch.wrong);
    NEED(watch.taken == watch.ended);
    for (i = 0; i < IDS; i++) {
        NEED(watch.of[i].taken == watch.of[i].ended);
    }
    NEED(DESCRIPTORS == descriptors_before);
    AWAIT(THREADS == threads_before);
    NEED(THREADS == threads_before);
    return FINE;
}

static const char *stopped(void)
{
    fw2_closer_stop(closer, 0);
    return over();
}

static void limit_descriptors(int n)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = (rlim_t)n;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* From now on no descriptor can be had but `more`. */
static void no_descriptors_but(int more)
{
    int fd = dup(0);

    close(fd);
    limit_descriptors(fd + more);
}

static const char *without_descriptors(void)
{
    plan p = staying(NEVER, NEVER);
    int first, second, third, limit;

    begin(8);
    first = connected();
    second = connected();
    third = connected();
    limit = 2 * fw2_closer_auto_slots();
    no_descriptors_but(0);
    NEED(try_give(first, &p) == EMFILE);
    NEED(!watch.taken);
    client_says(first, 3);
    arrives(first);
    NEED(asks(peers[first].server, SIOCINQ) == 3);
    limit_descriptors(limit);
    NEED(try_give(first, &p) == APR_SUCCESS);
    NEED(try_give(second, &p) == APR_SUCCESS);
    no_descriptors_but(0);
    NEED(try_give(third, &p) == APR_SUCCESS);
    NEED(!strcmp(ending_of(first), "evicted"));
    NEED(!is_ended(second) && !is_ended(third));
    limit_descriptors(limit);
    return stopped();
}

static const char *stop_without_descriptors(void)
{
    apr_interval_time_t patience = NEVER;
    plan p = staying(NEVER, NEVER);
    int limit = 2 * fw2_closer_auto_slots(), first;
    pthread_t stopper;

    begin(IDS);
    first = given(p);
    start_thread(&stopper, stop_patiently, &patience);
    AWAIT(try_give(connected(), &p) == APR_EOF);
    no_descriptors_but(0);
    NEED(try_give(next_id - 1, &p) == EMFILE);
    limit_descriptors(limit);
    NEED(!is_ended(first));
    fw2_closer_hurry(closer);
    pthread_join(stopper, NULL);
    NEED(!strcmp(ending_of(first), "stopped"));
    return over();
}

static const char *start_without_descriptors(void)
{
    fw2_closer *untouched = closer = (fw2_closer *)&watch;
    int more, limit = 2 * fw2_closer_auto_slots();

    for (more = 0; more < 2; more++) {
        no_descriptors_but(more);
        NEED(begin_as(8) == EMFILE);
        limit_descriptors(limit);
        descriptors_before = DESCRIPTORS;
        NEED(begin_as(8) == APR_SUCCESS);
        NEED(!strcmp(stopped(), FINE));
        closer = untouched;
    }
    return FINE;
}

static const char *few_descriptors(void)
{
    limit_descriptors(64);
    NEED(fw2_closer_auto_slots() == 32);
    NEED(begin_as(1000) == APR_SUCCESS); /* more than there can ever be */
    given_many(staying(NEVER, NEVER), 10);
    NEED(!strcmp(stopped(), FINE));
    limit_descriptors(3);
    NEED(fw2_closer_auto_slots() == 1);
    return FINE;
}

/* All threads' calls `number` fail, where the second argument is `second`,
 * or whatever it is. */
static int forbid(unsigned int number, int second, unsigned int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(struct seccomp_data, args) + 8 + 4 * (htons(1) == 1)),
        BPF_JUMP(second < 0 ? BPF_JMP | BPF_JA : BPF_JMP | BPF_JEQ | BPF_K,
                 second < 0 ? 0 : (unsigned int)second, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    };
    struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

    return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
           && !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                       SECCOMP_FILTER_FLAG_TSYNC, &program);
}

static const char *without_epoll(void)
{
    plan p = staying(NEVER, NEVER), q = staying(20 * MSEC, NEVER);
    int id, acked, shut_id;
    long sent;

    begin(8);
    NEED(forbid(SYS_epoll_ctl, EPOLL_CTL_ADD, ENOSPC));
    id = given(p);
    shut_id = shut_window(&sent);
    q.until_acked = 1;
    give(shut_id, q); /* its silence does not count yet */
    acked = given(until_acked());
    NEED(!strcmp(ending_of(acked), "acked"));
    NEED(!listed());
    NEED(!strcmp(ending_of(given(staying(100 * MSEC, NEVER))), "silence"));
    NEED(!is_ended(id) && !is_ended(shut_id));
    NEED(client_reads(shut_id) == sent);
    NEED(!strcmp(ending_of(shut_id), "acked"));
    client_says(id, 10);
    client_closes(id);
    NEED(!strcmp(ending_of(id), "peer_closed"));
    NEED(watch.of[id].how.drained == 10);
    given(p);
    return stopped();
}

static const char *without_thread(void)
{
    fw2_closer *untouched = closer = (fw2_closer *)&watch;

    NEED(forbid(SYS_clone3, -1, EAGAIN) && forbid(SYS_clone, -1, EAGAIN));
    NEED(begin_as(8) == EAGAIN);
    NEED(closer == untouched);
    return over();
}

static void test_refusals(void)
{
    in_child(without_descriptors, "without descriptors");
    in_child(stop_without_descriptors, "stopping without descriptors");
    in_child(start_without_descriptors, "started without descriptors");
    in_child(few_descriptors, "with few descriptors");
    in_child(without_epoll, "without room in the epoll set");
    in_child(without_thread, "without a thread");
}

int main(void)
{
    struct rlimit limit;
    int i;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    alarm(240); /* nothing above may hang, but this kills it if it does */
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < 20000 ? limit.rlim_max : 20000;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (i = 0; i < IDS; i++) {
        peers[i].client = peers[i].server = -1;
    }
    listener = listen_here();
    have_threads();
    test_sizes();
    test_heap();
    test_refusals();
    test_peer_ends();
    test_acked();
    test_word_with_ack();
    test_silence();
    test_talkers();
    test_bytes();
    test_floods();
    test_flood_ends();
    test_after_a_flood();
    test_shut_window();
    test_shorter_total();
    test_closed_and_shut();
    test_slow_reader();
    test_eviction();
    test_unread();
    test_fork();
    test_mixed_times();
    test_nothing_to_evict();
    test_stale_event();
    test_taken_meanwhile();
    test_many();
    test_stop();
    test_hurry();
    test_stop_meanwhile();
    test_hurry_meanwhile();
    test_late_original();
    test_no_ticks();
    test_batches();
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
