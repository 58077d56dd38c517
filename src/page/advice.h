/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_ADVICE_H
#define FW2_ADVICE_H

/*
 * advice: from plain figures to a verdict, and to sentences that say what to
 * change, what that would do, and what not to do.
 *
 * Each rule is a row of a table: what it measures, from which figure on it
 * speaks and how loudly, and in which words. The tables are by subject:
 * page/advice_limits.c, page/advice_linger.c, page/advice_traffic.c. How many
 * connections there will be is Little's law: so many come in a second, times
 * how long each stays.
 *
 * Knows APR only: whoever calls gathers the facts. Keeps no state: every
 * function may be called from any thread, and by several at once.
 */

#include "apr.h"
#include "apr_pools.h"
#include "apr_time.h"

#include "base/outcome.h"
#include "base/policy.h"

/** How bad it is; worse is greater. */
typedef enum {
    FW2_OK,     /**< nothing to do; an advice of this level is worth knowing */
    FW2_WATCH,  /**< costs something, or will if it goes on */
    FW2_DANGER, /**< connections are lost or refused, or are about to be */
    FW2_LEVELS
} fw2_level;

/** Their names: ok, watch, danger. */
extern const char *const fw2_level_names[FW2_LEVELS];

/** A fact that is not known. No rule speaks because of it, and no text has it.
 *  Any other number below 0 counts as this, but for the next. */
#define FW2_FACT_UNKNOWN ((apr_int64_t)-1)
/** In vhost_timeout: `FinWait2Timeout none`. Not the -1 that TCP_LINGER2 and a
 *  policy have for it: that is FW2_FACT_UNKNOWN here. */
#define FW2_FACT_NONE ((apr_int64_t)-2)

/** How many virtual hosts are named beside the one that makes most orphans. */
#define FW2_FACT_ALSO 2

/** The life of an orphan that is recommended where nothing better is known. */
#define FW2_SHORT_LIFE apr_time_from_sec(5)

/** In vhost_linger, which is an fw2_linger otherwise: FinWait2Engine Off. */
#define FW2_FACT_ENGINE_OFF (FW2_LINGER_HTTPD + 1)

/** In vhost_cause, which is an fw2_cause otherwise: there never was a
 *  request. */
#define FW2_FACT_NO_REQUEST FW2_CAUSES

/**
 * The known facts. Begin with fw2_advice_clear(), then fill in what there is.
 *
 * Scopes: "ours" is httpd's own listening addresses; "namespace" is all of the
 * network namespace, other programs included; "machine" is all namespaces
 * together, even inside a container. Ours are among the namespace's. No rule
 * divides one of the machine's by any other, or the other way.
 *
 * The verdict is about httpd: a rule on what is not ours alone asks what is
 * known of ours. A figure of another program's is never worse than FW2_OK, and
 * one whose owner is not known, never worse than FW2_WATCH.
 *
 * Events "last minute" are those of the 60 s before now: unknown before there
 * are 60 s of history, never a shorter time's and never a total.
 */
