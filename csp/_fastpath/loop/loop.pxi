# Included by csp/_fastpath.pyx after: dispatch.
# The turn of a worker: receive from all, pin, deliver, answer everything at S, send, and go offline to the poll.
#
# Invariants:
# 1. S is loaded after the last receive of the turn: a request sent after somebody saw revision r
#    is answered at r or later.
# 2. A connection costs one recv and one send a turn, and no epoll_ctl after it was accepted (edge
#    triggered, both directions).
# 3. With edges nothing may be forgotten: a connection with bytes left in the socket or in its
#    buffer is READABLE or in `again`.
# 4. The worker never sleeps while it holds an announcement.

cdef enum:
    EVENTS = 128                    # of a poll
    RECV_SLICE = 16384              # of a connection a turn
    INBOX_BYTES = 1048576
    READY_MAX = 256
    TICK_MS = 100
    TICK_ROWS = 2048                # looked at for timeouts a tick
    KIND_CONN = 0
    KIND_LISTENER = 1
    KIND_WAKE = 2
    KIND_PYTHON = 3
    # DEFERRED, CLOSING, STALLED, LAGGING, JOB, WAITING: what keeps requests from being read.
    CONN_BLOCKED = 8 + 16 + 32 + 1024 + 2048 + 4096

cdef int poll_add(int epoll, int fd, uint32_t events, uint64_t kind, uint64_t value) noexcept nogil:
    cdef epoll_event event
    event.events = events
    event.data.u64 = (kind << 62) | value
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)

# ---- accepting ----

cdef void conn_address(csp_conn *c, sockaddr_storage *from_) noexcept nogil:
    c.family = from_.ss_family
    if from_.ss_family == AF_INET:
        c.port = ntohs((<sockaddr_in *> from_).sin_port)
        memcpy(c.address, &(<sockaddr_in *> from_).sin_addr, 4)
    elif from_.ss_family == AF_INET6:
        c.port = ntohs((<sockaddr_in6 *> from_).sin6_port)
        memcpy(c.address, &(<sockaddr_in6 *> from_).sin6_addr, 16)

cdef void accept_some(worker_t *w, int listener) noexcept nogil:
    """Takes a bounded number of new connections; one too many is told so and closed."""
    cdef sockaddr_storage from_
    cdef socklen_t size
    cdef csp_conn *c
    cdef uint32_t i
    cdef int fd
    cdef int on = 1
    for i in range(w.limits.accepts):
        size = sizeof(from_)
        fd = accept4(listener, <sockaddr *> &from_, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
        if fd < 0:
            return                  # EAGAIN, or out of descriptors: the listener stays readable
        c = conn_take(w, fd)
        if c == NULL:
            send(fd, b"-ERR max number of clients reached\r\n", 36, MSG_NOSIGNAL | MSG_DONTWAIT)
            close(fd)
            w.stats.rejected += 1
            continue
        w.stats.accepted += 1
        conn_address(c, &from_)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on))
        if poll_add(w.epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, KIND_CONN, conn_handle(w, c)) != 0:
            conn_free(w, c)

# ---- receiving ----

cdef inline void ready_add(worker_t *w, csp_conn *c, bint own, const char *at, const char *end) noexcept nogil:
    cdef ready_t *r = &w.ready[w.ready_count]
    r.row = <uint32_t> (c - w.rows)
    r.own = own
    r.at = at
    r.end = end
    c.flags |= CSP_CONN_READY
    w.ready_count += 1

cdef bint own_room(csp_conn *c) noexcept nogil:
    """Makes room behind what is kept: as much again, so that a large command is looked at few times."""
    cdef uint64_t want = <uint64_t> c.in_size + (c.in_size if c.in_size > RECV_SLICE else RECV_SLICE)
    cdef char *grown
    if want + PARSE_PAD <= c.in_room:
        return True
    grown = <char *> realloc(c.in_, want + PARSE_PAD)
    if grown == NULL:
        return False
    c.in_ = grown
    c.in_room = <uint32_t> (want + PARSE_PAD)
    return True

