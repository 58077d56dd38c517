/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_METRICS_H
#define FW2_METRICS_H

/*
 * metrics: the table of all metrics: the names, types and places of the figures
 * of a report.
 *
 * The writer of each format walks the table: sections, elements of a section,
 * metrics of an element, cells of a metric. A new metric is a member of
 * fw2_report and a row in metrics.c.
 *
 * The room depends on report, and not on httpd. The table is constant; any
 * thread may read it.
 */

#include "page/report.h"

/** The type of a metric's value in memory, which decides how it is written. */
typedef enum {
    FW2_NUMBER,  /**< apr_int64_t */
    FW2_PAGES,   /**< apr_int64_t pages of memory, written as bytes */
    FW2_SECONDS, /**< apr_int64_t microseconds */
    FW2_FLAG,    /**< apr_int64_t, 0 or 1 */
    FW2_TEXT,    /**< const char * */
    FW2_TIMES    /**< a histogram: apr_int64_t[], one number for each bound of
                      the scale and one for the times above, then the sum of the
                      times in microseconds; the first number is FW2_UNKNOWN if
                      all are */
} fw2_kind;

/** A dimension of a metric that is an array. */
typedef struct fw2_dim {
    const char *label;         /**< name of the label in OpenMetrics */
    const void *rows;          /**< rows of which each begins with its name */
    apr_size_t size;           /**< size of a row */
    int n;                     /**< number of rows */
    const char *const *values; /**< values of the label; NULL: the names */
} fw2_dim;

/** The upper bounds of a histogram's classes, in microseconds. */
typedef struct fw2_scale {
    const apr_int64_t *bounds;
    int n;
} fw2_scale;

/** A histogram's numbers. */
typedef struct fw2_times {
    const fw2_scale *scale;
    const apr_int64_t *n; /**< number in each class, not cumulative; one class
                               more than bounds */
    apr_int64_t sum;      /**< sum of the times: microseconds */
} fw2_times;

/** The maximum number of a metric's dimensions. */
#define FW2_DIMS 2

/** One metric: a row of the table. */
typedef struct fw2_metric {
    const char *key;    /**< key in the JSON object of the section; NULL ends
                             the rows */
    const char *family; /**< name in OpenMetrics after `finwait2_`; NULL: not
                             written there. A text has an info family, which
                             adjacent texts may share */
    const char *word;   /**< key in `?auto`, which the names of the dimensions
                             follow; NULL: not written there */
    fw2_kind kind;
    int counter; /**< 1: the value, or each number of a histogram, only grows
                      until httpd or the system is started */
    const fw2_scale *scale;        /**< scale of a histogram, otherwise NULL */
    apr_size_t offset;             /**< offset in an element of the section */
    const fw2_dim *dims[FW2_DIMS]; /**< dimensions, outer first; NULL: fewer */
    const char *help;    /**< a phrase that stands alone, without full stop */
    const char *unknown; /**< reason why the value may not be known; NULL: it
                              is always known */
} fw2_metric;

/** A section: an object in JSON, or an array of objects. */
typedef struct fw2_section {
    const char *key;   /**< key in JSON; NULL ends the sections */
    const char *title; /**< heading on the page */
    const char *label; /**< name of the text at offset 0 of each element, which
                            identifies the element; NULL: not an array */
    apr_size_t offset; /**< offset in fw2_report of the object, or of the
                            pointer to the array */
    apr_size_t count;  /**< offset in fw2_report of the array's int length */
    apr_size_t size;   /**< size of an element of the array */
    const struct fw2_section *inner; /**< an array in each object, written in
                                          JSON only; or NULL */
    const fw2_metric *metrics;
} fw2_section;

/** The table. */
extern const fw2_section fw2_sections[];

/** The prefix of the name of each family. */
#define FW2_PREFIX "finwait2_"

/** Return the section with a key. The section must exist. */
const fw2_section *fw2_metrics_section(const char *key);

/** Return the number of elements of a section: 1 unless it is an array. */
int fw2_metrics_count(const fw2_section *section, const fw2_report *report);

/** Return the i-th element of a section. */
const void *fw2_metrics_element(const fw2_section *section,
                                const fw2_report *report, int i);

/** Return the number of cells of a metric: 1, or the product of the numbers of
 *  rows of its dimensions. */
int fw2_metrics_cells(const fw2_metric *metric);

/** Return the number of cells from an index along dimension `dim` to the
 *  next. */
int fw2_metrics_stride(const fw2_metric *metric, int dim);

/** Return the index of a cell along dimension `dim`. */
int fw2_metrics_index(const fw2_metric *metric, int cell, int dim);

/** Return the name of the i-th row of a dimension, which is a key in JSON. */
const char *fw2_metrics_name(const fw2_dim *dim, int i);

/** Return the value of the label for the i-th row of a dimension. */
const char *fw2_metrics_value(const fw2_dim *dim, int i);

/** Return the number in a cell, for all kinds but FW2_TEXT; for FW2_TIMES the
 *  one in the first class. */
apr_int64_t fw2_metrics_number(const fw2_metric *metric, const void *element,
                               int cell);

/** Return the text of a metric of the kind FW2_TEXT; NULL if there is none. */
const char *fw2_metrics_text(const fw2_metric *metric, const void *element);

/** Return the numbers of a metric of the kind FW2_TIMES. */
fw2_times fw2_metrics_times(const fw2_metric *metric, const void *element);

/** The default number of virtual hosts that are written. */
#define FW2_VHOSTS_SHOWN 100

/** All virtual hosts, and none, for fw2_metrics_choose(). */
#define FW2_VHOSTS_ALL APR_INT64_MAX
#define FW2_VHOSTS_OFF ((apr_int64_t)-1)

/**
 * Choose the virtual hosts to be written: the busiest ones, in their order, and
 * the sum of all others as the last one, with the name `other`. Virtual hosts
 * are compared by the order of magnitude of their numbers of connections, so
 * the chosen ones rarely change, and the sum rarely falls. Allocates memory for
 * the chosen ones only.
 * @param most The maximum number, 0 or greater; or FW2_VHOSTS_ALL or
 *             FW2_VHOSTS_OFF.
 */
void fw2_metrics_choose(fw2_report *report, const fw2_sources *sources,
                        apr_int64_t most, apr_pool_t *pool);

#endif /* FW2_METRICS_H */
