/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_ADVICE_H
#define FW2_ADVICE_H

/*
 * advice: the verdict on a report, and advice in sentences: the change to make,
 * its effect, its risk.
 *
 * Each rule is a row of a table: the figure that the rule measures, the least
 * figure for each level, and the function that writes the sentences. The tables
 * are by subject: page/advice_limits.c, page/advice_linger.c,
 * page/advice_traffic.c. No rule applies because of a figure that is not known,
 * and no text contains such a figure.
 *
 * Figures have a scope: httpd's own listening addresses; the whole network
 * namespace, other programs included; or the machine, which is all namespaces
 * together, even inside a container. httpd's are part of the namespace's. No
 * rule divides a figure of the machine by one of another scope, nor the other
 * way round. The verdict is about httpd: a rule on a figure of a wider scope
 * also asks for httpd's part. The level is FW2_OK at most if the figure is
 * another program's, and FW2_WATCH at most if its owner is not known.
 *
 * The room depends on report, and not on httpd. It keeps no state: any thread
 * may call every function, and several threads may do so at once.
 */

#include "page/report.h"

/** The level of an advice or a verdict; a worse one is greater. */
typedef enum {
    FW2_OK,     /**< nothing to do; advice of this level is a note */
    FW2_WATCH,  /**< a cost, now or soon */
    FW2_DANGER, /**< connections are lost or refused, or soon will be */
    FW2_LEVELS
} fw2_level;

/** Their names: ok, watch, danger. */
extern const char *const fw2_level_names[FW2_LEVELS];

/** The words of a rule: whole sentences, each NULL if there is none. */
typedef struct fw2_words {
    const char *finding;   /**< the state, with the number that decided; one
                                sentence, never NULL */
    const char *remedy;    /**< the change to make, and its effect in figures */
    const char *risk;      /**< the risk of that change */
    const char *directive; /**< name of the one recommended setting: a directive
                                of httpd or a `net.` sysctl */
    const char *value;     /**< its value */
    const char *before;    /**< a line to write before that one; or NULL */
    apr_int64_t now, after; /**< the number that the setting changes, and its
                                 expected value afterwards; FW2_UNKNOWN
                                 each if not known */
} fw2_words;

/** The least share of the orphans, in percent, to name a virtual host or a
 *  client. */
#define FW2_NAMED_SHARE 10

/** The owner of a figure of the namespace or the machine. */
typedef enum {
    FW2_OWNER_OTHERS,  /**< other programs, and not httpd */
    FW2_OWNER_UNKNOWN, /**< not known */
    FW2_OWNER_HTTPD    /**< httpd, alone or with others */
} fw2_owner;

/** A rule: a row of a table. */
typedef struct fw2_rule {
    const char *name; /**< NULL ends the table */
    /** Return the figure that the rule measures; FW2_UNKNOWN if it is not
     *  known, or if the rule does not apply for another reason. NULL: the
     *  figure is at `used`. The page draws `used` and `limit` in any case. */
    apr_int64_t (*measure)(const fw2_report *report);
    apr_size_t used;  /**< offset of a number in fw2_report */
    apr_size_t limit; /**< offset of the limit of this number, of which the
                           figure is the share in percent; 0: no limit */
    /** The least figure for each level; 0: the rule never has the level. */
    apr_int64_t thresholds[FW2_LEVELS];
    /** Return the words. Called only if the rule applies. */
    fw2_words (*words)(const fw2_report *report, apr_pool_t *pool);
    /** Return the owner of the figure, which limits the level; NULL: httpd. */
    fw2_owner (*owner)(const fw2_report *report);
} fw2_rule;

/** One piece of advice. */
typedef struct fw2_advice {
    const char *rule; /**< name of the rule; must stay first, as the label of
                           the section `advice` */
    fw2_level level;
    const char *level_name;
    fw2_words words;
    const char *text; /**< finding, remedy and risk in one; never NULL */
    const char *line; /**< the recommended lines, to be pasted; or NULL */
} fw2_advice;

/** Return the name of the level that a sample has as its severity; NULL if it
 *  is no level. */
const char *fw2_advice_level(apr_int64_t severity);

/**
 * Write the verdict and the advice into a report that has all other figures.
 * Never fails. Texts are plain English without markup and without line breaks.
 * The caller escapes them, as they contain names: at most 64 bytes of each, cut
 * with an ellipsis, control characters replaced.
 * @param pool The pool of the advice and of all that it points to.
 */
void fw2_advice_give(fw2_report *report, apr_pool_t *pool);

/** Return the i-th rule, from 0 on; NULL after the last one. */
const fw2_rule *fw2_advice_rule(int i);

/** Return the rule with a name. The rule must exist. */
const fw2_rule *fw2_advice_rule_named(const char *name);

#endif /* FW2_ADVICE_H */
