"""Asks the master on behalf of this proxy's clients: all at once, each answer by its number.

1. A question is answered once: by the master, or when the link is lost.  A write whose last piece
   was not handed to the link never happens; of one that was handed over the outcome is unknown.
2. Nothing is asked again: whether a write is tried once more is its author's to decide.
3. What is large goes in pieces, between which others go; it holds up none of them.
4. While an answer is awaited the master is asked for a sign of life; silence ends the link.
5. Where the session moves to another server, what is asked meanwhile waits for that.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import TypeVar

from csp.errors import Busy, CspError, MasterDown, UnknownOutcome, from_line
from csp.feed.link import Link, LinkState
from csp.model.feed import REASON_CHARACTERS_MAX, REVISION_MAX, FeedError
from csp.model.forward import (
    ACCOUNTS,
    DONE,
    END,
    ENTRIES,
    FAIL,
    FORWARDED,
    HEAD,
    HISTORY,
    MORE,
    PAIR,
    PIECE_BYTES,
    SESSIONLOG,
    SESSIONS,
    TICKET,
    WRITE,
)
from csp.model.history import HistoryPage, HistoryQuestion
from csp.model.pairs import PairRow
from csp.model.principal import words_of
from csp.model.requests import WriteOutcome
from csp.model.sessions import SessionsPage, SessionsQuestion
from csp.observe.events import log_event
from csp.process.origin import EntriesPage, Later
from csp.resp import Push, Value, request

log = logging.getLogger("csp.feed")

PING_MS = 1_000  # between two signs of life that are asked for
SILENCE_MS_MAX = 10_000
HISTORIES_MAX = 64  # questions about the history under way; operators ask them

Answer = list[bytes] | CspError
Then = Callable[[Answer], None]
T = TypeVar("T")


@dataclass(eq=False)
class Question:
    """One that the master has not answered yet."""

    then: Then
    is_write: bool
    asked_ms: int
    rest: memoryview  # what was not handed to the link yet


class Forwards:
    """The questions of one proxy."""

    def __init__(self, master: str, monotonic_ms: Callable[[], int]) -> None:
        self._master = master
        self._monotonic_ms = monotonic_ms
        self._link: Link | None = None
        self._why_away = "not tried yet"
        self._questions: dict[int, Question] = {}
        self._large: deque[int] = deque()  # those of which pieces are left, next first
        self._number = 0
        self._pinged_ms = 0
        self._heads: list[Later[int]] = []  # that wait for the answer before theirs
        self._is_asking_head = False
        self._histories = 0
        self._holds = False

    def use(self, link: Link) -> None:
        """The session is there: questions go over it from now on."""
        self._link = link
        link.on_drained = self._send
        self.go_on()

    def hold(self) -> bool:
        """What is asked from now on waits; whether all that was asked before is answered."""
        if not self._holds and self._large:
            return False  # what was begun goes on
        self._holds = True
        return all(one.rest for one in self._questions.values())

    def go_on(self) -> None:
        """Sends what waits."""
        self._holds = False
        self._send()

    def lost(self, reason: str) -> None:
        """The link is lost, and with it the answers."""
        self._link = None
        self._holds = False
        self._why_away = reason
        questions, self._questions = self._questions, {}
        self._large.clear()
        for one in questions.values():
            if one.is_write and not one.rest:
                text = f"the write was sent to the master {self._master}, but the link was lost"
                one.then(UnknownOutcome(f"{text}: {reason}"))
            else:
                one.then(self._away())

    # What is asked.

    def write(
        self, messages: Sequence[list[bytes]], why_no_writes: CspError | None
    ) -> list[Later[WriteOutcome]]:
        """WRITE and OUTCOME messages of workers, under the identities of their authors."""
        found = [self._write(message, why_no_writes) for message in messages]
        self._send()
        return found

    def _write(self, message: list[bytes], why_no_writes: CspError | None) -> Later[WriteOutcome]:
        later: Later[WriteOutcome] = Later()
        verb = message[0]

        def answered(answer: Answer) -> None:
            later.answer(_outcome(verb, answer))

        is_write = verb == WRITE
        try:
            if is_write and why_no_writes is not None:
                raise why_no_writes
            _, _, asks, *words = message
            self._ask(verb, words_of(asks), *words, then=answered, is_write=is_write)
        except CspError as refusal:
            later.answer(WriteOutcome(0, (), refusal))
        except (ValueError, TypeError, AttributeError) as error:  # of this message alone
            told = CspError(f"the write can't be read: {error}")
            later.answer(WriteOutcome(0, (), told))
        return later

    def head(self) -> Later[int]:
        """The newest revision of the root, asked for now."""
        later: Later[int] = Later()
        self._heads.append(later)
        if not self._is_asking_head:
            self._ask_head()
        return later

    def _ask_head(self) -> None:
        """One question for all who asked since the last one was sent."""
        asked, self._heads = self._heads, []

        def answered(answer: Answer) -> None:
            self._is_asking_head = False
            for later in asked:
                later.answer(_revision(answer))
            if self._heads and not self._is_asking_head:
                self._ask_head()

        self._is_asking_head = True
        self._ask_or_fail(HEAD, then=answered)
        self._send()

    def history(self, question: HistoryQuestion) -> Later[HistoryPage]:
        """A page of change records."""
        if self._histories >= HISTORIES_MAX:
            raise Busy(f"{HISTORIES_MAX} questions about the history wait already")
        later = self._asked(_page, HISTORY, question.as_json())
        self._histories += 1
        later.then(self._has_history)
        return later

    def _has_history(self, _: HistoryPage | Exception) -> None:
        self._histories -= 1

    def note_sessions(self, records: bytes) -> None:
        """A batch of records of sessions; without a link it is lost, which is said."""

        def answered(answer: Answer) -> None:
            if isinstance(answer, CspError):
                log_event(log, "22138", count="a batch", what="sessions", reason=answer.text)

        self._ask_or_fail(SESSIONS, records, then=answered)
        self._send()

    def note_accounts(self, batch: bytes, then: Callable[[CspError | None], None]) -> None:
        """A batch of notes of accounts; `then` hears that the master has it, or why not."""
        self._ask_or_fail(
            *(ACCOUNTS, batch),
            then=lambda answer: then(answer if isinstance(answer, CspError) else None),
        )
        self._send()

    def sessions(self, question: SessionsQuestion) -> Later[SessionsPage]:
        """A page of records of sessions."""
        return self._asked(_sessions, SESSIONLOG, question.as_json())

    def entries(self, first: int) -> Later[EntriesPage]:
        """A page of the log from a revision on."""
        return self._asked(_entries, ENTRIES, b"%d" % first)

    def use_ticket(self, digest: str) -> Later[bool]:
        """Whether a Kerberos ticket is used for the first time."""
        return self._asked(_is_new, TICKET, digest.encode())

    def take_row(self, row: PairRow) -> Later[int]:
        """Asks that this be the row of a pair; its revision."""
        return self._asked(_revision, PAIR, *(b"%d" % one for one in astuple(row)))

    def _asked(self, read: Callable[[Answer], T | CspError], *words: bytes) -> Later[T]:
        """Asks at once; what `read` makes of the answer.  Raises MasterDown without a link."""
        later: Later[T] = Later()
        self._ask(*words, then=lambda answer: later.answer(read(answer)))
        self._send()
        return later

    def _ask_or_fail(self, *words: bytes, then: Then) -> None:
        try:
            self._ask(*words, then=then)
        except MasterDown as away:
            then(away)

    def _ask(self, *words: bytes, then: Then, is_write: bool = False) -> None:
        """Says it to the link, which `_send` lets go; raises MasterDown where there is none."""
        link = self._link
        if link is None or link.state is not LinkState.READY:
            raise self._away()
        self._number += 1
        rest = memoryview(request(*words))
        question = Question(then, is_write, self._monotonic_ms(), rest)
        self._questions[self._number] = question
        if len(rest) <= PIECE_BYTES and not self._holds:
            self._hand_over(link, self._number, question)
        else:
            self._large.append(self._number)

    def _away(self) -> MasterDown:
        return MasterDown(f"nothing was done: the master {self._master} is away: {self._why_away}")

    # What is sent.

    def _send(self) -> None:
        """Sends what was asked, then pieces of each large question in turn, while they are taken.

        The link may end at any of it.
        """
        if self._link is not None:
            self._link.send()
        if self._holds:
            return
        while self._large and self._link is not None and self._link.unsent_bytes < PIECE_BYTES:
            number = self._large.popleft()
            question = self._questions[number]
            if len(question.rest) > PIECE_BYTES:
                self._large.append(number)
            self._hand_over(self._link, number, question)
            self._link.send()

    def _hand_over(self, link: Link, number: int, question: Question) -> None:
        piece, question.rest = question.rest[:PIECE_BYTES], question.rest[PIECE_BYTES:]
        link.add("CFG.FORWARD", number, MORE if question.rest else END, bytes(piece))

    def tick(self, now_ms: int) -> str:
        """Asks for a sign of life; why the link is to be given up, empty while it is not."""
        link = self._link
        if link is None or not self._questions or link.state is not LinkState.READY:
            return ""
        oldest_ms = next(iter(self._questions.values())).asked_ms
        if now_ms - max(oldest_ms, link.heard_ms) > SILENCE_MS_MAX:
            return f"no answer for {SILENCE_MS_MAX} ms"
        if now_ms - max(self._pinged_ms, oldest_ms) >= PING_MS:
            self._pinged_ms = now_ms
            link.command("PING", answer=lambda _: None)
        return ""

    # What is answered.

    def take(self, value: Value) -> None:
        """Takes a push of the session; raises FeedError for what is none of a forward's."""
        words = (
            [word for word in value if isinstance(word, bytes)] if isinstance(value, Push) else []
        )
        if len(words) < 3 or words[0] != FORWARDED or not words[1].isdigit() or len(words[1]) > 20:
            raise FeedError(f"an answer that nobody asked for: {value!r:.80}")
        question = self._questions.pop(int(words[1]), None)
        if question is None or question.rest:
            raise FeedError(f"an answer to the question {int(words[1])}, which was not asked")
        if words[2] == DONE:
            question.then(words[3:])
        elif words[2] == FAIL and len(words) == 4:
            question.then(from_line(words[3].decode("utf-8", "replace")))
        else:
            question.then(_nonsense(words))


