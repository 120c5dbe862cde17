# Included by csp/_fastpath.pyx after: parse, watch; before: state.
# The keys that tracking connections have read, and of which of them they are still to be told: the tables only.
#
# Invariants:
# 1. An entry is one key, as it was spelled, of one connection's set. It is in the chain of its set and key, in the
#    chain of its object, and in one list of its set: of those remembered, oldest first, or of those pending. What is
#    remembered is also in the worker's list by age.
# 2. Entries lie side by side: where one is freed the last one moves in. So memory follows their number, and what
#    lies behind them is given back.
# 3. Both tables of chains have between one and two buckets an entry, and grow and shrink by one bucket at a time: no
#    turn pays for a table that doubles.
# 4. Dropping a set costs the same however large it is: its entries are skipped from then on, and freed by the piece.

cdef enum:
    TRACKED_MAX = 4194304           # entries that there is room for; the limit of a worker lies below
    TRACKED_BUCKETS_MIN = 64
    LARGE_FROM = 2097152            # bytes of a table behind which memory comes in large pages
    TRACKED_TRIM = 16384            # freed entries whose memory is given back together
    TRACKED_DEAD_STEP = 2048        # entries of dropped sets that are freed in a turn
    ZEROS_MAX = 16777215            # leading zeros of a DBID that an entry can say

# What stands for keys that can't be said; no key has this class.
cdef uint64_t KEY_TOO_LONG = <uint64_t> 0xFFFFFFFFFFFFFFFF

cdef struct keyset_t:               # what one connection has read
    uint64_t seed                   # tells sets apart in the chains
    keyset_t *next_dead
    uint32_t row
    uint32_t first, last            # remembered, oldest first
    uint32_t pending_first, pending_last
    uint32_t count                  # of both
    uint32_t pending
    bint dead

cdef struct tracked_t:
    uint64_t key                    # class, leading zeros, DBID
    keyset_t *set
    uint32_t revision               # while pending: low bits of that of the change,
    bint several                    # and whether there were changes of several revisions
    bint pending
    uint32_t next_key
    uint32_t next_object, object_before
    uint32_t next, before           # in its list
    uint32_t younger, older

cdef struct prefix_t:               # BCAST: tracking_bcast.pxi
    prefix_t *next
    uint64_t classes                # whose keys all begin with it
    uint32_t class_                 # of which those keys do whose DBID begins with the rest; 0: none
    uint32_t digits                 # where the rest begins
    uint32_t size
    uint32_t count, room
    uint32_t *rows                  # connections
    char *text                      # behind this struct

cdef struct tracking_t:
    tracked_t *items                # from 1
    uint32_t *by_key
    uint32_t *by_object
    uint32_t count
    uint32_t touched                # so many entries have memory
    uint32_t buckets
    uint32_t mask                   # of the power of two at or above buckets
    uint32_t oldest, youngest
    uint64_t sets                   # made so far
    keyset_t *dead
    prefix_t *prefixes
    uint32_t prefix_count
    uint32_t clients

# Keys are hashed under seeds of this process, so that nobody outside can choose ones that collide.
cdef uint64_t TRACKED_SEED = int.from_bytes(os.urandom(8), "little") | 1
cdef uint64_t TRACKED_SET_SEED = int.from_bytes(os.urandom(8), "little") | 1
cdef uint64_t TRACKED_OBJECT_SEED = int.from_bytes(os.urandom(8), "little") | 1

cdef inline uint64_t tracked_object(uint64_t key) noexcept nogil:
    """The object that a key names, however it is spelled."""
    return key & <uint64_t> 0xFF000000FFFFFFFF

cdef inline uint64_t object_key(uint32_t class_id, uint32_t dbid) noexcept nogil:
    """Its key without leading zeros."""
    return <uint64_t> class_id << 56 | dbid

cdef inline uint32_t tracked_hash(const keyset_t *set, uint64_t key) noexcept nogil:
    return <uint32_t> (((key ^ set.seed) * TRACKED_SEED) >> 32)

cdef inline uint32_t object_hash(uint64_t object) noexcept nogil:
    return <uint32_t> ((object * TRACKED_OBJECT_SEED) >> 32)

