/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "fw2_history.h"

#include <string.h>

#include "apr_atomic.h"

static apr_uint64_t load(const apr_uint64_t *from)
{
    return apr_atomic_read64((volatile apr_uint64_t *)from);
}

/* Returns what was there. */
static apr_uint64_t count_up(apr_uint64_t *counter)
{
    return apr_atomic_add64(counter, 1);
}

/* -------------------------------------------------------------- a slot -- */

/* Over a sample and its number, so that what the slot had before is not taken
 * for it. One word that differs always shows, several as good as always. */
static apr_uint64_t sum_of(apr_uint64_t number, const apr_uint64_t *words)
{
    apr_uint64_t sum = number + 1;
    unsigned int i;

    for (i = 0; i < FW2_SAMPLE_WORDS; i++) {
        sum = (sum ^ words[i]) * APR_UINT64_C(0x9e3779b97f4a7c15);
        sum ^= sum >> 32;
    }
    return sum;
}

static void slot_write(fw2_slot *slot, apr_uint64_t number,
                       const fw2_sample *sample)
{
    apr_uint64_t words[FW2_SAMPLE_WORDS];
    unsigned int i;

    memcpy(words, sample, sizeof(words));
    for (i = 0; i < FW2_SAMPLE_WORDS; i++) {
        apr_atomic_set64(&slot->words[i], words[i]);
    }
    apr_atomic_set64(&slot->sum, sum_of(number, words));
}

/* Whether the slot has this sample, whole. */
static int slot_read(const fw2_slot *slot, apr_uint64_t number,
                     fw2_sample *sample)
{
    apr_uint64_t words[FW2_SAMPLE_WORDS];
    unsigned int i;

    for (i = 0; i < FW2_SAMPLE_WORDS; i++) {
        words[i] = load(&slot->words[i]);
    }
    if (load(&slot->sum) != sum_of(number, words)) {
        return 0;
    }
    memcpy(sample, words, sizeof(words));
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

/* Make one of a sample and what was before it. What is not known is lower than
 * all that is. */
static void fold(fw2_sample *minute, const fw2_sample *next)
{
    fw2_sample before = *minute;

    *minute = *next;
    minute->interval = higher(FW2_MINUTE, next->interval);
    minute->held = higher(before.held, next->held);
    minute->orphan = higher(before.orphan, next->orphan);
    minute->timewait = higher(before.timewait, next->timewait);
    minute->marks |= before.marks;
}

/* The minute made of the samples that are in none yet, up to this number;
 * whether there are any. */
static int fold_rest(const fw2_history *history, apr_uint64_t end,
                     fw2_sample *minute)
{
    apr_uint64_t number = load(&history->folded);
    fw2_sample sample;
    int found = 0;

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

/* Begin a new minute if this sample, which is about to be written, does. Who
 * is killed in here leaves it to the next one, which may then write the same
 * minute once more. */
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
    at = count_up(&history->minutes);
    slot_write(&history->minute[at % FW2_HISTORY_MINUTES], at, &minute);
    apr_atomic_set64(&history->folded, number);
}

/* ------------------------------------------------------------- writing -- */

/* One that is further away than any can be is from before the clock was set
 * back, or the interval made shorter. */
static apr_interval_time_t wait_for(apr_time_t due, apr_time_t now,
                                    apr_interval_time_t interval)
{
    return now < due && due - now <= interval ? due - now : 0;
}

apr_interval_time_t fw2_history_wait(const fw2_history *history, apr_time_t now,
                                     apr_interval_time_t interval)
{
    return wait_for((apr_time_t)load(&history->due), now, interval);
}

int fw2_history_claim(fw2_history *history, apr_time_t now,
                      apr_interval_time_t interval)
{
    apr_uint64_t expected = load(&history->due);
    apr_time_t due = (apr_time_t)expected, next = now + interval;

    if (wait_for(due, now, interval)) {
        return 0;
    }
    /* The beat is kept, but for one that is late: between two samples that are
     * close to each other there is no rate to speak of. */
    if (now >= due && now - due < interval / 4) {
        next = due + interval;
    }
    return apr_atomic_cas64(&history->due, (apr_uint64_t)next, expected)
           == expected;
}

void fw2_history_put(fw2_history *history, const fw2_sample *sample)
{
    fw2_sample marked = *sample;
    apr_uint64_t number;

    marked.marks |= apr_atomic_xchg64(&history->marks, 0);
    number = count_up(&history->samples);
    end_minute(history, number, &marked);
    slot_write(&history->recent[number % FW2_HISTORY_RECENT], number, &marked);
}

void fw2_history_mark(fw2_history *history, apr_uint64_t marks)
{
    apr_uint64_t before;

    do {
        before = load(&history->marks);
    } while (apr_atomic_cas64(&history->marks, before | marks, before)
             != before);
}

/* ------------------------------------------------------------- reading -- */

/* Samples on their way out, from the newest to the oldest: those of a span of
 * time that are earlier than the one before. The array fills from its end. */
typedef struct {
    fw2_sample *samples;
    int room, n;
    apr_time_t from, to; /* later than `from`, no later than `to` */
} fw2_copy;

static void copy_out(fw2_copy *copy, const fw2_sample *sample)
{
    if (sample->time > copy->from && sample->time <= copy->to) {
        copy->samples[copy->room - ++copy->n] = *sample;
        copy->to = sample->time - 1;
    }
}

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
    apr_uint64_t written = load(&history->samples), i;
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

    /* In this order a minute that ends meanwhile is read twice rather than not
     * at all, and the second time is left out. */
    if (fold_rest(history, load(&history->samples), &sample)) {
        copy_out(&copy, &sample);
    }
    written = load(&history->minutes);
    for (i = 1; i <= written && i <= FW2_HISTORY_MINUTES; i++) {
        if (read_minute(history, written - i, &sample)) {
            copy_out(&copy, &sample);
        }
    }
    return to_the_front(&copy);
}

int fw2_sample_follows(const fw2_sample *sample, const fw2_sample *before)
{
    apr_interval_time_t apart = sample->time - before->time;

    return apart > 0 && apart <= 2 * before->interval + apr_time_from_sec(1);
}

double fw2_sample_rate(const fw2_sample *sample, const fw2_sample *before)
{
    if (!fw2_sample_follows(sample, before)
        || before->closes == FW2_NOT_SAMPLED) {
        return -1;
    }
    /* Negative by itself if there are fewer, or none known any more. */
    return (double)(sample->closes - before->closes) * APR_USEC_PER_SEC
           / (double)(sample->time - before->time);
}
