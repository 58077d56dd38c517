/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_QUEUE_H
#define FW2_QUEUE_H

/*
 * queue: the queue from httpd's children to the closer process.
 *
 * A queue is a pair of SOCK_SEQPACKET sockets. A child sends one message for
 * each socket, with the descriptor beside it (SCM_RIGHTS), and never waits. A
 * queued message keeps its socket alive, and the parent keeps both ends open.
 * So no socket is lost while the closer process sleeps, or while a killed one
 * is replaced. A page asks for a count with a message and a pipe, which the
 * closer process closes when it has published the count.
 *
 * The closer process trusts no message: fw2_queue_parse() accepts only messages
 * that a child of httpd can send.
 *
 * The room depends on APR, clients, handoff and policy, and not on httpd.
 */

#include "apr_errno.h"
#include "apr_time.h"

#include "shared/clients.h"
#include "base/outcome.h"
#include "shared/handoff.h"

/** The descriptors of a queue; -1: closed. */
typedef struct fw2_queue {
    int send;    /**< the children's end */
    int receive; /**< the closer process's end */
} fw2_queue;

/** The kind of a message. */
typedef enum {
    FW2_MESSAGE_INVALID,      /**< a message that no child of httpd sends */
    FW2_MESSAGE_SOCKET,       /**< a socket to linger on */
    FW2_MESSAGE_COUNT_REQUEST /**< a pipe to close when a count is published */
} fw2_message_kind;

/** A message that was received. */
typedef struct fw2_received {
    fw2_message_kind kind;
    int fd;        /**< a descriptor, which the receiver owns; -1: none */
    int truncated; /**< 1: a descriptor was sent, but this process had no room
                        for one */
    fw2_handoff handoff;
    char agent[FW2_AGENT_SIZE]; /**< the User-Agent, NUL-terminated; "" if none
                                     was sent */
} fw2_received;

/** The most messages received at once. */
#define FW2_RECEIVE_MAX 32

/**
 * Make a queue; with root, for some thousands of messages. The parent.
 * @param queue On failure all its descriptors are -1.
 * @return APR_SUCCESS, or the system's error.
 */
apr_status_t fw2_queue_create(fw2_queue *queue);

/** Close both ends. */
void fw2_queue_close(fw2_queue *queue);

/** Close the closer process's end, in a child. */
void fw2_queue_keep_sender(fw2_queue *queue);

/** Close the children's end, in the closer process, which can then see that no
 *  child has this end open any more. */
void fw2_queue_keep_receiver(fw2_queue *queue);

/**
 * Hand a socket off. Any thread of any child; does not block.
 * @param fd Stays the caller's, which closes it: the queue has a reference of
 *           its own to the open file.
 * @param agent The User-Agent; NULL: not sent.
 * @param why On failure, the reason.
 * @return APR_SUCCESS, or the system's error: the caller has to linger.
 */
apr_status_t fw2_queue_send(const fw2_queue *queue, int fd,
                            const fw2_handoff *handoff, const char *agent,
                            fw2_refusal *why);

/**
 * Ask for a count, and wait until it is published. Any thread of any child;
 * blocks for `patience` microseconds at most.
 * @return False if no answer came.
 */
int fw2_queue_request_count(const fw2_queue *queue,
                            apr_interval_time_t patience);

/**
 * Receive queued messages. The closer process; does not block.
 * @param vhosts The number of virtual hosts.
 * @param received Room for FW2_RECEIVE_MAX messages.
 * @return The number of messages; -1: the queue has ended, because no process
 *         has the children's end open or a process has shut it down.
 */
int fw2_queue_receive(const fw2_queue *queue, apr_uint32_t vhosts,
                      fw2_received *received);

/**
 * Parse the bytes of a message, which may be any bytes. No descriptor is used.
 * @param vhosts The number of virtual hosts.
 * @param received `fd` and `truncated` are not changed.
 */
void fw2_queue_parse(const void *bytes, apr_size_t n, apr_uint32_t vhosts,
                     fw2_received *received);

/** True if a descriptor is a TCP socket after our FIN, the only kind to linger
 *  on. */
int fw2_queue_is_closing(int fd);

#endif /* FW2_QUEUE_H */
