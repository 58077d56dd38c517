/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "closing/keeper.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include <sys/syscall.h>
#include <sys/wait.h>

#ifdef __linux__
#include <linux/capability.h>
#endif

#include "apr_strings.h"
#include "apr_thread_proc.h"
#include "ap_mpm.h"
#include "http_config.h"
#include "http_core.h"
#include "http_log.h"
#include "http_main.h"
#include "mpm_common.h"
#include "scoreboard.h"
#include "unixd.h"

#include "base/clock.h"

APLOG_USE_MODULE(finwait2);

/* From one start of a process to the next. */
#define START_INTERVAL apr_time_from_sec(1)

/* How much longer than its longest linger a process may take to end by itself.
 * Only one that is stopped by SIGSTOP takes longer. */
#define WAIT_MARGIN apr_time_from_sec(2)

/* How long a process may take to end when it is told to, and how often to
 * look. */
#define STOP_PATIENCE (900 * (apr_interval_time_t)1000)
#define STOP_STEP     (10 * (apr_interval_time_t)1000)

struct fw2_kept {
    fw2_keeper *keeper; /* the list it is in */
    fw2_kept *next;     /* of a former configuration */
    apr_pool_t *pool;
    apr_proc_t proc;    /* its pid; 0: there is none now */
    apr_time_t started; /* fw2_clock_now()'s; 0: never */
    apr_pool_t *pconf;  /* NULL: its configuration is not httpd's any more */
    int stopping;       /* httpd stops or restarts, and not gracefully */
    int one_process;    /* httpd -X */
    int complained;     /* that it cannot be started */
    ap_generation_t generation;
    server_rec *main_server; /* while `pconf` is there */
    fw2_setup setup;
};

static void maintain(int reason, void *data, int status);

/* ------------------------------------------------------------- the list -- */

/* Its process is gone. Its board was among those of the configuration that is
 * gone now, too. */
static void drop(fw2_kept *kept)
{
    fw2_kept **at = kept->keeper;

    while (*at != kept) {
        at = &(*at)->next;
    }
    *at = kept->next;
    apr_pool_destroy(kept->pool);
}

static void register_process(fw2_kept *kept, apr_pool_t *pconf)
{
    apr_proc_other_child_register(&kept->proc, maintain, kept, NULL, pconf);
}

/* Have the MPM report the end of processes of former configurations to us
 * again. While this module was away, httpd itself looked after them. */
static void adopt(fw2_kept *kept, apr_pool_t *pconf)
{
    ap_generation_t generation;
    fw2_kept *next;

    for (; kept; kept = next) {
        next = kept->next;
        if (kept->proc.pid
            && ap_unregister_extra_mpm_process(kept->proc.pid, &generation)) {
            register_process(kept, pconf);
        }
        else {
            drop(kept);
        }
    }
}

apr_pool_t *fw2_keeper_pool(const fw2_kept *kept)
{
    return kept->pool;
}

fw2_setup *fw2_keeper_setup(fw2_kept *kept)
{
    return &kept->setup;
}

const fw2_board **fw2_keeper_boards(fw2_keeper keeper, int *n, apr_pool_t *pool)
{
    apr_array_header_t *boards = apr_array_make(pool, 2, sizeof(fw2_board *));
    const fw2_kept *kept;

    for (kept = keeper; kept; kept = kept->next) {
        if (kept->setup.board) {
            APR_ARRAY_PUSH(boards, const fw2_board *) = kept->setup.board;
        }
    }
    *n = boards->nelts;
    return (const fw2_board **)boards->elts;
}

/* ------------------------------------------------------------- starting -- */

/* A module may keep some for the MPM's children, as mpm-itk does. */
static int drop_capabilities(void)
{
#ifdef SYS_capset
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];

    memset(none, 0, sizeof(none));
    return !syscall(SYS_capset, &head, none);
#else
    return 1;
#endif
}

/* As the MPM's children do; but this process keeps nothing. */
static int drop_privileges(apr_pool_t *pool)
{
    if (ap_run_drop_privileges(pool, ap_server_conf) != OK) {
        return 0;
    }
    if (!geteuid() && ap_unixd_config.user_id
        && (setgid(ap_unixd_config.group_id)
            || setuid(ap_unixd_config.user_id))) {
        return 0;
    }
    return drop_capabilities();
}

