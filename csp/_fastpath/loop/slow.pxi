# Included by csp/_fastpath.pyx after: conn.
# The ways out of nogil: each takes the GIL, calls Python, and lets no exception through.
#
# Invariants:
# 1. What the shared buffer holds for a connection is set aside before Python runs, so pushes and
#    replies keep their order.
# 2. An exception of the slow lane is logged and answered; it ends neither the connection nor the worker.
# 3. After Python ran, the connection may be gone: callers look again.

END_WORDS = {
    CSP_END_SLOW: "",
    CSP_END_PEER: "its client ended it",
    CSP_END_BROKEN: "its connection broke",
    CSP_END_PROTOCOL: "what it sent was no command",
    CSP_END_SIGN_IN: "it did not sign in in time",
    CSP_END_OUTPUT: "it took nothing of what it was sent within client-response-timeout",
    CSP_END_FURTHEST: "it was furthest behind, and too much was unsent to all",
    CSP_END_MEMORY: "the server had no memory for what it was to be told",
    CSP_END_STOP: "the server stopped",
    CSP_END_TLS: "what it sent was no TLS of this port",
    CSP_END_PREFACE: "its port did not let it in",
    CSP_END_LEFT: "the server drained, or no longer serves its port",
}

cdef void slow_failed(worker_t *w, str what) noexcept:
    """Logs the exception being handled."""
    w.stats.slow_errors += 1
    logging.getLogger("csp.worker").exception("slow lane failed in %s", what)

cdef int slow_command(worker_t *w, csp_conn *c, arg_t *args, uint32_t count) noexcept nogil:
    """Hands a command to Python: RUN_DONE, RUN_DEFER or RUN_GONE."""
    cdef uint64_t handle = conn_handle(w, c)
    if conn_set_aside(w, c) < 0:
        return RUN_GONE
    w.stats.slow_commands += 1
    c.flags |= CSP_CONN_KNOWN
    c.waits |= CSP_WAIT_REPLY
    slow_call(w, handle, args, count)
    if conn_of(w, handle) == NULL:
        return RUN_GONE
    return RUN_DEFER if c.waits & CSP_WAIT_REPLY else RUN_DONE

cdef void slow_call(worker_t *w, uint64_t handle, arg_t *args, uint32_t count) noexcept with gil:
    cdef uint32_t i
    cdef Loop loop = <Loop> w.loop
    cdef csp_conn *c
    cdef bytes reply
    try:
        words = [args[i].data[:args[i].size] for i in range(count)]
        answer = loop.slow.command(handle, words)
        reply = answer
    except Exception as error:
        slow_failed(w, "a command")
        kind = type(error).__name__
        reply = f"-ERR internal error ({kind}); see the server's log\r\n".encode()
    if reply is None:
        w.stats.deferred += 1
        return
    c = conn_of(w, handle)
    if c == NULL:
        return
    c.waits &= ~CSP_WAIT_REPLY
    out_bytes(&w.out, <const char *> reply, len(reply))

cdef int slow_too_many(worker_t *w, csp_conn *c, arg_t *args, uint32_t count) noexcept with gil:
    """Refuses a command with more arguments than are listed: in MULTI that spoils the transaction."""
    cdef Loop loop = <Loop> w.loop
    try:
        reply = <bytes> loop.slow.too_many(conn_handle(w, c), args[0].data[:args[0].size], count)
        out_bytes(&w.out, <const char *> <bytes> reply, len(reply))
    except Exception:
        slow_failed(w, "a refusal")
        out_line(&w.out, b"-ERR internal error; see the server's log")
    return RUN_DONE

cdef int slow_step(worker_t *w, uint64_t handle, uint32_t index, bint late) noexcept with gil:
    """The index-th command of an EXEC, its reply into the shared buffer."""
    cdef Loop loop = <Loop> w.loop
    cdef csp_conn *c
    try:
        said = loop.steps[handle](index, late)
        if type(said) is list:
            c = conn_of(w, handle)
            return loop.run_words(c, said) if c != NULL else STEP_NONE
        if said is None:
            return STEP_NONE
        out_bytes(&w.out, <const char *> <bytes> said, len(said))
    except Exception as error:
        slow_failed(w, "a command of EXEC")
        kind = type(error).__name__
        said = f"-ERR internal error ({kind}); see the server's log\r\n".encode()
        out_bytes(&w.out, <const char *> <bytes> said, len(said))
    return STEP_SAID

