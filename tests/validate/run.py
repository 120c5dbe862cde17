"""Runs servers, clients and blows for a time, and has the validators judge what the clients saw."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import click
import orjson

from csp.client import place, subscription
from tests.neighbours.server import Server
from tests.neighbours.waiting import wait_until
from tests.validate.actor import APPLICATION, Actor, Ground, now, value_of
from tests.validate.blows import Blow, blows
from tests.validate.estate import Estate
from tests.validate.history import Committed, Finished, Gap, Part, Read, Record, Told, Write, save
from tests.validate.links import Network
from tests.validate.reader import ClientReader, Reader
from tests.validate.subscriber import Subscriber
from tests.validate.tracker import MODES, Tracker
from tests.validate.validators import judge
from tests.validate.watcher import Watcher
from tests.validate.writer import Writer

BEGIN_SECONDS_MAX = 30.0
CATCH_UP_SECONDS_MAX = 60.0  # for a client that has to notice that its peer is gone
PAUSE_SECONDS = 0.3  # between blows
SHORT_SECONDS = 40.0  # up to so long a run is a short one
# What clients ask for by themselves, more often than in service, where runs are longer.
KEEPALIVE_SECONDS, ALIVE_SECONDS, BOOKMARK_MS = 3.0, 3.0, 1_000


class Run:
    """One run in one folder."""

    def __init__(self, folder: Path, network: Network, *, seed: int, seconds: float) -> None:
        self.folder, self.network = folder, network
        self.seed, self.seconds = seed, seconds
        self.is_short = seconds <= SHORT_SECONDS
        self.workers = 1 if self.is_short else 2
        self.done: Counter[str] = Counter()
        self.violations: list[str] = []
        self.records: list[Record] = []
        self.ground: Ground
        self.writers: list[Writer] = []
        self.readers: list[Reader] = []
        self.client_readers: list[ClientReader] = []
        self.watchers: list[Watcher] = []
        self.subscribers: list[Subscriber] = []
        self.trackers: list[Tracker] = []
        self.others: list[Actor] = []  # of kinds of runs that have more

    def run(self) -> list[str]:
        """The whole run; what was wrong, in words."""
        _quicken()
        with self.estate() as estate:
            self.ground = Ground(estate.fronts, ("master", "first"), estate.keys)
            generations = estate.generations()
            self._begin(estate.wait_level())
            try:
                self._strike(estate)
                self._end(estate)
            finally:
                for actor in self._all():
                    actor.stopping.set()
                for actor in self._all():
                    actor.stop()
            self.records = [*self.ground.recorder.records, *history_of(estate.origin())]
            self._look_back(estate, generations)
        save(self.records, self.folder / "history.jsonl")
        self.violations = [*self.ground.faults, *judge(self.records)]
        return self.violations

    def estate(self) -> Estate:
        """The servers."""
        chain = not self.is_short
        return Estate(self.folder, self.network, workers=self.workers, chain=chain)

    def summary(self) -> list[str]:
        """What was done and seen, in lines for people."""
        kinds = Counter(type(one).__name__ for one in self.records)
        states = Counter(one.state for one in self.records if isinstance(one, Write))
        gaps = [one for one in self.records if isinstance(one, Gap)]
        hops = sum(one.hops for one in (*self.readers, *self.watchers, *self.trackers))
        return [
            f"network: {self.network}",
            f"{self.asked()}: {sum(self.done.values())} blows: "
            + ", ".join(f"{count} {what}" for what, count in sorted(self.done.items())),
            f"{kinds['Committed']} transactions; writes: "
            + ", ".join(f"{count} {state}" for state, count in sorted(states.items())),
            f"{kinds['Read']} reads, {kinds['Told']} changes told, {kinds['Bookmark']} bookmarks, "
            f"{kinds['Subscribed']} subscriptions begun or resumed "
            f"({sum(one.by_tokens for one in self.watchers)} by token, "
            f"{sum(one.synced for one in self.watchers)} with the present state, "
            f"{sum(one.client.session.restored for one in self.subscribers)} sessions of "
            "csp.client restored)",
            f"{kinds['Hit']} answers of caches, {kinds['Dropped']} invalidations",
            f"{hops} hops, {sum(one.lost for one in self._all())} losses, {len(gaps)} gaps",
            f"violations: {len(self.violations)}",
        ]

    def asked(self) -> str:
        """What kind of run it is, so that it can be repeated."""
        return f"seed {self.seed}, {self.seconds:g} s"

    def _all(self) -> list[Actor]:
        readers = [*self.readers, *self.client_readers]
        listeners = [*self.watchers, *self.subscribers, *self.trackers]
        return [*self.writers, *readers, *listeners, *self.others]

    # ------------------------------------------------------------------ beginning

    def _begin(self, start: int) -> None:
        """Those who listen first, while nothing changes; then those who write."""
        ground, seed = self.ground, self.seed
        one_skill = next(key for key in ground.keys if key.startswith("CfgSkill"))
        self.subscribers = [
            Subscriber(
                ground, channels, f"subscriber of {' '.join(channels)}", seed, start, application
            )
            for channels, application in (
                (("cfg",), ""),
                (("cfg:CfgSkill", f"cfg:{one_skill}"), APPLICATION),
                (("cfg@101",), APPLICATION),
                (("cfg:*",), ""),
            )
        ]
        self.watchers = [
            Watcher(ground, channels, f"watcher of {' '.join(channels)}", seed, by_token=by_token)
            for channels, by_token in (
                (("cfg",), False),
                (("cfg:CfgPerson", f"cfg:{one_skill}"), False),
                (("cfg@1:CfgSkill", "cfg:CfgPerson"), True),
            )
        ]
        self.readers = [Reader(ground, f"reader {number}", seed) for number in range(4)]
        self.client_readers = [ClientReader(ground, f"client {n}", seed) for n in range(2)]
        self.writers = [
            Writer(ground, server, f"writer {number} at the {server}", seed)
            for number, server in enumerate((*ground.writable, "master"))
        ]
        begin_all([*self.subscribers, *self.watchers])
        self.trackers = [
            Tracker(ground, mode, f"tracker {number}", seed)
            for number, mode in enumerate((*MODES, "redirect"))
        ]
        begin_all([*self.trackers, *self.readers, *self.client_readers, *self.writers])

    # ------------------------------------------------------------------ blows

    def _strike(self, estate: Estate) -> None:
        end = time.monotonic() + self.seconds
        schedule = blows(
            self.seed,
            tuple(estate.servers),
            estate.leaves(),
            self.workers,
            short=self.is_short,
            network=self.network.blows,
        )
        while time.monotonic() < end and not self.ground.faults:
            blow = next(schedule)
            target = max(estate.revisions().values())
            estate.strike(blow)
            self.done[blow.what] += 1
            self._note(blow)
            if blow.waits:
                estate.wait_reached(target)
            time.sleep(PAUSE_SECONDS)

    def _note(self, blow: Blow) -> None:
        click.echo(f"{time.strftime('%H:%M:%S')} {blow}", err=True)

    # ------------------------------------------------------------------ ending

    def _end(self, estate: Estate) -> None:
        """All are told everything: the last transaction is one that each of them is told of."""
        for link in (*estate.fronts.values(), *estate.feeds.values()):
            link.go_on()
        for writer in self.writers:
            writer.stopping.set()
        for writer in self.writers:
            writer.join(CATCH_UP_SECONDS_MAX)
        estate.wait_level()
        for writer in self.writers:
            writer.settle()
        last = wait_until(lambda: self._write_last(), CATCH_UP_SECONDS_MAX, "a last write")
        estate.wait_reached(last)
        for listener in (*self.subscribers, *self.watchers):
            self._wait_told(listener, last)
            self.ground.recorder.add(Finished(listener.name, now(), last))
        for tracker in self.trackers:
            self._wait_current(tracker, last)
        for writer in self.writers:
            writer.leave()

    def _write_last(self) -> int:
        return self.writers[0].write(self.ground.keys)

    def _wait_told(self, listener: Subscriber | Watcher, last: int) -> None:
        def is_told() -> bool:
            return listener.newest >= last or not listener.is_alive()

        try:
            wait_until(is_told, CATCH_UP_SECONDS_MAX)
        except AssertionError:
            self.ground.faults.append(
                f"{listener.name} is at {listener.newest} and was not told of {last}"
            )

    def _wait_current(self, tracker: Tracker, last: int) -> None:
        """The last transaction took back all that its cache held; then it answers once more."""
        try:
            wait_until(
                lambda: tracker.oldest >= last or not tracker.is_alive(), CATCH_UP_SECONDS_MAX
            )
        except AssertionError:
            self.ground.faults.append(f"{tracker.name} still holds what {last} has replaced")
        self.ground.recorder.add(Finished(tracker.name, now(), last))
        hits = tracker.hits
        wait_until(lambda: tracker.hits > hits + 10 or not tracker.is_alive(), 10)

    def _look_back(self, estate: Estate, generations: dict[str, object]) -> None:
        """No server loaded anew, and each proxy holds what its master's database does."""
        for name, generation in estate.generations().items():
            if generation != generations[name] and name not in estate.forgotten:
                self.ground.faults.append(
                    f"the {name} loaded anew: generation {generations[name]}, now {generation}"
                )
        for name in estate.feeds:
            verdict = estate.verdict(name)
            if verdict:
                self.ground.faults.append(f"verify of the {name}: {verdict}")


