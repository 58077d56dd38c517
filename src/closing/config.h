/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CONFIG_H
#define FW2_CONFIG_H

/*
 * config: the directives, from httpd.conf to a policy for each server, and for
 * each request that is in a section such as <Location>.
 *
 * One row a directive: create and merge walk the rows, so that a new directive
 * is a field, a row and a line of fw2_config_commands. Everything that is
 * written here while httpd reads its configuration is read-only afterwards; the
 * functions that read it may be called from any thread.
 */

#include "httpd.h"
#include "http_config.h"

#include "base/policy.h"

/** The module record's own: directives, and its servers' configurations. */
extern const command_rec fw2_config_commands[];
void *fw2_config_create(apr_pool_t *pool, server_rec *s);
void *fw2_config_create_section(apr_pool_t *pool, char *path);
void *fw2_config_merge(apr_pool_t *pool, void *base, void *add);

/** The policy of this server; lives as long as the server's configuration. Only
 *  for servers of httpd's own list. */
const fw2_policy *fw2_config_policy(const server_rec *s);

/** The terms for the end of one connection, and the virtual host that counts
 * it. A plain value: a request, and a server that a module made for it, may be
 * gone by then. */
typedef struct fw2_owner {
    fw2_policy policy;
    apr_uint64_t vhost; /**< the virtual host's number */
} fw2_owner;

/**
 * Copy out what any server wants, one that a module made at run time included.
 * @param owner Untouched on failure.
 * @return False if post_config has seen neither the server nor one that its
 *         configuration was copied or merged from.
 */
int fw2_config_server(const server_rec *s, fw2_owner *owner);

/**
 * Copy out what a request wants: its server's policy, and over that what the
 * sections have that the request is in, merged by httpd. For a request that is
 * answered, since any of its hooks may find another section for it.
 * @param owner On entry, what counts where the server is not known.
 */
void fw2_config_request(const request_rec *r, fw2_owner *owner);

/** True if a connection of this server's may be handed off; and the longest
 *  FinWait2LingerTotal that it may have. Its sections count, too. */
int fw2_config_lingers(const server_rec *s);
apr_interval_time_t fw2_config_longest(const server_rec *s);

/** True if a section has a FinWait2Timeout or a FinWait2UserTimeout of its own:
 *  the server's own do not tell how long its connections last. */
int fw2_config_varies(const server_rec *s);

/**
 * A server's number, for whoever counts by it. To be set in post_config only,
 * and for every server: one without a directive of ours shares the main
 * server's configuration until then, and is given its own.
 * @param pool The configuration's.
 */
void fw2_config_set_vhost(server_rec *s, apr_uint32_t vhost, apr_pool_t *pool);
apr_uint32_t fw2_config_vhost(const server_rec *s);

/** FinWait2LingerSlots auto. */
#define FW2_SLOTS_AUTO 0

/** How many sockets the server may linger on, or FW2_SLOTS_AUTO. Asked of the
 *  main server, where alone FinWait2LingerSlots can stand. */
int fw2_config_slots(const server_rec *s);

/** Whether the page answers. Asked of the main server: FinWait2Status cannot
 *  stand in a virtual host, nor be reached from an .htaccess. */
int fw2_config_status(const server_rec *s);

/** Whether it shows who the clients are. Asked of the main server likewise. */
int fw2_config_status_peers(const server_rec *s);

/** FinWait2Sample Off. */
#define FW2_SAMPLE_OFF 0

/** Microseconds between the history's samples; FW2_SAMPLE_OFF where none are
 *  taken, and so where the page, which alone would show them, does not answer.
 *  Asked of the main server, where alone FinWait2Sample can stand. */
apr_interval_time_t fw2_config_sample(const server_rec *s);

/** A number that changes as soon as any server's name or settings do, those of
 *  ours and httpd's own times and limits of a connection. Those of sections do
 *  not count. */
apr_uint64_t fw2_config_digest(const server_rec *main_server);

/**
 * Log a warning, with its reason, for each value that does what it says but
 * not what one may expect of it. To be called once a start, in post_config.
 * @param tcp_fin_timeout The system's value in seconds, or -1.
 */
void fw2_config_warn(const server_rec *main_server,
                     apr_int64_t tcp_fin_timeout);

#endif /* FW2_CONFIG_H */
