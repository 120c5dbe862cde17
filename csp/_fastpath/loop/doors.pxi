# Included by csp/_fastpath.pyx after: listen, slow, cursor, notice.
# Ports for clients that are opened and shut while the server runs, drains, and how those leave who have to.
#
# Invariants:
# 1. Whether a port is open says its socket, which the supervisor opens and shuts. A shut one is never in the poll,
#    where it would be ready for ever. All are looked at when the word `doors` of the control segment has changed,
#    which comes with a ring; no turn asks for it.
# 2. Who came by a port for clients that was shut leaves as soon as nothing of it is under way, and is cut off
#    LEAVE_MS_MAX after the shutting.
# 3. In a drain each leaves at a moment of its own, the moments spread evenly over the first LEAVE_SPREAD per cent of
#    it. Who hears notices was told its moment and goes by itself; the server closes such a one at the drain's end.
# 4. Who comes while it lasts leaves at its end; of those who come behind that only administrators stay.

cdef enum:
    LEAVE_MS_MAX = 2000             # for what is under way when everybody has to go
    LEAVE_SPREAD = 75               # per cent of a drain; the rest is for those who were told to move last
    LEAVE_TO_MAX = 256              # bytes of the address to go to
    LEAVE_A_LOOK = 32               # between two looks at the turn's budget

cdef inline bint is_for_clients(const listener_t *by) noexcept nogil:
    return by.purpose == PORT_CLIENTS or by.purpose == PORT_USER_INTERFACE

cdef bint socket_listens(int fd) noexcept nogil:
    cdef int found = 0
    cdef socklen_t size = sizeof(found)
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &found, &size) == 0 and found != 0

cdef void listener_poll(worker_t *w, uint32_t number, bint on) noexcept nogil:
    """Puts a port into the poll or takes it out; one that can't be put in stays marked shut."""
    cdef listener_t *by = &w.listeners[number]
    if on == by.open:
        return
    if on:
        by.open = poll_add(w.epoll, by.fd, EPOLLIN, KIND_LISTENER, number) == 0
        return
    epoll_ctl(w.epoll, EPOLL_CTL_DEL, by.fd, NULL)
    by.open = False
    by.shut_ms = w.now_ms

cdef void doors_look(worker_t *w) noexcept nogil:
    """Follows the supervisor: which ports are open, and whether the server drains."""
    cdef uint32_t i
    cdef bint shuts = False
    cdef bint open_
    w.doors = csp_load(&w.control.doors)
    if w.draining:
        return
    for i in range(w.listener_count):
        open_ = socket_listens(w.listeners[i].fd)
        shuts = shuts or (w.listeners[i].open and not open_)
        listener_poll(w, i, open_)
    if drain_look(w) or shuts:
        leave_begin(w)

cdef bint drain_look(worker_t *w) noexcept nogil:
    """Takes begin and end of the drain; whether it is another one than before."""
    cdef int64_t before = w.leave_until
    cdef int64_t begin = <int64_t> csp_load(&w.control.drain_from)
    cdef int64_t shift
    if begin == 0:
        w.leave_from = 0
        w.leave_until = 0
        return False
    shift = clock_ms() - clock_ns(CLOCK_BOOTTIME) // 1000000
    w.leave_from = begin + shift
    w.leave_until = <int64_t> csp_load(&w.control.drain_until) + shift
    # Rounding of two clocks; a drain that was begun anew ends at least a little later.
    return not before - 2 <= w.leave_until <= before + 2

cdef int64_t leave_at(worker_t *w, csp_conn *c) noexcept nogil:
    """From when on it is closed once nothing of it is under way; INT64_MAX: it may stay."""
    cdef listener_t *by = &w.listeners[c.listener]
    if w.draining:
        return 0
    if not is_for_clients(by):
        return INT64_MAX
    if not by.open:
        return 0
    if w.leave_until == 0:
        return INT64_MAX
    if client_of(w, c).created_ms > w.leave_until:
        if c.flags & CSP_CONN_SIGNED_IN == 0:
            return INT64_MAX - 1        # it is to be seen who it is
        return INT64_MAX if session_may(w, c) & CSP_CONN_ADMINISTRATOR else 0
    if c.leave_after == 0 or c.flags & CSP_CONN_MOVES:
        return w.leave_until
    return w.leave_from + c.leave_after - 1

cdef int64_t leave_at_last(worker_t *w, csp_conn *c) noexcept nogil:
    """When one that leaves is cut off, whatever is under way."""
    cdef listener_t *by = &w.listeners[c.listener]
    if w.draining:
        return INT64_MAX                # the supervisor sees to it
    return (by.shut_ms if not by.open else w.leave_until) + LEAVE_MS_MAX

