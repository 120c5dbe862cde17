"""The check at every server's stop finds each kind of leak when it is planted in a real server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from csp._fastpath import Control, StoreReader
from csp.store import segment
from csp.tables.metrics import PLACES
from tests.neighbours import leaks
from tests.neighbours.server import Master
from tests.server.feed_helpers import status

CALM_SECONDS = 0.2  # nothing happens on this server, so nothing is worth waiting for


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("leaks")).start() as master:
        yield master


@pytest.fixture
def control(master: Master, monkeypatch: pytest.MonkeyPatch) -> Control:
    """The server's control segment, as its own processes have it."""
    monkeypatch.setattr(leaks, "CALM_SECONDS", CALM_SECONDS)
    fd = segment.open_control(status(master)["instance"])
    try:
        return Control(fd)
    finally:
        os.close(fd)


@contextmanager
def one_more(control: Control, gauge: str) -> Iterator[None]:
    """As if the worker had forgotten to count one down."""
    metric = PLACES[gauge]
    control.count(0, metric, 1)
    try:
        yield
    finally:
        control.count(0, metric, -1)


@contextmanager
def pinned(master: Master, control: Control) -> Iterator[None]:
    """The worker stands still with a revision pinned; nobody judges it for that."""
    shown = status(master)
    worker = master.child("worker 0")
    assert master.process is not None
    master.process.send_signal(signal.SIGSTOP)
    worker.suspend()
    fd = segment.open_data(shown["instance"], int(shown["generation"]))
    try:
        reader = StoreReader(fd, control, 0)
        reader.pin()
        yield
        reader.unpin()
    finally:
        os.close(fd)
        worker.resume()
        master.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("kind", [*leaks.GAUGES, "pins"])
def test_a_server_with_a_leak_may_not_stop(master: Master, control: Control, kind: str) -> None:
    with ExitStack() as planted:
        if kind == "pins":
            planted.enter_context(pinned(master, control))
        else:
            planted.enter_context(one_more(control, kind))
        with pytest.raises(AssertionError, match=rf"left behind .*\{{'{kind}': 1\}}"):
            master.stop()
    assert master.process is not None
    assert master.process.poll() is None
    leaks.check_left_behind(master.log, master.workers)  # nothing but what was planted


def test_a_server_with_clients_is_not_judged(master: Master, control: Control) -> None:
    with master.client() as client, one_more(control, "buffers"):
        client.ping()
        leaks.check_left_behind(master.log, master.workers)


@pytest.mark.parametrize("report", leaks.REPORTS)
def test_a_report_in_the_log_fails_whoever_used_the_server(tmp_path: Path, report: str) -> None:
    server = Master(tmp_path)
    server.log.write_text("2026-01-01 a line\n")
    with server_that_ran(server):
        pass
    server.log.write_text(f"2026-01-01 a line\n{report} whatever\n2026-01-01 another line\n")
    with pytest.raises(AssertionError, match="the log has"), server_that_ran(server):
        pass


@contextmanager
def server_that_ran(server: Master) -> Iterator[None]:
    """The end of a server's block, without a process."""
    try:
        yield
    finally:
        server.__exit__()
