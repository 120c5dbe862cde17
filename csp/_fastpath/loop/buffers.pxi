# Included by csp/_fastpath.pyx after: conn.
# Gives large buffers back by the piece: the kernel needs a tenth of a millisecond for each MiB that was touched.
#
# Invariants:
# 1. A buffer handed in is nobody's any more; its whole pages go back first, the last of them with the buffer.
# 2. Each turn gives back BURY_STEP bytes at most, and no turn waits while there are some left.

cdef enum:
    BURY_FROM = 4194304             # smaller ones are freed at once
    BURY_STEP = 2097152             # a fraction of a millisecond of a turn

cdef void buffer_free(worker_t *w, char *data, uint64_t room) noexcept nogil:
    cdef grave_t *items
    cdef uint32_t more
    if room < BURY_FROM:
        free(data)
        return
    if w.grave_count == w.grave_room:
        more = w.grave_room * 2 if w.grave_room > 0 else 16
        items = <grave_t *> realloc(w.graves, <size_t> more * sizeof(grave_t))
        if items == NULL:
            free(data)
            return
        w.graves = items
        w.grave_room = more
    w.graves[w.grave_count].data = data
    w.graves[w.grave_count].left = room
    w.grave_count += 1

cdef void buffers_turn(worker_t *w) noexcept nogil:
    """A turn's share of what is to be given back; then what the shared buffers have beyond their usual size."""
    cdef grave_t *grave
    cdef uint64_t first, last
    if w.grave_count > 0:
        grave = &w.graves[w.grave_count - 1]
        last = (<uint64_t> grave.data + grave.left) & ~<uint64_t> (PAGE_BYTES - 1)
        grave.left -= BURY_STEP if grave.left > BURY_STEP else grave.left
        first = (<uint64_t> grave.data + grave.left + PAGE_BYTES - 1) & ~<uint64_t> (PAGE_BYTES - 1)
        if last > first:
            madvise(<void *> first, last - first, MADV_DONTNEED)
        if grave.left == 0:
            free(grave.data)
            w.grave_count -= 1
    if w.out.room > OUT_SPARE and w.out.size == 0:
        buffer_free(w, w.out.data, w.out.room)
        memset(&w.out, 0, sizeof(out_t))
        out_grow(&w.out, FLUSH_AT * 2)
    if w.scratch.room > OUT_SPARE:
        buffer_free(w, w.scratch.data, w.scratch.room)
        memset(&w.scratch, 0, sizeof(out_t))
    parser_rest(&w.parser)
