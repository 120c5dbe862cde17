"""Random sequences of pub/sub, MULTI and CLIENT commands: bytes of csp and redis-server compared.

Where the two differ on purpose, `DIFFERENCES` says so; behind such a place their states may
differ too, so the comparison of a sequence ends there.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from csp.resp import request
from tests.effort import examples
from tests.neighbours.redis_server import RedisServer
from tests.neighbours.server import PASSWORD, Master

pytestmark = pytest.mark.needs("redis-server")


@dataclass(frozen=True)
class Difference:
    """What redis-server 7.0 answers, what csp answers instead, why, and where it is seen."""

    redis: str
    csp: str
    reason: str
    example: tuple[str, ...]

    def explains(self, redis: bytes, csp: bytes) -> bool:
        return bool(
            re.fullmatch(self.redis.encode(), redis, re.DOTALL)
            and re.fullmatch(self.csp.encode(), csp, re.DOTALL)
        )


NOT_HERE = r"-ERR Can't execute '{}': only \(P\|S\)SUBSCRIBE / .* are allowed in this context\r\n"
DIFFERENCES = (
    Difference(
        r"\+QUEUED\r\n",
        r"-ERR Command not allowed inside a transaction\r\n",
        "what signs in or subscribes is no part of a transaction: its replies are of one revision",
        ("MULTI", "SUBSCRIBE a"),
    ),
    Difference(
        r"-NOAUTH HELLO must be called .* HELLO AUTH <user> <pass> option .*\r\n",
        r"-NOAUTH HELLO must be called .* HELLO <proto> AUTH <user> <pass> option .*\r\n",
        "the words of Redis 7.4",
        ("RESET", "HELLO 2"),
    ),
    Difference(
        r"-NOAUTH Authentication required\.\r\n",
        r"\+PONG\r\n|\$1\r\nx\r\n|-ERR wrong number of arguments for 'ping' command\r\n",
        "PING is answered before sign-in, for load balancers",
        ("RESET", "PING"),
    ),
    Difference(
        r"-EXECABORT Transaction discarded because of: NOAUTH Authentication required\.\r\n",
        r"-NOAUTH Authentication required\.\r\n",
        "a word that tells what to do stays the first of its text",
        ("RESET", "EXEC"),
    ),
    Difference(
        NOT_HERE.format(r"client\|[a-z-]+"),
        NOT_HERE.format("client"),
        "the loop refuses by the command's name alone, before it looks at subcommands",
        ("HELLO 2", "SUBSCRIBE a", "CLIENT GETNAME"),
    ),
    Difference(
        r"-ERR (client-id should be greater than 0|Unknown client type .*)\r\n",
        r"-ERR syntax error\r\n",
        "of two mistakes the other is named: an odd number of words is seen first",
        ("CLIENT KILL ID x TYPE",),
    ),
)

NAMES = ("a", "b", "cfg", "cfg:x", "", "a b")
PATTERNS = ("a", "*", "a*", "[ab]", "\\*", "cfg:*")
SIGN_IN = ["AUTH", "default", PASSWORD]
KEYS = ("a", "CfgPerson:99999999", "x y")


TRACKING = (
    *("ON", "OFF", "BCAST", "PREFIX", "a", "ab", "b", "OPTIN", "OPTOUT", "NOLOOP", "REDIRECT"),
    *("99999999", "0", "-1", "x"),
)


def skill(name: str) -> str:
    return json.dumps({"tenantDBID": 1, "name": name})


def one_of(*verbs: str, of: tuple[str, ...] = (), least: int = 0) -> st.SearchStrategy[list[str]]:
    """A command with some of these words behind it."""
    words = st.lists(st.sampled_from(of), min_size=least, max_size=3) if of else st.just([])
    return st.builds(lambda verb, rest: [*verb.split(), *rest], st.sampled_from(verbs), words)


PUBSUB = st.one_of(
    one_of("SUBSCRIBE", "subscribe", of=NAMES, least=1),
    one_of("UNSUBSCRIBE", of=NAMES),
    one_of("PSUBSCRIBE", of=PATTERNS, least=1),
    one_of("PUNSUBSCRIBE", of=PATTERNS),
    one_of("SUBSCRIBE", "PSUBSCRIBE", "PING", "PING x", "PING x y", "GET a", "ECHO a", "NONSENSE"),
    one_of("RESET", "HELLO 2", "HELLO 3", "HELLO 4"),
    st.just(SIGN_IN),
)
MULTI = st.one_of(
    one_of("MULTI", "MULTI", "MULTI", "EXEC", "EXEC", "EXEC", "DISCARD", "MULTI x", "EXEC x"),
    one_of("WATCH", "MGET", "EXISTS", "UNWATCH", of=KEYS),
    one_of("GET", "TYPE", "STRLEN", of=KEYS),
    one_of("PING", "PING x", "ECHO", "ECHO a", "NONSENSE", "NONSENSE a b", "SELECT 0", "SELECT x"),
    one_of("CLIENT GETNAME", "CLIENT SETNAME a", "CLIENT NONSENSE", "RESET"),
)
CLIENT = st.one_of(
    one_of("CLIENT", "CLIENT GETNAME", "CLIENT SETNAME", of=("a", "b", "", "a b", "\n")),
    one_of("CLIENT NO-EVICT", of=("on", "off", "x")),
    one_of("CLIENT REPLY", of=("on", "x")),
    one_of("CLIENT KILL", of=("ID", "0", "TYPE", "normal", "x", "SKIPME", "ADDR", "1.2.3.4:5")),
    one_of("CLIENT UNPAUSE", "CLIENT GETREDIR", "CLIENT TRACKINGINFO", "CLIENT LIST TYPE x"),
    one_of("CLIENT LIST ID", of=("x", "0")),
    one_of("CLIENT TRACKING ON", "CLIENT TRACKING", of=TRACKING),
    one_of("CLIENT TRACKING ON BCAST PREFIX a", "CLIENT TRACKING ON OPTIN", "CLIENT TRACKING OFF"),
    one_of("CLIENT CACHING", of=("YES", "NO", "x"), least=1),
    one_of("HELLO", of=("2", "3", "SETNAME", "a", "AUTH", "default", "x")),
    one_of("RESET", "AUTH x y", "PING"),
    st.just(SIGN_IN),
)
SEQUENCES = st.lists(PUBSUB | MULTI, max_size=12) | st.lists(CLIENT | MULTI, max_size=12)


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), password=PASSWORD) as server:
        yield server


class Wire:
    """One connection on which all commands are sent at once, and what comes in frames."""

    def __init__(self, port: int, commands: list[list[str]]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.sendall(b"".join(request(*words) for words in commands))
        self.data = b""

    def frames(self, most: int = 1 << 30) -> list[bytes]:
        """So many frames, or all until the connection ends."""
        found: list[bytes] = []
        at = 0
        while len(found) < most:
            try:
                end = frame_end(self.data, at)
            except (IndexError, ValueError):
                end = len(self.data) + 1
            if end <= len(self.data):
                found.append(self.data[at:end])
                at = end
            elif piece := self.socket.recv(65536):
                self.data += piece
            else:
                assert at == len(self.data), self.data[at:]
                break
        return found


def answers(port: int, commands: list[list[str]]) -> list[bytes]:
    """All that comes for these commands until the connection ends."""
    wire = Wire(port, [*commands, ["QUIT"]])
    try:
        return in_order([shown_of_hello(one) for one in wire.frames()])
    finally:
        wire.socket.close()


def shown_of_hello(frame: bytes) -> bytes:
    """The reply to HELLO without version, id and modules, which are each server's own."""
    if b"$6\r\nserver\r\n$5\r\nredis\r\n" not in frame:
        return frame
    return frame.split(b"\r\n", 1)[0] + frame[frame.index(b"$5\r\nproto") :].split(b"$2\r\nid")[0]


