"""What a balancer is told: by drain, role, age and load."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.observe.clock import steady_ms, wall_ms
from csp.process.standing import ROLE_BACKUP
from csp.store.control import LINK_DATABASE
from csp.worker import agent
from csp.worker.agent import Agent, Cpu
from tests.unit.fake_loop import FakeControl, Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, mode="proxy", client_count_max=10)
    server.control.links = (1, 10, wall_ms())
    yield server
    server.close()


def line(server: Server) -> bytes:
    return server.lane.agent_line()


def test_a_server_that_serves_is_ready_and_weighs_what_is_left(server: Server) -> None:
    assert line(server) == b"ready up 90%\n"  # one connection of ten


def test_a_drain_comes_first(server: Server) -> None:
    server.control.drains = (1, 2)
    server.control.serving = False
    assert line(server) == b"drain\n"


@pytest.mark.parametrize(("name", "value"), [("role", ROLE_BACKUP), ("serving", False)])
def test_who_serves_nobody_is_down(server: Server, name: str, value: Any) -> None:
    setattr(server.control, name, value)
    assert line(server) == b"down\n"


def test_a_first_load_is_down(server: Server) -> None:
    server.loop.reader = None
    assert line(server) == b"down\n"


def test_age_counts_where_a_limit_is_set(tmp_path: Path) -> None:
    server = Server(tmp_path, mode="proxy", options={"agent-check-age": 60})
    for age_s, told in ((0, b"ready up 100%\n"), (30, b"ready up 75%\n"), (90, b"down\n")):
        server.control.links = (2, 10, wall_ms() - age_s * 1000)
        assert line(server) == told
    server.close()


def test_a_master_beyond_its_lease_is_as_old_as_it_was_last_heard(tmp_path: Path) -> None:
    """After a pause another one may have the database, and its writer has not looked yet."""
    server = Server(tmp_path, options={"agent-check-age": 60})
    server.control.links = (LINK_DATABASE, 10, wall_ms() - 90_000)
    server.control.link_wall_ms = steady_ms() + 60_000
    assert line(server) == b"ready up 100%\n"
    server.control.link_wall_ms = steady_ms() - 1
    assert line(server) == b"down\n"
    server.close()


def test_without_a_limit_age_does_not_count(server: Server) -> None:
    server.control.links = (2, 10, 1)
    assert line(server) == b"ready up 90%\n"


def test_the_weight_is_never_0(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cpu, "share", lambda _: 1.0)
    assert line(server) == b"ready up 1%\n"


class Busy(FakeControl):
    """The worker is this process."""

    def slot(self, slot: int) -> dict[str, int]:
        return {"pid": os.getpid()}


def test_cpu_of_the_workers_lowers_the_weight(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    used = [5.0]
    monkeypatch.setattr(agent, "_cpu_seconds", lambda pid: used[0] if pid else 0.0)
    monkeypatch.setattr(agent.time, "monotonic", lambda: now[0])
    server.lane.control = Busy()
    told = Agent(server.lane)
    server.lane.control.links = (1, 10, wall_ms())
    now[0], used[0] = 102.0, 6.5
    assert told.line() == b"ready up 25%\n"
    now[0] += 0.5  # too short to tell: what was found before holds
    assert told.line() == b"ready up 25%\n"
    now[0], used[0] = 104.0, 6.5
    assert told.line() == b"ready up 90%\n"


def test_a_worker_that_is_no_more_has_used_nothing() -> None:
    assert agent._cpu_seconds(2**22 + 1) == 0.0
    assert agent._cpu_seconds(os.getpid()) > 0.0
