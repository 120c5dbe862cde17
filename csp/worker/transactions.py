"""MULTI, EXEC, DISCARD, WATCH, UNWATCH: commands wait, then run together.

1. The reads of one EXEC are answered at one revision; it is at or after that of its writes.
2. Its writes are one transaction: the writer does all of them at one revision, or none.
3. A command that was refused when it was queued spoils the transaction: EXEC does nothing.
4. A watched object that is at another revision than when it was watched: EXEC does nothing.
"""

from __future__ import annotations

from csp.errors import BadValue, CspError, ExecAbort, TooBig
from csp.model.requests import EXPECT, SKIP
from csp.model.types import CLASSES, by_id
from csp.resp.encode import OK, QUEUED, error, null_array
from csp.worker import writes
from csp.worker.call import Call, Handler, Queued, State
from csp.worker.ports import Session
from csp.worker.refusal import text_of

COMMANDS_MAX = 10_000
BYTES_MAX = 64 * 1024 * 1024


def multi(call: Call) -> bytes:
    """MULTI"""
    if call.session.in_multi:
        raise CspError("MULTI calls can not be nested")
    call.session.in_multi = True
    return OK


def queue(call: Call) -> bytes:
    """Any other command between MULTI and EXEC."""
    state = call.state
    size = sum(map(len, call.args))
    if len(state.queued) >= COMMANDS_MAX:
        raise TooBig(f"a transaction may have {COMMANDS_MAX} commands")
    if state.queued_bytes + size > BYTES_MAX:
        raise TooBig(f"a transaction may have {BYTES_MAX} bytes")
    if not state.spoiled:
        # What will not run needs no memory.
        state.queued.append(Queued(call.name, call.args))
        state.queued_bytes += size
    return QUEUED


def discard(call: Call) -> bytes:
    """DISCARD"""
    if not call.session.in_multi:
        raise CspError("DISCARD without MULTI")
    end(call.session, call.state)
    return OK


def watch(call: Call) -> bytes:
    """WATCH key…"""
    if call.session.in_multi:
        raise CspError("WATCH inside MULTI is not allowed")
    for key in call.args[1:]:
        named = object_of(key)
        if named is not None and named not in call.state.watched:
            call.state.watched[named] = _revision_of(call, *named)
    return OK


def unwatch(call: Call) -> bytes:
    """UNWATCH"""
    call.state.watched.clear()
    return OK


def exec_(call: Call) -> bytes | None:
    """EXEC"""
    if not call.session.in_multi:
        raise CspError("EXEC without MULTI")
    state = call.state
    queued, spoiled, watched = state.queued, state.spoiled, dict(state.watched)
    end(call.session, call.state)
    if spoiled:
        raise ExecAbort("Transaction discarded because of previous errors.")
    if any(_revision_of(call, *named) != seen for named, seen in watched.items()):
        return null_array(call.proto)
    parsed = _parse_writes(call, queued)
    if not parsed:
        return _answer(call, queued, {})
    ids = {one.write_id for one in parsed.values() if one.write_id}
    if len(ids) > 1:
        raise ExecAbort(BadValue("the commands of one transaction have different IDs").line)

    def done(at: int, results: list[bytes]) -> bytes | None:
        # The reads are of this turn: at or after what was just written.
        known = {n: writes.result_of(one, at, results[n]) for n, one in parsed.items()}
        return _answer(call, queued, known)

    # Reads keep their numbers; the writer looks at watched objects where nothing comes between.
    commands = [parsed[n].args if n in parsed else [SKIP] for n in range(len(queued))]
    commands += [_expectation(named, seen) for named, seen in watched.items()]
    writes.send(call, "exec", next(iter(ids), ""), commands, done)
    return None


def _expectation(named: tuple[int, int], revision: int) -> list[bytes]:
    class_id, dbid = named
    return [EXPECT, by_id[class_id].name.encode(), b"%d" % dbid, b"%d" % revision]


def _parse_writes(call: Call, queued: list[Queued]) -> dict[int, writes.Write]:
    found: dict[int, writes.Write] = {}
    for index, one in enumerate(queued):
        if one.name not in writes.NAMES:
            continue
        try:
            writes.check_taken(call.lane)
            found[index] = writes.parse_write(one.name, one.args)
        except CspError as refusal:
            raise ExecAbort(f"{refusal.WORD} command {index + 1}: {refusal.text}") from None
    return found


def _answer(call: Call, queued: list[Queued], known: dict[int, bytes]) -> bytes | None:
    """All replies, now or later; `known` are those of the writes, by their place."""

    def step(index: int, late: bool) -> bytes | list[bytes] | None:
        if index == len(queued):
            call.lane.answered(call.conn)
            return b""
        if index in known:
            return known[index]
        return None if late else _run(call, queued[index])

    return call.lane.loop.execute_all(call.conn, len(queued), step)


def _run(call: Call, one: Queued) -> bytes | list[bytes]:
    """The reply; the words of a command that the loop has."""
    handler = call.lane.handler(one.name)
    if handler is None:
        return one.args
    _, refused = call.lane.loop.judge(call.conn, one.args)  # who asks may be another by now
    if refused:
        return refused
    try:
        reply = handler(Call(call.lane, call.conn, call.session, call.state, one.name, one.args))
    except CspError as refusal:
        return error(refusal.line)
    if reply is None:
        raise RuntimeError(f"{one.name} was queued, but answers later")
    return reply


def object_of(key: bytes) -> tuple[int, int] | None:
    """Class number and DBID of `Class:DBID`; None for what can be no object's key."""
    name, colon, digits = key.partition(b":")
    known = CLASSES.get(text_of(name))
    if known is None or not colon or not digits.isdigit():
        return None
    dbid = int(digits[-20:]) if digits.lstrip(b"0")[10:] == b"" else 0
    return (known.id, dbid) if 0 < dbid < 2**32 else None


def _revision_of(call: Call, class_id: int, dbid: int) -> int:
    """The object's revision at what is pinned; 0 where it is absent."""
    return call.reader.revision_of(class_id, dbid)


def end(session: Session, state: State) -> None:
    """Forgets what was queued and watched."""
    session.in_multi = False
    state.queued, state.queued_bytes, state.spoiled = [], 0, False
    state.watched.clear()


HANDLERS: dict[str, Handler] = {
    "multi": multi,
    "exec": exec_,
    "discard": discard,
    "watch": watch,
    "unwatch": unwatch,
}
