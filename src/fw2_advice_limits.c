/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * What may run out. Here as in the other tables, a sentence is true whenever
 * its rule speaks, whatever is unknown: what needs another fact is said only
 * where that is known.
 */

#include "fw2_advice_impl.h"

#include "apr_strings.h"

/* What net.ipv4.tcp_max_tw_buckets is raised to at least, and below what it is
 * too low for a server that comes near it. */
#define BUCKETS_PLENTY 65536
#define BUCKETS_LOW    16384

/* From which share on mini-sockets run short, in percent. */
#define BUCKETS_SHORT 40

/* The part of mini-sockets, in percent, below which orphans in FIN_WAIT_2 make
 * no difference. */
#define SMALL_PART 20

/* From which share on a child runs short of descriptors, in percent. */
#define FEW_DESCRIPTORS 60

/* Workers that linger, from which on they may be why nobody accepts. */
#define MANY_WORKERS 50

static apr_int64_t memory_aborts(const fw2_facts *facts)
{
    return facts->memory_aborts;
}

static fw2_words say_memory_aborts(const fw2_facts *facts, apr_pool_t *pool)
{
    apr_int64_t n = facts->memory_aborts;
    fw2_words words;

    words.finding = apr_psprintf(
        pool,
        "%s %s reset in the last minute for want of memory or of room for "
        "orphans (TCPAbortOnMemory).",
        fw2_text_count(pool, n, "connection"), FW2_PLURAL(n, "was", "were"));
    words.remedy =
        "Orphans in FIN_WAIT_2 are hardly the cause: they have no buffers. "
        "FinWait2UserTimeout 60s resets closing connections whose client takes "
        "nothing for 60 s. The limits, net.ipv4.tcp_mem and "
        "net.ipv4.tcp_max_orphans, are the whole machine's.";
    return words;
}

/* What to raise, and to what, without a full stop. */
static const char *more_buckets(const fw2_facts *facts, apr_pool_t *pool)
{
    apr_int64_t to = 2 * facts->tcp_max_tw_buckets;

    if (!fw2_known(facts->tcp_max_tw_buckets)) {
        return "net.ipv4.tcp_max_tw_buckets";
    }
    if (to < BUCKETS_PLENTY) {
        to = BUCKETS_PLENTY;
    }
    return apr_psprintf(pool,
                        "net.ipv4.tcp_max_tw_buckets from %" APR_INT64_T_FMT
                        " to %" APR_INT64_T_FMT " (%s when all are taken)",
                        facts->tcp_max_tw_buckets, to,
                        fw2_text_bytes(pool, to * FW2_MINI_BYTES));
}

/* Whether FinWait2Timeout would help, and how much, where that is known. */
static const char *fewer_minis(const fw2_facts *facts, apr_pool_t *pool)
{
    apr_int64_t n = facts->orphan_mini, later = fw2_fewer_orphans(facts);
    apr_int64_t share = fw2_share(n, facts->timewait);

    if (!fw2_known(share)) {
        return "";
    }
    if (share < SMALL_PART) {
        return apr_psprintf(
            pool,
            "; FinWait2Timeout would hardly help, since only "
            "%s of them %s httpd's in FIN_WAIT_2, and TIME_WAIT "
            "lasts 60 s whatever is set",
            fw2_text_number(pool, n), FW2_PLURAL(n, "is", "are"));
    }
    if (!fw2_known(later)) {
        return "";
    }
    return apr_psprintf(pool,
                        "; or let " FW2_SHORT_LIFE_TEXT " and a graceful "
                        "restart take the %s of httpd's in FIN_WAIT_2 to about "
                        "%s%s",
                        fw2_text_number(pool, n), fw2_text_about(pool, later),
                        fw2_text_whose(pool, facts));
}

static apr_int64_t timewait_overflows(const fw2_facts *facts)
{
    return facts->timewait_overflows;
}

