"""Replies and error texts that csp shares with Redis, against the real redis-server.

The words of both servers' replies are compared; figures, ids and addresses are left out.
"""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Iterator

import pytest

from csp.resp import MORE, Decoder, Value, request
from tests.neighbours.redis_server import RedisServer
from tests.neighbours.server import PASSWORD, Master

pytestmark = pytest.mark.needs("redis-server")

EXCHANGES = {
    "echo": ["echo", "echo a b", "ECHO hi"],
    "ping": ["ping", "ping hi", "ping a b"],
    "select": ["select", "select 0", "select x", "select 1 2"],
    "unknown": ["foo", "foo a b c", "FOO " + "a" * 200 + " b", "foo '' \"a\\nb\"", "x" * 200],
    "subcommands": [
        "client",
        "client foo",
        "client foo bar",
        "client id x",
        "config",
        "config foo",
    ],
    "names": [
        *("client getname", "client setname", "client setname a", "client getname"),
        *("client setname 'a b'", 'client setname "a\\nb"', "client setname ''", "client getname"),
    ],
    "client": [
        *("client no-evict", "client no-evict on", "client no-evict maybe", "client reply on"),
        *("client reply x", "client unpause", "client getredir", "client trackinginfo"),
        *("client list type x", "client list type", "client list foo", "client list id"),
        *("client list id x", "client list id 99999", "client list type master"),
    ],
    "kill": [
        *("client kill", "client kill 1.2.3.4:5", "client kill id x", "client kill id 0"),
        *("client kill id 99999", "client kill type x", "client kill skipme maybe"),
        *("client kill foo bar", "client kill foo bar baz", "client kill user nobody"),
        *("client kill laddr 1.2.3.4:5", "client kill laddr 1.2.3.4:5 id 99999 skipme no"),
    ],
    "config": [
        *(
            "config get",
            "config get save",
            "config get SAVE",
            "config get appendonly",
            "config get zzz",
        ),
        *("config set zzz 1", "config set zzz", "config rewrite", "config resetstat"),
        "config resetstat x",
    ],
    "command": [
        *("command count x", "command foo", "command info nope", "command getkeys"),
        *("command getkeys get a", "command getkeys mget a b c", "command getkeys nope a"),
        *("command getkeys get a b", "command list filterby", "command list filterby foo bar"),
        *("command docs nope", "command getkeysandflags", "command getkeysandflags nope a"),
        *("command getkeysandflags get a", "command getkeysandflags mget a b"),
    ],
    "hello": [
        *("hello 4", "hello x", "hello 2 foo", "hello 2 auth", "hello 2 auth a"),
        *("hello 2 setname", "hello 2 setname 'a b'", "auth", "auth a b c"),
    ],
    "transactions": [
        *("multi x", "exec", "discard", "multi", "multi", "watch a", "exec"),
        *("multi", "foo", "exec", "multi", "echo", "echo 1", "exec", "multi", "discard"),
        *("multi", "exec", "multi", "unwatch", "echo 1", "exec", "watch", "watch a b", "unwatch"),
        *("unwatch x", "watch a", "multi", "get a", "ping", "exec"),
        *("multi", "client nope", "exec"),
    ],
    "keyspace": [
        *("get", "get a", "get a b", "mget", "mget a b", "exists", "exists a b", "type", "type a"),
        *(
            "strlen",
            "strlen a",
            "touch",
            "touch a b",
            "getrange a -9 -8",
            "dbsize x",
            "randomkey a",
            "keys",
            "keys a b",
        ),
    ],
    "scan": [
        *("scan", "scan x", "scan 0 match", "scan 0 count", "scan 0 count 0", "scan 0 count x"),
        *(
            "scan 0 count -1",
            "scan 0 foo bar",
            "scan 0 type hash",
            "scan 0 match nothing* count 99999",
        ),
    ],
    "subscribe": [
        *("subscribe", "psubscribe", "unsubscribe", "punsubscribe", "unsubscribe a"),
        *("subscribe cfg:x cfg:y", "subscribe cfg:x", "psubscribe cfg:*", "get a", "echo a"),
        *("ping", "ping hi", "unsubscribe cfg:x", "unsubscribe nothing", "unsubscribe"),
        *("punsubscribe cfg:*", "get a", "subscribe cfg:z", "reset"),
    ],
    "viewers": [
        *("slowlog", "slowlog reset", "slowlog get -2", "slowlog get x", "slowlog foo"),
        *("object", "object foo", "role x", "lastsave x", "acl foo", "acl getuser nobody"),
        *("pubsub", "pubsub foo", "pubsub shardchannels", "pubsub shardnumsub a b"),
        *("pubsub channels", "pubsub channels a b", "pubsub numsub", "pubsub numsub a b a"),
        *("pubsub numpat", "pubsub numpat x"),
    ],
    "other": ["time x", "readonly x", "cluster", "cluster nodes", "reset x", "quit"],
}
# Long lines of the subscriptions: one confirmation each.
CONFIRMATIONS = {"subscribe cfg:x cfg:y": 2}


