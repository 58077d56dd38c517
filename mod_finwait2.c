/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * mod_finwait2: ends connections for servers with clients that do not close.
 *
 * The side that closes a TCP connection first sends a FIN, and then depends on
 * the other side: until the other FIN arrives, the connection is half-closed,
 * in FIN_WAIT_1 and, once the FIN is acknowledged, in FIN_WAIT_2. A server
 * closes first whenever a keep-alive time runs out. The server must then keep
 * the socket for a while, and read and discard bytes: it lingers. Without a
 * linger, late bytes of the client cause a reset, which discards the response.
 * httpd lingers in a worker, or with all memory of the connection. While httpd
 * holds the descriptor, no timer of the kernel runs; after httpd has closed it,
 * the kernel keeps an orphan for a minute.
 *
 * The module has three parts, in rooms of their own under src/:
 *
 *   Socket options. The directives (config) become a policy for each server.
 *   vhosts sets socket options and keep-alive times by the policies, on httpd's
 *   listening sockets and servers. A connection inherits the options of its
 *   listening socket, so if the socket's virtual hosts agree, nothing is left
 *   to do. Otherwise conn sets the options of the address's virtual host when a
 *   connection is accepted, and those of the named virtual host when a request
 *   is read.
 *
 *   The linger. When httpd has written everything, conn sends the FIN and hands
 *   the socket off to the closer process. The parent forks one closer process
 *   for the whole server (keeper), which holds thousands of sockets in an epoll
 *   set (process, closer). It closes each socket as soon as this is safe, most
 *   within a round trip. No worker waits.
 *
 *   The page. The closer process counts the sockets at httpd's addresses in the
 *   kernel's tables, and publishes the counts (board, history, clients). All
 *   processes add to the totals (counters). status writes a report of both.
 *
 * After any failure httpd lingers on the connection itself, as it does without
 * this module.
 */

#include "closing/compat.h" /* first, as it checks the version of httpd */

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
    fw2_history *history; /* NULL: never configured so far */
    fw2_clients *clients; /* NULL: never configured so far */
    fw2_closer_processes processes;
    apr_uint64_t digest; /* of the last settings; 0: none yet */
} finwait2_retained;

/* Made in post_config by the parent, constant in its children. */
static finwait2_retained *retained;
static const fw2_listeners *listeners;
static fw2_setup *setup;    /* the data of the closer process */
static fw2_sources sources; /* the data of the page */
static fw2_child child;     /* the data for connections */
static int promises;        /* 1: FinWait2KeepAliveAdvertise is set somewhere */

/* ------------------------------------------------------------ the parent -- */

/* Return the retained data. After a restart with another version of this module
 * the data is new if the size of any retained structure has changed. */
static finwait2_retained *retained_data(void)
{
    char key[128];
    finwait2_retained *data;

    apr_snprintf(key, sizeof(key), "mod_finwait2 %d %d %d %d %d %d",
                 (int)sizeof(finwait2_retained), (int)sizeof(fw2_history),
                 (int)fw2_keeper_footprint(), (int)fw2_counters_footprint(),
                 (int)fw2_board_footprint(), (int)fw2_clients_footprint());
    data = ap_retained_data_get(key);
    return data ? data : ap_retained_data_create(key, sizeof(*data));
}

/* Set the number of each server among the counters, by its name. */
static apr_status_t prepare_counters(server_rec *main_server, apr_pool_t *pconf,
                                     apr_pool_t *ptemp)
{
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

/* Warn that the page is without one of its parts. */
static void warn_missing(const server_rec *s, apr_status_t rv, const char *what)
{
    ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                 "the page has no %s: cannot allocate its shared memory. All "
                 "else works",
                 what);
}

/* Return the lists of clients, or NULL without FinWait2StatusPeers On. Lists of
 * a former configuration are then erased. */
