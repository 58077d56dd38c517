/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The room advice: for each rule both sides of each of its limits, and what it
 * says there; what is unknown; what no machine has; names that are not nice.
 * All texts that come by, of whatever facts, are held to be well-formed.
 */

#include <stddef.h>
#include <stdlib.h>

#include "apr_general.h"
#include "apr_strings.h"

#include "page/advice_impl.h"
#include "base/policy.h"
#include "tap.h"

#define SILENT  (-1)
#define FIGURES (offsetof(fw2_facts, vhost) / sizeof(apr_int64_t))
#define RULES   64
#define SEC(n)  apr_time_from_sec(n)
#define HUGE_N  APR_INT64_C(9223372036854775807)

static apr_pool_t *pool;

/* How often each rule spoke and kept silent, in the rules' order. */
static int spoke[RULES], kept_silent[RULES];

static int rule_number(const char *rule)
{
    int i;

    for (i = 0; fw2_advice_rule(i); i++) {
        if (!strcmp(fw2_advice_rule(i), rule)) {
            return i;
        }
    }
    printf("Bail out! there is no rule %s\n", rule);
    exit(1);
}

/* ----------------------------------------------------------- well-formed -- */

static int ends_with(const char *text, const char *end)
{
    apr_size_t n = strlen(text), m = strlen(end);

    return n >= m && !strcmp(text + n - m, end);
}

static int sentences(const char *text)
{
    int n = 1;

    while ((text = strstr(text, ". "))) {
        text++;
        n++;
    }
    return n;
}

static const char *wrong_with_text(const char *text)
{
    static const char *const never[] = { "-1", "(null)", "%s", "%d", "  ",
                                         "..", " .",     " ,", "\n", "<",
                                         ">",  "`",      "\"", NULL };
    int i;

    for (i = 0; never[i]; i++) {
        if (strstr(text, never[i])) {
            return never[i];
        }
    }
    if (!ends_with(text, ".")) {
        return "no full stop";
    }
    return strlen(text) > 700    ? "too long"
           : sentences(text) > 4 ? "too many sentences"
                                 : NULL;
}

static const char *wrong_with_verdict(const fw2_verdict *verdict)
{
    fw2_level worst = verdict->n ? verdict->advice[0].level : FW2_OK;
    int i;

    for (i = 0; i < verdict->n; i++) {
        const fw2_advice *advice = &verdict->advice[i];
        const char *wrong = wrong_with_text(advice->text);

        if (wrong) {
            return apr_psprintf(pool, "%s: %s: %s", advice->rule, wrong,
                                advice->text);
        }
        if (i && advice->level > advice[-1].level) {
            return "not worst first";
        }
        if (i && advice->level == advice[-1].level
            && rule_number(advice->rule) <= rule_number(advice[-1].rule)) {
            return "not in the rules' order";
        }
    }
    if (verdict->level != worst || !verdict->rule != (worst == FW2_OK)) {
        return "the verdict is not the worst advice's";
    }
    if (verdict->rule && strcmp(verdict->rule, verdict->advice[0].rule)) {
        return "the verdict is another rule's";
    }
    if (strncmp(verdict->text, fw2_level_names[worst],
                strlen(fw2_level_names[worst]))) {
        return "the verdict does not begin with its level";
    }
    return wrong_with_text(verdict->text);
}

static int malformed; /* how many verdicts were */

static const fw2_verdict *advise(const fw2_facts *facts)
{
    const fw2_verdict *verdict = fw2_advice_give(facts, pool);
    const char *wrong = wrong_with_verdict(verdict);

    if (wrong) {
        malformed++;
        printf("# malformed: %s\n# %s\n", wrong, verdict->text);
    }
    return verdict;
}

static const fw2_advice *find(const fw2_verdict *verdict, const char *rule)
{
    int i;

    for (i = 0; i < verdict->n; i++) {
        if (!strcmp(verdict->advice[i].rule, rule)) {
            return &verdict->advice[i];
        }
    }
    return NULL;
}

/* ----------------------------------------------------- rules, both sides -- */

#define SETTINGS 8
#define SAYS     8

/* A fact; offsets are one more than they are, so that 0 ends them. */
typedef struct setting {
    apr_size_t offset;
    apr_int64_t value;
} setting;

#define IS(fact, value)                                                        \
    {                                                                          \
        offsetof(fw2_facts, fact) + 1, (value)                                 \
    }

/* Facts, and what one rule makes of them. All others are unknown. A text that
 * begins with `!` it does not say; one with `=` is the line that it recommends,
 * and one with `#` the number that this leads to. */
typedef struct scene {
    const char *rule;
    int level;
    setting facts[SETTINGS];
    const char *says[SAYS];
} scene;

