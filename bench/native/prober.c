/* Another client: one GET after the other, a short rest between them, until its input ends.
 *
 * Prints "ready" when it is signed in; a line on the standard input prints one of JSON with what it
 * saw since the line before: requests, the 99th percentile and the longest wait in microseconds.
 *
 * usage: prober PORT USER PASSWORD KEY
 */
#define _GNU_SOURCE
#include "client.h"
#include "replies.h"

enum { SAMPLES_MAX = 1 << 20, REST_US = 1000 };

static uint32_t samples[SAMPLES_MAX];

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void ask(int fd, const char *words, size_t size) {
    static char buffer[1 << 16];
    Replies seen = {0};
    send_all(fd, words, size);
    while (seen.replies == 0) {
        ssize_t got = recv(fd, buffer, sizeof buffer, 0);
        if (got <= 0) fail("the server closed the connection");
        replies_take(&seen, buffer, (size_t)got);
    }
}

int main(int argc, char **argv) {
    if (argc != 5) return fprintf(stderr, "usage: prober PORT USER PASSWORD KEY\n"), 2;
    char words[256], line[64];
    int fd = connect_to(atoi(argv[1]), argv[2], argv[3], 0);
    int size = snprintf(words, sizeof words, "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n", strlen(argv[4]), argv[4]);
    size_t count = 0;
    uint32_t longest = 0;
    printf("ready\n"), fflush(stdout);
    for (;;) {
        struct pollfd input = {.fd = 0, .events = POLLIN};
        double begin = now_seconds();
        ask(fd, words, (size_t)size);
        uint32_t took = (uint32_t)((now_seconds() - begin) * 1e6);
        if (took > longest) longest = took;
        if (count < SAMPLES_MAX) samples[count++] = took;
        usleep(REST_US);
        if (poll(&input, 1, 0) == 0) continue;
        if (!fgets(line, sizeof line, stdin)) return 0;
        qsort(samples, count, sizeof *samples, compare);
        printf("{\"requests\":%zu,\"p99_us\":%u,\"max_us\":%u}\n", count, samples[count * 99 / 100], longest);
        fflush(stdout), count = 0, longest = 0;
    }
}
