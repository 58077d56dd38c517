/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The loop of the closer process: receiving sockets in batches, obeying
 * signals, counting for pages, and the end. */

#include "closing/process_impl.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>
#include <sys/syscall.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "apr_strings.h"

#include "base/clock.h"
#include "kernel/sockopts.h"

/* The time from the first message of a batch until all queued messages are
 * received. A wake-up costs more than a linger whose client closes at once, so
 * one wake-up serves many sockets. The delay is part of the time for which an
 * idle client's descriptor is held, which must stay below 100 ms. */
#define BATCH (20 * (apr_interval_time_t)1000)

/* The most rounds of messages received before held sockets and pages are
 * handled. */
#define ROUNDS 64

/* The descriptors needed beside those of held sockets: the process's own, one
 * batch of received sockets, and the pages' pipes. */
#define SPARE ((rlim_t)128)

/* The most sockets held by default, if the limit of descriptors allows it. */
#define AUTO_SLOTS 65536

/* The most pages that wait for a count at the same time. */
#define PIPES 32

typedef struct {
    const fw2_setup *setup;
    fw2_closer *closer; /* NULL: no epoll, no queue, or no virtual host
                           lingers */
    fw2_publisher publisher;
    sigset_t unblocked;             /* signal mask while the process sleeps */
    char (*agents)[FW2_AGENT_SIZE]; /* User-Agents by slot; NULL: clients are
                                       not listed */
    const char *arriving; /* User-Agent of the socket being accepted, or NULL */
    apr_time_t receive_at; /* when to receive messages; 0: at the next event */
    apr_time_t end_at;     /* latest end of the process; 0: a child may still
                              send */
    int queue_ended;       /* 1: the queue is empty and no child can send */
    int pipes[PIPES];      /* pipes of pages that wait for a count */
    int npipes;
} process;

/* ------------------------------------------------------------- signals -- */

static volatile sig_atomic_t stop_asked, last_asked, parent_died;

/* 1: a newer process counts and samples. */
static volatile sig_atomic_t retired;

static void on_signal(int signal)
{
    if (signal == FW2_SIGNAL_RETIRE) {
        retired = 1;
    }
    else if (signal == FW2_SIGNAL_LAST) {
        last_asked = 1;
    }
    else if (signal == FW2_SIGNAL_PARENT_DIED) {
        parent_died = 1;
    }
    else {
        stop_asked = 1;
    }
}

/* Set the signal handlers. The parent has blocked all signals before the fork,
 * and the process unblocks signals only while it sleeps, so handlers run only
 * during a sleep. */
static void obey_signals(process *p)
{
    static const int obeyed[] = { FW2_SIGNAL_STOP,
                                  FW2_SIGNAL_RETIRE,
                                  FW2_SIGNAL_PARENT_DIED,
                                  FW2_SIGNAL_LAST,
                                  SIGINT,
                                  SIGHUP };
    static const int ignored[] = { SIGPIPE, SIGALRM };
    struct sigaction action;
    unsigned int i;

    memset(&action, 0, sizeof(action));
    action.sa_handler = SIG_IGN;
    for (i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
        sigaction(ignored[i], &action, NULL);
    }
    action.sa_handler = on_signal;
    for (i = 0; i < sizeof(obeyed) / sizeof(obeyed[0]); i++) {
        sigaction(obeyed[i], &action, NULL);
    }
    sigfillset(&action.sa_mask);
    pthread_sigmask(SIG_SETMASK, &action.sa_mask, NULL);
    sigemptyset(&p->unblocked);
}

/* ------------------------------------------------------------- observing -- */

static void on_held(void *context, const fw2_tag *tag, int slot)
{
    process *p = context;

    fw2_board_hold(p->setup->board, tag->vhost, 1);
    if (p->agents) {
        apr_cpystrn(p->agents[slot], p->arriving, FW2_AGENT_SIZE);
    }
}

/* Count an ended linger in the lists of clients, unless the client closed
 * first. */
