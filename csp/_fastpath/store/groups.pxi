# Included by csp/_fastpath.pyx after: rights. Which groups an account is: those that name the person, those that name
# these, and the group of everyone of the person's tenant.
#
# Invariants:
# 1. A disabled group gives nothing, and hands on nothing of the groups that it is a member of. A disabled person is
#    nobody.
# 2. A group keeps its place among the groups for as long as the picture lives; what else is known of it is forgotten
#    when any group changes.

ctypedef struct access_t:
    uint32_t dbid
    uint32_t next                   # with the same hash: place + 1
    uint64_t version                # of the groups, that the rest is of
    uint32_t round                  # the search that found it last
    uint32_t circle                 # while bits are computed: its place in the circle + 1
    bint enabled
    uint32_t *over                  # places of the groups that it is a member of
    uint32_t over_count, over_room

cdef bint groups_rehash(rights_t *t) noexcept nogil:
    """Twice as many places for hashes; False without memory."""
    cdef uint32_t size = 2 * t.group_mask + 2 if t.group_mask else 256
    cdef uint32_t *at = <uint32_t *> calloc(size, sizeof(uint32_t))
    cdef uint32_t i, place
    if at == NULL:
        return False
    free(t.group_at)
    t.group_at = at
    t.group_mask = size - 1
    for i in range(t.group_count):
        place = (t.groups[i].dbid * <uint32_t> 0x9e3779b1) & t.group_mask
        t.groups[i].next = at[place]
        at[place] = i + 1
    return True

cdef int64_t group_find(const rights_t *t, uint32_t dbid) noexcept nogil:
    """The place of a group; -1: nobody has asked for it."""
    cdef uint32_t at
    if t.group_mask == 0:
        return -1
    at = t.group_at[(dbid * <uint32_t> 0x9e3779b1) & t.group_mask]
    while at:
        if t.groups[at - 1].dbid == dbid:
            return at - 1
        at = t.groups[at - 1].next
    return -1

cdef int64_t group_place(rights_t *t, uint32_t dbid) noexcept nogil:
    """The place of a group, a new one if need be; -1 without memory."""
    cdef int64_t place = group_find(t, dbid)
    cdef access_t *group
    cdef uint32_t at
    if place >= 0:
        return place
    if not array_room(<void **> &t.groups, &t.group_room, t.group_count + 1, sizeof(access_t)):
        return -1
    if t.group_count >= t.group_mask and not groups_rehash(t):
        return -1
    group = &t.groups[t.group_count]
    memset(group, 0, sizeof(access_t))
    group.dbid = dbid
    at = (dbid * <uint32_t> 0x9e3779b1) & t.group_mask
    group.next = t.group_at[at]
    t.group_count += 1
    t.group_at[at] = t.group_count
    return t.group_count - 1

cdef bint group_look(rights_t *t, uint32_t place) noexcept nogil:
    """Learns what is so of a group now; False without memory."""
    cdef csp_plist_t it
    cdef csp_record_t *record
    cdef uint32_t dbid = t.groups[place].dbid
    cdef int64_t over
    if t.groups[place].version == t.groups_version:
        return True
    record = raw_find(t.store, CSP_ACCESS_GROUP_CLASS, dbid, t.revision)
    t.groups[place].enabled = record != NULL and not record_is_disabled(record, CSP_GROUP_STATE_KEY)
    t.groups[place].over_count = 0
    raw_list_open(&it, t.store, CSP_GROUP_GROUP_KEY, <const uint8_t *> &dbid, sizeof(dbid), t.revision)
    dbid = plist_next(&it)
    while dbid != 0:
        over = group_place(t, dbid)
        if over < 0 or not array_room(<void **> &t.groups[place].over, &t.groups[place].over_room,
                                      t.groups[place].over_count + 1, sizeof(uint32_t)):
            return False
        t.groups[place].over[t.groups[place].over_count] = <uint32_t> over
        t.groups[place].over_count += 1
        dbid = plist_next(&it)
    t.groups[place].version = t.groups_version
    return True