cdef inline uint32_t bucket_of(const tracking_t *self, uint32_t hash_) noexcept nogil:
    cdef uint32_t at = hash_ & self.mask
    return at if at < self.buckets else at & (self.mask >> 1)

cdef void *pages_take(size_t size) noexcept nogil:
    """Memory that costs nothing before it is touched; NULL without any."""
    cdef void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if data == MAP_FAILED:
        return NULL
    if size > LARGE_FROM:           # who has so much is spared the look-ups of pages
        madvise(<char *> data + LARGE_FROM, size - LARGE_FROM, MADV_HUGEPAGE)
    return data

cdef void tracked_close(tracking_t *self) noexcept nogil:
    """Gives the tables back."""
    if self.items != NULL:
        munmap(self.items, <size_t> (TRACKED_MAX + 1) * sizeof(tracked_t))
    if self.by_key != NULL:
        munmap(self.by_key, <size_t> TRACKED_MAX * 2 * sizeof(uint32_t))
    if self.by_object != NULL:
        munmap(self.by_object, <size_t> TRACKED_MAX * 2 * sizeof(uint32_t))
    self.items = NULL
    self.by_key = NULL
    self.by_object = NULL
    self.touched = 0

cdef bint tracked_open(tracking_t *self) noexcept nogil:
    """Takes them; False without memory."""
    if self.items != NULL:
        return True
    self.items = <tracked_t *> pages_take(<size_t> (TRACKED_MAX + 1) * sizeof(tracked_t))
    self.by_key = <uint32_t *> pages_take(<size_t> TRACKED_MAX * 2 * sizeof(uint32_t))
    self.by_object = <uint32_t *> pages_take(<size_t> TRACKED_MAX * 2 * sizeof(uint32_t))
    if self.items == NULL or self.by_key == NULL or self.by_object == NULL:
        tracked_close(self)
        return False
    self.buckets = TRACKED_BUCKETS_MIN
    self.mask = TRACKED_BUCKETS_MIN - 1
    return True

# ---- lists and chains ----

cdef void chain_key(tracking_t *self, uint32_t i) noexcept nogil:
    cdef uint32_t *at = &self.by_key[bucket_of(self, tracked_hash(self.items[i].set, self.items[i].key))]
    self.items[i].next_key = at[0]
    at[0] = i

cdef void chain_object(tracking_t *self, uint32_t i) noexcept nogil:
    cdef uint32_t *at = &self.by_object[bucket_of(self, object_hash(tracked_object(self.items[i].key)))]
    self.items[i].next_object = at[0]
    self.items[i].object_before = 0
    if at[0]:
        self.items[at[0]].object_before = i
    at[0] = i

cdef uint32_t *key_place(tracking_t *self, uint32_t i) noexcept nogil:
    """What names the entry in its chain of keys."""
    cdef uint32_t *at = &self.by_key[bucket_of(self, tracked_hash(self.items[i].set, self.items[i].key))]
    while at[0] != i:
        at = &self.items[at[0]].next_key
    return at

cdef uint32_t *object_place(tracking_t *self, uint32_t i) noexcept nogil:
    """And in that of its object."""
    if self.items[i].object_before:
        return &self.items[self.items[i].object_before].next_object
    return &self.by_object[bucket_of(self, object_hash(tracked_object(self.items[i].key)))]

cdef void unchain(tracking_t *self, uint32_t i) noexcept nogil:
    cdef tracked_t *item = &self.items[i]
    key_place(self, i)[0] = item.next_key
    object_place(self, i)[0] = item.next_object
    if item.next_object:
        self.items[item.next_object].object_before = item.object_before

cdef void list_put(tracking_t *self, uint32_t i) noexcept nogil:
    """Into the list of its set, as the youngest."""
    cdef tracked_t *item = &self.items[i]
    cdef uint32_t *first = &item.set.pending_first if item.pending else &item.set.first
    cdef uint32_t *last = &item.set.pending_last if item.pending else &item.set.last
    item.next = 0
    item.before = last[0]
    if last[0]:
        self.items[last[0]].next = i
    else:
        first[0] = i
    last[0] = i
    item.set.pending += item.pending

