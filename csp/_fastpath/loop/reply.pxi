# Included by csp/_fastpath.pyx after: parse.
# Builds replies and pushes in one growing buffer; every worker has one that all its connections share.
#
# Invariants:
# 1. A buffer that could not grow is marked failed and takes nothing more: its connection is
#    closed, never served half a reply.
# 2. data has room for what out_room() promised; only these functions change size.

cdef enum:
    OUT_SPARE = 1048576             # what a shared buffer may keep when it is empty

cdef struct out_t:
    char *data
    uint64_t size
    uint64_t room
    bint failed

cdef bint out_grow(out_t *out, uint64_t more) noexcept nogil:
    cdef uint64_t room = out.room * 2 if out.room > 0 else 4096
    cdef char *data
    while room < out.size + more:
        room *= 2
    data = <char *> realloc(out.data, room)
    if data == NULL:
        out.failed = True
        return False
    out.data = data
    out.room = room
    return True

cdef inline bint out_room(out_t *out, uint64_t more) noexcept nogil:
    if out.size + more <= out.room:
        return True
    return out_grow(out, more)

cdef void out_free(out_t *out) noexcept nogil:
    free(out.data)
    memset(out, 0, sizeof(out_t))

cdef inline void out_bytes(out_t *out, const char *data, uint64_t size) noexcept nogil:
    if out_room(out, size):
        memcpy(out.data + out.size, data, size)
        out.size += size

cdef inline void out_text(out_t *out, const char *text) noexcept nogil:
    out_bytes(out, text, strlen(text))

cdef inline uint32_t put_decimal(char *at, uint64_t value) noexcept nogil:
    """Writes value in decimal; how many digits."""
    cdef char digits[20]
    cdef uint32_t count = 0
    cdef uint32_t i
    while True:
        digits[count] = <char> (c'0' + value % 10)
        count += 1
        value //= 10
        if value == 0:
            break
    for i in range(count):
        at[i] = digits[count - 1 - i]
    return count

cdef inline void out_head(out_t *out, char kind, int64_t value) noexcept nogil:
    """A line of a kind byte and a number: `:5`, `$3`, `*2`, `>4`, `%1`."""
    cdef char *at
    if not out_room(out, 24):
        return
    at = out.data + out.size
    at[0] = kind
    at += 1
    if value < 0:
        at[0] = c'-'
        at += 1
        value = -value
    at += put_decimal(at, <uint64_t> value)
    at[0] = c'\r'
    at[1] = c'\n'
    out.size = at + 2 - out.data

cdef inline void out_number(out_t *out, int64_t value) noexcept nogil:
    out_head(out, c':', value)

cdef inline void out_array(out_t *out, int64_t count) noexcept nogil:
    out_head(out, c'*', count)

cdef inline void out_bulk(out_t *out, const char *data, uint64_t size) noexcept nogil:
    out_head(out, c'$', <int64_t> size)
    if out_room(out, size + 2):
        memcpy(out.data + out.size, data, size)
        out.data[out.size + size] = c'\r'
        out.data[out.size + size + 1] = c'\n'
        out.size += size + 2

cdef inline void out_null(out_t *out, bint resp3) noexcept nogil:
    if resp3:
        out_bytes(out, b"_\r\n", 3)
    else:
        out_bytes(out, b"$-1\r\n", 5)

cdef inline void out_line(out_t *out, const char *text) noexcept nogil:
    """A ready line (`+PONG`, `-ERR …`) and its end."""
    out_text(out, text)
    out_bytes(out, b"\r\n", 2)

cdef void out_clean(out_t *out, const char *data, uint64_t size, uint64_t most) noexcept nogil:
    """Bytes of a client inside an error line: at most so many, and none that would end the line."""
    cdef uint64_t i
    if size > most:
        size = most
    if not out_room(out, size):
        return
    for i in range(size):
        out.data[out.size + i] = c' ' if data[i] == c'\r' or data[i] == c'\n' else data[i]
    out.size += size

cdef void out_arity(out_t *out, const char *name) noexcept nogil:
    out_text(out, b"-ERR wrong number of arguments for '")
    out_text(out, name)
    out_line(out, b"' command")

cdef void out_protocol_error(out_t *out, int64_t status, char odd) noexcept nogil:
    out_text(out, b"-ERR Protocol error: ")
    if status == PARSE_DOLLAR:
        out_text(out, b"expected '$', got '")
        out_clean(out, &odd, 1, 1)
        out_line(out, b"'")
    else:
        out_line(out, parse_error(status))
