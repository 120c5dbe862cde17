# Included by csp/_fastpath.pyx after: limits, status, read.
# Allocates and frees blocks of the data segment; all its state is in the writer's private memory.
#
# Invariants:
# 1. A block is known by its ref and its size: the same size must be given to free it.
# 2. Memory is backed (posix_fallocate) before its first block is handed out: no SIGBUS.
# 3. Blocks up to SLAB_BLOCK_BYTES_MAX lie in slabs aligned to their own size, so that a walk finds
#    the slab of a block; larger ones are runs of pages.
# 4. A size that is a multiple of 32 gives a ref that is one (posting list words rely on it), and a
#    power of two up to a page is aligned to itself (buckets and directories rely on it).

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *address, size_t size, int protection, int flags, int fd, int64_t offset)
    int munmap(void *address, size_t size)
    int madvise(void *address, size_t size, int advice)
    int PROT_NONE, PROT_READ, PROT_WRITE, MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE, MAP_FIXED
    void *MAP_FAILED

cdef extern from "<fcntl.h>" nogil:
    int posix_fallocate(int fd, int64_t offset, int64_t size)

cdef extern from "<errno.h>" nogil:
    int EINTR

cdef enum:
    PAGE_UNKNOWN = 0  # not backed, or not marked by the walk
    PAGE_FREE = 1     # first or last page of a free run
    PAGE_RUN = 2      # first or last page of a large block
    PAGE_SLAB = 3     # every page of a slab
    BINS = 64

ctypedef struct csp_page_t:  # what is known of one page
    uint32_t length   # FREE: pages of the run; SLAB: number of the slab
    uint32_t before   # neighbours in the bin's list, 0 none
    uint32_t after
    uint16_t state
    uint16_t spared   # it was held at the takeover: known to be free before the walk is over

ctypedef struct csp_slab_t:  # blocks of one size class; `bits` says which are in use
    uint32_t page
    uint32_t size_class
    uint32_t capacity
    uint32_t used
    uint32_t hint             # word of `bits` where the last free block was seen
    uint32_t number
    int linked
    csp_slab_t *before
    csp_slab_t *after
    uint64_t *bits

ctypedef struct csp_arena_t:
    uint8_t *base
    csp_super_t *super
    int fd
    csp_page_t *pages         # one a page of the reserve; untouched entries cost nothing
    size_t pages_bytes
    uint32_t bins[BINS]       # first free run of each bin, 0 none
    csp_slab_t *partial[SIZE_CLASSES]  # slabs with room, by size class
    csp_slab_t **slabs
    size_t slab_count
    size_t slab_room
    uint32_t *numbers         # slab numbers given back
    size_t number_count
    size_t number_room
    uint64_t used_bytes       # of blocks, as asked for
    uint64_t block_bytes      # of blocks, as rounded
    uint32_t merge_end        # pages below wait for arena_merge, but for the spared ones; 0 none

cdef inline uint32_t log2_floor(uint64_t value) noexcept nogil:
    return 63 - csp_clz(value)

cdef inline uint32_t size_class(uint64_t size) noexcept nogil:
    """16 byte steps to 256, then 16 steps an octave; above 512 only those that are whole cache lines: a record
    that began in the middle of a line would cost one more of them each time it is read."""
    cdef uint32_t power
    if size > 512:
        size = (size + 63) & ~<uint64_t> 63
    if size <= 256:
        return <uint32_t> ((size + 15) >> 4) - 1 if size else 0
    power = log2_floor(size - 1)
    return (power - 8) * 16 + 15 + <uint32_t> (
        (size - (<uint64_t> 1 << power) + (<uint64_t> 1 << (power - 4)) - 1) >> (power - 4))

cdef inline uint64_t class_bytes(uint32_t number) noexcept nogil:
    cdef uint32_t power
    if number < 16:
        return (number + 1) << 4
    power = 8 + ((number - 16) >> 4)
    return (<uint64_t> 1 << power) + ((<uint64_t> ((number - 16) & 15) + 1) << (power - 4))

