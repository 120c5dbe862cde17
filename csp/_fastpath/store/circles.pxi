# Included by csp/_fastpath.pyx after: reach. Who may read what: the nodes that groups may read, those that are granted
# to a person, and the rights on a single object.
#
# Invariants:
# 1. A session may read what lies under a node exactly if the nearest grant of one of its accounts, from that node
#    upwards, says so. A vector has a bit for each group of a circle; what a branch states replaces what came down.
# 2. Who are the same groups is a circle. Its bits are computed when somebody of it asks after the picture has changed,
#    from the branches that changed where those are known.
# 3. What is granted to a person himself is found from him: few have anything, and that is a short list mostly.

cdef enum:
    EXTRA_MAX = 64                  # nodes beyond the circle's: more of them get bits of their own
    CIRCLES_MAX = 10000             # of which most are of nobody any more

ctypedef struct circle_t:
    circle_t *next
    uint32_t hash
    uint32_t count
    uint64_t version                # of the picture that bits are of
    bits_t *bits                    # NULL: everything
    bint known                      # bits were computed
    uint64_t asked                  # name of the object that was asked about last,
    uint64_t asked_version
    uint32_t asked_rights           # and the groups' rights on it
    uint32_t groups[1]              # places, ascending; more follow

# ---- circles ----

