/* Desktops that sign in: each connects, does its steps, stays connected and is idle.
 *
 * A step is some requests in one piece and how many replies they bring; the next one is sent when all
 * of them have come.  So many desktops are at it at once; one that is done lets the next one begin.
 * Prints "ready" when it has read its script; a line on the standard input begins, a line of JSON with
 * what was seen ends it; then all stay connected until the input ends.
 *
 * usage: desktops PORT SCRIPT AT_ONCE
 *   SCRIPT, all numbers u32 of this machine: steps, of each its bytes and replies; the bytes of all;
 *   desktops, of each how many steps and which.
 */
#define _GNU_SOURCE
#include "client.h"
#include "replies.h"
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { RECEIVE_BYTES = 1 << 18, EVENTS_MAX = 512, QUIET_SECONDS_MAX = 120 };

typedef struct {
    const char *bytes;
    uint32_t size, replies;
} Step;

typedef struct {
    int fd;
    uint32_t count, at; /* of its steps */
    const uint32_t *steps;
    size_t sent;     /* of the step's bytes */
    uint64_t wanted; /* replies in all when the step is done */
    Replies seen;
    double begun;
} Desktop;

static char buffer[RECEIVE_BYTES];
static Step *steps;
static Desktop *desktops;
static uint32_t desktop_count, started, done;
static uint64_t bytes_in, bytes_out, errors;
static double *took;

static const uint32_t *numbers(const char *path) {
    struct stat about;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &about)) fail(path);
    const uint32_t *all = mmap(0, (size_t)about.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (all == MAP_FAILED) fail("mmap");
    return all;
}

static void read_script(const char *path) {
    const uint32_t *at = numbers(path);
    uint32_t step_count = *at++;
    const uint32_t *sizes = at;
    const char *bytes = (const char *)(at + 2 * (size_t)step_count);
    steps = calloc(step_count, sizeof *steps);
    for (uint32_t i = 0; i < step_count; i++) {
        steps[i] = (Step){bytes, sizes[2 * i], sizes[2 * i + 1]};
        bytes += (steps[i].size + 3) & ~3u;
    }
    at = (const uint32_t *)bytes;
    desktop_count = *at++;
    desktops = calloc(desktop_count, sizeof *desktops);
    took = calloc(desktop_count, sizeof *took);
    for (uint32_t i = 0; i < desktop_count; i++) {
        desktops[i] = (Desktop){.fd = -1, .count = *at, .steps = at + 1};
        at += 1 + *at;
    }
}

/* Brings one on as far as it goes; whether it has done its last step just now. */
static int advance(Desktop *d) {
    while (d->at < d->count) {
        const Step *step = &steps[d->steps[d->at]];
        if (d->sent == 0) d->wanted = d->seen.replies + step->replies;
        while (d->sent < step->size) {
            ssize_t sent = send(d->fd, step->bytes + d->sent, step->size - d->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent < 0 && errno == EAGAIN) break;
            if (sent < 0) fail("send");
            d->sent += (size_t)sent, bytes_out += (uint64_t)sent;
        }
        while (d->seen.replies < d->wanted) {
            ssize_t got = recv(d->fd, buffer, RECEIVE_BYTES, MSG_DONTWAIT);
            if (got < 0 && errno == EAGAIN) return 0;
            if (got <= 0) fail("the server closed a connection");
            replies_take(&d->seen, buffer, (size_t)got), bytes_in += (uint64_t)got;
        }
        d->at++, d->sent = 0;
    }
    return 1;
}

static void start(Desktop *d, int port, int poll) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = d};
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    d->begun = now_seconds();
    d->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (d->fd < 0) fail("socket");
    if (connect(d->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) fail("connect");
    setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (epoll_ctl(poll, EPOLL_CTL_ADD, d->fd, &event)) fail("epoll_ctl");
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void storm(int port, uint32_t at_once, int poll) {
    struct epoll_event events[EVENTS_MAX];
    double begin = now_seconds(), heard = begin;
    while (started < desktop_count && started < at_once) start(&desktops[started++], port, poll);
    while (done < desktop_count) {
        /* It never sleeps: waking a client is the work of whoever sends, here on the same machine alone. */
        int ready = epoll_wait(poll, events, EVENTS_MAX, 0);
        if (ready > 0) heard = now_seconds();
        else if (now_seconds() - heard > QUIET_SECONDS_MAX)
            fprintf(stderr, "%u desktops got nothing for %d s\n", started - done, QUIET_SECONDS_MAX), exit(1);
        for (int i = 0; i < ready; i++) {
            Desktop *d = events[i].data.ptr;
            if (d->at == d->count || !advance(d)) continue;
            took[done++] = now_seconds() - d->begun, errors += d->seen.errors;
            if (started < desktop_count) start(&desktops[started++], port, poll);
        }
    }
    double seconds = now_seconds() - begin;
    qsort(took, done, sizeof *took, compare);
    printf("{\"desktops\":%u,\"seconds\":%.6f,\"bytes_in\":%lu,\"bytes_out\":%lu,\"errors\":%lu,", done, seconds, bytes_in, bytes_out, errors);
    printf("\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}\n", took[done / 2] * 1e3, took[done * 99ull / 100] * 1e3, took[done - 1] * 1e3);
    fflush(stdout);
}

int main(int argc, char **argv) {
    char line[64];
    if (argc != 4) return fprintf(stderr, "desktops: see the head of desktops.c for its 3 arguments\n"), 2;
    read_script(argv[2]);
    int poll = epoll_create1(0);
    printf("ready\n"), fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 0;
    storm(atoi(argv[1]), (uint32_t)atoi(argv[3]), poll);
    while (fgets(line, sizeof line, stdin)) {}
    return 0;
}
