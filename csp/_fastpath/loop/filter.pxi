# Included by csp/_fastpath.pyx after: read, reply, conn, hot.
# Filters of CFG.READ, CFG.FIND and CFG.COUNT: what they say, and which DBIDs satisfy all of them, in DBID order.
#
# Invariants:
# 1. Every filter is checked before any is used: a bad one is an error even where another would decide alone.
# 2. One filter drives (the shortest list), the others only answer "is this DBID in you".
# 3. An iterator is used at the one revision it was opened at, under the announcement of that time.
# 4. Where a list says what other objects say (a person's switches are those of his logins), one that may not be read
#    says nothing: who is in the list for its sake alone does not satisfy the filter.

cdef enum:
    FILTERS_MAX = 64
    NAMES_MAX = 1024                # objects of one name that a filter considers
    VALUE_MAX = 65536
    WINDOW = 16                     # candidates asked for at once: what one core's misses overlap

cdef enum filter_form:
    FORM_ARRAY = 1                  # a few DBIDs, ascending
    FORM_LIST = 2
    FORM_ABSENT = 3                 # those for whom another list is empty

cdef struct filter_t:
    int form
    uint16_t key_id
    uint32_t count
    uint32_t at
    uint32_t said                   # the value, where other objects say it
    uint32_t *dbids
    csp_plist_t list_

cdef struct query_t:
    uint32_t class_id
    csp_view_t view                 # that the first slice had
    filter_t *filters               # room for all that are asked for, whoever owns it
    uint32_t count
    int driver                      # -1: the whole class
    uint64_t after
    uint32_t window[WINDOW]         # the driver's next candidates,
    csp_newest_t *newest[WINDOW]    # and their newest records, which memory is bringing
    uint32_t window_size
    uint32_t window_at
    bint trims                      # binary annex values are left out of what is returned
    bint hearsay                    # some filter's list says what other objects say, which may be hidden

cdef void query_free(query_t *q) noexcept nogil:
    cdef uint32_t i
    for i in range(q.count):
        free(q.filters[i].dbids)
        q.filters[i].dbids = NULL
    q.count = 0

cdef bint read_u32(const char *data, uint32_t size, uint32_t *value) noexcept nogil:
    cdef int64_t number = 0
    if not parse_number(data, data + size, &number) or number < 0 or number > <int64_t> UINT32_MAX:
        return False
    value[0] = <uint32_t> number
    return True

cdef void out_quoted(out_t *out, arg_t *arg) noexcept nogil:
    out_bytes(out, b"'", 1)
    out_clean(out, arg.data, arg.size, 128)
    out_bytes(out, b"'", 1)

cdef void bad_key(out_t *out, uint32_t class_id, arg_t *name) noexcept nogil:
    cdef int i
    cdef int first = <int> class_id * CSP_KEYS_PER_CLASS
    cdef bint some = False
    out_text(out, b"-BADVALUE ")
    out_text(out, csp_classes[class_id].name)
    out_text(out, b" has no filter key ")
    out_quoted(out, name)
    out_text(out, b"; it has")
    for i in range(1, CSP_KEYS_PER_CLASS):
        if csp_keys[first + i].kind != CSP_KEY_NONE and not csp_keys[first + i].hidden:
            out_text(out, b", " if some else b" ")
            out_text(out, csp_keys[first + i].name)
            some = True
    out_line(out, b"")

cdef void bad_value(out_t *out, const csp_filter_key_t *key, arg_t *value, const char *wanted) noexcept nogil:
    out_text(out, b"-BADVALUE filter key ")
    out_text(out, key.name)
    out_text(out, b" takes ")
    out_text(out, wanted)
    out_text(out, b", not ")
    out_quoted(out, value)
    out_line(out, b"")

cdef void bad_word(out_t *out, const csp_filter_key_t *key, arg_t *value) noexcept nogil:
    cdef const csp_enum_t *words = &csp_enums[key.words]
    cdef int i
    out_text(out, b"-BADVALUE filter key ")
    out_text(out, key.name)
    out_text(out, b" takes a word of ")
    out_text(out, words.name)
    out_text(out, b" (")
    for i in range(words.count):
        if i > 0:
            out_text(out, b", ")
        out_text(out, words.words[i])
    out_text(out, b")")
    if words.first >= 0:
        out_text(out, b" or its number")
    out_text(out, b", not ")
    out_quoted(out, value)
    out_line(out, b"")

cdef bint names_a_word(const csp_enum_t *words, const char *text, size_t size) noexcept nogil:
    """Whether it is one of the words but for its case."""
    cdef int i
    for i in range(words.count):
        if strlen(words.words[i]) == size and strncasecmp(words.words[i], text, size) == 0:
            return True
    return False

