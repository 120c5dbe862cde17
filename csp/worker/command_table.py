"""Finds the command that a client means, and refuses as Redis does what is not in the table."""

from __future__ import annotations

from collections.abc import Mapping

from csp.tables.commands import COMMANDS, SUBCOMMANDS, Command
from csp.worker.refusal import unknown_command, unknown_subcommand, wrong_arity


def find_command(args: list[bytes]) -> Command:
    """The command that the words name, with the arguments it needs."""
    found = lookup(args[0])
    if found is None:
        raise unknown_command(args)
    inner = subcommands_of(found)
    if inner and len(args) > 1:
        found = inner.get(_upper(args[1]))
        if found is None:
            raise unknown_subcommand(args[0].decode(), args[1])
    if not found.allows(len(args)):
        raise wrong_arity(shown(found))
    return found


def lookup(name: bytes) -> Command | None:
    """A command by its name in any case, a subcommand as `client|id`."""
    parent, bar, inner = _upper(name).partition("|")
    if bar:
        return SUBCOMMANDS.get(parent, {}).get(inner)
    return COMMANDS.get(parent)


def subcommands_of(command: Command) -> Mapping[str, Command]:
    """By name in capitals; none for most."""
    return SUBCOMMANDS.get(command.name, {})


def shown(command: Command) -> str:
    """The name as replies have it: `get`, `client|id`."""
    return command.name.lower()


def _upper(name: bytes) -> str:
    return name.upper().decode("ascii", "replace")
