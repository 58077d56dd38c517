/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The history as pictures in SVG: the half-closed connections by holder, and
 * below, with its own scale, the connections that end in a second. Both axes
 * follow the data; the limit is written in words, as it may be far above. The
 * pictures are sized for a phone, where 420 units are 330 pixels, and need no
 * script: each part of the time has a title, which browsers show as a tooltip.
 * A description has the numbers in words.
 */

#include "page/status_impl.h"

#include "apr_strings.h"
#include "http_protocol.h"

#include "page/text.h"

/* The plot: columns of two units each, to the right of the scale's numbers. A
 * column shows its highest sample. */
#define COLUMNS 180
#define LEFT    58
#define RIGHT   (LEFT + 2 * COLUMNS)
#define WIDTH   420

/* The number of columns that share a title. */
#define TITLED 3

/* The shortest time that a picture shows, so that a new line is not
 * stretched. */
#define SHORTEST apr_time_from_sec(300)

/* A part of the picture with a scale of its own; y grows downwards. */
typedef struct {
    int top, bottom;
    double highest; /* the value at the top */
} fw2_panel;

enum { ORPHAN, HELD, CLOSES, SERIES };

/* A line; a value below 0 is not known. */
typedef struct {
    double column[COLUMNS];
    double now, peak;
    apr_time_t peak_at;
} fw2_series;

/* The data of a picture. */
typedef struct {
    apr_time_t from, to, now;
    apr_time_t first;           /* time of the first sample */
    int gaps;                   /* number of columns that follow a gap */
    int sampled[COLUMNS];       /* 1: the column has a sample */
    int gap_before[COLUMNS];    /* 1: samples before the column are missing */
    apr_time_t marked[COLUMNS]; /* time of the last mark, or 0 */
    apr_uint64_t marks[COLUMNS];
    apr_uint64_t all_marks; /* the marks of all columns */
    int restarts, changes;
    apr_time_t verdict_time; /* last change of the verdict, or 0 */
    int verdict;             /* the level since then */
    fw2_series series[SERIES];
    fw2_panel upper, lower;
} fw2_view;

struct fw2_pictures {
    int known;   /* 1: there are enough samples to draw */
    int has_day; /* 1: the day's picture shows more than the hour's */
    fw2_view hour, day;
};

/* Marks in addition to those of a sample: a start, and a change of the verdict
 * to a level. */
#define MARK_START     ((apr_uint64_t)1 << 32)
#define MARK_LEVEL(of) ((apr_uint64_t)1 << (33 + (of)))
#define RESTARTS       (MARK_START | FW2_MARK_RESTART | FW2_MARK_CONFIG)
#define VERDICTS       (MARK_LEVEL(FW2_LEVELS) - MARK_LEVEL(FW2_OK))

/* The names of each line: its class in CSS, its name in the key, and its name
 * in the description. */
static const struct {
    const char *style, *key, *words;
} names[SERIES] = {
    [ORPHAN] = { "orphan", "orphans", "Orphans of the kernel" },
    [HELD] = { "held", "held by httpd", "Held by httpd" },
    [CLOSES] = { "closes", "closes a second", "Closes a second" },
};

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

/* Return the mark of a verdict that differs from the one before; 0 if they are
 * equal, or if one of them is not known. */
static apr_uint64_t verdict_mark(const fw2_sample *sample,
                                 const fw2_sample *before)
{
    return before && before->severity != FW2_NOT_SAMPLED
                   && fw2_advice_level(sample->severity)
                   && sample->severity != before->severity
               ? MARK_LEVEL(sample->severity)
               : 0;
}

static apr_uint64_t restart_mark(const fw2_sample *sample, apr_time_t begins)
{
    if (sample->marks & RESTARTS && sample->time <= begins) {
        return MARK_START;
    }
    return sample->marks & FW2_MARK_CONFIG ? FW2_MARK_CONFIG
                                           : sample->marks & FW2_MARK_RESTART;
}

