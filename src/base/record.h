/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_RECORD_H
#define FW2_RECORD_H

/*
 * record: bytes that one process publishes in shared memory and any other
 * reads as a whole.
 *
 * There is no lock. The writer fills the one of two places that readers are
 * not shown, and then shows it. Each place carries a sum over its bytes and
 * its number: a reader that meets a half-written or damaged place sees that
 * the sum does not match, and reads again. So the processor's order of writes
 * does not matter, and a writer may be killed anywhere.
 *
 * Knows APR and nothing of httpd. All zeros is a record without content.
 */

#include "apr.h"

#include "base/sync.h"

/** The head of a record; its two places follow it in memory. */
typedef struct fw2_record {
    fw2_shared written; /**< how many times; the last is in place written % 2 */
} fw2_record;

/** The bytes of shared memory that a record takes for this many bytes of
 *  content; a multiple of 8. */
apr_size_t fw2_record_size(apr_size_t bytes);

/**
 * Publish. One process at a time, and there one thread; does not block.
 * @param record 8-byte aligned, of fw2_record_size(bytes).
 */
void fw2_record_write(fw2_record *record, const void *content,
                      apr_size_t bytes);

/**
 * Copy out what was published last. Any thread of any process; does not block.
 * @param content Touched even on failure.
 * @return False if nothing was published, or if the place was being written
 *         to, or is damaged, in each of a few tries.
 */
int fw2_record_read(const fw2_record *record, void *content, apr_size_t bytes);

/** A sum over words and a number; one word that differs always changes it,
 *  several words as good as always. */
apr_uint64_t fw2_record_sum(apr_uint64_t number, const apr_uint64_t *words,
                            apr_size_t n);

#endif /* FW2_RECORD_H */
