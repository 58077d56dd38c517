/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The room record: contents of odd sizes, damage of every bit, writers that
 * are killed while they write, and readers in other processes beside a writer
 * that never pauses.
 */

#include "apr_general.h"

#include "base/record.h"
#include "child.h"
#include "tap.h"

#define MOST_BYTES 1000
#define WORD       sizeof(apr_uint64_t)

/* The largest record, and words after it that must not change. */
#define RECORD_WORDS (3 + 2 * (MOST_BYTES + WORD - 1) / WORD)
#define GUARD_WORDS  4

static const apr_size_t sizes[] = { 1, 7, 8, 9, 63, 64, 65, MOST_BYTES };

#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

typedef union {
    fw2_record record;
    fw2_shared words[RECORD_WORDS + GUARD_WORDS];
} place;

static place *memory; /* shared with child processes */

static void begin(void)
{
    memset(memory, 0, sizeof(*memory));
}

/* Return byte `i` of a content: each but the first 8 follows from an earlier one;
 * all are equal if there are less than 8. */
static unsigned char byte_of(const unsigned char *content, apr_size_t bytes,
                             apr_uint64_t number, apr_size_t i)
{
    if (bytes < WORD) {
        return (unsigned char)number;
    }
    return (unsigned char)(i < WORD ? number >> 8 * i : content[i - WORD] + 1U);
}

static void make_content(unsigned char *content, apr_size_t bytes,
                         apr_uint64_t number)
{
    apr_size_t i;

    for (i = 0; i < bytes; i++) {
        content[i] = byte_of(content, bytes, number, i);
    }
}

static int is_whole(const unsigned char *content, apr_size_t bytes)
{
    apr_size_t i;

    for (i = bytes < WORD ? 1 : WORD; i < bytes; i++) {
        if (content[i] != byte_of(content, bytes, content[0], i)) {
            return 0;
        }
    }
    return 1;
}

/* ---------------------------------------------------------- one process -- */

/* Write and read a content; return false if a byte after either has changed. */
static int passes_through(apr_size_t bytes, apr_uint64_t number)
{
    unsigned char content[MOST_BYTES], copy[MOST_BYTES + 1];
    apr_size_t words = fw2_record_size(bytes) / WORD, i;
    int right;

    for (i = words; i < words + GUARD_WORDS; i++) {
        memory->words[i] = ~(apr_uint64_t)i;
    }
    copy[bytes] = 0xa5;
    make_content(content, bytes, number);
    fw2_record_write(&memory->record, content, bytes);
    right = fw2_record_read(&memory->record, copy, bytes)
            && !memcmp(content, copy, bytes) && copy[bytes] == 0xa5;
    for (i = words; i < words + GUARD_WORDS; i++) {
        right = right && memory->words[i] == ~(apr_uint64_t)i;
    }
    return right;
}

static void test_sizes(void)
{
    unsigned char copy[MOST_BYTES];
    unsigned int s;
    int i, wrong;

    for (s = 0; s < SIZES; s++) {
        begin();
        ok(fw2_record_size(sizes[s]) % WORD == 0
               && fw2_record_size(sizes[s]) <= RECORD_WORDS * WORD,
           "%d bytes need whole words", (int)sizes[s]);
        ok(!fw2_record_read(&memory->record, copy, sizes[s]),
           "%d bytes: zeros have no content", (int)sizes[s]);
        for (i = 0, wrong = 0; i < 1000; i++) {
            wrong += !passes_through(sizes[s], random_number());
        }
        ok(!wrong, "%d bytes: the last content of several is read",
           (int)sizes[s]);
    }
}

static void test_sum(void)
{
    enum { WORDS = 125 };
    apr_uint64_t words[WORDS], sum;
    int i, bit, same = 0;

    random_fill(words, sizeof(words));
    sum = fw2_record_sum(7, words, WORDS);
    for (i = 0; i < WORDS; i++) {
        for (bit = 0; bit < 64; bit++) {
            words[i] ^= (apr_uint64_t)1 << bit;
            same += fw2_record_sum(7, words, WORDS) == sum;
            words[i] ^= (apr_uint64_t)1 << bit;
        }
    }
    is_int(same, 0, "a sum differs if one bit differs");
    for (i = 1; i < WORDS; i++) {
        apr_uint64_t first = words[0];

        words[0] = words[i];
        words[i] = first;
        same += fw2_record_sum(7, words, WORDS) == sum;
        words[i] = words[0];
        words[0] = first;
    }
    is_int(same, 0, "a sum differs if two words are swapped");
    ok(fw2_record_sum(8, words, WORDS) != sum
           && fw2_record_sum(9, words, WORDS) != sum,
       "a sum differs if the number of the record differs");
    memset(words, 0, sizeof(words));
    ok(fw2_record_sum(1, words, WORDS) != fw2_record_sum(3, words, WORDS),
       "a sum of zeros depends on the number");
}

