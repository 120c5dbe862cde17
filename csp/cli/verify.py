"""Compares what a server serves with its master's database, at one revision, while changes flow.

1. The server is asked to keep what it serves from now on (PIN); only then is the master asked,
   so the master's answer is at a revision that the server can still show.
2. The master adds up its database in one read transaction, at revision r; the server, which has
   waited for r, adds up the records as they lie in its shared memory, as of r.
3. Where a class differs its DBIDs are halved until each difference is one DBID; every comparison
   is at a revision of its own, so changes that flow meanwhile are never taken for differences.
4. Secret records (accounts) are compared as any other.

Exit codes: 0 equal, 1 different, 3 no connection, 4 refused by a server.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import click

from csp.cli.connecting import (
    SERVER_METAVAR,
    Server,
    ServerType,
    client_options,
    signed_in,
)
from csp.client import (
    CannotConnect,
    Client,
    ConnectionLost,
    as_mapping,
    parse_address,
)
from csp.client.incoming import Argument, Value
from csp.errors import CspError
from csp.exits import EXIT_NOT_FOUND
from csp.model.types import MAX_DBID

SYNC_MS = 30_000  # how long the server may need to catch up with the master's revision
FIRST_TOP = 1023
SMALL_CLASS = "CfgTenant"  # any class would do to ask whether there is a database
SHOWN_MAX = 50  # differences that are looked for and named

Sum = tuple[int, int]  # how many records, sum of their hashes
NOTHING: Sum = (0, 0)


@dataclass(frozen=True)
class Sums:
    """Sums by class, at a revision."""

    revision: int
    classes: dict[str, Sum]

    def of(self, name: str) -> Sum:
        """The sum of a class."""
        return self.classes.get(name, NOTHING)


@dataclass(frozen=True)
class Difference:
    """One object that is not the same on both sides."""

    name: str  # of the class
    dbid: int
    revision: int
    server_count: int
    master_count: int

    @property
    def key(self) -> str:
        """The object's key."""
        return f"{self.name}:{self.dbid}"

    @property
    def text(self) -> str:
        """What is wrong with it."""
        if self.server_count == self.master_count:
            return "differs"
        return "is missing" if self.server_count < self.master_count else "should not exist"


class Comparison:
    """Both sides of one verification."""

    def __init__(self, server: Client, master: Client) -> None:
        self._server = server
        self._master = master
        self._is_store = False  # the master is a proxy too: its store is the measure

    def whole(self) -> tuple[Sums, Sums]:
        """All classes: the server's sums and the master's, at one revision."""
        return self._both(())

    def differences(self, name: str) -> Iterator[Difference]:
        """The differing DBIDs of a class, ascending."""
        top = self._top(name)
        ranges = [(top + 1, MAX_DBID), (0, top)]
        while ranges:
            low, high = ranges.pop()
            server, master = self._both(("CLASS", name, "RANGE", low, high))
            mine, its = server.of(name), master.of(name)
            if mine == its:
                continue
            if low == high:
                yield Difference(name, low, master.revision, mine[0], its[0])
                continue
            middle = (low + high) // 2
            ranges += [(middle + 1, high), (low, middle)]

    def _top(self, name: str) -> int:
        """A number that the server's DBIDs of a class do not exceed: asking the master is dear."""
        revision = _number(self._server.call("CFG.SUMS", "PIN"))
        top = FIRST_TOP
        while top < MAX_DBID:
            where = ("CLASS", name, "RANGE", top + 1, MAX_DBID)
            if _read(self._server.call("CFG.SUMS", "AT", revision, *where)).of(name) == NOTHING:
                return top
            top = top * 2 + 1
        return MAX_DBID - 1

    def choose_measure(self) -> None:
        """The master's database; where the master is itself a proxy, its store."""
        try:
            self._master.call("CFG.SUMS", "DATABASE", "CLASS", SMALL_CLASS, "RANGE", 0, 0)
        except CspError as error:
            if isinstance(error, CannotConnect | ConnectionLost) or "is a proxy" not in error.text:
                raise
            self._is_store = True

    def _both(self, where: tuple[Argument, ...]) -> tuple[Sums, Sums]:
        self._server.call("CFG.SUMS", "PIN")
        if self._is_store:
            self._master.call("CFG.SUMS", "PIN")
            revision = _number(self._master.call("CFG.SYNC"))
            master = _read(self._master.call("CFG.SUMS", "AT", revision, *where))
        else:
            master = _read(self._master.call("CFG.SUMS", "DATABASE", *where))
        self._server.call("CFG.SYNC", master.revision, "TIMEOUT", SYNC_MS)
        server = _read(self._server.call("CFG.SUMS", "AT", master.revision, *where))
        return server, master


