"""Answers the workers' questions that are not writes; `Answers` lists them.

1. Every question is answered once, though some only in a later turn of the loop, and whatever
   fails in it ends that question alone.
2. What reads much of the database goes in steps between the writes, one question at a time.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from csp.errors import Busy, CspError
from csp.model.history import HistoryPage, HistoryQuestion
from csp.model.sessions import SessionsPage, SessionsQuestion
from csp.observe.clock import wall_ms
from csp.observe.faults import told_fault
from csp.process.channel.answering import Message, Peer
from csp.process.origin import EntriesPage, Later, Origin, Sums
from csp.writer.registry import Registry

WAITING_MAX = 16  # each may read the whole database; operators ask, not clients
DBID_MAX = 0xFFFFFFFF
T = TypeVar("T")
Result = Sums | HistoryPage | EntriesPage | SessionsPage

log = logging.getLogger("csp.writer")


@dataclass
class StepsQuestion:
    """An answer that is being worked out in steps, or waits for it."""

    peer: Peer
    request: bytes
    begin: Callable[[], Iterator[Result | None]]
    steps: Iterator[Result | None] | None = None


class Answers:
    """Knows the answer to each verb."""

    def __init__(self, origin: Origin, registry: Registry, identity: str) -> None:
        self._origin = origin
        self._identity = identity
        self._registry = registry
        self._questions: deque[StepsQuestion] = deque()
        self._verbs: dict[bytes, Callable[[Peer, Message], None]] = {
            b"HEAD": self._head,
            b"CHAIN": self._chain,
            b"REGISTER": self._register,
            b"UNREGISTER": self._unregister,
            b"SUMS": self._ask_sums,
            b"HISTORY": self._history,
            b"ENTRIES": self._entries,
            b"SESSIONS": self._note_sessions,
            b"SESSIONLOG": self._sessions,
        }

    def take(self, peer: Peer, message: Message) -> None:
        """Answers, now or later."""
        verb, request = message[0], message[1]
        known = self._verbs.get(verb)
        if known is None:
            peer.fail(request, f"ERR the writer knows no {verb[:32]!r}")
            return
        try:
            known(peer, message)
        except CspError as error:
            peer.fail(request, error.line)
        except (ValueError, IndexError, KeyError, TypeError) as error:
            peer.fail(request, f"ERR {verb.decode()} can't be read: {error}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this question's alone
            peer.fail(request, told_fault(log, f"a question ({verb.decode()})", error).line)

    @property
    def has_steps(self) -> bool:
        """Whether an answer is being worked out: the loop should not wait."""
        return bool(self._questions)

    def step(self) -> None:
        """Works on the oldest question for one step."""
        if not self._questions:
            return
        question = self._questions[0]
        try:
            if question.steps is None:
                question.steps = iter(question.begin())
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
                return
            question.peer.done(question.request, *_words(result))
        self._questions.popleft()

    def forget(self, peer: Peer) -> None:
        """A worker went: its questions and sessions end."""
        self._questions = deque(one for one in self._questions if one.peer is not peer)
        self._registry.drop_channel(peer.number)

    def _head(self, peer: Peer, message: Message) -> None:
        found = self._origin.head()
        self._when_known(peer, message[1], found, lambda revision: (revision,))

    def _chain(self, peer: Peer, message: Message) -> None:
        """CHAIN req: this server, and those above."""
        peer.done(message[1], self._identity, *self._origin.above())

    def _when_known(
        self,
        peer: Peer,
        request: bytes,
        found: T | Later[T],
        words: Callable[[T], tuple[int | str | bytes, ...]],
    ) -> None:
        def answer(value: T | Exception) -> None:
            if isinstance(value, Exception):
                line = value.line if isinstance(value, CspError) else f"ERR {value}"
                peer.fail(request, line)
            else:
                peer.done(request, *words(value))

        if isinstance(found, Later):
            found.then(answer)
        else:
            answer(found)

    def _register(self, peer: Peer, message: Message) -> None:
        """REGISTER req wish, or a list of wishes none of which can be refused."""
        now_ms = wall_ms()
        wish = json.loads(message[2])
        if isinstance(wish, list):
            for one in wish:
                self._registry.register(one, peer.number, now_ms)
            peer.done(message[1], 0, "{}")
            return
        answer = self._registry.register(wish, peer.number, now_ms)
        peer.done(message[1], 0, json.dumps(answer))

    def _unregister(self, peer: Peer, message: Message) -> None:
        """UNREGISTER req list of sessions."""
        for session in json.loads(message[2]):
            self._registry.unregister(str(session))
        peer.done(message[1], 0, "{}")

    def _ask_sums(self, peer: Peer, message: Message) -> None:
        """SUMS req DATABASE [class_id low high]."""
        if message[2].upper() != b"DATABASE" or len(message) not in (3, 4, 6):
            raise ValueError("SUMS DATABASE [class [low high]] is meant")
        numbers = [int(word) for word in message[3:]]
        class_id = numbers[0] if numbers else None
        low, high = numbers[1:] if len(numbers) == 3 else (0, DBID_MAX)
        self._work_out(peer, message[1], lambda: self._origin.sums(class_id, low, high))

    def _history(self, peer: Peer, message: Message) -> None:
        """HISTORY req question."""
        found = self._origin.history(HistoryQuestion.from_json(message[2]))
        if isinstance(found, Later):
            self._when_known(peer, message[1], found, _page_words)
        else:
            self._work_out(peer, message[1], lambda: found)

    def _note_sessions(self, peer: Peer, message: Message) -> None:
        """SESSIONS req records."""
        self._origin.note_sessions(message[2])
        peer.done(message[1])

    def _sessions(self, peer: Peer, message: Message) -> None:
        """SESSIONLOG req question."""
        found = self._origin.sessions(SessionsQuestion.from_json(message[2]))
        if isinstance(found, Later):
            self._when_known(peer, message[1], found, _session_words)
        else:
            self._work_out(peer, message[1], lambda: found)

    def _entries(self, peer: Peer, message: Message) -> None:
        """ENTRIES req revision."""
        found = self._origin.entries(int(message[2]))
        if isinstance(found, Later):
            self._when_known(peer, message[1], found, _entry_words)
        else:
            self._work_out(peer, message[1], lambda: found)

    def _work_out(
        self,
        peer: Peer,
        request: bytes,
        begin: Callable[[], Iterator[Result | None]],
    ) -> None:
        if len(self._questions) >= WAITING_MAX:
            raise Busy(f"{WAITING_MAX} questions to the database wait already")
        self._questions.append(StepsQuestion(peer, request, begin))


def _words(result: Result) -> tuple[int | str | bytes, ...]:
    match result:
        case HistoryPage():
            return _page_words(result)
        case EntriesPage():
            return _entry_words(result)
        case SessionsPage():
            return _session_words(result)
        case _:
            return _sums_words(result)


def _session_words(page: SessionsPage) -> tuple[int | str | bytes, ...]:
    return (page.following, *page.records)


def _entry_words(page: EntriesPage) -> tuple[int | str | bytes, ...]:
    return (page.oldest, *page.entries)


def _page_words(page: HistoryPage) -> tuple[int | str | bytes, ...]:
    return (page.revision, page.following, *page.records)


def _sums_words(sums: Sums) -> tuple[int | str | bytes, ...]:
    classes = sums.classes.items()
    text = json.dumps({name: [count, f"{total:016x}"] for name, (count, total) in classes})
    return sums.revision, text
