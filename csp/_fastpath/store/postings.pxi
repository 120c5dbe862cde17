# Included by csp/_fastpath.pyx after: retire, names.
# Makes new versions of posting lists; a list once reachable is never changed.
#
# Invariants:
# 1. A head carries its key and value, its count and its DBIDs or leaves, ascending, no duplicates.
# 2. A new version shares the leaves that it does not change; only unshared ones are retired.
# 3. A change replaces each list at most once, whatever number of its objects it touches.

cdef inline uint64_t head_bytes(uint32_t value_size, uint64_t body) noexcept nogil:
    return (40 + ((<uint64_t> value_size + 7) & ~<uint64_t> 7) + body + 31) & ~<uint64_t> 31

cdef inline uint64_t list_ref(uint64_t word) noexcept nogil:
    return <uint64_t> (<uint32_t> word) << 5

cdef inline uint64_t list_word(uint32_t hash, uint64_t ref) noexcept nogil:
    return (<uint64_t> hash << 32) | (ref >> 5)

cdef csp_list_t *head_new(
    csp_writer_t *w, const csp_delta_t *name, uint64_t body, uint64_t revision, uint64_t prev
) noexcept nogil:
    """A head with room for `body` bytes behind its value; NULL: full."""
    cdef uint64_t size = head_bytes(name.value_size, body)
    cdef uint64_t ref = stage_alloc(w, size)
    cdef csp_list_t *head
    if ref == 0:
        return NULL
    head = <csp_list_t *> (w.store.base + ref)
    memset(head, 0, size - body if body < size else size)
    head.revision = revision
    head.prev = prev
    head.hash = name.hash
    head.size = <uint32_t> size
    head.key_id = name.key_id
    head.value_size = name.value_size
    memcpy(<uint8_t *> head + 40, name.value, name.value_size)
    return head

cdef int leaf_new(csp_writer_t *w, const uint32_t *dbids, uint32_t count, csp_leaf_t *leaf) noexcept nogil:
    cdef uint64_t ref = stage_alloc(w, 4 * count)
    if ref == 0:
        return FULL
    memcpy(w.store.base + ref, dbids, 4 * count)
    leaf.first = dbids[0]
    leaf.count = count
    leaf.ref = ref
    return OK

cdef int leaves_room(csp_stage_t *stage, size_t more) noexcept nogil:
    return vector_room(
        <void **> &stage.leaves, &stage.leaf_room, stage.leaf_count + more, sizeof(csp_leaf_t))

cdef int leaves_add(csp_writer_t *w, const uint32_t *dbids, uint32_t count) noexcept nogil:
    """Appends DBIDs to the scratch leaves, in leaves of equal size."""
    cdef uint32_t pieces = 1 if count <= LEAF_MAX else (count + LEAF_FILL - 1) / LEAF_FILL
    cdef uint32_t piece, done = 0
    if leaves_room(&w.stage, pieces) != OK:
        return NO_MEMORY
    while pieces:
        piece = (count - done + pieces - 1) / pieces
        if leaf_new(w, dbids + done, piece, &w.stage.leaves[w.stage.leaf_count]) != OK:
            return FULL
        w.stage.leaf_count += 1
        done += piece
        pieces -= 1
    return OK

cdef csp_list_t *leaves_head(
    csp_writer_t *w, const csp_delta_t *name, uint64_t revision, uint64_t prev
) noexcept nogil:
    """A head over the scratch leaves."""
    cdef uint64_t body = w.stage.leaf_count * sizeof(csp_leaf_t)
    cdef csp_list_t *head = head_new(w, name, body, revision, prev)
    cdef size_t i
    if head == NULL:
        return NULL
    head.leaf_count = <uint32_t> w.stage.leaf_count
    memcpy(<uint8_t *> list_body(head), w.stage.leaves, body)
    for i in range(w.stage.leaf_count):
        head.count += w.stage.leaves[i].count
    return head

cdef csp_list_t *list_make(
    csp_writer_t *w, const csp_delta_t *name, const uint32_t *dbids, uint32_t count,
    uint64_t revision, uint64_t prev
) noexcept nogil:
    """A list of these DBIDs; NULL: full."""
    cdef csp_list_t *head
    if count <= LIST_INLINE_MAX:
        head = head_new(w, name, 4 * count, revision, prev)
        if head != NULL:
            head.count = count
            memcpy(<uint8_t *> list_body(head), dbids, 4 * count)
        return head
    w.stage.leaf_count = 0
    if leaves_add(w, dbids, count) != OK:
        return NULL
    return leaves_head(w, name, revision, prev)

cdef uint32_t run_merge(
    const uint32_t *old, uint32_t old_count, const csp_delta_t *deltas, uint32_t delta_count,
    uint32_t *out
) noexcept nogil:
    """Applies deltas (ascending, sign never 0) to ascending DBIDs; returns how many come out."""
    cdef uint32_t i = 0, j = 0, count = 0
    while i < old_count or j < delta_count:
        if j == delta_count or (i < old_count and old[i] < deltas[j].dbid):
            out[count] = old[i]
            count += 1
            i += 1
            continue
        if i < old_count and old[i] == deltas[j].dbid:
            i += 1
        if deltas[j].sign > 0:
            out[count] = deltas[j].dbid
            count += 1
        j += 1
    return count

