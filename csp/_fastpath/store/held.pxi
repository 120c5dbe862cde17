# Included by csp/_fastpath.pyx after: arena. Holds memory back for deletes when nothing else is left.
#
# What is held is a chain of runs: a store in which much is free has it, though its free memory lies scattered, as
# each successor leaves it that begins in fresh memory. A chain is whole before its head is stored.

cdef void held_free(csp_arena_t *arena, uint64_t ref) noexcept nogil:
    """Gives the runs of a chain back."""
    cdef csp_held_t run
    while ref:
        run = (<csp_held_t *> (arena.base + ref))[0]
        arena.used_bytes -= run.pages * PAGE_BYTES
        arena.block_bytes -= run.pages * PAGE_BYTES
        run_free(arena, <uint32_t> (ref / PAGE_BYTES), <uint32_t> run.pages)
        ref = run.next

cdef int arena_hold(csp_arena_t *arena) noexcept nogil:
    """Takes the held memory out of circulation, in as few runs as there are; FULL when there is not enough."""
    cdef uint64_t left = arena.super.held_bytes / PAGE_BYTES
    cdef uint64_t length = left
    cdef uint64_t chain = 0
    cdef csp_held_t *run
    cdef uint32_t page
    if arena.super.held:
        return OK
    while left:
        if length > left:
            length = left
        page = run_alloc(arena, <uint32_t> length, 1)
        if page == 0 and length <= HELD_RUN_PAGES:
            held_free(arena, chain)
            return FULL
        if page == 0:
            length = length / 2 if length / 2 > HELD_RUN_PAGES else HELD_RUN_PAGES
            continue
        arena.pages[page].state = PAGE_RUN
        arena.pages[page + length - 1].state = PAGE_RUN
        arena.used_bytes += length * PAGE_BYTES
        arena.block_bytes += length * PAGE_BYTES
        run = <csp_held_t *> (arena.base + <uint64_t> page * PAGE_BYTES)
        run.next = chain
        run.pages = length
        chain = <uint64_t> page * PAGE_BYTES
        left -= length
    csp_store(&arena.super.held, chain)
    return OK

cdef int arena_release(csp_arena_t *arena) noexcept nogil:
    """Gives the held memory to the change that needs it; FULL when it is in use already."""
    cdef uint64_t chain = arena.super.held
    if chain == 0:
        return FULL
    csp_store(&arena.super.held, 0)
    held_free(arena, chain)
    return OK

cdef void held_keep(csp_arena_t *arena) noexcept nogil:
    """What a predecessor held is held on: nobody ever reached it."""
    cdef uint64_t ref = arena.super.held
    cdef const csp_held_t *run
    cdef uint64_t first, i
    while ref:
        run = <const csp_held_t *> (arena.base + ref)
        first = ref / PAGE_BYTES
        for i in range(first, first + run.pages):
            arena.pages[i].spared = 1
            arena.pages[i].state = PAGE_RUN
        arena.used_bytes += run.pages * PAGE_BYTES
        arena.block_bytes += run.pages * PAGE_BYTES
        ref = run.next
