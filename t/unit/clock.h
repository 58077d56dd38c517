/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CLOCK_H
#define FW2_CLOCK_H

/* apr_time_now() is of gettimeofday(), which is this one in a test that wants
 * to be years ahead. */

#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t ahead; /* seconds that the clock is */

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    int status = (int)syscall(SYS_gettimeofday, t, zone);

    t->tv_sec += ahead;
    return status;
}

#endif /* FW2_CLOCK_H */
