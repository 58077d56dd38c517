/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_TAP_H
#define FW2_TAP_H

/*
 * The parts of the Test Anything Protocol that unit tests in C need. Each test
 * program is one source file, so everything here is static.
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TAP_UNUSED __attribute__((unused))

static int tap_run;
static int tap_failed;

/** Report one test; return true if it passed. */
TAP_UNUSED __attribute__((format(printf, 2, 3))) static int ok(int passed,
                                                               const char *name,
                                                               ...)
{
    va_list args;

    printf("%sok %d - ", passed ? "" : "not ", ++tap_run);
    va_start(args, name);
    vprintf(name, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
    tap_failed += !passed;
    return passed;
}

TAP_UNUSED static int is_int(long long got, long long expected,
                             const char *name)
{
    int passed = ok(got == expected, "%s", name);

    if (!passed) {
        printf("#      got: %lld\n# expected: %lld\n", got, expected);
    }
    return passed;
}

TAP_UNUSED static int is_str(const char *got, const char *expected,
                             const char *name)
{
    int passed = ok(got && !strcmp(got, expected), "%s", name);

    if (!passed) {
        printf("#      got: %s\n# expected: %s\n", got ? got : "NULL",
               expected);
    }
    return passed;
}

/** Check that a string contains another. */
TAP_UNUSED static int has_str(const char *got, const char *part,
                              const char *name)
{
    int passed = ok(got && strstr(got, part), "%s", name);

    if (!passed) {
        printf("#      got: %s\n# expected: ... %s ...\n", got ? got : "NULL",
               part);
    }
    return passed;
}

/** Skip a test that this machine cannot run, with the reason. */
TAP_UNUSED static void skip(const char *name, const char *why)
{
    printf("ok %d - %s # SKIP %s\n", ++tap_run, name, why);
}

/** Print the plan; return the exit status for main(). */
TAP_UNUSED static int done_testing(void)
{
    printf("1..%d\n", tap_run);
    return tap_failed ? 1 : 0;
}

#endif /* FW2_TAP_H */
