# Included by csp/_fastpath.pyx after: tracking_keys, conn, subs, cursor, match.
# CLIENT TRACKING: who tracks and in which way, where it is told, and what a change of the log means to it.
#
# Invariants:
# 1. Whoever tracks has a cursor (its subs exist), so its reads wait until the live walk is at S. The walk marks what
#    an item invalidates (tracking_item); what is marked is told before such a read runs (CSP_CONN_UNTOLD,
#    cursor_is_level). So no reply shows what an invalidation behind it takes back.
# 2. What is still to be told is bounded by what was read: keys wait in their set. What can't be kept, or is not known
#    any more, becomes one null, which takes back all (tracking_forget).
# 3. A key is remembered at the revision at which it is answered, or with what was changed since (tracking_remember).
# 4. A target of this worker has its trackers in a list; when either ends the other is told. One of another worker is
#    the slow lane's (csp/worker/redirects.py).
# 5. A change of an object that the session may read neither before nor after it is none to it. When what it may read
#    changes, all is taken back (flips.pxi).

cdef enum tracking_option:
    TRACK_ON = 1
    TRACK_BCAST = 2
    TRACK_OPTIN = 4
    TRACK_OPTOUT = 8
    TRACK_NOLOOP = 16
    TRACK_CACHING = 32              # CLIENT CACHING was said
    TRACK_EXEC = 64                 # the EXEC under way remembers what it reads
    TRACK_BROKEN = 128              # its target has gone
    TRACK_BROKEN_UNTOLD = 256       # and it has not heard so
    TRACK_NULL = 512                # a null is to be told, where its invalidations go
    TRACK_TARGET_NULL = 1024        # a null is to be told to itself, as a target
    TRACK_DUE = 2048                # in the list of those who may have to be told something
    OWN_WRITES = 16                 # revisions of its own that the walk has not come to
    EVICTED_PART = 4                # evicted keys that may wait to be told: such a part of the worker's limit

ctypedef struct track_t:            # csp_track, as the row of a connection calls it
    uint32_t options
    uint32_t trackers               # as a target: row + 1 of the first of its trackers
    uint32_t next, before           # among the trackers of its target: row + 1
    uint64_t redirect               # id of its target, 0: itself
    uint64_t target                 # its handle where it is of this worker, else 0
    keyset_t *set
    prefix_t **prefixes
    uint32_t prefix_count
    uint32_t own_at
    uint64_t own[OWN_WRITES]

cdef inline track_t *track_of(csp_conn *c) noexcept nogil:
    return <track_t *> c.track

cdef track_t *track_make(csp_conn *c) noexcept nogil:
    """Made if there is none; NULL without memory."""
    if c.track == NULL:
        c.track = <csp_track *> calloc(1, sizeof(track_t))
    return track_of(c)

cdef void tracking_due(worker_t *w, csp_conn *c) noexcept nogil:
    """It may have to be told something: in this turn's delivery, or the next one."""
    if track_of(c).options & TRACK_DUE == 0 and handles_add(&w.tracking_due, conn_handle(w, c)) == 0:
        track_of(c).options |= TRACK_DUE

cdef inline bint track_waits(const track_t *t) noexcept nogil:
    """Whether there is something to be told."""
    return t.options & (TRACK_NULL | TRACK_TARGET_NULL | TRACK_BROKEN_UNTOLD) \
        or (t.set != NULL and t.set.pending > 0)

cdef void tracking_due_around(worker_t *w, csp_conn *c) noexcept nogil:
    """What held it may be over: for itself, and for those who are told through it."""
    cdef uint32_t at = track_of(c).trackers
    if track_waits(track_of(c)):
        tracking_due(w, c)
    while at:
        c = &w.rows[at - 1]
        if track_waits(track_of(c)):
            tracking_due(w, c)
        at = track_of(c).next

# ---- targets ----

cdef void target_leave(worker_t *w, csp_conn *c) noexcept nogil:
    """It is told through nobody any more."""
    cdef track_t *t = track_of(c)
    cdef csp_conn *target = conn_of(w, t.target) if t.target else NULL
    if target != NULL:
        if t.before:
            track_of(&w.rows[t.before - 1]).next = t.next
        else:
            track_of(target).trackers = t.next
        if t.next:
            track_of(&w.rows[t.next - 1]).before = t.before
    t.next = 0
    t.before = 0
    t.target = 0
    t.redirect = 0

