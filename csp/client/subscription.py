"""A subscription: changes as they are published, and a Gap wherever some may be missing."""

# 1. A subscription has a connection of its own, so pushes never mix with other calls' replies.
# 2. After a lost connection it goes on where it was (CFG.FROM), at whichever server it finds; where
#    that can't be done it says Gap first: read anew what you hold.
# 3. A peer that is gone without a word says nothing either: a link on which nothing came for
#    KEEPALIVE_SECONDS is asked for a sign of life, and lost if none comes.
# 4. A server that drains says when to move, and where to: it goes there then, as soon as that one
#    takes connections, and on where it was; nothing is lost or told twice by it.

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from csp.client.address import Address, parse_address
from csp.client.connection import try_connect
from csp.client.core import Core
from csp.client.incoming import Value
from csp.client.place import Place
from csp.client.problems import CannotConnect, ConnectionLost
from csp.client.shape import Object
from csp.client.steps import Close, Exchange, Listen, Steps, Work
from csp.client.values import as_text
from csp.errors import Resync
from csp.resp import request

CONFIRM_SECONDS = 10.0
KEEPALIVE_SECONDS = 30.0  # below what firewalls forget idle links after
ALIVE_SECONDS = 10.0  # for an answer: a worker's turn takes milliseconds
MOVE_RETRY_SECONDS = 0.5  # to where nobody listens yet
_OF_PATTERNS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Change:
    """One object that was created, updated or deleted."""

    channel: str
    op: str  # create, update, delete
    class_name: str
    dbid: int
    revision: int
    object: Object | None = None  # of a create
    delta: Object | None = None  # of an update
    base: int | None = None  # the revision the delta applies to
    time: int = 0  # milliseconds UTC
    actor: dict[str, Any] = field(default_factory=dict)
    more: bool = False  # further parts of the same transaction follow


@dataclass(frozen=True, slots=True)
class Notice:
    """A message of `cfg.notice`: `stale`, `fresh`, `bookmark`, `moving`."""

    op: str
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes may be missing here: the server can't go on from where the subscription was."""

    why: str


Event = Change | Notice | Gap


