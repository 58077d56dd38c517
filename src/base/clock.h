/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CLOCK_H
#define FW2_CLOCK_H

/*
 * clock: the clock that durations are measured with. An administrator may set
 * the time of day; nobody sets this one, and it is the same in all processes.
 */

#include <time.h>

#include "apr_time.h"

/** Microseconds since some moment before the machine's first process. Any
 *  thread; does not block. */
static inline apr_time_t fw2_clock_now(void)
{
    struct timespec now = { 0, 0 };

    clock_gettime(CLOCK_MONOTONIC, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000;
}

/** Microseconds of processor time that this thread has used. */
static inline apr_interval_time_t fw2_clock_cpu(void)
{
    struct timespec now = { 0, 0 };

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000;
}

#endif /* FW2_CLOCK_H */