def _outcome(verb: bytes, answer: Answer) -> WriteOutcome:
    if isinstance(answer, CspError):
        return WriteOutcome(0, (), answer)
    if not answer or not _is_revision(answer[0]):
        return WriteOutcome(0, (), _nonsense(answer, UnknownOutcome))
    if verb != WRITE:
        text = b" ".join(answer[1:]).decode("utf-8", "replace")
        return WriteOutcome(0, text=text or "unknown")
    results = tuple(int(word) if word.isdigit() else 0 for word in answer[1:])
    return WriteOutcome(int(answer[0]), results)


def _revision(answer: Answer) -> int | CspError:
    if isinstance(answer, CspError):
        return answer
    return int(answer[0]) if answer and _is_revision(answer[0]) else _nonsense(answer)


def _page(answer: Answer) -> HistoryPage | CspError:
    match answer:
        case CspError():
            return answer
        case [revision, following, *records] if _is_revision(revision) and _is_revision(following):
            return HistoryPage(int(revision), int(following), records)
    return _nonsense(answer)


def _entries(answer: Answer) -> EntriesPage | CspError:
    match answer:
        case CspError():
            return answer
        case [oldest, *entries] if _is_revision(oldest):
            return EntriesPage(int(oldest), entries)
    return _nonsense(answer)


def _sessions(answer: Answer) -> SessionsPage | CspError:
    match answer:
        case CspError():
            return answer
        case [following, *records] if _is_revision(following):
            return SessionsPage(int(following), records)
    return _nonsense(answer)


def _is_new(answer: Answer) -> bool | CspError:
    if isinstance(answer, CspError):
        return answer
    return answer == [b"1"] if answer in ([b"0"], [b"1"]) else _nonsense(answer)


def _is_revision(word: bytes) -> bool:
    return word.isdigit() and len(word) <= 20 and int(word) <= REVISION_MAX


def _nonsense(answer: object, kind: type[CspError] = MasterDown) -> CspError:
    return kind(f"the master's answer can't be read: {answer!r}"[:REASON_CHARACTERS_MAX])
