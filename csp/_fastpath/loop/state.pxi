# Included by csp/_fastpath.pyx after: watch.
# What one worker knows: its limits, its connections, its turn, grouped by the room that changes it.

cdef enum:
    HANDLE_ROWS = 1 << 20           # rows a handle can tell apart; far above any RLIMIT_NOFILE in use
    SLICE_MESSAGES = 64             # a slice of a delivery is sent when it has so many
    MESSAGE_FORMS = 16              # that one change may have for a channel: forms.pxi
    SLICE_ROOM = SLICE_MESSAGES + MESSAGE_FORMS
    FORMS_KNOWN = 64                # readers for whom the form of the message at hand is remembered
    GROUP = 256                     # placed connections that one walk serves
    ACCOUNTS_MIN = 64               # rows of accounts, to begin with
    LISTENERS_MAX = 32              # one bit each in the word of those with somebody to accept

cdef struct limits_t:
    uint32_t connections
    uint64_t request_bytes
    uint32_t request_args
    int64_t sign_in_ms
    uint64_t output_max
    int64_t output_ms
    uint64_t page_bytes
    uint32_t page_objects
    uint32_t page_default
    uint32_t subscriptions
    uint32_t pattern_bytes
    uint32_t loose_patterns
    uint32_t loose_patterns_all
    uint32_t tracked_keys
    uint32_t tracked_keys_all
    uint32_t accepts
    int64_t read_wait_ms
    int64_t from_wait_ms
    uint64_t reply_bytes
    int64_t turn_ns
    int64_t announce_ms
    uint64_t held_bytes
    int64_t ticket_ms               # so long one key seals tickets of TLS sessions, and as long again it opens them
    bint check_briefs               # brief pages show what may be read, as all else
    uint32_t address_connections    # of one address; 0: any number

cdef enum port_security:            # csp/process/ports.py numbers them alike
    PORT_UNSECURED = 0
    PORT_SECURED = 1                # a TLS hello comes first
    PORT_AUTO = 2                   # the first byte says whether one does

cdef enum port_purpose:             # csp/process/ports.py numbers them alike
    PORT_CLIENTS = 0
    PORT_USER_INTERFACE = 1         # for people's programs: no server registers here
    PORT_HA_SYNC = 2                # for the peer of a pair alone
    PORT_MANAGEMENT = 3             # for administrators alone
    PORT_SENTINEL = 4               # for who asks where to go
    PORT_AGENT_CHECK = 5            # for balancers: whoever connects is told how it goes, and closed

cdef enum:
    DEMANDS_BYTES = 32

cdef struct listener_t:
    int fd
    uint16_t port                   # its number among the server's ports: several addresses of one have the same
    uint8_t security
    uint8_t purpose
    bint open                       # it is in the poll: doors.pxi
    int64_t shut_ms                 # since when it is not, and was before
    bint proxied                    # a balancer says first whose connection it is (PROXY protocol),
    networks_t balancers            # one of these
    networks_t listed               # who may connect at all; none: everybody
    SSL_CTX *context                # for new TLS connections; NULL: there is none (yet)
    bint awaits                     # nobody has looked for one yet: who says hello waits for it
    uint8_t demands[DEMANDS_BYTES]  # what it asks of clients, as the session id context says it

cdef enum:
    AWAY_ADDRESS = 0                # why somebody was turned away (preface.pxi): his address is none of those listed
    AWAY_BALANCER = 1               # he is no balancer, at a port where they alone connect
    AWAY_HEADER = 2                 # he sent no header of the PROXY protocol, or a wrong one
    AWAY_LATE = 3                   # or none in time
    AWAY_CROWD = 4                  # his address has as many connections as one may
    AWAY_KINDS = 5

cdef struct away_t:                 # those turned away for one reason since Python asked
    uint64_t count
    uint16_t port                   # by which the last one came
    peer_t peer                     # and who that was

cdef struct session_head_t:         # in front of each worker's rows in the session table
    uint64_t next_id
    uint64_t row_top
    uint64_t has_addresses          # 1: its table of addresses has begun
    uint8_t address_key[16]         # of its hash: who connects does not know it

cdef struct area_t:                 # a part of the session table that gets its memory from its start on
    uint64_t at
    uint64_t size
    uint64_t backed                 # what lies behind must not be touched

cdef struct address_row_t:          # how many connections of a worker have one address: addresses.pxi
    uint8_t address[16]
    uint32_t count
    uint32_t next                   # in its bucket, or of the free ones

cdef struct addresses_t:            # of this worker; those of others lie at the same place of their parts
    area_t area                     # the buckets, and then the rows
    uint32_t *buckets
    address_row_t *rows             # row 0 is none
    uint32_t mask                   # of the buckets
    uint32_t used
    uint32_t room, top, free

