/* One client that sends a file of requests and counts what comes back.
 *
 * Prints "ready" when it is signed in, then for each line on the standard input does one thing and
 * prints a line of JSON: "whole" writes everything before it reads a byte, "ask" reads while it
 * writes, "go" writes everything, waits for the first bytes of the replies, and goes away.
 * After replies that the server cut short, or STUCK_MS without a byte, "stuck" is 1.
 *
 * usage: asker PORT USER PASSWORD FILE REPLIES   (REPLIES: how many replies the file asks for)
 */
#define _GNU_SOURCE
#include "client.h"
#include "replies.h"

enum { RECEIVE_BYTES = 1 << 18, STUCK_MS = 30000 };

static char buffer[RECEIVE_BYTES], *requests;
static size_t size;

static void load_requests(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) fail(path);
    size = (size_t)ftell(file), requests = malloc(size), rewind(file);
    if (fread(requests, 1, size, file) != size) fail(path);
}

/* Returns 0 when nothing moves any more. */
static int step(int fd, short events, size_t *sent, Replies *seen, uint64_t *bytes) {
    struct pollfd wait = {.fd = fd, .events = events};
    if (poll(&wait, 1, STUCK_MS) != 1) return 0;
    if (wait.revents & POLLOUT) {
        ssize_t some = send(fd, requests + *sent, size - *sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (some < 0 && errno != EAGAIN) return 0;
        *sent += some > 0 ? (size_t)some : 0;
    }
    if (!(wait.revents & (POLLIN | POLLHUP | POLLERR))) return 1;
    ssize_t got = recv(fd, buffer, RECEIVE_BYTES, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) return 0;
    if (got > 0) replies_take(seen, buffer, (size_t)got), *bytes += (uint64_t)got;
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 6) return fprintf(stderr, "asker: see the head of asker.c for its 5 arguments\n"), 2;
    char line[64];
    load_requests(argv[4]);
    uint64_t wanted = strtoull(argv[5], 0, 10);
    int fd = connect_to(atoi(argv[1]), argv[2], argv[3], 0);
    printf("ready\n"), fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        Replies seen = {0};
        uint64_t bytes = 0;
        size_t sent = 0;
        int moves = 1, goes = line[0] == 'g', whole = line[0] == 'w' || goes;
        double begin = now_seconds();
        while (moves && whole && sent < size) moves = step(fd, POLLOUT, &sent, &seen, &bytes);
        while (moves && seen.replies < wanted && !(goes && bytes))
            moves = step(fd, sent < size ? POLLIN | POLLOUT : POLLIN, &sent, &seen, &bytes);
        printf("{\"sent\":%zu,\"size\":%zu,\"replies\":%lu,\"elements\":%lu,\"errors\":%lu,\"bytes\":%lu,\"seconds\":%.6f,\"stuck\":%d}\n",
               sent, size, seen.replies, seen.elements, seen.errors, bytes, now_seconds() - begin, !moves);
        fflush(stdout);
        if (goes || !moves) break;
    }
    return 0;
}
