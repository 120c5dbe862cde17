# Included by csp/_fastpath.pyx after: tracking, tracking_bcast, slow.
# Tells invalidations: to the connection that read the keys, or to the one that it redirects to.
#
# Invariants:
# 1. They are told after the walks of a turn and before its answers, or not in that turn. Never while a reply of the
#    reader is being made (held): the reply may show what they take back, so they come behind it.
# 2. Who takes nothing is told nothing: what waits in the set costs no output. Who drains is looked at again
#    (tracking_due_around).
# 3. A message has the form of the connection that gets it. In RESP2 only one in pub/sub mode can get it, and only
#    by REDIRECT; for any other it is lost, as in Redis.

cdef enum:
    TOLD_AHEAD = 65536              # unsent bytes of a target: beyond, what it is to be told waits in the sets

cdef inline bint target_full(csp_conn *c) noexcept nogil:
    """Whether what others have read is not told through it now."""
    return c.flags & CSP_CONN_FULL != 0 or c.waits & CSP_WAIT_END != 0 or conn_unsent(c) > TOLD_AHEAD

cdef bint tracking_held(worker_t *w, csp_conn *c) noexcept nogil:
    """Whether nothing that this connection has read may be told now."""
    cdef track_t *t = track_of(c)
    cdef csp_conn *target
    if c.waits & (CSP_WAIT_JOB | CSP_WAIT_END):
        return True
    if t.options & TRACK_NOLOOP and c.waits & CSP_WAIT_REPLY \
            and (csp_commands[c.command].flags & CSP_FLAG_WRITE or c.command == CSP_CMD_EXEC):
        return True                 # which changes are its own is not known yet
    if t.redirect == 0:
        return conn_held(c) if c.flags & CSP_CONN_RESP3 else False
    target = conn_of(w, t.target) if t.target else NULL
    return target != NULL and target_full(target)

cdef inline bint can_be_told(csp_conn *c, bint redirected) noexcept nogil:
    return c.flags & CSP_CONN_RESP3 != 0 or (redirected and subs_count(c) > 0)

