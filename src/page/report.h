/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_REPORT_H
#define FW2_REPORT_H

/*
 * report: a snapshot of all figures of the module and the kernel.
 *
 * The room depends on the rooms below, and not on httpd. A report belongs to
 * the request that makes it: one thread writes and reads it.
 */

#include "apr_pools.h"
#include "apr_time.h"

#include "base/policy.h"
#include "shared/board.h"
#include "shared/clients.h"
#include "shared/counters.h"
#include "shared/queue.h"
#include "shared/history.h"

/** A number that is not known. All other numbers here are 0 or greater. */
#define FW2_UNKNOWN ((apr_int64_t)-1)

/** The recommended life of an orphan. */
#define FW2_SHORT_LIFE apr_time_from_sec(5)

/** The figures of one listening socket. */
typedef struct fw2_listener_report {
    const char *listener; /**< address as Listen spells it */
    fw2_tally tally;      /**< this and the next: all FW2_UNKNOWN if not
                               counted */
    fw2_half half;
} fw2_listener_report;

/** The settings of a virtual host of the running configuration. */
typedef struct fw2_settings {
    const fw2_policy *policy;      /**< NULL: no virtual host has this number
                                        now */
    apr_interval_time_t keepalive; /**< the keep-alive time in effect */
    apr_interval_time_t linger;    /**< the longest FinWait2LingerTotal,
                                        including those of sections */
    int varies;                    /**< 1: a section has its own FinWait2Timeout
                                        or FinWait2UserTimeout */
} fw2_settings;

/** The orphans of a virtual host; each FW2_UNKNOWN if not known. */
typedef struct fw2_flow {
    apr_int64_t left_open;    /**< connections not closed by the client, last
                                   minute; all that httpd closed first if the
                                   closer process does not linger, as their
                                   number is not known then */
    apr_interval_time_t life; /**< life of each as an orphan, by the settings: 0
                                   with `none` */
    apr_int64_t expected;     /**< orphans in the long run, by Little's law */
} fw2_flow;

/** A virtual host that the advice names. Other members are not valid if `name`
 *  is NULL. */
typedef struct fw2_named_vhost {
    const char *name;  /**< NULL: there is none */
    apr_int64_t share; /**< its share of the orphans: percent */
    const fw2_rates *rates;
    const fw2_settings *settings;
} fw2_named_vhost;

/** The number of virtual hosts that are named for their orphans. */
#define FW2_WORST 3

/** The figures of one virtual host. */
typedef struct fw2_vhost_report {
    fw2_vhost_totals totals;
    const fw2_counters *counters; /**< the source of the trend; NULL for a sum
                                       of virtual hosts */
    fw2_vhost_id id;              /**< the number among the counters */
    apr_int64_t held;             /**< sockets that closer processes hold */
    fw2_rates rates;
    const fw2_settings *settings; /**< NULL for a sum of virtual hosts */
    fw2_flow flow;
} fw2_vhost_report;

/** The figures of one client address. */
typedef struct fw2_peer_report {
    const char *peer;        /**< an address, or for IPv6 a net */
    apr_int64_t connections; /**< half-closed connections */
} fw2_peer_report;

/** The figures of one client, of connections that httpd closed first. */
typedef struct fw2_client_report {
    const char *client; /**< a User-Agent, or a net */
    apr_int64_t closed; /**< this and the next three as in fw2_client */
    apr_int64_t left_open;
    apr_int64_t silent;
    apr_int64_t expired;
} fw2_client_report;

/** A list of clients. */
typedef struct fw2_client_reports {
    fw2_client_report *clients; /**< in the order of fw2_client_top */
    int n;
    apr_int64_t all;   /**< events, as sorted by, of all clients, listed or
                            not */
    apr_int64_t share; /**< the first client's share of them: percent;
                            FW2_UNKNOWN if no client is listed */
} fw2_client_reports;

/** The half-closed connections of one port elsewhere. */
typedef struct fw2_port_report {
    const char *side; /**< one of fw2_role_names */
    apr_int64_t port, connections;
} fw2_port_report;