cdef void receive(worker_t *w, csp_conn *c) noexcept nogil:
    """One recv; what came waits in `ready` for the pin."""
    cdef ssize_t got
    cdef size_t asked
    cdef char *into
    cdef bint own = c.in_size > 0
    if own:
        if not own_room(c):
            conn_free(w, c)
            return
        into = c.in_ + c.in_size
        asked = c.in_room - c.in_size - PARSE_PAD
    else:
        asked = INBOX_BYTES - w.inbox_size
        if asked > RECV_SLICE:
            asked = RECV_SLICE
        into = w.inbox + w.inbox_size
    got = recv(c.fd, into, asked, MSG_DONTWAIT)
    if got <= 0:
        if got < 0 and (errno == EAGAIN or errno == EINTR):
            c.flags &= ~CSP_CONN_READABLE
        else:
            conn_free(w, c)
        return
    w.stats.bytes_in += got
    c.active_ms = w.now_ms
    if <size_t> got < asked and c.flags & CSP_CONN_ENDING == 0:
        c.flags &= ~CSP_CONN_READABLE
    else:
        c.flags |= CSP_CONN_READABLE
        conn_again(w, c)
    if own:
        c.in_size += <uint32_t> got
        if c.in_size >= c.in_need:
            ready_add(w, c, True, c.in_, c.in_ + c.in_size)
        return
    ready_add(w, c, False, into, into + got)
    w.inbox_size += (<uint64_t> got + PARSE_PAD + 63) & ~<uint64_t> 63

cdef inline bint turn_full(worker_t *w) noexcept nogil:
    return w.ready_count >= READY_MAX or INBOX_BYTES - w.inbox_size < RECV_SLICE

cdef void on_socket(worker_t *w, csp_conn *c, uint32_t events) noexcept nogil:
    if events & (EPOLLHUP | EPOLLERR) or (events & EPOLLRDHUP and c.flags & CSP_CONN_FEED):
        conn_free(w, c)
        return
    if events & EPOLLOUT and c.flags & CSP_CONN_FULL:
        c.flags &= ~CSP_CONN_FULL
        conn_dirty(w, c)
    if events & (EPOLLIN | EPOLLRDHUP) == 0:
        return
    c.flags |= CSP_CONN_READABLE
    if events & EPOLLRDHUP:
        c.flags |= CSP_CONN_ENDING          # said once only: the end itself is read in a later turn
    # What is queued is visited in this turn; a second input in one turn would overtake the first.
    if c.flags & (CONN_BLOCKED | CSP_CONN_QUEUED):
        return
    if turn_full(w):
        conn_again(w, c)
        return
    receive(w, c)

cdef void visit_again(worker_t *w, uint32_t count) noexcept nogil:
    """The connections that the turn before left with something to do; `count` of them were there when it began."""
    cdef csp_conn *c
    cdef uint32_t i
    for i in range(count):
        c = conn_of(w, w.again.items[i])
        if c == NULL:
            continue
        c.flags &= ~CSP_CONN_QUEUED
        if c.out_size > c.out_head and c.flags & CSP_CONN_FULL == 0:
            conn_dirty(w, c)
        if c.flags & CONN_BLOCKED:
            continue
        if turn_full(w) or c.flags & CSP_CONN_READY:
            conn_again(w, c)
        elif c.in_size > 0 and c.in_size >= c.in_need:
            ready_add(w, c, True, c.in_, c.in_ + c.in_size)
            if c.flags & CSP_CONN_READABLE:
                conn_again(w, c)
        elif c.flags & CSP_CONN_READABLE:
            receive(w, c)
    memmove(w.again.items, w.again.items + count, (w.again.count - count) * sizeof(uint64_t))
    w.again.count -= count

# ---- answering ----

cdef inline bint plain(worker_t *w, csp_conn *c) noexcept nogil:
    """Whether its GETs may be answered without looking closer."""
    return c.flags & (CSP_CONN_SIGNED_IN | CSP_CONN_MULTI) == CSP_CONN_SIGNED_IN \
        and not w.loading and not is_subscriber2(c)

cdef const char *serve(worker_t *w, csp_conn *c, const char *at, const char *end) noexcept nogil:
    """Answers what is complete; where it stopped, NULL when the connection is gone."""
    cdef int64_t taken
    cdef int status
    c.in_need = 0
    while at < end and c.flags & CONN_BLOCKED == 0:
        if plain(w, c):
            at = run_gets(w, c, at, end)
            if at == NULL or at == end or c.flags & CONN_BLOCKED:
                return at
        taken = parse_command(&w.parser, at, end, c.flags & CSP_CONN_SIGNED_IN != 0)
        if taken == PARSE_MORE:
            c.in_need = <uint32_t> w.parser.need
            return at
        if taken < 0:
            w.stats.protocol_errors += 1
            out_protocol_error(&w.out, taken, w.parser.odd)
            conn_close(w, c)
            return end
        if w.parser.count > 0:
            status = run_command(w, c, w.parser.args, w.parser.count)
            if status == RUN_GONE:
                return NULL
            if status == RUN_WAIT:
                return at
        at += taken
        if w.out.size >= FLUSH_AT and conn_flush(w, c) < 0:
            return NULL
    return at

