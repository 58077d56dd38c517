/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * deny ERRNO COMMAND...: execute a command with a filter that makes every
 * socket(AF_NETLINK, ...) fail with ERRNO, like systemd's RestrictAddressFamilies=
 * (EAFNOSUPPORT) or SELinux (EACCES).
 */

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

/* The lower half of args[], which are 64 bits wide, on a little-endian machine.
 */
#define LOAD(field)                                                           \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define UNLESS(value, skip)                                                   \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skip))
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, (action))

int main(int argc, char **argv)
{
    int code = argc > 2 ? atoi(argv[1]) : 0;
    struct sock_filter filter[] = {
        LOAD(nr),      UNLESS(__NR_socket, 3),
        LOAD(args[0]), UNLESS(AF_NETLINK, 1),
        RETURN(SECCOMP_RET_ERRNO | ((unsigned int)code & SECCOMP_RET_DATA)),
        RETURN(SECCOMP_RET_ALLOW)
    };
    struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

    if (code <= 0) {
        fprintf(stderr, "usage: deny ERRNO COMMAND...\n");
        return 2;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        perror("deny: seccomp");
        return 2;
    }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 127;
}
