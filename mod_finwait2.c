/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * mod_finwait2: the end of a connection, for servers whose clients do not
 * close.
 *
 * The end that closes a TCP connection first sends a FIN, and then depends on
 * the other end: until its FIN comes too, the connection is half-closed, in
 * FIN_WAIT_2. A server closes first whenever a keep-alive time runs out. It
 * must then stay with the socket for a while, reading and discarding, or late
 * bytes of the client reset the response away: it lingers. httpd lingers in a
 * worker, or with all that a connection has; while it holds the descriptor no
 * timer of the kernel runs, and once it has closed it, the kernel keeps an
 * orphan for a minute.
 *
 * Three things happen here, in rooms of their own under src/:
 *
 *   The kernel's part. config's directives become a policy for each server;
 *   vhosts gives httpd's listening sockets and keep-alive times what the
 *   policies say. A connection is born with what its listening socket has, so
 *   where the virtual hosts of one agree, that is all there is to do. If they
 *   do not, conn gives it what its address's virtual host wants when it
 *   is accepted, and what its named one wants once a request has named it.
 *
 *   The linger. When httpd has written everything, conn sends the FIN and hands
 *   the socket off to the closer process: one process for the whole server,
 *   which the parent forks (keeper) and which holds thousands of sockets in an
 *   epoll set (process, closer). It closes each as soon as that is safe, most
 *   within a round trip. No worker waits.
 *
 *   The page. status writes a report of what the closer process counts in the
 *   kernel's tables at httpd's own addresses and publishes (board, history,
 *   clients), and of the counters that all processes add to.
 *
 * A failure anywhere leaves the connection to httpd, as ever.
 */

#include "closing/compat.h" /* first: it refuses what is too old */

#include "httpd.h"
#include "http_config.h"
#include "http_connection.h"
#include "http_core.h"
#include "http_log.h"
#include "http_main.h"
#include "http_protocol.h"
#include "http_request.h"
#include "mpm_common.h"

#include "apr_strings.h"
#include "ap_mpm.h"
#include "mod_status.h"

#include "shared/clients.h"
#include "closing/config.h"
#include "closing/conn.h"
#include "shared/counters.h"
#include "shared/history.h"
#include "closing/keepalive.h"
#include "closing/keeper.h"
#include "page/status.h"
#include "base/sync.h"
#include "closing/vhosts.h"
#include "base/version.h"

extern module AP_MODULE_DECLARE_DATA finwait2_module;

#ifdef __SANITIZE_THREAD__
char fw2_sync_httpd;
#endif

/* The data that survives a restart, which unloads this module. */
typedef struct {
    fw2_counters *counters;
    fw2_history *history; /* shared; NULL: never wanted */
    fw2_clients *clients; /* NULL: never wanted */
    fw2_keeper keeper;
    apr_uint64_t digest; /* of the settings; 0: there were none before */
} finwait2_retained;

/* Made in post_config by the parent, constant in its children. */
static const fw2_listeners *listeners;
static fw2_kept *kept;
static fw2_sources sources; /* of the page */
static fw2_child child;     /* what connections are handed off with */
static int promises;        /* a virtual host has FinWait2KeepAliveAdvertise */

/* ------------------------------------------------------------ the parent -- */

/* A new module may follow an old one in a restart. It begins anew if one of the
 * layouts that survive has another size. */
static finwait2_retained *retained_data(void)
{
    char key[128];
    finwait2_retained *retained;

    apr_snprintf(key, sizeof(key), "mod_finwait2 %d %d %d %d %d %d",
                 (int)sizeof(finwait2_retained), (int)sizeof(fw2_history),
                 (int)fw2_keeper_footprint(), (int)fw2_counters_footprint(),
                 (int)fw2_board_footprint(), (int)fw2_clients_footprint());
    retained = ap_retained_data_get(key);
    return retained ? retained
                    : ap_retained_data_create(key, sizeof(*retained));
}

