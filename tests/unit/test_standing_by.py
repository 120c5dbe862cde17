"""Who may be a pair's backup begins with its ports for clients shut, and is ready all the same."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from csp.observe.clock import steady_ms
from csp.observe.log import LogSettings
from csp.process.context import Upstream
from csp.supervisor.bootstrap import PAIR_FILE, Bootstrap, Own
from csp.supervisor.plan import Plan
from csp.supervisor.settings import ServerSettings
from csp.supervisor.supervise import Supervisor


def settings(**more: Any) -> ServerSettings:
    return ServerSettings("master", "one", None, 1, LogSettings("info"), **more)


@pytest.mark.parametrize(
    ("url", "may_share"),
    [("postgresql://h/csp", True), ("postgresql+psycopg://h/csp", True), ("sqlite:///x", False)],
)
def test_masters_that_may_share_their_database(url: str, may_share: bool) -> None:
    assert settings(database_url=url).may_share_database is may_share


def test_a_master_is_told_by_its_database_and_a_proxy_has_none() -> None:
    upstream = Upstream("127.0.0.1", 1, "default", "")
    assert not settings(upstream=upstream).may_share_database


def bootstrap(folder: Path, own: Own) -> Bootstrap:
    made = Bootstrap(lambda: own, folder, "one", LogSettings("info"), needs_store=False)
    made._fetch()  # as its child does
    return made


def test_the_pair_is_known_at_the_next_start_before_the_master_answers(tmp_path: Path) -> None:
    first = bootstrap(tmp_path, Own({"DBID": 7}, {}, pair_dbid=7))
    assert first.on_end(0, 0.0) is None
    assert first.pair_dbid == 7
    again = Bootstrap(lambda: Own({}, {}), tmp_path, "one", LogSettings("info"), needs_store=False)
    assert again.was_of_pair
    assert again.may_be_of_pair
    bootstrap(tmp_path, Own({"DBID": 7}, {}))
    assert not again.was_of_pair
    assert not again.may_be_of_pair


@pytest.mark.parametrize(("needs_store", "may_be"), [(False, True), (True, False)])
def test_a_proxy_that_was_never_told_anything_may_be_of_a_pair(
    needs_store: bool, may_be: bool, tmp_path: Path
) -> None:
    own = Own({}, {})
    made = Bootstrap(lambda: own, tmp_path, "one", LogSettings("info"), needs_store=needs_store)
    assert made.may_be_of_pair is may_be
    assert not made.was_of_pair


def test_clients_are_told_loading_where_nothing_is_known_and_the_master_is_away(
    tmp_path: Path,
) -> None:
    supervisor = Supervisor.__new__(Supervisor)
    said: list[str] = []
    plan: Any = SimpleNamespace(serve_alone=lambda: said.append("serve"))
    supervisor.plan = plan
    own = Own({}, {})
    supervisor.bootstrap = Bootstrap(
        lambda: own, tmp_path, "one", LogSettings("info"), needs_store=False
    )
    supervisor._on_bootstrap_end(1)
    assert said == ["serve"]


def test_a_folder_of_an_earlier_release_says_nothing_of_a_pair(tmp_path: Path) -> None:
    made = bootstrap(tmp_path, Own({"DBID": 7}, {}))
    (tmp_path / PAIR_FILE).unlink()
    assert not made.was_of_pair
    assert made.on_end(0, 0.0) is None
    assert made.pair_dbid == 0


@pytest.mark.parametrize(
    ("needs_store", "of_pair", "told"),
    [(False, True, ["stand by"]), (False, False, ["serve"]), (True, False, [])],
)
def test_what_the_application_says_of_a_pair_decides_for_proxies(
    needs_store: bool, of_pair: bool, told: list[str]
) -> None:
    supervisor = Supervisor.__new__(Supervisor)
    said: list[str] = []
    plan: Any = SimpleNamespace(
        stand_by=lambda: said.append("stand by"), serve_alone=lambda: said.append("serve")
    )
    supervisor.plan = plan
    supervisor.bootstrap = SimpleNamespace(needs_store=needs_store)  # type: ignore[assignment]
    supervisor._stand(of_pair=of_pair)
    assert said == told


@pytest.mark.parametrize(
    ("serving", "drain", "words"),
    [(True, (0, 0), "serving, 2"), (False, (0, 0), "standing by"), (True, (1, 2), "draining")],
)
def test_the_service_manager_is_told_how_it_stands(
    serving: bool, drain: tuple[int, int], words: str
) -> None:
    plan = Plan.__new__(Plan)
    plan.address = "127.0.0.1:1"
    plan.settings = SimpleNamespace(worker_count=2)  # type: ignore[assignment]
    control = SimpleNamespace(serving=serving, drain=lambda: drain)
    plan.segments = SimpleNamespace(control=control, is_loaded=True)  # type: ignore[assignment]
    assert words in plan.status([])


def test_a_half_that_has_drained_serves_again_when_it_is_promoted() -> None:
    """Its drain is over for good once its ports are shut; until then they stay open."""
    words = [(steady_ms(), steady_ms() + 60_000)]
    control = SimpleNamespace(
        serving=False, drain=lambda: words[-1], set_drain=lambda *pair: words.append(pair)
    )
    doors: Any = SimpleNamespace(are_open=True)

    def serve(is_serving: bool) -> bool:
        has_changed, doors.are_open = doors.are_open != is_serving, is_serving
        return bool(has_changed)

    doors.serve = serve
    plan = Plan.__new__(Plan)
    plan.doors = doors
    told: list[str] = []
    segments: Any = SimpleNamespace(control=control, tell_doors=lambda: told.append("doors"))
    plan.segments = segments
    plan.take_standing()
    assert doors.are_open
    words.append((words[0][0], steady_ms()))
    plan.take_standing()
    assert (doors.are_open, words[-1], told) == (False, (0, 0), ["doors"])
    control.serving = True
    plan.take_standing()
    assert (doors.are_open, words[-1]) == (True, (0, 0))
