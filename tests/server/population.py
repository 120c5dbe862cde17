"""Adds objects of the classes that a made-up estate lacks, with references at random.

An object is written as people would write it; `refer` picks objects of a class that are there.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import redis

Object = dict[str, Any]
EACH = 12  # objects of each class
TENANT = 1
# Classes that have nothing but a name here.
PLAIN = (
    "CfgStatDay", "CfgStatTable", "CfgTreatment", "CfgFilter", "CfgTimeZone", "CfgVoicePrompt",
    "CfgObjectiveTable", "CfgScheduledTask",
)  # fmt: skip


class Population:
    """Creates objects one after the other and remembers them by class."""

    def __init__(self, client: redis.Redis, rng: random.Random) -> None:
        self.client, self.rng = client, rng
        self.there: dict[str, list[int]] = {}

    def refer(self, class_name: str) -> int:
        """The DBID of some object of Environment."""
        if class_name not in self.there:
            words = ("FILTER", "tenant_dbid", TENANT) if class_name != "CfgTenant" else ()
            page = self.client.execute_command("CFG.READ", class_name, *words, "LIMIT", 100)[2]
            self.there[class_name] = [json.loads(one)["DBID"] for one in page]
        return self.rng.choice(self.there[class_name])

    def some(self, class_name: str, most: int = 4) -> list[int]:
        """Several different ones."""
        return sorted({self.refer(class_name) for _ in range(self.rng.randint(0, most))})

    def create(self, class_name: str, obj: Object) -> int:
        text = json.dumps(obj, ensure_ascii=False)
        dbid = int(self.client.execute_command("CFG.CREATE", class_name, text)[1])
        self.there.setdefault(class_name, []).append(dbid)
        return dbid


def _named(number: int, **more: Any) -> Object:
    return {"tenantDBID": TENANT, "name": f"o{number}", **more}


def _group(number: int, **more: Any) -> Object:
    return {"groupInfo": {"tenantDBID": TENANT, "name": f"g{number}"}, **more}


def _objects(at: Population, n: int) -> Iterator[tuple[str, Object]]:
    """One object of each class; those that others refer to come first."""
    pick, refer, some = at.rng.choice, at.refer, at.some
    for name in PLAIN:
        yield name, _named(n)
    code = {"text": f"ö{n}", "code": {"base64": "AAEC" * n}, "more": {"base64": ""}}
    yield "CfgScript", _named(n, type=pick(["capacityrule", "schedule"]), userProperties={
        "one": code, "two": {"only": {"base64": "AA=="}}, "three": {"x": 1}})  # fmt: skip
    yield "CfgActionCode", _named(n, type=pick(["login", "transfer"]), subcodes=[{"name": "a"}])
    yield "CfgTransaction", _named(n, type=pick(["list", "macro"]), alias=f"a{n}")
    yield "CfgPlace", _named(n, capacityRuleDBID=refer("CfgScript"))
    switch = at.create("CfgSwitch", _named(n, physSwitchDBID=at.create("CfgPhysicalSwitch", {
        "name": f"o{n}", "type": "sipswitch"})))  # fmt: skip
    kinds = pick(["singleports", "acdqueues"])
    dns = at.create("CfgDNGroup", _group(n, type=kinds))
    yield "CfgDN", {"switchDBID": switch, "number": "1", "type": "extension", "groupDBID": dns}
    listed = [{"DNDBID": dbid, "trunks": n} for dbid in some("CfgDN")]
    yield "CfgDNGroup", _group(n + EACH, type=kinds, DNs=listed)
    rule = {"tenantDBID": TENANT, "name": f"r{n}", "capacityRuleDBID": refer("CfgScript")}
    yield "CfgPlaceGroup", {"groupInfo": rule, "placeDBIDs": some("CfgPlace")}
    yield "CfgAgentGroup", {"groupInfo": rule}
    yield "CfgPerson", {
        "tenantDBID": TENANT, "userName": f"o{n}", "employeeID": f"o{n}", "isAgent": True,
        "externalID": pick(["", "people/one", "people/two"]),
        "agentInfo": {"capacityRuleDBID": refer("CfgScript")},
    }  # fmt: skip
    yield "CfgTenant", {"name": f"t{n}", "defaultCapacityRuleDBID": refer("CfgScript")}
    yield "CfgField", _named(n, type="dtchar")
    yield "CfgFormat", _named(n, fieldDBIDs=some("CfgField"))
    yield "CfgTableAccess", _named(n, formatDBID=refer("CfgFormat"))
    yield "CfgCallingList", _named(
        n, tableAccessDBID=refer("CfgTableAccess"), logTableAccessDBID=refer("CfgTableAccess"),
        filterDBID=refer("CfgFilter"), treatmentDBIDs=some("CfgTreatment"),
        scriptDBID=refer("CfgScript"),
    )  # fmt: skip
    group = pick(["agentgroup", "placegroup"])
    named = {"agentgroup": "CfgAgentGroup", "placegroup": "CfgPlaceGroup"}[group]
    yield "CfgCampaign", _named(
        n, scriptDBID=refer("CfgScript"),
        callingLists=[{"callingListDBID": one, "share": n} for one in some("CfgCallingList")],
        campaignGroups=[{"groupType": group, "groupDBID": one} for one in some(named)],
    )  # fmt: skip
    yield "CfgGVPIVRProfile", _named(n, DIDDBIDs=some("CfgDN"))
    yield "CfgCampaignGroup", {
        "campaignDBID": refer("CfgCampaign"), "name": f"o{n}", "groupType": group,
        "groupDBID": refer(named), "IVRProfileDBID": refer("CfgGVPIVRProfile"),
    }  # fmt: skip
    yield "CfgIVR", _named(n, IVRServerDBID=refer("CfgApplication"), type="ivrtother")
    port = {"IVRDBID": refer("CfgIVR"), "DNDBID": refer("CfgDN")}
    for number in (f"{n}", f"{n} too"):  # two ports of one IVR may be at one DN
        yield "CfgIVRPort", {**port, "portNumber": number}
    yield "CfgAlarmCondition", {"name": f"o{n}", "reactionScriptDBIDs": some("CfgScript")}
    values = at.create("CfgEnumerator", _named(n, type="entrole", displayName="x"))
    for is_default in (True, False):
        value = {"enumeratorDBID": values, "name": f"o{is_default}", "isDefault": is_default}
        yield "CfgEnumeratorValue", value
    components = [{"appDBID": one, "startupPriority": n} for one in some("CfgApplication")]
    yield "CfgService", {"name": f"o{n}", "type": "stbranchoffice", "components": components}
    yield "CfgGVPReseller", _named(n, timeZoneDBID=refer("CfgTimeZone"))
    yield "CfgGVPCustomer", _named(n, resellerDBID=refer("CfgGVPReseller"))
    members = [{"objectType": "person", "objectDBID": one} for one in some("CfgPerson")]
    members += [{"objectType": "accessgroup", "objectDBID": one} for one in some("CfgAccessGroup")]
    yield "CfgRole", _named(n, members=members)


Change = Callable[[Population, int], tuple[str, int, Object]]


def populate(client: redis.Redis, rng: random.Random) -> Population:
    """EACH objects of every class, then some of what they say changed and some deleted."""
    population = Population(client, rng)
    for number in range(EACH):
        for class_name, obj in _objects(population, number):
            population.create(class_name, obj)
    for class_name, dbid, delta in _changes(population):
        client.execute_command("CFG.UPDATE", class_name, dbid, json.dumps(delta))
    for class_name in ("CfgField", "CfgCallingList", "CfgPlaceGroup", "CfgScript", "CfgTreatment"):
        # What refers to it as a member or may do without it is changed by that.
        client.execute_command("CFG.DELETE", class_name, population.there[class_name].pop())
    return population


def _changes(at: Population) -> Iterator[tuple[str, int, Object]]:
    refer, some = at.refer, at.some
    for _ in range(EACH):
        yield "CfgTenant", refer("CfgTenant"), {
            "changed": {"defaultCapacityRuleDBID": refer("CfgScript")}}  # fmt: skip
        yield "CfgPlace", refer("CfgPlace"), {"changed": {"capacityRuleDBID": 0}}
        yield "CfgScript", refer("CfgScript"), {"changed": {"type": "schedule"}}
        yield "CfgDN", refer("CfgDN"), {"changed": {"groupDBID": refer("CfgDNGroup")}}
        yield "CfgPlaceGroup", refer("CfgPlaceGroup"), {"added": {"placeDBIDs": some("CfgPlace")}}
        yield "CfgFormat", refer("CfgFormat"), {"added": {"fieldDBIDs": some("CfgField")}}
        yield "CfgCampaign", refer("CfgCampaign"), {"changed": {"scriptDBID": 0}}
        yield "CfgIVRPort", refer("CfgIVRPort"), {"changed": {"DNDBID": refer("CfgDN")}}
        yield "CfgCampaignGroup", refer("CfgCampaignGroup"), {"changed": {"groupDBID": 0}}
