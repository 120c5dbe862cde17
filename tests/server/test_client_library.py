"""csp.client, blocking and for asyncio, against a real master and a link that breaks."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from csp.client import (
    Address,
    AsyncClient,
    Change,
    Client,
    Created,
    Credentials,
    NotApplied,
    Outcome,
    subscription,
)
from csp.client.objects import CfgPerson, CfgSkill
from csp.errors import BadValue, Conflict, CspError, ExecAbort, Unique, UnknownOutcome
from tests.neighbours.cutting_link import CuttingLink
from tests.neighbours.either_client import KINDS, Clients
from tests.neighbours.ports import free_port
from tests.neighbours.server import PASSWORD, Master

ROOT = Path(__file__).resolve().parent.parent.parent
CREDENTIALS = Credentials("default", PASSWORD)
SKILLS = 25

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    folder: Path = tmp_path_factory.mktemp("library")
    with Master(folder).start() as server, client_of(server.port) as client:
        for number in range(SKILLS):
            client.create("CfgSkill", {"name": f"skill {number}", "tenantDBID": 1})
        yield server


@pytest.fixture
def link(master: Master) -> Iterator[CuttingLink]:
    link = CuttingLink(master.port)
    yield link
    link.close()


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes clients of one kind of a port."""
    clients = Clients(request.param)
    yield lambda port, **options: clients(address_of(port), CREDENTIALS, **options)
    clients.close()


def address_of(port: int) -> Address:
    return Address("127.0.0.1", port)


def client_of(port: int) -> Client:
    return Client(address_of(port), CREDENTIALS)


def new_skill() -> dict[str, Any]:
    return {"name": f"new {uuid.uuid4().hex}", "tenantDBID": 1}


def test_queries_by_keyword(master: Master, make: Make) -> None:
    client = make(master.port)
    found = client.find("CfgSkill", name="skill 3", tenant_dbid=1)
    assert found["name"] == "skill 3"
    assert client.get("CfgSkill", found["DBID"]) == found
    assert client.get("CfgSkill", 999_999) is None
    assert client.count("CfgSkill", name="skill 3") == 1
    assert client.find(CfgSkill, name="skill 3", tenant_dbid=1) == found
    assert client.get(CfgSkill, found["DBID"]) == found
    assert client.count(CfgSkill, name="skill 3") == 1
    assert list(client.read(CfgSkill, name="skill 3")) == [found]
    assert client.page(CfgSkill, name="skill 3").objects == [found]
    assert client.count("CfgPerson", is_agent=True) == 0
    (person,) = client.read("CfgPerson", user_name="default", fields=("userName",))
    assert person.keys() == {"class", "DBID", "revision", "userName"}
    (brief,) = client.read("CfgPerson", user_name="default", brief=True)
    assert brief.keys() < client.get("CfgPerson", brief["DBID"]).keys()
    with pytest.raises(BadValue, match="no_such_key"):
        client.count("CfgSkill", no_such_key=1)
    with pytest.raises(CspError, match="CfgNone"):
        list(client.read("CfgNone"))


def test_pages_are_read_as_they_are_taken(master: Master, make: Make, monkeypatch: Any) -> None:
    monkeypatch.setattr("csp.client.commands.PAGE_OBJECTS", 10)
    client = make(master.port)
    names = [skill["name"] for skill in client.read("CfgSkill", limit=15)]
    assert names == [f"skill {number}" for number in range(15)]
    first = client.page("CfgSkill", limit=7)
    following = client.page("CfgSkill", limit=7, cursor=first.cursor)
    assert len(first.objects) == 7
    assert following.revision == first.revision
    assert following.objects[0]["name"] == "skill 7"


def test_a_read_over_pages_survives_a_lost_connection(
    link: CuttingLink, make: Make, monkeypatch: Any
) -> None:
    monkeypatch.setattr("csp.client.commands.PAGE_OBJECTS", 4)
    client = make(link.port)
    names = []
    for skill in client.read("CfgSkill", limit=SKILLS):
        names.append(skill["name"])
        if len(names) in (2, 9):
            link.cut()
    assert names == [f"skill {number}" for number in range(SKILLS)]
    assert link.connections == 3


def test_writes_have_typed_results_and_errors(master: Master, make: Make) -> None:
    client = make(master.port)
    skill = new_skill()
    created = client.create("CfgSkill", skill)
    assert isinstance(created, Created)
    with pytest.raises(Unique):
        client.create("CfgSkill", skill)
    revision = client.update("CfgSkill", created.dbid, {"changed": {"name": uuid.uuid4().hex}})
    assert revision > created.revision
    with pytest.raises(Conflict):
        client.delete("CfgSkill", created.dbid, if_revision=created.revision)
    assert client.delete("CfgSkill", created.dbid, if_revision=revision) > revision
    assert client.get("CfgSkill", created.dbid) is None


