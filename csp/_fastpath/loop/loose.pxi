# Included by csp/_fastpath.pyx after: read, reply, glob, channels.
# Loose patterns: those that are more than a class, a tenant, a DBID and stars for whole parts, compiled.
#
# Invariants:
# 1. A loose pattern matches an item of a class only if the class is in its set.
# 2. An item costs a loose pattern of its class time by the length of its names, whatever the pattern is.

cdef enum:
    LOOSE_CLASSES = 64              # class ids are bits of a word
    NO_NAME = 0xFFFFFFFF            # of an item's names

cdef extern from *:
    """
    _Static_assert(CSP_CLASS_LIMIT <= 64, "sets of classes are words");
    """

cdef struct loose_t:
    uint64_t classes                # bit: an item of the class may match
    uint64_t after_class[LOOSE_CLASSES]     # the states behind `cfg:<Class>`
    uint64_t after_at               # and behind `cfg@`
    bint all_                       # `cfg` matches
    glob_t glob

cdef inline uint64_t loose_step(const loose_t *self, uint64_t state, char character) noexcept nogil:
    return glob_step(&self.glob, state, self.glob.fits[character - GLOB_FIRST])

cdef void loose_compile(loose_t *self, const char *pattern, uint32_t size) noexcept nogil:
    """Compiles a pattern and finds the classes that it may match; none where it is too long for any name."""
    cdef const csp_class_t *class_
    cdef uint64_t accept, cfg, colon, tenant, state, behind
    cdef uint32_t i
    memset(self, 0, sizeof(loose_t))
    if not glob_compile(&self.glob, pattern, size):
        return
    accept = self.glob.accept
    cfg = glob_run(&self.glob, 1, b"cfg", 3)
    self.all_ = cfg & accept != 0
    self.after_at = loose_step(self, cfg, c'@')
    tenant = glob_decimal(&self.glob, self.after_at)
    colon = loose_step(self, cfg, c':')
    for i in range(<uint32_t> CSP_CLASS_COUNT):
        class_ = &csp_classes[csp_class_ids[i]]
        state = glob_run(&self.glob, colon, class_.name, class_.name_size)
        self.after_class[class_.class_id] = state
        behind = glob_decimal(&self.glob, loose_step(self, state, c':')) | state | cfg | tenant
        behind |= glob_run(&self.glob, loose_step(self, tenant, c':'), class_.name, class_.name_size)
        if behind & accept:
            self.classes |= <uint64_t> 1 << class_.class_id

cdef uint32_t loose_which(const loose_t *self, const csp_item_t *item) noexcept nogil:
    """Which name of an item of a known class the pattern matches first; NO_NAME when none."""
    cdef const csp_class_t *class_ = &csp_classes[item.class_id]
    cdef uint64_t accept = self.glob.accept
    cdef uint64_t state = self.after_class[item.class_id]
    cdef uint64_t colon = loose_step(self, state, c':')
    cdef char digits[20]
    cdef uint32_t k
    if colon and glob_run(&self.glob, colon, digits, put_decimal(digits, item.dbid)) & accept:
        return 0
    if state & accept:
        return 1
    if self.all_:
        return 2
    if self.after_at == 0:
        return NO_NAME
    for k in range(item.tenant_count):
        state = glob_run(&self.glob, self.after_at, digits, put_decimal(digits, item_tenants(item)[k]))
        if glob_run(&self.glob, loose_step(self, state, c':'), class_.name, class_.name_size) & accept:
            return 3 + 2 * k
        if state & accept:
            return 4 + 2 * k
    return NO_NAME
