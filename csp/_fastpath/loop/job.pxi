# Included by csp/_fastpath.pyx after: reply, filter, conn, budget, hot.
# Jobs: reads that may span several turns. What each has, and which of them is worked on next.
#
# Invariants:
# 1. A job sees one view from its first slice to its last, under an epoch of its own (announce.pxi); what its session
#    could read then it may read to its end.
# 2. It begins at once, at the present S, and what takes one slice ends there. What takes more gets its slices in turn
#    with all others, one connection one job; a turn gives all of them together JOBS_TURN_NS, and each turn one slice.
# 3. What isn't computed announce_ms after its S was taken is answered BUSY, and holds its S no longer.
# 4. More than JOBS_ABREAST that hold an S would only make one another late: a job that can begin anew then gives its
#    S back after its first slice and is parked until one of them has ended.
# 5. What computes waits for no socket: the reply is made whole, within reply_bytes each and held_bytes a worker.

cdef enum:
    JOB_SLICE_NS = 100000           # of one job before the next: a short one waits for so much of each
    JOBS_TURN_NS = 1000000          # of all jobs in a turn: requests that need none wait no longer for them
    JOBS_ABREAST = 16

cdef enum job_kind:
    JOB_READ = 1
    JOB_FIND = 2
    JOB_COUNT = 3                   # up to here it is a query
    JOB_MGET = 4
    JOB_EXISTS = 5
    JOB_EXEC = 6

cdef enum job_state:
    JOB_FRESH = 0                   # no slice yet
    JOB_OPEN = 1                    # under way, at its S
    JOB_PARKED = 2                  # had its first slice and gave its S back
    JOB_LATE = 3                    # gave its S up: what is left of it answers BUSY
    JOB_ENDED = 4                   # its reply is an error, which it has said

cdef struct page_t:                 # a query and what it has found: pages.pxi
    query_t query
    uint32_t class_id
    uint32_t limit
    uint32_t count
    uint32_t field_count, pair_count
    bint brief, ended, full
    arg_t *fields
    arg_t *pairs
    csp_record_t *found             # by CFG.FIND
    uint64_t last                   # DBID of the last object on the page
    uint64_t after                  # where the cursor said to begin
    uint64_t asked_revision         # said by the cursor; 0: none
    uint64_t first_revision         # reported

cdef struct keys_t:                 # many keys: keys.pxi
    char *text                      # `$size`, key, and so on, as the request has them
    uint64_t room                   # of text
    uint64_t start                  # of the first
    uint64_t at
    uint32_t count, left
    int64_t found
    uint64_t begun                  # where in the body the reply begins
    uint64_t total                  # bytes of the objects found
    const char *part                # what is still to be copied of a large one,
    uint64_t part_size
    uint64_t part_begun             # and where in the body its element begins
    bint refused, resp3

cdef struct job_t

cdef struct exec_t:                 # the commands of one EXEC: exec.pxi
    uint32_t count, at
    uint64_t begun                  # where in the body the reply under way begins
    job_t *inner                    # the command under way
    bint full                       # the replies have no room left

cdef struct job_t:
    int kind
    int state
    bint held                       # counted among those that hold an S
    bint crowded                    # late for want of room
    csp_view_t view
    reach_t *reach                  # what the view shows
    uint64_t epoch                  # loaded before view.revision
    int64_t begun_ms
    const char *key                 # of what is to be read, by which others find it; behind all that it has borrowed
    uint32_t key_size               # 0: for itself alone
    rest_t *page_made               # by somebody else meanwhile
    uint64_t counted                # bytes of reply that the worker has counted
    out_t body                      # the reply, as far as it is made,
    uint64_t front                  # behind so much room for what the connection has unsent already
    page_t page
    keys_t keys
    exec_t exec_

cdef void handles_cut(handles_t *list_, uint32_t count) noexcept nogil:
    """Takes the first so many away."""
    list_.count -= count
    if list_.count > 0:             # a list that never had one has no memory
        memmove(list_.items, list_.items + count, list_.count * sizeof(uint64_t))

# ---- what a job holds ----

cdef inline void job_open(worker_t *w, job_t *job) noexcept nogil:
    """Takes the turn's S, which is good for the turn."""
    job.state = JOB_OPEN
    job.view = w.view
    job.reach = w.reach
    job.epoch = w.jobs.epoch
    job.begun_ms = w.now_ms

