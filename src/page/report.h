/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_REPORT_H
#define FW2_REPORT_H

/*
 * report: one snapshot of everything known.
 *
 * Knows the rooms below and nothing of httpd. A report belongs to the request
 * that made it: one thread fills and reads it.
 */

#include "apr_pools.h"
#include "apr_time.h"

#include "base/policy.h"
#include "page/advice.h"
#include "shared/board.h"
#include "shared/clients.h"
#include "shared/counters.h"
#include "shared/queue.h"
#include "shared/history.h"

/** A number that the machine does not give. No number here is below 0. */
#define FW2_UNKNOWN ((apr_int64_t)-1)

/** The figures of one listening socket. */
typedef struct fw2_listener_report {
    const char *listener; /**< as Listen spells it */
    fw2_tally tally;      /**< all FW2_UNKNOWN where nobody counted */
} fw2_listener_report;

/** The settings of a virtual host of the running configuration. */
typedef struct fw2_settings {
    const fw2_policy *policy; /**< NULL: there is none of this number now */
    apr_interval_time_t keepalive; /**< the keep-alive time in effect */
    apr_interval_time_t linger;    /**< the longest FinWait2LingerTotal, its
                                        sections' included */
    int varies;                    /**< a section has its own FinWait2Timeout or
                     FinWait2UserTimeout */
} fw2_settings;

/** The connections that clients of a virtual host leave behind; FW2_UNKNOWN
 * each where it is not known. */
typedef struct fw2_flow {
    apr_int64_t left_open;    /**< connections that clients left open in the
                                   last minute; all that httpd closed first if
                                   nobody lingers for httpd, since their number
                                   is not known then */
    apr_interval_time_t life; /**< of each as an orphan, by the settings: 0 with
                                   `none` */
    apr_int64_t expected;     /**< orphans, in the long run: Little's law */
} fw2_flow;

/** The figures of one virtual host. */
typedef struct fw2_vhost_report {
    fw2_vhost_totals totals;
    apr_int64_t trend[FW2_TREND]; /**< connections that ended, as
                                       fw2_counters_trend has them */
    apr_int64_t held;             /**< sockets lingered on now */
    fw2_rates rates;
    const fw2_settings *settings;
    apr_int64_t left_open; /**< these as fw2_flow has them */
    apr_interval_time_t life;
    apr_int64_t expected;
} fw2_vhost_report;

/** The figures of one client address. */
typedef struct fw2_peer_report {
    const char *peer;        /**< an address, or for IPv6 a net */
    apr_int64_t connections; /**< half-closed */
} fw2_peer_report;

/** The figures of one client that httpd closed first. */
typedef struct fw2_client_report {
    const char *client; /**< a User-Agent, or a net */
    apr_int64_t closed; /**< these and the next as fw2_client has them */
    apr_int64_t left_open;
    apr_int64_t silent;
    apr_int64_t expired;
} fw2_client_report;

/** A list of them. */
typedef struct fw2_client_reports {
    fw2_client_report *clients; /**< as fw2_client_top sorts them */
    int n;
    apr_int64_t all; /**< what it is sorted by, of all clients */
} fw2_client_reports;

/** Half-closed connections elsewhere with one port in common. */
typedef struct fw2_port_report {
    const char *side; /**< of fw2_role_names */
    apr_int64_t port, connections;
} fw2_port_report;

