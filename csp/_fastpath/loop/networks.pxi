# Included by csp/_fastpath.pyx after: state.
# Addresses as 16 bytes, and lists of networks that they are looked for in.
#
# Invariants:
# 1. An IPv4 address is the IPv6 address that stands for it, however it came: by a socket of either family, or in a
#    header.
# 2. A network of IPv6 holds no IPv4 address, unless it is one of those: ::/0 is all of IPv6 alone.

cdef enum:
    NETWORKS_MAX = 256              # of a list: it is looked through for each connection
    MAPPED_BITS = 96                # that all IPv4 addresses begin with

cdef struct peer_t:                 # of which address a connection is
    uint16_t family, port
    uint8_t address[16]             # as its family has it

cdef struct network_t:
    uint8_t address[16]
    uint32_t bits

cdef struct networks_t:
    network_t *items
    uint32_t count

cdef inline void address_of(uint8_t *into, uint16_t family, const uint8_t *address) noexcept nogil:
    """The 16 bytes of an address of either family."""
    if family == AF_INET6:
        memcpy(into, address, 16)
        return
    memset(into, 0, 10)
    into[10] = 0xFF
    into[11] = 0xFF
    memcpy(into + 12, address, 4)

cdef void peer_read(peer_t *peer, const sockaddr_storage *from_) noexcept nogil:
    """The other end of a socket, as the kernel says it."""
    memset(peer, 0, sizeof(peer_t))
    peer.family = from_.ss_family
    if from_.ss_family == AF_INET:
        peer.port = ntohs((<const sockaddr_in *> from_).sin_port)
        memcpy(peer.address, &(<const sockaddr_in *> from_).sin_addr, 4)
    elif from_.ss_family == AF_INET6:
        peer.port = ntohs((<const sockaddr_in6 *> from_).sin6_port)
        memcpy(peer.address, &(<const sockaddr_in6 *> from_).sin6_addr, 16)

cdef inline bint address_is_mapped(const uint8_t *address) noexcept nogil:
    cdef uint8_t start[12]
    memset(start, 0, 10)
    start[10] = 0xFF
    start[11] = 0xFF
    return memcmp(address, start, 12) == 0

cdef bint networks_have(const networks_t *list_, const uint8_t *address) noexcept nogil:
    """Whether one of them holds the address."""
    cdef bint mapped = address_is_mapped(address)
    cdef const network_t *one
    cdef uint32_t i, whole, rest
    for i in range(list_.count):
        one = &list_.items[i]
        whole = one.bits // 8
        rest = one.bits % 8
        if (mapped and one.bits < MAPPED_BITS) or memcmp(one.address, address, whole) != 0:
            continue
        if rest == 0 or (one.address[whole] ^ address[whole]) >> (8 - rest) == 0:
            return True
    return False

cdef networks_set(networks_t *list_, networks):
    """Takes another list: IPv4Network and IPv6Network."""
    cdef network_t *items
    cdef bytes raw
    if len(networks) > NETWORKS_MAX:
        raise ValueError(f"a list has at most {NETWORKS_MAX} networks, this one {len(networks)}")
    items = <network_t *> calloc(len(networks) + 1, sizeof(network_t))
    if items == NULL:
        raise MemoryError("a list of networks")
    for i, network in enumerate(networks):
        raw = network.network_address.packed
        items[i].bits = network.prefixlen + (128 - 8 * len(raw))
        address_of(items[i].address, AF_INET if len(raw) == 4 else AF_INET6, <const uint8_t *> <const char *> raw)
    free(list_.items)
    list_.items = items
    list_.count = len(networks)
