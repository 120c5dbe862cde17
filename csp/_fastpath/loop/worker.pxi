# Included by csp/_fastpath.pyx after: sessions, turn.
# Loop, the skin of a worker's loop that Python sees.
#
# Invariants:
# 1. All of it runs on the worker's one thread; callbacks run inside a turn, with the store pinned.
# 2. A connection is named by its handle; a stale handle is ignored where that is harmless, a KeyError where it is not.

cdef csp_control_t *control_of(Control control):
    return control.control

cdef csp_store_t *store_of(StoreReader reader):
    return &reader.store


@cython.no_gc_clear                 # its end needs `control`, which the collector would have cleared
cdef class Loop:
    """The loop of one worker: sockets, hot commands and deliveries; everything else goes to the slow lane."""

    cdef worker_t w
    cdef readonly object control
    cdef readonly object reader
    cdef readonly int slot
    cdef object slow
    cdef object attach
    cdef object failure
    cdef dict readers
    cdef dict writers
    cdef list timers
    cdef set cancelled
    cdef int timer_count
    cdef dict long_names
    cdef dict steps

    def __cinit__(self) -> None:
        memset(&self.w, 0, sizeof(worker_t))
        self.w.epoll = -1

    def __init__(
        self, *, control, slot, data_fd, listen_fds, wake_fd, slow, limits, attach=None,
        session_fd=-1, session_rows=0, session_slots=1, listen_ports=(), ports=(),
    ) -> None:
        self.control = control
        self.slot = slot
        self.slow = slow
        self.attach = attach
        self.reader = None
        self.failure = None
        self.readers = {}
        self.writers = {}
        self.timers = []
        self.cancelled = set()
        self.long_names = {}
        self.steps = {}
        self.set_limits(limits)
        table_open(&self.w, session_fd, session_rows, session_slots, slot)
        self.open_memory()
        self.w.loop = <void *> self
        self.w.slot = slot
        self.w.control = control_of(control)
        self.w.stats = <csp_stats *> self.w.control.counters[slot]
        self.w.stats.connections = 0
        self.w.stats.subscriptions = 0
        self.w.stats.subscribers = 0
        self.w.stats.feeds = 0
        self.w.stats.tls_connections = 0
        tracking_count(&self.w)
        self.w.stats.buffers = 0
        self.w.stats.jobs = 0
        self.w.stats.longest_turn_us = 0
        self.w.loading = True
        self.w.timer_ms = INT64_MAX
        self.w.now_ms = clock_ms()
        self.w.link_state = self.w.control.link_state
        self.w.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.w.epoll < 0:
            raise OSError(errno, "epoll_create1")
        self.open_listeners(listen_fds, listen_ports, ports, wake_fd)
        if data_fd >= 0:
            self.reattach(data_fd)
            announce_rest(&self.w)

    def set_limits(self, limits) -> None:
        """Takes limits by name, between two turns; what is not named has its default."""
        limits_take(&self.w, limits)

    def set_balancers(self, networks) -> None:
        """Who may have any number of connections, whatever an address may; IPv4Network and IPv6Network."""
        networks_set(&self.w.balancers, networks)

    def take_turned_away(self) -> list:
        """(why, how many, number of the port, address) of those turned away since it was asked last."""
        return away_take(&self.w)

    cdef open_memory(self):
        cdef worker_t *w = &self.w
        csp_heap_prepare()
        if not accounts_open(w):
            raise MemoryError("what accounts may read")
        # From the start of a page, so that what a turn costs does not hang on where the heap had room.
        w.inbox = <char *> aligned_alloc(PAGE_BYTES, INBOX_BYTES + PAGE_BYTES)  # PARSE_PAD and more behind it
        w.ready = <ready_t *> malloc(READY_MAX * sizeof(ready_t))
        w.calls = <uint64_t *> malloc(EVENTS * sizeof(uint64_t))
        if w.inbox == NULL or w.ready == NULL or w.calls == NULL or not out_grow(&w.out, FLUSH_AT * 2) \
                or parser_open(&w.parser, w.limits.request_bytes, w.limits.request_args) != 0:
            raise MemoryError("buffers of a worker")

    cdef open_listeners(self, listen_fds, listen_ports, ports, int wake_fd):
        cdef worker_t *w = &self.w
        cdef listener_t *row
        if len(listen_fds) > LISTENERS_MAX:
            raise ValueError(f"a worker takes at most {LISTENERS_MAX} listeners")
        for number, fd in enumerate(listen_fds):
            row = &w.listeners[number]
            memset(row, 0, sizeof(listener_t))
            row.fd = fd
            if listen_ports:
                port = ports[listen_ports[number]]
                row.port = port.number
                row.security = port.security.value
                row.purpose = port.purpose.value
                row.proxied = len(port.proxy_from) > 0
                networks_set(&row.balancers, port.proxy_from)
                networks_set(&row.listed, port.listed)
        w.listener_count = len(listen_fds)
        w.spare_fd = dup(w.epoll)
        if wake_fd >= 0 and poll_add(w.epoll, wake_fd, EPOLLIN | EPOLLET, KIND_WAKE, 0) != 0:
            raise OSError(errno, f"watching wake descriptor {wake_fd}")
        doors_look(w)
        for number in range(w.listener_count):
            row = &w.listeners[number]
            if not row.open and socket_listens(row.fd):
                raise OSError(errno, f"watching listener {row.fd}")

    def __dealloc__(self) -> None:
        cdef worker_t *w = &self.w
        cdef uint32_t i
        if w.rows != NULL:
            w.loop = NULL
            for i in range(w.row_top):
                if w.rows[i].id != 0:
                    w.rows[i].flags &= ~CSP_CONN_KNOWN
                    conn_free(w, &w.rows[i], CSP_END_STOP)
        if w.spare_fd > 0:
            close(w.spare_fd)
        dead_free(&w.tracking, UINT32_MAX)
        tracked_close(&w.tracking)
        free(w.tracking_due.items)
        deliver_free(w)
        watch_close(&w.watch)
        parser_close(&w.parser)
        out_free(&w.out)
        out_free(&w.scratch)
        free(w.inbox)
        free(w.ready)
        free(w.calls)
        free(w.again.items)
        free(w.dirty.items)
        free(w.jobs.ring.items)
        free(w.jobs.parked.items)
        while w.grave_count > 0:
            w.grave_count -= 1
            free(w.graves[w.grave_count].data)
        free(w.graves)
        free(w.waiting)
        kept_clear(w)
        wire_close(w)
        for i in range(w.listener_count):
            SSL_CTX_free(w.listeners[i].context)
        accounts_close(w)
        for i in range(w.listener_count):
            free(w.listeners[i].balancers.items)
            free(w.listeners[i].listed.items)
        free(w.balancers.items)
        if w.epoll >= 0:
            close(w.epoll)
        table_close(w)

    # ---- running ----

    def run(self) -> None:
        """Turns until stop(), or until drain() has seen the last connection go."""
        with nogil:
            run_turns(&self.w)
        self.w.stopping = False
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure

    def stop(self) -> None:
        self.w.stopping = True

    def drain(self) -> None:
        """Takes no new connections and closes each present one when nothing of it is under way."""
        cdef uint32_t i
        if self.w.draining:
            return
        self.w.draining = True
        self.w.leaving = True
        for i in range(self.w.listener_count):
            listener_poll(&self.w, i, False)

    def reattach(self, data_fd: int) -> None:
        """Goes on with another generation: first the rest of the old log, then the new one's."""
        cdef worker_t *w = &self.w
        if w.store != NULL:
            w.view.revision = store_pin(w.store)
            rights_turn(w)
            deliver_end(w)
            store_unpin(w.store)
        old = self.reader
        self.reader = StoreReader(data_fd, self.control, self.slot)
        w.store = store_of(self.reader)
        w.view = view_all(w.store, 0)
        w.generation = w.control.generation
        csp_store(&w.store.slot.generation, w.generation)
        jobs_switch(w)
        kept_clear(w)
        announce_turn(w)
        w.store.pinned = PINNED_BY_LOOP
        rights_attach(w)
        deliver_switch(w, old is not None)
        w.loading = False
        w.interested = False

    def attach_generation(self) -> None:
        if self.attach is None:
            raise RuntimeError(f"generation {self.control.generation} appeared and nobody said how to attach")
        data_fd = self.attach(self.control.generation)
        if data_fd >= 0:
            try:
                self.reattach(data_fd)
                self.slow.attached()
            finally:
                os.close(data_fd)

    # ---- connections ----

    def session(self, conn: int) -> Session:
        cdef Session view = Session.__new__(Session)
        view.loop = self
        view.conn = conn
        view.row()
        return view

    def reader_of(self, conn: int) -> SessionReader | None:
        """What the session of a connection may read in this turn; None before there is a store."""
        cdef csp_conn *c = conn_of(&self.w, conn)
        if c == NULL:
            raise KeyError(f"connection {conn} is closed")
        return None if self.reader is None else session_reader(self, c)

    def rights_on(self, conn: int, class_id: int, dbid: int) -> int:
        """The rights (csp.model.rights) that the account of a connection has on an object that is there."""
        cdef csp_conn *c = conn_of(&self.w, conn)
        if c == NULL:
            raise KeyError(f"connection {conn} is closed")
        return session_rights(&self.w, c, <uint32_t> class_id, <uint32_t> dbid)

    @property
    def tracking(self) -> Tracking:
        """The connections that track."""
        return tracking_view(self)

    @property
    def accounts(self) -> AccountSessions:
        """The connections by who has signed in."""
        return accounts_view(self)

    def reply(self, conn: int, data: bytes) -> None:
        """Answers a deferred command; the connection goes on with its next one."""
        cdef csp_conn *c = conn_of(&self.w, conn)
        if c == NULL:
            return
        self.queue(c, data)
        conn_resume(&self.w, c, CSP_WAIT_REPLY)

    def admit(self, conn: int) -> None:
        """What a client sends is executed, whose certificate slow.certified was told of."""
        cdef csp_conn *c = conn_of(&self.w, conn)
        if c != NULL:
            conn_resume(&self.w, c, CSP_WAIT_REPLY)

    def push(self, conn: int, data: bytes) -> None:
        """Appends bytes between replies."""
        cdef csp_conn *c = conn_of(&self.w, conn)
        if c != NULL:
            self.queue(c, data)

    cdef queue(self, csp_conn *c, bytes data):
        if c.waits & CSP_WAIT_END and not conn_owes(c):
            return
        if not conn_queue(&self.w, c, <const char *> data, len(data)):
            raise MemoryError(f"{len(data)} bytes for a connection")
        conn_stall(&self.w, c)
        conn_dirty(&self.w, c)

    def close(self, conn: int) -> None:
        """Closes after what is queued has been sent."""
        cdef csp_conn *c = conn_of(&self.w, conn)
        if c != NULL:
            conn_close(&self.w, c, CSP_END_SLOW)

    def pending(self, conn: int) -> int:
        cdef csp_conn *c = conn_of(&self.w, conn)
        return 0 if c == NULL else conn_unsent(c)

    def clients(self) -> list:
        """All connections of all workers; those of others as their rows say it, up to a second old."""
        return self.clients_from(0, <int64_t> self.w.workers * self.w.row_room)[0]

    def clients_from(self, start: int, most: int) -> tuple:
        """Up to `most` of them, from a place on, and the place where the rest begins; -1 at the end."""
        cdef csp_client *client
        cdef session_head_t *head
        cdef int64_t at = start
        cdef int64_t end = <int64_t> self.w.workers * self.w.row_room
        cdef int64_t left = most
        cdef int64_t place, i
        found = []
        while at < end and left > 0:
            place = at // self.w.row_room
            i = at % self.w.row_room
            head = session_head(&self.w, <uint32_t> place)
            client = <csp_client *> (<char *> head + SESSION_HEAD_BYTES)
            slot = place if self.w.workers > 1 else self.slot
            if i >= <int64_t> head.row_top:
                at = (place + 1) * self.w.row_room
                continue
            at += 1
            if client[i].id == 0:
                continue
            handle = -1
            if slot == self.slot:
                client_show(&self.w, &self.w.rows[i])
                handle = conn_handle(&self.w, &self.w.rows[i])
            found.append(client_dict(&client[i], self.w.now_ms, slot, handle))
            left -= 1
        return found, at if at < end else -1

    def client(self, conn: int) -> dict:
        """One connection of this worker."""
        cdef csp_conn *c = conn_of(&self.w, conn)
        if c == NULL:
            raise KeyError(f"connection {conn} is closed")
        client_show(&self.w, c)
        return client_dict(client_of(&self.w, c), self.w.now_ms, self.slot, conn)

    # ---- commands ----

    def execute_all(self, conn: int, count: int, step) -> bytes | None:
        """The replies of an EXEC, at this turn's revision; None: they come later, made over several turns.

        step(index, late) gives the next command's reply, or the words of one that the loop has. When late, there is
        no time or room to compute it: None, unless it is known. After the last reply step(count, False) ends it.
        """
        cdef worker_t *w = &self.w
        cdef csp_conn *c = conn_of(w, conn)
        cdef job_t *job
        if c == NULL:
            return None
        if w.store == NULL:
            raise RuntimeError("nothing is loaded yet")
        job = <job_t *> calloc(1, sizeof(job_t))
        if job == NULL:
            raise MemoryError("an EXEC")
        job.kind = JOB_EXEC
        job.exec_.count = count
        body_front(w, c, job)
        out_array(&job.body, count)
        session_enter(w, c)
        job_open(w, job)
        self.steps[conn] = step
        c.job = <csp_job *> job
        w.stats.jobs += 1
        if turn_over(w) or not exec_slice(w, c, job) or job.body.failed \
                or job.body.size - job.front > SEND_SLICE:
            if conn_of(w, conn) != NULL:
                w.stats.jobs -= 1
                c.waits |= CSP_WAIT_REPLY
                job_begin(w, c, job)
            return None
        reply = job.body.data[job.front:job.body.size]
        job_drop(w, c)
        del self.steps[conn]
        return reply

    cdef int run_words(self, csp_conn *c, list words) except -1:
        """A command that the loop has, or why it may not be called (any more); its reply into the shared buffer."""
        cdef worker_t *w = &self.w
        cdef arg_t *args = words_of(words)
        cdef uint32_t count = <uint32_t> len(words)
        cdef int number = command_of(args, count)
        cdef int why = judge(c, session_may(w, c), w.loading, number, count)
        cdef int status = RUN_DONE
        if why != MAY:
            out_refusal(&w.out, why, number, args, count, client_of(w, c).application_dbid)
        elif csp_commands[number].flags & CSP_FLAG_HOT:
            if c.flags & CSP_CONN_TRACKING:
                tracking_keys(w, c, number, args, count)
            status = run_hot(w, c, number, args, count)
        else:
            why = REFUSE_UNKNOWN
        free(args)
        if why == REFUSE_UNKNOWN:
            raise ValueError(f"{words[0]!r} is not a hot command")
        if status == RUN_GONE:
            w.out.failed = True
        return STEP_MORE if status == RUN_JOB else STEP_SAID

    def judge(self, conn: int, args: list) -> tuple:
        """The number of a command, 0 for an unknown one; b"" or the reply that refuses it to this connection."""
        cdef csp_conn *c = conn_of(&self.w, conn)
        if c == NULL:
            raise KeyError(f"connection {conn} is closed")
        return judged(c, session_may(&self.w, c), self.w.loading, args, client_of(&self.w, c).application_dbid)

    def subscribe(self, conn: int, channel: bytes, pattern: bool) -> int:
        cdef csp_conn *c = conn_of(&self.w, conn)
        if c == NULL:
            raise KeyError(f"connection {conn} is closed")
        if watch_add(&self.w, c, <const char *> channel, <uint32_t> len(channel), pattern) < 0:
            raise MemoryError("a subscription")
        return subs_count(c)

    def start_from(self, conn: int, revision: int, *, subs: int = 1, mark: int | None = None,
                   bookmark_ms: int = 0, later: bool = False, lost: bool = False, states: bool = False) -> None:
        """Places the cursor of a connection without subscriptions behind a revision, as CFG.FROM does.

        It goes on when there are `subs` subscriptions. `mark` is what the revision must have, if that is known; with
        `bookmark_ms` bookmarks come, at most so often. What is beyond this turn's revision is awaited. `later`:
        whether this history has the place is looked at when it goes on; `lost`: it has not, which is told then.
        `states`: first come the objects that there are.
        """
        cdef csp_conn *c = conn_of(&self.w, conn)
        cdef start_t start
        if c == NULL:
            raise KeyError(f"connection {conn} is closed")
        if subs_count(c) > 0 or c.flags & CSP_CONN_TRACKING:
            raise ValueError("a connection that has subscriptions, or tracks, has a cursor already")
        memset(&start, 0, sizeof(start_t))
        start.needs = subs
        start.marked = mark is not None
        start.mark = 0 if mark is None else mark
        start.bookmark_ms = bookmark_ms
        start.unsure = later
        start.lost = lost
        start.states = states
        if start_place(&self.w, c, revision, &start) < 0:
            raise MemoryError("a cursor")

    def replay(self, conn: int, entry: bytes, first: int) -> int:
        """Queues messages of an entry that has left the log, from its item `first` on, for a connection that fetches.

        The item to go on from; 0: it was told whole, and the place is behind it. -1: nothing is to be told to it.
        """
        cdef csp_conn *c = conn_of(&self.w, conn)
        cdef const csp_entry_t *told = <const csp_entry_t *> <const char *> entry
        cdef subs_t *subs
        cdef uint32_t at
        if not is_fetching(c):
            return -1
        if entry_check(<const uint8_t *> told, len(entry)) != OK:
            raise ValueError("this is no log entry")
        if first == 0 and not (<subs_t *> c.subs).start.shown and replay_turns(&self.w, c, told):
            start_lose(&self.w, c)
            return -1
        at = replay_some(&self.w, c, told, <uint32_t> first, (<subs_t *> c.subs).cursor.reach)
        if at < told.item_count:
            return at
        subs = <subs_t *> c.subs
        spot_begin(&subs.cursor.spot, told.revision + 1)
        subs.start.marked = True
        subs.start.mark = told.mark
        return 0

    def show(self, conn: int, entry: bytes) -> bool:
        """Queues the messages of an entry that is one object as it is, for a connection that fetches and may read it.

        False: the connection is gone.
        """
        cdef csp_conn *c = conn_of(&self.w, conn)
        cdef const csp_entry_t *told = <const csp_entry_t *> <const char *> entry
        if not is_fetching(c):
            return False
        if entry_check(<const uint8_t *> told, len(entry)) != OK:
            raise ValueError("this is no log entry")
        if told.item_count == 1:
            show_item(&self.w, c, told)
        return True

    def shown(self, conn: int, payload: bytes) -> None:
        """All objects were shown, which a notice says; the connection's cursor moves as CFG.FROM said."""
        cdef csp_conn *c = conn_of(&self.w, conn)
        cdef subs_t *subs
        if not is_fetching(c):
            return
        subs = <subs_t *> c.subs
        notice_queue(&self.w, c, notice_node(&self.w, c), <const char *> payload, <uint32_t> len(payload))
        subs.start.states = False
        subs.start.shown = True
        subs.cursor.state = CURSOR_RESTS
        start_subscribed(&self.w, c)

    def subscriptions_of(self, conn: int) -> list:
        """(name, whether it is a pattern) of each of a connection's subscriptions."""
        cdef csp_conn *c = conn_of(&self.w, conn)
        cdef subs_t *subs
        cdef uint32_t i
        cdef node_t *node
        found = []
        if c != NULL and c.subs != NULL:
            subs = <subs_t *> c.subs
            for i in range(subs.room):
                node = subs.links[i].node
                if node != NULL:
                    found.append((node.name[:node.size], bool(node.pattern)))
        return found

    def replay_end(self, conn: int, *, lost: bool) -> None:
        """A connection that fetches goes on where it is, in the log; or it is lost, which it is told."""
        cdef csp_conn *c = conn_of(&self.w, conn)
        if is_fetching(c):
            start_end(&self.w, c, CURSOR_LOST if lost else CURSOR_GOES)

    def lose_place(self, conn: int) -> None:
        """What its subscriptions were told is worth nothing any more: `resync`, and on from there."""
        cdef csp_conn *c = conn_of(&self.w, conn)
        if c != NULL and subs_count(c) > 0:
            start_lose(&self.w, c)

    def set_token_key(self, number: int, stream: bytes, key: bytes) -> None:
        """From now on tokens are signed with this key; number 0: none is made."""
        cdef token_key_t *own = &self.w.token_key
        if len(stream) != sizeof(own.stream) or len(key) != sizeof(own.key):
            raise ValueError("a stream has 16 bytes, a key 32")
        own.id = number
        memcpy(own.stream, <const char *> stream, sizeof(own.stream))
        memcpy(own.key, <const char *> key, sizeof(own.key))
        tickets_forget(&self.w)

    def set_tls(self, port: int, context: TlsContext | None) -> None:
        """From now on handshakes of a port, by its number, are made with this; None: its TLS connections are ended."""
        cdef listener_t *row
        cdef SSL_CTX *ctx = NULL if context is None else (<TlsContext> context).ctx
        cdef uint32_t i
        known = False
        for i in range(self.w.listener_count):
            row = &self.w.listeners[i]
            if row.port == port:
                known = True
                if ctx != NULL:
                    SSL_CTX_up_ref(ctx)
                SSL_CTX_free(row.context)
                row.context = ctx
                if context is not None:
                    memcpy(row.demands, (<TlsContext> context).demands, DEMANDS_BYTES)
        if not known:
            raise ValueError(f"this worker listens at no port of number {port}")
        tls_looked_for(&self.w, <uint16_t> port)

    def await_tls(self, port: int, awaits: bool) -> None:
        """Whether who says hello on a port waits: until it has a certificate, or this says that nobody waits."""
        cdef uint32_t i
        for i in range(self.w.listener_count):
            if self.w.listeners[i].port == port:
                self.w.listeners[i].awaits = awaits
        if not awaits:
            tls_looked_for(&self.w, <uint16_t> port)

    def token(self, conn: int) -> bytes:
        """A token for the connection, at the place up to which it was told everything; b"" where it gets none."""
        cdef csp_conn *c = conn_of(&self.w, conn)
        cdef char text[TOKEN_TEXT_SIZE]
        if c == NULL or not token_make(&self.w, c, text):
            return b""
        return text[:TOKEN_TEXT_SIZE]

    def unsubscribe(self, conn: int, channel: bytes, pattern: bool) -> int:
        cdef csp_conn *c = conn_of(&self.w, conn)
        cdef node_t *node
        cdef link_t *link
        if c == NULL:
            raise KeyError(f"connection {conn} is closed")
        node = watch_find(&self.w.watch, <const char *> channel, <uint32_t> len(channel), pattern)
        link = subs_find(<subs_t *> c.subs, node) if node != NULL else NULL
        if link != NULL:
            watch_leave(&self.w, c, link)
        return subs_count(c)

    def unsubscribe_all(self, conn: int) -> None:
        """Ends all subscriptions, and what CFG.FROM said, without a word, as RESET does."""
        cdef csp_conn *c = conn_of(&self.w, conn)
        if c != NULL:
            watch_drop(&self.w, c)

    def subscribed_from(self, start: int, most: int, pattern: bool) -> tuple:
        """Channels, or patterns, of up to `most` buckets from one on, and where to go on; -1 at the end.

        The table may grow between two calls: then a name may come twice, but none is left out.
        """
        cdef watch_t *watch = &self.w.watch
        cdef int64_t at = start
        cdef int64_t end = min(<int64_t> start + most, <int64_t> watch.room)
        cdef node_t *node
        found = []
        while at < end:
            node = watch.buckets[at]
            while node != NULL:
                if node.pattern == <bint> pattern:
                    found.append(node.name[:node.size])
                node = node.next
            at += 1
        return found, at if at < <int64_t> watch.room else -1

    def subscribers(self, channels: list) -> list:
        """How many connections of this worker subscribe to each channel."""
        cdef node_t *node
        counts = []
        for channel in channels:
            node = watch_find(&self.w.watch, <const char *> channel, <uint32_t> len(channel), False)
            counts.append(node.count if node != NULL else 0)
        return counts

    def may_hear(self, conn: int, channels: list) -> list:
        """Of each channel, whether a connection may hear of it: it names nothing that its session may not read."""
        cdef csp_conn *c = conn_of(&self.w, conn)
        return [c != NULL and conn_may_hear(&self.w, c, channel, <uint32_t> len(channel)) for channel in channels]

    def is_turn_over(self) -> bool:
        """Whether this turn has used its CPU: who works by the piece leaves the rest for the next one."""
        return turn_over(&self.w)

    def want_published(self, on: bool) -> None:
        self.w.publish_wanted = on
        self.w.told = self.w.view.revision

    def reset_longest_turn(self) -> None:
        """The gauge longest_turn_us begins anew."""
        self.w.stats.longest_turn_us = 0

    def counters(self) -> dict:
        """What the leak tests look at: everything must be back to zero when the last client has gone."""
        cdef worker_t *w = &self.w
        return {
            "connections": w.connections,
            "buffers": w.stats.buffers,
            "subscriptions": w.stats.subscriptions,
            "channels": w.watch.count,
            "jobs": w.stats.jobs,
            "waiting": w.waiting_count,
            "lagging": w.deliver.placed,
            "starts": w.deliver.starts,
            "awaiting": w.deliver.awaiting.count,
            "tracking": w.tracking.clients,
            "tracked": w.tracking.count,
            "prefixes": w.tracking.prefix_count,
            "unsigned": w.unsigned_count,
            "blocked": w.blocked_count,
            "addresses": w.addresses.used,
            "tls_buffered": w.tls.buffered,
        }

    # ---- descriptors and timers of the slow lane ----

    def add_fd(self, fd: int, callback, *, write: bool = False) -> None:
        """Calls back while fd is readable, or writable; both may be watched at once."""
        before = fd in self.readers or fd in self.writers
        (self.writers if write else self.readers)[fd] = callback
        self.watch_fd(fd, before)

    def remove_fd(self, fd: int, *, write: bool = False) -> None:
        """Ends watching; with write, only for writing."""
        if fd not in self.readers and fd not in self.writers:
            return
        self.writers.pop(fd, None)
        if not write:
            self.readers.pop(fd, None)
        self.watch_fd(fd, True)

    cdef watch_fd(self, int fd, bint before):
        cdef epoll_event event
        event.events = <uint32_t> EPOLLIN if fd in self.readers else 0
        if fd in self.writers:
            event.events |= <uint32_t> EPOLLOUT
        event.data.u64 = (<uint64_t> KIND_PYTHON << 62) | <uint32_t> fd
        how = EPOLL_CTL_DEL if event.events == 0 else EPOLL_CTL_MOD if before else EPOLL_CTL_ADD
        if epoll_ctl(self.w.epoll, how, fd, &event) != 0 and how != EPOLL_CTL_DEL:
            raise OSError(errno, f"watching descriptor {fd}")

    def run_fd(self, fd: int, events: int) -> None:
        try:
            if events & ~EPOLLOUT and fd in self.readers:
                self.readers[fd]()
            if events & ~EPOLLIN and fd in self.writers:
                self.writers[fd]()
        except Exception:
            slow_failed(&self.w, f"the callback of descriptor {fd}")

    def call_later(self, delay_ms: int, callback) -> int:
        """Calls back once after delay_ms; the number cancels it."""
        self.timer_count += 1
        heapq.heappush(self.timers, (clock_ms() + delay_ms, self.timer_count, callback))
        self.w.timer_ms = self.timers[0][0]
        return self.timer_count

    def cancel(self, number: int) -> None:
        for place, timer in enumerate(self.timers):
            if timer[1] == number:
                self.timers.pop(place)
                heapq.heapify(self.timers)
                break
        self.w.timer_ms = self.timers[0][0] if self.timers else INT64_MAX

    def run_timers(self) -> None:
        now = clock_ms()
        while self.timers and self.timers[0][0] <= now:
            _due, _number, callback = heapq.heappop(self.timers)
            self.w.timer_ms = self.timers[0][0] if self.timers else INT64_MAX
            try:
                callback()
            except Exception:
                slow_failed(&self.w, "a timer")
            if turn_over(&self.w):
                break
        self.w.timer_ms = self.timers[0][0] if self.timers else INT64_MAX

    # ---- texts of a row that may be longer than its fields ----

    cdef str long_text(self, object conn, str field, const char *at, int room):
        texts = self.long_names.get(conn)
        if texts is not None and field in texts:
            return texts[field]
        return field_text(at, room)

    cdef put_text(self, object conn, str field, char *at, int room, str text):
        cdef bytes data = text.encode()
        cdef Py_ssize_t size = min(len(data), room - 1)
        texts = self.long_names.get(conn)
        if texts is not None:
            texts.pop(field, None)
        if len(data) > size:
            self.long_names.setdefault(conn, {})[field] = text
        memset(at, 0, room)
        memcpy(at, <const char *> data, size)


cdef arg_t *words_of(list args) except NULL:
    """The arguments as the loop's rooms take them; good as long as the list is."""
    cdef arg_t *words = <arg_t *> malloc((len(args) + 1) * sizeof(arg_t))
    cdef Py_ssize_t i
    if words == NULL:
        raise MemoryError("arguments of a command")
    for i in range(len(args)):
        words[i].data = <bytes> args[i]
        words[i].size = <uint32_t> len(args[i])
    return words