/** A snapshot. Pointers lead into the pool it was made from. */
typedef struct fw2_report {
    struct {
        const char *version; /**< this module's */
        const char *httpd;   /**< httpd's version */
        const char *mpm;
        apr_int64_t start;      /**< the last start or restart: microseconds
                                     since 1970 */
        apr_int64_t uptime;     /**< microseconds since then */
        apr_int64_t generation; /**< of the configuration */
    } server;
    struct {
        apr_int64_t age;  /**< microseconds */
        apr_int64_t cost; /**< microseconds of CPU */
        const char *backend;
        apr_int64_t complete;
        apr_int64_t counts;  /**< of this configuration, ever */
        apr_int64_t verdict; /**< an fw2_level */
        const char *rule;    /**< the rule that decided it; `none` */
    } snapshot;
    struct {
        apr_int64_t total, held, orphan; /**< sockets */
        apr_int64_t expected; /**< orphans: the virtual hosts' summed up */
    } half_closed;
    fw2_listener_report *listeners;
    int nlisteners;
    struct {
        const fw2_flow *flows;
        const fw2_rates *rates;
        const fw2_settings *settings;
        const char *const *names;
        int n;
    } all; /**< of all virtual hosts, by their places among the counters */
    fw2_vhost_report *vhosts; /**< those that are to be written */
    int nvhosts;
    fw2_peer_report *peers; /**< the most connections first */
    int npeers;
    struct {
        apr_int64_t over;      /**< microseconds that the lists go back */
        apr_int64_t left_open; /**< by all clients, listed or not */
        apr_int64_t expired;   /**< keep-alive times, the same */
    } clients;                 /**< all FW2_UNKNOWN where nobody asks */
    fw2_client_reports lists[FW2_CLIENT_LISTS];
    fw2_advice *advice; /**< the first is the verdict, of the rule `verdict` */
    int nadvice;
    apr_int64_t unlisted; /**< half-closed connections of other clients */
    struct {
        apr_int64_t processes;      /**< that run: one, and those of former
                                    configurations that still hold sockets */
        apr_int64_t held, capacity; /**< as fw2_board_state, of all */
        apr_int64_t oldest;         /**< the same; 0 while none is held */
        apr_int64_t evicted;
        apr_int64_t fallback; /**< connections left to httpd's own linger */
        apr_int64_t reasons[FW2_REFUSALS]; /**< the same, by why */
        apr_int64_t recent_fallback;       /**< the same, a minute */
        apr_int64_t invalid, lost;         /**< as fw2_server_totals */
        int wanted;   /**< a virtual host hands sockets off */
        int answered; /**< the process counted for this report when asked */
    } closer;
    fw2_left remaining;          /**< all FW2_UNKNOWN where nobody counted */
    fw2_undelivered undelivered; /**< the same */
    fw2_elsewhere elsewhere;
    fw2_port_report *ports;    /**< elsewhere.top, for people */
    fw2_limits limits, before; /**< of now, and as fw2_board_count has it */
    apr_int64_t
        fin_timeout_effective; /**< seconds that tcp_fin_timeout makes */
    apr_interval_time_t over;  /**< from one to the other */
    struct {
        apr_int64_t open, limit; /**< of the process that counted */
    } descriptors;
    const fw2_history *history; /**< of the time before; NULL: none is kept */
    apr_interval_time_t sample_interval; /**< from one of its samples to the
                                              next; 0: none are wanted */
    const char *missing[FW2_BACKENDS];   /**< why a source was passed over: a
                                            sentence each, or NULL */
} fw2_report;

/** The sources of a report's figures. Any thread may read them. */
typedef struct fw2_sources {
    int wanted;                     /**< FinWait2Status On */
    const fw2_queue *queue;         /**< to ask the closer process by */
    const fw2_board *const *boards; /**< of all processes, ours first */
    int nboards;
    int lingers;              /**< a virtual host hands sockets off */
    const char *const *names; /**< of the listening sockets, as they shall be
                                   written */
    int n;                    /**< of them */
    const fw2_counters *counters;
    const fw2_settings *settings;        /**< one a place of the counters */
    const fw2_clients *clients;          /**< NULL: nobody asks for them */
    const fw2_history *history;          /**< NULL: none is kept */
    apr_interval_time_t sample_interval; /**< from one of its samples to the
                                              next; 0: none are wanted */
} fw2_sources;

/**
 * Fill in all but `server`, which is the caller's to tell, and the virtual
 * hosts to be written, of which there are none yet. Never fails; what is
 * missing says so. Asks the closer process for a count, and waits for it for
 * 0.3 s at most.
 * @param pool What the report may point into, beside the sources.
 */
void fw2_report_make(fw2_report *report, const fw2_sources *sources,
                     apr_pool_t *pool);

/** The same, of what has been counted already. Never blocks. */
void fw2_report_last(fw2_report *report, const fw2_sources *sources,
                     apr_pool_t *pool);

/** Collect the facts for advice: all but `linger_blocks`. */
void fw2_report_facts(const fw2_report *report, fw2_facts *facts);

/** Have advice on these facts in the report. */
void fw2_report_advise(fw2_report *report, const fw2_facts *facts,
                       apr_pool_t *pool);

#endif /* FW2_REPORT_H */
