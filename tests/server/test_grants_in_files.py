"""Grants go with an export into another master; who may not read them gets a file that says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.neighbours.server import Master, Proxy
from tests.unit.grants_stage import EVERY
from tests.unit.importing import document

SECRET = "what ann signs in with"
TEAM = {"group": {"tenant": "acme", "name": "Team"}, "type": "defaultgroup", "members": ["17"]}
WITHIN = {"type": "skill", "owner": {"type": "tenant", "name": "acme"}, "path": []}
FIRST = {"type": "person", "employeeId": "default", "tenant": "Environment"}
READS = [["accessgroup/Team", "R,X,propagate"]]
ESTATE = document(
    tenants=[{"name": "acme", "grants": [[FIRST, EVERY], ["accessgroup/Team", "R"]]}],
    accessGroups=[TEAM],
    persons=[{"tenant": "acme", "employeeId": "17", "userName": "ann", "agent": False,
              "password": SECRET, "grants": [["person/17", "R,U"]]}],
    folders=[{"type": "skill", "folder": WITHIN, "grants": READS},
             {"type": "skill", "folder": WITHIN, "name": "Hidden",
              "grants": [["accessgroup/Team", "none,propagate"], ["SYSTEM", "R,X,propagate"]]}],
    skills=[{"tenant": "acme", "name": "Sales"},
            {"tenant": "acme", "name": "VIP", "folder": {**WITHIN, "path": ["Hidden"]}}],
    applications=[{"name": "default", "grants": [["accessgroup/Users", "R,X"],
                   [{"type": "accessgroup", "name": "Team", "tenant": "acme"}, "R,X"]]}],
)  # fmt: skip


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    folder = tmp_path_factory.mktemp("grants")
    with Master(folder) as master:
        file = folder / "estate.json"
        file.write_bytes(ESTATE)
        planned = master.cli("import", str(file), "--dry-run")
        assert planned.returncode == 0, planned.stderr
        assert "grants of CfgApplication 'default': CfgAccessGroup 'Team'" in planned.stdout
        done = master.cli("import", str(file), "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["grants"] == 5
        again = master.cli("import", str(file), "--json")
        assert json.loads(again.stdout)["changes"] == 0, again.stdout + again.stderr
        yield master


def exported(server: Master | Proxy, *options: str) -> dict[str, Any]:
    done = server.cli("export", *options)
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    del found["__metadata__"]
    return found


def test_an_export_brings_them_into_another_master(master: Master, tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    assert master.cli("export", "-o", str(file)).returncode == 0
    with Master(tmp_path) as other:
        imported = other.cli("import", str(file))
        assert imported.returncode == 0, imported.stdout + imported.stderr
        assert exported(other) == exported(master)
        again = other.cli("import", str(file), "--json")
        assert json.loads(again.stdout)["changes"] == 0, again.stdout + again.stderr


def test_a_proxy_exports_the_same(master: Master, tmp_path: Path) -> None:
    with Proxy(tmp_path, master) as proxy:
        assert exported(proxy) == exported(master)


def test_the_raw_form_says_that_it_has_none(master: Master) -> None:
    done = master.cli("export", "--format", "raw")
    assert "grants are not in this form; --format csp has them" in done.stderr
    assert "grants" not in done.stdout
    told = json.loads(master.cli("export", "--format", "raw", "--json").stderr)
    assert told["has_grants"] is False


def test_who_may_not_read_them_gets_what_he_may_read_and_is_told(master: Master) -> None:
    done = master.cli("export", CSP_USER="ann", CSP_PASSWORD=SECRET)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one["name"] for one in found["skills"]] == ["Sales"]
    assert [one["userName"] for one in found["persons"]] == ["ann"]
    assert '"grants"' not in done.stdout
    lacks = found["__metadata__"]["grantsLeftOut"]
    assert f"left out: the grants of {lacks} objects, for want of Read Permissions" in done.stderr
