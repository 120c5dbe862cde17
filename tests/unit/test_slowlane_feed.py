"""CFG.FEED: continue or snapshot, parts, changes with account records, a slow receiver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from csp._fastpath import FEED_UNSENT_BYTES_MAX
from csp.model.entry import DELETE, UPDATE
from csp.model.image import build_tombstone
from csp.model.packing import Unpacker
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES, ENVIRONMENT
from csp.resp import request
from csp.store.control import LINK_DATABASE, LINK_DOWN, LINK_STALE, LINK_UP
from csp.worker.feed_server import ALIVE_MS, PARTS_BYTES, SLICE_BYTES
from tests.unit.fake_loop import Server
from tests.unit.fake_reader import image_of

STREAM = bytes(range(16)).hex()
PERSON = CLASSES["CfgPerson"].id


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.reader.entries = {revision: entry_of(revision) for revision in range(5, 11)}
    yield server
    server.close()


def entry_of(
    revision: int, dbid: int = 101, account: bool = False, size: int = 64, op: int = UPDATE
) -> bytes:
    """An entry with one item, as far as a feed reads it."""
    head = bytearray(64)
    head[16:24] = revision.to_bytes(8, "little")
    head[24:32] = (revision * 16).to_bytes(8, "little")
    item = bytearray(size)
    item[0:4] = size.to_bytes(4, "little")
    item[4] = op
    item[5] = account
    item[8:12] = dbid.to_bytes(4, "little")
    return bytes(head + item)


def greet(server: Server, *words: str) -> dict[str, Any]:
    answer = server.ask("CFG.FEED", "FROM", *words, "FORMAT", "3")
    assert isinstance(answer, list)
    assert answer[0] == b"greeting"
    greeting: dict[str, Any] = orjson.loads(answer[1])  # type: ignore[arg-type]
    return greeting


def test_continue(server: Server) -> None:
    greeting = greet(server, STREAM, "8", f"{8 * 16:016x}")
    assert (greeting["mode"], greeting["revision"], greeting["format"]) == ("continue", 10, 3)
    assert greeting["stream"] == STREAM
    server.loop.pass_time(0)
    assert server.frames() == [[b"change", entry_of(9)], [b"change", entry_of(10)]]
    server.reader.entries[11] = entry_of(11)
    server.publish(11)
    assert server.frames() == [[b"change", entry_of(11)]]


def test_continue_from_what_is_published(server: Server) -> None:
    assert greet(server, STREAM, "10", f"{server.reader.mark:016x}")["mode"] == "continue"


@pytest.mark.parametrize(
    "words",
    [
        ("-", "0", "-"),
        (STREAM, "8", "0000000000000001"),  # another mark
        ("00" * 16, "8", f"{8 * 16:016x}"),  # another stream
        (STREAM, "11", f"{11 * 16:016x}"),  # from the future
        (STREAM, "3", f"{3 * 16:016x}"),  # before the log
        (STREAM, "10", "0000000000000001"),
    ],
)
def test_snapshot_otherwise(server: Server, words: tuple[str, ...]) -> None:
    assert greet(server, *words)["mode"] == "snapshot"


def test_snapshot_in_parts(server: Server) -> None:
    for dbid in range(101, 111):
        server.reader.put("CfgPerson", dbid)
    server.reader.objects[ACCOUNT_CLASS_ID, 101] = (10, {"hash": "x"})
    server.connect(2)
    for conn, part in ((1, "0"), (2, "1")):
        answer = server.ask(
            "CFG.FEED", "FROM", "-", "0", "-", "PART", part, "OF", "2", "FORMAT", "3", conn=conn
        )
        assert orjson.loads(answer[1])["mode"] == "snapshot"  # type: ignore[index, arg-type]
    # A change comes while the records are on their way.
    server.reader.entries[11] = entry_of(11)
    server.reader.published = 11
    server.loop.pass_time(0)
    even, odd = server.frames(1), server.frames(2)
    count = sum(frame[1].count(b"{") for frame in even + odd if frame[0] == b"records")  # type: ignore[index, union-attr]
    assert count == 11
    for part, frames in enumerate((even, odd)):
        kinds = [frame[0] for frame in frames]  # type: ignore[index]
        assert kinds[-2:] == [b"part", b"change"]
        assert frames[-2] == [b"part", b"%d" % part, b"11", b"000000000000abcd", b"1000"]
        assert frames[-1] == [b"change", entry_of(11)]


def test_account_records_follow_their_change(server: Server) -> None:
    greet(server, STREAM, "10", f"{server.reader.mark:016x}")
    server.reader.objects[ACCOUNT_CLASS_ID, 101] = (11, {"hash": "x"})
    server.reader.entries[11] = entry_of(11, account=True)
    server.publish(11)
    server.loop.pass_time(0)
    image = image_of(ACCOUNT_CLASS_ID, 101, 11, b'{"hash":"x"}')
    assert server.frames() == [[b"change", entry_of(11, account=True), image]]


@pytest.mark.parametrize("op", [UPDATE, DELETE])
def test_an_account_that_is_gone_is_told_so(server: Server, op: int) -> None:
    greet(server, STREAM, "10", f"{server.reader.mark:016x}")
    server.reader.entries[11] = entry_of(11, account=True, op=op)
    server.publish(11)
    server.loop.pass_time(0)
    gone = build_tombstone(ACCOUNT_CLASS_ID, 101, 11, ENVIRONMENT)
    assert server.frames() == [[b"change", server.reader.entries[11], gone]]


def test_an_account_that_changed_again_goes_with_its_last_change(server: Server) -> None:
    greet(server, STREAM, "10", f"{server.reader.mark:016x}")
    server.reader.objects[ACCOUNT_CLASS_ID, 101] = (12, {"hash": "y"})
    server.reader.entries |= {at: entry_of(at, account=True) for at in (11, 12)}
    server.publish(12)
    server.loop.pass_time(0)
    image = image_of(ACCOUNT_CLASS_ID, 101, 12, b'{"hash":"y"}')
    assert server.frames() == [
        [b"change", entry_of(11, account=True)],
        [b"change", entry_of(12, account=True), image],
    ]


def test_alive(server: Server) -> None:
    greet(server, STREAM, "10", f"{server.reader.mark:016x}")
    server.loop.pass_time(1000)
    root, frame = server.frames()
    assert root == [b"+root", b"10", b"there"]
    assert isinstance(frame, list)
    assert frame[:3] == [b"alive", b"10", b"000000000000abcd"]
    server.loop.pass_time(2000)
    assert len(server.frames()) == 4


def test_alive_of_a_proxy_carries_the_roots_time(server: Server) -> None:
    server.control.links = (1, 10, 123_456)
    greet(server, STREAM, "10", f"{server.reader.mark:016x}")
    server.loop.pass_time(1000)
    assert server.frames()[1][3] == b"123456"  # type: ignore[index]


@pytest.mark.parametrize(
    ("state", "said"), [(LINK_DATABASE, b"there"), (LINK_UP, b"there"), (LINK_DOWN, b"away"),
                        (LINK_STALE, b"away")]
)  # fmt: skip
def test_a_feed_is_told_what_is_known_of_the_root(server: Server, state: int, said: bytes) -> None:
    server.control.links = (state, 17, 123_456)
    greet(server, STREAM, "10", f"{server.reader.mark:016x}")
    server.loop.pass_time(1000)
    assert server.frames()[0] == [b"+root", b"17", said]


def test_a_feed_is_told_whom_this_server_follows_and_when_that_changes(server: Server) -> None:
    greet(server, STREAM, "10", f"{server.reader.mark:016x}")
    told = []
    for chain in (["a", "b"], ["a", "b"], ["a"]):
        verb, number, *_ = server.writer.take()
        while verb == b"PRESENT":
            verb, number, *_ = server.writer.take()
        assert verb == b"CHAIN"
        server.writer.answer("DONE", number, *chain)
        server.loop.poll()
        server.loop.pass_time(1000)
        told += [frame for frame in server.frames() if frame[0] == b"+chain"]  # type: ignore[index]
    assert told == [[b"+chain", b"a", b"b"], [b"+chain", b"a"]]


def test_a_feed_is_told_at_once_which_servers_come_and_go(server: Server) -> None:
    greet(server, STREAM, "10", f"{server.reader.mark:016x}")
    told = []
    for present in (["7", "8"], ["8"], []):
        verb, number, *_ = server.writer.take()
        while verb != b"PRESENT":
            verb, number, *_ = server.writer.take()
        server.writer.answer("DONE", number, *present)
        server.loop.poll()
        told += [frame for frame in server.frames() if frame[0] == b"+present"]  # type: ignore[index]
    assert told == [[b"+present", b"7", b"8"], [b"+present", b"8"], [b"+present"]]


def test_slow_receiver_waits(server: Server) -> None:
    big = 300 * 1024
    server.reader.entries |= {r: entry_of(r, size=big) for r in range(9, 11)}
    greet(server, STREAM, "8", f"{8 * 16:016x}")
    server.loop.unsent[1] = 600 * 1024
    server.loop.pass_time(0)
    assert len(server.frames()) == 1
    server.reader.entries[11] = entry_of(11)
    server.publish(11)
    server.loop.pass_time(5000)
    assert server.frames() == []
    server.loop.unsent[1] = 0
    server.lane.writable(1)
    server.loop.turn()
    assert len(server.frames()) == 1  # one slice a turn
    server.loop.pass_time(0)
    assert len(server.frames()) == 1


def test_behind_the_log(server: Server) -> None:
    greet(server, STREAM, "8", f"{8 * 16:016x}")
    del server.reader.entries[9]
    server.loop.pass_time(0)
    (frame,) = server.frames()
    assert frame[0] == b"bye"  # type: ignore[index]
    assert server.loop.closing == {1}
    assert len(server.lane.feeds) == 0


def test_end_of_a_feed(server: Server) -> None:
    server.lane.writer.ask("HEAD", then=lambda _: None)  # as a feed asks, whose answers are awaited
    before = len(server.loop.timers)
    greet(server, STREAM, "10", f"{server.reader.mark:016x}")
    server.disconnect()
    assert len(server.lane.feeds) == 0
    server.loop.pass_time(3000)
    assert len(server.loop.timers) <= before


@pytest.mark.parametrize(
    "words",
    [
        ("TO", "-", "0", "-"),
        ("FROM", "xyz", "0", "-"),
        ("FROM", "-", "x", "-"),
        ("FROM", "-", "0", "12"),
        ("FROM", "-", "0", "-", "PART", "2", "OF", "2"),
        ("FROM", "-", "0", "-", "PART", "2"),
    ],
)
def test_refused(server: Server, words: tuple[str, ...]) -> None:
    answer = server.ask("CFG.FEED", *words)
    assert str(answer).split()[0] in ("ERR", "BADVALUE")
    assert not server.loop.session(1).feed


def ask_part(server: Server, conn: int) -> None:
    server.ask("CFG.FEED", "FROM", "-", "0", "-", "PART", "0", "OF", "1", "FORMAT", "3", conn=conn)


def sent_to(server: Server, conns: range) -> dict[int, int]:
    """Bytes of records and changes that each got since the last look."""
    found = {}
    for conn in conns:
        frames = [frame for frame in server.frames(conn) if frame[0] in (b"records", b"change")]  # type: ignore[index]
        found[conn] = sum(len(frame[1]) for frame in frames)  # type: ignore[index, arg-type]
    return found


def test_many_loads_share_a_turn(server: Server) -> None:
    """Forty proxies that load at once: a turn copies no more than one turn may."""
    for dbid in range(101, 141):
        server.reader.put("CfgPerson", dbid, text="x" * 100_000)
    conns = range(2, 42)
    for conn in conns:
        server.connect(conn)
        ask_part(server, conn)
    most, total, turns = 0, dict.fromkeys(conns, 0), 0
    while min(total.values()) < 4_000_000:
        server.loop.turn()
        turn = sent_to(server, conns)
        for conn in conns:
            total[conn] += turn[conn]
        most = max(most, sum(turn.values()))
        turns += 1
        assert turns < 1_000
    assert most <= PARTS_BYTES + 2 * SLICE_BYTES


def test_changes_go_before_records(server: Server) -> None:
    for dbid in range(101, 141):
        server.reader.put("CfgPerson", dbid, text="x" * 100_000)
    greet(server, STREAM, "10", f"{server.reader.mark:016x}")
    server.loop.pass_time(0)
    server.connect(2)
    ask_part(server, 2)
    server.reader.entries[11] = entry_of(11)
    server.publish(11)
    assert server.frames(1) == [[b"change", entry_of(11)]]


def test_a_receiver_that_rests_is_told_when_the_log_has_passed_it(server: Server) -> None:
    greet(server, STREAM, "10", f"{server.reader.mark:016x}")
    server.loop.pass_time(0)
    server.loop.unsent[1] = FEED_UNSENT_BYTES_MAX + 1
    server.reader.entries[11] = entry_of(11, size=2_000)
    server.publish(11)
    server.frames()
    server.reader.entries = {20: entry_of(20)}
    server.publish(20)
    assert server.frames() == []  # it rests
    server.loop.pass_time(1_000)
    (frame,) = server.frames()
    assert frame == [b"bye", b"revision 12 is no longer in the log"]
    assert 1 in server.loop.closing


def unpacked(server: Server, unpacker: Unpacker) -> bytes:
    frames = server.frames()
    assert all(isinstance(frame, list) and frame[0] == b"packed" for frame in frames)
    return b"".join(
        piece
        for frame in frames
        for piece in unpacker.unpack(frame[1])  # type: ignore[index, arg-type]
    )


def test_frames_come_packed_where_both_can(server: Server) -> None:
    said = ["FROM", STREAM, "8", f"{8 * 16:016x}", "FORMAT", "3"]
    answer = server.ask("CFG.FEED", *said, "COMPRESS", "zstd")
    assert answer[0] == b"greeting"  # type: ignore[index]
    server.loop.pass_time(0)
    unpacker = Unpacker()
    both = request(b"change", entry_of(9)) + request(b"change", entry_of(10))
    assert unpacked(server, unpacker) == both
    server.reader.entries[11] = entry_of(11)
    server.publish(11)
    assert unpacked(server, unpacker) == request(b"change", entry_of(11))
    server.loop.pass_time(ALIVE_MS)
    _, alive = server.frames()
    assert alive[:2] == [b"alive", b"11"], "as it is"  # type: ignore[index]
    with pytest.raises(AssertionError, match="compresses with zstd alone"):
        assert not server.ask("CFG.FEED", *said, "COMPRESS", "lz4")


def test_a_large_change_is_packed_over_several_turns(server: Server) -> None:
    answer = server.ask(
        *("CFG.FEED", "FROM", STREAM, "10", f"{server.reader.mark:016x}", "FORMAT", "3"),
        *("COMPRESS", "zstd"),
    )
    assert answer[0] == b"greeting"  # type: ignore[index]
    server.reader.entries[11] = entry_of(11, size=5 * SLICE_BYTES)
    server.publish(11)
    unpacker = Unpacker()
    slices: list[bytes] = []
    while sum(map(len, slices)) < 5 * SLICE_BYTES:
        for frame in server.frames():
            slices.append(b"".join(unpacker.unpack(frame[1])))  # type: ignore[index, arg-type]
        server.loop.pass_time(0)
    assert b"".join(slices) == request(b"change", entry_of(11, size=5 * SLICE_BYTES))
    assert max(map(len, slices)) == SLICE_BYTES


def test_a_turn_that_is_over_ends_after_a_slice_of_each_kind(server: Server) -> None:
    """Who follows goes first, and no kind is left without."""
    for dbid in range(101, 141):
        server.reader.put("CfgPerson", dbid, text="x" * 100_000)
    loading, following = range(2, 6), range(6, 10)
    for conn in following:
        server.connect(conn)
        server.ask(
            "CFG.FEED", "FROM", STREAM, "10", f"{server.reader.mark:016x}", "FORMAT", "3", conn=conn
        )
    for conn in loading:
        server.connect(conn)
        ask_part(server, conn)
    server.loop.turn()
    sent_to(server, range(2, 10))
    server.loop.turn_over = True
    server.reader.entries[11] = entry_of(11)
    server.publish(11)
    assert sum(size > 0 for size in sent_to(server, following).values()) == 1
    assert not any(sent_to(server, loading).values())
    server.loop.turn()
    assert sum(size > 0 for size in sent_to(server, following).values()) == 1
    assert sum(size > 0 for size in sent_to(server, loading).values()) == 1
    server.loop.turn_over = False
    server.loop.turn()
    assert sum(size > 0 for size in sent_to(server, following).values()) == 2


@pytest.mark.parametrize(("mark", "goes_on"), [(0x77, True), (0x78, False)])
def test_a_server_goes_on_from_the_state_that_it_has_loaded(
    server: Server, mark: int, goes_on: bool
) -> None:
    """Its log begins behind that: of the state itself it has no entry."""
    server.reader.entries = {10: entry_of(10)}
    server.reader.followed = {10: 0x77}
    greeting = greet(server, STREAM, "9", f"{mark:016x}")
    assert (greeting["mode"] == "continue") is goes_on
