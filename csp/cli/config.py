"""csp config: the option table, what a server's Application sets of it, and whether that is right.

show    what holds: each option's value and where it comes from
check   what is wrong or does nothing; exit code 1 if there is anything
schema  the whole table
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import click

from csp.cli.connecting import (
    Server,
    client_options,
    fail,
    show_json,
    show_rows,
    signed_in,
)
from csp.conf.options import Options, other_section, own_section
from csp.exits import EXIT_DONE, EXIT_NOT_FOUND, EXIT_USAGE
from csp.model.redundancy import SERVER_TYPE
from csp.process.application import options_in
from csp.tables.options import HONOURED, OPTIONS, Option

COLUMNS = ("section", "option", "value", "from", "status")
SCHEMA_COLUMNS = ("section", "option", "type", "default", "valid", "unit", "effect", "status")
APPLICATION = "Application object"
DEFAULT = "default"
UNHONOURED = "set, but without effect"


@click.group()
def command() -> None:
    """Show and check the options of servers."""


@command.command()
@click.argument("application", required=False)
@client_options
@click.option("--all", "show_all", is_flag=True, help="Also what is not honoured and not set.")
def show(application: str | None, server: Server, as_json: bool, show_all: bool) -> None:
    """Show the options of the server (or of APPLICATION) with their values and sources."""
    mode, options, _ = _read(server, application, "config show")
    rows = list(_rows(options, mode, show_all))
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, COLUMNS)


@command.command()
@click.argument("application", required=False)
@client_options
def check(application: str | None, server: Server, as_json: bool) -> None:
    """Check the options of the server (or of APPLICATION): wrong, unknown, without effect."""
    _, options, name = _read(server, application, "config check")
    found = [
        {"section": one.section, "option": one.option, "problem": one.reason}
        for one in options.problems
    ]
    if as_json:
        show_json({"application": name, "problems": found})
    else:
        for one in options.problems:
            click.echo(str(one))
        count = len(options.stated)
        click.echo(f"{name}: {count} options set, {len(found)} problems", err=bool(found))
    sys.exit(EXIT_NOT_FOUND if found else EXIT_DONE)


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON Schema, for machines.")
def schema(as_json: bool) -> None:
    """Show the option table: all options, which of them are honoured, and why others are not."""
    if as_json:
        show_json(_json_schema())
        return
    rows = [_schema_row(one) | {"why": one.why} for one in OPTIONS.values()]
    show_rows(rows, (*SCHEMA_COLUMNS, "why"))


def _read(server: Server, application: str | None, verb: str) -> tuple[str, Options, str]:
    """Mode, options and name of the server's own Application, or of the one that is named."""
    with signed_in(server, "config") as client:
        status = client.status()
        own = str(status.get("member") or status["application"])  # not as it is shown to clients
        name = application or own
        found = client.find("CfgApplication", name=name)
    if found is None:
        fail(verb, f"there is no Application {name!r}", EXIT_NOT_FOUND)
    if found.get("type") != SERVER_TYPE:
        fail(verb, f"Application {name!r} is of type {found.get('type')}: it has options of its "
                   "own, which csp does not know", EXIT_USAGE)  # fmt: skip
    mode = _mode_of(status, name, found.get("options") or {})
    return mode, options_in(found, mode=mode, app_name=name), name


def _mode_of(status: dict[str, Any], name: str, sections: dict[str, Any]) -> str:
    """What the Application runs as; one that is not the asked server's is known by its sections."""
    if name == (status.get("member") or status["application"]):
        return str(status["mode"])
    return "master" if own_section("master") in sections or name in sections else "proxy"


def _rows(options: Options, mode: str, show_all: bool) -> Iterator[dict[str, Any]]:
    other = other_section(mode)
    for (section, name), option in OPTIONS.items():
        is_stated = (section, name) in options.stated
        if section == other or "<" in name:
            continue
        if option.status != HONOURED and not is_stated and not show_all:
            continue
        source = APPLICATION if is_stated else DEFAULT
        if is_stated and option.status != HONOURED:
            source = UNHONOURED
        yield {
            **{"section": section, "option": name, "value": options.values[section, name]},
            **{"from": source, "status": option.status},
        }


def _schema_row(option: Option) -> dict[str, Any]:
    return {
        **{"section": option.section, "option": option.name, "type": option.type},
        **{"default": option.default, "valid": option.valid, "unit": option.unit},
        **{"effect": option.effect, "status": option.status},
    }


def _json_schema() -> dict[str, Any]:
    """The table as a JSON Schema of an Application's `options`."""
    sections: dict[str, Any] = {}
    for option in OPTIONS.values():
        section = sections.setdefault(option.section, {"type": "object", "properties": {}})
        section["properties"][option.name] = {
            "description": option.text,
            "default": option.default,
            **_json_type(option),
            **{"x-effect": option.effect, "x-status": option.status},
            **({"x-why": option.why} if option.why else {}),
            **({"x-unit": option.unit} if option.unit else {}),
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Options of csp",
        "type": "object",
        "properties": sections,
    }


def _json_type(option: Option) -> dict[str, Any]:
    """Values are stored as text or integers; both forms of a number are valid."""
    if option.words:
        return {"enum": list(option.words)}
    if option.type == "bool":
        return {"enum": ["true", "false", "yes", "no", "on", "off", "1", "0", 1, 0]}
    if option.type != "int":
        return {"type": "string"}
    bounds = {"minimum": option.min, "maximum": option.max}
    given = {word: value for word, value in bounds.items() if value is not None}
    return {"anyOf": [{"type": "integer", **given}, {"type": "string", "pattern": "^-?[0-9]+$"}]}
