# Included by csp/_fastpath.pyx after: index, names, postings, log.
# Prepares a transaction in free memory: records, new list heads, names, counts; can be undone.
#
# Invariants:
# 1. Nothing here changes what a reader sees: records are not reachable, new names fail their
#    verification, heads of new lists carry a revision that is not published.
# 2. Of several items about one object the last one counts; their log items share its record.
# 3. Records of accounts and of grants are not counted, and no node governs them; those of accounts have no keys.
# 4. Items of a kind that this build doesn't know are kept in the log and change nothing.

cdef bint frame_fits(const uint8_t *frame, uint64_t size) noexcept nogil:
    """`$n\\r\\n`, n bytes, `\\r\\n` and nothing else: what replies are copied and measured from."""
    cdef uint64_t at = 1, number = 0
    if size < 6 or frame[0] != c'$':
        return False
    while at <= 10 and at < size and frame[at] >= c'0' and frame[at] <= c'9':
        number = number * 10 + (frame[at] - c'0')
        at += 1
    return at > 1 and number + at + 4 == size and frame[at] == c'\r' and frame[at + 1] == c'\n' \
        and frame[size - 2] == c'\r' and frame[size - 1] == c'\n'

cdef bint frames_fit(const csp_record_t *image) noexcept nogil:
    """A tombstone has none, a record of the store's own none that a client sees, any other both."""
    if image.flags & CSP_TOMBSTONE:
        return image.size == sizeof(csp_record_t)
    if image.class_id == CSP_GRANTS_CLASS:
        return image.reply_size % sizeof(csp_grant_t) == 0
    if class_is_inner(image.class_id):
        return True
    return frame_fits(record_reply(image), image.reply_size) \
        and frame_fits(record_brief(image), image.brief_size)

cdef int image_check(const uint8_t *bytes, uint64_t room) noexcept nogil:
    """Sizes, frames, keys and checksum of one record image: whoever made it, it can be served."""
    cdef const csp_record_t *image = <const csp_record_t *> bytes
    cdef const uint8_t *at
    cdef const uint8_t *end
    cdef const csp_key_t *key
    if room < 64 or image.size < 64 or image.size > room or image.size & 7 \
            or image.class_id >= CSP_CLASSES or image.dbid == 0:
        return CORRUPT  # no walk would ever come to DBID 0
    if 64 + <uint64_t> image.reply_size + image.brief_size + image.keys_size > image.size:
        return CORRUPT
    if csp_crc32c(0, bytes + CSP_RECORD_COVERED, image.size - CSP_RECORD_COVERED) != image.crc or not frames_fit(image):
        return CORRUPT
    at = record_keys(image)
    end = at + image.keys_size
    while at < end:
        key = <const csp_key_t *> at
        if end - at < 8 or 8 + ((<uint64_t> key.value_size + 3) & ~<uint64_t> 3) \
                + 4 * <uint64_t> key.member_count > <uint64_t> (end - at):
            return CORRUPT
        at += key_bytes(key)
    return OK

cdef void stage_reset(csp_stage_t *stage) noexcept nogil:
    cdef uint32_t i
    stage.change_count = 0
    stage.delta_count = 0
    stage.swap_count = 0
    stage.block_count = 0
    stage.replaced_count = 0
    stage.name_count = 0
    stage.gone_count = 0
    stage.node_count = 0
    stage.grows = 0
    stage.rights = 0
    for i in range(stage.counted):
        stage.counts[stage.classes[i]] = 0
        stage.cells[stage.classes[i]] = 0
    stage.counted = 0

cdef void stage_abort(csp_writer_t *w) noexcept nogil:
    """Undoes what a failed change prepared. No reader could see it, but one may stand on the head
    of a new list: then all goes through a grace period."""
    cdef csp_stage_t *stage = &w.stage
    cdef size_t i
    cdef bint reached = False
    for i in range(stage.name_count):
        name_remove(w, stage.names[i])
    for i in range(stage.swap_count):
        if stage.swaps[i].old_word == 0:
            list_remove(w, stage.swaps[i].new_word)
            reached = True
    for i in range(stage.block_count):
        if not reached:
            arena_free(&w.arena, stage.blocks[i].ref, stage.blocks[i].size)
        elif pending_room(w, 1) == OK:
            pending_push(w, PENDING_FREE, stage.blocks[i].ref, <uint32_t> stage.blocks[i].size, 0, 0)
    stage_reset(stage)

