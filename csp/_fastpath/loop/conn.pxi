# Included by csp/_fastpath.pyx after: parse, reply.
# One connection of a worker: its row, its buffers, sending, back-pressure and its end; and the worker's own state.
#
# Invariants:
# 1. A handle names one connection for good: a stale one finds nothing.
# 2. Replies leave in order: while a connection has unsent bytes of its own, new ones go behind them.
# 3. A connection with more unsent than output_max is not read from until it took some (STALLED).
# 4. Every list of connections holds handles and is checked when it is read, so closing needs no search.

cdef enum:
    HANDLE_ROWS = 1 << 20           # rows a handle can tell apart; far above any RLIMIT_NOFILE in use
    SEND_SLICE = 65536              # of a connection's own queue a turn, so that one reader cannot hold a turn
    SEND_LONE = 524288              # and while nobody else asks for anything: a send costs by its number
    LONE_MS = 20                    # nobody else has asked for so long

cdef struct limits_t:
    uint32_t connections
    uint64_t request_bytes
    uint32_t request_args
    int64_t sign_in_ms
    uint64_t output_max
    int64_t output_ms
    uint64_t page_bytes
    uint32_t page_objects
    uint32_t page_default
    uint32_t subscriptions
    uint32_t pattern_bytes
    uint32_t loose_patterns
    uint32_t loose_patterns_all
    uint32_t accepts
    int64_t read_wait_ms
    uint64_t reply_bytes
    int64_t turn_ns

cdef struct ready_t:
    uint32_t row
    uint32_t own                    # the bytes are in the connection's own buffer
    const char *at
    const char *end

cdef struct handles_t:
    uint64_t *items
    uint32_t count
    uint32_t room

cdef struct turn_t:                 # what the turn has used: budget.pxi
    int64_t wall_begun              # ns of the monotonic clock
    int64_t look_at                 # wall time before which the budget can't be used up
    int64_t cpu_begun               # of this thread, once weighed
    int64_t cpu_seen                # when it was looked at last
    bint weighed, over

cdef struct worker_t:
    int epoll
    csp_conn *rows
    uint64_t *next_id               # in the head of this worker's part of the session table
    uint64_t *row_top_shown         # there too: how far other workers look for CLIENT LIST
    uint32_t row_top                # rows ever used
    uint32_t row_free
    uint32_t row_room               # rows of this worker's part
    uint32_t workers                # that share limits.connections
    uint32_t connections
    uint32_t slot
    bint stopping, draining, loading, publish_wanted, interested
    bint executing                  # inside EXEC: nothing may wait, jobs run to their end
    bint job_active                 # a job under way holds the announcement of its start
    int job_slices                  # left in this turn
    int64_t pin_ms                  # when the announcement in force was made
    limits_t limits
    turn_t turn
    parser_t parser
    out_t out                       # replies of the connection at hand
    out_t scratch                   # one message, shared by all its receivers
    char *inbox                     # what was received in this turn
    uint64_t inbox_size
    ready_t *ready
    uint32_t ready_count
    uint32_t lone_row               # who asked last,
    int64_t lone_ms                 # and since when nobody else has
    handles_t again                 # to be visited next turn
    handles_t dirty                 # with output to be sent at the end of this turn
    handles_t jobs
    handles_t waiting
    handles_t lagging
    csp_view_t view                 # of the connection at hand, at S
    uint64_t delivered              # the log has been delivered up to here
    uint64_t told                   # the slow lane knows of publications up to here
    uint64_t generation             # of the data segment attached
    uint64_t link_state             # as the notices said it last
    int64_t timer_ms                # when the next Python timer is due; INT64_MAX: none
    uint64_t *calls                 # Python descriptors that are ready
    uint32_t call_count
    int64_t now_ms
    int64_t tick_ms                 # when timeouts are next looked at
    uint32_t tick_row
    uint32_t unsigned_count         # connections not signed in yet
    uint32_t blocked_count          # connections with unsent bytes
    uint32_t event_subscriptions
    csp_stats *stats
    csp_stats own_stats
    watch_t watch
    void *loop                      # the Python Loop
    csp_store_t *store
    csp_control_t *control
    int *listeners
    uint32_t listener_count

cdef int handles_add(handles_t *list_, uint64_t handle) noexcept nogil:
    cdef uint64_t *items
    cdef uint32_t room
    if list_.count == list_.room:
        room = list_.room * 2 if list_.room > 0 else 64
        items = <uint64_t *> realloc(list_.items, <size_t> room * sizeof(uint64_t))
        if items == NULL:
            return -1
        list_.items = items
        list_.room = room
    list_.items[list_.count] = handle
    list_.count += 1
    return 0

