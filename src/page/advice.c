/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "base/clamp.h"
#include "page/advice_impl.h"

#include <string.h>

#include "apr_strings.h"

const char *const fw2_level_names[FW2_LEVELS] = { "ok", "watch", "danger" };

/* The size of a socket in the kernel, in bytes. It is an IPv6 socket, which a
 * dual-stack listener creates for every client. (Measured on Linux 6.18.) */
#define ORPHAN_BYTES 2496
#define HELD_BYTES   3976 /* including its file and its entry in epoll */

/* The level of a rule that does not apply. */
#define NO_LEVEL (-1)

int fw2_known(apr_int64_t figure)
{
    return figure >= 0;
}

const fw2_policy *fw2_worst_policy(const fw2_report *report)
{
    return report->worst[0].name ? report->worst[0].settings->policy : NULL;
}

/* The smaller one of two estimates: the rate in the last minute times the
 * shorter life, which is an upper bound; and the present orphans, reduced as
 * their life is. */
apr_int64_t fw2_fewer_orphans(const fw2_report *report)
{
    apr_interval_time_t life = report->minute.life;
    apr_interval_time_t shorter = report->minute.short_life;
    apr_int64_t later =
        fw2_report_steady_state(report->minute.left_open, shorter);

    if (fw2_known(later) && life > shorter) {
        double reduced =
            (double)report->half_closed.mini * (double)shorter / (double)life;

        later = reduced < (double)later ? (apr_int64_t)(reduced + 0.5) : later;
    }
    return later < report->half_closed.mini ? later : FW2_UNKNOWN;
}

apr_int64_t fw2_held_by_httpd(const fw2_report *report)
{
    if (!fw2_known(report->half_closed.held)
        || !fw2_known(report->closer.held)) {
        return FW2_UNKNOWN;
    }
    return report->half_closed.held > report->closer.held
               ? report->half_closed.held - report->closer.held
               : 0;
}

apr_int64_t fw2_bytes_of(apr_int64_t n, int each)
{
    if (!fw2_known(n)) {
        return FW2_UNKNOWN;
    }
    return n > APR_INT64_MAX / each ? APR_INT64_MAX : n * each;
}

/* Return the kernel's memory for half-closed connections, in bytes.
 * Approximate: the sizes are those of Linux 6.18, without the overhead of
 * buffers. */
static apr_int64_t kernel_memory(const fw2_report *report)
{
    apr_int64_t sum = fw2_bytes_of(report->half_closed.held, HELD_BYTES);

    fw2_clamp_add(&sum, fw2_bytes_of(report->half_closed.full, ORPHAN_BYTES));
    fw2_clamp_add(&sum, fw2_bytes_of(report->half_closed.mini, FW2_MINI_BYTES));
    fw2_clamp_add(&sum, report->sockets.undelivered_bytes);
    return sum;
}

/* Return the workers that linger, to follow the kernel's memory: ` and no
 * worker`, ` and at most 3 workers`; or "" if their number is not known. */
static const char *workers_text(const fw2_report *report, apr_pool_t *pool)
{
    apr_int64_t n = fw2_held_by_httpd(report);

    if (n == 0 || (fw2_known(n) && report->server.linger_blocks == 0)) {
        return " and no worker";
    }
    if (fw2_known(n) && report->server.linger_blocks > 0) {
        return apr_pstrcat(pool, " and at most ",
                           fw2_text_count(pool, n, "worker"), NULL);
    }
    return "";
}

/* Return `; about 2,400 orphans are normal for this traffic`, or "". */
static const char *normal_text(const fw2_report *report, apr_pool_t *pool)
{
    apr_int64_t n = fw2_predicted_orphans(report);

    return n > 0 && report->half_closed.mini > 0 ? apr_psprintf(
               pool, "; about %s orphan%s normal for this traffic",
               fw2_text_about(pool, n), FW2_PLURAL(n, " is", "s are"))
                                                 : "";
}

/* Return the finding if no rule decides and the connections are counted. */
static const char *ok_finding(const fw2_report *report, apr_pool_t *pool)
{
    apr_int64_t n = report->half_closed.total;

    if (n == 0) {
        return "there are no half-closed connections.";
    }
    return apr_psprintf(pool, "%s cost%s %s of kernel memory%s%s.",
                        fw2_text_count(pool, n, "half-closed connection"),
                        n == 1 ? "s" : "",
                        fw2_text_bytes(pool, kernel_memory(report)),
                        workers_text(report, pool), normal_text(report, pool));
}

const fw2_rule *fw2_advice_rule(int i)
{
    static const fw2_rule *const tables[] = { fw2_limit_rules, fw2_linger_rules,
                                              fw2_traffic_rules };
    unsigned int t;

    for (t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        const fw2_rule *rule;

        for (rule = tables[t]; rule->name; rule++) {
            if (i-- == 0) {
                return rule;
            }
        }
    }
    return NULL;
}

const fw2_rule *fw2_advice_rule_named(const char *name)
{
    int i = 0;

    while (strcmp(fw2_advice_rule(i)->name, name)) {
        i++;
    }
    return fw2_advice_rule(i);
}

/* Return the worst level that a rule may have, by the owner of its figure. */
static int worst_level(const fw2_rule *rule, const fw2_report *report)
{
    static const fw2_level worst[] = { [FW2_OWNER_OTHERS] = FW2_OK,
                                       [FW2_OWNER_UNKNOWN] = FW2_WATCH,
                                       [FW2_OWNER_HTTPD] = FW2_DANGER };

    return (int)worst[rule->owner ? rule->owner(report) : FW2_OWNER_HTTPD];
}

