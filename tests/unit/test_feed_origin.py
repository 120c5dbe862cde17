"""Plays a proxy's feed against a master: load, follow, resume, other histories, a full store."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from csp.errors import MasterDown
from csp.feed.following import FULL_RELOAD_MS
from csp.feed.origin import STEADY_MS
from csp.feed.phase import Phase
from csp.model.feed import CHAIN_MAX
from csp.model.packing import Packer
from csp.observe.clock import wall_ms
from csp.resp import request
from csp.store.alarms import ALARM_REFUSED
from csp.store.control import LINK_DOWN, LINK_STALE, LINK_UP
from tests.unit.feed_stage import History, Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    playing = Stage()
    yield playing
    playing.close()


def following(stage: Stage) -> None:
    """Brings a stage to a proxy that resumed at the history's revision."""
    stage.resume_from(stage.history, stage.history.revision)
    stage.start()
    stage.play(lambda: stage.master.feeds(), "a feed is asked for")
    stage.master.greet(stage.master.feeds()[0], snapshot=False)
    stage.play(lambda: stage.origin.phase is Phase.FOLLOWING, "following")


def load(stage: Stage) -> None:
    """Answers the next feed with a snapshot of one part."""
    before = len(stage.host.calls)
    stage.play(lambda: stage.master.feeds() and b"PART" in stage.master.feeds()[-1].feed, "a part")
    stage.master.greet(stage.master.feeds()[-1], snapshot=True)
    stage.master.send_part(stage.master.feeds()[-1], 0)
    stage.play(lambda: f"end {stage.history.revision}" in stage.host.calls[before:], "loaded")


def test_signs_in_registers_then_asks_for_the_feed(stage: Stage) -> None:
    stage.start()
    stage.play(lambda: stage.master.feeds())
    session, feed = stage.master.guests
    assert session.commands[0] == [b"PING"]  # answered by a master that has much to verify, too
    assert session.commands[1][:5] == [b"HELLO", b"2", b"AUTH", b"default", b"secret"]
    assert session.commands[2][:3] == [b"CFG.REGISTER", b"proxy1", b"INSTANCE"]
    assert session.commands[2][-3:] == [b"KEEPALIVE", b"10000", b"10000"]
    assert feed.commands[2] == session.commands[2]
    part = [b"PART", b"0", b"OF", b"1"]
    assert feed.feed == [b"CFG.FEED", b"FROM", b"-", b"0", b"-", *part, b"FORMAT", b"3"]


def test_an_empty_store_loads_then_follows(stage: Stage) -> None:
    stage.start()
    load(stage)
    assert stage.host.calls == ["begin", "end 10"]
    stage.history.change(2)
    stage.master.send_changes(stage.master.feeds()[0], 10)
    stage.play(lambda: stage.host.published == 12)
    assert stage.host.links[-1] == (LINK_UP, 12, 1_000)


def test_parts_load_side_by_side_and_the_earliest_goes_on() -> None:
    stage = Stage(parts=3)
    stage.start()
    stage.play(lambda: len(stage.master.feeds()) == 3)
    feeds = {int(guest.feed[6]): guest for guest in stage.master.feeds()}
    for index in (1, 0, 2):  # part 1 begins at 10, part 0 at 11, part 2 at 12
        stage.master.greet(feeds[index], snapshot=True)
        stage.history.change()
    stage.master.send_part(feeds[1], 1, [b"x" * 64])
    stage.master.send_changes(feeds[1], 10)  # it may send them as soon as its part is complete
    stage.play(lambda: "load 64" in stage.host.calls)
    stage.history.change()
    stage.master.send_part(feeds[2], 2, [b"y" * 128])
    stage.play(lambda: "load 128" in stage.host.calls)
    assert not any(call.startswith("entry") for call in stage.host.calls)
    stage.master.send_part(feeds[0], 0)
    stage.play(lambda: "entry 13" in stage.host.calls)
    assert not stage.host.loaded
    stage.history.change()
    stage.master.send_changes(feeds[1], 13)
    stage.play(lambda: stage.host.published == 15)
    assert stage.host.calls[-6:-2] == ["entry 11", "entry 12", "entry 13", "entry 14"]
    assert stage.host.calls[-2:] == ["end 14", "apply 15"]
    assert stage.master.feeds() == [feeds[1]]
    stage.close()


