/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Rules on traffic: the causes of closes by httpd, and the orphans. */

#include "page/advice_impl.h"

#include <string.h>

#include "apr_strings.h"

/* The least share, in percent, that makes a cause the main one; and the least
 * number of connections in the last minute. */
#define MOST  50
#define LEAST 30
/* The least number for a load balancer, which has few connections, and for
 * which each of them may end in a 502. */
#define LEAST_OF_BALANCER 10

/* The least number of orphans in FIN_WAIT_2 that is worth advice (256 KB), and
 * the least number that is more than chance. */
#define MANY_ORPHANS 1000
#define SOME_ORPHANS 100

/* The least number of orphans, in percent of the predicted number, that chance
 * and late timers do not explain. */
#define TOO_MANY 150

/* The seconds by which the recommended promise is shorter than the real time,
 * so that no request arrives too late. */
#define PROMISE_MARGIN 2

/* The longest recommended promise, in seconds. */
#define PROMISE_MAX 3600

/* The longest life of an orphan that is not worth shortening. */
#define LONG_LIFE apr_time_from_sec(10)

/* Return a cause's share of the connections that httpd closed; unknown if they
 * are fewer than `least`. */
static apr_int64_t cause_share(const fw2_report *report, apr_int64_t n,
                               apr_int64_t least)
{
    return n >= least ? fw2_report_share(n, report->minute.by_server)
                      : FW2_UNKNOWN;
}

/* Return `1,200 of the 2,000 connections that httpd closed ... (60 %)`. */
static const char *part_of_closes(const fw2_report *report, apr_int64_t n,
                                  apr_pool_t *pool)
{
    return apr_psprintf(
        pool, "%s of the %s that httpd closed in the last minute%s",
        fw2_text_number(pool, n),
        fw2_text_count(pool, report->minute.by_server, "connection"),
        fw2_text_share(pool, n, report->minute.by_server));
}

/* Return ` (5 s at www.example.com:80)`, or "". */
static const char *keepalive_text(const fw2_report *report, apr_pool_t *pool)
{
    if (!fw2_worst_policy(report)) {
        return "";
    }
    return apr_psprintf(
        pool, " (%s at %s)",
        fw2_text_time(pool, report->worst[0].settings->keepalive),
        fw2_text_name(pool, report->worst[0].name, NULL));
}

/* A net looks like a load balancer if most idle connections are from it, even
 * if they are few and it closes most of its connections itself. */
static apr_int64_t balancer(const fw2_report *report)
{
    return report->lists[FW2_IDLE_NETS].share >= MOST
               ? cause_share(report, report->minute.causes[FW2_CAUSE_KEEPALIVE],
                             LEAST_OF_BALANCER)
               : FW2_UNKNOWN;
}

static int has_balancer(const fw2_report *report)
{
    return balancer(report) >= MOST;
}

static fw2_words balancer_words(const fw2_report *report, apr_pool_t *pool)
{
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool,
        "%s had been idle for the keep-alive time%s, most of them from %s.",
        part_of_closes(report, report->minute.causes[FW2_CAUSE_KEEPALIVE],
                       pool),
        keepalive_text(report, pool),
        fw2_text_name(pool, report->lists[FW2_IDLE_NETS].clients[0].client,
                      NULL));
    words.remedy =
        "If that is a load balancer: its idle timeout must be shorter than "
        "httpd's keep-alive time, or it sends requests into connections that "
        "httpd is closing, and answers 502. If it has 60 s, set "
        "FinWait2KeepAliveTimeout 65s.";
    words.risk = "On prefork and worker each idle connection keeps a worker.";
    words.directive = "FinWait2KeepAliveTimeout";
    words.value = "65s";
    return words;
}

apr_int64_t fw2_predicted_orphans(const fw2_report *report)
{
    return fw2_report_steady_state(report->minute.left_open,
                                   report->minute.life);
}

/* Return the present orphans in percent of the predicted number. */
static apr_int64_t predicted_share(const fw2_report *report)
{
    apr_int64_t n = fw2_predicted_orphans(report);

    if (!fw2_known(n) || report->minute.life == 0) {
        return FW2_UNKNOWN;
    }
    return fw2_report_share(report->half_closed.mini, n ? n : 1);
}

/* The rule does not apply to a longer life than a minute: the orphans may then
 * be older than the rate. */