cdef void leave_begin(worker_t *w) noexcept nogil:
    """Gives each that has to leave its moment, and tells those who hear notices."""
    cdef uint64_t span = 0
    cdef uint32_t i, count = 0, place = 0
    cdef csp_conn *c
    cdef int64_t at
    w.leaving = True
    w.leave_row = 0
    w.leave_seen = False
    w.tick_ms = w.now_ms
    slow_moving(w)
    for i in range(w.row_top):
        c = &w.rows[i]
        c.leave_after = 0
        c.flags &= ~CSP_CONN_MOVES
        count += c.id != 0 and leave_at(w, c) != INT64_MAX
    if w.leave_until > w.leave_from:
        span = <uint64_t> (w.leave_until - w.leave_from) * LEAVE_SPREAD // 100
    for i in range(w.row_top):
        c = &w.rows[i]
        if c.id == 0 or leave_at(w, c) == INT64_MAX:
            continue
        c.leave_after = <uint32_t> (1 + span * (2 * place + 1) // (2 * count))  # amid its share of the time
        place += 1
        at = leave_at(w, c)
        notice_moving(w, c, at - w.now_ms if at > w.now_ms else 0)

cdef void notice_moving(worker_t *w, csp_conn *c, int64_t ms) noexcept nogil:
    """Tells one connection that hears it when to move, and where to."""
    cdef node_t *node = NULL
    cdef char payload[LEAVE_TO_MAX + 64]
    cdef uint32_t size
    if c.flags & CSP_CONN_MAINT and c.flags & CSP_CONN_RESP3:
        moving_push(w, c, ms)
        return
    if c.subs == NULL:
        return
    node = notice_node(w, c)
    if node == NULL and not ((<subs_t *> c.subs).start.used and c.flags & CSP_CONN_RESP3):
        return
    size = put_text(payload, b'{"op":"moving","ms":', 20)
    size += put_decimal(payload + size, <uint64_t> ms)
    size += put_text(payload + size, b',"to":"', 7)
    size += put_text(payload + size, w.leave_to, w.leave_to_size)
    size += put_text(payload + size, b'"}', 2)
    c.flags |= CSP_CONN_MOVES
    notice_queue(w, c, node, payload, size)

cdef void moving_push(worker_t *w, csp_conn *c, int64_t ms) noexcept nogil:
    """The same as clients of Redis Enterprise know it: `MOVING`, a number of the move, seconds, and where to."""
    w.scratch.size = 0
    out_bytes(&w.scratch, b">4\r\n$6\r\nMOVING\r\n", 16)
    out_head(&w.scratch, c':', <int64_t> w.doors)
    out_head(&w.scratch, c':', (ms + 999) // 1000 if ms > 0 else 1)
    if w.leave_to_size > 0 and c.flags & CSP_CONN_MAINT_BARE == 0:
        out_head(&w.scratch, c'$', w.leave_to_size)
        out_bytes(&w.scratch, w.leave_to, w.leave_to_size)
        out_bytes(&w.scratch, b"\r\n", 2)
    else:
        out_bytes(&w.scratch, b"_\r\n", 3)
    if w.scratch.failed or not conn_queue(w, c, w.scratch.data, w.scratch.size):
        w.scratch.failed = False
        return                          # it goes unasked, as those do that were not told
    c.flags |= CSP_CONN_MOVES
    conn_dirty(w, c)

cdef inline bint leave_may(worker_t *w, csp_conn *c) noexcept nogil:
    """Whether nothing of it is under way."""
    return c.waits == 0 and not conn_owes(c) and c.in_size == 0 and c.flags & CSP_CONN_READABLE == 0 \
        and (c.flags & CSP_CONN_MULTI == 0 or w.draining) and cursor_is_told(w, c)

cdef void leave_turn(worker_t *w) noexcept nogil:
    """Closes those whose moment has come; where the turn has no time for all, the next one goes on."""
    cdef csp_conn *c
    cdef int64_t at
    while w.leave_row < w.row_top:
        c = &w.rows[w.leave_row]
        w.leave_row += 1
        if c.id != 0:
            at = leave_at(w, c)
            w.leave_seen = w.leave_seen or at != INT64_MAX
            if at <= w.now_ms and (leave_may(w, c) or w.now_ms >= leave_at_last(w, c)):
                if not w.draining:
                    w.stats.drained += 1
                conn_free(w, c, CSP_END_STOP if w.draining else CSP_END_LEFT)
        if w.leave_row % LEAVE_A_LOOK == 0 and turn_over(w):
            w.tick_ms = w.now_ms
            return
    w.leave_row = 0
    w.leaving = w.draining or w.leave_seen or w.now_ms < w.leave_until
    w.leave_seen = False
