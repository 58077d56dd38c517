/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * mod_finwait2: the end of a connection, for servers whose clients do not
 * close.
 *
 * Who closes a TCP connection first sends a FIN, and then depends on the peer:
 * until its FIN comes too, the connection is half-closed, in FIN_WAIT_2. A
 * server closes first whenever a keep-alive time runs out. It must then stay
 * with the socket for a while, reading and discarding, or late bytes of the
 * client's reset the response away: it lingers. httpd lingers in a worker, or
 * with all that a connection has; while it holds the descriptor no timer of
 * the kernel's runs, and once it has closed it, the kernel keeps an orphan for
 * a minute.
 *
 * Three things happen here, in rooms of their own under src/:
 *
 *   The kernel's part. config's directives become a policy for each server;
 *   vhosts gives httpd's listening sockets and keep-alive times what the
 *   policies say. A connection is born with what its listening socket has, so
 *   where the virtual hosts of one agree, that is all there is to do. Where
 *   they do not, conn gives it what its address's virtual host wants when it
 *   is accepted, and what its named one wants once a request has named it.
 *
 *   The linger. When httpd has written a connection's last, conn sends the FIN
 *   and hands the socket to the closer, a thread of each child's, which holds
 *   thousands in an epoll set and lets each go as soon as that is safe, most
 *   within a round trip. No worker waits.
 *
 *   The page. status writes a report of what sockdiag counts in the kernel's
 *   tables at httpd's own addresses, and of what the closers counted in
 *   counters, which all children share; sampler notes the same every few
 *   seconds in history, for the pictures.
 *
 * A failure anywhere leaves the connection to httpd, as ever.
 */

#include "httpd.h"
#include "http_config.h"
#include "http_connection.h"
#include "http_core.h"
#include "http_log.h"
#include "http_main.h"
#include "http_protocol.h"
#include "http_request.h"
#include "mpm_common.h"

#include "ap_mpm.h"
#include "mod_status.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "fw2_clients.h"
#include "fw2_closer.h"
#include "fw2_config.h"
#include "fw2_conn.h"
#include "fw2_counters.h"
#include "fw2_history.h"
#include "fw2_sampler.h"
#include "fw2_status.h"
#include "fw2_sync.h"
#include "fw2_vhosts.h"

extern module AP_MODULE_DECLARE_DATA finwait2_module;

#ifdef __SANITIZE_THREAD__
char fw2_sync_httpd;
#endif

/* What a child that stops gracefully gives the sockets in its hands: as much
 * as httpd itself would. */
#define PATIENCE apr_time_from_sec(2)

/* What survives a restart, which unloads this module. A new module may follow
 * an old one in a restart: where one of these changes, the key does. */
static const char key[] = "mod_finwait2 2";

typedef struct {
    fw2_counters *counters;
    fw2_clients *clients; /* NULL: nobody ever asked for them */
} finwait2_retained;

/* Made in post_config by the parent, read-only for its children. */
static const fw2_listeners *listeners;
static fw2_counters *counters;
static fw2_sources sources; /* of the page */

/* A child's own, made in child_init; read-only once it serves. */
static fw2_hands hands;
static int row = -1; /* among the counters */

/* ------------------------------------------------- the closer's observer */

static void note_taken(void *context, const fw2_tag *tag)
{
    fw2_counters_taken(counters, row, tag->vhost);
}

/* Who evicts is a worker, and a child that stops may have been stopped in the
 * middle of reading: neither waits for anybody. */
static int may_block(fw2_ending ending)
{
    return ending != FW2_EVICTED && ending != FW2_STOPPED;
}

/* Who has closed first has nothing to be told of. */
static void note_client(const fw2_tag *tag, fw2_ending ending)
{
    fw2_client_end end = { tag->agent, tag->net, ending,
                           tag->cause == FW2_CAUSE_KEEPALIVE };

    if (hands.clients && tag->cause != FW2_CAUSE_PEER) {
        fw2_clients_ended(hands.clients, &end, may_block(ending));
    }
}

static void note_ended(void *context, const fw2_ended *ended)
{
    fw2_counters_ended(counters, row, ended->tag.vhost, ended->ending,
                       ended->lingered, ended->drained);
    note_client(&ended->tag, ended->ending);
}

static void note_oldest(void *context, apr_time_t since)
{
    fw2_counters_oldest(counters, row, since);
}

static void note_fallback(void)
{
    fw2_counters_fallback(counters);
}

static void note_closed(fw2_vhost_id vhost, const fw2_closed *closed)
{
    fw2_counters_closed(counters, vhost, closed);
}

/* ------------------------------------------------------------ the parent */

static finwait2_retained *retained_data(void)
{
    finwait2_retained *retained = ap_retained_data_get(key);

    return retained ? retained
                    : ap_retained_data_create(key, sizeof(*retained));
}

/* Give each server its place among the counters, those of the former
 * configuration as far as they have one there. */
