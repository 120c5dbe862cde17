# Included by csp/_fastpath.pyx after: parse, reply.
# Subscriptions: who listens to which channel or pattern, found by hash; the tables only, delivery is in deliver.pxi.
#
# Invariants:
# 1. A node exists while somebody subscribes to it; a connection's set holds a node exactly when
#    the node's list holds the connection.
# 2. Every set entry knows its place in the node's list, so leaving is O(1) however many listen.
# 3. Matching a pattern takes time bounded by name length x pattern length.

cdef struct node_t:
    uint64_t hash
    node_t *next                    # in its bucket
    char *name
    uint32_t size
    uint32_t place                  # in the list of patterns
    bint pattern
    bint event                      # may match a change or a notice
    uint32_t count
    uint32_t room
    uint32_t *rows                  # of its subscribers
    uint64_t seen_revision          # while an entry is delivered: its revision,
    uint32_t last_item              # the last item that matched
    uint32_t matched_name           # and, for a pattern, which name of the item it matched

cdef struct link_t:
    node_t *node
    uint32_t place                  # in node.rows

cdef struct subs_t:
    uint32_t count
    uint32_t patterns
    uint32_t room                   # a power of two, at least twice count
    link_t *links

cdef struct watch_t:
    node_t **buckets
    uint32_t room                   # a power of two
    uint32_t count
    node_t **patterns
    uint32_t pattern_count
    uint32_t pattern_room

# Names are hashed under a seed of this process, so that nobody outside can choose names that collide.
cdef uint64_t WATCH_SEED = int.from_bytes(os.urandom(7), "little")

cdef inline uint64_t hash_bytes(const char *data, uint64_t size, bint pattern) noexcept nogil:
    return csp_hash(WATCH_SEED + <uint64_t> pattern, data, size)

cdef inline node_t *watch_find(watch_t *self, const char *name, uint32_t size, bint pattern) noexcept nogil:
    cdef node_t *node
    cdef uint64_t hash_
    if self.count == 0:
        return NULL
    hash_ = hash_bytes(name, size, pattern)
    node = self.buckets[hash_ & (self.room - 1)]
    while node != NULL:
        if node.hash == hash_ and node.size == size and node.pattern == pattern \
                and memcmp(node.name, name, size) == 0:
            return node
        node = node.next
    return NULL

cdef int watch_grow(watch_t *self) noexcept nogil:
    cdef uint32_t room = self.room * 2 if self.room > 0 else 64
    cdef node_t **buckets = <node_t **> calloc(room, sizeof(node_t *))
    cdef node_t *node
    cdef node_t *next_
    cdef uint32_t i
    if buckets == NULL:
        return -1
    for i in range(self.room):
        node = self.buckets[i]
        while node != NULL:
            next_ = node.next
            node.next = buckets[node.hash & (room - 1)]
            buckets[node.hash & (room - 1)] = node
            node = next_
    free(self.buckets)
    self.buckets = buckets
    self.room = room
    return 0

cdef node_t *watch_make(watch_t *self, const char *name, uint32_t size, bint pattern) noexcept nogil:
    """The node of a channel or pattern, made if it is new; NULL without memory."""
    cdef node_t *node = watch_find(self, name, size, pattern)
    cdef node_t **patterns
    cdef uint32_t room
    if node != NULL:
        return node
    if self.count >= self.room and watch_grow(self) != 0:
        return NULL
    if pattern and self.pattern_count == self.pattern_room:
        room = self.pattern_room * 2 if self.pattern_room > 0 else 16
        patterns = <node_t **> realloc(self.patterns, room * sizeof(node_t *))
        if patterns == NULL:
            return NULL
        self.patterns = patterns
        self.pattern_room = room
    node = <node_t *> calloc(1, sizeof(node_t))
    if node == NULL:
        return NULL
    node.name = <char *> malloc(size + 1)
    if node.name == NULL:
        free(node)
        return NULL
    memcpy(node.name, name, size)
    node.name[size] = 0
    node.size = size
    node.pattern = pattern
    node.event = pattern or (size >= 3 and memcmp(name, b"cfg", 3) == 0)
    node.hash = hash_bytes(name, size, pattern)
    node.next = self.buckets[node.hash & (self.room - 1)]
    self.buckets[node.hash & (self.room - 1)] = node
    self.count += 1
    if pattern:
        node.place = self.pattern_count
        self.patterns[self.pattern_count] = node
        self.pattern_count += 1
    return node

