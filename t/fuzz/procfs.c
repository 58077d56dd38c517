/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* fw2_procfs_parse() survives any text, consumes whole lines, and counts at most one
 * socket for each line. */

#include "count.h"

/* The numbers of the words that are read in a line, from 0. */
enum { STATE = 3, TIMER = 5, INODE = 9, WORDS = 10 };

/* The bytes of a word. */
typedef struct word {
    const char *at;
    size_t len;
} word;

/* Split a line at blanks; return the number of words, at most WORDS. */
static int split(const char *at, const char *end, word words[WORDS])
{
    int n = 0;

    while (at < end && n < WORDS) {
        words[n].at = at;
        while (at < end && *at != ' ') {
            at++;
        }
        words[n].len = (size_t)(at - words[n].at);
        n += words[n].len > 0;
        at += at < end;
    }
    return n;
}

/* True if a word has a digit other than 0 before any other byte. */
static int is_positive(const word *w)
{
    size_t i;

    for (i = 0; i < w->len && w->at[i] == '0'; i++) {
    }
    return i < w->len && w->at[i] >= '1' && w->at[i] <= '9';
}

/* Return the value of a word of two hexadecimal digits; else 0. */
static unsigned long byte_of(const word *w)
{
    char text[3] = "", *end;
    unsigned long value;

    if (w->len != 2) {
        return 0;
    }
    memcpy(text, w->at, 2);
    value = strtoul(text, &end, 16);
    return end == text + 2 ? value : 0;
}

/* True if a word begins with the timer of mini-sockets, and a colon. */
static int is_timewait(const word *w)
{
    size_t i;

    for (i = 0; i < w->len && w->at[i] == '0'; i++) {
    }
    return w->len - i > 1 && w->at[i] == '0' + FW2_TIMER_TIMEWAIT
           && w->at[i + 1] == ':';
}

/* Add the lines of a text to the rows; return their size in bytes. */
static size_t walk(const char *text, size_t size, fuzz_rows *rows)
{
    word words[WORDS];
    size_t begin = 0, i;

    for (i = 0; i < size; i++) {
        if (text[i] != '\n') {
            continue;
        }
        if (split(text + begin, text + i, words) == WORDS) {
            rows_add(rows, byte_of(&words[STATE]),
                     is_timewait(&words[TIMER])   ? FW2_TIMEWAIT
                     : is_positive(&words[INODE]) ? FW2_PROCESS
                                                  : FW2_KERNEL);
        }
        begin = i + 1;
    }
    return begin;
}

/* Expect the same count from a text in two parts, as from two reads of a file. */
static void expect_joinable(const fuzz_count *whole, const char *text,
                            size_t size)
{
    fuzz_count parts;
    size_t cut = size / 2, used;

    count_begin(&parts);
    used = fw2_procfs_parse(&parts.count, text, cut);
    EXPECT(used <= cut);
    fw2_procfs_parse(&parts.count, text + used, size - used);
    expect_same(whole, &parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    fuzz_count first, second;
    fuzz_rows rows = { { 0 }, { 0 }, 0 };
    size_t lines = walk(text, size, &rows), used;

    count_begin(&first);
    used = fw2_procfs_parse(&first.count, text, size);
    EXPECT(used <= size);
    EXPECT(used == 0 || text[used - 1] == '\n');
    EXPECT(used == lines);
    expect_consistent(&first);
    expect_within(&first, &rows);

    count_begin(&second);
    EXPECT(fw2_procfs_parse(&second.count, text, size) == used);
    expect_same(&first, &second);
    expect_joinable(&first, text, size);
    return 0;
}
