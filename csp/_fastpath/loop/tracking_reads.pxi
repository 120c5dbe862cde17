# Included by csp/_fastpath.pyx after: hot, tracking.
# Reads of connections that track: which commands' keys are remembered, and pipelines of GETs in staged batches.
#
# Invariants:
# 1. Keys of a command are remembered when it is called, at S: what changes while it is computed comes behind its reply.
# 2. A batch is answered as hot.pxi answers one. That its keys are remembered already, which most are, costs two looks
#    into memory that was asked for before.
# 3. CLIENT CACHING is good for the next command, or for all up to EXEC; commands of CLIENT do not use it up.

cdef inline uint32_t decimal_digits(uint32_t value) noexcept nogil:
    return 1 + (value >= 10) + (value >= 100) + (value >= 1000) + (value >= 10000) + (value >= 100000) \
        + (value >= 1000000) + (value >= 10000000) + (value >= 100000000) + (value >= 1000000000)

cdef inline uint64_t spelled_key(uint32_t class_id, uint32_t dbid, uint32_t size) noexcept nogil:
    """The key of an object in a spelling of that size."""
    cdef uint32_t zeros = size - csp_classes[class_id].name_size - 1 - decimal_digits(dbid)
    return KEY_TOO_LONG if zeros > ZEROS_MAX else object_key(class_id, dbid) | <uint64_t> zeros << 32

cdef uint64_t tracked_key(const char *text, uint32_t size) noexcept nogil:
    """The key of an object by its text, 0 for what can name none."""
    cdef const char *colon = <const char *> memchr(text, c':', size)
    cdef uint64_t number = 0
    cdef uint32_t at
    cdef int found
    if colon == NULL:
        return 0
    for at in range(<uint32_t> (colon - text) + 1, size):
        if not c'0' <= text[at] <= c'9' or number > UINT32_MAX:
            return 0
        number = number * 10 + <uint64_t> (text[at] - c'0')
    found = csp_class_by_name(text, <size_t> (colon - text))
    if found < 0 or number == 0 or number > UINT32_MAX:
        return 0
    return spelled_key(<uint32_t> found, <uint32_t> number, size)

cdef inline bint is_tracked(int number) noexcept nogil:
    """Whether the command's arguments are keys that it reads."""
    return number == CSP_CMD_GET or number == CSP_CMD_MGET or number == CSP_CMD_EXISTS \
        or number == CSP_CMD_TYPE or number == CSP_CMD_STRLEN

cdef void tracking_keys(worker_t *w, csp_conn *c, int number, const arg_t *args, uint32_t count) noexcept nogil:
    """Remembers the keys of a command."""
    cdef uint32_t i
    if not is_tracked(number) or not track_remembers(track_of(c), w.executing):
        return
    if count - 1 > w.limits.tracked_keys or (not w.executing and not w.parser.whole):
        tracking_forget(w, c)       # it could not keep them all
        return
    for i in range(1, count):
        tracking_remember(w, c, args[i].data, args[i].size)

cdef bint tracking_command(worker_t *w, csp_conn *c, int number, const arg_t *args, uint32_t count,
                           bint may) noexcept nogil:
    """A command of a connection that tracks is about to run, or to be refused; whether it is a hot one that runs."""
    cdef track_t *t = track_of(c)
    cdef bint in_multi = c.flags & CSP_CONN_MULTI != 0
    cdef bint hot = may and not in_multi and csp_commands[number].flags & CSP_FLAG_HOT != 0
    if hot:
        tracking_keys(w, c, number, args, count)
    if number == CSP_CMD_EXEC:
        t.options &= ~TRACK_EXEC
        if track_remembers(t, False):
            t.options |= TRACK_EXEC
        in_multi = False
    if t.options & TRACK_CACHING and not in_multi and number != CSP_CMD_MULTI \
            and (number == CSP_CMD_NONE or strncasecmp(csp_commands[number].name, b"client", 6) != 0):
        t.options &= ~TRACK_CACHING
    return hot

# ---- pipelines of GETs ----

cdef inline bint tracked_plain(worker_t *w, csp_conn *c) noexcept nogil:
    """Whether it tracks, and its GETs may be answered without looking closer."""
    return c.flags & (CSP_CONN_SIGNED_IN | CSP_CONN_MULTI | CSP_CONN_TRACKING) \
        == CSP_CONN_SIGNED_IN | CSP_CONN_TRACKING and session_may(w, c) & CSP_CONN_DATA and not w.loading \
        and not is_subscriber2(c) and track_of(c).options & TRACK_CACHING == 0 and cursor_is_level(w, c)

cdef struct asked_t:                # a key of a batch
    const char *text
    uint32_t size
    uint32_t hash
    uint64_t key

cdef inline uint32_t batch_fill(worker_t *w, const char **at, const char *end, get_t *batch, const char **stops,
                                asked_t *asked) noexcept nogil:
    """Reads the plain GETs at the start of the input; how many."""
    cdef uint32_t count = 0
    cdef uint32_t taken
    while count < BATCH:
        taken = get_command(at[0], end, &asked[count].text, &asked[count].size)
        if taken == 0:
            break
        at[0] += taken
        batch[count].word = key_word(w, asked[count].text, asked[count].size)
        csp_prefetch(batch[count].word)
        stops[count] = at[0]
        count += 1
    return count

