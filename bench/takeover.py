"""Measures how soon a master's backup commits after its primary died, on one PostgreSQL.

A writer writes by the addresses of both, with ids, as fast as it is answered; every process of the
primary is killed at once, or stopped.  The time is from there to the next commit, by the writer's
clock, and every write that was answered has to be there.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import orjson
import redis

from bench.report import Row, conclude
from tests.neighbours.master_pair import MasterPair
from tests.neighbours.postgres import Postgres
from tests.neighbours.server import Master

LEASE_SECONDS = 3.0
BEFORE_SECONDS = 2.0  # of writes
COMMIT_SECONDS_MAX = 60.0
REPLY_SECONDS_MAX = 0.5  # of a master that is stopped
RETRY_SECONDS = 0.02
WAYS = ("kill", "freeze")


@dataclass(frozen=True)
class Taken:
    """One takeover."""

    seconds: float
    answered: int
    lost: int


@click.command()
@click.option("--rounds", default=3, show_default=True, help="Rounds of each row.")
@click.option("--way", "ways", multiple=True, type=click.Choice(WAYS), default=WAYS)
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def takeover(rounds: int, ways: Sequence[str], keep: bool) -> None:
    """From the death of a master to the first commit of its backup."""
    rows, notes = [], {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        database = stack.enter_context(Postgres())
        for way in ways:
            seen = [_round(folder, database.new_url(), way) for _ in range(rounds)]
            name = {"kill": "killed", "freeze": "stopped (SIGSTOP)"}[way]
            took = [one.seconds for one in seen]
            rows.append(Row(f"primary {name}: first commit", "s", took, LEASE_SECONDS + 1.0))
            lost = [float(one.lost) for one in seen]
            rows.append(Row(f"primary {name}: answered writes lost", "all", lost, 0))
            notes[way] = [vars(one) for one in seen]
    sys.exit(conclude("takeover", rows, notes, keep=keep))


def _round(folder: Path, url: str, way: str) -> Taken:
    with MasterPair(folder, url) as pair:
        writer = _Writer([pair.first, pair.second])
        end = time.monotonic() + BEFORE_SECONDS
        while time.monotonic() < end:
            writer.write()
        struck = time.monotonic()
        if way == "kill":
            pair.kill_all(pair.first)
        else:
            pair.pause(pair.first)
        while not (at := writer.write()):
            if time.monotonic() > struck + COMMIT_SECONDS_MAX:
                raise AssertionError(f"no commit within {COMMIT_SECONDS_MAX} s")
            time.sleep(RETRY_SECONDS)
        with pair.second.client() as client:
            there = orjson.loads(client.get(writer.key))
        written = int(there["userProperties"]["bench"]["value"])
        return Taken(at - struck, writer.answered, max(0, writer.newest - written))


class _Writer:
    """Writes one number after the other into one object, at whichever master answers."""

    def __init__(self, servers: list[Master]) -> None:
        self._servers = itertools.cycle(servers)
        self._numbers = itertools.count(1)
        self._client = self._next_client()
        skill = orjson.dumps({"tenantDBID": 1, "name": "of the bench"})
        self.dbid = self._client.execute_command("CFG.CREATE", "CfgSkill", skill)[1]
        self.answered = self.newest = 0

    @property
    def key(self) -> str:
        """Of the object."""
        return f"CfgSkill:{self.dbid}"

    def write(self) -> float:
        """When the next one was answered; 0 if it was not."""
        number = next(self._numbers)
        delta = orjson.dumps({"userProperties": {"changed": {"bench": {"value": number}}}})
        try:
            self._client.execute_command("CFG.UPDATE", "CfgSkill", self.dbid, delta)
        except redis.RedisError:
            with suppress(redis.RedisError):
                self._client.close()
            self._client = self._next_client()
            return 0.0
        self.answered, self.newest = self.answered + 1, number
        return time.monotonic()

    def _next_client(self) -> redis.Redis:
        return next(self._servers).client(socket_timeout=REPLY_SECONDS_MAX, retry=None)