cdef void answer(worker_t *w, ready_t *r) noexcept nogil:
    """Answers one connection's input and sends."""
    cdef csp_conn *c = &w.rows[r.row]
    cdef uint64_t id_ = c.id
    cdef const char *stop
    if id_ == 0:
        return
    c.flags &= ~CSP_CONN_READY
    if c.flags & CONN_BLOCKED:              # since it was received: by Python or a delivery
        stop = r.at
    else:
        stop = serve(w, c, r.at, r.end)
    if stop == NULL or c.id != id_:
        if c.id == id_:
            conn_free(w, c)
        w.out.size = 0
        return
    if not conn_keep(w, c, stop, r.end - stop, r.own):
        conn_free(w, c)
        w.out.size = 0
        return
    conn_flush(w, c)

cdef bint single_get(worker_t *w, ready_t *r, get_t *slot) noexcept nogil:
    """Whether the input is one plain GET and nothing else; then its index word is on its way."""
    cdef csp_conn *c = &w.rows[r.row]
    cdef const char *key = NULL
    cdef uint32_t size = 0
    if r.own or c.flags & CONN_BLOCKED or c.out_size > 0 or not plain(w, c):
        return False
    if <int64_t> get_command(r.at, r.end, &key, &size) != r.end - r.at:
        return False
    slot.word = key_word(w, key, size)
    csp_prefetch(slot.word)
    return True

cdef void send_single(worker_t *w, csp_conn *c, csp_newest_t *newest) noexcept nogil:
    """Sends a lone reply from where the record lies: borrowed until send returns."""
    cdef csp_record_t *record = view_visible(&w.view, newest)
    cdef ssize_t sent
    c.commands += 1
    if record == NULL:
        w.stats.misses += 1
        out_null(&w.out, c.flags & CSP_CONN_RESP3 != 0)
        conn_flush(w, c)
        return
    w.stats.hits += 1
    sent = send(c.fd, record_reply(record), record.reply_size, MSG_NOSIGNAL | MSG_DONTWAIT)
    if <uint64_t> sent == record.reply_size:
        w.stats.bytes_out += sent
        return
    if sent < 0 and errno != EAGAIN and errno != EINTR:
        conn_free(w, c)
        return
    if sent < 0:
        sent = 0
    w.stats.bytes_out += sent
    c.flags |= CSP_CONN_FULL
    if not conn_queue(w, c, <const char *> record_reply(record) + sent, record.reply_size - sent):
        conn_free(w, c)

cdef void answer_all(worker_t *w) noexcept nogil:
    """Lone GETs of different connections share their cache misses as a pipeline does; all else one by one."""
    cdef get_t batch[BATCH]
    cdef bint single[BATCH]
    cdef uint32_t first = 0
    cdef uint32_t many, i
    cdef ready_t *r
    while first < w.ready_count:
        many = w.ready_count - first
        if many > BATCH:
            many = BATCH
        for i in range(many):
            if w.ready[first + i].row != w.lone_row:
                w.lone_row = w.ready[first + i].row
                w.lone_ms = w.now_ms
            batch[i].word = NULL
            single[i] = w.rows[w.ready[first + i].row].id != 0 and single_get(w, &w.ready[first + i], &batch[i])
        for i in range(many):
            if single[i]:
                batch[i].newest = view_newest(&w.view, batch[i].word)
                if batch[i].newest != NULL:
                    newest_prefetch(batch[i].newest)
        for i in range(many):
            r = &w.ready[first + i]
            if not single[i]:
                answer(w, r)
            elif w.rows[r.row].id != 0:
                w.rows[r.row].flags &= ~CSP_CONN_READY
                w.stats.commands += 1
                send_single(w, &w.rows[r.row], batch[i].newest)
        first += many
    w.ready_count = 0
    w.inbox_size = 0

