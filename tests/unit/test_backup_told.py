"""Which port of a backup is told to whom: by its id, its security, its purpose (T14)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.model.keys import KEYS
from csp.process.ports import Port, Security
from csp.process.standing import ROLE_PRIMARY, Standing, show
from csp.worker.backup import backup_of
from tests.unit.fake_loop import Server

DEFAULT, UP, TLS = 0, 1, 2
PORTS = (Port(DEFAULT), Port(UP, "up"), Port(TLS, "tls", security=Security.SECURED))
SECURED = "TLSv1.3 TLS_AES_128_GCM_SHA256"
BACKUP = {"hostDBID": 201, "port": "2020"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, ports=PORTS)
    put(server, 99, "confserv", serverInfo={"backupServerDBID": 110})
    server.reader.put("CfgHost", 201, DBID=201, name="backup.example")
    yield server
    server.close()


def put(server: Server, dbid: int, name: str, **attributes: Any) -> None:
    server.reader.put("CfgApplication", dbid, DBID=dbid, name=name, **attributes)
    server.reader.finds[KEYS["CfgApplication", "name"].key_id, name.encode()] = [dbid]


def names(server: Server, *ports: tuple[str, int, str]) -> None:
    """The ports of the backup: id, number, transport parameters."""
    rows = [{"id": id_, "port": str(tcp), "transportParams": text} for id_, tcp, text in ports]
    put(server, 110, "backup", serverInfo=BACKUP, portInfos=rows)


def told(server: Server, came_by: int = DEFAULT, secured: str = "") -> tuple[str, str]:
    server.connect(2, port=came_by, secured=secured)
    found = backup_of(server.lane, 2)
    return found["backup"], found["backup_port"]


def at(port: int) -> str:
    return f"backup.example:{port}"


def test_the_same_id_the_default_one_any_in_this_order(server: Server) -> None:
    names(server, ("up", 3030, ""), ("default", 2020, ""), ("other", 4040, ""))
    assert told(server, UP) == (at(2020), at(3030))
    names(server, ("other", 4040, ""), ("default", 2020, ""))
    assert told(server, UP) == (at(2020), "")
    assert told(server, DEFAULT) == (at(2020), at(2020))


def test_without_a_default_port_any_will_do(server: Server) -> None:
    put(server, 110, "backup", serverInfo={"hostDBID": 201}, portInfos=[{"id": "x", "port": "5"}])
    assert told(server, UP) == (at(5), "")


def test_the_port_of_the_server_is_its_default_one_where_no_other_is(server: Server) -> None:
    names(server)
    assert told(server, UP) == (at(2020), "")


def test_who_speaks_tls_is_told_a_port_that_takes_it_and_others_another(server: Server) -> None:
    names(server, ("default", 2020, ""), ("tls", 2021, "tls=1"))
    assert told(server, TLS, SECURED) == (at(2021), at(2021))
    assert told(server, DEFAULT) == (at(2020), at(2020))
    names(server, ("default", 2020, "tls=1"), ("plain", 2022, ""))
    assert told(server, DEFAULT) == (at(2022), "")
    names(server, ("default", 2020, "upgrade=1"))
    assert told(server, DEFAULT)[0] == told(server, TLS, SECURED)[0] == at(2020)
    names(server, ("default", 2020, ""))
    assert told(server, TLS, SECURED) == ("", "")


def test_a_port_for_something_else_is_told_for_its_id_alone(server: Server) -> None:
    names(server, ("default", 2020, "tls=1"), ("up", 3030, "user=1"), ("ha", 4040, "ha-sync=1"))
    assert told(server, DEFAULT) == ("", "")
    assert told(server, UP) == ("", at(3030))


def test_who_has_no_backup_or_none_with_a_host_tells_none(server: Server) -> None:
    assert told(server) == ("", "")
    put(server, 110, "backup", portInfos=[{"id": "default", "port": "2020"}])
    assert told(server) == ("", "")


def test_who_serves_as_the_backup_tells_the_primary(server: Server) -> None:
    """Clients go on where this server is not, whoever the configuration calls the backup."""
    put(server, 99, "confserv")
    names(server, ("default", 2020, ""))
    assert told(server) == ("", "")
    show(server.lane.control, Standing(ROLE_PRIMARY, peer="backup", peer_dbid=110))
    assert told(server) == (at(2020), at(2020))


def test_an_address_of_ipv6_stands_in_brackets(server: Server) -> None:
    server.reader.put("CfgHost", 201, DBID=201, name="fd00::9")
    names(server, ("default", 2020, ""))
    assert told(server)[0] == "[fd00::9]:2020"