class Watching:
    """Where a subscription stands."""

    def __init__(self, core: Core, channels: tuple[str, ...]) -> None:
        if not channels:
            raise ValueError("a subscription needs a channel, such as cfg or cfg:CfgPerson")
        self._core = core
        self._channels = channels
        self._early: list[list[Value]] = []
        self._subscribed = False
        self._place = Place()
        self._gap = ""  # why changes are missing, until that is told
        self._lost = ""  # why the last link ended: a gap, unless the next goes on from the place
        self._is_halfway = False  # a connection was left before it was subscribed
        self.is_closed = False
        self._ask_at = 0.0  # by the core's clock: when silence has lasted long enough
        self._move_at = math.inf  # and when to go on at another server,
        self._move_to: Address | None = None  # this one; None: the next that the client knows

    def begin(self) -> Steps[None]:
        """Subscribes, and returns when the server has confirmed each channel."""
        self._refuse_closed()
        if self._is_halfway:  # what came on it is gone, and it may have subscriptions already
            yield Close()
        yield from self._core.connect()
        self._is_halfway = True
        yield from self._start()
        yield Exchange(subscribe_request(self._channels), 0)
        self._early = []
        left = len(self._channels)
        while left:
            push = yield Listen(CONFIRM_SECONDS)
            if push is None:
                raise ConnectionLost(f"{self._core.address} did not confirm the subscription")
            if as_text(push[0]) in ("subscribe", "psubscribe"):
                left -= 1
            else:
                self._early.append(push)
        self._refuse_closed()
        self._is_halfway = False
        self._subscribed = True
        self._move_at = math.inf
        self._heard()

    def _start(self) -> Steps[None]:
        """Says where the subscription begins: where it was, if the server can go on from there."""
        count = len(set(self._channels))
        was_known = self._place.is_known
        reply = yield from self._ask_place(count)
        if isinstance(reply, Resync):
            self._gap = reply.text
            self._place.forget()
            was_known = False
            reply = yield from self._ask_place(count)
        if not isinstance(reply, list):
            self._place.forget()  # an older server: it begins with what comes
            was_known = False
        elif not was_known:
            _, revision, mark = reply
            self._place.begin(int(revision), as_text(mark) if mark is not None else "")
        if not was_known:
            self._gap = self._gap or self._lost
        self._lost = ""

    def _ask_place(self, count: int) -> Steps[Value]:
        """The reply to the last CFG.FROM, or the refusal of the first."""
        requests = self._place.requests(count)
        replies: list[Value] = yield Exchange(b"".join(requests), len(requests))
        refused = [reply for reply in replies if isinstance(reply, Resync)]
        return refused[0] if refused else replies[-1]

    def next(self, seconds: float | None) -> Steps[Event | None]:
        """The next event, or None after so many seconds without one.

        What was lost is kept until it is told, so that breaking off anywhere hides nothing.
        """
        while True:
            if not self._subscribed:
                yield from self.begin()
            if self._gap:
                why, self._gap = self._gap, ""
                self._core.session.rereads += 1
                return Gap(why)
            try:
                push = self._early.pop(0) if self._early else (yield from self._push(seconds))
            except ConnectionLost as lost:
                self._refuse_closed()
                self._subscribed = False
                self._lost = lost.text
                if math.isfinite(self._move_at):
                    self._core.move_to(self._new_address)
                    self._core.session.moves += 1
                if self._core.reconnect_seconds <= 0:
                    raise
                continue
            if push is None:
                return None
            kind, *parts = push
            if as_text(kind) in ("message", "pmessage"):
                event = self._event(*(as_text(part) for part in parts))
                self._core.session.rereads += isinstance(event, Gap)
                if event is not None:
                    return event

    def _event(self, *parts: str) -> Event | None:
        """A message; None: it was told before the link was lost, or is for the place alone."""
        channel, content = parts[-2], orjson.loads(parts[-1])
        if "class" in content:
            is_new = self._place.take(parts[:-1], content)
            self._core.session.saw(content["revision"])
            return event_of(channel, content) if is_new else None
        event = event_of(channel, content)
        if isinstance(event, Gap):
            self._place.begin(content["oldest"] - 1, "")
        elif event.op == "bookmark":
            self._place.begin(content["revision"], content["mark"])
            self._core.session.token = content.get("token", "") or self._core.session.token
        elif event.op == "moving" and self._core.reconnect_seconds > 0:
            self._move_at = self._core.clock() + content["ms"] / 1000
            self._move_to = address_in(content.get("to", ""))
        # Who uses CFG.FROM gets them by that name, whatever it subscribes to.
        is_asked = len(parts) > 2 or channel in self._channels
        return event if is_asked or isinstance(event, Gap) else None

    def close(self) -> None:
        """No event comes any more."""
        self.is_closed = True

    def _refuse_closed(self) -> None:
        if self.is_closed:
            raise ConnectionLost("the subscription is closed")

    def _push(self, seconds: float | None) -> Steps[list[Value] | None]:
        """The next push, or None after so many seconds; ConnectionLost if the peer is gone."""
        self._refuse_closed()
        now = self._core.clock()
        end = None if seconds is None else now + seconds
        while True:
            if now >= self._move_at:
                yield from self._move()
            if (yield from self._core.go_back()):
                self._move_at = math.inf
                raise ConnectionLost(f"going back to {self._core.address}, which is preferred")
            wake_at = min(self._ask_at, self._move_at, self._core.look_at)
            until = min(wake_at, math.inf if end is None else end)
            push: list[Value] | None = yield Listen(max(0.0, until - now))
            if push is not None:
                self._heard()
                return push
            now = self._core.clock()
            if now >= self._ask_at:
                yield Exchange(request("PING"), 1, ALIVE_SECONDS)
                self._heard()
            if end is not None and now >= end:
                return None

    @property
    def _new_address(self) -> Address:
        return self._move_to or self._core.next_address

    def _move(self) -> Steps[None]:
        """Leaves for the other server, if that lets clients in by now."""
        to = self._new_address
        try:
            yield Work(lambda: try_connect(to))
        except CannotConnect:
            self._move_at = self._core.clock() + MOVE_RETRY_SECONDS
            return
        yield Close()
        raise ConnectionLost(f"the server drains: going on at {to}")

    def _heard(self) -> None:
        self._ask_at = self._core.clock() + KEEPALIVE_SECONDS


def subscribe_request(channels: Sequence[str]) -> bytes:
    """Subscribes to channels and patterns; each is confirmed by a push."""
    patterns = [name for name in channels if _OF_PATTERNS & set(name)]
    plain = [name for name in channels if name not in patterns]
    commands = (("SUBSCRIBE", plain), ("PSUBSCRIBE", patterns))
    return b"".join(request(word, *names) for word, names in commands if names)


def address_in(text: str) -> Address | None:
    """The address that a notice names; None: it names none."""
    try:
        return parse_address(text) if text else None
    except ValueError:
        return None


def event_of(channel: str, content: dict[str, Any]) -> Event:
    """A message's payload as a Change, a Notice, or a Gap."""
    if content["op"] == "resync":
        return Gap(f"the server holds changes from revision {content.get('oldest')} on only")
    if "class" not in content:
        return Notice(content["op"], content)
    return Change(
        channel,
        content["op"],
        content["class"],
        content["DBID"],
        content["revision"],
        content.get("object"),
        content.get("delta"),
        content.get("base"),
        content.get("time", 0),
        content.get("actor", {}),
        content.get("more", False),
    )
