/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Memory safety. Any process can write anything into shared memory, so this
 * test fills each mapping from its first to its last byte with numbers that no
 * room writes, forges contents with a matching sum, and then calls every function
 * that a child or a closer process calls. No call may crash, loop, access memory
 * beside the mapping, or overflow, as the sanitizers check; and a content that is
 * written afterwards must be read.
 */

#include <dlfcn.h>

#include "apr_general.h"
#include "apr_shm.h"
#include "apr_strings.h"

#include "base/clock.h"
#include "base/record.h"
#include "page/advice.h"
#include "page/metrics.h"
#include "child.h"
#include "tap.h"

#define VHOSTS    40
#define ENDPOINTS 3
#define PAGE      ((size_t)sysconf(_SC_PAGESIZE))

/* The largest value of a number that is added up. */
#define MOST (APR_INT64_MAX >> 20)

static apr_pool_t *pool;    /* of the shared memory */
static apr_pool_t *scratch; /* cleared after each round */
static fw2_counters *counters;
static fw2_board *board;
static fw2_clients *clients;
static fw2_history *history;
static fw2_vhost_id ids[VHOSTS];

/* ------------------------------------------------------------- mappings -- */

typedef struct {
    const char *name;
    unsigned char *base;        /* of the room's memory */
    size_t size;                /* that the room asked for */
    unsigned char *begin, *end; /* of the whole mapping */
    unsigned char *copy;        /* of the mapping, when it was filled */
} mapping;

enum { COUNTERS, BOARD, CLIENTS, HISTORY, MAPPINGS };

static mapping mappings[MAPPINGS] = { { .name = "counters" },
                                      { .name = "board" },
                                      { .name = "clients" },
                                      { .name = "history" } };

static mapping *wanted; /* the mapping to note the next memory in, or NULL */

typedef apr_status_t (*create_function)(apr_shm_t **, apr_size_t, const char *,
                                        apr_pool_t *);

/* Note the memory that the rooms ask APR for. */
apr_status_t apr_shm_create(apr_shm_t **shm, apr_size_t size, const char *file,
                            apr_pool_t *of)
{
    void *found = dlsym(RTLD_NEXT, "apr_shm_create");
    create_function create;
    apr_status_t rv;

    memcpy(&create, &found, sizeof(create));
    rv = create(shm, size, file, of);
    if (rv == APR_SUCCESS && wanted) {
        wanted->base = apr_shm_baseaddr_get(*shm);
        wanted->size = size;
    }
    return rv;
}

/* Find the mapping of an address, if apr_shm_create() has made it; false if there
 * is none. */
static int find_mapping(mapping *m)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long begin, end;
    char line[512];
    int found = 0;

    while (maps && fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx", &begin, &end) == 2
            && begin <= (unsigned long)m->base && end > (unsigned long)m->base
            && strstr(line, " rw-s ") && strstr(line, "/dev/zero (deleted)")) {
            m->begin = m->base - ((unsigned long)m->base - begin);
            m->end = m->base + (end - (unsigned long)m->base);
            found = 1;
        }
    }
    if (maps) {
        fclose(maps);
    }
    return found;
}

/* Make a page beside a mapping inaccessible; false if the page is mapped already. */
static int guard(unsigned char *at)
{
    return mmap(at, PAGE, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)
           == at;
}

static void prepare_counters(const char *const *names, int n)
{
    if (fw2_counters_prepare(&counters, names, ids, n, pool) != APR_SUCCESS) {
        bail_out("no counters");
    }
}

/* Note the addresses of a new mapping, and guard both of its sides. */
static void note_mapping(mapping *m)
{
    int guards;

    ok(m->base && find_mapping(m) && m->end >= m->base + m->size,
       "%s: the memory is an anonymous shared mapping", m->name);
    guards = guard(m->begin - PAGE) + guard(m->end);
    m->copy = malloc((size_t)(m->end - m->begin));
    if (!m->copy) {
        bail_out("no memory");
    }
    printf("# %s: %d bytes of %d, guards on %d sides\n", m->name, (int)m->size,
           (int)(m->end - m->begin), guards);
}

