# Included by csp/_fastpath.pyx after: conn, cursor.
# What a socket cut off a message: an offset into one copy of the message, which all share who were cut in it.
#
# A page that many ask for (kept.pxi) is sent from one copy in the same way.
#
# Invariants:
# 1. A connection has at most one rest; it goes out before anything else of the connection.
# 2. A copy lives as long as somebody holds it. All copies of a worker have at most REST_BYTES_MAX: beyond, the
#    holder that stands furthest back in the log is closed.
# 3. A large message is copied once, whichever turn it is cut in; of small ones there is one copy a walk.

cdef enum:
    REST_BYTES_MAX = 134217728      # eight of the largest objects
    REST_SHARED = 65536             # so large a message is looked for among the copies of earlier turns

cdef rest_t *rest_find(worker_t *w, const message_t *m, uint32_t resp3, uint64_t size) noexcept nogil:
    """The copy that an earlier turn made of it, if it is large."""
    cdef rest_t *rest = w.deliver.rests
    if size < REST_SHARED or m.flips:
        return NULL
    while rest != NULL:
        if rest.revision == m.spot.revision and rest.serial == m.spot.serial and rest.item == m.spot.item \
                and rest.form == m.form and rest.resp3 == resp3 and rest.size == size:
            return rest
        rest = rest.next
    return NULL

cdef rest_t *rest_make(worker_t *w, const message_t *m, uint32_t resp3, iovec *parts, uint32_t count,
                       uint64_t size) noexcept nogil:
    """A copy of the message's parts; NULL without memory."""
    cdef rest_t *rest = <rest_t *> malloc(sizeof(rest_t) + size)
    cdef uint64_t at = 0
    cdef uint32_t i
    if rest == NULL:
        return NULL
    memset(rest, 0, sizeof(rest_t))
    rest.data = <char *> rest + sizeof(rest_t)
    for i in range(count):
        memcpy(rest.data + at, parts[i].iov_base, parts[i].iov_len)
        at += parts[i].iov_len
    rest.revision = m.spot.revision
    rest.serial = m.spot.serial
    rest.item = m.spot.item
    rest.form = m.form
    rest.resp3 = resp3
    rest.size = size
    if size >= REST_SHARED and not m.flips:
        rest.next = w.deliver.rests
        if rest.next != NULL:
            rest.next.before = rest
        w.deliver.rests = rest
    w.deliver.rest_bytes += size
    return rest

cdef void rest_drop(worker_t *w, csp_conn *c) noexcept nogil:
    """The connection holds its rest no longer."""
    cdef rest_t *rest = <rest_t *> c.rest
    if rest == NULL:
        return
    c.rest = NULL
    c.rest_at = 0
    w.stats.buffers -= 1
    if rest.page != NULL:
        page_release(w, rest)
        if c.out == NULL:
            conn_taken(w, c)
        return
    rest.holders -= 1
    if rest.holders > 0:
        return
    if rest.before != NULL:
        rest.before.next = rest.next
    elif w.deliver.rests == rest:
        w.deliver.rests = rest.next
    if rest.next != NULL:
        rest.next.before = rest.before
    w.deliver.rest_bytes -= rest.size
    buffer_free(w, <char *> rest, sizeof(rest_t) + rest.size)

cdef void page_release(worker_t *w, rest_t *page) noexcept nogil:
    """One holder less of a page."""
    page.holders -= 1
    if page.holders == 0:
        w.kept.bytes -= page.room
        buffer_free(w, page.page, page.room)
        free(page)

cdef void page_hold(worker_t *w, csp_conn *c, rest_t *page, uint64_t at) noexcept nogil:
    """What is left of a page is sent in the turns to come, as replies are: the client has to take it."""
    if at == page.size:
        return
    rest_hold(w, c, page, at)
    conn_blocked(w, c)
    if c.flags & CSP_CONN_FULL == 0:
        conn_again(w, c)

cdef void rest_hold(worker_t *w, csp_conn *c, rest_t *rest, uint64_t at) noexcept nogil:
    c.rest = <csp_rest *> rest
    c.rest_at = at
    rest.holders += 1
    w.stats.buffers += 1

cdef int rest_send(worker_t *w, csp_conn *c) noexcept nogil:
    """Sends of its rest what the socket takes: 1 when all is out, 0, or -1 when the connection is gone."""
    cdef rest_t *rest = <rest_t *> c.rest
    cdef iovec part
    cdef uint64_t want
    cdef int64_t sent
    if rest == NULL:
        return 1
    want = rest.size - c.rest_at
    if rest.page != NULL and want > SEND_SLICE and not conn_lone(w, c):
        want = SEND_SLICE
    if want > SEND_LONE:
        want = SEND_LONE
    part.iov_base = rest.data + c.rest_at
    part.iov_len = want
    sent = conn_send_parts(w, c, &part, 1, want)
    if sent < 0:
        conn_free(w, c, CSP_END_BROKEN)
        return -1
    c.rest_at += sent
    if sent > 0 and c.blocked_ms != 0:
        c.blocked_ms = w.now_ms     # replies stand behind it: their client takes what it can
    if c.rest_at == rest.size:
        rest_drop(w, c)
        return 1
    if c.flags & CSP_CONN_FULL == 0:
        conn_again(w, c)
    return 0

cdef void rests_trim(worker_t *w) noexcept nogil:
    """Too many copies: those go who stand furthest back."""
    cdef csp_conn *c
    cdef csp_conn *last
    cdef uint32_t i
    while w.deliver.rest_bytes > REST_BYTES_MAX:
        last = NULL
        for i in range(w.row_top):
            c = &w.rows[i]
            if c.id == 0 or c.rest == NULL or (<rest_t *> c.rest).page != NULL:
                continue
            if last == NULL or c.subs == NULL or (last.subs != NULL and spot_before(
                    &(<subs_t *> c.subs).cursor.spot, &(<subs_t *> last.subs).cursor.spot)):
                last = c
        if last == NULL:
            return
        w.stats.rests_closed += 1
        conn_free(w, last, CSP_END_FURTHEST)
