# Included by csp/_fastpath.pyx after: hot, filter, project, trim.
# CFG.READ, CFG.FIND and CFG.COUNT: parsed into a job, which is worked off in slices so that no page holds a turn.
#
# Invariants:
# 1. A job sees one revision from its first slice to its last. While one is under way the worker keeps the announcement
#    of its start, and begins no new one once that is PIN_MAX_MS old: so the writer can reclaim soon.
# 2. Nothing of a page is sent before all of it is known; then it goes out in slices too.
# 3. A cursor is text: the first page's revision and the last DBID. Any worker of any server of the
#    stream understands it.

cdef enum:
    JOB_OBJECTS = 512               # candidates examined a slice, about 50 us
    JOB_BYTES = 65536               # and bytes copied
    JOB_SLICES = 2                  # in a turn, over all connections
    JOB_LONE = 8                    # by so much a slice is larger while nobody else asks for anything
    PIN_MAX_MS = 50
    HEAD_ROOM = 96                  # three lines in front of a page

cdef enum job_kind:
    JOB_READ = 1
    JOB_FIND = 2
    JOB_COUNT = 3

cdef struct job_t:
    int kind
    bint started, ended, full, brief
    uint32_t class_id
    uint32_t limit
    uint32_t count
    uint32_t field_count
    arg_t *fields                   # point into text
    arg_t *pairs
    uint32_t pair_count
    char *text
    uint64_t last                   # DBID of the last object on the page
    uint64_t after                  # where the cursor said to begin
    uint64_t first_revision         # reported; 0: of this page
    query_t query
    out_t body

cdef struct options_t:
    arg_t cursor
    bint brief
    uint64_t limit
    uint64_t min_revision
    int64_t max_age
    uint32_t fields_at, field_count
    uint32_t pair_count

cdef void job_free(job_t *job) noexcept nogil:
    query_free(&job.query)
    out_free(&job.body)
    free(job.fields)
    free(job.pairs)
    free(job.text)
    free(job)

cdef void job_drop(worker_t *w, csp_conn *c) noexcept nogil:
    if c.job != NULL:
        job_free(<job_t *> c.job)
        c.job = NULL
        w.stats.jobs -= 1

cdef inline bint word_is(const arg_t *arg, const char *word, uint32_t size) noexcept nogil:
    """Whether they are equal in any case; the first letter tells most words apart without a call."""
    return arg.size == size and (arg.data[0] ^ word[0]) & 0xDF == 0 and strncasecmp(arg.data, word, size) == 0

cdef bint bad_option(out_t *out, const char *text, arg_t *arg) noexcept nogil:
    out_text(out, b"-BADVALUE ")
    out_text(out, text)
    if arg != NULL:
        out_text(out, b", not ")
        out_quoted(out, arg)
    out_line(out, b"")
    return False

