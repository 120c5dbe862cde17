# Included by csp/_fastpath.pyx after: slice.
# cfg.notice: what the server says of itself, between two messages of a connection.
#
# Invariants:
# 1. A connection gets a notice once, whatever subscriptions of its fit; as a message of cfg.notice, or of the
#    pattern by which it listens.
# 2. `resync` reaches every connection whose place has left the log, `stale` and `fresh` those who listen or have used
#    CFG.FROM.
# 3. Of `stale` and `fresh` only the latest waits for a connection that takes nothing, or that in RESP2 has no
#    subscription: what it reads there are replies.
# 4. A bookmark's revision is one whose changes, and all before them, were sent before it.
# 5. `stale` and `fresh` say how old what is here is when they are sent, not when the link turned.
# 6. Who is told to read anew is told when: one after the other, so that they don't all come at once.

cdef enum:
    LINK_DOWN = 2                   # csp/store/control.py names the states
    LINK_STALE = 3
    RETRY_STEP_MS = 10              # between two of a worker that read anew
    RETRY_MS_MAX = 30000            # then the next one may come at once again

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
        conn_close(w, c, CSP_END_MEMORY)  # it would never know what it missed
        return
    w.stats.messages += 1
    conn_dirty(w, c)

cdef int64_t retry_ms(worker_t *w) noexcept nogil:
    """In how many ms the next one may read anew."""
    cdef deliver_t *d = &w.deliver
    if d.retry_at_ms < w.now_ms or d.retry_at_ms > w.now_ms + RETRY_MS_MAX:
        d.retry_at_ms = w.now_ms
    d.retry_at_ms += RETRY_STEP_MS
    return d.retry_at_ms - RETRY_STEP_MS - w.now_ms

cdef void notice_resync(worker_t *w, csp_conn *c, uint64_t oldest) noexcept nogil:
    """Tells one connection that it missed something, from where it is told again, and when to read anew."""
    cdef char payload[80]
    cdef uint32_t size = put_text(payload, b'{"op":"resync","oldest":', 24)
    if c.flags & CSP_CONN_TRACKING:
        tracking_forget(w, c)
        if subs_count(c) == 0 and not (<subs_t *> c.subs).start.used:
            return
    size += put_decimal(payload + size, oldest)
    size += put_text(payload + size, b',"retry_ms":', 12)
    size += put_decimal(payload + size, <uint64_t> retry_ms(w))
    payload[size] = c'}'
    w.stats.resyncs += 1
    notice_queue(w, c, notice_node(w, c), payload, size + 1)

cdef inline bint notice_may(csp_conn *c) noexcept nogil:
    """Whether a notice can be sent now; in RESP2 only while subscriptions exist."""
    return not conn_owes(c) and c.flags & CSP_CONN_FULL == 0 \
        and (c.flags & CSP_CONN_RESP3 or subs_count(c) > 0)

cdef int64_t link_age_ms(worker_t *w) noexcept nogil:
    """How long ago the root was heard of; 0 on a server that has the database itself."""
    cdef timespec now
    cdef int64_t age
    if csp_load(&w.control.link_state) == 0:
        return 0
    clock_gettime(CLOCK_REALTIME_COARSE, &now)
    age = <int64_t> now.tv_sec * 1000 + now.tv_nsec // 1000000 - w.control.link_heard_ms
    return age if age > 0 else 0

cdef uint32_t put_standing(worker_t *w, char *at) noexcept nogil:
    """How this server stands to the root, as CFG.STATUS says it, and the end of the object."""
    cdef uint64_t root = csp_load(&w.control.link_revision)
    cdef bint has_root = csp_load(&w.control.link_state) == 0
    cdef uint32_t size = put_text(at, b',"age":', 7)
    if has_root or w.control.link_heard_ms != 0:
        size += put_decimal(at + size, <uint64_t> link_age_ms(w))
    else:
        size += put_text(at + size, b"-1", 2)
    size += put_text(at + size, b',"lag":', 7)
    size += put_decimal(at + size, 0 if has_root or root < w.view.revision else root - w.view.revision)
    return size + put_text(at + size, b"}", 1)

