# Included by csp/_fastpath.pyx after: recover. A successor's walk over everything that is reachable, piece by piece
# between its changes: it learns what memory is in use, and finds what a dead writer had still to tidy up.
#
# Invariants:
# 1. Memory from before the takeover neither moves nor is used again before the walk is over: pending items wait
#    (reclaim.pxi), the log is not shortened for room, what is new lies in fresh memory and needs no mark.
# 2. What was reachable at the takeover is found by the walk, or was replaced since: then it is pending, and is
#    marked at the end.
# 3. Classes come by DBID, lists and names by hash: a bucket that is split meanwhile keeps its hashes.
# 4. Nothing is walked while a transaction is staged: its words would be nobody's.
# 5. A contradiction ends the walk for good, and nothing is reused: load a new generation.

cdef enum:
    WALK_OVER = 0
    WALK_CLASSES = 1
    WALK_LISTS = 2
    WALK_NAMES = 3
    WALK_LOG = 4
    WALK_STEPS = 16          # between two looks at the clock: a step is a leaf of the index, or a bucket

cdef void walk_begin(csp_writer_t *w, int check) noexcept nogil:
    memset(&w.walk, 0, sizeof(csp_walk_t))
    w.walk.phase = WALK_CLASSES
    w.walk.check = check
    w.walk.log_at = w.store.super.log_oldest
    w.walk.log_end = w.store.super.state.revision
    w.log_used = 0
    w.dirty_noted[0] = w.dirty_noted[1] = 1

cdef void walk_note(csp_writer_t *w) noexcept nogil:
    """A change is about to be published: it may alter what was counted already."""
    cdef csp_change_t *change
    cdef csp_record_t *old
    cdef size_t i
    for i in range(w.stage.change_count):
        change = &w.stage.changes[i]
        if w.walk.phase == WALK_CLASSES and change.made and change.object >> 32 == w.walk.class_id \
                and <uint32_t> change.object < w.walk.dbid:
            old = NULL if change.old == 0 else record_at(&w.store, change.old)
            w.walk.live += <int> record_live(record_at(&w.store, change.made)) - <int> record_live(old)

# ---- records ----

cdef int walk_names_of(csp_writer_t *w, const csp_record_t *record) noexcept nogil:
    """Every name of the record has its word."""
    cdef const uint8_t *at = record_keys(record)
    cdef const uint8_t *end = at + record.keys_size
    cdef const csp_key_t *key
    while at < end and record.class_id != CSP_ACCOUNT_CLASS:
        key = <const csp_key_t *> at
        at += key_bytes(key)
        if key.key_id < CSP_KEYS and w.store.super.keys[key.key_id].kind == 1 and words_cell(
                w, w.store.super.names_root, record.dbid | <uint64_t> words_hash(
                    &w.store, key.key_id, key_value(key), key.value_size) << 32) == NULL:
            return CORRUPT
    return OK

cdef int walk_record(csp_writer_t *w, uint64_t ref) noexcept nogil:
    cdef csp_record_t *record
    cdef int status
    if ref < w.store.super.heap or ref + 64 > w.store.super.extent_end:
        return CORRUPT
    record = record_at(&w.store, ref)
    if w.walk.check and (image_check(<const uint8_t *> record, w.store.super.extent_end - ref) != OK
                         or (record_live(record) and walk_names_of(w, record) != OK)):
        return CORRUPT
    status = arena_mark(&w.arena, ref, record.size)
    if status != OK:
        return status
    if record.class_id == CSP_NODE_CLASS:
        return OK
    w.walk.records += 1
    if record_live(record):
        w.walk.live += 1
        return OK
    w.walk.tombstones += 1
    if arena_fresh(&w.arena, <uint32_t> (ref / PAGE_BYTES)):
        return OK  # of a change since the takeover: it waits already
    status = pending_room(w, 1)
    if status == OK:
        pending_push(w, PENDING_TOMBSTONE, ref, 64, record.class_id, record.dbid)
    return status

