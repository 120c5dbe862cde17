"""Grants in files: what is stated is granted, what is not stays, a repeat does nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.model.types import CLASSES
from csp.resp import Decoder
from csp.transfer import transactions
from csp.transfer.exporting import NAMED, RAW, Report, export
from csp.transfer.importing import Prepared, Wishes, prepare
from csp.transfer.problems import ImportRefused, Problems
from tests.unit.grants_stage import EVERY, OF_NEW_DATABASE, SUPERS
from tests.unit.import_master import ImportMaster
from tests.unit.importing import document, person, run

TENANT = {"type": "tenant", "name": "acme"}
SKILLS = {"type": "skill", "owner": TENANT, "path": []}
BASE = {
    "tenants": [{"name": "acme"}],
    "skills": [{"tenant": "acme", "name": "Sales"}],
    "persons": [person("17", agent=False)],
}
CLASS_SKILL = CLASSES["CfgSkill"].id
ANN, ACME, SALES = "CfgPerson:101", "CfgTenant:101", "CfgSkill:101"
ACME_USERS = "CfgAccessGroup:102"


@pytest.fixture
def master(tmp_path: Path) -> Iterator[ImportMaster]:
    master = ImportMaster(tmp_path)
    bring(master, **BASE)
    yield master
    master.close()


def bring(master: ImportMaster, **sections: Any) -> Prepared:
    """Imports, and sees that a second time nothing is to be done."""
    data = document(**sections)
    prepared = run(master, {"file": data})  # type: ignore[arg-type]
    assert run(master, {"file": data}).plan.count == 0  # type: ignore[arg-type]
    return prepared


def refused(master: ImportMaster, **sections: Any) -> list[str]:
    before = dict(master.host.records)
    data = document(**sections)
    with pytest.raises(ImportRefused) as refusal:
        prepare(["f"], master, Wishes(), Problems(), open_file=lambda name: io.BytesIO(data))
    assert master.host.records == before
    return [str(one) for one in refusal.value.problems.found]


def skill(*grants: Any, name: str = "Sales") -> dict[str, Any]:
    return {"tenant": "acme", "name": name, "grants": list(grants)}


def exported(master: ImportMaster, report: Report | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(b"".join(export(master, report or Report())))
    return found


def commands_sent(master: ImportMaster, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """From now on: the commands of each transaction."""
    sent: list[list[str]] = []
    exchange = master.exchange

    def note(requests: list[bytes]) -> list[Any]:
        decoder = Decoder()
        decoder.feed(b"".join(requests))
        commands = [b" ".join(one[:3]).decode() for one in decoder]  # type: ignore[index,arg-type]
        sent.append(commands[1:-1])
        return exchange(requests)

    monkeypatch.setattr(master, "exchange", note)
    return sent


def test_a_stated_list_replaces_an_unstated_one_stays_an_empty_one_takes_away(
    master: ImportMaster,
) -> None:
    users = {"type": "accessgroup", "name": "Users", "tenant": "Environment"}
    first = [["person/17", "R,U"], ["SYSTEM", "none,propagate"], [users, "R,X"]]
    prepared = bring(master, skills=[skill(*first)])
    assert len(prepared.plan.regrants) == 1
    listed = {"SYSTEM": "none,propagate", ANN: "R,U", "CfgAccessGroup:2": "R,X"}
    assert master.grants(SALES) == listed
    bring(master, skills=[{"tenant": "acme", "name": "Sales", "state": "disabled"}])
    assert master.grants(SALES) == listed
    prepared = bring(master, skills=[skill(["person/17", "R"], ["accessgroup/Users", "none"])])
    (shown,) = (one.shown for one in prepared.plan.regrants)
    assert "CfgPerson '17' of CfgTenant 'acme' R;" in shown
    assert "nothing more for SYSTEM" in shown
    assert master.grants(SALES) == {ANN: "R", ACME_USERS: "none"}
    bring(master, skills=[skill()])
    assert master.grants(SALES) == {}


def test_what_is_new_is_granted_to_what_is_new_in_one_transaction(master: ImportMaster) -> None:
    before = master.transactions
    bring(
        master,
        skills=[skill(["person/18", "R"], ["accessgroup/Team", "R,X"], name="new")],
        persons=[{**person("18"), "agent": False, "grants": [["person/18", "R,U"]]}],
        accessGroups=[{"group": {"tenant": "acme", "name": "Team"}, "type": "defaultgroup"}],
    )
    assert master.transactions == before + 1
    assert master.grants("CfgSkill:102") == {"CfgPerson:102": "R", "CfgAccessGroup:104": "R,X"}
    assert master.grants("CfgPerson:102") == {"CfgPerson:102": "R,U"}


WRONG = {
    "no list": ({"person/17": "R"}, "grants: a list of pairs"),
    "no pair": ([["person/17"]], "grants[0]: an account and its rights are expected"),
    "no words": ([["person/17", ["R"]]], "grants[0]: an account and its rights"),
    "no right": ([["person/17", "R,Q"]], "grants[0]: 'Q' is no right"),
    "no rights": ([["person/17", "propagate"]], "grants[0]: no right is stated"),
    "no account": ([["skill/Sales", "R"]], "grants[0]: a skill is no account"),
    "no type": ([["17", "R"]], "does not say the type"),
    "twice": ([["SYSTEM", "R"], ["SYSTEM", "X"]], "grants[1]: the same account"),
    "not there": ([["person/99", "R"]], "grants[0]: there is no CfgPerson '99'"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(master: ImportMaster, name: str) -> None:
    grants, words = WRONG[name]
    (problem,) = refused(master, skills=[{"tenant": "acme", "name": "Sales", "grants": grants}])
    assert words in problem


def test_other_forms_have_no_grants(master: ImportMaster) -> None:
    data = json.loads(document(skills=[skill()]))
    data["__metadata__"]["formatName"] = "JSON"
    files = {"f": json.dumps(data).encode()}
    with pytest.raises(ImportRefused) as refusal:
        run(master, files)  # type: ignore[arg-type]
    assert "mutagen's form has none" in str(refusal.value.problems.found[0])
    assert b"grants" not in b"".join(export(master, Report(), layout=RAW))


def test_default_folders_have_entries_without_a_name(master: ImportMaster) -> None:
    sales = {"type": "skill", "folder": SKILLS, "grants": [["person/17", "R,propagate"]]}
    bring(master, folders=[sales])
    exports = exported(master)["folders"]
    assert [one for one in exports if "name" not in one] == [sales]
    beta = {**SKILLS, "owner": {"type": "tenant", "name": "beta"}}
    bring(
        master,
        tenants=[{"name": "beta"}],
        skills=[{"tenant": "beta", "name": "b", "folder": {**beta, "path": ["Skills"]}}],
        folders=[{**sales, "folder": beta, "grants": [["SYSTEM", "none"]]}],
    )
    grants = [one["grants"] for one in exported(master)["folders"] if "name" not in one]
    assert grants == [sales["grants"], [["SYSTEM", "none"]]]


def test_what_is_no_default_folder_needs_a_name(master: ImportMaster) -> None:
    (problem,) = refused(master, folders=[{"type": "skill", "folder": SKILLS, "description": "d"}])
    assert "description: of a folder without a name, a default folder, only grants" in problem
    deeper = {**SKILLS, "path": ["a"]}
    (problem,) = refused(master, folders=[{"type": "skill", "folder": deeper, "grants": []}])
    assert "name: is missing" in problem
    hosts = {**SKILLS, "type": "host"}
    for tenants in ([], [{"name": "beta"}]):
        owner = {"type": "tenant", "name": "beta" if tenants else "acme"}
        folder = {"type": "host", "folder": {**hosts, "owner": owner}, "grants": []}
        (problem,) = refused(master, tenants=tenants, folders=[folder])
        assert "has no default folder of type 'host'" in problem


def test_a_new_tenant_keeps_its_first_grants_unless_its_own_are_stated(
    master: ImportMaster,
) -> None:
    bring(master, tenants=[{"name": "beta"}], skills=[{**skill(), "tenant": "beta"}])
    first = dict(OF_NEW_DATABASE["CfgTenant:1"])
    assert len(master.grants("CfgTenant:102")) == len(first)
    grants = [["accessgroup/Administrators", "R,X,RP,CP,propagate"]]
    app = {"name": "default", "grants": []}
    group = {"group": {"tenant": "gamma", "name": "Administrators"}, "type": "administratorsgroup"}
    gamma = {"name": "gamma", "grants": grants}
    bring(master, tenants=[gamma], accessGroups=[group], applications=[app])
    found = master.grants("CfgTenant:103")
    assert list(found.values()) == ["R,X,RP,CP,propagate"]
    assert master.grants("CfgApplication:100") == {}


@pytest.mark.parametrize("batched", [False, True])
def test_containers_come_last_and_tenants_at_the_end(
    master: ImportMaster, batched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if batched:
        monkeypatch.setattr(transactions, "COMMANDS_MAX", 8)
        monkeypatch.setattr(transactions, "BATCH_COMMANDS", 2)
    sent = commands_sent(master, monkeypatch)
    system = [["SYSTEM", "R"]]
    within = {**SKILLS, "path": ["a"]}
    environment = [["person/default", EVERY]]
    bring(
        master,
        tenants=[
            {"name": "Environment", "grants": environment},
            {"name": "acme", "grants": system},
        ],
        folders=[
            {"type": "skill", "folder": SKILLS, "grants": system},
            {"type": "skill", "folder": SKILLS, "name": "a", "grants": system},
        ],
        skills=[{**skill(["SYSTEM", "R"]), "folder": within}],
    )
    commands = [one for transaction in sent for one in transaction]
    assert (len(sent) == 1) != batched
    grants = [one.split()[1] for one in commands if "GRANT" in one or "REVOKE" in one]
    names = [one.partition(":")[0] for one in dict.fromkeys(grants)]
    assert names == ["CfgSkill", "CfgFolder", "CfgFolder", "CfgTenant", "CfgTenant"]
    assert grants[-1] == "CfgTenant:1"
    given, taken = (
        [at for at, one in enumerate(commands) if one.startswith(f"{verb} {ACME}")]
        for verb in ("CFG.GRANT", "CFG.REVOKE")
    )
    assert max(given) < min(taken)
    before = commands[: commands.index(f"CFG.GRANT {SALES} SYSTEM")]
    assert not any("GRANT" in one for one in before)


def test_an_import_that_leaves_no_administrator_is_refused_before_it_begins(
    master: ImportMaster,
) -> None:
    (problem,) = refused(master, tenants=[{"name": "Environment", "grants": [["SYSTEM", "R"]]}])
    assert "nobody would be left" in problem
    groups = [{"group": {"tenant": "Environment", "name": "Super Administrators"}, "members": []}]
    bring(master, accessGroups=groups, tenants=[{"name": "acme", "grants": []}])


def test_what_can_not_be_compared_is_refused(master: ImportMaster) -> None:
    master.without_rp.add((CLASS_SKILL, 101))
    (problem,) = refused(master, skills=[skill()])
    assert "grants: can't be compared: Read Permissions (RP)" in problem
    bring(master, skills=[{"tenant": "acme", "name": "Sales", "state": "disabled"}])


def test_an_export_says_of_how_many_objects_it_lacks_the_grants(master: ImportMaster) -> None:
    master.grant(SALES, ANN, "R")
    report = Report()
    assert exported(master, report)["skills"][0]["grants"] == [["person/17", "R"]]
    assert report.grants_left_out == 0
    master.without_rp.add((CLASS_SKILL, 101))
    found = exported(master, report)
    assert "grants" not in found["skills"][0]
    assert (report.grants_left_out, found["__metadata__"]["grantsLeftOut"]) == (1, 1)
    prepared = run(master, {"f": json.dumps(found).encode()})  # type: ignore[arg-type]
    assert prepared.plan.count == 0
    assert "f lacks the grants of 1 objects" in prepared.warnings[0]
    assert master.grants(SALES) == {ANN: "R"}


def test_a_list_with_an_account_that_is_hidden_is_left_out_whole(
    master: ImportMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a list would take the other half away where it is imported."""
    master.grant(SALES, ANN, "none")
    master.grant(SALES, SUPERS, "R")
    read = master.read

    def without_ann(class_name: str, *, extra: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
        return (
            one
            for one in read(class_name, extra=extra)
            if (class_name, one["DBID"]) != ("CfgPerson", 101)
        )

    monkeypatch.setattr(master, "read", without_ann)
    report = Report()
    assert "grants" not in exported(master, report)["skills"][0]
    assert report.grants_left_out == 1
    assert report.lost[ANN] == 1


def test_what_comes_with_grants_says_that_it_has_none(master: ImportMaster, tmp_path: Path) -> None:
    taken = [(key, one) for key in (ACME, "CfgPerson:100") for one in master.grants(key)]
    assert master.exec(*(("CFG.REVOKE", *one) for one in taken)).error is None
    data = b"".join(export(master, Report(), layout=NAMED))
    content = json.loads(data)
    assert [one["grants"] for one in content["tenants"] if one["name"] == "acme"] == [[]]
    assert "grants" not in content["skills"][0]
    (tmp_path / "two").mkdir()
    other = ImportMaster(tmp_path / "two")
    try:
        run(other, {"f": data})  # type: ignore[arg-type]
        assert other.grants("CfgPerson:100") == {}
        assert json.loads(b"".join(export(other, Report())))["tenants"] == content["tenants"]
    finally:
        other.close()


def test_what_is_known_by_something_hidden_is_left_out(
    master: ImportMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads a skill, but not its tenant, can't say which skill it is."""
    read = master.read
    shown = ("CfgSkill", "CfgHost", "CfgFolder")

    def without_tenants(class_name: str, *, extra: tuple[str, ...] = ()) -> Iterator[Any]:
        return (one for one in read(class_name, extra=extra) if class_name in shown)

    master.create("CfgHost", name="h", type="networkserver")
    monkeypatch.setattr(master, "read", without_tenants)
    report = Report()
    found = exported(master, report)
    assert "h" in [one["name"] for one in found.pop("hosts")]
    assert list(found) == ["__metadata__"]
    assert report.nameless == {"CfgTenant:101": 1}


def test_who_can_not_read_tenant_1_imports_into_his_own(
    master: ImportMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An administrator of one tenant sees nothing of Environment, its default folders neither."""
    read = master.read

    def of_acme(class_name: str, *, extra: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
        hidden = {"CfgTenant": 1, "CfgPerson": 100}.get(class_name)
        for one in read(class_name, extra=extra):
            owner = one.get("ownerID", {"type": "tenant", "DBID": 101})
            if one["DBID"] != hidden and owner == {"type": "tenant", "DBID": 101}:
                yield one

    monkeypatch.setattr(master, "read", of_acme)
    within = {**SKILLS, "path": ["Skills", "new"]}
    sections = {
        "skills": [{**skill(["person/17", "R"], name="b"), "folder": within}],
        "folders": [{"type": "skill", "folder": SKILLS, "grants": [["SYSTEM", "R"]]}],
    }
    bring(master, **sections)
    made = master.object("CfgFolder", master.object("CfgSkill", 102)["folderDBID"])
    assert made["name"] == "new"
    assert master.object("CfgFolder", made["folderDBID"])["name"] == "Skills"
    file = b"".join(export(master, Report(), classes=("CfgSkill", "CfgFolder", "CfgPerson")))
    assert run(master, {"f": file}).plan.count == 0  # type: ignore[arg-type]
