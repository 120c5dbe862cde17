# Included by csp/_fastpath.pyx after: retire. Makes the nodes of the index by DBID,
# and takes back those that are empty.
#
# Invariants:
# 1. A node is filled before the word that reaches it is released. Where there is none a word names the empty
#    node of its level (limits.pxi), never 0.
# 2. Root, branch, twig, leaf: 12, 12, 4 and 4 bits of the DBID.
# 3. A node that is empty is unlinked, then retired: a reader that stands in it finds nothing, and nothing is
#    what it has to find. Nothing is staged meanwhile, because staging holds on to the words of leaves.
# 4. Only a root stays for good.

cdef inline uint64_t *node_words(const csp_store_t *store, uint64_t ref) noexcept nogil:
    return <uint64_t *> (store.base + ref)

cdef void node_fill(uint64_t *node, uint32_t words, uint64_t value) noexcept nogil:
    cdef uint32_t i
    for i in range(words):
        node[i] = value

cdef void index_format(csp_super_t *super) noexcept nogil:
    """The empty nodes, and every class with nothing else."""
    cdef uint8_t *base = <uint8_t *> super
    node_fill(<uint64_t *> (base + EMPTY_LEAF), INDEX_LEAF, 0)
    node_fill(<uint64_t *> (base + EMPTY_TWIG), INDEX_LEAF, EMPTY_LEAF)
    node_fill(<uint64_t *> (base + EMPTY_BRANCH), INDEX_ROOT, EMPTY_TWIG)
    node_fill(<uint64_t *> (base + EMPTY_ROOT), INDEX_ROOT, EMPTY_BRANCH)
    node_fill(super.class_roots, CSP_CLASSES, EMPTY_ROOT)

cdef int index_node(
    csp_writer_t *w, uint64_t *word, uint64_t empty, uint32_t words, uint64_t below
) noexcept nogil:
    """A node of its own in place of the empty one, filled with what is empty below it."""
    cdef uint64_t ref
    if word[0] != empty:
        return OK
    ref = arena_alloc(&w.arena, 8 * words)
    if ref == 0:
        return FULL
    node_fill(node_words(&w.store, ref), words, below)
    csp_store(word, ref)
    return OK

cdef int index_ensure(csp_writer_t *w, uint32_t class_id, uint32_t dbid, uint64_t **word) noexcept nogil:
    """The index word of an object, with the nodes above it."""
    cdef uint64_t *at
    if class_id >= CSP_CLASSES:
        return BAD_CLASS
    at = &w.store.super.class_roots[class_id]
    if index_node(w, at, EMPTY_ROOT, INDEX_ROOT, EMPTY_BRANCH) != OK:
        return FULL
    at = node_words(&w.store, at[0]) + (dbid >> INDEX_BRANCH_SHIFT)
    if index_node(w, at, EMPTY_BRANCH, INDEX_ROOT, EMPTY_TWIG) != OK:
        return FULL
    at = node_words(&w.store, at[0]) + ((dbid >> INDEX_TWIG_SHIFT) & (INDEX_ROOT - 1))
    if index_node(w, at, EMPTY_TWIG, INDEX_LEAF, EMPTY_LEAF) != OK:
        return FULL
    at = node_words(&w.store, at[0]) + ((dbid >> INDEX_LEAF_SHIFT) & (INDEX_LEAF - 1))
    if index_node(w, at, EMPTY_LEAF, INDEX_LEAF, 0) != OK:
        return FULL
    word[0] = node_words(&w.store, at[0]) + (dbid & (INDEX_LEAF - 1))
    return OK

cdef bint node_drop(
    csp_writer_t *w, uint64_t *word, uint64_t empty, uint32_t words, uint64_t below
) noexcept nogil:
    """Takes a node back that has nothing in it; False: it stays."""
    cdef uint64_t ref = word[0]
    cdef uint32_t i
    if ref == empty:
        return False
    for i in range(words):
        if node_words(&w.store, ref)[i] != below:
            return False
    if pending_room(w, 1) != OK:
        return False
    csp_store(word, empty)
    csp_failpoint(CSP_FP_RECLAIM_NODE)
    writer_retire(w, ref, 8 * words)
    return True

cdef void index_trim(csp_writer_t *w, uint32_t class_id, uint32_t dbid) noexcept nogil:
    """A word of a leaf became empty: so may have the leaf, the twig and the branch."""
    cdef uint64_t *branch = node_words(&w.store, w.store.super.class_roots[class_id]) + (dbid >> INDEX_BRANCH_SHIFT)
    cdef uint64_t *twig = node_words(&w.store, branch[0]) + ((dbid >> INDEX_TWIG_SHIFT) & (INDEX_ROOT - 1))
    cdef uint64_t *leaf = node_words(&w.store, twig[0]) + ((dbid >> INDEX_LEAF_SHIFT) & (INDEX_LEAF - 1))
    if node_drop(w, leaf, EMPTY_LEAF, INDEX_LEAF, 0) and node_drop(w, twig, EMPTY_TWIG, INDEX_LEAF, EMPTY_LEAF):
        node_drop(w, branch, EMPTY_BRANCH, INDEX_ROOT, EMPTY_TWIG)

cdef uint64_t *index_next(const csp_store_t *store, uint32_t class_id, uint64_t *after) noexcept nogil:
    """The next non-empty index word behind `after` (updated); NULL at the end. For walks of the writer."""
    cdef uint32_t budget = UINT32_MAX
    cdef uint64_t dbid = after[0] + 1
    cdef uint64_t *word = raw_next_word(store, class_id, &dbid, &budget)
    if word != NULL:
        after[0] = dbid
    return word
