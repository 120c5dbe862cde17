"""What comes out of a server goes in again: the same objects and grants, here and elsewhere."""

from __future__ import annotations

import json
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.errors import CspError
from csp.model.types import CLASSES, WORD_OF_CLASS, by_id
from csp.transfer.exporting import NAMED, RAW, Layout, Report, export
from tests.effort import examples
from tests.unit.import_master import ImportMaster
from tests.unit.importing import run

# Names that a default folder has, of the same or of another type, and such as paths are made of.
NAMES = ["Skills", "Persons", "DNs", "Agent Logins", "a", "a/b", "/", "..", "${x}", "ü", "A"]
TYPES = ["skill", "person", "dn", "agentlogin", "folder", "host", "switch", "place"]
BASE: list[tuple[str, dict[str, Any]]] = [
    ("CfgTenant", {"name": "acme"}),
    ("CfgPhysicalSwitch", {"name": "ps", "type": "avayadefinityg3"}),
    ("CfgSwitch", {"name": "sw", "tenantDBID": 101, "physSwitchDBID": 101}),
    ("CfgDN", {"number": "1", "type": "extension", "switchDBID": 101}),
    ("CfgDN", {"number": "1", "type": "destinationlabel", "name": "l", "switchDBID": 101}),
    ("CfgSkill", {"name": "Sales", "tenantDBID": 101}),
    ("CfgActionCode", {"name": "a", "type": "logout", "code": "7", "tenantDBID": 101}),
    ("CfgPerson", {"employeeID": "17", "userName": "ann", "isAgent": False, "tenantDBID": 101}),
]
# Who owns folders: class and DBID.
OWNERS = [
    *(("CfgTenant", 1), ("CfgTenant", 101), ("CfgSwitch", 101), ("CfgHost", 1), ("CfgDN", 101)),
    *(("CfgDN", 102), ("CfgActionCode", 101), ("CfgPerson", 101), ("CfgApplication", 99)),
    *(("CfgSkill", 101), ("CfgFolder", 3), ("CfgPerson", 100)),
]
CONTENT: dict[str, dict[str, Any]] = {
    "skill": {"tenantDBID": 101},
    "place": {"tenantDBID": 101},
    "agentlogin": {"switchDBID": 101},
    "dn": {"switchDBID": 101, "type": "extension"},
    "host": {"type": "networkserver"},
}
CLASS_OF_CONTENT = {WORD_OF_CLASS[name]: name for name in CLASSES}

folders = st.tuples(
    st.sampled_from(OWNERS), st.sampled_from(TYPES), st.sampled_from(NAMES), st.integers(0, 4)
)
# Whose rights are stated: tenants' groups, persons, SYSTEM; and on what, of all there is.
ACCOUNTS = ["SYSTEM", "CfgPerson:100", "CfgPerson:101"]
ACCOUNTS += [f"CfgAccessGroup:{dbid}" for dbid in (1, 2, 4, 101, 102, 103)]
RIGHTS = ["R", "R,X", "none", "none,propagate", "R,C,U,X,D,RP,CP,propagate", ""]
grants = st.tuples(st.integers(0, 1 << 20), st.sampled_from(ACCOUNTS), st.sampled_from(RIGHTS))
contents = st.tuples(st.sampled_from(sorted(CONTENT)), st.integers(0, 8))


def exported(master: ImportMaster, layout: Layout) -> bytes:
    report = Report()
    data = b"".join(export(master, report, layout=layout))
    assert not report.lost
    return data


def without_revision(data: bytes) -> list[str]:
    lines = data.decode().splitlines()
    metadata = json.loads("{" + lines[1].removesuffix(",") + "}")["__metadata__"]
    del metadata["revision"]
    return [json.dumps(metadata), *lines[2:]]


def check_round_trip(master: ImportMaster, other: ImportMaster, layout: Layout) -> None:
    file = exported(master, layout)
    assert run(master, {"file": file}).plan.count == 0
    run(other, {"file": file})
    assert without_revision(exported(other, NAMED)) == without_revision(exported(master, NAMED))
    assert run(other, {"file": file}).plan.count == 0


def top_folder(master: ImportMaster) -> int:
    """acme's default folder of skills."""
    owner = {"type": "tenant", "DBID": 101}
    return next(
        int(one["DBID"])
        for one in master.read("CfgFolder")
        if one["ownerID"] == owner and one["type"] == "skill" and not one["folderDBID"]
    )