cdef bint read_options(worker_t *w, out_t *out, arg_t *args, uint32_t count, bint paging, arg_t *pairs,
                       options_t *o) noexcept nogil:
    """Reads what follows the class; pairs has room for all. False: the error is in out."""
    cdef uint32_t i = 2
    cdef int64_t number = 0
    memset(o, 0, sizeof(options_t))
    o.limit = w.limits.page_default
    o.max_age = -1
    while i < count:
        if word_is(&args[i], b"FILTER", 6) and i + 2 < count:
            pairs[2 * o.pair_count] = args[i + 1]
            pairs[2 * o.pair_count + 1] = args[i + 2]
            o.pair_count += 1
            i += 3
        elif paging and word_is(&args[i], b"BRIEF", 5):
            o.brief = True
            i += 1
        elif paging and word_is(&args[i], b"FIELDS", 6) and i + 1 < count:
            if not parse_number(args[i + 1].data, args[i + 1].data + args[i + 1].size, &number) \
                    or number < 1 or number > FIELDS_MAX or i + 1 + number >= count:
                return bad_option(out, b"FIELDS takes how many names follow (1 to 128), then the names", &args[i + 1])
            o.fields_at = i + 2
            o.field_count = <uint32_t> number
            i += 2 + <uint32_t> number
        elif paging and word_is(&args[i], b"LIMIT", 5) and i + 1 < count:
            if not parse_number(args[i + 1].data, args[i + 1].data + args[i + 1].size, &number) \
                    or number < 1 or number > w.limits.page_objects:
                return bad_option(out, b"LIMIT takes a number from 1 to 10000", &args[i + 1])
            o.limit = <uint64_t> number
            i += 2
        elif paging and word_is(&args[i], b"CURSOR", 6) and i + 1 < count:
            o.cursor = args[i + 1]
            i += 2
        elif paging and word_is(&args[i], b"MINREV", 6) and i + 1 < count:
            if not parse_number(args[i + 1].data, args[i + 1].data + args[i + 1].size, &number) or number < 0:
                return bad_option(out, b"MINREV takes a revision", &args[i + 1])
            o.min_revision = <uint64_t> number
            i += 2
        elif paging and word_is(&args[i], b"MAXAGE", 6) and i + 1 < count:
            if not parse_number(args[i + 1].data, args[i + 1].data + args[i + 1].size, &o.max_age) or o.max_age < 0:
                return bad_option(out, b"MAXAGE takes milliseconds", &args[i + 1])
            i += 2
        else:
            out_text(out, b"-ERR syntax error near ")
            out_quoted(out, &args[i])
            out_line(out, b"")
            return False
    return True

cdef bint read_cursor(arg_t *cursor, uint64_t *revision, uint64_t *after) noexcept nogil:
    """`revision-DBID`, or `0` for the beginning."""
    cdef const char *dash
    cdef int64_t number = 0
    cdef uint32_t dbid = 0
    revision[0] = 0
    after[0] = 0
    if cursor.size == 0 or (cursor.size == 1 and cursor.data[0] == c'0'):
        return True
    dash = <const char *> memchr(cursor.data, c'-', cursor.size)
    if dash == NULL or dash == cursor.data or not parse_number(cursor.data, dash, &number) or number < 0:
        return False
    if not read_u32(dash + 1, <uint32_t> (cursor.data + cursor.size - dash - 1), &dbid):
        return False
    revision[0] = <uint64_t> number
    after[0] = dbid
    return True

cdef int must_wait(worker_t *w, csp_conn *c, uint64_t revision) noexcept nogil:
    """1: this read waits for a revision that is not here; 0: it is answered now, perhaps with STALE in out."""
    if revision <= w.view.revision:
        return 0
    if c.flags & CSP_CONN_NUDGED == 0 and not w.executing:
        if wait_add(w, c, revision):
            return 1
    c.flags &= ~CSP_CONN_NUDGED
    out_text(&w.out, b"-STALE revision ")
    out_decimal(&w.out, revision)
    out_text(&w.out, b" is not here yet; this server has ")
    out_decimal(&w.out, w.view.revision)
    out_line(&w.out, b"")
    return 0

cdef int64_t link_age_ms(worker_t *w) noexcept nogil:
    """How long ago the root was heard of; 0 on a server that has the database itself."""
    cdef timespec now
    cdef int64_t age
    if csp_load(&w.control.link_state) == 0:
        return 0
    clock_gettime(CLOCK_REALTIME_COARSE, &now)
    age = <int64_t> now.tv_sec * 1000 + now.tv_nsec // 1000000 - w.control.link_heard_ms
    return age if age > 0 else 0

cdef bint too_old(worker_t *w, int64_t max_age) noexcept nogil:
    cdef int64_t age
    if max_age < 0:
        return False
    age = link_age_ms(w)
    if age <= max_age:
        return False
    out_text(&w.out, b"-STALE this server heard from its master ")
    out_decimal(&w.out, <uint64_t> age)
    out_text(&w.out, b" ms ago, more than the ")
    out_decimal(&w.out, <uint64_t> max_age)
    out_line(&w.out, b" ms asked for")
    return True

