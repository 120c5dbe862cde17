"""Measures what rights cost a worker: reads of who may read half, and changes of who may read what.

The store has a tree of some 20,000 nodes and many persons below; a loop in a child process serves
accounts that are members of groups, each of which may read half of the folders.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import click

from bench.report import Row, conclude
from csp.model.extract import Nothing
from csp.model.image import build_image
from csp.model.rights import ACCESS_GROUP, EXECUTE, PERSON, PROPAGATE, READ
from csp.model.types import CLASSES
from tests.property.granted_world import GrantedWorld, folder, group, person
from tests.server.granted_server import GrantedServer
from tests.server.hot_stage import Raw, command

PERSONS_FROM, ACCOUNT_FROM = 1_000_000, 1_000
RESERVE_BYTES = 4 << 30  # a million persons take 1.1 GiB and more
LISTED = 10_000
TURN_MS_MAX = 10.0
READER, FLIPPED, ROOT, DESK = 501, 502, 201, 300
LOOK_MAX = 1.3
SETTLING, SETTLING_S = 20, 0.02


class Estate(GrantedWorld):
    """The tree and what is granted; persons are made as they are loaded."""

    def __init__(self, folders: int, persons: int, accounts: int) -> None:
        super().__init__()
        self.folders, self.persons = folders, persons
        self.put("CfgTenant", 1, name="t1", state="enabled", folderDBID=0)
        self.put("CfgFolder", ROOT, **folder(ROOT, 0))
        for number in range(folders):
            dbid = 10_000 + number
            self.put("CfgFolder", dbid, **folder(dbid, ROOT))
            if number % 2 == 0:
                self.add((22, dbid), (ACCESS_GROUP.id, READER), READ | PROPAGATE)
        for dbid in range(ACCOUNT_FROM, ACCOUNT_FROM + accounts):
            self.put("CfgPerson", dbid, **person(dbid, 0))
        members = [(PERSON.id, dbid) for dbid in range(ACCOUNT_FROM, ACCOUNT_FROM + accounts)]
        self.put("CfgAccessGroup", READER, **group(READER, [*members]))
        self.put("CfgAccessGroup", FLIPPED, **group(FLIPPED, []))
        self.put("CfgApplication", 100, name="default", type="genericclient", folderDBID=0)
        self.add((9, 100), (ACCESS_GROUP.id, READER), READ | EXECUTE)
        self.put("CfgPerson", 900, **person(900, 0))
        self.add((7, 1), (PERSON.id, 900), READ | EXECUTE | PROPAGATE)
        listed = [
            PERSONS_FROM + number * (persons // LISTED) + number % 2 for number in range(LISTED)
        ]
        self.put(
            "CfgAgentGroup", DESK, agentDBIDs=listed, folderDBID=0,
            groupInfo={"name": "desk", "tenantDBID": 1, "state": "enabled"},
        )  # fmt: skip
        self.add((5, DESK), (ACCESS_GROUP.id, READER), READ)

    def images(self) -> Iterator[bytes]:
        yield from super().images()
        cls, look = CLASSES["CfgPerson"], Nothing()
        for number in range(self.persons):
            dbid = PERSONS_FROM + number
            inside = 10_000 + number % self.folders
            obj = {**person(dbid, inside), "DBID": dbid, "revision": 1}
            yield build_image(cls, obj, 1, look)


def cpu_ns(pid: int) -> int:
    """CPU that a process has used."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0])


def cost(server: GrantedServer, raw: Raw, words: tuple[object, ...], rounds: int) -> float:
    """CPU of the worker for one such command, in microseconds."""
    data = command(*words) * 20
    for _ in range(2):
        raw.send(data)
        raw.read_all(20)
    began = cpu_ns(server.pid)
    for _ in range(rounds):
        raw.send(data)
        raw.read_all(20)
    return (cpu_ns(server.pid) - began) / rounds / 20 / 1000


def longest_ms(server: GrantedServer) -> float:
    """The longest turn since the last question."""
    return server.control.slot_counters(0)["longest_turn_us"] / 1000