cdef struct ready_t:
    uint32_t row
    uint32_t own                    # the bytes are in the connection's own buffer
    const char *at
    const char *end

cdef struct handles_t:
    uint64_t *items
    uint32_t count
    uint32_t room

cdef struct turn_t:                 # what the turn has used: budget.pxi
    int64_t wall_begun              # ns of the monotonic clock
    int64_t look_at                 # wall time before which the budget can't be used up
    int64_t cpu_begun               # of this thread, once weighed
    int64_t cpu_seen                # when it was looked at last
    int64_t share_ns                # of CPU that the room at hand may use up
    bint weighed, over

cdef struct jobs_t:                 # reads that span several turns: job.pxi
    handles_t ring                  # those that get slices, in turn
    handles_t parked                # those that gave back their S and wait for a place
    uint32_t holding                # jobs that hold an S
    uint64_t epoch                  # loaded before the turn's S: what protects it
    uint64_t bytes                  # of replies that are being made
    uint64_t front                  # of the EXEC whose command runs
    csp_job *inner                  # the command of EXEC that was just left to its turns

cdef struct grave_t:                # a buffer that is given back by the piece: buffers.pxi
    char *data
    uint64_t left                   # bytes from its start that still are to go

cdef struct wait_t:                 # a read that waits for a revision
    uint64_t handle
    uint64_t revision
    int64_t until_ms

cdef struct rest_t:                 # csp_rest, as the row of a connection calls it
    rest_t *next
    rest_t *before
    uint64_t revision, serial       # which message it is, and in which form
    uint32_t item, form
    uint32_t resp3
    uint32_t holders
    uint64_t size
    char *data                      # behind this struct, but for a page:
    char *page                      # the memory in which it was built (kept.pxi); NULL: a message
    uint64_t room                   # of that

cdef enum:
    KEPT_SETS = 64                  # each of KEPT_WAYS pages
    KEPT_WAYS = 4
    KEPT_ASKED = 1024               # what was asked for once is remembered so far
    KEPT_KEY_MAX = 400              # bytes of the words that ask for a page

cdef struct kept_t:                 # a page that is built once: kept.pxi
    rest_t *page
    reach_t *reach                  # of those who may be given it
    uint64_t hash
    int64_t used_ms
    uint32_t key_size
    char key[KEPT_KEY_MAX]

cdef struct kepts_t:
    uint64_t revision               # of all
    uint64_t bytes                  # of those, and of what is still being sent
    uint32_t count
    kept_t items[KEPT_SETS * KEPT_WAYS]
    uint64_t asked[KEPT_ASKED]

cdef struct told_t:                 # the item that is told at the moment: forms.pxi
    const csp_entry_t *entry
    const csp_item_t *item
    uint32_t index, offset          # of the item in the entry
    bint looked                     # what follows is known
    uint32_t before, after          # numbers of the nodes that governed the object, and that do now; 0: none
    uint32_t actor_at               # where in the event it is said who changed it; event_size: nowhere
    uint32_t actor_node             # which node governs that account

cdef struct known_form_t:
    reader_t reader
    uint64_t round
    int message

cdef struct forms_t:                # of the message at hand
    uint64_t round
    int messages[MESSAGE_FORMS]     # of the slice, by form; -1: not noted
    known_form_t known[FORMS_KNOWN]

cdef struct message_t:              # one of a slice: slice.pxi
    spot_t spot                     # behind which one has got it
    bint flips                      # it tells no item, but what one may read now, or no more
    flip_at_t flip_at               # and behind this one has got it
    node_t *node
    const csp_item_t *item          # that names its channel
    uint32_t which                  # name of the item
    uint32_t form
    uint64_t revision
    int64_t time_ms
    const char *body                # the larger part of its payload, where it lies
    uint64_t body_size
    const char *actor
    uint32_t actor_size
    bint borrowed                   # the body is sent from there
    uint64_t at[2]                  # by RESP form: where its text begins,
    uint32_t head[2]                # how much of it stands before the body; 0: not built
    uint32_t text[2]                # and how much it is in all, without a body that is borrowed
    rest_t *rest[2]

cdef struct share_t:                # a message of the slice for one connection
    uint32_t message
    uint32_t next

cdef struct slice_t:
    message_t messages[SLICE_ROOM]
    uint32_t count
    out_t texts[2]                  # RESP2, RESP3
    share_t *shares
    uint32_t share_count, share_room
    uint32_t *rows                  # of those who get something
    uint32_t row_count, row_room

cdef struct member_t:               # of a group of placed connections
    spot_t spot
    uint32_t row

cdef struct group_t:                # sorted by place; members[:active] walk along, members[first:count] not yet
    member_t members[GROUP]
    uint32_t count, first, active
    bint joined                     # somebody did at this item

