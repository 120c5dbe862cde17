# Included by csp/_fastpath.pyx after: status, arena. Maps the control segment: slots, epoch, generation, link,
# alarms.
#
# Invariants:
# 1. Every process maps it for writing; each word has one writer: its slot's owner, or csp's writer.
# 2. A slot belongs to whoever holds its OFD lock (csp/store/locks.py); it is cleared only when that is free.
# 3. `space` (CSP_SPACE_BYTES behind the counters) belongs to the loop, which defines what lies there.
# 4. Another layout or format is refused at attach.

cdef void *map_fd(int fd, uint64_t size, int protection) except NULL:
    """At a multiple of HUGE_BYTES where there is room for such pages: only then can the kernel map them as one."""
    cdef uint64_t more = HUGE_BYTES if size >= HUGE_BYTES else 0
    cdef uint8_t *room = <uint8_t *> mmap(
        NULL, size + more, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    cdef uint8_t *start = room
    cdef void *address = MAP_FAILED
    if room != MAP_FAILED:
        if more:
            start = room + (HUGE_BYTES - <uint64_t> room % HUGE_BYTES) % HUGE_BYTES
        address = mmap(start, size, protection, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0)
        if address == MAP_FAILED:
            munmap(room, size + more)
    if address == MAP_FAILED:
        raise OSError(f"can't map {size} bytes of shared memory; is address space limited (ulimit -v)?")
    size = (size + PAGE_BYTES - 1) & ~<uint64_t> (PAGE_BYTES - 1)
    if start > room:
        munmap(room, start - room)
    if more > <uint64_t> (start - room):
        munmap(start + size, more - (start - room))
    return address

cdef void gather_pages(uint8_t *start, uint64_t size) noexcept nogil:
    """Asks the kernel to make huge pages of fresh memory, where it knows how (Linux 6.1): random reads then miss
    the TLB far less. A wish: where it is not granted, the memory is the same in small pages."""
    madvise(start, size, MADV_COLLAPSE)

cdef reserve_memory(int fd, uint64_t size):
    """Backs the first `size` bytes of a segment, or says what is missing."""
    cdef int error = EINTR
    while error == EINTR:
        error = posix_fallocate(fd, 0, <int64_t> size)
    if error:
        raise StoreFull(f"/dev/shm has no {size} bytes left; enlarge it or free some")


@cython.final
cdef class Control:
    """The control segment: which generation is in force, who reads, how the link is."""

    SIZE = sizeof(csp_control_t)
    SLOTS = CSP_SLOTS
    ALARMS = CSP_ALARMS
    WRITER_SLOT = CSP_WRITER_SLOT

    cdef csp_control_t *control

    def __cinit__(self):
        self.control = NULL

    def __init__(self, int fd, *, bint format=False):
        if self.control != NULL:
            raise StoreError("already attached")
        if format:
            reserve_memory(fd, sizeof(csp_control_t))
        elif os.fstat(fd).st_size < <int64_t> sizeof(csp_control_t):
            raise StoreMismatch("control segment: too short; it was written by another build")
        self.control = <csp_control_t *> map_fd(fd, sizeof(csp_control_t), PROT_READ | PROT_WRITE)
        if format:
            memset(self.control, 0, sizeof(csp_control_t))
            self.control.epoch = 1
            self.control.serving = 1
            self.control.format = CSP_FORMAT
            self.control.layout = CSP_LAYOUT
            csp_store(&self.control.magic, <uint64_t> CSP_CONTROL_MAGIC)
        self._check_layout()

    def __dealloc__(self):
        if self.control != NULL:
            munmap(self.control, sizeof(csp_control_t))

    def _check_layout(self):
        if csp_load(&self.control.magic) != <uint64_t> CSP_CONTROL_MAGIC:
            raise StoreMismatch("control segment: not one of csp, or still being made")
        if self.control.format != CSP_FORMAT or self.control.layout != CSP_LAYOUT:
            raise StoreMismatch(
                f"control segment: format {self.control.format} layout {self.control.layout}, this build"
                f" has format {CSP_FORMAT} layout {CSP_LAYOUT}; stop the other release, or start anew")

    cdef int _slot(self, int slot) except -1:
        if slot < 0 or slot >= CSP_SLOTS:
            raise ValueError(f"slot {slot}: there are {CSP_SLOTS}")
        return slot

    @property
    def generation(self) -> int:
        """The data segment in force; 0: none yet."""
        return csp_load(&self.control.generation)

    @generation.setter
    def generation(self, uint64_t value):
        csp_store(&self.control.generation, value)

    @property
    def state(self) -> int:
        """0 loading, 1 ready."""
        return csp_load(&self.control.state)

    @state.setter
    def state(self, uint64_t value):
        csp_store(&self.control.state, value)

    cdef csp_alarm_t *_alarm(self, int place) except NULL:
        if place < 0 or place >= CSP_ALARMS:
            raise ValueError(f"alarm {place}: there are {CSP_ALARMS}")
        return &self.control.alarms[place]

    def alarm(self, int place) -> tuple[int, int, bytes]:
        """(since when it is raised, ms UTC, 0 where it is not; figure; text), by its place in alarms.toml."""
        cdef csp_alarm_t *row = self._alarm(place)
        cdef int64_t since = 0
        cdef uint64_t figure = 0
        cdef bytes text = b""
        cdef int i
        for i in range(64):  # raised anew meanwhile: its text may be half of each
            since = <int64_t> csp_load(<uint64_t *> &row.since_ms)
            if since == 0:
                return 0, 0, b""
            figure = csp_load(&row.figure)
            text = (<const char *> row.text)[:CSP_ALARM_TEXT].rstrip(b"\0")
            if <int64_t> csp_load_all(<uint64_t *> &row.since_ms) == since:
                break
        return since, figure, text

    def raise_alarm(self, int place, int64_t since_ms, bytes text not None, uint64_t figure=0):
        """Shows an alarm of the caller's own; a text that is too long is cut off."""
        cdef csp_alarm_t *row = self._alarm(place)
        cdef size_t size = min(len(text), CSP_ALARM_TEXT)
        if since_ms <= 0:
            raise ValueError("an alarm is raised since a time")
        csp_store(&row.figure, figure)
        if csp_load(<uint64_t *> &row.since_ms) != <uint64_t> since_ms:
            csp_swap(<uint64_t *> &row.since_ms, 0)
            memset(row.text, 0, CSP_ALARM_TEXT)
            memcpy(row.text, <const char *> text, size)
        csp_store(<uint64_t *> &row.since_ms, <uint64_t> since_ms)

    def end_alarm(self, int place):
        """Takes an alarm of the caller's own back."""
        csp_swap(<uint64_t *> &self._alarm(place).since_ms, 0)

    @property
    def role(self) -> int:
        """What this server is in a pair, as csp/store/control.py names it; workers read it each time."""
        return csp_load(&self.control.role)

    @role.setter
    def role(self, uint64_t value):
        csp_store(&self.control.role, value)

    @property
    def writable(self) -> bool:
        """Whether this server takes writes; the writer says so."""
        return csp_load(&self.control.writable) != 0

    @writable.setter
    def writable(self, bint value):
        csp_store(&self.control.writable, value)

    @property
    def serving(self) -> bool:
        """Whether the ports for clients are to be open: shut at a pair's backup; the writer says so."""
        return csp_load(&self.control.serving) != 0

    @serving.setter
    def serving(self, bint value):
        csp_store(&self.control.serving, value)

    def drain(self) -> tuple[int, int]:
        """Begin and end of the drain that is under way, ms by the clock since the boot; (0, 0) for none."""
        return csp_load(&self.control.drain_from), csp_load(&self.control.drain_until)

    def set_drain(self, uint64_t begin, uint64_t end):
        """Begins a drain, or with (0, 0) ends it."""
        csp_store(&self.control.drain_until, end)
        csp_store(&self.control.drain_from, begin)

    def doors_changed(self):
        """Has the workers look at ports and drain; they have to be rung as well."""
        csp_add(&self.control.doors, 1)

    def standing(self) -> bytes:
        """The text that the writer showed last of how this server stands in its pair; b"" before that."""
        cdef csp_standing_t *row = &self.control.standing
        cdef uint64_t before
        cdef bytes text = b""
        cdef int i
        for i in range(64):  # an odd sequence that stays: its writer died inside
            before = csp_load(&row.sequence)
            text = (<const char *> row.text)[:min(csp_load(&row.size), <uint64_t> CSP_STANDING_TEXT)]
            if not before & 1 and csp_load_all(&row.sequence) == before:
                return text
        return b""

    def set_standing(self, bytes text not None):
        """Shows a text in place of the one before; ValueError where it is too long."""
        cdef csp_standing_t *row = &self.control.standing
        cdef uint64_t sequence = row.sequence | 1
        cdef size_t size = len(text)
        if size > CSP_STANDING_TEXT:
            raise ValueError(f"a standing has at most {CSP_STANDING_TEXT} bytes, not {size}")
        csp_swap(&row.sequence, sequence)
        memcpy(row.text, <const char *> text, size)
        csp_store(&row.size, size)
        csp_store(&row.sequence, sequence + 1)

    @property
    def log_level(self) -> int:
        """The level of the log that the Application states, for who maps no data; 0: it states none."""
        return csp_load(&self.control.log_level)

    @log_level.setter
    def log_level(self, uint64_t value):
        csp_store(&self.control.log_level, value)

    @property
    def fence(self) -> int:
        """A master's fence number, which the writers of one run hand on; 0: none has taken one."""
        return csp_load(&self.control.fence)

    @fence.setter
    def fence(self, uint64_t value):
        csp_store(&self.control.fence, value)

    @property
    def verified(self) -> int:
        """The run, by its start in ms, that has checked every record or made the generation; 0: none has."""
        return csp_load(&self.control.verified)

    @verified.setter
    def verified(self, uint64_t run):
        csp_store(&self.control.verified, run)

    @property
    def epoch(self) -> int:
        return csp_load(&self.control.epoch)

    def set_link(self, uint64_t state, uint64_t master_revision, int64_t heard_ms, int64_t wall_ms=0):
        """Link to the origin: 0 origin is a database, 1 up, 2 down; the origin's revision; when it was heard."""
        cdef csp_control_t *control = self.control
        cdef uint64_t sequence = control.link_sequence | 1
        csp_swap(&control.link_sequence, sequence)
        csp_store(&control.link_state, state)
        csp_store(&control.link_revision, master_revision)
        csp_store(<uint64_t *> &control.link_heard_ms, <uint64_t> heard_ms)
        csp_store(<uint64_t *> &control.link_wall_ms, <uint64_t> wall_ms)
        csp_store(&control.link_sequence, sequence + 1)

    def link(self) -> tuple[int, int, int]:
        """(state, master revision, heard ms) as set_link left them."""
        cdef csp_control_t *control = self.control
        cdef uint64_t before, state = 0, revision = 0
        cdef int64_t heard = 0
        cdef int i
        for i in range(64):  # an odd sequence that stays: its writer died inside, the parts are whole
            before = csp_load(&control.link_sequence)
            state = csp_load(&control.link_state)
            revision = csp_load(&control.link_revision)
            heard = <int64_t> csp_load(<uint64_t *> &control.link_heard_ms)
            if not before & 1 and csp_load_any(&control.link_sequence) == before:
                break
        return state, revision, heard

    @property
    def link_wall_ms(self) -> int:
        return <int64_t> csp_load(<uint64_t *> &self.control.link_wall_ms)

    def slot_counters(self, int slot) -> dict[str, int]:
        """The slot's counters by the names of the metrics table."""
        self._slot(slot)
        return {
            csp_metric_names[i].decode(): csp_load_any(&self.control.counters[slot][i])
            for i in range(CSP_METRIC_COUNT)
        }

    def count(self, int slot, int metric, int64_t change=1):
        """Adds to a counter of the caller's own slot (processes that are not the loop)."""
        cdef uint64_t *cell = &self.control.counters[self._slot(slot)][metric & (CSP_COUNTERS - 1)]
        csp_store_any(cell, cell[0] + <uint64_t> change)

    def gauge(self, int slot, int metric, uint64_t value):
        """Sets a figure of the caller's own slot."""
        csp_store_any(&self.control.counters[self._slot(slot)][metric & (CSP_COUNTERS - 1)], value)

    def set_interest(self, int slot, bint on):
        """Whether the slot's worker wants a wake-up for each publication."""
        csp_store(&self.control.slots[self._slot(slot)].interest, on)

    def slot(self, int slot) -> dict[str, int]:
        """What the slot says: seen epoch, asleep, interest, generation, progress, pid."""
        cdef csp_slot_t *line = &self.control.slots[self._slot(slot)]
        return {
            "seen": csp_load(&line.seen), "asleep": csp_load(&line.asleep),
            "interest": csp_load(&line.interest), "generation": csp_load(&line.generation),
            "progress": csp_load(&line.progress), "pid": csp_load(&line.pid),
        }

    def claim_slot(self, int slot, uint64_t pid):
        """The caller holds the slot's lock: begins with a clean line and clean counters."""
        self.clear_slot(slot)
        memset(self.control.counters[slot], 0, sizeof(self.control.counters[slot]))
        csp_store(&self.control.slots[slot].pid, pid)

    def clear_slot(self, int slot):
        """The slot's lock is free: its owner died, so nothing it announced holds memory any more."""
        cdef csp_slot_t *line = &self.control.slots[self._slot(slot)]
        csp_store(&line.interest, 0)
        csp_store(&line.asleep, 0)
        csp_store(&line.pid, 0)
        csp_store(&line.generation, 0)
        csp_swap(&line.seen, 0)


def crc32c(const uint8_t[::1] data not None) -> int:
    """CRC32C (Castagnoli) of the bytes."""
    return csp_crc32c(0, &data[0] if data.shape[0] else NULL, data.shape[0])


def record_hash(bytes image not None) -> int:
    """64 bits over bytes 16 to the end of a record image: all but prev, crc and size."""
    if len(image) < 64:
        raise ValueError("a record image has at least 64 bytes")
    return record_sum(<const csp_record_t *> <const char *> image)


cdef inline uint64_t record_sum(const csp_record_t *record) noexcept nogil:
    return csp_hash(0, <const uint8_t *> record + 16, record.size - 16)

FAILPOINTS = tuple(csp_failpoint_names[i].decode() for i in range(CSP_FP_COUNT))


def arm_failpoint(str text):
    """`name[=kill|stop][@pass]`: the signal is sent when the point is passed for that time (1st); "": none.

    A name with a dot is of another room (csp/observe/failpoint.py) and not armed here.
    """
    if not text or "." in text:
        csp_failpoint_arm(-1, signal.SIGKILL, 1)
        return
    head, _, passes = text.replace(":", "@").partition("@")
    name, _, action = head.partition("=")
    if name not in FAILPOINTS or action not in ("", "kill", "stop"):
        raise ValueError(f"failpoint {text!r}: want name[=kill|stop][@pass], names: {', '.join(FAILPOINTS)}")
    csp_failpoint_arm(
        FAILPOINTS.index(name), signal.SIGSTOP if action == "stop" else signal.SIGKILL, int(passes or 1))