cdef inline uint32_t slab_pages(uint64_t block_bytes) noexcept nogil:
    """The unused tail stays below a sixteenth."""
    return 16 if block_bytes <= 4096 else 64

cdef inline uint64_t block_bytes(uint64_t size) noexcept nogil:
    """What a block of this size really takes."""
    if size <= SLAB_BLOCK_BYTES_MAX:
        return class_bytes(size_class(size))
    return (size + PAGE_BYTES - 1) & ~<uint64_t> (PAGE_BYTES - 1)

cdef int vector_room(void **data, size_t *room, size_t need, size_t item_bytes) noexcept nogil:
    """Grows a private array to at least `need` items."""
    cdef size_t larger = room[0] * 2 if room[0] else 64
    cdef void *grown
    if need <= room[0]:
        return OK
    while larger < need:
        larger *= 2
    grown = realloc(data[0], larger * item_bytes)
    if grown == NULL:
        return NO_MEMORY
    data[0] = grown
    room[0] = larger
    return OK

cdef inline bint arena_fresh(const csp_arena_t *arena, uint32_t page) noexcept nogil:
    """Not waiting for arena_merge."""
    return page >= arena.merge_end or arena.pages[page].spared

# ---- runs of pages ----

cdef inline uint32_t run_bin(uint32_t length) noexcept nogil:
    return length - 1 if length <= 32 else 32 + log2_floor(length) - 5

cdef void run_link(csp_arena_t *arena, uint32_t page, uint32_t length) noexcept nogil:
    cdef uint32_t bin = run_bin(length)
    cdef uint32_t first = arena.bins[bin]
    arena.pages[page + length - 1].state = PAGE_FREE
    arena.pages[page + length - 1].length = length
    arena.pages[page].state = PAGE_FREE
    arena.pages[page].length = length
    arena.pages[page].before = 0
    arena.pages[page].after = first
    if first:
        arena.pages[first].before = page
    arena.bins[bin] = page

cdef void run_unlink(csp_arena_t *arena, uint32_t page) noexcept nogil:
    cdef csp_page_t *run = &arena.pages[page]
    if run.before:
        arena.pages[run.before].after = run.after
    else:
        arena.bins[run_bin(run.length)] = run.after
    if run.after:
        arena.pages[run.after].before = run.before

cdef void run_free(csp_arena_t *arena, uint32_t page, uint32_t length) noexcept nogil:
    """Joins the free neighbours."""
    cdef uint32_t end = page + length
    cdef uint32_t left
    if arena.pages[page - 1].state == PAGE_FREE:
        left = page - arena.pages[page - 1].length
        run_unlink(arena, left)
        page = left
    if <uint64_t> end * PAGE_BYTES < arena.super.extent_end and arena.pages[end].state == PAGE_FREE:
        run_unlink(arena, end)
        end += arena.pages[end].length
    run_link(arena, page, end - page)

cdef int arena_grow(csp_arena_t *arena, uint64_t need_pages) noexcept nogil:
    """Backs at least `need_pages` more pages; FULL when the reserve or /dev/shm has no more."""
    cdef uint64_t end = arena.super.extent_end
    cdef uint64_t need = need_pages * PAGE_BYTES
    cdef uint64_t step = need if need > EXTENT_BYTES else EXTENT_BYTES
    cdef uint64_t left = arena.super.reserve_bytes - end
    cdef int error
    if need > left:
        return FULL
    step = (step + EXTENT_BYTES - 1) & ~<uint64_t> (EXTENT_BYTES - 1)
    if step > left:
        step = left
    while True:
        error = posix_fallocate(arena.fd, <int64_t> end, <int64_t> step)
        if error == 0:
            break
        if error != EINTR:
            if step == need:
                return FULL
            step = need
    gather_pages(arena.base + end, step)
    csp_store(&arena.super.extent_end, end + step)
    run_free(arena, <uint32_t> (end / PAGE_BYTES), <uint32_t> (step / PAGE_BYTES))
    return OK

