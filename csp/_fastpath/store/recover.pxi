# Included by csp/_fastpath.pyx after: apply, reclaim, dirty, load. Takes over a segment whose writer died: completes
# its intent and takes back what it had begun, in a time that does not depend on how much is stored. walk.pxi does the
# rest while changes go on.
#
# Invariants:
# 1. The ring slot of published + 1 with an intact entry of that revision is redone; each step first
#    looks whether it was done, so a successor may die here too, anywhere.
# 2. Until the walk is over and readers have let go only fresh memory is used: they may hold what the
#    dead writer had retired, and nobody knows that list any more. An intent may have what is held.
# 3. Names of the intent were all added before it; words of names that nobody has are of no consequence,
#    because a name is verified against its record: the walk removes them.
# 4. A directory that died inside a split is completed by the stores that are left.
# 5. A list head newer than what is published belongs to a change that never was: it goes before any
#    change can have its revision. It can only lie in a range that was noted (dirty.pxi).

cdef int change_redo(csp_writer_t *w, csp_change_t *change, uint64_t revision) noexcept nogil:
    """The record is there; what is left is what it means."""
    cdef uint32_t class_id = <uint32_t> (change.object >> 32)
    cdef csp_record_t *made
    cdef int status = index_ensure(w, class_id, <uint32_t> change.object, &change.word)
    if status != OK:
        return status
    if change.item != NULL:
        change.made = change.item.ref
    if change.made < w.store.super.heap or change.made + sizeof(csp_record_t) > w.store.super.extent_end:
        return CORRUPT
    made = record_at(&w.store, change.made)
    if made.revision > revision or (made.revision != revision and class_is_indexed(class_id)) \
            or made.dbid != <uint32_t> change.object or made.class_id != class_id:
        return CORRUPT
    change.old = made.prev
    if not class_is_indexed(class_id):
        return OK
    return change_note(w, class_id, <uint32_t> change.object,
                       NULL if change.old == 0 else record_at(&w.store, change.old), made)

cdef int node_redo(csp_writer_t *w, const csp_extra_t *extra) noexcept nogil:
    """The node's record is there; its name is compared with all others."""
    cdef csp_stage_t *stage = &w.stage
    cdef uint64_t *cell = NULL
    cdef int status = index_ensure(w, CSP_NODE_CLASS, extra.dbid, &cell)
    if status == OK:
        status = vector_room(
            <void **> &stage.nodes, &stage.node_room, stage.node_count + 1, sizeof(csp_node_made_t))
    if status != OK:
        return status
    if record_at(&w.store, extra.ref).dbid != extra.dbid:
        return CORRUPT
    stage.nodes[stage.node_count].word = cell
    stage.nodes[stage.node_count].ref = extra.ref
    stage.node_count += 1
    return OK

cdef int extras_redo(csp_writer_t *w, const csp_entry_t *entry) noexcept nogil:
    """The records that the intent names beside its items."""
    cdef uint64_t heap = w.store.super.heap, end = w.store.super.extent_end
    cdef const csp_extras_t *extras = <const csp_extras_t *> (w.store.base + entry.extras)
    cdef const csp_extra_t *extra = <const csp_extra_t *> (extras + 1)
    cdef uint64_t i
    cdef int status = OK
    if entry.extras == 0:
        return OK
    if entry.extras < heap or entry.extras + sizeof(csp_extras_t) > end \
            or extras.count > (end - entry.extras) / sizeof(csp_extra_t):
        return CORRUPT
    for i in range(extras.count):
        if extra[i].ref < heap or extra[i].ref + sizeof(csp_record_t) > end:
            return CORRUPT
        if extra[i].class_id == CSP_NODE_CLASS:
            status = node_redo(w, &extra[i])
        else:
            status = change_add(w, extra[i].class_id, extra[i].dbid, NULL, NULL)
            if status == OK:
                w.stage.changes[w.stage.change_count - 1].made = extra[i].ref
        if status != OK:
            return status
    return OK

cdef int intent_stage(csp_writer_t *w, csp_entry_t *entry) noexcept nogil:
    cdef csp_stage_t *stage = &w.stage
    cdef csp_item_t *item = entry_items(entry)
    cdef size_t i
    cdef int status = OK
    stage_reset(stage)
    stage.redo = 1
    stage.rights = 1
    for i in range(entry.item_count):
        if item_is_change(item):
            status = change_add(w, item.class_id, item.dbid, NULL, item)
        if status != OK:
            return status
        item = item_next(item)
    status = extras_redo(w, entry)
    if status != OK:
        return status
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
    if ref < w.store.super.heap or ref + sizeof(csp_entry_t) > w.store.super.extent_end:
        return NULL
    entry = <csp_entry_t *> (w.store.base + ref)
    if entry.revision != revision or ref + entry.size > w.store.super.extent_end:
        return NULL
    return entry if entry_check(<const uint8_t *> entry, entry.size) == OK else NULL