cdef int change_order(const void *a, const void *b) noexcept nogil:
    cdef const csp_change_t *left = <const csp_change_t *> a
    cdef const csp_change_t *right = <const csp_change_t *> b
    if left.object != right.object:
        return 1 if left.object > right.object else -1
    return (left.order > right.order) - (left.order < right.order)

cdef int change_add(
    csp_writer_t *w, uint32_t class_id, uint32_t dbid, const csp_record_t *image, csp_item_t *item
) noexcept nogil:
    cdef csp_stage_t *stage = &w.stage
    cdef csp_change_t *change
    if vector_room(<void **> &stage.changes, &stage.change_room, stage.change_count + 1,
                   sizeof(csp_change_t)) != OK:
        return NO_MEMORY
    change = &stage.changes[stage.change_count]
    memset(change, 0, sizeof(csp_change_t))
    change.object = (<uint64_t> class_id << 32) | dbid
    change.order = <uint32_t> stage.change_count
    change.image = image
    change.item = item
    stage.change_count += 1
    return OK

cdef int item_record(
    csp_writer_t *w, const csp_entry_t *entry, csp_item_t *item, uint64_t number, const csp_record_t **image
) noexcept nogil:
    """The image inside the item, or the one given for its number, NULL for a delete; checked, and that it is of
    this object and entry."""
    cdef uint64_t size = item.image_size
    image[0] = NULL
    if item.dbid == 0 or not class_is_indexed(item.class_id):
        return CORRUPT
    if item.image_size == 0:
        return OK if item.op == CSP_OP_DELETE else CORRUPT
    image[0] = <const csp_record_t *> item_image(item)
    if w.given != NULL:
        if number >= w.given_count:
            return CORRUPT
        image[0] = <const csp_record_t *> w.given[number]
        size = w.given_sizes[number]
    if image_check(<const uint8_t *> image[0], size) != OK \
            or image[0].size != size or image[0].revision != entry.revision \
            or image[0].class_id != item.class_id or image[0].dbid != item.dbid:
        return CORRUPT
    return OK

cdef int changes_collect(csp_writer_t *w, csp_entry_t *entry) noexcept nogil:
    """The items of the entry's copy in the log, and a check of their images."""
    cdef csp_item_t *item = entry_items(entry)
    cdef const csp_record_t *image
    cdef uint64_t number = 0
    cdef uint32_t i
    if entry.table != w.store.super.table and w.given == NULL:
        return OTHER_KEYS
    for i in range(entry.item_count):
        number += item_is_change(item)
        if not item_is_change(item):
            w.skipped_items += item.op != CSP_OP_KEYS
        elif item_record(w, entry, item, number - 1, &image) != OK:
            return CORRUPT
        elif change_add(w, item.class_id, item.dbid, image, item) != OK:
            return NO_MEMORY
        elif item.flags & CSP_ITEM_ACCOUNT:
            w.stage.rights = 1
        item = item_next(item)
    return OK

cdef inline bint record_live(const csp_record_t *record) noexcept nogil:
    return record != NULL and not record.flags & CSP_TOMBSTONE

cdef int record_make(csp_writer_t *w, csp_change_t *change, uint64_t revision) noexcept nogil:
    """The new version, or the tombstone, in free memory."""
    cdef uint64_t size = sizeof(csp_record_t) if change.image == NULL else change.image.size
    cdef uint64_t ref = stage_alloc(w, size)
    cdef csp_record_t *made
    cdef csp_record_t *old = NULL if change.old == 0 else record_at(&w.store, change.old)
    cdef int status
    if ref == 0:
        return FULL
    made = record_at(&w.store, ref)
    if change.image != NULL:
        memcpy(made, change.image, size)
    else:
        memset(made, 0, sizeof(csp_record_t))
        made.size = sizeof(csp_record_t)
        made.revision = revision
        made.class_id = <uint16_t> (change.object >> 32)
        made.dbid = <uint32_t> change.object
        made.flags = CSP_TOMBSTONE
        made.tenant_dbid = 1 if old == NULL else old.tenant_dbid
        if old != NULL:
            made.flags |= old.flags
            made.container_class = old.container_class
            made.container_dbid = old.container_dbid
        record_seal(made)
    made.prev = change.old
    made.node = 0
    if not class_is_inner(made.class_id):
        status = record_govern(w, made, old, revision, False)
        if status != OK:
            return status
    change.made = ref
    if block_bytes(size) > (0 if old == NULL else block_bytes(old.size)) and change.image != NULL:
        w.stage.grows = 1
    csp_failpoint(CSP_FP_APPLY_RECORD)
    return OK