def test_a_write_whose_reply_was_lost_gives_its_true_result(link: CuttingLink, make: Make) -> None:
    client = make(link.port)
    skill = new_skill()
    link.cut_after(b"CFG.CREATE")
    created = client.create("CfgSkill", skill)
    assert link.connections == 2
    assert client.get("CfgSkill", created.dbid)["revision"] == created.revision
    assert client.count("CfgSkill", name=skill["name"]) == 1
    link.cut_after(b"CFG.DELETE")
    revision = client.delete("CfgSkill", created.dbid)
    assert revision == created.revision + 1


def test_a_write_that_never_arrived_is_sent_again(link: CuttingLink, make: Make) -> None:
    client = make(link.port)
    skill = new_skill()
    link.cut_before(b"CFG.CREATE")
    created = client.create("CfgSkill", skill)
    assert client.find("CfgSkill", name=skill["name"], tenant_dbid=1)["DBID"] == created.dbid


def test_a_write_under_the_callers_id_is_not_sent_under_another(
    link: CuttingLink, make: Make
) -> None:
    client = make(link.port)
    skill = new_skill()
    used = uuid.uuid4().hex
    link.cut_before(b"CFG.CREATE")
    with pytest.raises(NotApplied, match=used):
        client.create("CfgSkill", skill, write_id=used)
    assert client.count("CfgSkill", name=skill["name"]) == 0
    assert client.outcome(used) == Outcome("rejected")
    again = uuid.uuid4().hex
    created = client.create("CfgSkill", skill, write_id=again)
    assert client.create("CfgSkill", skill, write_id=again) == created
    assert client.outcome(again) == Outcome("committed", created.revision)


def test_a_write_nobody_can_say_anything_of(master: Master, make: Make) -> None:
    link = CuttingLink(master.port)
    client = make(link.port, outcome_seconds=0.3)
    client.count("CfgSkill")
    link.cut_after(b"CFG.CREATE")
    link.close_to_new()
    used = uuid.uuid4().hex
    with pytest.raises(UnknownOutcome, match=f"ask CFG.OUTCOME {used}"):
        client.create("CfgSkill", new_skill(), write_id=used)


def test_a_transaction_is_done_as_one(master: Master, make: Make) -> None:
    client = make(master.port)
    with client.transaction() as t:
        first = t.create("CfgSkill", new_skill())
        other = t.create("CfgSkill", new_skill())
    assert client.get("CfgSkill", first.dbid)["revision"] == t.revision
    assert client.get("CfgSkill", other.dbid)["revision"] == t.revision
    with client.transaction() as t:
        made = t.create("CfgSkill", new_skill())
        name = uuid.uuid4().hex
        levels = {"skillLevels": [{"skillDBID": made, "level": 1}]}
        person = {"userName": name, "employeeID": name, "tenantDBID": 1, "isAgent": True}
        agent = t.create("CfgPerson", person | {"agentInfo": levels})
        group = t.create("CfgAgentGroup", {"groupInfo": {"name": name, "tenantDBID": 1}})
        t.update("CfgSkill", first.dbid, {"changed": {"name": uuid.uuid4().hex}})
        t.delete("CfgSkill", other.dbid)
    assert client.get("CfgAgentGroup", group.dbid)["revision"] == t.revision
    (level,) = client.get("CfgPerson", agent.dbid)["agentInfo"]["skillLevels"]
    assert level["skillDBID"] == made.dbid
    assert client.get("CfgSkill", other.dbid) is None
    with client.transaction() as t:  # a handle goes on standing for what it made
        others = t.create(CfgSkill, {"name": uuid.uuid4().hex, "tenantDBID": 1})
        level = {"skillDBID": made, "level": 2}
        t.update(CfgPerson, agent.dbid, {"changed": {"agentInfo": {"skillLevels": [level]}}})
    assert others.dbid != made.dbid
    assert client.get(CfgPerson, agent.dbid)["agentInfo"]["skillLevels"] == [
        {"skillDBID": made.dbid, "level": 2}
    ]
    client.delete(CfgPerson, agent.dbid)


def test_a_transaction_that_is_refused_does_nothing(master: Master, make: Make) -> None:
    client = make(master.port)
    skill = new_skill()

    def create(*skills: dict[str, Any]) -> None:
        with client.transaction() as t:
            for each in skills:
                t.create(each.get("class", "CfgSkill"), each)

    with pytest.raises(ExecAbort, match="command 2"):
        create(skill, skill)
    with pytest.raises(ExecAbort, match="BADCLASS command 2"):
        create(skill, {"class": "CfgNone"})
    with pytest.raises(AttributeError):
        create(skill, None)  # type: ignore[arg-type]
    assert client.count("CfgSkill", name=skill["name"]) == 0


