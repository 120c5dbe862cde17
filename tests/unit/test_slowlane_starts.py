"""CFG.FROM on a fake loop: its words, and which places are taken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp._fastpath import next_mark
from csp.errors import BadValue
from csp.model.entry import mark_of, revision_of
from csp.resp import Value
from csp.store.control import LINK_DATABASE, LINK_DOWN, LINK_UP
from csp.worker import replays, starts
from csp.worker.slices import UNSENT_BYTES_MAX
from tests.unit.fake_loop import Server

MARKS = {revision: 0xA000 + revision for revision in range(1, 11)}
REVISION = 10


def entry(revision: int) -> bytes:
    head = bytearray(64)
    head[16:24] = revision.to_bytes(8, "little")
    head[24:32] = MARKS[revision].to_bytes(8, "little")
    return bytes(head)


def fill(server: Server, oldest: int = 5) -> Server:
    """At revision 10, with a log of 5 to 10."""
    server.reader.published = REVISION
    server.reader.mark = MARKS[REVISION]
    server.reader.entries = {revision: entry(revision) for revision in range(oldest, REVISION + 1)}
    server.reader.followed = {revision: MARKS[revision - 1] for revision in server.reader.entries}
    return server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield fill(server)
    server.close()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Server]:
    proxy = Server(tmp_path, mode="proxy")
    proxy.control.links = (LINK_UP, REVISION, 1)
    yield fill(proxy)
    proxy.close()


def hexed(mark: int) -> str:
    return f"{mark:016x}"


def taken(server: Server) -> tuple[int, dict[str, Any]]:
    return server.loop.started[1]


def text(reply: Value) -> str:
    return str(reply)


WRONG = [
    (["x"], "BADVALUE CFG.FROM takes a revision or NOW, not 'x'"),
    (["-1"], "BADVALUE CFG.FROM takes a revision or NOW, not '-1'"),
    (["1.5"], "BADVALUE CFG.FROM takes a revision or NOW, not '1.5'"),
    ([str(2**63)], f"BADVALUE CFG.FROM takes a revision or NOW, not '{2**63}'"),
    (["9", "AT"], "ERR CFG.FROM takes MARK, SUBS, BOOKMARKS and WITHSTATE, not 'AT'"),
    (["9", "SUBS"], "ERR CFG.FROM has SUBS without a value"),
    (["9", "SUBS", "2", "subs", "2"], "ERR CFG.FROM has SUBS twice"),
    (["9", "SUBS", "0"], "BADVALUE SUBS takes 1 to 10000 subscriptions, not '0'"),
    (["9", "SUBS", "10001"], "BADVALUE SUBS takes 1 to 10000 subscriptions, not '10001'"),
    (
        ["9", "BOOKMARKS", "999"],
        "BADVALUE BOOKMARKS takes 1000 to 86400000 milliseconds, not '999'",
    ),
    (["9", "MARK", "12"], "BADVALUE MARK takes 16 hexadecimal digits, not '12'"),
    (
        ["9", "MARK", "0x" + "1" * 14],
        f"BADVALUE MARK takes 16 hexadecimal digits, not '0x{'1' * 14}'",
    ),
    (["NOW", "MARK", "1" * 16], "BADVALUE MARK belongs to a revision, not to NOW"),
    (["NOW", "WITHSTATE", "withstate"], "ERR CFG.FROM has WITHSTATE twice"),
]


@pytest.mark.parametrize(("words", "refusal"), WRONG, ids=lambda one: " ".join(one)[:40])
def test_wrong_words_are_refused_by_name(server: Server, words: list[str], refusal: str) -> None:
    assert text(server.ask("CFG.FROM", *words)) == refusal
    assert not server.loop.started


def test_all_words_in_any_case_and_order(server: Server) -> None:
    words = ["8", "bookmarks", "1000", "Mark", hexed(MARKS[8]).upper(), "subs", "10000"]
    assert server.ask("cfg.from", *words) == [b"cfg.from", 8, hexed(MARKS[8]).encode()]
    assert taken(server) == (8, {"subs": 10_000, "mark": MARKS[8], "bookmark_ms": 1000})


@pytest.mark.parametrize("proto", [2, 3])
def test_the_reply_is_an_array_in_both_protocols(server: Server, proto: int) -> None:
    server.loop.sessions[1].proto = proto
    assert server.raw("CFG.FROM", "NOW") == (
        b"*3\r\n$8\r\ncfg.from\r\n:10\r\n$16\r\n%016x\r\n" % MARKS[REVISION]
    )
    assert taken(server) == (10, {"subs": 1, "mark": MARKS[10], "bookmark_ms": 0})


@pytest.mark.parametrize("revision", [4, 5, 9, 10])
def test_a_place_that_the_log_goes_on_from_is_taken(server: Server, revision: int) -> None:
    """The mark said or not; at the revision before the log's first only the mark can tell."""
    mark = hexed(MARKS[revision])
    assert server.ask("CFG.FROM", str(revision), "MARK", mark) == [
        b"cfg.from",
        revision,
        mark.encode(),
    ]
    shown = None if revision == 4 else mark.encode()
    assert server.ask("CFG.FROM", str(revision)) == [b"cfg.from", revision, shown]


