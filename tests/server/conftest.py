"""Workers over a store of their own, for the tests of the compiled loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.server.hot_stage import PEOPLE, HotServer, Serve


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