def frame_end(data: bytes, at: int) -> int:
    """Where the RESP value ends that begins at `at`."""
    line = data.index(b"\r\n", at)
    end = line + 2
    kind, text = data[at : at + 1], data[at + 1 : line]
    if kind in b"$=!" and text != b"-1":
        return end + int(text) + 2
    if kind in b"*>~%" and text != b"-1":
        for _ in range(int(text) * (2 if kind == b"%" else 1)):
            end = frame_end(data, end)
    return end


UNSUBSCRIBED = re.compile(rb"[*>]3\r\n\$1?\d\r\np?unsubscribe\r\n(.*)(:\d+\r\n)", re.DOTALL)


def in_order(frames: list[bytes]) -> list[bytes]:
    """Sorts the names of neighbouring confirmations: UNSUBSCRIBE of all has no order in Redis."""
    frames = list(frames)
    first = 0
    while first < len(frames):
        last = first
        while last < len(frames) and UNSUBSCRIBED.fullmatch(frames[last]):
            last += 1
        named = [UNSUBSCRIBED.fullmatch(one) for one in frames[first:last]]
        names = sorted(one[1] for one in named if one)
        for at, (one, name) in enumerate(zip(named, names, strict=True), first):
            assert one
            head = frames[at][: one.start(1)]
            frames[at] = head + name + one[2]
        first = last + 1
    return frames