static fw2_words say_timewait_overflows(const fw2_facts *facts,
                                        apr_pool_t *pool)
{
    apr_int64_t n = facts->timewait_overflows;
    fw2_words words;

    words.finding = apr_psprintf(
        pool,
        "%s vanished in the last minute because no mini-socket could be had "
        "(TCPTimeWaitOverflow).",
        fw2_text_count(pool, n, "closed connection"));
    words.remedy = apr_psprintf(
        pool,
        "A low count of FIN_WAIT_2 is no good news now: clients that have not "
        "closed stay in CLOSE_WAIT, and the kernel here has forgotten them. "
        "Raise %s%s.",
        more_buckets(facts, pool), fewer_minis(facts, pool));
    return words;
}

static apr_int64_t timewait_share(const fw2_facts *facts)
{
    return fw2_share(facts->timewait, facts->tcp_max_tw_buckets);
}

static fw2_words say_timewait(const fw2_facts *facts, apr_pool_t *pool)
{
    fw2_words words;

    words.finding = apr_psprintf(
        pool,
        "%s of at most %s (TIME_WAIT and orphans in FIN_WAIT_2) %s taken%s.",
        fw2_text_number(pool, facts->timewait),
        fw2_text_count(pool, facts->tcp_max_tw_buckets, "mini-socket"),
        FW2_PLURAL(facts->timewait, "is", "are"),
        fw2_text_share(pool, facts->timewait, facts->tcp_max_tw_buckets));
    words.remedy = apr_psprintf(
        pool,
        "When none is left, closed connections vanish silently. Raise %s%s.",
        more_buckets(facts, pool), fewer_minis(facts, pool));
    return words;
}

int fw2_minis_short(const fw2_facts *facts)
{
    return timewait_share(facts) >= BUCKETS_SHORT
           || facts->timewait_overflows > 0;
}

static apr_int64_t buckets_low(const fw2_facts *facts)
{
    return fw2_known(facts->tcp_max_tw_buckets)
                   && facts->tcp_max_tw_buckets < BUCKETS_LOW
               ? fw2_minis_short(facts)
               : FW2_FACT_UNKNOWN;
}

static fw2_words say_buckets_low(const fw2_facts *facts, apr_pool_t *pool)
{
    fw2_words words;

    words.finding =
        apr_psprintf(pool, "net.ipv4.tcp_max_tw_buckets is only %s.",
                     fw2_text_number(pool, facts->tcp_max_tw_buckets));
    words.remedy =
        "Do not lower it against FIN_WAIT_2 or TIME_WAIT, as some guides "
        "advise: that does not end connections, it loses them.";
    return words;
}

static apr_int64_t tw_recycle(const fw2_facts *facts)
{
    return fw2_minis_short(facts);
}

static fw2_words say_tw_recycle(const fw2_facts *facts, apr_pool_t *pool)
{
    fw2_words words;

    words.finding = "Do not look for net.ipv4.tcp_tw_recycle, which some "
                    "guides recommend against TIME_WAIT and FIN_WAIT_2.";
    words.remedy = "It broke clients behind NAT, and Linux 4.12 removed it.";
    return words;
}

static apr_int64_t orphans_share(const fw2_facts *facts)
{
    return fw2_share(facts->orphans, facts->tcp_max_orphans);
}

static fw2_words say_orphans(const fw2_facts *facts, apr_pool_t *pool)
{
    const char *ours = "";
    fw2_words words;

    if (fw2_known(facts->orphan_full)) {
        ours = apr_psprintf(pool, " (%s at its addresses now)",
                            fw2_text_number(pool, facts->orphan_full));
    }
    words.finding = apr_psprintf(
        pool,
        "Of at most %s that are full sockets, the whole machine has %s%s.",
        fw2_text_count(pool, facts->tcp_max_orphans, "orphan"),
        fw2_text_number(pool, facts->orphans),
        fw2_text_share(pool, facts->orphans, facts->tcp_max_orphans));
    words.remedy = apr_psprintf(
        pool,
        "From a quarter on the kernel may reset silent ones, since it counts "
        "those up to four times (in its log: too many orphaned sockets). As a "
        "rule they are in FIN_WAIT_1, where FinWait2Timeout does nothing; "
        "FinWait2UserTimeout 60s keeps httpd from adding to them%s.",
        ours);
    return words;
}

static apr_int64_t tcp_mem_share(const fw2_facts *facts)
{
    return fw2_share(facts->tcp_mem, facts->tcp_mem_max);
}

