# Included by csp/_fastpath.pyx after: arena, read.
# Describes the writer and keeps what it replaced until no reader can hold it.
#
# Invariants:
# 1. A pending item carries the epoch of its retirement; it is served when every slot is 0 or newer.
# 2. The epoch is raised after the unlinking, never between an item's epoch and its unlinking.
# 3. Items are served in the order they came; an item's epoch is never below its predecessor's.
# 4. While loading nobody reads: what is replaced is freed at once.

cdef enum:
    PENDING_FREE = 0       # a block: ref, size
    PENDING_TOMBSTONE = 1  # an index word to clear if it still holds ref: class_id, dbid
    PENDING_LIST = 2       # an empty list's word to clear if it is still there: word
    PENDING_NAME = 3       # a name's word to clear: word
    PENDING_MERGE = 4      # the memory that a recovery did not find in use

ctypedef struct csp_pending_t:
    uint64_t epoch
    uint64_t ref           # or the word
    uint32_t size
    uint32_t kind
    uint32_t class_id
    uint32_t dbid

ctypedef struct csp_block_t:
    uint64_t ref
    uint64_t size

ctypedef struct csp_node_made_t:  # a governing node that a change makes
    uint64_t ref
    uint64_t *word

ctypedef struct csp_change_t:  # one object of an entry being staged
    uint64_t object        # class << 32 | dbid
    uint32_t order         # position in the entry
    const csp_record_t *image  # NULL: delete
    csp_item_t *item       # in the log block; NULL for an account, which stands beside the items
    uint64_t *word         # index word
    uint64_t old           # ref it replaces, 0 none
    uint64_t made          # ref of the new record

ctypedef struct csp_delta_t:  # one DBID enters (+1) or leaves (-1) a list
    const uint8_t *value
    uint32_t hash
    uint16_t key_id
    uint16_t value_size
    uint32_t dbid
    int32_t sign

ctypedef struct csp_swap_t:  # one list whose head is to be replaced at the commit
    uint64_t old_word      # 0: already inserted, the list is new
    uint64_t new_word
    uint64_t emptied       # the new head has no DBIDs: its word goes a grace period later

ctypedef struct csp_stage_t:  # what a change has prepared; the arrays are kept from change to change
    csp_change_t *changes
    size_t change_count, change_room
    csp_delta_t *deltas
    size_t delta_count, delta_room
    csp_swap_t *swaps
    size_t swap_count, swap_room
    csp_block_t *blocks    # allocated for it: freed when it fails
    size_t block_count, block_room
    csp_block_t *replaced  # to retire when it is published
    size_t replaced_count, replaced_room
    csp_node_made_t *nodes
    size_t node_count, node_room
    uint64_t *names        # words added
    size_t name_count, name_room
    uint64_t *gone         # words to remove a grace period later
    size_t gone_count, gone_room
    uint32_t *dbids        # scratch
    size_t dbid_room
    csp_leaf_t *leaves     # scratch
    size_t leaf_count, leaf_room
    uint16_t classes[256]  # whose number of objects changes
    uint32_t counted
    int64_t counts[256]    # by class, 0 where it is not among them
    uint64_t cells[256]
    int grows              # needs more memory than it replaces
    int rights             # it may change who sees what
    int redo               # after a crash: parts of it may be done

ctypedef struct csp_pins_t:  # which announcements hold memory, as the writer saw them
    uint64_t seen[64]      # by slot
    int64_t since_ms[64]   # monotonic; 0: holds nothing
    uint64_t epochs[128]   # ring: an epoch, and when it was first seen to be the present one
    int64_t times_ms[128]
    uint64_t moved         # how often it moved
    uint64_t stuck         # the epoch whose announcement made a wait fail: not waited for again

ctypedef struct csp_walk_t:  # a successor's walk, as far as it has come: walk.pxi
    int phase              # WALK_*; 0: over
    int check              # checksums too, and every name
    int status             # CORRUPT: it goes no further
    uint32_t class_id
    uint64_t dbid          # next
    uint64_t hash          # next
    uint64_t log_at        # next
    uint64_t log_end       # the newest entry when it began
    uint64_t live          # objects of the class before dbid
    uint64_t records       # figures
    uint64_t tombstones
    uint64_t lists
    uint64_t names
    uint64_t names_dropped

