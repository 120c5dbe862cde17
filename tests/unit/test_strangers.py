"""Who was turned away at a port is told at once, and then at most once a minute and reason."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest

from csp.process.ports import Port
from csp.worker.strangers import QUIET_SECONDS, Strangers
from tests.unit.fake_loop import Server


@pytest.fixture
def server(tmp_path: Path) -> Server:
    server = Server(tmp_path)
    ports = (Port(0, "default"), Port(1, "front"))
    options = {"max-connections-per-address": 50}
    server.lane.info = dataclasses.replace(server.lane.info, ports=ports, options=options)
    return server


def test_a_flood_is_a_line_a_minute(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "csp.worker.strangers")
    strangers = Strangers(server.lane)
    strangers.look(0.0)
    assert not caplog.messages
    for second in range(130):
        server.loop.turned_away = [("balancer", 10, 1, f"192.0.2.1:{second}")]
        strangers.look(float(second))
    assert len(caplog.messages) == 1 + int(129 / QUIET_SECONDS)
    assert "192.0.2.1:0 is none of the balancers" in caplog.messages[0]
    assert "port front:" in caplog.messages[0]
    assert "10 turned away" in caplog.messages[0]
    assert "600 turned away" in caplog.messages[1]


def test_each_reason_is_told_by_itself(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "csp.worker.strangers")
    strangers = Strangers(server.lane)
    reasons = ("address", "balancer", "header", "late", "crowd")
    server.loop.turned_away = [(why, 1, 0, "192.0.2.1:7") for why in reasons]
    strangers.look(0.0)
    assert len(caplog.messages) == len(reasons)
    assert "has 50 connections" in caplog.messages[-1]
    strangers.look(QUIET_SECONDS * 2)
    assert len(caplog.messages) == len(reasons)
