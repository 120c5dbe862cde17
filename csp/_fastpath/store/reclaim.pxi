# Included by csp/_fastpath.pyx after: apply. Serves what was retired once no reader can hold it.
#
# Invariants:
# 1. An item is served when every announced epoch is newer than the item's.
# 2. Nothing is served before a successor's walk is over: what it has not seen yet can't be told from free.
# 3. An index word is cleared only if it still holds the tombstone; a list's word only if it is the
#    emptied head. Both blocks are then retired: a reader may just have loaded them.

cdef int pending_serve(csp_writer_t *w, csp_pending_t item) noexcept nogil:
    cdef uint64_t *word
    cdef csp_list_t *head
    cdef int status = OK
    if item.kind == PENDING_FREE:
        w.pending_bytes -= item.size
        w.freed_blocks += 1
        writer_stats(w).reclaimed += item.size
        csp_failpoint(CSP_FP_RECLAIM_FREE)
        return arena_free(&w.arena, item.ref, item.size)
    if item.kind == PENDING_TOMBSTONE:
        word = raw_word(&w.store, item.class_id, item.dbid)
        if word != NULL and word[0] == item.ref:
            csp_store(word, 0)
            csp_failpoint(CSP_FP_RECLAIM_TOMBSTONE)
            status = writer_retire(w, item.ref, 64)
            index_trim(w, item.class_id, item.dbid)
    elif item.kind == PENDING_LIST:
        if list_remove(w, item.ref):
            csp_failpoint(CSP_FP_RECLAIM_LIST)
            head = <csp_list_t *> (w.store.base + list_ref(item.ref))
            status = writer_retire(w, list_ref(item.ref), head.size)
    elif item.kind == PENDING_NAME:
        name_remove(w, item.ref)
        csp_failpoint(CSP_FP_RECLAIM_NAME)
    else:
        arena_merge(&w.arena)
        csp_failpoint(CSP_FP_WALK_MERGED)
    return status

cdef uint64_t writer_reclaim(csp_writer_t *w) noexcept nogil:
    """Serves all that is due; returns how many items."""
    cdef csp_pending_t item
    cdef uint64_t served = 0, oldest, epoch
    csp_failpoint(CSP_FP_RECLAIM_START)
    if w.walk.phase:
        return 0
    if w.pending_first == w.pending_end:
        dirty_settle(w)
        return 0
    epoch = w.pending[(w.pending_end - 1) & (w.pending_room - 1)].epoch
    if epoch == w.store.control.epoch:
        csp_add(&w.store.control.epoch, 1)  # unlinked, but not raised since: now it is
    epoch = w.store.control.epoch  # what this pass unlinks gets this epoch and waits
    oldest = oldest_seen(w.store.control)
    if oldest > epoch:
        oldest = epoch
    while w.pending_first != w.pending_end and pending_room(w, 1) == OK:
        item = w.pending[w.pending_first & (w.pending_room - 1)]
        if item.epoch >= oldest:
            break
        w.pending_first += 1
        pending_serve(w, item)
        served += 1
    dirty_settle(w)
    pending_shrink(w)
    return served
