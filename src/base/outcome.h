/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_OUTCOME_H
#define FW2_OUTCOME_H

/*
 * outcome: how connections and lingers end, and the names of these outcomes on
 * the page, in the metrics and in the log.
 *
 * The room depends on APR and not on httpd. The tables are constant.
 */

/** How a linger ended. */
typedef enum {
    FW2_ACKED,       /**< all data acknowledged, and the client will send no
                          more */
    FW2_PEER_CLOSED, /**< the client's FIN arrived */
    FW2_PEER_RESET,  /**< the client's reset arrived, or the socket had another
                          error */
    FW2_SILENCE,     /**< the client was idle for too long, or (with a
                          user timeout) acknowledged nothing */
    FW2_TOTAL,       /**< the linger's total time was over */
    FW2_BYTES,       /**< the client sent more bytes than allowed */
    FW2_EVICTED,     /**< the slot was needed for another socket */
    FW2_STOPPED,     /**< the process stops */
    FW2_ENDINGS,
    FW2_NO_ENDING = FW2_ENDINGS /**< the linger goes on */
} fw2_ending;

/** The properties of an ending. */
typedef struct fw2_ending_row {
    const char *name; /**< name on the page and in the metrics */
    int open;         /**< 1: the client had not closed when the linger ended */
    int idle;         /**< 1: the closer waited until a time limit */
} fw2_ending_row;

extern const fw2_ending_row fw2_endings[FW2_ENDINGS];

/** Why a connection ended. */
typedef enum {
    FW2_CAUSE_PEER,             /**< the client closed first, or reset */
    FW2_CAUSE_KEEPALIVE,        /**< the connection was idle for its keep-alive
                                     time */
    FW2_CAUSE_CONNECTION_CLOSE, /**< the client or the configuration asked for
                                     no request after this one */
    FW2_CAUSE_ERROR,            /**< a status after which httpd always closes */
    FW2_CAUSE_REQUEST_LIMIT,    /**< MaxKeepAliveRequests */
    FW2_CAUSE_TIMEOUT,          /**< the client read or sent too slowly */
    FW2_CAUSE_STOP,             /**< the process stops */
    FW2_CAUSE_OTHER,
    FW2_CAUSES,
    FW2_NO_CAUSE = FW2_CAUSES /**< the connection goes on */
} fw2_cause;

/** The properties of a cause. */
typedef struct fw2_cause_row {
    const char *name;   /**< name in JSON, the metrics and the access log */
    const char *words;  /**< name on the page */
    const char *mostly; /**< words in the advice, behind "mostly"; NULL: the
                             advice does not name the cause */
} fw2_cause_row;

extern const fw2_cause_row fw2_causes[FW2_CAUSES];

/** Why httpd lingered on a connection itself, as it does without this
 *  module. */
typedef enum {
    FW2_QUEUE_FULL,    /**< the closer process did not accept fast enough, or is
                            stopped by a signal */
    FW2_NO_PROCESS,    /**< the closer process does not run */
    FW2_CANNOT_LINGER, /**< the closer process runs, but has no queue, has no
                            epoll, or may not receive descriptors of children */
    FW2_SEND_REFUSED,  /**< the system refused to pass the descriptor */
    FW2_REFUSALS
} fw2_refusal;
extern const char *const fw2_refusal_names[FW2_REFUSALS];

/** The side that closed a connection first. */
typedef enum {
    FW2_BY_PEER,   /**< the client: a FIN or a reset arrived before httpd
                        closed */
    FW2_BY_SERVER, /**< httpd */
    FW2_SIDES
} fw2_side;
extern const char *const fw2_side_names[FW2_SIDES];

/** The side that ended an idle connection of HTTP/1, and when. */
typedef enum {
    FW2_IDLE_IN_TIME, /**< the client, before the promised end */
    FW2_IDLE_LATE,    /**< the client, after the promised end */
    FW2_IDLE_EXPIRED, /**< httpd, when the real time was over */
    FW2_IDLES         /**< neither: the connection was not idle */
} fw2_idle;
extern const char *const fw2_idle_names[FW2_IDLES];

/** The last protocol of a connection. */
typedef enum {
    FW2_HTTP1,
    FW2_HTTP2,
    FW2_NEITHER, /**< no request came, or the connection became a tunnel */
    FW2_PROTOCOLS
} fw2_protocol;
extern const char *const fw2_protocol_names[FW2_PROTOCOLS];

#endif /* FW2_OUTCOME_H */
