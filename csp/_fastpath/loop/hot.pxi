# Included by csp/_fastpath.pyx after: read, parse, reply, conn, watch.
# Redis's own reads over the store: GET in staged batches, TYPE, STRLEN, and PING.
#
# Invariants:
# 1. All keys of a command, and all commands of a turn, are answered at S.
# 2. A key that names nothing readable is a missing key, never an error.
# 3. A batch touches memory in stages: index words, then records, then bytes; nothing is awaited
#    that was not prefetched.

cdef enum:
    BATCH = 64                      # commands in flight: more than the memory system overlaps, small enough for L1
    AHEAD = 4                       # records whose bodies are asked for ahead of the copy
    FLUSH_AT = 98304                # the shared buffer is sent when it holds so much, while it is still in L2
    BATCH_BYTES_MAX = 262144        # of a pipeline's replies before the first of them is sent: objects may have 16 MiB

cdef struct get_t:
    uint64_t *word
    csp_newest_t *newest

cdef inline bint parse_digits(const char *key, uint32_t size, uint32_t *colon, uint64_t *number) noexcept nogil:
    """The up to eight digits that end a key of eight bytes or more, at once; False: look one by one."""
    cdef uint64_t value, odd
    cdef uint32_t digits
    memcpy(&value, key + size - 8, 8)
    value ^= <uint64_t> 0x3030303030303030
    odd = (((value & <uint64_t> 0x7F7F7F7F7F7F7F7F) + <uint64_t> 0x7676767676767676) | value) \
        & <uint64_t> 0x8080808080808080
    digits = 8 if odd == 0 else csp_clz(odd) >> 3
    if digits == 0 or digits == size or key[size - digits - 1] != c':':
        return False
    value &= ~<uint64_t> 0 << (64 - 8 * digits)
    value = value * 10 + (value >> 8)
    number[0] = ((value & <uint64_t> 0x000000FF000000FF) * <uint64_t> 0x000F424000000064
                 + ((value >> 16) & <uint64_t> 0x000000FF000000FF) * <uint64_t> 0x0000271000000001) >> 32
    number[0] &= UINT32_MAX
    colon[0] = size - digits - 1
    return True

cdef bint parse_slowly(const char *key, uint32_t size, uint32_t *colon, uint64_t *number) noexcept nogil:
    """Any number of digits, leading zeros allowed."""
    cdef uint32_t at = size
    cdef uint64_t value = 0
    cdef uint64_t scale = 1
    cdef uint32_t digit
    while at > 0:
        digit = <uint32_t> <unsigned char> key[at - 1] - c'0'
        if digit > 9:
            break
        if digit != 0:
            if scale > 1000000000:
                return False
            value += digit * scale
        if scale <= 1000000000:
            scale *= 10
        at -= 1
    if at == 0 or at == size or key[at - 1] != c':' or value > UINT32_MAX:
        return False
    colon[0] = at - 1
    number[0] = value
    return True

cdef inline bint parse_key(const char *key, uint32_t size, uint32_t *class_id, uint32_t *dbid) noexcept nogil:
    """`<Class>:<DBID>` with leading zeros allowed."""
    cdef uint32_t colon = 0
    cdef uint64_t number = 0
    cdef int found
    if (size < 8 or not parse_digits(key, size, &colon, &number)) and not parse_slowly(key, size, &colon, &number):
        return False
    if number == 0:
        return False
    found = csp_class_by_name(key, colon)
    if found < 0:
        return False
    class_id[0] = <uint32_t> found
    dbid[0] = <uint32_t> number
    return True

cdef uint64_t *view_key(const csp_view_t *view, const char *key, uint32_t size) noexcept nogil:
    """Where the index has what the key names, NULL when it names nothing. The one caller of parse_key, which is
    compiled into it: a GET has one call less."""
    cdef uint32_t class_id = 0
    cdef uint32_t dbid = 0
    if not parse_key(key, size, &class_id, &dbid):
        return NULL
    return view_word(view, class_id, dbid)

cdef inline uint64_t *key_word(worker_t *w, const char *key, uint32_t size) noexcept nogil:
    return view_key(&w.view, key, size)

cdef inline csp_record_t *key_record(worker_t *w, const char *key, uint32_t size) noexcept nogil:
    return view_visible(&w.view, view_newest(&w.view, key_word(w, key, size)))

cdef inline uint32_t get_command(const char *at, const char *end, const char **key, uint32_t *size) noexcept nogil:
    """Bytes of a plain `GET key` at the start of the input, 0 for anything else or an incomplete one."""
    cdef uint64_t head, verb
    cdef const char *p
    cdef uint32_t n
    if end - at < 24:
        return 0
    memcpy(&head, at, 8)
    memcpy(&verb, at + 8, 8)
    if head != <uint64_t> 0x0A0D33240A0D322A:                      # "*2\r\n$3\r\n"
        return 0
    if ((verb & <uint64_t> 0xFFFFFFFFFFFF) | <uint64_t> 0x202020) != <uint64_t> 0x240A0D746567:    # "get\r\n$"
        return 0
    p = at + 14
    n = <uint32_t> <unsigned char> p[0] - c'0'
    if n > 9:
        return 0
    p += 1
    if p[0] != c'\r':
        if <uint32_t> <unsigned char> p[0] - c'0' > 9:
            return 0
        n = n * 10 + <uint32_t> <unsigned char> p[0] - c'0'
        p += 1
        if p[0] != c'\r':
            return 0
    p += 2
    if end - p < n + 2:
        return 0
    key[0] = p
    size[0] = n
    return <uint32_t> (p + n + 2 - at)

