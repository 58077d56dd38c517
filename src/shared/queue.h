/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_QUEUE_H
#define FW2_QUEUE_H

/*
 * handoff: the queue from httpd's children to the closer process.
 *
 * A queue is a pair of SOCK_SEQPACKET sockets. A child sends one message for
 * each socket, with the descriptor beside it (SCM_RIGHTS), and never waits. A
 * message that is queued keeps its socket alive, so nothing is lost while the
 * closer process sleeps, or while another one is started in place of one that
 * was killed: the parent keeps both ends, too. A page asks for a count by a
 * message with a pipe, which the closer process closes when the count is
 * there.
 *
 * The closer process trusts no message: fw2_queue_parse() accepts only what a
 * child of httpd sends, whatever the bytes.
 *
 * Knows APR, closer and policy, and nothing of httpd.
 */

#include "apr_errno.h"
#include "apr_time.h"

#include "shared/clients.h"
#include "base/outcome.h"
#include "shared/handover.h"

/** The descriptors of a queue; -1: closed. */
typedef struct fw2_queue {
    int send;    /**< for children */
    int receive; /**< for the closer process */
} fw2_queue;

/** The kind of a message. */
typedef enum {
    FW2_MESSAGE_INVALID, /**< none that a child of httpd sends */
    FW2_MESSAGE_SOCKET,  /**< a socket to linger on */
    FW2_MESSAGE_ASK      /**< a pipe to close when a count is there */
} fw2_message_kind;

/** A message that was received. */
typedef struct fw2_received {
    fw2_message_kind kind;
    int fd;        /**< the receiver's from now on; -1: none came along */
    int truncated; /**< a descriptor was sent, but this process had no room for
                        it */
    fw2_handover handover;
    char agent[FW2_AGENT_SIZE]; /**< the User-Agent, NUL-terminated; "" if none
                                     was sent */
} fw2_received;

/** The most messages received at once. */
#define FW2_RECEIVE_MAX 32

/**
 * Make a queue; as root, one that holds some thousand messages. The parent.
 * @param queue On failure all its descriptors are -1.
 * @return APR_SUCCESS, or the system's error.
 */
apr_status_t fw2_queue_create(fw2_queue *queue);

/** Close what is open. */
void fw2_queue_close(fw2_queue *queue);

/** Close the closer process's end, in a child; or the children's, in the
 *  closer process: it sees then when all of them are gone. */
void fw2_queue_keep_sender(fw2_queue *queue);
void fw2_queue_keep_receiver(fw2_queue *queue);

/**
 * Hand a socket off. Any thread of any child; does not block.
 * @param fd Stays the caller's, who closes it: the queue has a reference of its
 *           own to the open file.
 * @param agent The User-Agent; NULL: it is not wanted.
 * @param why On failure, why not.
 * @return APR_SUCCESS, or the system's error: the caller has to linger.
 */
apr_status_t fw2_queue_send(const fw2_queue *queue, int fd,
                            const fw2_handover *handover, const char *agent,
                            fw2_refusal *why);

/**
 * Ask for a count, and wait until it is published. Any thread of any child;
 * blocks for `patience` microseconds at most.
 * @return False if no answer came.
 */
int fw2_queue_ask(const fw2_queue *queue, apr_interval_time_t patience);

/**
 * Receive what is queued, without waiting. The closer process.
 * @param vhosts How many virtual hosts there are.
 * @param received Room for FW2_RECEIVE_MAX.
 * @return How many there are; -1: there are none, and never will be, because
 *         no process has the children's end any more, or one has shut it down.
 */
int fw2_queue_receive(const fw2_queue *queue, apr_uint32_t vhosts,
                      fw2_received *received);

/**
 * Read the bytes of a message, of any source. Looks at no descriptor.
 * @param vhosts How many virtual hosts there are.
 * @param received Its `fd` and `truncated` are left as they are.
 */
void fw2_queue_parse(const void *bytes, apr_size_t n, apr_uint32_t vhosts,
                     fw2_received *received);

/** True for a TCP socket after our FIN: the only kind to linger on. */
int fw2_queue_is_closing(int fd);

#endif /* FW2_QUEUE_H */
