# Included by csp/_fastpath.pyx after: retire. Notes which hashes may have words, after a death, that no record has.
#
# Invariants:
# 1. A range of hashes is noted before a word is added that a dying writer would leave behind, and when a
#    word's removal begins to wait for readers: all other words are those of published records and lists.
# 2. There are two halves: one is written to, the other holds what was noted before. When all has been
#    removed that waited as they changed places, the other is empty, and they change places again.
# 3. A successor looks through the ranges of both; the names only when it has time, so both stay until then.

cdef enum:
    DIRTY_NAMES = 0
    DIRTY_LISTS = 2
    DIRTY_SHIFT = 19   # of a hash of 32 bits: 8,192 ranges

cdef inline void dirty_note(csp_writer_t *w, uint32_t what, uint32_t hash) noexcept nogil:
    if not w.loading:  # a load that dies is thrown away whole
        w.store.super.dirty[what + w.dirty_half][hash >> DIRTY_SHIFT >> 6] |= \
            <uint64_t> 1 << (hash >> DIRTY_SHIFT & 63)
        w.dirty_noted[w.dirty_half] = 1

cdef inline bint dirty_has(const csp_super_t *super, uint32_t what, uint32_t range_number) noexcept nogil:
    return ((super.dirty[what][range_number >> 6] | super.dirty[what + 1][range_number >> 6])
            >> (range_number & 63)) & 1

cdef void dirty_settle(csp_writer_t *w) noexcept nogil:
    """Lets the halves change places when nothing waits any more that the other one is about."""
    cdef int other = 1 - w.dirty_half
    if w.walk.phase or w.pending_first < w.dirty_until or not (w.dirty_noted[0] or w.dirty_noted[1]):
        return
    if w.dirty_noted[other]:
        memset(w.store.super.dirty[DIRTY_NAMES + other], 0, 8 * CSP_DIRTY_WORDS)
        memset(w.store.super.dirty[DIRTY_LISTS + other], 0, 8 * CSP_DIRTY_WORDS)
        w.dirty_noted[other] = 0
    w.dirty_half = other
    w.dirty_until = w.pending_end

cdef inline int name_insert(csp_writer_t *w, uint64_t word) noexcept nogil:
    dirty_note(w, DIRTY_NAMES, <uint32_t> (word >> 32))
    return words_insert(w, &w.store.super.names_root, &w.store.super.name_words, word)

cdef inline int name_remove(csp_writer_t *w, uint64_t word) noexcept nogil:
    return words_remove(w, &w.store.super.names_root, &w.store.super.name_words, word)

cdef inline int list_insert(csp_writer_t *w, uint64_t word) noexcept nogil:
    dirty_note(w, DIRTY_LISTS, <uint32_t> (word >> 32))
    return words_insert(w, &w.store.super.lists_root, &w.store.super.list_words, word)

cdef inline int list_remove(csp_writer_t *w, uint64_t word) noexcept nogil:
    return words_remove(w, &w.store.super.lists_root, &w.store.super.list_words, word)
