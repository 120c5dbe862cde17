# Included by csp/_fastpath.pyx after: stage.
# Applies one transaction: stages everything, stores the intent, stores the words, publishes, retires.
#
# Invariants:
# 1. Whatever can fail happens before the intent; a failed change leaves nothing that a reader sees.
# 2. The ring slot of published + 1 is the intent: from then on a successor completes the change.
# 3. The order of the stores is: intent, list words, index words (of objects, accounts, nodes), that rights may
#    have changed, counts, publication.
# 4. A change may be staged first and applied later: then applying it can't fail. Nothing else is done
#    to the store in between; who changes his mind abandons it.
# 5. What was replaced is retired after the publication; tombstones, empty lists and old names are
#    unlinked a grace period later.

cdef void publish(csp_writer_t *w, uint64_t revision, uint64_t mark, int64_t time_ms) noexcept nogil:
    """The three figures under their sequence; the revision alone is what makes the change visible."""
    cdef csp_state_t *state = &w.store.super.state
    cdef uint64_t sequence = state.sequence | 1
    csp_swap(&state.sequence, sequence)
    csp_store(<uint64_t *> &state.time_ms, <uint64_t> time_ms)
    csp_store(&state.mark, mark)
    csp_failpoint(CSP_FP_PUBLISH_INSIDE)
    csp_store(&state.revision, revision)
    csp_store(&state.sequence, sequence + 1)

cdef void words_commit(csp_writer_t *w) noexcept nogil:
    cdef size_t i
    for i in range(w.stage.change_count):
        if w.stage.changes[i].made:
            csp_store(w.stage.changes[i].word, w.stage.changes[i].made)
            if w.stage.changes[i].item == NULL:
                csp_failpoint(CSP_FP_APPLY_ACCOUNT)
            else:
                csp_failpoint(CSP_FP_APPLY_WORD)

cdef void counts_commit(csp_writer_t *w) noexcept nogil:
    cdef uint32_t i
    cdef uint16_t class_id
    for i in range(w.stage.counted):
        class_id = w.stage.classes[i]
        if w.stage.cells[class_id]:
            csp_store(&w.store.super.class_counts[class_id], w.stage.cells[class_id])
            csp_failpoint(CSP_FP_APPLY_COUNT_WORD)

cdef void retire_replaced(csp_writer_t *w) noexcept nogil:
    """After the publication; pending_room made the room."""
    cdef csp_stage_t *stage = &w.stage
    cdef csp_change_t *change
    cdef size_t i
    for i in range(stage.replaced_count):
        pending_push(w, PENDING_FREE, stage.replaced[i].ref, <uint32_t> stage.replaced[i].size, 0, 0)
        csp_failpoint(CSP_FP_APPLY_RETIRE)
    for i in range(stage.change_count):
        change = &stage.changes[i]
        if change.made and record_at(&w.store, change.made).flags & CSP_TOMBSTONE:
            pending_push(w, PENDING_TOMBSTONE, change.made, 64, <uint32_t> (change.object >> 32),
                         <uint32_t> change.object)
    for i in range(stage.swap_count):
        if stage.swaps[i].emptied:
            pending_push(w, PENDING_LIST, stage.swaps[i].new_word, 0, 0, 0)
    for i in range(stage.gone_count):
        pending_push(w, PENDING_NAME, stage.gone[i], 0, 0, 0)
    csp_add(&w.store.control.epoch, 1)

cdef void stage_commit(csp_writer_t *w, uint64_t revision, uint64_t mark, int64_t time_ms) noexcept nogil:
    """Nothing here allocates or fails."""
    lists_commit(w)
    words_commit(w)
    nodes_commit(w, revision)
    counts_commit(w)
    if w.walk.phase:
        walk_note(w)
    csp_failpoint(CSP_FP_APPLY_BEFORE_PUBLISH)
    publish(w, revision, mark, time_ms)
    csp_failpoint(CSP_FP_APPLY_PUBLISHED)
    retire_replaced(w)
    stage_reset(&w.stage)

cdef extern from "<unistd.h>" nogil:
    ssize_t write(int fd, const void *start, size_t size)

