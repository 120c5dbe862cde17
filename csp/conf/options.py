"""Turns the options of an Application object into values: checked, with defaults, frozen.

1. A value that breaks its rule is never half taken: the default holds and a problem says so.
2. Setting an option that is not honoured is one problem (a warning to log), never an error.
3. Sections that belong to nobody here are left alone: an Application may carry others' options.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from csp.tables.options import (
    HONOURED,
    OBSOLETE,
    OPTIONS,
    SECTIONS,
    Option,
    Value,
    find,
    parse_value,
)

# The loop wants a number where an option's 0 means "no limit".
NO_LIMIT = 2**62

# Further directories, tried in order: their options are those of [gauth_ldap].
FURTHER_LDAP = re.compile(r"gauth_ldap_[0-9]+")

# The section of a server's own options, by its mode; that of a master may also be named like its
# Application.
OWN_SECTIONS = {"proxy": "csproxy", "master": "confserv"}
# Sections whose options hold for master and proxy alike; their names clash with no other's.
COMMON_SECTIONS = ("csp", "system", "history-log", "log", "security")

Sections = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Problem:
    """One option that was set and is not (wholly) taken."""

    section: str
    option: str
    reason: str
    is_wrong: bool = False  # misspelt or of a wrong value, not just something that csp has not got

    def __str__(self) -> str:
        return f"[{self.section}] {self.option}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Options:
    """All options of a server, with defaults; `stated` are those that its Application sets."""

    values: Mapping[tuple[str, str], Value]
    stated: frozenset[tuple[str, str]] = frozenset()
    problems: tuple[Problem, ...] = field(default=())

    def get(self, section: str, name: str) -> Value:
        """The value of an option of the table."""
        return self.values[section, name]

    def flag(self, section: str, name: str) -> bool:
        """The value of a bool option."""
        return bool(self.values[section, name])

    def number(self, section: str, name: str) -> int:
        """The value of an int option, in its own unit."""
        return int(self.values[section, name])


def load(sections: Sections, *, mode: str = "proxy", app_name: str = "") -> Options:
    """The options of a server from its Application's `options` and its mode, master or proxy."""
    values: dict[tuple[str, str], Value] = {key: one.default for key, one in OPTIONS.items()}
    stated, problems = set(), []
    for section, option, name, given in _known(sections, mode, app_name):
        if option is None:
            problems.append(Problem(section, name, "there is no such option", True))
            continue
        key = (option.section, name)
        try:
            value = parse_value(option, given)
        except ValueError as error:
            reason = f"{error}; {option.default!r} is used"
            problems.append(Problem(section, name, reason, True))
            continue
        if not FURTHER_LDAP.fullmatch(section):
            stated.add(key)
        if option.status == HONOURED:
            values[key] = value
        elif value != option.default:
            why = option.why if option.status == OBSOLETE and option.why else option.status
            problems.append(Problem(section, name, why))
            values[key] = value
    return Options(values, frozenset(stated), tuple(problems))


def _known(
    sections: Sections, mode: str, app_name: str
) -> Iterator[tuple[str, Option | None, str, Any]]:
    """What is stated in sections of the table: (section as stated, option, name, value)."""
    other = other_section(mode)
    for section, options in sections.items():
        own = own_section(mode) if mode == "master" and section == app_name else section
        if FURTHER_LDAP.fullmatch(section):
            own = "gauth_ldap"
        if own not in SECTIONS or own == other:
            continue
        for name, given in options.items():
            yield section, find(own, name), name, given


def own_section(mode: str) -> str:
    """The section of a server's own options."""
    return OWN_SECTIONS[mode]


def other_section(mode: str) -> str:
    """The section that only servers of the other mode read."""
    return OWN_SECTIONS["master" if mode == "proxy" else "proxy"]


def of_server(mode: str) -> dict[str, Option]:
    """The options that a server of this mode reads, by name."""
    sections = (own_section(mode), *COMMON_SECTIONS)
    return {name: one for (section, name), one in OPTIONS.items() if section in sections}


def in_force(options: Options, mode: str) -> dict[str, Value]:
    """What is honoured of a server's options: values by name, in the options' own units."""
    return {
        name: options.get(one.section, name)
        for name, one in of_server(mode).items()
        if one.status == HONOURED
    }


def loop_limits(values: Mapping[str, Value], *, mode: str, connections: int) -> dict[str, int]:
    """The limits of a worker's loop from the options in force, by name.

    `connections` is what the limit of open files allows.  What has no value has its default.
    """
    limits = {
        one.limit: int(values.get(name, one.default)) * one.scale
        for name, one in of_server(mode).items()
        if one.limit
    }
    limits["output_bytes"] = limits["output_bytes"] or NO_LIMIT
    limits["connections"] = min(limits["connections"] or connections, connections)
    return limits
