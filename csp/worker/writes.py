"""Forwards writes to the writer, and answers their author when this server has published them.

1. What is checked here is the shape of a command; everything about objects is the origin's to say.
2. A refusal before the question was sent means that nothing was and nothing will be done.
3. A channel that broke with a write in flight gives UNKNOWNOUTCOME: it may have been done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from csp.errors import BadValue, Busy, MasterDown, ReadOnly, TooBig, UnknownOutcome
from csp.model.principal import Principal, message_of
from csp.model.requests import check_write_id, parse_command, split_options
from csp.model.symbolic import class_named
from csp.process.channel.asking import Absent, Answer, Broken, Done, Fail
from csp.resp.encode import bulk, error, integer, null_array, request
from csp.worker.asking import ask_writer
from csp.worker.call import Call, Handler, Lane
from csp.worker.refusal import text_of
from csp.worker.scoped import text_of_scope

OBJECT_BYTES_MAX = 16 * 1024 * 1024
PUBLISH_WAIT_MS = 10_000  # a writer that took a commit publishes it within a second, or is replaced

# Arguments before the options IF and ID.
_FIXED = {"cfg.create": 3, "cfg.update": 4, "cfg.delete": 3}
_OF_GRANTS = frozenset({"cfg.grant", "cfg.revoke"})
NAMES = frozenset({*_FIXED, *_OF_GRANTS})
_UNKNOWN = f"{UnknownOutcome.WORD} "
_WATCHED = "CONFLICT watched "  # how the master says that EXEC answers null
# What says nothing about the commands of a transaction, or says EXECABORT already.
_NOT_OF_RULES = frozenset(
    {"EXECABORT", "UNKNOWNOUTCOME", "MASTERDOWN", "BUSY", "READONLY", "LOADING"}
)


@dataclass(frozen=True)
class Write:
    """One write command whose shape is right; what it names is the writer's to judge."""

    name: str
    args: list[bytes]
    write_id: str


def parse_write(name: str, args: list[bytes]) -> Write:
    """Checks class, size and options; of grants all that can be checked without looking."""
    if name in _OF_GRANTS:
        _, write_id = parse_command(args)
        return Write(name, args, write_id)
    class_named(text_of(args[1]))
    fixed = _FIXED[name]
    if name != "cfg.delete" and len(args[fixed - 1]) > OBJECT_BYTES_MAX:
        raise TooBig(f"{len(args[fixed - 1])} bytes; an object may have {OBJECT_BYTES_MAX}")
    if_revision, write_id = split_options(args, fixed)
    if name == "cfg.create" and if_revision is not None:
        raise BadValue("CFG.CREATE takes no IF")
    return Write(name, args, write_id)


def write(call: Call) -> None:
    """CFG.CREATE, CFG.UPDATE, CFG.DELETE, CFG.GRANT, CFG.REVOKE outside a transaction."""
    check_taken(call.lane)
    one = parse_write(call.name, call.args)

    def done(revision: int, results: list[bytes]) -> bytes:
        return result_of(one, revision, results[0] if results else b"")

    send(call, "one", one.write_id, [one.args], done)


def check_taken(lane: Lane) -> None:
    """Refuses where this server takes no writes now; says who does."""
    if lane.takes_writes:
        return
    if lane.info.mode == "proxy":
        raise ReadOnly(f"{ReadOnly.TEXT[:-1]}: write to its master, {lane.info.upstream}")
    raise ReadOnly()


def result_of(one: Write, revision: int, result: bytes) -> bytes:
    """A create answers revision and DBID, the others the revision."""
    if one.name == "cfg.create":
        return b"*2\r\n" + integer(revision) + integer(int(result))
    return integer(revision)


def send(
    call: Call,
    kind: str,
    write_id: str,
    commands: list[list[bytes]],
    done: Callable[[int, list[bytes]], bytes | None],
) -> None:
    """Asks the writer, then waits for the publication; `done` makes the reply, or has it made."""
    lane = call.lane

    def answered(answer: Answer) -> None:
        if not isinstance(answer, Done):
            changed = isinstance(answer, Fail) and answer.text.startswith(_WATCHED)
            reply = null_array(call.proto) if changed else failure(answer, kind, write_id)
            call.finish(reply)
            return
        revision, results = int(answer.parts[0]), answer.parts[1:]

        def published(reached: bool) -> None:
            if reached:
                lane.loop.tracking.wrote(call.conn, revision)
                reply = done(revision, results)
                if reply is not None:
                    call.finish(reply)
            else:
                told = f"revision {revision} is committed, but not published here yet"
                call.finish(error(UnknownOutcome(f"{told}; {_hint(write_id)}").line))

        lane.publications.wait(revision, PUBLISH_WAIT_MS, published)

    call.state.is_writing = True
    encoded = commands[0] if kind == "one" else [request(*args) for args in commands]
    lane.writer.ask("WRITE", asks_of(call), write_id, kind, *encoded, then=answered)


def asks_of(call: Call, behalf: Principal | None = None) -> bytes:
    """Who writes, and on whose behalf, for the one that decides whether that may be."""
    session, forced = call.session, call.state.forced
    principal = Principal(
        session.account_dbid if forced is None else forced.dbid,
        application=call.state.application,
        address=session.address,
        scope=text_of_scope(call.lane),
    )
    return message_of(principal, is_server=session.server, behalf=behalf)


def failure(answer: Answer, kind: str, write_id: str) -> bytes:
    """The error reply of a write that was not done, or may not have been."""
    match answer:
        case Fail(text) if text.startswith(_UNKNOWN):
            return error(f"{text}; {_hint(write_id)}")
        case Fail(text):
            is_rule = kind == "exec" and text.partition(" ")[0] not in _NOT_OF_RULES
            return error(f"EXECABORT {text}" if is_rule else text)
        case Absent(why, is_away):
            refusal = MasterDown if is_away else Busy
            return error(refusal(f"nothing was done: {why}").line)
        case Broken(text):
            told = f"the write was under way, but {text}; {_hint(write_id)}"
            return error(UnknownOutcome(told).line)
        case Done():
            raise TypeError("a write that was done has no failure")


def _hint(write_id: str) -> str:
    return f"ask CFG.OUTCOME {write_id}" if write_id else "it had no ID to ask for it by"


def outcome(call: Call) -> None:
    """CFG.OUTCOME id"""
    write_id = check_write_id(call.args[1])
    ask_writer(
        *(call, "OUTCOME", asks_of(call), write_id),
        done=lambda parts: bulk(parts[1]),
        away=bulk(b"unknown"),
    )


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(NAMES, write),
    "cfg.outcome": outcome,
}
