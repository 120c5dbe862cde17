"""Persons and options of external sign-in at real servers, and sign-ins on bare connections."""

from __future__ import annotations

import itertools
import json
import socket
import time
from collections.abc import Mapping
from typing import Any

from csp.resp import request
from tests.neighbours import secrets
from tests.neighbours.server import Server
from tests.neighbours.waiting import wait_until

TAKEN_SECONDS_MAX = 10.0  # until a process has looked at its options
_numbers = itertools.count(1)

Sections = Mapping[str, Mapping[str, Any]]


def plain(server: Server, host: str = "127.0.0.1") -> socket.socket:
    """A connection, from an address of this machine, that no library has sent anything on."""
    return socket.create_connection(("127.0.0.1", server.port), 60, source_address=(host, 0))


def ask(connection: socket.socket, *words: str) -> str:
    """The short reply to one command."""
    connection.sendall(request(*words))
    return connection.recv(4096).decode().strip()


def sign_in(server: Server, user: str, password: str) -> str:
    """The reply to AUTH on a connection of its own."""
    secrets.note(password)
    with plain(server) as connection:
        return ask(connection, "AUTH", user, password)


def timed(server: Server, user: str, password: str) -> tuple[str, float]:
    """The same, and how many seconds it took."""
    began = time.monotonic()
    return sign_in(server, user, password), time.monotonic() - began


def create(master: Server, class_name: str, **attributes: Any) -> int:
    """The DBID of a new object of tenant 1."""
    with master.client() as client:
        text = json.dumps({"tenantDBID": 1, **attributes})
        _, dbid = client.execute_command("CFG.CREATE", class_name, text)
    return int(dbid)


def person(
    master: Server, user: str, *, external_id: str = "", annex: Sections | None = None, **more: Any
) -> int:
    """The DBID of a new person, without a password unless one is given."""
    number = next(_numbers)
    attributes = {"userName": user, "employeeID": f"e{number}", "userProperties": annex or {}}
    if external_id:
        attributes["externalID"] = external_id
    return create(master, "CfgPerson", **attributes, **more)


def delete_person(server: Server, dbid: int) -> None:
    """Takes one away again."""
    with server.client() as client:
        client.execute_command("CFG.DELETE", "CfgPerson", dbid)


def change(master: Server, class_name: str, dbid: int, delta: Mapping[str, Any]) -> None:
    """One CFG.UPDATE."""
    with master.client() as client:
        client.execute_command("CFG.UPDATE", class_name, dbid, json.dumps(delta))


def set_annex(master: Server, class_name: str, dbid: int, annex: Sections) -> None:
    """The annex of an object is this, as far as external sign-in is concerned."""
    _set(master, class_name, dbid, "userProperties", annex)


def set_options(master: Server, server: Server, sections: Sections) -> None:
    """A server's own options are these, as far as external sign-in is concerned."""
    with master.client() as client:
        page = client.execute_command("CFG.READ", "CfgApplication", "FILTER", "name", server.app)  # type: ignore[attr-defined]
        dbid = int(json.loads(page[2][0])["DBID"])
    _set(master, "CfgApplication", dbid, "options", sections)


def _set(master: Server, class_name: str, dbid: int, kind: str, sections: Sections) -> None:
    with master.client() as client:
        stated = json.loads(client.execute_command("GET", f"{class_name}:{dbid}")).get(kind) or {}
    old = [name for name in stated if name == "authentication" or name.startswith("gauth_")]
    delta = {kind: {"deleted": {name: {} for name in old}, "changed": sections}}
    change(master, class_name, dbid, delta)


def wait_sign_in(server: Server, user: str, password: str, wanted: str) -> str:
    """Tries until the reply begins so: options have been taken; the reply."""

    def reply() -> str:
        found = sign_in(server, user, password)
        return found if found.startswith(wanted) else ""

    return wait_until(reply, TAKEN_SECONDS_MAX, f"{user} hears {wanted}")
