/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Rules on limits. Here as in the other tables, a sentence is true whenever its
 * rule applies, whatever is not known: a part of a sentence that needs another
 * figure is written only if that figure is known.
 */

#include "base/clamp.h"
#include "page/advice_impl.h"

#include "apr_strings.h"

/* The sysctl of mini-sockets, and the least and the greatest value to
 * recommend. */
#define BUCKETS       "net.ipv4.tcp_max_tw_buckets"
#define BUCKETS_LEAST 65536
#define BUCKETS_MOST  0x7fffffff

/* The least share of mini-sockets in use that is a shortage, in percent. */
#define BUCKETS_SHORT 40

/* The share of mini-sockets, in percent, below which httpd's orphans in
 * FIN_WAIT_2 make no difference. */
#define SMALL_SHARE 20

/* The least number of lingering workers that may be the reason why httpd
 * accepts too slowly. */
#define MANY_WORKERS 50

/* The least share of mini-sockets, in percent, that makes httpd one of their
 * owners. Less may come from clients that read the page. */
#define OWN_SHARE 1

/* httpd is idle if it closes fewer connections than this in a minute. */
#define AT_WORK 30

/* Return the owner of the mini-sockets. They live for about a minute, in
 * TIME_WAIT or FIN_WAIT_2, so the connections that httpd closed first in the
 * last minute are among them. */
static fw2_owner minis_owner(const fw2_report *report)
{
    apr_int64_t own = report->half_closed.mini, share;

    if (!fw2_known(own)) {
        return FW2_OWNER_UNKNOWN;
    }
    fw2_clamp_add(&own, report->minute.by_server);
    share = fw2_report_share(own, report->limits.timewait);
    if (share >= OWN_SHARE) {
        return FW2_OWNER_HTTPD;
    }
    return fw2_known(share) && fw2_known(report->minute.by_server)
               ? FW2_OWNER_OTHERS
               : FW2_OWNER_UNKNOWN;
}

/* Return the owner of the orphans that are full sockets. The kernel resets no
 * other orphans. */
static fw2_owner orphans_owner(const fw2_report *report)
{
    if (!fw2_known(report->half_closed.full)) {
        return FW2_OWNER_UNKNOWN;
    }
    return report->half_closed.full > 0 ? FW2_OWNER_HTTPD : FW2_OWNER_OTHERS;
}

static int is_idle(const fw2_report *report)
{
    return fw2_known(report->minute.by_server)
           && report->minute.by_server < AT_WORK;
}

/* Return the owner of the connections that were reset. They are gone, so httpd
 * may have owned some of them unless it is idle. */
static fw2_owner aborts_owner(const fw2_report *report)
{
    fw2_owner owner = orphans_owner(report);

    return owner == FW2_OWNER_OTHERS && !is_idle(report) ? FW2_OWNER_UNKNOWN
                                                         : owner;
}

/* Return the owner of TCP's buffers. The buffers of httpd's open connections
 * are not known. */
static fw2_owner memory_owner(const fw2_report *report)
{
    if (report->sockets.undelivered_bytes >= FW2_MUCH_UNDELIVERED) {
        return FW2_OWNER_HTTPD;
    }
    return fw2_known(report->sockets.undelivered_bytes) && is_idle(report)
               ? FW2_OWNER_OTHERS
               : FW2_OWNER_UNKNOWN;
}

/* Return ` Elsewhere, most are 4,000 connections of another program at port
 * 8080.`, or "". */
static const char *most_elsewhere(const fw2_report *report, apr_pool_t *pool)
{
    const fw2_port *most = report->elsewhere.top;

    if (report->elsewhere.half_closed < 0 || !report->elsewhere.n) {
        return "";
    }
    return apr_psprintf(pool, " Elsewhere, most are %s %s port %d.",
                        fw2_text_count(pool, most->n, "connection"),
                        most->role == FW2_CLIENT ? "of this machine to"
                                                 : "of another program at",
                        most->port);
}

void fw2_recommend_user_timeout(fw2_words *words)
{
    words->directive = "FinWait2UserTimeout";
    words->value = "60s";
    words->risk = "A client that is unreachable for 60 s loses the rest of its "
                  "response.";
}

