# Included by csp/_fastpath.pyx after: hot, job.
# MGET and EXISTS: a few keys at once, many as a job that cuts them out of the request as it goes.
#
# Invariants:
# 1. All keys of a command are answered at one S; what isn't computed in time, or has no room, answers BUSY element by
#    element (EXISTS, which has one number, as a whole).
# 2. A job owns the bytes of its keys: the request's own buffer where that is large, a copy where it is small. They
#    were parsed once, so cutting them again checks nothing.
# 3. A reply above reply_bytes is taken back; how large it would have been is counted on, and said.

cdef enum:
    KEYS_AT_ONCE = 256              # keys that are answered without a job,
    KEYS_BYTES = 262144             # if their reply isn't larger
    PART_BYTES = 262144             # of one object, copied before the clock is looked at

cdef int run_mget(worker_t *w, csp_conn *c, arg_t *args, uint32_t count) noexcept nogil:
    cdef get_t batch[BATCH]
    cdef uint64_t begun = w.out.size
    cdef uint32_t first = 1
    cdef uint32_t many, i
    cdef bint resp3 = c.flags & CSP_CONN_RESP3 != 0
    w.stats.keys += count - 1
    if count - 1 > KEYS_AT_ONCE:
        return keys_begin(w, c, args, count, JOB_MGET)
    out_array(&w.out, count - 1)
    while first < count:
        if w.out.size - begun >= KEYS_BYTES or w.out.size - begun > w.limits.reply_bytes:
            w.out.size = begun      # larger than keys tell: begins anew as a job
            return keys_begin(w, c, args, count, JOB_MGET)
        many = count - first
        if many > BATCH:
            many = BATCH
        for i in range(many):
            batch[i].word = key_word(w, args[first + i].data, args[first + i].size)
            csp_prefetch(batch[i].word)
        first += answer_gets(w, batch, many, resp3, begun + KEYS_BYTES)
    if w.out.size - begun > w.limits.reply_bytes:
        w.out.size = begun
        return keys_begin(w, c, args, count, JOB_MGET)
    return RUN_DONE

cdef int run_exists(worker_t *w, csp_conn *c, arg_t *args, uint32_t count) noexcept nogil:
    cdef int64_t found = 0
    cdef uint32_t i
    if count - 1 > KEYS_AT_ONCE:
        return keys_begin(w, c, args, count, JOB_EXISTS)
    for i in range(1, count):
        found += key_record(w, args[i].data, args[i].size) != NULL
    out_number(&w.out, found)
    return RUN_DONE

# ---- as a job ----

cdef bint keys_own(worker_t *w, csp_conn *c, keys_t *k, arg_t *args, uint32_t count) noexcept nogil:
    """Gives the job the bytes of its keys; False: no memory."""
    cdef out_t text
    cdef uint32_t i
    k.count = count - 1
    if not w.executing and not w.parser.whole:      # only a buffer of its own holds so much
        k.text = c.in_
        k.room = c.in_room
        k.start = <uint64_t> (args[0].data + args[0].size + 2 - c.in_)
        conn_give_input(w, c)
        return True
    memset(&text, 0, sizeof(out_t))
    for i in range(1, count):
        out_bulk(&text, args[i].data, args[i].size)
    k.text = text.data
    k.room = text.room
    return not text.failed

cdef int keys_begin(worker_t *w, csp_conn *c, arg_t *args, uint32_t count, int kind) noexcept nogil:
    """Makes the job and gives it a slice, where the turn has room for it."""
    cdef job_t *job = <job_t *> calloc(1, sizeof(job_t))
    cdef bint fine
    if job != NULL:
        job.kind = kind
        job.keys.resp3 = c.flags & CSP_CONN_RESP3 != 0
    if job == NULL or not keys_own(w, c, &job.keys, args, count):
        if job != NULL:
            job_free(w, job)
        out_line(&w.out, b"-ERR out of memory")
        return RUN_DONE
    if jobs_crowded(w):
        job_free(w, job)
        out_crowded(w, &w.out)
        return RUN_DONE
    if not w.executing and (turn_over(w) or job.keys.text == NULL or not w.parser.whole):
        return job_begin(w, c, job)
    job_open(w, job)
    keys_open(w, c, job)
    if not keys_slice(w, job):
        return job_begin(w, c, job)
    fine = keys_answer(w, c, job)
    job_free(w, job)
    return RUN_DONE if fine else RUN_GONE

cdef void keys_open(worker_t *w, csp_conn *c, job_t *job) noexcept nogil:
    """From the first key."""
    cdef keys_t *k = &job.keys
    k.at = k.start
    k.left = k.count
    k.found = 0
    k.total = 0
    k.refused = False
    k.part_size = 0
    if w.executing:                 # goes on in the reply of EXEC
        job.body = w.out
        job.front = w.jobs.front
        memset(&w.out, 0, sizeof(out_t))
    else:
        body_front(w, c, job)
    k.begun = job.body.size
    if job.kind == JOB_MGET:
        out_array(&job.body, k.count)

