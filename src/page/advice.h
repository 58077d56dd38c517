/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_ADVICE_H
#define FW2_ADVICE_H

/*
 * advice: the verdict on the facts of a report, and advice in sentences: the
 * change to make, its effect, its risk.
 *
 * Each rule is a row of a table: the figure that the rule measures, the least
 * figure for each level, and the function that writes the sentences. The tables
 * are by subject: page/advice_limits.c, page/advice_linger.c,
 * page/advice_traffic.c. The expected number of connections is Little's law:
 * the number that begin in a second, times the life of each.
 *
 * The room depends on APR only: the caller gathers the facts. It keeps no
 * state: any thread may call every function, and several threads may do so at
 * once.
 */

#include "apr.h"
#include "apr_pools.h"
#include "apr_time.h"

#include "base/outcome.h"
#include "base/policy.h"

/** The level of an advice or a verdict; a worse one is greater. */
typedef enum {
    FW2_OK,     /**< nothing to do; advice of this level is a note */
    FW2_WATCH,  /**< a cost, now or soon */
    FW2_DANGER, /**< connections are lost or refused, or soon will be */
    FW2_LEVELS
} fw2_level;

/** Their names: ok, watch, danger. */
extern const char *const fw2_level_names[FW2_LEVELS];

/** A fact that is not known. No rule applies because of it, and no text
 *  contains it. Any other number below 0 has the same meaning, except for
 *  FW2_FACT_NONE. */
#define FW2_FACT_UNKNOWN ((apr_int64_t)-1)
/** `FinWait2Timeout none`, in vhost_timeout. TCP_LINGER2 and a policy have -1
 *  for it, which is FW2_FACT_UNKNOWN here. */
#define FW2_FACT_NONE ((apr_int64_t)-2)

/** The number of virtual hosts named after the one that makes most orphans. */
#define FW2_FACT_ALSO 2

/** The recommended life of an orphan, unless a rule knows a better one. */
#define FW2_SHORT_LIFE apr_time_from_sec(5)

/** FinWait2Engine Off, in vhost_linger, which is an fw2_linger otherwise. */
#define FW2_FACT_ENGINE_OFF (FW2_LINGER_HTTPD + 1)

/** A connection without any request, in vhost_cause, which is an fw2_cause
 *  otherwise. */
#define FW2_FACT_NO_REQUEST FW2_CAUSES

/**
 * The known facts. The caller begins with fw2_advice_clear(), then sets the
 * facts that are known.
 *
 * Scopes: "httpd's" facts are those of httpd's own listening addresses; "the
 * namespace's" those of the whole network namespace, other programs included;
 * "the machine's" those of all namespaces together, even inside a container.
 * httpd's are part of the namespace's. No rule divides a fact of the machine by
 * a fact of another scope, nor a fact of another scope by one of the machine.
 *
 * The verdict is about httpd: a rule on a figure of a wider scope also asks for
 * httpd's part. The level is FW2_OK at most if the figure is another program's,
 * and FW2_WATCH at most if its owner is not known.
 *
 * Events of the "last minute" are those of the 60 s before now: unknown before
 * there are 60 s of history, never those of a shorter time and never a total.
 */
