"""CLIENT and its subcommands: who is connected, under which name, with which library.

1. LIST shows the clients of all workers; each worker writes the rows of its own in shared memory.
2. It goes through the rows in slices: thousands of connections hold up no turn.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from csp.errors import CspError
from csp.resp.encode import OK, encode, integer
from csp.resp.values import Simple, Verbatim
from csp.tables.commands import BY_NUMBER
from csp.worker.call import Call, Handler, Lane
from csp.worker.refusal import SYNTAX, number, text_of
from csp.worker.server_info import ServerInfo
from csp.worker.slices import in_slices

Row = dict[str, Any]
Test = Callable[[Row], bool]

ROWS_AT_ONCE = 64  # some 0.5 ms
SLICE_SECONDS = 0.002  # of a turn
RESP3 = 3
# What a client of Redis may ask the place of a move as: there is one address, and it gets that.
ENDPOINT_TYPES = (b"internal-ip", b"internal-fqdn", b"external-ip", b"external-fqdn", b"none")
NO_WORD = re.compile(r"[^!-~]")  # would end a field, or the line

HELP = """CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:
CACHING (YES|NO)
    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.
GETREDIR
    Return the client ID we are redirecting to when tracking is enabled.
GETNAME
    Return the name of the current connection.
ID
    Return the ID of the current connection.
INFO
    Return information about the current client connection.
KILL <ip:port>
    Kill connection made from <ip:port>.
KILL <option> <value> [<option> <value> [...]]
    Kill connections. Options are:
    * ADDR (<ip:port>|<unixsocket>:0)
      Kill connections made from the specified address
    * ID <client-id>
      Kill connections by client id.
    * USER <username>
      Kill connections authenticated by <username>.
    * LADDR (<ip:port>)
      Kill connections made to the specified address.
    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)
      Kill connections of the specified type.
    * MAXAGE <seconds>
      Kill connections that are older.
    * SKIPME (YES|NO)
      Skip killing current connection (default: yes).
LIST [options ...]
    Return information about client connections. Options:
    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)
      Return clients of specified type.
    * ID <client-id> [<client-id> ...]
      Return clients of specified IDs only.
SETINFO <LIB-NAME|LIB-VER> <value>
    Set the library's name or version for the current connection.
SETNAME <name>
    Assign the name <name> to the current connection.
MAINT_NOTIFICATIONS (ON [MOVING-ENDPOINT-TYPE <type>]|OFF)
    Control pushes that announce a move to another server.
TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]
         [OPTIN] [OPTOUT] [NOLOOP]
    Control server assisted client side caching.
TRACKINGINFO
    Report tracking status for the current connection.
HELP
    Print this help."""


def check_name(data: bytes) -> str:
    """A connection's name, or a refusal in the words of Redis."""
    if any(not 33 <= byte <= 126 for byte in data):
        raise CspError("Client names cannot contain spaces, newlines or special characters.")
    return data.decode()


def client_id(call: Call) -> bytes:
    """CLIENT ID"""
    return integer(call.session.id)


def set_name(call: Call) -> bytes:
    """CLIENT SETNAME name; an empty one takes it away."""
    call.session.name = check_name(call.args[2])
    return OK


def get_name(call: Call) -> bytes:
    """CLIENT GETNAME"""
    return call.encode(call.session.name or None)


def set_info(call: Call) -> bytes:
    """CLIENT SETINFO LIB-NAME|LIB-VER value"""
    option, value = call.args[2].lower(), call.args[3]
    if option not in (b"lib-name", b"lib-ver"):
        raise CspError(f"Unrecognized option '{text_of(call.args[2])}'")
    shown = option.decode()
    if any(not 33 <= byte <= 126 for byte in value):
        raise CspError(f"{shown} cannot contain spaces, newlines or special characters.")
    if option == b"lib-name":
        call.session.lib_name = value.decode()
    else:
        call.session.lib_ver = value.decode()
    return OK


def maint_notifications(call: Call) -> bytes:
    """CLIENT MAINT_NOTIFICATIONS ON [MOVING-ENDPOINT-TYPE type] | OFF"""
    mode, *options = (one.lower() for one in call.args[2:])
    if mode == b"off" and not options:
        call.session.hears_moves = call.session.hears_no_place = False
        return OK
    if mode != b"on" or (options and options[0] != b"moving-endpoint-type"):
        raise CspError(SYNTAX)
    if len(options) not in (0, 2):
        raise CspError(SYNTAX)
    place = options[1] if options else b"none"
    if place not in ENDPOINT_TYPES:
        raise CspError(f"Invalid moving-endpoint-type '{text_of(call.args[-1])}'")
    if call.proto != RESP3:
        raise CspError("CLIENT MAINT_NOTIFICATIONS needs RESP3: it is told by pushes")
    call.session.hears_moves = True
    call.session.hears_no_place = place == b"none"
    return OK


def client_info(call: Call) -> bytes:
    """CLIENT INFO"""
    row = call.lane.loop.client(call.conn)
    return call.encode(Verbatim("txt", (line_of(row, call.lane.info) + "\n").encode()))