cdef bint everyone_look(rights_t *t) noexcept nogil:
    """Learns which groups are those of everyone; False without memory."""
    cdef csp_plist_t it
    cdef csp_record_t *record
    cdef uint32_t dbid
    if t.everyone_version == t.groups_version:
        return True
    t.everyone_count = 0
    raw_list_open(&it, t.store, CSP_GROUP_TYPE_KEY, <const uint8_t *> b"everyonegroup", 13, t.revision)
    dbid = plist_next(&it)
    while dbid != 0:
        record = raw_find(t.store, CSP_ACCESS_GROUP_CLASS, dbid, t.revision)
        if record != NULL:
            if not array_room(<void **> &t.everyone, &t.everyone_room, t.everyone_count + 1, sizeof(everyone_t)):
                return False
            t.everyone[t.everyone_count].tenant = record.tenant_dbid
            t.everyone[t.everyone_count].group = dbid
            t.everyone_count += 1
        dbid = plist_next(&it)
    t.everyone_version = t.groups_version
    return True

cdef bint found_add(rights_t *t, int64_t place) noexcept nogil:
    """Notes a group of the account at hand, once; False without memory."""
    if place < 0:
        return False
    if t.groups[place].round == t.round:
        return True
    t.groups[place].round = t.round
    if not array_room(<void **> &t.found, &t.found_room, t.found_count + 1, sizeof(uint32_t)):
        return False
    t.found[t.found_count] = <uint32_t> place
    t.found_count += 1
    return True

cdef bint found_begin(rights_t *t, uint32_t person, uint32_t tenant) noexcept nogil:
    """Notes the groups that name the person, and that of everyone; False without memory."""
    cdef csp_plist_t it
    cdef uint32_t dbid, i
    t.found_count = 0
    t.round += 1
    raw_list_open(&it, t.store, CSP_GROUP_PERSON_KEY, <const uint8_t *> &person, sizeof(person), t.revision)
    dbid = plist_next(&it)
    while dbid != 0:
        if not found_add(t, group_place(t, dbid)):
            return False
        dbid = plist_next(&it)
    if not everyone_look(t):
        return False
    for i in range(t.everyone_count):
        if t.everyone[i].tenant == tenant and not found_add(t, group_place(t, t.everyone[i].group)):
            return False
    return True

cdef bint account_is_there(const rights_t *t, uint32_t person) noexcept nogil:
    """Whether there is such a person, and enabled."""
    cdef csp_record_t *record = raw_find(t.store, CSP_PERSON_CLASS, person, t.revision)
    return record != NULL and not record_is_disabled(record, CSP_PERSON_STATE_KEY)

cdef bint groups_of(rights_t *t, uint32_t person) noexcept nogil:
    """Collects the places of all groups that a person is, ascending; False without memory."""
    cdef csp_record_t *record = raw_find(t.store, CSP_PERSON_CLASS, person, t.revision)
    cdef uint32_t at = 0, kept = 0, place, i
    t.found_count = 0
    if record == NULL or record_is_disabled(record, CSP_PERSON_STATE_KEY):
        return True
    if not found_begin(t, person, record.tenant_dbid):
        return False
    while at < t.found_count:
        place = t.found[at]
        at += 1
        if not group_look(t, place):
            return False
        if not t.groups[place].enabled:
            continue
        for i in range(t.groups[place].over_count):
            if not found_add(t, t.groups[place].over[i]):
                return False
    for at in range(t.found_count):
        if t.groups[t.found[at]].enabled:
            t.found[kept] = t.found[at]
            kept += 1
    t.found_count = kept
    if kept > 1:
        sort(t.found, kept, sizeof(uint32_t), u32_order)
    return True

cdef int u32_order(const void *a, const void *b) noexcept nogil:
    cdef uint32_t left = (<const uint32_t *> a)[0]
    cdef uint32_t right = (<const uint32_t *> b)[0]
    return (left > right) - (left < right)

cdef void groups_drop(rights_t *t) noexcept nogil:
    cdef uint32_t i
    for i in range(t.group_count):
        free(t.groups[i].over)
    free(t.groups)
    free(t.group_at)
    free(t.found)
    free(t.everyone)
