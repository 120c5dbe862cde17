# Included by csp/_fastpath.pyx after: read, watch, conn, subs.
# Finds the channels and patterns that a change matches, and the last change of a transaction that one matches.
#
# Invariants:
# 1. A search names each node once, with the first name of the item that it matches, in the order the nodes were made.
# 2. No text is built or hashed: a place that somebody subscribes to costs one look-up, a level of places that
#    nobody does nothing.
# 3. A mark holds for its entry of its generation alone. Nodes up to `until` are marked by one pass over the
#    entry; a younger one is looked for alone, and where there are many such, the pass is made again.

cdef enum:
    MATCHES_SORTED_SIMPLY = 16      # so few are sorted without a call
    MARKS_ROOM_KEPT = 4096          # marks whose memory another entry takes over
    MARKS_ALONE = 16                # nodes looked for alone before the pass is made again

cdef inline void match_put(watch_t *self, node_t *node, uint32_t which, uint32_t *count) noexcept nogil:
    if node.round == self.round:
        return
    node.round = self.round
    self.matches[count[0]].node = node
    self.matches[count[0]].which = which
    count[0] += 1

cdef inline uint64_t levels_of(uint32_t form) noexcept nogil:
    return <uint64_t> 0xFF << (form << 3)

cdef inline void match_levels(watch_t *self, uint64_t levels, const csp_item_t *item, uint32_t tenant,
                              uint32_t which, uint32_t *count) noexcept nogil:
    """Looks up the item's place at each of these levels, which are of one form."""
    cdef place_t place
    cdef peg_t *peg
    cdef uint32_t level
    while levels:
        level = csp_ctz(levels)
        levels &= levels - 1
        place.level = <uint16_t> level
        place.tenant = tenant if level & BINDS_TENANT else 0
        place.class_ = item.class_id if level & BINDS_CLASS else 0
        place.dbid = item.dbid if level & BINDS_DBID else 0
        peg = self.pegs[place_hash(&place) & (self.peg_room - 1)]
        while peg != NULL:
            if same_place(&peg.place, &place):
                match_put(self, peg.node, which, count)
            peg = peg.next

cdef int match_order(const void *a, const void *b) noexcept nogil:
    cdef uint64_t one = (<const match_t *> a).node.serial
    cdef uint64_t other = (<const match_t *> b).node.serial
    return (one > other) - (one < other)

cdef void matches_sort(match_t *matches, uint32_t count) noexcept nogil:
    cdef uint32_t i, k
    cdef match_t one
    if count > MATCHES_SORTED_SIMPLY:
        qsort(matches, count, sizeof(match_t), match_order)
        return
    for i in range(1, count):
        one = matches[i]
        k = i
        while k > 0 and matches[k - 1].node.serial > one.node.serial:
            matches[k] = matches[k - 1]
            k -= 1
        matches[k] = one

cdef uint32_t watch_match(worker_t *w, const csp_item_t *item) noexcept nogil:
    """Fills w.watch.matches with the nodes that the item matches, by serial; how many."""
    cdef watch_t *self = &w.watch
    cdef uint64_t levels
    cdef uint32_t i, which, count = 0
    if self.count == 0 or not item_known(item):
        return 0
    levels = self.levels[0] | self.levels[item.class_id]
    self.round += 1
    for which in range(FORM_TENANT_CLASS):
        match_levels(self, levels & levels_of(which), item, 0, which, &count)
    levels &= levels_of(FORM_TENANT_CLASS) | levels_of(FORM_TENANT)
    if levels:
        for i in range(item.tenant_count):
            which = FORM_TENANT_CLASS + 2 * i
            match_levels(self, levels & levels_of(FORM_TENANT_CLASS), item, item_tenants(item)[i], which, &count)
            match_levels(self, levels & levels_of(FORM_TENANT), item, item_tenants(item)[i], which + 1, &count)
    for i in range(self.loose_count):
        if self.loose[i].loose.classes >> item.class_id & 1:
            which = loose_which(self.loose[i].loose, item)
            if which != NO_NAME:
                match_put(self, self.loose[i], which, &count)
    if count > 1:
        matches_sort(self.matches, count)
    return count

cdef bint node_matches(const node_t *node, const csp_item_t *item) noexcept nogil:
    """Whether one node matches an item of a known class."""
    cdef const place_t *place
    cdef uint32_t i, k
    for i in range(node.peg_count):
        place = &node.pegs[i].place
        if (place.level & BINDS_CLASS and place.class_ != item.class_id) \
                or (place.level & BINDS_DBID and place.dbid != item.dbid):
            continue
        if place.level >> 3 < FORM_TENANT_CLASS:
            return True
        for k in range(item.tenant_count):
            if place.level & BINDS_TENANT == 0 or place.tenant == item_tenants(item)[k]:
                return True
    return node.loose != NULL and node.loose.classes >> item.class_id & 1 \
        and loose_which(node.loose, item) != NO_NAME

# ---- marks ----

