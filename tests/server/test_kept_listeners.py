"""A restart under a service manager that keeps the listeners: who connects meanwhile is served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.neighbours.server import PASSWORD, Master
from tests.neighbours.service_manager import ServiceManager
from tests.neighbours.waiting import wait_until
from tests.server.hot_stage import Raw

WORKERS = 2
CLIENTS = 12  # some for each worker


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    with ServiceManager(tmp_path) as made:
        yield made


def test_who_connects_between_stop_and_start_is_served(
    tmp_path: Path, manager: ServiceManager
) -> None:
    master = Master(tmp_path, workers=WORKERS)
    with manager.start(master):
        wait_until(lambda: len(manager.kept) == WORKERS, 10, "all listeners are kept")
        assert master.stop() == 0
        waiting = [Raw(master.port) for _ in range(CLIENTS)]
        manager.start(master)
        for raw in waiting:
            assert raw.call("AUTH", "default", PASSWORD) == "OK"
        assert manager.kept.keys() == {f"port-{master.port}-worker-{n}-0" for n in range(WORKERS)}


@pytest.mark.long
def test_what_fits_no_worker_any_more_is_closed_and_said(
    tmp_path: Path, manager: ServiceManager
) -> None:
    master = Master(tmp_path, workers=WORKERS)
    with manager.start(master):
        wait_until(lambda: len(manager.kept) == WORKERS, 10, "all listeners are kept")
        assert master.stop() == 0
        master.workers = WORKERS - 1
        manager.start(master)
        wait_until(lambda: len(manager.kept) == 1, 10, "one listener is kept")
        assert "is closed: no worker listens at" in master.log_text()
        for _ in range(CLIENTS):  # the other's queue would take half of them
            assert Raw(master.port).call("AUTH", "default", PASSWORD) == "OK"
