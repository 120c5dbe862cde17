/* The load: a closed loop of GET, MGET or CFG.FIND over many connections, which checks every reply.
 *
 * Each connection sends a batch of PIPELINE requests with random keys, waits for all replies, checks
 * that each is the object that was asked for, and sends the next batch. Prints one line of JSON:
 * requests, keys, bytes, seconds, wrong replies and the latency of a batch in microseconds.
 *
 * usage: load PORT CONNECTIONS PIPELINE REQUESTS KEYS_A_REQUEST FIRST COUNT CLASS SEED CHECK USER PASSWORD [BEFORE]
 *   a PORT of tls:PORT is spoken to by TLS; keys are CLASS:%08u from FIRST to FIRST+COUNT-1; KEYS_A_REQUEST 1 is GET, more is MGET,
 *   0 is CFG.FIND by the user name bench%06u of the object at that place, counted from 0;
 *   CHECK 0 skips the comparison of class and DBID (for canned replies); USER "-" does not sign in.
 *   With BEFORE each connection first reads all keys once, with `track` after CLIENT TRACKING ON; then a line is
 *   printed, and one is awaited: what was remembered is there before the load begins.
 */
#define _GNU_SOURCE
#include "wire.h"
#include <sys/epoll.h>

enum { RECEIVE_BYTES = 1 << 20, SAMPLES_MAX = 1 << 20, EVENTS_MAX = 256 };

typedef struct {
    Wire wire;
    char *request;      /* a whole batch; only the digits of the keys change */
    size_t request_size;
    char *receive;      /* what has come of the batch's replies */
    size_t received, parsed;
    uint32_t *asked;    /* the DBIDs of the batch, in order */
    unsigned replies;   /* bulks seen of this batch */
    uint64_t sent_ns;
} Connection;

static unsigned pipeline, keys_a_request, first, count, check, by_name;
static const char *class_name;
static uint64_t seed, wrong;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t random_dbid(void) { /* xorshift64* */
    seed ^= seed >> 12, seed ^= seed << 25, seed ^= seed >> 27;
    return first + (uint32_t)(((seed * 2685821657736338717u) >> 33) % count);
}

static void write_digits(char *at, uint32_t number) {
    for (int i = by_name ? 5 : 7; i >= 0; i--) at[i] = (char)('0' + number % 10), number /= 10;
}

static void make_request(Connection *c) {
    size_t key_bytes = strlen(class_name) + 9;
    c->request = malloc(pipeline * (128 + keys_a_request * (key_bytes + 16)));
    c->asked = malloc(sizeof(uint32_t) * pipeline * keys_a_request);
    char *at = c->request;
    for (unsigned i = 0; i < pipeline && by_name; i++)
        at += sprintf(at, "*4\r\n$8\r\nCFG.FIND\r\n$%zu\r\n%s\r\n$9\r\nuser_name\r\n$11\r\nbench000000\r\n", strlen(class_name), class_name);
    for (unsigned i = 0; i < pipeline && !by_name; i++) {
        const char *verb = keys_a_request == 1 ? "GET" : "MGET";
        at += sprintf(at, "*%u\r\n$%zu\r\n%s\r\n", keys_a_request + 1, strlen(verb), verb);
        for (unsigned k = 0; k < keys_a_request; k++)
            at += sprintf(at, "$%zu\r\n%s:00000000\r\n", key_bytes, class_name);
    }
    c->request_size = (size_t)(at - c->request);
}

static void send_batch(Connection *c) {
    char *at = c->request;
    for (unsigned i = 0; i < pipeline * keys_a_request; i++) {
        at = by_name ? strstr(at, "bench") + 5 : strchr(at, ':') + 1;
        c->asked[i] = random_dbid();
        write_digits(at, by_name ? c->asked[i] - first : c->asked[i]);
    }
    c->received = c->parsed = 0, c->replies = 0, c->sent_ns = now_ns();
    wire_send_all(&c->wire, c->request, c->request_size);
}

/* Compares the beginning of an object with what was asked for. */
static void check_object(const char *payload, size_t size, uint32_t dbid) {
    char expected[96];
    int length = sprintf(expected, "{\"class\":\"%s\",\"DBID\":%u,", class_name, dbid);
    if (check && (size < (size_t)length || memcmp(payload, expected, (size_t)length))) wrong++;
}

/* Reads whole replies; returns 1 when the batch is complete. */
static int parse_replies(Connection *c) {
    while (c->replies < pipeline * keys_a_request) {
        char *at = c->receive + c->parsed, *end = c->receive + c->received;
        char *line = memchr(at, '\n', (size_t)(end - at));
        if (!line) return 0;
        if (*at == '*') { c->parsed = (size_t)(line + 1 - c->receive); continue; }
        if (*at != '$') { fprintf(stderr, "load: unexpected reply %.80s\n", at); exit(1); }
        long size = strtol(at + 1, 0, 10);
        if (size < 0) wrong++, size = -2;
        else if (line + 1 + size + 2 > end) return 0;
        else check_object(line + 1, (size_t)size, c->asked[c->replies]);
        c->replies++, c->parsed = (size_t)(line + 1 + size + 2 - c->receive);
    }
    return 1;
}

