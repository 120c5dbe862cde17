# Included by csp/_fastpath.pyx after: slice, notice; before: deliver.
# Walks the change log for those that have a place of their own, some at a time.
#
# Invariants:
# 1. A group is sorted by place, so that those at the same place are served by one walk; who stands further on joins
#    when the walk comes there.
# 2. Each is told by its own reach, and where it has a flip under way, by that (forms.pxi). The flip itself goes on when
#    the walk is at S (flips.pxi).
# 3. Who can be told no more now, or goes, leaves the group; the others stand where the walk ends.

cdef int spot_order(const void *a, const void *b) noexcept nogil:
    cdef const spot_t *one = &(<const member_t *> a).spot
    cdef const spot_t *other = &(<const member_t *> b).spot
    return <int> spot_before(other, one) - <int> spot_before(one, other)

cdef void cursor_renew(worker_t *w, csp_conn *c) noexcept nogil:
    """This history has not its place: it is told so, and goes on from S."""
    cdef spot_t spot
    cursor_take_reach(w, c, conn_reach(w, c))
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
        if cursor.spot.revision > w.view.revision and cursor.flip == NULL:
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

cdef void node_group(worker_t *w, node_t *node, uint32_t which, told_t *told, const spot_t *spot,
                     const member_t *active, uint32_t count) noexcept nogil:
    """Notes the item's message for those of the group that subscribe to the node and were not told it yet."""
    cdef bint by_node = node.count < count
    cdef uint32_t many = node.count if by_node else count
    cdef int message = AS_NOTHING
    cdef cursor_t *cursor
    cdef spot_t before
    cdef csp_conn *c
    cdef uint32_t i
    forms_begin(w)
    for i in range(many):
        c = &w.rows[node.subs[i].row if by_node else active[i].row]
        cursor = &(<subs_t *> c.subs).cursor
        if not cursor.active or cursor.spot.serial >= node.serial:
            continue
        if not by_node and subs_find(<subs_t *> c.subs, node) == NULL:
            continue
        message = message_for(w, told, node, which, spot, cursor)
        if message >= 0:
            share_add(w, c, <uint32_t> message)
        elif message == AS_UNKNOWN:
            before = spot[0]
            before.serial = node.serial - 1
            cursor_place(w, c, &before)

cdef bint item_group(worker_t *w, const csp_entry_t *entry, const csp_item_t *item, spot_t *spot,
                     group_t *group) noexcept nogil:
    """Tells the group's active members one item; False when the turn ended within it."""
    cdef bint again = True
    cdef told_t told
    cdef uint32_t count, k
    cdef node_t *node
    told_begin(&told, entry, item, spot.item)
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
            node_group(w, node, w.watch.matches[k].which, &told, spot, group.members, group.active)
            spot.serial = node.serial
    return True

cdef uint32_t members_keep(worker_t *w, member_t *members, uint32_t count) noexcept nogil:
    """Leaves those that still walk along; how many."""
    cdef csp_conn *c
    cdef uint32_t i, kept = 0
    for i in range(count):
        c = &w.rows[members[i].row]
        if c.id != 0 and c.subs != NULL and (<subs_t *> c.subs).cursor.active:
            members[kept] = members[i]
            kept += 1
    return kept

cdef void group_keep(worker_t *w, group_t *group) noexcept nogil:
    """Those whose socket was full, or who are gone, leave the group."""
    group.active = members_keep(w, group.members, group.active)

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
        cursor_take_reach(w, c, conn_reach(w, c))
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
            group_join(w, group, &spot)
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
    if spot.revision > w.view.revision:
        group_flips(w, group, &spot)
    group_leave(w, group, &spot)

cdef void group_passed(worker_t *w, group_t *group) noexcept nogil:
    """The item is over: what was told of it in an earlier turn no longer counts."""
    cdef uint32_t i
    if group.joined:
        for i in range(group.active):
            (<subs_t *> w.rows[group.members[i].row].subs).cursor.spot.serial = 0
        group.joined = False
