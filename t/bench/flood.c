/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * A client that keeps sending after the server's FIN.
 *
 *     flood PORT SECONDS MEGABYTES
 *
 * sends one request, reads the response to its end, and sends as fast as possible
 * until the server resets the connection, or SECONDS or MEGABYTES are used up. It
 * prints the number of acknowledged bytes, the seconds, and the reason of the end.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n"
                              "Connection: close\r\n\r\n";
static char chunk[256 * 1024];

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    const char *why = "time";
    double start, limit, most, sent = 0;
    int fd, left = 0;

    if (argc != 4) {
        fprintf(stderr, "usage: flood PORT SECONDS MEGABYTES\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    to.sin_port = htons((unsigned short)atoi(argv[1]));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    limit = atof(argv[2]);
    most = atof(argv[3]) * 1e6;
    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to))
        || write(fd, request, sizeof(request) - 1) < 0) {
        perror("flood");
        return 1;
    }
    while (read(fd, chunk, sizeof(chunk)) > 0) {
    }
    start = now();
    while (now() - start < limit) {
        struct pollfd room = { .fd = fd, .events = POLLOUT };
        ssize_t n = send(fd, chunk, sizeof(chunk), MSG_DONTWAIT);

        if (n > 0) {
            sent += (double)n;
            if (sent >= most) {
                why = "bytes";
                break;
            }
        }
        else if (n < 0 && errno != EAGAIN) {
            why = "reset";
            break;
        }
        else {
            poll(&room, 1, 50);
        }
    }
    limit = now() - start;
    if (!strcmp(why, "reset") || ioctl(fd, SIOCOUTQ, &left)) {
        left = 0; /* the result is too large by a send buffer at most */
    }
    printf("%.0f %.3f %s\n", sent - left, limit, why);
    return 0;
}
