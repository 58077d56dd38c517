/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_CONFIG_H
#define FW2_CONFIG_H

/*
 * config: the directives, from httpd.conf to a policy for each server, and for
 * each request in a section, for example <Location>.
 *
 * Each directive is one row of config_directives.h, which create, merge and
 * httpd's list of directives are made of. Configurations are written while
 * httpd reads its files and in post_config, and are read-only afterwards. Any
 * thread may then call the functions that read them.
 */

#include "httpd.h"
#include "http_config.h"

#include "base/policy.h"

/** The entries of the module record: the directives, and the functions that
 *  make and merge configurations. */
extern const command_rec fw2_config_commands[];
void *fw2_config_create(apr_pool_t *pool, server_rec *s);
void *fw2_config_create_section(apr_pool_t *pool, char *path);
void *fw2_config_merge(apr_pool_t *pool, void *base, void *add);

/** Return the policy of a server in httpd's list of servers. The policy lives
 *  as long as the server's configuration. */
const fw2_policy *fw2_config_policy(const server_rec *s);

/** The policy for the end of one connection, and the virtual host that counts
 *  the end. A plain value, because the request, and a server that a module made
 *  for the request, may be freed before the connection ends. */
typedef struct fw2_owner {
    fw2_policy policy;
    apr_uint64_t vhost; /**< the virtual host's number */
} fw2_owner;

/**
 * Copy a server's policy and number, also for a server that a module made at
 * run time.
 * @param owner Set on success only.
 * @return False if post_config has seen neither the server nor the one that its
 *         configuration was copied or merged from.
 */
int fw2_config_server(const server_rec *s, fw2_owner *owner);

/**
 * Copy a request's policy: its server's, overridden by the values of the
 * request's sections, which httpd has merged. To be called after the response,
 * since any hook before may change the sections of a request.
 * @param owner On entry, the values to keep if the server is not known.
 */
void fw2_config_request(const request_rec *r, fw2_owner *owner);

/** True if a connection of this server, or of a section in it, may be handed
 *  off. */
int fw2_config_lingers(const server_rec *s);

/** Return the longest FinWait2LingerTotal of this server and its sections, in
 *  microseconds. */
apr_interval_time_t fw2_config_longest(const server_rec *s);

/** True if a section has a FinWait2Timeout or a FinWait2UserTimeout of its own,
 *  so that the server's values do not hold for all its connections. */
int fw2_config_varies(const server_rec *s);

/**
 * Set a server's number among the counters. To be called in post_config for
 * every server. A server without a directive of this module shares the main
 * server's configuration before this call, and has its own one afterwards.
 * @param pool The configuration's pool.
 */
void fw2_config_set_vhost(server_rec *s, apr_uint32_t vhost, apr_pool_t *pool);

/** Return a server's number among the counters. */
apr_uint32_t fw2_config_vhost(const server_rec *s);

/** FinWait2LingerSlots auto. */
#define FW2_SLOTS_AUTO 0

/** FinWait2Sample Off. */
#define FW2_SAMPLE_OFF 0

/** The settings of the whole server: a plain value like fw2_policy. */
typedef struct fw2_globals {
    apr_int64_t status; /**< 1: the page answers */
    apr_int64_t peers;  /**< 1: the page shows the clients' addresses */
    apr_int64_t slots;  /**< the most sockets to linger on, or FW2_SLOTS_AUTO */
    apr_int64_t sample; /**< microseconds between two samples of the history,
                             or FW2_SAMPLE_OFF */
} fw2_globals;

/** Return the settings of the whole server, which live as long as the main
 *  server's configuration. */
const fw2_globals *fw2_config_globals(const server_rec *main_server);

/** Return a number that changes when a server's name or settings change: those
 *  of this module, and httpd's own times and limits of a connection. Settings
 *  of sections are left out. */
apr_uint64_t fw2_config_digest(const server_rec *main_server);

/**
 * Log a warning, with its reason, for each value with an unexpected effect. To
 * be called once a start, in post_config.
 * @param tcp_fin_timeout The system's value in seconds, or -1.
 */
void fw2_config_warn(const server_rec *main_server,
                     apr_int64_t tcp_fin_timeout);

#endif /* FW2_CONFIG_H */
