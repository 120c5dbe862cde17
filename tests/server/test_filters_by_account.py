"""Filters tell nothing of what is hidden: each answers as if there were nothing else (G9).

An estate with objects of all classes is granted at random; what an account gets by each filter key
is what a look at all objects that it may read finds, without the others.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from csp.model.image import json_of, parse_header
from csp.model.rights import ALL, EXECUTE, PERSON, PROPAGATE, READ, rights_on
from csp.model.types import by_id
from tests.property.granted_world import GrantedWorld
from tests.server.brute_force import TYPE_WORDS, World, filters
from tests.server.granted_server import GrantedServer
from tests.server.population import populate
from tests.unit.master_stage import Stage

SEED = 7
ACCOUNTS = 4
VALUES_MAX = 12  # of one key
LISTED = 500


class AtTheMaster:
    """What `populate` asks of a client, answered by a master on a database of its own."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def execute_command(self, verb: str, *words: Any) -> Any:
        if verb == "CFG.READ":
            found = [one for one in objects_of(self.stage) if one["class"] == words[0]]
            if "tenant_dbid" in words:
                found = [one for one in found if _is_environments(one)]
            return [0, "0", [orjson.dumps(one) for one in found[:LISTED]]]
        *head, text = words
        parsed = json.loads(text) if isinstance(text, str) else text
        outcome = self.stage.write(verb, *head, parsed)
        assert outcome.error is None, outcome.error
        return [outcome.revision, outcome.results[0] if outcome.results else 0]


def _is_environments(one: dict[str, Any]) -> bool:
    own = one.get("tenantDBID") or one.get("groupInfo", {}).get("tenantDBID")
    return own == 1 or 1 in one.get("tenantDBIDs", ())


def objects_of(stage: Stage) -> list[dict[str, Any]]:
    return [
        orjson.loads(json_of(image))
        for image in stage.host.records.values()
        if parse_header(image).class_id in by_id
    ]


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """All objects of a master that some were added to, with persons that have logins and places."""
    stage = Stage(tmp_path_factory.mktemp("estate"))
    client, random_ = AtTheMaster(stage), random.Random(SEED)
    try:
        population = populate(client, random_)  # type: ignore[arg-type]
        switch = population.refer("CfgSwitch")
        for number in range(20):
            login = stage.create("CfgAgentLogin", switchDBID=switch, loginCode=f"l{number}")
            folder = stage.create("CfgSkill", tenantDBID=1, name=f"s{number}")
            agent = {
                "agentLogins": [{"agentLoginDBID": login, "wrapupTime": 1}],
                "skillLevels": [{"skillDBID": folder, "level": 1}],
                "placeDBID": population.refer("CfgPlace"),
            }
            person = stage.create(
                "CfgPerson", tenantDBID=1, userName=f"a{number}", employeeID=f"a{number}",
                isAgent=True, agentInfo=agent,
            )  # fmt: skip
            group = {"tenantDBID": 1, "name": f"ag{number}"}
            stage.create("CfgAgentGroup", groupInfo=group, agentDBIDs=[person])
            member = [{"type": "person", "DBID": person}]
            stage.create(
                "CfgAccessGroup", groupInfo={"tenantDBID": 1, "name": f"xg{number}"},
                type="defaultgroup", memberIDs=member,
            )  # fmt: skip
        return objects_of(stage)
    finally:
        stage.close()


@pytest.fixture(scope="module")
def server(estate: list[dict[str, Any]]) -> Iterator[GrantedServer]:
    """The same objects, each granted or hidden at random; four accounts read."""
    world, random_ = GrantedWorld(), random.Random(SEED)
    for one in estate:
        place = world.put(
            one["class"], one["DBID"], **{k: v for k, v in one.items() if k != "class"}
        )
        for dbid in _accounts(estate):
            if random_.random() < 0.6:
                grant = random_.choice((READ, READ | PROPAGATE, 0, ALL))
                world.add(place, (PERSON.id, dbid), grant)
    for dbid in _accounts(estate):
        world.add((9, 100), (PERSON.id, dbid), READ | EXECUTE)
    made = GrantedServer(world)
    yield made
    made.stop()


def _accounts(estate: list[dict[str, Any]]) -> list[int]:
    persons = [one["DBID"] for one in estate if one["class"] == "CfgPerson"]
    return sorted(persons)[-ACCOUNTS:]


@pytest.mark.parametrize("number", range(ACCOUNTS))
def test_each_filter_answers_as_if_there_were_nothing_else(
    server: GrantedServer, estate: list[dict[str, Any]], number: int
) -> None:
    dbid = _accounts(estate)[number]
    world = server.world
    accounts = world.accounts_of(dbid)
    shown = [
        {**one, "class": by_id[place[0]].name}
        for place, one in world.objects.items()
        if rights_on(world, place, accounts) & READ
    ]
    assert 0.1 < len(shown) / len(world.objects) < 0.9
    readable, everything = World(shown), World(estate)
    raw = server.connect_as(dbid)
    asked, differ = 0, 0
    for name in TYPE_WORDS:
        keys, hidden = readable.keys(name), everything.keys(name)
        for key, values in hidden.items():
            for value in sorted(values, key=str)[:VALUES_MAX]:
                expected = sorted(keys[key][value] & readable.all[name].keys())
                words = filters(key, value)
                page = raw.call("CFG.READ", name, *words, "LIMIT", 1000)
                found = [orjson.loads(one)["DBID"] for one in page[2]]
                assert found == expected, (name, key, value)
                assert raw.call("CFG.COUNT", name, *words) == len(expected), (name, key, value)
                asked += 1
                differ += len(expected) != len(values[value])
    assert asked > 300
    assert differ > 100