static apr_int64_t figure_of(const fw2_rule *rule, const fw2_report *report)
{
    apr_int64_t used;

    if (rule->measure) {
        return rule->measure(report);
    }
    used = fw2_report_number(report, rule->used);
    return rule->limit
               ? fw2_report_share(used, fw2_report_number(report, rule->limit))
               : used;
}

/* Return the level of a rule, or NO_LEVEL. */
static int level_of(const fw2_rule *rule, const fw2_report *report)
{
    apr_int64_t figure = figure_of(rule, report);
    int level = FW2_LEVELS;

    if (!fw2_known(figure)) {
        return NO_LEVEL;
    }
    while (level-- > 0) {
        if (rule->thresholds[level] > 0 && figure >= rule->thresholds[level]) {
            int worst = worst_level(rule, report);

            return level < worst ? level : worst;
        }
    }
    return NO_LEVEL;
}

/* Return `FinWait2Timeout 5s`, perhaps with a line before it, or for a sysctl
 * `sysctl -w net.ipv4.tcp_max_tw_buckets=65536`; or NULL. */
static const char *line_of(const fw2_words *words, apr_pool_t *pool)
{
    if (!words->directive) {
        return NULL;
    }
    return strncmp(words->directive, "net.", 4)
               ? apr_pstrcat(pool, words->before ? words->before : "",
                             words->before ? "\n" : "", words->directive, " ",
                             words->value, NULL)
               : apr_pstrcat(pool, "sysctl -w ", words->directive, "=",
                             words->value, NULL);
}

static fw2_advice advice_of(fw2_level level, const char *rule,
                            const fw2_words *words, apr_pool_t *pool)
{
    const char *remedy = words->remedy ? words->remedy : "";
    const fw2_advice advice = {
        .rule = rule,
        .level = level,
        .level_name = fw2_level_names[level],
        .words = *words,
        .line = line_of(words, pool),
        .text = apr_pstrcat(pool, words->finding, *remedy ? " " : "", remedy,
                            words->risk ? " " : "", words->risk, NULL)
    };

    return advice;
}

/* Append the advice of the rules that have one level. */
static void apply_rules(fw2_report *report, fw2_level level, apr_pool_t *pool)
{
    const fw2_rule *rule;
    int i;

    for (i = 0; (rule = fw2_advice_rule(i)); i++) {
        if (level_of(rule, report) == (int)level) {
            const fw2_words words = rule->words(report, pool);

            report->advice[report->nadvice++] =
                advice_of(level, rule->name, &words, pool);
        }
    }
}

/* Return the finding of a verdict that no rule has decided. */
static const char *other_finding(const fw2_report *report, apr_pool_t *pool)
{
    return fw2_known(report->half_closed.total)
               ? ok_finding(report, pool)
               : "half-closed connections could not be counted.";
}

/* Write the verdict as the first advice: that of the worst rule, or that all is
 * ok. */
static void write_verdict(fw2_report *report, apr_pool_t *pool)
{
    const fw2_advice *worst =
        report->nadvice > 1 && report->advice[1].level != FW2_OK
            ? &report->advice[1]
            : NULL;
    fw2_words words = FW2_NO_WORDS;

    words.finding = worst ? worst->words.finding : other_finding(report, pool);
    report->snapshot.verdict = worst ? worst->level : FW2_OK;
    report->snapshot.rule = worst ? worst->rule : "none";
    report->advice[0] =
        advice_of(worst ? worst->level : FW2_OK, "verdict", &words, pool);
    report->advice[0].text = apr_pstrcat(
        pool, report->advice[0].level_name,
        worst || fw2_known(report->half_closed.total) ? ": "
                                                      : " as far as is known: ",
        words.finding, NULL);
}

void fw2_advice_give(fw2_report *report, apr_pool_t *pool)
{
    int level, rules = 0;

    while (fw2_advice_rule(rules)) {
        rules++;
    }
    report->advice =
        apr_palloc(pool, (apr_size_t)(rules + 1) * sizeof(*report->advice));
    report->nadvice = 1;
    for (level = FW2_DANGER; level >= FW2_OK; level--) {
        apply_rules(report, (fw2_level)level, pool);
    }
    write_verdict(report, pool);
}

const char *fw2_advice_level(apr_int64_t severity)
{
    return severity >= FW2_OK && severity < FW2_LEVELS
               ? fw2_level_names[severity]
               : NULL;
}

/* Return ` and 30 % of api.example.com:80`, or "". */
static const char *also_text(apr_pool_t *pool, const fw2_named_vhost *also)
{
    return also->name && also->share >= FW2_NAMED_SHARE
               ? apr_psprintf(pool, " and %s %% of %s",
                              fw2_text_number(pool, also->share),
                              fw2_text_name(pool, also->name, NULL))
               : "";
}

/* Return the words for the main cause of closes by httpd, to follow "mostly";
 * NULL if it has none. */
static const char *mostly_words(const fw2_rates *rates)
{
    apr_int64_t n;
    apr_int64_t cause = fw2_report_main_cause(rates->causes, rates->probes, &n);

    if (cause == FW2_NO_REQUEST) {
        return "without any request";
    }
    return fw2_known(cause) ? fw2_causes[cause].mostly : NULL;
}

const char *fw2_advice_vhosts(apr_pool_t *pool, const fw2_report *report)
{
    const fw2_named_vhost *worst = report->worst;
    const char *mostly;

    if (!worst->name || worst->share < FW2_NAMED_SHARE) {
        return "";
    }
    mostly = mostly_words(worst->rates);
    return apr_psprintf(pool, "; %s %% of them are of %s%s%s%s%s",
                        fw2_text_number(pool, worst->share),
                        fw2_text_name(pool, worst->name, NULL),
                        also_text(pool, &worst[1]), also_text(pool, &worst[2]),
                        mostly ? ", mostly " : "", mostly ? mostly : "");
}
