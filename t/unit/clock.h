/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_TEST_CLOCK_H
#define FW2_TEST_CLOCK_H

/* fw2_clock_now() calls clock_gettime(), which is this one in a test that
 * sets the clock forward or stops it. */

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static time_t ahead;            /* seconds to add to each clock */
static struct timespec stopped; /* what each clock shows; 0: the clocks run */

int clock_gettime(clockid_t clock, struct timespec *t)
{
    int status = (int)syscall(SYS_clock_gettime, clock, t);

    t->tv_sec += ahead;
    if (stopped.tv_sec) {
        *t = stopped;
    }
    return status;
}

#endif /* FW2_TEST_CLOCK_H */