@pytest.mark.parametrize(
    ("wrong_at", "says"),
    [
        # Where a part begins and another ends, and at the end of all, after the changes between.
        (10, "parts of the snapshot have different marks at revision 10"),
        (11, "the snapshot's mark at revision 11 is another"),
    ],
)
def test_a_snapshot_that_does_not_end_in_its_own_history_is_refused(
    wrong_at: int, says: str
) -> None:
    stage = Stage(parts=2)
    stage.start()
    stage.play(lambda: len(stage.master.feeds()) == 2)
    feeds = {int(guest.feed[6]): guest for guest in stage.master.feeds()}
    for index in (0, 1):
        stage.master.greet(feeds[index], snapshot=True)
    if wrong_at > stage.history.revision:
        stage.history.change()
    mark = stage.history.marks[wrong_at]
    stage.history.marks[wrong_at] = 4711
    stage.master.send_part(feeds[0], 0)
    stage.master.send_part(feeds[1], 1)
    stage.history.marks[wrong_at] = mark
    stage.master.send_changes(feeds[0], 10)
    stage.play(lambda: stage.origin.phase is Phase.AWAY)
    assert says in stage.origin.why_away
    assert not stage.host.loaded
    assert stage.host.calls[-1] == "abort"
    stage.close()


def test_a_resumed_store_continues(stage: Stage) -> None:
    following(stage)
    words = stage.master.feeds()[0].feed
    assert words == [b"CFG.FEED", b"FROM", b"53" * 16, b"10", b"0000000000000001", b"FORMAT", b"3"]
    stage.history.change()
    stage.master.send_changes(stage.master.feeds()[0], 10)
    stage.play(lambda: stage.host.published == 11)
    assert stage.host.calls == ["apply 11"]


def test_a_broken_link_reconnects_at_once_and_continues(stage: Stage) -> None:
    following(stage)
    stage.history.change()
    for guest in list(stage.master.guests):
        guest.socket.close()
        stage.master.guests.remove(guest)
    stage.play(lambda: stage.host.links[-1][0] == LINK_DOWN)
    stage.play(lambda: stage.master.feeds())
    stage.master.greet(stage.master.feeds()[0], snapshot=False)
    stage.master.send_changes(stage.master.feeds()[0], 10)
    stage.play(lambda: stage.host.published == 11)


def test_a_restored_database_loads_a_new_generation_while_the_first_serves(stage: Stage) -> None:
    older = History(mark=1)
    older.change(5)
    stage.resume_from(older, 15)
    restored = stage.history  # the same stream, back at revision 10, then written past 15 otherwise
    restored.change(8, time_ms=5_000)
    stage.start()
    stage.play(lambda: stage.master.feeds())
    stage.master.greet(stage.master.feeds()[0], snapshot=True)
    load(stage)
    assert stage.host.published == 18
    assert stage.host.mark == restored.marks[18]


def test_a_change_of_another_history_is_never_applied(stage: Stage) -> None:
    following(stage)
    other = History(mark=99)
    other.change()
    stage.master.feeds()[0].send("change", other.entries[11])
    stage.history.change()
    load(stage)
    assert "apply 11" not in stage.host.calls
    assert stage.host.mark == stage.history.marks[11]


def test_a_missing_change_loads_anew(stage: Stage) -> None:
    following(stage)
    stage.history.change(2)
    stage.master.send_changes(stage.master.feeds()[0], 11)
    load(stage)
    assert stage.host.calls == ["begin", "end 12"]


def test_alive_with_another_mark_loads_anew(stage: Stage) -> None:
    following(stage)
    stage.master.feeds()[0].send("alive", 10, f"{5:016x}", 2_000)
    load(stage)


def test_alive_shows_the_age_of_the_root(stage: Stage) -> None:
    following(stage)
    stage.master.send_alive(stage.master.feeds()[0], time_ms=7_000)
    stage.play(lambda: stage.host.links[-1] == (LINK_UP, 10, 7_000))


