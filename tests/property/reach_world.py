"""A worker's loop in this process, whose subscribers may read different parts of an estate.

Everything happens in steps: objects and grants are changed, and the loop makes its turns.  What
each subscriber was told is replayed into what it must know then, and compared with what a look at
every object says.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from csp._fastpath import Loop, StoreWriter
from csp.model.keys import STORED_KEYS, TABLE_DIGEST
from csp.model.places import TENANT, Place, tenants_of
from csp.model.rights import ACCESS_GROUP, ALL, EXECUTE, PERSON, PROPAGATE, READ, Account
from csp.model.types import CLASSES, by_id
from csp.resp import MORE, Decoder, ErrorReply, request
from csp.worker.glob import compile_glob
from tests.neighbours.memory_store import STREAM, MemoryStore
from tests.property.granted_world import TIME_MS, GrantedWorld, folder, group, person, skill
from tests.server.hot_stage import OpenLane

RESERVE_BYTES = 64 << 20
SKILL, APPLICATION = CLASSES["CfgSkill"].id, CLASSES["CfgApplication"].id
FOLDER = CLASSES["CfgFolder"].id
FOLDERS, SKILLS, PERSONS, GROUPS, APPLICATIONS = (
    range(200, 210),
    range(500, 720),
    range(101, 105),
    range(300, 306),
    range(600, 604),
)
MASTER = PERSONS[0]  # who may read everything
CHANNELS = (
    (b"cfg", False),
    (b"cfg:CfgSkill", False),
    (b"cfg:CfgSkill:505", False),
    (b"cfg@1", False),
    (b"cfg@2:CfgApplication", False),
    (b"cfg:*:5*", True),
    (b"cfg:CfgPerson", False),
)
SKILLS_MADE = 150
SMALL_BUFFER = 4096
TURNS_MAX = 200_000


@dataclass
class Client:
    """One connection, and what it must know of each of its channels."""

    socket: socket.socket
    account: int
    proto: int
    channels: list[tuple[bytes, bool]]
    is_lazy: bool
    decoder: Decoder = field(default_factory=Decoder)
    known: dict[bytes, dict[Place, int]] = field(default_factory=dict)
    follows: dict[bytes, tuple[int, bool]] = field(default_factory=dict)  # revision, more
    told: list[dict[str, Any]] = field(default_factory=list)
    replies: list[Any] = field(default_factory=list)
    resyncs: int = 0

    def receive(self) -> bool:
        """Takes what is there; whether it was anything."""
        try:
            data = self.socket.recv(1 << 20)
        except BlockingIOError:
            return False
        assert data, "closed by the server"
        self.decoder.feed(data)
        return True


class Lane(OpenLane):
    """Signs in whoever is named, and brings what has left the log, as a slow lane does."""

    def __init__(self, entries: dict[int, bytes]) -> None:
        super().__init__()
        self.entries = entries

    def command(self, conn: int, args: list[bytes]) -> bytes | None:
        if args[0].lower() == b"auth":
            self.loop.session(conn).account_dbid = int(args[1])
            self.loop.session(conn).authenticated = True
            return b"+OK\r\n"
        return super().command(conn, args)

    def fetch(self, conn: int, revision: int, mark: int | None, unsure: bool) -> None:
        self.loop.call_later(0, lambda: self._tell(conn, revision, 0))

    def _tell(self, conn: int, revision: int, item: int) -> None:
        if revision >= self.loop.reader.oldest:
            self.loop.replay_end(conn, lost=False)
            return
        at = self.loop.replay(conn, self.entries[revision], item)
        if at >= 0:
            after = revision + (at == 0)
            self.loop.call_later(0, lambda: self._tell(conn, after, at))


class ReachWorld:
    """The store, the loop, its clients."""

    def __init__(
        self, seed: int, *, turn_us: int, log_bytes: int = 0, is_random: bool = True
    ) -> None:
        self.random = random.Random(seed)
        self.store = MemoryStore(RESERVE_BYTES, log_bytes=log_bytes)
        self.estate = GrantedWorld()
        self.states: dict[int, GrantedWorld] = {}
        self.entries: dict[int, bytes] = {}
        self.actors: dict[int, int] = {}  # by revision: who changed something, 0: nobody
        self.clients: list[Client] = []
        self.scopes: dict[int, frozenset[Place] | None] = {0: None}  # the worker's, since when
        self._readable: dict[tuple[int, int], dict[Place, int]] = {}
        self._begin()
        if is_random:
            self._fill()
        self._load()
        self._open(turn_us)

    def _begin(self) -> None:
        """Two tenants, and persons of whom one may do everything."""
        for tenant in (1, 2):
            place = self.estate.put("CfgTenant", tenant, name=f"t{tenant}", folderDBID=0)
            self.estate.add(place, (PERSON.id, MASTER), ALL | PROPAGATE)
        default = self.estate.put("CfgApplication", 100, name="default", folderDBID=0)
        for dbid in PERSONS:
            self.estate.put("CfgPerson", dbid, **person(dbid, 0))
            self.estate.add(default, (PERSON.id, dbid), READ | EXECUTE)

    def _fill(self) -> None:
        """Folders with all kinds of objects, groups, and some grants."""
        estate, chance = self.estate, self.random
        for dbid in FOLDERS:
            inside = chance.choice((0, *range(FOLDERS[0], dbid)))
            estate.put("CfgFolder", dbid, **folder(dbid, inside, 1 + dbid % 2))
        for dbid in PERSONS:
            estate.put("CfgPerson", dbid, folderDBID=chance.choice(FOLDERS))
        for dbid in GROUPS:
            estate.put("CfgAccessGroup", dbid, **group(dbid, self._members(dbid), inside=200))
        for dbid in chance.sample(SKILLS, SKILLS_MADE):
            estate.put("CfgSkill", dbid, **self._skill(dbid))
        for dbid in APPLICATIONS:
            tenants = [[], [2], [2, 3], [1]][dbid % 4]
            estate.put(
                "CfgApplication", dbid, name=f"a{dbid}", folderDBID=chance.choice(FOLDERS),
                tenantDBIDs=tenants,
            )  # fmt: skip
        for _ in range(12):
            self._turn()

    def _load(self) -> None:
        for image in self.estate.images():
            self.store.writer.load(image)
        self.store.publish()
        self.states[1] = self.estate.copy()

    def _members(self, dbid: int) -> set[Account]:
        members = {(PERSON.id, one) for one in PERSONS[1:] if self.random.random() < 0.3}
        return members | {(ACCESS_GROUP.id, one) for one in GROUPS if one > dbid and one % 3 == 0}

    def _skill(self, dbid: int) -> dict[str, Any]:
        made = skill(dbid, self.random.choice(FOLDERS))
        return {**made, "name": "s".ljust(self.random.choice((3, 900)), "x")}

    def _open(self, turn_us: int) -> None:
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.listener.setblocking(False)
        self.lane = Lane(self.entries)
        self.loop = self.lane.loop = Loop(
            control=self.store.control, slot=0, data_fd=self.store.data_fd,
            listen_fds=[self.listener.fileno()], wake_fd=-1, slow=self.lane,
            limits={"turn_us": turn_us}, attach=lambda _: os.dup(self.store.data_fd),
        )  # fmt: skip

    def close(self) -> None:
        """Everything ends; nothing is left of it."""
        for client in self.clients:
            client.socket.close()
        for _ in range(100):  # the kernel tells of it in its own time
            self.turns(20)
            left = self.loop.counters()
            if not left["connections"]:
                break
        del self.lane, self.loop
        self.listener.close()
        self.store.close()
        named = ("connections", "buffers", "channels", "lagging", "tracking", "tracked")
        assert not any(left[name] for name in named), left

    def load_anew(self) -> None:
        """Another generation with all that there is: its nodes have other numbers."""
        store, old = self.store, self.store.writer
        os.close(store.data_fd)
        store.data_fd = os.memfd_create("data")
        store.writer = StoreWriter(
            store.data_fd, store.control, reserve_bytes=RESERVE_BYTES, format=True,
            keys=STORED_KEYS, table=TABLE_DIGEST,
        )  # fmt: skip
        store.writer.load_begin(STREAM)
        for image in reversed([*self.estate.present(old.published)]):
            store.writer.load(image)
        store.writer.load_end(old.published, old.mark, TIME_MS)
        store.control.generation = 2

    # ------------------------------------------------------------------ the estate

    def commit(self, account: int = 0) -> int:
        """What was changed since, as one transaction of this account."""
        revision = self.store.writer.published + 1
        actor = {"account": f"CfgPerson:{account}", "application": "x"} if account else {}
        entry = self.estate.take(revision, self.store.writer.mark, actor)
        self.store.writer.apply(entry)
        self.store.writer.reclaim()
        self.entries[revision] = entry
        self.actors[revision] = account
        self.states[revision] = self.estate.copy()
        return revision

    def change(self, parts: int) -> int:
        """One transaction of so many parts at most."""
        for key in dict.fromkeys(self.random.sample(self._candidates(), parts)):
            self._change(key)
        return self.commit(self.random.choice((*PERSONS, 0)))

    def _candidates(self) -> list[Place]:
        found = [(SKILL, dbid) for dbid in SKILLS]
        found += [(FOLDER, dbid) for dbid in FOLDERS[1:]] * 3
        return found + [(APPLICATION, dbid) for dbid in APPLICATIONS] * 3

    def _change(self, key: Place) -> None:
        name, dbid, chance = by_id[key[0]].name, key[1], self.random
        if key not in self.estate.objects:
            self.estate.put(name, dbid, **self._skill(dbid))
            return
        if key[0] == SKILL and chance.random() < 0.2:
            self.estate.remove(key)
            return
        more: dict[str, Any] = {"name": f"n{chance.randrange(1000)}"}
        if chance.random() < 0.3:
            lower = (0, *range(FOLDERS[0], dbid)) if key[0] == FOLDER else FOLDERS
            more["folderDBID"] = chance.choice(lower)
        self.estate.put(name, dbid, **more)

    def _turn(self) -> None:
        """Something about who may read what is another: grants, members, states."""
        chance, estate = self.random, self.estate
        kind = chance.random()
        if kind < 0.2:
            dbid = chance.choice(GROUPS)
            state = chance.choice(("enabled", "enabled", "disabled"))
            made = group(dbid, self._members(dbid), inside=200, state=state)
            estate.put("CfgAccessGroup", dbid, **made)
        else:
            at = chance.choice([(FOLDER, one) for one in FOLDERS])
            if chance.random() < 0.3:
                at = chance.choice([one for one in estate.objects if one[0] == SKILL])
            account = chance.choice(
                [(ACCESS_GROUP.id, one) for one in GROUPS] * 2
                + [(PERSON.id, one) for one in PERSONS[1:]]
            )
            if chance.random() < 0.2:
                granted = dict(estate.grants(at))
                granted.pop(account, None)
                estate.grant(at, granted)
            else:
                estate.add(at, account, chance.choice((READ, READ, 0)) | PROPAGATE)

    def turn_rights(self, parts: int = 1) -> int:
        """One transaction that changes who may read what."""
        for _ in range(parts):
            self._turn()
        return self.commit(MASTER)

    def readable(self, account: int, revision: int) -> dict[Place, int]:
        """Of each object that an account may read, its revision."""
        found = self._readable.get((account, revision))
        if found is None:
            state = self.states[revision]
            shown = state.within(self.scope_at(revision), state.readable(account))
            found = {at: int(state.objects[at]["revision"]) for at in shown}
            self._readable[account, revision] = found
        return found

    def limit(self) -> None:
        """The worker has another scope, or none; with the next revision it holds for sure."""
        chance = self.random
        some = [(FOLDER, one) for one in FOLDERS] + [(TENANT.id, one) for one in (1, 2)]
        scope = (
            None if chance.random() < 0.3 else frozenset(chance.sample(some, chance.randrange(5)))
        )
        self.loop.accounts.limit_to(scope)
        self.scopes[self.store.writer.published + 1] = scope
        self.change(1)

    def scope_at(self, revision: int) -> frozenset[Place] | None:
        """The scope that the worker had there."""
        return self.scopes[max(one for one in self.scopes if one <= revision)]

    def reads_all(self, account: int, revision: int) -> bool:
        """Whether it may read everything."""
        return len(self.readable(account, revision)) == len(self.states[revision].objects)

    # ------------------------------------------------------------------ the loop

    def turns(self, count: int) -> None:
        """So many turns of the loop."""
        left = count

        def again() -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                self.loop.stop()
            else:
                self.loop.call_later(0, again)

        self.loop.call_later(0, again)
        self.loop.run()

    def settle(self, clients: list[Client]) -> None:
        """Turns until those who read at once have been told all."""
        waiting = [one for one in clients if one.proto == 3]
        for one in waiting:
            one.replies.clear()
            one.socket.send(request("GET", "CfgSkill:1"))
        for _ in range(TURNS_MAX):
            self.turns(1)
            for one in clients:
                while one.receive():
                    self.take(one)
            if all(map(_is_answered, waiting)) and self._is_quiet(clients):
                assert not any(
                    isinstance(said, ErrorReply) for one in waiting for said in one.replies
                )
                return
        raise AssertionError("it never comes to rest")

    def _is_quiet(self, clients: list[Client]) -> bool:
        if len(clients) < len(self.clients):
            return True
        return self.loop.counters()["lagging"] == 0

    # ------------------------------------------------------------------ the clients

    def connect(
        self,
        account: int,
        *,
        is_lazy: bool = False,
        proto: int = 3,
        channels: list[tuple[bytes, bool]] | None = None,
        since: int = 0,
    ) -> Client:
        """A subscriber of some channels, with what they have now, or at a revision (`since`)."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        sock.connect(self.listener.getsockname())
        sock.setblocking(False)
        channels = channels or self.random.sample(CHANNELS, self.random.randint(1, 4))
        client = Client(sock, account, proto, channels, is_lazy)
        words = request("AUTH", str(account)) + request("HELLO", str(proto))
        if since:
            words += request("CFG.FROM", str(since), "SUBS", str(len(channels)))
        for name, pattern in channels:
            words += request("PSUBSCRIBE" if pattern else "SUBSCRIBE", name)
        sock.send(words)
        revision = since or self.store.writer.published
        for name, _ in channels:
            client.known[name] = self.wanted(client, name, revision)
        self.clients.append(client)
        while len(client.replies) < 2 + bool(since) + len(channels):
            self.turns(1)
            client.receive()
            self.take(client)
        return client

    def sign_in(self, client: Client, account: int) -> None:
        """Anew, over the same connection."""
        client.replies.clear()
        client.account = account
        client.socket.send(request("AUTH", str(account)))
        while not _is_answered(client):
            self.turns(1)
            client.receive()
            self.take(client)

    def leave(self, client: Client) -> None:
        """It closes its connection."""
        self.clients.remove(client)
        client.socket.close()
        self.turns(3)

    def wanted(self, client: Client, channel: bytes, revision: int) -> dict[Place, int]:
        """What it must know of a channel at a revision."""
        matches = matcher(channel, dict(client.channels)[channel])
        state = self.states[revision]
        return {
            key: own
            for key, own in self.readable(client.account, revision).items()
            if any(matches(name) for name in names_of(key, state))
        }

    def take(self, client: Client) -> None:
        """Replays what has come into what the client knows."""
        while (value := client.decoder.next()) is not MORE:
            words = value if isinstance(value, list) else [value]
            if bytes(words[0] if isinstance(words[0], bytes) else b"") in (b"message", b"pmessage"):
                told = orjson.loads(words[-1])
                if words[-2] == b"cfg.notice":
                    assert told["op"] == "resync"
                    self._resync(client, told["oldest"])
                else:
                    self._replay(client, bytes(words[1]), told)
            else:
                client.replies.append(value)

    def _resync(self, client: Client, oldest: int) -> None:
        client.resyncs += 1
        client.follows.clear()
        for name in client.known:
            client.known[name] = self.wanted(client, name, oldest - 1)

    def _replay(self, client: Client, channel: bytes, told: dict[str, Any]) -> None:
        known = client.known[channel]
        key = CLASSES[told["class"]].id, told["DBID"]
        revision, op = told["revision"], told["op"]
        before, more = client.follows.get(channel, (0, False))
        assert not more or before == revision, f"{told} where {before} was to go on"
        # What a change of rights shows has its revision, and nobody who did it.
        is_flip = op != "update" and "actor" not in told
        assert more or before != revision or is_flip, f"{told} was not announced"
        client.follows[channel] = revision, told["more"]
        if op == "create":
            assert key not in known, f"{told} came before"
            known[key] = told["object"]["revision"]
        elif op == "update":
            assert known[key] == told["base"], f"{told} follows {known[key]}"
            known[key] = revision
        else:
            assert op == "delete"
            del known[key]
        client.told.append(told)

    def judge(self, client: Client, *, actors: bool) -> None:
        """What it was told leads to what it may read now; `actors`: all was told at this one."""
        revision = self.store.writer.published
        for name, known in client.known.items():
            assert known == self.wanted(client, name, revision), (client.account, name)
            assert not client.follows.get(name, (0, False))[1]
        if actors and not self.reads_all(client.account, revision):
            self._judge_actors(client, revision)
        client.told.clear()

    def _judge_actors(self, client: Client, revision: int) -> None:
        """Who did it is said where it may be."""
        may = self.readable(client.account, revision)
        for told in client.told:
            actor = (PERSON.id, self.actors.get(told["revision"], 0))
            assert "actor" not in told or actor in may, told
            assert "actor" in told or actor not in may or told["op"] != "update", told


def _is_answered(client: Client) -> bool:
    """Whether a reply has come to it that is no push."""
    return any(not isinstance(one, list) for one in client.replies)


def names_of(key: Place, state: GrantedWorld) -> Iterator[bytes]:
    """The channels of an object."""
    cls, dbid = by_id[key[0]], key[1]
    name = cls.name.encode()
    yield from (b"cfg", b"cfg:" + name, b"cfg:%s:%d" % (name, dbid))
    for tenant in tenants_of(cls, state.objects[key], state):
        yield from (b"cfg@%d" % tenant, b"cfg@%d:%s" % (tenant, name))


def matcher(channel: bytes, is_pattern: bool) -> Callable[[bytes], bool]:
    """Whether a name is the channel, or fits the pattern."""
    return compile_glob(channel) if is_pattern else channel.__eq__
