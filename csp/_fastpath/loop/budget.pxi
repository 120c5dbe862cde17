# Included by csp/_fastpath.pyx after: state.
# One budget a turn: so much CPU that delivery, pages, EXEC, MGET, accepting and slow calls share.
#
# Whoever works by the piece does one piece, asks turn_over(), and leaves the rest for the next turn when that is so.
#
# Invariants:
# 1. What counts is CPU of this thread, not time: a turn that was pushed aside by other processes is not over.
# 2. Wall time passes at least as fast as CPU is used. So the system call that tells CPU is made at the first question
#    of a turn, and again only when so much wall time has passed as was left; in between a question costs a
#    look at the clock, without a system call.
# 3. A turn in which nobody asks costs two looks at the clock and no system call.
# 4. turn_over() never says so before some work of the turn could be done by whoever asks after it: every room does one
#    piece first, so each turn brings each of them on.

# Rooms come in the order of the turn, each up to a share of it, so that none that comes later is left without;
# what is left at the end is for the one piece that ends behind its share.
cdef enum:
    SHARE_FEED = 25                 # changes for other servers, from which theirs are served
    SHARE_DELIVER = 50              # per cent of the turn: pushes, while others wait for replies,
    SHARE_DELIVER_ALONE = 60        # and while nobody does: a walk may end a piece of 2 ms behind its share
    SHARE_ANSWER = 70
    SHARE_REST = 80                 # pages and EXEC, slow calls, queued output, accepting
    TURN_HEAVY = 16                 # sockets with something to do: then one more system call to begin with is nothing

cdef inline int64_t clock_ns(int clock) noexcept nogil:
    cdef timespec now
    clock_gettime(clock, &now)
    return <int64_t> now.tv_sec * 1000000000 + now.tv_nsec

cdef inline int64_t clock_ms() noexcept nogil:
    return clock_ns(CLOCK_MONOTONIC) // 1000000

cdef void turn_weigh(worker_t *w) noexcept nogil:
    """Learns how much CPU the turn has used, and until when it needn't be asked again."""
    cdef turn_t *t = &w.turn
    cdef int64_t wall = clock_ns(CLOCK_MONOTONIC)
    cdef int64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID)
    cdef int64_t before
    if not t.weighed:
        t.weighed = True
        before = wall - t.wall_begun        # at most; never more than since CPU was looked at last
        t.cpu_begun = cpu - before if cpu - before > t.cpu_seen else t.cpu_seen
    t.cpu_seen = cpu
    t.over = cpu - t.cpu_begun >= t.share_ns
    t.look_at = wall + t.share_ns - (cpu - t.cpu_begun)

cdef inline void turn_begin(worker_t *w, uint32_t events) noexcept nogil:
    """Events: what the poll brought; a turn with many is weighed from its start."""
    w.turn.wall_begun = clock_ns(CLOCK_MONOTONIC)
    w.now_ms = w.turn.wall_begun // 1000000
    w.turn.weighed = False
    w.turn.over = False
    w.turn.look_at = 0
    w.turn.share_ns = w.limits.turn_ns
    if events >= TURN_HEAVY:
        turn_weigh(w)

cdef inline void turn_share(worker_t *w, int64_t percent) noexcept nogil:
    """From here on the turn is over when so much of it is used."""
    cdef int64_t share = w.limits.turn_ns * percent // 100
    w.turn.look_at += share - w.turn.share_ns
    w.turn.share_ns = share
    w.turn.over = False

cdef inline bint turn_over(worker_t *w) noexcept nogil:
    """Whether the turn has used its CPU: what is left is for the next one."""
    if w.turn.over:
        return True
    if w.turn.weighed and clock_ns(CLOCK_MONOTONIC) < w.turn.look_at:
        return False
    turn_weigh(w)
    return w.turn.over

cdef inline void turn_end(worker_t *w) noexcept nogil:
    """Keeps the longest turn; only one that may be it is weighed."""
    cdef int64_t used = clock_ns(CLOCK_MONOTONIC) - w.turn.wall_begun
    if used // 1000 <= <int64_t> w.stats.longest_turn_us:
        return
    turn_weigh(w)
    used = (w.turn.cpu_seen - w.turn.cpu_begun) // 1000
    if used > <int64_t> w.stats.longest_turn_us:
        w.stats.longest_turn_us = <uint64_t> used
