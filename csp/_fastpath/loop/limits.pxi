# Included by csp/_fastpath.pyx after: kept, tracking_keys.
# The limits of a worker by name, as Python gives them.
#
# Invariants:
# 1. What is not named has its default; a name that nobody knows is an error.

LIMITS = {
    "connections": 10000,
    "request_bytes": 64 << 20,
    "request_args": 1 << 20,
    "sign_in_ms": 40000,
    "output_bytes": 1 << 20,
    "output_ms": 600000,
    "page_bytes": 1024000,
    "page_objects": 10000,
    "page_default": 1000,
    "subscriptions": 10000,
    "pattern_bytes": 256,
    "loose_patterns": 32,
    "loose_patterns_all": 1024,
    "tracked_keys": 10000,
    "tracked_keys_all": 1000000,
    "accepts": 64,
    "read_wait_ms": 5000,
    "from_wait_ms": 10000,
    "reply_bytes": 512 << 20,
    "turn_us": 10000,
    "announce_ms": 2000,
    "held_bytes": 1 << 30,
    "ticket_ms": 3600000,
    "check_briefs": 1,
    "address_connections": 0,
}

cdef limits_take(worker_t *w, limits):
    """Takes them between two turns."""
    limits = {**LIMITS, **limits}
    unknown = set(limits) - set(LIMITS)
    if unknown:
        raise ValueError(f"unknown limits {sorted(unknown)}; known: {sorted(LIMITS)}")
    w.limits.connections = min(limits["connections"], HANDLE_ROWS - 1)
    w.limits.request_bytes = limits["request_bytes"]
    w.limits.request_args = limits["request_args"]
    w.limits.sign_in_ms = limits["sign_in_ms"]
    w.limits.output_max = limits["output_bytes"]
    w.limits.output_ms = limits["output_ms"]
    w.limits.page_bytes = limits["page_bytes"]
    kept_clear(w)
    w.limits.page_objects = limits["page_objects"]
    w.limits.page_default = min(limits["page_default"], limits["page_objects"])
    w.limits.subscriptions = limits["subscriptions"]
    w.limits.pattern_bytes = limits["pattern_bytes"]
    w.limits.loose_patterns = limits["loose_patterns"]
    w.limits.loose_patterns_all = limits["loose_patterns_all"]
    w.limits.tracked_keys = limits["tracked_keys"]
    w.limits.tracked_keys_all = min(limits["tracked_keys_all"], TRACKED_MAX // 2)
    w.limits.accepts = limits["accepts"]
    w.limits.read_wait_ms = limits["read_wait_ms"]
    w.limits.from_wait_ms = limits["from_wait_ms"]
    w.limits.reply_bytes = limits["reply_bytes"]
    w.limits.turn_ns = limits["turn_us"] * 1000
    w.limits.announce_ms = limits["announce_ms"]
    w.limits.held_bytes = limits["held_bytes"]
    w.limits.ticket_ms = limits["ticket_ms"]
    w.limits.check_briefs = limits["check_briefs"]
    w.limits.address_connections = limits["address_connections"]
