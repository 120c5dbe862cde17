"""CLIENT KILL: closes the connections that meet conditions, of whichever worker.

1. A connection is closed by the worker that has it: the others are asked (mailbox.py), and what
   they closed counts until that question's time is over.
2. Who asks for its own end is answered first.
"""

from __future__ import annotations

from collections.abc import Callable

from csp.errors import CspError
from csp.process.application import dbid_of
from csp.resp.encode import OK, error, integer
from csp.worker import mailbox
from csp.worker.call import Call, Handler, Lane, State
from csp.worker.clients import Row, Test, go_through, laddr_of, of_type
from csp.worker.refusal import SYNTAX, number, text_of
from csp.worker.server_info import ServerInfo

KILL = b"KILL"  # the mailbox's verb


def kill(call: Call) -> None:
    """CLIENT KILL address | [ID i] [ADDR a] [LADDR a] [USER u] [TYPE t] [MAXAGE s] [SKIPME y]"""
    lane, conn, options = call.lane, call.conn, call.args[2:]
    if len(options) == 1:
        words, skip_me = [b"ADDR", options[0]], False
    else:
        words, skip_me = _conditions(call, options)
    tests = _tests(words, lane.info)

    me: list[int] = []

    def count(closed: int) -> None:
        if len(options) != 1:
            lane.finish(conn, integer(closed))
        elif closed:
            lane.finish(conn, OK)
        else:
            lane.finish(conn, error("ERR No such client"))
        for one in me:
            _kill(lane, one)  # after it has its answer

    def found_here(found: list[int]) -> None:
        me.extend(one for one in found if one == conn and not skip_me)
        others = [one for one in found if one != conn]
        for one in others:
            _kill(lane, one)
        here = len(others) + len(me)
        try:
            lane.mailbox.ask([KILL, *words], lambda answers: count(here + mailbox.total(answers)))
        except CspError as refusal:
            lane.finish(conn, error(refusal.line))

    find_here(lane, tests, found_here)


def _kill(lane: Lane, conn: int) -> None:
    lane.states.setdefault(conn, State()).why_ending = "CLIENT KILL"
    lane.loop.close(conn)


def kill_for_another(lane: Lane, words: list[bytes], tell: mailbox.Tell) -> None:
    """What another worker's CLIENT KILL closes here."""

    def found_here(found: list[int]) -> None:
        for one in found:
            _kill(lane, one)
        tell(mailbox.count(len(found)))

    find_here(lane, _tests(words, lane.info), found_here)


def find_here(lane: Lane, tests: list[Test], then: Callable[[list[int]], None]) -> None:
    """Gives `then` this worker's connections that pass all tests."""
    found: list[int] = []

    def note(row: Row) -> None:
        if row["slot"] == lane.info.slot and all(test(row) for test in tests):
            found.append(row["conn"])

    go_through(lane, note, lambda: then(found))


def _conditions(call: Call, options: list[bytes]) -> tuple[list[bytes], bool]:
    """The conditions, checked, and whether the connection that asks is left alone."""
    if len(options) % 2 or not options:
        raise CspError(SYNTAX)
    words: list[bytes] = []
    skip_me = True
    for option, value in zip(options[::2], options[1::2], strict=True):
        if option.lower() == b"skipme":
            if value.lower() not in (b"yes", b"no"):
                raise CspError(SYNTAX)
            skip_me = value.lower() == b"yes"
            continue
        if option.lower() == b"user" and not _is_user(call, value):
            raise CspError(f"No such user '{text_of(value)}'")
        words += [option, value]
    return words, skip_me


def _is_user(call: Call, name: bytes) -> bool:
    return bool(dbid_of(call.reader, "CfgPerson", "user_name", name))


def _tests(words: list[bytes], info: ServerInfo) -> list[Test]:
    pairs = zip(words[::2], words[1::2], strict=True)
    return [_test(option.lower(), value, info) for option, value in pairs]


def _test(option: bytes, value: bytes, info: ServerInfo) -> Test:
    text = text_of(value)
    if option == b"id":
        wanted = number(value, "client-id should be greater than 0")
        if wanted <= 0:
            raise CspError("client-id should be greater than 0")
        return lambda row: bool(row["id"] == wanted)
    if option == b"addr":
        return lambda row: row.get("address") == text
    if option == b"laddr":
        return lambda row: text == laddr_of(row, info)
    if option == b"user":
        return lambda row: row.get("user") == text
    if option == b"type":
        return of_type(value)
    if option == b"maxage":
        seconds = number(value, "maxage is not an integer or out of range")
        if seconds <= 0:
            raise CspError("maxage should be greater than 0")
        return lambda row: int(row.get("age_ms", 0)) // 1000 >= seconds
    raise CspError(SYNTAX)


HANDLERS: dict[str, Handler] = {"client|kill": kill}
