# Included by csp/_fastpath.pyx after: rights, forms; before: start.
# Whether what a session may read has changed since a place where it wants to go on.
#
# Invariants:
# 1. Of an account that this worker has known since then it is known exactly. Of any other it has changed where some
#    change since may have changed what anybody may read: a grant, an access group, or an object that moves with others
#    below it. So `resync` may come once too often to who comes from another worker, and never too seldom.
# 2. Entries of the log are looked through once: what was looked at is remembered as a range, up to the newest such
#    change below which nobody needs to look.
# 3. What has left the log is looked at as it is told (Loop.replay).

cdef bint item_is_of_node(worker_t *w, const csp_item_t *item) noexcept nogil:
    """Whether something is, or was, governed by what the object is granted or hands down."""
    return view_node(&w.view, item.class_id, item.dbid) != 0 \
        or view_node(&w.view, item.class_id | CSP_OWN_NODE, item.dbid) != 0

cdef bint event_names(const csp_item_t *item, const char *text, uint32_t size) noexcept nogil:
    """Whether the item's event has such a piece of text."""
    cdef const char *at = <const char *> item_event(item)
    cdef const char *end = at + item.event_size
    while at != NULL and at + size <= end:
        if memcmp(at, text, size) == 0:
            return True
        at = <const char *> memchr(at + 1, text[0], <size_t> (end - at - 1))
    return False

cdef bint item_turns(worker_t *w, const csp_item_t *item) noexcept nogil:
    """Whether a change may have changed what somebody may read of other objects."""
    if item.class_id == <uint32_t> CSP_GRANTS_CLASS or item.class_id == <uint32_t> CSP_ACCESS_GROUP_CLASS:
        return True
    if not item_known(item) or item.op == OP_CREATE or item.op == CSP_OP_DELETE or not item_is_of_node(w, item):
        return False
    return item.before_class != item.after_class or item.before_dbid != item.after_dbid \
        or event_names(item, b'"folderDBID":', 13) or event_names(item, b'"ownerID', 8)

cdef bint entry_turns(worker_t *w, const csp_entry_t *entry) noexcept nogil:
    cdef const csp_item_t *item = entry_items(entry)
    cdef uint32_t i
    for i in range(entry.item_count):
        if item_turns(w, item):
            return True
        item = <const csp_item_t *> (<const char *> item + item.size)
    return entry.flags & CSP_DIFFERENCE != 0

cdef bint revision_turns(worker_t *w, uint64_t revision) noexcept nogil:
    cdef const csp_entry_t *entry = log_entry(w.store, revision)
    return entry == NULL or entry_turns(w, entry)

cdef bint log_turns(worker_t *w, uint64_t revision) noexcept nogil:
    """Whether an entry after this one, up to S, may have changed what somebody may read."""
    cdef turned_t *t = &w.deliver.turned
    cdef uint64_t at
    if t.generation != w.generation or t.until > w.view.revision:
        t.generation = w.generation
        t.since = w.view.revision + 1
        t.until = w.view.revision
        t.newest = 0
    for at in range(t.until + 1, w.view.revision + 1):
        if revision_turns(w, at):
            t.newest = at
    t.until = w.view.revision
    while t.newest == 0 and t.since > revision + 1:
        t.since -= 1
        if revision_turns(w, t.since):
            t.newest = t.since
    return t.newest > revision

cdef inline bint account_is_known(const account_t *a, uint64_t revision) noexcept nogil:
    """Whether what the account may read was known at that revision, or before, and ever since."""
    return a.known != 0 and a.known <= revision

cdef bint conn_reach_since(worker_t *w, csp_conn *c, uint64_t revision) noexcept nogil:
    """Whether what its session may read may have changed after a revision."""
    cdef const account_t *a = account_fresh(w, c)
    if c.account == ACCOUNT_ALL or rights_since(w) <= revision:
        return False
    if account_is_known(a, revision):
        return a.since > revision
    if w.scope_revision > revision:
        return True
    if revision + 1 < csp_load(&w.store.super.log_oldest):
        return False                # the entries say it, as they are told
    return log_turns(w, revision)

cdef bint replay_turns(worker_t *w, csp_conn *c, const csp_entry_t *entry) noexcept nogil:
    """Whether an entry that has left the log may have changed what the session may read: its place is lost then."""
    cdef const account_t *a = account_fresh(w, c)
    return c.account != ACCOUNT_ALL and not account_is_known(a, entry.revision - 1) and entry_turns(w, entry)
