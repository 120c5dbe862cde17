# Included by csp/_fastpath.pyx after: read, reply, conn, subs, match.
# Delivers the change log to the subscriptions of this worker, and takes SUBSCRIBE and its kin.
#
# Invariants:
# 1. A subscriber that keeps up is told of an entry while the worker's cursor passes it; one whose output is full
#    is held at a cursor of its own and continues there: it delays nobody and queues no more than
#    its limit and one message each.
# 2. Changes up to S reach a connection before a reply that was computed at S.
# 3. Every subscription gets a change once; a pattern matches a change once, whatever names fit it.

cdef void message_build(out_t *out, const node_t *node, const char *channel, uint32_t channel_size,
                        const char *payload, uint32_t payload_size, const char *tail) noexcept nogil:
    """One message in the RESP2 form; the RESP3 form differs in its first byte."""
    cdef uint32_t tail_size = <uint32_t> strlen(tail)
    out.size = 0
    if node.pattern:
        out_bytes(out, b"*4\r\n$8\r\npmessage\r\n", 18)
        out_bulk(out, node.name, node.size)
    else:
        out_bytes(out, b"*3\r\n$7\r\nmessage\r\n", 17)
    out_bulk(out, channel, channel_size)
    out_head(out, c'$', payload_size + tail_size)
    out_bytes(out, payload, payload_size)
    out_bytes(out, tail, tail_size)
    out_bytes(out, b"\r\n", 2)

cdef void message_put(worker_t *w, csp_conn *c) noexcept nogil:
    """Queues the message in scratch for one connection."""
    if c.waits & CSP_WAIT_END:
        return
    if w.scratch.size == 0 or w.scratch.failed:
        return
    w.scratch.data[0] = c'>' if c.flags & CSP_CONN_RESP3 else c'*'
    if not conn_queue(w, c, w.scratch.data, w.scratch.size):
        conn_out_empty(w, c)
        conn_close(w, c)
        return
    w.stats.messages += 1
    conn_dirty(w, c)

cdef inline void cursor_put(csp_conn *c, const csp_entry_t *entry, uint32_t told) noexcept nogil:
    """Places a cursor behind so many items; an entry told whole may leave the log: its loss is no gap."""
    cdef bint whole = told >= entry.item_count
    c.cursor_revision = entry.revision + whole
    c.cursor_item = 0 if whole else told

cdef void node_send(worker_t *w, node_t *node, csp_conn *only, uint64_t revision, uint32_t item) noexcept nogil:
    """Gives the message in scratch to the node's subscribers that are at this item, or to one that catches up."""
    cdef csp_conn *c
    cdef uint32_t i
    if only != NULL:
        message_put(w, only)
        return
    for i in range(node.count):
        c = &w.rows[node.subs[i].row]
        if c.waits & CSP_WAIT_CURSOR and not (
                c.cursor_revision == revision and c.cursor_item == item + 1):
            continue
        message_put(w, c)
        if conn_unsent(c) > w.limits.output_max and c.waits & CSP_WAIT_CURSOR == 0:
            c.waits |= CSP_WAIT_CURSOR
            c.cursor_revision = revision
            c.cursor_item = item + 1
            w.stats.lags += 1
            handles_add(&w.lagging, conn_handle(w, c))

cdef void item_deliver(worker_t *w, const csp_entry_t *entry, const csp_item_t *item, uint32_t i,
                       csp_conn *only) noexcept nogil:
    cdef char name[NAME_ROOM]
    cdef node_t *node
    cdef const char *payload = <const char *> item_event(item)
    cdef const char *tail
    cdef uint32_t size, k
    for k in range(watch_match(w, item)):
        node = w.watch.matches[k].node
        if only != NULL and subs_find(<subs_t *> only.subs, node) == NULL:
            continue
        size = item_name(item, w.watch.matches[k].which, name)
        tail = b',"more":true}' if node_last(w, node, entry) > i else b',"more":false}'
        message_build(&w.scratch, node, name, size, payload, item.event_size, tail)
        node_send(w, node, only, entry.revision, i)

cdef void notice_send(worker_t *w, const char *payload, uint32_t size, csp_conn *only) noexcept nogil:
    """Publishes on cfg.notice to all its subscribers, or to one of them."""
    cdef node_t *node = watch_notice(w)
    cdef uint32_t i
    while node != NULL:
        if only == NULL or subs_find(<subs_t *> only.subs, node) != NULL:
            message_build(&w.scratch, node, b"cfg.notice", 10, payload, size, b"")
            if only != NULL:
                message_put(w, only)
            else:
                for i in range(node.count):
                    message_put(w, &w.rows[node.subs[i].row])
        node = node.notice_next

