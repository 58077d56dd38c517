/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_STATUS_IMPL_H
#define FW2_STATUS_IMPL_H

/*
 * status's internal header: the writers of each format and of the parts of the
 * page. All strings are written escaped.
 */

#include "httpd.h"

#include "page/advice.h"
#include "page/metrics.h"

/** The history as it is drawn, in page/status_picture.c. */
typedef struct fw2_pictures fw2_pictures;

/** The maximum number of rows of a table that are not folded, unless the query
 *  string has `top`; and of rows that are folded. A link leads to the others. */
#define FW2_ROWS_OPEN   10
#define FW2_ROWS_FOLDED 100

/** A request for the page, with the data of all its parts. The request owns
 *  it. */
typedef struct fw2_page {
    request_rec *r;
    fw2_report *report;
    const struct fw2_format *format;
    int refresh;        /**< seconds between reloads; 0: none */
    apr_int64_t vhosts; /**< virtual hosts, as in fw2_metrics_choose() */
    const char *sort;   /**< key of the column to sort by; NULL: the first
                             column of each table */
    const char *vhost;  /**< the virtual host to show in full; or NULL */
    int top;            /**< rows of a table that are not folded; 0: all */
    const fw2_pictures *pictures; /**< for HTML */
} fw2_page;

/** Write the whole report in one format. */
void fw2_write_html(fw2_page *page);
void fw2_write_auto(fw2_page *page);
void fw2_write_json(fw2_page *page);
void fw2_write_openmetrics(fw2_page *page);
void fw2_write_prometheus(fw2_page *page);
void fw2_write_csv(fw2_page *page);

/** Return the address of the same page with another value of `key`, escaped for
 *  HTML; without the key if the value is NULL. */
const char *fw2_page_link(const fw2_page *page, const char *key,
                          const char *value);

/** Read the history for the pictures. Allocates from the pool. */
const fw2_pictures *fw2_pictures_read(apr_pool_t *pool,
                                      const fw2_report *report);

/** Write the parts of the HTML page, in this order. */
void fw2_write_trend(const fw2_page *page);
void fw2_write_last(request_rec *r, const fw2_report *report);
void fw2_write_advice(const fw2_page *page);
void fw2_write_pictures(const fw2_page *page);
void fw2_write_listeners(const fw2_page *page);
void fw2_write_vhosts(const fw2_page *page);
void fw2_write_elsewhere(request_rec *r, const fw2_report *report);
void fw2_write_clients(const fw2_page *page);
void fw2_write_remaining(request_rec *r, const fw2_report *report);
void fw2_write_limits(request_rec *r, const fw2_report *report);
void fw2_write_losses(request_rec *r, const fw2_report *report);

/** Write a table of all figures of an element of a section. */
void fw2_write_element(request_rec *r, const char *title,
                       const fw2_section *section, const void *element);

/** Write a cell of a table: a number, or a dash if it is not known.
 *  @param key The heading of the column, shown in the cell if the columns do
 *             not fit; or "". */
void fw2_write_count(request_rec *r, const char *key, apr_int64_t n);

/** Return ` (80 %)` as HTML without a line break inside. */
const char *fw2_share_html(apr_pool_t *pool, apr_int64_t part,
                           apr_int64_t whole);

/** Return a time in the server's time zone, such as `14:19:25 UTC`.
 *  @param format A format of strftime(). */
const char *fw2_clock_text(apr_pool_t *pool, apr_time_t time,
                           const char *format);

/** The style of the page; the script that updates it; and the hash of the
 *  script, as in a Content-Security-Policy. */
extern const char fw2_page_style[];
extern const char fw2_page_script[];
extern const char fw2_page_script_hash[];

/** Write the lines of fw2_write_auto(), with a prefix before each key. To be
 *  called after all virtual hosts are summed up. */
void fw2_write_words(request_rec *r, const fw2_report *report,
                     const char *prefix);

/** Write the member `server` of a report, which httpd knows. */
void fw2_status_describe(fw2_report *report, apr_pool_t *pool);

/** Write the advice of a report. To be called after all other figures are
 *  written. */
void fw2_status_advise(fw2_report *report, apr_pool_t *pool);

/** Write the history as a JSON value. */
void fw2_json_history(request_rec *r, const fw2_report *report);

/** Return untrusted text as valid UTF-8. Invalid bytes, such as Latin-1 or a
 *  name that was cut, become U+FFFD; control characters become spaces. */
const char *fw2_plain_text(apr_pool_t *pool, const char *text);

/** Return a text as a JSON string. */
const char *fw2_json_string(apr_pool_t *pool, const char *text);

/** Return microseconds as seconds. */
const char *fw2_seconds_text(apr_pool_t *pool, apr_int64_t usec);

/** Return the number of a cell as in all machine-readable formats. It must not
 *  be FW2_UNKNOWN. */
const char *fw2_number_text(apr_pool_t *pool, const fw2_metric *metric,
                            apr_int64_t number);

#endif /* FW2_STATUS_IMPL_H */
