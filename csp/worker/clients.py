"""CLIENT and its subcommands: who is connected, under which name, with which library.

1. LIST shows the clients of all workers; each worker writes the rows of its own in shared memory.
2. A connection can be closed by the worker that has it, by no other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from csp.errors import CspError
from csp.resp.encode import OK, integer
from csp.resp.values import Simple, Verbatim
from csp.worker.call import Call, Handler
from csp.worker.refusal import SYNTAX, number, text_of

HELP = """CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:
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


def client_info(call: Call) -> bytes:
    """CLIENT INFO"""
    for row in call.lane.loop.clients():
        if row["id"] == call.session.id:
            return call.encode(Verbatim("txt", (line_of(row) + "\n").encode()))
    raise CspError("this connection is not in the session table")


def client_list(call: Call) -> bytes:
    """CLIENT LIST [TYPE type | ID id…]"""
    options = call.args[2:]
    wanted: Callable[[dict[str, Any]], bool]
    if not options:
        wanted = _any
    elif options[0].lower() == b"type" and len(options) == 2:
        wanted = _of_type(options[1])
    elif options[0].lower() == b"id" and len(options) > 1:
        ids = {number(one, "Invalid client ID") for one in options[1:]}
        wanted = lambda row: row["id"] in ids  # noqa: E731
    else:
        raise CspError(SYNTAX)
    rows = sorted(call.lane.loop.clients(), key=lambda row: row["id"])
    text = "".join(line_of(row) + "\n" for row in rows if wanted(row))
    return call.encode(Verbatim("txt", text.encode()))


def line_of(row: dict[str, Any]) -> str:
    """One client as CLIENT LIST shows it: the fields of Redis that mean something here."""
    kind = "P" if row.get("subscriptions", 0) else "S" if row.get("feed") else "N"
    fields = {
        "id": row["id"],
        "addr": row.get("address", ""),
        "laddr": "",
        "fd": row.get("fd", -1),
        "name": row.get("name", ""),
        "age": int(row.get("age_ms", 0)) // 1000,
        "idle": int(row.get("idle_ms", 0)) // 1000,
        "flags": ("x" if row.get("in_multi") else "") + (kind if kind != "N" else "") or "N",
        "db": 0,
        "sub": row.get("subscriptions", 0),
        "psub": 0,
        "multi": 0 if row.get("in_multi") else -1,
        "omem": row.get("pending", 0),
        "user": row.get("user") or "",
        "resp": row.get("proto", 2),
        "lib-name": row.get("lib_name", ""),
        "lib-ver": row.get("lib_ver", ""),
        "worker": row.get("slot", 0),
    }
    return " ".join(f"{key}={value}" for key, value in fields.items())


def _any(_: dict[str, Any]) -> bool:
    return True


def _of_type(data: bytes) -> Callable[[dict[str, Any]], bool]:
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


def kill(call: Call) -> bytes:
    """CLIENT KILL address | [ID id] [ADDR address] [USER user] [TYPE type] [SKIPME yes|no]"""
    options = call.args[2:]
    if len(options) == 1:
        address = text_of(options[0])
        if not _kill(call, lambda row: row.get("address") == address, skip_me=False):
            raise CspError("No such client")
        return OK
    if len(options) % 2:
        raise CspError(SYNTAX)
    tests: list[Callable[[dict[str, Any]], bool]] = []
    skip_me = True
    for option, value in zip(options[::2], options[1::2], strict=True):
        if option.lower() == b"skipme":
            if value.lower() not in (b"yes", b"no"):
                raise CspError(SYNTAX)
            skip_me = value.lower() == b"yes"
        else:
            tests.append(_kill_test(option.lower(), value))
    return integer(_kill(call, lambda row: all(test(row) for test in tests), skip_me=skip_me))


def _kill_test(option: bytes, value: bytes) -> Callable[[dict[str, Any]], bool]:
    text = text_of(value)
    if option == b"id":
        wanted = number(value, "client-id should be greater than 0")
        if wanted <= 0:
            raise CspError("client-id should be greater than 0")
        return lambda row: bool(row["id"] == wanted)
    if option == b"addr":
        return lambda row: row.get("address") == text
    if option == b"user":
        return lambda row: row.get("user") == text
    if option == b"type":
        return _of_type(value)
    raise CspError(SYNTAX)


def _kill(call: Call, test: Callable[[dict[str, Any]], bool], *, skip_me: bool) -> int:
    lane = call.lane
    found = [row for row in lane.loop.clients() if test(row)]
    if skip_me:
        found = [row for row in found if row["id"] != call.session.id]
    elsewhere = [row for row in found if row["slot"] != lane.info.slot]
    if elsewhere:
        raise CspError(
            f"client {elsewhere[0]['id']} is connected to worker {elsewhere[0]['slot']}, and this "
            f"is worker {lane.info.slot}: a worker closes its own connections only"
        )
    for row in found:
        lane.loop.close(row["conn"])
    return len(found)


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


def get_redirect(_: Call) -> bytes:
    """CLIENT GETREDIR: -1 says that tracking is off."""
    return integer(-1)


def tracking_info(call: Call) -> bytes:
    """CLIENT TRACKINGINFO"""
    return call.encode({"flags": frozenset(["off"]), "redirect": -1, "prefixes": []})


def help_(call: Call) -> bytes:
    """CLIENT HELP"""
    return call.encode([Simple(line) for line in HELP.splitlines()])


HANDLERS: dict[str, Handler] = {
    "client|id": client_id,
    "client|setname": set_name,
    "client|getname": get_name,
    "client|setinfo": set_info,
    "client|info": client_info,
    "client|list": client_list,
    "client|kill": kill,
    "client|no-evict": accept_on_off,
    "client|no-touch": accept_on_off,
    "client|reply": reply,
    "client|unpause": unpause,
    "client|getredir": get_redirect,
    "client|trackinginfo": tracking_info,
    "client|help": help_,
}
