"""Fixtures and hooks that all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests import effort, needs
from tests.neighbours import secrets

if TYPE_CHECKING:
    from tests.neighbours.certificates import Authority
    from tests.neighbours.databases import Place
    from tests.neighbours.postgres import Postgres

LEFT_OUT = "left out, needs "


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile(effort.QUICK)
    secrets.watch_redis()
    config.addinivalue_line("markers", "needs(name): a program from tests.needs that it uses")
    config.addinivalue_line("markers", "alone: measures or kills; runs while nothing else does")
    config.addinivalue_line("markers", "long: builds or runs for long; `bin/test --nightly` has it")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if not needs.is_here(name):
                pytest.skip(LEFT_OUT + name)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    left_out = _left_out(terminalreporter)
    if left_out:
        terminalreporter.section("tests left out for want of a program")
        for nodeid, reason in left_out:
            terminalreporter.write_line(f"{nodeid}: {reason}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI nothing may be left out."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    is_controller = not hasattr(session.config, "workerinput")
    if is_controller and os.environ.get("CI") == "true" and reporter and _left_out(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _left_out(reporter: pytest.TerminalReporter) -> list[tuple[str, str]]:
    reports = reporter.stats.get("skipped", [])
    return [(r.nodeid, r.longrepr[2]) for r in reports if LEFT_OUT in str(r.longrepr)]


@pytest.fixture
def instance() -> Iterator[str]:
    """The name of an instance that has a control segment and no server."""
    from tests.neighbours import instances

    with instances.made(f"test-{os.getpid()}") as name:
        yield name


@pytest.fixture
def wait_until() -> Callable[..., None]:
    from tests.neighbours.waiting import wait_until

    return wait_until


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    """A PostgreSQL server that all tests of this process share; they leave it running."""
    from tests.neighbours.postgres import shared

    if not needs.is_here("postgres"):
        pytest.skip(LEFT_OUT + "postgres")
    return shared()


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """A database of that server with a master's tables, to make copies of."""
    from tests.neighbours.databases import with_tables

    return with_tables(postgres)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A fresh database of each kind, that no master has seen."""
    yield from _lend(request, tmp_path, is_seeded=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def seeded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A fresh database of each kind, as a master's first start leaves it: a cheap copy."""
    yield from _lend(request, tmp_path, is_seeded=True)


def _lend(request: pytest.FixtureRequest, folder: Path, *, is_seeded: bool) -> Iterator[Place]:
    from tests.neighbours.databases import lent

    if request.param == "postgresql":
        request.getfixturevalue("postgres")
    with lent(request.param, folder, is_seeded=is_seeded) as place:
        yield place


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whose certificates a module's servers and clients have."""
    from tests.neighbours.certificates import Authority

    return Authority(tmp_path_factory.mktemp("authority"))
