# Included by csp/_fastpath.pyx after: state, transport.
# One connection of a worker: its row, its buffers, sending, back-pressure and its end.
#
# Invariants:
# 1. A handle names one connection for good: a stale one finds nothing.
# 2. Replies leave in order: while a connection has unsent bytes of its own, new ones go behind them.
# 3. A connection with more unsent than output_max executes nothing until the peer took some (WAIT_ROOM); what it
#    sends meanwhile is taken up to the size of one request.
# 4. Who ends its side first still gets all it asked for: the connection ends when nothing of it is under way.
# 5. A row of the session table has memory before it is touched: a full /dev/shm refuses a client and kills nobody.
# 6. Every list of connections holds handles and is checked when it is read, so closing needs no search.

cdef enum:
    SEND_SLICE = 65536              # of a connection's own queue a turn, so that one reader cannot hold a turn
    SEND_LONE = 524288              # and while nobody else asks for anything: a send costs by its number
    LONE_MS = 20                    # nobody else has asked for so long
    MANAGEMENT_RESERVE = 16         # connections that administrators still get when clients have all of theirs
    DISCOVERY_MAX = 1024            # of a port for discovery, of one worker: nobody signs in there
    DISCOVERY_PART = 4              # and of what all workers' clients may have, a quarter
    FEED_UNSENT_MAX = 524288        # above it a feed rests, and is told when it is below again: whatever output_max

FEED_UNSENT_BYTES_MAX = <int> FEED_UNSENT_MAX  # what the slow lane has to know

cdef inline uint64_t conn_unsent(csp_conn *c) noexcept nogil:
    """Unsent bytes of its own queue."""
    return c.out_size - c.out_head

cdef inline bint conn_owes(csp_conn *c) noexcept nogil:
    """Whether anything is unsent: of its own queue, of a message that it shares (rest.pxi), or encrypted (tls.pxi)."""
    return c.rest != NULL or c.out_size > c.out_head or c.flags & CSP_CONN_WIRE != 0

cdef inline uint32_t conn_input(csp_conn *c) noexcept nogil:
    """Bytes received and not executed."""
    return c.in_size - c.in_head

cdef inline bint conn_has_command(csp_conn *c) noexcept nogil:
    """Whether its input may hold a whole command."""
    return c.in_size > c.in_head and conn_input(c) >= c.in_need

cdef inline void conn_again(worker_t *w, csp_conn *c) noexcept nogil:
    if c.flags & CSP_CONN_QUEUED == 0:
        c.flags |= CSP_CONN_QUEUED
        handles_add(&w.again, conn_handle(w, c))

cdef inline void conn_dirty(worker_t *w, csp_conn *c) noexcept nogil:
    if c.flags & CSP_CONN_DIRTY == 0:
        c.flags |= CSP_CONN_DIRTY
        handles_add(&w.dirty, conn_handle(w, c))

cdef inline void conn_resume(worker_t *w, csp_conn *c, uint32_t wait) noexcept nogil:
    """One reason why its input waits is over: it is visited in the next turn."""
    c.waits &= ~wait
    cursor_due(w, c)
    conn_again(w, c)

cdef inline bint conn_lone(worker_t *w, csp_conn *c) noexcept nogil:
    """Whether the worker has had this connection alone to serve, so that a long turn delays nobody."""
    return w.lone_row == <uint32_t> (c - w.rows) and w.now_ms - w.lone_ms >= LONE_MS

cdef bint conn_fits(worker_t *w, uint32_t reserve) noexcept nogil:
    """Whether one more connection stays within what all workers together may have, and so many more."""
    cdef uint64_t total = w.connections
    cdef uint32_t i
    for i in range(w.workers):
        if i != w.slot:
            total += (<csp_stats *> w.control.counters[i]).connections
    return total < <uint64_t> w.limits.connections + reserve and w.connections < w.row_room

cdef inline bint discovery_fits(worker_t *w) noexcept nogil:
    """Whether one more may ask where to go: who does not sign in takes no places of those who do."""
    return w.discovering < DISCOVERY_MAX and w.discovering < w.limits.connections // DISCOVERY_PART + 1

