/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The room advice: both sides of each limit of each rule, with the words at that
 * limit; figures that are not known; figures that no machine has; hostile names.
 * Each text that a test sees, for any figures, has to be well-formed.
 */

#include <stddef.h>
#include <stdlib.h>

#include "apr_general.h"
#include "apr_strings.h"

#include "base/clamp.h"
#include "page/advice_impl.h"
#include "tap.h"

#define SILENT (-1)
#define RULES  64
#define SEC(n) apr_time_from_sec(n)

static apr_pool_t *pool;

/* The number of scenes in which each rule applied, and did not apply, in the
 * rules' order. */
static int applied[RULES], not_applied[RULES];

/* A report, and the data behind its pointers. */
typedef struct world {
    fw2_report report;
    fw2_policy policy; /* this and the next two: of worst[0] */
    fw2_settings settings;
    fw2_rates rates;
    fw2_policy idle_policy; /* this and the next two: of `idle` */
    fw2_settings idle_settings;
    fw2_rates idle_rates;
    fw2_client_report agent, net; /* the first ones of their lists */
    fw2_peer_report peer;
} world;

static world the;

static int rule_number(const char *rule)
{
    int i;

    for (i = 0; fw2_advice_rule(i); i++) {
        if (!strcmp(fw2_advice_rule(i)->name, rule)) {
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
    return strlen(text) > 800    ? "too long"
           : sentences(text) > 4 ? "too many sentences"
                                 : NULL;
}

/* Return the fault of a piece of advice that follows another one, or NULL. */
static const char *wrong_with_advice(const fw2_advice *advice, int first)
{
    const char *wrong = wrong_with_text(advice->text);

    if (wrong) {
        return apr_psprintf(pool, "%s: %s: %s", advice->rule, wrong,
                            advice->text);
    }
    if (first) {
        return NULL;
    }
    if (advice->level > advice[-1].level) {
        return "not worst first";
    }
    return advice->level == advice[-1].level
                   && rule_number(advice->rule) <= rule_number(advice[-1].rule)
               ? "not in the rules' order"
               : NULL;
}

/* Return the fault of the verdict, or NULL. */
static const char *wrong_with_verdict(void)
{
    const fw2_advice *verdict = the.report.advice;
    const fw2_advice *worst =
        the.report.nadvice > 1 && verdict[1].level != FW2_OK ? &verdict[1]
                                                             : NULL;
    const char *level = fw2_level_names[worst ? worst->level : FW2_OK];

    if (the.report.snapshot.verdict != (int)verdict->level
        || strcmp(verdict->level_name, level)) {
        return "the verdict is not that of the worst advice";
    }
    if (strcmp(the.report.snapshot.rule, worst ? worst->rule : "none")
        || strcmp(verdict->rule, "verdict")) {
        return "the verdict is that of another rule";
    }
    if (strncmp(verdict->text, level, strlen(level))) {
        return "the verdict does not begin with its level";
    }
    return wrong_with_text(verdict->text);
}

static int malformed; /* number of malformed verdicts */

/* Advise, and check all texts. */
static void advise(void)
{
    const char *wrong;
    int i;

    fw2_advice_give(&the.report, pool);
    wrong = wrong_with_verdict();
    for (i = 1; i < the.report.nadvice && !wrong; i++) {
        wrong = wrong_with_advice(&the.report.advice[i], i == 1);
    }
    if (wrong) {
        malformed++;
        printf("# malformed: %s\n# %s\n", wrong, the.report.advice[0].text);
    }
}

static const fw2_advice *find(const char *rule)
{
    int i;

    for (i = 1; i < the.report.nadvice; i++) {
        if (!strcmp(the.report.advice[i].rule, rule)) {
            return &the.report.advice[i];
        }
    }
    return NULL;
}

/* ----------------------------------------------------- rules, both sides -- */

#define SETTINGS 9
#define SAYS     8

/* A figure of the world. The offset is one more than the true one, so that 0
 * ends a list. */
typedef struct setting {
    apr_size_t offset;
    apr_size_t size;
    apr_int64_t value;
} setting;

#define OF(member, value)                                                      \
    {                                                                          \
        offsetof(world, member) + 1, sizeof(the.member), (value)               \
    }
#define IS(member, value) OF(report.member, value)

/* Figures, and the advice of one rule. All other figures are unknown. A text
 * that begins with `!` must not be in the advice; `=` begins the line that it
 * recommends, and `#` the number that it predicts. */
typedef struct scene {
    const char *rule;
    int level;
    setting figures[SETTINGS];
    const char *says[SAYS];
} scene;

static const scene limits[] = {
    { "memory-aborts", SILENT, { IS(minute.memory_aborts, 0) }, { NULL } },
    { "memory-aborts",
      FW2_WATCH,
      { IS(minute.memory_aborts, 1) },
      { "1 connection was reset", "TCPAbortOnMemory",
        "FinWait2UserTimeout 60s" } },
    { "memory-aborts",
      FW2_WATCH,
      { IS(minute.memory_aborts, 1234), IS(half_closed.full, 0),
        IS(minute.by_server, 30) },
      { "1,234 connections were reset", "FinWait2UserTimeout 60s" } },
    { "memory-aborts",
      FW2_OK,
      { IS(minute.memory_aborts, 1234), IS(half_closed.full, 0),
        IS(minute.by_server, 29), IS(elsewhere.top[0].n, 4000),
        IS(elsewhere.top[0].port, 8080),
        IS(elsewhere.top[0].role, FW2_SERVER) },
      { "1,234 connections were reset", "Another program owned them: httpd is",
        "Elsewhere, most are 4,000 connections of another program at port "
        "8080.",
        "!FinWait2UserTimeout" } },
    { "memory-aborts",
      FW2_DANGER,
      { IS(minute.memory_aborts, 1234), IS(half_closed.full, 1),
        IS(minute.by_server, 0) },
      { "1,234 connections were reset", "net.ipv4.tcp_mem",
        "net.ipv4.tcp_max_orphans" } },

    { "timewait-overflow",
      SILENT,
      { IS(minute.timewait_overflows, 0) },
      { NULL } },
    { "timewait-overflow",
      FW2_WATCH,
      { IS(minute.timewait_overflows, 1) },
      { "1 closed connection vanished",
        "Raise net.ipv4.tcp_max_tw_buckets." } },
    { "timewait-overflow",
      FW2_OK,
      { IS(minute.timewait_overflows, 217), IS(limits.tcp_max_tw_buckets, 5000),
        IS(limits.timewait, 5000), IS(half_closed.mini, 40),
        IS(minute.by_server, 9), IS(elsewhere.top[0].n, 4000),
        IS(elsewhere.top[0].port, 9000),
        IS(elsewhere.top[0].role, FW2_CLIENT) },
      { "217 closed connections vanished", "httpd has hardly any",
        "Raise net.ipv4.tcp_max_tw_buckets from 5,000 to 65,536",
        "Elsewhere, most are 4,000 connections of this machine to port "
        "9000." } },
    { "timewait-overflow",
      FW2_DANGER,
      { IS(minute.timewait_overflows, 217), IS(limits.tcp_max_tw_buckets, 5000),
        IS(limits.timewait, 5000), IS(half_closed.mini, 0),
        IS(minute.by_server, 50) },
      { "217 closed connections vanished", "TCPTimeWaitOverflow", "CLOSE_WAIT",
        "Raise net.ipv4.tcp_max_tw_buckets from 5,000 to 65,536 (16.8 MB if "
        "all are in use); FinWait2Timeout would hardly help",
        "=sysctl -w net.ipv4.tcp_max_tw_buckets=65536" } },
    { "timewait-overflow",
      FW2_DANGER,
      { IS(minute.timewait_overflows, 217), IS(limits.tcp_max_tw_buckets, 5000),
        IS(limits.timewait, 5000), IS(half_closed.mini, 4000),
        IS(minute.left_open, 24000), IS(minute.life, SEC(10)) },
      { "; or set FinWait2Timeout 5s and restart gracefully, which reduces "
        "httpd's orphans in FIN_WAIT_2 from 4,000 to about 2,000." } },
    { "timewait-overflow",
      FW2_WATCH,
      { IS(minute.timewait_overflows, 1), IS(limits.tcp_max_tw_buckets, 0) },
      { "from 0 to 65,536" } },

    { "timewait-full",
      SILENT,
      { IS(limits.timewait, 39999), IS(limits.tcp_max_tw_buckets, 100000) },
      { NULL } },
    { "timewait-full",
      SILENT,
      { IS(limits.timewait, 0), IS(limits.tcp_max_tw_buckets, 0) },
      { NULL } },
    { "timewait-full",
      SILENT,
      { IS(limits.timewait, 90000), IS(limits.tcp_max_tw_buckets, 100000),
        IS(minute.timewait_overflows, 1) },
      { NULL } },
    { "timewait-full",
      FW2_WATCH,
      { IS(limits.timewait, 40000), IS(limits.tcp_max_tw_buckets, 100000) },
      { "40,000 of at most 100,000 mini-sockets", "are in use (40 %).",
        "would not end connections sooner, but make them vanish.",
        "Raise net.ipv4.tcp_max_tw_buckets from 100,000 to 200,000 (51.2 MB if "
        "all are in use).",
        "=sysctl -w net.ipv4.tcp_max_tw_buckets=200000" } },
    { "timewait-full",
      FW2_WATCH,
      { IS(limits.timewait, 79999), IS(limits.tcp_max_tw_buckets, 100000) },
      { "(79 %)" } },
    { "timewait-full",
      FW2_DANGER,
      { IS(limits.timewait, 80000), IS(limits.tcp_max_tw_buckets, 100000),
        IS(half_closed.mini, 16000), IS(minute.left_open, 10000),
        IS(minute.life, SEC(10)) },
      { "(80 %)",
        "; or set FinWait2Timeout 5s and restart gracefully, which reduces "
        "httpd's orphans in FIN_WAIT_2 from 16,000 to about 830." } },
    { "timewait-full",
      FW2_DANGER,
      { IS(limits.timewait, 80000), IS(limits.tcp_max_tw_buckets, 100000),
        IS(half_closed.mini, 15999), IS(minute.left_open, 10000) },
      { "FinWait2Timeout would hardly help, since only 15,999 of them are "
        "httpd's",
        "TIME_WAIT always lasts 60 s." } },
    { "timewait-full",
      FW2_DANGER,
      { IS(limits.timewait, 80000), IS(limits.tcp_max_tw_buckets, 100000),
        IS(half_closed.mini, 80000), IS(minute.left_open, 960000),
        IS(minute.life, SEC(5)) },
      { "if all are in use)." } },
    { "timewait-full",
      FW2_DANGER,
      { IS(limits.timewait, 80000), IS(limits.tcp_max_tw_buckets, 100000),
        IS(half_closed.mini, 80000) },
      { "if all are in use)." } },
    { "timewait-full",
      FW2_WATCH,
      { IS(limits.timewait, 1), IS(limits.tcp_max_tw_buckets, 1) },
      { "1 of at most 1 mini-socket (", "is in use (100 %)" } },
    { "timewait-full",
      FW2_WATCH,
      { IS(limits.timewait, 80000), IS(limits.tcp_max_tw_buckets, 100000),
        IS(half_closed.mini, 799) },
      { "(80 %)", "!httpd has hardly any" } },
    { "timewait-full",
      FW2_OK,
      { IS(limits.timewait, 80000), IS(limits.tcp_max_tw_buckets, 100000),
        IS(half_closed.mini, 799), IS(minute.by_server, 0) },
      { "(80 %)", "httpd has hardly any", "!Elsewhere" } },

    { "orphans-full",
      SILENT,
      { IS(limits.orphans, 15728), IS(limits.tcp_max_orphans, 131072) },
      { NULL } },
    { "orphans-full",
      FW2_WATCH,
      { IS(limits.orphans, 15729), IS(limits.tcp_max_orphans, 131072) },
      { "The whole machine has 15,729 of at most 131,072 orphans that are full "
        "sockets (12 %).",
        "Above a quarter of the limit", "FinWait2Timeout has no effect",
        "FinWait2UserTimeout 60s limits the time of httpd's own." } },
    { "orphans-full",
      FW2_WATCH,
      { IS(limits.orphans, 32767), IS(limits.tcp_max_orphans, 131072) },
      { "(24 %)" } },
    { "orphans-full",
      FW2_DANGER,
      { IS(limits.orphans, 32768), IS(limits.tcp_max_orphans, 131072),
        IS(half_closed.full, 12000) },
      { "(25 %)", "(12,000 at its addresses now)." } },
    { "orphans-full",
      FW2_OK,
      { IS(limits.orphans, 130000), IS(limits.tcp_max_orphans, 131072),
        IS(half_closed.full, 0), IS(elsewhere.top[0].n, 1),
        IS(elsewhere.top[0].port, 25), IS(elsewhere.top[0].role, FW2_CLIENT) },
      { "(99.1 %)", "None of them is httpd's", "!FinWait2UserTimeout",
        "Elsewhere, most are 1 connection of this machine to port 25." } },
    { "orphans-full",
      FW2_WATCH,
      { IS(limits.orphans, 32768), IS(limits.tcp_max_orphans, 131072) },
      { "(25 %)" } },

    { "tcp-mem",
      SILENT,
      { IS(limits.mem_pages, 49999), IS(limits.tcp_mem_max, 100000) },
      { NULL } },
    { "tcp-mem",
      FW2_WATCH,
      { IS(limits.mem_pages, 50000), IS(limits.tcp_mem_max, 100000) },
      { "50,000 of at most 100,000 pages on the whole machine (50 %)",
        "net.ipv4.tcp_mem", "resets orphans." } },
    { "tcp-mem",
      FW2_WATCH,
      { IS(limits.mem_pages, 79999), IS(limits.tcp_mem_max, 100000),
        IS(sockets.undelivered_bytes, 0) },
      { "resets orphans.", "!FinWait2UserTimeout" } },
    { "tcp-mem",
      FW2_DANGER,
      { IS(limits.mem_pages, 80000), IS(limits.tcp_mem_max, 100000),
        IS(sockets.undelivered_bytes, 320400000) },
      { "(80 %)", "have not acknowledged 320.4 MB;",
        "=FinWait2UserTimeout 60s" } },
    { "tcp-mem",
      FW2_WATCH,
      { IS(limits.mem_pages, 80000), IS(limits.tcp_mem_max, 100000),
        IS(sockets.undelivered_bytes, 63999999), IS(minute.by_server, 30) },
      { "(80 %)", "have not acknowledged 64 MB;" } },
    { "tcp-mem",
      FW2_OK,
      { IS(limits.mem_pages, 80000), IS(limits.tcp_mem_max, 100000),
        IS(sockets.undelivered_bytes, 0), IS(minute.by_server, 29) },
      { "(80 %)", "Another program uses them: httpd is idle", "!Elsewhere" } },
    { "tcp-mem",
      FW2_OK,
      { IS(limits.mem_pages, 80000), IS(limits.tcp_mem_max, 100000),
        IS(sockets.undelivered_bytes, 1), IS(minute.by_server, 29) },
      { "Another program uses them: httpd is idle", "!60 s" } },

    { "descriptors",
      SILENT,
      { IS(descriptors.open, 599), IS(descriptors.limit, 1000) },
      { NULL } },
    { "descriptors",
      FW2_WATCH,
      { IS(descriptors.open, 600), IS(descriptors.limit, 1000) },
      { "closer process has 600 of at most 1,000 descriptors in use (60 %)",
        "LimitNOFILE= of the systemd unit", "FinWait2LingerIdle" } },
    { "descriptors",
      FW2_WATCH,
      { IS(descriptors.open, 899), IS(descriptors.limit, 1000) },
      { "(89 %)" } },
    { "descriptors",
      FW2_DANGER,
      { IS(descriptors.open, 900), IS(descriptors.limit, 1000) },
      { "(90 %)" } },

    { "listen-overflow", SILENT, { IS(minute.listen_overflows, 0) }, { NULL } },
    { "listen-overflow",
      FW2_WATCH,
      { IS(minute.listen_overflows, 1) },
      { "full 1 time (ListenOverflows). If it is httpd's, httpd accepts too",
        "!not the cause", "MaxRequestWorkers" } },
    { "listen-overflow",
      FW2_WATCH,
      { IS(minute.listen_overflows, 59), IS(half_closed.held, 49),
        IS(closer.held, 0), IS(server.linger_blocks, 1) },
      { "59 times", "FIN_WAIT_2 is not the cause. If it is httpd's, httpd" } },
    { "listen-overflow",
      FW2_WATCH,
      { IS(minute.listen_overflows, 1000), IS(sockets.backlog, 1),
        IS(elsewhere.full, 6) },
      { "an accept queue of this network namespace was found full 1,000" } },
    { "listen-overflow",
      FW2_OK,
      { IS(minute.listen_overflows, 1000), IS(sockets.backlog, 0),
        IS(elsewhere.full, 1), IS(elsewhere.full_port, 5432) },
      { "another program's accept queue was found full 1,000 times",
        "At another program's port 5432, 1 connection waits to be "
        "accepted." } },
    { "listen-overflow",
      FW2_OK,
      { IS(minute.listen_overflows, 1000), IS(minute.own_drops, 99),
        IS(minute.other_drops, 900), IS(sockets.backlog, 400),
        IS(elsewhere.full, 6), IS(elsewhere.full_port, 5432),
        IS(elsewhere.full_limit, 5) },
      { "; httpd's was not.", "!MaxRequestWorkers",
        "At another program's port 5432, 6 connections of at most 5 wait" } },
    { "listen-overflow",
      FW2_OK,
      { IS(minute.listen_overflows, 1), IS(minute.own_drops, 0),
        IS(minute.other_drops, 1) },
      { "No accept queue of another program is full now." } },
    { "listen-overflow",
      FW2_WATCH,
      { IS(minute.listen_overflows, 1000), IS(minute.own_drops, 99),
        IS(minute.other_drops, 899), IS(sockets.backlog, 0),
        IS(elsewhere.full, 1) },
      { "an accept queue of this network namespace was found full 1,000" } },
    { "listen-overflow",
      FW2_WATCH,
      { IS(minute.listen_overflows, 590), IS(minute.own_drops, 59),
        IS(minute.other_drops, 590) },
      { "httpd's accept queue was found full 59 times",
        "(ListenOverflows). httpd accepts too slowly" } },
    { "listen-overflow",
      FW2_DANGER,
      { IS(minute.listen_overflows, 60), IS(minute.own_drops, 1000),
        IS(half_closed.held, 50), IS(closer.held, 0),
        IS(server.linger_blocks, 1) },
      { "60 times", "!at fault", "Up to 50 workers may be busy with lingering",
        "FinWait2Linger" } },

    { "backlog",
      SILENT,
      { IS(sockets.backlog, 255), IS(sockets.backlog_limit, 511) },
      { NULL } },
    { "backlog",
      SILENT,
      { IS(sockets.backlog, 5), IS(sockets.backlog_limit, 0) },
      { NULL } },
    { "backlog",
      FW2_WATCH,
      { IS(sockets.backlog, 256), IS(sockets.backlog_limit, 511) },
      { "256 of at most 511 connections wait (50 %)",
        ". httpd accepts too slowly", "ListenBacklog", "!at fault" } },
    { "backlog",
      FW2_WATCH,
      { IS(sockets.backlog, 459), IS(sockets.backlog_limit, 511),
        IS(half_closed.held, 500), IS(closer.held, 0),
        IS(server.linger_blocks, 0) },
      { "(89 %)", "FIN_WAIT_2 is not the cause. httpd accepts" } },
    { "backlog",
      FW2_DANGER,
      { IS(sockets.backlog, 460), IS(sockets.backlog_limit, 511) },
      { "(90 %)" } },

    { "not-counted", SILENT, { IS(snapshot.counts, 0) }, { NULL } },
    { "not-counted",
      SILENT,
      { IS(snapshot.counts, 1), IS(half_closed.held, 0),
        IS(half_closed.mini, 0), IS(half_closed.full, 0) },
      { NULL } },
    { "not-counted",
      FW2_WATCH,
      { IS(snapshot.counts, 1) },
      { "could not be counted", "The page names the source" } },

};

static const scene lingers[] = {
    { "closer-full",
      SILENT,
      { IS(closer.held, 4999), IS(closer.capacity, 10000) },
      { NULL } },
    { "closer-full",
      FW2_WATCH,
      { IS(closer.held, 5000), IS(closer.capacity, 10000) },
      { "process holds 5,000 of at most 10,000 connections (50 %).",
        "ulimit -n", "FinWait2LingerIdle", "avoid FinWait2Linger always",
        "=FinWait2LingerSlots 20000" } },
    { "closer-full",
      FW2_WATCH,
      { IS(closer.held, 8999), IS(closer.capacity, 10000),
        IS(closer.oldest, 1500000) },
      { "(89 %), the oldest for 1.5 s." } },
    { "closer-full",
      FW2_DANGER,
      { IS(closer.held, 9000), IS(closer.capacity, 10000),
        IS(closer.oldest, SEC(28)) },
      { "(90 %), the oldest for 28 s." } },

    { "closer-away",
      SILENT,
      { IS(closer.wanted, 1), IS(closer.processes, 1) },
      { NULL } },
    { "closer-away",
      SILENT,
      { IS(closer.wanted, 0), IS(closer.processes, 0) },
      { NULL } },
    { "closer-away",
      FW2_WATCH,
      { IS(closer.wanted, 1), IS(closer.processes, 0),
        IS(server.linger_blocks, 1) },
      { "finwait2, which lingers for httpd, is not running",
        "TasksMax=", "keeps a worker waiting" } },
    { "closer-idle",
      SILENT,
      { IS(closer.wanted, 1), IS(closer.processes, 1), IS(closer.capacity, 1) },
      { NULL } },
    { "closer-idle",
      FW2_OK,
      { IS(closer.wanted, 1), IS(closer.processes, 1), IS(closer.capacity, 0) },
      { "cannot linger outside of a worker", "epoll" } },

    { "fallback", SILENT, { IS(closer.recent_fallback, 0) }, { NULL } },
    { "fallback",
      SILENT,
      { IS(closer.recent_fallback, 1000), IS(closer.wanted, 1),
        IS(closer.processes, 0) },
      { NULL } },
    { "fallback",
      SILENT,
      { IS(closer.recent_fallback, 1000), IS(closer.wanted, 1),
        IS(closer.processes, 1), IS(closer.capacity, 0) },
      { NULL } },
    { "fallback",
      FW2_WATCH,
      { IS(closer.recent_fallback, 1) },
      { "1 connection was left", "finwait2 did not accept it.",
        "On prefork and worker each connection keeps a worker", "error log" } },
    { "fallback",
      FW2_WATCH,
      { IS(closer.recent_fallback, 599), IS(server.linger_blocks, 0) },
      { "599 connections were left", "did not accept them.", "33 KB" } },
    { "fallback",
      FW2_DANGER,
      { IS(closer.recent_fallback, 600), IS(server.linger_blocks, 1) },
      { "600 connections",
        "Each connection keeps a worker waiting for up to 30 s." } },

    { "evicted", SILENT, { IS(minute.evicted, 0) }, { NULL } },
    { "evicted",
      FW2_WATCH,
      { IS(minute.evicted, 1) },
      { "1 linger was cut short", "because its slot was needed" } },
    { "evicted",
      FW2_WATCH,
      { IS(minute.evicted, 99999) },
      { "99,999 lingers were cut short", "their slot", "FinWait2LingerSlots",
        "ulimit -n" } },

    { "linger-httpd",
      SILENT,
      { OF(policy.linger, FW2_LINGER_HTTPD), IS(half_closed.held, 149),
        IS(closer.held, 100) },
      { NULL } },
    { "linger-httpd",
      SILENT,
      { OF(policy.linger, FW2_LINGER_AUTO), IS(half_closed.held, 500),
        IS(closer.held, 0) },
      { NULL } },
    { "linger-httpd",
      SILENT,
      { OF(policy.linger, FW2_LINGER_HTTPD), IS(half_closed.held, 500) },
      { NULL } },
    { "linger-httpd",
      FW2_WATCH,
      { OF(policy.linger, FW2_LINGER_HTTPD), IS(half_closed.held, 150),
        IS(closer.held, 100), IS(server.linger_blocks, 1) },
      { "about 50 connections, and www.example.com:80 has FinWait2Linger "
        "httpd.",
        "worker waiting", "hands them off to the closer process",
        "=FinWait2Linger auto" } },
    { "linger-httpd",
      FW2_WATCH,
      { OF(policy.engine, 0), IS(half_closed.held, 3000), IS(closer.held, 0),
        IS(server.linger_blocks, 0) },
      { "about 3,000 connections", "has FinWait2Engine Off.", "33 KB",
        "=FinWait2Engine On" } },

    { "undelivered",
      SILENT,
      { IS(sockets.undelivered, 99), IS(sockets.undelivered_bytes, 63999999) },
      { NULL } },
    { "undelivered",
      FW2_WATCH,
      { IS(sockets.undelivered, 100) },
      { "100 connections in FIN_WAIT_1 have a response that",
        "FinWait2Timeout does not end them", "for ever",
        "=FinWait2UserTimeout 60s" } },
    { "undelivered",
      FW2_WATCH,
      { IS(sockets.undelivered_bytes, 64000000) },
      { "Connections in FIN_WAIT_1 have 64 MB" } },
    { "undelivered",
      FW2_WATCH,
      { IS(sockets.undelivered, 1), IS(sockets.undelivered_bytes, 2100000000),
        IS(sockets.zero_windows, 0), IS(sockets.fin_wait1, 1) },
      { "1 of 1 connection in FIN_WAIT_1 has 2.1 GB that clients have not "
        "acknowledged." } },
    { "undelivered",
      FW2_WATCH,
      { IS(sockets.undelivered, 150), IS(sockets.undelivered_bytes, 320400000),
        IS(sockets.zero_windows, 20), IS(sockets.fin_wait1, 1400) },
      { "150 of 1,400 connections", "320.4 MB",
        ", 20 of them behind a zero window." } },
    { "undelivered",
      FW2_WATCH,
      { IS(sockets.undelivered, 150), OF(policy.user_timeout, 0),
        IS(sockets.zero_windows, 1) },
      { "1 of them behind a zero window", "FinWait2UserTimeout 60s resets" } },
    { "undelivered",
      FW2_WATCH,
      { IS(sockets.undelivered, 150), OF(policy.user_timeout, SEC(60)) },
      { "FinWait2UserTimeout is 60 s at www.example.com:80" } },

    { "close-wait", SILENT, { IS(sockets.close_wait, 49) }, { NULL } },
    { "close-wait",
      FW2_WATCH,
      { IS(sockets.close_wait, 50) },
      { "50 connections are in CLOSE_WAIT", "httpd has to act, not the client",
        "backend" } },
};

static const scene traffic[] = {
    { "balancer",
      SILENT,
      { IS(lists[FW2_IDLE_NETS].share, 50),
        IS(minute.causes[FW2_CAUSE_KEEPALIVE], 49), IS(minute.by_server, 100) },
      { NULL } },
    { "balancer",
      SILENT,
      { IS(lists[FW2_IDLE_NETS].share, 50),
        IS(minute.causes[FW2_CAUSE_KEEPALIVE], 9), IS(minute.by_server, 9) },
      { NULL } },
    { "balancer",
      SILENT,
      { IS(lists[FW2_IDLE_NETS].share, 49),
        IS(minute.causes[FW2_CAUSE_KEEPALIVE], 100),
        IS(minute.by_server, 100) },
      { NULL } },
    { "balancer",
      SILENT,
      { IS(minute.causes[FW2_CAUSE_KEEPALIVE], 100),
        IS(minute.by_server, 100) },
      { NULL } },
    { "balancer",
      FW2_OK,
      { IS(lists[FW2_IDLE_NETS].share, 50),
        IS(minute.causes[FW2_CAUSE_KEEPALIVE], 10), IS(minute.by_server, 20) },
      { "10 of the 20 connections that httpd closed in the last minute (50 %) "
        "had been idle for the keep-alive time, most of them from "
        "192.0.2.0/24. If that is a load balancer:",
        "502", "prefork and worker", "=FinWait2KeepAliveTimeout 65s" } },
    { "balancer",
      FW2_OK,
      { IS(lists[FW2_IDLE_NETS].share, 100),
        IS(minute.causes[FW2_CAUSE_KEEPALIVE], 920), IS(minute.by_server, 1000),
        OF(settings.keepalive, SEC(5)) },
      { "(92 %)", "keep-alive time (5 s at www.example.com:80), most" } },

    { "growing",
      SILENT,
      { IS(half_closed.mini, 999), IS(minute.left_open, 100),
        IS(minute.life, SEC(60)) },
      { NULL } },
    { "growing",
      SILENT,
      { IS(half_closed.mini, 14999), IS(minute.left_open, 10000),
        IS(minute.life, SEC(60)) },
      { NULL } },
    { "growing",
      SILENT,
      { IS(half_closed.mini, 15000), IS(minute.left_open, 1000),
        IS(minute.life, SEC(60) + 1) },
      { NULL } },
    { "growing",
      SILENT,
      { IS(half_closed.mini, 15000), IS(minute.left_open, 0),
        IS(minute.life, 0) },
      { NULL } },
    { "growing",
      FW2_OK,
      { IS(half_closed.mini, 1000), IS(minute.left_open, 0),
        IS(minute.life, SEC(60)) },
      { "0 a minute", "so about 0 are expected." } },
    { "growing",
      FW2_OK,
      { IS(half_closed.mini, 9999), IS(minute.left_open, 1200),
        IS(minute.life, SEC(60)) },
      { "9,999 orphans" } },
    { "growing",
      FW2_WATCH,
      { IS(half_closed.mini, 15000), IS(minute.left_open, 10000),
        IS(minute.life, SEC(60)) },
      { "More than the traffic explains: 15,000 orphans",
        "clients do not close 167 a second, each kept for 60 s",
        "about 10,000 are", "Check again in a minute", "3.8 MB" } },
    { "growing",
      FW2_WATCH,
      { IS(half_closed.mini, 10000), IS(minute.left_open, 1200),
        IS(minute.life, SEC(60)) },
      { "10,000 orphans", "20 a second", "about 1,200 are expected." } },

    { "steady",
      SILENT,
      { IS(half_closed.mini, 99), IS(minute.left_open, 99),
        IS(minute.life, SEC(60)) },
      { NULL } },
    { "steady",
      SILENT,
      { IS(half_closed.mini, 150), IS(minute.left_open, 100),
        IS(minute.life, SEC(60)) },
      { NULL } },
    { "steady",
      SILENT,
      { IS(half_closed.mini, 150), IS(minute.left_open, 100) },
      { NULL } },
    { "steady",
      FW2_OK,
      { IS(half_closed.mini, 149), IS(minute.left_open, 100),
        IS(minute.life, SEC(60)) },
      { "1.7 a second", "so about 100 are expected, and there are 149." } },
    { "steady",
      FW2_OK,
      { IS(half_closed.mini, 2431), IS(minute.left_open, 2400),
        IS(minute.life, SEC(60)), IS(minute.by_server, 6200),
        IS(minute.closes, 10000) },
      { "Normal for this traffic: clients do not close 40 a second",
        "for 60 s on average",
        "so about 2,400 are expected, and there are 2,431.",
        "httpd closed first in 6,200 of 10,000 closes in the last minute "
        "(62 %)." } },
    { "steady",
      FW2_OK,
      { IS(half_closed.mini, 100), IS(minute.left_open, 2400),
        IS(minute.life, SEC(10)), IS(minute.by_server, 1),
        IS(minute.closes, 1) },
      { "so up to about 400 are expected, and there are 100.",
        "1 of 1 close in" } },

    { "long-life",
      SILENT,
      { IS(half_closed.mini, 999), IS(minute.life, SEC(60)) },
      { NULL } },
    { "long-life",
      SILENT,
      { IS(half_closed.mini, 5000), IS(minute.life, SEC(10)) },
      { NULL } },
    { "long-life",
      SILENT,
      { IS(half_closed.mini, 5000), IS(minute.life, 0) },
      { NULL } },
    { "long-life",
      SILENT,
      { IS(half_closed.mini, 5000), IS(minute.life, SEC(60)),
        IS(limits.timewait, 40000), IS(limits.tcp_max_tw_buckets, 100000) },
      { NULL } },
    { "long-life",
      FW2_OK,
      { IS(half_closed.mini, 1000), IS(minute.life, SEC(10) + 1) },
      { "1,000 orphans in FIN_WAIT_2 use 0.3 MB of kernel memory",
        "FinWait2Timeout 5s reduces them, after a graceful restart and once "
        "the present ones are gone.",
        "=FinWait2Timeout 5s" } },
    { "long-life",
      FW2_OK,
      { IS(half_closed.mini, 2400), IS(minute.left_open, 2400),
        IS(minute.life, SEC(60)), IS(worst[0].share, 84),
        OF(rates.causes[FW2_CAUSE_KEEPALIVE], 9) },
      { "2,400 orphans in FIN_WAIT_2 use 0.6 MB", "60 s on average",
        "at 40 a second FinWait2Timeout 5s reduces them to about 200",
        "on average; 84 % of them are of www.example.com:80, mostly when the "
        "keep-alive time is over.",
        "reset then, but it has its whole response", "=FinWait2Timeout 5s",
        "#200" } },
    { "long-life",
      FW2_OK,
      { IS(half_closed.mini, 99999), IS(minute.left_open, 2400),
        IS(minute.life, SEC(60)), IS(worst[0].share, 84) },
      { "on average; 84 % of them are of www.example.com:80." } },
    { "long-life",
      FW2_OK,
      { IS(half_closed.mini, 100000), IS(minute.left_open, 100000),
        IS(minute.life, SEC(120)), IS(worst[0].share, 10),
        OF(rates.probes, 9) },
      { "25.6 MB", "120 s", "mostly without any request." } },
    { "long-life",
      FW2_OK,
      { IS(half_closed.mini, 99999), IS(minute.left_open, 2400),
        IS(minute.life, SEC(60)), IS(worst[0].share, 84),
        OF(rates.causes[FW2_CAUSE_REQUEST_LIMIT], 9) },
      { "com:80, mostly after MaxKeepAliveRequests requests." } },
    { "long-life",
      FW2_OK,
      { IS(half_closed.mini, 99999), IS(minute.left_open, 2400),
        IS(minute.life, SEC(60)), IS(worst[0].share, 84),
        OF(rates.causes[FW2_CAUSE_OTHER], 9) },
      { "on average; 84 % of them are of www.example.com:80." } },

    { "long-life",
      FW2_OK,
      { IS(half_closed.mini, 3600), IS(minute.left_open, 7200),
        IS(minute.life, SEC(60)), IS(minute.short_life, SEC(4)),
        IS(worst[0].share, 60), IS(worst[1].share, 30),
        IS(worst[2].share, 10) },
      { "60 % of them are of www.example.com:80 and 30 % of b.example:80 and "
        "10 % of c.example:443",
        "at 120 a second FinWait2Timeout 5s reduces them to about 240" } },
    { "long-life",
      FW2_OK,
      { IS(half_closed.mini, 3600), IS(minute.life, SEC(60)),
        IS(worst[0].share, 70), IS(worst[1].share, 21), IS(worst[2].share, 9) },
      { "and 21 % of b.example:80.", "!c.example" } },

    { "one-peer",
      SILENT,
      { IS(half_closed.held, 0), IS(half_closed.mini, 999),
        IS(half_closed.full, 0), IS(peer_share, 99) },
      { NULL } },
    { "one-peer",
      SILENT,
      { IS(half_closed.held, 0), IS(half_closed.mini, 1000),
        IS(half_closed.full, 0), IS(peer_share, 49) },
      { NULL } },
    { "one-peer",
      SILENT,
      { IS(half_closed.held, 0), IS(half_closed.mini, 1000),
        IS(half_closed.full, 0), IS(peer_share, 90),
        IS(lists[FW2_IDLE_NETS].share, 90),
        IS(minute.causes[FW2_CAUSE_KEEPALIVE], 60), IS(minute.by_server, 60) },
      { NULL } },
    { "one-peer",
      SILENT,
      { IS(half_closed.held, 0), IS(half_closed.mini, 1000),
        IS(half_closed.full, 0), IS(peer_share, 90), OF(agent.left_open, 60),
        OF(agent.closed, 60), IS(lists[FW2_AGENTS].share, 90) },
      { NULL } },
    { "one-peer",
      FW2_OK,
      { IS(half_closed.held, 300), IS(half_closed.mini, 400),
        IS(half_closed.full, 300), IS(peer_share, 50),
        IS(lists[FW2_IDLE_NETS].share, 90),
        IS(minute.causes[FW2_CAUSE_KEEPALIVE], 9), IS(minute.by_server, 9),
        OF(settings.keepalive, SEC(5)) },
      { "192.0.2.7 has 50 % of all half-closed connections.",
        "no sign of an attack",
        "keep-alive time (5 s at www.example.com:80)" } },

    { "one-agent",
      SILENT,
      { OF(agent.left_open, 29), OF(agent.closed, 29),
        IS(lists[FW2_AGENTS].share, 99), IS(half_closed.mini, 100) },
      { NULL } },
    { "one-agent",
      SILENT,
      { OF(agent.left_open, 30), OF(agent.closed, 30),
        IS(lists[FW2_AGENTS].share, 49), IS(half_closed.mini, 100) },
      { NULL } },
    { "one-agent",
      SILENT,
      { OF(agent.left_open, 30), OF(agent.closed, 30),
        IS(lists[FW2_AGENTS].share, 50), IS(half_closed.mini, 99) },
      { NULL } },
    { "one-agent",
      FW2_OK,
      { OF(agent.left_open, 30), OF(agent.closed, 60),
        IS(lists[FW2_AGENTS].share, 50), OF(agent.expired, 30),
        IS(half_closed.mini, 100) },
      { "The User-Agent okhttp/4.9.3 has 50 % of the connections that "
        "clients did not close: 30 of its 60 connections.",
        "time is over. Until then BrowserMatch ^okhttp nokeepalive",
        "Each request", "=BrowserMatch ^okhttp nokeepalive" } },
    { "one-agent",
      SILENT,
      { OF(agent.left_open, 60), OF(agent.closed, 60),
        IS(lists[FW2_AGENTS].share, 90), OF(agent.expired, 60),
        IS(half_closed.mini, 100), IS(lists[FW2_IDLE_NETS].share, 90),
        IS(minute.causes[FW2_CAUSE_KEEPALIVE], 60), IS(minute.by_server, 60) },
      { NULL } },
    { "one-agent",
      FW2_OK,
      { OF(agent.left_open, 60), OF(agent.closed, 60),
        IS(lists[FW2_AGENTS].share, 100), OF(agent.expired, 29),
        IS(half_closed.mini, 100) },
      { "Ask the client's owner to close a connection once it has its "
        "response." } },
    { "one-agent",
      FW2_OK,
      { OF(agent.left_open, 60), OF(agent.closed, 60),
        IS(lists[FW2_AGENTS].share, 100), OF(agent.expired, 30),
        IS(half_closed.mini, 100), OF(settings.keepalive, SEC(5)) },
      { "keep-alive time (5 s at www.example.com:80) is over. Until" } },

    { "idle-closes",
      SILENT,
      { IS(minute.by_server, 100), OF(idle_rates.idle[FW2_IDLE_EXPIRED], 49),
        OF(idle_settings.keepalive, SEC(5)) },
      { NULL } },
    { "idle-closes",
      SILENT,
      { IS(minute.by_server, 29), OF(idle_rates.idle[FW2_IDLE_EXPIRED], 29),
        OF(idle_settings.keepalive, SEC(5)) },
      { NULL } },
    { "idle-closes",
      SILENT,
      { IS(minute.by_server, 100), OF(idle_rates.idle[FW2_IDLE_EXPIRED], 100),
        OF(idle_settings.keepalive, SEC(1) - 1) },
      { NULL } },
    { "idle-closes",
      SILENT,
      { IS(minute.by_server, 100), OF(idle_rates.idle[FW2_IDLE_EXPIRED], 100),
        OF(idle_settings.keepalive, SEC(7)), OF(idle_policy.advertise, 5) },
      { NULL } },
    { "idle-closes",
      SILENT,
      { IS(minute.by_server, 100), IS(minute.causes[FW2_CAUSE_KEEPALIVE], 100),
        OF(idle_rates.idle[FW2_IDLE_EXPIRED], 100),
        IS(lists[FW2_IDLE_NETS].share, 50),
        OF(idle_settings.keepalive, SEC(5)) },
      { NULL } },
    { "idle-closes",
      FW2_OK,
      { IS(minute.by_server, 100), OF(idle_rates.idle[FW2_IDLE_EXPIRED], 50),
        OF(idle_settings.keepalive, SEC(5)) },
      { "50 of the 100 connections that httpd closed in the last minute",
        "the keep-alive time of shop.example:80, 5 s.",
        "up to 50 connections fewer",
        "=FinWait2KeepAliveTimeout 7s\nFinWait2KeepAliveAdvertise 5s" } },
    { "idle-closes",
      FW2_OK,
      { IS(minute.by_server, 100), OF(idle_rates.idle[FW2_IDLE_EXPIRED], 100),
        OF(idle_settings.keepalive, SEC(7)),
        OF(idle_policy.advertise, FW2_ADVERTISE_OFF) },
      { "7 s; responses promise no time.",
        "=FinWait2KeepAliveTimeout 9s\nFinWait2KeepAliveAdvertise 7s" } },
    { "idle-closes",
      FW2_OK,
      { IS(minute.by_server, 100), OF(idle_rates.idle[FW2_IDLE_EXPIRED], 100),
        OF(idle_settings.keepalive, SEC(5)), OF(idle_policy.advertise, 5) },
      { "5 s." } },

    { "idle-closes",
      SILENT,
      { IS(minute.by_server, 100), OF(idle_rates.idle[FW2_IDLE_EXPIRED], 100),
        OF(idle_settings.keepalive, SEC(3601)) },
      { NULL } },

    { "kept-promise",
      SILENT,
      { OF(idle_rates.idle[FW2_IDLE_IN_TIME], 20),
        OF(idle_rates.idle[FW2_IDLE_LATE], 5),
        OF(idle_rates.idle[FW2_IDLE_EXPIRED], 4),
        OF(idle_settings.keepalive, SEC(7)), OF(idle_policy.advertise, 5) },
      { NULL } },
    { "kept-promise",
      SILENT,
      { OF(idle_rates.idle[FW2_IDLE_IN_TIME], 20),
        OF(idle_rates.idle[FW2_IDLE_LATE], 5),
        OF(idle_rates.idle[FW2_IDLE_EXPIRED], 5),
        OF(idle_settings.keepalive, SEC(7)) },
      { NULL } },
    { "kept-promise",
      FW2_OK,
      { OF(idle_rates.idle[FW2_IDLE_IN_TIME], 20),
        OF(idle_rates.idle[FW2_IDLE_LATE], 6),
        OF(idle_rates.idle[FW2_IDLE_EXPIRED], 4),
        OF(idle_settings.keepalive, SEC(7)), OF(idle_policy.advertise, 5) },
      { "30 connections of shop.example:80 ended idle in the last minute: ",
        "clients closed 20 before the promised 5 s were over (66 %), and 6 "
        "later; httpd closed 4 after 7 s." } },

    { "probes",
      SILENT,
      { IS(minute.probes, 499), IS(minute.by_server, 1000) },
      { NULL } },
    { "probes",
      SILENT,
      { IS(minute.probes, 29), IS(minute.by_server, 29) },
      { NULL } },
    { "probes",
      FW2_OK,
      { IS(minute.probes, 30), IS(minute.by_server, 60) },
      { "30 of the 60 connections", "(50 %) never had a request",
        "truncates nothing", "=FinWait2Timeout none" } },

    { "errors",
      SILENT,
      { IS(minute.causes[FW2_CAUSE_ERROR], 499), IS(minute.by_server, 1000) },
      { NULL } },
    { "errors",
      SILENT,
      { IS(minute.causes[FW2_CAUSE_ERROR], 29), IS(minute.by_server, 29) },
      { NULL } },
    { "errors",
      FW2_OK,
      { IS(minute.causes[FW2_CAUSE_ERROR], 30), IS(minute.by_server, 60) },
      { "30 of the 60 connections", "(50 %) ended with an error", "access log",
        "FinWait2Linger off would only" } },

    { "connection-close",
      SILENT,
      { IS(half_closed.mini, 999),
        IS(minute.causes[FW2_CAUSE_CONNECTION_CLOSE], 60),
        IS(minute.by_server, 60) },
      { NULL } },
    { "connection-close",
      SILENT,
      { IS(half_closed.mini, 1000),
        IS(minute.causes[FW2_CAUSE_CONNECTION_CLOSE], 49),
        IS(minute.by_server, 100) },
      { NULL } },
    { "connection-close",
      SILENT,
      { IS(half_closed.mini, 1000),
        IS(minute.causes[FW2_CAUSE_CONNECTION_CLOSE], 29),
        IS(minute.by_server, 29) },
      { NULL } },
    { "connection-close",
      FW2_OK,
      { IS(half_closed.mini, 1000),
        IS(minute.causes[FW2_CAUSE_CONNECTION_CLOSE], 30),
        IS(minute.by_server, 60) },
      { "30 of the 60 connections", "Connection: close", "KeepAlive is Off",
        "HTTP/1.0" } },

};

/* Make all figures unknown, and give each pointer its data. */
static void clear(void)
{
    memset(&the, 0xff, sizeof(the));
    memset(&the.report.worst, 0, sizeof(the.report.worst));
    memset(&the.policy, 0, sizeof(the.policy));
    memset(&the.idle_rates, 0, sizeof(the.idle_rates));
    memset(&the.idle_policy, 0, sizeof(the.idle_policy));
    memset(the.report.elsewhere.top, 0, sizeof(the.report.elsewhere.top));
    memset(&the.agent, 0, sizeof(the.agent));
    the.report.elsewhere.n = the.report.elsewhere.full_port = 0;
    the.report.worst[0] = (fw2_named_vhost){ "www.example.com:80", FW2_UNKNOWN,
                                             &the.rates, &the.settings };
    the.report.worst[1].name = "b.example:80";
    the.report.worst[2].name = "c.example:443";
    the.settings.policy = NULL;
    the.policy.engine = the.idle_policy.engine = 1;
    the.report.idle = (fw2_named_vhost){ "shop.example:80", FW2_UNKNOWN,
                                         &the.idle_rates, &the.idle_settings };
    the.idle_settings.policy = &the.idle_policy;
    the.idle_policy.advertise = FW2_ADVERTISE_INHERIT;
    the.report.lists[FW2_AGENTS].clients = &the.agent;
    the.report.lists[FW2_IDLE_NETS].clients = &the.net;
    the.report.lists[FW2_AGENTS].n = the.report.lists[FW2_IDLE_NETS].n = 1;
    the.agent.client = "okhttp/4.9.3";
    the.net.client = "192.0.2.0/24";
    the.report.peers = &the.peer;
    the.report.npeers = 1;
    the.peer.peer = "192.0.2.7";
}

static void set(const setting *figure, apr_int64_t value)
{
    apr_size_t offset = figure->offset - 1;
    int number = (int)value;

    memcpy((char *)&the + offset,
           figure->size == sizeof(number) ? (void *)&number : &value,
           figure->size);
    if (offset >= offsetof(world, policy) && offset < offsetof(world, rates)) {
        the.settings.policy = &the.policy;
    }
}

/* Set the figures that are sums of others, or known together with others. */
static void complete(void)
{
    fw2_report *report = &the.report;

    if (report->half_closed.held >= 0 && report->half_closed.mini >= 0
        && report->half_closed.full >= 0) {
        report->half_closed.orphan =
            report->half_closed.mini + report->half_closed.full;
        report->half_closed.total =
            report->half_closed.held + report->half_closed.orphan;
    }
    if (report->minute.life >= 0 && report->minute.short_life < 0) {
        report->minute.short_life =
            report->minute.life < SEC(5) ? report->minute.life : SEC(5);
    }
    if (report->elsewhere.top[0].n > 0) {
        report->elsewhere.n = 1;
        report->elsewhere.half_closed = report->elsewhere.top[0].n;
    }
    if (report->elsewhere.full > 0) {
        report->elsewhere.half_closed = 0;
        if (!report->elsewhere.full_port) {
            report->elsewhere.full_port = 25;
        }
    }
}

static void apply(const setting *figures)
{
    int i;

    for (i = 0; i < SETTINGS && figures[i].offset; i++) {
        set(&figures[i], figures[i].value);
    }
    complete();
}

static void test_words(const fw2_advice *advice, const char *says)
{
    switch (says[0]) {
    case '!':
        ok(!strstr(advice->text, says + 1), "  the text lacks: %s", says + 1);
        break;
    case '=':
        is_str(advice->line, says + 1, "  a line is recommended");
        break;
    case '#':
        is_int(advice->words.after, strtol(says + 1, NULL, 10),
               "  a number is predicted");
        break;
    default:
        has_str(advice->text, says, "  the text has its words");
    }
}

static void test_scene(const scene *s, int number)
{
    int rule = rule_number(s->rule), i;
    const fw2_advice *advice;

    clear();
    apply(s->figures);
    advise();
    advice = find(s->rule);
    if (s->level == SILENT) {
        not_applied[rule]++;
        ok(!advice, "%s, scene %d: the rule does not apply", s->rule, number);
    }
    else {
        applied[rule]++;
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

/* Check that all texts are well-formed for the same figures without names. */
static void test_without_names(const scene *s)
{
    clear();
    memset(the.report.worst, 0, sizeof(the.report.worst));
    memset(&the.report.idle, 0, sizeof(the.report.idle));
    apply(s->figures);
    advise();
}

static void test_scenes(const scene *scenes, apr_size_t n)
{
    apr_size_t i;

    for (i = 0; i < n; i++) {
        test_scene(&scenes[i], (int)i);
        test_without_names(&scenes[i]);
    }
}

#define COUNT(table)       (sizeof(table) / sizeof((table)[0]))
#define TEST_SCENES(table) test_scenes(table, COUNT(table))

static void test_every_rule(void)
{
    int i, j;

    for (i = 0; fw2_advice_rule(i); i++) {
        ok(i < RULES && applied[i] && not_applied[i],
           "%s: scenes have both sides", fw2_advice_rule(i)->name);
        for (j = 0; j < i; j++) {
            if (!strcmp(fw2_advice_rule(i)->name, fw2_advice_rule(j)->name)) {
                ok(0, "%s is the name of one rule", fw2_advice_rule(i)->name);
            }
        }
    }
    ok(i > 0 && !fw2_advice_rule(i + 1000), "the list of rules has an end");
}

/* ----------------------------------------------------------- the verdict -- */

static void test_quiet(void)
{
    static const setting none[SETTINGS] = { IS(half_closed.held, 0),
                                            IS(half_closed.mini, 0),
                                            IS(half_closed.full, 0) };

    clear();
    apply(none);
    advise();
    is_str(the.report.advice[0].text,
           "ok: there are no half-closed connections.",
           "a quiet server has a verdict");
    is_int(the.report.snapshot.verdict, FW2_OK, "a quiet server is ok");
    is_int(the.report.nadvice, 1, "a quiet server gets no advice");
    is_str(the.report.snapshot.rule, "none",
           "no rule decides for a quiet server");

    clear();
    advise();
    is_str(the.report.advice[0].text,
           "ok as far as is known: half-closed connections could not be "
           "counted.",
           "a verdict tells that nothing is known");
    is_int(the.report.nadvice, 1, "no advice is given if nothing is known");
}

static const char *headline(const setting *figures)
{
    clear();
    apply(figures);
    advise();
    return the.report.advice[0].text;
}

/* Figures, and the verdict in words. */
static const struct {
    const char *name;
    setting figures[SETTINGS];
    const char *text;
} verdicts[] = {
    { "orphans in FIN_WAIT_2 are no problem",
      { IS(half_closed.held, 0), IS(closer.held, 0), IS(half_closed.mini, 2431),
        IS(half_closed.full, 0) },
      "ok: 2,431 half-closed connections cost 0.6 MB of kernel memory and no "
      "worker." },
    { "the traffic explains the orphans",
      { IS(half_closed.held, 0), IS(half_closed.mini, 5747),
        IS(half_closed.full, 0), IS(minute.left_open, 5300),
        IS(minute.life, SEC(60)) },
      "ok: 5,747 half-closed connections cost 1.5 MB of kernel memory; about "
      "5,300 orphans are normal for this traffic." },
    { "a worker of httpd lingers on one connection",
      { IS(half_closed.held, 30), IS(closer.held, 29), IS(half_closed.mini, 0),
        IS(half_closed.full, 10), IS(server.linger_blocks, 1) },
      "ok: 40 half-closed connections cost 0.1 MB of kernel memory and at most "
      "1 worker." },
    { "httpd lingers on some connections outside of workers",
      { IS(half_closed.held, 30), IS(closer.held, 0), IS(half_closed.mini, 0),
        IS(half_closed.full, 0), IS(server.linger_blocks, 0) },
      "ok: 30 half-closed connections cost 0.1 MB of kernel memory and no "
      "worker." },
    { "the number of workers is not known",
      { IS(half_closed.held, 0), IS(half_closed.mini, 1),
        IS(half_closed.full, 0) },
      "ok: 1 half-closed connection costs 256 bytes of kernel memory." },
    { "undelivered bytes count, and closers may hold more than the kernel had",
      { IS(half_closed.held, 5), IS(closer.held, 6), IS(half_closed.mini, 0),
        IS(half_closed.full, 0), IS(sockets.undelivered_bytes, 1000000) },
      "ok: 5 half-closed connections cost 1 MB of kernel memory and no "
      "worker." },
    { "a part of the connections is not known",
      { IS(half_closed.held, 5), IS(half_closed.mini, 5) },
      "ok as far as is known: half-closed connections could not be counted." },
    { "the number that closers hold is not known",
      { IS(half_closed.held, 5), IS(half_closed.mini, 0),
        IS(half_closed.full, 0), IS(server.linger_blocks, 1) },
      "ok: 5 half-closed connections cost 19.9 KB of kernel memory." },
    { "the worst rule decides",
      { IS(half_closed.held, 0), IS(half_closed.mini, 90000),
        IS(half_closed.full, 0), IS(limits.timewait, 105000),
        IS(limits.tcp_max_tw_buckets, 131072), IS(minute.evicted, 3) },
      "danger: 105,000 of at most 131,072 mini-sockets (TIME_WAIT and orphans "
      "in FIN_WAIT_2) are in use (80 %)." }
};

static void test_headlines(void)
{
    apr_size_t i;

    for (i = 0; i < COUNT(verdicts); i++) {
        is_str(headline(verdicts[i].figures), verdicts[i].text,
               verdicts[i].name);
    }
}

static void test_order(void)
{
    static const char *const expected[] = { "verdict", "timewait-overflow",
                                            "evicted", "close-wait", "steady" };
    static const setting figures[SETTINGS] = {
        IS(sockets.close_wait, 50),       IS(minute.evicted, 3),
        IS(limits.timewait, 90000),       IS(limits.tcp_max_tw_buckets, 100000),
        IS(minute.timewait_overflows, 3), IS(half_closed.mini, 900),
        IS(minute.left_open, 900),        IS(minute.life, SEC(60))
    };
    unsigned int i;

    clear();
    apply(figures);
    advise();
    is_int(the.report.nadvice, COUNT(expected), "four rules apply");
    for (i = 0; i < COUNT(expected) && (int)i < the.report.nadvice; i++) {
        is_str(the.report.advice[i].rule, expected[i], "worst first");
    }
    is_str(the.report.snapshot.rule, "timewait-overflow",
           "the worst rule decides");
}

/* ---------------------------------------------------------- hostile names -- */

/* Return the name of a client as the rule `one-peer` writes it. */
static const char *peer_text(const char *peer)
{
    static const setting figures[SETTINGS] = { IS(half_closed.held, 2000),
                                               IS(half_closed.mini, 0),
                                               IS(half_closed.full, 0),
                                               IS(peer_share, 50) };
    const fw2_advice *advice;

    clear();
    the.peer.peer = peer;
    apply(figures);
    fw2_advice_give(&the.report, pool);
    advice = find("one-peer");
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
    char *heap = malloc(65); /* a sanitizer sees a read beyond its end */

    is_str(peer_text(""), "", "an empty name is written");
    is_str(peer_text("%s%n\"<b>"), "%s%n\"<b>", "a name is not a format");
    is_str(peer_text("a\nDanger: 1\r\t\x1b[31m\x7f"), "a?Danger: 1???[31m?",
           "a name has one line");
    is_str(peer_text(FIFTY TEN "abcd"), FIFTY TEN "abcd",
           "a name of 64 bytes is whole");
    is_str(peer_text(FIFTY TEN "abcde"), FIFTY TEN "abcd" CUT,
           "a name of 65 bytes is cut");
    is_str(peer_text(FIFTY TEN "abc\xc3\xa4"), FIFTY TEN "abc" CUT,
           "a character of two bytes is not cut in two");
    is_str(peer_text(FIFTY TEN "a\xf0\x9f\x90\x8d"), FIFTY TEN "a" CUT,
           "a character of four bytes is not cut in two");
    is_str(peer_text(FIFTY TEN "ab\xc3\xa4z"), FIFTY TEN "ab\xc3\xa4" CUT,
           "a character that fits is not cut off");
    memset(endless, 0x80, 1000000);
    endless[1000000] = '\0';
    is_int(strlen(peer_text(endless)), 67,
           "a name of a million invalid bytes is cut");
    strcpy(heap, FIFTY TEN "abcd");
    is_str(peer_text(heap), heap, "no byte beyond a name is read");
    free(heap);
}

/* Return 1 if the advice recommends BrowserMatch for a User-Agent, 0 if it does
 * not, -1 if there is no advice. */
static int is_matched(const char *agent)
{
    static const setting figures[SETTINGS] = {
        IS(half_closed.mini, 100), IS(lists[FW2_AGENTS].share, 100),
        OF(agent.closed, 100), OF(agent.expired, 100), OF(agent.left_open, 100)
    };
    const fw2_advice *advice;

    clear();
    the.agent.client = agent;
    apply(figures);
    fw2_advice_give(&the.report, pool);
    advice = find("one-agent");
    return advice ? strstr(advice->text, "BrowserMatch ^") != NULL : -1;
}

static void test_agents(void)
{
    is_int(is_matched("okhttp/4.9.3"), 1, "a product is matched");
    is_int(is_matched("python-urllib3"), 1, "a product with a hyphen is, too");
    is_int(is_matched("abc.*"), 1, "the plain beginning of a name is matched");
    is_int(is_matched("ab/1"), 0, "two letters are too few to match");
    is_int(is_matched("[x] y"), 0, "a name without a product is not matched");
    is_int(is_matched("Mozilla/5.0 (X11)"), 0,
           "a product of all browsers is not matched");
    is_int(is_matched(TEN TEN TEN TEN), 0, "a long product is not matched");
    is_int(is_matched("(none)"), -1, "a client without a name is no program");
    is_int(is_matched(""), -1, "a client with an empty name is no program");
}

/* ---------------------------------------------------------- any figures -- */

static apr_uint64_t state = 88172645463325252u;

static apr_uint64_t chance(apr_uint64_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % n;
}

/* Return a figure that is unknown, at a limit, small, large, or the largest
 * that can be read from shared memory. */
static apr_int64_t any_figure(void)
{
    static const apr_int64_t odd[] = {
        FW2_UNKNOWN, 0, 1, 2, 49, 50, 100, FW2_CLAMP_MOST - 1, FW2_CLAMP_MOST
    };

    switch (chance(4)) {
    case 0:
        return odd[chance(COUNT(odd))];
    case 1:
        return (apr_int64_t)chance(130);
    case 2:
        return (apr_int64_t)chance(200000);
    default:
        return (apr_int64_t)chance((apr_uint64_t)1 << chance(43));
    }
}

/* Return any value for a figure. Those behind pointers are always known, and
 * those of type int are ports and flags. */
static apr_int64_t any_value(const setting *figure)
{
    apr_int64_t any = any_figure();

    if (figure->size == sizeof(int)) {
        return (apr_int64_t)chance(65536);
    }
    return figure->offset > sizeof(fw2_report) && any < 0 ? 0 : any;
}

/* Set some figures of a table to any value. */
static void set_any(const scene *scenes, apr_size_t n)
{
    apr_size_t i;
    int j;

    for (i = 0; i < n; i++) {
        const setting *figures = scenes[i].figures;

        for (j = 0; j < SETTINGS && figures[j].offset; j++) {
            if (chance(2)) {
                set(&figures[j], any_value(&figures[j]));
            }
        }
    }
}

static void test_any(void)
{
    apr_pool_t *whole = pool;
    int before = malformed, most = 0, i;

    for (i = 0; i < 20000; i++) {
        clear();
        the.report.worst[0].name = chance(2) ? FIFTY FIFTY : NULL;
        set_any(limits, COUNT(limits));
        set_any(lingers, COUNT(lingers));
        set_any(traffic, COUNT(traffic));
        complete();
        apr_pool_create(&pool, whole);
        advise();
        apr_pool_destroy(pool);
        most = the.report.nadvice > most ? the.report.nadvice : most;
    }
    pool = whole;
    is_int(malformed - before, 0,
           "all texts are well-formed for 20,000 sets of any figures");
    ok(most > 10, "many rules apply at once (%d)", most);
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
    test_names();
    test_agents();
    test_any();
    is_int(malformed, 0, "all texts are well-formed");
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
