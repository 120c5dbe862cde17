"""A proxy acts as one half of its pair: serves, asks for the row, hands over, refuses strangers."""

from __future__ import annotations

from typing import Any

import pytest

from csp.errors import Busy, Conflict, CspError, MasterDown, NoPerm, NoRef
from csp.feed.pair import TAKE_AGAIN_MS, Half
from csp.feed.pair_mind import WAIT_MS, YIELD_MS
from csp.model.pairs import PAIRS_DBID, PairRow, Saying, pairs_image, read_saying
from csp.model.redundancy import Pair
from csp.model.types import ACCOUNT_CLASS_ID
from csp.process.context import Upstream
from csp.process.origin import Later
from csp.process.standing import ROLE_BACKUP, ROLE_PRIMARY, ROLE_SINGLE, Standing

PRIMARY, BACKUP = 101, 102
STREAM = b"s" * 16


def application(dbid: int, port: int) -> dict[str, Any]:
    return {
        "DBID": dbid,
        "name": f"half-{dbid}",
        "portInfos": [{"id": "default", "port": str(port)}],
    }


PAIR = Pair(application(PRIMARY, 4000), application(BACKUP, 4001))
REACHED = Pair(PAIR.primary, PAIR.backup, ("192.0.2.1", "192.0.2.2"))


class Host:
    """A store that is loaded, and shows what it is told."""

    def __init__(self, *, serving: bool = False) -> None:
        self.loaded, self.stream, self.published = True, STREAM, 5
        self.serving = serving
        self.record: bytes | None = None
        self.shown = Standing()

    def image(self, class_id: int, dbid: int) -> bytes | None:
        assert (class_id, dbid) == (ACCOUNT_CLASS_ID, PAIRS_DBID)
        return self.record

    def show_standing(self, standing: Standing) -> None:
        self.shown, self.serving = standing, standing.serving


class Feed:
    """The link to the master, as the test has it."""

    def __init__(self) -> None:
        self.is_up = True
        self.rows: list[PairRow] = []
        self.answer: int | Exception | None = None  # None: it comes later
        self.left: list[str] = []

    def root_is_there(self) -> bool:
        return self.is_up

    def is_at_peer(self) -> bool:
        return False

    def is_away(self) -> bool:
        return not self.is_up

    def leave(self, why: str) -> None:
        self.left.append(why)

    def take_row(self, row: PairRow) -> Later[int]:
        self.rows.append(row)
        later: Later[int] = Later()
        if isinstance(self.answer, CspError):
            raise self.answer
        if self.answer is not None:
            later.answer(self.answer)
        return later


class Stage:
    """One half, its store, its feed and its clock; the peer is what the test has it say."""

    def __init__(self, own: int, *, serving: bool = False, pair: Pair = PAIR) -> None:
        self.own, self.peer = own, BACKUP if own == PRIMARY else PRIMARY
        self.now_ms = 1_000
        self.host, self.feed = Host(serving=serving), Feed()
        upstream = Upstream("127.0.0.1", 1, "default", "secret")
        self.half = Half(self.feed, upstream, ("half",), lambda: self.now_ms)
        self.half.start(self.host)  # type: ignore[arg-type]
        self.half.take_pair(pair, own)

    def hear(self, **says: Any) -> Saying:
        """The peer says how it stands; what this half answers."""
        said = Saying(
            **{"root": True, "ready": True, "stream": STREAM.hex(), "revision": 5, **says}
        )
        return read_saying(self.half.hear(self.peer, said.pack()))

    def row(self, number: int, active: int) -> None:
        """A row comes by the feed."""
        self.host.record = pairs_image([PairRow(PRIMARY, number, active)], 6)
        self.host.published += 1
        self.half.descriptors()

    def later(self, ms: int) -> None:
        self.now_ms += ms
        self.half.tick(self.now_ms)


def test_a_server_without_a_pair_serves_alone() -> None:
    stage = Stage(PRIMARY)
    stage.half.take_pair(None, PRIMARY)
    assert (stage.host.shown.role, stage.host.serving) == (ROLE_SINGLE, True)
    with pytest.raises(NoRef):
        stage.half.switch_over()
    with pytest.raises(NoPerm):
        stage.hear()


def test_with_the_master_there_the_configured_primary_serves_and_the_other_one_waits() -> None:
    primary, backup = Stage(PRIMARY), Stage(BACKUP, pair=REACHED)
    assert (primary.host.shown.role, primary.host.serving) == (ROLE_PRIMARY, True)
    assert (backup.host.shown.role, backup.host.serving) == (ROLE_BACKUP, False)
    assert backup.host.shown.peer_address == "192.0.2.1:4000"
    assert backup.hear(serving=True).ready
    assert backup.host.shown.peer_state == "serving"
    assert backup.host.shown.why_not == ""
    assert backup.feed.rows == []