def test_a_refused_application_says_why_and_tries_again(stage: Stage) -> None:
    stage.master.register_reply = b"-BUSY application proxy1 is connected already: host x\r\n"
    stage.start()
    stage.play(lambda: stage.origin.phase is Phase.AWAY)
    assert "connected already" in stage.origin.why_away
    stage.master.register_reply = b"*0\r\n"
    stage.now_ms += 10_000
    stage.play(lambda: stage.master.feeds())


def test_a_master_that_is_not_there_is_tried_with_growing_delays(stage: Stage) -> None:
    stage.master.close()
    stage.start()
    times = []
    while len(times) < 4:
        stage.play(lambda: stage.origin.phase is Phase.AWAY)
        times.append(stage.now_ms)
        stage.now_ms = stage.origin._try_ms
        stage.turn()
    assert [after - before for before, after in pairwise(times)] == [0, 200, 400]


def test_an_older_format_is_refused(stage: Stage) -> None:
    stage.master.greeting = {"format": 0}
    stage.start()
    stage.play(lambda: stage.master.feeds())
    stage.master.greet(stage.master.feeds()[0], snapshot=True)
    stage.play(lambda: stage.origin.phase is Phase.AWAY)
    assert "update the master" in stage.origin.why_away
    assert stage.host.calls == []


def test_a_load_that_breaks_off_is_given_up_and_begun_again(stage: Stage) -> None:
    stage.start()
    stage.play(lambda: stage.master.feeds())
    stage.master.greet(stage.master.feeds()[0], snapshot=True)
    stage.play(lambda: stage.host.calls == ["begin"])
    stage.master.feeds()[0].send("bye", "stops")
    stage.play(lambda: stage.host.calls == ["begin", "abort"])
    assert "stops" in stage.origin.why_away
    stage.play(lambda: not stage.master.feeds(), "the old links are gone")
    stage.now_ms += 1_000
    load(stage)


def test_a_full_store_holds_changes_back_and_catches_up_by_itself(stage: Stage) -> None:
    following(stage)
    stage.host.full_at = 11
    stage.history.change(3)
    stage.master.send_changes(stage.master.feeds()[0], 10)
    stage.play(lambda: stage.host.links[-1][1] == 13)
    assert stage.host.published == 10
    stage.host.full_at = 0
    stage.now_ms += 1_000
    stage.play(lambda: stage.host.published == 13)
    assert stage.host.links[-1] == (LINK_UP, 13, 1_000)