cdef void watch_remove(watch_t *self, node_t *node) noexcept nogil:
    cdef node_t **at = &self.buckets[node.hash & (self.room - 1)]
    while at[0] != node:
        at = &at[0].next
    at[0] = node.next
    self.count -= 1
    if node.pattern:
        self.pattern_count -= 1
        self.patterns[node.place] = self.patterns[self.pattern_count]
        self.patterns[node.place].place = node.place
    free(node.rows)
    free(node.name)
    free(node)

cdef void watch_close(watch_t *self) noexcept nogil:
    cdef uint32_t i
    cdef node_t *node
    cdef node_t *next_
    for i in range(self.room):
        node = self.buckets[i]
        while node != NULL:
            next_ = node.next
            free(node.rows)
            free(node.name)
            free(node)
            node = next_
    free(self.buckets)
    free(self.patterns)
    memset(self, 0, sizeof(watch_t))

cdef inline uint32_t link_hash(node_t *node) noexcept nogil:
    return <uint32_t> ((<uint64_t> <size_t> node * <uint64_t> 0x1E3779B97F4A7C15) >> 32)

cdef link_t *subs_find(subs_t *self, node_t *node) noexcept nogil:
    cdef uint32_t i
    if self == NULL:
        return NULL
    i = link_hash(node) & (self.room - 1)
    while self.links[i].node != NULL:
        if self.links[i].node == node:
            return &self.links[i]
        i = (i + 1) & (self.room - 1)
    return NULL

cdef void subs_put(subs_t *self, node_t *node, uint32_t place) noexcept nogil:
    cdef uint32_t i = link_hash(node) & (self.room - 1)
    while self.links[i].node != NULL:
        i = (i + 1) & (self.room - 1)
    self.links[i].node = node
    self.links[i].place = place

cdef int subs_grow(subs_t *self) noexcept nogil:
    cdef link_t *old = self.links
    cdef uint32_t old_room = self.room
    cdef uint32_t room = old_room * 2 if old_room > 0 else 4
    cdef uint32_t i
    cdef link_t *links = <link_t *> calloc(room, sizeof(link_t))
    if links == NULL:
        return -1
    self.links = links
    self.room = room
    for i in range(old_room):
        if old[i].node != NULL:
            subs_put(self, old[i].node, old[i].place)
    free(old)
    return 0

cdef void subs_take(subs_t *self, link_t *link) noexcept nogil:
    """Removes a link and closes the gap it leaves in its probe run."""
    cdef uint32_t hole = <uint32_t> (link - self.links)
    cdef uint32_t i = hole
    cdef uint32_t home
    cdef uint32_t mask = self.room - 1
    while True:
        i = (i + 1) & mask
        if self.links[i].node == NULL:
            break
        home = link_hash(self.links[i].node) & mask
        if ((i - home) & mask) >= ((i - hole) & mask):
            self.links[hole] = self.links[i]
            hole = i
    self.links[hole].node = NULL

cdef int watch_add(worker_t *w, csp_conn *c, const char *name, uint32_t size, bint pattern) noexcept nogil:
    """Subscribes; 1 when it is new, 0 when it was there already, -1 without memory."""
    cdef subs_t *subs = <subs_t *> c.subs
    cdef node_t *node
    cdef uint32_t *rows
    cdef uint32_t room
    if subs == NULL:
        subs = <subs_t *> calloc(1, sizeof(subs_t))
        if subs == NULL:
            return -1
        c.subs = <csp_subs *> subs
    if (subs.count + 1) * 2 > subs.room and subs_grow(subs) != 0:
        return -1
    node = watch_make(&w.watch, name, size, pattern)
    if node == NULL:
        return -1
    if subs_find(subs, node) != NULL:
        return 0
    if node.count == node.room:
        room = node.room * 2 if node.room > 0 else 4
        rows = <uint32_t *> realloc(node.rows, room * sizeof(uint32_t))
        if rows == NULL:
            if node.count == 0:
                watch_remove(&w.watch, node)
            return -1
        node.rows = rows
        node.room = room
    subs_put(subs, node, node.count)
    node.rows[node.count] = <uint32_t> (c - w.rows)
    node.count += 1
    if subs.count == 0:
        w.stats.subscribers += 1
    subs.count += 1
    subs.patterns += pattern
    c.subscriptions = subs.count
    if node.event:
        w.event_subscriptions += 1
    w.stats.subscriptions += 1
    return 1

