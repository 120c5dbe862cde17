"""Offers the command table (commands.toml) to the slow lane, the docs and the generator."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).parent / "commands.toml"
SINCE = "0.1.0"

# Bits of a command's flags, here and in the generated commands.h.
FLAGS = {
    "hot": 1,
    "write": 2,
    "signin": 4,
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
}
# What Redis's own COMMAND reply calls them.
REDIS_FLAGS = {
    "hot": "fast",
    "readonly": "readonly",
    "write": "write",
    "admin": "admin",
    "pubsub": "pubsub",
    "loading": "loading",
    "signin": "no_auth",
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
    flags: frozenset[str]
    complexity: str
    since: str

    @property
    def bits(self) -> int:
        """The flags as commands.h has them."""
        return sum(FLAGS[flag] for flag in self.flags)

    @property
    def redis_flags(self) -> list[str]:
        """The flags as COMMAND INFO names them."""
        return [theirs for ours, theirs in REDIS_FLAGS.items() if ours in self.flags]

    def allows(self, count: int) -> bool:
        """Is that a possible number of arguments, the name included?"""
        return count == self.arity if self.arity > 0 else count >= -self.arity


def load(path: Path = TABLE) -> dict[str, Command]:
    """The table, by name in capitals, numbered from 1 in its order."""
    found = {}
    for number, (name, row) in enumerate(tomllib.loads(path.read_text("utf-8")).items(), 1):
        first, last, step = row.get("keys", (0, 0, 0))
        flags = frozenset(row.get("flags", ()))
        if not flags <= FLAGS.keys():
            raise ValueError(f"commands.toml: {name}: unknown flag in {sorted(flags)}")
        found[name] = Command(
            number,
            name,
            row["summary"],
            row["group"],
            row["arity"],
            row.get("syntax", ""),
            (first, last, step),
            flags,
            row.get("complexity", "O(1)"),
            row.get("since", SINCE),
        )
    return found


_ALL = load()
COMMANDS: dict[str, Command] = {name: one for name, one in _ALL.items() if "|" not in name}
SUBCOMMANDS: dict[str, dict[str, Command]] = {
    parent: {
        name.partition("|")[2]: one for name, one in _ALL.items() if name.startswith(f"{parent}|")
    }
    for parent in COMMANDS
}


def find(name: bytes) -> Command | None:
    """The command that a client named, in any case."""
    return COMMANDS.get(name.upper().decode("ascii", "replace"))