cdef int find_pair(uint32_t class_id, arg_t *pairs, uint32_t count, uint16_t key_id) noexcept nogil:
    """Where among the filters a key stands; -1: nowhere."""
    cdef uint32_t i
    for i in range(count):
        if csp_key_by_name(<int> class_id, pairs[2 * i].data, pairs[2 * i].size) == key_id:
            return <int> i
    return -1

cdef bint pair_value(out_t *out, uint32_t class_id, arg_t *pairs, uint32_t count, uint32_t at,
                     const csp_filter_key_t *key, uint32_t *pair) noexcept nogil:
    """A pair's two numbers: the DBID said under key, the type said under its other half."""
    cdef int half = find_pair(class_id, pairs, count, key.other)
    cdef const csp_filter_key_t *other = &csp_keys[key.other]
    cdef int kind
    cdef uint32_t number = 0
    if half < 0:
        out_text(out, b"-BADVALUE filter key ")
        out_text(out, key.name)
        out_text(out, b" needs ")
        out_text(out, other.name)
        out_line(out, b" beside it")
        return False
    if not read_u32(pairs[2 * at + 1].data, pairs[2 * at + 1].size, &pair[0]):
        bad_value(out, key, &pairs[2 * at + 1], b"a DBID")
        return False
    kind = csp_object_type(pairs[2 * half + 1].data, pairs[2 * half + 1].size)
    if kind < 0:
        if not read_u32(pairs[2 * half + 1].data, pairs[2 * half + 1].size, &number):
            bad_value(out, other, &pairs[2 * half + 1], b"an object type")
            return False
        if number >= <uint32_t> CSP_OBJECT_TYPE_COUNT:
            bad_value(out, other, &pairs[2 * half + 1], b"the word or number of an object type")
            return False
        kind = <int> number
    pair[1] = <uint32_t> kind
    return True

cdef int sort_u32(const void *a, const void *b) noexcept nogil:
    cdef uint32_t left = (<const uint32_t *> a)[0]
    cdef uint32_t right = (<const uint32_t *> b)[0]
    return (left > right) - (left < right)

cdef bint filter_array(filter_t *f, const uint32_t *dbids, uint32_t count) noexcept nogil:
    f.form = FORM_ARRAY
    f.count = count
    f.at = 0
    f.dbids = <uint32_t *> malloc((count + 1) * sizeof(uint32_t))
    if f.dbids == NULL:
        return False
    if count > 0:
        memcpy(f.dbids, dbids, count * sizeof(uint32_t))
    if count > 1:
        qsort(f.dbids, count, sizeof(uint32_t), sort_u32)
    return True

cdef bint filter_through(const csp_view_t *view, filter_t *f, const csp_filter_key_t *key,
                         const uint8_t *value) noexcept nogil:
    """What the objects of another class's list name: as an array, each once."""
    cdef csp_plist_t it
    cdef csp_record_t *record
    cdef const csp_key_t *named
    cdef uint32_t count = 0
    cdef uint32_t room = view_list(view, &it, key.other, value, 4)
    cdef uint32_t dbid = plist_next(&it) if room > 0 else 0
    cdef uint32_t *dbids = <uint32_t *> malloc((room + 1) * sizeof(uint32_t))
    cdef bint done
    if dbids == NULL:
        return False
    while dbid != 0 and count < room:
        record = view_find(view, csp_keys[key.other].class_id, dbid)
        named = record_key_of(record, key.through) if record != NULL else NULL
        if named != NULL:
            dbids[count] = csp_u32(key_value(named), 0)
            count += 1
        dbid = plist_next(&it)
    done = filter_array(f, dbids, count)
    free(dbids)
    if done:
        array_unite(f)
    return done

cdef void array_unite(filter_t *f) noexcept nogil:
    """Of equal neighbours one stays."""
    cdef uint32_t kept = 0
    cdef uint32_t i
    for i in range(f.count):
        if kept == 0 or f.dbids[kept - 1] != f.dbids[i]:
            f.dbids[kept] = f.dbids[i]
            kept += 1
    f.count = kept

