"""A proxy that follows a further server goes back to the preferred one when that is there again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from csp.feed.origin import STEADY_MS
from csp.feed.phase import Phase
from csp.feed.returning import MOVE_MS_MAX, PROBE_MS
from csp.model.history import HistoryQuestion
from csp.resp import request
from csp.store.control import LINK_UP
from tests.unit.feed_stage import FakeMaster, Guest, Stage
from tests.unit.test_feed_further import put_server, store, up

DELAY_MS = 2_000
HEALTHY = request("link", "up")


class Between:
    """A proxy that follows its second server; the preferred one is away, or there."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.preferred = self.stage.master
        self.present = FakeMaster(self.stage.history)
        reader = store(up(1))
        put_server(reader, 1, self.present.port)
        self.stage.host.finder = reader
        self.stage.origin._returning.delay_ms = DELAY_MS
        self.is_there = False  # the preferred one answers
        self.status = HEALTHY
        self.greets_with_snapshot = False
        self.chain = ("preferred",)
        self.says_chain = True
        self._greeted: set[int] = set()
        self._real = self.preferred._serve
        self.preferred._serve = self._serve  # type: ignore[method-assign]

    def _serve(self, guest: Guest) -> None:
        if not self.is_there:
            guest.socket.close()
            self.preferred.guests.remove(guest)
            return
        before = len(guest.commands)
        self._real(guest)
        for words in guest.commands[before:]:
            if words == [b"CFG.STATUS"]:
                guest.socket.sendall(self.status)
            elif words[0] == b"CFG.FEED":
                self.preferred.greet(guest, snapshot=self.greets_with_snapshot)
                if self.says_chain:
                    guest.send("+chain", *self.chain)

    def follow(self) -> None:
        stage = self.stage
        stage.resume_from(stage.history, 10)
        stage.start()
        self.play(self.present.feeds, "the present one is asked")
        self.present.greet(self.present.feeds()[0], snapshot=False)
        self.play(lambda: stage.origin.phase is Phase.FOLLOWING, "it follows that one")

    def play(self, until: Callable[[], object], what: str, *, within_ms: int = 60_000) -> None:
        """Turns all until then, in a time that passes."""
        end_ms = self.stage.now_ms + within_ms

        def reached() -> bool:
            self.present.turn()
            if self.present.feeds() and self.stage.now_ms % 500 == 0:
                self.present.send_alive(self.present.feeds()[0])
            self.stage.now_ms += 50
            assert self.stage.now_ms < end_ms, what
            return bool(until())

        self.stage.play(reached, what)

    def pass_time(self, ms: int) -> None:
        until_ms = self.stage.now_ms + ms
        self.play(lambda: self.stage.now_ms >= until_ms, "time passes", within_ms=ms + 1_000)

    @property
    def has_moved(self) -> bool:
        return not self.stage.origin._links.session.route.is_other

    def close(self) -> None:
        self.stage.close()
        self.present.close()


@pytest.fixture
def between() -> Iterator[Between]:
    made = Between()
    yield made
    made.close()


def test_it_goes_back_after_the_delay_without_a_load_or_a_gap(between: Between) -> None:
    between.follow()
    links = len(between.stage.host.links)
    between.is_there = True
    began_ms = between.stage.now_ms
    between.play(lambda: between.has_moved, "it is back at the preferred one")
    assert DELAY_MS <= between.stage.now_ms - began_ms < DELAY_MS + PROBE_MS + 2_000
    stage = between.stage
    stage.history.change()
    between.preferred.send_changes(between.preferred.feeds()[0], 10)
    between.play(lambda: stage.host.published == 11, "changes come from there")
    between.play(lambda: not between.present.guests, "the other one is left")
    assert "begin" not in stage.host.calls
    assert {state for state, _, _ in stage.host.links[links:]} == {LINK_UP}  # nobody was told


