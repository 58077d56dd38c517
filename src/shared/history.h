/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_HISTORY_H
#define FW2_HISTORY_H

/*
 * history: samples of the last hour and of the last day, in two rings of fixed
 * size.
 *
 * A fw2_history is a plain value without pointers, and all zeros is an empty
 * one: it lives in memory that processes share, and outlives restarts. The
 * closer process of the newest configuration is its one writer. Readers copy
 * samples out meanwhile. Each slot of a ring carries a sum over its sample and
 * its number, so a reader passes over a slot that is being written, that a
 * killed writer left half-written, or that another process has damaged. No
 * number that is read here bounds a loop or an index.
 *
 * The second ring has one sample of each minute, made of those of the first
 * when the next minute begins. A minute with a restart has one for each side
 * of it.
 *
 * Knows APR and nothing of httpd.
 */

#include "apr.h"
#include "apr_errno.h"
#include "apr_pools.h"
#include "apr_time.h"

#include "base/sync.h"

/** Samples in the first ring: an hour at 5 s; less than an hour at less. */
#define FW2_HISTORY_RECENT 720
/** In the second: a day, less if restarts cut minutes in two. */
#define FW2_HISTORY_MINUTES 1440

/** The span of a sample of the second, or more. */
#define FW2_MINUTE apr_time_from_sec(60)

/** How far back the two are read. */
#define FW2_HISTORY_HOUR apr_time_from_sec(3600)
#define FW2_HISTORY_DAY  apr_time_from_sec(86400)

/** A value that is not known. */
#define FW2_NOT_SAMPLED ((apr_int64_t)-1)

/** Events between a sample and the one before, as bits. */
#define FW2_MARK_RESTART 1U /**< httpd was started or restarted */
#define FW2_MARK_CONFIG  2U /**< with other settings than before */

/** A sample: how things were at a time. */
typedef struct fw2_sample {
    apr_time_t time;
    apr_interval_time_t interval; /**< until the next one should come */
    apr_int64_t held, orphan;     /**< half-closed connections */
    apr_int64_t timewait;         /**< mini-sockets */
    apr_int64_t closes;           /**< connections that ended so far, ever */
    apr_int64_t severity;         /**< of the verdict; 0 is good, worse is
                                       greater */
    apr_uint64_t marks;
} fw2_sample;

#define FW2_SAMPLE_WORDS (sizeof(fw2_sample) / sizeof(apr_uint64_t))

/** A slot; only for shared/history.c to look into. */
typedef struct fw2_slot {
    fw2_shared words[FW2_SAMPLE_WORDS];
    fw2_shared sum;
} fw2_slot;

/** Both rings; only for shared/history.c to look into. */
typedef struct fw2_history {
    fw2_shared samples; /**< written to the first ring, ever */
    fw2_shared minutes; /**< written to the second, ever */
    fw2_shared folded;  /**< of `samples`, those that are in a minute */
    fw2_slot recent[FW2_HISTORY_RECENT];
    fw2_slot minute[FW2_HISTORY_MINUTES];
} fw2_history;

/**
 * Make an empty history in shared memory. The parent, in one thread.
 * @param pool Must outlive the children: the process's own.
 * @return APR_SUCCESS, or the system's error; `history` is touched on success
 *         only.
 */
apr_status_t fw2_history_create(fw2_history **history, apr_pool_t *pool);

/**
 * Write a sample. The one writer's, from one thread; does not block.
 * @param sample Stays the caller's. A value that is not known is
 *               FW2_NOT_SAMPLED.
 */
void fw2_history_put(fw2_history *history, const fw2_sample *sample);

/**
 * Copy out the samples of the hour before `now`, oldest first, each later than
 * the one before. A sample that is later than one taken after it dates from
 * before the clock was set back, and is left out. Any thread of any process;
 * does not block.
 * @param samples Room for FW2_HISTORY_RECENT.
 * @return How many there are.
 */
int fw2_history_recent(const fw2_history *history, apr_time_t now,
                       fw2_sample *samples);

/**
 * The same of the day before `now`, one a minute; the last is what is known of
 * the minute that has begun. `held`, `orphan`, `timewait` and `severity` are
 * the highest of the minute, so that no peak vanishes; `closes` is its last.
 * @param samples Room for FW2_HISTORY_MINUTES + 1.
 */
int fw2_history_day(const fw2_history *history, apr_time_t now,
                    fw2_sample *samples);

/** Whether one sample comes next to another: none is missing between. */
int fw2_history_follows(const fw2_sample *sample, const fw2_sample *before);

/**
 * Connections that ended, a second, between a sample and the one before.
 * @return Negative if that is not known: either is not, samples are missing
 *         between, or counting began anew.
 */
double fw2_history_rate(const fw2_sample *sample, const fw2_sample *before);

#endif /* FW2_HISTORY_H */
