/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * forks: a module that serves each connection in a process of its own, as
 * mpm-itk does over prefork. The process ends once the connection is closed.
 */

#include "httpd.h"
#include "http_config.h"
#include "http_connection.h"

#include <sys/wait.h>
#include <unistd.h>

static int in_fork;

static int forks_process_connection(conn_rec *c)
{
    pid_t pid = in_fork || c->master ? -1 : fork();

    if (pid > 0) {
        waitpid(pid, NULL, 0);
        c->aborted = 1; /* the child process has closed it */
        return DONE;
    }
    if (pid == 0) {
        in_fork = 1;
        ap_run_process_connection(c);
        ap_lingering_close(c);
        _exit(0);
    }
    return DECLINED;
}

static void forks_register_hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_process_connection(forks_process_connection, NULL, NULL,
                               APR_HOOK_REALLY_FIRST);
}

module AP_MODULE_DECLARE_DATA forks_module = {
    STANDARD20_MODULE_STUFF,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    forks_register_hooks,
    AP_MODULE_FLAG_NONE
};
