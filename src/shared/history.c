/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "shared/history.h"

#include <string.h>

#include "apr_shm.h"

#include "base/clamp.h"
#include "base/record.h"

apr_status_t fw2_history_create(fw2_history **history, apr_pool_t *pool)
{
    apr_shm_t *shm;
    apr_status_t rv = apr_shm_create(&shm, sizeof(**history), NULL, pool);

    if (rv == APR_SUCCESS) {
        *history = apr_shm_baseaddr_get(shm);
    }
    return rv;
}

/* -------------------------------------------------------------- a slot -- */

static void slot_write(fw2_slot *slot, apr_uint64_t number,
                       const fw2_sample *sample)
{
    apr_uint64_t words[FW2_SAMPLE_WORDS];
    unsigned int i;

    memcpy(words, sample, sizeof(words));
    for (i = 0; i < FW2_SAMPLE_WORDS; i++) {
        fw2_sync_write(&slot->words[i], words[i]);
    }
    fw2_sync_write(&slot->sum, fw2_record_sum(number, words, FW2_SAMPLE_WORDS));
}

/* Clamp the numbers of a sample, which any process may have written. */
static void clamp(fw2_sample *sample)
{
    apr_int64_t *const numbers[] = { &sample->held, &sample->orphan,
                                     &sample->timewait, &sample->closes,
                                     &sample->severity };
    unsigned int i;

    sample->interval = fw2_clamp_number(0, sample->interval, FW2_HISTORY_DAY);
    for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        *numbers[i] =
            fw2_clamp_number(FW2_NOT_SAMPLED, *numbers[i], FW2_CLAMP_MOST);
    }
}

/* Read a sample. True if the slot has all of it, with this number. */
static int slot_read(const fw2_slot *slot, apr_uint64_t number,
                     fw2_sample *sample)
{
    apr_uint64_t words[FW2_SAMPLE_WORDS];
    unsigned int i;

    for (i = 0; i < FW2_SAMPLE_WORDS; i++) {
        words[i] = fw2_sync_read(&slot->words[i]);
    }
    if (fw2_sync_read(&slot->sum)
        != fw2_record_sum(number, words, FW2_SAMPLE_WORDS)) {
        return 0;
    }
    memcpy(sample, words, sizeof(words));
    clamp(sample);
    return 1;
}

static int read_recent(const fw2_history *history, apr_uint64_t number,
                       fw2_sample *sample)
{
    return slot_read(&history->recent[number % FW2_HISTORY_RECENT], number,
                     sample);
}

static int read_minute(const fw2_history *history, apr_uint64_t number,
                       fw2_sample *sample)
{
    return slot_read(&history->minute[number % FW2_HISTORY_MINUTES], number,
                     sample);
}

/* ------------------------------------------------------------- minutes -- */

static apr_int64_t higher(apr_int64_t a, apr_int64_t b)
{
    return a > b ? a : b;
}

/* Add the next sample to a minute. An unknown number is lower than any known
 * one. */
static void fold(fw2_sample *minute, const fw2_sample *next)
{
    fw2_sample before = *minute;

    *minute = *next;
    minute->interval = higher(FW2_MINUTE, next->interval);
    minute->held = higher(before.held, next->held);
    minute->orphan = higher(before.orphan, next->orphan);
    minute->timewait = higher(before.timewait, next->timewait);
    minute->severity = higher(before.severity, next->severity);
    minute->marks |= before.marks;
}

/* Make a minute of the samples that are part of no minute yet, up to the number
 * `end`. True if there are any. */
static int fold_rest(const fw2_history *history, apr_uint64_t end,
                     fw2_sample *minute)
{
    apr_uint64_t number = fw2_sync_read(&history->folded);
    fw2_sample sample;
    int found = 0;

    if (number > end || end - number > FW2_HISTORY_RECENT) {
        number = end < FW2_HISTORY_RECENT ? 0 : end - FW2_HISTORY_RECENT;
    }
    for (; number < end; number++) {
        if (read_recent(history, number, &sample)) {
            if (!found++) {
                *minute = sample;
            }
            fold(minute, &sample);
        }
    }
    return found;
}

