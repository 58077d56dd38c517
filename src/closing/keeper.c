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

/* The least time from one start of a process to the next. */
#define START_INTERVAL apr_time_from_sec(1)

/* The time, beyond its longest linger, that a process gets to end by itself.
 * Only a process that is stopped by SIGSTOP takes longer. */
#define WAIT_MARGIN apr_time_from_sec(2)

/* The time that a process gets to end after a signal, and the time between two
 * checks. */
#define STOP_PATIENCE (900 * (apr_interval_time_t)1000)
#define STOP_STEP     (10 * (apr_interval_time_t)1000)

/* The closer process of one configuration, allocated from its setup's pool. */
typedef struct fw2_closer_process {
    struct fw2_closer_process *next; /* that of the former configuration */
    apr_proc_t proc;                 /* pid 0: the process does not run */
    apr_time_t started; /* last start; fw2_clock_now()'s; 0: never started */
    apr_pool_t *pconf;  /* NULL: httpd has a newer configuration */
    int stopping;       /* 1: httpd stops or restarts, not gracefully */
    int one_process;    /* 1: httpd -X */
    int warned;         /* 1: a failed start is logged */
    ap_generation_t generation;
    fw2_setup setup;
} fw2_closer_process;

static void maintain(int reason, void *data, int status);

/* ------------------------------------------------------------- the list -- */

static void register_process(fw2_closer_process *process, apr_pool_t *pconf)
{
    apr_proc_other_child_register(&process->proc, maintain, process, NULL,
                                  pconf);
}

/* Have the MPM report the end of former configurations' processes to this
 * module again. While the module was unloaded, httpd itself waited for them.
 * Remove the processes that have ended, and free their boards, which only
 * former configurations use. */
static void adopt(fw2_closer_processes *at, apr_pool_t *pconf)
{
    fw2_closer_process *process, *next;
    ap_generation_t generation;

    for (process = *at; process; process = next) {
        next = process->next;
        if (process->proc.pid
            && ap_unregister_extra_mpm_process(process->proc.pid,
                                               &generation)) {
            register_process(process, pconf);
            at = &process->next;
        }
        else {
            *at = next;
            apr_pool_destroy(process->setup.pool);
        }
    }
}

const fw2_board **fw2_keeper_boards(fw2_closer_processes processes, int *n,
                                    apr_pool_t *pool)
{
    apr_array_header_t *boards = apr_array_make(pool, 2, sizeof(fw2_board *));
    const fw2_closer_process *process;

    for (process = processes; process; process = process->next) {
        if (process->setup.board) {
            APR_ARRAY_PUSH(boards, const fw2_board *) = process->setup.board;
        }
    }
    *n = boards->nelts;
    return (const fw2_board **)boards->elts;
}

/* ------------------------------------------------------------- starting -- */

/* Drop all capabilities: a module, for example mpm-itk, may keep some for the
 * MPM's children. True on success. */
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

/* Drop privileges as the MPM's children do, and all capabilities as well. True
 * on success. */
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

/* Change the command that ps shows. The arguments stay, so that ps still shows
 * which httpd the process belongs to. */
static void rename_command(void)
{
    char *command = (char *)ap_server_conf->process->argv[0];
    apr_size_t size = strlen(command) + 1;

    memset(command, 0, size);
    apr_cpystrn(command, "finwait2", size);
}

/* Run the closer process, after the fork; does not return. The process leaves
 * the parent's process group, because prefork ends a graceful stop with SIGTERM
 * to the whole group. */
static void run_process(fw2_closer_process *process)
{
    apr_pool_t *pool;

    (void)setpgid(0, 0);
    rename_command();
    apr_pool_create(&pool, process->setup.pool);
    fw2_process_prepare(&process->setup);
    if (!drop_privileges(pool)) {
        _exit(1);
    }
    fw2_process_run(&process->setup, pool);
    _exit(0);
}

/* Fork with all signals blocked. They stay blocked in the forked process, which
 * still has httpd's handlers. */
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

static void warn_not_started(fw2_closer_process *process, apr_status_t rv)
{
    if (!process->warned) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, ap_server_conf,
                     "cannot start the process finwait2, which lingers for "
                     "httpd and counts for its page. httpd goes on and lingers "
                     "itself, as without mod_finwait2; another attempt follows "
                     "about every ten seconds");
    }
    process->warned = 1;
}

