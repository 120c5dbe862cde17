# Included by csp/_fastpath.pyx after: retire. Knows which reader holds memory back, and since when.
#
# Invariants:
# 1. Only an announcement older than the present epoch holds memory; it does so from the moment at which
#    the epoch moved on, whatever the reader did before: one that announces anew announces a newer epoch.
# 2. It is the writer that looks, between its changes; readers pay nothing for it.

cdef int64_t store_clock_ms() noexcept nogil:
    """The monotonic clock, of which the ages of announcements are told."""
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1000 + now.tv_nsec / 1000000

cdef int64_t store_wall_ms() noexcept nogil:
    """Milliseconds UTC, to a tick of the kernel: ages of log entries are told by it."""
    cdef timespec now
    clock_gettime(CLOCK_REALTIME_COARSE, &now)
    return now.tv_sec * 1000 + now.tv_nsec / 1000000

cdef int64_t pins_passed(const csp_pins_t *pins, uint64_t seen, int64_t now_ms) noexcept nogil:
    """When the epoch was first seen to be newer than `seen`."""
    cdef int64_t since = now_ms
    cdef uint64_t i = pins.moved
    while i and pins.moved - i < EPOCH_TIMES:
        i -= 1
        if pins.epochs[i % EPOCH_TIMES] <= seen:
            break
        since = pins.times_ms[i % EPOCH_TIMES]
    return since

cdef void pins_watch(csp_writer_t *w, int64_t now_ms) noexcept nogil:
    """Looks at all slots; the writer's clock calls it."""
    cdef csp_pins_t *pins = &w.pins
    cdef uint64_t epoch = csp_load(&w.store.control.epoch)
    cdef uint64_t seen
    cdef int i
    if pins.moved == 0 or pins.epochs[(pins.moved - 1) % EPOCH_TIMES] != epoch:
        pins.epochs[pins.moved % EPOCH_TIMES] = epoch
        pins.times_ms[pins.moved % EPOCH_TIMES] = now_ms
        pins.moved += 1
    for i in range(CSP_SLOTS):
        seen = csp_load_all(&w.store.control.slots[i].seen)
        if seen == 0 or seen >= epoch:
            pins.since_ms[i] = 0
        elif seen != pins.seen[i] or pins.since_ms[i] == 0:
            pins.since_ms[i] = pins_passed(pins, seen, now_ms)
        pins.seen[i] = seen