static const scene limits[] = {
    { "memory-aborts", SILENT, { IS(memory_aborts, 0) }, { NULL } },
    { "memory-aborts",
      FW2_WATCH,
      { IS(memory_aborts, 1) },
      { "1 connection was reset", "TCPAbortOnMemory",
        "FinWait2UserTimeout 60s" } },
    { "memory-aborts",
      FW2_WATCH,
      { IS(memory_aborts, 1234), IS(orphan_full, 0), IS(by_server, 30) },
      { "1,234 connections were reset", "FinWait2UserTimeout 60s" } },
    { "memory-aborts",
      FW2_OK,
      { IS(memory_aborts, 1234), IS(orphan_full, 0), IS(by_server, 29),
        IS(elsewhere, 4000), IS(elsewhere_port, 8080),
        IS(elsewhere_opened, 0) },
      { "1,234 connections were reset", "Another program owned them: httpd is",
        "Elsewhere, most are 4,000 connections of another program at port "
        "8080.",
        "!FinWait2UserTimeout" } },
    { "memory-aborts",
      FW2_DANGER,
      { IS(memory_aborts, 1234), IS(orphan_full, 1), IS(by_server, 0) },
      { "1,234 connections were reset", "net.ipv4.tcp_mem",
        "net.ipv4.tcp_max_orphans" } },

    { "timewait-overflow", SILENT, { IS(timewait_overflows, 0) }, { NULL } },
    { "timewait-overflow",
      FW2_WATCH,
      { IS(timewait_overflows, 1) },
      { "1 closed connection vanished",
        "Raise net.ipv4.tcp_max_tw_buckets." } },
    { "timewait-overflow",
      FW2_OK,
      { IS(timewait_overflows, 217), IS(tcp_max_tw_buckets, 5000),
        IS(timewait, 5000), IS(orphan_mini, 40), IS(by_server, 9),
        IS(elsewhere, 4000), IS(elsewhere_port, 9000),
        IS(elsewhere_opened, 1) },
      { "217 closed connections vanished", "httpd has hardly any",
        "Raise net.ipv4.tcp_max_tw_buckets from 5,000 to 65,536",
        "Elsewhere, most are 4,000 connections of this machine to port "
        "9000." } },
    { "timewait-overflow",
      FW2_DANGER,
      { IS(timewait_overflows, 217), IS(tcp_max_tw_buckets, 5000),
        IS(timewait, 5000), IS(orphan_mini, 0), IS(by_server, 50) },
      { "217 closed connections vanished", "TCPTimeWaitOverflow", "CLOSE_WAIT",
        "Raise net.ipv4.tcp_max_tw_buckets from 5,000 to 65,536 (16.8 MB if "
        "all are in use); FinWait2Timeout would hardly help",
        "=sysctl -w net.ipv4.tcp_max_tw_buckets=65536" } },
    { "timewait-overflow",
      FW2_DANGER,
      { IS(timewait_overflows, 217), IS(tcp_max_tw_buckets, 5000),
        IS(timewait, 5000), IS(orphan_mini, 4000), IS(left_open, 24000) },
      { "; or set FinWait2Timeout 5s and restart gracefully, which reduces "
        "httpd's orphans in FIN_WAIT_2 from 4,000 to about 2,000." } },
    { "timewait-overflow",
      FW2_WATCH,
      { IS(timewait_overflows, 1), IS(tcp_max_tw_buckets, 0) },
      { "from 0 to 65,536" } },

    { "timewait-full",
      SILENT,
      { IS(timewait, 39999), IS(tcp_max_tw_buckets, 100000) },
      { NULL } },
    { "timewait-full",
      SILENT,
      { IS(timewait, 0), IS(tcp_max_tw_buckets, 0) },
      { NULL } },
    { "timewait-full",
      SILENT,
      { IS(timewait, 90000), IS(tcp_max_tw_buckets, 100000),
        IS(timewait_overflows, 1) },
      { NULL } },
    { "timewait-full",
      FW2_WATCH,
      { IS(timewait, 40000), IS(tcp_max_tw_buckets, 100000) },
      { "40,000 of at most 100,000 mini-sockets", "are in use (40 %).",
        "would not end connections sooner, but make them vanish.",
        "Raise net.ipv4.tcp_max_tw_buckets from 100,000 to 200,000 (51.2 MB if "
        "all are in use).",
        "=sysctl -w net.ipv4.tcp_max_tw_buckets=200000" } },
    { "timewait-full",
      FW2_WATCH,
      { IS(timewait, 79999), IS(tcp_max_tw_buckets, 100000) },
      { "(79 %)" } },
    { "timewait-full",
      FW2_DANGER,
      { IS(timewait, 80000), IS(tcp_max_tw_buckets, 100000),
        IS(orphan_mini, 16000), IS(left_open, 10000) },
      { "(80 %)",
        "; or set FinWait2Timeout 5s and restart gracefully, which reduces "
        "httpd's orphans in FIN_WAIT_2 from 16,000 to about 830." } },
    { "timewait-full",
      FW2_DANGER,
      { IS(timewait, 80000), IS(tcp_max_tw_buckets, 100000),
        IS(orphan_mini, 15999), IS(left_open, 10000) },
      { "FinWait2Timeout would hardly help, since only 15,999 of them are "
        "httpd's",
        "TIME_WAIT always lasts 60 s." } },
    { "timewait-full",
      FW2_DANGER,
      { IS(timewait, 80000), IS(tcp_max_tw_buckets, 100000),
        IS(orphan_mini, 80000), IS(left_open, 960000) },
      { "if all are in use)." } },
    { "timewait-full",
      FW2_DANGER,
      { IS(timewait, 80000), IS(tcp_max_tw_buckets, 100000),
        IS(orphan_mini, 80000) },
      { "if all are in use)." } },
    { "timewait-full",
      FW2_WATCH,
      { IS(timewait, 1), IS(tcp_max_tw_buckets, 1) },
      { "1 of at most 1 mini-socket (", "is in use (100 %)" } },
    { "timewait-full",
      FW2_OK,
      { IS(timewait, 80000), IS(tcp_max_tw_buckets, 100000),
        IS(orphan_mini, 799) },
      { "(80 %)", "httpd has hardly any", "!Elsewhere" } },

    { "orphans-full",
      SILENT,
      { IS(orphans, 15728), IS(tcp_max_orphans, 131072) },
      { NULL } },
    { "orphans-full",
      FW2_WATCH,
      { IS(orphans, 15729), IS(tcp_max_orphans, 131072) },
      { "The whole machine has 15,729 of at most 131,072 orphans that are full "
        "sockets (12 %).",
        "Above a quarter of the limit", "FinWait2Timeout has no effect",
        "FinWait2UserTimeout 60s limits the time of httpd's own." } },
    { "orphans-full",
      FW2_WATCH,
      { IS(orphans, 32767), IS(tcp_max_orphans, 131072) },
      { "(24 %)" } },
    { "orphans-full",
      FW2_DANGER,
      { IS(orphans, 32768), IS(tcp_max_orphans, 131072),
        IS(orphan_full, 12000) },
      { "(25 %)", "(12,000 at its addresses now)." } },
    { "orphans-full",
      FW2_OK,
      { IS(orphans, 130000), IS(tcp_max_orphans, 131072), IS(orphan_full, 0),
        IS(elsewhere, 1), IS(elsewhere_port, 25), IS(elsewhere_opened, 1) },
      { "(99.1 %)", "None of them is httpd's", "!FinWait2UserTimeout",
        "Elsewhere, most are 1 connection of this machine to port 25." } },
    { "orphans-full",
      FW2_WATCH,
      { IS(orphans, 32768), IS(tcp_max_orphans, 131072) },
      { "(25 %)" } },

    { "tcp-mem",
      SILENT,
      { IS(tcp_mem, 49999), IS(tcp_mem_max, 100000) },
      { NULL } },
    { "tcp-mem",
      FW2_WATCH,
      { IS(tcp_mem, 50000), IS(tcp_mem_max, 100000) },
      { "50,000 of at most 100,000 pages on the whole machine (50 %)",
        "net.ipv4.tcp_mem", "resets orphans." } },
    { "tcp-mem",
      FW2_WATCH,
      { IS(tcp_mem, 79999), IS(tcp_mem_max, 100000), IS(undelivered_bytes, 0) },
      { "resets orphans.", "!FinWait2UserTimeout" } },
    { "tcp-mem",
      FW2_DANGER,
      { IS(tcp_mem, 80000), IS(tcp_mem_max, 100000),
        IS(undelivered_bytes, 320400000) },
      { "(80 %)", "have not acknowledged 320.4 MB;",
        "=FinWait2UserTimeout 60s" } },
    { "tcp-mem",
      FW2_WATCH,
      { IS(tcp_mem, 80000), IS(tcp_mem_max, 100000),
        IS(undelivered_bytes, 63999999), IS(by_server, 30) },
      { "(80 %)", "have not acknowledged 64 MB;" } },
    { "tcp-mem",
      FW2_OK,
      { IS(tcp_mem, 80000), IS(tcp_mem_max, 100000), IS(undelivered_bytes, 0),
        IS(by_server, 29) },
      { "(80 %)", "Another program uses them: httpd is idle", "!Elsewhere" } },

    { "descriptors",
      SILENT,
      { IS(descriptors, 599), IS(descriptor_limit, 1000) },
      { NULL } },
    { "descriptors",
      FW2_WATCH,
      { IS(descriptors, 600), IS(descriptor_limit, 1000) },
      { "closer process has 600 of at most 1,000 descriptors in use (60 %)",
        "LimitNOFILE= of the systemd unit", "FinWait2LingerIdle" } },
    { "descriptors",
      FW2_WATCH,
      { IS(descriptors, 899), IS(descriptor_limit, 1000) },
      { "(89 %)" } },
    { "descriptors",
      FW2_DANGER,
      { IS(descriptors, 900), IS(descriptor_limit, 1000) },
      { "(90 %)" } },

    { "listen-overflow", SILENT, { IS(listen_overflows, 0) }, { NULL } },
    { "listen-overflow",
      FW2_WATCH,
      { IS(listen_overflows, 1) },
      { "full 1 time (ListenOverflows). If it is httpd's, httpd accepts too",
        "!not the cause", "MaxRequestWorkers" } },
    { "listen-overflow",
      FW2_WATCH,
      { IS(listen_overflows, 59), IS(held, 49), IS(closer_held, 0),
        IS(linger_blocks, 1) },
      { "59 times", "FIN_WAIT_2 is not the cause. If it is httpd's, httpd" } },
    { "listen-overflow",
      FW2_WATCH,
      { IS(listen_overflows, 1000), IS(backlog, 1), IS(queue, 6) },
      { "an accept queue of this network namespace was found full 1,000" } },
    { "listen-overflow",
      FW2_OK,
      { IS(listen_overflows, 1000), IS(backlog, 0), IS(queue, 1),
        IS(queue_port, 5432) },
      { "another program's accept queue was found full 1,000 times",
        "At another program's port 5432, 1 connection waits to be "
        "accepted." } },
    { "listen-overflow",
      FW2_OK,
      { IS(listen_overflows, 1000), IS(own_drops, 99), IS(other_drops, 900),
        IS(backlog, 400), IS(queue, 6), IS(queue_port, 5432),
        IS(queue_limit, 5) },
      { "; httpd's was not.", "!MaxRequestWorkers",
        "At another program's port 5432, 6 connections of at most 5 wait" } },
    { "listen-overflow",
      FW2_OK,
      { IS(listen_overflows, 1), IS(own_drops, 0), IS(other_drops, 1) },
      { "No accept queue of another program is full now." } },
    { "listen-overflow",
      FW2_WATCH,
      { IS(listen_overflows, 1000), IS(own_drops, 99), IS(other_drops, 899),
        IS(backlog, 0), IS(queue, 1) },
      { "an accept queue of this network namespace was found full 1,000" } },
    { "listen-overflow",
      FW2_WATCH,
      { IS(listen_overflows, 590), IS(own_drops, 59), IS(other_drops, 590) },
      { "httpd's accept queue was found full 59 times" } },
    { "listen-overflow",
      FW2_DANGER,
      { IS(listen_overflows, 60), IS(own_drops, 1000), IS(held, 50),
        IS(closer_held, 0), IS(linger_blocks, 1) },
      { "60 times", "!at fault", "Up to 50 workers may be busy with lingering",
        "FinWait2Linger" } },

    { "backlog",
      SILENT,
      { IS(backlog, 255), IS(backlog_limit, 511) },
      { NULL } },
    { "backlog", SILENT, { IS(backlog, 5), IS(backlog_limit, 0) }, { NULL } },
    { "backlog",
      FW2_WATCH,
      { IS(backlog, 256), IS(backlog_limit, 511) },
      { "256 of at most 511 connections wait (50 %)",
        ". httpd accepts too slowly", "ListenBacklog", "!at fault" } },
    { "backlog",
      FW2_WATCH,
      { IS(backlog, 459), IS(backlog_limit, 511), IS(held, 500),
        IS(closer_held, 0), IS(linger_blocks, 0) },
      { "(89 %)", "FIN_WAIT_2 is not the cause. httpd accepts" } },
    { "backlog",
      FW2_DANGER,
      { IS(backlog, 460), IS(backlog_limit, 511) },
      { "(90 %)" } },

    { "not-counted", SILENT, { IS(not_counted, 0) }, { NULL } },
    { "not-counted",
      FW2_WATCH,
      { IS(not_counted, 1) },
      { "could not be counted", "snapshot.backend" } },

    { "fin-timeout-long", SILENT, { IS(tcp_fin_timeout, 120) }, { NULL } },
    { "fin-timeout-long",
      FW2_WATCH,
      { IS(tcp_fin_timeout, 121) },
      { "is 121", "for 122 s", "full socket of about 2.4 KB.",
        "=FinWait2Timeout 5s" } },
    { "fin-timeout-long",
      SILENT,
      { IS(tcp_fin_timeout, 121), IS(follows_system, 0) },
      { NULL } },
    { "fin-timeout-long",
      FW2_WATCH,
      { IS(tcp_fin_timeout, 60000) },
      { "is 60,000", "for 119,880 s", "The unit is seconds" } },
};

