# Included by csp/_fastpath.pyx after: match, cursor, rest.
# Messages of a walk over the log: each is built once, noted for each connection that gets it, and then each
# connection is sent all of its own by one call.
#
# Invariants:
# 1. A message is built once a walk, channel or pattern, RESP2 and RESP3, and form (forms.pxi), however many get it.
# 2. Nothing is copied per connection: bytes are sent from the slice, large payloads from the log. What a socket
#    leaves over is a rest (rest.pxi) and a spot: what comes behind is built again when its time comes.
# 3. Messages of a connection are in the order of the log, and within an item of their nodes' serials.

cdef enum:
    SLICE_BYTES = 65536             # a slice is sent when it has so many bytes of one form: L2 still has them
    SLICE_SHARES = 262144           # or when so many are noted for connections: 2 MiB of notes
    PAYLOAD_BORROWED = 16384        # so large a payload is sent from where it lies in the log
    SENDS_A_LOOK = 8                # between two looks at the turn's budget,
    BYTES_A_LOOK = 524288           # or so many bytes: some 0.3 ms of the kernel's copying
    SEND_WHOLE = 1048576            # of larger messages SEND_LONE at a time: a send of 4 MiB takes some 3 ms
    SENDS_FAR = 2                   # sends ahead whose connection's row is asked for, and its cursor: a send reads
    SENDS_NEAR = 1                  # so much memory of the kernel's that an earlier answer would be gone again
    NO_SHARE = 0xFFFFFFFF

cdef void slice_text(out_t *out, const node_t *node, const char *channel, uint32_t channel_size,
                     uint32_t payload_size, bint resp3) noexcept nogil:
    """What comes before the payload."""
    if node.pattern:
        out_head(out, c'>' if resp3 else c'*', 4)
        out_bytes(out, b"$8\r\npmessage\r\n", 14)
        out_bulk(out, node.name, node.size)
    else:
        out_head(out, c'>' if resp3 else c'*', 3)
        out_bytes(out, b"$7\r\nmessage\r\n", 13)
    out_bulk(out, channel, channel_size)
    out_head(out, c'$', payload_size)

cdef inline bint slice_full(worker_t *w, uint32_t shares) noexcept nogil:
    """Whether it must be sent before another message is noted for so many."""
    cdef slice_t *s = &w.deliver.slice
    return s.count >= SLICE_MESSAGES or s.texts[0].size >= SLICE_BYTES or s.texts[1].size >= SLICE_BYTES \
        or (s.share_count > 0 and s.share_count + shares > SLICE_SHARES)

cdef bint slice_room(worker_t *w, uint32_t shares) noexcept nogil:
    """Room to note a message for so many; False without memory."""
    cdef slice_t *s = &w.deliver.slice
    cdef uint32_t room = s.share_room if s.share_room > 0 else 1024
    cdef share_t *grown
    cdef uint32_t *rows
    while s.share_count + shares > room:
        room *= 2
    if room > s.share_room:
        grown = <share_t *> realloc(s.shares, <size_t> room * sizeof(share_t))
        if grown == NULL:
            return False
        s.shares = grown
        s.share_room = room
    room = s.row_room if s.row_room > 0 else 1024
    while s.row_count + shares > room:
        room *= 2
    if room > s.row_room:
        rows = <uint32_t *> realloc(s.rows, <size_t> room * sizeof(uint32_t))
        if rows == NULL:
            return False
        s.rows = rows
        s.row_room = room
    return True

cdef const char *json_of_image(const csp_item_t *item, uint64_t *size) noexcept nogil:
    """The object that an item's image carries; `null` where there is none."""
    cdef const csp_record_t *image = <const csp_record_t *> item_image(item)
    cdef const char *found = NULL
    if item.image_size >= sizeof(csp_record_t) and image.reply_size <= item.image_size - sizeof(csp_record_t):
        found = json_of_reply(<const char *> image + sizeof(csp_record_t), image.reply_size, size)
    if found != NULL:
        return found
    size[0] = 4
    return b"null"

cdef const char *json_of_reply(const char *reply, uint32_t reply_size, uint64_t *size) noexcept nogil:
    """The JSON within `$len\\r\\n` and `\\r\\n`; NULL where that is not what it is."""
    cdef const char *end = <const char *> memchr(reply, c'\n', reply_size)
    if end == NULL or reply_size < (end - reply) + 3:
        return NULL
    size[0] = <uint64_t> (reply + reply_size - 2 - (end + 1))
    return end + 1

