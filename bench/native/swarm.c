/* Many subscribers of one channel, which read only when they are told to.
 *
 * All connect, sign in and subscribe; then "ready" is printed. A line "take N" on the standard input
 * makes them read until each has N messages more than at the end of the line before, and prints a
 * line of JSON: messages, bytes, seconds, connections that the server closed meanwhile. Between two
 * lines nobody reads: they hold the server up as clients do that don't get on.
 *
 * usage: swarm PORT COUNT CHANNEL USER PASSWORD RECEIVE_BYTES
 *   A PORT of tls:PORT is spoken to by TLS; USER "-" does not sign in; RECEIVE_BYTES is SO_RCVBUF, 0 leaves it to the system.
 */
#define _GNU_SOURCE
#include "replies.h"
#include "wire.h"
#include <sys/epoll.h>

enum { RECEIVE_BYTES = 1 << 18, EVENTS_MAX = 512, QUIET_SECONDS_MAX = 60 };

typedef struct {
    Wire wire;
    uint64_t wanted; /* messages in all when it is done */
    Replies seen;
} Subscriber;

static char buffer[RECEIVE_BYTES];

static void subscribe(Subscriber *s, const char *channel) {
    char words[512];
    int size = snprintf(words, sizeof words, "*2\r\n$9\r\nSUBSCRIBE\r\n$%zu\r\n%s\r\n", strlen(channel), channel);
    wire_send_all(&s->wire, words, (size_t)size);
    while (s->seen.replies == 0) {
        /* Byte by byte up to the reply's end: a message may follow it at once. */
        if (wire_await(&s->wire, buffer, 1) != 1) fail("recv");
        replies_take(&s->seen, buffer, 1);
    }
    if (s->seen.errors) fprintf(stderr, "SUBSCRIBE was refused\n"), exit(1);
    s->seen = (Replies){0};
}

/* Reads what there is for one; adds to bytes; returns 0 when the server closed the connection. */
static int receive(Subscriber *s, uint64_t *bytes) {
    while (s->seen.replies < s->wanted) {
        ssize_t got = wire_take(&s->wire, buffer, RECEIVE_BYTES);
        if (got < 0 && errno == EAGAIN) break;
        if (got <= 0) return 0;
        replies_take(&s->seen, buffer, (size_t)got), *bytes += (uint64_t)got;
        if (got < RECEIVE_BYTES) break;
    }
    return 1;
}

static void leave(Subscriber *s) {
    wire_close(&s->wire);
}

static void take(Subscriber *all, int count, int poll, uint64_t messages) {
    struct epoll_event events[EVENTS_MAX];
    uint64_t bytes = 0;
    int missing = 0, closed = 0, left = 0;
    double begin = now_seconds(), heard = begin;
    for (int i = 0; i < count; i++) {
        if (all[i].wire.fd < 0) continue;
        all[i].wanted += messages;
        /* Once without being told: what lies there since it last read is not told again. */
        if (!receive(&all[i], &bytes)) leave(&all[i]), closed++;
        else missing += all[i].seen.replies < all[i].wanted;
    }
    while (missing) {
        /* It never sleeps: waking a reader is the work of whoever sends, here on the same machine alone, and
           the slower one sends the more often it finds the reader asleep. */
        int ready = epoll_wait(poll, events, EVENTS_MAX, 0);
        if (ready > 0) heard = now_seconds();
        else if (now_seconds() - heard > QUIET_SECONDS_MAX)
            fprintf(stderr, "%d subscribers got nothing for %d s\n", missing, QUIET_SECONDS_MAX), exit(1);
        for (int i = 0; i < ready; i++) {
            Subscriber *s = events[i].data.ptr;
            if (s->wire.fd < 0 || s->seen.replies >= s->wanted) continue;
            if (!receive(s, &bytes)) leave(s), closed++, missing--;
            else missing -= s->seen.replies >= s->wanted;
        }
    }
    for (int i = 0; i < count; i++) left += all[i].wire.fd >= 0;
    printf("{\"messages\":%lu,\"bytes\":%lu,\"seconds\":%.6f,\"closed\":%d}\n", (uint64_t)left * messages, bytes, now_seconds() - begin, closed);
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc != 7) return fprintf(stderr, "swarm: see the head of swarm.c for its 6 arguments\n"), 2;
    int count = atoi(argv[2]), poll = epoll_create1(0);
    Subscriber *all = calloc((size_t)count, sizeof *all);
    char line[64];
    for (int i = 0; i < count; i++) {
        all[i].wire = wire_connect(argv[1], argv[4], argv[5], atoi(argv[6]));
        subscribe(&all[i], argv[3]);
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &all[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, all[i].wire.fd, &event);
    }
    printf("ready\n"), fflush(stdout);
    while (fgets(line, sizeof line, stdin))
        if (!strncmp(line, "take ", 5)) take(all, count, poll, strtoull(line + 5, 0, 10));
    return 0;
}