static void create(int which)
{
    static const char *const names[] = { "a", "b", "c" };
    apr_status_t rv = APR_SUCCESS;

    wanted = &mappings[which];
    switch (which) {
    case COUNTERS:
        prepare_counters(names, 3);
        break;
    case BOARD:
        rv = fw2_board_create(&board, ENDPOINTS, VHOSTS, 0, pool);
        break;
    case CLIENTS:
        rv = fw2_clients_create(&clients, pool);
        break;
    default:
        rv = fw2_history_create(&history, pool);
    }
    wanted = NULL;
    if (rv != APR_SUCCESS) {
        bail_out("no shared memory");
    }
}

static void test_create(void)
{
    int i;

    for (i = 0; i < MAPPINGS; i++) {
        create(i);
        note_mapping(&mappings[i]);
    }
}

/* -------------------------------------------------------------- filling -- */

enum { ZEROS, ONES, HIGHEST, LOWEST, SMALL, EDGES, BYTES, WORDS, FILLS };

static const char *const fill_names[FILLS] = { "zeros",
                                               "ones",
                                               "the highest numbers",
                                               "the lowest numbers",
                                               "small numbers",
                                               "numbers at the edges",
                                               "random bytes",
                                               "random words" };

static apr_uint64_t word_of(int fill)
{
    static const apr_uint64_t edges[] = { 0,
                                          1,
                                          2,
                                          63,
                                          64,
                                          65,
                                          0x7fffffff,
                                          0x80000000,
                                          0xffffffff,
                                          APR_INT64_MAX - 1,
                                          APR_INT64_MAX,
                                          (apr_uint64_t)APR_INT64_MAX + 1,
                                          (apr_uint64_t)APR_INT64_MAX + 2,
                                          ~(apr_uint64_t)1,
                                          ~(apr_uint64_t)0 };

    switch (fill) {
    case ZEROS:
        return 0;
    case ONES:
        return ~(apr_uint64_t)0;
    case HIGHEST:
        return APR_INT64_MAX;
    case LOWEST:
        return (apr_uint64_t)APR_INT64_MAX + 1;
    case SMALL:
        return random_number() % 70;
    case EDGES:
        return edges[random_number() % (sizeof(edges) / sizeof(edges[0]))];
    default:
        return random_number();
    }
}

static void fill_with(void *memory, size_t bytes, int fill)
{
    unsigned char *to = memory;
    size_t i;

    if (fill == BYTES) {
        random_fill(memory, bytes);
        return;
    }
    for (i = 0; i < bytes; i += sizeof(apr_uint64_t)) {
        apr_uint64_t word = word_of(fill);

        memcpy(to + i, &word,
               bytes - i < sizeof(word) ? bytes - i : sizeof(word));
    }
}

static void fill_mapping(mapping *m, int fill)
{
    fill_with(m->begin, (size_t)(m->end - m->begin), fill);
    memcpy(m->copy, m->begin, (size_t)(m->end - m->begin));
}

/* True if the bytes beside a room's memory have not changed. */
static int is_untouched(const mapping *m)
{
    size_t before = (size_t)(m->base - m->begin);
    const unsigned char *after = m->base + m->size;

    return !memcmp(m->begin, m->copy, before)
           && !memcmp(after, m->copy + (after - m->begin),
                      (size_t)(m->end - after));
}

/* ----------------------------------------- numbers with a matching sum -- */

typedef struct {
    apr_int64_t all, n;
    fw2_client clients[FW2_CLIENTS_MAX];
} client_list;

typedef struct {
    struct {
        apr_time_t since;
        client_list lists[FW2_CLIENT_LISTS];
    } periods[2];
} clients_content;

#define COUNT_SIZE (sizeof(fw2_board_count) + ENDPOINTS * sizeof(fw2_tally))
#define RATES_SIZE (VHOSTS * sizeof(fw2_rates) + sizeof(apr_int64_t))
#define BOARD_HEAD ((5 + VHOSTS) * sizeof(fw2_shared))

static void test_layouts(void)
{
    is_int((long long)mappings[CLIENTS].size,
           (long long)fw2_record_size(sizeof(clients_content)),
           "the test has the layout of clients");
    is_int((long long)mappings[BOARD].size,
           (long long)(BOARD_HEAD + fw2_record_size(COUNT_SIZE)
                       + fw2_record_size(RATES_SIZE)),
           "the test has the layout of a board");
    is_int((long long)mappings[HISTORY].size, sizeof(fw2_history),
           "the test has the layout of a history");
}

