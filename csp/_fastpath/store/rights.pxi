# Included by csp/_fastpath.pyx after: tree. What is granted on which node: a reader's own picture of the tree at a
# revision, from which it learns who may read what (groups.pxi, reach.pxi).
#
# Invariants:
# 1. The picture is that of one revision. It is brought to another by the items of the log between them, or made anew
#    where the log is gone or too long; then it has another version.
# 2. A branch stands for a node, by its number. An object's own node has all grants on the object that concern groups,
#    the node of what it hands down those that propagate. Persons' grants are found from the person (reach.pxi).
# 3. A branch whose object is gone keeps what it was, so that the end of what it governed can be judged. It counts
#    neither for nor against "everything may be read".
# 4. The last CHANGES branches that changed are known, each with the version that changed it.
# 5. Without memory the picture is broken: nothing may be read by it, and it is made anew.

cdef enum:
    CHANGES = 1024                  # beyond it a class of sessions is computed anew, some 0.1 ms at 20,000 nodes
    RENEW_ENTRIES_MAX = 10000       # of the log; making the picture anew costs no more than walking so many
    CHAIN_MAX = 256                 # nodes above one, looked at one by one; more are computed from the top
    SHARED_BUCKETS = 1024           # of circles, bits and reaches, which are as many as accounts differ in groups

ctypedef struct stated_t:           # a group's grant
    uint32_t group                  # its place among the groups
    uint32_t reads                  # whether it has Read by it

ctypedef struct branch_t:
    uint64_t name
    uint32_t parent                 # 0: hangs nowhere
    uint32_t child                  # the first of those that hang here, 0: none
    uint32_t next, before           # among those that hang where it does
    uint32_t count
    bint gone
    uint32_t mark                   # a search's own
    stated_t *stated

ctypedef struct access_t
ctypedef struct circle_t
ctypedef struct reach_t
ctypedef struct bits_t

ctypedef struct changed_t:
    uint64_t version
    uint64_t number

ctypedef struct everyone_t:         # the group of all persons of a tenant
    uint32_t tenant
    uint32_t group

ctypedef struct rights_t:
    const csp_store_t *store
    uint64_t revision               # that the picture is of
    uint64_t version                # of the picture: 0, there is none
    bint broken
    branch_t *branches              # by number; 0 stands above all that hang nowhere
    uint32_t nodes                  # the highest number
    uint32_t room
    uint64_t *live                  # bits of those whose object is there
    changed_t changes[CHANGES]      # a ring
    uint64_t change_count           # ever
    uint64_t changes_from           # all changes of later versions are in it
    uint64_t *vectors               # room to compute in: words a branch
    uint64_t vector_room
    # groups.pxi
    access_t *groups
    uint32_t group_count, group_room
    uint32_t *group_at              # by the hash of its DBID: place + 1
    uint32_t group_mask
    uint64_t groups_version         # grows where a group changes
    uint32_t round                  # of a search
    uint32_t *found                 # groups of the account at hand
    uint32_t found_count, found_room
    everyone_t *everyone
    uint32_t everyone_count, everyone_room
    uint64_t everyone_version
    # reach.pxi
    circle_t **circles              # by their hashes, as the next two
    uint32_t circle_count
    bits_t **bits
    reach_t **reaches
    reach_t *whole                  # of who may read everything
    reach_t *none                   # and of who may read nothing
    reach_t *dead                   # of whom nobody has any
    uint32_t *numbers               # nodes that are being collected
    uint32_t number_count, number_room
    uint64_t *names                 # of accounts
    uint32_t name_room
    # scope.pxi
    bint scoped                     # no session sees more than what lies in these containers
    uint64_t *scope_names
    uint32_t scope_count
    bits_t *scope_bits              # of their nodes, of this version of the picture; NULL: not yet
    uint64_t scope_version

cdef bint array_room(void **items, uint32_t *room, uint32_t count, size_t size) noexcept nogil:
    """Makes room for so many; False without memory."""
    cdef void *grown
    cdef uint32_t wanted
    if count <= room[0]:
        return True
    wanted = 2 * count if 2 * count > 64 else 64
    grown = realloc(items[0], wanted * size)
    if grown == NULL:
        return False
    items[0] = grown
    room[0] = wanted
    return True

# ---- branches ----