cdef void out_invalidate(out_t *out, bint resp3) noexcept nogil:
    """What comes before the keys."""
    if resp3:
        out_bytes(out, b">2\r\n$10\r\ninvalidate\r\n", 21)
    else:
        out_bytes(out, b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n", 44)

cdef void out_spelled(out_t *out, uint64_t key) noexcept nogil:
    """A key as it was spelled."""
    cdef const csp_class_t *class_ = &csp_classes[key >> 56]
    cdef uint32_t zeros = <uint32_t> (key >> 32) & ZEROS_MAX
    cdef char digits[20]
    cdef uint32_t size = put_decimal(digits, key & UINT32_MAX)
    out_head(out, c'$', <int64_t> class_.name_size + 1 + zeros + size)
    out_bytes(out, class_.name, class_.name_size)
    out_bytes(out, b":", 1)
    if out_room(out, zeros):
        memset(out.data + out.size, c'0', zeros)
        out.size += zeros
    out_bytes(out, digits, size)
    out_bytes(out, b"\r\n", 2)

cdef void out_keys(worker_t *w, const keyset_t *set, const prefix_t *p, bint resp3) noexcept nogil:
    """All pending keys of a prefix in one message; where there is none, each key in one of its own, as Redis does."""
    cdef uint32_t count = 0
    cdef uint32_t i = set.pending_first
    cdef uint64_t key
    while p != NULL and i:
        key = w.tracking.items[i].key
        count += prefix_matches(p, <uint32_t> (key >> 56), <uint32_t> key)
        i = w.tracking.items[i].next
    if count > 0:
        out_invalidate(&w.scratch, resp3)
        out_array(&w.scratch, count)
    i = set.pending_first
    while i and (p == NULL or count > 0):
        key = w.tracking.items[i].key
        if p == NULL:
            out_invalidate(&w.scratch, resp3)
            out_array(&w.scratch, 1)
            out_spelled(&w.scratch, key)
        elif prefix_matches(p, <uint32_t> (key >> 56), <uint32_t> key):
            out_spelled(&w.scratch, key)
        i = w.tracking.items[i].next

cdef void pending_free(worker_t *w, track_t *t) noexcept nogil:
    """What was to be told has been."""
    if t.set == NULL:
        return
    w.stats.invalidations += t.set.pending
    while t.set.pending_first:
        tracked_free(&w.tracking, t.set.pending_first)

cdef void scratch_queue(worker_t *w, csp_conn *c) noexcept nogil:
    """Sends the connection what the shared scratch holds."""
    if w.scratch.failed or not conn_queue(w, c, w.scratch.data, w.scratch.size):
        w.scratch.failed = False
        conn_close(w, c, CSP_END_MEMORY)  # it would never know what it missed
    conn_dirty(w, c)
    w.scratch.size = 0

cdef void tell_null(worker_t *w, csp_conn *c, bint redirected) noexcept nogil:
    """All keys are taken back."""
    cdef bint resp3 = c.flags & CSP_CONN_RESP3 != 0
    if not can_be_told(c, redirected):
        return
    out_invalidate(&w.scratch, resp3)
    out_null(&w.scratch, resp3)
    scratch_queue(w, c)

cdef void tell_broken(worker_t *w, csp_conn *c) noexcept nogil:
    """Its invalidations reach nobody."""
    if c.flags & CSP_CONN_RESP3 == 0:
        return
    out_bytes(&w.scratch, b">2\r\n$21\r\ntracking-redir-broken\r\n", 32)
    out_number(&w.scratch, <int64_t> track_of(c).redirect)
    scratch_queue(w, c)

cdef void tell_keys(worker_t *w, csp_conn *c, csp_conn *to) noexcept nogil:
    """The keys that are pending, to a connection of this worker."""
    cdef track_t *t = track_of(c)
    cdef bint resp3 = to.flags & CSP_CONN_RESP3 != 0
    cdef uint32_t i
    if t.set == NULL or t.set.pending == 0 or not can_be_told(to, t.redirect != 0):
        return
    if t.options & TRACK_BCAST:
        for i in range(t.prefix_count):
            out_keys(w, t.set, t.prefixes[i], resp3)
    else:
        out_keys(w, t.set, NULL, resp3)
    scratch_queue(w, to)

cdef void tell_of(worker_t *w, csp_conn *c) noexcept nogil:
    """What a connection has read and is to be told of, where it goes."""
    cdef track_t *t = track_of(c)
    cdef csp_conn *to = c if t.redirect == 0 else conn_of(w, t.target) if t.target else NULL
    if t.options & TRACK_NULL == 0 and (t.set == NULL or t.set.pending == 0):
        return
    if tracking_held(w, c):
        return
    if to != NULL:
        if t.options & TRACK_NULL:
            tell_null(w, to, t.redirect != 0)
        else:
            tell_keys(w, c, to)
    elif t.options & TRACK_BROKEN == 0:
        slow_redirect(w, c)
    else:
        t.options |= TRACK_BROKEN_UNTOLD
    pending_free(w, t)
    t.options &= ~TRACK_NULL
    c.flags &= ~CSP_CONN_UNTOLD

cdef void tracking_tell(worker_t *w) noexcept nogil:
    """Tells those who are due, as far as nothing holds them; some entries of dropped sets go."""
    cdef handles_t *due = &w.tracking_due
    cdef uint32_t count = due.count
    cdef uint32_t done = 0
    cdef csp_conn *c
    w.scratch.size = 0
    while done < count:
        c = conn_of(w, due.items[done])
        done += 1
        if c == NULL or c.track == NULL:
            continue
        track_of(c).options &= ~TRACK_DUE
        if track_of(c).options & TRACK_TARGET_NULL and not target_full(c):
            track_of(c).options &= ~TRACK_TARGET_NULL
            tell_null(w, c, True)
        if track_of(c).options & TRACK_ON:
            tell_of(w, c)
        if track_of(c).options & TRACK_BROKEN_UNTOLD and not conn_held(c):
            track_of(c).options &= ~TRACK_BROKEN_UNTOLD
            tell_broken(w, c)
        if done % SENDS_A_LOOK == 0 and turn_over(w):
            break
    handles_cut(due, done)
    if w.tracking.dead != NULL:
        dead_free(&w.tracking, TRACKED_DEAD_STEP)
    tracked_trim(&w.tracking)
    tracking_count(w)

cdef inline bint tracking_left(worker_t *w) noexcept nogil:
    """Whether the next turn has something to tell without being woken for it."""
    return w.tracking_due.count > 0 or w.tracking.dead != NULL

cdef void slow_redirect(worker_t *w, csp_conn *c) noexcept with gil:
    """Hands the slow lane what is to be told through a connection of another worker."""
    cdef Loop loop = <Loop> w.loop
    cdef track_t *t = track_of(c)
    keys = None
    try:
        if t.options & TRACK_NULL == 0:
            keys = pending_keys(w, t.set)
        loop.slow.invalidate(t.redirect, keys)
    except Exception:
        slow_failed(w, "an invalidation for another worker")

cdef list pending_keys(worker_t *w, keyset_t *set):
    cdef uint32_t i = set.pending_first
    cdef out_t out
    keys = []
    memset(&out, 0, sizeof(out_t))
    while i:
        out.size = 0
        out_spelled(&out, w.tracking.items[i].key)
        if out.failed:
            raise MemoryError("a key")
        keys.append((<bytes> out.data[:out.size]).split(b"\r\n")[1])
        i = w.tracking.items[i].next
    out_free(&out)
    return keys
