# Included by csp/_fastpath.pyx after: rest, job, options. Pages that many sessions ask for: built once, sent to all.
#
# Invariants:
# 1. A page is known by the words that ask for it, by S, and by what the session may read: its reach, which the page
#    holds, so that no other reach has its address. Who asks by the same three gets the very bytes.
# 2. Another S drops all, another generation and other limits too, and each goes that nobody asked for for a while.
# 3. Kept is what is asked for a second time: who reads alone pays for a look, and for no memory.
# 4. A page stays where it was built, until it is neither listed nor being sent; all together have KEPT_TOTAL_MAX.
# 5. It is sent from there (rest.pxi) but where its connection has something unsent: then a copy goes behind that.

cdef enum:
    KEPT_TOTAL_MAX = 67108864       # some sixty of the largest pages; what is being sent counts until it has gone
    KEPT_PAGE_MIN = 4096           # smaller ones are as soon built
    KEPT_IDLE_MS = 2000             # nobody has asked for it for so long

cdef uint32_t kept_key(char *key, const arg_t *args, uint32_t count) noexcept nogil:
    """The words, each behind its length; 0: they are too long."""
    cdef uint32_t size = 0, i
    for i in range(1, count):
        if size + sizeof(uint32_t) + args[i].size > KEPT_KEY_MAX:
            return 0
        memcpy(key + size, &args[i].size, sizeof(uint32_t))
        memcpy(key + size + sizeof(uint32_t), args[i].data, args[i].size)
        size += <uint32_t> sizeof(uint32_t) + args[i].size
    return size

cdef inline uint64_t kept_hash(const reach_t *reach, const char *key, uint32_t size) noexcept nogil:
    return csp_hash(<uint64_t> reach, key, size)

cdef void kept_drop(worker_t *w, kept_t *one) noexcept nogil:
    """Takes one off the list."""
    page_release(w, one.page)
    reach_drop(&w.rights, one.reach)
    memset(one, 0, sizeof(kept_t))
    w.kept.count -= 1

cdef void kept_clear(worker_t *w) noexcept nogil:
    """Drops all."""
    cdef uint32_t i
    for i in range(KEPT_SETS * KEPT_WAYS):
        if w.kept.items[i].page != NULL:
            kept_drop(w, &w.kept.items[i])
    memset(w.kept.asked, 0, sizeof(w.kept.asked))

cdef void kept_tick(worker_t *w) noexcept nogil:
    """Drops those of another S, and those that nobody asks for any more."""
    cdef uint32_t i
    if w.kept.revision != w.view.revision:
        kept_clear(w)
        return
    for i in range(KEPT_SETS * KEPT_WAYS):
        if w.kept.items[i].page != NULL and w.now_ms - w.kept.items[i].used_ms > KEPT_IDLE_MS:
            kept_drop(w, &w.kept.items[i])

cdef inline bint kept_is_at(worker_t *w, uint64_t revision) noexcept nogil:
    """Whether the pages that are kept, or could be from now on, are those of this S."""
    if w.kept.revision != w.view.revision:
        kept_clear(w)
        w.kept.revision = w.view.revision
    return revision == w.kept.revision

cdef rest_t *kept_find(worker_t *w, const job_t *job) noexcept nogil:
    """The page that a job is to make, if somebody has made it; the job is open."""
    cdef kept_t *one
    cdef uint64_t hash_
    cdef uint32_t i
    if job.key_size == 0 or not kept_is_at(w, job.view.revision) or w.kept.count == 0:
        return NULL
    hash_ = kept_hash(job.reach, job.key, job.key_size)
    one = &w.kept.items[(hash_ & (KEPT_SETS - 1)) * KEPT_WAYS]
    for i in range(KEPT_WAYS):
        if one.page != NULL and one.hash == hash_ and one.reach == job.reach and one.key_size == job.key_size \
                and memcmp(one.key, job.key, job.key_size) == 0:
            one.used_ms = w.now_ms
            return one.page
        one += 1
    return NULL

cdef kept_t *kept_place(worker_t *w, uint64_t hash_) noexcept nogil:
    """Where a page may stand: an empty place of its set, or that of who was not asked for for longest."""
    cdef kept_t *one = &w.kept.items[(hash_ & (KEPT_SETS - 1)) * KEPT_WAYS]
    cdef kept_t *oldest = one
    cdef uint32_t i
    for i in range(KEPT_WAYS):
        if one.page == NULL:
            return one
        if one.used_ms < oldest.used_ms:
            oldest = one
        one += 1
    kept_drop(w, oldest)
    return oldest

cdef rest_t *kept_add(worker_t *w, job_t *job, uint64_t from_) noexcept nogil:
    """Keeps the page that a job has made, if it is asked for again: then the job's buffer is the page's."""
    cdef uint64_t hash_
    cdef uint64_t *asked
    cdef kept_t *one
    cdef rest_t *page
    if job.key_size == 0 or job.body.size - from_ < KEPT_PAGE_MIN or not kept_is_at(w, job.view.revision):
        return NULL
    hash_ = kept_hash(job.reach, job.key, job.key_size)
    asked = &w.kept.asked[hash_ & (KEPT_ASKED - 1)]
    if asked[0] != hash_:
        asked[0] = hash_
        return NULL
    if w.kept.bytes + job.body.room > KEPT_TOTAL_MAX:
        return NULL
    page = <rest_t *> malloc(sizeof(rest_t))
    if page == NULL:
        return NULL
    memset(page, 0, sizeof(rest_t))
    page.page = job.body.data
    page.room = job.body.room
    page.data = job.body.data + from_
    page.size = job.body.size - from_
    page.holders = 1
    memset(&job.body, 0, sizeof(out_t))
    one = kept_place(w, hash_)
    one.page = page
    one.hash = hash_
    one.reach = reach_keep(job.reach)
    one.used_ms = w.now_ms
    one.key_size = job.key_size
    memcpy(one.key, job.key, job.key_size)
    w.kept.count += 1
    w.kept.bytes += page.room
    return page

cdef bint kept_give(worker_t *w, csp_conn *c, rest_t *page) noexcept nogil:
    """Gives a page to a connection, behind what the shared buffer has for it; False: it could not, close it."""
    cdef iovec parts[2]
    cdef uint32_t count = 0
    cdef uint64_t before = w.out.size
    cdef uint64_t some = page.size if page.size < SEND_SLICE else SEND_SLICE
    cdef int64_t sent = 0
    w.stats.pages += 1
    if page.size <= SEND_SLICE:
        out_bytes(&w.out, page.data, page.size)
        return True
    if w.out.failed:
        return False
    w.out.size = 0
    if not conn_owes(c):
        if before > 0:
            part_add(parts, &count, w.out.data, before)
        part_add(parts, &count, page.data, some)
        sent = conn_send_parts(w, c, parts, count, before + some)
        if sent < 0:
            return False
        if <uint64_t> sent >= before:
            page_hold(w, c, page, sent - before)
            if c.flags & CSP_CONN_WIRE:
                conn_blocked(w, c)
            return True
    if not conn_queue(w, c, w.out.data + sent, before - sent) or not conn_queue(w, c, page.data, page.size):
        return False
    conn_dirty(w, c)
    return True
