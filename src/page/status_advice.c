/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The advice on the page: the line to paste, the reason, and more notes. */

#include "page/status_impl.h"

#include "apr_strings.h"
#include "http_protocol.h"

#include "page/text.h"

/* The maximum number of open cards; all others are folded. */
#define OPEN_CARDS 3

/* The least share of the closes, in percent, to name a cause. */
#define CAUSE_SHARE 30

/* Write the line to paste after some words, with the number before and after
 * the change. */
static void write_line(request_rec *r, const char *words,
                       const fw2_advice *advice)
{
    if (!advice->line) {
        return;
    }
    ap_rprintf(r,
               "<div class=line>%s<pre id=line-%s>%s</pre> <button type=button "
               "class=scripted data-copy=line-%s aria-label=\"Copy %s\">copy"
               "</button>",
               words, advice->rule, ap_escape_html(r->pool, advice->line),
               advice->rule, ap_escape_html(r->pool, advice->line));
    if (advice->words.now >= 0 && advice->words.after >= 0) {
        ap_rprintf(r, "<span>%s &rarr; about <strong>%s</strong></span>",
                   fw2_text_number(r->pool, advice->words.now),
                   fw2_text_about(r->pool, advice->words.after));
    }
    ap_rputs("</div>\n", r);
}

/* Write a paragraph, unless the text is NULL. */
static void write_text(request_rec *r, const char *label, const char *text)
{
    if (text) {
        ap_rprintf(r, "<p>%s%s</p>\n", label, ap_escape_html(r->pool, text));
    }
}

/* Write a card. The advice that decided the verdict has no finding here, as the
 * headline has it. */
static void write_card(const fw2_page *page, const fw2_advice *advice)
{
    request_rec *r = page->r;
    int decided =
        !strcmp(advice->words.finding, page->report->advice[0].words.finding);

    ap_rprintf(r, "<div class=\"advice %s\" id=rule-%s>", advice->level_name,
               advice->rule);
    if (!decided) {
        ap_rprintf(r, "<p><span class=\"level %s\">%s</span> %s</p>\n",
                   advice->level_name,
                   advice->level == FW2_OK ? "note" : advice->level_name,
                   ap_escape_html(r->pool, advice->words.finding));
    }
    write_line(r, "", advice);
    write_text(r, "", advice->words.remedy);
    write_text(r, "<strong>Risk:</strong> ", advice->words.risk);
    ap_rputs("</div>\n", r);
}

/* True for the recommendation to have fewer orphans although all is ok. */
static int is_offer(const fw2_advice *advice)
{
    return advice->level == FW2_OK && advice->line
           && !strcmp(advice->rule, "long-life");
}

static void write_offer(const fw2_page *page, const fw2_advice *advice)
{
    ap_rputs("<div id=want>", page->r);
    write_line(page->r, "<strong>Want fewer?</strong> ", advice);
    write_text(page->r, "<strong>Risk:</strong> ", advice->words.risk);
    ap_rputs("</div>\n", page->r);
}

/* ------------------------------------------------------------------- why -- */

/* Append `<a href="#clients">61 % okhttp/4.9.3</a>` to `before`, unless the
 * share is small or the name is one such as `(none)`. */
static const char *append_reason(const fw2_page *page, const char *before,
                                 const char *part, apr_int64_t percent,
                                 const char *name)
{
    apr_pool_t *pool = page->r->pool;

    if (percent < FW2_NAMED_SHARE || !name || *name == '(') {
        return before;
    }
    return apr_psprintf(pool,
                        "%s%s<a href=\"#%s\">%" APR_INT64_T_FMT " %% %s</a>",
                        before, *before ? " &middot; " : "", part, percent,
                        ap_escape_html(pool, fw2_text_name(pool, name, "")));
}

/* Return the name of the first client of a list; NULL if there is none. */
static const char *first_client(const fw2_client_reports *list)
{
    return list->n ? list->clients[0].client : NULL;
}

static void write_reasons(const fw2_page *page)
{
    const fw2_report *report = page->report;
    const fw2_client_reports *lists = report->lists;
    apr_int64_t n, percent;
    apr_int64_t cause =
        fw2_report_main_cause(report->minute.causes, report->minute.probes, &n);
    const char *list = "";

    percent = fw2_report_share(n, report->minute.by_server);
    if (cause != FW2_UNKNOWN && percent >= CAUSE_SHARE) {
        list = append_reason(page, list, "vhosts", percent,
                             cause == FW2_NO_REQUEST ? "without a request"
                                                     : fw2_causes[cause].words);
    }
    list = append_reason(page, list, "clients", lists[FW2_AGENTS].share,
                         first_client(&lists[FW2_AGENTS]));
    list = append_reason(page, list, "vhosts", report->worst[0].share,
                         report->worst[0].name);
    list = append_reason(page, list, "clients", lists[FW2_IDLE_NETS].share,
                         first_client(&lists[FW2_IDLE_NETS]));
    if (*list && report->minute.by_server > 0) {
        ap_rprintf(page->r, "<p id=why><strong>Why?</strong> %s</p>\n", list);
    }
}

/* ------------------------------------------------------------------- all -- */

static void write_notes(const fw2_page *page, int first,
                        const fw2_advice *offer)
{
    const fw2_report *report = page->report;
    int n =
        report->nadvice - first - (offer && offer >= report->advice + first);
    int i;

    if (n <= 0) {
        return;
    }
    ap_rprintf(page->r, "<details id=notes><summary>%s</summary>\n",
               fw2_text_count(page->r->pool, n, "more note"));
    for (i = first; i < report->nadvice; i++) {
        if (&report->advice[i] != offer) {
            write_card(page, &report->advice[i]);
        }
    }
    ap_rputs("</details>\n", page->r);
}

void fw2_write_advice(const fw2_page *page)
{
    const fw2_report *report = page->report;
    const fw2_advice *offer = NULL;
    int i, open = 1;

    ap_rputs("<section id=advice aria-label=Advice>\n", page->r);
    while (open < report->nadvice && open <= OPEN_CARDS
           && report->advice[open].level != FW2_OK) {
        write_card(page, &report->advice[open++]);
    }
    for (i = open; i < report->nadvice && !offer; i++) {
        offer = is_offer(&report->advice[i]) ? &report->advice[i] : NULL;
    }
    if (offer) {
        write_offer(page, offer);
    }
    write_reasons(page);
    write_notes(page, open, offer);
    ap_rputs("</section>\n", page->r);
}
