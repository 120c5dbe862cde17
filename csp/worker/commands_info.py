"""COMMAND and its subcommands, from the command table: completion, keys, documentation."""

from __future__ import annotations

from csp.errors import CspError
from csp.resp.encode import integer
from csp.resp.values import Simple, Value
from csp.tables.commands import COMMANDS, Command
from csp.worker.call import Call, Handler
from csp.worker.command_table import lookup, subcommands_of
from csp.worker.glob import compile_glob
from csp.worker.purposes import is_for_discovery
from csp.worker.refusal import SYNTAX, text_of

DISCOVERY = "discovery"  # a caller's word, and a flag's: csp/tables/commands.toml
_ALL = list(COMMANDS.values())
HELP = """COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:
(no subcommand)
    Return details about all commands.
COUNT
    Return the total number of commands in this server.
LIST
    Return a list of all commands in this server.
INFO [<command-name> ...]
    Return details about multiple commands.
DOCS [<command-name> ...]
    Return documentation details about multiple commands.
GETKEYS <full-command>
    Return the keys from a full command.
GETKEYSANDFLAGS <full-command>
    Return the keys and the access flags from a full command.
HELP
    Print this help."""


def all_(call: Call) -> bytes:
    """COMMAND"""
    return call.encode([_row(one) for one in _there(call)])


def count(call: Call) -> bytes:
    """COMMAND COUNT"""
    return integer(len(_there(call)))


def _there(call: Call) -> list[Command]:
    """What there is at the port by which it is asked: a port for discovery has its own."""
    if not is_for_discovery(call):
        return [one for one in COMMANDS.values() if one.who != DISCOVERY]
    parts = (any(_is_of_discovery(sub) for sub in subcommands_of(one).values()) for one in _ALL)
    return [one for one, has in zip(_ALL, parts, strict=True) if has or _is_of_discovery(one)]


def _is_of_discovery(one: Command) -> bool:
    return one.who == DISCOVERY or DISCOVERY in one.flags


def info(call: Call) -> bytes:
    """COMMAND INFO [name…]"""
    if len(call.args) == 2:
        return all_(call)
    found: list[Value] = []
    for name in call.args[2:]:
        known = _known(call, name)
        found.append(None if known is None else _row(known))
    return call.encode(found)


def list_(call: Call) -> bytes:
    """COMMAND LIST [FILTERBY PATTERN pattern | ACLCAT category | MODULE name]"""
    there = _there(call)
    names = [one.shown for one in there]
    options = call.args[2:]
    if not options:
        return call.encode(list(names))
    if len(options) != 3 or options[0].lower() != b"filterby":
        raise CspError(SYNTAX)
    kind = options[1].lower()
    if kind == b"pattern":
        matches = compile_glob(options[2].lower())
        return call.encode([name for name in names if matches(name.encode())])
    if kind == b"aclcat":
        wanted = text_of(options[2]).lower()
        return call.encode([one.shown for one in there if "@" + wanted in _categories(one)])
    if kind == b"module":
        wanted = text_of(options[2]).lower()
        return call.encode([name for name in names if wanted == "csp" and name.startswith("cfg.")])
    raise CspError(SYNTAX)


def docs(call: Call) -> bytes:
    """COMMAND DOCS [name…]"""
    if len(call.args) == 2:
        wanted = _there(call)
    else:
        found = (_known(call, name) for name in call.args[2:])
        wanted = [one for one in found if one is not None]
    rows: dict[Value, Value] = {one.shown: _docs(one) for one in wanted}
    return call.encode(rows)


def get_keys(call: Call) -> bytes:
    """COMMAND GETKEYS command argument…"""
    _, keys = _keys_of(call.args[2:])
    return call.encode(list(keys))


def get_keys_and_flags(call: Call) -> bytes:
    """COMMAND GETKEYSANDFLAGS command argument…"""
    command, keys = _keys_of(call.args[2:])
    flags: list[Value] = [Simple("RO" if "readonly" in command.flags else "RW"), Simple("access")]
    return call.encode([[key, flags] for key in keys])


def _known(call: Call, name: bytes) -> Command | None:
    """The row of a name; None where it is unknown at this port."""
    found = lookup(name)
    return (
        None if found is None or (found.who == DISCOVERY and not is_for_discovery(call)) else found
    )


def _keys_of(args: list[bytes]) -> tuple[Command, list[bytes]]:
    command = lookup(args[0])
    if command is None:
        raise CspError("Invalid command specified")
    inner = subcommands_of(command)
    if inner and len(args) > 1:
        command = inner.get(text_of(args[1]).upper(), command)
    first, last, step = command.keys
    if first == 0:
        raise CspError("The command has no key arguments")
    if not command.allows(len(args)):
        raise CspError("Invalid number of arguments specified for command")
    last = last if last >= 0 else len(args) + last
    return command, args[first : last + 1 : step]


def help_(call: Call) -> bytes:
    """COMMAND HELP"""
    return call.encode([Simple(line) for line in HELP.splitlines()])


def _row(one: Command) -> list[Value]:
    """The ten columns of Redis 7."""
    flags: list[Value] = [Simple(flag) for flag in one.redis_flags]
    categories: list[Value] = [Simple(name) for name in _categories(one)]
    specs: list[Value] = [_key_spec(one)] if one.keys[0] else []
    inner: list[Value] = [_row(sub) for sub in subcommands_of(one).values()]
    return [one.shown, one.arity, flags, *one.keys, categories, [], specs, inner]


def _categories(one: Command) -> list[str]:
    found = ["@read"] if "readonly" in one.flags else []
    found += ["@write"] if "write" in one.flags else []
    found += ["@admin", "@dangerous"] if "admin" in one.flags else []
    found += ["@pubsub"] if "pubsub" in one.flags else []
    return [*found, "@fast" if "hot" in one.flags else "@slow"]


def _key_spec(one: Command) -> dict[Value, Value]:
    first, last, step = one.keys
    last = last - first if last >= 0 else last
    return {
        "flags": [Simple("RO" if "readonly" in one.flags else "RW"), Simple("access")],
        "begin_search": {"type": "index", "spec": {"index": first}},
        "find_keys": {"type": "range", "spec": {"lastkey": last, "keystep": step, "limit": 0}},
    }


def _docs(one: Command) -> dict[Value, Value]:
    found: dict[Value, Value] = {
        "summary": one.summary,
        "since": one.since,
        "group": one.group,
        "complexity": one.complexity,
    }
    if one.name.startswith("CFG."):
        found["module"] = "csp"
    if one.syntax:
        found["arguments"] = [_argument(one.syntax)]
    inner = subcommands_of(one)
    if inner:
        found["subcommands"] = {sub.shown: _docs(sub) for sub in inner.values()}
    return found


def _argument(syntax: str) -> dict[Value, Value]:
    """redis-cli shows it as the hint behind what is typed."""
    return {"name": syntax, "type": "string", "display_text": syntax}


HANDLERS: dict[str, Handler] = {
    "command": all_,
    "command|count": count,
    "command|info": info,
    "command|list": list_,
    "command|docs": docs,
    "command|getkeys": get_keys,
    "command|getkeysandflags": get_keys_and_flags,
    "command|help": help_,
}
