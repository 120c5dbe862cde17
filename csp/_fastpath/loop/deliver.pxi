# Included by csp/_fastpath.pyx after: slice, notice, group, flips.
# Walks the change log for the subscriptions of this worker, under the turn's budget.
#
# Invariants:
# 1. One walk a turn serves all that are level (`live`); the placed ones go on in groups (group.pxi).
# 2. Every subscription gets a change once, in order; a pattern matches a change once, whatever names fit it.
# 3. Changes up to S reach a connection before a reply that was computed at S (cursor.pxi 4).
# 4. A walk ends when the turn is over, after one slice at least: each turn brings both kinds of walk on.
# 5. A search's result is used until something is sent: a connection that ends may take its nodes with it.

cdef enum:
    MARK_ITEMS = 1024               # of a long entry, looked at for `more` between two looks at the budget
    ROWS_FAR = 8                    # connections ahead whose rows are asked for,
    ROWS_NEAR = 4                   # and whose cursors, when the rows have come
    ITEMS_A_LOOK = 64               # items that nobody may have subscribed to, between two looks

cdef inline bint walk_over(worker_t *w) noexcept nogil:
    return not w.deliver.at_once and turn_over(w)

cdef bint entry_marked(worker_t *w, const csp_entry_t *entry) noexcept nogil:
    """Whether it is known where each node's last item is; if not, the turn is over meanwhile."""
    while not watch_marked(w, entry, MARK_ITEMS):
        if walk_over(w):
            return False
    return True

cdef const csp_entry_t *walk_entry(worker_t *w, const spot_t *spot) noexcept nogil:
    """The entry at a spot, NULL when the log has it no more."""
    return log_entry(w.store, spot.revision)

cdef uint64_t walk_oldest(worker_t *w, uint64_t revision) noexcept nogil:
    """Where one goes on whose entry has left the log."""
    cdef uint64_t oldest = csp_load(&w.store.super.log_oldest)
    return w.view.revision + 1 if oldest <= revision or oldest > w.view.revision else oldest

# ---- those that are level ----

cdef void node_live(worker_t *w, node_t *node, uint32_t which, told_t *told) noexcept nogil:
    """Notes the item's message for the node's subscribers that are level; who is held gets a spot of its own.

    So does who may not read all, where the turn is over before it is known what else is shown to him.
    """
    cdef reach_t *last = NULL
    cdef int message = AS_NOTHING
    cdef cursor_t *cursor
    cdef spot_t before
    cdef csp_conn *c
    cdef uint32_t i
    forms_begin(w)
    for i in range(node.count):
        c = &w.rows[node.subs[i].row]
        if i + ROWS_FAR < node.count:
            subscriber_prefetch(w, node.subs[i + ROWS_FAR].row, node.subs[i + ROWS_NEAR].row)
        cursor = &(<subs_t *> c.subs).cursor
        if cursor.placed:
            continue
        if cursor.reach != last:
            last = cursor.reach
            message = message_for(w, told, node, which, &w.deliver.live, cursor)
        if message == AS_NOTHING:
            continue
        if message < 0 or conn_held(c):
            before = w.deliver.live
            before.serial = node.serial - 1
            cursor_place(w, c, &before)
            continue
        share_add(w, c, <uint32_t> message)

cdef bint item_live(worker_t *w, const csp_entry_t *entry, const csp_item_t *item) noexcept nogil:
    """Tells one item; False when the turn ended within it."""
    cdef spot_t *live = &w.deliver.live
    cdef bint again = True
    cdef told_t told
    cdef uint32_t count, k
    cdef node_t *node
    told_begin(&told, entry, item, live.item)
    while again:
        again = False
        count = watch_match(w, item)
        for k in range(count):
            node = w.watch.matches[k].node
            if node.serial <= live.serial:
                continue
            if slice_full(w, node.count):
                slice_send(w, live)
                if walk_over(w):
                    return False
                again = True        # what was found may be gone
                break
            if not slice_room(w, node.count):
                return False
            node_live(w, node, w.watch.matches[k].which, &told)
            live.serial = node.serial
    return True

cdef void live_scatter(worker_t *w) noexcept nogil:
    """The log has lost what the live walk would tell next: each is told so in its own place."""
    cdef csp_conn *c
    cdef uint32_t i
    for i in range(w.row_top):
        c = &w.rows[i]
        if c.id != 0 and c.subs != NULL and not (<subs_t *> c.subs).cursor.placed:
            cursor_place(w, c, &w.deliver.live)
    spot_begin(&w.deliver.live, w.view.revision + 1)

cdef void deliver_live(worker_t *w) noexcept nogil:
    """Moves the live spot towards S."""
    cdef spot_t *live = &w.deliver.live
    cdef const csp_entry_t *entry
    cdef const csp_item_t *item
    if w.event_subscriptions == 0:
        spot_begin(live, w.view.revision + 1)
        return
    while live.revision <= w.view.revision:
        entry = walk_entry(w, live)
        if entry == NULL:
            slice_send(w, live)
            live_scatter(w)
            break
        if not entry_marked(w, entry):
            break
        if live.item == 0 and live.serial == 0:
            w.stats.entries += 1
        item = spot_item(live, entry)
        if w.tracking.clients > 0:
            tracking_item(w, entry, item)
        if not item_live(w, entry, item):
            break
        spot_pass(live, entry, item)
        # An entry's end is a place where a cut loses nothing; a slice of little is sent when the walk ends.
        if slice_full(w, 0):
            slice_send(w, live)
            if walk_over(w):
                return
        elif live.item % ITEMS_A_LOOK == ITEMS_A_LOOK - 1 and walk_over(w):
            break
    slice_send(w, live)

