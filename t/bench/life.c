/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The end of the server's side of connections whose client is idle.
 *
 *     life PORT COUNT SECONDS
 *
 * sends COUNT requests, each on its own connection, reads the response to its end
 * and never closes. It prints a line for each connection: the seconds until the
 * server has closed its descriptor, and until the kernel has removed the socket; -
 * if that takes longer than SECONDS. It reads each socket by its address
 * (sock_diag), because /proc/net/tcp takes longer than the measured times.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define MOST    100
#define AT_ONCE 0.1 /* seconds that each connection is first watched alone */

typedef struct {
    in_port_t port; /* the client's */
    double since, released, gone;
} connection;

static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n"
                              "Connection: close\r\n\r\n";

static int kernel; /* a netlink socket */
static struct sockaddr_in server = { .sin_family = AF_INET };

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Find the server's end of a connection; 0 if there is none. */
static int find(in_port_t port, unsigned int *inode)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 ask;
    } question;
    union {
        struct nlmsghdr head;
        char room[8192];
    } answer;
    const struct inet_diag_msg *found;

    memset(&question, 0, sizeof(question));
    question.head.nlmsg_len = sizeof(question);
    question.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    question.head.nlmsg_flags = NLM_F_REQUEST;
    question.ask.sdiag_family = AF_INET;
    question.ask.sdiag_protocol = IPPROTO_TCP;
    question.ask.idiag_states = ~0U;
    question.ask.id.idiag_sport = server.sin_port;
    question.ask.id.idiag_dport = port;
    question.ask.id.idiag_src[0] = server.sin_addr.s_addr;
    question.ask.id.idiag_dst[0] = server.sin_addr.s_addr;
    question.ask.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
    question.ask.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    if (send(kernel, &question, sizeof(question), 0) < 0
        || recv(kernel, &answer, sizeof(answer), 0) <= 0) {
        perror("life: sock_diag");
        exit(1);
    }
    if (answer.head.nlmsg_type != SOCK_DIAG_BY_FAMILY) {
        return 0;
    }
    found = NLMSG_DATA(&answer.head);
    *inode = found->idiag_inode;
    return found->idiag_state != TCP_LISTEN;
}

static void look_at(connection *one)
{
    unsigned int inode = 0;
    int there = find(one->port, &inode);
    double age = now() - one->since;

    if (one->released < 0 && (!there || !inode)) {
        one->released = age;
    }
    if (!there) {
        one->gone = age;
    }
}

static int open_one(connection *one)
{
    char buffer[4096];
    struct sockaddr_in own;
    socklen_t len = sizeof(own);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof(server))
        || write(fd, request, sizeof(request) - 1) < 0
        || getsockname(fd, (struct sockaddr *)&own, &len)) {
        return 0;
    }
    while (read(fd, buffer, sizeof(buffer)) > 0) {
    }
    one->since = now();
    one->port = own.sin_port;
    one->released = one->gone = -1;
    while (one->released < 0 && now() - one->since < AT_ONCE) {
        look_at(one);
        usleep(200);
    }
    return 1;
}

static void print(double seconds, char after)
{
    if (seconds < 0) {
        printf("-%c", after);
    }
    else {
        printf("%.4f%c", seconds, after);
    }
}

int main(int argc, char **argv)
{
    static connection all[MOST];
    int i, count, left = 1;
    double start;

    if (argc != 4 || (count = atoi(argv[2])) > MOST) {
        fprintf(stderr, "usage: life PORT COUNT SECONDS\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    server.sin_port = htons((unsigned short)atoi(argv[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    kernel = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_SOCK_DIAG);
    for (i = 0; i < count; i++) {
        if (!open_one(&all[i])) {
            perror("life");
            return 1;
        }
    }
    start = now();
    while (left && now() - start < atof(argv[3])) {
        usleep(5000);
        for (i = left = 0; i < count; i++) {
            if (all[i].gone < 0) {
                look_at(&all[i]);
                left = 1;
            }
        }
    }
    for (i = 0; i < count; i++) {
        print(all[i].released, ' ');
        print(all[i].gone, '\n');
    }
    return 0;
}
