# Included by csp/_fastpath.pyx after: cursor.
# Tokens: what a session is restored by, made and checked without Python.
#
# Invariants:
# 1. A text is a token exactly if it begins with TOKEN_PREFIX, has TOKEN_TEXT_SIZE characters, and those behind the
#    prefix are base64url: no more is looked at to tell it from a password.
# 2. The signature is BLAKE2b over all that stands before it, with a key that is derived for tokens alone. It is
#    compared in a time that does not hang on where it differs.
# 3. Its place (revision, mark) is one up to which its connection was told everything; mark 0: not known.
# 4. Who has registered no application, or a configuration server's, gets none.

cdef enum:
    TOKEN_VERSION = 1
    TOKEN_PREFIX_SIZE = 5
    TOKEN_BODY_SIZE = 74
    TOKEN_SIGN_SIZE = 16
    TOKEN_KEY_SIZE = 32
    TOKEN_TEXT_SIZE = TOKEN_PREFIX_SIZE + (TOKEN_BODY_SIZE + TOKEN_SIGN_SIZE) // 3 * 4
    TOKEN_LIFE_MS = 24 * 3600 * 1000

cdef const char *TOKEN_PREFIX = b"csp1."
cdef const char *BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

cdef packed struct token_body_t:    # csp/model/token.py reads it
    uint8_t version
    uint8_t spare
    uint32_t key_id
    uint8_t stream[16]
    uint64_t revision
    uint64_t mark
    uint32_t account                # DBID of the Person
    uint32_t application            # and of the Application
    uint64_t credential             # revision of the account record
    int64_t issued_ms               # UTC
    int64_t expires_ms
    uint32_t bookmark_ms            # what the session has asked for

cdef packed struct token_t:
    token_body_t body
    uint8_t sign[16]

cdef void token_sign(const token_body_t *body, const uint8_t *key, uint8_t *sign) noexcept nogil:
    cdef csp_blake2b_t digest
    csp_blake2b_begin_keyed(&digest, key, TOKEN_KEY_SIZE, TOKEN_SIGN_SIZE)
    csp_blake2b_add(&digest, body, TOKEN_BODY_SIZE)
    csp_blake2b_end_keyed(&digest, sign, TOKEN_SIGN_SIZE)

