# Included by csp/_fastpath.pyx after: tree. What is granted on objects at a revision, and the rights that this gives.
#
# Invariants:
# 1. The grants of an object are one record of CSP_GRANTS_CLASS (csp/model/grants.py): a name leads from the object to
#    its number, a list from each account to the numbers of all records that name it.
# 2. Of an account the nearest grant counts: the object's own, else that of the next container above whose grant
#    propagates. Rights are the union over the accounts. csp/model/rights.py says the same.
# 3. Nothing is kept from one question to the next, so an answer costs a walk up the tree: for single questions. Who
#    asks for every record of a reply keeps bits by node.

cdef uint64_t raw_container(const csp_store_t *store, uint64_t name, uint64_t revision) noexcept nogil:
    """The name of what an object lies in; 0: there is no such object, or it is a tenant, which ends the chain."""
    cdef csp_record_t *record
    if name >> 32 == <uint64_t> CSP_TENANT_CLASS:
        return 0
    record = raw_find(store, <uint32_t> (name >> 32), <uint32_t> name, revision)
    return 0 if record == NULL else container_name(record)

cdef csp_record_t *raw_grants(const csp_store_t *store, uint64_t name, uint64_t revision) noexcept nogil:
    """The record of the grants on the object of this name, which is not a node's own; NULL: it has none."""
    cdef csp_words_t it
    cdef csp_record_t *record
    cdef uint64_t word
    raw_names_open(&it, store, CSP_GRANTS_KEY, <const uint8_t *> &name, sizeof(uint64_t))
    while True:
        word = words_next(&it)
        if word == 0:
            return NULL
        record = raw_find(store, CSP_GRANTS_CLASS, <uint32_t> word, revision)
        if record != NULL and container_name(record) == name:
            return record

cdef inline const csp_grant_t *grants_rows(const csp_record_t *record, uint32_t *count) noexcept nogil:
    """The grants that a record lists, one an account."""
    count[0] = record.reply_size // sizeof(csp_grant_t)
    return <const csp_grant_t *> record_reply(record)

cdef inline uint64_t grant_account(const csp_grant_t *row) noexcept nogil:
    """Class and DBID as a name has them."""
    return node_name(row.class_id, row.dbid)

cdef inline uint32_t raw_granted(
    csp_plist_t *it, const csp_store_t *store, uint64_t account, uint64_t revision
) noexcept nogil:
    """Opens the list of the records that name an account; how many there are."""
    return raw_list_open(it, store, CSP_GRANTEE_KEY, <const uint8_t *> &account, sizeof(uint64_t), revision)

cdef uint32_t account_place(const uint64_t *accounts, uint32_t count, uint64_t account) noexcept nogil:
    """Where an account stands among these, which ascend; count: it doesn't."""
    cdef uint32_t low = 0, high = count, middle
    while low < high:
        middle = (low + high) >> 1
        if accounts[middle] < account:
            low = middle + 1
        else:
            high = middle
    return low if low < count and accounts[low] == account else count

cdef uint32_t grants_decide(
    const csp_record_t *record, bint own, const uint64_t *accounts, uint32_t count, uint64_t *decided
) noexcept nogil:
    """What a record's grants give to those accounts that no nearer grant has decided (a bit each), and decides them."""
    cdef uint32_t rows, place, i, rights = 0
    cdef const csp_grant_t *row = grants_rows(record, &rows)
    for i in range(rows):
        if not (own or row[i].grant & CSP_PROPAGATE):
            continue
        place = account_place(accounts, count, grant_account(&row[i]))
        if place == count or decided[place >> 6] >> (place & 63) & 1:
            continue
        decided[place >> 6] |= <uint64_t> 1 << (place & 63)
        rights |= row[i].grant & CSP_RIGHTS_ALL
    return rights

cdef uint32_t raw_rights(
    const csp_store_t *store, uint64_t revision, uint64_t name, bint own,
    const uint64_t *accounts, uint32_t count, uint64_t *decided
) noexcept nogil:
    """The rights on an object of who is all these accounts (they ascend, `decided` has a bit for each, all 0); not
    `own`: on one without grants of its own that lies, or would lie, in this container."""
    cdef csp_record_t *record
    cdef uint32_t rights = 0, above = 0
    while name and above < CONTAINERS_MAX:
        record = raw_grants(store, name, revision)
        if record != NULL:
            rights |= grants_decide(record, own and above == 0, accounts, count, decided)
        name = raw_container(store, name, revision)
        above += 1
    return rights
