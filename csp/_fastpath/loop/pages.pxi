# Included by csp/_fastpath.pyx after: job, options, project, trim.
# CFG.READ, CFG.FIND and CFG.COUNT: a query on the stack, which becomes a job where one slice is not enough.
#
# Invariants:
# 1. What its first slice answers allocates nothing but a page; what has a few candidates asks no clock either.
# 2. Until it is kept a job borrows its texts from the request, and its filters lie on the stack.
# 3. Nothing of a page is sent before all of it is known; then it goes out in slices too.

cdef enum:
    PAGE_STEP = 32                  # candidates before the clock is looked at,
    NODE_STEP = 8                   # words of 64 nodes, where it counts by those
    PAGE_STEP_BYTES = 65536         # or bytes copied
    HEAD_ROOM = 96                  # three lines in front of a page

cdef void page_close(page_t *page) noexcept nogil:
    query_free(&page.query)
    page.count = 0
    page.last = 0
    page.found = NULL
    page.ended = False
    page.full = False

cdef bint page_open(worker_t *w, out_t *out, job_t *job) noexcept nogil:
    """Opens the filters at the job's S; False: the error is in out."""
    cdef page_t *page = &job.page
    page.query.class_id = page.class_id
    page.query.view = job.view
    if page.brief and not w.limits.check_briefs:
        page.query.view = view_all(job.view.store, job.view.revision)
    page.query.after = page.after
    page.first_revision = page.asked_revision if page.asked_revision > 0 else job.view.revision
    if not query_open(out, &page.query, page.pairs, page.pair_count):
        query_free(&page.query)
        return False
    if job.kind == JOB_READ:
        job.body.size = HEAD_ROOM
        if not out_grow(&job.body, page_estimate(w, job)):
            job.body.failed = True
    return True

cdef bint page_step(worker_t *w, job_t *job) noexcept nogil:
    """Looks at so many candidates; whether all are done."""
    cdef page_t *page = &job.page
    cdef uint32_t objects = PAGE_STEP
    cdef uint64_t most = job.body.size + PAGE_STEP_BYTES
    cdef csp_record_t *record
    while objects > 0 and job.body.size < most and not job.body.failed:
        record = query_next(&page.query, &objects, &page.ended)
        if record == NULL:
            return page.ended
        if job.kind == JOB_READ:
            if not page_put(w, job, record):
                return True
            continue
        page.count += 1
        if job.kind == JOB_FIND:
            page.found = record
            if page.count == 2:
                return True
    return job.body.failed

cdef bint page_slice(worker_t *w, job_t *job) noexcept nogil:
    """Works on for a slice; whether the job is done."""
    cdef page_t *page = &job.page
    cdef int64_t until
    if job.kind == JOB_COUNT and page.query.count == 1 and page.query.filters[0].form == FORM_LIST \
            and view_is_whole(&page.query.view):
        page.count = page.query.filters[0].count
        return True
    if job.kind == JOB_COUNT and page.query.count == 0 and view_counts_by_node(&page.query.view, page.class_id):
        return nodes_slice(page)
    if page_step(w, job):
        return True
    until = clock_ns(CLOCK_MONOTONIC) + JOB_SLICE_NS
    while not page_step(w, job):
        if clock_ns(CLOCK_MONOTONIC) >= until:
            return False
    return True

cdef bint nodes_slice(page_t *page) noexcept nogil:
    """Counts by nodes, `last` words of bits so far, for a slice; whether all are done."""
    cdef const csp_view_t *view = &page.query.view
    cdef int64_t until = clock_ns(CLOCK_MONOTONIC) + JOB_SLICE_NS
    while page.last < view.words:
        page.count += <uint32_t> view_count_word(view, page.class_id, <uint32_t> page.last)
        page.last += 1
        if page.last % NODE_STEP == 0 and clock_ns(CLOCK_MONOTONIC) >= until:
            return False
    page.count += <uint32_t> view_count_beside(view, page.class_id)
    return True

cdef bint page_put(worker_t *w, job_t *job, csp_record_t *record) noexcept nogil:
    """Puts an object on the page; False: the page is full without it."""
    cdef page_t *page = &job.page
    cdef const char *body = NULL
    cdef uint64_t size = record.brief_size if page.brief else record.reply_size
    cdef uint64_t at = job.body.size
    if page.query.driver < 0:
        page_peek(job, record.dbid)
    if page.count > 0 and (page.count == page.limit or at - HEAD_ROOM + size > w.limits.page_bytes):
        page.full = True
        return False
    page.count += 1
    page.last = record.dbid
    if page.field_count > 0:
        size = frame_size(<const char *> record_reply(record), &body)
        project(&job.body, body, <uint32_t> size, page.fields, page.field_count)
    else:
        out_bytes(&job.body, <const char *> (record_brief(record) if page.brief else record_reply(record)), size)
    if page.query.trims:
        frame_trim(&job.body, at)
    return True

