# Included by csp/_fastpath.pyx after: conn, subs.
# Where each subscriber stands in the change log, and why it rests there.
#
# One cursor a connection, which all its subscriptions share. Most connections are level: they stand where the worker's
# own walk stands (`live`) and cost nothing. One that can't be told now is *placed*: it has a spot of its own, from
# which it goes on when what held it is over. Being placed is no exception and delays nobody else.
#
# Invariants:
# 1. A spot is (revision, item, serial): all before the item is told, and of the item all matches up to that serial.
#    An entry that was told whole may leave the log: the spot is then the next entry's begin.
# 2. A connection is held (its cursor rests) while a page or EXEC of it is under way, while it has unsent bytes, or
#    while its socket is full. So a change never overtakes the reply that it belongs behind.
# 3. A placed connection that is not held, and neither rests nor awaits its revision (start.pxi), is in `due`: whoever
#    ends a reason to hold calls cursor_due. An entry of `due` counts only while its cursor says so, so a cursor that
#    is listed twice, because it ended and another began, still goes on once.
# 4. A read waits (WAIT_CURSOR) until its connection was told all up to S: no reply shows what a later push announces.
#    For one that rests nothing is to be told yet; one that awaits its revision is told nothing up to there.
# 5. A cursor has a reach, by which changes are judged for it: its session's when all up to its spot was told. Where
#    that has become another since, a flip brings it to it (flips.pxi).

cdef inline bint spot_before(const spot_t *one, const spot_t *other) noexcept nogil:
    if one.revision != other.revision:
        return one.revision < other.revision
    return one.item < other.item

cdef inline void spot_begin(spot_t *spot, uint64_t revision) noexcept nogil:
    """The begin of an entry."""
    spot.revision = revision
    spot.serial = 0
    spot.item = 0
    spot.offset = 0

cdef inline void spot_pass(spot_t *spot, const csp_entry_t *entry, const csp_item_t *item) noexcept nogil:
    """Behind the item."""
    if spot.item + 1 == entry.item_count:
        spot_begin(spot, entry.revision + 1)
        return
    spot.serial = 0
    spot.item += 1
    spot.offset = <uint32_t> (<const char *> item - <const char *> entry) + item.size

cdef inline const csp_item_t *spot_item(const spot_t *spot, const csp_entry_t *entry) noexcept nogil:
    return entry_items(<csp_entry_t *> entry) if spot.offset == 0 else <const csp_item_t *> (
        <const char *> entry + spot.offset)

cdef inline bint conn_held(csp_conn *c) noexcept nogil:
    """Whether nothing may be pushed to it now."""
    return conn_owes(c) or c.flags & CSP_CONN_FULL or c.waits & (CSP_WAIT_JOB | CSP_WAIT_END)

cdef inline void subscriber_prefetch(worker_t *w, uint32_t far, uint32_t near) noexcept nogil:
    """Asks for the rows of connections that a walk comes to next: of one its own, of a nearer one its cursor."""
    csp_prefetch(&w.rows[far])
    csp_prefetch(<char *> &w.rows[far] + 64)
    csp_prefetch(w.rows[near].subs)

cdef inline bint cursor_is_level(worker_t *w, csp_conn *c) noexcept nogil:
    """Whether it was told all up to S."""
    cdef cursor_t *cursor
    if c.subs == NULL:
        return True
    if c.flags & CSP_CONN_UNTOLD:
        return False
    cursor = &(<subs_t *> c.subs).cursor
    if cursor.state != CURSOR_GOES:
        return cursor.state == CURSOR_RESTS
    if cursor.placed:
        return cursor.spot.revision > w.view.revision and cursor.flip == NULL
    return w.deliver.live.revision > w.view.revision

cdef inline bint cursor_is_told(worker_t *w, csp_conn *c) noexcept nogil:
    """Whether there is nothing that it could be told now: it is level, or does not go yet."""
    return c.subs == NULL or (<subs_t *> c.subs).cursor.state > CURSOR_LOST or cursor_is_level(w, c)

