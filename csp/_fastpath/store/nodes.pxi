# Included by csp/_fastpath.pyx after: tree, postings. Gives numbers to the nodes that govern objects, and says when
# rights may have changed.
#
# Invariants:
# 1. A node that a transaction needs first is made with it, and becomes reachable with its other words.
# 2. Whatever may change who sees what sets the change's `rights`: a node made, moved, gone or back, grants, an access
#    group, an account, an application that comes, goes or moves. Its revision is stored in the super block before it is
#    published.

cdef enum:
    NODE_BYTES = 80  # a header, and one key with a value of eight bytes

cdef csp_record_t *node_staged(csp_writer_t *w, uint32_t number) noexcept nogil:
    """A node that the change at hand makes, NULL for another."""
    cdef uint64_t at = number - w.store.super.node_count - 1
    return record_at(&w.store, w.stage.nodes[at].ref) if at < w.stage.node_count else NULL

cdef uint32_t node_known(csp_writer_t *w, uint64_t name) noexcept nogil:
    """The number of a node, one that is being made included; 0: it has none."""
    cdef csp_words_t it
    cdef uint64_t word
    cdef uint32_t number
    raw_names_open(&it, &w.store, CSP_NODE_KEY, <const uint8_t *> &name, sizeof(uint64_t))
    while True:
        word = words_next(&it)
        number = <uint32_t> word
        if word == 0 or node_is(node_staged(w, number), name) or node_is(raw_node_record(&w.store, number), name):
            return number

cdef void governor_fill(csp_record_t *made, uint32_t number, uint64_t name, uint64_t revision) noexcept nogil:
    cdef csp_key_t *key = <csp_key_t *> (<uint8_t *> made + sizeof(csp_record_t))
    memset(made, 0, NODE_BYTES)
    made.size = NODE_BYTES
    made.revision = revision
    made.dbid = number
    made.class_id = <uint16_t> CSP_NODE_CLASS
    made.container_class = <uint16_t> (name >> 32)
    made.container_dbid = <uint32_t> name
    made.keys_size = sizeof(csp_key_t) + sizeof(uint64_t)
    key.key_id = CSP_NODE_KEY
    key.value_size = sizeof(uint64_t)
    memcpy(<uint8_t *> key_value(key), &name, sizeof(uint64_t))
    record_seal(made)

cdef inline void record_seal(csp_record_t *made) noexcept nogil:
    made.crc = csp_crc32c(0, <uint8_t *> made + CSP_RECORD_COVERED, made.size - CSP_RECORD_COVERED)

cdef int node_make(csp_writer_t *w, uint64_t name, uint64_t revision, bint at_once, uint32_t *number) noexcept nogil:
    """Gives the next number. At once: nobody reads yet."""
    cdef csp_stage_t *stage = &w.stage
    cdef csp_record_t *made
    cdef uint64_t *cell = NULL
    cdef uint64_t ref, word
    cdef int status
    number[0] = <uint32_t> (w.store.super.node_count + stage.node_count + 1)
    status = index_ensure(w, CSP_NODE_CLASS, number[0], &cell)
    if status != OK:
        return status
    if vector_room(<void **> &stage.nodes, &stage.node_room, stage.node_count + 1, sizeof(csp_node_made_t)) != OK:
        return NO_MEMORY
    ref = arena_alloc(&w.arena, NODE_BYTES) if at_once else stage_alloc(w, NODE_BYTES)
    if ref == 0:
        return FULL
    made = record_at(&w.store, ref)
    governor_fill(made, number[0], name, revision)
    if not at_once:
        stage.nodes[stage.node_count].word = cell
        stage.nodes[stage.node_count].ref = ref
        stage.node_count += 1
        stage.rights = 1
        return key_note(w, <csp_key_t *> (<uint8_t *> made + sizeof(csp_record_t)), number[0], 1)
    csp_store(cell, ref)
    w.store.super.node_count = number[0]
    word = <uint64_t> words_hash(&w.store, CSP_NODE_KEY, <uint8_t *> &name, sizeof(uint64_t)) << 32 | number[0]
    return name_insert(w, word)

cdef int node_number(csp_writer_t *w, uint64_t name, uint64_t revision, bint at_once, uint32_t *number) noexcept nogil:
    """The number of a node, a new one if need be; of no class: 0."""
    number[0] = 0
    if name >> 32 == 0:
        return OK
    number[0] = node_known(w, name)
    return OK if number[0] else node_make(w, name, revision, at_once, number)

