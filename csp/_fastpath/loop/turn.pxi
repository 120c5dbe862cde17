# Included by csp/_fastpath.pyx after: answer, clock, listen.
# The turn of a worker: receive from all, pin, feed, deliver, answer everything at S, send, go offline to the poll.
#
# Invariants:
# 1. S is loaded after the last receive of the turn: a request sent after somebody saw revision r
#    is answered at r or later.
# 2. A connection costs one recv and one send a turn, and no epoll_ctl after it was accepted (edge
#    triggered, both directions).
# 3. The worker never sleeps while it holds an announcement (announce.pxi).
# 4. Feeds that follow come first: what is published is on its way to them before a client hears of it. Parts of
#    a snapshot come with the slow lane's timers, behind the clients.

cdef int poll_timeout(worker_t *w) noexcept nogil:
    cdef int64_t until = w.timer_ms
    if w.again.count > 0 or jobs_wait(w) or w.call_count > 0 or w.grave_count > 0 or w.dirty.count > 0 \
            or deliver_left(w):
        return 0
    if tick_wanted(w) and w.tick_ms < until:
        until = w.tick_ms
    if until == INT64_MAX:
        return -1
    until -= w.now_ms
    if until <= 0:
        return 1 if w.timer_ms > w.now_ms else 0
    return <int> until if until < 60000 else 60000

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
    """S, loaded after the last receive."""
    if csp_load(&w.control.generation) != w.generation and csp_load(&w.control.state) == 1:
        slow_attach(w)
    if w.store == NULL:
        return
    announce_turn(w)
    w.store.pinned = PINNED_BY_LOOP
    rights_turn(w)

cdef void set_interest(worker_t *w) noexcept nogil:
    cdef bint want = w.event_subscriptions > 0 or w.publish_wanted or w.waiting_count > 0 \
        or w.deliver.awaiting.count > 0 or w.stats.feeds > 0
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
    w.tls.steps = 0
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
            if csp_load(&w.control.doors) != w.doors:
                doors_look(w)
        else:
            w.calls[w.call_count] = value | (<uint64_t> events[i].events << 32)
            w.call_count += 1
    if again > 0:
        visit_again(w, again)
    pin(w)
    if w.store != NULL:
        w.store.slot.progress += 1
        if w.stats.feeds > 0 and w.fed != w.view.revision:
            turn_share(w, SHARE_FEED)
            slow_feed(w)
            flush_feeds(w)
        turn_share(w, SHARE_DELIVER if w.ready_count > 0 or jobs_wait(w) else SHARE_DELIVER_ALONE)
        if subscribers_look(w):
            deliver(w)
        if w.waiting_count > 0:
            wake_waiting(w)
        if csp_load(&w.control.link_state) != w.link_state:
            notice_link(w)
        if w.publish_wanted and w.told != w.view.revision:
            slow_published(w)
        if w.persons_seen != w.view.revision:
            persons_turn(w)
    if w.tls.certified.count > 0:
        tls_turn(w)
    turn_share(w, SHARE_ANSWER)
    answer_all(w)
    turn_share(w, SHARE_REST)
    if jobs_wait(w):
        jobs_turn(w)
    if w.call_count > 0 or w.timer_ms <= w.now_ms:
        slow_calls(w)
    if w.dirty.count > 0:
        flush_dirty(w)
    if accepting != 0 and not w.draining:
        accept_ready(w, accepting)
    if w.now_ms >= w.tick_ms and tick_wanted(w):
        tick(w)
    set_interest(w)
    announce_rest(w)
    buffers_turn(w)
    if CSP_CHECKING:
        turn_check(w)
    turn_end(w)

cdef void run_turns(worker_t *w) noexcept nogil:
    while not w.stopping and not (w.draining and w.connections == 0):
        turn(w)
