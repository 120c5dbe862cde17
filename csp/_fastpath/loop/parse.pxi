# Included by csp/_fastpath.pyx after: limits, status.
# Cuts the bytes that a client sent into commands, in place: arguments point into the buffer.
#
# Invariants:
# 1. Nothing is consumed before a command is complete, so any split of the bytes gives the same commands.
# 2. Texts, limits and tolerances are those of Redis: clients and proxies were written against them.
# 3. What of an incomplete array was cut is not cut again: the parser says how far it came, and goes on from there
#    when its caller hands that back with the same bytes and more.
# 4. At most ARGS_MAX arguments are kept; of a command with more only the first, and its keys are cut as they are used.
# 5. A buffer has PARSE_PAD readable bytes behind its end, so that eight bytes can be loaded at once.

cdef enum:
    PARSE_PAD = 16
    PARSE_LINE_MAX = 65536          # a length line or an inline command, as in Redis
    PARSE_UNSIGNED_ARGS = 10        # before sign-in
    PARSE_UNSIGNED_BYTES = 16384
    ARGS_MAX = 65536                # kept of one command: more would be a turn's work to list
    ARGS_SPARE = 1024               # room for so many stays when a larger command is done

cdef enum parse_status:
    PARSE_MORE = 0                  # incomplete
    PARSE_COUNT_LINE = -1
    PARSE_COUNT = -2
    PARSE_COUNT_UNSIGNED = -3
    PARSE_SIZE_LINE = -4
    PARSE_DOLLAR = -5
    PARSE_SIZE = -6
    PARSE_SIZE_UNSIGNED = -7
    PARSE_INLINE = -8
    PARSE_QUOTES = -9
    PARSE_REQUEST = -10
    PARSE_MEMORY = -11

cdef struct arg_t:
    const char *data
    uint32_t size

cdef struct parser_t:
    arg_t *args
    uint32_t room
    uint32_t count                  # 0 after a no-op (`*0`, an empty line)
    uint64_t need                   # after PARSE_MORE: at least so many bytes are needed in all
    char odd                        # the byte that stood where `$` belongs
    char *text                      # unquoted arguments of an inline command
    uint64_t max_request
    uint32_t max_args
    bint whole                      # args holds all arguments
    uint32_t wanted                 # of an incomplete array: its arguments, 0 when there is none,
    uint32_t taken                  # those that are complete,
    uint64_t at                     # and how many bytes they and the header have

cdef int parser_open(parser_t *self, uint64_t max_request, uint32_t max_args) noexcept nogil:
    memset(self, 0, sizeof(parser_t))
    self.room = 64
    self.args = <arg_t *> malloc(self.room * sizeof(arg_t))
    self.max_request = max_request
    self.max_args = max_args
    return 0 if self.args != NULL else -1

cdef void parser_close(parser_t *self) noexcept nogil:
    free(self.args)
    free(self.text)
    self.args = NULL
    self.text = NULL

cdef inline const char *parse_line(const char *at, const char *end) noexcept nogil:
    """The `\\r` that ends the line, NULL when the line is not complete; as in Redis `\\n` is taken for granted."""
    cdef const char *stop = <const char *> memchr(at, c'\r', end - at)
    if stop == NULL or stop + 1 >= end:
        return NULL
    return stop

cdef inline bint parse_number(const char *at, const char *end, int64_t *value) noexcept nogil:
    """A decimal number as Redis reads it: an optional minus, no plus, no leading zeros, no spaces."""
    cdef bint negative = False
    cdef uint64_t number = 0
    if at == end or end - at > 19:
        return False
    if at[0] == c'-':
        negative = True
        at += 1
        if at == end or at[0] == c'0':
            return False
    if at[0] == c'0' and end - at > 1:
        return False
    while at < end:
        if at[0] < c'0' or at[0] > c'9':
            return False
        number = number * 10 + <uint64_t> (at[0] - c'0')
        at += 1
    if number > <uint64_t> INT64_MAX:
        return False
    value[0] = -<int64_t> number if negative else <int64_t> number
    return True

