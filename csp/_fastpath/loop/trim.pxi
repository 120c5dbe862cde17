# Included by csp/_fastpath.pyx after: reply, project, hot.
# exclude_bytecode: takes the binary values out of an object's annex, in the reply that is being built.
#
# Invariants:
# 1. A frame only becomes shorter; it is rewritten where it stands.
# 2. The input is JSON that a csp encoded. Other bytes give a senseless reply, but nothing beyond them is touched.

cdef inline void take(char **to, const char **from_, const char *until) noexcept nogil:
    """Moves what stands before `until` down to where the shorter text goes on."""
    cdef size_t size = <size_t> (until - from_[0])
    memmove(to[0], from_[0], size)
    to[0] += size
    from_[0] = until

cdef inline bint is_binary(const char *value, const char *end) noexcept nogil:
    return end - value > 10 and memcmp(value, b'{"base64":', 10) == 0

cdef void section_trim(char **to, const char **from_, const char *end) noexcept nogil:
    """From behind a section's `{` to its `}`."""
    cdef const char *at = from_[0]
    cdef const char *value
    cdef bint some = False
    while at < end and at[0] == c'"':
        value = json_string(at, end) + 1
        if value >= end:
            return
        from_[0] = at
        at = json_value(value, end)
        if is_binary(value, at):
            from_[0] = at
        else:
            if some:
                to[0][0] = c','
                to[0] += 1
            take(to, from_, at)
            some = True
        if at < end and at[0] == c',':
            at += 1
            from_[0] = at

cdef void annex_trim(char **to, const char **from_, const char *end) noexcept nogil:
    """From an annex's `{` to behind its last section."""
    cdef const char *at
    take(to, from_, from_[0] + 1)
    while from_[0] < end and from_[0][0] == c'"':
        at = json_string(from_[0], end) + 1
        if at >= end:
            return
        if at[0] == c'{':
            take(to, from_, at + 1)
            section_trim(to, from_, end)
            at = from_[0] + 1 if from_[0] < end else end
        else:
            at = json_value(at, end)
        if at < end and at[0] == c',':
            at += 1
        take(to, from_, at)

cdef void frame_trim(out_t *out, uint64_t begun) noexcept nogil:
    """Shortens the frame of one object, which stands at the end of the buffer."""
    cdef span_t spans[SPANS_MAX]
    cdef const char *body = NULL
    cdef const char *from_
    cdef char *to
    cdef uint32_t size, many, i
    cdef uint64_t whole = out.size
    if out.failed:
        return
    size = frame_size(out.data + begun, &body)
    many = json_spans(body, body + size, spans)
    for i in range(many):
        if span_named(&spans[i], b"userProperties", 14) and spans[i].size > 18:
            from_ = spans[i].at + 17            # behind `"userProperties":`
            to = <char *> from_
            annex_trim(&to, &from_, spans[i].at + spans[i].size)
            if to == from_:
                return
            take(&to, &from_, out.data + whole)
            size = <uint32_t> (to - body) - 2
            out.size = begun
            out_head(out, c'$', size)
            memmove(out.data + out.size, body, size + 2)
            out.size += size + 2
            return
