# Included by csp/_fastpath.pyx after: watch, conn.
# What one connection subscribes to: its set of nodes, and the ways in and out of it.
#
# Invariants: those of watch.pxi.

cdef inline uint32_t link_hash(node_t *node) noexcept nogil:
    return <uint32_t> ((<uint64_t> <size_t> node * <uint64_t> 0x1E3779B97F4A7C15) >> 32)

cdef inline uint32_t subs_count(csp_conn *c) noexcept nogil:
    return (<subs_t *> c.subs).count if c.subs != NULL else 0

cdef inline uint32_t subs_patterns(csp_conn *c) noexcept nogil:
    return (<subs_t *> c.subs).patterns if c.subs != NULL else 0

cdef link_t *subs_find(subs_t *self, node_t *node) noexcept nogil:
    cdef uint32_t i
    if self == NULL or self.count == 0:
        return NULL
    i = link_hash(node) & (self.room - 1)
    while self.links[i].node != NULL:
        if self.links[i].node == node:
            return &self.links[i]
        i = (i + 1) & (self.room - 1)
    return NULL

cdef void subs_put(subs_t *self, node_t *node, uint32_t place) noexcept nogil:
    cdef uint32_t i = link_hash(node) & (self.room - 1)
    while self.links[i].node != NULL:
        i = (i + 1) & (self.room - 1)
    self.links[i].node = node
    self.links[i].place = place

cdef int subs_grow(subs_t *self) noexcept nogil:
    cdef link_t *old = self.links
    cdef uint32_t old_room = self.room
    cdef uint32_t room = old_room * 2 if old_room > 0 else 4
    cdef uint32_t i
    cdef link_t *links = <link_t *> calloc(room, sizeof(link_t))
    if links == NULL:
        return -1
    self.links = links
    self.room = room
    for i in range(old_room):
        if old[i].node != NULL:
            subs_put(self, old[i].node, old[i].place)
    free(old)
    return 0

cdef void subs_take(subs_t *self, link_t *link) noexcept nogil:
    """Removes a link and closes the gap it leaves in its probe run."""
    cdef uint32_t hole = <uint32_t> (link - self.links)
    cdef uint32_t i = hole
    cdef uint32_t home
    cdef uint32_t mask = self.room - 1
    while True:
        i = (i + 1) & mask
        if self.links[i].node == NULL:
            break
        home = link_hash(self.links[i].node) & mask
        if ((i - home) & mask) >= ((i - hole) & mask):
            self.links[hole] = self.links[i]
            hole = i
    self.links[hole].node = NULL

cdef subs_t *subs_make(worker_t *w, csp_conn *c) noexcept nogil:
    """Its set, made if there is none; NULL without memory."""
    if c.subs == NULL:
        c.subs = <csp_subs *> calloc(1, sizeof(subs_t))
        if c.subs != NULL:
            (<subs_t *> c.subs).cursor.reach = reach_keep(conn_reach(w, c))
    return <subs_t *> c.subs

cdef inline bint subs_idle(csp_conn *c) noexcept nogil:
    """Whether nothing needs the set: no subscription, nothing that CFG.FROM said, no tracking."""
    cdef subs_t *subs = <subs_t *> c.subs
    return subs.count == 0 and not subs.start.used and c.flags & CSP_CONN_TRACKING == 0

cdef void subs_free(worker_t *w, csp_conn *c) noexcept nogil:
    w.deliver.starts -= (<subs_t *> c.subs).start.used
    cursor_take_reach(w, c, NULL)
    free((<subs_t *> c.subs).links)
    free(c.subs)
    c.subs = NULL

cdef void subs_end(worker_t *w, csp_conn *c) noexcept nogil:
    """Without subscriptions, and what CFG.FROM said; who tracks keeps a cursor, where the live walk is."""
    cdef subs_t *subs = <subs_t *> c.subs
    cdef reach_t *reach
    cursor_close(w, c)
    if c.flags & CSP_CONN_TRACKING == 0:
        subs_free(w, c)
        return
    w.deliver.starts -= subs.start.used
    free(subs.links)
    reach = subs.cursor.reach
    memset(subs, 0, sizeof(subs_t))
    subs.cursor.reach = reach

cdef int node_grow(node_t *node) noexcept nogil:
    """Room for one more subscriber."""
    cdef uint32_t room = node.room * 2 if node.room > 0 else 4
    cdef sub_t *subs
    if node.count < node.room:
        return 0
    subs = <sub_t *> realloc(node.subs, room * sizeof(sub_t))
    if subs == NULL:
        return -1
    node.subs = subs
    node.room = room
    return 0

cdef int watch_add(worker_t *w, csp_conn *c, const char *name, uint32_t size, bint pattern) noexcept nogil:
    """Subscribes; 1 when it is new, 0 when it was there already, -1 without memory."""
    cdef subs_t *subs = <subs_t *> c.subs
    cdef node_t *node = watch_make(&w.watch, name, size, pattern)
    if node == NULL:
        return -1
    if subs_find(subs, node) != NULL:
        return 0
    subs = subs_make(w, c)
    if subs == NULL or ((subs.count + 1) * 2 > subs.room and subs_grow(subs) != 0) or node_grow(node) != 0:
        if subs != NULL and subs_idle(c):
            subs_free(w, c)
        if node.count == 0:
            watch_remove(&w.watch, node)
        return -1
    subs_put(subs, node, node.count)
    node.subs[node.count].row = <uint32_t> (c - w.rows)
    node.count += 1
    if subs.count == 0:
        w.stats.subscribers += 1
        if not subs.start.used:
            cursor_open(w, c)
    subs.count += 1
    subs.patterns += pattern
    subs.loose += node.loose != NULL
    w.event_subscriptions += node.event
    w.stats.subscriptions += 1
    if subs.start.used:
        start_subscribed(w, c)
    return 1

cdef void watch_leave(worker_t *w, csp_conn *c, link_t *link) noexcept nogil:
    """Ends one subscription."""
    cdef subs_t *subs = <subs_t *> c.subs
    cdef node_t *node = link.node
    cdef uint32_t place = link.place
    node.count -= 1
    if place != node.count:
        node.subs[place] = node.subs[node.count]
        subs_find(<subs_t *> w.rows[node.subs[place].row].subs, node).place = place
    subs.count -= 1
    subs.patterns -= node.pattern
    subs.loose -= node.loose != NULL
    w.event_subscriptions -= node.event
    w.stats.subscriptions -= 1
    subs_take(subs, link)
    if node.count == 0:
        watch_remove(&w.watch, node)
    if subs.count == 0:
        w.stats.subscribers -= 1
        subs_end(w, c)

cdef void watch_drop(worker_t *w, csp_conn *c) noexcept nogil:
    """Ends all subscriptions of a connection, and a cursor that rests without any."""
    cdef subs_t *subs = <subs_t *> c.subs
    cdef uint32_t i = 0
    while c.subs != NULL and subs.count > 0:
        while subs.links[i].node == NULL:
            i = (i + 1) & (subs.room - 1)
        watch_leave(w, c, &subs.links[i])
    if c.subs != NULL:
        subs_end(w, c)