cdef uint32_t list_copy(csp_writer_t *w, const csp_list_t *head, uint32_t *out) noexcept nogil:
    cdef const csp_leaf_t *leaves
    cdef uint32_t i, count = 0
    if head.leaf_count == 0:
        memcpy(out, list_body(head), 4 * head.count)
        return head.count
    leaves = <const csp_leaf_t *> list_body(head)
    for i in range(head.leaf_count):
        memcpy(out + count, w.store.base + leaves[i].ref, 4 * leaves[i].count)
        count += leaves[i].count
    return count

cdef int leaves_replace(csp_writer_t *w, const csp_list_t *head) noexcept nogil:
    """All leaves of the old version go."""
    cdef const csp_leaf_t *leaves = <const csp_leaf_t *> list_body(head)
    cdef uint32_t i
    for i in range(head.leaf_count):
        if stage_replace(w, leaves[i].ref, 4 * leaves[i].count) != OK:
            return NO_MEMORY
    return OK

cdef int leaf_update(
    csp_writer_t *w, const csp_leaf_t *leaf, const csp_delta_t *deltas, uint32_t count
) noexcept nogil:
    """Appends the changed leaf to the scratch leaves, joined with a small left neighbour."""
    cdef csp_leaf_t *left
    cdef uint32_t size, joined = 0
    if vector_room(<void **> &w.stage.dbids, &w.stage.dbid_room,
                   leaf.count + count + LEAF_MAX, sizeof(uint32_t)) != OK:
        return NO_MEMORY
    if stage_replace(w, leaf.ref, 4 * leaf.count) != OK:
        return NO_MEMORY
    size = run_merge(<uint32_t *> (w.store.base + leaf.ref), leaf.count, deltas, count, w.stage.dbids)
    if size == 0:
        return OK
    if size < LEAF_JOIN and w.stage.leaf_count:
        left = &w.stage.leaves[w.stage.leaf_count - 1]
        if left.count + size <= LEAF_FILL and not stage_owns(&w.stage, left.ref):
            joined = left.count
            memmove(w.stage.dbids + joined, w.stage.dbids, 4 * size)
            memcpy(w.stage.dbids, w.store.base + left.ref, 4 * joined)
            if stage_replace(w, left.ref, 4 * joined) != OK:
                return NO_MEMORY
            w.stage.leaf_count -= 1
    return leaves_add(w, w.stage.dbids, size + joined)

cdef inline bint stage_owns(const csp_stage_t *stage, uint64_t ref) noexcept nogil:
    """The last block of this change: the left leaf was made by it (older ones are not asked for)."""
    return stage.block_count > 0 and stage.blocks[stage.block_count - 1].ref == ref

cdef csp_list_t *leaves_update(
    csp_writer_t *w, const csp_list_t *old, const csp_delta_t *deltas, uint32_t count,
    uint64_t revision, uint64_t prev, int *status
) noexcept nogil:
    """A new version of a large list: copies the leaves that change, shares the others."""
    cdef const csp_leaf_t *leaves = <const csp_leaf_t *> list_body(old)
    cdef uint32_t i, start = 0, end
    w.stage.leaf_count = 0
    for i in range(old.leaf_count):
        end = start
        while end < count and (i + 1 == old.leaf_count or deltas[end].dbid < leaves[i + 1].first):
            end += 1
        if end == start:
            status[0] = leaves_room(&w.stage, 1)
            if status[0] == OK:
                w.stage.leaves[w.stage.leaf_count] = leaves[i]
                w.stage.leaf_count += 1
        else:
            status[0] = leaf_update(w, &leaves[i], deltas + start, end - start)
        if status[0] != OK:
            return NULL
        start = end
    return leaves_head(w, deltas, revision, prev)

cdef csp_list_t *list_update(
    csp_writer_t *w, const csp_list_t *old, const csp_delta_t *deltas, uint32_t count,
    uint64_t revision, int *status
) noexcept nogil:
    """The version of a list (old may be NULL) after deltas of this one list, ascending by DBID."""
    cdef csp_list_t *head
    cdef uint32_t size = 0, i
    cdef int64_t expected = 0 if old == NULL else old.count
    cdef uint64_t prev = 0 if old == NULL else <uint64_t> (<const uint8_t *> old - w.store.base)
    status[0] = OK
    for i in range(count):
        expected += deltas[i].sign
    if old != NULL and old.leaf_count and expected > LIST_INLINE_AGAIN:
        head = leaves_update(w, old, deltas, count, revision, prev, status)
        if head == NULL and status[0] == OK:
            status[0] = FULL
        return head
    if old != NULL:
        size = old.count
    if vector_room(<void **> &w.stage.dbids, &w.stage.dbid_room,
                   2 * <size_t> size + count + 1, sizeof(uint32_t)) != OK:
        status[0] = NO_MEMORY
        return NULL
    if size:
        list_copy(w, old, w.stage.dbids + size + count)
        if leaves_replace(w, old) != OK:
            status[0] = NO_MEMORY
            return NULL
    size = run_merge(w.stage.dbids + size + count, size, deltas, count, w.stage.dbids)
    head = list_make(w, deltas, w.stage.dbids, size, revision, prev)
    if head == NULL:
        status[0] = FULL
    return head

