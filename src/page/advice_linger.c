/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Rules on lingering, by the closer process and by httpd itself. */

#include "page/advice_impl.h"

#include "apr_strings.h"

/* The greatest value of FinWait2LingerSlots. */
#define SLOTS_MAX 1048576

/* The least number of undelivered connections that slow readers do not
 * explain. */
#define MANY_UNDELIVERED 100

/* The subject if its name is not known. */
#define NO_NAME "the virtual host with most orphans"

/* Return the cost of httpd's own linger for each connection. */
static const char *cost_of_lingering(const fw2_report *report)
{
    if (report->server.linger_blocks > 0) {
        return "Each connection keeps a worker waiting for up to 30 s.";
    }
    if (report->server.linger_blocks == 0) {
        return "Each connection keeps a descriptor and about 33 KB for up to "
               "30 s.";
    }
    return "On prefork and worker each connection keeps a worker waiting for "
           "up to 30 s.";
}

/* Recommend twice the number of slots, if that number is known. */
static void recommend_slots(const fw2_report *report, fw2_words *words,
                            apr_pool_t *pool)
{
    if (report->closer.capacity > 0
        && report->closer.capacity <= SLOTS_MAX / 2) {
        words->directive = "FinWait2LingerSlots";
        words->value = apr_psprintf(pool, "%" APR_INT64_T_FMT,
                                    2 * report->closer.capacity);
        words->risk = "Each slot uses a descriptor of the closer process "
                      "(ulimit -n, or LimitNOFILE= of the systemd unit).";
    }
}

static fw2_words closer_words(const fw2_report *report, apr_pool_t *pool)
{
    const char *oldest = "";
    fw2_words words = FW2_NO_WORDS;

    if (report->closer.oldest > 0) {
        oldest = apr_psprintf(pool, ", the oldest for %s",
                              fw2_text_time(pool, report->closer.oldest));
    }
    words.finding = apr_psprintf(
        pool, "The closer process holds %s of at most %s%s%s.",
        fw2_text_number(pool, report->closer.held),
        fw2_text_count(pool, report->closer.capacity, "connection"),
        fw2_text_share(pool, report->closer.held, report->closer.capacity),
        oldest);
    words.remedy =
        "Without a free slot it closes the connection held longest; no worker "
        "waits. For more slots raise FinWait2LingerSlots, or ulimit -n if that "
        "is auto; to hold fewer connections shorten FinWait2LingerIdle, and "
        "avoid FinWait2Linger always.";
    recommend_slots(report, &words, pool);
    return words;
}

static apr_int64_t closer_away(const fw2_report *report)
{
    return report->closer.wanted && !report->closer.processes;
}

static fw2_words closer_away_words(const fw2_report *report, apr_pool_t *pool)
{
    fw2_words words = FW2_NO_WORDS;

    words.finding = "The process finwait2, which lingers for httpd, is not "
                    "running.";
    words.remedy = apr_psprintf(
        pool,
        "%s httpd tries to start it about every ten seconds; the error log has "
        "the reason why that fails. The usual reason is the limit of tasks "
        "(TasksMax= of the systemd unit, or a container's limit).",
        cost_of_lingering(report));
    return words;
}

static apr_int64_t closer_idle(const fw2_report *report)
{
    return report->closer.wanted && report->closer.processes > 0
           && !report->closer.capacity;
}

static fw2_words closer_idle_words(const fw2_report *report, apr_pool_t *pool)
{
    fw2_words words = FW2_NO_WORDS;

    words.finding =
        "This system cannot linger outside of a worker: httpd lingers itself.";
    words.remedy = apr_psprintf(
        pool,
        "%s The closer process needs Linux with epoll, and descriptors that "
        "can be passed to another process. Counting and FinWait2Timeout work "
        "without these.",
        cost_of_lingering(report));
    return words;
}

/* Without a closer process each connection falls back: closer-away or
 * closer-idle applies then. */
static apr_int64_t fallback(const fw2_report *report)
{
    return closer_away(report) || closer_idle(report)
               ? FW2_UNKNOWN
               : report->closer.recent_fallback;
}

static fw2_words fallback_words(const fw2_report *report, apr_pool_t *pool)
{
    apr_int64_t n = report->closer.recent_fallback;
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool,
        "%s %s left to httpd's own linger in the last minute, because the "
        "process finwait2 did not accept %s.",
        fw2_text_count(pool, n, "connection"), FW2_PLURAL(n, "was", "were"),
        FW2_PLURAL(n, "it", "them"));
    words.remedy = apr_psprintf(
        pool,
        "%s The error log and closer.refusals have the reason. A full queue "
        "means that the process is stopped (SIGSTOP) or gets no processor "
        "time.",
        cost_of_lingering(report));
    return words;
}

static fw2_words evicted_words(const fw2_report *report, apr_pool_t *pool)
{
    apr_int64_t n = report->minute.evicted;
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool, "%s %s cut short in the last minute because %s slot was needed.",
        fw2_text_count(pool, n, "linger"), FW2_PLURAL(n, "was", "were"),
        FW2_PLURAL(n, "its", "their"));
    words.remedy =
        "A client that is still sending is reset then, and may lose the end of "
        "its response. Raise FinWait2LingerSlots, or ulimit -n if that is "
        "auto, or shorten FinWait2LingerIdle.";
    recommend_slots(report, &words, pool);
    return words;
}

static apr_int64_t linger_httpd(const fw2_report *report)
{
    const fw2_policy *policy = fw2_worst_policy(report);

    return policy && (!policy->engine || policy->linger == FW2_LINGER_HTTPD)
               ? fw2_held_by_httpd(report)
               : FW2_UNKNOWN;
}

