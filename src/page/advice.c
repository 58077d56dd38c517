/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "page/advice_impl.h"

#include <string.h>

#include "apr_strings.h"

const char *const fw2_level_names[FW2_LEVELS] = { "ok", "watch", "danger" };

/* The greatest plausible figure. A greater one is an error of its source; this
 * one, in seconds, still fits in microseconds. */
#define FACT_MAX APR_INT64_C(1000000000000)

/* The size of a socket in the kernel, in bytes. It is an IPv6 socket, which a
 * dual-stack listener creates for every client. (Measured on Linux 6.18.) */
#define ORPHAN_BYTES 2496
#define HELD_BYTES   3976 /* including its file and its entry in epoll */

/* The level of a rule that does not apply. */
#define NO_LEVEL (-1)

/* The least share of the orphans of a virtual host to name it, in percent. */
#define NAMED_SHARE 10

/* The number of facts without the names, which are the last members. */
#define FIGURES (APR_OFFSETOF(fw2_facts, vhost) / sizeof(apr_int64_t))

void fw2_advice_clear(fw2_facts *facts)
{
    apr_int64_t *figure = (apr_int64_t *)facts;
    unsigned int i;

    memset(facts, 0, sizeof(*facts)); /* for the names */
    for (i = 0; i < FIGURES; i++) {
        figure[i] = FW2_FACT_UNKNOWN;
    }
}

/* Return a copy of the facts, with FW2_FACT_UNKNOWN for each figure that is too
 * large or that is below FW2_FACT_NONE. */
static fw2_facts plausible(const fw2_facts *facts)
{
    fw2_facts copy = *facts;
    apr_int64_t *figure = (apr_int64_t *)&copy;
    unsigned int i;

    for (i = 0; i < FIGURES; i++) {
        if (figure[i] > FACT_MAX || figure[i] < FW2_FACT_NONE) {
            figure[i] = FW2_FACT_UNKNOWN;
        }
    }
    return copy;
}

int fw2_known(apr_int64_t fact)
{
    return fact >= 0;
}

apr_int64_t fw2_share(apr_int64_t part, apr_int64_t whole)
{
    double percent;

    if (!fw2_known(part) || whole <= 0) {
        return FW2_FACT_UNKNOWN;
    }
    percent = (double)part * 100 / (double)whole;
    return percent < 1000 ? (apr_int64_t)percent : 1000;
}

apr_int64_t fw2_advice_steady_state(apr_int64_t per_minute,
                                    apr_interval_time_t life)
{
    double n;

    if (!fw2_known(per_minute) || !fw2_known(life)) {
        return FW2_FACT_UNKNOWN;
    }
    n = (double)per_minute * (double)life / (double)apr_time_from_sec(60);
    return n < (double)FACT_MAX ? (apr_int64_t)(n + 0.5) : FACT_MAX;
}

apr_int64_t fw2_advice_orphan_life(apr_int64_t seconds)
{
    if (!fw2_known(seconds)) {
        return FW2_FACT_UNKNOWN;
    }
    if (seconds > 60) {
        return seconds - 60 < FACT_MAX ? 2 * (seconds - 60) : FACT_MAX;
    }
    return seconds ? seconds : 1;
}

apr_interval_time_t fw2_orphan_time(const fw2_facts *facts)
{
    apr_int64_t seconds = facts->vhost_timeout;

    if (fw2_known(facts->left_open_life)) {
        return facts->left_open_life;
    }
    if (seconds == FW2_FACT_NONE) {
        return 0;
    }
    if (seconds == 0) {
        seconds = facts->tcp_fin_timeout;
    }
    return fw2_known(seconds)
               ? apr_time_from_sec(fw2_advice_orphan_life(seconds))
               : FW2_FACT_UNKNOWN;
}

/* The smaller one of two estimates: the rate in the last minute times the
 * shorter life, which is an upper bound; and the present orphans, reduced as
 * their life is. */
apr_int64_t fw2_fewer_orphans(const fw2_facts *facts)
{
    apr_interval_time_t life = fw2_orphan_time(facts);
    apr_interval_time_t shorter = fw2_known(facts->left_open_short_life)
                                      ? facts->left_open_short_life
                                      : FW2_SHORT_LIFE;
    apr_int64_t later = fw2_advice_steady_state(facts->left_open, shorter);

    if (fw2_known(later) && life > shorter) {
        double reduced =
            (double)facts->orphan_mini * (double)shorter / (double)life;

        later = reduced < (double)later ? (apr_int64_t)(reduced + 0.5) : later;
    }
    return later < facts->orphan_mini ? later : FW2_FACT_UNKNOWN;
}

