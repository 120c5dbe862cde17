"""csp history: shows who changed what and when, from the master's change records."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click
import orjson

from csp.cli.connecting import (
    Server,
    client_options,
    fail,
    resolve_key,
    signed_in,
)
from csp.client import Client
from csp.exits import EXIT_DONE, EXIT_NOT_FOUND

PAGE_RECORDS = 200
OBJECTS_SHOWN_MAX = 20  # of one transaction: a new database begins with some two hundred


@click.command()
@click.argument("key", required=False)
@client_options
@click.option("--since", type=click.IntRange(0), default=0, help="Only after this revision.")
@click.option("--user", help="Only what this user changed.")
@click.option("--limit", type=click.IntRange(1), help="End after so many records.")
def command(
    key: str | None,
    server: Server,
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
        names: dict[str, str] = {}
        for record in _records(client, since, filters, limit):
            if as_json:
                click.echo(orjson.dumps(record).decode())
            else:
                click.echo(_text(record, _actor(client, record["actor"], names)))
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


def _actor(client: Client, actor: dict[str, Any], names: dict[str, str]) -> str:
    """Who it was: the account by its user name, or by its key where it can't be read any more."""
    account = str(actor.get("account", ""))
    if account and account not in names:
        of_class, _, dbid = account.partition(":")
        found = client.get(of_class, int(dbid)) or {}
        names[account] = str(found.get("userName") or account)
    rest = [str(value) for name, value in actor.items() if name != "account"]
    return " ".join(filter(None, (names.get(account, ""), *rest))) or "-"


def _text(record: dict[str, Any], actor: str) -> str:
    """A line for the transaction, one below it for each changed object, of many the first ones."""
    moment = datetime.fromtimestamp(record["time"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    lines = [f"{record['revision']} {moment} {actor}"]
    changes = record["changes"]
    for change in changes[:OBJECTS_SHOWN_MAX]:
        what = change.get("object", change.get("delta", change.get("grants")))
        detail = "" if what is None else " " + orjson.dumps(what).decode()
        lines.append(f"  {change['op']} {change['class']}:{change['DBID']}{detail}")
    more = len(changes) - OBJECTS_SHOWN_MAX
    more = max(0, more) + int(record.get("omitted") or 0)
    if more:
        lines.append(f"  … and {more} more objects")
    return "\n".join(lines)
