# Included by csp/_fastpath.pyx after: writer, parse. Applies the changes of a feed as they stand in the received bytes.
#
# Invariants:
# 1. Only whole `change` frames that continue what is published are taken. Whatever else stands there,
#    a change that is wrong or finds no room included, is left for csp.feed, which takes it by itself
#    and says what it is.
# 2. Each change is checked, logged and published by itself, so any may be the last one before a crash;
#    only what follows a publication, ringing the readers and tidying, is done once for a few of them.

cdef enum frame_status:
    FRAME_MORE = 0                  # not all there
    FRAME_OTHER = -1                # the caller's

cdef struct frame_t:
    uint32_t count                  # of its words behind the kind: the entry, then account records
    const uint8_t *words[FRAME_WORDS_MAX]
    uint64_t sizes[FRAME_WORDS_MAX]
    uint64_t aligned[(FRAME_BYTES_MAX >> 3) + FRAME_WORDS_MAX]

cdef int64_t word_cut(const char *at, const char *end, int64_t room, const char **word, int64_t *size) noexcept nogil:
    """Bytes of the string whose length begins at `at`, behind its `$`; or FRAME_MORE, FRAME_OTHER."""
    cdef int64_t seen = end - at if end - at < SIZE_LINE_MAX else SIZE_LINE_MAX
    cdef const char *stop = <const char *> memchr(at, c'\r', seen)
    if stop == NULL or stop + 1 >= end:
        return FRAME_MORE if end - at <= SIZE_LINE_MAX else FRAME_OTHER
    if stop[1] != c'\n' or not parse_number(at, stop, size) or size[0] < 0 or size[0] > room:
        return FRAME_OTHER
    word[0] = stop + 2
    if end - word[0] < size[0] + 2:
        return FRAME_MORE
    return word[0] + size[0] + 2 - at if memcmp(word[0] + size[0], b"\r\n", 2) == 0 else FRAME_OTHER

cdef int64_t frame_cut(frame_t *frame, const char *start, const char *end) noexcept nogil:
    """Bytes of the `change` frame at start, its words where their fields can be read in place; or
    FRAME_MORE, FRAME_OTHER."""
    cdef const char *head = b"\r\n$6\r\nchange\r\n$"
    cdef const char *at = start + 17
    cdef const char *word = NULL
    cdef uint8_t *put = <uint8_t *> frame.aligned
    cdef int64_t size = 0, taken
    if end - start < 17:
        return FRAME_MORE
    if start[0] != c'*' or start[1] < c'2' or start[1] > c'9' or memcmp(start + 2, head, 15) != 0:
        return FRAME_OTHER
    frame.count = 0
    while True:
        taken = word_cut(at, end, FRAME_BYTES_MAX - (at - start), &word, &size)
        if taken <= 0:
            return taken
        at += taken
        memcpy(put, word, size)
        frame.words[frame.count] = put
        frame.sizes[frame.count] = size
        frame.count += 1
        put += (size + 7) & ~<int64_t> 7
        if frame.count == <uint32_t> (start[1] - c'1'):
            return at - start
        if at == end:
            return FRAME_MORE
        if at[0] != c'$':
            return FRAME_OTHER
        at += 1

cdef int frame_apply(csp_writer_t *w, frame_t *frame) noexcept nogil:
    """The change in frame, if it continues what is published."""
    cdef const csp_entry_t *entry = <const csp_entry_t *> frame.words[0]
    cdef csp_state_t *state = &w.store.super.state
    cdef uint64_t size = frame.sizes[0]
    if size < sizeof(csp_entry_t) or entry.revision != state.revision + 1 \
            or csp_mark_next(state.mark, frame.words[0], size) != entry.mark:
        return ORDER
    return writer_publish(
        w, frame.words[0], size, frame.words + 1, frame.sizes + 1, <int> frame.count - 1)

cdef int64_t frames_apply(
    csp_writer_t *w, const char *start, const char *end, int64_t now_ms, bint *is_more
) noexcept nogil:
    """Bytes of the changes that were published; whether one more has begun."""
    cdef frame_t frame
    cdef const char *at = start
    cdef const char *step = start
    cdef uint32_t changes = 0
    cdef int64_t size
    while True:
        size = frame_cut(&frame, at, end)
        if size <= 0:
            break
        if frame_apply(w, &frame) != OK:
            size = FRAME_OTHER
            break
        at += size
        changes += 1
        if changes == STEP_CHANGES or at - step >= STEP_BYTES:
            writer_settle(w, now_ms)
            changes = 0
            step = at
    if changes:
        writer_settle(w, now_ms)
    is_more[0] = size == FRAME_MORE
    return at - start


def follow(StoreWriter writer not None, const uint8_t[::1] frames not None) -> tuple[int, bool]:
    """Publishes the changes at the start of the frames of a feed: their bytes, and whether one more has begun."""
    cdef int64_t now_ms = store_wall_ms()
    cdef int64_t taken
    cdef bint is_more = True
    cdef const char *start
    if frames.shape[0] == 0:
        return 0, True
    start = <const char *> &frames[0]
    with nogil:
        taken = frames_apply(&writer.w, start, start + frames.shape[0], now_ms, &is_more)
    return taken, is_more


def next_mark(uint64_t before, const uint8_t[::1] entry not None) -> int:
    """The mark of an entry after the mark `before`; the one inside the entry counts as 0."""
    if entry.shape[0] < <Py_ssize_t> sizeof(csp_entry_t):
        raise ValueError(f"an entry has at least {sizeof(csp_entry_t)} bytes, here are {entry.shape[0]}")
    return csp_mark_next(before, &entry[0], entry.shape[0])