static apr_int64_t growing(const fw2_report *report)
{
    return predicted_share(report) >= TOO_MANY
                   && report->minute.life <= apr_time_from_sec(60)
               ? report->half_closed.mini
               : FW2_UNKNOWN;
}

static fw2_words growing_words(const fw2_report *report, apr_pool_t *pool)
{
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool,
        "More than the traffic explains: %s in FIN_WAIT_2; clients do not "
        "close %s, each kept for %s on average, so about %s are expected.",
        fw2_text_count(pool, report->half_closed.mini, "orphan"),
        fw2_text_rate(pool, report->minute.left_open),
        fw2_text_time(pool, report->minute.life),
        fw2_text_about(pool, fw2_predicted_orphans(report)));
    words.remedy = apr_psprintf(
        pool,
        "Either their number is growing, because clients close fewer "
        "connections than before, or httpd closes connections that the module "
        "does not count, as with FinWait2Engine Off. Check again in a minute; "
        "now they use %s.",
        fw2_text_bytes(pool,
                       fw2_bytes_of(report->half_closed.mini, FW2_MINI_BYTES)));
    return words;
}

static apr_int64_t steady(const fw2_report *report)
{
    apr_int64_t share = predicted_share(report);

    return fw2_known(share) && share < TOO_MANY ? report->half_closed.mini
                                                : FW2_UNKNOWN;
}

static fw2_words steady_words(const fw2_report *report, apr_pool_t *pool)
{
    apr_int64_t closes = report->minute.closes;
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool,
        "Normal for this traffic: clients do not close %s, and the settings "
        "keep each in FIN_WAIT_2 for %s on average, so %sabout %s are "
        "expected, and there %s %s.",
        fw2_text_rate(pool, report->minute.left_open),
        fw2_text_time(pool, report->minute.life),
        report->half_closed.mini > fw2_predicted_orphans(report) ? ""
                                                                 : "up to ",
        fw2_text_about(pool, fw2_predicted_orphans(report)),
        FW2_PLURAL(report->half_closed.mini, "is", "are"),
        fw2_text_number(pool, report->half_closed.mini));
    if (fw2_known(closes) && report->minute.by_server > 0) {
        words.remedy = apr_psprintf(
            pool, "httpd closed first in %s of %s in the last minute%s.",
            fw2_text_number(pool, report->minute.by_server),
            fw2_text_count(pool, closes, "close"),
            fw2_text_share(pool, report->minute.by_server, closes));
    }
    return words;
}

/* If mini-sockets run short, timewait-full or timewait-overflow applies. */
static apr_int64_t long_life(const fw2_report *report)
{
    return report->minute.life > LONG_LIFE && !fw2_minis_short(report)
               ? report->half_closed.mini
               : FW2_UNKNOWN;
}

/* Return the effect of a shorter life. */
static const char *fewer_orphans(const fw2_report *report, apr_int64_t later,
                                 apr_pool_t *pool)
{
    if (!fw2_known(later)) {
        return FW2_SHORT_LIFE_TEXT " reduces them";
    }
    return apr_psprintf(
        pool, "at %s " FW2_SHORT_LIFE_TEXT " reduces them to about %s",
        fw2_text_rate(pool, report->minute.left_open),
        fw2_text_about(pool, later));
}

static fw2_words long_life_words(const fw2_report *report, apr_pool_t *pool)
{
    apr_int64_t n = report->half_closed.mini, later = fw2_fewer_orphans(report);
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool,
        "%s in FIN_WAIT_2 use %s of kernel memory; the settings keep them for "
        "%s on average%s.",
        fw2_text_count(pool, n, "orphan"),
        fw2_text_bytes(pool, fw2_bytes_of(n, FW2_MINI_BYTES)),
        fw2_text_time(pool, report->minute.life),
        fw2_advice_vhosts(pool, report));
    words.remedy = apr_psprintf(
        pool,
        "No change is necessary. To have fewer orphans: %s, after a graceful "
        "restart and once the present ones are gone.",
        fewer_orphans(report, later, pool));
    words.risk = "A client that takes more than 5 s to close is reset then, "
                 "but it has its whole response.";
    words.directive = FW2_SHORT_DIRECTIVE;
    words.value = FW2_SHORT_VALUE;
    words.now = n;
    words.after = later;
    return words;
}

