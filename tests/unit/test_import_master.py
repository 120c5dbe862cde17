"""Imports into a real master's database: its rules hold, and a second run finds nothing to do."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.transfer.estate.writing import write_estate
from csp.transfer.exporting import NAMED, RAW, Layout, Report, export
from csp.transfer.problems import ImportRefused
from tests.effort import parametrize_few
from tests.unit.import_master import ImportMaster
from tests.unit.importing import FOLDER, document, person, run
from tests.unit.test_import_plan import DATA, SAMPLES

HIDDEN = (("CfgSkill", "name", "b"), ("CfgPlace", "name", "desk"))


@pytest.fixture
def master(tmp_path: Path) -> Iterator[ImportMaster]:
    master = ImportMaster(tmp_path)
    yield master
    master.close()


def test_an_estate(master: ImportMaster) -> None:
    stream = io.BytesIO()
    write_estate(stream, 90, 11)
    files = {"estate.json": stream.getvalue()}
    first = run(master, files)
    assert master.transactions == 1
    at = master.revision()
    second = run(master, files)
    assert second.plan.count == 0
    assert second.plan.unchanged == len(first.plan.creates)
    assert master.revision() == at


@parametrize_few("section", SAMPLES, quick=4)
def test_samples_of_mutagen(master: ImportMaster, section: str) -> None:
    data = (DATA / "objects" / f"{SAMPLES[section]}.json").read_bytes()
    # Applications that only a prototype could make, and only its own file could name.
    data = data.replace(b'"tServer": "tServer",', b"").replace(b'"scs": "application",', b"")
    data = data.replace(b'"appServer": "appServer"', b'"appServer": "foo"')
    data = data.replace(b'"backupServer": "backupServer",', b"")
    if section in ("tenants", "hosts", "appPrototypes", "applications", "physicalSwitches"):
        data = data.replace(b'"name": "tenant"', b'"name": "Environment"')
    if section == "applications":
        proto = [{"name": "foo", "type": "tserver", "version": "1"}]
        run(master, {"p.json": document(appPrototypes=proto)})
    wishes = {"section": section, "create_missing": True}
    assert run(master, {"sample.json": data}, **wishes).plan.count
    assert not run(master, {"sample.json": data}, **wishes).plan.count


def test_changes_are_made_and_then_there_are_none(master: ImportMaster) -> None:
    tenants = [{"name": "acme"}]
    annex = {"a": {"x": 1}, "b": {"y": "z"}}
    first = document(
        tenants=tenants,
        skills=[{"tenant": "acme", "name": name} for name in "abc"],
        persons=[person("1", folder=FOLDER, agent=True, agentInfo={"skillLevels": {"a": 1}})],
        agentGroups=[{"group": {"tenant": "acme", "name": "g", "userProperties": annex}}],
    )
    run(master, {"1.json": first})
    second = document(
        persons=[
            person(
                "1",
                folder={**FOLDER, "path": ["Genève"]},
                agent=True,
                state="disabled",
                agentInfo={"skillLevels": {"b": 2, "c": 3}},
            )
        ],
        agentGroups=[
            {
                "group": {"tenant": "acme", "name": "g", "userProperties": {"a": {"x": 2}}},
                "agents": ["1"],
            }
        ],
    )
    assert len(run(master, {"2.json": second}).plan.updates) == 2
    assert run(master, {"2.json": second}).plan.count == 0
    found = master.host.named("CfgPerson", "employeeID", "1")
    assert found["state"] == "disabled"
    assert [one["level"] for one in found["agentInfo"]["skillLevels"]] == [2, 3]
    group = master.host.named("CfgAgentGroup", "groupInfo.name", "g")
    assert group["groupInfo"]["userProperties"] == {"a": {"x": 2}, "b": {"y": "z"}}


@pytest.mark.parametrize("layout", [NAMED, RAW])
def test_text_that_looks_like_a_variable_stays_as_it_is(
    master: ImportMaster, layout: Layout
) -> None:
    text = "${HOME} $${X} $$ ${"
    master.update("CfgTenant", 1, {"changed": {"chargeableNumber": text}})
    data = b"".join(export(master, Report(), layout=layout))
    assert run(master, {"a.json": data}).plan.count == 0
    master.update("CfgTenant", 1, {"changed": {"chargeableNumber": "else"}})
    assert run(master, {"a.json": data}).plan.count == 1
    assert master.object("CfgTenant", 1)["chargeableNumber"] == text


@pytest.mark.parametrize("layout", [NAMED, RAW])
def test_what_can_not_be_seen_is_left_out_and_counted(
    master: ImportMaster, monkeypatch: pytest.MonkeyPatch, layout: Layout
) -> None:
    info = {"skillLevels": {"a": 1, "b": 2}, "place": "desk"}
    run(
        master,
        {
            "a.json": document(
                tenants=[{"name": "acme"}],
                skills=[{"tenant": "acme", "name": name} for name in "ab"],
                places=[{"tenant": "acme", "name": "desk"}],
                persons=[person("1", agent=True, agentInfo=info)],
            )
        },
    )
    hidden = [(one[0], master.host.named(*one)["DBID"]) for one in HIDDEN]
    read = master.read

    def some(class_name: str, *, extra: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
        there = read(class_name, extra=extra)
        return (one for one in there if (class_name, one["DBID"]) not in hidden)

    monkeypatch.setattr(master, "read", some)
    report = Report()
    data = b"".join(export(master, report, layout=layout, classes=["CfgPerson"]))
    assert set(report.lost) == {f"{name}:{dbid}" for name, dbid in hidden}
    _, (*_, ann) = json.loads(data).values()
    levels = ann["agentInfo"].pop("skillLevels")
    assert ann["agentInfo"] == {}
    assert levels in ({"a": 1}, {"CfgSkillLevel": [{"skillDBID": 101, "level": 1}]})


def test_what_the_master_refuses_names_the_object(master: ImportMaster) -> None:
    run(master, {"1.json": document(tenants=[{"name": "acme"}], persons=[person("1")])})
    before = master.revision()
    with pytest.raises(ImportRefused) as refusal:
        run(master, {"a.json": document(persons=[person("2", userName="u-1")])})
    (problem,) = refusal.value.problems.found
    assert problem.file == "a.json"
    assert problem.object.startswith("persons[0] (line 1) CfgPerson '2'")
    assert 'userName "u-1": is taken by CfgPerson:101' in problem.rule
    assert master.revision() == before


# ---------------------------------------------------------------------- a renamed tenant 1

RENAMED = [{"name": "Resources", "superTenant": True}, {"name": "acme"}]


def test_a_file_says_what_it_calls_tenant_1(master: ImportMaster) -> None:
    file = json.loads(document(tenants=RENAMED, skills=[{"tenant": "Resources", "name": "Sales"}]))
    file["__metadata__"]["environment"] = "Resources"
    run(master, {"file": json.dumps(file).encode()})
    tenants = {one["DBID"]: one["name"] for one in master.read("CfgTenant")}
    assert tenants == {1: "Resources", 101: "acme"}
    assert [one["tenantDBID"] for one in master.read("CfgSkill")] == [1]


def test_a_tenant_1_of_another_name_is_asked_about(master: ImportMaster) -> None:
    with pytest.raises(ImportRefused) as refusal:
        run(master, {"file": document(tenants=RENAMED)})
    (problem,) = refusal.value.problems.found
    assert "'Resources' seems to be tenant 1 of where the file comes from" in problem.rule
    assert '"environment": "Resources" if so, "Environment" if not' in problem.rule


def test_a_raw_file_has_tenant_1_under_any_name(master: ImportMaster) -> None:
    raw = {
        "__metadata__": {"formatName": "RAW", "formatVersion": "1.0.0"},
        "CFGTenant": [{"DBID": 1, "name": "Resources"}],
        "CFGSkill": [{"DBID": 7, "tenantDBID": 1, "name": "Sales"}],
    }
    run(master, {"file": json.dumps(raw).encode()})
    assert [(one["DBID"], one["name"]) for one in master.read("CfgTenant")] == [(1, "Resources")]
    assert [one["tenantDBID"] for one in master.read("CfgSkill")] == [1]