static Connection *connected(const char *port, const char *user, const char *password) {
    Connection *c = calloc(1, sizeof *c);
    c->wire = wire_connect(port, user, password, 0);
    c->receive = malloc(RECEIVE_BYTES * (pipeline * keys_a_request > 256 ? 8 : 1));
    make_request(c);
    return c;
}

/* Sends a command and takes its reply, which ends with a line end and has so many bulks. */
static void ask_before(Connection *c, const char *bytes, size_t size, unsigned bulks) {
    wire_send_all(&c->wire, bytes, size);
    size_t got = 0, at = 0;
    for (unsigned seen = 0;;) {
        char *line = memchr(c->receive + at, '\n', got - at);
        size_t next = line ? (size_t)(line + 1 - c->receive) : 0;
        if (next && c->receive[at] == '$') next += (size_t)strtol(c->receive + at + 1, 0, 10) + 2;
        if (next && next <= got) {
            seen += c->receive[at] == '$', at = next;
            if (seen == bulks && at == got) return;
            continue;
        }
        if (at) memmove(c->receive, c->receive + at, got -= at), at = 0;
        ssize_t more = wire_await(&c->wire, c->receive + got, RECEIVE_BYTES - got);
        if (more <= 0) fail("the server closed a connection");
        got += (size_t)more;
    }
}

enum { KEYS_BEFORE = 100 }; /* of one MGET */

static void read_all_before(Connection *c, int track) {
    static const char on[] = "*3\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$2\r\nON\r\n";
    char *words = malloc(64 + KEYS_BEFORE * (strlen(class_name) + 32));
    if (track) ask_before(c, on, sizeof on - 1, 0);
    for (unsigned from = 0; from < count; from += KEYS_BEFORE) {
        unsigned many = count - from < KEYS_BEFORE ? count - from : KEYS_BEFORE;
        char *at = words + sprintf(words, "*%u\r\n$4\r\nMGET\r\n", many + 1);
        for (unsigned i = 0; i < many; i++)
            at += sprintf(at, "$%zu\r\n%s:%08u\r\n", strlen(class_name) + 9, class_name, first + from + i);
        ask_before(c, words, (size_t)(at - words), many);
    }
    free(words);
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
    if (argc != 13 && argc != 14) return fprintf(stderr, "load: see the head of load.c for its 12 or 13 arguments\n"), 2;
    int connections = atoi(argv[2]);
    uint64_t requests = strtoull(argv[4], 0, 10), sent = 0, done = 0, bytes = 0;
    pipeline = (unsigned)atoi(argv[3]), keys_a_request = (unsigned)atoi(argv[5]);
    by_name = keys_a_request == 0, keys_a_request += by_name;
    first = (unsigned)atoi(argv[6]), count = (unsigned)atoi(argv[7]), class_name = argv[8];
    seed = strtoull(argv[9], 0, 10) * 2654435761u + 88172645463325252u, check = (unsigned)atoi(argv[10]);
    uint32_t *samples = malloc(sizeof(uint32_t) * SAMPLES_MAX);
    size_t sample_count = 0;
    int poll = epoll_create1(0), open = 0;
    uint64_t begin = now_ns();
    Connection **all = malloc(sizeof *all * (size_t)connections);
    for (int i = 0; i < connections; i++) {
        all[i] = connected(argv[1], argv[11], argv[12]);
        if (argc == 14) read_all_before(all[i], !strcmp(argv[13], "track"));
    }
    if (argc == 14) puts("ready"), fflush(stdout), getchar();
    for (int i = 0; i < connections; i++) {
        Connection *c = all[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poll, EPOLL_CTL_ADD, c->wire.fd, &event);
        send_batch(c), sent += pipeline, open++;
        if (i == 0) begin = now_ns();
    }
    while (open) {
        struct epoll_event events[EVENTS_MAX];
        int ready = epoll_wait(poll, events, EVENTS_MAX, 10000);
        if (ready == 0) { fprintf(stderr, "load: no reply for 10 s\n"); return 1; }
        for (int i = 0; i < ready; i++) {
            Connection *c = events[i].data.ptr;
            ssize_t got = wire_take(&c->wire, c->receive + c->received, RECEIVE_BYTES);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) fail("the server closed a connection");
            c->received += (size_t)got, bytes += (uint64_t)got;
            if (!parse_replies(c)) continue;
            done += pipeline;
            if (sample_count < SAMPLES_MAX) samples[sample_count++] = (uint32_t)((now_ns() - c->sent_ns) / 1000);
            if (sent < requests) send_batch(c), sent += pipeline;
            else wire_close(&c->wire), open--;
        }
    }
    double seconds = (double)(now_ns() - begin) / 1e9;
    qsort(samples, sample_count, sizeof *samples, compare);
    printf("{\"requests\":%lu,\"keys\":%lu,\"bytes\":%lu,\"seconds\":%.4f,\"wrong\":%lu,\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u}\n",
           done, done * keys_a_request, bytes, seconds, wrong, samples[sample_count / 2], samples[sample_count * 99 / 100], samples[sample_count - 1]);
    return wrong ? 1 : 0;
}
