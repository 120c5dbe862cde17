# Included by csp/_fastpath.pyx after: read, control, writer, probe. The reader for Python: slow lane, tools, tests.
#
# Invariants:
# 1. The slot's lock is held by the caller (csp/store/locks.py); one thread uses one slot.
# 2. A call outside pin()/unpin() pins for itself; the loop pins the same `store` for a whole turn.
# 3. What it returns is copied: nothing refers to shared memory after the call.
# 4. Records, counts and lists come through a view; methods called raw_ ask for no permission and are for feeds,
#    sums, sign-in and tools.


@cython.final
cdef class StoreReader:
    """Reads a data segment, mapped read-only, at one revision at a time."""

    cdef csp_store_t store
    cdef readonly Control control
    cdef readonly int slot
    cdef StoreWriter shared  # whose mapping it uses, in tests
    cdef uint64_t *bits  # of the nodes that see() named
    cdef rights_t *rights  # what is granted, once see_as() has asked for it
    cdef reach_t *reach  # what the account that see_as() named may read; NULL: all may be read
    cdef uint32_t words

    def __cinit__(self):
        memset(&self.store, 0, sizeof(csp_store_t))

    def __init__(self, int data_fd, Control control not None, int slot):
        if self.store.base != NULL:
            raise StoreError("already attached")
        self.control = control
        self.slot = control._slot(slot)
        self._attach(data_fd)

    cdef _attach(self, int data_fd):
        cdef uint64_t size = check_super(data_fd)
        self.store.base = <uint8_t *> map_fd(data_fd, size, PROT_READ)
        self.store.super = <csp_super_t *> self.store.base
        self.store.control = self.control.control
        self.store.slot = &self.control.control.slots[self.slot]
        self.store.size = size
        self.store.pinned = 0

    def attach(self, int data_fd, uint64_t generation):
        """Moves to another generation; unpinned, and no reference into the old one is left."""
        if self.store.pinned:
            raise StoreError("attach: unpin first")
        if self.shared is None:
            munmap(self.store.base, self.store.size)
        self.shared = None
        self.store.base = NULL
        self._forget_rights()
        self._attach(data_fd)
        csp_store(&self.store.slot.generation, generation)

    def share_mapping(self, StoreWriter writer not None):
        """For tests: reads through the writer's mapping, so that a race detector sees both sides."""
        if self.shared is None:
            munmap(self.store.base, self.store.size)
        self.shared = writer
        self.store.base = writer.w.store.base
        self.store.super = writer.w.store.super

    cdef _forget_rights(self):
        if self.rights != NULL:
            rights_close(self.rights)
            free(self.rights)
        self.rights = NULL
        self.reach = NULL

    def __dealloc__(self):
        free(self.bits)
        self._forget_rights()
        if self.store.base != NULL and self.shared is None:
            munmap(self.store.base, self.store.size)

    def pin(self) -> int:
        """Announces with a full fence, then loads and returns the revision that reads will see; inside a turn of the
        loop the turn's own."""
        if self.store.pinned == PINNED_BY_LOOP:
            return self.store.revision
        return store_pin(&self.store)

    def unpin(self):
        self._see_all()
        if self.store.pinned != PINNED_BY_LOOP:
            store_unpin(&self.store)

    cdef bint _enter(self):
        """True: this call pinned for itself and must unpin."""
        if self.store.pinned:
            return False
        store_pin(&self.store)
        return True

    cdef csp_view_t _view(self):
        """Of what is pinned."""
        cdef csp_view_t view = view_all(&self.store, self.store.revision)
        if self.reach != NULL:
            view_as(&view, self.reach)
        elif self.bits != NULL:
            view.bits = self.bits
            view.words = self.words
        return view

    cdef _see_all(self):
        free(self.bits)
        self.bits = NULL
        self.words = 0
        if self.reach != NULL:
            reach_drop(self.rights, self.reach)
            rights_sweep(self.rights)
        self.reach = NULL

    cdef circle_t *_circle(self, uint32_t person) except? NULL:
        """The picture of what is pinned, and in it who is the same groups; NULL: the person is nobody."""
        cdef circle_t *circle
        if self.rights == NULL:
            self.rights = <rights_t *> malloc(sizeof(rights_t))
            if self.rights == NULL or not rights_open(self.rights, &self.store):
                self._forget_rights()
                raise MemoryError("a picture of what is granted")
        rights_renew(self.rights, self.store.revision)
        circle = circle_find(self.rights, person)
        if self.rights.broken:
            raise MemoryError("a picture of what is granted")
        return circle

    def see_as(self, uint32_t person_dbid):
        """Until unpin(): shows what this account may read, nothing to who is absent or disabled."""
        cdef circle_t *circle
        if not self.store.pinned:
            raise StoreError("see_as: pin first; rights are those of a revision")
        self._see_all()
        circle = self._circle(person_dbid)
        self.reach = account_reach(self.rights, person_dbid, circle)

    def accounts_of(self, uint32_t person_dbid) -> set[tuple[int, int]]:
        """(class, DBID) of the person and of all groups that he is, nested ones too; empty where he is absent or
        disabled."""
        cdef circle_t *circle
        cdef uint32_t i
        cdef bint mine = self._enter()
        found = set()
        try:
            circle = self._circle(person_dbid)
            if circle != NULL:
                found.add((CSP_PERSON_CLASS, person_dbid))
                for i in range(circle.count):
                    found.add((CSP_ACCESS_GROUP_CLASS, self.rights.groups[circle.groups[i]].dbid))
        finally:
            if mine:
                store_unpin(&self.store)
        return found

    def see(self, nodes):
        """Until unpin(): shows what is governed by these nodes (numbers) alone."""
        cdef uint64_t count = csp_load(&self.store.super.node_count)
        if not self.store.pinned:
            raise StoreError("see: pin first; bits are those of a revision")
        self._see_all()
        self.bits = <uint64_t *> calloc((count >> 6) + 1, sizeof(uint64_t))
        if self.bits == NULL:
            raise MemoryError("bits of nodes")
        self.words = <uint32_t> (count >> 6) + 1
        for number in nodes:
            if not 0 <= number <= count:
                raise StoreError(f"see: no node has the number {number}")
            self.bits[<uint64_t> number >> 6] |= <uint64_t> 1 << (<uint64_t> number & 63)

    cdef csp_state_t _state(self):
        cdef csp_state_t state
        cdef bint mine = self._enter()
        store_state(&self.store, &state)
        if mine:
            store_unpin(&self.store)
        return state

    @property
    def pinned(self) -> bool:
        return self.store.pinned != 0

    @property
    def revision(self) -> int:
        """The revision that a pinned reader sees."""
        return self.store.revision

    @property
    def published(self) -> int:
        """The newest published revision, whatever is pinned; inside a turn of the loop the turn's own."""
        if self.store.pinned == PINNED_BY_LOOP:
            return self.store.revision
        return csp_load(&self.store.super.state.revision)

    @property
    def mark(self) -> int:
        return self._state().mark

    @property
    def time_ms(self) -> int:
        return self._state().time_ms

    @property
    def stream(self) -> bytes:
        return (<char *> self.store.super.stream)[:16]

    @property
    def oldest(self) -> int:
        """The oldest revision in the log; published + 1: none."""
        return csp_load(&self.store.super.log_oldest)

    def get(self, uint32_t class_id, uint32_t dbid) -> bytes | None:
        """The object's JSON."""
        cdef bint mine = self._enter()
        cdef csp_view_t view = self._view()
        cdef csp_record_t *record = view_find(&view, class_id, dbid)
        found = None if record == NULL else frame_text(record_reply(record), record.reply_size)
        if mine:
            store_unpin(&self.store)
        return found

    def brief(self, uint32_t class_id, uint32_t dbid) -> bytes | None:
        """The object's brief JSON."""
        cdef bint mine = self._enter()
        cdef csp_view_t view = self._view()
        cdef csp_record_t *record = view_find(&view, class_id, dbid)
        found = None if record == NULL else frame_text(record_brief(record), record.brief_size)
        if mine:
            store_unpin(&self.store)
        return found

    def image(self, uint32_t class_id, uint32_t dbid) -> bytes | None:
        """The object's record image, prev 0."""
        cdef bint mine = self._enter()
        cdef csp_view_t view = self._view()
        cdef csp_record_t *record = view_find(&view, class_id, dbid)
        found = None if record == NULL else image_bytes(record)
        if mine:
            store_unpin(&self.store)
        return found

    def revision_of(self, uint32_t class_id, uint32_t dbid) -> int:
        """The revision of the visible version; 0: absent."""
        cdef bint mine = self._enter()
        cdef csp_view_t view = self._view()
        cdef csp_record_t *record = view_find(&view, class_id, dbid)
        cdef uint64_t revision = 0 if record == NULL else record.revision
        if mine:
            store_unpin(&self.store)
        return revision

    def next_dbid(self, uint32_t class_id, uint64_t after) -> int:
        """The smallest DBID of the class behind `after`; 0: none."""
        cdef bint mine = self._enter()
        cdef csp_view_t view = self._view()
        cdef csp_record_t *record = view_next(&view, class_id, after)
        cdef uint32_t dbid = 0 if record == NULL else record.dbid
        if mine:
            store_unpin(&self.store)
        return dbid

    def find(self, uint32_t key_id, value) -> list[int]:
        """DBIDs, ascending, of the objects that have this name or lie in this list."""
        cdef csp_view_t view
        cdef bint mine = self._enter()
        try:
            view = self._view()
            return key_dbids(&view, key_id, value)
        finally:
            if mine:
                store_unpin(&self.store)

    def select(self, uint32_t class_id, filters, uint64_t after, uint64_t limit) -> list[int]:
        """DBIDs behind `after`, at most `limit`, that every (key_id, value) holds."""
        cdef csp_view_t view
        cdef bint mine = self._enter()
        try:
            view = self._view()
            return select_dbids(&view, class_id, filters, after, limit)
        finally:
            if mine:
                store_unpin(&self.store)

    def count(self, uint32_t class_id, filters=()) -> int:
        """How many objects; the account class has none to show."""
        cdef csp_view_t view
        cdef bint mine = self._enter()
        try:
            view = self._view()
            if filters:
                return len(select_dbids(&view, class_id, filters, 0, <uint64_t> 0xffffffff))
            return view_count(&view, class_id)
        finally:
            if mine:
                store_unpin(&self.store)

    def raw_get(self, uint32_t class_id, uint32_t dbid) -> bytes | None:
        """The JSON of any record, an account's too."""
        cdef bint mine = self._enter()
        cdef csp_record_t *record = raw_find(&self.store, class_id, dbid, self.store.revision)
        found = None if record == NULL else frame_text(record_reply(record), record.reply_size)
        if mine:
            store_unpin(&self.store)
        return found

    def raw_image(self, uint32_t class_id, uint32_t dbid) -> bytes | None:
        """Any record's image, an account's too."""
        cdef bint mine = self._enter()
        cdef csp_record_t *record = raw_find(&self.store, class_id, dbid, self.store.revision)
        found = None if record == NULL else image_bytes(record)
        if mine:
            store_unpin(&self.store)
        return found

    def raw_next_dbid(self, uint32_t class_id, uint64_t after) -> int:
        """The smallest DBID of any class behind `after`; 0: none."""
        cdef bint mine = self._enter()
        cdef csp_record_t *record = raw_next(&self.store, class_id, after, self.store.revision)
        cdef uint32_t dbid = 0 if record == NULL else record.dbid
        if mine:
            store_unpin(&self.store)
        return dbid

    def raw_images(
        self, uint32_t class_id, uint64_t after, uint64_t max_bytes, uint32_t part=0, uint32_t parts=1
    ) -> tuple[bytes, int]:
        """(concatenated images of DBIDs behind `after` with dbid % parts == part, last DBID; 0: the end)."""
        cdef bint mine = self._enter()
        try:
            return class_images(&self.store, class_id, after, max_bytes, part % parts, parts)
        finally:
            if mine:
                store_unpin(&self.store)

    def raw_nodes(self) -> list[tuple[int, int, int, int]]:
        """(number, class, DBID, number of the node that it hangs under, 0: none) of every node."""
        cdef bint mine = self._enter()
        cdef csp_record_t *node
        cdef uint32_t number
        found = []
        for number in range(1, csp_load(&self.store.super.node_count) + 1):
            node = raw_node_record(&self.store, number)
            found.append((number, node.container_class, node.container_dbid,
                          raw_node_parent(&self.store, number, self.store.revision)))
        if mine:
            store_unpin(&self.store)
        return found

    def raw_grants(self, uint32_t class_id, uint32_t dbid) -> bytes | None:
        """The record of the grants on an object, as it travels; None: there are none."""
        cdef bint mine = self._enter()
        cdef csp_record_t *record = raw_grants(&self.store, node_name(class_id, dbid), self.store.revision)
        found = None if record == NULL else image_bytes(record)
        if mine:
            store_unpin(&self.store)
        return found

    def raw_granted(self, uint32_t class_id, uint32_t dbid) -> list[tuple[int, int]]:
        """(class, DBID) of all objects on which something is granted to an account."""
        cdef bint mine = self._enter()
        cdef csp_plist_t it
        cdef csp_record_t *record
        cdef uint32_t i
        found = []
        for i in range(raw_granted(&it, &self.store, node_name(class_id, dbid), self.store.revision)):
            record = raw_find(&self.store, CSP_GRANTS_CLASS, plist_next(&it), self.store.revision)
            if record != NULL:
                found.append((record.container_class, record.container_dbid))
        if mine:
            store_unpin(&self.store)
        return found

    def raw_container(self, uint32_t class_id, uint32_t dbid) -> tuple[int, int]:
        """Class and DBID of what an object lies in; (0, 0): it is absent, or a tenant's."""
        cdef bint mine = self._enter()
        cdef uint64_t name = raw_container(&self.store, node_name(class_id, dbid), self.store.revision)
        if mine:
            store_unpin(&self.store)
        return <uint32_t> (name >> 32), <uint32_t> name

    def raw_rights(self, uint32_t class_id, uint32_t dbid, accounts, *, bint inside=False) -> int:
        """The rights on an object of who is all these accounts (class, DBID); inside: on one without grants of its own
        that would lie in it."""
        cdef list names = sorted({node_name(one, at) for one, at in accounts})
        cdef uint32_t count = <uint32_t> len(names), i, rights
        cdef uint64_t *found = <uint64_t *> calloc(count + (count >> 6) + 1, sizeof(uint64_t))
        cdef bint mine
        if found == NULL:
            raise MemoryError("accounts")
        for i in range(count):
            found[i] = names[i]
        mine = self._enter()
        rights = raw_rights(&self.store, self.store.revision, node_name(class_id, dbid), not inside,
                            found, count, found + count)
        if mine:
            store_unpin(&self.store)
        free(found)
        return rights

    def raw_node_count(self, uint32_t class_id, uint32_t number) -> int:
        """How many objects of the class the node governs."""
        cdef bint mine = self._enter()
        cdef uint32_t count = raw_node_count(&self.store, class_id, number, self.store.revision)
        if mine:
            store_unpin(&self.store)
        return count

    @property
    def raw_rights_revision(self) -> int:
        """The newest revision that touched nodes, groups or accounts; it may be about to be published."""
        return csp_load(&self.store.super.rights_revision)

    def raw_item_nodes(self, uint64_t revision) -> list[tuple[int, int, int, int]]:
        """(class, DBID, number of the node that governed it, and of the one that does then) of a revision's items."""
        cdef bint mine = self._enter()
        cdef csp_entry_t *entry = log_entry(&self.store, revision)
        cdef csp_item_t *item = NULL if entry == NULL else entry_items(entry)
        cdef uint32_t i
        found = []
        for i in range(0 if entry == NULL else entry.item_count):
            found.append((item.class_id, item.dbid, item.node_before, item.node_after))
            item = item_next(item)
        if mine:
            store_unpin(&self.store)
        return found

    def raw_entry(self, uint64_t revision) -> bytes | None:
        """The log entry of a revision, refs zeroed as in transit; None: not in the log, or not visible yet."""
        cdef bint mine = self._enter()
        cdef csp_entry_t *entry = NULL
        if revision <= self.store.revision:
            entry = log_entry(&self.store, revision)
        found = None if entry == NULL else entry_bytes(entry)
        if mine:
            store_unpin(&self.store)
        return found

    def log_head(self, uint64_t revision) -> tuple[int, bool] | None:
        """The mark of a log entry, and whether it is a difference between two histories; None as of raw_entry()."""
        cdef bint mine = self._enter()
        cdef csp_entry_t *entry = NULL
        if revision <= self.store.revision:
            entry = log_entry(&self.store, revision)
        found = None if entry == NULL else (entry.mark, entry.flags & CSP_DIFFERENCE != 0)
        if mine:
            store_unpin(&self.store)
        return found

    def log_follows(self, uint64_t mark, uint64_t revision) -> bool:
        """Whether the entry of a revision follows a state with this mark; False: it is not in the log."""
        found = self.raw_entry(revision)
        return found is not None and next_mark(mark, found) == int.from_bytes(found[24:32], "little")

    def raw_sums(self, uint32_t class_id, uint64_t at, uint32_t lo, uint32_t hi) -> tuple[int, int]:
        """(count, sum of record_hash modulo 2^64) of DBIDs lo..hi at revision `at` >= the pin, from the bytes."""
        cdef bint mine = self._enter()
        cdef uint64_t count = 0, total = 0
        cdef uint64_t pinned = self.store.revision
        cdef csp_record_t *record
        with nogil:
            record = raw_next(&self.store, class_id, <uint64_t> lo - 1 if lo else 0, at)
            while record != NULL and record.dbid <= hi:
                count += 1
                total += record_sum(record)
                record = raw_next(&self.store, class_id, record.dbid, at)
        if mine:
            store_unpin(&self.store)
        if at < pinned:
            raise StoreError(f"sums: revision {at} is older than the pinned {pinned}")
        return count, total

    def probe(self, uint64_t turns) -> int:
        """Checks every record against its checksum, names, lists and counts, a pin for each class; how many failed."""
        cdef uint64_t errors = 0, i
        with nogil:
            for i in range(turns):
                errors += probe_turn(&self.store)
        return errors