cdef inline int record_govern(
    csp_writer_t *w, csp_record_t *made, const csp_record_t *old, uint64_t revision, bint at_once
) noexcept nogil:
    """Writes the governing node's number into a new record; mostly it is that of the one before."""
    if old != NULL and record_stays(old, made):
        made.node = old.node
        return OK
    return record_place(w, made, revision, at_once)

cdef int record_place(csp_writer_t *w, csp_record_t *made, uint64_t revision, bint at_once) noexcept nogil:
    """A number for the governing node, and for that under which it hangs."""
    cdef uint32_t above
    cdef int status = node_number(w, record_governor(made), revision, at_once, &made.node)
    if status == OK and record_governs_itself(made) and made.class_id != CSP_TENANT_CLASS:
        status = node_number(w, container_name(made), revision, at_once, &above)
    return status

cdef inline bint is_node(csp_writer_t *w, const csp_record_t *record) noexcept nogil:
    """Whether something is, or was, governed by the object's grants or lies in it."""
    return node_known(w, node_name(record.class_id, record.dbid)) != 0 \
        or node_known(w, own_name(record.class_id, record.dbid)) != 0

cdef int node_note(
    csp_writer_t *w, uint32_t class_id, const csp_record_t *record, int sign
) noexcept nogil:
    """The record (NULL: none) enters or leaves the list of its node."""
    cdef uint16_t key_id = node_list_key(class_id)
    if record == NULL or record.node == 0 or key_id == 0:
        return OK
    return delta_put(
        w, key_id, <const uint8_t *> &record.node, sizeof(uint32_t),
        words_hash(&w.store, key_id, <const uint8_t *> &record.node, sizeof(uint32_t)), record.dbid, sign)

cdef inline bint account_changes(
    uint32_t class_id, const csp_record_t *old, const csp_record_t *made
) noexcept nogil:
    """Whether a person comes or goes, is disabled or enabled, or belongs to another tenant."""
    return class_id == <uint32_t> CSP_PERSON_CLASS and (
        old == NULL or made == NULL or old.tenant_dbid != made.tenant_dbid
        or record_is_disabled(old, CSP_PERSON_STATE_KEY) != record_is_disabled(made, CSP_PERSON_STATE_KEY))

cdef int governed_note(
    csp_writer_t *w, uint32_t class_id, const csp_record_t *old, const csp_record_t *made
) noexcept nogil:
    """What the change of one object means for the lists by node, and for rights; NULL: not there."""
    cdef int status = OK
    if old == NULL and made == NULL:
        return OK
    if class_id == <uint32_t> CSP_ACCESS_GROUP_CLASS or account_changes(class_id, old, made):
        w.stage.rights = 1
    if old != NULL and made != NULL and old.node == made.node and record_stays(old, made):
        return OK
    if class_id == <uint32_t> CSP_APPLICATION_CLASS:
        w.stage.rights = 1          # who may use it may read by it
    if not w.stage.rights:
        w.stage.rights = is_node(w, made if old == NULL else old)
    if old == NULL or made == NULL or old.node != made.node:
        status = node_note(w, class_id, old, -1)
        if status == OK:
            status = node_note(w, class_id, made, 1)
    return status

cdef void nodes_commit(csp_writer_t *w, uint64_t revision) noexcept nogil:
    """After the intent: the new nodes' words, how many there are, and that rights may have changed."""
    cdef csp_stage_t *stage = &w.stage
    cdef size_t i
    for i in range(stage.node_count):
        csp_store(stage.nodes[i].word, stage.nodes[i].ref)
        csp_failpoint(CSP_FP_APPLY_NODE)
    if stage.node_count:
        csp_store(&w.store.super.node_count, record_at(&w.store, stage.nodes[stage.node_count - 1].ref).dbid)
    if stage.rights:
        csp_store(&w.store.super.rights_revision, revision)
        csp_failpoint(CSP_FP_APPLY_RIGHTS)

cdef int items_govern(csp_writer_t *w, csp_entry_t *entry) noexcept nogil:
    """Numbers for the nodes that the items of a seeded entry name: nobody reads yet. Those of grants name objects."""
    cdef csp_item_t *item = entry_items(entry)
    cdef uint32_t i
    cdef int status = OK
    for i in range(entry.item_count):
        if status == OK and not class_is_inner(item.class_id):
            status = node_number(w, node_name(item.before_class, item.before_dbid), entry.revision, True,
                                 &item.node_before)
        if status == OK and not class_is_inner(item.class_id):
            status = node_number(w, node_name(item.after_class, item.after_dbid), entry.revision, True,
                                 &item.node_after)
        item = item_next(item)
    return status
