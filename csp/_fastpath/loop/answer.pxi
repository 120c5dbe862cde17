# Included by csp/_fastpath.pyx after: receive, dispatch, behind.
# Answers what was received in this turn, at S: lone GETs of many connections together, all else one by one.
#
# Invariants:
# 1. A connection's commands are executed in order, each once; where it stops (a reason to wait, the end of what
#    is whole), the rest is kept.
# 2. One send a connection and turn, but for output that outgrows the shared buffer.
# 3. Who comes when the turn is over is answered in the next one; the first of a turn never waits.

cdef enum:
    COMMANDS_A_LOOK = 16            # of a connection, between two looks at the turn's budget

cdef inline bint plain(worker_t *w, csp_conn *c, uint32_t may) noexcept nogil:
    """Whether the GETs of one whose account may do that may be answered without looking closer."""
    return c.flags & (CSP_CONN_SIGNED_IN | CSP_CONN_MULTI | CSP_CONN_TRACKING | CSP_CONN_PEER_FIRST
                      | CSP_CONN_DISCOVERY) == CSP_CONN_SIGNED_IN and may & CSP_CONN_DATA and not w.loading \
        and (c.subs == NULL or (not is_subscriber2(c) and cursor_is_level(w, c)))

cdef const char *serve(worker_t *w, csp_conn *c, const char *at, const char *end) noexcept nogil:
    """Answers what is complete; where it stopped, NULL when the connection is gone."""
    cdef const char *start = at
    cdef int64_t taken
    cdef uint32_t done = 0
    cdef int status
    c.in_need = 0
    while at < end and c.waits == 0:
        session_enter(w, c)
        if plain(w, c, w.may):
            if get_begins(at, end):
                at = run_gets(w, c, at, end)
            if at != NULL and find_begins(at, end):
                at = run_finds(w, c, at, end)
            if at == NULL or at == end or c.waits != 0 or (w.turn.over and at != start):
                if at != start:
                    c.in_wanted = 0         # what was incomplete has been answered
                return at
        elif c.flags & CSP_CONN_TRACKING:
            at = run_tracked(w, c, at, end)
            if at == NULL or at == end or c.waits != 0 or (w.turn.over and at != start):
                if at != start:
                    c.in_wanted = 0
                return at
        w.parser.wanted = c.in_wanted if at == start else 0
        w.parser.taken = c.in_taken
        w.parser.at = c.in_at
        taken = parse_command(&w.parser, at, end, c.flags & CSP_CONN_SIGNED_IN != 0)
        c.in_wanted = 0
        if taken == PARSE_MORE:
            c.in_need = <uint32_t> w.parser.need
            c.in_wanted = w.parser.wanted
            c.in_taken = w.parser.taken
            c.in_at = <uint32_t> w.parser.at
            return at
        if taken < 0:
            w.stats.protocol_errors += 1
            out_protocol_error(&w.out, taken, w.parser.odd)
            conn_close(w, c, CSP_END_PROTOCOL)
            return end
        status = RUN_DONE
        if w.parser.count > 0:
            status = run_command(w, c, w.parser.args, w.parser.count)
            if status == RUN_GONE:
                return NULL
            if status == RUN_WAIT:
                return at
        at += taken
        if status == RUN_DEFER and is_write(c.command):
            at = pass_on(w, c, at, end)
            if at == NULL:
                return NULL
        if w.out.size >= FLUSH_AT and conn_flush(w, c) < 0:
            return NULL
        done += 1
        if done % COMMANDS_A_LOOK == 0 and turn_over(w):
            break
    return at

cdef void answer(worker_t *w, ready_t *r) noexcept nogil:
    """Answers one connection's input and sends."""
    cdef csp_conn *c = &w.rows[r.row]
    cdef uint64_t id_ = c.id
    cdef const char *stop
    if id_ == 0:
        return
    c.flags &= ~CSP_CONN_READY
    if c.waits != 0:                        # since it was received: by Python or a delivery
        stop = r.at
    else:
        stop = serve(w, c, r.at, r.end)
    if stop == NULL or c.id != id_:
        if c.id == id_:
            conn_free(w, c, CSP_END_MEMORY)
        w.out.size = 0
        return
    if not conn_keep(w, c, stop, r.end - stop, r.own and c.in_ != NULL):
        conn_free(w, c, CSP_END_MEMORY)
        w.out.size = 0
        return
    if conn_flush(w, c) == 0:
        client_changed(w, c)
        if c.waits == 0 and conn_has_command(c):
            conn_again(w, c)                # the turn was over