cdef int64_t parse_array(parser_t *self, const char *start, const char *end, bint signed_in) noexcept nogil:
    """Bytes of the array of bulk strings at start; PARSE_MORE, or what is wrong with it."""
    cdef const char *at = start
    cdef const char *stop
    cdef int64_t count = 0
    self.count = 0
    self.whole = True
    if self.wanted > 0:
        return parse_rest(self, start, end, signed_in)
    # The usual header is one digit: no search for the end of the line.
    if end - at >= 4 and at[2] == c'\r' and at[1] >= c'1' and at[1] <= c'9':
        count = at[1] - c'0'
        at += 4
    else:
        stop = parse_line(at, end)
        if stop == NULL:
            self.need = end - start + 1
            return PARSE_COUNT_LINE if end - at > PARSE_LINE_MAX else PARSE_MORE
        if not parse_number(at + 1, stop, &count) or count > <int64_t> self.max_args:
            return PARSE_COUNT
        if count <= 0:
            return stop + 2 - start
        at = stop + 2
    if count > PARSE_UNSIGNED_ARGS and not signed_in:
        return PARSE_COUNT_UNSIGNED
    return parse_args(self, start, at, end, 0, <uint32_t> count, True, signed_in)

cdef int64_t parse_rest(parser_t *self, const char *start, const char *end, bint signed_in) noexcept nogil:
    """Goes on with an array that was incomplete; once it is not, its arguments are listed if they are few enough."""
    cdef uint32_t count = self.wanted
    cdef int64_t size = parse_args(self, start, start + self.at, end, self.taken, count, False, signed_in)
    if size <= 0:
        return size
    if count <= ARGS_MAX:
        return parse_array(self, start, end, signed_in)
    parse_args(self, start, parse_line(start, end) + 2, end, 0, 1, True, signed_in)
    self.count = count
    self.whole = False
    return size

cdef inline int64_t parse_more(parser_t *self, const char *start, const char *argument, uint32_t taken, uint32_t count,
                               uint64_t need) noexcept nogil:
    self.at = argument - start
    self.taken = taken
    self.wanted = count
    self.need = need
    return PARSE_MORE

cdef inline int64_t parse_args(parser_t *self, const char *start, const char *at, const char *end, uint32_t taken,
                               uint32_t count, bint keep, bint signed_in) noexcept nogil:
    """From the argument at `at` on, which is number `taken`."""
    cdef const char *argument
    cdef const char *stop
    cdef int64_t size = 0
    self.wanted = 0
    while taken < count:
        argument = at
        if at >= end:
            return parse_more(self, start, argument, taken, count, end - start + 1)
        if at[0] != c'$' and parse_line(at, end) != NULL:
            self.odd = at[0]
            return PARSE_DOLLAR
        if end - at >= 5 and at[2] == c'\r' and at[1] >= c'0' and at[1] <= c'9':
            size = at[1] - c'0'
            at += 4
        elif end - at >= 6 and at[3] == c'\r' and at[1] >= c'1' and at[1] <= c'9' \
                and at[2] >= c'0' and at[2] <= c'9':
            size = (at[1] - c'0') * 10 + (at[2] - c'0')
            at += 5
        else:
            stop = parse_line(at, end)
            if stop == NULL:
                if end - at > PARSE_LINE_MAX:
                    return PARSE_SIZE_LINE
                return parse_more(self, start, argument, taken, count, end - start + 1)
            if not parse_number(at + 1, stop, &size) or size < 0 or size > <int64_t> self.max_request:
                return PARSE_SIZE
            at = stop + 2
        if size > PARSE_UNSIGNED_BYTES and not signed_in:
            return PARSE_SIZE_UNSIGNED
        if <uint64_t> (at - start) + <uint64_t> size > self.max_request + PARSE_LINE_MAX:
            return PARSE_REQUEST
        if end - at < size + 2:
            return parse_more(self, start, argument, taken, count, (at - start) + size + 2)
        if keep and taken == self.room:
            if taken >= ARGS_MAX:
                keep = False
                self.whole = False
            elif parser_grow(self) != 0:
                return PARSE_MEMORY
        if keep:
            self.args[taken].data = at
            self.args[taken].size = <uint32_t> size
        taken += 1
        at += size + 2
    self.count = count
    return at - start

