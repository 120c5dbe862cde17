# Included by csp/_fastpath.pyx after: networks.
# Reads the header by which a balancer says whose connection it is: the PROXY protocol, version 1 (a line) or 2 (bytes).
#
# Invariants:
# 1. The bytes may end anywhere: it is told that the header goes on behind them, unless nothing could make one of them.
# 2. Nothing behind the header is looked at; header.size says where that begins.
# 3. A header without an address (LOCAL, UNKNOWN, UNSPEC, or of no network that a client can come from) is a good one:
#    the connection keeps the address it has.
# 4. What is no header of either version is none: nothing is guessed.

cdef enum:
    PROXY_LINE_MAX = 107            # bytes of a header of version 1, with its end
    PROXY_BYTES_MAX = 16384         # of one of version 2 that is taken: a certificate in it has some thousand
    PROXY_FIXED = 16                # bytes in front of a header of version 2
    PROXY_TLV_HEAD = 3              # of each thing behind the addresses: what it is, and how long
    PROXY_MORE = 0                  # the header goes on behind these bytes
    PROXY_WHOLE = 1
    PROXY_WRONG = -1

cdef struct proxy_header_t:
    uint32_t size                   # of the header
    peer_t client                   # family 0: the header says no address

cdef const char *PROXY_WORD = b"PROXY "
cdef const char *PROXY_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

cdef inline bint proxy_begins(const char *at, uint32_t size, const char *with_, uint32_t length) noexcept nogil:
    """Whether the bytes are the beginning of these, or begin with them."""
    return memcmp(at, with_, size if size < length else length) == 0

cdef int proxy_read(const char *at, uint32_t size, proxy_header_t *header) noexcept nogil:
    """PROXY_WHOLE, PROXY_MORE or PROXY_WRONG."""
    memset(header, 0, sizeof(proxy_header_t))
    if proxy_begins(at, size, PROXY_SIGNATURE, 12):
        return proxy_read_bytes(<const uint8_t *> at, size, header)
    if proxy_begins(at, size, PROXY_WORD, 6):
        return proxy_read_line(at, size, header)
    return PROXY_WRONG

# ---- version 2 ----

cdef int proxy_read_bytes(const uint8_t *at, uint32_t size, proxy_header_t *header) noexcept nogil:
    cdef uint32_t wanted, length, family, addresses
    if size > 12 and at[12] != 0x20 and at[12] != 0x21:
        return PROXY_WRONG              # of another version, or of an unknown kind
    if size < PROXY_FIXED:
        return PROXY_MORE
    family = at[13]
    length = <uint32_t> at[14] << 8 | at[15]
    wanted = PROXY_FIXED + length
    addresses = proxy_addresses(family)
    if wanted > PROXY_BYTES_MAX or (at[12] == 0x21 and (addresses == UINT32_MAX or length < addresses)):
        return PROXY_WRONG
    if size < wanted:
        return PROXY_MORE
    header.size = wanted
    if at[12] == 0x20:
        return PROXY_WHOLE              # the balancer itself: nothing behind the length is of use
    if addresses > 0 and not proxy_things_fit(at + PROXY_FIXED + addresses, length - addresses):
        return PROXY_WRONG
    if family == 0x11:
        header.client.family = AF_INET
        memcpy(header.client.address, at + 16, 4)
        header.client.port = <uint16_t> (<uint32_t> at[24] << 8 | at[25])
    elif family == 0x21:
        header.client.family = AF_INET6
        memcpy(header.client.address, at + 16, 16)
        header.client.port = <uint16_t> (<uint32_t> at[48] << 8 | at[49])
    return PROXY_WHOLE

cdef inline uint32_t proxy_addresses(uint32_t family) noexcept nogil:
    """Bytes of the addresses of a family and transport; UINT32_MAX: there is none such."""
    if family == 0:
        return 0
    if family & 0xF != 1 and family & 0xF != 2:
        return UINT32_MAX
    if family >> 4 == 1:
        return 12
    if family >> 4 == 2:
        return 36
    return 216 if family >> 4 == 3 else UINT32_MAX

cdef bint proxy_things_fit(const uint8_t *at, uint32_t size) noexcept nogil:
    """Whether what stands behind the addresses is whole; what it is doesn't matter here."""
    cdef uint32_t length
    while size > 0:
        if size < PROXY_TLV_HEAD:
            return False
        length = PROXY_TLV_HEAD + (<uint32_t> at[1] << 8 | at[2])
        if length > size:
            return False
        at += length
        size -= length
    return True