/* The command that ps shows. The other words stay: they tell whose process
 * it is. */
static void rename_command(const process_rec *process)
{
    char *command = (char *)process->argv[0];
    apr_size_t size = strlen(command) + 1;

    memset(command, 0, size);
    apr_cpystrn(command, "finwait2", size);
}

/* In the forked process; does not return. It leaves the parent's process group:
 * prefork ends a graceful stop with SIGTERM to the whole group. */
static void be_the_process(fw2_kept *kept)
{
    apr_pool_t *pool;

    (void)setpgid(0, 0);
    rename_command(kept->main_server->process);
    apr_pool_create(&pool, kept->pool);
    fw2_process_prepare(&kept->setup);
    if (!drop_privileges(pool)) {
        _exit(1);
    }
    fw2_process_run(&kept->setup, pool);
    _exit(0);
}

/* Fork with all signals blocked, which they stay in the forked process: its
 * handlers are httpd's still. */
static pid_t fork_without_signals(void)
{
    sigset_t all, before;
    pid_t pid;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid) {
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    return pid;
}

static void complain(fw2_kept *kept, apr_status_t rv)
{
    if (!kept->complained) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, kept->main_server,
                     "cannot start the process finwait2, which lingers for "
                     "httpd and counts for its page. httpd goes on and lingers "
                     "itself, as without mod_finwait2; another attempt follows "
                     "about every ten seconds");
    }
    kept->complained = 1;
}

static void start(fw2_kept *kept)
{
    apr_time_t now = fw2_clock_now();
    apr_interval_time_t since = now - kept->started;
    pid_t pid;

    kept->setup.delay =
        kept->started && since < START_INTERVAL ? START_INTERVAL - since : 0;
    pid = fork_without_signals();
    if (!pid) {
        be_the_process(kept);
    }
    if (pid < 0) {
        complain(kept, errno);
        return;
    }
    kept->proc.pid = pid;
    kept->started = now + kept->setup.delay;
    kept->complained = 0;
    kept->setup.marks = 0; /* the next process continues this one's history */
    if (kept->setup.inherit) {
        kept->setup.inherit = 0;
        fw2_counters_forget(kept->setup.counters);
    }
    fw2_board_started(kept->setup.board, (apr_uint64_t)pid);
    register_process(kept, kept->pconf);
}

/* A server whose connections are all left alone, and that has no page, has no
 * use for a process. */
static int is_wanted(const fw2_kept *kept)
{
    return kept->setup.lingers || kept->setup.pages;
}

void fw2_keeper_monitor(fw2_keeper keeper)
{
    if (keeper && keeper->pconf && !keeper->proc.pid && is_wanted(keeper)) {
        start(keeper);
    }
}

/* ------------------------------------------------------------- its death -- */

static int is_stopping(void)
{
    int state = AP_MPMQ_STOPPING;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) != APR_SUCCESS
           || state == AP_MPMQ_STOPPING;
}

static void process_gone(fw2_kept *kept)
{
    pid_t pid = kept->proc.pid;

    kept->proc.pid = 0;
    fw2_board_abandon(kept->setup.board);
    if (kept->pconf && !is_stopping()) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, kept->main_server,
                     "the process finwait2 (pid %" APR_PID_T_FMT
                     ") has ended unasked; another one is started. Clients of "
                     "the connections that it held may miss the end of their "
                     "response",
                     pid);
        start(kept);
    }
}

/* A stop that somebody else than httpd has asked for. prefork ends a graceful
 * stop with a SIGTERM to its own process group: its flags look the same. */
static volatile sig_atomic_t stop_asked;

/* When a graceful stop was asked for; fw2_clock_now()'s, or 0. */
static volatile apr_time_t graceful_asked;

/* httpd's own handlers. */
static struct sigaction httpd_term, httpd_int, httpd_graceful;

static void on_graceful(int signal, siginfo_t *info, void *context)
{
    if (!graceful_asked) {
        graceful_asked = fw2_clock_now();
    }
    httpd_graceful.sa_handler(signal);
}

static void on_stop(int signal, siginfo_t *info, void *context)
{
    if (info->si_pid != getpid()) {
        stop_asked = 1;
    }
    (signal == SIGINT ? httpd_int : httpd_term).sa_handler(signal);
}

