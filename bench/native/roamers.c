/* Sessions that outlive their server: each signs in, subscribes to one object, and when its connection dies it goes on
 * at the next address by its token, without CFG.FROM, as libraries do that only subscribe anew.
 *
 * All sign in; then "ready" is printed. Lines on the standard input say what to do, each answered by a line of JSON:
 *   mark            what was seen begins anew
 *   wait N S        until so many were lost and all are there again, at most S seconds
 *   reach R S       until each was told revision R of its object, at most S seconds
 *   report          what was seen
 * Times are of CLOCK_MONOTONIC, in seconds, so that they compare with those of the caller.
 *
 * usage: roamers USER PASSWORD APPLICATION CLASS FIRST OBJECTS SESSIONS SECURED KEEPALIVE_MS REQUEST_MS AT_ONCE PORTS TLS_PORTS
 *   APPLICATION "-": redis-server, where there are no tokens; SECURED of the sessions go by TLS; KEEPALIVE_MS: silence
 *   after which a peer is asked for a sign of life, and again until it is given up; REQUEST_MS: each session reads its
 *   object so often (0: never, and it speaks RESP2); AT_ONCE sign in abreast; PORTS and TLS_PORTS are lists with commas.
 */
#include "roamer.h"
#include <sys/epoll.h>

enum { RECEIVE_BYTES = 1 << 18, EVENTS_MAX = 512, PORTS_MAX = 8, WORDS_BYTES = 2048 };
static const double RETRY_SECONDS = 0.1; /* when no address took it */
static const double LOOK_SECONDS = 0.05; /* from one look at silent peers to the next */
static const double BOOKMARK_MS = 10000;

typedef struct {
    int count, ports[PORTS_MAX];
} Ports;

static struct {
    const char *user, *password, *application, *class_name;
    uint64_t first;
    uint32_t objects, at_once;
    double keepalive, request;
    Ports plain, secured;
} how;

static Roamer *all, **queue; /* who waits for its next attempt, in the order in which that is due */
static uint32_t count, secured, queue_at, queued, trying, live;
static char buffer[RECEIVE_BYTES];
static int poll_fd;

static void enqueue(Roamer *r, double due) {
    r->state = WAITING, r->due = due;
    queue[(queue_at + queued++) % count] = r;
}

static const Ports *ports_of(const Roamer *r) {
    return r->number < secured ? &how.secured : &how.plain;
}

static void gone(Roamer *r, double now) {
    int was_live = r->state == LIVE;
    wire_close(&r->wire);
    free(r->kept), r->kept = 0, r->kept_size = 0;
    if (r->asked_at) r->asked_at = 0, seen.failed++, seen.failed_told += (uint64_t)r->is_told;
    r->pinged_at = 0, r->address++, r->is_told = 0, r->move_at = 0;
    if (was_live) {
        live--, seen.lost++, r->lost_at = now, r->tries = 0;
        enqueue(r, now);
        return;
    }
    trying--, seen.refused++;
    enqueue(r, r->tries % (uint32_t)ports_of(r)->count ? now : now + RETRY_SECONDS);
}

/* Small requests on an empty socket: they go out in one piece or the connection is broken. */
static int say(Roamer *r, const char *words, size_t size) {
    ssize_t sent = r->wire.ssl ? SSL_write(r->wire.ssl, words, (int)size) : send(r->wire.fd, words, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent == (ssize_t)size;
}

static size_t add(char *words, size_t at, const char *word) {
    return at + (size_t)snprintf(words + at, WORDS_BYTES - at, "$%zu\r\n%s\r\n", strlen(word), word);
}

static size_t head(char *words, size_t at, int elements) {
    return at + (size_t)snprintf(words + at, WORDS_BYTES - at, "*%d\r\n", elements);
}

static int ask_object(Roamer *r) {
    char words[WORDS_BYTES], key[128];
    snprintf(key, sizeof key, "%s:%lu", how.class_name, how.first + r->number % how.objects);
    size_t size = head(words, 0, 2);
    size = add(words, size, "GET"), size = add(words, size, key);
    return say(r, words, size);
}

/* Signs in, subscribes; the first time it registers and begins with what is there. */
static int begin(Roamer *r) {
    char words[WORDS_BYTES], channel[128], milliseconds[32];
    const char *secret = *r->token ? r->token : how.password;
    size_t size = head(words, 0, how.request ? 5 : 3);
    if (how.request) size = add(words, size, "HELLO"), size = add(words, size, "3");
    size = add(words, size, "AUTH"), size = add(words, size, how.user), size = add(words, size, secret);
    if (!*r->token && strcmp(how.application, "-")) {
        snprintf(milliseconds, sizeof milliseconds, "%.0f", BOOKMARK_MS);
        size = head(words, size, 2), size = add(words, size, "CFG.REGISTER"), size = add(words, size, how.application);
        size = head(words, size, 6), size = add(words, size, "CFG.FROM"), size = add(words, size, "NOW");
        size = add(words, size, "SUBS"), size = add(words, size, "2");
        size = add(words, size, "BOOKMARKS"), size = add(words, size, milliseconds);
    }
    snprintf(channel, sizeof channel, "cfg:%s:%lu", how.class_name, how.first + r->number % how.objects);
    size = head(words, size, 3), size = add(words, size, "SUBSCRIBE");
    size = add(words, size, channel), size = add(words, size, "cfg.notice");
    seen.by_token += *r->token != 0;
    r->state = ASKING, r->confirmed = 0, r->here = 0, r->errors = 0, r->place = r->token_place;
    return say(r, words, size);
}

static void dial(Roamer *r, double now) {
    const Ports *ports = ports_of(r);
    int one = 1, port = ports->ports[r->address % (uint32_t)ports->count];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = r};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    r->state = CONNECTING, r->heard_at = now, r->tries++, trying++, seen.attempts++;
    r->wire = (Wire){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)};
    if (r->wire.fd < 0) fail("socket");
    setsockopt(r->wire.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(r->wire.fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) {
        if (errno != ECONNREFUSED) fail("connect");
        gone(r, now);
        return;
    }
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, r->wire.fd, &event)) fail("epoll_ctl");
}