cdef inline void batch_prefetch(worker_t *w, const keyset_t *set, const get_t *batch, asked_t *asked,
                                uint32_t count) noexcept nogil:
    """The records are here, and say which keys those were: asks for the buckets and entries that remember them."""
    cdef tracking_t *t = &w.tracking
    cdef const csp_record_t *record
    cdef uint32_t i
    for i in range(count):
        if batch[i].newest == NULL:
            asked[i].key = tracked_key(asked[i].text, asked[i].size)
        else:
            record = &batch[i].newest.hidden
            asked[i].key = spelled_key(record.class_id, record.dbid, asked[i].size)
        asked[i].hash = tracked_hash(set, asked[i].key)
        csp_prefetch(&t.by_key[bucket_of(t, asked[i].hash)])
    for i in range(count):
        csp_prefetch(&t.items[t.by_key[bucket_of(t, asked[i].hash)]])

cdef inline void batch_remember(worker_t *w, csp_conn *c, const get_t *batch, asked_t *asked,
                                uint32_t count) noexcept nogil:
    """Remembers the keys of a batch that was answered."""
    cdef keyset_t *set = track_of(c).set
    cdef uint32_t i
    if set != NULL:
        batch_prefetch(w, set, batch, asked, count)
    for i in range(count):
        if set == NULL:
            tracking_remember(w, c, asked[i].text, asked[i].size)
        elif asked[i].key and not tracked_find(&w.tracking, set, asked[i].key, asked[i].hash) \
                and not tracking_add(w, c, asked[i].key):
            set = NULL              # all was taken back: it begins anew
        elif track_of(c).set != set:
            set = NULL

cdef const char *run_tracked(worker_t *w, csp_conn *c, const char *at, const char *end) noexcept nogil:
    """What answer.pxi does for those who don't track: pipelines of plain GETs and finds at the start of the input."""
    if not tracked_plain(w, c):
        return at
    if get_begins(at, end):
        at = run_tracked_gets(w, c, at, end)
    if at != NULL and find_begins(at, end):
        at = run_finds(w, c, at, end)
    return at

cdef const char *run_tracked_gets(worker_t *w, csp_conn *c, const char *at, const char *end) noexcept nogil:
    """Answers the plain GETs at the start of the input, and remembers their keys; where the next command begins."""
    cdef get_t batch[BATCH]
    cdef const char *stops[BATCH]
    cdef asked_t asked[BATCH]
    cdef uint32_t count, done
    cdef bint remembers = track_remembers(track_of(c), False)
    cdef bint resp3 = c.flags & CSP_CONN_RESP3 != 0
    while at < end:
        count = batch_fill(w, &at, end, batch, stops, asked)
        if count == 0:
            break
        done = answer_gets(w, batch, count, resp3, BATCH_BYTES_MAX)
        if remembers:
            batch_remember(w, c, batch, asked, done)
        at = stops[done - 1]
        c.commands += done
        c.command = CSP_CMD_GET
        w.stats.commands += done
        if w.out.size >= FLUSH_AT:
            if conn_flush(w, c) < 0:
                return NULL
            if c.waits != 0:
                break
        if done == count and count < BATCH or turn_over(w):
            break
    return at

# ---- lone GETs of many connections: answer.pxi ----

cdef enum:
    SINGLE_NOT = 0
    SINGLE_PLAIN = 1
    SINGLE_TRACKED = 2

cdef void singles_prefetch(worker_t *w, const ready_t *ready, const uint8_t *kinds, asked_t *asked,
                           uint32_t count) noexcept nogil:
    """Asks for where the keys of those that track are remembered."""
    cdef tracking_t *t = &w.tracking
    cdef const track_t *track
    cdef uint32_t i
    for i in range(count):
        if kinds[i] != SINGLE_TRACKED:
            continue
        track = track_of(&w.rows[ready[i].row])
        # Behind `*2`, `$3`, `GET` and a `$` there are one or two digits.
        asked[i].text = ready[i].at + (17 if ready[i].at[15] == c'\r' else 18)
        asked[i].size = <uint32_t> (ready[i].end - 2 - asked[i].text)
        asked[i].key = tracked_key(asked[i].text, asked[i].size) if track_remembers(track, False) else 0
        asked[i].hash = 0
        if track.set != NULL and asked[i].key:
            asked[i].hash = tracked_hash(track.set, asked[i].key)
            csp_prefetch(&t.by_key[bucket_of(t, asked[i].hash)])
    for i in range(count):
        if kinds[i] == SINGLE_TRACKED and t.items != NULL and asked[i].key:
            csp_prefetch(&t.items[t.by_key[bucket_of(t, asked[i].hash)]])

cdef void single_remember(worker_t *w, csp_conn *c, const asked_t *asked) noexcept nogil:
    """Remembers the key of a lone GET that was answered."""
    cdef keyset_t *set
    if c.id == 0 or asked.key == 0:
        return
    set = track_of(c).set
    if set == NULL or asked.hash != tracked_hash(set, asked.key):     # none yet, or another one since
        tracking_put(w, c, asked.key)
    elif not tracked_find(&w.tracking, set, asked.key, asked.hash):
        tracking_add(w, c, asked.key)
