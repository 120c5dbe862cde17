"""Starts servers where the machine has too little: one line, an exit code, and nothing left."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from csp.exits import EXIT_LIMITS
from tests.neighbours.ports import free_port
from tests.neighbours.server import PASSWORD, ROOT, Master
from tests.neighbours.waiting import wait_until
from tests.server.limits_stage import create, options_of, signed_in

LARGE_OBJECTS = 16  # a megabyte each: more than there is room for
SHARED = 640  # MiB of /dev/shm in a world of its own
CSP = f"{sys.executable} -m csp"


def environment(folder: Path) -> dict[str, str]:
    (folder / "run").mkdir(exist_ok=True)
    own = {"PYTHONPATH": str(ROOT), "CSP_DEFAULT_PASSWORD": PASSWORD}
    return os.environ | own | {"CSP_RUNTIME_DIR": str(folder / "run")}


def start(folder: Path, before: str, *options: str) -> tuple[int, list[str]]:
    """Starts a master in a shell that does something before: exit code and lines of the log."""
    port = free_port()
    words = f"{CSP} master --db sqlite:///db --listen 127.0.0.1:{port} {' '.join(options)}"
    done = subprocess.run(
        ["sh", "-c", f"{before}; exec {words}"],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not list(Path("/dev/shm").glob(f"csp-*{port}*"))
    assert not list((folder / "run").iterdir()), "a runtime folder was left"
    assert not (folder / "db").exists(), "a database was made"
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize(
    ("limit", "options", "said"),
    [
        ("ulimit -n 64", ("--workers", "2"), "64 open files are allowed, 120 are needed"),
        ("ulimit -n 24", (), "24 open files are allowed, 1"),
        ("ulimit -v 1000000", (), "976 MiB of address space are allowed"),
        ("ulimit -f 1000000", (), "the store's segment has the size of --reserve, 65536 MiB"),
    ],
)
def test_a_limit_that_leaves_no_room_is_one_line(
    tmp_path: Path, limit: str, options: tuple[str, ...], said: str
) -> None:
    code, lines = start(tmp_path, limit, *options)
    assert code == EXIT_LIMITS
    (line,) = lines
    assert " 51011 supervisor: cannot start: " in line
    assert said in line
    assert "raise the hard limit (ulimit -" in line


def test_a_server_runs_within_limits_that_leave_room(tmp_path: Path) -> None:
    limits = "ulimit -n 200; ulimit -v 6000000; ulimit -f 1200000"
    master = Master(tmp_path, extra=("--reserve", "512M"))
    words = " ".join(["exec", sys.executable, "-m", "csp", *master.arguments()])
    process = subprocess.Popen(
        ["sh", "-c", f"{limits}; {words}"],
        cwd=tmp_path,
        env=environment(tmp_path) | {"CSP_RUNTIME_DIR": str(master.runtime)},
        stderr=master.log.open("ab"),
    )
    master.process = process
    with master:
        master.wait_ready()
        assert master.cli("verify").returncode == 0


def in_a_world_of_its_own(filler_mib: int) -> str:
    """What a shell does to have a small /dev/shm that is filled so far."""
    return (
        f"mount -t tmpfs -o size={SHARED}m tmpfs /dev/shm && "
        f"head -c {filler_mib}M /dev/zero > /dev/shm/filler"
    )


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="mounts a file system")


@needs_root
def test_a_full_shared_memory_is_refused_with_both_figures(tmp_path: Path) -> None:
    script = f"{in_a_world_of_its_own(SHARED - 5)}; {CSP} master --db sqlite:///db --listen "
    script += f"127.0.0.1:{free_port()}; echo exit $?; ls /dev/shm"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["exit", str(EXIT_LIMITS), "filler"]
    (line,) = done.stderr.splitlines()
    assert f"/dev/shm has 5 of {SHARED} MiB left, an empty store needs 16 MiB" in line
    assert not list((tmp_path / "run").iterdir())


@needs_root
def test_a_moment_of_fullness_ends_no_server(tmp_path: Path) -> None:
    """What a first load does not find is looked for again, and the server comes up by itself."""
    master = Master(tmp_path, extra=("--reserve", "4G"))
    with master.start():
        raw = signed_in(master)
        for number in range(LARGE_OBJECTS):
            create(raw, f"large {number}", userProperties=options_of([60_000] * 16))
        raw.close()
        assert master.stop() == 0
        start_full(tmp_path, master)
        said = "the configuration finds no room, /dev/shm has"
        wait_until(lambda: master.log_text().count(said) > 1, 20, "two attempts")
        assert master.process is not None
        assert master.process.poll() is None
        assert "Traceback" not in master.log_text()
        Path("/proc", str(master.process.pid), "root", "dev/shm/filler").unlink()
        master.wait_ready()


def start_full(tmp_path: Path, master: Master, filler_mib: int = SHARED - 17) -> None:
    words = " ".join([CSP, *master.arguments()])
    with master.log.open("ab") as log:
        master.process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", f"{in_a_world_of_its_own(filler_mib)}; exec {words}"],
            cwd=tmp_path,
            env=environment(tmp_path) | {"CSP_RUNTIME_DIR": str(master.runtime)},
            stderr=log,
        )


@needs_root
def test_a_shared_memory_that_fills_up_refuses_clients_and_kills_no_worker(
    tmp_path: Path,
) -> None:
    """A row of the table of clients was touched without memory behind it: SIGBUS."""
    master = Master(tmp_path, extra=("--reserve", "4G"))
    start_full(tmp_path, master, filler_mib=1)
    with master:
        master.wait_ready()
        assert master.process is not None
        shared = Path("/proc", str(master.process.pid), "root", "dev/shm")
        fill(shared / "more")
        worker = master.child("worker 0").pid
        refused, served = 0, []
        for _ in range(400):
            one = socket.create_connection(("127.0.0.1", master.port), timeout=10)
            one.sendall(b"PING\r\n")
            reply = one.recv(100)
            if reply == b"-ERR max number of clients reached\r\n":
                refused += 1
                one.close()
            else:
                assert reply == b"+PONG\r\n"
                served.append(one)
        assert refused
        assert len(served) > 50, "those whose rows had memory already"
        assert master.child("worker 0").pid == worker
        (shared / "more").unlink()
        with socket.create_connection(("127.0.0.1", master.port), timeout=10) as one:
            one.sendall(b"PING\r\n")
            assert one.recv(100) == b"+PONG\r\n"
        for one in served:
            one.close()


def fill(path: Path) -> None:
    """Writes a file until there is no space left."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 12)):
            pass
