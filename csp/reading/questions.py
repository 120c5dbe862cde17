"""Works out the workers' questions to the database, in order, a step a turn.

1. Every question is answered once, and whatever fails in it ends that question alone.
2. What reads everything (an operator's sums) has a line of its own: pages never wait behind it.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from csp.errors import Busy, CspError
from csp.model.history import HistoryPage, HistoryQuestion
from csp.model.sessions import SessionsPage, SessionsQuestion
from csp.observe.faults import told_fault
from csp.process.channel.answering import Message, Peer
from csp.process.origin import EntriesPage, Sums
from csp.process.records import Records

WAITING_MAX = 1_000  # clients ask for pages of the log; one worker waits for as many at most
DBID_MAX = 0xFFFFFFFF
Result = Sums | HistoryPage | EntriesPage | SessionsPage
Steps = Iterator[Result | None]

log = logging.getLogger("csp.reading")


@dataclass(eq=False)
class Question:
    """An answer that is being worked out, or waits for it."""

    peer: Peer
    request: bytes
    begin: Callable[[], Steps]
    steps: Steps | None = None


class Questions:
    """Those that were asked and are not answered."""

    def __init__(self, records: Callable[[], Records], count: Callable[[str], None]) -> None:
        self._records = records
        self._count = count
        self._pages: deque[Question] = deque()
        self._sums: deque[Question] = deque()
        self._verbs: dict[bytes, Callable[[Message], Callable[[], Steps]]] = {
            b"SUMS": self._read_sums,
            b"HISTORY": self._read_history,
            b"ENTRIES": self._read_entries,
            b"SESSIONLOG": self._read_sessions,
        }

    def __len__(self) -> int:
        return len(self._pages) + len(self._sums)

    def take(self, peer: Peer, message: Message) -> None:
        """Puts a question behind the others; refuses what can't be read."""
        verb, request = message[0], message[1]
        known = self._verbs.get(verb)
        if known is None:
            peer.fail(request, f"ERR the reading process knows no {verb[:32]!r}")
        elif len(self) >= WAITING_MAX:
            peer.fail(request, Busy(f"{WAITING_MAX} questions to the database wait already").line)
        else:
            try:
                begin = known(message)
            except CspError as error:
                peer.fail(request, error.line)
            except (ValueError, IndexError, KeyError, TypeError) as error:
                peer.fail(request, f"ERR {verb.decode()} can't be read: {error}")
            else:
                line = self._sums if verb == b"SUMS" else self._pages
                line.append(Question(peer, request, begin))

    def step(self) -> None:
        """Works on the oldest question of each line for one step."""
        for line in (self._pages, self._sums):
            if line and self._step(line[0]):
                line.popleft()
                self._count("database_questions")

    def _step(self, question: Question) -> bool:
        """Whether it was answered."""
        try:
            if question.steps is None:
                question.steps = question.begin()
            result = next(question.steps)
        except CspError as error:
            question.peer.fail(question.request, error.line)
        except StopIteration:
            question.peer.fail(question.request, "ERR it ended without a result")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this question's alone
            told = told_fault(log, "a question to the database", error)
            question.peer.fail(question.request, told.line)
        else:
            if result is None:
                return False
            question.peer.done(question.request, *_words(result))
        return True

    def forget(self, peer: Peer) -> None:
        """A worker went, and its questions with it."""
        for line in (self._pages, self._sums):
            for one in [one for one in line if one.peer is peer]:
                line.remove(one)

    def _read_sums(self, message: Message) -> Callable[[], Steps]:
        """SUMS req DATABASE [class_id low high]."""
        if message[2].upper() != b"DATABASE" or len(message) not in (3, 4, 6):
            raise ValueError("SUMS DATABASE [class [low high]] is meant")
        numbers = [int(word) for word in message[3:]]
        class_id = numbers[0] if numbers else None
        low, high = numbers[1:] if len(numbers) == 3 else (0, DBID_MAX)
        return lambda: self._records().sums(class_id, low, high)

    def _read_history(self, message: Message) -> Callable[[], Steps]:
        """HISTORY req question."""
        question = HistoryQuestion.from_json(message[2])
        return lambda: self._records().history(question)

    def _read_entries(self, message: Message) -> Callable[[], Steps]:
        """ENTRIES req revision."""
        first = int(message[2])
        return lambda: self._records().entries(first)

    def _read_sessions(self, message: Message) -> Callable[[], Steps]:
        """SESSIONLOG req question."""
        question = SessionsQuestion.from_json(message[2])
        return lambda: self._records().sessions(question)


def _words(result: Result) -> tuple[int | str | bytes, ...]:
    match result:
        case HistoryPage() | EntriesPage() | SessionsPage():
            return result.words()
        case _:
            classes = result.classes.items()
            text = json.dumps({name: [count, f"{total:016x}"] for name, (count, total) in classes})
            return result.revision, text
