/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * noshm: to be preloaded into httpd. Anonymous shared memory is refused while the
 * file in the environment variable NOSHM exists.
 */

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "apr_shm.h"

typedef apr_status_t create(apr_shm_t **, apr_size_t, const char *,
                            apr_pool_t *);

apr_status_t apr_shm_create(apr_shm_t **shm, apr_size_t size,
                            const char *name, apr_pool_t *pool)
{
    const char *file = getenv("NOSHM");
    void *real = dlsym(RTLD_NEXT, "apr_shm_create");

    if (!name && file && !access(file, F_OK)) {
        return ENOMEM;
    }
    return (*(create **)&real)(shm, size, name, pool);
}
