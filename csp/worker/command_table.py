"""Finds the row of a command that a client asks about."""

from __future__ import annotations

from collections.abc import Mapping

from csp.tables.commands import COMMANDS, SUBCOMMANDS, Command


def lookup(name: bytes) -> Command | None:
    """A command by its name in any case, a subcommand as `client|id`."""
    parent, bar, inner = _upper(name).partition("|")
    if bar:
        return SUBCOMMANDS.get(parent, {}).get(inner)
    return COMMANDS.get(parent)


def subcommands_of(command: Command) -> Mapping[str, Command]:
    """By name in capitals; none for most."""
    return SUBCOMMANDS.get(command.name, {})


def _upper(name: bytes) -> str:
    return name.upper().decode("ascii", "replace")
