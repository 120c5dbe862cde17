"""csp revoke: takes an account's grant on an object away."""

from __future__ import annotations

import click

from csp.cli.connecting import (
    Server,
    client_options,
    resolve_account,
    resolved,
    show_json,
    signed_in,
)


@click.command()
@click.argument("text_key", metavar="KEY")
@click.argument("text_account", metavar="ACCOUNT")
@client_options
@click.option("--id", "write_id", default="", help="Makes a repeat do nothing.")
def command(text_key: str, text_account: str, server: Server, as_json: bool, write_id: str) -> None:
    """Take away what ACCOUNT is granted on KEY: what its container hands down counts again."""
    with signed_in(server, "revoke") as client:
        key = resolved(client, "revoke", text_key)
        account = resolve_account(client, "revoke", text_account)
        revision = client.revoke(*key, account, write_id=write_id)
    if as_json:
        show_json({"key": f"{key[0]}:{key[1]}", "account": account, "revision": revision})
    else:
        click.echo(f"{key[0]}:{key[1]} grants {account} nothing of its own, revision {revision}")
