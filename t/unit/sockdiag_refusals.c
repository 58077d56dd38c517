/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Sockdiag on a machine that refuses a source: the next source counts, and the
 * count has the reason.
 */

#include "sockdiag_fixture.h"

static const char *count_text(void)
{
    return apr_psprintf(pool, "%s %d [%s] %s; %s; %s",
                        fw2_backend_names[counted.backend], counted.complete,
                        tally_text(counted.tallies),
                        *counted.refused[0] ? counted.refused[0] : "-",
                        *counted.refused[1] ? counted.refused[1] : "-",
                        *counted.refused[2] ? counted.refused[2] : "-");
}

/* Copy a count and destroy its pool: ASan detects a pointer into the pool. */
static void count_and_copy(const fw2_endpoint *e)
{
    fw2_count original;
    apr_pool_t *own;

    apr_pool_create_unmanaged(&own);
    fw2_sockdiag_count(e, 1, 0, 0, &original, own);
    counted = original;
    counted.tallies = apr_pmemdup(pool, original.tallies, sizeof(fw2_tally));
    memset(&original, 7, sizeof(original));
    apr_pool_destroy(own);
}

typedef struct confinement {
    const syscall_rule *rules;
    int n;
    const fw2_endpoint *e;
} confinement;

/* Return the number of datagrams that a count with a budget of 1 us reads, from a
 * kernel without the legacy request. */
static const char *confined_spent(const void *about)
{
    const confinement *by = about;

    confine(by->rules, by->n);
    recvmsg_calls = 0;
    fw2_sockdiag_count(by->e, 1, 0, 1, &counted, pool);
    return apr_psprintf(pool, "%d, complete %d", recvmsg_calls,
                        counted.complete);
}

static const char *confined_count(const void *about)
{
    const confinement *by = about;

    confine(by->rules, by->n);
    count_and_copy(by->e);
    return count_text();
}

/* Test that the count of a confined child has this text, at this or a later try:
 * under load /proc shows sockets twice (see fw2_sockdiag_count()). */
static void confined_has(const syscall_rule *rules, int n,
                         const fw2_endpoint *e, const char *part,
                         const char *what)
{
    confinement by = { rules, n, e };
    apr_time_t until = deadline();
    const char *output;

    do {
        output = child_text(confined_count, &by);
    } while (!strstr(output, part) && nap(until));
    has_str(output, part, what);
}

static void refused_netlink(const fw2_endpoint *e, unsigned int error,
                            const char *sentence)
{
    syscall_rule rules[] = { NETLINK_IS(error) };

    confined_has(
        rules, 1, e,
        apr_psprintf(pool, "procfs 1 [%s] ", only_fw2("2/0/0", FW2_PROCFS)),
        "procfs counts the same if netlink is refused");
    confined_has(
        rules, 1, e,
        apr_psprintf(pool,
                     "] socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG):"
                     " %s; -; -",
                     sentence),
        "the count has the reason of the refusal");
}

static void refused_socket(const fw2_endpoint *e)
{
    refused_netlink(e, EACCES,
                    "Permission denied (SELinux refuses it without `allow "
                    "httpd_t self:netlink_tcpdiag_socket { create read write "
                    "getattr bind nlmsg_read };`)");
    refused_netlink(e, EPERM,
                    "Operation not permitted (a seccomp filter refuses it; "
                    "it must let socket(AF_NETLINK) pass)");
    refused_netlink(e, EAFNOSUPPORT,
                    "Address family not supported by protocol (systemd's "
                    "RestrictAddressFamilies= must list AF_NETLINK)");
    refused_netlink(e, EPROTONOSUPPORT,
                    "Protocol not supported (this kernel is without "
                    "INET_DIAG)");
    refused_netlink(e, EMFILE, "Too many open files");
}

static void refused_request(const fw2_endpoint *e)
{
    syscall_rule old[] = { { SYS_sendto, 2, BARE_LEN, EINVAL } };
    syscall_rule both[] = { { SYS_sendto, 2, BARE_LEN, EOPNOTSUPP },
                            { SYS_sendto, 2, BARE_LEN - 4, ENOENT } };
    syscall_rule denied[] = { { SYS_sendto, 2, BARE_LEN, EACCES } };
    syscall_rule lost[] = { { SYS_sendto, 2, BARE_LEN, 0 } };
    confinement by = { old, 1, e };

    confined_has(old, 1, e,
                 apr_psprintf(pool, "netlink 1 [%s] -; -; -",
                              only_fw2("2/0/0", FW2_NETLINK)),
                 "a kernel without the legacy request gets the newer one");
    is_str(child_text(confined_spent, &by), "1, complete 0",
           "there is no second dump after the budget is used up");
    confined_has(
        both, 2, e,
        "a netlink sock_diag dump: No such file or directory (this kernel"
        " is without INET_DIAG, or may not load its module); -; -",
        "the count has the reason if the kernel knows neither request");
    confined_has(denied, 1, e,
                 "a netlink sock_diag dump: Permission denied (SELinux",
                 "a request that is refused is not sent again");
    confined_has(
        lost, 1, e,
        "a netlink sock_diag dump: The timeout specified has expired (the"
        " kernel did not answer)",
        "the count does not hang without an answer");
}

static void refused_proc(const fw2_endpoint *e)
{
    syscall_rule no_six[] = {
        NETLINK_IS(EACCES), { SYS_openat, 1, LOW(fw2_procfs_tables[1]), ENOENT }
    };
    syscall_rule no_four[] = {
        NETLINK_IS(EACCES), { SYS_openat, 1, LOW(fw2_procfs_tables[0]), EACCES }
    };
    syscall_rule no_read[] = { NETLINK_IS(EACCES), TABLE_READ_IS(EIO) };
    syscall_rule nothing[] = { NETLINK_IS(EACCES), TABLE_READ_IS(EIO),
                               FILE_READ_IS(EACCES) };
    const char *empty =
        expected("0/0/0", "0/0/0", "0/0/0", "0/0/0", "0/0/0", 0, -1);

    confined_has(
        no_six, 2, e,
        apr_psprintf(pool, "procfs 1 [%s] ", only_fw2("2/0/0", FW2_PROCFS)),
        "procfs counts without tcp6");
    confined_has(
        no_four, 2, e,
        "/proc/self/net/tcp: Permission denied (an AppArmor profile must "
        "allow `@{PROC}/@{pid}/net/tcp{,6} r,`); -",
        "procfs does not count without tcp");
    confined_has(no_read, 2, e, apr_psprintf(pool, "sockstat 0 [%s] ", empty),
                 "sockstat replaces procfs");
    confined_has(no_read, 2, e, "; /proc/self/net/tcp: Input/output error; -",
                 "the count has the reason of the second refusal");
    confined_has(nothing, 3, e, apr_psprintf(pool, "nothing 0 [%s] ", empty),
                 "the count is empty without a source");
    confined_has(nothing, 3, e,
                 "; /proc/self/net/sockstat: Permission denied (an AppArmor "
                 "profile must allow `@{PROC}/@{pid}/net/sockstat r,`)",
                 "the count has the reason of the third refusal");
}

static void test_refusals(void)
{
    fw2_endpoint e;

    half_close(listen_at("127.0.0.1", 0, 0, &e), "127.0.0.1", 2);
    counts(FW2_NETLINK, &e, 1, 0, only_fw2("2/0/0", FW2_NETLINK),
           "two sockets are half-closed");
    refused_socket(&e);
    refused_request(&e);
    refused_proc(&e);
    reset_all();
}

int main(void)
{
    begin_program();
    test_refusals();
    return end_program();
}