cdef void slow_steps_end(worker_t *w, uint64_t handle, uint32_t count) noexcept with gil:
    """All commands of an EXEC have their replies."""
    cdef Loop loop = <Loop> w.loop
    try:
        loop.steps.pop(handle)(count, False)
    except Exception:
        slow_failed(w, "the end of EXEC")

cdef void slow_closed(worker_t *w, uint64_t handle, uint16_t why) noexcept with gil:
    cdef Loop loop = <Loop> w.loop
    try:
        loop.slow.closed(handle, END_WORDS[why])
    except Exception:
        slow_failed(w, "closed")
    loop.long_names.pop(handle, None)
    loop.steps.pop(handle, None)

cdef void slow_certified(worker_t *w, uint64_t handle) noexcept with gil:
    """Tells the slow lane of a client that has shown a certificate; who can't be looked at is not let in."""
    cdef Loop loop = <Loop> w.loop
    cdef csp_conn *c
    try:
        loop.slow.certified(handle)
    except Exception:
        slow_failed(w, "a certificate")
        c = conn_of(w, handle)
        if c != NULL:
            conn_close(w, c, CSP_END_SLOW)

cdef void slow_handshakes(worker_t *w) noexcept with gil:
    """Tells the slow lane of TLS handshakes that failed: how many, and of the last one who, where and why."""
    cdef Loop loop = <Loop> w.loop
    cdef tls_t *tls = &w.tls
    count = tls.failures
    tls.failures = 0
    try:
        address = client_address_text(&tls.failed_client)
        reason = (<bytes> tls.failed_why).decode("ascii", "replace")
        loop.slow.handshakes_failed(count, address, tls.failed_port, reason)
    except Exception:
        slow_failed(w, "a report of failed handshakes")

cdef void slow_agent(worker_t *w) noexcept with gil:
    """What balancers are told from now on; nothing, when that can't be said: they keep what they know."""
    cdef Loop loop = <Loop> w.loop
    cdef bytes line
    w.agent.line[0] = 0
    try:
        line = loop.slow.agent_line()
        if len(line) >= AGENT_BYTES:
            raise ValueError(f"{len(line)} bytes are more than a balancer is told")
        memcpy(w.agent.line, <const char *> line, len(line) + 1)
    except Exception:
        slow_failed(w, "an agent check")

cdef void slow_writable(worker_t *w, uint64_t handle) noexcept with gil:
    cdef Loop loop = <Loop> w.loop
    try:
        loop.slow.writable(handle)
    except Exception:
        slow_failed(w, "writable")

cdef void slow_feed(worker_t *w) noexcept with gil:
    cdef Loop loop = <Loop> w.loop
    w.fed = w.view.revision
    try:
        loop.slow.feed()
    except Exception:
        slow_failed(w, "a feed")

cdef void slow_published(worker_t *w) noexcept with gil:
    cdef Loop loop = <Loop> w.loop
    w.told = w.view.revision
    try:
        loop.slow.published(w.view.revision)
    except Exception:
        slow_failed(w, "published")

cdef void slow_attach(worker_t *w) noexcept with gil:
    cdef Loop loop = <Loop> w.loop
    try:
        loop.attach_generation()
    except Exception:
        slow_failed(w, "attaching a generation")

cdef void slow_moving(worker_t *w) noexcept with gil:
    """Asks where those are to go who have to leave."""
    cdef bytes to
    w.leave_to_size = 0
    try:
        to = (<Loop> w.loop).slow.moving_to()
        if len(to) <= sizeof(w.leave_to):
            memcpy(w.leave_to, <const char *> to, len(to))
            w.leave_to_size = <uint32_t> len(to)
    except Exception:
        slow_failed(w, "asking where to move")

cdef void slow_signals(worker_t *w) noexcept with gil:
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<Loop> w.loop).failure = error
        w.stopping = True

cdef void slow_calls(worker_t *w) noexcept with gil:
    """Runs the callbacks of ready descriptors and due timers; those the turn has no time for come again."""
    cdef Loop loop = <Loop> w.loop
    cdef uint32_t i
    cdef uint32_t count = w.call_count
    w.call_count = 0
    for i in range(count):
        loop.run_fd(<int> (w.calls[i] & 0xFFFFFFFF), <uint32_t> (w.calls[i] >> 32))
        if turn_over(w):
            return                  # epoll tells of a descriptor as long as it is ready
    loop.run_timers()
