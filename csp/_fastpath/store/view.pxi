# Included by csp/_fastpath.pyx after: read, tree. What a session may see at S: the only way to a record, a count or
# a list for commands, filters, pages and Python's reader.
#
# Invariants:
# 1. What is not visible at S, or lies under a node that the session may not read, is absent: it is in no reply,
#    count or list, and no filter that looks at other objects sees it.
# 2. A list yields candidates: each is looked at through the view before anything of it is shown.
# 3. Records of the store's own classes, accounts and nodes, are seen through no view.
# 4. A list that an object contributes shows nothing to who may not read that object.
# 5. Where all may be read (bits NULL) a view costs one comparison a record.

cdef enum:
    VIEW_LINE = 64
    VIEW_COPY_MAX = 16384           # a body of which so much is prefetched; the rest streams
    VIEW_BRIEF_LINES = 4
    VIEW_NODE_OBJECTS = 16          # objects a word of bits: beyond, they are counted by their nodes

ctypedef struct csp_view_t:
    const csp_store_t *store
    uint64_t revision               # S
    const uint64_t *bits            # by number of the governing node; NULL: all may be read
    const uint32_t *extra           # numbers of nodes that may be read beside those, ascending
    uint32_t words                  # of bits: what lies behind may not be read
    uint32_t extra_count

ctypedef struct csp_newest_t:       # a newest version, perhaps not visible: to be prefetched, or given to view_visible
    csp_record_t hidden

cdef inline csp_view_t view_all(const csp_store_t *store, uint64_t revision) noexcept nogil:
    """What one sees who may read everything."""
    cdef csp_view_t view
    view.store = store
    view.revision = revision
    view.bits = NULL
    view.extra = NULL
    view.words = 0
    view.extra_count = 0
    return view

cdef inline bint view_reads(const csp_view_t *view, uint32_t number) noexcept nogil:
    """Whether what a node governs may be read."""
    if view.bits == NULL or (number >> 6 < view.words and view.bits[number >> 6] >> (number & 63) & 1):
        return True
    return view.extra_count != 0 and view_reads_beside(view, number)

cdef bint view_reads_beside(const csp_view_t *view, uint32_t number) noexcept nogil:
    cdef uint32_t low = 0, high = view.extra_count, middle
    while low < high:
        middle = (low + high) >> 1
        if view.extra[middle] < number:
            low = middle + 1
        else:
            high = middle
    return low < view.extra_count and view.extra[low] == number

cdef inline bint view_may(const csp_view_t *view, const csp_record_t *record) noexcept nogil:
    """Whether the record may be read."""
    return view_reads(view, record.node)

# ---- records: word, newest, visible are the stages of a batch ----

cdef inline uint64_t *view_word(const csp_view_t *view, uint32_t class_id, uint32_t dbid) noexcept nogil:
    """Where the index has the object (prefetch it), NULL when it never had it."""
    return NULL if class_is_inner(class_id) else raw_word(view.store, class_id, dbid)

cdef inline csp_newest_t *view_newest(const csp_view_t *view, const uint64_t *word) noexcept nogil:
    """The newest version; NULL when there is none. `word` may be NULL."""
    return <csp_newest_t *> raw_newest(view.store, word)

cdef inline csp_record_t *view_visible(const csp_view_t *view, csp_newest_t *newest) noexcept nogil:
    """The version at S where it may be read, else NULL. `newest` may be NULL."""
    cdef csp_record_t *record = raw_visible(view.store, <csp_record_t *> newest, view.revision)
    return record if record != NULL and view_may(view, record) else NULL

cdef inline csp_record_t *view_find(const csp_view_t *view, uint32_t class_id, uint32_t dbid) noexcept nogil:
    return view_visible(view, view_newest(view, view_word(view, class_id, dbid)))

cdef inline csp_record_t *view_next(const csp_view_t *view, uint32_t class_id, uint64_t after) noexcept nogil:
    """The record of the class with the smallest DBID > after; NULL at the end."""
    cdef csp_record_t *record
    while not class_is_inner(class_id):
        record = raw_next(view.store, class_id, after, view.revision)
        if record == NULL or view_may(view, record):
            return record
        after = record.dbid
    return NULL

