# Included by csp/_fastpath.pyx after: tracking_tell, sessions; before: worker.
# Tracking, what the slow lane may ask and tell of connections that track; and the tables alone, for tests.
#
# Invariants:
# 1. A connection is named by its handle; a stale one is a KeyError where it matters, and else ignored.

cdef csp_conn *named_conn(Loop loop, object conn) except NULL:
    cdef csp_conn *c = conn_of(&loop.w, conn)
    if c == NULL:
        raise KeyError(f"connection {conn} is closed")
    return c


cdef class Tracking:
    """The connections of one worker that track, or through which others are told."""

    cdef Loop loop

    def begin(
        self, conn: int, *, prefixes: list, redirect: int = 0, bcast: bool = False, optin: bool = False,
        optout: bool = False, noloop: bool = False,
    ) -> None:
        """CLIENT TRACKING ON; `redirect` is the id of a connection of any worker, 0 for none."""
        cdef worker_t *w = &self.loop.w
        cdef csp_conn *c = named_conn(self.loop, conn)
        cdef csp_conn *target = NULL
        cdef int failed = 0
        if redirect and redirect & 63 == w.slot:
            target = self.row_of(redirect)
            if target == NULL:
                raise KeyError(f"no client {redirect}")
        options = TRACK_BCAST * bcast | TRACK_OPTIN * optin | TRACK_OPTOUT * optout | TRACK_NOLOOP * noloop
        if tracking_begin(w, c, options, redirect, target) < 0:
            raise MemoryError("tracking")
        for prefix in prefixes:
            failed |= prefix_join(w, c, <const char *> prefix, <uint32_t> len(prefix))
        tracking_count(w)
        if failed:
            tracking_end(w, c)
            raise MemoryError("prefixes")

    cdef csp_conn *row_of(self, uint64_t id_) noexcept:
        """The connection of this worker with an id, NULL for none."""
        cdef uint32_t i
        for i in range(self.loop.w.row_top):
            if self.loop.w.rows[i].id == id_:
                return &self.loop.w.rows[i]
        return NULL

    def end(self, conn: int) -> None:
        """CLIENT TRACKING OFF."""
        cdef csp_conn *c = conn_of(&self.loop.w, conn)
        if c != NULL:
            tracking_end(&self.loop.w, c)

    def reset(self, conn: int) -> None:
        """The connection is as if it were new: its target drops what it read, who is told through it hears so."""
        cdef csp_conn *c = conn_of(&self.loop.w, conn)
        if c != NULL and c.track != NULL:
            tracking_gone(&self.loop.w, c)

    def forget(self, conn: int) -> None:
        """What the connection may read is other than it was: all that it has read is taken back."""
        cdef csp_conn *c = conn_of(&self.loop.w, conn)
        if c != NULL and c.flags & CSP_CONN_TRACKING:
            tracking_forget(&self.loop.w, c)

    def caching(self, conn: int) -> None:
        """CLIENT CACHING: what the next command reads is the exception."""
        cdef track_t *t = track_of(named_conn(self.loop, conn))
        if not self.loop.w.executing:
            t.options |= TRACK_CACHING
        elif t.options & TRACK_OPTIN:
            t.options |= TRACK_EXEC     # it is of the transaction that says so
        else:
            t.options &= ~TRACK_EXEC

    def wrote(self, conn: int, revision: int) -> None:
        """A change of the connection's own is published here."""
        cdef csp_conn *c = conn_of(&self.loop.w, conn)
        if c != NULL and c.flags & CSP_CONN_TRACKING:
            tracking_own(&self.loop.w, c, revision)

    def info(self, conn: int) -> dict | None:
        """How the connection tracks; None where it does not."""
        cdef csp_conn *c = named_conn(self.loop, conn)
        cdef track_t *t = track_of(c)
        cdef uint32_t i
        if c.flags & CSP_CONN_TRACKING == 0:
            return None
        return {
            "bcast": t.options & TRACK_BCAST != 0,
            "optin": t.options & TRACK_OPTIN != 0,
            "optout": t.options & TRACK_OPTOUT != 0,
            "noloop": t.options & TRACK_NOLOOP != 0,
            "caching": t.options & TRACK_CACHING != 0,
            "broken": t.options & TRACK_BROKEN != 0,
            "redirect": t.redirect,
            "prefixes": sorted(t.prefixes[i].text[:t.prefixes[i].size] for i in range(t.prefix_count)),
        }

    def may_begin(self, conn: int) -> bool:
        """Whether no cursor of CFG.FROM rests there, or awaits its revision."""
        cdef csp_conn *c = named_conn(self.loop, conn)
        return c.subs == NULL or (<subs_t *> c.subs).cursor.state <= CURSOR_LOST

    def prefix_count(self) -> int:
        """Prefixes of all connections of this worker, each counted once."""
        return self.loop.w.tracking.prefix_count

    # ---- across workers ----

    def find(self, id: int) -> int:
        """The handle of this worker's connection with an id; -1 for none."""
        cdef csp_conn *c = self.row_of(id)
        return -1 if c == NULL else conn_handle(&self.loop.w, c)

    def exists(self, id: int, account: int) -> bool:
        """Whether any worker has a connection with an id that this account has signed in on."""
        cdef session_head_t *head
        cdef csp_client *client
        cdef int64_t place = id & 63 if self.loop.w.workers > 1 else 0
        cdef uint32_t wanted = account
        cdef uint32_t i
        if place >= self.loop.w.workers or id <= 0:
            return False
        head = session_head(&self.loop.w, <uint32_t> place)
        client = <csp_client *> (<char *> head + SESSION_HEAD_BYTES)
        for i in range(head.row_top):
            if client[i].id == <uint64_t> id:
                return client[i].account_dbid == wanted
        return False

    def tell(self, conn: int, keys: list | None) -> bool:
        """Tells one of this worker's connections what another worker's has read; None: all. Whether it is there."""
        cdef worker_t *w = &self.loop.w
        cdef csp_conn *c = conn_of(w, conn)
        cdef bint resp3
        if c == NULL or track_make(c) == NULL:
            return False
        if keys is None or target_full(c):
            track_of(c).options |= TRACK_TARGET_NULL
            tracking_due(w, c)
            return True
        resp3 = c.flags & CSP_CONN_RESP3 != 0
        w.scratch.size = 0
        for key in keys if can_be_told(c, True) else []:
            out_invalidate(&w.scratch, resp3)
            out_array(&w.scratch, 1)
            out_bulk(&w.scratch, <const char *> key, len(key))
        if w.scratch.size > 0 or w.scratch.failed:
            scratch_queue(w, c)
        return True

    def part(self, conn: int) -> None:
        """Another account has signed in: nobody is told through the connection any more, nor it through another."""
        cdef worker_t *w = &self.loop.w
        cdef csp_conn *c = conn_of(w, conn)
        cdef csp_conn *other
        cdef csp_conn *target
        cdef track_t *t
        cdef uint64_t redirect
        if c == NULL or c.track == NULL:
            return
        t = track_of(c)
        redirect = t.redirect
        if t.options & TRACK_ON and redirect != 0:
            target = conn_of(w, t.target) if t.target else NULL
            if target != NULL and target != c:
                track_of(target).options |= TRACK_TARGET_NULL
                tracking_due(w, target)
            target_leave(w, c)
            t.redirect = redirect
            target_broken(w, c)
        while t.trackers:
            other = &w.rows[t.trackers - 1]
            t.trackers = track_of(other).next
            target_broken(w, other)

    def gone(self, id: int) -> None:
        """A connection of another worker, through which some of this one's are told, has ended."""
        cdef worker_t *w = &self.loop.w
        cdef uint32_t i
        for i in range(w.row_top):
            if w.rows[i].id != 0 and w.rows[i].flags & CSP_CONN_TRACKING \
                    and track_of(&w.rows[i]).redirect == <uint64_t> id:
                target_broken(w, &w.rows[i])


