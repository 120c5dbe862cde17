# Included by csp/_fastpath.pyx after: apply, reclaim, load.
# Takes over a segment whose writer died: completes its intent, walks everything, knows its memory again.
#
# Invariants:
# 1. The ring slot of published + 1 with an intact entry of that revision is redone; each step first
#    looks whether it was done, so a successor may die here too, anywhere.
# 2. Until a grace period after the redo only fresh memory is used: readers may hold what the dead
#    writer had retired, and nobody knows that list any more.
# 3. Names are compared as a whole with what the records say: missing words are added before the
#    publication, surplus ones removed a grace period later.
# 4. A directory that died inside a split is rebuilt and replaced by one store.
# 5. A list head newer than what is published belongs to a change that never was: it goes at once.

ctypedef struct csp_walk_t:
    uint64_t *expected      # words of all names that the newest records have
    size_t expected_count, expected_room
    uint64_t *found         # words of all names in the hash
    size_t found_count, found_room
    uint64_t counts[256]
    uint64_t records
    uint64_t tombstones
    uint64_t lists
    uint64_t names_added
    uint64_t names_dropped
    uint64_t crc_errors

cdef int change_redo(csp_writer_t *w, csp_change_t *change, uint64_t revision) noexcept nogil:
    """The record is there; what is left is what it means."""
    cdef uint32_t class_id = <uint32_t> (change.object >> 32)
    cdef csp_record_t *made
    cdef int status = index_ensure(w, class_id, <uint32_t> change.object, &change.word)
    if status != OK:
        return status
    change.made = change.item.ref
    if change.made < w.store.super.heap or change.made + 64 > w.store.super.extent_end:
        return CORRUPT
    made = record_at(&w.store, change.made)
    if made.revision != revision or made.dbid != <uint32_t> change.object:
        return CORRUPT
    change.old = made.prev
    return change_note(w, class_id, <uint32_t> change.object,
                       NULL if change.old == 0 else record_at(&w.store, change.old), made)

cdef int intent_stage(csp_writer_t *w, csp_entry_t *entry) noexcept nogil:
    cdef csp_stage_t *stage = &w.stage
    cdef csp_item_t *item = entry_items(entry)
    cdef size_t i
    cdef int status = OK
    stage_reset(stage)
    stage.redo = 1
    for i in range(entry.item_count):
        status = change_add(w, item.class_id, item.dbid, NULL, item, 0)
        if status != OK:
            return status
        item = item_next(item)
    sort(stage.changes, stage.change_count, sizeof(csp_change_t), change_order)
    for i in range(stage.change_count):
        if i + 1 < stage.change_count and stage.changes[i + 1].object == stage.changes[i].object:
            continue
        status = change_redo(w, &stage.changes[i], entry.revision)
        if status != OK:
            return status
    return stage_finish(w, entry.revision)

cdef csp_entry_t *intent_find(csp_writer_t *w) noexcept nogil:
    """The entry of published + 1, NULL when the dead writer had not stored it."""
    cdef uint64_t revision = w.store.super.state.revision + 1
    cdef uint64_t ref = log_slot(w, revision)[0]
    cdef csp_entry_t *entry
    if ref < w.store.super.heap or ref + 48 > w.store.super.extent_end:
        return NULL
    entry = <csp_entry_t *> (w.store.base + ref)
    if entry.revision != revision or ref + entry.size > w.store.super.extent_end:
        return NULL
    return entry if entry_check(<const uint8_t *> entry, entry.size) == OK else NULL

cdef int recover_redo(csp_writer_t *w, csp_walk_t *walk) noexcept nogil:
    """Completes the intent, and the names in any case; then publishes."""
    cdef csp_entry_t *entry = intent_find(w)
    cdef csp_state_t *state = &w.store.super.state
    cdef int status
    if entry != NULL:
        status = intent_stage(w, entry)
        w.stage.redo = 0
        if status != OK:
            stage_abort(w)
            return status
        csp_failpoint(CSP_FP_RECOVER_REDO)
        lists_commit(w)
        words_commit(w, 0)
        counts_commit(w)
    status = recover_names(w, walk)
    if status != OK:
        return status
    if entry != NULL:
        publish(w, entry.revision, entry.mark, entry.time_ms)
        w.redone += 1
    else:
        csp_store(log_slot(w, state.revision + 1), 0)
    stage_reset(&w.stage)
    if state.sequence & 1:
        entry = log_entry(&w.store, state.revision)
        if entry == NULL:
            return CORRUPT
        publish(w, state.revision, entry.mark, entry.time_ms)
    return OK

