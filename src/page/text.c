/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Figures and names as text. */

#include "page/text.h"

#include <string.h>

#include "apr_strings.h"

#define KB APR_INT64_C(1000)
#define MB (1000 * KB)
#define GB (1000 * MB)

#define NAME_BYTES 64
#define ELLIPSIS   "\xe2\x80\xa6"

const char *fw2_text_number(apr_pool_t *pool, apr_int64_t n)
{
    const char *digits = apr_psprintf(pool, "%" APR_INT64_T_FMT, n);
    apr_size_t left = strlen(digits);
    char *text = apr_palloc(pool, left + left / 3 + 1);
    char *end = text;

    while (left--) {
        *end++ = *digits++;
        if (left && left % 3 == 0) {
            *end++ = ',';
        }
    }
    *end = '\0';
    return text;
}

const char *fw2_text_count(apr_pool_t *pool, apr_int64_t n, const char *noun)
{
    return apr_pstrcat(pool, fw2_text_number(pool, n), " ", noun,
                       n == 1 ? NULL : "s", NULL);
}

const char *fw2_text_percent(apr_pool_t *pool, apr_int64_t part,
                             apr_int64_t whole)
{
    double percent = (double)part * 100 / (double)(whole > 0 ? whole : 1);

    if (percent > 0 && percent < 0.1) {
        return "under 0.1 %";
    }
    if ((percent >= 0.1 && percent < 1) || (percent > 99 && percent < 100)) {
        int tenths = (int)(percent * 10);

        return apr_psprintf(pool, "%d.%d %%", tenths / 10, tenths % 10);
    }
    return apr_psprintf(
        pool, "%s %%",
        fw2_text_number(pool, percent < 1000 ? (apr_int64_t)percent : 1000));
}

const char *fw2_text_share(apr_pool_t *pool, apr_int64_t part,
                           apr_int64_t whole)
{
    return apr_psprintf(pool, " (%s)", fw2_text_percent(pool, part, whole));
}

const char *fw2_text_about(apr_pool_t *pool, apr_int64_t n)
{
    apr_int64_t unit = 1;

    while (n / unit >= 100) {
        unit *= 10;
    }
    return fw2_text_number(pool,
                           (n / unit + (n % unit >= unit - n % unit)) * unit);
}

/* Return a number of units, rounded to one decimal, which is left out if it is
 * 0. */
static const char *decimal(apr_pool_t *pool, apr_int64_t n, apr_int64_t unit,
                           const char *name)
{
    apr_int64_t tenths = n / unit * 10 + (n % unit * 10 + unit / 2) / unit;
    const char *whole = fw2_text_number(pool, tenths / 10);

    if (tenths % 10) {
        return apr_psprintf(pool, "%s.%d %s", whole, (int)(tenths % 10), name);
    }
    return apr_psprintf(pool, "%s %s", whole, name);
}

const char *fw2_text_rate(apr_pool_t *pool, apr_int64_t per_minute)
{
    if (per_minute < 60) {
        return apr_psprintf(pool, "%d a minute", (int)per_minute);
    }
    if (per_minute < 600) {
        return decimal(pool, per_minute, 60, "a second");
    }
    return apr_psprintf(
        pool, "%s a second",
        fw2_text_number(pool, per_minute / 60 + (per_minute % 60 >= 30)));
}

const char *fw2_text_bytes(apr_pool_t *pool, apr_int64_t bytes)
{
    if (bytes < KB) {
        return fw2_text_count(pool, bytes, "byte");
    }
    if (bytes < 100 * KB) {
        return decimal(pool, bytes, KB, "KB");
    }
    if (bytes < GB) {
        return decimal(pool, bytes, MB, "MB");
    }
    return decimal(pool, bytes, GB, "GB");
}

const char *fw2_text_time(apr_pool_t *pool, apr_interval_time_t time)
{
    if (time < APR_USEC_PER_SEC) {
        return apr_psprintf(pool, "%d ms", (int)apr_time_as_msec(time));
    }
    return decimal(pool, time, APR_USEC_PER_SEC, "s");
}

const char *fw2_text_long_time(apr_pool_t *pool, apr_interval_time_t time)
{
    static const struct {
        apr_int64_t seconds;
        const char *name;
    } units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "min" }, { 1, "s" } };
    apr_int64_t seconds = apr_time_sec(time);
    int i = 0;

    while (units[i].seconds > 1 && seconds < units[i].seconds) {
        i++;
    }
    return apr_psprintf(pool, "%s %s",
                        fw2_text_number(pool, seconds / units[i].seconds),
                        units[i].name);
}

/* Return the length of at most `n` bytes that ends with a whole character of
 * UTF-8. */
static apr_size_t whole_characters(const char *name, apr_size_t n)
{
    apr_size_t end = n;

    while (end && ((unsigned char)name[end] & 0xc0) == 0x80) {
        end--;
    }
    return end ? end : n;
}

const char *fw2_text_name(apr_pool_t *pool, const char *name,
                          const char *otherwise)
{
    const char *end;
    apr_size_t n;
    char *text, *c;

    if (!name) {
        return otherwise;
    }
    end = memchr(name, '\0', NAME_BYTES + 1);
    n = end ? (apr_size_t)(end - name) : whole_characters(name, NAME_BYTES);
    text = apr_pstrcat(pool, apr_pstrmemdup(pool, name, n),
                       end ? NULL : ELLIPSIS, NULL);
    for (c = text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            *c = '?';
        }
    }
    return text;
}
