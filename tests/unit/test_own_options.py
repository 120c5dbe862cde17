"""A worker takes options that change in its Application object."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.conf.options import in_force, load
from csp.model.keys import KEYS
from csp.process.own_options import CHECK_MS
from csp.store.alarms import raised
from tests.unit.fake_loop import Server

NAME = KEYS["CfgApplication", "name"].key_id


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, options=in_force(load({}), "master") | {"packet-size": 1024})
    server.reader.finds[NAME, b"confserv"] = [99]
    yield server
    server.close()


def state(server: Server, **options: Any) -> None:
    stated = {"state": "enabled", "type": "configurationserver"}
    server.reader.put("CfgApplication", 99, options={"confserv": options}, **stated)
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


def test_wrong_options_are_an_alarm_until_they_are_mended(server: Server) -> None:
    state(server, encoding="UTF-16")
    assert server.control.names() == [], "what csp has not got was set for the original"
    state(server, **{"packet-size": "much", "encoding": "UTF-16", "nothing": 1})
    (alarm,) = raised(server.control)
    assert alarm.text == (
        "Application confserv sets options that are not taken: "
        "[confserv] packet-size, [confserv] nothing"
    )
    state(server, **{"packet-size": "4096"})
    assert server.control.names() == []


def test_an_application_that_went_or_is_unfit_is_an_alarm(server: Server) -> None:
    server.reader.finds.clear()
    server.loop.pass_time(CHECK_MS)
    assert server.control.names() == [], "a master runs without one"
    server.reader.finds[NAME, b"confserv"] = [99]
    state(server)
    server.reader.finds.clear()
    server.loop.pass_time(CHECK_MS)
    assert [one.text for one in raised(server.control)] == [
        "Application confserv does not exist any more"
    ]
    server.reader.finds[NAME, b"confserv"] = [99]
    state(server, **{"packet-size": 4096})
    assert server.control.names() == []
    for unfit in ({"state": "disabled"}, {"type": "tserver"}):
        fit = {"state": "enabled", "type": "configurationserver"}
        server.reader.put("CfgApplication", 99, options={}, **(fit | unfit))
        server.loop.pass_time(CHECK_MS)
        assert server.control.names() == ["application"]
        state(server)
        assert server.control.names() == []


def test_other_workers_raise_nothing(tmp_path: Path) -> None:
    options = in_force(load({}), "proxy") | {"packet-size": 1024}
    server = Server(tmp_path, options=options, mode="proxy", slot=1, worker_count=2)
    server.loop.pass_time(CHECK_MS)
    assert server.control.names() == []
    server.close()