cdef uint32_t run_find(csp_arena_t *arena, uint32_t length, uint32_t align) noexcept nogil:
    """Takes `length` pages at a multiple of `align` out of the free runs; 0 when none fits."""
    cdef uint32_t bin = run_bin(length)
    cdef uint32_t page, start, size
    while bin < BINS:
        page = arena.bins[bin]
        while page:
            size = arena.pages[page].length
            start = (page + align - 1) / align * align
            if start + length <= page + size:
                run_unlink(arena, page)
                if start > page:
                    run_link(arena, page, start - page)
                if start + length < page + size:
                    run_link(arena, start + length, page + size - start - length)
                return start
            page = arena.pages[page].after
        bin += 1
    return 0

cdef uint32_t run_alloc(csp_arena_t *arena, uint32_t length, uint32_t align) noexcept nogil:
    cdef uint32_t page = run_find(arena, length, align)
    cdef uint64_t waste, end
    if page == 0:
        end = arena.super.extent_end / PAGE_BYTES
        waste = (align - end % align) % align
        if arena_grow(arena, length + waste) != OK:
            return 0
        page = run_find(arena, length, align)
    return page

# ---- slabs ----

cdef void slab_link(csp_arena_t *arena, csp_slab_t *slab) noexcept nogil:
    slab.before = NULL
    slab.after = arena.partial[slab.size_class]
    if slab.after != NULL:
        slab.after.before = slab
    arena.partial[slab.size_class] = slab
    slab.linked = 1

cdef void slab_unlink(csp_arena_t *arena, csp_slab_t *slab) noexcept nogil:
    if slab.before != NULL:
        slab.before.after = slab.after
    else:
        arena.partial[slab.size_class] = slab.after
    if slab.after != NULL:
        slab.after.before = slab.before
    slab.linked = 0

cdef csp_slab_t *slab_new(csp_arena_t *arena, uint32_t number, uint32_t page) noexcept nogil:
    """Describes the pages at `page` as a slab of size class `number`, all blocks free, not linked."""
    cdef uint64_t bytes = class_bytes(number)
    cdef uint32_t pages = slab_pages(bytes)
    cdef uint32_t capacity = <uint32_t> (<uint64_t> pages * PAGE_BYTES / bytes)
    cdef uint32_t words = (capacity + 63) / 64
    cdef csp_slab_t *slab
    if vector_room(<void **> &arena.slabs, &arena.slab_room, arena.slab_count + 1,
                   sizeof(csp_slab_t*)) != OK:
        return NULL
    if vector_room(<void **> &arena.numbers, &arena.number_room, arena.slab_count + 1,
                   sizeof(uint32_t)) != OK:
        return NULL
    slab = <csp_slab_t *> calloc(1, sizeof(csp_slab_t) + words * 8)
    if slab == NULL:
        return NULL
    slab.bits = <uint64_t *> (<uint8_t *> slab + sizeof(csp_slab_t))
    slab.page = page
    slab.size_class = number
    slab.capacity = capacity
    if capacity % 64:
        slab.bits[words - 1] = ~<uint64_t> 0 << (capacity % 64)  # past the end: never free
    if arena.number_count:
        arena.number_count -= 1
        slab.number = arena.numbers[arena.number_count]
    else:
        slab.number = <uint32_t> arena.slab_count
        arena.slab_count += 1
    arena.slabs[slab.number] = slab
    for i in range(page, page + pages):
        arena.pages[i].state = PAGE_SLAB
        arena.pages[i].length = slab.number
    return slab

cdef void slab_drop(csp_arena_t *arena, csp_slab_t *slab) noexcept nogil:
    """Gives the pages of an empty slab back."""
    cdef uint32_t pages = slab_pages(class_bytes(slab.size_class))
    if slab.linked:
        slab_unlink(arena, slab)
    arena.slabs[slab.number] = NULL
    arena.numbers[arena.number_count] = slab.number
    arena.number_count += 1
    run_free(arena, slab.page, pages)
    free(slab)

# ---- blocks ----