typedef struct fw2_facts {
    apr_int64_t not_counted; /**< 1: it was tried to count, in vain */

    /* Ours, now: sockets. Half-closed is held + orphan_mini + orphan_full. */
    apr_int64_t held;              /**< a process holds the descriptor */
    apr_int64_t orphan_mini;       /**< mini-sockets: orphans in FIN_WAIT_2 */
    apr_int64_t orphan_full;       /**< orphans that are full sockets */
    apr_int64_t fin_wait1;         /**< in FIN_WAIT_1, held or not */
    apr_int64_t undelivered;       /**< of fin_wait1: with bytes of a response,
                                        not the FIN alone, unacknowledged */
    apr_int64_t undelivered_bytes; /**< unacknowledged in all of these: bytes */
    apr_int64_t shut_windows;      /**< of undelivered: the client's window is
                                        shut */
    apr_int64_t close_wait;        /**< in CLOSE_WAIT, a process holds it */
    apr_int64_t backlog;           /**< that wait for accept, where the share of
                                        backlog_limit is greatest */
    apr_int64_t backlog_limit;     /**< that may wait there */

    /* The closer processes. */
    apr_int64_t closer_away;     /**< 1: it is wanted, and none runs */
    apr_int64_t closer_idle;     /**< 1: it runs, but cannot linger here */
    apr_int64_t closer_held;     /**< sockets lingered on now */
    apr_int64_t closer_capacity; /**< sockets that may be */
    apr_int64_t closer_oldest;   /**< the oldest is held: microseconds */
    apr_int64_t evicted;         /**< lingers cut short, last minute */
    apr_int64_t fallback; /**< connections that the closer process did not
                               accept, last minute */

    /* Closes of ours, last minute: connections. */
    apr_int64_t by_server;        /**< httpd closed first */
    apr_int64_t by_peer;          /**< the client closed first */
    apr_int64_t left_open;        /**< of by_server: the client had not closed
                                       when we let go: an orphan in FIN_WAIT_2,
                                       for as long as it lets it be one */
    apr_int64_t expired;          /**< of by_server: keep-alive time over */
    apr_int64_t connection_close; /**< of by_server: after a response with
                                       Connection: close */
    apr_int64_t errors;           /**< of by_server: after an error */
    apr_int64_t probes;           /**< of by_server: without any request */

    /** How long an orphan of left_open lives by its virtual host's settings,
     *  the mean over left_open, 0 for each of `none`: microseconds. Unknown:
     *  as long as one of `vhost` below. */
    apr_int64_t left_open_life;
    /** The same if nobody kept one for longer than FW2_SHORT_LIFE. */
    apr_int64_t left_open_short_life;

    /* The virtual host that makes most orphans, and its settings. */
    apr_int64_t vhost_share;               /**< its part of them: percent */
    apr_int64_t also_share[FW2_FACT_ALSO]; /**< the parts of the next ones */
    apr_int64_t vhost_left_open;    /**< its part of left_open: connections */
    apr_int64_t vhost_cause;        /**< why httpd closed most */
    apr_int64_t vhost_linger;       /**< a FW2_FACT_LINGER_ */
    apr_int64_t vhost_linger_idle;  /**< FinWait2LingerIdle: microseconds */
    apr_int64_t vhost_timeout;      /**< FinWait2Timeout: seconds; 0: the
                                         system's; or FW2_FACT_NONE */
    apr_int64_t vhost_user_timeout; /**< FinWait2UserTimeout: microseconds; 0:
                                         the system's */
    apr_int64_t vhost_keepalive;    /**< the keep-alive time in effect:
                                         microseconds */

    /* The virtual host with the most connections that ended idle, last minute,
     * in HTTP/1: by the side that closed first. */
    apr_int64_t idle_in_time;   /**< the client, before the promise was over */
    apr_int64_t idle_late;      /**< the client, after that */
    apr_int64_t idle_expired;   /**< httpd, when the real time was over */
    apr_int64_t idle_keepalive; /**< its real keep-alive time: microseconds */
    apr_int64_t idle_promise;   /**< the time that it promises: microseconds; 0:
                                     none; unknown: the real one */

    /* The address with the most half-closed connections of ours. */
    apr_int64_t peer_share; /**< its part of them: percent */

    /* In the last ten to twenty minutes: the User-Agent that leaves most
     * connections open, and the net that is idle for too long most often. */
    apr_int64_t agent_share;     /**< the agent's part of what was left open:
                                      percent */
    apr_int64_t agent_closed;    /**< its connections that httpd closed first */
    apr_int64_t agent_left_open; /**< of these, left open */
    apr_int64_t agent_expired;   /**< of agent_closed: keep-alive time over */
    apr_int64_t idle_net_share;  /**< the net's part of all whose keep-alive
                                      time was over: percent */

    /* The namespace's. */
    apr_int64_t tcp_fin_timeout;    /**< net.ipv4.tcp_fin_timeout: seconds */
    apr_int64_t follows_system;     /**< 0: no server of httpd's follows it */
    apr_int64_t tcp_max_tw_buckets; /**< mini-sockets at most */
    apr_int64_t timewait;           /**< mini-sockets now, FIN_WAIT_2 and
                                         TIME_WAIT */
    apr_int64_t timewait_overflows; /**< TCPTimeWaitOverflow, last minute */
    apr_int64_t listen_overflows;   /**< ListenOverflows, last minute */
    apr_int64_t memory_aborts;      /**< TCPAbortOnMemory, last minute */

    /* The machine's. */
    apr_int64_t tcp_max_orphans; /**< full sockets without owner at most */
    apr_int64_t orphans;         /**< full sockets without owner now */
    apr_int64_t tcp_mem_max;     /**< third of net.ipv4.tcp_mem: pages */
    apr_int64_t tcp_mem;         /**< in TCP's buffers now: pages */

    /* The closer process. */
    apr_int64_t descriptors;      /**< in use */
    apr_int64_t descriptor_limit; /**< that may be in use */

    /* The namespace's accept queues, and what is half-closed elsewhere. */
    apr_int64_t own_drops;        /**< packets dropped at httpd's own queues and
                                     not since the accept is deferred, last
                                     minute; hardly any but for want of room */
    apr_int64_t other_drops;      /**< dropped at other programs' queues for any
                                     reason, last minute */
    apr_int64_t queue_port;       /**< of another program whose queue is full */
    apr_int64_t queue;            /**< connections that wait there */
    apr_int64_t queue_limit;      /**< that may wait there */
    apr_int64_t elsewhere;        /**< sockets, where most have one port */
    apr_int64_t elsewhere_port;   /**< that port */
    apr_int64_t elsewhere_opened; /**< 1: this machine opened them; 0: another
                                       program accepted them */

    /** 1: httpd's own linger keeps a worker waiting (prefork, worker); 0: it
     *  does not (event). */
    apr_int64_t linger_blocks;

    /* Names are foreign text of any length and content; NULL: unknown, or not
     * to be shown. Their memory need not outlive the call. */
    const char *vhost;               /**< of the virtual host above */
    const char *also[FW2_FACT_ALSO]; /**< of the next ones */
    const char *peer;                /**< the address above */
    const char *agent;               /**< the User-Agent above */
    const char *idle_net;            /**< the net above */
    const char *idle_vhost;          /**< the virtual host of idle_in_time */
} fw2_facts;