/* Write numbers of any kind; half of the contents have a valid number of clients
 * and a valid time, so that a reader goes on. */
static void forge_clients(int fill)
{
    static clients_content content;
    apr_time_t now = fw2_clock_now();
    int i, j;

    fill_with(&content, sizeof(content), fill);
    if (random_number() & 1) {
        for (i = 0; i < 2; i++) {
            content.periods[i].since = now - apr_time_from_sec(1 + 600 * i);
            for (j = 0; j < FW2_CLIENT_LISTS; j++) {
                content.periods[i].lists[j].n = FW2_CLIENTS_MAX;
            }
        }
    }
    fw2_record_write((fw2_record *)mappings[CLIENTS].base, &content,
                     sizeof(content));
}

static void forge_board(int fill)
{
    static union {
        fw2_board_count count;
        fw2_rates rates[VHOSTS + 1];
        unsigned char bytes[COUNT_SIZE + RATES_SIZE];
    } content;
    unsigned char *at = mappings[BOARD].base + BOARD_HEAD;

    fill_with(&content, sizeof(content), fill);
    if (random_number() & 1) {
        content.count.count.backend =
            random_number() & 1 ? FW2_NETLINK : FW2_PROCFS;
        content.count.count.peers.n = FW2_PEERS_MAX;
    }
    fw2_record_write((fw2_record *)at, &content, COUNT_SIZE);
    fill_with(&content, sizeof(content), fill);
    fw2_record_write((fw2_record *)(at + fw2_record_size(COUNT_SIZE)), &content,
                     RATES_SIZE);
}

static void forge_slot(fw2_slot *slot, apr_uint64_t number, apr_time_t time,
                       int fill)
{
    apr_uint64_t words[FW2_SAMPLE_WORDS];

    fill_with(words, sizeof(words), fill);
    if (random_number() & 7) {
        words[0] = (apr_uint64_t)time;
    }
    memcpy(slot->words, words, sizeof(words));
    slot->sum = fw2_record_sum(number, words, FW2_SAMPLE_WORDS);
}

static void forge_history(int fill)
{
    apr_time_t now = apr_time_now();
    int i;

    history->samples = FW2_HISTORY_RECENT;
    history->minutes = FW2_HISTORY_MINUTES;
    history->folded = random_number() % FW2_HISTORY_RECENT;
    for (i = 0; i < FW2_HISTORY_RECENT; i++) {
        forge_slot(&history->recent[i], (apr_uint64_t)i,
                   now - apr_time_from_sec(4 * (FW2_HISTORY_RECENT - i)), fill);
    }
    for (i = 0; i < FW2_HISTORY_MINUTES; i++) {
        forge_slot(&history->minute[i], (apr_uint64_t)i,
                   now - apr_time_from_sec(60 * (FW2_HISTORY_MINUTES - i)),
                   fill);
    }
}

/* ---------------------------------------------- reading and writing it -- */

static int wrong; /* numbers that were read outside of their bounds */

static int is_within(apr_int64_t least, apr_int64_t number, apr_int64_t most)
{
    return number >= least && number <= most;
}

/* True if all numbers are within bounds. */
static int all_within(const void *numbers, size_t bytes, apr_int64_t least)
{
    const apr_int64_t *number = numbers;
    size_t i;

    for (i = 0; i < bytes / sizeof(*number); i++) {
        if (!is_within(least, number[i], MOST)) {
            return 0;
        }
    }
    return 1;
}