/* Give each server its place among the counters, that of its name. */
static apr_status_t prepare_counters(server_rec *main_server, apr_pool_t *pconf,
                                     apr_pool_t *ptemp)
{
    finwait2_retained *retained = retained_data();
    int n, i = 0;
    const char **names = fw2_vhosts_names(main_server, &n, ptemp);
    fw2_vhost_id *ids = apr_palloc(ptemp, (apr_size_t)n * sizeof(*ids));
    server_rec *s;
    apr_status_t rv;

    rv = fw2_counters_prepare(&retained->counters, names, ids, n,
                              main_server->process->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (s = main_server; s; s = s->next) {
        fw2_config_set_vhost(s, ids[i++], pconf);
    }
    return rv;
}

/* A part that cannot be had is missing on the page; all else works. */
static void warn_missing(const server_rec *s, apr_status_t rv, const char *what)
{
    ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                 "the page has no %s: its shared memory cannot be had. All "
                 "else works",
                 what);
}

/* The clients are listed only where that is wanted, and forgotten where it is
 * not wanted any more. */
static fw2_clients *prepare_clients(server_rec *main_server)
{
    finwait2_retained *retained = retained_data();
    apr_status_t rv;

    if (!fw2_config_status_peers(main_server)) {
        if (retained->clients) {
            fw2_clients_forget(retained->clients);
        }
        return NULL;
    }
    if (!retained->clients) {
        rv = fw2_clients_create(&retained->clients, main_server->process->pool);
        if (rv != APR_SUCCESS) {
            warn_missing(main_server, rv, "lists of clients");
        }
    }
    return retained->clients;
}

static fw2_history *prepare_history(server_rec *main_server)
{
    finwait2_retained *retained = retained_data();
    apr_status_t rv;

    if (fw2_config_sample(main_server) == FW2_SAMPLE_OFF) {
        return NULL;
    }
    if (!retained->history) {
        rv = fw2_history_create(&retained->history, main_server->process->pool);
        if (rv != APR_SUCCESS) {
            warn_missing(main_server, rv, "history");
        }
    }
    return retained->history;
}

/* Why the next sample is not like the one before. */
static apr_uint64_t marks_of(const server_rec *main_server)
{
    finwait2_retained *retained = retained_data();
    apr_uint64_t digest = fw2_config_digest(main_server);
    int changed = retained->digest && retained->digest != digest;

    retained->digest = digest;
    return FW2_MARK_RESTART | (changed ? FW2_MARK_CONFIG : 0);
}

/* At a start this is the administrator's to see at once. A server that runs is
 * not taken down for it. */
static int refuse_to_start(server_rec *s, apr_status_t rv, int had_counters)
{
    if (had_counters) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                     "mod_finwait2 cannot have the shared memory that it "
                     "needs after this restart. httpd goes on and lingers "
                     "itself, as without mod_finwait2, and there is no page "
                     "until the next restart");
        return OK;
    }
    ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_EMERG, rv, s,
                 "mod_finwait2 cannot have the shared memory that its counters "
                 "and its page need; httpd does not start. Without LoadModule "
                 "finwait2_module it will");
    return HTTP_INTERNAL_SERVER_ERROR;
}

/* The settings of each virtual host, by its place among the counters; to be
 * called when the keep-alive times are there. The first server of a name
 * counts. */
static const fw2_settings *settings_of(const server_rec *s, apr_pool_t *pconf)
{
    const fw2_counters *counters = retained_data()->counters;
    fw2_settings *settings =
        apr_pcalloc(pconf, fw2_counters_places(counters) * sizeof(*settings));

    for (; s; s = s->next) {
        fw2_settings *at = &settings[fw2_config_vhost(s)];

        if (!at->policy) {
            at->policy = fw2_config_policy(s);
            at->keepalive = s->keep_alive_timeout;
            at->linger = fw2_config_longest(s);
            at->varies = fw2_config_varies(s);
        }
    }
    return settings;
}

/* A queue that cannot be had leaves a process that only counts. */
static void prepare_queue(fw2_queue *queue, const server_rec *s)
{
    apr_status_t rv = fw2_queue_create(queue);

    if (rv != APR_SUCCESS && child.lingers) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                     "cannot make the queue to the process finwait2: httpd "
                     "lingers itself, as without mod_finwait2. All else works");
    }
}

