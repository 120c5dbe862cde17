# Included by csp/_fastpath.pyx after: status, shm, octets.
# Finds what is there at a revision; never writes but the reader's own slot. Whatever is called raw_ asks for no
# permission: it is for the view, the writer, feeds and sums (tests/style/test_view.py lists who may use it).
#
# Invariants:
# 1. A reader announces the epoch with a full fence, then loads S; it follows references only while pinned.
# 2. A version is visible at S when it is the first one down `prev` whose revision is <= S.
# 3. `prev` is followed only while revision > S, for below it may dangle, and only to an older version.
# 4. Every function is nogil, noexcept, takes no lock and allocates nothing.

cdef enum:
    PINNED_BY_LOOP = 2
    OP_CREATE = 1                   # of an item

ctypedef struct csp_store_t:  # a mapped data segment, seen by one process
    uint8_t *base
    csp_super_t *super
    csp_control_t *control
    csp_slot_t *slot          # NULL in the writer
    uint64_t revision         # S while pinned
    uint64_t size             # bytes mapped
    int pinned                # PINNED_BY_LOOP: for a whole turn, which only the loop ends

# ---- pinning ----

cdef inline uint64_t store_pin(csp_store_t *store) noexcept nogil:
    """Announces, then loads S and returns it. Once per loop turn, after the last receive."""
    csp_swap(&store.slot.seen, csp_load(&store.control.epoch))
    csp_fence()
    store.revision = csp_load(&store.super.state.revision)
    store.pinned = 1
    return store.revision

cdef inline uint64_t store_repin(csp_store_t *store, uint64_t *epoch) noexcept nogil:
    """A newer S under an older announcement, which stands; when it is raised to epoch, this S stays protected."""
    epoch[0] = csp_load(&store.control.epoch)
    store.revision = csp_load(&store.super.state.revision)
    return store.revision

cdef inline void store_raise(csp_store_t *store, uint64_t epoch) noexcept nogil:
    """A younger announcement in place of the older one that stands; every read left loaded its epoch, this or a
    younger one, before its S and while the older one stood."""
    csp_store(&store.slot.seen, epoch)

cdef inline void store_unpin(csp_store_t *store) noexcept nogil:
    store.pinned = 0
    csp_store(&store.slot.seen, 0)

cdef inline int store_may_sleep(csp_store_t *store, uint64_t known) noexcept nogil:
    """Before the poll: says "asleep", then looks again. 0: something newer than `known` is there."""
    csp_swap(&store.slot.asleep, known + 1)
    csp_fence()
    if csp_load_all(&store.super.state.revision) != known:
        csp_store(&store.slot.asleep, 0)
        return 0
    return 1

cdef inline void store_awake(csp_store_t *store) noexcept nogil:
    csp_store(&store.slot.asleep, 0)

# ---- records ----

cdef inline uint64_t *raw_word(const csp_store_t *store, uint32_t class_id, uint32_t dbid) noexcept nogil:
    """Address of the index word (stage 1: prefetch it), of a word of the empty leaf where there is no object near."""
    cdef uint64_t node
    if class_id >= CSP_CLASSES:
        return NULL
    node = csp_load(&store.super.class_roots[class_id])
    node = csp_load(<uint64_t *> (store.base + node) + (dbid >> INDEX_BRANCH_SHIFT))
    node = csp_load(<uint64_t *> (store.base + node) + ((dbid >> INDEX_TWIG_SHIFT) & (INDEX_ROOT - 1)))
    node = csp_load(<uint64_t *> (store.base + node) + ((dbid >> INDEX_LEAF_SHIFT) & (INDEX_LEAF - 1)))
    return <uint64_t *> (store.base + node) + (dbid & (INDEX_LEAF - 1))

cdef inline csp_record_t *record_at(const csp_store_t *store, uint64_t ref) noexcept nogil:
    return <csp_record_t *> (store.base + ref)

cdef inline csp_record_t *raw_newest(const csp_store_t *store, const uint64_t *word) noexcept nogil:
    """Stage 2: the newest version (prefetch it), NULL when there is none. `word` may be NULL."""
    cdef uint64_t ref
    if word == NULL:
        return NULL
    ref = csp_load(word)
    return NULL if ref == 0 else record_at(store, ref)

