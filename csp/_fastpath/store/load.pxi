# Included by csp/_fastpath.pyx after: apply. Fills a segment that nobody reads, then builds its indexes at once.
#
# Invariants:
# 1. While loading, a record's word is replaced in place and the old record freed at once; prev is 0.
# 2. An image that is older than what the store holds is skipped (one of the same revision replaces it: its keys
#    may have been built anew); tombstones stay until the end
#    so that an older image of a deleted object is skipped too.
# 3. Names, lists and counts exist only after load_end, which walks the index in DBID order: lists
#    come out sorted by themselves.
# 4. Whatever lies anywhere in memory is asked for some steps before it is needed: a load is mostly waits
#    for memory. A key goes through a ring, so that its slot, its list and the list's value come in turn.

cdef enum:
    BULK_KEYS = 32         # of the ring: a power of two
    BULK_KEYS_LIST = 10    # so many keys later the slot is there, and its list is asked for
    BULK_KEYS_VALUE = 20   # and then the value that the list's first record has
    BULK_FILL = 16         # list numbers ahead, in the second walk
    BULK_FILL_DBIDS = 8

ctypedef struct csp_bulk_list_t:  # a list being gathered
    csp_delta_t name
    uint64_t start
    uint64_t count

ctypedef struct csp_bulk_key_t:   # a key whose list is still looked up
    csp_delta_t name
    uint64_t members

ctypedef struct csp_bulk_t:
    csp_bulk_list_t *lists
    size_t list_count, list_room
    uint64_t *names        # words of names, in the order of the walk
    size_t name_count, name_room
    csp_bulk_key_t keys[BULK_KEYS]
    uint64_t key_first, key_end
    uint32_t *table        # open addressing: number of the list + 1
    uint64_t table_size    # a power of two
    uint32_t *numbers      # list numbers in the order of the walk
    size_t number_count, number_room
    uint32_t *dbids
    uint64_t dbid_count
    uint64_t counts[256]

cdef int load_record(
    csp_writer_t *w, uint32_t class_id, uint32_t dbid, const csp_record_t *image, uint64_t revision
) noexcept nogil:
    """One image, or a tombstone when it is NULL."""
    cdef uint64_t *word
    cdef uint64_t size = sizeof(csp_record_t) if image == NULL else image.size
    cdef uint64_t ref
    cdef csp_record_t *old
    cdef csp_record_t *made
    cdef int status = index_ensure(w, class_id, dbid, &word)
    if status != OK:
        return status
    old = raw_newest(&w.store, word)
    if old != NULL and old.revision > revision:
        return OK
    ref = arena_alloc(&w.arena, size)
    if ref == 0:
        return FULL
    made = record_at(&w.store, ref)
    if image != NULL:
        memcpy(made, image, size)
        made.prev = 0
        made.node = 0
        if not class_is_inner(class_id):
            status = record_govern(w, made, old, revision, True)
    else:
        memset(made, 0, sizeof(csp_record_t))
        made.size = sizeof(csp_record_t)
        made.revision = revision
        made.class_id = <uint16_t> class_id
        made.dbid = dbid
        made.flags = CSP_TOMBSTONE
    if status != OK:
        arena_free(&w.arena, ref, size)
        return status
    csp_store(word, ref)
    csp_failpoint(CSP_FP_LOAD_RECORD)
    if old != NULL:
        return arena_free(&w.arena, <uint64_t> (<uint8_t *> old - w.store.base), old.size)
    return OK

cdef int load_images(csp_writer_t *w, const uint8_t *bytes, uint64_t size, uint64_t *count) noexcept nogil:
    """Concatenated images."""
    cdef uint64_t at = 0
    cdef const csp_record_t *image
    cdef int status
    if not w.loading:
        return STATE
    while at < size:
        image = <const csp_record_t *> (bytes + at)
        if image_check(bytes + at, size - at) != OK or image.class_id == CSP_NODE_CLASS:
            return CORRUPT
        status = load_record(w, image.class_id, image.dbid, image, image.revision)
        if status != OK:
            return status
        at += image.size
        count[0] += 1
    return OK