static void note_client(const process *p, const fw2_ended *ended)
{
    fw2_client_end end;

    if (!p->agents || retired || ended->tag.cause == FW2_CAUSE_PEER) {
        return;
    }
    end.agent =
        ended->slot == FW2_NO_SLOT ? p->arriving : p->agents[ended->slot];
    end.net = ended->tag.net;
    end.ending = ended->ending;
    end.expired = ended->tag.cause == FW2_CAUSE_KEEPALIVE;
    fw2_clients_ended(p->setup->clients, &end, fw2_clock_now());
}

static void on_ended(void *context, const fw2_ended *ended)
{
    const process *p = context;

    if (ended->slot != FW2_NO_SLOT) {
        fw2_board_hold(p->setup->board, ended->tag.vhost, -1);
    }
    fw2_counters_ended(p->setup->counters, ended->tag.vhost, ended->ending,
                       ended->lingered, ended->drained);
    note_client(p, ended);
}

/* ------------------------------------------------------------- receiving -- */

static int held_count(const process *p)
{
    return p->closer ? fw2_closer_count(p->closer) : 0;
}

static void drop_invalid(const process *p, int fd)
{
    if (fd >= 0) {
        fw2_sockopts_close(fd, 0);
    }
    fw2_counters_invalid(p->setup->counters);
}

/* Handle a batch in which descriptors are missing. dup() fails if this process
 * has no free descriptor: then hold fewer sockets. If dup() succeeds, the
 * system forbids the process to receive descriptors: then have children send no
 * more. */
static void handle_truncation(const process *p)
{
    int fd = dup(p->setup->queue.receive);

    if (fd >= 0) {
        close(fd);
        fw2_board_refuse(p->setup->board);
    }
    else if (p->closer) {
        fw2_closer_limit(p->closer, held_count(p) - FW2_RECEIVE_MAX);
    }
}

static void accept_socket(process *p, const fw2_received *received)
{
    if (!p->closer
        || (!received->truncated && !fw2_queue_is_closing(received->fd))) {
        drop_invalid(p, received->fd);
    }
    else if (received->truncated) {
        fw2_counters_ended(p->setup->counters, received->handoff.tag.vhost,
                           FW2_EVICTED, 0, 0);
    }
    else {
        p->arriving = *received->agent ? received->agent : "(none)";
        fw2_closer_accept(p->closer, received->fd, &received->handoff);
        p->arriving = NULL; /* its memory ends with the batch */
    }
}

static void accept_count_request(process *p, const fw2_received *received)
{
    if (received->fd < 0) {
        drop_invalid(p, -1);
    }
    else if (p->npipes < PIPES && !retired) {
        p->pipes[p->npipes++] = received->fd;
    }
    else {
        fw2_sockopts_close(received->fd, 0); /* the page shows the last count */
    }
}

static void accept_message(process *p, const fw2_received *received)
{
    switch (received->kind) {
    case FW2_MESSAGE_SOCKET:
        accept_socket(p, received);
        break;
    case FW2_MESSAGE_COUNT_REQUEST:
        accept_count_request(p, received);
        break;
    default:
        drop_invalid(p, received->fd);
    }
}

/* Receive queued messages in at most `rounds` rounds; a negative number sets no
 * limit.
 * @return The number of messages; -1: the queue has ended. */
static int receive_queued(process *p, int rounds)
{
    fw2_received received[FW2_RECEIVE_MAX];
    int i, n, all = 0, truncated;

    do {
        n = fw2_queue_receive(
            &p->setup->queue,
            (apr_uint32_t)fw2_counters_places(p->setup->counters), received);
        for (i = 0, truncated = 0; i < n; i++) {
            truncated += received[i].truncated;
        }
        if (truncated) {
            handle_truncation(p);
        }
        for (i = 0; i < n; i++) {
            fw2_board_arriving(p->setup->board, n - i);
            accept_message(p, &received[i]);
        }
        fw2_board_arriving(p->setup->board, 0);
        all += n > 0 ? n : 0;
    } while (n == FW2_RECEIVE_MAX && --rounds);
    return n < 0 ? -1 : all;
}

static void watch_queue(process *p)
{
    p->receive_at = 0;
    if (p->closer
        && fw2_closer_watch(p->closer, p->setup->queue.receive)
               != APR_SUCCESS) {
        p->receive_at = fw2_clock_now() + BATCH;
    }
}

