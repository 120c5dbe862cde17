"""Whatever a master sends, a proxy's writer lives, keeps what it serves, and says what is wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.feed.phase import Phase
from csp.model.feed import ALIVE, BYE, CHANGE, GREETING, PART, RECORDS
from csp.resp import request
from csp.store.host import StoreHost
from tests.effort import examples
from tests.neighbours import instances
from tests.unit.feed_stage import History, Stage
from tests.unit.test_store_host import SKILL, STREAM, load, open_host, rename

REVISION, MARK = 5, 77
TURNS = 12

NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**23, 10**400, -1, 0, REVISION]),
)
TEXTS = st.one_of(
    NUMBERS.map(str),
    st.integers(0, 2**70).map(lambda number: f"{number:x}"),
    st.text(max_size=20),
    st.sampled_from(["", "1_0", " 7", "+5", "0x4d", "004d", "[" * 3000, '{"a":' * 2000, "\u0665"]),
)
WORDS = st.one_of(st.binary(max_size=200), TEXTS.map(lambda text: text.encode()))
KINDS = st.one_of(
    st.sampled_from([GREETING, RECORDS, PART, CHANGE, ALIVE, BYE, b"+later", b""]),
    st.binary(max_size=8),
)
JSONS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
FIELDS = ("release", "format", "stream", "revision", "mark", "mode", "table", "classes")
GREETINGS = st.dictionaries(st.sampled_from(FIELDS), st.one_of(JSONS, NUMBERS), max_size=4)
VALUES = st.one_of(
    st.builds(lambda kind, words: request(kind, *words), KINDS, st.lists(WORDS, max_size=5)),
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"-ERR no\r\n",
            b":7\r\n",
            b"*-1\r\n",
            b"*1\r\n" * 200,
            b"$99999999999\r\n",
            b"*0\r\n",
            request(GREETING, b"[" * 50_000),
            request(GREETING, b'{"a":' * 50_000),
        ]
    ),
)


@pytest.fixture(scope="module")
def host() -> Iterator[StoreHost]:
    """A real store, whose control segment has the ranges that it has."""
    with instances.made("hostile-feed") as name:
        made = open_host(name)
        load(made, range(101, 111), REVISION, MARK)
        made.apply(rename(101, "kept", REVISION + 1, MARK))
        yield made
        made.close()


def asked(host: StoreHost) -> tuple[Stage, Any]:
    """A proxy with that store, and its connection that has asked for the feed."""
    FAULTS.texts.clear()  # other tests of this process may want some
    stage = Stage(History(STREAM, host.published, host.mark))
    stage.host = host  # type: ignore[assignment]
    stage.start()
    stage.play(lambda: stage.master.feeds(), "a feed is asked for")
    return stage, stage.master.feeds()[0]


class Faults(logging.Handler):
    """What was contained at the last moment: each is a check that is missing before."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.texts.append(repr(record.exc_info[1]))


FAULTS = Faults()
logging.getLogger("csp.feed").addHandler(FAULTS)


def play(stage: Stage, guest: Any, sent: list[bytes]) -> None:
    """Sends it, and turns until it was taken or the link was left."""
    before = stage.host.published, stage.host.mark
    try:
        guest.socket.sendall(b"".join(sent))
        for _ in range(TURNS):
            if stage.origin.phase is Phase.AWAY:
                break
            stage.turn()
        stage.now_ms += 1_000
        stage.turn()
    finally:
        stage.close()
    assert not FAULTS.texts, FAULTS.texts.pop()
    assert (stage.host.published, stage.host.mark) == before
    assert b'"kept"' in (host_image(stage) or b"")
    state, revision, heard_ms = stage.host.control.link()  # type: ignore[attr-defined]
    assert state in (1, 2)
    assert 0 <= revision < 2**64
    assert heard_ms >= 0


def host_image(stage: Stage) -> bytes | None:
    return stage.host.image(SKILL.id, 101)


@examples(60)
@given(changes=GREETINGS)
def test_any_greeting(host: StoreHost, changes: dict[str, Any]) -> None:
    stage, guest = asked(host)
    said = {
        "release": "0.1.0", "format": 2, "stream": STREAM.hex(), "revision": host.published,
        "mark": f"{host.mark:016x}", "mode": "continue", "table": "0", "classes": [],
    }  # fmt: skip
    text = json.dumps(said | changes, default=str)
    play(stage, guest, [request(GREETING, text.encode("utf-8", "replace"))])


@examples(60)
@given(values=st.lists(VALUES, min_size=1, max_size=4))
def test_anything_instead_of_a_greeting(host: StoreHost, values: list[bytes]) -> None:
    stage, guest = asked(host)
    play(stage, guest, values)


@examples(100)
@given(values=st.lists(VALUES, min_size=1, max_size=6))
def test_anything_in_a_feed_that_goes_on(host: StoreHost, values: list[bytes]) -> None:
    stage, guest = asked(host)
    stage.master.greet(guest, snapshot=False)
    stage.play(lambda: stage.origin.phase is Phase.FOLLOWING, "following")
    play(stage, guest, values)


@examples(60)
@given(values=st.lists(VALUES, min_size=1, max_size=6))
def test_anything_in_a_load(host: StoreHost, values: list[bytes]) -> None:
    stage, _ = asked(host)
    stage.origin._load_anew("for the test")
    stage.play(lambda: any(b"PART" in one.feed for one in stage.master.feeds()), "a part")
    guest = stage.master.feeds()[-1]
    stage.master.greet(guest, snapshot=True)
    stage.play(lambda: stage.origin.phase is Phase.LOADING, "loading")
    play(stage, guest, values)