cdef job_t *job_make(int kind, uint32_t class_id, options_t *o, arg_t *args, arg_t *pairs) noexcept nogil:
    """A job that owns its texts; NULL without memory."""
    cdef job_t *job = <job_t *> calloc(1, sizeof(job_t))
    cdef uint64_t size = 1
    cdef uint32_t i
    cdef char *at
    if job == NULL:
        return NULL
    for i in range(2 * o.pair_count):
        size += pairs[i].size
    for i in range(o.field_count):
        size += args[o.fields_at + i].size
    job.text = <char *> malloc(size)
    job.pairs = <arg_t *> malloc((2 * o.pair_count + 1) * sizeof(arg_t))
    job.fields = <arg_t *> malloc((o.field_count + 1) * sizeof(arg_t))
    if job.text == NULL or job.pairs == NULL or job.fields == NULL:
        job_free(job)
        return NULL
    at = job.text
    for i in range(2 * o.pair_count):
        memcpy(at, pairs[i].data, pairs[i].size)
        job.pairs[i].data = at
        job.pairs[i].size = pairs[i].size
        at += pairs[i].size
    for i in range(o.field_count):
        memcpy(at, args[o.fields_at + i].data, args[o.fields_at + i].size)
        job.fields[i].data = at
        job.fields[i].size = args[o.fields_at + i].size
        at += args[o.fields_at + i].size
    job.kind = kind
    job.class_id = class_id
    job.pair_count = o.pair_count
    job.field_count = o.field_count
    job.brief = o.brief
    job.limit = <uint32_t> o.limit
    return job

cdef bint job_start(worker_t *w, out_t *out, job_t *job) noexcept nogil:
    """Opens the filters at S; False: the error is in out."""
    job.started = True
    job.query.class_id = job.class_id
    job.query.view = w.view
    job.query.after = job.after
    if job.first_revision == 0:
        job.first_revision = w.view.revision
    if not query_open(out, &job.query, job.pairs, job.pair_count):
        return False
    if job.kind == JOB_READ:
        job.body.size = HEAD_ROOM
        if not out_grow(&job.body, page_estimate(w, job)):
            job.body.failed = True
    return True

cdef bint job_slice(worker_t *w, csp_conn *c, job_t *job) noexcept nogil:
    """Works on; whether the job is done."""
    cdef uint32_t times = JOB_LONE if conn_lone(w, c) else 1
    cdef uint32_t objects = times * JOB_OBJECTS
    cdef uint64_t most = times * JOB_BYTES
    cdef csp_record_t *record
    cdef const char *body = NULL
    cdef uint64_t begun = job.body.size
    cdef uint64_t size, at
    cdef uint32_t json_size
    if job.kind == JOB_COUNT and job.query.count == 1 and job.query.filters[0].form == FORM_LIST \
            and view_is_whole(&job.query.view):
        job.count = job.query.filters[0].count
        return True
    while objects > 0 and job.body.size - begun < most and not job.body.failed:
        record = query_next(&job.query, &objects, &job.ended)
        if record == NULL:
            return job.ended
        if job.query.driver < 0 and job.kind == JOB_READ:
            page_peek(job, record.dbid)
        if job.kind == JOB_COUNT:
            job.count += 1
            continue
        size = record.brief_size if job.brief else record.reply_size
        if job.kind == JOB_READ and job.count > 0 and (
                job.count == job.limit or job.body.size - HEAD_ROOM + size > w.limits.page_bytes):
            job.full = True
            return True
        job.count += 1
        job.last = record.dbid
        if job.kind == JOB_FIND and job.count == 2:
            return True
        at = job.body.size
        if job.field_count > 0:
            json_size = frame_size(<const char *> record_reply(record), &body)
            project(&job.body, body, json_size, job.fields, job.field_count)
        else:
            out_bytes(&job.body, <const char *> (record_brief(record) if job.brief else record_reply(record)), size)
        if job.query.trims:
            frame_trim(&job.body, at)
    return job.body.failed

