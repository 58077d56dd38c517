/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * receiver PATH: the other process of mod_proxy_fdpass. It accepts one connection
 * at the UNIX socket PATH and receives the descriptor of a client's connection.
 * It writes a line for each step: `listens`; `got` and the inode of the
 * connection; and, after it has read a line, TCP_USER_TIMEOUT and TCP_LINGER2 of
 * the connection. Then it sends the body to the client. It ends within a minute.
 */

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BODY 1000000

static void fail_if(int failed, const char *what)
{
    if (failed) {
        perror(what);
        exit(1);
    }
}

static int listen_at(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    fail_if(fd < 0 || strlen(path) >= sizeof(at.sun_path), "socket");
    memcpy(at.sun_path, path, strlen(path));
    fail_if(bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0, "bind");
    fail_if(chmod(path, 0777) < 0, "chmod"); /* httpd's user connects */
    fail_if(listen(fd, 1) < 0, "listen");
    return fd;
}

static int receive(int from)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } beside;
    char byte;
    struct iovec part = { &byte, 1 };
    struct msghdr head = { .msg_iov = &part, .msg_iovlen = 1,
                           .msg_control = beside.bytes,
                           .msg_controllen = sizeof(beside.bytes) };
    int fd;

    fail_if(recvmsg(from, &head, 0) != 1 || !CMSG_FIRSTHDR(&head), "recvmsg");
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&head)), sizeof(fd));
    return fd;
}

static int option(int fd, int name)
{
    int value = -1;
    socklen_t size = sizeof(value);

    fail_if(getsockopt(fd, IPPROTO_TCP, name, &value, &size) < 0, "getsockopt");
    return value;
}

/* Send the body; httpd has sent the header. */
static void answer(int fd)
{
    static char body[BODY];
    FILE *to = fdopen(fd, "w");

    fail_if(!to || fcntl(fd, F_SETFL, 0) < 0, "fdopen");
    memset(body, 'y', sizeof(body));
    fail_if(fwrite(body, sizeof(body), 1, to) != 1 || fclose(to), "write");
}

int main(int argc, char **argv)
{
    struct stat status;
    int from, fd;

    alarm(60);
    setvbuf(stdout, NULL, _IOLBF, 0);
    fail_if(argc != 2, "usage: receiver PATH");
    from = listen_at(argv[1]);
    puts("listens");
    from = accept(from, NULL, NULL);
    fail_if(from < 0, "accept");
    fd = receive(from);
    fail_if(fstat(fd, &status) < 0, "fstat");
    printf("got %lu\n", (unsigned long)status.st_ino);
    (void)getchar();
    printf("%d %d\n", option(fd, TCP_USER_TIMEOUT), option(fd, TCP_LINGER2));
    answer(fd);
    return 0;
}
