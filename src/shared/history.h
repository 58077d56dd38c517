/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_HISTORY_H
#define FW2_HISTORY_H

/*
 * history: samples of the last hour and of the last day, in two rings of fixed
 * size.
 *
 * A fw2_history is a plain value without pointers, and is empty if all its
 * bytes are zero. It lies in shared memory and outlives restarts. The closer
 * process of the newest configuration is the only writer. Each slot of a ring
 * holds a checksum of its sample and its number, so a reader skips a slot that
 * is being written, that a killed writer left half-written, or that another
 * process has damaged. No number from shared memory bounds a loop or an index.
 *
 * The second ring has one sample a minute, which is made from the first ring
 * when the next minute begins. A minute with a restart has two samples, one
 * from before the restart and one from after it.
 *
 * The room depends on APR and not on httpd.
 */

#include "apr.h"
#include "apr_errno.h"
#include "apr_pools.h"
#include "apr_time.h"

#include "base/sync.h"

/** The samples in the first ring: an hour with an interval of 5 s, less than an
 *  hour with a shorter one. */
#define FW2_HISTORY_RECENT 720
/** The samples in the second ring: a day, or less with restarts. */
#define FW2_HISTORY_MINUTES 1440

/** The shortest span of a sample in the second ring. */
#define FW2_MINUTE apr_time_from_sec(60)

/** The time spans that readers get from the rings. */
#define FW2_HISTORY_HOUR apr_time_from_sec(3600)
#define FW2_HISTORY_DAY  apr_time_from_sec(86400)

/** A value that is not known. */
#define FW2_NOT_SAMPLED ((apr_int64_t)-1)

/** Events between a sample and the previous one, as bits. */
#define FW2_MARK_RESTART 1U /**< httpd was started or restarted */
#define FW2_MARK_CONFIG  2U /**< the restart brought other settings */

/** A sample: the numbers at one time. */
typedef struct fw2_sample {
    apr_time_t time;
    apr_interval_time_t interval; /**< time until the next sample is due */
    apr_int64_t held, orphan;     /**< half-closed connections */
    apr_int64_t timewait;         /**< mini-sockets */
    apr_int64_t closes;           /**< total of connections that ended */
    apr_int64_t severity;         /**< level of the verdict; 0 is good, a worse
                                       level is greater */
    apr_uint64_t marks;           /**< events since the previous sample */
} fw2_sample;

#define FW2_SAMPLE_WORDS (sizeof(fw2_sample) / sizeof(apr_uint64_t))

/** A slot. Only shared/history.c uses the members. */
typedef struct fw2_slot {
    fw2_shared words[FW2_SAMPLE_WORDS];
    fw2_shared sum;
} fw2_slot;

/** Both rings. Only shared/history.c uses the members. */
typedef struct fw2_history {
    fw2_shared samples; /**< number of samples ever written to the first ring */
    fw2_shared minutes; /**< the same for the second ring */
    fw2_shared folded;  /**< number of samples that are part of a minute */
    fw2_slot recent[FW2_HISTORY_RECENT];
    fw2_slot minute[FW2_HISTORY_MINUTES];
} fw2_history;

/**
 * Make an empty history in shared memory. The parent, in one thread.
 * @param history Set on success only.
 * @param pool The process's own pool, since it must outlive the children.
 * @return APR_SUCCESS, or the system's error.
 */
apr_status_t fw2_history_create(fw2_history **history, apr_pool_t *pool);

/**
 * Write a sample. The closer process of the newest configuration, in one
 * thread; does not block.
 * @param sample FW2_NOT_SAMPLED is a value that is not known.
 */
void fw2_history_put(fw2_history *history, const fw2_sample *sample);

/**
 * Copy the samples of the hour before `now`, the oldest first, each later than
 * the previous one. A sample from before the clock was set back may be later
 * than newer samples, and is left out then. Any thread of any process; does not
 * block.
 * @param samples Room for FW2_HISTORY_RECENT samples.
 * @return The number of samples.
 */
int fw2_history_recent(const fw2_history *history, apr_time_t now,
                       fw2_sample *samples);

/**
 * Copy the samples of the day before `now`, like fw2_history_recent(): one for
 * each minute, and one for the minute that has begun. `held`, `orphan`,
 * `timewait` and `severity` are the highest ones of the minute, so that each
 * peak stays visible; `closes` is the last one.
 * @param samples Room for FW2_HISTORY_MINUTES + 1 samples.
 * @return The number of samples.
 */
int fw2_history_day(const fw2_history *history, apr_time_t now,
                    fw2_sample *samples);

/** True if no sample is missing between two samples. */
int fw2_history_follows(const fw2_sample *sample, const fw2_sample *before);

/**
 * Return the connections a second that ended between two samples.
 * @return Negative if the rate is not known: one of the totals is not known,
 *         samples are missing between, or the totals began again at 0.
 */
double fw2_history_rate(const fw2_sample *sample, const fw2_sample *before);

#endif /* FW2_HISTORY_H */
