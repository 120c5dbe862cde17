# Included by csp/_fastpath.pyx after: read, stage. Checks all that a reader finds: checksums, names, lists, counts.
#
# Invariants:
# 1. Each class is looked at under a pin of its own, so nothing is held back for longer.

cdef uint64_t probe_turn(csp_store_t *store) noexcept nogil:
    cdef csp_record_t *record
    cdef uint64_t errors = 0, count, revision
    cdef uint32_t class_id
    for class_id in range(CSP_CLASSES):
        revision = store_pin(store)
        count = 0
        record = raw_next(store, class_id, 0, revision)
        while record != NULL:
            count += 1
            errors += probe_record(store, record, revision)
            record = raw_next(store, class_id, record.dbid, revision)
        if not class_is_inner(class_id) and count != raw_count(store, class_id, revision):
            errors += 1
        store_unpin(store)
    return errors

cdef uint64_t probe_record(csp_store_t *store, csp_record_t *record, uint64_t revision) noexcept nogil:
    """Its checksum, and whether its names and lists lead back to it."""
    cdef const uint8_t *at = record_keys(record)
    cdef const uint8_t *end = at + record.keys_size
    cdef const csp_key_t *key
    cdef csp_plist_t it
    cdef csp_words_t words
    cdef uint64_t word
    cdef uint32_t dbid
    cdef uint8_t kind
    cdef uint64_t errors = image_check(<const uint8_t *> record, record.size) != OK
    while at < end and not errors and record.class_id != CSP_ACCOUNT_CLASS:
        key = <const csp_key_t *> at
        at += key_bytes(key)
        kind = store.super.keys[key.key_id].kind if key.key_id < CSP_KEYS else 0
        if kind == 1:
            words_open(&words, store, &store.super.names_root,
                       words_hash(store, key.key_id, key_value(key), key.value_size))
            word = words_next(&words)
            while word and <uint32_t> word != record.dbid:
                word = words_next(&words)
            errors += word == 0
        elif kind == 2:
            raw_list_open(&it, store, key.key_id, key_value(key), key.value_size, revision)
            dbid = csp_u32(key_members(key), 0) if key.member_count else record.dbid
            errors += not plist_contains(&it, dbid)
    return errors
