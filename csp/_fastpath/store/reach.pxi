# Included by csp/_fastpath.pyx after: rights, groups. What may be read: bits of nodes, shared by all who may read the
# same, and a short list of nodes beside them.
#
# Invariants:
# 1. The same nodes are the same bits, the same bits and list the same reach: where two reaches differ as pointers, two
#    accounts may read different things, or one now reads something else than before.
# 2. Who may read all that is there has no bits.
# 3. A reach that nobody holds any more is freed when the reader says that no view of its turn is left (rights_sweep).

cdef enum:
    BITS_STEP = 4096                # numbers by which bits grow: a new node mostly needs no new memory

ctypedef struct bits_t:
    uint32_t refs
    uint32_t size                   # words
    uint64_t hash
    bits_t *next
    uint64_t words[1]               # more follow

ctypedef struct reach_t:
    uint32_t refs
    uint32_t count                  # of extra
    uint64_t hash
    reach_t *next
    bits_t *bits                    # NULL: everything
    uint32_t extra[1]               # ascending; more follow

# ---- bits ----

cdef inline uint32_t bits_words(const rights_t *t) noexcept nogil:
    return <uint32_t> ((<uint64_t> t.nodes + BITS_STEP) // BITS_STEP * (BITS_STEP // 64))

cdef bits_t *bits_new(const rights_t *t, const bits_t *like) noexcept nogil:
    """Bits of one's own, not shared yet; NULL without memory."""
    cdef uint32_t size = bits_words(t)
    cdef bits_t *made = <bits_t *> calloc(1, sizeof(bits_t) + (size - 1) * sizeof(uint64_t))
    if made == NULL:
        return NULL
    made.size = size
    if like != NULL:
        memcpy(made.words, like.words, (like.size if like.size < size else size) * sizeof(uint64_t))
    return made

cdef bint bits_same(const bits_t *one, const bits_t *other) noexcept nogil:
    return one.size == other.size and memcmp(one.words, other.words, one.size * sizeof(uint64_t)) == 0

cdef inline bint bits_has(const bits_t *bits, uint32_t number) noexcept nogil:
    return bits == NULL or bits.words[number >> 6] >> (number & 63) & 1

cdef bint bits_whole(const rights_t *t, const bits_t *bits) noexcept nogil:
    """Whether everything that is there is among them."""
    cdef uint32_t i
    for i in range((t.nodes >> 6) + 1):
        if t.live[i] & ~bits.words[i]:
            return False
    return True

cdef bits_t *bits_share(rights_t *t, bits_t *made) noexcept nogil:
    """The one that all share who have the same, its count raised; made is given away. NULL: everything."""
    cdef bits_t **bucket
    cdef bits_t *one
    if bits_whole(t, made):
        free(made)
        return NULL
    made.hash = csp_hash(0, made.words, made.size * sizeof(uint64_t))
    bucket = &t.bits[made.hash & (SHARED_BUCKETS - 1)]
    one = bucket[0]
    while one != NULL:
        if one.hash == made.hash and bits_same(one, made):
            free(made)
            one.refs += 1
            return one
        one = one.next
    made.refs = 1
    made.next = bucket[0]
    bucket[0] = made
    return made

cdef void bits_drop(rights_t *t, bits_t *bits) noexcept nogil:
    cdef bits_t **at
    if bits == NULL:
        return
    bits.refs -= 1
    if bits.refs:
        return
    at = &t.bits[bits.hash & (SHARED_BUCKETS - 1)]
    while at[0] != bits:
        at = &at[0].next
    at[0] = bits.next
    free(bits)

# ---- reaches ----

cdef reach_t *reach_take(rights_t *t, bits_t *bits, const uint32_t *extra, uint32_t count) noexcept nogil:
    """The reach of these bits and this list, its count raised; NULL without memory."""
    cdef uint64_t hash_ = csp_hash(<uint64_t> <size_t> bits, extra, count * sizeof(uint32_t))
    cdef reach_t **bucket = &t.reaches[hash_ & (SHARED_BUCKETS - 1)]
    cdef reach_t *one = bucket[0]
    while one != NULL:
        if one.bits == bits and one.count == count and memcmp(one.extra, extra, count * sizeof(uint32_t)) == 0:
            one.refs += 1
            return one
        one = one.next
    one = <reach_t *> malloc(sizeof(reach_t) + count * sizeof(uint32_t))
    if one == NULL:
        return NULL
    one.refs = 1
    one.count = count
    one.hash = hash_
    one.bits = bits
    if bits != NULL:
        bits.refs += 1
    if count:
        memcpy(one.extra, extra, count * sizeof(uint32_t))
    one.next = bucket[0]
    bucket[0] = one
    return one

cdef inline reach_t *reach_keep(reach_t *reach) noexcept nogil:
    reach.refs += 1
    return reach

cdef void reach_drop(rights_t *t, reach_t *reach) noexcept nogil:
    """It is freed when no view of the turn can hold it."""
    cdef reach_t **at
    if reach == NULL:
        return
    reach.refs -= 1
    if reach.refs:
        return
    at = &t.reaches[reach.hash & (SHARED_BUCKETS - 1)]
    while at[0] != reach:
        at = &at[0].next
    at[0] = reach.next
    reach.next = t.dead
    t.dead = reach

cdef void rights_sweep(rights_t *t) noexcept nogil:
    """No view is left that was made before."""
    cdef reach_t *reach
    if t.circle_count > CIRCLES_MAX:
        circles_drop(t)
    while t.dead != NULL:
        reach = t.dead
        t.dead = reach.next
        bits_drop(t, reach.bits)
        free(reach)

cdef inline void view_as(csp_view_t *view, const reach_t *reach) noexcept nogil:
    """From here on the view shows what may be read so."""
    view.bits = reach.bits.words if reach.bits != NULL else NULL
    view.words = reach.bits.size if reach.bits != NULL else 0
    view.extra = reach.extra
    view.extra_count = reach.count

cdef inline bint reach_has(const reach_t *reach, uint32_t number) noexcept nogil:
    """Whether what a node governs may be read."""
    cdef csp_view_t view
    view_as(&view, reach)
    return view_reads(&view, number)
