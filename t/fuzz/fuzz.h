/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_FUZZ_H
#define FW2_FUZZ_H

/*
 * The contract between a fuzz target and its driver, which is libFuzzer
 * (`make fuzz`) or replay.c (`make test`). A target is one source file.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/** Abort unless a property holds, in every build: the driver reports the present
 *  input. */
#define EXPECT(property)                                                       \
    do {                                                                       \
        if (!(property)) {                                                     \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,  \
                    #property);                                                \
            abort();                                                           \
        }                                                                      \
    } while (0)

/**
 * Parse an input and check the result.
 * @param data In a block of exactly `size` bytes.
 * @return 0.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif /* FW2_FUZZ_H */
