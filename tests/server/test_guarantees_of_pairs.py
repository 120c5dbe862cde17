"""One test or more for each promise of GUARANTEES.md that holds across the halves of a pair."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from csp.process.standing import ROLE_BACKUP
from tests.neighbours.applications import make_proxy_application
from tests.neighbours.master_pair import MasterPair, shown_by
from tests.neighbours.pairs import ProxyPair
from tests.neighbours.postgres import Postgres
from tests.neighbours.server import Master, Proxy
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import create_desk, create_skills, rename_skill, status, wait_level
from tests.server.test_master_pair import Author, check_nothing_lost
from tests.server.test_proxy_pair import Client

pytestmark = pytest.mark.long
KEEPALIVE_SECONDS = 2
SOON_SECONDS = 5.0  # beside what is promised: a busy machine is no fault


class Estate:
    """A master, a pair of proxies whose links can be cut, and a proxy behind a proxy."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.master = stack.enter_context(Master(folder))
        create_desk(self.master)
        (self.skill,) = create_skills(self.master, ["of the promises"])
        middle = stack.enter_context(Proxy(folder, self.master, app="middle"))
        self.below = Proxy(folder, middle, app="below", extra=())
        make_proxy_application(self.master, "below", ("127.0.0.1", self.below.port), above=())
        stack.enter_context(self.below)
        both = (KEEPALIVE_SECONDS, KEEPALIVE_SECONDS)
        self.pair = ProxyPair(folder, self.master, keepalive=both, cuttable=True)
        stack.enter_context(self.pair)

    def rename(self, *names: str) -> list[int]:
        """The revisions at which the skill has these names."""
        last = rename_skill(self.master, self.skill, iter(names))
        return list(range(last - len(names) + 1, last + 1))


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    with ExitStack() as stack:
        yield Estate(tmp_path_factory.mktemp("promises"), stack)


@pytest.fixture(scope="module")
def masters(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MasterPair]:
    with MasterPair(tmp_path_factory.mktemp("masters"), postgres.new_url()) as pair:
        yield pair


def test_guarantee_02_a_token_is_good_in_a_chain_and_at_either_half(estate: Estate) -> None:
    """The link of the pair is cut; what was missed comes once, in order."""
    one, other = estate.pair.halves
    estate.pair.cut_across()
    wait_until(lambda: one.standing().peer_state == "away", 20, "they don't hear each other")
    first = Client(one)
    token = first.granted["token"]
    first.raw.close()
    missed = estate.rename("missed 1", "missed 2")
    wait_level(estate.master, estate.below)
    at_below = Client(estate.below, token)
    assert at_below.granted["restored"] == 1
    assert at_below.told(2) == missed
    at_below.raw.close()
    one.kill()
    estate.pair.wait_serving(other)
    missed += estate.rename("missed 3")
    at_other = Client(other, token)
    assert at_other.told(3) == missed
    at_other.raw.close()
    estate.pair.mend()
    one.start()
    estate.pair.wait_seamless(60)


def test_guarantee_06_a_cut_link_of_a_pair_moves_nobody_and_a_dead_half_is_followed(
    estate: Estate,
) -> None:
    one = estate.pair.serving
    assert one is not None
    other = estate.pair.other(one)
    number = one.standing().number
    estate.pair.cut_across()
    wait_until(lambda: one.standing().peer_state == "away", 20, "they don't hear each other")
    with one.client() as client:
        end = time.monotonic() + 2 * KEEPALIVE_SECONDS
        while time.monotonic() < end:  # longer than a frozen half would be waited for
            assert client.execute_command("CFG.READ", "CfgSkill", "MAXAGE", 5000)
    assert (one.standing().number, estate.pair.serving) == (number, one)
    estate.pair.mend()
    estate.pair.wait_seamless(60)
    one.kill()
    estate.pair.wait_serving(other, SOON_SECONDS)
    assert status(other)["link"] == "up"
    one.start()
    estate.pair.wait_seamless(60)


def test_guarantee_08_one_half_serves_whatever_happened_to_the_other(estate: Estate) -> None:
    """With the master there that is so after a fall of each, and never two do for long."""
    for _ in range(2):
        one = estate.pair.serving
        assert one is not None
        other = estate.pair.other(one)
        one.kill()
        estate.pair.wait_serving(other)
        one.start()
        estate.pair.wait_seamless(60)
        assert estate.pair.serving is other


def test_guarantee_07_10_a_master_that_was_paused_tells_no_old_head_and_commits_nothing(
    masters: MasterPair,
) -> None:
    old, new = masters.primary, masters.backup
    with old.client() as strong, old.client() as late:
        assert strong.execute_command("CFG.SYNC")
        assert late.ping()
        masters.pause(old)
        masters.wait_primary(new)
        create_skills(new, ["of the other one"])
        masters.resume()
        for client, words in (
            (strong, ("CFG.SYNC",)),
            (late, ("CFG.CREATE", "CfgSkill", json.dumps({"tenantDBID": 1, "name": "too late"}))),
        ):
            with pytest.raises((redis.ResponseError, redis.ConnectionError)) as refused:
                client.execute_command(*words)
            if isinstance(refused.value, redis.ResponseError):
                assert str(refused.value).startswith(("MASTERDOWN", "UNKNOWNOUTCOME"))
    masters.wait_stands_by(old)  # by itself
    assert shown_by(old).role == ROLE_BACKUP
    with new.client() as client:
        assert not client.execute_command("CFG.FIND", "CfgSkill", "name", "too late")


def test_guarantee_08_writes_go_on_at_the_backup_and_none_that_was_answered_is_lost(
    masters: MasterPair,
) -> None:
    seen = lambda: shown_by(masters.primary).peer_state == "ready"  # noqa: E731
    wait_until(seen, 30, "the backup is there")
    old, new = masters.primary, masters.backup
    with Author(masters, "promised") as author:
        masters.kill_all(old)
        masters.wait_primary(new)
        author.writes_on()
        old.start(ready=False)
        masters.wait_stands_by(old)
    check_nothing_lost(masters, author)
