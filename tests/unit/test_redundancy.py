"""Who is single, primary or backup, as the Applications say, and what of them fits no pair."""

from __future__ import annotations

from typing import Any

import pytest

from csp.model.redundancy import Application, Pair, pair_of, problems_of

SERVER = {"type": "configurationserver", "isServer": True}
WARM = {"redundancyType": "htwarmstanby"}


def has_backup(dbid: int) -> dict[str, Any]:
    return {"serverInfo": {"backupServerDBID": dbid}}


def member_of(name: str) -> dict[str, Any]:
    return {"options": {"csproxy": {"proxy-cluster-name": name}}}


class World:
    """Some Applications, by DBID."""

    def __init__(self, *applications: dict[str, Any]) -> None:
        self.all: dict[int, Application] = {one["DBID"]: SERVER | one for one in applications}

    def named_by(self, dbid: int) -> list[Application]:
        return [
            one
            for one in self.all.values()
            if (one.get("serverInfo") or {}).get("backupServerDBID") == dbid
        ]

    def pair(self, dbid: int) -> Pair | None:
        return pair_of(self.all[dbid], self.all.get, self.named_by)

    def problems(self, dbid: int) -> list[str]:
        found = problems_of(self.all[dbid], self.all.get, self.named_by)
        return [one.told(lambda other: f"CfgApplication:{other}") for one in found]


def pair(**backup: Any) -> World:
    return World({"DBID": 110, **WARM, **has_backup(111)}, {"DBID": 111, **backup})


def test_both_halves_find_the_same_pair() -> None:
    world = World({"DBID": 110, **WARM, **has_backup(111)}, {"DBID": 111}, {"DBID": 112})
    for dbid, peer in ((110, 111), (111, 110)):
        found = world.pair(dbid)
        assert found is not None
        assert (found.dbid, found.peer_of(dbid)["DBID"]) == (110, peer)
        assert (found.has(dbid), found.has(112)) == (True, False)
        assert world.problems(dbid) == []
    assert world.pair(112) is None


@pytest.mark.parametrize("words", [WARM, {}, {"isPrimary": False}])
def test_a_backup_need_not_say_that_it_is_one(words: dict[str, Any]) -> None:
    world = pair(**words)
    assert world.pair(111) is not None
    assert world.problems(111) == []


ALONE = [
    ({}, []),
    ({"redundancyType": "htnohatype"}, []),
    (member_of("pool"), []),
    (WARM, ["redundancyType 'htwarmstanby': a pair needs a backup"]),
    (WARM | has_backup(110), ["serverInfo.backupServerDBID 110: an application is not its own"]),
    (WARM | has_backup(9), ["serverInfo.backupServerDBID 9: there is no such application"]),
]


@pytest.mark.parametrize(("words", "told"), ALONE)
def test_a_server_alone(words: dict[str, Any], told: list[str]) -> None:
    world = World({"DBID": 110, **words})
    found = world.problems(110)
    assert world.pair(110) is None
    assert len(found) == len(told), found
    assert all(one.startswith(start) for one, start in zip(found, told, strict=True)), found


NO_PAIRS = [
    ({}, {}, 110, "redundancyType None: who has a backup is htwarmstanby"),
    ({"redundancyType": "hthotstanby"}, {}, 110, "redundancyType 'hthotstanby': who has a backup"),
    (WARM, {"type": "statserver"}, 110, "CfgApplication:111 is of type statserver, not configurat"),
    (WARM, {"isServer": False}, 110, "CfgApplication:111 is no server"),
    (WARM, {"isServer": False}, 111, "isServer False: it is the backup of CfgApplication:110"),
    (WARM, has_backup(112) | WARM, 110, "CfgApplication:111 has a backup itself"),
    (WARM, has_backup(112) | WARM, 111, "it is the backup of CfgApplication:110, and has none its"),
    (WARM | member_of("pool"), {}, 110, "proxy-cluster-name 'pool': a member of a pool has no"),
    (WARM, member_of("pool"), 111, "proxy-cluster-name 'pool': a member of a pool has no"),
    (WARM | {"appServerDBIDs": [{"appServerDBID": 111}]}, {}, 110, "CfgApplication:111 is the se"),
]


@pytest.mark.parametrize(("primary", "backup", "told_of", "told"), NO_PAIRS)
def test_what_fits_nothing_is_no_pair(
    primary: dict[str, Any], backup: dict[str, Any], told_of: int, told: str
) -> None:
    world = World({"DBID": 110, **primary, **has_backup(111)}, {"DBID": 111, **backup})
    assert world.pair(110) is None
    assert world.pair(111) is None
    assert any(told in one for one in world.problems(told_of)), world.problems(told_of)


def test_a_proxy_whose_backup_is_the_master_is_no_pair() -> None:
    world = World({"DBID": 110, **WARM, **has_backup(99)}, {"DBID": 99})
    assert "CfgApplication:99 is the server that it follows" in world.problems(110)[0]
    assert world.pair(110) is None
    assert world.pair(99) is None


def test_one_backup_serves_one_primary() -> None:
    primaries = [{"DBID": dbid, **WARM, **has_backup(111)} for dbid in (110, 112)]
    world = World(*primaries, {"DBID": 111})
    assert [world.pair(one) for one in (110, 111, 112)] == [None, None, None]
    assert "is the backup of CfgApplication:112 already" in world.problems(110)[0]
    assert "it is the backup of CfgApplication:110 and of others" in world.problems(111)[0]


def test_flags_that_contradict_are_told_and_the_backup_that_is_named_counts() -> None:
    world = World(
        {"DBID": 110, **WARM, **has_backup(111), "isPrimary": False},
        {"DBID": 111, "isPrimary": True},
    )
    assert world.pair(110) is not None
    assert any("isPrimary False: who has a backup" in one for one in world.problems(110))
    assert any("there would be two primaries" in one for one in world.problems(110))
    assert "there would be two primaries" in world.problems(111)[0]


def test_applications_of_other_types_say_of_redundancy_what_they_like() -> None:
    other = {"type": "tserver"}
    world = World(
        {"DBID": 110, **other, **has_backup(111), "redundancyType": "hthotstanby"},
        {"DBID": 111, **other, **has_backup(110)},
        {"DBID": 112, **other, **has_backup(113)},
        {"DBID": 113},
    )
    assert world.problems(110) == []
    assert world.problems(112) == [
        "serverInfo.backupServerDBID 113: CfgApplication:113 is of type configurationserver, "
        "not tserver"
    ]
    assert (
        "it is the backup of CfgApplication:112, which is of type tserver"
        in (world.problems(113)[0])
    )
    assert [world.pair(one) for one in (110, 113)] == [None, None]