cdef int walk_class_ended(csp_writer_t *w) noexcept nogil:
    """On to the next class; CORRUPT when the number of its objects is not what the store says."""
    cdef csp_super_t *super = w.store.super
    cdef uint64_t live = w.walk.live
    cdef uint32_t class_id = w.walk.class_id
    cdef uint64_t counted = 0
    if super.class_counts[class_id]:
        counted = (<csp_count_t *> (w.store.base + super.class_counts[class_id])).count
    w.walk.dbid = 0
    w.walk.live = 0
    w.walk.class_id += 1
    if w.walk.class_id == CSP_CLASSES:
        w.walk.phase = WALK_LISTS
    csp_failpoint(CSP_FP_WALK_CLASS)
    return OK if class_is_inner(class_id) or live == counted else CORRUPT

cdef int walk_leaf(csp_writer_t *w, uint64_t leaf) noexcept nogil:
    cdef uint64_t *word = node_words(&w.store, leaf)
    cdef uint64_t seen = 0
    cdef int status = arena_mark(&w.arena, leaf, INDEX_LEAF_BYTES)
    cdef int i
    for i in range(INDEX_LEAF):
        seen |= word[i]
        if word[i] and status == OK:
            status = walk_record(w, word[i])
    if seen == 0 and status == OK:
        index_trim(w, w.walk.class_id, <uint32_t> w.walk.dbid)
    return status

cdef int walk_nodes(csp_writer_t *w, uint64_t root) noexcept nogil:
    """The leaf at walk.dbid and the nodes that begin there; on to the next that there is."""
    cdef uint64_t dbid = w.walk.dbid
    cdef uint64_t branch, twig, leaf
    cdef int status = OK
    branch = node_words(&w.store, root)[dbid >> INDEX_BRANCH_SHIFT]
    if branch == EMPTY_BRANCH:
        w.walk.dbid = ((dbid >> INDEX_BRANCH_SHIFT) + 1) << INDEX_BRANCH_SHIFT
        return OK
    if dbid & ((1 << INDEX_BRANCH_SHIFT) - 1) == 0:
        status = arena_mark(&w.arena, branch, INDEX_ROOT_BYTES)
    twig = node_words(&w.store, branch)[(dbid >> INDEX_TWIG_SHIFT) & (INDEX_ROOT - 1)]
    if twig == EMPTY_TWIG or status != OK:
        w.walk.dbid = ((dbid >> INDEX_TWIG_SHIFT) + 1) << INDEX_TWIG_SHIFT
        return status
    if dbid & ((1 << INDEX_TWIG_SHIFT) - 1) == 0:
        status = arena_mark(&w.arena, twig, INDEX_LEAF_BYTES)
    leaf = node_words(&w.store, twig)[(dbid >> INDEX_LEAF_SHIFT) & (INDEX_LEAF - 1)]
    if leaf != EMPTY_LEAF and status == OK:
        status = walk_leaf(w, leaf)
    w.walk.dbid = ((dbid >> INDEX_LEAF_SHIFT) + 1) << INDEX_LEAF_SHIFT
    return status

cdef int walk_class(csp_writer_t *w) noexcept nogil:
    """One step within the present class."""
    cdef csp_super_t *super = w.store.super
    cdef uint64_t root = super.class_roots[w.walk.class_id]
    cdef int status = OK
    if w.walk.dbid == 0 and root != EMPTY_ROOT:
        status = arena_mark(&w.arena, root, INDEX_ROOT_BYTES)
    if w.walk.dbid == 0 and status == OK and super.class_counts[w.walk.class_id]:
        status = arena_mark(&w.arena, super.class_counts[w.walk.class_id], sizeof(csp_count_t))
    if status != OK:
        return status
    if root == EMPTY_ROOT or w.walk.dbid > <uint64_t> UINT32_MAX:
        return walk_class_ended(w)
    return walk_nodes(w, root)

