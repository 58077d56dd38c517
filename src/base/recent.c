/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "base/recent.h"

#define MINUTE apr_time_from_sec(60)
#define OLDEST apr_time_from_sec(600)

/* The time from one mark to the next. */
#define STEP apr_time_from_sec(15)

/* The mark that is at least a minute old, and all later ones. */
#define MARKS 6

struct fw2_recent {
    apr_size_t n;
    int newest;           /* index of the newest mark */
    apr_time_t at[MARKS]; /* time of each mark; 0: no mark */
    apr_int64_t *counters[MARKS];
};

fw2_recent *fw2_recent_create(apr_size_t n, apr_pool_t *pool)
{
    fw2_recent *recent = apr_pcalloc(pool, sizeof(*recent));
    int i;

    recent->n = n;
    for (i = 0; i < MARKS; i++) {
        recent->counters[i] = apr_pcalloc(pool, n * sizeof(apr_int64_t));
    }
    return recent;
}

int fw2_recent_is_due(const fw2_recent *recent, apr_time_t now)
{
    apr_time_t newest = recent->at[recent->newest];

    return !newest || now - newest >= STEP;
}

apr_int64_t *fw2_recent_mark(fw2_recent *recent, apr_time_t now)
{
    recent->newest = (recent->newest + 1) % MARKS;
    recent->at[recent->newest] = now;
    return recent->counters[recent->newest];
}

const apr_int64_t *fw2_recent_then(const fw2_recent *recent, apr_time_t now,
                                   apr_interval_time_t *over)
{
    int i, found = -1;

    *over = 0;
    for (i = 0; i < MARKS; i++) {
        apr_interval_time_t ago = now - recent->at[i];

        if (recent->at[i] && ago >= MINUTE && ago <= OLDEST
            && (found < 0 || ago < *over)) {
            found = i;
            *over = ago;
        }
    }
    return found < 0 ? NULL : recent->counters[found];
}

apr_int64_t fw2_recent_per_minute(apr_int64_t now, apr_int64_t then,
                                  apr_interval_time_t over)
{
    apr_int64_t more;

    if (then < 0 || over <= 0) {
        return -1;
    }
    more = now > then ? now - then : 0;
    /* Damaged counters may be anything. */
    if (more > APR_INT64_MAX / MINUTE / 2) {
        more = APR_INT64_MAX / MINUTE / 2;
    }
    return (more * MINUTE + over / 2) / over;
}