/* True if no child can send any more. If the queue has ended while httpd still
 * uses this process, a hostile child has shut the queue down: httpd then
 * lingers itself, and the process continues to count. */
static int senders_gone(const process *p)
{
    return last_asked || (p->queue_ended && (retired || parent_died));
}

/* Receive the last messages, and set the latest end of the process. is_over()
 * ends the process earlier if no socket is held. */
static void receive_last(process *p)
{
    (void)receive_queued(p, -1);
    p->receive_at = 0;
    p->end_at = fw2_clock_now() + p->setup->longest;
}

/* Receive a batch. While messages arrive, the next batch is received 20 ms
 * later; otherwise the next message wakes the process. */
static void receive_batch(process *p)
{
    int n = receive_queued(p, ROUNDS);

    if (n > 0) {
        p->receive_at = fw2_clock_now() + BATCH;
    }
    else if (n == 0) {
        watch_queue(p);
    }
    else {
        p->receive_at = 0;
        p->queue_ended = 1;
    }
}

/* --------------------------------------------------------------- waiting -- */

/* Sleep until a descriptor has input, the time `wake_at` is reached, or a
 * signal is handled. True if there is input.
 * @param fd -1: no descriptor.
 * @param wake_at As in fw2_closer_wait(). */
static int wait_for_input(const process *p, int fd, apr_time_t wake_at)
{
    struct pollfd input = { fd, POLLIN, 0 };
    apr_time_t now = fw2_clock_now();
    apr_interval_time_t left = wake_at > now ? wake_at - now : 0;
    struct timespec patience = { (time_t)apr_time_sec(left),
                                 (long)apr_time_usec(left) * 1000 };

    return ppoll(&input, 1, wake_at ? &patience : NULL, &p->unblocked) > 0;
}

static void sleep_and_work(process *p)
{
    apr_time_t wake_at =
        fw2_clock_earlier(p->receive_at, p->publisher.sample_due);
    int fd = p->queue_ended || p->end_at ? -1 : p->setup->queue.receive;
    int ready;

    wake_at = fw2_clock_earlier(wake_at, p->end_at);
    ready = p->closer ? fw2_closer_wait(p->closer, wake_at, &p->unblocked)
                      : wait_for_input(p, fd, wake_at);
    if (ready && !p->receive_at) {
        p->receive_at = fw2_clock_now() + (p->closer ? BATCH : 0);
    }
}

/* ---------------------------------------------------------- publishing -- */

static void answer_count_requests(process *p)
{
    if (p->npipes) {
        fw2_publisher_count(&p->publisher, held_count(p));
    }
    while (p->npipes) {
        fw2_sockopts_close(p->pipes[--p->npipes], 0);
    }
}

/* ------------------------------------------------------------- the whole -- */

static int is_over(const process *p)
{
    return stop_asked
           || ((parent_died || retired) && p->setup->queue.receive < 0)
           || (p->end_at
               && (parent_died || !held_count(p)
                   || fw2_clock_now() >= p->end_at));
}

static void work(process *p)
{
    while (!is_over(p)) {
        sleep_and_work(p);
        if (retired) {
            p->publisher.sample_due = 0;
        }
        if (p->receive_at && fw2_clock_now() >= p->receive_at) {
            receive_batch(p);
        }
        if (!p->end_at && senders_gone(p)) {
            receive_last(p);
        }
        answer_count_requests(p);
        fw2_publisher_sample(&p->publisher, held_count(p));
        fw2_board_oldest(p->setup->board,
                         p->closer ? fw2_closer_oldest(p->closer) : 0);
    }
    (void)receive_queued(p, -1);
    while (p->closer && fw2_closer_end_oldest(p->closer, FW2_STOPPED)) {
    }
    answer_count_requests(p);
    fw2_board_abandon(p->setup->board);
}

static void make_closer(process *p, apr_pool_t *pool)
{
    const fw2_observer observer = { p, on_held, on_ended };
    apr_size_t slots = (apr_size_t)p->setup->slots;

    if (!p->setup->lingers || p->setup->queue.receive < 0
        || fw2_closer_create(&p->closer, p->setup->slots, &observer, pool)
               != APR_SUCCESS) {
        return;
    }
    if (p->setup->clients) {
        p->agents = apr_palloc(pool, slots * sizeof(*p->agents));
    }
}

