"""The threads of a backend: a question has one answer, and one directory holds up no other."""

from __future__ import annotations

import logging
import select
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from csp.external.backend import Directory, Kind, Unusable, Verdict
from csp.external.directories import DIRECTORIES_MAX, QUESTIONS_MAX, Directories
from csp.external.questions import Question, read_verdict, words_of_verdict
from csp.external.servers import ServerAway, Servers
from csp.external.settings import Settings

SECRET = b"word-of-ann-1"
LONG_MS = 20_000


def settings(name: str) -> bytes:
    return Settings("gauth_ldap", ({"ldap-url": name},)).to_json()


class Backend:
    """One whose directories do what the test says, by name."""

    def __init__(self) -> None:
        self.does: dict[str, Callable[[], Verdict]] = {}
        self.opened: list[str] = []

    def open(self, settings: Settings) -> Directory:
        name = str(settings.sections[0]["ldap-url"])
        self.opened.append(name)
        if name == "wrong":
            raise Unusable("its option is wrong")
        return One(name, self)


class One:
    def __init__(self, name: str, backend: Backend) -> None:
        self.name = name
        self._backend = backend

    def authenticate(self, user: str, secret: bytes, deadline: float) -> Verdict:
        return self._backend.does[self.name]()


class Stage:
    def __init__(self) -> None:
        self.backend = Backend()
        self.directories = Directories(lambda: self.backend)
        self.gate = threading.Event()
        self.said: list[Verdict] = []
        self.backend.does["quick"] = lambda: Verdict(Kind.ACCEPTED)
        self.backend.does["stuck"] = self.stuck

    def stuck(self) -> Verdict:
        self.gate.wait(60)
        return Verdict(Kind.ACCEPTED)

    def ask(self, name: str, within_ms: int = LONG_MS) -> bool:
        question = Question(b"1", settings(name), "ann", SECRET, within_ms)
        return self.directories.ask(question, self.said.append)

    def wait(self, count: int) -> list[Verdict]:
        """Turns until so many answers have come; those."""
        end = time.monotonic() + 20
        while len(self.said) < count:
            assert time.monotonic() < end, self.said
            select.select([self.directories.done_fd], [], [], 0.05)
            self.directories.take_done()
            self.directories.tick()
        return self.said


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.gate.set()


def test_an_answer_is_the_directorys(stage: Stage) -> None:
    assert stage.ask("quick")
    assert stage.wait(1) == [Verdict(Kind.ACCEPTED)]


def test_a_directory_is_opened_once(stage: Stage) -> None:
    for _ in range(5):
        stage.ask("quick")
    stage.wait(5)
    assert stage.backend.opened == ["quick"]


def test_a_stuck_directory_holds_up_no_other(stage: Stage) -> None:
    for _ in range(QUESTIONS_MAX):
        assert stage.ask("stuck")
    assert stage.ask("quick")
    assert stage.wait(1) == [Verdict(Kind.ACCEPTED)]


def test_too_much_at_once_is_refused_until_there_is_room(stage: Stage) -> None:
    for _ in range(QUESTIONS_MAX):
        assert stage.ask("stuck")
    assert not stage.ask("stuck")
    stage.gate.set()
    stage.wait(QUESTIONS_MAX)
    assert stage.ask("stuck")


def test_a_deadline_is_answered_whatever_the_thread_still_does(stage: Stage) -> None:
    began = time.monotonic()
    stage.ask("stuck", within_ms=300)
    (said,) = stage.wait(1)
    assert said.kind is Kind.AWAY
    assert 0.2 < time.monotonic() - began < 5
    # Its own answer comes late, and is nobody's.
    stage.gate.set()
    stage.ask("quick")
    assert len(stage.wait(2)) == 2
    stage.directories.take_done()
    assert len(stage.said) == 2


def test_a_stuck_thread_is_counted_until_it_ends(stage: Stage) -> None:
    for _ in range(QUESTIONS_MAX):
        stage.ask("stuck", within_ms=2_000)  # time for a thread to begin with it
    stage.wait(QUESTIONS_MAX)
    assert not stage.ask("stuck"), "threads would grow without an end"