/* In the closer process: the verdict on what it has published. */
static apr_int64_t severity(apr_pool_t *pool)
{
    return fw2_status_severity(&sources, pool);
}

static void fill_setup(fw2_setup *setup, server_rec *s)
{
    setup->counters = retained_data()->counters;
    setup->clients = prepare_clients(s);
    setup->history = prepare_history(s);
    setup->endpoints = listeners->endpoints;
    setup->n = listeners->n;
    setup->peers = fw2_config_status_peers(s) ? FW2_PEERS_MAX : 0;
    setup->lingers = child.lingers;
    setup->slots = fw2_config_slots(s);
    setup->pages = fw2_config_status(s);
    setup->inherit = 1;
    setup->sample_interval = fw2_config_sample(s);
    setup->longest = fw2_vhosts_longest(s);
    setup->severity = setup->pages ? severity : NULL;
    setup->marks = marks_of(s);
    prepare_queue(&setup->queue, s);
}

/* Share what the page and the connections of this configuration's children
 * use. */
static void share_setup(const fw2_setup *setup, server_rec *s,
                        apr_pool_t *pconf)
{
    child.listeners = listeners;
    child.queue = &setup->queue;
    child.board = setup->board;
    child.counters = setup->counters;
    child.agents = setup->clients != NULL;
    sources.queue = &setup->queue;
    sources.boards =
        fw2_keeper_boards(retained_data()->keeper, &sources.nboards, pconf);
    sources.lingers = child.lingers;
    sources.names = listeners->names;
    sources.n = listeners->n;
    sources.counters = setup->counters;
    sources.settings = settings_of(s, pconf);
    sources.clients = setup->clients;
    sources.history = setup->history;
    sources.sample_interval = setup->sample_interval;
}

static apr_status_t prepare_board(fw2_kept *of)
{
    const fw2_counters *counters = retained_data()->counters;

    return fw2_board_create(&fw2_keeper_setup(of)->board, listeners->n,
                            (int)fw2_counters_places(counters),
                            fw2_counters_layout(counters), fw2_keeper_pool(of));
}

static int finwait2_post_config(apr_pool_t *pconf, apr_pool_t *plog,
                                apr_pool_t *ptemp, server_rec *s)
{
    finwait2_retained *retained;
    fw2_limits limits;
    apr_status_t rv;
    int had_counters;

    /* httpd reads its configuration once to check it, before it starts. */
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    retained = retained_data();
    listeners = fw2_vhosts_listen(s, pconf);
    child.lingers = fw2_vhosts_linger(s);
    sources.wanted = fw2_config_status(s);
    had_counters = retained->counters != NULL;
    rv = prepare_counters(s, pconf, ptemp);
    if (rv != APR_SUCCESS) {
        return refuse_to_start(s, rv, had_counters);
    }
    fw2_sockdiag_limits(&limits);
    fw2_config_warn(s, limits.tcp_fin_timeout);
    fw2_vhosts_keepalive(s, ptemp);
    promises = fw2_vhosts_promise(s, ptemp);
    kept = fw2_keeper_add(&retained->keeper, s, s->process->pool, pconf);
    rv = prepare_board(kept);
    return rv == APR_SUCCESS ? OK : refuse_to_start(s, rv, had_counters);
}

static int finwait2_start_process(apr_pool_t *pconf, apr_pool_t *plog,
                                  apr_pool_t *ptemp, server_rec *s)
{
    if (kept && fw2_keeper_setup(kept)->board) {
        fill_setup(fw2_keeper_setup(kept), s);
        share_setup(fw2_keeper_setup(kept), s, pconf);
        fw2_keeper_start(kept);
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                     "mod_finwait2/" FW2_VERSION " configured");
    }
    return OK;
}

static int finwait2_monitor(apr_pool_t *p, server_rec *s)
{
    fw2_keeper_monitor(retained_data()->keeper);
    return DECLINED;
}