cdef void deliver(worker_t *w) noexcept nogil:
    """The delivery of one turn."""
    cdef group_t group
    if w.deliver.awaiting.count > 0:
        starts_look(w)
    if w.deliver.live.revision <= w.view.revision:
        deliver_live(w)
    w.deliver.due_first = 0
    w.deliver.due_end = w.deliver.due.count
    while w.deliver.due_first < w.deliver.due_end:
        deliver_group(w, &group)
        if walk_over(w):
            break
    if w.deliver.due_first > 0:
        memmove(w.deliver.due.items, w.deliver.due.items + w.deliver.due_first,
                (w.deliver.due.count - w.deliver.due_first) * sizeof(uint64_t))
        w.deliver.due.count -= w.deliver.due_first
    if tracking_left(w):
        tracking_tell(w)
    if w.deliver.resting.count > 0:
        wake_resting(w)
    w.deliver.seen = w.view.revision

cdef inline bint deliver_left(worker_t *w) noexcept nogil:
    """Whether the next turn has something to deliver without being woken for it."""
    return w.store != NULL and (
        w.rights_left > 0 or w.deliver.due.count > 0 or w.deliver.live.revision <= w.view.revision or tracking_left(w))

# ---- generations ----

cdef void deliver_end(worker_t *w) noexcept nogil:
    """Tells those that are level the rest of a log that is given up, whatever it costs."""
    w.deliver.at_once = True
    subscribers_look(w)
    if w.deliver.live.revision <= w.view.revision:
        deliver_live(w)
    w.deliver.at_once = False

cdef bint spot_found(worker_t *w, spot_t *spot) noexcept nogil:
    """Whether the present log has the item at which a spot stands; then the spot is right for it."""
    cdef const csp_entry_t *entry
    cdef const csp_item_t *item
    cdef uint32_t i
    if spot.item == 0:
        spot.offset = 0
        return True
    entry = walk_entry(w, spot) if spot.revision <= w.view.revision else NULL
    if entry == NULL or spot.item >= entry.item_count:
        return False
    item = entry_items(<csp_entry_t *> entry)
    for i in range(spot.item):
        item = <const csp_item_t *> (<const char *> item + item.size)
    spot.offset = <uint32_t> (<const char *> item - <const char *> entry)
    return True

cdef void reaches_switch(worker_t *w) noexcept nogil:
    """Another generation has other numbers of nodes: only who may read everything is known to read the same."""
    cdef csp_conn *c
    cdef reach_t *fresh
    cdef uint32_t i
    for i in range(w.row_top):
        c = &w.rows[i]
        if c.id == 0 or c.subs == NULL:
            continue
        fresh = conn_reach(w, c)
        if reach_is_whole((<subs_t *> c.subs).cursor.reach) and reach_is_whole(fresh) \
                and (<subs_t *> c.subs).cursor.flip == NULL:
            cursor_take_reach(w, c, fresh)
            continue
        if c.flags & CSP_CONN_TRACKING:
            tracking_forget(w, c)
        reach_lose(w, c, fresh)

cdef void deliver_switch(worker_t *w, bint had_one) noexcept nogil:
    """Places the cursors in another generation's log: a difference that it begins with is for everybody."""
    cdef uint64_t oldest = csp_load(&w.store.super.log_oldest)
    cdef const csp_entry_t *first = log_entry(w.store, oldest) if oldest <= w.view.revision else NULL
    cdef bint difference = had_one and first != NULL and first.flags & CSP_DIFFERENCE != 0
    cdef spot_t *live = &w.deliver.live
    cdef cursor_t *cursor
    cdef csp_conn *c
    cdef uint32_t i
    if not difference and live.revision > w.view.revision + 1:
        tracking_forget_all(w)      # another history: what was read may never change in it
    if difference:
        spot_begin(live, oldest)
    elif not had_one or live.revision > w.view.revision:
        spot_begin(live, w.view.revision + 1)
    for i in range(w.row_top):
        c = &w.rows[i]
        if c.id == 0 or c.subs == NULL or not (<subs_t *> c.subs).cursor.placed:
            continue
        cursor = &(<subs_t *> c.subs).cursor
        if cursor.state != CURSOR_GOES:
            (<subs_t *> c.subs).start.unsure = True     # whether this is the same history
            continue
        if difference or cursor.spot.revision > w.view.revision + 1 or not spot_found(w, &cursor.spot):
            notice_resync(w, c, live.revision)  # the rest of the old log is out of its reach
            cursor_place(w, c, live)
    if had_one:
        reaches_switch(w)

cdef void deliver_free(worker_t *w) noexcept nogil:
    cdef deliver_t *self = &w.deliver
    cdef uint32_t i
    for i in range(MARKS):
        aheads_free(w, &w.watch.marks[i])
    free(self.shown)
    free(self.due.items)
    free(self.resting.items)
    free(self.awaiting.items)
    free(self.slice.shares)
    free(self.slice.rows)
    out_free(&self.slice.texts[0])
    out_free(&self.slice.texts[1])
