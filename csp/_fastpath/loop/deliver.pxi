# Included by csp/_fastpath.pyx after: slice, notice.
# Walks the change log for the subscriptions of this worker, under the turn's budget.
#
# Invariants:
# 1. One walk a turn serves all that are level (`live`); the placed ones go on in groups, each sorted by place, so
#    that those at the same place are served by one walk.
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

cdef void node_live(worker_t *w, node_t *node, uint32_t which, const csp_entry_t *entry,
                    const csp_item_t *item) noexcept nogil:
    """Notes the item's message for the node's subscribers that are level; who is held gets a spot of its own."""
    cdef spot_t *live = &w.deliver.live
    cdef bint noted = False
    cdef spot_t before
    cdef csp_conn *c
    cdef uint32_t i
    for i in range(node.count):
        c = &w.rows[node.subs[i].row]
        if i + ROWS_FAR < node.count:
            subscriber_prefetch(w, node.subs[i + ROWS_FAR].row, node.subs[i + ROWS_NEAR].row)
        if (<subs_t *> c.subs).cursor.placed:
            continue
        if conn_held(c):
            before = live[0]
            before.serial = node.serial - 1
            cursor_place(w, c, &before)
            continue
        if not noted:
            noted = True
            message_note(w, node, which, entry, item, live)
        share_add(w, c)

cdef bint item_live(worker_t *w, const csp_entry_t *entry, const csp_item_t *item) noexcept nogil:
    """Tells one item; False when the turn ended within it."""
    cdef spot_t *live = &w.deliver.live
    cdef bint again = True
    cdef uint32_t count, k
    cdef node_t *node
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
            node_live(w, node, w.watch.matches[k].which, entry, item)
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

# ---- those that have a place of their own ----

cdef int spot_order(const void *a, const void *b) noexcept nogil:
    cdef const spot_t *one = &(<const member_t *> a).spot
    cdef const spot_t *other = &(<const member_t *> b).spot
    return <int> spot_before(other, one) - <int> spot_before(one, other)

cdef void cursor_renew(worker_t *w, csp_conn *c) noexcept nogil:
    """This history has not its place: it is told so, and goes on from S."""
    cdef spot_t spot
    (<subs_t *> c.subs).cursor.state = CURSOR_GOES
    spot_begin(&spot, w.view.revision + 1)
    notice_resync(w, c, spot.revision)
    cursor_place(w, c, &spot)

cdef uint32_t group_take(worker_t *w, member_t *members) noexcept nogil:
    """The next of those that are due, sorted by place; those that are level at S join the live walk."""
    cdef handles_t *due = &w.deliver.due
    cdef cursor_t *cursor
    cdef csp_conn *c
    cdef uint32_t count = 0
    cdef bint sorted_ = True        # those whom one turn put off stand at one place, in order
    while count < GROUP and w.deliver.due_first < w.deliver.due_end:
        c = conn_of(w, due.items[w.deliver.due_first])
        w.deliver.due_first += 1
        if c == NULL or c.subs == NULL:
            continue
        cursor = &(<subs_t *> c.subs).cursor
        if not cursor.due:
            continue
        cursor.due = False
        if not cursor.placed or conn_held(c):
            continue
        if cursor.state == CURSOR_LOST:
            cursor_renew(w, c)
            continue
        if cursor.spot.revision > w.view.revision:
            if w.deliver.live.revision > w.view.revision:
                cursor_join(w, c)
            else:
                cursor_due(w, c)    # ahead of the live walk: it waits for it
            continue
        members[count].row = <uint32_t> (c - w.rows)
        members[count].spot = cursor.spot
        if count > 0 and spot_before(&cursor.spot, &members[count - 1].spot):
            sorted_ = False
        count += 1
    if not sorted_:
        qsort(members, count, sizeof(member_t), spot_order)
    return count

cdef void node_group(worker_t *w, node_t *node, uint32_t which, const csp_entry_t *entry, const csp_item_t *item,
                     const spot_t *spot, const member_t *active, uint32_t count) noexcept nogil:
    """Notes the item's message for those of the group that subscribe to the node and were not told it yet."""
    cdef bint by_node = node.count < count
    cdef uint32_t many = node.count if by_node else count
    cdef bint noted = False
    cdef cursor_t *cursor
    cdef csp_conn *c
    cdef uint32_t i
    for i in range(many):
        c = &w.rows[node.subs[i].row if by_node else active[i].row]
        cursor = &(<subs_t *> c.subs).cursor
        if not cursor.active or cursor.spot.serial >= node.serial:
            continue
        if not by_node and subs_find(<subs_t *> c.subs, node) == NULL:
            continue
        if not noted:
            noted = True
            message_note(w, node, which, entry, item, spot)
        share_add(w, c)

