"""Sessions of stock libraries that outlive their server: redis-py by tokens, and csp.client.

1. redis-py signs in by a credential provider that has the newest token, and subscribes anew by
   itself.  What is its own here is only where it connects: it tries a list of addresses in turn.
2. Each looks at one object's changes as they come, as `native/roamers.c` does.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Self

import orjson
import redis
from redis.backoff import ConstantBackoff
from redis.credentials import CredentialProvider
from redis.retry import Retry

from bench.fill import Filled
from csp.client import Change, Client, Credentials, Gap
from csp.errors import CspError
from tests.neighbours.server import PASSWORD
from tests.neighbours.waiting import wait_until

BOOKMARK_MS = 5_000
RETRY_SECONDS, RETRIES = 0.1, 300
HEALTH_SECONDS = 5  # of silence, and then for an answer
LISTEN_SECONDS = 0.5
BEGIN_SECONDS_MAX = 60.0
JOIN_SECONDS_MAX = 40.0
NOTICES = "cfg.notice"


class Listener(threading.Thread):
    """One session: what it was told, and where it was when."""

    def __init__(self, held: Filled, number: int, ports: Sequence[int], application: str) -> None:
        super().__init__(name=f"session {number}", daemon=True)
        self.channel = f"cfg:{held.class_name}:{held.first + number % held.count}"
        self.ports, self.application = list(ports), application
        self.stopping = threading.Event()
        self.is_begun = threading.Event()
        self.newest = 0  # revision that it was told
        self.missed = self.resyncs = 0
        self.restored_at = 0.0
        self.problem = ""

    def take(self, revision: int, base: int | None) -> None:
        """One change; what came already is passed over."""
        if revision <= self.newest:
            return
        self.missed += bool(self.newest and base is not None and base != self.newest)
        self.newest = revision


class _Anywhere(redis.Connection):
    """Connects to the first of the ports that takes it, beginning behind the one before."""

    ports: ClassVar[list[int]] = []

    def _connect(self) -> Any:
        for port in (
            (*self.ports[1:], *self.ports[:1]) if self.port == self.ports[0] else self.ports
        ):
            self.port = port
            try:
                return super()._connect()
            except OSError as problem:
                last = problem
        raise last


class RedisListener(Listener, CredentialProvider):
    """redis-py, as docs/examples/desktop.py uses it."""

    token = ""

    def get_credentials(self) -> tuple[str, str]:
        """Called by redis-py whenever it connects."""
        return "default", self.token or PASSWORD

    def run(self) -> None:
        """Subscribes once; all that follows is the library's."""
        own = type("Anywhere", (_Anywhere,), {"ports": self.ports})
        pool = redis.ConnectionPool(
            connection_class=own,
            host="127.0.0.1",
            port=self.ports[-1],
            credential_provider=self,
            decode_responses=True,
            health_check_interval=HEALTH_SECONDS,
            socket_timeout=HEALTH_SECONDS,
            retry=Retry(ConstantBackoff(RETRY_SECONDS), RETRIES),
        )
        changes = redis.Redis(connection_pool=pool).pubsub()
        changes.execute_command("CFG.REGISTER", self.application)
        told = changes.parse_response()
        told = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
        self.token = told["token"]
        changes.execute_command("CFG.FROM", "NOW", "BOOKMARKS", BOOKMARK_MS)
        changes.parse_response()
        changes.subscribe(self.channel, NOTICES)
        try:
            while not self.stopping.is_set():
                self._message(changes.get_message(timeout=LISTEN_SECONDS))
        except redis.RedisError as problem:
            self.problem = f"redis-py: {problem}"
        changes.close()

    def _message(self, message: dict[str, Any] | None) -> None:
        if message is None:
            return
        if message["type"] == "subscribe":
            self.restored_at = time.monotonic()
            self.is_begun.set()
            return
        content = orjson.loads(message["data"])
        if content["op"] == "bookmark":
            self.token = content["token"]
        elif content["op"] == "resync":
            self.resyncs, self.newest = self.resyncs + 1, 0
        elif "class" in content:
            self.take(content["revision"], content.get("base"))


class ClientListener(Listener):
    """csp.client, which finds its place by itself."""

    def run(self) -> None:
        """Subscribes once; all that follows is the library's."""
        client = Client(
            [("127.0.0.1", port) for port in self.ports],
            Credentials(password=PASSWORD),
            reconnect_seconds=RETRIES * RETRY_SECONDS,
            application=self.application,
        )
        place = None
        try:
            with client.subscribe(self.channel) as changes:
                while not self.stopping.is_set():
                    self.is_begun.set()
                    event = changes.next(LISTEN_SECONDS)
                    if changes._client.address != place:
                        place, self.restored_at = changes._client.address, time.monotonic()
                    if isinstance(event, Change):
                        self.take(event.revision, event.base)
                    elif isinstance(event, Gap):
                        self.resyncs, self.newest = self.resyncs + 1, 0
        except CspError as problem:
            self.problem = f"csp.client: {problem}"
        client.close()


@dataclass(frozen=True)
class Told:
    """What came of all of them."""

    sessions: int
    last_restored: float
    missed: int
    resyncs: int
    problems: tuple[str, ...]


class Libraries:
    """So many sessions, of either library in turn."""

    def __init__(self, count: int, held: Filled, ports: Sequence[int], application: str) -> None:
        kinds = itertools.cycle((RedisListener, ClientListener))
        self.all: list[Listener] = [
            kind(held, number, ports, application)
            for number, kind in zip(range(count), kinds, strict=False)
        ]

    def __enter__(self) -> Self:
        for one in self.all:
            one.start()
        wait_until(
            lambda: all(one.is_begun.is_set() or not one.is_alive() for one in self.all),
            BEGIN_SECONDS_MAX,
            "the sessions of libraries have begun",
        )
        return self

    def restored(self, since: float, seconds: float) -> Told:
        """Waits until all are there again after that moment."""
        # Who is away too long is told of by the figures, and not by an end of the bench.
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._away(since):
            time.sleep(0.05)
        away = self._away(since)
        problems = [one.problem for one in self.all if one.problem]
        problems += [f"{one.name} did not come back" for one in away if not one.problem]
        return Told(
            len(self.all),
            max((one.restored_at for one in self.all), default=0.0),
            sum(one.missed for one in self.all),
            sum(one.resyncs for one in self.all),
            tuple(problems),
        )

    def behind(self, revision: int, seconds: float) -> int:
        """How many were not told of this revision after so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and any(one.newest < revision for one in self.all):
            time.sleep(0.05)
        return sum(one.newest < revision for one in self.all)

    def _away(self, since: float) -> list[Listener]:
        return [one for one in self.all if one.restored_at < since]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for one in self.all:
            one.stopping.set()
        for one in self.all:
            one.join(JOIN_SECONDS_MAX)