cdef message_t *message_new(worker_t *w, node_t *node, uint32_t which, const csp_item_t *item, uint32_t form,
                            const spot_t *spot) noexcept nogil:
    """Begins a message; its texts are built for those RESP forms in which somebody gets it."""
    cdef message_t *m = &w.deliver.slice.messages[w.deliver.slice.count]
    memset(m, 0, sizeof(message_t))
    m.spot = spot[0]
    m.node = node
    m.item = item
    m.which = which
    m.form = form
    w.deliver.slice.count += 1
    return m

cdef void message_fill(message_t *m, const told_t *told) noexcept nogil:
    """What an item's message tells in its form."""
    cdef const csp_item_t *item = told.item
    m.revision = told.entry.revision
    m.time_ms = told.entry.time_ms
    if m.form & TOLD_AS == AS_LOGGED:
        m.body = <const char *> item_event(item)
        m.body_size = told.actor_at if m.form & TOLD_BARE else item.event_size
        return
    if m.form & TOLD_AS == AS_CREATE:
        m.body = json_of_image(item, &m.body_size)
        if item.image_size >= sizeof(csp_record_t):
            m.revision = (<const csp_record_t *> item_image(item)).revision
    if m.form & TOLD_BARE == 0:
        m.actor = <const char *> item_event(item) + told.actor_at
        m.actor_size = item.event_size - told.actor_at

cdef void message_note(worker_t *w, node_t *node, uint32_t which, const told_t *told, uint32_t form,
                       const spot_t *spot) noexcept nogil:
    """Begins the message of an item in one of its forms."""
    cdef message_t *m = message_new(w, node, which, told.item, form, spot)
    m.spot.serial = node.serial
    message_fill(m, told)

cdef uint32_t message_begin(const message_t *m, char *at) noexcept nogil:
    """What stands before the body of a payload that is not as it is logged; its size."""
    cdef uint32_t size
    if m.form & TOLD_AS == AS_LOGGED:
        return 0
    size = put_text(at, b'{"op":"create","class":"' if m.form & TOLD_AS == AS_CREATE
                    else b'{"op":"delete","class":"', 24)
    size += put_text(at + size, csp_classes[m.item.class_id].name, csp_classes[m.item.class_id].name_size)
    size += put_text(at + size, b'","DBID":', 9)
    size += put_decimal(at + size, m.item.dbid)
    size += put_text(at + size, b',"revision":', 12)
    size += put_decimal(at + size, m.revision)
    if m.form & TOLD_AS == AS_CREATE:
        size += put_text(at + size, b',"object":', 10)
    return size

cdef uint32_t message_time(const message_t *m, char *at) noexcept nogil:
    """What follows it, up to who did it; its size."""
    cdef uint32_t size
    if m.form & TOLD_AS == AS_LOGGED:
        return 0
    size = put_text(at, b',"time":', 8)
    return size + put_decimal(at + size, <uint64_t> m.time_ms if m.time_ms > 0 else 0)

cdef uint32_t message_write(out_t *out, const message_t *m, bint resp3, bint whole) noexcept nogil:
    """Appends its text, with the body or without; how much of it stands before that."""
    cdef char name[NAME_ROOM]
    cdef char begin[NAME_ROOM + 96]
    cdef char time[32]
    cdef uint32_t size = item_name(m.item, m.which, name)
    cdef uint32_t begin_size = message_begin(m, begin)
    cdef uint32_t time_size = message_time(m, time)
    cdef bint more = m.form & TOLD_MORE != 0
    cdef uint32_t more_size = 13 if more else 14
    cdef uint64_t at = out.size
    cdef uint32_t head
    slice_text(out, m.node, name, size, begin_size + m.body_size + time_size + m.actor_size + more_size, resp3)
    out_bytes(out, begin, begin_size)
    head = <uint32_t> (out.size - at)
    if whole and m.body_size > 0:
        out_bytes(out, m.body, m.body_size)
    out_bytes(out, time, time_size)
    if m.actor_size > 0:
        out_bytes(out, m.actor, m.actor_size)
    out_bytes(out, b',"more":true}\r\n' if more else b',"more":false}\r\n', more_size + 2)
    return head