cdef bint item_group(worker_t *w, const csp_entry_t *entry, const csp_item_t *item, spot_t *spot,
                     group_t *group) noexcept nogil:
    """Tells the group's active members one item; False when the turn ended within it."""
    cdef bint again = True
    cdef uint32_t count, k
    cdef node_t *node
    while again:
        again = False
        count = watch_match(w, item)
        for k in range(count):
            node = w.watch.matches[k].node
            if node.serial <= spot.serial:
                continue
            if slice_full(w, group.active):
                slice_send(w, spot)
                group_keep(w, group)
                if walk_over(w):
                    return False
                if group.active == 0:
                    return True
                again = True
                break
            if not slice_room(w, group.active):
                return False
            node_group(w, node, w.watch.matches[k].which, entry, item, spot, group.members, group.active)
            spot.serial = node.serial
    return True

cdef void group_keep(worker_t *w, group_t *group) noexcept nogil:
    """Those whose socket was full, or who are gone, leave the group."""
    cdef csp_conn *c
    cdef uint32_t i, kept = 0
    for i in range(group.active):
        c = &w.rows[group.members[i].row]
        if c.id != 0 and c.subs != NULL and (<subs_t *> c.subs).cursor.active:
            group.members[kept] = group.members[i]
            kept += 1
    group.active = kept

cdef void group_join(worker_t *w, group_t *group, const spot_t *spot) noexcept nogil:
    """Who stands at this item walks along from here."""
    cdef csp_conn *c
    while group.first < group.count and not spot_before(spot, &group.members[group.first].spot):
        c = &w.rows[group.members[group.first].row]
        if c.id != 0 and c.subs != NULL:
            (<subs_t *> c.subs).cursor.active = True
            group.joined = True
            group.members[group.active] = group.members[group.first]
            group.active += 1
        group.first += 1

cdef void group_leave(worker_t *w, group_t *group, const spot_t *spot) noexcept nogil:
    """The walk ends: who walked along stands here, who was not reached yet where he stood; all are due."""
    cdef spot_t at
    cdef csp_conn *c
    cdef uint32_t i
    for i in range(group.active):
        c = &w.rows[group.members[i].row]
        if (<subs_t *> c.subs).cursor.active:
            at = spot[0]
            if spot.revision == (<subs_t *> c.subs).cursor.spot.revision \
                    and spot.item == (<subs_t *> c.subs).cursor.spot.item \
                    and spot.serial < (<subs_t *> c.subs).cursor.spot.serial:
                at.serial = (<subs_t *> c.subs).cursor.spot.serial
            cursor_rest(w, c, &at)
    for i in range(group.first, group.count):
        c = &w.rows[group.members[i].row]
        if c.id != 0 and c.subs != NULL:
            cursor_due(w, c)

cdef void group_lost(worker_t *w, group_t *group, spot_t *spot) noexcept nogil:
    """The log has passed them: each is told so, and goes on with what there is."""
    cdef csp_conn *c
    cdef uint32_t i
    cdef uint64_t oldest = walk_oldest(w, spot.revision)
    slice_send(w, spot)
    group_keep(w, group)
    spot_begin(spot, oldest)
    for i in range(group.active):
        c = &w.rows[group.members[i].row]
        notice_resync(w, c, oldest)
        cursor_place(w, c, spot)
    group.active = 0

cdef void deliver_group(worker_t *w, group_t *group) noexcept nogil:
    """Goes on for some that have a place of their own."""
    cdef const csp_entry_t *entry
    cdef const csp_item_t *item
    cdef spot_t spot
    group.count = group_take(w, group.members)
    group.first = 0
    group.active = 0
    group.joined = False
    if group.count == 0:
        return
    spot = group.members[0].spot
    while True:
        if group.active == 0:
            if group.first == group.count:
                break
            spot = group.members[group.first].spot
            spot.serial = 0
        if spot.revision > w.view.revision:
            break
        group_join(w, group, &spot)
        if group.active == 0:
            continue
        entry = walk_entry(w, &spot)
        if entry == NULL:
            group_lost(w, group, &spot)
            continue
        if not entry_marked(w, entry):
            break
        item = spot_item(&spot, entry)
        if not item_group(w, entry, item, &spot, group):
            break
        if group.active == 0:
            continue
        spot_pass(&spot, entry, item)
        group_passed(w, group)
        if slice_full(w, 0):
            slice_send(w, &spot)
            group_keep(w, group)
            if walk_over(w):
                break
        elif spot.item % ITEMS_A_LOOK == ITEMS_A_LOOK - 1 and walk_over(w):
            break
    slice_send(w, &spot)
    group_keep(w, group)
    group_leave(w, group, &spot)

cdef void group_passed(worker_t *w, group_t *group) noexcept nogil:
    """The item is over: what was told of it in an earlier turn no longer counts."""
    cdef uint32_t i
    if group.joined:
        for i in range(group.active):
            (<subs_t *> w.rows[group.members[i].row].subs).cursor.spot.serial = 0
        group.joined = False

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

cdef void deliver_free(deliver_t *self) noexcept nogil:
    free(self.due.items)
    free(self.resting.items)
    free(self.awaiting.items)
    free(self.slice.shares)
    free(self.slice.rows)
    out_free(&self.slice.texts[0])
    out_free(&self.slice.texts[1])
