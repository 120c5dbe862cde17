"""Measures sign-ins alone: the first ever of an account, later ones, and those by a token.

1. Each account signs in on a connection of its own; what such a connection costs that asks PING
   instead is taken off.  Its first sign-in compares an argon2id hash; later ones find the proof of
   it, which auth keeps until the account changes.
2. The accounts are Super Administrators, so that they may register, which makes their tokens.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable
from typing import Any

import orjson

from bench.desktops import Step, step
from bench.report import Row
from csp.resp import MORE, Decoder
from tests.neighbours.server import PASSWORD, Master, Proxy, Server

AGAIN_AT_MOST = 1 / 500
GROUP = "Super Administrators"
DESK, DESKTOPS = "Sign-ins", 10  # of that prototype
REPLY_SECONDS_MAX = 60
RECEIVE_BYTES = 1 << 16

# What a storm of such scripts costs: microseconds a connection.
Storm = Callable[[list[list[Step]]], float]


def measure(
    master: Master, proxy: Proxy, count: int, storm: Storm, notes: dict[str, Any]
) -> list[Row]:
    """The rows; `storm` runs scripts against the proxy."""
    users = _accounts(master, count)
    _level(master, proxy)
    by_password = [[step(("AUTH", user, PASSWORD))] for user in users]
    counted = [_hashes(proxy)]
    bare = [storm([[step(("PING",))]] * count) for _ in range(3)]
    first = storm(by_password)
    counted.append(_hashes(proxy))
    again = [storm(by_password) - one for one in bare]
    tokens = [_token(proxy, user) for user in users]
    counted.append(_hashes(proxy))
    scripts = [[step(("AUTH", user, token))] for user, token in zip(users, tokens, strict=True)]
    by_token = [storm(scripts) - one for one in bare]
    counted.append(_hashes(proxy))
    notes["sign-ins, us"] = {"first": first, "again": again, "by token": by_token, "PING": bare}
    notes["hashes at once"] = 2
    hashes = [after - before for before, after in itertools.pairwise(counted)]
    return [
        Row("a first sign-in: hashes", "sign-ins", [hashes[0] / count], 1.0),
        Row("a sign-in again: CPU", "a first one", [one / first for one in again], AGAIN_AT_MOST),
        Row("a sign-in again: hashes", "sign-ins", [hashes[1] / count], 0.0),
        Row(
            "a sign-in by token: CPU",
            "a first one",
            [one / first for one in by_token],
            None,
        ),
        Row("a sign-in by token: hashes", "sign-ins", [hashes[2] / count], 0.0),
    ]


def _accounts(master: Master, count: int) -> list[str]:
    """Makes the accounts, with passwords of argon2id."""
    users = [f"storm{number:05}" for number in range(count)]
    with master.client(socket_timeout=REPLY_SECONDS_MAX) as client:
        group = orjson.loads(client.execute_command("CFG.FIND", "CfgAccessGroup", "name", GROUP))
        desk = {"name": DESK, "appPrototypeDBID": DESKTOPS, "tenantDBIDs": [1], "isServer": False}
        client.execute_command("CFG.CREATE", "CfgApplication", orjson.dumps(desk))
        members = []
        for user in users:
            person = {"userName": user, "employeeID": user, "tenantDBID": 1, "isAgent": False}
            _, dbid = client.execute_command("CFG.CREATE", "CfgPerson", orjson.dumps(person))
            client.execute_command("CFG.PASSWD", user, PASSWORD, PASSWORD)
            members.append({"type": "person", "DBID": int(dbid)})
        delta = orjson.dumps({"added": {"memberIDs": members}})
        client.execute_command("CFG.UPDATE", "CfgAccessGroup", group["DBID"], delta)
    return users


def _level(master: Server, proxy: Server) -> None:
    with master.client(protocol=3) as above, proxy.client() as below:
        below.execute_command("CFG.SYNC", above.execute_command("CFG.STATUS")["revision"])


def _hashes(proxy: Server) -> int:
    """How many comparisons auth has made."""
    with proxy.client(protocol=3) as client:
        return int(client.execute_command("CFG.METRICS")["auth"]["hashes"])


def _token(proxy: Server, user: str) -> bytes:
    with socket.create_connection(("127.0.0.1", proxy.port), REPLY_SECONDS_MAX) as to:
        to.sendall(step(("AUTH", user, PASSWORD), ("CFG.REGISTER", DESK)).words)
        decoder, replies = Decoder(), []
        while len(replies) < 2:
            value = decoder.next()
            if value is MORE:
                decoder.feed(to.recv(RECEIVE_BYTES))
                continue
            assert not isinstance(value, Exception), value
            replies.append(value)
    told = replies[1]
    assert isinstance(told, list)
    token = told[told.index(b"token") + 1]
    assert isinstance(token, bytes)
    return token
