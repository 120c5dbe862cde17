"""Lets a daemon application be connected once, and its own instance take over at once."""

from typing import Any

import pytest

from csp.errors import BadValue, Busy
from csp.writer.registry import Registry, itself

NOW_MS = 1_790_000_000_000


def wish(session: str, **changes: Any) -> dict[str, Any]:
    """A proxy's registration."""
    return {
        "session": session,
        "application": "proxy1",
        "dbid": 110,
        "daemon": True,
        "instance": "alpha/1",
        "host": "alpha",
        "pid": 42,
        "address": "10.0.0.1:4000",
    } | changes


def test_a_second_instance_is_refused_naming_the_holder() -> None:
    registry = Registry()
    registry.register(wish("a"), "worker 0", NOW_MS)
    with pytest.raises(Busy, match=r"host alpha, pid 42, since 2026-09-21 "):
        registry.register(wish("b", instance="beta/1"), "worker 1", NOW_MS + 5)
    assert len(registry) == 1


def test_an_unknown_instance_never_takes_over() -> None:
    registry = Registry()
    registry.register(wish("a", instance=""), "worker 0", NOW_MS)
    with pytest.raises(Busy):
        registry.register(wish("b", instance=""), "worker 0", NOW_MS)


def test_the_same_instance_takes_its_own_place_at_once() -> None:
    registry = Registry()
    registry.register(wish("a"), "worker 0", NOW_MS)
    answer = registry.register(wish("b"), "worker 1", NOW_MS + 5)
    assert answer["replaced"] == ["a"]
    registry.unregister("a")  # the older connection ends later, and takes nothing with it
    with pytest.raises(Busy):
        registry.register(wish("c", instance="beta/1"), "worker 0", NOW_MS + 6)


def test_connections_of_one_process_of_a_configuration_server_share_its_place() -> None:
    registry = Registry()
    registry.register(wish("a", shared=True), "worker 0", NOW_MS)
    assert registry.register(wish("b", shared=True), "worker 1", NOW_MS + 1)["replaced"] == []
    with pytest.raises(Busy):
        registry.register(wish("c", shared=True, instance="beta/1"), "worker 0", NOW_MS + 2)
    registry.unregister("a")
    with pytest.raises(Busy):
        registry.register(wish("c", shared=True, instance="beta/1"), "worker 0", NOW_MS + 3)
    registry.unregister("b")
    registry.register(wish("c", shared=True, instance="beta/1"), "worker 0", NOW_MS + 4)


def test_the_next_process_of_a_configuration_server_takes_all_its_places() -> None:
    registry = Registry()
    for session in ("a", "b"):
        registry.register(wish(session, shared=True), "worker 0", NOW_MS)
    answer = registry.register(wish("c", shared=True, pid=43), "worker 0", NOW_MS + 1)
    assert answer["replaced"] == ["a", "b"]
    assert len(registry) == 1


def test_a_place_is_free_when_its_session_ends_or_its_worker_dies() -> None:
    registry = Registry()
    registry.register(wish("a"), "worker 0", NOW_MS)
    registry.unregister("a")
    registry.register(wish("b", instance="beta/1"), "worker 0", NOW_MS)
    assert [held.session for held in registry.drop_channel("worker 0")] == ["b"]
    registry.register(wish("c", instance="gamma/1"), "worker 0", NOW_MS)


def test_other_applications_connect_as_often_as_they_like() -> None:
    registry = Registry()
    for number in range(3):
        registry.register(
            wish(f"s{number}", daemon=False, instance=f"i{number}"), "worker 0", NOW_MS + number
        )
    assert [row["session"] for row in registry.rows()] == ["s0", "s1", "s2"]


def test_a_registration_without_a_session_is_refused() -> None:
    with pytest.raises(BadValue, match="bad registration"):
        Registry().register({"application": "x"}, "worker 0", NOW_MS)


def test_the_servers_own_application_is_taken() -> None:
    registry = Registry(itself("confserv", "alpha", 7, NOW_MS))
    with pytest.raises(Busy, match=r"confserv is connected already: host alpha, pid 7, since 2026"):
        registry.register(wish("a", application="confserv"), "worker 0", NOW_MS)
    registry.register(wish("a"), "worker 0", NOW_MS)
