# Included by csp/_fastpath.pyx after: arena, held. Learns what memory is in use where a predecessor left a store.
#
# After arena_attach only fresh extents are used until arena_merge, and what is held where it is released: older
# readers may hold the rest.

cdef int arena_mark(csp_arena_t *arena, uint64_t ref, uint64_t size) noexcept nogil:
    """The walk found this block in use. CORRUPT when it lies outside or over another one."""
    cdef uint32_t page = <uint32_t> (ref / PAGE_BYTES)
    cdef uint32_t pages, number, index, i
    cdef uint64_t bytes, bit
    cdef csp_slab_t *slab
    if ref < arena.super.heap or ref + size > arena.super.extent_end:
        return CORRUPT
    if arena_fresh(arena, page):
        return OK  # allocated since arena_attach
    arena.used_bytes += size
    arena.block_bytes += block_bytes(size)
    if size > SLAB_BLOCK_BYTES_MAX:
        pages = <uint32_t> ((size + PAGE_BYTES - 1) / PAGE_BYTES)
        for i in range(page, page + pages):
            if arena.pages[i].state != PAGE_UNKNOWN:
                return CORRUPT
            arena.pages[i].state = PAGE_RUN
        return OK
    number = size_class(size)
    bytes = class_bytes(number)
    pages = slab_pages(bytes)
    if arena.pages[page].state == PAGE_UNKNOWN:
        if slab_new(arena, number, page / pages * pages) == NULL:
            return NO_MEMORY
    if arena.pages[page].state != PAGE_SLAB:
        return CORRUPT
    slab = arena.slabs[arena.pages[page].length]
    index = <uint32_t> ((ref - <uint64_t> slab.page * PAGE_BYTES) / bytes)
    bit = <uint64_t> 1 << (index & 63)
    if slab.size_class != number or slab.bits[index >> 6] & bit \
            or <uint64_t> slab.page * PAGE_BYTES + index * bytes != ref:
        return CORRUPT
    slab.bits[index >> 6] |= bit
    slab.used += 1
    return OK

cdef bint arena_marked(const csp_arena_t *arena, uint64_t ref, uint64_t size) noexcept nogil:
    """Whether the walk has found this block."""
    cdef uint32_t page = <uint32_t> (ref / PAGE_BYTES)
    cdef const csp_slab_t *slab
    cdef uint64_t index
    if arena_fresh(arena, page):
        return True
    if size > SLAB_BLOCK_BYTES_MAX:
        return arena.pages[page].state == PAGE_RUN
    if arena.pages[page].state != PAGE_SLAB:
        return False
    slab = arena.slabs[arena.pages[page].length]
    index = (ref - <uint64_t> slab.page * PAGE_BYTES) / class_bytes(slab.size_class)
    return slab.bits[index >> 6] >> (index & 63) & 1

cdef void arena_merge(csp_arena_t *arena) noexcept nogil:
    """The grace period after a recovery is over: what the walk did not find is free."""
    cdef uint32_t page = <uint32_t> (arena.super.heap / PAGE_BYTES)
    cdef uint32_t end = arena.merge_end
    cdef uint32_t start
    cdef size_t i
    arena.merge_end = 0
    while page < end:
        start = page
        while page < end and arena.pages[page].state == PAGE_UNKNOWN and not arena.pages[page].spared:
            page += 1
        if page > start:
            run_free(arena, start, page - start)
        else:
            page += 1
    for i in range(arena.slab_count):
        if arena.slabs[i] != NULL and not arena.slabs[i].linked \
                and arena.slabs[i].used < arena.slabs[i].capacity:
            slab_link(arena, arena.slabs[i])

cdef int arena_attach(csp_arena_t *arena, csp_super_t *super, int fd) noexcept nogil:
    """Everything below extent_end belongs to the walk until arena_merge."""
    cdef uint64_t count = super.reserve_bytes / PAGE_BYTES + 1
    memset(arena, 0, sizeof(csp_arena_t))
    arena.base = <uint8_t *> super
    arena.super = super
    arena.fd = fd
    arena.pages_bytes = count * sizeof(csp_page_t)
    arena.pages = <csp_page_t *> mmap(NULL, arena.pages_bytes, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if arena.pages == <csp_page_t *> MAP_FAILED:
        arena.pages = NULL
        return NO_MEMORY
    arena.merge_end = <uint32_t> (super.extent_end / PAGE_BYTES)
    held_keep(arena)
    return OK
