# Included by csp/_fastpath.pyx after: slice.
# cfg.notice: what the server says of itself, between two messages of a connection.
#
# Invariants:
# 1. A connection gets a notice once, whatever subscriptions of its fit; as a message of cfg.notice, or of the
#    pattern by which it listens.
# 2. `resync` reaches every connection whose place has left the log, `stale` and `fresh` those who listen.
# 3. Of `stale` and `fresh` only the latest waits for a connection that takes nothing.

cdef enum:
    LINK_DOWN = 2                   # csp/store/control.py names the states

cdef enum notice_kind:
    NOTICE_NONE = 0
    NOTICE_STALE = 1
    NOTICE_FRESH = 2

cdef node_t *notice_node(worker_t *w, csp_conn *c) noexcept nogil:
    """The subscription by which the connection hears notices: the channel before patterns; NULL for none."""
    cdef node_t *node = watch_notice(w)
    cdef node_t *found = NULL
    while node != NULL:
        if (found == NULL or not node.pattern) and subs_find(<subs_t *> c.subs, node) != NULL:
            found = node
        node = node.notice_next
    return found

cdef void notice_queue(worker_t *w, csp_conn *c, const node_t *node, const char *payload, uint32_t size) noexcept nogil:
    """Queues a notice behind what the connection has unsent."""
    cdef bint resp3 = c.flags & CSP_CONN_RESP3 != 0
    if c.waits & CSP_WAIT_END:
        return
    w.scratch.size = 0
    if node != NULL and node.pattern:
        slice_text(&w.scratch, node, b"cfg.notice", 10, size, resp3)
    else:
        out_head(&w.scratch, c'>' if resp3 else c'*', 3)
        out_bytes(&w.scratch, b"$7\r\nmessage\r\n$10\r\ncfg.notice\r\n", 30)
        out_head(&w.scratch, c'$', size)
    out_bytes(&w.scratch, payload, size)
    out_bytes(&w.scratch, b"\r\n", 2)
    if w.scratch.failed or not conn_queue(w, c, w.scratch.data, w.scratch.size):
        w.scratch.failed = False
        conn_close(w, c)            # it would never know what it missed
        return
    w.stats.messages += 1
    conn_dirty(w, c)

cdef void notice_resync(worker_t *w, csp_conn *c, uint64_t oldest) noexcept nogil:
    """Tells one connection that it missed something, and from where it is told again."""
    cdef char payload[64]
    cdef uint32_t size = put_text(payload, b'{"op":"resync","oldest":', 24)
    size += put_decimal(payload + size, oldest)
    payload[size] = c'}'
    w.stats.resyncs += 1
    notice_queue(w, c, notice_node(w, c), payload, size + 1)

cdef void notice_link_put(worker_t *w, csp_conn *c, uint32_t kind) noexcept nogil:
    cdef const char *text = b'{"op":"stale"}' if kind == NOTICE_STALE else b'{"op":"fresh"}'
    cdef node_t *node = notice_node(w, c)
    (<subs_t *> c.subs).cursor.notice = NOTICE_NONE
    if node != NULL:
        notice_queue(w, c, node, text, 14)

cdef inline void notice_waiting(worker_t *w, csp_conn *c) noexcept nogil:
    """All was sent: a notice that waited for that follows."""
    if c.subs != NULL and (<subs_t *> c.subs).cursor.notice != NOTICE_NONE:
        notice_link_put(w, c, (<subs_t *> c.subs).cursor.notice)

cdef void notice_link(worker_t *w) noexcept nogil:
    """Tells who listens when the link to the master is lost or back."""
    cdef uint64_t state = csp_load(&w.control.link_state)
    cdef uint32_t kind = NOTICE_STALE if state == LINK_DOWN else NOTICE_FRESH
    cdef node_t *node = watch_notice(w)
    cdef cursor_t *cursor
    cdef csp_conn *c
    cdef uint32_t i
    if state == w.link_state:
        return
    if (state == LINK_DOWN) == (w.link_state == LINK_DOWN):
        node = NULL
    w.link_state = state
    while node != NULL:
        for i in range(node.count):
            c = &w.rows[node.subs[i].row]
            (<subs_t *> c.subs).cursor.notice = kind
        node = node.notice_next
    node = watch_notice(w)
    while node != NULL:
        for i in range(node.count):
            c = &w.rows[node.subs[i].row]
            cursor = &(<subs_t *> c.subs).cursor
            if cursor.notice != NOTICE_NONE and c.out == NULL and c.rest == NULL and c.flags & CSP_CONN_FULL == 0:
                notice_link_put(w, c, cursor.notice)
        node = node.notice_next
