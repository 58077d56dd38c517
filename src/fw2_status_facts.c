/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The parts of the page for people that answer how long, and how near. */

#include "fw2_status_impl.h"

#include "apr_strings.h"
#include "http_protocol.h"

/* ---------------------------------------------------------- how long ---- */

/* `up to 5 s`; the last class is above the last bound. */
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
        ap_rprintf(r,
                   "<tr><th scope=row>%s<i style=\"width:%d%%\"></i></th>"
                   "<td%s>%" APR_INT64_T_FMT "</td></tr>\n",
                   class_text(r->pool, i), (int)(100 * left->n[i] / most),
                   left->n[i] ? "" : " class=zero", left->n[i]);
    }
    ap_rputs("</tbody></table>\n", r);
}

/* How long it takes the closer to let go of the last that it holds, at most,
 * and how long that one will live as an orphan. */
static apr_interval_time_t longest_held(const fw2_report *report)
{
    apr_interval_time_t longest = 0;
    int i;

    for (i = 0; i < report->nvhosts; i++) {
        const fw2_vhost_report *vhost = &report->vhosts[i];
        const fw2_policy *policy = vhost->settings->policy;

        if (policy && vhost->totals.held > 0) {
            apr_interval_time_t life =
                policy->linger_total + (vhost->life > 0 ? vhost->life : 0);

            longest = life > longest ? life : longest;
        }
    }
    return longest;
}

/* Whether nobody can tell when the last will be gone: full sockets in
 * FIN_WAIT_2 tell only a part of their time, on some httpd lingers itself, and
 * with FinWait2UserTimeout a reader may take as long as it likes. */
static int has_open_end(const fw2_report *report)
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

        if (vhost->totals.held > 0
            && (!policy || policy->user_timeout != FW2_USER_TIMEOUT_SYSTEM)) {
            return 1;
        }
    }
    return report->half_closed.held > report->closer.held;
}

void fw2_write_last(request_rec *r, const fw2_report *report)
{
    apr_interval_time_t held = longest_held(report);
    apr_interval_time_t left = report->remaining.longest - report->snapshot.age;
    int open_end = has_open_end(report);
    const char *when = open_end ? "not before" : "at";
    apr_size_t length;
    apr_time_exp_t at;
    char text[16] = "";

    if (held > left && !open_end) {
        left = held;
        when = "at the latest at";
    }
    if (report->half_closed.total <= 0 || left <= 0) {
        return;
    }
    apr_time_exp_lt(&at, apr_time_now() + left);
    apr_strftime(text, &length, sizeof(text), "%H:%M:%S", &at);
    ap_rprintf(r,
               "<p>If nothing new closed now, the last of them would be gone "
               "%s <strong>%s</strong>%s.</p>\n",
               when, text,
               report->remaining.unbounded > 0
                   ? ", but for those that wait for an acknowledgement"
                   : "");
}

/* Of those whose end nobody can foretell. */
static void write_endless(request_rec *r, apr_int64_t n, const char *why)
{
    if (n > 0) {
        ap_rprintf(r, "<p><small>%" APR_INT64_T_FMT " more %s</small></p>\n", n,
                   why);
    }
}

/* Those in the closers' hands, whose time as orphans has not begun. */
static void write_held(request_rec *r, const fw2_report *report)
{
    if (report->closer.held > 0) {
        ap_rprintf(r,
                   "<p><small>%" APR_INT64_T_FMT " more are held. The closers "
                   "let go of each when its linger is over",
                   report->closer.held);
        if (!has_open_end(report)) {
            ap_rprintf(r,
                       ", and the last of them is gone in %" APR_TIME_T_FMT
                       " s at the latest",
                       apr_time_sec(longest_held(report)));
        }
        ap_rputs(".</small></p>\n", r);
    }
}

void fw2_write_remaining(request_rec *r, const fw2_report *report)
{
    const fw2_left *left = &report->remaining;

    if (report->half_closed.orphan <= 0 && report->closer.held <= 0) {
        return;
    }
    ap_rputs("<h2>How long they will live</h2>\n<div class=card>\n", r);
    if (left->longest > 0) {
        write_classes(r, left);
    }
    write_held(r, report);
    write_endless(r, left->unbounded,
                  "wait for their clients to acknowledge the last bytes. Only "
                  "FinWait2UserTimeout ends those of a client that never "
                  "does.");
    write_endless(r, left->unknown, "do not show their time.");
    ap_rputs("</div>\n", r);
}

/* ---------------------------------------------------------- how near ---- */

/* Something that there may be no more of. */
typedef struct {
    const char *what;
    const char *means;
    apr_size_t used, limit; /* offsets in fw2_report, of numbers */
    int near;               /* percent from which it is one's business */
} reach;

#define LIMIT(field) APR_OFFSETOF(fw2_report, field)

