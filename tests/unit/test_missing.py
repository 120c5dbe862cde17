"""When a process that is not there becomes an alarm, what it says, and what ends it."""

from __future__ import annotations

import pytest

from csp.process.roles import AUTH, LDAP, WORKER, WRITER
from csp.store.alarms import raised
from csp.supervisor.child import Child, ChildState
from csp.supervisor.missing import LOAD_SECONDS, MISSING_SECONDS, Missing
from tests.unit.fake_flags import FakeFlags


@pytest.fixture
def flags() -> FakeFlags:
    return FakeFlags()


@pytest.fixture
def children() -> list[Child]:
    found = [Child(WRITER, 49, "writer"), Child(AUTH, 48, "auth"), Child(WORKER, 0, "worker 0")]
    for child in found:
        child.state = ChildState.READY
    return found


def test_a_process_that_dies_again_and_again_is_one(
    flags: FakeFlags, children: list[Child]
) -> None:
    told: list[str] = []
    missing, writer = Missing(flags, lambda: told.append("link down")), children[0]
    for second in range(int(MISSING_SECONDS) + 1):
        assert flags.names() == [], second
        assert not told
        writer.state = ChildState.STARTING if second % 2 else ChildState.WAITING
        writer.policy.failures = second + 1
        writer.last_death = "exit 70"
        missing.tick(100.0 + second, children, "")
    (alarm,) = raised(flags)
    assert alarm.text == "writer not ready for 10 s: writer died 11 times, last by exit 70"
    assert told == ["link down"]
    writer.state = ChildState.READY
    missing.tick(111.0, children, "")
    assert flags.names() == []


def test_a_restart_is_none_however_often(flags: FakeFlags, children: list[Child]) -> None:
    missing, worker = Missing(flags), children[2]
    for second in range(60):
        worker.state = ChildState.READY if second % 3 else ChildState.WAITING
        missing.tick(float(second), children, "")
        assert flags.names() == []


def test_a_long_load_is_none(flags: FakeFlags, children: list[Child]) -> None:
    missing, writer = Missing(flags), children[0]
    writer.state = ChildState.STARTING
    missing.tick(0.0, children, "")
    missing.tick(LOAD_SECONDS - 1, children, "")
    assert flags.names() == []
    missing.tick(LOAD_SECONDS, children, "")
    assert [one.text for one in raised(flags)] == [
        "writer not ready for 600 s: writer does not come up"
    ]


def test_who_waits_for_the_master_says_so(flags: FakeFlags, children: list[Child]) -> None:
    missing = Missing(flags)
    for child in children:
        child.state = ChildState.WAITING
    missing.tick(0.0, children, "the master is not there")
    missing.tick(MISSING_SECONDS, children, "the master is not there")
    assert [one.text for one in raised(flags)] == [
        "writer, auth, worker 0 not ready for 10 s: the master is not there"
    ]


def test_who_starts_on_demand_is_none_until_he_is_asked_for(flags: FakeFlags) -> None:
    child = Child(LDAP, LDAP.slot, "ldap", ChildState.RESTING)
    missing = Missing(flags)
    for second in (0.0, MISSING_SECONDS * 10):
        missing.tick(second, [child], "")
        assert flags.names() == []
    child.state = ChildState.WAITING
    child.policy.failures = 1
    for second in (200.0, 200.0 + MISSING_SECONDS):
        missing.tick(second, [child], "")
    assert flags.names() == ["process missing"]
