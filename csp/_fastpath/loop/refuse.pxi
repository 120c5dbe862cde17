# Included by csp/_fastpath.pyx after: reply.
# Decides whether a connection may call a command now, and says why not. There is no other place that decides it:
# the loop asks for every command before it runs or is queued, the slow lane again for each that EXEC runs.
#
# Invariants:
# 1. What may be called, by whom and when stands in the command's row (csp/tables/commands.toml), nowhere here.
# 2. The order is Redis's: what is unknown, how many arguments, who asks, what state the connection is in.
# 3. Who has to change his password first (CSP_CONN_MUST_CHANGE) is not signed in: he may call what everybody may, and
#    rows marked `forced`.
# 4. What judge() lets pass at once is what judge_closely() would let pass: it forbids nothing by itself.
# 5. At a port for the peer of a pair (CSP_CONN_PEER_FIRST) who has signed in may call rows marked `entry` until he
#    has registered as it.
# 6. At a port for discovery (CSP_CONN_DISCOVERY) rows marked `discovery` and those of its own may be called, by
#    everybody and at any time, and nothing else; elsewhere its own are unknown.
# 7. Until the first load is done nobody can sign in, so a row marked `loading` asks for no sign-in then.

cdef enum verdict:
    MAY = 0
    REFUSE_UNKNOWN = 1
    REFUSE_ARITY = 2
    REFUSE_LOADING = 3
    REFUSE_NOAUTH = 4
    REFUSE_ADMINISTRATOR = 5
    REFUSE_SERVER = 6
    REFUSE_IN_MULTI = 7
    REFUSE_SUBSCRIBER = 8
    REFUSE_MUSTCHANGE = 9
    REFUSE_DATA = 10
    REFUSE_PEER = 11
    REFUSE_DISCOVERY = 12

cdef enum:
    SHOWN_MAX = 128                 # of a client's words that an error repeats, as in Redis
    SHOWN_VERB_MAX = 64

cdef inline bint is_subscriber2(csp_conn *c) noexcept nogil:
    return c.subs != NULL and c.flags & CSP_CONN_RESP3 == 0 and subs_count(c) > 0

cdef inline int command_of(const arg_t *args, uint32_t count) noexcept nogil:
    """The number of a command, of the subcommand where the second word should name one; CSP_CMD_NONE."""
    cdef int number = csp_command_by_name(args[0].data, args[0].size)
    if csp_commands[number].has_parts and count > 1:
        return csp_part_by_name(number, args[1].data, args[1].size)
    return number

cdef inline int judge(csp_conn *c, uint32_t may, bint loading, int number, uint32_t count) noexcept nogil:
    """Whether the connection, whose account may do that, may call this command now; MAY, or why not. The usual case
    is decided where it is asked: nothing is missing, and there is no state that forbids anything."""
    cdef const csp_command_t *row = &csp_commands[number]
    if number != CSP_CMD_NONE and row.who & ~(c.flags | may) == 0 and not loading and c.subs == NULL \
            and c.flags & (CSP_CONN_MULTI | CSP_CONN_PEER_FIRST | CSP_CONN_DISCOVERY) == 0 \
            and (<int> count == row.arity or (row.arity < 0 and <int> count >= -row.arity)):
        return MAY
    return judge_closely(c, may, loading, number, count)

cdef int judge_closely(csp_conn *c, uint32_t may, bint loading, int number, uint32_t count) noexcept nogil:
    """The whole of it, in Redis's order; says of the usual case the same."""
    cdef const csp_command_t *row = &csp_commands[number]
    cdef uint32_t missing = row.who & ~(c.flags | may)
    if number == CSP_CMD_NONE or missing & CSP_CONN_DISCOVERY:
        return REFUSE_UNKNOWN
    if <int> count != row.arity and (row.arity > 0 or <int> count < -row.arity):
        return REFUSE_ARITY
    if c.flags & CSP_CONN_DISCOVERY:
        return MAY if row.who & CSP_CONN_DISCOVERY or row.flags & CSP_FLAG_DISCOVERY else REFUSE_DISCOVERY
    if loading:
        if row.flags & CSP_FLAG_LOADING == 0:
            return REFUSE_LOADING
        missing &= ~CSP_CONN_SIGNED_IN
    if c.flags & CSP_CONN_PEER_FIRST and c.flags & CSP_CONN_SIGNED_IN and row.who != 0 \
            and row.flags & CSP_FLAG_ENTRY == 0:
        return REFUSE_PEER
    if missing:
        if missing & CSP_CONN_SIGNED_IN and c.flags & CSP_CONN_MUST_CHANGE == 0:
            return REFUSE_NOAUTH
        if missing & CSP_CONN_SIGNED_IN and row.flags & CSP_FLAG_FORCED == 0:
            return REFUSE_MUSTCHANGE
        missing &= ~CSP_CONN_SIGNED_IN
        if missing & CSP_CONN_DATA:
            return REFUSE_DATA
        if missing:
            return REFUSE_ADMINISTRATOR if missing & CSP_CONN_ADMINISTRATOR and row.who & CSP_CONN_SERVER == 0 \
                else REFUSE_SERVER
    if c.flags & CSP_CONN_MULTI and row.flags & CSP_FLAG_NOMULTI:
        return REFUSE_IN_MULTI
    if is_subscriber2(c) and row.flags & CSP_FLAG_SUBSCRIBER == 0:
        return REFUSE_SUBSCRIBER
    return MAY