static const scene lingers[] = {
    { "closer-full",
      SILENT,
      { IS(closer_held, 4999), IS(closer_capacity, 10000) },
      { NULL } },
    { "closer-full",
      FW2_WATCH,
      { IS(closer_held, 5000), IS(closer_capacity, 10000) },
      { "process holds 5,000 of at most 10,000 connections (50 %).",
        "ulimit -n", "FinWait2LingerIdle", "=FinWait2LingerSlots 20000" } },
    { "closer-full",
      FW2_WATCH,
      { IS(closer_held, 8999), IS(closer_capacity, 10000),
        IS(closer_oldest, 1500000) },
      { "(89 %), the oldest for 1.5 s." } },
    { "closer-full",
      FW2_DANGER,
      { IS(closer_held, 9000), IS(closer_capacity, 10000),
        IS(closer_oldest, SEC(28)) },
      { "(90 %), the oldest for 28 s." } },

    { "closer-away", SILENT, { IS(closer_away, 0) }, { NULL } },
    { "closer-away",
      FW2_WATCH,
      { IS(closer_away, 1), IS(linger_blocks, 1) },
      { "finwait2, which lingers for httpd, is not running",
        "TasksMax=", "keeps a worker waiting" } },
    { "closer-idle", SILENT, { IS(closer_idle, 0) }, { NULL } },
    { "closer-idle",
      FW2_OK,
      { IS(closer_idle, 1) },
      { "cannot linger outside of a worker", "epoll" } },

    { "fallback", SILENT, { IS(fallback, 0) }, { NULL } },
    { "fallback",
      SILENT,
      { IS(fallback, 1000), IS(closer_away, 1) },
      { NULL } },
    { "fallback",
      SILENT,
      { IS(fallback, 1000), IS(closer_idle, 1) },
      { NULL } },
    { "fallback",
      FW2_WATCH,
      { IS(fallback, 1) },
      { "1 connection was left", "finwait2 did not accept it.",
        "On prefork and worker each connection keeps a worker", "error log" } },
    { "fallback",
      FW2_WATCH,
      { IS(fallback, 599), IS(linger_blocks, 0) },
      { "599 connections were left", "did not accept them.", "33 KB" } },
    { "fallback",
      FW2_DANGER,
      { IS(fallback, 600), IS(linger_blocks, 1) },
      { "600 connections",
        "Each connection keeps a worker waiting for up to 30 s." } },

    { "evicted", SILENT, { IS(evicted, 0) }, { NULL } },
    { "evicted",
      FW2_WATCH,
      { IS(evicted, 1) },
      { "1 linger was cut short", "because its slot was needed" } },
    { "evicted",
      FW2_WATCH,
      { IS(evicted, 99999) },
      { "99,999 lingers were cut short", "their slot", "FinWait2LingerSlots",
        "ulimit -n" } },

    { "linger-httpd",
      SILENT,
      { IS(vhost_linger, FW2_LINGER_HTTPD), IS(held, 149),
        IS(closer_held, 100) },
      { NULL } },
    { "linger-httpd",
      SILENT,
      { IS(vhost_linger, FW2_LINGER_AUTO), IS(held, 500), IS(closer_held, 0) },
      { NULL } },
    { "linger-httpd",
      SILENT,
      { IS(vhost_linger, FW2_LINGER_HTTPD), IS(held, 500) },
      { NULL } },
    { "linger-httpd",
      FW2_WATCH,
      { IS(vhost_linger, FW2_LINGER_HTTPD), IS(held, 150), IS(closer_held, 100),
        IS(linger_blocks, 1) },
      { "about 50 connections, and www.example.com:80 has FinWait2Linger "
        "httpd.",
        "worker waiting", "hands them off to the closer process",
        "=FinWait2Linger auto" } },
    { "linger-httpd",
      FW2_WATCH,
      { IS(vhost_linger, FW2_FACT_ENGINE_OFF), IS(held, 3000),
        IS(closer_held, 0), IS(linger_blocks, 0) },
      { "about 3,000 connections", "has FinWait2Engine Off.", "33 KB",
        "=FinWait2Engine On" } },

    { "linger-always",
      SILENT,
      { IS(vhost_linger, FW2_LINGER_ALWAYS), IS(closer_held, 99),
        IS(vhost_linger_idle, SEC(5)) },
      { NULL } },
    { "linger-always",
      SILENT,
      { IS(vhost_linger, FW2_LINGER_ALWAYS), IS(closer_held, 5000),
        IS(vhost_linger_idle, SEC(5) - 1) },
      { NULL } },
    { "linger-always",
      SILENT,
      { IS(vhost_linger, FW2_LINGER_AUTO), IS(closer_held, 5000),
        IS(vhost_linger_idle, SEC(5)) },
      { NULL } },
    { "linger-always",
      FW2_OK,
      { IS(vhost_linger, FW2_LINGER_ALWAYS), IS(closer_held, 100),
        IS(vhost_linger_idle, SEC(5)) },
      { "holds 100 connections, and www.example.com:80 has FinWait2Linger "
        "always and 5 s of FinWait2LingerIdle.",
        "FinWait2LingerIdle 2s shortens that;" } },
    { "linger-always",
      FW2_OK,
      { IS(vhost_linger, FW2_LINGER_ALWAYS), IS(closer_held, 999),
        IS(vhost_linger_idle, SEC(5)), IS(vhost_left_open, 9600) },
      { "reduces that to about 320", "=FinWait2LingerIdle 2s", "#320" } },
    { "linger-always",
      FW2_OK,
      { IS(vhost_linger, FW2_LINGER_ALWAYS), IS(closer_held, 999),
        IS(vhost_linger_idle, SEC(5)), IS(left_open, 9600) },
      { "FinWait2LingerIdle 2s shortens that;" } },
    { "linger-always",
      FW2_WATCH,
      { IS(vhost_linger, FW2_LINGER_ALWAYS), IS(closer_held, 4000),
        IS(vhost_linger_idle, SEC(30)), IS(vhost_left_open, 7800) },
      { "holds 4,000 connections", "30 s of FinWait2LingerIdle",
        "reduces that to about 260, at 130 a second there",
        "FinWait2Linger auto", "is reset" } },
    { "linger-always",
      FW2_WATCH,
      { IS(vhost_linger, FW2_LINGER_ALWAYS), IS(closer_held, 1000),
        IS(vhost_linger_idle, SEC(30)), IS(vhost_left_open, 30000) },
      { "FinWait2LingerIdle 2s shortens that;" } },

    { "undelivered",
      SILENT,
      { IS(undelivered, 99), IS(undelivered_bytes, 63999999) },
      { NULL } },
    { "undelivered",
      FW2_WATCH,
      { IS(undelivered, 100) },
      { "100 connections in FIN_WAIT_1 have a response that",
        "FinWait2Timeout does not end them", "for ever",
        "=FinWait2UserTimeout 60s" } },
    { "undelivered",
      FW2_WATCH,
      { IS(undelivered_bytes, 64000000) },
      { "Connections in FIN_WAIT_1 have 64 MB" } },
    { "undelivered",
      FW2_WATCH,
      { IS(undelivered, 1), IS(undelivered_bytes, 2100000000),
        IS(shut_windows, 0), IS(fin_wait1, 1) },
      { "1 of 1 connection in FIN_WAIT_1 has 2.1 GB that clients have not "
        "acknowledged." } },
    { "undelivered",
      FW2_WATCH,
      { IS(undelivered, 150), IS(undelivered_bytes, 320400000),
        IS(shut_windows, 20), IS(fin_wait1, 1400) },
      { "150 of 1,400 connections", "320.4 MB",
        ", 20 of them behind a zero window." } },
    { "undelivered",
      FW2_WATCH,
      { IS(undelivered, 150), IS(vhost_user_timeout, 0), IS(shut_windows, 1) },
      { "1 of them behind a zero window", "FinWait2UserTimeout 60s resets" } },
    { "undelivered",
      FW2_WATCH,
      { IS(undelivered, 150), IS(vhost_user_timeout, SEC(60)) },
      { "FinWait2UserTimeout is 60 s at www.example.com:80" } },

    { "close-wait", SILENT, { IS(close_wait, 49) }, { NULL } },
    { "close-wait",
      FW2_WATCH,
      { IS(close_wait, 50) },
      { "50 connections are in CLOSE_WAIT", "httpd has to act, not the client",
        "backend" } },
};