cdef void notice_resync(worker_t *w, uint64_t oldest, csp_conn *only) noexcept nogil:
    cdef char payload[64]
    cdef uint32_t size = put_text(payload, b'{"op":"resync","oldest":', 24)
    size += put_decimal(payload + size, oldest)
    payload[size] = c'}'
    w.stats.resyncs += 1
    notice_send(w, payload, size + 1, only)

cdef void cursors_past(worker_t *w, const csp_entry_t *entry, uint32_t first) noexcept nogil:
    """Settles the cursors of those who fell behind at this entry, once all its items are told."""
    cdef csp_conn *c
    cdef uint32_t i
    for i in range(first, w.lagging.count):
        c = conn_of(w, w.lagging.items[i])
        if c != NULL:
            cursor_put(c, entry, c.cursor_item)

cdef void deliver_live(worker_t *w) noexcept nogil:
    """Moves the worker's cursor to S, telling everybody who keeps up."""
    cdef csp_entry_t *entry
    cdef const csp_item_t *item
    cdef uint64_t oldest
    cdef uint32_t i, lagging
    if w.event_subscriptions == 0:
        w.delivered = w.view.revision
        return
    while w.delivered < w.view.revision:
        entry = log_entry(w.store, w.delivered + 1)
        if entry == NULL:
            oldest = csp_load(&w.store.super.log_oldest)
            if oldest > w.view.revision or oldest <= w.delivered + 1:
                oldest = w.view.revision + 1
            notice_resync(w, oldest, NULL)
            w.delivered = oldest - 1
            continue
        w.stats.entries += 1
        lagging = w.lagging.count
        item = entry_items(entry)
        for i in range(entry.item_count):
            item_deliver(w, entry, item, i, NULL)
            item = <const csp_item_t *> (<const char *> item + item.size)
        cursors_past(w, entry, lagging)
        w.delivered += 1

cdef void deliver_switch(worker_t *w, uint64_t delivered) noexcept nogil:
    """Places the cursors in another generation's log: a difference that it begins with is for everybody."""
    cdef uint64_t oldest = csp_load(&w.store.super.log_oldest)
    cdef csp_entry_t *first = log_entry(w.store, oldest) if oldest <= w.view.revision else NULL
    cdef bint difference = first != NULL and first.flags & CSP_DIFFERENCE != 0
    cdef csp_conn *c
    cdef uint32_t i
    w.delivered = delivered if delivered < w.view.revision else w.view.revision
    if difference:
        w.delivered = oldest - 1
    for i in range(w.lagging.count):
        c = conn_of(w, w.lagging.items[i])
        if c != NULL and (difference or c.cursor_revision > w.view.revision):
            notice_resync(w, w.delivered + 1, c)    # the rest of the old log is out of its reach
            c.cursor_revision = w.delivered + 1
            c.cursor_item = 0

cdef bint deliver_to(worker_t *w, csp_conn *c) noexcept nogil:
    """Goes on for one connection that fell behind; whether it has caught up with S."""
    cdef csp_entry_t *entry
    cdef const csp_item_t *item
    cdef uint64_t oldest
    cdef uint32_t i
    while c.cursor_revision <= w.view.revision and c.waits & CSP_WAIT_END == 0:
        if conn_unsent(c) > w.limits.output_max:
            return False
        entry = log_entry(w.store, c.cursor_revision)
        if entry == NULL:
            oldest = csp_load(&w.store.super.log_oldest)
            if oldest <= c.cursor_revision or oldest > w.view.revision:
                oldest = w.view.revision + 1
            notice_resync(w, oldest, c)
            c.cursor_revision = oldest
            c.cursor_item = 0
            continue
        item = entry_items(entry)
        for i in range(entry.item_count):
            if i >= c.cursor_item:
                item_deliver(w, entry, item, i, c)
                if conn_unsent(c) > w.limits.output_max:
                    cursor_put(c, entry, i + 1)
                    break
            item = <const csp_item_t *> (<const char *> item + item.size)
        else:
            cursor_put(c, entry, entry.item_count)
    return True

cdef void deliver_lagging(worker_t *w) noexcept nogil:
    """Continues the held subscriptions whose connections took enough."""
    cdef uint32_t i, kept = 0
    cdef csp_conn *c
    for i in range(w.lagging.count):
        c = conn_of(w, w.lagging.items[i])
        if c == NULL or c.waits & CSP_WAIT_CURSOR == 0:
            continue
        if conn_unsent(c) <= w.limits.output_max // 2 and deliver_to(w, c):
            conn_resume(w, c, CSP_WAIT_CURSOR)
        else:
            w.lagging.items[kept] = w.lagging.items[i]
            kept += 1
    w.lagging.count = kept

# ---- commands ----

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
