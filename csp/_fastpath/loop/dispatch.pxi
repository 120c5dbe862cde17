# Included by csp/_fastpath.pyx after: refuse, hot, deliver, pages.
# Sends one parsed command to the room that answers it, or to the slow lane, by its number in the table of commands.
#
# Invariants:
# 1. Nothing runs, and nothing is queued in MULTI, that refuse.pxi did not let pass.
# 2. In MULTI everything is the slow lane's, and so is what has no `hot` row: run_hot() has exactly the hot ones.
#    So is everything at a port for discovery, which has subscriptions of its own.
# 3. A command is consumed exactly once, but for one that waits: it is parsed again when its wait is over.

cdef enum run_status:
    RUN_DONE = 0
    RUN_WAIT = 1                    # not consumed: run it again later
    RUN_DEFER = 2                   # consumed, the reply comes later
    RUN_JOB = 3                     # consumed, the reply is being collected
    RUN_GONE = -1                   # the connection is no more

cdef bint shows(csp_conn *c, int number) noexcept nogil:
    """Whether the command shows data now: then it waits until the connection was told all up to S."""
    if c.flags & CSP_CONN_MULTI == 0:
        return csp_commands[number].flags & CSP_FLAG_SHOWS != 0
    if csp_commands[number].flags & CSP_FLAG_SHOWS:
        c.flags |= CSP_CONN_WILL_SHOW
    return number == CSP_CMD_EXEC and c.flags & CSP_CONN_WILL_SHOW != 0

cdef inline bint takes_any_keys(int number) noexcept nogil:
    """Whose arguments need not be listed."""
    return number == CSP_CMD_MGET or number == CSP_CMD_EXISTS

cdef int run_hot(worker_t *w, csp_conn *c, int number, arg_t *args, uint32_t count) noexcept nogil:
    """Answers a command whose row is marked `hot`."""
    if number == CSP_CMD_GET:
        run_get(w, c, args, count)
    elif number == CSP_CMD_MGET:
        return run_mget(w, c, args, count)
    elif number == CSP_CMD_PING:
        run_ping(w, c, args, count)
    elif number == CSP_CMD_EXISTS:
        return run_exists(w, c, args, count)
    elif number == CSP_CMD_TYPE:
        run_type(w, c, args, count)
    elif number == CSP_CMD_STRLEN:
        run_strlen(w, c, args, count)
    elif number == CSP_CMD_CFG_READ:
        return run_query(w, c, args, count, JOB_READ)
    elif number == CSP_CMD_CFG_FIND:
        return run_query(w, c, args, count, JOB_FIND)
    elif number == CSP_CMD_CFG_COUNT:
        return run_query(w, c, args, count, JOB_COUNT)
    elif number == CSP_CMD_SUBSCRIBE:
        run_subscribe(w, c, args, count, False)
    elif number == CSP_CMD_PSUBSCRIBE:
        run_subscribe(w, c, args, count, True)
    elif number == CSP_CMD_UNSUBSCRIBE:
        run_unsubscribe(w, c, args, count, False)
    elif number == CSP_CMD_PUNSUBSCRIBE:
        run_unsubscribe(w, c, args, count, True)
    return RUN_DONE

cdef int run_command(worker_t *w, csp_conn *c, arg_t *args, uint32_t count) noexcept nogil:
    cdef int number = command_of(args, count)
    cdef int why = judge(c, session_may(w, c), w.loading, number, count)
    if why == MAY and c.subs != NULL and shows(c, number) and cursor_wait(w, c):
        return RUN_WAIT
    c.commands += 1
    c.command = <uint16_t> number
    w.stats.commands += 1
    if not w.parser.whole and (c.flags & CSP_CONN_MULTI or not takes_any_keys(number)):
        return slow_too_many(w, c, args, count)
    if why == MAY and csp_commands[number].flags & CSP_FLAG_HOT \
            and c.flags & (CSP_CONN_MULTI | CSP_CONN_TRACKING | CSP_CONN_DISCOVERY) == 0:
        return run_hot(w, c, number, args, count)
    if c.flags & CSP_CONN_TRACKING and tracking_command(w, c, number, args, count, why == MAY):
        return run_hot(w, c, number, args, count)
    if why == MAY or why == REFUSE_UNKNOWN or number == CSP_CMD_EXEC or c.flags & CSP_CONN_MULTI:
        return slow_command(w, c, args, count)
    w.stats.errors += 1
    out_refusal(&w.out, why, number, args, count, client_of(w, c).application_dbid)
    return RUN_DONE
