/* The bare sends: a loop that sends the same bytes to each subscriber, one send each, and nothing else.
 *
 * A connection whose first bytes are an array (SUBSCRIBE) becomes a subscriber and is answered as
 * one; any line from another connection makes one round of sends and is answered +OK. What it spends
 * is what any server has to that keeps a socket for each subscriber.
 *
 * usage: bare_sender PORT FILE   (the file has the bytes of one round, as a subscriber gets them)
 */
#define _GNU_SOURCE
#include "client.h"
#include <sys/epoll.h>

enum { SUBSCRIBERS_MAX = 1 << 16, EVENTS_MAX = 256, MESSAGE_BYTES_MAX = 1 << 24 };

static int subscribers[SUBSCRIBERS_MAX], count;
static char message[MESSAGE_BYTES_MAX];
static size_t message_size;
static const char SUBSCRIBED[] = "*3\r\n$9\r\nsubscribe\r\n$3\r\ncfg\r\n:1\r\n", DONE[] = "+OK\r\n";

static void send_round(void) {
    for (int i = 0; i < count; i++) {
        size_t sent = 0;
        while (sent < message_size) {
            ssize_t got = send(subscribers[i], message + sent, message_size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (got > 0) sent += (size_t)got;
            else if (errno == EAGAIN) poll(&(struct pollfd){.fd = subscribers[i], .events = POLLOUT}, 1, -1);
            else break; /* gone: its number stays until the end */
        }
    }
}

static void serve(int fd) {
    char words[512];
    ssize_t got = recv(fd, words, sizeof words, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) close(fd);
    if (got <= 0) return;
    if (words[0] == '*' && count < SUBSCRIBERS_MAX) {
        subscribers[count++] = fd;
        send_all(fd, SUBSCRIBED, sizeof SUBSCRIBED - 1);
    } else {
        send_round();
        send_all(fd, DONE, sizeof DONE - 1);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: bare_sender PORT FILE\n"), 2;
    FILE *file = fopen(argv[2], "rb");
    if (!file || !(message_size = fread(message, 1, sizeof message, file))) fail(argv[2]);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poll = epoll_create1(0), one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 511)) fail("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS_MAX];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS_MAX, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd != listener) {
                serve(events[i].data.fd);
                continue;
            }
            int fd = accept4(listener, 0, 0, SOCK_NONBLOCK);
            if (fd < 0) continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            event = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
            epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
        }
    }
}