cdef bint job_answer(worker_t *w, csp_conn *c, job_t *job) noexcept nogil:
    """Gives the finished job's reply to the connection; False: it could not, close it."""
    cdef char cursor[48]
    cdef char head[HEAD_ROOM]
    cdef out_t line
    cdef uint32_t size = 0
    if job.body.failed:
        return False
    if job.kind == JOB_COUNT:
        out_number(&w.out, job.count)
        return True
    if job.kind == JOB_FIND:
        if job.count == 0:
            out_null(&w.out, c.flags & CSP_CONN_RESP3 != 0)
        elif job.count == 1:
            out_bytes(&w.out, job.body.data, job.body.size)
        else:
            out_line(&w.out, b"-BADVALUE more than one object fits; add the key that tells them apart"
                     b" (tenant_dbid, switch_dbid), or use CFG.READ")
        return True
    if job.full:
        size = put_decimal(cursor, job.first_revision)
        cursor[size] = c'-'
        size += 1
        size += put_decimal(cursor + size, job.last)
    else:
        cursor[0] = c'0'
        size = 1
    line.data, line.size, line.room, line.failed = head, 0, HEAD_ROOM, False
    out_array(&line, 3)
    out_number(&line, <int64_t> job.first_revision)
    out_bulk(&line, cursor, size)
    out_array(&line, job.count)
    w.stats.pages += 1
    memcpy(job.body.data + HEAD_ROOM - line.size, head, line.size)
    return page_give(w, c, job, HEAD_ROOM - line.size)

cdef bint page_give(worker_t *w, csp_conn *c, job_t *job, uint64_t from_) noexcept nogil:
    """A small page goes through the shared buffer; a large one becomes the connection's queue without a copy."""
    cdef uint64_t size = job.body.size - from_
    if size <= SEND_SLICE or w.executing:
        out_bytes(&w.out, job.body.data + from_, size)
        return True
    if w.out.size > 0 and not (not w.out.failed and conn_queue(w, c, w.out.data, w.out.size)):
        return False
    w.out.size = 0
    conn_dirty(w, c)
    if c.out != NULL:
        return conn_queue(w, c, job.body.data + from_, size)
    c.out = job.body.data
    c.out_head = from_
    c.out_size = job.body.size
    c.out_room = job.body.room
    memset(&job.body, 0, sizeof(out_t))
    w.stats.buffers += 1
    conn_blocked(w, c)
    return True

cdef int run_query(worker_t *w, csp_conn *c, arg_t *args, uint32_t count, int kind) noexcept nogil:
    """CFG.READ, CFG.FIND, CFG.COUNT: RUN_DONE, RUN_WAIT to be run again, RUN_JOB to be continued, RUN_GONE."""
    cdef options_t o
    cdef job_t *job
    cdef arg_t *pairs
    cdef int found
    cdef int status
    if count < 2 or (kind == JOB_FIND and (count < 4 or count & 1)):
        out_arity(&w.out, b"cfg.read" if kind == JOB_READ else b"cfg.find" if kind == JOB_FIND else b"cfg.count")
        return RUN_DONE
    found = csp_class_by_name(args[1].data, args[1].size)
    if found < 0:
        out_text(&w.out, b"-BADCLASS no class ")
        out_quoted(&w.out, &args[1])
        out_line(&w.out, b"; CFG.CLASSES lists the classes, names are case-exact")
        return RUN_DONE
    if kind == JOB_COUNT and count == 2:
        out_number(&w.out, <int64_t> view_count(&w.view, <uint32_t> found))
        return RUN_DONE
    pairs = <arg_t *> malloc(<size_t> (count + 2) * sizeof(arg_t))
    if pairs == NULL:
        return RUN_GONE
    if kind == JOB_FIND:
        memset(&o, 0, sizeof(options_t))
        o.max_age = -1
        o.pair_count = (count - 2) // 2
        memcpy(pairs, &args[2], 2 * o.pair_count * sizeof(arg_t))
    elif not read_options(w, &w.out, args, count, kind == JOB_READ, pairs, &o):
        free(pairs)
        return RUN_DONE
    status = query_begin(w, c, args, pairs, kind, <uint32_t> found, &o, &job)
    free(pairs)
    if status != RUN_JOB:
        return status
    return job_begin(w, c, job)

