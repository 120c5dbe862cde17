"""How a proxy comes to its master: names, several addresses, what is silent, what is dead."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from csp.feed.dial import ANSWER_MS, CONNECT_MS
from csp.feed.phase import Phase
from csp.process.lookup import LOOKUP_MS_MAX, Lookup, LookupFailed
from tests.neighbours.waiting import wait_until
from tests.unit.feed_stage import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    playing = Stage()
    yield playing
    playing.close()


def rows(*addresses: tuple[str, int]) -> list[tuple[Any, ...]]:
    """What a resolver answers."""
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", one) for one in addresses]


def names(stage: Stage, look_up: Any) -> None:
    """The master has a name, and this is the resolver."""
    stage.origin._links.above._master = Lookup("master.example", stage.master.port, look_up)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Accepts, as the kernel does, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def dead() -> tuple[str, int]:
    """Refuses."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return ("127.0.0.1", listener.getsockname()[1])


# ---- names


def test_a_resolver_that_hangs_holds_up_no_turn_and_is_given_up(stage: Stage) -> None:
    release = threading.Event()
    calls: list[str] = []

    def look_up(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        calls.append(host)
        release.wait(30)
        return rows(("127.0.0.1", stage.master.port))

    names(stage, look_up)
    stage.start()
    wait_until(lambda: calls, 5, "the resolver is asked")
    stage.turn()
    assert stage.origin.phase is Phase.SIGNING_IN
    stage.now_ms += LOOKUP_MS_MAX
    stage.turn()
    assert stage.origin.phase is Phase.AWAY
    assert "master.example is not known" in stage.origin.why_away
    # The next attempt asks no second time while the first question is under way.
    stage.now_ms += 60_000
    stage.turn()
    assert len(calls) == 1
    release.set()
    stage.play(lambda: stage.master.feeds(), "the late answer is taken")


def test_a_name_that_has_no_address_is_said() -> None:
    def look_up(*_: object, **__: object) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(LookupFailed, match=r"nowhere.example.*Name or service not known"):
        Lookup("nowhere.example", 2020, look_up).wait()


def test_the_addresses_known_last_are_used_while_the_name_server_is_away() -> None:
    answers: list[Any] = [rows(("10.0.0.1", 2020)), socket.gaierror(-3, "try again")]

    def look_up(*_: object, **__: object) -> list[tuple[Any, ...]]:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return list(answer)

    lookup = Lookup("master.example", 2020, look_up)
    first = lookup.wait()
    assert lookup.wait() == first
    assert answers == []


def test_an_address_is_not_looked_up() -> None:
    def look_up(*_: object, **__: object) -> list[tuple[Any, ...]]:
        raise AssertionError("the resolver was asked")

    assert [str(one) for one in Lookup("::1", 2020, look_up).wait()] == ["[::1]:2020"]
    assert [str(one) for one in Lookup("127.0.0.1", 2020, look_up).wait()] == ["127.0.0.1:2020"]


# ---- addresses


def test_all_addresses_are_tried_in_turn(stage: Stage, dead: tuple[str, int]) -> None:
    names(stage, lambda *_, **__: rows(dead, ("127.0.0.1", stage.master.port)))
    stage.start()
    stage.play(lambda: stage.master.feeds(), "a feed is asked for")
    session, feed = stage.master.guests
    assert session.commands[1][0] == feed.commands[1][0] == b"HELLO"


def test_when_all_refuse_each_reason_is_told(stage: Stage, dead: tuple[str, int]) -> None:
    stage.master.close()
    names(stage, lambda *_, **__: rows(dead, ("127.0.0.1", stage.master.port)))
    stage.start()
    stage.play(lambda: stage.origin.phase is Phase.AWAY, "all were tried")
    assert stage.origin.why_away.count("Connection refused") == 2
    assert f"127.0.0.1:{dead[1]}: " in stage.origin.why_away


def test_a_dead_address_costs_half_a_second(stage: Stage) -> None:
    """A backlog that is full answers a connect as a host that is down does: not at all."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        filling = [socket.socket() for _ in range(4)]
        for one in filling:
            one.setblocking(False)
            one.connect_ex(address)
        names(stage, lambda *_, **__: rows(address, ("127.0.0.1", stage.master.port)))
        stage.start()
        wait_until(lambda: stage.turn() or stage.origin._links._dials, 5, "it is dialled")
        for _ in range(5):
            stage.turn()
        assert stage.master.guests == []
        stage.now_ms += CONNECT_MS
        stage.play(lambda: stage.master.feeds(), "the other address is tried")
        for one in filling:
            one.close()


def test_an_accept_that_is_never_answered_costs_ten_seconds(
    stage: Stage, silent: socket.socket
) -> None:
    there = ("127.0.0.1", stage.master.port)
    names(stage, lambda *_, **__: rows(silent.getsockname(), there))
    stage.start()
    wait_until(lambda: stage.turn() or stage.origin._links._dials, 5, "it is dialled")
    for _ in range(5):
        stage.turn()
    stage.now_ms += ANSWER_MS - 1
    stage.turn()
    assert stage.master.guests == []
    stage.now_ms += 1
    stage.play(lambda: stage.master.feeds(), "the next address is tried beside it")


def test_a_balancer_with_one_address_is_asked_again_beside_the_silent_connection(
    stage: Stage,
) -> None:
    answer = stage.master._serve
    stage.master._serve = lambda guest: None  # type: ignore[method-assign]
    stage.start()
    stage.play(lambda: len(stage.master.guests) == 1, "it is connected")
    stage.now_ms += ANSWER_MS
    stage.play(lambda: len(stage.master.guests) == 2, "a second connection is made")
    silent = stage.master.guests[0]
    stage.master._serve = (  # type: ignore[method-assign]
        lambda guest: answer(guest) if guest is not silent else None
    )
    stage.play(lambda: stage.master.feeds(), "the second one goes on")
    assert stage.origin._links._session is not None


def test_a_refused_sign_in_is_told_as_one(stage: Stage) -> None:
    real = stage.master._serve

    def refuse(guest: Any) -> None:
        guest.socket.sendall(b"-WRONGPASS no\r\n")
        real(guest)

    stage.master._serve = refuse  # type: ignore[method-assign]
    stage.start()
    stage.play(lambda: stage.origin.phase is Phase.AWAY, "refused")
    assert "sign-in as default refused: WRONGPASS" in stage.origin.why_away