static void read_counters(void)
{
    fw2_server_totals server;
    fw2_vhost_totals totals;
    apr_int64_t trend[FW2_TREND];
    fw2_vhost_id i;
    int j, n = fw2_counters_named(counters);

    wrong += n > (int)fw2_counters_places(counters) || n < 3;
    for (i = 0; i < (fw2_vhost_id)n; i++) {
        fw2_counters_vhost(counters, i, &totals);
        wrong += !totals.vhost || !*totals.vhost;
        wrong +=
            !all_within(totals.causes, sizeof(totals.causes), 0)
            || !all_within(totals.idle, sizeof(totals.idle), 0)
            || !all_within(totals.endings, sizeof(totals.endings), 0)
            || !all_within(totals.linger.n, sizeof(totals.linger.n), 0)
            || !all_within(totals.connections, sizeof(totals.connections), 0);
        wrong += totals.linger.sum < 0 || totals.drained < 0
                 || totals.closes[FW2_BY_SERVER] < 0
                 || !is_within(0, totals.probes, MOST)
                 || !is_within(0, totals.given_up, MOST)
                 || !is_within(0, totals.tls, MOST);
    }
    for (i = 0; i < (fw2_vhost_id)n; i++) {
        fw2_counters_trend(counters, i, trend);
        for (j = 0; j < FW2_TREND; j++) {
            wrong += !is_within(-MOST, trend[j], MOST);
        }
    }
    fw2_counters_server(counters, &server);
    wrong += !all_within(server.fallback, sizeof(server.fallback), 0)
             || !is_within(0, server.fallbacks, FW2_REFUSALS * MOST)
             || !is_within(0, server.invalid, MOST)
             || !is_within(0, server.lost, MOST);
}

static void use_counters(void)
{
    fw2_closed closed = { FW2_CAUSE_OTHER, FW2_HTTP2, 1, 1, FW2_IDLES };
    fw2_vhost_id i, places = (fw2_vhost_id)fw2_counters_places(counters);
    int j;

    read_counters();
    for (i = 0; i < places; i++) {
        closed.cause = (fw2_cause)(i % FW2_CAUSES);
        fw2_counters_closed(counters, i, &closed);
        fw2_counters_ended(counters, i, (fw2_ending)(i % FW2_ENDINGS),
                           i & 1 ? APR_INT64_MAX : (apr_interval_time_t)i,
                           ~(apr_uint64_t)0);
    }
    for (j = 0; j < 2 * FW2_REFUSALS; j++) {
        (void)fw2_counters_fallback(counters, (fw2_refusal)(j % FW2_REFUSALS),
                                    apr_time_now());
    }
    fw2_counters_note(counters, fw2_clock_now());
    fw2_counters_invalid(counters);
    fw2_counters_lost(counters, MOST);
    read_counters();
}

static int is_elsewhere(const fw2_elsewhere *elsewhere)
{
    int i, fits = is_within(-1, elsewhere->half_closed, MOST)
                  && is_within(-1, elsewhere->outgoing, MOST)
                  && is_within(0, elsewhere->full_port, 65535)
                  && is_within(0, elsewhere->full, MOST)
                  && is_within(-1, elsewhere->full_limit, MOST)
                  && is_within(-1, elsewhere->drops, MOST)
                  && is_within(0, elsewhere->n, FW2_PORTS_MAX);

    for (i = 0; fits && i < elsewhere->n; i++) {
        fits = (unsigned int)elsewhere->top[i].role < FW2_ROLES
               && is_within(0, elsewhere->top[i].port, 65535)
               && is_within(0, elsewhere->top[i].n, MOST);
    }
    return fits;
}

static void read_board(void)
{
    const fw2_board_count *last = fw2_board_last(board, scratch);
    const fw2_count *count = &last->count;
    apr_int64_t fallback = -9;
    const fw2_rates *rates = fw2_board_rates(board, &fallback, scratch);
    fw2_board_state state;
    fw2_refusal why;
    int i;

    wrong += (unsigned int)count->backend > FW2_NOTHING
             || !is_within(0, count->peers.n, FW2_PEERS_MAX)
             || !is_within(0, count->complete, 1)
             || !is_elsewhere(&count->elsewhere)
             || !all_within(&last->limits, sizeof(last->limits), -1)
             || !all_within(&last->before, sizeof(last->before), -1)
             || !all_within(count->tallies, ENDPOINTS * sizeof(fw2_tally), -1)
             || !all_within(count->left.n, sizeof(count->left.n), 0)
             || !all_within(&count->undelivered, sizeof(count->undelivered), 0)
             || last->age < 0 || last->over < 0 || last->cost < 0;
    for (i = 0; i < FW2_BACKENDS; i++) {
        wrong += !memchr(count->refused[i], '\0', FW2_REFUSED_MAX);
    }
    wrong += !all_within(rates, VHOSTS * sizeof(*rates), -1)
             || !is_within(-1, fallback, MOST);
    fw2_board_state_read(board, &state);
    wrong += !is_within(0, state.running, 1) || !is_within(0, state.held, MOST)
             || !is_within(0, state.capacity, MOST) || state.oldest < -1;
    for (i = -1; i <= VHOSTS; i++) {
        wrong += !is_within(0, fw2_board_held(board, (apr_uint32_t)i), MOST);
    }
    (void)fw2_board_accepts(board, &why);
    wrong += (unsigned int)why >= FW2_REFUSALS;
}

