# Included by csp/_fastpath.pyx after: parse, reply, glob, channels, loose.
# Subscriptions: who listens to which channel or pattern; the tables only, delivery is in deliver.pxi.
#
# Invariants:
# 1. A node exists while somebody subscribes to it; a connection's set holds a node exactly when
#    the node's list holds the connection.
# 2. Every set entry knows its place in the node's list, so leaving is O(1) however many listen.
# 3. SUBSCRIBE and its kin find a node by its text. A change finds it by numbers: at the places of a channel or
#    simple pattern, or among the loose patterns; foreign texts are found by no change.
# 4. `levels` of a class has the bit of each level at which a place bound to it exists, of class 0 of each level
#    at which a place is open to all classes.
# 5. There is room for every node among the matches of an item, so matching allocates nothing.

cdef enum:
    MARKS = 8                       # entries whose marks are kept: as many are told to connections in turn

cdef struct sub_t:
    uint32_t row                    # of the subscriber

cdef struct peg_t:                  # a node at a place
    place_t place
    peg_t *next                     # in its bucket
    node_t *node

cdef struct node_t:
    uint64_t serial                 # grows with each node made
    uint64_t hash
    node_t *next                    # in its bucket of texts
    char *name
    uint32_t size
    bint pattern
    bint event                      # may match a change or a notice
    uint32_t count
    uint32_t room
    sub_t *subs
    uint64_t round                  # the search in which it matched last
    node_t *notice_next             # of those that match cfg.notice
    node_t *notice_before
    bint notice
    loose_t *loose
    uint32_t loose_at               # its place among the loose ones
    uint32_t peg_count
    peg_t *pegs                     # behind the node itself, as its name is

cdef struct match_t:
    node_t *node
    uint32_t which                  # name of the item, as item_name counts

cdef struct link_t:
    node_t *node
    uint32_t place                  # in node.subs

cdef struct spot_t:                 # a place in the log: cursor.pxi
    uint64_t revision               # of the entry
    uint64_t serial                 # of the last match of the item that was told
    uint32_t item                   # its index
    uint32_t offset                 # from the entry's begin; 0: the first

cdef enum cursor_state:
    CURSOR_GOES = 0
    CURSOR_LOST = 1                 # it goes on, but this history has not its place: first it is told so
    CURSOR_RESTS = 2                # until so many subscriptions exist as CFG.FROM said
    CURSOR_AWAITS = 3               # its revision is yet to come
    CURSOR_FETCHES = 4              # what comes next has left the log: replay.pxi

cdef struct flip_at_t:              # how far a flip has come: the object at hand, and which of its matches were told
    uint64_t serial                 # of the last one; UINT64_MAX: all
    uint32_t node
    uint32_t class_
    uint32_t dbid

cdef struct flip_t:                 # what a change of rights means to sessions that had one reach and have another
    uint32_t refs
    reach_t *old
    reach_t *fresh
    uint64_t until                  # up to here all was told by the old one
    uint64_t revision               # of the change of rights
    int64_t time_ms

cdef struct cursor_t:
    reach_t *reach                  # by which changes are judged for it
    spot_t spot                     # while it is placed
    flip_t *flip                    # that is under way; NULL: none
    flip_at_t flip_at
    uint32_t state
    bint placed                     # it has a spot of its own
    bint due                        # in the list of those that go on
    bint active                     # the walk at hand takes it along
    bint sharing                    # messages of the slice at hand are noted for it:
    uint32_t first_share, last_share
    uint32_t notice                 # of the link, that waits for its socket

cdef struct start_t:                # what CFG.FROM said
    bint used
    bint unsure                     # nobody has looked whether this history has the place
    bint marked
    bint lost                       # it has not: said before anybody subscribed
    bint states                     # first come the objects that there are,
    bint shown                      # which have come
    uint32_t needs                  # how many subscriptions it rests until
    uint64_t mark
    int64_t until_ms                # how long its revision is awaited
    int64_t bookmark_ms             # from one bookmark to the next; 0: none
    int64_t bookmark_at_ms

cdef struct subs_t:
    cursor_t cursor                 # one for all
    uint32_t count
    uint32_t patterns
    uint32_t loose
    uint32_t room                   # a power of two, at least twice count
    link_t *links
    start_t start

cdef struct mark_t:
    uint64_t serial                 # of a node; 0: free
    uint32_t last                   # item of the entry that it matches

cdef struct reader_t:               # by what a change is judged for a subscriber
    reach_t *reach
    flip_t *flip
    flip_at_t at

cdef struct ahead_t:                # how far an entry was looked through for the next item of a node that one is shown
    reader_t reader
    uint64_t serial                 # of the node; 0: free
    uint64_t at                     # where to look on, from the entry's begin
    uint32_t item                   # and its index
    uint32_t found                  # the last one that was found; 0: none

