"""The keeper of certificates: what is good is published, what is bad changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from csp.tls.keeper import HANGS_MS, POLL_MS, RETRY_MS
from csp.tls.settings import tls_ports
from csp.tls.trouble import DAY_MS, HOUR_MS
from tests.unit.tls_stage import Stage

REFUSED, EXPIRES, LIST = "certificate refused", "certificate expires", "revocation list expires"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.close()


def told(caplog: pytest.LogCaptureFixture, number: str) -> list[str]:
    return [one.getMessage() for one in caplog.records if getattr(one, "event", "") == number]


def test_what_is_there_at_the_start_is_published(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    stage.turn()
    assert stage.certificate() == "CN default"
    (line,) = told(caplog, "51220")
    assert "port default: certificate 1 is in force: CN=default, until 20" in line
    assert stage.alarms() == set()


def test_that_there_is_nothing_good_is_published_at_once(tmp_path: Path) -> None:
    """Who comes to the port is not to wait for what won't come."""
    stage = Stage(tmp_path, ports=2)
    stage.put("p1", "CN other")
    stage.turn()
    assert set(stage.published().ports) == {0}
    assert stage.published().looked_at == {0, 1}
    stage.put("default", "CN other")
    number = stage.published().number
    stage.pass_time(RETRY_MS)
    assert stage.published().number == number, "once"


def test_a_file_that_was_replaced_is_taken_within_a_minute(stage: Stage) -> None:
    stage.turn()
    stage.put("default", "CN new", "of new")
    stage.pass_time(POLL_MS - 1)
    assert stage.certificate() == "CN default"
    stage.pass_time(1)
    assert stage.certificate() == "CN new"
    assert stage.published().ports[0].number == 2


def test_files_that_have_not_changed_are_not_read_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.turn()
    monkeypatch.setattr("csp.tls.looks.read_bundle", lambda *_: pytest.fail("it is read"))
    stage.pass_time(POLL_MS)
    assert len(stage.looking.begun) == 2


def test_what_is_asked_for_is_read_at_once_and_anew(stage: Stage) -> None:
    stage.turn()
    stage.put("default", "CN new", "of new")
    stage.keeper.reload()
    assert stage.looking.begun[-1][0].stamps == {}
    stage.turn()
    assert stage.certificate() == "CN new"


