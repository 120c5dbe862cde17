"""A pair of real proxies: one serves, the other stands ready; either may die, links may be cut."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from csp.model.pairs import Saying
from csp.process.standing import ROLE_BACKUP, ROLE_PRIMARY, ROLE_SINGLE
from tests.neighbours.pairs import Half, ProxyPair
from tests.neighbours.server import PASSWORD, Master, Proxy
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import DESK, create_desk, create_skills, rename_skill
from tests.server.hot_stage import Raw, command

NAMES = itertools.count()
PROMOTED_SECONDS_MAX = 5.0  # far above what it takes: a busy machine is no fault
KEEPALIVE_SECONDS = 2
WAIT_SECONDS = 3  # peer-switchover-tmout
OPTIONS = {"csproxy": {"peer-switchover-tmout": str(WAIT_SECONDS)}}


class Stage:
    """A master, a pair whose links can be cut, a skill, and a desk to register as."""

    def __init__(self, master: Master) -> None:
        self.master = master
        create_desk(master)
        (self.skill,) = create_skills(master, ["of the pair"])
        self.pair = ProxyPair(
            master.folder,
            master,
            keepalive=(KEEPALIVE_SECONDS, KEEPALIVE_SECONDS),
            cuttable=True,
            options=OPTIONS,
        )
        self.stranger = "a server beside the pair"
        with master.client() as client:
            half = json.loads(client.get(f"CfgApplication:{self.pair.first.dbid}"))
            alike = ("appPrototypeDBID", "isServer", "tenantDBIDs", "workDirectory", "commandLine")
            made = {name: half[name] for name in alike} | {"name": self.stranger}
            made["serverInfo"] = {"hostDBID": half["serverInfo"]["hostDBID"], "port": "1"}
            client.execute_command("CFG.CREATE", "CfgApplication", json.dumps(made))

    def rename(self, count: int = 1) -> int:
        """Renames the skill so often; the last revision."""
        return rename_skill(self.master, self.skill, (f"r{next(NAMES)}" for _ in range(count)))

    def whole(self) -> None:
        """Has all as it was at the start, but for who serves."""
        self.pair.mend()
        for half in self.pair.halves:
            assert half.process is not None
            if half.process.poll() is not None:
                half.start()
        self.pair.wait_seamless(60)

    def one_and_other(self) -> tuple[Half, Half]:
        """Who serves, and who stands ready."""
        one = self.pair.serving
        assert one is not None
        return one, self.pair.other(one)


@pytest.fixture(scope="module")
def whole_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Master(tmp_path_factory.mktemp("pair"), workers=2) as master:
        stage = Stage(master)
        with stage.pair:
            yield stage


@pytest.fixture
def stage(whole_stage: Stage) -> Iterator[Stage]:
    whole_stage.whole()
    yield whole_stage
    whole_stage.pair.mend()


class Client:
    """A client that is restored by its token, and says what it hears."""

    def __init__(self, half: Half, secret: str = PASSWORD) -> None:
        self.raw = Raw(half.port)
        assert self.raw.call("HELLO", 3, "AUTH", "default", secret)["proto"] == 3
        self.granted: dict[str, Any] = self.raw.call("CFG.REGISTER", DESK)
        assert self.raw.call("SUBSCRIBE", "cfg:CfgSkill")[0] == "subscribe"

    def told(self, count: int) -> list[int]:
        return [json.loads(self.raw.read()[2])["revision"] for _ in range(count)]


def kill(one: Half, other: Half, within: float = PROMOTED_SECONDS_MAX) -> float:
    """Kills a half and waits until the other one serves; how long that took, seconds."""
    assert one.process is not None
    began = time.monotonic()
    one.process.kill()
    wait_until(lambda: other.is_serving, within, f"{other.app} serves")
    took = time.monotonic() - began
    one.kill()  # and waits for its children
    return took


def test_t11_f68_a_killed_half_is_followed_at_once_and_sessions_go_on_there(stage: Stage) -> None:
    one, other = stage.one_and_other()
    token = Client(one).granted["token"]
    took = kill(one, other)
    print(f"promoted after {took:.3f} s")
    last = stage.rename(3)
    client = Client(other, token)
    assert client.granted["restored"] == 1
    assert client.told(3) == [last - 2, last - 1, last]  # all that it missed, and no `resync`
    assert client.raw.is_silent()
    client.raw.close()
    assert other.standing().number >= 1
    one.start()  # what comes back stands ready, whoever was the primary once
    stage.pair.wait_seamless()
    assert stage.pair.serving is other


@pytest.mark.long
def test_t10_f69_sessions_are_restored_though_the_link_of_the_pair_was_lost_first(
    stage: Stage,
) -> None:
    one, other = stage.one_and_other()
    granted = Client(one).granted
    stage.pair.cut_across()
    wait_until(lambda: other.standing().peer_state == "away", 20, "it hears nothing of the other")
    number = other.standing().number
    end = time.monotonic() + 2 * WAIT_SECONDS
    changes = []
    while time.monotonic() < end:  # the master sees it: nobody changes places
        changes.append(stage.rename())
        assert stage.pair.serving is one
    assert other.standing().number == number
    took = kill(one, other)
    print(f"with the link cut, promoted after {took:.3f} s")
    changes.append(stage.rename())
    client = Client(other, granted["token"])
    assert client.granted["restored"] == 1
    assert client.told(len(changes)) == changes
    client.raw.close()


@pytest.mark.long
def test_f67_a_backup_lets_no_client_in_until_it_is_promoted(stage: Stage) -> None:
    one, other = stage.one_and_other()
    assert other.standing().role == ROLE_BACKUP
    assert not other.is_serving
    with other.administrator() as client:  # it is warm: loaded, level, with the token keys
        revision = stage.rename()
        assert client.execute_command("CFG.SYNC", revision) >= revision
    assert one.standing().role == ROLE_PRIMARY
    assert one.standing().peer_address == f"127.0.0.1:{other.port}"


@pytest.mark.long
def test_a_switchover_is_seamless_and_goes_both_ways(stage: Stage) -> None:
    for _ in range(2):
        one, other = stage.one_and_other()
        client = Client(one)
        with one.administrator() as administrator:
            administrator.execute_command("CFG.SWITCHOVER")
        stage.pair.wait_serving(other)
        last = stage.rename()
        again = Client(other, client.granted["token"])
        assert again.granted["restored"] == 1
        assert again.told(1) == [last]
        again.raw.close()
        client.raw.close()
        stage.pair.wait_seamless()


@pytest.mark.long
def test_a_switchover_that_would_not_be_seamless_is_refused(stage: Stage) -> None:
    one, other = stage.one_and_other()
    other.kill()
    wait_until(lambda: one.standing().peer_state == "away", 20, "it hears nothing of the other")
    with (
        one.administrator() as administrator,
        pytest.raises(redis.ResponseError, match=f"nothing was done: .*{other.app}"),
    ):
        administrator.execute_command("CFG.SWITCHOVER")
    assert stage.pair.serving is one


@pytest.mark.long
def test_a_half_that_lost_the_master_hands_over_to_the_one_that_has_it(stage: Stage) -> None:
    one, other = stage.one_and_other()
    assert one.up is not None
    one.up.refuses = True
    one.up.cut()
    stage.pair.wait_serving(other)
    assert one.standing().role == ROLE_BACKUP
    with one.administrator() as client:  # it goes on by the feed of the other one
        revision = stage.rename()
        wait_until(lambda: client.execute_command("CFG.SYNC", revision), 30, "the change comes")


@pytest.mark.long
def test_f70_a_stopped_half_is_followed_within_twice_the_keepalive(stage: Stage) -> None:
    one, other = stage.one_and_other()
    assert one.process is not None
    frozen = [psutil.Process(one.process.pid)]
    frozen += frozen[0].children(recursive=True)
    for process in frozen:
        process.suspend()
    try:
        began = time.monotonic()
        wait_until(lambda: other.is_serving, 30, "the other one serves")
        took = time.monotonic() - began
        print(f"stopped: promoted after {took:.3f} s, keepalive {KEEPALIVE_SECONDS} s")
        assert took < 2 * KEEPALIVE_SECONDS + PROMOTED_SECONDS_MAX
    finally:
        for process in reversed(frozen):
            process.resume()
    stage.pair.wait_serving(other)  # who comes back finds the row, and ceases


@pytest.mark.long
def test_without_master_and_peer_a_half_serves_after_the_wait_and_the_row_decides_later(
    stage: Stage,
) -> None:
    one, other = stage.one_and_other()
    stage.master.kill()
    try:
        wait_until(lambda: "master" in other.standing().why_not, 20, "the master is missed")
        took = kill(one, other, 10 * WAIT_SECONDS)
        assert took >= WAIT_SECONDS - 1
        with other.client() as client:
            assert client.get(f"CfgSkill:{stage.skill}")
        one.start(ready=False)  # it comes up with what it has kept, and lets the other one serve
        wait_until(lambda: one.standing().peer_state == "serving", 60, "it hears the other one")
        assert stage.pair.serving is other
    finally:
        stage.master.start()
    stage.pair.wait_seamless(60)


@pytest.mark.long
def test_a_pair_is_split_and_joined_while_it_runs(stage: Stage) -> None:
    one, other = stage.one_and_other()

    def are_single() -> bool:
        alike = {(half.standing().role, half.is_serving) for half in stage.pair.halves}
        return alike == {(ROLE_SINGLE, True)}

    with contextlib.closing(Client(one).raw) as client:
        try:
            stage.pair.split()
            wait_until(are_single, 20, "both serve as single servers")
            assert client.call("PING") == "PONG"  # nobody was closed for it
        finally:
            stage.pair.join()
    stage.pair.wait_seamless()
    assert stage.pair.serving is one
    assert other.standing().peer == one.app


@pytest.mark.long
def test_a_half_behind_a_middle_proxy_hears_through_it_that_the_other_one_died(
    stage: Stage, tmp_path: Path
) -> None:
    keepalive = (KEEPALIVE_SECONDS, KEEPALIVE_SECONDS)
    with Proxy(tmp_path, stage.master, app="middle") as middle:
        pair = ProxyPair(
            *(tmp_path, stage.master),
            name="below",
            keepalive=keepalive,
            cuttable=True,
            middle=middle,
        )
        with pair:
            one, other = pair.halves
            pair.cut_across()
            wait_until(lambda: other.standing().peer_state == "away", 20, "it hears nothing")
            assert pair.serving is one
            took = kill(one, other)  # peer-switchover-tmout, 30 s here, is not waited for
            print(f"behind a middle proxy, promoted after {took:.3f} s")
            assert other.standing().number == 1


@pytest.mark.long
def test_a_writer_that_is_killed_moves_nobody_and_shuts_no_port(stage: Stage) -> None:
    one, other = stage.one_and_other()
    number = one.standing().number
    client = Client(one)
    for half in (one, other):
        writer = half.child("writer")
        writer.kill()
        wait_until(lambda half=half, pid=writer.pid: half.child("writer").pid != pid, 20, "another")
        with pytest.raises(AssertionError, match="another half serves"):
            wait_until(
                lambda: stage.pair.serving is not one, KEEPALIVE_SECONDS, "another half serves"
            )
    stage.pair.wait_seamless()
    assert (stage.pair.serving, one.standing().number) == (one, number)
    last = stage.rename()
    assert client.told(1) == [last]  # it was never closed, and misses nothing
    client.raw.close()


@pytest.mark.long
def test_nobody_but_servers_says_who_serves_and_only_the_other_half_is_heard(stage: Stage) -> None:
    one, other = stage.one_and_other()
    before = one.standing(), other.standing()
    taken = command("PAIR", stage.pair.first.dbid, before[0].number + 1, other.dbid)
    said = Saying(serving=True, ready=True, root=True, number=99, active=other.dbid).pack()
    words = (("CFG.PAIR", "SAY", said), ("CFG.FORWARD", 1, "END", taken))
    for server in (stage.master, one, other):
        port = server.port if server is stage.master else server.management
        for application in ("", DESK):  # an administrator, and who serves an application
            raw = Raw(port)
            assert raw.call("HELLO", 3, "AUTH", "default", PASSWORD)["proto"] == 3
            if application:
                raw.call("CFG.REGISTER", application)
            for each in words:
                refusal = raw.call(*each)
                assert refusal.startswith("-NOPERM"), refusal
            raw.close()
    stranger = Raw(one.management)  # a server, but none of this pair
    assert stranger.call("HELLO", 3, "AUTH", "default", PASSWORD)["proto"] == 3
    stranger.call("CFG.REGISTER", stage.stranger)
    assert stranger.call(*words[0]).startswith("-NOPERM CFG.PAIR is for the other half")
    for half in stage.pair.halves:  # whose place is taken, by the real one
        assert stranger.call("CFG.REGISTER", half.app).startswith("-BUSY"), half.app
    stranger.close()
    assert (one.standing(), other.standing()) == before


@pytest.mark.long
def test_t12_a_primary_dies_while_the_backup_loads_and_nobody_sees_an_empty_set(
    stage: Stage,
) -> None:
    one, other = stage.one_and_other()
    other.stop()
    other.forget()
    other.start(ready=False)
    kill(one, other, 60)
    with other.client() as client:
        assert client.get(f"CfgSkill:{stage.skill}")