cdef int load_change(csp_writer_t *w, const uint8_t *bytes, uint64_t size) noexcept nogil:
    """A transaction that came while loading."""
    cdef const csp_entry_t *entry = <const csp_entry_t *> bytes
    cdef csp_item_t *item
    cdef const csp_record_t *image
    cdef uint64_t number = 0
    cdef uint32_t i
    cdef int status
    if not w.loading:
        return STATE
    status = entry_check(bytes, size)
    if status != OK:
        return status
    if entry.table != w.store.super.table and w.given == NULL:
        return OTHER_KEYS
    item = entry_items(entry)
    for i in range(entry.item_count):
        number += item_is_change(item)
        if not item_is_change(item):
            item = item_next(item)
            continue
        if item_record(w, entry, item, number - 1, &image) != OK:
            return CORRUPT
        status = load_record(w, item.class_id, item.dbid, image, entry.revision)
        if status != OK:
            return status
        item = item_next(item)
    return OK

# ---- building the indexes ----

cdef int bulk_grow(csp_bulk_t *bulk) noexcept nogil:
    """Doubles the table of lists."""
    cdef uint64_t size = bulk.table_size * 2 if bulk.table_size else 4096
    cdef uint32_t *table = <uint32_t *> calloc(size, 4)
    cdef uint64_t at
    cdef size_t i
    if table == NULL:
        return NO_MEMORY
    for i in range(bulk.list_count):
        at = bulk.lists[i].name.hash & (size - 1)
        while table[at]:
            at = (at + 1) & (size - 1)
        table[at] = <uint32_t> i + 1
    free(bulk.table)
    bulk.table = table
    bulk.table_size = size
    return OK

cdef int bulk_list(csp_bulk_t *bulk, const csp_delta_t *name, uint32_t *number) noexcept nogil:
    """The number of the list (key_id, value), a new one if need be."""
    cdef uint64_t at
    if bulk.list_count * 2 >= bulk.table_size and bulk_grow(bulk) != OK:
        return NO_MEMORY
    at = name.hash & (bulk.table_size - 1)
    while bulk.table[at]:
        number[0] = bulk.table[at] - 1
        if list_order(&bulk.lists[number[0]].name, name) == 0:
            return OK
        at = (at + 1) & (bulk.table_size - 1)
    if vector_room(<void **> &bulk.lists, &bulk.list_room, bulk.list_count + 1,
                   sizeof(csp_bulk_list_t)) != OK:
        return NO_MEMORY
    number[0] = <uint32_t> bulk.list_count
    bulk.lists[number[0]].name = name[0]
    bulk.lists[number[0]].start = 0
    bulk.lists[number[0]].count = 0
    bulk.list_count += 1
    bulk.table[at] = number[0] + 1
    return OK

cdef inline csp_bulk_list_t *bulk_likely(csp_bulk_t *bulk, uint64_t at) noexcept nogil:
    """The list that the first slot of a key of the ring names, NULL where that is empty."""
    cdef csp_bulk_key_t *key = &bulk.keys[at & (BULK_KEYS - 1)]
    cdef uint32_t number = bulk.table[key.name.hash & (bulk.table_size - 1)]
    return &bulk.lists[number - 1] if number else NULL

cdef int bulk_settle(csp_bulk_t *bulk) noexcept nogil:
    """The oldest key of the ring is numbered and counted."""
    cdef csp_bulk_key_t *key = &bulk.keys[bulk.key_first & (BULK_KEYS - 1)]
    cdef uint32_t number
    bulk.key_first += 1
    if bulk_list(bulk, &key.name, &number) != OK or vector_room(
            <void **> &bulk.numbers, &bulk.number_room, bulk.number_count + 1, 4) != OK:
        return NO_MEMORY
    bulk.numbers[bulk.number_count] = number
    bulk.number_count += 1
    bulk.lists[number].count += key.members
    return OK

