# Included by csp/_fastpath.pyx after: parse, refuse, slow, dispatch.
# Passes on the writes that a client has sent behind one that is under way, so that they are done together.
#
# Invariants:
# 1. Only writes outside of MULTI that stand directly behind one another are passed on; what stands behind them
#    waits for the last of them.
# 2. The slow lane makes one reply of all theirs, in the order of the commands, and the connection waits for that.
# 3. A write is judged and counted as any command; one that may not run ends it, and is answered in its turn.
# 4. The slow lane takes none while much waits for the writer already: then it waits here, as ever.

cdef enum:
    BEHIND_MAX = 64                 # as many as the writer takes in one group

cdef inline bint is_write(int number) noexcept nogil:
    return number == CSP_CMD_CFG_CREATE or number == CSP_CMD_CFG_UPDATE or number == CSP_CMD_CFG_DELETE

cdef bint slow_behind(worker_t *w, uint64_t handle, arg_t *args, uint32_t count) noexcept with gil:
    """Hands the slow lane a command that stands behind one under way; False: not now."""
    cdef uint32_t i
    cdef Loop loop = <Loop> w.loop
    try:
        return loop.slow.behind(handle, [args[i].data[:args[i].size] for i in range(count)])
    except Exception:
        slow_failed(w, "a write behind another")
    return True

cdef const char *pass_on(worker_t *w, csp_conn *c, const char *at, const char *end) noexcept nogil:
    """Where it stopped; NULL when the connection is gone."""
    cdef uint64_t handle = conn_handle(w, c)
    cdef uint32_t passed = 0
    cdef int64_t taken
    cdef int number
    while passed < BEHIND_MAX and at < end and c.waits == CSP_WAIT_REPLY and c.flags & CSP_CONN_MULTI == 0:
        w.parser.wanted = 0
        taken = parse_command(&w.parser, at, end, True)
        if taken <= 0 or w.parser.count == 0 or not w.parser.whole:
            break                           # it is cut anew when its turn comes
        number = command_of(w.parser.args, w.parser.count)
        if not is_write(number) or judge(c, session_may(w, c), w.loading, number, w.parser.count) != MAY:
            break
        if not slow_behind(w, handle, w.parser.args, w.parser.count):
            break
        if conn_of(w, handle) == NULL:
            return NULL
        c.commands += 1
        c.command = <uint16_t> number
        w.stats.commands += 1
        w.stats.slow_commands += 1
        w.stats.deferred += 1
        at += taken
        passed += 1
    return at
