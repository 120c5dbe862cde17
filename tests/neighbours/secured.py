"""Gives servers further ports, as an administrator does: by the portInfos of their Application."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tests.neighbours.server import Master, Proxy, Server


def add_ports(master: Server, server: Master | Proxy, ports: Mapping[str, tuple[int, str]]) -> None:
    """Ports by their id, each with its number and its transport parameters; starts it again."""
    added = [
        {"id": name, "port": str(number), "transportParams": parameters}
        for name, (number, parameters) in ports.items()
    ]
    delta = json.dumps({"added": {"portInfos": added}})
    with master.client() as client:
        found = json.loads(client.execute_command("CFG.FIND", "CfgApplication", "name", server.app))
        revision = client.execute_command("CFG.UPDATE", "CfgApplication", found["DBID"], delta)
    if server is not master:
        with server.client() as client:
            client.execute_command("CFG.SYNC", revision)
    server.stop()
    server.start()


def tls_words(certificate: Path, key: Path, *more: str) -> str:
    """The transport parameters of a port that speaks TLS alone."""
    return ";".join(["tls=1", f"certificate={certificate}", f"certificate-key={key}", *more])