static void wrap_handler(int signal, struct sigaction *of_httpd,
                         void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction now;

    if (sigaction(signal, NULL, &now) || now.sa_flags & SA_SIGINFO
        || now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN) {
        return;
    }
    *of_httpd = now;
    now.sa_flags |= SA_SIGINFO;
    now.sa_sigaction = handler;
    sigaction(signal, &now, NULL);
}

static void unwrap_handler(int signal, struct sigaction *of_httpd)
{
    if (of_httpd->sa_handler) {
        sigaction(signal, of_httpd, NULL);
        of_httpd->sa_handler = NULL;
    }
}

/* Before the code of this module goes. */
static void unwrap_handlers(void)
{
    unwrap_handler(SIGTERM, &httpd_term);
    unwrap_handler(SIGINT, &httpd_int);
    unwrap_handler(AP_SIG_GRACEFUL_STOP, &httpd_graceful);
}

void fw2_keeper_signals(void)
{
    if (!httpd_term.sa_handler) {
        wrap_handler(SIGTERM, &httpd_term, on_stop);
        wrap_handler(SIGINT, &httpd_int, on_stop);
        wrap_handler(AP_SIG_GRACEFUL_STOP, &httpd_graceful, on_graceful);
    }
}

/* True if a child of the MPM is there, or was not waited for yet: then it did
 * not end by itself. */
static int has_children(void)
{
    int i, n = 0;

    ap_mpm_query(AP_MPMQ_MAX_DAEMON_USED, &n);
    for (i = 0; ap_scoreboard_image && i < n; i++) {
        pid_t pid = ap_get_scoreboard_process(i)->pid;

        if (pid > 0 && !kill(pid, 0)) {
            return 1;
        }
    }
    return 0;
}

/* The MPM calls this with APR_OC_REASON_RESTART while it waits for its children
 * at any stop or restart but a graceful restart. At the end of a graceful stop
 * no child is left by then, unless GracefulShutdownTimeout is over. */
static void maintain(int reason, void *data, int status)
{
    fw2_kept *kept = data;

    switch (reason) {
    case APR_OC_REASON_DEATH:
    case APR_OC_REASON_LOST:
        apr_proc_other_child_unregister(kept);
        process_gone(kept);
        break;
    case APR_OC_REASON_RESTART:
        kept->stopping = kept->stopping || stop_asked || has_children()
                         || ap_unixd_mpm_get_retained_data()->is_ungraceful;
        if (kept->stopping) {
            kill(kept->proc.pid, FW2_SIGNAL_STOP);
        }
        break;
    default:
        break;
    }
}

/* ---------------------------------------------- the configuration's end -- */

/* Wait for a process without blocking; true if it is gone. */
static int reap(fw2_kept *kept)
{
    if (kept->proc.pid && waitpid(kept->proc.pid, NULL, WNOHANG)) {
        kept->proc.pid = 0;
    }
    return !kept->proc.pid;
}

static int all_gone(fw2_kept *kept)
{
    int gone = 1;

    for (; kept; kept = kept->next) {
        gone = reap(kept) && gone;
    }
    return gone;
}

static void signal_all(const fw2_kept *kept, int signal)
{
    for (; kept; kept = kept->next) {
        if (kept->proc.pid) {
            kill(kept->proc.pid, signal);
        }
    }
}

/* When the time of a graceful stop began: when it was asked for, as far as
 * GracefulShutdownTimeout is concerned. */
static apr_time_t graceful_since(void)
{
    return ap_graceful_shutdown_timeout && graceful_asked ? graceful_asked
                                                          : fw2_clock_now();
}

/* How long processes may go on after a graceful stop. */
static apr_interval_time_t graceful_patience(const fw2_kept *kept)
{
    apr_interval_time_t longest = 0;

    if (ap_graceful_shutdown_timeout) {
        return apr_time_from_sec(ap_graceful_shutdown_timeout);
    }
    for (; kept; kept = kept->next) {
        longest = kept->setup.longest > longest ? kept->setup.longest : longest;
    }
    return longest + WAIT_MARGIN;
}

/* Forks of other modules may have the children's end of a queue still, so the
 * processes are told that nobody sends any more. */