cdef csp_conn *conn_take(worker_t *w, int fd, const listener_t *by) noexcept nogil:
    """A row for a new connection by this port; NULL when all are taken."""
    cdef csp_conn *c
    cdef uint32_t generation
    cdef uint32_t row = w.row_free
    if not conn_fits(w, MANAGEMENT_RESERVE if by.purpose == PORT_MANAGEMENT else 0):
        return NULL
    if by.purpose == PORT_SENTINEL and not discovery_fits(w):
        return NULL
    if row != UINT32_MAX:
        w.row_free = w.rows[row].next_free
    else:
        row = w.row_top
        if not table_back(w, &w.table_rows, SESSION_HEAD_BYTES + (<uint64_t> row + 1) * sizeof(csp_client)):
            return NULL
        w.row_top += 1
        w.row_top_shown[0] = w.row_top
    c = &w.rows[row]
    generation = c.generation + 1
    memset(c, 0, sizeof(csp_conn))
    c.generation = generation
    c.fd = fd
    c.active_ms = w.now_ms
    if by.purpose == PORT_HA_SYNC:
        c.flags |= CSP_CONN_PEER_FIRST
    elif by.purpose == PORT_SENTINEL:
        c.flags |= CSP_CONN_DISCOVERY
        w.discovering += 1
    w.next_id[0] += 1
    c.id = (w.next_id[0] << 6) | w.slot
    client_open(w, c)
    client_of(w, c).came_by = by.port
    w.connections += 1
    w.unsigned_count += 1
    w.stats.connections = w.connections
    return c

cdef void conn_free(worker_t *w, csp_conn *c, uint16_t why) noexcept nogil:
    """Ends the connection now, whatever is unsent, and why (CSP_END_*)."""
    if c.id == 0:
        return
    if c.end == 0:
        c.end = why
    if c.flags & CSP_CONN_KNOWN:
        slow_closed(w, conn_handle(w, c), c.end)
    if c.track != NULL:
        tracking_gone(w, c)
    watch_drop(w, c)
    rest_drop(w, c)
    job_drop(w, c)
    if c.flags & CSP_CONN_TLS:
        tls_end(w, c)
    close(c.fd)
    if c.address_row != 0:
        address_leave(w, c)
    if c.flags & CSP_CONN_SIGNED_IN == 0:
        w.unsigned_count -= 1
    if c.flags & CSP_CONN_DISCOVERY:
        w.discovering -= 1
    if c.flags & CSP_CONN_FEED:
        w.stats.feeds -= 1
    if c.blocked_ms != 0:
        w.blocked_count -= 1
    conn_in_empty(w, c)
    if c.out != NULL:
        w.queue_bytes -= conn_unsent(c)
        buffer_free(w, c.out, c.out_room)
        w.stats.buffers -= 1
    client_of(w, c).id = 0
    c.out = NULL
    c.id = 0
    c.flags = 0
    c.waits = 0
    account_leave(w, c.account)
    c.next_free = w.row_free
    w.row_free = <uint32_t> (c - w.rows)
    w.connections -= 1
    w.stats.connections = w.connections

cdef void conn_close(worker_t *w, csp_conn *c, uint16_t why) noexcept nogil:
    """Ends the connection after what is queued has been sent."""
    if c.waits & CSP_WAIT_END == 0:
        c.end = why
        c.waits |= CSP_WAIT_END
        if conn_owes(c):
            conn_blocked(w, c)      # pushed messages too: who takes nothing would else stay for good
        conn_dirty(w, c)

cdef inline bint conn_over(csp_conn *c) noexcept nogil:
    """Whether nothing more is to come of it: it was closed, or its peer has ended and was answered."""
    if conn_owes(c):
        return False
    if c.waits & CSP_WAIT_END:
        return True
    return c.flags & CSP_CONN_ENDED and c.waits == 0 and c.flags & (CSP_CONN_QUEUED | CSP_CONN_READY) == 0 \
        and not conn_has_command(c)

cdef int conn_settle(worker_t *w, csp_conn *c) noexcept nogil:
    """Ends a connection of which nothing more is to come: -1."""
    if conn_over(c):
        conn_free(w, c, CSP_END_PEER)
        return -1
    return 0

