"""What clients of Redis are told of masters and replicas, by the halves of a pair and others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.model.keys import KEYS
from csp.process.ports import Port, Purpose, Security
from csp.process.standing import ROLE_BACKUP, ROLE_PRIMARY, Standing, show
from csp.worker.halves import halves_of
from tests.unit.fake_loop import Server

OWN, PEER, OWN_HOST, PEER_HOST = 99, 110, 200, 201
SECURED = "TLSv1.3 TLS_AES_128_GCM_SHA256"
PORTS = (
    Port(0, "default", 7000, "0.0.0.0:7000"),
    Port(1, "sync", 7001, "0.0.0.0:7001", purpose=Purpose.HA_SYNC),
    Port(2, "tls", 7002, "0.0.0.0:7002", security=Security.SECURED),
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, ports=PORTS)
    put(server, OWN, "confserv", {"hostDBID": OWN_HOST})
    put(
        server, PEER, "other", {"hostDBID": PEER_HOST},
        portInfos=[
            {"id": "default", "port": "8000"},
            {"id": "tls", "port": "8002", "transportParams": "tls=1"},
        ],
    )  # fmt: skip
    server.reader.put("CfgHost", OWN_HOST, DBID=OWN_HOST, name="own.example", IPaddress="192.0.2.1")
    server.reader.put("CfgHost", PEER_HOST, DBID=PEER_HOST, name="peer.example")
    yield server
    server.close()


def put(server: Server, dbid: int, name: str, info: dict[str, Any], **more: Any) -> None:
    server.reader.put("CfgApplication", dbid, DBID=dbid, name=name, serverInfo=info, **more)
    server.reader.finds[KEYS["CfgApplication", "name"].key_id, name.encode()] = [dbid]


def stand(server: Server, role: int, peer_state: str = "serving", **more: Any) -> None:
    told: dict[str, Any] = {"peer": "other", "peer_dbid": PEER, "serving": role == ROLE_PRIMARY}
    show(server.control, Standing(role=role, peer_state=peer_state, **(told | more)))


def replication(server: Server, conn: int = 1) -> dict[str, str]:
    body = server.ask("INFO", "replication", conn=conn)
    assert isinstance(body, bytes)
    rows = (line.partition(":") for line in body.decode().splitlines() if ":" in line)
    return {name: value for name, _, value in rows}


def test_the_backup_names_the_half_that_serves(server: Server) -> None:
    stand(server, ROLE_BACKUP)
    rows = replication(server)
    assert rows["role"] == "slave"
    assert (rows["master_host"], rows["master_port"]) == ("peer.example", "8000")
    assert server.ask("ROLE")[:3] == [b"slave", b"peer.example", 8000]  # type: ignore[index]


def test_the_primary_names_the_backup_as_its_replica(server: Server) -> None:
    stand(server, ROLE_PRIMARY, "ready")
    rows = replication(server)
    assert (rows["role"], rows["connected_slaves"]) == ("master", "1")
    assert rows["slave0"].startswith("ip=peer.example,port=8000,state=online,offset=10,")
    assert server.ask("ROLE") == [b"master", 10, [[b"peer.example", b"8000", b"10"]]]
    stand(server, ROLE_PRIMARY, "away")
    assert server.ask("ROLE") == [b"master", 10, []]
    assert replication(server)["connected_slaves"] == "0"


def test_who_speaks_tls_is_told_a_port_that_takes_it(server: Server) -> None:
    stand(server, ROLE_BACKUP)
    server.connect(2, secured=SECURED)
    assert replication(server, conn=2)["master_port"] == "8002"


def test_before_the_objects_are_there_what_was_heard_of_the_peer_counts(server: Server) -> None:
    stand(server, ROLE_BACKUP, peer_address="[2001:db8::7]:9000")
    server.loop.reader = None
    assert halves_of(server.lane, is_secured=False).serving.address == ("2001:db8::7", 9000)


def test_a_port_that_is_unknown_is_0(server: Server) -> None:
    stand(server, ROLE_BACKUP, peer_dbid=0)
    assert server.ask("ROLE")[:3] == [b"slave", b"", 0]  # type: ignore[index]