apr_int64_t fw2_held_by_httpd(const fw2_facts *facts)
{
    if (!fw2_known(facts->held) || !fw2_known(facts->closer_held)) {
        return FW2_FACT_UNKNOWN;
    }
    return facts->held > facts->closer_held ? facts->held - facts->closer_held
                                            : 0;
}

apr_int64_t fw2_half_closed(const fw2_facts *facts)
{
    if (!fw2_known(facts->held) || !fw2_known(facts->orphan_mini)
        || !fw2_known(facts->orphan_full)) {
        return FW2_FACT_UNKNOWN;
    }
    return facts->held + facts->orphan_mini + facts->orphan_full;
}

apr_int64_t fw2_kernel_memory(const fw2_facts *facts)
{
    apr_int64_t bytes = 0;

    if (fw2_known(facts->held)) {
        bytes += facts->held * HELD_BYTES;
    }
    if (fw2_known(facts->orphan_full)) {
        bytes += facts->orphan_full * ORPHAN_BYTES;
    }
    if (fw2_known(facts->orphan_mini)) {
        bytes += facts->orphan_mini * FW2_MINI_BYTES;
    }
    if (fw2_known(facts->undelivered_bytes)) {
        bytes += facts->undelivered_bytes;
    }
    return bytes;
}

/* Return the workers that linger, to follow the kernel's memory: ` and no
 * worker`, ` and at most 3 workers`; or "" if their number is not known. */
static const char *workers_text(const fw2_facts *facts, apr_pool_t *pool)
{
    apr_int64_t n = fw2_held_by_httpd(facts);

    if (n == 0 || (fw2_known(n) && facts->linger_blocks == 0)) {
        return " and no worker";
    }
    if (fw2_known(n) && facts->linger_blocks > 0) {
        return apr_pstrcat(pool, " and at most ",
                           fw2_text_count(pool, n, "worker"), NULL);
    }
    return "";
}

/* Return `; about 2,400 orphans are normal for this traffic`, or "". */
static const char *normal_text(const fw2_facts *facts, apr_pool_t *pool)
{
    apr_int64_t n = fw2_predicted_orphans(facts);

    return n > 0 && facts->orphan_mini > 0 ? apr_psprintf(
               pool, "; about %s orphan%s normal for this traffic",
               fw2_text_about(pool, n), FW2_PLURAL(n, " is", "s are"))
                                           : "";
}

/* Return the finding if no rule decides and the connections are counted. */
static const char *ok_finding(const fw2_facts *facts, apr_pool_t *pool)
{
    apr_int64_t n = fw2_half_closed(facts);

    if (n == 0) {
        return "there are no half-closed connections.";
    }
    return apr_psprintf(pool, "%s cost%s %s of kernel memory%s%s.",
                        fw2_text_count(pool, n, "half-closed connection"),
                        n == 1 ? "s" : "",
                        fw2_text_bytes(pool, fw2_kernel_memory(facts)),
                        workers_text(facts, pool), normal_text(facts, pool));
}

static const fw2_rule *rule_at(int i)
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

/* Return the worst level that a rule may have, by the owner of its figure. */
static int worst_level(const fw2_rule *rule, const fw2_facts *facts)
{
    static const fw2_level worst[] = { [FW2_OWNER_OTHERS] = FW2_OK,
                                       [FW2_OWNER_UNKNOWN] = FW2_WATCH,
                                       [FW2_OWNER_HTTPD] = FW2_DANGER };

    return (int)worst[rule->owner ? rule->owner(facts) : FW2_OWNER_HTTPD];
}

