# Included by csp/_fastpath.pyx after: read, parse, reply, glob.
# The channels that a change appears on, and what a channel or pattern asks for, in numbers.
#
# Invariants:
# 1. A change appears on the channels that item_name counts, in that order, and on no others.
# 2. A place stands for the changes of one form of channel whose bound parts have its values. The places of a
#    channel or simple pattern and the names that it matches are the same changes: a star of a simple pattern
#    ends where parts end, so whether a form matches does not depend on the values of the parts it leaves open.
# 3. A pattern is simple when it is `cfg`, `cfg*`, `cfg@*`, `cfg@<tenant>` or `*`, and then parts behind colons
#    that are each a class, a DBID or one star; loose when it is none of that and may match a change; else it
#    is foreign: no change ever matches it, as none matches an odd spelling.

cdef enum:
    NAME_ROOM = 128                 # `cfg@<tenant>:<Class>:<DBID>` with the longest class name fits
    FORM_OBJECT = 0                 # cfg:<Class>:<DBID>
    FORM_CLASS = 1                  # cfg:<Class>
    FORM_ALL = 2                    # cfg
    FORM_TENANT_CLASS = 3           # cfg@<tenant>:<Class>
    FORM_TENANT = 4                 # cfg@<tenant>
    FORMS = 5
    BINDS_DBID = 1
    BINDS_CLASS = 2
    BINDS_TENANT = 4
    FORM_PARTS = 0x46023            # which parts a form has, four bits each
    LEVELS = FORMS << 3             # a level is a form and the parts that are bound
    CHANNEL_FOREIGN = 0
    CHANNEL_SIMPLE = 1
    CHANNEL_LOOSE = 2

cdef struct scope_t:                # the parts that a channel or pattern names
    uint32_t binds
    uint32_t tenant
    uint32_t class_
    uint32_t dbid

cdef struct place_t:                # 0 where a part is open
    uint32_t tenant
    uint16_t class_
    uint16_t level
    uint32_t dbid

cdef inline uint32_t put_text(char *at, const char *text, uint32_t size) noexcept nogil:
    memcpy(at, text, size)
    return size

cdef inline uint32_t form_parts(uint32_t form) noexcept nogil:
    return (<uint32_t> FORM_PARTS >> (form << 2)) & 7

cdef uint32_t form_name(uint32_t form, uint32_t tenant, uint32_t class_id, uint32_t dbid, char *name) noexcept nogil:
    """The channel of a form for these parts; its size."""
    cdef const csp_class_t *class_ = &csp_classes[class_id]
    cdef uint32_t parts = form_parts(form)
    cdef uint32_t size = put_text(name, b"cfg", 3)
    if parts & BINDS_TENANT:
        name[size] = c'@'
        size += 1
        size += put_decimal(name + size, tenant)
    if parts & BINDS_CLASS:
        name[size] = c':'
        size += 1
        size += put_text(name + size, class_.name, class_.name_size)
    if parts & BINDS_DBID:
        name[size] = c':'
        size += 1
        size += put_decimal(name + size, dbid)
    return size

