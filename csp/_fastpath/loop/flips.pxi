# Included by csp/_fastpath.pyx after: slice, group, start; before: deliver.
# What a change of rights means to subscribers: what they may read now comes as creates, what no more as deletes.
#
# Invariants:
# 1. A flip belongs to a cursor whose session may read something else than when it was told last. First the log is
#    walked up to S; then the flip goes through the nodes that only one of both reaches has, and the objects under them,
#    in the order of node, class and DBID. How far it has come (`flip_at`) is a part of the cursor's place.
# 2. Each object is told once: by the walk where it has changed since, else by the flip. It may change meanwhile: the
#    walk judges one that the flip has not come to by the old reach, one that it has passed by the new one.
# 3. What is told has the revision of the change of rights, and nobody who did it.
# 4. Reads of the connection wait until it is over; a token says the place before it.
# 5. Whose cursor was behind of its own accord, or has a flip under way, is told `resync` instead.

cdef enum:
    FLIP_LOOKS = 64                 # objects and lists between two looks at the turn's budget

cdef inline flip_t *flip_hold(flip_t *flip) noexcept nogil:
    if flip != NULL:
        flip.refs += 1
    return flip

cdef void flip_drop(worker_t *w, flip_t *flip) noexcept nogil:
    if flip == NULL:
        return
    flip.refs -= 1
    if flip.refs == 0:
        if w.deliver.newest_flip == flip:
            w.deliver.newest_flip = NULL
        reach_drop(&w.rights, flip.old)
        reach_drop(&w.rights, flip.fresh)
        free(flip)

cdef flip_t *flip_of(worker_t *w, reach_t *old, reach_t *fresh, uint64_t until) noexcept nogil:
    """A flip from one reach to another, held once more: the newest of the worker, where it is the same; or NULL."""
    cdef flip_t *flip = w.deliver.newest_flip
    cdef const csp_entry_t *entry
    if flip != NULL and flip.old == old and flip.fresh == fresh and flip.until == until \
            and flip.revision == rights_since(w):
        return flip_hold(flip)
    flip = <flip_t *> calloc(1, sizeof(flip_t))
    if flip == NULL:
        return NULL
    flip.refs = 1
    flip.old = reach_keep(old)
    flip.fresh = reach_keep(fresh)
    flip.until = until
    flip.revision = rights_since(w)
    entry = log_entry(w.store, rights_since(w))
    flip.time_ms = entry.time_ms if entry != NULL else <int64_t> store_wall_ms()
    w.deliver.newest_flip = flip
    return flip

# ---- when rights have changed ----

cdef inline uint64_t told_until(const spot_t *spot) noexcept nogil:
    """The entry up to which one that stands there is told by the reach that it has."""
    return spot.revision if spot.item > 0 or spot.serial > 0 else spot.revision - 1

cdef inline bint flip_is_new(const cursor_t *cursor) noexcept nogil:
    """Whether nothing was told since the flip began."""
    return cursor.flip_at.node == 0 and told_until(&cursor.spot) == cursor.flip.until

cdef bint flip_begin(worker_t *w, csp_conn *c, reach_t *old, reach_t *fresh) noexcept nogil:
    """A flip hangs on the cursor, which gets a place of its own; False without memory."""
    cdef cursor_t *cursor = &(<subs_t *> c.subs).cursor
    cdef spot_t spot = cursor.spot if cursor.placed else w.deliver.live
    cdef flip_t *flip = flip_of(w, old, fresh, told_until(&spot))
    if flip == NULL:
        return False
    cursor_take_reach(w, c, fresh)
    cursor.flip = flip
    memset(&cursor.flip_at, 0, sizeof(flip_at_t))
    cursor_place(w, c, &spot)
    return True

cdef void reach_lose(worker_t *w, csp_conn *c, reach_t *fresh) noexcept nogil:
    """What it was told can't be brought up to what it may read: it is told so."""
    cursor_take_reach(w, c, fresh)
    if subs_count(c) > 0 or (<subs_t *> c.subs).cursor.state != CURSOR_GOES:
        start_lose(w, c)