# ---- what a change means for names and lists ----

cdef int name_note(
    csp_writer_t *w, const csp_key_t *key, uint32_t hash, uint32_t dbid, int sign
) noexcept nogil:
    cdef csp_stage_t *stage = &w.stage
    cdef uint64_t word = (<uint64_t> hash << 32) | dbid
    cdef int status
    if stage.redo and (sign < 0 or words_cell(w, w.store.super.names_root, word) != NULL):
        return OK  # it was added before the intent; what is gone, the walk finds
    if sign < 0:
        dirty_note(w, DIRTY_NAMES, hash)
        if vector_room(<void **> &stage.gone, &stage.gone_room, stage.gone_count + 1, 8) != OK:
            return NO_MEMORY
        stage.gone[stage.gone_count] = word
        stage.gone_count += 1
        return OK
    if vector_room(<void **> &stage.names, &stage.name_room, stage.name_count + 1, 8) != OK:
        return NO_MEMORY
    status = name_insert(w, word)
    if status == OK:
        stage.names[stage.name_count] = word
        stage.name_count += 1
        csp_failpoint(CSP_FP_APPLY_STAGE_NAME)
    return status

cdef int key_note(csp_writer_t *w, const csp_key_t *key, uint32_t dbid, int sign) noexcept nogil:
    """All members of one key enter or leave."""
    cdef uint32_t hash, i
    cdef uint8_t kind = 0
    if key.key_id < CSP_KEYS:
        kind = w.store.super.keys[key.key_id].kind
    if kind == 0:
        w.ignored_keys += 1
        return OK
    hash = words_hash(&w.store, key.key_id, key_value(key), key.value_size)
    if kind == 1:
        return name_note(w, key, hash, dbid, sign)
    if key.member_count == 0:
        return delta_add(w, key, hash, dbid, sign)
    for i in range(key.member_count):
        if delta_add(w, key, hash, csp_u32(key_members(key), i), sign) != OK:
            return NO_MEMORY
    return OK

cdef int members_note(
    csp_writer_t *w, const csp_key_t *old, const csp_key_t *new, uint32_t dbid
) noexcept nogil:
    """The same key in both versions: only members that differ enter or leave."""
    cdef uint32_t hash, i = 0, j = 0, left, right
    cdef int status
    if old.member_count == 0 and new.member_count == 0:
        return OK
    if old.member_count == 0 or new.member_count == 0:
        status = key_note(w, old, dbid, -1)
        return status if status != OK else key_note(w, new, dbid, 1)
    if old.key_id >= CSP_KEYS or w.store.super.keys[old.key_id].kind != 2:
        return OK
    hash = words_hash(&w.store, old.key_id, key_value(old), old.value_size)
    while i < old.member_count or j < new.member_count:
        left = csp_u32(key_members(old), i) if i < old.member_count else 0
        right = csp_u32(key_members(new), j) if j < new.member_count else 0
        status = OK
        if j == new.member_count or (i < old.member_count and left < right):
            status = delta_add(w, old, hash, left, -1)
            i += 1
        elif i == old.member_count or right < left:
            status = delta_add(w, new, hash, right, 1)
            j += 1
        else:
            i += 1
            j += 1
        if status != OK:
            return status
    return OK

cdef inline int key_order(const csp_key_t *left, const csp_key_t *right) noexcept nogil:
    cdef uint32_t size = left.value_size if left.value_size < right.value_size else right.value_size
    cdef int order
    if left.key_id != right.key_id:
        return 1 if left.key_id > right.key_id else -1
    order = memcmp(key_value(left), key_value(right), size)
    return order if order else <int> left.value_size - <int> right.value_size