cdef void watch_leave(worker_t *w, csp_conn *c, link_t *link) noexcept nogil:
    """Ends one subscription."""
    cdef subs_t *subs = <subs_t *> c.subs
    cdef node_t *node = link.node
    cdef uint32_t place = link.place
    cdef uint32_t moved
    node.count -= 1
    if place != node.count:
        moved = node.rows[node.count]
        node.rows[place] = moved
        subs_find(<subs_t *> w.rows[moved].subs, node).place = place
    subs.count -= 1
    subs.patterns -= node.pattern
    c.subscriptions = subs.count
    if node.event:
        w.event_subscriptions -= 1
    w.stats.subscriptions -= 1
    subs_take(subs, link)
    if node.count == 0:
        watch_remove(&w.watch, node)
    if subs.count == 0:
        w.stats.subscribers -= 1
        free(subs.links)
        free(subs)
        c.subs = NULL

cdef void watch_drop(worker_t *w, csp_conn *c) noexcept nogil:
    """Ends all subscriptions of a connection."""
    cdef subs_t *subs = <subs_t *> c.subs
    cdef uint32_t i = 0
    while c.subs != NULL:
        while subs.links[i].node == NULL:
            i = (i + 1) & (subs.room - 1)
        watch_leave(w, c, &subs.links[i])

cdef bint glob_class(const char **pattern, const char *end, unsigned char value) noexcept nogil:
    """Whether value is in the `[…]` that begins at pattern, which is moved behind it; as in Redis."""
    cdef const char *p = pattern[0] + 1
    cdef bint negated = p < end and p[0] == c'^'
    cdef bint found = False
    cdef unsigned char low, high
    if negated:
        p += 1
    while p < end and p[0] != c']':
        if p[0] == c'\\' and p + 1 < end:
            p += 1
            found |= <unsigned char> p[0] == value
        elif p + 2 < end and p[1] == c'-':
            low = <unsigned char> p[0]
            high = <unsigned char> p[2]
            if low > high:
                low, high = high, low
            p += 2
            found |= low <= value <= high
        else:
            found |= <unsigned char> p[0] == value
        p += 1
    pattern[0] = p + 1 if p < end else end
    return found != negated

cdef bint glob_match(const char *pattern, uint32_t pattern_size, const char *text, uint32_t text_size) noexcept nogil:
    """Redis's globs, matched with one remembered star: time is at most the product of both lengths."""
    cdef const char *p = pattern
    cdef const char *p_end = pattern + pattern_size
    cdef const char *t = text
    cdef const char *t_end = text + text_size
    cdef const char *star = NULL
    cdef const char *star_text = NULL
    cdef const char *p_next
    cdef bint hit
    while t < t_end:
        if p < p_end and p[0] == c'*':
            star = p
            star_text = t
            p += 1
            continue
        hit = False
        p_next = p
        if p < p_end:
            if p[0] == c'?':
                hit = True
                p_next = p + 1
            elif p[0] == c'[':
                hit = glob_class(&p_next, p_end, <unsigned char> t[0])
            else:
                if p[0] == c'\\' and p + 1 < p_end:
                    p_next = p + 1
                hit = p_next[0] == t[0]
                p_next += 1
        if hit:
            p = p_next
            t += 1
        elif star != NULL:
            star_text += 1
            t = star_text
            p = star + 1
        else:
            return False
    while p < p_end and p[0] == c'*':
        p += 1
    return p == p_end


def match_glob(pattern: bytes, text: bytes) -> bool:
    """Whether text matches the pattern of a PSUBSCRIBE."""
    cdef const char *p = pattern
    cdef const char *t = text
    return glob_match(p, <uint32_t> len(pattern), t, <uint32_t> len(text))
