# Included by csp/_fastpath.pyx after: rights, sessions. The store as one session may see it, for the slow lane.
#
# Invariants:
# 1. It shows what the session may read at the turn's S, inside EXEC what that sees. It is good for that turn, and says
#    so where it is asked in another.
# 2. It is asked in the loop's thread alone: for the time of a question it lends the loop's reader its reach.


@cython.final
@cython.no_gc_clear                 # its end needs the loop
cdef class SessionReader:
    """What one session may read, in the turn in which it was made."""

    cdef Loop loop
    cdef StoreReader whole
    cdef uint64_t made_at
    cdef reach_t *reach

    def __dealloc__(self) -> None:
        if self.reach != NULL:
            reach_drop(&self.loop.w.rights, self.reach)

    cdef _begin(self):
        if self.whole is not self.loop.reader or self.whole.store.revision != self.made_at \
                or self.whole.store.pinned != PINNED_BY_LOOP:
            raise StoreError("the reader of a session is good for the turn in which it was made")
        self.whole.reach = self.reach

    cdef _end(self):
        self.whole.reach = NULL

    @property
    def revision(self) -> int:
        return self.made_at

    @property
    def mark(self) -> int:
        return self.whole.mark

    @property
    def stream(self) -> bytes:
        return self.whole.stream

    @property
    def time_ms(self) -> int:
        return self.whole.time_ms

    @property
    def oldest(self) -> int:
        return self.whole.oldest

    def get(self, uint32_t class_id, uint32_t dbid) -> bytes | None:
        """The object's JSON."""
        self._begin()
        found = self.whole.get(class_id, dbid)
        self._end()
        return found

    def image(self, uint32_t class_id, uint32_t dbid) -> bytes | None:
        """The object's record image, prev 0."""
        self._begin()
        found = self.whole.image(class_id, dbid)
        self._end()
        return found

    def revision_of(self, uint32_t class_id, uint32_t dbid) -> int:
        """The revision of the visible version; 0: absent."""
        self._begin()
        found = self.whole.revision_of(class_id, dbid)
        self._end()
        return found

    def next_dbid(self, uint32_t class_id, uint64_t after) -> int:
        """The smallest DBID of the class behind `after`; 0: none."""
        self._begin()
        found = self.whole.next_dbid(class_id, after)
        self._end()
        return found

    def count(self, uint32_t class_id) -> int:
        """How many objects."""
        self._begin()
        found = self.whole.count(class_id)
        self._end()
        return found

    def find(self, uint32_t key_id, bytes value) -> list[int]:
        """DBIDs, ascending, of the objects that have this name or lie in this list."""
        self._begin()
        try:
            return self.whole.find(key_id, value)
        finally:
            self._end()


cdef SessionReader session_reader(Loop loop, csp_conn *c):
    """Of the connection, as it is in this turn; inside EXEC as that sees it."""
    cdef SessionReader made = SessionReader.__new__(SessionReader)
    made.loop = loop
    made.whole = loop.reader
    made.made_at = made.whole.store.revision
    made.reach = reach_keep(loop.w.reach if loop.w.executing else account_fresh(&loop.w, c).reach)
    return made