cdef struct run_t:                  # those of a group that have one flip, at one place of it
    member_t members[GROUP]
    uint32_t count
    uint32_t looks
    uint64_t open_classes           # of which all objects are wanted,
    uint64_t bound_classes          # and single ones
    flip_t *flip
    flip_at_t at
    spot_t spot

cdef struct turned_t:               # what of the log was looked through for changes of rights: since.pxi
    uint64_t generation
    uint64_t since, until
    uint64_t newest                 # the newest such change among them, 0: none

cdef struct deliver_t:
    spot_t live                     # where those stand that have no spot of their own
    uint32_t placed                 # how many have one
    handles_t due                   # placed ones that go on
    uint32_t due_first, due_end     # of this turn
    handles_t resting               # reads wait until they are told all
    handles_t awaiting              # cursors whose revision is yet to come
    uint32_t starts                 # connections that used CFG.FROM
    int64_t retry_at_ms             # until then others, told to read anew, were asked to come
    bint at_once                    # whatever it costs: a generation ends
    slice_t slice
    forms_t forms
    flip_t *newest_flip             # that is under way
    uint64_t seen                   # S of the last delivery
    turned_t turned
    csp_item_t *shown               # an item without a change, for what a flip shows
    uint32_t shown_room             # tenants that fit behind it
    rest_t *rests                   # the large ones
    uint64_t rest_bytes             # of all

cdef struct token_key_t:            # with which tokens are signed: token.pxi
    uint32_t id                     # 0: there is none
    uint8_t stream[16]
    uint8_t key[32]

cdef struct wire_t:                 # where OpenSSL takes ciphertext from, and puts it: tls_wire.pxi
    const char *at
    const char *end
    char *out
    size_t size, room               # of that

cdef struct tls_conn_t:             # csp_tls, as the row of a connection calls it: tls.pxi
    SSL *ssl
    char *left                      # encrypted, and not taken by the socket
    uint32_t left_at, left_size
    char *kept                      # received, and not decrypted for want of room
    uint32_t kept_size
    int64_t barren                  # ciphertext received beyond what its plaintext answers for
    int64_t used_ms                 # when OpenSSL had something to do last
    bint shaken                     # the handshake is done
    bint ended                      # its peer said so
    bint failed
    bint slow                       # its socket was full
    bint bare                       # OpenSSL's buffers were given back

cdef struct ticket_key_t:           # tls_tickets.pxi
    int64_t period
    uint8_t name[16]
    uint8_t cipher[32]
    uint8_t sign[32]

cdef struct tls_t:                  # what a worker's TLS connections share
    wire_t wire
    char *inbox                     # ciphertext as received
    char *plain                     # small pieces on their way into one record
    uint32_t steps                  # of handshakes, in this turn
    uint32_t buffered               # connections that have buffers of OpenSSL
    uint32_t bared, bared_now       # whose were given back, since the heap was trimmed, and in this tick
    handles_t certified             # who was asked for a certificate in this turn
    ticket_key_t tickets[2]         # of this period and the one before
    int64_t tell_ms                 # when the slow lane may be told of the next failure
    uint32_t failures               # handshakes since it was told,
    csp_client failed_client        # of the last of them: who,
    uint16_t failed_port            # by which port,
    const char *failed_why          # and why

cdef enum:
    AGENT_BYTES = 64                # of what balancers are told, at most

cdef struct agent_t:                # what they are told: listen.pxi
    int64_t until_ms                # and how long that holds
    char line[AGENT_BYTES]

cdef struct account_t:              # whose sessions read the same: rights.pxi
    uint32_t person, application
    uint32_t refs                   # connections that have the row; 0: it is free
    uint32_t next                   # in its bucket, or of the free ones
    uint32_t may                    # what it may call
    uint64_t version                # of the picture that the rest is of
    uint64_t known                  # S when it was first; 0: it was not yet
    uint64_t since                  # the revision at which its reach changed last
    reach_t *reach

cdef struct accounts_t:
    account_t *items
    uint32_t *at                    # buckets, by the hash of person and application
    uint32_t count, room            # a power of two
    uint32_t free

