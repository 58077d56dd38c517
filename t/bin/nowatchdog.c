/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * nowatchdog: a module that takes away what mod_watchdog offers to others, as
 * if it were not loaded, which it always is where it is built in (Debian).
 */

#include "httpd.h"
#include "http_config.h"

#include "apr_optional.h"

static void nowatchdog_register_hooks(apr_pool_t *pool)
{
    (void)pool;
    apr_dynamic_fn_register("ap_watchdog_get_instance", NULL);
}

module AP_MODULE_DECLARE_DATA nowatchdog_module = {
    STANDARD20_MODULE_STUFF,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    nowatchdog_register_hooks,
    AP_MODULE_FLAG_NONE
};
