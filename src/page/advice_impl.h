/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_ADVICE_IMPL_H
#define FW2_ADVICE_IMPL_H

/*
 * Within the room `advice`: a rule, and how figures and names are spelled in
 * its sentences. Every figure that is spelled is known; the caller has seen to
 * that.
 */

#include "page/advice.h"
#include "page/text.h"

/** The owner of the events that the namespace or the machine has counted. */
typedef enum {
    FW2_WHOSE_OTHERS,  /**< another program's, and none of httpd's */
    FW2_WHOSE_UNKNOWN, /**< that cannot be told */
    FW2_WHOSE_OURS     /**< httpd's, among others or alone */
} fw2_whose;

/** Words without any, to begin with. */
#define FW2_NO_WORDS                                                           \
    {                                                                          \
        .now = FW2_FACT_UNKNOWN, .after = FW2_FACT_UNKNOWN                     \
    }

/** A row of the table. */
typedef struct fw2_rule {
    const char *name; /**< NULL ends the table */
    /** The figure that it is about: FW2_FACT_UNKNOWN where that is not known,
     *  or where the rule has nothing to say for another reason. */
    apr_int64_t (*measure)(const fw2_facts *facts);
    /** For each level, the least figure at which it speaks so; 0: never. */
    apr_int64_t from[FW2_LEVELS];
    fw2_words (*say)(const fw2_facts *facts, apr_pool_t *pool);
    /** The owner of the figure, which bounds the level; NULL: it is httpd's. */
    fw2_whose (*whose)(const fw2_facts *facts);
} fw2_rule;

/** Rules on limits: of the kernel, and of httpd's descriptors and places. */
extern const fw2_rule fw2_limit_rules[];
/** Rules on lingering: by whom, and on whom. */
extern const fw2_rule fw2_linger_rules[];
/** Rules on traffic: why httpd closes first, and what that leaves. */
extern const fw2_rule fw2_traffic_rules[];

/** The directive that makes FW2_SHORT_LIFE. */
#define FW2_SHORT_DIRECTIVE "FinWait2Timeout"
#define FW2_SHORT_VALUE     "5s"
#define FW2_SHORT_LIFE_TEXT FW2_SHORT_DIRECTIVE " " FW2_SHORT_VALUE

/** Recommend FinWait2UserTimeout, with its price. */
void fw2_recommend_user_timeout(fw2_words *words);

/** The size of a mini-socket, in bytes (measured, Linux 6.18). */
#define FW2_MINI_BYTES 256

/** Whether a fact is known. */
int fw2_known(apr_int64_t fact);

/** A part of a whole in percent, rounded down, at most 1000; unknown if one of
 *  them is, or if the whole is 0. */
apr_int64_t fw2_share(apr_int64_t part, apr_int64_t whole);

/** Return how many of `held` no closer process has: httpd lingers on them.
 * About: the two are not counted at the same moment. */
apr_int64_t fw2_held_by_httpd(const fw2_facts *facts);

/** All half-closed connections; unknown if a part of them is. */
apr_int64_t fw2_half_closed(const fw2_facts *facts);

/** How long an orphan lives by the settings: microseconds. */
apr_interval_time_t fw2_orphan_time(const fw2_facts *facts);

/** How many orphans there will be once FW2_SHORT_LIFE is what all have at most;
 *  unknown if that does not make them fewer. */
apr_int64_t fw2_fewer_orphans(const fw2_facts *facts);

/** `; 60 % of them are of www.example.com:80 and ..., mostly ...`, or "". */
const char *fw2_advice_vhosts(apr_pool_t *pool, const fw2_facts *facts);

/** How many orphans in FIN_WAIT_2 the last minute explains; unknown as its
 *  parts are. */
apr_int64_t fw2_predicted_orphans(const fw2_facts *facts);

/** Whether mini-sockets run short, or did in the last minute. */
int fw2_minis_short(const fw2_facts *facts);

/** Return the kernel's memory for half-closed connections, in bytes. About:
 *  the sizes are Linux 6.18's, buffers' own overhead is left out. */
apr_int64_t fw2_kernel_memory(const fw2_facts *facts);

#endif /* FW2_ADVICE_IMPL_H */
