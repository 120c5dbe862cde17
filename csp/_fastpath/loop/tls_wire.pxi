# Included by csp/_fastpath.pyx after: transport, tls_context.
# Where OpenSSL takes ciphertext from, and where it puts it: memory of the worker, never a socket.
#
# Invariants:
# 1. What was received lies between `at` and `end` while OpenSSL reads, and only then; what it writes is gathered and
#    sent by one call, or kept for the connection. So OpenSSL never waits for room, and nothing is to be repeated.
# 2. What the socket did not take (`left`) goes out before anything else of the connection: while there is some nothing
#    more is encrypted, but for OpenSSL's own answers. CSP_CONN_WIRE says that there is some.
# 3. A client that makes OpenSSL answer and takes none of it is ended at WIRE_LEFT_MAX.

cdef enum:
    WIRE_IN_BYTES = 262144          # received at once at most
    WIRE_RECORD = 16384             # plaintext of the largest record
    WIRE_CHUNK = 65536              # plaintext encrypted for one send,
    WIRE_CHUNK_SLOW = 16384         # and of one whose socket was full: so much of it may be left
    WIRE_OUT_BYTES = 131072         # a chunk with its heads, or a long chain of certificates
    WIRE_LEFT_MAX = 262144          # of a connection

cdef BIO_METHOD *WIRE_METHOD = NULL

cdef int wire_read(BIO *bio, char *into, int size) noexcept nogil:
    cdef wire_t *wire = &(<worker_t *> BIO_get_data(bio)).tls.wire
    cdef size_t there = wire.end - wire.at
    BIO_clear_retry_flags(bio)
    if there == 0 or size <= 0:
        BIO_set_retry_read(bio)
        return -1
    if there > <size_t> size:
        there = size
    memcpy(into, wire.at, there)
    wire.at += there
    return <int> there

cdef int wire_write(BIO *bio, const char *data, int size) noexcept nogil:
    cdef wire_t *wire = &(<worker_t *> BIO_get_data(bio)).tls.wire
    cdef char *grown
    BIO_clear_retry_flags(bio)
    if size <= 0:
        return 0
    if wire.size + <size_t> size > wire.room:
        grown = <char *> realloc(wire.out, wire.room * 2 + size)
        if grown == NULL:
            return -1
        wire.out = grown
        wire.room = wire.room * 2 + size
    memcpy(wire.out + wire.size, data, size)
    wire.size += size
    return size

cdef long wire_control(BIO *bio, int command, long number, void *more) noexcept nogil:
    return 1 if command == BIO_CTRL_FLUSH else 0

cdef wire_prepare():
    """Once a process, before the first context: OpenSSL starts then."""
    global WIRE_METHOD
    if WIRE_METHOD != NULL:
        return
    WIRE_METHOD = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, b"csp wire")
    if WIRE_METHOD == NULL:
        raise MemoryError("OpenSSL's way to the wire")
    BIO_meth_set_read(WIRE_METHOD, wire_read)
    BIO_meth_set_write(WIRE_METHOD, wire_write)
    BIO_meth_set_ctrl(WIRE_METHOD, wire_control)

cdef bint wire_open(worker_t *w) noexcept nogil:
    """The worker's buffers, before its first TLS connection; False without memory."""
    if w.tls.inbox == NULL:
        w.tls.inbox = <char *> malloc(WIRE_IN_BYTES)
    if w.tls.plain == NULL:
        w.tls.plain = <char *> malloc(WIRE_RECORD)
    if w.tls.wire.out == NULL:
        w.tls.wire.out = <char *> malloc(WIRE_OUT_BYTES)
        w.tls.wire.room = WIRE_OUT_BYTES if w.tls.wire.out != NULL else 0
    return w.tls.inbox != NULL and w.tls.plain != NULL and w.tls.wire.out != NULL

cdef void wire_close(worker_t *w) noexcept nogil:
    free(w.tls.inbox)
    free(w.tls.plain)
    free(w.tls.wire.out)
    free(w.tls.certified.items)
    tickets_forget(w)

cdef BIO *wire_bio(worker_t *w) noexcept nogil:
    cdef BIO *bio = BIO_new(WIRE_METHOD)
    if bio != NULL:
        BIO_set_data(bio, w)
        BIO_set_init(bio, 1)
    return bio

# ---- what is on its way out ----

cdef int wire_keep(worker_t *w, csp_conn *c, const char *data, size_t size) noexcept nogil:
    """Keeps what the socket did not take, behind what it did not take before; -1: too much, or no memory."""
    cdef tls_conn_t *tls = <tls_conn_t *> c.tls
    cdef size_t before = tls.left_size - tls.left_at
    cdef char *grown
    if size == 0:
        return 0
    if before + size > WIRE_LEFT_MAX:
        return -1
    grown = <char *> malloc(before + size)
    if grown == NULL:
        return -1
    if before > 0:
        memcpy(grown, tls.left + tls.left_at, before)
        free(tls.left)
    else:
        w.stats.buffers += 1
    memcpy(grown + before, data, size)
    tls.left = grown
    tls.left_at = 0
    tls.left_size = <uint32_t> (before + size)
    tls.slow = True
    c.flags |= CSP_CONN_WIRE
    return 0

cdef int wire_flush(worker_t *w, csp_conn *c) noexcept nogil:
    """Sends what OpenSSL wrote, and keeps what the socket does not take; -1: the connection is of no more use."""
    cdef wire_t *wire = &w.tls.wire
    cdef int64_t sent = 0
    cdef int kept
    if wire.size == 0:
        return 0
    if c.flags & CSP_CONN_WIRE == 0:
        sent = socket_send(w, c, wire.out, wire.size)
    kept = -1 if sent < 0 else wire_keep(w, c, wire.out + sent, wire.size - <size_t> sent)
    wire.size = 0
    return kept

cdef void wire_drop(worker_t *w, csp_conn *c) noexcept nogil:
    cdef tls_conn_t *tls = <tls_conn_t *> c.tls
    if c.flags & CSP_CONN_WIRE:
        free(tls.left)
        w.stats.buffers -= 1
        tls.left = NULL
        tls.left_at = 0
        tls.left_size = 0
        c.flags &= ~CSP_CONN_WIRE

cdef int wire_send_left(worker_t *w, csp_conn *c) noexcept nogil:
    """Sends what the socket did not take before: 1 when nothing is left, 0, or -1: of no more use."""
    cdef tls_conn_t *tls = <tls_conn_t *> c.tls
    cdef int64_t sent
    if c.flags & CSP_CONN_WIRE == 0:
        return 1
    sent = socket_send(w, c, tls.left + tls.left_at, tls.left_size - tls.left_at)
    if sent < 0:
        return -1
    tls.left_at += <uint32_t> sent
    if sent > 0 and c.blocked_ms != 0:
        c.blocked_ms = w.now_ms
    if tls.left_at < tls.left_size:
        return 0
    wire_drop(w, c)
    return 1
