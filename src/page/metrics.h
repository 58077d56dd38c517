/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_METRICS_H
#define FW2_METRICS_H

/*
 * metrics: the one table that names each figure of a report.
 *
 * A writer of any format walks the table: sections, their elements, their
 * metrics, their cells. A new metric is a field of fw2_report and a row here.
 *
 * Knows report and nothing of httpd. The table is constant; any thread may
 * read it.
 */

#include "page/report.h"

/** The type of a metric's value in memory, and so the way it is written. */
typedef enum {
    FW2_NUMBER,  /**< apr_int64_t */
    FW2_PAGES,   /**< apr_int64_t pages of memory, written as bytes */
    FW2_SECONDS, /**< apr_int64_t microseconds */
    FW2_FLAG,    /**< apr_int64_t, 0 or 1 */
    FW2_TEXT,    /**< const char * */
    FW2_TIMES    /**< a histogram: apr_int64_t[], a class each of the scale's
                      bounds and one more, then their sum in microseconds; its
                      first is FW2_UNKNOWN if all are */
} fw2_kind;

/** A dimension of a metric that is an array. */
typedef struct fw2_dim {
    const char *label;         /**< in OpenMetrics */
    const void *rows;          /**< each begins with its name */
    apr_size_t size;           /**< of a row */
    int n;                     /**< of them */
    const char *const *values; /**< the label's; NULL: the names */
} fw2_dim;

/** The bounds of a histogram's classes, in microseconds. */
typedef struct fw2_scale {
    const apr_int64_t *bounds;
    int n;
} fw2_scale;

/** A histogram's numbers. */
typedef struct fw2_times {
    const fw2_scale *scale;
    const apr_int64_t *n; /**< each class its own only; one more than bounds */
    apr_int64_t sum;      /**< microseconds */
} fw2_times;

/** The most dimensions that a metric has. */
#define FW2_DIMS 2

/** One metric: a row of the table. */
typedef struct fw2_metric {
    const char *key;    /**< in its section's JSON object; NULL ends the rows */
    const char *family; /**< for OpenMetrics, after `finwait2_`; NULL: it is no
                             metric there. A text's is an info family; texts
                             next to each other may share one */
    const char *word;   /**< for `?auto`; NULL: it is not there. With
                             dimensions their names follow */
    fw2_kind kind;
    int counter; /**< it only grows, until httpd or the system starts; a
                            histogram: its numbers do */
    const fw2_scale *scale;        /**< a histogram's */
    apr_size_t offset;             /**< in its section's element */
    const fw2_dim *dims[FW2_DIMS]; /**< the outer first; NULL: fewer */
    const char *help;    /**< a sentence that stands alone, without full stop */
    const char *unknown; /**< why the machine may not give it, or NULL where
                              it always does */
} fw2_metric;

/** A section: an object in JSON, or an array of objects. */
typedef struct fw2_section {
    const char *key;   /**< in JSON; NULL ends the sections */
    const char *title; /**< for a person */
    const char *label; /**< an array's: what tells its elements apart, a text
                            at offset 0 of each */
    apr_size_t offset; /**< in fw2_report: of the object, or the pointer */
    apr_size_t count;  /**< an array's: offset of its int length */
    apr_size_t size;   /**< an array's: of one element */
    const struct fw2_section *inner; /**< an array in each object, or NULL; in
                                          JSON alone */
    const fw2_metric *metrics;
} fw2_section;

/** The table. */
extern const fw2_section fw2_sections[];

/** The prefix of each family's name. */
#define FW2_PREFIX "finwait2_"

/** The section of this key, which there is. */
const fw2_section *fw2_metrics_section(const char *key);

/** A section's elements: how many, and the first. */
int fw2_metrics_count(const fw2_section *section, const fw2_report *report);
const void *fw2_metrics_element(const fw2_section *section,
                                const fw2_report *report, int i);

/** The number of cells of a metric: 1, or the product of its dimensions. */
int fw2_metrics_cells(const fw2_metric *metric);

/** How many cells further the next index along dimension `dim` is. */
int fw2_metrics_stride(const fw2_metric *metric, int dim);

/** The index along dimension `dim` that a cell has. */
int fw2_metrics_index(const fw2_metric *metric, int cell, int dim);

/** Return the name of the i-th row, which is a key in JSON; and the value that
 *  the label has for it. */
const char *fw2_metrics_name(const fw2_dim *dim, int i);
const char *fw2_metrics_value(const fw2_dim *dim, int i);

/** A cell's value: a number, for the kinds that are one, or the text. */
apr_int64_t fw2_metrics_number(const fw2_metric *metric, const void *element,
                               int cell);
const char *fw2_metrics_text(const fw2_metric *metric, const void *element);
fw2_times fw2_metrics_times(const fw2_metric *metric, const void *element);

/** So many virtual hosts are written where nobody asks for another number. */
#define FW2_VHOSTS_SHOWN 100

/** All virtual hosts, and none, for fw2_metrics_choose(). */
#define FW2_VHOSTS_ALL APR_INT64_MAX
#define FW2_VHOSTS_OFF ((apr_int64_t)-1)

/**
 * Have the busiest virtual hosts written, in their order, and all others summed
 * up in a last one of the name `other`. Busy are those with many connections by
 * orders of magnitude: hardly any changes its place, and hardly ever does a sum
 * fall. Takes memory for those that are written only.
 * @param most How many, 0 and above, or one of the two above.
 */
void fw2_metrics_choose(fw2_report *report, const fw2_sources *sources,
                        apr_int64_t most, apr_pool_t *pool);

#endif /* FW2_METRICS_H */