def test_a_bad_certificate_keeps_the_one_before_and_is_an_alarm(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.turn()
    stage.put("default", "CN new")
    stage.pass_time(POLL_MS)
    assert stage.alarms() == set(), "its key may be on its way"
    stage.pass_time(RETRY_MS)
    assert stage.alarms() == {REFUSED}
    assert stage.certificate() == "CN default"
    (text,) = stage.flags.texts()
    assert "port default" in text
    assert "the key is another certificate's" in text
    stage.pass_time(POLL_MS)
    stage.pass_time(POLL_MS)
    assert len(told(caplog, "51221")) == len(told(caplog, "51222")) == 1, "it is told once"
    stage.put("default", key="of new")
    stage.pass_time(POLL_MS)
    assert stage.certificate() == "CN new"
    assert stage.alarms() == set()


def test_a_certificate_whose_key_comes_a_moment_later_is_no_alarm(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.turn()
    stage.put("default", "CN new")
    stage.pass_time(POLL_MS)
    stage.put("default", key="of new")
    stage.pass_time(RETRY_MS)
    assert stage.certificate() == "CN new"
    assert told(caplog, "51222") == told(caplog, "51221") == []


def test_one_port_s_trouble_is_its_own(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ports=3)
    stage.turn()
    stage.put("p1", "CN other")
    stage.put("p2", "CN new", "of new")
    stage.pass_time(POLL_MS)
    stage.pass_time(RETRY_MS)
    assert [stage.certificate(number) for number in range(3)] == ["CN default", "CN p1", "CN new"]
    assert [one.number for one in stage.published().ports.values()] == [1, 1, 2]
    stage.close()


def test_the_keeper_s_successor_keeps_what_is_in_force(stage: Stage) -> None:
    """Its predecessor was killed; what lies there now is bad."""
    stage.turn()
    stage.put("default", "CN new")
    stage.begin()
    stage.turn()
    stage.pass_time(RETRY_MS)
    assert stage.certificate() == "CN default"
    assert stage.alarms() == {REFUSED}
    assert "the one before stays: CN=default" in stage.flags.texts()[0]
    stage.begin()
    assert stage.alarms() == {REFUSED}, "a start ends no alarm"
    stage.put("default", key="of new")
    stage.turn()
    assert (stage.certificate(), stage.published().number) == ("CN new", 2)
    assert stage.alarms() == set()


def test_without_any_certificate_it_is_said_that_nobody_gets_in(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    (tmp_path / "default.pem").unlink()
    stage.turn()
    stage.pass_time(RETRY_MS)
    assert "nobody is let in by TLS" in stage.flags.texts()[0]
    stage.close()


def test_other_settings_hold_at_once_and_what_the_earlier_ones_found_is_dropped(
    stage: Stage,
) -> None:
    """The race: a look by the old settings ends after the new ones were stated."""
    stage.turn()
    stage.put("other", "CN other", "of other")
    stage.put("default", "CN late", "of late")
    stage.keeper.reload()
    stage.looking.look()
    paths = {
        "certificate": f"{stage.folder}/other.pem",
        "certificate-key": f"{stage.folder}/other.key",
    }
    stage.keeper.take(tls_ports([stage.port(0, **paths)]))
    stage.keeper.take_done()
    assert stage.certificate() == "CN default"
    stage.turn()
    assert stage.certificate() == "CN other"
    assert stage.alarms() == set()


def test_settings_that_make_no_port_are_an_alarm_at_once(stage: Stage) -> None:
    stage.turn()
    stage.keeper.take(tls_ports([stage.port(0, **{"sec-protocol": "SSLv3"})]))
    stage.turn()
    assert stage.alarms() == {REFUSED}
    assert stage.certificate() == "CN default"
    stage.keeper.take(tls_ports([stage.port(0)]))
    stage.turn()
    assert stage.alarms() == set()


def test_ciphers_that_change_are_news_though_no_file_is(stage: Stage) -> None:
    stage.turn()
    stage.keeper.take(tls_ports([stage.port(0, **{"cipher-list": "ECDHE+AESGCM"})]))
    stage.turn()
    found = stage.published().ports[0]
    assert (found.number, found.bundle["ciphers"]) == (2, "ECDHE+AESGCM")


@pytest.mark.parametrize(
    ("days", "words"),
    [("-400 -1", "has expired"), ("1 30", "is good from"), ("-1 30 -1", "list of revoked")],
)
def test_what_is_past_its_time_is_no_better_than_what_is_good(
    stage: Stage, days: str, words: str
) -> None:
    stage.turn()
    stage.put("default", f"CN new {days}", "of new")
    stage.pass_time(POLL_MS)
    stage.pass_time(RETRY_MS)
    assert stage.certificate() == "CN default"
    assert words in stage.flags.texts()[0]


def test_what_has_expired_is_shown_where_there_is_nothing_better(tmp_path: Path) -> None:
    """Clients that check it see why; those that don't are not cut off."""
    stage = Stage(tmp_path)
    stage.put("default", "CN default -400 -1")
    stage.turn()
    assert stage.certificate() == "CN default -400 -1"
    assert stage.alarms() == {EXPIRES}
    stage.close()


def test_an_end_is_told_weeks_before_and_over_with_the_next_certificate(stage: Stage) -> None:
    stage.put("default", "CN default -1 40")
    stage.turn()
    assert stage.alarms() == set()
    stage.pass_time(10 * DAY_MS + 1)
    assert stage.alarms() == {EXPIRES}
    assert "port default: the certificate CN=default ends at 20" in stage.flags.texts()[0]
    stage.put("default", "CN default -1 400")
    stage.pass_time(POLL_MS)
    assert stage.alarms() == set()
    stage.trouble.take_options({"certificate-expiry-warning": 390})
    stage.turn()
    assert stage.alarms() == {EXPIRES}


def test_a_list_s_end_is_told_a_day_before(stage: Stage) -> None:
    stage.put("default", "CN default -1 400 7")
    stage.turn()
    stage.pass_time(6 * DAY_MS)
    assert stage.alarms() == set()
    stage.pass_time(1)
    assert stage.alarms() == {LIST}
    stage.trouble.take_options({"crl-expiry-warning": 12})
    stage.turn()
    assert stage.alarms() == set()
    stage.pass_time(12 * HOUR_MS)
    assert stage.alarms() == {LIST}


def test_a_file_system_that_hangs_is_told(stage: Stage) -> None:
    stage.turn()
    stage.keeper.reload()
    stage.now_ms += HANGS_MS + 1
    stage.keeper.tick()
    assert stage.alarms() == {REFUSED}
    assert "does their file system hang" in stage.flags.texts()[0]
    stage.turn()
    stage.turn()
    assert stage.alarms() == set()


def test_no_key_is_shown_by_the_log_or_an_alarm(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.put("default", "CN x", "secret text of a key")
    caplog.set_level(logging.DEBUG)
    stage.turn()
    stage.pass_time(RETRY_MS)
    assert stage.alarms() == {REFUSED}
    assert "secret text" not in caplog.text + "".join(stage.flags.texts())
