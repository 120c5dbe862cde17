"""What a server would refuse of an import is found before anything is written, all at once."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.transfer.importing import Prepared, Wishes, prepare
from csp.transfer.problems import ImportRefused, Problems
from csp.transfer.run import run as write
from csp.transfer.transactions import BATCH_COMMANDS, COMMANDS_MAX
from tests.unit.import_master import ImportMaster
from tests.unit.importing import document, person, run

TOO_LONG = "x" * 256
BASE = document(
    tenants=[{"name": "acme"}, {"name": "beta"}],
    physicalSwitches=[{"name": "ps", "type": "avayadefinityg3"}],
    switches=[{"tenant": "acme", "name": "sw", "physicalSwitch": "ps"}],
    skills=[{"tenant": "acme", "name": "Sales"}, {"tenant": "beta", "name": "Sales"}],
    persons=[
        person("17", agent=True, agentInfo={"skillLevels": {"Sales": 7}}),
        person("18", userName="bob", agent=False),
    ],
    hosts=[{"name": "h1", "type": "networkserver"}],
    dns=[{"switch": "sw", "tenant": "acme", "number": "1", "type": "extension"}],
    applications=[
        {
            "name": "app", "appPrototype": "TServer", "version": "8.5.1", "server": True,
            "workDirectory": ".", "commandLine": "x", "tenants": ["acme"],
            "serverInfo": {"host": "h1", "port": "3000"},
        }
    ],
)  # fmt: skip


def skill(name: str, **more: Any) -> dict[str, Any]:
    return {"tenant": "acme", "name": name, **more}


def annex(value: Any, section: str = "s", key: str = "k") -> dict[str, Any]:
    return {"userProperties": {section: {key: value}}}


def folder(kind: str, tenant: str, *path: str) -> dict[str, Any]:
    return {"type": kind, "owner": {"type": "tenant", "name": tenant}, "path": list(path)}


SKILLS_TWICE = [{"skill": "Sales", "level": 1}, {"skill": "Sales", "level": 2}]
OTHER_TENANT = {"name": "Sales", "tenant": "beta"}
# What is wrong, the sections of the file, and what the problem must say.
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "userName taken": ({"persons": [person("50", userName="bob")]}, 'userName "bob": is taken by'),
    "userName of an update": (
        {"persons": [person("17", userName="bob")]},
        'userName "bob": is taken by CfgPerson:102',
    ),
    "agentInfo of none": (
        {"persons": [person("51", agent=False, agentInfo={"skillLevels": {"Sales": 1}})]},
        "agentInfo is only there where agent is true",
    ),
    "agentInfo of one who was none": (
        {"persons": [{**person("18"), "userName": "bob", "agentInfo": {"skillLevels": {}}}]},
        "agentInfo is only there where agent is true",
    ),
    "agent without": ({"persons": [person("52", agent=True)]}, "agentInfo is mandatory"),
    "annex integer": ({"skills": [skill("a", **annex(1 << 31))]}, "is not from"),
    "annex integer of an update": ({"skills": [skill("Sales", **annex(1 << 31))]}, "is not from"),
    "section": ({"skills": [skill("a", **annex("v", section=TOO_LONG))]}, "256 characters"),
    "key": ({"skills": [skill("a", **annex("v", key=TOO_LONG))]}, "256 characters"),
    "key of an update": ({"skills": [skill("Sales", **annex("v", key=TOO_LONG))]}, "256 char"),
    "base64": ({"skills": [skill("a", **annex({"base64": "*"}))]}, "base64"),
    "base64 of an update": ({"skills": [skill("Sales", **annex({"base64": "*"}))]}, "base64"),
    "own parent": ({"tenants": [{"name": "t", "parentTenant": "t"}]}, "its own ancestor"),
    "own parent of an update": (
        {"tenants": [{"name": "acme", "parentTenant": "acme"}]},
        "its own ancestor",
    ),
    "circular": (
        {"tenants": [{"name": "t", "parentTenant": "u"}, {"name": "u", "parentTenant": "t"}]},
        "its own ancestor",
    ),
    "folder of another type": (
        {"skills": [skill("a", folder=folder("place", "acme", "A"))]},
        "holds objects of type place, not skill",
    ),
    "folder of another tenant": (
        {"skills": [skill("a", folder=folder("skill", "beta", "A"))]},
        "belongs to tenant",
    ),
    "folder of another tenant that is there": (
        {"skills": [skill("Sales", folder=folder("skill", "beta"))]},
        "belongs to tenant",
    ),
    "member twice": (
        {"persons": [person("53", agent=True, agentInfo={"skillLevels": SKILLS_TWICE})]},
        "twice",
    ),
    "member twice in an update": (
        {"persons": [{**person("17"), "agentInfo": {"skillLevels": SKILLS_TWICE}}]},
        "agentInfo.skillLevels[1]: is there twice",
    ),
    "reference twice in an update": (
        {"applications": [{"name": "app", "tenants": ["acme", "acme"]}]},
        "tenants[1]: is there twice",
    ),
    "number of another type": (
        {"dns": [{"switch": "sw", "tenant": "acme", "number": "1", "type": "acdqueue"}]},
        "is taken by CfgDN:101",
    ),
    "address of another": (
        {"hosts": [{"name": "h2", "type": "networkserver", "ipAddress": "::1"},
                   {"name": "h3", "type": "networkserver", "ipAddress": "::1"}]},
        "is taken by",
    ),
    "server without command line": (
        {"applications": [{"name": "b", "appPrototype": "TServer", "version": "8.5.1",
                           "server": True, "workDirectory": "."}]},
        "commandLine: is mandatory where server is true",
    ),
    "T-Server of another tenant": (
        {"switches": [{"tenant": "beta", "name": "s2", "physicalSwitch": "ps", "tServer": "app"}]},
        "does not list the switch's tenant",
    ),
    "manager of another tenant": (
        {"agentGroups": [{"group": {"tenant": "beta", "name": "g",
                                    "managers": [{"employeeId": "17", "tenant": "acme"}]}}]},
        "is neither of the group's tenant",
    ),
    "port": ({"hosts": [{"name": "h2", "type": "networkserver", "lcaPort": "99999"}]}, "port"),
    "default for nothing": (
        {"folders": [{"name": "A", "type": "host", "folder": folder("host", "acme")}]},
        "has no default folder for host",
    ),
}  # fmt: skip


@pytest.fixture
def master(tmp_path: Path) -> Iterator[ImportMaster]:
    master = ImportMaster(tmp_path)
    run(master, {"base": BASE})  # type: ignore[arg-type]  # either of the tests' servers
    yield master
    master.close()


def plan_of(master: ImportMaster, data: bytes) -> Prepared:
    return prepare(["file"], master, Wishes(), Problems(), open_file=lambda name: io.BytesIO(data))


def refused(master: ImportMaster, data: bytes) -> list[str]:
    before = dict(master.host.records)
    with pytest.raises(ImportRefused) as refusal:
        plan_of(master, data)
    assert master.host.records == before
    return [str(one) for one in refusal.value.problems.found]


@pytest.mark.parametrize("name", WRONG)
def test_what_the_server_would_refuse(
    master: ImportMaster, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections, words = WRONG[name]
    data = document(**sections)
    (problem, *more) = refused(master, data)
    assert words in problem
    assert len(more) <= (name == "circular")
    # Each is a rule of the server's, not of the import's own.
    monkeypatch.setattr("csp.transfer.importing.rehearse", lambda *_: None)
    problems = Problems()
    with pytest.raises(ImportRefused):
        write(plan_of(master, data).plan, master.revision(), master, problems, lambda *_: None)


@pytest.mark.long
def test_a_bad_object_behind_thousands_of_good_ones(master: ImportMaster) -> None:
    good = [skill(f"s{number}") for number in range(COMMANDS_MAX + 1)]
    (problem,) = refused(master, document(skills=good, persons=[person("50", userName="bob")]))
    assert 'userName "bob": is taken by CfgPerson:102' in problem
    (problem,) = refused(master, document(skills=[*good, skill("bad", **annex({"base64": "*"}))]))
    assert "skills[10001]" in problem


def test_all_is_found_at_once_and_consequences_are_none(master: ImportMaster) -> None:
    """A skill that is refused is no second problem where somebody has it."""
    persons = [person("60", userName="bob"), person("61", agent=True)]
    bad = skill("bad", **annex("v", key=TOO_LONG))
    holder = person("62", agent=True, agentInfo={"skillLevels": {"bad": 1}})
    found = refused(master, document(skills=[bad], persons=[*persons, holder]))
    assert len(found) == 3


@pytest.mark.long
def test_an_object_larger_than_a_server_takes(master: ImportMaster) -> None:
    large = {"s": {f"k{number}": "x" * 60_000 for number in range(300)}}
    (problem,) = refused(master, document(skills=[skill("a", userProperties=large)]))
    assert "at most 16777216 are allowed" in problem
    half = {"s": {f"k{number}": "x" * 60_000 for number in range(150)}}
    more = {"t": half["s"]}
    run(master, {"a": document(skills=[skill("a", userProperties=half)])})  # type: ignore[arg-type]
    (problem,) = refused(master, document(skills=[skill("a", userProperties=more)]))
    assert "at most 16777216 are allowed" in problem


@pytest.mark.long
def test_names_may_go_round(master: ImportMaster) -> None:
    """Two persons who swap their names are in order in one transaction, and only there."""
    swap = [person("17", userName="bob"), person("18", userName="u-17")]
    run(master, {"a": document(persons=swap)})  # type: ignore[arg-type]
    back = [person("17"), person("18", userName="bob")]
    between = [skill(f"s{number}") for number in range(COMMANDS_MAX)]
    many = [person(f"{number}", agent=False) for number in range(1000, 1000 + BATCH_COMMANDS)]
    run(master, {"a": document(persons=many)})  # type: ignore[arg-type]
    renamed = [{**one, "firstName": "A"} for one in many]
    assert refused(master, document(skills=between, persons=[back[0], *renamed, back[1]]))
    run(master, {"a": document(skills=between, persons=[*back, *renamed])})  # type: ignore[arg-type]


def test_what_others_do_meanwhile_is_reported_and_a_repeat_goes_on(master: ImportMaster) -> None:
    data = document(persons=[person("70")], skills=[skill("new")])
    prepared = plan_of(master, data)
    dbid = master.create(
        "CfgPerson", tenantDBID=101, employeeID="other", userName="u-70", isAgent=False
    )
    problems = Problems()
    with pytest.raises(ImportRefused):
        write(prepared.plan, prepared.revision, master, problems, lambda *_: None)
    assert "refused by the server: UNIQUE" in str(problems.found[0])
    assert f"CfgPerson:{dbid}" in refused(master, data)[0]
    master.delete("CfgPerson", dbid)
    run(master, {"a": data})  # type: ignore[arg-type]
