"""Reads pairs at one server over one connection and checks every reply against the history."""

from __future__ import annotations

import random
import threading
import time

import orjson
import redis

from tests.campaign.history import History
from tests.neighbours.server import Server

PAUSE_SECONDS = 0.004
RECONNECT_SECONDS = 0.02


class Reader(threading.Thread):
    """One client: GET of one object or MGET of a pair, forever.

    A reply must be one that the master's history allows, both halves of a pair must be the same,
    and what is seen must never be older than what the connection's predecessor saw.
    """

    def __init__(self, server: Server, history: History, seed: int, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.server, self.history = server, history
        self.random = random.Random(seed)
        self.stopping = threading.Event()
        self.worker = -1  # of the connection it has now
        self.lost = 0  # connections lost so far
        self.replies = 0
        self.last_reply = time.monotonic()
        self.seen: dict[int, int] = {}  # pair -> newest revision seen

    def run(self) -> None:
        connection = None
        while not self.stopping.is_set():
            try:
                if connection is None:
                    connection = self._connect()
                self._read(connection)
                self.last_reply = time.monotonic()
            except (redis.ConnectionError, redis.TimeoutError):
                if connection is not None:
                    self.lost += 1
                    connection.disconnect()
                connection, self.worker = None, -1
                self.stopping.wait(RECONNECT_SECONDS)
            except Exception as error:  # noqa: BLE001 - a thread's fault is the campaign's
                self.history.fault(f"{self.name}: {type(error).__name__}: {error}")
                return
            self.stopping.wait(PAUSE_SECONDS)

    def stop(self) -> None:
        self.stopping.set()
        self.join(30)

    def _connect(self) -> redis.Connection:
        connection = self.server.raw()
        connection.send_command("CLIENT", "INFO")
        info = connection.read_response()
        text = info.decode() if isinstance(info, bytes) else str(info)
        fields = dict(part.split("=", 1) for part in text.split() if "=" in part)
        self.worker = int(fields["worker"])
        return connection

    def _read(self, connection: redis.Connection) -> None:
        number = self.random.randrange(len(self.history.pairs))
        pair = self.history.pairs[number]
        is_pair = self.random.random() < 0.5
        dbids = pair if is_pair else (self.random.choice(pair),)
        verb = "MGET" if is_pair else "GET"
        connection.send_command(verb, *(f"CfgPerson:{dbid}" for dbid in dbids))
        reply = connection.read_response()
        self.replies += 1
        self._check(number, dbids, reply if is_pair else [reply])

    def _check(self, number: int, dbids: tuple[int, ...], replies: list[bytes | None]) -> None:
        if any(reply is None for reply in replies):
            self.history.fault(f"{self.name}: an object of pair {number} is missing: {dbids}")
            return
        objects = [orjson.loads(reply) for reply in replies if reply is not None]
        for dbid, content in zip(dbids, objects, strict=True):
            if content["DBID"] != dbid:
                self.history.fault(f"{self.name}: asked for {dbid}, got {content['DBID']}")
        values = {_value(content) for content in objects}
        if len(values) > 1:
            self.history.fault(f"{self.name}: pair {number} is half applied: {sorted(values)}")
        value = _value(objects[0])
        # The two were created one after the other; from their first change on they are one.
        revision = objects[0]["revision"] if value else 0
        wrong = self.history.why_wrong(number, value, revision)
        if wrong:
            self.history.fault(f"{self.name}: {wrong}")
        if revision < self.seen.get(number, 0):
            self.history.fault(
                f"{self.name}: pair {number} went back from {self.seen[number]} to {revision}"
            )
        self.seen[number] = max(revision, self.seen.get(number, 0))


def _value(content: dict[str, object]) -> int:
    sections = content.get("userProperties") or {}
    assert isinstance(sections, dict)
    return int(sections.get("campaign", {}).get("value", 0))
