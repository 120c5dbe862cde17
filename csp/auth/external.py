"""Asks the backends whether passwords are right that directories keep, and never waits for one.

1. Each directory has a line of its own, in which addresses have their turns and guessers a pace
   (line.py): one that is slow, or away, holds up nobody but those who are kept there.
2. Equal questions that wait at the same time are one. Nothing is remembered: the directory decides
   each sign-in, so what is disabled there is out here.
3. A refusal is final and comes with the directory's words. Only where no server of a directory
   answers the next module that `library` names is asked; where none is left, nobody gets in.
4. A backend that ended meanwhile is asked again, BROKEN_MAX times, and one that is not there is
   waited for, AWAY_MAX times: a question changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from csp.auth.accounts import Account
from csp.auth.directory_alarms import DirectoryAlarms
from csp.auth.line import Line
from csp.auth.remembered import Remembered
from csp.auth.verifier import BUSY, SHARED_MAX
from csp.errors import Busy, CspError, WrongPass
from csp.external.backend import Kind, Verdict
from csp.external.directories import QUESTIONS_MAX
from csp.external.questions import ASK, Question, read_verdict
from csp.external.settings import Settings, digest_of
from csp.observe.clock import monotonic_ms
from csp.process.channel.asking import Absent, Asker, Broken, Done, Fail
from csp.process.channel.asking import Answer as Reply
from csp.process.roles import LDAP, RADIUS, Role

ROLE_OF: Final[dict[str, Role]] = {"gauth_ldap": LDAP, "gauth_radius": RADIUS}
WITHIN_MS: Final = 30_000  # for all of a sign-in; a connection has 40 s to sign in
BROKEN_MAX: Final = 2
AWAY_MS: Final = 50  # until a backend that is not there is asked again
AWAY_MAX: Final = 100  # 5 s: a restarted one serves within one
ROOMS_MAX: Final = 1_000  # directories with a line

EMPTY = WrongPass("an empty password is not passed on to a directory").line
AWAY = Busy("can't sign in now: no server of the directory answers").line
LATE = Busy("can't sign in now: too many sign-ins wait for the directory").line
ENDED = Busy("can't sign in now: the process that asks the directory is being restarted").line

Answer = Callable[[Account | str], None]  # the account, or the text of a refusal


@dataclass(eq=False)
class SignInTask:
    """One password that directories are asked about, and who waits for what they say."""

    digest: bytes
    address: str
    account: Account
    password: bytes = field(repr=False)
    until_ms: int
    answers: list[Answer] = field(default_factory=list)
    asked: int = 0  # which of the account's directories
    broken: int = 0  # how often the backend ended meanwhile
    away: int = 0  # how often it was not there


class Room:
    """One directory: who waits for it, and how much it is asked now."""

    def __init__(self, settings: Settings, data: bytes) -> None:
        self.name = settings.name
        self.role = ROLE_OF[settings.module]
        self.data = data
        self.line: Line[SignInTask] = Line()
        self.under_way = 0

    @property
    def is_idle(self) -> bool:
        """Whether it may be forgotten."""
        return not self.under_way and not len(self.line)


class External:
    """All sign-ins under way that are not csp's own to decide."""

    def __init__(
        self,
        asker: Callable[[Role], Asker],
        later: Callable[[int, Callable[[], None]], object],
        count: Callable[[str], None],
        alarms: DirectoryAlarms,
        now_ms: Callable[[], int] = monotonic_ms,
    ) -> None:
        """`asker` gives the channel to a backend's process; `later` calls back after so many ms."""
        self._asker = asker
        self._later = later
        self._count = count
        self._alarms = alarms
        self._now_ms = now_ms
        self._digests = Remembered()  # only for its keyed digests: nothing is kept in it
        self._rooms: dict[bytes, Room] = {}
        self._by_digest: dict[bytes, SignInTask] = {}

    def verify(
        self, user: bytes, password: bytes, account: Account, answer: Answer, address: str
    ) -> None:
        """Answers now or later, once."""
        if not password.strip() or b"\0" in password:
            self._refuse(answer, EMPTY)
            return
        if not account.sign_in.directories:
            name = "[authentication]"
            verdict = Verdict(Kind.UNUSABLE, account.sign_in.refusal)
            self._alarms.take(name, verdict, self._now_ms())
            self._refuse(answer, unusable(verdict.words))
            return
        settings = b"".join(digest_of(one.to_json()) for one in account.sign_in.directories)
        digest = self._digests.digest(user + settings, password, account.dbid, account.revision)
        task = self._by_digest.get(digest)
        if task is None:
            until_ms = self._now_ms() + WITHIN_MS
            task = SignInTask(digest, address, account, password, until_ms, [answer])
            self._by_digest[digest] = task
            self._line_up(task)
        elif len(task.answers) >= SHARED_MAX:
            self._refuse(answer, BUSY)
        else:
            task.answers.append(answer)
        self.work_off()

    def work_off(self) -> None:
        """Asks what may be asked now; called in each turn, for those that wait at a pace."""
        now_ms = self._now_ms()
        self._alarms.tick(now_ms)
        for room in list(self._rooms.values()):
            while room.under_way < QUESTIONS_MAX:
                task = room.line.take(now_ms)
                if task is None:
                    break
                if now_ms >= task.until_ms:
                    self._end(task, LATE)
                else:
                    self._ask(room, task)

    def _line_up(self, task: SignInTask) -> None:
        """Behind those of its address who wait for the directory that is its next."""
        settings = task.account.sign_in.directories[task.asked]
        room = self._room(settings)
        if room is None or not room.line.add(task.address, task, self._now_ms()):
            self._end(task, BUSY)

    def _room(self, settings: Settings) -> Room | None:
        data = settings.to_json()
        digest = digest_of(data)
        room = self._rooms.get(digest)
        if room is None:
            if len(self._rooms) >= ROOMS_MAX:
                self._rooms = {key: one for key, one in self._rooms.items() if not one.is_idle}
            if len(self._rooms) >= ROOMS_MAX:
                return None
            room = self._rooms[digest] = Room(settings, data)
        return room

    def _ask(self, room: Room, task: SignInTask) -> None:
        room.under_way += 1
        within_ms = task.until_ms - self._now_ms()
        login = task.account.sign_in.login
        words = Question(b"", room.data, login, task.password, within_ms).words()

        def answered(reply: Reply) -> None:
            room.under_way -= 1
            self._answered(room, task, reply)

        self._asker(room.role).ask(ASK.decode(), *words, then=answered)

    def _answered(self, room: Room, task: SignInTask, reply: Reply) -> None:
        match reply:
            case Done(parts):
                self._decided(room, task, _verdict(parts))
            case Broken(is_late=False) if task.broken < BROKEN_MAX:
                task.broken += 1
                self._ask(room, task)
            case Absent(is_away=True) if task.away < AWAY_MAX:
                task.away += 1
                self._later(AWAY_MS, lambda: self._ask(room, task))
            case Fail(text):
                self._end(task, text)
            case Broken() | Absent():
                self._end(task, ENDED)

    def _decided(self, room: Room, task: SignInTask, verdict: Verdict) -> None:
        self._count("directory_answers")
        self._alarms.take(room.name, verdict, self._now_ms())
        match verdict.kind:
            case Kind.ACCEPTED:
                del self._by_digest[task.digest]
                for answer in task.answers:
                    answer(task.account)
            case Kind.REFUSED:
                words = verdict.words or "the directory refuses the password"
                self._end(task, WrongPass(f"the directory says: {words}").line)
                for dropped in room.line.failed(task.address, self._now_ms()):
                    self._end(dropped, BUSY)
            case Kind.UNUSABLE:
                self._end(task, unusable(verdict.words))
            case Kind.AWAY:
                task.asked += 1
                if task.asked < len(task.account.sign_in.directories):
                    self._line_up(task)
                else:
                    self._end(task, AWAY)

    def _end(self, task: SignInTask, refusal: str) -> None:
        del self._by_digest[task.digest]
        for answer in task.answers:
            self._refuse(answer, refusal)

    def _refuse(self, answer: Answer, refusal: str) -> None:
        self._count("refused")
        answer(refusal)


def _verdict(parts: list[bytes]) -> Verdict:
    try:
        return read_verdict(parts)
    except (ValueError, TypeError, AttributeError) as error:
        return Verdict(Kind.UNUSABLE, f"a backend's answer can't be read: {error}")


def unusable(words: str) -> str:
    """What a user hears where external sign-in can't work: who can mend it reads it here too."""
    return CspError(f"external sign-in does not work here: {words}").line
