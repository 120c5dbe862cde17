# Included by csp/_fastpath.pyx after: parse.
# Globs as Redis matches them: against any text, and compiled for texts of a few known characters.
#
# Invariants:
# 1. Matching takes time bounded by text length x pattern length; compiled, by text length alone.
# 2. Where a text is made of digits, letters, `:` and `@` and shorter than a compiled glob can be long, both
#    ways find the same.

cdef enum:
    GLOB_TOKENS = 62                # of a compiled glob, stars not counted: states are bits of one word
    GLOB_FIRST = 48                 # from `0` to `z` are all characters that a compiled glob can meet
    GLOB_CHARACTERS = 75

cdef struct glob_t:
    uint64_t stars                  # bit i: a star stands behind i tokens
    uint64_t accept                 # the bit of "all tokens were met"
    uint64_t fits[GLOB_CHARACTERS]  # by character: bit i: token i fits it

cdef bint glob_range(const char **at, const char *end, unsigned char *low, unsigned char *high) noexcept nogil:
    """The next member of a `[…]`, at is moved behind it; False behind the last one."""
    cdef const char *p = at[0]
    if p >= end or p[0] == c']':
        at[0] = p + 1 if p < end else end
        return False
    if p[0] == c'\\' and p + 1 < end:
        p += 1
        low[0] = high[0] = <unsigned char> p[0]
    elif p + 2 < end and p[1] == c'-':
        low[0] = <unsigned char> p[0]
        high[0] = <unsigned char> p[2]
        if low[0] > high[0]:
            low[0], high[0] = high[0], low[0]
        p += 2
    else:
        low[0] = high[0] = <unsigned char> p[0]
    at[0] = p + 1
    return True

cdef bint glob_class(const char **pattern, const char *end, unsigned char value) noexcept nogil:
    """Whether value is in the `[…]` that begins at pattern, which is moved behind it; as in Redis."""
    cdef const char *p = pattern[0] + 1
    cdef bint negated = p < end and p[0] == c'^'
    cdef bint found = False
    cdef unsigned char low = 0
    cdef unsigned char high = 0
    if negated:
        p += 1
    while glob_range(&p, end, &low, &high):
        found |= low <= value <= high
    pattern[0] = p
    return found != negated

cdef bint glob_match(const char *pattern, uint32_t pattern_size, const char *text, uint32_t text_size) noexcept nogil:
    """Redis's globs, matched with one remembered star: time is at most the product of both lengths."""
    cdef const char *p = pattern
    cdef const char *p_end = pattern + pattern_size
    cdef const char *t = text
    cdef const char *t_end = text + text_size
    cdef const char *star = NULL
    cdef const char *star_text = NULL
    cdef const char *p_next
    cdef bint hit
    while t < t_end:
        if p < p_end and p[0] == c'*':
            star = p
            star_text = t
            p += 1
            continue
        hit = False
        p_next = p
        if p < p_end:
            if p[0] == c'?':
                hit = True
                p_next = p + 1
            elif p[0] == c'[':
                hit = glob_class(&p_next, p_end, <unsigned char> t[0])
            else:
                if p[0] == c'\\' and p + 1 < p_end:
                    p_next = p + 1
                hit = p_next[0] == t[0]
                p_next += 1
        if hit:
            p = p_next
            t += 1
        elif star != NULL:
            star_text += 1
            t = star_text
            p = star + 1
        else:
            return False
    while p < p_end and p[0] == c'*':
        p += 1
    return p == p_end

cdef inline uint64_t bits_to(int highest) noexcept nogil:
    """The bits from 0 to highest; none below 0."""
    if highest < 0:
        return 0
    return ~<uint64_t> 0 if highest >= 63 else (<uint64_t> 2 << highest) - 1

cdef void glob_set(const char **pattern, const char *end, uint64_t *low_half, uint64_t *high_half) noexcept nogil:
    """The ASCII characters of the `[…]` that begins at pattern, which is moved behind it."""
    cdef const char *p = pattern[0] + 1
    cdef bint negated = p < end and p[0] == c'^'
    cdef unsigned char low = 0
    cdef unsigned char high = 0
    low_half[0] = high_half[0] = 0
    if negated:
        p += 1
    while glob_range(&p, end, &low, &high):
        low_half[0] |= bits_to(high) & ~bits_to(<int> low - 1)
        high_half[0] |= bits_to(<int> high - 64) & ~bits_to(<int> low - 65)
    if negated:
        low_half[0] = ~low_half[0]
        high_half[0] = ~high_half[0]
    pattern[0] = p

cdef void glob_token(glob_t *self, const char **pattern, const char *end, uint64_t bit) noexcept nogil:
    """Notes which characters the token that begins at pattern fits, and moves pattern behind it."""
    cdef const char *p = pattern[0]
    cdef uint64_t low = ~<uint64_t> 0
    cdef uint64_t high = ~<uint64_t> 0
    cdef uint32_t i, value
    if p[0] == c'[':
        glob_set(pattern, end, &low, &high)
    elif p[0] == c'?':
        pattern[0] = p + 1
    else:
        if p[0] == c'\\' and p + 1 < end:
            p += 1
        pattern[0] = p + 1
        value = <unsigned char> p[0]
        if GLOB_FIRST <= value < GLOB_FIRST + GLOB_CHARACTERS:
            self.fits[value - GLOB_FIRST] |= bit
        return
    for i in range(GLOB_CHARACTERS):
        value = i + GLOB_FIRST
        if ((low >> value) if value < 64 else (high >> (value - 64))) & 1:
            self.fits[i] |= bit

cdef bint glob_compile(glob_t *self, const char *pattern, uint32_t size) noexcept nogil:
    """Compiles a pattern; False when it has too many tokens to match a name."""
    cdef const char *p = pattern
    cdef const char *end = pattern + size
    cdef uint32_t tokens = 0
    memset(self, 0, sizeof(glob_t))
    while p < end:
        if p[0] == c'*':
            self.stars |= <uint64_t> 1 << tokens
            p += 1
            continue
        if tokens == GLOB_TOKENS:
            return False
        glob_token(self, &p, end, <uint64_t> 1 << tokens)
        tokens += 1
    self.accept = <uint64_t> 1 << tokens
    return True

cdef inline uint64_t glob_step(const glob_t *self, uint64_t state, uint64_t fits) noexcept nogil:
    return ((state & fits) << 1) | (state & self.stars)

cdef inline uint64_t glob_run(const glob_t *self, uint64_t state, const char *text, uint32_t size) noexcept nogil:
    """The states after a text; 1 is the state before it. No state is left as soon as nothing can match."""
    cdef uint32_t i
    for i in range(size):
        if state == 0:
            break
        state = glob_step(self, state, self.fits[<unsigned char> text[i] - GLOB_FIRST])
    return state

cdef uint64_t glob_decimal(const glob_t *self, uint64_t state) noexcept nogil:
    """The states in which some decimal number of 32 bits may leave the glob."""
    cdef uint64_t some = 0
    cdef uint64_t reached
    cdef uint32_t i
    for i in range(10):
        some |= self.fits[i]
    reached = state = glob_step(self, state, some)
    for i in range(9):
        state = glob_step(self, state, some)
        reached |= state
    return reached


def match_glob(pattern: bytes, text: bytes) -> bool:
    """Whether text matches the pattern of a PSUBSCRIBE."""
    cdef const char *p = pattern
    cdef const char *t = text
    return glob_match(p, <uint32_t> len(pattern), t, <uint32_t> len(text))