def test_a_wrong_setting_says_so_and_is_looked_at_again(stage: Stage) -> None:
    stage.ask("wrong")
    assert stage.wait(1) == [Verdict(Kind.UNUSABLE, "its option is wrong")]
    stage.ask("wrong")
    stage.wait(2)
    assert stage.backend.opened == ["wrong", "wrong"]


def test_a_fault_lets_nobody_in_and_shows_no_secret(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Verdict:
        raise RuntimeError(f"bind {SECRET.decode()}")

    stage.backend.does["faulty"] = fail
    with caplog.at_level(logging.DEBUG):
        stage.ask("faulty")
        (said,) = stage.wait(1)
    assert said.kind is Kind.UNUSABLE
    assert SECRET.decode() not in said.words + caplog.text
    assert "RuntimeError" in caplog.text


def test_directories_are_forgotten_but_none_that_is_busy(stage: Stage) -> None:
    for number in range(DIRECTORIES_MAX):
        stage.backend.does[f"s{number}"] = stage.stuck
        assert stage.ask(f"s{number}")
    assert not stage.ask("quick")
    stage.gate.set()
    stage.wait(DIRECTORIES_MAX)
    assert stage.ask("quick")


def test_a_question_shows_no_secret_and_comes_as_it_went() -> None:
    question = Question(b"7", settings("quick"), "ann", SECRET, 500)
    assert SECRET.decode() not in repr(question)
    words = [one if isinstance(one, bytes) else str(one).encode() for one in question.words()]
    assert Question.read([b"ASK", b"7", *words]) == question
    with pytest.raises(ValueError, match="ASK number"):
        Question.read([b"ASK", b"7"])


def test_what_a_directory_says_is_one_short_line() -> None:
    verdict = Verdict(Kind.REFUSED, "80090308:\r\n LdapErr\0, data 52e" + "x" * 1000, {"a": "b"})
    parts = [one if isinstance(one, bytes) else one.encode() for one in words_of_verdict(verdict)]
    told = read_verdict(parts)
    assert told.words.startswith("80090308: LdapErr , data 52ex")
    assert len(told.words) == 400
    assert told.facts == {"a": "b"}


class Named:
    def __init__(self, name: str) -> None:
        self.name = name


class Row:
    """Servers of which some are away."""

    def __init__(self, count: int) -> None:
        self.away: set[str] = set()
        self.asked: list[str] = []
        self.deadlines: list[float] = []
        self.servers = Servers("dir", [Named(f"s{number}") for number in range(count)])

    def ask(self, seconds: float = 30) -> Verdict:
        return self.servers.ask(self._one, time.monotonic() + seconds)

    def _one(self, server: Named, deadline: float) -> Verdict:
        self.asked.append(server.name)
        self.deadlines.append(deadline - time.monotonic())
        if server.name in self.away:
            raise ServerAway("silence")
        return Verdict(Kind.REFUSED, server.name)


def test_t38_who_answers_is_asked_by_all_until_he_does_not() -> None:
    row = Row(3)
    row.away = {"s0"}
    assert row.ask().words == "s1"
    row.away = set()
    assert row.ask().words == "s1"
    row.away = {"s1", "s2"}
    assert row.ask().words == "s0"
    assert row.asked == ["s0", "s1", "s1", "s1", "s2", "s0"]


def test_t39_a_refusal_of_one_is_asked_of_no_other() -> None:
    row = Row(2)
    assert row.ask() == Verdict(Kind.REFUSED, "s0")
    assert row.asked == ["s0"]


def test_where_none_answers_each_is_named() -> None:
    row = Row(2)
    row.away = {"s0", "s1"}
    assert row.ask() == Verdict(Kind.AWAY, "s0: silence; s1: silence")
    row.away = set()
    assert row.ask().words == "s0", "the first stays the first where none has answered"


def test_each_server_has_its_share_of_the_time() -> None:
    row = Row(3)
    row.away = {"s0", "s1"}
    row.ask(seconds=30)
    assert [round(one) for one in row.deadlines] == [10, 15, 30]
    row = Row(2)
    assert row.ask(seconds=-1).kind is Kind.AWAY
    assert row.asked == []
