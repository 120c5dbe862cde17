# Included by csp/_fastpath.pyx after: subs, deliver.
# SUBSCRIBE, PSUBSCRIBE, UNSUBSCRIBE, PUNSUBSCRIBE.
#
# Invariants:
# 1. All subscriptions of one command are added, or none.
# 2. What was answered to UNSUBSCRIBE ends that subscription: no change of it comes afterwards.

cdef void subscribed_line(worker_t *w, csp_conn *c, const char *verb, const char *name, uint32_t size,
                          uint32_t left) noexcept nogil:
    """One confirmation, with how many subscriptions there are then; NULL: of no name."""
    out_head(&w.out, c'>' if c.flags & CSP_CONN_RESP3 else c'*', 3)
    out_bulk(&w.out, verb, strlen(verb))
    if name == NULL:
        out_null(&w.out, c.flags & CSP_CONN_RESP3 != 0)
    else:
        out_bulk(&w.out, name, size)
    out_number(&w.out, left)

cdef bint subscribe_refused(worker_t *w, csp_conn *c, arg_t *args, uint32_t count, bint pattern) noexcept nogil:
    """Whether a limit forbids these subscriptions; it is said which."""
    cdef subs_t *subs = <subs_t *> c.subs
    cdef scope_t scope
    cdef uint32_t i, fresh = 0, loose = 0, loose_new = 0
    cdef node_t *node
    for i in range(1, count):
        if args[i].size > w.limits.pattern_bytes:
            out_text(&w.out, b"-TOOBIG a channel or pattern of ")
            out_decimal(&w.out, args[i].size)
            out_text(&w.out, b" bytes is too long; at most ")
            out_decimal(&w.out, w.limits.pattern_bytes)
            out_line(&w.out, b"")
            return True
        node = watch_find(&w.watch, args[i].data, args[i].size, pattern)
        if node != NULL and subs_find(subs, node) != NULL:
            continue
        fresh += 1
        if pattern and channel_read(args[i].data, args[i].size, True, &scope) == CHANNEL_LOOSE:
            loose += 1
            loose_new += node == NULL
    if subs_count(c) + fresh > w.limits.subscriptions:
        out_text(&w.out, b"-TOOBIG a connection may have at most ")
        out_decimal(&w.out, w.limits.subscriptions)
        out_line(&w.out, b" subscriptions; none of these was added")
        return True
    if loose > 0 and (subs.loose if subs != NULL else 0) + loose > w.limits.loose_patterns:
        loose_refused(w, b"-TOOBIG a connection may have at most ", w.limits.loose_patterns)
        return True
    if loose_new > 0 and w.watch.loose_count + loose_new > w.limits.loose_patterns_all:
        loose_refused(w, b"-TOOBIG all connections of a worker may have at most ", w.limits.loose_patterns_all)
        return True
    return False

cdef void loose_refused(worker_t *w, const char *who, uint32_t most) noexcept nogil:
    out_text(&w.out, who)
    out_decimal(&w.out, most)
    out_line(&w.out, b" patterns that are more than a class, a tenant, a DBID and stars for whole parts;"
                     b" none of these was added")

cdef void run_subscribe(worker_t *w, csp_conn *c, arg_t *args, uint32_t count, bint pattern) noexcept nogil:
    cdef const char *verb = b"psubscribe" if pattern else b"subscribe"
    cdef uint32_t i
    if count < 2:
        out_arity(&w.out, verb)
        return
    if subscribe_refused(w, c, args, count, pattern):
        return
    for i in range(1, count):
        if watch_add(w, c, args[i].data, args[i].size, pattern) < 0:
            out_line(&w.out, b"-ERR out of memory")
            return
        subscribed_line(w, c, verb, args[i].data, args[i].size, subs_count(c))
    client_show(w, c)               # at once: other workers' CLIENT LIST is asked who subscribes

cdef void run_unsubscribe(worker_t *w, csp_conn *c, arg_t *args, uint32_t count, bint pattern) noexcept nogil:
    cdef const char *verb = b"punsubscribe" if pattern else b"unsubscribe"
    cdef subs_t *subs
    cdef node_t *node
    cdef link_t *link
    cdef uint32_t i
    for i in range(1, count):
        node = watch_find(&w.watch, args[i].data, args[i].size, pattern)
        link = subs_find(<subs_t *> c.subs, node) if node != NULL else NULL
        if link != NULL:
            watch_leave(w, c, link)
        subscribed_line(w, c, verb, args[i].data, args[i].size, subs_count(c))
    if count > 1:
        return
    subs = <subs_t *> c.subs
    if subs == NULL or (subs.patterns if pattern else subs.count - subs.patterns) == 0:
        subscribed_line(w, c, verb, NULL, 0, subs_count(c))
        return
    i = 0
    while c.subs != NULL and (subs.patterns if pattern else subs.count - subs.patterns) > 0:
        link = &subs.links[i & (subs.room - 1)]
        if link.node == NULL or link.node.pattern != pattern:
            i += 1
            continue
        subscribed_line(w, c, verb, link.node.name, link.node.size, subs_count(c) - 1)
        watch_leave(w, c, link)