cdef void cursor_due(worker_t *w, csp_conn *c) noexcept nogil:
    """What held it may be over: its delivery goes on in the next turn, or this one."""
    cdef cursor_t *cursor
    if c.track != NULL:
        tracking_due_around(w, c)
    if c.subs == NULL:
        return
    cursor = &(<subs_t *> c.subs).cursor
    if cursor.placed and not cursor.due and cursor.state <= CURSOR_LOST and not conn_held(c) \
            and handles_add(&w.deliver.due, conn_handle(w, c)) == 0:
        cursor.due = True

cdef void cursor_place(worker_t *w, csp_conn *c, const spot_t *spot) noexcept nogil:
    """Gives it a spot of its own."""
    cdef cursor_t *cursor = &(<subs_t *> c.subs).cursor
    if not cursor.placed:
        cursor.placed = True
        w.deliver.placed += 1
        w.stats.lags += 1
    cursor.spot = spot[0]
    cursor.active = False
    cursor_due(w, c)

cdef void cursor_join(worker_t *w, csp_conn *c) noexcept nogil:
    """It stands where the live walk stands."""
    cdef cursor_t *cursor = &(<subs_t *> c.subs).cursor
    if cursor.placed:
        cursor.placed = False
        w.deliver.placed -= 1

cdef void cursor_rest(worker_t *w, csp_conn *c, const spot_t *spot) noexcept nogil:
    """A walk leaves it there: level, where that is at S and the live walk is there too."""
    cdef cursor_t *cursor = &(<subs_t *> c.subs).cursor
    if spot.revision > w.view.revision and w.deliver.live.revision > w.view.revision and cursor.flip == NULL \
            and not conn_held(c):
        cursor.active = False
        cursor_join(w, c)
    else:
        cursor_place(w, c, spot)

cdef void cursor_take_reach(worker_t *w, csp_conn *c, reach_t *reach) noexcept nogil:
    """What comes is judged by this reach; a flip that was under way is given up."""
    cdef cursor_t *cursor = &(<subs_t *> c.subs).cursor
    cdef reach_t *before = cursor.reach
    flip_drop(w, cursor.flip)
    cursor.flip = NULL
    cursor.reach = reach_keep(reach) if reach != NULL else NULL
    reach_drop(&w.rights, before)

cdef void cursor_open(worker_t *w, csp_conn *c) noexcept nogil:
    """Its first subscription: told is what comes after S."""
    cdef spot_t spot
    cursor_take_reach(w, c, conn_reach(w, c))
    if w.deliver.live.revision != w.view.revision + 1:
        spot_begin(&spot, w.view.revision + 1)
        cursor_place(w, c, &spot)

cdef void cursor_close(worker_t *w, csp_conn *c) noexcept nogil:
    """Its last subscription has gone."""
    cursor_join(w, c)
    flip_drop(w, (<subs_t *> c.subs).cursor.flip)
    (<subs_t *> c.subs).cursor.flip = NULL
    if c.waits & CSP_WAIT_CURSOR:
        conn_resume(w, c, CSP_WAIT_CURSOR)

cdef bint cursor_wait(worker_t *w, csp_conn *c) noexcept nogil:
    """Lets a read wait until all up to S is told; False where it is, or without memory."""
    if cursor_is_level(w, c) or handles_add(&w.deliver.resting, conn_handle(w, c)) != 0:
        return False
    c.waits |= CSP_WAIT_CURSOR
    return True

cdef void wake_resting(worker_t *w) noexcept nogil:
    """Lets reads run whose connection was told all up to S."""
    cdef uint32_t i, kept = 0
    cdef csp_conn *c
    for i in range(w.deliver.resting.count):
        c = conn_of(w, w.deliver.resting.items[i])
        if c == NULL or c.waits & CSP_WAIT_CURSOR == 0:
            continue
        if cursor_is_level(w, c):
            conn_resume(w, c, CSP_WAIT_CURSOR)
        else:
            w.deliver.resting.items[kept] = w.deliver.resting.items[i]
            kept += 1
    w.deliver.resting.count = kept