/** A snapshot. Pointers point into the pool that it was made from. */
typedef struct fw2_report {
    struct {
        const char *version; /**< version of this module */
        const char *httpd;   /**< version of httpd */
        const char *mpm;
        apr_int64_t start;      /**< time of the last start or restart:
                                     microseconds since 1970 */
        apr_int64_t uptime;     /**< time since then: microseconds */
        apr_int64_t generation; /**< number of restarts */
        int linger_blocks; /**< 1: httpd's own linger keeps a worker waiting
                                (prefork, worker); 0: it does not (event) */
    } server;
    struct {
        apr_int64_t age;  /**< time since the last count: microseconds */
        apr_int64_t cost; /**< CPU time of the last count: microseconds */
        const char *backend;
        apr_int64_t complete;
        apr_int64_t counts;  /**< number of counts of this configuration */
        apr_int64_t verdict; /**< an fw2_level; by fw2_advice_give() */
        const char *rule;    /**< the rule that decided; or `none` */
    } snapshot;
    struct {
        apr_int64_t total, held, orphan; /**< numbers of sockets */
        apr_int64_t mini;                /**< orphans in FIN_WAIT_2 that are
                                              mini-sockets */
        apr_int64_t full;                /**< orphans that are full sockets */
        apr_int64_t expected; /**< expected orphans of all virtual hosts */
    } half_closed;
    fw2_listener_report *listeners;
    int nlisteners;
    struct {
        apr_int64_t fin_wait1;  /**< sockets in FIN_WAIT_1, held or not */
        apr_int64_t close_wait; /**< sockets in CLOSE_WAIT that a process
                                     holds */
        apr_int64_t undelivered, undelivered_bytes; /**< as in fw2_undelivered,
                                                         of all holders */
        apr_int64_t zero_windows;                   /**< likewise */
        apr_int64_t backlog, backlog_limit; /**< the accept queue with the
                                                 greatest share of its limit */
    } sockets; /**< figures of all listeners; all FW2_UNKNOWN if not counted */
    struct {
        const fw2_flow *flows;
        const fw2_rates *rates;
        const fw2_settings *settings;
        const char *const *names;
        int n;
    } all; /**< all virtual hosts, by their numbers in the counters */
    struct {
        apr_int64_t by_server;          /**< connections that httpd closed
                                             first */
        apr_int64_t closes;             /**< these, and connections that the
                                             client closed first */
        apr_int64_t causes[FW2_CAUSES]; /**< closes by cause */
        apr_int64_t probes, evicted;    /**< as in fw2_rates */
        apr_int64_t left_open;          /**< as in fw2_flow */
        apr_interval_time_t life;       /**< mean life of these orphans */
        apr_interval_time_t short_life; /**< the same mean with each life at
                                             FW2_SHORT_LIFE at most */
        apr_int64_t timewait_overflows; /**< connections that vanished */
        apr_int64_t listen_overflows;   /**< full accept queues */
        apr_int64_t listen_drops;       /**< connections not accepted */
        apr_int64_t memory_aborts;      /**< connections reset */
        apr_int64_t own_drops;   /**< packets dropped at httpd's own accept
                                      queues, without those dropped for a
                                      deferred accept; nearly all because of a
                                      full queue */
        apr_int64_t other_drops; /**< packets dropped at other programs' queues
                                      for any reason */
    } minute; /**< events of the last minute, of all virtual hosts and of the
                   system; each FW2_UNKNOWN if not known, as in the first
                   minute */
    fw2_named_vhost worst[FW2_WORST]; /**< the virtual hosts with most
                                           orphans */
    fw2_named_vhost idle; /**< the virtual host with most connections that ended
                               idle in the last minute; without a share */
    fw2_vhost_report *vhosts; /**< the virtual hosts to be written */
    int nvhosts;
    fw2_peer_report *peers; /**< clients, by descending connections */
    int npeers;
    apr_int64_t peer_share; /**< the first client's share of all half-closed
                                 connections: percent; FW2_UNKNOWN without
                                 clients */
    struct {
        apr_int64_t over;      /**< time that the lists cover: microseconds */
        apr_int64_t left_open; /**< connections not closed by the client, of all
                                    clients, listed or not */
        apr_int64_t expired;   /**< connections whose keep-alive time was over,
                                    of all clients, listed or not */
    } clients;                 /**< all FW2_UNKNOWN if clients are not listed */
    fw2_client_reports lists[FW2_CLIENT_LISTS];
    struct fw2_advice *advice; /**< first the verdict, with the rule `verdict`;
                                    by fw2_advice_give() */
    int nadvice;
    apr_int64_t unlisted; /**< half-closed connections of clients not in
                               `peers` */
    struct {
        apr_int64_t processes;      /**< processes that run: one, and those of
                                         former configurations that still hold
                                         sockets */
        apr_int64_t held, capacity; /**< as in fw2_board_state, of all of
                                         them */
        apr_int64_t oldest;         /**< likewise; 0: no socket is held */
        apr_int64_t evicted;        /**< lingers cut short */
        apr_int64_t fallback;       /**< connections left to httpd's own
                                         linger */
        apr_int64_t reasons[FW2_REFUSALS]; /**< fallback by reason */
        apr_int64_t recent_fallback;       /**< fallback in the last minute */
        apr_int64_t invalid, lost;         /**< as in fw2_server_totals */
        int wanted;   /**< 1: a virtual host hands sockets off */
        int answered; /**< 1: the process has answered a request to count for
                           this report */
    } closer;
    fw2_left remaining;          /**< all FW2_UNKNOWN if not counted */
    fw2_undelivered undelivered; /**< all FW2_UNKNOWN if not counted */
    fw2_elsewhere elsewhere;
    fw2_port_report *ports;    /**< elsewhere.top, with names */
    fw2_limits limits, before; /**< limits at the last count, and before as in
                                    fw2_board_count */
    apr_int64_t fin_timeout_effective; /**< life of an orphan by
                                            tcp_fin_timeout: seconds */
    apr_interval_time_t over;          /**< time between the two limits */
    struct {
        apr_int64_t open, limit; /**< descriptors of the closer process */
    } descriptors;
    const fw2_history *history;          /**< NULL: no history is kept */
    apr_interval_time_t sample_interval; /**< time between samples; 0: no
                                              samples */
    const char *missing[FW2_BACKENDS];   /**< reason why each source was not
                                              used: a sentence, or NULL */
} fw2_report;

