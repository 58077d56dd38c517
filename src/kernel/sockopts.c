/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "kernel/sockopts.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

const fw2_sockopts fw2_sockopts_system = { FW2_TIMEOUT_SYSTEM,
                                           FW2_SOCKET_LINGER_OFF };

fw2_sockopts fw2_sockopts_of(const fw2_policy *policy)
{
    fw2_sockopts opts = fw2_sockopts_system;

    if (policy->engine) {
        opts.linger2 = (int)policy->timeout;
        opts.so_linger = (int)policy->socket_linger;
    }
    return opts;
}

int fw2_sockopts_equal(fw2_sockopts a, fw2_sockopts b)
{
    return a.linger2 == b.linger2 && a.so_linger == b.so_linger;
}

int fw2_sockopts_has_linger2(void)
{
#ifdef TCP_LINGER2
    return 1;
#else
    return 0;
#endif
}

static apr_status_t set_linger2(int fd, int seconds)
{
#ifdef TCP_LINGER2
    if (setsockopt(fd, IPPROTO_TCP, TCP_LINGER2, &seconds, sizeof(seconds))) {
        return apr_get_netos_error();
    }
    return APR_SUCCESS;
#else
    return seconds == FW2_TIMEOUT_SYSTEM ? APR_SUCCESS : APR_ENOTIMPL;
#endif
}

static apr_status_t set_so_linger(int fd, int seconds)
{
    struct linger linger;

    linger.l_onoff = seconds != FW2_SOCKET_LINGER_OFF;
    linger.l_linger = linger.l_onoff ? seconds : 0;
    if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger))) {
        return apr_get_netos_error();
    }
    return APR_SUCCESS;
}

apr_status_t fw2_sockopts_apply(int fd, fw2_sockopts *present,
                                fw2_sockopts want)
{
    apr_status_t rv;

    if (!present || present->linger2 != want.linger2) {
        rv = set_linger2(fd, want.linger2);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        if (present) {
            present->linger2 = want.linger2;
        }
    }
    if (!present || present->so_linger != want.so_linger) {
        rv = set_so_linger(fd, want.so_linger);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        if (present) {
            present->so_linger = want.so_linger;
        }
    }
    return APR_SUCCESS;
}

void fw2_sockopts_close(int fd, int reset)
{
    (void)set_so_linger(fd, reset ? FW2_SOCKET_LINGER_RESET
                                  : FW2_SOCKET_LINGER_OFF);
    close(fd);
}

int fw2_sockopts_has_user_timeout(void)
{
#ifdef TCP_USER_TIMEOUT
    return 1;
#else
    return 0;
#endif
}

apr_status_t fw2_sockopts_user_timeout(int fd, apr_interval_time_t timeout)
{
    unsigned int ms = (unsigned int)apr_time_as_msec(timeout);

    if (timeout == FW2_USER_TIMEOUT_SYSTEM) {
        return APR_SUCCESS;
    }
#ifdef TCP_USER_TIMEOUT
    if (setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms))) {
        return apr_get_netos_error();
    }
    return APR_SUCCESS;
#else
    return APR_ENOTIMPL;
#endif
}
