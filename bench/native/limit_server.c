/* The limit: an epoll loop that neither parses nor looks up.
 *
 * It counts the bytes of requests, all of one length, and answers each with the same canned bytes:
 * what any server on this machine must at least spend on receiving, sending and waiting.
 * With OBJECTS it holds that many replies and answers each request with a random one, copied: what
 * any store must spend that has more than the caches hold, before it has parsed or found anything.
 *
 * usage: limit_server PORT REQUEST_BYTES REPLY_BYTES [OBJECTS]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 4096, EVENTS_MAX = 256, RECEIVE_BYTES = 256 * 1024, REPLIES_MAX = 4096,
    CANNED_BYTES_MAX = 64 << 20, LINE = 64, AHEAD = 4, HUGE_PAGE = 2 << 20
};

static size_t partial_bytes[CONNECTIONS_MAX];
static size_t reply_bytes, object_count, stride;
static char *canned, *objects;
static uint64_t seed = 88172645463325252u;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 511)) fail("listen");
    return fd;
}

/* Waits on a full socket, as for one large reply; nobody else is kept waiting who should not be. */
static void send_all(int fd, const char *bytes, size_t size) {
    while (size) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return;
        if (sent > 0) bytes += sent, size -= (size_t)sent;
        else poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
    }
}

static void write_reply(char *reply) {
    int head = sprintf(reply, "$%zu\r\n", reply_bytes);
    /* The bulk's length such that head, payload and end come to reply_bytes. */
    head = sprintf(reply, "$%zu\r\n", reply_bytes - (size_t)head - 2);
    memset(reply + head, 'x', reply_bytes - (size_t)head - 2);
    memcpy(reply + reply_bytes - 2, "\r\n", 2);
}

/* Objects begin with a cache line and lie in huge pages where the kernel has them, as in a store. */
static void hold_objects(void) {
    stride = (reply_bytes + LINE) / LINE * LINE + LINE;
    size_t size = (object_count * stride / HUGE_PAGE + 1) * HUGE_PAGE;
    objects = aligned_alloc(HUGE_PAGE, size);
    if (!objects) fail("aligned_alloc");
    madvise(objects, size, MADV_HUGEPAGE);
    for (size_t i = 0; i < object_count; i++) write_reply(objects + i * stride);
}

static const char *random_object(void) { /* xorshift64* */
    seed ^= seed >> 12, seed ^= seed << 25, seed ^= seed >> 27;
    return objects + ((seed * 2685821657736338717u) >> 33) % object_count * stride;
}

/* Puts so many random replies where the canned ones were, the next ones asked for ahead of the copy. */
static void copy_random(size_t count) {
    const char *next[AHEAD];
    for (size_t i = 0; i < count + AHEAD; i++) {
        if (i >= AHEAD) memcpy(canned + (i - AHEAD) * reply_bytes, next[i % AHEAD], reply_bytes);
        if (i >= count) continue;
        next[i % AHEAD] = random_object();
        for (size_t at = 0; at < reply_bytes; at += LINE) __builtin_prefetch(next[i % AHEAD] + at);
    }
}

static void answer(int fd, size_t count) {
    if (object_count) copy_random(count);
    send_all(fd, canned, count * reply_bytes);
}

int main(int argc, char **argv) {
    if (argc != 4 && argc != 5) return fprintf(stderr, "usage: limit_server PORT REQUEST_BYTES REPLY_BYTES [OBJECTS]\n"), 2;
    size_t request_bytes = strtoul(argv[2], 0, 10);
    reply_bytes = strtoul(argv[3], 0, 10), object_count = argc == 5 ? strtoul(argv[4], 0, 10) : 0;
    char *receive = malloc(RECEIVE_BYTES);
    size_t replies_max = CANNED_BYTES_MAX / reply_bytes;
    replies_max = replies_max < 1 ? 1 : replies_max > REPLIES_MAX ? REPLIES_MAX : replies_max;
    canned = malloc(reply_bytes * replies_max);
    for (size_t i = 0; i < replies_max; i++) write_reply(canned + i * reply_bytes);
    if (object_count) hold_objects();
    int listener = listen_on(atoi(argv[1])), poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS_MAX];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(poll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                int accepted = accept4(listener, 0, 0, SOCK_NONBLOCK), one = 1;
                if (accepted < 0 || accepted >= CONNECTIONS_MAX) continue;
                setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                partial_bytes[accepted] = 0;
                event = (struct epoll_event){.events = EPOLLIN, .data.fd = accepted};
                epoll_ctl(poll, EPOLL_CTL_ADD, accepted, &event);
                continue;
            }
            ssize_t received = recv(fd, receive, RECEIVE_BYTES, 0);
            if (received <= 0) {
                if (received == 0 || errno != EAGAIN) close(fd);
                continue;
            }
            size_t bytes = partial_bytes[fd] + (size_t)received, replies = bytes / request_bytes;
            partial_bytes[fd] = bytes % request_bytes;
            for (; replies > replies_max; replies -= replies_max) answer(fd, replies_max);
            if (replies) answer(fd, replies);
        }
    }
}