cdef void list_take(tracking_t *self, uint32_t i) noexcept nogil:
    cdef tracked_t *item = &self.items[i]
    cdef uint32_t *first = &item.set.pending_first if item.pending else &item.set.first
    cdef uint32_t *last = &item.set.pending_last if item.pending else &item.set.last
    if item.before:
        self.items[item.before].next = item.next
    else:
        first[0] = item.next
    if item.next:
        self.items[item.next].before = item.before
    else:
        last[0] = item.before
    item.set.pending -= item.pending

cdef void age_put(tracking_t *self, uint32_t i) noexcept nogil:
    self.items[i].younger = 0
    self.items[i].older = self.youngest
    if self.youngest:
        self.items[self.youngest].younger = i
    else:
        self.oldest = i
    self.youngest = i

cdef void age_take(tracking_t *self, uint32_t i) noexcept nogil:
    cdef tracked_t *item = &self.items[i]
    if item.older:
        self.items[item.older].younger = item.younger
    else:
        self.oldest = item.younger
    if item.younger:
        self.items[item.younger].older = item.older
    else:
        self.youngest = item.older

# ---- buckets ----

cdef void bucket_more(tracking_t *self) noexcept nogil:
    """One more bucket: what belongs there leaves the bucket that it had stood for."""
    cdef uint32_t fresh = self.buckets
    cdef uint32_t i, next_, whole
    if self.buckets == self.mask + 1:
        self.mask = self.mask * 2 + 1
    self.buckets += 1
    self.by_key[fresh] = 0
    self.by_object[fresh] = 0
    whole = fresh & (self.mask >> 1)
    i = self.by_key[whole]
    self.by_key[whole] = 0
    while i:
        next_ = self.items[i].next_key
        chain_key(self, i)
        i = next_
    i = self.by_object[whole]
    self.by_object[whole] = 0
    while i:
        next_ = self.items[i].next_object
        chain_object(self, i)
        i = next_

cdef void bucket_less(tracking_t *self) noexcept nogil:
    """The last bucket's entries go where they were before it was."""
    cdef uint32_t last = self.buckets - 1
    cdef uint32_t i, next_
    self.buckets = last
    if last == (self.mask >> 1) + 1:
        self.mask >>= 1
    i = self.by_key[last]
    while i:
        next_ = self.items[i].next_key
        chain_key(self, i)
        i = next_
    i = self.by_object[last]
    while i:
        next_ = self.items[i].next_object
        chain_object(self, i)
        i = next_

# ---- entries ----

cdef inline uint32_t tracked_find(tracking_t *self, const keyset_t *set, uint64_t key, uint32_t hash_) noexcept nogil:
    """The set's entry of a key, 0 for none."""
    cdef uint32_t i = self.by_key[bucket_of(self, hash_)]
    while i and (self.items[i].key != key or self.items[i].set != set):
        i = self.items[i].next_key
    return i

cdef uint32_t tracked_add(tracking_t *self, keyset_t *set, uint64_t key, bint pending) noexcept nogil:
    """An entry that the set does not have yet; 0 where there is no room."""
    cdef uint32_t i = self.count + 1
    cdef tracked_t *item = &self.items[i]
    if i > TRACKED_MAX:
        return 0
    self.count = i
    if i > self.touched:
        self.touched = i
    if self.count > self.buckets:
        bucket_more(self)
    item.key = key
    item.set = set
    item.pending = pending
    item.several = False
    item.revision = 0
    chain_key(self, i)
    chain_object(self, i)
    list_put(self, i)
    if not pending:
        age_put(self, i)
    set.count += 1
    return i