/* Return the level of a rule, or NO_LEVEL. */
static int level_of(const fw2_rule *rule, const fw2_facts *facts)
{
    apr_int64_t figure = rule->measure(facts);
    int level = FW2_LEVELS;

    if (!fw2_known(figure)) {
        return NO_LEVEL;
    }
    while (level-- > 0) {
        if (rule->thresholds[level] > 0 && figure >= rule->thresholds[level]) {
            int worst = worst_level(rule, facts);

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

static void fill_advice(fw2_advice *advice, fw2_level level, const char *rule,
                        const fw2_words *words, apr_pool_t *pool)
{
    advice->level = level;
    advice->level_name = fw2_level_names[level];
    advice->rule = rule;
    advice->words = *words;
    advice->line = line_of(words, pool);
    advice->text = apr_pstrcat(pool, words->finding, words->remedy ? " " : "",
                               words->remedy ? words->remedy : "",
                               words->risk ? " " : "", words->risk, NULL);
}

/* Append the advice of the rules that have one level. */
static void apply_rules(fw2_verdict *verdict, fw2_advice *advice, int level,
                        const fw2_facts *facts, apr_pool_t *pool)
{
    const fw2_rule *rule;
    int i;

    for (i = 0; (rule = rule_at(i)); i++) {
        fw2_advice *next = &advice[verdict->n];
        fw2_words words;

        if (level_of(rule, facts) != level) {
            continue;
        }
        words = rule->words(facts, pool);
        fill_advice(next, (fw2_level)level, rule->name, &words, pool);
        if (verdict->n++ == 0 && level != FW2_OK) {
            verdict->level = next->level;
            verdict->rule = next->rule;
            verdict->finding = next->words.finding;
        }
    }
}

/* Write the finding of a verdict that no rule has decided. */
static void write_ok(fw2_verdict *verdict, const fw2_facts *facts,
                     apr_pool_t *pool)
{
    if (fw2_known(fw2_half_closed(facts))) {
        verdict->finding = ok_finding(facts, pool);
        return;
    }
    verdict->finding = "half-closed connections could not be counted.";
    verdict->text =
        apr_pstrcat(pool, "ok as far as is known: ", verdict->finding, NULL);
}

const fw2_verdict *fw2_advice_give(const fw2_facts *facts, apr_pool_t *pool)
{
    fw2_facts plausible_facts = plausible(facts);
    fw2_verdict *verdict = apr_pcalloc(pool, sizeof(*verdict));
    fw2_advice *advice;
    int level, rules = 0;

    while (rule_at(rules)) {
        rules++;
    }
    advice = apr_pcalloc(pool, rules * sizeof(*advice));
    verdict->advice = advice;
    for (level = FW2_DANGER; level >= FW2_OK; level--) {
        apply_rules(verdict, advice, level, &plausible_facts, pool);
    }
    if (!verdict->finding) {
        write_ok(verdict, &plausible_facts, pool);
    }
    if (!verdict->text) {
        verdict->text = apr_pstrcat(pool, fw2_level_names[verdict->level], ": ",
                                    verdict->finding, NULL);
    }
    return verdict;
}

const char *fw2_advice_level(apr_int64_t severity)
{
    return severity >= FW2_OK && severity < FW2_LEVELS
               ? fw2_level_names[severity]
               : NULL;
}

const char *fw2_advice_rule(int i)
{
    const fw2_rule *rule = rule_at(i);

    return rule ? rule->name : NULL;
}

/* Return ` and 30 % of api.example.com:80`, or "". */
static const char *also_text(apr_pool_t *pool, const fw2_facts *facts, int i)
{
    return facts->also[i] && facts->also_share[i] >= NAMED_SHARE
               ? apr_psprintf(pool, " and %s %% of %s",
                              fw2_text_number(pool, facts->also_share[i]),
                              fw2_text_name(pool, facts->also[i], NULL))
               : "";
}

/* Return the words of a cause, to follow "mostly"; NULL if it has none. */
static const char *mostly_words(apr_int64_t cause)
{
    if (cause == FW2_FACT_NO_REQUEST) {
        return "without any request";
    }
    return fw2_known(cause) && cause < FW2_CAUSES ? fw2_causes[cause].mostly
                                                  : NULL;
}

const char *fw2_advice_vhosts(apr_pool_t *pool, const fw2_facts *facts)
{
    const char *mostly = mostly_words(facts->vhost_cause);

    if (!facts->vhost || facts->vhost_share < NAMED_SHARE) {
        return "";
    }
    return apr_psprintf(pool, "; %s %% of them are of %s%s%s%s%s",
                        fw2_text_number(pool, facts->vhost_share),
                        fw2_text_name(pool, facts->vhost, NULL),
                        also_text(pool, facts, 0), also_text(pool, facts, 1),
                        mostly ? ", mostly " : "", mostly ? mostly : "");
}
