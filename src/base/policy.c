/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "base/policy.h"

/* The idle time that httpd's own linger allows (ap_lingering_close()). */
#define AUTO_IDLE apr_time_from_sec(2)

apr_int64_t fw2_policy_idle(const fw2_policy *policy, int sending)
{
    if (policy->linger_idle != FW2_IDLE_AUTO) {
        return policy->linger_idle;
    }
    return sending ? policy->linger_total : AUTO_IDLE;
}

apr_int64_t fw2_policy_promise(const fw2_policy *policy)
{
    return policy->engine ? policy->advertise : FW2_ADVERTISE_INHERIT;
}
