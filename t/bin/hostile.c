/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * hostile: a module that attacks the process finwait2 through its queue, like
 * hostile code in a child of httpd. The handler runs the attack in the query, and
 * prints the number of sent messages, or the pid of a process that it leaves
 * behind.
 */

#include "httpd.h"
#include "http_config.h"
#include "http_protocol.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <sys/socket.h>

/* The kind of message that asks for a count; see src/shared/queue.c. */
#define ASK 0x46573203U

/* Find the children's end of the queue: the only socket of its type. */
static int find_queue(void)
{
    int fd, type;
    socklen_t size;

    for (fd = 3; fd < 1024; fd++) {
        size = sizeof(type);
        if (!getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size)
            && type == SOCK_SEQPACKET) {
            return fd;
        }
    }
    return -1;
}

static int send_bytes(int queue, const void *bytes, size_t n, int fd)
{
    char room[CMSG_SPACE(sizeof(int))] = "";
    struct iovec part = { (void *)bytes, n };
    struct msghdr head = { 0 };
    struct cmsghdr *beside;

    head.msg_iov = &part;
    head.msg_iovlen = 1;
    if (fd >= 0) {
        head.msg_control = room;
        head.msg_controllen = sizeof(room);
        beside = CMSG_FIRSTHDR(&head);
        beside->cmsg_level = SOL_SOCKET;
        beside->cmsg_type = SCM_RIGHTS;
        beside->cmsg_len = CMSG_LEN(sizeof(fd));
        memcpy(CMSG_DATA(beside), &fd, sizeof(fd));
    }
    return sendmsg(queue, &head, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

/* Make a socket that blocks for an hour in close(): it has unsent bytes, a client
 * that does not read, and SO_LINGER. */
static int lingering_socket(int *client)
{
    static char bytes[65536];
    const struct linger hour = { 1, 3600 };
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t size = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int server;

    *client = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&at, size) || listen(listener, 1)
        || getsockname(listener, (struct sockaddr *)&at, &size)
        || connect(*client, (struct sockaddr *)&at, size)) {
        return -1;
    }
    server = accept(listener, NULL, NULL);
    close(listener);
    while (send(server, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
    setsockopt(server, SOL_SOCKET, SO_LINGER, &hour, sizeof(hour));
    return server;
}

/* Start a process that keeps only a client open, and outlives this process. */
static pid_t keep_open(int client)
{
    pid_t pid = fork();
    int fd;

    if (!pid) {
        for (fd = 0; fd < 1024; fd++) {
            if (fd != client) {
                close(fd);
            }
        }
        alarm(300);
        for (;;) {
            pause();
        }
    }
    return pid;
}

/* Queue a socket that blocks in close(), and kill the process that would receive
 * it. */
static pid_t kill_with_socket_queued(int queue, pid_t pid)
{
    const unsigned int ask = ASK;
    int client, server = lingering_socket(&client);
    pid_t keeper = keep_open(client);

    kill(pid, SIGSTOP);
    if (!send_bytes(queue, &ask, sizeof(ask), server)) {
        keeper = 0;
    }
    close(server);
    close(client);
    kill(pid, SIGKILL);
    return keeper;
}

/* Send descriptors and bytes that no child of httpd sends. */
static int send_foreign(int queue)
{
    static const char bytes[4096] = "junk";
    static const size_t sizes[] = { 0, 1, 4, 100, sizeof(bytes) };
    const unsigned int ask = ASK;
    int kinds[3], ends[2], client, i, sent = 0;
    size_t s;

    if (pipe(ends)) {
        return 0;
    }
    kinds[0] = ends[0];
    kinds[1] = queue;
    kinds[2] = lingering_socket(&client);
    for (s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        sent += send_bytes(queue, bytes, sizes[s], -1);
        for (i = 0; i < 3; i++) {
            sent += send_bytes(queue, bytes, sizes[s], kinds[i]);
        }
    }
    sent += send_bytes(queue, &ask, sizeof(ask), -1);
    close(ends[0]);
    close(ends[1]);
    close(kinds[2]);
    close(client);
    return sent;
}

static int hostile_handler(request_rec *r)
{
    const char *attack = r->args ? r->args : "";
    int queue = find_queue();

    if (strcmp(r->handler, "hostile")) {
        return DECLINED;
    }
    if (!strncmp(attack, "shutdown=", 9)) {
        ap_rprintf(r, "%d", !shutdown(queue, atoi(attack + 9)));
    }
    else if (!strncmp(attack, "kill=", 5)) {
        ap_rprintf(r, "%d",
                   (int)kill_with_socket_queued(queue, atoi(attack + 5)));
    }
    else {
        ap_rprintf(r, "%d", send_foreign(queue));
    }
    return OK;
}

static void hostile_register_hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_handler(hostile_handler, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA hostile_module = {
    STANDARD20_MODULE_STUFF,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    hostile_register_hooks,
    AP_MODULE_FLAG_NONE
};
