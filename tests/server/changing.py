"""Changes an estate at random through a client, as people would, so that all indexes move."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import redis

Object = dict[str, Any]
Command = tuple[str, str, Any, Any] | tuple[str, str, Any]
REFRESH = 10  # changes until the estate is read anew


class Estate:
    """The objects as they were a few changes ago."""

    def __init__(self, client: redis.Redis, rng: random.Random) -> None:
        self._client, self.rng = client, rng
        self._read: dict[str, list[Object]] = {}
        self.step = 0

    def all(self, name: str) -> list[Object]:
        if name not in self._read:
            page = self._client.execute_command("CFG.READ", name, "LIMIT", 10000)[2]
            found = [json.loads(one) for one in page]
            self._read[name] = [one for one in found if one["DBID"] > 100]
        return self._read[name]

    def one(self, name: str, **wanted: Any) -> Object | None:
        fit = [one for one in self.all(name) if wanted.items() <= one.items()]
        return self.rng.choice(fit) if fit else None

    def forget(self) -> None:
        self._read.clear()


def update(one: Object, **delta: Any) -> Command:
    return "CFG.UPDATE", one["class"], one["DBID"], json.dumps(delta, ensure_ascii=False)


def _delete(estate: Estate) -> Iterator[Command]:
    names = ["CfgPerson", "CfgAgentLogin", "CfgPlace", "CfgDN", "CfgSkill"]
    if one := estate.one(estate.rng.choice(names)):
        yield "CFG.DELETE", one["class"], one["DBID"]


def _place(estate: Estate) -> Iterator[Command]:
    if agent := estate.one("CfgPerson", isAgent=True):
        place = estate.one("CfgPlace", tenantDBID=agent["tenantDBID"])
        dbid = estate.rng.choice([0, place["DBID"] if place else 0])
        yield update(agent, changed={"agentInfo.placeDBID": dbid})


def _login(estate: Estate) -> Iterator[Command]:
    agent = estate.one("CfgPerson", isAgent=True)
    login = estate.one("CfgAgentLogin")
    if agent and login:
        there = [x["agentLoginDBID"] for x in agent["agentInfo"].get("agentLogins", ())]
        path = "agentInfo.agentLogins"
        if there and estate.rng.random() < 0.6:
            yield update(agent, deleted={path: there[:1]})
        elif login["DBID"] not in there:
            yield update(agent, added={path: [{"agentLoginDBID": login["DBID"]}]})


def _member(estate: Estate) -> Iterator[Command]:
    group = estate.one("CfgAgentGroup")
    agent = estate.one("CfgPerson", isAgent=True)
    if group and agent:
        members = group.get("agentDBIDs", [])
        if agent["DBID"] in members or (members and estate.rng.random() < 0.4):
            yield update(group, deleted={"agentDBIDs": [estate.rng.choice(members)]})
        else:
            yield update(group, added={"agentDBIDs": [agent["DBID"]]})


def _numbers(estate: Estate) -> Iterator[Command]:
    place, dn = estate.one("CfgPlace"), estate.one("CfgDN")
    if place and dn:
        if estate.rng.random() < 0.5 and place.get("DNDBIDs"):
            yield update(place, deleted={"DNDBIDs": place["DNDBIDs"]})
        else:
            yield update(place, added={"DNDBIDs": [dn["DBID"]]})
        yield update(dn, changed={"association": estate.rng.choice(["a", "ü", ""]), "name": "n"})


def _application(estate: Estate) -> Iterator[Command]:
    one, backup = estate.one("CfgApplication"), estate.one("CfgApplication", isServer=True)
    person, host = estate.one("CfgPerson"), estate.one("CfgHost")
    if one and backup and person and host:
        account = {"type": "person", "DBID": estate.rng.choice([100, person["DBID"]])}
        changed = {
            "logonAs": account,
            "startupType": estate.rng.choice(["sutmanual", "sutdisabled"]),
        }
        if one.get("isServer"):
            changed["serverInfo.backupServerDBID"] = estate.rng.choice([0, backup["DBID"]])
        yield update(one, changed=changed)
        yield update(host, changed={"SCSDBID": estate.rng.choice([0, 99])})


def _state(estate: Estate) -> Iterator[Command]:
    names = ["CfgPerson", "CfgSkill", "CfgDN", "CfgFolder", "CfgTenant", "CfgSwitch", "CfgHost"]
    if one := estate.one(estate.rng.choice(names)):
        yield update(one, changed={"state": estate.rng.choice(["enabled", "disabled"])})
    if group := estate.one(estate.rng.choice(["CfgAgentGroup", "CfgAccessGroup"])):
        yield update(group, changed={"groupInfo.state": "disabled"})


def _person(estate: Estate) -> Iterator[Command]:
    tenant = estate.one("CfgTenant")
    person = estate.one("CfgPerson")
    if tenant and person:
        name = f"new{estate.step}"
        new = {"tenantDBID": tenant["DBID"], "userName": name, "employeeID": name}
        yield "CFG.CREATE", "CfgPerson", json.dumps({**new, "isAgent": True, "agentInfo": {}})
        changed = {"userName": f"u{name}", "lastName": estate.rng.choice(["Ł", "", "x" * 255])}
        folder = estate.one(
            "CfgFolder", type="person", ownerID={"type": "tenant", "DBID": person["tenantDBID"]}
        )
        if folder:
            changed["folderDBID"] = folder["DBID"]
        yield update(person, changed=changed)


KINDS: tuple[Callable[[Estate], Iterator[Command]], ...] = (
    _delete, _place, _login, _member, _numbers, _application, _state, _person,
)  # fmt: skip


def change_at_random(client: redis.Redis, rng: random.Random, steps: int) -> int:
    """Makes so many changes; what the rules refuse doesn't count. How many were refused."""
    estate = Estate(client, rng)
    refused = 0
    for estate.step in range(steps):
        for command in rng.choice(KINDS)(estate):
            try:
                client.execute_command(*command)
            except redis.ResponseError:
                refused += 1
        if estate.step % REFRESH == REFRESH - 1:
            estate.forget()
    assert refused < steps / 4, f"{refused} changes refused"
    return refused
