# Included by csp/_fastpath.pyx after: recover. Checks records in the store against their checksums, piece by piece.
#
# Invariants:
# 1. The writer does it between two changes: nothing moves meanwhile, so nothing is pinned and nobody waits.
# 2. The newest version of each object is looked at, tombstones too; older versions vanish soon anyway.

ctypedef struct csp_scrub_t:
    uint32_t class_id      # where to go on
    uint64_t after
    uint64_t records       # seen since the start
    uint32_t dbid          # of the damaged record
    uint64_t revision      # that it claims

cdef bint scrub_record(const csp_writer_t *w, csp_scrub_t *scrub, uint64_t ref, uint64_t *size) noexcept nogil:
    """Whether the record is whole and the one that the index means."""
    cdef const csp_record_t *record
    scrub.dbid = <uint32_t> scrub.after
    scrub.revision = 0
    if ref < w.store.super.heap or ref + 64 > w.store.super.extent_end:
        return False
    record = record_at(&w.store, ref)
    scrub.revision = record.revision
    size[0] = record.size
    return image_check(<const uint8_t *> record, w.store.super.extent_end - ref) == OK \
        and record.class_id == scrub.class_id and record.dbid == scrub.dbid

cdef int scrub_step(const csp_writer_t *w, csp_scrub_t *scrub, uint64_t bytes_max, bint *ended) noexcept nogil:
    """Goes on for about so many bytes; CORRUPT: scrub says which record."""
    cdef uint64_t done = 0, size = 0
    cdef uint64_t *word
    ended[0] = False
    if w.loading or not w.store.super.loaded:
        return STATE
    while done < bytes_max:
        word = index_next(&w.store, scrub.class_id, &scrub.after)
        if word == NULL:
            scrub.after = 0
            scrub.class_id += 1
            if scrub.class_id == CSP_CLASSES:
                scrub.class_id = 0
                ended[0] = True
                return OK
            continue
        scrub.records += 1
        if not scrub_record(w, scrub, word[0], &size):
            return CORRUPT
        done += size
    return OK
