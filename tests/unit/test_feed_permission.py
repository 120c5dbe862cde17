"""A feed ends in the turn in which its account is no administrator any more, with the reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from csp.model.entry import UPDATE
from csp.worker.feed_server import ALIVE_MS, NO_ADMINISTRATOR, PART_ALONE
from tests.unit.fake_loop import Server
from tests.unit.test_slowlane_feed import STREAM, entry_of, greet

BYE = [b"bye", NO_ADMINISTRATOR.encode()]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.reader.entries = {revision: entry_of(revision) for revision in range(5, 11)}
    greet(server, STREAM, "10", f"{server.reader.mark:016x}")
    server.loop.pass_time(0)
    server.frames()
    yield server
    server.close()


def test_what_is_published_with_the_loss_is_not_sent(server: Server) -> None:
    server.loop.sessions[1].administrator = False
    server.reader.entries[11] = entry_of(11, op=UPDATE)
    server.publish(11)
    assert server.frames() == [BYE]
    assert 1 in server.loop.closing


def test_a_silent_feed_ends_with_the_next_sign_of_life(server: Server) -> None:
    server.loop.sessions[1].administrator = False
    server.loop.pass_time(ALIVE_MS)
    assert server.frames() == [BYE]
    assert len(server.lane.feeds) == 0


def test_a_feed_ends_where_the_server_shows_a_part_alone(server: Server) -> None:
    """F91."""
    options = {**server.lane.info.options, "scope": "CfgTenant:101"}
    server.lane.info = dataclasses.replace(server.lane.info, options=options)
    server.reader.entries[11] = entry_of(11)
    server.publish(11)
    assert server.frames() == [[b"bye", PART_ALONE.encode()]]
