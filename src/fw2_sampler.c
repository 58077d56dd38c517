/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "fw2_sampler.h"

#include <string.h>

#include "apr_shm.h"
#include "http_config.h"
#include "http_log.h"

#include "ap_mpm.h"
#include "mod_watchdog.h"

#include "fw2_config.h"
#include "fw2_report.h"
#include "fw2_sync.h"

APLOG_USE_MODULE(finwait2);

/* A clock that is set back is noticed so late at most. */
#define LONGEST_SLEEP apr_time_from_sec(5)

/* What survives a restart, which unloads this module. A new module may follow
 * an old one in a restart: where fw2_history changes, the key does. */
static const char key[] = "mod_finwait2 history 1";

typedef struct {
    fw2_history *history; /* shared; NULL: never wanted */
    apr_uint64_t digest;  /* of the settings; 0: there were none before */
} fw2_retained;

/* What a sample takes; made by the parent, read-only for its children. */
typedef struct {
    fw2_history *history;
    apr_interval_time_t interval;
    const fw2_sources *sources;
} fw2_sampler;

/* ------------------------------------------------------------- the child */

static void measure(const fw2_sampler *sampler, fw2_sample *sample,
                    apr_pool_t *pool)
{
    fw2_report report;
    int i;

    fw2_report_make(&report, sampler->sources, pool);
    sample->held = report.half_closed.held;
    sample->orphan = report.half_closed.orphan;
    sample->timewait = report.limits.timewait;
    sample->closes = sample->by_server = 0;
    for (i = 0; i < report.nvhosts; i++) {
        const apr_int64_t *closes = report.vhosts[i].totals.closes;

        sample->closes += closes[FW2_BY_PEER] + closes[FW2_BY_SERVER];
        sample->by_server += closes[FW2_BY_SERVER];
    }
}

/* Sleep until a sample may be due. Other than the watchdog's ticks of 100 ms
 * this costs nothing worth mention in hundreds of children, and nobody waits
 * for this thread: a child that ends does not join it. */
static void sleep_until_due(const fw2_sampler *sampler)
{
    apr_interval_time_t wait =
        fw2_history_wait(sampler->history, apr_time_now(), sampler->interval);

    if (wait) {
        apr_sleep(wait < LONGEST_SLEEP ? wait : LONGEST_SLEEP);
    }
}

static int is_stopping(void)
{
    int state = AP_MPMQ_STOPPING;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) != APR_SUCCESS
           || state == AP_MPMQ_STOPPING;
}

/* In the watchdog's thread of any child, which is for this alone. */
static apr_status_t take_sample(int state, void *data, apr_pool_t *pool)
{
    const fw2_sampler *sampler = data;
    fw2_sample sample = { 0 };

    if (state != AP_WATCHDOG_STATE_RUNNING) {
        return APR_SUCCESS;
    }
    sleep_until_due(sampler);
    if (is_stopping()
        || !fw2_history_claim(sampler->history, apr_time_now(),
                              sampler->interval)) {
        return APR_SUCCESS;
    }
    fw2_from_httpd();
    measure(sampler, &sample, pool);
    sample.time = apr_time_now();
    sample.interval = sampler->interval;
    fw2_history_put(sampler->history, &sample);
    fw2_to_httpd();
    return APR_SUCCESS;
}

/* ------------------------------------------------------------ the parent */

static fw2_retained *retained_data(void)
{
    fw2_retained *retained = ap_retained_data_get(key);

    return retained ? retained
                    : ap_retained_data_create(key, sizeof(*retained));
}

static apr_status_t make_history(fw2_history **history, apr_pool_t *pool)
{
    apr_shm_t *shm;
    apr_status_t rv;

    rv = apr_shm_create(&shm, sizeof(**history), NULL, pool);
    if (rv == APR_SUCCESS) {
        *history = apr_shm_baseaddr_get(shm);
        memset(*history, 0, sizeof(**history));
    }
    return rv;
}

static apr_status_t have_called_back(const fw2_sampler *sampler,
                                     apr_pool_t *pconf)
{
    APR_OPTIONAL_FN_TYPE(ap_watchdog_get_instance) *get_instance =
        APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_get_instance);
    APR_OPTIONAL_FN_TYPE(ap_watchdog_register_callback) *callback =
        APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_register_callback);
    ap_watchdog_t *watchdog;
    apr_status_t rv;

    if (!get_instance || !callback) {
        return APR_ENOTIMPL;
    }
    /* No singleton: when the child that has one ends, none runs for eleven
     * seconds (measured). Who takes a sample, the history decides. */
    rv = get_instance(&watchdog, "_finwait2_", 0, 0, pconf);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    return callback(watchdog, AP_WD_TM_SLICE,
                    apr_pmemdup(pconf, sampler, sizeof(*sampler)), take_sample);
}

static void note_start(fw2_retained *retained, const server_rec *main_server)
{
    apr_uint64_t digest = fw2_config_digest(main_server);
    int changed = retained->digest && retained->digest != digest;

    retained->digest = digest;
    if (retained->history) {
        fw2_history_mark(retained->history,
                         FW2_MARK_RESTART | (changed ? FW2_MARK_CONFIG : 0));
    }
}

static const fw2_history *no_history(const server_rec *s, apr_status_t rv)
{
    if (rv == APR_ENOTIMPL) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                     "the page has no history: mod_watchdog, which tells when "
                     "to take a sample, is not loaded. All else works. Load "
                     "it, or set FinWait2Sample Off");
    }
    else {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                     "the page has no history: its memory or mod_watchdog "
                     "cannot be had. All else works");
    }
    return NULL;
}

const fw2_history *fw2_sampler_prepare(server_rec *main_server,
                                       const fw2_sources *sources,
                                       apr_pool_t *pconf)
{
    apr_interval_time_t interval = fw2_config_sample(main_server);
    fw2_retained *retained = retained_data();
    fw2_sampler sampler = { NULL, interval, sources };
    apr_status_t rv = APR_SUCCESS;

    if (interval != FW2_SAMPLE_OFF && !retained->history) {
        rv = make_history(&retained->history, main_server->process->pool);
    }
    note_start(retained, main_server);
    if (interval == FW2_SAMPLE_OFF) {
        return NULL;
    }
    if (rv == APR_SUCCESS) {
        sampler.history = retained->history;
        rv = have_called_back(&sampler, pconf);
    }
    return rv == APR_SUCCESS ? sampler.history : no_history(main_server, rv);
}
