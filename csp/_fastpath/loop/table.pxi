# Included by csp/_fastpath.pyx after: state.
# The session table: a part a worker, in which stand the rows of its clients and behind them its table of addresses.
#
# Invariants:
# 1. Every worker maps all of it and writes its own part alone. What a predecessor in its slot left is begun anew.
# 2. Memory is there before it is touched: a full /dev/shm refuses a client, or a worker's start, and kills nobody.
# 3. A worker without the others (session_fd -1) has a table of its own that is like one part.

cdef enum:
    SESSION_ROW = 512               # bytes, by which the table is divided among workers
    SESSION_HEAD_BYTES = 512
    TABLE_STEP = 65536              # backed at once: some hundred connections

SESSION_ROW_BYTES = <int> SESSION_ROW  # what the supervisor has to know

cdef inline session_head_t *session_head(worker_t *w, uint32_t slot) noexcept nogil:
    return <session_head_t *> (w.table + w.table_part * slot)

cdef bint table_back(worker_t *w, area_t *area, uint64_t bytes) noexcept nogil:
    """Takes memory for a part of the session table before it is touched; False: /dev/shm has none."""
    cdef uint64_t step
    while w.table_fd >= 0 and area.backed < bytes:
        step = area.size - area.backed
        if step > TABLE_STEP:
            step = TABLE_STEP
        if step == 0 or posix_fallocate(w.table_fd, <int64_t> (area.at + area.backed), <int64_t> step) != 0:
            return False
        area.backed += step
    return True

cdef uint32_t rows_that_fit(uint64_t part) noexcept nogil:
    """Clients that a worker's part of the session table has room for, if each has an address of its own."""
    cdef uint64_t head = SESSION_HEAD_BYTES + 2 * sizeof(address_row_t)
    cdef uint64_t rows = 0
    if part > head:                 # of its bucket a row has at most a half
        rows = (part - head) // (sizeof(csp_client) + sizeof(address_row_t) + sizeof(uint32_t) // 2)
    return <uint32_t> rows if rows < HANDLE_ROWS else HANDLE_ROWS - 1

cdef table_open(worker_t *w, int session_fd, uint32_t rows, uint32_t slots, uint32_t slot):
    """Maps the table, and begins this worker's part."""
    cdef bytes key = os.urandom(16)
    cdef session_head_t *head
    cdef uint32_t i
    w.table_fd = session_fd
    if session_fd < 0:
        rows = w.limits.connections + 1
        slots = 1
        w.table_part = <uint64_t> rows * SESSION_ROW + SESSION_HEAD_BYTES
        w.table = <char *> mmap(NULL, w.table_part, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    else:
        w.table_part = <uint64_t> rows * SESSION_ROW
        w.table_rows.at = w.table_part * slot
        w.table = <char *> mmap(NULL, w.table_part * slots, PROT_READ | PROT_WRITE, MAP_SHARED, session_fd, 0)
    if <void *> w.table == MAP_FAILED:
        w.table = NULL
        raise OSError(errno, "mapping the session table")
    w.workers = slots
    w.own_head = head = <session_head_t *> (w.table + w.table_rows.at)
    w.clients = <csp_client *> (<char *> head + SESSION_HEAD_BYTES)
    w.next_id = &head.next_id
    w.row_top_shown = &head.row_top
    w.row_room = rows_that_fit(w.table_part)
    w.table_rows.size = w.table_part - addresses_bytes(w.row_room)
    if not table_back(w, &w.table_rows, SESSION_HEAD_BYTES) \
            or not addresses_open(w, <const uint8_t *> <const char *> key):
        raise StoreFull("/dev/shm has no room for the table of clients")
    for i in range(<uint32_t> head.row_top):
        w.clients[i].id = 0
    head.row_top = 0
    w.row_free = UINT32_MAX
    w.rows = <csp_conn *> mmap(NULL, w.row_room * sizeof(csp_conn), PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if <void *> w.rows == MAP_FAILED:
        w.rows = NULL
        raise OSError(errno, "memory for connections")

cdef void table_close(worker_t *w) noexcept nogil:
    if w.table != NULL:
        munmap(w.table, w.table_part * w.workers)
    if w.rows != NULL:
        munmap(w.rows, w.row_room * sizeof(csp_conn))