cdef struct marks_t:                # of one entry
    uint64_t generation
    uint64_t revision
    uint64_t used
    uint64_t until                  # younger nodes are not marked by the pass
    uint64_t at                     # the item where the pass goes on, from the entry's begin
    uint32_t item                   # and its index
    uint32_t alone                  # nodes looked for alone since
    uint32_t count
    uint32_t room                   # a power of two, at least twice count
    mark_t *items
    bint failed                     # for want of memory some are missing
    ahead_t *aheads                 # the same for those who may not read all
    uint32_t ahead_count
    uint32_t ahead_room             # a power of two, at least twice ahead_count

cdef struct watch_t:
    node_t **buckets                # by text
    uint32_t room                   # a power of two
    uint32_t count
    peg_t **pegs                    # by place
    uint32_t peg_room
    uint32_t peg_count
    uint64_t serial                 # of the newest node
    uint64_t round                  # searches so far
    uint64_t levels[LOOSE_CLASSES]
    uint32_t level_pegs[LOOSE_CLASSES][LEVELS]
    node_t **loose
    uint32_t loose_room
    uint32_t loose_count
    node_t *notice_first
    node_t *notice_last
    match_t *matches                # of the last search
    match_t *marking                # the same while marks are made
    uint32_t match_room
    marks_t marks[MARKS]
    uint64_t marks_used

# Texts and places are hashed under seeds of this process, so that nobody outside can choose ones that collide.
cdef uint64_t WATCH_SEED = int.from_bytes(os.urandom(7), "little")
cdef uint64_t PLACE_SEED = int.from_bytes(os.urandom(8), "little")
cdef uint64_t PLACE_TENANT = int.from_bytes(os.urandom(8), "little")
cdef uint64_t PLACE_LEVEL = int.from_bytes(os.urandom(8), "little")
cdef uint64_t PLACE_DBID = int.from_bytes(os.urandom(8), "little")

cdef inline uint64_t hash_bytes(const char *data, uint64_t size, bint pattern) noexcept nogil:
    return csp_hash(WATCH_SEED + <uint64_t> pattern, data, size)

cdef inline uint32_t place_hash(const place_t *self) noexcept nogil:
    """Multiply-shift over its three words: no two places collide more often than chance, whoever picks them."""
    cdef uint64_t level = <uint64_t> self.level << 16 | self.class_
    return <uint32_t> ((PLACE_SEED + self.tenant * PLACE_TENANT + level * PLACE_LEVEL
                        + self.dbid * PLACE_DBID) >> 32)

cdef inline bint same_place(const place_t *self, const place_t *other) noexcept nogil:
    return self.tenant == other.tenant and self.class_ == other.class_ and self.level == other.level \
        and self.dbid == other.dbid

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

cdef int pegs_grow(watch_t *self) noexcept nogil:
    cdef uint32_t room = self.peg_room * 2 if self.peg_room > 0 else 64
    cdef peg_t **buckets = <peg_t **> calloc(room, sizeof(peg_t *))
    cdef peg_t *peg
    cdef peg_t *next_
    cdef uint32_t i, at
    if buckets == NULL:
        return -1
    for i in range(self.peg_room):
        peg = self.pegs[i]
        while peg != NULL:
            next_ = peg.next
            at = place_hash(&peg.place) & (room - 1)
            peg.next = buckets[at]
            buckets[at] = peg
            peg = next_
    free(self.pegs)
    self.pegs = buckets
    self.peg_room = room
    return 0

cdef int watch_room(watch_t *self, uint32_t pegs, bint loose) noexcept nogil:
    """Room in all tables for one more node; -1 without memory."""
    cdef match_t *matches
    cdef node_t **nodes
    cdef uint32_t room
    if self.count >= self.room and watch_grow(self) != 0:
        return -1
    while self.peg_count + pegs > self.peg_room:
        if pegs_grow(self) != 0:
            return -1
    if loose and self.loose_count == self.loose_room:
        room = self.loose_room * 2 if self.loose_room > 0 else 16
        nodes = <node_t **> realloc(self.loose, room * sizeof(node_t *))
        if nodes == NULL:
            return -1
        self.loose = nodes
        self.loose_room = room
    if self.count >= self.match_room:
        room = self.match_room * 2 if self.match_room > 0 else 16
        matches = <match_t *> realloc(self.matches, room * sizeof(match_t))
        if matches == NULL:
            return -1
        self.matches = matches
        matches = <match_t *> realloc(self.marking, room * sizeof(match_t))
        if matches == NULL:
            return -1
        self.marking = matches
        self.match_room = room
    return 0

cdef void peg_put(watch_t *self, peg_t *peg) noexcept nogil:
    cdef uint32_t at = place_hash(&peg.place) & (self.peg_room - 1)
    cdef uint32_t *pegs = &self.level_pegs[peg.place.class_][peg.place.level]
    peg.next = self.pegs[at]
    self.pegs[at] = peg
    self.peg_count += 1
    pegs[0] += 1
    self.levels[peg.place.class_] |= <uint64_t> 1 << peg.place.level

