# Included by csp/_fastpath.pyx after: conn, slow, hot, deliver, pages, dispatch.
# What time brings to a worker: waits that end, connections that are given up, notices about the link.

cdef void wake_waiting(worker_t *w) noexcept nogil:
    """Lets reads run again whose revision is here, or whose time is over."""
    cdef uint32_t i, kept = 0
    cdef csp_conn *c
    for i in range(w.waiting.count):
        c = conn_of(w, w.waiting.items[i])
        if c == NULL or c.flags & CSP_CONN_WAITING == 0:
            continue
        if c.wait_revision <= w.view.revision or w.now_ms >= c.wait_until_ms:
            c.flags &= ~CSP_CONN_WAITING
            c.flags |= CSP_CONN_NUDGED
            c.in_need = 0
            conn_again(w, c)
        else:
            w.waiting.items[kept] = w.waiting.items[i]
            kept += 1
    w.waiting.count = kept

cdef void tick(worker_t *w) noexcept nogil:
    """Ends connections that did not sign in or did not take their replies in time, some rows at a time."""
    cdef uint32_t i
    cdef csp_conn *c
    w.tick_ms = w.now_ms + TICK_MS
    for i in range(w.row_top if w.row_top < TICK_ROWS else TICK_ROWS):
        if w.tick_row >= w.row_top:
            w.tick_row = 0
        c = &w.rows[w.tick_row]
        w.tick_row += 1
        if c.id == 0:
            continue
        if c.flags & CSP_CONN_SIGNED_IN == 0 and w.now_ms - c.created_ms > w.limits.sign_in_ms:
            w.stats.timeouts_sign_in += 1
            conn_free(w, c)
        elif c.blocked_ms != 0 and w.now_ms - c.blocked_ms > w.limits.output_ms:
            w.stats.timeouts_output += 1
            conn_free(w, c)
        elif w.draining and c.flags & CONN_BLOCKED == 0 and conn_unsent(c) == 0 and c.in_size == 0 \
                and c.flags & CSP_CONN_READABLE == 0:
            conn_free(w, c)

cdef inline bint tick_wanted(worker_t *w) noexcept nogil:
    return w.unsigned_count > 0 or w.blocked_count > 0 or w.waiting.count > 0 or w.draining or w.loading \
        or (w.watch.count > 0)

cdef void notice_link(worker_t *w) noexcept nogil:
    """Tells cfg.notice when the link to the master is lost or back."""
    cdef uint64_t state = csp_load(&w.control.link_state)
    cdef const char *text = b'{"op":"stale"}' if state == 2 else b'{"op":"fresh"}'
    if state == w.link_state:
        return
    if (state == 2) != (w.link_state == 2):
        notice_send(w, text, <uint32_t> strlen(text), NULL)
    w.link_state = state

cdef void flush_dirty(worker_t *w) noexcept nogil:
    """Sends what deliveries, Python and large pages queued; whoever can take more comes again next turn."""
    cdef uint32_t i
    cdef uint32_t count
    cdef csp_conn *c
    while w.dirty.count > 0:
        count = w.dirty.count
        for i in range(count):
            c = conn_of(w, w.dirty.items[i])
            if c == NULL:
                continue
            c.flags &= ~CSP_CONN_DIRTY
            if c.flags & CSP_CONN_FULL == 0 or c.flags & CSP_CONN_CLOSING:
                conn_drain(w, c)
        memmove(w.dirty.items, w.dirty.items + count, (w.dirty.count - count) * sizeof(uint64_t))
        w.dirty.count -= count
