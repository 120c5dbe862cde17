"""Servers for one test, and workers over a store of their own for those of the compiled loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.neighbours.server import Master, Proxy
from tests.server.hot_stage import PEOPLE, HotServer, Serve


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    with Master(tmp_path).start() as server:
        yield server


@pytest.fixture
def proxy(tmp_path: Path, master: Master) -> Iterator[Proxy]:
    with Proxy(tmp_path, master).start() as server:
        yield server


@pytest.fixture(scope="module")
def shared() -> Iterator[HotServer]:
    server = HotServer(PEOPLE)
    yield server
    server.stop()


@pytest.fixture
def serve() -> Iterator[Callable[..., HotServer]]:
    """Starts servers that are stopped with the test."""
    started: list[HotServer] = []

    def start(objects: Any = PEOPLE[:50], **limits: Any) -> HotServer:
        started.append(HotServer(objects, **limits))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def server(serve: Serve) -> HotServer:
    return serve(output_bytes=65536)