/* True if the clients of a net are on this machine. */
static int is_loopback(const char *net)
{
    return net && (!strncmp(net, "127.", 4) || !strncmp(net, "::/64", 5));
}

/* Return the remedy for the owner of a client that does not close. */
static const char *owner_remedy(const fw2_report *report, const char *net,
                                int idle, apr_pool_t *pool)
{
    const char *owner = is_loopback(net)
                            ? "The client is a program of this machine, such "
                              "as a cache, a proxy or a monitor: make it close"
                            : "Ask the client's owner to close";

    if (!idle) {
        return apr_pstrcat(pool, owner,
                           " a connection once it has its response.", NULL);
    }
    return apr_psprintf(pool,
                        "%s idle connections before httpd's keep-alive time%s "
                        "is over.",
                        owner, keepalive_text(report, pool));
}

/* Return the User-Agent with most connections that clients did not close; NULL
 * if it names no program, as `(none)` or `(no request)`. */
static const fw2_client_report *agent_of(const fw2_report *report)
{
    const fw2_client_reports *agents = &report->lists[FW2_AGENTS];

    return agents->n > 0 && agents->clients[0].client[0]
                   && agents->clients[0].client[0] != '('
               ? &agents->clients[0]
               : NULL;
}

/* True if httpd closes most of the User-Agent's connections because they are
 * idle. */
static int is_idle(const fw2_client_report *agent)
{
    return fw2_report_share(agent->expired, agent->closed) >= MOST;
}

static apr_int64_t one_agent(const fw2_report *report)
{
    const fw2_client_report *agent = agent_of(report);

    return agent && agent->left_open >= LEAST
                   && report->half_closed.mini >= SOME_ORPHANS
                   && !(has_balancer(report) && is_idle(agent))
               ? report->lists[FW2_AGENTS].share
               : FW2_UNKNOWN;
}

static apr_int64_t one_peer(const fw2_report *report)
{
    return report->half_closed.total >= MANY_ORPHANS && !has_balancer(report)
                   && one_agent(report) < MOST
               ? report->peer_share
               : FW2_UNKNOWN;
}

static fw2_words one_peer_words(const fw2_report *report, apr_pool_t *pool)
{
    fw2_words words = FW2_NO_WORDS;

    words.finding =
        apr_psprintf(pool, "%s has %s %% of all half-closed connections.",
                     fw2_text_name(pool, report->peers[0].peer, NULL),
                     fw2_text_number(pool, report->peer_share));
    words.remedy = apr_psprintf(
        pool,
        "This alone is no sign of an attack: a connection pool, a proxy or a "
        "NAT looks the same. %s",
        owner_remedy(
            report, report->peers[0].peer,
            fw2_report_share(report->minute.causes[FW2_CAUSE_KEEPALIVE],
                             report->minute.by_server)
                >= MOST,
            pool));
    return words;
}

/* Return the beginning of a User-Agent, up to the first character that may be
 * special in a pattern: `okhttp` of okhttp/4.9.3. NULL if it is too short or
 * too long, or if all browsers begin with it. */
static const char *product_of(const char *agent, apr_pool_t *pool)
{
    apr_size_t n = strspn(agent, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789_-");

    return n < 3 || n > 32 || !strncmp(agent, "Mozilla", 7)
               ? NULL
               : apr_pstrndup(pool, agent, n);
}

/* Add the remedy in httpd itself. It works for a client that does not check its
 * idle connections, as every client reads its responses. */
static void recommend_no_keepalive(const char *agent, fw2_words *words,
                                   apr_pool_t *pool)
{
    const char *product = product_of(agent, pool);

    if (!product) {
        return;
    }
    words->directive = "BrowserMatch";
    words->value = apr_psprintf(pool, "^%s nokeepalive", product);
    words->remedy = apr_psprintf(
        pool,
        "%s Until then %s %s adds Connection: close to each response to this "
        "client, after which most clients close first.",
        words->remedy, words->directive, words->value);
    words->risk = "Each request of this client then needs a connection, and "
                  "with TLS a handshake.";
}

static fw2_words one_agent_words(const fw2_report *report, apr_pool_t *pool)
{
    const fw2_client_report *agent = agent_of(report);
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool,
        "The User-Agent %s has %s %% of the connections that clients did not "
        "close: %s of its %s.",
        fw2_text_name(pool, agent->client, NULL),
        fw2_text_number(pool, report->lists[FW2_AGENTS].share),
        fw2_text_number(pool, agent->left_open),
        fw2_text_count(pool, agent->closed, "connection"));
    words.remedy = owner_remedy(report, NULL, is_idle(agent), pool);
    if (is_idle(agent)) {
        recommend_no_keepalive(agent->client, &words, pool);
    }
    return words;
}