cdef inline csp_record_t *record_before(const csp_store_t *store, const csp_record_t *record) noexcept nogil:
    """The version that it replaced, NULL for none; only downwards, so that no damage is walked for ever."""
    cdef csp_record_t *before
    if record.prev == 0:
        return NULL
    before = record_at(store, record.prev)
    return before if before.revision < record.revision else NULL

cdef inline csp_record_t *raw_visible(
    const csp_store_t *store, csp_record_t *record, uint64_t revision
) noexcept nogil:
    """Stage 3: the version at `revision`, NULL when the object is absent there. `record` may be NULL."""
    while record != NULL and record.revision > revision:
        record = record_before(store, record)
    if record == NULL or record.flags & CSP_TOMBSTONE:
        return NULL
    return record

cdef inline csp_record_t *raw_find(
    const csp_store_t *store, uint32_t class_id, uint32_t dbid, uint64_t revision
) noexcept nogil:
    return raw_visible(store, raw_newest(store, raw_word(store, class_id, dbid)), revision)

cdef inline uint32_t record_folder(const csp_record_t *record) noexcept nogil:
    """DBID of the folder that the object lies in; 0: in none, or there is no record."""
    return 0 if record == NULL or record.container_class != CSP_FOLDER_CLASS else record.container_dbid

cdef inline const uint8_t *record_reply(const csp_record_t *record) noexcept nogil:
    """`$len\\r\\n` JSON `\\r\\n`, record.reply_size bytes."""
    return <const uint8_t *> record + 64

cdef inline const uint8_t *record_brief(const csp_record_t *record) noexcept nogil:
    return <const uint8_t *> record + 64 + record.reply_size

cdef inline const uint8_t *record_keys(const csp_record_t *record) noexcept nogil:
    return <const uint8_t *> record + 64 + record.reply_size + record.brief_size

cdef uint64_t *raw_next_word(
    const csp_store_t *store, uint32_t class_id, uint64_t *dbid, uint32_t *budget
) noexcept nogil:
    """The first non-empty index word from `dbid` (updated) on; NULL at the end, and when the budget is 0: INDEX_LOOKS
    words of the way cost one of it."""
    cdef uint64_t at = dbid[0]
    cdef uint64_t root, branch, twig, leaf
    cdef uint32_t looks = 0
    cdef uint64_t *word = NULL
    root = csp_load(&store.super.class_roots[class_id]) if class_id < CSP_CLASSES else <uint64_t> EMPTY_ROOT
    while root != EMPTY_ROOT and at <= <uint64_t> UINT32_MAX:
        looks += 1
        if looks == INDEX_LOOKS:
            looks = 0
            budget[0] -= 1
            if budget[0] == 0:
                break
        branch = csp_load(<uint64_t *> (store.base + root) + (at >> INDEX_BRANCH_SHIFT))
        if branch == EMPTY_BRANCH:
            at = ((at >> INDEX_BRANCH_SHIFT) + 1) << INDEX_BRANCH_SHIFT
            continue
        twig = csp_load(<uint64_t *> (store.base + branch) + ((at >> INDEX_TWIG_SHIFT) & (INDEX_ROOT - 1)))
        if twig == EMPTY_TWIG:
            at = ((at >> INDEX_TWIG_SHIFT) + 1) << INDEX_TWIG_SHIFT
            continue
        leaf = csp_load(<uint64_t *> (store.base + twig) + ((at >> INDEX_LEAF_SHIFT) & (INDEX_LEAF - 1)))
        if leaf == EMPTY_LEAF:
            at = ((at >> INDEX_LEAF_SHIFT) + 1) << INDEX_LEAF_SHIFT
            continue
        while True:
            word = <uint64_t *> (store.base + leaf) + (at & (INDEX_LEAF - 1))
            if csp_load(word):
                dbid[0] = at
                return word
            at += 1
            if at & (INDEX_LEAF - 1) == 0:
                break
    dbid[0] = at
    return NULL