cdef inline csp_record_t *view_next_within(
    const csp_view_t *view, uint32_t class_id, uint64_t *after, uint32_t *budget
) noexcept nogil:
    """The same, and `after` says how far it looked; NULL also when the budget is 0, which what is passed by costs."""
    cdef csp_record_t *record
    while not class_is_inner(class_id) and budget[0]:
        record = raw_next_within(view.store, class_id, after, view.revision, budget)
        if record == NULL or view_may(view, record):
            return record
        budget[0] -= 1
    return NULL

cdef inline void newest_prefetch(csp_newest_t *newest) noexcept nogil:
    """Asks for the first four lines: the header, and all of the reply of a small object."""
    csp_prefetch(newest)
    csp_prefetch(<char *> newest + VIEW_LINE)
    csp_prefetch(<char *> newest + 2 * VIEW_LINE)
    csp_prefetch(<char *> newest + 3 * VIEW_LINE)

cdef inline void newest_prefetch_body(csp_newest_t *newest) noexcept nogil:
    """The header is here: asks for what the first four lines did not hold of the reply."""
    cdef const char *at = <const char *> (
        <uint64_t> (<const char *> newest + 4 * VIEW_LINE) & ~<uint64_t> (VIEW_LINE - 1))
    cdef uint32_t size = newest.hidden.reply_size
    cdef const char *end = <const char *> newest + VIEW_LINE + (size if size < VIEW_COPY_MAX else VIEW_COPY_MAX)
    while at < end:
        csp_prefetch(at)
        at += VIEW_LINE

cdef inline void newest_prefetch_brief(csp_newest_t *newest) noexcept nogil:
    """The header is here: asks for the brief form."""
    cdef const char *at = <const char *> record_brief(&newest.hidden)
    cdef uint32_t i
    for i in range(VIEW_BRIEF_LINES):
        csp_prefetch(at + i * VIEW_LINE)

cdef inline void newest_prefetch_keys(csp_newest_t *newest) noexcept nogil:
    """The header is here: asks for the index keys."""
    cdef const char *at = <const char *> record_keys(&newest.hidden)
    csp_prefetch(at)
    csp_prefetch(at + VIEW_LINE)
    csp_prefetch(at + 2 * VIEW_LINE)

cdef inline uint32_t view_node(const csp_view_t *view, uint32_t class_id, uint32_t dbid) noexcept nogil:
    """The number of a node by its name; 0: it has none. It tells whether one may read what it governs, no more."""
    return raw_node(view.store, node_name(class_id, dbid))

# ---- counts ----

cdef inline bint view_is_whole(const csp_view_t *view) noexcept nogil:
    """Whether everything may be read, so that the size of a list is the number of its objects."""
    return view.bits == NULL

cdef inline bint view_counts_by_node(const csp_view_t *view, uint32_t class_id) noexcept nogil:
    """Whether looking at each node that may be read is less than looking at each object of the class."""
    return not view_is_whole(view) and not class_is_inner(class_id) \
        and raw_count(view.store, class_id, view.revision) > VIEW_NODE_OBJECTS * <uint64_t> view.words

cdef uint64_t view_count_word(const csp_view_t *view, uint32_t class_id, uint32_t word) noexcept nogil:
    """Objects of the class under the nodes of a word of bits."""
    cdef uint64_t left = view.bits[word]
    cdef uint64_t count = 0
    while left:
        count += raw_node_count(view.store, class_id, 64 * word + csp_ctz(left), view.revision)
        left &= left - 1
    return count

cdef uint64_t view_count_beside(const csp_view_t *view, uint32_t class_id) noexcept nogil:
    """And under those beside them."""
    cdef uint64_t count = 0
    cdef uint32_t i
    for i in range(view.extra_count):
        count += raw_node_count(view.store, class_id, view.extra[i], view.revision)
    return count

cdef uint64_t view_count(const csp_view_t *view, uint32_t class_id) noexcept nogil:
    """Objects of the class."""
    cdef uint64_t count = 0
    cdef csp_record_t *record
    cdef uint32_t i
    if class_is_inner(class_id):
        return 0
    if view_is_whole(view):
        return raw_count(view.store, class_id, view.revision)
    if view_counts_by_node(view, class_id):
        for i in range(view.words):
            count += view_count_word(view, class_id, i)
        return count + view_count_beside(view, class_id)
    record = view_next(view, class_id, 0)
    while record != NULL:
        count += 1
        record = view_next(view, class_id, record.dbid)
    return count

