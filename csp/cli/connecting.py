"""What the client verbs share: --server and --json, signing in, exit codes, printing."""

# Exit codes: 0 done, 1 not found or different, 2 usage or refused object, 3 no connection,
# 4 refused by the server.

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import click
import orjson

from csp.cli.server_options import ask_credentials
from csp.client import Address, CannotConnect, Client, ConnectionLost, Credentials, parse_address
from csp.errors import (
    BadClass,
    BadKey,
    BadValue,
    Conflict,
    CspError,
    ExecAbort,
    Immutable,
    InUse,
    Mandatory,
    NoRef,
    TooBig,
    Unique,
)
from csp.exits import EXIT_NO_CONNECTION, EXIT_NOT_FOUND, EXIT_REFUSED, EXIT_USAGE
from csp.model.rights import SYSTEM_WORD
from csp.model.symbolic import parse_symbolic

SERVER_DEFAULT = "127.0.0.1:2020"
RECONNECT_SECONDS = 10.0

# The object, not the person, is what the server refuses.
OBJECT_REFUSED = (
    *(BadClass, BadKey, BadValue, ExecAbort, Immutable, InUse),
    *(Mandatory, NoRef, TooBig, Unique),
)

Function = TypeVar("Function", bound=Callable[..., Any])


def server_address(value: Any) -> Address:
    """HOST:PORT of a server."""
    if isinstance(value, Address):
        return value
    try:
        return parse_address(str(value))
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="'--server'") from None


def client_options(function: Function) -> Function:
    """--server and --json."""
    function = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")(
        function
    )
    return click.option(
        "--server",
        type=server_address,
        metavar="HOST:PORT",
        envvar="CSP_SERVER",
        default=SERVER_DEFAULT,
        show_default=True,
        help="The server to ask (or CSP_SERVER).",
    )(function)


@contextmanager
def signed_in(server: Address, verb: str, *, reconnect_seconds: float = 0.0) -> Iterator[Client]:
    """A client of the server; its errors end the program with their exit code."""
    user, password = ask_credentials()
    client = Client(
        server,
        Credentials(user, password),
        name=f"csp-{verb}",
        reconnect_seconds=reconnect_seconds,
    )
    try:
        with client:
            yield client
    except (CannotConnect, ConnectionLost) as problem:
        fail(verb, problem.text, EXIT_NO_CONNECTION)
    except Conflict as problem:
        fail(verb, problem.line, EXIT_NOT_FOUND)
    except OBJECT_REFUSED as problem:
        fail(verb, problem.line, EXIT_USAGE)
    except CspError as problem:
        fail(verb, problem.line, EXIT_REFUSED)


def fail(verb: str, text: str, code: int) -> NoReturn:
    """Says what went wrong, and ends."""
    click.echo(f"csp {verb}: {text}", err=True)
    sys.exit(code)


def resolve_key(client: Client, text: str) -> tuple[str, int] | None:
    """Class and DBID of `CfgPerson:101` or `CfgPerson/user_name=ann`; None: there is none."""
    key = parse_symbolic(text)
    if not key.filters:
        return key.cls.name, key.dbid
    found = client.find(key.cls.name, **dict(key.filters))
    return None if found is None else (key.cls.name, int(found["DBID"]))


def resolved(client: Client, verb: str, text: str) -> tuple[str, int]:
    """The same; where there is none the program ends."""
    key = resolve_key(client, text)
    if key is None:
        fail(verb, f"there is no {text}", EXIT_NOT_FOUND)
    return key


def resolve_account(client: Client, verb: str, text: str) -> str:
    """The key of an account; SYSTEM is one that no object is."""
    if text == SYSTEM_WORD:
        return text
    of_class, dbid = resolved(client, verb, text)
    return f"{of_class}:{dbid}"


def parse_filters(texts: Sequence[str]) -> list[tuple[str, str]]:
    """KEY=VALUE arguments."""
    filters: list[tuple[str, str]] = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{text!r} is not KEY=VALUE")
        filters.append((key, value))
    return filters


def parse_json(text: str, what: str) -> dict[str, Any]:
    """A JSON object from the command line; `-` reads it from standard input."""
    if text == "-" and sys.stdin is None:
        raise click.UsageError(f"{what}: standard input is closed")
    data = sys.stdin.buffer.read() if text == "-" else text.encode()
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as problem:
        raise click.UsageError(f"{what} is not JSON: {problem}") from None
    if not isinstance(value, dict):
        raise click.UsageError(f"{what} must be a JSON object")
    return value


def show_json(value: Any) -> None:
    """One line of JSON."""
    click.echo(orjson.dumps(value).decode())


def show_object(value: dict[str, Any], as_json: bool) -> None:
    """An object: a line for machines, indented for people."""
    if as_json:
        show_json(value)
    else:
        click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def show_mapping(value: dict[str, Any]) -> None:
    """Names and values in two columns."""
    width = max((len(name) for name in value), default=0)
    for name, member in value.items():
        shown = member if isinstance(member, str) else orjson.dumps(member).decode()
        click.echo(f"{name:<{width}}  {shown}")


def show_rows(rows: list[dict[str, Any]], names: Sequence[str]) -> None:
    """A table with aligned columns."""
    table = [list(names), *[[str(row.get(name, "")) for name in names] for row in rows]]
    widths = [max(len(line[column]) for line in table) for column in range(len(names))]
    for line in table:
        cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
