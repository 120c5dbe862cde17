# Included by csp/_fastpath.pyx after: read, view, probe. What Python gets of a store: copies, as lists and bytes.
#
# Invariants:
# 1. Whoever calls has pinned; nothing refers to shared memory after the call.

cdef bytes frame_text(const uint8_t *frame, uint32_t size):
    """The text inside `$len\\r\\n` text `\\r\\n`."""
    cdef uint32_t start = 0
    while start < size and frame[start] != 10:
        start += 1
    if start + 3 > size:
        return b""
    return (<const char *> frame)[start + 1:size - 2]

cdef bytes entry_bytes(const csp_entry_t *entry):
    cdef bytearray copy = bytearray((<const char *> entry)[:entry.size])
    cdef csp_item_t *item = entry_items(<const csp_entry_t *> <char *> copy)
    cdef uint32_t i
    (<csp_entry_t *> <char *> copy).extras = 0
    for i in range(entry.item_count):
        memset(<char *> item + CSP_ITEM_TRANSIT, 0, sizeof(csp_item_t) - CSP_ITEM_TRANSIT)
        item = item_next(item)
    return bytes(copy)

cdef list key_dbids(const csp_view_t *view, uint32_t key_id, bytes value):
    """All DBIDs under one key, ascending."""
    cdef uint32_t *found
    cdef csp_plist_t it
    cdef uint32_t count, class_id, i
    if key_id >= CSP_KEYS or view.store.super.keys[key_id].kind == 0:
        raise StoreError(f"key {key_id} is not kept here")
    if view.store.super.keys[key_id].kind == 1:
        found = <uint32_t *> malloc(NAME_CANDIDATES_MAX * 4)
        if found == NULL:
            raise MemoryError("find")
        count = view_names(view, <uint16_t> key_id, value, <uint32_t> len(value), found, NAME_CANDIDATES_MAX)
        dbids = sorted([found[i] for i in range(count)])
        free(found)
        return dbids
    count = view_list(view, &it, <uint16_t> key_id, value, <uint32_t> len(value))
    dbids = [plist_next(&it) for i in range(count)]
    if view_is_whole(view):
        return dbids
    class_id = view.store.super.keys[key_id].class_id
    return [dbid for dbid in dbids if view_find(view, class_id, dbid) != NULL]

cdef list select_dbids(const csp_view_t *view, uint32_t class_id, filters, uint64_t after, uint64_t limit):
    """The shortest key is walked, the others are asked."""
    cdef csp_record_t *record
    dbids = []
    if not filters:
        record = view_next(view, class_id, after)
        while record != NULL and <uint64_t> len(dbids) < limit:
            dbids.append(record.dbid)
            record = view_next(view, class_id, record.dbid)
        return dbids
    found = sorted([key_dbids(view, key_id, value) for key_id, value in filters], key=len)
    others = [set(other) for other in found[1:]]
    for dbid in found[0]:
        if <uint64_t> len(dbids) >= limit:
            break
        if dbid > after and all([dbid in other for other in others]):
            dbids.append(dbid)
    return dbids

cdef tuple class_images(
    const csp_store_t *store, uint32_t class_id, uint64_t after, uint64_t max_bytes,
    uint32_t part, uint32_t parts
):
    cdef csp_record_t *record = raw_next(store, class_id, after, store.revision)
    cdef bytearray out = bytearray()
    cdef uint64_t size = 0
    cdef uint32_t last = 0
    while record != NULL:
        if record.dbid % parts == part:
            if size and size + record.size > max_bytes:
                return bytes(out), last
            out += (<const char *> record)[:record.size]
            image_settle(<csp_record_t *> (<char *> out + size))
            size += record.size
            last = record.dbid
        record = raw_next(store, class_id, record.dbid, store.revision)
    return bytes(out), 0
