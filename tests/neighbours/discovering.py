"""Gives servers ports for discovery, and finds the half that serves as stock clients do."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.sentinel import Sentinel

from tests.needs import NODE_FOLDER
from tests.neighbours.ports import free_port
from tests.neighbours.server import PASSWORD, Server

HERE = "127.0.0.1"
SIGN_IN: dict[str, Any] = {"username": "default", "password": PASSWORD}
ASK_SECONDS_MAX = 2.0
NODE_SECONDS_MAX = 60.0


def add_port(master: Server, app: str, words: str, name: str = "") -> int:
    """Adds a port to an Application, with these transport parameters; its number."""
    port = free_port()
    row = {"id": name or words.partition("=")[0], "port": str(port), "transportParams": words}
    delta = json.dumps({"added": {"portInfos": [row]}})
    done = master.cli("update", f"CfgApplication/name={app}", delta)
    assert done.returncode == 0, done.stderr
    return port


def sentinel(*ports: int) -> Sentinel:
    """redis-py's, at these ports for discovery."""
    return Sentinel([(HERE, port) for port in ports], socket_timeout=ASK_SECONDS_MAX)


def async_sentinel(*ports: int) -> AsyncSentinel:
    """The same for asyncio."""
    return AsyncSentinel([(HERE, port) for port in ports], socket_timeout=ASK_SECONDS_MAX)


class Ioredis:
    """An ioredis client in Sentinel mode, which reads until it is led to another server."""

    def __init__(self, name: str, *ports: int) -> None:
        self._process = subprocess.Popen(
            ["node", "sentinel.mjs", name, *(str(port) for port in ports)],
            cwd=NODE_FOLDER,
            env=os.environ | {"CSP_PASSWORD": PASSWORD},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.first_port = int(self._process.stdout.readline() or 0)

    def moved(self) -> dict[str, Any]:
        """What it found once another server served it: `port`, `value`, `switches`."""
        out, errors = self._process.communicate(timeout=NODE_SECONDS_MAX)
        assert self._process.returncode == 0, f"{out}{errors}"
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found

    def __enter__(self) -> Ioredis:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
