/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_ADVICE_IMPL_H
#define FW2_ADVICE_IMPL_H

/*
 * Within the room `advice`: a rule, and how figures and names are spelled in
 * its sentences. What is spelled is known; the caller has seen to that.
 */

#include "fw2_advice.h"

/** What a rule says. Whole sentences. */
typedef struct fw2_words {
    const char *finding; /**< what is, with the number that decided */
    const char *remedy;  /**< what to do, what it does, what not to do; or
                              NULL */
} fw2_words;

/** A row of the table. */
typedef struct fw2_rule {
    const char *name; /**< NULL ends the table */
    /** The figure that it is about: FW2_FACT_UNKNOWN where that is not known,
     *  or where the rule has nothing to say for another reason. */
    apr_int64_t (*measure)(const fw2_facts *facts);
    /** For each level, the least figure at which it speaks so; 0: never. */
    apr_int64_t from[FW2_LEVELS];
    fw2_words (*say)(const fw2_facts *facts, apr_pool_t *pool);
} fw2_rule;

/** What may run out: of the kernel, and of descriptors and places of httpd. */
extern const fw2_rule fw2_limit_rules[];
/** Who lingers, and on whom. */
extern const fw2_rule fw2_linger_rules[];
/** What comes and goes: why httpd closes first, and what that leaves. */
extern const fw2_rule fw2_traffic_rules[];

/** How FW2_SHORT_LIFE is written. */
#define FW2_SHORT_LIFE_TEXT "FinWait2Timeout 5s"

/** What a mini-socket takes in the kernel, in bytes. (Measured, Linux 6.18.) */
#define FW2_MINI_BYTES 256

/** Whether a fact is known. */
int fw2_known(apr_int64_t fact);

/** A part of a whole in percent, rounded down, at most 1000; unknown if one of
 *  them is, or if the whole is 0. */
apr_int64_t fw2_share(apr_int64_t part, apr_int64_t whole);

/** Of `held`, those that no closer has: httpd lingers on them itself. About:
 *  the two are not counted at the same moment. */
apr_int64_t fw2_held_by_httpd(const fw2_facts *facts);

/** All half-closed connections; unknown if a part of them is. */
apr_int64_t fw2_half_closed(const fw2_facts *facts);

/** How long an orphan lives by the settings: microseconds. */
apr_interval_time_t fw2_orphan_time(const fw2_facts *facts);

/** How many orphans there will be once FW2_SHORT_LIFE is what all have at most;
 *  unknown if that does not make them fewer. */
apr_int64_t fw2_fewer_orphans(const fw2_facts *facts);

/** `; 60 % of them are www.example.com:80's and 30 % ..., mostly ...`, or "". */
const char *fw2_text_whose(apr_pool_t *pool, const fw2_facts *facts);

/** Whether mini-sockets run short, or did in the last minute. */
int fw2_minis_short(const fw2_facts *facts);

/** What half-closed connections take of the kernel's memory, in bytes. About:
 *  the sizes are Linux 6.18's, buffers' own overhead is left out. */
apr_int64_t fw2_kernel_memory(const fw2_facts *facts);

/** `is`, `was`, or what else changes with a number. */
#define FW2_PLURAL(n, one, many) ((n) == 1 ? (one) : (many))

/** `2,431` */
const char *fw2_text_number(apr_pool_t *pool, apr_int64_t n);

/** `1 orphan`, `2,431 orphans` */
const char *fw2_text_count(apr_pool_t *pool, apr_int64_t n, const char *noun);

/** ` (80 %)`, with a space in front */
const char *fw2_text_share(apr_pool_t *pool, apr_int64_t part,
                           apr_int64_t whole);

/** `2,400` for 2,431: two digits that count, for what is about so many. */
const char *fw2_text_about(apr_pool_t *pool, apr_int64_t n);

/** `12 a minute`, `1.5 a second`, `40 a second` */
const char *fw2_text_rate(apr_pool_t *pool, apr_int64_t per_minute);

/** `256 bytes`, `25.6 KB`, `0.6 MB`: powers of 1000. */
const char *fw2_text_bytes(apr_pool_t *pool, apr_int64_t bytes);

/** `500 ms`, `60 s`, `1.5 s` */
const char *fw2_text_time(apr_pool_t *pool, apr_interval_time_t time);

/** A foreign name, as fw2_advise() promises; if it is NULL, `otherwise`. */
const char *fw2_text_name(apr_pool_t *pool, const char *name,
                          const char *otherwise);

#endif /* FW2_ADVICE_IMPL_H */
