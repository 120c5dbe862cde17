"""F91: the scope of a proxy, as it is read, and as a master keeps to it in what its clients ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from csp.model.places import FOLDER, NOWHERE, TENANT, Place
from csp.model.principal import Principal, message_of
from csp.model.scope import holds, read_scope, within
from tests.unit.rights_stage import RightsStage, renamed
from tests.unit.test_master_rights import sees_as_missing

TOP, INNER, BESIDE = (FOLDER.id, 10), (FOLDER.id, 11), (FOLDER.id, 12)
SKILL: Place = (13, 501)
ABOVE: dict[Place, Place] = {
    (TENANT.id, 1): NOWHERE,
    (TENANT.id, 101): (TENANT.id, 1),
    TOP: (TENANT.id, 101),
    INNER: TOP,
    BESIDE: (TENANT.id, 101),
    SKILL: INNER,
}


def container_of(place: Place) -> Place:
    return ABOVE.get(place, NOWHERE)


def test_a_text_names_containers() -> None:
    assert read_scope("") is None
    assert read_scope(" ") is None
    assert read_scope("CfgTenant:101, CfgFolder:10") == {(TENANT.id, 101), TOP}


@pytest.mark.parametrize("text", ["CfgFolder", "CfgFolder:x", "Folder:10", ",", "CfgFolder:10x"])
def test_what_is_no_key_hides_everything(text: str) -> None:
    scope = read_scope(text)
    assert scope == frozenset() or text == ","
    assert scope is None or not within(scope, TOP, container_of)


def test_what_lies_below_is_in_it_and_what_is_beside_is_not() -> None:
    scope = frozenset({TOP})
    assert holds(scope, INNER, container_of, governs_itself=False)
    assert holds(scope, SKILL, container_of, governs_itself=False)
    assert not holds(scope, BESIDE, container_of, governs_itself=True)
    # The container itself lies beside others, unless it governs itself.
    assert not holds(scope, TOP, container_of, governs_itself=False)
    assert holds(scope, TOP, container_of, governs_itself=True)


def test_a_tenant_ends_the_way_up() -> None:
    scope = frozenset({(TENANT.id, 1)})
    assert not holds(scope, (TENANT.id, 101), container_of, governs_itself=True)
    assert not holds(scope, SKILL, container_of, governs_itself=False)
    assert holds(frozenset({(TENANT.id, 101)}), SKILL, container_of, governs_itself=False)


def test_what_goes_round_in_a_circle_is_in_no_scope() -> None:
    ways = {(FOLDER.id, 1): (FOLDER.id, 2), (FOLDER.id, 2): (FOLDER.id, 1)}
    assert not within(frozenset({TOP}), (FOLDER.id, 1), lambda place: ways[place])


@pytest.fixture
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RightsStage]:
    found = RightsStage(tmp_path_factory.mktemp("db"))
    yield found
    found.close()


def by_a_proxy_of(stage: RightsStage, scope: str) -> None:
    """What follows is asked by `default`, who may everything, through a proxy of this scope."""
    proxy = Principal(100, address="192.0.2.9:1")
    client = Principal(100, address="192.0.2.7:1", scope=scope)
    stage.asks = message_of(proxy, is_server=True, behalf=client)


def test_a_write_outside_is_refused_as_of_what_is_not_there(stage: RightsStage) -> None:
    inside = stage.create("CfgPerson", **person_in(stage.north, "inside"))
    outside = stage.create("CfgPerson", **person_in(stage.south, "outside"))
    by_a_proxy_of(stage, f"CfgFolder:{stage.north}")
    stage.done("CFG.UPDATE", "CfgPerson", inside, renamed("x"))
    for command in (
        ("CFG.UPDATE", "CfgPerson", "DBID", renamed("x")),
        ("CFG.DELETE", "CfgPerson", "DBID"),
        ("CFG.GRANT", "KEY", "SYSTEM", "R"),
    ):
        sees_as_missing(stage, f"CfgPerson:{outside}", *command)
    move = {"changed": {"folderDBID": stage.south}}
    assert stage.refused("CFG.UPDATE", "CfgPerson", inside, move).startswith("NOREF ")
    by_a_proxy_of(stage, "nonsense")
    sees_as_missing(stage, f"CfgPerson:{inside}", "CFG.UPDATE", "CfgPerson", "DBID", renamed("y"))


def test_what_it_creates_has_to_lie_inside_and_to_name_what_does(stage: RightsStage) -> None:
    by_a_proxy_of(stage, "CfgTenant:1")
    stage.done("CFG.CREATE", "CfgPerson", person_in(stage.north, "one"))
    by_a_proxy_of(stage, f"CfgFolder:{stage.north}")
    two = person_in(stage.north, "two")
    assert "there is no CfgTenant:1" in stage.refused("CFG.CREATE", "CfgPerson", two)


def person_in(folder: int, name: str) -> dict[str, object]:
    return {"tenantDBID": 1, "employeeID": name, "userName": name, "folderDBID": folder}