cdef bint vectors_room(rights_t *t, uint32_t words) noexcept nogil:
    cdef uint64_t wanted = (<uint64_t> t.nodes + 1) * words
    if wanted <= t.vector_room:
        return True
    free(t.vectors)
    t.vector_room = 0
    t.vectors = <uint64_t *> malloc((wanted + wanted // 4) * sizeof(uint64_t))
    if t.vectors == NULL:
        return False
    t.vector_room = wanted + wanted // 4
    return True

cdef inline void vector_state(
    const rights_t *t, const branch_t *b, const uint64_t *above, uint64_t *vector, uint32_t words
) noexcept nogil:
    """What comes down, but for what the branch states of groups of the circle (group.circle: its place there + 1)."""
    cdef uint32_t i, place
    for i in range(words):
        vector[i] = above[i]
    for i in range(b.count):
        place = t.groups[b.stated[i].group].circle
        if place == 0:
            continue
        place -= 1
        if b.stated[i].reads:
            vector[place >> 6] |= <uint64_t> 1 << (place & 63)
        else:
            vector[place >> 6] &= ~(<uint64_t> 1 << (place & 63))

cdef inline bint vector_any(const uint64_t *vector, uint32_t words) noexcept nogil:
    cdef uint64_t any_ = 0
    cdef uint32_t i
    for i in range(words):
        any_ |= vector[i]
    return any_ != 0

cdef void branch_vectors(rights_t *t, uint32_t top, uint32_t words, bits_t *bits) noexcept nogil:
    """Bits of a branch and all that hangs below it; the vector of what it hangs under is there."""
    cdef uint32_t at = top
    cdef uint64_t *vector
    cdef branch_t *b
    while True:
        b = &t.branches[at]
        vector = t.vectors + <uint64_t> at * words
        if at:
            vector_state(t, b, t.vectors + <uint64_t> b.parent * words, vector, words)
            if vector_any(vector, words):
                bits.words[at >> 6] |= <uint64_t> 1 << (at & 63)
            else:
                bits.words[at >> 6] &= ~(<uint64_t> 1 << (at & 63))
        at = branch_after(t, at, top, True)
        if at == top:
            return

cdef bint vector_above(rights_t *t, uint32_t number, uint32_t words, uint32_t depth) noexcept nogil:
    """Computes the vector of a branch from the top down to it; False where nothing leads there from the top."""
    cdef branch_t *b = &t.branches[number]
    if number == 0:
        memset(t.vectors, 0, words * sizeof(uint64_t))
        return True
    if depth == CHAIN_MAX or not vector_above(t, b.parent, words, depth + 1):
        return False
    vector_state(t, b, t.vectors + <uint64_t> b.parent * words, t.vectors + <uint64_t> number * words, words)
    return True

cdef bint circle_patch(rights_t *t, circle_t *circle, uint32_t words, bits_t *bits) noexcept nogil:
    """Computes what changed since the circle was computed; False where that isn't known."""
    cdef uint64_t i = t.change_count
    cdef changed_t *change
    if not circle.known or circle.bits == NULL or circle.version < t.changes_from:
        return False
    while i > 0 and t.change_count - i < CHANGES:
        i -= 1
        change = &t.changes[i % CHANGES]
        if change.version <= circle.version:
            break
        if not vector_above(t, t.branches[change.number].parent, words, 0):
            return False
        branch_vectors(t, <uint32_t> change.number, words, bits)
    return True

cdef bint circle_compute(rights_t *t, circle_t *circle) noexcept nogil:
    """Brings its bits to the picture; False without memory."""
    cdef uint32_t words = (circle.count >> 6) + 1
    cdef uint32_t i
    cdef bits_t *bits
    cdef bits_t *old = circle.bits
    if circle.known and circle.version == t.version:
        return True
    bits = bits_new(t, old)
    if bits == NULL or not vectors_room(t, words):
        free(bits)
        return False
    for i in range(circle.count):
        t.groups[circle.groups[i]].circle = i + 1
    if not circle_patch(t, circle, words, bits):
        memset(bits.words, 0, bits.size * sizeof(uint64_t))
        memset(t.vectors, 0, words * sizeof(uint64_t))
        branch_vectors(t, 0, words, bits)
    for i in range(circle.count):
        t.groups[circle.groups[i]].circle = 0
    circle.bits = bits_share(t, bits)
    circle.known = True
    circle.version = t.version
    bits_drop(t, old)
    return True

cdef circle_t *circle_of(rights_t *t, const uint32_t *groups, uint32_t count) noexcept nogil:
    """The circle of these groups, a new one if need be; NULL without memory."""
    cdef uint32_t hash_ = <uint32_t> csp_hash(0, groups, count * sizeof(uint32_t))
    cdef circle_t **bucket = &t.circles[hash_ & (SHARED_BUCKETS - 1)]
    cdef circle_t *one = bucket[0]
    while one != NULL:
        if one.hash == hash_ and one.count == count \
                and (count == 0 or memcmp(one.groups, groups, count * sizeof(uint32_t)) == 0):
            return one
        one = one.next
    one = <circle_t *> calloc(1, sizeof(circle_t) + count * sizeof(uint32_t))
    if one == NULL:
        return NULL
    one.hash = hash_
    one.count = count
    if count:
        memcpy(one.groups, groups, count * sizeof(uint32_t))
    one.next = bucket[0]
    bucket[0] = one
    t.circle_count += 1
    return one

# ---- what is granted to the person ----

cdef inline uint8_t person_grant(const csp_record_t *record, uint32_t person) noexcept nogil:
    """What a record of grants states for a person; it has a row for him."""
    cdef uint32_t count, i
    cdef const csp_grant_t *rows = grants_rows(record, &count)
    for i in range(count):
        if rows[i].class_id == CSP_PERSON_CLASS and rows[i].dbid == person:
            return rows[i].grant
    return 0

cdef inline uint32_t person_open(const rights_t *t, csp_plist_t *it, uint32_t person) noexcept nogil:
    """Opens the list of the records that grant something to a person; how many there are."""
    return raw_granted(it, t.store, node_name(CSP_PERSON_CLASS, person), t.revision)

cdef bint number_add(rights_t *t, uint32_t number) noexcept nogil:
    if not array_room(<void **> &t.numbers, &t.number_room, t.number_count + 1, sizeof(uint32_t)):
        return False
    t.numbers[t.number_count] = number
    t.number_count += 1
    return True

cdef bint person_below(rights_t *t, uint32_t top, const bits_t *bits) noexcept nogil:
    """Collects a branch and what hangs below, but for what the person has grants on, and what the bits have."""
    cdef uint32_t at = top
    cdef bint enter
    while True:
        enter = at == top or t.branches[at].mark == 0
        if enter and not bits_has(bits, at) and not number_add(t, at):
            return False
        at = branch_after(t, at, top, enter)
        if at == top:
            return True

cdef bint person_each(rights_t *t, uint32_t person, uint32_t mark, const bits_t *bits) noexcept nogil:
    """Marks the branches that a grant to a person concerns; mark 2: collects what those with Read show him."""
    cdef csp_plist_t it
    cdef csp_record_t *record
    cdef uint64_t names[2]
    cdef uint32_t number, at, i
    cdef uint8_t grant
    person_open(t, &it, person)
    number = plist_next(&it)
    while number != 0:
        record = raw_find(t.store, CSP_GRANTS_CLASS, number, t.revision)
        number = plist_next(&it)
        if record == NULL:
            continue
        grant = person_grant(record, person)
        names[0] = own_name(record.container_class, record.container_dbid)
        names[1] = container_name(record)
        for i in range(2 if grant & CSP_PROPAGATE else 1):
            at = raw_node(t.store, names[i])
            if at == 0 or at > t.nodes:
                continue
            if mark < 2:
                t.branches[at].mark = mark
            elif grant & CSP_RIGHT_R and not person_below(t, at, bits):
                return False
    return True

cdef bits_t *bits_with(rights_t *t, const bits_t *bits) noexcept nogil:
    """Shared bits of those and the collected numbers; NULL: everything, or t.broken."""
    cdef bits_t *made = bits_new(t, bits)
    cdef uint32_t i, number
    if made == NULL:
        t.broken = True
        return NULL
    for i in range(t.number_count):
        number = t.numbers[i]
        made.words[number >> 6] |= <uint64_t> 1 << (number & 63)
    return bits_share(t, made)

cdef bint numbers_have(const rights_t *t, uint32_t number) noexcept nogil:
    """Whether a number is among the collected ones, which are sorted."""
    cdef uint32_t i
    for i in range(t.number_count):
        if t.numbers[i] >= number:
            return t.numbers[i] == number
    return False

cdef bint numbers_fill(const rights_t *t, const bits_t *bits) noexcept nogil:
    """Whether nothing is there that neither the bits have nor the few collected numbers."""
    cdef uint64_t word
    cdef uint32_t i
    for i in range((t.nodes >> 6) + 1):
        word = t.live[i] & ~bits.words[i]
        while word:
            if not numbers_have(t, 64 * i + csp_ctz(word)):
                return False
            word &= word - 1
    return True

cdef reach_t *person_reach(rights_t *t, uint32_t person, bits_t *bits) noexcept nogil:
    """The reach of these bits and what is granted to the person; NULL without memory."""
    cdef csp_plist_t it
    cdef reach_t *reach
    cdef bint fine
    t.number_count = 0
    if bits == NULL or person_open(t, &it, person) == 0:
        return reach_take(t, bits, t.numbers, 0)
    person_each(t, person, 1, bits)
    fine = person_each(t, person, 2, bits)
    person_each(t, person, 0, bits)
    if not fine:
        return NULL
    if t.number_count <= EXTRA_MAX:
        if t.number_count > 1:
            sort(t.numbers, t.number_count, sizeof(uint32_t), u32_order)
        if numbers_fill(t, bits):
            return reach_take(t, NULL, t.numbers, 0)
        return reach_take(t, bits, t.numbers, t.number_count)
    bits = bits_with(t, bits)
    if t.broken:
        return NULL
    reach = reach_take(t, bits, t.numbers, 0)
    bits_drop(t, bits)
    return reach

cdef circle_t *circle_find(rights_t *t, uint32_t person) noexcept nogil:
    """The circle of a person, its bits computed; NULL: there is no such person, he is disabled, or no memory."""
    cdef circle_t *circle = NULL
    if t.broken or not account_is_there(t, person):
        return NULL
    if groups_of(t, person):
        circle = circle_of(t, t.found, t.found_count)
    if circle == NULL or not circle_compute(t, circle):
        t.broken = True
        return NULL
    return circle

cdef reach_t *account_reach(rights_t *t, uint32_t person, circle_t *circle) noexcept nogil:
    """What an account of a circle, or of none, may read; its count raised."""
    cdef reach_t *reach = NULL
    if circle != NULL:
        reach = person_reach(t, person, circle.bits)
        t.broken = t.broken or reach == NULL
    return reach_keep(t.none) if reach == NULL else scope_within(t, reach)

# ---- rights on one object ----

cdef bint names_room(rights_t *t, uint32_t count) noexcept nogil:
    """Room for so many names of accounts, and a bit for each that is 0; False without memory."""
    if not array_room(<void **> &t.names, &t.name_room, count + (count >> 6) + 1, sizeof(uint64_t)):
        return False
    memset(t.names + count, 0, ((count >> 6) + 1) * sizeof(uint64_t))
    return True

cdef uint32_t circle_rights(rights_t *t, circle_t *circle, uint64_t name) noexcept nogil:
    """The groups' rights on an object; what was asked last is remembered, for all of a circle ask the same."""
    cdef uint32_t i
    if circle.asked == name and circle.asked_version == t.version:
        return circle.asked_rights
    if not names_room(t, circle.count):
        return 0
    for i in range(circle.count):
        t.names[i] = node_name(CSP_ACCESS_GROUP_CLASS, t.groups[circle.groups[i]].dbid)
    if circle.count > 1:
        sort(t.names, circle.count, sizeof(uint64_t), u64_order)
    circle.asked_rights = raw_rights(t.store, t.revision, name, True, t.names, circle.count, t.names + circle.count)
    circle.asked = name
    circle.asked_version = t.version
    return circle.asked_rights

cdef uint32_t account_rights(rights_t *t, uint32_t person, circle_t *circle, uint64_t name) noexcept nogil:
    """The rights of an account on an object."""
    cdef csp_plist_t it
    cdef uint64_t account = node_name(CSP_PERSON_CLASS, person)
    cdef uint64_t decided = 0
    cdef uint32_t rights = circle_rights(t, circle, name)
    if person_open(t, &it, person):
        rights |= raw_rights(t.store, t.revision, name, True, &account, 1, &decided)
    return rights

cdef uint32_t application_named(const rights_t *t, const char *name) noexcept nogil:
    """DBID of the application with this name; 0: there is none."""
    cdef csp_words_t it
    cdef csp_record_t *record
    cdef uint32_t size = <uint32_t> strlen(name)
    cdef uint64_t word
    raw_names_open(&it, t.store, CSP_APPLICATION_NAME_KEY, <const uint8_t *> name, size)
    while True:
        word = words_next(&it)
        if word == 0:
            return 0
        record = raw_find(t.store, CSP_APPLICATION_CLASS, <uint32_t> word, t.revision)
        if record != NULL and record_key(record, CSP_APPLICATION_NAME_KEY, <const uint8_t *> name, size) != NULL:
            return record.dbid

cdef int u64_order(const void *a, const void *b) noexcept nogil:
    cdef uint64_t left = (<const uint64_t *> a)[0]
    cdef uint64_t right = (<const uint64_t *> b)[0]
    return (left > right) - (left < right)

# ---- its life ----

cdef bint rights_open(rights_t *t, const csp_store_t *store) noexcept nogil:
    """Begins a picture of a store; False without memory."""
    cdef bits_t *none
    memset(t, 0, sizeof(rights_t))
    t.store = store
    t.circles = <circle_t **> calloc(SHARED_BUCKETS, sizeof(circle_t *))
    t.bits = <bits_t **> calloc(SHARED_BUCKETS, sizeof(bits_t *))
    t.reaches = <reach_t **> calloc(SHARED_BUCKETS, sizeof(reach_t *))
    none = <bits_t *> calloc(1, sizeof(bits_t))
    if t.circles == NULL or t.bits == NULL or t.reaches == NULL or none == NULL:
        free(none)
        return False
    none.size = 0
    none.refs = 1
    none.next = t.bits[0]
    t.bits[0] = none
    t.whole = reach_take(t, NULL, NULL, 0)
    t.none = reach_take(t, none, NULL, 0)
    return t.whole != NULL and t.none != NULL

cdef void circles_drop(rights_t *t) noexcept nogil:
    """Forgets what was computed for circles; reaches keep their bits."""
    cdef circle_t *circle
    cdef uint32_t i
    for i in range(SHARED_BUCKETS if t.circles != NULL else 0):
        while t.circles[i] != NULL:
            circle = t.circles[i]
            t.circles[i] = circle.next
            bits_drop(t, circle.bits)
            free(circle)
    t.circle_count = 0

cdef void rights_close(rights_t *t) noexcept nogil:
    """Frees it, and every reach that is left."""
    cdef uint32_t i
    cdef reach_t *reach
    cdef bits_t *bits
    circles_drop(t)
    rights_sweep(t)
    for i in range(SHARED_BUCKETS if t.reaches != NULL else 0):
        while t.reaches[i] != NULL:
            reach = t.reaches[i]
            t.reaches[i] = reach.next
            free(reach)
    for i in range(SHARED_BUCKETS if t.bits != NULL else 0):
        while t.bits[i] != NULL:
            bits = t.bits[i]
            t.bits[i] = bits.next
            free(bits)
    branches_drop(t)
    groups_drop(t)
    free(t.circles)
    free(t.bits)
    free(t.reaches)
    free(t.vectors)
    free(t.numbers)
    free(t.names)
    free(t.scope_names)
    free(t.scope_bits)
    memset(t, 0, sizeof(rights_t))