cdef Tracking tracking_view(Loop loop):
    cdef Tracking view = Tracking.__new__(Tracking)
    view.loop = loop
    return view


@cython.no_gc_clear                 # its end needs `sets`, which the collector would have cleared
cdef class TrackedKeys:
    """The tables of remembered keys without connections, as tests see them; a set is a number."""

    cdef tracking_t t
    cdef dict sets

    def __cinit__(self) -> None:
        memset(&self.t, 0, sizeof(tracking_t))
        self.sets = {}
        self.t.clients = 1

    def __dealloc__(self) -> None:
        self.t.clients = 0
        for number in list(self.sets):
            self.drop(number)
        dead_free(&self.t, UINT32_MAX)
        tracked_trim(&self.t)

    cdef keyset_t *set_of(self, int number) except NULL:
        cdef keyset_t *set
        if number not in self.sets:
            set = set_new(&self.t, <uint32_t> number)
            if set == NULL:
                raise MemoryError("a set")
            self.sets[number] = <size_t> set
        return <keyset_t *> <size_t> self.sets[number]

    def remember(self, number: int, class_id: int, dbid: int, zeros: int) -> bool:
        """Whether the set did not have it."""
        cdef keyset_t *set = self.set_of(number)
        cdef uint64_t key = object_key(class_id, dbid) | <uint64_t> zeros << 32
        if tracked_find(&self.t, set, key, tracked_hash(set, key)):
            return False
        return tracked_add(&self.t, set, key, False) != 0

    def change(self, class_id: int, dbid: int) -> None:
        """Makes pending what is remembered of an object."""
        cdef uint64_t object = object_key(class_id, dbid)
        cdef uint32_t i = self.t.by_object[bucket_of(&self.t, object_hash(object))] if self.t.items != NULL else 0
        cdef uint32_t next_
        while i:
            next_ = self.t.items[i].next_object
            if tracked_object(self.t.items[i].key) == object and not self.t.items[i].set.dead:
                tracked_pend(&self.t, i, 1)
            i = next_

    def told(self, number: int) -> list:
        """The set's pending keys, in order: (class, DBID, zeros); they are forgotten."""
        cdef keyset_t *set = self.set_of(number)
        found = []
        while set.pending_first:
            found.append(self.key_at(set.pending_first))
            tracked_free(&self.t, set.pending_first)
        return found

    cdef tuple key_at(self, uint32_t i):
        cdef uint64_t key = self.t.items[i].key
        return (key >> 56, key & UINT32_MAX, key >> 32 & ZEROS_MAX)

    def evict(self) -> tuple | None:
        """Forgets the oldest of all: (set, key)."""
        cdef uint32_t i = self.t.oldest
        while i and self.t.items[i].set.dead:
            i = self.t.items[i].younger
        if i == 0:
            return None
        found = (self.t.items[i].set.row, self.key_at(i))
        tracked_free(&self.t, i)
        return found

    def drop(self, number: int) -> None:
        """Forgets a whole set."""
        set_drop(&self.t, self.set_of(number))
        del self.sets[number]

    def rest(self, most: int) -> None:
        """What a turn does: some entries of dropped sets go, and their memory."""
        dead_free(&self.t, most)
        tracked_trim(&self.t)

    def remembered(self, number: int) -> list:
        """The set's keys, oldest first."""
        cdef uint32_t i = self.set_of(number).first
        found = []
        while i:
            found.append(self.key_at(i))
            i = self.t.items[i].next
        return found

    def counts(self) -> dict:
        """Entries and buckets."""
        return {"entries": self.t.count, "buckets": self.t.buckets if self.t.items != NULL else 0}
