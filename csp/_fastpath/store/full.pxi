# Included by csp/_fastpath.pyx after: apply, reclaim, pins. What a change does that finds no room: waits a
# little for readers, takes what the log has beyond its measure, or the memory held back, or gives up.
#
# Invariants:
# 1. One change waits FULL_WAIT_MS in all; a wait in which nothing came back is the last one.
# 2. The log is shortened only while readers let go: as long as one stands nothing that is dropped could
#    be used, so nothing is dropped.
# 3. An announcement that was waited for in vain is not waited for again, by no other change either.

cdef bint grace_wait(csp_writer_t *w, int64_t until_ms) noexcept nogil:
    """Waits until all that was retired came back; False: a reader holds it, or a successor's walk goes on."""
    cdef timespec wait
    cdef int64_t freed_ms = store_clock_ms()
    cdef int64_t now_ms = freed_ms
    cdef uint64_t oldest
    wait.tv_sec = 0
    wait.tv_nsec = 1000000
    while w.walk.phase:  # until then nothing comes back
        if walk_on(w, WALK_STEPS, until_ms) != OK or store_clock_ms() >= until_ms:
            return False
        freed_ms = now_ms = store_clock_ms()
    while True:
        if writer_reclaim(w):
            freed_ms = now_ms
        if w.pending_first == w.pending_end:
            return True
        oldest = oldest_seen(w.store.control)
        if oldest != ~<uint64_t> 0 and (
                oldest == w.pins.stuck or now_ms >= until_ms or now_ms - freed_ms >= FULL_STEP_MS):
            w.pins.stuck = oldest
            return False
        nanosleep(&wait, NULL)
        now_ms = store_clock_ms()

cdef void successor_wait(csp_writer_t *w) noexcept nogil:
    """A successor that has no fresh memory to begin in waits a little until it knows what is free: what is held
    would be scattered else, by one successor after the other."""
    if w.arena.merge_end and not arena_extends(&w.arena):
        grace_wait(w, store_clock_ms() + FULL_STEP_MS)

cdef int entry_again(
    csp_writer_t *w, const uint8_t *bytes, uint64_t size, const uint8_t **accounts,
    const uint64_t *sizes, int account_count, uint64_t *block
) noexcept nogil:
    """Stages it once more; FULL also where it grows and would leave no memory held for deletes."""
    cdef int status
    stage_abort(w)
    status = entry_stage(w, bytes, size, accounts, sizes, account_count, block)
    if status == OK and w.stage.grows and arena_hold(&w.arena) != OK:
        return FULL
    return status

cdef int entry_retry(
    csp_writer_t *w, const uint8_t *bytes, uint64_t size, const uint8_t **accounts,
    const uint64_t *sizes, int account_count, uint64_t *block
) noexcept nogil:
    """The store is full: what readers let go may do, then what the log has beyond its measure, young
    as it may be. A change that doesn't grow gets the held memory, and all of the log's."""
    cdef int64_t until_ms = store_clock_ms() + FULL_WAIT_MS
    cdef bint moves
    cdef bint grows = entry_grows(w, bytes)
    cdef int status
    stage_abort(w)
    if w.unsettled:
        wake_readers(w)  # of what was published they hear before the wait
    moves = grace_wait(w, until_ms)
    status = entry_again(w, bytes, size, accounts, sizes, account_count, block)
    if status == FULL and not grows:
        stage_abort(w)
        arena_release(&w.arena)
        status = entry_stage(w, bytes, size, accounts, sizes, account_count, block)
    while status == FULL and moves and log_give_way(w, size, w.log_bytes if grows else 0):
        stage_abort(w)
        moves = grace_wait(w, until_ms)
        if grows:
            status = entry_again(w, bytes, size, accounts, sizes, account_count, block)
        else:
            status = entry_stage(w, bytes, size, accounts, sizes, account_count, block)
    return status

cdef bint log_give_way(csp_writer_t *w, uint64_t size, uint64_t keep) noexcept nogil:
    """Drops the oldest entries, whatever their age, to make room for one of `size`, while the log has
    more than `keep`; False when there are none."""
    cdef uint64_t want = 4 * size + PAGE_BYTES
    cdef uint64_t before = w.log_used
    cdef uint64_t oldest = w.store.super.log_oldest
    while before - w.log_used < want and w.log_used > keep \
            and w.store.super.log_oldest < w.store.super.state.revision:
        if log_drop_oldest(w) != OK:
            break
    return w.store.super.log_oldest != oldest

cdef bint entry_grows(csp_writer_t *w, const uint8_t *bytes) noexcept nogil:
    """Whether its records take more than those that they replace, all together."""
    cdef csp_item_t *item = entry_items(<const csp_entry_t *> bytes)
    cdef const csp_record_t *old
    cdef int64_t more = 0
    cdef uint32_t i
    for i in range((<const csp_entry_t *> bytes).item_count):
        old = NULL
        if item_is_change(item):
            old = raw_newest(&w.store, raw_word(&w.store, item.class_id, item.dbid))
        if item.image_size and item_is_change(item):
            more += <int64_t> block_bytes(item.image_size)
        if record_live(old):
            more -= <int64_t> block_bytes(old.size)
        item = item_next(item)
    return more > 0