cdef inline void branch_unlink(rights_t *t, uint32_t number) noexcept nogil:
    cdef branch_t *b = &t.branches[number]
    if b.before:
        t.branches[b.before].next = b.next
    elif t.branches[b.parent].child == number:
        t.branches[b.parent].child = b.next
    if b.next:
        t.branches[b.next].before = b.before
    b.next = 0
    b.before = 0

cdef inline void branch_link(rights_t *t, uint32_t number, uint32_t parent) noexcept nogil:
    cdef branch_t *b = &t.branches[number]
    b.parent = parent
    b.next = t.branches[parent].child
    if b.next:
        t.branches[b.next].before = number
    t.branches[parent].child = number

cdef inline uint32_t branch_after(const rights_t *t, uint32_t at, uint32_t top, bint enter) noexcept nogil:
    """The branch that comes behind one in a walk of all that hangs below `top`: a child first, where one may enter.
    `top` itself at the end."""
    if enter and t.branches[at].child:
        return t.branches[at].child
    while at != top and t.branches[at].next == 0:
        at = t.branches[at].parent
    return top if at == top else t.branches[at].next

cdef inline void branch_changed(rights_t *t, uint32_t number) noexcept nogil:
    if t.change_count >= CHANGES:
        t.changes_from = t.changes[t.change_count % CHANGES].version
    t.changes[t.change_count % CHANGES].version = t.version
    t.changes[t.change_count % CHANGES].number = number
    t.change_count += 1

cdef void branch_state(rights_t *t, uint32_t number, const csp_record_t *grants, bint own) noexcept nogil:
    """Takes the groups' grants that count for the branch."""
    cdef branch_t *b = &t.branches[number]
    cdef const csp_grant_t *rows = NULL
    cdef uint32_t count = 0
    cdef uint32_t i
    cdef int64_t group
    free(b.stated)
    b.stated = NULL
    b.count = 0
    if grants != NULL:
        rows = grants_rows(grants, &count)
    if count == 0:
        return
    b.stated = <stated_t *> malloc(count * sizeof(stated_t))
    if b.stated == NULL:
        t.broken = True
        return
    for i in range(count):
        if rows[i].class_id != CSP_ACCESS_GROUP_CLASS or not (own or rows[i].grant & CSP_PROPAGATE):
            continue
        group = group_place(t, rows[i].dbid)
        if group < 0:
            t.broken = True
            return
        b.stated[b.count].group = <uint32_t> group
        b.stated[b.count].reads = rows[i].grant & CSP_RIGHT_R != 0
        b.count += 1

cdef void branch_look(rights_t *t, uint32_t number, uint64_t revision) noexcept nogil:
    """Where the node hangs at a revision, and what is granted on it then."""
    cdef const csp_store_t *store = t.store
    cdef csp_record_t *node = raw_node_record(store, number)
    cdef branch_t *b = &t.branches[number]
    cdef csp_record_t *record
    cdef uint32_t class_id, parent
    if node == NULL:
        return
    b.name = container_name(node)
    class_id = node.container_class & ~<uint32_t> CSP_OWN_NODE
    record = raw_find(store, class_id, node.container_dbid, revision)
    b.gone = record == NULL
    branch_changed(t, number)
    if b.gone:
        t.live[number >> 6] &= ~(<uint64_t> 1 << (number & 63))
        return
    t.live[number >> 6] |= <uint64_t> 1 << (number & 63)
    parent = 0 if class_id == <uint32_t> CSP_TENANT_CLASS else raw_node(store, container_name(record))
    if parent > t.nodes:
        parent = 0
    if parent != b.parent:
        branch_unlink(t, number)
        branch_link(t, number, parent)
    branch_state(t, number, raw_grants(store, node_name(class_id, node.container_dbid), revision),
                 node.container_class & CSP_OWN_NODE != 0)