def client_list(call: Call) -> None:
    """CLIENT LIST [TYPE type | ID id…]"""
    options = call.args[2:]
    wanted: Test
    if not options:
        wanted = _any
    elif options[0].lower() == b"type" and len(options) == 2:
        wanted = of_type(options[1])
    elif options[0].lower() == b"id" and len(options) > 1:
        ids = {number(one, "Invalid client ID") for one in options[1:]}
        wanted = lambda row: row["id"] in ids  # noqa: E731
    else:
        raise CspError(SYNTAX)
    lane, conn, proto = call.lane, call.conn, call.proto
    lines: dict[int, str] = {}

    def note(row: Row) -> None:
        if wanted(row):
            lines[row["id"]] = line_of(row, lane.info) + "\n"

    def done() -> None:
        text = "".join(line for _, line in sorted(lines.items()))
        lane.finish(conn, encode(Verbatim("txt", text.encode()), proto))

    go_through(lane, note, done)


def go_through(lane: Lane, note: Callable[[Row], None], done: Callable[[], None]) -> None:
    """Shows `note` the rows of all workers, some a turn; then `done`."""
    in_slices(lane.loop, _through(lane, note, done))


def _through(lane: Lane, note: Callable[[Row], None], done: Callable[[], None]) -> Iterator[None]:
    at, until = 0, time.monotonic() + SLICE_SECONDS
    while at >= 0:
        rows, at = lane.loop.clients_from(at, ROWS_AT_ONCE)
        for row in rows:
            note(row)
        if at >= 0 and time.monotonic() > until:
            yield
            until = time.monotonic() + SLICE_SECONDS
    done()


def line_of(row: Row, info: ServerInfo) -> str:
    """One client as CLIENT LIST shows it: the fields of Redis 7, and its worker."""
    subscriptions, patterns = row.get("subscriptions", 0), row.get("patterns", 0)
    command = BY_NUMBER.get(row.get("command", 0))
    unsent, waiting = row.get("pending", 0), row.get("input_bytes", 0)
    fields = {
        "id": row["id"],
        "addr": row.get("address", ""),
        "laddr": laddr_of(row, info),
        "fd": row.get("fd", -1),
        "name": row.get("name", ""),
        "age": int(row.get("age_ms", 0)) // 1000,
        "idle": int(row.get("idle_ms", 0)) // 1000,
        "flags": _flags(row) or "N",
        "db": 0,
        "sub": subscriptions - patterns,
        "psub": patterns,
        "ssub": 0,
        "multi": 0 if row.get("in_multi") else -1,
        "qbuf": waiting,
        "qbuf-free": 0,
        "argv-mem": 0,
        "multi-mem": 0,
        "rbs": 0,
        "rbp": 0,
        "obl": 0,
        "oll": 0,
        "omem": unsent,
        "tot-mem": waiting + unsent,
        "events": "rw" if unsent else "r",
        "cmd": command.shown if command is not None else "NULL",
        "user": row.get("user") or "",
        "redir": row.get("redirect", 0) if row.get("tracking") else -1,
        "resp": row.get("proto", 2),
        "lib-name": row.get("lib_name", ""),
        "lib-ver": row.get("lib_ver", ""),
        "worker": row.get("slot", 0),
        "port": NO_WORD.sub("_", info.port_of(row.get("port", 0)).id),
    }
    return " ".join(f"{key}={value}" for key, value in fields.items())


def laddr_of(row: Row, info: ServerInfo) -> str:
    """Where its port listens."""
    return info.port_of(row.get("port", 0)).address


def _flags(row: Row) -> str:
    flags = {
        "x": row.get("in_multi"),
        "P": row.get("subscriptions"),
        "S": row.get("feed") and not row.get("subscriptions"),
        "t": row.get("tracking"),
        "R": row.get("redirect_broken"),
        "B": row.get("bcast"),
    }
    return "".join(letter for letter, is_set in flags.items() if is_set)


def _any(_: Row) -> bool:
    return True


def of_type(data: bytes) -> Test:
    kind = data.lower()
    if kind == b"normal":
        return lambda row: not row.get("subscriptions") and not row.get("feed")
    if kind == b"pubsub":
        return lambda row: bool(row.get("subscriptions"))
    if kind in (b"replica", b"slave"):
        return lambda row: bool(row.get("feed"))
    if kind == b"master":
        return lambda row: False
    raise CspError(f"Unknown client type '{text_of(data)}'")


def accept_on_off(call: Call) -> bytes:
    """CLIENT NO-EVICT, NO-TOUCH ON|OFF: nothing is ever evicted here."""
    if call.args[2].lower() not in (b"on", b"off"):
        raise CspError(SYNTAX)
    return OK


def reply(call: Call) -> bytes:
    """CLIENT REPLY ON; a client that does not read replies loses errors."""
    mode = call.args[2].lower()
    if mode == b"on":
        return OK
    if mode in (b"off", b"skip"):
        raise CspError("CLIENT REPLY OFF and SKIP are not supported: every command is answered")
    raise CspError(SYNTAX)


def unpause(_: Call) -> bytes:
    """CLIENT UNPAUSE: nothing is ever paused."""
    return OK


def help_(call: Call) -> bytes:
    """CLIENT HELP"""
    return call.encode([Simple(line) for line in HELP.splitlines()])


HANDLERS: dict[str, Handler] = {
    "client|id": client_id,
    "client|setname": set_name,
    "client|getname": get_name,
    "client|setinfo": set_info,
    "client|maint_notifications": maint_notifications,
    "client|info": client_info,
    "client|list": client_list,
    "client|no-evict": accept_on_off,
    "client|no-touch": accept_on_off,
    "client|reply": reply,
    "client|unpause": unpause,
    "client|help": help_,
}
