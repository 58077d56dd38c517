/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * vhosting: a module for mass virtual hosting. A request with the header X-Server
 * gets a server_rec of its own in its pool, which is overwritten with the pool's
 * end. `copy`: a copy of the configured one, before any other module runs; `late`:
 * a copy in translate_name, like real modules; `made`: one without a configuration
 * of mod_finwait2; `made-late`: such a one in translate_name.
 */

#include "httpd.h"
#include "http_config.h"
#include "http_protocol.h"
#include "http_request.h"

#include <string.h>

/* The maximum of modules in httpd. */
#define MODULES 256

typedef struct {
    server_rec server;
    void *configs[MODULES];
} own_server;

static apr_status_t poison(void *data)
{
    memset(data, 0xa5, sizeof(own_server));
    return APR_SUCCESS;
}

static void replace(request_rec *r, int keep_config)
{
    own_server *own = apr_pcalloc(r->pool, sizeof(*own));
    module *of = ap_find_linked_module("mod_finwait2.c");
    int i;

    own->server = *r->server;
    own->server.module_config = (ap_conf_vector_t *)own->configs;
    for (i = 0; ap_loaded_modules[i]; i++) {
        int at = ap_loaded_modules[i]->module_index;

        own->configs[at] = ((void **)r->server->module_config)[at];
    }
    if (!keep_config) {
        own->configs[of->module_index] = NULL;
    }
    r->server = &own->server;
    apr_pool_cleanup_register(r->pool, own, poison, apr_pool_cleanup_null);
}

static int is_asked(const request_rec *r, const char *how)
{
    const char *asked = apr_table_get(r->headers_in, "X-Server");

    return asked && !strcmp(asked, how);
}

static int vhosting_read(request_rec *r)
{
    if (is_asked(r, "copy") || is_asked(r, "made")) {
        replace(r, is_asked(r, "copy"));
    }
    return DECLINED;
}

static int vhosting_translate(request_rec *r)
{
    if (is_asked(r, "late") || is_asked(r, "made-late")) {
        replace(r, is_asked(r, "late"));
    }
    return DECLINED;
}

static void vhosting_register_hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_post_read_request(vhosting_read, NULL, NULL,
                              APR_HOOK_REALLY_FIRST - 1);
    ap_hook_translate_name(vhosting_translate, NULL, NULL, APR_HOOK_FIRST);
}

module AP_MODULE_DECLARE_DATA vhosting_module = {
    STANDARD20_MODULE_STUFF,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    vhosting_register_hooks,
    AP_MODULE_FLAG_NONE
};