# ---- lists and names ----

cdef int walk_list(csp_writer_t *w, uint64_t word) noexcept nogil:
    """A head with its leaves; one that is empty goes, a grace period later."""
    cdef csp_list_t *head = <csp_list_t *> (w.store.base + list_ref(word))
    cdef const csp_leaf_t *leaves
    cdef uint32_t i
    cdef int status
    if list_ref(word) < w.store.super.heap or list_ref(word) + 40 > w.store.super.extent_end \
            or head.revision > w.store.super.state.revision:
        return CORRUPT
    status = arena_mark(&w.arena, list_ref(word), head.size)
    leaves = <const csp_leaf_t *> list_body(head)
    for i in range(head.leaf_count):
        if status == OK:
            status = arena_mark(&w.arena, leaves[i].ref, 4 * leaves[i].count)
    w.walk.lists += 1
    if status == OK and head.count == 0 and not arena_fresh(&w.arena, <uint32_t> (list_ref(word) / PAGE_BYTES)):
        status = pending_room(w, 1)
        if status == OK:
            pending_push(w, PENDING_LIST, word, 0, 0, 0)
    return status

cdef uint32_t record_names(csp_writer_t *w, const csp_record_t *record, uint32_t hash) noexcept nogil:
    """How many names of a record have this hash."""
    cdef const uint8_t *at = record_keys(record)
    cdef const uint8_t *end = at + record.keys_size
    cdef const csp_key_t *key
    cdef uint32_t count = 0
    while at < end:
        key = <const csp_key_t *> at
        at += key_bytes(key)
        if key.key_id < CSP_KEYS and w.store.super.keys[key.key_id].kind == 1:
            count += words_hash(&w.store, key.key_id, key_value(key), key.value_size) == hash
    return count

cdef uint32_t name_wanted(csp_writer_t *w, uint64_t word) noexcept nogil:
    """How often records have a name of this hash and DBID, and how often its removal waits already."""
    cdef csp_record_t *record
    cdef uint32_t class_id, count = 0
    cdef uint64_t i
    for class_id in range(CSP_CLASSES):
        if class_id == CSP_ACCOUNT_CLASS or w.store.super.class_roots[class_id] == EMPTY_ROOT:
            continue
        record = raw_newest(&w.store, raw_word(&w.store, class_id, <uint32_t> word))
        if record_live(record):
            count += record_names(w, record, <uint32_t> (word >> 32))
    for i in range(w.pending_first, w.pending_end):
        count += w.pending[i & (w.pending_room - 1)].kind == PENDING_NAME \
            and w.pending[i & (w.pending_room - 1)].ref == word
    return count

cdef uint32_t chain_count(
    csp_writer_t *w, uint64_t ref, uint64_t word, bint *before, const uint64_t *cell
) noexcept nogil:
    """How often a word stands in a chain; `before`: also in front of the cell."""
    cdef csp_bucket_t *bucket
    cdef uint32_t count = 0
    cdef int i
    cdef bint passed = False
    before[0] = False
    while ref:
        bucket = <csp_bucket_t *> (w.store.base + ref)
        for i in range(7):
            passed |= &bucket.words[i] == cell
            if bucket.words[i] == word:
                count += 1
                before[0] |= not passed
        ref = bucket.overflow
    return count

cdef int walk_name(csp_writer_t *w, uint64_t chain, const uint64_t *cell) noexcept nogil:
    """Has a word removed that stands there more often than it is wanted."""
    cdef bint before
    cdef uint32_t count, wanted, i
    w.walk.names += 1
    if not dirty_has(w.store.super, DIRTY_NAMES, <uint32_t> (cell[0] >> 32) >> DIRTY_SHIFT):
        return OK
    count = chain_count(w, chain, cell[0], &before, cell)
    if before:
        return OK  # seen to already
    wanted = name_wanted(w, cell[0])
    if count <= wanted:
        return OK
    if pending_room(w, count - wanted) != OK:
        return NO_MEMORY
    for i in range(count - wanted):
        pending_push(w, PENDING_NAME, cell[0], 0, 0, 0)
        w.walk.names_dropped += 1
    csp_failpoint(CSP_FP_WALK_NAME)
    return OK