static void add_marks(fw2_view *view, int column, const fw2_sample *sample,
                      apr_uint64_t marks)
{
    if (!marks) {
        return;
    }
    if (marks & VERDICTS) {
        view->verdict_time = sample->time;
        view->verdict = (int)sample->severity;
    }
    view->marked[column] = sample->time;
    view->marks[column] |= marks;
    view->all_marks |= marks;
    view->restarts += (marks & (FW2_MARK_RESTART | FW2_MARK_CONFIG)) != 0;
    view->changes += (marks & FW2_MARK_CONFIG) != 0;
}

/* Add a sample. `before` is the previous sample, or NULL; `begins` is the time
 * of the very first sample of the history. */
static void add_sample(fw2_view *view, const fw2_sample *sample,
                       const fw2_sample *before, apr_time_t begins)
{
    int column = column_of(view, sample->time);

    if (!before) {
        view->first = sample->time;
    }
    if (!view->sampled[column]) {
        view->gap_before[column] =
            !before || !fw2_history_follows(sample, before);
        view->gaps += view->gap_before[column];
    }
    view->sampled[column] = 1;
    add_marks(view, column, sample,
              restart_mark(sample, begins) | verdict_mark(sample, before));
    add_value(&view->series[ORPHAN], column, (double)sample->orphan,
              sample->time);
    add_value(&view->series[HELD], column, (double)sample->held, sample->time);
    add_value(&view->series[CLOSES], column,
              before ? fw2_history_rate(sample, before) : -1, sample->time);
}

/* Prepare a view from the first sample to now, at least for the shortest
 * time. */
static void begin_view(fw2_view *view, apr_time_t now, apr_time_t first)
{
    int i, column;

    memset(view, 0, sizeof(*view));
    view->from = first;
    view->now = now;
    view->to = first > now - SHORTEST ? first + SHORTEST : now;
    for (i = 0; i < SERIES; i++) {
        for (column = 0; column < COLUMNS; column++) {
            view->series[i].column[column] = -1;
        }
        view->series[i].now = view->series[i].peak = -1;
    }
}

/* Return the highest value of an axis. Half of it is a round number, too. */
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

/* Complete a view after all samples are added. */
static void end_view(fw2_view *view, const fw2_sample *last)
{
    double peak = view->series[ORPHAN].peak;
    int i;

    for (i = 0; i < SERIES; i++) {
        fw2_sample now = { .time = view->now };

        if (!fw2_history_follows(&now, last)) {
            view->series[i].now = -1;
        }
    }
    if (view->series[HELD].peak > peak) {
        peak = view->series[HELD].peak;
    }
    view->upper = (fw2_panel){ 50, 170, round_top(peak, 4) };
    view->lower =
        (fw2_panel){ 204, 244, round_top(view->series[CLOSES].peak, 2) };
}

/* ---------------------------------------------------------------- words -- */

/* Return `12`, `1,200`, `0.2`. */
static const char *number_text(apr_pool_t *pool, double n)
{
    if (n < 0) {
        return "not known";
    }
    /* With a decimal, unless that is 0. */
    return n < 9.95 && (int)(n * 10 + 0.5) % 10
               ? apr_psprintf(pool, "%.1f", n)
               : fw2_text_number(pool, (apr_int64_t)(n + 0.5));
}

