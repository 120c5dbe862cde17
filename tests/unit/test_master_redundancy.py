"""What of redundancy a master refuses when it is written: pairs and pools that fit nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.errors import CspError
from csp.rules.objects import RULES
from tests.unit.master_stage import Stage

SERVER_PROTOTYPE, OTHER_PROTOTYPE = 1, 4
WARM: dict[str, Any] = {"redundancyType": "htwarmstanby"}
SPLIT = {"redundancyType": "htnohatype", "serverInfo": {"backupServerDBID": 0}}


def a_server(name: str, *, prototype: int = SERVER_PROTOTYPE, **more: Any) -> dict[str, Any]:
    plain = {"name": name, "appPrototypeDBID": prototype, "isServer": True, "tenantDBIDs": [1],
             "workDirectory": "/", "commandLine": "run"}  # fmt: skip
    return plain | more


def has_backup(dbid: int | str) -> dict[str, Any]:
    return WARM | {"serverInfo": {"backupServerDBID": dbid}}


def pooled(name: str) -> dict[str, Any]:
    return {"options": {"csproxy": {"proxy-cluster-name": name}}}


class Pairs(Stage):
    """A master with a pair of proxies and two that are single."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.second = self.server("second")
        self.first = self.server("first", **has_backup(self.second))
        self.third = self.server("third")
        self.fourth = self.server("fourth")

    def server(self, name: str, **more: Any) -> int:
        return self.create("CfgApplication", **a_server(name, **more))

    def change(self, dbid: int, **changed: Any) -> str:
        """The error line of a change; empty: it was taken."""
        delta: dict[str, Any] = {}
        if options := changed.pop("options", None):
            delta["options"] = {"changed": options}
        if links := changed.pop("appServerDBIDs", None):
            delta["added"] = {"appServerDBIDs": links}
        try:
            self.update("CfgApplication", dbid, delta | {"changed": changed})
        except CspError as error:
            return error.line
        return ""


@pytest.fixture
def pairs(tmp_path: Path) -> Iterator[Pairs]:
    found = Pairs(tmp_path)
    yield found
    found.close()


def test_what_fits_nothing_is_refused_with_attribute_value_and_rule(pairs: Pairs) -> None:
    first, second, third, fourth = pairs.first, pairs.second, pairs.third, pairs.fourth
    follows = [{"appServerDBID": fourth}]
    other = pairs.server("stat", prototype=OTHER_PROTOTYPE)
    rows: list[tuple[int, dict[str, Any], str]] = [
        (third, WARM, "redundancyType 'htwarmstanby': a pair needs a backup"),
        (third, {"serverInfo": {"backupServerDBID": fourth}}, "redundancyType None: who has a ba"),
        (third, has_backup(third), f"serverInfo.backupServerDBID {third}: an application is not "),
        (third, has_backup(99), "CfgApplication:99 is the server that it follows"),
        (third, has_backup(fourth) | {"appServerDBIDs": follows}, "is the server that it follows"),
        (third, has_backup(second), f"is the backup of CfgApplication:{first} already"),
        (third, has_backup(first), f"CfgApplication:{first} has a backup itself"),
        (third, has_backup(other), f"CfgApplication:{other} is of type statserver, not config"),
        (third, has_backup(fourth) | pooled("pool"), "'pool': a member of a pool has no backup"),
        (first, pooled("pool"), "options.csproxy.proxy-cluster-name 'pool': a member of a pool"),
        (second, pooled("pool"), "'pool': a member of a pool has no backup, and is nobody's"),
        (second, has_backup(third), f"it is the backup of CfgApplication:{first}, and has none"),
        (second, {"isPrimary": True}, f"it is the backup of CfgApplication:{first}: there would"),
        (second, {"isServer": False}, f"it is the backup of CfgApplication:{first}, and has to"),
        (first, {"isPrimary": False}, "isPrimary False: who has a backup is the primary"),
        (first, {"redundancyType": "hthotstanby"}, "redundancyType 'hthotstanby': who has a back"),
        (first, {"serverInfo": {"backupServerDBID": 0}}, "'htwarmstanby': a pair needs a backup"),
    ]
    for dbid, changed, told in rows:
        line = pairs.change(dbid, **changed)
        assert line.startswith(f"BADVALUE CfgApplication:{dbid} "), (changed, line)
        assert told in line, (changed, line)


def test_the_backup_of_a_pair_is_not_deleted_without_splitting_it(pairs: Pairs) -> None:
    line = pairs.refused("CFG.DELETE", "CfgApplication", pairs.second)
    assert line.startswith("BADVALUE")
    assert "a pair needs a backup" in line
    assert pairs.change(pairs.first, **SPLIT) == ""
    pairs.delete("CfgApplication", pairs.second)


def test_a_pair_is_joined_and_turned_in_one_change_and_split_again(pairs: Pairs) -> None:
    assert pairs.change(pairs.third, **has_backup(pairs.fourth), isPrimary=True) == ""
    turned = pairs.exec(
        ("CFG.UPDATE", "CfgApplication", pairs.third,
         {"changed": SPLIT | {"isPrimary": False}}),
        ("CFG.UPDATE", "CfgApplication", pairs.fourth,
         {"changed": has_backup(pairs.third) | {"isPrimary": True}}),
    )  # fmt: skip
    assert turned.error is None, turned.error
    assert pairs.change(pairs.fourth, **SPLIT) == ""
    assert pairs.change(pairs.third, **pooled("pool")) == ""


def test_both_halves_of_a_pair_are_made_together(pairs: Pairs) -> None:
    made = pairs.exec(
        ("CFG.CREATE", "CfgApplication", a_server("a", **has_backup("@2"))),
        ("CFG.CREATE", "CfgApplication", a_server("b", **WARM)),
    )
    assert made.error is None, made.error


def test_what_says_nothing_of_redundancy_is_taken_where_the_rest_stands_wrong(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older release wrote it: it keeps nobody from changing what is not concerned."""
    with monkeypatch.context() as older:
        older.setitem(RULES, "CfgApplication", ())
        assert pairs.change(pairs.third, **WARM) == ""
    assert pairs.change(pairs.third, startupTimeout=30) == ""
    assert "a pair needs a backup" in pairs.change(pairs.third, isPrimary=True)


def test_applications_of_other_types_may_have_backups_as_they_like(pairs: Pairs) -> None:
    one = pairs.server("one", prototype=OTHER_PROTOTYPE, redundancyType="hthotstanby")
    two = pairs.server("two", prototype=OTHER_PROTOTYPE, serverInfo={"backupServerDBID": one})
    assert pairs.change(one, serverInfo={"backupServerDBID": two}) == ""
    line = pairs.change(one, serverInfo={"backupServerDBID": pairs.third})
    assert f"CfgApplication:{pairs.third} is of type configurationserver, not " in line
