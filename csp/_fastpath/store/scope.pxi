# Included by csp/_fastpath.pyx after: reach; before: circles. What a reader's sessions are limited to, whatever is
# granted to them: what lies in some containers.
#
# Invariants:
# 1. A scope takes away and never gives: a reach within it is what is in both.
# 2. Its nodes are those of the containers and of all that hangs below, in the picture as it is. A container that is not
#    there has none, so a scope that names nothing that is there leaves nothing.
# 3. It concerns what is read. What decides who may call what (administrator, the rights on an application) is not asked
#    through it.

cdef void scope_below(rights_t *t, uint32_t top, bits_t *bits) noexcept nogil:
    """Adds a branch and all that hangs below."""
    cdef uint32_t at = top
    while True:
        bits.words[at >> 6] |= <uint64_t> 1 << (at & 63)
        at = branch_after(t, at, top, True)
        if at == top:
            return

cdef void scope_add(rights_t *t, uint64_t name, bits_t *bits) noexcept nogil:
    cdef uint32_t number = raw_node(t.store, name)
    if number != 0 and number <= t.nodes:
        scope_below(t, number, bits)

cdef bint scope_look(rights_t *t) noexcept nogil:
    """Brings its bits to the picture; False without memory."""
    cdef uint32_t i
    if t.scope_bits != NULL and t.scope_version == t.version:
        return True
    free(t.scope_bits)
    t.scope_bits = bits_new(t, NULL)
    if t.scope_bits == NULL:
        return False
    for i in range(t.scope_count):
        scope_add(t, t.scope_names[i], t.scope_bits)
        scope_add(t, t.scope_names[i] | <uint64_t> CSP_OWN_NODE << 32, t.scope_bits)
    t.scope_version = t.version
    return True

cdef reach_t *scope_cut(rights_t *t, const reach_t *reach) noexcept nogil:
    """What of a reach is within; its count raised. NULL without memory."""
    cdef bits_t *scope = t.scope_bits
    cdef bits_t *bits = bits_new(t, reach.bits if reach.bits != NULL else scope)
    cdef reach_t *made
    cdef uint32_t i
    if bits == NULL:
        return NULL
    for i in range(bits.size):
        bits.words[i] &= scope.words[i] if i < scope.size else 0
    t.number_count = 0
    for i in range(reach.count):
        if reach.extra[i] < 64 * scope.size and bits_has(scope, reach.extra[i]) and not number_add(t, reach.extra[i]):
            free(bits)
            return NULL
    bits = bits_share(t, bits)
    made = reach_take(t, bits, t.numbers, t.number_count)
    bits_drop(t, bits)
    return made

cdef reach_t *scope_within(rights_t *t, reach_t *reach) noexcept nogil:
    """What of a reach is within the reader's scope: given away for it."""
    cdef reach_t *made = NULL
    if not t.scoped or reach == t.none:
        return reach
    if not t.broken and scope_look(t):
        made = scope_cut(t, reach)
    t.broken = t.broken or made == NULL
    reach_drop(t, reach)
    return reach_keep(t.none) if made == NULL else made

cdef bint scope_set(rights_t *t, const uint64_t *names, uint32_t count, bint scoped) noexcept nogil:
    """Another scope from now on: the picture has another version. False, and the one before, without memory."""
    cdef uint64_t *kept = <uint64_t *> malloc((count + 1) * sizeof(uint64_t))
    if kept == NULL:
        return False
    if count:
        memcpy(kept, names, count * sizeof(uint64_t))
    free(t.scope_names)
    free(t.scope_bits)
    t.scope_names = kept
    t.scope_count = count
    t.scope_bits = NULL
    t.scoped = scoped
    if t.version != 0:
        t.version += 1
    return True
