/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CLAMP_H
#define FW2_CLAMP_H

/*
 * clamp: a number within bounds. Any process may have written any number into
 * shared memory, so a reader clamps such a number before the number is used.
 *
 * The room depends on APR and not on httpd.
 */

#include "apr.h"

/** The largest value of a number; a sum of a million values fits into 64
 *  bits. */
#define FW2_CLAMP_MOST (APR_INT64_MAX >> 20)

/** Return the value, or the bound that the value is beyond. Any thread; does
 *  not block. */
static inline apr_int64_t fw2_clamp_number(apr_int64_t least, apr_int64_t value,
                                           apr_int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/** Add a number to a sum, up to the maximum of 64 bits. A number below 0 is not
 *  known and adds nothing; a sum below 0 counts as 0. Any thread; does not
 *  block. */
static inline void fw2_clamp_add(apr_int64_t *sum, apr_int64_t n)
{
    apr_int64_t before = *sum < 0 ? 0 : *sum;

    if (n >= 0) {
        *sum = n > APR_INT64_MAX - before ? APR_INT64_MAX : before + n;
    }
}

#endif /* FW2_CLAMP_H */