def _read(reply: Value) -> Sums:
    """[revision, {class: [count, sum in hexadecimal digits]}]."""
    if not isinstance(reply, list) or len(reply) != 2:
        raise CspError(f"CFG.SUMS answered {reply!r:.80}")
    classes = as_mapping(reply[1]).items()
    return Sums(
        _number(reply[0]),
        {name: (int(count), int(total, 16)) for name, (count, total) in classes if count},
    )


def _number(value: Value) -> int:
    if isinstance(value, int | str | bytes):
        return int(value)
    raise CspError(f"a number was expected, not {value!r:.40}")


def find_master(client: Client, server: Server) -> Server:
    """The master as the server's status has it, by TLS as the server; a master is its own."""
    status = as_mapping(client.call("CFG.STATUS"))
    if status.get("mode") == "master":
        return server
    try:
        return Server(parse_address(str(status.get("master", ""))), server.tls)
    except ValueError:
        raise click.UsageError(
            "the server does not say where its master is: give --master"
        ) from None


@click.command()
@click.option(
    "--master",
    type=ServerType(),
    metavar=SERVER_METAVAR,
    help="Its master, by TLS as the server where neither scheme says otherwise"
    " (default: the server says where it is).",
)
@client_options
def command(server: Server, master: Server | None, as_json: bool) -> None:
    """Compare a proxy with its master, record by record; a master with its database."""
    began = time.monotonic()
    with signed_in(server, "verify") as client:
        above = master or find_master(client, server)
        with Client(
            above.address,
            client.credentials,
            name="csp-verify",
            reconnect_seconds=0,
            tls=above.tls,
        ) as master_client:
            code = verify(Comparison(client, master_client), as_json, began)
    sys.exit(code)


def verify(comparison: Comparison, as_json: bool, began: float) -> int:
    """Compares, prints, and returns the exit code."""
    comparison.choose_measure()
    server, master = comparison.whole()
    names = sorted(server.classes.keys() | master.classes.keys())
    suspects = [name for name in names if server.of(name) != master.of(name)]
    found: list[Difference] = []
    for name in suspects:
        for difference in comparison.differences(name):
            found.append(difference)
            if len(found) == SHOWN_MAX:
                break
    count = sum(count for count, _ in master.classes.values())
    elapsed_ms = round((time.monotonic() - began) * 1000)
    if as_json:
        shown = [
            {"key": each.key, "problem": each.text, "revision": each.revision} for each in found
        ]
        report = {
            "equal": not suspects,
            "revision": master.revision,
            "records": count,
            "classes": suspects,
            "differences": shown,
            "elapsed_ms": elapsed_ms,
        }
        click.echo(json.dumps(report))
        return EXIT_NOT_FOUND if suspects else 0
    for each in found:
        click.echo(f"{each.key} {each.text} at revision {each.revision}")
    for name in suspects:
        if not any(each.name == name for each in found):
            click.echo(f"{name} differed at revision {master.revision}")
    if suspects:
        click.echo(f"different: {len(found)} objects of {count} records ({elapsed_ms} ms)")
        return EXIT_NOT_FOUND
    click.echo(f"equal at revision {master.revision}: {count} records ({elapsed_ms} ms)")
    return 0
