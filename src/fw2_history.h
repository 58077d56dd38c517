/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_HISTORY_H
#define FW2_HISTORY_H

/*
 * history: samples of the last hour and of the last day, in two rings of fixed
 * size.
 *
 * A fw2_history is a plain value without pointers, and all zeros is an empty
 * one: it can live in memory that processes share. Nobody locks. Who would
 * like to take a sample asks for leave to; of many in as many processes, one
 * has it, once in an interval. Readers copy samples out meanwhile. Each slot
 * of a ring carries a sum over what is in it, so that one which is being
 * written, or whose writer was killed over it, is passed over and not taken
 * for a sample: whatever the processor's order, and however many write.
 *
 * Of each minute, the second ring has one sample, made of those of the first
 * when the next minute begins. A minute in which httpd was restarted has one
 * for each side of that.
 *
 * Knows APR and nothing of httpd. Any thread of any process may call any
 * function here at any time. 64-bit atomics want APR 1.7.
 */

#include "apr.h"
#include "apr_time.h"

/** Samples in the first ring: an hour at 5 s; less than an hour at less. */
#define FW2_HISTORY_RECENT 720
/** In the second: a day, less if restarts cut minutes in two. */
#define FW2_HISTORY_MINUTES 1440

/** What a sample of the second stands for, or for more. */
#define FW2_MINUTE apr_time_from_sec(60)

/** How far back the two are read. */
#define FW2_HISTORY_HOUR apr_time_from_sec(3600)
#define FW2_HISTORY_DAY  apr_time_from_sec(86400)

/** What nobody could tell. */
#define FW2_NOT_SAMPLED ((apr_int64_t)-1)

/** What happened between a sample and the one before, as bits. */
#define FW2_MARK_RESTART 1U /**< httpd was started or restarted */
#define FW2_MARK_CONFIG  2U /**< with other settings than before */

/** A sample: how things were at a time. */
typedef struct fw2_sample {
    apr_time_t time;
    apr_interval_time_t interval; /**< until the next one should come */
    apr_int64_t held, orphan;     /**< half-closed connections */
    apr_int64_t timewait;         /**< mini-sockets */
    apr_int64_t closes;           /**< connections that ended so far, ever */
    apr_int64_t by_server;        /**< of these, those that httpd closed */
    apr_uint64_t marks;
} fw2_sample;

#define FW2_SAMPLE_WORDS (sizeof(fw2_sample) / sizeof(apr_uint64_t))

/** A slot; only for fw2_history.c to look into. */
typedef struct fw2_slot {
    apr_uint64_t words[FW2_SAMPLE_WORDS];
    apr_uint64_t sum;
} fw2_slot;

/** Both rings; all of it atomic, and only for fw2_history.c to look into. */
typedef struct fw2_history {
    apr_uint64_t due;     /**< when the next sample is */
    apr_uint64_t marks;   /**< for the next sample */
    apr_uint64_t samples; /**< written to the first ring, ever */
    apr_uint64_t minutes; /**< written to the second, ever */
    apr_uint64_t folded;  /**< of `samples`, those that are in a minute */
    fw2_slot recent[FW2_HISTORY_RECENT];
    fw2_slot minute[FW2_HISTORY_MINUTES];
} fw2_history;

/** Microseconds until the next sample is due: 0 to `interval`. As below. */
apr_interval_time_t fw2_history_wait(const fw2_history *history, apr_time_t now,
                                     apr_interval_time_t interval);

/**
 * Ask for leave to take the next sample. Who is killed before it has written
 * it leaves a gap, and the next interval is open to all again.
 * @param now The time, by the clock that samples have; it may be set back or
 *            forth.
 * @param interval Microseconds from one sample to the next.
 * @return Whether the caller, and nobody else, is to take it. Leaves are given
 *         three quarters of an interval apart at least.
 */
int fw2_history_claim(fw2_history *history, apr_time_t now,
                      apr_interval_time_t interval);

/**
 * Write a sample, by leave. Marks that wait are added to those it has.
 * @param sample Stays the caller's. What is not known is FW2_NOT_SAMPLED.
 */
void fw2_history_put(fw2_history *history, const fw2_sample *sample);

/** Have the next sample carry these marks, too. */
void fw2_history_mark(fw2_history *history, apr_uint64_t marks);

/**
 * Copy out the samples of the hour before `now`, oldest first, each later than
 * the one before. What is later than a sample that was taken after it dates
 * from before the clock was set back, and is left out.
 * @param samples Room for FW2_HISTORY_RECENT.
 * @return How many there are.
 */
int fw2_history_recent(const fw2_history *history, apr_time_t now,
                       fw2_sample *samples);

/**
 * The same of the day before `now`, one a minute; the last is what is known of
 * the minute that has begun. `held`, `orphan` and `timewait` are the highest
 * of the minute, so that no peak vanishes; the counters are its last.
 * @param samples Room for FW2_HISTORY_MINUTES + 1.
 */
int fw2_history_day(const fw2_history *history, apr_time_t now,
                    fw2_sample *samples);

/** Whether one sample comes next to another: none is missing between. */
int fw2_sample_follows(const fw2_sample *sample, const fw2_sample *before);

/**
 * Connections that ended, a second, between a sample and the one before.
 * @return Negative if that is not known: either is not, samples are missing
 *         between, or counting began anew.
 */
double fw2_sample_rate(const fw2_sample *sample, const fw2_sample *before);

#endif /* FW2_HISTORY_H */
