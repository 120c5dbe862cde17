# Included by csp/_fastpath.pyx after: retire, index.
# Keeps the two hashes of words: names (low = DBID) and the directory of lists (low = ref / 32).
#
# Invariants:
# 1. Extendible: a directory of 2^depth bucket refs, taken by the top bits of the 32 bit hash.
# 2. A word is (hash << 32 | low), stored and cleared by one store, never moved inside a live bucket.
# 3. A split copies a bucket into two; the old one is retired whole. A reader sees the old or the new.
# 4. Names are a multiset: each (key, value, DBID) that is live or pending has one word of its own.
# 5. `super.splitting` is set while directory entries are rewritten, and says how: a successor ends it.

cdef enum:
    WORDS_AHEAD = 16  # words that are asked for before they are put in, where many are

cdef inline uint64_t *words_directory(csp_writer_t *w, uint64_t root) noexcept nogil:
    return <uint64_t *> (w.store.base + (root & ~<uint64_t> 63))

cdef inline uint64_t directory_bytes(uint64_t depth) noexcept nogil:
    return <uint64_t> 8 << depth

cdef uint64_t bucket_new(csp_writer_t *w) noexcept nogil:
    cdef uint64_t ref = arena_alloc(&w.arena, sizeof(csp_bucket_t))
    if ref:
        memset(w.store.base + ref, 0, sizeof(csp_bucket_t))
    return ref

cdef uint64_t words_create(csp_writer_t *w, uint32_t depth) noexcept nogil:
    """A directory of empty buckets, not reachable yet; 0: full."""
    cdef uint64_t ref = arena_alloc(&w.arena, directory_bytes(depth))
    cdef uint64_t *directory
    cdef uint64_t i, bucket
    if ref == 0:
        return 0
    directory = <uint64_t *> (w.store.base + ref)
    for i in range(<uint64_t> 1 << depth):
        bucket = bucket_new(w)
        if bucket == 0:
            while i:
                i -= 1
                arena_free(&w.arena, directory[i], sizeof(csp_bucket_t))
            arena_free(&w.arena, ref, directory_bytes(depth))
            return 0
        directory[i] = bucket
    return ref | depth

cdef int words_expect(csp_writer_t *w, uint64_t *root, uint64_t count) noexcept nogil:
    """A hash that so many words are about to come to: buckets as full as after as many splits."""
    cdef uint32_t depth = 3
    cdef uint64_t ref
    while depth < DIRECTORY_DEPTH_MAX and (<uint64_t> 7 << depth) < count:
        depth += 1
    if root[0] or depth == 3:
        return OK
    ref = words_create(w, depth)
    if ref == 0:
        return FULL
    csp_store(root, ref)
    return OK

cdef inline void words_prefetch(csp_writer_t *w, uint64_t root, uint64_t later, uint64_t sooner) noexcept nogil:
    """Asks for the directory entry of one hash, and for the bucket of another."""
    cdef uint64_t depth = root & 63
    if root:
        csp_prefetch(&words_directory(w, root)[(later << depth) >> 32])
        csp_prefetch(w.store.base + words_directory(w, root)[(sooner << depth) >> 32])

cdef uint64_t *words_cell(csp_writer_t *w, uint64_t root, uint64_t word) noexcept nogil:
    """Where a whole word lies, NULL when it doesn't."""
    cdef uint64_t depth = root & 63
    cdef uint64_t ref
    cdef csp_bucket_t *bucket
    cdef int i
    if root == 0:
        return NULL
    ref = words_directory(w, root)[((word >> 32) << depth) >> 32]
    while ref:
        bucket = <csp_bucket_t *> (w.store.base + ref)
        for i in range(7):
            if bucket.words[i] == word:
                return &bucket.words[i]
        ref = bucket.overflow
    return NULL

cdef int words_remove(csp_writer_t *w, uint64_t *root, uint64_t *count, uint64_t word) noexcept nogil:
    """Clears one word; 1 when it was there."""
    cdef uint64_t *cell = words_cell(w, root[0], word)
    if cell == NULL:
        return 0
    csp_store(cell, 0)
    count[0] -= 1
    return 1

cdef uint64_t chain_build(
    csp_writer_t *w, uint64_t old, uint64_t prefix, uint64_t shift, int *status
) noexcept nogil:
    """A new chain with the words of chain `old` whose hash >> shift is `prefix`."""
    cdef uint64_t first = bucket_new(w)
    cdef uint64_t last = first, more, word
    cdef csp_bucket_t *bucket
    cdef int i, at = 0
    status[0] = OK if first else FULL
    while old and status[0] == OK:
        bucket = <csp_bucket_t *> (w.store.base + old)
        for i in range(7):
            word = bucket.words[i]
            if word == 0 or (word >> 32) >> shift != prefix:
                continue
            if at == 7:
                more = bucket_new(w)
                if more == 0:
                    status[0] = FULL
                    break
                (<csp_bucket_t *> (w.store.base + last)).overflow = more
                last = more
                at = 0
            (<csp_bucket_t *> (w.store.base + last)).words[at] = word
            at += 1
        old = bucket.overflow
    return first

cdef void chain_free(csp_writer_t *w, uint64_t ref) noexcept nogil:
    """A chain that nobody ever reached."""
    cdef uint64_t next_ref
    while ref:
        next_ref = (<csp_bucket_t *> (w.store.base + ref)).overflow
        arena_free(&w.arena, ref, sizeof(csp_bucket_t))
        ref = next_ref