cdef inline int hex_digit(char value) noexcept nogil:
    if c'0' <= value <= c'9':
        return value - c'0'
    if c'a' <= value <= c'f':
        return value - c'a' + 10
    if c'A' <= value <= c'F':
        return value - c'A' + 10
    return -1

cdef inline bint is_blank(char value) noexcept nogil:
    return value == c' ' or (value >= 9 and value <= 13) or value == 0

cdef void parser_rest(parser_t *self) noexcept nogil:
    """Gives back what only a large command needed."""
    cdef arg_t *less
    if self.room > ARGS_SPARE:
        less = <arg_t *> realloc(self.args, ARGS_SPARE * sizeof(arg_t))
        if less != NULL:
            self.args = less
            self.room = ARGS_SPARE

cdef int64_t parse_inline(parser_t *self, const char *start, const char *end, bint signed_in) noexcept nogil:
    """Bytes of the line at start, taken apart at blanks; quotes as Redis reads them."""
    cdef const char *stop = <const char *> memchr(start, c'\n', end - start)
    cdef const char *at = start
    cdef const char *line_end
    cdef char *put
    cdef char quote
    cdef bint done
    self.count = 0
    self.whole = True
    if stop == NULL:
        self.need = end - start + 1
        return PARSE_INLINE if end - start > PARSE_LINE_MAX else PARSE_MORE
    line_end = stop
    if line_end > start and (line_end - 1)[0] == c'\r':
        line_end -= 1
    if line_end - start > PARSE_LINE_MAX:
        return PARSE_INLINE
    if self.text == NULL:
        self.text = <char *> malloc(PARSE_LINE_MAX + PARSE_PAD)
        if self.text == NULL:
            return PARSE_MEMORY
    put = self.text
    while True:
        while at < line_end and is_blank(at[0]):
            at += 1
        if at >= line_end:
            break
        if self.count == PARSE_UNSIGNED_ARGS and not signed_in:
            return PARSE_COUNT_UNSIGNED
        if self.count == self.room:
            if parser_grow(self) != 0:
                return PARSE_MEMORY
        self.args[self.count].data = put
        quote = 0
        done = False
        while not done:
            if at >= line_end:
                if quote != 0:
                    return PARSE_QUOTES
                break
            if quote == c'"':
                if at[0] == c'\\' and line_end - at > 3 and at[1] == c'x' \
                        and hex_digit(at[2]) >= 0 and hex_digit(at[3]) >= 0:
                    put[0] = <char> (hex_digit(at[2]) * 16 + hex_digit(at[3]))
                    put += 1
                    at += 3
                elif at[0] == c'\\' and line_end - at > 1:
                    at += 1
                    put[0] = unescape(at[0])
                    put += 1
                elif at[0] == c'"':
                    if at + 1 < line_end and not is_blank(at[1]):
                        return PARSE_QUOTES
                    done = True
                else:
                    put[0] = at[0]
                    put += 1
            elif quote == c"'":
                if at[0] == c'\\' and line_end - at > 1 and at[1] == c"'":
                    at += 1
                    put[0] = c"'"
                    put += 1
                elif at[0] == c"'":
                    if at + 1 < line_end and not is_blank(at[1]):
                        return PARSE_QUOTES
                    done = True
                else:
                    put[0] = at[0]
                    put += 1
            elif is_blank(at[0]):
                done = True
            elif at[0] == c'"' or at[0] == c"'":
                quote = at[0]
            else:
                put[0] = at[0]
                put += 1
            at += 1
        self.args[self.count].size = <uint32_t> (put - self.args[self.count].data)
        if self.args[self.count].size > PARSE_UNSIGNED_BYTES and not signed_in:
            return PARSE_SIZE_UNSIGNED
        self.count += 1
    return stop + 1 - start

cdef inline char unescape(char value) noexcept nogil:
    if value == c'n':
        return c'\n'
    if value == c'r':
        return c'\r'
    if value == c't':
        return c'\t'
    if value == c'b':
        return c'\b'
    if value == c'a':
        return 7
    return value

