# Included by csp/_fastpath.pyx after: slow, deliver; before: turn.
# Finds out which persons, or their account records, a publication has changed: their sessions may have to end.
#
# Invariants:
# 1. Each entry of the log is looked at once, in the turn that first sees it; one that has left the log may have
#    changed anybody.
# 2. Who was created has no session yet; a record that changed alone (KEYS) has the password that it had.

cdef bint item_is_person(const csp_item_t *item) noexcept nogil:
    """Whether it changes or removes a person or his password."""
    if not item_is_change(item) or item.op == OP_CREATE:
        return False
    return item.class_id == CSP_PERSON_CLASS or item.flags & CSP_ITEM_ACCOUNT != 0

cdef bint persons_in(worker_t *w, uint64_t revision) noexcept nogil:
    """Whether the entry of a revision has such a change."""
    cdef const csp_entry_t *entry = log_entry(w.store, revision)
    cdef csp_item_t *item
    cdef uint32_t i
    if entry == NULL:
        return True
    item = entry_items(entry)
    for i in range(entry.item_count):
        if item_is_person(item):
            return True
        item = item_next(item)
    return False

cdef list persons_named(worker_t *w, uint64_t first, uint64_t last):
    """Their DBIDs; None where an entry has left the log."""
    cdef const csp_entry_t *entry
    cdef csp_item_t *item
    cdef uint32_t i
    found = set()
    while first <= last:
        entry = log_entry(w.store, first)
        if entry == NULL:
            return None
        item = entry_items(entry)
        for i in range(entry.item_count):
            if item_is_person(item):
                found.add(item.dbid)
            item = item_next(item)
        first += 1
    return sorted(found)

cdef void slow_persons(worker_t *w, uint64_t first) noexcept with gil:
    cdef Loop loop = <Loop> w.loop
    try:
        loop.slow.accounts_changed(persons_named(w, first, w.view.revision))
    except Exception:
        slow_failed(w, "persons that changed")

cdef void persons_turn(worker_t *w) noexcept nogil:
    """Looks at what was published since the last turn; tells the slow lane where it concerns a person."""
    cdef uint64_t first = w.persons_seen + 1
    cdef uint64_t at = first
    cdef bint is_first = w.persons_seen == 0
    w.persons_seen = w.view.revision
    if is_first:
        return
    if first > w.view.revision:             # another history
        slow_persons(w, 0)
        return
    while at <= w.view.revision:
        if persons_in(w, at):
            slow_persons(w, at)
            return
        at += 1
