/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_KERNEL_H
#define FW2_KERNEL_H

/*
 * Tests against the real kernel: TCP connections on loopback, waits for
 * conditions, and child processes that limit or confine themselves. Each test
 * program is one source file, so everything here is static.
 */

#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "tap.h"

#define MSEC ((apr_interval_time_t)1000)
#define KB   1024
#define MB   (1024 * 1024)

/** End the program, because the setup of a test failed. */
TAP_UNUSED static void bail(const char *what)
{
    printf("Bail out! %s: %s\n", what, strerror(errno));
    exit(1);
}

/* -------------------------------------------------------------- waiting -- */

/** The limit of each wait. */
#define AWAIT_LIMIT apr_time_from_sec(20)

/** Work to do while AWAIT() waits; NULL: sleep for a millisecond. */
static void (*await_step)(void);

/** The number of conditions that never came true; programs test that it is 0. */
static int awaited_in_vain;

/** Do one step; return false if the time is over. */
TAP_UNUSED static int await_more(apr_time_t limit, void (*step)(void))
{
    if (step) {
        step();
    }
    else {
        usleep(1000);
    }
    return fw2_clock_now() < limit;
}

TAP_UNUSED static void await_failed(const char *condition, int line)
{
    printf("# line %d: this condition never came true: %s\n", line, condition);
    fflush(stdout);
    awaited_in_vain++;
}

#define AWAIT_WITH(condition, step)                                            \
    do {                                                                       \
        apr_time_t limit_ = fw2_clock_now() + AWAIT_LIMIT;                     \
        int met_;                                                              \
                                                                               \
        while (!(met_ = (condition) != 0) && await_more(limit_, step)) {       \
        }                                                                      \
        if (!met_) {                                                           \
            await_failed(#condition, __LINE__);                                \
        }                                                                      \
    } while (0)

/** Wait for a condition, and call await_step() meanwhile. */
#define AWAIT(condition) AWAIT_WITH(condition, await_step)

/** Wait for a condition of the kernel, and only sleep meanwhile. */
#define AWAIT_ASLEEP(condition) AWAIT_WITH(condition, NULL)

/* ---------------------------------------------------------- connections -- */

/** Both ends of a connection; -1: closed. */
typedef struct connection {
    int client;
    int server;
} connection;

/** Return a socket that listens on a free port of 127.0.0.1. */
TAP_UNUSED static int listen_on_loopback(void)
{
    struct sockaddr_in here;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memset(&here, 0, sizeof(here));
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof(here))
        || listen(fd, 64)) {
        bail("a listener");
    }
    return fd;
}

/** Connect to a listener. `rcvbuf` is the client's receive buffer in bytes; 0:
 *  the system's. */