@pytest.mark.parametrize("revision", [4, 5, 9, 10])
def test_another_mark_is_another_history(server: Server, revision: int) -> None:
    refusal = server.ask("CFG.FROM", str(revision), "MARK", hexed(1))
    assert text(refusal) == (
        f"RESYNC revision {revision} has another mark here: that was another history"
    )
    assert not server.loop.started


def test_withstate_stands_anywhere(server: Server) -> None:
    for words in (("NOW", "WITHSTATE", "SUBS", "2"), ("NOW", "SUBS", "2", "WITHSTATE")):
        assert isinstance(server.ask("CFG.FROM", *words), list)
        said = {"subs": 2, "mark": MARKS[10], "bookmark_ms": 0, "states": True}
        assert taken(server) == (10, said)


def refused(server: Server, *words: str, oldest: int = 0) -> str:
    """What CFG.FROM says whose place the master does not have either."""
    assert server.raw("CFG.FROM", *words) is None
    verb, req, first = server.reading.take()
    assert (verb, int(first)) == (b"ENTRIES", int(words[0]) + 1)
    server.reading.answer("DONE", req, oldest)
    return text(server.later())


def test_what_the_master_has_not_either_is_refused_with_what_there_is(server: Server) -> None:
    refusal = "RESYNC the log does not go on from revision 3; from 4 it does"
    assert refused(server, "3") == refusal
    assert refused(server, "0") == refusal.replace("revision 3", "revision 0")
    assert refused(server, "1", oldest=3) == refusal.replace("3", "1").replace("4", "2")
    server.reader.entries = {}
    assert refused(server, "9") == refusal.replace("3", "9").replace("4", "10")
    assert server.ask("CFG.FROM", "10") == [b"cfg.from", 10, hexed(MARKS[10]).encode()]
    assert server.loop.started == {1: (10, {"subs": 1, "mark": MARKS[10], "bookmark_ms": 0})}


def test_a_difference_between_histories_is_no_way_on(server: Server) -> None:
    server.reader.differences = {5}
    refusal = "RESYNC the log does not go on from revision 4; from 5 it does"
    assert refused(server, "4", "MARK", hexed(MARKS[4])) == refusal
    assert server.ask("CFG.FROM", "5") == [b"cfg.from", 5, hexed(MARKS[5]).encode()]


def chained(first: int, last: int, mark: int) -> dict[int, bytes]:
    """Entries that follow the mark."""
    found = {}
    for revision in range(first, last + 1):
        head = bytearray(entry(revision))
        mark = next_mark(mark, head)
        head[24:32] = mark.to_bytes(8, "little")
        found[revision] = bytes(head)
    return found


def test_a_place_that_the_master_still_has_is_taken(server: Server) -> None:
    kept = chained(3, 6, MARKS[2])
    for words in (("2",), ("2", "MARK", hexed(MARKS[2]))):
        assert server.raw("CFG.FROM", *words) is None
        server.reading.answer("DONE", server.reading.take()[1], 1, *kept.values())
        shown = None if len(words) == 1 else hexed(MARKS[2]).encode()
        assert server.later() == [b"cfg.from", 2, shown]
    assert server.raw("CFG.FROM", "2", "MARK", hexed(7)) is None
    server.reading.answer("DONE", server.reading.take()[1], 1, *kept.values())
    assert text(server.later()).startswith("RESYNC revision 2 has another mark here")


def replayed(
    server: Server, mark: int | None, unsure: bool = True
) -> tuple[list[int], bool | None]:
    """Which revisions a subscriber that stood behind revision 2 was told; whether it is lost."""
    server.loop.replayed.clear()
    server.loop.replay_ends.clear()
    server.lane.fetch(1, 3, mark, unsure)
    server.loop.pass_time(100)
    told = [revision_of(one) for one in server.loop.replayed.get(1, [])]
    return told, server.loop.replay_ends.get(1)


def test_a_replay_goes_up_to_the_log_and_no_further(server: Server) -> None:
    kept = chained(3, 6, MARKS[2])
    server.reader.followed[5] = mark_of(kept[4])
    assert replayed(server, MARKS[2]) == ([], None)
    verb, req, first = server.reading.take()
    assert (verb, first) == (b"ENTRIES", b"3")
    server.reading.answer("DONE", req, 1, *kept.values())
    server.loop.poll()
    server.loop.pass_time(100)
    assert [revision_of(one) for one in server.loop.replayed[1]] == [3, 4]
    assert server.loop.replay_ends == {1: False}
    # The page is kept for the next one; a place without a mark is taken as it is.
    assert replayed(server, None) == ([3, 4], False)
    assert replayed(server, 7) == ([], True), "that was another history"
    server.reader.followed[5] = 7
    assert replayed(server, MARKS[2]) == ([3, 4], True), "the log is of another one"