cdef int bulk_key(csp_bulk_t *bulk, const csp_delta_t *name, uint64_t members) noexcept nogil:
    """Takes one more key, and moves those before it on."""
    cdef csp_bulk_list_t *likely
    cdef csp_bulk_key_t *key
    if bulk.key_end - bulk.key_first == BULK_KEYS and bulk_settle(bulk) != OK:
        return NO_MEMORY
    key = &bulk.keys[bulk.key_end & (BULK_KEYS - 1)]
    key.name = name[0]
    key.members = members
    bulk.key_end += 1
    if bulk.table_size == 0:
        return OK
    csp_prefetch(&bulk.table[name.hash & (bulk.table_size - 1)])
    if bulk.key_end - bulk.key_first > BULK_KEYS_LIST:
        likely = bulk_likely(bulk, bulk.key_end - 1 - BULK_KEYS_LIST)
        if likely != NULL:
            csp_prefetch(likely)
    if bulk.key_end - bulk.key_first > BULK_KEYS_VALUE:
        likely = bulk_likely(bulk, bulk.key_end - 1 - BULK_KEYS_VALUE)
        if likely != NULL:
            csp_prefetch(likely.name.value)
    return OK

cdef int bulk_record(csp_writer_t *w, csp_bulk_t *bulk, const csp_record_t *record) noexcept nogil:
    """First walk: names are gathered, list keys are numbered and counted."""
    cdef const uint8_t *at = record_keys(record)
    cdef const uint8_t *end = at + record.keys_size
    cdef const csp_key_t *key
    cdef csp_delta_t name
    cdef uint8_t kind
    while at < end:
        key = <const csp_key_t *> at
        at += key_bytes(key)
        kind = w.store.super.keys[key.key_id].kind if key.key_id < CSP_KEYS else 0
        if kind == 0:
            w.ignored_keys += 1
            continue
        name.hash = words_hash(&w.store, key.key_id, key_value(key), key.value_size)
        if kind == 1:
            if vector_room(<void **> &bulk.names, &bulk.name_room, bulk.name_count + 1, 8) != OK:
                return NO_MEMORY
            bulk.names[bulk.name_count] = (<uint64_t> name.hash << 32) | record.dbid
            bulk.name_count += 1
            continue
        name.key_id = key.key_id
        name.value_size = key.value_size
        name.value = key_value(key)
        if bulk_key(bulk, &name, key.member_count if key.member_count else 1) != OK:
            return NO_MEMORY
    return bulk_node(w, bulk, record)

cdef int bulk_node(csp_writer_t *w, csp_bulk_t *bulk, const csp_record_t *record) noexcept nogil:
    """First walk: the list of the governing node, after those of the keys."""
    cdef csp_delta_t name
    name.key_id = node_list_key(record.class_id)
    if record.node == 0 or name.key_id == 0:
        return OK
    name.value_size = sizeof(uint32_t)
    name.value = <const uint8_t *> &record.node
    name.hash = words_hash(&w.store, name.key_id, name.value, name.value_size)
    return bulk_key(bulk, &name, 1)

cdef inline void bulk_ahead(csp_bulk_t *bulk, size_t next_number) noexcept nogil:
    """Asks for what the second walk needs soon."""
    cdef csp_bulk_list_t *entry
    if next_number + BULK_FILL >= bulk.number_count:
        return
    csp_prefetch(&bulk.lists[bulk.numbers[next_number + BULK_FILL]])
    entry = &bulk.lists[bulk.numbers[next_number + BULK_FILL_DBIDS]]
    csp_prefetch(&bulk.dbids[entry.start + entry.count])

cdef void bulk_fill(csp_writer_t *w, csp_bulk_t *bulk, const csp_record_t *record, size_t *next_number) noexcept nogil:
    """Second walk: DBIDs go to their lists."""
    cdef const uint8_t *at = record_keys(record)
    cdef const uint8_t *end = at + record.keys_size
    cdef const csp_key_t *key
    cdef csp_bulk_list_t *entry
    cdef uint32_t i
    while at < end:
        key = <const csp_key_t *> at
        at += key_bytes(key)
        if key.key_id >= CSP_KEYS or w.store.super.keys[key.key_id].kind != 2:
            continue
        bulk_ahead(bulk, next_number[0])
        entry = &bulk.lists[bulk.numbers[next_number[0]]]
        next_number[0] += 1
        if key.member_count == 0:
            bulk.dbids[entry.start + entry.count] = record.dbid
            entry.count += 1
        for i in range(key.member_count):
            bulk.dbids[entry.start + entry.count] = csp_u32(key_members(key), i)
            entry.count += 1
    if record.node and node_list_key(record.class_id):
        entry = &bulk.lists[bulk.numbers[next_number[0]]]
        next_number[0] += 1
        bulk.dbids[entry.start + entry.count] = record.dbid
        entry.count += 1

