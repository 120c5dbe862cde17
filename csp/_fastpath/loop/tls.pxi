# Included by csp/_fastpath.pyx after: transport, tls_wire, tls_tickets.
# TLS of a connection: from its first byte to the last, between the socket (transport.pxi) and everybody else.
#
# Invariants:
# 1. Everybody else sees plaintext: what is received, what is unsent, and all limits are counted in it.
# 2. A connection begins with CSP_CONN_DETECT on whatever port: its first byte says whether it speaks TLS, and the port
#    whether it may. Until then it has no memory of OpenSSL's.
# 3. One receive is decrypted until OpenSSL wants more; what has no room stays in `kept` or in OpenSSL, and the
#    connection stays READABLE until both are empty.
# 4. HANDSHAKES_A_TURN steps of handshakes a turn: who comes later is visited in the next one.
# 5. Where OpenSSL reports a failure its queue of errors is emptied before anybody else of the thread calls it (Python's
#    ssl in the slow lane), after a handshake too.
# 6. On a port that asks clients for certificates the slow lane looks at each before its first request, at one without a
#    certificate too (CSP_WAIT_REPLY, Loop.admit).
# 7. A session is resumed no longer than the certificate is good that its client had shown.
#    A handshake that began before its port's demands changed (another authority, a longer list of the revoked) fails:
#    it was judged by the old ones, and would else escape the new.
# 8. Who sends messages of TLS itself, and little else, is ended: each new key costs as much as twenty GETs.
# 9. What fails is counted; the slow lane is told of it at once, and then once in TOLD_MS.
# 10. Who says hello before anybody has looked for his port's certificate waits with his hello on the socket: a server
#     that begins does not turn away whom it is about to serve.

cdef enum:
    TLS_HELLO = 22                  # the first byte of a handshake
    HANDSHAKES_A_TURN = 8           # steps of handshakes; a full one has two, of some 0.2 ms each
    TLS_IDLE_MS = 1000              # then OpenSSL's buffers are given back
    BARE_A_TICK = 256               # connections whose buffers a tick gives back: some 8 MiB
    TRIM_AFTER = 64                 # so many later the heap gives their pages to the system,
    TRIM_LAST = 8                   # or so many when there are no more
    BARREN_MAX = 65536              # ciphertext without enough plaintext in it: four of the largest records
    BARREN_EACH = 64                # bytes of ciphertext that one of plaintext answers for
    TOLD_MS = 60000                 # of failed handshakes the slow lane is told so often

cdef int64_t tls_failed(worker_t *w, csp_conn *c, const char *why) noexcept nogil:
    """Ends it, with what OpenSSL says to the client about it."""
    cdef const char *reason = ERR_reason_error_string(ERR_peek_last_error())
    cdef tls_conn_t *tls = <tls_conn_t *> c.tls
    if tls != NULL:
        tls.failed = True
        w.tls.wire.at = w.tls.wire.end
        if not tls.shaken:
            if SSL_get_verify_result(tls.ssl) != X509_V_OK:
                reason = X509_verify_cert_error_string(SSL_get_verify_result(tls.ssl))
            tls_note(w, c, why if reason == NULL else reason)
        wire_flush(w, c)
    ERR_clear_error()
    if c.end == 0:
        c.end = CSP_END_TLS
    return IO_BROKEN

cdef void tls_note(worker_t *w, csp_conn *c, const char *why) noexcept nogil:
    """Counts a handshake that failed; the last one's reason is kept until the slow lane asks for it."""
    w.stats.handshakes_failed += 1
    w.tls.failures += 1
    w.tls.failed_client = client_of(w, c)[0]
    w.tls.failed_port = w.listeners[c.listener].port
    w.tls.failed_why = why          # words that are never freed