cdef bint page_answer(worker_t *w, csp_conn *c, job_t *job) noexcept nogil:
    """Gives the finished job's reply to the connection; False: it could not, close it."""
    cdef page_t *page = &job.page
    cdef uint64_t at = w.out.size
    if job.body.failed:
        return False
    if job.kind == JOB_READ:
        return page_send(w, c, job)
    if job.kind == JOB_COUNT:
        out_number(&w.out, page.count)
    elif page.count == 0:
        out_null(&w.out, c.flags & CSP_CONN_RESP3 != 0)
    elif page.count == 1:
        out_bytes(&w.out, <const char *> record_reply(page.found), page.found.reply_size)
        if page.query.trims:
            frame_trim(&w.out, at)
    else:
        out_line(&w.out, b"-BADVALUE more than one object fits; add the key that tells them apart"
                 b" (tenant_dbid, switch_dbid), or use CFG.READ")
    return True

cdef bint page_send(worker_t *w, csp_conn *c, job_t *job) noexcept nogil:
    """Puts the three lines in front of a page, and gives it away."""
    cdef page_t *page = &job.page
    cdef char cursor[48]
    cdef char head[HEAD_ROOM]
    cdef out_t line
    cdef rest_t *made
    cdef uint32_t size = 0
    if page.full:
        size = put_decimal(cursor, page.first_revision)
        cursor[size] = c'-'
        size += 1
        size += put_decimal(cursor + size, page.last)
    else:
        cursor[0] = c'0'
        size = 1
    line.data, line.size, line.room, line.failed = head, 0, HEAD_ROOM, False
    out_array(&line, 3)
    out_number(&line, <int64_t> page.first_revision)
    out_bulk(&line, cursor, size)
    out_array(&line, page.count)
    memcpy(job.body.data + HEAD_ROOM - line.size, head, line.size)
    made = kept_add(w, job, HEAD_ROOM - line.size)
    if made != NULL:
        return kept_give(w, c, made)
    w.stats.pages += 1
    return body_give(w, c, &job.body, HEAD_ROOM - line.size)

cdef void body_front(worker_t *w, csp_conn *c, job_t *job) noexcept nogil:
    """Begins a reply that may be large: what is unsent now will stand before it, so that it need not move."""
    job.front = conn_unsent(c) + w.out.size
    if job.front > 0:
        out_room(&job.body, job.front)
        job.body.size = job.front

cdef bint body_give(worker_t *w, csp_conn *c, out_t *body, uint64_t from_) noexcept nogil:
    """A small reply goes through the shared buffer; a large one becomes the connection's queue without a copy."""
    cdef uint64_t size = body.size - from_
    cdef uint64_t unsent
    if size <= SEND_SLICE or w.executing:
        out_bytes(&w.out, body.data + from_, size)
        return True
    if w.out.size > 0 and not (not w.out.failed and conn_queue(w, c, w.out.data, w.out.size)):
        return False
    w.out.size = 0
    conn_dirty(w, c)
    unsent = conn_unsent(c)
    if unsent > from_:
        return conn_queue(w, c, body.data + from_, size)
    if c.out != NULL:
        from_ -= unsent
        memcpy(body.data + from_, c.out + c.out_head, unsent)
        size += unsent
        conn_out_empty(w, c)
    c.out = body.data
    c.out_head = from_
    c.out_size = body.size
    c.out_room = body.room
    memset(body, 0, sizeof(out_t))
    w.queue_bytes += size
    w.stats.buffers += 1
    conn_blocked(w, c)
    return True

# ---- commands ----

cdef int run_query(worker_t *w, csp_conn *c, arg_t *args, uint32_t count, int kind) noexcept nogil:
    """CFG.READ, CFG.FIND, CFG.COUNT: RUN_DONE, RUN_WAIT to be run again, RUN_JOB to be continued, RUN_GONE."""
    cdef arg_t room[2 * FILTERS_MAX]
    cdef arg_t *pairs = room
    cdef options_t o
    cdef job_t job
    cdef char key[KEPT_KEY_MAX]
    cdef int found
    if count < 2 or (kind == JOB_FIND and (count < 4 or count & 1)):
        out_arity(&w.out, b"cfg.read" if kind == JOB_READ else b"cfg.find" if kind == JOB_FIND else b"cfg.count")
        return RUN_DONE
    found = csp_class_by_name(args[1].data, args[1].size)
    if found < 0:
        out_text(&w.out, b"-BADCLASS no class ")
        out_quoted(&w.out, &args[1])
        out_line(&w.out, b"; CFG.CLASSES lists the classes, names are case-exact")
        return RUN_DONE
    if kind == JOB_COUNT and count == 2 and view_is_whole(&w.view):
        out_number(&w.out, <int64_t> view_count(&w.view, <uint32_t> found))
        return RUN_DONE
    if kind == JOB_FIND:
        memset(&o, 0, sizeof(options_t))
        o.max_age = -1
        o.pair_count = (count - 2) // 2
        pairs = &args[2]
    elif not read_options(w, &w.out, args, count, kind == JOB_READ, pairs, &o):
        return RUN_DONE
    memset(&job, 0, sizeof(job_t))
    job.kind = kind
    job.page.class_id = <uint32_t> found
    job.page.pairs = pairs
    job.page.pair_count = o.pair_count
    job.page.fields = &args[o.fields_at]
    job.page.field_count = o.field_count
    job.page.brief = o.brief
    job.page.limit = <uint32_t> o.limit
    if kind == JOB_READ and not w.executing:
        job.key = key
        job.key_size = kept_key(key, args, count)
    return query_begin(w, c, &o, &job)