cdef void notice_link_put(worker_t *w, csp_conn *c, uint32_t kind) noexcept nogil:
    cdef node_t *node = notice_node(w, c)
    cdef char payload[80]
    cdef uint32_t size
    (<subs_t *> c.subs).cursor.notice = NOTICE_NONE
    if node != NULL or (<subs_t *> c.subs).start.used:
        size = put_text(payload, b'{"op":"stale"' if kind == NOTICE_STALE else b'{"op":"fresh"', 13)
        size += put_standing(w, payload + size)
        notice_queue(w, c, node, payload, size)

cdef inline void notice_waiting(worker_t *w, csp_conn *c) noexcept nogil:
    """A notice that waited follows, if it may."""
    if c.subs != NULL and (<subs_t *> c.subs).cursor.notice != NOTICE_NONE and notice_may(c):
        notice_link_put(w, c, (<subs_t *> c.subs).cursor.notice)

cdef inline bint is_away(uint64_t state) noexcept nogil:
    return state == LINK_DOWN or state == LINK_STALE

cdef void notice_link(worker_t *w) noexcept nogil:
    """Tells who listens, or has used CFG.FROM, when the way to the master is lost or back."""
    cdef uint64_t state = csp_load(&w.control.link_state)
    cdef uint32_t kind = NOTICE_STALE if is_away(state) else NOTICE_FRESH
    cdef bint turned = is_away(state) != is_away(w.link_state)
    cdef node_t *node = watch_notice(w)
    cdef csp_conn *c
    cdef uint32_t i
    w.link_state = state
    if not turned or (node == NULL and w.deliver.starts == 0):
        return
    while node != NULL:
        for i in range(node.count):
            (<subs_t *> w.rows[node.subs[i].row].subs).cursor.notice = kind
        node = node.notice_next
    for i in range(w.row_top):
        c = &w.rows[i]
        if c.id == 0 or c.subs == NULL:
            continue
        if (<subs_t *> c.subs).start.used:
            (<subs_t *> c.subs).cursor.notice = kind
        notice_waiting(w, c)

# ---- bookmarks ----

cdef uint32_t put_hex(char *at, uint64_t value) noexcept nogil:
    """Sixteen digits."""
    cdef const char *digits = b"0123456789abcdef"
    cdef uint32_t i
    for i in range(16):
        at[i] = digits[value >> (60 - 4 * i) & 15]
    return 16

cdef void notice_bookmark(worker_t *w, csp_conn *c) noexcept nogil:
    """Its bookmark, if it is time, it was told all up to S, and nothing of that is unsent; it may be gone then."""
    cdef start_t *start = &(<subs_t *> c.subs).start
    cdef csp_state_t state
    cdef char payload[96 + 12 + TOKEN_TEXT_SIZE]
    cdef char token[TOKEN_TEXT_SIZE]
    cdef uint32_t size
    if start.bookmark_ms == 0 or w.now_ms < start.bookmark_at_ms or w.store == NULL:
        return
    if (<subs_t *> c.subs).cursor.placed or w.deliver.live.revision <= w.view.revision or conn_held(c):
        return
    store_state(w.store, &state)
    if state.mark == 0:
        return                      # not known: a later one will be
    size = put_text(payload, b'{"op":"bookmark","revision":', 28)
    size += put_decimal(payload + size, state.revision)
    size += put_text(payload + size, b',"mark":"', 9)
    size += put_hex(payload + size, state.mark)
    if token_make(w, c, token):
        size += put_text(payload + size, b'","token":"', 11)
        size += put_text(payload + size, token, TOKEN_TEXT_SIZE)
    size += put_text(payload + size, b'"}', 2)
    start.bookmark_at_ms = w.now_ms + start.bookmark_ms
    notice_queue(w, c, notice_node(w, c), payload, size)
    conn_drain(w, c)                # now: unsent it would hold up the next change
