/* What the clients of the bench share: connecting, signing in, sending everything, the clock. */
#ifndef CLIENT_H
#define CLIENT_H
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SILENT_SECONDS_MAX = 120 };

static inline void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static inline double now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline void send_all(int fd, const char *bytes, size_t size) {
    while (size) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        if (sent < 0) fail("send");
        bytes += sent, size -= (size_t)sent;
    }
}

/* Receives one line that must begin so; for the few replies before the load begins. */
static inline void expect_line(int fd, const char *begin) {
    char line[256];
    size_t size = 0;
    while (size < sizeof line - 1) {
        if (recv(fd, line + size, 1, 0) != 1) fail("recv");
        if (line[size++] == '\n') break;
    }
    line[size] = 0;
    if (!strncmp(line, begin, strlen(begin))) return;
    fprintf(stderr, "expected %s, not %s", begin, line);
    exit(1);
}

/* A blocking connection, signed in unless the user is "-"; a receive buffer of 0 is the system's. */
static inline int connect_to(int port, const char *user, const char *password, int receive_bytes) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    char words[512];
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (receive_bytes) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = SILENT_SECONDS_MAX}, sizeof(struct timeval));
    if (!strcmp(user, "-")) return fd;
    int size = snprintf(words, sizeof words, "*3\r\n$4\r\nAUTH\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(user), user, strlen(password), password);
    send_all(fd, words, (size_t)size);
    expect_line(fd, "+OK");
    return fd;
}
#endif