static const scene traffic[] = {
    { "balancer",
      SILENT,
      { IS(idle_net_share, 50), IS(expired, 49), IS(by_server, 100) },
      { NULL } },
    { "balancer",
      SILENT,
      { IS(idle_net_share, 50), IS(expired, 9), IS(by_server, 9) },
      { NULL } },
    { "balancer",
      SILENT,
      { IS(idle_net_share, 49), IS(expired, 100), IS(by_server, 100) },
      { NULL } },
    { "balancer", SILENT, { IS(expired, 100), IS(by_server, 100) }, { NULL } },
    { "balancer",
      FW2_OK,
      { IS(idle_net_share, 50), IS(expired, 10), IS(by_server, 20) },
      { "10 of the 20 connections that httpd closed in the last minute (50 %) "
        "had been idle for the keep-alive time, most of them from "
        "192.0.2.0/24. If that is a load balancer:",
        "502", "prefork and worker", "=FinWait2KeepAliveTimeout 65s" } },
    { "balancer",
      FW2_OK,
      { IS(idle_net_share, 100), IS(expired, 920), IS(by_server, 1000),
        IS(vhost_keepalive, SEC(5)) },
      { "(92 %)", "keep-alive time (5 s at www.example.com:80), most" } },

    { "growing",
      SILENT,
      { IS(orphan_mini, 999), IS(left_open, 100), IS(left_open_life, SEC(60)) },
      { NULL } },
    { "growing",
      SILENT,
      { IS(orphan_mini, 14999), IS(left_open, 10000),
        IS(left_open_life, SEC(60)) },
      { NULL } },
    { "growing",
      SILENT,
      { IS(orphan_mini, 15000), IS(left_open, 1000),
        IS(left_open_life, SEC(60) + 1) },
      { NULL } },
    { "growing",
      SILENT,
      { IS(orphan_mini, 15000), IS(left_open, 0), IS(left_open_life, 0) },
      { NULL } },
    { "growing",
      FW2_OK,
      { IS(orphan_mini, 1000), IS(left_open, 0), IS(left_open_life, SEC(60)) },
      { "0 a minute", "so about 0 are expected." } },
    { "growing",
      FW2_OK,
      { IS(orphan_mini, 9999), IS(left_open, 1200),
        IS(left_open_life, SEC(60)) },
      { "9,999 orphans" } },
    { "growing",
      FW2_WATCH,
      { IS(orphan_mini, 15000), IS(left_open, 10000),
        IS(left_open_life, SEC(60)) },
      { "More than the traffic explains: 15,000 orphans",
        "clients do not close 167 a second, each kept for 60 s",
        "about 10,000 are", "Check again in a minute", "3.8 MB" } },
    { "growing",
      FW2_WATCH,
      { IS(orphan_mini, 10000), IS(left_open, 1200),
        IS(left_open_life, SEC(60)) },
      { "10,000 orphans", "20 a second", "about 1,200 are expected." } },

    { "steady",
      SILENT,
      { IS(orphan_mini, 99), IS(left_open, 99), IS(left_open_life, SEC(60)) },
      { NULL } },
    { "steady",
      SILENT,
      { IS(orphan_mini, 150), IS(left_open, 100), IS(left_open_life, SEC(60)) },
      { NULL } },
    { "steady",
      SILENT,
      { IS(orphan_mini, 150), IS(left_open, 100) },
      { NULL } },
    { "steady",
      FW2_OK,
      { IS(orphan_mini, 149), IS(left_open, 100), IS(left_open_life, SEC(60)) },
      { "1.7 a second", "so about 100 are expected, and there are 149." } },
    { "steady",
      FW2_OK,
      { IS(orphan_mini, 2431), IS(left_open, 2400), IS(vhost_timeout, 0),
        IS(tcp_fin_timeout, 60), IS(by_server, 6200), IS(by_peer, 3800) },
      { "Normal for this traffic: clients do not close 40 a second",
        "for 60 s on average",
        "so about 2,400 are expected, and there are 2,431.",
        "httpd closed first in 6,200 of 10,000 closes in the last minute "
        "(62 %)." } },
    { "steady",
      FW2_OK,
      { IS(orphan_mini, 100), IS(left_open, 2400), IS(vhost_timeout, 10),
        IS(by_server, 1), IS(by_peer, 0) },
      { "so up to about 400 are expected, and there are 100.",
        "1 of 1 close in" } },

    { "long-life",
      SILENT,
      { IS(orphan_mini, 999), IS(left_open_life, SEC(60)) },
      { NULL } },
    { "long-life",
      SILENT,
      { IS(orphan_mini, 5000), IS(left_open_life, SEC(10)) },
      { NULL } },
    { "long-life",
      SILENT,
      { IS(orphan_mini, 5000), IS(vhost_timeout, FW2_FACT_NONE),
        IS(tcp_fin_timeout, 60) },
      { NULL } },
    { "long-life",
      SILENT,
      { IS(orphan_mini, 5000), IS(tcp_fin_timeout, 60) },
      { NULL } },
    { "long-life",
      SILENT,
      { IS(orphan_mini, 5000), IS(vhost_timeout, 0) },
      { NULL } },
    { "long-life",
      SILENT,
      { IS(orphan_mini, 5000), IS(vhost_timeout, 0), IS(tcp_fin_timeout, 65) },
      { NULL } },
    { "long-life",
      SILENT,
      { IS(orphan_mini, 5000), IS(left_open_life, SEC(60)), IS(timewait, 40000),
        IS(tcp_max_tw_buckets, 100000) },
      { NULL } },
    { "long-life",
      FW2_OK,
      { IS(orphan_mini, 1000), IS(left_open_life, SEC(10) + 1) },
      { "1,000 orphans in FIN_WAIT_2 use 0.3 MB of kernel memory",
        "FinWait2Timeout 5s reduces them, after a graceful restart and once "
        "the present ones are gone.",
        "=FinWait2Timeout 5s" } },
    { "long-life",
      FW2_OK,
      { IS(orphan_mini, 2400), IS(left_open, 2400), IS(vhost_timeout, 0),
        IS(tcp_fin_timeout, 60), IS(vhost_share, 84),
        IS(vhost_cause, FW2_CAUSE_KEEPALIVE) },
      { "2,400 orphans in FIN_WAIT_2 use 0.6 MB", "60 s on average",
        "at 40 a second FinWait2Timeout 5s reduces them to about 200",
        "on average; 84 % of them are of www.example.com:80, mostly when the "
        "keep-alive time is over.",
        "reset then, but it has its whole response", "=FinWait2Timeout 5s",
        "#200" } },
    { "long-life",
      FW2_OK,
      { IS(orphan_mini, 99999), IS(left_open, 2400), IS(vhost_timeout, 60),
        IS(vhost_share, 84), IS(vhost_cause, FW2_CAUSES + 1) },
      { "on average; 84 % of them are of www.example.com:80." } },
    { "long-life",
      FW2_OK,
      { IS(orphan_mini, 100000), IS(left_open, 100000), IS(vhost_timeout, 120),
        IS(vhost_share, 10), IS(vhost_cause, FW2_FACT_NO_REQUEST) },
      { "25.6 MB", "120 s", "mostly without any request." } },
    { "long-life",
      FW2_OK,
      { IS(orphan_mini, 99999), IS(left_open, 2400), IS(vhost_timeout, 60),
        IS(vhost_share, 84), IS(vhost_cause, FW2_CAUSE_REQUEST_LIMIT) },
      { "com:80, mostly after MaxKeepAliveRequests requests." } },
    { "long-life",
      FW2_OK,
      { IS(orphan_mini, 99999), IS(left_open, 2400), IS(vhost_timeout, 60),
        IS(vhost_share, 84), IS(vhost_cause, FW2_CAUSE_OTHER) },
      { "on average; 84 % of them are of www.example.com:80." } },

    { "long-life",
      FW2_OK,
      { IS(orphan_mini, 3600), IS(left_open, 7200), IS(left_open_life, SEC(60)),
        IS(left_open_short_life, SEC(4)), IS(vhost_share, 60),
        IS(also_share[0], 30), IS(also_share[1], 10) },
      { "60 % of them are of www.example.com:80 and 30 % of b.example:80 and "
        "10 % of c.example:443",
        "at 120 a second FinWait2Timeout 5s reduces them to about 240" } },
    { "long-life",
      FW2_OK,
      { IS(orphan_mini, 3600), IS(left_open_life, SEC(60)), IS(vhost_share, 70),
        IS(also_share[0], 21), IS(also_share[1], 9) },
      { "and 21 % of b.example:80.", "!c.example" } },

    { "one-peer",
      SILENT,
      { IS(held, 0), IS(orphan_mini, 999), IS(orphan_full, 0),
        IS(peer_share, 99) },
      { NULL } },
    { "one-peer",
      SILENT,
      { IS(held, 0), IS(orphan_mini, 1000), IS(orphan_full, 0),
        IS(peer_share, 49) },
      { NULL } },
    { "one-peer",
      SILENT,
      { IS(held, 0), IS(orphan_mini, 1000), IS(orphan_full, 0),
        IS(peer_share, 90), IS(idle_net_share, 90), IS(expired, 60),
        IS(by_server, 60) },
      { NULL } },
    { "one-peer",
      SILENT,
      { IS(held, 0), IS(orphan_mini, 1000), IS(orphan_full, 0),
        IS(peer_share, 90), IS(agent_left_open, 60), IS(agent_closed, 60),
        IS(agent_share, 90) },
      { NULL } },
    { "one-peer",
      FW2_OK,
      { IS(held, 300), IS(orphan_mini, 400), IS(orphan_full, 300),
        IS(peer_share, 50), IS(idle_net_share, 90), IS(expired, 9),
        IS(by_server, 9), IS(vhost_keepalive, SEC(5)) },
      { "192.0.2.7 has 50 % of all half-closed connections.",
        "no sign of an attack",
        "keep-alive time (5 s at www.example.com:80)" } },

    { "one-agent",
      SILENT,
      { IS(agent_left_open, 29), IS(agent_closed, 29), IS(agent_share, 99),
        IS(orphan_mini, 100) },
      { NULL } },
    { "one-agent",
      SILENT,
      { IS(agent_left_open, 30), IS(agent_closed, 30), IS(agent_share, 49),
        IS(orphan_mini, 100) },
      { NULL } },
    { "one-agent",
      SILENT,
      { IS(agent_left_open, 30), IS(agent_closed, 30), IS(agent_share, 50),
        IS(orphan_mini, 99) },
      { NULL } },
    { "one-agent",
      FW2_OK,
      { IS(agent_left_open, 30), IS(agent_closed, 60), IS(agent_share, 50),
        IS(agent_expired, 30), IS(orphan_mini, 100) },
      { "The User-Agent okhttp/4.9.3 has 50 % of the connections that "
        "clients did not close: 30 of its 60 connections.",
        "time is over. Until then BrowserMatch ^okhttp nokeepalive",
        "Each request", "=BrowserMatch ^okhttp nokeepalive" } },
    { "one-agent",
      SILENT,
      { IS(agent_left_open, 60), IS(agent_closed, 60), IS(agent_share, 90),
        IS(agent_expired, 60), IS(orphan_mini, 100), IS(idle_net_share, 90),
        IS(expired, 60), IS(by_server, 60) },
      { NULL } },
    { "one-agent",
      FW2_OK,
      { IS(agent_left_open, 60), IS(agent_closed, 60), IS(agent_share, 100),
        IS(agent_expired, 29), IS(orphan_mini, 100) },
      { "Ask the client's owner to close a connection once it has its "
        "response." } },
    { "one-agent",
      FW2_OK,
      { IS(agent_left_open, 60), IS(agent_closed, 60), IS(agent_share, 100),
        IS(agent_expired, 30), IS(orphan_mini, 100),
        IS(vhost_keepalive, SEC(5)) },
      { "keep-alive time (5 s at www.example.com:80) is over. Until" } },

    { "idle-closes",
      SILENT,
      { IS(by_server, 100), IS(idle_expired, 49), IS(idle_keepalive, SEC(5)) },
      { NULL } },
    { "idle-closes",
      SILENT,
      { IS(by_server, 29), IS(idle_expired, 29), IS(idle_keepalive, SEC(5)) },
      { NULL } },
    { "idle-closes",
      SILENT,
      { IS(by_server, 100), IS(idle_expired, 100),
        IS(idle_keepalive, SEC(1) - 1) },
      { NULL } },
    { "idle-closes",
      SILENT,
      { IS(by_server, 100), IS(idle_expired, 100), IS(idle_keepalive, SEC(7)),
        IS(idle_promise, SEC(5)) },
      { NULL } },
    { "idle-closes",
      SILENT,
      { IS(by_server, 100), IS(expired, 100), IS(idle_expired, 100),
        IS(idle_net_share, 50), IS(idle_keepalive, SEC(5)) },
      { NULL } },
    { "idle-closes",
      FW2_OK,
      { IS(by_server, 100), IS(idle_expired, 50), IS(idle_keepalive, SEC(5)) },
      { "50 of the 100 connections that httpd closed in the last minute",
        "the keep-alive time of one virtual host, 5 s.",
        "up to 50 connections fewer",
        "=FinWait2KeepAliveTimeout 7s\nFinWait2KeepAliveAdvertise 5s" } },
    { "idle-closes",
      FW2_OK,
      { IS(by_server, 100), IS(idle_expired, 100), IS(idle_keepalive, SEC(7)),
        IS(idle_promise, 0) },
      { "7 s; responses promise no time.",
        "=FinWait2KeepAliveTimeout 9s\nFinWait2KeepAliveAdvertise 7s" } },
    { "idle-closes",
      FW2_OK,
      { IS(by_server, 100), IS(idle_expired, 100), IS(idle_keepalive, SEC(5)),
        IS(idle_promise, SEC(5)) },
      { "5 s." } },

    { "idle-closes",
      SILENT,
      { IS(by_server, 100), IS(idle_expired, 100),
        IS(idle_keepalive, SEC(3601)) },
      { NULL } },

    { "kept-promise",
      SILENT,
      { IS(idle_in_time, 20), IS(idle_late, 5), IS(idle_expired, 4),
        IS(idle_keepalive, SEC(7)), IS(idle_promise, SEC(5)) },
      { NULL } },
    { "kept-promise",
      SILENT,
      { IS(idle_in_time, 20), IS(idle_late, 5), IS(idle_expired, 5),
        IS(idle_keepalive, SEC(7)) },
      { NULL } },
    { "kept-promise",
      FW2_OK,
      { IS(idle_in_time, 20), IS(idle_late, 6), IS(idle_expired, 4),
        IS(idle_keepalive, SEC(7)), IS(idle_promise, SEC(5)) },
      { "30 connections of one virtual host ended idle in the last minute: ",
        "clients closed 20 before the promised 5 s were over (66 %), and 6 "
        "later; httpd closed 4 after 7 s." } },

    { "probes", SILENT, { IS(probes, 499), IS(by_server, 1000) }, { NULL } },
    { "probes", SILENT, { IS(probes, 29), IS(by_server, 29) }, { NULL } },
    { "probes",
      FW2_OK,
      { IS(probes, 30), IS(by_server, 60) },
      { "30 of the 60 connections", "(50 %) never had a request",
        "truncates nothing", "=FinWait2Timeout none" } },

    { "errors", SILENT, { IS(errors, 499), IS(by_server, 1000) }, { NULL } },
    { "errors", SILENT, { IS(errors, 29), IS(by_server, 29) }, { NULL } },
    { "errors",
      FW2_OK,
      { IS(errors, 30), IS(by_server, 60) },
      { "30 of the 60 connections", "(50 %) ended with an error", "access log",
        "FinWait2Linger off would only" } },

    { "connection-close",
      SILENT,
      { IS(orphan_mini, 999), IS(connection_close, 60), IS(by_server, 60) },
      { NULL } },
    { "connection-close",
      SILENT,
      { IS(orphan_mini, 1000), IS(connection_close, 49), IS(by_server, 100) },
      { NULL } },
    { "connection-close",
      SILENT,
      { IS(orphan_mini, 1000), IS(connection_close, 29), IS(by_server, 29) },
      { NULL } },
    { "connection-close",
      FW2_OK,
      { IS(orphan_mini, 1000), IS(connection_close, 30), IS(by_server, 60) },
      { "30 of the 60 connections", "Connection: close", "KeepAlive is Off",
        "HTTP/1.0" } },

};