cdef bint filter_open(out_t *out, query_t *q, arg_t *pairs, uint32_t count, uint32_t at) noexcept nogil:
    """Opens the filter that stands at `at`; False: the error is in out."""
    cdef int key_id = csp_key_by_name(<int> q.class_id, pairs[2 * at].data, pairs[2 * at].size)
    cdef const csp_filter_key_t *key
    cdef filter_t *f = &q.filters[q.count]
    cdef arg_t *value = &pairs[2 * at + 1]
    cdef uint32_t number[2]
    cdef uint32_t found[NAMES_MAX]
    cdef const uint8_t *bytes_ = <const uint8_t *> value.data
    cdef uint32_t size = value.size
    cdef csp_record_t *record
    cdef int word
    if key_id <= 0:
        bad_key(out, q.class_id, &pairs[2 * at])
        return False
    key = &csp_keys[key_id]
    memset(f, 0, sizeof(filter_t))
    number[0] = 0
    number[1] = 0
    if key.kind == CSP_KEY_PAIR_PART:
        if find_pair(q.class_id, pairs, count, key.other) < 0:
            return pair_value(out, q.class_id, pairs, count, at, key, number)
        return True
    if key.kind == CSP_KEY_DBID or key.value_type == CSP_VALUE_U32:
        if not read_u32(value.data, value.size, number):
            bad_value(out, key, value, b"a number")
            return False
        bytes_ = <const uint8_t *> number
        size = 4
    elif key.value_type == CSP_VALUE_PAIR:
        if not pair_value(out, q.class_id, pairs, count, at, key, number):
            return False
        bytes_ = <const uint8_t *> number
        size = 8
    elif key.value_type == CSP_VALUE_FLAG:
        if not ((size == 4 and memcmp(bytes_, b"true", 4) == 0) or (size == 5 and memcmp(bytes_, b"false", 5) == 0)):
            bad_value(out, key, value, b"true or false")
            return False
    elif key.value_type == CSP_VALUE_ANY:
        size = 0
    elif key.words >= 0:
        # A number stands for its word; an open enumeration may have words of others beside its own.
        word = csp_enum_word(key.words, value.data, size)
        if word >= 0:
            bytes_ = <const uint8_t *> csp_enums[key.words].words[word]
            size = <uint32_t> strlen(<const char *> bytes_)
        elif csp_enums[key.words].closed or names_a_word(&csp_enums[key.words], value.data, size):
            bad_word(out, key, value)
            return False
    if size > VALUE_MAX - 1:
        size = VALUE_MAX - 1        # no stored value is as long, so it finds nothing
    if key.kind == CSP_KEY_TRIM:
        q.trims = size == 4         # "true"
        return True
    f.key_id = <uint16_t> key_id
    q.count += 1
    if key.kind == CSP_KEY_DBID:
        return filter_array(f, number, 1)
    if key.kind == CSP_KEY_NAME:
        return filter_array(f, found, view_names(&q.view, f.key_id, bytes_, size, found, NAMES_MAX))
    if key.kind == CSP_KEY_FOLDER_OF:
        record = view_find(&q.view, number[1], number[0])
        number[0] = record_folder(record)
        return filter_array(f, number, 1 if number[0] != 0 else 0)
    if key.kind == CSP_KEY_THROUGH:
        return filter_through(&q.view, f, key, bytes_)
    if key.kind == CSP_KEY_ABSENT:
        f.form = FORM_ABSENT
        f.key_id = key.other
        return True
    f.form = FORM_LIST
    f.said = number[0]
    q.hearsay = q.hearsay or (key.through != 0 and not view_is_whole(&q.view))
    f.count = view_list(&q.view, &f.list_, f.key_id, bytes_, size)
    return True

cdef bint too_many_filters(out_t *out) noexcept nogil:
    out_text(out, b"-TOOBIG at most ")
    out_decimal(out, FILTERS_MAX)
    out_line(out, b" filters")
    return False

cdef bint query_open(out_t *out, query_t *q, arg_t *pairs, uint32_t count) noexcept nogil:
    """Opens all filters in q.view and chooses the one that drives; False: the error is in out."""
    cdef uint32_t i
    cdef uint64_t said
    cdef filter_t only
    q.count = 0
    q.driver = -1
    q.trims = False
    q.hearsay = False
    if count > FILTERS_MAX:
        return too_many_filters(out)
    for i in range(count):
        said = out.size
        if not filter_open(out, q, pairs, count, i):
            if out.size == said and not out.failed:
                out_line(out, b"-ERR out of memory")
            return False
    for i in range(q.count):
        if csp_keys[q.filters[i].key_id].kind == CSP_KEY_DBID and q.filters[i].form == FORM_ARRAY:
            only = q.filters[i]
            q.filters[i].dbids = NULL
            query_free(q)
            q.filters[0] = only
            q.count = 1
            break
    for i in range(q.count):
        if q.filters[i].form != FORM_ABSENT and (
                q.driver < 0 or q.filters[i].count < q.filters[q.driver].count):
            q.driver = <int> i
    query_seek(q)
    return True

