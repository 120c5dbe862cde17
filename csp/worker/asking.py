"""Answers a command with what another process says of it: what most such questions share."""

from __future__ import annotations

from collections.abc import Callable

from csp.errors import MasterDown
from csp.process.channel.asking import Absent, Answer, Asker, Broken, Done, Fail
from csp.resp.encode import Argument, error
from csp.worker.call import Call

MASTER_AWAY = f"{MasterDown.WORD} "


def ask_writer(
    call: Call,
    verb: str,
    *arguments: Argument,
    done: Callable[[list[bytes]], bytes | None],
    away: bytes | None = None,
    within_ms: int | None = None,
) -> None:
    """Asks the writer: see `ask`."""
    ask(call, call.lane.writer, verb, *arguments, done=done, away=away, within_ms=within_ms)


def ask(
    call: Call,
    asker: Asker,
    verb: str,
    *arguments: Argument,
    done: Callable[[list[bytes]], bytes | None],
    away: bytes | None = None,
    within_ms: int | None = None,
) -> None:
    """Asks; replies with what `done` makes of the answer's parts (None: it replies later itself).

    A refusal is passed on; `away` is the reply where the process, or the master that it would ask,
    is not there or did not answer: MASTERDOWN and why if there is none. `within_ms` is for what
    takes long.
    """
    lane, conn = call.lane, call.conn

    def answered(answer: Answer) -> None:
        match answer:
            case Done(parts):
                reply = done(parts)
                if reply is not None:
                    lane.finish(conn, reply)
            case Fail(text) if away is not None and text.startswith(MASTER_AWAY):
                lane.finish(conn, away)
            case Fail(text):
                lane.finish(conn, error(text))
            case Absent(why) | Broken(why):
                lane.finish(conn, away if away is not None else error(MasterDown(why).line))

    asker.ask(verb, *arguments, then=answered, within_ms=within_ms)