static fw2_words memory_aborts_words(const fw2_report *report, apr_pool_t *pool)
{
    apr_int64_t n = report->minute.memory_aborts;
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool,
        "%s %s reset in the last minute because the kernel had no memory, or "
        "too many orphans (TCPAbortOnMemory).",
        fw2_text_count(pool, n, "connection"), FW2_PLURAL(n, "was", "were"));
    if (aborts_owner(report) == FW2_OWNER_OTHERS) {
        words.remedy = apr_psprintf(
            pool,
            "Another program owned them: httpd is idle, and has no orphan that "
            "could be reset.%s",
            most_elsewhere(report, pool));
        return words;
    }
    words.remedy =
        "FinWait2UserTimeout 60s resets closing connections whose client "
        "acknowledges nothing for 60 s; the limits, net.ipv4.tcp_mem and "
        "net.ipv4.tcp_max_orphans, apply to the whole machine.";
    fw2_recommend_user_timeout(&words);
    return words;
}

static apr_int64_t recommended_buckets(const fw2_report *report)
{
    return fw2_clamp_number(
        BUCKETS_LEAST, 2 * report->limits.tcp_max_tw_buckets, BUCKETS_MOST);
}

/* Return the sysctl to raise, with both values, without a full stop. */
static const char *more_buckets(const fw2_report *report, apr_pool_t *pool)
{
    apr_int64_t to = recommended_buckets(report);

    if (!fw2_known(report->limits.tcp_max_tw_buckets)) {
        return BUCKETS;
    }
    return apr_psprintf(
        pool, BUCKETS " from %s to %s (%s if all are in use)",
        fw2_text_number(pool, report->limits.tcp_max_tw_buckets),
        fw2_text_number(pool, to),
        fw2_text_bytes(pool, fw2_bytes_of(to, FW2_MINI_BYTES)));
}

/* Recommend a higher limit of mini-sockets. `then` is appended to the
 * remedy. */
static void recommend_buckets(const fw2_report *report, fw2_words *words,
                              const char *then, apr_pool_t *pool)
{
    words->remedy =
        apr_psprintf(pool, "Raise %s%s.", more_buckets(report, pool), then);
    words->risk = "A lower value would not end connections sooner, but make "
                  "them vanish.";
    if (fw2_known(report->limits.tcp_max_tw_buckets)) {
        words->directive = BUCKETS;
        words->value = apr_psprintf(pool, "%" APR_INT64_T_FMT,
                                    recommended_buckets(report));
    }
}

/* Return the effect of FinWait2Timeout on the mini-sockets, or "" if it is not
 * known. */
static const char *fewer_minis(const fw2_report *report, apr_pool_t *pool)
{
    apr_int64_t n = report->half_closed.mini, later = fw2_fewer_orphans(report);
    apr_int64_t share = fw2_report_share(n, report->limits.timewait);

    if (!fw2_known(share)) {
        return "";
    }
    if (share < SMALL_SHARE) {
        return apr_psprintf(
            pool,
            "; FinWait2Timeout would hardly help, since only %s of them %s "
            "httpd's in FIN_WAIT_2, and TIME_WAIT always lasts 60 s",
            fw2_text_number(pool, n), FW2_PLURAL(n, "is", "are"));
    }
    if (!fw2_known(later)) {
        return "";
    }
    return apr_psprintf(pool,
                        "; or set " FW2_SHORT_LIFE_TEXT " and restart "
                        "gracefully, which reduces httpd's orphans in "
                        "FIN_WAIT_2 from %s to about %s%s",
                        fw2_text_number(pool, n), fw2_text_about(pool, later),
                        fw2_advice_vhosts(pool, report));
}

/* Return the remedy if httpd has hardly any of the mini-sockets. */
static const char *others_remedy(const fw2_report *report, apr_pool_t *pool)
{
    return apr_psprintf(pool,
                        "They belong to another program, or to connections "
                        "that this machine opened: httpd has hardly any. Raise "
                        "%s.%s",
                        more_buckets(report, pool),
                        most_elsewhere(report, pool));
}

