"""Uses of the client as type checkers see them: run by none, read by test_client_types.py.

A line that ends with `# refused` has to be an error, every other line must be none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal, assert_type

from csp.client import AsyncClient, Client, Created, Object, Page, Sections
from csp.client.objects import AgentInfo, CfgApplication, CfgPerson, CfgPlace, CfgSkill


def reads(client: Client) -> None:
    assert_type(client.get(CfgPerson, 101), CfgPerson | None)
    assert_type(client.get("CfgPerson", 101), dict[str, Any] | None)
    assert_type(client.find(CfgPerson, user_name="ann"), CfgPerson | None)
    assert_type(client.page(CfgPerson, group_dbid=7), Page[CfgPerson])
    assert_type(client.page("CfgPerson", group_dbid=7), Page[Object])
    assert_type(client.read(CfgPerson, group_dbid=7), Iterator[CfgPerson])
    assert_type(client.read("CfgPerson", group_dbid=7), Iterator[Object])
    assert_type(client.count(CfgPerson, group_dbid=7), int)
    client.count(Client, group_dbid=7)  # refused
    client.get(101, 101)  # refused
    client.get(CfgPerson, "101")  # refused
    other: CfgPlace | None = client.get(CfgPerson, 101)  # refused
    untyped: CfgPlace | None = client.get("CfgPlace", 101)  # refused
    print(other, untyped)


async def reads_on_asyncio(client: AsyncClient) -> None:
    assert_type(await client.get(CfgPerson, 101), CfgPerson | None)
    assert_type(await client.get("CfgPerson", 101), dict[str, Any] | None)
    assert_type(await client.find(CfgPerson, user_name="ann"), CfgPerson | None)
    assert_type(await client.page(CfgPerson, group_dbid=7), Page[CfgPerson])
    assert_type(client.read(CfgPerson, group_dbid=7), AsyncIterator[CfgPerson])
    async for person in client.read(CfgPerson):
        print(person["userName"])
        print(person["username"])  # refused
    await client.create(CfgSkill, {"name": "French", "tenantDBID": 1})
    await client.create(CfgSkill, {"name": 1})  # refused
    await client.update(CfgSkill, 101, {"changed": {"name": "German"}})
    await client.update(CfgSkill, 101, {"changed": {"named": "German"}})  # refused
    async with client.transaction() as t:
        t.create(CfgSkill, {"named": "Spanish"})  # refused


def attributes(person: CfgPerson, application: CfgApplication) -> None:
    assert_type(person["DBID"], int)
    assert_type(person["state"], Literal["enabled", "disabled"])
    assert_type(person["agentInfo"], AgentInfo)
    assert_type(person["agentInfo"]["skillLevels"][0]["level"], int)
    assert_type(person["userProperties"], Sections)
    print(person["class"], application["type"] == "tserver", application["type"] == "later")
    print(person["skillLevels"])  # refused
    print(person["agentInfo"]["skillLevels"][0]["name"])  # refused
    print(person["state"] == "asleep")  # refused


def creates(client: Client, person: CfgPerson, plain: Object) -> None:
    skills = {"skillDBID": 102, "level": 5}
    info: AgentInfo = {"skillLevels": [{"skillDBID": 102, "level": 5}]}
    assert_type(client.create(CfgPerson, {"userName": "ann", "isAgent": True}), Created)
    assert_type(client.create("CfgPerson", {"anything": 1}), Created)
    client.create(CfgPerson, {"agentInfo": info, "userProperties": {"a": {"b": "c", "d": 1}}})
    client.create(CfgPerson, person)
    client.create("CfgPerson", plain)
    client.create(CfgApplication, {"name": "of a later release", "type": "newserver"})
    client.create(CfgPerson, {"username": "ann"})  # refused
    client.create(CfgPerson, {"userName": 7})  # refused
    client.create(CfgPerson, {"state": "asleep"})  # refused
    client.create(CfgPerson, {"agentInfo": {"skillLevels": [{"skill": 102}]}})  # refused
    client.create(CfgPerson, {"agentInfo": {"skillLevels": [skills, 7]}})  # refused
    client.create(CfgPerson, plain)  # refused
    client.create(CfgPlace, person)  # refused


def updates(client: Client, plain: Object) -> None:
    assert_type(client.update(CfgPerson, 101, {"changed": {"lastName": "Lee"}}), int)
    client.update(CfgPerson, 101, {"changed": {"agentInfo": {"placeDBID": 7}}})
    client.update(CfgPerson, 101, {"deleted": {"agentInfo.skillLevels": [102]}}, if_revision=9)
    client.update(CfgPerson, 101, {"userProperties": {"deleted": {"a": None, "b": ["c"]}}})
    client.update("CfgPerson", 101, {"changed": {"comment": None}})
    client.update("CfgPerson", 101, plain)
    client.update(CfgPerson, 101, {"changed": {"lastname": "Lee"}})  # refused
    client.update(CfgPerson, 101, {"changed": {"lastName": 7}})  # refused
    client.update(CfgPerson, 101, {"lastName": "Lee"})  # refused
    client.update(CfgPerson, 101, {"userProperties": {"deleted": ["a"]}})  # refused


def transactions(client: Client) -> None:
    with client.transaction() as t:
        skill = t.create(CfgSkill, {"name": "French"})
        t.create(CfgPerson, {"agentInfo": {"skillLevels": [{"skillDBID": skill}]}})
        t.create("CfgPerson", {"anything": skill})
        t.update(CfgPerson, 101, {"added": {"agentInfo.skillLevels": [{"skillDBID": skill}]}})
        t.delete(CfgPerson, 102)
        t.delete(Client, 102)  # refused
        t.create(CfgSkill, {"named": "French"})  # refused
        t.update(CfgPerson, 101, {"change": {}})  # refused