# ---- directories ----

cdef int word_order(const void *a, const void *b) noexcept nogil:
    cdef uint64_t left = (<const uint64_t *> a)[0]
    cdef uint64_t right = (<const uint64_t *> b)[0]
    return (left > right) - (left < right)

cdef int words_collect(
    csp_writer_t *w, uint64_t root, uint64_t **out, size_t *count, size_t *room
) noexcept nogil:
    """Every word once: at the directory entry that its hash belongs to."""
    cdef uint64_t depth = root & 63
    cdef uint64_t i, ref
    cdef csp_bucket_t *bucket
    cdef int j
    count[0] = 0
    if root == 0:
        return OK
    for i in range(<uint64_t> 1 << depth):
        ref = words_directory(w, root)[i]
        while ref:
            bucket = <csp_bucket_t *> (w.store.base + ref)
            for j in range(7):
                if bucket.words[j] == 0 or ((bucket.words[j] >> 32) << depth) >> 32 != i:
                    continue
                if vector_room(<void **> out, room, count[0] + 1, 8) != OK:
                    return NO_MEMORY
                out[0][count[0]] = bucket.words[j]
                count[0] += 1
            ref = bucket.overflow
    return OK

cdef int words_rebuild(csp_writer_t *w, uint64_t *root, const uint64_t *words, size_t count) noexcept nogil:
    """A new directory of the same words; one store replaces the old one, which the walk won't find."""
    cdef uint64_t fresh = 0, inserted = 0
    cdef size_t i
    cdef int status = OK
    w.loading = 1  # nobody reads it yet: splits free at once
    for i in range(count):
        status = words_insert(w, &fresh, &inserted, words[i])
        if status != OK:
            break
    w.loading = 0
    if status == OK:
        csp_store(root, fresh)
    return status

cdef int recover_directories(csp_writer_t *w, csp_walk_t *walk) noexcept nogil:
    """Counts the words; rebuilds both directories after a death inside a split."""
    cdef csp_super_t *super = w.store.super
    cdef int status = words_collect(
        w, super.lists_root, &walk.found, &walk.found_count, &walk.found_room)
    w.list_words = walk.found_count
    if status == OK and super.splitting & 2:
        status = words_rebuild(w, &super.lists_root, walk.found, walk.found_count)
    if status != OK:
        return status
    status = words_collect(w, super.names_root, &walk.found, &walk.found_count, &walk.found_room)
    w.name_words = walk.found_count
    if status == OK and super.splitting & 1:
        status = words_rebuild(w, &super.names_root, walk.found, walk.found_count)
    if status == OK:
        csp_store(&super.splitting, 0)
    return status

# ---- names ----

cdef int names_expect(csp_writer_t *w, csp_walk_t *walk, const csp_record_t *record) noexcept nogil:
    cdef const uint8_t *at = record_keys(record)
    cdef const uint8_t *end = at + record.keys_size
    cdef const csp_key_t *key
    while at < end:
        key = <const csp_key_t *> at
        at += key_bytes(key)
        if key.key_id >= CSP_KEYS or w.store.super.keys[key.key_id].kind != 1:
            continue
        if vector_room(<void **> &walk.expected, &walk.expected_room, walk.expected_count + 1, 8) != OK:
            return NO_MEMORY
        walk.expected[walk.expected_count] = record.dbid | <uint64_t> words_hash(
            &w.store, key.key_id, key_value(key), key.value_size) << 32
        walk.expected_count += 1
    return OK

