/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What a report has to say to whoever gives advice. */

#include "fw2_report.h"

static apr_int64_t percent(apr_int64_t part, apr_int64_t of)
{
    return part < 0 || of <= 0 ? FW2_FACT_UNKNOWN : 100 * part / of;
}

static void add(apr_int64_t *sum, apr_int64_t n)
{
    *sum = (*sum < 0 ? 0 : *sum) + n;
}

/* ------------------------------------------------------------- sockets -- */

static void add_listener(fw2_facts *facts, const fw2_tally *tally)
{
    static const fw2_state half[] = { FW2_FIN_WAIT1, FW2_FIN_WAIT2,
                                      FW2_CLOSING };
    const apr_int64_t *first = tally->n[FW2_FIN_WAIT1];
    unsigned int i;

    for (i = 0; i < sizeof(half) / sizeof(half[0]); i++) {
        add(&facts->held, tally->n[half[i]][FW2_PROCESS]);
        add(&facts->orphan_full, tally->n[half[i]][FW2_KERNEL]);
        add(&facts->orphan_mini, tally->n[half[i]][FW2_TIMEWAIT]);
    }
    add(&facts->fin_wait1, first[FW2_PROCESS] + first[FW2_KERNEL]);
    add(&facts->close_wait, tally->n[FW2_CLOSE_WAIT][FW2_PROCESS]);
    if (percent(tally->backlog, tally->backlog_limit)
        > percent(facts->backlog, facts->backlog_limit)) {
        facts->backlog = tally->backlog;
        facts->backlog_limit = tally->backlog_limit;
    }
}

static void add_sockets(fw2_facts *facts, const fw2_report *report)
{
    const fw2_undelivered *not = &report->undelivered;
    int i;

    if (report->half_closed.total == FW2_UNKNOWN) {
        return;
    }
    for (i = 0; i < report->nlisteners; i++) {
        add_listener(facts, &report->listeners[i].tally);
    }
    for (i = 0; i < FW2_HOLDERS; i++) {
        add(&facts->undelivered, not ->sockets[i]);
        add(&facts->undelivered_bytes, not ->bytes[i]);
        add(&facts->shut_windows, not ->shut[i]);
    }
    if (report->npeers) {
        facts->peer = report->peers[0].peer;
        facts->peer_share =
            percent(report->peers[0].connections, report->half_closed.total);
    }
}

/* --------------------------------------------------------------- of late -- */

static void add_recent(fw2_facts *facts, const fw2_recent *recent)
{
    int cause;

    for (cause = 0; cause < FW2_CAUSES; cause++) {
        add(cause == FW2_CAUSE_PEER ? &facts->by_peer : &facts->by_server,
            recent->causes[cause]);
    }
    add(&facts->left_open, recent->left_open);
    add(&facts->expired, recent->causes[FW2_CAUSE_KEEPALIVE]);
    add(&facts->connection_close, recent->causes[FW2_CAUSE_CONNECTION_CLOSE]);
    add(&facts->errors, recent->causes[FW2_CAUSE_ERROR]);
    add(&facts->probes, recent->probes);
    add(&facts->evicted, recent->evicted);
}

/* Why most of a virtual host's connections end, as far as httpd ends them. */
static apr_int64_t main_cause(const fw2_recent *recent)
{
    const apr_int64_t causes[FW2_FACT_CAUSES] = {
        [FW2_FACT_CAUSE_KEEPALIVE] = recent->causes[FW2_CAUSE_KEEPALIVE],
        [FW2_FACT_CAUSE_CLOSE] = recent->causes[FW2_CAUSE_CONNECTION_CLOSE],
        [FW2_FACT_CAUSE_ERROR] = recent->causes[FW2_CAUSE_ERROR],
        [FW2_FACT_CAUSE_PROBE] = recent->probes
    };
    int most = 0, i;

    for (i = 1; i < FW2_FACT_CAUSES; i++) {
        most = causes[i] > causes[most] ? i : most;
    }
    return causes[most] > 0 ? most : FW2_FACT_UNKNOWN;
}