class Wire:
    """One connection, RESP as it comes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.decoder = Decoder()

    def ask(self, words: list[str], replies: int = 1) -> list[Value]:
        self.socket.sendall(request(*words))
        return [self.read() for _ in range(replies)]

    def read(self) -> Value:
        while (value := self.decoder.next()) is MORE:
            data = self.socket.recv(65536)
            assert data, "closed"
            self.decoder.feed(data)
        return value  # type: ignore[return-value]


@pytest.fixture
def pair(master: Master, redis_server: RedisServer) -> Iterator[tuple[Wire, Wire]]:
    redis, csp = Wire(redis_server.port), Wire(master.port)
    assert csp.ask(["AUTH", PASSWORD]) == ["OK"]
    yield redis, csp
    redis.socket.close()
    csp.socket.close()


@pytest.mark.parametrize("proto", ["2", "3"])
@pytest.mark.parametrize("group", EXCHANGES)
def test_same_words(pair: tuple[Wire, Wire], group: str, proto: str) -> None:
    redis, csp = pair
    for wire in pair:
        wire.ask(["HELLO", proto])
    differences = []
    for line in EXCHANGES[group]:
        if proto == "3" and group == "subscribe":
            continue  # compared below: pushes come in between
        words = [word.encode().decode("unicode_escape") for word in shlex.split(line)]
        count = CONFIRMATIONS.get(line, 1)
        expected, found = (wire.ask(words, count) for wire in (redis, csp))
        if expected != found:
            differences.append((line, expected, found))
    assert differences == []


def test_pushes_of_resp3(pair: tuple[Wire, Wire]) -> None:
    for line, count in (
        *(("subscribe a b", 2), ("psubscribe *x", 1), ("get a", 1), ("ping hi", 1)),
        *(("unsubscribe b", 1), ("unsubscribe", 1), ("punsubscribe", 1), ("unsubscribe", 1)),
    ):
        seen = []
        for wire in pair:
            if line == "subscribe a b":
                wire.ask(["HELLO", "3"])
            answers = wire.ask(line.split(), count)
            seen.append([(type(answer), answer) for answer in answers])
        assert seen[0] == seen[1], line


@pytest.mark.parametrize(
    "data",
    [
        b"*x\r\n",
        b"*1\r\n:1\r\n",
        b"*1\r\n$x\r\n",
        b"*1\r\n$-5\r\n",
        b"*99999999999\r\n",
        b'echo "a\r\n',
        b"*0\r\n*-1\r\n\r\nping\r\n",
        b"ping hi\r\nECHO 'a b'\r\necho \"\\x41\"\r\n",
    ],
)
def test_protocol_errors(pair: tuple[Wire, Wire], data: bytes) -> None:
    seen = []
    for wire in pair:
        wire.socket.sendall(data)
        wire.socket.shutdown(socket.SHUT_WR)
        wire.socket.settimeout(5)
        received = b""
        while piece := wire.socket.recv(65536):
            received += piece
        seen.append(received)
    assert seen[0] == seen[1]


def test_shapes_of_hello_and_info(pair: tuple[Wire, Wire]) -> None:
    for proto in ("2", "3"):
        redis, csp = (wire.ask(["HELLO", proto])[0] for wire in pair)
        assert type(redis) is type(csp)
        keys = [b"server", b"version", b"proto", b"id", b"mode", b"role", b"modules"]
        assert (list(csp) if proto == "3" else csp[::2]) == keys  # type: ignore[arg-type, index]
        redis, csp = (wire.ask(["INFO"])[0] for wire in pair)
        assert type(redis) is type(csp)
        redis, csp = (wire.ask(["COMMAND", "INFO", "get"])[0] for wire in pair)
        assert len(redis[0]) == len(csp[0])  # type: ignore[arg-type, index]
        assert redis[0][:2] == csp[0][:2]  # type: ignore[index]
        redis, csp = (wire.ask(["CLIENT", "ID"])[0] for wire in pair)
        assert type(redis) is type(csp) is int
        redis, csp = (wire.ask(["CLIENT", "INFO"])[0] for wire in pair)
        assert re.match(rb"id=\d+ addr=127.0.0.1:\d+ laddr=", _plain(csp))
        assert type(redis) is type(csp)


def _plain(value: Value) -> bytes:
    return value if isinstance(value, bytes) else value.text  # type: ignore[union-attr]
