"""csp grant: grants rights on an object to a person, an access group, or SYSTEM."""

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
@click.argument("rights", metavar="RIGHTS")
@client_options
@click.option("--replace", is_flag=True, help="Also take the account's grants on all below away.")
@click.option("--id", "write_id", default="", help="Makes a repeat do nothing.")
def command(
    text_key: str,
    text_account: str,
    rights: str,
    server: Server,
    as_json: bool,
    replace: bool,
    write_id: str,
) -> None:
    """Replace what ACCOUNT is granted on KEY by RIGHTS.

    ACCOUNT is the key of a person or an access group (CfgPerson/user_name=ann, CfgAccessGroup:7),
    or SYSTEM. RIGHTS are R,C,U,X,D,RP,CP with or without ,propagate (also on all below), or none.
    """
    with signed_in(server, "grant") as client:
        key = resolved(client, "grant", text_key)
        account = resolve_account(client, "grant", text_account)
        revision = client.grant(*key, account, rights, replace=replace, write_id=write_id)
    if as_json:
        show_json({"key": f"{key[0]}:{key[1]}", "account": account, "revision": revision})
    else:
        click.echo(f"{key[0]}:{key[1]} grants {account} {rights}, revision {revision}")