cdef void message_build(worker_t *w, message_t *m, bint resp3) noexcept nogil:
    """The text in one RESP form, between head and tail a body that is not borrowed."""
    cdef out_t *out = &w.deliver.slice.texts[resp3]
    m.borrowed = m.body_size >= PAYLOAD_BORROWED
    m.at[resp3] = out.size
    m.head[resp3] = message_write(out, m, resp3, not m.borrowed)
    m.text[resp3] = <uint32_t> (out.size - m.at[resp3])

cdef inline uint64_t message_size(const message_t *m, bint resp3) noexcept nogil:
    return m.text[resp3] + (m.body_size if m.borrowed else 0)

cdef inline void share_add(worker_t *w, csp_conn *c, uint32_t message) noexcept nogil:
    """Notes a message for one more connection."""
    cdef slice_t *s = &w.deliver.slice
    cdef cursor_t *cursor = &(<subs_t *> c.subs).cursor
    cdef bint resp3 = c.flags & CSP_CONN_RESP3 != 0
    if s.messages[message].head[resp3] == 0:
        message_build(w, &s.messages[message], resp3)
    s.shares[s.share_count].message = message
    s.shares[s.share_count].next = NO_SHARE
    if cursor.sharing:
        s.shares[cursor.last_share].next = s.share_count
    else:
        cursor.sharing = True
        cursor.first_share = s.share_count
        s.rows[s.row_count] = <uint32_t> (c - w.rows)
        s.row_count += 1
    cursor.last_share = s.share_count
    s.share_count += 1

cdef inline void part_add(iovec *parts, uint32_t *count, const char *data, uint64_t size) noexcept nogil:
    """One more piece, or more of the last one where they lie side by side."""
    if count[0] > 0 and <char *> parts[count[0] - 1].iov_base + parts[count[0] - 1].iov_len == data:
        parts[count[0] - 1].iov_len += size
        return
    parts[count[0]].iov_base = <void *> data
    parts[count[0]].iov_len = size
    count[0] += 1

cdef uint64_t message_parts(worker_t *w, const message_t *m, bint resp3, iovec *parts, uint32_t *count) noexcept nogil:
    """Adds the message's pieces; its size."""
    cdef const char *text = w.deliver.slice.texts[resp3].data + m.at[resp3]
    if not m.borrowed:
        part_add(parts, count, text, m.text[resp3])
        return m.text[resp3]
    part_add(parts, count, text, m.head[resp3])
    part_add(parts, count, m.body, m.body_size)
    part_add(parts, count, text + m.head[resp3], m.text[resp3] - m.head[resp3])
    return message_size(m, resp3)

cdef void share_stand(worker_t *w, csp_conn *c, uint32_t share, const spot_t *end) noexcept nogil:
    """It stands before one of its messages of the slice, or, where there is none, at the end."""
    cdef cursor_t *cursor = &(<subs_t *> c.subs).cursor
    cdef message_t *m
    cdef spot_t spot = end[0]
    if share != NO_SHARE:
        m = &w.deliver.slice.messages[w.deliver.slice.shares[share].message]
        spot = m.spot
        if m.flips:
            cursor.flip_at = m.flip_at
            cursor.flip_at.serial -= 1
        else:
            spot.serial -= 1
    cursor_place(w, c, &spot)

cdef void share_cut(worker_t *w, csp_conn *c, uint64_t sent, const spot_t *end) noexcept nogil:
    """The socket took no more: keeps the rest of the message that it cut, and the place behind it."""
    cdef slice_t *s = &w.deliver.slice
    cdef uint32_t share = (<subs_t *> c.subs).cursor.first_share
    cdef bint resp3 = c.flags & CSP_CONN_RESP3 != 0
    cdef iovec parts[3]
    cdef uint32_t count = 0
    cdef message_t *m
    cdef rest_t *rest
    while True:
        m = &s.messages[s.shares[share].message]
        if sent < message_size(m, resp3):
            break
        sent -= message_size(m, resp3)
        w.stats.messages += 1
        share = s.shares[share].next
    if sent > 0:
        rest = <rest_t *> m.rest[resp3]
        if rest == NULL:
            rest = rest_find(w, m, resp3, message_size(m, resp3))
        if rest == NULL:
            message_parts(w, m, resp3, parts, &count)
            rest = rest_make(w, m, resp3, parts, count, message_size(m, resp3))
        if rest == NULL:
            conn_free(w, c, CSP_END_MEMORY)
            return
        m.rest[resp3] = rest
        rest_hold(w, c, rest, sent)
        if c.flags & CSP_CONN_FULL == 0:
            conn_again(w, c)
        w.stats.messages += 1
        share = s.shares[share].next
        if m.flips:
            (<subs_t *> c.subs).cursor.flip_at = m.flip_at
    share_stand(w, c, share, end)

