/* Connections that come one after the other: each shakes hands, asks PING, has its answer and goes.
 *
 * Prints a line of JSON: how many were done, how many failed, how many of them were resumed, how often the server's
 * certificate was another than that of the connection before, seconds.
 *
 * usage: handshakes PORT COUNT full|resumed
 *   "tls:PORT" shakes hands, a bare PORT only connects; `resumed` presents the newest session that the server gave;
 *   a COUNT of 0 goes on until the input ends.  A failure is counted and told, and the next one begins.
 */
#define _GNU_SOURCE
#include "wire.h"

static const char ping[] = "*1\r\n$4\r\nPING\r\n", pong[] = "+PONG\r\n";

static SSL_SESSION *newest;
static unsigned char last[EVP_MAX_MD_SIZE];
static unsigned certificates;

static int keep(SSL *ssl, SSL_SESSION *session) {
    (void)ssl;
    SSL_SESSION_free(newest), newest = session;
    return 1; /* it is ours now */
}

static void look_at_certificate(SSL *ssl) {
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    X509 *shown = SSL_get0_peer_certificate(ssl);
    if (!shown || !X509_digest(shown, EVP_sha256(), digest, 0)) return;
    certificates += memcmp(digest, last, sizeof last) != 0;
    memcpy(last, digest, sizeof last);
}

/* One connection; 0 when it failed. */
static int visit(const char *port, int resume, unsigned *resumed) {
    Wire w = {.fd = connect_to(wire_port(port), "-", "-", 0)};
    char answer[sizeof pong] = {0};
    size_t got = 0;
    if (wire_is_tls(port)) {
        if (!wire_secure(&w, resume ? newest : 0)) {
            fprintf(stderr, "a handshake failed:\n"), ERR_print_errors_fp(stderr);
            wire_close(&w);
            return 0;
        }
        *resumed += (unsigned)SSL_session_reused(w.ssl);
        if (!SSL_session_reused(w.ssl)) look_at_certificate(w.ssl);
    }
    wire_send_all(&w, ping, sizeof ping - 1);
    while (got < sizeof pong - 1) {
        ssize_t some = wire_await(&w, answer + got, sizeof pong - 1 - got);
        if (some <= 0) break;
        got += (size_t)some;
    }
    wire_close(&w);
    if (!memcmp(answer, pong, sizeof pong - 1)) return 1;
    fprintf(stderr, "expected PONG, not %s\n", answer);
    return 0;
}

static int ended(void) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    char dropped[64];
    return poll(&input, 1, 0) > 0 && read(0, dropped, sizeof dropped) <= 0;
}

int main(int argc, char **argv) {
    if (argc != 4) return fprintf(stderr, "handshakes: see the head of handshakes.c for its 3 arguments\n"), 2;
    unsigned count = (unsigned)atoi(argv[2]), done = 0, failed = 0, resumed = 0;
    int resume = !strcmp(argv[3], "resumed");
    SSL_CTX_set_session_cache_mode(wire_context(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(wire_context(), keep);
    double begin = now_seconds();
    while (count ? done + failed < count : !ended())
        if (visit(argv[1], resume, &resumed)) done++;
        else failed++;
    printf("{\"done\":%u,\"failed\":%u,\"resumed\":%u,\"certificates\":%u,\"seconds\":%.6f}\n", done, failed, resumed, certificates, now_seconds() - begin);
    return 0;
}
