# Included by csp/_fastpath.pyx after: state.
# The only room that calls a client's socket: bytes in, bytes out, and what their number says of the socket.
#
# Invariants:
# 1. READABLE means that a receive may bring more, FULL that a send would bring nothing until the socket's edge
#    comes. They are set and cleared here alone (on_socket hands the edges in), so what is true of a bare TCP
#    socket and of no other transport (a short receive has drained it, an edge follows a short send) is known
#    to no other room.
# 2. Bytes are borrowed until the call returns.
# 3. Others call conn_recv and conn_send alone, and see plaintext; what TLS makes of it stands in tls.pxi, which comes
#    back here for the socket.

cdef enum:
    IO_END = -1                     # the peer sends no more
    IO_BROKEN = -2                  # the connection is of no more use

cdef inline int64_t socket_recv(worker_t *w, csp_conn *c, char *into, uint64_t room) noexcept nogil:
    """Bytes as they are in the socket, 0 for none now; IO_END, IO_BROKEN."""
    cdef ssize_t got = recv(c.fd, into, room, MSG_DONTWAIT)
    if got < 0:
        if errno == EAGAIN or errno == EINTR:
            c.flags &= ~CSP_CONN_READABLE
            return 0
        return IO_BROKEN
    if got == 0:
        c.flags &= ~(CSP_CONN_READABLE | CSP_CONN_ENDING)
        return IO_END
    # An edge that said "ended" comes once: then the end itself is still to be received.
    if <uint64_t> got < room and c.flags & CSP_CONN_ENDING == 0:
        c.flags &= ~CSP_CONN_READABLE
    else:
        c.flags |= CSP_CONN_READABLE
    w.stats.bytes_in += got
    return got

cdef inline int64_t sent_of(worker_t *w, csp_conn *c, ssize_t sent, uint64_t wanted) noexcept nogil:
    if sent < 0:
        if errno != EAGAIN and errno != EINTR:
            return IO_BROKEN
        sent = 0
    w.stats.bytes_out += sent
    if <uint64_t> sent < wanted:
        c.flags |= CSP_CONN_FULL
    return sent

cdef int64_t conn_recv(worker_t *w, csp_conn *c, char *into, uint64_t room) noexcept nogil:
    """Bytes received, 0 for none now; IO_END, IO_BROKEN. READABLE may stay with 0: a turn takes few handshakes."""
    if c.flags & (CSP_CONN_TLS | CSP_CONN_DETECT):
        return tls_recv(w, c, into, room) if c.flags & CSP_CONN_TLS else tls_detect(w, c, into, room)
    return socket_recv(w, c, into, room)

cdef inline int64_t socket_send(worker_t *w, csp_conn *c, const char *data, uint64_t size) noexcept nogil:
    """Bytes that the socket took, FULL when they are not all; IO_BROKEN."""
    return sent_of(w, c, send(c.fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT), size)

cdef inline int64_t conn_send(worker_t *w, csp_conn *c, const char *data, uint64_t size) noexcept nogil:
    """Bytes of replies that are on their way, FULL when they are not all; IO_BROKEN."""
    return tls_send(w, c, data, size) if c.flags & CSP_CONN_TLS else socket_send(w, c, data, size)

cdef int64_t conn_send_parts(worker_t *w, csp_conn *c, iovec *parts, uint32_t count, uint64_t size) noexcept nogil:
    """The same of several pieces, `size` bytes in all, pushed ones too, by one call."""
    cdef msghdr message
    if c.flags & CSP_CONN_TLS:
        return tls_send_parts(w, c, parts, count, size)
    if count == 1:
        return socket_send(w, c, <const char *> parts[0].iov_base, size)
    memset(&message, 0, sizeof(msghdr))
    message.msg_iov = parts
    message.msg_iovlen = count
    return sent_of(w, c, sendmsg(c.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT), size)

cdef inline int64_t socket_peek(int fd, char *into, uint64_t room) noexcept nogil:
    """Bytes that stay on the socket, 0 for none now; IO_END, IO_BROKEN."""
    cdef ssize_t got = recv(fd, into, room, MSG_PEEK | MSG_DONTWAIT)
    if got > 0:
        return got
    if got < 0:
        return 0 if errno == EAGAIN or errno == EINTR else IO_BROKEN
    return IO_END

cdef inline bint socket_skip(int fd, char *into, uint64_t size) noexcept nogil:
    """Takes bytes off the socket that were looked at."""
    return recv(fd, into, size, MSG_DONTWAIT) == <ssize_t> size

cdef inline void socket_tell(int fd, const char *line) noexcept nogil:
    """Sends a last word, as far as the socket takes it."""
    send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT)
