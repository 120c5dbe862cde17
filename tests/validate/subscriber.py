"""Follows changes by csp.client, which finds its servers and its place again by itself."""

from __future__ import annotations

from csp.client import Change, Client, Credentials, Notice
from csp.client import Gap as ClientGap
from csp.client.client import Subscription
from csp.errors import CspError
from tests.neighbours.server import PASSWORD
from tests.validate.actor import Actor, Ground, now, oldest_said, value_of
from tests.validate.history import Bookmark, Gap, Subscribed, Told

LISTEN_SECONDS = 0.2
RECONNECT_SECONDS = 30.0


class Subscriber(Actor):
    """One subscription; it begins while nothing changes, so that its start is known."""

    def __init__(
        self,
        ground: Ground,
        channels: tuple[str, ...],
        name: str,
        seed: int,
        start: int,
        application: str,  # it registers as, and signs in by its tokens; empty: by its password
    ) -> None:
        super().__init__(ground, name, seed)
        self.channels, self.start_revision = channels, start
        servers = sorted(ground.fronts)
        self.chance.shuffle(servers)
        self.client = Client(
            [ground.address(server) for server in servers],
            Credentials(password=PASSWORD),
            timeout=6.0,
            reconnect_seconds=RECONNECT_SECONDS,
            application=application,
        )
        self.servers = {ground.address(server): server for server in servers}
        self.changes: Subscription | None = None
        self.newest = start

    def act(self) -> None:
        if self.changes is None:
            self.changes = self.client.subscribe(*self.channels, "cfg.notice")
            self.changes.__enter__()
            self.note(
                Subscribed(
                    self.name, self._server(), 0, now(), self.channels, -1, self.start_revision
                )
            )
            self.is_begun.set()
        try:
            event = self.changes.next(LISTEN_SECONDS)
        except CspError:  # no server for so long; the next call tries again
            self.lost += 1
            return
        where = (self.name, self._server(), 0, now())
        match event:
            case Change():
                channel = self.channels[0] if "*" in self.channels[0] else event.channel
                content = {"object": event.object, "delta": event.delta}
                key = f"{event.class_name}:{event.dbid}"
                told = (channel, event.op, key, event.revision, value_of(content), event.more)
                self.note(Told(*where, *told))
                self.newest = max(self.newest, event.revision)
            case Notice(op="bookmark"):
                self.note(Bookmark(*where, event.content["revision"], event.content["mark"]))
                self.newest = max(self.newest, event.content["revision"])
            case ClientGap():
                self.note(Gap(*where, event.why, oldest_said(event.why)))

    def _server(self) -> str:
        assert self.changes is not None
        address = self.changes._client.address
        return self.servers[address.host, address.port]

    def leave(self) -> None:
        if self.changes is not None:
            self.changes.close()
        self.client.close()
