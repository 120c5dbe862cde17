"""The systemd unit is valid, and a server tells its service manager how its start and stop go."""

from __future__ import annotations

import configparser
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from csp.process.roles import CLIENTS, ORIGIN
from csp.supervisor.snapshots import STOP_SECONDS_MAX
from csp.tables.options import OPTIONS
from tests.neighbours.server import ROOT, Master

UNIT = ROOT / "deploy" / "systemd" / "csp@.service"
WAIT_SECONDS = 30
DRAIN_SECONDS_MAX = OPTIONS["csp", "drain-timeout"].max or 0


def test_the_unit_says_what_the_supervisor_relies_on() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    service = unit["Service"]
    wanted = {"Type": "notify", "Restart": "always", "NotifyAccess": "main", "KillMode": "mixed"}
    assert {key: service[key] for key in wanted} == wanted
    assert service["EnvironmentFile"] == "/etc/csp/%i.env"
    assert service["RemoveIPC"] == "no"  # else a restart finds no segments
    assert service["StateDirectory"] == "csp/%i"  # a proxy's snapshot lies there
    stop_seconds = DRAIN_SECONDS_MAX + CLIENTS.seconds_max + ORIGIN.seconds_max + STOP_SECONDS_MAX
    assert int(service["TimeoutStopSec"]) > stop_seconds + 10


@pytest.mark.needs("systemd-analyze")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "csp"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "csp@one.service"
    unit.write_text(UNIT.read_text().replace("/opt/csp/bin/csp", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    about_us = [line for line in done.stderr.splitlines() if "csp@" in line]
    assert (done.returncode, about_us) == (0, []), done.stderr


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager's ear."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind("\0csp-test-" + tmp_path.name)
        ear.settimeout(WAIT_SECONDS)
        yield ear


def test_ready_comes_after_the_load_and_stopping_at_the_end(
    tmp_path: Path, manager: socket.socket
) -> None:
    name = manager.getsockname().decode().replace("\0", "@")
    server = Master(tmp_path)
    with server.start(ready=False, NOTIFY_SOCKET=name):
        messages = _until(manager, "READY=1")
        assert messages[-1].startswith("READY=1\nSTATUS=")
        assert all("READY" not in message for message in messages[:-1])
        assert server.answers()
        assert server.stop() == 0
        assert "STOPPING=1" in _until(manager, "STOPPING=1")[-1]


def _until(manager: socket.socket, word: str) -> list[str]:
    messages = [manager.recv(4096).decode()]
    while word not in messages[-1]:
        messages.append(manager.recv(4096).decode())
    return messages