cdef inline bint sends_over(worker_t *w, uint32_t sends, uint64_t *seen) noexcept nogil:
    """Whether the turn is over; looked at after so many sends or bytes. `seen`: of bytes_out, at the last look."""
    if sends % SENDS_A_LOOK != 0 and w.stats.bytes_out - seen[0] < BYTES_A_LOOK:
        return False
    seen[0] = w.stats.bytes_out
    return turn_over(w)

cdef uint64_t parts_cut(iovec *parts, uint32_t *count, uint64_t size) noexcept nogil:
    """Leaves the first `size` bytes of the pieces."""
    cdef uint64_t left = size
    cdef uint32_t i = 0
    while left > parts[i].iov_len:
        left -= parts[i].iov_len
        i += 1
    parts[i].iov_len = left
    count[0] = i + 1
    return size

cdef void share_send(worker_t *w, csp_conn *c, const spot_t *end) noexcept nogil:
    """Sends a connection its messages of the slice; of many bytes the first, and the rest in later turns."""
    cdef slice_t *s = &w.deliver.slice
    cdef bint resp3 = c.flags & CSP_CONN_RESP3 != 0
    cdef iovec parts[3 * SLICE_ROOM]
    cdef uint32_t share = (<subs_t *> c.subs).cursor.first_share
    cdef uint32_t count = 0
    cdef uint32_t messages = 0
    cdef uint64_t size = 0
    cdef uint64_t whole
    cdef int64_t sent
    while share != NO_SHARE:
        size += message_parts(w, &s.messages[s.shares[share].message], resp3, parts, &count)
        messages += 1
        share = s.shares[share].next
    whole = size
    if size > SEND_WHOLE and not w.deliver.at_once:
        size = parts_cut(parts, &count, SEND_LONE)
    sent = conn_send_parts(w, c, parts, count, size)
    if sent < 0:
        conn_free(w, c, CSP_END_BROKEN)
    elif <uint64_t> sent < whole:
        share_cut(w, c, sent, end)
    else:
        w.stats.messages += messages

cdef void slice_send(worker_t *w, const spot_t *end) noexcept nogil:
    """Sends what is noted, and empties the slice; `end` is how far the walk has come."""
    cdef slice_t *s = &w.deliver.slice
    cdef bint over = False
    cdef uint64_t seen = w.stats.bytes_out
    cdef csp_conn *c
    cdef uint32_t i
    if not s.texts[0].failed and not s.texts[1].failed:
        for i in range(s.row_count):
            c = &w.rows[s.rows[i]]
            if i + SENDS_FAR < s.row_count:
                subscriber_prefetch(w, s.rows[i + SENDS_FAR], s.rows[i + SENDS_NEAR])
            if c.id == 0 or c.subs == NULL:
                continue
            (<subs_t *> c.subs).cursor.sharing = False
            if i > 0 and not over and not w.deliver.at_once:
                over = sends_over(w, i, &seen)
            if over:
                share_stand(w, c, (<subs_t *> c.subs).cursor.first_share, end)
            elif c.waits & CSP_WAIT_END == 0:
                share_send(w, c, end)
    else:                           # without memory for a message nobody can be told it
        for i in range(s.row_count):
            conn_free(w, &w.rows[s.rows[i]], CSP_END_MEMORY)
    s.count = 0
    s.share_count = 0
    s.row_count = 0
    for i in range(2):
        s.texts[i].size = 0
        s.texts[i].failed = False
    if w.deliver.rest_bytes > REST_BYTES_MAX:
        rests_trim(w)
