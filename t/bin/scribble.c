/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * scribble: a hostile child. The file is preloaded into httpd and also loaded as a
 * module: it records all shared memory that mod_finwait2 makes, and its handler
 * fills that memory, and the time of httpd's start, by `?ones`, `?zeros` or
 * `?random`.
 */

#include "httpd.h"
#include "http_config.h"
#include "http_protocol.h"
#include "scoreboard.h"
#include "apr_shm.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef apr_status_t create(apr_shm_t **, apr_size_t, const char *,
                            apr_pool_t *);

#define SEGMENTS 256

static struct {
    void *at;
    apr_size_t size;
} segments[SEGMENTS];
static int n;

static int is_ours(const void *caller)
{
    Dl_info info;

    return dladdr(caller, &info) && info.dli_fname
           && !strstr(info.dli_fname, "scribble")
           && !strstr(info.dli_fname, "libapr")
           && !strstr(info.dli_fname, "apache2/modules")
           && strstr(info.dli_fname, ".so");
}

apr_status_t apr_shm_create(apr_shm_t **shm, apr_size_t size, const char *name,
                            apr_pool_t *pool)
{
    void *real = dlsym(RTLD_NEXT, "apr_shm_create");
    apr_status_t rv = (*(create **)&real)(shm, size, name, pool);

    if (rv == APR_SUCCESS && n < SEGMENTS
        && is_ours(__builtin_return_address(0))) {
        segments[n].at = apr_shm_baseaddr_get(*shm);
        segments[n++].size = size;
    }
    return rv;
}

static void fill(unsigned char *bytes, apr_size_t size, const char *how)
{
    apr_size_t i;

    if (strcmp(how, "random")) {
        memset(bytes, strcmp(how, "ones") ? 0 : 0xff, size);
        return;
    }
    for (i = 0; i < size; i++) {
        bytes[i] = (unsigned char)random();
    }
}

/* True if a segment is still mapped; another mapping may have replaced it. */
static int is_mapped(const unsigned char *at)
{
    apr_size_t page = (apr_size_t)sysconf(_SC_PAGESIZE);
    unsigned long begin = (unsigned long)at / page * page, from;
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], rights[8];
    int found = 0;

    while (maps && !found && fgets(line, sizeof(line), maps)) {
        found = sscanf(line, "%lx-%*x %7s", &from, rights) == 2 && from == begin
                && !strcmp(rights, "rw-s");
    }
    if (maps) {
        fclose(maps);
    }
    return found;
}

static int scribble_handler(request_rec *r)
{
    apr_time_t *start = &ap_get_scoreboard_global()->restart_time;
    const char *how = r->args ? r->args : "zeros";
    int i, filled = 0;

    if (strcmp(r->handler, "scribble")) {
        return DECLINED;
    }
    fill((unsigned char *)start, sizeof(*start), how);
    for (i = 0; i < n; i++) {
        if (is_mapped(segments[i].at)) {
            fill(segments[i].at, segments[i].size, how);
            filled++;
        }
    }
    ap_rprintf(r, "%d", filled);
    return OK;
}

static void scribble_register_hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_handler(scribble_handler, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA scribble_module = { STANDARD20_MODULE_STUFF,
                                                  NULL,
                                                  NULL,
                                                  NULL,
                                                  NULL,
                                                  NULL,
                                                  scribble_register_hooks,
                                                  AP_MODULE_FLAG_NONE };