# ---- version 1 ----

cdef int proxy_read_line(const char *at, uint32_t size, proxy_header_t *header) noexcept nogil:
    cdef uint32_t seen = size if size < PROXY_LINE_MAX else PROXY_LINE_MAX
    cdef const char *end = <const char *> memchr(at, 13, seen)
    cdef uint32_t length = <uint32_t> (end - at) if end != NULL else seen
    cdef int family = proxy_family(at, length)
    if family < 0 or memchr(at, 0, length) != NULL or memchr(at, 10, length) != NULL:
        return PROXY_WRONG
    if end == NULL:
        return PROXY_MORE if size < PROXY_LINE_MAX else PROXY_WRONG
    if length + 2 > PROXY_LINE_MAX:
        return PROXY_WRONG
    if length + 1 == size:
        return PROXY_MORE if proxy_line_fits(at, length, family, header) else PROXY_WRONG
    if end[1] != 10 or not proxy_line_fits(at, length, family, header):
        return PROXY_WRONG
    header.size = length + 2
    return PROXY_WHOLE

cdef int proxy_family(const char *at, uint32_t length) noexcept nogil:
    """The family that a line names, 0 for UNKNOWN or while it can't be told, -1 for another word."""
    if length <= 6:
        return 0
    at += 6
    length -= 6
    if proxy_begins(at, length, b"UNKNOWN", 7):
        return 0 if length <= 7 or at[7] == 32 else -1
    if proxy_begins(at, length, b"TCP4 ", 5):
        return AF_INET
    return AF_INET6 if proxy_begins(at, length, b"TCP6 ", 5) else -1

cdef bint proxy_line_fits(const char *at, uint32_t length, int family, proxy_header_t *header) noexcept nogil:
    """Whether a whole line says what it has to; the client's address goes into the header."""
    cdef uint8_t unused[16]
    cdef uint32_t starts[5]
    cdef uint32_t i, count = 0
    cdef int other
    if family == 0:
        return length >= 13             # PROXY UNKNOWN; whatever follows is skipped
    starts[0] = 0
    for i in range(11, length):         # behind "PROXY TCP4 "
        if at[i] == 32:
            count += 1
            if count > 3:
                return False
            starts[count] = i + 1
    if length < 11 or count != 3:
        return False
    starts[0] = 11
    starts[4] = length + 1
    if not proxy_address(family, at + 11, starts[1] - 12, header.client.address) \
            or not proxy_address(family, at + starts[1], starts[2] - starts[1] - 1, unused):
        return False
    i = proxy_port(at + starts[2], starts[3] - starts[2] - 1)
    other = <int> proxy_port(at + starts[3], starts[4] - starts[3] - 1)
    if i > 65535 or other > 65535:
        return False
    header.client.family = <uint16_t> family
    header.client.port = <uint16_t> i
    return True

cdef bint proxy_address(int family, const char *at, uint32_t length, uint8_t *into) noexcept nogil:
    cdef char text[INET6_ADDRSTRLEN]
    if length == 0 or length >= sizeof(text):
        return False
    memcpy(text, at, length)
    text[length] = 0
    return inet_pton(family, text, into) == 1

cdef uint32_t proxy_port(const char *at, uint32_t length) noexcept nogil:
    """A number without zeros in front; more than 65535: it is none."""
    cdef uint32_t i, value = 0
    if length == 0 or length > 5 or (at[0] == 48 and length > 1):
        return UINT32_MAX >> 1
    for i in range(length):
        if at[i] < 48 or at[i] > 57:
            return UINT32_MAX >> 1
        value = value * 10 + <uint32_t> (at[i] - 48)
    return value

# ---- as Python sees it ----


def read_proxy_header(bytes data not None) -> tuple:
    """(size, address, port) of the header that the bytes begin with; size 0: it goes on behind them.

    The address is "" where the header says none. What begins with no header is a ValueError.
    """
    cdef proxy_header_t header
    cdef int found = proxy_read(<const char *> data, <uint32_t> min(len(data), UINT32_MAX), &header)
    if found == PROXY_WRONG:
        raise ValueError("this is no header of the PROXY protocol")
    if found == PROXY_MORE:
        return 0, "", 0
    if header.client.family == 0:
        return header.size, "", 0
    raw = (<char *> header.client.address)[:4 if header.client.family == AF_INET else 16]
    return header.size, socket.inet_ntop(header.client.family, raw), header.client.port