static void apply(fw2_facts *facts, const setting *settings)
{
    int i;

    for (i = 0; i < SETTINGS && settings[i].offset; i++) {
        memcpy((char *)facts + settings[i].offset - 1, &settings[i].value,
               sizeof(settings[i].value));
    }
}

static void test_words(const fw2_advice *advice, const char *says)
{
    switch (says[0]) {
    case '!':
        ok(!strstr(advice->text, says + 1), "  but not %s", says + 1);
        break;
    case '=':
        is_str(advice->line, says + 1, "  and recommends a line");
        break;
    case '#':
        is_int(advice->words.after, strtol(says + 1, NULL, 10),
               "  and foretells");
        break;
    default:
        has_str(advice->text, says, "  and says so");
    }
}

static void test_scene(const scene *s, int number)
{
    int rule = rule_number(s->rule), i;
    const fw2_advice *advice;
    fw2_facts facts;

    fw2_advice_clear(&facts);
    facts.vhost = "www.example.com:80";
    facts.peer = "192.0.2.7";
    facts.also[0] = "b.example:80";
    facts.also[1] = "c.example:443";
    facts.agent = "okhttp/4.9.3";
    facts.idle_net = "192.0.2.0/24";
    apply(&facts, s->facts);
    advice = find(advise(&facts), s->rule);
    if (s->level == SILENT) {
        kept_silent[rule]++;
        ok(!advice, "%s, scene %d: silent", s->rule, number);
    }
    else {
        spoke[rule]++;
        ok(advice && (int)advice->level == s->level, "%s, scene %d: %s",
           s->rule, number, fw2_level_names[s->level]);
    }
    for (i = 0; advice && i < SAYS && s->says[i]; i++) {
        test_words(advice, s->says[i]);
    }
    if (advice) {
        printf("# %s\n", advice->text);
    }
}