static void test_damage(void)
{
    unsigned char content[9], copy[9];
    apr_size_t words = fw2_record_size(sizeof(content)) / WORD, i;
    int bit, read_damaged = 0, lost = 0;

    begin();
    make_content(content, sizeof(content), random_number());
    fw2_record_write(&memory->record, content, sizeof(content));
    for (i = 0; i < words; i++) {
        /* The last content is in the second of two places. */
        int shown = i >= 1 + (words - 1) / 2;

        for (bit = 0; bit < 64; bit++) {
            fw2_shared before = memory->words[i];
            int done;

            memory->words[i] ^= (apr_uint64_t)1 << bit;
            done = fw2_record_read(&memory->record, copy, sizeof(copy));
            read_damaged += done && (!i || shown);
            lost += !done && i && !shown;
            memory->words[i] = before;
        }
    }
    is_int(read_damaged, 0, "a content with a damaged bit is not read");
    is_int(lost, 0, "damage to the other place does not matter");
    ok(fw2_record_read(&memory->record, copy, sizeof(copy))
           && !memcmp(content, copy, sizeof(copy)),
       "a repaired content is read again");
}

/* Keep only some of the words that a writer writes, like a killed writer. The
 * processor may write them in any order, so any set of words is tried. */
static void test_half_written(void)
{
    unsigned char old[MOST_BYTES], new[MOST_BYTES], copy[MOST_BYTES];
    apr_size_t words = fw2_record_size(MOST_BYTES) / WORD, i;
    place before, after;
    int round, torn = 0, stuck = 0;

    for (round = 0; round < 1000; round++) {
        begin();
        make_content(old, MOST_BYTES, 1);
        for (i = 0; i <= (apr_size_t)round % 3; i++) {
            fw2_record_write(&memory->record, old, MOST_BYTES);
        }
        before = *memory;
        make_content(new, MOST_BYTES, 2);
        fw2_record_write(&memory->record, new, MOST_BYTES);
        after = *memory;
        *memory = before;
        for (i = 1; i < words; i++) {
            if (random_number() % 1000 < (apr_uint64_t)round) {
                memory->words[i] = after.words[i];
            }
        }
        torn += !fw2_record_read(&memory->record, copy, MOST_BYTES)
                || memcmp(copy, old, MOST_BYTES) != 0;
        fw2_record_write(&memory->record, new, MOST_BYTES);
        stuck += !fw2_record_read(&memory->record, copy, MOST_BYTES)
                 || memcmp(copy, new, MOST_BYTES) != 0;
    }
    is_int(torn, 0, "a half-written record has the previous content");
    is_int(stuck, 0, "the next writer replaces a half-written record");
}

/* ---------------------------------------------------- several processes -- */

#define READERS 3

/* Contents that a reader reads. */
#define ENOUGH 5000

static apr_size_t size; /* of the content that child processes write and read */

static int write_forever(void *data)
{
    unsigned char content[MOST_BYTES];
    apr_uint64_t number;

    (void)data;
    for (number = 1;; number++) {
        make_content(content, size, number * APR_UINT64_C(0x0101010101010101));
        fw2_record_write(&memory->record, content, size);
    }
    return 0;
}

/* Read many contents. Return 1 if one is torn, 2 if none could be read. */
static int read_many(void *data)
{
    unsigned char content[MOST_BYTES];
    int tries, found = 0;

    (void)data;
    for (tries = 0; tries < 50 * 1000 * 1000 && found < ENOUGH; tries++) {
        if (fw2_record_read(&memory->record, content, size)) {
            found++;
            if (!is_whole(content, size)) {
                return 1;
            }
        }
    }
    return found ? 0 : 2;
}

static void test_readers(void)
{
    pid_t readers[READERS], writer;
    unsigned int s;
    int i, wrong;

    for (s = 0; s < SIZES; s++) {
        begin();
        size = sizes[s];
        writer = child_start(write_forever, NULL);
        ok(wait_until(&memory->record.written, 1), "%d bytes: a writer writes",
           (int)size);
        for (i = 0; i < READERS; i++) {
            readers[i] = child_start(read_many, NULL);
        }
        for (i = 0, wrong = 0; i < READERS; i++) {
            wrong |= child_wait(readers[i]);
        }
        child_kill(writer);
        is_int(wrong, 0,
               "three processes read whole contents beside the writer");
    }
}

static void test_killed(void)
{
    unsigned char content[MOST_BYTES];
    int i, torn = 0, unread = 0;

    begin();
    size = MOST_BYTES;
    for (i = 0; i < 200; i++) {
        apr_uint64_t before = fw2_sync_read(&memory->record.written);
        pid_t writer = child_start(write_forever, NULL);

        if (!wait_until(&memory->record.written, before + 10)) {
            bail_out("the writer does not write");
        }
        child_kill(writer);
        if (fw2_record_read(&memory->record, content, size)) {
            torn += !is_whole(content, size);
        }
        else {
            unread++;
        }
    }
    is_int(torn, 0, "the content is whole after each of 200 killed writers");
    is_int(unread, 0,
           "the content can be read after each of 200 killed writers");
}

int main(void)
{
    apr_initialize();
    alarm(120);
    memory = shared_memory(sizeof(*memory));
    test_sizes();
    test_sum();
    test_damage();
    test_half_written();
    test_readers();
    test_killed();
    apr_terminate();
    return done_testing();
}