static const reach reaches[] = {
    { "Mini-sockets",
      "Orphans in FIN_WAIT_2 and TIME_WAIT together. Above the limit "
      "(net.ipv4.tcp_max_tw_buckets) connections vanish.",
      LIMIT(limits.timewait), LIMIT(limits.tcp_max_tw_buckets), 80 },
    { "Orphans that are full sockets",
      "Of the whole machine; FIN_WAIT_2 is mostly not among them. From a "
      "quarter of the limit (net.ipv4.tcp_max_orphans) on, some are reset.",
      LIMIT(limits.orphans), LIMIT(limits.tcp_max_orphans), 25 },
    { "Memory of TCP, in pages",
      "Of the whole machine. At the limit (net.ipv4.tcp_mem) connections are "
      "reset.",
      LIMIT(limits.mem_pages), LIMIT(limits.tcp_mem_max), 80 },
    { "Places of the closers",
      "Connections that httpd lingers on. With none left, the one that was "
      "held longest is let go (FinWait2LingerSlots).",
      LIMIT(closer.held), LIMIT(closer.capacity), 50 },
    { "Descriptors of the child that counted",
      "With none left, it accepts no connection (ulimit -n).",
      LIMIT(descriptors.open), LIMIT(descriptors.limit), 80 },
};

static apr_int64_t number_at(const fw2_report *report, apr_size_t offset)
{
    return *(const apr_int64_t *)((const char *)report + offset);
}

/* Why the number at this offset is not known. */
static const char *why_unknown(apr_size_t offset)
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
    return "there is no limit";
}

static void write_reach(request_rec *r, const fw2_report *report,
                        const reach *at)
{
    apr_int64_t used = number_at(report, at->used);
    apr_int64_t limit = number_at(report, at->limit);

    ap_rprintf(r, "<tr><th scope=row>%s<small>%s</small></th>", at->what,
               at->means);
    if (used == FW2_UNKNOWN || limit <= 0) {
        ap_rprintf(r, "<td>&ndash;<small>%s</small></td></tr>\n",
                   why_unknown(used == FW2_UNKNOWN ? at->used : at->limit));
        return;
    }
    ap_rprintf(r,
               "<td>%" APR_INT64_T_FMT " of %" APR_INT64_T_FMT
               "<br><meter aria-label=\"%s\" max=100 high=%d optimum=0 "
               "value=%d>%d&nbsp;%%</meter></td></tr>\n",
               used, limit, at->what, at->near, (int)(100 * used / limit),
               (int)(100 * used / limit));
}

/* What is lost where there is no room left: a counter of the system's. */
typedef struct {
    const char *what;
    const char *means;
    apr_size_t offset; /* in fw2_limits */
} loss;

static const loss losses[] = {
    { "Mini-sockets", "that could not be made: the connection vanished.",
      APR_OFFSETOF(fw2_limits, timewait_overflow) },
    { "Full accept queues", "found by a new connection, of any program here.",
      APR_OFFSETOF(fw2_limits, listen_overflows) },
    { "Connections not accepted", "for that or any other reason.",
      APR_OFFSETOF(fw2_limits, listen_drops) },
    { "Connections reset", "for want of memory, or for too many orphans.",
      APR_OFFSETOF(fw2_limits, aborts_on_memory) },
};

static void write_loss(request_rec *r, const fw2_report *report, const loss *of)
{
    apr_int64_t now =
        *(const apr_int64_t *)((const char *)&report->limits + of->offset);
    apr_int64_t then =
        *(const apr_int64_t *)((const char *)&report->before + of->offset);
    apr_int64_t late = fw2_per_minute(now, then, report->over);

    ap_rprintf(r, "<tr><th scope=row>%s<small>%s</small></th>", of->what,
               of->means);
    fw2_write_count(r, now < 0 ? FW2_UNKNOWN : late);
    fw2_write_count(r, now);
    ap_rputs("</tr>\n", r);
}

void fw2_write_losses(request_rec *r, const fw2_report *report)
{
    apr_size_t i;

    ap_rputs("<h2>What was lost</h2>\n<div class=card><table class=facts>"
             "<thead><tr><th scope=col>Of the whole system</th>"
             "<th scope=col>a minute, of late</th><th scope=col>since it "
             "started</th></tr></thead>\n<tbody>",
             r);
    for (i = 0; i < sizeof(losses) / sizeof(losses[0]); i++) {
        write_loss(r, report, &losses[i]);
    }
    ap_rputs("</tbody></table></div>\n", r);
}

void fw2_write_reaches(request_rec *r, const fw2_report *report)
{
    apr_size_t i;

    ap_rputs("<h2>How near to a limit</h2>\n<div class=card>"
             "<table class=facts><tbody>\n",
             r);
    for (i = 0; i < sizeof(reaches) / sizeof(reaches[0]); i++) {
        write_reach(r, report, &reaches[i]);
    }
    ap_rputs("</tbody></table></div>\n", r);
}
