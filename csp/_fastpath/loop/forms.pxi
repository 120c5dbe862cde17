# Included by csp/_fastpath.pyx after: view, match, subs.
# What a change is to one who may not read everything: as it is logged, a create, a delete, or nothing.
#
# Invariants:
# 1. An object that one could read before a change and can after it is told as it is logged; one that comes into reach
#    as a create, with the object as the change left it; one that goes out of reach as a delete; any other not at all.
# 2. Both ends of a change are judged by the reach of S, whatever it was when the change was made. While a flip is under
#    way (flips.pxi) the end before is judged by the old one where nothing has told the object's turn yet; an entry
#    that was begun before is told to its end by the old one, so that `more` keeps its word.
# 3. `more` is exact for each reader: it says whether another item of the entry is shown to him on that subscription.
#    An entry is looked through once for each node and reader, however many subscribers have that reach.
# 4. Who changed something is said to those who may read that account.

cdef enum told_as:
    AS_LOGGED = 0
    AS_CREATE = 1
    AS_DELETE = 2
    TOLD_AS = 3                     # these bits
    TOLD_BARE = 4                   # and without who did it
    TOLD_MORE = 8                   # and more of the entry follows
    AS_NOTHING = -1
    AS_UNKNOWN = -2                 # the turn is over before `more` is known

cdef enum:
    AHEAD_ITEMS = 1024              # looked at for `more` between two looks at the budget
    ACTOR_BYTES_MAX = 8192          # of what an event says of who changed something

cdef inline bint reach_is_whole(const reach_t *reach) noexcept nogil:
    return reach.bits == NULL

cdef inline bint reader_is(const reader_t *one, const reader_t *other) noexcept nogil:
    return one.reach == other.reach and one.flip == other.flip and (one.flip == NULL or (
        one.at.serial == other.at.serial and one.at.node == other.at.node and one.at.class_ == other.at.class_
        and one.at.dbid == other.at.dbid))

cdef inline void reader_of(const cursor_t *cursor, reader_t *reader) noexcept nogil:
    reader.reach = cursor.reach
    reader.flip = cursor.flip
    reader.at = cursor.flip_at

cdef inline bint at_passed(const flip_at_t *at, uint32_t node, uint32_t class_, uint32_t dbid,
                           uint64_t serial) noexcept nogil:
    """Whether a flip that is there has told the object, which that node governs, to the subscription."""
    if at.node != node:
        return node < at.node
    if at.class_ != class_:
        return class_ < at.class_
    return dbid < at.dbid or (dbid == at.dbid and serial <= at.serial)

cdef void item_nodes(worker_t *w, const csp_item_t *item, uint32_t *before, uint32_t *after) noexcept nogil:
    """Numbers of the nodes; of an item that came from elsewhere, which has none, they are found by their names."""
    before[0] = item.node_before
    after[0] = item.node_after
    if before[0] == 0 and item.before_class != 0:
        before[0] = view_node(&w.view, item.before_class, item.before_dbid)
    if after[0] == 0 and item.after_class != 0:
        after[0] = view_node(&w.view, item.after_class, item.after_dbid)

cdef int judge_item(const reader_t *reader, uint64_t revision, const csp_item_t *item, uint32_t before, uint32_t after,
                    uint64_t serial) noexcept nogil:
    """What an item of that revision is to a reader's subscription of that serial: AS_LOGGED, AS_CREATE, …"""
    cdef const reach_t *was = reader.reach
    cdef const reach_t *now = reader.reach
    cdef bint could, can
    if reader.flip != NULL:
        if revision <= reader.flip.until:
            was = reader.flip.old
            now = was
        elif item.base <= reader.flip.until \
                and not at_passed(&reader.at, before, item.class_id, item.dbid, serial):
            was = reader.flip.old
    could = item.op != OP_CREATE and reach_has(was, before)
    can = item.op != CSP_OP_DELETE and reach_has(now, after)
    if can:
        return AS_LOGGED if could or item.op == OP_CREATE else AS_CREATE
    if could:
        return AS_LOGGED if item.op == CSP_OP_DELETE else AS_DELETE
    return AS_NOTHING

# ---- who changed it ----

cdef uint32_t event_actor(const csp_item_t *item) noexcept nogil:
    """Where the event says who changed the object, as the last thing of all; its size where it does not."""
    cdef const char *event = <const char *> item_event(item)
    cdef const char *begin = b',"actor":{'
    cdef uint32_t size = item.event_size
    cdef uint32_t least = size - ACTOR_BYTES_MAX if size > ACTOR_BYTES_MAX else 0
    cdef uint32_t at
    if size < 12 or event[size - 1] != c'}':
        return size                 # it ends with its time
    at = size - 11
    while at > least:
        if event[at] == c',' and memcmp(event + at, begin, 10) == 0:
            return at
        at -= 1
    return size