cdef bint tls_begin(worker_t *w, csp_conn *c) noexcept nogil:
    """Its first byte was a hello."""
    cdef SSL_CTX *ctx = w.listeners[c.listener].context
    cdef tls_conn_t *tls
    cdef BIO *bio
    if ctx == NULL or not wire_open(w):
        tls_note(w, c, b"the port has no certificate" if ctx == NULL else b"no memory")
        return False
    tls = <tls_conn_t *> calloc(1, sizeof(tls_conn_t))
    if tls == NULL:
        return False
    tls.ssl = SSL_new(ctx)
    bio = wire_bio(w)
    if tls.ssl == NULL or bio == NULL:
        SSL_free(tls.ssl)
        BIO_free(bio)
        free(tls)
        ERR_clear_error()
        return False
    SSL_set_bio(tls.ssl, bio, bio)
    SSL_set_accept_state(tls.ssl)
    if w.token_key.id == 0:
        SSL_set_num_tickets(tls.ssl, 0)
        SSL_set_options(tls.ssl, SSL_OP_NO_TICKET)
    tls.used_ms = w.now_ms
    w.tls.buffered += 1
    c.tls = <csp_tls *> tls
    c.flags |= CSP_CONN_TLS
    w.stats.tls_connections += 1
    return True

cdef void tls_end(worker_t *w, csp_conn *c) noexcept nogil:
    """The connection goes: its peer is told, as far as the socket takes it."""
    cdef tls_conn_t *tls = <tls_conn_t *> c.tls
    if tls.shaken and not tls.failed and c.flags & CSP_CONN_WIRE == 0 and c.end != CSP_END_BROKEN:
        SSL_shutdown(tls.ssl)
        wire_flush(w, c)
        ERR_clear_error()
    wire_drop(w, c)
    SSL_free(tls.ssl)
    if tls.kept != NULL:
        free(tls.kept)
        w.stats.buffers -= 1
    w.tls.buffered -= not tls.bare
    w.stats.tls_connections -= 1
    free(tls)
    c.tls = NULL
    c.flags &= ~CSP_CONN_TLS

cdef bint tls_outlived(const SSL *ssl) noexcept nogil:
    """Whether the session is a resumed one of a client whose certificate has ended since."""
    cdef X509 *peer = SSL_get0_peer_certificate(ssl)
    return peer != NULL and SSL_session_reused(ssl) and X509_cmp_current_time(X509_get0_notAfter(peer)) < 0

cdef bint tls_is_behind(worker_t *w, csp_conn *c) noexcept nogil:
    """Whether its port has come to demand something else of clients since its handshake began."""
    cdef unsigned int size = 0
    cdef const unsigned char *began = SSL_SESSION_get0_id_context(SSL_get_session((<tls_conn_t *> c.tls).ssl), &size)
    return size != DEMANDS_BYTES or memcmp(began, w.listeners[c.listener].demands, DEMANDS_BYTES) != 0

cdef void tls_shaken(worker_t *w, csp_conn *c) noexcept nogil:
    """Its handshake is done."""
    cdef tls_conn_t *tls = <tls_conn_t *> c.tls
    tls.shaken = True
    w.stats.handshakes += 1
    w.stats.handshakes_resumed += SSL_session_reused(tls.ssl) != 0
    if SSL_get_verify_mode(tls.ssl) != SSL_VERIFY_NONE:
        c.waits |= CSP_WAIT_REPLY
        handles_add(&w.tls.certified, conn_handle(w, c))
    if c.flags & CSP_CONN_WIRE == 0:
        c.flags &= ~CSP_CONN_FULL
    conn_dirty(w, c)                # what was to be sent meanwhile

cdef inline void tls_use(worker_t *w, tls_conn_t *tls) noexcept nogil:
    tls.used_ms = w.now_ms
    if tls.bare:
        tls.bare = False
        w.tls.buffered += 1

cdef void tls_tick(worker_t *w, csp_conn *c) noexcept nogil:
    """OpenSSL's buffers of one that has been idle are given back: two thirds of its memory."""
    cdef tls_conn_t *tls = <tls_conn_t *> c.tls
    if not tls.bare and w.now_ms - tls.used_ms > TLS_IDLE_MS and w.tls.bared_now < BARE_A_TICK \
            and SSL_free_buffers(tls.ssl) == 1:
        tls.bare = True
        w.tls.buffered -= 1
        w.tls.bared += 1
        w.tls.bared_now += 1