cdef inline uint64_t conn_handle(worker_t *w, csp_conn *c) noexcept nogil:
    return (<uint64_t> c.generation << 20) | <uint64_t> (c - w.rows)

cdef inline csp_conn *conn_of(worker_t *w, uint64_t handle) noexcept nogil:
    """The connection of a handle, NULL when it is gone."""
    cdef uint32_t row = <uint32_t> (handle & (HANDLE_ROWS - 1))
    if row >= w.row_top or w.rows[row].id == 0 or w.rows[row].generation != <uint32_t> (handle >> 20):
        return NULL
    return &w.rows[row]

cdef inline uint64_t conn_unsent(csp_conn *c) noexcept nogil:
    return c.out_size - c.out_head

cdef inline void conn_again(worker_t *w, csp_conn *c) noexcept nogil:
    if c.flags & CSP_CONN_QUEUED == 0:
        c.flags |= CSP_CONN_QUEUED
        handles_add(&w.again, conn_handle(w, c))

cdef inline void conn_dirty(worker_t *w, csp_conn *c) noexcept nogil:
    if c.flags & CSP_CONN_DIRTY == 0:
        c.flags |= CSP_CONN_DIRTY
        handles_add(&w.dirty, conn_handle(w, c))

cdef inline bint conn_lone(worker_t *w, csp_conn *c) noexcept nogil:
    """Whether the worker has had this connection alone to serve, so that a long turn delays nobody."""
    return w.lone_row == <uint32_t> (c - w.rows) and w.now_ms - w.lone_ms >= LONE_MS

cdef bint conn_fits(worker_t *w) noexcept nogil:
    """Whether one more connection stays within what all workers together may have."""
    cdef uint64_t total = w.connections
    cdef uint32_t i
    for i in range(w.workers):
        if i != w.slot:
            total += (<csp_stats *> w.control.counters[i]).connections
    return total < w.limits.connections and w.connections < w.row_room

cdef csp_conn *conn_take(worker_t *w, int fd) noexcept nogil:
    """A row for a new connection; NULL when all are taken."""
    cdef csp_conn *c
    cdef uint32_t generation
    cdef uint32_t row = w.row_free
    if not conn_fits(w):
        return NULL
    if row != UINT32_MAX:
        w.row_free = w.rows[row].next_free
    else:
        row = w.row_top
        w.row_top += 1
        w.row_top_shown[0] = w.row_top
    c = &w.rows[row]
    generation = c.generation + 1
    memset(c, 0, sizeof(csp_conn))
    c.generation = generation
    c.fd = fd
    c.created_ms = w.now_ms
    c.active_ms = w.now_ms
    w.next_id[0] += 1
    c.id = (w.next_id[0] << 6) | w.slot
    w.connections += 1
    w.unsigned_count += 1
    w.stats.connections = w.connections
    return c

cdef void conn_free(worker_t *w, csp_conn *c) noexcept nogil:
    """Ends the connection now, whatever is unsent."""
    if c.id == 0:
        return
    if c.flags & CSP_CONN_KNOWN:
        slow_closed(w, conn_handle(w, c))
    watch_drop(w, c)
    job_drop(w, c)
    close(c.fd)
    if c.flags & CSP_CONN_SIGNED_IN == 0:
        w.unsigned_count -= 1
    if c.flags & CSP_CONN_FEED:
        w.stats.feeds -= 1
    if c.blocked_ms != 0:
        w.blocked_count -= 1
    if c.in_ != NULL:
        free(c.in_)
        w.stats.buffers -= 1
    if c.out != NULL:
        free(c.out)
        w.stats.buffers -= 1
    c.in_ = NULL
    c.out = NULL
    c.id = 0
    c.flags = 0
    c.next_free = w.row_free
    w.row_free = <uint32_t> (c - w.rows)
    w.connections -= 1
    w.stats.connections = w.connections

cdef void conn_close(worker_t *w, csp_conn *c) noexcept nogil:
    """Ends the connection after what is queued has been sent."""
    if c.flags & CSP_CONN_CLOSING == 0:
        c.flags |= CSP_CONN_CLOSING
        conn_dirty(w, c)

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
            free(c.out)
            c.out = grown
            c.out_room = room
        c.out_head = 0
        c.out_size = unsent
    memcpy(c.out + c.out_size, data, size)
    c.out_size += size
    if c.blocked_ms == 0:
        c.blocked_ms = w.now_ms
        w.blocked_count += 1
    return True