cdef bint keys_slice(worker_t *w, job_t *job) noexcept nogil:
    """Works on for a slice; whether all keys are done."""
    cdef keys_t *k = &job.keys
    cdef int64_t until = clock_ns(CLOCK_MONOTONIC) + JOB_SLICE_NS
    while k.left > 0 or k.part_size > 0:
        if job.state == JOB_LATE:
            keys_busy(w, job)
        elif job.kind == JOB_MGET and not k.refused and jobs_crowded(w):
            job.crowded = True
            job_give_up(w, job)
        elif k.part_size > 0:
            keys_part(k, &job.body)
        else:
            keys_batch(w, job)
        if not w.executing:
            job_weigh(w, job)
        if job.body.failed:
            return True
        if clock_ns(CLOCK_MONOTONIC) >= until:
            return k.left == 0 and k.part_size == 0
    return True

cdef void keys_batch(worker_t *w, job_t *job) noexcept nogil:
    """As many keys as memory can be asked for at one time."""
    cdef keys_t *k = &job.keys
    cdef get_t batch[BATCH]
    cdef uint64_t stops[BATCH]
    cdef const char *key = NULL
    cdef uint32_t size = 0
    cdef uint32_t many = k.left if k.left < BATCH else BATCH
    cdef uint32_t i
    cdef csp_record_t *record
    for i in range(many):
        size = frame_size(k.text + k.at, &key)
        k.at = <uint64_t> (key + size + 2 - k.text)
        stops[i] = k.at
        batch[i].word = view_key(&job.view, key, size)
        csp_prefetch(batch[i].word)
    for i in range(many):
        batch[i].newest = view_newest(&job.view, batch[i].word)
        if batch[i].newest != NULL:
            newest_prefetch(batch[i].newest)
    for i in range(many):
        if job.kind == JOB_MGET and i + AHEAD < many and batch[i + AHEAD].newest != NULL:
            newest_prefetch_body(batch[i + AHEAD].newest)
        record = view_visible(&job.view, batch[i].newest)
        k.left -= 1
        if keys_put(w, job, record):
            k.at = stops[i]         # an object that is copied in parts
            return

cdef inline bint keys_put(worker_t *w, job_t *job, csp_record_t *record) noexcept nogil:
    """One key's element; whether the rest of the batch must wait for it."""
    cdef keys_t *k = &job.keys
    if record == NULL:
        w.stats.misses += 1
        if job.kind == JOB_MGET and not k.refused:
            out_null(&job.body, k.resp3)
        return False
    w.stats.hits += 1
    k.found += 1
    k.total += record.reply_size
    if job.kind != JOB_MGET or k.refused:
        return False
    if job.body.size - job.front + record.reply_size > w.limits.reply_bytes:
        k.refused = True
        job.body.size = k.begun
        return False
    if record.reply_size <= PART_BYTES:
        out_bytes(&job.body, <const char *> record_reply(record), record.reply_size)
        return False
    k.part = <const char *> record_reply(record)
    k.part_size = record.reply_size
    k.part_begun = job.body.size
    return True

cdef void keys_part(keys_t *k, out_t *body) noexcept nogil:
    """Some more of an object that is large."""
    cdef uint64_t size = k.part_size if k.part_size < PART_BYTES else PART_BYTES
    out_bytes(body, k.part, size)
    k.part += size
    k.part_size -= size

cdef void keys_busy(worker_t *w, job_t *job) noexcept nogil:
    """Elements that will not be computed: its S is gone, so nothing of a record may be touched."""
    cdef keys_t *k = &job.keys
    cdef uint32_t i
    cdef uint32_t many
    if k.refused:
        k.left = 0
        return
    if k.part_size > 0:
        k.part_size = 0
        k.left += 1
        job.body.size = k.part_begun
    many = k.left if k.left < BATCH else BATCH
    for i in range(many if job.kind == JOB_MGET else 0):
        out_busy(w, &job.body, job)
    k.left -= many

cdef bint keys_answer(worker_t *w, csp_conn *c, job_t *job) noexcept nogil:
    """Gives the finished reply to the connection, or back to EXEC."""
    cdef keys_t *k = &job.keys
    if job.kind == JOB_EXISTS:
        if job.state == JOB_LATE:
            out_busy(w, &job.body, job)
        else:
            out_number(&job.body, k.found)
    elif k.refused:
        job.body.size = k.begun
        out_text(&job.body, b"-TOOBIG MGET would reply with ")
        if job.state == JOB_LATE:
            out_text(&job.body, b"at least ")
        out_decimal(&job.body, k.total)
        out_text(&job.body, b" bytes, more than ")
        out_decimal(&job.body, w.limits.reply_bytes)
        out_line(&job.body, b"; ask for fewer keys")
    if job.body.failed:
        return False
    if not w.executing:
        return body_give(w, c, &job.body, job.front)
    w.out = job.body
    memset(&job.body, 0, sizeof(out_t))
    return True
