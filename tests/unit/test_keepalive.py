"""Signs of life on the links between servers, and who is given up for silence (ADDP)."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from csp.feed.link import FIRST_WORD_MS_MAX
from csp.feed.phase import Phase
from csp.process.keepalive import Keepalive, keepalive_in
from csp.worker.call import State
from csp.worker.silences import TICK_MS
from tests.unit.fake_loop import Server
from tests.unit.feed_stage import Stage

TIMEOUT_MS = 4_000


def connection(**stated: object) -> dict[str, object]:
    return {"appServerDBID": 99, **stated}


@pytest.mark.parametrize(
    ("connections", "found"),
    [
        ([], Keepalive(10_000, 10_000)),
        ([connection(timeoutLocal=5, timeoutRemote=6)], Keepalive(10_000, 10_000)),
        ([connection(connProtocol="addp")], Keepalive(10_000, 10_000)),
        ([connection(connProtocol="addp", timeoutLocal=9, timeoutRemote=0)], Keepalive(9_000, 0)),
        ([connection(), connection(connProtocol="ADDP", timeoutLocal=3)], Keepalive(3_000, 10_000)),
    ],
)
def test_the_connection_of_protocol_addp_states_the_time_outs(
    connections: list[dict[str, object]], found: Keepalive
) -> None:
    assert keepalive_in({"appServerDBIDs": connections}) == found


def test_something_is_said_at_a_third_of_the_shorter_time_out() -> None:
    assert Keepalive(9_000, 6_000).sign_ms == 2_000
    assert Keepalive(0, 6_000).sign_ms == 2_000
    assert Keepalive(0, 0).sign_ms > 0


# ---- the proxy


@pytest.fixture
def stage() -> Iterator[Stage]:
    playing = Stage()
    yield playing
    playing.close()


def follow(stage: Stage, keepalive: Keepalive) -> None:
    """The proxy follows, its links being watched so."""
    stage.origin._upstream = dataclasses.replace(stage.origin._upstream, keepalive=keepalive)
    stage.resume_from(stage.history, 10)
    stage.start()
    stage.play(lambda: stage.master.feeds(), "the feed is asked for")
    stage.master.greet(stage.master.feeds()[0], snapshot=False)
    stage.play(lambda: stage.origin.phase is Phase.FOLLOWING, "it follows")


def pings(stage: Stage) -> list[int]:
    """How many each connection has said."""
    return [guest.commands.count([b"PING"]) for guest in stage.master.guests]


def test_each_link_says_something_where_nothing_else_is_said(stage: Stage) -> None:
    follow(stage, Keepalive(6_000, 3_000))
    before = pings(stage)
    stage.now_ms += 900
    stage.turn()
    stage.turn()
    assert pings(stage) == before
    stage.now_ms += 200
    stage.play(lambda: pings(stage) == [one + 1 for one in before], "session and feed do")
    stage.history.change()  # the answers are no frames, and disturb none
    stage.master.send_changes(stage.master.feeds()[0], 10)
    stage.play(lambda: stage.host.published == 11, "the change comes")


def pass_time(stage: Stage, ms: int) -> None:
    """Turns both ends while the clock goes on."""
    for _ in range(ms // 200):
        stage.now_ms += 200
        for _ in range(3):
            stage.turn()


def test_a_master_that_answers_is_not_given_up(stage: Stage) -> None:
    follow(stage, Keepalive(3_000, 3_000))
    for _ in range(10):
        pass_time(stage, 2_000)
        stage.master.send_alive(stage.master.feeds()[0])
    assert stage.origin.phase is Phase.FOLLOWING


def test_a_silent_master_is_given_up_within_the_local_time_out(stage: Stage) -> None:
    follow(stage, Keepalive(3_000, 3_000))
    stage.master.is_alive = False
    pass_time(stage, 2_800)
    assert stage.origin.phase is Phase.FOLLOWING
    pass_time(stage, 800)
    assert stage.origin.why_away == "the master is silent"


def test_a_feed_that_brings_nothing_but_answers_to_pings_is_left(stage: Stage) -> None:
    follow(stage, Keepalive(3_000, 3_000))
    pass_time(stage, 9_600)
    assert stage.origin.phase is Phase.FOLLOWING
    pass_time(stage, 1_000)
    assert stage.origin.why_away == "the master is silent"


def test_what_came_while_this_process_stood_still_is_read_before_it_judges(stage: Stage) -> None:
    follow(stage, Keepalive(3_000, 3_000))
    stage.master.send_alive(stage.master.feeds()[0])
    stage.now_ms += 60_000
    stage.origin.tick(stage.now_ms)
    for _ in range(10):
        stage.turn()
    assert stage.origin.phase is Phase.FOLLOWING


def test_a_master_that_accepts_and_says_nothing_costs_ten_seconds(stage: Stage) -> None:
    stage.master._serve = lambda guest: None  # type: ignore[method-assign]
    stage.start()
    stage.play(lambda: stage.master.guests, "it is connected")
    first = stage.origin._links._dials["session"]._links[0]
    pass_time(stage, FIRST_WORD_MS_MAX + 400)
    assert first.state.name == "BROKEN"


# ---- the server above


class Connected:
    """A client of the slow lane with a real socket."""

    def __init__(self, server: Server, conn: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.far = socket.create_connection(listener.getsockname())
            self.near, _ = listener.accept()
        self.near.setblocking(False)
        server.connect(conn)
        server.loop.sessions[conn].fd = self.near.fileno()

    def close(self) -> None:
        self.far.close()
        self.near.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.close()


@pytest.fixture
def connected(server: Server) -> Iterator[Connected]:
    made = Connected(server, 2)
    server.lane.states[2] = State()
    server.lane.silences.hold(2, TIMEOUT_MS, is_server=True)
    yield made
    made.close()


def let_pass(server: Server, ms: int, each_second: Callable[[], object] = lambda: None) -> None:
    for _ in range(ms // 1_000):
        each_second()
        server.loop.pass_time(1_000)


def test_who_is_silent_for_its_time_out_is_ended(server: Server, connected: Connected) -> None:
    let_pass(server, TIMEOUT_MS - 1_000)
    assert server.loop.closing == set()
    let_pass(server, 1_000 + TICK_MS)
    server.loop.pass_time(2 * TICK_MS)
    assert server.loop.closing == {2}
    assert server.lane.states[2].why_ending == f"nothing was heard of it for {TIMEOUT_MS} ms"


def test_who_says_something_stays_though_nobody_reads_it(
    server: Server, connected: Connected
) -> None:
    let_pass(server, 5 * TIMEOUT_MS, lambda: connected.far.send(b"x"))
    assert server.loop.closing == set()
    let_pass(server, 2 * TIMEOUT_MS)
    assert server.loop.closing == {2}


def test_who_takes_a_huge_result_need_say_nothing(server: Server, connected: Connected) -> None:
    def take_some() -> None:
        connected.near.send(b"x" * 1_000)
        connected.far.recv(1_000)

    server.loop.unsent[2] = 1_000_000
    let_pass(server, 5 * TIMEOUT_MS, take_some)
    assert server.loop.closing == set()
    connected.near.settimeout(5)
    let_pass(server, 2 * TIMEOUT_MS)
    assert connected.far.recv(1_000) == b""  # ended, though replies wait to be sent


def test_zero_and_a_new_registration_are_obeyed(server: Server, connected: Connected) -> None:
    server.lane.silences.hold(2, 0, is_server=True)
    let_pass(server, 2 * TIMEOUT_MS)
    assert server.loop.closing == set()
    assert len(server.lane.silences) == 0
    server.lane.silences.hold(2, TIMEOUT_MS, is_server=True)
    server.lane.silences.hold(2, 2 * TIMEOUT_MS, is_server=True)
    let_pass(server, TIMEOUT_MS + 1_000)
    assert server.loop.closing == set()
