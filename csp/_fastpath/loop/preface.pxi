# Included by csp/_fastpath.pyx after: addresses, proxy.
# Whom a port lets in: by his address, by how many connections that has, and behind a balancer by what it says first.
#
# Invariants:
# 1. A port takes the header of the PROXY protocol from all who connect there, or from nobody: whether there is one is
#    never guessed, and at a port of balancers nobody else is let in.
# 2. The header is looked at on the socket until it is whole, and then taken exactly: what follows, be it TLS or a
#    command, is received as from anybody. Until then the connection is no more than its rows.
# 3. Once the header is taken the connection is of the address that it says: in CLIENT LIST, in logs, for the list of
#    who may connect, and for the limit of connections of an address.
# 4. Who is turned away is counted, and kept for Python with his address, the last one of each reason (away_t).

cdef enum:
    PROXY_MS_MAX = 5000             # for the header: a balancer sends it as soon as it has connected

cdef void away_note(worker_t *w, uint32_t kind, uint16_t port, const peer_t *peer) noexcept nogil:
    """Somebody is turned away."""
    cdef away_t *away = &w.away[kind]
    away.count += 1
    away.port = port
    away.peer = peer[0]

cdef void peer_of(worker_t *w, csp_conn *c, peer_t *peer) noexcept nogil:
    """The address that a connection is of now."""
    peer.family = client_of(w, c).family
    peer.port = client_of(w, c).port
    memcpy(peer.address, client_of(w, c).address, 16)

cdef void conn_is_of(worker_t *w, csp_conn *c, const peer_t *peer) noexcept nogil:
    """The connection is of this address from now on."""
    client_of(w, c).family = peer.family
    client_of(w, c).port = peer.port
    memcpy(client_of(w, c).address, peer.address, 16)

cdef void conn_refuse(worker_t *w, csp_conn *c, const char *line) noexcept nogil:
    """Ends a connection that has only just come, and says why where the line can be read."""
    if w.listeners[c.listener].security == PORT_UNSECURED:
        socket_tell(c.fd, line)
    conn_free(w, c, CSP_END_PREFACE)

cdef bint port_takes(worker_t *w, listener_t *by, const peer_t *peer) noexcept nogil:
    """Whether an address may connect to a port; else it is noted."""
    cdef uint8_t address[16]
    if by.balancers.count == 0 and by.listed.count == 0:
        return True
    address_of(address, peer.family, peer.address)
    if by.proxied:
        if networks_have(&by.balancers, address):
            return True
        away_note(w, AWAY_BALANCER, by.port, peer)
    else:
        if networks_have(&by.listed, address):
            return True
        away_note(w, AWAY_ADDRESS, by.port, peer)
    w.stats.strangers += 1
    return False

cdef bint conn_begin(worker_t *w, csp_conn *c) noexcept nogil:
    """A connection has its row and its socket's address; False when it is gone."""
    if w.listeners[c.listener].proxied:
        c.flags |= CSP_CONN_PREFACE
        return True
    return conn_count(w, c)

cdef bint conn_count(worker_t *w, csp_conn *c) noexcept nogil:
    """Counts it under its address, which may have too many now: then it is gone."""
    cdef peer_t peer
    if not address_enter(w, c):
        w.stats.rejected += 1
        conn_refuse(w, c, b"-ERR max number of clients reached\r\n")
        return False
    if address_fits(w, c):
        return True
    peer_of(w, c, &peer)
    away_note(w, AWAY_CROWD, w.listeners[c.listener].port, &peer)
    w.stats.crowded += 1
    conn_refuse(w, c, b"-ERR max number of clients of this address reached\r\n")
    return False

cdef void preface_end(worker_t *w, csp_conn *c, uint32_t why) noexcept nogil:
    """Ends a connection whose header is none."""
    cdef peer_t peer
    peer_of(w, c, &peer)
    away_note(w, why, w.listeners[c.listener].port, &peer)
    w.stats.prefaces_failed += 1
    conn_free(w, c, CSP_END_PREFACE)

cdef void preface_receive(worker_t *w, csp_conn *c) noexcept nogil:
    """Looks at what a balancer has sent; behind a whole header what its client sends is received."""
    cdef char *at = w.inbox + w.inbox_size
    cdef proxy_header_t header
    cdef int64_t got
    cdef int found
    if turn_full(w):
        conn_again(w, c)
        return
    got = socket_peek(c.fd, at, PROXY_BYTES_MAX)
    if got <= 0:
        c.flags &= ~CSP_CONN_READABLE
        if got < 0:
            conn_free(w, c, CSP_END_PEER if got == IO_END else CSP_END_BROKEN)
        return
    found = proxy_read(at, <uint32_t> got, &header)
    if found == PROXY_MORE and c.flags & CSP_CONN_ENDING == 0:
        c.flags &= ~CSP_CONN_READABLE       # an edge comes with the next bytes
        return
    if found != PROXY_WHOLE or not socket_skip(c.fd, at, header.size):
        preface_end(w, c, AWAY_HEADER)
        return
    w.stats.bytes_in += header.size
    if preface_taken(w, c, &header.client):
        c.flags |= CSP_CONN_READABLE
        receive(w, c)

cdef bint preface_taken(worker_t *w, csp_conn *c, const peer_t *peer) noexcept nogil:
    """The header was taken; False when the client that it names is not let in."""
    cdef listener_t *by = &w.listeners[c.listener]
    cdef uint8_t address[16]
    c.flags &= ~CSP_CONN_PREFACE
    if peer.family == 0:
        return True                     # the balancer's own, a health check: it is no client's
    conn_is_of(w, c, peer)
    address_of(address, peer.family, peer.address)
    if by.listed.count > 0 and not networks_have(&by.listed, address):
        w.stats.strangers += 1
        away_note(w, AWAY_ADDRESS, by.port, peer)
        conn_free(w, c, CSP_END_PREFACE)
        return False
    return conn_count(w, c)
