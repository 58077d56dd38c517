/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CLOCK_H
#define FW2_CLOCK_H

/*
 * clock: the monotonic clock that durations are measured with. All processes
 * read the same clock, and a change of the time of day does not affect it.
 */

#include <time.h>

#include "apr_time.h"

/** Return the microseconds since some moment before the machine's first
 *  process started. Any thread; does not block. */
static inline apr_time_t fw2_clock_now(void)
{
    struct timespec now = { 0, 0 };

    clock_gettime(CLOCK_MONOTONIC, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000;
}

/** Return the microseconds of processor time that the calling thread has used.
 *  Any thread; does not block. */
static inline apr_interval_time_t fw2_clock_cpu(void)
{
    struct timespec now = { 0, 0 };

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000;
}

/** Return the earlier of two times; 0 is no time. */
static inline apr_time_t fw2_clock_earlier(apr_time_t a, apr_time_t b)
{
    return !a || (b && b < a) ? b : a;
}

#endif /* FW2_CLOCK_H */
