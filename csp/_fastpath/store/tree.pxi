# Included by csp/_fastpath.pyx after: read. The nodes that govern objects, as a reader finds them at a revision.
#
# Invariants:
# 1. A container's node governs what lies in it and has no grants of its own. An object that has some, and each tenant,
#    has a node of its own beside that (CSP_OWN_NODE in its name's class), which governs that object alone.
#    A node has a number from the first record on that lies in it, or is governed by it, and keeps it for as long as
#    the segment lives: no number is given twice.
# 2. A node's record (CSP_NODE_CLASS, its number for a DBID) has the node's name for its container; its only key, a
#    name, leads from the node's name to the number.
# 3. Where a node hangs is not stored twice: both nodes of an object hang under that of the container of its record at
#    S. A tenant's hang nowhere.
# 4. The objects of a class under a node are the list (node_list_key, number of the node), so they are counted too.
# 5. Number 0 is no node: only who may read everything sees what it governs.

cdef inline bint class_is_inner(uint32_t class_id) noexcept nogil:
    """A class of the store's own: no view shows it, nothing counts it."""
    return class_id >= <uint32_t> CSP_ACCOUNT_CLASS

cdef inline bint class_is_indexed(uint32_t class_id) noexcept nogil:
    """Whether names and lists lead to its records by their keys: to objects, and to what is granted on them."""
    return not class_is_inner(class_id) or class_id == <uint32_t> CSP_GRANTS_CLASS

cdef inline uint16_t node_list_key(uint32_t class_id) noexcept nogil:
    """The key of the class's lists by node: n 0, which no row of the object table has. 0: it has none."""
    return <uint16_t> (class_id * CSP_KEYS_A_CLASS) if class_id * CSP_KEYS_A_CLASS < CSP_KEYS else 0

cdef inline uint64_t node_name(uint32_t class_id, uint32_t dbid) noexcept nogil:
    """Of what a container hands down."""
    return <uint64_t> class_id << 32 | dbid

cdef inline uint64_t own_name(uint32_t class_id, uint32_t dbid) noexcept nogil:
    """Of what an object's own grants govern: itself."""
    return node_name(class_id | CSP_OWN_NODE, dbid)

cdef inline uint64_t container_name(const csp_record_t *record) noexcept nogil:
    return node_name(record.container_class, record.container_dbid)

cdef inline bint record_is_disabled(const csp_record_t *record, uint16_t state_key) noexcept nogil:
    return record_key(record, state_key, <const uint8_t *> b"disabled", 8) != NULL

cdef inline bint record_governs_itself(const csp_record_t *record) noexcept nogil:
    return record.flags & CSP_OWN_GRANTS != 0 or record.class_id == CSP_TENANT_CLASS

cdef inline uint64_t record_governor(const csp_record_t *record) noexcept nogil:
    """The name of the node that governs the record: its own or its container's."""
    if record_governs_itself(record):
        return own_name(record.class_id, record.dbid)
    return container_name(record)

cdef inline bint record_stays(const csp_record_t *old, const csp_record_t *made) noexcept nogil:
    """Whether both versions of an object lie in one place and under one node."""
    return container_name(old) == container_name(made) and record_governs_itself(old) == record_governs_itself(made)

cdef inline bint node_is(const csp_record_t *node, uint64_t name) noexcept nogil:
    return node != NULL and container_name(node) == name

cdef uint32_t raw_node(const csp_store_t *store, uint64_t name) noexcept nogil:
    """The number of a node; 0: it has none."""
    cdef csp_words_t it
    cdef uint64_t word
    raw_names_open(&it, store, CSP_NODE_KEY, <const uint8_t *> &name, sizeof(uint64_t))
    while True:
        word = words_next(&it)
        if word == 0:
            return 0
        if node_is(raw_newest(store, raw_word(store, CSP_NODE_CLASS, <uint32_t> word)), name):
            return <uint32_t> word

cdef csp_record_t *raw_node_record(const csp_store_t *store, uint32_t number) noexcept nogil:
    """What a number stands for: container_class and container_dbid are the node's name. NULL: not given."""
    return raw_newest(store, raw_word(store, CSP_NODE_CLASS, number))

cdef uint32_t raw_node_parent(const csp_store_t *store, uint32_t number, uint64_t revision) noexcept nogil:
    """The number of the node that a node hangs under at `revision`; 0: under none, or its object is absent."""
    cdef csp_record_t *node = raw_node_record(store, number)
    cdef csp_record_t *record
    if node == NULL:
        return 0
    record = raw_find(store, node.container_class & ~CSP_OWN_NODE, node.container_dbid, revision)
    if record == NULL or record.class_id == CSP_TENANT_CLASS:
        return 0
    return raw_node(store, container_name(record))

cdef uint32_t raw_node_count(
    const csp_store_t *store, uint32_t class_id, uint32_t number, uint64_t revision
) noexcept nogil:
    """How many objects of the class the node governs at `revision`."""
    cdef csp_plist_t it
    cdef uint16_t key_id = node_list_key(class_id)
    if key_id == 0 or number == 0:
        return 0
    return raw_list_open(&it, store, key_id, <const uint8_t *> &number, sizeof(uint32_t), revision)