cdef void peg_take(watch_t *self, peg_t *peg) noexcept nogil:
    cdef peg_t **at = &self.pegs[place_hash(&peg.place) & (self.peg_room - 1)]
    cdef uint32_t *pegs = &self.level_pegs[peg.place.class_][peg.place.level]
    while at[0] != peg:
        at = &at[0].next
    at[0] = peg.next
    self.peg_count -= 1
    pegs[0] -= 1
    if pegs[0] == 0:
        self.levels[peg.place.class_] &= ~(<uint64_t> 1 << peg.place.level)

cdef void notice_put(watch_t *self, node_t *node) noexcept nogil:
    node.notice_before = self.notice_last
    if self.notice_last != NULL:
        self.notice_last.notice_next = node
    else:
        self.notice_first = node
    self.notice_last = node

cdef void notice_take(watch_t *self, node_t *node) noexcept nogil:
    if node.notice_before != NULL:
        node.notice_before.notice_next = node.notice_next
    else:
        self.notice_first = node.notice_next
    if node.notice_next != NULL:
        node.notice_next.notice_before = node.notice_before
    else:
        self.notice_last = node.notice_before

cdef inline node_t *watch_notice(worker_t *w) noexcept nogil:
    """The first node that matches cfg.notice; `notice_next` of a node is the next, in the order they were made."""
    return w.watch.notice_first

cdef void watch_put(watch_t *self, node_t *node) noexcept nogil:
    """Enters a finished node into all tables, which have room for it."""
    cdef uint32_t i
    self.serial += 1
    node.serial = self.serial
    node.next = self.buckets[node.hash & (self.room - 1)]
    self.buckets[node.hash & (self.room - 1)] = node
    self.count += 1
    for i in range(node.peg_count):
        node.pegs[i].node = node
        peg_put(self, &node.pegs[i])
    if node.loose != NULL:
        node.loose_at = self.loose_count
        self.loose[self.loose_count] = node
        self.loose_count += 1
    if node.notice:
        notice_put(self, node)

cdef node_t *node_new(const char *name, uint32_t size, bint pattern) noexcept nogil:
    """A node that nobody knows yet, its pattern compiled; NULL without memory."""
    cdef place_t places[FORMS]
    cdef scope_t scope
    cdef node_t *node
    cdef uint32_t i, count = 0
    cdef int kind = channel_read(name, size, pattern, &scope)
    if kind == CHANNEL_SIMPLE:
        count = scope_places(&scope, name, size, pattern, places)
    node = <node_t *> calloc(1, sizeof(node_t) + count * sizeof(peg_t) + size + 1)
    if node == NULL:
        return NULL
    node.peg_count = count
    node.pegs = <peg_t *> (<char *> node + sizeof(node_t))
    for i in range(count):
        node.pegs[i].place = places[i]
    node.name = <char *> (node.pegs + count)
    memcpy(node.name, name, size)
    node.size = size
    node.pattern = pattern
    node.hash = hash_bytes(name, size, pattern)
    if kind == CHANNEL_LOOSE:
        node.loose = <loose_t *> malloc(sizeof(loose_t))
        if node.loose == NULL:
            free(node)
            return NULL
        loose_compile(node.loose, name, size)
    node.notice = glob_match(name, size, b"cfg.notice", 10) if pattern \
        else size == 10 and memcmp(name, b"cfg.notice", 10) == 0
    node.event = count > 0 or node.notice or (node.loose != NULL and node.loose.classes != 0)
    return node

cdef void node_free(node_t *node) noexcept nogil:
    free(node.subs)
    free(node.loose)
    free(node)

cdef node_t *watch_make(watch_t *self, const char *name, uint32_t size, bint pattern) noexcept nogil:
    """The node of a channel or pattern, made if it is new; NULL without memory."""
    cdef node_t *node = watch_find(self, name, size, pattern)
    if node != NULL:
        return node
    node = node_new(name, size, pattern)
    if node == NULL:
        return NULL
    if watch_room(self, node.peg_count, node.loose != NULL) != 0:
        node_free(node)
        return NULL
    watch_put(self, node)
    return node

cdef void watch_remove(watch_t *self, node_t *node) noexcept nogil:
    cdef node_t **at = &self.buckets[node.hash & (self.room - 1)]
    cdef uint32_t i
    while at[0] != node:
        at = &at[0].next
    at[0] = node.next
    self.count -= 1
    for i in range(node.peg_count):
        peg_take(self, &node.pegs[i])
    if node.loose != NULL:
        self.loose_count -= 1
        self.loose[node.loose_at] = self.loose[self.loose_count]
        self.loose[node.loose_at].loose_at = node.loose_at
    if node.notice:
        notice_take(self, node)
    node_free(node)

cdef void watch_close(watch_t *self) noexcept nogil:
    cdef uint32_t i
    cdef node_t *node
    cdef node_t *next_
    for i in range(self.room):
        node = self.buckets[i]
        while node != NULL:
            next_ = node.next
            node_free(node)
            node = next_
    for i in range(MARKS):
        free(self.marks[i].items)
    free(self.buckets)
    free(self.pegs)
    free(self.loose)
    free(self.matches)
    free(self.marking)
    memset(self, 0, sizeof(watch_t))