cdef bint branches_room(rights_t *t, uint32_t nodes) noexcept nogil:
    """Room for numbers up to this one, what is new being empty; False without memory."""
    cdef uint32_t room, words
    cdef void *grown
    if nodes < t.room:
        return True
    room = (nodes + nodes // 4 + 1024) & ~<uint32_t> 1023
    grown = realloc(t.branches, <size_t> room * sizeof(branch_t))
    if grown == NULL:
        return False
    t.branches = <branch_t *> grown
    memset(t.branches + t.room, 0, <size_t> (room - t.room) * sizeof(branch_t))
    words = room >> 6
    grown = realloc(t.live, <size_t> words * sizeof(uint64_t))
    if grown == NULL:
        return False
    t.live = <uint64_t *> grown
    memset(t.live + (t.room >> 6), 0, <size_t> (words - (t.room >> 6)) * sizeof(uint64_t))
    t.room = room
    return True

cdef void branches_extend(rights_t *t, uint64_t revision) noexcept nogil:
    """Takes the nodes that were made up to a revision."""
    cdef uint64_t count = csp_load(&t.store.super.node_count)
    cdef uint32_t first = t.nodes + 1
    cdef uint32_t number
    cdef csp_record_t *node
    if not branches_room(t, <uint32_t> count):
        t.broken = True
        return
    while t.nodes < count:
        node = raw_node_record(t.store, t.nodes + 1)
        if node == NULL or node.revision > revision:
            break
        t.nodes += 1
        branch_link(t, t.nodes, 0)
    for number in range(first, t.nodes + 1):
        branch_look(t, number, revision)

cdef void branches_drop(rights_t *t) noexcept nogil:
    cdef uint32_t number
    for number in range(t.room):
        free(t.branches[number].stated)
    free(t.branches)
    free(t.live)
    t.branches = NULL
    t.live = NULL
    t.room = 0
    t.nodes = 0

# ---- the picture ----

cdef void rights_make(rights_t *t, uint64_t revision) noexcept nogil:
    """Makes the picture anew."""
    branches_drop(t)
    t.broken = False
    t.version += 1
    t.groups_version += 1
    t.revision = revision
    if not branches_room(t, 0):
        t.broken = True
        return
    branches_extend(t, revision)
    t.changes_from = t.version

cdef void item_look(rights_t *t, const csp_item_t *item, uint64_t revision) noexcept nogil:
    """What a change may have done to the tree."""
    cdef uint32_t class_id = item.class_id
    cdef uint32_t dbid = item.dbid
    cdef uint32_t number
    if not item_is_change(item):
        return
    if class_id == <uint32_t> CSP_GRANTS_CLASS:
        class_id = item.after_class if item.after_class else item.before_class
        dbid = item.after_dbid if item.after_class else item.before_dbid
    elif class_id == <uint32_t> CSP_ACCESS_GROUP_CLASS:
        t.groups_version += 1
    elif class_is_inner(class_id):
        return
    elif item.op == 2 and item.before_class & CSP_OWN_NODE == 0 and item.before_class == item.after_class \
            and item.before_dbid == item.after_dbid:
        return                      # it lies where it lay
    number = raw_node(t.store, node_name(class_id, dbid))
    if number and number <= t.nodes:
        branch_look(t, number, revision)
    number = raw_node(t.store, own_name(class_id, dbid))
    if number and number <= t.nodes:
        branch_look(t, number, revision)

cdef bint rights_walk(rights_t *t, uint64_t revision) noexcept nogil:
    """Brings the picture to a later revision by the log; False where the log has not all of it."""
    cdef const csp_entry_t *entry
    cdef csp_item_t *item
    cdef uint64_t at
    cdef uint32_t i
    if t.version == 0 or t.broken or revision < t.revision or revision - t.revision > RENEW_ENTRIES_MAX:
        return False
    for at in range(t.revision + 1, revision + 1):
        if log_entry(t.store, at) == NULL:
            return False
    t.version += 1
    branches_extend(t, revision)
    for at in range(t.revision + 1, revision + 1):
        entry = log_entry(t.store, at)
        if entry == NULL or t.broken:
            return False
        item = entry_items(<csp_entry_t *> entry)
        for i in range(entry.item_count):
            item_look(t, item, revision)
            item = item_next(item)
    t.revision = revision
    return not t.broken

cdef inline bint rights_due(const rights_t *t, uint64_t revision) noexcept nogil:
    """Whether something since the picture's revision may have changed it; revision: loaded before this is asked."""
    return t.version == 0 or t.broken or (
        revision != t.revision and csp_load(&t.store.super.rights_revision) > t.revision) or revision < t.revision

cdef void rights_renew(rights_t *t, uint64_t revision) noexcept nogil:
    """Brings the picture to a revision that the reader holds."""
    if not rights_due(t, revision):
        t.revision = revision
        return
    if not rights_walk(t, revision):
        rights_make(t, revision)
