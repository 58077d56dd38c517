/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The history as two pictures, in SVG: who holds how many half-closed
 * connections, and below it, on a scale of its own, how many connections end a
 * second. Drawn for a phone, where 400 units are 330 pixels, and no script.
 * What is drawn is said as well, in the picture's description.
 */

#include "fw2_status_impl.h"

#include "apr_strings.h"
#include "http_protocol.h"

/* The plot: so many columns of two units, right of the scale's numbers. Of the
 * samples of one column, the highest is drawn. */
#define COLUMNS 180
#define LEFT    38
#define RIGHT   (LEFT + 2 * COLUMNS)
#define WIDTH   400

/* From where on numbers are in thousands. */
#define IN_FULL  1e6
#define IN_SHORT 1e4

/* A part of the picture with a scale of its own; y grows downwards. */
typedef struct {
    int top, bottom;
    double highest; /* what is at the top */
} fw2_panel;

enum { ORPHAN, HELD, CLOSES, SERIES };

/* A line; below 0 is unknown. */
typedef struct {
    double column[COLUMNS];
    double now, peak;
    apr_time_t peak_at;
} fw2_series;

/* A picture's content. */
typedef struct {
    apr_time_t from, to;
    apr_time_t first;           /* the first sample's */
    int gaps;                   /* columns that are broken */
    int taken[COLUMNS];         /* there is a sample */
    int broken[COLUMNS];        /* none came for a while before */
    apr_time_t marked[COLUMNS]; /* a mark's time, or 0 */
    apr_uint64_t marks[COLUMNS];
    int restarts, changes;
    fw2_series series[SERIES];
    fw2_panel upper, lower;
    apr_int64_t limit; /* of orphans, where it is within reach; or 0 */
} fw2_view;

/* How each line is called, where it is drawn and where it is spoken of. */
static const struct {
    const char *style, *key, *words;
} names[SERIES] = {
    [ORPHAN] = { "orphan", "orphans", "Orphans, which the kernel keeps" },
    [HELD] = { "held", "held by httpd", "Held by httpd" },
    [CLOSES] = { "closes", "closes a second", "Closes a second" },
};

const char fw2_picture_style[] =
    ":root{--orphan:#0b62c4;--held:#b1440b;--closes:#4c5a6b}\n"
    "@media(prefers-color-scheme:dark){:root{--orphan:#6fb1ff;"
    "--held:#ffb07a;--closes:#a9b6c6}}\n"
    "figure{margin:0}figcaption{font-weight:600}\n"
    ".picture svg{display:block;width:100%;max-width:36rem;height:auto;"
    "margin:.5rem auto 0;overflow:visible}\n"
    ".picture text{font-size:14px;fill:var(--soft);"
    "font-variant-numeric:tabular-nums;paint-order:stroke;"
    "stroke:var(--card);stroke-width:3px}\n"
    ".picture .key{fill:var(--ink)}\n"
    ".picture path{fill:none;stroke-linejoin:round;stroke-linecap:round}\n"
    ".picture .grid{stroke:var(--line)}\n"
    ".picture .axis{stroke:var(--soft)}\n"
    ".picture .line{stroke-width:2}\n"
    ".picture .orphan{stroke:var(--orphan)}\n"
    ".picture .held{stroke:var(--held);stroke-dasharray:5 4}\n"
    ".picture .closes{stroke:var(--closes);stroke-width:1.5}\n"
    ".picture .area{stroke:none;fill:var(--orphan);opacity:.18}\n"
    ".picture .held.area{fill:var(--held)}\n"
    ".picture .closes.area{fill:var(--closes)}\n"
    ".picture .limit{stroke:var(--warn);stroke-dasharray:9 3 2 3}\n"
    ".picture .mark{stroke:var(--soft);stroke-dasharray:1 3}\n"
    ".picture .flag{stroke:var(--ink);fill:var(--card)}\n"
    ".picture .changed{fill:var(--ink)}\n";

/* -------------------------------------------------------------- content -- */

static int column_of(const fw2_view *view, apr_time_t time)
{
    apr_int64_t column =
        (time - view->from) * COLUMNS / (view->to - view->from);

    return column < COLUMNS ? (int)column : COLUMNS - 1;
}