/** The words of a rule. Whole sentences; NULL: there are none. */
typedef struct fw2_words {
    const char *finding;   /**< the state, with the number that decided; one
                                sentence, never NULL */
    const char *remedy;    /**< the change to make, and its effect in figures */
    const char *risk;      /**< the price of that change */
    const char *directive; /**< the one recommendation: its name and value, a
                                directive of httpd's or a `net.` sysctl */
    const char *value;
    const char *before;     /**< a line to write before that one; or NULL */
    apr_int64_t now, after; /**< the number that it changes, and its value
                                 afterwards; FW2_FACT_UNKNOWN likewise */
} fw2_words;

/** One piece of advice. */
typedef struct fw2_advice {
    const char *rule; /**< the label of the section `advice`: stays first */
    fw2_level level;
    const char *level_name;
    fw2_words words;
    const char *text; /**< finding, remedy and risk in one; never NULL */
    const char *line; /**< the recommendation, to be pasted; or NULL */
} fw2_advice;

/** The severity. */
typedef struct fw2_verdict {
    fw2_level level;  /**< of the worst advice; FW2_OK without any */
    const char *rule; /**< the one that decided; NULL where it is FW2_OK */
    const char *text; /**< one sentence that begins with the level's name, with
                           the number that decided */
    const char *finding; /**< the same without the level's name */
    int n;
    const fw2_advice *advice; /**< worst first; of one level, in the
                                   rules' order */
} fw2_verdict;

/** Make all facts unknown. */
void fw2_advice_clear(fw2_facts *facts);

/**
 * Judge. Never fails. Texts are plain English without markup and without line
 * breaks; they are to be escaped like all text, since names stand in them: of
 * each at most 64 bytes, cut with an ellipsis, control characters replaced.
 * @param pool For the verdict and all it leads to.
 */
const fw2_verdict *fw2_advice_give(const fw2_facts *facts, apr_pool_t *pool);

/** The name of the i-th rule, from 0 on; NULL where there are not so many. */
const char *fw2_advice_rule(int i);

/**
 * Little's law: how many there are in the long run.
 * @param per_minute How many come in a minute.
 * @param life How long each stays, in microseconds.
 * @return Rounded to the nearest; FW2_FACT_UNKNOWN if one is not known.
 */
apr_int64_t fw2_advice_steady_state(apr_int64_t per_minute,
                                    apr_interval_time_t life);

/**
 * How long Linux keeps an orphan in FIN_WAIT_2, in seconds, at this value of
 * net.ipv4.tcp_fin_timeout or TCP_LINGER2: the value up to 60, above that twice
 * what is above 60. (tcp_close() and tcp_keepalive_timer(); measured on 6.18.)
 * At least 1, for the kernel's floor of 3.5 retransmission timeouts.
 * @return FW2_FACT_UNKNOWN if the value is not known.
 */
apr_int64_t fw2_advice_orphan_life(apr_int64_t seconds);

#endif /* FW2_ADVICE_H */