static fw2_words say_tcp_mem(const fw2_facts *facts, apr_pool_t *pool)
{
    const char *ours = "";
    fw2_words words;

    if (facts->undelivered_bytes > 0) {
        ours = apr_psprintf(
            pool,
            " httpd's clients in FIN_WAIT_1 have %s still to take; "
            "FinWait2UserTimeout 60s resets those that take nothing.",
            fw2_text_bytes(pool, facts->undelivered_bytes));
    }
    words.finding = apr_psprintf(
        pool, "TCP's buffers take %s of at most %s on the whole machine%s.",
        fw2_text_number(pool, facts->tcp_mem),
        fw2_text_count(pool, facts->tcp_mem_max, "page"),
        fw2_text_share(pool, facts->tcp_mem, facts->tcp_mem_max));
    words.remedy = apr_psprintf(
        pool,
        "At the maximum, the third number of net.ipv4.tcp_mem, the kernel "
        "drops what arrives and resets orphans. Those in FIN_WAIT_2 have no "
        "buffers, and no part in it.%s",
        ours);
    return words;
}

static apr_int64_t descriptors_share(const fw2_facts *facts)
{
    return fw2_share(facts->descriptors, facts->descriptor_limit);
}

/* Whether lingering may be what fills it. One child cannot linger on more than
 * all children together. */
static const char *lingering_part(const fw2_facts *facts, apr_pool_t *pool)
{
    if (!fw2_known(facts->held)) {
        return "";
    }
    if (facts->held < facts->descriptors / 2) {
        return apr_psprintf(
            pool,
            " Lingering is not the cause: all children together hold only %s.",
            fw2_text_count(pool, facts->held, "half-closed connection"));
    }
    return apr_psprintf(
        pool,
        " Lingering may be the cause: all children together hold %s, and fewer "
        "with a shorter FinWait2LingerIdle.",
        fw2_text_count(pool, facts->held, "half-closed connection"));
}

static fw2_words say_descriptors(const fw2_facts *facts, apr_pool_t *pool)
{
    fw2_words words;

    words.finding = apr_psprintf(
        pool, "The child that counted has %s of at most %s in use%s.",
        fw2_text_number(pool, facts->descriptors),
        fw2_text_count(pool, facts->descriptor_limit, "descriptor"),
        fw2_text_share(pool, facts->descriptors, facts->descriptor_limit));
    words.remedy = apr_psprintf(
        pool,
        "A child without descriptors accepts nobody: raise ulimit -n, or "
        "LimitNOFILE= of the systemd unit.%s",
        lingering_part(facts, pool));
    return words;
}

/* Why an accept queue fills; `whose` begins the sentence about it. */
static const char *why_queued(const fw2_facts *facts, const char *whose,
                              apr_pool_t *pool)
{
    apr_int64_t n = fw2_held_by_httpd(facts);

    if (n >= MANY_WORKERS && facts->linger_blocks > 0) {
        return apr_psprintf(
            pool,
            "Up to %s may be busy with lingering: see FinWait2Linger. "
            "Otherwise look at mod_status, slow backends and "
            "MaxRequestWorkers.",
            fw2_text_count(pool, n, "worker"));
    }
    return apr_psprintf(
        pool,
        "%s%s accepts too slowly, as a rule because its workers are busy. Look "
        "at mod_status, slow backends and MaxRequestWorkers; a larger "
        "ListenBacklog only lets clients wait longer.",
        fw2_known(n) && descriptors_share(facts) < FEW_DESCRIPTORS
            ? "FIN_WAIT_2 is not at fault. "
            : "",
        whose);
}

static apr_int64_t listen_overflows(const fw2_facts *facts)
{
    return facts->listen_overflows;
}

static fw2_words say_listen_overflows(const fw2_facts *facts, apr_pool_t *pool)
{
    apr_int64_t n = facts->listen_overflows;
    fw2_words words;

    words.finding = apr_psprintf(
        pool,
        "In the last minute an accept queue of this network namespace was "
        "found full %s (ListenOverflows).",
        fw2_text_count(pool, n, "time"));
    words.remedy = why_queued(facts, "If it is httpd's, httpd", pool);
    return words;
}

