"""The reading process: questions in order, pages beside an operator's sums, faults of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from csp.errors import MasterDown
from csp.model.history import HistoryPage, HistoryQuestion
from csp.model.sessions import SessionsPage, SessionsQuestion
from csp.process.origin import EntriesPage, Sums
from csp.reading.questions import WAITING_MAX, Questions


class FakePeer:
    """A worker that notes what it is answered."""

    def __init__(self) -> None:
        self.answers: list[tuple[Any, ...]] = []

    def done(self, number: bytes, *parts: object) -> None:
        self.answers.append((number, *parts))

    def fail(self, number: bytes, line: str) -> None:
        self.answers.append((number, line))


class FakeRecords:
    """A database whose sums take as many steps as there are classes in it."""

    def __init__(self) -> None:
        self.away = False

    def turn(self) -> None:
        return

    def sessions(self, question: SessionsQuestion) -> Iterator[SessionsPage | None]:
        yield SessionsPage(0, [b"signed in"])

    def rest(self) -> None:
        return

    def close(self) -> None:
        return

    def sums(self, class_id: int | None, low: int, high: int) -> Iterator[Sums | None]:
        for _ in range(5):
            yield None
        yield Sums(10, {class_id or 9: (high - low, 255)})

    def history(self, question: HistoryQuestion) -> Iterator[HistoryPage | None]:
        if self.away:
            raise MasterDown("the database is not there: it went")
        yield HistoryPage(10, 0, [b"one"])

    def entries(self, first: int) -> Iterator[EntriesPage | None]:
        if first == 13:
            raise RuntimeError("a fault that nobody foresaw")
        yield EntriesPage(3, [b"entry %d" % first])


@pytest.fixture
def records() -> FakeRecords:
    return FakeRecords()


@pytest.fixture
def counted() -> list[str]:
    return []


@pytest.fixture
def questions(records: FakeRecords, counted: list[str]) -> Questions:
    return Questions(lambda: records, counted.append)


def take(questions: Questions, peer: FakePeer, *words: object) -> None:
    message = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    questions.take(peer, message)  # type: ignore[arg-type]


def test_pages_do_not_wait_behind_sums(questions: Questions, counted: list[str]) -> None:
    peer = FakePeer()
    take(questions, peer, "SUMS", 1, "DATABASE", 3, 10, 15)
    take(questions, peer, "ENTRIES", 2, 7)
    take(questions, peer, "HISTORY", 3, HistoryQuestion(0, 10).as_json())
    questions.step()
    assert peer.answers == [(b"2", 3, b"entry 7")]
    questions.step()
    assert peer.answers[1:] == [(b"3", 10, 0, b"one")]
    while questions:
        questions.step()
    number, revision, text = peer.answers[2]
    assert (number, revision, json.loads(text)) == (b"1", 10, {"3": [5, "00000000000000ff"]})
    assert counted == 3 * ["database_questions"]


def test_what_fails_ends_its_own_question_alone(questions: Questions, records: FakeRecords) -> None:
    peer = FakePeer()
    records.away = True
    take(questions, peer, "HISTORY", 1, HistoryQuestion(0, 10).as_json())
    take(questions, peer, "ENTRIES", 2, 13)
    take(questions, peer, "ENTRIES", 3, 14)
    while questions:
        questions.step()
    away, fault, fine = peer.answers
    assert away == (b"1", "MASTERDOWN the database is not there: it went")
    assert fault[1].startswith("ERR internal error (RuntimeError)")
    assert fine == (b"3", 3, b"entry 14")


@pytest.mark.parametrize(
    "words", [("SUMS", 1, "STORE"), ("ENTRIES", 1, "x"), ("HISTORY", 1, "{}"), ("WRITE", 1)]
)
def test_what_can_not_be_read_is_refused_at_once(
    questions: Questions, words: tuple[object, ...]
) -> None:
    peer = FakePeer()
    take(questions, peer, *words)
    ((number, line),) = peer.answers
    assert number == b"1"
    assert line.startswith(("ERR ", "BADVALUE "))
    assert not questions


def test_too_many_wait_and_those_of_a_worker_that_went_are_forgotten(
    questions: Questions,
) -> None:
    peer, other = FakePeer(), FakePeer()
    for number in range(WAITING_MAX):
        take(questions, peer, "ENTRIES", number, 7)
    take(questions, other, "ENTRIES", 1, 7)
    assert other.answers[0][1].startswith("BUSY ")
    questions.forget(peer)  # type: ignore[arg-type]
    assert not questions