cdef inline void job_hold(worker_t *w, job_t *job) noexcept nogil:
    """Keeps it beyond the turn."""
    if not job.held:
        job.held = True
        reach_keep(job.reach)
        w.jobs.holding += 1

cdef inline void job_let_go(worker_t *w, job_t *job, int state) noexcept nogil:
    """Holds its S no longer."""
    if job.held:
        job.held = False
        reach_drop(&w.rights, job.reach)
        w.jobs.holding -= 1
    job.state = state

cdef void job_close(worker_t *w, job_t *job) noexcept nogil:
    """Frees what it has collected; the job itself may lie on the stack."""
    w.jobs.bytes -= job.counted
    job.counted = 0
    if job.exec_.inner != NULL:
        job_free(w, job.exec_.inner)
        job.exec_.inner = NULL
    page_close(&job.page)
    buffer_free(w, job.body.data, job.body.room)
    memset(&job.body, 0, sizeof(out_t))

cdef void job_free(worker_t *w, job_t *job) noexcept nogil:
    job_let_go(w, job, JOB_ENDED)
    job_close(w, job)
    buffer_free(w, job.keys.text, job.keys.room)
    free(job)

cdef void job_restart(worker_t *w, job_t *job, int state) noexcept nogil:
    """Shall begin anew, at another S: nothing of it has been sent."""
    job_let_go(w, job, state)
    job_close(w, job)

cdef void job_drop(worker_t *w, csp_conn *c) noexcept nogil:
    """The connection's job ends, whatever it has."""
    if c.job == NULL:
        return
    job_free(w, <job_t *> c.job)
    c.job = NULL
    w.stats.jobs -= 1

cdef void job_give_up(worker_t *w, job_t *job) noexcept nogil:
    """Computes no more: its S may go."""
    w.stats.busy += 1
    job_let_go(w, job, JOB_LATE)

cdef void job_weigh(worker_t *w, job_t *job) noexcept nogil:
    """Counts what its reply has grown by."""
    w.jobs.bytes += job.body.size - job.counted
    job.counted = job.body.size

cdef inline bint jobs_crowded(worker_t *w) noexcept nogil:
    """Whether the worker holds as much output as it may."""
    return w.jobs.bytes + w.queue_bytes >= w.limits.held_bytes

cdef void out_busy(worker_t *w, out_t *out, const job_t *job) noexcept nogil:
    """Why what is left of a job is not computed."""
    if job.crowded:
        out_crowded(w, out)
        return
    out_text(out, b"-BUSY not computed within ")
    out_decimal(out, <uint64_t> w.limits.announce_ms)
    out_line(out, b" ms")

cdef void out_crowded(worker_t *w, out_t *out) noexcept nogil:
    out_text(out, b"-BUSY this worker holds ")
    out_decimal(out, w.limits.held_bytes)
    out_line(out, b" bytes of replies already")

# ---- whose turn it is ----

cdef int job_begin(worker_t *w, csp_conn *c, job_t *job) noexcept nogil:
    """Leaves a job to the turns to come, inside EXEC to that: RUN_JOB."""
    if w.executing:
        w.jobs.inner = <csp_job *> job
        return RUN_JOB
    c.job = <csp_job *> job
    c.waits |= CSP_WAIT_JOB
    w.stats.jobs += 1
    if job.state == JOB_OPEN and job.kind != JOB_EXEC and w.jobs.holding >= JOBS_ABREAST:
        job_restart(w, job, JOB_PARKED)
    if job.state == JOB_OPEN:
        job_hold(w, job)
    handles_add(&w.jobs.parked if job.state == JOB_PARKED else &w.jobs.ring, conn_handle(w, c))
    return RUN_JOB

cdef inline bint jobs_wait(worker_t *w) noexcept nogil:
    return w.jobs.ring.count > 0 or w.jobs.parked.count > 0

cdef void jobs_unpark(worker_t *w) noexcept nogil:
    """Lets as many of those begin again as have a place."""
    cdef uint32_t count = 0
    cdef uint32_t i
    if w.jobs.holding < JOBS_ABREAST:
        count = JOBS_ABREAST - w.jobs.holding
    if count > w.jobs.parked.count:
        count = w.jobs.parked.count
    if count == 0:
        return
    for i in range(count):
        handles_add(&w.jobs.ring, w.jobs.parked.items[i])
    handles_cut(&w.jobs.parked, count)

