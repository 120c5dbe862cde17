"""Where a proxy goes on when its master is gone: at the backup that the master named (T14)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from csp.feed.above import FILE, Above
from csp.feed.phase import Phase
from csp.process.context import Upstream
from csp.process.lookup import Lookup
from csp.process.source import Source
from csp.resp import Value, request
from csp.secure import Tls
from tests.unit.feed_stage import FakeMaster, Stage

TLS = Tls(ca="ca.pem")


@pytest.fixture
def stage() -> Iterator[Stage]:
    playing = Stage()
    yield playing
    playing.close()


@pytest.fixture
def backup(stage: Stage) -> Iterator[FakeMaster]:
    other = FakeMaster(stage.history)
    yield other
    other.close()


def told(backup: str, backup_port: str = "") -> list[Value]:
    """What CFG.REGISTER answers of the backup."""
    return [b"role", b"primary", b"backup", backup.encode(), b"backup_port", backup_port.encode()]


def reply(backup: str) -> bytes:
    """The same as it is sent."""
    return request("backup", backup)


def above(folder: Path | str = "", host: str = "127.0.0.1") -> Above:
    return Above(Upstream(host, 2020, "default", "x", "", TLS, Source("127.0.0.5")), str(folder))


def ways(found: Above) -> list[str]:
    found.begin(0)
    return [str(one) for one in found.take(10_000) or ()]


def follow(stage: Stage) -> None:
    """The proxy follows its master."""
    stage.resume_from(stage.history, 10)
    stage.start()
    stage.play(lambda: stage.master.feeds(), "the feed is asked for")
    stage.master.greet(stage.master.feeds()[0], snapshot=False)
    stage.play(lambda: stage.origin.phase is Phase.FOLLOWING, "it follows")


def play(stage: Stage, backup: FakeMaster, until: object, what: str) -> None:
    """The same as Stage.play, with the backup at its side, in a time that passes."""
    assert callable(until)

    def reached() -> bool:
        backup.turn()
        stage.now_ms += 10
        return bool(until())

    stage.play(reached, what)


def test_who_loses_its_master_goes_on_at_the_backup(stage: Stage, backup: FakeMaster) -> None:
    stage.master.register_reply = reply(f"127.0.0.1:{backup.port}")
    follow(stage)
    stage.master.close()
    play(stage, backup, backup.feeds, "the backup is asked for the feed")
    backup.greet(backup.feeds()[0], snapshot=False)
    play(stage, backup, lambda: stage.origin.phase is Phase.FOLLOWING, "it follows the backup")
    stage.history.change()
    backup.send_changes(backup.feeds()[0], 10)
    play(stage, backup, lambda: stage.host.published == 11, "the change is taken")
    assert "begin" not in stage.host.calls  # nothing was loaded anew


def test_a_backup_has_to_have_what_the_proxy_has(stage: Stage, backup: FakeMaster) -> None:
    """It would take the proxy back to an older state, and its clients with it."""
    stage.master.register_reply = reply(f"127.0.0.1:{backup.port}")
    follow(stage)
    backup.register_reply = b"-STALE revision 10 is not here yet; at 9\r\n"
    stage.master.close()

    def asked() -> list[list[bytes]]:
        words = [one for guest in backup.guests for one in guest.commands]
        return [one for one in words if one[0] == b"CFG.REGISTER"]

    play(stage, backup, asked, "the backup is asked for a place")
    assert asked()[0][-2:] == [b"MINREV", b"10"]
    play(stage, backup, lambda: "is not here yet" in stage.origin.why_away, "it is left")
    assert not backup.feeds()
    assert stage.host.published == 10


def test_the_master_comes_before_its_backup(stage: Stage, backup: FakeMaster) -> None:
    stage.master.register_reply = reply(f"127.0.0.1:{backup.port}")
    follow(stage)
    first = stage.master.guests[0]
    first.socket.close()
    stage.master.guests.remove(first)
    before = set(map(id, stage.master.feeds()))

    def anew() -> bool:
        return any(id(guest) not in before for guest in stage.master.feeds())

    play(stage, backup, anew, "the master is asked again")
    assert not backup.guests


def test_the_backup_is_reached_in_the_same_way() -> None:
    found = above()
    found.learn(told("127.0.0.9:2021"))
    found.begin(0)
    master, backup = found.take(10_000) or ()
    assert (str(master), master.to_backup) == ("127.0.0.1:2020", False)
    assert (str(backup), backup.to_backup) == ("127.0.0.9:2021", True)
    assert (backup.host, backup.tls, backup.source) == ("127.0.0.9", TLS, Source("127.0.0.5"))


def test_the_port_with_the_same_id_is_taken_where_that_is_wanted() -> None:
    """consistent-port-selection: the same id, else what the master names anyhow (T14)."""
    found = above()
    found.learn(told("127.0.0.9:2021", "127.0.0.9:3021"))
    assert ways(found) == ["127.0.0.1:2020", "127.0.0.9:2021"]
    found.is_same_port = True
    assert ways(found) == ["127.0.0.1:2020", "127.0.0.9:3021"]
    found.learn(told("127.0.0.9:2021"))
    assert ways(found) == ["127.0.0.1:2020", "127.0.0.9:2021"]


@pytest.mark.parametrize("text", ["", "nonsense", "127.0.0.9:0", "127.0.0.1:2020"])
def test_no_backup_is_none(text: str) -> None:
    found = above()
    found.learn(told(text))
    assert ways(found) == ["127.0.0.1:2020"]


def test_a_backup_that_is_no_more_is_forgotten() -> None:
    found = above()
    found.learn(told("127.0.0.9:2021"))
    found.begin(0)
    found.learn(told(""))
    assert ways(found) == ["127.0.0.1:2020"]


def test_who_starts_while_the_master_is_away_knows_its_backup(tmp_path: Path) -> None:
    above(tmp_path).learn(told("[fd00::9]:2021"))
    assert ways(above(tmp_path)) == ["127.0.0.1:2020", "[fd00::9]:2021"]


def test_a_master_without_an_address_leaves_its_backup(tmp_path: Path) -> None:
    """The name server went with it."""

    def look_up(*_: object, **__: object) -> list[tuple[object, ...]]:
        raise OSError(-2, "Name or service not known")

    above(tmp_path).learn(told("127.0.0.9:2021"))
    found = above(tmp_path, "master.example")
    found._master = Lookup("master.example", 2020, look_up)
    assert ways(found) == ["127.0.0.9:2021"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"backup": 7}', json.dumps({"other": "x"})])
def test_what_was_written_down_may_be_damaged(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert ways(above(tmp_path)) == ["127.0.0.1:2020"]