cdef csp_record_t *raw_next_within(
    const csp_store_t *store, uint32_t class_id, uint64_t *after, uint64_t revision, uint32_t *budget
) noexcept nogil:
    """The visible record of the class with the smallest DBID > after (updated: how far it looked); NULL at the end,
    and when the budget is 0."""
    cdef uint64_t dbid = after[0] + 1
    cdef csp_record_t *record
    cdef uint64_t *word
    while True:
        word = raw_next_word(store, class_id, &dbid, budget)
        if word == NULL:
            after[0] = dbid - 1
            return NULL
        record = raw_visible(store, raw_newest(store, word), revision)
        if record != NULL:
            after[0] = dbid
            return record
        dbid += 1
        budget[0] -= 1
        if budget[0] == 0:
            after[0] = dbid - 1
            return NULL

cdef csp_record_t *raw_next(
    const csp_store_t *store, uint32_t class_id, uint64_t after, uint64_t revision
) noexcept nogil:
    """The visible record of the class with the smallest DBID > after; NULL at the end."""
    cdef uint32_t budget = 0
    cdef csp_record_t *record = NULL
    while record == NULL and budget == 0:
        budget = UINT32_MAX
        record = raw_next_within(store, class_id, &after, revision, &budget)
    return record

cdef uint64_t raw_count(const csp_store_t *store, uint32_t class_id, uint64_t revision) noexcept nogil:
    """Objects of the class at `revision`."""
    cdef uint64_t ref
    cdef csp_count_t *cell
    if class_id >= CSP_CLASSES:
        return 0
    ref = csp_load(&store.super.class_counts[class_id])
    while ref:
        cell = <csp_count_t *> (store.base + ref)
        if cell.revision <= revision:
            return cell.count
        ref = cell.prev
        if ref and (<csp_count_t *> (store.base + ref)).revision >= cell.revision:
            return 0
    return 0

# ---- index keys of a record ----

cdef inline uint32_t key_bytes(const csp_key_t *key) noexcept nogil:
    return 8 + ((<uint32_t> key.value_size + 3) & ~<uint32_t> 3) + 4 * key.member_count

cdef inline const uint8_t *key_value(const csp_key_t *key) noexcept nogil:
    return <const uint8_t *> key + 8

cdef inline const uint8_t *key_members(const csp_key_t *key) noexcept nogil:
    """Any address: read them with csp_u32(members, index)."""
    return (<const uint8_t *> key + 8 + ((<uint32_t> key.value_size + 3) & ~<uint32_t> 3))

cdef csp_key_t *record_key(
    const csp_record_t *record, uint16_t key_id, const uint8_t *value, uint32_t value_size
) noexcept nogil:
    """The record's key (key_id, value), NULL when it has none."""
    cdef const uint8_t *at = record_keys(record)
    cdef const uint8_t *end = at + record.keys_size
    cdef csp_key_t *key
    while at < end:
        key = <csp_key_t *> at
        if key.key_id == key_id and key.value_size == value_size \
                and memcmp(key_value(key), value, value_size) == 0:
            return key
        at += key_bytes(key)
    return NULL

cdef const csp_key_t *record_key_of(const csp_record_t *record, uint16_t key_id) noexcept nogil:
    """The record's first value under a key, NULL when it has none."""
    cdef const uint8_t *at = record_keys(record)
    cdef const uint8_t *end = at + record.keys_size
    while at < end:
        if (<const csp_key_t *> at).key_id == key_id:
            return <const csp_key_t *> at
        at += key_bytes(<const csp_key_t *> at)
    return NULL

# ---- words: the hash of names and the directory of lists ----

ctypedef struct csp_words_t:  # walks the words of one hash value
    const csp_store_t *store
    csp_bucket_t *bucket
    uint32_t hash
    int at

cdef inline uint32_t words_hash(
    const csp_store_t *store, uint16_t key_id, const uint8_t *value, uint32_t size
) noexcept nogil:
    cdef uint64_t full = csp_hash(store.super.seed + key_id * <uint64_t> 0x9e3779b97f4a7c15, value, size)
    return <uint32_t> ((full & store.super.hash_mask) >> 32)