# ---- in words ----

cdef void out_case(out_t *out, const arg_t *word, char first, char last) noexcept nogil:
    """A word with the letters from `first` to `last` in the other case."""
    cdef uint32_t i
    cdef char letter
    for i in range(word.size if word.size < SHOWN_VERB_MAX else SHOWN_VERB_MAX):
        letter = word.data[i]
        if first <= letter <= last:
            letter ^= 32
        out_clean(out, &letter, 1, 1)

cdef void out_unknown(out_t *out, const arg_t *args, uint32_t count) noexcept nogil:
    """Client libraries parse this one."""
    cdef uint64_t shown = 0
    cdef uint64_t size
    cdef uint32_t i
    out_text(out, b"-ERR unknown command '")
    out_clean(out, args[0].data, args[0].size, SHOWN_MAX)
    out_text(out, b"', with args beginning with: ")
    for i in range(1, count):
        if shown >= SHOWN_MAX:
            break
        size = SHOWN_MAX - shown
        if size > args[i].size:
            size = args[i].size
        out_text(out, b"'")
        out_clean(out, args[i].data, args[i].size, size)
        out_text(out, b"' ")
        shown += size + 3
    out_line(out, b"")

cdef void out_why(
    out_t *out, int why, int number, const arg_t *args, uint32_t count, uint32_t application
) noexcept nogil:
    """The error reply to most commands."""
    cdef int parent = csp_command_by_name(args[0].data, args[0].size)
    if why == REFUSE_UNKNOWN and parent != CSP_CMD_NONE and csp_commands[parent].who & CSP_CONN_DISCOVERY == 0:
        out_text(out, b"-ERR unknown subcommand '")
        out_clean(out, args[1].data, args[1].size, SHOWN_MAX)
        out_text(out, b"'. Try ")
        out_case(out, &args[0], c'a', c'z')
        out_line(out, b" HELP.")
    elif why == REFUSE_UNKNOWN:
        out_unknown(out, args, count)
    elif why == REFUSE_ARITY:
        out_arity(out, csp_commands[number].name)
    elif why == REFUSE_LOADING:
        out_line(out, CSP_REFUSE_LOADING)
    elif why == REFUSE_NOAUTH:
        out_line(out, CSP_REFUSE_NOAUTH)
    elif why == REFUSE_MUSTCHANGE:
        out_line(out, CSP_REFUSE_MUSTCHANGE)
    elif why == REFUSE_PEER:
        out_line(out, b"-NOPERM this port is for the peer of this server: CFG.REGISTER as its Application comes first")
    elif why == REFUSE_DISCOVERY:
        out_line(out, b"-NOPERM this port is for discovery: it tells where to go, and nothing of the configuration")
    elif why == REFUSE_IN_MULTI:
        out_line(out, b"-ERR Command not allowed inside a transaction")
    elif why == REFUSE_SUBSCRIBER:
        out_text(out, b"-ERR Can't execute '")
        out_case(out, &args[0], c'A', c'Z')
        out_line(out, b"': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context")
    else:
        out_text(out, b"-NOPERM '")
        out_text(out, csp_commands[number].name)
        if why == REFUSE_DATA:
            out_text(out, b"' needs Read and Execute on CfgApplication ")
            if application == 0:
                out_line(out, b"'default', until CFG.REGISTER says which application is served")
            else:
                out_decimal(out, application)
                out_line(out, b", which this session serves")
        elif why == REFUSE_ADMINISTRATOR:
            out_line(out, b"' is for administrators")
        else:
            out_line(out, b"' is for configuration servers: an administrator that registered (CFG.REGISTER) "
                          b"as the Application of one, on this connection")

cdef void out_refusal(
    out_t *out, int why, int number, const arg_t *args, uint32_t count, uint32_t application
) noexcept nogil:
    """The error reply, where the session serves this application (0: none); an ERR to EXEC says what becomes of the
    transaction, in Redis's words."""
    cdef const char *head = b"-EXECABORT Transaction discarded because of: "
    cdef uint64_t begin = out.size
    cdef uint64_t size = strlen(head)
    cdef uint64_t text
    out_why(out, why, number, args, count, application)
    if number != CSP_CMD_EXEC or out.failed or memcmp(out.data + begin, b"-ERR ", 5) != 0:
        return
    text = out.size - begin - 5
    out_text(out, head)             # for its room
    if out.failed:
        return
    memmove(out.data + begin + size, out.data + begin + 5, text)
    memcpy(out.data + begin, head, size)
    out.size -= 5