static void finwait2_child_status(server_rec *s, pid_t pid, ap_generation_t gen,
                                  int slot, mpm_child_status state)
{
    if (state == MPM_CHILD_STARTED && child.board) {
        fw2_keeper_signals();
    }
}

/* ------------------------------------------------------------- the child -- */

static void finwait2_child_init(apr_pool_t *pchild, server_rec *s)
{
    if (child.board) {
        fw2_keeper_in_child(kept);
    }
}

static int finwait2_pre_connection(conn_rec *c, void *csd)
{
    fw2_sync_from_httpd();
    if (child.board) { /* else there is no shared memory since a restart */
        fw2_conn_accepted(c, csd, &child);
    }
    fw2_sync_to_httpd();
    return OK;
}

static int finwait2_create_request(request_rec *r)
{
    if (promises) {
        fw2_keepalive_request(r);
    }
    return OK;
}

static int finwait2_post_read_request(request_rec *r)
{
    fw2_sync_from_httpd();
    fw2_conn_request(r);
    fw2_sync_to_httpd();
    return DECLINED;
}

static int finwait2_log_transaction(request_rec *r)
{
    fw2_sync_from_httpd();
    fw2_conn_logged(r);
    fw2_sync_to_httpd();
    return DECLINED;
}

static int finwait2_pre_close_connection(conn_rec *c)
{
    fw2_sync_from_httpd();
    fw2_conn_closing(c);
    fw2_sync_to_httpd();
    return DECLINED;
}

static int finwait2_handler(request_rec *r)
{
    int status;

    fw2_sync_from_httpd();
    status = fw2_status_handler(r, &sources);
    fw2_sync_to_httpd();
    return status;
}

static int finwait2_status_hook(request_rec *r, int flags)
{
    int status;

    fw2_sync_from_httpd();
    status = fw2_status_block(r, flags, &sources);
    fw2_sync_to_httpd();
    return status;
}

static void finwait2_register_hooks(apr_pool_t *pool)
{
    fw2_conn_register();
    fw2_keepalive_register();
    /* Before the event MPM's (MIDDLE), which makes a queue for each keep-alive
     * time that it finds. */
    ap_hook_post_config(finwait2_post_config, NULL, NULL, APR_HOOK_FIRST);
    /* After all others', which may fork daemons: those shall not have the
     * queue. */
    ap_hook_post_config(finwait2_start_process, NULL, NULL,
                        APR_HOOK_REALLY_LAST);
    ap_hook_child_status(finwait2_child_status, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(finwait2_monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(finwait2_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    /* Before core's (REALLY_LAST), which ends the hook. */
    ap_hook_pre_connection(finwait2_pre_connection, NULL, NULL,
                           APR_HOOK_MIDDLE);
    /* Before httpd's own (REALLY_LAST): of filters of one type, the first is
     * called first. */
    ap_hook_create_request(finwait2_create_request, NULL, NULL,
                           APR_HOOK_MIDDLE);
    /* Before any that may end the hook with an error: the request's virtual
     * host is known by now, and closing is part of answering an error. */
    ap_hook_post_read_request(finwait2_post_read_request, NULL, NULL,
                              APR_HOOK_REALLY_FIRST);
    /* Before mod_log_config's (MIDDLE), which may want our note. */
    ap_hook_log_transaction(finwait2_log_transaction, NULL, NULL,
                            APR_HOOK_FIRST);
    /* Before mod_http2's (LAST), which ends the hook with DONE. Its output
     * passes before the filter that is put in here sees the end. */
    ap_hook_pre_close_connection(finwait2_pre_close_connection, NULL, NULL,
                                 APR_HOOK_FIRST);
    ap_hook_handler(finwait2_handler, NULL, NULL, APR_HOOK_MIDDLE);
    /* The hook of mod_status, if that is there. */
    APR_OPTIONAL_HOOK(ap, status_hook, finwait2_status_hook, NULL, NULL,
                      APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(finwait2) = {
    STANDARD20_MODULE_STUFF, fw2_config_create_section, fw2_config_merge,
    fw2_config_create,       fw2_config_merge,          fw2_config_commands,
    finwait2_register_hooks, AP_MODULE_FLAG_NONE
};