def test_changes_of_the_moment_of_the_move_come_once(between: Between) -> None:
    between.follow()
    between.stage.history.change(2)
    between.present.send_changes(between.present.feeds()[0], 10)
    between.play(lambda: between.stage.host.published == 12, "they come")
    between.is_there, between.says_chain = True, False
    between.play(between.preferred.feeds, "the preferred one is asked to go on")
    assert between.preferred.feeds()[0].feed[3] == b"12"
    between.stage.history.change()
    for server in (between.present, between.preferred):
        server.send_changes(server.feeds()[0], 12)
    between.pass_time(500)
    assert between.stage.host.published == 12  # the feed rests
    between.preferred.feeds()[0].send("+chain", "preferred")
    between.play(lambda: between.stage.host.published == 13, "the change comes")
    between.pass_time(1_000)
    assert between.has_moved
    assert between.stage.host.calls.count("apply 13") == 1


def test_one_that_comes_and_goes_is_not_gone_back_to(between: Between) -> None:
    between.follow()
    for _ in range(4):
        between.is_there = True
        between.pass_time(DELAY_MS - 500)
        between.is_there = False
        for guest in list(between.preferred.guests):
            guest.socket.close()
        between.preferred.guests.clear()
        between.pass_time(500)
    assert not between.has_moved
    assert between.stage.origin.phase is Phase.FOLLOWING


def test_one_whose_own_root_is_away_is_not_gone_back_to(between: Between) -> None:
    between.follow()
    between.is_there = True
    between.status = request("link", "stale")
    between.pass_time(4 * DELAY_MS + PROBE_MS)
    assert not between.has_moved
    between.status = HEALTHY
    between.play(lambda: between.has_moved, "its root is there again")


@pytest.mark.parametrize("is_behind", [True, False])
def test_one_that_is_behind_or_follows_this_proxy_is_left(
    between: Between, is_behind: bool
) -> None:
    between.greets_with_snapshot = is_behind
    if not is_behind:
        between.chain = ("preferred", between.stage.origin.identity)
    between.follow()
    between.is_there = True
    between.play(lambda: between.preferred.feeds(), "it is asked")
    between.pass_time(1_000)
    assert not between.has_moved
    stage = between.stage
    stage.history.change()
    between.present.send_changes(between.present.feeds()[0], 10)
    between.play(lambda: stage.host.published == 11, "the present one goes on being followed")
    assert "begin" not in stage.host.calls


def test_questions_under_way_are_answered_first_and_later_ones_wait(between: Between) -> None:
    between.follow()
    stage, found = between.stage, list[int | Exception]()
    between.is_there = True
    answered: list[object] = []
    between.present.is_alive = False  # it answers later
    stage.origin.history(HistoryQuestion(0, 10)).then(answered.append)
    between.play(lambda: between.present.questions, "it was asked")
    between.present.is_alive = True
    between.pass_time(DELAY_MS + PROBE_MS)
    assert not between.has_moved
    stage.origin.head().then(found.append)
    between.play(lambda: between.has_moved or found, "it waits, or is answered")
    guest, number, _ = between.present.questions[0]
    between.present.answer(guest, number, "FAIL", "BUSY later")
    between.play(lambda: answered and found, "both are answered")
    between.play(lambda: between.has_moved, "and it goes back", within_ms=3 * MOVE_MS_MAX)


def test_nobody_goes_back_where_that_is_not_wanted(between: Between) -> None:
    between.stage.origin._returning.delay_ms = 0
    between.follow()
    between.is_there = True
    between.pass_time(4 * DELAY_MS)
    assert not between.has_moved


def test_from_a_masters_backup_nobody_goes_back(between: Between) -> None:
    """F52: it stays there while that link lives."""
    stage = between.stage
    stage.host.finder = None
    stage.origin._servers.learn([b"backup", f"127.0.0.1:{between.present.port}".encode()])
    between.follow()
    between.is_there = True
    between.pass_time(4 * DELAY_MS + STEADY_MS)
    assert stage.origin._links.session.route.to_backup
    assert not between.preferred.guests