cdef uint32_t actor_node(worker_t *w, const csp_item_t *item, uint32_t at) noexcept nogil:
    """Which node governs the account that an event names; 0: none that is known."""
    cdef const char *text = <const char *> item_event(item) + at
    cdef uint32_t size = item.event_size - at
    cdef const char *begin = b',"actor":{"account":"'
    cdef const char *end
    cdef csp_view_t all_
    cdef csp_record_t *record
    if size < 22 or memcmp(text, begin, 21) != 0:
        return 0
    text += 21
    end = <const char *> memchr(text, c'"', size - 21)
    if end == NULL:
        return 0
    all_ = view_all(w.store, w.view.revision)
    record = view_visible(&all_, view_newest(&all_, view_key(&all_, text, <uint32_t> (end - text))))
    return 0 if record == NULL else record.node

# ---- more ----

cdef void aheads_free(worker_t *w, marks_t *self) noexcept nogil:
    cdef uint32_t i
    for i in range(self.ahead_room):
        if self.aheads[i].serial != 0:
            reach_drop(&w.rights, self.aheads[i].reader.reach)
            flip_drop(w, self.aheads[i].reader.flip)
    free(self.aheads)
    self.aheads = NULL
    self.ahead_room = 0
    self.ahead_count = 0

cdef inline uint32_t ahead_hash(uint64_t serial, const reader_t *reader) noexcept nogil:
    cdef uint64_t mixed = (serial ^ <uint64_t> <size_t> reader.reach) * <uint64_t> 0x9E3779B97F4A7C15
    return <uint32_t> ((mixed ^ <uint64_t> <size_t> reader.flip) * <uint64_t> 0x9E3779B97F4A7C15 >> 32)

cdef ahead_t *ahead_find(marks_t *self, uint64_t serial, const reader_t *reader) noexcept nogil:
    """Of a node and reader, or the free place for it."""
    cdef uint32_t i = ahead_hash(serial, reader) & (self.ahead_room - 1)
    while self.aheads[i].serial != 0 \
            and not (self.aheads[i].serial == serial and reader_is(&self.aheads[i].reader, reader)):
        i = (i + 1) & (self.ahead_room - 1)
    return &self.aheads[i]

cdef bint aheads_grow(marks_t *self) noexcept nogil:
    cdef ahead_t *old = self.aheads
    cdef uint32_t old_room = self.ahead_room
    cdef uint32_t i
    cdef ahead_t *grown = <ahead_t *> calloc(old_room * 2 if old_room > 0 else 16, sizeof(ahead_t))
    if grown == NULL:
        return False
    self.aheads = grown
    self.ahead_room = old_room * 2 if old_room > 0 else 16
    for i in range(old_room):
        if old[i].serial != 0:
            ahead_find(self, old[i].serial, &old[i].reader)[0] = old[i]
    free(old)
    return True

cdef void ahead_begin(ahead_t *self, const told_t *told, const node_t *node, const reader_t *reader) noexcept nogil:
    self.reader = reader[0]
    self.serial = node.serial
    self.at = told.offset
    self.item = told.index
    self.found = 0

cdef ahead_t *ahead_of(worker_t *w, const told_t *told, const node_t *node, const reader_t *reader) noexcept nogil:
    """Of a node and reader, begun at the item at hand where there is none; NULL without memory."""
    cdef marks_t *marks = marks_of(w, told.entry)
    cdef ahead_t *ahead
    if (marks.ahead_count + 1) * 2 > marks.ahead_room and not aheads_grow(marks):
        return NULL
    ahead = ahead_find(marks, node.serial, reader)
    if ahead.serial == 0:
        ahead_begin(ahead, told, node, reader)
        reach_keep(reader.reach)
        flip_hold(reader.flip)
        marks.ahead_count += 1
    return ahead

cdef int ahead_look(worker_t *w, ahead_t *self, const told_t *told, const node_t *node) noexcept nogil:
    """Looks on from where it is: TOLD_MORE where an item follows that is shown, 0 for none, or AS_UNKNOWN."""
    cdef const csp_item_t *item
    cdef uint32_t before = 0, after = 0, index, looks = 0
    while self.item < told.entry.item_count:
        looks += 1
        if looks % AHEAD_ITEMS == 0 and w.generation != REPLAY_GENERATION and walk_over(w):
            return AS_UNKNOWN
        item = <const csp_item_t *> (<const char *> told.entry + self.at)
        index = self.item
        self.at += item.size
        self.item += 1
        if index <= told.index or not item_known(item) or not node_matches(node, item):
            continue
        item_nodes(w, item, &before, &after)
        if judge_item(&self.reader, told.entry.revision, item, before, after, node.serial) != AS_NOTHING:
            self.found = index
            return TOLD_MORE
    return 0