cdef inline bint get_begins(const char *at, const char *end) noexcept nogil:
    """Whether the input may begin with a plain GET: a command of two words, the first of three bytes."""
    cdef uint64_t head = 0
    if end - at < 8:
        return False
    memcpy(&head, at, 8)
    return head == <uint64_t> 0x0A0D33240A0D322A                   # "*2\r\n$3\r\n"

cdef const char *run_gets(worker_t *w, csp_conn *c, const char *at, const char *end) noexcept nogil:
    """Answers the plain GETs at the start of the input, in batches; where the next command begins."""
    cdef get_t batch[BATCH]
    cdef const char *stops[BATCH]
    cdef const char *key = NULL
    cdef uint32_t size = 0
    cdef uint32_t taken, count, done
    cdef bint resp3 = c.flags & CSP_CONN_RESP3 != 0
    while at < end:
        count = 0
        while count < BATCH:
            taken = get_command(at, end, &key, &size)
            if taken == 0:
                break
            at += taken
            batch[count].word = key_word(w, key, size)
            csp_prefetch(batch[count].word)
            stops[count] = at
            count += 1
        if count == 0:
            break
        done = answer_gets(w, batch, count, resp3, BATCH_BYTES_MAX)
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

cdef inline uint32_t answer_gets(
    worker_t *w, get_t *batch, uint32_t count, bint resp3, uint64_t bytes_max
) noexcept nogil:
    """Answers until the buffer holds bytes_max; how many, one at least."""
    cdef csp_record_t *record
    cdef uint32_t i, size, misses = 0
    for i in range(count):
        batch[i].newest = view_newest(&w.view, batch[i].word)
        if batch[i].newest != NULL:
            newest_prefetch(batch[i].newest)
    for i in range(count):
        if i + AHEAD < count and batch[i + AHEAD].newest != NULL:
            newest_prefetch_body(batch[i + AHEAD].newest)
        record = view_visible(&w.view, batch[i].newest)
        if record == NULL:
            misses += 1
            out_null(&w.out, resp3)
            continue
        size = record.reply_size
        if out_room(&w.out, size):
            memcpy(w.out.data + w.out.size, record_reply(record), size)
            w.out.size += size
        if w.out.size >= bytes_max:
            count = i + 1
            break
    w.stats.misses += misses
    w.stats.hits += count - misses
    return count

cdef void run_get(worker_t *w, csp_conn *c, arg_t *args, uint32_t count) noexcept nogil:
    cdef csp_record_t *record
    record = key_record(w, args[1].data, args[1].size)
    if record == NULL:
        w.stats.misses += 1
        out_null(&w.out, c.flags & CSP_CONN_RESP3 != 0)
    else:
        w.stats.hits += 1
        out_bytes(&w.out, <const char *> record_reply(record), record.reply_size)

cdef inline void out_decimal(out_t *out, uint64_t value) noexcept nogil:
    cdef char digits[20]
    out_bytes(out, digits, put_decimal(digits, value))

cdef void run_type(worker_t *w, csp_conn *c, arg_t *args, uint32_t count) noexcept nogil:
    if key_record(w, args[1].data, args[1].size) == NULL:
        out_line(&w.out, b"+none")
    else:
        out_line(&w.out, b"+string")

cdef inline uint32_t frame_size(const char *frame, const char **body) noexcept nogil:
    """Size of the text in a ready frame `$n\\r\\n…`, and where it begins."""
    cdef uint32_t size = 0
    frame += 1
    while frame[0] != c'\r':
        size = size * 10 + <uint32_t> (frame[0] - c'0')
        frame += 1
    body[0] = frame + 2
    return size

cdef void run_strlen(worker_t *w, csp_conn *c, arg_t *args, uint32_t count) noexcept nogil:
    cdef csp_record_t *record
    cdef const char *body = NULL
    record = key_record(w, args[1].data, args[1].size)
    if record == NULL:
        out_number(&w.out, 0)
    else:
        out_number(&w.out, frame_size(<const char *> record_reply(record), &body))

cdef void run_ping(worker_t *w, csp_conn *c, arg_t *args, uint32_t count) noexcept nogil:
    if count > 2:
        out_arity(&w.out, b"ping")
    elif is_subscriber2(c):
        out_bytes(&w.out, b"*2\r\n$4\r\npong\r\n", 14)
        if count == 2:
            out_bulk(&w.out, args[1].data, args[1].size)
        else:
            out_bulk(&w.out, b"", 0)
    elif count == 2:
        out_bulk(&w.out, args[1].data, args[1].size)
    elif c.flags & CSP_CONN_SIGNED_IN == 0 and w.leave_until != 0:
        out_bytes(&w.out, b"-LOADING draining\r\n", 19)     # a balancer takes this server out
    else:
        out_bytes(&w.out, b"+PONG\r\n", 7)
