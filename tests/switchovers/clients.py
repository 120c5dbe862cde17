"""Clients that go where service is: a writer of a pair, and readers that come by token or CFG.SYNC.

1. Who comes by a token says nothing else of what it saw: the token has to be enough.
2. A read of the past is no fault where the token was older than what its holder had seen; the
   holder then counts as another reader from there on.
"""

from __future__ import annotations

from csp.client import Client, Credentials
from csp.model.token import read_token
from tests.neighbours.server import PASSWORD
from tests.validate.actor import APPLICATION, Ground, now, shown
from tests.validate.history import Assured, Read
from tests.validate.hopper import Hopper
from tests.validate.wire import Refused, Wire
from tests.validate.writer import OUTCOME_SECONDS, TIMEOUT_SECONDS, Writer

PAUSE_SECONDS = 0.01
HOP_SHARE = 0.03
RENEW_SHARE = 0.2
STRONG_MS = 3_000
RECONNECT_SECONDS = 2.0


class PairWriter(Writer):
    """Through whichever of some servers answers."""

    def __init__(self, ground: Ground, servers: tuple[str, ...], name: str, seed: int) -> None:
        self._servers = {ground.address(server): server for server in servers}
        super().__init__(ground, servers[0], name, seed)

    def _client(self, server: str) -> Client:
        if server not in self._servers.values():
            return super()._client(server)
        return Client(
            [*self._servers],
            Credentials(password=PASSWORD),
            timeout=TIMEOUT_SECONDS,
            reconnect_seconds=RECONNECT_SECONDS,
            outcome_seconds=OUTCOME_SECONDS,
        )

    @property
    def server(self) -> str:
        """Who answered last."""
        address = self.client.address
        return self._servers[address.host, address.port]

    @server.setter
    def server(self, _: str) -> None:
        """What its address is says it."""


class TokenReader(Hopper):
    """Comes by the token that CFG.REGISTER gave it at another server, or before a loss."""

    hop_share = HOP_SHARE

    def __init__(self, ground: Ground, name: str, seed: int) -> None:
        super().__init__(ground, name, seed)
        self.token = ""
        self.lives = 0  # how often its token was older than what it had seen
        self.by_tokens = 0

    def arrive(self) -> None:
        """By the token, where it has one."""
        began = now()
        self.wire = Wire(self.ground.address(self.server), *([self.token] if self.token else []))
        if self.token:
            token = read_token(self.token.encode())
            assert token is not None
            self.by_tokens += 1
            if token.revision < self.seen:
                self.lives, self.seen = self.lives + 1, token.revision
            where = (self._who(), self.server, self.connection)
            self.note(Assured(*where, began, now(), token.revision, "token"))
        self._renew(self.wire)

    def turn(self, wire: Wire) -> None:
        keys = self.chance.sample(self.ground.keys, self.chance.randint(1, 4))
        began = now()
        replies = wire.call("MGET", *keys)
        found = tuple(shown(key, one) for key, one in zip(keys, replies, strict=True))
        self.note(Read(self._who(), self.server, self.connection, began, now(), found))
        self.seen = max(self.seen, *(one.revision for one in found))
        if self.chance.random() < RENEW_SHARE:
            self._renew(wire)
        self.stopping.wait(PAUSE_SECONDS)

    def _renew(self, wire: Wire) -> None:
        told = wire.call("CFG.REGISTER", APPLICATION)
        self.token = (told[b"token"] if b"token" in told else told["token"]).decode()

    def _who(self) -> str:
        return f"{self.name} ({self.lives})"


class StrongReader(Hopper):
    """Asks for what the master has, and reads it."""

    hop_share = HOP_SHARE

    def arrive(self) -> None:
        """A connection; what it shows is settled at each turn."""
        self.wire = Wire(self.ground.address(self.server))

    def turn(self, wire: Wire) -> None:
        began = now()
        try:
            revision = int(wire.call("CFG.SYNC", "TIMEOUT", STRONG_MS))
        except Refused as refused:
            if refused.word not in ("STALE", "MASTERDOWN", "LOADING", "BUSY"):
                raise
            self._hop()  # an error is an answer: it may not be known there what the master has
            self.stopping.wait(PAUSE_SECONDS)
            return
        where = (self.name, self.server, self.connection)
        self.note(Assured(*where, began, now(), revision, "sync"))
        keys = self.chance.sample(self.ground.keys, 3)
        began = now()
        replies = wire.call("MGET", *keys)
        found = tuple(shown(key, one) for key, one in zip(keys, replies, strict=True))
        self.note(Read(*where, began, now(), found))
        self.seen = max(self.seen, revision)
        self.stopping.wait(5 * PAUSE_SECONDS)