# ---- what it has received ----

cdef void conn_in_empty(worker_t *w, csp_conn *c) noexcept nogil:
    if c.in_ != NULL:
        buffer_free(w, c.in_, c.in_room)
        conn_give_input(w, c)

cdef void conn_give_input(worker_t *w, csp_conn *c) noexcept nogil:
    """Its input's buffer is somebody else's from now on."""
    w.stats.buffers -= 1
    c.in_ = NULL
    c.in_size = 0
    c.in_room = 0
    c.in_head = 0
    c.in_need = 0

cdef bint conn_in_room(worker_t *w, csp_conn *c, uint32_t least) noexcept nogil:
    """Makes room behind what is kept: as much again, so that a large command is looked at few times."""
    cdef uint32_t kept = conn_input(c)
    cdef uint64_t more = kept if kept > least else least
    cdef char *grown
    if c.in_head > 0 and (c.in_head >= kept or c.in_size + more + PARSE_PAD > c.in_room):
        memmove(c.in_, c.in_ + c.in_head, kept)
        c.in_head = 0
        c.in_size = kept
    if c.in_size + more + PARSE_PAD <= c.in_room:
        return True
    grown = <char *> realloc(c.in_, c.in_size + more + PARSE_PAD)
    if grown == NULL:
        return False
    w.stats.buffers += c.in_ == NULL
    c.in_ = grown
    c.in_room = <uint32_t> (c.in_size + more + PARSE_PAD)
    return True

cdef bint conn_keep(worker_t *w, csp_conn *c, const char *at, uint64_t size, bint own) noexcept nogil:
    """Keeps what was received but not consumed."""
    cdef char *kept
    if size == 0:
        conn_in_empty(w, c)
        return True
    if own:
        c.in_head = <uint32_t> (at - c.in_)
        return True
    kept = <char *> malloc(size + PARSE_PAD)
    if kept == NULL:
        return False
    memcpy(kept, at, size)
    c.in_ = kept
    c.in_size = <uint32_t> size
    c.in_room = <uint32_t> (size + PARSE_PAD)
    w.stats.buffers += 1
    return True

# ---- what it is to be sent ----

cdef bint conn_queue(worker_t *w, csp_conn *c, const char *data, uint64_t size) noexcept nogil:
    """Puts bytes behind the connection's own unsent ones."""
    cdef uint64_t unsent = c.out_size - c.out_head
    cdef uint64_t room
    cdef char *grown
    if size == 0:
        return True
    if c.out == NULL:
        room = (size + 63) & ~<uint64_t> 63
        c.out = <char *> malloc(room)
        if c.out == NULL:
            return False
        c.out_room = room
        c.out_head = 0
        c.out_size = 0
        w.stats.buffers += 1
    elif c.out_size + size > c.out_room:
        if c.out_head >= unsent and unsent + size <= c.out_room:
            memcpy(c.out, c.out + c.out_head, unsent)
        else:
            room = c.out_room * 2
            if room < unsent + size:
                room = unsent + size
            grown = <char *> malloc(room)
            if grown == NULL:
                return False
            memcpy(grown, c.out + c.out_head, unsent)
            buffer_free(w, c.out, c.out_room)
            c.out = grown
            c.out_room = room
        c.out_head = 0
        c.out_size = unsent
    memcpy(c.out + c.out_size, data, size)
    c.out_size += size
    w.queue_bytes += size
    conn_blocked(w, c)
    return True

cdef inline void conn_blocked(worker_t *w, csp_conn *c) noexcept nogil:
    """It has unsent bytes: from now on the peer must take some now and then."""
    if c.blocked_ms == 0:
        c.blocked_ms = w.now_ms
        w.blocked_count += 1

cdef inline void conn_taken(worker_t *w, csp_conn *c) noexcept nogil:
    """Its peer has taken all there was."""
    if c.blocked_ms != 0 and c.flags & CSP_CONN_WIRE == 0:
        c.blocked_ms = 0
        w.blocked_count -= 1