cdef int query_begin(worker_t *w, csp_conn *c, arg_t *args, arg_t *pairs, int kind, uint32_t class_id,
                     options_t *o, job_t **job) noexcept nogil:
    """Makes the job once its conditions hold: RUN_JOB."""
    cdef uint64_t revision = 0
    cdef uint64_t after = 0
    if not read_cursor(&o.cursor, &revision, &after):
        bad_option(&w.out, b"CURSOR takes what the page before returned, or 0", &o.cursor)
        return RUN_DONE
    if o.min_revision > revision:
        if o.min_revision > w.view.revision:
            return RUN_WAIT if must_wait(w, c, o.min_revision) else RUN_DONE
    elif revision > w.view.revision:
        return RUN_WAIT if must_wait(w, c, revision) else RUN_DONE
    c.flags &= ~CSP_CONN_NUDGED
    if too_old(w, o.max_age):
        return RUN_DONE
    job[0] = job_make(kind, class_id, o, args, pairs)
    if job[0] == NULL:
        return RUN_GONE
    job[0].after = after
    job[0].first_revision = revision
    return RUN_JOB

cdef int job_begin(worker_t *w, csp_conn *c, job_t *job) noexcept nogil:
    """Runs the first slice at once where the turn has room for it; EXEC runs a job to its end."""
    cdef bint done = False
    cdef bint fine = True
    if w.executing or w.job_slices > 0:
        w.job_slices -= 1
        if not job_start(w, &w.out, job):
            job_free(job)
            return RUN_DONE
        done = job_slice(w, c, job)
        while w.executing and not done:
            done = job_slice(w, c, job)
    if done:
        fine = job_answer(w, c, job)
        job_free(job)
        return RUN_DONE if fine else RUN_GONE
    if job.started:
        w.job_active = True
    c.job = <csp_job *> job
    c.waits |= CSP_WAIT_JOB
    w.stats.jobs += 1
    handles_add(&w.jobs, conn_handle(w, c))
    return RUN_JOB

cdef void jobs_turn(worker_t *w) noexcept nogil:
    """Gives slices to the jobs under way, in turn; starts waiting ones while the announcement is young."""
    cdef uint32_t i, kept = 0
    cdef uint32_t count = w.jobs.count
    cdef uint64_t handle
    cdef csp_conn *c
    cdef job_t *job
    cdef bint young = not w.job_active or w.now_ms - w.pin_ms <= PIN_MAX_MS
    cdef bint done
    cdef int tried = 0
    w.job_active = False
    for i in range(count):
        handle = w.jobs.items[i]
        c = conn_of(w, handle)
        if c == NULL or c.job == NULL:
            continue
        job = <job_t *> c.job
        if w.job_slices > 0 and (job.started or young):
            w.job_slices -= 1
            if not job.started and not job_start(w, &w.out, job):
                done = True
                job.kind = 0
            else:
                done = job_slice(w, c, job)
            if done:
                job_finish(w, c, job)
                continue
            tried += 1
        if job.started:
            w.job_active = True
        w.jobs.items[kept] = handle
        kept += 1
    w.jobs.count = kept
    if tried > 0 and kept > 1:          # who was served goes behind those who were not
        for i in range(<uint32_t> tried):
            handle = w.jobs.items[0]
            memmove(w.jobs.items, w.jobs.items + 1, (kept - 1) * sizeof(uint64_t))
            w.jobs.items[kept - 1] = handle

cdef void job_finish(worker_t *w, csp_conn *c, job_t *job) noexcept nogil:
    """Answers from a turn after the command's own; kind 0: the error is in the shared buffer already."""
    cdef bint fine = job.kind == 0 or job_answer(w, c, job)
    c.job = NULL
    c.waits &= ~CSP_WAIT_JOB
    w.stats.jobs -= 1
    job_free(job)
    if not fine:
        w.out.size = 0
        conn_free(w, c)
        return
    if conn_flush(w, c) == 0:
        conn_again(w, c)

cdef void job_restart(job_t *job) noexcept nogil:
    """Begins anew on another generation: nothing of it has been sent."""
    query_free(&job.query)
    job.body.size = 0
    job.count = 0
    job.started = False
    job.ended = False
    job.full = False