cdef void wake_readers(csp_writer_t *w) noexcept nogil:
    """Rings the workers that sleep and want every publication, but for those that have seen the newest."""
    cdef uint64_t seen = w.store.super.state.revision + 1
    cdef uint64_t asleep
    cdef uint64_t one = 1
    cdef csp_slot_t *slot
    cdef int i
    csp_fence()
    for i in range(w.wake_end):
        slot = &w.store.control.slots[i]
        if w.wake_fds[i] < 0 or not csp_load(&slot.interest):
            continue
        asleep = csp_load_all(&slot.asleep)
        if asleep and asleep != seen and csp_swap(&slot.asleep, 0):
            write(w.wake_fds[i], &one, 8)  # a full eventfd is awake already

cdef void writer_abandon(csp_writer_t *w) noexcept nogil:
    """Undoes what was staged and is not to be applied."""
    if w.prepared:
        w.prepared = 0
        stage_abort(w)
        arena_hold(&w.arena)

cdef int writer_prepare(
    csp_writer_t *w, const uint8_t *bytes, uint64_t size, const uint8_t **accounts,
    const uint64_t *sizes, int account_count
) noexcept nogil:
    """Everything of one transaction that can fail; FULL leaves nothing changed."""
    cdef const csp_entry_t *entry = <const csp_entry_t *> bytes
    cdef csp_super_t *super = w.store.super
    cdef uint64_t block = 0
    cdef int status
    writer_abandon(w)
    if w.loading or not super.loaded:
        return STATE
    status = entry_check(bytes, size)
    if status != OK:
        return status
    if entry.revision != super.state.revision + 1:
        return ORDER
    if entry.revision - super.log_oldest > super.log_mask:
        status = log_drop_oldest(w)
        if status != OK:
            return status
    successor_wait(w)
    status = entry_stage(w, bytes, size, accounts, sizes, account_count, &block)
    if status == FULL or (status == OK and w.stage.grows and arena_hold(&w.arena) != OK):
        status = entry_retry(w, bytes, size, accounts, sizes, account_count, &block)
    if status != OK:
        stage_abort(w)
        arena_hold(&w.arena)
        return status
    w.prepared = block
    return OK

cdef bint is_prepared(csp_writer_t *w, const uint8_t *bytes, uint64_t size) noexcept nogil:
    """Whether it is this entry that is staged; the mark is a hash of all its bytes."""
    cdef const csp_entry_t *staged = <const csp_entry_t *> (w.store.base + w.prepared)
    cdef const csp_entry_t *entry = <const csp_entry_t *> bytes
    return w.prepared and size >= sizeof(csp_entry_t) and staged.size == size and staged.crc == entry.crc \
        and staged.revision == entry.revision and staged.mark == entry.mark

cdef int writer_publish(
    csp_writer_t *w, const uint8_t *bytes, uint64_t size, const uint8_t **accounts,
    const uint64_t *sizes, int account_count
) noexcept nogil:
    """One transaction; FULL leaves nothing changed. writer_settle has to follow, soon."""
    cdef const csp_entry_t *entry = <const csp_entry_t *> bytes
    cdef uint64_t block
    cdef int status
    csp_failpoint(CSP_FP_APPLY_START)
    if not is_prepared(w, bytes, size):
        status = writer_prepare(w, bytes, size, accounts, sizes, account_count)
        if status != OK:
            return status
    block = w.prepared
    w.prepared = 0
    csp_failpoint(CSP_FP_APPLY_BEFORE_INTENT)
    csp_store(log_slot(w, entry.revision), block)
    w.log_used += size
    csp_failpoint(CSP_FP_APPLY_INTENT)
    stage_commit(w, entry.revision, entry.mark, entry.time_ms)
    w.applied += 1
    writer_stats(w).published += 1
    writer_stats(w).applied += entry.item_count
    return OK

cdef void writer_settle(csp_writer_t *w, int64_t now_ms) noexcept nogil:
    """What follows a publication, or a few: readers hear of it, old entries leave, memory comes back."""
    w.unsettled = 0
    w.unsettled_bytes = 0
    wake_readers(w)
    log_trim(w, now_ms)
    writer_reclaim(w)
    stage_shrink(&w.stage)
    arena_hold(&w.arena)