cdef int walk_bucket(csp_writer_t *w, uint64_t root) noexcept nogil:
    """One bucket of a directory, and what its words mean."""
    cdef bint names = w.walk.phase == WALK_NAMES
    cdef csp_bucket_t *bucket
    cdef uint64_t chain, ref
    cdef int status = OK
    cdef int i
    if root == 0 or w.walk.hash > <uint64_t> UINT32_MAX:
        w.walk.hash = 0
        w.walk.phase += 1
        return OK
    if w.walk.hash == 0:
        status = arena_mark(&w.arena, root & ~<uint64_t> 63, directory_bytes(root & 63))
    chain = ref = words_chain(w, root, w.walk.hash, &w.walk.hash)
    while ref and status == OK:
        status = arena_mark(&w.arena, ref, sizeof(csp_bucket_t))
        bucket = <csp_bucket_t *> (w.store.base + ref)
        for i in range(7):
            if bucket.words[i] and status == OK:
                status = walk_name(w, chain, &bucket.words[i]) if names else walk_list(w, bucket.words[i])
        ref = bucket.overflow
    if not names:
        csp_failpoint(CSP_FP_WALK_LIST)
    return status

# ---- the log, and the end ----

cdef int walk_log(csp_writer_t *w) noexcept nogil:
    """One entry of the log."""
    cdef csp_super_t *super = w.store.super
    cdef csp_entry_t *entry
    if w.walk.log_at < super.log_oldest:
        w.walk.log_at = super.log_oldest  # those that the ring had no slots for any more
    if w.walk.log_at > w.walk.log_end:
        return walk_end(w)
    entry = log_entry(&w.store, w.walk.log_at)
    if entry == NULL:
        return CORRUPT
    csp_failpoint(CSP_FP_WALK_LOG)
    w.log_used += entry.size
    w.walk.log_at += 1
    return arena_mark(&w.arena, log_slot(w, w.walk.log_at - 1)[0], entry.size)

cdef int walk_end(csp_writer_t *w) noexcept nogil:
    """Marks what was replaced before the walk came by: it is in use until readers let go of it."""
    cdef csp_pending_t *item
    cdef uint64_t i
    cdef int status = OK
    for i in range(w.pending_first, w.pending_end):
        item = &w.pending[i & (w.pending_room - 1)]
        if item.kind == PENDING_FREE and status == OK and not arena_marked(&w.arena, item.ref, item.size):
            status = arena_mark(&w.arena, item.ref, item.size)
    if status == OK:
        w.walk.phase = WALK_OVER
        w.dirty_until = w.pending_end
        csp_failpoint(CSP_FP_WALK_END)
    return status

cdef int walk_step(csp_writer_t *w) noexcept nogil:
    if w.walk.phase == WALK_CLASSES:
        return walk_class(w)
    if w.walk.phase == WALK_LISTS:
        return walk_bucket(w, w.store.super.lists_root)
    if w.walk.phase == WALK_NAMES:
        return walk_bucket(w, w.store.super.names_root)
    return walk_log(w)

cdef int walk_on(csp_writer_t *w, uint64_t steps, int64_t until_ms) noexcept nogil:
    """Goes on for so many steps or until then; CORRUPT stays."""
    cdef uint64_t i
    for i in range(steps):
        if w.walk.phase == WALK_OVER or w.prepared or w.walk.status != OK:
            break
        w.walk.status = walk_step(w)
        if i % WALK_STEPS == WALK_STEPS - 1 and store_clock_ms() >= until_ms:
            break
    return w.walk.status
