/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_TEST_CLOCK_H
#define FW2_TEST_CLOCK_H

/* This clock_gettime() replaces that of the C library, so that a test can set the
 * clock of fw2_clock_now() forward or stop it. */

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static time_t ahead;            /* seconds to add to each clock */
static struct timespec stopped; /* the time of each clock; 0: the clocks run */

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