cdef void tracked_move(tracking_t *self, uint32_t from_, uint32_t to) noexcept nogil:
    """The entry lies elsewhere from now on."""
    cdef tracked_t *item = &self.items[from_]
    cdef uint32_t *first = &item.set.pending_first if item.pending else &item.set.first
    cdef uint32_t *last = &item.set.pending_last if item.pending else &item.set.last
    key_place(self, from_)[0] = to
    object_place(self, from_)[0] = to
    if item.next_object:
        self.items[item.next_object].object_before = to
    if item.before:
        self.items[item.before].next = to
    else:
        first[0] = to
    if item.next:
        self.items[item.next].before = to
    else:
        last[0] = to
    if not item.pending:
        if item.older:
            self.items[item.older].younger = to
        else:
            self.oldest = to
        if item.younger:
            self.items[item.younger].older = to
        else:
            self.youngest = to
    self.items[to] = item[0]

cdef void tracked_free(tracking_t *self, uint32_t i) noexcept nogil:
    """Forgets it; another entry may lie in its place afterwards."""
    cdef keyset_t *set = self.items[i].set
    unchain(self, i)
    list_take(self, i)
    if not self.items[i].pending:
        age_take(self, i)
    set.count -= 1
    if i != self.count:
        tracked_move(self, self.count, i)
    self.count -= 1
    while self.buckets > TRACKED_BUCKETS_MIN and self.buckets > 2 * self.count:
        bucket_less(self)

cdef void tracked_pend(tracking_t *self, uint32_t i, uint64_t revision) noexcept nogil:
    """Its connection is to be told of it, because of a change of that revision; 0: because of none."""
    cdef tracked_t *item = &self.items[i]
    if item.pending:
        item.several = item.several or item.revision != <uint32_t> revision
        return
    list_take(self, i)
    age_take(self, i)
    item.pending = True
    item.revision = <uint32_t> revision
    item.several = revision == 0
    list_put(self, i)

cdef void tracked_keep(tracking_t *self, uint32_t i) noexcept nogil:
    """It needn't be told after all."""
    list_take(self, i)
    self.items[i].pending = False
    list_put(self, i)
    age_put(self, i)

# ---- sets ----

cdef keyset_t *set_new(tracking_t *self, uint32_t row) noexcept nogil:
    cdef keyset_t *set = <keyset_t *> calloc(1, sizeof(keyset_t))
    if set == NULL or not tracked_open(self):
        free(set)
        return NULL
    self.sets += 1
    set.seed = self.sets * TRACKED_SET_SEED
    set.row = row
    return set

cdef void set_drop(tracking_t *self, keyset_t *set) noexcept nogil:
    """Forgets all of it: at once where that is little."""
    if set.count == 0:
        free(set)
        return
    set.dead = True
    set.next_dead = self.dead
    self.dead = set

cdef void dead_free(tracking_t *self, uint32_t most) noexcept nogil:
    """Frees so many entries of sets that were dropped."""
    cdef keyset_t *set
    while self.dead != NULL and most > 0:
        set = self.dead
        if set.count > 0:
            tracked_free(self, set.first if set.first else set.pending_first)
            most -= 1
        else:
            self.dead = set.next_dead
            free(set)

cdef void tail_give_back(void *data, uint64_t used, uint64_t touched) noexcept nogil:
    """Gives back the whole pages behind the bytes in use."""
    cdef uint64_t first = (used + PAGE_BYTES - 1) & ~<uint64_t> (PAGE_BYTES - 1)
    if touched > first:
        madvise(<char *> data + first, touched - first, MADV_DONTNEED)

cdef void tracked_trim(tracking_t *self) noexcept nogil:
    """Gives back what freed entries have left, once it is worth a call."""
    if self.items == NULL:
        return
    if self.count == 0 and self.clients == 0 and self.dead == NULL:
        tracked_close(self)
        return
    if self.touched - self.count < TRACKED_TRIM:
        return
    tail_give_back(self.items, (<uint64_t> self.count + 1) * sizeof(tracked_t),
                   (<uint64_t> self.touched + 1) * sizeof(tracked_t))
    tail_give_back(self.by_key, <uint64_t> self.buckets * sizeof(uint32_t),
                   <uint64_t> self.touched * 2 * sizeof(uint32_t))
    tail_give_back(self.by_object, <uint64_t> self.buckets * sizeof(uint32_t),
                   <uint64_t> self.touched * 2 * sizeof(uint32_t))
    self.touched = self.count