TAP_UNUSED static connection connect_to(int listener, int rcvbuf)
{
    struct sockaddr_in here;
    socklen_t len = sizeof(here);
    connection c;

    c.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (rcvbuf) {
        setsockopt(c.client, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
    }
    if (c.client < 0 || getsockname(listener, (struct sockaddr *)&here, &len)
        || connect(c.client, (struct sockaddr *)&here, len)) {
        bail("connect");
    }
    c.server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (c.server < 0) {
        bail("accept");
    }
    return c;
}

/** Close an end if it is open. */
TAP_UNUSED static void close_end(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/** Set SO_LINGER, in seconds. */
TAP_UNUSED static void set_linger(int fd, int seconds)
{
    struct linger linger = { 1, seconds };

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/** Reset an end if it is open. */
TAP_UNUSED static void reset_end(int *fd)
{
    if (*fd >= 0) {
        set_linger(*fd, 0);
    }
    close_end(fd);
}

/** Send n bytes, and call await_step() while the buffer is full. Return the number
 *  of bytes sent before an error or AWAIT_LIMIT. */
TAP_UNUSED static size_t send_bytes(int fd, size_t n)
{
    static const char bytes[64 * KB];
    apr_time_t limit = fw2_clock_now() + AWAIT_LIMIT;
    size_t left = n;

    while (left > 0) {
        size_t piece = left < sizeof(bytes) ? left : sizeof(bytes);
        ssize_t sent = send(fd, bytes, piece, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent > 0) {
            left -= (size_t)sent;
        }
        else if (errno != EAGAIN || !await_more(limit, await_step)) {
            break;
        }
    }
    return n - left;
}

/** Send until the buffers are full; return the number of bytes. */
TAP_UNUSED static long fill_buffers(int fd)
{
    static const char bytes[64 * KB];
    long sum = 0;
    ssize_t n;

    while ((n = send(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
        sum += n;
    }
    return sum;
}

/** Read until the end; return the number of bytes, or -errno. */
TAP_UNUSED static long read_to_end(int fd)
{
    char bytes[64 * KB];
    long sum = 0;
    ssize_t n;

    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
        sum += n;
    }
    return n < 0 ? -errno : sum;
}

/** Wait until bytes, a FIN or a reset can be read. */
TAP_UNUSED static void await_input(int fd)
{
    struct pollfd p = { fd, POLLIN | POLLRDHUP, 0 };

    poll(&p, 1, 20000);
}

/** Return a socket option of SOL_SOCKET, or -1. */
TAP_UNUSED static int socket_option(int fd, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    getsockopt(fd, SOL_SOCKET, name, &value, &len);
    return value;
}

/** Return the number of received unread bytes, or -1. */
TAP_UNUSED static int unread(int fd)
{
    int value = -1;

    ioctl(fd, SIOCINQ, &value);
    return value;
}

/** Return the number of sent unacknowledged bytes, a FIN counted as one; or -1. */
TAP_UNUSED static int unacknowledged(int fd)
{
    int value = -1;

    ioctl(fd, SIOCOUTQ, &value);
    return value;
}

/** Return the state of a TCP socket, as TCP_ESTABLISHED and the like. */
TAP_UNUSED static int tcp_state(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    memset(&info, 0, sizeof(info));
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
    return info.tcpi_state;
}

/* ---------------------------------------------------------- descriptors -- */

/** Count this process's descriptors. The number is too large by a constant. */
TAP_UNUSED static int count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    while (dir && readdir(dir)) {
        n++;
    }
    if (dir) {
        closedir(dir);
    }
    return n;
}

/** Set the soft limit of descriptors; return the old limit. */
TAP_UNUSED static int limit_descriptors(int n)
{
    struct rlimit limit;
    int before;

    getrlimit(RLIMIT_NOFILE, &limit);
    before = (int)limit.rlim_cur;
    limit.rlim_cur = (rlim_t)n;
    setrlimit(RLIMIT_NOFILE, &limit);
    return before;
}

/** Refuse new descriptors; return the old limit. */
TAP_UNUSED static int refuse_descriptors(void)
{
    int free_one = dup(0);

    close(free_one);
    return limit_descriptors(free_one);
}

/* ------------------------------------------------------ child processes -- */

/** The report of a child process without a fault. */
#define FINE "fine"

/** Return from a child's function unless a condition is met. */
#define NEED(condition)                                                        \
    do {                                                                       \
        if (!(condition)) {                                                    \
            return "not met: " #condition;                                     \
        }                                                                      \
    } while (0)

/** Test that a function which limits or confines its process returns FINE. */
TAP_UNUSED static void in_child(const char *(*body)(void), const char *name)
{
    char report[256] = "";
    int ends[2], status = 0;
    ssize_t n;
    pid_t child;

    if (pipe(ends) || (child = fork()) < 0) {
        bail("a child process");
    }
    if (child == 0) {
        const char *text;

        alarm(100);
        text = body();
        _exit(write(ends[1], text, strlen(text)) < 0);
    }
    close(ends[1]);
    n = read(ends[0], report, sizeof(report) - 1);
    close(ends[0]);
    waitpid(child, &status, 0);
    is_str(n > 0 && !status ? report : "the child process died", FINE, name);
}

/** A system call to refuse if the low word of an argument has a value. */
typedef struct syscall_rule {
    unsigned int call;
    unsigned int argument;
    unsigned int value;
    unsigned int error; /**< errno afterwards */
} syscall_rule;

/** Refuse system calls from now on, in all threads, by a seccomp filter.
 *  End the process if there is no seccomp. */
TAP_UNUSED static void confine(const syscall_rule *rules, int n)
{
    struct sock_filter code[64];
    struct sock_fprog program;
    unsigned short len = 0;
    int i;

    for (i = 0; i < n; i++) {
        struct sock_filter one[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                     offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rules[i].call, 0, 3),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                     offsetof(struct seccomp_data, args) + 8 * rules[i].argument
                         + 4 * (htons(1) == 1)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rules[i].value, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | rules[i].error)
        };

        memcpy(code + len, one, sizeof(one));
        len = (unsigned short)(len + sizeof(one) / sizeof(one[0]));
    }
    code[len++] =
        (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    program.len = len;
    program.filter = code;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                   SECCOMP_FILTER_FLAG_TSYNC, &program)) {
        _exit(1);
    }
}

#endif /* FW2_KERNEL_H */