/* Not what the rule says, but that nobody says nonsense. */
static void test_surroundings(const scene *s)
{
    fw2_facts facts;

    fw2_advice_clear(&facts);
    apply(&facts, s->facts);
    advise(&facts);
    memset(&facts, 0, sizeof(facts));
    apply(&facts, s->facts);
    advise(&facts);
}

static void test_scenes(const scene *scenes, apr_size_t n)
{
    apr_size_t i;

    for (i = 0; i < n; i++) {
        test_scene(&scenes[i], (int)i);
        test_surroundings(&scenes[i]);
    }
}

#define TEST_SCENES(table) test_scenes(table, sizeof(table) / sizeof(table[0]))

static void test_every_rule(void)
{
    int i, j;

    for (i = 0; fw2_advice_rule(i); i++) {
        ok(i < RULES && spoke[i] && kept_silent[i], "%s: both sides were seen",
           fw2_advice_rule(i));
        for (j = 0; j < i; j++) {
            if (!strcmp(fw2_advice_rule(i), fw2_advice_rule(j))) {
                ok(0, "%s is the name of one rule", fw2_advice_rule(i));
            }
        }
    }
    ok(i > 0 && !fw2_advice_rule(i + 1000), "there are rules, and an end");
}

/* ----------------------------------------------------------- the verdict -- */

static void test_quiet(void)
{
    const fw2_verdict *verdict;
    fw2_facts facts;

    memset(&facts, 0, sizeof(facts));
    verdict = advise(&facts);
    is_str(verdict->text, "ok: there are no half-closed connections.",
           "a quiet server");
    is_int(verdict->level, FW2_OK, "its level");
    is_int(verdict->n, 0, "no advice for it");
    ok(!verdict->rule, "nor a rule that decided");

    fw2_advice_clear(&facts);
    verdict = advise(&facts);
    is_str(verdict->text,
           "ok as far as is known: half-closed connections could not be "
           "counted.",
           "a server of which nothing is known");
    is_int(verdict->n, 0, "no advice for that either");
}

static const char *headline(const setting *settings)
{
    fw2_facts facts;

    fw2_advice_clear(&facts);
    apply(&facts, settings);
    return advise(&facts)->text;
}

