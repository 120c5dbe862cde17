"""Offers the command table (commands.toml) to the slow lane, the docs and the generator."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csp.tables.rows import naming_row

TABLE = Path(__file__).parent / "commands.toml"
SINCE = "0.1.0"  # what a row says nothing of was there from the first release on

# Bits of a command's flags, here and in the generated commands.h.
FLAGS = {
    "hot": 1,
    "write": 2,
    "container": 4,  # has subcommands and nothing of its own; not written in the table
    "loading": 8,
    "subscriber": 16,
    "control": 32,
    "nomulti": 64,
    "readonly": 128,
    "admin": 256,
    "pubsub": 512,
    "deferred": 1024,
    "secret": 2048,
    "later": 4096,
    "shows": 8192,
    "forced": 16384,
    "entry": 32768,
    "discovery": 65536,
}
# Who may call a command, and the flags of a connection (csp/_fastpath/loop/conn.h) that it takes.
WHO = {
    "any": (),
    "signed-in": ("SIGNED_IN",),
    "data": ("SIGNED_IN", "DATA"),
    "administrator": ("SIGNED_IN", "ADMINISTRATOR"),
    "server": ("SIGNED_IN", "ADMINISTRATOR", "SERVER"),
    "discovery": ("DISCOVERY",),
}
# What Redis's own COMMAND reply calls them.
REDIS_FLAGS = {
    "hot": "fast",
    "readonly": "readonly",
    "write": "write",
    "admin": "admin",
    "pubsub": "pubsub",
    "loading": "loading",
    "deferred": "blocking",
    "nomulti": "no_multi",
}


@dataclass(frozen=True, slots=True)
class Command:
    """One command, or one subcommand (`CLIENT|ID`)."""

    number: int
    name: str
    summary: str
    group: str
    arity: int
    syntax: str
    keys: tuple[int, int, int]
    who: str
    flags: frozenset[str]
    complexity: str
    since: str
    forwarded: bool

    @property
    def bits(self) -> int:
        """The flags as commands.h has them."""
        return sum(FLAGS[flag] for flag in self.flags)

    @property
    def redis_flags(self) -> list[str]:
        """The flags as COMMAND INFO names them."""
        found = [theirs for ours, theirs in REDIS_FLAGS.items() if ours in self.flags]
        return [*found, "no_auth"] if self.who == "any" else found

    @property
    def shown(self) -> str:
        """The name as replies have it: `get`, `client|id`."""
        return self.name.lower()

    def allows(self, count: int) -> bool:
        """Is that a possible number of arguments, the name included?"""
        return count == self.arity if self.arity > 0 else count >= -self.arity


def load(path: Path = TABLE) -> dict[str, Command]:
    """The table, by name in capitals, numbered from 1 in its order."""
    rows = tomllib.loads(path.read_text("utf-8"))
    found = {}
    for number, (name, row) in enumerate(rows.items(), 1):
        with naming_row("commands.toml", name):
            has_parts = any(other.startswith(f"{name}|") for other in rows)
            found[name] = _command(number, name, row, has_parts=has_parts)
    return found


def _command(number: int, name: str, row: dict[str, Any], *, has_parts: bool) -> Command:
    first, last, step = row.get("keys", (0, 0, 0))
    flags = frozenset(row.get("flags", ()))
    if not flags <= FLAGS.keys() - {"container"}:
        raise ValueError(f"unknown flag in {sorted(flags)}")
    if row["who"] not in WHO:
        raise ValueError(f"who = {row['who']!r} is none of {', '.join(WHO)}")
    # COMMAND alone answers itself and has subcommands.
    if has_parts and row["arity"] < -1:
        flags |= {"container"}
    return Command(
        number,
        name,
        row["summary"],
        row["group"],
        row["arity"],
        row.get("syntax", ""),
        (first, last, step),
        row["who"],
        flags,
        row.get("complexity", "O(1)"),
        row.get("since", SINCE),
        row.get("forwarded", False),
    )


_ALL = load()
BY_NUMBER: dict[int, Command] = {one.number: one for one in _ALL.values()}
COMMANDS: dict[str, Command] = {name: one for name, one in _ALL.items() if "|" not in name}
SUBCOMMANDS: dict[str, dict[str, Command]] = {
    parent: {
        name.partition("|")[2]: one for name, one in _ALL.items() if name.startswith(f"{parent}|")
    }
    for parent in COMMANDS
}