cdef void tls_ticked(worker_t *w) noexcept nogil:
    """At the end of a tick: what was given back lies between what is used, where the heap would keep it."""
    w.tls.bared_now = 0
    if w.tls.bared >= TRIM_AFTER or (w.tls.bared >= TRIM_LAST and w.tls.buffered == 0):
        w.tls.bared = 0
        csp_heap_trim()
    if w.tls.failures > 0 and w.now_ms >= w.tls.tell_ms:
        w.tls.tell_ms = w.now_ms + TOLD_MS
        slow_handshakes(w)

# ---- what comes in ----

cdef bint tls_keep(worker_t *w, csp_conn *c, const char *data, size_t size) noexcept nogil:
    """Keeps ciphertext for the next visit; False without memory."""
    cdef tls_conn_t *tls = <tls_conn_t *> c.tls
    tls.kept = <char *> malloc(size)
    if tls.kept == NULL:
        return False
    memcpy(tls.kept, data, size)
    tls.kept_size = <uint32_t> size
    w.stats.buffers += 1
    c.flags |= CSP_CONN_READABLE
    return True

cdef void tls_looked_for(worker_t *w, uint16_t port) noexcept nogil:
    """A port's certificate is there, or will not be for now: who waited for it is served in the next turn."""
    cdef uint32_t i
    cdef csp_conn *c
    for i in range(w.listener_count):
        if w.listeners[i].port == port:
            w.listeners[i].awaits = False
    for i in range(w.row_top):
        c = &w.rows[i]
        if c.id != 0 and c.flags & CSP_CONN_DETECT and c.flags & CSP_CONN_PREFACE == 0 \
                and w.listeners[c.listener].port == port:
            c.flags |= CSP_CONN_READABLE
            conn_again(w, c)

cdef int64_t tls_detect(worker_t *w, csp_conn *c, char *into, uint64_t room) noexcept nogil:
    """conn_recv of one that has said nothing yet."""
    cdef listener_t *by = &w.listeners[c.listener]
    cdef uint32_t security = by.security
    cdef int64_t got
    cdef bint hello
    if by.awaits and socket_peek(c.fd, into, 1) > 0 and into[0] == TLS_HELLO:
        c.flags &= ~CSP_CONN_READABLE   # tls_looked_for sets it again
        return 0
    got = socket_recv(w, c, into, room)
    if got <= 0:
        return got
    c.flags &= ~CSP_CONN_DETECT
    hello = into[0] == TLS_HELLO
    if not hello and security != PORT_SECURED:
        return got
    if not hello or security == PORT_UNSECURED:
        w.stats.tls_mismatched += 1
        tls_note(w, c, b"it speaks TLS, and the port does not" if hello else b"it speaks plain text, and the port TLS")
        return tls_failed(w, c, NULL)
    if not tls_begin(w, c):
        return tls_failed(w, c, NULL)
    if w.tls.steps >= HANDSHAKES_A_TURN:
        return 0 if tls_keep(w, c, into, got) else tls_failed(w, c, b"no memory")
    memcpy(w.tls.inbox, into, got)
    return tls_open(w, c, w.tls.inbox, <uint64_t> got, into, room)