# ---- names and lists ----

cdef uint32_t view_names(
    const csp_view_t *view, uint16_t key_id, const uint8_t *value, uint32_t size, uint32_t *out, uint32_t room
) noexcept nogil:
    """DBIDs (unsorted, each once) of the objects that have this name; at most `room`."""
    cdef csp_words_t it
    cdef csp_record_t *record
    cdef uint64_t word
    cdef uint32_t count = 0, dbid, i
    if key_id >= CSP_KEYS:
        return 0
    raw_names_open(&it, view.store, key_id, value, size)
    while count < room:
        word = words_next(&it)
        if word == 0:
            break
        dbid = <uint32_t> word
        record = view_find(view, view.store.super.keys[key_id].class_id, dbid)
        if record == NULL or record_key(record, key_id, value, size) == NULL:
            continue
        i = 0
        while i < count and out[i] != dbid:
            i += 1
        if i == count:
            out[count] = dbid
            count += 1
    return count

cdef inline uint64_t *view_name_slot(
    const csp_view_t *view, uint16_t key_id, const uint8_t *value, uint32_t size, uint32_t *hash
) noexcept nogil:
    """Where the directory of names has the bucket (stage 1: prefetch it), NULL when there are no names."""
    cdef uint64_t root = csp_load(&view.store.super.names_root)
    hash[0] = words_hash(view.store, key_id, value, size)
    if root == 0:
        return NULL
    return <uint64_t *> (view.store.base + (root & ~<uint64_t> 63)) + ((<uint64_t> hash[0] << (root & 63)) >> 32)

cdef inline csp_bucket_t *view_name_bucket(const csp_view_t *view, const uint64_t *slot) noexcept nogil:
    """Stage 2: prefetch it."""
    return <csp_bucket_t *> (view.store.base + csp_load(slot))

cdef inline uint32_t view_name_word(const csp_bucket_t *bucket, uint32_t hash, uint32_t *dbid) noexcept nogil:
    """Stage 3: how many candidates there are, 2 for an unknown number; with one, its DBID. To be verified."""
    cdef uint64_t word
    cdef uint32_t count = 0
    cdef int i
    if bucket == NULL:
        return 0
    if csp_load(&bucket.overflow) != 0:
        return 2
    for i in range(7):
        word = csp_load(&bucket.words[i])
        if word and <uint32_t> (word >> 32) == hash:
            dbid[0] = <uint32_t> word
            count += 1
    return count

cdef inline bint list_is_hidden(
    const csp_view_t *view, uint16_t key_id, const uint8_t *value, uint32_t size
) noexcept nogil:
    """Whether an object that may not be read contributes the list."""
    cdef uint8_t source = view.store.super.keys[key_id].source
    return source != 0 and size == sizeof(uint32_t) and view_find(view, source, csp_u32(value, 0)) == NULL

cdef inline uint32_t view_list(
    const csp_view_t *view, csp_plist_t *it, uint16_t key_id, const uint8_t *value, uint32_t size
) noexcept nogil:
    """Opens the list (key_id, value): its candidates; returns how many DBIDs it has."""
    if not view_is_whole(view) and list_is_hidden(view, key_id, value, size):
        plist_on(it, view.store, NULL)
        return 0
    return raw_list_open(it, view.store, key_id, value, size, view.revision)

cdef bint view_list_any(
    const csp_view_t *view, uint16_t key_id, const uint8_t *value, uint32_t size
) noexcept nogil:
    """Whether the list holds an object that may be read."""
    cdef csp_plist_t it
    cdef uint32_t dbid
    if view_list(view, &it, key_id, value, size) == 0 or view_is_whole(view):
        return it.count != 0
    dbid = plist_next(&it)
    while dbid != 0 and view_find(view, view.store.super.keys[key_id].class_id, dbid) == NULL:
        dbid = plist_next(&it)
    return dbid != 0
