/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_STATUS_IMPL_H
#define FW2_STATUS_IMPL_H

/*
 * Within the room `status`: its writers. Each walks fw2_sections and writes
 * the whole report to the request; all strings come out escaped.
 */

#include "httpd.h"

#include "fw2_report.h"

void fw2_write_html(request_rec *r, const fw2_report *report);
void fw2_write_auto(request_rec *r, const fw2_report *report);
void fw2_write_json(request_rec *r, const fw2_report *report);
void fw2_write_openmetrics(request_rec *r, const fw2_report *report);
void fw2_write_prometheus(request_rec *r, const fw2_report *report);

/** Parts of the page for people. */
void fw2_write_last(request_rec *r, const fw2_report *report);
void fw2_write_remaining(request_rec *r, const fw2_report *report);
void fw2_write_reaches(request_rec *r, const fw2_report *report);
void fw2_write_losses(request_rec *r, const fw2_report *report);

/** A cell of a table: a number, or a dash where it is not known. */
void fw2_write_count(request_rec *r, apr_int64_t n);

/** The facts of one section without elements, as fw2_write_auto() has them, with
 *  a word in front of each key. */
void fw2_write_auto_facts(request_rec *r, const fw2_report *report,
                          const char *section, const char *word);

/** Fill in what of a report only httpd knows; and once it is filled, have
 *  advice in it. */
void fw2_status_describe(fw2_report *report);
void fw2_status_advise(fw2_report *report, apr_pool_t *pool);

/** The history: a JSON value, and HTML with the style that it needs. */
void fw2_json_history(request_rec *r, const fw2_report *report);
void fw2_write_pictures(request_rec *r, const fw2_report *report);
extern const char fw2_picture_style[];

/** Microseconds as seconds. */
const char *fw2_seconds_text(apr_pool_t *pool, apr_int64_t usec);

/** A cell's number as every machine-readable format spells it. Not for
 *  FW2_UNKNOWN. */
const char *fw2_number_text(apr_pool_t *pool, const fw2_metric *metric,
                            apr_int64_t number);

#endif /* FW2_STATUS_IMPL_H */