def test_a_store_that_stays_full_tries_the_present_content(stage: Stage) -> None:
    following(stage)
    stage.host.full_at = 11
    stage.history.change(3)
    stage.master.send_changes(stage.master.feeds()[0], 10)
    stage.play(lambda: stage.host.links[-1][1] == 13)
    for _ in range(FULL_RELOAD_MS // 1_000 + 2):
        stage.now_ms += 1_000
        stage.master.send_alive(stage.master.feeds()[0])
        stage.turn()
        if stage.origin.phase is not Phase.FOLLOWING:
            break
    load(stage)
    assert stage.host.published == 13


def test_what_is_known_of_the_root_comes_through_a_proxy_above(stage: Stage) -> None:
    following(stage)
    feed = stage.master.feeds()[0]
    feed.send("+root", 25, "there")
    stage.master.send_alive(feed)
    stage.play(lambda: stage.host.links[-1] == (LINK_UP, 25, 2_000), "the root's revision")
    feed.send("+root", 25, "away")
    stage.master.send_alive(feed)
    stage.play(lambda: stage.host.links[-1][0] == LINK_STALE, "the root is away")
    stage.history.change()
    stage.master.send_changes(feed, 10)  # what the proxy above still had
    stage.play(lambda: stage.host.published == 11, "the change")
    assert stage.host.links[-1][0] == LINK_STALE
    feed.send("+root", 26, "there")
    stage.master.send_alive(feed)
    stage.play(lambda: stage.host.links[-1][:2] == (LINK_UP, 26), "the root is back")
    feed.send("+root", 26, "nonsense")
    stage.play(lambda: stage.origin.phase is Phase.AWAY, "the link is left")


def test_a_circle_that_arises_while_it_follows_is_left(stage: Stage) -> None:
    following(stage)
    feed, own = stage.master.feeds()[0], stage.origin._own
    feed.send("+chain", "above", "root")
    stage.play(lambda: stage.origin.above() == ("above", "root"), "the chain")
    feed.send("+chain", "above", "between", own, "above")
    stage.play(lambda: stage.origin.phase is Phase.AWAY, "the link is left")
    assert f"circle of proxies: above follows between follows {own}" in stage.origin.why_away
    assert ALARM_REFUSED.name in stage.host.alarms
    assert stage.origin.above() == ()
    stage.play(lambda: not stage.master.feeds(), "the master sees it")
    stage.now_ms += 10_000
    stage.play(lambda: stage.master.feeds(), "it is tried again")
    stage.master.greet(stage.master.feeds()[0], snapshot=False)
    stage.play(lambda: stage.origin.phase is Phase.FOLLOWING, "following")
    assert ALARM_REFUSED.name in stage.host.alarms  # nobody has said yet that it is none any more
    stage.master.feeds()[0].send("+chain", "above", "root")
    stage.play(lambda: ALARM_REFUSED.name not in stage.host.alarms, "the alarm ends")


def test_a_circle_is_not_loaded_from(stage: Stage) -> None:
    stage.start()
    stage.play(lambda: stage.master.feeds(), "a part is asked for")
    feed = stage.master.feeds()[0]
    stage.master.greet(feed, snapshot=True)
    feed.send("+chain", "above", stage.origin._own)
    stage.play(lambda: stage.origin.phase is Phase.AWAY, "the link is left")
    assert stage.host.calls == ["begin", "abort"]


def test_a_chain_has_a_limit(stage: Stage) -> None:
    following(stage)
    feed = stage.master.feeds()[0]
    feed.send("+chain", *(f"server {number}" for number in range(CHAIN_MAX - 1)))
    stage.play(lambda: len(stage.origin.above()) == CHAIN_MAX - 1, "the longest chain")
    feed.send("+chain", *(f"server {number}" for number in range(CHAIN_MAX)))
    stage.play(lambda: stage.origin.phase is Phase.AWAY, "the link is left")
    assert f"more than {CHAIN_MAX} servers" in stage.origin.why_away


def test_a_silent_link_is_given_up(stage: Stage) -> None:
    following(stage)
    stage.now_ms += 10_500
    stage.play(lambda: "silent" in stage.origin.why_away)


def test_head_is_asked_of_the_master(stage: Stage) -> None:
    following(stage)
    stage.history.change()
    found: list[int | Exception] = []
    stage.origin.head().then(found.append)
    stage.play(lambda: found)
    assert found == [11]


def test_head_without_a_master_says_so_at_once(stage: Stage) -> None:
    stage.master.close()
    stage.start()
    stage.play(lambda: stage.origin.phase is Phase.AWAY)
    found: list[int | Exception] = []
    stage.origin.head().then(found.append)
    assert isinstance(found[0], MasterDown)
    assert "refused" in found[0].text


def test_a_question_under_way_hears_that_the_link_broke(stage: Stage) -> None:
    following(stage)
    found: list[int | Exception] = []
    stage.master.is_alive = False
    stage.origin.head().then(found.append)
    stage.origin.close()
    assert isinstance(found[0], MasterDown)


# ---- faults of a master


def test_a_fault_in_what_a_master_sends_ends_the_link_with_a_growing_delay(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    following(stage)

    def fault(frames: memoryview) -> tuple[int, bool]:
        if frames:
            raise OverflowError("int too big to convert")
        return 0, False

    monkeypatch.setattr(stage.host, "follow", fault)
    delays = []
    for _ in range(4):
        stage.now_ms += STEADY_MS + 1  # it served for a while each time
        stage.turn()
        stage.master.send_alive(stage.master.feeds()[-1])
        stage.play(lambda: stage.origin.phase is Phase.AWAY, "the link is left")
        assert "can't be taken: OverflowError" in stage.origin.why_away
        delays.append(stage.origin._try_ms - stage.now_ms)
        stage.play(lambda: not stage.master.feeds(), "the master sees it")
        stage.now_ms = stage.origin._try_ms
        stage.play(lambda: stage.master.feeds(), "a feed is asked for again")
        stage.master.greet(stage.master.feeds()[-1], snapshot=False)
        stage.play(lambda: stage.origin.phase is Phase.FOLLOWING, "following")
    assert delays == [1_000, 2_000, 4_000, 8_000]


@pytest.mark.parametrize(
    "words",
    [
        ("alive", 10**23, "0", 0),
        ("alive", 10, "f" * 17, 0),
        ("alive", 10, "1", 2**63),
        ("alive", 10, "1", -1),
        ("part", 0, 2**64, "1", 0),
        ("alive", "1_0", "1", 0, 0),
    ],
)
def test_numbers_out_of_range_are_refused_in_words(
    stage: Stage, words: tuple[str | int, ...]
) -> None:
    following(stage)
    stage.master.feeds()[0].send(*words)
    stage.play(lambda: stage.origin.phase is Phase.AWAY, "the link is left")
    assert "can't be taken" not in stage.origin.why_away  # it was seen before it was a fault
    assert stage.host.published == 10


def test_a_time_of_the_future_does_not_hide_a_master_that_is_silent(stage: Stage) -> None:
    following(stage)
    stage.master.send_alive(stage.master.feeds()[0], time_ms=2**62)
    stage.play(lambda: stage.host.links[-1][2] > 1_000, "it is heard")
    assert stage.host.links[-1][2] <= wall_ms()


def test_a_master_is_not_loaded_from_in_a_loop(stage: Stage) -> None:
    """As where this release can't apply a kind of change: each one means a load."""
    following(stage)
    delays = []
    for number in range(4):
        other = History(b"S" * 16, stage.history.revision, 99)
        other.change()
        loads = stage.host.calls.count("end 10")
        stage.master.feeds()[-1].send("change", other.entries[other.revision])
        if number:
            stage.play(lambda: stage.origin.phase is Phase.AWAY, "it waits")
            delays.append(stage.origin._try_ms - stage.now_ms)
            stage.now_ms = stage.origin._try_ms
        stage.play(lambda: stage.origin.phase is Phase.GREETING, "it loads")
        load(stage)
        stage.play(lambda: stage.origin.phase is Phase.FOLLOWING, "following")
        assert stage.host.calls.count("end 10") == loads + 1
        stage.now_ms += STEADY_MS + 1
        stage.turn()
    assert delays == [1_000, 2_000, 4_000]


def test_a_master_that_stops_while_it_is_loaded_from_is_no_refusal(stage: Stage) -> None:
    stage.start()
    stage.play(lambda: stage.master.feeds(), "a part is asked for")
    feed = stage.master.feeds()[0]
    stage.master.greet(feed, snapshot=True)
    feed.send("bye", "it stops")
    stage.play(lambda: "abort" in stage.host.calls, "the load is given up")
    assert stage.host.alarms == {} or not stage.host.alarms


def test_a_master_that_can_pack_is_asked_to_and_one_that_can_not_is_not(stage: Stage) -> None:
    stage.master.register_reply = b"*2\r\n$11\r\ncompression\r\n$4\r\nzstd\r\n"
    stage.start()
    stage.play(lambda: stage.master.feeds())
    feed = stage.master.feeds()[0]
    assert feed.feed[-4:] == [b"FORMAT", b"3", b"COMPRESS", b"zstd"]
    stage.master.greet(feed, snapshot=True)
    packer = Packer()
    stream = request("part", 0, 10, f"{stage.history.marks[10]:016x}", 1_000)
    stage.history.change(3)
    for revision in (11, 12, 13):
        stream += request("change", stage.history.entries[revision])
    for start in range(0, len(stream), 100):  # frames need not end where a slice does
        feed.send("packed", packer.pack(stream[start : start + 100]))
    stage.play(lambda: stage.host.published == 13, "all of it was taken")
    stage.master.send_alive(feed)
    stage.play(lambda: stage.host.links[-1] == (LINK_UP, 13, 2_000), "a frame as it is")


def test_packed_rubbish_ends_the_link_and_nothing_else(stage: Stage) -> None:
    stage.master.register_reply = b"*2\r\n$11\r\ncompression\r\n$4\r\nzstd\r\n"
    following(stage)
    stage.master.feeds()[0].send("packed", b"rubbish")
    stage.play(lambda: stage.origin.phase is Phase.AWAY, "the link is ended")
    assert "can't be unpacked" in stage.origin.why_away
