"""What the client and its verbs send and show of grants, against a server of a few lines."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from csp.client import Inherited
from csp.resp import encode
from tests.neighbours.server import run_cli
from tests.unit.test_client import Server, client_of, usual

EXPLAINED = {
    "user": "ann",
    "account": "CfgPerson:101",
    "enabled": True,
    "groups": [{"key": "CfgAccessGroup:7", "name": "Agents", "via": ["CfgPerson:101"]}],
    "rights": "R,X",
    "decided": [
        {
            "account": "CfgAccessGroup:7",
            "grant": "R,X,propagate",
            "at": "CfgTenant:1",
            "by": ["CfgPlace:9", "CfgTenant:1"],
        }
    ],
}
INHERITED = [["SYSTEM", "R,propagate", "CfgFolder:7"], ["CfgAccessGroup:7", "none,propagate", ""]]
LISTED = [48, [["CfgPerson:101", "R"]], INHERITED]


@pytest.fixture
def asked() -> list[list[bytes]]:
    return []


@pytest.fixture
def server(asked: list[list[bytes]]) -> Iterator[Server]:
    """It knows the commands of grants, and keeps what it was asked."""

    def answer(command: list[bytes]) -> bytes | None:
        if command[0] == b"HELLO":
            return encode({"server": "redis", "proto": 3}, 3)
        if not command[0].startswith(b"CFG."):
            return encode(None, 3) if command[0] == b"GET" else usual(command)
        asked.append(command)
        match command[0]:
            case b"CFG.PERMISSIONS":
                return encode(LISTED, 3)
            case b"CFG.ACCESS":
                return encode(orjson.dumps(EXPLAINED), 3)
        return encode(49, 3)

    server = Server(answer)
    yield server
    server.listener.close()


def test_a_grant_carries_an_id_and_gives_its_revision(
    server: Server, asked: list[list[bytes]]
) -> None:
    with client_of(server) as client:
        rights = "R,U,propagate"
        assert client.grant("CfgFolder", 7, "SYSTEM", rights, replace=True, write_id="w1") == 49
        assert client.revoke("CfgFolder", 7, "CfgPerson:101", write_id="w2") == 49
    words = [b"CFG.GRANT", b"CfgFolder:7", b"SYSTEM", rights.encode(), b"REPLACE", b"ID", b"w1"]
    assert asked == [words, [b"CFG.REVOKE", b"CfgFolder:7", b"CfgPerson:101", b"ID", b"w2"]]


def test_an_access_list_has_own_and_inherited_grants(server: Server) -> None:
    with client_of(server) as client:
        found = client.permissions("CfgPlace", 9)
    assert (found.revision, found.own) == (48, {"CfgPerson:101": "R"})
    assert found.inherited == [
        Inherited("SYSTEM", "R,propagate", "CfgFolder:7"),
        Inherited("CfgAccessGroup:7", "none,propagate", ""),
    ]


def test_access_is_what_the_server_explains(server: Server, asked: list[list[bytes]]) -> None:
    with client_of(server) as client:
        assert client.access("ann", "CfgPlace", 9) == EXPLAINED
    assert asked == [[b"CFG.ACCESS", b"ann", b"CfgPlace:9"]]


def shown(server: Server, *words: str) -> str:
    address = f"{server.address.host}:{server.address.port}"
    done = run_cli(*words, "--server", address, CSP_PASSWORD="right")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_verbs_show_them(server: Server) -> None:
    lines = shown(server, "permissions", "CfgPlace:9").splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        "CfgPerson:101",
        "SYSTEM",
        "CfgAccessGroup:7",
    ]
    assert lines[2].endswith("CfgFolder:7")
    assert lines[3].endswith("(a container that you may not read)")
    told = shown(server, "access", "ann", "CfgPlace:9")
    assert told.startswith("ann (CfgPerson:101) has R,X on CfgPlace:9\n")
    assert "handed down: CfgTenant:1 > CfgPlace:9; in it by CfgPerson:101" in told
    assert "revision 49" in shown(server, "grant", "CfgPlace:9", "SYSTEM", "R")
    assert "revision 49" in shown(server, "revoke", "CfgPlace:9", "CfgAccessGroup:7")
    assert orjson.loads(shown(server, "access", "ann", "CfgPlace:9", "--json")) == EXPLAINED