cdef void conn_out_empty(worker_t *w, csp_conn *c) noexcept nogil:
    w.queue_bytes -= conn_unsent(c)
    buffer_free(w, c.out, c.out_room)
    w.stats.buffers -= 1
    c.out = NULL
    c.out_head = 0
    c.out_size = 0
    c.out_room = 0
    conn_taken(w, c)

cdef inline void conn_stall(worker_t *w, csp_conn *c) noexcept nogil:
    """Lets its requests wait while too much is unsent."""
    if conn_unsent(c) > w.limits.output_max and c.waits & CSP_WAIT_ROOM == 0:
        c.waits |= CSP_WAIT_ROOM
        w.stats.stalls += 1

cdef int conn_drain(worker_t *w, csp_conn *c) noexcept nogil:
    """Sends from its rest, then from its own queue; -1 when the connection is gone."""
    cdef uint64_t before = conn_unsent(c)
    cdef uint64_t want = SEND_LONE if conn_lone(w, c) else SEND_SLICE
    cdef int64_t sent
    cdef int rest
    if c.flags & CSP_CONN_WIRE and not conn_drain_wire(w, c):
        return -1 if c.id == 0 else 0
    rest = rest_send(w, c)
    if rest < 0:
        return -1
    if before > 0 and rest == 1:
        if want > before:
            want = before
        sent = conn_send(w, c, c.out + c.out_head, want)
        if sent < 0:
            conn_free(w, c, CSP_END_BROKEN)
            return -1
        if sent > 0:
            c.out_head += sent
            w.queue_bytes -= <uint64_t> sent
            c.blocked_ms = w.now_ms
            if c.out_head == c.out_size:
                conn_out_empty(w, c)
            elif c.flags & CSP_CONN_FULL == 0:
                conn_again(w, c)
        if c.flags & CSP_CONN_FEED and before > FEED_UNSENT_MAX and conn_unsent(c) <= FEED_UNSENT_MAX:
            slow_writable(w, conn_handle(w, c))
            if c.id == 0:
                return -1
    if c.waits & CSP_WAIT_ROOM and conn_unsent(c) <= w.limits.output_max:
        conn_resume(w, c, CSP_WAIT_ROOM)
    if not conn_owes(c):
        notice_waiting(w, c)
        cursor_due(w, c)
    return conn_settle(w, c)

cdef bint conn_drain_wire(worker_t *w, csp_conn *c) noexcept nogil:
    """Sends what was encrypted before; False while some is left, or where the connection is gone."""
    cdef int left = wire_send_left(w, c)
    if left < 0:
        conn_free(w, c, CSP_END_BROKEN)
    elif left > 0 and not conn_owes(c):
        conn_taken(w, c)
    return left > 0

cdef int conn_flush(worker_t *w, csp_conn *c) noexcept nogil:
    """Sends the worker's buffer, which holds replies of this connection; -1 when the connection is gone."""
    cdef int64_t sent = 0
    if w.out.failed:
        w.out.failed = False
        w.out.size = 0
        conn_free(w, c, CSP_END_MEMORY)
        return -1
    if w.out.size > 0:
        if not conn_owes(c):
            sent = conn_send(w, c, w.out.data, w.out.size)
        if sent < 0 or (<uint64_t> sent < w.out.size
                        and not conn_queue(w, c, w.out.data + sent, w.out.size - sent)):
            w.out.size = 0
            conn_free(w, c, CSP_END_BROKEN if sent < 0 else CSP_END_MEMORY)
            return -1
        w.out.size = 0
        if c.out_size > 0 and c.flags & CSP_CONN_FULL == 0:
            conn_dirty(w, c)
    conn_stall(w, c)
    return conn_settle(w, c)

cdef int conn_set_aside(worker_t *w, csp_conn *c) noexcept nogil:
    """Moves the worker's buffer behind the connection's own bytes without sending: Python may push next."""
    cdef bint done = not w.out.failed and conn_queue(w, c, w.out.data, w.out.size)
    w.out.size = 0
    w.out.failed = False
    if not done:
        conn_free(w, c, CSP_END_MEMORY)
        return -1
    if conn_unsent(c) > 0:
        conn_dirty(w, c)            # Python may answer much later
    return 0
