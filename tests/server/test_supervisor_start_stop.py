"""Start and stop: what is refused, what a clean stop leaves, what a start finds after a crash."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.neighbours.server import ROOT, Master, Proxy
from tests.neighbours.waiting import wait_until

EXIT_USAGE, EXIT_NO_PORT = 2, 3


def segments_of(port: int) -> list[str]:
    """Names of the shared memory of the server on a port."""
    return [path.name for path in Path("/dev/shm").glob(f"csp-*-{port}-*")]


def outcome(server: Master | Proxy, within: float = 30.0) -> tuple[int, str]:
    """Exit code and log of a server that is expected to end by itself."""
    server.start(ready=False)
    assert server.process is not None
    return server.process.wait(within), server.log_text()


def test_a_port_that_anybody_listens_on_is_refused(tmp_path: Path) -> None:
    server = Master(tmp_path, url=f"sqlite:///{tmp_path}/new.db")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", server.port))
        other.listen()
        code, log = outcome(server)
    assert code == EXIT_NO_PORT
    assert f"cannot listen on 127.0.0.1:{server.port}" in log
    assert not (tmp_path / "new.db").exists()  # refused before anything was made


def test_a_second_server_of_the_same_instance_is_refused(tmp_path: Path, master: Master) -> None:
    second = Master(tmp_path)
    second.port = master.port
    second.runtime = master.runtime
    code, log = outcome(second)
    assert code == EXIT_NO_PORT, log
    assert master.answers()


def test_a_clean_stop_leaves_nothing(master: Master) -> None:
    children = list(master.children().values())
    assert segments_of(master.port)
    assert master.stop() == 0
    assert [child for child in children if child.is_running()] == []
    assert segments_of(master.port) == []
    assert list(master.runtime.iterdir()) == []


@pytest.mark.long
def test_a_second_signal_stops_at_once(master: Master, tmp_path: Path) -> None:
    assert master.process is not None
    for child in master.children().values():
        child.suspend()  # none of them can drain
    master.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "51002" in master.log_text())
    wait_until(lambda: not _ends(master.process, 0.6))
    master.process.send_signal(signal.SIGTERM)
    assert master.process.wait(3) == 0
    assert segments_of(master.port) == []


def _ends(process: subprocess.Popen[bytes] | None, within: float) -> bool:
    assert process is not None
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_a_start_after_a_crash_of_everything_attaches(master: Master) -> None:
    with master.client() as client:
        client.execute_command("CFG.CREATE", "CfgSkill", '{"name":"s1","tenantDBID":1}')
        revision = client.execute_command("CFG.COUNT", "CfgSkill")
    left = segments_of(master.port)
    for process in [psutil.Process(master.process.pid), *master.children().values()]:  # type: ignore[union-attr]
        process.kill()
    master._wait()
    assert set(segments_of(master.port)) == set(left)
    master.start()
    assert "51004" in master.log_text()
    with master.client() as client:
        assert client.execute_command("CFG.COUNT", "CfgSkill") == revision
    assert master.stop() == 0
    assert segments_of(master.port) == []


def test_sighup_is_logged_and_changes_nothing(master: Master) -> None:
    assert master.process is not None
    before = {name: child.pid for name, child in master.children().items()}
    master.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "51006" in master.log_text())
    assert {name: child.pid for name, child in master.children().items()} == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["master"],
        ["master", "--db", "sqlite:///x", "--listen", "nowhere"],
        ["master", "--db", "sqlite:///x", "--listen", "127.0.0.1:1", "--workers", "0"],
        ["proxy", "-host", "h", "-port", "99999", "-app", "p"],
        ["proxy", "-host", "h", "-port", "1", "-app", "p", "--create-app"],
        ["nosuchverb"],
    ],
)
def test_usage(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "csp", *arguments],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "CSP_PASSWORD": "x", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == EXIT_USAGE
    assert "Error" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_and_version_import_no_server(tmp_path: Path) -> None:
    for option in ("--help", "-V"):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "csp", option],
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert "csp" in done.stdout
        assert "sqlalchemy" not in done.stderr
        assert "csp._fastpath" not in done.stderr