static void test_headlines(void)
{
    const setting minis[] = { IS(held, 0),
                              IS(closer_held, 0),
                              IS(orphan_mini, 2431),
                              IS(orphan_full, 0),
                              { 0, 0 } };
    const setting some[] = { IS(held, 30),         IS(closer_held, 29),
                             IS(orphan_mini, 0),   IS(orphan_full, 10),
                             IS(linger_blocks, 1), { 0, 0 } };
    const setting event[] = { IS(held, 30),         IS(closer_held, 0),
                              IS(orphan_mini, 0),   IS(orphan_full, 0),
                              IS(linger_blocks, 0), { 0, 0 } };
    const setting normal[] = {
        IS(held, 0),         IS(orphan_mini, 5747),       IS(orphan_full, 0),
        IS(left_open, 5300), IS(left_open_life, SEC(60)), { 0, 0 }
    };
    const setting one[] = {
        IS(held, 0), IS(orphan_mini, 1), IS(orphan_full, 0), { 0, 0 }
    };
    const setting waiting[] = { IS(held, 5),
                                IS(closer_held, 6),
                                IS(orphan_mini, 0),
                                IS(orphan_full, 0),
                                IS(undelivered_bytes, 1000000),
                                { 0, 0 } };
    const setting part[] = { IS(held, 5), IS(orphan_mini, 5), { 0, 0 } };
    const setting unsure[] = { IS(held, 5),
                               IS(orphan_mini, 0),
                               IS(orphan_full, 0),
                               IS(linger_blocks, 1),
                               { 0, 0 } };
    const setting danger[] = { IS(held, 0),
                               IS(orphan_mini, 90000),
                               IS(orphan_full, 0),
                               IS(timewait, 105000),
                               IS(tcp_max_tw_buckets, 131072),
                               IS(evicted, 3),
                               { 0, 0 } };

    is_str(headline(minis),
           "ok: 2,431 half-closed connections cost 0.6 MB of kernel memory and "
           "no worker.",
           "orphans in FIN_WAIT_2 are no problem");
    is_str(headline(normal),
           "ok: 5,747 half-closed connections cost 1.5 MB of kernel memory; "
           "about 5,300 orphans are normal for this traffic.",
           "the traffic explains them");
    is_str(headline(some),
           "ok: 40 half-closed connections cost 0.1 MB of kernel memory and at "
           "most 1 worker.",
           "httpd lingers on one, in a worker");
    is_str(headline(event),
           "ok: 30 half-closed connections cost 0.1 MB of kernel memory and no "
           "worker.",
           "httpd lingers on some, in no worker");
    is_str(headline(one),
           "ok: 1 half-closed connection costs 256 bytes of kernel memory.",
           "one, and workers are not known");
    is_str(
        headline(waiting),
        "ok: 5 half-closed connections cost 1 MB of kernel memory and no "
        "worker.",
        "what is undelivered counts; closers may count more than the kernel");
    is_str(headline(part),
           "ok as far as is known: half-closed connections could not be "
           "counted.",
           "a part of them is not known");
    is_str(headline(unsure),
           "ok: 5 half-closed connections cost 19.9 KB of kernel memory.",
           "nor is what closers have of them");
    is_str(headline(danger),
           "danger: 105,000 of at most 131,072 mini-sockets (TIME_WAIT and "
           "orphans in FIN_WAIT_2) are in use (80 %).",
           "the worst decides");
}

static void test_order(void)
{
    static const char *const expected[] = { "timewait-overflow", "evicted",
                                            "close-wait", "steady" };
    const setting settings[] = {
        IS(close_wait, 50),        IS(evicted, 3),
        IS(timewait, 90000),       IS(tcp_max_tw_buckets, 100000),
        IS(timewait_overflows, 3), IS(orphan_mini, 900),
        IS(left_open, 900),        IS(left_open_life, SEC(60))
    };
    const fw2_verdict *verdict;
    fw2_facts facts;
    unsigned int i;

    fw2_advice_clear(&facts);
    apply(&facts, settings);
    verdict = advise(&facts);
    is_int(verdict->n, 4, "so many speak");
    for (i = 0; i < 4 && (int)i < verdict->n; i++) {
        is_str(verdict->advice[i].rule, expected[i], "worst first");
    }
    is_str(verdict->rule, "timewait-overflow", "and it decides");
}

/* ------------------------------------------------------ Little, and life -- */

static void test_little(void)
{
    is_int(fw2_advice_steady_state(2400, SEC(60)), 2400,
           "40 a second for 60 s");
    is_int(fw2_advice_steady_state(2400, SEC(5)), 200, "and for 5 s");
    is_int(fw2_advice_steady_state(1, SEC(30)), 1, "a half is one");
    is_int(fw2_advice_steady_state(1, SEC(30) - 1), 0, "less is none");
    is_int(fw2_advice_steady_state(60, 500000), 1, "times below a second");
    is_int(fw2_advice_steady_state(0, SEC(60)), 0, "none come");
    is_int(fw2_advice_steady_state(60, 0), 0, "none stay");
    is_int(fw2_advice_steady_state(-1, SEC(60)), FW2_FACT_UNKNOWN,
           "unknown rate");
    is_int(fw2_advice_steady_state(60, -1), FW2_FACT_UNKNOWN, "unknown life");
    ok(fw2_advice_steady_state(HUGE_N, HUGE_N) > 0, "more than there can be");
}

static void test_life(void)
{
    /* Measured: the value, and how long an orphan lived. */
    static const int measured[][2] = {
        { 1, 1 },   { 5, 5 },     { 59, 59 },   { 60, 60 },
        { 61, 2 },  { 62, 4 },    { 65, 10 },   { 75, 30 },
        { 90, 60 }, { 119, 118 }, { 120, 120 }, { 180, 240 }
    };
    unsigned int i;

    for (i = 0; i < sizeof(measured) / sizeof(measured[0]); i++) {
        ok(fw2_advice_orphan_life(measured[i][0]) == measured[i][1],
           "tcp_fin_timeout %d", measured[i][0]);
    }
    is_int(fw2_advice_orphan_life(0), 1, "the kernel's floor");
    is_int(fw2_advice_orphan_life(-1), FW2_FACT_UNKNOWN, "unknown");
    ok(fw2_advice_orphan_life(HUGE_N) > 0, "more than there can be");
}

/* -------------------------------------------------------------- spelling -- */

static void test_numbers(void)
{
    is_str(fw2_text_number(pool, 0), "0", "none");
    is_str(fw2_text_number(pool, 999), "999", "three digits");
    is_str(fw2_text_number(pool, 1000), "1,000", "four");
    is_str(fw2_text_number(pool, 123456), "123,456", "six");
    is_str(fw2_text_number(pool, HUGE_N), "9,223,372,036,854,775,807", "all");
    is_str(fw2_text_count(pool, 0, "orphan"), "0 orphans", "none of them");
    is_str(fw2_text_count(pool, 1, "orphan"), "1 orphan", "one of them");
    is_str(fw2_text_share(pool, 2, 3), " (66 %)", "a share is rounded down");
    is_str(fw2_text_percent(pool, 6779, 6780), "99.9 %", "not all of it");
    is_str(fw2_text_percent(pool, 99, 100), "99 %", "no decimal of nothing");
    is_str(fw2_text_percent(pool, 100, 100), "100 %", "all of it");
    is_str(fw2_text_percent(pool, 4, 1000), "0.4 %", "not nothing");
    is_str(fw2_text_percent(pool, 1, 100000), "under 0.1 %", "next to nothing");
    is_str(fw2_text_percent(pool, 5, 0), "500 %", "of nothing");
    is_str(fw2_text_share(pool, HUGE_N, 1), " (1,000 %)", "and has an end");
    is_str(fw2_text_about(pool, 99), "99", "two digits are as they are");
    is_str(fw2_text_about(pool, 100), "100", "three are rounded");
    is_str(fw2_text_about(pool, 104), "100", "down");
    is_str(fw2_text_about(pool, 105), "110", "and up");
    is_str(fw2_text_about(pool, 996), "1,000", "to one more");
}

static void test_units(void)
{
    is_str(fw2_text_rate(pool, 59), "59 a minute", "slow");
    is_str(fw2_text_rate(pool, 60), "1 a second", "one a second");
    is_str(fw2_text_rate(pool, 93), "1.6 a second", "a decimal, rounded");
    is_str(fw2_text_rate(pool, 599), "10 a second", "which may be none");
    is_str(fw2_text_rate(pool, 629), "10 a second", "no decimal");
    is_str(fw2_text_rate(pool, 630), "11 a second", "but rounded");
    is_str(fw2_text_bytes(pool, 1), "1 byte", "a byte");
    is_str(fw2_text_bytes(pool, 999), "999 bytes", "bytes");
    is_str(fw2_text_bytes(pool, 1000), "1 KB", "a thousand");
    is_str(fw2_text_bytes(pool, 99949), "99.9 KB", "nearly a tenth of");
    is_str(fw2_text_bytes(pool, 100000), "0.1 MB", "a million");
    is_str(fw2_text_bytes(pool, 999949999), "999.9 MB", "many");
    is_str(fw2_text_bytes(pool, 1000000000), "1 GB", "a thousand of them");
    is_str(fw2_text_bytes(pool, APR_INT64_C(1234560000000)), "1,234.6 GB",
           "more than a machine has");
    is_str(fw2_text_time(pool, 0), "0 ms", "no time");
    is_str(fw2_text_time(pool, 999999), "999 ms", "less than a second");
    is_str(fw2_text_time(pool, SEC(1)), "1 s", "a second");
    is_str(fw2_text_time(pool, 1250000), "1.3 s", "and a quarter");
    is_str(fw2_text_time(pool, SEC(119880)), "119,880 s", "many");
    is_str(fw2_text_long_time(pool, SEC(59)), "59 s", "seconds");
    is_str(fw2_text_long_time(pool, SEC(60)), "1 min", "a minute");
    is_str(fw2_text_long_time(pool, SEC(86399)), "23 h", "hours");
    is_str(fw2_text_long_time(pool, SEC(3 * 86400)), "3 d", "days");
    is_str(fw2_text_long_time(pool, 0), "0 s", "none");
}

