"""A worker takes options that change in its Application object."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.conf.options import in_force, load
from csp.model.keys import KEYS
from csp.worker.own_options import CHECK_MS
from tests.unit.fake_loop import Server

NAME = KEYS["CfgApplication", "name"].key_id


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, options=in_force(load({}), "master") | {"packet-size": 1024})
    server.reader.finds[NAME, b"confserv"] = [99]
    yield server
    server.close()


def state(server: Server, **options: Any) -> None:
    server.reader.put("CfgApplication", 99, options={"confserv": options})
    server.loop.pass_time(CHECK_MS)


def test_a_change_holds_at_the_next_look(server: Server) -> None:
    state(server, **{"packet-size": 1024})
    assert server.loop.limits == {}  # nothing has changed
    state(server, **{"packet-size": "4096", "password-change": "no"})
    assert server.loop.limits["page_bytes"] == 4096
    before = in_force(load({}), "master")
    assert server.lane.info.options == before | {"packet-size": 4096, "password-change": False}


def test_what_is_no_longer_stated_has_its_default(server: Server) -> None:
    state(server)
    assert server.lane.info.options["packet-size"] == 1_024_000


def test_a_problem_is_logged_once(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="csp")
    state(server, **{"encoding": "UTF-16"})
    assert "encoding" not in caplog.text  # known from the start
    state(server, **{"encoding": "UTF-16", "packet-size": "much"})
    state(server, **{"encoding": "UTF-16", "packet-size": "much", "nothing": 1})
    assert caplog.text.count("confserv/packet-size") == 2  # the problem, and the default in force
    assert caplog.text.count("confserv/nothing") == 1


def test_an_application_that_went_changes_nothing(server: Server) -> None:
    state(server, **{"packet-size": 4096})
    server.reader.finds.clear()
    server.loop.pass_time(CHECK_MS)
    assert server.lane.info.options["packet-size"] == 4096
