/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_RECORD_H
#define FW2_RECORD_H

/*
 * record: bytes that one process publishes in shared memory, and that any
 * other process reads as a whole.
 *
 * There is no lock. A record has two places. The writer fills the place that
 * readers do not use, and then directs readers to this place. Each place holds
 * a checksum of its bytes and its number. A reader of a half-written or damaged
 * place finds that the sum does not match, and reads again. Therefore the
 * processor's order of writes does not matter, and the writer may be killed at
 * any point.
 *
 * The room depends on APR and not on httpd. A record of zero bytes has no
 * content.
 */

#include "apr.h"

#include "base/sync.h"

/** The head of a record; its two places follow it in memory. */
typedef struct fw2_record {
    fw2_shared written; /**< number of writes; the last content is in place
                             written % 2 */
} fw2_record;

/** Return the bytes of shared memory that a record needs for this many bytes
 *  of content; a multiple of 8. */
apr_size_t fw2_record_size(apr_size_t bytes);

/**
 * Publish a content. One thread of one process at a time; does not block.
 * @param record 8-byte aligned, of fw2_record_size(bytes).
 */
void fw2_record_write(fw2_record *record, const void *content,
                      apr_size_t bytes);

/**
 * Copy the content that was published last. Any thread of any process; does
 * not block.
 * @param content Overwritten even on failure.
 * @return False if nothing was published, or if the place was half-written or
 *         damaged in each of a few tries.
 */
int fw2_record_read(const fw2_record *record, void *content, apr_size_t bytes);

/** Return a checksum of a number and some words. A difference in one word
 *  always changes the sum; differences in several words change it except by a
 *  rare coincidence. */
apr_uint64_t fw2_record_sum(apr_uint64_t number, const apr_uint64_t *words,
                            apr_size_t n);

#endif /* FW2_RECORD_H */