def test_a_transaction_whose_reply_was_lost_is_done_once(link: CuttingLink, make: Make) -> None:
    client = make(link.port)
    skill = new_skill()
    link.cut_after(b"EXEC")
    with client.transaction() as t:
        made = t.create("CfgSkill", skill)
    found = client.find("CfgSkill", name=skill["name"], tenant_dbid=1)
    assert (found["DBID"], found["revision"]) == (made.dbid, t.revision)


def test_changes_come_typed_and_go_on_after_a_lost_connection(
    link: CuttingLink, make: Make
) -> None:
    client = make(link.port)
    with client.subscribe("cfg:CfgSkill", "cfg:CfgSkil[l]:*") as changes:
        skill = new_skill()
        created = client.create("CfgSkill", skill)
        change = changes.next(20)
        assert isinstance(change, Change)
        assert (change.op, change.class_name) == ("create", "CfgSkill")
        assert (change.dbid, change.revision) == (created.dbid, created.revision)
        assert change.object["name"] == skill["name"]
        assert changes.next(20).channel == f"cfg:CfgSkill:{created.dbid}"
        assert changes.next(0.01) is None
        link.cut()
        other = client.create("CfgSkill", new_skill())
        assert (changes.next(20).revision, changes.next(20).revision) == (other.revision,) * 2
        revision = client.delete("CfgSkill", created.dbid)
        change = next(iter(changes))
        assert (change.op, change.revision, change.object) == ("delete", revision, None)
        assert changes.next(20).revision == revision
        assert changes.next(0.01) is None


def test_a_link_that_is_lost_within_a_transaction_hides_and_repeats_nothing(
    link: CuttingLink, make: Make
) -> None:
    client = make(link.port)
    with client.subscribe("cfg:CfgSkill", "cfg@1") as changes:
        with client.transaction() as t:
            made = [t.create("CfgSkill", new_skill()) for _ in range(3)]
        heard = []
        while len(heard) < 6:
            change = changes.next(20)
            assert isinstance(change, Change), change
            heard.append((change.channel, change.dbid))
            link.cut()
        assert sorted(heard) == sorted(
            (channel, one.dbid) for channel in ("cfg:CfgSkill", "cfg@1") for one in made
        )
        assert changes.next(0.05) is None


def test_a_subscription_on_which_nothing_comes_is_kept_alive(
    link: CuttingLink, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "KEEPALIVE_SECONDS", 0.01)
    client = make(link.port)
    with client.subscribe("cfg:CfgSkill") as changes:
        assert changes.next(0.1) is None
        created = client.create("CfgSkill", new_skill())
        assert changes.next(20).dbid == created.dbid
    assert link.connections == 2  # the client's and the subscription's


def test_several_addresses_are_tried_in_turn(master: Master) -> None:
    nobody, somebody = address_of(free_port()), address_of(master.port)
    with Client([nobody, somebody], CREDENTIALS, reconnect_seconds=0) as client:
        assert client.count("CfgTenant") == 1
        assert client.address == somebody


def test_a_cancelled_call_leaves_nothing_of_its_reply(master: Master) -> None:
    async def run() -> None:
        async with AsyncClient(address_of(master.port), CREDENTIALS) as client:
            for turn in range(20):
                call = asyncio.ensure_future(client.count("CfgSkill"))
                for _ in range(turn):
                    await asyncio.sleep(0)
                call.cancel()
                await asyncio.wait([call])
                assert await client.find("CfgSkill", name="skill 5", tenant_dbid=1)

    asyncio.run(run())


def test_tasks_share_a_client(master: Master) -> None:
    async def run() -> None:
        async with AsyncClient(address_of(master.port), CREDENTIALS) as client:
            names = [f"skill {number}" for number in range(SKILLS)]
            calls = (client.find("CfgSkill", name=name, tenant_dbid=1) for name in names)
            found = await asyncio.gather(*calls)
            assert [skill["name"] for skill in found if skill] == names

    asyncio.run(run())


def test_threads_share_a_client(master: Master) -> None:
    numbers = [number % SKILLS for number in range(200)]
    with client_of(master.port) as client, ThreadPoolExecutor(8) as threads:

        def name_found(number: int) -> str:
            found = client.find(CfgSkill, name=f"skill {number}", tenant_dbid=1)
            assert found
            return found["name"]

        found = list(threads.map(name_found, numbers))
    assert found == [f"skill {number}" for number in numbers]


def test_the_blocks_of_the_reference_run(
    master: Master, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CSP_PASSWORD", PASSWORD)
    text = (ROOT / "docs" / "reference" / "python-client.md").read_text()
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(block.replace("2020", str(master.port)), names)
    printed = capsys.readouterr().out
    assert "somebody was faster" in printed
    assert "Italian" in printed