static void start(fw2_closer_process *process)
{
    apr_time_t now = fw2_clock_now();
    apr_interval_time_t since = now - process->started;
    pid_t pid;

    process->setup.delay =
        process->started && since < START_INTERVAL ? START_INTERVAL - since : 0;
    pid = fork_without_signals();
    if (!pid) {
        run_process(process);
    }
    if (pid < 0) {
        warn_not_started(process, errno);
        return;
    }
    process->proc.pid = pid;
    process->started = now + process->setup.delay;
    process->warned = 0;
    process->setup.marks = 0; /* the next process continues its history */
    fw2_counters_unmap_former(process->setup.counters);
    fw2_board_started(process->setup.board, (apr_uint64_t)pid);
    register_process(process, process->pconf);
}

void fw2_keeper_start(fw2_closer_processes processes)
{
    fw2_closer_process *newest = processes;

    if (newest && newest->pconf && !newest->proc.pid
        && (newest->setup.lingers || newest->setup.pages)) {
        start(newest);
    }
}

/* ------------------------------------------------------------- its death -- */

/* True if httpd stops, or if that is not known: no process is started then. */
static int is_stopping(void)
{
    int state = AP_MPMQ_STOPPING;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) != APR_SUCCESS
           || state == AP_MPMQ_STOPPING;
}

static void handle_death(fw2_closer_process *process)
{
    pid_t pid = process->proc.pid;

    process->proc.pid = 0;
    fw2_board_abandon(process->setup.board);
    if (process->pconf && !is_stopping()) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, ap_server_conf,
                     "the process finwait2 (pid %" APR_PID_T_FMT
                     ") has ended unasked; another one is started. Clients of "
                     "the connections that it held may miss the end of their "
                     "response",
                     pid);
        start(process);
    }
}

/* 1: a process other than httpd has asked for a stop. prefork ends a graceful
 * stop with SIGTERM to its own process group, after which its flags are those
 * of a stop. */
static volatile sig_atomic_t stop_asked;

/* The time when a graceful stop was asked for; fw2_clock_now()'s, or 0. */
static volatile apr_time_t graceful_asked;

/* httpd's own handlers; unset while they are not wrapped. */
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

static void wrap_handler(int signal, struct sigaction *httpd_action,
                         void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction now;

    if (sigaction(signal, NULL, &now) || now.sa_flags & SA_SIGINFO
        || now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN) {
        return;
    }
    *httpd_action = now;
    now.sa_flags |= SA_SIGINFO;
    now.sa_sigaction = handler;
    sigaction(signal, &now, NULL);
}

static void unwrap_handler(int signal, struct sigaction *httpd_action)
{
    if (httpd_action->sa_handler) {
        sigaction(signal, httpd_action, NULL);
        httpd_action->sa_handler = NULL;
    }
}

/* Restore httpd's handlers, before this module is unloaded. */
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

/* True if a child of the MPM runs, or has ended but was not waited for yet,
 * which means that it did not end by itself. */
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

/* Handle the end of the process, or a stop of httpd. The MPM calls this with
 * APR_OC_REASON_RESTART while it waits for its children at any stop or restart
 * but a graceful restart. At the end of a graceful stop no child is left by
 * then, unless GracefulShutdownTimeout is over. */
static void maintain(int reason, void *data, int status)
{
    fw2_closer_process *process = data;

    switch (reason) {
    case APR_OC_REASON_DEATH:
    case APR_OC_REASON_LOST:
        apr_proc_other_child_unregister(process);
        handle_death(process);
        break;
    case APR_OC_REASON_RESTART:
        process->stopping = process->stopping || stop_asked || has_children()
                            || ap_unixd_mpm_get_retained_data()->is_ungraceful;
        if (process->stopping) {
            kill(process->proc.pid, FW2_SIGNAL_STOP);
        }
        break;
    default:
        break;
    }
}

/* ---------------------------------------------- the configuration's end -- */

/* Wait for all processes without blocking. True if all have ended. */
static int all_gone(fw2_closer_process *process)
{
    int gone = 1;

    for (; process; process = process->next) {
        if (process->proc.pid && waitpid(process->proc.pid, NULL, WNOHANG)) {
            process->proc.pid = 0;
        }
        gone = gone && !process->proc.pid;
    }
    return gone;
}

static void signal_all(const fw2_closer_process *process, int signal)
{
    for (; process; process = process->next) {
        if (process->proc.pid) {
            kill(process->proc.pid, signal);
        }
    }
}

/* Return the latest end of the processes in a graceful stop: when
 * GracefulShutdownTimeout is over, counted from the request, or else when the
 * longest linger is. */