cdef void token_text(const token_t *token, char *text) noexcept nogil:
    """TOKEN_TEXT_SIZE characters."""
    cdef const uint8_t *at = <const uint8_t *> token
    cdef uint32_t word, i
    memcpy(text, TOKEN_PREFIX, TOKEN_PREFIX_SIZE)
    text += TOKEN_PREFIX_SIZE
    for i in range((TOKEN_BODY_SIZE + TOKEN_SIGN_SIZE) // 3):
        word = <uint32_t> at[3 * i] << 16 | <uint32_t> at[3 * i + 1] << 8 | at[3 * i + 2]
        text[4 * i] = BASE64[word >> 18]
        text[4 * i + 1] = BASE64[word >> 12 & 63]
        text[4 * i + 2] = BASE64[word >> 6 & 63]
        text[4 * i + 3] = BASE64[word & 63]

cdef inline int64_t base64_digit(uint8_t letter) noexcept nogil:
    """Its value, negative for what is none."""
    if c'A' <= letter <= c'Z':
        return letter - c'A'
    if c'a' <= letter <= c'z':
        return letter - c'a' + 26
    if c'0' <= letter <= c'9':
        return letter - c'0' + 52
    return 62 if letter == c'-' else 63 if letter == c'_' else -1

cdef bint token_read(const char *text, size_t size, token_t *token) noexcept nogil:
    """Takes a text apart; False where it is no token."""
    cdef uint8_t *at = <uint8_t *> token
    cdef int64_t word, digit
    cdef uint32_t i, k
    if size != TOKEN_TEXT_SIZE or memcmp(text, TOKEN_PREFIX, TOKEN_PREFIX_SIZE) != 0:
        return False
    text += TOKEN_PREFIX_SIZE
    for i in range((TOKEN_BODY_SIZE + TOKEN_SIGN_SIZE) // 3):
        word = 0
        for k in range(4):
            digit = base64_digit(<uint8_t> text[4 * i + k])
            if digit < 0:
                return False
            word = word << 6 | digit
        at[3 * i] = <uint8_t> (word >> 16)
        at[3 * i + 1] = <uint8_t> (word >> 8)
        at[3 * i + 2] = <uint8_t> word
    return True

cdef bint token_is_right(const token_t *token, const uint8_t *key) noexcept nogil:
    """Whether it was signed with this key."""
    cdef uint8_t sign[16]
    cdef uint32_t i
    cdef uint8_t differs = 0
    token_sign(&token.body, key, sign)
    for i in range(TOKEN_SIGN_SIZE):
        differs |= sign[i] ^ token.sign[i]
    return differs == 0

# ---- of a connection ----

cdef void token_place(worker_t *w, csp_conn *c, uint64_t *revision, uint64_t *mark) noexcept nogil:
    """Up to where it was told everything."""
    cdef subs_t *subs = <subs_t *> c.subs
    cdef const csp_entry_t *entry
    cdef csp_state_t state
    cdef uint64_t at = w.view.revision
    if subs != NULL and subs.cursor.placed:
        at = subs.cursor.spot.revision - 1
        if subs.cursor.flip != NULL and subs.cursor.flip.until < at:
            at = subs.cursor.flip.until
    elif subs != NULL and subs.count > 0 and w.deliver.live.revision <= at:
        at = w.deliver.live.revision - 1
    revision[0] = at
    mark[0] = 0
    if subs != NULL and subs.cursor.placed and subs.cursor.state >= CURSOR_RESTS:
        mark[0] = subs.start.mark
    elif at == w.view.revision:
        store_state(w.store, &state)
        mark[0] = state.mark
    else:
        entry = log_entry(w.store, at)
        mark[0] = entry.mark if entry != NULL else 0

cdef bint token_make(worker_t *w, csp_conn *c, char *text) noexcept nogil:
    """A token for the connection, of TOKEN_TEXT_SIZE characters; False where it gets none."""
    cdef csp_client *client = client_of(w, c)
    cdef subs_t *subs = <subs_t *> c.subs
    cdef uint64_t revision = 0, mark = 0
    cdef token_t token
    if client.application_dbid == 0 or c.flags & CSP_CONN_SERVER or client.account_dbid == 0 \
            or w.token_key.id == 0 or w.store == NULL:
        return False
    token_place(w, c, &revision, &mark)
    memset(&token, 0, sizeof(token_t))
    token.body.version = TOKEN_VERSION
    token.body.key_id = w.token_key.id
    memcpy(token.body.stream, w.token_key.stream, 16)
    token.body.revision = revision
    token.body.mark = mark
    token.body.account = client.account_dbid
    token.body.application = client.application_dbid
    token.body.credential = client.credential
    token.body.issued_ms = store_wall_ms()
    token.body.expires_ms = token.body.issued_ms + TOKEN_LIFE_MS
    token.body.bookmark_ms = <uint32_t> subs.start.bookmark_ms if subs != NULL else 0
    token_sign(&token.body, w.token_key.key, token.sign)
    token_text(&token, text)
    return True

# ---- for Python ----


def token_seal(const uint8_t[::1] body not None, const uint8_t[::1] key not None) -> bytes:
    """The text of a token of these fields (csp/model/token.py), signed with a key of 32 bytes."""
    cdef char text[TOKEN_TEXT_SIZE]
    cdef token_t token
    if body.shape[0] != TOKEN_BODY_SIZE or key.shape[0] != TOKEN_KEY_SIZE:
        raise ValueError(f"a token has {TOKEN_BODY_SIZE} bytes, its key {TOKEN_KEY_SIZE}")
    memcpy(&token.body, &body[0], TOKEN_BODY_SIZE)
    token_sign(&token.body, &key[0], token.sign)
    token_text(&token, text)
    return text[:TOKEN_TEXT_SIZE]


def token_fields(bytes text not None) -> bytes | None:
    """The fields of a token; None where the text is none. Nothing is known of its signature then."""
    cdef token_t token
    if not token_read(text, len(text), &token):
        return None
    return (<char *> &token.body)[:TOKEN_BODY_SIZE]


def token_signed(bytes text not None, const uint8_t[::1] key not None) -> bool:
    """Whether it is a token that was signed with this key of 32 bytes."""
    cdef token_t token
    if key.shape[0] != TOKEN_KEY_SIZE:
        raise ValueError(f"the key of a token has {TOKEN_KEY_SIZE} bytes")
    return token_read(text, len(text), &token) and token_is_right(&token, &key[0])
