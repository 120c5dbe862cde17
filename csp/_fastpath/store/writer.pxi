# Included by csp/_fastpath.pyx after: control, recover. The writer's skin: what Python may ask of it.

KEY_KINDS = {"name": 1, "list": 2}  # every other kind is answered without an index of its own


@cython.final
cdef class Texts:
    """A sequence of bytes as C wants it; None: no array at all."""

    cdef const uint8_t **starts
    cdef uint64_t *sizes
    cdef uint64_t count
    cdef list kept

    def __cinit__(self, texts):
        self.kept = list(texts) if texts is not None else []
        self.count = len(self.kept)
        if texts is None:
            return
        self.starts = <const uint8_t **> malloc((self.count + 1) * sizeof(void *))
        self.sizes = <uint64_t *> malloc((self.count + 1) * sizeof(uint64_t))
        if self.starts == NULL or self.sizes == NULL:
            raise MemoryError("bytes for the store")
        for i, text in enumerate(self.kept):
            self.starts[<uint64_t> i] = <const uint8_t *> <const char *> (<bytes> text)
            self.sizes[<uint64_t> i] = len(<bytes> text)

    def __dealloc__(self):
        free(self.starts)
        free(self.sizes)


@cython.final
cdef class StoreWriter:
    """The only writer of a data segment. One thread; its owner holds the writer's lock."""

    cdef csp_writer_t w
    cdef csp_scrub_t scrubbed
    cdef readonly Control control

    def __cinit__(self):
        memset(&self.w, 0, sizeof(csp_writer_t))
        memset(&self.scrubbed, 0, sizeof(csp_scrub_t))
        self.w.fd = -1

    def __init__(
        self, int data_fd, Control control not None, *, uint64_t reserve_bytes, bint format,
        wake_fds=(), keys=(), uint64_t log_bytes=0, uint64_t log_age_ms=600000, bint collide=False, uint64_t table=0,
    ):
        """`keys`: (key_id, class_id, kind, class of who contributes or 0) of the filter keys; "name" and "list" are
        kept. Needed with `format`. `table`: the digest of the key table; a segment of another is refused."""
        if self.w.store.base != NULL:
            raise StoreError("already attached")
        self.control = control
        arm_failpoint(os.environ.get("CSP_FAILPOINT", ""))
        self.w.fd = fcntl.fcntl(data_fd, fcntl.F_DUPFD_CLOEXEC, 0)  # the caller may close its own
        if format:
            self._format(data_fd, reserve_bytes, keys, collide, table)
        self._attach(data_fd)
        if self.w.store.super.table != table:
            raise StoreMismatch(
                f"data segment: its keys were built by the key table {self.w.store.super.table:016x}, this build has"
                f" {table:016x}; load a new generation")
        self.w.log_bytes = log_bytes or min(LOG_BYTES, self.w.store.super.reserve_bytes // 16)
        self.w.log_age_ms = log_age_ms
        self.set_wake_fds(wake_fds)
        if format:
            self.w.arena.merge_end = 0
            run_free(&self.w.arena, <uint32_t> (self.w.store.super.heap // PAGE_BYTES), <uint32_t> (
                (self.w.store.super.extent_end - self.w.store.super.heap) // PAGE_BYTES))

    cdef _format(self, int fd, uint64_t reserve_bytes, keys, bint collide, uint64_t table):
        cdef csp_super_t *super
        cdef uint64_t slots, end
        cdef bytes seed = os.urandom(8)
        reserve_bytes = reserve_bytes // PAGE_BYTES * PAGE_BYTES
        if not RESERVE_BYTES_MIN <= reserve_bytes <= RESERVE_BYTES_MAX:
            raise StoreError(f"reserve of {reserve_bytes} bytes: want {RESERVE_BYTES_MIN} to {RESERVE_BYTES_MAX}")
        os.ftruncate(fd, reserve_bytes)
        slots = LOG_SLOTS if reserve_bytes >= LOG_SMALL_BYTES else LOG_SLOTS_SMALL
        end = (EMPTY_END + 8 * slots + EXTENT_BYTES - 1) // EXTENT_BYTES * EXTENT_BYTES
        end = min(end, reserve_bytes)
        reserve_memory(fd, end)
        super = <csp_super_t *> map_fd(fd, end, PROT_READ | PROT_WRITE)
        gather_pages(<uint8_t *> super, end)
        try:
            memset(super, 0, EMPTY_END + 8 * slots)
            index_format(super)
            super.format = CSP_FORMAT
            super.layout = CSP_LAYOUT
            super.reserve_bytes = reserve_bytes
            super.seed = int.from_bytes(seed, "little")
            super.hash_mask = 0 if collide else ~<uint64_t> 0
            super.log_ring = EMPTY_END
            super.log_mask = slots - 1
            super.heap = EMPTY_END + 8 * slots
            super.extent_end = end
            super.held_bytes = min(HELD_BYTES_MAX, reserve_bytes // HELD_SHARE) // PAGE_BYTES * PAGE_BYTES
            super.log_oldest = 1
            super.table = table
            format_keys(super, keys)
            csp_store(&super.magic, <uint64_t> CSP_SUPER_MAGIC)
        finally:
            munmap(super, end)

    cdef _attach(self, int fd):
        cdef uint64_t size = check_super(fd)
        self.w.store.base = <uint8_t *> map_fd(fd, size, PROT_READ | PROT_WRITE)
        self.w.store.super = <csp_super_t *> self.w.store.base
        self.w.store.control = self.control.control
        self.w.store.size = size
        raise_for_status(arena_attach(&self.w.arena, self.w.store.super, self.w.fd), "attach")

    def __dealloc__(self):
        cdef csp_stage_t *stage = &self.w.stage
        if self.w.fd >= 0:
            os.close(self.w.fd)
        free(stage.changes)
        free(stage.deltas)
        free(stage.swaps)
        free(stage.blocks)
        free(stage.replaced)
        free(stage.nodes)
        free(stage.names)
        free(stage.gone)
        free(stage.dbids)
        free(stage.leaves)
        free(self.w.pending)
        arena_detach(&self.w.arena)
        if self.w.store.base != NULL:
            munmap(self.w.store.base, self.w.store.size)

    def set_wake_fds(self, wake_fds):
        """The eventfd of each slot's worker, in slot order; -1: none."""
        cdef int i
        self.w.wake_end = min(len(wake_fds), CSP_SLOTS)
        for i in range(self.w.wake_end):
            self.w.wake_fds[i] = wake_fds[i]

    @property
    def stream(self) -> bytes:
        return (<char *> self.w.store.super.stream)[:16]

    @property
    def loaded(self) -> bool:
        """Whether a load was published in this segment: only then recover() can take it over."""
        return self.w.store.super.loaded != 0

    @property
    def published(self) -> int:
        return self.w.store.super.state.revision

    @property
    def mark(self) -> int:
        return self.w.store.super.state.mark

    @property
    def time_ms(self) -> int:
        return self.w.store.super.state.time_ms

    @property
    def oldest(self) -> int:
        """The oldest revision in the log; published + 1: none."""
        return self.w.store.super.log_oldest

    def load_begin(self, bytes stream not None):
        """Starts filling a new segment that nobody reads."""
        if len(stream) != 16:
            raise ValueError("a stream id has 16 bytes")
        if self.w.store.super.loaded or self.w.loading or self.w.arena.merge_end:
            raise StoreError("load_begin: only a new segment can be loaded")
        memcpy(self.w.store.super.stream, <const char *> stream, 16)
        self.w.loading = 1

    def load(self, images not None) -> int:
        """Adds concatenated record images; skips those not newer than what is held. How many there were."""
        cdef const uint8_t[::1] view = images
        cdef uint64_t count = 0
        cdef const uint8_t *start = &view[0] if view.shape[0] else NULL
        cdef uint64_t size = view.shape[0]
        cdef int status
        with nogil:
            status = load_images(&self.w, start, size, &count)
        raise_for_status(status, "load")
        return count

    def load_entry(self, bytes entry not None, accounts=(), images=None):
        """A change that came while loading; `images`: as in apply()."""
        cdef Texts given = Texts(images)
        self._give(given)
        status = load_change(&self.w, <const uint8_t *> <const char *> entry, len(entry))
        self._give(None)
        raise_for_status(status, "load_entry")
        for account in accounts:
            self.load(account)

    def load_end(self, uint64_t revision, uint64_t mark, int64_t time_ms):
        """Builds names, lists and counts and publishes the load."""
        cdef int status
        with nogil:
            status = load_finish(&self.w, revision, mark, time_ms)
        raise_for_status(status, "load_end")

    def seed_log(self, bytes entry not None):
        """History from before the load, ascending without gaps; in force once it ends at `published`."""
        raise_for_status(log_seed(&self.w, <const uint8_t *> <const char *> entry, len(entry)), "seed_log")

    def prepare(self, bytes entry not None, accounts=()):
        """Stages one transaction, so that apply() of the same can't fail; StoreFull: nothing has changed."""
        self.settle()
        raise_for_status(self._stage_or_apply(entry, accounts, 0, True, True), "prepare")

    def abandon(self):
        """Undoes prepare(): the transaction is not to be applied."""
        with nogil:
            writer_abandon(&self.w)

    def apply(self, bytes entry not None, accounts=(), images=None, *, bint settle=True):
        """Applies and publishes one transaction; StoreFull: nothing has changed. StoreKeys: it wants `images`, one
        for each changed object, b"" for a deletion, with keys of this store's table. Without `settle`, readers that
        sleep hear of it by settle(), or after a few more."""
        cdef Texts given
        if images is None:
            raise_for_status(self._stage_or_apply(entry, accounts, store_wall_ms(), False, settle), "apply")
            return
        given = Texts(images)
        self._give(given)
        try:
            raise_for_status(self._stage_or_apply(entry, accounts, store_wall_ms(), False, settle), "apply")
        finally:
            self._give(None)

    def settle(self):
        """Rings the readers, and tidies, after changes that were applied without it."""
        if self.w.unsettled:
            with nogil:
                writer_settle(&self.w, store_wall_ms())

    cdef _give(self, Texts given):
        """The images that take the place of those in the entry."""
        self.w.given = NULL if given is None else given.starts
        self.w.given_sizes = NULL if given is None else given.sizes
        self.w.given_count = 0 if given is None else given.count

    cdef int _stage_or_apply(self, bytes entry, accounts, int64_t now_ms, bint prepare, bint settle) except -100:
        cdef Texts texts
        cdef const uint8_t **starts = NULL
        cdef const uint64_t *sizes = NULL
        cdef const uint8_t *bytes_at = <const uint8_t *> <const char *> entry
        cdef uint64_t size = len(entry)
        cdef int count = 0
        cdef int status
        if accounts:                # few changes bring some
            texts = Texts(accounts)
            starts, sizes, count = texts.starts, texts.sizes, <int> texts.count
        with nogil:
            if prepare:
                status = writer_prepare(&self.w, bytes_at, size, starts, sizes, count)
            else:
                status = writer_publish(&self.w, bytes_at, size, starts, sizes, count)
                if status == OK:
                    self.w.unsettled += 1
                    self.w.unsettled_bytes += size
                    if settle or self.w.unsettled >= STEP_CHANGES or self.w.unsettled_bytes >= STEP_BYTES:
                        writer_settle(&self.w, now_ms)
        return status

    def recover(self, *, bint check=True) -> dict[str, int]:
        """After attaching to a segment whose writer died: completes its change; the next one may come at once, and
        walk() does the rest between them. With `check` all of it is done here, checksums and names included."""
        cdef int status
        with nogil:
            status = writer_recover(&self.w, check)
        raise_for_status(status, "recover")
        while check and self.w.walk.phase:
            with nogil:
                status = walk_on(&self.w, WALK_CHECK_STEPS, INT64_MAX)
            raise_for_status(status, "recover")
            PyErr_CheckSignals()
        self.reclaim()
        return self.walked()

    def walk(self, int64_t ms=0, uint64_t steps=UINT32_MAX) -> bool:
        """Goes on with the walk of a successor for about so long; whether it is to be called again."""
        cdef int status
        with nogil:
            status = walk_on(&self.w, steps, store_clock_ms() + ms)
        raise_for_status(status, "walk")
        return self.w.walk.phase != 0 and not self.w.prepared

    def walked(self) -> dict[str, int]:
        """What the walk has found so far."""
        cdef csp_walk_t *walk = &self.w.walk
        return {
            "redone": self.w.redone, "records": walk.records, "tombstones": walk.tombstones,
            "lists": walk.lists, "names": max(0, <int64_t> (walk.names - self.w.store.super.node_count)),
            "names_dropped": walk.names_dropped, "walking": walk.phase != 0,
        }

    def reclaim(self) -> int:
        """Serves what no reader can hold any more; returns how many items."""
        cdef uint64_t served
        with nogil:
            pins_watch(&self.w, store_clock_ms())
        if self.w.prepared:
            return 0
        with nogil:
            served = writer_reclaim(&self.w)
            if self.w.store.super.loaded and not self.w.arena.merge_end:
                arena_hold(&self.w.arena)
        return served

    def pins(self) -> list[tuple[int, int]]:
        """(slot, for how many ms) of the announcements that hold memory back, the oldest first."""
        cdef int64_t now_ms = store_clock_ms()
        cdef int i
        pins_watch(&self.w, now_ms)
        held = [(i, now_ms - self.w.pins.since_ms[i]) for i in range(CSP_SLOTS) if self.w.pins.since_ms[i]]
        return sorted(held, key=lambda pin: -pin[1])

    def scrub(self, uint64_t bytes_max) -> tuple[int, bool, tuple[int, int, int] | None]:
        """Checks about so many bytes of records: how many records, whether that was the last of all, and the damaged
        one (class, DBID, the revision it claims)."""
        cdef uint64_t before = self.scrubbed.records
        cdef bint ended = False
        cdef int status
        with nogil:
            status = scrub_step(&self.w, &self.scrubbed, bytes_max, &ended)
        if status == CORRUPT:
            damaged = (self.scrubbed.class_id, self.scrubbed.dbid, self.scrubbed.revision)
            return self.scrubbed.records - before, ended, damaged
        raise_for_status(status, "scrub")
        return self.scrubbed.records - before, ended, None

    def stat(self) -> dict[str, int]:
        """Figures for status and metrics; bytes unless the name says otherwise."""
        cdef csp_super_t *super = self.w.store.super
        cdef csp_entry_t *oldest = NULL
        if super.loaded and super.log_oldest <= super.state.revision:
            oldest = log_entry(&self.w.store, super.log_oldest)
        return {
            "reserve_bytes": super.reserve_bytes, "backed_bytes": super.extent_end,
            "used_bytes": self.w.arena.used_bytes, "block_bytes": self.w.arena.block_bytes,
            "free_bytes": self._free_bytes(),
            "held_bytes": super.held_bytes if super.held else 0,
            "unheld_bytes": 0 if super.held else super.held_bytes,
            "pending": self.w.pending_end - self.w.pending_first,
            "pending_bytes": self.w.pending_bytes, "private_bytes": private_bytes(&self.w),
            "log_bytes": self.w.log_used,
            "log_entries": super.state.revision + 1 - super.log_oldest if super.loaded else 0,
            "log_oldest": super.log_oldest, "log_trimmed": self.w.trimmed,
            "log_oldest_ms": oldest.time_ms if oldest != NULL else 0, "log_age_ms": self.w.log_age_ms,
            "names": super.name_words - super.node_count, "lists": super.list_words,
            "applied": self.w.applied, "redone": self.w.redone, "freed_blocks": self.w.freed_blocks,
            "ignored_keys": self.w.ignored_keys, "skipped_items": self.w.skipped_items,
            "nodes": super.node_count, "merging": self.w.arena.merge_end != 0,
            "objects": sum(
                [raw_count(&self.w.store, i, super.state.revision) for i in range(CSP_CLASSES)]),
        }

    cdef uint64_t _free_bytes(self):
        """What growing changes may take: free blocks, and what the reserve and /dev/shm still give."""
        cdef csp_super_t *super = self.w.store.super
        state = os.fstatvfs(self.w.fd)
        unbacked = min(super.reserve_bytes - super.extent_end, state.f_bavail * state.f_frsize)
        if self.w.arena.merge_end:
            return unbacked  # what a predecessor left free is not known yet
        return unbacked + max(0, super.extent_end - super.heap - self.w.arena.block_bytes)

    def image(self, uint32_t class_id, uint32_t dbid) -> bytes | None:
        """The newest record of an object, published or loading; None: absent or deleted."""
        cdef csp_record_t *record = raw_newest(&self.w.store, raw_word(&self.w.store, class_id, dbid))
        return image_bytes(record) if record_live(record) else None

    def difference(self, StoreReader other not None):
        """Compares with an older generation: yields (class_id, dbid, old image or None, new image or None)."""
        cdef uint32_t class_id
        for class_id in range(CSP_CLASSES):
            yield from self._class_difference(class_id, other)

    def _class_difference(self, uint32_t class_id, StoreReader other):
        cdef csp_record_t *old = raw_next(&other.store, class_id, 0, other.store.revision)
        cdef csp_record_t *new = self._next_live(class_id, 0)
        cdef uint32_t dbid
        if not other.store.pinned:
            raise StoreError("difference: pin the older generation first")
        while old != NULL or new != NULL:
            if new == NULL or (old != NULL and old.dbid < new.dbid):
                dbid = old.dbid
                yield class_id, dbid, image_bytes(old), None
                old = raw_next(&other.store, class_id, dbid, other.store.revision)
            elif old == NULL or new.dbid < old.dbid:
                dbid = new.dbid
                yield class_id, dbid, None, image_bytes(new)
                new = self._next_live(class_id, dbid)
            else:
                dbid = new.dbid
                if old.size != new.size or memcmp(<uint8_t *> old + 16, <uint8_t *> new + 16, old.size - 16):
                    yield class_id, dbid, image_bytes(old), image_bytes(new)
                old = raw_next(&other.store, class_id, dbid, other.store.revision)
                new = self._next_live(class_id, dbid)

    cdef csp_record_t *_next_live(self, uint32_t class_id, uint64_t after):
        cdef uint64_t *word
        while True:
            word = index_next(&self.w.store, class_id, &after)
            if word == NULL:
                return NULL
            if record_live(record_at(&self.w.store, word[0])):
                return record_at(&self.w.store, word[0])


cdef format_keys(csp_super_t *super, keys):
    """How each key is kept: those of the object table, and the store's own for governing nodes and grants."""
    cdef int i
    for key_id, class_id, kind, source in keys:
        if not (0 < key_id < CSP_KEYS and 0 <= class_id < CSP_CLASSES and 0 <= source < CSP_CLASSES) \
                or key_id % CSP_KEYS_A_CLASS == 0 or key_id in (CSP_NODE_KEY, CSP_GRANTS_KEY, CSP_GRANTEE_KEY):
            raise StoreError(f"key {key_id} of class {class_id}: beyond the key table, or the store's own")
        super.keys[<int> key_id].class_id = class_id
        super.keys[<int> key_id].kind = KEY_KINDS.get(kind, 0)
        super.keys[<int> key_id].source = source
    for key_id, class_id, kind in (
        (CSP_NODE_KEY, CSP_NODE_CLASS, "name"),
        (CSP_GRANTS_KEY, CSP_GRANTS_CLASS, "name"),
        (CSP_GRANTEE_KEY, CSP_GRANTS_CLASS, "list"),
    ):
        super.keys[<int> key_id].class_id = class_id
        super.keys[<int> key_id].kind = KEY_KINDS[kind]
    for i in range(1, CSP_KEYS // CSP_KEYS_A_CLASS):
        super.keys[i * CSP_KEYS_A_CLASS].class_id = i
        super.keys[i * CSP_KEYS_A_CLASS].kind = KEY_KINDS["list"]

cdef uint64_t check_super(int fd) except 0:
    """The reserve of a data segment of this build."""
    cdef csp_super_t *super
    cdef uint64_t size = os.fstat(fd).st_size
    if size < sizeof(csp_super_t):
        raise StoreMismatch("data segment: too short, or still being made")
    super = <csp_super_t *> map_fd(fd, sizeof(csp_super_t), PROT_READ)
    try:
        if csp_load(&super.magic) != <uint64_t> CSP_SUPER_MAGIC:
            raise StoreMismatch("data segment: not one of csp, or still being made")
        if super.format != CSP_FORMAT or super.layout != CSP_LAYOUT:
            raise StoreMismatch(
                f"data segment: format {super.format} layout {super.layout}, this build has format"
                f" {CSP_FORMAT} layout {CSP_LAYOUT}; load a new generation")
        if super.reserve_bytes > size:
            raise StoreMismatch(f"data segment: {size} bytes, its superblock says {super.reserve_bytes}")
        return super.reserve_bytes
    finally:
        munmap(super, sizeof(csp_super_t))


def segment_table(int fd) -> int:
    """The digest of the key table by which a data segment of this build was made; StoreMismatch for another build's."""
    cdef uint64_t table
    check_super(fd)
    super = <csp_super_t *> map_fd(fd, sizeof(csp_super_t), PROT_READ)
    table = super.table
    munmap(super, sizeof(csp_super_t))
    return table


cdef bytes image_bytes(const csp_record_t *record):
    """A copy as it travels."""
    cdef bytearray copy = bytearray((<const char *> record)[:record.size])
    image_settle(<csp_record_t *> <char *> copy)
    return bytes(copy)

cdef inline void image_settle(csp_record_t *image) noexcept nogil:
    """Leaves out what of a record belongs to this store."""
    image.prev = 0
    image.node = 0
