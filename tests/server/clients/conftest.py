"""One master for all client tests, its proxies, and names of objects that no other test has."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.neighbours.redis_server import RedisServer
from tests.neighbours.server import Master, Proxy, Server


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("clients"), workers=2) as server:
        yield server


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory, master: Master) -> Iterator[Proxy]:
    with Proxy(tmp_path_factory.mktemp("proxy"), master, workers=2, app="first") as server:
        yield server


@pytest.fixture(scope="session")
def far_proxy(
    tmp_path_factory: pytest.TempPathFactory, master: Master, proxy: Proxy
) -> Iterator[Proxy]:
    """A proxy behind a proxy; its Application can be made at the master alone."""
    server = Proxy(tmp_path_factory.mktemp("far"), master, workers=2, app="second")
    with server.start():
        pass
    server = Proxy(tmp_path_factory.mktemp("far"), proxy, workers=2, app="second", extra=())
    with server:
        yield server


@pytest.fixture(
    params=[
        "proxy",
        *(pytest.param(one, marks=pytest.mark.long) for one in ("master", "far_proxy")),
    ]
)
def served(request: pytest.FixtureRequest) -> Server:
    """Each kind of server that clients connect to."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def _numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def new_name(_numbers: Iterator[int], request: pytest.FixtureRequest) -> Callable[[], str]:
    """Makes names of skills."""
    return lambda: f"{request.node.name} {next(_numbers)}"