static apr_int64_t backlog_share(const fw2_facts *facts)
{
    return fw2_share(facts->backlog, facts->backlog_limit);
}

static fw2_words say_backlog(const fw2_facts *facts, apr_pool_t *pool)
{
    fw2_words words;

    words.finding = apr_psprintf(
        pool, "In the fullest accept queue %s of at most %s %s%s.",
        fw2_text_number(pool, facts->backlog),
        fw2_text_count(pool, facts->backlog_limit, "connection"),
        FW2_PLURAL(facts->backlog, "waits", "wait"),
        fw2_text_share(pool, facts->backlog, facts->backlog_limit));
    words.remedy = why_queued(facts, "httpd", pool);
    return words;
}

/* Of no interest where every server has a time of its own. */
static apr_int64_t fin_timeout(const fw2_facts *facts)
{
    return facts->follows_system == 0 ? FW2_FACT_UNKNOWN
                                      : facts->tcp_fin_timeout;
}

/* 61 to 119: not what is asked for, and most often far less. */
static apr_int64_t fin_timeout_odd(const fw2_facts *facts)
{
    return facts->tcp_fin_timeout < 120 ? fin_timeout(facts) : FW2_FACT_UNKNOWN;
}

static fw2_words say_fin_timeout(const fw2_facts *facts, apr_pool_t *pool)
{
    apr_int64_t seconds = facts->tcp_fin_timeout;
    fw2_words words;

    words.finding = apr_psprintf(
        pool,
        "net.ipv4.tcp_fin_timeout is %s, but Linux then keeps an orphan in "
        "FIN_WAIT_2 for %s: twice what is above 60.",
        fw2_text_number(pool, seconds),
        fw2_text_time(pool, apr_time_from_sec(fw2_orphan_life(seconds))));
    words.remedy = apr_psprintf(
        pool,
        "%s%sSet it to 60 or less, or set FinWait2Timeout, which goes before "
        "it for httpd's connections and for no others.",
        seconds < 120 ? ""
                      : "The first half of that it is a full socket of about "
                        "2.4 KB. ",
        seconds < 1000 ? ""
                       : "It is in seconds, where other systems count "
                         "milliseconds. ");
    return words;
}

static apr_int64_t not_counted(const fw2_facts *facts)
{
    return facts->not_counted;
}

static fw2_words say_not_counted(const fw2_facts *facts, apr_pool_t *pool)
{
    fw2_words words;

    words.finding = "Half-closed connections could not be counted, so nothing "
                    "is known of them.";
    words.remedy = "The page and snapshot.backend say which source of the "
                   "kernel's was refused, and why; the manual has a cure for "
                   "each (Where the counts come from).";
    return words;
}

const fw2_rule fw2_limit_rules[] = {
    { "not-counted", not_counted, { 0, 1, 0 }, say_not_counted },
    { "memory-aborts", memory_aborts, { 0, 0, 1 }, say_memory_aborts },
    { "timewait-overflow",
      timewait_overflows,
      { 0, 0, 1 },
      say_timewait_overflows },
    { "timewait-full", timewait_share, { 0, BUCKETS_SHORT, 80 }, say_timewait },
    { "orphans-full", orphans_share, { 0, 12, 25 }, say_orphans },
    { "tcp-mem", tcp_mem_share, { 0, 50, 80 }, say_tcp_mem },
    { "descriptors",
      descriptors_share,
      { 0, FEW_DESCRIPTORS, 90 },
      say_descriptors },
    { "listen-overflow", listen_overflows, { 0, 1, 60 }, say_listen_overflows },
    { "backlog", backlog_share, { 0, 50, 90 }, say_backlog },
    { "timewait-low", buckets_low, { 0, 1, 0 }, say_buckets_low },
    { "fin-timeout-odd", fin_timeout_odd, { 0, 61, 0 }, say_fin_timeout },
    { "fin-timeout-long", fin_timeout, { 0, 121, 0 }, say_fin_timeout },
    { "tw-recycle", tw_recycle, { 1, 0, 0 }, say_tw_recycle },
    { NULL }
};