def history_of(master: Server) -> list[Committed]:
    """All transactions, from the master's own history."""
    found: list[Committed] = []
    tenants: dict[str, int] = {}
    since = "0"
    with master.client() as client:
        while True:
            _, since, records = client.execute_command("CFG.HISTORY", "SINCE", since)
            found += [_committed(orjson.loads(record), tenants) for record in records]
            if str(since) == "0":
                return found


def _committed(record: dict[str, object], tenants: dict[str, int]) -> Committed:
    parts, value = [], 0
    changes = record["changes"]
    assert isinstance(changes, list)
    for change in changes:
        key = f"{change['class']}:{change['DBID']}"
        if change["op"] == "create":
            tenants[key] = int(change.get("object", {}).get("tenantDBID", 1))
        parts.append(Part(change["op"], key, tenants.get(key, 1)))
        value = value_of(change) or value
    return Committed(int(str(record["revision"])), value, tuple(parts))


def begin_all(actors: list[Actor]) -> None:
    for actor in actors:
        actor.start()
    begun: Callable[[], bool] = lambda: all(  # noqa: E731
        actor.is_begun.is_set() or not actor.is_alive() for actor in actors
    )
    wait_until(begun, BEGIN_SECONDS_MAX, "all clients have begun")


def _quicken() -> None:
    """Has csp.client look sooner for signs of life, and ask for more bookmarks."""
    subscription.KEEPALIVE_SECONDS = KEEPALIVE_SECONDS
    subscription.ALIVE_SECONDS = ALIVE_SECONDS
    place.BOOKMARK_MS = BOOKMARK_MS


__all__ = ["Read", "Run", "Told", "history_of"]