static fw2_clients *prepare_clients(server_rec *main_server)
{
    apr_status_t rv;

    if (!fw2_config_globals(main_server)->peers) {
        if (retained->clients) {
            fw2_clients_erase(retained->clients);
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

/* Return the history, or NULL without samples. */
static fw2_history *prepare_history(server_rec *main_server)
{
    apr_status_t rv;

    if (setup->sample_interval == FW2_SAMPLE_OFF) {
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

/* Return the marks of the next sample: a restart, and a change of settings. */
static apr_uint64_t marks_of(const server_rec *main_server)
{
    apr_uint64_t digest = fw2_config_digest(main_server);
    int changed = retained->digest && retained->digest != digest;

    retained->digest = digest;
    return FW2_MARK_RESTART | (changed ? FW2_MARK_CONFIG : 0);
}

/* Report that there is no shared memory. At a start httpd refuses to start, so
 * that the administrator sees the error at once; at a restart httpd goes on. */
static int report_no_memory(server_rec *s, apr_status_t rv, int had_counters)
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

/* Return the settings of each virtual host, by its number among the counters.
 * Servers with the same name have the settings of the first. To be called after
 * fw2_vhosts_keepalive(). */
static const fw2_settings *settings_of(const server_rec *s, apr_pool_t *pconf)
{
    const fw2_counters *counters = retained->counters;
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

/* Make the queue. Without a queue the closer process only counts. */
static void prepare_queue(const server_rec *s)
{
    apr_status_t rv = fw2_queue_create(&setup->queue);

    if (rv != APR_SUCCESS && setup->lingers) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                     "cannot make the queue to the process finwait2: httpd "
                     "lingers itself, as without mod_finwait2. All else works");
    }
}

/* Return the severity of the published data. The closer process. */
static apr_int64_t severity(apr_pool_t *pool)
{
    return fw2_status_severity(&sources, pool);
}

static void fill_setup(server_rec *s)
{
    const fw2_globals *globals = fw2_config_globals(s);

    setup->pages = globals->status != 0;
    /* Only the page shows the history. */
    setup->sample_interval = setup->pages ? globals->sample : FW2_SAMPLE_OFF;
    setup->counters = retained->counters;
    setup->clients = prepare_clients(s);
    setup->history = prepare_history(s);
    setup->endpoints = listeners->endpoints;
    setup->n = listeners->n;
    setup->peers = globals->peers ? FW2_PEERS_MAX : 0;
    setup->lingers = fw2_vhosts_linger(s);
    setup->slots = (int)globals->slots;
    setup->longest = fw2_vhosts_longest(s);
    setup->severity = setup->pages ? severity : NULL;
    setup->marks = marks_of(s);
    prepare_queue(s);
}

/* Set the data that the page and the connections use in this configuration's
 * children. */
static void share_setup(server_rec *s, apr_pool_t *pconf)
{
    child.listeners = listeners;
    child.queue = &setup->queue;
    child.board = setup->board;
    child.counters = setup->counters;
    child.agents = setup->clients != NULL;
    sources.queue = &setup->queue;
    sources.boards =
        fw2_keeper_boards(retained->processes, &sources.nboards, pconf);
    sources.lingers = setup->lingers;
    sources.names = listeners->names;
    sources.n = listeners->n;
    sources.counters = setup->counters;
    sources.settings = settings_of(s, pconf);
    sources.clients = setup->clients;
    sources.history = setup->history;
    sources.sample_interval = setup->sample_interval;
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
    retained = retained_data();
    listeners = fw2_vhosts_listen(s, pconf);
    sources.wanted = fw2_config_globals(s)->status != 0;
    had_counters = retained->counters != NULL;
    rv = prepare_counters(s, pconf, ptemp);
    if (rv != APR_SUCCESS) {
        return report_no_memory(s, rv, had_counters);
    }
    fw2_sockdiag_limits(&limits);
    fw2_config_warn(s, limits.tcp_fin_timeout);
    fw2_vhosts_keepalive(s, ptemp);
    promises = fw2_vhosts_promise(s, ptemp);
    setup = fw2_keeper_add(&retained->processes, s->process->pool, pconf);
    rv = fw2_board_create(&setup->board, listeners->n,
                          (int)fw2_counters_places(retained->counters),
                          fw2_counters_layout(retained->counters), setup->pool);
    return rv == APR_SUCCESS ? OK : report_no_memory(s, rv, had_counters);
}

static int finwait2_start_process(apr_pool_t *pconf, apr_pool_t *plog,
                                  apr_pool_t *ptemp, server_rec *s)
{
    if (setup && setup->board) {
        fill_setup(s);
        share_setup(s, pconf);
        fw2_keeper_start(retained->processes);
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                     "mod_finwait2/" FW2_VERSION " configured");
    }
    return OK;
}

static int finwait2_monitor(apr_pool_t *p, server_rec *s)
{
    fw2_keeper_start(retained->processes);
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
        fw2_keeper_in_child(setup);
    }
}

static int finwait2_pre_connection(conn_rec *c, void *csd)
{
    fw2_sync_from_httpd();
    if (child.board) { /* NULL: a restart found no shared memory */
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
     * time. */
    ap_hook_post_config(finwait2_post_config, NULL, NULL, APR_HOOK_FIRST);
    /* After those of other modules, which may fork daemons: a daemon must not
     * inherit the queue. */
    ap_hook_post_config(finwait2_start_process, NULL, NULL,
                        APR_HOOK_REALLY_LAST);
    ap_hook_child_status(finwait2_child_status, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(finwait2_monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(finwait2_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    /* Before core's (REALLY_LAST), which ends the hook. */
    ap_hook_pre_connection(finwait2_pre_connection, NULL, NULL,
                           APR_HOOK_MIDDLE);
    /* Before httpd's own (REALLY_LAST): among filters of one type, the filter
     * that was added first is called first. */
    ap_hook_create_request(finwait2_create_request, NULL, NULL,
                           APR_HOOK_MIDDLE);
    /* Before any hook that may end the request with an error: the request's
     * virtual host is already known, and its policy also applies after an
     * error. */
    ap_hook_post_read_request(finwait2_post_read_request, NULL, NULL,
                              APR_HOOK_REALLY_FIRST);
    /* Before mod_log_config's (MIDDLE), which may log the note. */
    ap_hook_log_transaction(finwait2_log_transaction, NULL, NULL,
                            APR_HOOK_FIRST);
    /* Before mod_http2's (LAST), which ends the hook with DONE. The filter that
     * is added here still sees the end of the connection after mod_http2's
     * output. */
    ap_hook_pre_close_connection(finwait2_pre_close_connection, NULL, NULL,
                                 APR_HOOK_FIRST);
    ap_hook_handler(finwait2_handler, NULL, NULL, APR_HOOK_MIDDLE);
    /* The hook of mod_status, if that module is loaded. */
    APR_OPTIONAL_HOOK(ap, status_hook, finwait2_status_hook, NULL, NULL,
                      APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(finwait2) = {
    STANDARD20_MODULE_STUFF, fw2_config_create_section, fw2_config_merge,
    fw2_config_create,       fw2_config_merge,          fw2_config_commands,
    finwait2_register_hooks, AP_MODULE_FLAG_NONE
};
