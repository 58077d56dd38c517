/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_TEXT_H
#define FW2_TEXT_H

/*
 * How figures and names are spelled for people, in advice and on the page. A
 * figure is known: the caller has seen to that. Texts live in the pool. Any
 * thread; never fails.
 */

#include "apr.h"
#include "apr_pools.h"
#include "apr_time.h"

/** `2,431` */
const char *fw2_text_number(apr_pool_t *pool, apr_int64_t n);

/** `1 orphan`, `2,431 orphans` */
const char *fw2_text_count(apr_pool_t *pool, apr_int64_t n, const char *noun);

/** `80 %`, rounded down; with a decimal where only that tells a part from
 *  nothing or from the whole: `0.4 %`, `99.9 %`. A whole of 0 counts as 1. */
const char *fw2_text_percent(apr_pool_t *pool, apr_int64_t part,
                             apr_int64_t whole);

/** The same in parentheses, with a space in front. */
const char *fw2_text_share(apr_pool_t *pool, apr_int64_t part,
                           apr_int64_t whole);

/** `2,400` for 2,431: two digits that count, for an estimate. */
const char *fw2_text_about(apr_pool_t *pool, apr_int64_t n);

/** `12 a minute`, `1.5 a second`, `40 a second` */
const char *fw2_text_rate(apr_pool_t *pool, apr_int64_t per_minute);

/** `256 bytes`, `25.6 KB`, `0.6 MB`: powers of 1000. */
const char *fw2_text_bytes(apr_pool_t *pool, apr_int64_t bytes);

/** `500 ms`, `60 s`, `1.5 s` */
const char *fw2_text_time(apr_pool_t *pool, apr_interval_time_t time);

/** `45 s`, `12 min`, `5 h`, `3 d`: the largest unit that there is one of. */
const char *fw2_text_long_time(apr_pool_t *pool, apr_interval_time_t time);

/** A foreign name, as fw2_advice_give() promises; if NULL, `otherwise`. */
const char *fw2_text_name(apr_pool_t *pool, const char *name,
                          const char *otherwise);

/** `is`, `was`, or what else changes with a number. */
#define FW2_PLURAL(n, one, many) ((n) == 1 ? (one) : (many))

#endif /* FW2_TEXT_H */