cdef void reach_turned(worker_t *w, csp_conn *c, reach_t *fresh) noexcept nogil:
    """Its session may read something else than what its cursor has."""
    cdef subs_t *subs = <subs_t *> c.subs
    cdef cursor_t *cursor = &subs.cursor
    cdef reach_t *old = reach_keep(cursor.reach)
    if cursor.flip != NULL and flip_is_new(cursor):
        reach_drop(&w.rights, old)
        old = reach_keep(cursor.flip.old)
        cursor_take_reach(w, c, old)    # as if the rights had changed once
    if c.flags & CSP_CONN_TRACKING:
        tracking_forget(w, c)
    if cursor.state == CURSOR_LOST or (cursor.state == CURSOR_GOES and subs.count == 0) \
            or (cursor.state != CURSOR_GOES and cursor.spot.revision > rights_since(w)):
        cursor_take_reach(w, c, fresh)
    elif cursor.state != CURSOR_GOES or cursor.flip != NULL \
            or (cursor.placed and conn_held(c) and cursor.spot.revision <= w.deliver.seen):
        reach_lose(w, c, fresh)
    elif old != fresh and not flip_begin(w, c, old, fresh):
        reach_lose(w, c, fresh)
    reach_drop(&w.rights, old)

# ---- which nodes ----

cdef inline uint64_t reach_word(const reach_t *reach, uint64_t at) noexcept nogil:
    """Sixty-four of its bits."""
    if reach.bits == NULL:
        return ~<uint64_t> 0
    return reach.bits.words[at] if at < reach.bits.size else 0

cdef inline uint32_t extra_after(const reach_t *reach, uint32_t node) noexcept nogil:
    """The first number above one that a reach has beside its bits; 0: none."""
    cdef uint32_t i
    for i in range(reach.count if reach.bits != NULL else 0):
        if reach.extra[i] > node:
            return reach.extra[i]
    return 0

cdef inline bint flip_turns(const flip_t *flip, uint32_t node) noexcept nogil:
    return reach_has(flip.old, node) != reach_has(flip.fresh, node)

cdef uint32_t bits_after(const flip_t *flip, uint32_t node, uint64_t top) noexcept nogil:
    """The first number above one, up to `top`, of which the bits of both differ; 0: none."""
    cdef uint64_t at = (<uint64_t> node + 1) >> 6
    cdef uint64_t word = (reach_word(flip.old, at) ^ reach_word(flip.fresh, at)) & ~<uint64_t> 0 << ((node + 1) & 63)
    while word == 0 and at < top >> 6:
        at += 1
        word = reach_word(flip.old, at) ^ reach_word(flip.fresh, at)
    if word == 0 or (at << 6) + csp_ctz(word) > top:
        return 0
    return <uint32_t> ((at << 6) + csp_ctz(word))

cdef uint32_t flip_node_after(const flip_t *flip, uint32_t node, uint64_t top) noexcept nogil:
    """The first number above one, up to `top`, that only one of both may read; 0: none."""
    cdef uint32_t found, other
    while True:
        found = bits_after(flip, node, top)
        other = extra_after(flip.old, node)
        if other != 0 and (found == 0 or other < found):
            found = other
        other = extra_after(flip.fresh, node)
        if other != 0 and (found == 0 or other < found):
            found = other
        if found == 0 or flip_turns(flip, found):
            return found
        node = found

# ---- an object as an item ----

cdef bint shown_room(worker_t *w, uint32_t tenants) noexcept nogil:
    cdef csp_item_t *grown
    if tenants <= w.deliver.shown_room and w.deliver.shown != NULL:
        return True
    grown = <csp_item_t *> realloc(w.deliver.shown, sizeof(csp_item_t) + (tenants * 2 + 8) * sizeof(uint32_t))
    if grown == NULL:
        return False
    w.deliver.shown = grown
    w.deliver.shown_room = tenants * 2 + 8
    return True

