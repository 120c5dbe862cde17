# Included by csp/_fastpath.pyx after: conn, clients.
# Takes what clients have sent: one receive a connection and turn, into the shared inbox or the connection's own.
#
# Invariants:
# 1. With edges nothing may be forgotten: a connection with bytes left in the socket or in its buffer is READABLE
#    or in `again`.
# 2. What a connection sends while it waits for its own client (WAITS_FOR_CLIENT) is kept up to the size of one
#    request (before sign-in of the largest there is then); while it waits for the server nothing is received.
# 3. A second input of one turn would overtake the first: who is READY is not received from.

cdef enum:
    EVENTS = 128                    # of a poll
    RECV_SLICE = 16384              # of a connection a turn
    RECV_LARGE = 262144             # of one whose request is large: its room grows with it
    INBOX_BYTES = 1048576
    READY_MAX = 256
    KIND_CONN = 0                   # whose event it is, in the upper bits of epoll's word
    KIND_LISTENER = 1
    KIND_WAKE = 2
    KIND_PYTHON = 3

cdef inline void ready_add(worker_t *w, csp_conn *c, bint own, const char *at, const char *end) noexcept nogil:
    cdef ready_t *r = &w.ready[w.ready_count]
    r.row = <uint32_t> (c - w.rows)
    r.own = own
    r.at = at
    r.end = end
    if c.flags & CSP_CONN_TRACKING:
        csp_prefetch(c.subs)        # its answer asks for both
        csp_prefetch(c.track)
    csp_prefetch(&w.accounts.items[c.account])
    c.flags |= CSP_CONN_READY
    w.ready_count += 1

cdef inline bint turn_full(worker_t *w) noexcept nogil:
    return w.ready_count >= READY_MAX or INBOX_BYTES - w.inbox_size < RECV_SLICE

cdef inline uint64_t input_max(worker_t *w, csp_conn *c) noexcept nogil:
    """Bytes of input that are kept while it waits: a request's, before sign-in as much as one may have then."""
    return w.limits.request_bytes if c.flags & CSP_CONN_SIGNED_IN else PARSE_UNSIGNED_ARGS * PARSE_UNSIGNED_BYTES

cdef inline bint may_receive(worker_t *w, csp_conn *c) noexcept nogil:
    """Whether there is a place for what it sends now."""
    if c.waits == 0:
        return True
    return c.waits & ~CSP_WAITS_FOR_CLIENT == 0 and conn_input(c) < input_max(w, c)

cdef void receive(worker_t *w, csp_conn *c) noexcept nogil:
    """One receive; what came waits in `ready` for the pin, or in the connection's own buffer for its client."""
    cdef int64_t got
    cdef uint64_t asked
    cdef char *into
    cdef bint own = c.in_size > 0 or c.waits != 0
    if own:
        if not conn_in_room(w, c, RECV_SLICE):
            conn_free(w, c, CSP_END_MEMORY)
            return
        into = c.in_ + c.in_size
        asked = c.in_room - c.in_size - PARSE_PAD
        if asked > RECV_LARGE:
            asked = RECV_LARGE
    else:
        asked = INBOX_BYTES - w.inbox_size
        if asked > RECV_SLICE:
            asked = RECV_SLICE
        into = w.inbox + w.inbox_size
    got = conn_recv(w, c, into, asked)
    if got <= 0:
        receive_nothing(w, c, got)
        return
    c.active_ms = w.now_ms
    if c.flags & CSP_CONN_READABLE:
        conn_again(w, c)
    if own:
        c.in_size += <uint32_t> got
        if c.waits == 0 and conn_has_command(c):
            ready_add(w, c, True, c.in_ + c.in_head, c.in_ + c.in_size)
        return
    ready_add(w, c, False, into, into + got)
    w.inbox_size += (<uint64_t> got + PARSE_PAD + 63) & ~<uint64_t> 63

cdef void receive_nothing(worker_t *w, csp_conn *c, int64_t got) noexcept nogil:
    """Nothing came: the connection's end, its peer's, or just now."""
    if c.in_size == c.in_head:
        conn_in_empty(w, c)
    if got == 0:
        if c.flags & CSP_CONN_READABLE:
            conn_again(w, c)                # its handshake waits for the next turn
        return
    if got == IO_BROKEN:
        conn_free(w, c, CSP_END_BROKEN)
        return
    c.flags |= CSP_CONN_ENDED
    conn_settle(w, c)

cdef void on_socket(worker_t *w, csp_conn *c, uint32_t events) noexcept nogil:
    """An edge of a connection's socket."""
    if events & (EPOLLHUP | EPOLLERR) or (events & EPOLLRDHUP and c.flags & CSP_CONN_FEED):
        conn_free(w, c, CSP_END_BROKEN if events & (EPOLLHUP | EPOLLERR) else CSP_END_PEER)
        return
    if events & EPOLLOUT and c.flags & CSP_CONN_FULL:
        c.flags &= ~CSP_CONN_FULL
        conn_dirty(w, c)
    if events & (EPOLLIN | EPOLLRDHUP) == 0 or c.flags & CSP_CONN_ENDED:
        return
    c.flags |= CSP_CONN_READABLE
    if events & EPOLLRDHUP:
        c.flags |= CSP_CONN_ENDING          # said once only: the end itself is read in a later turn
    # What is queued is visited in this turn.
    if c.flags & (CSP_CONN_QUEUED | CSP_CONN_PREFACE) or not may_receive(w, c):
        if c.flags & CSP_CONN_PREFACE:
            preface_receive(w, c)
        return
    if turn_full(w):
        conn_again(w, c)
        return
    receive(w, c)

cdef void visit(worker_t *w, csp_conn *c) noexcept nogil:
    """One that the turn before left with something to do."""
    if conn_owes(c) and c.flags & CSP_CONN_FULL == 0:
        conn_dirty(w, c)
    if c.waits != 0:
        if c.flags & CSP_CONN_READABLE and may_receive(w, c):
            receive(w, c)
    elif turn_full(w) or c.flags & CSP_CONN_READY:
        conn_again(w, c)
    elif conn_has_command(c):
        ready_add(w, c, True, c.in_ + c.in_head, c.in_ + c.in_size)
        if c.flags & CSP_CONN_READABLE:
            conn_again(w, c)
    elif c.flags & CSP_CONN_PREFACE:
        preface_receive(w, c)
    elif c.flags & CSP_CONN_READABLE:
        receive(w, c)
    else:
        conn_settle(w, c)

cdef void visit_again(worker_t *w, uint32_t count) noexcept nogil:
    """The connections of `again`; `count` of them were there when the turn began."""
    cdef csp_conn *c
    cdef uint32_t i
    for i in range(count):
        c = conn_of(w, w.again.items[i])
        if c == NULL:
            continue
        c.flags &= ~CSP_CONN_QUEUED
        visit(w, c)
    memmove(w.again.items, w.again.items + count, (w.again.count - count) * sizeof(uint64_t))
    w.again.count -= count
