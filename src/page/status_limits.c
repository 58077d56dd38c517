/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The parts of the HTML page on the time left, the limits, the losses, and all
 * figures. */

#include "page/status_impl.h"

#include "apr_strings.h"
#include "http_protocol.h"

#include "page/text.h"

/* ----------------------------------------------------------- time left -- */

/* Return `up to 5 s`, or `over 60 s` for the last class. */
static const char *class_text(apr_pool_t *pool, int i)
{
    apr_int64_t bound =
        fw2_left_bounds[i < FW2_LEFT_BOUNDS ? i : FW2_LEFT_BOUNDS - 1];

    return apr_psprintf(pool, "%s %d s", i < FW2_LEFT_BOUNDS ? "up to" : "over",
                        (int)apr_time_sec(bound));
}

static void write_classes(request_rec *r, const fw2_left *left)
{
    apr_int64_t most = 1;
    int i;

    for (i = 0; i <= FW2_LEFT_BOUNDS; i++) {
        most = left->n[i] > most ? left->n[i] : most;
    }
    ap_rputs("<table class=bars><thead><tr><th scope=col>Time left</th>"
             "<th scope=col>orphans</th></tr></thead>\n<tbody>",
             r);
    for (i = 0; i <= FW2_LEFT_BOUNDS; i++) {
        if (!left->n[i]) {
            continue;
        }
        ap_rprintf(r, "<tr><th scope=row>%s<i style=\"width:%d%%\"></i></th>",
                   class_text(r->pool, i), (int)(100 * left->n[i] / most));
        fw2_write_count(r, "", left->n[i]);
        ap_rputs("</tr>\n", r);
    }
    ap_rputs("</tbody></table>\n", r);
}

/* Return the longest time until the last connection that the closer holds now
 * is gone: its linger, and its life as an orphan. */
static apr_interval_time_t longest_held(const fw2_report *report)
{
    apr_interval_time_t longest = 0;
    int i;

    for (i = 0; i < report->nvhosts; i++) {
        const fw2_vhost_report *vhost = &report->vhosts[i];

        if (vhost->settings->policy && vhost->held > 0) {
            apr_interval_time_t life =
                vhost->settings->linger
                + (vhost->flow.life > 0 ? vhost->flow.life : 0);

            longest = life > longest ? life : longest;
        }
    }
    return longest;
}

/* True if the time when the last connection will be gone has no known upper
 * bound: the kernel shows only a part of the time of full sockets in
 * FIN_WAIT_2; httpd lingers itself; a client has not acknowledged all data yet,
 * or may take any time with FinWait2UserTimeout; a section has times of its own;
 * or the count is not complete. */
static int is_unbounded(const fw2_report *report)
{
    int i;

    for (i = 0; i < report->nlisteners; i++) {
        if (report->listeners[i].tally.n[FW2_FIN_WAIT2][FW2_KERNEL] > 0) {
            return 1;
        }
    }
    for (i = 0; i < report->nvhosts; i++) {
        const fw2_vhost_report *vhost = &report->vhosts[i];
        const fw2_policy *policy = vhost->settings->policy;

        if (vhost->held > 0
            && (!policy || vhost->settings->varies
                || policy->user_timeout != FW2_USER_TIMEOUT_SYSTEM)) {
            return 1;
        }
    }
    return report->half_closed.held > report->closer.held
           || report->undelivered.sockets[FW2_PROCESS] > 0
           || !report->snapshot.complete;
}

void fw2_write_last(request_rec *r, const fw2_report *report)
{
    apr_interval_time_t held = longest_held(report);
    apr_interval_time_t left = report->remaining.longest - report->snapshot.age;
    int unbounded = is_unbounded(report);
    const char *when = unbounded ? "not before" : "at";

    if (held > left && !unbounded) {
        left = held;
        when = "at the latest at";
    }
    if (report->half_closed.total <= 0 || left <= 0) {
        return;
    }
    ap_rprintf(r,
               "<p>If nothing new closes: gone %s "
               "<strong>%s</strong>%s.</p>\n",
               when, fw2_clock_text(r->pool, apr_time_now() + left, "%H:%M:%S"),
               report->remaining.unbounded > 0
                   ? ", except those that wait for an acknowledgement"
                   : "");
}

/* Write a number of orphans whose time left is not known, unless it is 0. */
static void write_unknown(request_rec *r, const char *words, apr_int64_t n,
                          const char *effect)
{
    if (n > 0) {
        ap_rprintf(r, "<p><small>%s: %s.%s</small></p>\n", words,
                   fw2_text_number(r->pool, n), effect);
    }
}

/* Write the connections that are held, which are not orphans yet. */
static void write_held(request_rec *r, const fw2_report *report)
{
    if (report->closer.held <= 0) {
        return;
    }
    ap_rprintf(r,
               "<p><small>Held by the closer: %s. Each is closed when its "
               "linger is over",
               fw2_text_number(r->pool, report->closer.held));
    if (!is_unbounded(report)) {
        ap_rprintf(r, ", and the last of them is gone in %s at the latest",
                   fw2_text_time(r->pool, longest_held(report)));
    }
    ap_rputs(".</small></p>\n", r);
}

