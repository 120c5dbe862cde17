"""The example desktops of the documents: stock libraries that lose their connection and go on."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.needs import NODE_FOLDER
from tests.neighbours.cutting_link import CuttingLink
from tests.neighbours.server import PASSWORD, ROOT, Master, Proxy
from tests.server.feed_helpers import create_skills, wait_level

EXAMPLES = ROOT / "docs" / "examples"
SECONDS = 15.0


class Desktop:
    """One of them at work; its lines as they come."""

    def __init__(self, folder: Path, library: str, port: int) -> None:
        if library == "ioredis":
            (folder / "node_modules").symlink_to(NODE_FOLDER / "node_modules")
            script = folder / "desktop.mjs"
            script.write_text((EXAMPLES / "desktop.mjs").read_text())
            words = ["node", str(script)]
        else:
            words = [sys.executable, str(EXAMPLES / "desktop.py")]
        self.lines: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.errors = (folder / "errors").open("w+")
        self.process = subprocess.Popen(
            [*words, "127.0.0.1", str(port), "Desk"],
            env=os.environ | {"CSP_PASSWORD": PASSWORD},
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def next(self) -> dict[str, Any]:
        try:
            return self.lines.get(timeout=SECONDS)
        except queue.Empty:
            self.errors.seek(0)
            raise AssertionError(f"nothing for {SECONDS} s\n{self.errors.read()}") from None

    def until(self, what: str) -> dict[str, Any]:
        """The next line that says this."""
        while what not in (line := self.next()):
            pass
        return line

    def revisions(self, count: int) -> list[int]:
        return [self.until("change")["change"] for _ in range(count)]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.errors.close()


@pytest.fixture(params=["redis-py", pytest.param("ioredis", marks=[
    pytest.mark.needs("node"), pytest.mark.needs("node-modules")])])  # fmt: skip
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def link(proxy: Proxy) -> Iterator[CuttingLink]:
    link = CuttingLink(proxy.port)
    yield link
    link.close()


@pytest.fixture(scope="module")
def desk(master: Master) -> None:
    with master.client() as client:
        text = {"name": "Desk", "appPrototypeDBID": 10, "tenantDBIDs": [1]}
        client.execute_command("CFG.CREATE", "CfgApplication", json.dumps(text))


@pytest.mark.usefixtures("desk")
def test_a_desktop_goes_on_without_a_gap(
    tmp_path: Path,
    master: Master,
    proxy: Proxy,
    link: CuttingLink,
    library: str,
    new_name: Callable[[], str],
) -> None:
    """Its connection is cut; the proxy is restarted; a skill is deleted meanwhile."""
    kept, gone = create_skills(master, [new_name(), new_name()])
    wait_level(master, proxy)
    desktop = Desktop(tmp_path, library, link.port)

    def rename(count: int) -> list[int]:
        names = [json.dumps({"changed": {"name": new_name()}}) for _ in range(count)]
        return [client.execute_command("CFG.UPDATE", "CfgSkill", kept, one) for one in names]

    try:
        with master.client() as client:
            desktop.until("subscribed")
            told = rename(3)
            assert desktop.revisions(3) == told
            for turn in range(2):
                link.refuses = True
                link.cut()
                if turn:
                    assert proxy.stop() == 0
                missed = rename(5)
                if turn:
                    missed.append(client.execute_command("CFG.DELETE", "CfgSkill", gone))
                    proxy.start()
                wait_level(master, proxy)
                link.refuses = False
                assert desktop.revisions(len(missed)) == missed
                live = rename(2)
                assert desktop.revisions(2) == live
        assert desktop.lines.empty()
    finally:
        desktop.close()