# ---- the turn ----

cdef int poll_timeout(worker_t *w) noexcept nogil:
    cdef int64_t until = w.timer_ms
    if w.again.count > 0 or w.jobs.count > 0 or w.call_count > 0:
        return 0
    if tick_wanted(w) and w.tick_ms < until:
        until = w.tick_ms
    if until == INT64_MAX:
        return -1
    until -= w.now_ms
    if until <= 0:
        return 1 if w.timer_ms > w.now_ms else 0
    return <int> until if until < 60000 else 60000

cdef void go_offline(worker_t *w) noexcept nogil:
    if w.store != NULL and not w.job_active:
        store_unpin(w.store)

cdef int wait_events(worker_t *w, epoll_event *events) noexcept nogil:
    """Polls; says asleep first where publications matter, so that the writer rings."""
    cdef int timeout = poll_timeout(w)
    cdef int count
    cdef bint sleeping = False
    if timeout != 0 and w.interested and w.store != NULL:
        sleeping = store_may_sleep(w.store, w.view.revision)
        if not sleeping:
            timeout = 0
    count = epoll_wait(w.epoll, events, EVENTS, timeout)
    if sleeping:
        store_awake(w.store)
    if count < 0:
        if errno == EINTR:
            slow_signals(w)
        return 0
    return count

cdef void pin(worker_t *w) noexcept nogil:
    """S, loaded after the last receive. A job under way keeps its older announcement."""
    if csp_load(&w.control.generation) != w.generation and csp_load(&w.control.state) == 1:
        slow_attach(w)
    if w.store == NULL:
        return
    if w.job_active:
        w.view.revision = store_repin(w.store)
    else:
        w.view.revision = store_pin(w.store)
        w.pin_ms = w.now_ms
    w.store.pinned = PINNED_BY_LOOP

cdef void set_interest(worker_t *w) noexcept nogil:
    cdef bint want = w.event_subscriptions > 0 or w.publish_wanted or w.waiting.count > 0
    if want == w.interested or w.store == NULL:
        return
    w.interested = want
    csp_store(&w.store.slot.interest, 1 if want else 0)

cdef void turn(worker_t *w) noexcept nogil:
    cdef epoll_event events[EVENTS]
    cdef int count = wait_events(w, events)
    cdef uint32_t again = w.again.count
    cdef uint32_t accepting = 0
    cdef uint64_t value, kind
    cdef csp_conn *c
    cdef int i
    turn_begin(w, <uint32_t> count + again)
    w.stats.turns += 1
    w.job_slices = JOB_SLICES
    for i in range(count):
        value = events[i].data.u64 & <uint64_t> 0x3FFFFFFFFFFFFFFF
        kind = events[i].data.u64 >> 62
        if kind == KIND_CONN:
            c = conn_of(w, value)
            if c != NULL:
                on_socket(w, c, events[i].events)
        elif kind == KIND_LISTENER:
            accepting |= <uint32_t> 1 << value
        elif kind == KIND_WAKE:
            w.stats.wakes += 1
        else:
            w.calls[w.call_count] = value | (<uint64_t> events[i].events << 32)
            w.call_count += 1
    if again > 0:
        visit_again(w, again)
    pin(w)
    if w.store != NULL:
        w.store.slot.progress += 1
        if w.delivered < w.view.revision:
            deliver_live(w)
        if w.lagging.count > 0:
            deliver_lagging(w)
        if w.waiting.count > 0:
            wake_waiting(w)
        if w.watch.count > 0:
            notice_link(w)
        if w.publish_wanted and w.told < w.view.revision:
            slow_published(w)
    answer_all(w)
    if w.jobs.count > 0:
        jobs_turn(w)
    else:
        w.job_active = False
    if w.call_count > 0 or w.timer_ms <= w.now_ms:
        slow_calls(w)
    if w.dirty.count > 0:
        flush_dirty(w)
    if accepting != 0 and not w.draining:
        for i in range(<int> w.listener_count):
            if accepting & (<uint32_t> 1 << i):
                accept_some(w, w.listeners[i])
    if w.now_ms >= w.tick_ms and tick_wanted(w):
        tick(w)
    set_interest(w)
    go_offline(w)
    turn_end(w)

cdef void run_turns(worker_t *w) noexcept nogil:
    while not w.stopping and not (w.draining and w.connections == 0):
        turn(w)