void fw2_write_remaining(request_rec *r, const fw2_report *report)
{
    const fw2_left *left = &report->remaining;

    if (report->half_closed.orphan <= 0 && report->closer.held <= 0) {
        return;
    }
    ap_rputs("<section id=remaining class=card><h2>Time left</h2>\n", r);
    if (left->longest > 0) {
        write_classes(r, left);
    }
    write_held(r, report);
    write_unknown(r, "Orphans that wait for the client's last acknowledgement",
                  left->unbounded,
                  " If a client never acknowledges, only FinWait2UserTimeout "
                  "ends its connection.");
    write_unknown(r, "Orphans whose time left the kernel does not show",
                  left->unknown, "");
    ap_rputs("</section>\n", r);
}

/* -------------------------------------------------------------- limits -- */

/* A limit on the page: that of a rule. */
static const struct {
    const char *rule, *name, *meaning;
    const char *unlimited; /* the state if there is no limit; NULL: there always
                              is one */
} limit_rows[] = {
    { "timewait-full", "Mini-sockets",
      "TIME_WAIT and orphans in FIN_WAIT_2 together. Above the limit "
      "(net.ipv4.tcp_max_tw_buckets) connections vanish.",
      NULL },
    { "orphans-full", "Orphans that are full sockets",
      "On the whole machine; most orphans in FIN_WAIT_2 are mini-sockets. "
      "Above a quarter of the limit (net.ipv4.tcp_max_orphans) some are "
      "reset.",
      NULL },
    { "tcp-mem", "Memory of TCP's buffers, in pages",
      "On the whole machine. At the limit (net.ipv4.tcp_mem) connections are "
      "reset.",
      NULL },
    { "closer-full", "Slots of the closer process",
      "Connections that it holds. Without a free slot, the connection held "
      "longest is closed (FinWait2LingerSlots).",
      "the closer process does not run, or cannot linger" },
    { "descriptors", "Descriptors of the closer process",
      "Without a free descriptor, the connection held longest is closed.",
      "the system sets no limit, or does not show it" },
};

/* Return the reason why the number at an offset is not known. */
static const char *unknown_reason(apr_size_t offset)
{
    const fw2_section *section;
    const fw2_metric *metric;

    for (section = fw2_sections; section->key; section++) {
        for (metric = section->metrics; metric->key; metric++) {
            if (!section->label && metric->offset == offset
                && metric->unknown) {
                return metric->unknown;
            }
        }
    }
    return "there is none";
}

/* Write the heading of a row. */
static void write_heading(request_rec *r, const char *name, const char *meaning)
{
    ap_rprintf(r, "<tr><th scope=row>%s<small>%s</small></th>", name, meaning);
}

/* Write the use of the limit of a rule, drawn with the rule's thresholds. */
static void write_limit(request_rec *r, const fw2_report *report,
                        const fw2_rule *rule, const char *name,
                        const char *unlimited)
{
    apr_int64_t used = fw2_report_number(report, rule->used);
    apr_int64_t limit = fw2_report_number(report, rule->limit);

    if (used == FW2_UNKNOWN || limit <= 0) {
        const char *reason =
            used != FW2_UNKNOWN && unlimited
                ? unlimited
                : unknown_reason(used == FW2_UNKNOWN ? rule->used
                                                     : rule->limit);

        ap_rprintf(r, "<td>&ndash;<small>%s</small></td></tr>\n", reason);
        return;
    }
    ap_rprintf(
        r,
        "<td>%s of %s%s<br><meter aria-label=\"%s\" max=100 low=%d high=%d "
        "optimum=0 value=%d></meter></td></tr>\n",
        fw2_text_number(r->pool, used), fw2_text_number(r->pool, limit),
        fw2_share_html(r->pool, used, limit), name,
        (int)rule->thresholds[FW2_WATCH], (int)rule->thresholds[FW2_DANGER],
        (int)fw2_report_share(used, limit));
}

#define REPORT(member) APR_OFFSETOF(fw2_report, member)

/* A counter of the system for connections lost because a limit was reached. */
static const struct {
    const char *name, *meaning;
    apr_size_t recent, total; /* offsets in fw2_report */
} loss_rows[] = {
    { "Vanished connections", "No mini-socket was free.",
      REPORT(minute.timewait_overflows), REPORT(limits.timewait_overflow) },
    { "Overflows of accept queues",
      "A new connection found the accept queue of a program here full.",
      REPORT(minute.listen_overflows), REPORT(limits.listen_overflows) },
    { "Connections not accepted",
      "An accept queue was full, or there was another reason.",
      REPORT(minute.listen_drops), REPORT(limits.listen_drops) },
    { "Connections reset", "The kernel had no memory, or too many orphans.",
      REPORT(minute.memory_aborts), REPORT(limits.aborts_on_memory) },
};