cdef struct worker_t:
    # who it is, and what it shares
    void *loop                      # the Python Loop
    csp_store_t *store
    csp_control_t *control
    csp_stats *stats
    uint32_t slot
    uint32_t workers                # that share limits.connections
    limits_t limits
    bint stopping, draining, loading

    # connections (conn, clients)
    csp_conn *rows                  # its own
    csp_client *clients             # what others may read of them, in the session table
    uint64_t *next_id               # in the head of this worker's part of the session table
    uint64_t *row_top_shown         # there too: how far other workers look for CLIENT LIST
    uint32_t row_top                # rows ever used
    uint32_t row_free
    uint32_t row_room               # rows of this worker's part
    int table_fd                    # of the session table; -1: a private one
    char *table                     # where it is mapped
    session_head_t *own_head        # of this worker's part
    uint64_t table_part             # bytes of each worker's part
    area_t table_rows               # of this worker's: its head and rows
    addresses_t addresses           # and behind them
    uint32_t connections
    uint32_t unsigned_count         # connections not signed in yet
    uint32_t blocked_count          # connections with unsent bytes
    bint unshown                    # some client's row is older than what is so
    bint showing                    # the tick's present round writes such rows
    handles_t again                 # to be visited next turn
    handles_t dirty                 # with output to be sent at the end of this turn

    # the turn (turn, receive)
    turn_t turn
    int epoll
    listener_t listeners[LISTENERS_MAX]
    uint32_t listener_count
    uint64_t doors                  # the word of the control segment for which ports were looked at last
    int64_t leave_from, leave_until  # a drain, by the clock of now_ms; 0: there is none
    bint leaving                    # there are connections that are to go: doors.pxi
    char leave_to[256]              # LEAVE_TO_MAX: the address to go to, empty where there is none
    uint32_t leave_to_size
    uint32_t leave_row              # who is looked at next for that
    bint leave_seen                 # in the present round there were such
    uint32_t discovering            # connections of a port for discovery
    agent_t agent
    int spare_fd                    # given up for a moment, to refuse a client when there is no other
    networks_t balancers            # who may have any number of connections
    away_t away[AWAY_KINDS]
    int64_t now_ms
    csp_view_t view                 # of the connection at hand, at S
    uint32_t seen                   # the account whose view it is,
    uint32_t may                    # what that may call,
    reach_t *reach                  # and read
    uint64_t generation             # of the data segment attached
    char *inbox                     # what was received in this turn
    uint64_t inbox_size
    ready_t *ready
    uint32_t ready_count
    uint32_t lone_row               # who asked last,
    int64_t lone_ms                 # and since when nobody else has
    parser_t parser
    out_t out                       # replies of the connection at hand
    out_t scratch                   # one message, shared by all its receivers

    # who may read what (rights)
    rights_t rights
    uint64_t scope_revision         # S when the scope was another before
    accounts_t accounts
    uint32_t rights_at              # the connection that is looked at next after rights have changed,
    uint32_t rights_left            # and how many there still are, before anything is delivered

    # jobs (job, exec)
    bint executing                  # inside EXEC: nothing may wait
    jobs_t jobs

    # pages that many ask for (kept)
    kepts_t kept

    # large buffers (buffers)
    grave_t *graves
    uint32_t grave_count, grave_room
    uint64_t queue_bytes            # unsent, of all connections

    # subscriptions (watch, deliver)
    watch_t watch
    uint32_t event_subscriptions
    deliver_t deliver

    token_key_t token_key

    # TLS (tls)
    tls_t tls

    # client-side caching (tracking)
    tracking_t tracking
    handles_t tracking_due          # who may have to be told something

    # what time brings (clock)
    wait_t *waiting
    uint32_t waiting_count
    uint32_t waiting_room
    int64_t tick_ms                 # when timeouts are next looked at
    uint32_t tick_row
    uint64_t link_state             # as the notices said it last

    # the slow lane (slow)
    bint publish_wanted, interested
    uint64_t persons_seen           # up to here changes of persons and their accounts were looked for
    uint64_t told                   # the slow lane knows of publications up to here,
    uint64_t fed                    # and the feeds
    int64_t timer_ms                # when the next Python timer is due; INT64_MAX: none
    uint64_t *calls                 # Python descriptors that are ready
    uint32_t call_count

cdef int handles_add(handles_t *list_, uint64_t handle) noexcept nogil:
    cdef uint64_t *items
    cdef uint32_t room
    if list_.count == list_.room:
        room = list_.room * 2 if list_.room > 0 else 64
        items = <uint64_t *> realloc(list_.items, <size_t> room * sizeof(uint64_t))
        if items == NULL:
            return -1
        list_.items = items
        list_.room = room
    list_.items[list_.count] = handle
    list_.count += 1
    return 0

cdef inline uint64_t conn_handle(worker_t *w, csp_conn *c) noexcept nogil:
    return (<uint64_t> c.generation << 20) | <uint64_t> (c - w.rows)

cdef inline csp_conn *conn_of(worker_t *w, uint64_t handle) noexcept nogil:
    """The connection of a handle, NULL when it is gone."""
    cdef uint32_t row = <uint32_t> (handle & (HANDLE_ROWS - 1))
    if row >= w.row_top or w.rows[row].id == 0 or w.rows[row].generation != <uint32_t> (handle >> 20):
        return NULL
    return &w.rows[row]

cdef inline csp_client *client_of(worker_t *w, csp_conn *c) noexcept nogil:
    return &w.clients[c - w.rows]
