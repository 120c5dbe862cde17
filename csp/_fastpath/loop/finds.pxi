# Included by csp/_fastpath.pyx after: hot, pages.
# Pipelines of CFG.FIND by one name or DBID: looked up in stages, so that their cache misses overlap as those of GETs.
#
# Invariants:
# 1. What is answered here is answered as pages.pxi would: a command that isn't plain, a key of another kind, or a
#    name whose word has several candidates is left to it.
# 2. A batch touches memory in stages: directory, bucket, index word, record, its keys; nothing is awaited that was
#    not asked for before.

cdef enum:
    FINDS = 16                      # in flight: each has several misses one after the other
    FIND_VALUE_MAX = 99             # a length of two digits

cdef struct find_t:
    arg_t class_, key, value
    uint32_t class_id
    uint32_t dbid
    int key_id                      # 0: the DBID itself
    uint32_t hash
    uint64_t *slot
    csp_bucket_t *bucket
    uint64_t *word
    csp_newest_t *newest
    bint odd                        # not to be answered here
    const char *stop

cdef inline const char *find_bulk(const char *at, const char *end, arg_t *arg) noexcept nogil:
    """A bulk string of at most two digits' length; behind it, NULL for anything else or an incomplete one."""
    cdef uint32_t size
    if end - at < 6 or at[0] != c'$':
        return NULL
    size = <uint32_t> <unsigned char> at[1] - c'0'
    if size > 9:
        return NULL
    at += 2
    if at[0] != c'\r':
        if <uint32_t> <unsigned char> at[0] - c'0' > 9:
            return NULL
        size = size * 10 + <uint32_t> <unsigned char> at[0] - c'0'
        at += 1
        if at[0] != c'\r':
            return NULL
    at += 2
    if end - at < size + 2:
        return NULL
    arg.data = at
    arg.size = size
    return at + size + 2

cdef inline bint find_begins(const char *at, const char *end) noexcept nogil:
    """Whether a `CFG.FIND class key value` may begin here."""
    cdef uint64_t head
    if end - at < 40:
        return False
    memcpy(&head, at, 8)
    return head == <uint64_t> 0x0A0D38240A0D342A                    # "*4\r\n$8\r\n"

cdef inline bint arg_same(const arg_t *a, const arg_t *b) noexcept nogil:
    return a.size == b.size and memcmp(a.data, b.data, a.size) == 0

cdef inline bint find_command(const char *at, const char *end, const find_t *before, find_t *f) noexcept nogil:
    """Reads one; `before` is the one before it, which mostly has the same class and key."""
    cdef uint64_t verb
    cdef int found
    if not find_begins(at, end):
        return False
    memcpy(&verb, at + 8, 8)
    if verb | <uint64_t> 0x2020202020202020 != <uint64_t> 0x646E69662E676663 or at[16] != c'\r':   # "cfg.find"
        return False
    at = find_bulk(at + 18, end, &f.class_)
    if at == NULL:
        return False
    at = find_bulk(at, end, &f.key)
    if at == NULL:
        return False
    f.stop = find_bulk(at, end, &f.value)
    if f.stop == NULL:
        return False
    if before != NULL and arg_same(&f.class_, &before.class_) and arg_same(&f.key, &before.key):
        f.class_id = before.class_id
        f.key_id = before.key_id
        return True
    found = csp_class_by_name(f.class_.data, f.class_.size)
    if found < 0:
        return False
    f.class_id = <uint32_t> found
    f.key_id = csp_key_by_name(found, f.key.data, f.key.size)
    if csp_keys[f.key_id].kind == CSP_KEY_DBID:
        f.key_id = 0
        return True
    return f.key_id > 0 and csp_keys[f.key_id].kind == CSP_KEY_NAME and (
        csp_keys[f.key_id].value_type == CSP_VALUE_TEXT or csp_keys[f.key_id].value_type == CSP_VALUE_WORD)

cdef inline bint find_look_up(worker_t *w, find_t *f) noexcept nogil:
    """The first stage; False: not here."""
    if f.key_id == 0:
        f.slot = NULL
        return read_u32(f.value.data, f.value.size, &f.dbid)
    f.slot = view_name_slot(&w.view, <uint16_t> f.key_id, <const uint8_t *> f.value.data, f.value.size, &f.hash)
    if f.slot != NULL:
        csp_prefetch(f.slot)
    return True

cdef void finds_fetch(worker_t *w, find_t *batch, uint32_t count) noexcept nogil:
    """All further stages but the last."""
    cdef find_t *f
    cdef uint32_t i, many
    for i in range(count):
        f = &batch[i]
        f.bucket = view_name_bucket(&w.view, f.slot) if f.slot != NULL else NULL
        if f.bucket != NULL:
            csp_prefetch(f.bucket)
    for i in range(count):
        f = &batch[i]
        f.odd = False
        if f.key_id != 0:
            many = view_name_word(f.bucket, f.hash, &f.dbid)
            f.odd = many > 1
            if many == 0:
                f.dbid = 0
        f.word = view_word(&w.view, f.class_id, f.dbid) if f.dbid > 0 and not f.odd else NULL
        csp_prefetch(f.word)
    for i in range(count):
        f = &batch[i]
        f.newest = view_newest(&w.view, f.word)
        if f.newest != NULL:
            newest_prefetch(f.newest)
    for i in range(count):
        if batch[i].newest != NULL:
            newest_prefetch_body(batch[i].newest)
            newest_prefetch_keys(batch[i].newest)

cdef uint32_t answer_finds(worker_t *w, find_t *batch, uint32_t count, bint resp3) noexcept nogil:
    """Answers until one is not to be answered here, or the buffer is full; how many."""
    cdef csp_record_t *record
    cdef find_t *f
    cdef uint32_t i
    finds_fetch(w, batch, count)
    for i in range(count):
        f = &batch[i]
        if f.odd:
            return i
        record = view_visible(&w.view, f.newest)
        if record != NULL and f.key_id != 0 and record_key(
                record, <uint16_t> f.key_id, <const uint8_t *> f.value.data, f.value.size) == NULL:
            record = NULL
        if record == NULL:
            out_null(&w.out, resp3)
        else:
            out_bytes(&w.out, <const char *> record_reply(record), record.reply_size)
        if w.out.size >= BATCH_BYTES_MAX:
            return i + 1
    return count

cdef const char *run_finds(worker_t *w, csp_conn *c, const char *at, const char *end) noexcept nogil:
    """Answers the plain CFG.FINDs at the start of the input; where the next command begins, NULL: it is gone."""
    cdef find_t batch[FINDS]
    cdef const char *begun
    cdef uint32_t count, done
    cdef bint more = True
    while more:
        begun = at
        count = 0
        while count < FINDS and find_command(at, end, &batch[count - 1] if count > 0 else NULL, &batch[count]) \
                and find_look_up(w, &batch[count]):
            at = batch[count].stop
            count += 1
        if count == 0:
            break
        done = answer_finds(w, batch, count, c.flags & CSP_CONN_RESP3 != 0)
        at = batch[done - 1].stop if done > 0 else begun
        more = count == FINDS and not (done < count and batch[done].odd)
        c.commands += done
        w.stats.commands += done
        if w.out.size >= FLUSH_AT:
            if conn_flush(w, c) < 0:
                return NULL
            if c.waits != 0:
                break
        if more and turn_over(w):
            break
    return at
