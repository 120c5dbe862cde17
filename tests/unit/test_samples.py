"""Every sample of mutagen: imported into a world that has what it refers to, exported, the same.

In the samples' world the tenant that holds hosts and applications is called `tenant`.
The raw samples state less than a new object needs (no physical switch, no prototype, no server at
the other end of a connection): their objects are in the world, and found there.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from csp.transfer.exporting import NAMED, RAW, Layout, Report, export
from csp.transfer.forms import FORM_OF, FORMS
from csp.transfer.interpolate import interpolate
from csp.transfer.problems import ImportRefused
from tests.unit.import_master import ImportMaster
from tests.unit.importing import run
from tests.unit.test_import_plan import DATA

EMPTY: tuple[Any, ...] = ({}, [], "")  # the same as what is not there
WORLD = Path(__file__).parent.parent / "data" / "export" / "world.json"
SECTIONS = {name.removeprefix("Cfg").lower(): form.section for name, form in FORM_OF.items()}
ALIASES = {"dngroup_with_trunks": "dngroup"}
# These are whole exports, the last with variables in it.
WHOLE = ("configuration", "configuration_interpolated", "configuration_before_interpolation")
VARIABLES = {"FOO": "foo", "BAR_1234": "bar"}
OBJECTS = sorted(file for file in (DATA / "objects").glob("*.json") if file.stem not in WHOLE)
EXPORTS = [
    *sorted((DATA / "export").glob("*.json")),
    *(DATA / "objects" / f"{name}.json" for name in WHOLE),
]
# Parts and references, which are no objects, and objects that lack what csp must know.
REFUSED = {
    "action_code_reference": "there is no class",
    "agent_login_reference": "there is no class",
    "campaign_group_reference": "there is no class",
    "dn_reference": "there is no class",
    "enumerator_value_reference": "there is no class",
    "folder_reference": "there is no class",
    "simple_object_reference": "there is no class",
    "transaction_reference": "there is no class",
    "group": "there is no class",
    "empty_group": "there is no class",
    "empty_accessgroup": "type: is mandatory",
    "empty_enumerator": "displayName: is mandatory",
    "empty_enumeratorvalue": "enumerator: the object's tenant is not known",
    "empty_gvpcustomer": "tenant: is missing",
    "empty_gvpivrprofile": "tenant: is missing",
    "empty_ivr": "tenant: is missing",
    "empty_physicalswitch": "type: is mandatory",
    "empty_person": "userName: is mandatory",
    "empty_switch": "physicalSwitch: is mandatory",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    master = ImportMaster(folder)
    master.update("CfgTenant", 1, {"changed": {"name": "tenant"}})
    run(master, {"world.json": WORLD.read_bytes()})
    master.close()
    return folder


@pytest.fixture
def master(world: Path, tmp_path: Path) -> Any:
    for file in world.iterdir():
        shutil.copy(file, tmp_path)
    master = ImportMaster(tmp_path)
    yield master
    master.close()


def section_of(name: str) -> str:
    kind = ALIASES.get(name, name).removeprefix("empty_")
    if kind not in SECTIONS:
        pytest.fail(f"there is no class {kind}")
    return SECTIONS[kind]


def exported(master: ImportMaster, layout: Layout = NAMED) -> dict[str, Any]:
    report = Report()
    found: dict[str, Any] = json.loads(b"".join(export(master, report, layout=layout)))
    assert not report.lost
    return found


def plain(value: Any) -> Any:
    """References as short as they can be: everything is of one tenant, DNs have numbers."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {name: plain(one) for name, one in value.items()}
    if found.get("tenant") == "tenant" and len(found) > 1:
        del found["tenant"]
    if "number" in found and "switch" in found:
        found.pop("name", None)
    return found["name"] if set(found) == {"name"} else found


def comparable(section: str, value: dict[str, Any]) -> dict[str, Any]:
    found = {
        name: one if name == "group" and section.endswith("Groups") else plain(one)
        for name, one in value.items()
        if name != "password"
    }
    folder = found.get("folder")
    if folder is not None and folder["type"] == "folder":
        # That of the class itself, as the sample means it.
        kind = found["type"] if section == "folders" else FORMS[section].cls.name[3:].lower()
        found["folder"] = {**folder, "type": kind}
    return found


def is_stated_in(stated: Any, whole: Any) -> bool:
    if isinstance(stated, dict) and isinstance(whole, dict):
        return all(
            is_stated_in(one, whole[name]) if name in whole else one in EMPTY
            for name, one in stated.items()
        )
    if isinstance(stated, list) and isinstance(whole, list):
        return len(stated) == len(whole) and all(map(is_stated_in, stated, whole))
    return bool(stated == whole)


@pytest.mark.parametrize("file", OBJECTS, ids=[file.stem for file in OBJECTS])
def test_a_sample_comes_out_as_it_went_in(master: ImportMaster, file: Path) -> None:
    name = file.stem
    if name in REFUSED:
        assert REFUSED[name] in why_refused(master, name, file)
        return
    section = section_of(name)
    run(master, {name: file.read_bytes()}, section=section)
    stated = comparable(section, json.loads(file.read_text()))
    there = [comparable(section, one) for one in exported(master)[section]]
    assert any(is_stated_in(stated, one) for one in there), stated
    assert not run(master, {name: file.read_bytes()}, section=section).plan.count


def why_refused(master: ImportMaster, name: str, file: Path) -> str:
    kind = name.removeprefix("empty_")
    section = SECTIONS.get(kind)
    if section is None:
        return f"there is no class {kind}"
    with pytest.raises(ImportRefused) as refusal:
        run(master, {name: file.read_bytes()}, section=section)
    return str(refusal.value.problems.found[0])


@pytest.mark.parametrize("file", EXPORTS, ids=[file.stem for file in EXPORTS])
def test_an_export_comes_out_as_it_went_in(master: ImportMaster, file: Path) -> None:
    data = file.read_bytes().replace(b'"Environment"', b'"tenant"')
    is_raw = file.stem.startswith("raw")
    run(master, {file.name: data}, variables=VARIABLES)
    there = exported(master, RAW if is_raw else NAMED)
    whole = interpolate(json.loads(data), VARIABLES, lambda path, rule: pytest.fail(rule))
    for section, stated in whole.items():
        if section == "__metadata__":
            continue
        of_section = there.get(section, [])
        if not is_raw:
            of_section = [comparable(section, one) for one in of_section]
            stated = [comparable(section, one) for one in stated]
        for one in stated:
            assert any(is_stated_in(one, other) for other in of_section), one
    assert not run(master, {file.name: data}, variables=VARIABLES).plan.count
