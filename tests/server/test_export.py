"""Export: what one master has can be written down, read by another, and is the same again."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.neighbours.server import Master, run_cli
from tests.server.population import populate
from tests.unit.importing import document

ADDED = "one more"  # a skill that one database has beyond the other's


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    folder = tmp_path_factory.mktemp("export")
    estate = folder / "estate.json"
    made = run_cli("estate", "--agents", "60", "--seed", "3", "-o", str(estate))
    assert made.returncode == 0, made.stderr
    with Master(folder) as server:
        imported = server.cli("import", str(estate))
        assert imported.returncode == 0, imported.stderr
        with server.client() as client:
            populate(client, random.Random(4))
        yield server


def exported(server: Master, *options: str) -> str:
    done = server.cli("export", *options)
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stderr
    return done.stdout


def without_revision(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if "__metadata__" not in line)


def test_an_export_imported_elsewhere_exports_the_same(master: Master, tmp_path: Path) -> None:
    first = tmp_path / "first.json"
    done = master.cli("export", "-o", str(first))
    assert done.returncode == 0, done.stderr
    again = master.cli("import", str(first), "--json")
    assert again.returncode == 0, again.stdout + again.stderr
    assert json.loads(again.stdout)["changes"] == 0
    with Master(tmp_path) as other:
        imported = other.cli("import", str(first))
        assert imported.returncode == 0, imported.stdout + imported.stderr
        assert without_revision(exported(other)) == without_revision(first.read_text())


def test_a_raw_export_is_the_same_objects_under_other_dbids(master: Master, tmp_path: Path) -> None:
    file = tmp_path / "raw.json"
    done = master.cli("export", "--format", "raw", "-o", str(file))
    assert done.returncode == 0, done.stderr
    again = master.cli("import", str(file), "--json")
    assert again.returncode == 0, again.stdout + again.stderr
    assert json.loads(again.stdout)["changes"] == 0
    extra = tmp_path / "extra.json"
    extra.write_bytes(document(skills=[{"tenant": "Environment", "name": ADDED}]))
    with Master(tmp_path) as other:
        imported = other.cli("import", str(extra), str(file))
        assert imported.returncode == 0, imported.stdout + imported.stderr
        theirs, mine = json.loads(exported(other)), json.loads(exported(master))
        theirs["skills"] = [one for one in theirs["skills"] if one["name"] != ADDED]
        del theirs["__metadata__"], mine["__metadata__"]
        assert theirs == mine
        name = json.loads(file.read_text())["CFGSkill"][0]["name"]
        with master.client() as here, other.client() as there:
            skills = [
                json.loads(
                    page.execute_command("CFG.READ", "CfgSkill", "FILTER", "name", name)[2][0]
                )
                for page in (here, there)
            ]
        assert skills[0]["DBID"] != skills[1]["DBID"]


def test_an_export_is_stable_and_sorted(master: Master) -> None:
    text = exported(master)
    assert exported(master) == text
    skills: list[dict[str, Any]] = json.loads(text)["skills"]
    names = [(one["tenant"], one["name"]) for one in skills]
    assert names == sorted(names)
    assert len(names) > 5


def test_a_part_can_be_exported(master: Master) -> None:
    found = json.loads(exported(master, "--class", "CfgSkill", "--class", "CfgPlace"))
    assert set(found) == {"__metadata__", "skills", "places"}
    tenant = found["skills"][0]["tenant"]
    mine = json.loads(exported(master, "--tenant", tenant))
    assert {one["tenant"] for one in mine["persons"]} == {tenant}
    assert [one["name"] for one in mine["tenants"]] == [tenant]
    missing = master.cli("export", "--tenant", "nobody")
    assert missing.returncode == 1
    assert "there is no tenant 'nobody'" in missing.stderr


def test_no_secret_and_no_half_file(master: Master, tmp_path: Path) -> None:
    assert "password" not in json.loads(exported(master, "--class", "CfgPerson"))["persons"][0]
    target = tmp_path / "there.json"
    target.write_text("as it was")
    refused = master.cli("export", "--tenant", "nobody", "-o", str(target))
    assert refused.returncode == 1
    assert target.read_text() == "as it was"
    assert [one.name for one in tmp_path.iterdir()] == ["there.json"]
    nowhere = master.cli("export", "-o", str(tmp_path / "none" / "x.json"))
    assert nowhere.returncode != 0
    assert "No such file" in nowhere.stderr


def test_objects_that_an_import_cannot_tell_apart_are_named(tmp_path: Path) -> None:
    """Scripts of different types may share a name on a server, but files know them by the name."""
    with Master(tmp_path) as server, server.client() as client:
        for kind in ("schedule", "capacityrule"):
            script = json.dumps({"tenantDBID": 1, "name": "same", "type": kind})
            client.execute_command("CFG.CREATE", "CfgScript", script)
        done = server.cli("export")
        assert done.returncode == 0
        told = "CfgScript:101 and CfgScript:102 have one name, so an import refuses this file"
        assert told in done.stderr
        report = json.loads(server.cli("export", "--json", "-o", str(tmp_path / "f")).stderr)
        assert report["alike"] == ["CfgScript:101 and CfgScript:102"]


def test_odd_folders_and_a_renamed_environment_go_round(tmp_path: Path) -> None:
    """A switch's own folders, one named as a default one, and tenant 1 under another name."""
    switch = {"type": "switch", "name": "pbx", "tenant": "acme"}
    dn = {"switch": "pbx", "tenant": "acme", "type": "extension"}
    within = {"type": "skill", "owner": {"type": "tenant", "name": "acme"}}
    file = tmp_path / "odd.json"
    file.write_bytes(
        document(
            tenants=[{"name": "acme"}],
            physicalSwitches=[{"name": "ps", "type": "avayadefinityg3"}],
            switches=[{"tenant": "acme", "name": "pbx", "physicalSwitch": "ps"}],
            dns=[
                {**dn, "number": "1", "folder": {"type": "dn", "owner": switch, "path": ["DNs"]}},
                {**dn, "number": "2",
                 "folder": {"type": "dn", "owner": switch, "path": ["DNs", "a/b"]}},
            ],
            skills=[
                {"tenant": "acme", "name": "deep",
                 "folder": {**within, "path": ["Skills", "Skills", "Skills"]}},
                {"tenant": "acme", "name": "above", "folder": {**within, "path": ["Skills"]}},
            ],
        )
    )  # fmt: skip
    for name in ("one", "csp", "raw"):
        (tmp_path / name).mkdir()
    with Master(tmp_path / "one") as master:
        assert master.cli("import", str(file)).returncode == 0
        with master.client() as client:
            renamed = '{"changed":{"name":"Resources"}}'
            client.execute_command("CFG.UPDATE", "CfgTenant", 1, renamed)
        for form in ("csp", "raw"):
            out = tmp_path / f"{form}.json"
            assert master.cli("export", "--format", form, "-o", str(out)).returncode == 0
            repeated = master.cli("import", str(out), "--json")
            assert json.loads(repeated.stdout)["changes"] == 0, repeated.stderr
        first = (tmp_path / "csp.json").read_text()
        assert '"path":["Skills","Skills","Skills"]' in first
        for form in ("csp", "raw"):
            with Master(tmp_path / form) as other:
                done = other.cli("import", str(tmp_path / f"{form}.json"))
                assert done.returncode == 0, done.stdout + done.stderr
                assert without_revision(exported(other)) == without_revision(first)
