"""csp import on a running master: the estate, the samples, repeats, refusals, exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.neighbours.server import Master, Proxy, run_cli
from tests.unit.importing import document, person

DATA = Path(__file__).parent.parent / "data" / "mutagen"
TENANT = [{"name": "acme"}]


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("import")) as master:
        yield master


def write(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def test_an_estate_and_again(master: Master, tmp_path: Path) -> None:
    file = str(tmp_path / "estate.json")
    made = run_cli("estate", "--agents", "150", "--seed", "3", "-o", file, "--json")
    assert made.returncode == 0, made.stderr
    objects = json.loads(made.stdout)["objects"]

    planned = master.cli("import", file, "--dry-run", "--json")
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["created"] == objects

    first = master.cli("import", file, "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["created"] == objects

    again = master.cli("import", file, "--json")
    assert again.returncode == 0, again.stderr
    report = json.loads(again.stdout)
    assert (report["changes"], report["unchanged"]) == (0, objects)
    with master.client() as client:
        assert client.execute_command("CFG.COUNT", "CfgPerson") > 150


def test_one_attribute_changes_one_object(master: Master, tmp_path: Path) -> None:
    base = {"tenants": TENANT, "persons": [person("c1"), person("c2")]}
    master.cli("import", write(tmp_path, "a.json", document(**base)))
    changed = document(persons=[person("c1", firstName="Zoë"), person("c2")])
    done = master.cli("import", write(tmp_path, "b.json", changed), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["created"], report["updated"], report["unchanged"]) == (0, 1, 1)
    shown = master.cli("get", "CfgPerson/user_name=u-c1", "--json")
    assert json.loads(shown.stdout)["firstName"] == "Zoë"


def test_exports_of_mutagen(master: Master) -> None:
    file = str(DATA / "export" / "json_sorted_persons.json")
    done = master.cli("import", file, "--create-missing", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["classes"]["CfgPerson"]["create"] == 3
    voice = str(DATA / "objects" / "configuration.json")
    assert master.cli("import", voice).returncode == 2
    assert master.cli("import", voice, "--create-missing").returncode == 0
    skill = str(DATA / "objects" / "skill.json")
    for of in ("CfgSkill", "skills", "skill"):
        shown = master.cli("import", skill, "--type", of, "--create-missing", "--dry-run")
        assert shown.returncode == 0, shown.stderr
        assert "CfgSkill: create 1" in shown.stdout
    wrong = master.cli("import", skill, "--type", "CfgWizard")
    assert wrong.returncode == 2
    assert "there is no class 'CfgWizard'" in wrong.stderr


def test_variables_come_from_set_before_the_environment(master: Master, tmp_path: Path) -> None:
    tenants = [{"name": "${VAR_A} ${VAR_B} $${VAR_A}"}]
    file = write(tmp_path, "a.json", document(tenants=tenants))
    done = master.cli("import", file, "--set", "VAR_A=x", VAR_A="no", VAR_B="y")
    assert done.returncode == 0, done.stderr
    assert master.cli("get", "CfgTenant/name=x y ${VAR_A}").returncode == 0
    unset = master.cli("import", file, "--set", "VAR_A=x")
    assert unset.returncode == 2
    assert "tenants[0] (line 1) name: the variable VAR_B is not set" in unset.stderr


def test_a_refusal_changes_nothing(master: Master, tmp_path: Path) -> None:
    with master.client() as client:
        before = client.execute_command("CFG.STATUS")
        bad = document(tenants=[{"name": "refused"}], persons=[person("r1", nickname="x")])
        done = master.cli("import", write(tmp_path, "a.json", bad))
        assert done.returncode == 2
        assert "a.json: persons[0] (line 1)" in done.stderr
        # What only the server knows: the user name is taken.
        master.cli("import", write(tmp_path, "b.json", document(tenants=TENANT)))
        taken = document(tenants=[{"name": "refused"}], persons=[person("r2", userName="default")])
        done = master.cli("import", write(tmp_path, "c.json", taken))
        assert done.returncode == 2, done.stderr
        assert 'userName "default": is taken by CfgPerson:100' in done.stderr
        assert client.execute_command("CFG.FIND", "CfgTenant", "name", "refused") is None
        assert before


def test_no_server(tmp_path: Path) -> None:
    file = write(tmp_path, "a.json", document(tenants=TENANT))
    assert run_cli("import", file, "--server", "127.0.0.1:1").returncode == 3
    assert run_cli("import", "--server", "127.0.0.1:1").returncode == 2


def test_a_dry_run_finds_what_the_run_would(master: Master, tmp_path: Path) -> None:
    """A bad object behind more than one transaction of good ones: nothing is written."""
    skills = [{"tenant": "Environment", "name": f"dry {number}"} for number in range(10_001)]
    taken = {"tenant": "Environment", "employeeId": "dry", "userName": "default"}
    file = write(tmp_path, "large.json", document(skills=skills, persons=[taken]))
    with master.client() as client:
        before = client.execute_command("CFG.STATUS")["revision"]
        for options in (["--dry-run"], []):
            done = master.cli("import", *options, file)
            assert done.returncode == 2
            assert 'userName "default": is taken by CfgPerson:100' in done.stderr
        assert client.execute_command("CFG.STATUS")["revision"] == before


def test_a_dry_run_at_a_proxy_says_that_it_takes_no_writes(master: Master, tmp_path: Path) -> None:
    file = write(tmp_path, "a.json", document(skills=[{"tenant": "Environment", "name": "p"}]))
    with Proxy(tmp_path, master) as proxy:
        for options in (["--dry-run"], []):
            done = proxy.cli("import", *options, file)
            assert done.returncode == 4
            assert "takes no writes: import at its master" in done.stderr
    assert master.cli("import", "--dry-run", file).returncode == 0
