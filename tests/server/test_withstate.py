"""CFG.FROM … WITHSTATE: what there is first, each once, then synced, then what changes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.worker.states import wanted_by
from tests.neighbours.server import PASSWORD, Master
from tests.server.feed_helpers import SteadyWriter, create_skills, status
from tests.server.hot_stage import Raw, command

NAMES = itertools.count()
PROTOCOLS = pytest.mark.parametrize("protocol", [2, 3])


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(Path(tmp_path_factory.mktemp("state"))).start() as server:
        create_skills(server, [f"s{next(NAMES)}" for _ in range(300)])
        yield server


def connect(server: Master, protocol: int) -> Raw:
    raw = Raw(server.port)
    assert raw.call("AUTH", PASSWORD) == "OK"
    if protocol == 3:
        assert raw.call("HELLO", 3)["proto"] == 3
    return raw


def begin(raw: Raw, *words: str | int, channels: tuple[str, ...]) -> None:
    plain = [name for name in channels if "*" not in name]
    patterns = [name for name in channels if "*" in name]
    raw.send(command("CFG.FROM", *words, "SUBS", len(channels), "WITHSTATE"))
    if plain:
        raw.send(command("SUBSCRIBE", *plain))
    if patterns:
        raw.send(command("PSUBSCRIBE", *patterns))
    assert raw.read()[0] == "cfg.from"
    for _ in channels:
        assert raw.read()[0] in ("subscribe", "psubscribe")


def states(raw: Raw) -> tuple[list[tuple[str, dict[str, Any]]], int]:
    """(channel or pattern, message) of each object, and the revision of `synced`."""
    found = []
    while True:
        *heard_by, text = raw.read()[1:]
        told = json.loads(text)
        if told["op"] == "synced":
            return found, told["revision"]
        assert told["op"] == "state", told
        assert told["more"] is False
        found.append((heard_by[0], told))


def objects(server: Master, name: str) -> dict[int, dict[str, Any]]:
    with server.client() as client:
        page = client.execute_command("CFG.READ", name, "LIMIT", 10_000)
    return {one["DBID"]: one for one in map(json.loads, page[2])}


@PROTOCOLS
def test_all_objects_come_once_then_synced_then_changes(master: Master, protocol: int) -> None:
    raw = connect(master, protocol)
    begin(raw, "NOW", channels=("cfg:CfgSkill",))
    shown, revision = states(raw)
    there = objects(master, "CfgSkill")
    assert [told["DBID"] for _, told in shown] == sorted(there)
    assert {told["DBID"]: told["object"] for _, told in shown} == there
    assert all(told["revision"] == told["object"]["revision"] for _, told in shown)
    assert revision == status(master)["revision"]
    create_skills(master, [f"s{next(NAMES)}"])
    assert json.loads(raw.read()[-1])["op"] == "create"
    assert raw.is_silent()


def test_each_subscription_is_shown_what_it_hears_of(master: Master) -> None:
    raw = connect(master, 3)
    channels = ("cfg:CfgTenant:1", "cfg@1:CfgSkill", "cfg:CfgHos*")
    begin(raw, "NOW", channels=channels)
    shown, _ = states(raw)
    by_channel: dict[str, set[tuple[str, int]]] = {name: set() for name in channels}
    for channel, told in shown:
        by_channel[channel].add((told["class"], told["DBID"]))
    assert by_channel == {
        "cfg:CfgTenant:1": {("CfgTenant", 1)},
        "cfg@1:CfgSkill": {("CfgSkill", dbid) for dbid in objects(master, "CfgSkill")},
        "cfg:CfgHos*": {("CfgHost", dbid) for dbid in objects(master, "CfgHost")},
    }
    assert len(shown) == sum(map(len, by_channel.values()))


def test_what_changes_meanwhile_makes_the_picture_whole(master: Master) -> None:
    """State, then the changes behind the start applied to it: what a read shows."""
    dbids = create_skills(master, [f"s{next(NAMES)}" for _ in range(50)])
    start = int(status(master)["revision"])
    with SteadyWriter(master, dbids) as writer:
        raw = connect(master, 3)
        begin(raw, start, channels=("cfg:CfgSkill",))
        shown, revision = states(raw)
        writer.more(5)
    picture = {told["DBID"]: told["object"] for _, told in shown}
    assert revision >= start
    newest = int(status(master)["revision"])
    at = start
    while at < newest:
        told = json.loads(raw.read()[-1])
        assert told["revision"] == at + 1, "without a gap"
        at = told["revision"]
        if told["revision"] > picture[told["DBID"]]["revision"]:
            picture[told["DBID"]] |= told["delta"]["changed"] | {"revision": at}
    assert picture == objects(master, "CfgSkill")


def test_a_reader_that_stops_costs_nothing_and_a_place_beyond_is_awaited(master: Master) -> None:
    newest = int(status(master)["revision"])
    said = connect(master, 3).call("CFG.FROM", newest + 1, "WITHSTATE")
    assert said.startswith("-RESYNC")
    raw = connect(master, 3)
    begin(raw, "NOW", channels=("cfg",))
    raw.close(reset=True)
    again = connect(master, 3)
    begin(again, "NOW", channels=("cfg:CfgTenant",))
    assert len(states(again)[0]) == 1


def test_what_is_looked_through() -> None:
    skill, tenant = 13, 7
    assert wanted_by([(b"cfg:CfgSkill:7", False), (b"cfg:CfgSkill:9", False)]) == {skill: {7, 9}}
    assert wanted_by([(b"cfg:CfgSkill:7", False), (b"cfg:CfgSkill", False)]) == {skill: None}
    assert wanted_by([(b"cfg:CfgSkill:*", True), (b"cfg@3:CfgTenant", False)]) == {
        tenant: None,
        skill: None,
    }
    assert wanted_by([(b"cfg.notice", False), (b"cfg:CfgNothing", False)]) == {}
    for name, is_pattern in (
        (b"cfg", False),
        (b"cfg@1", False),
        (b"cfg:CfgS*", True),
        (b"*", True),
    ):
        assert len(wanted_by([(name, is_pattern)])) > 30
