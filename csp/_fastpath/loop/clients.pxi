# Included by csp/_fastpath.pyx after: conn.
# The rows of the session table: what every worker may read of this worker's connections, for CLIENT LIST.
#
# Invariants:
# 1. What a client says of itself is written at once; figures that change with every command are written at most
#    once a second, and once more when a second has passed without one (clients_show).
# 2. Rows of other workers are read while they change: every text is cut at its room, every number taken as it is.

cdef enum:
    SHOW_MS = 1000                  # so old may a figure of another worker's client be

cdef void client_open(worker_t *w, csp_conn *c) noexcept nogil:
    cdef csp_client *client = client_of(w, c)
    memset(client, 0, sizeof(csp_client))
    client.created_ms = w.now_ms
    client.fd = c.fd
    client_show(w, c)
    client.id = c.id

cdef void client_show(worker_t *w, csp_conn *c) noexcept nogil:
    """Writes the figures as they are now."""
    cdef csp_client *client = client_of(w, c)
    client.shown_ms = w.now_ms
    client.active_ms = c.active_ms
    client.unsent = conn_unsent(c)
    client.flags = c.flags
    client.waits = c.waits
    client.commands = c.commands
    client.command = c.command
    client.subscriptions = subs_count(c)
    client.patterns = subs_patterns(c)
    client.input = conn_input(c)
    c.shown_ms = w.now_ms

cdef inline void client_changed(worker_t *w, csp_conn *c) noexcept nogil:
    """Its figures may be others now: they are written now, or with the next tick."""
    if w.now_ms - c.shown_ms >= SHOW_MS:
        client_show(w, c)
    else:
        w.unshown = True