cdef int64_t tls_recv(worker_t *w, csp_conn *c, char *into, uint64_t room) noexcept nogil:
    """conn_recv of a TLS connection: plaintext."""
    cdef tls_conn_t *tls = <tls_conn_t *> c.tls
    cdef char *kept = tls.kept
    cdef uint32_t size = tls.kept_size
    cdef int64_t got
    if tls.ended:
        c.flags &= ~(CSP_CONN_READABLE | CSP_CONN_ENDING)
        return IO_END
    if not tls.shaken and w.tls.steps >= HANDSHAKES_A_TURN:
        c.flags |= CSP_CONN_READABLE
        return 0
    if kept != NULL:
        tls.kept = NULL
        got = tls_open(w, c, kept, size, into, room)
        free(kept)
        w.stats.buffers -= 1
    elif SSL_pending(tls.ssl) > 0:
        got = tls_open(w, c, NULL, 0, into, room)
    else:
        got = socket_recv(w, c, w.tls.inbox, room if room < WIRE_IN_BYTES else WIRE_IN_BYTES)
        if got > 0:
            got = tls_open(w, c, w.tls.inbox, <uint64_t> got, into, room)
    return got

cdef int64_t tls_open(worker_t *w, csp_conn *c, const char *data, uint64_t size, char *into,
                      uint64_t room) noexcept nogil:
    """Decrypts what was received; plaintext, as conn_recv says it. READABLE stays where something is left."""
    cdef tls_conn_t *tls = <tls_conn_t *> c.tls
    cdef wire_t *wire = &w.tls.wire
    cdef bint shaking = not tls.shaken
    cdef bint closed
    cdef uint64_t total = 0
    cdef int state = SSL_get_state(tls.ssl) if shaking else 0
    cdef int got = 1
    tls_use(w, tls)
    wire.at = data
    wire.end = data + size
    while total < room and got > 0 and (total == 0 or wire.at < wire.end or SSL_pending(tls.ssl) > 0):
        got = SSL_read(tls.ssl, into + total, <int> (room - total))
        if got > 0:
            total += got
    closed = SSL_get_shutdown(tls.ssl) & SSL_RECEIVED_SHUTDOWN != 0     # by its peer's last word, or by its alert
    if not shaking and tls_is_barren(tls, <int64_t> size, <int64_t> total):
        return tls_failed(w, c, b"it sends nothing but messages of TLS")
    if shaking:
        w.tls.steps += SSL_get_state(tls.ssl) != state
        if SSL_is_init_finished(tls.ssl):
            if tls_outlived(tls.ssl):
                return tls_failed(w, c, b"the certificate of its session has expired")
            if tls_is_behind(w, c):
                return tls_failed(w, c, b"what its port asks of clients has changed since it began")
            tls_shaken(w, c)
        if got > 0 or (SSL_want_read(tls.ssl) and not closed):
            ERR_clear_error()
    if got <= 0:
        if closed and SSL_is_init_finished(tls.ssl):
            tls.ended = True
        elif closed or not SSL_want_read(tls.ssl) or wire.at < wire.end:
            return tls_failed(w, c, b"its handshake failed")
    return tls_opened(w, c, total)

cdef inline bint tls_is_barren(tls_conn_t *tls, int64_t size, int64_t plain) noexcept nogil:
    tls.barren += size - BARREN_EACH * plain
    if tls.barren < 0:
        tls.barren = 0
    return tls.barren > BARREN_MAX

cdef int64_t tls_opened(worker_t *w, csp_conn *c, uint64_t total) noexcept nogil:
    """After a decryption: sends what OpenSSL answered, keeps what had no room."""
    cdef tls_conn_t *tls = <tls_conn_t *> c.tls
    cdef wire_t *wire = &w.tls.wire
    cdef const char *at = wire.at
    cdef size_t left = wire.end - at
    wire.at = wire.end
    if wire_flush(w, c) < 0:
        return tls_failed(w, c, b"it took no answer")
    if tls.ended and total == 0:
        c.flags &= ~(CSP_CONN_READABLE | CSP_CONN_ENDING)
        return IO_END
    if left > 0 and not tls.ended and not tls_keep(w, c, at, left):
        return tls_failed(w, c, b"no memory")
    if tls.ended or SSL_pending(tls.ssl) > 0:
        c.flags |= CSP_CONN_READABLE
    return <int64_t> total

# ---- what goes out ----

