/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* fw2_netlink_parse() survives any datagram, and counts only sockets that the
 * kernel's own macros find, too. */

#include <errno.h>

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

#include "count.h"

/* Add a socket's message to the rows. */
static void message_add(fuzz_rows *rows, const struct nlmsghdr *header)
{
    const struct inet_diag_msg *msg = NLMSG_DATA(header);

    if (header->nlmsg_len >= NLMSG_LENGTH(sizeof(*msg))) {
        rows_add(rows, msg->idiag_state,
                 msg->idiag_timer == FW2_TIMER_TIMEWAIT ? FW2_TIMEWAIT
                 : msg->idiag_inode                     ? FW2_PROCESS
                                                        : FW2_KERNEL);
    }
}

/* Walk through a datagram up to the end of the dump; return the number of bytes
 * left. */
static int walk(const uint8_t *data, size_t size, fuzz_rows *rows)
{
    struct nlmsghdr *aligned = malloc(size + 1);
    const struct nlmsghdr *header = aligned;
    int left = (int)size;

    EXPECT(aligned);
    memcpy(aligned, data, size);
    for (; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
        if (header->nlmsg_seq != FW2_NETLINK_SEQ) {
            continue;
        }
        if (header->nlmsg_type == NLMSG_DONE) {
            break;
        }
        if (header->nlmsg_type == TCPDIAG_GETSOCK
            || header->nlmsg_type == SOCK_DIAG_BY_FAMILY) {
            message_add(rows, header);
        }
    }
    free(aligned);
    return left;
}

/* Expect the same count from a datagram in two parts, if its middle is between two
 * messages and before the end of the dump. */
static void expect_joinable(const fuzz_count *whole, apr_status_t rv,
                            const uint8_t *data, size_t size)
{
    size_t cut = size / 2 & ~(size_t)(NLMSG_ALIGNTO - 1);
    fuzz_count parts;

    count_begin(&parts);
    if (fw2_netlink_parse(&parts.count, data, cut) != APR_INCOMPLETE
        || !parts.count.complete) {
        return;
    }
    EXPECT(fw2_netlink_parse(&parts.count, data + cut, size - cut) == rv);
    expect_same(whole, &parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_count first, second;
    fuzz_rows rows = { { 0 }, { 0 }, 0 };
    apr_status_t rv;
    int left = walk(data, size, &rows);

    count_begin(&first);
    rv = fw2_netlink_parse(&first.count, data, size);
    EXPECT(rv == APR_INCOMPLETE || (rv >= APR_SUCCESS && rv < 4096));
    expect_consistent(&first);
    expect_within(&first, &rows);
    EXPECT(first.count.left.longest
           <= apr_time_from_msec((apr_time_t)APR_INT32_MAX)
                  + first.count.orphan_rest);
    EXPECT(rv != APR_INCOMPLETE || !first.count.complete || left <= 0);

    count_begin(&second);
    EXPECT(fw2_netlink_parse(&second.count, data, size) == rv);
    expect_same(&first, &second);
    expect_joinable(&first, rv, data, size);
    return 0;
}