/* Return "12 now, at most 340 at 21:40". */
static const char *summary(apr_pool_t *pool, const fw2_view *view, int i)
{
    const fw2_series *series = &view->series[i];

    if (series->peak <= 0) {
        return series->peak < 0 ? "not known" : "none";
    }
    return apr_psprintf(pool, "%s now, at most %s at %s",
                        number_text(pool, series->now),
                        number_text(pool, series->peak),
                        fw2_clock_text(pool, series->peak_at, "%H:%M"));
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

/* Return the trend of a line: the last sixth of the known values, compared with
 * the others. */
static const char *trend_text(const fw2_series *series)
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
               "<title id=\"%s-title\">Half-closed connections: %s"
               "</title>\n<desc id=\"%s-words\">Up to %s.",
               id, what, id, fw2_clock_text(r->pool, view->now, "%H:%M"));
    for (i = 0; i < SERIES; i++) {
        ap_rprintf(r, " %s: %s%s.", names[i].words, summary(r->pool, view, i),
                   trend_text(&view->series[i]));
    }
    if (view->all_marks & MARK_START) {
        ap_rprintf(r, " Started at %s.",
                   fw2_clock_text(r->pool, view->first, "%H:%M"));
    }
    if (view->restarts) {
        ap_rprintf(r, " Restarts: %d, with other settings: %d.", view->restarts,
                   view->changes);
    }
    if (view->verdict_time) {
        ap_rprintf(r, " The verdict is %s since %s.",
                   fw2_level_names[view->verdict],
                   fw2_clock_text(r->pool, view->verdict_time, "%H:%M"));
    }
    ap_rputs(view->gaps > 1 ? " Some samples are missing.</desc>\n"
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

/* Write the runs of a line. A new run begins after missing samples. With `area`
 * each run is closed along the bottom. */
static void write_runs(request_rec *r, const fw2_view *view, int i,
                       const fw2_panel *panel, int area)
{
    int column, running = 0;

    for (column = 0; column < COLUMNS; column++) {
        double value = view->series[i].column[column];

        if (!view->sampled[column]) {
            continue;
        }
        if (running && (value < 0 || view->gap_before[column])) {
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

/* Write the key of a line: a sample of it, its name and its summary. */
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
                   number_text(r->pool, value));
    }
}

/* Return the time between two ticks, for at most six ticks if possible. */
static apr_time_t tick_of(const fw2_view *view)
{
    static const int seconds[] = { 60,   120,  300,  600,   900,
                                   1800, 3600, 7200, 14400, 21600 };
    apr_time_t span = view->to - view->from;
    unsigned int i = 0;

    while (i + 1 < sizeof(seconds) / sizeof(seconds[0])
           && span / apr_time_from_sec(seconds[i]) > 6) {
        i++;
    }
    return apr_time_from_sec(seconds[i]);
}

/* Write the axis of time, with ticks at full minutes, hours or quarters of a
 * day in the server's time zone. */
static void write_times(request_rec *r, const fw2_view *view)
{
    const apr_time_t tick = tick_of(view), quarter = apr_time_from_sec(900);
    const apr_time_t step = tick < quarter ? tick : quarter;
    apr_time_t time = (view->from / step + 1) * step;

    for (; time <= view->to; time += step) {
        int x = x_of(column_of(view, time));
        apr_time_exp_t local;

        apr_time_exp_lt(&local, time);
        if (apr_time_from_sec(60) * (local.tm_hour * 60 + local.tm_min)
            % tick) {
            continue;
        }
        ap_rprintf(r,
                   "<path class=\"axis\" d=\"M%d %dv5\"/>"
                   "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s"
                   "</text>\n",
                   x, view->lower.bottom, x < WIDTH - 18 ? x : WIDTH - 18,
                   view->lower.bottom + 19,
                   fw2_clock_text(r->pool, time, "%H:%M"));
    }
}

/* Return the highest value of the columns that share a title. */
static double highest(const fw2_series *series, int column)
{
    double most = -1;
    int i;

    for (i = column; i < column + TITLED; i++) {
        most = series->column[i] > most ? series->column[i] : most;
    }
    return most;
}

/* Write a title for each part of the time, shown as a tooltip. */
static void write_titles(request_rec *r, const fw2_view *view)
{
    int column;

    for (column = 0; column + TITLED <= COLUMNS; column += TITLED) {
        apr_time_t time =
            view->from + (view->to - view->from) * (column + TITLED) / COLUMNS;
        double orphans = highest(&view->series[ORPHAN], column);

        if (orphans < 0) {
            continue;
        }
        ap_rprintf(
            r,
            "<path class=\"hit\" d=\"M%d %dh%dV%dh-%dz\"><title>%s: "
            "%s orphans, %s held, closes a second: %s</title></path>\n",
            LEFT + 2 * column, view->upper.top, 2 * TITLED, view->lower.bottom,
            2 * TITLED, fw2_clock_text(r->pool, time, "%H:%M:%S"),
            number_text(r->pool, orphans),
            number_text(r->pool, highest(&view->series[HELD], column)),
            number_text(r->pool, highest(&view->series[CLOSES], column)));
    }
}

#define FLAG "l5-7h-10z"

/* A mark: its words, the class of its flag, and the width in the key. */
typedef struct {
    apr_uint64_t bit;
    const char *words, *style;
    int width;
} fw2_mark_words;

/* All marks, the most important first: a column shows only one. */
static const fw2_mark_words mark_words[] = {
    { MARK_LEVEL(FW2_DANGER), "verdict danger", " danger", 118 },
    { MARK_START, "start", " ok", 56 },
    { FW2_MARK_CONFIG, "restart with other settings", " changed", 186 },
    { FW2_MARK_RESTART, "restart", "", 72 },
    { MARK_LEVEL(FW2_WATCH), "verdict watch", " watch", 110 },
    { MARK_LEVEL(FW2_OK), "verdict ok", " ok", 90 },
    { 0, NULL, NULL, 0 },
};

static const fw2_mark_words *words_of(apr_uint64_t marks)
{
    const fw2_mark_words *words = mark_words;

    while (words->bit && !(words->bit & marks)) {
        words++;
    }
    return words;
}

static void write_marks(request_rec *r, const fw2_view *view)
{
    int column;

    for (column = 0; column < COLUMNS; column++) {
        const fw2_mark_words *mark = words_of(view->marks[column]);
        int x = x_of(column);

        if (mark->bit) {
            ap_rprintf(
                r,
                "<g><title>%s at %s</title>"
                "<path class=\"mark\" d=\"M%d %dV%dM%d %dV%d\"/>"
                "<path class=\"flag%s\" d=\"M%d %d" FLAG "\"/></g>\n",
                mark->words,
                fw2_clock_text(r->pool, view->marked[column], "%H:%M:%S"), x,
                view->upper.top, view->upper.bottom, x, view->lower.top,
                view->lower.bottom, mark->style, x, view->upper.top);
        }
    }
}

/* Write the key of some marks, in one line. */
static void write_marks_key(request_rec *r, apr_uint64_t marks, int y)
{
    const fw2_mark_words *mark;
    int x = LEFT;

    for (mark = mark_words; mark->bit; mark++) {
        if (mark->bit & marks) {
            ap_rprintf(r,
                       "<path class=\"flag%s\" d=\"M%d %d" FLAG "\"/>"
                       "<text x=\"%d\" y=\"%d\">%s</text>\n",
                       mark->style, x + 5, y, x + 16, y, mark->words);
            x += mark->width;
        }
    }
}

/* Write the limit of orphans in words. On the axis it would flatten the
 * lines. */
static void write_limit(const fw2_page *page, const fw2_view *view)
{
    apr_int64_t limit = page->report->limits.tcp_max_tw_buckets;
    double peak = view->series[ORPHAN].peak;
    apr_pool_t *pool = page->r->pool;

    if (limit > 0 && peak > 0) {
        ap_rprintf(page->r,
                   "<p class=soft>Limit %s (tcp_max_tw_buckets): the peak of "
                   "the orphans was %s of it.</p>",
                   fw2_text_number(pool, limit),
                   fw2_text_percent(pool, (apr_int64_t)peak, limit));
    }
}

static void write_view(const fw2_page *page, const fw2_view *view,
                       const char *what, const char *id)
{
    int restarts = view->all_marks & RESTARTS ? 18 : 0;
    int verdicts = view->all_marks & VERDICTS ? 18 : 0;
    request_rec *r = page->r;

    ap_rprintf(r,
               "<figure class=\"card picture\"><figcaption>%s"
               "</figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" "
               "aria-labelledby=\"%s-title %s-words\">\n",
               what, WIDTH, 270 + restarts + verdicts, id, id);
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
    write_titles(r, view);
    write_marks_key(r, view->all_marks & RESTARTS, 283);
    write_marks_key(r, view->all_marks & VERDICTS, 283 + restarts);
    ap_rputs("</svg>\n", r);
    write_limit(page, view);
    ap_rputs("</figure>\n", r);
}

/* ----------------------------------------------------------------- both -- */

static void write_no_picture(request_rec *r, const fw2_report *report)
{
    if (report->history) {
        ap_rprintf(r,
                   "<p class=soft>There are too few samples yet. One is taken "
                   "every %s s.</p>\n",
                   fw2_seconds_text(r->pool, report->sample_interval));
    }
    else if (report->sample_interval) {
        ap_rputs("<p class=soft>There are no samples; the error log of httpd's "
                 "start has the reason.</p>\n",
                 r);
    }
    else {
        ap_rputs("<p class=soft>There are no samples: FinWait2Sample is Off."
                 "</p>\n",
                 r);
    }
}

static void add_all(fw2_view *view, const fw2_sample *samples, int n,
                    apr_time_t begins)
{
    int i;

    for (i = 0; i < n; i++) {
        add_sample(view, &samples[i], i ? &samples[i - 1] : NULL, begins);
    }
    end_view(view, &samples[n - 1]);
}

/* Read the samples of the last hour: the recent ones, which may cover its last
 * minutes only, and before them those of the day. Return their number. */
static int read_hour(const fw2_history *history, apr_time_t now,
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

const fw2_pictures *fw2_pictures_read(apr_pool_t *pool,
                                      const fw2_report *report)
{
    const apr_size_t most = FW2_HISTORY_MINUTES + 1 + FW2_HISTORY_RECENT;
    fw2_pictures *pictures = apr_pcalloc(pool, sizeof(*pictures));
    fw2_sample *day = apr_palloc(pool, 2 * most * sizeof(*day));
    fw2_sample *hour = day + most;
    apr_time_t now = apr_time_now();
    int days = 0, hours = 0, i;

    if (report->history) {
        days = fw2_history_day(report->history, now, day);
        hours = read_hour(report->history, now, day, days, hour);
    }
    if (hours < 2 || !days) {
        return pictures;
    }
    pictures->known = 1;
    pictures->has_day = day[0].time < now - FW2_HISTORY_HOUR;
    begin_view(&pictures->hour, now, hour[0].time);
    /* The first sample of the day is the last one of its minute. */
    add_all(&pictures->hour, hour, hours,
            hour[0].time <= day[0].time ? hour[0].time : 0);
    begin_view(&pictures->day, now, day[0].time);
    add_all(&pictures->day, day, days, day[0].time);
    for (i = 0; i < SERIES; i++) {
        /* The last sample of the day is the highest of its minute. */
        pictures->day.series[i].now = pictures->hour.series[i].now;
    }
    return pictures;
}

void fw2_write_trend(const fw2_page *page)
{
    const fw2_view *view = &page->pictures->hour;
    const fw2_series *orphans = &view->series[ORPHAN];
    const fw2_panel panel = { 2, 34, orphans->peak };

    if (!page->pictures->known || orphans->peak <= 0) {
        return;
    }
    ap_rprintf(page->r,
               "<a href=\"#history\" aria-label=\"History: orphans %s\"><svg "
               "viewBox=\"%d 0 %d 36\" preserveAspectRatio=none "
               "aria-hidden=true>",
               summary(page->r->pool, view, ORPHAN), LEFT, RIGHT - LEFT);
    write_series(page->r, view, ORPHAN, &panel);
    ap_rprintf(page->r,
               "</svg></a><p><small>orphans since %s, peak %s at %s</small>"
               "</p>\n",
               fw2_clock_text(page->r->pool, view->first, "%H:%M"),
               number_text(page->r->pool, orphans->peak),
               fw2_clock_text(page->r->pool, orphans->peak_at, "%H:%M"));
}

void fw2_write_pictures(const fw2_page *page)
{
    const fw2_pictures *pictures = page->pictures;

    ap_rputs("<section id=history><h2>History</h2>\n<div class=cards>\n",
             page->r);
    if (pictures->known) {
        write_view(page, &pictures->hour,
                   pictures->has_day ? "The last hour" : "Since the start",
                   "hour");
        if (pictures->has_day) {
            write_view(page, &pictures->day, "The last day", "day");
        }
    }
    else {
        write_no_picture(page->r, page->report);
    }
    fw2_write_remaining(page->r, page->report);
    ap_rputs("</div></section>\n", page->r);
}