cdef void query_seek(query_t *q) noexcept nogil:
    """Puts the driver behind q.after."""
    cdef filter_t *f
    q.window_size = 0
    q.window_at = 0
    if q.driver < 0:
        return
    f = &q.filters[q.driver]
    if f.form == FORM_LIST:
        if q.after < UINT32_MAX:
            plist_seek(&f.list_, <uint32_t> q.after + 1)
        return
    while f.at < f.count and f.dbids[f.at] <= q.after:
        f.at += 1

cdef bint filter_has(const csp_view_t *view, filter_t *f, uint32_t dbid) noexcept nogil:
    if f.form == FORM_LIST:
        return plist_contains(&f.list_, dbid)
    if f.form == FORM_ABSENT:
        return not view_list_any(view, f.key_id, <const uint8_t *> &dbid, 4)
    return bsearch(&dbid, f.dbids, f.count, sizeof(uint32_t), sort_u32) != NULL

cdef bint key_is_heard(const csp_view_t *view, const csp_record_t *record, const filter_t *f) noexcept nogil:
    """Whether an object that may be read, and that the record names, says what the filter asks for."""
    cdef const csp_filter_key_t *key = &csp_keys[f.key_id]
    cdef const uint8_t *at = record_keys(record)
    cdef const uint8_t *end = at + record.keys_size
    cdef const csp_key_t *named
    cdef csp_record_t *other
    while at < end:
        named = <const csp_key_t *> at
        at += key_bytes(named)
        if named.key_id != key.through:
            continue
        other = view_find(view, csp_keys[key.other].class_id, csp_u32(key_value(named), 0))
        if other != NULL and record_key(other, key.other, <const uint8_t *> &f.said, sizeof(uint32_t)) != NULL:
            return True
    return False

cdef bint query_hears(const query_t *q, const csp_record_t *record) noexcept nogil:
    """Whether what other objects say of the record is said by such as may be read."""
    cdef uint32_t i
    for i in range(q.count):
        if q.filters[i].form == FORM_LIST and csp_keys[q.filters[i].key_id].through != 0 \
                and not key_is_heard(&q.view, record, &q.filters[i]):
            return False
    return True

cdef inline uint32_t driver_next(filter_t *f) noexcept nogil:
    """The driver's next DBID, 0 at its end."""
    if f.form == FORM_LIST:
        return plist_next(&f.list_)
    if f.at == f.count:
        return 0
    f.at += 1
    return f.dbids[f.at - 1]

cdef void query_fill(query_t *q) noexcept nogil:
    """Takes the driver's next candidates: index words are asked for first, then records."""
    cdef uint64_t *words[WINDOW]
    cdef csp_newest_t *newest
    cdef uint32_t size = 0
    cdef uint32_t dbid, i
    while size < WINDOW:
        dbid = driver_next(&q.filters[q.driver])
        if dbid == 0:
            break
        q.window[size] = dbid
        words[size] = view_word(&q.view, q.class_id, dbid)
        csp_prefetch(words[size])
        size += 1
    for i in range(size):
        newest = view_newest(&q.view, words[i])
        q.newest[i] = newest
        if newest != NULL:
            newest_prefetch(newest)
    q.window_size = size
    q.window_at = 0

cdef inline csp_record_t *query_next(query_t *q, uint32_t *budget, bint *ended) noexcept nogil:
    """The next record that satisfies all filters; NULL when budget candidates were examined, or at the end."""
    cdef csp_record_t *record
    cdef uint32_t dbid, i
    cdef uint32_t at = 0
    cdef bint fits
    while budget[0] > 0:
        budget[0] -= 1
        if q.driver < 0:
            budget[0] += 1                                      # of which a way through emptied places takes more
            record = view_next_within(&q.view, q.class_id, &q.after, budget)
            if record == NULL:
                ended[0] = budget[0] > 0
                return NULL
            budget[0] -= 1
            dbid = record.dbid
            csp_prefetch(<char *> record + record.size)     # a load places neighbours side by side
        else:
            if q.window_at == q.window_size:
                query_fill(q)
                if q.window_size == 0:
                    ended[0] = True
                    return NULL
            at = q.window_at
            q.window_at += 1
            dbid = q.window[at]
            record = NULL
            if q.window_at < q.window_size and q.newest[q.window_at] != NULL:
                newest_prefetch_body(q.newest[q.window_at])
        q.after = dbid
        fits = True
        for i in range(q.count):
            if <int> i != q.driver and not filter_has(&q.view, &q.filters[i], dbid):
                fits = False
                break
        if not fits:
            continue
        if record == NULL:
            record = view_visible(&q.view, q.newest[at])
        if record != NULL and not (q.hearsay and not query_hears(q, record)):
            return record
    return NULL