static apr_status_t prepare_counters(server_rec *main_server, apr_pool_t *pconf,
                                     apr_pool_t *ptemp)
{
    finwait2_retained *retained = retained_data();
    int n, i = 0, children = 1;
    const char **names = fw2_vhosts_names(main_server, &n, ptemp);
    fw2_vhost_id *ids = apr_palloc(ptemp, (apr_size_t)n * sizeof(*ids));
    server_rec *s;
    apr_status_t rv;

    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &children);
    rv = fw2_counters_prepare(&retained->counters, names, ids, n, children,
                              main_server->process->pool);
    counters = retained->counters;
    if (!counters) {
        return rv;
    }
    for (s = main_server; s; s = s->next) {
        fw2_config_set_vhost(s, ids[i++], pconf);
    }
    return rv;
}

/* Who the clients are is known only where that is wanted, and forgotten where
 * it is not any more. Without, all else works. */
static fw2_clients *prepare_clients(server_rec *main_server)
{
    finwait2_retained *retained = retained_data();
    apr_status_t rv;

    if (!fw2_config_status_peers(main_server)) {
        if (retained->clients) {
            fw2_clients_want(retained->clients, 0);
        }
        return NULL;
    }
    if (!retained->clients) {
        rv = fw2_clients_create(&retained->clients, main_server->process->pool);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, rv, main_server,
                         "the page does not tell which clients leave "
                         "connections open: the memory or the lock for that "
                         "cannot be had. All else works");
        }
    }
    if (retained->clients) {
        fw2_clients_want(retained->clients, 1);
    }
    return retained->clients;
}

static apr_status_t prepare_memory(server_rec *main_server, apr_pool_t *pconf,
                                   apr_pool_t *ptemp)
{
    apr_status_t counting = prepare_counters(main_server, pconf, ptemp), rv;

    sources.counters = counters;
    sources.names = listeners->names;
    sources.n = listeners->n;
    rv = fw2_snapshot_create(
        &sources.snapshot, listeners->endpoints, listeners->n,
        fw2_config_status_peers(main_server) ? FW2_PEERS_MAX : 0, pconf);
    return counting == APR_SUCCESS ? rv : counting;
}

/* At a start this is the administrator's to see at once. A server that runs is
 * not taken down for it. */
static int refuse_to_start(server_rec *s, apr_status_t rv, int had_counters)
{
    if (had_counters) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                     "mod_finwait2 cannot have the shared memory that it "
                     "needs after this restart; it goes on with what it has: "
                     "new virtual hosts share counters, and each child counts "
                     "for the page itself");
        return OK;
    }
    ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_EMERG, rv, s,
                 "mod_finwait2 cannot have the shared memory that its counters "
                 "and its page need; httpd does not start. Without LoadModule "
                 "finwait2_module it will");
    return HTTP_INTERNAL_SERVER_ERROR;
}

/* What each virtual host wants, by its place among the counters; to be called
 * when the keep-alive times are there. The first server of a name counts. */
static const fw2_settings *settings_of(const server_rec *s, apr_pool_t *pconf)
{
    fw2_settings *settings =
        apr_pcalloc(pconf, fw2_counters_places(counters) * sizeof(*settings));

    for (; s; s = s->next) {
        fw2_settings *at = &settings[fw2_config_vhost(s)];

        if (!at->policy) {
            at->policy = fw2_config_policy(s);
            at->keepalive = s->keep_alive_timeout;
        }
    }
    return settings;
}

static int finwait2_post_config(apr_pool_t *pconf, apr_pool_t *plog,
                                apr_pool_t *ptemp, server_rec *s)
{
    fw2_limits limits;
    apr_status_t rv;
    int had_counters;

    /* httpd reads its configuration once to check it, before it starts. */
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    listeners = fw2_vhosts_listen(s, pconf);
    had_counters = retained_data()->counters != NULL;
    rv = prepare_memory(s, pconf, ptemp);
    if (rv != APR_SUCCESS && refuse_to_start(s, rv, had_counters) != OK) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    fw2_sockdiag_limits(&limits);
    fw2_config_warn(s, limits.tcp_fin_timeout);
    sources.clients = prepare_clients(s);
    fw2_vhosts_keepalive(s);
    sources.settings = settings_of(s, pconf);
    sources.sample_interval = fw2_config_sample(s);
    sources.history = fw2_sampler_prepare(s, &sources, pconf);
    return OK;
}

static void finwait2_child_status(server_rec *s, pid_t pid, ap_generation_t gen,
                                  int slot, mpm_child_status state)
{
    if (state == MPM_CHILD_EXITED && counters) {
        fw2_counters_gone(counters, pid);
    }
}

/* ------------------------------------------------------------- the child */

static apr_status_t stop_closer(void *data)
{
    fw2_closer_stop(data, PATIENCE);
    hands.closer = NULL;
    return APR_SUCCESS;
}

static int slots_wanted(server_rec *s)
{
    int slots = fw2_config_slots(s);

    return slots == FW2_SLOTS_AUTO ? fw2_closer_auto_slots() : slots;
}

/* With all signals held back: prefork's child may be told to stop, and would do
 * so at once, before anybody knows of the thread. */