#define LOSSES (sizeof(loss_rows) / sizeof(loss_rows[0]))

/* True if all counters of losses are known and 0. */
static int has_no_losses(const fw2_report *report)
{
    apr_size_t i = 0;

    while (i < LOSSES && !fw2_report_number(report, loss_rows[i].total)) {
        i++;
    }
    return i == LOSSES;
}

void fw2_write_losses(request_rec *r, const fw2_report *report)
{
    apr_size_t i;

    ap_rputs("<section id=losses class=card><h2>Losses of the whole system</h2>"
             "\n",
             r);
    if (has_no_losses(report)) {
        ap_rputs("<p>None since the system started: a mini-socket was always "
                 "free, no accept queue was full, no connection was reset "
                 "because of memory.</p></section>\n",
                 r);
        return;
    }
    ap_rputs("<table class=facts><thead><tr><th scope=col>Loss</th>"
             "<th scope=col>last minute</th><th scope=col>total</th>"
             "</tr></thead>\n<tbody>",
             r);
    for (i = 0; i < LOSSES; i++) {
        write_heading(r, loss_rows[i].name, loss_rows[i].meaning);
        fw2_write_count(r, "", fw2_report_number(report, loss_rows[i].recent));
        fw2_write_count(r, "", fw2_report_number(report, loss_rows[i].total));
        ap_rputs("</tr>\n", r);
    }
    ap_rputs("</tbody></table></section>\n", r);
}

void fw2_write_limits(request_rec *r, const fw2_report *report)
{
    apr_size_t i;

    ap_rputs("<section id=limits class=card><h2>Limits</h2>\n"
             "<table class=facts><tbody>\n",
             r);
    for (i = 0; i < sizeof(limit_rows) / sizeof(limit_rows[0]); i++) {
        const fw2_rule *rule = fw2_advice_rule_named(limit_rows[i].rule);

        if (report->closer.wanted || rule->limit != REPORT(closer.capacity)) {
            write_heading(r, limit_rows[i].name, limit_rows[i].meaning);
            write_limit(r, report, rule, limit_rows[i].name,
                        limit_rows[i].unlimited);
        }
    }
    ap_rputs("</tbody></table></section>\n", r);
}

/* --------------------------------------------------------- all figures --- */

static const char *number_html(request_rec *r, const fw2_metric *metric,
                               apr_int64_t number)
{
    if (number == FW2_UNKNOWN) {
        return "&ndash;";
    }
    if (metric->kind == FW2_FLAG) {
        return number ? "yes" : "no";
    }
    return metric->kind == FW2_SECONDS ? fw2_seconds_text(r->pool, number)
                                       : fw2_text_number(r->pool, number);
}

/* Return the value of a metric; with a dimension, the numbers along it, each
 * with its name. */
static const char *numbers_html(request_rec *r, const fw2_metric *metric,
                                const void *element)
{
    const fw2_dim *dim = metric->dims[0];
    const char *html = "";
    int i;

    if (metric->kind == FW2_TEXT) {
        const char *text = fw2_metrics_text(metric, element);

        return text ? ap_escape_html(r->pool, text) : "&ndash;";
    }
    if (!dim) {
        return number_html(r, metric, fw2_metrics_number(metric, element, 0));
    }
    for (i = 0; i < dim->n; i++) {
        html = apr_pstrcat(
            r->pool, html, i ? "<br>" : "", fw2_metrics_name(dim, i), "&nbsp;",
            number_html(r, metric, fw2_metrics_number(metric, element, i)),
            NULL);
    }
    return html;
}

/* Write a metric as a row: its key, its help text, the reason if it is not
 * known, its value. */
static void write_fact(request_rec *r, const fw2_metric *metric,
                       const void *element)
{
    const char *unknown = "";

    if (metric->kind == FW2_TIMES) {
        return;
    }
    if (metric->kind != FW2_TEXT && metric->unknown
        && fw2_metrics_number(metric, element, 0) == FW2_UNKNOWN) {
        unknown =
            apr_pstrcat(r->pool, " Not known: ", metric->unknown, ".", NULL);
    }
    ap_rprintf(r,
               "<tr><th scope=row>%s<small>%s.%s</small></th><td>%s</td>"
               "</tr>\n",
               metric->key, metric->help, unknown,
               numbers_html(r, metric, element));
}

void fw2_write_element(request_rec *r, const char *title,
                       const fw2_section *section, const void *element)
{
    const fw2_metric *metric;

    ap_rprintf(r,
               "<div class=card><table class=facts><caption>%s</caption>"
               "<tbody>\n",
               ap_escape_html(r->pool, title));
    for (metric = section->metrics; metric->key; metric++) {
        write_fact(r, metric, element);
    }
    ap_rputs("</tbody></table></div>\n", r);
}
