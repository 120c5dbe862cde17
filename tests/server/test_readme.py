"""Runs every command of the README's blocks, in order, on free ports."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.neighbours.ports import free_port
from tests.neighbours.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = [block.strip().splitlines() for block in re.findall(r"```sh\n(.*?)```", README, re.S)]
COMMAND_SECONDS_MAX = 120
SERVES_SECONDS = 90


class Shell:
    """Runs README lines in one folder, with the README's ports replaced by free ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {"2020": str(free_port()), "2021": str(free_port())}
        # A socket's path is limited to 108 bytes, so it can't lie under pytest's long folders.
        self.runtime = tempfile.mkdtemp(prefix="csp-readme-")
        state = str(folder / "state")
        self.environment = os.environ | {"CSP_RUNTIME_DIR": self.runtime, "CSP_STATE_DIR": state}
        self.servers: list[subprocess.Popen[bytes]] = []

    def run(self, line: str) -> None:
        for written, used in self.ports.items():
            line = re.sub(rf"(?<=[: ]){written}\b", used, line)
        line = re.sub(r"\bbin/", f"{ROOT}/bin/", line)
        if line.startswith("export "):
            self.environment |= dict(part.split("=", 1) for part in line.split()[1:])
        elif line.endswith("&"):
            self._start(line.removesuffix("&"))
        else:
            done = subprocess.run(
                ["bash", "-c", line],
                cwd=self.folder,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS_MAX,
                check=False,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            assert "ERR" not in done.stdout, f"{line}\n{done.stdout}"

    def _start(self, line: str) -> None:
        log = self.folder / f"server{len(self.servers)}.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {line}"],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=output,
            )
        self.servers.append(server)
        address = re.search(r"--listen (\S+)", line)
        assert address
        count = [f"{ROOT}/bin/csp", "count", "CfgTenant", "--server", address[1]]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

        def serves() -> bool:
            assert server.poll() is None, log.read_text()
            return subprocess.call(count, env=self.environment, **quiet) == 0

        wait_until(serves, SERVES_SECONDS, f"{line} serves: {log.read_text()}")

    def close(self) -> None:
        for server in reversed(self.servers):
            server.send_signal(signal.SIGTERM)
            server.wait(20)
        shutil.rmtree(self.runtime)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell.close()


@pytest.mark.needs("redis-cli")
def test_the_commands_of_the_readme_work(shell: Shell) -> None:
    use = next(block for block in BLOCKS if any("import" in line for line in block))
    for line in use:
        shell.run(line)


def test_the_demo_of_the_readme_leaves_nothing_behind(tmp_path: Path) -> None:
    assert any(line.startswith("bin/demo") for block in BLOCKS for line in block)
    done = subprocess.run(
        [ROOT / "bin" / "demo", "--once", "--agents", "200"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("CSP_")},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing is left" in done.stdout
    assert "without a reload" in done.stdout


def test_every_verb_of_the_readme_is_a_file() -> None:
    for verb in re.findall(r"\bbin/(\w+)", README):
        assert (ROOT / "bin" / verb).exists(), f"README names bin/{verb}"
