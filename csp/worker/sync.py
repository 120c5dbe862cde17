"""CFG.SYNC: waits until this server has published a revision, or what the master has by then.

1. Without a revision the question is passed up, through proxies too, to whoever has the database:
   what counts is what that one has after the question.
2. The limit holds for the question and the wait together.
"""

from __future__ import annotations

import time

from csp.errors import BadValue, CspError, MasterDown, Stale
from csp.process.channel.asking import Absent, Answer, Broken, Done, Fail
from csp.resp.encode import error, integer
from csp.worker.call import Call, Handler
from csp.worker.refusal import NOT_INTEGER, SYNTAX, number

SYNC_WAIT_MS = 10_000
SYNC_WAIT_MS_MAX = 600_000


class Sync:
    """One connection that waits."""

    def __init__(self, call: Call, timeout_ms: int) -> None:
        self._call = call
        self._timeout_ms = timeout_ms
        self._began = time.monotonic()
        self._is_asking = False

    def ask(self) -> None:
        """Asks what the master has, then waits for it."""
        lane = self._call.lane
        self._is_asking = True
        lane.writer.ask("HEAD", then=self._told)
        if self._is_asking:
            lane.loop.call_later(self._timeout_ms, self._give_up)

    def wait(self, revision: int) -> None:
        """Waits for that one, as long as is left."""
        lane = self._call.lane
        left_ms = max(0, self._timeout_ms - int((time.monotonic() - self._began) * 1000))

        def reached(is_there: bool) -> None:
            published = lane.reader.revision
            if is_there:
                self._call.finish(integer(published))
            else:
                waited = f"is not here after {self._timeout_ms} ms; at {published}"
                self._call.finish(error(Stale(f"revision {revision} {waited}").line))

        lane.publications.wait(revision, left_ms, reached)

    def _told(self, answer: Answer) -> None:
        if not self._is_asking:
            return
        self._is_asking = False
        match answer:
            case Done(parts):
                self.wait(int(parts[0]))
            case Fail(text):
                self._call.finish(error(text))
            case Absent(why) | Broken(why):
                self._call.finish(error(MasterDown(why).line))

    def _give_up(self) -> None:
        if self._is_asking:
            self._is_asking = False
            text = f"the master has not said within {self._timeout_ms} ms what it has"
            self._call.finish(error(Stale(text).line))


def sync(call: Call) -> None:
    """CFG.SYNC [revision] [TIMEOUT ms]"""
    revision, timeout_ms = _options(call.args[1:])
    waiting = Sync(call, timeout_ms)
    if revision is None:
        waiting.ask()
    else:
        waiting.wait(revision)


def _options(args: list[bytes]) -> tuple[int | None, int]:
    revision: int | None = None
    timeout_ms = SYNC_WAIT_MS
    if args and args[0].upper() != b"TIMEOUT":
        revision = number(args[0], NOT_INTEGER)
        if revision < 0:
            raise BadValue(f"{revision} is not a revision")
        args = args[1:]
    if args:
        if len(args) != 2 or args[0].upper() != b"TIMEOUT":
            raise CspError(SYNTAX)
        timeout_ms = number(args[1], "timeout is not an integer or out of range")
        if not 0 <= timeout_ms <= SYNC_WAIT_MS_MAX:
            raise BadValue(f"TIMEOUT is 0 to {SYNC_WAIT_MS_MAX} ms")
    return revision, timeout_ms


HANDLERS: dict[str, Handler] = {"cfg.sync": sync}
