# Included by csp/_fastpath.pyx after: state, conn, subs. Whose session a connection is: what it may read, and call.
#
# Invariants:
# 1. A connection has an account: a row that it shares with all sessions of this person that serve the same
#    application. Row 0 is nobody, who may read nothing; row 1 sees everything, whatever is granted, and is for tests.
# 2. The picture of rights is brought to S at the begin of a turn, before anything is delivered or answered. A row is
#    brought to it when a connection of it next does something (account_fresh); the rows of those with subscriptions
#    before anything is delivered (subscribers_look), under the turn's budget: until then nothing is.
# 3. w.view shows what the connection at hand may read: session_enter comes before its first look at a record. Between
#    two turns, and when a row changes hands, it shows nothing (w.seen is NOBODY_SEEN).
# 4. Subscriptions and tracking need what a read needs: who has lost Read or Execute on the application that he serves
#    is told of nothing, as if he had lost Read on everything (conn_reach).
# 5. What outlives a turn (a job, a reader of Python's) holds its reach.

cdef enum:
    ACCOUNT_NOBODY = 0
    ACCOUNT_ALL = 1
    NOBODY_SEEN = 0xFFFFFFFF
    ACCOUNTS_A_LOOK = 32            # rows brought to a new picture between two looks at the budget

cdef bint accounts_open(worker_t *w) noexcept nogil:
    """The two rows that are always there; False without memory."""
    cdef accounts_t *a = &w.accounts
    w.seen = NOBODY_SEEN
    if not rights_open(&w.rights, NULL):
        return False
    a.items = <account_t *> calloc(ACCOUNTS_MIN, sizeof(account_t))
    a.at = <uint32_t *> calloc(ACCOUNTS_MIN, sizeof(uint32_t))
    if a.items == NULL or a.at == NULL:
        return False
    a.room = ACCOUNTS_MIN
    a.count = 2
    a.items[ACCOUNT_NOBODY].reach = w.rights.none
    a.items[ACCOUNT_ALL].reach = w.rights.whole
    a.items[ACCOUNT_ALL].may = CSP_CONN_ADMINISTRATOR | CSP_CONN_DATA
    return True

cdef void accounts_close(worker_t *w) noexcept nogil:
    free(w.accounts.items)
    free(w.accounts.at)
    rights_close(&w.rights)

cdef inline uint32_t *account_bucket(accounts_t *a, uint32_t person, uint32_t application) noexcept nogil:
    return &a.at[(person * <uint32_t> 0x9e3779b1 + application * <uint32_t> 0x85ebca6b) & (a.room - 1)]

cdef bint accounts_grow(accounts_t *a) noexcept nogil:
    """Twice the room; False without memory."""
    cdef account_t *items = <account_t *> realloc(a.items, 2 * a.room * sizeof(account_t))
    cdef uint32_t *at
    cdef uint32_t *bucket
    cdef uint32_t i
    if items == NULL:
        return False
    a.items = items
    at = <uint32_t *> calloc(2 * a.room, sizeof(uint32_t))
    if at == NULL:
        return False
    free(a.at)
    a.at = at
    a.room *= 2
    for i in range(2, a.count):
        if items[i].refs:
            bucket = account_bucket(a, items[i].person, items[i].application)
            items[i].next = bucket[0]
            bucket[0] = i
    return True

cdef uint32_t account_take(worker_t *w, uint32_t person, uint32_t application) noexcept nogil:
    """The row of these two, a new one if need be, counted; ACCOUNT_NOBODY without memory."""
    cdef accounts_t *a = &w.accounts
    cdef uint32_t at = account_bucket(a, person, application)[0]
    cdef uint32_t *bucket
    cdef account_t *one
    while at and not (a.items[at].person == person and a.items[at].application == application):
        at = a.items[at].next
    if at:
        a.items[at].refs += 1
        return at
    at = a.free
    if at:
        a.free = a.items[at].next
    elif a.count == a.room and not accounts_grow(a):
        return ACCOUNT_NOBODY
    else:
        at = a.count
        a.count += 1
    one = &a.items[at]
    memset(one, 0, sizeof(account_t))
    one.person = person
    one.application = application
    one.refs = 1
    one.reach = reach_keep(w.rights.none)
    bucket = account_bucket(a, person, application)
    one.next = bucket[0]
    bucket[0] = at
    return at

cdef void account_leave(worker_t *w, uint32_t at) noexcept nogil:
    """One connection less has the row."""
    cdef accounts_t *a = &w.accounts
    cdef account_t *one = &a.items[at]
    cdef uint32_t *link
    if at <= ACCOUNT_ALL:
        return
    one.refs -= 1
    if one.refs:
        return
    link = account_bucket(a, one.person, one.application)
    while link[0] != at:
        link = &a.items[link[0]].next
    link[0] = one.next
    reach_drop(&w.rights, one.reach)
    one.reach = NULL
    one.next = a.free
    a.free = at
    if w.seen == at:
        w.seen = NOBODY_SEEN

cdef uint32_t account_may(worker_t *w, const account_t *a, circle_t *circle) noexcept nogil:
    """What the account may call: flags that a command's row asks for."""
    cdef rights_t *t = &w.rights
    cdef uint32_t may = 0
    cdef uint32_t application = a.application
    if circle == NULL:
        return 0
    if account_rights(t, a.person, circle, node_name(CSP_TENANT_CLASS, CSP_ENVIRONMENT)) & CSP_RIGHT_CP:
        may |= CSP_CONN_ADMINISTRATOR
    if application == 0:
        application = application_named(t, b"default")
    if application and ~account_rights(t, a.person, circle, node_name(CSP_APPLICATION_CLASS, application)) \
            & (CSP_RIGHT_R | CSP_RIGHT_X) == 0:
        may |= CSP_CONN_DATA
    return may