cdef int parser_grow(parser_t *self) noexcept nogil:
    cdef arg_t *grown = <arg_t *> realloc(self.args, <size_t> self.room * 2 * sizeof(arg_t))
    if grown == NULL:
        return -1
    self.args = grown
    self.room *= 2
    return 0

cdef inline int64_t parse_usual(parser_t *self, const char *start, const char *end) noexcept nogil:
    """A whole command of at most nine words of at most 99 bytes, as nearly all are; 0 for any other."""
    cdef const char *at = start + 4
    cdef uint32_t count = 0
    cdef uint32_t taken = 0
    cdef int64_t size
    if self.wanted != 0 or end - start < 8 or start[2] != c'\r' or start[1] < c'1' or start[1] > c'9':
        return 0
    count = start[1] - c'0'
    while taken < count:
        if end - at < 7 or at[0] != c'$' or at[1] < c'0' or at[1] > c'9':
            return 0
        size = at[1] - c'0'
        if at[2] == c'\r':
            at += 4
        elif at[3] == c'\r' and size > 0 and at[2] >= c'0' and at[2] <= c'9':
            size = size * 10 + (at[2] - c'0')
            at += 5
        else:
            return 0
        if end - at < size + 2:
            return 0
        self.args[taken].data = at
        self.args[taken].size = <uint32_t> size
        taken += 1
        at += size + 2
    self.count = count
    self.whole = True
    return at - start

cdef inline int64_t parse_command(parser_t *self, const char *start, const char *end, bint signed_in) noexcept nogil:
    """Cuts one command off: its bytes; PARSE_MORE, or a negative status for a protocol error."""
    cdef int64_t taken
    if start[0] == c'*':
        taken = parse_usual(self, start, end)
        return taken if taken > 0 else parse_array(self, start, end, signed_in)
    return parse_inline(self, start, end, signed_in)

cdef const char *parse_error(int64_t status) noexcept nogil:
    """The text of a protocol error; PARSE_DOLLAR has the byte to be filled in."""
    if status == PARSE_COUNT_LINE:
        return b"too big mbulk count string"
    if status == PARSE_COUNT:
        return b"invalid multibulk length"
    if status == PARSE_COUNT_UNSIGNED:
        return b"unauthenticated multibulk length"
    if status == PARSE_SIZE_LINE:
        return b"too big bulk count string"
    if status == PARSE_DOLLAR:
        return b"expected '$', got '%c'"
    if status == PARSE_SIZE:
        return b"invalid bulk length"
    if status == PARSE_SIZE_UNSIGNED:
        return b"unauthenticated bulk length"
    if status == PARSE_INLINE:
        return b"too big inline request"
    if status == PARSE_QUOTES:
        return b"unbalanced quotes in request"
    if status == PARSE_REQUEST:
        return b"too big request"
    return b"out of memory"


cdef class Parser:
    """The parser as tests see it: feed() returns the commands that are complete so far."""

    cdef parser_t c
    cdef bytes rest

    def __cinit__(self, max_request: int = 64 << 20, max_args: int = 1 << 20) -> None:
        if parser_open(&self.c, max_request, max_args) != 0:
            raise MemoryError("no memory for a parser")
        self.rest = b""

    def __dealloc__(self) -> None:
        parser_close(&self.c)

    def feed(self, data: bytes, signed_in: bool = True) -> list:
        cdef bytes all_ = self.rest + data + b"\0" * PARSE_PAD
        cdef const char *start = all_
        cdef const char *at = start
        cdef const char *end = start + len(all_) - PARSE_PAD
        cdef int64_t status
        cdef uint32_t i
        commands = []
        while at < end:
            status = parse_command(&self.c, at, end, signed_in)
            if status == PARSE_MORE:
                break
            if status < 0:
                text = parse_error(status).decode()
                raise ValueError(text % chr(<unsigned char> self.c.odd) if status == PARSE_DOLLAR else text)
            at += status
            if self.c.count > 0:
                commands.append([self.c.args[i].data[:self.c.args[i].size] for i in range(self.c.count)])
        self.rest = all_[at - start:end - start]
        return commands
