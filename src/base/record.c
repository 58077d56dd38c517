/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "base/record.h"

#include <string.h>

/* A reader meets a half-written place about once in a thousand reads. Two such
 * reads in a row mean that the writer is faster than the reader. */
#define TRIES 4

#define WORD sizeof(apr_uint64_t)

static apr_size_t words_of(apr_size_t bytes)
{
    return (bytes + WORD - 1) / WORD;
}

apr_size_t fw2_record_size(apr_size_t bytes)
{
    return sizeof(fw2_record) + 2 * (1 + words_of(bytes)) * WORD;
}

/* Mix one word into a sum. Both steps are reversible, so two different words
 * always make two different sums. */
static apr_uint64_t mix(apr_uint64_t sum, apr_uint64_t word)
{
    sum = (sum ^ word) * APR_UINT64_C(0x9e3779b97f4a7c15);
    return sum ^ sum >> 32;
}

apr_uint64_t fw2_record_sum(apr_uint64_t number, const apr_uint64_t *words,
                            apr_size_t n)
{
    apr_uint64_t sum = number + 1;
    apr_size_t i;

    for (i = 0; i < n; i++) {
        sum = mix(sum, words[i]);
    }
    return sum;
}

/* Return the place of a content's number: its sum, then its words. */
static fw2_shared *place_of(const fw2_record *record, apr_uint64_t number,
                            apr_size_t words)
{
    return (fw2_shared *)(record + 1) + number % 2 * (1 + words);
}

/* Return how many bytes of the content one word holds: the last word may hold
 * fewer than eight. */
static apr_size_t bytes_in(apr_size_t word, apr_size_t bytes)
{
    apr_size_t left = bytes - word * WORD;

    return left < WORD ? left : WORD;
}

/* Return the number of the next content, which goes to the other place. 0 means
 * that nothing is published; only a damaged number can wrap around to it. */
static apr_uint64_t next_number(const fw2_record *record)
{
    apr_uint64_t number = fw2_sync_read(&record->written) + 1;

    return number ? number : 2;
}

void fw2_record_write(fw2_record *record, const void *content, apr_size_t bytes)
{
    apr_uint64_t number = next_number(record);
    apr_size_t words = words_of(bytes), i;
    fw2_shared *place = place_of(record, number, words);
    apr_uint64_t sum = number + 1;

    for (i = 0; i < words; i++) {
        apr_uint64_t word = 0;

        memcpy(&word, (const char *)content + i * WORD, bytes_in(i, bytes));
        fw2_sync_write(&place[1 + i], word);
        sum = mix(sum, word);
    }
    fw2_sync_write(&place[0], sum);
    fw2_sync_write(&record->written, number);
}

static int read_place(const fw2_record *record, apr_uint64_t number,
                      void *content, apr_size_t bytes)
{
    apr_size_t words = words_of(bytes), i;
    const fw2_shared *place = place_of(record, number, words);
    apr_uint64_t sum = number + 1;

    for (i = 0; i < words; i++) {
        apr_uint64_t word = fw2_sync_read(&place[1 + i]);

        memcpy((char *)content + i * WORD, &word, bytes_in(i, bytes));
        sum = mix(sum, word);
    }
    return fw2_sync_read(&place[0]) == sum;
}

int fw2_record_read(const fw2_record *record, void *content, apr_size_t bytes)
{
    int i;

    for (i = 0; i < TRIES; i++) {
        apr_uint64_t number = fw2_sync_read(&record->written);

        if (!number) {
            return 0;
        }
        if (read_place(record, number, content, bytes)) {
            return 1;
        }
    }
    return 0;
}
