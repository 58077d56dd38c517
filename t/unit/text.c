/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The room text: figures as words. Names are tested with the room advice. */

#include "apr_general.h"
#include "apr_strings.h"

#include "page/text.h"
#include "tap.h"

#define SEC(n) apr_time_from_sec(n)
#define HUGE_N APR_INT64_C(9223372036854775807)

static apr_pool_t *pool;

/* A function for one figure, the figure, and its text. */
static const struct {
    const char *(*function)(apr_pool_t *pool, apr_int64_t figure);
    apr_int64_t figure;
    const char *text;
} figures[] = {
    { fw2_text_number, 0, "0" },
    { fw2_text_number, 999, "999" },
    { fw2_text_number, 1000, "1,000" },
    { fw2_text_number, 123456, "123,456" },
    { fw2_text_number, HUGE_N, "9,223,372,036,854,775,807" },
    { fw2_text_about, 99, "99" },
    { fw2_text_about, 100, "100" },
    { fw2_text_about, 104, "100" },
    { fw2_text_about, 105, "110" },
    { fw2_text_about, 996, "1,000" },
    { fw2_text_rate, 59, "59 a minute" },
    { fw2_text_rate, 60, "1 a second" },
    { fw2_text_rate, 93, "1.6 a second" },
    { fw2_text_rate, 599, "10 a second" },
    { fw2_text_rate, 629, "10 a second" },
    { fw2_text_rate, 630, "11 a second" },
    { fw2_text_rate, HUGE_N, "153,722,867,280,912,930 a second" },
    { fw2_text_bytes, 1, "1 byte" },
    { fw2_text_bytes, 999, "999 bytes" },
    { fw2_text_bytes, 1000, "1 KB" },
    { fw2_text_bytes, 99949, "99.9 KB" },
    { fw2_text_bytes, 100000, "0.1 MB" },
    { fw2_text_bytes, 999949999, "999.9 MB" },
    { fw2_text_bytes, 1000000000, "1 GB" },
    { fw2_text_bytes, APR_INT64_C(1234560000000), "1,234.6 GB" },
    { fw2_text_time, 0, "0 ms" },
    { fw2_text_time, 999999, "999 ms" },
    { fw2_text_time, SEC(1), "1 s" },
    { fw2_text_time, 1250000, "1.3 s" },
    { fw2_text_time, SEC(119880), "119,880 s" },
    { fw2_text_long_time, 0, "0 s" },
    { fw2_text_long_time, SEC(59), "59 s" },
    { fw2_text_long_time, SEC(60), "1 min" },
    { fw2_text_long_time, SEC(86399), "23 h" },
    { fw2_text_long_time, SEC(3 * 86400), "3 d" },
};

/* A part, the whole, and the text of the percentage. */
static const struct {
    apr_int64_t part, whole;
    const char *text;
} percentages[] = {
    { 2, 3, "66 %" },     { 6779, 6780, "99.9 %" },
    { 99, 100, "99 %" },  { 100, 100, "100 %" },
    { 4, 1000, "0.4 %" }, { 1, 100000, "under 0.1 %" },
    { 5, 0, "500 %" },    { HUGE_N, 1, "1,000 %" },
};

int main(void)
{
    unsigned int i;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    for (i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
        is_str(figures[i].function(pool, figures[i].figure), figures[i].text,
               apr_pstrcat(pool, "a figure is written as ", figures[i].text,
                           NULL));
    }
    for (i = 0; i < sizeof(percentages) / sizeof(percentages[0]); i++) {
        is_str(
            fw2_text_percent(pool, percentages[i].part, percentages[i].whole),
            percentages[i].text,
            apr_pstrcat(pool, "a percentage is written as ",
                        percentages[i].text, NULL));
    }
    is_str(fw2_text_share(pool, 2, 3), " (66 %)", "a share has brackets");
    is_str(fw2_text_count(pool, 0, "orphan"), "0 orphans", "0 is a plural");
    is_str(fw2_text_count(pool, 1, "orphan"), "1 orphan", "1 is a singular");
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
