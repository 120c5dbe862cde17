# Included by csp/_fastpath.pyx after: subs, cursor.
# Where CFG.FROM places a cursor: it rests there until there are subscriptions, and awaits its revision.
#
# Invariants:
# 1. A cursor that rests holds nothing up and is told nothing. It moves when `needs` subscriptions exist, and ends with
#    the last of them; one that rests without any ends with RESET, or its connection.
# 2. Whether this history has the place (`unsure`) is looked at when the cursor moves, at the latest when S reaches it:
#    a mark that is not ours, or a difference between two histories behind it, makes the cursor a lost one.
# 3. One whose revision S has not reached awaits it: nothing is told, reads wait. After from_wait_ms it is lost.
# 4. One that the log has passed, or passes before it moves, gets what it missed from the master (replay.pxi).
# 5. One whose session may read something else since its place is lost, unless it was shown what there is.
# 6. A lost one is told `resync` in its place among the messages, and goes on from S (cursor_renew).

cdef int start_place(worker_t *w, csp_conn *c, uint64_t revision, const start_t *start) noexcept nogil:
    """The subscriptions to come get what follows the revision; -1 without memory."""
    cdef subs_t *subs = subs_make(w, c)
    if subs == NULL:
        return -1
    w.deliver.starts += not subs.start.used
    subs.start = start[0]
    subs.start.used = True
    subs.start.unsure = subs.start.unsure or subs.start.lost or revision > w.view.revision
    if not subs.cursor.placed:
        subs.cursor.placed = True
        w.deliver.placed += 1
    subs.cursor.state = CURSOR_RESTS
    spot_begin(&subs.cursor.spot, revision + 1)
    return 0

cdef inline bint start_is_stale(worker_t *w, csp_conn *c) noexcept nogil:
    """Whether what its session may read has changed since its place, which S has reached."""
    cdef subs_t *subs = <subs_t *> c.subs
    return not subs.start.shown and subs.cursor.spot.revision <= w.view.revision \
        and conn_reach_since(w, c, subs.cursor.spot.revision - 1)

cdef void start_subscribed(worker_t *w, csp_conn *c) noexcept nogil:
    """It has one more subscription: its cursor moves if it has enough, and a notice that waited for one follows."""
    cdef subs_t *subs = <subs_t *> c.subs
    if subs.cursor.notice != NOTICE_NONE:
        conn_dirty(w, c)
    if subs.cursor.state != CURSOR_RESTS or subs.count < subs.start.needs:
        return
    if subs.start.states:
        replay_states(w, c)
        return
    subs.start.until_ms = w.now_ms + w.limits.from_wait_ms
    subs.start.bookmark_at_ms = w.now_ms + subs.start.bookmark_ms
    if subs.start.lost or start_is_stale(w, c):
        start_end(w, c, CURSOR_LOST)
        return
    if start_fetches(w, c):
        return
    if not subs.start.unsure:
        start_end(w, c, CURSOR_GOES)
        return
    subs.cursor.state = CURSOR_AWAITS
    if start_settled(w, c) or c.flags & CSP_CONN_AWAITS:
        return
    if handles_add(&w.deliver.awaiting, conn_handle(w, c)) == 0:
        c.flags |= CSP_CONN_AWAITS
    else:
        start_end(w, c, CURSOR_LOST)

cdef void start_end(worker_t *w, csp_conn *c, uint32_t state) noexcept nogil:
    """It rests and awaits no more."""
    (<subs_t *> c.subs).start.unsure = False
    (<subs_t *> c.subs).cursor.state = state
    cursor_due(w, c)

cdef bint start_is_ours(worker_t *w, const subs_t *subs) noexcept nogil:
    """Whether this history has the place, which S has reached."""
    cdef uint64_t revision = subs.cursor.spot.revision - 1
    cdef const csp_entry_t *entry
    cdef csp_state_t state
    if revision < w.view.revision:
        entry = log_entry(w.store, revision + 1)
        if entry != NULL and entry.flags & CSP_DIFFERENCE:
            return False
    if not subs.start.marked:
        return True
    if revision == w.view.revision:
        store_state(w.store, &state)
        return state.mark == subs.start.mark
    entry = log_entry(w.store, revision)
    return entry != NULL and entry.mark == subs.start.mark

cdef void start_lose(worker_t *w, csp_conn *c) noexcept nogil:
    """Where it stands is worth nothing any more; it is told so when it goes on."""
    cdef subs_t *subs = <subs_t *> c.subs
    if subs.cursor.state == CURSOR_RESTS:
        subs.start.lost = True
        subs.start.unsure = True
        return
    if not subs.cursor.placed:
        cursor_place(w, c, &w.deliver.live)
    start_end(w, c, CURSOR_LOST)

cdef bint start_settled(worker_t *w, csp_conn *c) noexcept nogil:
    """Looks at one that awaits its revision; whether it does so no more."""
    cdef subs_t *subs = <subs_t *> c.subs
    if subs.cursor.spot.revision - 1 > w.view.revision:
        if w.now_ms < subs.start.until_ms:
            return False
        start_end(w, c, CURSOR_LOST)
        return True
    if start_is_stale(w, c):
        start_end(w, c, CURSOR_LOST)
        return True
    if start_fetches(w, c):
        return True
    start_end(w, c, CURSOR_GOES if start_is_ours(w, subs) else CURSOR_LOST)
    return True

cdef void starts_look(worker_t *w) noexcept nogil:
    """Lets those go on whose revision is here, or whose time is over."""
    cdef uint32_t i, kept = 0
    cdef csp_conn *c
    for i in range(w.deliver.awaiting.count):
        c = conn_of(w, w.deliver.awaiting.items[i])
        if c == NULL:
            continue
        if c.subs == NULL or (<subs_t *> c.subs).cursor.state != CURSOR_AWAITS or start_settled(w, c):
            c.flags &= ~CSP_CONN_AWAITS
            continue
        w.deliver.awaiting.items[kept] = w.deliver.awaiting.items[i]
        kept += 1
    w.deliver.awaiting.count = kept
