"""Servers in a few lists for a subscription of csp.client: they lag, die, forget, take links away.

A driver does the steps of the client's core without a socket; what happens to each is chosen by a
seed. What is told to the application is judged against the log of changes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import orjson

from csp.client.address import Address
from csp.client.commands import Commands
from csp.client.core import Credentials
from csp.client.decoding import new_decoder
from csp.client.problems import CannotConnect, ConnectionLost
from csp.client.steps import Close, Exchange, Listen, Open, Pause, Steps
from csp.client.subscription import Change, Event, Gap, Watching
from csp.errors import CspError
from csp.resp import Decoder, encode, error

Result = TypeVar("Result")
ADDRESSES = [Address("first", 1), Address("second", 2)]
CLASSES = ("CfgSkill", "CfgPerson")
Part = tuple[int, str, str, int]  # revision, operation, class, DBID


@dataclass
class Server:
    """How far one has come, and how far back it can tell."""

    published: int = 0
    oldest: int = 1  # revision that it can tell first


@dataclass
class Restored:
    """The database was put back: what is told from here on is of another history."""

    log: list[list[Part]]  # that was


@dataclass
class Link:
    """A connection: where it stands in the log, and what is on its way."""

    server: Server
    channels: list[str] = field(default_factory=list)
    place: int = -1
    coming: list[list[bytes]] = field(default_factory=list)
    is_bookmarked: bool = True


class SubscriptionWorld:
    """The log, two servers, the network, the clock; and what the application was told."""

    def __init__(self, seed: int, channels: tuple[str, ...], *, restores: bool = True) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.log: list[list[Part]] = []  # of revision 1 on
        self.servers = {address: Server() for address in ADDRESSES}
        self.link: Link | None = None
        self.troubles = 0.0  # how often something goes wrong
        self.channels = channels
        self.restores = restores  # the database is put back now and then
        self.marks = ["0" * 16]  # of revision 0 on
        self.events: list[Event | Restored] = []
        self.begins_at = -1
        core = Commands(
            ADDRESSES,
            Credentials(password="x"),
            name="",
            reconnect_seconds=3.0,
            outcome_seconds=3.0,
            is_open=lambda: self.link is not None,
            clock=lambda: self.now,
        )
        self.watching = Watching(core, channels)

    # ------------------------------------------------------------------ the play

    def run(self, rounds: int) -> None:
        """Changes and troubles for so many rounds, then calm; and what was told is judged."""
        self._commit(3)
        self._publish(all_of_it=True)
        while not self.watching._subscribed:
            self._try(self.watching.begin())
        self.begins_at = self.watching._place._revision
        self.troubles = self.random.choice((0.02, 0.1, 0.3))
        for _ in range(rounds):
            if self.random.random() < 0.6:
                self._commit(self.random.randint(1, 3))
            self._publish(all_of_it=False)
            if self.random.random() < self.troubles / 4:
                self._forget()
            if self.restores and self.random.random() < self.troubles / 8:
                self._restore()
            self._take(self.random.randint(0, 6))
        self.troubles = 0.0
        self._commit(1)
        self._publish(all_of_it=True)
        self._take(10_000)
        self.judge()

    def _take(self, count: int) -> None:
        for _ in range(count):
            event = self._try(self.watching.next(0.5))
            if isinstance(event, Change | Gap):
                self.events.append(event)
            elif event is None and not self.troubles:
                return

    def _try(self, steps: Steps[Result]) -> Result | None:
        try:
            return self.drive(steps)
        except CspError:
            return None  # told to the application, which asks again

    # ------------------------------------------------------------------ judging

    def judge(self) -> None:
        """On each channel every change once and in order, or a gap where one is missing."""
        ends = [at for at, event in enumerate(self.events) if isinstance(event, Restored)]
        begin, begins_at = 0, self.begins_at
        for end in [*ends, len(self.events)]:
            restored = self.events[end] if end < len(self.events) else None
            log = restored.log if isinstance(restored, Restored) else self.log
            for channel in self.channels:
                self._judge(channel, self.events[begin:end], log, begins_at, restored is not None)
            # Of the next history something is told only behind a gap, and from anywhere.
            begin, begins_at = end + 1, -1

    def _judge(
        self,
        channel: str,
        events: Sequence[Event | Restored],
        log: list[list[Part]],
        begins_at: int,
        is_over: bool,
    ) -> None:
        wanted = [
            part
            for parts in log[max(begins_at, 0) :]
            for part in parts
            if channel in ("cfg", f"cfg:{part[2]}")
        ]
        numbers = {part: at for at, part in enumerate(wanted)}
        place, may_miss = -1, False  # the last that was told; whether a gap followed it
        is_known = begins_at >= 0
        for event in events:
            if isinstance(event, Gap):
                may_miss = is_known = True
                continue
            assert isinstance(event, Change)
            if event.channel != channel:
                continue
            part = (event.revision, event.op, event.class_name, event.dbid)
            assert is_known, f"{part} of another history came without a gap"
            assert part in numbers, f"{part} never was, or was not asked for"
            # Behind a gap it begins anew, at a server that may have got less far.
            assert may_miss or numbers[part] > place, f"{part} comes twice, or behind a later one"
            missing = wanted[place + 1 : numbers[part]]
            assert may_miss or not missing, f"{missing} were left out without a gap"
            place, may_miss = numbers[part], False
        left = wanted[place + 1 :]
        assert may_miss or is_over or not left, f"{left} never came"

    # ------------------------------------------------------------------ servers

    def _commit(self, count: int) -> None:
        for _ in range(count):
            revision = len(self.log) + 1
            self.log.append(
                [
                    (revision, "update", self.random.choice(CLASSES), dbid)
                    for dbid in self.random.sample(range(100, 110), self.random.randint(1, 3))
                ]
            )
            self.marks.append(f"{self.random.getrandbits(64):016x}")

    def _publish(self, *, all_of_it: bool) -> None:
        newest = len(self.log)
        for server in self.servers.values():
            more = newest if all_of_it else self.random.randint(0, 4)
            server.published = min(newest, server.published + more)

    def _forget(self) -> None:
        """A server's log passes what it had, or it was loaded anew."""
        server = self.random.choice([*self.servers.values()])
        server.oldest = self.random.randint(server.oldest, server.published + 1)

    def _restore(self) -> None:
        """The database is put back before the client's newest mark, and goes on otherwise.

        What is put back behind it nobody can tell from the same history: bookmarks are to be
        frequent enough.
        """
        marked = self.watching._place._marked
        if marked is None or not marked[0]:
            return
        back = self.random.randrange(marked[0])
        self.events.append(Restored(list(self.log)))
        self.link = None
        del self.log[back:], self.marks[back + 1 :]
        self._commit(self.random.randint(1, 60))
        for server in self.servers.values():
            server.published = server.oldest = 0
        self._publish(all_of_it=True)

    def _advance(self, link: Link) -> bool:
        """Puts the next change, a bookmark or a resync on its way; False: there is none."""
        server = link.server
        if link.place < server.oldest - 1:
            content = {"op": "resync", "oldest": server.oldest, "retry_ms": 1}
            link.coming.append([b"message", b"cfg.notice", orjson.dumps(content)])
            link.place = server.oldest - 1
        elif link.place < server.published:
            link.place += 1
            link.is_bookmarked = False
            for channel in link.channels:
                link.coming += self._messages(channel, link.place)
        elif link.place == server.published and not link.is_bookmarked:
            link.is_bookmarked = True
            content = {"op": "bookmark", "revision": link.place, "mark": self.marks[link.place]}
            link.coming.append([b"message", b"cfg.notice", orjson.dumps(content)])
        else:
            return False
        return True

    def _messages(self, channel: str, revision: int) -> list[list[bytes]]:
        parts = [p for p in self.log[revision - 1] if channel in ("cfg", f"cfg:{p[2]}")]
        found = []
        for number, (_, op, class_name, dbid) in enumerate(parts, 1):
            content = {"op": op, "class": class_name, "DBID": dbid, "revision": revision}
            content |= {"delta": {}, "base": 1, "more": number < len(parts)}
            found.append([b"message", channel.encode(), orjson.dumps(content)])
        return found

    # ------------------------------------------------------------------ the driver

    def drive(self, steps: Steps[Result]) -> Result:
        """Does the steps to their end; now and then it breaks off where a wait may be."""
        answer: object = None
        problem: CspError | None = None
        while True:
            try:
                step = steps.send(answer) if problem is None else steps.throw(problem)
            except StopIteration as end:
                result: Result = end.value
                return result
            answer, problem = None, None
            if isinstance(step, Listen) and self._goes_wrong(0.2):
                steps.close()  # cancelled: nothing is half received
                raise CspError("cancelled")
            try:
                answer = self._do(step)
            except CspError as found:
                problem = found

    def _do(self, step: object) -> object:
        match step:
            case Open(address):
                self.link = None
                if self._goes_wrong():
                    raise CannotConnect("refused")
                self.link = Link(self.servers[address])
            case Close():
                self.link = None
            case Pause(seconds):
                self.now += seconds
            case Exchange(data, replies):
                return self._exchange(data, replies)
            case Listen(seconds):
                return self._listen(seconds or 1.0)
        return None

    def _listen(self, seconds: float) -> object:
        link = self._linked()
        while not link.coming and link.channels and self._advance(link):
            pass  # a change of which nothing is told to it
        if link.coming:
            return link.coming.pop(0)
        self.now += seconds
        return None

    def _exchange(self, data: bytes, replies: int) -> list[object]:
        link = self._linked()
        decoder, found, answers = Decoder(), new_decoder(), []
        decoder.feed(data)
        for command in decoder:
            assert isinstance(command, list)
            words = [bytes(word).decode() for word in command]  # type: ignore[arg-type]
            sent = self._answer(link, words)
            if sent:
                found.feed(sent)
                answers.append(found.next())
        assert len(answers) == replies
        self._linked()  # the reply may be lost too
        return answers

    def _answer(self, link: Link, words: list[str]) -> bytes:
        match words:
            case ["CFG.FROM", *_] if link.channels:
                return error("ERR CFG.FROM comes before the first subscription")
            case ["SUBSCRIBE", *channels]:
                link.channels = channels
                for number, channel in enumerate(channels, 1):
                    link.coming.append([b"subscribe", channel.encode(), str(number).encode()])
                return b""
            case ["CFG.FROM", "NOW", *_]:
                link.place = link.server.published
            case ["CFG.FROM", revision, "MARK", mark, *_]:
                if int(revision) <= len(self.log) and mark != self.marks[int(revision)]:
                    return error("RESYNC another history")
                return self._from(link, int(revision))
            case ["CFG.FROM", revision, *_]:
                return self._from(link, int(revision))
            case _:
                return b"+OK\r\n"
        return encode([b"cfg.from", link.place, self.marks[link.place].encode()], 3)

    def _from(self, link: Link, revision: int) -> bytes:
        """One that this server has yet to reach is waited for: nothing up to it is told."""
        if revision < link.server.oldest - 1:
            return error(f"RESYNC the log does not go on from {revision}")
        if revision > len(self.log):
            return error(f"RESYNC {revision} is beyond the newest")
        link.place = revision
        return encode([b"cfg.from", revision, self.marks[revision].encode()], 3)

    def _linked(self) -> Link:
        """The connection, unless it is lost now."""
        if self.link is None or self._goes_wrong():
            self.link = None
            raise ConnectionLost("lost")
        return self.link

    def _goes_wrong(self, share: float = 1.0) -> bool:
        return self.random.random() < self.troubles * share
