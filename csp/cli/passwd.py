"""csp passwd: changes a password, one's own or another user's."""

from __future__ import annotations

import os

import click

from csp.cli.connecting import client_options, show_json, signed_in
from csp.client import Address

VARIABLE = "CSP_NEW_PASSWORD"


@click.command()
@click.argument("user", required=False)
@client_options
def command(user: str | None, server: Address, as_json: bool) -> None:
    """Change the password of USER (default: one's own, CSP_USER's).

    The new password comes from CSP_NEW_PASSWORD, or is asked for twice. The old one is that of
    CSP_USER, also where another user's password is changed.
    """
    with signed_in(server, "passwd") as client:
        assert client.credentials is not None
        own = client.credentials.user
        # Signs in first: who may not, is not asked for a new password.
        client.status()
        new = _new_password(user or own)
        client.call("CFG.PASSWD", user or own, client.credentials.password, new)
    if as_json:
        show_json({"user": user or own, "changed": True})
    else:
        click.echo(f"the password of {user or own} was changed")


def _new_password(user: str) -> str:
    given = os.environ.get(VARIABLE)
    if given is not None:
        return given
    if not os.isatty(0):
        raise click.UsageError(f"set {VARIABLE}: there is no terminal to ask for the new password")
    return str(
        click.prompt(
            f"New password of {user}", hide_input=True, confirmation_prompt="Once more", err=True
        )
    )