ctypedef struct csp_writer_t:
    csp_store_t store
    csp_arena_t arena
    csp_stage_t stage
    int fd
    int loading
    int wake_fds[64]
    int wake_end               # of wake_fds; a worker's slot is its number
    csp_pending_t *pending     # ring
    uint64_t pending_first
    uint64_t pending_end
    uint64_t pending_room      # a power of two
    uint64_t pending_bytes
    csp_pins_t pins
    csp_walk_t walk
    int dirty_half             # that is written to
    int dirty_noted[2]
    uint64_t dirty_until       # of the pending ring: what waited when the halves changed places
    uint64_t log_bytes         # wanted
    uint64_t log_age_ms
    uint64_t log_used
    uint64_t prepared          # log block of the change that is staged and waits to be applied, 0 none
    uint64_t unsettled         # changes that are published and not settled, and their bytes
    uint64_t unsettled_bytes
    uint64_t seed_first        # history of a load: revisions seed_first..seed_last, 0 none
    uint64_t seed_last
    uint64_t applied           # figures since the start
    uint64_t redone
    uint64_t freed_blocks
    uint64_t trimmed
    uint64_t ignored_keys
    const uint8_t **given      # images in the place of those of the items, whose keys are of another table
    const uint64_t *given_sizes
    uint64_t given_count
    uint64_t skipped_items     # of kinds that this build does not know

cdef inline csp_stats *writer_stats(csp_writer_t *w) noexcept nogil:
    """The writer's own row of counters."""
    return <csp_stats *> w.store.control.counters[CSP_WRITER_SLOT]

ctypedef int (*order_t)(const void*, const void*) noexcept nogil

cdef inline void sort(void *items, size_t count, size_t item_bytes, order_t order) noexcept nogil:
    if count > 1:  # an empty array may not even be there
        qsort(items, count, item_bytes, order)

cdef inline void vector_shrink(void **data, size_t *room, size_t item_bytes) noexcept nogil:
    """Gives a private array back that one huge transaction made large; it holds nothing now."""
    if room[0] * item_bytes > KEPT_BYTES_MAX:
        free(data[0])
        data[0] = NULL
        room[0] = 0

cdef void stage_shrink(csp_stage_t *stage) noexcept nogil:
    """Between two changes."""
    if stage.change_room * sizeof(csp_change_t) <= KEPT_BYTES_MAX \
            and stage.delta_room * sizeof(csp_delta_t) <= KEPT_BYTES_MAX and stage.dbid_room * 4 <= KEPT_BYTES_MAX:
        return  # the others grow with these
    vector_shrink(<void **> &stage.changes, &stage.change_room, sizeof(csp_change_t))
    vector_shrink(<void **> &stage.deltas, &stage.delta_room, sizeof(csp_delta_t))
    vector_shrink(<void **> &stage.swaps, &stage.swap_room, sizeof(csp_swap_t))
    vector_shrink(<void **> &stage.blocks, &stage.block_room, sizeof(csp_block_t))
    vector_shrink(<void **> &stage.replaced, &stage.replaced_room, sizeof(csp_block_t))
    vector_shrink(<void **> &stage.names, &stage.name_room, 8)
    vector_shrink(<void **> &stage.gone, &stage.gone_room, 8)
    vector_shrink(<void **> &stage.dbids, &stage.dbid_room, 4)
    vector_shrink(<void **> &stage.leaves, &stage.leaf_room, sizeof(csp_leaf_t))

cdef uint64_t private_bytes(const csp_writer_t *w) noexcept nogil:
    """What those arrays and the pending ring take."""
    cdef const csp_stage_t *stage = &w.stage
    return stage.change_room * sizeof(csp_change_t) + stage.delta_room * sizeof(csp_delta_t) \
        + stage.swap_room * sizeof(csp_swap_t) + 8 * (stage.name_room + stage.gone_room) \
        + (stage.block_room + stage.replaced_room) * sizeof(csp_block_t) + 4 * stage.dbid_room \
        + stage.leaf_room * sizeof(csp_leaf_t) + w.pending_room * sizeof(csp_pending_t)