static void add_value(fw2_series *series, int column, double value,
                      apr_time_t time)
{
    if (value > series->column[column]) {
        series->column[column] = value;
    }
    if (value > series->peak) {
        series->peak = value;
        series->peak_at = time;
    }
    series->now = value;
}

/* `before` is the sample before, or NULL. */
static void add_sample(fw2_view *view, const fw2_sample *sample,
                       const fw2_sample *before)
{
    int column = column_of(view, sample->time);

    if (!before) {
        view->first = sample->time;
    }
    if (!view->taken[column]) {
        view->broken[column] = !before || !fw2_sample_follows(sample, before);
        view->gaps += view->broken[column];
    }
    view->taken[column] = 1;
    if (sample->marks) {
        view->marked[column] = sample->time;
        view->marks[column] |= sample->marks;
        view->restarts += (sample->marks & FW2_MARK_RESTART) != 0;
        view->changes += (sample->marks & FW2_MARK_CONFIG) != 0;
    }
    add_value(&view->series[ORPHAN], column, (double)sample->orphan,
              sample->time);
    add_value(&view->series[HELD], column, (double)sample->held, sample->time);
    add_value(&view->series[CLOSES], column,
              before ? fw2_sample_rate(sample, before) : -1, sample->time);
}

static void begin_view(fw2_view *view, apr_time_t now, apr_time_t span)
{
    int i, column;

    memset(view, 0, sizeof(*view));
    view->from = now - span;
    view->to = now;
    for (i = 0; i < SERIES; i++) {
        for (column = 0; column < COLUMNS; column++) {
            view->series[i].column[column] = -1;
        }
        view->series[i].now = view->series[i].peak = -1;
    }
}

/* What an axis ends with, so that half of it is a round number, too. */
static double round_top(double peak, double least)
{
    static const double steps[] = { 1, 2, 4, 6, 8 };
    double unit = least / 2;
    int i = 1;

    while (unit * steps[i] < peak) {
        if (++i == sizeof(steps) / sizeof(steps[0])) {
            i = 0;
            unit *= 10;
        }
    }
    return unit * steps[i];
}

/* Samples are in the order of time, and before the first is nothing. */
static void end_view(fw2_view *view, const fw2_sample *last,
                     apr_int64_t max_timewait)
{
    double peak = view->series[ORPHAN].peak;
    int i;

    for (i = 0; i < SERIES; i++) {
        fw2_sample now = { .time = view->to };

        if (!fw2_sample_follows(&now, last)) {
            view->series[i].now = -1;
        }
    }
    if (max_timewait > 0 && peak > (double)max_timewait / 10) {
        view->limit = max_timewait;
        peak = peak > (double)max_timewait ? peak : (double)max_timewait;
    }
    if (view->series[HELD].peak > peak) {
        peak = view->series[HELD].peak;
    }
    view->upper = (fw2_panel){ 50, 170, round_top(peak, 4) };
    view->lower =
        (fw2_panel){ 204, 244, round_top(view->series[CLOSES].peak, 2) };
}

/* ---------------------------------------------------------------- words -- */

/* 12, 1200, 0.2; and in short, as on an axis, 12k and 1.2M. */
static const char *number_text(apr_pool_t *pool, double n, double shorten)
{
    const char *unit = "";

    if (n < 0) {
        return "not known";
    }
    if (n >= 1e6) {
        n /= 1e6;
        unit = "M";
    }
    else if (n >= shorten) {
        n /= 1e3;
        unit = "k";
    }
    /* One digit after the point, where it says something. */
    return apr_psprintf(
        pool, n < 9.95 && n * 10 - (int)n * 10 > 0.5 ? "%.1f%s" : "%.0f%s", n,
        unit);
}

static const char *clock_text(apr_pool_t *pool, apr_time_t time)
{
    apr_time_exp_t local;

    apr_time_exp_lt(&local, time);
    return apr_psprintf(pool, "%02d:%02d", local.tm_hour, local.tm_min);
}

