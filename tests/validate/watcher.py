"""Subscribes and reads on one connection, and goes on elsewhere by its place or by its token."""

from __future__ import annotations

from collections import deque
from typing import Any

import orjson

from csp.model.token import read_token
from csp.resp import ErrorReply, Push
from tests.validate.actor import (
    APPLICATION,
    Ground,
    now,
    oldest_said,
    shown,
    shown_object,
    value_of,
)
from tests.validate.history import NOW, Bookmark, Gap, Read, State, Subscribed, Synced, Told
from tests.validate.hopper import Hopper
from tests.validate.wire import Lost, Refused, Wire, words_of

BOOKMARK_MS = 1_000
HOP_SHARE = 0.002
READ_SHARE = 0.3
STATE_SHARE = 0.5  # of beginnings at which it wants to be shown what there is
LISTEN_SECONDS = 0.02
SILENT_SECONDS = 8.0  # a bookmark comes each second; then the peer counts as gone


class Watcher(Hopper):
    """Shows the order of pushes and replies, and what a bare client has to do to miss nothing."""

    hop_share = HOP_SHARE

    def __init__(
        self, ground: Ground, channels: tuple[str, ...], name: str, seed: int, *, by_token: bool
    ) -> None:
        super().__init__(ground, name, seed)
        self.channels = channels
        self.by_token = by_token
        self.state_share = 0.0 if by_token else STATE_SHARE
        self.asked: deque[tuple[float, list[str]]] = deque()  # reads without a reply
        self.place, self.mark = NOW, ""  # all up to here was told
        self.newest = 0  # revision of which anything was told
        self.token = ""
        self.heard = 0.0
        self.by_tokens = self.synced = 0

    def turn(self, wire: Wire) -> None:
        self._ask(wire)
        self._listen(wire)

    def drop(self) -> None:
        self.asked.clear()

    # ------------------------------------------------------------------ beginning

    def arrive(self) -> None:
        """Subscribes where it was; what was told of an unfinished transaction comes again."""
        is_by_token = bool(self.token) and self.chance.random() < 0.5
        self.wire = Wire(self.ground.address(self.server), *([self.token] if is_by_token else []))
        if self.by_token:
            self.wire.call("CFG.REGISTER", APPLICATION)
        if self.seen:  # by its reads, which may be ahead of what it was told
            self.sync(self.wire)
        if is_by_token:
            token = read_token(self.token.encode())
            assert token is not None
            self.by_tokens += 1
            self.wire.send(("SUBSCRIBE", *self.channels, "cfg.notice"))
            self._began(token.revision, token.revision, f"{token.mark:016x}")
        else:
            self._from(self.wire)
        left = len(self.channels) + 1
        while left:
            value = self.wire.next()
            if value is None:
                raise Lost("no confirmation")
            if isinstance(value, Push) and words_of(value)[0] == "subscribe":
                left -= 1
            else:
                self._take(value)
        self.heard = now()

    def _from(self, wire: Wire) -> None:
        place, mark = self.place, self.mark
        if self.newest > self.place != NOW:
            place, mark = self.newest - 1, ""
        words: list[str | int] = ["NOW"] if place == NOW else [place]
        last = ["WITHSTATE"] if self.chance.random() < self.state_share else []
        if mark:
            words += ["MARK", mark]
        subscriptions = len(self.channels) + 1
        try:
            reply = wire.call(
                "CFG.FROM", *words, "SUBS", subscriptions, "BOOKMARKS", BOOKMARK_MS, *last
            )
        except Refused as refused:
            if refused.word != "RESYNC":
                raise
            self.note(Gap(*self._where(), str(refused), oldest_said(str(refused))))
            self.place, self.mark, self.newest = NOW, "", 0
            raise Lost("resync") from refused
        _, start, mark = reply
        mark = mark.decode() if isinstance(mark, bytes) else mark or ""
        self._began(place, int(start), mark)
        wire.send(("SUBSCRIBE", *self.channels, "cfg.notice"))

    def _began(self, after: int, start: int, mark: str) -> None:
        self.note(Subscribed(*self._where(), self.channels, after, start, mark))
        self.place, self.mark, self.newest = start, mark, start

    def _where(self) -> tuple[str, str, int, float]:
        return self.name, self.server, self.connection, now()

    # ------------------------------------------------------------------ going on

    def _ask(self, wire: Wire) -> None:
        if self.chance.random() < READ_SHARE and len(self.asked) < 3:
            keys = self.chance.sample(self.ground.keys, self.chance.randint(1, 3))
            self.asked.append((now(), keys))
            wire.send(("MGET", *keys))

    def _listen(self, wire: Wire) -> None:
        seconds = LISTEN_SECONDS
        while (value := wire.next(seconds)) is not None:
            self.heard = now()
            self._take(value)
            seconds = 0.0
        if now() - self.heard > SILENT_SECONDS:
            raise Lost("silent")

    def _take(self, value: Any) -> None:
        if not isinstance(value, Push):
            began, keys = self.asked.popleft()
            if isinstance(value, ErrorReply):
                raise Refused(value.word, str(value))
            if any(isinstance(one, ErrorReply) for one in value):
                return  # BUSY, for one of them
            found = tuple(shown(key, one) for key, one in zip(keys, value, strict=True))
            self.note(Read(self.name, self.server, self.connection, began, now(), found))
            self.seen = max(self.seen, *(one.revision for one in found))
            return
        kind, channel, payload = words_of(value)
        assert kind == "message", kind
        self._message(channel, orjson.loads(payload))

    def _message(self, channel: str, content: dict[str, Any]) -> None:
        if content["op"] == "state":
            made = shown_object(content["object"])
            self.note(State(*self._where(), channel, made.key, made.revision, made.value))
        elif content["op"] == "synced":
            self.note(Synced(*self._where(), content["revision"]))
            self.synced += 1
        elif "class" in content:
            key, revision = f"{content['class']}:{content['DBID']}", content["revision"]
            told = (channel, content["op"], key, revision, value_of(content), content["more"])
            self.note(Told(*self._where(), *told))
            self.newest = max(self.newest, revision)
            self.seen = max(self.seen, revision)
        elif content["op"] == "bookmark":
            self.place, self.mark = content["revision"], content["mark"]
            self.newest = max(self.newest, self.place)
            if self.by_token:
                self.token = content.get("token", "")
            self.note(Bookmark(*self._where(), self.place, self.mark))
        elif content["op"] == "resync":
            self.note(Gap(*self._where(), str(content), content["oldest"]))
            self.place, self.mark = content["oldest"] - 1, ""