/* True if the module sets the keep-alive time of the virtual host `idle`. */
static int is_set(const fw2_named_vhost *idle)
{
    return idle->name && idle->settings->policy
           && idle->settings->policy->engine;
}

/* Return the keep-alive time that a virtual host promises; 0: no time; unknown:
 * the real time. */
static apr_interval_time_t promised(const fw2_named_vhost *idle)
{
    apr_int64_t seconds = fw2_policy_promise(idle->settings->policy);

    return seconds == FW2_ADVERTISE_INHERIT ? FW2_UNKNOWN
                                            : apr_time_from_sec(seconds);
}

/* True if a virtual host promises a time that is shorter than the real one. */
static int is_promise_shorter(const fw2_named_vhost *idle)
{
    return is_set(idle) && promised(idle) > 0
           && promised(idle) < idle->settings->keepalive;
}

/* Return the seconds to promise, which are those of the real time; 0 if there
 * is nothing to recommend. A load balancer needs another time. */
static apr_int64_t promise(const fw2_report *report)
{
    apr_int64_t seconds;

    if (!is_set(&report->idle) || is_promise_shorter(&report->idle)
        || has_balancer(report)) {
        return 0;
    }
    seconds = apr_time_sec(report->idle.settings->keepalive);
    return seconds > PROMISE_MAX ? 0 : seconds;
}

static apr_int64_t idle_closes(const fw2_report *report)
{
    return promise(report) > 0 ? cause_share(
               report, report->idle.rates->idle[FW2_IDLE_EXPIRED], LEAST)
                               : FW2_UNKNOWN;
}

static fw2_words idle_closes_words(const fw2_report *report, apr_pool_t *pool)
{
    const fw2_named_vhost *idle = &report->idle;
    apr_int64_t n = idle->rates->idle[FW2_IDLE_EXPIRED];
    apr_int64_t seconds = promise(report);
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool, "%s had been idle for the keep-alive time of %s, %s%s.",
        part_of_closes(report, n, pool), fw2_text_name(pool, idle->name, NULL),
        fw2_text_time(pool, idle->settings->keepalive),
        promised(idle) == 0 ? "; responses promise no time" : "");
    words.before =
        apr_psprintf(pool, "FinWait2KeepAliveTimeout %" APR_INT64_T_FMT "s",
                     seconds + PROMISE_MARGIN);
    words.directive = "FinWait2KeepAliveAdvertise";
    words.value = apr_psprintf(pool, "%" APR_INT64_T_FMT "s", seconds);
    words.remedy = apr_psprintf(
        pool,
        "With %s and %s %s, clients that honour the promise close first, and "
        "httpd closes up to %s fewer in a minute: these leave neither "
        "FIN_WAIT_2 nor TIME_WAIT here.",
        words.before, words.directive, words.value,
        fw2_text_count(pool, n, "connection"));
    words.risk = apr_psprintf(
        pool,
        "On prefork and worker, a client that does not honour it keeps "
        "its worker for %d s longer.",
        PROMISE_MARGIN);
    return words;
}

/* Return the number of connections that ended idle where the promise is shorter
 * than the real time. */
static apr_int64_t kept_promise(const fw2_report *report)
{
    const apr_int64_t *n;

    if (!is_promise_shorter(&report->idle)) {
        return FW2_UNKNOWN;
    }
    n = report->idle.rates->idle;
    return n[FW2_IDLE_IN_TIME] + n[FW2_IDLE_LATE] + n[FW2_IDLE_EXPIRED];
}