static apr_status_t start_closer(int slots, apr_pool_t *pchild)
{
    static const fw2_observer observer = { NULL, note_taken, note_ended,
                                           note_oldest };
    sigset_t all, before;
    apr_status_t rv;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rv = fw2_closer_start(&hands.closer, slots, &observer, pchild);
    if (rv == APR_SUCCESS) {
        /* Before the pool's children go, the thread's own being one of them. */
        apr_pool_pre_cleanup_register(pchild, hands.closer, stop_closer);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rv;
}

/* A child without a closer is a child like any other. */
static void finwait2_child_init(apr_pool_t *pchild, server_rec *s)
{
    int slots = slots_wanted(s);
    apr_status_t rv;

    hands.fallback = note_fallback;
    hands.closed = note_closed;
    hands.clients = sources.clients;
    if (!fw2_vhosts_linger(s)) {
        return;
    }
    row = fw2_counters_begin(counters, slots);
    rv = start_closer(slots, pchild);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                     "cannot start the closer for %d connections in this "
                     "child; httpd lingers itself, as without mod_finwait2",
                     slots);
        fw2_counters_gone(counters, getpid());
        row = -1;
    }
}

/*
 * prefork calls no stop graceful, but only a fast one ends its child in the
 * handler of SIGTERM or SIGHUP, where these are blocked.
 */
static int in_signal_handler(void)
{
    sigset_t blocked;

    sigemptyset(&blocked);
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    return sigismember(&blocked, SIGTERM) || sigismember(&blocked, SIGHUP);
}

static void finwait2_child_stopping(apr_pool_t *pchild, int graceful)
{
    int threaded = AP_MPMQ_NOT_SUPPORTED;

    ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded);
    if (threaded == AP_MPMQ_NOT_SUPPORTED) {
        graceful = !in_signal_handler();
    }
    if (!graceful && hands.closer) {
        fw2_closer_hurry(hands.closer);
    }
}

static int finwait2_pre_connection(conn_rec *c, void *csd)
{
    fw2_from_httpd();
    fw2_conn_accepted(c, csd, listeners);
    fw2_to_httpd();
    return OK;
}

static int finwait2_post_read_request(request_rec *r)
{
    fw2_from_httpd();
    fw2_conn_request(r, &hands);
    fw2_to_httpd();
    return DECLINED;
}

static int finwait2_log_transaction(request_rec *r)
{
    fw2_from_httpd();
    fw2_conn_logged(r);
    fw2_to_httpd();
    return DECLINED;
}

static int finwait2_pre_close_connection(conn_rec *c)
{
    fw2_from_httpd();
    fw2_conn_closing(c, &hands);
    fw2_to_httpd();
    return DECLINED;
}

static int finwait2_handler(request_rec *r)
{
    int status;

    fw2_from_httpd();
    status = fw2_status_handler(r, &sources);
    fw2_to_httpd();
    return status;
}

static int finwait2_status_hook(request_rec *r, int flags)
{
    int status;

    fw2_from_httpd();
    status = fw2_status_block(r, flags, &sources);
    fw2_to_httpd();
    return status;
}

static void finwait2_register_hooks(apr_pool_t *pool)
{
    static const char *const watchdog[] = { "mod_watchdog.c", NULL };

    fw2_conn_register();
    /* Before the event MPM's (MIDDLE), which makes a queue for each keep-alive
     * time that it finds. */
    ap_hook_post_config(finwait2_post_config, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_child_status(finwait2_child_status, NULL, NULL, APR_HOOK_MIDDLE);
    /* Before mod_watchdog's, which starts a thread: to grow the descriptor
     * table takes long where several share it. */
    ap_hook_child_init(finwait2_child_init, NULL, watchdog, APR_HOOK_MIDDLE);
    ap_hook_child_stopping(finwait2_child_stopping, NULL, NULL,
                           APR_HOOK_MIDDLE);
    /* Before core's (REALLY_LAST), which ends the hook. */
    ap_hook_pre_connection(finwait2_pre_connection, NULL, NULL,
                           APR_HOOK_MIDDLE);
    /* Before any that may end the hook with an error: the request's virtual
     * host is known by now, and closing is part of answering an error. */
    ap_hook_post_read_request(finwait2_post_read_request, NULL, NULL,
                              APR_HOOK_REALLY_FIRST);
    /* Before mod_log_config's (MIDDLE), which may want our note. */
    ap_hook_log_transaction(finwait2_log_transaction, NULL, NULL,
                            APR_HOOK_FIRST);
    /* Before mod_http2's (LAST), which ends the hook with DONE. What it has
     * to say, it says before the filter that is put in here sees the end. */
    ap_hook_pre_close_connection(finwait2_pre_close_connection, NULL, NULL,
                                 APR_HOOK_FIRST);
    ap_hook_handler(finwait2_handler, NULL, NULL, APR_HOOK_MIDDLE);
    /* Of mod_status, if that is there. */
    APR_OPTIONAL_HOOK(ap, status_hook, finwait2_status_hook, NULL, NULL,
                      APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(finwait2) = { STANDARD20_MODULE_STUFF,
                                NULL, /* no directory configuration */
                                NULL,
                                fw2_config_create,
                                fw2_config_merge,
                                fw2_config_commands,
                                finwait2_register_hooks,
                                AP_MODULE_FLAG_NONE };
