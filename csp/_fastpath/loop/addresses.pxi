# Included by csp/_fastpath.pyx after: conn, clients.
# Counts the connections of each address: a table a worker in the session table, which all workers read.
#
# Invariants:
# 1. A worker writes its own table alone; a new one in its slot begins it anew (addresses_open). The connections of one
#    that was killed count until then, as they do for the whole number (conn_fits).
# 2. A connection is counted before anybody asks whether there are too many: of two that come at once in two workers
#    at the limit both may be refused, but never are more let in than may be.
# 3. What another worker changes meanwhile is read as it is: a row may lead astray into another bucket, so the way is
#    bounded, and a number may be one too high or low for that moment.
# 4. A bucket is found by a keyed hash: nobody can choose addresses that share one.
# 5. Memory is there before it is touched, as for the rows of clients.
# 6. Who has one IPv6 address has all of its network of NETWORK_BYTES, so that is what is counted.

cdef enum:
    NETWORK_BYTES = 8               # of an IPv6 address, as for sign-ins (csp/auth/line.py)
    CONNECTIONS_A_BUCKET = 4        # at most, where each has an address of its own and all rows are taken
    ADDRESS_STEPS = 256             # in a bucket of another worker

cdef inline uint64_t addresses_bytes(uint32_t rows) noexcept nogil:
    """What the table takes of a worker's part with so many rows of clients."""
    return <uint64_t> addresses_buckets(rows) * sizeof(uint32_t) + (<uint64_t> rows + 1) * sizeof(address_row_t)

cdef inline uint32_t addresses_buckets(uint32_t rows) noexcept nogil:
    cdef uint32_t count = 1
    while count * CONNECTIONS_A_BUCKET < rows:
        count *= 2
    return count

cdef uint32_t address_bucket(const uint8_t *key, const uint8_t *address, uint32_t mask) noexcept nogil:
    cdef csp_blake2b_t state
    cdef uint32_t hash_
    csp_blake2b_begin_keyed(&state, key, 16, sizeof(hash_))
    csp_blake2b_add(&state, address, 16)
    csp_blake2b_end_keyed(&state, &hash_, sizeof(hash_))
    return hash_ & mask

cdef inline void address_counted(uint8_t *into, const csp_client *client) noexcept nogil:
    """What a client counts for."""
    address_of(into, client.family, client.address)
    if not address_is_mapped(into):
        memset(into + NETWORK_BYTES, 0, 16 - NETWORK_BYTES)

cdef inline uint32_t own_bucket(worker_t *w, const uint8_t *address) noexcept nogil:
    return address_bucket(w.own_head.address_key, address, w.addresses.mask)

cdef bint address_enter(worker_t *w, csp_conn *c) noexcept nogil:
    """Counts a connection; False: there is no memory for its address."""
    cdef addresses_t *a = &w.addresses
    cdef uint8_t address[16]
    cdef uint32_t bucket, at
    address_counted(address, client_of(w, c))
    bucket = own_bucket(w, address)
    at = a.buckets[bucket]
    while at != 0:
        if memcmp(a.rows[at].address, address, 16) == 0:
            a.rows[at].count += 1
            c.address_row = at
            return True
        at = a.rows[at].next
    at = a.free
    if at != 0:
        a.free = a.rows[at].next
    elif a.top < a.room and table_back(w, &a.area, addresses_end(a, a.top + 1)):
        a.top += 1
        at = a.top
    else:
        return False
    memcpy(a.rows[at].address, address, 16)
    a.rows[at].count = 1
    a.rows[at].next = a.buckets[bucket]
    csp_fence()                     # the row is good before others find it
    a.buckets[bucket] = at
    c.address_row = at
    a.used += 1
    return True

cdef inline uint64_t addresses_end(addresses_t *a, uint32_t row) noexcept nogil:
    """Bytes of the table up to the end of a row."""
    return <uint64_t> (<char *> &a.rows[row + 1] - <char *> a.buckets)

cdef void address_leave(worker_t *w, csp_conn *c) noexcept nogil:
    """Counts it no more."""
    cdef addresses_t *a = &w.addresses
    cdef uint32_t at = c.address_row
    cdef uint32_t *link
    c.address_row = 0
    a.rows[at].count -= 1
    if a.rows[at].count > 0:
        return
    link = &a.buckets[own_bucket(w, a.rows[at].address)]
    while link[0] != at:
        link = &a.rows[link[0]].next
    link[0] = a.rows[at].next
    a.rows[at].next = a.free
    a.free = at
    a.used -= 1

cdef uint64_t address_count(worker_t *w, const uint8_t *address) noexcept nogil:
    """How many connections of all workers have this address."""
    cdef uint64_t offset = <uint64_t> (<char *> w.addresses.buckets - <char *> w.own_head)
    cdef uint64_t total = 0
    cdef session_head_t *head
    cdef uint32_t *buckets
    cdef address_row_t *rows
    cdef uint32_t slot, at, steps
    csp_fence()                     # what was counted here is seen by all before theirs is read
    for slot in range(w.workers):
        head = session_head(w, slot)
        if csp_load(&head.has_addresses) == 0:
            continue
        buckets = <uint32_t *> (<char *> head + offset)
        rows = <address_row_t *> (buckets + w.addresses.mask + 1)
        at = buckets[address_bucket(head.address_key, address, w.addresses.mask)]
        steps = 0
        while at != 0 and at <= w.addresses.room and steps < ADDRESS_STEPS:
            if memcmp(rows[at].address, address, 16) == 0:
                total += rows[at].count
                break
            at = rows[at].next
            steps += 1
    return total

cdef bint address_fits(worker_t *w, csp_conn *c) noexcept nogil:
    """Whether the address of a connection that is counted has no more than one may."""
    cdef uint8_t address[16]
    if w.limits.address_connections == 0:
        return True
    address_of(address, client_of(w, c).family, client_of(w, c).address)
    if networks_have(&w.balancers, address):
        return True
    address_counted(address, client_of(w, c))
    return address_count(w, address) <= w.limits.address_connections

cdef bint addresses_open(worker_t *w, const uint8_t *key) noexcept nogil:
    """Begins this worker's table anew, behind its rows in the session table; False without memory."""
    cdef addresses_t *a = &w.addresses
    cdef uint32_t buckets = addresses_buckets(w.row_room)
    a.area.size = addresses_bytes(w.row_room)
    a.area.at = w.table_rows.at + w.table_rows.size
    a.area.backed = 0
    a.buckets = <uint32_t *> (<char *> w.own_head + w.table_rows.size)
    a.rows = <address_row_t *> (a.buckets + buckets)
    a.mask = buckets - 1
    a.room = w.row_room
    a.top = 0
    a.free = 0
    csp_store(&w.own_head.has_addresses, 0)
    if not table_back(w, &a.area, addresses_end(a, 0)):
        return False
    memset(a.buckets, 0, buckets * sizeof(uint32_t))
    memcpy(w.own_head.address_key, key, 16)
    csp_store(&w.own_head.has_addresses, 1)
    return True
