# Included by csp/_fastpath.pyx after: deliver, slow.
# Brings one connection what has left the log: entries that the slow lane has had from the master.
#
# Invariants:
# 1. A cursor that is behind the log when it would move FETCHES: nothing is told by walks, reads wait, and the slow
#    lane is asked once. It ends at a place of the log, or lost.
# 2. What is told is what a walk would tell: the same messages, in the same order, of this connection alone.
# 3. The objects that there are (WITHSTATE) are told in the same way, as entries that the slow lane makes.
# 4. An entry is told by the piece: a call ends with the turn, or when so much was queued.

cdef enum:
    REPLAY_BYTES = 65536            # queued by one call, and one message more
    REPLAY_ITEMS = 32               # between two looks at the turn's budget

cdef uint64_t REPLAY_GENERATION = 0xFFFFFFFFFFFFFFFF     # marks of entries that are not in the log

cdef bint start_fetches(worker_t *w, csp_conn *c) noexcept nogil:
    """Whether what comes next has left the log, or stands there as a difference only; then it is asked for.

    Where the log begins with it, the slow lane looks whether it follows the place's mark.
    """
    cdef subs_t *subs = <subs_t *> c.subs
    cdef uint64_t revision = subs.cursor.spot.revision
    cdef const csp_entry_t *entry
    if revision > w.view.revision:
        return False
    entry = log_entry(w.store, revision)
    if entry != NULL and entry.flags & CSP_DIFFERENCE == 0 \
            and not (subs.start.unsure and subs.start.marked and log_entry(w.store, revision - 1) == NULL):
        return False
    subs.cursor.state = CURSOR_FETCHES
    c.flags |= CSP_CONN_KNOWN
    slow_fetch(w, conn_handle(w, c), &subs.start, revision)
    return True

cdef void slow_fetch(worker_t *w, uint64_t handle, const start_t *start, uint64_t revision) noexcept with gil:
    try:
        (<Loop> w.loop).slow.fetch(handle, revision, start.mark if start.marked else None, bool(start.unsure))
    except Exception:
        slow_failed(w, "a replay")

cdef void replay_states(worker_t *w, csp_conn *c) noexcept nogil:
    """Has the slow lane bring the objects that there are; then the cursor moves as it would have."""
    (<subs_t *> c.subs).cursor.state = CURSOR_FETCHES
    c.flags |= CSP_CONN_KNOWN
    slow_states(w, conn_handle(w, c))

cdef void slow_states(worker_t *w, uint64_t handle) noexcept with gil:
    try:
        (<Loop> w.loop).slow.show_states(handle)
    except Exception:
        slow_failed(w, "the present objects")

cdef bint is_fetching(csp_conn *c) noexcept nogil:
    return c != NULL and c.subs != NULL and (<subs_t *> c.subs).cursor.state == CURSOR_FETCHES

cdef void replay_item(worker_t *w, csp_conn *c, const csp_entry_t *entry, const csp_item_t *item,
                      uint32_t place, reach_t *reach) noexcept nogil:
    """Adds the item's messages for the connection to the scratch buffer."""
    cdef bint resp3 = c.flags & CSP_CONN_RESP3 != 0
    cdef uint32_t count = watch_match(w, item)
    cdef reader_t reader
    cdef message_t m
    cdef told_t told
    cdef uint32_t k
    cdef int form
    memset(&reader, 0, sizeof(reader_t))
    reader.reach = reach
    told_begin(&told, entry, item, place)
    for k in range(count):
        if subs_find(<subs_t *> c.subs, w.watch.matches[k].node) == NULL:
            continue
        form = form_for(w, &told, w.watch.matches[k].node, &reader)
        if form < 0:
            continue
        memset(&m, 0, sizeof(message_t))
        m.node = w.watch.matches[k].node
        m.which = w.watch.matches[k].which
        m.item = item
        m.form = <uint32_t> form
        message_fill(&m, &told)
        message_write(&w.scratch, &m, resp3, True)
        w.stats.messages += 1

cdef void show_item(worker_t *w, csp_conn *c, const csp_entry_t *entry) noexcept nogil:
    """Queues the messages of an entry that is an object as it is, if its session may read that."""
    cdef reach_t *reach = (<subs_t *> c.subs).cursor.reach
    cdef const csp_item_t *item = entry_items(entry)
    cdef csp_view_t all_ = view_all(w.store, w.view.revision)
    cdef csp_record_t *record = view_find(&all_, item.class_id, item.dbid)
    if record != NULL and reach_has(reach, record.node):
        replay_some(w, c, entry, 0, w.rights.whole)

cdef uint32_t replay_some(worker_t *w, csp_conn *c, const csp_entry_t *entry, uint32_t first,
                          reach_t *reach) noexcept nogil:
    """Queues the messages of some items from the first on, as one of this reach is told them; where it ended."""
    cdef const csp_item_t *item = entry_items(entry)
    cdef uint64_t generation = w.generation
    cdef uint32_t i
    w.scratch.size = 0
    w.generation = REPLAY_GENERATION
    for i in range(first):
        item = <const csp_item_t *> (<const char *> item + item.size)
    i = first
    while i < entry.item_count:
        replay_item(w, c, entry, item, i, reach)
        item = <const csp_item_t *> (<const char *> item + item.size)
        i += 1
        if w.scratch.size >= REPLAY_BYTES or (i % REPLAY_ITEMS == 0 and turn_over(w)):
            break
    w.generation = generation
    if w.scratch.failed or not conn_queue(w, c, w.scratch.data, w.scratch.size):
        w.scratch.failed = False
        conn_close(w, c, CSP_END_MEMORY)  # it would never know what it missed
    else:
        conn_dirty(w, c)
    return i