static void wait_gracefully(fw2_kept *kept)
{
    apr_time_t until = graceful_since() + graceful_patience(kept);

    signal_all(kept, FW2_SIGNAL_LAST);
    while (!all_gone(kept) && !stop_asked && fw2_clock_now() < until) {
        apr_sleep(5 * STOP_STEP);
    }
}

static void signal_and_wait(fw2_kept *kept, int signal)
{
    apr_time_t until = fw2_clock_now() + STOP_PATIENCE;

    signal_all(kept, signal);
    while (!all_gone(kept) && fw2_clock_now() < until) {
        apr_sleep(STOP_STEP);
    }
}

static void end_all(fw2_kept *kept)
{
    if (!kept->stopping && !stop_asked && !kept->one_process
        && !has_children()) {
        wait_gracefully(kept);
    }
    signal_and_wait(kept, FW2_SIGNAL_STOP);
    signal_and_wait(kept, SIGKILL); /* one that is stopped by SIGSTOP */
}

/* It goes on without the parent. This module may not come back, so httpd looks
 * after the process meanwhile. */
static void leave_all(fw2_kept *kept)
{
    for (; kept; kept = kept->next) {
        kept->pconf = NULL;
        kept->main_server = NULL;
        if (kept->proc.pid) {
            kill(kept->proc.pid, FW2_SIGNAL_RETIRE);
            ap_register_extra_mpm_process(kept->proc.pid, kept->generation);
        }
    }
}

static void wait_to_be_killed(void)
{
    for (;;) {
        pause();
    }
}

/* Close the parent's ends of a queue. Sockets under SO_LINGER may be queued, as
 * a hostile child may have sent them, and a close of the last reference to one
 * blocks; only an exit does not. So a fork has the queue until the parent has
 * none. Without a fork, the parent keeps the closer process's end. */
static void close_queue(fw2_queue *queue)
{
    pid_t holder = fork_without_signals();

    if (!holder) {
        wait_to_be_killed();
    }
    fw2_queue_keep_receiver(queue);
    if (holder > 0) {
        fw2_queue_close(queue);
        kill(holder, SIGKILL);
        while (waitpid(holder, NULL, 0) < 0 && errno == EINTR) {
        }
    }
}

/* Before anything of the configuration goes. Children and other forks of the
 * parent may get here as well. */
static apr_status_t end_configuration(void *data)
{
    fw2_kept *kept = data;
    const ap_unixd_mpm_retained_data *mpm = ap_unixd_mpm_get_retained_data();

    if (getpid() != kept->setup.parent) {
        return APR_SUCCESS;
    }
    if (mpm->restart_pending && !mpm->is_ungraceful && !kept->one_process) {
        leave_all(kept);
    }
    else {
        end_all(kept);
    }
    if (mpm->restart_pending) { /* at a stop the exit closes it */
        close_queue(&kept->setup.queue);
    }
    unwrap_handlers();
    return APR_SUCCESS;
}

fw2_kept *fw2_keeper_add(fw2_keeper *keeper, server_rec *main_server,
                         apr_pool_t *pool, apr_pool_t *pconf)
{
    apr_pool_t *own;
    fw2_kept *kept;
    int generation = 0;

    adopt(*keeper, pconf);
    apr_pool_create(&own, pool);
    kept = apr_pcalloc(own, sizeof(*kept));
    kept->pconf = pconf;
    kept->pool = own;
    kept->keeper = keeper;
    kept->one_process = ap_exists_config_define("ONE_PROCESS")
                        || ap_exists_config_define("DEBUG");
    kept->setup.parent = getpid();
    kept->setup.queue.send = kept->setup.queue.receive = -1;
    kept->main_server = main_server;
    ap_mpm_query(AP_MPMQ_GENERATION, &generation);
    kept->generation = generation;
    kept->next = *keeper;
    *keeper = kept;
    apr_pool_pre_cleanup_register(pconf, kept, end_configuration);
    return kept;
}

void fw2_keeper_start(fw2_kept *kept)
{
    if (is_wanted(kept)) {
        start(kept);
    }
}

void fw2_keeper_in_child(fw2_kept *kept)
{
    if (getpid() != kept->setup.parent) { /* unlike with httpd -X */
        fw2_queue_keep_sender(&kept->setup.queue);
    }
}

apr_size_t fw2_keeper_footprint(void)
{
    return sizeof(fw2_kept);
}
