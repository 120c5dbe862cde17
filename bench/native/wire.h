/* A connection that is plain, or TLS 1.3 where the port is written as "tls:PORT".
 *
 * Plain ones make the same calls as ever, so figures with and without TLS can be compared. The server's certificate is
 * looked at only where WIRE_CA names whom to trust: what is measured is the server.
 */
#ifndef WIRE_H
#define WIRE_H
#include "client.h"
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#define WIRE_SUITE "TLS_AES_128_GCM_SHA256" /* for every server, whatever it would choose */

typedef struct {
    int fd;
    SSL *ssl; /* 0: plain */
} Wire;

static inline void wire_fail(const char *what) {
    fprintf(stderr, "%s:\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

/* One for all connections of the program. */
static inline SSL_CTX *wire_context(void) {
    static SSL_CTX *context;
    if (context) return context;
    context = SSL_CTX_new(TLS_client_method());
    if (!context || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION)) wire_fail("SSL_CTX_new");
    if (!SSL_CTX_set_ciphersuites(context, WIRE_SUITE)) wire_fail("SSL_CTX_set_ciphersuites");
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    const char *trusted = getenv("WIRE_CA");
    if (!trusted) return context;
    if (!SSL_CTX_load_verify_file(context, trusted)) wire_fail(trusted);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, 0);
    return context;
}

static inline int wire_is_tls(const char *port) {
    return !strncmp(port, "tls:", 4);
}

static inline int wire_port(const char *port) {
    return atoi(wire_is_tls(port) ? port + 4 : port);
}

/* Waits for what the last call of SSL wanted; 0 when nothing came for too long. */
static inline int wire_wait(Wire *w, int result) {
    struct pollfd one = {.fd = w->fd, .events = POLLIN};
    if (w->ssl && SSL_get_error(w->ssl, result) == SSL_ERROR_WANT_WRITE) one.events = POLLOUT;
    return poll(&one, 1, SILENT_SECONDS_MAX * 1000) > 0;
}

/* What is there by now: 0 when the other side closed, -1 with EAGAIN when nothing is. */
static inline ssize_t wire_take(Wire *w, char *into, size_t size) {
    if (!w->ssl) return recv(w->fd, into, size, MSG_DONTWAIT);
    size_t got = 0;
    while (got < size) {
        int some = SSL_read(w->ssl, into + got, (int)(size - got));
        if (some > 0) {
            got += (size_t)some;
            continue;
        }
        int why = SSL_get_error(w->ssl, some);
        if (why == SSL_ERROR_WANT_READ) break;
        if (got) break;
        if (why == SSL_ERROR_ZERO_RETURN || (why == SSL_ERROR_SYSCALL && errno == 0)) return 0;
        ERR_print_errors_fp(stderr);
        errno = EPROTO;
        return -1;
    }
    if (got) return (ssize_t)got;
    errno = EAGAIN;
    return -1;
}

/* The same, but waits for something. */
static inline ssize_t wire_await(Wire *w, char *into, size_t size) {
    if (!w->ssl) return recv(w->fd, into, size, 0);
    for (;;) {
        ssize_t got = wire_take(w, into, size);
        if (got >= 0 || errno != EAGAIN) return got;
        if (!wire_wait(w, -1)) fail("recv");
    }
}

static inline void wire_send_all(Wire *w, const char *bytes, size_t size) {
    if (!w->ssl) {
        send_all(w->fd, bytes, size);
        return;
    }
    while (size) {
        int sent = SSL_write(w->ssl, bytes, (int)size), why = SSL_get_error(w->ssl, sent);
        if (sent > 0) bytes += sent, size -= (size_t)sent;
        else if ((why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) || !wire_wait(w, sent)) wire_fail("SSL_write");
    }
}

/* Shakes hands over a blocking connection, which never blocks afterwards; 0 when that failed. */
static inline int wire_secure(Wire *w, SSL_SESSION *resumed) {
    w->ssl = SSL_new(wire_context());
    if (!w->ssl || !SSL_set_fd(w->ssl, w->fd)) wire_fail("SSL_new");
    if (resumed) SSL_set_session(w->ssl, resumed);
    if (SSL_connect(w->ssl) != 1) return 0;
    return fcntl(w->fd, F_SETFL, fcntl(w->fd, F_GETFL) | O_NONBLOCK) == 0;
}

/* A connection, signed in unless the user is "-"; a receive buffer of 0 is the system's. */
static inline Wire wire_connect(const char *port, const char *user, const char *password, int receive_bytes) {
    Wire w = {.fd = connect_to(wire_port(port), "-", "-", receive_bytes)};
    if (wire_is_tls(port) && !wire_secure(&w, 0)) wire_fail("the handshake failed");
    if (!strcmp(user, "-")) return w;
    char words[512], answer[256];
    size_t got = 0;
    int size = snprintf(words, sizeof words, "*3\r\n$4\r\nAUTH\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(user), user, strlen(password), password);
    wire_send_all(&w, words, (size_t)size);
    while (!got || answer[got - 1] != '\n') {
        ssize_t some = got < sizeof answer - 1 ? wire_await(&w, answer + got, sizeof answer - 1 - got) : 0;
        if (some <= 0) fail("recv");
        got += (size_t)some;
    }
    answer[got] = 0;
    if (strncmp(answer, "+OK", 3)) fprintf(stderr, "sign-in refused: %s", answer), exit(1);
    return w;
}

/* Ends it; a session that was not ended so is not resumed. */
static inline void wire_close(Wire *w) {
    if (w->ssl) SSL_set_shutdown(w->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN), SSL_free(w->ssl);
    close(w->fd), w->fd = -1, w->ssl = 0;
}
#endif