cdef inline uint64_t rights_since(worker_t *w) noexcept nogil:
    """The revision of the last change of rights that S has, or of the scope."""
    cdef uint64_t revision = csp_load(&w.store.super.rights_revision)
    if revision < w.scope_revision:
        revision = w.scope_revision
    return revision if revision <= w.view.revision else w.view.revision

cdef void account_renew(worker_t *w, account_t *a) noexcept nogil:
    """Brings a row to the picture."""
    cdef rights_t *t = &w.rights
    cdef circle_t *circle = NULL
    cdef reach_t *before = a.reach
    cdef uint32_t might = a.may
    if a <= &w.accounts.items[ACCOUNT_ALL]:
        a.version = t.version
        return
    circle = circle_find(t, a.person)
    a.reach = account_reach(t, a.person, circle)
    a.may = account_may(w, a, circle)
    a.version = t.version
    if a.known == 0:
        a.known = w.view.revision
    elif a.reach != before or (a.may ^ might) & CSP_CONN_DATA:
        a.since = rights_since(w)
    reach_drop(t, before)

cdef inline account_t *account_fresh(worker_t *w, const csp_conn *c) noexcept nogil:
    """The connection's row, as of the picture."""
    cdef account_t *a = &w.accounts.items[c.account]
    if a.version != w.rights.version:
        account_renew(w, a)
    return a

cdef void session_look(worker_t *w, csp_conn *c) noexcept nogil:
    cdef account_t *a = account_fresh(w, c)
    view_as(&w.view, a.reach)
    w.reach = a.reach
    w.may = a.may
    w.seen = c.account

cdef inline void session_enter(worker_t *w, csp_conn *c) noexcept nogil:
    """From here on the view is this connection's."""
    if c.account != w.seen:
        session_look(w, c)

cdef inline uint32_t session_may(worker_t *w, csp_conn *c) noexcept nogil:
    """What the connection's account may call."""
    return w.may if c.account == w.seen else account_fresh(w, c).may

cdef uint32_t session_rights(worker_t *w, csp_conn *c, uint32_t class_id, uint32_t dbid) noexcept nogil:
    """The rights that the connection's account has on an object that is there."""
    cdef account_t *a = account_fresh(w, c)
    cdef circle_t *circle
    if w.store == NULL:
        return 0
    if c.account == ACCOUNT_ALL:
        return CSP_RIGHTS_ALL
    circle = circle_find(&w.rights, a.person) if c.account != ACCOUNT_NOBODY else NULL
    return 0 if circle == NULL else account_rights(&w.rights, a.person, circle, node_name(class_id, dbid))

cdef void session_bind(worker_t *w, csp_conn *c, uint32_t person, uint32_t application) noexcept nogil:
    """The connection is this person's session from now on, and serves this application (0: none yet); person 0:
    nobody's."""
    cdef uint32_t at = account_take(w, person, application) if person else ACCOUNT_NOBODY
    account_leave(w, c.account)
    c.account = at
    if c.subs != NULL:
        subscriber_look(w, c)

cdef inline reach_t *conn_reach(worker_t *w, const csp_conn *c) noexcept nogil:
    """What the connection's session is told of at S: nothing where it may call no data command."""
    cdef account_t *a = account_fresh(w, c)
    return a.reach if a.may & CSP_CONN_DATA else w.rights.none

# ---- renewal ----

cdef inline void subscriber_look(worker_t *w, csp_conn *c) noexcept nogil:
    """Whether a connection with subscriptions, or one that tracks, may read something else than it was told."""
    cdef reach_t *reach = conn_reach(w, c)
    if (<subs_t *> c.subs).cursor.reach != reach:
        reach_turned(w, c, reach)

cdef bint subscribers_look(worker_t *w) noexcept nogil:
    """Renews the accounts of those with subscriptions; False when the turn was over before all were."""
    cdef csp_conn *c
    while w.rights_left > 0:
        if w.rights_at >= w.row_top:
            w.rights_at = 0
        c = &w.rows[w.rights_at]
        if c.id != 0 and c.subs != NULL:
            subscriber_look(w, c)
        w.rights_at += 1
        w.rights_left -= 1
        if w.rights_left % ACCOUNTS_A_LOOK == 0 and w.rights_left > 0 and not w.deliver.at_once and turn_over(w):
            return False
    return True

cdef void rights_turn(worker_t *w) noexcept nogil:
    """At the begin of a turn, S being loaded: no view is left of the turn before."""
    cdef rights_t *t = &w.rights
    rights_sweep(t)
    if w.seen == NOBODY_SEEN:
        view_as(&w.view, t.none)
    if not rights_due(t, w.view.revision):
        t.revision = w.view.revision
        return
    rights_renew(t, w.view.revision)
    w.seen = NOBODY_SEEN
    view_as(&w.view, t.none)
    w.rights_left = w.row_top if w.event_subscriptions > 0 or w.deliver.starts > 0 else 0

cdef bint scope_turn(worker_t *w, const uint64_t *names, uint32_t count, bint scoped) noexcept nogil:
    """All sessions are limited otherwise from now on, as if rights had changed at S. False without memory."""
    if not scope_set(&w.rights, names, count, scoped):
        return False
    w.scope_revision = w.view.revision if w.store != NULL else 0
    w.seen = NOBODY_SEEN
    view_as(&w.view, w.rights.none)
    w.rights_left = w.row_top
    return True

cdef void rights_attach(worker_t *w) noexcept nogil:
    """Another generation has other numbers of nodes: the picture is made anew, at S."""
    w.rights.store = w.store
    w.rights.broken = True
    rights_turn(w)