cdef void conn_out_empty(worker_t *w, csp_conn *c) noexcept nogil:
    free(c.out)
    w.stats.buffers -= 1
    c.out = NULL
    c.out_head = 0
    c.out_size = 0
    c.out_room = 0
    if c.blocked_ms != 0:
        c.blocked_ms = 0
        w.blocked_count -= 1

cdef int conn_drain(worker_t *w, csp_conn *c) noexcept nogil:
    """Sends from the connection's own queue; -1 when the connection is gone."""
    cdef uint64_t before = conn_unsent(c)
    cdef uint64_t want = SEND_LONE if conn_lone(w, c) else SEND_SLICE
    cdef ssize_t sent
    if before > 0:
        if want > before:
            want = before
        sent = send(c.fd, c.out + c.out_head, want, MSG_NOSIGNAL | MSG_DONTWAIT)
        if sent < 0:
            if errno != EAGAIN and errno != EINTR:
                conn_free(w, c)
                return -1
            c.flags |= CSP_CONN_FULL
        else:
            w.stats.bytes_out += sent
            c.out_head += sent
            c.blocked_ms = w.now_ms
            if <uint64_t> sent < want:
                c.flags |= CSP_CONN_FULL
            else:
                c.flags &= ~CSP_CONN_FULL
            if c.out_head == c.out_size:
                conn_out_empty(w, c)
            elif c.flags & CSP_CONN_FULL == 0:
                conn_again(w, c)
        if c.flags & CSP_CONN_FEED and before > w.limits.output_max // 2 \
                and conn_unsent(c) <= w.limits.output_max // 2:
            slow_writable(w, conn_handle(w, c))
            if c.id == 0:
                return -1
    if c.flags & CSP_CONN_LAGGING and conn_unsent(c) <= w.limits.output_max // 2:
        conn_again(w, c)            # so that a turn comes in which its delivery goes on
    if c.flags & CSP_CONN_STALLED and conn_unsent(c) <= w.limits.output_max:
        c.flags &= ~CSP_CONN_STALLED
        conn_again(w, c)
    if c.flags & CSP_CONN_CLOSING and conn_unsent(c) == 0:
        conn_free(w, c)
        return -1
    return 0

cdef int conn_flush(worker_t *w, csp_conn *c) noexcept nogil:
    """Sends the worker's buffer, which holds replies of this connection; -1 when the connection is gone."""
    cdef ssize_t sent = 0
    if w.out.failed:
        w.out.failed = False
        w.out.size = 0
        conn_free(w, c)
        return -1
    if w.out.size > 0:
        if conn_unsent(c) == 0:
            sent = send(c.fd, w.out.data, w.out.size, MSG_NOSIGNAL | MSG_DONTWAIT)
            if sent < 0:
                if errno != EAGAIN and errno != EINTR:
                    w.out.size = 0
                    conn_free(w, c)
                    return -1
                sent = 0
            w.stats.bytes_out += sent
            if <uint64_t> sent < w.out.size:
                c.flags |= CSP_CONN_FULL
        if <uint64_t> sent < w.out.size and not conn_queue(w, c, w.out.data + sent, w.out.size - sent):
            w.out.size = 0
            conn_free(w, c)
            return -1
        w.out.size = 0
        if c.out_size > 0 and c.flags & CSP_CONN_FULL == 0:
            conn_dirty(w, c)
    if conn_unsent(c) > w.limits.output_max:
        c.flags |= CSP_CONN_STALLED
    if c.flags & CSP_CONN_CLOSING and conn_unsent(c) == 0:
        conn_free(w, c)
        return -1
    return 0

cdef int conn_set_aside(worker_t *w, csp_conn *c) noexcept nogil:
    """Moves the worker's buffer behind the connection's own bytes without sending: Python may push next."""
    cdef bint done = not w.out.failed and conn_queue(w, c, w.out.data, w.out.size)
    w.out.size = 0
    w.out.failed = False
    if not done:
        conn_free(w, c)
        return -1
    return 0

cdef bint conn_keep(worker_t *w, csp_conn *c, const char *at, uint64_t size, bint own) noexcept nogil:
    """Keeps what was received but not consumed."""
    cdef char *kept
    if size == 0:
        if c.in_ != NULL:
            free(c.in_)
            w.stats.buffers -= 1
            c.in_ = NULL
            c.in_size = 0
            c.in_room = 0
            c.in_need = 0
        return True
    if own:
        if at != c.in_:
            memmove(c.in_, at, size)
        c.in_size = <uint32_t> size
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
