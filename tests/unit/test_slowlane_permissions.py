"""CFG.PERMISSIONS and CFG.ACCESS: who is shown an access list, and what decides rights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from csp.model.keys import KEYS
from csp.model.rights import SYSTEM, account_of, grant_of
from csp.model.symbolic import parse_key
from csp.worker import handlers, permissions
from tests.unit.fake_loop import Server

FOLDERS = ("CfgTenant:1", "CfgFolder:10", "CfgFolder:11")  # the first hands down to the next
PLACE = "CfgPlace:200"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Ann is in Agents, which Staff lists; everybody of the tenant is in EVERYONE."""
    monkeypatch.setitem(handlers.HANDLERS, "cfg.permissions", permissions.show_permissions)  # type: ignore[arg-type]
    server = Server(tmp_path)
    for key in (*FOLDERS, PLACE):
        put(server, key)
    for inner, outer in zip([*FOLDERS[1:], PLACE], FOLDERS, strict=True):
        server.reader.containers[place(inner)] = place(outer)
    put(server, "CfgPerson:101", userName="ann", tenantDBID=1)
    server.reader.finds[KEYS["CfgPerson", "user_name"].key_id, b"ann"] = [101]
    group(server, 31, "Agents", ("person", 101))
    group(server, 32, "Staff", ("accessgroup", 31))
    group(server, 33, "EVERYONE", type="everyonegroup")
    server.reader.accounts[101] = {account_of(f"CfgAccessGroup:{n}") for n in (31, 32, 33)}
    server.reader.accounts[101].add(account_of("CfgPerson:101"))
    server.reader.accounts[100] = {account_of("CfgPerson:100")}
    grant(server, "CfgTenant:1", "CfgPerson:100", "R,RP,CP,propagate")
    reader = server.reader
    monkeypatch.setattr(
        server.loop, "rights_on", lambda _, *at: reader.raw_rights(*at, reader.accounts[100])
    )
    yield server
    server.close()


def put(server: Server, key: str, **attributes: Any) -> None:
    cls, dbid = parse_key(key)
    server.reader.put(cls.name, dbid, **attributes)


def group(server: Server, dbid: int, name: str, *members: tuple[str, int], type: str = "") -> None:
    listed = [{"type": word, "DBID": number} for word, number in members]
    info = {"name": name, "tenantDBID": 1}
    put(server, f"CfgAccessGroup:{dbid}", groupInfo=info, memberIDs=listed, type=type)


def place(key: str) -> tuple[int, int]:
    cls, dbid = parse_key(key)
    return cls.id, dbid


def grant(server: Server, key: str, account: str, rights: str) -> None:
    server.reader.granted.setdefault(place(key), {})[account_of(account)] = grant_of(rights)


def access(server: Server, user: str, key: str) -> dict[str, Any]:
    reply = server.ask("CFG.ACCESS", user, key)
    assert isinstance(reply, bytes), reply
    found: dict[str, Any] = orjson.loads(reply)
    return found


def test_own_grants_come_first_and_the_nearest_from_above_once(server: Server) -> None:
    grant(server, PLACE, "CfgAccessGroup:31", "R,U")
    grant(server, "CfgFolder:11", "CfgAccessGroup:32", "none,propagate")
    grant(server, "CfgFolder:10", "CfgAccessGroup:32", "R,propagate")
    grant(server, "CfgFolder:10", "CfgAccessGroup:31", "R,X,propagate")
    grant(server, "CfgFolder:11", "CfgPerson:101", "D")  # concerns the folder alone
    grant(server, "CfgFolder:10", "SYSTEM", "R,propagate")
    revision, own, inherited = server.ask("CFG.PERMISSIONS", PLACE)  # type: ignore[misc]
    assert revision == server.reader.revision
    assert own == [[b"CfgAccessGroup:31", b"R,U"]]
    assert inherited == [
        [b"CfgAccessGroup:32", b"none,propagate", b"CfgFolder:11"],
        [b"SYSTEM", b"R,propagate", b"CfgFolder:10"],
        [b"CfgPerson:100", b"R,RP,CP,propagate", b"CfgTenant:1"],
    ]


def test_a_tenant_inherits_nothing(server: Server) -> None:
    server.reader.containers[place("CfgTenant:1")] = place("CfgFolder:10")
    grant(server, "CfgFolder:10", "CfgPerson:100", "none,propagate")
    _, own, inherited = server.ask("CFG.PERMISSIONS", "CfgTenant:1")  # type: ignore[misc]
    assert (len(own), inherited) == (1, [])


def test_who_may_not_see_the_list_is_refused(server: Server) -> None:
    grant(server, PLACE, "CfgPerson:100", "R,U,CP")
    assert str(server.ask("CFG.PERMISSIONS", PLACE)).startswith("NOPERM Read Permissions (RP)")


def test_what_is_not_there_is_a_bad_key(server: Server) -> None:
    assert str(server.ask("CFG.PERMISSIONS", "CfgPlace:9")) == "BADKEY there is no CfgPlace:9"


def test_access_names_the_grants_that_decide_and_the_ways_to_them(server: Server) -> None:
    grant(server, PLACE, "CfgAccessGroup:31", "R,U")
    grant(server, "CfgFolder:11", "CfgAccessGroup:32", "X,propagate")
    grant(server, "CfgFolder:10", "CfgAccessGroup:32", "D,propagate")  # a nearer one decides
    grant(server, "CfgTenant:1", "CfgAccessGroup:33", "R,propagate")
    found = access(server, "ann", PLACE)
    assert (found["account"], found["enabled"], found["rights"]) == ("CfgPerson:101", True, "R,U,X")
    assert [(one["name"], one["via"]) for one in found["groups"]] == [
        ("Agents", ["CfgPerson:101"]),
        ("Staff", ["CfgPerson:101", "CfgAccessGroup:31"]),
        ("EVERYONE", ["CfgTenant:1"]),
    ]
    assert [(one["account"], one["grant"], one["by"]) for one in found["decided"]] == [
        ("CfgAccessGroup:31", "R,U", [PLACE]),
        ("CfgAccessGroup:32", "X,propagate", [PLACE, "CfgFolder:11"]),
        (
            "CfgAccessGroup:33",
            "R,propagate",
            [PLACE, "CfgFolder:11", "CfgFolder:10", "CfgTenant:1"],
        ),
    ]


def test_a_disabled_account_has_no_rights(server: Server) -> None:
    grant(server, PLACE, "CfgPerson:101", "R")
    server.reader.accounts[101] = set()
    found = access(server, "ann", PLACE)
    assert (found["enabled"], found["rights"], found["decided"]) == (False, "none", [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nobody", PLACE), "BADVALUE there is no user 'nobody'"),
        (("ann", "CfgPlace:9"), "BADKEY there is no CfgPlace:9"),
        (("ann", "Place:9"), "BADCLASS"),
    ],
)
def test_access_says_what_it_does_not_find(
    server: Server, words: tuple[str, ...], said: str
) -> None:
    assert str(server.ask("CFG.ACCESS", *words)).startswith(said)


def test_access_is_for_administrators(server: Server) -> None:
    server.loop.sessions[1].administrator = False
    assert str(server.ask("CFG.ACCESS", "ann", PLACE)).startswith("NOPERM")


def test_the_account_system_is_nobodys_group(server: Server) -> None:
    assert SYSTEM not in server.reader.accounts[101]
    grant(server, PLACE, "SYSTEM", "R")
    assert access(server, "ann", PLACE)["rights"] == "none"
