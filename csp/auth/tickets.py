"""Answers whose a client's Kerberos ticket is, and lets in whom his account allows.

1. This is for the whole server and beside everything else: whatever `library` names, for whom a
   directory or csp keeps the password. Only the server's own Application says which service it is.
2. The backend decides on the ticket. Nothing is remembered of it here, and nothing is asked twice:
   the second time it would be a replay.
3. Addresses have their turns, and one that sends wrong tickets a pace (line.py): a flood of them
   holds up nobody else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from csp.auth.directory_alarms import DirectoryAlarms
from csp.auth.external import ENDED, unusable
from csp.auth.line import Line
from csp.auth.verifier import BUSY
from csp.errors import WrongPass
from csp.external.backend import Kind, Verdict
from csp.external.questions import ASK, Question, read_verdict
from csp.external.settings import BESIDES, NO_SEALER, Level, Levels, Settings
from csp.observe.clock import monotonic_ms
from csp.process.channel.asking import Absent, Asker, Broken, Done, Fail
from csp.process.channel.asking import Answer as Reply
from csp.process.roles import KERBEROS, Role
from csp.tables.options import OPTIONS

WITHIN_MS: Final = 5_000  # a ticket takes a millisecond: the service's keys are in a file
UNDER_WAY_MAX: Final = 16
NOT_HERE: Final = unusable(f"Kerberos is not set up: see section [{BESIDES}]")


@dataclass(frozen=True)
class Ticket:
    """What a good ticket says."""

    principal: str
    digest: str  # by which other servers know it again
    reply: str = field(repr=False)  # the server's token, base64


Answer = Callable[[Ticket | str], None]  # or the text of a refusal


@dataclass(eq=False)
class Waiting:
    """A token that waits, or is asked about."""

    token: bytes = field(repr=False)
    address: str
    until_ms: int
    answer: Answer


class Tickets:
    """The tokens that are not decided yet."""

    def __init__(
        self,
        asker: Callable[[Role], Asker],
        alarms: DirectoryAlarms,
        now_ms: Callable[[], int] = monotonic_ms,
    ) -> None:
        """`asker` gives the channel to the backend's process."""
        self._asker = asker
        self._alarms = alarms
        self._now_ms = now_ms
        self._settings: Settings | None = None
        self._line: Line[Waiting] = Line()
        self._under_way = 0

    def take_server(self, server: Level) -> None:
        """What the server's Application states holds at once."""
        self._settings = settings_of(server)

    def ask(self, token: bytes, answer: Answer, address: str) -> None:
        """Answers now or later, once."""
        now_ms = self._now_ms()
        if self._settings is None:
            answer(NOT_HERE)
        elif not self._line.add(
            address, Waiting(token, address, now_ms + WITHIN_MS, answer), now_ms
        ):
            answer(BUSY)
        self.work_off()

    def work_off(self) -> None:
        """Asks what may be asked now; called in each turn, for those that wait at a pace."""
        now_ms = self._now_ms()
        while self._under_way < UNDER_WAY_MAX:
            question = self._line.take(now_ms)
            if question is None:
                return
            if now_ms >= question.until_ms or self._settings is None:
                question.answer(BUSY)
            else:
                self._ask(question, self._settings)

    def _ask(self, question: Waiting, settings: Settings) -> None:
        self._under_way += 1
        within_ms = question.until_ms - self._now_ms()
        words = Question(b"", settings.to_json(), "", question.token, within_ms).words()

        def answered(reply: Reply) -> None:
            self._under_way -= 1
            match reply:
                case Done(parts):
                    self._decided(question, settings, read_verdict(parts))
                case Fail(text):
                    question.answer(text)
                case Broken() | Absent():
                    question.answer(ENDED)

        self._asker(KERBEROS).ask(ASK.decode(), *words, then=answered)

    def _decided(self, question: Waiting, settings: Settings, verdict: Verdict) -> None:
        self._alarms.take(settings.name, verdict, self._now_ms())
        match verdict.kind:
            case Kind.ACCEPTED:
                facts = verdict.facts
                question.answer(Ticket(facts["principal"], facts["digest"], facts["reply"]))
            case Kind.REFUSED:
                question.answer(WrongPass(f"Kerberos says: {verdict.words}").line)
                for dropped in self._line.failed(question.address, self._now_ms()):
                    dropped.answer(BUSY)
            case Kind.AWAY | Kind.UNUSABLE:
                question.answer(unusable(verdict.words))


def settings_of(server: Level) -> Settings | None:
    """The service that a server's options make it; None where they say nothing of one."""
    levels = Levels({}, None, server, NO_SEALER)
    words = [word.strip() for word in str(levels.value("library") or "").split(",")]
    found = levels.settings(BESIDES)
    if found is None and BESIDES in words:
        defaults = {name: one.default for (of, name), one in OPTIONS.items() if of == BESIDES}
        return Settings(BESIDES, (defaults,))
    return found