cdef int recover_names(csp_writer_t *w, csp_walk_t *walk) noexcept nogil:
    """Every newest record's names against the hash, both sorted."""
    cdef uint64_t after
    cdef uint64_t *word
    cdef size_t i = 0, j = 0
    cdef uint32_t class_id
    cdef int status = OK
    for class_id in range(CSP_CLASSES):
        after = 0
        while class_id != ACCOUNT_CLASS and status == OK:
            word = index_next(&w.store, class_id, &after)
            if word == NULL:
                break
            if record_live(record_at(&w.store, word[0])):
                status = names_expect(w, walk, record_at(&w.store, word[0]))
    if status != OK:
        return status
    sort(walk.expected, walk.expected_count, 8, word_order)
    sort(walk.found, walk.found_count, 8, word_order)
    while status == OK and (i < walk.expected_count or j < walk.found_count):
        if j == walk.found_count or (
                i < walk.expected_count and walk.expected[i] < walk.found[j]):
            status = words_insert(w, &w.store.super.names_root, &w.name_words, walk.expected[i])
            walk.names_added += 1
            i += 1
        elif i == walk.expected_count or walk.found[j] < walk.expected[i]:
            status = pending_room(w, 1)
            if status == OK:
                pending_push(w, PENDING_NAME, walk.found[j], 0, 0, 0)
            walk.names_dropped += 1
            j += 1
        else:
            i += 1
            j += 1
    csp_failpoint(CSP_FP_RECOVER_NAMES)
    return status

# ---- the walk ----

cdef int walk_record(csp_writer_t *w, csp_walk_t *walk, uint64_t *word, int check) noexcept nogil:
    cdef uint64_t ref = word[0]
    cdef csp_record_t *record
    cdef int status
    if ref < w.store.super.heap or ref + 64 > w.store.super.extent_end:
        return CORRUPT
    record = record_at(&w.store, ref)
    if check and image_check(<const uint8_t *> record, w.store.super.extent_end - ref) != OK:
        walk.crc_errors += 1
        return CORRUPT
    status = arena_mark(&w.arena, ref, record.size)
    if status != OK:
        return status
    walk.records += 1
    if record_live(record):
        walk.counts[record.class_id] += 1
        return OK
    walk.tombstones += 1
    status = pending_room(w, 1)
    if status == OK:
        pending_push(w, PENDING_TOMBSTONE, ref, 64, record.class_id, record.dbid)
    return status

cdef int walk_class(csp_writer_t *w, csp_walk_t *walk, uint32_t class_id, int check) noexcept nogil:
    """The nodes of one radix and its records."""
    cdef uint64_t root = w.store.super.class_roots[class_id]
    cdef uint64_t middle, leaf
    cdef uint64_t *word
    cdef int i, j, k
    cdef int status = OK if root == 0 else arena_mark(&w.arena, root, RADIX_BYTES)
    if root == 0 or status != OK:
        return status
    for i in range(2048):
        middle = (<uint64_t *> (w.store.base + root))[i]
        if middle == 0:
            continue
        status = arena_mark(&w.arena, middle, RADIX_BYTES)
        for j in range(2048):
            leaf = (<uint64_t *> (w.store.base + middle))[j]
            if leaf == 0 or status != OK:
                continue
            status = arena_mark(&w.arena, leaf, RADIX_LEAF_BYTES)
            word = <uint64_t *> (w.store.base + leaf)
            for k in range(1024):
                if word[k] and status == OK:
                    status = walk_record(w, walk, word + k, check)
        if status != OK:
            return status
    return OK

cdef int walk_words(csp_writer_t *w, uint64_t root) noexcept nogil:
    """A directory and its buckets, each bucket once."""
    cdef uint64_t depth = root & 63
    cdef uint64_t i, ref, last = 0
    cdef int status
    if root == 0:
        return OK
    status = arena_mark(&w.arena, root & ~<uint64_t> 63, directory_bytes(depth))
    for i in range(<uint64_t> 1 << depth):
        ref = words_directory(w, root)[i]
        if ref == last:
            continue
        last = ref
        while ref and status == OK:
            status = arena_mark(&w.arena, ref, sizeof(csp_bucket_t))
            ref = (<csp_bucket_t *> (w.store.base + ref)).overflow
    return status