cdef mark_t *marks_find(marks_t *self, uint64_t serial) noexcept nogil:
    """The mark of a node, or the free place for it; NULL while there is no room at all."""
    cdef uint32_t i
    if self.room == 0:
        return NULL
    i = <uint32_t> ((serial * <uint64_t> 0x9E3779B97F4A7C15) >> 32) & (self.room - 1)
    while self.items[i].serial != 0 and self.items[i].serial != serial:
        i = (i + 1) & (self.room - 1)
    return &self.items[i]

cdef int marks_grow(marks_t *self) noexcept nogil:
    cdef mark_t *old = self.items
    cdef uint32_t old_room = self.room
    cdef uint32_t i
    cdef mark_t *items = <mark_t *> calloc(old_room * 2 if old_room > 0 else 64, sizeof(mark_t))
    if items == NULL:
        return -1
    self.items = items
    self.room = old_room * 2 if old_room > 0 else 64
    for i in range(old_room):
        if old[i].serial != 0:
            marks_find(self, old[i].serial)[0] = old[i]
    free(old)
    return 0

cdef void marks_put(marks_t *self, uint64_t serial, uint32_t last) noexcept nogil:
    cdef mark_t *mark
    if (self.count + 1) * 2 > self.room and marks_grow(self) != 0:
        self.failed = True
        return
    mark = marks_find(self, serial)
    self.count += mark.serial == 0
    mark.serial = serial
    mark.last = last

cdef void marks_begin(worker_t *w, marks_t *self, const csp_entry_t *entry) noexcept nogil:
    """Forgets what was marked, for a pass over this entry."""
    if self.room > MARKS_ROOM_KEPT:
        free(self.items)
        self.items = NULL
        self.room = 0
    elif self.room > 0:
        memset(self.items, 0, self.room * sizeof(mark_t))
    aheads_free(w, self)
    self.generation = w.generation
    self.revision = entry.revision
    self.until = w.watch.serial
    self.count = 0
    self.alone = 0
    self.failed = False
    self.item = 0
    self.at = <const char *> entry_items(entry) - <const char *> entry

cdef marks_t *marks_of(worker_t *w, const csp_entry_t *entry) noexcept nogil:
    """The marks of an entry, begun if there are none; the ones used least recently give way."""
    cdef watch_t *self = &w.watch
    cdef marks_t *oldest = &self.marks[0]
    cdef uint32_t i
    self.marks_used += 1
    for i in range(MARKS):
        if self.marks[i].revision == entry.revision and self.marks[i].generation == w.generation:
            self.marks[i].used = self.marks_used
            return &self.marks[i]
        if self.marks[i].used < oldest.used:
            oldest = &self.marks[i]
    oldest.used = self.marks_used
    marks_begin(w, oldest, entry)
    return oldest

cdef void marks_go_on(worker_t *w, marks_t *self, const csp_entry_t *entry, uint32_t items) noexcept nogil:
    """So many more items of the pass."""
    cdef const csp_item_t *item = <const csp_item_t *> (<const char *> entry + self.at)
    cdef match_t *matches = w.watch.matches
    cdef uint32_t i, count
    w.watch.matches = w.watch.marking       # what was found for an item stands while its message is made
    while self.item < entry.item_count and items > 0:
        count = watch_match(w, item)
        for i in range(count):
            if w.watch.matches[i].node.serial <= self.until:
                marks_put(self, w.watch.matches[i].node.serial, self.item)
        item = <const csp_item_t *> (<const char *> item + item.size)
        self.item += 1
        items -= 1
    self.at = <const char *> item - <const char *> entry
    w.watch.matches = matches

cdef bint watch_marked(worker_t *w, const csp_entry_t *entry, uint32_t items) noexcept nogil:
    """Goes on by so many items with the pass that node_last needs; whether it is over. For turns with a budget."""
    cdef marks_t *marks
    if entry.item_count == 1:
        return True
    marks = marks_of(w, entry)
    marks_go_on(w, marks, entry, items)
    return marks.item == entry.item_count

cdef uint32_t node_alone(const node_t *node, const csp_entry_t *entry) noexcept nogil:
    cdef const csp_item_t *item = entry_items(entry)
    cdef uint32_t i, last = 0
    for i in range(entry.item_count):
        if item_known(item) and node_matches(node, item):
            last = i
        item = <const csp_item_t *> (<const char *> item + item.size)
    return last

cdef uint32_t node_last(worker_t *w, node_t *node, const csp_entry_t *entry) noexcept nogil:
    """The index of the last item of the entry that the node matches; 0 where it matches none."""
    cdef marks_t *marks
    cdef mark_t *mark
    cdef uint32_t last
    if entry.item_count == 1:
        return 0
    marks = marks_of(w, entry)
    if node.serial > marks.until and marks.alone == MARKS_ALONE:
        marks_begin(w, marks, entry)
    marks_go_on(w, marks, entry, UINT32_MAX)
    mark = marks_find(marks, node.serial)
    if mark != NULL and mark.serial == node.serial:
        return mark.last
    if node.serial <= marks.until and not marks.failed:
        return 0
    last = node_alone(node, entry)
    marks_put(marks, node.serial, last)
    marks.alone += 1
    return last
