"""Sessions that outlive their server, and what is changed meanwhile (native/roamers.c).

1. The sessions have the last core; the servers that die and that take over have the others, the
   master any.
2. Every session subscribes to one object; every change names the revision it applies to, so each
   session knows by itself whether it missed one.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import orjson
import psutil
import redis

from bench.clients import Client
from bench.fill import REPLY_SECONDS_MAX, Filled
from tests.neighbours.server import PASSWORD, Master

DESK, DESKTOPS = "Roamer", 10  # that they register as; of that prototype
VALUE_BYTES = 300
JOIN_SECONDS_MAX = 30.0
BEHIND_SECONDS_MAX = 0.1  # an author that was held up does not send it all at once
AT_ONCE = 200


@dataclass(frozen=True)
class Crowd:
    """How many sessions, and how they behave."""

    sessions: int
    secured: int  # of them, by TLS
    keepalive_ms: int = 10_000
    request_ms: int = 0  # each reads its object so often; 0: never
    at_once: int = AT_ONCE


class Roamers(Client):
    """The sessions; ready when all have signed in."""

    def __init__(
        self,
        crowd: Crowd,
        held: Filled,
        ports: Sequence[int],
        secured: Sequence[int],
        *,
        user: str = "default",
        application: str = DESK,
    ) -> None:
        super().__init__(
            "roamers",
            *(user, PASSWORD, application, held.class_name, held.first, held.count),
            *(crowd.sessions, crowd.secured, crowd.keepalive_ms, crowd.request_ms, crowd.at_once),
            ",".join(map(str, ports)),
            ",".join(map(str, secured)) or "0",
        )
        self.crowd = crowd

    def mark(self) -> float:
        """What was seen begins anew; the time by the clock that their times are of."""
        self.ask("mark")
        return time.monotonic()

    def wait(self, lost: int, seconds: float) -> dict[str, Any]:
        """Until so many connections were lost and all sessions are there again."""
        return self.ask(f"wait {lost} {seconds}")

    def reach(self, revision: int, seconds: float) -> dict[str, Any]:
        """Until each was told this revision of its object."""
        return self.ask(f"reach {revision} {seconds}")


class Author(threading.Thread):
    """Changes so many objects a second until it is stopped; `send` does one and has no reply."""

    def __init__(self, send: Callable[[int], None], drain: Callable[[], None], rate: int) -> None:
        super().__init__(name="author", daemon=True)
        self._send, self._drain, self._rate = send, drain, rate
        self._stopping = threading.Event()
        self.sent = 0
        self.problem: Exception | None = None

    def run(self) -> None:
        due = time.monotonic()
        try:
            while not self._stopping.is_set():
                self._send(self.sent)
                self.sent += 1
                if self.sent % self._rate == 0:
                    self._drain()
                due = max(due + 1 / self._rate, time.monotonic() - BEHIND_SECONDS_MAX)
                self._stopping.wait(max(0.0, due - time.monotonic()))
            self._drain()
        except Exception as problem:  # noqa: BLE001 - the thread's fault is told by `__exit__`
            self.problem = problem

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self.join(JOIN_SECONDS_MAX)
        if kind is None and self.problem is not None:
            raise self.problem


class MasterChanges:
    """Updates of the objects at a master, pipelined; an error reply is raised."""

    def __init__(self, master: Master, held: Filled) -> None:
        self._held = held
        self._to = master.raw(socket_timeout=REPLY_SECONDS_MAX)
        self._open = 0

    def author(self, rate: int) -> Author:
        """A thread that makes them."""
        return Author(self._send, self._drain, rate)

    def _send(self, number: int) -> None:
        self._to.send_command("CFG.UPDATE", *self._update(number))
        self._open += 1

    def _drain(self) -> None:
        for _ in range(self._open):
            self._to.read_response()
        self._open = 0

    def all_once(self) -> int:
        """Every object in one transaction, so that each session is told once more; its revision."""
        commands = [("CFG.UPDATE", *self._update(number)) for number in range(self._held.count)]
        self._to.send_packed_command(self._to.pack_commands([("MULTI",), *commands, ("EXEC",)]))
        for _ in range(len(commands) + 1):
            self._to.read_response()
        return int(self._to.read_response()[-1])

    def _update(self, number: int) -> tuple[str, int, bytes]:
        value = f"{next(_values)}".ljust(VALUE_BYTES, "x")
        delta = {"userProperties": {"changed": {"bench": {"value": value}}}}
        held = self._held
        return held.class_name, held.first + number % held.count, orjson.dumps(delta)


_values = itertools.count(1)


class RedisChanges:
    """The same messages by PUBLISH; redis-server may be away meanwhile."""

    def __init__(self, port: int, held: Filled) -> None:
        self._held = held
        self._client = redis.Redis("127.0.0.1", port, password=PASSWORD, socket_timeout=5)

    def author(self, rate: int) -> Author:
        """A thread that makes them."""
        return Author(self._send, lambda: None, rate)

    def _send(self, number: int) -> None:
        held = self._held
        channel = f"cfg:{held.class_name}:{held.first + number % held.count}"
        try:
            self._client.publish(channel, f"{number}".ljust(VALUE_BYTES, "x"))
        except (redis.ConnectionError, redis.TimeoutError):
            return  # it is being replaced


def register_desk(master: Master) -> None:
    """The Application that the sessions register as."""
    desk = {"name": DESK, "appPrototypeDBID": DESKTOPS, "tenantDBIDs": [1], "isServer": False}
    with master.client() as client:
        client.execute_command("CFG.CREATE", "CfgApplication", orjson.dumps(desk))


def kill_all(pid: int) -> float:
    """Kills a server with all its processes at once; when."""
    top = psutil.Process(pid)
    processes = [top, *top.children(recursive=True)]
    when = time.monotonic()
    for process in processes:
        process.kill()
    return when


def freeze_all(pid: int) -> tuple[float, list[psutil.Process]]:
    """Stops all its processes, the supervisor first so that it misses none; when, and which."""
    top = psutil.Process(pid)
    processes = [top, *top.children(recursive=True)]
    when = time.monotonic()
    for process in processes:
        process.suspend()
    return when, processes
