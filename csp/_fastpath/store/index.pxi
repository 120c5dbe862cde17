# Included by csp/_fastpath.pyx after: retire. Makes the nodes of the DBID radix; a node once made stays.
#
# Invariants:
# 1. Each level is zeroed before the word that reaches it is released.
# 2. Nodes are 11, 11 and 10 bits of the DBID: 16 KiB, 16 KiB, 8 KiB.

cdef enum:
    RADIX_BYTES = 16384
    RADIX_LEAF_BYTES = 8192

cdef int index_node(csp_writer_t *w, uint64_t *word, uint64_t size) noexcept nogil:
    cdef uint64_t ref
    if word[0]:
        return OK
    ref = arena_alloc(&w.arena, size)
    if ref == 0:
        return FULL
    memset(w.store.base + ref, 0, size)
    csp_store(word, ref)
    return OK

cdef int index_ensure(csp_writer_t *w, uint32_t class_id, uint32_t dbid, uint64_t **word) noexcept nogil:
    """The index word of an object, with the nodes above it."""
    cdef uint64_t *at
    if class_id >= CSP_CLASSES:
        return BAD_CLASS
    at = &w.store.super.class_roots[class_id]
    if index_node(w, at, RADIX_BYTES) != OK:
        return FULL
    at = <uint64_t *> (w.store.base + at[0]) + (dbid >> 21)
    if index_node(w, at, RADIX_BYTES) != OK:
        return FULL
    at = <uint64_t *> (w.store.base + at[0]) + ((dbid >> 10) & 2047)
    if index_node(w, at, RADIX_LEAF_BYTES) != OK:
        return FULL
    word[0] = <uint64_t *> (w.store.base + at[0]) + (dbid & 1023)
    return OK

cdef uint64_t *index_next(const csp_store_t *store, uint32_t class_id, uint64_t *after) noexcept nogil:
    """The next non-empty index word behind `after` (updated); NULL at the end. For walks of the writer."""
    cdef uint64_t dbid = after[0] + 1
    cdef uint64_t root = store.super.class_roots[class_id]
    cdef uint64_t middle, leaf
    cdef uint64_t *word
    if root == 0:
        return NULL
    while dbid <= <uint64_t> 0xffffffff:
        middle = (<uint64_t *> (store.base + root))[dbid >> 21]
        if middle == 0:
            dbid = ((dbid >> 21) + 1) << 21
            continue
        leaf = (<uint64_t *> (store.base + middle))[(dbid >> 10) & 2047]
        if leaf == 0:
            dbid = ((dbid >> 10) + 1) << 10
            continue
        while True:
            word = <uint64_t *> (store.base + leaf) + (dbid & 1023)
            if word[0]:
                after[0] = dbid
                return word
            dbid += 1
            if dbid & 1023 == 0:
                break
    return NULL
