/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_TEXT_H
#define FW2_TEXT_H

/*
 * text: figures and names as text, in advice and on the page. A figure must be
 * known. Texts are allocated from the pool. Any thread may call the functions,
 * which never fail.
 */

#include "apr.h"
#include "apr_pools.h"
#include "apr_time.h"

/** Return `2,431`. */
const char *fw2_text_number(apr_pool_t *pool, apr_int64_t n);

/** Return `1 orphan`, `2,431 orphans`. */
const char *fw2_text_count(apr_pool_t *pool, apr_int64_t n, const char *noun);

/** Return `80 %`, rounded down, and with a decimal below 1 % and above 99 %:
 *  `0.4 %`, `99.9 %`. A whole of 0 counts as 1. */
const char *fw2_text_percent(apr_pool_t *pool, apr_int64_t part,
                             apr_int64_t whole);

/** Return ` (80 %)`, as fw2_text_percent(). */
const char *fw2_text_share(apr_pool_t *pool, apr_int64_t part,
                           apr_int64_t whole);

/** Return an estimate, rounded to two digits: `2,400` for 2,431. */
const char *fw2_text_about(apr_pool_t *pool, apr_int64_t n);

/** Return `12 a minute`, `1.5 a second`, `40 a second`. */
const char *fw2_text_rate(apr_pool_t *pool, apr_int64_t per_minute);

/** Return `256 bytes`, `25.6 KB`, `0.6 MB`: units of powers of 1000. */
const char *fw2_text_bytes(apr_pool_t *pool, apr_int64_t bytes);

/** Return `500 ms`, `60 s`, `1.5 s`. */
const char *fw2_text_time(apr_pool_t *pool, apr_interval_time_t time);

/** Return `45 s`, `12 min`, `5 h`, `3 d`: in the largest unit of which the time
 *  has at least one, rounded down. */
const char *fw2_text_long_time(apr_pool_t *pool, apr_interval_time_t time);

/** Return an untrusted name, cut and cleaned as in fw2_advice_give(); or
 *  `otherwise` for NULL. */
const char *fw2_text_name(apr_pool_t *pool, const char *name,
                          const char *otherwise);

/** Choose between `is` and `are`, or other words that depend on a number. */
#define FW2_PLURAL(n, one, many) ((n) == 1 ? (one) : (many))

#endif /* FW2_TEXT_H */
