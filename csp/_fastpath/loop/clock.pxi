# Included by csp/_fastpath.pyx after: conn, slow, hot, deliver, pages, dispatch.
# What time brings to a worker: waits that end, connections that are given up.

cdef enum:
    TICK_MS = 100
    TICK_ROWS = 2048                # looked at for timeouts a tick
    TICK_A_LOOK = 32                # between two looks at the turn's budget: many may end at once

cdef bint wait_add(worker_t *w, csp_conn *c, uint64_t revision) noexcept nogil:
    """Lets a read wait for a revision, with a limit; False without memory."""
    cdef wait_t *grown
    cdef uint32_t room
    if w.waiting_count == w.waiting_room:
        room = w.waiting_room * 2 if w.waiting_room > 0 else 64
        grown = <wait_t *> realloc(w.waiting, <size_t> room * sizeof(wait_t))
        if grown == NULL:
            return False
        w.waiting = grown
        w.waiting_room = room
    w.waiting[w.waiting_count].handle = conn_handle(w, c)
    w.waiting[w.waiting_count].revision = revision
    w.waiting[w.waiting_count].until_ms = w.now_ms + w.limits.read_wait_ms
    w.waiting_count += 1
    c.waits |= CSP_WAIT_REVISION
    w.stats.waits += 1
    return True

cdef void wake_waiting(worker_t *w) noexcept nogil:
    """Lets reads run again whose revision is here, or whose time is over."""
    cdef uint32_t i, kept = 0
    cdef csp_conn *c
    for i in range(w.waiting_count):
        c = conn_of(w, w.waiting[i].handle)
        if c == NULL or c.waits & CSP_WAIT_REVISION == 0:
            continue
        if w.waiting[i].revision <= w.view.revision or w.now_ms >= w.waiting[i].until_ms:
            c.flags |= CSP_CONN_NUDGED
            c.in_need = 0
            conn_resume(w, c, CSP_WAIT_REVISION)
        else:
            w.waiting[kept] = w.waiting[i]
            kept += 1
    w.waiting_count = kept

cdef void tick(worker_t *w) noexcept nogil:
    """Ends connections that did not sign in or did not take their replies in time, some rows at a time."""
    cdef uint32_t i
    w.tick_ms = w.now_ms + TICK_MS
    if w.kept.count > 0:
        kept_tick(w)
    if w.leaving:
        leave_turn(w)
    for i in range(w.row_top if w.row_top < TICK_ROWS else TICK_ROWS):
        if w.tick_row >= w.row_top:
            w.tick_row = 0
            w.showing = w.unshown
            w.unshown = False
        if w.rows[w.tick_row].id != 0:
            tick_row(w, &w.rows[w.tick_row])
        w.tick_row += 1
        if i % TICK_A_LOOK == TICK_A_LOOK - 1 and turn_over(w):
            w.tick_ms = w.now_ms        # the next turn goes on with the rest
            break
    tls_ticked(w)

cdef inline int64_t unsigned_since(worker_t *w, csp_conn *c) noexcept nogil:
    """Since when it could have signed in. Who asks where to go need not: he goes when he has asked nothing for that
    long, and stays while he is to be told when that changes."""
    if c.listening:
        return w.now_ms
    return c.active_ms if c.flags & CSP_CONN_DISCOVERY else client_of(w, c).created_ms

cdef void tick_row(worker_t *w, csp_conn *c) noexcept nogil:
    if c.flags & CSP_CONN_PREFACE and w.now_ms - client_of(w, c).created_ms > PROXY_MS_MAX:
        preface_end(w, c, AWAY_LATE)
    elif c.flags & CSP_CONN_SIGNED_IN == 0 and w.now_ms - unsigned_since(w, c) > w.limits.sign_in_ms:
        w.stats.timeouts_sign_in += 1
        conn_free(w, c, CSP_END_SIGN_IN)
    elif c.blocked_ms != 0 and w.now_ms - c.blocked_ms > w.limits.output_ms:
        w.stats.timeouts_output += 1
        conn_free(w, c, CSP_END_OUTPUT)
    else:
        if w.showing:
            client_changed(w, c)
        if c.flags & CSP_CONN_TLS:
            tls_tick(w, c)
        if w.deliver.starts > 0 and c.subs != NULL:
            notice_bookmark(w, c)

cdef inline bint tick_wanted(worker_t *w) noexcept nogil:
    return w.unsigned_count > 0 or w.blocked_count > 0 or w.waiting_count > 0 or w.leaving or w.loading \
        or w.watch.count > 0 or w.deliver.starts > 0 or w.unshown or w.showing \
        or w.kept.count > 0 or w.tls.buffered > 0 or w.tls.failures > 0

cdef void flush_feeds(worker_t *w) noexcept nogil:
    """Sends what feeds were given just now; they stay in the list, where they are looked at once more."""
    cdef uint32_t i, done = 0
    cdef uint64_t seen = w.stats.bytes_out
    cdef csp_conn *c
    for i in range(w.dirty.count):
        c = conn_of(w, w.dirty.items[i])
        if c == NULL or c.flags & CSP_CONN_FEED == 0 or c.flags & CSP_CONN_FULL:
            continue
        conn_drain(w, c)
        done += 1
        if sends_over(w, done, &seen):
            break

cdef void flush_dirty(worker_t *w) noexcept nogil:
    """Sends what Python, pages and notices queued; who can take more, or was not reached, comes again next turn."""
    cdef uint32_t count = w.dirty.count
    cdef uint32_t done = 0
    cdef uint64_t seen = w.stats.bytes_out
    cdef csp_conn *c
    while done < count:
        c = conn_of(w, w.dirty.items[done])
        done += 1
        if c == NULL:
            continue
        c.flags &= ~CSP_CONN_DIRTY
        if c.flags & CSP_CONN_FULL == 0 or c.waits & CSP_WAIT_END:
            conn_drain(w, c)
        if sends_over(w, done, &seen):
            break
    memmove(w.dirty.items, w.dirty.items + done, (w.dirty.count - done) * sizeof(uint64_t))
    w.dirty.count -= done
