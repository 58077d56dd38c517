/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_SYNC_H
#define FW2_SYNC_H

/*
 * sync: numbers that processes share, and the synchronization by httpd that the
 * thread sanitizer cannot see.
 *
 * The functions use the compiler's own atomics, because APR 1.7.0 reads and
 * writes a 64-bit number without any order. The functions do not order two
 * numbers either: a reader that needs several numbers of one moment reads a
 * fw2_record, which holds a checksum.
 *
 * Any thread of any process may call the functions; none of them blocks.
 */

#include <stddef.h>

#include "apr.h"

/** A number in shared memory. i386 aligns 64-bit numbers to 4 bytes, with which
 *  an access is not atomic; hence the attribute. */
typedef apr_uint64_t fw2_shared __attribute__((aligned(8)));

_Static_assert(sizeof(fw2_shared) == 8, "arrays of fw2_shared have no gaps");
_Static_assert(offsetof(
                   struct {
                       char before;
                       fw2_shared number;
                   },
                   number)
                   == 8,
               "a structure aligns fw2_shared as its atomic access needs");

static inline apr_uint64_t fw2_sync_read(const fw2_shared *number)
{
    return __atomic_load_n(number, __ATOMIC_RELAXED);
}

/* This check of clang-tidy does not see that the builtins write. */
/* NOLINTBEGIN(readability-non-const-parameter) */
static inline void fw2_sync_write(fw2_shared *number, apr_uint64_t value)
{
    __atomic_store_n(number, value, __ATOMIC_RELAXED);
}

static inline void fw2_sync_add(fw2_shared *number, apr_uint64_t value)
{
    (void)__atomic_fetch_add(number, value, __ATOMIC_RELAXED);
}

/** Write a value if the number is still `expected`. True if it was. */
static inline int fw2_sync_replace(fw2_shared *number, apr_uint64_t expected,
                                   apr_uint64_t value)
{
    return __atomic_compare_exchange_n(number, &expected, value, 0,
                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
/* NOLINTEND(readability-non-const-parameter) */

/*
 * httpd synchronizes when it moves a connection to another thread or reuses the
 * memory of a connection. The thread sanitizer does not see this
 * synchronization in an httpd that was built without the sanitizer. Each hook
 * therefore reports it to the sanitizer, when the hook begins and when it ends.
 * The macros are empty in other builds.
 */
#ifdef __SANITIZE_THREAD__

#include <sanitizer/tsan_interface.h>

/** The address that stands for all synchronization by httpd. */
extern char fw2_sync_httpd;

#define fw2_sync_from_httpd() __tsan_acquire(&fw2_sync_httpd)
#define fw2_sync_to_httpd()   __tsan_release(&fw2_sync_httpd)

#else

#define fw2_sync_from_httpd() ((void)0)
#define fw2_sync_to_httpd()   ((void)0)

#endif

#endif /* FW2_SYNC_H */