cdef bint target_join(worker_t *w, csp_conn *c, csp_conn *target) noexcept nogil:
    """It is told through a connection of this worker; False without memory."""
    cdef track_t *t = track_of(c)
    cdef track_t *other = track_make(target)
    if other == NULL:
        return False
    t.target = conn_handle(w, target)
    t.next = other.trackers
    if t.next:
        track_of(&w.rows[t.next - 1]).before = <uint32_t> (c - w.rows) + 1
    other.trackers = <uint32_t> (c - w.rows) + 1
    return True

cdef void target_broken(worker_t *w, csp_conn *c) noexcept nogil:
    """The one through which it is told has gone."""
    cdef track_t *t = track_of(c)
    t.target = 0
    t.next = 0
    t.before = 0
    t.options |= TRACK_BROKEN | TRACK_BROKEN_UNTOLD
    c.flags |= CSP_CONN_REDIR_BROKEN
    client_show(w, c)
    tracking_due(w, c)

# ---- begin and end ----

cdef int tracking_begin(worker_t *w, csp_conn *c, uint32_t options, uint64_t redirect,
                        csp_conn *target) noexcept nogil:
    """Turns it on, or on in another way; -1 without memory."""
    cdef track_t *t = track_make(c)
    if t == NULL or subs_make(w, c) == NULL:
        return -1
    if t.options & TRACK_ON == 0:
        w.tracking.clients += 1
        w.event_subscriptions += 1
        if subs_count(c) == 0:
            cursor_open(w, c)
    target_leave(w, c)
    t.options &= ~(TRACK_BROKEN | TRACK_BROKEN_UNTOLD | TRACK_BCAST | TRACK_OPTIN | TRACK_OPTOUT | TRACK_NOLOOP)
    t.options |= options | TRACK_ON
    c.flags &= ~(CSP_CONN_REDIR_BROKEN | CSP_CONN_BCAST)
    c.flags |= CSP_CONN_TRACKING | (CSP_CONN_BCAST if options & TRACK_BCAST else 0)
    t.redirect = redirect
    if redirect != 0:
        c.flags &= ~CSP_CONN_UNTOLD
    client_of(w, c).redirect = redirect
    client_show(w, c)
    tracking_count(w)
    if target == NULL or target_join(w, c, target):
        return 0
    tracking_end(w, c)
    return -1

cdef void tracking_count(worker_t *w) noexcept nogil:
    """What INFO shows."""
    w.stats.tracking_clients = w.tracking.clients
    w.stats.tracked_keys = w.tracking.count
    w.stats.tracking_prefixes = w.tracking.prefix_count

cdef void tracking_end(worker_t *w, csp_conn *c) noexcept nogil:
    """Turns it off without a word."""
    cdef track_t *t = track_of(c)
    cdef subs_t *subs = <subs_t *> c.subs
    if t == NULL or t.options & TRACK_ON == 0:
        return
    target_leave(w, c)
    prefixes_leave(w, c)
    if t.set != NULL:
        set_drop(&w.tracking, t.set)
        t.set = NULL
    t.options &= TRACK_DUE | TRACK_TARGET_NULL
    t.own_at = 0
    c.flags &= ~(CSP_CONN_TRACKING | CSP_CONN_BCAST | CSP_CONN_REDIR_BROKEN | CSP_CONN_UNTOLD)
    client_of(w, c).redirect = 0
    w.tracking.clients -= 1
    w.event_subscriptions -= 1
    if subs.count == 0 and not subs.start.used:
        cursor_close(w, c)
        subs_free(w, c)
    client_show(w, c)
    tracked_trim(&w.tracking)
    tracking_count(w)

cdef void tracking_gone(worker_t *w, csp_conn *c) noexcept nogil:
    """The connection ends, or is reset: its target drops all that it read; its trackers hear that it is gone."""
    cdef track_t *t = track_of(c)
    cdef csp_conn *target = conn_of(w, t.target) if t.target else NULL
    cdef csp_conn *other
    if t.options & TRACK_ON and target != NULL and target != c:
        track_of(target).options |= TRACK_TARGET_NULL
        tracking_due(w, target)
    tracking_end(w, c)
    while t.trackers:
        other = &w.rows[t.trackers - 1]
        t.trackers = track_of(other).next
        target_broken(w, other)
    free(t.prefixes)
    free(t)
    c.track = NULL

