/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The choice of the virtual hosts that are written. */

#include "base/clamp.h"
#include "page/metrics.h"

#include <string.h>

#define OTHER "other"

/* The number of orders of magnitude, which are powers of two. */
#define MAGNITUDES 64

/* Return the number of a virtual host's sockets that closer processes hold.
 * Boards with another layout are left out: they number the virtual hosts in
 * another way. */
static apr_int64_t held_of(const fw2_sources *sources, fw2_vhost_id vhost)
{
    int layout = fw2_counters_layout(sources->counters), i;
    apr_int64_t held = 0;

    for (i = 0; i < sources->nboards; i++) {
        held += fw2_board_layout(sources->boards[i]) == layout
                    ? fw2_board_held(sources->boards[i], vhost)
                    : 0;
    }
    return held;
}

static void read_vhost(const fw2_report *report, const fw2_sources *sources,
                       int i, fw2_vhost_report *vhost)
{
    fw2_counters_vhost(sources->counters, (fw2_vhost_id)i, &vhost->totals);
    vhost->counters = sources->counters;
    vhost->id = (fw2_vhost_id)i;
    vhost->held = held_of(sources, (fw2_vhost_id)i);
    vhost->rates = report->all.rates[i];
    vhost->settings = &report->all.settings[i];
    vhost->flow = report->all.flows[i];
}

/* Return the order of magnitude of a virtual host's number of connections; -1
 * if it must not be chosen, because its name is that of the sum. */
static int magnitude_of(const fw2_report *report, const fw2_sources *sources,
                        int i)
{
    apr_int64_t n = fw2_counters_ends(sources->counters, (fw2_vhost_id)i);
    int magnitude = 0;

    if (!strcmp(report->all.names[i], OTHER)) {
        return -1;
    }
    for (; n > 0; n >>= 1) {
        magnitude++;
    }
    return magnitude;
}

/* Return the magnitudes of all virtual hosts, read once, as children go on
 * counting. */
static const signed char *magnitudes_of(const fw2_report *report,
                                        const fw2_sources *sources,
                                        apr_pool_t *pool)
{
    signed char *magnitudes = apr_palloc(pool, (apr_size_t)report->all.n);
    int i;

    for (i = 0; i < report->all.n; i++) {
        magnitudes[i] = (signed char)magnitude_of(report, sources, i);
    }
    return magnitudes;
}

/* Return the least magnitude of the virtual hosts that are chosen, and reduce
 * `most` to the number to choose of that magnitude. */
static int least_chosen(const signed char *magnitudes, int all,
                        apr_int64_t *most)
{
    apr_int64_t n[MAGNITUDES] = { 0 };
    int magnitude = MAGNITUDES - 1, i;

    for (i = 0; i < all; i++) {
        n[magnitudes[i] < 0 ? 0 : magnitudes[i]] += magnitudes[i] >= 0;
    }
    while (magnitude > 0 && n[magnitude] <= *most) {
        *most -= n[magnitude--];
    }
    return magnitude;
}

/* Add all metrics of a virtual host to a sum. */
static void add_vhost(fw2_vhost_report *sum, const fw2_metric *metric,
                      const fw2_vhost_report *vhost)
{
    int i, n;

    for (; metric->key; metric++) {
        apr_int64_t *to = (apr_int64_t *)((char *)sum + metric->offset);
        const apr_int64_t *from =
            (const apr_int64_t *)((const char *)vhost + metric->offset);

        n = metric->scale ? metric->scale->n + 2 : fw2_metrics_cells(metric);
        for (i = 0; i < n; i++) {
            fw2_clamp_add(&to[i], from[i]);
        }
    }
}

/* Choose the busiest virtual hosts, and sum up all others. */
static void choose_busiest(fw2_report *report, const fw2_sources *sources,
                           apr_int64_t most, apr_pool_t *pool)
{
    const fw2_metric *metrics = fw2_metrics_section("vhosts")->metrics;
    const signed char *magnitudes = magnitudes_of(report, sources, pool);
    fw2_vhost_report other = { .totals = { .vhost = OTHER },
                               .flow = { .expected = FW2_UNKNOWN } };
    int least = least_chosen(magnitudes, report->all.n, &most), i;

    for (i = 0; i < report->all.n; i++) {
        fw2_vhost_report *next = &report->vhosts[report->nvhosts];

        read_vhost(report, sources, i, next);
        if (magnitudes[i] > least || (magnitudes[i] == least && most-- > 0)) {
            report->nvhosts++;
        }
        else {
            add_vhost(&other, metrics, next);
        }
    }
    report->vhosts[report->nvhosts++] = other;
}

void fw2_metrics_choose(fw2_report *report, const fw2_sources *sources,
                        apr_int64_t most, apr_pool_t *pool)
{
    int i, n = report->all.n;

    report->nvhosts = 0;
    if (most == FW2_VHOSTS_OFF) {
        return;
    }
    report->vhosts = apr_palloc(pool, (apr_size_t)(most < n ? most + 1 : n)
                                          * sizeof(*report->vhosts));
    if (most < n) {
        choose_busiest(report, sources, most, pool);
        return;
    }
    for (i = 0; i < n; i++) {
        read_vhost(report, sources, i, &report->vhosts[i]);
    }
    report->nvhosts = n;
}