static fw2_words timewait_overflows_words(const fw2_report *report,
                                          apr_pool_t *pool)
{
    apr_int64_t n = report->minute.timewait_overflows;
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool,
        "%s vanished in the last minute because no mini-socket was free "
        "(TCPTimeWaitOverflow).",
        fw2_text_count(pool, n, "closed connection"));
    if (minis_owner(report) == FW2_OWNER_OTHERS) {
        words.remedy = others_remedy(report, pool);
        return words;
    }
    recommend_buckets(report, &words, fewer_minis(report, pool), pool);
    words.risk = "A low number in FIN_WAIT_2 is no good sign now: clients that "
                 "have not closed stay in CLOSE_WAIT, but the kernel here no "
                 "longer knows their connections.";
    return words;
}

static apr_int64_t timewait_share(const fw2_report *report)
{
    return fw2_report_share(report->limits.timewait,
                            report->limits.tcp_max_tw_buckets);
}

/* If connections have vanished already, timewait-overflow has the same
 * remedy. */
static apr_int64_t timewait_full(const fw2_report *report)
{
    return report->minute.timewait_overflows > 0 ? FW2_UNKNOWN
                                                 : timewait_share(report);
}

static fw2_words timewait_words(const fw2_report *report, apr_pool_t *pool)
{
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool,
        "%s of at most %s (TIME_WAIT and orphans in FIN_WAIT_2) %s in use%s.",
        fw2_text_number(pool, report->limits.timewait),
        fw2_text_count(pool, report->limits.tcp_max_tw_buckets, "mini-socket"),
        FW2_PLURAL(report->limits.timewait, "is", "are"),
        fw2_text_share(pool, report->limits.timewait,
                       report->limits.tcp_max_tw_buckets));
    if (minis_owner(report) == FW2_OWNER_OTHERS) {
        words.remedy = others_remedy(report, pool);
        return words;
    }
    recommend_buckets(report, &words, fewer_minis(report, pool), pool);
    return words;
}

int fw2_minis_short(const fw2_report *report)
{
    return timewait_share(report) >= BUCKETS_SHORT
           || report->minute.timewait_overflows > 0;
}

static fw2_words orphans_words(const fw2_report *report, apr_pool_t *pool)
{
    const char *ours = "";
    fw2_words words = FW2_NO_WORDS;

    if (fw2_known(report->half_closed.full)) {
        ours = apr_psprintf(pool, " (%s at its addresses now)",
                            fw2_text_number(pool, report->half_closed.full));
    }
    words.finding = apr_psprintf(
        pool, "The whole machine has %s of at most %s that are full sockets%s.",
        fw2_text_number(pool, report->limits.orphans),
        fw2_text_count(pool, report->limits.tcp_max_orphans, "orphan"),
        fw2_text_share(pool, report->limits.orphans,
                       report->limits.tcp_max_orphans));
    if (orphans_owner(report) == FW2_OWNER_OTHERS) {
        words.remedy = apr_psprintf(
            pool, "None of them is httpd's, so no setting of httpd helps.%s",
            most_elsewhere(report, pool));
        return words;
    }
    words.remedy = apr_psprintf(
        pool,
        "Above a quarter of the limit the kernel may reset idle orphans (its "
        "log then has: too many orphaned sockets). Most are in FIN_WAIT_1, "
        "where FinWait2Timeout has no effect; FinWait2UserTimeout 60s limits "
        "the time of httpd's own%s.",
        ours);
    fw2_recommend_user_timeout(&words);
    return words;
}

static fw2_words tcp_mem_words(const fw2_report *report, apr_pool_t *pool)
{
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool, "TCP's buffers use %s of at most %s on the whole machine%s.",
        fw2_text_number(pool, report->limits.mem_pages),
        fw2_text_count(pool, report->limits.tcp_mem_max, "page"),
        fw2_text_share(pool, report->limits.mem_pages,
                       report->limits.tcp_mem_max));
    if (memory_owner(report) == FW2_OWNER_OTHERS) {
        words.remedy = apr_psprintf(
            pool,
            "Another program uses them: httpd is idle, and has hardly any "
            "unacknowledged data.%s",
            most_elsewhere(report, pool));
        return words;
    }
    words.remedy = "At the maximum, the third number of net.ipv4.tcp_mem, the "
                   "kernel drops segments and resets orphans.";
    if (report->sockets.undelivered_bytes > 0) {
        words.remedy = apr_psprintf(
            pool,
            "%s On httpd's connections in FIN_WAIT_1, clients have not "
            "acknowledged %s; "
            "FinWait2UserTimeout 60s resets those that acknowledge nothing.",
            words.remedy,
            fw2_text_bytes(pool, report->sockets.undelivered_bytes));
        fw2_recommend_user_timeout(&words);
    }
    return words;
}