/* A policy's fw2_linger is a vhost_linger. */
static void test_policy(void)
{
    is_int(FW2_LINGER_AUTO, FW2_LINGER_AUTO, "auto");
    is_int(FW2_LINGER_ALWAYS, FW2_LINGER_ALWAYS, "always");
    is_int(FW2_LINGER_OFF, FW2_LINGER_OFF, "off");
    is_int(FW2_LINGER_HTTPD, FW2_LINGER_HTTPD, "httpd");
    is_int(FW2_FACT_ENGINE_OFF, FW2_LINGER_HTTPD + 1, "and one more");
}

/* ------------------------------------------------------ what is not nice -- */

static const char *peer_text(const char *peer)
{
    const setting settings[] = { IS(held, 2000),
                                 IS(orphan_mini, 0),
                                 IS(orphan_full, 0),
                                 IS(peer_share, 50),
                                 { 0, 0 } };
    const fw2_advice *advice;
    fw2_facts facts;

    fw2_advice_clear(&facts);
    facts.peer = peer;
    apply(&facts, settings);
    advice = find(fw2_advice_give(&facts, pool), "one-peer");
    return advice ? apr_pstrndup(pool, advice->text,
                                 strstr(advice->text, " has ") - advice->text)
                  : "";
}

#define TEN   "0123456789"
#define FIFTY TEN TEN TEN TEN TEN
#define CUT   "\xe2\x80\xa6"

static void test_names(void)
{
    char *endless = apr_palloc(pool, 1000001);
    char *heap = malloc(65); /* a sanitizer sees what is read behind it */

    is_str(peer_text(NULL), "One address", "no name");
    is_str(peer_text(""), "", "an empty name");
    is_str(peer_text("%s%n\"<b>"), "%s%n\"<b>", "a name is not a format");
    is_str(peer_text("a\nDanger: 1\r\t\x1b[31m\x7f"), "a?Danger: 1???[31m?",
           "a name has one line");
    is_str(peer_text(FIFTY TEN "abcd"), FIFTY TEN "abcd", "64 bytes");
    is_str(peer_text(FIFTY TEN "abcde"), FIFTY TEN "abcd" CUT, "65 bytes");
    is_str(peer_text(FIFTY TEN "abc\xc3\xa4"), FIFTY TEN "abc" CUT,
           "a character of two bytes is not cut in two");
    is_str(peer_text(FIFTY TEN "a\xf0\x9f\x90\x8d"), FIFTY TEN "a" CUT,
           "nor one of four");
    is_str(peer_text(FIFTY TEN "ab\xc3\xa4z"), FIFTY TEN "ab\xc3\xa4" CUT,
           "one that fits stays");
    memset(endless, 0x80, 1000000);
    endless[1000000] = '\0';
    is_int(strlen(peer_text(endless)), 67, "a million bytes of no character");
    strcpy(heap, FIFTY TEN "abcd");
    is_str(peer_text(heap), heap, "nothing behind a name is read");
    free(heap);
}

/* True if the advice says what httpd may do about a User-Agent: only if a
 * pattern that needs no care can tell it. */
static int is_matched(const char *agent)
{
    const setting settings[] = {
        IS(orphan_mini, 100),   IS(agent_share, 100),     IS(agent_closed, 100),
        IS(agent_expired, 100), IS(agent_left_open, 100), { 0, 0 }
    };
    const fw2_advice *advice;
    fw2_facts facts;

    fw2_advice_clear(&facts);
    facts.agent = agent;
    apply(&facts, settings);
    advice = find(fw2_advice_give(&facts, pool), "one-agent");
    return advice ? strstr(advice->text, "BrowserMatch ^") != NULL : -1;
}

static void test_agents(void)
{
    is_int(is_matched("okhttp/4.9.3"), 1, "a product is matched");
    is_int(is_matched("python-urllib3"), 1, "all of it, too");
    is_int(is_matched("abc.*"), 1, "as far as it is plain");
    is_int(is_matched("ab/1"), 0, "two letters are too few");
    is_int(is_matched("(none)"), -1, "a client without a name is nobody");
    is_int(is_matched("[x] y"), 0, "what is no product is not");
    is_int(is_matched("Mozilla/5.0 (X11)"), 0, "nor what all browsers say");
    is_int(is_matched(""), -1, "nor is one with an empty one");
    is_int(is_matched(NULL), -1, "who is not known is not spoken of");
    is_int(is_matched(TEN TEN TEN TEN), 0, "nor what is endless");
}

static apr_uint64_t state = 88172645463325252u;

static apr_uint64_t chance(apr_uint64_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % n;
}

/* A figure that is small, large, unknown, at a limit, or nonsense. */
static apr_int64_t any_figure(void)
{
    static const apr_int64_t odd[] = { -1,
                                       -2,
                                       -HUGE_N - 1,
                                       0,
                                       1,
                                       2,
                                       49,
                                       50,
                                       100,
                                       HUGE_N,
                                       HUGE_N - 1,
                                       APR_INT64_C(1000000000000),
                                       APR_INT64_C(1000000000001) };

    switch (chance(4)) {
    case 0:
        return odd[chance(sizeof(odd) / sizeof(odd[0]))];
    case 1:
        return (apr_int64_t)chance(130);
    case 2:
        return (apr_int64_t)chance(200000);
    default:
        return (apr_int64_t)chance((apr_uint64_t)1 << chance(63));
    }
}

static void test_any(void)
{
    apr_pool_t *whole = pool;
    int before = malformed, most = 0, i;
    unsigned int j;

    for (i = 0; i < 20000; i++) {
        fw2_facts facts;
        apr_int64_t figures[FIGURES];
        int n;

        for (j = 0; j < FIGURES; j++) {
            figures[j] = any_figure();
        }
        fw2_advice_clear(&facts);
        memcpy(&facts, figures, sizeof(figures));
        facts.vhost = chance(2) ? FIFTY FIFTY : NULL;
        facts.peer = chance(2) ? "2001:db8::1" : NULL;
        apr_pool_create(&pool, whole);
        n = advise(&facts)->n;
        apr_pool_destroy(pool);
        most = n > most ? n : most;
    }
    pool = whole;
    is_int(malformed - before, 0, "20,000 sets of any facts: all well-formed");
    ok(most > 10, "and many rules spoke at once (%d)", most);
}

/* Figures that are too large to be true are as good as unknown. */
static void test_unbelievable(void)
{
    fw2_facts facts;
    apr_int64_t figures[FIGURES];
    unsigned int i;

    for (i = 0; i < FIGURES; i++) {
        figures[i] = HUGE_N;
    }
    fw2_advice_clear(&facts);
    memcpy(&facts, figures, sizeof(figures));
    is_int(advise(&facts)->n, 0, "nothing is said of what no machine has");
    is_int(facts.held, HUGE_N, "the facts stay the caller's");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    TEST_SCENES(limits);
    TEST_SCENES(lingers);
    TEST_SCENES(traffic);
    test_every_rule();
    test_quiet();
    test_headlines();
    test_order();
    test_little();
    test_life();
    test_numbers();
    test_units();
    test_policy();
    test_names();
    test_agents();
    test_any();
    test_unbelievable();
    is_int(malformed, 0, "all that was said is well-formed");
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
