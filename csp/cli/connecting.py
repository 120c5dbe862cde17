"""What the client verbs share: --server and --json, signing in, exit codes, printing."""

# Exit codes: 0 done, 1 not found or different, 2 usage or refused object, 3 no connection,
# 4 refused by the server.

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, NamedTuple, NoReturn, TypeVar

import click
import orjson

from csp.cli.server_options import ask_credentials
from csp.cli.tls_options import take_tls, tls_options
from csp.client import Address, CannotConnect, Client, ConnectionLost, Credentials, Tls
from csp.client.address import parse_server
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


class Server(NamedTuple):
    """A server to ask; tls None: not by TLS."""

    address: Address
    tls: Tls | None


class Named(NamedTuple):
    """A server as the command line names it, and whether by TLS; None: it does not say."""

    address: Address
    is_secure: bool | None


class ServerType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """[rediss://]HOST:PORT."""

    name = "[rediss://]host:port"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Named:
        if isinstance(value, Named):
            return value
        try:
            return Named(*parse_server(str(value)))
        except ValueError as problem:
            self.fail(str(problem), param, ctx)


SERVER_METAVAR = "[rediss://]HOST:PORT"


def client_options(function: Function) -> Function:
    """--server, given to the command as a Server, and --json."""
    function = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")(
        function
    )
    help_text = "The server to ask, with rediss:// by TLS (or CSP_SERVER)."
    return server_option(function, help_text, SERVER_DEFAULT)


def server_option(function: Function, help_text: str, default: str | None) -> Function:
    """--server and how TLS is spoken to it, as one Server; None where there is no default.

    So is any other server that the command names; what it does not say of TLS is as of --server.
    """

    @wraps(function)
    def run(*given: Any, server: Named | None, **named: Any) -> Any:
        named["server"] = server
        is_secure = any(isinstance(one, Named) and one.is_secure for one in named.values())
        tls = take_tls(named, is_secure, "name the server as rediss://HOST:PORT")
        same = bool(server and server.is_secure)
        for name, value in named.items():
            if isinstance(value, Named):
                by_tls = same if value.is_secure is None else value.is_secure
                named[name] = Server(value.address, tls if by_tls else None)
        return function(*given, **named)

    stated: Function = tls_options(run)  # type: ignore[assignment]
    return click.option(
        "--server",
        type=ServerType(),
        metavar=SERVER_METAVAR,
        envvar="CSP_SERVER",
        default=default,
        show_default=default is not None,
        help=help_text,
    )(stated)


@contextmanager
def signed_in(server: Server, verb: str, *, reconnect_seconds: float = 0.0) -> Iterator[Client]:
    """A client of the server; its errors end the program with their exit code."""
    user, password = ask_credentials()
    client = Client(
        server.address,
        Credentials(user, password),
        name=f"csp-{verb}",
        reconnect_seconds=reconnect_seconds,
        tls=server.tls,
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
