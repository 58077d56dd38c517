/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_TEST_CHILD_H
#define FW2_TEST_CHILD_H

/*
 * Child processes of a test, shared memory, and pseudo-random numbers that are
 * the same in each run.
 */

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/wait.h>

#include "base/sync.h"
#include "tap.h"

TAP_UNUSED __attribute__((noreturn)) static void bail_out(const char *why)
{
    printf("Bail out! %s\n", why);
    fflush(stdout);
    exit(1);
}

/** Return shared memory for child processes, filled with zeros. */
TAP_UNUSED static void *shared_memory(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        bail_out("no shared memory");
    }
    return memory;
}

/** Fork a child; the return value of `work` is its exit status. */
TAP_UNUSED static pid_t child_start(int (*work)(void *), void *data)
{
    pid_t pid = fork();

    if (pid < 0) {
        bail_out("no child process");
    }
    if (!pid) {
        alarm(120); /* an alarm is not inherited */
        _exit(work(data));
    }
    return pid;
}

/** Wait for a child. Return its exit status; -1 if a signal killed it. */
TAP_UNUSED static int child_wait(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/** Kill a child, and wait for it. */
TAP_UNUSED static void child_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    (void)child_wait(pid);
}

/** Wait until a shared number reaches a minimum; false after a minute. */
TAP_UNUSED static int wait_until(const fw2_shared *number, apr_uint64_t least)
{
    int i;

    for (i = 0; i < 600000; i++) {
        if (fw2_sync_read(number) >= least) {
            return 1;
        }
        usleep(100);
    }
    return 0;
}

static apr_uint64_t random_state = 88172645463325252u;

/** xorshift64 */
TAP_UNUSED static apr_uint64_t random_number(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

TAP_UNUSED static void random_fill(void *memory, size_t bytes)
{
    unsigned char *to = memory;
    size_t i;

    for (i = 0; i < bytes; i++) {
        to[i] = (unsigned char)(random_number() >> 24);
    }
}

#endif /* FW2_TEST_CHILD_H */
