# Included by csp/_fastpath.pyx after: tracking.
# BCAST: connections that are told of all keys that begin with a prefix, whatever they have read.
#
# Invariants:
# 1. A prefix exists while a connection uses it, and knows its connections; a connection's prefixes do not overlap, so
#    a key is told once.
# 2. What a prefix asks for is computed once: classes whose keys all begin with it, and at most one class whose keys
#    begin with it where their DBID begins with some digits. A change costs one look a prefix.
# 3. A key that is to be told waits in the connection's set, once, without leading zeros.

cdef prefix_t *prefix_find(worker_t *w, const char *text, uint32_t size) noexcept nogil:
    cdef prefix_t *p = w.tracking.prefixes
    while p != NULL and (p.size != size or memcmp(p.text, text, size) != 0):
        p = p.next
    return p

cdef void prefix_compile(prefix_t *p) noexcept nogil:
    """Which classes' keys begin with it."""
    cdef const csp_class_t *class_
    cdef uint32_t i, many
    for i in range(<uint32_t> CSP_CLASS_COUNT):
        class_ = &csp_classes[csp_class_ids[i]]
        many = class_.name_size + 1
        if p.size <= class_.name_size:
            if memcmp(class_.name, p.text, p.size) == 0:
                p.classes |= <uint64_t> 1 << class_.class_id
        elif memcmp(class_.name, p.text, class_.name_size) == 0 and p.text[class_.name_size] == c':':
            if p.size == many:
                p.classes |= <uint64_t> 1 << class_.class_id
            p.class_ = class_.class_id
            p.digits = many

cdef prefix_t *prefix_make(worker_t *w, const char *text, uint32_t size) noexcept nogil:
    """The prefix of a text, made if it is new; NULL without memory."""
    cdef prefix_t *p = prefix_find(w, text, size)
    if p != NULL:
        return p
    p = <prefix_t *> calloc(1, sizeof(prefix_t) + size + 1)
    if p == NULL:
        return NULL
    p.text = <char *> p + sizeof(prefix_t)
    memcpy(p.text, text, size)
    p.size = size
    prefix_compile(p)
    p.next = w.tracking.prefixes
    w.tracking.prefixes = p
    w.tracking.prefix_count += 1
    return p

cdef void prefix_end(worker_t *w, prefix_t *p) noexcept nogil:
    """Nobody uses it any more."""
    cdef prefix_t **at = &w.tracking.prefixes
    while at[0] != p:
        at = &at[0].next
    at[0] = p.next
    w.tracking.prefix_count -= 1
    free(p.rows)
    free(p)

cdef bint prefix_has(csp_conn *c, const prefix_t *p) noexcept nogil:
    cdef uint32_t i
    for i in range(track_of(c).prefix_count):
        if track_of(c).prefixes[i] == p:
            return True
    return False

cdef int prefix_join(worker_t *w, csp_conn *c, const char *text, uint32_t size) noexcept nogil:
    """The connection is told of what begins with it; -1 without memory."""
    cdef track_t *t = track_of(c)
    cdef prefix_t *p = prefix_make(w, text, size)
    cdef prefix_t **prefixes
    cdef uint32_t *rows
    if p == NULL:
        return -1
    if prefix_has(c, p):
        return 0
    prefixes = <prefix_t **> realloc(t.prefixes, (t.prefix_count + 1) * sizeof(prefix_t *))
    if prefixes != NULL:
        t.prefixes = prefixes
    if p.count == p.room:
        rows = <uint32_t *> realloc(p.rows, (p.room * 2 + 4) * sizeof(uint32_t))
        if rows != NULL:
            p.rows = rows
            p.room = p.room * 2 + 4
    if prefixes == NULL or p.count == p.room:
        if p.count == 0:
            prefix_end(w, p)
        return -1
    t.prefixes[t.prefix_count] = p
    t.prefix_count += 1
    p.rows[p.count] = <uint32_t> (c - w.rows)
    p.count += 1
    return 0

cdef void prefixes_leave(worker_t *w, csp_conn *c) noexcept nogil:
    """The connection is told of none any more."""
    cdef track_t *t = track_of(c)
    cdef uint32_t row = <uint32_t> (c - w.rows)
    cdef prefix_t *p
    cdef uint32_t i
    while t.prefix_count > 0:
        t.prefix_count -= 1
        p = t.prefixes[t.prefix_count]
        i = 0
        while p.rows[i] != row:
            i += 1
        p.count -= 1
        p.rows[i] = p.rows[p.count]
        if p.count == 0:
            prefix_end(w, p)
    free(t.prefixes)
    t.prefixes = NULL

cdef bint prefix_matches(const prefix_t *p, uint32_t class_id, uint32_t dbid) noexcept nogil:
    """Whether the key of an object begins with it."""
    cdef char digits[20]
    cdef uint32_t size
    if p.classes >> class_id & 1:
        return True
    if p.class_ != class_id:
        return False
    size = put_decimal(digits, dbid)
    return p.size - p.digits <= size and memcmp(digits, p.text + p.digits, p.size - p.digits) == 0

cdef void prefix_mark(worker_t *w, csp_conn *c, uint64_t key, uint64_t revision) noexcept nogil:
    """A connection is to be told of a key."""
    cdef keyset_t *set
    cdef uint32_t i
    if track_of(c).options & TRACK_NULL or track_wrote(track_of(c), revision):
        return
    set = track_set(w, c)
    i = tracked_find(&w.tracking, set, key, tracked_hash(set, key)) if set != NULL else 0
    if i == 0:
        if set == NULL or set.count >= w.limits.tracked_keys or w.tracking.count >= w.limits.tracked_keys_all:
            tracking_forget(w, c)
            return
        i = tracked_add(&w.tracking, set, key, True)
        if i == 0:
            tracking_forget(w, c)
            return
        w.tracking.items[i].revision = <uint32_t> revision
    tracking_mark(w, i, revision)

cdef void prefixes_item(worker_t *w, const csp_entry_t *entry, const csp_item_t *item) noexcept nogil:
    """Marks what an item of the log means to those who use a prefix of its key."""
    cdef prefix_t *p = w.tracking.prefixes
    cdef uint64_t key = object_key(item.class_id, item.dbid)
    cdef uint32_t i
    while p != NULL:
        if prefix_matches(p, item.class_id, item.dbid):
            for i in range(p.count):
                if not track_hears(w, &w.rows[p.rows[i]], item):
                    continue
                prefix_mark(w, &w.rows[p.rows[i]], key, entry.revision)
        p = p.next