/* "12 now, at most 340 at 21:40" */
static const char *summary(apr_pool_t *pool, const fw2_view *view, int i)
{
    const fw2_series *series = &view->series[i];

    if (series->peak <= 0) {
        return series->peak < 0 ? "not known" : "none";
    }
    return apr_psprintf(pool, "%s now, at most %s at %s",
                        number_text(pool, series->now, IN_FULL),
                        number_text(pool, series->peak, IN_FULL),
                        clock_text(pool, series->peak_at));
}

static double mean_of(const double *values, int n)
{
    double sum = 0;
    int i;

    for (i = 0; i < n; i++) {
        sum += values[i];
    }
    return sum / n;
}

/* The last sixth of what is known against the rest. */
static const char *trend(const fw2_series *series)
{
    double known[COLUMNS], before, after, least;
    int n = 0, i;

    for (i = 0; i < COLUMNS; i++) {
        if (series->column[i] >= 0) {
            known[n++] = series->column[i];
        }
    }
    if (n < 6 || series->peak <= 0) {
        return "";
    }
    before = mean_of(known, n - n / 6);
    after = mean_of(known + n - n / 6, n / 6);
    least = (before > after ? before : after) / 5;
    if (after - before > least) {
        return ", rising";
    }
    return before - after > least ? ", falling" : ", steady";
}

static void write_words(request_rec *r, const fw2_view *view, const char *what,
                        const char *id)
{
    int i;

    ap_rprintf(r,
               "<title id=\"%s-title\">Half-closed connections in the %s"
               "</title>\n<desc id=\"%s-words\">Up to %s.",
               id, what, id, clock_text(r->pool, view->to));
    for (i = 0; i < SERIES; i++) {
        ap_rprintf(r, " %s: %s%s.", names[i].words, summary(r->pool, view, i),
                   trend(&view->series[i]));
    }
    if (view->limit) {
        ap_rprintf(r,
                   " Orphans above %" APR_INT64_T_FMT
                   " vanish (tcp_max_tw_buckets).",
                   view->limit);
    }
    if (view->restarts) {
        ap_rprintf(r, " Restarts: %d, with other settings: %d.", view->restarts,
                   view->changes);
    }
    if (view->first - view->from > (view->to - view->from) / 20) {
        ap_rprintf(r, " Nothing is known before %s.",
                   clock_text(r->pool, view->first));
    }
    ap_rputs(view->gaps > 1 ? " For a while, no samples were taken.</desc>\n"
                            : "</desc>\n",
             r);
}

/* -------------------------------------------------------------- drawing -- */

static int x_of(int column)
{
    return LEFT + 2 * column + 1;
}

static double y_of(const fw2_panel *panel, double value)
{
    return panel->bottom
           - (panel->bottom - panel->top) * value / panel->highest;
}

/* A line's runs: a new one begins where samples are missing. With `area`, each
 * is closed along the bottom. */
static void write_runs(request_rec *r, const fw2_view *view, int i,
                       const fw2_panel *panel, int area)
{
    int column, running = 0;

    for (column = 0; column < COLUMNS; column++) {
        double value = view->series[i].column[column];

        if (!view->taken[column]) {
            continue;
        }
        if (running && (value < 0 || view->broken[column])) {
            ap_rputs(area ? apr_psprintf(r->pool, "V%dz", panel->bottom) : "",
                     r);
            running = 0;
        }
        if (value < 0) {
            continue;
        }
        if (!running && area) {
            ap_rprintf(r, "M%d %dV%.1f", x_of(column), panel->bottom,
                       y_of(panel, value));
        }
        else {
            /* A run of one column is a dot. */
            ap_rprintf(r, running ? "L%d %.1f" : "M%d %.1fh0", x_of(column),
                       y_of(panel, value));
        }
        running = 1;
    }
    if (running && area) {
        ap_rprintf(r, "V%dz", panel->bottom);
    }
}

static void write_series(request_rec *r, const fw2_view *view, int i,
                         const fw2_panel *panel)
{
    ap_rprintf(r, "<path class=\"%s area\" d=\"", names[i].style);
    write_runs(r, view, i, panel, 1);
    ap_rprintf(r, "\"/>\n<path class=\"%s line\" d=\"", names[i].style);
    write_runs(r, view, i, panel, 0);
    ap_rputs("\"/>\n", r);
}