# ---- many deltas at once ----

cdef int delta_order(const void *a, const void *b) noexcept nogil:
    cdef const csp_delta_t *left = <const csp_delta_t *> a
    cdef const csp_delta_t *right = <const csp_delta_t *> b
    cdef int order = list_order(left, right)
    if order:
        return order
    return (left.dbid > right.dbid) - (left.dbid < right.dbid)

cdef inline int list_order(const csp_delta_t *left, const csp_delta_t *right) noexcept nogil:
    """0: the same list."""
    if left.hash != right.hash:
        return 1 if left.hash > right.hash else -1
    if left.key_id != right.key_id:
        return 1 if left.key_id > right.key_id else -1
    if left.value_size != right.value_size:
        return 1 if left.value_size > right.value_size else -1
    return memcmp(left.value, right.value, left.value_size)

cdef inline int delta_add(
    csp_writer_t *w, const csp_key_t *key, uint32_t hash, uint32_t dbid, int sign
) noexcept nogil:
    return delta_put(w, key.key_id, key_value(key), key.value_size, hash, dbid, sign)

cdef int delta_put(
    csp_writer_t *w, uint16_t key_id, const uint8_t *value, uint16_t value_size, uint32_t hash, uint32_t dbid, int sign
) noexcept nogil:
    """The value stays where it is until the lists are made."""
    cdef csp_delta_t *delta
    if vector_room(<void **> &w.stage.deltas, &w.stage.delta_room, w.stage.delta_count + 1,
                   sizeof(csp_delta_t)) != OK:
        return NO_MEMORY
    delta = &w.stage.deltas[w.stage.delta_count]
    delta.value = value
    delta.hash = hash
    delta.key_id = key_id
    delta.value_size = value_size
    delta.dbid = dbid
    delta.sign = sign
    w.stage.delta_count += 1
    return OK

cdef void deltas_settle(csp_stage_t *stage) noexcept nogil:
    """Sorts by list and DBID, cancels what enters and leaves."""
    cdef size_t i = 0, out = 0
    cdef csp_delta_t sum
    sort(stage.deltas, stage.delta_count, sizeof(csp_delta_t), delta_order)
    while i < stage.delta_count:
        sum = stage.deltas[i]
        i += 1
        while i < stage.delta_count and delta_order(&stage.deltas[i], &sum) == 0:
            sum.sign += stage.deltas[i].sign
            i += 1
        if sum.sign:
            sum.sign = 1 if sum.sign > 0 else -1
            stage.deltas[out] = sum
            out += 1
    stage.delta_count = out

cdef int lists_stage(csp_writer_t *w, uint64_t revision) noexcept nogil:
    """A new version of every list that the deltas touch; new lists get their word at once
    (their revision hides them), the others a swap for the commit."""
    cdef csp_stage_t *stage = &w.stage
    cdef csp_delta_t *deltas
    cdef csp_list_t *old
    cdef csp_list_t *head
    cdef csp_swap_t *swap
    cdef size_t i = 0, end
    cdef int status
    deltas_settle(stage)
    if vector_room(<void **> &stage.swaps, &stage.swap_room, stage.delta_count, sizeof(csp_swap_t)) != OK:
        return NO_MEMORY
    while i < stage.delta_count:
        deltas = &stage.deltas[i]
        end = i + 1
        while end < stage.delta_count and list_order(&stage.deltas[end], deltas) == 0:
            end += 1
        old = raw_list_newest(&w.store, deltas.key_id, deltas.value, deltas.value_size, deltas.hash)
        if stage.redo and old != NULL and old.revision == revision:
            i = end
            continue
        head = list_update(w, old, deltas, <uint32_t> (end - i), revision, &status)
        if head == NULL:
            return status
        swap = &stage.swaps[stage.swap_count]
        swap.new_word = list_word(deltas.hash, <uint64_t> (<uint8_t *> head - w.store.base))
        swap.old_word = 0
        swap.emptied = head.count == 0
        if old == NULL:
            status = list_insert(w, swap.new_word)
            if status != OK:
                return status
            csp_failpoint(CSP_FP_APPLY_STAGE_LIST)
        else:
            swap.old_word = list_word(deltas.hash, <uint64_t> (<uint8_t *> old - w.store.base))
            if stage_replace(w, <uint64_t> (<uint8_t *> old - w.store.base), old.size) != OK:
                return NO_MEMORY
        stage.swap_count += 1
        i = end
    return OK

cdef void lists_commit(csp_writer_t *w) noexcept nogil:
    """One store a list."""
    cdef size_t i
    cdef csp_swap_t *swap
    for i in range(w.stage.swap_count):
        swap = &w.stage.swaps[i]
        if swap.old_word:
            csp_store(words_cell(w, w.store.super.lists_root, swap.old_word), swap.new_word)
            csp_failpoint(CSP_FP_APPLY_LIST_WORD)
