/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Clients that send one request, read the response to its end, and never close.
 *
 *     idle PORT RATE COUNT [vanish]
 *
 * opens RATE connections a second to 127.0.0.1, COUNT at most, prints "ready"
 * when all COUNT have read to the end, and holds them. At the end of standard
 * input, or of its parent, it prints the numbers of opened, answered and failed
 * connections, and ends, which closes all of them. Clients that vanish acknowledge
 * the end and disappear without a FIN (TCP_REPAIR; root): so a few descriptors make
 * any number of half-closed connections. Such clients have many addresses, because
 * a reused port ends the old connection at the server.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define EVENTS 256

static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n"
                              "Connection: close\r\n\r\n";

static int set; /* epoll's */
static long opened, answered, failed;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int vanishing;

static void use_another_address(int fd)
{
    struct sockaddr_in from = { .sin_family = AF_INET };
    int on = 1;

    from.sin_addr.s_addr =
        htonl(INADDR_LOOPBACK + 1 + (unsigned int)(opened / 3000));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)&from, sizeof(from))) {
        perror("bind");
    }
}

static void vanish(int fd)
{
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on));
    close(fd);
}

static void open_one(const struct sockaddr_in *to)
{
    struct epoll_event event = { .events = EPOLLOUT };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (vanishing) {
        use_another_address(fd);
    }
    opened++;
    if (fd < 0
        || (connect(fd, (const struct sockaddr *)to, sizeof(*to))
            && errno != EINPROGRESS)) {
        failed++;
        return;
    }
    event.data.fd = fd;
    epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
}

static void leave(int fd)
{
    epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL);
}

static void handle(int fd, unsigned int events)
{
    struct epoll_event event = { .events = EPOLLIN };
    char buffer[65536];
    ssize_t n;

    if (events & EPOLLOUT) {
        if (write(fd, request, sizeof(request) - 1) < 0) {
            failed++;
            leave(fd);
            return;
        }
        event.data.fd = fd;
        epoll_ctl(set, EPOLL_CTL_MOD, fd, &event);
        return;
    }
    n = read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno != EAGAIN) {
        failed++;
        leave(fd);
    }
    else if (n == 0) {
        answered++;
        leave(fd);
        if (vanishing) {
            vanish(fd);
        }
    }
}

static int is_over(void)
{
    struct pollfd input = { .fd = 0, .events = POLLIN };
    char c;

    return poll(&input, 1, 0) > 0 && read(0, &c, 1) <= 0;
}

/* Return the milliseconds until the next connection is due, at most 50: a sleep
 * leaves the processor to the server. */
static int until_next(double start, double rate, long count)
{
    double wait = start + (double)(opened + 1) / rate - now();

    if (opened >= count || wait > 0.05) {
        return 50;
    }
    return wait > 0 ? (int)(wait * 1000) + 1 : 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    struct epoll_event events[EVENTS];
    long count, printed = 0;
    double rate, start;

    vanishing = argc == 5 && !strcmp(argv[4], "vanish");
    if (argc != 4 && !vanishing) {
        fprintf(stderr, "usage: idle PORT RATE COUNT [vanish]\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    to.sin_port = htons((unsigned short)atoi(argv[1]));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    rate = atof(argv[2]);
    count = atol(argv[3]);
    set = epoll_create1(0);
    start = now();
    while (!is_over()) {
        double due = (now() - start) * rate;
        int i, n;

        for (i = 0; i < EVENTS && opened < count && opened < due; i++) {
            open_one(&to);
        }
        n = epoll_wait(set, events, EVENTS, until_next(start, rate, count));
        for (i = 0; i < n; i++) {
            handle(events[i].data.fd, events[i].events);
        }
        if (!printed && answered + failed >= count) {
            printed = 1;
            printf("ready\n");
            fflush(stdout);
        }
    }
    printf("opened %ld answered %ld failed %ld\n", opened, answered, failed);
    return 0;
}
