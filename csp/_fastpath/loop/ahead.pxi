# Included by csp/_fastpath.pyx after: filter, hot, pages.
# What a page will need soon: memory to grow into, and the records that come next.
#
# Invariants:
# 1. Nothing here decides what is on a page: a wrong guess costs time alone.

cdef enum:
    PEEK_FAR = 12                   # DBIDs ahead whose records' heads are asked for in a walk,
    PEEK_NEAR = 6                   # and whose bytes, when the head has come
    USUAL_BRIEF = 256               # bytes, to begin a page with; a wrong guess costs a copy
    USUAL_OBJECT = 768

cdef uint64_t page_estimate(worker_t *w, job_t *job) noexcept nogil:
    """About what the page will hold, so that it need not move as it grows."""
    cdef query_t *q = &job.page.query
    cdef uint64_t objects = view_count(&q.view, q.class_id) if view_is_whole(&q.view) else job.page.limit
    cdef uint64_t size
    if q.driver >= 0 and q.filters[q.driver].count < objects:
        objects = q.filters[q.driver].count
    if objects > job.page.limit:
        objects = job.page.limit
    size = objects * (USUAL_BRIEF if job.page.brief else USUAL_OBJECT)
    if size > w.limits.page_bytes:
        size = w.limits.page_bytes
    return HEAD_ROOM + 8192 + size

cdef inline void page_peek(job_t *job, uint32_t dbid) noexcept nogil:
    """Asks for records a few DBIDs ahead in a walk over a whole class, and then for their bytes."""
    cdef const csp_view_t *view = &job.page.query.view
    cdef csp_newest_t *newest
    newest = view_newest(view, view_word(view, job.page.class_id, dbid + PEEK_FAR))
    if newest != NULL:
        csp_prefetch(newest)
    newest = view_newest(view, view_word(view, job.page.class_id, dbid + PEEK_NEAR))
    if newest == NULL:
        return
    if job.page.brief:
        newest_prefetch_brief(newest)
    else:
        newest_prefetch_body(newest)
        newest_prefetch(newest)
