/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_ADVICE_IMPL_H
#define FW2_ADVICE_IMPL_H

/*
 * advice's internal header: the rules, and the figures that several of them
 * use.
 */

#include "page/advice.h"
#include "page/text.h"

/** An initializer for fw2_words: no text, and no number known. */
#define FW2_NO_WORDS                                                           \
    {                                                                          \
        .now = FW2_UNKNOWN, .after = FW2_UNKNOWN                               \
    }

/** A row: the name, the least figure for each level, the words, the owner, the
 *  figure as one or two of the next three. */
#define FW2_RULE(name_, ok_, watch_, danger_, words_, owner_, ...)             \
    {                                                                          \
        .name = (name_), .thresholds = { ok_, watch_, danger_ },               \
        .words = (words_), .owner = (owner_), __VA_ARGS__                      \
    }
#define FW2_MEASURE(function) .measure = (function)
#define FW2_FIGURE(member)    .used = APR_OFFSETOF(fw2_report, member)
#define FW2_SHARE(member, limit_)                                              \
    .used = APR_OFFSETOF(fw2_report, member),                                  \
    .limit = APR_OFFSETOF(fw2_report, limit_)

/** Rules on limits: the kernel's, the closer's descriptors, accept queues. */
extern const fw2_rule fw2_limit_rules[];
/** Rules on lingering, by the closer process and by httpd itself. */
extern const fw2_rule fw2_linger_rules[];
/** Rules on traffic: the causes of closes by httpd, and the orphans. */
extern const fw2_rule fw2_traffic_rules[];

/** The directive that sets FW2_SHORT_LIFE. */
#define FW2_SHORT_DIRECTIVE "FinWait2Timeout"
#define FW2_SHORT_VALUE     "5s"
#define FW2_SHORT_LIFE_TEXT FW2_SHORT_DIRECTIVE " " FW2_SHORT_VALUE

/** Recommend FinWait2UserTimeout, with its risk. */
void fw2_recommend_user_timeout(fw2_words *words);

/** The size of a mini-socket, in bytes (measured, Linux 6.18). */
#define FW2_MINI_BYTES 256

/** The least number of undelivered bytes that slow readers do not explain, and
 *  that makes httpd one of the owners of TCP's buffers. */
#define FW2_MUCH_UNDELIVERED 64000000

/** Return the memory of a number of sockets in bytes, up to the maximum of 64
 *  bits; unknown if the number is. */
apr_int64_t fw2_bytes_of(apr_int64_t n, int each);

/** True if a figure is known. */
int fw2_known(apr_int64_t figure);

/** Return the settings of the virtual host with most orphans; NULL if there is
 *  none, or if it has no settings. */
const fw2_policy *fw2_worst_policy(const fw2_report *report);

/** Return the part of `held` that no closer process holds, as httpd itself
 *  lingers on it. Approximate: the two numbers are not of the same moment. */
apr_int64_t fw2_held_by_httpd(const fw2_report *report);

/** Return the expected number of orphans if each lives for FW2_SHORT_LIFE at
 *  most; unknown if that number is not smaller than now. */
apr_int64_t fw2_fewer_orphans(const fw2_report *report);

/** Return `; 60 % of them are of www.example.com:80 and ..., mostly ...`, or
 *  "". */
const char *fw2_advice_vhosts(apr_pool_t *pool, const fw2_report *report);

/** Return the number of orphans in FIN_WAIT_2 that the traffic of the last
 *  minute leads to; unknown if the rate or the life is unknown. */
apr_int64_t fw2_predicted_orphans(const fw2_report *report);

/** True if mini-sockets run short, or did in the last minute. */
int fw2_minis_short(const fw2_report *report);

#endif /* FW2_ADVICE_IMPL_H */