cdef int dbid_order(const void *a, const void *b) noexcept nogil:
    cdef uint32_t left = (<const uint32_t *> a)[0]
    cdef uint32_t right = (<const uint32_t *> b)[0]
    return (left > right) - (left < right)

cdef uint32_t dbids_settle(uint32_t *dbids, uint32_t count) noexcept nogil:
    """Sorts if need be and drops duplicates."""
    cdef uint32_t i, out = 0
    for i in range(1, count):
        if dbids[i - 1] >= dbids[i]:
            sort(dbids, count, 4, dbid_order)
            for i in range(count):
                if out == 0 or dbids[out - 1] != dbids[i]:
                    dbids[out] = dbids[i]
                    out += 1
            return out
    return count

cdef int bulk_build(csp_writer_t *w, csp_bulk_t *bulk, uint64_t revision) noexcept nogil:
    """Makes every list."""
    cdef csp_bulk_list_t *entry
    cdef csp_list_t *head
    cdef size_t i
    cdef uint32_t count
    cdef int status
    status = words_expect(w, &w.store.super.lists_root, bulk.list_count)
    if status != OK:
        return status
    for i in range(bulk.list_count):
        if i + WORDS_AHEAD < bulk.list_count:
            words_prefetch(w, w.store.super.lists_root, bulk.lists[i + WORDS_AHEAD].name.hash,
                           bulk.lists[i + WORDS_AHEAD // 2].name.hash)
            csp_prefetch(bulk.lists[i + WORDS_AHEAD].name.value)
        entry = &bulk.lists[i]
        count = dbids_settle(bulk.dbids + entry.start, <uint32_t> entry.count)
        head = list_make(w, &entry.name, bulk.dbids + entry.start, count, revision, 0)
        w.stage.block_count = 0
        if head == NULL:
            return FULL
        status = list_insert(w, list_word(
            entry.name.hash, <uint64_t> (<uint8_t *> head - w.store.base)))
        if status != OK:
            return status
        csp_failpoint(CSP_FP_LOAD_LIST)
    return OK

cdef int bulk_walk(csp_writer_t *w, csp_bulk_t *bulk, int filling) noexcept nogil:
    """All classes in DBID order; the first walk also drops tombstones and counts."""
    cdef uint64_t after
    cdef uint64_t *word
    cdef csp_record_t *record
    cdef size_t next_number = 0
    cdef uint32_t class_id
    cdef int status
    for class_id in range(CSP_CLASSES):
        after = 0
        while True:
            word = index_next(&w.store, class_id, &after)
            if word == NULL:
                break
            record = record_at(&w.store, word[0])
            if filling:
                if class_is_indexed(class_id):
                    bulk_fill(w, bulk, record, &next_number)
                continue
            if record.flags & CSP_TOMBSTONE:
                arena_free(&w.arena, word[0], record.size)
                csp_store(word, 0)
                index_trim(w, class_id, <uint32_t> after)
                continue
            bulk.counts[class_id] += 1
            if not class_is_indexed(class_id):
                continue
            status = bulk_record(w, bulk, record)
            if status != OK:
                return status
    return OK

cdef int bulk_counts(csp_writer_t *w, csp_bulk_t *bulk, uint64_t revision) noexcept nogil:
    cdef csp_count_t *cell
    cdef uint64_t ref
    cdef int i
    for i in range(CSP_CLASSES):
        if bulk.counts[i] == 0 or class_is_inner(i):
            continue
        ref = arena_alloc(&w.arena, sizeof(csp_count_t))
        if ref == 0:
            return FULL
        cell = <csp_count_t *> (w.store.base + ref)
        memset(cell, 0, sizeof(csp_count_t))
        cell.revision = revision
        cell.count = bulk.counts[i]
        csp_store(&w.store.super.class_counts[i], ref)
    return OK

cdef int bulk_names(csp_writer_t *w, csp_bulk_t *bulk) noexcept nogil:
    """Puts in the names that the first walk has gathered."""
    cdef size_t i
    cdef int status = words_expect(w, &w.store.super.names_root, bulk.name_count)
    for i in range(bulk.name_count):
        if status != OK:
            return status
        if i + WORDS_AHEAD < bulk.name_count:
            words_prefetch(w, w.store.super.names_root, bulk.names[i + WORDS_AHEAD] >> 32,
                           bulk.names[i + WORDS_AHEAD // 2] >> 32)
        status = name_insert(w, bulk.names[i])
    return status

cdef int bulk_index(csp_writer_t *w, csp_bulk_t *bulk, uint64_t revision) noexcept nogil:
    cdef uint64_t total = 0
    cdef size_t i
    cdef int status = bulk_walk(w, bulk, 0)
    while status == OK and bulk.key_first != bulk.key_end:
        status = bulk_settle(bulk)
    if status == OK:
        status = bulk_names(w, bulk)
    if status != OK:
        return status
    for i in range(bulk.list_count):
        bulk.lists[i].start = total
        total += bulk.lists[i].count
        bulk.lists[i].count = 0
    bulk.dbids = <uint32_t *> malloc(4 * total + 4)
    if bulk.dbids == NULL:
        return NO_MEMORY
    status = bulk_walk(w, bulk, 1)
    if status == OK:
        status = bulk_build(w, bulk, revision)
    if status == OK:
        status = bulk_counts(w, bulk, revision)
    return status

cdef int load_finish(csp_writer_t *w, uint64_t revision, uint64_t mark, int64_t time_ms) noexcept nogil:
    """Builds names, lists and counts, then publishes the load."""
    cdef csp_bulk_t bulk
    cdef int status
    if not w.loading:
        return STATE
    memset(&bulk, 0, sizeof(bulk))
    stage_reset(&w.stage)
    status = bulk_index(w, &bulk, revision)
    free(bulk.lists)
    free(bulk.names)
    free(bulk.table)
    free(bulk.numbers)
    free(bulk.dbids)
    if status != OK:
        return status
    w.store.super.log_oldest = revision + 1
    if w.seed_first and w.seed_last == revision:
        w.store.super.log_oldest = w.seed_first
    csp_store(&w.store.super.rights_revision, revision)
    csp_failpoint(CSP_FP_LOAD_PUBLISH)
    publish(w, revision, mark, time_ms)
    csp_store(&w.store.super.loaded, 1)
    w.loading = 0
    return arena_hold(&w.arena)

cdef int log_seed(csp_writer_t *w, const uint8_t *bytes, uint64_t size) noexcept nogil:
    """History from before the load, ascending, without gaps; it counts once it ends at `published`."""
    cdef const csp_entry_t *entry = <const csp_entry_t *> bytes
    cdef csp_super_t *super = w.store.super
    cdef uint64_t ref
    cdef int status = entry_check(bytes, size)
    if status != OK:
        return status
    if super.loaded and (super.log_oldest != super.state.revision + 1
                         or entry.revision > super.state.revision):
        return ORDER
    if w.seed_first and entry.revision != w.seed_last + 1:
        return ORDER
    if w.seed_first and entry.revision - w.seed_first > super.log_mask:
        return ORDER
    ref = arena_alloc(&w.arena, size)
    if ref == 0:
        return FULL
    memcpy(w.store.base + ref, bytes, size)
    (<csp_entry_t *> (w.store.base + ref)).extras = 0
    status = items_govern(w, <csp_entry_t *> (w.store.base + ref))
    if status != OK:
        arena_free(&w.arena, ref, size)
        return status
    csp_store(log_slot(w, entry.revision), ref)
    w.log_used += size
    if w.seed_first == 0:
        w.seed_first = entry.revision
    w.seed_last = entry.revision
    if super.loaded and entry.revision == super.state.revision:
        csp_store(&super.log_oldest, w.seed_first)
    return OK