cdef void tracking_forget(worker_t *w, csp_conn *c) noexcept nogil:
    """All that it has read is taken back at once, by a null: what changed, or may be read, is not known any more."""
    cdef track_t *t = track_of(c)
    if t.set != NULL:
        set_drop(&w.tracking, t.set)
        t.set = NULL
    t.options |= TRACK_NULL
    if t.redirect == 0:
        c.flags |= CSP_CONN_UNTOLD
    w.stats.tracking_flushes += 1
    tracking_due(w, c)

cdef void tracking_forget_all(worker_t *w) noexcept nogil:
    """The log has lost what would have been told next, or this is another history."""
    cdef uint32_t i
    if w.tracking.clients == 0:
        return
    for i in range(w.row_top):
        if w.rows[i].id != 0 and w.rows[i].flags & CSP_CONN_TRACKING:
            tracking_forget(w, &w.rows[i])

# ---- what is read ----

cdef inline bint track_remembers(const track_t *t, bint executing) noexcept nogil:
    """Whether what is read now is remembered."""
    if executing:
        return t.options & TRACK_EXEC != 0
    if t.options & TRACK_BCAST:
        return False
    if t.options & TRACK_OPTIN:
        return t.options & TRACK_CACHING != 0
    return t.options & TRACK_OPTOUT == 0 or t.options & TRACK_CACHING == 0

cdef keyset_t *track_set(worker_t *w, csp_conn *c) noexcept nogil:
    """Its set, made if there is none; NULL without memory."""
    cdef track_t *t = track_of(c)
    if t.set == NULL:
        t.set = set_new(&w.tracking, <uint32_t> (c - w.rows))
    return t.set

cdef void tracking_evict(worker_t *w, uint32_t i) noexcept nogil:
    """Makes room: the key is forgotten, and its connection told so."""
    cdef keyset_t *set = w.tracking.items[i].set
    cdef csp_conn *c = &w.rows[set.row]
    if set.dead:
        tracked_free(&w.tracking, i)
        return
    w.stats.tracking_evicted += 1
    if set.pending >= w.limits.tracked_keys or (
            w.tracking.count >= w.limits.tracked_keys_all + w.limits.tracked_keys_all // EVICTED_PART
            and tracking_held(w, c)):
        tracking_forget(w, c)       # a list of what it must drop takes as much room
        return
    tracked_pend(&w.tracking, i, 0)
    tracking_due(w, c)

cdef bint tracking_add(worker_t *w, csp_conn *c, uint64_t key) noexcept nogil:
    """Remembers a key that its set does not have; False: all of it was taken back instead."""
    cdef keyset_t *set = track_set(w, c)
    if set != NULL and set.count - set.pending >= w.limits.tracked_keys:
        tracking_evict(w, set.first)
    if w.tracking.count >= w.limits.tracked_keys_all:
        if w.tracking.oldest == 0:
            tracking_forget(w, c)   # all there is waits to be told
            return False
        tracking_evict(w, w.tracking.oldest)
    set = track_set(w, c)           # what made room may have been all of its own
    if set == NULL or tracked_add(&w.tracking, set, key, False) == 0:
        tracking_forget(w, c)
        return False
    w.stats.tracked_keys = w.tracking.count
    return True

cdef bint tracking_put(worker_t *w, csp_conn *c, uint64_t key) noexcept nogil:
    """Remembers a key; False as above."""
    cdef keyset_t *set = track_set(w, c)
    if set != NULL and tracked_find(&w.tracking, set, key, tracked_hash(set, key)):
        return True
    return tracking_add(w, c, key)

cdef inline bint track_behind(worker_t *w) noexcept nogil:
    """Whether what is answered now is older than what the walk has marked: inside a long EXEC."""
    return w.deliver.live.revision > w.view.revision + 1 or (
        w.deliver.live.revision == w.view.revision + 1 and w.deliver.live.item > 0)

