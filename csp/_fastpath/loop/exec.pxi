# Included by csp/_fastpath.pyx after: job, keys, pages, slow.
# EXEC: its commands one after the other at one S, over as many turns as they need.
#
# Invariants:
# 1. Which command comes next Python says (Loop.execute_all); what the loop has is run here and becomes a job inside
#    the job where it is long, what Python has is run there, seeing the same S. The budget is looked at after each.
# 2. While a command of it runs, the shared buffer is the reply of the EXEC, `executing` is set, and view and reader
#    are at its S; all four are put back before anything else runs, whatever the command did.
# 3. A command that isn't computed in time, or whose reply has no room, answers an error in its place. The results of
#    writes are known before the first reply is made: they are always told.
# 4. A command may end its own connection, and the job with it: nothing of the job is touched after that.

cdef enum exec_step:
    STEP_SAID = 0                   # the reply is in the shared buffer
    STEP_MORE = 1                   # the command became a job of its own
    STEP_NONE = 2                   # there is none in time

cdef bint exec_slice(worker_t *w, csp_conn *c, job_t *job) noexcept nogil:
    """Works on for a slice; whether all commands have their replies."""
    cdef uint64_t handle = conn_handle(w, c)
    cdef int64_t until = clock_ns(CLOCK_MONOTONIC) + JOB_SLICE_NS
    while job.exec_.at < job.exec_.count and not job.body.failed:
        if not exec_one(w, c, handle, job):
            return False
        exec_weigh(w, job)
        if clock_ns(CLOCK_MONOTONIC) >= until:
            break
    return job.exec_.at == job.exec_.count or job.body.failed

cdef void exec_weigh(worker_t *w, job_t *job) noexcept nogil:
    """Counts what the replies have grown by; more than there is room for ends the computing."""
    cdef exec_t *e = &job.exec_
    cdef uint64_t size = job.body.size
    if e.inner != NULL:
        size += e.inner.body.size
    w.jobs.bytes += size - job.counted
    job.counted = size
    if job.body.size - job.front > w.limits.reply_bytes:
        e.full = True
        job.body.size = e.begun
        exec_refuse(w, job)
    if job.state == JOB_OPEN and jobs_crowded(w):
        job.crowded = True
        job_give_up(w, job)

cdef void exec_refuse(worker_t *w, job_t *job) noexcept nogil:
    """In place of a reply."""
    if not job.exec_.full:
        out_busy(w, &job.body, job)
        return
    out_text(&job.body, b"-TOOBIG the replies of one EXEC may have ")
    out_decimal(&job.body, w.limits.reply_bytes)
    out_line(&job.body, b" bytes")

cdef bint exec_one(worker_t *w, csp_conn *c, uint64_t handle, job_t *job) noexcept nogil:
    """One command, or a slice of a long one; False: the connection has gone, and the job with it."""
    cdef exec_t *e = &job.exec_
    cdef out_t saved = w.out
    cdef csp_view_t view = w.view
    cdef bint late = e.full or job.state == JOB_LATE
    cdef int step
    if e.inner == NULL:
        e.begun = job.body.size
    w.out = job.body
    memset(&job.body, 0, sizeof(out_t))
    w.executing = True
    w.jobs.front = job.front
    w.view = job.view
    w.reach = job.reach
    w.seen = NOBODY_SEEN            # nor does anybody enter meanwhile
    w.store.revision = job.view.revision
    step = exec_inner(w, c, e, late) if e.inner != NULL else slow_step(w, handle, e.at, late)
    w.store.revision = view.revision
    w.view = view
    w.seen = NOBODY_SEEN
    view_as(&w.view, w.rights.none)
    w.executing = False
    if conn_of(w, handle) == NULL:
        out_free(&w.out)
        w.out = saved
        return False
    job.body = w.out
    w.out = saved
    if step == STEP_MORE:
        if e.inner == NULL:
            e.inner = <job_t *> w.jobs.inner
        return True
    if step == STEP_NONE:
        exec_refuse(w, job)
    e.at += 1
    return True

cdef int exec_inner(worker_t *w, csp_conn *c, exec_t *e, bint late) noexcept nogil:
    """A slice of the long command under way."""
    cdef bint done
    if late and e.inner.state != JOB_LATE:
        e.inner.state = JOB_LATE
    done = job_work(w, e.inner)
    if not done:
        return STEP_MORE
    if not job_answer(w, c, e.inner):
        w.out.failed = True
    job_free(w, e.inner)
    e.inner = NULL
    return STEP_SAID
