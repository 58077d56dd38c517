/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_STATUS_IMPL_H
#define FW2_STATUS_IMPL_H

/*
 * Within the room `status`: its writers. Each walks fw2_sections and writes
 * the whole report to the request; all strings come out escaped.
 */

#include "httpd.h"

#include "page/metrics.h"

void fw2_write_html(request_rec *r, const fw2_report *report);
void fw2_write_auto(request_rec *r, const fw2_report *report);
void fw2_write_json(request_rec *r, const fw2_report *report);
void fw2_write_openmetrics(request_rec *r, const fw2_report *report);
void fw2_write_prometheus(request_rec *r, const fw2_report *report);

/** The history as it will be drawn: see page/status_picture.c. */
typedef struct fw2_pictures fw2_pictures;

/** A request for the page for people, and all that its parts are made of. The
 *  request owns it. */
typedef struct fw2_page {
    request_rec *r;
    const fw2_report *report;
    fw2_facts facts; /**< of the report */
    const fw2_pictures *pictures;
    const char *sort;  /**< the key of a column; NULL: each table's own */
    const char *vhost; /**< the virtual host to show in full; or NULL */
    int top;           /**< rows of a table that are not folded; 0: all */
} fw2_page;

/** The wishes of the query string for a page. Words that mean nothing here are
 *  ignored. */
void fw2_page_parse(fw2_page *page);

/** The address of the same page with another `key`, escaped for HTML; a value
 *  of NULL leaves that out. */
const char *fw2_page_link(const fw2_page *page, const char *key,
                          const char *value);

/** Read the history, as it is now; in the pool. */
const fw2_pictures *fw2_pictures_read(apr_pool_t *pool,
                                      const fw2_report *report);

/** Parts of the page for people, in their order. */
void fw2_write_trend(const fw2_page *page);
void fw2_write_last(request_rec *r, const fw2_report *report);
void fw2_write_advice(const fw2_page *page);
void fw2_write_pictures(const fw2_page *page);
void fw2_write_listeners(const fw2_page *page);
void fw2_write_vhosts(const fw2_page *page);
void fw2_write_elsewhere(request_rec *r, const fw2_report *report);
void fw2_write_clients(const fw2_page *page);
void fw2_write_remaining(request_rec *r, const fw2_report *report);
void fw2_write_reaches(request_rec *r, const fw2_report *report);
void fw2_write_losses(request_rec *r, const fw2_report *report);

/** All figures of a section, or of one element of it: a table. */
void fw2_write_facts(request_rec *r, const char *title,
                     const fw2_section *section, const void *element);

/** A cell of a table: a number, or a dash where it is not known.
 *  @param key Its column's heading, for where the columns do not fit; or "". */
void fw2_write_count(request_rec *r, const char *key, apr_int64_t n);

/** A part of a whole in parentheses, in HTML that is not broken in two. */
const char *fw2_share_html(apr_pool_t *pool, apr_int64_t part,
                           apr_int64_t whole);

/** `14:19:25 UTC`: a time by the server's clock. */
const char *fw2_clock_text(apr_pool_t *pool, apr_time_t time,
                           const char *format);

/** The page's style, and the script that keeps it up to date; the hash is the
 *  script's, as a Content-Security-Policy has it. */
extern const char fw2_page_style[];
extern const char fw2_page_script[];
extern const char fw2_page_script_hash[];

/** The lines of fw2_write_auto(), with a word in front of each key. To be
 * called once all virtual hosts are summed up. */
void fw2_write_words(request_rec *r, const fw2_report *report,
                     const char *front);

/** Fill in what of a report only httpd knows; and once it is filled, have
 *  advice in it. */
void fw2_status_describe(fw2_report *report, apr_pool_t *pool);
void fw2_status_advise(fw2_report *report, apr_pool_t *pool);

/** The history: a JSON value, and lines of CSV. */
void fw2_json_history(request_rec *r, const fw2_report *report);
void fw2_write_csv(request_rec *r, const fw2_report *report);

/** Microseconds as seconds. */
const char *fw2_seconds_text(apr_pool_t *pool, apr_int64_t usec);

/** A cell's number as every machine-readable format spells it. Not for
 *  FW2_UNKNOWN. */
const char *fw2_number_text(apr_pool_t *pool, const fw2_metric *metric,
                            apr_int64_t number);

#endif /* FW2_STATUS_IMPL_H */
