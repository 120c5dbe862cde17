"""What the writer tells the origin of its pair as the Applications change, and what is an alarm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from csp.model.keys import KEYS
from csp.model.redundancy import Pair
from csp.process.context import Upstream
from csp.process.own_options import CHECK_MS
from csp.process.places import for_clients, for_peer
from csp.process.ports import Security
from csp.writer.own_pair import OwnPair
from tests.unit.fake_flags import FakeAlarms
from tests.unit.fake_reader import FakeReader
from tests.unit.feed_stage import a_context

SERVER = {"type": "configurationserver", "isServer": True}


class Stage(FakeAlarms):
    """A store with Applications, and what the origin of one of them hears."""

    def __init__(self) -> None:
        super().__init__()
        self.found = FakeReader()
        self.published = self.generation = 1
        self.is_loaded = True
        self.heard: list[tuple[Pair | None, int]] = []
        self.now_ms = 0
        for dbid, name in ((301, "one.example"), (302, "two.example")):
            self.found.put("CfgHost", dbid, DBID=dbid, name=name)
        context = replace(a_context(Upstream("127.0.0.1", 1, "default", "")), app_name="first")
        self.own = OwnPair(context, self, self, self)
        self.put(110, "first", host=301)
        self.put(111, "second", host=302)

    def reader(self) -> FakeReader | None:
        return self.found if self.is_loaded else None

    def take_pair(self, pair: Pair | None, own_dbid: int) -> None:
        self.heard.append((pair, own_dbid))

    def put(
        self, dbid: int, name: str, *, backup: int = 0, host: int = 0, **attributes: Any
    ) -> None:
        """An Application as it is from now on."""
        found = self.found.finds
        for holders in found.values():
            if dbid in holders:
                holders.remove(dbid)
        named, by_backup = (
            KEYS["CfgApplication", key].key_id for key in ("name", "backup_server_dbid")
        )
        found[named, name.encode()] = [dbid]
        found.setdefault((by_backup, backup.to_bytes(4, "little")), []).append(dbid)
        server = {"hostDBID": host, "backupServerDBID": backup}
        one = SERVER | {"DBID": dbid, "name": name, "serverInfo": server} | attributes
        self.found.put("CfgApplication", dbid, **one)
        self.published += 1

    def look(self) -> list[str]:
        """Goes on in time; what the origin heard meanwhile, as `primary backup`."""
        before = len(self.heard)
        self.now_ms += CHECK_MS
        self.own.tick(self.now_ms)
        return [
            f"{pair.primary['name']} {pair.backup['name']}" if pair else "single"
            for pair, _ in self.heard[before:]
        ]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_pair_is_joined_and_split_while_servers_run(stage: Stage) -> None:
    assert stage.look() == ["single"]
    stage.put(110, "first", backup=111, host=301, redundancyType="htwarmstanby")
    assert stage.look() == ["first second"]
    pair, own_dbid = stage.heard[-1]
    assert pair is not None
    assert own_dbid == 110
    assert [pair.host_of(dbid) for dbid in (110, 111)] == ["one.example", "two.example"]
    stage.put(110, "first", host=301)
    assert stage.look() == ["single"]


def test_it_is_told_once_and_of_a_change_of_either_half(stage: Stage) -> None:
    stage.put(110, "first", backup=111, redundancyType="htwarmstanby")
    assert stage.look() == ["first second"]
    stage.published += 1
    assert stage.look() == []
    stage.put(111, "second", portInfos=[{"id": "default", "port": "2020"}])
    assert stage.look() == ["first second"]


def test_nothing_is_told_before_the_first_load(stage: Stage) -> None:
    stage.is_loaded = False
    assert stage.look() == []
    stage.is_loaded = True
    assert stage.look() == ["single"]


def test_what_fits_nothing_is_an_alarm_until_it_is_mended(stage: Stage) -> None:
    stage.put(110, "first", backup=111, redundancyType="htwarmstanby")
    stage.put(112, "third", backup=111, redundancyType="htwarmstanby")
    assert stage.look() == ["single"]
    assert "is the backup of third already" in str(stage.alarms["redundancy"]["reason"])
    stage.put(112, "third")
    assert stage.look() == ["first second"]
    assert not stage.alarms


def test_the_peer_comes_by_its_port_else_by_the_default_one_else_by_any() -> None:
    ports = [{"id": "x", "port": "5", "transportParams": "management=1"}]
    assert for_peer({"portInfos": ports}, "h").address == "h:5"
    ports += [{"id": "default", "port": "2020"}]
    assert for_peer({"portInfos": ports}, "h").address == "h:2020"
    ports += [{"id": "ha", "port": "7", "transportParams": "ha-sync=1;tls=1"}]
    assert for_peer({"portInfos": ports}, "fd00::1") == ("[fd00::1]:7", Security.SECURED)
    assert for_clients({"portInfos": ports}, "h").address == "h:2020"
    assert for_peer({"portInfos": ports}, "").address == ""