cdef int walk_list(csp_writer_t *w, csp_walk_t *walk, uint64_t word) noexcept nogil:
    cdef csp_list_t *head = <csp_list_t *> (w.store.base + list_ref(word))
    cdef const csp_leaf_t *leaves
    cdef uint32_t i
    cdef int status
    if list_ref(word) < w.store.super.heap or list_ref(word) + 40 > w.store.super.extent_end:
        return CORRUPT
    if head.revision > w.store.super.state.revision:
        words_remove(w, &w.store.super.lists_root, &w.list_words, word)
        csp_failpoint(CSP_FP_RECOVER_LIST)
        return OK
    status = arena_mark(&w.arena, list_ref(word), head.size)
    leaves = <const csp_leaf_t *> list_body(head)
    for i in range(head.leaf_count):
        if status == OK:
            status = arena_mark(&w.arena, leaves[i].ref, 4 * leaves[i].count)
    walk.lists += 1
    if status == OK and head.count == 0:
        status = pending_room(w, 1)
        if status == OK:
            pending_push(w, PENDING_LIST, word, 0, 0, 0)
    return status

cdef int walk_log(csp_writer_t *w) noexcept nogil:
    cdef csp_super_t *super = w.store.super
    cdef uint64_t revision = super.log_oldest
    cdef csp_entry_t *entry
    cdef int status = OK
    w.log_used = 0
    if super.state.revision - revision + 1 <= super.log_mask:
        csp_store(log_slot(w, revision - 1), 0)  # a death inside log_drop_oldest
    while revision <= super.state.revision and status == OK:
        entry = log_entry(&w.store, revision)
        if entry == NULL:
            return CORRUPT
        status = arena_mark(&w.arena, log_slot(w, revision)[0], entry.size)
        w.log_used += entry.size
        revision += 1
    return status

cdef int recover_walk(csp_writer_t *w, csp_walk_t *walk, int check) noexcept nogil:
    cdef csp_super_t *super = w.store.super
    cdef csp_count_t *cell
    cdef uint32_t class_id
    cdef size_t i
    cdef int status = OK
    for class_id in range(CSP_CLASSES):
        status = walk_class(w, walk, class_id, check)
        if status == OK and super.class_counts[class_id]:
            status = arena_mark(&w.arena, super.class_counts[class_id], sizeof(csp_count_t))
            cell = <csp_count_t *> (w.store.base + super.class_counts[class_id])
            if cell.count != walk.counts[class_id]:
                return CORRUPT
        if status != OK:
            return status
    status = words_collect(w, super.lists_root, &walk.found, &walk.found_count, &walk.found_room)
    for i in range(walk.found_count):
        if status == OK:
            status = walk_list(w, walk, walk.found[i])
    if status == OK:
        status = walk_words(w, super.lists_root)
    if status == OK:
        status = walk_words(w, super.names_root)
    csp_failpoint(CSP_FP_RECOVER_WALK)
    return walk_log(w) if status == OK else status

cdef int writer_recover(csp_writer_t *w, csp_walk_t *walk, int check) noexcept nogil:
    """Everything; CORRUPT means: load a new generation."""
    cdef int status
    csp_failpoint(CSP_FP_RECOVER_START)
    if w.loading or not w.store.super.loaded or w.arena.merge_end == 0:
        return STATE
    status = recover_directories(w, walk)
    if status == OK:
        status = recover_redo(w, walk)
    if status == OK:
        status = recover_walk(w, walk, check)
    if status == OK:
        status = pending_room(w, 1)
    if status != OK:
        return status
    pending_push(w, PENDING_MERGE, 0, 0, 0, 0)
    csp_add(&w.store.control.epoch, 1)
    csp_failpoint(CSP_FP_RECOVER_END)
    wake_readers(w)
    writer_reclaim(w)
    if w.arena.merge_end == 0:
        arena_hold(&w.arena)
    return OK
