/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* fw2_queue_parse() accepts only messages that a child of httpd sends. */

#include <string.h>

#include "shared/queue.h"

#include "fuzz.h"

#define VHOSTS 5

/* The two words before the handoff. */
#define HEAD_SIZE (2 * sizeof(apr_uint32_t))

/* Parse a message into memory that is filled with one byte. */
static fw2_received read_over(int fill, const void *bytes, size_t n,
                              apr_uint32_t vhosts)
{
    fw2_received received;

    memset(&received, fill, sizeof(received));
    received.fd = 7;
    received.truncated = 3;
    fw2_queue_parse(bytes, n, vhosts, &received);
    EXPECT(received.fd == 7 && received.truncated == 3);
    EXPECT(memchr(received.agent, '\0', sizeof(received.agent)));
    return received;
}

static void expect_between(apr_int64_t least, apr_int64_t value,
                           apr_int64_t most)
{
    EXPECT(least <= value);
    EXPECT(value <= most);
}

static void expect_limits(const fw2_handoff *h)
{
    EXPECT(h->tag.vhost < VHOSTS);
    EXPECT(h->tag.cause < FW2_CAUSES);
    EXPECT(h->until < FW2_UNTILS);
    EXPECT(h->reset <= 1);
    expect_between(FW2_LINGER_MIN, h->linger_idle, FW2_LINGER_MAX);
    expect_between(FW2_LINGER_MIN, h->linger_total, FW2_LINGER_MAX);
    expect_between(0, h->once_acked, FW2_LINGER_MAX);
    EXPECT(h->linger_bytes > 0 || h->linger_bytes == FW2_BYTES_UNLIMITED);
    if (h->user_timeout != FW2_USER_TIMEOUT_SYSTEM) {
        expect_between(FW2_USER_TIMEOUT_MIN, h->user_timeout,
                       FW2_USER_TIMEOUT_MAX);
    }
}

/* Expect the handoff and the User-Agent to be bytes of the message. */
static void expect_bytes(const fw2_received *received, const uint8_t *data,
                         size_t size)
{
    size_t n = strlen(received->agent), rest = HEAD_SIZE;

    EXPECT(size >= HEAD_SIZE + sizeof(received->handoff));
    EXPECT(!memcmp(&received->handoff, data + HEAD_SIZE,
                   sizeof(received->handoff)));
    rest = size - HEAD_SIZE - sizeof(received->handoff);
    EXPECT(rest <= FW2_AGENT_SIZE && n <= rest);
    EXPECT(!memcmp(received->agent, data + size - rest, n));
    /* A User-Agent ends early only at a NUL, or at its maximum. */
    EXPECT(n == rest || n == FW2_AGENT_SIZE - 1 || !data[size - rest + n]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fw2_received first = read_over(0x00, data, size, VHOSTS);
    fw2_received second = read_over(0xff, data, size, VHOSTS);

    EXPECT(first.kind == second.kind);
    EXPECT(!strcmp(first.agent, second.agent));
    EXPECT(read_over(0, data, size, 0).kind != FW2_MESSAGE_SOCKET);
    switch (first.kind) {
    case FW2_MESSAGE_SOCKET:
        EXPECT(!memcmp(&first.handoff, &second.handoff, sizeof(first.handoff)));
        expect_limits(&first.handoff);
        expect_bytes(&first, data, size);
        break;
    case FW2_MESSAGE_COUNT_REQUEST:
        EXPECT(size == sizeof(apr_uint32_t) && !first.agent[0]);
        break;
    default:
        EXPECT(first.kind == FW2_MESSAGE_INVALID && !first.agent[0]);
    }
    return 0;
}
