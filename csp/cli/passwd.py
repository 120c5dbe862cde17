"""csp passwd: changes a password, one's own or another user's."""

from __future__ import annotations

import os

import click

from csp.cli.connecting import Server, client_options, show_json, signed_in
from csp.client.connection import Connection
from csp.client.core import Credentials
from csp.errors import MustChange, from_line
from csp.resp import ErrorReply, request

ANSWER_SECONDS = 30.0  # for each: the sign-in and the new hash may wait behind others'
VARIABLE = "CSP_NEW_PASSWORD"


@click.command()
@click.argument("user", required=False)
@client_options
def command(user: str | None, server: Server, as_json: bool) -> None:
    """Change the password of USER (default: one's own, CSP_USER's).

    The new password comes from CSP_NEW_PASSWORD, or is asked for twice. The old one is that of
    CSP_USER, also where another user's password is changed.
    """
    with signed_in(server, "passwd") as client:
        assert isinstance(client.credentials, Credentials)
        own, old = client.credentials.user, client.credentials.password
        try:
            # Signs in first: who may not, is not asked for a new password.
            client.status()
        except MustChange:
            if user not in (None, own):
                raise
            _change_first(server, own, old, _new_password(own))
        else:
            client.call("CFG.PASSWD", user or own, old, _new_password(user or own))
    if as_json:
        show_json({"user": user or own, "changed": True})
    else:
        click.echo(f"the password of {user or own} was changed")


def _change_first(server: Server, user: str, old: str, new: str) -> None:
    """Of somebody who is not signed in before he has changed it: on a connection by itself."""
    connection = Connection(server.address, server.tls)
    try:
        words = request("HELLO", 3, "AUTH", user, old) + request("CFG.PASSWD", old, new)
        _, changed = connection.exchange(words, 2, ANSWER_SECONDS)
    finally:
        connection.close()
    if isinstance(changed, ErrorReply):
        raise from_line(str(changed))


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
