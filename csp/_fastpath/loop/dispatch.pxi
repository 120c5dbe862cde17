# Included by csp/_fastpath.pyx after: hot, deliver, pages.
# Sends one parsed command to the room that answers it, or to the slow lane.
#
# Invariants:
# 1. Before sign-in only PING is answered here; in MULTI nothing is; what is not known here is the slow lane's.
# 2. A command is consumed exactly once, but for one that waits: it is parsed again when its wait is over.

cdef enum run_status:
    RUN_DONE = 0
    RUN_WAIT = 1                    # not consumed: run it again later
    RUN_DEFER = 2                   # consumed, the reply comes later
    RUN_JOB = 3                     # consumed, the reply is being collected
    RUN_SLOW = 4                    # not of this room
    RUN_GONE = -1                   # the connection is no more

cdef inline bint is_subscriber2(csp_conn *c) noexcept nogil:
    return c.subscriptions > 0 and c.flags & CSP_CONN_RESP3 == 0

cdef bint subscriber_may(const arg_t *verb) noexcept nogil:
    """What a RESP2 subscriber may still call."""
    return word_is(verb, b"ping", 4) or word_is(verb, b"quit", 4) or word_is(verb, b"reset", 5) \
        or word_is(verb, b"subscribe", 9) or word_is(verb, b"psubscribe", 10) \
        or word_is(verb, b"unsubscribe", 11) or word_is(verb, b"punsubscribe", 12)

cdef bint loading_may(const arg_t *verb) noexcept nogil:
    return word_is(verb, b"hello", 5) or word_is(verb, b"auth", 4) or word_is(verb, b"info", 4) \
        or word_is(verb, b"cfg.status", 10) or word_is(verb, b"quit", 4)

cdef void out_not_here(out_t *out, const arg_t *verb) noexcept nogil:
    cdef uint32_t i
    cdef char low
    out_text(out, b"-ERR Can't execute '")
    for i in range(verb.size if verb.size < 64 else 64):
        low = verb.data[i]
        if c'A' <= low <= c'Z':
            low += 32
        out_clean(out, &low, 1, 1)
    out_line(out, b"': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context")

cdef int run_hot(worker_t *w, csp_conn *c, arg_t *args, uint32_t count) noexcept nogil:
    """Answers a command that this side knows; RUN_SLOW for any other."""
    cdef arg_t *verb = &args[0]
    if verb.size == 3:
        if word_is(verb, b"get", 3):
            run_get(w, c, args, count)
            return RUN_DONE
    elif verb.size == 4:
        if word_is(verb, b"mget", 4):
            run_mget(w, c, args, count)
            return RUN_DONE
        if word_is(verb, b"ping", 4):
            run_ping(w, c, args, count)
            return RUN_DONE
        if word_is(verb, b"type", 4):
            run_type(w, c, args, count)
            return RUN_DONE
    elif verb.size == 6:
        if word_is(verb, b"exists", 6):
            run_exists(w, c, args, count)
            return RUN_DONE
        if word_is(verb, b"strlen", 6):
            run_strlen(w, c, args, count)
            return RUN_DONE
    elif verb.size == 8:
        if word_is(verb, b"cfg.read", 8):
            return run_query(w, c, args, count, JOB_READ)
        if word_is(verb, b"cfg.find", 8):
            return run_query(w, c, args, count, JOB_FIND)
    elif verb.size == 9:
        if word_is(verb, b"cfg.count", 9):
            return run_query(w, c, args, count, JOB_COUNT)
        if word_is(verb, b"subscribe", 9):
            run_subscribe(w, c, args, count, False)
            return RUN_DONE
    elif verb.size == 10:
        if word_is(verb, b"psubscribe", 10):
            run_subscribe(w, c, args, count, True)
            return RUN_DONE
    elif verb.size == 11:
        if word_is(verb, b"unsubscribe", 11):
            run_unsubscribe(w, c, args, count, False)
            return RUN_DONE
    elif verb.size == 12:
        if word_is(verb, b"punsubscribe", 12):
            run_unsubscribe(w, c, args, count, True)
            return RUN_DONE
    return RUN_SLOW

cdef int run_command(worker_t *w, csp_conn *c, arg_t *args, uint32_t count) noexcept nogil:
    cdef int status
    c.commands += 1
    w.stats.commands += 1
    if c.flags & CSP_CONN_SIGNED_IN == 0 and not word_is(&args[0], b"ping", 4):
        return slow_command(w, c, args, count)
    if w.loading and not loading_may(&args[0]):
        w.stats.errors += 1
        out_line(&w.out, b"-LOADING csp is loading the configuration")
        return RUN_DONE
    if c.flags & CSP_CONN_MULTI:
        return slow_command(w, c, args, count)
    if is_subscriber2(c) and not subscriber_may(&args[0]):
        w.stats.errors += 1
        out_not_here(&w.out, &args[0])
        return RUN_DONE
    status = run_hot(w, c, args, count)
    return slow_command(w, c, args, count) if status == RUN_SLOW else status