cdef uint32_t item_name(const csp_item_t *item, uint32_t which, char *name) noexcept nogil:
    """A channel that the item appears on, the most telling ones first; its size, 0 behind the last one."""
    if which < FORM_TENANT_CLASS:
        return form_name(which, 0, item.class_id, item.dbid, name)
    which -= FORM_TENANT_CLASS
    if which // 2 >= item.tenant_count:
        return 0
    return form_name(FORM_TENANT_CLASS + (which & 1), item_tenants(item)[which // 2], item.class_id, item.dbid, name)

cdef inline bint item_known(const csp_item_t *item) noexcept nogil:
    return item_is_change(item) and item.class_id < CSP_CLASS_LIMIT and csp_classes[item.class_id].name != NULL

cdef bint channel_number(const char *text, uint32_t size, uint32_t *value) noexcept nogil:
    """A number of 32 bits as names spell it: no sign, no leading zero."""
    cdef uint64_t found = 0
    cdef uint32_t i
    if size == 0 or size > 10 or (text[0] == c'0' and size > 1):
        return False
    for i in range(size):
        if not c'0' <= text[i] <= c'9':
            return False
        found = found * 10 + <uint64_t> (text[i] - c'0')
    value[0] = <uint32_t> found
    return found <= UINT32_MAX

cdef int head_read(const char *text, uint32_t size, bint pattern, scope_t *scope) noexcept nogil:
    """What stands before the first colon."""
    if size == 3 and memcmp(text, b"cfg", 3) == 0:
        return CHANNEL_SIMPLE
    if pattern and ((size == 1 and text[0] == c'*') or (size == 4 and memcmp(text, b"cfg*", 4) == 0)
                    or (size == 5 and memcmp(text, b"cfg@*", 5) == 0)):
        return CHANNEL_SIMPLE
    if size > 4 and memcmp(text, b"cfg@", 4) == 0 and channel_number(text + 4, size - 4, &scope.tenant):
        scope.binds |= BINDS_TENANT
        return CHANNEL_SIMPLE
    return CHANNEL_LOOSE if pattern and memchr(text, c'*', size) != NULL else CHANNEL_FOREIGN

cdef int part_read(const char *text, uint32_t size, bint pattern, scope_t *scope) noexcept nogil:
    """What stands behind a colon, up to the next one."""
    cdef int class_id
    if pattern and size == 1 and text[0] == c'*':
        return CHANNEL_SIMPLE
    class_id = csp_class_by_name(text, size)
    if class_id > 0:
        scope.class_ = <uint32_t> class_id
        scope.binds |= BINDS_CLASS
        return CHANNEL_SIMPLE
    if channel_number(text, size, &scope.dbid):
        scope.binds |= BINDS_DBID
        return CHANNEL_SIMPLE
    return CHANNEL_LOOSE if pattern and memchr(text, c'*', size) != NULL else CHANNEL_FOREIGN

cdef bint pattern_begins(const char *text, uint32_t size) noexcept nogil:
    """Whether the characters before a pattern's first special one may begin the name of a change."""
    cdef const char *begin = b"cfg"
    cdef uint32_t i
    for i in range(size):
        if text[i] == c'*' or text[i] == c'?' or text[i] == c'[' or text[i] == c'\\':
            return True
        if i == 3:
            return text[i] == c':' or text[i] == c'@'
        if text[i] != begin[i]:
            return False
    return True

cdef int channel_read(const char *text, uint32_t size, bint pattern, scope_t *scope) noexcept nogil:
    """Whether a channel or pattern is simple, loose or foreign, and the parts that it names."""
    cdef uint32_t start = 0
    cdef uint32_t i
    cdef int kind
    memset(scope, 0, sizeof(scope_t))
    if pattern:
        if not pattern_begins(text, size):
            return CHANNEL_FOREIGN
        for i in range(size):
            if text[i] == c'?' or text[i] == c'[' or text[i] == c'\\':
                return CHANNEL_LOOSE
    for i in range(size + 1):
        if i < size and text[i] != c':':
            continue
        kind = head_read(text, i, pattern, scope) if start == 0 \
            else part_read(text + start, i - start, pattern, scope)
        if kind != CHANNEL_SIMPLE:
            return kind
        start = i + 1
    return CHANNEL_SIMPLE

cdef inline bint place_covers(const place_t *self, const place_t *other) noexcept nogil:
    """Whether each change at the other place, of a later form, is at this one too."""
    cdef uint32_t bound = self.level & 7
    return (bound & BINDS_TENANT == 0 or (other.level & BINDS_TENANT and self.tenant == other.tenant)) \
        and (bound & BINDS_CLASS == 0 or (other.level & BINDS_CLASS and self.class_ == other.class_)) \
        and (bound & BINDS_DBID == 0 or (other.level & BINDS_DBID and self.dbid == other.dbid))

cdef uint32_t scope_places(const scope_t *scope, const char *text, uint32_t size, bint pattern,
                           place_t *places) noexcept nogil:
    """The places of a simple channel or pattern, at most FORMS; each change is at the one it is named by."""
    cdef char name[NAME_ROOM]
    cdef uint32_t form, bound, name_size, k, count = 0
    cdef place_t *place
    for form in range(FORMS):
        bound = scope.binds & form_parts(form)
        name_size = form_name(form, scope.tenant, scope.class_ if bound & BINDS_CLASS else csp_class_ids[0],
                              scope.dbid, name)
        if not (glob_match(text, size, name, name_size) if pattern
                else size == name_size and memcmp(text, name, size) == 0):
            continue
        place = &places[count]
        place.level = <uint16_t> (form << 3 | bound)
        place.tenant = scope.tenant if bound & BINDS_TENANT else 0
        place.class_ = <uint16_t> (scope.class_ if bound & BINDS_CLASS else 0)
        place.dbid = scope.dbid if bound & BINDS_DBID else 0
        for k in range(count):
            if place_covers(&places[k], place):
                break
        else:
            count += 1
    return count
