"""What an import does: order, folders, variables, transactions, repeats."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from csp.transfer import transactions
from csp.transfer.estate.writing import write_estate
from tests.unit.import_server import ImportServer
from tests.unit.importing import FOLDER, document, person, refused, run

DATA = Path(__file__).parent.parent / "data" / "mutagen"
TENANT = [{"name": "acme"}]


@pytest.fixture
def server() -> ImportServer:
    return ImportServer()


def one(server: ImportServer, class_name: str, name: str, attribute: str = "name") -> dict:
    found = [
        {"DBID": dbid, **value}
        for dbid, value in server.objects[class_name].items()
        if value.get(attribute) == name
    ]
    assert len(found) == 1, found
    return found[0]


def test_references_in_any_order_and_across_files(server: ImportServer) -> None:
    files = {
        "1.json": document(
            persons=[person("1", agent=True, agentInfo={"skillLevels": {"Sales": 5}})],
            skills=[{"tenant": "acme", "name": "Sales"}],
        ),
        "2.json": document(tenants=TENANT),
    }
    prepared = run(server, files)
    assert len(prepared.plan.creates) == 3
    assert server.transactions == 1
    skill = one(server, "CfgSkill", "Sales")
    found = one(server, "CfgPerson", "1", "employeeID")
    assert found["agentInfo"]["skillLevels"] == [{"skillDBID": skill["DBID"], "level": 5}]
    assert found["tenantDBID"] == one(server, "CfgTenant", "acme")["DBID"]


def test_circular_references(server: ImportServer) -> None:
    data = document(
        hosts=[{"name": "h", "scs": "app"}],
        appPrototypes=[{"name": "proto", "type": "scs", "version": "1"}],
        applications=[{"name": "app", "appPrototype": "proto", "serverInfo": {"host": "h"}}],
    )
    run(server, {"a.json": data})
    host, app = one(server, "CfgHost", "h"), one(server, "CfgApplication", "app")
    assert host["SCSDBID"] == app["DBID"]
    assert app["serverInfo"]["hostDBID"] == host["DBID"]


def test_missing_folders_are_made_below_the_default_one(server: ImportServer) -> None:
    deep = {**FOLDER, "path": ["Persons", "Zürich", "Team 🦉"]}
    data = document(tenants=TENANT, persons=[person("1", folder=deep), person("2", folder=FOLDER)])
    run(server, {"a.json": data})
    tenant = one(server, "CfgTenant", "acme")
    zurich = one(server, "CfgFolder", "Zürich")
    team = one(server, "CfgFolder", "Team 🦉")
    assert team["folderDBID"] == zurich["DBID"]
    root = server.objects["CfgFolder"][zurich["folderDBID"]]
    assert root["name"] == "Persons"
    assert root["ownerID"] == {"type": "tenant", "DBID": tenant["DBID"]}
    assert one(server, "CfgPerson", "1", "employeeID")["folderDBID"] == team["DBID"]
    assert one(server, "CfgPerson", "2", "employeeID")["folderDBID"] == zurich["DBID"]
    assert not run(server, {"a.json": data}).plan.count


def test_variables(server: ImportServer) -> None:
    data = document(tenants=[{"name": "${NAME}", "chargeableNumber": "$${NAME} ${NAME}"}])
    run(server, {"a.json": data}, variables={"NAME": 'a"b'})
    assert one(server, "CfgTenant", 'a"b')["chargeableNumber"] == '${NAME} a"b'


def test_a_second_run_changes_nothing(server: ImportServer) -> None:
    estate = io.BytesIO()
    write_estate(estate, 60, 7)
    first = run(server, {"e.json": estate.getvalue()})
    assert len(first.plan.creates) > 250
    at = server.at
    second = run(server, {"e.json": estate.getvalue()})
    assert second.plan.count == 0
    assert second.plan.unchanged == len([item for item in first.plan.creates if not item.note])
    assert server.at == at


def test_only_what_differs_is_updated_and_the_rest_is_left(server: ImportServer) -> None:
    annex = {"a": {"x": 1, "y": "2"}, "b": {"z": 3}}
    run(
        server,
        {"a.json": document(tenants=TENANT, persons=[person("1", userProperties=annex)])},
    )
    changed = person("1", firstName="Ann", userProperties={"a": {"x": 9}})
    prepared = run(server, {"a.json": document(persons=[changed])})
    assert [update.delta for update in prepared.plan.updates] == [
        {"changed": {"firstName": "Ann"}, "userProperties": {"changed": {"a": {"x": 9}}}}
    ]
    found = one(server, "CfgPerson", "1", "employeeID")
    assert found["userProperties"] == {"a": {"x": 9, "y": "2"}, "b": {"z": 3}}


def test_a_list_is_replaced_whatever_its_order(server: ImportServer) -> None:
    def group(*agents: str) -> bytes:
        return document(
            tenants=TENANT,
            persons=[person(name) for name in "1234"],
            agentGroups=[{"group": {"tenant": "acme", "name": "g"}, "agents": list(agents)}],
        )

    run(server, {"a.json": group("1", "2", "3")})
    assert not run(server, {"a.json": group("3", "1", "2")}).plan.count
    assert run(server, {"a.json": group("4", "2")}).plan.count == 1
    dbids = {value["employeeID"]: dbid for dbid, value in server.objects["CfgPerson"].items()}
    found = next(iter(server.objects["CfgAgentGroup"].values()))
    assert set(found["agentDBIDs"]) == {dbids["2"], dbids["4"]}


def test_a_fixed_attribute_that_differs_is_refused(server: ImportServer) -> None:
    run(server, {"a.json": document(physicalSwitches=[{"name": "p", "type": "sipswitch"}])})
    data = document(physicalSwitches=[{"name": "p", "type": "genericswitch"}])
    (problem,) = refused(server, {"a.json": data})
    assert "type: is fixed at creation: the server has 'sipswitch'" in problem


def test_passwords_are_sent_once_and_never_compared(server: ImportServer) -> None:
    data = document(tenants=TENANT, persons=[person("1", password="hush")])
    run(server, {"a.json": data})
    assert server.secrets == [("password", "hush")]
    assert not run(server, {"a.json": data}).plan.count


def test_create_missing_makes_what_references_name(server: ImportServer) -> None:
    info = {
        "skillLevels": {"Sales": 1},
        "agentLogins": [{"agentLogin": {"switch": "sw", "loginCode": "700"}, "wrapupTime": 5}],
        "place": "p1",
    }
    data = document(persons=[person("1", agent=True, agentInfo=info)])
    prepared = run(server, {"a.json": data}, create_missing=True)
    made = {item.node.cls.name for item in prepared.plan.creates if item.note}
    assert made == {
        *("CfgTenant", "CfgSkill", "CfgSwitch", "CfgPhysicalSwitch", "CfgAgentLogin", "CfgPlace"),
    }
    assert not run(server, {"a.json": data}, create_missing=True).plan.count


def test_create_missing_says_what_it_can_not_make(server: ImportServer) -> None:
    data = document(hosts=[{"name": "h", "scs": "app"}])
    (problem,) = refused(server, {"a.json": data}, create_missing=True)
    assert "can't be made: the reference does not say its prototype" in problem


def test_a_dry_run_changes_nothing(server: ImportServer) -> None:
    prepared = run(server, {"a.json": document(tenants=TENANT)}, dry_run=True)
    assert prepared.plan.totals() == {"CfgTenant": {"create": 1, "update": 0}}
    assert server.transactions == 0


def test_larger_imports_go_in_transactions_that_can_be_repeated(
    server: ImportServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "COMMANDS_MAX", 100)
    monkeypatch.setattr(transactions, "BATCH_COMMANDS", 40)
    monkeypatch.setattr(transactions, "BATCH_COMMANDS_TENANTS", 40)
    monkeypatch.setattr("csp.transfer.run.RETRY_SECONDS", 0.0)
    estate = io.BytesIO()
    write_estate(estate, 40, 3)
    server.lose_replies = 2
    prepared = run(server, {"e.json": estate.getvalue()})
    assert server.transactions >= len(prepared.plan.creates) // 40
    assert not run(server, {"e.json": estate.getvalue()}).plan.count


def test_references_across_transactions_follow_as_updates(
    server: ImportServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "COMMANDS_MAX", 2)
    monkeypatch.setattr(transactions, "BATCH_COMMANDS", 1)
    data = document(
        applications=[{"name": "app", "appPrototype": "proto", "serverInfo": {"host": "h"}}],
        hosts=[{"name": "h", "scs": "app"}],
        appPrototypes=[{"name": "proto", "type": "scs", "version": "1"}],
    )
    run(server, {"a.json": data})
    assert one(server, "CfgHost", "h")["SCSDBID"] == one(server, "CfgApplication", "app")["DBID"]
    assert not run(server, {"a.json": data}).plan.count


def test_a_transaction_too_large_in_bytes_is_cut(
    server: ImportServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "BYTES_MAX", 2_000)
    names = [{"tenant": "Environment", "name": f"skill {index}"} for index in range(60)]
    run(server, {"a.json": document(skills=names)})
    assert server.transactions > 1
    assert len(server.objects["CfgSkill"]) == 60


SAMPLES = {
    "tenants": "tenant",
    "persons": "person",
    "skills": "skill",
    "agentGroups": "agentgroup",
    "accessGroups": "accessgroup",
    "places": "place",
    "dns": "dn",
    "physicalSwitches": "physicalswitch",
    "switches": "switch",
    "hosts": "host",
    "appPrototypes": "appprototype",
    "applications": "application",
    "folders": "folder",
}


@pytest.mark.parametrize("section", SAMPLES)
def test_samples_of_mutagen(server: ImportServer, section: str) -> None:
    data = (DATA / "objects" / f"{SAMPLES[section]}.json").read_bytes()
    data = data.replace(b'"tServer": "tServer",', b"").replace(b'"scs": "application",', b"")
    data = data.replace(b'"appServer": "appServer"', b'"appServer": "foo"')
    data = data.replace(b'"backupServer": "backupServer",', b"")
    if section in ("tenants", "hosts", "appPrototypes", "applications", "physicalSwitches"):
        data = data.replace(b'"name": "tenant"', b'"name": "Environment"')
    if section == "applications":
        proto = [{"name": "foo", "type": "tserver", "version": "1"}]
        run(server, {"p.json": document(appPrototypes=proto)})
    files = {"sample.json": data}
    wishes = {"section": section, "create_missing": True}
    assert run(server, files, **wishes).plan.count
    assert not run(server, files, **wishes).plan.count


def test_exports_of_mutagen(server: ImportServer) -> None:
    data = (DATA / "export" / "json_sorted_persons.json").read_bytes()
    prepared = run(server, {"a.json": data}, create_missing=True)
    assert prepared.plan.totals()["CfgPerson"]["create"] == 3
    compact = (DATA / "export" / "json_compact_configuration.json").read_bytes()
    assert not run(server, {"a.json": compact}).plan.count
    voice = (DATA / "objects" / "configuration.json").read_bytes()
    assert any("'GMT'" in one for one in refused(server, {"a.json": voice}))
    prepared = run(server, {"a.json": voice}, create_missing=True)
    assert set(prepared.plan.totals()) == {
        "CfgGVPCustomer", "CfgGVPIVRProfile", "CfgGVPReseller", "CfgTimeZone",
    }  # fmt: skip


def test_interpolation_sample_of_mutagen(server: ImportServer) -> None:
    before = json.loads((DATA / "objects" / "configuration_before_interpolation.json").read_text())
    after = json.loads((DATA / "objects" / "configuration_interpolated.json").read_text())
    from csp.transfer.interpolate import interpolate

    variables = {"FOO": "foo", "BAR_1234": "bar"}
    assert interpolate(before, variables, lambda path, rule: None) == after