cdef bint track_may(worker_t *w, csp_conn *c, csp_newest_t *newest) noexcept nogil:
    """Whether its session can read an object as it is answered, or as it has become since."""
    return reach_has((<subs_t *> c.subs).cursor.reach, newest.hidden.node) or view_visible(&w.view, newest) != NULL

cdef void tracking_remember(worker_t *w, csp_conn *c, const char *text, uint32_t size) noexcept nogil:
    """Remembers what is answered for a key of any spelling; what can be no object's key never changes."""
    cdef csp_newest_t *newest
    cdef uint64_t key = tracked_key(text, size)
    if key == 0:
        return
    if key == KEY_TOO_LONG:
        tracking_forget(w, c)       # so many zeros can't be said again
        return
    if not tracking_put(w, c, key) or not w.executing or not track_behind(w):
        return
    newest = view_newest(&w.view, key_word(w, text, size))
    if newest != NULL and newest.hidden.revision > w.view.revision and track_may(w, c, newest):
        tracking_mark(w, tracked_find(&w.tracking, track_of(c).set, key, tracked_hash(track_of(c).set, key)),
                      newest.hidden.revision)

# ---- what changes ----

cdef inline bint track_wrote(const track_t *t, uint64_t revision) noexcept nogil:
    """Whether the change is its own, and it does not want to hear of those."""
    cdef uint32_t i
    if t.options & TRACK_NOLOOP:
        for i in range(OWN_WRITES):
            if t.own[i] == revision:
                return True
    return False

cdef void tracking_mark(worker_t *w, uint32_t i, uint64_t revision) noexcept nogil:
    """An entry's object has changed."""
    cdef keyset_t *set = w.tracking.items[i].set
    cdef csp_conn *c = &w.rows[set.row]
    if set.dead or track_wrote(track_of(c), revision):
        return
    tracked_pend(&w.tracking, i, revision)
    if track_of(c).redirect == 0:
        c.flags |= CSP_CONN_UNTOLD
    tracking_due(w, c)

cdef inline bint track_hears(worker_t *w, csp_conn *c, const csp_item_t *item) noexcept nogil:
    """Whether a change is one of an object that its session could read, or can now."""
    cdef const reach_t *reach = (<subs_t *> c.subs).cursor.reach
    cdef uint32_t before = 0, after = 0
    if reach_is_whole(reach):
        return True
    item_nodes(w, item, &before, &after)
    return (item.op != OP_CREATE and reach_has(reach, before)) or (item.op != CSP_OP_DELETE and reach_has(reach, after))

cdef void tracking_item(worker_t *w, const csp_entry_t *entry, const csp_item_t *item) noexcept nogil:
    """Marks what an item of the log invalidates."""
    cdef tracking_t *t = &w.tracking
    cdef uint64_t object = object_key(item.class_id, item.dbid)
    cdef uint32_t i, next_
    if t.count > 0:
        i = t.by_object[bucket_of(t, object_hash(object))]
        while i:
            next_ = t.items[i].next_object
            if tracked_object(t.items[i].key) == object \
                    and (t.items[i].set.dead or track_hears(w, &w.rows[t.items[i].set.row], item)):
                tracking_mark(w, i, entry.revision)
            i = next_
    if t.prefixes != NULL and item_known(item):
        prefixes_item(w, entry, item)

cdef void tracking_own(worker_t *w, csp_conn *c, uint64_t revision) noexcept nogil:
    """A change of its own is here: with NOLOOP what only that one has marked needn't be told."""
    cdef track_t *t = track_of(c)
    cdef uint32_t i, next_
    if t == NULL or t.options & TRACK_NOLOOP == 0:
        return
    t.own[t.own_at % OWN_WRITES] = revision
    t.own_at += 1
    if t.set == NULL:
        return
    i = t.set.pending_last          # what is freed may move others, never those before it in the list
    while i:
        next_ = w.tracking.items[i].before
        if w.tracking.items[i].revision == <uint32_t> revision and not w.tracking.items[i].several:
            if t.options & TRACK_BCAST == 0:
                tracked_keep(&w.tracking, i)
            elif next_ == w.tracking.count:
                tracked_free(&w.tracking, i)
                next_ = i           # it has moved in here
            else:
                tracked_free(&w.tracking, i)
        i = next_
    if t.set.pending == 0 and t.options & TRACK_NULL == 0:
        c.flags &= ~CSP_CONN_UNTOLD
