/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Numbers and texts as all machine-readable formats write them. */

#include "page/status_impl.h"

#include "apr_lib.h"
#include "apr_strings.h"

const char *fw2_seconds_text(apr_pool_t *pool, apr_int64_t usec)
{
    char *text =
        apr_psprintf(pool, "%" APR_INT64_T_FMT ".%06d", usec / APR_USEC_PER_SEC,
                     (int)(usec % APR_USEC_PER_SEC));
    char *last = text + strlen(text) - 1;

    /* Without trailing zeros: 1.0 and 0.05, as OpenMetrics requires. */
    while (*last == '0' && last[-1] != '.') {
        *last-- = '\0';
    }
    return text;
}

const char *fw2_number_text(apr_pool_t *pool, const fw2_metric *metric,
                            apr_int64_t number)
{
    if (metric->kind == FW2_SECONDS) {
        return fw2_seconds_text(pool, number);
    }
    return apr_psprintf(pool, "%" APR_INT64_T_FMT, number);
}

/* Return the number of bytes of the UTF-8 character at `c`; 0 if there is no
 * valid character (RFC 3629, section 4). */
static int character_bytes(const unsigned char *c)
{
    int n = *c < 0x80 ? 1 : *c < 0xc2 ? 0 : *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : 4;
    int i;

    if (*c > 0xf4 || (*c == 0xe0 && c[1] < 0xa0) || (*c == 0xed && c[1] > 0x9f)
        || (*c == 0xf0 && c[1] < 0x90) || (*c == 0xf4 && c[1] > 0x8f)) {
        return 0;
    }
    for (i = 1; i < n; i++) {
        if ((c[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

const char *fw2_plain_text(apr_pool_t *pool, const char *text)
{
    char *plain = apr_palloc(pool, 3 * strlen(text) + 1), *to = plain;

    while (*text) {
        int n = character_bytes((const unsigned char *)text);

        if (n == 0) {
            to = apr_cpystrn(to, "\xef\xbf\xbd", 4);
        }
        else if (n == 1 && apr_iscntrl(*text)) {
            *to++ = ' ';
        }
        else {
            memcpy(to, text, (apr_size_t)n);
            to += n;
        }
        text += n ? n : 1;
    }
    *to = '\0';
    return plain;
}

const char *fw2_json_string(apr_pool_t *pool, const char *text)
{
    const char *plain = fw2_plain_text(pool, text);
    char *quoted = apr_palloc(pool, 2 * strlen(plain) + 3), *to = quoted;

    *to++ = '"';
    for (; *plain; plain++) {
        if (*plain == '"' || *plain == '\\') {
            *to++ = '\\';
        }
        *to++ = *plain;
    }
    *to++ = '"';
    *to = '\0';
    return quoted;
}
