"""A connection against a model: pipelines, transactions, subscriptions, their bytes cut anywhere.

After each piece the replies to what is complete by then are awaited, so that the server really has
the rest of a command for itself, whatever the network does.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from csp.resp import Decoder, ErrorReply, request
from tests.effort import examples
from tests.neighbours.server import PASSWORD, Master
from tests.server.feed_helpers import create_skills

NAMES = ("one", "two", "three")
MISSING = ("CfgSkill:4294967295", "CfgNothing:1", "no key")
CHANNELS = ("cfg:CfgPlace", "other", "cfg@77")
NOT_QUEUED = ("MULTI", "EXEC", "DISCARD", "WATCH")  # they act at once inside MULTI
SUBSCRIBING = ("SUBSCRIBE", "UNSUBSCRIBE")
SECONDS_MAX = 10.0

Words = tuple[str, ...]
Data = dict[str, bytes]


@dataclass
class Model:
    """What a connection should answer; errors stand for all of their first word."""

    data: Data
    signed_in: bool = True
    proto: int = 2
    queue: list[Words] | None = None
    is_spoilt: bool = False  # a command of the transaction was refused
    channels: list[str] = field(default_factory=list)

    def take(self, words: Words) -> list[Any]:
        """The replies to one command."""
        verb = words[0]
        if verb == "RESET":
            return [self._reset()]
        if self._refuses(words):
            self.is_spoilt = self.is_spoilt or (self.queue is not None and verb not in NOT_QUEUED)
            if verb == "EXEC" and self.channels and self.proto == 2:
                return ["-EXECABORT"]  # as in Redis, whether there is a transaction or not
            return ["-ERR"]
        if not self.signed_in and verb not in ("PING", "AUTH"):
            return ["-NOAUTH"]
        if verb in NOT_QUEUED:
            return [self._transaction(verb)]
        if self.queue is not None:
            self.queue.append(words)
            return ["QUEUED"]
        if verb in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return self._subscription(verb, words[1:])
        return [self._plain(words)]

    def _refuses(self, words: Words) -> bool:
        """Unknown, too few arguments, or not where the connection stands."""
        verb = words[0]
        if verb in ("NOSUCH",) or (verb == "GET" and len(words) < 2):
            return True
        if not self.signed_in:
            return False
        if self.queue is not None:
            return verb in (*SUBSCRIBING, "HELLO", "AUTH", "MULTI", "WATCH")
        if self.channels and self.proto == 2:
            return verb not in (*SUBSCRIBING, "PING")
        return verb in ("EXEC", "DISCARD")

    def _reset(self) -> str:
        self.signed_in, self.proto, self.queue = False, 2, None
        self.channels.clear()
        return "RESET"

    def _transaction(self, verb: str) -> Any:
        if verb == "MULTI":
            self.queue, self.is_spoilt = [], False
        if verb in ("MULTI", "WATCH"):
            return "OK"
        queue, self.queue = self.queue or [], None
        if verb == "DISCARD":
            return "OK"
        return "-EXECABORT" if self.is_spoilt else [self._plain(one) for one in queue]

    def _subscription(self, verb: str, names: Words) -> list[Any]:
        if not names:  # from all of them, in an order that is the server's
            count = len(self.channels)
            self.channels.clear()
            return [[verb.lower(), ANY, left] for left in reversed(range(count))] or [
                [verb.lower(), None, 0]
            ]
        replies: list[Any] = []
        for name in names:
            if verb == "SUBSCRIBE" and name not in self.channels:
                self.channels.append(name)
            elif verb == "UNSUBSCRIBE" and name in self.channels:
                self.channels.remove(name)
            replies.append([verb.lower(), name, len(self.channels)])
        return replies

    def _plain(self, words: Words) -> Any:
        values = [self.data.get(key) for key in words[1:]]
        match words:
            case ("PING",):
                return ["pong", ""] if self.channels and self.proto == 2 else "PONG"
            case ("HELLO", proto):
                self.proto = int(proto)
                return "HELLO"
            case ("UNWATCH",):
                return "OK"
            case ("AUTH", _):
                self.signed_in = True
                return "OK"
            case ("ECHO", text):
                return text
            case ("GET", _):
                return values[0]
            case ("MGET", *_):
                return values
            case ("EXISTS", *_):
                return sum(value is not None for value in values)
            case ("STRLEN", _):
                return len(values[0] or b"")
            case ("TYPE", _):
                return "none" if values[0] is None else "string"
        raise AssertionError(words)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Master, Data]]:
    """A master, and what it has under each key that is asked for."""
    with Master(tmp_path_factory.mktemp("connection")).start() as master:
        keys = [f"CfgSkill:{dbid}" for dbid in create_skills(master, list(NAMES))]
        with master.client(decode_responses=False) as client:
            yield master, {key: client.get(key) for key in keys}


def commands(keys: list[str]) -> st.SearchStrategy[Words]:
    key = st.sampled_from([*keys, *MISSING])
    channel = st.sampled_from(CHANNELS)

    def several(verb: str, one: st.SearchStrategy[str], least: int = 1) -> st.SearchStrategy[Words]:
        return st.lists(one, min_size=least, max_size=3, unique=True).map(lambda m: (verb, *m))

    single = st.sampled_from(
        [
            (one,)
            for one in ("PING", "EXEC", "MULTI", "DISCARD", "UNWATCH", "NOSUCH", "RESET", "GET")
        ]
    )
    return st.one_of(
        single,
        single,
        st.tuples(st.sampled_from(["GET", "STRLEN", "TYPE", "WATCH"]), key),
        several("MGET", key),
        several("EXISTS", key),
        several("SUBSCRIBE", channel),
        several("UNSUBSCRIBE", channel, 0),
        st.tuples(st.just("ECHO"), st.text("ab\r\n$*3", max_size=8)),
        st.sampled_from([("HELLO", "2"), ("HELLO", "3"), ("AUTH", PASSWORD)]),
    )


@examples(30, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_a_connection_answers(served: tuple[Master, Data], data: st.DataObject) -> None:
    master, held = served
    made = data.draw(st.lists(commands(sorted(held)), min_size=1, max_size=14))
    model = Model(held)
    stream, expected, ends = b"", [], []
    for words in made:
        stream += request(*words)
        expected += model.take(words)
        ends.append((len(stream), len(expected)))
    cuts = data.draw(st.lists(st.integers(1, max(1, len(stream) - 1)), max_size=6, unique=True))
    with socket.create_connection(("127.0.0.1", master.port), timeout=SECONDS_MAX) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found = Replies(peer)
        peer.sendall(request("AUTH", PASSWORD))
        assert found.until(1) == ["OK"]
        at = 0
        for cut in [*sorted(cuts), len(stream)]:
            peer.sendall(stream[at:cut])
            at = cut
            complete = max((count for end, count in ends if end <= cut), default=0)
            found.until(1 + complete)
        assert found.until(1 + len(expected))[1:] == expected, made


class Replies:
    """What came so far, as the model writes it."""

    def __init__(self, peer: socket.socket) -> None:
        self.peer = peer
        self.decoder = Decoder()
        self.values: list[Any] = []

    def until(self, count: int) -> list[Any]:
        """All replies when there are so many, never more."""
        while len(self.values) < count:
            received = self.peer.recv(1 << 16)
            assert received, f"closed after {self.values}"
            self.decoder.feed(received)
            self.values += [_levelled(value) for value in self.decoder]
        assert len(self.values) == count
        return self.values


def _levelled(value: Any) -> Any:
    """Errors by their word, HELLO's map by its name, texts that are no object as text."""
    if isinstance(value, ErrorReply):
        return f"-{value.word}"
    if isinstance(value, list):
        greets = len(value) == 14 and value[0] == b"server"
        return "HELLO" if greets else [_levelled(one) for one in value]
    if isinstance(value, dict):
        return "HELLO"
    if isinstance(value, bytes) and not value.startswith(b"{"):
        return value.decode()
    return str(value) if isinstance(value, str) else value