static fw2_words descriptors_words(const fw2_report *report, apr_pool_t *pool)
{
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool, "The closer process has %s of at most %s in use%s.",
        fw2_text_number(pool, report->descriptors.open),
        fw2_text_count(pool, report->descriptors.limit, "descriptor"),
        fw2_text_share(pool, report->descriptors.open,
                       report->descriptors.limit));
    words.remedy =
        "Without a free descriptor it closes the connection that it has held "
        "longest. It raises its own limit up to the hard limit: raise "
        "LimitNOFILE= of the systemd unit, or shorten FinWait2LingerIdle.";
    return words;
}

/* Return the remedy for a full accept queue. `subject` begins the sentence
 * about httpd. */
static const char *queue_remedy(const fw2_report *report, const char *subject,
                                apr_pool_t *pool)
{
    apr_int64_t n = fw2_held_by_httpd(report);

    if (n >= MANY_WORKERS && report->server.linger_blocks > 0) {
        return apr_psprintf(
            pool,
            "Up to %s may be busy with lingering: see FinWait2Linger. "
            "Otherwise check mod_status, slow backends and MaxRequestWorkers.",
            fw2_text_count(pool, n, "worker"));
    }
    return apr_psprintf(
        pool,
        "%s%s accepts too slowly, usually because its workers are busy. Check "
        "mod_status, slow backends and MaxRequestWorkers; a larger "
        "ListenBacklog only makes clients wait longer.",
        fw2_known(n) ? "FIN_WAIT_2 is not the cause. " : "", subject);
}

/* Return the number of connections in the full accept queue of another
 * program. */
static apr_int64_t waiting_elsewhere(const fw2_report *report)
{
    return report->elsewhere.half_closed < 0 || !report->elsewhere.full_port
               ? 0
               : report->elsewhere.full;
}

/* Return the owner of the overflows, from the drops at the sockets. A tenth may
 * differ: other packets are dropped, too, and the counters and the drops are
 * not read at the same moment. Without the drops of each socket (/proc has
 * none), the queues of now decide. */
static fw2_owner overflows_owner(const fw2_report *report)
{
    apr_int64_t all = report->minute.listen_overflows;

    if (!fw2_known(report->minute.own_drops)) {
        return report->sockets.backlog == 0 && waiting_elsewhere(report) > 0
                   ? FW2_OWNER_OTHERS
                   : FW2_OWNER_UNKNOWN;
    }
    if (report->minute.own_drops > 0 && report->minute.own_drops >= all / 10) {
        return FW2_OWNER_HTTPD;
    }
    return report->minute.other_drops >= all - all / 10 ? FW2_OWNER_OTHERS
                                                        : FW2_OWNER_UNKNOWN;
}

/* Return the overflows of httpd's queues if they are known, otherwise all.
 * httpd's are among its drops, and at most all. */
static apr_int64_t listen_overflows(const fw2_report *report)
{
    apr_int64_t all = report->minute.listen_overflows;

    return overflows_owner(report) == FW2_OWNER_HTTPD
                   && report->minute.own_drops < all
               ? report->minute.own_drops
               : all;
}

/* Return a sentence on the full accept queue of another program. */
static const char *full_queue(const fw2_report *report, apr_pool_t *pool)
{
    const char *limit = "";

    if (waiting_elsewhere(report) <= 0) {
        return "No accept queue of another program is full now.";
    }
    if (fw2_known(report->elsewhere.full_limit)) {
        limit =
            apr_psprintf(pool, " of at most %s",
                         fw2_text_number(pool, report->elsewhere.full_limit));
    }
    return apr_psprintf(
        pool,
        "At another program's port %d, %s%s %s to be "
        "accepted.",
        report->elsewhere.full_port,
        fw2_text_count(pool, report->elsewhere.full, "connection"), limit,
        FW2_PLURAL(report->elsewhere.full, "waits", "wait"));
}