static void add_vhosts(fw2_facts *facts, const fw2_report *report)
{
    int worst = fw2_report_worst(report), i;

    for (i = 0; i < report->nvhosts; i++) {
        if (report->vhosts[i].recent.left_open >= 0) {
            add_recent(facts, &report->vhosts[i].recent);
        }
    }
    if (worst >= 0) {
        const fw2_vhost_totals *vhost = &report->vhosts[worst];

        facts->vhost = vhost->vhost;
        facts->vhost_share = percent(vhost->recent.left_open, facts->left_open);
        facts->vhost_cause = main_cause(&vhost->recent);
    }
}

int fw2_report_worst(const fw2_report *report)
{
    apr_int64_t most = 0;
    int worst = -1, i;

    for (i = 0; i < report->nvhosts; i++) {
        if (report->vhosts[i].recent.left_open > most) {
            most = report->vhosts[i].recent.left_open;
            worst = i;
        }
    }
    return worst;
}

/* -------------------------------------------------------------- clients -- */

static void add_clients(fw2_facts *facts, const fw2_report *report)
{
    const fw2_client_reports *agents = &report->lists[FW2_AGENTS];
    const fw2_client_reports *nets = &report->lists[FW2_IDLE_NETS];

    if (agents->n) {
        facts->agent = agents->clients[0].client;
        facts->agent_share = percent(agents->clients[0].left_open, agents->all);
        facts->agent_closed = agents->clients[0].closed;
        facts->agent_left_open = agents->clients[0].left_open;
        facts->agent_expired = agents->clients[0].expired;
    }
    if (nets->n) {
        facts->idle_net = nets->clients[0].client;
        facts->idle_net_share = percent(nets->clients[0].expired, nets->all);
    }
}

/* --------------------------------------------------------------- limits -- */

static void add_limits(fw2_facts *facts, const fw2_report *report)
{
    const fw2_limits *now = &report->limits, *before = &report->before;

    facts->tcp_fin_timeout = now->tcp_fin_timeout;
    facts->tcp_max_tw_buckets = now->tcp_max_tw_buckets;
    facts->timewait = now->timewait;
    facts->timewait_overflows = fw2_per_minute(
        now->timewait_overflow, before->timewait_overflow, report->over);
    facts->listen_overflows = fw2_per_minute(
        now->listen_overflows, before->listen_overflows, report->over);
    facts->memory_aborts = fw2_per_minute(
        now->aborts_on_memory, before->aborts_on_memory, report->over);
    facts->tcp_max_orphans = now->tcp_max_orphans;
    facts->orphans = now->orphans;
    facts->tcp_mem_max = now->tcp_mem_max;
    facts->tcp_mem = now->mem_pages;
    facts->descriptors = report->descriptors.open;
    facts->descriptor_limit = report->descriptors.limit;
}

void fw2_report_facts(const fw2_report *report, fw2_facts *facts)
{
    fw2_facts_clear(facts);
    add_sockets(facts, report);
    add_vhosts(facts, report);
    add_clients(facts, report);
    add_limits(facts, report);
    facts->closer_held = report->closer.held;
    facts->closer_capacity = report->closer.capacity;
    facts->closer_oldest = report->closer.oldest;
    facts->fallback = report->closer.recent_fallback;
}

void fw2_report_advise(fw2_report *report, const fw2_facts *facts,
                       apr_pool_t *pool)
{
    const fw2_verdict *verdict = fw2_advise(facts, pool);
    int i;

    report->snapshot.verdict = verdict->level;
    report->nadvice = verdict->n + 1;
    report->advice =
        apr_pcalloc(pool, report->nadvice * sizeof(*report->advice));
    report->advice[0].rule = "verdict";
    report->advice[0].level = fw2_level_names[verdict->level];
    report->advice[0].text = verdict->text;
    for (i = 0; i < verdict->n; i++) {
        fw2_advice_report *said = &report->advice[i + 1];

        said->rule = verdict->advice[i].rule;
        said->level = fw2_level_names[verdict->advice[i].level];
        said->text = verdict->advice[i].text;
    }
}
