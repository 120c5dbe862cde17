# Included by csp/_fastpath.pyx after: hot, filter, notice.
# What follows the class in CFG.READ, CFG.FIND and CFG.COUNT, and what it makes a read wait for.
#
# Invariants:
# 1. A cursor is text: the first page's revision and the last DBID. Any worker of any server of the
#    stream understands it.
# 2. Nothing here allocates: what is read points into the request.

cdef struct options_t:
    arg_t cursor
    bint brief
    uint64_t limit
    uint64_t min_revision
    int64_t max_age
    uint32_t fields_at, field_count
    uint32_t pair_count

cdef inline bint word_is(const arg_t *arg, const char *word, uint32_t size) noexcept nogil:
    """Whether they are equal in any case; the first letter tells most words apart without a call."""
    return arg.size == size and (arg.data[0] ^ word[0]) & 0xDF == 0 and strncasecmp(arg.data, word, size) == 0

cdef bint bad_option(out_t *out, const char *text, arg_t *arg) noexcept nogil:
    out_text(out, b"-BADVALUE ")
    out_text(out, text)
    if arg != NULL:
        out_text(out, b", not ")
        out_quoted(out, arg)
    out_line(out, b"")
    return False

cdef bint read_options(worker_t *w, out_t *out, arg_t *args, uint32_t count, bint paging, arg_t *pairs,
                       options_t *o) noexcept nogil:
    """Reads what follows the class; pairs has room for FILTERS_MAX. False: the error is in out."""
    cdef uint32_t i = 2
    cdef int64_t number = 0
    memset(o, 0, sizeof(options_t))
    o.limit = w.limits.page_default
    o.max_age = -1
    while i < count:
        if word_is(&args[i], b"FILTER", 6) and i + 2 < count:
            if o.pair_count == FILTERS_MAX:
                return too_many_filters(out)
            pairs[2 * o.pair_count] = args[i + 1]
            pairs[2 * o.pair_count + 1] = args[i + 2]
            o.pair_count += 1
            i += 3
        elif paging and word_is(&args[i], b"BRIEF", 5):
            o.brief = True
            i += 1
        elif paging and word_is(&args[i], b"FIELDS", 6) and i + 1 < count:
            if not parse_number(args[i + 1].data, args[i + 1].data + args[i + 1].size, &number) \
                    or number < 1 or number > FIELDS_MAX or i + 1 + number >= count:
                return bad_option(out, b"FIELDS takes how many names follow (1 to 128), then the names", &args[i + 1])
            o.fields_at = i + 2
            o.field_count = <uint32_t> number
            i += 2 + <uint32_t> number
        elif paging and word_is(&args[i], b"LIMIT", 5) and i + 1 < count:
            if not parse_number(args[i + 1].data, args[i + 1].data + args[i + 1].size, &number) \
                    or number < 1 or number > w.limits.page_objects:
                return bad_option(out, b"LIMIT takes a number from 1 to 10000", &args[i + 1])
            o.limit = <uint64_t> number
            i += 2
        elif paging and word_is(&args[i], b"CURSOR", 6) and i + 1 < count:
            o.cursor = args[i + 1]
            i += 2
        elif paging and word_is(&args[i], b"MINREV", 6) and i + 1 < count:
            if not parse_number(args[i + 1].data, args[i + 1].data + args[i + 1].size, &number) or number < 0:
                return bad_option(out, b"MINREV takes a revision", &args[i + 1])
            o.min_revision = <uint64_t> number
            i += 2
        elif paging and word_is(&args[i], b"MAXAGE", 6) and i + 1 < count:
            if not parse_number(args[i + 1].data, args[i + 1].data + args[i + 1].size, &o.max_age) or o.max_age < 0:
                return bad_option(out, b"MAXAGE takes milliseconds", &args[i + 1])
            i += 2
        else:
            out_text(out, b"-ERR syntax error near ")
            out_quoted(out, &args[i])
            out_line(out, b"")
            return False
    return True

cdef bint read_cursor(arg_t *cursor, uint64_t *revision, uint64_t *after) noexcept nogil:
    """`revision-DBID`, or `0` for the beginning."""
    cdef const char *dash
    cdef int64_t number = 0
    cdef uint32_t dbid = 0
    revision[0] = 0
    after[0] = 0
    if cursor.size == 0 or (cursor.size == 1 and cursor.data[0] == c'0'):
        return True
    dash = <const char *> memchr(cursor.data, c'-', cursor.size)
    if dash == NULL or dash == cursor.data or not parse_number(cursor.data, dash, &number) or number < 0:
        return False
    if not read_u32(dash + 1, <uint32_t> (cursor.data + cursor.size - dash - 1), &dbid):
        return False
    revision[0] = <uint64_t> number
    after[0] = dbid
    return True

cdef int must_wait(worker_t *w, csp_conn *c, uint64_t revision) noexcept nogil:
    """1: this read waits for a revision that is not here; 0: it is answered now, perhaps with STALE in out."""
    if revision <= w.view.revision:
        return 0
    if c.flags & CSP_CONN_NUDGED == 0 and not w.executing:
        if wait_add(w, c, revision):
            return 1
    c.flags &= ~CSP_CONN_NUDGED
    out_text(&w.out, b"-STALE revision ")
    out_decimal(&w.out, revision)
    out_text(&w.out, b" is not here yet; this server has ")
    out_decimal(&w.out, w.view.revision)
    out_line(&w.out, b"")
    return 0

cdef bint too_old(worker_t *w, int64_t max_age) noexcept nogil:
    cdef int64_t age
    if max_age < 0:
        return False
    age = link_age_ms(w)
    if age <= max_age:
        return False
    out_text(&w.out, b"-STALE this server heard from its master ")
    out_decimal(&w.out, <uint64_t> age)
    out_text(&w.out, b" ms ago, more than the ")
    out_decimal(&w.out, <uint64_t> max_age)
    out_line(&w.out, b" ms asked for")
    return True
