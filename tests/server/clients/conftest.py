"""One master for all client tests, and the name of an object that no other test has."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.neighbours.redis_server import RedisServer
from tests.neighbours.server import Master


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("clients"), workers=2) as server:
        yield server


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