static void publish(int counts)
{
    fw2_tally tallies[ENDPOINTS];
    fw2_rates rates[VHOSTS];
    fw2_board_count count;

    memset(tallies, 0, sizeof(tallies));
    memset(rates, 0, sizeof(rates));
    memset(&count, 0, sizeof(count));
    count.count.tallies = tallies;
    count.counts = counts;
    tallies[ENDPOINTS - 1].backlog = counts;
    rates[VHOSTS - 1].evicted = counts;
    fw2_board_publish(board, &count);
    fw2_board_publish_rates(board, rates, counts);
}

static void use_board(void)
{
    apr_uint32_t i;

    read_board();
    fw2_board_started(board, 1);
    wrong += fw2_board_begin(board, 2, 100) < 0;
    read_board();
    for (i = 0; i < VHOSTS; i++) {
        fw2_board_hold(board, i, i & 1 ? 1 : -1);
    }
    fw2_board_oldest(board, fw2_clock_now());
    publish(2);
    read_board();
}

static void abandon_board(void)
{
    fw2_board_refuse(board);
    fw2_board_abandon(board);
    read_board();
}

static void read_clients(void)
{
    fw2_clients_seen seen;
    int i, j;

    if (!fw2_clients_read(clients, &seen, scratch)) {
        return;
    }
    wrong += seen.over < 0;
    for (i = 0; i < FW2_CLIENT_LISTS; i++) {
        const fw2_client_top *top = &seen.top[i];

        wrong += !is_within(0, top->n, FW2_CLIENTS_MAX) || top->all < 0;
        for (j = 0; j < top->n; j++) {
            const fw2_client *client = &top->clients[j];

            wrong += !memchr(client->name, '\0', FW2_AGENT_SIZE)
                     || client->closed < 0 || client->left_open < 0
                     || client->silent < 0 || client->expired < 0
                     || client->before < 0;
        }
    }
}

static void use_clients(void)
{
    fw2_client_end end = { "agent/1", 0, FW2_ACKED, 1 };
    int i;

    read_clients();
    fw2_clients_begin(clients, scratch);
    for (i = 0; i < 300; i++) {
        end.net = i % 5 ? random_number() : FW2_NO_NET;
        end.ending = (fw2_ending)(i % FW2_ENDINGS);
        end.agent = i & 1 ? "agent/1" : "an agent";
        fw2_clients_ended(clients, &end, fw2_clock_now());
    }
    fw2_clients_publish(clients);
    read_clients();
}

static void read_history(apr_time_t now)
{
    static fw2_sample samples[FW2_HISTORY_MINUTES + 1];
    int i, ring, n;

    for (ring = 0; ring < 2; ring++) {
        n = ring ? fw2_history_day(history, now, samples)
                 : fw2_history_recent(history, now, samples);
        wrong += !is_within(
            0, n, ring ? FW2_HISTORY_MINUTES + 1 : FW2_HISTORY_RECENT);
        for (i = 0; i < n; i++) {
            wrong += samples[i].held < -1 || samples[i].orphan < -1
                     || samples[i].timewait < -1 || samples[i].closes < -1
                     || samples[i].severity < -1 || samples[i].interval < 0
                     || samples[i].time > now;
            if (i) {
                (void)fw2_history_follows(&samples[i], &samples[i - 1]);
                wrong += fw2_history_rate(&samples[i], &samples[i - 1]) > 9e18;
                wrong += samples[i].time <= samples[i - 1].time;
            }
        }
    }
}

static void use_history(void)
{
    apr_time_t now = apr_time_now();
    fw2_sample sample = { .interval = apr_time_from_sec(5) };
    int i;

    read_history(now);
    read_history(0);
    read_history(APR_INT64_MAX);
    for (i = -2; i <= 0; i++) {
        sample.time = now + i;
        sample.held = i;
        fw2_history_put(history, &sample);
    }
    read_history(now);
}

