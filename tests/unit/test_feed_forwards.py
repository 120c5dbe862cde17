"""Plays what a proxy asks its master for its clients: at once, in pieces, over a link that ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from csp.errors import BadValue, CspError, MasterDown, ReadOnly, UnknownOutcome
from csp.feed.forwards import HISTORIES_MAX, PING_MS, SILENCE_MS_MAX
from csp.feed.phase import Phase
from csp.model.forward import PIECE_BYTES
from csp.model.history import HistoryQuestion
from csp.model.principal import Principal, message_of
from csp.model.requests import WriteOutcome
from csp.process.own_options import OwnOptions
from csp.resp import request
from tests.unit.feed_stage import Stage

BOB = Principal(7, application="desktop", address="192.0.2.7:4711")
Outcomes = dict[int, WriteOutcome | Exception]


@pytest.fixture
def stage() -> Iterator[Stage]:
    playing = Stage()
    playing.resume_from(playing.history, playing.history.revision)
    playing.start()
    playing.play(lambda: playing.master.feeds(), "a feed is asked for")
    playing.master.greet(playing.master.feeds()[0], snapshot=False)
    playing.play(lambda: playing.origin.phase is Phase.FOLLOWING, "following")
    make_writable(playing)
    yield playing
    playing.close()


def make_writable(stage: Stage, value: bool = True) -> None:
    options = OwnOptions(
        mode="proxy", app_name="proxy1", values={"proxy-writable": value}, log=None
    )
    stage.origin.take_options(options)


def write(stage: Stage, number: int, found: Outcomes, text: bytes = b"{}", **who: Any) -> None:
    asks = message_of(BOB, is_server=False, **who)
    words = [b"WRITE", b"%d" % number, asks, b"", b"one", b"CFG.CREATE", b"CfgSkill", text]
    (later,) = stage.origin.forward([words])
    later.then(lambda outcome: found.update({number: outcome}))


def outcome(stage: Stage, number: int, found: Outcomes) -> None:
    words = [b"OUTCOME", b"%d" % number, message_of(BOB, is_server=False), b"an-id"]
    (later,) = stage.origin.forward([words])
    later.then(lambda told: found.update({number: told}))


def error_of(outcome: WriteOutcome | Exception) -> Exception | None:
    return outcome.error if isinstance(outcome, WriteOutcome) else outcome


def asked(stage: Stage, count: int) -> list[tuple[Any, int, list[Any]]]:
    """The questions that the master has got and not answered."""
    stage.play(lambda: len(stage.master.questions) >= count, f"{count} questions arrive")
    return stage.master.questions


def test_many_are_under_way_and_each_gets_its_own_answer(stage: Stage) -> None:
    found: Outcomes = {}
    for number in range(3):
        write(stage, number, found)
    for guest, number, _ in reversed(asked(stage, 3)):
        stage.master.answer(guest, number, "DONE", 10 + number, 20 + number)
        stage.play(lambda at=number: at - 1 in found or at in found, "an answer")
    first = asked(stage, 3)[0][1]
    assert found == {at: WriteOutcome(10 + first + at, (20 + first + at,)) for at in range(3)}


def test_the_authors_identity_goes_along(stage: Stage) -> None:
    found: Outcomes = {}
    link = Principal(100, application="proxy2", address="192.0.2.1:1")
    write(stage, 1, found)
    asks = message_of(link, is_server=True, behalf=BOB)  # a proxy below asks for its client
    stage.origin.forward([[b"OUTCOME", b"2", asks, b"an-id"]])
    (_, _, first), (_, _, second) = asked(stage, 2)
    assert Principal.from_json(orjson.loads(first[1])) == BOB
    assert first[2:] == [b"", b"one", b"CFG.CREATE", b"CfgSkill", b"{}"]
    assert second[0] == b"OUTCOME"
    assert Principal.from_json(orjson.loads(second[1])) == BOB
    assert second[2:] == [b"an-id"]


def test_errors_and_outcomes_are_passed_on(stage: Stage) -> None:
    found: Outcomes = {}
    write(stage, 1, found)
    for number in (2, 3):
        outcome(stage, number, found)
    write(stage, 4, found)
    questions = asked(stage, 4)
    answers = (
        ("FAIL", "BADVALUE name: is wrong"),
        ("DONE", 0, "committed 12"),
        ("FAIL", "MASTERDOWN the database is away"),
        ("DONE", "nonsense"),
    )
    for (guest, number, _), words in zip(questions, answers, strict=True):
        stage.master.answer(guest, number, *words)
    stage.play(lambda: len(found) == 4, "all answers")
    refused, known, away, wrong = (found[number] for number in range(1, 5))
    assert isinstance(refused, WriteOutcome)
    assert isinstance(refused.error, BadValue)
    assert refused.error.line == "BADVALUE name: is wrong"
    assert known == WriteOutcome(0, text="committed 12")
    assert isinstance(away, WriteOutcome)
    assert isinstance(away.error, MasterDown)
    assert isinstance(wrong, WriteOutcome)
    assert isinstance(wrong.error, UnknownOutcome)  # it was done, or not


def test_a_large_one_goes_in_pieces_and_small_ones_pass_it(stage: Stage) -> None:
    found: Outcomes = {}
    large = b"x" * (300 * PIECE_BYTES)  # more than sockets take
    write(stage, 1, found, large)
    write(stage, 2, found)
    (_, _, small), (_, _, whole) = asked(stage, 2)
    assert small[-1] == b"{}"
    assert whole[-1] == large


def test_what_was_not_sent_to_its_end_never_happens_when_the_link_ends(stage: Stage) -> None:
    found: Outcomes = {}
    write(stage, 1, found)
    asked(stage, 1)
    write(stage, 2, found, b"x" * (400 * PIECE_BYTES))  # more than sockets take
    outcome(stage, 3, found)
    for guest in list(stage.master.guests):
        guest.socket.close()
        stage.master.guests.remove(guest)
    stage.play(lambda: len(found) == 3, "the end of all three")
    for number, kind in ((1, UnknownOutcome), (2, MasterDown), (3, MasterDown)):
        assert type(error_of(found[number])) is kind, number
    stage.play(lambda: stage.master.feeds(), "it comes back")
    for _ in range(20):
        stage.turn()
    assert len(stage.master.questions) == 1  # nothing was sent again


def test_without_a_link_and_while_it_loads_nothing_is_begun(stage: Stage) -> None:
    stage.master.close()
    stage.play(lambda: stage.origin.phase is Phase.AWAY, "the link is lost")
    found: Outcomes = {}
    write(stage, 1, found)
    outcome(stage, 2, found)
    for number in (1, 2):
        error = error_of(found[number])
        assert isinstance(error, MasterDown)
        assert "nothing was done" in error.text


def test_a_read_only_proxy_forwards_no_write_but_asks_what_became_of_one(stage: Stage) -> None:
    make_writable(stage, False)
    assert not stage.origin.writable
    found: Outcomes = {}
    write(stage, 1, found)
    error = error_of(found[1])
    assert isinstance(error, ReadOnly)
    assert f"127.0.0.1:{stage.master.port}" in error.text
    outcome(stage, 2, found)
    assert asked(stage, 1)[0][2][0] == b"OUTCOME"


def test_a_message_that_cannot_be_read_is_refused_alone(stage: Stage) -> None:
    found: Outcomes = {}
    good = [b"WRITE", b"2", message_of(BOB, is_server=False), b"", b"one", b"CFG.CREATE", b"x"]
    for number, later in enumerate(stage.origin.forward([[b"WRITE", b"1"], good])):
        later.then(lambda told, at=number: found.update({at: told}))
    assert "can't be read" in str(error_of(found[0]))
    assert asked(stage, 1)[0][2][-1] == b"x"


def test_a_silent_master_is_asked_for_a_sign_of_life_and_then_left(stage: Stage) -> None:
    found: Outcomes = {}
    write(stage, 1, found)
    asked(stage, 1)
    for _ in range(2 * SILENCE_MS_MAX // PING_MS):  # it is slow, and alive
        stage.now_ms += PING_MS
        stage.master.send_alive(stage.master.feeds()[0])
        pings = stage.master.pings
        stage.play(lambda: stage.master.pings > pings, "it is asked")  # noqa: B023
        stage.turn()
    assert not found
    stage.master.is_alive = False
    for _ in range(SILENCE_MS_MAX // PING_MS + 2):
        stage.now_ms += PING_MS
        if stage.origin.phase is Phase.FOLLOWING:
            stage.master.send_alive(stage.master.feeds()[0])
            stage.turn()
    stage.play(lambda: found, "it is left")
    assert "no answer for" in stage.origin.why_away


def test_the_newest_revision_is_asked_once_for_all_who_wait(stage: Stage) -> None:
    stage.master.is_alive = False
    found: list[int | Exception] = []
    for _ in range(100):
        stage.origin.head().then(found.append)
    guest, number, _ = asked(stage, 1)[0]
    stage.master.answer(guest, number, "DONE", 11)
    stage.play(lambda: found, "the first is answered")
    assert found == [11]  # the others asked later: what came in between may be newer
    guest, number, _ = asked(stage, 2)[1]
    stage.master.answer(guest, number, "DONE", 12)
    stage.play(lambda: len(found) == 100, "all are answered")
    assert found[1:] == [12] * 99


def test_tickets_are_asked_about_at_once(stage: Stage) -> None:
    found: list[bool | Exception] = []
    for digest in ("a" * 64, "b" * 64, "c" * 64):
        stage.origin.use_ticket(digest).then(found.append)
    for answer, (guest, number, words) in zip(("1", "0", "2"), asked(stage, 3), strict=True):
        assert words[0] == b"TICKET"
        stage.master.answer(guest, number, "DONE", answer)
    stage.play(lambda: len(found) == 3, "all are answered")
    assert found[:2] == [True, False]
    assert isinstance(found[2], MasterDown)


def test_questions_about_the_history_are_limited(stage: Stage) -> None:
    question = HistoryQuestion(5, 10)
    pages: list[Any] = []
    for _ in range(HISTORIES_MAX):
        stage.origin.history(question).then(pages.append)
    with pytest.raises(CspError, match="wait already"):
        stage.origin.history(question)
    guest, number, asked_words = asked(stage, HISTORIES_MAX)[0]
    assert HistoryQuestion.from_json(asked_words[1]) == question
    stage.master.answer(guest, number, "DONE", 12, 7, b"{}", b"{}")
    stage.play(lambda: pages, "a page")
    assert pages == [(12, 7, [b"{}", b"{}"])]
    stage.origin.history(question)


@pytest.mark.parametrize(
    "words", [("forwarded", 99, "DONE"), ("forwarded", "x", "DONE"), ("other", 1, "DONE", 1)]
)
def test_an_answer_to_nothing_ends_the_link(stage: Stage, words: tuple[Any, ...]) -> None:
    session = stage.master.guests[0]
    session.socket.sendall(b">" + request(*words)[1:])
    stage.play(lambda: stage.origin.phase is Phase.AWAY, "the link is left")