cdef uint64_t arena_alloc(csp_arena_t *arena, uint64_t size) noexcept nogil:
    """The offset of a block, 0 when the store is full. The block's old content is still in it."""
    cdef uint32_t number, page, pages, word, bit
    cdef csp_slab_t *slab
    if size > SLAB_BLOCK_BYTES_MAX:
        if size >= arena.super.reserve_bytes:
            return 0
        pages = <uint32_t> ((size + PAGE_BYTES - 1) / PAGE_BYTES)
        page = run_alloc(arena, pages, 1)
        if page == 0:
            return 0
        arena.pages[page].state = PAGE_RUN
        arena.pages[page + pages - 1].state = PAGE_RUN
        arena.used_bytes += size
        arena.block_bytes += <uint64_t> pages * PAGE_BYTES
        return <uint64_t> page * PAGE_BYTES
    number = size_class(size)
    slab = arena.partial[number]
    if slab == NULL:
        pages = slab_pages(class_bytes(number))
        page = run_alloc(arena, pages, pages)
        if page == 0:
            return 0
        slab = slab_new(arena, number, page)
        if slab == NULL:
            run_free(arena, page, pages)
            return 0
        slab_link(arena, slab)
    word = slab.hint
    while ~slab.bits[word] == 0:
        word = word + 1 if (word + 1) * 64 < slab.capacity else 0
    slab.hint = word
    bit = csp_ctz(~slab.bits[word])
    slab.bits[word] |= <uint64_t> 1 << bit
    slab.used += 1
    if slab.used == slab.capacity:
        slab_unlink(arena, slab)
    arena.used_bytes += size
    arena.block_bytes += class_bytes(number)
    return <uint64_t> slab.page * PAGE_BYTES + (word * 64 + bit) * class_bytes(number)

cdef int arena_free(csp_arena_t *arena, uint64_t ref, uint64_t size) noexcept nogil:
    """CORRUPT when no such block is in use."""
    cdef uint32_t page = <uint32_t> (ref / PAGE_BYTES)
    cdef uint32_t pages, index
    cdef uint64_t bytes, bit
    cdef csp_slab_t *slab
    arena.used_bytes -= size
    if size > SLAB_BLOCK_BYTES_MAX:
        pages = <uint32_t> ((size + PAGE_BYTES - 1) / PAGE_BYTES)
        if arena.pages[page].state != PAGE_RUN:
            return CORRUPT
        arena.block_bytes -= <uint64_t> pages * PAGE_BYTES
        run_free(arena, page, pages)
        return OK
    if arena.pages[page].state != PAGE_SLAB:
        return CORRUPT
    slab = arena.slabs[arena.pages[page].length]
    bytes = class_bytes(slab.size_class)
    index = <uint32_t> ((ref - <uint64_t> slab.page * PAGE_BYTES) / bytes)
    bit = <uint64_t> 1 << (index & 63)
    if slab.size_class != size_class(size) or not slab.bits[index >> 6] & bit:
        return CORRUPT
    arena.block_bytes -= bytes
    slab.bits[index >> 6] &= ~bit
    slab.used -= 1
    slab.hint = index >> 6
    if not slab.linked and arena_fresh(arena, page):
        slab_link(arena, slab)
    if slab.used == 0 and slab.linked and (slab.before != NULL or slab.after != NULL):
        slab_drop(arena, slab)  # the last one of its class stays, against flapping
    return OK

# ---- the arena ----

cdef inline bint arena_extends(const csp_arena_t *arena) noexcept nogil:
    """Whether there is fresh memory to be backed."""
    return arena.super.reserve_bytes - arena.super.extent_end >= EXTENT_BYTES

cdef void arena_detach(csp_arena_t *arena) noexcept nogil:
    cdef size_t i
    for i in range(arena.slab_count):
        free(arena.slabs[i])
    free(arena.slabs)
    free(arena.numbers)
    if arena.pages != NULL:
        munmap(arena.pages, arena.pages_bytes)
        arena.pages = NULL