/* Write the last minute if a sample, which is written next, begins a new one.
 * If the writer is killed in this function, the next writer may write the same
 * minute again. */
static void end_minute(fw2_history *history, apr_uint64_t number,
                       const fw2_sample *sample)
{
    fw2_sample minute;
    apr_uint64_t at;

    if (!fold_rest(history, number, &minute)
        || (minute.time / FW2_MINUTE == sample->time / FW2_MINUTE
            && !(sample->marks & FW2_MARK_RESTART))) {
        return;
    }
    at = fw2_sync_read(&history->minutes);
    slot_write(&history->minute[at % FW2_HISTORY_MINUTES], at, &minute);
    fw2_sync_write(&history->minutes, at + 1);
    fw2_sync_write(&history->folded, number);
}

void fw2_history_put(fw2_history *history, const fw2_sample *sample)
{
    apr_uint64_t number = fw2_sync_read(&history->samples);

    end_minute(history, number, sample);
    slot_write(&history->recent[number % FW2_HISTORY_RECENT], number, sample);
    fw2_sync_write(&history->samples, number + 1);
}

/* ------------------------------------------------------------- reading -- */

/* The samples copied so far, from the newest to the oldest: those of a time
 * span that are earlier than the previously copied one. The array fills from
 * its end. */
typedef struct {
    fw2_sample *samples;
    int room, n;
    apr_time_t from, to; /* the span: later than `from`, up to `to` */
} fw2_copy;

static void copy_out(fw2_copy *copy, const fw2_sample *sample)
{
    if (sample->time > copy->from && sample->time <= copy->to) {
        copy->samples[copy->room - ++copy->n] = *sample;
        copy->to = sample->time - 1;
    }
}

/* Move the copied samples to the begin of the array. Return their number. */
static int to_the_front(const fw2_copy *copy)
{
    memmove(copy->samples, copy->samples + copy->room - copy->n,
            (apr_size_t)copy->n * sizeof(*copy->samples));
    return copy->n;
}

int fw2_history_recent(const fw2_history *history, apr_time_t now,
                       fw2_sample *samples)
{
    fw2_copy copy = { samples, FW2_HISTORY_RECENT, 0, now - FW2_HISTORY_HOUR,
                      now };
    apr_uint64_t written = fw2_sync_read(&history->samples), i;
    fw2_sample sample;

    for (i = 1; i <= written && i <= FW2_HISTORY_RECENT; i++) {
        if (read_recent(history, written - i, &sample)) {
            copy_out(&copy, &sample);
        }
    }
    return to_the_front(&copy);
}

int fw2_history_day(const fw2_history *history, apr_time_t now,
                    fw2_sample *samples)
{
    fw2_copy copy = { samples, FW2_HISTORY_MINUTES + 1, 0,
                      now - FW2_HISTORY_DAY, now };
    apr_uint64_t written, i;
    fw2_sample sample;

    /* With this order a minute that ends meanwhile is read twice, of which the
     * second one is left out, and never missed. */
    if (fold_rest(history, fw2_sync_read(&history->samples), &sample)) {
        copy_out(&copy, &sample);
    }
    written = fw2_sync_read(&history->minutes);
    for (i = 1; i <= written && i <= FW2_HISTORY_MINUTES; i++) {
        if (read_minute(history, written - i, &sample)) {
            copy_out(&copy, &sample);
        }
    }
    return to_the_front(&copy);
}

int fw2_history_follows(const fw2_sample *sample, const fw2_sample *before)
{
    apr_interval_time_t apart = sample->time - before->time;

    return apart > 0 && apart <= 2 * before->interval + apr_time_from_sec(1);
}

double fw2_history_rate(const fw2_sample *sample, const fw2_sample *before)
{
    if (!fw2_history_follows(sample, before)
        || before->closes == FW2_NOT_SAMPLED) {
        return -1;
    }
    /* The difference is negative if the total is smaller now, or unknown. */
    return (double)(sample->closes - before->closes) * APR_USEC_PER_SEC
           / (double)(sample->time - before->time);
}