static fw2_words kept_promise_words(const fw2_report *report, apr_pool_t *pool)
{
    const fw2_named_vhost *idle = &report->idle;
    const apr_int64_t *n = idle->rates->idle;
    apr_int64_t all = kept_promise(report);
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool,
        "%s of %s ended idle in the last minute: clients closed %s before the "
        "promised %s were over%s, and %s later; httpd closed %s after %s.",
        fw2_text_count(pool, all, "connection"),
        fw2_text_name(pool, idle->name, NULL),
        fw2_text_number(pool, n[FW2_IDLE_IN_TIME]),
        fw2_text_time(pool, promised(idle)),
        fw2_text_share(pool, n[FW2_IDLE_IN_TIME], all),
        fw2_text_number(pool, n[FW2_IDLE_LATE]),
        fw2_text_number(pool, n[FW2_IDLE_EXPIRED]),
        fw2_text_time(pool, idle->settings->keepalive));
    return words;
}

static apr_int64_t probes(const fw2_report *report)
{
    return cause_share(report, report->minute.probes, LEAST);
}

static fw2_words probes_words(const fw2_report *report, apr_pool_t *pool)
{
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool,
        "%s never had a request: health checks, scanners, or browsers that "
        "connect ahead.",
        part_of_closes(report, report->minute.probes, pool));
    words.remedy =
        "Make a health check send a request and then close. Or set "
        "FinWait2Timeout none in the first virtual host of its address: the "
        "kernel then drops a connection once the client has acknowledged all "
        "data.";
    words.risk = "It truncates nothing; a client that sends later gets a "
                 "reset.";
    words.directive = FW2_SHORT_DIRECTIVE;
    words.value = "none";
    return words;
}

static apr_int64_t errors(const fw2_report *report)
{
    return cause_share(report, report->minute.causes[FW2_CAUSE_ERROR], LEAST);
}

static fw2_words errors_words(const fw2_report *report, apr_pool_t *pool)
{
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool, "%s ended with an error such as 400, 413 or 503.",
        part_of_closes(report, report->minute.causes[FW2_CAUSE_ERROR], pool));
    words.remedy =
        "The access log shows the errors and their clients; no setting of TCP "
        "prevents them.";
    words.risk = "FinWait2Linger off would only reset clients that still "
                 "send, which may lose the response.";
    return words;
}

/* The rule applies only if there are many orphans. */
static apr_int64_t connection_close(const fw2_report *report)
{
    return report->half_closed.mini >= MANY_ORPHANS ? cause_share(
               report, report->minute.causes[FW2_CAUSE_CONNECTION_CLOSE], LEAST)
                                                    : FW2_UNKNOWN;
}

static fw2_words connection_close_words(const fw2_report *report,
                                        apr_pool_t *pool)
{
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool, "%s ended with Connection: close.",
        part_of_closes(
            report, report->minute.causes[FW2_CAUSE_CONNECTION_CLOSE], pool));
    words.remedy =
        "If KeepAlive is Off or MaxKeepAliveRequests small, one connection "
        "could serve more requests, and there would be fewer orphans. httpd "
        "always closes for clients that ask for it, or that use HTTP/1.0.";
    return words;
}

const fw2_rule fw2_traffic_rules[] = {
    FW2_RULE("growing", MANY_ORPHANS, 10000, 0, growing_words, NULL,
             FW2_MEASURE(growing)),
    FW2_RULE("steady", SOME_ORPHANS, 0, 0, steady_words, NULL,
             FW2_MEASURE(steady)),
    FW2_RULE("long-life", MANY_ORPHANS, 0, 0, long_life_words, NULL,
             FW2_MEASURE(long_life)),
    FW2_RULE("one-peer", MOST, 0, 0, one_peer_words, NULL,
             FW2_MEASURE(one_peer)),
    FW2_RULE("one-agent", MOST, 0, 0, one_agent_words, NULL,
             FW2_MEASURE(one_agent)),
    FW2_RULE("balancer", MOST, 0, 0, balancer_words, NULL,
             FW2_MEASURE(balancer)),
    FW2_RULE("idle-closes", MOST, 0, 0, idle_closes_words, NULL,
             FW2_MEASURE(idle_closes)),
    FW2_RULE("kept-promise", LEAST, 0, 0, kept_promise_words, NULL,
             FW2_MEASURE(kept_promise)),
    FW2_RULE("probes", MOST, 0, 0, probes_words, NULL, FW2_MEASURE(probes)),
    FW2_RULE("errors", MOST, 0, 0, errors_words, NULL, FW2_MEASURE(errors)),
    FW2_RULE("connection-close", MOST, 0, 0, connection_close_words, NULL,
             FW2_MEASURE(connection_close)),
    { NULL }
};
