# Included by csp/_fastpath.pyx after: job.
# The one announcement of a worker, which reads of different age share, each at an S of its own.
#
# Invariants:
# 1. A read (a turn, or a job that spans several) loads its epoch, then its S; that it loaded both while the slot
#    showed this epoch or an older one is what makes its S readable.
# 2. Between two turns the slot shows the oldest epoch of the jobs that hold an S, or 0; in a turn it shows that
#    one, or where there is none the turn's own.
# 3. No job holds an S longer than announce_ms (and the turn in which it is found too old): so reclamation waits for
#    nobody longer, and a new read waits for no older one.
#
# Why the slot may be raised from the epoch a to a younger one b, as announce_rest does:
# The writer frees a block when every slot shows more than the epoch E at which the block was retired; it retires
# after it has unlinked, and after the publication that made the block an old version (docs/internals/memory-model.md).
# Take a read that loaded b and then S, while the slot showed a <= b.
# - A block with E < b: the epoch grew to b after the unlinking, and the read loaded b (acquire) before it followed
#   anything. So it can't have come upon the block, and needs it for no older version: a version that S needs was
#   still the published one when S was loaded, is retired later, and has E >= b.
# - A block with E >= b: it is kept while the slot shows a, because a <= E, and kept while it shows b, because b <= E.
# So what this read may hold is protected by a before the raise and by b after it. What only the older read held is
# protected no more, and that read has ended: its last load comes before the store that raises (release).
# The full fence of store_pin is not needed again. It makes the writer see an announcement where there was none; here
# the writer sees a or b, and both are enough for every read that is left (tests/models/epoch.pml has the fence).

cdef inline void announce_turn(worker_t *w) noexcept nogil:
    """The turn's epoch and S, loaded after the last receive."""
    if w.jobs.holding > 0:
        w.view.revision = store_repin(w.store, &w.jobs.epoch)
        return
    w.view.revision = store_pin(w.store)
    w.jobs.epoch = w.store.slot.seen

cdef void announce_rest(worker_t *w) noexcept nogil:
    """At the end of a turn: what the jobs under way need stays announced, and nothing else."""
    cdef uint64_t oldest = w.jobs.epoch
    cdef uint32_t i
    cdef csp_conn *c
    cdef job_t *job
    if w.store == NULL:
        return
    if w.jobs.holding == 0:
        store_unpin(w.store)
        return
    for i in range(w.jobs.ring.count):
        c = conn_of(w, w.jobs.ring.items[i])
        if c == NULL or c.job == NULL:
            continue
        job = <job_t *> c.job
        if job.held and job.epoch < oldest:
            oldest = job.epoch
    store_raise(w.store, oldest)