cdef void jobs_turn(worker_t *w) noexcept nogil:
    """Gives slices to the jobs under way, in turn, for as long as this turn may."""
    cdef int64_t until = clock_ns(CLOCK_MONOTONIC) + JOBS_TURN_NS
    cdef uint32_t at = 0
    cdef uint64_t handle
    cdef csp_conn *c
    cdef bint done
    jobs_unpark(w)
    while at < w.jobs.ring.count:
        handle = w.jobs.ring.items[at]
        at += 1
        c = conn_of(w, handle)
        if c == NULL or c.job == NULL:
            continue
        done = job_slice(w, c, <job_t *> c.job)
        c = conn_of(w, handle)      # a command inside EXEC may have ended it
        if c == NULL:
            pass
        elif done:
            job_finish(w, c, <job_t *> c.job)
        elif (<job_t *> c.job).state == JOB_PARKED:
            handles_add(&w.jobs.parked, handle)
        else:
            handles_add(&w.jobs.ring, handle)
        if clock_ns(CLOCK_MONOTONIC) >= until or turn_over(w):
            break
    handles_cut(&w.jobs.ring, at)

cdef bint job_slice(worker_t *w, csp_conn *c, job_t *job) noexcept nogil:
    """Works on one job of the ring; whether it is done."""
    cdef bint first = job.state == JOB_FRESH
    if job.state == JOB_OPEN and w.now_ms - job.begun_ms >= w.limits.announce_ms:
        job_give_up(w, job)
    if job.state == JOB_FRESH or job.state == JOB_PARKED:
        session_enter(w, c)
        job_open(w, job)
        if job.kind >= JOB_MGET:
            keys_open(w, c, job)
        elif not job_is_made(w, job) and not page_open(w, &w.out, job):
            job.state = JOB_ENDED
            return True
        job_hold(w, job)
    if job.kind == JOB_EXEC:
        return exec_slice(w, c, job)
    if job_is_made(w, job):
        return True
    if job_work(w, job):
        return True
    if first and w.jobs.holding > JOBS_ABREAST:
        job_restart(w, job, JOB_PARKED)
    return False

cdef bint job_is_made(worker_t *w, job_t *job) noexcept nogil:
    """Whether somebody else has made the page that it is to make."""
    job.page_made = kept_find(w, job) if job.state == JOB_OPEN else NULL
    return job.page_made != NULL

cdef bint job_work(worker_t *w, job_t *job) noexcept nogil:
    """A slice of one that is open or late; whether it is done."""
    cdef bint done
    if job.kind >= JOB_MGET:
        return keys_slice(w, job)
    if job.state == JOB_LATE:
        return True
    done = page_slice(w, job)
    if not w.executing:
        job_weigh(w, job)
    return done

cdef bint job_answer(worker_t *w, csp_conn *c, job_t *job) noexcept nogil:
    """Gives the finished reply to the connection; False: it could not, close it."""
    if job.kind == JOB_EXEC:
        return not job.body.failed and body_give(w, c, &job.body, job.front)
    if job.kind >= JOB_MGET:
        return keys_answer(w, c, job)
    if job.state == JOB_LATE:
        out_busy(w, &w.out, job)
        return True
    if job.page_made != NULL:
        w.stats.pages_shared += 1
        return kept_give(w, c, job.page_made)
    return page_answer(w, c, job)

cdef void job_finish(worker_t *w, csp_conn *c, job_t *job) noexcept nogil:
    """Answers from a turn after the command's own; JOB_ENDED: the error is in the shared buffer already."""
    cdef bint fine = job.state == JOB_ENDED or job_answer(w, c, job)
    cdef uint32_t waits = CSP_WAIT_JOB
    if job.kind == JOB_EXEC:
        waits |= CSP_WAIT_REPLY
        slow_steps_end(w, conn_handle(w, c), job.exec_.count)
    job_drop(w, c)
    if not fine:
        w.out.size = 0
        conn_free(w, c, CSP_END_MEMORY)
        return
    conn_resume(w, c, waits)
    conn_flush(w, c)

cdef void jobs_switch(worker_t *w) noexcept nogil:
    """Another generation: what is under way begins anew there, but for EXEC, of which a part may be done."""
    cdef uint32_t i
    cdef csp_conn *c
    for i in range(w.jobs.ring.count):
        c = conn_of(w, w.jobs.ring.items[i])
        if c == NULL or c.job == NULL:
            continue
        if (<job_t *> c.job).kind != JOB_EXEC:
            job_restart(w, <job_t *> c.job, JOB_FRESH)
        elif (<job_t *> c.job).state == JOB_OPEN:
            job_give_up(w, <job_t *> c.job)