def try_folder(
    master: ImportMaster, owner: tuple[str, int], kind: str, name: str, above: int, made: list[int]
) -> None:
    """Makes a folder in one of the same owner and type, or at the top, if the server lets it."""
    word = WORD_OF_CLASS[owner[0]]
    body: dict[str, Any] = {"name": name, "type": kind, "ownerID": {"type": word, "DBID": owner[1]}}
    same = [
        one
        for one in made
        if (found := master.object("CfgFolder", one))
        and (found["type"], found["ownerID"]) == (kind, body["ownerID"])
    ]
    if same and above:
        body["folderDBID"] = same[above % len(same)]
    elif owner[0] != "CfgTenant" or kind == "folder":
        body["folderDBID"] = 0
    try:
        made.append(master.create("CfgFolder", **body))
    except CspError:
        return


def try_object(master: ImportMaster, name: str, kind: str, at: int, made: list[int]) -> None:
    """Makes an object in one of the folders that hold such, if the server lets it."""
    fit = [one for one in made if (master.object("CfgFolder", one) or {}).get("type") == kind]
    key = {"agentlogin": "loginCode", "dn": "number"}.get(kind, "name")
    body = {**CONTENT[kind], key: name}
    if fit:
        body["folderDBID"] = fit[at % len(fit)]
    try:
        master.create(CLASS_OF_CONTENT[kind], **body)
    except CspError:
        return


def try_grant(master: ImportMaster, at: int, account: str, rights: str) -> None:
    """Grants or takes rights on some object, where the server lets it."""
    keys = [key for key in sorted(master.host.records) if key[0] in by_id]
    class_id, dbid = keys[at % len(keys)]
    key = f"{by_id[class_id].name}:{dbid}"
    if rights:
        master.write("CFG.GRANT", key, account, rights)
    else:
        master.write("CFG.REVOKE", key, account)


@pytest.mark.parametrize("layout", [NAMED, RAW], ids=["own", "raw"])
@examples(12)
@given(
    tree=st.lists(folders, min_size=1, max_size=14),
    objects=st.lists(contents, max_size=8),
    environment=st.sampled_from(["Environment", "Resources", "acme2"]),
    default_folder=st.sampled_from(["", "Skills", "a", "Fertigkeiten"]),
    granted=st.lists(grants, max_size=12),
)
def test_odd_folders(
    layout: Layout,
    tree: list[tuple[tuple[str, int], str, str, int]],
    objects: list[tuple[str, int]],
    environment: str,
    default_folder: str,
    granted: list[tuple[int, str, str]],
) -> None:
    with (
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as two,
        closing(ImportMaster(Path(one))) as master,
        closing(ImportMaster(Path(two))) as other,
    ):
        for name, body in BASE:
            master.create(name, **body)
        if environment != "Environment":
            master.update("CfgTenant", 1, {"changed": {"name": environment}})
        if default_folder:
            changed = {"changed": {"name": default_folder}}
            master.update("CfgFolder", top_folder(master), changed)
        made: list[int] = []
        for owner, kind, name, above in tree:
            try_folder(master, owner, kind, name, above, made)
        for serial, (kind, at) in enumerate(objects):
            try_object(master, f"o{serial}", kind, at, made)
        for at, account, rights in granted if layout.has_grants else ():
            try_grant(master, at, account, rights)
        check_round_trip(master, other, layout)


@pytest.mark.parametrize("layout", [NAMED, RAW], ids=["own", "raw"])
def test_deep_folders(tmp_path: Path, layout: Layout) -> None:
    body: dict[str, Any] = {"name": "Skills", "type": "skill"}
    body["ownerID"] = {"type": "tenant", "DBID": 1}
    commands = [("CFG.CREATE", "CfgFolder", body)]
    commands += [
        ("CFG.CREATE", "CfgFolder", {**body, "folderDBID": f"@{depth}"}) for depth in range(1, 900)
    ]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with (
        closing(ImportMaster(tmp_path / "one")) as master,
        closing(ImportMaster(tmp_path / "two")) as other,
    ):
        outcome = master.exec(*commands)
        assert outcome.error is None
        master.create("CfgSkill", name="deep", tenantDBID=1, folderDBID=outcome.results[-1])
        check_round_trip(master, other, layout)
