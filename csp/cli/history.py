"""csp history: shows who changed what and when, from the master's change records."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click
import orjson

from csp.cli.connecting import (
    client_options,
    fail,
    resolve_key,
    signed_in,
)
from csp.client import Address, Client
from csp.exits import EXIT_DONE, EXIT_NOT_FOUND

PAGE_RECORDS = 200


@click.command()
@click.argument("key", required=False)
@client_options
@click.option("--since", type=click.IntRange(0), default=0, help="Only after this revision.")
@click.option("--user", help="Only what this user changed.")
@click.option("--limit", type=click.IntRange(1), help="End after so many records.")
def command(
    key: str | None,
    server: Address,
    as_json: bool,
    since: int,
    user: str | None,
    limit: int | None,
) -> None:
    """Show change records, oldest first: all, or those of the object KEY.

    A deleted object is named by class and DBID (CfgPerson:101). Exit code 1: there are none.
    """
    with signed_in(server, "history") as client:
        filters: list[str] = []
        if key is not None:
            found = resolve_key(client, key)
            if found is None:
                fail("history", f"there is no {key}", EXIT_NOT_FOUND)
            filters += ["FILTER", "key", f"{found[0]}:{found[1]}"]
        if user is not None:
            filters += ["FILTER", "user", user]
        shown = 0
        for record in _records(client, since, filters, limit):
            click.echo(orjson.dumps(record).decode() if as_json else _text(record))
            shown += 1
    sys.exit(EXIT_DONE if shown else EXIT_NOT_FOUND)


def _records(
    client: Client, since: int, filters: list[str], limit: int | None
) -> Iterator[dict[str, Any]]:
    """Page after page, to the end or the limit."""
    left = limit
    while True:
        size = PAGE_RECORDS if left is None else min(left, PAGE_RECORDS)
        reply = client.read_call("CFG.HISTORY", "SINCE", since, *filters, "LIMIT", size)
        assert isinstance(reply, list)
        assert isinstance(reply[2], list)
        yield from (orjson.loads(record) for record in reply[2])
        since = int(reply[1])
        if left is not None:
            left -= len(reply[2])
        if since == 0 or left == 0:
            return


def _text(record: dict[str, Any]) -> str:
    """A line for the transaction, one below it for each changed object."""
    moment = datetime.fromtimestamp(record["time"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    actor = " ".join(str(value) for value in record["actor"].values()) or "-"
    lines = [f"{record['revision']} {moment} {actor}"]
    for change in record["changes"]:
        what = change.get("object", change.get("delta"))
        detail = "" if what is None else " " + orjson.dumps(what).decode()
        lines.append(f"  {change['op']} {change['class']}:{change['DBID']}{detail}")
    if record.get("omitted"):
        lines.append(f"  … and {record['omitted']} more objects")
    return "\n".join(lines)