cdef int more_for(worker_t *w, const told_t *told, const node_t *node, const reader_t *reader) noexcept nogil:
    """Whether the reader is shown more of the entry on the node: TOLD_MORE, 0, or AS_UNKNOWN."""
    cdef ahead_t *ahead
    cdef ahead_t alone
    if told.entry.item_count == 1:
        return 0
    ahead = ahead_of(w, told, node, reader)
    if ahead == NULL:
        ahead_begin(&alone, told, node, reader)
        ahead = &alone
    if ahead.found > told.index:
        return TOLD_MORE
    return ahead_look(w, ahead, told, node)

# ---- the form of a message ----

cdef void told_begin(told_t *told, const csp_entry_t *entry, const csp_item_t *item, uint32_t index) noexcept nogil:
    told.entry = entry
    told.item = item
    told.index = index
    told.offset = <uint32_t> (<const char *> item - <const char *> entry)
    told.looked = False
    told.actor_at = item.event_size

cdef void told_look(worker_t *w, told_t *told) noexcept nogil:
    """Learns what an item is judged by."""
    if told.looked:
        return
    told.looked = True
    item_nodes(w, told.item, &told.before, &told.after)
    told.actor_at = event_actor(told.item)
    told.actor_node = actor_node(w, told.item, told.actor_at) if told.actor_at < told.item.event_size else 0

cdef int form_for(worker_t *w, told_t *told, node_t *node, const reader_t *reader) noexcept nogil:
    """How the item is told to a reader on the node; AS_NOTHING, or AS_UNKNOWN."""
    cdef int how, more
    if reader.flip == NULL and reach_is_whole(reader.reach):
        return TOLD_MORE if node_last(w, node, told.entry) > told.index else AS_LOGGED
    told_look(w, told)
    how = judge_item(reader, told.entry.revision, told.item, told.before, told.after, node.serial)
    if how == AS_NOTHING:
        return how
    more = more_for(w, told, node, reader)
    if more == AS_UNKNOWN:
        return more
    if told.actor_at < told.item.event_size and not reach_has(reader.reach, told.actor_node):
        how |= TOLD_BARE
    return how | more

cdef inline void forms_begin(worker_t *w) noexcept nogil:
    """Another item or node: no form of its message is noted."""
    w.deliver.forms.round += 1
    memset(w.deliver.forms.messages, 0xFF, sizeof(w.deliver.forms.messages))

cdef int message_for(worker_t *w, told_t *told, node_t *node, uint32_t which, const spot_t *spot,
                     const cursor_t *cursor) noexcept nogil:
    """The message of the slice that tells the item to a subscriber, noted if it is new; AS_NOTHING, or AS_UNKNOWN."""
    cdef forms_t *forms = &w.deliver.forms
    cdef known_form_t *known
    cdef reader_t reader
    cdef int form
    reader_of(cursor, &reader)
    known = &forms.known[ahead_hash(0, &reader) & (FORMS_KNOWN - 1)]
    if known.round == forms.round and reader_is(&known.reader, &reader):
        return known.message
    form = form_for(w, told, node, &reader)
    if form >= 0:
        if forms.messages[form] < 0:
            forms.messages[form] = <int> w.deliver.slice.count
            message_note(w, node, which, told, <uint32_t> form, spot)
        form = forms.messages[form]
    known.round = forms.round
    known.reader = reader
    known.message = form
    return form

# ---- channels ----

cdef bint conn_may_read(worker_t *w, csp_conn *c, uint32_t class_id, uint32_t dbid) noexcept nogil:
    """Whether the object is there at S, and the connection's session may read it."""
    cdef csp_view_t all_ = view_all(w.store, w.view.revision)
    cdef csp_record_t *record = view_find(&all_, class_id, dbid)
    return record != NULL and reach_has(conn_reach(w, c), record.node)

cdef bint conn_may_hear(worker_t *w, csp_conn *c, const char *name, uint32_t size) noexcept nogil:
    """Whether a channel names no object or tenant that the connection's session may not read."""
    cdef scope_t scope
    if reach_is_whole(conn_reach(w, c)) or channel_read(name, size, False, &scope) != CHANNEL_SIMPLE:
        return True
    if scope.binds & BINDS_TENANT and not conn_may_read(w, c, CSP_TENANT_CLASS, scope.tenant):
        return False
    return scope.binds & (BINDS_CLASS | BINDS_DBID) != BINDS_CLASS | BINDS_DBID \
        or conn_may_read(w, c, scope.class_, scope.dbid)
