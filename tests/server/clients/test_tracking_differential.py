"""What trackers are told, byte for byte as redis-server tells it, for the same keys and changes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from csp.resp import request
from tests.neighbours.redis_server import RedisServer
from tests.neighbours.server import PASSWORD, Master
from tests.server.clients.test_redis_differential import Wire

pytestmark = pytest.mark.needs("redis-server")

SIGN_IN = ["AUTH", "default", PASSWORD]
ID = re.compile(rb":(\d+)\r\n")


class Side:
    """One of the two servers: connections, and changes of the same keys."""

    def __init__(self, server: Master | RedisServer, dbids: list[int]) -> None:
        self.server = server
        self.dbids = dbids
        self.turn = 0

    def open(self, *commands: list[str]) -> Wire:
        sign_in = [SIGN_IN] if isinstance(self.server, Master) else []
        wire = Wire(self.server.port, [*sign_in, *commands])
        take(wire, len(sign_in))
        return wire

    def change(self, *places: int) -> None:
        self.turn += 1
        with self.server.client() as client:
            for place in places:
                dbid = self.dbids[place]
                if isinstance(self.server, RedisServer):
                    client.set(f"CfgSkill:{dbid}", self.turn)
                else:
                    name = f"tracked {self.turn} of {dbid}"
                    delta = json.dumps({"changed": {"name": name}})
                    client.execute_command("CFG.UPDATE", "CfgSkill", dbid, delta)


@pytest.fixture
def sides(
    master: Master, redis_server: RedisServer, new_name: Callable[[], str]
) -> tuple[Side, Side]:
    with master.client() as client:
        made = [
            client.execute_command(
                "CFG.CREATE", "CfgSkill", json.dumps({"tenantDBID": 1, "name": new_name()})
            )[1]
            for _ in range(3)
        ]
    both = Side(redis_server, made), Side(master, made)
    both[0].change(0, 1, 2)
    return both


def take(wire: Wire, count: int = 1) -> list[bytes]:
    """Further frames, as they come."""
    found = wire.frames(count)
    wire.data = wire.data[sum(map(len, found)) :]
    return found


def ask(wire: Wire, *words: object) -> bytes:
    """The next frame that comes for a command."""
    wire.socket.sendall(request(*map(str, words)))
    return take(wire)[0]


def default(side: Side) -> list[bytes]:
    reader = side.open(["HELLO", "3"], ["CLIENT", "TRACKING", "ON"])
    assert take(reader, 2)[1] == b"+OK\r\n"
    for place in (0, 1):
        ask(reader, "GET", f"CfgSkill:{side.dbids[place]}")
    side.change(0)
    told = take(reader)
    side.change(0, 1)
    return [*told, *take(reader), ask(reader, "CLIENT", "TRACKINGINFO")]


def redirected(side: Side, proto: str) -> list[bytes]:
    target = side.open(["HELLO", proto], ["CLIENT", "ID"])
    number = int(ID.fullmatch(take(target, 2)[1])[1])  # type: ignore[index]
    ask(target, "SUBSCRIBE", "__redis__:invalidate")
    reader = side.open(["CLIENT", "TRACKING", "ON", "REDIRECT", str(number)])
    assert take(reader) == [b"+OK\r\n"]
    ask(reader, "GET", f"CfgSkill:{side.dbids[0]}")
    ask(reader, "EXISTS", f"CfgSkill:{side.dbids[1]}")
    side.change(0)
    told = take(target)
    side.change(1)
    assert ask(reader, "CLIENT", "GETREDIR") == b":%d\r\n" % number
    return [*told, *take(target)]


def broadcast(side: Side) -> list[bytes]:
    reader = side.open(
        ["HELLO", "3"], ["CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "CfgSkill:", "PREFIX", "x"]
    )
    take(reader, 2)
    side.change(2)
    return [*take(reader), ask(reader, "CLIENT", "TRACKINGINFO")]


def opted(side: Side) -> list[bytes]:
    reader = side.open(["HELLO", "3"], ["CLIENT", "TRACKING", "ON", "OPTIN"])
    take(reader, 2)
    said = [
        ask(reader, "CLIENT", "CACHING", "YES"),
        ask(reader, "CLIENT", "TRACKINGINFO"),
        ask(reader, "MULTI"),
        ask(reader, "GET", f"CfgSkill:{side.dbids[0]}"),
    ]
    ask(reader, "EXEC")  # the objects differ
    ask(reader, "GET", f"CfgSkill:{side.dbids[1]}")
    side.change(1, 0)
    return [*said, *take(reader), ask(reader, "CLIENT", "TRACKINGINFO")]


@pytest.mark.parametrize(
    "told",
    [
        default,
        lambda side: redirected(side, "2"),
        lambda side: redirected(side, "3"),
        broadcast,
        opted,
    ],
    ids=["default", "redirected to RESP2", "redirected to RESP3", "broadcast", "opted in"],
)
def test_the_same_is_told(sides: tuple[Side, Side], told: Callable[[Side], list[bytes]]) -> None:
    redis, csp = (told(side) for side in sides)
    assert redis == csp
