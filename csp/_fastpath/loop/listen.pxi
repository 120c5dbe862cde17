# Included by csp/_fastpath.pyx after: transport, conn.
# The ports of a worker as rows, and the connections that come in by them.
#
# Invariants:
# 1. A connection knows the row of the port by which it came; what a port demands stands there and nowhere else.
# 2. A turn accepts a bounded number; who is left waits in the kernel's queue, and the port stays readable.
# 3. Whoever connects at a port for balancers' agent checks is told one line and closed: he takes no row. The line is
#    made by Python, and holds for AGENT_MS: how often one asks costs next to nothing.
# 4. Where descriptors have run out a client is refused too, by one that is kept for it: else the port would stay
#    readable, the loop would spin, and the client would wait for what doesn't come.

cdef enum:
    ACCEPTS_A_LOOK = 8              # between two looks at the turn's budget
    AGENT_MS = 100                  # so old may be what a balancer is told

cdef int poll_add(int epoll, int fd, uint32_t events, uint64_t kind, uint64_t value) noexcept nogil:
    cdef epoll_event event
    event.events = events
    event.data.u64 = (kind << 62) | value
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)

cdef void accept_refuse(worker_t *w, listener_t *by, int fd) noexcept nogil:
    """There is no place for one more; where TLS is spoken the line could not be read."""
    if by.security == PORT_UNSECURED:
        socket_tell(fd, b"-ERR max number of clients reached\r\n")
    close(fd)
    w.stats.rejected += 1

cdef int accept_in_need(worker_t *w, listener_t *by) noexcept nogil:
    """Refuses one client though no descriptor is free; -1 when that can't be done either."""
    cdef int fd
    w.stats.starved += 1
    if w.spare_fd < 0:
        return -1
    close(w.spare_fd)
    fd = accept4(by.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
    if fd >= 0:
        accept_refuse(w, by, fd)
    w.spare_fd = dup(w.epoll)
    return fd

cdef void agent_answer(worker_t *w, int fd) noexcept nogil:
    """Tells a balancer how this server is."""
    if w.now_ms >= w.agent.until_ms:
        w.agent.until_ms = w.now_ms + AGENT_MS
        slow_agent(w)
    socket_tell(fd, w.agent.line)
    close(fd)

cdef void accept_some(worker_t *w, uint32_t number) noexcept nogil:
    """Takes a bounded number of new connections; one too many is told so and closed."""
    cdef listener_t *by = &w.listeners[number]
    cdef sockaddr_storage from_
    cdef socklen_t size
    cdef peer_t peer
    cdef csp_conn *c
    cdef uint32_t i
    cdef int fd
    cdef int on = 1
    for i in range(w.limits.accepts):
        size = sizeof(from_)
        fd = accept4(by.fd, <sockaddr *> &from_, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
        if fd < 0 and (errno == EMFILE or errno == ENFILE) and accept_in_need(w, by) >= 0:
            continue
        if fd < 0:
            return                  # EAGAIN: the listener stays readable
        peer_read(&peer, &from_)
        if not port_takes(w, by, &peer):
            close(fd)
            continue
        if by.purpose == PORT_AGENT_CHECK:
            agent_answer(w, fd)
            if turn_over(w):
                return
            continue
        c = conn_take(w, fd, by)
        if c == NULL:
            accept_refuse(w, by, fd)
            continue
        w.stats.accepted += 1
        c.listener = <uint16_t> number
        conn_is_of(w, c, &peer)
        c.flags |= CSP_CONN_DETECT
        w.leaving = w.leaving or w.leave_until != 0
        if not conn_begin(w, c):
            continue
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on))
        if poll_add(w.epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, KIND_CONN, conn_handle(w, c)) != 0:
            conn_free(w, c, CSP_END_BROKEN)
        if i % ACCEPTS_A_LOOK == ACCEPTS_A_LOOK - 1 and turn_over(w):
            return

cdef void accept_ready(worker_t *w, uint32_t ready) noexcept nogil:
    """Serves the ports whose bits are set."""
    cdef uint32_t i
    for i in range(w.listener_count):
        # One that was shut in this very turn may be open again: it is served when that is heard of.
        if ready & (<uint32_t> 1 << i) and w.listeners[i].open:
            accept_some(w, i)