static apr_time_t graceful_deadline(const fw2_closer_process *process)
{
    apr_interval_time_t longest = 0;

    if (ap_graceful_shutdown_timeout) {
        return (graceful_asked ? graceful_asked : fw2_clock_now())
               + apr_time_from_sec(ap_graceful_shutdown_timeout);
    }
    for (; process; process = process->next) {
        longest =
            process->setup.longest > longest ? process->setup.longest : longest;
    }
    return fw2_clock_now() + longest + WAIT_MARGIN;
}

/* Wait until all processes have ended by themselves, or the time is over. Forks
 * of other modules may still have the children's end of a queue open, so a
 * signal tells the processes that no child sends any more. */
static void wait_gracefully(fw2_closer_processes processes)
{
    apr_time_t deadline = graceful_deadline(processes);

    signal_all(processes, FW2_SIGNAL_LAST);
    while (!all_gone(processes) && !stop_asked && fw2_clock_now() < deadline) {
        apr_sleep(5 * STOP_STEP);
    }
}

static void signal_and_wait(fw2_closer_processes processes, int signal)
{
    apr_time_t deadline = fw2_clock_now() + STOP_PATIENCE;

    signal_all(processes, signal);
    while (!all_gone(processes) && fw2_clock_now() < deadline) {
        apr_sleep(STOP_STEP);
    }
}

static void end_all(fw2_closer_process *process)
{
    if (!process->stopping && !stop_asked && !process->one_process
        && !has_children()) {
        wait_gracefully(process);
    }
    signal_and_wait(process, FW2_SIGNAL_STOP);
    signal_and_wait(process, SIGKILL); /* for a process stopped by SIGSTOP */
}

/* Let all processes go on without the parent. The new configuration may be
 * without this module, so httpd itself waits for the processes meanwhile. */
static void leave_all(fw2_closer_process *process)
{
    for (; process; process = process->next) {
        process->pconf = NULL;
        if (process->proc.pid) {
            kill(process->proc.pid, FW2_SIGNAL_RETIRE);
            ap_register_extra_mpm_process(process->proc.pid,
                                          process->generation);
        }
    }
}

/* Close the parent's ends of a queue without blocking. A hostile child may have
 * queued sockets with SO_LINGER, and a close of the last reference to such a
 * socket blocks, except in an exit. So a forked process keeps the queue open
 * until the parent has closed it. If the fork fails, the parent keeps the
 * closer process's end open. */
static void close_queue(fw2_queue *queue)
{
    pid_t holder = fork_without_signals();

    if (!holder) {
        for (;;) {
            pause(); /* until it is killed */
        }
    }
    fw2_queue_keep_receiver(queue);
    if (holder > 0) {
        fw2_queue_close(queue);
        kill(holder, SIGKILL);
        while (waitpid(holder, NULL, 0) < 0 && errno == EINTR) {
        }
    }
}

/* End the processes, or let them go on, before the configuration is freed.
 * Children and other forks of the parent may run this cleanup as well, and do
 * nothing. */
static apr_status_t end_configuration(void *data)
{
    fw2_closer_process *process = data;
    const ap_unixd_mpm_retained_data *mpm = ap_unixd_mpm_get_retained_data();

    if (getpid() != process->setup.parent) {
        return APR_SUCCESS;
    }
    if (mpm->restart_pending && !mpm->is_ungraceful && !process->one_process) {
        leave_all(process);
    }
    else {
        end_all(process);
    }
    if (mpm->restart_pending) { /* at a stop the exit closes it */
        close_queue(&process->setup.queue);
    }
    unwrap_handlers();
    return APR_SUCCESS;
}

fw2_setup *fw2_keeper_add(fw2_closer_processes *processes, apr_pool_t *pool,
                          apr_pool_t *pconf)
{
    apr_pool_t *own;
    fw2_closer_process *process;
    int generation = 0;

    adopt(processes, pconf);
    apr_pool_create(&own, pool);
    process = apr_pcalloc(own, sizeof(*process));
    process->pconf = pconf;
    process->one_process = ap_exists_config_define("ONE_PROCESS")
                           || ap_exists_config_define("DEBUG");
    process->setup.pool = own;
    process->setup.parent = getpid();
    process->setup.queue.send = process->setup.queue.receive = -1;
    ap_mpm_query(AP_MPMQ_GENERATION, &generation);
    process->generation = generation;
    process->next = *processes;
    *processes = process;
    apr_pool_pre_cleanup_register(pconf, process, end_configuration);
    return &process->setup;
}

void fw2_keeper_in_child(fw2_setup *setup)
{
    if (getpid() != setup->parent) { /* unlike with httpd -X */
        fw2_queue_keep_sender(&setup->queue);
    }
}

apr_size_t fw2_keeper_footprint(void)
{
    return sizeof(fw2_closer_process);
}
