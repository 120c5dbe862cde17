# Included by csp/_fastpath.pyx after: clock, deliver, job.
# In checked builds (CSP_CHECKED, CSP_DEBUG) ends the process after a turn that left a connection nobody would wake.
#
# Invariants:
# 1. What is asked here is the table of conn.h, and cursor.pxi 3: each wait has its waker, each output its edge or its
#    place in a list, each input its visit.
# 2. Other builds ask nothing: the call folds away.

cdef extern from *:
    """
    #if defined(CSP_CHECKED) || defined(CSP_DEBUG)
    #define CSP_CHECKING 1
    #else
    #define CSP_CHECKING 0
    #endif
    """
    bint CSP_CHECKING

cdef extern from "<stdio.h>" nogil:
    ctypedef struct FILE:
        pass
    FILE *stderr
    int fprintf(FILE *stream, const char *form, ...)

cdef extern from "<stdlib.h>" nogil:
    void abort()

cdef bint is_waiting(worker_t *w, csp_conn *c) noexcept nogil:
    cdef uint32_t i
    for i in range(w.waiting_count):
        if w.waiting[i].handle == conn_handle(w, c):
            return True
    return False

cdef bint is_listed(const handles_t *list_, uint64_t handle) noexcept nogil:
    cdef uint32_t i
    for i in range(list_.count):
        if list_.items[i] == handle:
            return True
    return False

cdef const char *unwoken(worker_t *w, csp_conn *c) noexcept nogil:
    """What of the connection would stand for ever; NULL: nothing."""
    cdef bint visited = c.flags & CSP_CONN_QUEUED != 0
    cdef cursor_t *cursor
    if c.waits & CSP_WAIT_REVISION and not is_waiting(w, c):
        return b"a read waits for a revision, and is in no list"
    if c.waits & CSP_WAIT_CURSOR and not is_listed(&w.deliver.resting, conn_handle(w, c)):
        return b"a read waits for its cursor, and is in no list"
    if c.waits & CSP_WAIT_JOB and c.job == NULL:
        return b"it waits for a job that is not there"
    if c.waits & CSP_WAIT_ROOM and conn_unsent(c) == 0:
        return b"it waits for room, and nothing is unsent"
    if (conn_owes(c) or c.waits & CSP_WAIT_END) \
            and c.flags & (CSP_CONN_FULL | CSP_CONN_DIRTY) == 0 and not visited:
        return b"it has something to send, and nobody sends it"
    if c.waits == 0 and not visited and (conn_has_command(c) or c.flags & CSP_CONN_READABLE):
        return b"it has input, and nobody looks at it"
    if c.flags & CSP_CONN_ENDED and conn_over(c):
        return b"its peer has ended and all is answered, and it is still there"
    if c.track != NULL and track_of(c).options & TRACK_ON and track_of(c).options & TRACK_DUE == 0 \
            and track_waits(track_of(c)) and not target_full(c) and not conn_held(c) and not tracking_held(w, c):
        return b"what it has read has changed, and nobody tells it"
    if c.subs != NULL:
        cursor = &(<subs_t *> c.subs).cursor
        if cursor.placed and not cursor.due and cursor.state <= CURSOR_LOST and not conn_held(c):
            return b"its cursor is behind, and is not due"
        if cursor.state == CURSOR_AWAITS and not is_listed(&w.deliver.awaiting, conn_handle(w, c)):
            return b"its cursor awaits a revision, and is in no list"
        if cursor.state == CURSOR_RESTS and subs_count(c) >= (<subs_t *> c.subs).start.needs:
            return b"its cursor rests, and has all its subscriptions"
    return NULL

cdef void turn_check(worker_t *w) noexcept nogil:
    cdef const char *why
    cdef uint32_t i
    for i in range(w.row_top):
        why = unwoken(w, &w.rows[i]) if w.rows[i].id != 0 else NULL
        if why != NULL:
            fprintf(stderr, b"connection %llu: %s (waits %u, flags %u)\n", <unsigned long long> w.rows[i].id, why,
                    w.rows[i].waits, w.rows[i].flags)
            abort()