cdef uint32_t tenants_listed(const csp_record_t *record, uint32_t *tenants, uint32_t room) noexcept nogil:
    """The tenants for which an object of several is listed: how many; with room for so many they are written."""
    cdef uint64_t size = 0
    cdef const char *at = json_of_reply(<const char *> record_reply(record), record.reply_size, &size)
    cdef const char *end
    cdef span_t spans[SPANS_MAX]
    cdef uint32_t many, i, value, count = 0
    many = json_spans(at, at + size, spans) if at != NULL and size > 0 else 0
    for i in range(many):
        if not span_named(&spans[i], CSP_TENANTS_ATTRIBUTE, <uint32_t> strlen(CSP_TENANTS_ATTRIBUTE)):
            continue
        at = spans[i].at + spans[i].name_size + 3
        end = spans[i].at + spans[i].size
        while at < end:
            value = 0
            while at < end and c'0' <= at[0] <= c'9':
                value = value * 10 + <uint32_t> (at[0] - c'0')
                at += 1
            if value != 0:
                if count < room:
                    tenants[count] = value
                count += 1
            at += 1
    return count

cdef csp_item_t *item_shown(worker_t *w, const csp_record_t *record) noexcept nogil:
    """An item that appears on the object's channels; NULL without memory."""
    cdef csp_item_t *item
    cdef uint32_t *tenants
    cdef uint32_t count = 1
    if record.class_id == CSP_TENANTS_CLASS:
        count += tenants_listed(record, NULL, 0)
    if not shown_room(w, count):
        return NULL
    item = w.deliver.shown
    memset(item, 0, sizeof(csp_item_t))
    item.op = OP_CREATE
    item.class_id = record.class_id
    item.dbid = record.dbid
    item.tenant_count = count
    tenants = <uint32_t *> item_tenants(item)
    tenants[0] = record.tenant_dbid
    if record.class_id == CSP_TENANTS_CLASS:
        tenants[0] = <uint32_t> CSP_ENVIRONMENT
        tenants_listed(record, tenants + 1, count - 1)
    return item

# ---- what those who go together want ----

cdef void node_classes(const node_t *node, run_t *run) noexcept nogil:
    """Of which classes a channel or pattern asks for all objects, or for single ones."""
    cdef const place_t *place
    cdef uint32_t i
    if node.loose != NULL:
        run.open_classes |= node.loose.classes
    for i in range(node.peg_count):
        place = &node.pegs[i].place
        if place.level & BINDS_CLASS == 0:
            run.open_classes = ~<uint64_t> 0
        elif place.level & BINDS_DBID:
            run.bound_classes |= <uint64_t> 1 << place.class_
        else:
            run.open_classes |= <uint64_t> 1 << place.class_

cdef void run_classes(worker_t *w, run_t *run) noexcept nogil:
    """What the members' subscriptions ask for."""
    cdef const subs_t *subs
    cdef uint32_t i, k
    run.open_classes = 0
    run.bound_classes = 0
    for i in range(run.count):
        subs = <subs_t *> w.rows[run.members[i].row].subs
        for k in range(subs.room):
            if subs.links[k].node != NULL and run.open_classes != ~<uint64_t> 0:
                node_classes(subs.links[k].node, run)

cdef bint object_is_wanted(const watch_t *self, uint32_t class_id, uint32_t dbid) noexcept nogil:
    """Whether somebody asks for this object by its own channel."""
    cdef place_t place
    cdef const peg_t *peg
    place.level = FORM_OBJECT << 3 | BINDS_CLASS | BINDS_DBID
    place.tenant = 0
    place.class_ = <uint16_t> class_id
    place.dbid = dbid
    peg = self.pegs[place_hash(&place) & (self.peg_room - 1)] if self.peg_room > 0 else NULL
    while peg != NULL and not same_place(&peg.place, &place):
        peg = peg.next
    return peg != NULL

# ---- the flip of some that stand at one place ----