cdef inline void words_open(
    csp_words_t *it, const csp_store_t *store, const uint64_t *root_word, uint32_t hash
) noexcept nogil:
    cdef uint64_t root = csp_load(root_word)
    cdef uint64_t depth = root & 63
    it.store = store
    it.hash = hash
    it.at = 0
    it.bucket = NULL
    if root:
        it.bucket = <csp_bucket_t *> (store.base + csp_load(
            <uint64_t *> (store.base + (root & ~<uint64_t> 63)) + ((<uint64_t> hash << depth) >> 32)))

cdef inline uint64_t words_next(csp_words_t *it) noexcept nogil:
    """The next whole word with this hash, 0 at the end."""
    cdef uint64_t word
    while it.bucket != NULL:
        while it.at < 7:
            word = csp_load(&it.bucket.words[it.at])
            it.at += 1
            if word and <uint32_t> (word >> 32) == it.hash:
                return word
        word = csp_load(&it.bucket.overflow)
        it.bucket = NULL if word == 0 else <csp_bucket_t *> (it.store.base + word)
        it.at = 0
    return 0

cdef inline void raw_names_open(
    csp_words_t *it, const csp_store_t *store, uint16_t key_id, const uint8_t *value, uint32_t size
) noexcept nogil:
    """The words of a name: candidates, each to be verified against its record."""
    words_open(it, store, &store.super.names_root, words_hash(store, key_id, value, size))

# ---- posting lists ----

ctypedef struct csp_plist_t:  # walks one list in DBID order
    const csp_store_t *store
    const csp_list_t *head      # NULL: empty
    const csp_leaf_t *leaves    # NULL: inline
    const uint32_t *dbids       # of the present leaf, or inline
    uint32_t leaf_at
    uint32_t at
    uint32_t size               # of the present leaf
    uint32_t count              # of the whole list

cdef inline const uint8_t *list_value(const csp_list_t *head) noexcept nogil:
    return <const uint8_t *> head + 40

cdef inline const uint8_t *list_body(const csp_list_t *head) noexcept nogil:
    return <const uint8_t *> head + 40 + ((<uint32_t> head.value_size + 7) & ~<uint32_t> 7)

cdef csp_list_t *raw_list_newest(
    const csp_store_t *store, uint16_t key_id, const uint8_t *value, uint32_t size, uint32_t hash
) noexcept nogil:
    """The newest version of the list's head, NULL when there is none."""
    cdef csp_words_t it
    cdef uint64_t word
    cdef csp_list_t *head
    words_open(&it, store, &store.super.lists_root, hash)
    while True:
        word = words_next(&it)
        if word == 0:
            return NULL
        head = <csp_list_t *> (store.base + (<uint64_t> (<uint32_t> word) << 5))
        if head.key_id == key_id and head.value_size == size \
                and memcmp(list_value(head), value, size) == 0:
            return head

cdef inline csp_list_t *raw_list_visible(
    const csp_store_t *store, csp_list_t *head, uint64_t revision
) noexcept nogil:
    cdef csp_list_t *before
    while head != NULL and head.revision > revision:
        before = NULL if head.prev == 0 else <csp_list_t *> (store.base + head.prev)
        head = before if before != NULL and before.revision < head.revision else NULL
    return head

cdef inline void plist_leaf(csp_plist_t *it, uint32_t leaf) noexcept nogil:
    it.leaf_at = leaf
    it.at = 0
    if leaf < it.head.leaf_count:
        it.dbids = <const uint32_t *> (it.store.base + it.leaves[leaf].ref)
        it.size = it.leaves[leaf].count
    else:
        it.size = 0

cdef void plist_on(csp_plist_t *it, const csp_store_t *store, const csp_list_t *head) noexcept nogil:
    """Starts at the first DBID of a head that is visible (or NULL)."""
    memset(it, 0, sizeof(csp_plist_t))
    it.store = store
    if head == NULL or head.count == 0:
        return
    it.head = head
    it.count = head.count
    if head.leaf_count:
        it.leaves = <const csp_leaf_t *> list_body(head)
        plist_leaf(it, 0)
    else:
        it.dbids = <const uint32_t *> list_body(head)
        it.size = head.count