/* A line's name, what it is drawn like, and what it says. */
static void write_key(request_rec *r, const fw2_view *view, int i, int y)
{
    ap_rprintf(r,
               "<path class=\"%s line\" d=\"M3 %dh26\"/>"
               "<text class=\"key\" x=\"%d\" y=\"%d\">%s: %s</text>\n",
               names[i].style, y - 4, LEFT, y, names[i].key,
               summary(r->pool, view, i));
}

static void write_scale(request_rec *r, const fw2_panel *panel, int lines)
{
    int i;

    for (i = 0; i <= lines; i++) {
        double value = panel->highest * i / lines;
        double y = y_of(panel, value);

        ap_rprintf(r,
                   "<path class=\"%s\" d=\"M%d %.1fH%d\"/>"
                   "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                   i ? "grid" : "axis", LEFT, y, RIGHT, LEFT - 5, y + 4.5,
                   number_text(r->pool, value, IN_SHORT));
    }
}

/* The full quarters of an hour, or of a day, by the server's own clock. */
static void write_times(request_rec *r, const fw2_view *view)
{
    const apr_time_t quarter = apr_time_from_sec(900);
    apr_time_t time = (view->from / quarter + 1) * quarter;
    int all = view->to - view->from <= FW2_HISTORY_HOUR;

    for (; time <= view->to; time += quarter) {
        int x = x_of(column_of(view, time));
        apr_time_exp_t local;

        apr_time_exp_lt(&local, time);
        if (!all && (local.tm_min || local.tm_hour % 6)) {
            continue;
        }
        ap_rprintf(r,
                   "<path class=\"axis\" d=\"M%d %dv5\"/>"
                   "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s"
                   "</text>\n",
                   x, view->lower.bottom, x < WIDTH - 18 ? x : WIDTH - 18,
                   view->lower.bottom + 19, clock_text(r->pool, time));
    }
}

static void write_limit(request_rec *r, const fw2_view *view)
{
    double y;

    if (!view->limit) {
        return;
    }
    y = y_of(&view->upper, (double)view->limit);
    ap_rprintf(r,
               "<path class=\"limit\" d=\"M%d %.1fH%d\"/><text x=\"%d\" "
               "y=\"%.1f\">%" APR_INT64_T_FMT " (tcp_max_tw_buckets)</text>\n",
               LEFT, y, RIGHT, LEFT + 4, y + 14, view->limit);
}

#define FLAG "l5-7h-10z"

static void write_marks(request_rec *r, const fw2_view *view)
{
    int column;

    for (column = 0; column < COLUMNS; column++) {
        int changed = (view->marks[column] & FW2_MARK_CONFIG) != 0;
        int x = x_of(column);

        if (view->marked[column]) {
            ap_rprintf(r,
                       "<g><title>Restart%s at %s</title>"
                       "<path class=\"mark\" d=\"M%d %dV%dM%d %dV%d\"/>"
                       "<path class=\"flag%s\" d=\"M%d %d" FLAG "\"/></g>\n",
                       changed ? " with other settings" : "",
                       clock_text(r->pool, view->marked[column]), x,
                       view->upper.top, view->upper.bottom, x, view->lower.top,
                       view->lower.bottom, changed ? " changed" : "", x,
                       view->upper.top);
        }
    }
}

static int write_flag_key(request_rec *r, int x, int y, const char *style,
                          const char *text)
{
    ap_rprintf(r,
               "<path class=\"flag%s\" d=\"M%d %d" FLAG "\"/>"
               "<text x=\"%d\" y=\"%d\">%s</text>\n",
               style, x + 5, y, x + 16, y, text);
    return x + 80;
}

static void write_marks_key(request_rec *r, const fw2_view *view, int y)
{
    int x = LEFT;

    if (view->restarts > view->changes) {
        x = write_flag_key(r, x, y, "", "restart");
    }
    if (view->changes) {
        write_flag_key(r, x, y, " changed", "restart with other settings");
    }
}