/* ----------------------------------------------------------- the report -- */

static void read_section(const fw2_section *section, const fw2_report *report)
{
    const fw2_metric *metric;
    int i, cell;

    for (i = 0; i < fw2_metrics_count(section, report); i++) {
        const void *element = fw2_metrics_element(section, report, i);

        for (metric = section->metrics; metric->key; metric++) {
            if (metric->kind == FW2_TEXT) {
                const char *text = fw2_metrics_text(metric, element);

                wrong += text && !memchr(text, '\0', 1000);
                continue;
            }
            for (cell = 0; cell < fw2_metrics_cells(metric); cell++) {
                wrong += fw2_metrics_number(metric, element, cell) < -1;
            }
            if (metric->kind == FW2_TIMES) {
                wrong += fw2_metrics_times(metric, element).sum < -1;
            }
        }
    }
}

static void use_report(void)
{
    static fw2_settings settings[1000];
    static fw2_policy policy = { .engine = 1, .timeout = FW2_TIMEOUT_SYSTEM };
    static const char *const names[ENDPOINTS] = { "*:80", "*:443", "*:8080" };
    static const fw2_queue none = { -1, -1 };
    const fw2_board *boards[] = { board, board };
    const fw2_sources sources = { 1,        &none,   boards,    2,
                                  1,        names,   ENDPOINTS, counters,
                                  settings, clients, history,   5 };
    const fw2_section *section;
    fw2_report report;

    settings[0].policy = &policy;
    memset(&report, 0, sizeof(report));
    report.server.version = report.server.httpd = "1.0";
    report.server.mpm = "event";
    fw2_report_last(&report, &sources, scratch);
    fw2_advice_give(&report, scratch);
    fw2_metrics_choose(&report, &sources, 2, scratch);
    read_section(fw2_metrics_section("vhosts"), &report);
    fw2_metrics_choose(&report, &sources, FW2_VHOSTS_ALL, scratch);
    for (section = fw2_sections; section->key; section++) {
        read_section(section, &report);
    }
    wrong += report.vhosts[0].flow.life < -1 || report.closer.held < 0;
}

/* ------------------------------------------------------------ the tests -- */

static void (*const uses[MAPPINGS])(void) = { use_counters, use_board,
                                              use_clients, use_history };

/* Use one room once, and check the bytes beside its memory. */
static void use(int which)
{
    use_report();
    uses[which]();
    use_report();
    apr_pool_clear(scratch);
    wrong += !is_untouched(&mappings[which]);
}

/* True if a content that was published after the damage is read. */
static int is_repaired(int which)
{
    fw2_sample samples[FW2_HISTORY_RECENT];
    fw2_clients_seen seen;
    apr_int64_t fallback;
    fw2_refusal why;
    int n;

    switch (which) {
    case BOARD:
        return fw2_board_last(board, scratch)->counts == 2
               && fw2_board_last(board, scratch)
                          ->count.tallies[ENDPOINTS - 1]
                          .backlog
                      == 2
               && fw2_board_rates(board, &fallback, scratch)[VHOSTS - 1].evicted
                      == 2
               && fallback == 2 && fw2_board_accepts(board, &why)
               && fw2_board_held(board, 1) == 1;
    case CLIENTS:
        return fw2_clients_read(clients, &seen, scratch)
               && seen.top[FW2_AGENTS].n > 0;
    case HISTORY:
        n = fw2_history_recent(history, apr_time_now(), samples);
        return n > 0 && samples[n - 1].held == 0;
    default:
        return 1;
    }
}

#define ROUNDS 6

static void test_fills(int which)
{
    mapping *m = &mappings[which];
    int fill, round, broken;

    for (fill = 0; fill < FILLS; fill++) {
        for (round = broken = wrong = 0; round < ROUNDS; round++) {
            fill_mapping(m, fill);
            use(which);
            broken += !is_repaired(which);
        }
        ok(!wrong, "%s: %s are read within bounds", m->name, fill_names[fill]);
        ok(!broken, "%s: a content written after %s is read", m->name,
           fill_names[fill]);
    }
}