typedef struct fw2_facts {
    apr_int64_t not_counted; /**< 1: an attempt to count has failed */

    /* httpd's, now: sockets. Half-closed: held + orphan_mini + orphan_full. */
    apr_int64_t held;              /**< sockets whose descriptor a process
                                        holds */
    apr_int64_t orphan_mini;       /**< mini-sockets: orphans in FIN_WAIT_2 */
    apr_int64_t orphan_full;       /**< orphans that are full sockets */
    apr_int64_t fin_wait1;         /**< sockets in FIN_WAIT_1, held or not */
    apr_int64_t undelivered;       /**< part of fin_wait1: sockets with
                                        unacknowledged bytes of a response, not
                                        only the FIN */
    apr_int64_t undelivered_bytes; /**< unacknowledged bytes of undelivered */
    apr_int64_t shut_windows;      /**< part of undelivered: sockets whose
                                        client has a zero window */
    apr_int64_t close_wait;        /**< sockets in CLOSE_WAIT that a process
                                        holds */
    apr_int64_t backlog;           /**< connections that wait for accept, in the
                                        queue with the greatest share of its
                                        limit */
    apr_int64_t backlog_limit;     /**< most connections that may wait there */

    /* The closer processes. */
    apr_int64_t closer_away;     /**< 1: a closer is wanted, and none runs */
    apr_int64_t closer_idle;     /**< 1: it runs, but cannot linger here */
    apr_int64_t closer_held;     /**< sockets held now */
    apr_int64_t closer_capacity; /**< most sockets that may be held */
    apr_int64_t closer_oldest;   /**< time that the oldest socket is held:
                                      microseconds */
    apr_int64_t evicted;         /**< lingers cut short, last minute */
    apr_int64_t fallback;        /**< connections that the closer process did
                                      not accept, last minute */

    /* httpd's connections that ended in the last minute. */
    apr_int64_t by_server;        /**< connections that httpd closed first */
    apr_int64_t by_peer;          /**< connections that the client closed
                                       first */
    apr_int64_t left_open;        /**< part of by_server: connections not closed
                                       by the client when the closer closed:
                                       each an orphan in FIN_WAIT_2 for as long
                                       as its virtual host allows */
    apr_int64_t expired;          /**< part of by_server: when the keep-alive
                                       time was over */
    apr_int64_t connection_close; /**< part of by_server: after a response with
                                       Connection: close */
    apr_int64_t errors;           /**< part of by_server: after an error */
    apr_int64_t probes;           /**< part of by_server: without any request */

    /** The life of an orphan by its virtual host's settings, the mean over
     *  left_open, 0 for each with `none`: microseconds. Unknown: the life by
     *  the settings of `vhost` below is used instead. */
    apr_int64_t left_open_life;
    /** The same mean with each life at FW2_SHORT_LIFE at most. */
    apr_int64_t left_open_short_life;

    /* The virtual host that makes most orphans, and its settings. */
    apr_int64_t vhost_share;               /**< its share of the orphans:
                                                percent */
    apr_int64_t also_share[FW2_FACT_ALSO]; /**< the shares of the next ones */
    apr_int64_t vhost_left_open;    /**< its part of left_open: connections */
    apr_int64_t vhost_cause;        /**< the cause of most closes by httpd: an
                                         fw2_cause or FW2_FACT_NO_REQUEST */
    apr_int64_t vhost_linger;       /**< an fw2_linger or
                                         FW2_FACT_ENGINE_OFF */
    apr_int64_t vhost_linger_idle;  /**< FinWait2LingerIdle: microseconds */
    apr_int64_t vhost_timeout;      /**< FinWait2Timeout: seconds; 0: the
                                         system's; or FW2_FACT_NONE */
    apr_int64_t vhost_user_timeout; /**< FinWait2UserTimeout: microseconds; 0:
                                         the system's */
    apr_int64_t vhost_keepalive;    /**< the keep-alive time in effect:
                                         microseconds */

    /* The virtual host with the most HTTP/1 connections that ended idle in the
     * last minute, by the side that closed first. */
    apr_int64_t idle_in_time;   /**< closed by the client before the promised
                                     time was over */
    apr_int64_t idle_late;      /**< closed by the client after that */
    apr_int64_t idle_expired;   /**< closed by httpd, real time over */
    apr_int64_t idle_keepalive; /**< the real keep-alive time: microseconds */
    apr_int64_t idle_promise;   /**< the promised time: microseconds; 0: none;
                                     unknown: the real time */

    /* The client address with the most half-closed connections to httpd. */
    apr_int64_t peer_share; /**< its share of them: percent */

    /* In the last ten to twenty minutes: the User-Agent with the most
     * connections not closed by the client, and the net with the most
     * connections whose keep-alive time was over. */
    apr_int64_t agent_share;     /**< the agent's share of the connections not
                                      closed by the client: percent */
    apr_int64_t agent_closed;    /**< its connections that httpd closed first */
    apr_int64_t agent_left_open; /**< part of agent_closed: not closed by the
                                      client */
    apr_int64_t agent_expired;   /**< part of agent_closed: keep-alive time
                                      over */
    apr_int64_t idle_net_share;  /**< the net's share of all connections whose
                                      keep-alive time was over: percent */

    /* The namespace's. */
    apr_int64_t tcp_fin_timeout;    /**< net.ipv4.tcp_fin_timeout: seconds */
    apr_int64_t follows_system;     /**< 0: no virtual host uses it */
    apr_int64_t tcp_max_tw_buckets; /**< most mini-sockets */
    apr_int64_t timewait;           /**< mini-sockets now, FIN_WAIT_2 and
                                         TIME_WAIT */
    apr_int64_t timewait_overflows; /**< TCPTimeWaitOverflow, last minute */
    apr_int64_t listen_overflows;   /**< ListenOverflows, last minute */
    apr_int64_t memory_aborts;      /**< TCPAbortOnMemory, last minute */

    /* The machine's. */
    apr_int64_t tcp_max_orphans; /**< most full sockets without owner */
    apr_int64_t orphans;         /**< full sockets without owner now */
    apr_int64_t tcp_mem_max;     /**< third number of net.ipv4.tcp_mem: pages */
    apr_int64_t tcp_mem;         /**< memory of TCP's buffers now: pages */

    /* The closer process. */
    apr_int64_t descriptors;      /**< descriptors in use */
    apr_int64_t descriptor_limit; /**< most descriptors */

    /* The namespace's accept queues, and half-closed connections elsewhere. */
    apr_int64_t own_drops;        /**< packets dropped at httpd's own queues,
                                       last minute, without those dropped for a
                                       deferred accept; nearly all because of
                                       a full queue */
    apr_int64_t other_drops;      /**< packets dropped at other programs' queues
                                       for any reason, last minute */
    apr_int64_t queue_port;       /**< port of another program whose queue is
                                       full */
    apr_int64_t queue;            /**< connections that wait there */
    apr_int64_t queue_limit;      /**< most connections that may wait there */
    apr_int64_t elsewhere;        /**< half-closed sockets elsewhere, at the
                                       port with the most of them */
    apr_int64_t elsewhere_port;   /**< that port */
    apr_int64_t elsewhere_opened; /**< 1: this machine opened them; 0: another
                                       program accepted them */

    /** 1: httpd's own linger keeps a worker waiting (prefork, worker); 0: it
     *  does not (event). */
    apr_int64_t linger_blocks;

    /* Names are untrusted text of any length and content; NULL: unknown, or not
     * to be shown. Their memory need not outlive the call. */
    const char *vhost;               /**< the virtual host with most orphans */
    const char *also[FW2_FACT_ALSO]; /**< the next virtual hosts */
    const char *peer;                /**< the address of peer_share */
    const char *agent;               /**< the User-Agent of agent_share */
    const char *idle_net;            /**< the net of idle_net_share */
    const char *idle_vhost;          /**< the virtual host of idle_in_time */
} fw2_facts;