static void begin(process *p, apr_pool_t *pool)
{
    const fw2_setup *setup = p->setup;
    apr_int64_t lost;

    fw2_counters_inherit(setup->counters);
    if (setup->clients) {
        fw2_clients_begin(setup->clients, pool);
    }
    make_closer(p, pool);
    lost = fw2_board_begin(setup->board, (apr_uint64_t)getpid(),
                           p->closer ? setup->slots : 0);
    if (lost) {
        fw2_counters_lost(setup->counters, lost);
    }
    fw2_publisher_init(&p->publisher, setup, pool);
    if (setup->queue.receive >= 0) {
        watch_queue(p);
        p->receive_at = 1; /* a former process may have left messages */
    }
}

/* ---------------------------------------------------- what is inherited -- */

/* Raise the limit of descriptors to `wanted`, beyond the hard limit if that is
 * permitted, otherwise up to the hard limit.
 * @return The new limit, at most `wanted`. */
static rlim_t raise_limit(rlim_t wanted)
{
    struct rlimit limit, more;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted) {
        return wanted;
    }
    more.rlim_cur = wanted;
    more.rlim_max = limit.rlim_max < wanted ? wanted : limit.rlim_max;
    if (!setrlimit(RLIMIT_NOFILE, &more)) {
        return wanted;
    }
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

void fw2_process_prepare(fw2_setup *setup)
{
    rlim_t slots = (rlim_t)(setup->slots ? setup->slots : AUTO_SLOTS);
    rlim_t wanted = slots + SPARE, have = raise_limit(wanted);

    setup->null = open("/dev/null", O_RDWR | O_CLOEXEC);
#ifdef __linux__
    (void)prctl(PR_SET_NAME, "finwait2", 0, 0, 0);
#endif
    if (have < wanted) {
        rlim_t room = have > 2 * SPARE ? have - SPARE : have / 4;

        slots = room < slots ? room : slots;
    }
    setup->slots = slots ? (int)slots : 1;
}

static void close_from(int first)
{
    struct rlimit limit;
    int fd;

#ifdef SYS_close_range
    if (!syscall(SYS_close_range, first, ~0U, 0)) {
        return;
    }
#endif
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur > 1 << 20) {
        limit.rlim_cur = 1 << 20;
    }
    for (fd = first; fd < (int)limit.rlim_cur; fd++) {
        close(fd);
    }
}

/* Close all inherited descriptors but the queue: listening sockets, logs, pipes
 * to loggers, files of the configuration. */
static void close_inherited(fw2_queue *queue, int null)
{
    enum { FIRST = 3, KEPT = 1 };
    int high = fcntl(queue->receive, F_DUPFD, FIRST + KEPT);
    int fd;

    for (fd = 0; fd < FIRST; fd++) {
        if (null < 0) {
            close(fd);
        }
        else if (null != fd) {
            dup2(null, fd);
        }
    }
    queue->send = -1;
    queue->receive = high < 0 ? -1 : dup2(high, FIRST);
    close_from(FIRST + KEPT);
}

/* Have the kernel send a signal when the parent dies. The caller drops
 * privileges first, because the kernel clears this setting at a change of
 * user. */
static void watch_parent(pid_t parent)
{
#ifdef __linux__
    (void)prctl(PR_SET_PDEATHSIG, FW2_SIGNAL_PARENT_DIED, 0, 0, 0);
#endif
    if (getppid() != parent) {
        parent_died = 1;
    }
}

void fw2_process_run(fw2_setup *setup, apr_pool_t *pool)
{
    process p;

    memset(&p, 0, sizeof(p));
    p.setup = setup;
    close_inherited(&setup->queue, setup->null);
    obey_signals(&p);
    watch_parent(setup->parent);
    if (setup->delay) {
        (void)wait_for_input(&p, -1, fw2_clock_now() + setup->delay);
    }
    begin(&p, pool);
    work(&p);
}