cdef int tls_may_send(worker_t *w, csp_conn *c) noexcept nogil:
    """Whether more may be encrypted: 1, 0 with FULL, or -1: the connection is of no more use."""
    cdef tls_conn_t *tls = <tls_conn_t *> c.tls
    cdef int left = wire_send_left(w, c)
    if left > 0 and not tls.shaken:
        left = 0
    if left == 0:
        c.flags |= CSP_CONN_FULL    # its edge comes, or the end of its handshake
    else:
        tls_use(w, tls)
    return left

cdef inline uint64_t tls_chunk(const tls_conn_t *tls) noexcept nogil:
    return WIRE_CHUNK_SLOW if tls.slow else WIRE_CHUNK

cdef int64_t tls_send(worker_t *w, csp_conn *c, const char *data, uint64_t size) noexcept nogil:
    """conn_send of a TLS connection: bytes that are encrypted and on their way."""
    cdef iovec part
    cdef int64_t sent
    part.iov_base = <void *> data
    part.iov_len = size
    sent = tls_send_parts(w, c, &part, 1, size)
    if c.flags & CSP_CONN_WIRE:
        conn_blocked(w, c)          # they are replies: the client has to take them
    return sent

cdef int64_t tls_send_parts(worker_t *w, csp_conn *c, const iovec *parts, uint32_t count, uint64_t size) noexcept nogil:
    """The same of several pieces, pushed ones too: small ones share a record, of a large one nothing is copied."""
    cdef tls_conn_t *tls = <tls_conn_t *> c.tls
    cdef const char *data
    cdef uint64_t chunk = tls_chunk(tls)
    cdef uint64_t done = 0
    cdef uint64_t gathered = 0      # since the last send
    cdef uint64_t take, at = 0
    cdef uint32_t i = 0
    cdef int may = tls_may_send(w, c)
    if may <= 0:
        return IO_BROKEN if may < 0 else 0
    while done < size:
        while at == parts[i].iov_len:
            i += 1
            at = 0
        take = parts[i].iov_len - at
        if take >= WIRE_RECORD or count == 1:
            if take > chunk - gathered:
                take = chunk - gathered
            data = <const char *> parts[i].iov_base + at
            at += take
        else:
            take = parts_gather(w.tls.plain, parts, count, &i, &at)
            data = w.tls.plain
        if SSL_write(tls.ssl, data, <int> take) != <int> take:
            return tls_failed(w, c, b"it can't be written to")
        done += take
        gathered += take
        if gathered >= chunk or done == size:
            if wire_flush(w, c) < 0:
                return IO_BROKEN
            if c.flags & CSP_CONN_WIRE:
                break
            tls.slow = False
            chunk = WIRE_CHUNK
            gathered = 0
    return <int64_t> done

cdef uint64_t parts_gather(char *into, const iovec *parts, uint32_t count, uint32_t *i, uint64_t *at) noexcept nogil:
    """Copies a record's worth of pieces, from a place on, which moves behind it."""
    cdef uint64_t filled = 0
    cdef uint64_t some
    while filled < WIRE_RECORD and i[0] < count:
        some = parts[i[0]].iov_len - at[0]
        if some > WIRE_RECORD - filled:
            some = WIRE_RECORD - filled
        memcpy(into + filled, <const char *> parts[i[0]].iov_base + at[0], some)
        filled += some
        at[0] += some
        if at[0] == parts[i[0]].iov_len:
            i[0] += 1
            at[0] = 0
    return filled

# ---- certificates of clients ----

cdef void tls_turn(worker_t *w) noexcept nogil:
    """Who was asked for a certificate is looked at by the slow lane, with the store pinned."""
    cdef uint32_t i
    cdef uint32_t count = w.tls.certified.count
    cdef csp_conn *c
    for i in range(count):
        c = conn_of(w, w.tls.certified.items[i])
        if c != NULL:
            c.flags |= CSP_CONN_KNOWN
            slow_certified(w, w.tls.certified.items[i])
    w.tls.certified.count = 0