@click.command()
@click.option("--folders", default=10_000, show_default=True)
@click.option("--persons", default=1_000_000, show_default=True)
@click.option("--connections", default=9_000, show_default=True, help="Each another account.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def rights(folders: int, persons: int, connections: int, rounds: int, keep: bool) -> None:
    """Reads of half-readable lists, and the turns in which rights change."""
    began = time.monotonic()
    server = GrantedServer(
        Estate(folders, persons, connections),
        connections=connections + 100,
        reserve_bytes=RESERVE_BYTES,
    )
    try:
        click.echo(f"loaded in {time.monotonic() - began:.0f} s")
        rows = [*_looks(server, rounds), *_turns(server, connections, rounds)]
    finally:
        server.stop()
    notes: dict[str, object] = {"folders": folders, "persons": persons, "connections": connections}
    sys.exit(conclude("rights", rows, notes, keep=keep))


def _looks(server: GrantedServer, rounds: int) -> Iterator[Row]:
    """A list of 10,000 of which half may be read, against the whole."""
    words = ("CFG.COUNT", "CfgPerson", "FILTER", "group_dbid", DESK, "FILTER", "state", "enabled")
    half, whole = server.connect_as(ACCOUNT_FROM), server.connect_as(900)
    click.echo(f"listed: {half.call(*words)} of {whole.call(*words)}")
    ratios = []
    for _ in range(rounds):
        one, all_ = cost(server, half, words, 3), cost(server, whole, words, 3)
        click.echo(f"look: half {one / LISTED * 1000:.1f} ns, whole {all_ / LISTED * 1000:.1f} ns")
        ratios.append(one / all_)
    yield Row("look at one of a list, half readable", "all readable", ratios, LOOK_MAX)
    one = cost(server, half, ("CFG.COUNT", "CfgPerson"), 3)
    click.echo(f"count of a class by nodes: {one:.0f} us")
    one = cost(server, half, ("DBSIZE",), 3)
    click.echo(f"DBSIZE: {one:.0f} us")


def _turns(server: GrantedServer, connections: int, rounds: int) -> Iterator[Row]:
    """Longest turns while a group's members, and what it may read, change."""
    raws = []
    for number in range(connections):
        raw = server.connect_as(ACCOUNT_FROM + number)
        assert isinstance(raw.call("SUBSCRIBE", "cfg:CfgSkill"), list)
        raws.append(raw)
    asks = server.connect_as(ACCOUNT_FROM)
    changes = {
        "grant on the root": _grant_root,
        "members of a group": _members,
        "a new folder": _folder,
    }
    for name, change in changes.items():
        ratios = []
        for number in range(rounds):
            asks.call("RESETSTAT")
            change(server, number)
            before = cpu_ns(os.getpid())
            server.publish()
            wrote = (cpu_ns(os.getpid()) - before) / 1e6
            for _ in range(SETTLING):  # the turns in which all accounts are brought to it
                asks.call("GET", "CfgTenant:1")
                time.sleep(SETTLING_S)
            longest = longest_ms(server)
            click.echo(f"{name}: publish {wrote:.1f} ms with its entry, turn {longest:.2f} ms")
            ratios.append(longest / TURN_MS_MAX)
        yield Row(f"longest turn, {name}", f"{TURN_MS_MAX} ms", ratios, 1.0)
    for raw in raws:
        raw.close()


def _grant_root(server: GrantedServer, number: int) -> None:
    grants = {(ACCESS_GROUP.id, READER): READ | PROPAGATE} if number % 2 == 0 else None
    server.world.grant((22, ROOT), grants)


def _members(server: GrantedServer, number: int) -> None:
    members = range(ACCOUNT_FROM, ACCOUNT_FROM + 1_000) if number % 2 == 0 else ()
    grants = {(ACCESS_GROUP.id, FLIPPED): READ | PROPAGATE}
    server.world.grant((22, 10_001), grants)
    server.world.put(
        "CfgAccessGroup", FLIPPED, **group(FLIPPED, [(PERSON.id, one) for one in members])
    )


def _folder(server: GrantedServer, number: int) -> None:
    dbid = 500_000 + number
    server.world.put("CfgFolder", dbid, **folder(dbid, 10_000))
    server.world.put(
        "CfgSkill", dbid, name=f"s{dbid}", tenantDBID=1, folderDBID=dbid, state="enabled"
    )
