"""csp option: shows, sets or deletes one option of an application, or one annex entry."""

from __future__ import annotations

import base64
import binascii
import os
import sys
from typing import Any

import click
import orjson

from csp.cli.connecting import (
    Server,
    client_options,
    fail,
    resolve_key,
    show_json,
    signed_in,
)
from csp.exits import EXIT_NOT_FOUND
from csp.tables.options import secret_names

WITH_OPTIONS = ("CfgApplication", "CfgAppPrototype")
INT_MIN, INT_MAX = -(2**31), 2**31 - 1
ASKED = "-"  # instead of a secret VALUE, which others would see among the arguments


# A negative number is a value, not an option that nobody knows.
@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("text_key", metavar="KEY")
@click.argument("section")
@click.argument("name")
@click.argument("value", required=False)
@client_options
@click.option("--delete", "is_deletion", is_flag=True, help="Delete it.")
@click.option("--annex", is_flag=True, help="The annex of an application, not its options.")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["string", "int", "base64"]),
    default="string",
    show_default=True,
    help="What VALUE is: text, a 32-bit integer, or binary data.",
)
def command(
    text_key: str,
    section: str,
    name: str,
    value: str | None,
    server: Server,
    as_json: bool,
    is_deletion: bool,
    annex: bool,
    kind: str,
) -> None:
    """Show the option NAME of SECTION, set it to VALUE, or delete it.

    KEY is an application or application template, whose options are meant, or any other object,
    whose annex is meant. A secret VALUE, such as [gauth_ldap] password, is written as - and read
    from standard input, or asked for twice. Exit code 1: there is no such object or option.
    """
    is_secret = name in secret_names(section)
    if is_deletion and value is not None:
        raise click.UsageError("VALUE and --delete exclude each other")
    if value is not None and value.startswith("--"):
        raise click.UsageError(f"there is no option {value}")
    given = None if value is None else _secret(name, value) if is_secret else _typed(value, kind)
    with signed_in(server, "option") as client:
        key = resolve_key(client, text_key)
        found = None if key is None else client.get(*key)
        if key is None or found is None:
            fail("option", f"there is no {text_key}", EXIT_NOT_FOUND)
        attribute = "options" if key[0] in WITH_OPTIONS and not annex else "userProperties"
        held = (found.get(attribute) or {}).get(section, {}).get(name)
        report: dict[str, Any] = {"key": f"{key[0]}:{key[1]}", "section": section, "name": name}
        if given is not None:
            delta: dict[str, Any] = {attribute: {"changed": {section: {name: given}}}}
            report |= {} if is_secret else {"value": given}
            report["revision"] = client.update(*key, delta)
        elif held is None:
            fail("option", f"{text_key} has no [{section}] {name}", EXIT_NOT_FOUND)
        elif is_deletion:
            delta = {attribute: {"deleted": {section: [name]}}}
            report |= {"deleted": True, "revision": client.update(*key, delta)}
        else:
            report["value"] = held
    if as_json:
        show_json(report)
    elif "revision" in report:
        done = "deleted" if is_deletion else "set"
        click.echo(f"{report['key']} [{section}] {name} {done}, revision {report['revision']}")
    else:
        click.echo(held if isinstance(held, str) else orjson.dumps(held).decode())


def _secret(name: str, text: str) -> str:
    """A value that stands in no argument."""
    if text != ASKED:
        raise click.UsageError(
            f"{name} is secret: write {ASKED} as VALUE, and give it on standard input"
        )
    if os.isatty(0):
        return str(click.prompt(name, hide_input=True, confirmation_prompt="Once more", err=True))
    return sys.stdin.readline().rstrip("\n")


def _typed(text: str, kind: str) -> str | int | dict[str, str]:
    """VALUE as it is stored."""
    if kind == "int":
        try:
            number = int(text)
        except ValueError:
            raise click.UsageError(f"{text!r} is not an integer") from None
        if not INT_MIN <= number <= INT_MAX:
            raise click.UsageError(f"{number} does not fit into 32 bits")
        return number
    if kind == "base64":
        try:
            base64.b64decode(text, validate=True)
        except binascii.Error as problem:
            raise click.UsageError(f"VALUE is not base64: {problem}") from None
        return {"base64": text}
    return text
