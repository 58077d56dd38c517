/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * noepoll: to be preloaded into httpd. epoll_create1() fails in the process finwait2
 * only.
 */

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include <sys/epoll.h>
#include <sys/prctl.h>

int epoll_create1(int flags)
{
    void *real = dlsym(RTLD_NEXT, "epoll_create1");
    char name[16] = "";

    prctl(PR_GET_NAME, name, 0, 0, 0);
    if (!strcmp(name, "finwait2")) {
        errno = ENOSYS;
        return -1;
    }
    return (*(int (**)(int))&real)(flags);
}