@pytest.mark.parametrize("unsure", [True, False])
def test_a_replay_that_nobody_has_is_lost_or_left_to_the_log(server: Server, unsure: bool) -> None:
    for answer in (("DONE", 9), ("FAIL", "MASTERDOWN the link to the master is down")):
        assert replayed(server, MARKS[2], unsure) == ([], None)
        req = server.reading.take()[1]
        server.reading.answer(answer[0], req, *answer[1:])
        server.loop.poll()
        assert server.loop.replay_ends == {1: unsure}
        assert len(server.lane.replays) == 0


def test_one_page_is_asked_for_all_who_wait_for_it(server: Server) -> None:
    kept = chained(3, 4, MARKS[2])
    server.reader.followed[5] = mark_of(kept[4])
    for conn in (1, 2, 3):
        server.connect(conn)
        server.lane.fetch(conn, 3, MARKS[2], True)
    server.loop.pass_time(1)
    assert server.lane.reading.in_flight == 1
    server.lane.closed(2, "")
    server.reading.answer("DONE", server.reading.take()[1], 1, *kept.values())
    server.loop.poll()
    server.loop.pass_time(100)
    assert server.loop.replay_ends == {1: False, 3: False}


def test_who_takes_nothing_is_told_no_more(server: Server) -> None:
    kept = chained(3, 4, MARKS[2])
    server.reader.followed[5] = mark_of(kept[4])
    server.lane.replays.keep(list(kept.values()))
    server.loop.unsent[1] = UNSENT_BYTES_MAX + 1
    assert replayed(server, MARKS[2]) == ([], None)
    server.loop.unsent[1] = 0
    server.loop.pass_time(100)
    assert server.loop.replay_ends == {1: False}


def test_pages_are_kept_within_a_limit(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "ENTRIES_BYTES_MAX", 3 * 64)
    kept = chained(1, 6, 0)
    server.lane.replays.keep(list(kept.values()))
    assert list(server.lane.replays._entries) == [4, 5, 6]
    server.reader.stream = b"x" * 16
    server.lane.replays.keep([kept[1]])
    assert list(server.lane.replays._entries) == [1]


def test_beyond_a_master_is_nothing(server: Server) -> None:
    server.control.links = (LINK_DATABASE, 0, 0)
    refusal = "RESYNC revision 11 is beyond the newest of this history, 10"
    assert text(server.ask("CFG.FROM", "11")) == refusal


@pytest.mark.parametrize("link", [LINK_DOWN, LINK_DATABASE])
def test_what_a_proxy_can_not_know_is_taken(proxy: Server, link: int) -> None:
    proxy.control.links = (link, REVISION, 1)
    assert proxy.ask("CFG.FROM", "99") == [b"cfg.from", 99, None]
    assert proxy.ask("CFG.FROM", "99", "MARK", hexed(5)) == [b"cfg.from", 99, hexed(5).encode()]
    assert taken(proxy) == (99, {"subs": 1, "mark": 5, "bookmark_ms": 0})


def test_a_proxy_asks_its_master_what_it_has_now(proxy: Server) -> None:
    """What it was told last is older than what a client may have seen elsewhere."""
    assert proxy.raw("CFG.FROM", "12") is None
    assert proxy.writer.take()[0] == b"HEAD"
    proxy.writer.answer("DONE", 1, 12)
    assert proxy.later() == [b"cfg.from", 12, None]
    assert proxy.raw("CFG.FROM", "13") is None
    proxy.writer.take()
    proxy.writer.answer("DONE", 2, 12)
    refusal = "RESYNC revision 13 is beyond the newest of this history, 12"
    assert text(proxy.later()) == refusal


def test_a_master_that_does_not_say_is_one_that_can_not_be_asked(proxy: Server) -> None:
    assert proxy.raw("CFG.FROM", "12") is None
    proxy.writer.take()
    proxy.writer.answer("FAIL", 1, "MASTERDOWN the link to the master is down")
    assert proxy.later() == [b"cfg.from", 12, None]


def test_the_revision_may_be_here_when_the_master_has_answered(proxy: Server) -> None:
    assert proxy.raw("CFG.FROM", "11", "MARK", hexed(5)) is None
    proxy.writer.take()
    proxy.reader.published, proxy.reader.mark = 11, 0xA00B
    proxy.writer.answer("DONE", 1, 11)
    assert text(proxy.later()).startswith("RESYNC revision 11 has another mark here")


def test_a_subscribed_connection_is_told_what_to_do(server: Server) -> None:
    server.loop.sessions[1].subscriptions = 2
    for proto in (2, 3):
        server.loop.sessions[1].proto = proto
        assert text(server.ask("CFG.FROM", "9")).startswith(
            "ERR CFG.FROM comes before the first subscription, and this connection has 2: end them"
        )


def test_it_is_refused_inside_multi(server: Server) -> None:
    assert server.ask("MULTI") == "OK"
    assert text(server.ask("CFG.FROM", "9")) == "ERR Command not allowed inside a transaction"


def test_subscriptions_have_the_servers_limit() -> None:
    assert starts.read_start([b"9", b"SUBS", b"7"], 7).subs == 7
    with pytest.raises(BadValue, match="1 to 7 subscriptions"):
        starts.read_start([b"9", b"SUBS", b"8"], 7)
