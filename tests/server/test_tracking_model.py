"""Caches that live by what they are told, against what the store holds: never a stale reply.

Each client keeps what it has read until an invalidation takes it back. Whatever comes in whichever
pieces: a value that is still kept is that of the newest revision which any reply on the connection
has shown (G5), and once all has come, that of the store.
"""

from __future__ import annotations

import itertools

import orjson
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.effort import examples
from tests.server.hot_stage import HotServer, Raw, command, person

OBJECTS = 8
FIRST = 101
SIZES = (10, 3_000, 60_000)
SPELLINGS = ("CfgPerson:{}", "CfgPerson:0{}")
MODES: tuple[tuple[str, ...], ...] = (
    (),
    ("OPTIN",),
    ("BCAST",),
    ("BCAST", "PREFIX", "CfgPerson:10"),
)
TEXTS = itertools.count()


class Cache:
    """One connection and what it keeps."""

    def __init__(
        self, server: HotServer, mode: tuple[str, ...], changes: dict[str, list[int]]
    ) -> None:
        self.changes = changes  # the revisions at which each key has changed
        self.raw: Raw = server.connect(proto=3, receive_bytes=8192)
        assert self.raw.call("CLIENT", "TRACKING", "ON", *mode) == "OK"
        self.keeps: dict[str, int] = {}  # revision; 0: nothing is there
        self.asked: list[list[str]] = []
        self.mode = mode

    def ask(self, verb: str, keys: list[str]) -> None:
        if "OPTIN" in self.mode:
            self.raw.send(command("CLIENT", "CACHING", "YES"))
            self.asked.append([])
        self.raw.send(command(verb, *keys))
        self.asked.append([verb, *keys])

    def take(self) -> None:
        """The next thing that comes."""
        came = self.raw.read()
        if isinstance(came, list) and came and came[0] == "invalidate":
            for key in list(self.keeps) if came[1] is None else came[1]:
                self.keeps.pop(key, None)
            return
        asked = self.asked.pop(0)
        if not asked or asked[0] == "EXISTS":
            assert came in ("OK", 0)
            return
        found = came if asked[0] == "MGET" else [came]
        for key, text in zip(asked[1:], found, strict=True):
            self._keep(key, 0 if text is None else orjson.loads(text)["revision"])
        self._shown(max(orjson.loads(text)["revision"] if text else 0 for text in found))

    def _shown(self, revision: int) -> None:
        """What it keeps is not older than what a reply has shown."""
        for key, kept in self.keeps.items():
            passed = [one for one in self.changes[key] if kept < one <= revision]
            # What was deleted is kept without its revision: only its creation shows that it is old.
            assert not passed or kept == 0, (key, kept, passed, revision)

    def _keep(self, key: str, revision: int) -> None:
        before = self.keeps.get(key)
        assert before in (None, revision), "what it kept had changed, and it was not told so"
        if "BCAST" in self.mode and len(self.mode) > 1 and not key.startswith(self.mode[-1]):
            return  # nobody tells it of this one
        if "BCAST" in self.mode and ":0" in key:
            return  # and prefixes know keys without zeros alone
        self.keeps[key] = revision

    def check(self, now: dict[str, int]) -> None:
        """All has come: what it still keeps is so."""
        self.raw.send(command("EXISTS", "nothing"))  # unlike PING it waits until all is told
        self.asked.append(["EXISTS"])
        while self.asked:
            self.take()
        assert self.keeps.items() <= now.items()


class CacheMachine(RuleBasedStateMachine):
    """One worker, its writer in this process, caches of all kinds; their room is small."""

    @initialize(keys=st.sampled_from((3, 1_000)), turn_us=st.sampled_from((1_000, 10_000)))
    def begin(self, keys: int, turn_us: int) -> None:
        self.server = HotServer(
            [("CfgPerson", person(FIRST + at)) for at in range(OBJECTS)],
            tracked_keys=keys,
            tracked_keys_all=4 * keys,
            turn_us=turn_us,
        )
        self.now = {form.format(FIRST + at): 1 for form in SPELLINGS for at in range(OBJECTS)}
        self.changes = {key: [] for key in self.now}
        self.caches: list[Cache] = []

    def teardown(self) -> None:
        if not hasattr(self, "server"):
            return
        try:
            for one in self.caches:
                one.check(self.now)
        finally:
            self.server.stop()

    @precondition(lambda self: len(self.caches) < 3)
    @rule(mode=st.sampled_from(MODES))
    def connect(self, mode: tuple[str, ...]) -> None:
        self.caches.append(Cache(self.server, mode, self.changes))

    @rule(
        places=st.lists(st.integers(0, OBJECTS - 1), min_size=1, unique=True),
        size=st.sampled_from(SIZES),
        op=st.sampled_from(("update", "update", "update", "delete")),
    )
    def change(self, places: list[int], size: int, op: str) -> None:
        changes = []
        for at in places:
            dbid = FIRST + at
            text = {"section": {"key": f"{next(TEXTS)} " + "x" * size}}
            is_there = self.now[SPELLINGS[0].format(dbid)] > 0
            kind = op if is_there else "create"
            changes.append((kind, "CfgPerson", person(dbid, userProperties=text)))
        revision = self.server.change(*changes)
        for kind, _, obj in changes:
            for form in SPELLINGS:
                key = form.format(obj["DBID"])
                self.now[key] = 0 if kind == "delete" else revision
                self.changes[key].append(revision)

    @precondition(lambda self: self.caches)
    @rule(
        data=st.data(),
        keys=st.lists(
            st.tuples(st.sampled_from(SPELLINGS), st.integers(0, OBJECTS - 1)), min_size=1
        ),
        many=st.booleans(),
    )
    def ask(self, data: st.DataObject, keys: list[tuple[str, int]], many: bool) -> None:
        one = data.draw(st.sampled_from(self.caches))
        names = [form.format(FIRST + at) for form, at in keys]
        if many:
            one.ask("MGET", names)
            return
        for name in names:
            one.ask("GET", [name])

    @precondition(lambda self: self.caches)
    @rule(data=st.data(), count=st.integers(1, 40))
    def read(self, data: st.DataObject, count: int) -> None:
        one = data.draw(st.sampled_from(self.caches))
        while count and one.asked:
            one.take()
            count -= 1

    @precondition(lambda self: self.caches)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.caches)).check(self.now)


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = examples(
    12, stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