/* Brings a connection that is being made on; 0 when it failed. */
static int connected(Roamer *r) {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(r->wire.fd, SOL_SOCKET, SO_ERROR, &error, &size) || error) return 0;
    if (r->number >= secured) return begin(r);
    r->wire.ssl = SSL_new(wire_context());
    if (!r->wire.ssl || !SSL_set_fd(r->wire.ssl, r->wire.fd)) wire_fail("SSL_new");
    r->state = SHAKING;
    return 1;
}

static int shaken(Roamer *r) {
    int done = SSL_connect(r->wire.ssl), why = SSL_get_error(r->wire.ssl, done);
    if (done == 1) return begin(r);
    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

static int receive(Roamer *r, double now) {
    for (;;) {
        uint64_t resyncs = seen.resyncs;
        ssize_t got = wire_take(&r->wire, buffer, RECEIVE_BYTES);
        if (got < 0 && errno == EAGAIN) return 1;
        if (got <= 0 || !take_bytes(r, buffer, (size_t)got, now)) return 0;
        if (r->state == ASKING && r->errors) return 0;
        if (r->state == ASKING && r->confirmed == CONFIRMATIONS) {
            r->state = LIVE, r->restored_at = now, trying--, live++, seen.restored++;
        }
        if (seen.resyncs != resyncs && !how.request && r->state == LIVE) seen.reread++; /* it has to read it anew */
    }
}

static void handle(Roamer *r, uint32_t events, double now) {
    if (r->state == CONNECTING && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) && !connected(r)) gone(r, now);
    if (r->state == SHAKING && !shaken(r)) gone(r, now);
    if ((r->state == ASKING || r->state == LIVE) && !receive(r, now)) gone(r, now);
}

/* Who is silent is asked, then given up; who is to read its object, or to go, does so. */
static void look(double now) {
    static const char ping[] = "*1\r\n$4\r\nPING\r\n";
    for (uint32_t i = 0; i < count; i++) {
        Roamer *r = &all[i];
        if (r->state == WAITING) continue;
        if (r->state != LIVE) {
            if (now - r->heard_at > 2 * how.keepalive) gone(r, now);
        } else if (r->pinged_at ? now - r->pinged_at > how.keepalive : 0) gone(r, now);
        else if (r->move_at && now >= r->move_at) {
            if (!r->asked_at) gone(r, now);
        } else if (!r->pinged_at && now - r->heard_at > how.keepalive) {
            if (say(r, ping, sizeof ping - 1)) r->pinged_at = now;
            else gone(r, now);
        } else if (how.request && !r->asked_at && now >= r->due) {
            r->asked_at = now, r->due = now + how.request, seen.asked++;
            if (!ask_object(r)) gone(r, now);
        }
    }
}

