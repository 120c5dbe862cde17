"""Gives a running master, or a proxy of one, two ports by TLS beside its default one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.neighbours.certificates import Certificate
from tests.neighbours.ports import free_port, is_listening
from tests.neighbours.server import Master, Server
from tests.neighbours.waiting import wait_until


@dataclass(frozen=True)
class SecuredPorts:
    """The numbers of the two: `mutual` demands a certificate."""

    tls: int
    mutual: int


def give_secured_ports(
    master: Master, certificate: Certificate, ca: Path, *, to: Server | None = None, app: str = ""
) -> SecuredPorts:
    """States the ports in the Application (the master's, without another) and starts it anew."""
    found = SecuredPorts(free_port(), free_port())
    files = f"certificate={certificate.certificate};certificate-key={certificate.key}"
    words = {"tls": f"tls=1;{files}", "mutual": f"tls=1;tls-mutual=1;trusted-ca={ca};{files}"}
    rows = [
        {"id": name, "port": str(getattr(found, name)), "transportParams": text}
        for name, text in words.items()
    ]
    delta = json.dumps({"added": {"portInfos": rows}})
    done = master.cli("update", f"CfgApplication/name={app or master.app}", delta)
    assert done.returncode == 0, done.stderr
    server = to or master
    server.stop()
    server.start()
    for port in (found.tls, found.mutual):
        wait_until(lambda port=port: is_listening(port), 20, "the port is open")
    return found
