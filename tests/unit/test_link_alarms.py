"""Takes a proxy's link down and away: what is raised, when, and what ends it."""

from __future__ import annotations

import pytest

from csp.feed.alarms import DOWN_MS_MAX, LinkAlarms
from csp.process.context import Upstream
from tests.unit.fake_flags import FakeAlarms
from tests.unit.feed_stage import Stage


@pytest.fixture
def host() -> FakeAlarms:
    return FakeAlarms()


@pytest.fixture
def alarms(host: FakeAlarms) -> LinkAlarms:
    return LinkAlarms(host, Upstream("master", 2020, "default", "secret"), 0)  # type: ignore[arg-type]


def test_a_hiccup_is_no_alarm(host: FakeAlarms, alarms: LinkAlarms) -> None:
    alarms.there()
    alarms.lost("closed by the master", 1_000)
    alarms.tick(1_000 + DOWN_MS_MAX - 1)
    assert host.alarms == {}
    alarms.there()
    alarms.lost("closed by the master", 40_000)
    alarms.tick(1_000 + DOWN_MS_MAX)
    assert host.alarms == {}, "the wait begins with each loss"


def test_a_link_that_stays_down_is_one_with_its_last_reason(
    host: FakeAlarms, alarms: LinkAlarms
) -> None:
    alarms.lost("closed by the master", 1_000)
    alarms.lost("Connection refused", 2_000)
    alarms.tick(DOWN_MS_MAX)
    assert host.alarms == {
        "link down": {"master": "master:2020", "seconds": 30, "reason": "Connection refused"}
    }
    alarms.there()
    assert (host.alarms, host.over) == ({}, ["the link to the master master:2020 is back"])


def test_a_refusal_is_an_alarm_at_once_and_alone(host: FakeAlarms, alarms: LinkAlarms) -> None:
    alarms.refused("sign-in as default refused: WRONGPASS no", "WRONGPASS")
    alarms.lost("sign-in as default refused: WRONGPASS no", 1_000)
    alarms.tick(2 * DOWN_MS_MAX)
    assert list(host.alarms) == ["master refuses"]
    alarms.there()
    assert host.alarms == {}


def test_a_master_that_is_busy_refuses_nobody(host: FakeAlarms, alarms: LinkAlarms) -> None:
    alarms.refused("sign-in as default refused: BUSY too many sign-ins wait", "BUSY")
    alarms.tick(1_000)
    assert host.alarms == {}
    alarms.tick(DOWN_MS_MAX)
    assert list(host.alarms) == ["link down"], "but not for so long"


def test_a_successor_takes_back_what_its_predecessor_raised(
    host: FakeAlarms, alarms: LinkAlarms
) -> None:
    alarms.refused("WRONGPASS", "WRONGPASS")
    successor = LinkAlarms(host, Upstream("master", 2020, "default", "new"), 0)  # type: ignore[arg-type]
    successor.there()
    assert host.alarms == {}


def test_a_wrong_password_stops_the_link_and_is_told() -> None:
    stage = Stage()
    stage.master.hello_reply = b"-WRONGPASS invalid username-password pair\r\n"
    stage.start()
    stage.play(lambda: stage.host.alarms)
    told = stage.host.alarms["master refuses"]
    assert told["reason"] == (
        "sign-in as default refused: WRONGPASS invalid username-password pair"
    )
    tried = len(stage.master.guests)
    stage.turn()
    assert len(stage.master.guests) <= tried, "it does not ask again at once"
    stage.master.hello_reply = b"*0\r\n"
    stage.now_ms += 10_000
    stage.play(lambda: stage.master.feeds())
    feed = stage.master.feeds()[0]
    stage.master.greet(feed, snapshot=True)
    stage.master.send_part(feed, 0)
    stage.play(lambda: not stage.host.alarms)
    stage.close()