cdef int query_begin(worker_t *w, csp_conn *c, options_t *o, job_t *job) noexcept nogil:
    """Runs the first slice once its conditions hold."""
    if not read_cursor(&o.cursor, &job.page.asked_revision, &job.page.after):
        bad_option(&w.out, b"CURSOR takes what the page before returned, or 0", &o.cursor)
        return RUN_DONE
    if o.min_revision > job.page.asked_revision:
        if o.min_revision > w.view.revision:
            return RUN_WAIT if must_wait(w, c, o.min_revision) else RUN_DONE
    elif job.page.asked_revision > w.view.revision:
        return RUN_WAIT if must_wait(w, c, job.page.asked_revision) else RUN_DONE
    c.flags &= ~CSP_CONN_NUDGED
    if too_old(w, o.max_age):
        return RUN_DONE
    if job.kind == JOB_READ and jobs_crowded(w):
        out_crowded(w, &w.out)
        return RUN_DONE
    return query_first(w, c, job)

cdef int query_first(worker_t *w, csp_conn *c, job_t *job) noexcept nogil:
    """The first slice, unless the turn has no room for it: then the job waits for the next."""
    cdef filter_t filters[FILTERS_MAX]
    cdef query_t *q = &job.page.query
    cdef bint few, fine
    q.filters = filters
    job_open(w, job)
    if job_is_made(w, job):
        w.stats.pages_shared += 1
        return RUN_DONE if kept_give(w, c, job.page_made) else RUN_GONE
    if not page_open(w, &w.out, job):
        return RUN_DONE
    few = q.driver >= 0 and q.filters[q.driver].count <= PAGE_STEP and job.kind != JOB_READ
    if not few and not w.executing and turn_over(w):
        job_restart(w, job, JOB_FRESH)
        return job_keep(w, c, job)
    if page_slice(w, job):
        fine = page_answer(w, c, job)
        job_close(w, job)
        return RUN_DONE if fine else RUN_GONE
    return job_keep(w, c, job)

cdef int job_keep(worker_t *w, csp_conn *c, job_t *made) noexcept nogil:
    """Lets a query that is on the stack outlive it, in one block of memory with all that it has borrowed."""
    cdef page_t *page = &made.page
    cdef uint64_t size = sizeof(job_t) + page.pair_count * sizeof(filter_t) \
        + (2 * page.pair_count + page.field_count) * sizeof(arg_t) + made.key_size
    cdef job_t *job
    cdef char *at
    cdef uint32_t i
    for i in range(2 * page.pair_count):
        size += page.pairs[i].size
    for i in range(page.field_count):
        size += page.fields[i].size
    job = <job_t *> malloc(size)
    if job == NULL:
        job_close(w, made)
        out_line(&w.out, b"-ERR out of memory")
        return RUN_DONE
    job[0] = made[0]
    job.page.query.filters = <filter_t *> (job + 1)
    if page.query.count > 0:
        memcpy(job.page.query.filters, page.query.filters, page.query.count * sizeof(filter_t))
    job.page.pairs = <arg_t *> (job.page.query.filters + page.pair_count)
    job.page.fields = job.page.pairs + 2 * page.pair_count
    at = <char *> (job.page.fields + page.field_count)
    at = texts_keep(at, job.page.pairs, page.pairs, 2 * page.pair_count)
    at = texts_keep(at, job.page.fields, page.fields, page.field_count)
    if made.key_size > 0:
        memcpy(at, made.key, made.key_size)
        job.key = at
    if not w.executing:
        job_weigh(w, job)
    return job_begin(w, c, job)

cdef char *texts_keep(char *at, arg_t *to, const arg_t *from_, uint32_t count) noexcept nogil:
    """Copies texts to where at points; behind the last."""
    cdef uint32_t i
    for i in range(count):
        memcpy(at, from_[i].data, from_[i].size)
        to[i].data = at
        to[i].size = from_[i].size
        at += from_[i].size
    return at