cdef uint32_t raw_list_open(
    csp_plist_t *it, const csp_store_t *store, uint16_t key_id, const uint8_t *value,
    uint32_t size, uint64_t revision
) noexcept nogil:
    """Opens the list (key_id, value) at `revision`; returns how many DBIDs it has."""
    cdef csp_list_t *head = raw_list_newest(
        store, key_id, value, size, words_hash(store, key_id, value, size))
    plist_on(it, store, raw_list_visible(store, head, revision))
    return it.count

cdef inline uint32_t plist_next(csp_plist_t *it) noexcept nogil:
    """The DBID under the cursor, then moves on; 0 at the end."""
    cdef uint32_t dbid
    if it.at == it.size:
        if it.leaves == NULL or it.leaf_at + 1 >= it.head.leaf_count:
            return 0
        plist_leaf(it, it.leaf_at + 1)
    dbid = it.dbids[it.at]
    it.at += 1
    return dbid

cdef void plist_seek(csp_plist_t *it, uint32_t dbid) noexcept nogil:
    """Moves the cursor to the first DBID >= dbid, forwards or back."""
    cdef uint32_t low, high, middle
    if it.head == NULL:
        return
    if it.leaves != NULL:
        low, high = 0, it.head.leaf_count  # the last leaf whose first <= dbid
        while high - low > 1:
            middle = (low + high) >> 1
            if it.leaves[middle].first <= dbid:
                low = middle
            else:
                high = middle
        if low != it.leaf_at or it.at == it.size:
            plist_leaf(it, low)
    low, high = 0, it.size
    while low < high:
        middle = (low + high) >> 1
        if it.dbids[middle] < dbid:
            low = middle + 1
        else:
            high = middle
    it.at = low

cdef inline bint plist_contains(csp_plist_t *it, uint32_t dbid) noexcept nogil:
    plist_seek(it, dbid)
    return it.head != NULL and it.at < it.size and it.dbids[it.at] == dbid

# ---- the change log ----

cdef csp_entry_t *log_entry(const csp_store_t *store, uint64_t revision) noexcept nogil:
    """The entry of a revision; NULL when the log doesn't hold it (any more)."""
    cdef uint64_t ref
    cdef csp_entry_t *entry
    if revision < csp_load(&store.super.log_oldest):
        return NULL
    ref = csp_load(<uint64_t *> (store.base + store.super.log_ring) + (revision & store.super.log_mask))
    if ref == 0:
        return NULL
    entry = <csp_entry_t *> (store.base + ref)
    return entry if entry.revision == revision else NULL

cdef inline csp_item_t *entry_items(const csp_entry_t *entry) noexcept nogil:
    """The first item; the next one begins item.size bytes later, entry.item_count in all."""
    return <csp_item_t *> (<uint8_t *> entry + sizeof(csp_entry_t))

cdef inline bint item_is_change(const csp_item_t *item) noexcept nogil:
    """False: an item of a kind that this build doesn't know, to be passed over."""
    return 1 <= item.op <= CSP_OP_DELETE

cdef inline const uint32_t *item_tenants(const csp_item_t *item) noexcept nogil:
    return <const uint32_t *> (<const uint8_t *> item + sizeof(csp_item_t))

cdef inline const uint8_t *item_image(const csp_item_t *item) noexcept nogil:
    return <const uint8_t *> item + sizeof(csp_item_t) + ((4 * item.tenant_count + 7) & ~<uint32_t> 7)

cdef inline const uint8_t *item_event(const csp_item_t *item) noexcept nogil:
    return item_image(item) + item.image_size

cdef void store_state(const csp_store_t *store, csp_state_t *out) noexcept nogil:
    """Revision, mark and time of S (store.revision); mark and time 0 when the log lost them."""
    cdef csp_entry_t *entry
    if csp_state_read(&store.super.state, out) and out.revision == store.revision:
        return
    out.revision = store.revision
    out.mark = 0
    out.time_ms = 0
    entry = log_entry(store, store.revision)
    if entry != NULL:
        out.mark = entry.mark
        out.time_ms = entry.time_ms
