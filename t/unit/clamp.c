/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The rooms clamp and clock: numbers within bounds, sums, the earlier time. */

#include "base/clamp.h"
#include "base/clock.h"
#include "tap.h"

static apr_int64_t sum_of(apr_int64_t a, apr_int64_t b)
{
    fw2_clamp_add(&a, b);
    return a;
}

int main(void)
{
    is_int(fw2_clamp_number(0, -1, 9), 0,
           "a number below the bounds is raised");
    is_int(fw2_clamp_number(0, 10, 9), 9, "a number above them is lowered");
    is_int(fw2_clamp_number(0, 5, 9), 5, "a number within bounds is unchanged");
    is_int(sum_of(3, 4), 7, "a number is added to a sum");
    is_int(sum_of(-1, 4), 4, "a sum that is not known counts as 0");
    is_int(sum_of(3, -1), 3, "a number that is not known adds nothing");
    is_int(sum_of(-1, -1), -1, "a sum of unknown numbers is not known");
    is_int(sum_of(-1, 0), 0, "a sum of 0 is known");
    is_int(sum_of(APR_INT64_MAX, 1), APR_INT64_MAX, "a sum has a maximum");
    is_int(sum_of(2, APR_INT64_MAX), APR_INT64_MAX,
           "a large number does not overflow a sum");
    is_int(fw2_clock_earlier(5, 3), 3, "the second time may be earlier");
    is_int(fw2_clock_earlier(3, 5), 3, "the first time may be earlier");
    is_int(fw2_clock_earlier(0, 5), 5, "0 is no time in the first place");
    is_int(fw2_clock_earlier(5, 0), 5, "0 is no time in the second place");
    is_int(fw2_clock_earlier(0, 0), 0, "two times that are none are none");
    return done_testing();
}