cdef void pending_shrink(csp_writer_t *w) noexcept nogil:
    """Gives the ring back when it is empty and was made large."""
    if w.pending_first == w.pending_end and w.pending_room * sizeof(csp_pending_t) > KEPT_BYTES_MAX:
        free(w.pending)
        w.pending = NULL
        w.pending_room = w.pending_first = w.pending_end = w.dirty_until = 0

cdef int pending_room(csp_writer_t *w, uint64_t more) noexcept nogil:
    """Makes room for `more` items, so that retiring can't fail after a publication."""
    cdef uint64_t count = w.pending_end - w.pending_first
    cdef uint64_t larger = w.pending_room if w.pending_room else PENDING_ROOM_MIN
    cdef csp_pending_t *grown
    cdef uint64_t i
    if count + more <= w.pending_room:
        return OK
    while larger < count + more:
        larger *= 2
    grown = <csp_pending_t *> malloc(larger * sizeof(csp_pending_t))
    if grown == NULL:
        return NO_MEMORY
    for i in range(count):
        grown[i] = w.pending[(w.pending_first + i) & (w.pending_room - 1)]
    free(w.pending)
    w.pending = grown
    w.pending_room = larger
    w.dirty_until = w.dirty_until - w.pending_first if w.dirty_until > w.pending_first else 0
    w.pending_first = 0
    w.pending_end = count
    return OK

cdef void pending_push(
    csp_writer_t *w, uint32_t kind, uint64_t ref, uint32_t size, uint32_t class_id, uint32_t dbid
) noexcept nogil:
    cdef csp_pending_t *item = &w.pending[w.pending_end & (w.pending_room - 1)]
    item.epoch = csp_load(&w.store.control.epoch)
    item.kind = kind
    item.ref = ref
    item.size = size
    item.class_id = class_id
    item.dbid = dbid
    w.pending_end += 1
    if kind == PENDING_FREE:
        w.pending_bytes += size

cdef int writer_retire(csp_writer_t *w, uint64_t ref, uint64_t size) noexcept nogil:
    """An unlinked block: freed a grace period later; at once while nobody reads."""
    cdef int status
    if w.loading:
        return arena_free(&w.arena, ref, size)
    status = pending_room(w, 1)
    if status == OK:
        pending_push(w, PENDING_FREE, ref, <uint32_t> size, 0, 0)
    return status

cdef uint64_t stage_alloc(csp_writer_t *w, uint64_t size) noexcept nogil:
    """A block that is freed again when the change fails. 0: full."""
    cdef uint64_t ref
    if vector_room(<void **> &w.stage.blocks, &w.stage.block_room, w.stage.block_count + 1,
                   sizeof(csp_block_t)) != OK:
        return 0
    ref = arena_alloc(&w.arena, size)
    if ref:
        w.stage.blocks[w.stage.block_count].ref = ref
        w.stage.blocks[w.stage.block_count].size = size
        w.stage.block_count += 1
    return ref

cdef int stage_replace(csp_writer_t *w, uint64_t ref, uint64_t size) noexcept nogil:
    """A block that the change replaces: retired once it is published."""
    if vector_room(<void **> &w.stage.replaced, &w.stage.replaced_room, w.stage.replaced_count + 1,
                   sizeof(csp_block_t)) != OK:
        return NO_MEMORY
    w.stage.replaced[w.stage.replaced_count].ref = ref
    w.stage.replaced[w.stage.replaced_count].size = size
    w.stage.replaced_count += 1
    return OK

cdef uint64_t oldest_seen(csp_control_t *control) noexcept nogil:
    """The oldest epoch that any reader announced; all ones when all are offline."""
    cdef uint64_t oldest = ~<uint64_t> 0
    cdef uint64_t seen
    cdef int i
    csp_fence()
    for i in range(CSP_SLOTS):
        seen = csp_load_all(&control.slots[i].seen)
        if seen and seen < oldest:
            oldest = seen
    return oldest