cdef void flip_node(worker_t *w, node_t *node, uint32_t which, const csp_record_t *record, const csp_item_t *item,
                    run_t *run) noexcept nogil:
    """Notes for those who go together what the object has become to them."""
    cdef bint by_node = node.count < run.count
    cdef uint32_t many = node.count if by_node else run.count
    cdef bint can = reach_has(run.flip.fresh, record.node)
    cdef message_t *m = NULL
    cdef cursor_t *cursor
    cdef csp_conn *c
    cdef uint32_t i
    for i in range(many):
        c = &w.rows[node.subs[i].row if by_node else run.members[i].row]
        if c.subs == NULL or not (<subs_t *> c.subs).cursor.active:
            continue
        cursor = &(<subs_t *> c.subs).cursor
        if at_passed(&cursor.flip_at, run.at.node, run.at.class_, run.at.dbid, node.serial):
            continue
        if not by_node and subs_find(<subs_t *> c.subs, node) == NULL:
            continue
        if m == NULL:
            m = message_new(w, node, which, item, TOLD_BARE | (AS_CREATE if can else AS_DELETE), &run.spot)
            m.flips = True
            m.flip_at = run.at
            m.flip_at.serial = node.serial
            m.revision = run.flip.revision
            m.time_ms = run.flip.time_ms
            if can:
                m.body = json_of_reply(<const char *> record_reply(record), record.reply_size, &m.body_size)
        share_add(w, c, w.deliver.slice.count - 1)

cdef bint flip_object(worker_t *w, const csp_record_t *record, run_t *run) noexcept nogil:
    """Tells an object; False when the turn ended within it."""
    cdef const csp_item_t *item
    cdef bint again = True
    cdef uint32_t count, k
    cdef node_t *node
    run.at.serial = 0
    while again:
        again = False
        item = item_shown(w, record)
        if item == NULL:
            return False
        count = watch_match(w, item)
        for k in range(count):
            node = w.watch.matches[k].node
            if node.serial <= run.at.serial:
                continue
            if slice_full(w, run.count):
                if not flip_send(w, run):
                    return False
                again = True        # what was found may be gone
                break
            if not slice_room(w, run.count):
                return False
            flip_node(w, node, w.watch.matches[k].which, record, item, run)
            run.at.serial = node.serial
    run.at.serial = ~<uint64_t> 0
    return True

cdef bint flip_send(worker_t *w, run_t *run) noexcept nogil:
    """Sends what is noted; False when the turn is over, or nobody is left."""
    slice_send(w, &run.spot)
    run.count = members_keep(w, run.members, run.count)
    return run.count > 0 and not walk_over(w)

cdef inline bint flip_rests(worker_t *w, run_t *run) noexcept nogil:
    """Whether the turn is over; looked at now and then."""
    run.looks += 1
    return run.looks % FLIP_LOOKS == 0 and walk_over(w)

cdef bint flip_list(worker_t *w, const csp_view_t *view, run_t *run) noexcept nogil:
    """The objects of a class under a node, from the place on; False when the turn ended within it."""
    cdef csp_plist_t it
    cdef csp_record_t *record
    cdef flip_at_t from_ = run.at
    cdef bint is_open = run.open_classes >> from_.class_ & 1
    cdef uint32_t dbid
    if node_list_key(from_.class_) == 0 or view_list(
            view, &it, node_list_key(from_.class_), <const uint8_t *> &from_.node, sizeof(uint32_t)) == 0:
        return True
    plist_seek(&it, from_.dbid)
    dbid = plist_next(&it)
    while dbid != 0:
        if dbid != from_.dbid or from_.serial != ~<uint64_t> 0:
            run.at.dbid = dbid
            run.at.serial = 0
            if flip_rests(w, run):
                return False
            if is_open or object_is_wanted(&w.watch, from_.class_, dbid):
                record = view_find(view, from_.class_, dbid)
            else:
                record = NULL
            if record != NULL and record.revision <= run.flip.until and not flip_object(w, record, run):
                return False
        dbid = plist_next(&it)
    return True

