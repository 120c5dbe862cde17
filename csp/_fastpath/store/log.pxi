# Included by csp/_fastpath.pyx after: retire. Keeps the last transactions: a ring of refs by revision.
#
# Invariants:
# 1. Slot revision & mask holds the entry of that revision, or of one a whole ring older, or 0.
# 2. Entries log_oldest..published are all there; the slot of published + 1 may hold an intent.
# 3. An entry leaves by raising log_oldest, then clearing its slot, then retiring its block.

cdef inline uint64_t *log_slot(csp_writer_t *w, uint64_t revision) noexcept nogil:
    return <uint64_t *> (w.store.base + w.store.super.log_ring) + (revision & w.store.super.log_mask)

cdef int entry_check(const uint8_t *bytes, uint64_t size) noexcept nogil:
    """Sizes, checksum (what belongs to the store taken as 0), items inside; not the images."""
    cdef const csp_entry_t *entry = <const csp_entry_t *> bytes
    cdef const csp_item_t *item
    cdef uint64_t at = sizeof(csp_entry_t), body, i
    cdef uint64_t[2] zeros
    cdef uint32_t crc
    zeros[0], zeros[1] = 0, 0
    if size < sizeof(csp_entry_t) or entry.format != CSP_ENTRY_FORMAT or entry.size != size or size & 7 \
            or entry.item_count > ENTRY_ITEMS_MAX:
        return CORRUPT
    crc = csp_crc32c(0, bytes + 12, sizeof(csp_entry_t) - 12 - 8)
    crc = csp_crc32c(crc, zeros, 8)
    for i in range(entry.item_count):
        if at + sizeof(csp_item_t) > size:
            return CORRUPT
        item = <const csp_item_t *> (bytes + at)
        body = sizeof(csp_item_t) + ((4 * <uint64_t> item.tenant_count + 7) & ~<uint64_t> 7) + item.image_size \
            + ((<uint64_t> item.event_size + 7) & ~<uint64_t> 7)
        if item.size & 7 or body > item.size or item.size > size - at or item.image_size & 7 \
                or item.class_id >= CSP_CLASSES or not (item_is_change(item) or item.flags & CSP_ITEM_SKIPPABLE):
            return CORRUPT
        crc = csp_crc32c(crc, item, CSP_ITEM_TRANSIT)
        crc = csp_crc32c(crc, zeros, sizeof(csp_item_t) - CSP_ITEM_TRANSIT)
        crc = csp_crc32c(crc, <const uint8_t *> item + sizeof(csp_item_t), item.size - sizeof(csp_item_t))
        at += item.size
    if at != size or crc != entry.crc:
        return CORRUPT
    return OK

cdef inline csp_item_t *item_next(csp_item_t *item) noexcept nogil:
    return <csp_item_t *> (<uint8_t *> item + item.size)

cdef int log_drop_oldest(csp_writer_t *w) noexcept nogil:
    """The oldest entry leaves."""
    cdef csp_super_t *super = w.store.super
    cdef uint64_t oldest = super.log_oldest
    cdef uint64_t *slot = log_slot(w, oldest)
    cdef uint64_t ref = slot[0]
    cdef uint32_t size
    if pending_room(w, 1) != OK:
        return NO_MEMORY
    csp_store(&super.log_oldest, oldest + 1)
    csp_failpoint(CSP_FP_LOG_TRIM)
    if ref:
        size = (<csp_entry_t *> (w.store.base + ref)).size
        csp_store(slot, 0)
        if w.walk.phase == 0 or oldest < w.walk.log_at or oldest > w.walk.log_end:
            w.log_used -= size  # else the walk has not come to it, and it is not counted yet
        writer_retire(w, ref, size)
    w.trimmed += 1
    return OK

cdef void log_trim(csp_writer_t *w, int64_t now_ms) noexcept nogil:
    """Drops entries beyond log_bytes that are old enough, beyond the hard limit any."""
    cdef csp_super_t *super = w.store.super
    cdef csp_entry_t *entry
    if w.walk.phase:
        return  # nothing that it gives could be used before the walk is over
    while w.log_used > w.log_bytes and super.log_oldest < super.state.revision:
        entry = log_entry(&w.store, super.log_oldest)
        if entry != NULL and w.log_used <= w.log_bytes * LOG_HARD_FACTOR \
                and now_ms - entry.time_ms < <int64_t> w.log_age_ms:
            return
        if log_drop_oldest(w) != OK:
            return
