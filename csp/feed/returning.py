"""Goes back to a server that is preferred to the one followed, when it has been there for a while.

1. The server that the command line names is preferred to those of the Application's connections,
   and each of these to the ones behind it. From a master's backup nobody goes back to the primary.
2. A preferred server is there while a link to it, registered and kept alive, does not break, and
   its own root is there. After `[csp] return-delay` of that the proxy moves.
3. Nothing is loaded, and no client notices: both links are up, the feed rests for the moment in
   which the other one says that it goes on from here, and questions under way are answered first.
4. What does not work out changes nothing: the server that is followed goes on being followed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import Enum
from typing import Final, Protocol

from csp.feed.above import fields_of
from csp.feed.frames import read_frame
from csp.feed.links import Links
from csp.feed.phase import Clocks
from csp.feed.route import Route
from csp.model.feed import CHAIN, FeedError, Position, read_chain, request_words
from csp.observe.events import log_event
from csp.resp import ErrorReply, Value
from csp.store.control import LINK_DATABASE, LINK_NAMES, LINK_UP

PROBE_MS: Final = 5_000  # between two attempts to reach a preferred server
SILENCE_MS_MAX: Final = 10_000
MOVE_MS_MAX: Final = 5_000  # a move that takes longer is given up
HEALTHY: Final = (LINK_NAMES[LINK_UP], LINK_NAMES[LINK_DATABASE])  # of a server's own link

log = logging.getLogger("csp.feed")


class Stage(Enum):
    """How far it is."""

    RESTING = "there is nothing better, or it is not time to look"
    PROBING = "a link to a preferred server is made, or stands"
    ASKING = "it was asked whether its root is there"
    EMPTYING = "what was asked of the present server is being answered"
    MOVING = "the feed rests, and the preferred server is asked to go on from here"


class Owner(Protocol):
    """Who follows, and is moved."""

    def probe(self) -> Links:
        """Links that lead nowhere yet."""

    def present(self) -> Route | None:
        """The way by which it follows now; None while it does not."""

    def hold(self) -> bool:
        """Has questions wait, and says whether all that were asked are answered."""

    def rest(self) -> Position:
        """Takes no changes for now; where it stands."""

    def stay(self) -> None:
        """Goes on as before."""

    def move(self, links: Links, frames: Sequence[Value]) -> None:
        """Follows over these links, of whose feed these frames have come."""

    def decide(self, greeting: Value) -> str:
        """Why the feed of such a greeting is not followed; empty where it goes on from here."""

    @property
    def identity(self) -> str:
        """This server, as the servers of a chain know each other apart."""


class Returning:
    """The way back of one proxy."""

    def __init__(self, owner: Owner, clocks: Clocks) -> None:
        self.delay_ms = 0  # for so long a preferred server has to be there; 0: nobody goes back
        self._owner = owner
        self._clocks = clocks
        self._stage = Stage.RESTING
        self._links: Links | None = None
        self._next_ms = 0  # when to look again
        self._since_ms = 0  # of the stage
        self._is_registered = False
        self._greeting: Value = None
        self._frames: list[Value] = []

    @property
    def links(self) -> Links | None:
        """Those to the preferred server, whose sockets are to be watched."""
        return self._links

    def tick(self, now_ms: int) -> None:
        """Goes on; called ten times a second."""
        present = self._owner.present()
        if present is None or not present.rank or not self.delay_ms:
            self.close()
            return
        if self._links is None:
            if now_ms >= self._next_ms:
                self._probe(present, now_ms)
            return
        self._links.tick(now_ms)
        if self._links is not None and self._links.is_silent(now_ms, SILENCE_MS_MAX):
            self._give_up("it is silent")
        self._go_on(now_ms)

    def close(self) -> None:
        """Leaves the preferred server, and whatever was begun."""
        if self._links is not None:
            was, self._links = self._links, None
            was.close()
        if self._stage in (Stage.EMPTYING, Stage.MOVING):
            self._owner.stay()
        self._enter(Stage.RESTING)
        self._is_registered = False
        self._greeting, self._frames = None, []

    def _enter(self, stage: Stage) -> None:
        self._stage = stage
        self._since_ms = self._clocks.monotonic_ms()

    def _probe(self, present: Route, now_ms: int) -> None:
        self._next_ms = now_ms + PROBE_MS
        links = self._owner.probe()
        links.heed(
            self._give_up, lambda reason, _: self._give_up(reason), lambda _: None
        )  # nothing is asked that is answered by a push
        self._links = links
        self._enter(Stage.PROBING)
        links.open_session(self._registered, better_than=present)

    def _registered(self) -> None:
        self._is_registered = True
        self._enter(Stage.PROBING)

    def _go_on(self, now_ms: int) -> None:
        links, waited_ms = self._links, now_ms - self._since_ms
        if links is None or not self._is_registered:
            return
        if self._stage is Stage.PROBING and waited_ms >= self.delay_ms:
            self._enter(Stage.ASKING)
            links.session.command("CFG.STATUS", answer=self._status)
        elif self._stage is Stage.EMPTYING and self._owner.hold():
            self._enter(Stage.MOVING)
            words = request_words(self._owner.rest())
            links.open_feed(0, "feed", words, self._take)
        elif self._stage is not Stage.PROBING and waited_ms > MOVE_MS_MAX:
            self._give_up(f"not there within {MOVE_MS_MAX} ms")

    def _status(self, value: Value) -> None:
        if self._stage is not Stage.ASKING:
            return
        link = fields_of(value).get("link") if not isinstance(value, ErrorReply) else None
        word = link.decode("ascii", "replace") if isinstance(link, bytes) else str(link)
        # One whose root is away would be a step back: it has to be there for as long once more.
        self._enter(Stage.EMPTYING if word in HEALTHY else Stage.PROBING)

    def _take(self, value: Value) -> None:
        """The feed's frames: greeting, whom that server follows, perhaps changes already."""
        if self._stage is not Stage.MOVING or self._links is None:
            return
        if self._greeting is None:
            self._greeting = value
            why = self._owner.decide(value)
            if why:
                self._give_up(why)
            return
        self._frames.append(value)
        try:
            kind, frame = read_frame(value)
            if kind != CHAIN:
                return
            read_chain(frame, self._owner.identity)
        except FeedError as error:
            self._give_up(str(error))
            return
        links, frames = self._links, self._frames
        self._links, self._frames, self._greeting = None, [], None
        self._is_registered = False
        self._enter(Stage.RESTING)
        self._owner.move(links, frames)

    def _give_up(self, reason: str) -> None:
        """The preferred server is no way back for now."""
        if self._stage in (Stage.EMPTYING, Stage.MOVING):
            log_event(log, "51367", reason=reason)
            self._next_ms = self._clocks.monotonic_ms() + self.delay_ms
        self.close()
