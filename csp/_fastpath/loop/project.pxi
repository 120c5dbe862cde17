# Included by csp/_fastpath.pyx after: reply.
# FIELDS: takes attributes out of an object's JSON by scanning its top level, in the order that was asked.
#
# Invariants:
# 1. The input is JSON that a csp encoded: one line, an object, no spaces between tokens. Other bytes give
#    a senseless reply, but nothing beyond them is read.
# 2. class, DBID and revision come first whether they were asked for or not, and each attribute once.

cdef enum:
    FIELDS_MAX = 128
    SPANS_MAX = 256

cdef struct span_t:
    const char *name
    uint32_t name_size
    const char *at                  # `"name":value`
    uint32_t size

cdef inline const char *json_string(const char *at, const char *end) noexcept nogil:
    """Behind the string that begins at at; end when it does not stop before."""
    at += 1
    while at < end and at[0] != c'"':
        at += 2 if at[0] == c'\\' else 1
    return at + 1 if at < end else end

cdef const char *json_value(const char *at, const char *end) noexcept nogil:
    """Behind the value that begins at at."""
    cdef uint32_t depth = 0
    while at < end:
        if at[0] == c'"':
            at = json_string(at, end)
            if depth == 0:
                return at
            continue
        if at[0] == c'{' or at[0] == c'[':
            depth += 1
        elif at[0] == c'}' or at[0] == c']':
            if depth == 0:
                return at
            depth -= 1
            if depth == 0:
                return at + 1
        elif at[0] == c',' and depth == 0:
            return at
        at += 1
    return at

cdef uint32_t json_spans(const char *at, const char *end, span_t *spans) noexcept nogil:
    """The attributes of the object, in its order; how many."""
    cdef uint32_t count = 0
    cdef const char *start
    at += 1
    while at < end and at[0] == c'"' and count < SPANS_MAX:
        start = at
        at = json_string(at, end)
        if at >= end:
            break                   # a feed brought what is no JSON: what stands before is shown
        spans[count].name = start + 1
        spans[count].name_size = <uint32_t> (at - start - 2)
        at = json_value(at + 1, end)
        spans[count].at = start
        spans[count].size = <uint32_t> (at - start)
        count += 1
        if at < end and at[0] == c',':
            at += 1
    return count

cdef inline bint span_named(span_t *span, const char *name, uint32_t size) noexcept nogil:
    return span.name_size == size and memcmp(span.name, name, size) == 0

cdef void project(out_t *out, const char *json, uint32_t size, arg_t *fields, uint32_t count) noexcept nogil:
    """Appends the frame of the object with only these attributes."""
    cdef span_t spans[SPANS_MAX]
    cdef uint32_t many = json_spans(json, json + size, spans)
    cdef uint32_t order[FIELDS_MAX + 3]
    cdef uint32_t used = 0
    cdef uint32_t total = 1
    cdef uint32_t i, k, m
    cdef arg_t always[3]
    cdef arg_t *wanted
    always[0].data, always[0].size = b"class", 5
    always[1].data, always[1].size = b"DBID", 4
    always[2].data, always[2].size = b"revision", 8
    for i in range(count + 3):
        wanted = &always[i] if i < 3 else &fields[i - 3]
        for k in range(many):
            if span_named(&spans[k], wanted.data, wanted.size):
                for m in range(used):
                    if order[m] == k:
                        break
                else:
                    order[used] = k
                    used += 1
                    total += spans[k].size + 1
                break
    if used == 0:
        total = 2
    out_head(out, c'$', total)
    out_bytes(out, b"{", 1)
    for i in range(used):
        if i > 0:
            out_bytes(out, b",", 1)
        out_bytes(out, spans[order[i]].at, spans[order[i]].size)
    out_bytes(out, b"}\r\n", 3)


def project_fields(json: bytes, names: list) -> bytes:
    """FIELDS as tests see it: the frame of the object with these attributes, at most FIELDS_MAX."""
    cdef uint32_t size = <uint32_t> len(json)
    cdef uint32_t count = <uint32_t> min(len(names), FIELDS_MAX)
    cdef arg_t fields[FIELDS_MAX]
    cdef out_t out
    cdef uint32_t i
    # A copy without the zero that ends every bytes object, so that a sanitizer sees one byte too far.
    cdef char *copy = <char *> malloc(max(1, size))
    if copy == NULL:
        raise MemoryError("no memory for a copy of the object")
    memcpy(copy, <const char *> json, size)
    memset(&out, 0, sizeof(out_t))
    for i in range(count):
        fields[i].data = names[i]
        fields[i].size = <uint32_t> len(names[i])
    try:
        project(&out, copy, size, fields, count)
        if out.failed:
            raise MemoryError("no memory for a frame")
        return out.data[:out.size]
    finally:
        free(copy)
        out_free(&out)
