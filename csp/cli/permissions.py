"""csp permissions: shows who is granted what on an object, and where that stands."""

from __future__ import annotations

from typing import Any

import click

from csp.cli.connecting import (
    Server,
    client_options,
    resolved,
    show_json,
    show_rows,
    signed_in,
)
from csp.client import Client

OWN = "-"  # in the column of where a grant stands
HIDDEN = "(a container that you may not read)"


@click.command()
@click.argument("text_key", metavar="KEY")
@client_options
def command(text_key: str, server: Server, as_json: bool) -> None:
    """Show the access list of KEY: its own grants, then those that its containers hand down."""
    with signed_in(server, "permissions") as client:
        key = resolved(client, "permissions", text_key)
        found = client.permissions(*key)
        rows: list[dict[str, Any]] = [
            {"account": account, "rights": rights, "from": OWN}
            for account, rights in found.own.items()
        ]
        rows += [
            {"account": one.account, "rights": one.rights, "from": one.at or HIDDEN}
            for one in found.inherited
        ]
        if not as_json:
            for row in rows:
                row["name"] = name_of(client, row["account"])
    if as_json:
        inherited = [one._asdict() for one in found.inherited]
        show_json({"revision": found.revision, "own": found.own, "inherited": inherited})
    else:
        show_rows(rows, ("account", "name", "rights", "from"))


def name_of(client: Client, account: str) -> str:
    """The name of an account, where one may read it."""
    of_class, colon, dbid = account.partition(":")
    found = client.get(of_class, int(dbid)) if colon else None
    if found is None:
        return ""
    return str(found.get("userName") or found.get("groupInfo", {}).get("name", ""))