cdef bint flip_run(worker_t *w, run_t *run) noexcept nogil:
    """Goes on for those who go together; True: it is over, False: they go on from run.at."""
    cdef csp_view_t view = view_all(w.store, w.view.revision)
    cdef uint64_t top = csp_load(&w.store.super.node_count)
    cdef flip_at_t *at = &run.at
    if at.node == 0:
        at.node = flip_node_after(run.flip, 0, top)
    while at.node != 0:
        while at.class_ < CSP_CLASS_LIMIT:
            if (run.open_classes | run.bound_classes) >> at.class_ & 1:
                if flip_rests(w, run) or not flip_list(w, &view, run):
                    return False
            at.class_ += 1
            at.dbid = 0
            at.serial = 0
        at.node = flip_node_after(run.flip, at.node, top)
        at.class_ = 0
    return True

cdef void flip_leave(worker_t *w, run_t *run, bint over) noexcept nogil:
    """Those who are left stand where the run ended."""
    cdef cursor_t *cursor
    cdef csp_conn *c
    cdef uint32_t i
    for i in range(run.count):
        c = &w.rows[run.members[i].row]
        if c.id == 0 or c.subs == NULL or not (<subs_t *> c.subs).cursor.active:
            continue
        cursor = &(<subs_t *> c.subs).cursor
        if over:
            flip_drop(w, cursor.flip)
            cursor.flip = NULL
        elif not at_passed(&cursor.flip_at, run.at.node, run.at.class_, run.at.dbid, run.at.serial):
            cursor.flip_at = run.at
        cursor_rest(w, c, &run.spot)

cdef inline bint goes_with(const csp_conn *one, const csp_conn *other) noexcept nogil:
    """Whether both have the same flip, and stand at the same object of it."""
    cdef const cursor_t *a = &(<subs_t *> one.subs).cursor
    cdef const cursor_t *b = &(<subs_t *> other.subs).cursor
    return a.flip == b.flip and a.flip_at.node == b.flip_at.node and a.flip_at.class_ == b.flip_at.class_ \
        and a.flip_at.dbid == b.flip_at.dbid and (a.flip_at.serial == ~<uint64_t> 0) == (
            b.flip_at.serial == ~<uint64_t> 0)

cdef uint32_t run_take(worker_t *w, group_t *group, run_t *run) noexcept nogil:
    """The next of the group's members that go together; how many."""
    cdef csp_conn *first = NULL
    cdef csp_conn *c
    cdef uint32_t i, kept = 0
    run.count = 0
    for i in range(group.active):
        c = &w.rows[group.members[i].row]
        if first == NULL or goes_with(first, c):
            first = c if first == NULL else first
            (<subs_t *> c.subs).cursor.active = True
            run.members[run.count] = group.members[i]
            run.count += 1
        else:
            group.members[kept] = group.members[i]
            kept += 1
    group.active = kept
    if run.count > 0:
        run.flip = flip_hold((<subs_t *> first.subs).cursor.flip)
        run.at = (<subs_t *> first.subs).cursor.flip_at
        run_classes(w, run)
    return run.count

cdef void flips_part(worker_t *w, group_t *group, const spot_t *spot) noexcept nogil:
    """Those of the group that have no flip stand where the walk ended; the others wait for their run."""
    cdef cursor_t *cursor
    cdef csp_conn *c
    cdef spot_t at
    cdef uint32_t i, kept = 0
    for i in range(group.active):
        c = &w.rows[group.members[i].row]
        cursor = &(<subs_t *> c.subs).cursor
        at = spot[0]
        if cursor.flip == NULL:
            cursor_rest(w, c, &at)
            continue
        cursor.active = False
        cursor.spot = at
        group.members[kept] = group.members[i]
        kept += 1
    group.active = kept

cdef void group_flips(worker_t *w, group_t *group, const spot_t *spot) noexcept nogil:
    """The walk is at S: goes on with the flips of the group, at least one."""
    cdef run_t run
    cdef bint over
    cdef uint32_t i
    flips_part(w, group, spot)
    run.spot = spot[0]
    run.looks = 0
    while run_take(w, group, &run) > 0:
        over = flip_run(w, &run)
        flip_send(w, &run)
        if walk_over(w):            # the others come first then
            for i in range(group.active):
                cursor_place(w, &w.rows[group.members[i].row], spot)
            group.active = 0
        flip_leave(w, &run, over)
        flip_drop(w, run.flip)