static void write_view(request_rec *r, const fw2_view *view, const char *what,
                       const char *id)
{
    ap_rprintf(r,
               "<figure class=\"card picture\"><figcaption>The %s"
               "</figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" "
               "aria-labelledby=\"%s-title %s-words\">\n",
               what, WIDTH, view->restarts ? 288 : 268, id, id);
    write_words(r, view, what, id);
    write_key(r, view, ORPHAN, 14);
    write_key(r, view, HELD, 32);
    write_key(r, view, CLOSES, 194);
    write_scale(r, &view->upper, 2);
    write_scale(r, &view->lower, 1);
    write_times(r, view);
    write_series(r, view, ORPHAN, &view->upper);
    write_series(r, view, HELD, &view->upper);
    write_series(r, view, CLOSES, &view->lower);
    write_marks(r, view);
    write_limit(r, view);
    write_marks_key(r, view, 283);
    ap_rputs("</svg></figure>\n", r);
}

/* ----------------------------------------------------------------- both -- */

static void no_picture(request_rec *r, const fw2_report *report)
{
    if (report->history) {
        ap_rprintf(r,
                   "<p class=soft>Nothing is known of the time before yet. A "
                   "sample is taken every %s s.</p>\n",
                   fw2_seconds_text(r->pool, report->sample_interval));
    }
    else if (report->sample_interval) {
        ap_rputs("<p class=soft>Nothing is known of the time before; the "
                 "error log of httpd's start says why.</p>\n",
                 r);
    }
    else {
        ap_rputs("<p class=soft>Nothing is known of the time before: "
                 "FinWait2Sample is Off.</p>\n",
                 r);
    }
}

static void add_all(fw2_view *view, const fw2_sample *samples, int n,
                    apr_int64_t max_timewait)
{
    int i;

    for (i = 0; i < n; i++) {
        add_sample(view, &samples[i], i ? &samples[i - 1] : NULL);
    }
    end_view(view, &samples[n - 1], max_timewait);
}

/* An hour, where the recent samples may be those of its last minutes only: the
 * day's are before them. Returns how many there are. */
static int hour_of(const fw2_history *history, apr_time_t now,
                   const fw2_sample *day, int days, fw2_sample *hour)
{
    fw2_sample *recent = hour + FW2_HISTORY_MINUTES;
    int n = fw2_history_recent(history, now, recent), i, before = 0;

    for (i = 0; i < days; i++) {
        if (day[i].time > now - FW2_HISTORY_HOUR
            && (!n || day[i].time < recent[0].time)) {
            hour[before++] = day[i];
        }
    }
    memmove(hour + before, recent, (apr_size_t)n * sizeof(*recent));
    return before + n;
}

static void write_both(request_rec *r, const fw2_sample *hour, int hours,
                       const fw2_sample *day, int days, apr_time_t now,
                       apr_int64_t max_timewait)
{
    fw2_view *of_hour = apr_palloc(r->pool, 2 * sizeof(*of_hour));
    fw2_view *of_day = of_hour + 1;
    int i;

    begin_view(of_hour, now, FW2_HISTORY_HOUR);
    add_all(of_hour, hour, hours, max_timewait);
    begin_view(of_day, now, FW2_HISTORY_DAY);
    add_all(of_day, day, days, max_timewait);
    for (i = 0; i < SERIES; i++) {
        /* The day's last is the highest of a minute. */
        of_day->series[i].now = of_hour->series[i].now;
    }
    ap_rputs("<div class=cards>\n", r);
    write_view(r, of_hour, "last hour", "hour");
    write_view(r, of_day, "last day", "day");
    ap_rputs("</div>\n", r);
}

void fw2_write_pictures(request_rec *r, const fw2_report *report)
{
    const apr_size_t most = FW2_HISTORY_MINUTES + 1 + FW2_HISTORY_RECENT;
    fw2_sample *day = apr_palloc(r->pool, 2 * most * sizeof(*day));
    fw2_sample *hour = day + most;
    apr_time_t now = apr_time_now();
    int days = 0, hours = 0;

    if (report->history) {
        days = fw2_history_day(report->history, now, day);
        hours = hour_of(report->history, now, day, days, hour);
    }
    ap_rputs("<h2>How it has been</h2>\n", r);
    if (hours < 2 || !days) {
        no_picture(r, report);
        return;
    }
    write_both(r, hour, hours, day, days, now,
               report->limits.tcp_max_tw_buckets);
}