/** The sources of a report's figures. Any thread may read them. */
typedef struct fw2_sources {
    int wanted;                     /**< 1: FinWait2Status On */
    const fw2_queue *queue;         /**< the queue to the closer process */
    const fw2_board *const *boards; /**< the boards of all closer processes,
                                         first that of this configuration */
    int nboards;
    int lingers;              /**< 1: a virtual host hands sockets off */
    const char *const *names; /**< names of the listening sockets, as they are
                                   written */
    int n;                    /**< number of listening sockets */
    const fw2_counters *counters;
    const fw2_settings *settings;        /**< settings of each virtual host, by
                                              its number in the counters */
    const fw2_clients *clients;          /**< NULL: clients are not listed */
    const fw2_history *history;          /**< NULL: no history is kept */
    apr_interval_time_t sample_interval; /**< time between samples; 0: no
                                              samples */
} fw2_sources;

/**
 * Make a report: ask the closer process for a count, wait for it for 0.3 s at
 * most, and write all members but `server` and the advice. No virtual host is
 * to be written yet. Never fails; missing figures are FW2_UNKNOWN.
 * @param pool The pool of the report's data. The report also points into the
 *             sources.
 */
void fw2_report_make(fw2_report *report, const fw2_sources *sources,
                     apr_pool_t *pool);

/** Make a report like fw2_report_make(), but from the last count. Never
 *  blocks. */
void fw2_report_last(fw2_report *report, const fw2_sources *sources,
                     apr_pool_t *pool);

/** Calculate the members that follow from others: `sockets`, `minute`, `worst`,
 *  `idle`, `peer_share`. For fw2_report_last(), and for a test that has changed the others. */
void fw2_report_sum(fw2_report *report);

/** Return the number at an offset in a report. */
apr_int64_t fw2_report_number(const fw2_report *report, apr_size_t offset);

/** Return a part of a whole in percent, rounded down, at most 1000; FW2_UNKNOWN
 *  if the part or the whole is unknown, or if the whole is 0. */
apr_int64_t fw2_report_share(apr_int64_t part, apr_int64_t whole);

/** The value of a main cause if most connections carried no request. */
#define FW2_NO_REQUEST FW2_CAUSES

/**
 * Return the cause of most closes by httpd: an fw2_cause or FW2_NO_REQUEST;
 * FW2_UNKNOWN if there was none.
 * @param causes The number for each cause.
 * @param probes The number without a request.
 * @param n On return, the number of such closes.
 */
apr_int64_t fw2_report_main_cause(const apr_int64_t *causes, apr_int64_t probes,
                                  apr_int64_t *n);

/**
 * Return the number of connections in the long run, by Little's law.
 * @param per_minute The number that begin in a minute.
 * @param life The life of each, in microseconds.
 * @return Rounded to the nearest; FW2_UNKNOWN if a parameter is not known.
 */
apr_int64_t fw2_report_steady_state(apr_int64_t per_minute,
                                    apr_interval_time_t life);

/**
 * Return the seconds that Linux keeps an orphan in FIN_WAIT_2, for a value of
 * net.ipv4.tcp_fin_timeout or TCP_LINGER2: the value up to 60, above that twice
 * the part above 60. (tcp_close() and tcp_keepalive_timer(); measured on 6.18.)
 * At least 1, for the kernel's minimum of 3.5 retransmission timeouts.
 * @return FW2_UNKNOWN if the value is not known.
 */
apr_int64_t fw2_report_orphan_life(apr_int64_t seconds);

#endif /* FW2_REPORT_H */