/** The words of a rule: whole sentences, each NULL if there is none. */
typedef struct fw2_words {
    const char *finding;   /**< the state, with the number that decided; one
                                sentence, never NULL */
    const char *remedy;    /**< the change to make, and its effect in figures */
    const char *risk;      /**< the risk of that change */
    const char *directive; /**< name of the one recommended setting: a directive
                                of httpd or a `net.` sysctl */
    const char *value;     /**< its value */
    const char *before;    /**< a line to write before that one; or NULL */
    apr_int64_t now, after; /**< the number that the setting changes, and its
                                 expected value afterwards; FW2_FACT_UNKNOWN
                                 each if not known */
} fw2_words;

/** One piece of advice. */
typedef struct fw2_advice {
    const char *rule; /**< name of the rule; must stay first, as the label of
                           the section `advice` */
    fw2_level level;
    const char *level_name;
    fw2_words words;
    const char *text; /**< finding, remedy and risk in one; never NULL */
    const char *line; /**< the recommended lines, to be pasted; or NULL */
} fw2_advice;

/** The verdict. */
typedef struct fw2_verdict {
    fw2_level level;     /**< level of the worst advice; FW2_OK without any */
    const char *rule;    /**< the rule that decided; NULL for FW2_OK */
    const char *text;    /**< one sentence that begins with the level's name,
                              with the number that decided */
    const char *finding; /**< the same without the level's name */
    int n;               /**< number of advice */
    const fw2_advice *advice; /**< worst first; within a level, in the rules'
                                   order */
} fw2_verdict;

/** Return the name of the level that a sample has as its severity; NULL if it
 *  is no level. */
const char *fw2_advice_level(apr_int64_t severity);

/** Make all facts unknown. */
void fw2_advice_clear(fw2_facts *facts);

/**
 * Return the verdict and the advice on facts. Never fails. Texts are plain
 * English without markup and without line breaks. The caller escapes them, as
 * they contain names: at most 64 bytes of each, cut with an ellipsis, control
 * characters replaced.
 * @param pool The pool of the verdict and of all that it points to.
 */
const fw2_verdict *fw2_advice_give(const fw2_facts *facts, apr_pool_t *pool);

/** Return the name of the i-th rule, from 0 on; NULL after the last one. */
const char *fw2_advice_rule(int i);

/**
 * Return the number of connections in the long run, by Little's law.
 * @param per_minute The number that begin in a minute.
 * @param life The life of each, in microseconds.
 * @return Rounded to the nearest; FW2_FACT_UNKNOWN if a parameter is not known.
 */
apr_int64_t fw2_advice_steady_state(apr_int64_t per_minute,
                                    apr_interval_time_t life);

/**
 * Return the seconds that Linux keeps an orphan in FIN_WAIT_2, for a value of
 * net.ipv4.tcp_fin_timeout or TCP_LINGER2: the value up to 60, above that twice
 * the part above 60. (tcp_close() and tcp_keepalive_timer(); measured on 6.18.)
 * At least 1, for the kernel's minimum of 3.5 retransmission timeouts.
 * @return FW2_FACT_UNKNOWN if the value is not known.
 */
apr_int64_t fw2_advice_orphan_life(apr_int64_t seconds);

#endif /* FW2_ADVICE_H */