static fw2_words linger_httpd_words(const fw2_report *report, apr_pool_t *pool)
{
    int off = !fw2_worst_policy(report)->engine;
    apr_int64_t n = fw2_held_by_httpd(report);
    fw2_words words = FW2_NO_WORDS;

    words.finding =
        apr_psprintf(pool, "httpd itself lingers on about %s, and %s has %s.",
                     fw2_text_count(pool, n, "connection"),
                     fw2_text_name(pool, report->worst[0].name, NO_NAME),
                     off ? "FinWait2Engine Off" : "FinWait2Linger httpd");
    words.remedy = apr_psprintf(
        pool,
        "%s %s hands them off to the closer process, which closes the "
        "connection of a client that will send nothing more after about one "
        "round trip.",
        cost_of_lingering(report),
        off ? "FinWait2Engine On" : "FinWait2Linger auto");
    words.directive = off ? "FinWait2Engine" : "FinWait2Linger";
    words.value = off ? "On" : "auto";
    return words;
}

static apr_int64_t undelivered(const fw2_report *report)
{
    return report->sockets.undelivered >= MANY_UNDELIVERED
                   || report->sockets.undelivered_bytes >= FW2_MUCH_UNDELIVERED
               ? 1
               : FW2_UNKNOWN;
}

/* Return the finding on undelivered responses, with the known figures, of which
 * there is at least one. */
static const char *undelivered_finding(const fw2_report *report,
                                       apr_pool_t *pool)
{
    const char *windows = "", *bytes = "a response";
    const char *sockets = "Connections";

    if (fw2_known(report->sockets.undelivered)) {
        sockets =
            fw2_text_count(pool, report->sockets.undelivered, "connection");
    }
    if (fw2_known(report->sockets.undelivered)
        && fw2_known(report->sockets.fin_wait1)) {
        sockets = apr_pstrcat(
            pool, fw2_text_number(pool, report->sockets.undelivered), " of ",
            fw2_text_count(pool, report->sockets.fin_wait1, "connection"),
            NULL);
    }
    if (fw2_known(report->sockets.undelivered_bytes)) {
        bytes = fw2_text_bytes(pool, report->sockets.undelivered_bytes);
    }
    if (report->sockets.zero_windows > 0) {
        windows =
            apr_psprintf(pool, ", %s of them behind a zero window",
                         fw2_text_number(pool, report->sockets.zero_windows));
    }
    return apr_psprintf(
        pool, "%s in FIN_WAIT_1 %s %s that clients have not acknowledged%s.",
        sockets, FW2_PLURAL(report->sockets.undelivered, "has", "have"), bytes,
        windows);
}

static fw2_words undelivered_words(const fw2_report *report, apr_pool_t *pool)
{
    const fw2_policy *policy = fw2_worst_policy(report);
    fw2_words words = FW2_NO_WORDS;

    words.finding = undelivered_finding(report, pool);
    if (!policy || policy->user_timeout == FW2_USER_TIMEOUT_SYSTEM) {
        words.remedy =
            "FinWait2Timeout does not end them. FinWait2UserTimeout 60s resets "
            "a client that acknowledges nothing for 60 s, but not a slow "
            "reader; without it the kernel keeps a connection for about 2 "
            "minutes after its client has vanished, for about 6 minutes behind "
            "a zero window, and for ever if the client answers probes.";
        fw2_recommend_user_timeout(&words);
    }
    else {
        words.remedy = apr_psprintf(
            pool,
            "FinWait2Timeout does not end them. FinWait2UserTimeout is %s at "
            "%s: check whether other virtual hosts need it, or shorten it, but "
            "not below the time that a user may spend in a tunnel.",
            fw2_text_time(pool, policy->user_timeout),
            fw2_text_name(pool, report->worst[0].name, NO_NAME));
    }
    return words;
}

static fw2_words close_wait_words(const fw2_report *report, apr_pool_t *pool)
{
    apr_int64_t n = report->sockets.close_wait;
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool, "%s %s in CLOSE_WAIT: the client has closed and httpd has not.",
        fw2_text_count(pool, n, "connection"), FW2_PLURAL(n, "is", "are"));
    words.remedy =
        "httpd has to act, not the client: check mod_status for a handler that "
        "hangs, or for a backend that does not answer (ProxyTimeout). No "
        "directive or sysctl for FIN_WAIT_2 changes this state.";
    return words;
}

const fw2_rule fw2_linger_rules[] = {
    FW2_RULE("closer-full", 0, 50, 90, closer_words, NULL,
             FW2_SHARE(closer.held, closer.capacity)),
    FW2_RULE("closer-away", 0, 1, 0, closer_away_words, NULL,
             FW2_MEASURE(closer_away)),
    FW2_RULE("closer-idle", 1, 0, 0, closer_idle_words, NULL,
             FW2_MEASURE(closer_idle)),
    FW2_RULE("fallback", 0, 1, 600, fallback_words, NULL,
             FW2_MEASURE(fallback)),
    FW2_RULE("evicted", 0, 1, 0, evicted_words, NULL,
             FW2_FIGURE(minute.evicted)),
    FW2_RULE("linger-httpd", 0, 50, 0, linger_httpd_words, NULL,
             FW2_MEASURE(linger_httpd)),
    FW2_RULE("undelivered", 0, 1, 0, undelivered_words, NULL,
             FW2_MEASURE(undelivered)),
    FW2_RULE("close-wait", 0, 50, 0, close_wait_words, NULL,
             FW2_FIGURE(sockets.close_wait)),
    { NULL }
};