static fw2_words others_overflows_words(const fw2_report *report,
                                        apr_pool_t *pool)
{
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool,
        "In the last minute another program's accept queue was found full %s "
        "(ListenOverflows); httpd's was not.",
        fw2_text_count(pool, report->minute.listen_overflows, "time"));
    words.remedy = full_queue(report, pool);
    return words;
}

static fw2_words listen_overflows_words(const fw2_report *report,
                                        apr_pool_t *pool)
{
    fw2_owner owner = overflows_owner(report);
    fw2_words words = FW2_NO_WORDS;

    if (owner == FW2_OWNER_OTHERS) {
        return others_overflows_words(report, pool);
    }
    words.finding = apr_psprintf(
        pool, "In the last minute %s found full %s (ListenOverflows).",
        owner == FW2_OWNER_HTTPD
            ? "httpd's accept queue was"
            : "an accept queue of this network namespace was",
        fw2_text_count(pool, listen_overflows(report), "time"));
    words.remedy = queue_remedy(
        report, owner == FW2_OWNER_HTTPD ? "httpd" : "If it is httpd's, httpd",
        pool);
    return words;
}

static fw2_words backlog_words(const fw2_report *report, apr_pool_t *pool)
{
    fw2_words words = FW2_NO_WORDS;

    words.finding = apr_psprintf(
        pool, "In the fullest accept queue %s of at most %s %s%s.",
        fw2_text_number(pool, report->sockets.backlog),
        fw2_text_count(pool, report->sockets.backlog_limit, "connection"),
        FW2_PLURAL(report->sockets.backlog, "waits", "wait"),
        fw2_text_share(pool, report->sockets.backlog,
                       report->sockets.backlog_limit));
    words.remedy = queue_remedy(report, "httpd", pool);
    return words;
}

static apr_int64_t not_counted(const fw2_report *report)
{
    return report->snapshot.counts > 0
           && report->half_closed.total == FW2_UNKNOWN;
}

static fw2_words not_counted_words(const fw2_report *report, apr_pool_t *pool)
{
    fw2_words words = FW2_NO_WORDS;

    words.finding = "Half-closed connections could not be counted, so their "
                    "number is not known.";
    words.remedy = "The page names the source of the kernel that was refused, "
                   "and the reason; the manual has a remedy for each (Where "
                   "the counts come from).";
    return words;
}

const fw2_rule fw2_limit_rules[] = {
    FW2_RULE("not-counted", 0, 1, 0, not_counted_words, NULL,
             FW2_MEASURE(not_counted)),
    FW2_RULE("memory-aborts", 0, 0, 1, memory_aborts_words, aborts_owner,
             FW2_FIGURE(minute.memory_aborts)),
    FW2_RULE("timewait-overflow", 0, 0, 1, timewait_overflows_words,
             minis_owner, FW2_FIGURE(minute.timewait_overflows)),
    FW2_RULE("timewait-full", 0, BUCKETS_SHORT, 80, timewait_words, minis_owner,
             FW2_MEASURE(timewait_full),
             FW2_SHARE(limits.timewait, limits.tcp_max_tw_buckets)),
    FW2_RULE("orphans-full", 0, 12, 25, orphans_words, orphans_owner,
             FW2_SHARE(limits.orphans, limits.tcp_max_orphans)),
    FW2_RULE("tcp-mem", 0, 50, 80, tcp_mem_words, memory_owner,
             FW2_SHARE(limits.mem_pages, limits.tcp_mem_max)),
    FW2_RULE("descriptors", 0, 60, 90, descriptors_words, NULL,
             FW2_SHARE(descriptors.open, descriptors.limit)),
    FW2_RULE("listen-overflow", 0, 1, 60, listen_overflows_words,
             overflows_owner, FW2_MEASURE(listen_overflows)),
    FW2_RULE("backlog", 0, 50, 90, backlog_words, NULL,
             FW2_SHARE(sockets.backlog, sockets.backlog_limit)),
    { NULL }
};
