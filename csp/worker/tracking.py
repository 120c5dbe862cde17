"""CLIENT TRACKING, CACHING, TRACKINGINFO, GETREDIR: what a connection's cache is to be told.

1. The options, their order and their refusals are Redis's, to the word; what is remembered and told
   is the loop's (its tracking rooms).
2. A target of another worker is asked for first: once it is known there, its end is told here.
3. What takes back a right, or gives one, takes back all that was read: `rights_changed`.
4. A connection is told through one of the same account alone: keys are shown to nobody else, and
   nobody is told what he did not ask for.  Where another account signs in, it is broken.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from csp.errors import CspError, TooBig
from csp.resp.encode import OK, array, bulk, error, integer
from csp.tables.options import OPTIONS
from csp.worker.call import Call, Handler, Lane
from csp.worker.ports import Tracked
from csp.worker.redirects import slot_of
from csp.worker.refusal import SYNTAX, number, text_of

PREFIXES_MAX = int(OPTIONS["csp", "max-loose-patterns"].default)
PREFIXES_WORKER_MAX = int(OPTIONS["csp", "max-loose-patterns-worker"].default)
PREFIX_BYTES_MAX = int(OPTIONS["csp", "max-pattern-length"].default)

NO_TARGET = "The client ID you want redirect to does not exist"
ANOTHER_MODE = (
    "You can't switch {} before disabling tracking for this client, and then re-enabling it "
    "with a different mode."
)
CACHING = (
    "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or "
    "OPTOUT mode enabled"
)
_PURPOSE = "tracking"  # of what is undone when the connection ends


@dataclass
class Wish:
    """What CLIENT TRACKING asks for."""

    redirect: int = 0
    prefixes: list[bytes] = field(default_factory=list)
    bcast: bool = False
    optin: bool = False
    optout: bool = False
    noloop: bool = False


def tracking(call: Call) -> bytes | None:
    """CLIENT TRACKING ON|OFF [REDIRECT id] [PREFIX p]… [BCAST] [OPTIN] [OPTOUT] [NOLOOP]"""
    wish = _read(call)
    mode = call.args[2].lower()
    if mode == b"off":
        _leave_target(call.lane, call.conn)
        call.lane.loop.tracking.end(call.conn)
        return OK
    if mode != b"on":
        raise CspError(SYNTAX)
    _check_modes(wish, call.lane.loop.tracking.info(call.conn))
    _check_prefixes(call, wish)
    if not call.lane.loop.tracking.may_begin(call.conn):
        raise CspError(
            "a cursor of CFG.FROM, or of a token, rests on this connection: make its "
            "subscriptions first, or use another connection"
        )
    return _begin(call, wish)


def _read(call: Call) -> Wish:
    wish = Wish()
    words = call.args[3:]
    while words:
        word = words.pop(0).lower()
        if word == b"redirect" and words:
            if wish.redirect:
                raise CspError("A client can only redirect to a single other client")
            wish.redirect = number(words.pop(0))
            if not _is_own(call, wish.redirect):
                raise CspError(NO_TARGET)
        elif word == b"prefix" and words:
            wish.prefixes.append(words.pop(0))
        elif word in (b"bcast", b"optin", b"optout", b"noloop"):
            setattr(wish, word.decode(), True)
        else:
            raise CspError(SYNTAX)
    return wish


def _is_own(call: Call, target: int) -> bool:
    """Whether a connection may be told what this one reads: who is signed in on it is the same."""
    return call.lane.loop.tracking.exists(target, call.session.account_dbid)


def _check_modes(wish: Wish, now: Tracked | None) -> None:
    """What does not go together, or with what the connection is doing."""
    if wish.prefixes and not wish.bcast:
        raise CspError("PREFIX option requires BCAST mode to be enabled")
    if now is not None and now["bcast"] != wish.bcast:
        raise CspError(ANOTHER_MODE.format("BCAST mode on/off"))
    if wish.bcast and (wish.optin or wish.optout):
        raise CspError("OPTIN and OPTOUT are not compatible with BCAST")
    if wish.optin and wish.optout:
        raise CspError("You can't specify both OPTIN mode and OPTOUT mode")
    if now is not None and ((wish.optin and now["optout"]) or (wish.optout and now["optin"])):
        raise CspError(ANOTHER_MODE.format("OPTIN/OPTOUT mode"))


def _check_prefixes(call: Call, wish: Wish) -> None:
    """None may begin another one; and there is room for them."""
    now = call.lane.loop.tracking.info(call.conn)
    held = [] if now is None else now["prefixes"]
    for at, prefix in enumerate(wish.prefixes):
        for other in held:
            if _overlap(prefix, other):
                raise _overlapping(prefix, "an existing", other)
        for other in wish.prefixes[at + 1 :]:
            if _overlap(prefix, other):
                raise _overlapping(prefix, "another provided", other)
    limit = call.lane.info.limit
    if len(held) + len(wish.prefixes) > (most := limit("max-loose-patterns", PREFIXES_MAX)):
        raise TooBig(f"a connection may have at most {most} prefixes")
    if any(len(one) > limit("max-pattern-length", PREFIX_BYTES_MAX) for one in wish.prefixes):
        raise TooBig(f"a prefix may have {limit('max-pattern-length', PREFIX_BYTES_MAX)} bytes")
    all_of_them = call.lane.loop.tracking.prefix_count() + len(wish.prefixes)
    if all_of_them > (most := limit("max-loose-patterns-worker", PREFIXES_WORKER_MAX)):
        raise TooBig(f"all connections of a worker may have at most {most} prefixes")


def _overlap(one: bytes, other: bytes) -> bool:
    return one.startswith(other) or other.startswith(one)


def _overlapping(prefix: bytes, which: str, other: bytes) -> CspError:
    return CspError(
        f"Prefix '{text_of(prefix)}' overlaps with {which} prefix '{text_of(other)}'. "
        "Prefixes for a single client must not overlap."
    )


def _begin(call: Call, wish: Wish) -> bytes | None:
    """Turns it on; a target of another worker first hears that somebody is told through it."""
    lane, conn = call.lane, call.conn
    slot = slot_of(wish.redirect)
    if not wish.redirect or slot == lane.info.slot:
        _leave_target(lane, conn)
        _turn_on(lane, conn, wish)
        return OK

    def joined(is_there: bool) -> None:
        if conn not in lane.states:
            lane.redirects.leave(wish.redirect, tell=False)
            return
        if is_there and not _is_own(call, wish.redirect):
            lane.redirects.leave(wish.redirect, tell=False)  # another account has signed in there
            is_there = False
        if not is_there:
            lane.finish(conn, error(CspError(NO_TARGET).line))
            return
        _leave_target(lane, conn)
        lane.states[conn].on_close[_PURPOSE] = lambda: lane.redirects.leave(wish.redirect)
        _turn_on(lane, conn, wish)
        lane.finish(conn, OK)

    lane.redirects.join(wish.redirect, joined)
    return None


def _turn_on(lane: Lane, conn: int, wish: Wish) -> None:
    prefixes = wish.prefixes or ([b""] if wish.bcast else [])
    lane.loop.tracking.begin(
        conn,
        redirect=wish.redirect,
        prefixes=prefixes,
        bcast=wish.bcast,
        optin=wish.optin,
        optout=wish.optout,
        noloop=wish.noloop,
    )


def _leave_target(lane: Lane, conn: int) -> None:
    """The connection is told through a connection of another worker no more; nobody hears of it."""
    state = lane.states.get(conn)
    if state is not None and state.on_close.pop(_PURPOSE, None) is not None:
        now = lane.loop.tracking.info(conn)
        if now is not None:
            lane.redirects.leave(now["redirect"], tell=False)


def rights_changed(lane: Lane, conn: int) -> None:
    """Another account has signed in: what it may read is other than it was."""
    state = lane.states.get(conn)
    leave = state.on_close.pop(_PURPOSE, None) if state is not None else None
    if leave is not None:
        leave()
    lane.redirects.part(conn)
    lane.loop.tracking.forget(conn)
    lane.loop.tracking.part(conn)


def caching(call: Call) -> bytes:
    """CLIENT CACHING YES|NO"""
    now = call.lane.loop.tracking.info(call.conn)
    if now is None:
        raise CspError(CACHING)
    answer = call.args[2].lower()
    if answer not in (b"yes", b"no"):
        raise CspError(SYNTAX)
    mode = "optin" if answer == b"yes" else "optout"
    if not now[mode]:  # type: ignore[literal-required]
        raise CspError(
            f"CLIENT CACHING {answer.decode().upper()} is only valid when tracking is enabled in "
            f"{mode.upper()} mode."
        )
    call.lane.loop.tracking.caching(call.conn)
    return OK


def get_redirect(call: Call) -> bytes:
    """CLIENT GETREDIR: -1 says that tracking is off, 0 that nobody else is told."""
    now = call.lane.loop.tracking.info(call.conn)
    return integer(-1 if now is None else now["redirect"])


def tracking_info(call: Call) -> bytes:
    """CLIENT TRACKINGINFO"""
    now = call.lane.loop.tracking.info(call.conn)
    is_map = call.proto == 3
    flags = array(bulk(flag) for flag in _flags(now))
    return b"".join(
        (
            b"%3\r\n" if is_map else b"*6\r\n",
            bulk(b"flags"),
            b"~" + flags[1:] if is_map else flags,
            bulk(b"redirect"),
            integer(-1 if now is None else now["redirect"]),
            bulk(b"prefixes"),
            array(bulk(one) for one in ([] if now is None else now["prefixes"])),
        )
    )


def _flags(now: Tracked | None) -> list[bytes]:
    """In the order of Redis."""
    if now is None:
        return [b"off"]
    flags = {
        b"on": True,
        b"bcast": now["bcast"],
        b"optin": now["optin"],
        b"caching-yes": now["optin"] and now["caching"],
        b"optout": now["optout"],
        b"caching-no": now["optout"] and now["caching"],
        b"noloop": now["noloop"],
        b"broken_redirect": now["broken"],
    }
    return [flag for flag, is_set in flags.items() if is_set]


HANDLERS: dict[str, Handler] = {
    "client|tracking": tracking,
    "client|caching": caching,
    "client|getredir": get_redirect,
    "client|trackinginfo": tracking_info,
}