static void turn(void) {
    static double looked;
    struct epoll_event events[EVENTS_MAX];
    double now = now_seconds();
    while (queued && trying < how.at_once && queue[queue_at % count]->due <= now) {
        Roamer *r = queue[queue_at++ % count];
        queued--, r->due = now + how.request * (double)(r->number % 1000) / 1000;
        dial(r, now);
    }
    if (now - looked > LOOK_SECONDS) looked = now, look(now);
    /* It never sleeps while somebody signs in: waking a client is the work of whoever sends. */
    int ready = epoll_wait(poll_fd, events, EVENTS_MAX, trying ? 0 : 1);
    now = now_seconds();
    for (int i = 0; i < ready; i++)
        if (events[i].data.ptr) handle(events[i].data.ptr, events[i].events, now);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(double begun) {
    double *took = malloc(count * sizeof *took), *at = malloc(count * sizeof *at), first_lost = 0;
    uint32_t many = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (all[i].state != LIVE || all[i].lost_at < begun) continue;
        took[many] = all[i].restored_at - all[i].lost_at, at[many++] = all[i].restored_at;
        if (!first_lost || all[i].lost_at < first_lost) first_lost = all[i].lost_at;
    }
    qsort(took, many, sizeof *took, compare), qsort(at, many, sizeof *at, compare);
    printf("{\"sessions\":%u,\"live\":%u,\"lost\":%lu,\"restored\":%lu,\"attempts\":%lu,\"refused\":%lu,\"by_token\":%lu,", count, live, seen.lost, seen.restored, seen.attempts, seen.refused, seen.by_token);
    printf("\"resyncs\":%lu,\"reread\":%lu,\"missed\":%lu,\"doubled\":%lu,\"again\":%lu,\"told\":%lu,\"bookmarks\":%lu,", seen.resyncs, seen.reread, seen.missed, seen.doubled, seen.again, seen.told, seen.bookmarks);
    printf("\"moving\":%lu,\"asked\":%lu,\"answered\":%lu,\"failed\":%lu,\"failed_told\":%lu,\"error_replies\":%lu,\"error\":\"%s\",", seen.moving, seen.asked, seen.answered, seen.failed, seen.failed_told, seen.error_replies, seen.error);
    printf("\"first_lost\":%.6f,\"first_restored\":%.6f,\"last_restored\":%.6f,", first_lost, many ? at[0] : 0, many ? at[many - 1] : 0);
    printf("\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}\n", many ? took[many / 2] * 1e3 : 0, many ? took[many * 99ull / 100] * 1e3 : 0, many ? took[many - 1] * 1e3 : 0);
    fflush(stdout), free(took), free(at);
}

static uint32_t behind(uint64_t revision) {
    uint32_t some = 0;
    for (uint32_t i = 0; i < count; i++) some += all[i].newest < revision;
    return some;
}

static void obey(const char *line) {
    static double begun;
    uint64_t wanted = 0;
    double seconds = 0;
    if (!strncmp(line, "mark", 4)) memset(&seen, 0, sizeof seen), begun = now_seconds();
    if (sscanf(line, "wait %lu %lf", &wanted, &seconds) == 2)
        for (double end = now_seconds() + seconds; (seen.lost < wanted || live < count) && now_seconds() < end;) turn();
    if (sscanf(line, "reach %lu %lf", &wanted, &seconds) == 2) {
        for (double end = now_seconds() + seconds; behind(wanted) && now_seconds() < end;) turn();
        seen.missed += behind(wanted);
    }
    report(begun);
}

static Ports read_ports(char *list) {
    Ports ports = {0};
    for (char *one = strtok(list, ","); one && ports.count < PORTS_MAX; one = strtok(0, ",")) ports.ports[ports.count++] = atoi(one);
    return ports;
}

static void run(void) {
    char line[256];
    size_t size = 0;
    struct epoll_event input = {.events = EPOLLIN};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, 0, &input)) fail("epoll_ctl");
    for (;;) {
        struct pollfd one = {.fd = 0, .events = POLLIN};
        turn();
        if (poll(&one, 1, 0) <= 0) continue;
        if (size == sizeof line - 1 || read(0, line + size, 1) <= 0) return;
        if (line[size++] != '\n') continue;
        line[size] = 0, size = 0;
        obey(line);
    }
}

int main(int argc, char **argv) {
    if (argc != 14) return fprintf(stderr, "roamers: see the head of roamers.c for its 13 arguments\n"), 2;
    how.user = argv[1], how.password = argv[2], how.application = argv[3], how.class_name = argv[4];
    how.first = strtoull(argv[5], 0, 10), how.objects = (uint32_t)atoi(argv[6]);
    count = (uint32_t)atoi(argv[7]), secured = (uint32_t)atoi(argv[8]);
    how.keepalive = atof(argv[9]) / 1e3, how.request = atof(argv[10]) / 1e3, how.at_once = (uint32_t)atoi(argv[11]);
    how.plain = read_ports(argv[12]), how.secured = read_ports(argv[13]);
    SSL_CTX_set_options(wire_context(), SSL_OP_IGNORE_UNEXPECTED_EOF);
    poll_fd = epoll_create1(0);
    all = calloc(count, sizeof *all), queue = calloc(count, sizeof *queue);
    for (uint32_t i = 0; i < count; i++) {
        all[i] = (Roamer){.number = i};
        enqueue(&all[i], 0);
    }
    for (double end = now_seconds() + SILENT_SECONDS_MAX; live < count;) {
        turn();
        if (now_seconds() < end) continue;
        return fprintf(stderr, "%u of %u signed in; the last error was: %s\n", live, count, seen.error), 1;
    }
    printf("ready\n"), fflush(stdout);
    run();
    return 0;
}