cdef void put_off(worker_t *w, ready_t *r) noexcept nogil:
    """Keeps one connection's input for the next turn."""
    cdef csp_conn *c = &w.rows[r.row]
    if c.id == 0:
        return
    c.flags &= ~CSP_CONN_READY
    if not r.own and not conn_keep(w, c, r.at, r.end - r.at, False):
        conn_free(w, c, CSP_END_MEMORY)
        return
    conn_again(w, c)

cdef uint8_t single_get(worker_t *w, ready_t *r, get_t *slot) noexcept nogil:
    """Whether the input is one plain GET and nothing else; then its index word is on its way."""
    cdef csp_conn *c = &w.rows[r.row]
    cdef const char *key = NULL
    cdef uint32_t size = 0
    cdef uint8_t kind = SINGLE_PLAIN
    if r.own or c.waits != 0 or conn_owes(c):
        return SINGLE_NOT
    if not plain(w, c, session_may(w, c)):
        if c.flags & CSP_CONN_TRACKING == 0 or not tracked_plain(w, c):
            return SINGLE_NOT
        kind = SINGLE_TRACKED
        csp_prefetch(track_of(c).set)
    if <int64_t> get_command(r.at, r.end, &key, &size) != r.end - r.at:
        return SINGLE_NOT
    slot.word = key_word(w, key, size)
    csp_prefetch(slot.word)
    return kind

cdef void send_single(worker_t *w, csp_conn *c, csp_newest_t *newest) noexcept nogil:
    """Sends a lone reply from where the record lies: borrowed until send returns."""
    cdef csp_record_t *record
    cdef int64_t sent
    session_enter(w, c)
    record = view_visible(&w.view, newest)
    c.commands += 1
    c.command = CSP_CMD_GET
    client_changed(w, c)
    if record == NULL:
        w.stats.misses += 1
        out_null(&w.out, c.flags & CSP_CONN_RESP3 != 0)
        conn_flush(w, c)
        return
    w.stats.hits += 1
    if conn_owes(c):            # another command of the batch pushed to it
        out_bytes(&w.out, <const char *> record_reply(record), record.reply_size)
        conn_flush(w, c)
        return
    sent = conn_send(w, c, <const char *> record_reply(record), record.reply_size)
    if <uint64_t> sent == record.reply_size:
        return
    if sent < 0 or not conn_queue(w, c, <const char *> record_reply(record) + sent, record.reply_size - sent):
        conn_free(w, c, CSP_END_BROKEN if sent < 0 else CSP_END_MEMORY)
    elif c.flags & CSP_CONN_FULL == 0:
        conn_dirty(w, c)

cdef void answer_all(worker_t *w) noexcept nogil:
    """Lone GETs of different connections share their cache misses as a pipeline does; all else one by one."""
    cdef get_t batch[BATCH]
    cdef asked_t asked[BATCH]
    cdef uint8_t single[BATCH]
    cdef uint8_t tracked
    cdef uint32_t first = 0
    cdef uint32_t many, i
    cdef ready_t *r
    while first < w.ready_count:
        many = w.ready_count - first
        if many > BATCH:
            many = BATCH
        tracked = 0
        for i in range(many):
            if w.ready[first + i].row != w.lone_row:
                w.lone_row = w.ready[first + i].row
                w.lone_ms = w.now_ms
            batch[i].word = NULL
            single[i] = SINGLE_NOT
            if w.rows[w.ready[first + i].row].id != 0:
                single[i] = single_get(w, &w.ready[first + i], &batch[i])
                tracked |= single[i]
        for i in range(many):
            if single[i]:
                batch[i].newest = view_newest(&w.view, batch[i].word)
                if batch[i].newest != NULL:
                    newest_prefetch(batch[i].newest)
        if tracked & SINGLE_TRACKED:
            singles_prefetch(w, &w.ready[first], single, asked, many)
        for i in range(many):
            r = &w.ready[first + i]
            if not single[i]:
                if first + i > 0 and turn_over(w):
                    put_off(w, r)
                else:
                    answer(w, r)
            elif w.rows[r.row].id != 0:
                w.rows[r.row].flags &= ~CSP_CONN_READY
                w.stats.commands += 1
                send_single(w, &w.rows[r.row], batch[i].newest)
                if single[i] == SINGLE_TRACKED:
                    single_remember(w, &w.rows[r.row], &asked[i])
        first += many
    w.ready_count = 0
    w.inbox_size = 0