def both(
    redis_server: RedisServer, master: Master, commands: list[list[str]]
) -> tuple[list[bytes], list[bytes]]:
    """The answers of both behind the sign-in; redis-server is asked until it ends well."""
    asked = [SIGN_IN, *commands]
    expected: list[bytes] = []
    for _ in range(5):  # one connection in some thousands it cuts off before it answers
        expected = expected or answers(redis_server.port, asked)
    return expected[1:], answers(master.port, asked)[1:]


@pytest.mark.parametrize("one", DIFFERENCES, ids=lambda one: one.reason)
def test_what_differs_on_purpose(
    master: Master, redis_server: RedisServer, one: Difference
) -> None:
    redis, csp = both(redis_server, master, [line.split() for line in one.example])
    assert redis[:-2] == csp[:-2]
    assert one.explains(redis[-2], csp[-2])


@examples(150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(proto=st.sampled_from(["2", "3"]), commands=SEQUENCES)
def test_the_same_bytes(
    master: Master, redis_server: RedisServer, proto: str, commands: list[list[str]]
) -> None:
    redis, csp = both(redis_server, master, [["HELLO", proto], *commands])
    for expected, found in zip(redis, csp, strict=False):
        if expected != found:
            assert any(one.explains(expected, found) for one in DIFFERENCES), (expected, found)
            return
    assert redis == csp


@pytest.mark.parametrize("proto", ["2", "3"])
def test_a_change_comes_as_a_published_message_does(
    master: Master, redis_server: RedisServer, new_name: Callable[[], str], proto: str
) -> None:
    """One payload on one channel, to a channel and to patterns: the same bytes, in any order."""
    with master.client() as client:
        revision, dbid = client.execute_command("CFG.CREATE", "CfgSkill", skill(new_name()))
        channel = f"cfg:CfgSkill:{dbid}"
        subscribed = [
            *(["SUBSCRIBE", channel, "other"], ["PSUBSCRIBE", f"*:{dbid}", f"cfg:*Skill:{dbid}"]),
            ["PSUBSCRIBE", "cfg:CfgSkill:*"],
        ]
        begin = [SIGN_IN, ["HELLO", proto], *subscribed]
        wires = [Wire(master.port, begin), Wire(redis_server.port, begin)]
        client.execute_command("CFG.DELETE", "CfgSkill", dbid, "IF", revision)
    told = wires[0].frames(2 + 5 + 4)
    payload = told[-1].rsplit(b"\r\n", 2)[1]
    with redis_server.client() as publisher:
        publisher.publish(channel, payload)
    assert sorted(told[7:]) == sorted(wires[1].frames(2 + 5 + 4)[7:])
    assert told[7:] == [one for one in told[7:] if channel.encode() in one]
    for wire in wires:
        wire.socket.close()