cdef int keys_note(
    csp_writer_t *w, const csp_record_t *old, const csp_record_t *new, uint32_t dbid
) noexcept nogil:
    """Walks the keys of both versions (either may be NULL). Keys in another order than ours are
    noted as leaving and entering: the sums cancel."""
    cdef const uint8_t *left = w.store.base  # no keys
    cdef const uint8_t *left_end = left
    cdef const uint8_t *right = left
    cdef const uint8_t *right_end = left
    cdef int order, status
    if old != NULL:
        left = record_keys(old)
        left_end = left + old.keys_size
    if new != NULL:
        right = record_keys(new)
        right_end = right + new.keys_size
    if left_end - left == right_end - right and memcmp(left, right, left_end - left) == 0:
        return OK
    while left < left_end or right < right_end:
        if right == right_end:
            order = -1
        elif left == left_end:
            order = 1
        else:
            order = key_order(<const csp_key_t *> left, <const csp_key_t *> right)
        if order == 0:
            status = members_note(w, <const csp_key_t *> left, <const csp_key_t *> right, dbid)
        elif order < 0:
            status = key_note(w, <const csp_key_t *> left, dbid, -1)
        else:
            status = key_note(w, <const csp_key_t *> right, dbid, 1)
        if status != OK:
            return status
        if order <= 0:
            left += key_bytes(<const csp_key_t *> left)
        if order >= 0:
            right += key_bytes(<const csp_key_t *> right)
    return OK

# ---- staging ----

cdef int change_stage(csp_writer_t *w, csp_change_t *change, uint64_t revision) noexcept nogil:
    """One object: its index word, its new record, what it means for counts, names and lists."""
    cdef uint32_t class_id = <uint32_t> (change.object >> 32)
    cdef uint32_t dbid = <uint32_t> change.object
    cdef csp_record_t *old = NULL
    cdef int status = index_ensure(w, class_id, dbid, &change.word)
    if status != OK:
        return status
    change.old = change.word[0]
    if change.old:
        old = record_at(&w.store, change.old)
    if change.item == NULL and old != NULL and old.revision >= change.image.revision:
        return OK  # an account that the store has as new already
    status = record_make(w, change, revision)
    if status != OK:
        return status
    if change.old and stage_replace(w, change.old, old.size) != OK:
        return NO_MEMORY
    if not class_is_indexed(class_id):
        return OK
    return change_note(w, class_id, dbid, old, record_at(&w.store, change.made))

cdef inline void count_note(csp_stage_t *stage, uint32_t class_id, int more) noexcept nogil:
    cdef uint32_t i
    if more == 0:
        return
    stage.counts[class_id] += more
    for i in range(stage.counted):
        if stage.classes[i] == class_id:
            return
    stage.classes[stage.counted] = <uint16_t> class_id
    stage.counted += 1

cdef int change_note(
    csp_writer_t *w, uint32_t class_id, uint32_t dbid, csp_record_t *old, csp_record_t *made
) noexcept nogil:
    cdef csp_record_t *was = old if record_live(old) else NULL
    cdef csp_record_t *now = made if record_live(made) else NULL
    cdef int status
    if class_is_inner(class_id):
        w.stage.rights = 1
        return keys_note(w, was, now, dbid)
    count_note(&w.stage, class_id, <int> (now != NULL) - <int> (was != NULL))
    status = governed_note(w, class_id, was, now)
    return keys_note(w, was, now, dbid) if status == OK else status

cdef inline uint32_t node_at(csp_writer_t *w, uint64_t ref) noexcept nogil:
    """The node that governs the record at ref, 0 where there is no object."""
    return record_at(&w.store, ref).node if ref and record_live(record_at(&w.store, ref)) else 0

cdef inline void item_settle(csp_writer_t *w, csp_item_t *item, const csp_change_t *change) noexcept nogil:
    """What of an item belongs to this store."""
    item.ref = change.made
    item.node_before = node_at(w, change.old)
    item.node_after = node_at(w, change.made)

cdef int changes_stage(csp_writer_t *w, uint64_t revision) noexcept nogil:
    """Every object once: of several items about one object the last one counts."""
    cdef csp_stage_t *stage = &w.stage
    cdef size_t i, start = 0, end
    cdef int status
    sort(stage.changes, stage.change_count, sizeof(csp_change_t), change_order)
    while start < stage.change_count:
        end = start + 1
        while end < stage.change_count and stage.changes[end].object == stage.changes[start].object:
            end += 1
        status = change_stage(w, &stage.changes[end - 1], revision)
        if status != OK:
            return status
        for i in range(start, end):
            if stage.changes[i].item != NULL:
                item_settle(w, stage.changes[i].item, &stage.changes[end - 1])
        start = end
    return OK

