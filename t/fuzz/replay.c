/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * A driver without libFuzzer: it runs a target over every file of the folder in
 * its argument, and writes TAP. A target aborts when a property does not hold; the
 * last comment then names the input.
 */

#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "tap.h"

/* Read a file into a block of exactly its size, so that ASan detects overruns. */
static uint8_t *file_read(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    struct stat info;

    if (file && !fstat(fileno(file), &info) && S_ISREG(info.st_mode)) {
        *size = (size_t)info.st_size;
        bytes = malloc(*size ? *size : 1);
        if (bytes && fread(bytes, 1, *size, file) != *size) {
            free(bytes);
            bytes = NULL;
        }
    }
    if (file) {
        fclose(file);
    }
    return bytes;
}

static void replay(const char *folder, const char *name)
{
    char path[4096];
    uint8_t *bytes;
    size_t size = 0;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    printf("# %s\n", path);
    fflush(stdout);
    bytes = file_read(path, &size);
    if (bytes) {
        LLVMFuzzerTestOneInput(bytes, size);
    }
    ok(bytes != NULL, "%s", name);
    free(bytes);
}

/* Replay in the order of names, on any file system. */
int main(int argc, char **argv)
{
    struct dirent **entries = NULL;
    int n, i;

    if (argc != 2 || (n = scandir(argv[1], &entries, NULL, alphasort)) < 0) {
        printf("Bail out! usage: %s <folder of inputs>\n", argv[0]);
        return 2;
    }
    for (i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.') {
            replay(argv[1], entries[i]->d_name);
        }
        free(entries[i]);
    }
    free(entries);
    ok(tap_run > 0, "%s has inputs", argv[1]);
    return done_testing();
}