static void test_forged(int which, void (*forge)(int fill))
{
    mapping *m = &mappings[which];
    int fill, round, broken;

    for (fill = 0; fill < FILLS; fill++) {
        for (round = broken = wrong = 0; round < ROUNDS; round++) {
            fill_mapping(m, ZEROS);
            forge(fill);
            use(which);
            broken += !is_repaired(which);
        }
        ok(!wrong, "%s: forged %s are read within bounds", m->name,
           fill_names[fill]);
        ok(!broken, "%s: a content written after forged %s is read", m->name,
           fill_names[fill]);
    }
}

static void grow_counters(void)
{
    enum { MORE = 80 };
    static const char *names[MORE] = { "a", "b", "c" };
    static fw2_vhost_id more[MORE];
    int i;

    for (i = 3; i < MORE; i++) {
        names[i] = apr_psprintf(pool, "more-%d", i);
    }
    wanted = &mappings[COUNTERS];
    if (fw2_counters_prepare(&counters, names, more, MORE, pool)
        != APR_SUCCESS) {
        bail_out("no counters");
    }
    wanted = NULL;
}

/* Let counters that grow inherit numbers of any kind. */
static void test_inherit(void)
{
    mapping former = mappings[COUNTERS];

    fill_mapping(&former, EDGES);
    grow_counters();
    note_mapping(&mappings[COUNTERS]);
    wrong = 0;
    fw2_counters_inherit(counters);
    wrong += !is_untouched(&former);
    read_counters();
    fw2_counters_unmap_former(counters);
    ok(!find_mapping(&former), "damaged old counters are unmapped, "
                               "whatever is written there");
    free(former.copy);
    read_counters();
    is_int(wrong, 0, "inherited numbers of damaged counters are within bounds");
}

/* Write everywhere without a pause: single words, and sometimes whole contents. */
static int scribble_forever(void *data)
{
    static void (*const forges[])(int) = { forge_board, forge_clients,
                                           forge_history };
    int i;

    for (i = 0;; i++) {
        mapping *m = &mappings[random_number() % MAPPINGS];
        size_t words = (size_t)(m->end - m->begin) / sizeof(fw2_shared);

        fw2_sync_write((fw2_shared *)m->begin + random_number() % words,
                       word_of((int)(random_number() % FILLS)));
        if (i % 1000 == 0) {
            forges[i / 1000 % 3]((int)(random_number() % FILLS));
        }
        fw2_sync_add(data, 1);
    }
    return 0;
}

static void test_beside(void)
{
    fw2_shared *written = shared_memory(sizeof(*written));
    pid_t pid = child_start(scribble_forever, written);
    apr_uint64_t before;
    int round, which;

    ok(wait_until(written, 1), "another process scribbles without a pause");
    before = fw2_sync_read(written);
    wrong = 0;
    for (round = 0;
         round < 100
         || (round < 3000 && fw2_sync_read(written) < before + 100000);
         round++) {
        for (which = 0; which < MAPPINGS; which++) {
            uses[which]();
            abandon_board();
            use_report();
            apr_pool_clear(scratch);
        }
    }
    child_kill(pid);
    is_int(wrong, 0, "numbers are read within bounds from memory that changes");
}

static void test_end(void)
{
    int i, mapped = 0;

    for (i = 0; i < MAPPINGS; i++) {
        fill_mapping(&mappings[i], BYTES);
    }
    apr_pool_destroy(pool);
    for (i = 0; i < MAPPINGS; i++) {
        mapped += find_mapping(&mappings[i]);
        free(mappings[i].copy);
    }
    is_int(mapped, 0, "APR unmaps damaged memory");
}

int main(void)
{
    int i;

    apr_initialize();
    alarm(60);
    apr_pool_create(&pool, NULL);
    apr_pool_create(&scratch, NULL);
    test_create();
    test_layouts();
    for (i = 0; i < MAPPINGS; i++) {
        test_fills(i);
    }
    test_forged(BOARD, forge_board);
    test_forged(CLIENTS, forge_clients);
    test_forged(HISTORY, forge_history);
    test_beside();
    test_inherit();
    test_end();
    apr_pool_destroy(scratch);
    apr_terminate();
    return done_testing();
}