cdef int counts_stage(csp_writer_t *w, uint64_t revision) noexcept nogil:
    cdef csp_count_t *cell
    cdef csp_count_t *old
    cdef uint64_t newest
    cdef uint32_t k
    cdef uint16_t i
    for k in range(w.stage.counted):
        i = w.stage.classes[k]
        if w.stage.counts[i] == 0:
            continue
        newest = w.store.super.class_counts[i]
        old = NULL if newest == 0 else <csp_count_t *> (w.store.base + newest)
        if w.stage.redo and old != NULL and old.revision == revision:
            continue
        w.stage.cells[i] = stage_alloc(w, sizeof(csp_count_t))
        if w.stage.cells[i] == 0:
            return FULL
        cell = <csp_count_t *> (w.store.base + w.stage.cells[i])
        cell.revision = revision
        cell.prev = newest
        cell.count = w.stage.counts[i] + (0 if old == NULL else old.count)
        cell.spare = 0
        if old != NULL and stage_replace(w, newest, sizeof(csp_count_t)) != OK:
            return NO_MEMORY
    return OK

cdef int stage_finish(csp_writer_t *w, uint64_t revision) noexcept nogil:
    """Lists, counts, and room to retire everything without failing."""
    cdef csp_stage_t *stage = &w.stage
    cdef int status = lists_stage(w, revision)
    if status == OK:
        status = counts_stage(w, revision)
    if status == OK:
        status = pending_room(
            w, 8 + stage.replaced_count + stage.gone_count + stage.swap_count + stage.change_count)
    return status

cdef inline void extra_put(
    csp_extras_t *extras, uint32_t class_id, uint32_t dbid, uint64_t ref
) noexcept nogil:
    cdef csp_extra_t *extra = <csp_extra_t *> (extras + 1) + extras.count
    extra.class_id = class_id
    extra.dbid = dbid
    extra.ref = ref
    extras.count += 1

cdef int extras_stage(csp_writer_t *w, csp_entry_t *entry, int account_count) noexcept nogil:
    """Says in the intent which records the change makes beside its items."""
    cdef csp_stage_t *stage = &w.stage
    cdef uint64_t size = sizeof(csp_extras_t) + (account_count + stage.node_count) * sizeof(csp_extra_t)
    cdef csp_extras_t *extras
    cdef size_t i
    entry.extras = 0
    if account_count == 0 and stage.node_count == 0:
        return OK
    entry.extras = stage_alloc(w, size)
    if entry.extras == 0:
        return FULL
    extras = <csp_extras_t *> (w.store.base + entry.extras)
    extras.count = 0
    for i in range(stage.change_count):
        if stage.changes[i].item == NULL and stage.changes[i].made:
            extra_put(extras, CSP_ACCOUNT_CLASS, <uint32_t> stage.changes[i].object, stage.changes[i].made)
    for i in range(stage.node_count):
        extra_put(extras, CSP_NODE_CLASS, record_at(&w.store, stage.nodes[i].ref).dbid, stage.nodes[i].ref)
    return stage_replace(w, entry.extras, size)  # needed until the publication

cdef int entry_stage(
    csp_writer_t *w, const uint8_t *bytes, uint64_t size, const uint8_t **accounts,
    const uint64_t *sizes, int account_count, uint64_t *block
) noexcept nogil:
    cdef csp_entry_t *entry
    cdef const csp_record_t *image
    cdef int i, status
    stage_reset(&w.stage)
    block[0] = stage_alloc(w, size)
    if block[0] == 0:
        return FULL
    entry = <csp_entry_t *> (w.store.base + block[0])
    memcpy(entry, bytes, size)
    status = changes_collect(w, entry)
    for i in range(account_count):
        image = <const csp_record_t *> accounts[i]
        if status == OK and (image_check(accounts[i], sizes[i]) != OK
                             or image.class_id != CSP_ACCOUNT_CLASS
                             or image.revision > entry.revision):
            status = CORRUPT
        if status == OK:
            status = change_add(w, CSP_ACCOUNT_CLASS, image.dbid, image, NULL)
    if status == OK:
        status = changes_stage(w, entry.revision)
    if status == OK:
        status = extras_stage(w, entry, account_count)
    if status == OK:
        status = stage_finish(w, entry.revision)
    return status
