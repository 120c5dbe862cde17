/* The pager: reads a class from end to end, again and again, until it is stopped by SIGTERM.
 *
 * It takes every page's bytes and looks only at the lengths, so that it costs the client's side little.
 * Prints one line of JSON at the end: pages, objects, bytes, and the longest page in microseconds.
 *
 * usage: pager PORT CLASS LIMIT USER PASSWORD
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 18];
static size_t at, filled;
static int server;
static volatile sig_atomic_t stopping;

static void stop(int number) { (void)number, stopping = 1; }

static void fail(const char *what) {
    fprintf(stderr, "pager: %s\n", what);
    exit(1);
}

static void fill(void) {
    ssize_t got;
    do got = recv(server, buffer, sizeof buffer, 0);
    while (got < 0 && errno == EINTR); /* the signal to stop: this page is still read to its end */
    if (got <= 0) fail("the server closed the connection");
    at = 0, filled = (size_t)got;
}

static void read_line(char *line, size_t room) {
    size_t size = 0;
    for (;;) {
        if (at == filled) fill();
        char byte = buffer[at++];
        if (byte == '\n') break;
        if (byte != '\r' && size + 1 < room) line[size++] = byte;
    }
    line[size] = 0;
    if (line[0] == '-') fail(line);
}

static void skip(size_t bytes) {
    while (bytes) {
        if (at == filled) fill();
        size_t step = filled - at < bytes ? filled - at : bytes;
        at += step, bytes -= step;
    }
}

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void ask(const char *text, int size) {
    if (send(server, text, (size_t)size, MSG_NOSIGNAL) != size) fail("send");
}

int main(int argc, char **argv) {
    if (argc != 6) return fprintf(stderr, "usage: pager PORT CLASS LIMIT USER PASSWORD\n"), 2;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
    struct sigaction action = {.sa_handler = stop};
    char line[512], request[1024], cursor[128] = "0";
    unsigned long pages = 0, objects = 0, bytes = 0;
    double longest = 0;
    sigaction(SIGTERM, &action, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(server, (struct sockaddr *)&address, sizeof address)) fail("connect");
    ask(request, sprintf(request, "*3\r\n$4\r\nAUTH\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(argv[4]), argv[4], strlen(argv[5]), argv[5]));
    read_line(line, sizeof line);
    while (!stopping) {
        double begun = now_us();
        ask(request, sprintf(request, "*6\r\n$8\r\nCFG.READ\r\n$%zu\r\n%s\r\n$5\r\nLIMIT\r\n$%zu\r\n%s\r\n$6\r\nCURSOR\r\n$%zu\r\n%s\r\n",
                             strlen(argv[2]), argv[2], strlen(argv[3]), argv[3], strlen(cursor), cursor));
        read_line(line, sizeof line), read_line(line, sizeof line); /* *3, the revision */
        read_line(line, sizeof line), read_line(cursor, sizeof cursor);
        read_line(line, sizeof line);
        for (long left = atol(line + 1); left > 0; left--, objects++) {
            read_line(line, sizeof line);
            size_t size = strtoul(line + 1, 0, 10);
            skip(size + 2), bytes += size;
        }
        pages++;
        if (now_us() - begun > longest) longest = now_us() - begun;
    }
    printf("{\"pages\":%lu,\"objects\":%lu,\"bytes\":%lu,\"longest_us\":%.0f}\n", pages, objects, bytes, longest);
    return 0;
}