cdef int recover_redo(csp_writer_t *w) noexcept nogil:
    """Completes the intent, and publishes it."""
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
        words_commit(w)
        nodes_commit(w, entry.revision)
        counts_commit(w)
        publish(w, entry.revision, entry.mark, entry.time_ms)
        w.redone += 1
        csp_failpoint(CSP_FP_RECOVER_PUBLISHED)
    else:
        csp_store(log_slot(w, state.revision + 1), 0)
    stage_reset(&w.stage)
    if state.sequence & 1:
        entry = log_entry(&w.store, state.revision)
        if entry == NULL:
            return CORRUPT
        publish(w, state.revision, entry.mark, entry.time_ms)
    if state.revision - w.store.super.log_oldest + 1 <= w.store.super.log_mask:
        csp_store(log_slot(w, w.store.super.log_oldest - 1), 0)  # a death inside log_drop_oldest
    return OK

# ---- directories and lists ----

cdef void recover_split(csp_writer_t *w) noexcept nogil:
    """Completes the split over which the writer died."""
    cdef csp_super_t *super = w.store.super
    if super.splitting:
        split_store(super, words_directory(
            w, super.names_root if super.splitting == 1 else super.lists_root), CSP_FP_RECOVER_SPLIT)

cdef uint64_t words_chain(csp_writer_t *w, uint64_t root, uint64_t hash, uint64_t *after) noexcept nogil:
    """The bucket of a hash, and the first hash that has another one."""
    cdef uint64_t depth = root & 63
    cdef uint64_t index = (hash << depth) >> 32
    cdef uint64_t local = depth
    cdef uint64_t *directory = words_directory(w, root)
    while local and directory[index ^ (<uint64_t> 1 << (depth - local))] == directory[index]:
        local -= 1
    after[0] = ((index >> (depth - local)) + 1) << (32 - local)
    return directory[index]

cdef int chain_unpublished(csp_writer_t *w, uint64_t ref) noexcept nogil:
    """Takes the heads of lists out of a chain that are newer than what is published."""
    cdef csp_bucket_t *bucket
    cdef uint64_t word
    cdef int i
    while ref:
        bucket = <csp_bucket_t *> (w.store.base + ref)
        for i in range(7):
            word = bucket.words[i]
            if word == 0:
                continue
            if list_ref(word) < w.store.super.heap or list_ref(word) + 40 > w.store.super.extent_end:
                return CORRUPT
            if (<csp_list_t *> (w.store.base + list_ref(word))).revision > w.store.super.state.revision:
                csp_store(&bucket.words[i], 0)
                w.store.super.list_words -= 1
                csp_failpoint(CSP_FP_RECOVER_LIST)
        ref = bucket.overflow
    return OK

cdef int recover_lists(csp_writer_t *w) noexcept nogil:
    """Takes back the lists of a change that never was."""
    cdef csp_super_t *super = w.store.super
    cdef uint64_t hash = 0, after = 0
    cdef uint32_t number
    cdef int status = OK
    if super.lists_root == 0:
        return OK
    for number in range(64 * CSP_DIRTY_WORDS):
        if not dirty_has(super, DIRTY_LISTS, number):
            continue
        hash = <uint64_t> number << DIRTY_SHIFT
        if hash < after:
            hash = after  # its bucket was looked at with an earlier range
        while hash < <uint64_t> (number + 1) << DIRTY_SHIFT and status == OK:
            status = chain_unpublished(w, words_chain(w, super.lists_root, hash, &after))
            hash = after
    return status

cdef int writer_recover(csp_writer_t *w, int check) noexcept nogil:
    """What has to be done before the next change; CORRUPT means: load a new generation."""
    cdef int status
    csp_failpoint(CSP_FP_RECOVER_START)
    if w.loading or not w.store.super.loaded or w.arena.merge_end == 0:
        return STATE
    recover_split(w)
    if intent_find(w) != NULL:
        arena_release(&w.arena)
    status = recover_redo(w)
    if status == OK:
        status = recover_lists(w)
    arena_hold(&w.arena)
    if status == OK:
        status = pending_room(w, 1)
    if status != OK:
        return status
    walk_begin(w, check)
    pending_push(w, PENDING_MERGE, 0, 0, 0, 0)
    csp_add(&w.store.control.epoch, 1)
    csp_failpoint(CSP_FP_RECOVER_END)
    wake_readers(w)
    return OK