def test_a_backup_asks_for_the_row_of_one_that_yields_and_serves_when_it_comes() -> None:
    stage = Stage(BACKUP)
    stage.hear(serving=True, yields=True, root=False)
    assert stage.feed.rows == [PairRow(PRIMARY, 1, BACKUP)]
    stage.later(WAIT_MS // 10)
    assert len(stage.feed.rows) == 1  # the answer is awaited
    assert not stage.host.serving
    stage.row(1, BACKUP)
    assert (stage.host.serving, stage.host.shown.number) == (True, 1)


def test_who_is_refused_the_row_asks_again_by_what_there_is_then() -> None:
    stage = Stage(BACKUP)
    stage.feed.answer = MasterDown("the database is away")
    stage.hear(serving=True, yields=True, root=False)
    stage.later(TAKE_AGAIN_MS - 1)
    assert len(stage.feed.rows) == 1
    stage.row(4, PRIMARY)
    stage.later(1)
    assert stage.feed.rows[-1] == PairRow(PRIMARY, 5, BACKUP)


def test_a_primary_ceases_when_the_one_that_the_row_names_serves() -> None:
    stage = Stage(PRIMARY)
    stage.hear()
    stage.row(1, BACKUP)
    assert stage.host.serving  # nobody is turned away before somebody else is there
    said = stage.hear(serving=True, number=1, active=BACKUP)
    assert not said.serving
    assert (stage.host.shown.role, stage.host.serving) == (ROLE_BACKUP, False)


def test_a_primary_that_lost_the_master_yields_but_not_at_once() -> None:
    stage = Stage(PRIMARY)
    stage.feed.is_up = False
    stage.half.lost()
    assert not stage.hear().yields
    stage.later(YIELD_MS)
    stage.hear()
    assert stage.host.serving
    assert stage.host.shown.why_not == "the master is away"
    assert stage.half.hear(stage.peer, Saying(root=True, ready=True).pack())


def test_alone_it_serves_after_the_wait_and_the_row_decides_when_the_master_is_back() -> None:
    stage = Stage(BACKUP)
    stage.feed.is_up = False
    stage.half.lost()
    stage.later(WAIT_MS - 1)
    assert not stage.host.serving
    stage.later(1)
    assert stage.host.serving
    stage.feed.is_up = True
    stage.hear(serving=True)
    assert not stage.host.serving


def test_a_switchover_is_asked_of_the_master_and_refused_in_words() -> None:
    stage = Stage(PRIMARY)
    with pytest.raises(Busy, match="nothing is heard of half-102"):
        stage.half.switch_over()
    stage.hear(ready=False)
    with pytest.raises(Busy, match="half-102 is behind"):
        stage.half.switch_over()
    stage.hear()
    told: list[object] = []
    stage.feed.answer = 7
    stage.half.switch_over().then(told.append)
    assert stage.feed.rows == [PairRow(PRIMARY, 1, BACKUP)]
    assert told == [None]
    stage.feed.is_up = False
    stage.half.lost()
    with pytest.raises(MasterDown, match="nothing was done"):
        stage.half.switch_over()


def test_only_the_other_half_is_heard_and_only_what_makes_sense() -> None:
    stage = Stage(PRIMARY)
    with pytest.raises(NoPerm):
        stage.half.hear(99, Saying().pack())
    for text in (b"[]", b"{", b'{"serving": 1}', b" " * 5_000):
        with pytest.raises(CspError):
            stage.half.hear(BACKUP, text)


@pytest.mark.parametrize("serving", [False, True])
def test_a_writer_that_is_restarted_goes_on_as_its_predecessor_showed(serving: bool) -> None:
    stage = Stage(BACKUP, serving=serving)
    assert stage.host.serving is serving
    if serving:  # until somebody is there whom the row names
        stage.hear(serving=True)
        assert not stage.host.serving


def test_the_feed_of_the_other_one_is_followed_only_by_who_is_behind_without_master() -> None:
    stage = Stage(BACKUP, pair=REACHED)
    stage.later(1)  # its address is looked up
    stage.feed.is_up = False
    stage.half.lost()
    stage.hear(serving=True, revision=5)
    assert stage.half.routes() == []
    stage.hear(serving=True, revision=6)
    (route,) = stage.half.routes()
    assert (str(route), route.to_peer) == ("192.0.2.1:4000", True)
    stage.hear(serving=True, revision=6, stream="00" * 16)
    assert stage.half.routes() == []
    stage.hear(serving=True, revision=6)
    stage.feed.is_up = True
    stage.half.look()
    assert stage.half.routes() == []
    stage.half.close()


def test_a_row_of_a_history_that_is_no_more_keeps_nobody_from_serving() -> None:
    """The master's database was restored: what this half knew of its row is no number there."""
    stage = Stage(BACKUP)
    stage.row(5, PRIMARY)
    stage.feed.answer = Conflict("the pair 101 is at number 2: 101 serves")
    stage.host.published = 3  # another history is loaded, of an earlier row
    stage.host.record = pairs_image([PairRow(PRIMARY, 2, PRIMARY)], 3)
    stage.half.descriptors()
    stage.hear(serving=True, yields=True, root=False, number=5, active=PRIMARY)  # it is behind
    stage.later(TAKE_AGAIN_MS)
    stage.hear(serving=True, yields=True, root=False, number=5, active=PRIMARY)
    assert [row.number for row in stage.feed.rows] == [6, 3]
    stage.row(3, BACKUP)
    assert stage.host.serving


def test_a_switchover_that_asks_for_a_wrong_number_asks_for_the_right_one_next() -> None:
    stage = Stage(PRIMARY)
    stage.row(2, PRIMARY)
    stage.hear(number=7, active=PRIMARY)
    stage.feed.answer = Conflict("the pair 101 is at number 2: 101 serves")
    with pytest.raises(Conflict):
        stage.half.switch_over()
    stage.hear(number=7, active=PRIMARY)
    with pytest.raises(Conflict):
        stage.half.switch_over()
    assert [row.number for row in stage.feed.rows] == [8, 3]
    stage.hear(number=8, active=BACKUP, serving=True)  # what is newer than what was refuted counts
    assert stage.host.shown.number == 8