cdef int words_double(csp_writer_t *w, uint64_t *root) noexcept nogil:
    """Replaces the directory by one of twice the size."""
    cdef uint64_t old = root[0]
    cdef uint64_t depth = old & 63
    cdef uint64_t ref, i
    cdef uint64_t *larger
    if pending_room(w, 1) != OK:
        return NO_MEMORY
    ref = arena_alloc(&w.arena, directory_bytes(depth + 1))
    if ref == 0:
        return FULL
    larger = <uint64_t *> (w.store.base + ref)
    for i in range(<uint64_t> 1 << depth):
        larger[2 * i] = words_directory(w, old)[i]
        larger[2 * i + 1] = larger[2 * i]
    csp_store(root, ref | (depth + 1))
    csp_failpoint(CSP_FP_DIRECTORY_DOUBLED)
    return writer_retire(w, old & ~<uint64_t> 63, directory_bytes(depth))

cdef void split_store(csp_super_t *super, uint64_t *directory, int failpoint) noexcept nogil:
    """Rewrites the entries of the bucket that is split; again, if a writer died over it."""
    cdef uint64_t i
    for i in range(super.split_size):
        csp_store(&directory[super.split_start + i], super.split_left)
        csp_failpoint(failpoint)
    for i in range(super.split_size, 2 * super.split_size):
        csp_store(&directory[super.split_start + i], super.split_right)
    csp_store(&super.splitting, 0)

cdef int words_split(csp_writer_t *w, uint64_t *root, uint64_t hash) noexcept nogil:
    """Splits the bucket of `hash` in two. FULL or NO_MEMORY: nothing changed."""
    cdef csp_super_t *super = w.store.super
    cdef uint64_t depth = root[0] & 63
    cdef uint64_t local = depth, start, size, i, left, right, old, ref
    cdef uint64_t *directory = words_directory(w, root[0])
    cdef uint64_t index = (hash << depth) >> 32
    cdef int status, other = OK
    old = directory[index]
    while local and directory[index ^ (<uint64_t> 1 << (depth - local))] == old:
        local -= 1
    if local == depth:
        status = words_double(w, root)
        if status != OK:
            return status
        depth += 1
        index = (hash << depth) >> 32
        directory = words_directory(w, root[0])
    i = 0
    ref = old
    while ref:
        i += 1
        ref = (<csp_bucket_t *> (w.store.base + ref)).overflow
    if pending_room(w, i) != OK:
        return NO_MEMORY
    size = <uint64_t> 1 << (depth - local - 1)  # directory entries of each half
    start = index >> (depth - local) << (depth - local)
    left = chain_build(w, old, start / size, 32 - local - 1, &status)
    right = chain_build(w, old, start / size + 1, 32 - local - 1, &other)
    if status != OK or other != OK:
        chain_free(w, left)
        chain_free(w, right)
        return FULL
    csp_failpoint(CSP_FP_SPLIT_BEFORE)
    super.split_start = start
    super.split_size = size
    super.split_left = left
    super.split_right = right
    csp_store(&super.splitting, 1 if root == &super.names_root else 2)
    split_store(super, directory, CSP_FP_SPLIT_STORED)
    while old:
        ref = (<csp_bucket_t *> (w.store.base + old)).overflow
        writer_retire(w, old, sizeof(csp_bucket_t))
        old = ref
    return OK

cdef bint split_helps(csp_writer_t *w, uint64_t *root, uint64_t count, uint64_t hash) noexcept nogil:
    """False when the chain's hashes agree too far: the directory would grow for nothing."""
    cdef uint64_t depth = root[0] & 63
    cdef uint64_t ref = words_directory(w, root[0])[(hash << depth) >> 32]
    cdef uint64_t differ = 0, needed
    cdef csp_bucket_t *bucket
    cdef int i
    while ref:
        bucket = <csp_bucket_t *> (w.store.base + ref)
        for i in range(7):
            if bucket.words[i]:
                differ |= (bucket.words[i] >> 32) ^ hash
        ref = bucket.overflow
    if differ == 0:
        return False
    needed = 32 - log2_floor(differ)  # bits that tell them apart
    return needed <= DIRECTORY_DEPTH_MAX and (<uint64_t> 1 << needed) <= 4 * (count + 64)

cdef int words_insert(csp_writer_t *w, uint64_t *root, uint64_t *count, uint64_t word) noexcept nogil:
    """Adds a word (again, if it is there already)."""
    cdef uint64_t hash = word >> 32
    cdef uint64_t depth, ref
    cdef csp_bucket_t *bucket
    cdef int i, status
    if root[0] == 0:
        ref = words_create(w, 3)
        if ref == 0:
            return FULL
        csp_store(root, ref)
    while True:
        depth = root[0] & 63
        ref = words_directory(w, root[0])[(hash << depth) >> 32]
        while True:
            bucket = <csp_bucket_t *> (w.store.base + ref)
            for i in range(7):
                if bucket.words[i] == 0:
                    csp_store(&bucket.words[i], word)
                    count[0] += 1
                    return OK
            if bucket.overflow == 0:
                break
            ref = bucket.overflow
        if split_helps(w, root, count[0], hash):
            status = words_split(w, root, hash)
            if status != OK:
                return status
            continue
        ref = bucket_new(w)
        if ref == 0:
            return FULL
        (<csp_bucket_t *> (w.store.base + ref)).words[0] = word
        csp_store(&bucket.overflow, ref)
        count[0] += 1
        return OK
